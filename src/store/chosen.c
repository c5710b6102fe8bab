/* SPDX-License-Identifier: Apache-2.0 */
#include "store/chosen.h"

#include "store/filter_ast.h"
#include "store/moved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MIN = 16, PARTS_MIN = 4, RANGES_MIN = 4, TIDIED_MIN = 1024 };

/* ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Where it is, or would have to be. */
static size_t place_of(const struct gg__chosen *chosen, const char *name)
{
  size_t low = 0, high = chosen->file_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(chosen->files[middle].name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* NULL: no memory. */
static struct gg__chosen_file *need_file(struct gg__chosen *chosen, const char *name)
{
  size_t at = place_of(chosen, name);
  if (at < chosen->file_count && strcmp(chosen->files[at].name, name) == 0)
    return &chosen->files[at];
  if (chosen->file_count == chosen->file_room) {
    size_t room = chosen->file_room ? chosen->file_room * 2 : FILES_MIN;
    struct gg__chosen_file *larger = realloc(chosen->files, room * sizeof *larger);
    if (!larger)
      return NULL;
    chosen->files = larger;
    chosen->file_room = room;
  }
  char *copy = strdup(name);
  if (!copy)
    return NULL;
  memmove(&chosen->files[at + 1], &chosen->files[at], (chosen->file_count - at) * sizeof chosen->files[0]);
  chosen->files[at] = (struct gg__chosen_file){.name = copy};
  chosen->file_count++;
  return &chosen->files[at];
}

static int add_range(struct gg__chosen_file *file, const struct gg__extent *range)
{
  size_t most = file->tidied > TIDIED_MIN ? 2 * file->tidied : 2 * (size_t)TIDIED_MIN;
  if (file->range_count >= most)
    file->range_count = file->tidied = gg__extents_tidy(file->ranges, file->range_count);
  if (file->range_count == file->range_room) {
    size_t room = file->range_room ? file->range_room * 2 : RANGES_MIN;
    struct gg__extent *larger = realloc(file->ranges, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    file->ranges = larger;
    file->range_room = room;
  }
  file->ranges[file->range_count++] = *range;
  return 0;
}

static int add_part(struct gg__chosen_file *file, const struct gg__part *part)
{
  const struct gg__extent whole = {part->first_offset, part->last_offset + 1};
  if (file->part_count == file->part_room) {
    size_t room = file->part_room ? file->part_room * 2 : PARTS_MIN;
    struct gg__chosen_part *larger = realloc(file->parts, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    file->parts = larger;
    file->part_room = room;
  }
  file->parts[file->part_count++] =
    (struct gg__chosen_part){part->first_offset, part->last_offset, gg_session_id_of(part->id)};
  file->scattered |= part->capture->scattered;
  int error = part->extent_count ? 0 : add_range(file, &whole);
  for (uint32_t i = 0; i < part->extent_count && !error; i++)
    error = add_range(file, &part->extents[i]);
  return error;
}

static int add_record(void *context, struct gg__record *record)
{
  struct gg__chosen *chosen = context;
  int error = 0;
  for (const struct gg__part *part = record->parts; part && !error; part = part->next_of_session) {
    struct gg__chosen_file *file = need_file(chosen, part->capture->name);
    error = file ? add_part(file, part) : GG_ERR_NOMEM;
  }
  return error;
}

static int by_place(const void *a, const void *b)
{
  const struct gg__chosen_part *left = a, *right = b;
  return (left->first > right->first) - (left->first < right->first);
}

static void put_in_order(struct gg__chosen_file *file)
{
  if (file->part_count > 1)
    qsort(file->parts, file->part_count, sizeof file->parts[0], by_place);
  file->range_count = gg__extents_tidy(file->ranges, file->range_count);
}

/* ── The public side ─────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__chosen_find(struct gg__chosen *chosen, struct gg_store *store, const struct gg_filter *filter,
                    struct gg_failure *failure)
{
  struct gg__source *source = store->source;
  *chosen = (struct gg__chosen){0};
  if (!filter || !filter->root || !source->ops->pick || !source->ops->indexed(source))
    return GG_ERR_UNSUPPORTED;
  int error = gg_store_refresh(store, failure);
  if (!error)
    error = source->ops->pick(source, filter, add_record, chosen);
  if (error)
    gg__chosen_fini(chosen);
  if (error == GG_ERR_NOMEM)
    return gg_fail(failure, error, "no memory for the places of sessions");
  for (size_t i = 0; i < chosen->file_count; i++)
    put_in_order(&chosen->files[i]);
  return error;
}

void gg__chosen_note_gone(struct gg__chosen *chosen, const char *name)
{
  if (chosen->gone_count++ == 0)
    snprintf(chosen->gone, sizeof chosen->gone, "%s", name);
}

bool gg__chosen_tell_gone(const struct gg__chosen *chosen, bool some, char text[GG__CHOSEN_GONE_TEXT])
{
  char others[64] = " has";
  if (chosen->gone_count > 1)
    snprintf(others, sizeof others, " and %zu more have", chosen->gone_count - 1);
  snprintf(text, GG__CHOSEN_GONE_TEXT, "%s%s gone from the store while it was asked, and with that %s", chosen->gone,
           others, some ? "a part of the sessions that match" : "all sessions that match");
  return chosen->gone_count > 0;
}

int gg__chosen_follow(struct gg__chosen_file *out, const struct gg__chosen_file *gone, const struct gg__moved *moved,
                      bool *whole)
{
  bool *taken = calloc(moved->count + 1, sizeof *taken);
  int error = taken ? 0 : GG_ERR_NOMEM;
  *out = (struct gg__chosen_file){0};
  *whole = true;
  for (size_t i = 0; i < gone->part_count && !error; i++) {
    char id[GG_SESSION_ID_TEXT];
    gg_session_id_format(&gone->parts[i].id, id);
    size_t at = gg__moved_first(moved, id);
    *whole &= at < moved->count;
    for (; at < moved->count && !taken[at] && strcmp(moved->parts[at]->id, id) == 0 && !error; at++) {
      taken[at] = true;
      error = add_part(out, moved->parts[at]);
    }
  }
  free(taken);
  if (error)
    return error;
  put_in_order(out);
  return out->part_count ? 0 : GG_ERR_NOT_FOUND;
}

void gg__chosen_file_fini(struct gg__chosen_file *file)
{
  free(file->name);
  free(file->parts);
  free(file->ranges);
  *file = (struct gg__chosen_file){0};
}

void gg__chosen_fini(struct gg__chosen *chosen)
{
  for (size_t i = 0; i < chosen->file_count; i++)
    gg__chosen_file_fini(&chosen->files[i]);
  free(chosen->files);
  *chosen = (struct gg__chosen){0};
}
