/* SPDX-License-Identifier: Apache-2.0 */
/* What a player waits for, and how it compares replies, on a clock and a wire that the test moves by hand. */
#include "replay_checks.h"

#include <stdio.h>

/* ── As recorded ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_a_dialog_as_recorded_is_equal(void **state)
{
  (void)state;
  record_dialog("first reply\n", "second reply\n");
  begin(1);
  check_sent("ONE\n");
  check_sent_at(0, 1 * FAKE_MS); /* due at 0, but not connected */
  fake_says(&fake, 7, "first ");
  fake_says(&fake, 8, "reply\n");
  fake_run(&fake, 17);
  check_sent("ONE\n");
  fake_run(&fake, 18);
  check_sent("ONE\nTWO\n");
  check_sent_at(4, 18 * FAKE_MS); /* 10 ms behind the reply's last byte */
  fake_says(&fake, 20, "second reply\n");
  fake_run(&fake, 29);
  assert_false(fake.finished);
  fake_run(&fake, 30);
  assert_true(fake.finished && fake.finished_ns == 30 * FAKE_MS);
  fake_ends(&fake, 33);
  check_equal();
  check_replies(2, 0, 0, 0);
  const struct gg_replay_session *session = outcome();
  assert_int_equal(session->counts.chunks_sent, 2);
  assert_int_equal(session->counts.released[GG_REPLAY_RELEASED_BY_START], 1);
  assert_int_equal(session->counts.released[GG_REPLAY_RELEASED_BY_IDENTICAL], 1);
  assert_int_equal(session->counts.bytes_sent, 8);
  assert_int_equal(session->counts.bytes_received, 25);
  assert_int_equal(session->counts.bytes_expected, 25);
  assert_string_equal(session->local, "127.0.0.1:40000");
  assert_true(session->connected && !fake.closed_by_reset);
  assert_int_equal(session->latency_max_ns, 8 * FAKE_MS); /* of the first: due at 0, last byte at 8 */
  assert_int_equal(fake.stage->latency.count, 2);
  assert_int_equal(fake.stage->lag.max_ns, 0);
  assert_int_equal(fake.stage->slip.count, 2);
  assert_int_equal(fake.stage->slip.max_ns, 3 * FAKE_MS); /* 8 instead of 5 */
  assert_int_equal(fake.stage->outcome.counts.chunks_sent, 2);
  assert_int_equal(fake.stage->outcome.counts.replies_equal, 2);
  assert_int_equal(fake.stage->outcome.connections_made, 1);
}

static void test_a_server_that_speaks_first_is_waited_for(void **state)
{
  (void)state;
  fake_expect(&fake, 10, "220 hello\r\n");
  fake_send(&fake, 12, "QUIT\r\n");
  fake_expect(&fake, 13, "221 bye\r\n");
  fake_step(&fake, GG_STEP_EXPECT_END, 13);
  fake_step(&fake, GG_STEP_SEND_END, 14);
  fake_step(&fake, GG_STEP_OVER, 14);
  begin(1);
  fake_run(&fake, 500);
  check_sent("");
  fake_says(&fake, 500, "220 hello\r\n");
  fake_run(&fake, 501);
  check_sent("");
  fake_run(&fake, 502);
  check_sent("QUIT\r\n");
  fake_says(&fake, 510, "221 bye\r\n");
  fake_run(&fake, 520);
  assert_false(fake.finished); /* its end is still to come */
  fake_ends(&fake, 530);
  assert_false(fake.finished);
  fake_run(&fake, 531);
  assert_true(fake.finished);
  check_equal();
  check_replies(2, 0, 0, 0);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_IDENTICAL], 1);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_START], 0);
}

