/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is in shards, each a hash table with open addressing and a lock of its own. Which shard and which slot a
 * source has is said by SipHash-2-4 (Aumasson and Bernstein 2012) under a random key: a client who may choose its
 * address, as every owner of an IPv6 network may, cannot choose collisions.
 *
 *   hash  ├─ shard ─┤············├────── slot ──────┤
 *
 *   slots │ . │ a │ b │ c │ . │ d │ . │     linear probing; one that is taken out lets those behind it move up, so that
 *                                           there are no tombstones and a search ends at the first empty slot
 *
 * Nobody sweeps: each take looks at a few slots, one after the other from the shard's hand on, and drops those whose
 * source is forgotten. A shard that is three quarters full is made anew, without the forgotten, and twice as large if
 * more than half of it is left; one that is nearly empty is made half as large. At GG_SOURCE_SLOTS_MAX only the hand
 * makes room: a look at all of a full shard for every client who comes would be a gift to whoever filled it.
 *
 * The bucket is kept as the time at which it will be full (the "virtual scheduling" form of the leaky bucket): each
 * session moves that time on by one interval, and is refused if it would then be more than a second ahead. One number,
 * and nothing to be refilled.
 *
 * Rejected: counts without addresses (a count-min sketch). It is smaller, but it errs against the innocent.
 */
#include "gateway/sources.h"

#include "base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { CACHE_LINE = 64, HAND_STEPS = 4, SHARD_SHIFT = 58 };
static_assert(GG_SOURCE_SHARDS == 1 << (64 - SHARD_SHIFT), "the top bits of the hash choose the shard");

struct entry {
  uint8_t ip[16]; /* masked */
  uint8_t family;
  uint8_t bits; /* 0: the slot is empty */
  uint32_t hash;
  uint32_t sessions;
  uint32_t refused; /* since it was told of */
  uint64_t full_ns; /* when its bucket is full again */
  uint64_t told_ns;
};
static_assert(sizeof(struct entry) == 48, "as sources.h says");

struct shard {
  _Alignas(CACHE_LINE) pthread_mutex_t lock;
  struct entry *slots;
  uint32_t slot_count; /* a power of two; 0: no memory yet */
  uint32_t used;
  uint32_t hand;
  unsigned told; /* sources that were told of in the second that began at told_ns */
  uint64_t told_ns;
};

struct gg_source_table {
  struct shard shards[GG_SOURCE_SHARDS];
  uint64_t key[2];
};

int gg_source_table_create(struct gg_source_table **out)
{
  struct gg_source_table *table = aligned_alloc(CACHE_LINE, sizeof *table);
  *out = NULL;
  if (!table)
    return GG_ERR_NOMEM;
  memset(table, 0, sizeof *table);
  if (getrandom(table->key, sizeof table->key, 0) != sizeof table->key) {
    free(table);
    return GG_ERR_IO;
  }
  for (unsigned i = 0; i < GG_SOURCE_SHARDS; i++)
    pthread_mutex_init(&table->shards[i].lock, NULL);
  *out = table;
  return GG_OK;
}

void gg_source_table_destroy(struct gg_source_table *table)
{
  if (!table)
    return;
  for (unsigned i = 0; i < GG_SOURCE_SHARDS; i++) {
    pthread_mutex_destroy(&table->shards[i].lock);
    free(table->shards[i].slots);
  }
  free(table);
}

unsigned gg_source_bits(const struct gg_addr *client, unsigned prefix6)
{
  assert(prefix6 >= 1 && prefix6 <= 128);
  return client->family == GG_FAMILY_IPV4 ? 32 : client->family == GG_FAMILY_IPV6 ? prefix6 : 0;
}

