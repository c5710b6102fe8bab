/* SPDX-License-Identifier: Apache-2.0 */
/* How connections of a replay end: half-closed, reset, timed out, blocked, flooded; by policy. */
#include "replay_takes.h"

/* ── Orderly ends ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_a_recorded_replay(void **state)
{
  (void)state;
  record_replay();
  record_dialog("reply\n", "other\n");
  begin(0);
  fake_says(&fake, 5, "reply\n");
  fake_says(&fake, 20, "other\n");
  fake_run(&fake, 40);
  fake_ends(&fake, 41);
  check_equal();
  assert_string_equal(takes, "open 019ac3f0b7e2a3c10000002a;c ONE\n;s reply\n;c TWO\n;s other\n;client fin;server fin;"
                             "close 0 client-fin;");
  assert_int_equal(fake.player->take.sent, 8);
}

static void test_a_client_that_half_closes_gets_its_reply(void **state)
{
  (void)state;
  record_replay();
  fake_send(&fake, 0, "all of it");
  fake_step(&fake, GG_STEP_SEND_END, 1);
  fake_expect(&fake, 5, "so many\n");
  fake_expect(&fake, 6, "lines\n");
  fake_step(&fake, GG_STEP_EXPECT_END, 7);
  fake_step(&fake, GG_STEP_OVER, 7);
  begin(0);
  fake_run(&fake, 1);
  assert_true(fake.finished && fake.finished_ns == 1 * FAKE_MS);
  fake_says(&fake, 300, "so many\nlines\n");
  fake_run(&fake, 900);
  assert_int_equal(fake.overs, 0);
  fake_ends(&fake, 900);
  check_equal();
  check_replies(1, 0, 0, 0);
  assert_string_equal(takes, "open 019ac3f0b7e2a3c10000002a;c all of it;client fin;s so many\nlines\n;server fin;"
                             "close 0 client-fin;");
}

static void test_a_server_that_half_closes_is_still_sent_to(void **state)
{
  (void)state;
  record_replay();
  fake_expect(&fake, 1, "last words\n");
  fake_step(&fake, GG_STEP_EXPECT_END, 2);
  fake_send(&fake, 12, "thanks\n");
  fake_step(&fake, GG_STEP_SEND_END, 13);
  fake_step(&fake, GG_STEP_OVER, 13);
  begin(0);
  fake_says(&fake, 50, "last words\n");
  fake_run(&fake, 70);
  check_sent(""); /* its end is waited for */
  fake_ends(&fake, 100);
  fake_run(&fake, 109);
  check_sent("");
  fake_run(&fake, 110); /* 10 ms behind the end */
  check_sent("thanks\n");
  fake_run(&fake, 200);
  check_equal();
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_END], 1);
  assert_int_equal(outcome()->counts.closed_early, 0);
  assert_non_null(strstr(takes, "server fin;c thanks\n;client fin;close 0 server-fin;"));
}

static void test_a_server_that_ends_before_our_fin_is_no_difference(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "reply");
  fake_push(&fake, "other", 5);
  fake_ends(&fake, 20);
  fake_run(&fake, 100);
  check_equal();
  assert_true(fake.finished);
}

static void test_an_open_end_waits_for_the_last_reply(void **state)
{
  (void)state;
  record_replay();
  fake_send(&fake, 0, "1");
  fake_expect(&fake, 1, "one\n");
  fake_step(&fake, GG_STEP_OVER, 500); /* nothing happened for 499 ms, and the recording was over */
  begin(0);
  fake_run(&fake, 700);
  assert_false(fake.finished);
  fake_says(&fake, 700, "one\n");
  fake_run(&fake, 1198);
  assert_false(fake.finished);
  fake_run(&fake, 1199);
  assert_true(fake.finished);
  fake_run(&fake, 1218);
  assert_int_equal(fake.overs, 0); /* it may still end, too */
  fake_run(&fake, 1219);
  check_equal();
  assert_false(fake.closed_by_reset);
  assert_non_null(strstr(takes, "client fin;close 1 client-reset;")); /* the server's end was never seen */
}

