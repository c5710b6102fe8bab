/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "metric_named.h"
#include <gogetway/error.h>
#include <jansson.h>
#include <pthread.h>

enum { OPENED, NOW, LATENCY };
static const struct gg_metric_def table[] = {
  [OPENED] = {"sessions_opened", GG_METRIC_COUNTER, "Sessions that were opened."},
  [NOW] = {"sessions_now", GG_METRIC_GAUGE, "Sessions that are open."},
  [LATENCY] = {"write_latency_ns", GG_METRIC_HISTOGRAM, "How long writes took."},
};
static const struct gg_metric_def other[] = {{"stalls", GG_METRIC_COUNTER, "Stalls."}};

struct fixture {
  struct gg_metrics *metrics;
  size_t first;
  size_t second;
  struct gg_shard *a;
  struct gg_shard *b;
};

static void make(struct fixture *fixture)
{
  assert_int_equal(gg_metrics_create(&fixture->metrics), 0);
  assert_int_equal(gg_metrics_register(fixture->metrics, table, 3, &fixture->first), 0);
  assert_int_equal(gg_metrics_register(fixture->metrics, other, 1, &fixture->second), 0);
  assert_int_equal(gg_metrics_shard(fixture->metrics, &fixture->a), 0);
  assert_int_equal(gg_metrics_shard(fixture->metrics, &fixture->b), 0);
}

static void readings_add_the_shards(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_reading reading;
  make(&f);
  gg_shard_add(f.a, f.first + OPENED, 3);
  gg_shard_add(f.b, f.first + OPENED, 4);
  gg_shard_add(f.a, f.first + NOW, 2);
  gg_shard_sub(f.b, f.first + NOW, 1);
  gg_shard_set(f.b, f.second, 8);
  assert_true(metric_named(f.metrics, "sessions_opened", &reading));
  assert_int_equal(reading.value, 7);
  assert_ptr_equal(reading.def, &table[OPENED]);
  assert_true(metric_named(f.metrics, "sessions_now", &reading));
  assert_int_equal(reading.value, 1);
  assert_true(metric_named(f.metrics, "stalls", &reading));
  assert_int_equal(reading.value, 8);
  assert_int_equal(gg_metrics_read(f.metrics, 3, &reading), 0);
  assert_int_equal(gg_metrics_read(f.metrics, 4, &reading), GG_ERR_NOT_FOUND);
  gg_metrics_destroy(f.metrics);
}

static void histograms_have_edges(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_reading reading;
  make(&f);
  gg_shard_observe(f.a, f.first + LATENCY, 0);
  gg_shard_observe(f.a, f.first + LATENCY, 1023);
  gg_shard_observe(f.b, f.first + LATENCY, 1024);
  gg_shard_observe(f.b, f.first + LATENCY, 2047);
  gg_shard_observe(f.b, f.first + LATENCY, 2048);
  gg_shard_observe(f.b, f.first + LATENCY, UINT64_C(1) << 60);
  assert_true(metric_named(f.metrics, "write_latency_ns", &reading));
  assert_int_equal(reading.value, 6);
  assert_int_equal(reading.buckets[0], 2);
  assert_int_equal(reading.buckets[1], 2);
  assert_int_equal(reading.buckets[2], 1);
  assert_int_equal(reading.buckets[GG_METRIC_BUCKETS - 1], 1);
  assert_true(reading.sum == (UINT64_C(1) << 60) + 1023 + 1024 + 2047 + 2048);
  assert_int_equal(gg_reading_percentile(&reading, 0), 1024);
  assert_int_equal(gg_reading_percentile(&reading, 50), 2048);
  assert_int_equal(gg_reading_percentile(&reading, 70), 4096);
  assert_true(gg_reading_percentile(&reading, 100) == UINT64_C(1) << 37);
  gg_metrics_destroy(f.metrics);
}

