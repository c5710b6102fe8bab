/* SPDX-License-Identifier: Apache-2.0 */
#include "store/extents.h"

#include "store/frames.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { EXTENTS_FIRST = 4, EXTENTS_MERGED = GG_EXTENTS_MAX / 8 };

/* The room grows by doubling, so the count alone says how much there is. */
static bool make_room(struct gg__part *part)
{
  uint32_t count = part->extent_count;
  if (count != 0 && (count < EXTENTS_FIRST || (count & (count - 1)) != 0))
    return true;
  size_t room = count ? count * 2 : EXTENTS_FIRST;
  struct gg__extent *larger = realloc(part->extents, room * sizeof *larger);
  if (larger)
    part->extents = larger;
  return larger != NULL;
}

static int by_bytes(const void *a, const void *b)
{
  const uint64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

/* Of neighbours, those with the least between them become one: a good many at once, so that a session with more ranges
 * than there may be does not have all of them looked at for each. */
static void merge_closest(struct gg__part *part)
{
  struct gg__extent *extents = part->extents;
  uint64_t between[GG_EXTENTS_MAX];
  uint32_t count = part->extent_count, kept = 1, merged = 0;
  for (uint32_t i = 1; i < count; i++)
    between[i - 1] = extents[i].first - extents[i - 1].end;
  qsort(between, count - 1, sizeof between[0], by_bytes);
  uint64_t most = between[EXTENTS_MERGED - 1];
  for (uint32_t i = 1; i < count; i++)
    if (merged < EXTENTS_MERGED && extents[i].first - extents[kept - 1].end <= most) {
      extents[kept - 1].end = extents[i].end;
      merged++;
    } else {
      extents[kept++] = extents[i];
    }
  part->extent_count = kept;
}

void gg__extents_jump(struct gg__part *part, uint64_t end, uint64_t offset)
{
  if (part->extent_count == GG_EXTENTS_MAX)
    merge_closest(part);
  if (!make_room(part)) {
    gg__extents_free(part);
    return;
  }
  if (part->extent_count == 0)
    part->extents[part->extent_count++] = (struct gg__extent){part->first_offset, end};
  part->extents[part->extent_count++] = (struct gg__extent){.first = offset};
}

int gg__extents_copy(struct gg__part *part, const struct gg__part *from)
{
  size_t room = EXTENTS_FIRST;
  part->extents = NULL;
  part->extent_count = 0;
  if (!from->extents || from->extent_count == 0)
    return 0;
  while (room < from->extent_count)
    room *= 2;
  part->extents = malloc(room * sizeof *part->extents);
  if (!part->extents)
    return GG_ERR_NOMEM;
  part->extent_count = from->extent_count;
  memcpy(part->extents, from->extents, from->extent_count * sizeof *part->extents);
  return 0;
}

void gg__extents_free(struct gg__part *part)
{
  free(part->extents);
  part->extents = NULL;
  part->extent_count = 0;
}

/* ── Looking ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The first of the extents that ends behind `offset`. */
static const struct gg__extent *find(const struct gg__extent *extents, size_t count, uint64_t offset)
{
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (extents[middle].end <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low < count ? &extents[low] : NULL;
}

uint64_t gg__extents_next(const struct gg__part *part, uint64_t offset)
{
  if (offset <= part->first_offset)
    return part->first_offset;
  if (offset > part->last_offset)
    return UINT64_MAX;
  const struct gg__extent *extent = find(part->extents, part->extent_count, offset);
  return extent && extent->first > offset ? extent->first : offset;
}

/* ── Several parts ───────────────────────────────────────────────────────────────────────────────────────────────── */

static int by_place(const void *a, const void *b)
{
  const struct gg__extent *left = a, *right = b;
  return (left->first > right->first) - (left->first < right->first);
}

static size_t collect(const struct gg__part *const *parts, size_t part_count, struct gg__extent *all)
{
  size_t count = 0;
  for (size_t i = 0; i < part_count; i++) {
    const struct gg__part *part = parts[i];
    if (part->extent_count > 0)
      memcpy(all + count, part->extents, part->extent_count * sizeof *all);
    else
      all[count] = (struct gg__extent){part->first_offset, part->last_offset + 1};
    count += part->extent_count ? part->extent_count : 1;
  }
  return count;
}

size_t gg__extents_tidy(struct gg__extent *all, size_t count)
{
  size_t left = 0;
  if (count > 1)
    qsort(all, count, sizeof *all, by_place);
  for (size_t i = 0; i < count; i++) {
    struct gg__extent *last = left ? &all[left - 1] : NULL;
    if (!last || all[i].first >= last->end + GG_EXTENT_JUMP_BYTES)
      all[left++] = all[i];
    else if (all[i].end > last->end)
      last->end = all[i].end;
  }
  return left;
}

struct gg__extent *gg__extents_join(const struct gg__part *const *parts, size_t part_count, size_t *count)
{
  size_t total = 0;
  *count = 0;
  for (size_t i = 0; i < part_count && total <= GG_EXTENTS_JOINED_MAX; i++)
    total += parts[i]->extent_count ? parts[i]->extent_count : 1;
  struct gg__extent *all = total > 0 && total <= GG_EXTENTS_JOINED_MAX ? malloc(total * sizeof *all) : NULL;
  if (!all)
    return NULL;
  *count = gg__extents_tidy(all, collect(parts, part_count, all));
  return all;
}

int gg__extents_follow(const struct gg__extent *all, size_t count, size_t *at, struct gg__frames *frames,
                       struct gg_failure *failure)
{
  uint64_t offset = gg__frames_offset(frames);
  while (*at < count && all[*at].end <= offset)
    ++*at;
  if (*at == count)
    return count ? GG_ERR_AGAIN : 0;
  return all[*at].first > offset ? gg__frames_skip(frames, all[*at].first, failure) : 0;
}
