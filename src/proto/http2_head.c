/* SPDX-License-Identifier: Apache-2.0 */
/* Header blocks (RFC 9113, 4.3; RFC 7541) and the messages that begin or end with them.
 *
 * A block is gathered over its frames, and inflated as a whole when its last frame ends. Every block is inflated, also
 * one that nobody wants (of a stream that was reset) and what a message has no room for: the next one builds upon the
 * table that it leaves. Each direction has one inflater, whose memory is the decoding's.
 *
 * How large a table may be is said by its reader's SETTINGS, and how large it is by its writer, in the block itself
 * (RFC 7541, 6.3). So a greater bound is taken at once, though the writer will use it only after its acknowledgement,
 * and a smaller one needs nothing: from where on it holds is where the writer says so. A writer who ignored a smaller
 * one, and whom its real reader would refuse, is still read right. */
#include "proto/http2.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
  FIRST_BLOCK_BYTES = 1024,
  SPARE_BLOCK_BYTES = 1 << 14, /* a greater one is given back */
  DEFAULT_TABLE_BYTES = 4096,
};

/* What has been there of a block. */
struct reading {
  struct gg_decoding *decoding;
  struct gg_draft *draft;
  struct gg__http2_flow *flow; /* whose length is told; NULL: of nobody */
  bool trailers, response;
  bool calls;   /* it answers a call of gRPC */
  bool regular; /* pseudo-headers are over */
  unsigned pseudo;
};
enum { METHOD = 1, PATH = 2, SCHEME = 4, AUTHORITY = 8, STATUS = 16, PROTOCOL = 32 };

/* ── The inflater ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void *resize(void *memory, size_t bytes, void *http2)
{
  return gg_decoded_alloc(((struct gg__http2 *)http2)->decoding, memory, bytes ? bytes : 1);
}

static void *allocate(size_t bytes, void *http2)
{
  return resize(NULL, bytes, http2);
}

static void release(void *memory, void *http2)
{
  gg_decoded_alloc(((struct gg__http2 *)http2)->decoding, memory, 0);
}

static void *allocate_zeroed(size_t count, size_t bytes, void *http2)
{
  size_t product;
  void *memory = __builtin_mul_overflow(count, bytes, &product) ? NULL : allocate(product, http2);
  if (memory)
    memset(memory, 0, product);
  return memory;
}

bool gg__http2_inflater(struct gg__http2 *http2, enum gg_side side)
{
  http2->memory = (nghttp2_mem){
    .mem_user_data = http2, .malloc = allocate, .free = release, .calloc = allocate_zeroed, .realloc = resize};
  http2->halves[side].table_max = DEFAULT_TABLE_BYTES;
  return nghttp2_hd_inflate_new2(&http2->halves[side].inflater, &http2->memory) == 0;
}

void gg__http2_allow_table(struct gg__http2 *http2, enum gg_side side, uint32_t bytes)
{
  struct gg__http2_half *half = &http2->halves[side];
  if (bytes <= half->table_max)
    return;
  half->table_max = bytes;
  nghttp2_hd_inflate_change_table_size(half->inflater, bytes); /* between two blocks it cannot fail */
}

/* ── Pseudo-headers ──────────────────────────────────────────────────────────────────────────────────────────────── */

static void add_status(struct reading *reading, const struct gg__span *value)
{
  unsigned status = 0;
  for (size_t i = 0; i < value->length && value->length == 3; i++)
    status = status * 10 + (unsigned)((uint8_t)value->text[i] - '0');
  if (status < 100 || status > 999) {
    gg__http_odd(reading->decoding, reading->draft, "bad-status");
    return;
  }
  gg_decoded_number(reading->decoding, reading->draft, &gg__http_fields[GG__HTTP_STATUS], status);
  if (reading->flow)
    reading->flow->status = status;
}

