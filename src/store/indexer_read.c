/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer_read.c - from packets to parts, by the rules of part.h.
 *
 * A part is over, and told for the last time, when
 *   - it has its closing facts: its 4-tuple is free then, and nothing of it is kept;
 *   - another session's first packet comes on its 4-tuple;
 *   - its segment is complete.
 * A part of somebody else's capture has no closing facts, and packets may follow its last FIN: it stays until one of
 * the other two.
 *
 * Long packets are not read back as a whole: what is written with direct I/O is in no cache, so each byte would come
 * from the disk. In captures of others packets may be out of order, and the first bytes of a stream may then have to be
 * kept until their turn: those files are read whole from the first session of that kind on.
 */
#include "store/indexer_private.h"

#include "store/facts.h"
#include "store/feed.h"
#include "store/frames.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Parts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Its reading, and who reads, know nothing of it any more. */
static void let_go(struct gg__indexer *indexer, struct gg__opened *opened)
{
  gg__flows_unbind(&opened->reading->flows, &opened->part);
  gg_list_remove(&opened->node);
  gg__opened_settle(indexer, opened);
  indexer->open_count--;
}

void gg__opened_destroy(struct gg__opened *opened)
{
  gg__part_fini(&opened->part);
  for (size_t i = 0; i < GG__TEXTS; i++)
    free(opened->text[i]);
  free(opened);
}

void gg__opened_free(struct gg__indexer *indexer, struct gg__opened *opened)
{
  let_go(indexer, opened);
  gg__opened_destroy(opened);
}

/* A text that stays until the same one of a later packet replaces it. */
static const char *keep(void *context, enum gg__part_text which, const char *text)
{
  struct gg__opened *opened = context;
  char **kept = &opened->text[which];
  if (!text[0])
    return "";
  if (*kept && strcmp(*kept, text) == 0)
    return *kept;
  char *copy = strdup(text);
  if (!copy)
    return NULL;
  free(*kept);
  *kept = copy;
  return copy;
}

struct counting {
  struct gg__part *part;
  int side;
};

static int count_run(void *context, const struct gg__run *run)
{
  struct counting *counting = context;
  gg__part_take_run(counting->part, counting->side, run);
  return 0;
}

/* What waits in streams for packets that will not come any more is counted as far as it goes. */
static void settle(struct gg__part *part)
{
  for (int side = 0; side < 2; side++) {
    struct counting counting = {part, side};
    gg__stream_flush(&part->stream[side], count_run, &counting);
    gg__stream_fini(&part->stream[side]);
  }
}

/* Told for the last time, and let go. */
static int end_part(struct gg__indexer *indexer, struct gg__opened *opened)
{
  settle(&opened->part);
  if (indexer->lane) {
    let_go(indexer, opened);
    return gg__lane_put(indexer->lane, opened);
  }
  int error = gg__indexer_put(indexer, opened);
  gg__opened_free(indexer, opened);
  return error;
}

static int begin_part(struct gg__indexer *indexer, struct gg__reading *reading, struct gg__opened **out,
                      const struct gg__frame *frame, const struct gg__facts *facts)
{
  if (indexer->open_count >= GG_INDEXER_OPEN_MAX && !gg_list_empty(&reading->parts)) {
    int error = end_part(indexer, GG_CONTAINER(reading->parts.next, struct gg__opened, node));
    if (error)
      return error;
  }
  struct gg__opened *opened = calloc(1, sizeof *opened);
  if (!opened)
    return GG_ERR_NOMEM;
  gg__part_begin(&opened->part, reading->capture->name, frame, facts);
  opened->part.capture = reading->capture;
  opened->reading = reading;
  gg_list_init(&opened->node);
  gg_list_init(&opened->waiting);
  gg_list_append(&reading->parts, &opened->node);
  indexer->open_count++;
  *out = opened;
  return gg__flows_bind(&reading->flows, &opened->part);
}

/* It has changed since it was told. */
static void note_change(struct gg__indexer *indexer, struct gg__opened *opened)
{
  if (indexer->lane || !gg_list_empty(&opened->waiting))
    return;
  gg_list_append(&indexer->waiting, &opened->waiting);
  indexer->waiting_count++;
}

