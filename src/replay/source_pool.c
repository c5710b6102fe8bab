/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/source_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int gg__source_bind(int fd, const struct gg_addr *address)
{
  struct sockaddr_storage storage;
  int on = 1;
  /* Where it is not known the port is chosen here, and is then one that no other connection of this address has. */
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  socklen_t length = gg_addr_to_sockaddr(address, &storage);
  return bind(fd, (struct sockaddr *)&storage, length) == 0 ? 0 : errno;
}

/* Whether this host can connect from it. 0 or an errno. */
static int probe(const struct gg_addr *address)
{
  int domain = address->family == GG_FAMILY_IPV4 ? AF_INET : AF_INET6;
  int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  int error = gg__source_bind(fd, address);
  close(fd);
  return error;
}

/* The address `number` steps behind the network's base. The pool is smaller than 2^32, and a base's host bits are zero,
 * so no carry leaves the last four bytes. */
static struct gg_addr address_at(const struct gg_network *network, uint32_t number)
{
  struct gg_addr address = network->base;
  uint8_t *last = address.ip + (address.family == GG_FAMILY_IPV4 ? 0 : 12);
  for (unsigned i = 0; i < 4; i++)
    last[i] |= (uint8_t)(number >> (24 - 8 * i));
  address.port = 0;
  return address;
}

int gg__source_pool_init(struct gg_source_pool *pool, const struct gg_network *network, struct gg_failure *failure)
{
  bool ipv4 = network->base.family == GG_FAMILY_IPV4;
  unsigned host_bits = (ipv4 ? 32u : 128u) - network->prefix;
  uint64_t first = 0, end = host_bits >= 32 ? UINT64_C(1) << 32 : UINT64_C(1) << host_bits;
  *pool = (struct gg_source_pool){0};
  assert(ipv4 || network->base.family == GG_FAMILY_IPV6);
  if (host_bits >= 2) { /* the network's own address, and IPv4's broadcast, are nobody's */
    first++;
    end -= ipv4;
  }
  if (end - first > GG_SOURCES_TRIED_MAX)
    end = first + GG_SOURCES_TRIED_MAX;
  pool->addresses =
    calloc(end - first < GG_SOURCES_MAX ? (size_t)(end - first) : GG_SOURCES_MAX, sizeof(struct gg_addr));
  if (!pool->addresses)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the source addresses");
  for (uint64_t number = first; number < end && pool->count < GG_SOURCES_MAX; number++) {
    struct gg_addr address = address_at(network, (uint32_t)number);
    int error = probe(&address);
    if (error == 0) {
      pool->addresses[pool->count++] = address;
    } else if (number == first) {
      char text[GG_ADDR_TEXT_MAX];
      gg_addr_format_ip(&address, text, sizeof text);
      gg__source_pool_fini(pool);
      return gg_fail_errno(failure, error, "this host cannot connect from %s, the first source address", text);
    }
  }
  return GG_OK;
}

void gg__source_pool_fini(struct gg_source_pool *pool)
{
  free(pool->addresses);
  *pool = (struct gg_source_pool){0};
}

const struct gg_addr *gg__source_pool_next(struct gg_source_pool *pool)
{
  assert(pool->count > 0);
  const struct gg_addr *address = &pool->addresses[pool->next];
  pool->next = (pool->next + 1) % pool->count;
  return address;
}
