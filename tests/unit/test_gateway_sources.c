/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/sources.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static const uint64_t start_ns = 1000 * GG_NS_PER_S;

static struct gg_addr ipv4(uint32_t number)
{
  return (struct gg_addr){.ip = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number},
                          .family = GG_FAMILY_IPV4};
}

static struct gg_addr ipv6(const char *text)
{
  struct gg_addr addr;
  assert_int_equal(gg_addr_parse(&addr, text), GG_OK);
  return addr;
}

static struct gg_source_table *make(void **state)
{
  struct gg_source_table *table;
  assert_int_equal(gg_source_table_create(&table), GG_OK);
  *state = table;
  return table;
}

static int unmake(void **state)
{
  gg_source_table_destroy(*state);
  return 0;
}

static enum gg_source_verdict take(struct gg_source_table *table, struct gg_addr addr, uint64_t sessions_max,
                                   uint64_t rate_max, uint64_t now_ns)
{
  const struct gg_source_limits limits = {sessions_max, rate_max};
  uint64_t refused;
  return gg_source_table_take(table, &addr, gg_source_bits(&addr, 64), &limits, now_ns, &refused);
}

static void give(struct gg_source_table *table, struct gg_addr addr, uint64_t now_ns)
{
  gg_source_table_give(table, &addr, gg_source_bits(&addr, 64), now_ns);
}

static void sessions_of_one_source_are_bounded(void **state)
{
  struct gg_source_table *table = make(state);
  for (unsigned i = 0; i < 3; i++)
    assert_int_equal(take(table, ipv4(1), 3, 0, start_ns), GG_SOURCE_TAKEN);
  assert_int_equal(take(table, ipv4(1), 3, 0, start_ns), GG_SOURCE_TOO_MANY);
  assert_int_equal(take(table, ipv4(2), 3, 0, start_ns), GG_SOURCE_TAKEN);
  give(table, ipv4(1), start_ns);
  assert_int_equal(take(table, ipv4(1), 3, 0, start_ns), GG_SOURCE_TAKEN);
  assert_int_equal(take(table, ipv4(1), 3, 0, start_ns), GG_SOURCE_TOO_MANY);
  assert_int_equal(take(table, ipv4(1), 4, 0, start_ns), GG_SOURCE_TAKEN); /* the limit was raised */
  assert_int_equal(gg_source_table_count(table), 2);
}

static void new_sessions_are_bounded_by_a_bucket_of_one_second(void **state)
{
  struct gg_source_table *table = make(state);
  for (unsigned i = 0; i < 10; i++)
    assert_int_equal(take(table, ipv4(1), 0, 10, start_ns), GG_SOURCE_TAKEN);
  assert_int_equal(take(table, ipv4(1), 0, 10, start_ns), GG_SOURCE_TOO_FAST);
  uint64_t later_ns = start_ns + GG_NS_PER_S / 10;
  assert_int_equal(take(table, ipv4(1), 0, 10, later_ns - 1), GG_SOURCE_TOO_FAST);
  assert_int_equal(take(table, ipv4(1), 0, 10, later_ns), GG_SOURCE_TAKEN);
  assert_int_equal(take(table, ipv4(1), 0, 10, later_ns), GG_SOURCE_TOO_FAST);
  /* Refusals take nothing out of the bucket, and it never holds more than one second's worth. */
  unsigned taken = 0;
  for (unsigned i = 0; i < 100; i++)
    taken += take(table, ipv4(1), 0, 10, start_ns + 3600 * GG_NS_PER_S) == GG_SOURCE_TAKEN;
  assert_int_equal(taken, 10);
}

static void a_refusal_by_sessions_costs_nothing_of_the_rate(void **state)
{
  struct gg_source_table *table = make(state);
  assert_int_equal(take(table, ipv4(1), 1, 2, start_ns), GG_SOURCE_TAKEN);
  for (unsigned i = 0; i < 10; i++)
    assert_int_equal(take(table, ipv4(1), 1, 2, start_ns), GG_SOURCE_TOO_MANY);
  give(table, ipv4(1), start_ns);
  assert_int_equal(take(table, ipv4(1), 1, 2, start_ns), GG_SOURCE_TAKEN);
  give(table, ipv4(1), start_ns);
  assert_int_equal(take(table, ipv4(1), 1, 2, start_ns), GG_SOURCE_TOO_FAST);
}

