/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing among upstreams: shares, stability, and the order of turns. */
#include "net/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLIENTS = 60000 };

static uint64_t mask_of(unsigned count)
{
  return count == 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
}

static void name_all(struct gg_balance_candidate *all, unsigned count)
{
  for (unsigned i = 0; i < count; i++) {
    char name[32];
    snprintf(name, sizeof name, "10.0.0.%u:80", i + 1);
    all[i].key = gg_balance_key(name);
  }
}

/* Clients as they come: 10.x.y.z. */
static uint64_t client_of(unsigned number)
{
  struct gg_addr addr = {.ip = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number},
                         .family = GG_FAMILY_IPV4};
  return gg_balance_client(&addr);
}

static void test_turns_are_spread(void **state)
{
  (void)state;
  const struct gg_balance_candidate all[] = {{.weight = 5}, {.weight = 1}, {.weight = 1}};
  struct gg_balance_turns turns = {{0}};
  char order[15] = "";
  for (unsigned i = 0; i < 14; i++)
    order[i] = (char)('a' + gg_balance_round_robin(&turns, all, mask_of(3)));
  assert_string_equal(order, "aabacaaaabacaa");
}

static void test_turns_are_exact(void **state)
{
  (void)state;
  struct gg_balance_candidate all[64];
  struct gg_balance_turns turns = {{0}};
  unsigned got[64] = {0}, total = 0;
  for (unsigned i = 0; i < 64; i++) {
    all[i] = (struct gg_balance_candidate){.weight = 1 + (i * 37) % 256};
    total += all[i].weight;
  }
  for (unsigned round = 0; round < 3; round++) {
    for (unsigned i = 0; i < total; i++)
      got[gg_balance_round_robin(&turns, all, UINT64_MAX)]++;
    for (unsigned i = 0; i < 64; i++)
      assert_int_equal(got[i], (round + 1) * all[i].weight);
  }
}

static void test_turns_without_one(void **state)
{
  (void)state;
  const struct gg_balance_candidate all[] = {{.weight = 2}, {.weight = 3}, {.weight = 1}};
  struct gg_balance_turns turns = {{0}};
  unsigned got[3] = {0};
  gg_balance_round_robin(&turns, all, 7);
  for (unsigned i = 0; i < 300; i++)
    got[gg_balance_round_robin(&turns, all, 5)]++;
  assert_int_equal(got[1], 0);
  assert_in_range(got[0], 199, 201);
  assert_int_equal(gg_balance_round_robin(&turns, all, 2), 1);
}

static void test_least_loaded(void **state)
{
  (void)state;
  struct gg_balance_candidate all[] = {{.weight = 1, .load = 4}, {.weight = 4, .load = 16}, {.weight = 2, .load = 9}};
  struct gg_balance_turns turns = {{0}};
  assert_int_equal(gg_balance_least_loaded(&turns, all, 7), 1); /* 5/1, 17/4, 10/2 */
  assert_int_equal(gg_balance_least_loaded(&turns, all, 5), 2); /* equals: the turns decide */
  all[0].load = 5;
  assert_int_equal(gg_balance_least_loaded(&turns, all, 5), 2);
  all[1].load = UINT32_MAX;
  assert_int_equal(gg_balance_least_loaded(&turns, all, 2), 1);
}

/* Sessions that stay are shared by weight; those that end at once too, not all to the first. */
static void test_least_loaded_shares(void **state)
{
  (void)state;
  struct gg_balance_candidate all[] = {{.weight = 3}, {.weight = 1}, {.weight = 2}};
  struct gg_balance_turns turns = {{0}};
  for (unsigned i = 0; i < 600; i++)
    all[gg_balance_least_loaded(&turns, all, 7)].load++;
  assert_int_equal(all[0].load, 300);
  assert_int_equal(all[1].load, 100);
  assert_int_equal(all[2].load, 200);
  struct gg_balance_candidate idle[] = {{.weight = 1}, {.weight = 1}, {.weight = 1}};
  unsigned got[3] = {0};
  for (unsigned i = 0; i < 300; i++)
    got[gg_balance_least_loaded(&turns, idle, 7)]++;
  for (unsigned i = 0; i < 3; i++)
    assert_in_range(got[i], 99, 101);
}

/* Five standard deviations of a binomial share: seen once in three million times by chance, and this is one run. */
static void assert_share(unsigned got, unsigned of, double share)
{
  double expected = of * share, off = got - expected, variance = expected * (1 - share);
  if (off * off > 25 * variance)
    fail_msg("%u of %u, expected %.0f, variance %.0f", got, of, expected, variance);
}

