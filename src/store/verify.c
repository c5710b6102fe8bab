/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads every block of a store and holds it against what it says of itself.
 *
 *   file by file, as they were begun:   block ──► packet ──► checksums ──► part of a session ──► check of that session
 *
 * A check goes on from file to file: the sequence number and the offset that each direction must have next, the gaps
 * that were marked, and at the end the closing record's counts. What others captured is held to the structure
 * only: lost packets and the checksums of offloading interfaces are no faults of such a file.
 */
#include "record/packet.h"
#include "record/pcapng.h"
#include "store/facts.h"
#include "store/frames.h"
#include "store/lookup.h"
#include "store/said.h"
#include "store/segment_name.h"
#include "store/store.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GAP_STEP_MAX = 1 << 30, TEXT_MAX = 400, CAPTURES_ROOM = 64 };

struct gg__check {
  uint64_t offset[2];             /* of the next byte */
  uint64_t gaps[2];               /* marked ones */
  uint32_t next[2];               /* sequence number */
  const struct gg__capture *last; /* that has packets of it */
  bool begun[2];
  bool late; /* the session's beginning is not here */
};

struct verifying {
  struct gg_store *store; /* its own: */
  struct gg_store own;
  const struct gg_filter *filter;
  struct gg__said *said; /* who match, if it asks for what was said: that does not stand in packets; else NULL */
  void (*report)(void *context, const struct gg_problem *problem);
  void *context;
  struct gg_verify_result *result;
  struct gg__capture **captures; /* in order; `at` of them are read */
  size_t at;
  struct gg__capture *capture;     /* NULL: the store as a whole */
  const struct gg__record *record; /* of the packet at hand; NULL: of none */
  uint64_t offset;                 /* of the block at hand */
  uint64_t strangers;              /* packets of this file that are no TCP that is known */
  bool live;
  bool unclosed;     /* a gateway died, and was not started again */
  uint64_t since_ns; /* when that gateway began; the end of time if it is not known */
};

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

GG_PRINTF(4, 5)
static void tell(struct verifying *verifying, enum gg_problem_kind kind, bool information, const char *format, ...)
{
  char text[TEXT_MAX];
  const struct gg__record *record = verifying->record;
  if (record && !(verifying->said ? gg__said_has(verifying->said, record->session.id)
                                  : gg_filter_match(verifying->filter, &record->session)))
    return;
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  struct gg_problem problem = {.kind = kind,
                               .information = information,
                               .segment = verifying->capture ? verifying->capture->name : "running",
                               .offset = verifying->offset,
                               .session = record ? record->session.id : "",
                               .text = text};
  verifying->result->problems += !information;
  if (verifying->report)
    verifying->report(verifying->context, &problem);
}

/* A failure's message was made of a stranger's file: safe to print, and the file's path is told already. */
static void tell_failure(struct verifying *verifying, enum gg_problem_kind kind, const struct gg_failure *failure)
{
  char text[TEXT_MAX / 2];
  size_t used;
  gg_text_printable((const uint8_t *)failure->message, strlen(failure->message), false, text, sizeof text, &used);
  tell(verifying, kind, false, "%s", text);
}

/* ── A session's packets ─────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const side_names[2] = {"client", "server"};

/* Numbers of a run without a file, or with what was kept of one: retention takes whole segments, and passes over one
 * that somebody reads, or that is not due by its rules. */
static bool segments_are_gone(const struct verifying *verifying, const struct gg__capture *before)
{
  char log[GG__SEGMENT_LOG_MAX], other[GG__SEGMENT_LOG_MAX];
  const struct gg__capture *here = verifying->capture;
  if (!before || !gg__segment_log(before->name, log) || !gg__segment_log(here->name, other) || strcmp(log, other) != 0)
    return false;
  uint64_t from = gg__segment_number(before->name), to = gg__segment_number(here->name), between = 0;
  for (size_t i = verifying->at; i-- > 0 && verifying->captures[i] != before;) {
    const char *name = verifying->captures[i]->name;
    unsigned generation;
    gg__segment_base(name, &generation);
    between += generation == 0 && gg__segment_log(name, other) && strcmp(log, other) == 0;
  }
  return to > from && between < to - from - 1;
}

