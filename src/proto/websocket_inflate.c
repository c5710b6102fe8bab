/* SPDX-License-Identifier: Apache-2.0 */
/* Inflating by zlib, which is optional: without it nothing is inflated, and messages are shown as they are.
 *
 * What is given goes to zlib in slices, which end where the count of compressed bytes is a multiple of SLICE. All that
 * can be made of a slice is made before the next one is begun, so how much has come out when a slice begins is the same
 * however the bytes came; and so is the limit, which grows with the slices:
 *
 *     limit = INFLATED_FREE + INFLATED_TIMES * (compressed bytes in front of this slice)
 *
 * Whoever sends more than that sends a bomb. */
#include "proto/websocket_inflate.h"

#ifdef GG_HAVE_ZLIB

#include <string.h>
#include <zlib.h>

enum {
  SLICE = 4096,
  PIECE = 4096,
  INFLATED_FREE = 16 << 20, /* bytes of a direction, whatever they were made of ... */
  INFLATED_TIMES = 200,     /* ... and so many for each compressed byte. Deflate can make 1032 */
};

struct gg__ws_inflater {
  z_stream zlib;
  const uint8_t *given;
  size_t given_length;
  uint64_t in, out; /* bytes, over all messages */
  uint64_t slice;   /* where the one that is under way has begun */
  uint8_t piece[PIECE];
};

static void *allocate(void *decoding, unsigned count, unsigned bytes)
{
  return gg_decoded_alloc(decoding, NULL, (size_t)count * bytes);
}

static void release(void *decoding, void *memory)
{
  gg_decoded_alloc(decoding, memory, 0);
}

bool gg__ws_inflate_is_built_in(void)
{
  return true;
}

struct gg__ws_inflater *gg__ws_inflate_create(struct gg_decoding *decoding, unsigned window_bits)
{
  struct gg__ws_inflater *inflater = gg_decoded_alloc(decoding, NULL, sizeof *inflater);
  if (!inflater)
    return NULL;
  memset(inflater, 0, sizeof *inflater);
  inflater->zlib.zalloc = allocate;
  inflater->zlib.zfree = release;
  inflater->zlib.opaque = decoding;
  /* Peers whose zlib takes 8 bits for 9 say 8 all the same. */
  int bits = window_bits < 9 || window_bits > 15 ? window_bits < 9 ? 9 : 15 : (int)window_bits;
  if (inflateInit2(&inflater->zlib, -bits) == Z_OK)
    return inflater;
  gg_decoded_alloc(decoding, inflater, 0);
  return NULL;
}

void gg__ws_inflate_destroy(struct gg__ws_inflater *inflater, struct gg_decoding *decoding)
{
  if (!inflater)
    return;
  inflateEnd(&inflater->zlib);
  gg_decoded_alloc(decoding, inflater, 0);
}

void gg__ws_inflate_reset(struct gg__ws_inflater *inflater)
{
  inflateReset(&inflater->zlib);
}

void gg__ws_inflate_give(struct gg__ws_inflater *inflater, const uint8_t *data, size_t length)
{
  inflater->given = data;
  inflater->given_length = length;
}

static uint64_t limit_of(const struct gg__ws_inflater *inflater)
{
  return INFLATED_FREE + INFLATED_TIMES * inflater->slice;
}

/* One call of zlib, within the slice and up to one byte above the limit. */
static int step(struct gg__ws_inflater *inflater, struct gg__ws_piece *out)
{
  z_stream *zlib = &inflater->zlib;
  size_t slice = (size_t)(inflater->slice + SLICE - inflater->in);
  size_t give = inflater->given_length < slice ? inflater->given_length : slice;
  uint64_t room = limit_of(inflater) + 1 - inflater->out;
  if (room > PIECE)
    room = PIECE;
  zlib->next_in = (z_const Bytef *)(uintptr_t)inflater->given;
  zlib->avail_in = (uInt)give;
  zlib->next_out = inflater->piece;
  zlib->avail_out = (uInt)room;
  int result = inflate(zlib, Z_SYNC_FLUSH);
  out->data = inflater->piece;
  out->length = (size_t)room - zlib->avail_out;
  out->used = give - zlib->avail_in;
  inflater->given += out->used;
  inflater->given_length -= out->used;
  inflater->in += out->used;
  inflater->out += out->length;
  return result;
}

enum gg__ws_inflate gg__ws_inflate_take(struct gg__ws_inflater *inflater, struct gg__ws_piece *out)
{
  int result = step(inflater, out);
  if (!out->length && !out->used && inflater->given_length && inflater->in == inflater->slice + SLICE) {
    inflater->slice = inflater->in;
    result = step(inflater, out);
  }
  if (inflater->out > limit_of(inflater)) {
    inflater->out--;
    out->length--;
    return GG__WS_BOMB;
  }
  if (result == Z_STREAM_END) /* RFC 7692, 7.2.3.5: a last block, and the window stays for what follows */
    inflateResetKeep(&inflater->zlib);
  else if (result != Z_OK && result != Z_BUF_ERROR)
    return GG__WS_DAMAGED;
  return out->length || out->used ? GG__WS_INFLATED : GG__WS_HUNGRY;
}

#else

bool gg__ws_inflate_is_built_in(void)
{
  return false;
}

struct gg__ws_inflater *gg__ws_inflate_create(struct gg_decoding *decoding, unsigned window_bits)
{
  (void)decoding;
  (void)window_bits;
  return NULL;
}

void gg__ws_inflate_destroy(struct gg__ws_inflater *inflater, struct gg_decoding *decoding)
{
  (void)inflater;
  (void)decoding;
}

void gg__ws_inflate_reset(struct gg__ws_inflater *inflater)
{
  (void)inflater;
}

void gg__ws_inflate_give(struct gg__ws_inflater *inflater, const uint8_t *data, size_t length)
{
  (void)inflater;
  (void)data;
  (void)length;
}

enum gg__ws_inflate gg__ws_inflate_take(struct gg__ws_inflater *inflater, struct gg__ws_piece *out)
{
  (void)inflater;
  *out = (struct gg__ws_piece){0};
  return GG__WS_HUNGRY;
}

#endif
