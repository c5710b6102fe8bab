/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include "base/json.h"
#include <assert.h>
#include <gogetway/error.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BUCKET_SHIFT = 10, CACHE_LINE = 64 };

/* A family as it was registered, and where its members' slots are. The table of values has room for all places. */
struct family {
  struct gg_metric_family told;
  const char **values; /* told.values, to be written */
  size_t first;
  size_t stride;
};

struct gg_metrics {
  const struct gg_metric_def *defs[GG_METRICS_MAX];
  size_t slots[GG_METRICS_MAX]; /* where defs[i] begins in a shard */
  size_t count;
  size_t slot_count;
  struct family families[GG_FAMILIES_MAX];
  size_t family_count;
  pthread_mutex_t lock; /* making a shard, changing members; counting and reading what is unlabelled take none */
  struct gg_shard *shards[GG_SHARDS_MAX];
  _Atomic size_t shard_count; /* published after shards[shard_count - 1] is whole */
  struct {
    gg_collect_fn collect;
    void *context;
  } collectors[GG_COLLECTORS_MAX];
  size_t collector_count;
  pthread_mutex_t collecting;
};

int gg_metrics_create(struct gg_metrics **out)
{
  struct gg_metrics *metrics = calloc(1, sizeof *metrics);
  if (!metrics)
    return GG_ERR_NOMEM;
  pthread_mutex_init(&metrics->lock, NULL);
  pthread_mutex_init(&metrics->collecting, NULL);
  *out = metrics;
  return 0;
}

static void free_values(const char *const *values, size_t count)
{
  for (size_t i = 0; i < count; i++)
    free((void *)(uintptr_t)values[i]);
}

static size_t shard_bytes(const struct gg_metrics *metrics)
{
  return (metrics->slot_count * sizeof(uint64_t) / CACHE_LINE + 1) * CACHE_LINE;
}

void gg_metrics_destroy(struct gg_metrics *metrics)
{
  if (!metrics)
    return;
  for (size_t i = 0; i < metrics->family_count; i++) {
    struct family *family = &metrics->families[i];
    free_values(family->values, family->told.member_count * family->told.label_count);
    free(family->values);
  }
  for (size_t i = 0; i < atomic_load(&metrics->shard_count); i++) {
    munmap((void *)metrics->shards[i]->values, shard_bytes(metrics));
    free(metrics->shards[i]);
  }
  pthread_mutex_destroy(&metrics->lock);
  pthread_mutex_destroy(&metrics->collecting);
  free(metrics);
}

static size_t slots_of(const struct gg_metric_def *def)
{
  return def->kind == GG_METRIC_HISTOGRAM ? GG_METRIC_HISTOGRAM_SLOTS : 1;
}

static bool name_is_taken(const struct gg_metrics *metrics, const char *name)
{
  for (size_t i = 0; i < metrics->count; i++)
    if (strcmp(name, metrics->defs[i]->name) == 0)
      return true;
  for (size_t i = 0; i < metrics->family_count; i++)
    for (size_t j = 0; j < metrics->families[i].told.count; j++)
      if (strcmp(name, metrics->families[i].told.table[j].name) == 0)
        return true;
  return false;
}

/* Whether `def` may stand behind `before` under the same name: one metric, told apart by one label. */
static bool is_sibling(const struct gg_metric_def *def, const struct gg_metric_def *before)
{
  return def->label && before->label && strcmp(def->label, before->label) == 0 && def->kind == before->kind;
}

static bool names_are_sound(const struct gg_metric_def *table, size_t index)
{
  const struct gg_metric_def *def = &table[index];
  if (!def->label != !def->label_value)
    return false;
  for (size_t i = 0; i < index; i++) {
    const struct gg_metric_def *other = &table[i];
    if (strcmp(def->name, other->name) != 0)
      continue;
    if (strcmp(def->name, table[index - 1].name) != 0 || !is_sibling(def, other) ||
        strcmp(def->label_value, other->label_value) == 0)
      return false;
  }
  return true;
}

static bool table_is_sound(const struct gg_metrics *metrics, const struct gg_metric_def *table, size_t count)
{
  bool histograms = false;
  for (size_t i = 0; i < count; i++) {
    if (histograms && table[i].kind != GG_METRIC_HISTOGRAM)
      return false;
    histograms = table[i].kind == GG_METRIC_HISTOGRAM;
    if (!names_are_sound(table, i) || name_is_taken(metrics, table[i].name))
      return false;
  }
  return true;
}