static void check_continued(struct verifying *verifying, struct gg__check *check, const struct gg__facts *facts)
{
  for (int side = 0; side < 2; side++) {
    if (!check->begun[0] && !check->begun[1] && check->offset[side] == 0) {
      check->offset[side] = facts->offset[side];
      check->late |= facts->offset[side] > 0;
    } else if (facts->offset[side] != check->offset[side]) {
      bool gone = facts->offset[side] > check->offset[side] && segments_are_gone(verifying, check->last);
      tell(verifying, GG_PROBLEM_OFFSET, gone,
           "from the %s: continues at offset %" PRIu64 ", but what is recorded ends at %" PRIu64 "%s", side_names[side],
           facts->offset[side], check->offset[side], gone ? ", and segments in between are gone" : "");
      check->offset[side] = facts->offset[side];
      check->begun[side] = false;
      check->late = true; /* its counts cannot be held against what is here any more */
    }
  }
}

static void check_sequence(struct verifying *verifying, struct gg__check *check, const struct gg__frame *frame,
                           int side, uint64_t gap)
{
  uint32_t sequence = frame->tcp.sequence, step = (uint32_t)(gap < GAP_STEP_MAX ? gap : GAP_STEP_MAX);
  uint32_t expected = check->next[side] + step;
  int32_t ahead = (int32_t)(sequence - expected);
  if (check->begun[side] && ahead != 0) {
    bool skips = gap == 0 && ahead > 0;
    tell(verifying, skips || gap ? GG_PROBLEM_GAP : GG_PROBLEM_SEQUENCE, false,
         skips ? "from the %s: %" PRId32 " bytes are missing without a mark at offset %" PRIu64
               : "from the %s: the sequence number is %" PRId32 " from where it should be at offset %" PRIu64,
         side_names[side], ahead, check->offset[side]);
    if (skips)
      check->offset[side] += (uint32_t)ahead;
    check->late = true;
  }
  check->begun[side] = true;
  check->offset[side] += gap + frame->tcp.payload_bytes + frame->tcp.missing_bytes;
  check->gaps[side] += gap;
  check->next[side] = sequence + frame->tcp.payload_bytes + frame->tcp.missing_bytes +
                      ((frame->tcp.flags & (GG_TCP_SYN | GG_TCP_FIN)) != 0);
}

/* Received is what is here and what the closing record says is missing. */
static void check_counts(struct verifying *verifying, const struct gg__check *check, const struct gg__facts *facts)
{
  if (!facts->has_counts) {
    tell(verifying, GG_PROBLEM_FACTS, false, "the closing record has no counts");
    return;
  }
  for (int side = 0; side < 2; side++) {
    uint64_t here = check->offset[side] - check->gaps[side];
    if (check->late ? facts->received[side] < check->offset[side] : facts->received[side] != here + facts->gaps[side])
      tell(verifying, GG_PROBLEM_COUNT, false,
           "from the %s: received %" PRIu64 " by the closing record, but %" PRIu64 " are here and %" PRIu64
           " are said to be missing",
           side_names[side], facts->received[side], here, facts->gaps[side]);
    if (!check->late && facts->gaps[side] < check->gaps[side])
      tell(verifying, GG_PROBLEM_GAP, false,
           "from the %s: gaps of %" PRIu64 " bytes are marked, the closing record says %" PRIu64, side_names[side],
           check->gaps[side], facts->gaps[side]);
  }
}

