/* SPDX-License-Identifier: Apache-2.0 */
#include "record/pairs.h"

#include <string.h>

/* The finish of splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t z)
{
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static uint64_t hash_end(uint64_t key, const struct gg_addr *addr)
{
  uint64_t ip[2];
  memcpy(ip, addr->ip, sizeof ip);
  return mix(mix(mix(key ^ addr->port) ^ ip[0]) ^ ip[1]);
}

/* The same for both orders of the ends: readers do not know them apart. */
static struct gg_conversation **bucket_of(struct gg_pairs *pairs, const struct gg_conversation *conversation)
{
  uint64_t hash = hash_end(pairs->key, &conversation->end[0]) + hash_end(pairs->key, &conversation->end[1]);
  return &pairs->buckets[hash % GG_PAIRS_BUCKETS];
}

static bool have_same_ends(const struct gg_conversation *a, const struct gg_conversation *b)
{
  return (gg_addr_equal(&a->end[0], &b->end[0]) && gg_addr_equal(&a->end[1], &b->end[1])) ||
         (gg_addr_equal(&a->end[0], &b->end[1]) && gg_addr_equal(&a->end[1], &b->end[0]));
}

void gg_pairs_enter(struct gg_pairs *pairs, struct gg_conversation *conversation)
{
  if (conversation->twin)
    return;
  struct gg_conversation **bucket = bucket_of(pairs, conversation), *same = *bucket;
  while (same && !have_same_ends(same, conversation))
    same = same->paired_next;
  conversation->twin = same ? same->twin : conversation;
  if (same)
    same->twin = conversation;
  conversation->paired_next = *bucket;
  *bucket = conversation;
}

void gg_pairs_leave(struct gg_pairs *pairs, struct gg_conversation *conversation)
{
  if (!conversation->twin)
    return;
  struct gg_conversation **at = bucket_of(pairs, conversation), *before = conversation;
  while (*at != conversation)
    at = &(*at)->paired_next;
  *at = conversation->paired_next;
  while (before->twin != conversation)
    before = before->twin;
  before->twin = conversation->twin;
  conversation->twin = conversation->paired_next = NULL;
}
