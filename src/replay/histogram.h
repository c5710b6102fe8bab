/* SPDX-License-Identifier: Apache-2.0 */
/**
 * histogram.h - durations in log-linear buckets: three significant digits from 1 ns to 2^42 ns (73 minutes), as
 * HdrHistogram has them. Values above are counted in the last bucket, and the maximum is exact.
 *
 * Values below 2048 have a bucket each; from there on each power of two is cut into 1024, so that a bucket is narrower
 * than a thousandth of its values. 33,792 counters of 8 bytes: 264 KiB, allocated at once.
 * Thread: one at a time.
 */
#ifndef GG_REPLAY_HISTOGRAM_H
#define GG_REPLAY_HISTOGRAM_H

#include <gogetway/replay.h>

struct gg_histogram {
  uint64_t *buckets;
  uint64_t count;
  uint64_t max_ns;
  double sum_ns;
};

int gg__histogram_init(struct gg_histogram *histogram); /* GG_ERR_NOMEM */
void gg__histogram_fini(struct gg_histogram *histogram);
void gg__histogram_add(struct gg_histogram *histogram, uint64_t value_ns);
/* The upper edge of the bucket in which the value of that rank is, at most the maximum; permille 0 to 1000. */
uint64_t gg__histogram_at(const struct gg_histogram *histogram, unsigned permille);
void gg__histogram_percentiles(const struct gg_histogram *histogram, struct gg_replay_percentiles *out);

#endif