static void test_a_session_without_a_byte(void **state)
{
  (void)state;
  fake_step(&fake, GG_STEP_SEND_END, 100);
  fake_step(&fake, GG_STEP_EXPECT_END, 101);
  fake_step(&fake, GG_STEP_OVER, 101);
  begin(1);
  fake_run(&fake, 99);
  assert_false(fake.finished);
  fake_run(&fake, 100);
  assert_true(fake.finished);
  fake_ends(&fake, 101);
  check_equal();
  assert_int_equal(outcome()->counts.replies, 0);
}

static void test_a_server_that_does_not_end(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "reply");
  fake_says(&fake, 20, "other");
  fake_run(&fake, 30 + 10000 - 1);
  assert_true(fake.finished && fake.overs == 0);
  fake_run(&fake, 60000);
  check_difference(GG_REPLAY_DIFFERENCE_NOT_CLOSED, 2, 10);
  assert_int_equal(outcome()->counts.timeouts, 1);
  assert_true(outcome()->ended_ns <= UINT64_C(10100) * FAKE_MS);
}

static void test_a_server_that_does_not_end_stops_the_replay(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  fake.options.on_timeout = GG_REPLAY_STOP;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "replyother");
  fake_run(&fake, 10050);
  check_difference(GG_REPLAY_DIFFERENCE_NOT_CLOSED, 2, 10);
  assert_int_equal(outcome()->counts.timeouts, 1);
  assert_int_equal(fake.stops, 1);
}

/* The gateway was idle for too long and ended both sides: what the server says to that was never recorded. */
static void test_nothing_is_compared_behind_an_end_that_is_not_recorded(void **state)
{
  (void)state;
  record_replay();
  fake_send(&fake, 0, "1");
  fake_expect(&fake, 1, "one\n");
  fake_send(&fake, 10, "2");
  fake_step(&fake, GG_STEP_OVER, 50);
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake_run(&fake, 50);
  assert_true(fake.finished && fake.overs == 0);
  fake_says(&fake, 55, "421 you have gone, good bye\n");
  fake_resets(&fake, 56);
  check_equal();
  check_replies(1, 0, 0, 0);
  assert_int_equal(outcome()->counts.bytes_received, 4 + 28);
  assert_int_equal(outcome()->counts.closed_early, 0);
  assert_int_equal(outcome()->latency_max_ns, 1 * FAKE_MS);
  assert_non_null(strstr(takes, "s 421 you have gone, good bye\n;"));
}

static void test_a_flood_behind_an_end_that_is_not_recorded(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  fake.tick_ns = 100 * 1000;
  fake_send(&fake, 0, "1");
  fake_expect(&fake, 1, "one\n");
  fake_step(&fake, GG_STEP_OVER, 50);
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake_run(&fake, 52);
  assert_true(fake.finished);
  fake.flood = true;
  fake_event(&fake, GG_WIRE_READABLE);
  fake_run(&fake, 1000);
  check_equal();
  check_replies(1, 0, 0, 0);
  assert_true(outcome()->ended_ns < UINT64_C(100) * FAKE_MS && outcome()->latency_max_ns < 5 * FAKE_MS);
}

/* What was recorded is compared all the same, when it comes at last. */
static void end_with_the_rest(const char *rest)
{
  fake_send(&fake, 0, "1");
  fake_expect(&fake, 1, "one and a half\n");
  fake_step(&fake, GG_STEP_OVER, 50);
  begin(0);
  fake_says(&fake, 1, "one");
  fake_run(&fake, 1001); /* no more of it for a second */
  assert_true(fake.finished && fake.overs == 0);
  fake_says(&fake, 1010, rest);
  fake_run(&fake, 2000);
}

static void test_the_rest_of_a_reply_behind_an_end_that_is_not_recorded(void **state)
{
  (void)state;
  end_with_the_rest(" and a half\nbye\n");
  check_equal();
  check_replies(1, 0, 0, 0);
}

static void test_another_rest_of_a_reply_behind_an_end_that_is_not_recorded(void **state)
{
  (void)state;
  end_with_the_rest("bye and more than there was\n");
  check_difference(GG_REPLAY_DIFFERENCE_SHORTER, 0, 3);
  check_replies(0, 1, 0, 0);
}