static void take_pseudo(struct reading *reading, const struct gg__span *name, const struct gg__span *value)
{
  static const struct {
    const char *name;
    unsigned bit;
  } names[] = {{":method", METHOD},       {":path", PATH},     {":scheme", SCHEME},
               {":authority", AUTHORITY}, {":status", STATUS}, {":protocol", PROTOCOL}};
  unsigned bit = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (gg__http_is(name, names[i].name))
      bit = names[i].bit;
  const char *odd = reading->trailers                      ? "pseudo-header-in-trailers"
                    : !bit                                 ? "unknown-pseudo-header"
                    : reading->pseudo & bit                ? "repeated-pseudo-header"
                    : reading->regular                     ? "late-pseudo-header"
                    : (bit == STATUS) != reading->response ? "wrong-pseudo-header"
                                                           : NULL;
  if (odd)
    gg__http_odd(reading->decoding, reading->draft, odd);
  reading->pseudo |= bit;
  if (reading->trailers || !bit || bit == SCHEME || bit == PROTOCOL)
    gg__http_header(reading->decoding, reading->draft, name, value, reading->trailers);
  else if (bit == METHOD)
    gg__http_add(reading->decoding, reading->draft, GG__HTTP_METHOD, value);
  else if (bit == PATH)
    gg__http_path(reading->decoding, reading->draft, value);
  else if (bit == AUTHORITY)
    gg__http_add(reading->decoding, reading->draft, GG__HTTP_HOST, value);
  else
    add_status(reading, value);
}

/* ── Headers ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* "content-length", which a receiver may believe more than the frames. */
static void note_length(struct reading *reading, const struct gg__span *value)
{
  uint64_t length = 0;
  bool number = value->length > 0 && value->length < 20;
  for (size_t i = 0; number && i < value->length; i++) {
    number = value->text[i] >= '0' && value->text[i] <= '9';
    length = length * 10 + (uint64_t)(value->text[i] - '0');
  }
  struct gg__http2_flow *flow = reading->flow;
  if (!number)
    gg__http_odd(reading->decoding, reading->draft, "content-length-no-number");
  else if (flow && flow->has_length)
    gg__http_odd(reading->decoding, reading->draft,
                 flow->length == length ? "repeated-content-length" : "conflicting-content-length");
  else if (flow)
    flow->length = length;
  if (number && flow)
    flow->has_length = true;
}

/* What a translation to HTTP/1 would make something else of (RFC 9113, 8.2). */
static void note_odd(struct reading *reading, const struct gg__span *name, const struct gg__span *value)
{
  static const char *const of_connection[] = {"connection", "proxy-connection", "keep-alive", "transfer-encoding",
                                              "upgrade"};
  for (size_t i = 0; i < sizeof of_connection / sizeof *of_connection; i++)
    if (gg__http_is(name, of_connection[i]))
      gg__http_odd(reading->decoding, reading->draft, "connection-header");
  if (name->length == 0)
    gg__http_odd(reading->decoding, reading->draft, "empty-header-name");
  for (size_t i = 0; i < name->length; i++) {
    if (name->text[i] >= 'A' && name->text[i] <= 'Z')
      gg__http_odd(reading->decoding, reading->draft, "upper-case-header");
    else if ((uint8_t)name->text[i] <= ' ' || (uint8_t)name->text[i] > '~' || (name->text[i] == ':' && i))
      gg__http_odd(reading->decoding, reading->draft, "bad-header-name");
  }
  if (memchr(value->text, '\0', value->length) || memchr(value->text, '\r', value->length) ||
      memchr(value->text, '\n', value->length))
    gg__http_odd(reading->decoding, reading->draft, "control-in-header");
}

static void take_header(struct reading *reading, const struct gg__span *name, const struct gg__span *value)
{
  if (!reading->draft || gg_decoded_message(reading->decoding, reading->draft)->flags & GG_MESSAGE_FIELDS_CUT)
    return;
  note_odd(reading, name, value);
  if (name->length && name->text[0] == ':') {
    take_pseudo(reading, name, value);
    return;
  }
  reading->regular = true;
  gg__http_header(reading->decoding, reading->draft, name, value, reading->trailers);
  if (reading->calls)
    gg__grpc_header(reading->decoding, reading->draft, name, value);
  if (gg__http_is(name, "content-length") && !reading->trailers)
    note_length(reading, value);
}

/* False: it cannot be, or memory was refused. */
static bool inflate(struct gg__http2_half *half, struct reading *reading)
{
  const uint8_t *data = half->block.data;
  for (size_t at = 0;;) {
    nghttp2_nv header;
    int flags = 0;
    ssize_t used = nghttp2_hd_inflate_hd2(half->inflater, &header, &flags, data ? data + at : (const uint8_t *)"",
                                          half->block.length - at, 1);
    if (used < 0)
      return false;
    at += (size_t)used;
    if (flags & NGHTTP2_HD_INFLATE_EMIT) {
      struct gg__span name = {.text = (const char *)header.name, .length = header.namelen};
      struct gg__span value = {.text = (const char *)header.value, .length = header.valuelen};
      take_header(reading, &name, &value);
    }
    if (flags & NGHTTP2_HD_INFLATE_FINAL) {
      nghttp2_hd_inflate_end_headers(half->inflater);
      return true;
    }
  }
}

