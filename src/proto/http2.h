/* SPDX-License-Identifier: Apache-2.0 */
/**
 * http2.h - the inside of the HTTP/2 decoder: frames (http2.c), streams and the messages on them (http2_stream.c),
 * header blocks (http2_head.c), and frames of the protocol's own running (http2_control.c).
 */
#ifndef GG_PROTO_HTTP2_H
#define GG_PROTO_HTTP2_H

#include "proto/grpc.h"
#include "proto/http.h"
#include "proto/sse.h"
#include "proto/websocket_frames.h"

#include <nghttp2/nghttp2.h>

/* RFC 9113, 6 */
enum gg__http2_type {
  GG__HTTP2_DATA,
  GG__HTTP2_HEADERS,
  GG__HTTP2_PRIORITY,
  GG__HTTP2_RST_STREAM,
  GG__HTTP2_SETTINGS,
  GG__HTTP2_PUSH_PROMISE,
  GG__HTTP2_PING_FRAME,
  GG__HTTP2_GOAWAY,
  GG__HTTP2_WINDOW_UPDATE,
  GG__HTTP2_CONTINUATION,
};

enum {
  GG__HTTP2_END_STREAM = 0x1,
  GG__HTTP2_IS_ACK = 0x1,
  GG__HTTP2_END_HEADERS = 0x4,
  GG__HTTP2_PADDED = 0x8,
  GG__HTTP2_HAS_PRIORITY = 0x20,
};

enum {
  GG__HTTP2_HEAD_BYTES = 9,          /* of a frame */
  GG__HTTP2_CONTROL_MAX = 1 << 14,   /* bytes of a frame of control that are looked at as a whole */
  GG__HTTP2_BLOCK_MAX = 1 << 18,     /* bytes of a header block, compressed, over all of its frames */
  GG__HTTP2_STREAMS_MAX = 1 << 14,   /* that have begun and not ended */
  GG__HTTP2_SPARE_STREAMS_MAX = 256, /* whose memory is kept for those that come */
  GG__HTTP2_INFLATED_MAX = 64,       /* streams whose WebSocket is inflated: some 88 KB each */
};

enum gg__http2_kind {
  GG__HTTP2_KIND_REQUEST,
  GG__HTTP2_KIND_RESPONSE,
  GG__HTTP2_KIND_GRPC_MESSAGE,
  GG__HTTP2_KIND_EVENT,
  GG__HTTP2_KIND_SETTINGS,
  GG__HTTP2_KIND_PING,
  GG__HTTP2_KIND_WINDOW_UPDATE,
  GG__HTTP2_KIND_PRIORITY,
  GG__HTTP2_KIND_RESET,
  GG__HTTP2_KIND_GOAWAY,
  GG__HTTP2_KIND_FRAME,
  GG__HTTP2_KIND_WEBSOCKET, /* the first of GG__WS_KINDS */
};

/* What goes one way on a stream. */
struct gg__http2_flow {
  struct gg_draft *draft; /* of a message that has begun */
  bool closed;            /* nothing follows: it has said so, or was reset, or never could say anything */
  bool has_length;        /* content-length was there: it is to be `length` */
  bool no_body;           /* whatever `length` is: of HEAD, 204, 304 */
  unsigned status;        /* of a response */
  uint64_t length;
  struct gg__grpc *grpc;
  struct gg__sse *sse;
  bool framed; /* its data are frames of the stream's WebSocket */
};

struct gg__http2_stream {
  struct gg__http2_stream *next; /* of its bucket; or the next spare one */
  uint32_t id;
  bool head_only;                 /* HEAD was asked for */
  bool wants_websocket;           /* CONNECT with that protocol was */
  struct gg__ws *websocket;       /* and agreed to; NULL: not (yet) */
  bool inflated;                  /* what it compresses is */
  uint64_t request;               /* number of the message; 0: none was seen */
  struct gg__grpc_call *call;     /* of gRPC; NULL: it is none */
  struct gg__http2_flow flows[2]; /* by enum gg_side */
};

enum gg__http2_phase {
  GG__HTTP2_PREFACE,
  GG__HTTP2_HEAD,     /* of a frame */
  GG__HTTP2_PREFIX,   /* what stands in front of data, or of a piece of a header block */
  GG__HTTP2_BODY,     /* data: `left` bytes */
  GG__HTTP2_FRAGMENT, /* of a header block: `left` bytes */
  GG__HTTP2_PAYLOAD,  /* of a frame that is told as it is: `left` bytes */
  GG__HTTP2_PADDING,  /* `padding` bytes */
};

