/* SPDX-License-Identifier: Apache-2.0 */
#include "store/merge.h"

#include "store/extents.h"
#include "store/lookup.h"
#include "store/moved.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

/* One file and its chosen parts. */
struct cursor {
  struct gg__capture *capture;
  const struct gg__part **parts; /* into the merge's array: those of this file by first offset */
  size_t part_count;
  struct gg__lookup *lookup; /* of them; made when the file is opened */
  struct gg__moved moved;    /* what was kept of the file, if that has gone; then the parts are an array of their own */
  struct gg__extent *ranges; /* where their packets are; made when the file is opened */
  size_t range_count, range; /* ... and in which of them it reads; 0: everywhere */
  uint64_t first_ns, first_offset, last_offset;
  struct gg__frames *frames;
  struct gg__frame frame; /* the next one, once open */
  const struct gg__part *part;
  int side;
};

struct gg__merge {
  const struct gg__part **parts; /* all chosen ones, by file and offset */
  size_t part_count;
  struct cursor *cursors; /* by time of their first packet */
  size_t cursor_count;
  size_t next; /* cursor to open */
  struct cursor *open[GG_MERGE_OPEN_MAX];
  size_t open_count;
  struct cursor *given;           /* its frame was given out: it moves on at the next call */
  const struct gg_session **lost; /* some of them, in order of ids once they were asked for */
  size_t lost_count, lost_room;
  uint64_t done, total;
};

/* ── Cursors ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Moves to the next chosen frame; GG_ERR_AGAIN: there is none. */
static int advance(struct gg__merge *merge, struct cursor *cursor, struct gg_failure *failure)
{
  for (;;) { /* bounded by the file */
    uint64_t before = gg__frames_offset(cursor->frames);
    if (before > cursor->last_offset)
      return GG_ERR_AGAIN;
    int error = gg__extents_follow(cursor->ranges, cursor->range_count, &cursor->range, cursor->frames, failure);
    if (!error)
      error = gg__frames_next(cursor->frames, &cursor->frame, failure);
    merge->done += gg__frames_offset(cursor->frames) - before;
    if (error)
      return error;
    cursor->part = gg__lookup_find(cursor->lookup, &cursor->frame, &cursor->side);
    if (cursor->part)
      return 0;
  }
}

static void close_cursor(struct cursor *cursor)
{
  gg__frames_close(cursor->frames);
  gg__lookup_destroy(cursor->lookup);
  free(cursor->ranges);
  if (cursor->moved.capture)
    free(cursor->parts);
  gg__moved_fini(&cursor->moved);
  cursor->parts = NULL;
  cursor->frames = NULL;
  cursor->lookup = NULL;
  cursor->ranges = NULL;
  cursor->range_count = 0;
}

/* Sessions are noted once for each part. */
static int note_lost(struct gg__merge *merge, const struct gg__part *part)
{
  if (merge->lost_count == merge->lost_room) {
    size_t room = merge->lost_room ? merge->lost_room * 2 : 16;
    const struct gg_session **larger = realloc(merge->lost, room * sizeof(const struct gg_session *));
    if (!larger)
      return GG_ERR_NOMEM;
    merge->lost = larger;
    merge->lost_room = room;
  }
  merge->lost[merge->lost_count++] = &part->record->session;
  return 0;
}

/* The parts become those of what was kept of the file, which has gone. */
static int follow_parts(struct gg__merge *merge, struct cursor *cursor, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  const struct gg__part **kept = NULL;
  size_t kept_count = 0;
  int error = gg__moved_find(&cursor->moved, cursor->capture, &why);
  bool none = error == GG_ERR_NOT_FOUND;
  if (error && !none)
    return gg_fail(failure, error, "%s", why.message);
  error = 0;
  for (size_t i = 0; i < cursor->part_count && !error; i++)
    if (none || !gg__moved_take(&cursor->moved, cursor->parts[i]))
      error = note_lost(merge, cursor->parts[i]);
  if (!error && !none)
    error = gg__moved_taken(&cursor->moved, &kept, &kept_count);
  if (error) {
    gg__moved_fini(&cursor->moved);
    return gg_fail(failure, error, "no memory for the order of packets");
  }
  cursor->parts = kept;
  cursor->part_count = kept_count;
  cursor->first_offset = kept_count ? kept[0]->first_offset : 0;
  cursor->last_offset = 0;
  for (size_t i = 0; i < kept_count; i++)
    if (kept[i]->last_offset > cursor->last_offset)
      cursor->last_offset = kept[i]->last_offset;
  cursor->frames = cursor->moved.frames;
  cursor->moved.frames = NULL;
  return 0;
}

static int open_file(struct gg__merge *merge, struct cursor *cursor, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  int error = gg__frames_open(&cursor->frames, cursor->capture->path, &why);
  if (error == GG_ERR_NOT_FOUND && cursor->capture->own)
    return follow_parts(merge, cursor, failure);
  return error ? gg_fail(failure, error, "%s", why.message) : 0;
}

static int begin_cursor(struct gg__merge *merge, struct cursor *cursor, struct gg_failure *failure)
{
  bool scattered = cursor->moved.capture ? cursor->moved.capture->scattered : cursor->capture->scattered;
  if (gg__lookup_create(&cursor->lookup, cursor->parts, cursor->part_count) != 0)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for %s", cursor->capture->name);
  cursor->ranges = gg__extents_join(cursor->parts, cursor->part_count, &cursor->range_count);
  int error = gg__frames_jump(cursor->frames, cursor->first_offset, scattered, failure);
  return error ? error : advance(merge, cursor, failure);
}

