/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 (RFC 9113) of both sides: by prior knowledge, or as what HTTP/1 has become (h2c).
 *
 *     client: PREFACE ──┐
 *                       ▼
 *     server: ────────► HEAD ──┬─ SETTINGS, PING, RST_STREAM ...: taken whole ────────► http2_control.c
 *                        ▲     ├─ DATA ─────► PREFIX ──► BODY ───────┐
 *                        │     ├─ HEADERS ──► PREFIX ──► FRAGMENT ───┼─► PADDING ──┐
 *                        │     └─ others ──────────────► PAYLOAD ────┘             │
 *                        └─────────────────────────────────────────────────────────┘
 *
 * A message is what goes one way on a stream, from its HEADERS to END_STREAM (http2_stream.c); DATA are told as they
 * come, without padding. Requests and responses belong together by their stream: the response answers the request, and
 * completes the answer; one that only announces another one (1xx) does not. A promise is a request that the server
 * makes, with the stream on which it will be answered. RST_STREAM cuts what has begun on its stream, and is a message
 * of its own: of a server it completes the answer, as nothing follows. Calls of gRPC (grpc.c) and Server-Sent Events
 * (sse.c) are split into messages of their own besides. So is what goes over a stream on which the server has agreed to
 * an extended CONNECT for WebSocket (RFC 8441; websocket_frames.c), whose connection ends with END_STREAM.
 *
 * Headers can be read only by who has read all headers before (http2_head.c). So a session from its middle, or bytes
 * missing outside of data, end the decoding of both sides: what would come out is a guess. Within data of a frame whose
 * head is there a gap is only a hole. What a real peer would end the connection for and a reader need not (frames of a
 * wrong size, messages that are malformed, streams that nobody has opened) is told and called odd; only what makes the
 * next frame unreadable ends it. A frame for a stream that is over, as they come when one side has reset it, and one of
 * an unknown type is told as it is, with its payload as body.
 *
 * Rejected: a whole session of nghttp2's for each side. It would refuse what an observer has to go on with, keeps what
 * flow control and priorities need, and does not say where in the stream a header or a piece of data stood. Only its
 * inflater is used, which has no opinion on frames. */
#include "proto/http2.h"
#include "proto/decoders.h"

#include <stdlib.h>
#include <string.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_BYTES = sizeof preface - 1 };

static const char *const kinds[] = {
  [GG__HTTP2_KIND_REQUEST] = "request",
  [GG__HTTP2_KIND_RESPONSE] = "response",
  [GG__HTTP2_KIND_GRPC_MESSAGE] = "grpc-message",
  [GG__HTTP2_KIND_EVENT] = "event",
  [GG__HTTP2_KIND_SETTINGS] = "settings",
  [GG__HTTP2_KIND_PING] = "ping",
  [GG__HTTP2_KIND_WINDOW_UPDATE] = "window-update",
  [GG__HTTP2_KIND_PRIORITY] = "priority",
  [GG__HTTP2_KIND_RESET] = "reset",
  [GG__HTTP2_KIND_GOAWAY] = "goaway",
  [GG__HTTP2_KIND_FRAME] = "frame",
  [GG__HTTP2_KIND_WEBSOCKET] = GG__WS_KINDS,
  NULL,
};

void gg__http2_fail(struct gg__http2 *http2, enum gg_opaque_why why, enum gg_side side, uint64_t offset,
                    const char *text)
{
  gg_decoded_opaque(http2->decoding, why, side, offset, false, text);
}

static void fail(struct gg__http2 *http2, enum gg_side side, const char *text)
{
  gg__http2_fail(http2, GG_OPAQUE_FAILED, side, http2->halves[side].offset, text);
}

