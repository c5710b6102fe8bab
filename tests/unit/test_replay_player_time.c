/* SPDX-License-Identifier: Apache-2.0 */
/* When a player sends: deadlines, think times, speeds, a process that stood, and level bytes. */
#include "replay_checks.h"

/* ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* 100,000 chunks of a session, 100 us apart, on a clock whose timers are up to a millisecond late now and then: each
 * chunk's time follows from the recording alone. */
static void check_deadlines(uint32_t speed_percent)
{
  enum { CHUNKS = 100000, STEP_NS = 100 * 1000 };
  fake.options.level = GG_REPLAY_BYTES;
  fake.stage->timing.speed_percent = speed_percent;
  for (unsigned i = 0; i < CHUNKS; i++)
    fake_payload(&fake, GG_STEP_SEND, (uint64_t)i * STEP_NS, "x", 1, true);
  fake_step_ns(&fake, GG_STEP_OVER, (uint64_t)CHUNKS * STEP_NS);
  begin(0);
  unsigned late = 0;
  while (fake.overs == 0) {
    if (++late % 97 == 0) /* the process was not run in time */
      fake.now_ns = fake.timer_ns + 999 * 1000;
    fake_run_ns(&fake, fake.timer_ns);
  }
  assert_int_equal(fake.outgoing_bytes, CHUNKS);
  uint64_t worst_ns = 0;
  unsigned exact = 0;
  for (unsigned i = 0; i < CHUNKS; i++) {
    uint64_t due_ns = (uint64_t)i * STEP_NS * 100 / speed_percent;
    assert_true(fake.sends[i].at_ns >= due_ns);
    uint64_t off_ns = fake.sends[i].at_ns - due_ns;
    worst_ns = off_ns > worst_ns ? off_ns : worst_ns;
    exact += off_ns <= 1;
  }
  assert_true(worst_ns <= 1100 * 1000 && exact > CHUNKS / 100); /* and the last one is as exact as the first: */
  assert_true(fake.sends[CHUNKS - 1].at_ns - (uint64_t)(CHUNKS - 1) * STEP_NS * 100 / speed_percent <= 1100 * 1000);
  check_equal();
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_TIME], CHUNKS - 1);
}

static void test_deadlines_at_a_tenth(void **state)
{
  (void)state;
  check_deadlines(10);
}

static void test_deadlines_as_recorded(void **state)
{
  (void)state;
  check_deadlines(100);
}

static void test_deadlines_ten_times_as_fast(void **state)
{
  (void)state;
  check_deadlines(1000);
}

static void test_deadlines_a_hundred_times_as_fast(void **state)
{
  (void)state;
  check_deadlines(10000);
}

static void test_think_times_are_divided_by_the_speed(void **state)
{
  (void)state;
  fake.stage->timing.speed_percent = 1000;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 30, "reply");
  fake_run(&fake, 31);
  check_sent_at(4, 31 * FAKE_MS); /* 10 ms of thinking, ten times as fast */
}

static void test_as_fast_as_possible_waits_for_replies_only(void **state)
{
  (void)state;
  fake.stage->timing.speed_percent = 0;
  record_dialog("reply", "other");
  begin(2);
  check_sent("ONE\n");
  fake_says(&fake, 300, "rep");
  fake_says(&fake, 301, "ly");
  check_sent("ONE\nTWO\n");
  check_sent_at(4, 301 * FAKE_MS);
  fake_says(&fake, 302, "other");
  assert_true(fake.finished);
  fake_ends(&fake, 303);
  check_equal();
  assert_int_equal(fake.stage->slip.count, 0);
  assert_int_equal(fake.stage->lag.max_ns, 0);
}

/* The process stands for two seconds: what came meanwhile is read before time decides anything, what is due goes at
 * once, and the next deadlines are met again. Lag and latency show it. */
