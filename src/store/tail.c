/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the logs of a running gateway and writes one capture in order of time.
 *
 *   log w0   ...segment 7 | segment 8 ~~~ growing        each chain reads its segments one after the other;
 *   log w1   ...segment 3 ~~~ growing                    the earliest waiting frame is written if its time is not
 *                                                        beyond any log's watermark
 *
 * The gateway's word comes first and is read files after: so what a watermark promises is in the files when they are
 * read, and a segment that is no longer named as the one being written is complete.
 *
 * Which segment comes next in a log is not left to the order of names: their stamps go back when the wall clock does,
 * and a name that sorts before the last one would never be read. So a chain takes, of what it has not read,
 *
 *   1. what was there when the tail began, in order of names;
 *   2. what the gateway named first as being written;
 *   3. what has come since: the next number of the run, else whatever there is.
 *
 * What retention has kept of a segment (segment_name.h) is read in its place, unless that was read already.
 */
#include "store/bounds.h"
#include "store/frames.h"
#include "store/segment_name.h"
#include "store/sink.h"
#include "store/source.h"
#include "store/store.h"

#include "base/json_doc.h"
#include "record/pcapng.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_MAX_BYTES = GG__SEGMENT_LOG_MAX, NAMES_MAX = 1 << 20 };

static const uint64_t behind_max_ns = UINT64_C(10000000000);

/* A segment that was there at the beginning, or that was read. What has no entry is new; when the gateway has ended,
 * nothing is new any more. */
struct name {
  bool done;
  bool late;      /* it was new until the gateway had ended */
  uint64_t bytes; /* how much of it is read: when the gateway has ended, what was there then */
  char file[];
};

struct chain {
  char log[NAME_MAX_BYTES];
  char file[NAME_MAX_BYTES];       /* being read; empty: none yet */
  char live[NAME_MAX_BYTES];       /* being written, by the last word of the gateway; empty: none */
  char first_live[NAME_MAX_BYTES]; /* and by its first word */
  struct gg__frames *frames;
  uint64_t end_bytes;     /* of `file`: nothing is read beyond */
  bool dry;               /* all that was promised by the last word has been read */
  uint64_t watermark_ns;  /* of this log, by the last word */
  bool told;              /* the last word spoke of it */
  uint64_t due_ns;        /* the frame's time, or when it is held to have been (hold_due) */
  struct gg__frame frame; /* waits to be written, if `waiting` */
  bool waiting;
};

struct gg_tail {
  struct gg_store *store;
  struct gg__sink *sink;
  bool from_start;
  bool updated;
  bool finishing;
  atomic_bool stop;
  void (*on_warning)(void *context, const char *text); /* NULL: nobody is told */
  void *context;
  uint64_t watermark_ns;
  struct name **names; /* sorted */
  size_t name_count, name_room;
  size_t chain_count;
  struct chain *chains[GG_TAIL_LOGS_MAX];
};

/* ── Segments of a log ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Where `file` stands among the names, or would have to. */
static size_t find_name(const struct gg_tail *tail, const char *file, bool *found)
{
  size_t from = 0, to = tail->name_count;
  *found = false;
  while (from < to && !*found) {
    size_t middle = from + (to - from) / 2;
    int order = strcmp(tail->names[middle]->file, file);
    *found = order == 0;
    if (*found)
      return middle;
    if (order < 0)
      from = middle + 1;
    else
      to = middle;
  }
  return from;
}

