/* SPDX-License-Identifier: Apache-2.0 */
#include "net/addr.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct gg_addr) == 20, "a session carries four of these");

enum { NAME_MAX_BYTES = 253, LABEL_MAX_BYTES = 63 };

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static void set_ipv4(struct gg_addr *out, const uint8_t ip[4], uint16_t port)
{
  *out = (struct gg_addr){.port = port, .family = GG_FAMILY_IPV4};
  memcpy(out->ip, ip, 4);
}

static void set_ipv6(struct gg_addr *out, const uint8_t ip[16], uint16_t port)
{
  if (memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0) {
    set_ipv4(out, ip + 12, port);
    return;
  }
  *out = (struct gg_addr){.port = port, .family = GG_FAMILY_IPV6};
  memcpy(out->ip, ip, 16);
}

/* A literal address of either family without port. */
static bool parse_ip(struct gg_addr *out, const char *text, uint16_t port)
{
  uint8_t ip[16];
  if (inet_pton(AF_INET, text, ip) == 1) {
    set_ipv4(out, ip, port);
    return true;
  }
  if (inet_pton(AF_INET6, text, ip) == 1) {
    set_ipv6(out, ip, port);
    return true;
  }
  return false;
}

/* Decimal digits only, at most `most`; no sign, no spaces, no needless zeros. */
static bool parse_decimal(const char *text, unsigned most, unsigned *out)
{
  unsigned value = 0;
  if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
    return false;
  for (const char *at = text; *at; at++) {
    if (*at < '0' || *at > '9')
      return false;
    value = value * 10 + (unsigned)(*at - '0');
    if (value > most)
      return false;
  }
  *out = value;
  return true;
}

/* Splits "host:port" or "[host]:port" into a copy of the host and the port's text; false if it has neither form. */
static bool split(const char *text, char *host, size_t size, bool *bracketed, const char **port)
{
  const char *begin = text;
  const char *end;
  *bracketed = text[0] == '[';
  if (*bracketed) {
    begin = text + 1;
    end = strchr(begin, ']');
    if (!end || end[1] != ':')
      return false;
    *port = end + 2;
  } else {
    end = strchr(text, ':');
    if (!end || strchr(end + 1, ':'))
      return false;
    *port = end + 1;
  }
  size_t length = (size_t)(end - begin);
  if (length >= size)
    return false;
  memcpy(host, begin, length);
  host[length] = '\0';
  return true;
}

static bool is_name_character(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A host name: labels of letters, digits, '-' and '_'. A last label of digits only would be a misspelt IPv4 address. */
static bool is_name(const char *text)
{
  size_t label = 0;
  bool digits_only = true;
  size_t length = strlen(text);
  if (length == 0 || length > NAME_MAX_BYTES)
    return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '.') {
      if (label == 0)
        return false;
      if (text[i + 1] == '\0')
        break;
      label = 0;
      digits_only = true;
      continue;
    }
    if (!is_name_character(text[i]) || (text[i] == '-' && label == 0) || ++label > LABEL_MAX_BYTES)
      return false;
    digits_only = digits_only && text[i] >= '0' && text[i] <= '9';
  }
  return !digits_only;
}

static int parse_unix(struct gg_endpoint *out, const char *path, struct gg_failure *failure)
{
  size_t length = strlen(path);
  if (length == 0 || strcmp(path, "@") == 0)
    return gg_fail(failure, GG_ERR_FORMAT, "'unix:%s' has no path: write unix:/run/name or unix:@name", path);
  if (length >= sizeof out->path)
    return gg_fail(failure, GG_ERR_FORMAT, "the path of a unix socket has at most %zu bytes, this one has %zu",
                   sizeof out->path - 1, length);
  out->family = GG_FAMILY_UNIX;
  out->addr.family = GG_FAMILY_UNIX;
  memcpy(out->path, path, length + 1);
  return 0;
}

static int parse_host(struct gg_endpoint *out, const char *text, const char *host, bool bracketed, bool listen,
                      struct gg_failure *failure)
{
  static const uint8_t any[16] = {0};
  static const uint8_t loopback[4] = {127, 0, 0, 1};
  if (bracketed) {
    if (!strchr(host, ':') || !parse_ip(&out->addr, host, out->port))
      return gg_fail(failure, GG_ERR_FORMAT, "'[%.200s]' is not an IPv6 address", host);
  } else if (host[0] == '\0' && listen) {
    set_ipv6(&out->addr, any, out->port);
  } else if (host[0] == '\0') {
    set_ipv4(&out->addr, loopback, out->port);
  } else if (!parse_ip(&out->addr, host, out->port)) {
    if (!is_name(host))
      return gg_fail(failure, GG_ERR_FORMAT, "'%.200s' in '%.200s' is neither an address nor a host name", host, text);
    memcpy(out->host, host, strlen(host) + 1);
    out->family = GG_FAMILY_NONE;
    return 0;
  }
  out->family = (enum gg_family)out->addr.family;
  return 0;
}

