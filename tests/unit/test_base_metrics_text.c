/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include <gogetway/error.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

enum { OPENED, WAITED, NOW, PART, TABLE };
static const struct gg_metric_def table[TABLE] = {
  [OPENED] = {.name = "opened", .kind = GG_METRIC_COUNTER, .help = "What was \"opened\"\\\nand so on"},
  [WAITED] = {.name = "waited_ns", .kind = GG_METRIC_COUNTER, .help = "Time that was waited"},
  [NOW] = {.name = "now_bytes", .kind = GG_METRIC_GAUGE, .help = "Bytes now"},
  [PART] = {.name = "part_ppm", .kind = GG_METRIC_GAUGE, .help = "Part"},
};

enum { CLIENT, SERVER, OPEN, LATENCY, FAMILY };
static const struct gg_metric_def family_table[FAMILY] = {
  [CLIENT] = {"route_bytes", GG_METRIC_COUNTER, "Bytes", "side", "client"},
  [SERVER] = {"route_bytes", GG_METRIC_COUNTER, "", "side", "server"},
  [OPEN] = {.name = "route_open", .kind = GG_METRIC_GAUGE, .help = "Open"},
  [LATENCY] = {.name = "route_latency_ns", .kind = GG_METRIC_HISTOGRAM, .help = "Latency"},
};
static const char *const labels[] = {"listener", "upstream"};

struct fixture {
  struct gg_metrics *metrics;
  struct gg_shard *a, *b;
  size_t first, family, stride;
};

static void make(struct fixture *f, const char *const *values, size_t members)
{
  const struct gg_metric_family family = {family_table, FAMILY, labels, 2, values, members, 0};
  assert_int_equal(gg_metrics_create(&f->metrics), 0);
  assert_int_equal(gg_metrics_register(f->metrics, table, TABLE, &f->first), 0);
  assert_int_equal(gg_metrics_register_family(f->metrics, &family, &f->family, &f->stride), 0);
  assert_int_equal(gg_metrics_shard(f->metrics, &f->a), 0);
  assert_int_equal(gg_metrics_shard(f->metrics, &f->b), 0);
}

static char *text_of(const struct fixture *f)
{
  size_t length = 0;
  char *text = gg_metrics_text(f->metrics, &length);
  assert_non_null(text);
  assert_int_equal(strlen(text), length);
  return text;
}

/* The value behind `series`, which must be there once, at the beginning of a line. */
static const char *sample(const char *text, const char *series)
{
  const char *found = NULL;
  for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
    if (strncmp(line, series, strlen(series)) == 0 && line[strlen(series)] == ' ') {
      assert_null(found);
      found = line + strlen(series) + 1;
    }
  if (!found)
    fail_msg("no %s in\n%s", series, text);
  return found;
}

static void assert_sample(const char *text, const char *series, const char *value)
{
  const char *found = sample(text, series);
  if (strncmp(found, value, strlen(value)) != 0 || found[strlen(value)] != '\n')
    fail_msg("%s is %.*s, not %s", series, (int)strcspn(found, "\n"), found, value);
}

static void names_units_and_texts(void **state)
{
  (void)state;
  struct fixture f;
  make(&f, (const char *const[]){""}, 0);
  gg_shard_add(f.a, f.first + OPENED, UINT64_C(9007199254740993));
  gg_shard_add(f.b, f.first + WAITED, UINT64_C(61050000000));
  gg_shard_sub(f.b, f.first + NOW, 5);
  gg_shard_set(f.b, f.first + PART, 350001);
  char *text = text_of(&f);
  assert_string_equal(text, "# HELP gogetway_opened_total What was \"opened\"\\\\\\nand so on\n"
                            "# TYPE gogetway_opened_total counter\n"
                            "gogetway_opened_total 9007199254740993\n"
                            "# HELP gogetway_waited_seconds_total Time that was waited\n"
                            "# TYPE gogetway_waited_seconds_total counter\n"
                            "gogetway_waited_seconds_total 61.05\n"
                            "# HELP gogetway_now_bytes Bytes now\n"
                            "# TYPE gogetway_now_bytes gauge\n"
                            "gogetway_now_bytes -5\n"
                            "# HELP gogetway_part_ratio Part\n"
                            "# TYPE gogetway_part_ratio gauge\n"
                            "gogetway_part_ratio 0.350001\n");
  free(text);
  gg_shard_set(f.b, f.first + PART, 1000000);
  text = text_of(&f);
  assert_sample(text, "gogetway_part_ratio", "1");
  free(text);
  gg_shard_set(f.b, f.first + PART, 50000);
  text = text_of(&f);
  assert_sample(text, "gogetway_part_ratio", "0.05");
  free(text);
  gg_metrics_destroy(f.metrics);
}