static void test_level_bytes_waits_for_the_servers_end(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "replyother");
  fake_run(&fake, 30);
  assert_true(fake.finished);
  fake_run(&fake, 10030);
  fake_run(&fake, 10032);
  check_difference(GG_REPLAY_DIFFERENCE_NOT_CLOSED, 2, 10);
  assert_true(fake.closed_by_reset);
}

/* ── Resets ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_the_clients_reset_is_played(void **state)
{
  (void)state;
  record_replay();
  fake_send(&fake, 0, "GET big\n");
  fake_expect(&fake, 5, "aaaaaaaaaa");
  fake_step(&fake, GG_STEP_SEND_RESET, 6);
  fake_step(&fake, GG_STEP_OVER, 6);
  begin(0);
  fake_says(&fake, 50, "aaaaaaaa");
  assert_int_equal(fake.overs, 0);
  fake_run(&fake, 60);
  fake_says(&fake, 65, "aaaaaaaaaaaa"); /* more than was recorded: the recorded client did not see the rest */
  fake_run(&fake, 66);
  assert_true(fake.closed_by_reset && fake.closed_ns == 66 * FAKE_MS);
  const struct gg_replay_session *session = outcome();
  assert_int_equal(session->difference.kind, GG_REPLAY_DIFFERENCE_LONGER);
  assert_non_null(strstr(takes, "close 1 client-reset;"));
}

static void test_the_clients_reset_is_equal(void **state)
{
  (void)state;
  fake_send(&fake, 0, "GET big\n");
  fake_expect(&fake, 5, "aaaaaaaaaa");
  fake_step(&fake, GG_STEP_SEND_RESET, 6);
  fake_step(&fake, GG_STEP_OVER, 6);
  begin(0);
  fake_says(&fake, 50, "aaaaaaaaaa");
  fake_run(&fake, 51);
  assert_true(fake.closed_by_reset && fake.overs == 1);
  check_equal();
  check_replies(1, 0, 0, 0);
}

static void test_the_servers_reset_is_as_recorded(void **state)
{
  (void)state;
  record_replay();
  fake_send(&fake, 0, "bad\n");
  fake_expect(&fake, 1, "wh");
  fake_step(&fake, GG_STEP_EXPECT_RESET, 2);
  fake_step(&fake, GG_STEP_OVER, 2);
  begin(0);
  fake_says(&fake, 3, "wh");
  fake_resets(&fake, 4);
  check_equal();
  check_replies(1, 0, 0, 0);
  assert_int_equal(outcome()->counts.closed_early, 0);
  assert_non_null(strstr(takes, "close 2 server-reset;"));
}

static void test_an_end_instead_of_a_reset(void **state)
{
  (void)state;
  fake_send(&fake, 0, "bad\n");
  fake_expect(&fake, 1, "wh");
  fake_step(&fake, GG_STEP_EXPECT_RESET, 2);
  fake_step(&fake, GG_STEP_OVER, 2);
  begin(0);
  fake_says(&fake, 3, "wh");
  fake_ends(&fake, 4);
  fake_run(&fake, 100);
  check_difference(GG_REPLAY_DIFFERENCE_NOT_CLOSED, 1, 2);
}

static void test_a_reset_instead_of_an_end(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "reply");
  fake_says(&fake, 20, "other");
  fake_run(&fake, 30);
  fake_resets(&fake, 31);
  check_difference(GG_REPLAY_DIFFERENCE_RESET, 2, 10);
  assert_int_equal(outcome()->counts.chunks_unsent, 0);
}

static void test_a_reset_in_the_middle_ends_the_session(void **state)
{
  (void)state;
  fake.options.on_close = GG_REPLAY_CONTINUE; /* there is nothing to go on with */
  record_three();
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake_run(&fake, 10);
  fake_says(&fake, 11, "t");
  fake_resets(&fake, 12);
  check_difference(GG_REPLAY_DIFFERENCE_RESET, 1, 5);
  check_replies(1, 1, 0, 0);
  assert_int_equal(outcome()->counts.closed_early, 1);
  assert_int_equal(outcome()->counts.chunks_unsent, 1);
  assert_int_equal(fake.stops, 0);
}

/* ── The server ends before its time ─────────────────────────────────────────────────────────────────────────────── */

