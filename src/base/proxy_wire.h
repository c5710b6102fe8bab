/* SPDX-License-Identifier: Apache-2.0 */
/**
 * proxy_wire.h - a header of the PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt 2.7), as it stands
 * on the wire: for who believes it (net/proxy_protocol.h) and who only tells what it says (proto/proxy.c).
 * Pure functions; any thread.
 */
#ifndef GG_BASE_PROXY_WIRE_H
#define GG_BASE_PROXY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG_PROXY_V1_MAX = 107, /* a line, with its end: the protocol's own bound */
  GG_PROXY_V2_FIXED = 16,
  GG_PROXY_SIGNATURE = 12, /* bytes of version 2's */
};
extern const uint8_t gg_proxy_signature[GG_PROXY_SIGNATURE];

enum gg_proxy_network { GG_PROXY_UNSPECIFIED, GG_PROXY_IPV4, GG_PROXY_IPV6, GG_PROXY_UNIX };

/* An end of the proxied connection: where its address stands in the header, and, of internet ones, what it is. */
struct gg_proxy_end {
  size_t at, length; /* text in version 1, bytes in version 2; 0: it has none */
  uint8_t ip[16];    /* of IPv4 the first four */
  uint16_t port;
};

struct gg_proxy_wire {
  unsigned version; /* 1 or 2 */
  bool local;       /* LOCAL or UNKNOWN: the connection's own addresses hold */
  enum gg_proxy_network network;
  bool stream; /* TCP, or the like */
  struct gg_proxy_end source, destination;
  size_t tlvs;     /* where they begin; of none, `length` */
  size_t length;   /* of the whole header */
  const char *odd; /* not as the specification has it, though its length is known: what. NULL: it is in order */
};

/* Reads a header at the beginning of `data`. Returns the bytes it takes (> 0), 0 if more are needed, GG_ERR_FORMAT if
 * it is none. */
long gg_proxy_wire_read(struct gg_proxy_wire *out, const uint8_t *data, size_t length);
/* How many bytes a header of version 2 has whose first GG_PROXY_V2_FIXED are there. */
size_t gg_proxy_wire_v2_length(const uint8_t *data);

/* One of the values behind the addresses of version 2. */
struct gg_proxy_tlv {
  uint8_t type;
  size_t at, length; /* of the value */
};
/* The one at *at, which moves behind it. False: there is none, or (*at is not at the end then) it does not fit. */
bool gg_proxy_tlv_next(struct gg_proxy_tlv *out, const uint8_t *data, size_t *at, size_t end);

#endif