static int check_session(struct verifying *verifying, const struct gg__part *part, const struct gg__frame *frame,
                         int side)
{
  struct gg__record *record = part->record;
  struct gg__facts facts = {0};
  if (!record->check)
    record->check = calloc(1, sizeof *record->check);
  if (!record->check)
    return GG_ERR_NOMEM;
  enum gg__facts_kind kind =
    frame->comment ? gg__facts_parse(&facts, frame->comment, frame->comment_bytes) : GG__FACTS_NONE;
  if (kind == GG__FACTS_NOMEM)
    return GG_ERR_NOMEM;
  if (kind == GG__FACTS_BROKEN)
    tell(verifying, GG_PROBLEM_FACTS, false, "a comment that begins like the gateway's cannot be read");
  if (kind == GG__FACTS_OURS && facts.continued && facts.has_offset)
    check_continued(verifying, record->check, &facts);
  check_sequence(verifying, record->check, frame, side, facts.gap);
  record->check->last = verifying->capture;
  if (kind == GG__FACTS_OURS && facts.close[0])
    check_counts(verifying, record->check, &facts);
  return 0;
}

/* ── Packets and blocks ──────────────────────────────────────────────────────────────────────────────────────────── */

static void check_checksums(struct verifying *verifying, const struct gg__frame *frame, bool own)
{
  unsigned wrong = gg_tcp_packet_checksums(&frame->tcp);
  if (own && (wrong & GG_CHECKSUM_IP_WRONG))
    tell(verifying, GG_PROBLEM_CHECKSUM, false, "the IP checksum is wrong");
  if (own && (wrong & GG_CHECKSUM_TCP_WRONG))
    tell(verifying, GG_PROBLEM_CHECKSUM, false, "the TCP checksum is wrong");
}

static int check_packet(struct verifying *verifying, struct gg__frame *frame, const struct gg__lookup *lookup)
{
  const struct gg_pcapng_packet *packet = &frame->packet;
  int side = 0, error = gg_tcp_packet_parse(&frame->tcp, packet->link_type, packet->data, packet->captured);
  bool own = verifying->capture->own;
  verifying->result->packets++;
  if (error) {
    verifying->strangers += error == GG_ERR_UNSUPPORTED;
    if (own || error != GG_ERR_UNSUPPORTED)
      tell(verifying, GG_PROBLEM_PACKET, !own, "a packet that is no whole TCP segment: %s", gg_error_text(error));
    return 0;
  }
  gg__frame_comment(frame);
  verifying->result->bytes += frame->tcp.payload_bytes;
  const struct gg__part *part = gg__lookup_find(lookup, frame, &side);
  verifying->record = part ? part->record : NULL;
  check_checksums(verifying, frame, own || (part && !part->foreign));
  error = part && !part->foreign ? check_session(verifying, part, frame, side) : 0;
  verifying->record = NULL;
  return error;
}

/* ── Ends ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The name stands in the `running` file: it is being written, or was when the gateway died, and may end anywhere. */
static bool is_named_running(const struct verifying *verifying)
{
  char *running = verifying->capture->own ? gg__store_running(verifying->store->path) : NULL;
  bool named = running && strstr(running, verifying->capture->name) != NULL;
  free(running);
  return named;
}

/* What a gateway that is at work, or one that died, may leave so is information. Nothing else may. */
static void check_end(struct verifying *verifying, bool torn, bool named, uint64_t modified_ns)
{
  bool empty = verifying->offset == 0;
  named = named || is_named_running(verifying); /* before it was read, or behind */
  /* A segment is named a moment after it was made. */
  bool recent = modified_ns >= verifying->since_ns;
  named = named || (verifying->unclosed && recent);
  verifying->capture->explained |= named;
  bool written = verifying->live && (named || recent);
  if ((!torn && !empty) || (written && named))
    return;
  const char *what = torn ? "the file ends in the middle of a block" : "the file is empty";
  if (written)
    tell(verifying, GG_PROBLEM_TORN, true, "%s", what);
  else if (named)
    tell(verifying, GG_PROBLEM_TORN, true, "%s; the gateway's next start completes it", what);
  else
    tell(verifying, GG_PROBLEM_TORN, false, "%s, and no gateway is writing it: it was cut off", what);
}

/* The recovery's mark: the gateway died while it wrote this segment, and sessions may have no end. */
static bool is_recovery_mark(const struct gg_pcapng_block *block)
{
  static const char mark[] = "\"recovered\":";
  return block->type == GG_PCAPNG_ISB && memmem(block->data, block->bytes, mark, sizeof mark - 1) != NULL;
}