/* ── The hash ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t rotate(uint64_t x, unsigned by)
{
  return x << by | x >> (64 - by);
}

static void sip_rounds(uint64_t v[4], unsigned rounds)
{
  for (unsigned i = 0; i < rounds; i++) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
  }
}

/* Of 18 bytes: the address, its family, its bits. */
static uint64_t hash_of(const uint64_t key[2], const struct entry *entry)
{
  uint64_t words[3] = {0};
  memcpy(words, entry->ip, sizeof entry->ip);
  words[2] = (uint64_t)entry->family | (uint64_t)entry->bits << 8 | (uint64_t)18 << 56;
  uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                   key[1] ^ 0x7465646279746573u};
  for (unsigned i = 0; i < 3; i++) {
    v[3] ^= words[i];
    sip_rounds(v, 2);
    v[0] ^= words[i];
  }
  v[2] ^= 0xff;
  sip_rounds(v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The entry of a source that nothing is known of, and its shard. */
static struct shard *locate(struct gg_source_table *table, const struct gg_addr *client, unsigned bits,
                            struct entry *out)
{
  assert(bits >= 1 && bits <= (client->family == GG_FAMILY_IPV4 ? 32 : 128));
  *out = (struct entry){.family = client->family, .bits = (uint8_t)bits};
  memcpy(out->ip, client->ip, (bits + 7) / 8);
  if (bits % 8)
    out->ip[bits / 8] &= (uint8_t)(0xff00u >> (bits % 8));
  uint64_t hash = hash_of(table->key, out);
  out->hash = (uint32_t)hash;
  return &table->shards[hash >> SHARD_SHIFT];
}

/* ── The slots of a shard; its lock is held ──────────────────────────────────────────────────────────────────────── */

static bool is_same(const struct entry *a, const struct entry *b)
{
  return a->hash == b->hash && a->bits == b->bits && a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static bool is_forgotten(const struct entry *entry, uint64_t now_ns)
{
  return entry->sessions == 0 && entry->full_ns <= now_ns;
}

/* Its slot, or the empty one where it would go. There always is an empty one. */
static struct entry *slot_of(struct entry *slots, uint32_t slot_count, const struct entry *wanted)
{
  uint32_t at = wanted->hash & (slot_count - 1);
  while (slots[at].bits != 0 && !is_same(&slots[at], wanted))
    at = (at + 1) & (slot_count - 1);
  return &slots[at];
}

/* Takes one out; those behind it that it had pushed away from their place move up. */
static void drop(struct shard *shard, uint32_t at)
{
  uint32_t mask = shard->slot_count - 1, next = at;
  for (;;) {
    next = (next + 1) & mask;
    if (shard->slots[next].bits == 0)
      break;
    uint32_t home = shard->slots[next].hash & mask;
    if (((next - home) & mask) < ((next - at) & mask)) /* it would come before its home */
      continue;
    shard->slots[at] = shard->slots[next];
    at = next;
  }
  shard->slots[at] = (struct entry){0};
  shard->used--;
}

/* Makes the shard anew, without the forgotten. Without memory it stays as it is. */
static void resize(struct shard *shard, uint32_t slot_count, uint64_t now_ns)
{
  struct entry *slots = calloc(slot_count, sizeof *slots);
  if (!slots)
    return;
  uint32_t used = 0;
  for (uint32_t i = 0; i < shard->slot_count; i++) {
    const struct entry *entry = &shard->slots[i];
    if (entry->bits == 0 || is_forgotten(entry, now_ns))
      continue;
    *slot_of(slots, slot_count, entry) = *entry;
    used++;
  }
  free(shard->slots);
  shard->slots = slots;
  shard->slot_count = slot_count;
  shard->used = used;
  shard->hand = 0;
}

static bool has_room(const struct shard *shard)
{
  return shard->used < shard->slot_count / 4 * 3;
}

static void make_room(struct shard *shard, uint64_t now_ns)
{
  uint32_t left = 0;
  if (shard->slot_count >= GG_SOURCE_SLOTS_MAX)
    return;
  for (uint32_t i = 0; i < shard->slot_count; i++)
    left += shard->slots[i].bits != 0 && !is_forgotten(&shard->slots[i], now_ns);
  if (shard->slot_count == 0)
    resize(shard, GG_SOURCE_SLOTS_MIN, now_ns);
  else
    resize(shard, left > shard->slot_count / 2 ? shard->slot_count * 2 : shard->slot_count, now_ns);
}

static void shrink(struct shard *shard, uint64_t now_ns)
{
  if (shard->slot_count > GG_SOURCE_SLOTS_MIN && shard->used < shard->slot_count / 8)
    resize(shard, shard->slot_count / 2, now_ns);
}

/* The hand goes on by a few slots. */
static void forget_some(struct shard *shard, uint64_t now_ns)
{
  for (unsigned i = 0; i < HAND_STEPS && shard->slot_count > 0; i++) {
    uint32_t at = shard->hand & (shard->slot_count - 1);
    if (shard->slots[at].bits != 0 && is_forgotten(&shard->slots[at], now_ns))
      drop(shard, at); /* another one may be there now: the hand stays */
    else
      shard->hand = at + 1;
  }
  shrink(shard, now_ns);
}

/* ── What is asked of it ─────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether one more may come now; then it is counted in the bucket. */
static bool bucket_take(struct entry *entry, uint64_t rate_max, uint64_t now_ns)
{
  if (rate_max == 0)
    return true;
  assert(rate_max <= GG_SOURCE_RATE_MAX);
  uint64_t interval_ns = GG_NS_PER_S / rate_max;
  uint64_t begin_ns = entry->full_ns > now_ns ? entry->full_ns : now_ns;
  if (begin_ns + interval_ns - now_ns > interval_ns * rate_max)
    return false;
  entry->full_ns = begin_ns + interval_ns;
  return true;
}

/* How many to tell of now: each source once a second, and few sources of a shard. */
static uint64_t count_refused(struct shard *shard, struct entry *entry, uint64_t now_ns)
{
  if (entry->refused < UINT32_MAX)
    entry->refused++;
  if (entry->told_ns != 0 && now_ns < entry->told_ns + GG_NS_PER_S)
    return 0;
  if (now_ns >= shard->told_ns + GG_NS_PER_S) {
    shard->told_ns = now_ns;
    shard->told = 0;
  }
  if (shard->told == GG_SOURCE_TOLD_MAX)
    return 0;
  shard->told++;
  uint64_t refused = entry->refused;
  entry->refused = 0;
  entry->told_ns = now_ns;
  return refused;
}

static enum gg_source_verdict judge(struct shard *shard, const struct entry *wanted,
                                    const struct gg_source_limits *limits, uint64_t now_ns, uint64_t *refused)
{
  forget_some(shard, now_ns);
  struct entry *entry = shard->slot_count > 0 ? slot_of(shard->slots, shard->slot_count, wanted) : NULL;
  if (!entry || entry->bits == 0) {
    if (!has_room(shard))
      make_room(shard, now_ns);
    if (!has_room(shard))
      return GG_SOURCE_UNCOUNTED;
    entry = slot_of(shard->slots, shard->slot_count, wanted);
    *entry = *wanted;
    shard->used++;
  }
  enum gg_source_verdict verdict = GG_SOURCE_TAKEN;
  if (limits->sessions_max > 0 && entry->sessions >= limits->sessions_max)
    verdict = GG_SOURCE_TOO_MANY;
  else if (!bucket_take(entry, limits->rate_max, now_ns))
    verdict = GG_SOURCE_TOO_FAST;
  if (verdict == GG_SOURCE_TAKEN)
    entry->sessions++;
  else
    *refused = count_refused(shard, entry, now_ns);
  return verdict;
}

enum gg_source_verdict gg_source_table_take(struct gg_source_table *table, const struct gg_addr *client, unsigned bits,
                                            const struct gg_source_limits *limits, uint64_t now_ns, uint64_t *refused)
{
  struct entry wanted;
  struct shard *shard = locate(table, client, bits, &wanted);
  *refused = 0;
  pthread_mutex_lock(&shard->lock);
  enum gg_source_verdict verdict = judge(shard, &wanted, limits, now_ns, refused);
  pthread_mutex_unlock(&shard->lock);
  return verdict;
}

void gg_source_table_give(struct gg_source_table *table, const struct gg_addr *client, unsigned bits, uint64_t now_ns)
{
  struct entry wanted;
  struct shard *shard = locate(table, client, bits, &wanted);
  pthread_mutex_lock(&shard->lock);
  struct entry *entry = slot_of(shard->slots, shard->slot_count, &wanted);
  assert(entry->bits != 0 && entry->sessions > 0);
  entry->sessions--;
  if (is_forgotten(entry, now_ns)) {
    drop(shard, (uint32_t)(entry - shard->slots));
    shrink(shard, now_ns);
  }
  pthread_mutex_unlock(&shard->lock);
}

uint64_t gg_source_table_count(struct gg_source_table *table)
{
  uint64_t count = 0;
  for (unsigned i = 0; i < GG_SOURCE_SHARDS; i++) {
    pthread_mutex_lock(&table->shards[i].lock);
    count += table->shards[i].used;
    pthread_mutex_unlock(&table->shards[i].lock);
  }
  return count;
}
