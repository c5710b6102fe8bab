/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sockets.h - the wire of the real world: non-blocking TCP and unix sockets on an event loop.
 *
 * With a source network the connections take its addresses in turn (the network's own and broadcast address left out
 * where there are others), each with ports of its own (IP_BIND_ADDRESS_NO_PORT, so that the kernel chooses a port that
 * is free for the whole 4-tuple): 28,000 ports an address. An address whose ports are used up is passed over; when all
 * are, connect says GG_ERR_LIMIT.
 */
#ifndef GG_REPLAY_SOCKETS_H
#define GG_REPLAY_SOCKETS_H

#include "replay/wire.h"

struct gg_sockets_options {
  struct gg_endpoint to;           /* resolved: a literal address, or a unix path */
  const struct gg_network *source; /* NULL: the system chooses */
};

/* GG_ERR_INVALID: source is of another family than `to`; GG_ERR_DENIED and others: this host has not got its first
 * address. */
int gg__sockets_create(struct gg_wire **out, const struct gg_sockets_options *options, struct gg_failure *failure);
void gg__sockets_destroy(struct gg_wire *wire); /* NULL is fine; closes what is open */

/* How many connections descriptors allow besides those that are in use now. */
uint32_t gg__sockets_room(void);

#endif