/* `at_end`: what was read is the whole file, but for a torn block. */
static int check_blocks(struct verifying *verifying, struct gg_pcapng_reader *reader, const struct gg__lookup *lookup,
                        bool *at_end)
{
  for (;;) { /* bounded by the file */
    struct gg_failure failure = GG_FAILURE_INIT;
    struct gg_pcapng_block block;
    struct gg__frame frame;
    verifying->offset = gg_pcapng_reader_offset(reader);
    int error = gg_pcapng_reader_next_block(reader, &block, &failure);
    if (!error) {
      verifying->result->blocks++;
      verifying->capture->explained |= is_recovery_mark(&block);
      error = gg_pcapng_reader_packet(reader, &block, &frame.packet, &failure);
      error = error ? error : check_packet(verifying, &frame, lookup);
    }
    if (error == GG_ERR_NOMEM)
      return error;
    if (error == 0 || error == GG_ERR_NOT_FOUND)
      continue;
    if (error == GG_ERR_AGAIN) {
      *at_end = true;
      return 0;
    }
    bool unreadable = error != GG_ERR_CORRUPT && verifying->offset == 0;
    verifying->result->unreadable += unreadable;
    tell_failure(verifying, unreadable ? GG_PROBLEM_UNREADABLE : GG_PROBLEM_BLOCK, &failure);
    if (gg_pcapng_reader_offset(reader) == verifying->offset)
      return 0;
  }
}

static int make_lookup(const struct gg__capture *capture, struct gg__lookup **out)
{
  size_t count = 0;
  for (const struct gg__part *part = capture->parts; part; part = part->next_of_capture)
    count++;
  const struct gg__part **parts = calloc(count + 1, sizeof(const struct gg__part *));
  if (!parts)
    return GG_ERR_NOMEM;
  count = 0;
  for (const struct gg__part *part = capture->parts; part; part = part->next_of_capture)
    parts[count++] = part;
  int error = gg__lookup_create(out, parts, count);
  free(parts);
  return error;
}

static int read_capture(struct verifying *verifying, int fd, struct gg_failure *failure)
{
  struct gg_pcapng_reader *reader = NULL;
  struct gg__lookup *lookup = NULL;
  struct stat status = {0};
  bool at_end = false, named = is_named_running(verifying);
  verifying->capture->explained = named;
  int error = make_lookup(verifying->capture, &lookup);
  if (!error)
    error = gg_pcapng_reader_open(&reader, fd, failure);
  if (!error)
    error = check_blocks(verifying, reader, lookup, &at_end);
  if (!error && at_end && fstat(fd, &status) == 0)
    check_end(verifying, gg_pcapng_reader_torn(reader), named,
              (uint64_t)status.st_mtim.tv_sec * GG_NS_PER_S + (uint64_t)status.st_mtim.tv_nsec);
  gg_pcapng_reader_destroy(reader);
  gg__lookup_destroy(lookup);
  return error;
}

static int check_capture(struct verifying *verifying, struct gg__capture *capture)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  verifying->capture = capture;
  verifying->offset = 0;
  verifying->strangers = 0;
  verifying->result->segments++;
  int fd = open(capture->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    gg_fail_errno(&failure, errno, "cannot open the file");
    verifying->result->unreadable++;
    tell_failure(verifying, GG_PROBLEM_UNREADABLE, &failure);
    return 0;
  }
  gg__frames_claim(fd);
  uint64_t problems = verifying->result->problems;
  int error = read_capture(verifying, fd, &failure);
  close(fd);
  verifying->offset = 0;
  /* Its sessions were looked for before, by a reading of its own: what that could not read is not among them. */
  if (!error && capture->health >= GG__CAPTURE_DAMAGED && verifying->result->problems == problems) {
    gg_fail(&failure, GG_ERR_IO, "%s", capture->problem);
    verifying->result->unreadable++;
    tell_failure(verifying, GG_PROBLEM_UNREADABLE, &failure);
  }
  if (verifying->strangers > 0 && !capture->own)
    tell(verifying, GG_PROBLEM_PACKET, true, "%" PRIu64 " packet%s not TCP over a known link type",
         verifying->strangers, verifying->strangers == 1 ? " is" : "s are");
  return error;
}

