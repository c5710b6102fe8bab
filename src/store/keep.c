/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which packets are a held session's is decided by the rules of part.h, in one pass, with memory for the held sessions
 * only: a 4-tuple is bound by a packet with the facts of a session that is held, and let go by the first packet of
 * another one. Every other packet is nobody's here.
 */
#include "store/keep.h"

#include "record/packet.h"
#include "record/pcapng.h"
#include "record/pcapng_reader.h"
#include "store/bounds.h"
#include "store/facts.h"
#include "store/flows.h"
#include "store/frames.h"
#include "store/segment_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };

struct copying {
  struct gg__kept *kept;
  const char *path;
  int to;
  gg__keep_held_fn held;
  void *context;
  struct gg_failure *failure;
  struct gg__flows flows;
  struct gg__part *parts; /* all that were made, by next_of_capture */
  size_t room;            /* of kept->sessions */
  uint8_t *buffer;        /* NULL: nothing is written */
  size_t used;
};

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int flush(struct copying *copying)
{
  for (size_t done = 0; done < copying->used;) {
    ssize_t written = write(copying->to, copying->buffer + done, copying->used - done);
    if (written < 0 && errno != EINTR)
      return gg_fail_errno(copying->failure, errno, "cannot write what is kept of %s", copying->path);
    if (written == 0)
      return gg_fail(copying->failure, GG_ERR_NO_SPACE, "cannot write what is kept of %s", copying->path);
    done += written > 0 ? (size_t)written : 0;
  }
  copying->used = 0;
  return 0;
}

static int put(struct copying *copying, const struct gg_pcapng_block *block)
{
  copying->kept->bytes += block->bytes;
  if (!copying->buffer)
    return 0;
  for (size_t done = 0; done < block->bytes;) {
    size_t room = BUFFER_BYTES - copying->used, left = block->bytes - done, step = left < room ? left : room;
    memcpy(copying->buffer + copying->used, block->data + done, step);
    copying->used += step;
    done += step;
    int error = copying->used == BUFFER_BYTES ? flush(copying) : 0;
    if (error)
      return error;
  }
  return 0;
}

/* ── Whose packet ────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool has_to_be_kept(const struct copying *copying, const struct gg__facts *facts)
{
  return copying->held(copying->context, facts->id) ||
         (facts->as_sent_of[0] && copying->held(copying->context, facts->as_sent_of));
}

static int note_session(struct copying *copying, const struct gg__facts *facts, size_t *index)
{
  struct gg__kept *kept = copying->kept;
  if (kept->count == GG_KEEP_HELD_MAX)
    return gg_fail(copying->failure, GG_ERR_LIMIT, "%s has more than %d held sessions", copying->path,
                   GG_KEEP_HELD_MAX);
  if (kept->count == copying->room) {
    size_t room = copying->room ? copying->room * 2 : 16;
    struct gg__kept_session *larger = realloc(kept->sessions, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    kept->sessions = larger;
    copying->room = room;
  }
  *index = kept->count++;
  kept->sessions[*index] = (struct gg__kept_session){.rewritten = facts->as_sent_of[0] != '\0'};
  memcpy(kept->sessions[*index].id, facts->id, sizeof facts->id);
  return 0;
}

static int take_up(struct copying *copying, const struct gg__frame *frame, const struct gg__facts *facts,
                   struct gg__part **out)
{
  size_t index = 0;
  int error = note_session(copying, facts, &index);
  struct gg__part *part = error ? NULL : malloc(sizeof *part);
  if (!part)
    return error ? error : GG_ERR_NOMEM;
  gg__part_begin(part, copying->path, frame, facts);
  part->received[0] = index; /* where it is noted */
  part->next_of_capture = copying->parts;
  copying->parts = part;
  *out = part;
  return gg__flows_bind(&copying->flows, part);
}