/* ── Beginnings of frames ────────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_preface(struct gg__http2 *http2, const struct gg_window *window, size_t at)
{
  size_t length = window->length - at;
  if (memcmp(window->data + at, preface, length < PREFACE_BYTES ? length : PREFACE_BYTES) != 0) {
    gg__http2_fail(http2, GG_OPAQUE_GAP, window->side, window->offset + at,
                   "HTTP/2 without its beginning: headers build upon those before them");
    return 0;
  }
  if (length < PREFACE_BYTES)
    return 0;
  http2->halves[GG_SIDE_CLIENT].phase = GG__HTTP2_HEAD;
  return PREFACE_BYTES;
}

static bool is_control(uint8_t type)
{
  return type == GG__HTTP2_PRIORITY || type == GG__HTTP2_RST_STREAM || type == GG__HTTP2_SETTINGS ||
         type == GG__HTTP2_PING_FRAME || type == GG__HTTP2_GOAWAY || type == GG__HTTP2_WINDOW_UPDATE;
}

/* Whether a frame may stand here; says so if not. */
static bool check_frame(struct gg__http2 *http2, enum gg_side side)
{
  const struct gg__http2_half *half = &http2->halves[side];
  bool continues = half->type == GG__HTTP2_CONTINUATION;
  bool of_stream = half->type == GG__HTTP2_DATA || half->type == GG__HTTP2_HEADERS || continues;
  if (!half->settled && (half->type != GG__HTTP2_SETTINGS || half->flags & GG__HTTP2_IS_ACK || half->stream))
    gg__http2_fail(http2, GG_OPAQUE_GAP, side, half->offset,
                   "HTTP/2 without its beginning: no SETTINGS come before all other frames");
  else if (continues != half->block.open || (continues && half->stream != half->block.stream))
    fail(http2, side, continues ? "a CONTINUATION of nothing" : "headers that are not continued");
  else if (of_stream && half->stream == 0)
    fail(http2, side, "data or headers of no stream");
  else if (half->type == GG__HTTP2_PUSH_PROMISE && side == GG_SIDE_CLIENT)
    fail(http2, side, "a promise of the client");
  else
    return true;
  return false;
}

/* A frame that is told as it is. */
static void begin_plain(struct gg__http2 *http2, enum gg_side side)
{
  struct gg__http2_half *half = &http2->halves[side];
  half->frame = gg__http2_control_begin(http2, side, GG__HTTP2_KIND_FRAME);
  gg_decoded_number(http2->decoding, half->frame, &gg__http_fields[GG__HTTP2_FRAME], half->type);
  gg_decoded_summary(http2->decoding, half->frame, "frame of type %u", half->type);
  half->phase = GG__HTTP2_PAYLOAD;
}

static void begin_data(struct gg__http2 *http2, enum gg_side side)
{
  struct gg__http2_half *half = &http2->halves[side];
  half->body = gg__http2_find(http2, half->stream);
  if (!half->body || !half->body->flows[side].draft)
    begin_plain(http2, side);
  else
    half->phase = half->flags & GG__HTTP2_PADDED ? GG__HTTP2_PREFIX : GG__HTTP2_BODY;
}

static size_t prefix_bytes(const struct gg__http2_half *half)
{
  size_t bytes = half->flags & GG__HTTP2_PADDED && half->type != GG__HTTP2_CONTINUATION ? 1 : 0;
  if (half->type == GG__HTTP2_HEADERS && half->flags & GG__HTTP2_HAS_PRIORITY)
    bytes += 5;
  return half->type == GG__HTTP2_PUSH_PROMISE ? bytes + 4 : bytes;
}

static void begin_fragment(struct gg__http2 *http2, enum gg_side side)
{
  struct gg__http2_half *half = &http2->halves[side];
  if (half->type == GG__HTTP2_CONTINUATION)
    half->block.flags |= half->flags & GG__HTTP2_END_HEADERS;
  else
    gg__http2_block_begin(http2, side);
  half->phase = prefix_bytes(half) ? GG__HTTP2_PREFIX : GG__HTTP2_FRAGMENT;
}

static size_t take_head(struct gg__http2 *http2, const struct gg_window *window, size_t at)
{
  struct gg__http2_half *half = &http2->halves[window->side];
  const uint8_t *data = window->data + at;
  size_t length = window->length - at;
  if (length < GG__HTTP2_HEAD_BYTES)
    return 0;
  half->offset = window->offset + at;
  half->left = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];
  half->type = data[3];
  half->flags = data[4];
  half->stream = gg__http2_u31(data + 5);
  half->padding = 0;
  if (!check_frame(http2, window->side))
    return 0;
  if (is_control(half->type) && half->left <= GG__HTTP2_CONTROL_MAX) {
    if (length - GG__HTTP2_HEAD_BYTES < half->left)
      return 0;
    half->settled = true;
    gg__http2_control(http2, window->side, data + GG__HTTP2_HEAD_BYTES, half->left);
    return GG__HTTP2_HEAD_BYTES + half->left;
  }
  half->settled = true;
  if (half->type == GG__HTTP2_DATA)
    begin_data(http2, window->side);
  else if (half->type == GG__HTTP2_HEADERS || half->type == GG__HTTP2_PUSH_PROMISE ||
           half->type == GG__HTTP2_CONTINUATION)
    begin_fragment(http2, window->side);
  else
    begin_plain(http2, window->side);
  return GG__HTTP2_HEAD_BYTES;
}