static void ipv6_is_counted_by_network(void **state)
{
  struct gg_source_table *table = make(state);
  assert_int_equal(take(table, ipv6("[2001:db8:1:2::1]:1"), 1, 0, start_ns), GG_SOURCE_TAKEN);
  assert_int_equal(take(table, ipv6("[2001:db8:1:2:ffff::9]:2"), 1, 0, start_ns), GG_SOURCE_TOO_MANY);
  assert_int_equal(take(table, ipv6("[2001:db8:1:3::1]:1"), 1, 0, start_ns), GG_SOURCE_TAKEN);

  const struct gg_source_limits one = {.sessions_max = 1};
  const struct gg_addr a = ipv6("[fd00::1234:1]:1"), b = ipv6("[fd00::1235:1]:1"), c = ipv6("[fd00::1236:1]:1");
  uint64_t refused;
  /* 111 bits: ...1234 and ...1235 are one network, ...1236 is another. */
  assert_int_equal(gg_source_table_take(table, &a, 111, &one, start_ns, &refused), GG_SOURCE_TAKEN);
  assert_int_equal(gg_source_table_take(table, &b, 111, &one, start_ns, &refused), GG_SOURCE_TOO_MANY);
  assert_int_equal(gg_source_table_take(table, &c, 111, &one, start_ns, &refused), GG_SOURCE_TAKEN);
  assert_int_equal(gg_source_table_take(table, &b, 128, &one, start_ns, &refused), GG_SOURCE_TAKEN);
  gg_source_table_give(table, &a, 111, start_ns);
  assert_int_equal(gg_source_table_take(table, &b, 111, &one, start_ns, &refused), GG_SOURCE_TAKEN);
}

static void who_has_no_address_is_no_source(void **state)
{
  (void)state;
  const struct gg_addr unix_peer = {.family = GG_FAMILY_UNIX}, none = {0}, four = ipv4(1), six = ipv6("[::1]:1");
  assert_int_equal(gg_source_bits(&unix_peer, 64), 0);
  assert_int_equal(gg_source_bits(&none, 64), 0);
  assert_int_equal(gg_source_bits(&four, 64), 32);
  assert_int_equal(gg_source_bits(&six, 56), 56);
}

static void the_forgotten_are_dropped(void **state)
{
  enum { MANY = 20000 };
  struct gg_source_table *table = make(state);
  for (uint32_t i = 0; i < MANY; i++) {
    assert_int_equal(take(table, ipv4(i), 2, 5, start_ns), GG_SOURCE_TAKEN);
    give(table, ipv4(i), start_ns);
  }
  assert_int_equal(gg_source_table_count(table), MANY); /* their buckets are not full yet */
  /* One second on, others come and go: their takes find those of before. */
  uint64_t later_ns = start_ns + GG_NS_PER_S;
  for (uint32_t i = 0; i < MANY; i++) {
    assert_int_equal(take(table, ipv4(MANY + i), 0, 0, later_ns), GG_SOURCE_TAKEN);
    give(table, ipv4(MANY + i), later_ns);
  }
  assert_int_equal(gg_source_table_count(table), 0);
}

static void without_a_rate_nothing_is_kept_behind_a_session(void **state)
{
  struct gg_source_table *table = make(state);
  for (uint32_t i = 0; i < 1000; i++) {
    assert_int_equal(take(table, ipv4(i), 2, 0, start_ns), GG_SOURCE_TAKEN);
    give(table, ipv4(i), start_ns);
  }
  assert_int_equal(gg_source_table_count(table), 0);
}

static void a_full_table_lets_in_uncounted(void **state)
{
  struct gg_source_table *table = make(state);
  uint32_t uncounted = 0, asked = GG_SOURCES_MAX + 100000;
  for (uint32_t i = 0; i < asked; i++) {
    enum gg_source_verdict verdict = take(table, ipv4(i), 1, 0, start_ns);
    assert_true(verdict == GG_SOURCE_TAKEN || verdict == GG_SOURCE_UNCOUNTED);
    uncounted += verdict == GG_SOURCE_UNCOUNTED;
  }
  assert_in_range(uncounted, 100000, 200000); /* some shards are full before others */
  assert_int_equal(gg_source_table_count(table), asked - uncounted);
  assert_true(gg_source_table_count(table) <= GG_SOURCES_MAX);
  /* Those that are in it are still bounded, and when they go there is room again. */
  uint32_t freed = 0;
  for (uint32_t i = 0; i < 1000; i++)
    if (take(table, ipv4(i), 1, 0, start_ns) == GG_SOURCE_TOO_MANY) {
      give(table, ipv4(i), start_ns);
      freed++;
    }
  assert_true(freed > 500);
  assert_int_equal(gg_source_table_count(table), asked - uncounted - freed);
}

