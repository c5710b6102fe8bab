/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt 2.7): a header in front of what the client
 * says, with which a proxy passes on whose connection it is.
 *
 *     client:  header ──► what follows is another protocol's, and told anew
 *     server:  waits for the header; all that it says is that other protocol's
 *
 * The header is one message, which nothing answers. The gateway refuses what is not exactly as the specification has it
 * (net/proxy_protocol.c); here such a header of version 2 is told with what is odd about it, since its length is known
 * and what follows can be understood. The reader is the same: base/proxy_wire.h. */
#include "base/proxy_wire.h"
#include "proto/decoders.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum field {
  VERSION,
  COMMAND,
  TRANSPORT,
  SOURCE,
  SOURCE_PORT,
  DESTINATION,
  DESTINATION_PORT,
  ALPN,
  AUTHORITY,
  CRC32C,
  UNIQUE_ID,
  NETNS,
  SSL_CLIENT,
  SSL_VERIFY,
  SSL_VERSION,
  SSL_CN,
  SSL_CIPHER,
  SSL_SIGNATURE,
  SSL_KEY,
  TLV,
  ODD,
};
static const struct gg_decoder_field fields[] = {
  [VERSION] = {"proxy.version", GG_FIELD_NUMBER, true, "version of the header", "proxy.version=2"},
  [COMMAND] = {"proxy.command", GG_FIELD_TEXT, false, "proxy, or local: the sender speaks for itself", NULL},
  [TRANSPORT] = {"proxy.transport", GG_FIELD_TEXT, false, "tcp4, tcp6, udp4, udp6, unix, unspecified", NULL},
  [SOURCE] = {"proxy.source", GG_FIELD_TEXT, true, "address that the proxied connection came from",
              "proxy.source=192.0.2.7"},
  [SOURCE_PORT] = {"proxy.source_port", GG_FIELD_NUMBER, false, "its port", NULL},
  [DESTINATION] = {"proxy.destination", GG_FIELD_TEXT, true, "address that it went to", "proxy.destination=192.0.2.80"},
  [DESTINATION_PORT] = {"proxy.destination_port", GG_FIELD_NUMBER, false, "its port", NULL},
  [ALPN] = {"proxy.alpn", GG_FIELD_TEXT, false, "protocol that was agreed upon in front of the proxy", NULL},
  [AUTHORITY] = {"proxy.authority", GG_FIELD_TEXT, true, "host that the client asked for (SNI)",
                 "proxy.authority=example.com"},
  [CRC32C] = {"proxy.crc32c", GG_FIELD_NUMBER, false, "checksum of the header, which is right unless it is odd", NULL},
  [UNIQUE_ID] = {"proxy.unique_id", GG_FIELD_TEXT, false, "the proxy's identifier of the connection", NULL},
  [NETNS] = {"proxy.netns", GG_FIELD_TEXT, false, "network namespace", NULL},
  [SSL_CLIENT] = {"proxy.ssl_client", GG_FIELD_NUMBER, false,
                  "1: over TLS, 2: certificate in this connection, 4: in this session", NULL},
  [SSL_VERIFY] = {"proxy.ssl_verify", GG_FIELD_NUMBER, false, "0: the client's certificate was verified", NULL},
  [SSL_VERSION] = {"proxy.ssl_version", GG_FIELD_TEXT, false, "version of TLS", NULL},
  [SSL_CN] = {"proxy.ssl_cn", GG_FIELD_TEXT, false, "common name of the client's certificate", NULL},
  [SSL_CIPHER] = {"proxy.ssl_cipher", GG_FIELD_TEXT, false, "cipher", NULL},
  [SSL_SIGNATURE] = {"proxy.ssl_signature", GG_FIELD_TEXT, false, "signature algorithm of the proxy's certificate",
                     NULL},
  [SSL_KEY] = {"proxy.ssl_key", GG_FIELD_TEXT, false, "key algorithm of the proxy's certificate", NULL},
  [TLV] = {"proxy.tlv", GG_FIELD_TEXT, false, "another value, by its type in hexadecimal", NULL},
  [ODD] = {"proxy.odd", GG_FIELD_TEXT, false, "what is not as the specification has it", NULL},
  {0},
};
static const char *const kinds[] = {"proxy", NULL};