static void test_replies_that_run_ahead_are_equal(void **state)
{
  (void)state;
  fake_send(&fake, 0, "c1");
  fake_send(&fake, 1, "c2");
  fake_expect(&fake, 5, "s1\n");
  fake_send(&fake, 6, "c3");
  fake_expect(&fake, 10, "s2\n");
  fake_expect(&fake, 11, "s3\n");
  fake_step(&fake, GG_STEP_OVER, 12);
  begin(0);
  fake_run(&fake, 1);
  check_sent("c1c2");
  fake_says(&fake, 3, "s1\ns"); /* s2 answers c2 */
  fake_run(&fake, 4);
  check_sent("c1c2c3");
  fake_says(&fake, 5, "2\n");
  fake_says(&fake, 6, "s3\n");
  fake_run(&fake, 100);
  check_equal();
  check_replies(2, 0, 0, 0);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_TIME], 1);
}

static void test_steps_of_one_chunk_go_together(void **state)
{
  (void)state;
  fake_payload(&fake, GG_STEP_SEND, 0, "abc", 3, true);
  fake_payload(&fake, GG_STEP_SEND, 0, "def", 3, false);
  fake_payload(&fake, GG_STEP_SEND, 0, "ghi", 3, true);
  fake_step(&fake, GG_STEP_OVER, 1);
  begin(0);
  check_sent("abcdefghi");
  assert_int_equal(fake.send_count, 3);
  assert_true(fake.sends[0].more && !fake.sends[1].more && !fake.sends[2].more);
  fake_run(&fake, 100);
  check_equal();
  assert_int_equal(outcome()->counts.chunks_sent, 2);
  assert_int_equal(fake.stage->lag.count, 3); /* two chunks, and the connection */
}

/* ── Complete? ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_a_terminator_completes_whatever_came_before(void **state)
{
  (void)state;
  terminator("\n> ");
  record_dialog("alpha\n> ", "beta\n> ");
  begin(0);
  fake_says(&fake, 5, "something else, and twice as long\n");
  fake_run(&fake, 900); /* silence is nothing here */
  check_sent("ONE\n");
  fake_says(&fake, 900, ">");
  fake_says(&fake, 1500, " ");
  fake_run(&fake, 1509);
  check_sent("ONE\n");
  fake_run(&fake, 1510);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 1520, "beta\n> ");
  fake_run(&fake, 1530);
  fake_ends(&fake, 1540);
  check_difference(GG_REPLAY_DIFFERENCE_BYTES, 0, 0);
  check_replies(1, 0, 1, 0);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_TERMINATOR], 1);
  assert_int_equal(outcome()->difference.got_size, GG_REPLAY_EXCERPT_MAX);
  assert_memory_equal(outcome()->difference.got, "something else, ", GG_REPLAY_EXCERPT_MAX);
  assert_int_equal(outcome()->difference.expected_size, 8);
  assert_memory_equal(outcome()->difference.expected, "alpha\n> ", 8);
}

/* An error message has an ending of its own; half of the recorded reply has none yet. */
static void test_a_reply_of_another_kind_is_complete_after_a_second(void **state)
{
  (void)state;
  terminator("\n> ");
  record_dialog("alpha\n> ", "beta\n> ");
  begin(0);
  fake_says(&fake, 5, "error!");
  fake_run(&fake, 1004);
  check_sent("ONE\n");
  fake_run(&fake, 1005);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 1010, "beta\n> ");
  fake_run(&fake, 1020);
  fake_ends(&fake, 1030);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_SILENCE], 1);
  assert_int_equal(outcome()->counts.timeouts, 0);
}

static void test_a_reply_of_the_same_kind_is_waited_for(void **state)
{
  (void)state;
  terminator("\n> ");
  record_dialog("alpha\n> ", "beta\n> ");
  begin(0);
  fake_says(&fake, 5, "alp");
  fake_run(&fake, 9000);
  check_sent("ONE\n");
  fake_says(&fake, 9000, "ha\n> ");
  fake_run(&fake, 9010);
  check_sent("ONE\nTWO\n");
}

static void test_a_rule_that_the_recorded_reply_breaks_is_none(void **state)
{
  (void)state;
  terminator("\n> ");
  record_dialog("no prompt", "beta\n> ");
  begin(0);
  fake_says(&fake, 5, "no Prompt");
  fake_run(&fake, 24);
  check_sent("ONE\n");
  fake_run(&fake, 25);
  check_sent("ONE\nTWO\n"); /* by silence */
}