/* ── The whole store ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* A gateway's segments by name, which does not go back when the wall clock does; what others captured by time. */
static int in_order(const void *a, const void *b)
{
  const struct gg__capture *const *left = a, *const *right = b;
  char log[GG__SEGMENT_LOG_MAX];
  bool left_ours = gg__segment_log((*left)->name, log), right_ours = gg__segment_log((*right)->name, log);
  if (left_ours != right_ours)
    return left_ours ? -1 : 1;
  if (left_ours)
    return strcmp((*left)->name, (*right)->name);
  if ((*left)->first_ns != (*right)->first_ns)
    return (*left)->first_ns < (*right)->first_ns ? -1 : 1;
  return strcmp((*left)->name, (*right)->name);
}

static int sorted_captures(const struct gg_store *store, struct gg__capture ***out, size_t *count)
{
  size_t room = CAPTURES_ROOM;
  struct gg__capture **captures = calloc(room, sizeof(struct gg__capture *)), *capture;
  *count = 0;
  while (captures && (capture = store->source->ops->capture(store->source, *count))) {
    if (*count == room) {
      struct gg__capture **larger = realloc(captures, 2 * room * sizeof(struct gg__capture *));
      if (!larger) {
        free(captures);
        return GG_ERR_NOMEM;
      }
      captures = larger;
      room *= 2;
    }
    captures[(*count)++] = capture;
  }
  *out = captures;
  if (captures)
    qsort(captures, *count, sizeof(struct gg__capture *), in_order);
  return captures ? 0 : GG_ERR_NOMEM;
}

static int by_log(const void *a, const void *b)
{
  const struct gg__capture *const *left = a, *const *right = b;
  char logs[2][GG__SEGMENT_LOG_MAX] = {"", ""};
  gg__segment_log((*left)->name, logs[0]);
  gg__segment_log((*right)->name, logs[1]);
  int order = strcmp(logs[0], logs[1]);
  return order ? order : strcmp((*left)->name, (*right)->name);
}

/* A session may be silent in the last segments of its run, so what explains one explains those before it as well. */
static void spread_explanations(struct gg__capture **captures, size_t count)
{
  char log[GG__SEGMENT_LOG_MAX], later[GG__SEGMENT_LOG_MAX] = "";
  if (count > 0)
    qsort(captures, count, sizeof(struct gg__capture *), by_log);
  for (size_t i = count; i-- > 0; memcpy(later, log, sizeof later)) {
    log[0] = '\0';
    gg__segment_log(captures[i]->name, log);
    if (i + 1 < count && strcmp(log, later) == 0 &&
        gg__segment_number(captures[i]->name) < gg__segment_number(captures[i + 1]->name))
      captures[i]->explained |= captures[i + 1]->explained;
  }
}

/* An orderly end closes every session, and a recovery leaves its mark. */
static int tell_cut(void *context, struct gg__record *record)
{
  struct verifying *verifying = context;
  const struct gg__part *last = record->parts;
  while (last && last->next_of_session)
    last = last->next_of_session;
  if (!last || record->session.foreign || record->session.state != GG_SESSION_CUT || last->capture->explained)
    return 0;
  verifying->record = record;
  verifying->capture = last->capture;
  verifying->offset = last->last_offset;
  tell(
    verifying, GG_PROBLEM_CUT, true,
    "the recording ends without the session's end, and nothing says that the gateway died: something may be missing");
  verifying->record = NULL;
  return 0;
}

static void tell_unclosed(struct verifying *verifying)
{
  char text[TEXT_MAX];
  verifying->unclosed = verifying->store->own && gg__store_is_unclosed(verifying->store->path, text, sizeof text);
  if (verifying->unclosed)
    tell(verifying, GG_PROBLEM_UNCLOSED, true, "%s", text);
}

static int forget_check(void *context, struct gg__record *record)
{
  uint64_t *sessions = context;
  free(record->check);
  record->check = NULL;
  ++*sessions;
  return 0;
}

