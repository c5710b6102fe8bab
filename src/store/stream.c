/* SPDX-License-Identifier: Apache-2.0 */
#include "store/stream.h"

#include <gogetway/error.h>
#include <stdlib.h>
#include <string.h>

struct gg__held {
  uint32_t sequence;
  uint32_t captured;
  uint32_t length;
  uint8_t *data; /* owned; NULL when counting */
};

void gg__stream_begin(struct gg__stream *stream, uint32_t sequence)
{
  if (stream->begun)
    return;
  stream->begun = true;
  stream->next = sequence;
}

/* How far `sequence` is in front of what is expected; negative: bytes seen before. */
static int32_t distance(const struct gg__stream *stream, uint32_t sequence)
{
  return (int32_t)(sequence - stream->next);
}

static int put_gap(struct gg__stream *stream, uint64_t bytes, gg__stream_fn out, void *context)
{
  struct gg__run run = {.offset = stream->offset, .gap = bytes};
  stream->offset += bytes;
  return bytes ? out(context, &run) : 0;
}

/* Bytes that are expected now, or were seen in part. */
static int deliver(struct gg__stream *stream, uint32_t sequence, const uint8_t *data, uint32_t captured,
                   uint32_t length, gg__stream_fn out, void *context)
{
  uint32_t seen = stream->next - sequence;
  if (seen >= length)
    return 0;
  uint32_t skip = seen < captured ? seen : captured;
  struct gg__run run = {.offset = stream->offset, .data = data ? data + skip : NULL, .length = captured - skip};
  uint32_t missing = length - seen - run.length;
  stream->next += length - seen;
  stream->offset += run.length;
  int error = run.length ? out(context, &run) : 0;
  return error ? error : put_gap(stream, missing, out, context);
}

static void remove_first(struct gg__stream *stream)
{
  stream->held_bytes -= stream->held[0].length;
  free(stream->held[0].data);
  stream->held_count--;
  memmove(stream->held, stream->held + 1, stream->held_count * sizeof stream->held[0]);
}

/* Held packets whose turn has come. */
static int deliver_held(struct gg__stream *stream, gg__stream_fn out, void *context)
{
  int error = 0;
  while (!error && stream->held_count > 0 && distance(stream, stream->held[0].sequence) <= 0) {
    const struct gg__held *first = &stream->held[0];
    error = deliver(stream, first->sequence, first->data, first->captured, first->length, out, context);
    remove_first(stream);
  }
  return error;
}

/* Declares what is missing in front of the first held packet a gap. */
static int skip_hole(struct gg__stream *stream, gg__stream_fn out, void *context)
{
  int32_t hole = distance(stream, stream->held[0].sequence);
  int error = 0;
  if (hole > 0) {
    stream->next += (uint32_t)hole;
    error = put_gap(stream, (uint32_t)hole, out, context);
  }
  return error ? error : deliver_held(stream, out, context);
}

static int hold(struct gg__stream *stream, uint32_t sequence, const uint8_t *data, uint32_t captured, uint32_t length)
{
  if (!stream->held) {
    stream->held = calloc(GG_STREAM_HELD_MAX, sizeof stream->held[0]);
    if (!stream->held)
      return GG_ERR_NOMEM;
  }
  unsigned at = stream->held_count;
  while (at > 0 && (int32_t)(stream->held[at - 1].sequence - sequence) > 0)
    at--;
  if (at > 0 && stream->held[at - 1].sequence == sequence && stream->held[at - 1].length >= length)
    return 0; /* the same again */
  uint8_t *copy = NULL;
  if (data && captured > 0) {
    copy = malloc(captured);
    if (!copy)
      return GG_ERR_NOMEM;
    memcpy(copy, data, captured);
  }
  memmove(stream->held + at + 1, stream->held + at, (stream->held_count - at) * sizeof stream->held[0]);
  stream->held[at] = (struct gg__held){sequence, captured, length, copy};
  stream->held_count++;
  stream->held_bytes += length;
  return 0;
}

int gg__stream_push(struct gg__stream *stream, uint32_t sequence, const uint8_t *data, uint32_t captured,
                    uint32_t length, gg__stream_fn out, void *context)
{
  if (length == 0)
    return 0;
  gg__stream_begin(stream, sequence);
  if (distance(stream, sequence) <= 0) {
    int error = deliver(stream, sequence, data, captured, length, out, context);
    return error ? error : deliver_held(stream, out, context);
  }
  int error = 0;
  while (!error && stream->held_count > 0 && distance(stream, sequence) > 0 &&
         (stream->held_count == GG_STREAM_HELD_MAX || stream->held_bytes + length > GG_STREAM_HELD_BYTES_MAX))
    error = skip_hole(stream, out, context);
  if (error)
    return error;
  if (distance(stream, sequence) <= 0)
    return gg__stream_push(stream, sequence, data, captured, length, out, context);
  return hold(stream, sequence, data, captured, length);
}

/* What is held, as if nothing came in front of it any more. */
static int give_held(struct gg__stream *stream, gg__stream_fn out, void *context)
{
  int error = 0;
  while (!error && stream->held_count > 0)
    error = skip_hole(stream, out, context);
  return error;
}

int gg__stream_gap(struct gg__stream *stream, uint32_t sequence, uint64_t bytes, gg__stream_fn out, void *context)
{
  int error = give_held(stream, out, context);
  stream->begun = true;
  stream->next = sequence;
  return error ? error : put_gap(stream, bytes, out, context);
}

void gg__stream_fin(struct gg__stream *stream, uint32_t sequence)
{
  if (stream->ended)
    return;
  stream->ended = true;
  stream->end = sequence;
}

int gg__stream_skip_to(struct gg__stream *stream, uint64_t offset, gg__stream_fn out, void *context)
{
  int error = give_held(stream, out, context);
  stream->begun = false;
  return error || offset <= stream->offset ? error : put_gap(stream, offset - stream->offset, out, context);
}

int gg__stream_flush(struct gg__stream *stream, gg__stream_fn out, void *context)
{
  int error = give_held(stream, out, context);
  int32_t hole = stream->begun && stream->ended ? distance(stream, stream->end) : 0;
  if (error || hole <= 0)
    return error;
  stream->next = stream->end;
  return put_gap(stream, (uint32_t)hole, out, context);
}

uint32_t gg__stream_end(const struct gg__stream *stream)
{
  uint32_t end = stream->next;
  for (unsigned i = 0; i < stream->held_count; i++) {
    uint32_t held = stream->held[i].sequence + stream->held[i].length;
    end = (int32_t)(held - end) > 0 ? held : end;
  }
  return end;
}

void gg__stream_fini(struct gg__stream *stream)
{
  while (stream->held_count > 0)
    remove_first(stream);
  free(stream->held);
  stream->held = NULL;
}