static int open_cursor(struct gg__merge *merge, struct cursor *cursor, struct gg_failure *failure)
{
  if (merge->open_count == GG_MERGE_OPEN_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d files overlap in time", GG_MERGE_OPEN_MAX);
  int error = open_file(merge, cursor, failure);
  if (!error)
    error = cursor->part_count ? begin_cursor(merge, cursor, failure) : GG_ERR_AGAIN;
  if (!error)
    merge->open[merge->open_count++] = cursor;
  else
    close_cursor(cursor);
  return error == GG_ERR_AGAIN ? 0 : error;
}

static struct cursor *earliest(const struct gg__merge *merge)
{
  struct cursor *first = NULL;
  for (size_t i = 0; i < merge->open_count; i++)
    if (!first || merge->open[i]->frame.packet.time_ns < first->frame.packet.time_ns)
      first = merge->open[i];
  return first;
}

static void remove_open(struct gg__merge *merge, struct cursor *cursor)
{
  size_t at = 0;
  while (merge->open[at] != cursor)
    at++;
  merge->open[at] = merge->open[--merge->open_count];
  close_cursor(cursor);
}

int gg__merge_next(struct gg__merge *merge, const struct gg__frame **frame, const struct gg__part **part, int *side,
                   struct gg_failure *failure)
{
  if (merge->given) {
    int error = advance(merge, merge->given, failure);
    if (error == GG_ERR_AGAIN)
      remove_open(merge, merge->given);
    else if (error)
      return error;
    merge->given = NULL;
  }
  struct cursor *first = earliest(merge);
  while (merge->next < merge->cursor_count &&
         (!first || merge->cursors[merge->next].first_ns <= first->frame.packet.time_ns)) {
    int error = open_cursor(merge, &merge->cursors[merge->next++], failure);
    if (error)
      return error;
    first = earliest(merge);
  }
  if (!first)
    return GG_ERR_AGAIN;
  merge->given = first;
  *frame = &first->frame;
  *part = first->part;
  *side = first->side;
  return 0;
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int by_place(const void *a, const void *b)
{
  const struct gg__part *const *left = a, *const *right = b;
  if ((*left)->capture != (*right)->capture)
    return strcmp((*left)->capture->path, (*right)->capture->path);
  return ((*left)->first_offset > (*right)->first_offset) - ((*left)->first_offset < (*right)->first_offset);
}

static int by_time(const void *a, const void *b)
{
  const struct cursor *left = a, *right = b;
  return (left->first_ns > right->first_ns) - (left->first_ns < right->first_ns);
}

static void collect(struct gg__merge *merge, const struct gg_session_list *list)
{
  for (size_t i = 0; i < list->count; i++)
    for (const struct gg__part *part = gg__record_of(list->sessions[i])->parts; part; part = part->next_of_session) {
      if (merge->parts)
        merge->parts[merge->part_count] = part;
      merge->part_count++;
    }
}

static void make_cursors(struct gg__merge *merge)
{
  struct cursor *cursor = NULL;
  for (size_t i = 0; i < merge->part_count; i++) {
    const struct gg__part *part = merge->parts[i];
    if (!cursor || cursor->capture != part->capture) {
      cursor = &merge->cursors[merge->cursor_count++];
      *cursor = (struct cursor){.capture = part->capture,
                                .parts = &merge->parts[i],
                                .first_ns = part->start_ns,
                                .first_offset = part->first_offset};
    }
    cursor->part_count++;
    if (part->start_ns < cursor->first_ns)
      cursor->first_ns = part->start_ns;
    if (part->last_offset > cursor->last_offset)
      cursor->last_offset = part->last_offset;
  }
  for (size_t i = 0; i < merge->cursor_count; i++)
    merge->total += merge->cursors[i].last_offset - merge->cursors[i].first_offset;
}

int gg__merge_create(struct gg__merge **out, const struct gg_session_list *list, struct gg_failure *failure)
{
  *out = NULL;
  struct gg__merge *merge = calloc(1, sizeof *merge);
  if (!merge)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the order of packets");
  collect(merge, list); /* counts */
  size_t room = merge->part_count + 1;
  merge->parts = calloc(room, sizeof(const struct gg__part *));
  merge->cursors = calloc(room, sizeof *merge->cursors);
  if (!merge->parts || !merge->cursors) {
    gg__merge_destroy(merge);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the order of packets");
  }
  merge->part_count = 0;
  collect(merge, list);
  qsort(merge->parts, merge->part_count, sizeof(const struct gg__part *), by_place);
  make_cursors(merge);
  qsort(merge->cursors, merge->cursor_count, sizeof *merge->cursors, by_time);
  *out = merge;
  return 0;
}

void gg__merge_destroy(struct gg__merge *merge)
{
  if (!merge)
    return;
  for (size_t i = 0; i < merge->open_count; i++)
    close_cursor(merge->open[i]);
  free(merge->cursors);
  free(merge->parts);
  free(merge->lost);
  free(merge);
}

static int by_id(const void *a, const void *b)
{
  const struct gg_session *const *left = a, *const *right = b;
  return strcmp((*left)->id, (*right)->id);
}

const struct gg_session *const *gg__merge_lost(struct gg__merge *merge, size_t *count)
{
  *count = 0;
  if (merge->lost_count > 1)
    qsort(merge->lost, merge->lost_count, sizeof(const struct gg_session *), by_id);
  for (size_t i = 0; i < merge->lost_count; i++)
    if (*count == 0 || merge->lost[*count - 1] != merge->lost[i])
      merge->lost[(*count)++] = merge->lost[i];
  merge->lost_count = *count;
  return merge->lost;
}

uint64_t gg__merge_done(const struct gg__merge *merge)
{
  return merge->done;
}

uint64_t gg__merge_total(const struct gg__merge *merge)
{
  return merge->total;
}