static void wrong_registrations_are_refused(void **state)
{
  (void)state;
  static const struct gg_metric_def disordered[] = {{"h", GG_METRIC_HISTOGRAM, "."}, {"c", GG_METRIC_COUNTER, "."}};
  static const struct gg_metric_def twice[] = {{"c", GG_METRIC_COUNTER, "."}, {"c", GG_METRIC_COUNTER, "."}};
  struct gg_metrics *metrics;
  struct gg_shard *shard;
  size_t first;
  assert_int_equal(gg_metrics_create(&metrics), 0);
  assert_int_equal(gg_metrics_register(metrics, disordered, 2, &first), GG_ERR_INVALID);
  assert_int_equal(gg_metrics_register(metrics, twice, 2, &first), GG_ERR_INVALID);
  assert_int_equal(gg_metrics_register(metrics, table, 3, &first), 0);
  assert_int_equal(gg_metrics_register(metrics, table, 3, &first), GG_ERR_INVALID);
  for (size_t i = 0; i < GG_SHARDS_MAX; i++)
    assert_int_equal(gg_metrics_shard(metrics, &shard), 0);
  assert_int_equal(gg_metrics_shard(metrics, &shard), GG_ERR_LIMIT);
  assert_int_equal(gg_metrics_register(metrics, other, 1, &first), GG_ERR_INVALID);
  gg_metrics_destroy(metrics);
  gg_metrics_destroy(NULL);
}

static void json_is_read_by_another(void **state)
{
  (void)state;
  struct fixture f;
  make(&f);
  gg_shard_add(f.a, f.first + OPENED, UINT64_C(9007199254740993));
  gg_shard_sub(f.a, f.first + NOW, 5);
  gg_shard_observe(f.a, f.first + LATENCY, 5000);
  char *text = gg_metrics_json(f.metrics);
  assert_string_equal(text, "{\"sessions_opened\":9007199254740993,\"sessions_now\":-5,"
                            "\"write_latency_ns\":{\"count\":1,\"sum\":5000,\"p50\":8192,\"p99\":8192,"
                            "\"max_bucket\":8192},\"stalls\":0}");
  json_t *read = json_loads(text, 0, NULL);
  assert_non_null(read);
  json_decref(read);
  free(text);
  gg_metrics_destroy(f.metrics);
}

static void *count_up(void *context)
{
  struct gg_shard *shard = context;
  for (int i = 0; i < 100000; i++)
    gg_shard_add(shard, 0, 1);
  return NULL;
}

static void reading_while_others_count(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_reading reading;
  pthread_t a, b;
  uint64_t last = 0;
  make(&f);
  assert_int_equal(f.first, 0);
  assert_int_equal(pthread_create(&a, NULL, count_up, f.a), 0);
  assert_int_equal(pthread_create(&b, NULL, count_up, f.b), 0);
  for (int i = 0; i < 1000; i++) {
    gg_metrics_read(f.metrics, 0, &reading);
    assert_true(reading.value >= last);
    last = reading.value;
  }
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  gg_metrics_read(f.metrics, 0, &reading);
  assert_int_equal(reading.value, 200000);
  gg_metrics_destroy(f.metrics);
}

struct fetched {
  struct gg_metrics *metrics;
  struct gg_shard *shard;
  uint64_t calls;
};

static void fetch(void *context)
{
  struct fetched *fetched = context;
  gg_shard_set(fetched->shard, 0, ++fetched->calls * 10);
}

static void what_has_to_be_fetched_is_fetched_when_it_is_asked_for(void **state)
{
  (void)state;
  static const struct gg_metric_def one[] = {{"fetched", GG_METRIC_GAUGE, "fetched", NULL, NULL}};
  struct fetched fetched = {0};
  size_t first, length;
  assert_int_equal(gg_metrics_create(&fetched.metrics), 0);
  assert_int_equal(gg_metrics_register(fetched.metrics, one, 1, &first), 0);
  assert_int_equal(gg_metrics_shard(fetched.metrics, &fetched.shard), 0);
  assert_int_equal(gg_metrics_collector(fetched.metrics, fetch, &fetched), 0);
  char *text = gg_metrics_json(fetched.metrics);
  assert_string_equal(text, "{\"fetched\":10}");
  free(text);
  text = gg_metrics_text(fetched.metrics, &length);
  assert_non_null(strstr(text, "\ngogetway_fetched 20\n"));
  free(text);
  for (unsigned i = 1; i < GG_COLLECTORS_MAX; i++)
    assert_int_equal(gg_metrics_collector(fetched.metrics, fetch, &fetched), 0);
  assert_int_equal(gg_metrics_collector(fetched.metrics, fetch, &fetched), GG_ERR_LIMIT);
  gg_metrics_destroy(fetched.metrics);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(readings_add_the_shards),
    cmocka_unit_test(histograms_have_edges),
    cmocka_unit_test(wrong_registrations_are_refused),
    cmocka_unit_test(json_is_read_by_another),
    cmocka_unit_test(reading_while_others_count),
    cmocka_unit_test(what_has_to_be_fetched_is_fetched_when_it_is_asked_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
