/* SPDX-License-Identifier: Apache-2.0 */
/**
 * proxy_protocol.c - the PROXY protocol, in and out.
 *
 * The header decides whose address is recorded, so the reader is strict: what the specification does not allow is
 * refused, never guessed. Version 1 has one spelling of every line (single blanks, no leading zeros, CR LF within 107
 * bytes). In version 2 lengths must fit exactly, values the specification reserves are refused, the TLV list must end
 * where the header ends, and a CRC32C TLV, if there is one, must be right. Other TLVs are walked over and not used.
 *
 *   v2:  0            12        13       14      16                     16 + address bytes          16 + length
 *        ├ signature ─┼ ver|cmd ┼ family ┼ length ┼ client, server, ports ┼ type, length, value ... ─┤
 */
#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
  V1_TOKENS = 6,
  V2_FIXED_BYTES = 16,
  V2_SIGNATURE_BYTES = 12,
  V2_IPV4_BYTES = 12,
  V2_IPV6_BYTES = 36,
  V2_UNIX_BYTES = 216,
  V2_COMMAND_LOCAL = 0x20,
  V2_COMMAND_PROXY = 0x21,
  TLV_HEADER_BYTES = 3,
  TLV_CRC32C = 0x03,
};

static const uint8_t v2_signature[V2_SIGNATURE_BYTES] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                                         '\n', 'Q',  'U',  'I',  'T', '\n'};
static const char v1_signature[] = "PROXY ";

static unsigned be16(const uint8_t *at)
{
  return (unsigned)at[0] << 8 | at[1];
}

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

/* ── Version 1 ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct token {
  const char *text;
  size_t length;
};

static bool token_is(const struct token *token, const char *text)
{
  return token->length == strlen(text) && memcmp(token->text, text, token->length) == 0;
}

static bool token_ip(const struct token *token, int family, uint8_t ip[16])
{
  char text[INET6_ADDRSTRLEN];
  if (token->length >= sizeof text || memchr(token->text, 0, token->length))
    return false;
  memcpy(text, token->text, token->length);
  text[token->length] = '\0';
  return inet_pton(family, text, ip) == 1;
}

static bool token_port(const struct token *token, unsigned *port)
{
  if (token->length == 0 || token->length > 5 || (token->length > 1 && token->text[0] == '0'))
    return false;
  *port = 0;
  for (size_t i = 0; i < token->length; i++) {
    if (token->text[i] < '0' || token->text[i] > '9')
      return false;
    *port = *port * 10 + (unsigned)(token->text[i] - '0');
  }
  return *port <= 65535;
}

/* Splits at single blanks; the number of tokens, or 0 if there are more than V1_TOKENS. */
static size_t split(struct token tokens[V1_TOKENS], const char *line, size_t length)
{
  size_t count = 0, begin = 0;
  for (size_t i = 0; i <= length; i++) {
    if (i < length && line[i] != ' ')
      continue;
    if (count == V1_TOKENS)
      return 0;
    tokens[count++] = (struct token){line + begin, i - begin};
    begin = i + 1;
  }
  return count;
}

static bool v1_line(struct gg_proxy_header *out, const char *line, size_t length)
{
  struct token tokens[V1_TOKENS];
  /* What follows UNKNOWN is to be ignored, whatever it is. */
  static const char unknown[] = "PROXY UNKNOWN";
  size_t unknown_length = sizeof unknown - 1;
  if (length >= unknown_length && memcmp(line, unknown, unknown_length) == 0 &&
      (length == unknown_length || line[unknown_length] == ' '))
    return true;
  if (split(tokens, line, length) != V1_TOKENS)
    return false;
  bool ipv6 = token_is(&tokens[1], "TCP6");
  if (!ipv6 && !token_is(&tokens[1], "TCP4"))
    return false;
  uint8_t client[16], server[16];
  unsigned client_port, server_port;
  int family = ipv6 ? AF_INET6 : AF_INET;
  if (!token_ip(&tokens[2], family, client) || !token_ip(&tokens[3], family, server) ||
      !token_port(&tokens[4], &client_port) || !token_port(&tokens[5], &server_port))
    return false;
  set_addr(&out->client, client, ipv6, client_port);
  set_addr(&out->server, server, ipv6, server_port);
  out->known = true;
  return true;
}

static long v1_parse(struct gg_proxy_header *out, const uint8_t *data, size_t length)
{
  size_t compare = length < sizeof v1_signature - 1 ? length : sizeof v1_signature - 1;
  if (memcmp(data, v1_signature, compare) != 0)
    return GG_ERR_FORMAT;
  size_t window = length < GG_PROXY_V1_MAX ? length : GG_PROXY_V1_MAX;
  for (size_t i = compare; i < window; i++) {
    if (data[i] == '\n')
      return GG_ERR_FORMAT;
    if (data[i] != '\r')
      continue;
    if (i + 1 == window)
      return window == GG_PROXY_V1_MAX ? GG_ERR_FORMAT : 0;
    if (data[i + 1] != '\n' || !v1_line(out, (const char *)data, i))
      return GG_ERR_FORMAT;
    out->version = GG_PROXY_V1;
    return (long)(i + 2);
  }
  return window == GG_PROXY_V1_MAX ? GG_ERR_FORMAT : 0;
}