/* `*keep`: the packet is a held session's. */
static int judge(struct copying *copying, const struct gg__frame *frame, bool *keep)
{
  struct gg__facts parsed;
  enum gg__facts_kind kind = GG__FACTS_NONE;
  *keep = false;
  if (frame->comment)
    kind = gg__facts_parse(&parsed, frame->comment, frame->comment_bytes);
  if (kind == GG__FACTS_NOMEM)
    return GG_ERR_NOMEM;
  copying->kept->damaged |= kind == GG__FACTS_BROKEN;
  const struct gg__facts *facts = kind == GG__FACTS_OURS ? &parsed : NULL;
  struct gg__part *part = copying->flows.count ? gg__flows_find(&copying->flows, frame) : NULL;
  if (part && gg__part_replaced(part, frame, facts)) {
    gg__flows_unbind(&copying->flows, part);
    part = NULL;
  }
  int error = 0;
  if (!part && facts && facts->id[0] && has_to_be_kept(copying, facts))
    error = take_up(copying, frame, facts, &part);
  if (error || !part)
    return error;
  gg__part_note(part, gg__part_side(part, frame), frame);
  if (facts && facts->close[0])
    copying->kept->sessions[part->received[0]].closed = true;
  *keep = true;
  return 0;
}

/* ── Blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A statistics block that only fills a page has spaces in its comment. */
static bool says_something(const struct gg_pcapng_block *block)
{
  static const char begin[] = "{\"gogetway\"";
  return memmem(block->data, block->bytes, begin, sizeof begin - 1) != NULL;
}

static int take_packet(struct copying *copying, struct gg__frame *frame)
{
  const struct gg_pcapng_packet *packet = &frame->packet;
  bool keep = false;
  int error = 0;
  if (gg_tcp_packet_parse(&frame->tcp, packet->link_type, packet->data, packet->captured) == 0) {
    gg__frame_comment(frame);
    error = judge(copying, frame, &keep);
  }
  copying->kept->packets += keep;
  copying->kept->dropped += !keep;
  return keep && !error ? put(copying, &packet->block) : error;
}

/* One block. GG_ERR_AGAIN: there is none. */
static int take_block(struct copying *copying, struct gg_pcapng_reader *reader)
{
  struct gg_failure ignored = GG_FAILURE_INIT;
  struct gg_pcapng_block block;
  struct gg__frame frame;
  uint64_t before = gg_pcapng_reader_offset(reader);
  int error = gg_pcapng_reader_next_block(reader, &block, &ignored);
  if (!error) {
    error = gg_pcapng_reader_packet(reader, &block, &frame.packet, &ignored);
    if (!error)
      return take_packet(copying, &frame);
    if (error == GG_ERR_NOT_FOUND)
      return block.type == GG_PCAPNG_ISB && !says_something(&block) ? 0 : put(copying, &block);
  }
  if (error == GG_ERR_AGAIN || error == GG_ERR_NOMEM)
    return error;
  copying->kept->damaged = true;
  return gg_pcapng_reader_offset(reader) > before ? 0 : GG_ERR_AGAIN;
}

static int by_id(const void *a, const void *b)
{
  return strcmp(((const struct gg__kept_session *)a)->id, ((const struct gg__kept_session *)b)->id);
}

/* A session that had another 4-tuple in between was noted twice. */
static void unite(struct gg__kept *kept)
{
  size_t count = 0;
  if (kept->count > 1)
    qsort(kept->sessions, kept->count, sizeof *kept->sessions, by_id);
  for (size_t i = 0; i < kept->count; i++) {
    const struct gg__kept_session *session = &kept->sessions[i];
    if (count == 0 || by_id(session, &kept->sessions[count - 1]) != 0) {
      kept->sessions[count++] = *session;
      continue;
    }
    kept->sessions[count - 1].closed |= session->closed;
    kept->sessions[count - 1].rewritten |= session->rewritten;
  }
  kept->count = count;
}