/* ── Blocks begin ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin_request(struct gg__http2 *http2, struct gg__http2_half *half)
{
  struct gg__http2_stream *stream = gg__http2_open(http2, half->stream);
  if (!stream)
    return;
  half->last_opened = half->stream;
  struct gg__http2_flow *flow = &stream->flows[GG_SIDE_CLIENT];
  flow->draft = gg_decoded_begin(http2->decoding, GG_SIDE_CLIENT, GG__HTTP2_KIND_REQUEST, half->offset);
  struct gg_message *message = gg_decoded_message(http2->decoding, flow->draft);
  message->flags |= GG_MESSAGE_REQUEST;
  message->stream = stream->id;
  stream->request = message->number;
  half->block.draft = flow->draft;
}

static void begin_response(struct gg__http2 *http2, struct gg__http2_half *half, struct gg__http2_stream *stream)
{
  struct gg__http2_flow *flow = &stream->flows[GG_SIDE_SERVER];
  flow->draft = gg_decoded_begin(http2->decoding, GG_SIDE_SERVER, GG__HTTP2_KIND_RESPONSE, half->offset);
  struct gg_message *message = gg_decoded_message(http2->decoding, flow->draft);
  message->stream = stream->id;
  message->answers = stream->request;
  half->block.draft = flow->draft;
}

static void begin_promise(struct gg__http2 *http2, struct gg__http2_half *half)
{
  half->block.draft = gg_decoded_begin(http2->decoding, GG_SIDE_SERVER, GG__HTTP2_KIND_REQUEST, half->offset);
  gg_decoded_message(http2->decoding, half->block.draft)->flags |= GG_MESSAGE_REQUEST;
  gg_decoded_number(http2->decoding, half->block.draft, &gg__http_fields[GG__HTTP2_PROMISED_ON], half->stream);
}

void gg__http2_block_begin(struct gg__http2 *http2, enum gg_side side)
{
  struct gg__http2_half *half = &http2->halves[side];
  struct gg__http2_block *block = &half->block;
  struct gg__http2_stream *stream = gg__http2_find(http2, half->stream);
  struct gg__http2_flow *flow = stream ? &stream->flows[side] : NULL;
  block->open = true;
  block->type = half->type;
  block->flags = half->flags;
  block->stream = half->stream;
  block->length = 0;
  block->trailers = false;
  block->draft = NULL;
  if (half->type == GG__HTTP2_PUSH_PROMISE) {
    begin_promise(http2, half);
  } else if (flow && flow->draft) {
    block->draft = flow->draft;
    block->trailers = true;
  } else if (side == GG_SIDE_SERVER && flow && !flow->closed) {
    begin_response(http2, half, stream);
  } else if (side == GG_SIDE_CLIENT && !stream && half->stream % 2 && half->stream > half->last_opened) {
    begin_request(http2, half);
  } else { /* of a stream that was reset, or never was one: told as a frame, with its headers */
    block->draft = gg__http2_control_begin(http2, side, GG__HTTP2_KIND_FRAME);
    gg_decoded_number(http2->decoding, block->draft, &gg__http_fields[GG__HTTP2_FRAME], half->type);
  }
}

void gg__http2_block_promise(struct gg__http2 *http2, enum gg_side side, uint32_t id)
{
  struct gg__http2_half *half = &http2->halves[side];
  struct gg_message *message = gg_decoded_message(http2->decoding, half->block.draft);
  message->stream = id;
  half->block.stream = half->stream;
  if (id % 2 || id <= half->last_opened) {
    gg__http_odd(http2->decoding, half->block.draft, "bad-promised-stream");
    return;
  }
  struct gg__http2_stream *stream = gg__http2_open(http2, id);
  if (!stream)
    return;
  half->last_opened = id;
  stream->request = message->number;
  stream->flows[GG_SIDE_CLIENT].closed = true;
}