static void end_early(enum gg_replay_policy policy)
{
  fake.options.on_close = policy;
  record_three();
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake_run(&fake, 10);
  check_sent("12");
  fake_push(&fake, "two\n", 4);
  fake_ends(&fake, 11);
}

static void test_an_early_end_ends_the_session(void **state)
{
  (void)state;
  end_early(GG_REPLAY_STOP_SESSION);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 2, 8);
  check_replies(2, 0, 0, 0);
  assert_int_equal(outcome()->counts.closed_early, 1);
  assert_int_equal(outcome()->counts.chunks_unsent, 1);
  assert_int_equal(fake.stops, 0);
  assert_int_equal(fake.stage->outcome.counts.closed_early, 1);
  assert_int_equal(fake.stage->outcome.counts.chunks_unsent, 1);
}

/* Both spoke freely: the server is done before the client is, this time. */
static void test_a_server_that_has_said_all_may_end_first(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ask");
  fake_expect(&fake, 1, "all there is");
  fake_send(&fake, 20, "by the way");
  fake_send(&fake, 40, "and so on");
  fake_step(&fake, GG_STEP_EXPECT_END, 50);
  fake_step(&fake, GG_STEP_SEND_END, 51);
  fake_step(&fake, GG_STEP_OVER, 51);
  begin(0);
  fake_says(&fake, 1, "all there is");
  fake_ends(&fake, 10);
  fake_run(&fake, 39);
  check_sent("askby the way");
  fake_run(&fake, 100);
  check_sent("askby the wayand so on");
  check_equal();
  assert_int_equal(outcome()->counts.closed_early, 0);
}

/* It has said all and ends, but has not taken what it took when it was recorded. */
static void refuse_behind_its_end(void)
{
  fake_expect(&fake, 1, "hi\n");
  fake_send(&fake, 20, "a line\n");
  fake_send(&fake, 40, "another\n");
  fake_step(&fake, GG_STEP_SEND_END, 50);
  fake_step(&fake, GG_STEP_EXPECT_END, 51);
  fake_step(&fake, GG_STEP_OVER, 51);
  begin(0);
  fake_says(&fake, 1, "hi\n");
  fake_ends(&fake, 2);
  assert_int_equal(fake.overs, 0);
  fake_run(&fake, 20);
  check_sent("a line\n");
}

static void test_an_excused_end_is_none_if_a_reset_follows(void **state)
{
  (void)state;
  refuse_behind_its_end();
  fake_resets(&fake, 21);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 1, 3);
  assert_int_equal(outcome()->counts.closed_early, 1);
  assert_int_equal(outcome()->counts.chunks_sent, 1);
  assert_int_equal(outcome()->counts.chunks_unsent, 1);
  assert_int_equal(fake.stops, 0);
}

static void test_an_excused_end_is_none_if_a_send_is_refused(void **state)
{
  (void)state;
  fake.options.on_close = GG_REPLAY_STOP;
  refuse_behind_its_end();
  fake.refuses = true;
  fake_run(&fake, 40);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 1, 3);
  assert_int_equal(outcome()->counts.closed_early, 1);
  assert_int_equal(outcome()->counts.chunks_unsent, 1);
  assert_int_equal(fake.stops, 1);
}

/* The last chunk is answered by the reset only when all is sent; nobody tells of it. */
static void test_an_excused_end_is_watched_for_a_silence(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  refuse_behind_its_end();
  fake_run(&fake, 50);
  assert_true(fake.finished && fake.overs == 0);
  fake_run(&fake, 69);
  assert_int_equal(fake.overs, 0);
  fake.incoming_reset = true;
  fake_run(&fake, 75);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 1, 3);
  assert_int_equal(outcome()->counts.closed_early, 1);
  assert_int_equal(outcome()->counts.chunks_unsent, 0);
}

/* ... nor does the client's own reset hide it. */
static void test_an_excused_end_is_watched_before_a_reset(void **state)
{
  (void)state;
  fake_expect(&fake, 1, "hi\n");
  fake_send(&fake, 20, "a line\n");
  fake_step(&fake, GG_STEP_EXPECT_END, 21);
  fake_step(&fake, GG_STEP_SEND_RESET, 22);
  fake_step(&fake, GG_STEP_OVER, 22);
  begin(0);
  fake_says(&fake, 1, "hi\n");
  fake_ends(&fake, 2);
  fake_run(&fake, 39);
  check_sent("a line\n");
  assert_int_equal(fake.overs, 0);
  fake_resets(&fake, 39);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 1, 3);
}