enum {
  TLV_ALPN = 0x01,
  TLV_AUTHORITY = 0x02,
  TLV_CRC32C = 0x03,
  TLV_NOOP = 0x04,
  TLV_UNIQUE_ID = 0x05,
  TLV_SSL = 0x20,
  TLV_SSL_VERSION = 0x21,
  TLV_SSL_CN = 0x22,
  TLV_SSL_CIPHER = 0x23,
  TLV_SSL_SIGNATURE = 0x24,
  TLV_SSL_KEY = 0x25,
  TLV_NETNS = 0x30,
  SSL_FIXED_BYTES = 5,
};

/* The header while it is told. */
struct header {
  struct gg_decoding *decoding;
  struct gg_draft *draft;
  const uint8_t *data;
  uint64_t offset;
};

static void add_text(const struct header *header, enum field field, size_t at, size_t length)
{
  gg_decoded_text(header->decoding, header->draft, &fields[field], header->data + at, length, header->offset + at);
}

static void add_number(const struct header *header, enum field field, uint64_t number)
{
  gg_decoded_number(header->decoding, header->draft, &fields[field], number);
}

static void add_word(const struct header *header, enum field field, const char *word)
{
  struct gg_field value = {.of = &fields[field], .value = (const uint8_t *)word, .length = strlen(word)};
  gg_decoded_field(header->decoding, header->draft, &value);
}

static void add_odd(const struct header *header, const char *what)
{
  gg_decoded_message(header->decoding, header->draft)->flags |= GG_MESSAGE_ODD;
  add_word(header, ODD, what);
}

/* ── Values behind the addresses ─────────────────────────────────────────────────────────────────────────────────── */