static void refusals_are_told_now_and_then(void **state)
{
  struct gg_source_table *table = make(state);
  const struct gg_addr addr = ipv4(7);
  const struct gg_source_limits limits = {.sessions_max = 1};
  uint64_t refused = 99;
  gg_source_table_take(table, &addr, 32, &limits, start_ns, &refused);
  assert_int_equal(refused, 0);
  gg_source_table_take(table, &addr, 32, &limits, start_ns, &refused);
  assert_int_equal(refused, 1);
  for (unsigned i = 0; i < 41; i++) {
    gg_source_table_take(table, &addr, 32, &limits, start_ns + i, &refused);
    assert_int_equal(refused, 0);
  }
  gg_source_table_take(table, &addr, 32, &limits, start_ns + GG_NS_PER_S, &refused);
  assert_int_equal(refused, 42);
}

static void a_flood_from_everywhere_does_not_flood_the_log(void **state)
{
  struct gg_source_table *table = make(state);
  const struct gg_source_limits limits = {.sessions_max = 1};
  unsigned told = 0;
  for (uint32_t i = 0; i < 20000; i++) {
    const struct gg_addr addr = ipv4(i);
    uint64_t refused;
    gg_source_table_take(table, &addr, 32, &limits, start_ns, &refused);
    gg_source_table_take(table, &addr, 32, &limits, start_ns, &refused);
    told += refused > 0;
  }
  assert_int_equal(told, GG_SOURCE_SHARDS * GG_SOURCE_TOLD_MAX);
}

/* ── From several threads ────────────────────────────────────────────────────────────────────────────────────────── */

enum { THREADS = 4, ROUNDS = 20000, SOURCES = 97, EACH_MAX = 3 };

struct crowd {
  struct gg_source_table *table;
  _Atomic unsigned open[SOURCES];
  _Atomic unsigned over, taken;
};

static void *come_and_go(void *argument)
{
  struct crowd *crowd = argument;
  unsigned held[SOURCES] = {0};
  uint32_t random = (uint32_t)(uintptr_t)&held >> 4 | 1;
  for (unsigned i = 0; i < ROUNDS; i++) {
    random = random * 1664525u + 1013904223u;
    unsigned source = (random >> 8) % SOURCES;
    if (held[source] > 0 && random >> 31) {
      held[source]--;
      atomic_fetch_sub(&crowd->open[source], 1);
      give(crowd->table, ipv4(source), start_ns + i);
    } else if (take(crowd->table, ipv4(source), EACH_MAX, 0, start_ns + i) == GG_SOURCE_TAKEN) {
      held[source]++;
      atomic_fetch_add(&crowd->taken, 1);
      if (atomic_fetch_add(&crowd->open[source], 1) >= EACH_MAX)
        atomic_fetch_add(&crowd->over, 1);
    }
  }
  for (unsigned source = 0; source < SOURCES; source++)
    for (; held[source] > 0; held[source]--) {
      atomic_fetch_sub(&crowd->open[source], 1);
      give(crowd->table, ipv4(source), start_ns + ROUNDS);
    }
  return NULL;
}

static void the_bound_holds_over_all_threads(void **state)
{
  struct crowd crowd = {.table = make(state)};
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  assert_true(atomic_load(&crowd.taken) > 4 * SOURCES * EACH_MAX); /* else the bound was hardly met */
  assert_int_equal(atomic_load(&crowd.over), 0);
  assert_int_equal(gg_source_table_count(crowd.table), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, unmake)
  const struct CMUnitTest tests[] = {
    TEST(sessions_of_one_source_are_bounded),
    TEST(new_sessions_are_bounded_by_a_bucket_of_one_second),
    TEST(a_refusal_by_sessions_costs_nothing_of_the_rate),
    TEST(ipv6_is_counted_by_network),
    cmocka_unit_test(who_has_no_address_is_no_source),
    TEST(the_forgotten_are_dropped),
    TEST(without_a_rate_nothing_is_kept_behind_a_session),
    TEST(a_full_table_lets_in_uncounted),
    TEST(refusals_are_told_now_and_then),
    TEST(a_flood_from_everywhere_does_not_flood_the_log),
    TEST(the_bound_holds_over_all_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