static void members_of_one_name_stand_together(void **state)
{
  (void)state;
  struct fixture f;
  make(&f, (const char *const[]){"web", "127.0.0.1:80", "pot", "none"}, 2);
  gg_shard_add(f.a, f.family + CLIENT, 1);
  gg_shard_add(f.b, f.family + CLIENT, 1);
  gg_shard_add(f.a, f.family + SERVER, 3);
  gg_shard_add(f.a, f.family + f.stride + CLIENT, 4);
  gg_shard_add(f.a, f.family + f.stride + OPEN, 5);
  gg_shard_sub(f.b, f.family + f.stride + OPEN, 7);
  char *text = text_of(&f);
  const char *group = strstr(text, "# HELP gogetway_route_bytes_total");
  const char *wanted = "# HELP gogetway_route_bytes_total Bytes\n"
                       "# TYPE gogetway_route_bytes_total counter\n"
                       "gogetway_route_bytes_total{listener=\"web\",upstream=\"127.0.0.1:80\",side=\"client\"} 2\n"
                       "gogetway_route_bytes_total{listener=\"web\",upstream=\"127.0.0.1:80\",side=\"server\"} 3\n"
                       "gogetway_route_bytes_total{listener=\"pot\",upstream=\"none\",side=\"client\"} 4\n"
                       "gogetway_route_bytes_total{listener=\"pot\",upstream=\"none\",side=\"server\"} 0\n"
                       "# HELP gogetway_route_open Open\n"
                       "# TYPE gogetway_route_open gauge\n"
                       "gogetway_route_open{listener=\"web\",upstream=\"127.0.0.1:80\"} 0\n"
                       "gogetway_route_open{listener=\"pot\",upstream=\"none\"} -2\n";
  assert_non_null(group);
  assert_memory_equal(group, wanted, strlen(wanted));
  struct gg_reading reading;
  assert_int_equal(gg_metrics_read_member(f.metrics, 0, 1, CLIENT, &reading), 0);
  assert_int_equal(reading.value, 4);
  assert_int_equal(gg_metrics_read_member(f.metrics, 0, 2, CLIENT, &reading), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_metrics_read_member(f.metrics, 0, 1, FAMILY, &reading), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_metrics_read_member(f.metrics, 1, 0, 0, &reading), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_metrics_read(f.metrics, TABLE, &reading), GG_ERR_NOT_FOUND);
  free(text);
  gg_metrics_destroy(f.metrics);
}

static void label_values_are_escaped(void **state)
{
  (void)state;
  struct fixture f;
  char volatile_name[] = "a\"b\\c\nd\xc3\xa9\xff{}=,";
  make(&f, (const char *const[]){volatile_name, ""}, 1);
  memset(volatile_name, '!', sizeof volatile_name - 1); /* the registry has a copy */
  char *text = text_of(&f);
  assert_sample(text, "gogetway_route_open{listener=\"a\\\"b\\\\c\\nd\xc3\xa9\xef\xbf\xbd{}=,\",upstream=\"\"}", "0");
  free(text);
  gg_metrics_destroy(f.metrics);
}

