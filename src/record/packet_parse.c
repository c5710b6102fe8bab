/* SPDX-License-Identifier: Apache-2.0 */
#include "record/packet_parse.h"

#include "record/checksum.h"
#include "record/pcapng.h"

#include <string.h>

enum {
  VLAN_TAGS_MAX = 4,
  EXTENSIONS_MAX = 16,
  ETHERTYPE_IPV4 = 0x0800,
  ETHERTYPE_IPV6 = 0x86dd,
  ETHERTYPE_ANY_IP = 0, /* ours: look at the version */
  PROTOCOL_TCP = 6,
};

struct cursor {
  const uint8_t *at;
  size_t left;
};

static inline uint16_t be16(const uint8_t *at)
{
  return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t be32(const uint8_t *at)
{
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void skip(struct cursor *cursor, size_t bytes)
{
  cursor->at += bytes;
  cursor->left -= bytes;
}

/* ── Link layers ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int link_ethernet(struct cursor *cursor, uint16_t *ethertype)
{
  if (cursor->left < 14)
    return GG_ERR_TRUNCATED;
  *ethertype = be16(cursor->at + 12);
  skip(cursor, 14);
  for (int tags = 0; tags < VLAN_TAGS_MAX; tags++) {
    if (*ethertype != 0x8100 && *ethertype != 0x88a8 && *ethertype != 0x9100)
      break;
    if (cursor->left < 4)
      return GG_ERR_TRUNCATED;
    *ethertype = be16(cursor->at + 2);
    skip(cursor, 4);
  }
  return 0;
}

/* A head of fixed length with an Ethernet type somewhere in it. */
static int link_cooked(struct cursor *cursor, size_t head, size_t type_offset, uint16_t *ethertype)
{
  if (cursor->left < head)
    return GG_ERR_TRUNCATED;
  *ethertype = be16(cursor->at + type_offset);
  skip(cursor, head);
  return 0;
}

static int link_skip(struct cursor *cursor, uint16_t link_type, uint16_t *ethertype)
{
  switch (link_type) {
  case GG_LINK_ETHERNET:
    return link_ethernet(cursor, ethertype);
  case GG_LINK_LINUX_SLL:
    return link_cooked(cursor, 16, 14, ethertype);
  case GG_LINK_LINUX_SLL2:
    return link_cooked(cursor, 20, 0, ethertype);
  case GG_LINK_NULL: /* an address family whose number and byte order depend on the system: IP says more */
  case GG_LINK_LOOP:
    if (cursor->left < 4)
      return GG_ERR_TRUNCATED;
    skip(cursor, 4);
    break;
  case GG_LINK_RAW:
  case GG_LINK_RAW_BSD:
  case GG_LINK_RAW_OPENBSD:
  case GG_LINK_IPV4:
  case GG_LINK_IPV6:
    break;
  default:
    return GG_ERR_UNSUPPORTED;
  }
  *ethertype = ETHERTYPE_ANY_IP;
  return 0;
}

/* ── IP ──────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* `total` bytes belong to the packet, by its own words: what is behind them is padding, what lacks was cut off. */
static void limit(struct cursor *cursor, size_t total, uint32_t *missing)
{
  *missing = total > cursor->left ? (uint32_t)(total - cursor->left) : 0;
  if (total < cursor->left)
    cursor->left = total;
}

static int parse_ipv4(struct gg_tcp_packet *out, struct cursor *cursor)
{
  const uint8_t *ip = cursor->at;
  if (cursor->left < 20)
    return GG_ERR_TRUNCATED;
  size_t head = (size_t)(ip[0] & 15) * 4, total = be16(ip + 2);
  if (total == 0)
    total = cursor->left; /* left to the interface (segmentation offload) */
  if (head < 20 || total < head)
    return GG_ERR_CORRUPT;
  if (ip[9] != PROTOCOL_TCP || (be16(ip + 6) & 0x1fff) != 0)
    return GG_ERR_UNSUPPORTED;
  if (cursor->left < head)
    return GG_ERR_TRUNCATED;
  limit(cursor, total, &out->missing_bytes);
  out->from.family = out->to.family = GG_FAMILY_IPV4;
  memcpy(out->from.ip, ip + 12, 4);
  memcpy(out->to.ip, ip + 16, 4);
  skip(cursor, head);
  return 0;
}

static void take_ipv6(struct gg_addr *addr, const uint8_t *at)
{
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  if (memcmp(at, mapped, sizeof mapped) == 0) {
    addr->family = GG_FAMILY_IPV4;
    memcpy(addr->ip, at + 12, 4);
  } else {
    addr->family = GG_FAMILY_IPV6;
    memcpy(addr->ip, at, 16);
  }
}

/* Extension headers up to TCP. */
static int skip_extensions(struct cursor *cursor, uint8_t next)
{
  for (int count = 0; count < EXTENSIONS_MAX && next != PROTOCOL_TCP; count++) {
    if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60 && next != 135)
      return GG_ERR_UNSUPPORTED;
    if (cursor->left < 8)
      return GG_ERR_TRUNCATED;
    size_t bytes = 8 + (size_t)cursor->at[1] * 8;
    if (next == 44) { /* a fragment */
      if ((be16(cursor->at + 2) & 0xfff8) != 0)
        return GG_ERR_UNSUPPORTED;
      bytes = 8;
    } else if (next == 51) { /* authentication counts in other units */
      bytes = 8 + (size_t)cursor->at[1] * 4;
    }
    next = cursor->at[0];
    if (cursor->left < bytes)
      return GG_ERR_TRUNCATED;
    skip(cursor, bytes);
  }
  return next == PROTOCOL_TCP ? 0 : GG_ERR_UNSUPPORTED;
}

static int parse_ipv6(struct gg_tcp_packet *out, struct cursor *cursor)
{
  const uint8_t *ip = cursor->at;
  if (cursor->left < 40)
    return GG_ERR_TRUNCATED;
  size_t total = be16(ip + 4);
  take_ipv6(&out->from, ip + 8);
  take_ipv6(&out->to, ip + 24);
  skip(cursor, 40);
  limit(cursor, total == 0 ? cursor->left : total, &out->missing_bytes);
  return skip_extensions(cursor, ip[6]);
}

/* ── TCP ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int parse_tcp(struct gg_tcp_packet *out, struct cursor *cursor)
{
  const uint8_t *tcp = cursor->at;
  if (cursor->left < 20)
    return out->missing_bytes != 0 ? GG_ERR_TRUNCATED : GG_ERR_CORRUPT;
  size_t head = (size_t)(tcp[12] >> 4) * 4;
  if (head < 20)
    return GG_ERR_CORRUPT;
  if (cursor->left < head)
    return out->missing_bytes != 0 ? GG_ERR_TRUNCATED : GG_ERR_CORRUPT;
  out->tcp = tcp;
  out->from.port = be16(tcp);
  out->to.port = be16(tcp + 2);
  out->sequence = be32(tcp + 4);
  out->acknowledged = be32(tcp + 8);
  out->flags = tcp[13];
  out->window = be16(tcp + 14);
  out->payload = tcp + head;
  out->payload_bytes = (uint32_t)(cursor->left - head);
  return 0;
}

int gg_tcp_packet_parse(struct gg_tcp_packet *out, uint16_t link_type, const uint8_t *data, size_t captured)
{
  struct cursor cursor = {data, captured};
  uint16_t ethertype;
  *out = (struct gg_tcp_packet){0};
  int error = link_skip(&cursor, link_type, &ethertype);
  if (error != 0)
    return error;
  if (ethertype != ETHERTYPE_IPV4 && ethertype != ETHERTYPE_IPV6 && ethertype != ETHERTYPE_ANY_IP)
    return GG_ERR_UNSUPPORTED;
  if (cursor.left < 1)
    return GG_ERR_TRUNCATED;
  unsigned version = cursor.at[0] >> 4;
  if (version != 4 && version != 6)
    return ethertype == ETHERTYPE_ANY_IP ? GG_ERR_UNSUPPORTED : GG_ERR_CORRUPT;
  out->ip = cursor.at;
  error = version == 4 ? parse_ipv4(out, &cursor) : parse_ipv6(out, &cursor);
  return error != 0 ? error : parse_tcp(out, &cursor);
}

unsigned gg_tcp_packet_checksums(const struct gg_tcp_packet *packet)
{
  unsigned wrong = 0;
  uint32_t bytes = (uint32_t)(packet->payload - packet->tcp) + packet->payload_bytes;
  uint8_t rest[4] = {(uint8_t)(bytes >> 24), (uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes};
  uint8_t protocol[2] = {0, PROTOCOL_TCP};
  uint64_t sum = gg_checksum_add(gg_checksum_add(0, rest, 4), protocol, 2);
  if (packet->ip[0] >> 4 == 4) {
    if (gg_checksum_fold(gg_checksum_add(0, packet->ip, (size_t)(packet->ip[0] & 15) * 4)) != 0xffff)
      wrong |= GG_CHECKSUM_IP_WRONG;
    sum = gg_checksum_add(sum, packet->ip + 12, 8);
  } else {
    sum = gg_checksum_add(sum, packet->ip + 8, 32);
  }
  if (packet->missing_bytes != 0)
    return wrong | GG_CHECKSUM_TCP_UNKNOWN;
  if (gg_checksum_fold(gg_checksum_add(sum, packet->tcp, bytes)) != 0xffff)
    wrong |= GG_CHECKSUM_TCP_WRONG;
  return wrong;
}