static bool has_labels(const struct gg_metric_def *table, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (table[i].label)
      return true;
  return false;
}

int gg_metrics_register(struct gg_metrics *metrics, const struct gg_metric_def *table, size_t count, size_t *first)
{
  if (atomic_load(&metrics->shard_count) > 0 || has_labels(table, count) || !table_is_sound(metrics, table, count))
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

static bool members_are_alike(const struct gg_metric_family *family, size_t a, size_t b)
{
  for (size_t i = 0; i < family->label_count; i++)
    if (strcmp(family->values[a * family->label_count + i], family->values[b * family->label_count + i]) != 0)
      return false;
  return true;
}

static bool members_are_sound(const struct gg_metric_family *family)
{
  for (size_t i = 0; i < family->member_count; i++)
    for (size_t j = 0; j < i; j++)
      if (members_are_alike(family, i, j))
        return false;
  return true;
}

/* Copies the labels' values of `members` members. */
static int copy_values(const char **to, const char *const *from, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    to[i] = strdup(from[i]);
    if (!to[i]) {
      free_values(to, i);
      return GG_ERR_NOMEM;
    }
  }
  return 0;
}

int gg_metrics_register_family(struct gg_metrics *metrics, const struct gg_metric_family *family, size_t *first,
                               size_t *stride)
{
  size_t places = family->member_max > 0 ? family->member_max : family->member_count;
  if (metrics->family_count == GG_FAMILIES_MAX || places > GG_FAMILY_MEMBERS_MAX ||
      family->label_count > GG_FAMILY_LABELS_MAX || family->count > GG_METRICS_MAX)
    return GG_ERR_LIMIT;
  if (atomic_load(&metrics->shard_count) > 0 || family->member_count > places ||
      !table_is_sound(metrics, family->table, family->count) || !members_are_sound(family))
    return GG_ERR_INVALID;
  struct family *made = &metrics->families[metrics->family_count];
  *made = (struct family){.told = *family, .first = metrics->slot_count};
  made->values = calloc(places * family->label_count + 1, sizeof *made->values);
  if (!made->values || copy_values(made->values, family->values, family->member_count * family->label_count) != 0) {
    free(made->values);
    return GG_ERR_NOMEM;
  }
  made->told.values = made->values;
  made->told.member_max = places;
  for (size_t i = 0; i < family->count; i++)
    made->stride += slots_of(&family->table[i]);
  metrics->slot_count += made->stride * places;
  metrics->family_count++;
  *first = made->first;
  *stride = made->stride;
  return 0;
}

static struct family *family_at(struct gg_metrics *metrics, size_t first)
{
  for (size_t i = 0; i < metrics->family_count; i++)
    if (metrics->families[i].first == first && metrics->families[i].told.member_max > 0)
      return &metrics->families[i];
  return NULL;
}

static bool values_are_alike(const struct family *family, size_t member, const char *const *values)
{
  for (size_t i = 0; i < family->told.label_count; i++)
    if (strcmp(family->values[member * family->told.label_count + i], values[i]) != 0)
      return false;
  return true;
}

static void member_zero(struct gg_metrics *metrics, const struct family *family, size_t member)
{
  for (size_t i = 0; i < atomic_load(&metrics->shard_count); i++)
    for (size_t slot = 0; slot < family->stride; slot++)
      gg_shard_set(metrics->shards[i], family->first + member * family->stride + slot, 0);
}

/* Makes `member`, or makes it another. */
static int member_put(struct gg_metrics *metrics, struct family *family, size_t member, const char *const *values)
{
  size_t labels = family->told.label_count;
  for (size_t i = 0; i < family->told.member_count; i++)
    if (i != member && values_are_alike(family, i, values))
      return GG_ERR_INVALID;
  const char *copies[GG_FAMILY_LABELS_MAX];
  int error = copy_values(copies, values, labels);
  if (error)
    return error;
  pthread_mutex_lock(&metrics->lock);
  if (member == family->told.member_count) {
    family->told.member_count++; /* its slots are 0, and no memory yet */
  } else {
    free_values(family->values + member * labels, labels);
    member_zero(metrics, family, member);
  }
  memcpy(family->values + member * labels, copies, labels * sizeof *copies);
  pthread_mutex_unlock(&metrics->lock);
  return 0;
}