static void test_a_process_that_stood(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  fake.options.reply_timeout_ns = UINT64_C(1000000000);
  begin(0);
  fake_push(&fake, "rePly", 5); /* at 5 ms, and nobody looks */
  fake.now_ns = FAKE_START + 2000 * UINT64_C(1000000);
  gg__player_time(fake.player, fake.now_ns); /* the timer first: reply_timeout has passed */
  assert_int_equal(fake.player->outcome.counts.timeouts, 0);
  fake_event(&fake, GG_WIRE_READABLE);
  fake_run(&fake, 2021);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 2025, "other");
  fake_run(&fake, 2100);
  fake_ends(&fake, 2100);
  assert_int_equal(outcome()->counts.timeouts, 0);
  assert_true(outcome()->latency_max_ns >= 2000 * UINT64_C(1000000));
}

static void test_deadlines_are_met_again_behind_a_stop(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  for (unsigned i = 0; i < 400; i++)
    fake_send(&fake, 10 * i, "x");
  fake_step(&fake, GG_STEP_OVER, 4000);
  begin(0);
  fake_run(&fake, 1000);
  fake.now_ns += 2000 * UINT64_C(1000000);
  fake_run(&fake, 3001);
  assert_int_equal(fake.outgoing_bytes, 301); /* up to 3,000 ms */
  assert_true(fake.stage->lag.max_ns >= 1989 * UINT64_C(1000000));
  fake_run(&fake, 3009);
  assert_int_equal(fake.outgoing_bytes, 301);
  fake_run(&fake, 3010);
  assert_int_equal(fake.outgoing_bytes, 302);
  check_sent_at(301, UINT64_C(3010) * FAKE_MS);
  assert_int_equal(fake.stage->lag_now_ns, 0);
}

/* ── Beginning late ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* The session was due at the replay's start; this process stood for two seconds just then. */
static void begin_late(void)
{
  fake.now_ns += UINT64_C(2000) * FAKE_MS;
  begin(2001);
}

static void test_a_late_beginning_is_ours_when_the_client_is_first(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin_late();
  check_sent("ONE\n");
  assert_int_equal(fake.stage->lag.count, 2); /* the connection and the chunk */
  assert_int_equal(fake.stage->lag_now_ns, UINT64_C(2000) * FAKE_MS);
  assert_int_equal(fake.stage->lag.max_ns, UINT64_C(2000) * FAKE_MS);
  fake_says(&fake, 2007, "reply");
  fake_run(&fake, 2017);
  check_sent("ONE\nTWO\n");
  assert_int_equal(fake.stage->slip.count, 1);
  assert_int_equal(fake.stage->slip.max_ns, 2 * FAKE_MS); /* 7 ms from the beginning to the reply, not 5 */
  assert_int_equal(fake.stage->lag_now_ns, 0);
  fake_says(&fake, 2022, "other");
  fake_run(&fake, 2032);
  fake_ends(&fake, 2033);
  check_equal();
  assert_true(outcome()->latency_max_ns == UINT64_C(2007) * FAKE_MS); /* from when it should have gone */
  assert_true(fake.stage->slip.max_ns <= 2 * FAKE_MS);
}

static void test_a_late_beginning_is_ours_when_the_server_is_first(void **state)
{
  (void)state;
  fake_expect(&fake, 5, "hello\n");
  fake_send(&fake, 10, "ONE\n");
  fake_step(&fake, GG_STEP_OVER, 11);
  begin_late();
  assert_int_equal(fake.stage->lag.count, 1);
  assert_int_equal(fake.stage->lag.max_ns, UINT64_C(2000) * FAKE_MS);
  fake_says(&fake, 2007, "hello\n");
  fake_run(&fake, 2012);
  check_sent("ONE\n");
  assert_int_equal(fake.stage->slip.count, 1);
  assert_int_equal(fake.stage->slip.max_ns, 2 * FAKE_MS);
}