static void histograms_are_cumulative(void **state)
{
  (void)state;
  struct fixture f;
  static const char series[] = "gogetway_route_latency_seconds";
  static const char of[] = "{listener=\"web\",upstream=\"u\"";
  static const uint64_t values_ns[] = {0, 1023, 1024, 3000, 3000000, UINT64_C(1) << 36, UINT64_C(1) << 40};
  enum { VALUES = sizeof values_ns / sizeof values_ns[0] };
  make(&f, (const char *const[]){"web", "u"}, 1);
  for (size_t i = 0; i < VALUES; i++)
    gg_shard_observe(i % 2 ? f.a : f.b, f.family + LATENCY, values_ns[i]);
  char *text = text_of(&f), name[160], value[32];
  for (unsigned bit = 10; bit < 10 + GG_METRIC_BUCKETS - 1; bit++) {
    uint64_t edge_ns = UINT64_C(1) << bit, below = 0;
    for (size_t i = 0; i < VALUES; i++)
      below += values_ns[i] < edge_ns;
    char edge[40];
    snprintf(edge, sizeof edge, "%" PRIu64 ".%09" PRIu64, edge_ns / 1000000000, edge_ns % 1000000000);
    for (size_t last = strlen(edge) - 1; edge[last] == '0'; last--)
      edge[last] = '\0';
    snprintf(name, sizeof name, "%s_bucket%s,le=\"%s\"}", series, of, edge);
    snprintf(value, sizeof value, "%" PRIu64, below);
    assert_sample(text, name, value);
  }
  snprintf(name, sizeof name, "%s_bucket%s,le=\"+Inf\"}", series, of);
  assert_sample(text, name, "7");
  snprintf(name, sizeof name, "%s_count%s}", series, of);
  assert_sample(text, name, "7");
  snprintf(name, sizeof name, "%s_sum%s}", series, of);
  assert_sample(text, name, "1168.234109559");
  assert_non_null(strstr(text, "# TYPE gogetway_route_latency_seconds histogram\n"));
  assert_null(strstr(text, "le=\"137.438953472\"")); /* the last bucket has no edge */
  free(text);
  gg_metrics_destroy(f.metrics);
}

static void wrong_families_are_refused(void **state)
{
  (void)state;
  static const struct gg_metric_def apart[] = {{"x", GG_METRIC_COUNTER, "", "side", "a"},
                                               {"y", GG_METRIC_COUNTER, "", NULL, NULL},
                                               {"x", GG_METRIC_COUNTER, "", "side", "b"}};
  static const struct gg_metric_def twice[] = {{"x", GG_METRIC_COUNTER, "", "side", "a"},
                                               {"x", GG_METRIC_COUNTER, "", "side", "a"}};
  static const struct gg_metric_def kinds[] = {{"x", GG_METRIC_COUNTER, "", "side", "a"},
                                               {"x", GG_METRIC_GAUGE, "", "side", "b"}};
  static const struct gg_metric_def bare[] = {{"x", GG_METRIC_COUNTER, "", "side", "a"},
                                              {"x", GG_METRIC_COUNTER, "", NULL, NULL}};
  const char *const alike[] = {"web", "u", "web", "u"};
  const struct gg_metric_family wrong[] = {
    {apart, 3, labels, 2, alike, 1, 0}, {twice, 2, labels, 2, alike, 1, 0}, {kinds, 2, labels, 2, alike, 1, 0},
    {bare, 2, labels, 2, alike, 1, 0},  {table, 1, labels, 2, alike, 2, 0},
  };
  const struct gg_metric_family right = {family_table, FAMILY, labels, 2, alike, 1, 0};
  struct gg_metrics *metrics;
  size_t first, stride;
  assert_int_equal(gg_metrics_create(&metrics), 0);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    assert_int_equal(gg_metrics_register_family(metrics, &wrong[i], &first, &stride), GG_ERR_INVALID);
  assert_int_equal(gg_metrics_register(metrics, apart, 1, &first), GG_ERR_INVALID); /* a label outside a family */
  assert_int_equal(gg_metrics_register_family(metrics, &right, &first, &stride), 0);
  assert_int_equal(gg_metrics_register_family(metrics, &right, &first, &stride), GG_ERR_INVALID);
  struct gg_metric_family large = right;
  large.member_count = GG_FAMILY_MEMBERS_MAX + 1;
  assert_int_equal(gg_metrics_register_family(metrics, &large, &first, &stride), GG_ERR_LIMIT);
  gg_metrics_destroy(metrics);
}

