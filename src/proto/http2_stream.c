/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, found by their number, and what has begun on them. */
#include "proto/http2.h"

#include <string.h>

enum { FIRST_BUCKETS = 16 };

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__http2_stream **bucket_of(struct gg__http2_stream **buckets, size_t count, uint32_t id)
{
  return &buckets[(id >> 1 ^ id << 4) & (count - 1)]; /* numbers of a side go up by two */
}

struct gg__http2_stream *gg__http2_find(struct gg__http2 *http2, uint32_t id)
{
  if (!http2->bucket_count)
    return NULL;
  struct gg__http2_stream *stream = *bucket_of(http2->buckets, http2->bucket_count, id);
  while (stream && stream->id != id)
    stream = stream->next;
  return stream;
}

static bool grow(struct gg__http2 *http2)
{
  size_t count = http2->bucket_count ? http2->bucket_count * 2 : FIRST_BUCKETS;
  struct gg__http2_stream **buckets = gg_decoded_alloc(http2->decoding, NULL, count * sizeof *buckets);
  if (!buckets)
    return false;
  memset(buckets, 0, count * sizeof *buckets);
  for (size_t i = 0; i < http2->bucket_count; i++) {
    for (struct gg__http2_stream *stream = http2->buckets[i], *next; stream; stream = next) {
      struct gg__http2_stream **bucket = bucket_of(buckets, count, stream->id);
      next = stream->next;
      stream->next = *bucket;
      *bucket = stream;
    }
  }
  gg_decoded_alloc(http2->decoding, http2->buckets, 0);
  http2->buckets = buckets;
  http2->bucket_count = count;
  return true;
}

struct gg__http2_stream *gg__http2_open(struct gg__http2 *http2, uint32_t id)
{
  if (http2->stream_count == GG__HTTP2_STREAMS_MAX) {
    gg__http2_fail(http2, GG_OPAQUE_LIMIT, GG_SIDE_CLIENT, http2->halves[GG_SIDE_CLIENT].offset,
                   "more than 16384 streams have begun and not ended");
    return NULL;
  }
  if (http2->stream_count == http2->bucket_count && !grow(http2))
    return NULL;
  struct gg__http2_stream *stream = http2->spare;
  if (stream) {
    http2->spare = stream->next;
    http2->spare_count--;
  } else {
    stream = gg_decoded_alloc(http2->decoding, NULL, sizeof *stream);
    if (!stream)
      return NULL;
  }
  struct gg__http2_stream **bucket = bucket_of(http2->buckets, http2->bucket_count, id);
  *stream = (struct gg__http2_stream){.id = id, .next = *bucket};
  *bucket = stream;
  http2->stream_count++;
  return stream;
}

static void forget(struct gg__http2 *http2, struct gg__http2_stream *stream)
{
  struct gg__http2_stream **at = bucket_of(http2->buckets, http2->bucket_count, stream->id);
  while (*at != stream)
    at = &(*at)->next;
  *at = stream->next;
  http2->stream_count--;
  http2->inflated_count -= stream->inflated;
  gg_decoded_alloc(http2->decoding, stream->call, 0);
  gg_decoded_alloc(http2->decoding, stream->websocket, 0);
  for (unsigned side = 0; side < 2; side++)
    if (http2->halves[side].body == stream)
      http2->halves[side].body = NULL;
  if (http2->spare_count == GG__HTTP2_SPARE_STREAMS_MAX) {
    gg_decoded_alloc(http2->decoding, stream, 0);
    return;
  }
  stream->next = http2->spare;
  http2->spare = stream;
  http2->spare_count++;
}

void gg__http2_settle(struct gg__http2 *http2, struct gg__http2_stream *stream)
{
  if (stream->flows[GG_SIDE_CLIENT].closed && stream->flows[GG_SIDE_SERVER].closed)
    forget(http2, stream);
}

/* ── What has begun on them ──────────────────────────────────────────────────────────────────────────────────────── */

/* A side says no more frames, or none that anybody can read. */
static void end_frames(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, uint64_t end)
{
  if (stream->flows[side].framed)
    gg__ws_finish(stream->websocket, http2->decoding, side, end);
  stream->flows[side].framed = false;
}

