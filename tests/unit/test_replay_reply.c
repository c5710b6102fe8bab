/* SPDX-License-Identifier: Apache-2.0 */
/* The live stream beside the recorded one, without a player. */
#include "replay_fakes.h"

static struct fake fake;
static struct gg_reply reply;
static struct gg_replay_counts counts;

static int set_up(void **state)
{
  (void)state;
  fake_open(&fake);
  memset(&counts, 0, sizeof counts);
  return 0;
}

static int tear_down(void **state)
{
  (void)state;
  fake_close(&fake);
  return 0;
}

static void begin(void)
{
  gg__reply_begin(&reply, &fake.script, 0);
}

static void feed(const char *text)
{
  assert_int_equal(gg__reply_feed(&reply, (const uint8_t *)text, strlen(text), NULL), 0);
}

/* A cursor behind the first `steps` steps. */
static struct gg_cursor behind(uint32_t steps)
{
  return (struct gg_cursor){0, steps};
}

static void turn(uint32_t steps, uint64_t chunks)
{
  assert_int_equal(gg__reply_turn(&reply, behind(steps), chunks, &counts, NULL), 0);
}

static void end(bool cut)
{
  assert_int_equal(gg__reply_end(&reply, cut, &counts, NULL), 0);
}

static void check(enum gg_replay_difference_kind kind, uint64_t chunk, uint64_t offset)
{
  assert_int_equal(reply.difference.kind, kind);
  assert_int_equal(reply.difference.chunk, chunk);
  assert_int_equal(reply.difference.offset, offset);
}

static void check_counts(uint64_t equal, uint64_t shorter, uint64_t longer, uint64_t different)
{
  assert_int_equal(counts.replies, equal + shorter + longer + different);
  assert_int_equal(counts.replies_equal, equal);
  assert_int_equal(counts.replies_shorter, shorter);
  assert_int_equal(counts.replies_longer, longer);
  assert_int_equal(counts.replies_different, different);
}

/* Steps: 0 send, 1 "abcd", 2 "efgh" of one chunk, 3 send, 4 "ijkl", 5 send, 6 "mnop", 7 over. */
static void record(void)
{
  fake_send(&fake, 0, "?");
  fake_expect(&fake, 1, "abcd");
  fake_payload(&fake, GG_STEP_EXPECT, 1, "efgh", 4, false);
  fake_send(&fake, 2, "?");
  fake_expect(&fake, 3, "ijkl");
  fake_send(&fake, 4, "?");
  fake_expect(&fake, 5, "mnop");
  fake_step(&fake, GG_STEP_OVER, 6);
  begin();
}

static void test_equal_in_any_pieces(void **state)
{
  (void)state;
  record();
  gg__reply_await(&reply, 8);
  feed("ab");
  assert_false(gg__reply_identical(&reply));
  feed("cdef");
  feed("gh");
  assert_true(gg__reply_identical(&reply));
  turn(4, 1);
  gg__reply_await(&reply, 12);
  assert_false(gg__reply_identical(&reply));
  feed("ijklmn"); /* ahead */
  assert_true(gg__reply_identical(&reply));
  turn(6, 2);
  assert_int_equal(reply.turn_bytes, 2);
  feed("op");
  end(false);
  check_counts(3, 0, 0, 0);
  check(GG_REPLAY_DIFFERENCE_NONE, 0, 0);
}

static void test_a_byte_in_a_continued_chunk(void **state)
{
  (void)state;
  record();
  gg__reply_await(&reply, 8);
  feed("abcdeX");
  feed("gh and more than fits");
  check(GG_REPLAY_DIFFERENCE_BYTES, 0, 5);
  assert_int_equal(reply.difference.expected_size, 3);
  assert_memory_equal(reply.difference.expected, "fgh", 3);
  assert_int_equal(reply.difference.got_size, GG_REPLAY_EXCERPT_MAX);
  assert_memory_equal(reply.difference.got, "Xgh and more tha", GG_REPLAY_EXCERPT_MAX);
  turn(4, 1);
  feed("ijkl"); /* in step again */
  gg__reply_await(&reply, 12);
  assert_true(gg__reply_identical(&reply));
  turn(6, 2);
  feed("mnop");
  end(false);
  check_counts(2, 0, 1, 0);
  assert_int_equal(reply.difference.got_size, GG_REPLAY_EXCERPT_MAX);
}

static void test_an_excerpt_goes_over_steps(void **state)
{
  (void)state;
  record();
  gg__reply_await(&reply, 8);
  feed("abX");
  assert_int_equal(reply.difference.expected_size, 6);
  assert_memory_equal(reply.difference.expected, "cdefgh", 6);
  assert_int_equal(reply.difference.got_size, 1);
}

