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
 */
#include "store/frames.h"
#include "store/sink.h"
#include "store/store.h"

#include "record/pcapng.h"

#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHAINS_MAX = 1024, NAME_MAX_BYTES = 128 };

struct chain {
  char log[NAME_MAX_BYTES];
  char file[NAME_MAX_BYTES]; /* being read; empty: none yet */
  char live[NAME_MAX_BYTES]; /* being written, by the last word of the gateway; empty: none */
  struct gg__frames *frames;
  struct gg__frame frame; /* waits to be written, if `waiting` */
  bool waiting;
};

struct gg_tail {
  struct gg_store *store;
  struct gg__sink *sink;
  bool from_start;
  bool updated;
  uint64_t watermark_ns;
  size_t chain_count;
  struct chain *chains[CHAINS_MAX];
};

/* ── Segments of a log ───────────────────────────────────────────────────────────────────────────────────────────── */

/* "STAMP-LOG-NUMBER.pcapng". */
static bool log_of(const char *file, char log[NAME_MAX_BYTES])
{
  const char *first = strchr(file, '-'), *last = strrchr(file, '-'), *dot = strrchr(file, '.');
  if (!first || first == last || !dot || strcmp(dot, ".pcapng") != 0 || last - first > NAME_MAX_BYTES - 1)
    return false;
  size_t length = (size_t)(last - first - 1);
  memcpy(log, first + 1, length);
  log[length] = '\0';
  return length > 0;
}

static int open_segments(const struct gg_tail *tail, DIR **out, struct gg_failure *failure)
{
  char path[4096];
  snprintf(path, sizeof path, "%s/segments", tail->store->path);
  *out = opendir(path);
  return *out ? 0 : gg_fail(failure, GG_ERR_IO, "cannot read %s", path);
}

/* The log's first segment behind the one that is being read; empty if there is none. */
static int next_segment(const struct gg_tail *tail, const struct chain *chain, char next[NAME_MAX_BYTES],
                        struct gg_failure *failure)
{
  DIR *directory;
  char log[NAME_MAX_BYTES];
  int error = open_segments(tail, &directory, failure);
  next[0] = '\0';
  if (error)
    return error;
  for (struct dirent *entry; (entry = readdir(directory));) {
    if (strlen(entry->d_name) >= NAME_MAX_BYTES || !log_of(entry->d_name, log) || strcmp(log, chain->log) != 0)
      continue;
    if (strcmp(entry->d_name, chain->file) > 0 && (!next[0] || strcmp(entry->d_name, next) < 0))
      memcpy(next, entry->d_name, strlen(entry->d_name) + 1);
  }
  closedir(directory);
  return 0;
}

static int open_segment(const struct gg_tail *tail, struct chain *chain, const char *file, uint64_t offset,
                        struct gg_failure *failure)
{
  char path[4096];
  struct stat status;
  snprintf(path, sizeof path, "%s/segments/%s", tail->store->path, file);
  if (stat(path, &status) != 0)
    return 0; /* named, and not made yet */
  int error = gg__frames_open(&chain->frames, path, failure);
  if (!error && offset > 0)
    error = gg__frames_jump(chain->frames, offset, false, failure);
  if (error) {
    gg__frames_close(chain->frames);
    chain->frames = NULL;
    return error;
  }
  snprintf(chain->file, sizeof chain->file, "%s", file);
  return 0;
}

/* ── Chains ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct chain *find_chain(struct gg_tail *tail, const char *log)
{
  for (size_t i = 0; i < tail->chain_count; i++)
    if (strcmp(tail->chains[i]->log, log) == 0)
      return tail->chains[i];
  struct chain *chain = tail->chain_count < CHAINS_MAX ? calloc(1, sizeof *chain) : NULL;
  if (!chain)
    return NULL;
  snprintf(chain->log, sizeof chain->log, "%s", log);
  tail->chains[tail->chain_count++] = chain;
  return chain;
}

/* Every log that has left segments. */
static int find_old_chains(struct gg_tail *tail, struct gg_failure *failure)
{
  DIR *directory;
  char log[NAME_MAX_BYTES];
  int error = open_segments(tail, &directory, failure);
  if (error)
    return error;
  for (struct dirent *entry; !error && (entry = readdir(directory));)
    if (strlen(entry->d_name) < NAME_MAX_BYTES && log_of(entry->d_name, log) && !find_chain(tail, log))
      error = gg_fail(failure, GG_ERR_LIMIT, "more than %d logs", CHAINS_MAX);
  closedir(directory);
  return error;
}

