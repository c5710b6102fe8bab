/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers are put together as 32-bit words in registers, which are stored and summed at the same time: reading bytes
 * back that were just written narrower would wait for the store buffer, and this runs once for every packet.
 */
#include "record/packet.h"

#include "record/checksum.h"
#include "record/pcapng.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

enum {
  WINDOW = 65535,
  WINDOW_SCALE = 7, /* 8 MiB: never full, as at most 96 KiB are unacknowledged */
  MSS_IPV4 = 65495, /* the loopback's */
  MSS_IPV6 = 65475,
  TTL = 64,
  TCP_HEAD = 20,
  TCP_SYN_OPTIONS = 8,
  TRAILER = 8 + 4 + 4, /* epb_flags, end of options, block length */
};

/* Locally administered: the client's is ...:01, the server's ...:02. */
static const uint8_t ethernet_head[2][2][14] = {
  {{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00}, {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd}},
  {{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00}, {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd}},
};

/* Stores a word as it is and returns it for the sum. */
static inline uint64_t put32(uint8_t *at, uint32_t word)
{
  memcpy(at, &word, sizeof word);
  return word;
}

static inline void put16(uint8_t *at, uint16_t word)
{
  memcpy(at, &word, sizeof word);
}

static inline uint32_t get32(const uint8_t *at)
{
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

size_t gg_packet_block_bytes(bool ipv6, size_t payload_bytes, size_t comment_bytes)
{
  size_t packet = gg_packet_payload_offset(ipv6) - GG_PCAPNG_EPB_HEAD + payload_bytes;
  size_t comment = comment_bytes == 0 ? 0 : 4 + gg_pcapng_pad(comment_bytes);
  return GG_PCAPNG_EPB_HEAD + gg_pcapng_pad(packet) + comment + TRAILER;
}

/* Writes an IPv4 header and returns the sum of the two addresses. */
static uint64_t put_ipv4(uint8_t *at, const struct gg_packet *packet, uint32_t tcp_bytes)
{
  uint64_t sum = put32(at, htobe32(0x45000000u | (20 + tcp_bytes)));
  sum += put32(at + 4, htobe32(0x00004000u)); /* identification 0, do not fragment */
  sum += put32(at + 8, htobe32((uint32_t)TTL << 24 | 6u << 16));
  uint64_t addresses = put32(at + 12, get32(packet->from->ip));
  addresses += put32(at + 16, get32(packet->to->ip));
  put16(at + 10, (uint16_t)~gg_checksum_fold(sum + addresses));
  return addresses;
}

/* Writes an address as IPv6; IPv4 appears as ::ffff:a.b.c.d. Returns its sum. */
static uint64_t put_ipv6_address(uint8_t *at, const struct gg_addr *addr)
{
  if (addr->family == GG_FAMILY_IPV6) {
    uint64_t sum = 0;
    for (int i = 0; i < 16; i += 4)
      sum += put32(at + i, get32(addr->ip + i));
    return sum;
  }
  put32(at, 0);
  put32(at + 4, 0);
  return put32(at + 8, htobe32(0xffffu)) + put32(at + 12, get32(addr->ip));
}

static uint64_t put_ipv6(uint8_t *at, const struct gg_packet *packet, uint32_t tcp_bytes)
{
  put32(at, htobe32(6u << 28));
  put32(at + 4, htobe32(tcp_bytes << 16 | 6u << 8 | TTL));
  return put_ipv6_address(at + 8, packet->from) + put_ipv6_address(at + 24, packet->to);
}

/* Writes the TCP header (and a SYN's options) around the payload that stands behind it. `sum` is of the addresses. */
static void put_tcp(uint8_t *at, const struct gg_packet *packet, uint32_t head_bytes, uint64_t sum)
{
  sum += htobe32(6u << 16 | (head_bytes + packet->payload_bytes)); /* the rest of the pseudo header */
  sum += put32(at, htobe32((uint32_t)packet->from->port << 16 | packet->to->port));
  sum += put32(at + 4, htobe32(packet->sequence));
  sum += put32(at + 8, htobe32(packet->acknowledged));
  sum += put32(at + 12, htobe32(head_bytes / 4 << 28 | (uint32_t)packet->flags << 16 | WINDOW));
  put32(at + 16, 0);
  if ((packet->flags & GG_TCP_SYN) != 0) {
    sum += put32(at + 20, htobe32(0x02040000u | (packet->ipv6 ? MSS_IPV6 : MSS_IPV4)));
    sum += put32(at + 24, htobe32(0x01030300u | WINDOW_SCALE)); /* no-operation, window scale */
  }
  if (packet->payload_bytes != 0)
    sum = gg_checksum_add(sum, at + head_bytes, packet->payload_bytes);
  put16(at + 16, (uint16_t)~gg_checksum_fold(sum));
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *value, uint32_t bytes)
{
  size_t padded = gg_pcapng_pad(bytes);
  put16(at, code);
  put16(at + 2, (uint16_t)bytes);
  if (padded != bytes)
    put32(at + padded, 0); /* the option's last word: zero behind the value, which is copied over it */
  memcpy(at + 4, value, bytes);
  return at + 4 + padded;
}

size_t gg_packet_write(uint8_t *at, const struct gg_packet *packet)
{
  uint32_t tcp_head = TCP_HEAD + ((packet->flags & GG_TCP_SYN) != 0 ? TCP_SYN_OPTIONS : 0);
  uint32_t tcp_bytes = tcp_head + packet->payload_bytes;
  uint32_t ip_head = packet->ipv6 ? 40 : 20;
  uint32_t captured = 14 + ip_head + tcp_bytes;
  uint8_t *ethernet = at + GG_PCAPNG_EPB_HEAD;
  uint8_t *ip = ethernet + 14;
  assert(packet->payload_bytes == 0 || (packet->flags & GG_TCP_SYN) == 0);

  put32(at, GG_PCAPNG_EPB);
  put32(at + 8, 0); /* interface */
  put32(at + 12, (uint32_t)(packet->time_ns >> 32));
  put32(at + 16, (uint32_t)packet->time_ns);
  put32(at + 20, captured);
  put32(at + 24, captured);
  memcpy(ethernet, ethernet_head[packet->outbound][packet->ipv6], 14);
  uint64_t addresses = packet->ipv6 ? put_ipv6(ip, packet, tcp_bytes) : put_ipv4(ip, packet, tcp_bytes);
  put_tcp(ip + ip_head, packet, tcp_head, addresses);

  uint8_t *end = ethernet + captured;
  uint32_t padding = (uint32_t)(gg_pcapng_pad(captured) - captured);
  memset(end, 0, padding);
  end += padding;
  if (packet->comment_bytes != 0)
    end = put_option(end, GG_PCAPNG_OPT_COMMENT, packet->comment, packet->comment_bytes);
  uint32_t direction = packet->outbound ? GG_PCAPNG_OUTBOUND : GG_PCAPNG_INBOUND;
  end = put_option(end, GG_PCAPNG_EPB_FLAGS, &direction, sizeof direction);
  put32(end, GG_PCAPNG_OPT_END);
  uint32_t total = (uint32_t)(end + 8 - at);
  put32(end + 4, total);
  put32(at + 4, total);
  return total;
}