/* What went behind the recorded end may have been lost then as well. */
static void test_an_excused_end_is_one_for_what_came_before_it(void **state)
{
  (void)state;
  fake_expect(&fake, 1, "hi\n");
  fake_send(&fake, 20, "a line\n");
  fake_step(&fake, GG_STEP_EXPECT_END, 21);
  fake_send(&fake, 40, "too late\n");
  fake_step(&fake, GG_STEP_SEND_END, 50);
  fake_step(&fake, GG_STEP_OVER, 51);
  begin(0);
  fake_says(&fake, 1, "hi\n");
  fake_ends(&fake, 2);
  fake_run(&fake, 40);
  check_sent("a line\ntoo late\n");
  fake.incoming_reset = true;
  fake_run(&fake, 100);
  check_equal();
}

static void test_an_early_end_stops_the_replay(void **state)
{
  (void)state;
  end_early(GG_REPLAY_STOP);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 2, 8);
  assert_int_equal(fake.stops, 1);
}

static void test_an_early_end_and_what_can_be_sent_is_sent(void **state)
{
  (void)state;
  end_early(GG_REPLAY_CONTINUE);
  assert_int_equal(fake.overs, 0);
  fake_run(&fake, 19);
  check_sent("12");
  fake_run(&fake, 20); /* at its time */
  check_sent("123");
  fake_run(&fake, 100);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 2, 8);
  check_replies(2, 0, 0, 0);
  assert_int_equal(outcome()->counts.chunks_unsent, 0);
  assert_int_equal(outcome()->counts.closed_early, 1);
}

static void test_an_early_end_until_the_socket_refuses(void **state)
{
  (void)state;
  end_early(GG_REPLAY_CONTINUE);
  fake.refuses = true;
  fake_run(&fake, 20);
  check_difference(GG_REPLAY_DIFFERENCE_CLOSED, 2, 8);
  assert_int_equal(outcome()->counts.closed_early, 1);
  assert_int_equal(outcome()->counts.chunks_unsent, 1);
}

/* The reason that a server gives before it resets the connection is read and compared. */
static void test_a_refused_send_reads_what_was_said(void **state)
{
  (void)state;
  record_three();
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake.refuses = true;
  fake_push(&fake, "too many\n", 9);
  fake.incoming_reset = true;
  fake_run(&fake, 10);
  const struct gg_replay_session *session = outcome();
  assert_int_equal(session->verdict, GG_REPLAY_DIFFERENT);
  assert_int_equal(session->counts.bytes_received, 13);
  assert_int_equal(session->counts.chunks_unsent, 2);
  assert_int_equal(session->counts.closed_early, 1);
}

/* ── Time-outs ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void time_out(enum gg_replay_policy policy)
{
  fake.options.on_timeout = policy;
  record_three();
  begin(0);
  fake_run(&fake, 9999);
  assert_int_equal(fake.overs, 0);
  check_sent("1");
  fake_run(&fake, 10020);
}

static void test_a_reply_that_never_comes_continues(void **state)
{
  (void)state;
  time_out(GG_REPLAY_CONTINUE);
  check_sent("12");
  fake_says(&fake, 10030, "two\n");
  fake_run(&fake, 10045);
  check_sent("123");
  fake_says(&fake, 10050, "three\n");
  fake_run(&fake, 10100);
  fake_ends(&fake, 10100);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 0, 0);
  check_replies(2, 0, 0, 0); /* the one that did not come is none */
  assert_int_equal(outcome()->counts.timeouts, 1);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_TIMEOUT], 1);
}

static void test_a_reply_that_never_comes_ends_the_session(void **state)
{
  (void)state;
  time_out(GG_REPLAY_STOP_SESSION);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 0, 0);
  assert_int_equal(outcome()->counts.chunks_unsent, 2);
  assert_int_equal(fake.stops, 0);
  check_sent("1");
}