/* A frame waits in the chain afterwards, unless all that is there was given. */
static int fetch(struct gg_tail *tail, struct chain *chain, struct gg_failure *failure)
{
  char next[NAME_MAX_BYTES];
  while (!chain->waiting) { /* bounded by the segments that there are */
    int error = chain->frames ? gg__frames_next(chain->frames, &chain->frame, failure) : GG_ERR_AGAIN;
    if (error == 0)
      chain->waiting = true;
    else if (error != GG_ERR_AGAIN && error != GG_ERR_CORRUPT)
      return error;
    if (chain->waiting || (chain->frames && strcmp(chain->file, chain->live) == 0))
      return 0;
    error = next_segment(tail, chain, next, failure);
    if (error || !next[0])
      return error;
    gg__frames_close(chain->frames);
    chain->frames = NULL;
    error = open_segment(tail, chain, next, 0, failure);
    if (error || !chain->frames)
      return error;
  }
  return 0;
}

static int write_until(struct gg_tail *tail, uint64_t watermark_ns, struct gg_failure *failure)
{
  for (;;) { /* bounded by what is in the files */
    struct chain *first = NULL;
    for (size_t i = 0; i < tail->chain_count; i++) {
      struct chain *chain = tail->chains[i];
      int error = fetch(tail, chain, failure);
      if (error)
        return error;
      if (chain->waiting && (!first || chain->frame.packet.time_ns < first->frame.packet.time_ns))
        first = chain;
    }
    if (!first || first->frame.packet.time_ns > watermark_ns)
      return gg__sink_flush(tail->sink, failure);
    bool outbound = first->frame.packet.direction == GG_PCAPNG_OUTBOUND;
    int error = gg__sink_frame(tail->sink, &first->frame, outbound, failure);
    if (error)
      return error;
    first->waiting = false;
  }
}

/* ── The gateway's word ──────────────────────────────────────────────────────────────────────────────────────────── */

static const char *text_of(const json_t *object, const char *key)
{
  const char *text = json_string_value(json_object_get(object, key));
  return text && strlen(text) < NAME_MAX_BYTES && !strchr(text, '/') ? text : NULL;
}

static int skip_old(const struct gg_tail *tail, struct chain *chain, struct gg_failure *failure)
{
  char next[NAME_MAX_BYTES];
  int error;
  while ((error = next_segment(tail, chain, next, failure)) == 0 && next[0])
    memcpy(chain->file, next, sizeof next);
  return error;
}

static int take_log(struct gg_tail *tail, const json_t *object, struct gg_failure *failure)
{
  const char *log = text_of(object, "name"), *segment = text_of(object, "segment");
  uint64_t bytes = (uint64_t)json_integer_value(json_object_get(object, "segment_bytes"));
  uint64_t watermark_ns = (uint64_t)json_integer_value(json_object_get(object, "watermark_ns"));
  struct chain *chain = log && segment ? find_chain(tail, log) : NULL;
  if (!chain)
    return gg_fail(failure, GG_ERR_FORMAT, "the gateway's answer names a log that cannot be followed");
  memcpy(chain->live, segment, strlen(segment) + 1);
  if (watermark_ns < tail->watermark_ns)
    tail->watermark_ns = watermark_ns;
  if (tail->updated || tail->from_start)
    return 0;
  /* From now on: behind what is in the file, or, if it has none yet, behind the segments of earlier runs. */
  return segment[0] ? open_segment(tail, chain, segment, bytes, failure) : skip_old(tail, chain, failure);
}

int gg_tail_update(struct gg_tail *tail, const char *logs_reply, struct gg_failure *failure)
{
  json_t *reply = json_loads(logs_reply, 0, NULL);
  const json_t *logs = json_object_get(reply, "logs");
  int error = json_is_array(logs) ? 0 : gg_fail(failure, GG_ERR_FORMAT, "the gateway's answer names no logs");
  if (!error && !tail->updated && tail->from_start)
    error = find_old_chains(tail, failure);
  tail->watermark_ns = UINT64_MAX;
  for (size_t i = 0; !error && i < json_array_size(logs); i++)
    error = take_log(tail, json_array_get(logs, i), failure);
  json_decref(reply);
  if (error)
    return error;
  tail->updated = true;
  return write_until(tail, tail->watermark_ns, failure);
}

int gg_tail_finish(struct gg_tail *tail, struct gg_failure *failure)
{
  for (size_t i = 0; i < tail->chain_count; i++)
    tail->chains[i]->live[0] = '\0';
  return write_until(tail, UINT64_MAX, failure);
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
  if (error)
    gg_tail_destroy(tail);
  else
    *out = tail;
  return error;
}

void gg_tail_destroy(struct gg_tail *tail)
{
  if (!tail)
    return;
  for (size_t i = 0; i < tail->chain_count; i++) {
    gg__frames_close(tail->chains[i]->frames);
    free(tail->chains[i]);
  }
  gg__sink_destroy(tail->sink);
  free(tail);
}