int gg_metrics_member_add(struct gg_metrics *metrics, size_t first, const char *const *values, size_t *member)
{
  struct family *family = family_at(metrics, first);
  if (!family)
    return GG_ERR_INVALID;
  if (family->told.member_count == family->told.member_max)
    return GG_ERR_LIMIT;
  *member = family->told.member_count;
  return member_put(metrics, family, *member, values);
}

int gg_metrics_member_replace(struct gg_metrics *metrics, size_t first, size_t member, const char *const *values)
{
  struct family *family = family_at(metrics, first);
  if (!family || member >= family->told.member_count)
    return GG_ERR_INVALID;
  return member_put(metrics, family, member, values);
}

bool gg_metrics_is_zero(const struct gg_metrics *metrics, size_t slot)
{
  size_t shards = atomic_load(&metrics->shard_count);
  for (size_t i = 0; i < shards; i++)
    if (atomic_load_explicit(&metrics->shards[i]->values[slot], memory_order_acquire) != 0)
      return false;
  return true;
}

int gg_metrics_collector(struct gg_metrics *metrics, gg_collect_fn collect, void *context)
{
  if (metrics->collector_count == GG_COLLECTORS_MAX)
    return GG_ERR_LIMIT;
  metrics->collectors[metrics->collector_count].collect = collect;
  metrics->collectors[metrics->collector_count].context = context;
  metrics->collector_count++;
  return 0;
}

void gg_metrics_collect(struct gg_metrics *metrics)
{
  pthread_mutex_lock(&metrics->collecting);
  for (size_t i = 0; i < metrics->collector_count; i++)
    metrics->collectors[i].collect(metrics->collectors[i].context);
  pthread_mutex_unlock(&metrics->collecting);
}

void gg_metrics_hold(struct gg_metrics *metrics)
{
  pthread_mutex_lock(&metrics->lock);
}

void gg_metrics_let_go(struct gg_metrics *metrics)
{
  pthread_mutex_unlock(&metrics->lock);
}

/* Whole pages of its own: two threads' counters never share a cache line, and untouched places cost no memory. */
static struct gg_shard *make_shard(struct gg_metrics *metrics)
{
  struct gg_shard *shard = malloc(sizeof *shard);
  if (!shard)
    return NULL;
  void *values =
    mmap(NULL, shard_bytes(metrics), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (values == MAP_FAILED) {
    free(shard);
    return NULL;
  }
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

static void read_slot(const struct gg_metrics *metrics, const struct gg_metric_def *def, size_t slot,
                      struct gg_reading *out)
{
  *out = (struct gg_reading){.def = def};
  size_t shards = atomic_load(&metrics->shard_count);
  for (size_t i = 0; i < shards; i++) {
    const struct gg_shard *shard = metrics->shards[i];
    switch (def->kind) {
    case GG_METRIC_COUNTER:
    case GG_METRIC_GAUGE:
      out->value += peek(shard, slot);
      break;
    case GG_METRIC_HISTOGRAM:
      add_histogram(shard, slot, out);
      break;
    }
  }
}

int gg_metrics_read(const struct gg_metrics *metrics, size_t index, struct gg_reading *out)
{
  if (index >= metrics->count)
    return GG_ERR_NOT_FOUND;
  read_slot(metrics, metrics->defs[index], metrics->slots[index], out);
  return 0;
}

const struct gg_metric_family *gg_metrics_family(const struct gg_metrics *metrics, size_t index)
{
  return index < metrics->family_count ? &metrics->families[index].told : NULL;
}

int gg_metrics_read_member(const struct gg_metrics *metrics, size_t family, size_t member, size_t index,
                           struct gg_reading *out)
{
  if (family >= metrics->family_count)
    return GG_ERR_NOT_FOUND;
  const struct family *of = &metrics->families[family];
  if (member >= of->told.member_count || index >= of->told.count)
    return GG_ERR_NOT_FOUND;
  size_t slot = of->first + member * of->stride;
  for (size_t i = 0; i < index; i++)
    slot += slots_of(&of->told.table[i]);
  read_slot(metrics, &of->told.table[index], slot, out);
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

char *gg_metrics_json(struct gg_metrics *metrics)
{
  gg_metrics_collect(metrics);
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