/* Begun late, but the first chunk was due later still: nothing is forgiven to the target. */
static void test_a_late_beginning_that_was_made_up_for(void **state)
{
  (void)state;
  fake_send(&fake, 3000, "ONE\n");
  fake_expect(&fake, 3005, "reply");
  fake_send(&fake, 3010, "TWO\n");
  fake_step(&fake, GG_STEP_OVER, 3011);
  begin_late();
  fake_run(&fake, 3000);
  check_sent_at(0, UINT64_C(3000) * FAKE_MS);
  assert_int_equal(fake.stage->lag_now_ns, 0);
  fake_says(&fake, 3405, "reply");
  fake_run(&fake, 3500);
  assert_int_equal(fake.stage->slip.max_ns, 400 * FAKE_MS);
}

static void test_a_late_beginning_as_fast_as_possible(void **state)
{
  (void)state;
  fake.stage->timing.speed_percent = 0;
  record_dialog("reply", "other");
  begin_late();
  assert_int_equal(fake.stage->lag.count, 2);
  assert_int_equal(fake.stage->lag_now_ns, UINT64_C(2000) * FAKE_MS);
}

/* ── A server that is as slow as it was ──────────────────────────────────────────────────────────────────────────── */

/* A reply streamed for 12 s, one that comes after 30 s, and a connection that the server ends when it was idle for 75;
 * all at the default reply_timeout of 10 s. */
static void be_as_slow(uint32_t speed_percent)
{
  the_rule.kind = GG_RULE_NONE;
  fake.stage->timing.speed_percent = speed_percent;
  fake_send(&fake, 0, "STREAM\n");
  for (unsigned i = 0; i < 24; i++)
    fake_expect(&fake, 500 + i * 500, "line\n");
  fake_send(&fake, 12500, "POLL\n");
  fake_expect(&fake, 42500, "news\n");
  fake_step(&fake, GG_STEP_EXPECT_END, 117500);
  fake_step(&fake, GG_STEP_SEND_END, 117501);
  fake_step(&fake, GG_STEP_OVER, 117501);
  begin(0);
  for (unsigned i = 0; i < 24; i++)
    fake_says(&fake, 500 + i * 500, "line\n");
  fake_run(&fake, 13000);
  uint64_t polled_ms = fake_sent_ns(&fake, 7) / FAKE_MS;
  check_sent("STREAM\nPOLL\n");
  fake_says(&fake, polled_ms + 30000, "news\n");
  fake_ends(&fake, polled_ms + 105000);
  fake_run(&fake, polled_ms + 106000);
  check_equal();
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_IDENTICAL], 1);
}

static void test_a_server_as_slow_as_it_was(void **state)
{
  (void)state;
  be_as_slow(100);
}

static void test_a_server_as_slow_as_it_was_ten_times_as_fast(void **state)
{
  (void)state;
  be_as_slow(1000);
}

static void test_a_server_as_slow_as_it_was_as_fast_as_possible(void **state)
{
  (void)state;
  be_as_slow(0);
}

/* At a tenth of the speed a server may be ten times as slow; but not for ever, and from the client's step on. */
static void test_a_slow_server_is_not_waited_for_longer(void **state)
{
  (void)state;
  fake.options.on_timeout = GG_REPLAY_STOP_SESSION;
  fake.stage->timing.speed_percent = 10;
  fake_send(&fake, 1000, "POLL\n");
  fake_expect(&fake, 3000, "news\n");
  fake_send(&fake, 4000, "bye\n");
  fake_step(&fake, GG_STEP_OVER, 4001);
  begin(0);
  fake_run(&fake, 10000 + 20000 + 9999);
  assert_int_equal(fake.overs, 0);
  fake_run(&fake, 10000 + 20000 + 10000);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 0, 0);
  assert_int_equal(outcome()->latency_max_ns, UINT64_C(30000) * FAKE_MS); /* a server that hangs is not a fast one */
  assert_int_equal(fake.stage->latency.count, 1);
}

static void test_a_reply_that_timed_out_has_a_latency(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_run(&fake, 10006); /* 5 ms as recorded, and 10 s */
  check_sent("ONE\n");
  fake_run(&fake, 10015);
  check_sent("ONE\nTWO\n");
  assert_int_equal(fake.stage->latency.count, 1);
  assert_int_equal(fake.stage->latency.max_ns, UINT64_C(10005) * FAKE_MS);
}

