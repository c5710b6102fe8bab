/* SPDX-License-Identifier: Apache-2.0 */
#include "store/merge.h"

#include "store/extents.h"
#include "store/lookup.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

/* One file and its chosen parts. */
struct cursor {
  struct gg__capture *capture;
  const struct gg__part **parts; /* into the merge's array: those of this file by first offset */
  size_t part_count;
  struct gg__lookup *lookup; /* of them; made when the file is opened */
  struct gg__extent *ranges; /* likewise: where their packets are */
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
  struct cursor *given; /* its frame was given out: it moves on at the next call */
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
  cursor->frames = NULL;
  cursor->lookup = NULL;
  cursor->ranges = NULL;
  cursor->range_count = 0;
}

static int open_cursor(struct gg__merge *merge, struct cursor *cursor, struct gg_failure *failure)
{
  if (merge->open_count == GG_MERGE_OPEN_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d files overlap in time", GG_MERGE_OPEN_MAX);
  if (gg__lookup_create(&cursor->lookup, cursor->parts, cursor->part_count) != 0)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for %s", cursor->capture->name);
  cursor->ranges = gg__extents_join(cursor->parts, cursor->part_count, &cursor->range_count);
  int error = gg__frames_open(&cursor->frames, cursor->capture->path, failure);
  if (!error)
    error = gg__frames_jump(cursor->frames, cursor->first_offset, cursor->capture->scattered, failure);
  if (!error)
    error = advance(merge, cursor, failure);
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
  free(merge);
}

uint64_t gg__merge_done(const struct gg__merge *merge)
{
  return merge->done;
}

uint64_t gg__merge_total(const struct gg__merge *merge)
{
  return merge->total;
}
