/* SPDX-License-Identifier: Apache-2.0 */
/* Players without a connection, cut off, with a script or a recording that fails, and with events in any order. */
#include "replay_takes.h"

/* ── No connection ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void fail_to_connect(int error)
{
  fake_begin(&fake);
  fake_run(&fake, 1);
  fake.failed_error = error;
  fake_event(&fake, GG_WIRE_FAILED);
  assert_int_equal(fake.overs, 1);
  assert_false(fake.player->outcome.connected);
}

static void test_refused(void **state)
{
  (void)state;
  record_replay();
  record_three();
  fail_to_connect(GG_ERR_REFUSED);
  check_difference(GG_REPLAY_DIFFERENCE_REFUSED, 0, 0);
  assert_int_equal(outcome()->counts.chunks_unsent, 3);
  assert_int_equal(outcome()->counts.bytes_expected, 14);
  assert_int_equal(fake.stage->outcome.connections_refused, 1);
  assert_int_equal(fake.stage->outcome.connections_made, 0);
  assert_string_equal(takes, "");
  assert_string_equal(outcome()->local, "");
}

static void test_no_port(void **state)
{
  (void)state;
  record_three();
  fail_to_connect(GG_ERR_LIMIT);
  check_difference(GG_REPLAY_DIFFERENCE_LOCAL, 0, 0);
  assert_int_equal(fake.stage->outcome.connections_refused, 0);
}

static void record_refused(void)
{
  fake_send(&fake, 1, "hello?\n"); /* the gateway had accepted it */
  fake_step(&fake, GG_STEP_EXPECT_RESET, 2);
  fake_step(&fake, GG_STEP_OVER, 2);
  fake.facts.refused = true;
}

static void test_refused_as_recorded(void **state)
{
  (void)state;
  record_refused();
  fail_to_connect(GG_ERR_REFUSED);
  assert_int_equal(outcome()->verdict, GG_REPLAY_EQUAL);
  assert_int_equal(fake.stage->outcome.connections_refused, 1);
}

static void test_connected_although_refused_when_recorded(void **state)
{
  (void)state;
  record_refused();
  begin(0);
  fake_run(&fake, 1);
  check_sent("hello?\n");
  fake_says(&fake, 1, "hello!\n");
  fake_run(&fake, 100);
  check_difference(GG_REPLAY_DIFFERENCE_CONNECTED, 0, 0);
  assert_int_equal(outcome()->counts.timeouts, 0);
  assert_true(fake.finished);
}

static void test_a_connection_that_takes_too_long(void **state)
{
  (void)state;
  record_three();
  fake_begin(&fake);
  fake_run(&fake, 9999);
  assert_int_equal(fake.overs, 0);
  fake_run(&fake, 10010);
  check_difference(GG_REPLAY_DIFFERENCE_REFUSED, 0, 0);
  assert_int_equal(fake.stage->outcome.connections_refused, 1);
}

/* The process stood for longer than connect_timeout; the connection was made meanwhile. */
static void test_a_connection_that_was_made_while_nobody_looked(void **state)
{
  (void)state;
  record_three();
  fake_begin(&fake);
  fake.now_ns += 20000 * UINT64_C(1000000);
  gg__player_time(fake.player, fake.now_ns);
  assert_int_equal(fake.overs, 0);
  fake.connected = true;
  fake_event(&fake, GG_WIRE_CONNECTED);
  check_sent("1");
}

static void test_nothing_to_connect_with(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  record_three();
  fake.connect_error = GG_ERR_LIMIT;
  assert_int_equal(gg__player_begin(fake.player, fake.stage, 0, 0, 0, FAKE_START, FAKE_START, &failure), GG_ERR_LIMIT);
  assert_int_equal(failure.code, GG_ERR_LIMIT);
  assert_int_equal(fake.stage->failure.code, 0);
  assert_true(fake.timer_ns == UINT64_MAX && fake.overs == 0);
}

/* ── Cut, failures, events ───────────────────────────────────────────────────────────────────────────────────────── */

static void test_cut_while_connecting(void **state)
{
  (void)state;
  record_three();
  fake_begin(&fake);
  gg__player_cut(fake.player);
  assert_int_equal(outcome()->verdict, GG_REPLAY_UNFINISHED);
  gg__player_cut(fake.player);
  gg__player_time(fake.player, fake.now_ns);
  fake.event(fake.sink, GG_WIRE_CONNECTED | GG_WIRE_READABLE);
  assert_int_equal(fake.overs, 1);
}

static void test_cut_in_the_middle(void **state)
{
  (void)state;
  record_replay();
  record_three();
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake_run(&fake, 10);
  fake_says(&fake, 11, "tw");
  gg__player_cut(fake.player);
  assert_int_equal(outcome()->verdict, GG_REPLAY_UNFINISHED);
  check_replies(1, 0, 0, 0);
  assert_int_equal(outcome()->counts.chunks_unsent, 0);
  assert_true(fake.closed_by_reset);
  assert_non_null(strstr(takes, "close 1 client-reset;"));
}