static void test_a_reply_that_never_comes_stops_the_replay(void **state)
{
  (void)state;
  time_out(GG_REPLAY_STOP);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 0, 0);
  assert_int_equal(fake.stops, 1);
}

static void test_half_a_reply_that_times_out_is_shorter(void **state)
{
  (void)state;
  terminator("\n");
  fake.options.on_timeout = GG_REPLAY_STOP_SESSION;
  record_three();
  begin(0);
  fake_says(&fake, 1, "on");
  fake_run(&fake, 20000);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 0, 2);
  check_replies(0, 1, 0, 0);
}

/* ── Room ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_a_blocked_send_goes_on(void **state)
{
  (void)state;
  record_replay();
  fake_send(&fake, 0, "0123456789");
  fake_expect(&fake, 1, "ok\n");
  fake_step(&fake, GG_STEP_OVER, 2);
  fake.room = 3;
  begin(0);
  check_sent("012");
  fake_says(&fake, 3, "o"); /* an event of another kind sends nothing */
  fake.room = 4;
  fake_run(&fake, 9000);
  fake_event(&fake, GG_WIRE_WRITABLE);
  check_sent("0123456");
  fake.room = SIZE_MAX;
  fake_run(&fake, 18000); /* progress: the wait began again */
  fake_event(&fake, GG_WIRE_WRITABLE);
  check_sent("0123456789");
  assert_int_equal(fake.player->outcome.counts.chunks_sent, 1);
  fake_says(&fake, 18001, "k\n");
  fake_run(&fake, 19000);
  check_equal();
  assert_int_equal(fake.stage->lag.count, 2);                 /* the chunk, and the connection */
  assert_non_null(strstr(takes, ";c 0123456789;s o;s k\n;")); /* recorded once */
}

static void test_no_room_at_all(void **state)
{
  (void)state;
  fake_send(&fake, 0, "0123456789");
  fake_step(&fake, GG_STEP_OVER, 2);
  fake.room = 3;
  begin(0);
  fake_run(&fake, 9999);
  assert_int_equal(fake.overs, 0);
  fake_run(&fake, 10001);
  check_difference(GG_REPLAY_DIFFERENCE_TIMEOUT, 0, 0);
  assert_int_equal(outcome()->counts.chunks_unsent, 1);
  assert_int_equal(outcome()->counts.bytes_sent, 3);
  assert_int_equal(fake.stops, 0);
}

static void test_no_room_at_all_stops(void **state)
{
  (void)state;
  fake.options.on_timeout = GG_REPLAY_STOP;
  fake_send(&fake, 0, "0123456789");
  fake_step(&fake, GG_STEP_OVER, 2);
  fake.room = 0;
  begin(0);
  fake_run(&fake, 10001);
  assert_int_equal(fake.stops, 1);
}

/* ── Floods ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_a_flood_is_taken_in_turns_and_cut_off(void **state)
{
  (void)state;
  fake.options.on_timeout = GG_REPLAY_STOP_SESSION;
  fake.tick_ns = 100 * 1000;
  record_three();
  begin(0);
  fake.flood = true;
  fake_event(&fake, GG_WIRE_READABLE);
  assert_int_equal(fake.player->outcome.counts.bytes_received, GG_PLAYER_TURN_BYTES);
  assert_true(fake.timer_ns <= fake.now_ns); /* goes on behind the others */
  fake_run(&fake, 20000);
  check_difference(GG_REPLAY_DIFFERENCE_BYTES, 0, 0);
  assert_int_equal(outcome()->counts.timeouts, 1);
  assert_true(fake.closed_by_reset && outcome()->ended_ns < UINT64_C(10100) * FAKE_MS);
}

static void test_a_flood_at_the_end_is_cut_off(void **state)
{
  (void)state;
  record_three();
  fake.tick_ns = 100 * 1000;
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake_says(&fake, 12, "two\n");
  fake_says(&fake, 25, "three\n");
  fake_run(&fake, 40);
  assert_true(fake.finished);
  fake.flood = true;
  fake_event(&fake, GG_WIRE_READABLE);
  fake_run(&fake, 9000);
  assert_int_equal(fake.overs, 0);
  fake_run(&fake, 11000);
  check_difference(GG_REPLAY_DIFFERENCE_LONGER, 3, 14);
  assert_true(fake.closed_by_reset);
}