static int note_name(struct gg_tail *tail, const char *file, bool done, struct gg_failure *failure)
{
  bool found;
  size_t at = find_name(tail, file, &found);
  if (found) {
    tail->names[at]->done |= done;
    return 0;
  }
  if (tail->name_count == NAMES_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d segments", NAMES_MAX);
  if (tail->name_count == tail->name_room) {
    size_t room = tail->name_room ? tail->name_room * 2 : 64;
    struct name **larger = realloc(tail->names, room * sizeof(struct name *));
    if (!larger)
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for the names of segments");
    tail->names = larger;
    tail->name_room = room;
  }
  size_t length = strlen(file) + 1;
  struct name *name = malloc(sizeof *name + length);
  if (!name)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the names of segments");
  name->done = done;
  name->late = tail->finishing;
  name->bytes = UINT64_MAX;
  memcpy(name->file, file, length);
  memmove(tail->names + at + 1, tail->names + at, (tail->name_count - at) * sizeof(struct name *));
  tail->names[at] = name;
  tail->name_count++;
  return 0;
}

/* A generation of this segment was read, or is not to be. */
static bool is_base_done(const struct gg_tail *tail, const char *file)
{
  bool found;
  unsigned generation;
  size_t base = gg__segment_base(file, &generation);
  for (size_t at = find_name(tail, file, &found); at > 0 && strncmp(tail->names[at - 1]->file, file, base) == 0; at--)
    if (tail->names[at - 1]->done && gg__segment_same_base(tail->names[at - 1]->file, file))
      return true;
  for (size_t at = find_name(tail, file, &found); at < tail->name_count; at++) {
    if (strncmp(tail->names[at]->file, file, base) != 0)
      break;
    if (tail->names[at]->done && gg__segment_same_base(tail->names[at]->file, file))
      return true;
  }
  return false;
}

typedef int (*visit_fn)(struct gg_tail *tail, const char *file, const char *log, void *context,
                        struct gg_failure *failure);

struct visiting {
  struct gg_tail *tail;
  visit_fn visit;
  void *context;
  struct gg_failure *failure;
};

static int visit_segment(void *context, const char *file)
{
  struct visiting *visiting = context;
  char log[NAME_MAX_BYTES];
  unsigned generation;
  if (strlen(file) >= NAME_MAX_BYTES || !gg__segment_log(file, log))
    return 0;
  gg__segment_base(file, &generation);
  if (generation > 0 && is_base_done(visiting->tail, file))
    return 0;
  return visiting->visit(visiting->tail, file, log, visiting->context, visiting->failure);
}

/* Calls for every segment that is there until a call returns an error. */
static int each_segment(struct gg_tail *tail, visit_fn visit, void *context, struct gg_failure *failure)
{
  char path[4096];
  snprintf(path, sizeof path, "%s/segments", tail->store->path);
  const struct gg__place place = {.directory = path, .store = tail->store->path};
  struct visiting visiting = {tail, visit, context, failure};
  return gg__place_each(&place, visit_segment, &visiting, failure);
}

/* Was there before the gateway was asked for the first time. */
static int note_old(struct gg_tail *tail, const char *file, const char *log, void *context, struct gg_failure *failure)
{
  (void)log;
  (void)context;
  return note_name(tail, file, !tail->from_start, failure);
}

/* Completed between the look at the store and the gateway's first word. */
static int note_passed(struct gg_tail *tail, const char *file, const char *log, void *context,
                       struct gg_failure *failure)
{
  const struct chain *chain = context;
  bool passed = strcmp(log, chain->log) == 0 && gg__segment_number(file) < gg__segment_number(chain->live);
  return passed ? note_name(tail, file, true, failure) : 0;
}

/* What the choice of a chain's next segment goes by: the lowest wins. */
enum rank { RANK_OLD, RANK_FIRST_LIVE, RANK_NEXT_NUMBER, RANK_OTHER, RANK_NONE };

struct choice {
  const struct chain *chain;
  enum rank rank;
  char file[NAME_MAX_BYTES];
};

static int consider(struct gg_tail *tail, const char *file, const char *log, void *context, struct gg_failure *failure)
{
  struct choice *choice = context;
  const struct chain *chain = choice->chain;
  bool found;
  (void)failure;
  if (strcmp(log, chain->log) != 0)
    return 0;
  size_t at = find_name(tail, file, &found);
  if (found ? tail->names[at]->done : tail->finishing)
    return 0;
  enum rank rank = RANK_OTHER;
  if (strcmp(file, chain->first_live) == 0)
    rank = RANK_FIRST_LIVE;
  else if (found && !tail->names[at]->late)
    rank = RANK_OLD;
  else if (gg__segment_number(file) == gg__segment_number(chain->file) + 1)
    rank = RANK_NEXT_NUMBER;
  if (rank < choice->rank || (rank == choice->rank && strcmp(file, choice->file) < 0)) {
    choice->rank = rank;
    snprintf(choice->file, sizeof choice->file, "%s", file);
  }
  return 0;
}

/* The chain has no frames afterwards if the segment is not there or cannot be opened. Its number counts all the same:
 * the next one of the run comes next. */
static int open_segment(struct gg_tail *tail, struct chain *chain, const char *file, uint64_t offset,
                        struct gg_failure *failure)
{
  char path[4096];
  struct stat status;
  struct gg_failure why = GG_FAILURE_INIT;
  snprintf(chain->file, sizeof chain->file, "%s", file);
  snprintf(path, sizeof path, "%s/segments/%s", tail->store->path, file);
  int error = gg__frames_open(&chain->frames, path, &why);
  if (error == GG_ERR_NOMEM || error == GG_ERR_LIMIT) /* ours, and not the segment's */
    return gg_fail(failure, error, "%s", why.message);
  if (error && lstat(path, &status) != 0 && errno == ENOENT)
    return 0; /* named, and not made yet; or deleted since it was listed */
  if (error) {
    if (tail->on_warning)
      tail->on_warning(tail->context, why.message);
    return note_name(tail, file, true, failure);
  }
  if (offset > 0)
    error = gg__frames_jump(chain->frames, offset, false, failure);
  if (error) {
    gg__frames_close(chain->frames);
    chain->frames = NULL;
    return error;
  }
  error = note_name(tail, file, true, failure);
  bool found;
  size_t at = find_name(tail, file, &found);
  chain->end_bytes = found ? tail->names[at]->bytes : UINT64_MAX;
  return error;
}

/* ── Chains ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct chain *find_chain(struct gg_tail *tail, const char *log)
{
  for (size_t i = 0; i < tail->chain_count; i++)
    if (strcmp(tail->chains[i]->log, log) == 0)
      return tail->chains[i];
  struct chain *chain = tail->chain_count < GG_TAIL_LOGS_MAX ? calloc(1, sizeof *chain) : NULL;
  if (!chain)
    return NULL;
  snprintf(chain->log, sizeof chain->log, "%s", log);
  tail->chains[tail->chain_count++] = chain;
  return chain;
}

/* Every log that has left segments. */
static int find_old_chain(struct gg_tail *tail, const char *file, const char *log, void *context,
                          struct gg_failure *failure)
{
  (void)file;
  (void)context;
  return find_chain(tail, log) ? 0 : gg_fail(failure, GG_ERR_LIMIT, "more than %d logs", GG_TAIL_LOGS_MAX);
}

/* A frame waits in the chain afterwards, unless all that is there was given. Then it is not looked at again before the
 * gateway's next word: what comes meanwhile is beyond what this one promised, and a look at every frame of the others,
 * which may list the directory, would be slower than a gateway records. */
static int fetch(struct gg_tail *tail, struct chain *chain, struct gg_failure *failure)
{
  /* Bounded by the segments that there are: each turn takes one, or passes it over. */
  while (!chain->waiting && !chain->dry && !atomic_load(&tail->stop)) {
    bool more = chain->frames && gg__frames_offset(chain->frames) < chain->end_bytes;
    int error = more ? gg__frames_next(chain->frames, &chain->frame, failure) : GG_ERR_AGAIN;
    chain->waiting = error == 0;
    chain->due_ns = chain->frame.packet.time_ns;
    if (error && error != GG_ERR_AGAIN && error != GG_ERR_CORRUPT)
      return error;
    if (chain->waiting)
      return 0;
    struct choice choice = {.chain = chain, .rank = RANK_NONE};
    bool is_live = chain->frames && strcmp(chain->file, chain->live) == 0;
    error = is_live ? 0 : each_segment(tail, consider, &choice, failure);
    chain->dry = choice.rank == RANK_NONE;
    if (error || chain->dry)
      return error;
    gg__frames_close(chain->frames);
    chain->frames = NULL;
    error = open_segment(tail, chain, choice.file, 0, failure);
    if (!error && !chain->frames) /* not to be chosen again and again */
      error = note_name(tail, choice.file, true, failure);
    if (error)
      return error;
  }
  return 0;
}

/* A complete segment's records are older than those of the one being written, and the watermark is at most a flush
 * behind them. If a time says otherwise by more than that, the clock was set back since, and waiting until it comes
 * there again would be silence. */
static void hold_due(struct chain *chain)
{
  bool complete = chain->live[0] && strcmp(chain->file, chain->live) != 0;
  if (complete && chain->due_ns > chain->watermark_ns && chain->due_ns - chain->watermark_ns > behind_max_ns)
    chain->due_ns = chain->watermark_ns;
}

static int write_until(struct gg_tail *tail, uint64_t watermark_ns, struct gg_failure *failure)
{
  while (!atomic_load(&tail->stop)) { /* bounded by what is in the files */
    struct chain *first = NULL;
    for (size_t i = 0; i < tail->chain_count; i++) {
      struct chain *chain = tail->chains[i];
      int error = fetch(tail, chain, failure);
      if (error)
        return error;
      hold_due(chain);
      if (chain->waiting && (!first || chain->due_ns < first->due_ns))
        first = chain;
    }
    if (!first || first->due_ns > watermark_ns)
      break;
    bool outbound = first->frame.packet.direction == GG_PCAPNG_OUTBOUND;
    int error = gg__sink_frame(tail->sink, &first->frame, outbound, failure);
    if (error)
      return error;
    first->waiting = false;
  }
  return gg__sink_flush(tail->sink, failure);
}

/* ── The gateway's word ──────────────────────────────────────────────────────────────────────────────────────────── */

static const char *text_of(const struct gg_json_value *object, const char *key)
{
  const char *text = gg_json_value_text(gg_json_value_get(object, key));
  return text && strlen(text) < NAME_MAX_BYTES && !strchr(text, '/') ? text : NULL;
}

static int take_log(struct gg_tail *tail, const struct gg_json_value *object, struct gg_failure *failure)
{
  const char *log = text_of(object, "name"), *segment = text_of(object, "segment");
  uint64_t bytes = (uint64_t)gg_json_value_whole(gg_json_value_get(object, "segment_bytes"));
  uint64_t watermark_ns = (uint64_t)gg_json_value_whole(gg_json_value_get(object, "watermark_ns"));
  struct chain *chain = log && segment ? find_chain(tail, log) : NULL;
  if (!chain)
    return gg_fail(failure, GG_ERR_FORMAT, "the gateway's answer names a log that cannot be followed");
  memcpy(chain->live, segment, strlen(segment) + 1);
  chain->watermark_ns = watermark_ns;
  chain->told = true;
  if (watermark_ns < tail->watermark_ns)
    tail->watermark_ns = watermark_ns;
  if (tail->updated || chain->frames)
    return 0;
  memcpy(chain->first_live, segment, strlen(segment) + 1);
  if (tail->from_start || !segment[0])
    return 0;
  /* From now on: behind what is in the file. */
  int error = each_segment(tail, note_passed, chain, failure);
  return error ? error : open_segment(tail, chain, segment, bytes, failure);
}

static int take_reply(struct gg_tail *tail, const struct gg_json_value *reply, struct gg_failure *failure)
{
  const struct gg_json_value *logs = gg_json_value_get(reply, "logs");
  int error =
    gg_json_value_is(logs, GG_JSON_ARRAY) ? 0 : gg_fail(failure, GG_ERR_FORMAT, "the gateway's answer names no logs");
  for (const struct gg_json_value *log = gg_json_value_first(logs); !error && log; log = gg_json_value_next(log))
    error = take_log(tail, log, failure);
  return error;
}

/* A gateway that answers no more may still be writing what it has, until it ends: its segments are named in its list of
 * what runs (record/running.c). Nothing goes beyond its last word before, but for one that was killed and that nobody
 * recovers: that is not waited for any longer than behind_max_ns. */
static void wait_for_the_silent(struct gg_tail *tail)
{
  char *running = NULL, line[NAME_MAX_BYTES + 16];
  for (size_t i = 0; i < tail->chain_count; i++) {
    const struct chain *chain = tail->chains[i];
    if (chain->told || chain->watermark_ns == 0 || chain->watermark_ns >= tail->watermark_ns ||
        tail->watermark_ns - chain->watermark_ns > behind_max_ns)
      continue;
    if (!running && !(running = gg__store_running(tail->store->path)))
      return;
    snprintf(line, sizeof line, "\nsegment %s ", chain->log);
    if (strstr(running, line))
      tail->watermark_ns = chain->watermark_ns;
  }
  free(running);
}

int gg_tail_update(struct gg_tail *tail, const char *logs_replies, struct gg_failure *failure)
{
  int error = 0;
  if (!tail->updated && tail->from_start)
    error = each_segment(tail, find_old_chain, NULL, failure);
  tail->watermark_ns = UINT64_MAX;
  for (size_t i = 0; i < tail->chain_count; i++) {
    tail->chains[i]->told = tail->chains[i]->dry = false;
    tail->chains[i]->live[0] = '\0';
  }
  do { /* a line each */
    size_t length = strcspn(logs_replies, "\n");
    struct gg_json_doc reply;
    int read = gg_json_doc_parse(&reply, logs_replies, length, NULL);
    if (!error && read == GG_ERR_NOMEM)
      error = gg_fail(failure, read, "no memory for the gateway's answer");
    error = error ? error : take_reply(tail, reply.root, failure);
    gg_json_doc_fini(&reply);
    logs_replies += length + (logs_replies[length] != '\0');
  } while (!error && *logs_replies);
  if (error)
    return error;
  tail->updated = true;
  wait_for_the_silent(tail);
  return write_until(tail, tail->watermark_ns, failure);
}

/* What is there of a segment now is all that is read of it: the next gateway may be writing to the store already, and
 * with a slow reader there would be more of it each time. */
static int note_end(struct gg_tail *tail, const char *file, const char *log, void *context, struct gg_failure *failure)
{
  char path[4096];
  struct stat status;
  (void)log;
  (void)context;
  snprintf(path, sizeof path, "%s/segments/%s", tail->store->path, file);
  if (stat(path, &status) != 0)
    return 0; /* deleted since it was listed */
  int error = note_name(tail, file, false, failure);
  bool found;
  size_t at = find_name(tail, file, &found);
  if (error || !found)
    return error;
  tail->names[at]->bytes = (uint64_t)status.st_size;
  for (size_t i = 0; i < tail->chain_count; i++)
    if (strcmp(tail->chains[i]->file, file) == 0)
      tail->chains[i]->end_bytes = (uint64_t)status.st_size;
  return 0;
}

int gg_tail_finish(struct gg_tail *tail, struct gg_failure *failure)
{
  tail->finishing = true;
  int error = each_segment(tail, note_end, NULL, failure);
  for (size_t i = 0; i < tail->chain_count; i++) {
    tail->chains[i]->live[0] = '\0';
    tail->chains[i]->dry = false;
  }
  return error ? error : write_until(tail, UINT64_MAX, failure);
}

void gg_tail_stop(struct gg_tail *tail)
{
  atomic_store(&tail->stop, true);
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg_tail_create(struct gg_tail **out, struct gg_store *store, int fd, bool from_start, struct gg_failure *failure)
{
  *out = NULL;
  if (!store->own)
    return gg_fail(failure, GG_ERR_FORMAT, "%s is not a gateway's store", store->path);
  struct gg_tail *tail = calloc(1, sizeof *tail);
  if (!tail)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for following a store");
  tail->store = store;
  tail->from_start = from_start;
  int error = gg__sink_create(&tail->sink, fd, "the output", GG_EXPORT_PCAPNG, 0, failure);
  if (!error)
    gg__sink_stop_by(tail->sink, &tail->stop);
  if (!error)
    error = each_segment(tail, note_old, NULL, failure);
  if (error)
    gg_tail_destroy(tail);
  else
    *out = tail;
  return error;
}

void gg_tail_on_warning(struct gg_tail *tail, void (*on_warning)(void *context, const char *text), void *context)
{
  tail->on_warning = on_warning;
  tail->context = context;
}

void gg_tail_destroy(struct gg_tail *tail)
{
  if (!tail)
    return;
  for (size_t i = 0; i < tail->chain_count; i++) {
    gg__frames_close(tail->chains[i]->frames);
    free(tail->chains[i]);
  }
  for (size_t i = 0; i < tail->name_count; i++)
    free(tail->names[i]);
  free(tail->names);
  gg__sink_destroy(tail->sink);
  free(tail);
}