static void test_the_first_difference_stays(void **state)
{
  (void)state;
  record();
  gg__reply_await(&reply, 8);
  feed("abcdefgX");
  turn(4, 1);
  gg__reply_await(&reply, 12);
  feed("ijk");
  turn(6, 2);
  gg__reply_differs(&reply, GG_REPLAY_DIFFERENCE_CLOSED);
  feed("mnop!");
  end(false);
  check(GG_REPLAY_DIFFERENCE_BYTES, 0, 7);
  assert_int_equal(reply.difference.got_size, 1);
  check_counts(0, 1, 1, 1);
}

static void test_longer_is_known_only_at_the_turn(void **state)
{
  (void)state;
  record();
  feed("abcdefgh!!");
  check(GG_REPLAY_DIFFERENCE_BYTES, 1, 8); /* it might be the next reply's beginning */
  gg__reply_await(&reply, 8);
  turn(4, 1);
  check(GG_REPLAY_DIFFERENCE_LONGER, 1, 8);
  check_counts(0, 0, 1, 0);
}

static void test_shorter_names_what_is_missing(void **state)
{
  (void)state;
  record();
  gg__reply_await(&reply, 8);
  feed("abcd");
  turn(4, 1);
  check(GG_REPLAY_DIFFERENCE_SHORTER, 0, 4);
  assert_int_equal(reply.difference.expected_size, 4);
  assert_memory_equal(reply.difference.expected, "efgh", 4);
  assert_int_equal(reply.difference.got_size, 0);
  feed("ijklmnop");
  gg__reply_await(&reply, 12);
  turn(6, 2);
  end(false);
  check_counts(2, 1, 0, 0);
}

static void test_nothing_is_no_reply(void **state)
{
  (void)state;
  record();
  gg__reply_await(&reply, 8);
  turn(4, 1);
  check(GG_REPLAY_DIFFERENCE_SHORTER, 0, 0);
  check_counts(0, 0, 0, 0);
  feed("ijklmnop");
  end(false);
  check_counts(1, 0, 0, 0);
}

static void test_a_missing_end(void **state)
{
  (void)state;
  record();
  feed("abcdefghi");
  end(false);
  check(GG_REPLAY_DIFFERENCE_SHORTER, 1, 9);
  check_counts(0, 1, 0, 0);
}

static void test_a_cut_says_nothing_of_the_rest(void **state)
{
  (void)state;
  record();
  feed("abcdefghi");
  end(true);
  check(GG_REPLAY_DIFFERENCE_NONE, 0, 0);
  check_counts(0, 0, 0, 0);
}

static void test_a_cut_counts_what_was_whole(void **state)
{
  (void)state;
  record();
  gg__reply_await(&reply, 8);
  feed("abcdefgh");
  end(true);
  check_counts(1, 0, 0, 0);
}

static void test_gaps_are_equal_to_anything(void **state)
{
  (void)state;
  fake_expect(&fake, 0, "ab");
  fake_gap(&fake, GG_STEP_EXPECT_GAP, 1, UINT64_C(6000000000)); /* more than 32 bits count */
  fake_expect(&fake, 2, "yz");
  fake_step(&fake, GG_STEP_OVER, 3);
  begin();
  feed("abwhatever");
  assert_int_equal(reply.offset, 10);
  static uint8_t block[1 << 20];
  for (uint64_t left = UINT64_C(6000000000) - 8; left > 0;) {
    uint64_t size = left < sizeof block ? left : sizeof block;
    assert_int_equal(gg__reply_feed(&reply, block, size, NULL), 0);
    left -= size;
  }
  feed("y!");
  check(GG_REPLAY_DIFFERENCE_BYTES, 1, UINT64_C(6000000003));
}

static void test_terminators(void **state)
{
  (void)state;
  struct gg_rule rule = {.kind = GG_RULE_TERMINATOR, .terminator_bytes = 1, .terminator = "\n"};
  record();
  gg__reply_await(&reply, 8);
  assert_false(gg__reply_obeys(&reply, &rule)); /* nothing is not the end of a line */
  feed("x");
  assert_false(gg__reply_obeys(&reply, &rule));
  feed("y\n");
  assert_true(gg__reply_obeys(&reply, &rule));
  feed("z");
  assert_false(gg__reply_obeys(&reply, &rule));
  rule = (struct gg_rule){.kind = GG_RULE_TERMINATOR, .terminator_bytes = GG_TERMINATOR_MAX};
  memcpy(rule.terminator, "0123456789abcdef0123456789abcdef", GG_TERMINATOR_MAX);
  for (const char *at = "--0123456789abcdef0123456789abcdef"; *at; at++) {
    assert_false(gg__reply_obeys(&reply, &rule));
    feed((char[]){*at, '\0'});
  }
  assert_true(gg__reply_obeys(&reply, &rule));
  feed("--0123456789abcdef0123456789abcdeF");
  assert_false(gg__reply_obeys(&reply, &rule));
  turn(4, 1);
  assert_int_equal(reply.tail_bytes, 0);
  assert_false(gg__reply_obeys(&reply, &rule));
}

