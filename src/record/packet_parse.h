/* SPDX-License-Identifier: Apache-2.0 */
/**
 * packet_parse.h - finds the TCP segment in a captured packet, whoever captured it.
 *
 * Ethernet with VLAN tags, raw IP, Linux "cooked" v1 and v2, BSD loopback; IPv4, IPv6 with extension headers. Every
 * length is checked; nothing is reassembled. Pure functions; any thread.
 */
#ifndef GG_RECORD_PACKET_PARSE_H
#define GG_RECORD_PACKET_PARSE_H

#include "net/addr.h"

#include <stddef.h>
#include <stdint.h>

struct gg_tcp_packet {
  struct gg_addr from, to; /* IPv4-mapped IPv6 is IPv4 */
  uint32_t sequence, acknowledged;
  uint16_t window;
  uint8_t flags;           /* GG_TCP_... of packet.h, as on the wire */
  const uint8_t *payload;  /* into the packet */
  uint32_t payload_bytes;  /* that are here */
  uint32_t missing_bytes;  /* of payload that the capture cut off */
  const uint8_t *ip, *tcp; /* the headers, for gg_tcp_packet_checksums */
};

/* `captured` bytes at `data`. 0; GG_ERR_UNSUPPORTED: no TCP, a later fragment, or a link layer that is not known;
 * GG_ERR_TRUNCATED: the capture ends within the headers; GG_ERR_CORRUPT: lengths that contradict each other. */
int gg_tcp_packet_parse(struct gg_tcp_packet *out, uint16_t link_type, const uint8_t *data, size_t captured);

enum { GG_CHECKSUM_IP_WRONG = 1, GG_CHECKSUM_TCP_WRONG = 2, GG_CHECKSUM_TCP_UNKNOWN = 4 /* bytes are missing */ };
/* 0 if all checksums are right, or the bits above. Captures of offloading interfaces have wrong ones by design. */
unsigned gg_tcp_packet_checksums(const struct gg_tcp_packet *packet);

#endif