/* The length of the padding, priorities, the promised stream. */
static size_t take_prefix(struct gg__http2 *http2, const struct gg_window *window, size_t at)
{
  struct gg__http2_half *half = &http2->halves[window->side];
  const uint8_t *data = window->data + at;
  size_t bytes = prefix_bytes(half);
  if (half->left < bytes) {
    fail(http2, window->side, "a frame that is too short");
    return 0;
  }
  if (window->length - at < bytes)
    return 0;
  half->left -= (uint32_t)bytes;
  half->padding = half->flags & GG__HTTP2_PADDED ? *data : 0;
  if (half->padding > half->left) {
    fail(http2, window->side, "padding that is longer than its frame");
    return 0;
  }
  half->left -= half->padding;
  if (half->type == GG__HTTP2_PUSH_PROMISE)
    gg__http2_block_promise(http2, window->side, gg__http2_u31(data + bytes - 4));
  half->phase = half->type == GG__HTTP2_DATA ? GG__HTTP2_BODY : GG__HTTP2_FRAGMENT;
  return bytes;
}

/* ── What is in them ─────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_piece(struct gg__http2 *http2, const struct gg_window *window, size_t at)
{
  struct gg__http2_half *half = &http2->halves[window->side];
  size_t length = window->length - at < half->left ? window->length - at : half->left;
  struct gg_body body = {
    .data = window->data + at, .length = length, .raw_offset = window->offset + at, .raw_length = length};
  half->left -= (uint32_t)length;
  if (half->phase == GG__HTTP2_FRAGMENT)
    gg__http2_block_add(http2, window->side, body.data, length);
  else if (half->phase == GG__HTTP2_PAYLOAD)
    gg_decoded_body(http2->decoding, half->frame, &body);
  else if (half->body) /* its stream may have been reset meanwhile */
    gg__http2_body(http2, half->body, window->side, &body);
  return length;
}

static size_t take_padding(struct gg__http2_half *half, size_t length)
{
  size_t taken = length < half->padding ? length : half->padding;
  half->padding = (uint8_t)(half->padding - taken);
  return taken;
}

static void end_frame(struct gg__http2 *http2, enum gg_side side, uint64_t end)
{
  struct gg__http2_half *half = &http2->halves[side];
  struct gg__http2_stream *body = half->body;
  half->phase = GG__HTTP2_HEAD;
  half->body = NULL;
  if (half->frame)
    gg_decoded_end(http2->decoding, half->frame, end);
  else if (half->type == GG__HTTP2_DATA && body && half->flags & GG__HTTP2_END_STREAM)
    gg__http2_finish(http2, body, side, end);
  else if (half->type != GG__HTTP2_DATA && half->block.flags & GG__HTTP2_END_HEADERS)
    gg__http2_block_end(http2, side, end);
  half->frame = NULL;
}

/* A frame of which nothing is left is over, though no byte of the next one is there. */
static void settle(struct gg__http2 *http2, enum gg_side side, uint64_t end)
{
  struct gg__http2_half *half = &http2->halves[side];
  bool inside = half->phase == GG__HTTP2_BODY || half->phase == GG__HTTP2_FRAGMENT || half->phase == GG__HTTP2_PAYLOAD;
  if (inside && half->left == 0)
    half->phase = GG__HTTP2_PADDING;
  if (half->phase == GG__HTTP2_PADDING && half->padding == 0)
    end_frame(http2, side, end);
}

static size_t take(struct gg__http2 *http2, const struct gg_window *window, size_t at)
{
  struct gg__http2_half *half = &http2->halves[window->side];
  switch (half->phase) {
  case GG__HTTP2_PREFACE:
    return take_preface(http2, window, at);
  case GG__HTTP2_HEAD:
    return take_head(http2, window, at);
  case GG__HTTP2_PREFIX:
    return take_prefix(http2, window, at);
  case GG__HTTP2_PADDING:
    return take_padding(half, window->length - at);
  default:
    return take_piece(http2, window, at);
  }
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct gg__http2 *http2 = self;
  struct gg__http2_half *half = &http2->halves[window->side];
  size_t done = 0;
  while (done < window->length) {
    size_t taken = take(http2, window, done);
    done += taken;
    half->position = window->offset + done;
    if (taken && !gg_decoded_stopped(decoding, window->side))
      settle(http2, window->side, half->position);
    if (taken == 0 || gg_decoded_stopped(decoding, window->side))
      break;
  }
  return done;
}