/* ── Version 2 ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint32_t crc32c_update(uint32_t crc, uint8_t byte)
{
  crc ^= byte;
  for (int bit = 0; bit < 8; bit++)
    crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  return crc;
}

/* The checksum of the whole header with the four bytes at `hole` taken as zero. */
static uint32_t crc32c(const uint8_t *data, size_t length, size_t hole)
{
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < length; i++)
    crc = crc32c_update(crc, i >= hole && i < hole + 4 ? 0 : data[i]);
  return ~crc;
}

static bool tlvs_valid(const uint8_t *data, size_t at, size_t end)
{
  while (at < end) {
    if (end - at < TLV_HEADER_BYTES)
      return false;
    size_t value_bytes = be16(data + at + 1);
    size_t value = at + TLV_HEADER_BYTES;
    if (value_bytes > end - value)
      return false;
    if (data[at] == TLV_CRC32C) {
      if (value_bytes != 4)
        return false;
      uint32_t told = (uint32_t)be16(data + value) << 16 | be16(data + value + 2);
      if (told != crc32c(data, end, value))
        return false;
    }
    at = value + value_bytes;
  }
  return true;
}

/* The bytes of a family's addresses; SIZE_MAX for one that the specification does not know. */
static size_t v2_address_bytes(uint8_t family)
{
  static const size_t bytes[] = {0, V2_IPV4_BYTES, V2_IPV6_BYTES, V2_UNIX_BYTES};
  unsigned network = family >> 4, transport = family & 0x0fu;
  return network > 3 || transport > 2 ? SIZE_MAX : bytes[network];
}

static bool v2_proxied(struct gg_proxy_header *out, const uint8_t *data, size_t total)
{
  uint8_t family = data[13];
  size_t address_bytes = v2_address_bytes(family);
  if (address_bytes == SIZE_MAX || address_bytes > total - V2_FIXED_BYTES)
    return false;
  if (!tlvs_valid(data, V2_FIXED_BYTES + address_bytes, total))
    return false;
  const uint8_t *at = data + V2_FIXED_BYTES;
  switch (family) {
  case 0x11:
    set_addr(&out->client, at, false, be16(at + 8));
    set_addr(&out->server, at + 4, false, be16(at + 10));
    break;
  case 0x21:
    set_addr(&out->client, at, true, be16(at + 32));
    set_addr(&out->server, at + 16, true, be16(at + 34));
    break;
  case 0x31:
    out->client.family = GG_FAMILY_UNIX;
    out->server.family = GG_FAMILY_UNIX;
    break;
  default: /* unspecified, or not a stream: nothing that a TCP session could be */
    return true;
  }
  out->known = true;
  return true;
}

static long v2_parse(struct gg_proxy_header *out, const uint8_t *data, size_t length)
{
  size_t compare = length < V2_SIGNATURE_BYTES ? length : V2_SIGNATURE_BYTES;
  if (memcmp(data, v2_signature, compare) != 0)
    return GG_ERR_FORMAT;
  if (length > 12 && data[12] != V2_COMMAND_LOCAL && data[12] != V2_COMMAND_PROXY)
    return GG_ERR_FORMAT;
  if (length < V2_FIXED_BYTES)
    return 0;
  size_t total = V2_FIXED_BYTES + be16(data + 14);
  if (total > GG_PROXY_HEADER_MAX)
    return GG_ERR_FORMAT;
  if (length < total)
    return 0;
  /* LOCAL: the sender speaks for itself; whatever block follows is to be ignored. */
  if (data[12] == V2_COMMAND_PROXY && !v2_proxied(out, data, total))
    return GG_ERR_FORMAT;
  out->version = GG_PROXY_V2;
  return (long)total;
}

long gg_proxy_parse(struct gg_proxy_header *out, enum gg_proxy_version accept, const uint8_t *data, size_t length)
{
  assert(out && (data || length == 0));
  memset(out, 0, sizeof *out);
  if (accept == GG_PROXY_OFF)
    return GG_ERR_FORMAT;
  if (length == 0)
    return 0;
  struct gg_proxy_header header = {0};
  long result = GG_ERR_FORMAT;
  if (data[0] == (uint8_t)v1_signature[0] && ((unsigned)accept & GG_PROXY_V1))
    result = v1_parse(&header, data, length);
  else if (data[0] == v2_signature[0] && ((unsigned)accept & GG_PROXY_V2))
    result = v2_parse(&header, data, length);
  if (result > 0)
    *out = header;
  return result;
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
  uint8_t *at = out + V2_FIXED_BYTES;
  memcpy(at, client_ip + skip, ip_bytes);
  memcpy(at + ip_bytes, server_ip + skip, ip_bytes);
  put_be16(at + 2 * ip_bytes, client->port);
  put_be16(at + 2 * ip_bytes + 2, server->port);
  out[12] = V2_COMMAND_PROXY;
  out[13] = ipv4 ? 0x11 : 0x21;
  put_be16(out + 14, (unsigned)(2 * ip_bytes + 4));
  return V2_FIXED_BYTES + 2 * ip_bytes + 4;
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
  memcpy(out, v2_signature, sizeof v2_signature);
  if (known)
    return v2_build(out, client, server, ipv4);
  out[12] = V2_COMMAND_LOCAL;
  out[13] = 0;
  put_be16(out + 14, 0);
  return V2_FIXED_BYTES;
}
