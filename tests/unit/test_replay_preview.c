/* SPDX-License-Identifier: Apache-2.0 */
/* What a dry run says, held against a count by brute force. */
#include "base/clock.h"
#include "replay/preview.h"
#include "replay/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SESSIONS_MAX = 60, BEGINS_MAX = SESSIONS_MAX * 4 * 4 };
#define RECORDED_NS UINT64_C(1700000000000000000)
#define MANY 100000

static struct gg_script_session sessions[SESSIONS_MAX];
static size_t session_count;
static uint64_t seed;
static struct gg_replay_options options;
static struct gg_timing timing;
static struct gg_replay_plan plan;

static uint64_t below(uint64_t n)
{
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return n ? seed % n : 0;
}

static size_t op_count(const struct gg_script *script)
{
  (void)script;
  return session_count;
}

static void op_session(const struct gg_script *script, size_t index, struct gg_script_session *out)
{
  (void)script;
  *out = sessions[index];
}

static const struct gg_script_ops ops = {.count = op_count, .session = op_session};
static struct gg_script script = {&ops};

static void begin(size_t count)
{
  memset(sessions, 0, sizeof sessions);
  session_count = count;
  options = (struct gg_replay_options)GG_REPLAY_OPTIONS_INIT;
}

static void preview(uint32_t connections_max)
{
  uint64_t verdicts[GG_REPLAY_VERDICTS] = {0};
  gg__scheduler_survey(&script, &options, &timing, verdicts);
  assert_int_equal(gg__preview(&script, &options, &timing, connections_max, &plan, NULL), 0);
}

static void session(size_t index, uint64_t from_s, uint64_t to_s)
{
  sessions[index].start_ns = RECORDED_NS + from_s * GG_NS_PER_S;
  sessions[index].end_ns = RECORDED_NS + to_s * GG_NS_PER_S;
  sessions[index].chunks = 4;
  sessions[index].dependent = 3;
  sessions[index].bytes[GG_SIDE_CLIENT] = 100;
  sessions[index].bytes[GG_SIDE_SERVER] = 1000;
}

static void sums_count_what_is_played_and_name_what_is_not(void **state)
{
  (void)state;
  begin(5);
  for (size_t i = 0; i < 5; i++)
    session(i, i, i + 2);
  sessions[1].opaque = "TLS";
  sessions[1].gaps = 1; /* opaque all the same, and no other */
  sessions[2].gaps = 1;
  sessions[3].beginning_missing = true;
  options.copies = 3;
  options.loops = 2;
  preview(MANY);
  assert_int_equal(plan.sessions, 5);
  assert_int_equal(plan.opaque, 1);
  assert_int_equal(plan.partial, 2);
  assert_int_equal(plan.played, 2);
  assert_int_equal(plan.connections, 12);
  assert_int_equal(plan.chunks, 48);
  assert_int_equal(plan.chunks_dependent, 36);
  assert_int_equal(plan.bytes, 1200);
  assert_int_equal(plan.bytes_expected, 12000);
  assert_true(plan.duration_ns == 12 * GG_NS_PER_S);
  options.include_partial = true;
  preview(MANY);
  assert_int_equal(plan.played, 4);
  assert_int_equal(plan.partial, 2);
}

static void the_peak_is_of_what_overlaps(void **state)
{
  (void)state;
  begin(4);
  session(0, 0, 10);
  session(1, 1, 2);
  session(2, 2, 3); /* begins when the one before has ended */
  session(3, 9, 12);
  preview(MANY);
  assert_int_equal(plan.connections_peak, 2);
  options.copies = 100;
  preview(MANY);
  assert_int_equal(plan.connections_peak, 200);
  preview(150);
  assert_int_equal(plan.connections_peak, 150);
  options.copies = 1;
  options.speed_percent = 0;
  preview(MANY);
  assert_int_equal(plan.connections_peak, 4); /* all at once */
  assert_int_equal(plan.duration_ns, 0);
  options.loops = 1000;
  preview(MANY);
  assert_int_equal(plan.connections_peak, 4000);
  options.speed_percent = 100;
  preview(MANY);
  assert_int_equal(plan.connections_peak, 2); /* one loop begins when the one before has ended */
  assert_true(plan.duration_ns == 12000 * GG_NS_PER_S);
}