/* ── Gaps, beginnings, ends ──────────────────────────────────────────────────────────────────────────────────────── */

static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct gg__http2 *http2 = self;
  struct gg__http2_half *half = &http2->halves[side];
  bool data = half->phase == GG__HTTP2_BODY || half->phase == GG__HTTP2_PAYLOAD;
  uint64_t room = (data ? half->left : 0) + (data || half->phase == GG__HTTP2_PADDING ? half->padding : 0u);
  if (offset != half->position || length > room) {
    gg__http2_fail(http2, GG_OPAQUE_GAP, side, offset,
                   "bytes are missing outside of data: headers build upon those before them");
    return false;
  }
  uint32_t of_data = data && length > half->left ? half->left : data ? (uint32_t)length : 0;
  half->left -= of_data;
  half->padding = (uint8_t)(half->padding - (length - of_data));
  if (of_data && half->frame)
    gg_decoded_message(decoding, half->frame)->flags |= GG_MESSAGE_GAP;
  else if (of_data && half->body)
    gg__http2_hole(http2, half->body, side, offset, of_data);
  half->position = offset + length;
  settle(http2, side, half->position);
  return true;
}

/* What HTTP/1 has become: its request is the first stream's, and the client has said all of it. "4096 head" are the
 * table that the client allows, and that it has asked for a head alone. */
static void open_upgraded(struct gg__http2 *http2, const struct gg_become *became)
{
  struct gg__http2_stream *stream = gg__http2_open(http2, 1);
  if (!stream)
    return;
  stream->request = became->answers;
  stream->flows[GG_SIDE_CLIENT].closed = true;
  stream->head_only = became->text && strstr(became->text, "head");
  http2->halves[GG_SIDE_CLIENT].last_opened = 1;
  if (became->text)
    gg__http2_allow_table(http2, GG_SIDE_SERVER, (uint32_t)strtoul(became->text, NULL, 10));
}

static void open_http2(void *self, struct gg_decoding *decoding, const struct gg_become *became)
{
  struct gg__http2 *http2 = self;
  http2->decoding = decoding;
  http2->halves[GG_SIDE_SERVER].phase = GG__HTTP2_HEAD;
  bool ready = gg__http2_inflater(http2, GG_SIDE_CLIENT) && gg__http2_inflater(http2, GG_SIDE_SERVER);
  if (ready && became && became->answers)
    open_upgraded(http2, became);
}

static void close_http2(void *self, struct gg_decoding *decoding)
{
  struct gg__http2 *http2 = self;
  (void)decoding;
  for (unsigned side = 0; side < 2; side++)
    if (http2->halves[side].inflater) /* there was memory for it */
      nghttp2_hd_inflate_del(http2->halves[side].inflater);
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* A server may speak first: so many SETTINGS as there are. */
static bool may_be_settings(const uint8_t *data, size_t length)
{
  static const uint8_t rest[] = {GG__HTTP2_SETTINGS, 0, 0, 0, 0, 0};
  if (length && data[0] != 0)
    return false;
  if (length > 1 && data[1] != 0)
    return false;
  if (length > 2 && data[2] % 6 != 0)
    return false;
  return length < 4 || memcmp(data + 3, rest, length - 3 < sizeof rest ? length - 3 : sizeof rest) == 0;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  size_t client = opening->length[GG_SIDE_CLIENT], server = opening->length[GG_SIDE_SERVER];
  if (client)
    return memcmp(opening->data[GG_SIDE_CLIENT], preface, client < PREFACE_BYTES ? client : PREFACE_BYTES) != 0
             ? GG_LIKENESS_NONE
           : client < PREFACE_BYTES ? GG_LIKENESS_OPEN
                                    : GG_LIKENESS_CERTAIN;
  if (!server || !may_be_settings(opening->data[GG_SIDE_SERVER], server))
    return GG_LIKENESS_NONE;
  return GG_LIKENESS_OPEN;
}

const struct gg_decoder gg__decoder_http2 = {
  GG_DECODER_HEAD,
  .name = "http2",
  .protocol = "http",
  .title = "HTTP/2 (RFC 9113), gRPC, WebSocket (RFC 8441)",
  .kinds = kinds,
  .fields = gg__http_fields,
  .state_bytes = sizeof(struct gg__http2),
  .identify = identify,
  .open = open_http2,
  .push = push,
  .gap = gap,
  .close = close_http2,
};
