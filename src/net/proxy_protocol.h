/* SPDX-License-Identifier: Apache-2.0 */
/**
 * proxy_protocol.h - the PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt 2.7), in and out.
 * Pure functions; any thread.
 */
#ifndef GG_NET_PROXY_PROTOCOL_H
#define GG_NET_PROXY_PROTOCOL_H

#include "base/proxy_wire.h"
#include "net/addr.h"

enum gg_proxy_version { GG_PROXY_OFF = 0, GG_PROXY_V1 = 1, GG_PROXY_V2 = 2, GG_PROXY_ANY = 3 };

enum {
  GG_PROXY_HEADER_MAX = 4096, /* a longer header is invalid: bounds what a listener holds before a session is known */
  GG_PROXY_BUILD_MAX = 128,
};

struct gg_proxy_header {
  enum gg_proxy_version version;
  bool known; /* false: LOCAL or UNKNOWN, use the connection's own addresses */
  struct gg_addr client;
  struct gg_addr server;
};

/* Reads a header at the beginning of `data`. Returns the bytes it takes (> 0), 0 if more are needed, GG_ERR_FORMAT if
 * this is no valid header of the accepted version(s). */
long gg_proxy_parse(struct gg_proxy_header *out, enum gg_proxy_version accept, const uint8_t *data, size_t length);

/* Writes a header; returns its length. Unix or unknown addresses: v1 "PROXY UNKNOWN", v2 LOCAL. */
size_t gg_proxy_build(uint8_t out[GG_PROXY_BUILD_MAX], enum gg_proxy_version version, const struct gg_addr *client,
                      const struct gg_addr *server);

#endif
