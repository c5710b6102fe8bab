/* SPDX-License-Identifier: Apache-2.0 */
/**
 * packet.h - one TCP packet of a synthesised conversation as an Enhanced Packet Block.
 *
 *   at                                                   payload
 *   | EPB head 28 | Ethernet 14 | IP 20 or 40 | TCP 20 (28) | ... | pad | comment | epb_flags | end | length |
 *
 * Pure functions of memory; the producer's thread.
 */
#ifndef GG_RECORD_PACKET_H
#define GG_RECORD_PACKET_H

#include "net/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GG_TCP_FIN = 1, GG_TCP_SYN = 2, GG_TCP_RST = 4, GG_TCP_PSH = 8, GG_TCP_ACK = 16, GG_TCP_URG = 32 };

/* An EPB without payload and comment at its longest: an IPv6 SYN. A payload adds itself and 3 bytes of padding at the
 * most, a comment itself and 7. */
enum { GG_PACKET_EMPTY_MAX = 28 + 14 + 40 + 28 + 2 + 16 };

struct gg_packet {
  const struct gg_addr *from, *to;
  uint64_t time_ns; /* UTC */
  uint32_t sequence;
  uint32_t acknowledged;
  uint32_t payload_bytes; /* they stand at gg_packet_payload_offset already */
  uint32_t comment_bytes; /* 0: none */
  const char *comment;
  uint8_t flags;    /* GG_TCP_...; with SYN the packet has options */
  uint8_t outbound; /* from the server */
  bool ipv6;
};

/* Where a packet's payload begins, counted from the block's begin (no SYN). */
static inline size_t gg_packet_payload_offset(bool ipv6)
{
  return 28 + 14 + (ipv6 ? 40 : 20) + 20;
}

/* The length of the whole block (no SYN). */
size_t gg_packet_block_bytes(bool ipv6, size_t payload_bytes, size_t comment_bytes);

/* Writes everything but the payload. Returns the block's length. */
size_t gg_packet_write(uint8_t *at, const struct gg_packet *packet);

#endif
