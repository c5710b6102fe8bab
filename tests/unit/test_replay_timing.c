/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/timing.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { HOUR_S = 3600 };

#define FIRST_NS UINT64_C(1700000000123456789)
#define HOUR_NS (HOUR_S * GG_NS_PER_S)
#define LATEST_NS (UINT64_MAX / 2)

static struct gg_timing timing_of(uint32_t speed_percent)
{
  return (struct gg_timing){
    .speed_percent = speed_percent, .first_ns = FIRST_NS, .span_ns = HOUR_NS + 7, .sessions = 1000};
}

static void every_time_of_an_hour_is_scaled_exactly(void **state)
{
  (void)state;
  static const struct {
    uint32_t percent, times, divided_by;
  } speeds[] = {{10, 10, 1}, {100, 1, 1}, {1000, 1, 10}, {10000, 1, 100}, {1, 100, 1}, {100000, 1, 1000}};
  for (size_t s = 0; s < sizeof speeds / sizeof speeds[0]; s++) {
    struct gg_timing timing = timing_of(speeds[s].percent);
    for (uint64_t recorded = 0; recorded <= HOUR_NS; recorded += GG_NS_PER_S / 7 + 1) {
      uint64_t exact = recorded * speeds[s].times / speeds[s].divided_by;
      assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS + recorded) == exact);
      assert_true(gg__timing_span(&timing, recorded) == exact);
    }
  }
}

static void an_odd_speed_is_rounded_once_and_not_added_up(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(33);
  /* The sum of rounded parts would be 3,600 times a third of a nanosecond short. */
  assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS + HOUR_NS) == HOUR_NS * 100 / 33);
  assert_true(gg__timing_span(&timing, 1) == 3);
  assert_true(gg__timing_span(&timing, 33) == 100);
}

static void loops_follow_each_other_without_drift(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(1000);
  uint64_t loops = 1000003;
  unsigned __int128 exact = (unsigned __int128)loops * timing.span_ns / 10;
  assert_true(gg__timing_start(&timing, loops, 0, FIRST_NS) == (uint64_t)exact);
  assert_true(gg__timing_total(&timing, loops) == (uint64_t)exact);
  assert_true(gg__timing_start(&timing, 1, 0, FIRST_NS + 20) == (timing.span_ns + 20) / 10);
}

static void what_is_recorded_before_the_first_is_due_at_once(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(100);
  assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS - 5) == 0);
}

static void as_fast_as_possible_everything_is_due_at_once(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(0);
  timing.ramp_ns = GG_NS_PER_S;
  assert_true(gg__timing_start(&timing, 5, 999, FIRST_NS + HOUR_NS) == 0);
  assert_true(gg__timing_span(&timing, HOUR_NS) == 0);
  assert_true(gg__timing_total(&timing, 5) == 0);
}

static void a_rate_gives_the_starts_and_the_speed_the_rest(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(0);
  timing.rate = 7;
  timing.sessions = 10;
  assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS + 12345) == 0);
  assert_true(gg__timing_start(&timing, 0, 7, FIRST_NS) == GG_NS_PER_S);
  assert_true(gg__timing_start(&timing, 0, 8, FIRST_NS) == GG_NS_PER_S * 8 / 7);
  assert_true(gg__timing_start(&timing, 7 * 360, 0, FIRST_NS) == HOUR_NS); /* the seventieth of so many seconds */
  assert_true(gg__timing_total(&timing, 7) == 10 * GG_NS_PER_S);
  assert_true(gg__timing_span(&timing, 1000) == 0);
  timing.speed_percent = 200;
  assert_true(gg__timing_start(&timing, 0, 7, FIRST_NS) == GG_NS_PER_S);
  assert_true(gg__timing_span(&timing, 1000) == 500);
}

static void a_ramp_doubles_what_is_in_it_and_only_shifts_the_rest(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(100);
  uint64_t ramp = 10 * GG_NS_PER_S;
  timing.ramp_ns = ramp;
  assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS) == 0);
  assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS + ramp / 8) == ramp / 2); /* r*r / (2*ramp) */
  assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS + ramp / 2) == ramp);
  assert_true(gg__timing_start(&timing, 0, 0, FIRST_NS + HOUR_NS) == HOUR_NS + ramp / 2);
  assert_true(gg__timing_span(&timing, ramp / 8) == ramp / 8); /* within a session time is not bent */
  assert_true(gg__timing_total(&timing, 1) == timing.span_ns + ramp / 2);
}