/* The recorded server reset what we had ended; the live one is a little faster. */
static void test_a_reset_before_our_fin_is_as_recorded(void **state)
{
  (void)state;
  fake_send(&fake, 0, "1");
  fake_expect(&fake, 1, "one\n");
  fake_step(&fake, GG_STEP_SEND_END, 30);
  fake_step(&fake, GG_STEP_EXPECT_RESET, 31);
  fake_step(&fake, GG_STEP_OVER, 31);
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake_resets(&fake, 20);
  check_equal();
}

static void test_a_reset_that_nobody_recorded(void **state)
{
  (void)state;
  fake.options.on_close = GG_REPLAY_STOP;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "reply");
  fake_says(&fake, 20, "other");
  fake_resets(&fake, 21); /* only our FIN is left, but this is no orderly end */
  check_difference(GG_REPLAY_DIFFERENCE_RESET, 2, 10);
  assert_int_equal(outcome()->counts.closed_early, 1);
  assert_int_equal(fake.stops, 1);
}

/* A peer that takes no more, and has more to say than a turn takes: all of it is read first. */
static void test_a_refused_send_reads_all_that_was_said(void **state)
{
  (void)state;
  static char much[3 * GG_PLAYER_TURN_BYTES];
  memset(much, 'm', sizeof much - 1);
  record_three();
  begin(0);
  fake_says(&fake, 1, "one\n");
  fake.refuses = true;
  fake_push(&fake, much, sizeof much - 1);
  fake.incoming_reset = true;
  fake_run(&fake, 20);
  assert_int_equal(outcome()->counts.bytes_received, 4 + sizeof much - 1);
  assert_int_equal(outcome()->counts.closed_early, 1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    T(test_a_recorded_replay),
    T(test_a_client_that_half_closes_gets_its_reply),
    T(test_a_server_that_half_closes_is_still_sent_to),
    T(test_a_server_that_ends_before_our_fin_is_no_difference),
    T(test_an_open_end_waits_for_the_last_reply),
    T(test_a_session_without_a_byte),
    T(test_a_server_that_does_not_end),
    T(test_a_server_that_does_not_end_stops_the_replay),
    T(test_nothing_is_compared_behind_an_end_that_is_not_recorded),
    T(test_a_flood_behind_an_end_that_is_not_recorded),
    T(test_the_rest_of_a_reply_behind_an_end_that_is_not_recorded),
    T(test_another_rest_of_a_reply_behind_an_end_that_is_not_recorded),
    T(test_level_bytes_waits_for_the_servers_end),
    T(test_the_clients_reset_is_played),
    T(test_the_clients_reset_is_equal),
    T(test_the_servers_reset_is_as_recorded),
    T(test_an_end_instead_of_a_reset),
    T(test_a_reset_instead_of_an_end),
    T(test_a_reset_in_the_middle_ends_the_session),
    T(test_an_early_end_ends_the_session),
    T(test_a_server_that_has_said_all_may_end_first),
    T(test_an_excused_end_is_none_if_a_reset_follows),
    T(test_an_excused_end_is_none_if_a_send_is_refused),
    T(test_an_excused_end_is_watched_for_a_silence),
    T(test_an_excused_end_is_watched_before_a_reset),
    T(test_an_excused_end_is_one_for_what_came_before_it),
    T(test_an_early_end_stops_the_replay),
    T(test_an_early_end_and_what_can_be_sent_is_sent),
    T(test_an_early_end_until_the_socket_refuses),
    T(test_a_refused_send_reads_what_was_said),
    T(test_a_reply_that_never_comes_continues),
    T(test_a_reply_that_never_comes_ends_the_session),
    T(test_a_reply_that_never_comes_stops_the_replay),
    T(test_half_a_reply_that_times_out_is_shorter),
    T(test_a_blocked_send_goes_on),
    T(test_no_room_at_all),
    T(test_no_room_at_all_stops),
    T(test_a_flood_is_taken_in_turns_and_cut_off),
    T(test_a_flood_at_the_end_is_cut_off),
    T(test_a_reset_before_our_fin_is_as_recorded),
    T(test_a_reset_that_nobody_recorded),
    T(test_a_refused_send_reads_all_that_was_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
