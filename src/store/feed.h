/* SPDX-License-Identifier: Apache-2.0 */
/**
 * feed.h - what is written to segments, handed on in memory to who indexes it, without what long packets carry: what is
 * written with direct I/O would else be read back from the disk, a page for each packet.
 *
 *   writer ──► put: headers are copied ──► at most GG_FEED_BYTES_MAX ──► take: what follows a segment's `scanned`
 *
 * It is a short cut and nothing more. What finds no room in it is not in it; who takes reads the file then, and pieces
 * that he has passed are dropped.
 *
 * Thread: put by one, or several; take by one.
 */
#ifndef GG_STORE_FEED_H
#define GG_STORE_FEED_H

#include "store/bounds.h"

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg__feed;
struct gg_pcapng_block;

/* Blocks of one segment from `offset` to before `end`. Owned by who took it; free(3). */
struct gg__feed_piece {
  struct gg__feed_piece *next;
  char segment[128];
  uint64_t offset, end;
  size_t length, at;
  uint8_t data[]; /* of each block: how much is left out, and the rest of it */
};

int gg__feed_create(struct gg__feed **out);
void gg__feed_destroy(struct gg__feed *feed);

/* Whole blocks in our own byte order, as they are in the file at `offset`. */
void gg__feed_put(struct gg__feed *feed, const char *segment, uint64_t offset, const uint8_t *bytes, size_t length);
/* What begins at `scanned`, and what is in front of it is dropped; NULL: nothing, read the file. UINT64_MAX: nothing of
 * the segment is wanted any more. */
struct gg__feed_piece *gg__feed_take(struct gg__feed *feed, const char *segment, uint64_t scanned);
void gg__feed_clear(struct gg__feed *feed);
/* The next block, borrowed from the piece; false: that was the last. */
bool gg__feed_next(struct gg__feed_piece *piece, struct gg_pcapng_block *block);

#endif
