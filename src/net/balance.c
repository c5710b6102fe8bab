/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted rendezvous hashing: member i of weight w scores -w / log(h), h in (0,1) being the hash of client and member,
 * and the highest score is chosen. The times -log(h) / w are exponential with rate w, and the least of such times is
 * i's with a probability of exactly w over the sum of all weights; nobody's time depends on who else is there.
 *
 * It is calculated in integers: floating point would give other results with another library, and two gateways in front
 * of the same servers shall agree. (Rejected: a ring of points per member. Shares are only about right, and a ring has
 * to be built anew for each change of weight, which slow start makes all the time.)
 */
#include "net/balance.h"

#include <assert.h>

/* MurmurHash3's finalizer (Appleby): every bit of the input changes every bit of the output. */
static uint64_t mix(uint64_t z)
{
  z = (z ^ (z >> 33)) * 0xFF51AFD7ED558CCDu;
  z = (z ^ (z >> 33)) * 0xC4CEB9FE1A85EC53u;
  return z ^ (z >> 33);
}

uint64_t gg_balance_key(const char *name)
{
  uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a, and then mixed */
  for (; *name; name++)
    hash = (hash ^ (uint8_t)*name) * 0x100000001B3u;
  return mix(hash);
}

uint64_t gg_balance_client(const struct gg_addr *client)
{
  uint64_t hash = client->family;
  for (unsigned half = 0; half < 2; half++) {
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++)
      word = word << 8 | client->ip[half * 8 + i];
    hash = mix(hash ^ word) + 0x9E3779B97F4A7C15u;
  }
  return mix(hash);
}

static unsigned take_lowest(uint64_t *mask)
{
  unsigned index = (unsigned)__builtin_ctzll(*mask);
  *mask &= *mask - 1;
  return index;
}

unsigned gg_balance_round_robin(struct gg_balance_turns *turns, const struct gg_balance_candidate *all,
                                uint64_t allowed)
{
  assert(allowed != 0);
  unsigned best = GG_BALANCE_NONE;
  int64_t total = 0;
  for (uint64_t left = allowed; left;) {
    unsigned i = take_lowest(&left);
    assert(all[i].weight >= 1 && all[i].weight <= GG_BALANCE_WEIGHT_MAX);
    turns->credit[i] += all[i].weight;
    total += all[i].weight;
    if (best == GG_BALANCE_NONE || turns->credit[i] > turns->credit[best])
      best = i;
  }
  turns->credit[best] -= total;
  return best;
}

/* Whether a has less to do than b, for its weight: less: negative; as much: 0. */
static int compare_load(const struct gg_balance_candidate *a, const struct gg_balance_candidate *b)
{
  uint64_t left = (a->load + 1) * b->weight, right = (b->load + 1) * a->weight;
  return left < right ? -1 : left > right;
}

unsigned gg_balance_least_loaded(struct gg_balance_turns *turns, const struct gg_balance_candidate *all,
                                 uint64_t allowed)
{
  assert(allowed != 0);
  uint64_t equals = 0;
  unsigned best = GG_BALANCE_NONE;
  for (uint64_t left = allowed; left;) {
    unsigned i = take_lowest(&left);
    int order = best == GG_BALANCE_NONE ? -1 : compare_load(&all[i], &all[best]);
    if (order < 0) {
      best = i;
      equals = 0;
    }
    if (order <= 0)
      equals |= (uint64_t)1 << i;
  }
  return gg_balance_round_robin(turns, all, equals);
}

enum { FRACTION_BITS = 24 };

/* -log2(h / 2^64), with FRACTION_BITS behind the point: one bit of the logarithm for each squaring. */
static uint64_t negative_log2(uint64_t h)
{
  if (h == 0)
    h = 1;
  unsigned zeros = (unsigned)__builtin_clzll(h);
  uint64_t mantissa = h << zeros >> 32; /* 1.31: from 1 to just below 2 */
  uint64_t log = 63 - zeros;
  for (unsigned i = 0; i < FRACTION_BITS; i++) {
    mantissa = mantissa * mantissa >> 31;
    uint64_t bit = mantissa >> 32; /* the square is 2 or more */
    mantissa >>= bit;
    log = log << 1 | bit;
  }
  return ((uint64_t)64 << FRACTION_BITS) - log;
}

unsigned gg_balance_hash(const struct gg_balance_candidate *all, uint64_t allowed, uint64_t client)
{
  assert(allowed != 0);
  unsigned best = GG_BALANCE_NONE;
  uint64_t best_time = 0;
  for (uint64_t left = allowed; left;) {
    unsigned i = take_lowest(&left);
    assert(all[i].weight >= 1 && all[i].weight <= GG_BALANCE_WEIGHT_MAX);
    uint64_t time = negative_log2(mix(client ^ all[i].key)); /* at most 2^30, so products fit */
    /* Of two whose times are the same, the key decides: the order in the list must not. */
    uint64_t mine = best == GG_BALANCE_NONE ? 0 : time * all[best].weight;
    uint64_t theirs = best == GG_BALANCE_NONE ? 1 : best_time * all[i].weight;
    if (mine < theirs || (mine == theirs && all[i].key < all[best].key)) {
      best = i;
      best_time = time;
    }
  }
  return best;
}
