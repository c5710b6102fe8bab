/* SPDX-License-Identifier: Apache-2.0 */
/**
 * source_pool.h - the addresses of a network that this host can connect from, handed out in turn.
 *
 * All of them are tried at once, at the start, by binding a socket to each: so a network of which the host has only
 * some addresses costs nothing later, and a wrong one is told before anything is sent.
 *
 * Thread: the replay's.
 */
#ifndef GG_REPLAY_SOURCE_POOL_H
#define GG_REPLAY_SOURCE_POOL_H

#include "net/addr.h"

enum {
  GG_SOURCES_MAX = 4096,        /* addresses used: each has ports for 28,000 connections to one target */
  GG_SOURCES_TRIED_MAX = 16384, /* ... of the first so many of the network */
};

struct gg_source_pool {
  struct gg_addr *addresses; /* port 0 */
  unsigned count;
  unsigned next;
};

/* GG_ERR_NOMEM; and what a bind to the network's first address (its own left out) says: this host has not got it. */
int gg__source_pool_init(struct gg_source_pool *pool, const struct gg_network *network, struct gg_failure *failure);
void gg__source_pool_fini(struct gg_source_pool *pool);
const struct gg_addr *gg__source_pool_next(struct gg_source_pool *pool);

/* Binds a socket to an address, its port left open until it connects: the kernel then takes one that is free for that
 * target, not one that is free for all. 0 or an errno. */
int gg__source_bind(int fd, const struct gg_addr *address);

#endif
