/* SPDX-License-Identifier: Apache-2.0 */
/* What limits and rules ask for, of numbers alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store/retention_plan.h"

#include <stdio.h>
#include <string.h>

#define DAY_NS (86400 * GG_NS_PER_S)

static void test_judgement(void **state)
{
  (void)state;
  const struct gg__retention_limits limits = {.max_bytes = 100, .max_age_ns = 10, .min_free = 50};
  struct gg__retention_state now = {.now_ns = 1000, .bytes = 100, .free_bytes = 50};
  assert_int_equal(gg__retention_judge(&limits, &now), GG_PRUNE_STAYS);
  assert_true(gg__retention_is_met(&limits, &now));
  now.bytes = 101;
  assert_int_equal(gg__retention_judge(&limits, &now), GG_PRUNE_BYTES);
  assert_false(gg__retention_is_met(&limits, &now));
  now.bytes = 0;
  now.free_bytes = 49;
  assert_int_equal(gg__retention_judge(&limits, &now), GG_PRUNE_FREE);
  const struct gg__retention_limits none = {0};
  now.bytes = UINT64_MAX;
  now.free_bytes = 0;
  assert_int_equal(gg__retention_judge(&none, &now), GG_PRUNE_STAYS);
  assert_true(gg__retention_expires(5, UINT64_MAX) == UINT64_MAX);
  assert_true(gg__retention_expires(UINT64_MAX - 5, 10) == UINT64_MAX);
  assert_int_equal(gg__retention_expires(5, 10), 15);
}

/* A segment goes by ages and rules when each share of it may, for whichever reason. */
static void test_due(void **state)
{
  (void)state;
  struct gg__retention_rule rules[] = {{.ages = true, .max_age_ns = 100, .max_bytes = 50}, {.max_bytes = 70}, {0}};
  const struct gg__retention_limits limits = {.max_age_ns = 10, .rules = rules, .rule_count = 3};
  struct gg__share shares[] = {{.rule = 0, .bytes = 30, .last_ns = 900}, {.rule = 3, .bytes = 99, .last_ns = 989}};
  assert_int_equal(gg__retention_due(&limits, shares, 2, 0, 1000), GG_PRUNE_STAYS); /* exactly as old as it may be */
  assert_int_equal(gg__retention_due(&limits, shares, 2, 0, 1001), GG_PRUNE_AGE);
  assert_int_equal(gg__retention_due(&limits, shares, 2, 1, 1000), GG_PRUNE_RULE);
  assert_int_equal(gg__retention_due(&limits, shares, 2, 2, 1000), GG_PRUNE_STAYS);
  assert_int_equal(gg__retention_due(&limits, shares, 2, 1, 999), GG_PRUNE_STAYS); /* the other one may not */
  shares[0].rule = GG__RULE_UNKNOWN;
  assert_int_equal(gg__retention_due(&limits, shares, 2, UINT64_MAX, 1000), GG_PRUNE_STAYS);
  assert_int_equal(gg__retention_due(&limits, shares, 2, 0, 1001), GG_PRUNE_AGE);
  shares[0].rule = 1; /* says no age: the store's counts */
  assert_int_equal(gg__retention_due(&limits, shares, 2, 0, 1000), GG_PRUNE_AGE);

  struct gg__retention_sums sums = {0};
  assert_int_equal(gg__retention_filled(&limits, &sums), 0);
  shares[0] = (struct gg__share){.rule = 1, .bytes = 69};
  gg__retention_add(&limits, &sums, shares, 2);
  assert_int_equal(gg__retention_filled(&limits, &sums), 0);
  shares[0].bytes = 1;
  gg__retention_add(&limits, &sums, shares, 2); /* the other share is of no rule, and none without a limit is filled */
  assert_int_equal(gg__retention_filled(&limits, &sums), 2);
  assert_true(gg__retention_counts(&limits));
  rules[0].max_bytes = rules[1].max_bytes = 0;
  assert_false(gg__retention_counts(&limits));
}

static void test_rules(void **state)
{
  (void)state;
  static const char *const texts[] = {"listener=ssh max_age=90d", "max_age=0 port=80",
                                      "listener=web max_age=1d max_bytes=20GiB", "max_bytes=1k listener=x"};
  struct gg__retention_limits limits = {.max_age_ns = 30 * DAY_NS};
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg__retention_rules_parse(&limits, texts, 4, 0, &failure), 0);
  struct gg_session session = {.client = "192.0.2.1:1000", .server = "203.0.113.5:443"};
  session.upstream = session.close = session.why = session.original = session.server_path = session.as_sent_of = "";
  session.protocol = session.verdict = session.verdict_by = "";
  session.listener = "ssh";
  assert_int_equal(gg__retention_rule_of(&limits, &session), 0);
  session.listener = "web";
  assert_int_equal(gg__retention_rule_of(&limits, &session), 2);
  snprintf(session.server, sizeof session.server, "203.0.113.5:80"); /* the first that matches */
  assert_int_equal(gg__retention_rule_of(&limits, &session), 1);
  session.listener = "other";
  snprintf(session.server, sizeof session.server, "203.0.113.5:443");
  assert_int_equal(gg__retention_rule_of(&limits, &session), 4);
  static const uint64_t ages[] = {90 * DAY_NS, UINT64_MAX, DAY_NS, 30 * DAY_NS, 30 * DAY_NS};
  for (size_t i = 0; i < 5; i++)
    assert_true(gg__retention_age(&limits, i) == ages[i]);
  assert_true(limits.rules[2].max_bytes == UINT64_C(20) << 30 && limits.rules[3].max_bytes == 1024);
  assert_true(gg__retention_age_least(&limits) == DAY_NS);
  assert_true(gg__retention_age_most(&limits) == UINT64_MAX);
  assert_true(gg__retention_age(&limits, GG__RULE_UNKNOWN) == UINT64_MAX);
  assert_false(gg__retention_asks_marks(&limits));
  gg__retention_rules_free(&limits);
  static const char *const marked[] = {"tag=noise max_bytes=1k", "port=1..9 held max_age=1d", "tag!=x max_age=1d"};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(gg__retention_rules_parse(&limits, &marked[i], 1, 0, &failure), 0);
    assert_true(gg__retention_asks_marks(&limits));
    gg__retention_rules_free(&limits);
  }
}

static void test_wrong_rules(void **state)
{
  (void)state;
  static const char *const wrong[] = {"",
                                      "max_age=7d",
                                      "listener=x",
                                      "listener=x max_age=7",
                                      "wrong=1 max_age=7d",
                                      "max_age=1d max_age=2d port=1",
                                      "max_bytes=1k max_age=1d",
                                      "max_bytes=1k max_bytes=2k port=1",
                                      "listener=x max_bytes=lots",
                                      "listener=x max_bytes=",
                                      "listener=x max_age="};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg__retention_limits limits = {0};
    struct gg_failure failure = GG_FAILURE_INIT;
    assert_int_equal(gg__retention_rules_parse(&limits, &wrong[i], 1, 0, &failure), GG_ERR_INVALID);
    assert_non_null(strstr(failure.message, "rule"));
    assert_null(limits.rules);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_judgement),
    cmocka_unit_test(test_due),
    cmocka_unit_test(test_rules),
    cmocka_unit_test(test_wrong_rules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
