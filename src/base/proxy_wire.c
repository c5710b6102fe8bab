/* SPDX-License-Identifier: Apache-2.0 */
/**
 * proxy_wire.c - headers of the PROXY protocol.
 *
 * The reader is strict: what the specification does not allow is never guessed. Version 1 has one spelling of every
 * line (single blanks, no leading zeros, CR LF within 107 bytes); any other is no header. Version 2 says its length
 * first, so what is wrong behind that is named and the header still has an end: lengths must fit exactly, values the
 * specification reserves are odd, the TLV list must end where the header ends, and a CRC32C TLV, if there is one, must
 * be right.
 *
 *   v2:  0            12        13       14      16                     16 + address bytes          16 + length
 *        ├ signature ─┼ ver|cmd ┼ family ┼ length ┼ source, destination, ports ┼ type, length, value ... ─┤
 */
#include "base/proxy_wire.h"

#include <arpa/inet.h>
#include <gogetway/error.h>
#include <string.h>

enum {
  V1_TOKENS = 6,
  V2_IPV4_BYTES = 12,
  V2_IPV6_BYTES = 36,
  V2_UNIX_BYTES = 216,
  V2_COMMAND_LOCAL = 0x20,
  V2_COMMAND_PROXY = 0x21,
  TLV_HEADER_BYTES = 3,
  TLV_CRC32C = 0x03,
};

const uint8_t gg_proxy_signature[GG_PROXY_SIGNATURE] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                                        '\n', 'Q',  'U',  'I',  'T', '\n'};
static const char v1_signature[] = "PROXY ";

static unsigned be16(const uint8_t *at)
{
  return (unsigned)at[0] << 8 | at[1];
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

static bool v1_end(struct gg_proxy_end *out, const char *line, const struct token *ip, const struct token *port,
                   int family)
{
  unsigned number;
  if (!token_ip(ip, family, out->ip) || !token_port(port, &number))
    return false;
  out->at = (size_t)(ip->text - line);
  out->length = ip->length;
  out->port = (uint16_t)number;
  return true;
}

static bool v1_line(struct gg_proxy_wire *out, const char *line, size_t length)
{
  struct token tokens[V1_TOKENS];
  /* What follows UNKNOWN is to be ignored, whatever it is. */
  static const char unknown[] = "PROXY UNKNOWN";
  size_t unknown_length = sizeof unknown - 1;
  out->local = length >= unknown_length && memcmp(line, unknown, unknown_length) == 0 &&
               (length == unknown_length || line[unknown_length] == ' ');
  if (out->local)
    return true;
  if (split(tokens, line, length) != V1_TOKENS)
    return false;
  bool ipv6 = token_is(&tokens[1], "TCP6");
  if (!ipv6 && !token_is(&tokens[1], "TCP4"))
    return false;
  int family = ipv6 ? AF_INET6 : AF_INET;
  out->network = ipv6 ? GG_PROXY_IPV6 : GG_PROXY_IPV4;
  out->stream = true;
  return v1_end(&out->source, line, &tokens[2], &tokens[4], family) &&
         v1_end(&out->destination, line, &tokens[3], &tokens[5], family);
}

static long v1_read(struct gg_proxy_wire *out, const uint8_t *data, size_t length)
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
    out->version = 1;
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

bool gg_proxy_tlv_next(struct gg_proxy_tlv *out, const uint8_t *data, size_t *at, size_t end)
{
  if (end - *at < TLV_HEADER_BYTES)
    return false;
  out->type = data[*at];
  out->at = *at + TLV_HEADER_BYTES;
  out->length = be16(data + *at + 1);
  if (out->length > end - out->at)
    return false;
  *at = out->at + out->length;
  return true;
}

/* NULL: they are in order. */
static const char *tlvs_odd(const uint8_t *data, size_t at, size_t end)
{
  struct gg_proxy_tlv tlv;
  while (gg_proxy_tlv_next(&tlv, data, &at, end)) {
    if (tlv.type != TLV_CRC32C)
      continue;
    if (tlv.length != 4)
      return "crc32c-of-another-length";
    const uint8_t *value = data + tlv.at;
    if (((uint32_t)be16(value) << 16 | be16(value + 2)) != crc32c(data, end, tlv.at))
      return "wrong-crc32c";
  }
  return at < end ? "tlv-beyond-the-end" : NULL;
}

static void v2_end(struct gg_proxy_end *out, const uint8_t *data, size_t at, size_t bytes, size_t port)
{
  out->at = at;
  out->length = bytes;
  if (bytes <= sizeof out->ip) {
    memcpy(out->ip, data + at, bytes);
    out->port = (uint16_t)be16(data + port);
  }
}

/* The addresses, and whether all of it is in order: what is odd, or NULL. */
static const char *v2_proxied(struct gg_proxy_wire *out, const uint8_t *data, size_t total)
{
  static const size_t bytes[] = {0, V2_IPV4_BYTES, V2_IPV6_BYTES, V2_UNIX_BYTES};
  unsigned network = data[13] >> 4, transport = data[13] & 0x0fu;
  if (network > GG_PROXY_UNIX || transport > 2)
    return "unknown-family";
  if (bytes[network] > total - GG_PROXY_V2_FIXED)
    return "addresses-beyond-the-end";
  const size_t at = GG_PROXY_V2_FIXED;
  out->network = (enum gg_proxy_network)network;
  out->stream = transport == 1;
  out->tlvs = at + bytes[network];
  size_t each = network == GG_PROXY_IPV4 ? 4 : network == GG_PROXY_IPV6 ? 16 : V2_UNIX_BYTES / 2;
  if (network != GG_PROXY_UNSPECIFIED) {
    v2_end(&out->source, data, at, each, at + 2 * each);
    v2_end(&out->destination, data, at + each, each, at + 2 * each + 2);
  }
  return tlvs_odd(data, out->tlvs, total);
}

size_t gg_proxy_wire_v2_length(const uint8_t *data)
{
  return GG_PROXY_V2_FIXED + be16(data + 14);
}

static long v2_read(struct gg_proxy_wire *out, const uint8_t *data, size_t length)
{
  size_t compare = length < GG_PROXY_SIGNATURE ? length : GG_PROXY_SIGNATURE;
  if (memcmp(data, gg_proxy_signature, compare) != 0)
    return GG_ERR_FORMAT;
  if (length > 12 && data[12] != V2_COMMAND_LOCAL && data[12] != V2_COMMAND_PROXY)
    return GG_ERR_FORMAT;
  if (length < GG_PROXY_V2_FIXED)
    return 0;
  size_t total = gg_proxy_wire_v2_length(data);
  if (length < total)
    return 0;
  out->version = 2;
  out->tlvs = total;
  /* LOCAL: the sender speaks for itself; whatever block follows is to be ignored. */
  out->local = data[12] == V2_COMMAND_LOCAL;
  if (!out->local)
    out->odd = v2_proxied(out, data, total);
  return (long)total;
}

long gg_proxy_wire_read(struct gg_proxy_wire *out, const uint8_t *data, size_t length)
{
  memset(out, 0, sizeof *out);
  if (length == 0)
    return 0;
  long taken = data[0] == (uint8_t)v1_signature[0] ? v1_read(out, data, length)
               : data[0] == gg_proxy_signature[0]  ? v2_read(out, data, length)
                                                   : GG_ERR_FORMAT;
  out->length = taken > 0 ? (size_t)taken : 0;
  if (out->version == 1)
    out->tlvs = out->length;
  return taken;
}
