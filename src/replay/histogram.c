/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/histogram.h"

#include <assert.h>
#include <stdlib.h>

enum {
  SUB_BITS = 10, /* each power of two from EXACT on is cut into 2^10 */
  SUB = 1 << SUB_BITS,
  EXACT = 2 * SUB, /* values below have a bucket each */
  EXACT_BITS = SUB_BITS + 1,
  TOP_BITS = 42, /* values from 2^42 on are in the last bucket */
  BUCKETS = EXACT + (TOP_BITS - EXACT_BITS) * SUB,
};

/* A value of `bits` bits keeps its first eleven: the first, which is always set, says no more than that, the other ten
 * are the place among the SUB buckets of its power of two. */
static size_t bucket_of(uint64_t value)
{
  if (value < EXACT)
    return (size_t)value;
  if (value >> TOP_BITS)
    return BUCKETS - 1;
  unsigned shift = 63 - (unsigned)__builtin_clzll(value) - SUB_BITS;
  return (size_t)shift * SUB + (size_t)(value >> shift);
}

/* The largest value of a bucket. The last one has no end. */
static uint64_t edge_of(size_t bucket)
{
  if (bucket < EXACT)
    return bucket;
  if (bucket == BUCKETS - 1)
    return UINT64_MAX;
  unsigned shift = (unsigned)(bucket / SUB) - 1;
  uint64_t top = bucket - (size_t)shift * SUB;
  return ((top + 1) << shift) - 1;
}

int gg__histogram_init(struct gg_histogram *histogram)
{
  *histogram = (struct gg_histogram){.buckets = calloc(BUCKETS, sizeof *histogram->buckets)};
  return histogram->buckets ? 0 : GG_ERR_NOMEM;
}

void gg__histogram_fini(struct gg_histogram *histogram)
{
  free(histogram->buckets);
  *histogram = (struct gg_histogram){0};
}

void gg__histogram_add(struct gg_histogram *histogram, uint64_t value_ns)
{
  assert(histogram->buckets);
  histogram->buckets[bucket_of(value_ns)]++;
  histogram->count++;
  histogram->sum_ns += (double)value_ns;
  if (value_ns > histogram->max_ns)
    histogram->max_ns = value_ns;
}

uint64_t gg__histogram_at(const struct gg_histogram *histogram, unsigned permille)
{
  assert(permille <= 1000);
  /* count * permille / 1000 rounded up, without overflow; rank 1 is the least value. */
  uint64_t rank = histogram->count / 1000 * permille + (histogram->count % 1000 * permille + 999) / 1000, seen = 0;
  if (histogram->count == 0)
    return 0;
  if (rank == 0)
    rank = 1;
  size_t bucket = 0;
  while ((seen += histogram->buckets[bucket]) < rank) {
    bucket++;
    assert(bucket < BUCKETS); /* they hold as many values as were counted */
  }
  uint64_t edge = edge_of(bucket);
  return edge < histogram->max_ns ? edge : histogram->max_ns;
}

void gg__histogram_percentiles(const struct gg_histogram *histogram, struct gg_replay_percentiles *out)
{
  *out = (struct gg_replay_percentiles){.count = histogram->count, .max_ns = histogram->max_ns};
  if (histogram->count == 0)
    return;
  double mean = histogram->sum_ns / (double)histogram->count;
  out->mean_ns = mean < (double)histogram->max_ns ? (uint64_t)mean : histogram->max_ns;
  out->p50_ns = gg__histogram_at(histogram, 500);
  out->p90_ns = gg__histogram_at(histogram, 900);
  out->p99_ns = gg__histogram_at(histogram, 990);
  out->p999_ns = gg__histogram_at(histogram, 999);
}
