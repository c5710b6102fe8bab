/* SPDX-License-Identifier: Apache-2.0 */
/**
 * addr.h - addresses of both internet families and of unix sockets, networks (CIDR), and their text.
 *
 * Text forms: "host:port", "[v6]:port", ":port" (any address), "unix:PATH" (an '@' first in PATH: abstract name).
 * Pure functions; any thread. Nothing here resolves names (resolve.h does).
 */
#ifndef GG_NET_ADDR_H
#define GG_NET_ADDR_H

#include <gogetway/error.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum gg_family { GG_FAMILY_NONE, GG_FAMILY_IPV4, GG_FAMILY_IPV6, GG_FAMILY_UNIX };

/* An endpoint as a session carries it: 20 bytes, no pointers. A unix peer is only its family here (its path, if it
 * has one, is the listener's or upstream's). IPv4-mapped IPv6 addresses are kept as IPv4. */
struct gg_addr {
  uint8_t ip[16]; /* network order; IPv4 in the first four, the rest zero */
  uint16_t port;  /* host order */
  uint8_t family; /* enum gg_family */
  uint8_t reserved;
};

enum { GG_ADDR_TEXT_MAX = 64 };

/* What a user wrote: a literal endpoint, a name that has yet to be resolved, or a unix path. */
struct gg_endpoint {
  enum gg_family family; /* GG_FAMILY_NONE: `host` is a name */
  struct gg_addr addr;   /* of a literal */
  char host[256];        /* the name; empty for a literal or unix */
  uint16_t port;
  char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* unix */
};

struct gg_network {
  struct gg_addr base; /* port 0; host bits zero */
  uint8_t prefix;      /* bits */
};

/* Parses the forms above. `listen`: an empty host means any address (both families by one dual-stack [::]); otherwise
 * an empty host is 127.0.0.1. Port 0 is allowed for listening only. GG_ERR_FORMAT with a sentence in `failure` that
 * says what is wrong and what would be right; *out is then undefined. A numeric zone (fe80::1%2) is not accepted. */
int gg_endpoint_parse(struct gg_endpoint *out, const char *text, bool listen, struct gg_failure *failure);
/* "127.0.0.1:80", "[::1]:80", "name:80", "unix:/run/x". Always ends in NUL; returns the length written. */
size_t gg_endpoint_format(const struct gg_endpoint *endpoint, char *text, size_t size);

/* Parses "10.0.0.0/8", "::1", "192.0.2.7" (a full-length prefix). Host bits that are set are an error.
 * GG_ERR_FORMAT as above. An IPv4-mapped network of 96 bits or more is kept as IPv4. */
int gg_network_parse(struct gg_network *out, const char *text, struct gg_failure *failure);
/* False across families: ::/0 has no IPv4 address in it. */
bool gg_network_contains(const struct gg_network *network, const struct gg_addr *addr);

void gg_addr_from_sockaddr(struct gg_addr *out, const struct sockaddr *sa, socklen_t length);
socklen_t gg_addr_to_sockaddr(const struct gg_addr *addr, struct sockaddr_storage *out); /* 0: unix, none */
/* "127.0.0.1:80" or "[::1]:80"; "unix" for a unix peer. Buffer of GG_ADDR_TEXT_MAX. Returns the length. */
size_t gg_addr_format(const struct gg_addr *addr, char *text, size_t size);
/* The same without port and brackets. */
size_t gg_addr_format_ip(const struct gg_addr *addr, char *text, size_t size);
int gg_addr_parse(struct gg_addr *out, const char *text); /* literal "ip:port" or "[ip6]:port"; GG_ERR_FORMAT */
bool gg_addr_equal(const struct gg_addr *a, const struct gg_addr *b); /* address and port */
/* Whether the peer is certainly on this host: 127.0.0.0/8, ::1, or a unix socket. */
bool gg_addr_is_loopback(const struct gg_addr *addr);
/* Fills a unix address for bind or connect from an endpoint's path ('@' first: abstract). Returns its length, 0 if the
 * endpoint is not a unix one. */
socklen_t gg_endpoint_to_sockaddr_un(const struct gg_endpoint *endpoint, struct sockaddr_un *out);

#endif
