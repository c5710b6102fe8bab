/* SPDX-License-Identifier: Apache-2.0 */
/**
 * resolve.h - names of upstreams, resolved on a thread of their own and renewed, so that no worker ever waits for DNS.
 *
 * Thread: create, add, start, stop, destroy: the engine's thread; gg_name_current: any thread, lock-free.
 */
#ifndef GG_NET_RESOLVE_H
#define GG_NET_RESOLVE_H

#include "net/addr.h"

struct gg_logger;
struct gg_resolver;
struct gg_name; /* one host name and port; owned by the resolver */

int gg_resolver_create(struct gg_resolver **out, uint64_t interval_ns, struct gg_logger *logger);
/* Adds a name before start; equal names share. */
int gg_resolver_add(struct gg_resolver *resolver, const char *host, uint16_t port, struct gg_name **out);
/* Resolves every name once (bounded: 5 s for all; a name that fails is warned of and tried again), then goes on on the
 * resolver's thread: every interval_ns, and every second for names that have no address. A failed renewal keeps the
 * addresses it has. */
int gg_resolver_start(struct gg_resolver *resolver);
/* Stops first, without waiting for a question that hangs. The names must not be used any more. NULL is fine. */
void gg_resolver_destroy(struct gg_resolver *resolver);

/* The address to use now. Several are taken in turn, of one family: the IPv4 ones if there are any. False: the name
 * has never resolved. */
bool gg_name_current(struct gg_name *name, struct gg_addr *out);

#endif