static void a_rate_has_an_overlap_of_its_own(void **state)
{
  (void)state;
  begin(10);
  for (size_t i = 0; i < 10; i++)
    session(i, i * 100, i * 100 + 10);
  options.rate = 2;
  options.loops = 3;
  preview(MANY);
  assert_int_equal(plan.connections_peak, 20); /* ten seconds of two a second */
  assert_true(plan.duration_ns == 24500 * GG_NS_PER_S / 1000);
}

static void sums_stay_at_the_most_there_can_be(void **state)
{
  (void)state;
  begin(2);
  session(0, 0, 1);
  session(1, 0, 1);
  sessions[0].bytes[GG_SIDE_CLIENT] = UINT64_C(1) << 30; /* a gigabyte a million times a million times */
  sessions[0].bytes[GG_SIDE_SERVER] = sessions[1].bytes[GG_SIDE_SERVER] = UINT64_MAX - 5;
  sessions[1].chunks = UINT64_C(1) << 40;
  options.copies = options.loops = 1000000;
  preview(1);
  assert_true(plan.connections == UINT64_C(2000000000000));
  assert_true(plan.bytes == UINT64_MAX);
  assert_true(plan.bytes_expected == UINT64_MAX);
  assert_true(plan.chunks == UINT64_MAX);
  assert_true(plan.chunks_dependent == UINT64_C(6000000000000));
}

static void nothing_is_no_trouble(void **state)
{
  (void)state;
  begin(0);
  preview(1);
  assert_int_equal(plan.sessions, 0);
  assert_int_equal(plan.connections_peak, 0);
  begin(1);
  session(0, 0, 1);
  sessions[0].opaque = "SSH";
  options.loops = 1000000;
  preview(1);
  assert_int_equal(plan.connections, 0);
  assert_int_equal(plan.connections_peak, 0);
}

struct life {
  uint64_t from_ns, to_ns;
};

static void random_plans_have_the_peak_that_counting_finds(void **state)
{
  (void)state;
  static struct life lives[BEGINS_MAX];
  seed = 88172645463325252;
  for (unsigned round = 0; round < 300; round++) {
    begin(1 + below(SESSIONS_MAX));
    uint64_t at_s = 0;
    for (size_t i = 0; i < session_count; i++) {
      at_s += below(5);
      session(i, at_s, at_s + below(30));
      if (below(8) == 0)
        sessions[i].opaque = "TLS";
    }
    options.speed_percent = (uint32_t)(1 + below(1000));
    options.rate = below(2) ? (uint32_t)below(5) : 0;
    options.ramp_ns = below(2) ? below(60 * GG_NS_PER_S) : 0;
    options.loops = (uint32_t)(1 + below(4));
    options.copies = (uint32_t)(1 + below(4));
    uint32_t most = (uint32_t)(1 + below(60));
    preview(most);
    size_t count = 0;
    uint64_t peak = 0, last_ns = 0;
    for (uint64_t loop = 0; loop < options.loops; loop++)
      for (size_t i = 0, number = 0; i < session_count; i++) {
        if (sessions[i].opaque)
          continue;
        uint64_t from_ns = gg__timing_start(&timing, loop, number++, sessions[i].start_ns);
        uint64_t to_ns = from_ns + gg__timing_span(&timing, sessions[i].end_ns - sessions[i].start_ns);
        lives[count++] = (struct life){from_ns, to_ns};
        last_ns = to_ns > last_ns ? to_ns : last_ns;
      }
    for (size_t i = 0; i < count; i++) {
      uint64_t open = 1; /* itself, and those before it that live on */
      for (size_t k = 0; k < i; k++)
        open += lives[k].to_ns > lives[i].from_ns;
      peak = open > peak ? open : peak;
    }
    peak *= options.copies;
    assert_int_equal(plan.connections_peak, peak < most ? peak : most);
    assert_true(plan.duration_ns <= last_ns && (options.loops > 1 || plan.duration_ns == last_ns));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(sums_count_what_is_played_and_name_what_is_not),
    cmocka_unit_test(the_peak_is_of_what_overlaps),
    cmocka_unit_test(a_rate_has_an_overlap_of_its_own),
    cmocka_unit_test(sums_stay_at_the_most_there_can_be),
    cmocka_unit_test(nothing_is_no_trouble),
    cmocka_unit_test(random_plans_have_the_peak_that_counting_finds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