static void test_hash_shares(void **state)
{
  (void)state;
  static const unsigned weights[] = {1, 1, 2, 4, 8};
  struct gg_balance_candidate all[5] = {{0}};
  unsigned got[5] = {0};
  name_all(all, 5);
  for (unsigned i = 0; i < 5; i++)
    all[i].weight = weights[i];
  for (unsigned i = 0; i < CLIENTS; i++)
    got[gg_balance_hash(all, mask_of(5), client_of(i))]++;
  for (unsigned i = 0; i < 5; i++)
    assert_share(got[i], CLIENTS, weights[i] / 16.0);
}

/* One leaves: its clients move, and no other; they go to the rest by weight. It comes back: everybody is where they
 * were. */
static void test_hash_is_stable(void **state)
{
  (void)state;
  static uint8_t before[CLIENTS];
  struct gg_balance_candidate all[4] = {{.weight = 3}, {.weight = 1}, {.weight = 2}, {.weight = 2}};
  name_all(all, 4);
  for (unsigned i = 0; i < CLIENTS; i++)
    before[i] = (uint8_t)gg_balance_hash(all, 15, client_of(i));
  for (unsigned gone = 0; gone < 4; gone++) {
    unsigned moved[4] = {0}, left = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
      unsigned now = gg_balance_hash(all, 15u & ~(1u << gone), client_of(i));
      assert_int_not_equal(now, gone);
      if (before[i] != gone)
        assert_int_equal(now, before[i]);
      else
        moved[now]++;
      left += before[i] == gone;
      assert_int_equal(gg_balance_hash(all, 15, client_of(i)), before[i]);
    }
    assert_share(left, CLIENTS, all[gone].weight / 8.0);
    for (unsigned i = 0; i < 4; i++)
      if (i != gone)
        assert_share(moved[i], left, all[i].weight / (8.0 - all[gone].weight));
  }
}

/* A weight that grows (slow start) only draws clients to that member; nobody moves between the others. */
static void test_hash_weight_grows(void **state)
{
  (void)state;
  struct gg_balance_candidate all[3] = {{.weight = 256}, {.weight = 256}, {.weight = 1}};
  name_all(all, 3);
  for (unsigned i = 0; i < 5000; i++) {
    unsigned last = GG_BALANCE_NONE;
    for (uint32_t weight = 1; weight <= 256; weight *= 2) {
      all[2].weight = weight;
      unsigned now = gg_balance_hash(all, 7, client_of(i));
      if (last != GG_BALANCE_NONE && now != last)
        assert_int_equal(now, 2);
      last = now;
    }
  }
}

static void test_hash_knows_no_order(void **state)
{
  (void)state;
  struct gg_balance_candidate all[64], other[64];
  memset(all, 0, sizeof all);
  name_all(all, 64);
  for (unsigned i = 0; i < 64; i++) {
    all[i].weight = i % 5 + 1;
    other[63 - i] = all[i];
  }
  for (unsigned i = 0; i < 2000; i++)
    assert_int_equal(gg_balance_hash(all, UINT64_MAX, client_of(i)),
                     63 - gg_balance_hash(other, UINT64_MAX, client_of(i)));
}

static void test_client_is_its_address(void **state)
{
  (void)state;
  struct gg_addr a, b;
  assert_int_equal(gg_addr_parse(&a, "192.0.2.1:1000"), 0);
  assert_int_equal(gg_addr_parse(&b, "192.0.2.1:2000"), 0);
  assert_true(gg_balance_client(&a) == gg_balance_client(&b));
  assert_int_equal(gg_addr_parse(&b, "192.0.2.2:1000"), 0);
  assert_false(gg_balance_client(&a) == gg_balance_client(&b));
  assert_int_equal(gg_addr_parse(&a, "[2001:db8::1]:1"), 0);
  assert_int_equal(gg_addr_parse(&b, "[2001:db8:0:1::1]:1"), 0);
  assert_false(gg_balance_client(&a) == gg_balance_client(&b));
}

/* Gateways in front of the same servers agree, now and after an update: these must never change. */
static void test_known_answers(void **state)
{
  (void)state;
  struct gg_balance_candidate all[8] = {{0}};
  char answers[41] = "";
  name_all(all, 8);
  for (unsigned i = 0; i < 8; i++)
    all[i].weight = 1 + i % 3;
  for (unsigned i = 0; i < 40; i++)
    answers[i] = (char)('0' + gg_balance_hash(all, mask_of(8), client_of(i)));
  assert_string_equal(answers, "5372616161534162462110422456472074515575");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_turns_are_spread),    cmocka_unit_test(test_turns_are_exact),
    cmocka_unit_test(test_turns_without_one),   cmocka_unit_test(test_least_loaded),
    cmocka_unit_test(test_least_loaded_shares), cmocka_unit_test(test_hash_shares),
    cmocka_unit_test(test_hash_is_stable),      cmocka_unit_test(test_hash_weight_grows),
    cmocka_unit_test(test_hash_knows_no_order), cmocka_unit_test(test_client_is_its_address),
    cmocka_unit_test(test_known_answers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
