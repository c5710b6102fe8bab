/* SPDX-License-Identifier: Apache-2.0 */
/**
 * replay_checks.h - one world for each test of a player, the rule that holds at every place of its recording, and what
 * can be said about how it ended. The test is linked with --wrap=gg__rules_find.
 */
#ifndef GG_TESTS_REPLAY_CHECKS_H
#define GG_TESTS_REPLAY_CHECKS_H

#include "replay_fakes.h"

static struct gg_rule the_rule; /* at every place */

const struct gg_rule *__wrap_gg__rules_find(const struct gg_rules *rules, uint32_t service, uint64_t number);
const struct gg_rule *__wrap_gg__rules_find(const struct gg_rules *rules, uint32_t service, uint64_t number)
{
  (void)rules;
  (void)service;
  (void)number;
  return &the_rule;
}

static struct fake fake;

static inline int set_up(void **state)
{
  (void)state;
  the_rule = (struct gg_rule){.kind = GG_RULE_NONE};
  fake_open(&fake);
  return 0;
}

static inline int tear_down(void **state)
{
  (void)state;
  fake_close(&fake);
  return 0;
}

static inline void terminator(const char *text)
{
  the_rule.kind = GG_RULE_TERMINATOR;
  the_rule.terminator_bytes = (uint8_t)strlen(text);
  memcpy(the_rule.terminator, text, strlen(text));
}

static inline const struct gg_replay_session *outcome(void)
{
  assert_int_equal(fake.overs, 1);
  assert_int_equal(fake.player->state, GG_PLAYER_OVER);
  return &fake.player->outcome;
}

static inline void check_sent(const char *text)
{
  if (fake.outgoing_bytes != strlen(text) || memcmp(fake.outgoing, text, strlen(text)) != 0)
    fail_msg("sent \"%.*s\", not \"%s\"", (int)fake.outgoing_bytes, (const char *)fake.outgoing, text);
}

static inline void check_sent_at(size_t offset, uint64_t at_ns)
{
  uint64_t sent_ns = fake_sent_ns(&fake, offset);
  if (sent_ns != at_ns)
    fail_msg("byte %zu went at %llu ns, not %llu", offset, (unsigned long long)sent_ns, (unsigned long long)at_ns);
}

static inline void check_equal(void)
{
  const struct gg_replay_session *session = outcome();
  if (session->verdict != GG_REPLAY_EQUAL)
    fail_msg("difference %d in chunk %llu at %llu", (int)session->difference.kind,
             (unsigned long long)session->difference.chunk, (unsigned long long)session->difference.offset);
  assert_int_equal(session->counts.chunks_unsent, 0);
  assert_int_equal(session->counts.timeouts, 0);
}

static inline void check_difference(enum gg_replay_difference_kind kind, uint64_t chunk, uint64_t offset)
{
  const struct gg_replay_session *session = outcome();
  assert_int_equal(session->verdict, GG_REPLAY_DIFFERENT);
  assert_int_equal(session->difference.kind, kind);
  assert_int_equal(session->difference.chunk, chunk);
  assert_int_equal(session->difference.offset, offset);
}

static inline void check_replies(uint64_t equal, uint64_t shorter, uint64_t longer, uint64_t different)
{
  const struct gg_replay_counts *counts = &outcome()->counts;
  assert_int_equal(counts->replies, equal + shorter + longer + different);
  assert_int_equal(counts->replies_equal, equal);
  assert_int_equal(counts->replies_shorter, shorter);
  assert_int_equal(counts->replies_longer, longer);
  assert_int_equal(counts->replies_different, different);
}

/* Two requests and their replies; the client ends. Think time of 10 ms, replies after 5 ms. */
static inline void record_dialog(const char *first, const char *second)
{
  fake_send(&fake, 0, "ONE\n");
  fake_expect(&fake, 5, first);
  fake_send(&fake, 15, "TWO\n");
  fake_expect(&fake, 20, second);
  fake_step(&fake, GG_STEP_SEND_END, 30);
  fake_step(&fake, GG_STEP_EXPECT_END, 31);
  fake_step(&fake, GG_STEP_OVER, 31);
}

static inline void begin(uint64_t connected_ms)
{
  fake_begin(&fake);
  fake_connect(&fake, connected_ms);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