static void test_a_length_completes(void **state)
{
  (void)state;
  the_rule = (struct gg_rule){.kind = GG_RULE_LENGTH, .length = 4};
  record_dialog("abcd", "efgh");
  begin(0);
  fake_says(&fake, 5, "xyz");
  fake_run(&fake, 800);
  check_sent("ONE\n");
  fake_says(&fake, 800, "w");
  fake_run(&fake, 810);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 820, "efgh");
  fake_run(&fake, 830);
  fake_ends(&fake, 840);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_LENGTH], 1);
  check_replies(1, 0, 0, 1);
}

/* Half of a reply, of another content, is not complete before 20 ms have passed, and a late rest puts it off again. */
static void test_silence_completes_and_is_disproved(void **state)
{
  (void)state;
  record_dialog("first reply\n", "second reply\n");
  begin(0);
  fake_says(&fake, 5, "First ");
  fake_says(&fake, 24, "rep");
  fake_run(&fake, 43);
  check_sent("ONE\n");
  fake_says(&fake, 43, "ly that is longer");
  fake_run(&fake, 62);
  check_sent("ONE\n");
  fake_run(&fake, 63);
  check_sent("ONE\nTWO\n");
  check_sent_at(4, 63 * FAKE_MS);
  fake_says(&fake, 70, "second reply\n");
  fake_run(&fake, 80);
  fake_ends(&fake, 81);
  check_difference(GG_REPLAY_DIFFERENCE_BYTES, 0, 0);
  check_replies(1, 0, 1, 0);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_SILENCE], 1);
  /* The silence is not the second reply's latency. */
  assert_int_equal(outcome()->latency_max_ns, 43 * FAKE_MS);
}

static void test_more_of_a_reply_while_the_client_thinks(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "reply\n");
  fake_send(&fake, 105, "TWO\n"); /* thinks for 100 ms */
  fake_expect(&fake, 110, "other\n");
  fake_step(&fake, GG_STEP_OVER, 111);
  begin(0);
  fake_says(&fake, 5, "Re");
  fake_run(&fake, 60);
  fake_says(&fake, 100, "ply, and more\n");
  fake_run(&fake, 119);
  check_sent("ONE\n");
  fake_run(&fake, 120);
  check_sent("ONE\nTWO\n"); /* due at 105, silent since 100 */
  fake_says(&fake, 130, "other\n");
  fake_run(&fake, 200);
  check_difference(GG_REPLAY_DIFFERENCE_BYTES, 0, 0);
  check_replies(1, 0, 1, 0);
}

/* A server that says something all the time does not put off what is due for ever. */
static void test_chatter_does_not_hold_a_chunk_back(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "reply\n");
  fake_send(&fake, 5005, "TWO\n");
  fake_expect(&fake, 5010, "other\n");
  fake_step(&fake, GG_STEP_OVER, 5011);
  begin(0);
  fake_says(&fake, 5, "REPLY\n");
  for (unsigned at = 100; at <= 4990; at += 30)
    fake_says(&fake, at, ".");
  fake_run(&fake, 5004);
  check_sent("ONE\n");
  fake_run(&fake, 5010);
  check_sent("ONE\nTWO\n");
}

static void test_recorded_pauses_and_round_trips_make_silence_longer(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "a");
  fake_expect(&fake, 305, "b");
  fake_expect(&fake, 355, "c");
  fake_send(&fake, 356, "TWO\n");
  fake_expect(&fake, 357, "d");
  fake_send(&fake, 358, "THREE\n");
  fake_step(&fake, GG_STEP_OVER, 359);
  begin(40); /* a handshake of 40 ms */
  fake_says(&fake, 50, "x");
  fake_run(&fake, 349);
  check_sent("ONE\n");
  fake_run(&fake, 350);
  check_sent("ONE\nTWO\n"); /* a pause of 300 ms */
  fake_says(&fake, 360, "y");
  fake_run(&fake, 439);
  check_sent("ONE\nTWO\n");
  fake_run(&fake, 440); /* two round trips */
  check_sent("ONE\nTWO\nTHREE\n");
}

