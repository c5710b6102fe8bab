/* SPDX-License-Identifier: Apache-2.0 */
/**
 * stream.h - one direction of a TCP conversation put in order, with bounded memory.
 *
 * Packets are pushed as they stand in the file; bytes and gaps come out in stream order. Retransmitted bytes are
 * dropped, packets that came early are held, and when more is held than the bounds allow (or at the end) what is
 * missing in front of them becomes a gap. Recordings of gogetway are always in order and never hold anything.
 *
 *   pushed:    [next ......)[hole)[held A)[held B)       next: the sequence number that is expected
 *   out:       bytes         gap   bytes   bytes
 *
 * It also works without bytes (data NULL), to count: the bounds are the same, and so are the results.
 * Owned by whoever reads the packets; no threads.
 */
#ifndef GG_STORE_STREAM_H
#define GG_STORE_STREAM_H

#include "store/bounds.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg__held;

struct gg__stream {
  uint64_t offset; /* of the next byte in the stream: all bytes so far, present and missing */
  uint32_t next;   /* its sequence number, once begun */
  bool begun, ended;
  uint8_t held_count;
  uint32_t held_bytes;
  uint32_t end;          /* the sequence number of the FIN, once ended */
  struct gg__held *held; /* in order of sequence; NULL until something is held */
};

/* A run of bytes (`data` NULL when counting), or a gap (`gap` > 0, length 0). A non-zero return ends the push with
 * it. */
struct gg__run {
  uint64_t offset;
  const uint8_t *data;
  uint32_t length;
  uint64_t gap;
};
typedef int (*gg__stream_fn)(void *context, const struct gg__run *run);

/* The sequence number of the first byte is known (SYN). Nothing if it has begun already. */
void gg__stream_begin(struct gg__stream *stream, uint32_t sequence);

/* A packet with `length` bytes of payload, of which the file has `captured`. The first push begins the stream. Returns
 * 0, what `out` returned, or GG_ERR_NOMEM. */
int gg__stream_push(struct gg__stream *stream, uint32_t sequence, const uint8_t *data, uint32_t captured,
                    uint32_t length, gg__stream_fn out, void *context);

/* A marked gap: `bytes` are missing in front of `sequence` (which may have moved by fewer). */
int gg__stream_gap(struct gg__stream *stream, uint32_t sequence, uint64_t bytes, gg__stream_fn out, void *context);

/* The side's FIN stands at `sequence`: what is missing in front of it then is a gap when the stream is flushed. The
 * first one holds. */
void gg__stream_fin(struct gg__stream *stream, uint32_t sequence);

/* All up to `offset` was lost: a gap; the next packet pushed says the sequence number. */
int gg__stream_skip_to(struct gg__stream *stream, uint64_t offset, gg__stream_fn out, void *context);

/* Gives out what is held, holes as gaps, also the one in front of the FIN: nothing more will come. */
int gg__stream_flush(struct gg__stream *stream, gg__stream_fn out, void *context);

/* The sequence number behind the highest byte that was pushed so far, held ones counted. Once begun. */
uint32_t gg__stream_end(const struct gg__stream *stream);

/* Frees what is held. The stream may be pushed into again. */
void gg__stream_fini(struct gg__stream *stream);

#endif