int gg__keep_copy(struct gg__kept *kept, int from, const char *path, int to, gg__keep_held_fn held, void *context,
                  struct gg_failure *failure)
{
  struct copying copying = {.kept = kept, .path = path, .to = to, .held = held, .context = context, .failure = failure};
  struct gg_pcapng_reader *reader = NULL;
  *kept = (struct gg__kept){0};
  if (to >= 0)
    copying.buffer = malloc(BUFFER_BYTES);
  int error = to >= 0 && !copying.buffer ? GG_ERR_NOMEM : gg_pcapng_reader_open(&reader, from, failure);
  while (!error)
    error = take_block(&copying, reader);
  error = error == GG_ERR_AGAIN ? 0 : error;
  struct stat status; /* a block whose length is wrong may hide what is behind it */
  kept->damaged |= reader && (fstat(from, &status) != 0 || gg_pcapng_reader_offset(reader) < (uint64_t)status.st_size);
  if (!error && copying.buffer)
    error = flush(&copying);
  unite(kept);
  gg_pcapng_reader_destroy(reader);
  for (struct gg__part *part = copying.parts, *next; part; part = next) {
    next = part->next_of_capture;
    free(part);
  }
  gg__flows_fini(&copying.flows);
  free(copying.buffer);
  return error ? gg_fail(failure, error, "no memory for the held sessions of %s", path) : 0;
}

void gg__kept_fini(struct gg__kept *kept)
{
  free(kept->sessions);
  *kept = (struct gg__kept){0};
}

/* ── Mending ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct found {
  char **names;
  size_t count, room;
};

static int add(struct found *found, const char *name)
{
  if (found->count > GG_PLACE_FILES_MAX)
    return GG_ERR_LIMIT;
  if (found->count == found->room) {
    size_t room = found->room ? found->room * 2 : 64;
    char **larger = realloc(found->names, room * sizeof(char *));
    if (!larger)
      return GG_ERR_NOMEM;
    found->names = larger;
    found->room = room;
  }
  found->names[found->count] = strdup(name);
  return found->names[found->count] ? (found->count++, 0) : GG_ERR_NOMEM;
}

static bool ends_in(const char *name, const char *end)
{
  size_t length = strlen(name), tail = strlen(end);
  return length > tail && strcmp(name + length - tail, end) == 0;
}

bool gg__keep_is_unfinished(const char *name)
{
  char file[GG__KEEP_NAME_MAX];
  unsigned generation = 0;
  if (!ends_in(name, ".pcapng" GG__KEEP_UNFINISHED) || strlen(name) >= sizeof file)
    return false;
  snprintf(file, sizeof file, "%.*s", (int)(strlen(name) - strlen(GG__KEEP_UNFINISHED)), name);
  gg__segment_base(file, &generation);
  return generation > 0;
}

static int by_order(const void *a, const void *b)
{
  return gg__segment_order(*(char *const *)a, *(char *const *)b);
}

static int list(int folder, struct found *found, int *mended)
{
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
  if (!directory) {
    int error = gg_error_from_errno(errno);
    if (fd >= 0)
      close(fd);
    return error;
  }
  int error = 0;
  for (struct dirent *entry; !error && (errno = 0, entry = readdir(directory));) {
    if (gg__keep_is_unfinished(entry->d_name))
      *mended += unlinkat(folder, entry->d_name, 0) == 0;
    else if (ends_in(entry->d_name, ".pcapng"))
      error = add(found, entry->d_name);
  }
  if (!error && errno)
    error = gg_error_from_errno(errno);
  closedir(directory);
  return error;
}

int gg__keep_mend(int folder, struct gg_failure *failure)
{
  struct found found = {0};
  int mended = 0, error = list(folder, &found, &mended);
  if (found.count > 1)
    qsort(found.names, found.count, sizeof(char *), by_order);
  for (size_t i = 0; i + 1 < found.count && !error; i++)
    if (gg__segment_same_base(found.names[i], found.names[i + 1])) {
      if (unlinkat(folder, found.names[i], 0) == 0)
        mended++;
      else if (errno != ENOENT)
        error = gg_fail_errno(failure, errno, "cannot remove %s", found.names[i]);
    }
  for (size_t i = 0; i < found.count; i++)
    free(found.names[i]);
  free(found.names);
  return error ? gg_fail(failure, error, "cannot list the store's segments") : mended;
}