void gg__http2_block_add(struct gg__http2 *http2, enum gg_side side, const uint8_t *data, size_t length)
{
  struct gg__http2_block *block = &http2->halves[side].block;
  size_t wanted = block->capacity ? block->capacity : FIRST_BLOCK_BYTES;
  if (length > GG__HTTP2_BLOCK_MAX - block->length) {
    gg__http2_fail(http2, GG_OPAQUE_LIMIT, side, http2->halves[side].offset,
                   "a header block of more than 262144 bytes");
    return;
  }
  while (wanted < block->length + length)
    wanted *= 2;
  if (wanted != block->capacity) {
    uint8_t *moved = gg_decoded_alloc(http2->decoding, block->data, wanted);
    if (!moved)
      return;
    block->data = moved;
    block->capacity = wanted;
  }
  memcpy(block->data + block->length, data, length);
  block->length += length;
}

/* ── Blocks end ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void split_calls(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side)
{
  struct gg__grpc *grpc = gg_decoded_alloc(http2->decoding, NULL, sizeof *grpc);
  if (grpc)
    *grpc = (struct gg__grpc){.kind = GG__HTTP2_KIND_GRPC_MESSAGE,
                              .side = side,
                              .stream = stream->id,
                              .answers = side == GG_SIDE_SERVER ? stream->request : 0};
  stream->flows[side].grpc = grpc;
}

static void split_events(struct gg__http2 *http2, struct gg__http2_stream *stream)
{
  struct gg__sse *sse = gg_decoded_alloc(http2->decoding, NULL, sizeof *sse);
  if (sse)
    *sse = (struct gg__sse){.kind = GG__HTTP2_KIND_EVENT, .stream = stream->id, .answers = stream->request};
  stream->flows[GG_SIDE_SERVER].sse = sse;
}

static void summarize_request(struct gg__http2 *http2, struct gg_draft *draft, bool promised)
{
  const struct gg_message *message = gg_decoded_message(http2->decoding, draft);
  const struct gg_field *method = gg__http_find(message, GG__HTTP_METHOD);
  const struct gg_field *target = gg__http_find(message, GG__HTTP_TARGET);
  if (!target)
    target = gg__http_find(message, GG__HTTP_HOST); /* of CONNECT */
  gg_decoded_summary(http2->decoding, draft, "%s%.*s %.*s", promised ? "push " : "",
                     method && method->length < 64 ? (int)method->length : 0, method ? (const char *)method->value : "",
                     !target                ? 0
                     : target->length < 200 ? (int)target->length
                                            : 200,
                     target ? (const char *)target->value : "");
}

static void summarize_response(struct gg__http2 *http2, const struct gg__http2_flow *flow)
{
  const struct gg_field *status = gg__http_find(gg_decoded_message(http2->decoding, flow->draft), GG__GRPC_STATUS);
  if (status)
    gg_decoded_summary(http2->decoding, flow->draft, "%u, gRPC %" PRIu64 " %s", flow->status, status->number,
                       gg__grpc_status_text(status->number));
  else
    gg_decoded_summary(http2->decoding, flow->draft, "%u", flow->status);
}

/* RFC 8441, 4 */
static bool is_protocol(const struct gg_message *message, const char *lower)
{
  const struct gg_field *field = gg_message_field(message, "http.header", ":protocol");
  struct gg__span value = {.text = field ? (const char *)field->value : "", .length = field ? field->length : 0};
  return gg__http_is(&value, lower);
}

static void end_request(struct gg__http2 *http2, struct gg__http2_stream *stream, const struct reading *reading)
{
  struct gg__http2_flow *flow = &stream->flows[GG_SIDE_CLIENT];
  const struct gg_message *message = gg_decoded_message(http2->decoding, flow->draft);
  const struct gg_field *method = gg__http_find(message, GG__HTTP_METHOD);
  bool connect = method && method->length == 7 && memcmp(method->value, "CONNECT", 7) == 0;
  stream->head_only = method && method->length == 4 && memcmp(method->value, "HEAD", 4) == 0;
  stream->wants_websocket = connect && is_protocol(message, "websocket");
  if (!(reading->pseudo & METHOD))
    gg__http_odd(http2->decoding, flow->draft, "no-method");
  else if (!(reading->pseudo & PATH) && !connect)
    gg__http_odd(http2->decoding, flow->draft, "no-path");
  if (gg__grpc_is(message)) {
    stream->call = gg_decoded_alloc(http2->decoding, NULL, sizeof *stream->call);
    if (!stream->call)
      return;
    stream->call->name[0] = '\0';
    gg__grpc_request(http2->decoding, flow->draft, stream->call);
    split_calls(http2, stream, GG_SIDE_CLIENT);
  }
  summarize_request(http2, flow->draft, false);
  gg_decoded_head(http2->decoding, flow->draft);
}