static void test_a_count_of_bytes_completes_nothing(void **state)
{
  (void)state;
  record_dialog("12345678", "abc");
  begin(0);
  fake_says(&fake, 5, "1234567x");
  fake_run(&fake, 24);
  check_sent("ONE\n");
  fake_run(&fake, 25);
  check_sent("ONE\nTWO\n");
}

static void test_missing_bytes_are_equal_to_anything_but_complete_nothing(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "abc");
  fake_gap(&fake, GG_STEP_EXPECT_GAP, 6, 5);
  fake_expect(&fake, 7, "xyz");
  fake_send(&fake, 8, "TWO\n");
  fake_gap(&fake, GG_STEP_EXPECT_GAP, 9, 4);
  fake_step(&fake, GG_STEP_OVER, 10);
  begin(0);
  fake_says(&fake, 5, "abc?????x");
  fake_says(&fake, 6, "yz");
  fake_run(&fake, 25);
  check_sent("ONE\n");
  fake_run(&fake, 26); /* by silence */
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 30, "!!!!");
  fake_run(&fake, 500);
  check_equal();
  check_replies(2, 0, 0, 0);
}

static void test_a_client_gap_sends_nothing(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "reply\n");
  fake_gap(&fake, GG_STEP_SEND_GAP, 6, 100);
  fake_send(&fake, 8, "TWO\n");
  fake_step(&fake, GG_STEP_OVER, 9);
  begin(0);
  fake_says(&fake, 5, "reply\n");
  fake_run(&fake, 100);
  check_sent("ONE\nTWO\n");
  check_sent_at(4, 8 * FAKE_MS);
  check_equal();
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_IDENTICAL], 1);
}

/* ── Differences ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_one_flipped_byte_is_named(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "first\n");
  fake_expect(&fake, 6, "second\n");
  fake_send(&fake, 7, "TWO\n");
  fake_expect(&fake, 8, "third\n");
  fake_send(&fake, 9, "THREE\n");
  fake_expect(&fake, 10, "fourth\n");
  fake_step(&fake, GG_STEP_OVER, 11);
  begin(0);
  fake_says(&fake, 5, "first\nsecond\n");
  fake_run(&fake, 6);
  fake_says(&fake, 8, "th");
  fake_says(&fake, 8, "!");
  fake_says(&fake, 8, "rd\n");
  fake_run(&fake, 30);
  check_sent("ONE\nTWO\nTHREE\n");
  fake_says(&fake, 40, "fourth\n");
  fake_run(&fake, 100);
  check_difference(GG_REPLAY_DIFFERENCE_BYTES, 2, 15);
  check_replies(2, 0, 0, 1);
  assert_int_equal(outcome()->difference.expected_size, 4);
  assert_memory_equal(outcome()->difference.expected, "ird\n", 4);
  assert_int_equal(outcome()->difference.got_size, 4);
  assert_memory_equal(outcome()->difference.got, "!rd\n", 4);
}

/* Replies half as long again, or half as long, each in two pieces with a pause: never early where a terminator is
 * known, counted once each, and in step again behind them. */
static void test_longer_and_shorter_replies_are_counted_once(void **state)
{
  (void)state;
  static const char *const live[] = {"0123456789\n", "0123456789 6789\n", "0123\n", "0123456789\n", "X12\n"};
  enum { REPLIES = sizeof live / sizeof live[0], PAUSE_MS = 900 };
  terminator("\n");
  for (unsigned i = 0; i < REPLIES; i++) {
    fake_send(&fake, 10 * i, "?");
    fake_expect(&fake, 10 * i + 5, "0123456789\n");
  }
  fake_step(&fake, GG_STEP_OVER, 10 * REPLIES);
  begin(0);
  uint64_t at = 1;
  for (unsigned i = 0; i < REPLIES; i++) {
    fake_run(&fake, at);
    assert_int_equal(fake.outgoing_bytes, i + 1);
    char half[32] = {0};
    size_t size = strlen(live[i]) / 2;
    memcpy(half, live[i], size);
    fake_says(&fake, at, half);
    fake_says(&fake, at + PAUSE_MS, live[i] + size);
    assert_int_equal(fake.outgoing_bytes, i + 1); /* not early */
    at += PAUSE_MS + 5;
  }
  fake_run(&fake, at + 100);
  check_difference(GG_REPLAY_DIFFERENCE_BYTES, 1, 11 + 10);
  check_replies(2, 2, 1, 0);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_TERMINATOR], REPLIES - 1);
}

