/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sources.h - how many sessions each source has open, and how fast new ones come from it.
 *
 * A source is an IPv4 address, or the network of an IPv6 address: its first `bits` bits. The table is shared by all
 * workers; it is asked at accept (or when a PROXY header has been read) and at close, and only where a limit is
 * configured.
 *
 * Rates are a token bucket that holds one second's worth. A source that has no session and a full bucket is like one
 * that was never seen, and is forgotten: the table holds those that have sessions and those of the last second, at
 * most GG_SOURCES_MAX. One more than that is let in uncounted, since whoever comes from so many addresses is not
 * bounded by address, and refusing would shut out everybody else.
 *
 * Thread: any.
 */
#ifndef GG_GATEWAY_SOURCES_H
#define GG_GATEWAY_SOURCES_H

#include "net/addr.h"

enum {
  GG_SOURCE_SHARDS = 64,          /* each with a lock of its own */
  GG_SOURCE_SLOTS_MIN = 64,       /* of a shard, when it holds its first source */
  GG_SOURCE_SLOTS_MAX = 16 << 10, /* 48 bytes each; at most three quarters of them are used */
  GG_SOURCES_MAX = GG_SOURCE_SHARDS * (GG_SOURCE_SLOTS_MAX / 4 * 3),
  GG_SOURCE_RATE_MAX = 1000000,
  GG_SOURCE_TOLD_MAX = 4, /* sources of one shard that are told of within a second */
};

struct gg_source_table;

struct gg_source_limits {
  uint64_t sessions_max; /* open at a time; 0: no limit */
  uint64_t rate_max;     /* new ones a second, up to GG_SOURCE_RATE_MAX; 0: no limit */
};

enum gg_source_verdict {
  GG_SOURCE_TAKEN,
  GG_SOURCE_UNCOUNTED, /* let in, but the table is full or there is no memory: not to be given back */
  GG_SOURCE_TOO_MANY,  /* sessions_max */
  GG_SOURCE_TOO_FAST,  /* rate_max */
};

int gg_source_table_create(struct gg_source_table **out); /* GG_ERR_NOMEM, GG_ERR_IO (no random key) */
void gg_source_table_destroy(struct gg_source_table *table);

/* How many bits of an address make its source; 0: it has none (a unix peer). `prefix6` is 1 to 128. */
unsigned gg_source_bits(const struct gg_addr *client, unsigned prefix6);

/* Takes a session's place for the source of `client`, at `now_ns` (CLOCK_MONOTONIC). If it is refused, and an operator
 * should hear of it now, *refused is how many of this source were refused since it was told of last, this one
 * included; otherwise 0. */
enum gg_source_verdict gg_source_table_take(struct gg_source_table *table, const struct gg_addr *client, unsigned bits,
                                            const struct gg_source_limits *limits, uint64_t now_ns, uint64_t *refused);
/* A session that was TAKEN has ended: with the same address and bits. */
void gg_source_table_give(struct gg_source_table *table, const struct gg_addr *client, unsigned bits, uint64_t now_ns);

/* How many sources are held now. */
uint64_t gg_source_table_count(struct gg_source_table *table);

#endif