/* False: it is one that announces another one (1xx), and is over. */
static bool end_response(struct gg__http2 *http2, struct gg__http2_stream *stream, const struct reading *reading,
                         uint64_t end)
{
  struct gg__http2_flow *flow = &stream->flows[GG_SIDE_SERVER];
  bool ends = http2->halves[GG_SIDE_SERVER].block.flags & GG__HTTP2_END_STREAM;
  if (!(reading->pseudo & STATUS))
    gg__http_odd(http2->decoding, flow->draft, "no-status");
  summarize_response(http2, flow);
  if (flow->status >= 100 && flow->status < 200 && !ends) {
    gg_decoded_end(http2->decoding, flow->draft, end);
    *flow = (struct gg__http2_flow){0};
    return false;
  }
  flow->no_body = stream->head_only || flow->status == 204 || flow->status == 304;
  const struct gg_message *message = gg_decoded_message(http2->decoding, flow->draft);
  if (!ends && gg__grpc_is(message))
    split_calls(http2, stream, GG_SIDE_SERVER);
  else if (!ends && gg__sse_is(message))
    split_events(http2, stream);
  else if (!ends && stream->wants_websocket && flow->status >= 200 && flow->status < 300)
    gg__http2_websocket(http2, stream);
  gg_decoded_head(http2->decoding, flow->draft);
  return true;
}

/* The message that the block belongs to knows all of it now. */
static void apply(struct gg__http2 *http2, enum gg_side side, struct gg__http2_stream *stream,
                  const struct reading *reading, uint64_t end)
{
  const struct gg__http2_block *block = &http2->halves[side].block;
  bool ends = block->flags & GG__HTTP2_END_STREAM;
  if (block->trailers && side == GG_SIDE_SERVER)
    summarize_response(http2, &stream->flows[side]);
  if (block->trailers && !ends)
    gg__http_odd(http2->decoding, block->draft, "trailers-without-end");
  if (!block->trailers && side == GG_SIDE_CLIENT)
    end_request(http2, stream, reading);
  if (!block->trailers && side == GG_SIDE_SERVER && !end_response(http2, stream, reading, end))
    return;
  if (ends && !gg_decoded_stopped(http2->decoding, side))
    gg__http2_finish(http2, stream, side, end);
}

void gg__http2_block_end(struct gg__http2 *http2, enum gg_side side, uint64_t end)
{
  static const struct gg__span version = {.text = "2", .length = 1};
  struct gg__http2_half *half = &http2->halves[side];
  struct gg__http2_block *block = &half->block;
  struct gg__http2_stream *stream =
    block->type == GG__HTTP2_HEADERS && block->draft ? gg__http2_find(http2, block->stream) : NULL;
  if (stream && stream->flows[side].draft != block->draft)
    stream = NULL;
  struct reading reading = {.decoding = http2->decoding,
                            .draft = block->draft,
                            .flow = stream ? &stream->flows[side] : NULL,
                            .trailers = block->trailers,
                            .response = side == GG_SIDE_SERVER && block->type == GG__HTTP2_HEADERS,
                            .calls = stream && stream->call && side == GG_SIDE_SERVER};
  block->open = false;
  if (stream && !block->trailers)
    gg__http_add(http2->decoding, block->draft, GG__HTTP_VERSION, &version);
  if (!inflate(half, &reading)) {
    gg__http2_fail(http2, GG_OPAQUE_FAILED, side, half->offset, "headers that cannot be decompressed");
    return;
  }
  if (block->capacity > SPARE_BLOCK_BYTES) {
    gg_decoded_alloc(http2->decoding, block->data, 0);
    block->data = NULL;
    block->capacity = 0;
  }
  if (stream) {
    apply(http2, side, stream, &reading, end);
  } else if (block->draft) { /* a promise, or nobody's */
    if (block->type == GG__HTTP2_PUSH_PROMISE) {
      gg__http_add(http2->decoding, block->draft, GG__HTTP_VERSION, &version);
      summarize_request(http2, block->draft, true);
    }
    gg_decoded_end(http2->decoding, block->draft, end);
  }
  block->draft = NULL;
}