static int take_frame(struct gg__indexer *indexer, struct gg__reading *reading, const struct gg__frame *frame)
{
  struct gg__facts parsed;
  enum gg__facts_kind kind = GG__FACTS_NONE;
  if (frame->comment)
    kind = gg__facts_parse(&parsed, frame->comment, frame->comment_bytes);
  if (kind == GG__FACTS_NOMEM)
    return GG_ERR_NOMEM;
  const struct gg__facts *facts = kind == GG__FACTS_OURS ? &parsed : NULL;
  struct gg__opened *opened = (struct gg__opened *)gg__flows_find(&reading->flows, frame);
  int error = 0;
  if (opened && gg__part_replaced(&opened->part, frame, facts)) {
    error = end_part(indexer, opened);
    opened = NULL;
  }
  if (!error && !opened)
    error = begin_part(indexer, reading, &opened, frame, facts);
  if (!error && facts)
    error = gg__part_take_facts(&opened->part, facts, keep, opened);
  if (error)
    return error;
  if (opened->part.foreign)
    gg__frames_skim(reading->frames, false, NULL);
  int side = gg__part_side(&opened->part, frame);
  assert(side >= 0);
  gg__part_note(&opened->part, side, frame);
  struct counting counting = {&opened->part, side};
  error = gg__part_push(&opened->part, side, frame, facts ? facts->gap : 0, true, count_run, &counting);
  if (!error && opened->part.closed)
    return end_part(indexer, opened);
  note_change(indexer, opened);
  return error;
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__reading_close(struct gg__indexer *indexer, struct gg__reading *reading)
{
  if (!reading->frames)
    return;
  gg__frames_close(reading->frames);
  reading->frames = NULL;
  indexer->reader_count--;
}

void gg__reading_free(struct gg__indexer *indexer, struct gg__reading *reading)
{
  if (!reading)
    return;
  gg__reading_close(indexer, reading);
  while (!gg_list_empty(&reading->parts))
    gg__opened_free(indexer, GG_CONTAINER(reading->parts.next, struct gg__opened, node));
  gg__flows_fini(&reading->flows);
  gg__capture_destroy(reading->capture);
  free(reading);
}

static int begin_reading(struct gg__indexer *indexer, struct gg__indexed *file)
{
  struct gg__reading *reading = calloc(1, sizeof *reading);
  if (!reading)
    return GG_ERR_NOMEM;
  gg_list_init(&reading->parts);
  int error = gg__capture_create(&reading->capture, indexer->place.directory, file->name, indexer->place.store != NULL);
  if (error) {
    free(reading);
    return error;
  }
  file->reading = reading;
  indexer->stats.segments++;
  return 0;
}

/* One that was read least lately makes room. */
static void close_one(struct gg__indexer *indexer)
{
  struct gg__reading *oldest = NULL;
  for (size_t i = 0; i < indexer->file_count; i++) {
    struct gg__reading *reading = indexer->files[i]->reading;
    if (reading && reading->frames && (!oldest || reading->used < oldest->used))
      oldest = reading;
  }
  if (oldest)
    gg__reading_close(indexer, oldest);
}

/* It is not the file that is wrong: what is behind is not to be taken for read. The step fails, and is tried again. */
static bool may_pass(int error)
{
  return error == GG_ERR_IO || error == GG_ERR_LIMIT;
}

/* Trouble with the file is no error, but told of at its end: `stuck`. */
static int open_frames(struct gg__indexer *indexer, struct gg__indexed *file)
{
  struct gg__reading *reading = file->reading;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (indexer->reader_count >= GG_INDEXER_READERS_MAX)
    close_one(indexer);
  int error = gg__frames_open(&reading->frames, reading->capture->path, &failure);
  if (!error) {
    indexer->reader_count++;
    error = gg__frames_skim(reading->frames, true, &failure);
  }
  if (!error && file->scanned > 0)
    error = gg__frames_jump(reading->frames, file->scanned, file->scattered, &failure);
  if (error == 0 || error == GG_ERR_NOMEM)
    return error;
  gg__reading_close(indexer, reading);
  if (may_pass(error))
    return gg_fail(indexer->failure, error, "%s", failure.message);
  gg__capture_unreadable(reading->capture, failure.message);
  reading->stuck = true;
  return 0;
}

static void note_time(struct gg__indexed *file, uint64_t time_ns)
{
  struct gg__capture *capture = file->reading->capture;
  if (capture->packets++ == 0 || time_ns < file->first_ns)
    file->first_ns = time_ns;
  if (time_ns > file->last_ns)
    file->last_ns = time_ns;
}

static int take_one(struct gg__indexer *indexer, struct gg__indexed *file, const struct gg__frame *frame)
{
  struct gg__reading *reading = file->reading;
  note_time(file, frame->packet.time_ns);
  int error = take_frame(indexer, reading, frame);
  file->scanned = gg__frames_offset(reading->frames); /* a batch may be committed in between */
  file->scattered = gg__frames_scattered(reading->frames);
  return !error && gg__indexer_is_full(indexer) ? gg__indexer_commit(indexer) : error;
}

/* What the writer has handed on in memory of what follows. */
static int read_feed(struct gg__indexer *indexer, struct gg__indexed *file, uint64_t until)
{
  struct gg__reading *reading = file->reading;
  struct gg__feed_piece *piece;
  int error = 0;
  while (!error && file->scanned < until && (piece = gg__feed_take(indexer->options.feed, file->name, file->scanned))) {
    struct gg_pcapng_block block;
    struct gg__frame frame;
    while (!error && gg__feed_next(piece, &block)) {
      error = gg__frames_feed(reading->frames, &block, &frame, NULL);
      if (!error)
        error = take_one(indexer, file, &frame);
      else if (error == GG_ERR_IO) /* all is begun anew when that can help */
        error = gg_fail(indexer->failure, error, "%s cannot be looked at", file->name);
      else if (error != GG_ERR_NOMEM)
        error = 0; /* no TCP in it, or damaged: passed over, as in the file */
    }
    free(piece);
    file->scanned = gg__frames_offset(reading->frames);
    file->scattered = gg__frames_scattered(reading->frames);
  }
  return error;
}

static int read_frames(struct gg__indexer *indexer, struct gg__indexed *file, uint64_t until, bool *end)
{
  struct gg__reading *reading = file->reading;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__frame frame;
  int result = 0, error = 0;
  while (!error && gg__frames_offset(reading->frames) < until &&
         (result = gg__frames_next(reading->frames, &frame, &failure)) == 0) {
    error = take_one(indexer, file, &frame);
  }
  file->scanned = gg__frames_offset(reading->frames);
  file->scattered = gg__frames_scattered(reading->frames);
  *end = result != 0;
  reading->capture->strangers = gg__frames_strangers(reading->frames);
  if (result != 0)
    gg__capture_conclude(reading->capture, reading->frames, result, &failure);
  reading->stuck = result != 0 && result != GG_ERR_AGAIN;
  if (!error && may_pass(result))
    return gg_fail(indexer->failure, result, "%s", failure.message);
  return result == GG_ERR_NOMEM ? result : error;
}

int gg__indexer_read_on(struct gg__indexer *indexer, struct gg__indexed *file, uint64_t bytes, bool *end)
{
  *end = false;
  int error = file->reading ? 0 : begin_reading(indexer, file);
  if (!error && !file->reading->frames && !file->reading->stuck)
    error = open_frames(indexer, file);
  if (error)
    return error;
  file->reading->used = indexer->step;
  if (!file->reading->frames) {
    *end = true;
    return 0;
  }
  uint64_t before = file->scanned;
  if (indexer->options.feed)
    error = read_feed(indexer, file, before + bytes < before ? UINT64_MAX : before + bytes);
  if (!error && file->scanned - before < bytes)
    error = read_frames(indexer, file, before + bytes < before ? UINT64_MAX : before + bytes, end);
  indexer->stats.bytes += file->scanned - before;
  return error;
}

int gg__indexer_read(struct gg__indexer *indexer, struct gg__indexed *file, uint64_t bytes, bool *end)
{
  uint64_t before = file->scanned;
  int error = gg__indexer_touch(indexer, file);
  if (!error)
    error = gg__indexer_read_on(indexer, file, bytes, end);
  file->dirty |= file->scanned != before || !file->known;
  indexer->done += file->scanned - before;
  return error;
}

int gg__indexer_end_parts(struct gg__indexer *indexer, struct gg__reading *reading)
{
  int error = 0;
  while (!error && reading && !gg_list_empty(&reading->parts))
    error = end_part(indexer, GG_CONTAINER(reading->parts.next, struct gg__opened, node));
  return error;
}

int gg__indexer_complete(struct gg__indexer *indexer, struct gg__indexed *file)
{
  int error = gg__indexer_touch(indexer, file);
  struct gg__reading *reading = file->reading;
  if (!error)
    error = gg__indexer_end_parts(indexer, reading);
  if (error)
    return error;
  if (reading && reading->capture->problem[0] && indexer->options.warning)
    indexer->options.warning(indexer->options.context, reading->capture->problem);
  /* What is torn off was never whole; what is damaged may have more sessions than were found. */
  if (reading &&
      (reading->capture->health == GG__CAPTURE_DAMAGED || reading->capture->health == GG__CAPTURE_UNREADABLE))
    error = gg__catalogue_note_damage(indexer->catalogue, indexer->failure);
  gg__reading_free(indexer, reading);
  if (indexer->options.feed)
    free(gg__feed_take(indexer->options.feed, file->name, UINT64_MAX));
  file->reading = NULL;
  file->complete = true;
  file->scanned = file->bytes;
  file->dirty = true;
  return error;
}
