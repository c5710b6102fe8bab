/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include "base/json.h"
#include <assert.h>
#include <gogetway/error.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { HISTOGRAM_SLOTS = GG_METRIC_BUCKETS + 1, BUCKET_SHIFT = 10, CACHE_LINE = 64 };

struct gg_metrics {
  const struct gg_metric_def *defs[GG_METRICS_MAX];
  size_t slots[GG_METRICS_MAX]; /* where defs[i] begins in a shard */
  size_t count;
  size_t slot_count;
  pthread_mutex_t lock; /* making a shard; reading takes none */
  struct gg_shard *shards[GG_SHARDS_MAX];
  _Atomic size_t shard_count; /* published after shards[shard_count - 1] is whole */
};

int gg_metrics_create(struct gg_metrics **out)
{
  struct gg_metrics *metrics = calloc(1, sizeof *metrics);
  if (!metrics)
    return GG_ERR_NOMEM;
  pthread_mutex_init(&metrics->lock, NULL);
  *out = metrics;
  return 0;
}

void gg_metrics_destroy(struct gg_metrics *metrics)
{
  if (!metrics)
    return;
  for (size_t i = 0; i < atomic_load(&metrics->shard_count); i++) {
    free((void *)metrics->shards[i]->values);
    free(metrics->shards[i]);
  }
  pthread_mutex_destroy(&metrics->lock);
  free(metrics);
}

static size_t slots_of(const struct gg_metric_def *def)
{
  return def->kind == GG_METRIC_HISTOGRAM ? HISTOGRAM_SLOTS : 1;
}

static bool table_is_sound(const struct gg_metrics *metrics, const struct gg_metric_def *table, size_t count)
{
  bool histograms = false;
  for (size_t i = 0; i < count; i++) {
    if (histograms && table[i].kind != GG_METRIC_HISTOGRAM)
      return false;
    histograms = table[i].kind == GG_METRIC_HISTOGRAM;
    for (size_t j = 0; j < i; j++)
      if (strcmp(table[i].name, table[j].name) == 0)
        return false;
    for (size_t j = 0; j < metrics->count; j++)
      if (strcmp(table[i].name, metrics->defs[j]->name) == 0)
        return false;
  }
  return true;
}

int gg_metrics_register(struct gg_metrics *metrics, const struct gg_metric_def *table, size_t count, size_t *first)
{
  if (atomic_load(&metrics->shard_count) > 0 || !table_is_sound(metrics, table, count))
    return GG_ERR_INVALID;
  if (count > GG_METRICS_MAX - metrics->count)
    return GG_ERR_LIMIT;
  *first = metrics->slot_count;
  for (size_t i = 0; i < count; i++) {
    metrics->defs[metrics->count] = &table[i];
    metrics->slots[metrics->count] = metrics->slot_count;
    metrics->count++;
    metrics->slot_count += slots_of(&table[i]);
  }
  return 0;
}

/* Whole cache lines of its own: two threads' counters never share one. */
static struct gg_shard *make_shard(struct gg_metrics *metrics)
{
  struct gg_shard *shard = malloc(sizeof *shard);
  size_t bytes = (metrics->slot_count * sizeof(uint64_t) / CACHE_LINE + 1) * CACHE_LINE;
  void *values = shard ? aligned_alloc(CACHE_LINE, bytes) : NULL;
  if (!values) {
    free(shard);
    return NULL;
  }
  memset(values, 0, bytes);
  *shard = (struct gg_shard){.values = values, .metrics = metrics};
  return shard;
}

int gg_metrics_shard(struct gg_metrics *metrics, struct gg_shard **out)
{
  int rc = 0;
  pthread_mutex_lock(&metrics->lock);
  size_t count = atomic_load(&metrics->shard_count);
  if (count == GG_SHARDS_MAX) {
    rc = GG_ERR_LIMIT;
  } else if (!(metrics->shards[count] = make_shard(metrics))) {
    rc = GG_ERR_NOMEM;
  } else {
    *out = metrics->shards[count];
    atomic_store(&metrics->shard_count, count + 1);
  }
  pthread_mutex_unlock(&metrics->lock);
  return rc;
}

