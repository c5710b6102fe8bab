/* SPDX-License-Identifier: Apache-2.0 */
/**
 * proxy_protocol.c - the PROXY protocol, in and out.
 *
 * The header decides whose address is recorded, so the reader is strict: what base/proxy_wire.h finds odd is refused,
 * never guessed, and so is a header that is longer than a listener holds. TLVs are checked and not used.
 */
#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { V2_COMMAND_LOCAL = 0x20, V2_COMMAND_PROXY = 0x21 };

/* An address of the wire; IPv4-mapped ones are kept as IPv4, like everywhere. */
static void set_addr(struct gg_addr *out, const uint8_t *ip, bool ipv6, unsigned port)
{
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  memset(out, 0, sizeof *out);
  out->port = (uint16_t)port;
  if (ipv6 && memcmp(ip, mapped, sizeof mapped) == 0) {
    ip += sizeof mapped;
    ipv6 = false;
  }
  out->family = ipv6 ? GG_FAMILY_IPV6 : GG_FAMILY_IPV4;
  memcpy(out->ip, ip, ipv6 ? 16 : 4);
}

static void set_known(struct gg_proxy_header *out, const struct gg_proxy_wire *wire)
{
  out->version = wire->version == 1 ? GG_PROXY_V1 : GG_PROXY_V2;
  if (wire->local || !wire->stream || wire->network == GG_PROXY_UNSPECIFIED) /* nothing that a TCP session could be */
    return;
  out->known = true;
  if (wire->network == GG_PROXY_UNIX) {
    out->client.family = GG_FAMILY_UNIX;
    out->server.family = GG_FAMILY_UNIX;
    return;
  }
  bool ipv6 = wire->network == GG_PROXY_IPV6;
  set_addr(&out->client, wire->source.ip, ipv6, wire->source.port);
  set_addr(&out->server, wire->destination.ip, ipv6, wire->destination.port);
}

long gg_proxy_parse(struct gg_proxy_header *out, enum gg_proxy_version accept, const uint8_t *data, size_t length)
{
  assert(out && (data || length == 0));
  memset(out, 0, sizeof *out);
  if (accept == GG_PROXY_OFF)
    return GG_ERR_FORMAT;
  if (length == 0)
    return 0;
  enum gg_proxy_version begins = data[0] == gg_proxy_signature[0] ? GG_PROXY_V2 : GG_PROXY_V1;
  struct gg_proxy_wire wire;
  long taken = (unsigned)accept & begins ? gg_proxy_wire_read(&wire, data, length) : GG_ERR_FORMAT;
  if (taken >= 0 && begins == GG_PROXY_V2 && length >= GG_PROXY_V2_FIXED &&
      gg_proxy_wire_v2_length(data) > GG_PROXY_HEADER_MAX)
    return GG_ERR_FORMAT;
  if (taken > 0 && wire.odd)
    return GG_ERR_FORMAT;
  if (taken > 0)
    set_known(out, &wire);
  return taken;
}

/* ── Building ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_ip(const struct gg_addr *addr)
{
  return addr && (addr->family == GG_FAMILY_IPV4 || addr->family == GG_FAMILY_IPV6);
}

/* The 16 bytes of an address in the IPv6 form, mapped if it is IPv4. */
static void as_ipv6(uint8_t ip[16], const struct gg_addr *addr)
{
  if (addr->family == GG_FAMILY_IPV6) {
    memcpy(ip, addr->ip, 16);
    return;
  }
  memset(ip, 0, 16);
  ip[10] = ip[11] = 0xff;
  memcpy(ip + 12, addr->ip, 4);
}

static void put_be16(uint8_t *at, unsigned value)
{
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static size_t v1_build(uint8_t *out, const struct gg_addr *client, const struct gg_addr *server, bool ipv4)
{
  char client_text[INET6_ADDRSTRLEN], server_text[INET6_ADDRSTRLEN];
  uint8_t client_ip[16], server_ip[16];
  as_ipv6(client_ip, client);
  as_ipv6(server_ip, server);
  int family = ipv4 ? AF_INET : AF_INET6;
  size_t skip = ipv4 ? 12 : 0;
  inet_ntop(family, client_ip + skip, client_text, sizeof client_text);
  inet_ntop(family, server_ip + skip, server_text, sizeof server_text);
  int length = snprintf((char *)out, GG_PROXY_BUILD_MAX, "PROXY %s %s %s %u %u\r\n", ipv4 ? "TCP4" : "TCP6",
                        client_text, server_text, (unsigned)client->port, (unsigned)server->port);
  assert(length > 0 && length <= GG_PROXY_V1_MAX);
  return (size_t)length;
}

static size_t v2_build(uint8_t *out, const struct gg_addr *client, const struct gg_addr *server, bool ipv4)
{
  uint8_t client_ip[16], server_ip[16];
  as_ipv6(client_ip, client);
  as_ipv6(server_ip, server);
  size_t ip_bytes = ipv4 ? 4 : 16, skip = ipv4 ? 12 : 0;
  uint8_t *at = out + GG_PROXY_V2_FIXED;
  memcpy(at, client_ip + skip, ip_bytes);
  memcpy(at + ip_bytes, server_ip + skip, ip_bytes);
  put_be16(at + 2 * ip_bytes, client->port);
  put_be16(at + 2 * ip_bytes + 2, server->port);
  out[12] = V2_COMMAND_PROXY;
  out[13] = ipv4 ? 0x11 : 0x21;
  put_be16(out + 14, (unsigned)(2 * ip_bytes + 4));
  return GG_PROXY_V2_FIXED + 2 * ip_bytes + 4;
}

size_t gg_proxy_build(uint8_t out[GG_PROXY_BUILD_MAX], enum gg_proxy_version version, const struct gg_addr *client,
                      const struct gg_addr *server)
{
  assert(version == GG_PROXY_V1 || version == GG_PROXY_V2);
  bool known = is_ip(client) && is_ip(server);
  bool ipv4 = known && client->family == GG_FAMILY_IPV4 && server->family == GG_FAMILY_IPV4;
  if (version == GG_PROXY_V1) {
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    if (known)
      return v1_build(out, client, server, ipv4);
    memcpy(out, unknown, sizeof unknown - 1);
    return sizeof unknown - 1;
  }
  memcpy(out, gg_proxy_signature, GG_PROXY_SIGNATURE);
  if (known)
    return v2_build(out, client, server, ipv4);
  out[12] = V2_COMMAND_LOCAL;
  out[13] = 0;
  put_be16(out + 14, 0);
  return GG_PROXY_V2_FIXED;
}