static void test_lengths(void **state)
{
  (void)state;
  struct gg_rule rule = {.kind = GG_RULE_LENGTH, .length = 3};
  record();
  gg__reply_await(&reply, 8);
  feed("xy");
  assert_false(gg__reply_obeys(&reply, &rule));
  feed("z");
  assert_true(gg__reply_obeys(&reply, &rule));
}

static uint64_t chance;

static uint64_t pick(uint64_t below)
{
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return chance % below;
}

/* Random dialogs in random pieces: equal if nothing is changed; if a byte is, exactly that one is named, its reply is
 * the only one that differs, and the others are equal. */
static void test_random_dialogs(void **state)
{
  (void)state;
  enum { ROUNDS = 3000, REPLIES = 8, REPLY_MAX = 300 };
  for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
    uint64_t ends[REPLIES], chunks[REPLIES], chunk_of_byte[REPLIES * REPLY_MAX];
    uint32_t steps[REPLIES];
    uint8_t live[REPLIES * REPLY_MAX];
    uint64_t total = 0, chunk_count = 0;
    chance = seed * UINT64_C(0x9E3779B97F4A7C15);
    fake.step_count = fake.recorded_bytes = 0; /* a new fake is tens of megabytes, which some allocators fill */
    memset(fake.offset, 0, sizeof fake.offset);
    memset(&fake.facts, 0, sizeof fake.facts);
    memset(&counts, 0, sizeof counts);
    for (unsigned i = 0; i < REPLIES; i++) {
      fake_send(&fake, i, "?");
      for (uint64_t left = 1 + pick(REPLY_MAX); left > 0;) {
        uint64_t size = 1 + pick(left);
        bool begins = chunk_count == 0 || pick(3) > 0;
        chunk_count += begins;
        for (uint64_t k = 0; k < size; k++) {
          chunk_of_byte[total + k] = chunk_count - 1;
          live[total + k] = (uint8_t)pick(256);
        }
        fake_payload(&fake, GG_STEP_EXPECT, i, live + total, size, begins);
        total += size;
        left -= size;
      }
      ends[i] = total;
      chunks[i] = chunk_count;
      steps[i] = (uint32_t)fake.step_count;
    }
    fake_step(&fake, GG_STEP_OVER, 100);
    begin();
    bool changed = pick(2);
    uint64_t where = pick(total);
    unsigned bad = 0;
    while (ends[bad] <= where)
      bad++;
    live[where] ^= changed ? 1 + (uint8_t)pick(255) : 0;
    for (unsigned i = 0; i < REPLIES; i++) {
      gg__reply_await(&reply, ends[i]);
      for (uint64_t at = i ? ends[i - 1] : 0; at < ends[i];) {
        uint64_t size = 1 + pick(ends[i] - at);
        assert_false(gg__reply_identical(&reply));
        assert_int_equal(gg__reply_feed(&reply, live + at, size, NULL), 0);
        at += size;
      }
      assert_int_equal(gg__reply_identical(&reply), !changed || i != bad);
      if (i + 1 < REPLIES)
        turn(steps[i] + 1, chunks[i]); /* behind the client's step */
    }
    end(false);
    check_counts(REPLIES - changed, 0, 0, changed);
    if (changed)
      check(GG_REPLAY_DIFFERENCE_BYTES, chunk_of_byte[where], where);
    else
      check(GG_REPLAY_DIFFERENCE_NONE, 0, 0);
  }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    T(test_equal_in_any_pieces),
    T(test_a_byte_in_a_continued_chunk),
    T(test_an_excerpt_goes_over_steps),
    T(test_the_first_difference_stays),
    T(test_longer_is_known_only_at_the_turn),
    T(test_shorter_names_what_is_missing),
    T(test_nothing_is_no_reply),
    T(test_a_missing_end),
    T(test_a_cut_says_nothing_of_the_rest),
    T(test_a_cut_counts_what_was_whole),
    T(test_gaps_are_equal_to_anything),
    T(test_terminators),
    T(test_lengths),
    T(test_random_dialogs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