static void members_come_and_are_replaced(void **state)
{
  (void)state;
  const char *const one[] = {"web", "a"}, *const two[] = {"web", "b"}, *const three[] = {"web", "c"};
  const struct gg_metric_family family = {family_table, FAMILY, labels, 2, one, 1, 2};
  struct gg_metrics *metrics;
  struct gg_shard *shard;
  size_t first, stride, member;
  assert_int_equal(gg_metrics_create(&metrics), 0);
  assert_int_equal(gg_metrics_register_family(metrics, &family, &first, &stride), 0);
  assert_int_equal(gg_metrics_shard(metrics, &shard), 0);
  assert_int_equal(gg_metrics_member_add(metrics, first, one, &member), GG_ERR_INVALID); /* is there */
  assert_int_equal(gg_metrics_member_add(metrics, first + 1, two, &member), GG_ERR_INVALID);
  assert_int_equal(gg_metrics_member_add(metrics, first, two, &member), 0);
  assert_int_equal(member, 1);
  gg_shard_add(shard, first + OPEN, 7);
  gg_shard_add(shard, first + stride + OPEN, 9);
  gg_shard_observe(shard, first + stride + LATENCY, 5);
  assert_int_equal(gg_metrics_member_add(metrics, first, three, &member), GG_ERR_LIMIT);
  assert_int_equal(gg_metrics_member_replace(metrics, first, 2, three), GG_ERR_INVALID);
  assert_int_equal(gg_metrics_member_replace(metrics, first, 1, one), GG_ERR_INVALID);
  assert_false(gg_metrics_is_zero(metrics, first + stride + OPEN));
  assert_int_equal(gg_metrics_member_replace(metrics, first, 1, three), 0);
  assert_true(gg_metrics_is_zero(metrics, first + stride + OPEN));
  const struct fixture f = {.metrics = metrics};
  char *text = text_of(&f);
  assert_sample(text, "gogetway_route_open{listener=\"web\",upstream=\"a\"}", "7");
  assert_sample(text, "gogetway_route_open{listener=\"web\",upstream=\"c\"}", "0");
  assert_sample(text, "gogetway_route_latency_seconds_count{listener=\"web\",upstream=\"c\"}", "0");
  assert_null(strstr(text, "upstream=\"b\""));
  free(text);
  gg_metrics_destroy(metrics);
}

static void *read_on(void *context)
{
  struct gg_metrics *metrics = context;
  for (unsigned i = 0; i < 200; i++) {
    size_t length;
    char *text = gg_metrics_text(metrics, &length);
    if (!text || !strstr(text, "upstream=\"u"))
      return context;
    free(text);
  }
  return NULL;
}

static void members_are_replaced_while_others_read(void **state)
{
  (void)state;
  const char *values[] = {"web", "u"};
  const struct gg_metric_family family = {family_table, FAMILY, labels, 2, values, 1, 32};
  struct gg_metrics *metrics;
  struct gg_shard *shard;
  size_t first, stride, member;
  pthread_t thread;
  void *wrong = NULL;
  assert_int_equal(gg_metrics_create(&metrics), 0);
  assert_int_equal(gg_metrics_register_family(metrics, &family, &first, &stride), 0);
  assert_int_equal(gg_metrics_shard(metrics, &shard), 0);
  assert_int_equal(pthread_create(&thread, NULL, read_on, metrics), 0);
  for (unsigned i = 0; i < 500; i++) {
    char name[16];
    snprintf(name, sizeof name, "u%u", i);
    values[1] = name;
    if (i < 31)
      assert_int_equal(gg_metrics_member_add(metrics, first, values, &member), 0);
    else
      assert_int_equal(gg_metrics_member_replace(metrics, first, i % 31, values), 0);
  }
  pthread_join(thread, &wrong);
  assert_null(wrong);
  gg_metrics_destroy(metrics);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names_units_and_texts),
    cmocka_unit_test(members_of_one_name_stand_together),
    cmocka_unit_test(label_values_are_escaped),
    cmocka_unit_test(histograms_are_cumulative),
    cmocka_unit_test(wrong_families_are_refused),
    cmocka_unit_test(members_come_and_are_replaced),
    cmocka_unit_test(members_are_replaced_while_others_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
