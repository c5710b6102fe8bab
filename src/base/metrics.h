/* SPDX-License-Identifier: Apache-2.0 */
/**
 * metrics.h - the registry of everything that is counted.
 *
 * A module describes its metrics in one const table (name, kind, unit, help) and registers it at start; the number it
 * gets back is where its metrics begin. Each thread that counts owns a shard: an array of 64-bit values that only it
 * writes (relaxed atomic load and store, no locked instruction), and that anybody may read. A reading adds the shards:
 * counters and gauges are sums, histograms (powers of two of nanoseconds) add per bucket.
 *
 *     registration (start) --> shards (one a thread) --> gg_metrics_read (any thread, any time)
 *
 * What is counted for many of a kind (each listener and upstream) is a family: the same table once for each member,
 * which is told from the others by its labels' values. A member's counters are slots like all others, so counting for
 * it costs what counting in all costs; it is only that the slot is not known when the program is compiled. A family may
 * have places for members that come later: every shard has their slots from the beginning, and a page of them that was
 * never counted in takes no memory.
 *
 * Registration ends with the first shard; registering later is GG_ERR_INVALID. Registering, and adding or replacing
 * members, are for one thread (the starting one); shards may be made, and readings taken, on any thread. What is read
 * of members while others may be replaced stands between gg_metrics_hold and gg_metrics_let_go; counting takes no lock.
 */
#ifndef GG_BASE_METRICS_H
#define GG_BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gg_metric_kind {
  GG_METRIC_COUNTER,   /* only grows */
  GG_METRIC_GAUGE,     /* goes up and down; a shard's value may be "negative" (wraps), the sum is right */
  GG_METRIC_HISTOGRAM, /* of nanoseconds: GG_METRIC_BUCKETS slots, bucket i counts values below 2^(i+10) ns */
};

enum {
  GG_METRIC_BUCKETS = 28, /* the last one also counts everything above */
  GG_METRIC_HISTOGRAM_SLOTS = GG_METRIC_BUCKETS + 1,
  GG_METRICS_MAX = 512, /* definitions in a registry */
  GG_SHARDS_MAX = 512,  /* threads that count */
  GG_FAMILIES_MAX = 8,
  GG_FAMILY_MEMBERS_MAX = 16384,
  GG_FAMILY_LABELS_MAX = 4,
  GG_COLLECTORS_MAX = 4,
};

struct gg_metric_def {
  const char *name; /* snake_case with the unit last: "sessions_opened", "received_bytes", "write_latency_ns",
                       "weight_ppm" (parts per million) */
  enum gg_metric_kind kind;
  const char *help; /* one sentence */
  /* In a family's table only: the label and its value that tell it from those beside it of the same name, as "kind"
   * and "refused". NULL: it is the only one of its name. */
  const char *label;
  const char *label_value;
};

/* A table that is counted once for each member. */
struct gg_metric_family {
  const struct gg_metric_def *table; /* must outlive the registry, as `labels`; the values are copied */
  size_t count;
  const char *const *labels; /* names, label_count of them */
  size_t label_count;
  const char *const *values; /* member_count times label_count, member by member; no two members may be the same */
  size_t member_count;
  size_t member_max; /* places, those for members that come later among them; 0: member_count */
};

struct gg_metrics;
struct gg_shard {
  _Atomic uint64_t *values; /* slots of all metrics in registration order */
  struct gg_metrics *metrics;
};

int gg_metrics_create(struct gg_metrics **out);
void gg_metrics_destroy(struct gg_metrics *metrics); /* also frees its shards */

/* Appends `count` definitions (the table must outlive the registry) and stores the first one's slot in *first.
 * Slots of one table follow each other by definition index, but a histogram takes GG_METRIC_BUCKETS slots plus one for
 * the sum, so tables keep their histograms last (GG_ERR_INVALID otherwise, and for a name that is there already). More
 * than GG_METRICS_MAX: GG_ERR_LIMIT. */
int gg_metrics_register(struct gg_metrics *metrics, const struct gg_metric_def *table, size_t count, size_t *first);
/* The slots of member i begin at *first + i * *stride, in the order of the table, as above. Definitions of one name
 * stand together and have one kind. GG_ERR_INVALID, LIMIT, NOMEM. */
int gg_metrics_register_family(struct gg_metrics *metrics, const struct gg_metric_family *family, size_t *first,
                               size_t *stride);
/* One more member, in one of the places that the family has left, at run time too. `first` says which family; *member
 * is the new one's number. GG_ERR_LIMIT: no place is left. GG_ERR_INVALID: there is such a member already. NOMEM. */
