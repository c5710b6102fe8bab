/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/target.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* The address to use of those that a name has. */
static bool choose(const struct addrinfo *list, enum gg_family wanted, struct gg_addr *out)
{
  bool any = false;
  for (; list; list = list->ai_next) {
    struct gg_addr addr;
    gg_addr_from_sockaddr(&addr, list->ai_addr, list->ai_addrlen);
    if (addr.family == GG_FAMILY_NONE || (wanted != GG_FAMILY_NONE && addr.family != wanted))
      continue;
    if (!any || (addr.family == GG_FAMILY_IPV4 && out->family != GG_FAMILY_IPV4))
      *out = addr;
    any = true;
  }
  return any;
}

/* The kernel connects to this host's own loopback address when it is told to connect to any address. */
void gg__target_settle(struct gg_addr *addr)
{
  static const uint8_t any[16] = {0};
  if (memcmp(addr->ip, any, sizeof any) != 0)
    return;
  if (addr->family == GG_FAMILY_IPV4) {
    addr->ip[0] = 127;
    addr->ip[3] = 1;
  } else if (addr->family == GG_FAMILY_IPV6) {
    addr->ip[15] = 1;
  }
}

static int resolve(struct gg_target *target, struct gg_failure *failure)
{
  struct gg_endpoint *to = &target->to;
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *list = NULL;
  int error = getaddrinfo(to->host, NULL, &hints, &list);
  if (error)
    return gg_fail(failure, GG_ERR_RESOLVE, "the name '%s' does not resolve: %s", to->host, gai_strerror(error));
  enum gg_family wanted = target->has_source ? (enum gg_family)target->source.base.family : GG_FAMILY_NONE;
  bool found = choose(list, wanted, &to->addr);
  freeaddrinfo(list);
  if (!found)
    return gg_fail(failure, GG_ERR_RESOLVE, "the name '%s' has no address%s", to->host,
                   wanted == GG_FAMILY_NONE ? "" : " of the source network's family");
  to->addr.port = to->port;
  to->family = (enum gg_family)to->addr.family;
  to->host[0] = '\0';
  return 0;
}

int gg__target_find(struct gg_target *out, const char *to, const char *source, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  *out = (struct gg_target){0};
  if (!to || !*to)
    return gg_fail(failure, GG_ERR_INVALID, "where to is not said: to is host:port, [v6]:port or unix:PATH");
  if (gg_endpoint_parse(&out->to, to, false, &why) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "to: %s", why.message);
  if (source && gg_network_parse(&out->source, source, &why) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "source: %s", why.message);
  out->has_source = source != NULL;
  int error = out->to.family == GG_FAMILY_NONE ? resolve(out, failure) : 0;
  if (error)
    return error;
  gg__target_settle(&out->to.addr);
  gg_endpoint_format(&out->to, out->text, sizeof out->text);
  return 0;
}
