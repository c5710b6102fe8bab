/* SPDX-License-Identifier: Apache-2.0 */
/* The histogram against the sorted values themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "replay/histogram.h"

#define TOP (UINT64_C(1) << 42)

static uint64_t seed;

static uint64_t next_random(void)
{
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static int by_value(const void *a, const void *b)
{
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}

/* What was asked for is told exactly or too large by less than a thousandth. */
static void assert_near(uint64_t got, uint64_t exact)
{
  if (got < exact || (double)(got - exact) > (double)exact / 1000)
    fail_msg("%llu for %llu", (unsigned long long)got, (unsigned long long)exact);
}

static void random_values_as_sorted(void **state)
{
  (void)state;
  enum { VALUES = 20011 };
  uint64_t *values = calloc(VALUES, sizeof *values);
  assert_non_null(values);
  for (unsigned round = 0; round < 8; round++) {
    struct gg_histogram histogram;
    seed = 1000 + round;
    assert_int_equal(gg__histogram_init(&histogram), 0);
    double sum = 0;
    for (size_t i = 0; i < VALUES; i++) {
      unsigned bits = round < 4 ? 10 * (round + 1) : (unsigned)(next_random() % 42) + 1;
      values[i] = next_random() & ((UINT64_C(1) << bits) - 1);
      sum += (double)values[i];
      gg__histogram_add(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof *values, by_value);
    for (unsigned permille = 0; permille <= 1000; permille++) {
      size_t rank = ((size_t)VALUES * permille + 999) / 1000;
      assert_near(gg__histogram_at(&histogram, permille), values[rank ? rank - 1 : 0]);
    }
    struct gg_replay_percentiles got;
    gg__histogram_percentiles(&histogram, &got);
    assert_int_equal(got.count, VALUES);
    assert_true(got.max_ns == values[VALUES - 1]);
    assert_near(got.p50_ns, values[(VALUES * 500 + 999) / 1000 - 1]);
    assert_near(got.p90_ns, values[(VALUES * 900 + 999) / 1000 - 1]);
    assert_near(got.p99_ns, values[(VALUES * 990 + 999) / 1000 - 1]);
    assert_near(got.p999_ns, values[(VALUES * 999 + 999) / 1000 - 1]);
    double off = (double)got.mean_ns - sum / VALUES;
    assert_true(off <= 1 && off >= -1 - sum / VALUES / 1e9);
    gg__histogram_fini(&histogram);
  }
  free(values);
}

/* Each value alone with a larger one, so that the maximum does not help: the edge of its bucket is seen. */
static uint64_t seen_as(uint64_t value)
{
  struct gg_histogram histogram;
  assert_int_equal(gg__histogram_init(&histogram), 0);
  gg__histogram_add(&histogram, value);
  gg__histogram_add(&histogram, UINT64_MAX);
  uint64_t got = gg__histogram_at(&histogram, 500);
  gg__histogram_fini(&histogram);
  return got;
}

static void edges_of_buckets(void **state)
{
  (void)state;
  assert_true(seen_as(0) == 0);
  assert_true(seen_as(1) == 1);
  assert_true(seen_as(2047) == 2047);
  assert_true(seen_as(2048) == 2049); /* two values a bucket from here on */
  assert_true(seen_as(2049) == 2049);
  assert_true(seen_as(2050) == 2051);
  assert_true(seen_as(4095) == 4095);
  assert_true(seen_as(4096) == 4099);
  assert_true(seen_as(TOP / 2 - 1) == TOP / 2 - 1);
  assert_true(seen_as(TOP / 2) == TOP / 2 + TOP / 2048 - 1);
  assert_true(seen_as(TOP - 1 - TOP / 2048) == TOP - 1 - TOP / 2048);
  for (unsigned bit = 0; bit < 42; bit++) /* no value is told too small, around every power of two */
    for (int around = -1; around <= 1; around++) {
      uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)around;
      if (value < TOP - TOP / 2048)
        assert_near(seen_as(value), value);
    }
}

static void beyond_the_last_bucket(void **state)
{
  (void)state;
  static const uint64_t large[] = {TOP - 1, TOP, TOP + 1, UINT64_MAX};
  for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
    struct gg_histogram histogram;
    struct gg_replay_percentiles got;
    assert_int_equal(gg__histogram_init(&histogram), 0);
    gg__histogram_add(&histogram, large[i]);
    gg__histogram_percentiles(&histogram, &got);
    assert_int_equal(got.count, 1);
    assert_true(got.max_ns == large[i]);
    assert_true(got.p50_ns == large[i] && got.p999_ns == large[i]);
    assert_true(got.mean_ns <= got.max_ns);
    gg__histogram_fini(&histogram);
  }
}

static void few_values(void **state)
{
  (void)state;
  struct gg_histogram histogram;
  struct gg_replay_percentiles got;
  assert_int_equal(gg__histogram_init(&histogram), 0);
  gg__histogram_percentiles(&histogram, &got);
  assert_int_equal(got.count, 0);
  assert_true(got.mean_ns == 0 && got.p50_ns == 0 && got.p999_ns == 0 && got.max_ns == 0);
  assert_true(gg__histogram_at(&histogram, 1000) == 0);

  gg__histogram_add(&histogram, 0);
  gg__histogram_percentiles(&histogram, &got);
  assert_int_equal(got.count, 1);
  assert_true(got.p50_ns == 0 && got.max_ns == 0);

  gg__histogram_add(&histogram, 100);
  gg__histogram_add(&histogram, 200);
  gg__histogram_percentiles(&histogram, &got);
  assert_true(got.p50_ns == 100 && got.p90_ns == 200 && got.p999_ns == 200 && got.max_ns == 200 && got.mean_ns == 100);
  assert_true(gg__histogram_at(&histogram, 0) == 0);
  assert_true(gg__histogram_at(&histogram, 333) == 0);
  assert_true(gg__histogram_at(&histogram, 334) == 100);
  assert_true(gg__histogram_at(&histogram, 1000) == 200);
  gg__histogram_fini(&histogram);
  gg__histogram_fini(&histogram); /* twice is fine */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(random_values_as_sorted),
    cmocka_unit_test(edges_of_buckets),
    cmocka_unit_test(beyond_the_last_bucket),
    cmocka_unit_test(few_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