int gg_metrics_member_add(struct gg_metrics *metrics, size_t first, const char *const *values, size_t *member);
/* The place of a member for which nobody counts any more (and all who did are known to have done so) is another's from
 * now on, whose counts begin at 0. GG_ERR_INVALID, NOMEM: nothing has changed. */
int gg_metrics_member_replace(struct gg_metrics *metrics, size_t first, size_t member, const char *const *values);
int gg_metrics_shard(struct gg_metrics *metrics,
                     struct gg_shard **out); /* owned by the registry, zeroed; GG_ERR_LIMIT, NOMEM */

static inline void gg_shard_add(struct gg_shard *shard, size_t slot, uint64_t n)
{
  uint64_t value = atomic_load_explicit(&shard->values[slot], memory_order_relaxed);
  atomic_store_explicit(&shard->values[slot], value + n, memory_order_relaxed);
}
static inline void gg_shard_sub(struct gg_shard *shard, size_t slot, uint64_t n)
{
  gg_shard_add(shard, slot, (uint64_t)0 - n);
}
/* The last that this thread does at its slots for some purpose: who sees it by gg_metrics_is_zero sees all of that. */
static inline void gg_shard_leave(struct gg_shard *shard, size_t slot, uint64_t n)
{
  uint64_t value = atomic_load_explicit(&shard->values[slot], memory_order_relaxed);
  atomic_store_explicit(&shard->values[slot], value - n, memory_order_release);
}
/* Whether a slot is 0 in every shard, not only in their sum. */
bool gg_metrics_is_zero(const struct gg_metrics *metrics, size_t slot);
static inline void gg_shard_set(struct gg_shard *shard, size_t slot, uint64_t n)
{
  atomic_store_explicit(&shard->values[slot], n, memory_order_relaxed);
}
void gg_shard_observe(struct gg_shard *shard, size_t slot, uint64_t value_ns); /* a histogram's slot */

/* Values that nobody counts, but that have to be fetched: `collect` is called at the beginning of every gg_metrics_json
 * and gg_metrics_text, on the thread that asks, one call at a time, and sets them in a shard of its own. For the
 * starting thread, before anybody reads. GG_ERR_LIMIT. */
typedef void (*gg_collect_fn)(void *context);
int gg_metrics_collector(struct gg_metrics *metrics, gg_collect_fn collect, void *context);
/* Calls them now, for who reads by gg_metrics_read. */
void gg_metrics_collect(struct gg_metrics *metrics);

/* One metric's reading. */
struct gg_reading {
  const struct gg_metric_def *def;
  uint64_t value;                      /* counter, gauge; a histogram's count */
  uint64_t sum;                        /* histogram: sum of values */
  uint64_t buckets[GG_METRIC_BUCKETS]; /* histogram */
};
/* The metric that was registered as the index-th, from 0, those of families aside. GG_ERR_NOT_FOUND: there are no
 * more. */
int gg_metrics_read(const struct gg_metrics *metrics, size_t index, struct gg_reading *out);
/* Until let go, no member is added or replaced; any thread, for a short time. */
void gg_metrics_hold(struct gg_metrics *metrics);
void gg_metrics_let_go(struct gg_metrics *metrics);
/* The family that was registered as the index-th, from 0, with the registry's own copy of the values; NULL: no more. */
const struct gg_metric_family *gg_metrics_family(const struct gg_metrics *metrics, size_t index);
/* The index-th metric of a member's. GG_ERR_NOT_FOUND: there is none. */
int gg_metrics_read_member(const struct gg_metrics *metrics, size_t family, size_t member, size_t index,
                           struct gg_reading *out);
/* An upper bound of the percentile in nanoseconds (the edge of its bucket), 0 without values. `percent` is 0 to 100. */
uint64_t gg_reading_percentile(const struct gg_reading *reading, unsigned percent);
/* All of it, without the families, as one JSON object:
 * {"sessions_opened": 3, "write_latency_ns": {"count":..,"sum":..,"p50":..,"p99":..,"max_bucket":..}}.
 * Gauges are signed; p50, p99 and max_bucket are upper edges in nanoseconds. A malloc'ed text that the caller frees;
 * NULL without memory. */
char *gg_metrics_json(struct gg_metrics *metrics);

/* All of it, with the families, in Prometheus' text exposition format 0.0.4 (metrics_text.c has the rules). A malloc'ed
 * text that the caller frees, its length in *length; NULL without memory. */
char *gg_metrics_text(struct gg_metrics *metrics, size_t *length);
/* What an HTTP server would call that text. */
#define GG_METRICS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