/* A thousand dependent steps against a server that takes 0 to 300 ms, says its replies in up to three pieces with
 * pauses of up to 300 ms, and makes them half as long again, half as long, or as recorded: no chunk goes before the
 * reply's last byte has come. */
static void test_a_thousand_steps_and_none_early(void **state)
{
  (void)state;
  enum { STEPS = 1000 };
  static const char text[] = "the quick brown fox jumps over the lazy dog";
  uint64_t chance = 20261122, at = 0;
  unsigned shorter = 0, longer = 0;
  terminator("\r\n> ");
  for (unsigned i = 0; i < STEPS; i++) {
    char recorded[64];
    snprintf(recorded, sizeof recorded, "%.28s\r\n> ", text);
    fake_send(&fake, 10 * i, "?");
    fake_expect(&fake, 10 * i + 4, recorded);
  }
  fake_step(&fake, GG_STEP_OVER, UINT64_C(10) * STEPS);
  begin(0);
  for (unsigned i = 0; i < STEPS; i++) {
    char live[64];
    chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
    unsigned length = (chance >> 33) % 3 == 0 ? 42 : (chance >> 33) % 3 == 1 ? 14 : 28;
    unsigned pieces = 1 + (unsigned)(chance >> 37) % 3;
    snprintf(live, sizeof live, "%.*s\r\n> ", (int)length, text);
    shorter += length < 28;
    longer += length > 28;
    at += 6; /* the think time */
    fake_run(&fake, at);
    assert_int_equal(fake.outgoing_bytes, i + 1);
    size_t total = strlen(live), said = 0;
    for (unsigned piece = 1; piece <= pieces; piece++) {
      chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
      at += (chance >> 33) % 300;
      size_t upto = piece == pieces ? total : said + (chance >> 43) % (total - said);
      char part[64] = {0};
      memcpy(part, live + said, upto - said);
      said = upto;
      fake_run(&fake, at);
      assert_int_equal(fake.outgoing_bytes, i + 1);
      fake_says(&fake, at, part);
      assert_int_equal(fake.outgoing_bytes, i + 1);
    }
  }
  fake_run(&fake, at + 1000);
  check_replies(STEPS - shorter - longer, shorter, longer, 0);
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_TERMINATOR], STEPS - 1);
  assert_int_equal(outcome()->counts.timeouts, 0);
}

static void test_a_longer_reply_is_longer(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "reply++");
  fake_run(&fake, 100);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 110, "other");
  fake_run(&fake, 200);
  fake_ends(&fake, 200);
  check_difference(GG_REPLAY_DIFFERENCE_LONGER, 1, 5);
  check_replies(1, 0, 1, 0);
  assert_int_equal(outcome()->difference.expected_size, 0);
  assert_int_equal(outcome()->difference.got_size, 2);
  assert_memory_equal(outcome()->difference.got, "++", 2);
}

static void test_a_shorter_reply_is_shorter(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "rep");
  fake_run(&fake, 1000); /* it looks as if there were more of it to come: that is waited for longer */
  check_sent("ONE\n");
  fake_run(&fake, 1100);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 1110, "other");
  fake_run(&fake, 1200);
  fake_ends(&fake, 1200);
  check_difference(GG_REPLAY_DIFFERENCE_SHORTER, 0, 3);
  check_replies(1, 1, 0, 0);
  assert_int_equal(outcome()->difference.expected_size, 2);
  assert_memory_equal(outcome()->difference.expected, "ly", 2);
}

