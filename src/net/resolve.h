/* SPDX-License-Identifier: Apache-2.0 */
/**
 * resolve.h - names of upstreams, resolved on a thread of their own and renewed, so that no worker ever waits for DNS.
 *
 * Thread: what takes a resolver: the engine's thread; what takes a name: any thread, lock-free.
 */
#ifndef GG_NET_RESOLVE_H
#define GG_NET_RESOLVE_H

#include "net/addr.h"

struct gg_logger;
struct gg_resolver;
struct gg_name; /* one host name and port; owned by the resolver */

enum { GG_NAME_ADDRESSES_MAX = 16 };          /* of one name; the lowest ones are used */
#define GG_NAME_FIRST_NS UINT64_C(5000000000) /* what the first pass over all names may take */
#define GG_NAME_RETRY_NS UINT64_C(1000000000) /* for names that have no address */

/* Before the sandbox closes: files of libc's that can be read now and not later are an error then, since libc would
 * answer by something else (resolver_files.h). */
int gg_resolver_create(struct gg_resolver **out, uint64_t interval_ns, struct gg_logger *logger);
/* Adds a name, before start or later; equal names share, and each add asks for a remove. GG_ERR_RANGE: the name is too
 * long; GG_ERR_LIMIT: there are too many; GG_ERR_NOMEM. */
int gg_resolver_add(struct gg_resolver *resolver, const char *host, uint16_t port, struct gg_name **out);
/* Gives a name back. After the last remove nobody may use it any more, and it is not resolved again. */
void gg_resolver_remove(struct gg_resolver *resolver, struct gg_name *name);
/* Resolves every name once (bounded: 5 s for all; a name that fails is warned of and tried again), then goes on on the
 * resolver's thread: every interval_ns, and every second for names that have no address. A failed renewal keeps the
 * addresses it has. */
int gg_resolver_start(struct gg_resolver *resolver);
/* For names that were added since start: returns when each has been asked for once, at the latest after bound_ns
 * (GG_ERR_TIMEOUT; it goes on). */
int gg_resolver_await(struct gg_resolver *resolver, uint64_t bound_ns);
void gg_resolver_set_interval(struct gg_resolver *resolver, uint64_t interval_ns); /* from the last renewal on */
/* Stops first, without waiting for a question that hangs. The names must not be used any more. NULL is fine. */
void gg_resolver_destroy(struct gg_resolver *resolver);

/* The address to use now. Several are taken in turn, of one family: the IPv4 ones if there are any. False: the name
 * has never resolved. */
bool gg_name_current(struct gg_name *name, struct gg_addr *out);
bool gg_name_resolved(const struct gg_name *name);    /* it has an address */
const char *gg_name_host(const struct gg_name *name); /* borrowed */

#endif