/* What came while this process stood gives a wait some more time, but once. */
static void test_a_wait_is_prolonged_once(void **state)
{
  (void)state;
  terminator("\n");
  record_dialog("reply\n", "other\n");
  fake.options.reply_timeout_ns = UINT64_C(1000000000);
  begin(0);
  fake_push(&fake, "re", 2);
  fake.now_ns = FAKE_START + UINT64_C(3000) * FAKE_MS;
  gg__player_time(fake.player, fake.now_ns);
  assert_int_equal(fake.player->outcome.counts.timeouts, 0);
  assert_int_equal(fake.timer_ns, FAKE_START + UINT64_C(4000) * FAKE_MS);
  fake_push(&fake, "pl", 2);
  fake.now_ns = FAKE_START + UINT64_C(7000) * FAKE_MS;
  gg__player_time(fake.player, fake.now_ns);
  assert_int_equal(fake.player->outcome.counts.timeouts, 1);
}

/* ── Level bytes ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_level_bytes_waits_for_nothing_but_its_end(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  record_dialog("reply", "other");
  begin(0);
  fake_run(&fake, 15);
  check_sent("ONE\nTWO\n");
  check_sent_at(4, 15 * FAKE_MS);
  fake_run(&fake, 200);
  assert_false(fake.finished); /* due at 30, but ten bytes are still to come */
  fake_says(&fake, 200, "replyot");
  assert_false(fake.finished);
  fake_says(&fake, 210, "her");
  assert_true(fake.finished);
  fake_ends(&fake, 211);
  check_equal();
  check_replies(1, 0, 0, 0);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_START], 1);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_TIME], 1);
}

/* Its recorded server took ten milliseconds, and reply_timeout comes on top of them. */
static void wait_at_level_bytes(enum gg_replay_policy policy)
{
  fake.options.level = GG_REPLAY_BYTES;
  fake.options.on_timeout = policy;
  fake.stage->timing.speed_percent = 0;
  record_dialog("reply", "other");
  begin(0);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 1, "reply");
  fake_run(&fake, 10009);
  assert_true(!fake.finished && fake.overs == 0);
  fake_run(&fake, 10010);
}

static void test_level_bytes_does_not_wait_for_ever(void **state)
{
  (void)state;
  wait_at_level_bytes(GG_REPLAY_CONTINUE);
  assert_true(fake.finished);
  fake_ends(&fake, 10011);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 1, 5);
  check_replies(0, 1, 0, 0);
  assert_int_equal(outcome()->counts.timeouts, 1);
  assert_int_equal(outcome()->latency_max_ns, UINT64_C(10010) * FAKE_MS);
  assert_int_equal(fake.stops, 0);
}

static void test_level_bytes_waits_by_policy(void **state)
{
  (void)state;
  wait_at_level_bytes(GG_REPLAY_STOP_SESSION);
  assert_false(fake.finished);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 1, 5);
  assert_int_equal(outcome()->counts.timeouts, 1);
  assert_int_equal(fake.stops, 0);
}

static void test_level_bytes_stops_by_policy(void **state)
{
  (void)state;
  wait_at_level_bytes(GG_REPLAY_STOP);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 1, 5);
  assert_int_equal(fake.stops, 1);
}

/* A server that needs 12 s for all that it says gets them, whatever the client was told to do meanwhile. */
static void test_level_bytes_waits_as_long_as_the_server_took(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  fake.stage->timing.speed_percent = 0;
  fake_send(&fake, 0, "ask");
  fake_expect(&fake, 100, "a");
  fake_expect(&fake, 10500, "b");
  fake_send(&fake, 11000, "by the way");
  fake_expect(&fake, 12000, "c");
  fake_step(&fake, GG_STEP_SEND_END, 3600 * 1000); /* not the hour that the client thought */
  fake_step(&fake, GG_STEP_EXPECT_END, 3600 * 1000 + 15000);
  fake_step(&fake, GG_STEP_OVER, 3600 * 1000 + 15000);
  begin(0);
  check_sent("askby the way");
  fake_says(&fake, 100, "a");
  fake_says(&fake, 11000, "b");
  fake_says(&fake, 12000, "c");
  assert_true(fake.finished);
  fake_ends(&fake, 27000);
  check_equal();
}