int gg_endpoint_parse(struct gg_endpoint *out, const char *text, bool listen, struct gg_failure *failure)
{
  char host[sizeof out->host];
  const char *port_text = NULL;
  bool bracketed = false;
  memset(out, 0, sizeof *out);
  if (strncmp(text, "unix:", 5) == 0)
    return parse_unix(out, text + 5, failure);
  uint8_t ip[16];
  if (inet_pton(AF_INET6, text, ip) == 1)
    return gg_fail(failure, GG_ERR_FORMAT, "an IPv6 address needs brackets and a port: write '[%.60s]:port'", text);
  if (!split(text, host, sizeof host, &bracketed, &port_text))
    return gg_fail(failure, GG_ERR_FORMAT, "'%.200s' is not an address: write host:port, [v6]:port, :port or unix:PATH",
                   text);
  unsigned port;
  if (!parse_decimal(port_text, 65535, &port))
    return gg_fail(failure, GG_ERR_FORMAT, "'%.60s' in '%.200s' is not a port: write a number from %d to 65535",
                   port_text, text, listen ? 0 : 1);
  if (port == 0 && !listen)
    return gg_fail(failure, GG_ERR_FORMAT, "port 0 in '%.200s' cannot be connected to", text);
  out->port = (uint16_t)port;
  return parse_host(out, text, host, bracketed, listen, failure);
}

/* snprintf's result as a length that is really in the buffer. */
static size_t written(int length, size_t size)
{
  if (length < 0 || size == 0)
    return 0;
  return (size_t)length < size ? (size_t)length : size - 1;
}

size_t gg_endpoint_format(const struct gg_endpoint *endpoint, char *text, size_t size)
{
  switch (endpoint->family) {
  case GG_FAMILY_UNIX:
    return written(snprintf(text, size, "unix:%s", endpoint->path), size);
  case GG_FAMILY_NONE:
    return written(snprintf(text, size, "%s:%u", endpoint->host, endpoint->port), size);
  case GG_FAMILY_IPV4:
  case GG_FAMILY_IPV6:
    break;
  }
  return gg_addr_format(&endpoint->addr, text, size);
}

socklen_t gg_endpoint_to_sockaddr_un(const struct gg_endpoint *endpoint, struct sockaddr_un *out)
{
  if (endpoint->family != GG_FAMILY_UNIX)
    return 0;
  size_t length = strlen(endpoint->path);
  assert(length > 0 && length < sizeof out->sun_path);
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  memcpy(out->sun_path, endpoint->path, length);
  if (endpoint->path[0] == '@')
    out->sun_path[0] = '\0'; /* an abstract name is exactly as long as the address says */
  else
    length++;
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static unsigned bits_of(const struct gg_addr *addr)
{
  return addr->family == GG_FAMILY_IPV4 ? 32 : 128;
}

static bool host_bits_are_zero(const struct gg_addr *base, unsigned prefix)
{
  for (unsigned i = prefix; i < bits_of(base); i++)
    if (base->ip[i / 8] & (0x80u >> (i % 8)))
      return false;
  return true;
}

int gg_network_parse(struct gg_network *out, const char *text, struct gg_failure *failure)
{
  char ip[INET6_ADDRSTRLEN];
  const char *slash = strchr(text, '/');
  size_t length = slash ? (size_t)(slash - text) : strlen(text);
  struct gg_addr base = {.family = GG_FAMILY_NONE};
  if (length < sizeof ip) {
    memcpy(ip, text, length);
    ip[length] = '\0';
  }
  if (length >= sizeof ip || !parse_ip(&base, ip, 0))
    return gg_fail(failure, GG_ERR_FORMAT, "'%.200s' is not a network: write 10.0.0.0/8 or fd00::/8", text);
  unsigned most = strchr(ip, ':') ? 128 : 32;
  unsigned prefix = most;
  if (slash && !parse_decimal(slash + 1, most, &prefix))
    return gg_fail(failure, GG_ERR_FORMAT, "the prefix in '%.200s' is not a number from 0 to %u", text, most);
  if (most == 128 && base.family == GG_FAMILY_IPV4) {
    if (prefix < 96)
      return gg_fail(failure, GG_ERR_FORMAT, "'%.200s' mixes IPv4 and IPv6: write the IPv4 network", text);
    prefix -= 96;
  }
  if (!host_bits_are_zero(&base, prefix))
    return gg_fail(failure, GG_ERR_FORMAT, "'%.200s' has bits set after its prefix of %u", text, prefix);
  *out = (struct gg_network){.base = base, .prefix = (uint8_t)prefix};
  return 0;
}

bool gg_network_contains(const struct gg_network *network, const struct gg_addr *addr)
{
  if (addr->family != network->base.family || (addr->family != GG_FAMILY_IPV4 && addr->family != GG_FAMILY_IPV6))
    return false;
  unsigned whole = network->prefix / 8u;
  unsigned rest = network->prefix % 8u;
  if (memcmp(addr->ip, network->base.ip, whole) != 0)
    return false;
  unsigned mask = 0xFF00u >> rest;
  return rest == 0 || ((unsigned)(addr->ip[whole] ^ network->base.ip[whole]) & mask & 0xFFu) == 0;
}

void gg_addr_from_sockaddr(struct gg_addr *out, const struct sockaddr *sa, socklen_t length)
{
  memset(out, 0, sizeof *out);
  if (length < (socklen_t)sizeof sa->sa_family)
    return;
  if (sa->sa_family == AF_INET && length >= (socklen_t)sizeof(struct sockaddr_in)) {
    struct sockaddr_in in;
    memcpy(&in, sa, sizeof in);
    set_ipv4(out, (const uint8_t *)&in.sin_addr, ntohs(in.sin_port));
  } else if (sa->sa_family == AF_INET6 && length >= (socklen_t)sizeof(struct sockaddr_in6)) {
    struct sockaddr_in6 in6;
    memcpy(&in6, sa, sizeof in6);
    set_ipv6(out, in6.sin6_addr.s6_addr, ntohs(in6.sin6_port));
  } else if (sa->sa_family == AF_UNIX) {
    out->family = GG_FAMILY_UNIX;
  }
}

socklen_t gg_addr_to_sockaddr(const struct gg_addr *addr, struct sockaddr_storage *out)
{
  memset(out, 0, sizeof *out);
  if (addr->family == GG_FAMILY_IPV4) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
    memcpy(&in.sin_addr, addr->ip, 4);
    memcpy(out, &in, sizeof in);
    return sizeof in;
  }
  if (addr->family == GG_FAMILY_IPV6) {
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
    memcpy(&in6.sin6_addr, addr->ip, 16);
    memcpy(out, &in6, sizeof in6);
    return sizeof in6;
  }
  return 0;
}