void gg__http2_websocket(struct gg__http2 *http2, struct gg__http2_stream *stream)
{
  const struct gg_message *message = gg_decoded_message(http2->decoding, stream->flows[GG_SIDE_SERVER].draft);
  const struct gg_field *field = gg_message_field(message, "http.header", "sec-websocket-extensions");
  char extensions[256]; /* a longer one says nothing that is known */
  size_t length = field && field->length < sizeof extensions ? field->length : 0;
  for (size_t i = 0; i < length; i++)
    extensions[i] = (char)(field->value[i] >= 'A' && field->value[i] <= 'Z' ? field->value[i] + 32 : field->value[i]);
  extensions[length] = '\0';
  stream->websocket = gg_decoded_alloc(http2->decoding, NULL, sizeof *stream->websocket);
  if (!stream->websocket)
    return;
  memset(stream->websocket, 0, sizeof *stream->websocket);
  gg__ws_init(stream->websocket, extensions, &gg__http_fields[GG__HTTP2_WEBSOCKET], GG__HTTP2_KIND_WEBSOCKET,
              stream->id);
  stream->inflated = stream->websocket->extensions.deflate && http2->inflated_count < GG__HTTP2_INFLATED_MAX;
  http2->inflated_count += stream->inflated;
  for (unsigned side = 0; side < 2; side++) { /* where frames begin in what was said before, nobody knows */
    struct gg__http2_flow *flow = &stream->flows[side];
    flow->framed = flow->draft && gg_decoded_message(http2->decoding, flow->draft)->body_length == 0;
    stream->websocket->halves[side].cannot_inflate = !stream->inflated;
  }
}

static void push_frames(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side,
                        const struct gg_body *body)
{
  const char *why;
  size_t taken =
    gg__ws_push(stream->websocket, http2->decoding, side, body->raw_offset, body->data, body->length, &why);
  if (!why)
    return;
  gg__http_odd(http2->decoding, stream->flows[side].draft, "unreadable-websocket-frame");
  end_frames(http2, stream, side, body->raw_offset + taken);
}

void gg__http2_body(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side,
                    const struct gg_body *body)
{
  struct gg__http2_flow *flow = &stream->flows[side];
  gg_decoded_body(http2->decoding, flow->draft, body);
  if (flow->grpc)
    gg__grpc_push(flow->grpc, http2->decoding, stream->call, body);
  if (flow->sse)
    gg__sse_push(flow->sse, http2->decoding, body);
  if (flow->framed)
    push_frames(http2, stream, side, body);
}

void gg__http2_hole(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, uint64_t offset,
                    uint64_t length)
{
  struct gg__http2_flow *flow = &stream->flows[side];
  gg_decoded_message(http2->decoding, flow->draft)->flags |= GG_MESSAGE_GAP;
  if (flow->grpc)
    gg__grpc_hole(flow->grpc, http2->decoding, offset, length);
  if (flow->sse)
    gg__sse_hole(flow->sse, http2->decoding, offset);
  if (flow->framed && !gg__ws_gap(stream->websocket, http2->decoding, side, offset, length))
    end_frames(http2, stream, side, offset);
}

/* The messages within the body have their last word before it. */
static void end_parts(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, uint64_t end)
{
  struct gg__http2_flow *flow = &stream->flows[side];
  end_frames(http2, stream, side, end);
  if (flow->grpc)
    gg__grpc_end(flow->grpc, http2->decoding, end);
  if (flow->sse)
    gg__sse_end(flow->sse, http2->decoding, end);
  gg_decoded_alloc(http2->decoding, flow->grpc, 0);
  gg_decoded_alloc(http2->decoding, flow->sse, 0);
  flow->grpc = NULL;
  flow->sse = NULL;
}

static void end_flow(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, uint64_t end)
{
  struct gg__http2_flow *flow = &stream->flows[side];
  struct gg__http2_block *block = &http2->halves[side].block;
  if (block->draft == flow->draft) /* what comes of its headers is nobody's any more */
    block->draft = NULL;
  gg_decoded_end(http2->decoding, flow->draft, end);
  flow->draft = NULL;
  flow->closed = true;
}

void gg__http2_finish(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, uint64_t end)
{
  struct gg__http2_flow *flow = &stream->flows[side];
  struct gg_message *message = gg_decoded_message(http2->decoding, flow->draft);
  end_parts(http2, stream, side, end);
  if (flow->has_length && !flow->no_body && !(message->flags & GG_MESSAGE_GAP) && message->body_length != flow->length)
    gg__http_odd(http2->decoding, flow->draft, "conflicting-content-length");
  if (side == GG_SIDE_SERVER && stream->request)
    message->flags |= GG_MESSAGE_COMPLETES;
  end_flow(http2, stream, side, end);
  gg__http2_settle(http2, stream);
}

void gg__http2_cut(struct gg__http2 *http2, struct gg__http2_stream *stream, enum gg_side side, const char *error,
                   uint64_t end)
{
  struct gg__http2_flow *flow = &stream->flows[side];
  end_parts(http2, stream, side, end);
  gg_decoded_message(http2->decoding, flow->draft)->flags |= GG_MESSAGE_CUT;
  struct gg__span text = {.text = error, .length = strlen(error)};
  gg__http_add(http2->decoding, flow->draft, GG__HTTP2_ERROR, &text);
  end_flow(http2, stream, side, end);
}
