/* SPDX-License-Identifier: Apache-2.0 */
#include "store/feed.h"

#include "record/pcapng.h"
#include "record/pcapng_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = GG_PCAPNG_EPB_HEAD + GG_PCAPNG_SKIM_HEAD, TAIL_MAX = 4096, MARK = sizeof(uint32_t) };

struct gg__feed {
  pthread_mutex_t lock;
  struct gg__feed_piece *first, **last;
  size_t bytes; /* of all pieces */
};

int gg__feed_create(struct gg__feed **out)
{
  struct gg__feed *feed = *out = calloc(1, sizeof *feed);
  if (!feed)
    return GG_ERR_NOMEM;
  feed->last = &feed->first;
  pthread_mutex_init(&feed->lock, NULL);
  return 0;
}

void gg__feed_clear(struct gg__feed *feed)
{
  pthread_mutex_lock(&feed->lock);
  struct gg__feed_piece *piece = feed->first;
  feed->first = NULL;
  feed->last = &feed->first;
  feed->bytes = 0;
  pthread_mutex_unlock(&feed->lock);
  for (struct gg__feed_piece *next; piece; piece = next) {
    next = piece->next;
    free(piece);
  }
}

void gg__feed_destroy(struct gg__feed *feed)
{
  if (!feed)
    return;
  gg__feed_clear(feed);
  pthread_mutex_destroy(&feed->lock);
  free(feed);
}

static uint32_t load32(const uint8_t *at)
{
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* The block's length, and how much of it is left out, behind KEPT bytes. 0: that is no block. */
static uint32_t measure(const uint8_t *at, size_t left, uint32_t *left_out)
{
  uint32_t bytes = left >= GG_PCAPNG_BLOCK_MIN ? load32(at + 4) : 0;
  *left_out = 0;
  if (bytes < GG_PCAPNG_BLOCK_MIN || bytes % 4 != 0 || bytes > left)
    return 0;
  if (load32(at) != GG_PCAPNG_EPB || bytes < GG_PCAPNG_SKIM_BYTES)
    return bytes;
  uint64_t before = GG_PCAPNG_EPB_HEAD + (uint64_t)gg_pcapng_pad(load32(at + 20));
  if (before > KEPT && before + 4 <= bytes && bytes - before <= TAIL_MAX)
    *left_out = (uint32_t)(before - KEPT);
  return bytes;
}

static struct gg__feed_piece *make(const uint8_t *bytes, size_t length)
{
  uint32_t block, left_out;
  size_t room = 0;
  for (size_t at = 0; at < length; at += block) {
    block = measure(bytes + at, length - at, &left_out);
    if (block == 0)
      return NULL;
    room += MARK + block - left_out;
  }
  struct gg__feed_piece *piece = room <= GG_FEED_BYTES_MAX ? malloc(sizeof *piece + room) : NULL;
  if (!piece)
    return NULL;
  uint8_t *to = piece->data;
  for (size_t at = 0; at < length; at += block) {
    block = measure(bytes + at, length - at, &left_out);
    uint32_t kept = left_out ? KEPT : block, tail = block - left_out - kept;
    memcpy(to, &left_out, MARK);
    memcpy(to + MARK, bytes + at, kept);
    memcpy(to + MARK + kept, bytes + at + kept + left_out, tail);
    to += MARK + kept + tail;
  }
  piece->length = room;
  piece->at = 0;
  piece->next = NULL;
  return piece;
}

void gg__feed_put(struct gg__feed *feed, const char *segment, uint64_t offset, const uint8_t *bytes, size_t length)
{
  struct gg__feed_piece *piece = strlen(segment) < sizeof piece->segment ? make(bytes, length) : NULL;
  if (!piece)
    return;
  memcpy(piece->segment, segment, strlen(segment) + 1);
  piece->offset = offset;
  piece->end = offset + length;
  pthread_mutex_lock(&feed->lock);
  if (feed->bytes + piece->length <= GG_FEED_BYTES_MAX) {
    feed->bytes += piece->length;
    *feed->last = piece;
    feed->last = &piece->next;
    piece = NULL;
  }
  pthread_mutex_unlock(&feed->lock);
  free(piece);
}

struct gg__feed_piece *gg__feed_take(struct gg__feed *feed, const char *segment, uint64_t scanned)
{
  struct gg__feed_piece *found = NULL, *passed = NULL;
  pthread_mutex_lock(&feed->lock);
  for (struct gg__feed_piece **at = &feed->first; *at && !found;) {
    struct gg__feed_piece *piece = *at;
    if (strcmp(piece->segment, segment) != 0 || piece->offset > scanned) {
      at = &piece->next;
      continue;
    }
    *at = piece->next;
    if (!piece->next)
      feed->last = at;
    feed->bytes -= piece->length;
    if (piece->offset == scanned) {
      found = piece;
    } else {
      piece->next = passed;
      passed = piece;
    }
  }
  pthread_mutex_unlock(&feed->lock);
  for (struct gg__feed_piece *next; passed; passed = next) {
    next = passed->next;
    free(passed);
  }
  return found;
}

bool gg__feed_next(struct gg__feed_piece *piece, struct gg_pcapng_block *block)
{
  if (piece->at == piece->length)
    return false;
  const uint8_t *at = piece->data + piece->at;
  block->left_out = load32(at);
  block->data = at + MARK;
  block->type = load32(at + MARK);
  block->bytes = load32(at + MARK + 4);
  block->swapped = false;
  block->offset = piece->offset;
  piece->offset += block->bytes;
  piece->at += MARK + block->bytes - block->left_out;
  return true;
}