static void a_ramp_never_turns_the_order(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(100);
  static const uint64_t ramps[] = {1, 2, 3, 99, 1000, 4095};
  for (size_t i = 0; i < sizeof ramps / sizeof ramps[0]; i++) {
    timing.ramp_ns = ramps[i];
    uint64_t before = 0;
    for (uint64_t p = 0; p < 2 * ramps[i] + 10; p++) {
      uint64_t at = gg__timing_start(&timing, 0, 0, FIRST_NS + p);
      assert_true(at >= before && at >= p);
      if (at <= ramps[i]) { /* the largest r with r*r <= 2*ramp*p */
        assert_true(at * at <= 2 * ramps[i] * p || 2 * p > ramps[i]);
        assert_true((at + 1) * (at + 1) > 2 * ramps[i] * p);
      }
      before = at;
    }
  }
}

static void far_times_saturate(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(1);
  assert_true(gg__timing_span(&timing, UINT64_MAX) == LATEST_NS);
  assert_true(gg__timing_start(&timing, UINT32_MAX, 0, UINT64_MAX) == LATEST_NS);
  assert_true(gg__timing_total(&timing, UINT64_MAX) == LATEST_NS);
  timing.ramp_ns = UINT64_MAX;
  assert_true(gg__timing_start(&timing, 0, 0, UINT64_MAX) == LATEST_NS);
  timing.rate = 1;
  assert_true(gg__timing_start(&timing, UINT32_MAX, UINT32_MAX, 0) == LATEST_NS);
}

static void connections_grow_from_one_to_all(void **state)
{
  (void)state;
  struct gg_timing timing = timing_of(0);
  assert_int_equal(gg__timing_connections(&timing, 0, 1000), 1000);
  timing.ramp_ns = GG_NS_PER_S;
  assert_int_equal(gg__timing_connections(&timing, 0, 101), 1);
  assert_int_equal(gg__timing_connections(&timing, GG_NS_PER_S / 2, 101), 51);
  assert_int_equal(gg__timing_connections(&timing, GG_NS_PER_S - 1, 101), 100);
  assert_int_equal(gg__timing_connections(&timing, GG_NS_PER_S, 101), 101);
  assert_int_equal(gg__timing_connections(&timing, UINT64_MAX, 101), 101);
  assert_int_equal(gg__timing_connections(&timing, 0, 1), 1);
  timing.ramp_ns = 1000003;
  for (uint32_t n = 1; n <= 101; n++) {
    uint64_t at = gg__timing_connections_at(&timing, n, 101);
    assert_int_equal(gg__timing_connections(&timing, at, 101), n);
    assert_true(at == 0 || gg__timing_connections(&timing, at - 1, 101) == n - 1);
  }
  assert_int_equal(gg__timing_connections_at(&timing, 1, 1), 0);
  timing.speed_percent = 100; /* it is the starts that the ramp bends then */
  assert_int_equal(gg__timing_connections(&timing, 0, 101), 101);
  assert_int_equal(gg__timing_connections_at(&timing, 101, 101), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_time_of_an_hour_is_scaled_exactly),
    cmocka_unit_test(an_odd_speed_is_rounded_once_and_not_added_up),
    cmocka_unit_test(loops_follow_each_other_without_drift),
    cmocka_unit_test(what_is_recorded_before_the_first_is_due_at_once),
    cmocka_unit_test(as_fast_as_possible_everything_is_due_at_once),
    cmocka_unit_test(a_rate_gives_the_starts_and_the_speed_the_rest),
    cmocka_unit_test(a_ramp_doubles_what_is_in_it_and_only_shifts_the_rest),
    cmocka_unit_test(a_ramp_never_turns_the_order),
    cmocka_unit_test(far_times_saturate),
    cmocka_unit_test(connections_grow_from_one_to_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
