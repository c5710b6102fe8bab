/* SPDX-License-Identifier: Apache-2.0 */
/**
 * chunking.h - which bytes of a session are one chunk: those of one time and side that follow each other without a
 * push, up to GG_READER_CHUNK_MAX.
 *
 * Private to src/store. Pure functions on the caller's state, which begins as zeros.
 */
#ifndef GG_STORE_CHUNKING_H
#define GG_STORE_CHUNKING_H

#include <gogetway/store.h>

struct gg__chunking {
  bool growing; /* bytes may still be added to the last chunk */
  int side;
  uint64_t time_ns;
  uint64_t end; /* its offset behind its last byte */
  size_t length;
};

/* How many of `length` bytes at `offset` belong to the growing chunk, or begin one (`*begins`). */
static inline size_t gg__chunking_take(struct gg__chunking *chunking, uint64_t time_ns, int side, uint64_t offset,
                                       size_t length, bool *begins)
{
  *begins = !(chunking->growing && chunking->time_ns == time_ns && chunking->side == side && chunking->end == offset &&
              chunking->length < GG_READER_CHUNK_MAX);
  if (*begins)
    *chunking = (struct gg__chunking){.growing = true, .side = side, .time_ns = time_ns, .end = offset};
  size_t room = GG_READER_CHUNK_MAX - chunking->length, bytes = length < room ? length : room;
  chunking->length += bytes;
  chunking->end += bytes;
  return bytes;
}

/* A packet of that side with payload had a push. */
static inline void gg__chunking_push(struct gg__chunking *chunking, int side)
{
  if (chunking->side == side)
    chunking->growing = false;
}

#endif