static void test_cut_after_a_difference_is_different(void **state)
{
  (void)state;
  record_three();
  begin(0);
  fake_says(&fake, 1, "ONE\n");
  gg__player_cut(fake.player);
  check_difference(GG_REPLAY_DIFFERENCE_BYTES, 0, 0);
}

/* Plays all of record_three as fast as the server answers, or as far as it comes. */
static void play_three(void)
{
  static const char *const replies[] = {"one\n", "two\n", "three\n"};
  fake.connected = true;
  fake_event(&fake, GG_WIRE_CONNECTED);
  for (unsigned i = 0; i < 3 && fake.overs == 0; i++) {
    fake_says(&fake, 10 * i + 1, replies[i]);
    fake_run(&fake, 10 * i + 11);
  }
  if (fake.overs == 0)
    fake_ends(&fake, 40);
  fake_run(&fake, 60);
}

static void test_a_script_that_fails_anywhere_ends_the_replay(void **state)
{
  uint64_t reads = 0;
  for (;; reads++) {
    fake.script_error = GG_ERR_CORRUPT;
    fake.script_fails_at = reads;
    record_three();
    fake_begin(&fake);
    play_three();
    assert_int_equal(fake.overs, 1);
    if (fake.script_reads <= reads)
      break;
    assert_int_equal(fake.player->outcome.verdict, GG_REPLAY_UNFINISHED);
    assert_int_equal(fake.stage->failure.code, GG_ERR_CORRUPT);
    assert_true(fake.stops > 0);
    tear_down(state);
    set_up(state);
  }
  check_equal();
  assert_true(reads > 20);
}

static void test_a_recording_that_fails_anywhere_ends_the_replay(void **state)
{
  static const char *const calls[] = {"open", "c 1", "s one", "c 3", "client fin", "server fin", "close"};
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    record_replay();
    take_fails = calls[i];
    take_error = GG_ERR_NO_SPACE;
    record_three();
    fake_begin(&fake);
    play_three();
    assert_int_equal(outcome()->verdict, GG_REPLAY_UNFINISHED);
    assert_int_equal(fake.stage->failure.code, GG_ERR_NO_SPACE);
    assert_true(fake.stops > 0);
    tear_down(state);
    set_up(state);
  }
}

static void test_events_in_any_order(void **state)
{
  (void)state;
  record_three();
  fake_begin(&fake);
  fake.connected = true;
  fake_push(&fake, "one\n", 4);
  fake_event(&fake, GG_WIRE_READABLE | GG_WIRE_WRITABLE); /* before it is known to be connected */
  check_sent("");
  fake_event(&fake, GG_WIRE_CONNECTED);
  check_sent("1");
  fake_event(&fake, GG_WIRE_CONNECTED | GG_WIRE_WRITABLE | GG_WIRE_READABLE);
  for (unsigned i = 0; i < 5; i++) {
    gg__player_time(fake.player, fake.now_ns);
    fake_event(&fake, GG_WIRE_WRITABLE);
  }
  check_sent("1");
  fake_run(&fake, 12);
  check_sent("12");
  fake_says(&fake, 12, "two\n");
  fake_run(&fake, 30);
  fake_says(&fake, 30, "three\n");
  fake_run(&fake, 45);
  fake_ends(&fake, 45);
  check_equal();
}

/* The players' memory is used again as it is. */
static void test_a_player_is_used_again(void **state)
{
  (void)state;
  record_three();
  begin(0);
  fake_says(&fake, 1, "no\n");
  gg__player_cut(fake.player);
  struct gg_list node = fake.player->node;
  fake.overs = 0;
  fake.closed = fake.finished = fake.connected = false;
  fake.incoming_from = fake.incoming_bytes = 0;
  fake.now_ns = FAKE_START;
  fake_begin(&fake);
  assert_memory_equal(&node, &fake.player->node, sizeof node);
  play_three();
  check_equal();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    T(test_refused),
    T(test_no_port),
    T(test_refused_as_recorded),
    T(test_connected_although_refused_when_recorded),
    T(test_a_connection_that_takes_too_long),
    T(test_a_connection_that_was_made_while_nobody_looked),
    T(test_nothing_to_connect_with),
    T(test_cut_while_connecting),
    T(test_cut_in_the_middle),
    T(test_cut_after_a_difference_is_different),
    T(test_a_script_that_fails_anywhere_ends_the_replay),
    T(test_a_recording_that_fails_anywhere_ends_the_replay),
    T(test_events_in_any_order),
    T(test_a_player_is_used_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
