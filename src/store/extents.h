/* SPDX-License-Identifier: Apache-2.0 */
/**
 * extents.h - which ranges of a file have a session's packets, so that what is between them need not be read.
 *
 *   file:  | session's ......... | others ...................... | session's . | others . | session's .......... |
 *          [ extent              )   GG_EXTENT_JUMP_BYTES or more  [ extent                                       )
 *
 * A session whose packets lie close together has none: its first and its last offset say it all. There are never more
 * than GG_EXTENTS_MAX, whatever the file: then some of those with the least between them become one.
 *
 * Private to src/store. Thread: whoever owns the part.
 */
#ifndef GG_STORE_EXTENTS_H
#define GG_STORE_EXTENTS_H

#include "store/part.h"

#include <gogetway/error.h>
#include <stddef.h>

struct gg__frames;

/* A packet's block begins at `offset`, far behind the last one, which ended at `end`. Without memory there are no
 * extents from here back: what they left out is read over again. */
void gg__extents_jump(struct gg__part *part, uint64_t end, uint64_t offset);

/* A packet's block of `bytes` is at `offset`, behind all those before it. */
static inline void gg__extents_note(struct gg__part *part, uint64_t offset, uint32_t bytes)
{
  uint64_t end = part->last_offset + part->last_bytes;
  if (__builtin_expect(part->last_bytes != 0 && offset >= end + GG_EXTENT_JUMP_BYTES, 0))
    gg__extents_jump(part, end, offset);
  part->last_offset = offset;
  part->last_bytes = bytes;
  if (part->extent_count > 0)
    part->extents[part->extent_count - 1].end = offset + bytes;
}

/* The part, which has none, gets those of another. GG_ERR_NOMEM: it has none. */
int gg__extents_copy(struct gg__part *part, const struct gg__part *from);
void gg__extents_free(struct gg__part *part);

/* The first place at or behind `offset` where a block of the part may begin; UINT64_MAX: there is none. */
uint64_t gg__extents_next(const struct gg__part *part, uint64_t offset);

/* The same of several parts of one file: the ranges of all of them in order, those that are close together as one.
 * `*count` 0: there are too many to be worth it, or no memory for them; then there is nothing to jump over. Yours to
 * free. */
enum { GG_EXTENTS_JOINED_MAX = 1 << 16 };
struct gg__extent *gg__extents_join(const struct gg__part *const *parts, size_t part_count, size_t *count);
/* Puts ranges of one file, of whatever parts, in order, those that are close together as one. Returns how many are
 * left: there is a jump between two of them, so they are never more than the file has room for. */
size_t gg__extents_tidy(struct gg__extent *all, size_t count);

/* Goes on to where the next packet of such ranges may begin; `*at` is the range that is being read, at first 0. `count`
 * 0: they are everywhere. GG_ERR_AGAIN: behind the last one; else errors as gg__frames_skip has them. */
int gg__extents_follow(const struct gg__extent *all, size_t count, size_t *at, struct gg__frames *frames,
                       struct gg_failure *failure);

#endif
