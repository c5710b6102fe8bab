/* SPDX-License-Identifier: Apache-2.0 */
/**
 * websocket_inflate.h - what permessage-deflate (RFC 7692) has compressed, of one direction, undone piece by piece.
 *
 *     gg__ws_inflate_give(inflater, data, length);
 *     while (gg__ws_inflate_take(inflater, &piece) == GG__WS_INFLATED)
 *       ... piece.data, piece.used ...
 *
 * An inflater costs some 44 KB, which count for the session that it is made for. What comes out is bounded by what went
 * in: see INFLATED_FREE in websocket_inflate.c. Where it is cut depends on the bytes alone, not on how they came.
 */
#ifndef GG_PROTO_WEBSOCKET_INFLATE_H
#define GG_PROTO_WEBSOCKET_INFLATE_H

#include <gogetway/decoder.h>

struct gg__ws_inflater;

enum gg__ws_inflate {
  GG__WS_INFLATED, /* a piece; there may be more */
  GG__WS_HUNGRY,   /* all that was given is used up */
  GG__WS_DAMAGED,  /* it is not compressed like that: the inflater is of no use any more */
  GG__WS_BOMB,     /* it becomes too much; likewise */
};

struct gg__ws_piece {
  const uint8_t *data; /* until the next call */
  size_t length;
  size_t used; /* bytes of what was given that it was made of; there are pieces of which only this is not 0 */
};

bool gg__ws_inflate_is_built_in(void);
/* NULL: memory was refused, and the decoding is over. */
struct gg__ws_inflater *gg__ws_inflate_create(struct gg_decoding *decoding, unsigned window_bits);
void gg__ws_inflate_destroy(struct gg__ws_inflater *inflater, struct gg_decoding *decoding);
/* Forgets what it knows of earlier messages. */
void gg__ws_inflate_reset(struct gg__ws_inflater *inflater);
void gg__ws_inflate_give(struct gg__ws_inflater *inflater, const uint8_t *data, size_t length);
enum gg__ws_inflate gg__ws_inflate_take(struct gg__ws_inflater *inflater, struct gg__ws_piece *out);

#endif