static void test_a_server_that_stalls_in_a_reply_is_waited_for(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "rep");
  fake_run(&fake, 900);
  check_sent("ONE\n");
  fake_says(&fake, 900, "ly");
  fake_run(&fake, 1000);
  check_sent("ONE\nTWO\n");
  fake_says(&fake, 1000, "other");
  fake_ends(&fake, 1010);
  fake_run(&fake, 1100);
  check_equal();
  assert_int_equal(outcome()->counts.released[GG_REPLAY_RELEASED_BY_SILENCE], 0);
}

static void test_bytes_behind_the_last_reply_are_longer(void **state)
{
  (void)state;
  record_dialog("reply", "other");
  begin(0);
  fake_says(&fake, 5, "reply");
  fake_says(&fake, 20, "other");
  fake_run(&fake, 40);
  fake_says(&fake, 41, "!");
  fake_ends(&fake, 42);
  check_difference(GG_REPLAY_DIFFERENCE_LONGER, 2, 10);
}

/* Neither a long recorded pause nor a slow handshake makes silence longer than a second. */
static void test_silence_has_a_limit(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, "a");
  fake_expect(&fake, 5005, "b");
  fake_send(&fake, 5006, "TWO\n");
  fake_step(&fake, GG_STEP_OVER, 5007);
  begin(800);
  fake_says(&fake, 900, "x");
  fake_run(&fake, 1899);
  check_sent("ONE\n");
  fake_run(&fake, 1900);
  check_sent("ONE\nTWO\n");
}

static void test_a_reply_too_long_for_its_rule(void **state)
{
  (void)state;
  static char piece[(32 << 10) + 1], last[] = "end\n";
  memset(piece, 'p', sizeof piece - 1);
  terminator("\n");
  fake_send(&fake, 0, "ONE\n");
  for (unsigned i = 0; i < 2; i++)
    fake_expect(&fake, 1, piece);
  fake_expect(&fake, 1, last);
  fake_send(&fake, 2, "TWO\n");
  fake_step(&fake, GG_STEP_OVER, 3);
  begin(0);
  fake_says(&fake, 1, "short\n");
  fake_run(&fake, 20);
  check_sent("ONE\n"); /* the rule is not used */
  fake_run(&fake, 21);
  check_sent("ONE\nTWO\n");
}

static void test_a_script_without_its_last_step(void **state)
{
  (void)state;
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 1, "reply\n");
  begin(0);
  fake_says(&fake, 1, "reply\n");
  fake_run(&fake, 100);
  check_equal();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    T(test_a_dialog_as_recorded_is_equal),
    T(test_a_server_that_speaks_first_is_waited_for),
    T(test_replies_that_run_ahead_are_equal),
    T(test_steps_of_one_chunk_go_together),
    T(test_a_terminator_completes_whatever_came_before),
    T(test_a_reply_of_another_kind_is_complete_after_a_second),
    T(test_a_reply_of_the_same_kind_is_waited_for),
    T(test_a_rule_that_the_recorded_reply_breaks_is_none),
    T(test_a_length_completes),
    T(test_silence_completes_and_is_disproved),
    T(test_more_of_a_reply_while_the_client_thinks),
    T(test_chatter_does_not_hold_a_chunk_back),
    T(test_recorded_pauses_and_round_trips_make_silence_longer),
    T(test_a_count_of_bytes_completes_nothing),
    T(test_missing_bytes_are_equal_to_anything_but_complete_nothing),
    T(test_a_client_gap_sends_nothing),
    T(test_one_flipped_byte_is_named),
    T(test_longer_and_shorter_replies_are_counted_once),
    T(test_a_thousand_steps_and_none_early),
    T(test_a_longer_reply_is_longer),
    T(test_a_shorter_reply_is_shorter),
    T(test_a_server_that_stalls_in_a_reply_is_waited_for),
    T(test_bytes_behind_the_last_reply_are_longer),
    T(test_silence_has_a_limit),
    T(test_a_reply_too_long_for_its_rule),
    T(test_a_script_without_its_last_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