/* A verification believes no catalogue: it reads what there is. */
static int open_scan(struct verifying *verifying, const struct gg_store *store, struct gg_failure *failure)
{
  struct gg__place place;
  struct gg_failure ignored = GG_FAILURE_INIT;
  verifying->own = (struct gg_store){.own = store->own, .path = store->path, .threads = store->threads};
  verifying->store = &verifying->own;
  int error = gg__place_open(&place, store->path, failure);
  if (error)
    gg__place_fini(&place);
  else
    error = gg__scan_source_create(&verifying->own.source, &place, store->threads, failure);
  if (error)
    return error;
  verifying->own.source->marks = store->marks;
  error = verifying->own.source->ops->refresh(verifying->own.source, 1, &ignored);
  /* Files that cannot be read are told one by one. */
  return error && error != GG_ERR_FORMAT ? gg_fail(failure, error, "%s", ignored.message) : 0;
}

static int verify(struct verifying *verifying, struct gg_failure *failure)
{
  size_t count = 0;
  struct gg__source *source = verifying->store->source;
  int error = sorted_captures(verifying->store, &verifying->captures, &count);
  for (; verifying->at < count && !error; verifying->at++)
    error = check_capture(verifying, verifying->captures[verifying->at]);
  if (!error && verifying->store->own) {
    spread_explanations(verifying->captures, count);
    source->ops->each(source, tell_cut, verifying);
  }
  free(verifying->captures);
  source->ops->each(source, forget_check, &verifying->result->sessions);
  return error ? gg_fail(failure, error, "no memory for verifying") : 0;
}

int gg_store_verify(struct gg_store *store, const struct gg_filter *filter,
                    void (*report)(void *context, const struct gg_problem *problem), void *context,
                    struct gg_verify_result *result, struct gg_failure *failure)
{
  struct gg_failure ignored = GG_FAILURE_INIT;
  struct verifying verifying = {.filter = filter, .report = report, .context = context, .result = result};
  *result = (struct gg_verify_result){0};
  int error = gg__store_ready(store, &ignored);
  if (error && error != GG_ERR_FORMAT)
    return gg_fail(failure, error, "%s", ignored.message);
  error = gg__said_find(&verifying.said, store->path, filter, failure);
  if (error)
    return error;
  error = open_scan(&verifying, store, failure);
  if (!error) {
    verifying.since_ns = UINT64_MAX;
    verifying.live = store->own && gg__store_is_live(store->path, &verifying.since_ns);
    tell_unclosed(&verifying);
    error = verify(&verifying, failure);
  }
  if (verifying.own.source)
    verifying.own.source->ops->destroy(verifying.own.source);
  gg__said_destroy(verifying.said);
  return error;
}

const char *gg_problem_kind_text(enum gg_problem_kind kind)
{
  static const char *const texts[] = {
    [GG_PROBLEM_UNREADABLE] = "unreadable", [GG_PROBLEM_BLOCK] = "block",       [GG_PROBLEM_TORN] = "torn",
    [GG_PROBLEM_PACKET] = "packet",         [GG_PROBLEM_CHECKSUM] = "checksum", [GG_PROBLEM_SEQUENCE] = "sequence",
    [GG_PROBLEM_OFFSET] = "offset",         [GG_PROBLEM_COUNT] = "count",       [GG_PROBLEM_GAP] = "gap",
    [GG_PROBLEM_FACTS] = "facts",           [GG_PROBLEM_CUT] = "cut",           [GG_PROBLEM_UNCLOSED] = "unclosed"};
  return (unsigned)kind < sizeof texts / sizeof texts[0] ? texts[kind] : "unknown";
}

size_t gg_problem_json(const struct gg_problem *problem, char *text, size_t size)
{
  struct gg_json json;
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "problem", gg_problem_kind_text(problem->kind));
  gg_json_field_bool(&json, "information", problem->information);
  gg_json_field_string(&json, "segment", problem->segment);
  gg_json_field_unsigned(&json, "offset", problem->offset);
  gg_json_field_string(&json, "session", problem->session[0] ? problem->session : NULL);
  gg_json_field_string(&json, "text", problem->text);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}
