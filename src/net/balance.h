/* SPDX-License-Identifier: Apache-2.0 */
/**
 * balance.h - which of several upstreams the next session goes to.
 *
 * Pure arithmetic on what the caller knows: no I/O, no clock, no memory of its own but the turns that the caller keeps.
 * The same questions in the same order get the same answers, on every machine.
 *
 * A set of members is a mask: bit i stands for candidate i. Who is out, drained, or was tried already is not in it.
 *
 * Thread: any; one at a time for the same turns.
 */
#ifndef GG_NET_BALANCE_H
#define GG_NET_BALANCE_H

#include "net/addr.h"

enum { GG_BALANCE_MEMBERS_MAX = 64, GG_BALANCE_WEIGHT_MAX = 1 << 16, GG_BALANCE_NONE = 64 };

struct gg_balance_candidate {
  uint32_t weight; /* 1 to GG_BALANCE_WEIGHT_MAX */
  uint64_t load;   /* what it has to do now: open sessions */
  uint64_t key;    /* gg_balance_key of its name */
};

/* Whose turn it is; all zero at first. */
struct gg_balance_turns {
  int64_t credit[GG_BALANCE_MEMBERS_MAX];
};

/* Each returns one of `allowed`, which is not empty. */

/* Smooth weighted round robin: in as many turns as all weights together each has exactly its weight of them, and the
 * turns of one are spread evenly among the others' (as nginx does it). */
unsigned gg_balance_round_robin(struct gg_balance_turns *turns, const struct gg_balance_candidate *all,
                                uint64_t allowed);
/* The least load for its weight, this session counted; among equals by turns. */
unsigned gg_balance_least_loaded(struct gg_balance_turns *turns, const struct gg_balance_candidate *all,
                                 uint64_t allowed);
/* Weighted rendezvous hashing: a client has one order of preference among all members. So when one leaves, only its
 * own clients go elsewhere, and when it is back, they come back; and a client's choice does not depend on the order in
 * which members are listed. `client` is gg_balance_client's. */
unsigned gg_balance_hash(const struct gg_balance_candidate *all, uint64_t allowed, uint64_t client);

uint64_t gg_balance_key(const char *name);
uint64_t gg_balance_client(const struct gg_addr *client); /* of the address, without the port */

#endif