static uint32_t be32(const uint8_t *at)
{
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The field of a value that is text; ODD: it has none. */
static enum field field_of(uint8_t type)
{
  static const enum field table[] = {
    [TLV_ALPN] = ALPN,
    [TLV_AUTHORITY] = AUTHORITY,
    [TLV_UNIQUE_ID] = UNIQUE_ID,
    [TLV_NETNS] = NETNS,
    [TLV_SSL_VERSION] = SSL_VERSION,
    [TLV_SSL_CN] = SSL_CN,
    [TLV_SSL_CIPHER] = SSL_CIPHER,
    [TLV_SSL_SIGNATURE] = SSL_SIGNATURE,
    [TLV_SSL_KEY] = SSL_KEY,
  };
  return type < sizeof table / sizeof *table && table[type] != VERSION ? table[type] : TLV;
}

static void tell_text(const struct header *header, const struct gg_proxy_tlv *tlv)
{
  char type[8];
  enum field field = field_of(tlv->type);
  if (field != TLV) {
    add_text(header, field, tlv->at, tlv->length);
    return;
  }
  struct gg_field other = {
    .of = &fields[TLV],
    .key = type,
    .key_length = (size_t)snprintf(type, sizeof type, "0x%02x", tlv->type),
    .value = header->data + tlv->at,
    .length = tlv->length,
    .raw_offset = header->offset + tlv->at,
    .raw_length = tlv->length,
  };
  gg_decoded_field(header->decoding, header->draft, &other);
}

/* What the proxy knows of the TLS that it has taken off: two numbers, and values of their own. */
static void tell_ssl(const struct header *header, const struct gg_proxy_tlv *ssl)
{
  struct gg_proxy_tlv tlv;
  size_t at = ssl->at + SSL_FIXED_BYTES, end = ssl->at + ssl->length;
  if (ssl->length < SSL_FIXED_BYTES) {
    add_odd(header, "ssl-beyond-its-end");
    return;
  }
  add_number(header, SSL_CLIENT, header->data[ssl->at]);
  add_number(header, SSL_VERIFY, be32(header->data + ssl->at + 1));
  while (gg_proxy_tlv_next(&tlv, header->data, &at, end))
    tell_text(header, &tlv);
  if (at < end)
    add_odd(header, "ssl-beyond-its-end");
}

static void tell_tlvs(const struct header *header, size_t at, size_t end)
{
  struct gg_proxy_tlv tlv;
  while (gg_proxy_tlv_next(&tlv, header->data, &at, end)) {
    if (tlv.type == TLV_SSL)
      tell_ssl(header, &tlv);
    else if (tlv.type == TLV_CRC32C && tlv.length == 4)
      add_number(header, CRC32C, be32(header->data + tlv.at));
    else if (tlv.type != TLV_NOOP)
      tell_text(header, &tlv);
  }
}

/* ── The header ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *transport_name(const struct gg_proxy_wire *wire)
{
  switch (wire->network) {
  case GG_PROXY_IPV4:
    return wire->stream ? "tcp4" : "udp4";
  case GG_PROXY_IPV6:
    return wire->stream ? "tcp6" : "udp6";
  case GG_PROXY_UNIX:
    return "unix";
  default:
    return "unspecified";
  }
}

/* An address as text, with where it stands; its text also into `text`. */
static void tell_end(const struct header *header, const struct gg_proxy_wire *wire, enum field field,
                     const struct gg_proxy_end *end, char text[INET6_ADDRSTRLEN])
{
  struct gg_field value = {.of = &fields[field], .raw_offset = header->offset + end->at, .raw_length = end->length};
  text[0] = '\0';
  if (wire->network == GG_PROXY_UNIX) {
    value.value = header->data + end->at;
    value.length = strnlen((const char *)value.value, end->length);
    gg_decoded_field(header->decoding, header->draft, &value);
    return;
  }
  inet_ntop(wire->network == GG_PROXY_IPV6 ? AF_INET6 : AF_INET, end->ip, text, INET6_ADDRSTRLEN);
  value.value = (const uint8_t *)text;
  value.length = strlen(text);
  gg_decoded_field(header->decoding, header->draft, &value);
  add_number(header, field + 1, end->port);
}

static void tell_ends(const struct header *header, const struct gg_proxy_wire *wire)
{
  char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
  if (wire->local || wire->source.length == 0) {
    gg_decoded_summary(header->decoding, header->draft, "PROXY %s", wire->local ? "of itself" : "of nobody known");
    return;
  }
  tell_end(header, wire, SOURCE, &wire->source, source);
  tell_end(header, wire, DESTINATION, &wire->destination, destination);
  if (wire->network == GG_PROXY_UNIX)
    gg_decoded_summary(header->decoding, header->draft, "PROXY of a unix socket");
  else
    gg_decoded_summary(header->decoding, header->draft,
                       wire->network == GG_PROXY_IPV6 ? "PROXY of [%s]:%u to [%s]:%u" : "PROXY of %s:%u to %s:%u",
                       source, wire->source.port, destination, wire->destination.port);
}

static void tell(struct gg_decoding *decoding, const struct gg_proxy_wire *wire, const struct gg_window *window)
{
  struct header header = {decoding, gg_decoded_begin(decoding, window->side, 0, window->offset), window->data,
                          window->offset};
  gg_decoded_message(decoding, header.draft)->flags |= GG_MESSAGE_CONTROL;
  add_number(&header, VERSION, wire->version);
  add_word(&header, COMMAND, wire->local ? "local" : "proxy");
  if (!wire->local)
    add_word(&header, TRANSPORT, transport_name(wire));
  tell_ends(&header, wire);
  tell_tlvs(&header, wire->tlvs, wire->length);
  if (wire->odd)
    add_odd(&header, wire->odd);
  gg_decoded_end(decoding, header.draft, window->offset + wire->length);
}

static size_t push(void *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  (void)state;
  if (window->side == GG_SIDE_SERVER) {
    gg_decoded_hold(decoding, window->side);
    return 0;
  }
  struct gg_proxy_wire wire;
  long taken = gg_proxy_wire_read(&wire, window->data, window->length);
  if (taken < 0)
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, window->side, window->offset, false, "no PROXY header");
  if (taken <= 0)
    return 0;
  tell(decoding, &wire, window);
  gg_decoded_become(decoding, &(struct gg_become){0});
  return (size_t)taken;
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg_likeness begins(const uint8_t *data, size_t length, const void *magic, size_t bytes)
{
  if (memcmp(data, magic, length < bytes ? length : bytes) != 0)
    return GG_LIKENESS_NONE;
  return length < bytes ? GG_LIKENESS_OPEN : GG_LIKENESS_CERTAIN;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  static const char *const lines[] = {"PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN"};
  const uint8_t *data = opening->data[GG_SIDE_CLIENT];
  size_t length = opening->length[GG_SIDE_CLIENT];
  enum gg_likeness likeness = begins(data, length, gg_proxy_signature, GG_PROXY_SIGNATURE);
  for (size_t i = 0; likeness == GG_LIKENESS_NONE && i < sizeof lines / sizeof *lines; i++)
    likeness = begins(data, length, lines[i], strlen(lines[i]));
  return likeness;
}

const struct gg_decoder gg__decoder_proxy = {
  GG_DECODER_HEAD,     .name = "proxy",
  .protocol = "proxy", .title = "PROXY protocol, versions 1 and 2 (proxy-protocol.txt 2.7)",
  .envelope = true,    .kinds = kinds,
  .fields = fields,    .identify = identify,
  .push = push,
};