static void test_a_turn_sends_so_many_chunks_and_no_more(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  fake.stage->timing.speed_percent = 0;
  for (unsigned i = 0; i < 3 * GG_PLAYER_TURN_CHUNKS; i++)
    fake_send(&fake, i, "x");
  fake_step(&fake, GG_STEP_OVER, 1000);
  begin(0);
  assert_int_equal(fake.outgoing_bytes, GG_PLAYER_TURN_CHUNKS);
  assert_true(fake.timer_ns <= fake.now_ns); /* goes on at once, behind the others */
  fake_run(&fake, 1);
  assert_int_equal(fake.outgoing_bytes, 3 * GG_PLAYER_TURN_CHUNKS);
  fake_run(&fake, 100);
  check_equal();
}

static void test_a_reply_of_many_steps_is_gathered_in_turns(void **state)
{
  (void)state;
  enum { STEPS = 3 * GG_PLAYER_TURN_STEPS };
  terminator("y");
  fake_send(&fake, 0, "?");
  for (unsigned i = 0; i < STEPS; i++)
    fake_payload(&fake, GG_STEP_EXPECT, i, "x", 1, true);
  fake_send(&fake, 10, "!");
  fake_step(&fake, GG_STEP_OVER, 11);
  begin(0);
  static char live[STEPS + 1];
  memset(live, 'x', STEPS);
  fake_says(&fake, 1, live);
  fake_run(&fake, 20);
  check_sent("?!");
  fake_run(&fake, 100);
  check_equal();
}

/* It stood in a think time; more of a reply that silence had completed is in the socket, and is seen before the step
 * goes. */
static void test_a_process_that_stood_while_the_client_thought(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "reply\n");
  fake_send(&fake, 505, "TWO\n");
  fake_step(&fake, GG_STEP_OVER, 506);
  begin(0);
  fake_says(&fake, 5, "REP");
  fake_run(&fake, 100);
  fake_push(&fake, "LY", 2);
  fake.now_ns += UINT64_C(2000) * FAKE_MS;
  gg__player_time(fake.player, fake.now_ns);
  check_sent("ONE\n");
  fake_run(&fake, 2119);
  check_sent("ONE\n");
  fake_run(&fake, 2120);
  check_sent("ONE\nTWO\n");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    T(test_deadlines_at_a_tenth),
    T(test_deadlines_as_recorded),
    T(test_deadlines_ten_times_as_fast),
    T(test_deadlines_a_hundred_times_as_fast),
    T(test_think_times_are_divided_by_the_speed),
    T(test_as_fast_as_possible_waits_for_replies_only),
    T(test_a_process_that_stood),
    T(test_deadlines_are_met_again_behind_a_stop),
    T(test_a_late_beginning_is_ours_when_the_client_is_first),
    T(test_a_late_beginning_is_ours_when_the_server_is_first),
    T(test_a_late_beginning_that_was_made_up_for),
    T(test_a_late_beginning_as_fast_as_possible),
    T(test_a_server_as_slow_as_it_was),
    T(test_a_server_as_slow_as_it_was_ten_times_as_fast),
    T(test_a_server_as_slow_as_it_was_as_fast_as_possible),
    T(test_a_slow_server_is_not_waited_for_longer),
    T(test_a_reply_that_timed_out_has_a_latency),
    T(test_a_wait_is_prolonged_once),
    T(test_level_bytes_waits_for_nothing_but_its_end),
    T(test_level_bytes_does_not_wait_for_ever),
    T(test_level_bytes_waits_by_policy),
    T(test_level_bytes_stops_by_policy),
    T(test_level_bytes_waits_as_long_as_the_server_took),
    T(test_a_turn_sends_so_many_chunks_and_no_more),
    T(test_a_reply_of_many_steps_is_gathered_in_turns),
    T(test_a_process_that_stood_while_the_client_thought),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