/* A header block on its way. */
struct gg__http2_block {
  bool open; /* nothing but its continuation may come */
  uint8_t type, flags;
  uint32_t stream;
  struct gg_draft *draft; /* that it is of; NULL: of nobody, but it changes the table */
  bool trailers;
  uint8_t *data;
  size_t length, capacity;
};

/* One direction of the connection. */
struct gg__http2_half {
  enum gg__http2_phase phase;
  bool settled; /* its first SETTINGS have come */
  uint8_t type, flags;
  uint32_t stream; /* of the frame */
  uint64_t offset; /* of the frame */
  uint32_t left;
  uint8_t padding;
  struct gg__http2_stream *body; /* whose data these are */
  struct gg_draft *frame;        /* that is told as it is */
  struct gg__http2_block block;
  nghttp2_hd_inflater *inflater;
  uint32_t table_max;   /* bytes of a table that the other side has allowed */
  uint32_t last_opened; /* the greatest stream that this side has begun */
  uint64_t position;    /* behind what was taken */
};

struct gg__http2 {
  struct gg_decoding *decoding;
  nghttp2_mem memory; /* of the inflaters, who point here */
  struct gg__http2_half halves[2];
  struct gg__http2_stream **buckets;
  size_t bucket_count, stream_count;
  struct gg__http2_stream *spare;
  size_t spare_count;
  size_t inflated_count; /* of the streams */
};

static inline enum gg_side gg__http2_other(enum gg_side side)
{
  return side == GG_SIDE_CLIENT ? GG_SIDE_SERVER : GG_SIDE_CLIENT;
}

static inline uint32_t gg__http2_u32(const uint8_t *data)
{
  return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static inline uint32_t gg__http2_u31(const uint8_t *data)
{
  return gg__http2_u32(data) & 0x7fffffff;
}

/* ── http2.c ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Nobody can go on: a real peer would end the connection here. */
void gg__http2_fail(struct gg__http2 *http2, enum gg_opaque_why why, enum gg_side side, uint64_t offset,
                    const char *text);

/* ── http2_stream.c ──────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg__http2_stream *gg__http2_find(struct gg__http2 *http2, uint32_t id);
/* NULL: refused, and nothing goes on. */
struct gg__http2_stream *gg__http2_open(struct gg__http2 *http2, uint32_t id);
/* Forgets it if both ways are closed. */
void gg__http2_settle(struct gg__http2 *http2, struct gg__http2_stream *stream);
/* The server has agreed to a WebSocket: what follows on the stream are frames of it. */
void gg__http2_websocket(struct gg__http2 *http2, struct gg__http2_stream *stream);
/* Data of a flow whose message has begun. */
void gg__http2_body(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side,
                    const struct gg_body *body);
void gg__http2_hole(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, uint64_t offset,
                    uint64_t length);
/* END_STREAM: what has begun on that flow is whole. The stream may be gone then. */
void gg__http2_finish(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, uint64_t end);
/* What has begun on that flow ends as cut before `end`; the flow is closed. */
void gg__http2_cut(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, const char *error,
                   uint64_t end);

/* ── http2_head.c ────────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg__http2_inflater(struct gg__http2 *http2, enum gg_side side);
/* The other side allows a table of so many bytes. */
void gg__http2_allow_table(struct gg__http2 *http2, enum gg_side side, uint32_t bytes);
/* HEADERS, PUSH_PROMISE: `half` has the frame. A message begins, if none has. */
void gg__http2_block_begin(struct gg__http2 *http2, enum gg_side side);
/* The stream that a PUSH_PROMISE is about. */
void gg__http2_block_promise(struct gg__http2 *http2, enum gg_side side, uint32_t id);
void gg__http2_block_add(struct gg__http2 *http2, enum gg_side side, const uint8_t *data, size_t length);
/* END_HEADERS */
void gg__http2_block_end(struct gg__http2 *http2, enum gg_side side, uint64_t end);

/* ── http2_control.c ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Name of an error code; `room` for one that has none. */
enum { GG__HTTP2_ERROR_TEXT = 16 };
const char *gg__http2_error_text(uint32_t code, char room[GG__HTTP2_ERROR_TEXT]);
/* A message of the side's frame, which tells what nobody but the protocol wants to know. */
struct gg_draft *gg__http2_control_begin(struct gg__http2 *http2, enum gg_side side, enum gg__http2_kind kind);
/* A frame of control, whole: `length` bytes behind its head. */
void gg__http2_control(struct gg__http2 *http2, enum gg_side side, const uint8_t *data, size_t length);
#endif