/* The address without port, at most INET6_ADDRSTRLEN bytes and no NUL: sessions' facts are made of these. */
static size_t put_ip(const struct gg_addr *addr, char *text)
{
  if (addr->family == GG_FAMILY_IPV4) {
    size_t length = 0;
    for (unsigned i = 0; i < 4; i++) {
      if (i > 0)
        text[length++] = '.';
      length += gg_text_digits(addr->ip[i], text + length);
    }
    return length;
  }
  if (addr->family == GG_FAMILY_IPV6) {
    char ip[INET6_ADDRSTRLEN];
    const char *shown = inet_ntop(AF_INET6, addr->ip, ip, sizeof ip);
    assert(shown);
    size_t length = strlen(shown);
    memcpy(text, shown, length);
    return length;
  }
  const char *shown = addr->family == GG_FAMILY_UNIX ? "unix" : "none";
  memcpy(text, shown, 4);
  return 4;
}

/* Copies what fits, and a NUL. */
static size_t give(const char *from, size_t length, char *text, size_t size)
{
  if (size == 0)
    return 0;
  if (length >= size)
    length = size - 1;
  memcpy(text, from, length);
  text[length] = '\0';
  return length;
}

size_t gg_addr_format_ip(const struct gg_addr *addr, char *text, size_t size)
{
  char ip[INET6_ADDRSTRLEN];
  return give(ip, put_ip(addr, ip), text, size);
}

size_t gg_addr_format(const struct gg_addr *addr, char *text, size_t size)
{
  char whole[GG_ADDR_TEXT_MAX + GG_TEXT_DIGITS_MAX];
  size_t length = 0;
  bool bracketed = addr->family == GG_FAMILY_IPV6;
  if (bracketed)
    whole[length++] = '[';
  length += put_ip(addr, whole + length);
  if (bracketed)
    whole[length++] = ']';
  if (bracketed || addr->family == GG_FAMILY_IPV4) {
    whole[length++] = ':';
    length += gg_text_digits(addr->port, whole + length);
  }
  return give(whole, length, text, size);
}

int gg_addr_parse(struct gg_addr *out, const char *text)
{
  char host[INET6_ADDRSTRLEN];
  const char *port_text = NULL;
  bool bracketed = false;
  unsigned port;
  struct gg_addr parsed;
  if (!split(text, host, sizeof host, &bracketed, &port_text) || !parse_decimal(port_text, 65535, &port) ||
      bracketed != (strchr(host, ':') != NULL) || !parse_ip(&parsed, host, (uint16_t)port))
    return GG_ERR_FORMAT;
  *out = parsed;
  return 0;
}

bool gg_addr_equal(const struct gg_addr *a, const struct gg_addr *b)
{
  return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool gg_addr_is_loopback(const struct gg_addr *addr)
{
  static const uint8_t loopback6[16] = {[15] = 1};
  switch (addr->family) {
  case GG_FAMILY_UNIX:
    return true;
  case GG_FAMILY_IPV4:
    return addr->ip[0] == 127;
  case GG_FAMILY_IPV6:
    return memcmp(addr->ip, loopback6, sizeof loopback6) == 0;
  default:
    return false;
  }
}
