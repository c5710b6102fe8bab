/* SPDX-License-Identifier: Apache-2.0 */
/**
 * websocket_frames.h - a WebSocket connection, whatever carries it: a session (websocket.c), or a stream of HTTP/2 in
 * whose DATA it is (RFC 8441).
 *
 * Who carries it has the kinds GG__WS_KINDS and the fields GG__WS_FIELDS_AT in its own lists, and pushes what each side
 * says, cut as it likes: all bytes are taken at once. Offsets are those of the session's side, so that between two
 * pieces there may be bytes of others.
 */
#ifndef GG_PROTO_WEBSOCKET_FRAMES_H
#define GG_PROTO_WEBSOCKET_FRAMES_H

#include "proto/websocket_inflate.h"

#include "base/utf8.h"

enum gg__ws_field {
  GG__WS_OPCODE,
  GG__WS_FRAGMENTS,
  GG__WS_COMPRESSED,
  GG__WS_CLOSE_CODE,
  GG__WS_CLOSE_REASON,
  GG__WS_ODD,
};

/* In this order, in a decoder's lists: fields from their place `first` on. */
#define GG__WS_FIELDS_AT(first)                                                                                        \
  [(first) +                                                                                                           \
    GG__WS_OPCODE] = {"ws.opcode", GG_FIELD_NUMBER, false, "of a frame that is of no known kind", NULL},               \
    [(first) + GG__WS_FRAGMENTS] = {"ws.fragments", GG_FIELD_NUMBER, false,                                            \
                                    "of how many frames it was put together, if not of one", NULL},                    \
    [(first) + GG__WS_COMPRESSED] = {"ws.compressed", GG_FIELD_TEXT, false,                                            \
                                     "it came compressed: 'inflated', or 'kept' as it is since it cannot be undone",   \
                                     NULL},                                                                            \
    [(first) + GG__WS_CLOSE_CODE] = {"ws.close_code", GG_FIELD_NUMBER, true, "why a WebSocket was closed",             \
                                     "ws.close_code=1011"},                                                            \
    [(first) +                                                                                                         \
      GG__WS_CLOSE_REASON] = {"ws.close_reason", GG_FIELD_TEXT, true, "the same in words", "ws.close_reason~timeout"}, \
    [(first) +                                                                                                         \
      GG__WS_ODD] = {"ws.odd", GG_FIELD_TEXT, true, "what is not as RFC 6455 and 7692 have it", "ws.odd=bad-utf-8"}
#define GG__WS_KINDS "text", "binary", "close", "ping", "pong", "other"

enum {
  GG__WS_HEAD_MAX = 14, /* bytes of a frame's head */
  GG__WS_KEPT = 125,    /* of a message: all of a control frame, or the beginning of others */
  GG__WS_PINGS = 8,     /* that wait for their pong */
};

/* What permessage-deflate (RFC 7692) may be used for, of one side. */
struct gg__ws_deflate {
  bool no_takeover;
  unsigned window_bits;
};

struct gg__ws_extensions {
  bool deflate;
  bool other; /* one that is not known here may give reserved bits a meaning */
  struct gg__ws_deflate sides[2];
};
/* Of the response's Sec-WebSocket-Extensions, in lower case. NULL: nothing is known, and anything is possible. */
void gg__ws_extensions_read(struct gg__ws_extensions *out, const char *header);

struct gg__ws_message {
  struct gg_draft *draft;
  const struct gg_decoder_field *fields;
  bool begun;
  unsigned kind;
  uint64_t number, fragments;
  bool inflated;  /* what comes is to be inflated ... */
  bool lost;      /* ... and cannot be, from here on: nothing comes out of it any more */
  bool unchecked; /* it is no text, or not all of it was seen */
  struct gg_utf8_state utf8;
  uint8_t kept[GG__WS_KEPT];
  size_t kept_length;
  uint64_t body_length;
  uint64_t from, to; /* where the first bytes of the body stand, and the end of the last */
};

/* A ping without a pong. */
struct gg__ws_ping {
  uint64_t number;
  uint8_t length, payload[GG__WS_KEPT];
};

struct gg__ws_half {
  uint8_t head[GG__WS_HEAD_MAX];
  size_t head_length; /* bytes of it that are there */
  bool in_payload;
  uint64_t left;   /* bytes of the payload */
  uint64_t masked; /* bytes of it that were taken: where in the mask it stands */
  uint8_t mask[4]; /* zeros: none */
  bool has_mask, last, control;
  struct gg__ws_message data, single; /* a control frame may stand between the fragments of a message */
  struct gg__ws_inflater *inflater;
  bool cannot_inflate; /* what follows needs what was missed */
  struct gg__ws_ping pings[GG__WS_PINGS];
  size_t ping_count;
  uint64_t closed; /* number of the message by which it has closed; 0: it has not */
};

struct gg__ws {
  struct gg__ws_half halves[2];
  struct gg__ws_extensions extensions;
  const struct gg_decoder_field *fields; /* the first of GG__WS_FIELDS_AT in the decoder's list */
  unsigned first_kind;                   /* of GG__WS_KINDS in the decoder's list */
  uint64_t stream;
};

/* `ws` is zeroed memory. */
void gg__ws_init(struct gg__ws *ws, const char *extensions, const struct gg_decoder_field *fields, unsigned first_kind,
                 uint64_t stream);
/* Takes all, and sets *why to NULL; or takes less, and says in *why why nothing behind that can be understood: this
 * side may not be pushed again. How many bytes were taken. */
size_t gg__ws_push(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t offset,
                   const uint8_t *data, size_t length, const char **why);
/* Bytes are missing. False: where the next frame begins cannot be told. */
bool gg__ws_gap(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length);
/* Nothing follows, while the session goes on: what has begun ends as cut, and its memory is given back. */
void gg__ws_finish(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t end_offset);

#endif