void gg_shard_observe(struct gg_shard *shard, size_t slot, uint64_t value_ns)
{
  uint64_t scaled = value_ns >> BUCKET_SHIFT;
  size_t bucket = scaled == 0 ? 0 : 64u - (size_t)__builtin_clzll(scaled);
  if (bucket >= GG_METRIC_BUCKETS)
    bucket = GG_METRIC_BUCKETS - 1;
  gg_shard_add(shard, slot + bucket, 1);
  gg_shard_add(shard, slot + GG_METRIC_BUCKETS, value_ns);
}

static uint64_t peek(const struct gg_shard *shard, size_t slot)
{
  return atomic_load_explicit(&shard->values[slot], memory_order_relaxed);
}

static void add_histogram(const struct gg_shard *shard, size_t slot, struct gg_reading *out)
{
  for (size_t i = 0; i < GG_METRIC_BUCKETS; i++) {
    uint64_t n = peek(shard, slot + i);
    out->buckets[i] += n;
    out->value += n;
  }
  out->sum += peek(shard, slot + GG_METRIC_BUCKETS);
}

int gg_metrics_read(const struct gg_metrics *metrics, size_t index, struct gg_reading *out)
{
  if (index >= metrics->count)
    return GG_ERR_NOT_FOUND;
  *out = (struct gg_reading){.def = metrics->defs[index]};
  size_t slot = metrics->slots[index];
  size_t shards = atomic_load(&metrics->shard_count);
  for (size_t i = 0; i < shards; i++) {
    const struct gg_shard *shard = metrics->shards[i];
    switch (out->def->kind) {
    case GG_METRIC_COUNTER:
    case GG_METRIC_GAUGE:
      out->value += peek(shard, slot);
      break;
    case GG_METRIC_HISTOGRAM:
      add_histogram(shard, slot, out);
      break;
    }
  }
  return 0;
}

static uint64_t bucket_edge(size_t bucket)
{
  return UINT64_C(1) << (bucket + BUCKET_SHIFT);
}

uint64_t gg_reading_percentile(const struct gg_reading *reading, unsigned percent)
{
  assert(percent <= 100);
  if (reading->value == 0)
    return 0;
  uint64_t rank = reading->value / 100 * percent + (reading->value % 100 * percent + 99) / 100;
  uint64_t below = 0;
  for (size_t i = 0; i < GG_METRIC_BUCKETS; i++) {
    below += reading->buckets[i];
    if (below >= rank && below > 0)
      return bucket_edge(i);
  }
  return bucket_edge(GG_METRIC_BUCKETS - 1);
}

static void write_reading(struct gg_json *json, const struct gg_reading *reading)
{
  if (reading->def->kind == GG_METRIC_GAUGE) {
    gg_json_field_signed(json, reading->def->name, (int64_t)reading->value);
    return;
  }
  if (reading->def->kind != GG_METRIC_HISTOGRAM) {
    gg_json_field_unsigned(json, reading->def->name, reading->value);
    return;
  }
  gg_json_key(json, reading->def->name);
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "count", reading->value);
  gg_json_field_unsigned(json, "sum", reading->sum);
  gg_json_field_unsigned(json, "p50", gg_reading_percentile(reading, 50));
  gg_json_field_unsigned(json, "p99", gg_reading_percentile(reading, 99));
  gg_json_field_unsigned(json, "max_bucket", gg_reading_percentile(reading, 100));
  gg_json_object_end(json);
}

char *gg_metrics_json(const struct gg_metrics *metrics)
{
  /* A name may grow sixfold by escaping; a histogram has five keys and numbers of at most 20 digits. */
  size_t size = 64;
  for (size_t i = 0; i < metrics->count; i++)
    size += 6 * strlen(metrics->defs[i]->name) + 256;
  char *text = malloc(size);
  if (!text)
    return NULL;
  struct gg_json json;
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  for (size_t i = 0; i < metrics->count; i++) {
    struct gg_reading reading;
    gg_metrics_read(metrics, i, &reading);
    write_reading(&json, &reading);
  }
  gg_json_object_end(&json);
  size_t length = gg_json_finish(&json);
  assert(length > 0);
  (void)length;
  return text;
}
