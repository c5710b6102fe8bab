/* SPDX-License-Identifier: Apache-2.0 */
/* The health of upstreams and the choice among them, by a clock of the test's own. */
#include "gateway/group.h"
#include "gateway/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MEMBERS = 4 };
static const uint64_t second = 1000000000;

static struct gg_metrics *metrics;
static struct gg_plane *plane;
static struct gg_upstream_options upstreams[MEMBERS];
static struct gg_listener_options listener;
static struct gg_group *group;
static struct gg_balance_turns turns;

static int set_up(void **state)
{
  (void)state;
  static const char *const names[MEMBERS] = {"a", "b", "c", "d"};
  plane = calloc(1, sizeof *plane);
  assert_non_null(plane);
  assert_int_equal(gg_metrics_create(&metrics), 0);
  assert_int_equal(gg__routes_create(&plane->routes, metrics, NULL), 0);
  assert_int_equal(gg__health_desk_init(&plane->health, metrics, NULL), 0);
  for (unsigned i = 0; i < MEMBERS; i++) {
    char text[32];
    snprintf(text, sizeof text, "10.0.0.%u:80", i + 1);
    upstreams[i] = (struct gg_upstream_options){.name = names[i], .weight = 1};
    assert_int_equal(gg_endpoint_parse(&upstreams[i].endpoint, text, false, NULL), 0);
  }
  listener = (struct gg_listener_options){.name = "web", .upstreams = upstreams, .upstream_count = 2};
  listener.health = (struct gg_health_options){.failures = 3, .out_min_ns = second, .out_max_ns = 5 * second};
  turns = (struct gg_balance_turns){{0}};
  group = NULL;
  return 0;
}

static int tear_down(void **state)
{
  (void)state;
  gg__group_destroy(group);
  gg__health_desk_fini(&plane->health);
  gg__routes_destroy(plane->routes);
  gg_metrics_destroy(metrics);
  free(plane);
  return 0;
}

static void make(void)
{
  assert_int_equal(gg__group_create(&group, plane, &listener, NULL, NULL), 0);
  gg__group_govern(group, 0);
}

/* Makes the listener's group anew from its options, as a reload does. */
static void reload(void)
{
  struct gg_group *next;
  assert_int_equal(gg__group_create(&next, plane, &listener, group, NULL), 0);
  gg__group_govern(next, 3 * second);
  gg__group_destroy(group);
  group = next;
}

static struct gg_health *health(unsigned index)
{
  return group->slots[index].member->health;
}

static uint64_t gauge(unsigned index, enum gg_connect_counter counter)
{
  return plane->health.shard->values[health(index)->route->connect + counter];
}

/* Who is chosen at that time, and at once let go: "a", "a?" for a trial, "-" for nobody. */
static const char *choice(uint64_t now_ns, const struct gg_attempts *tried)
{
  static char text[8];
  struct gg_choice chosen;
  if (!gg__group_choose(group, &turns, NULL, tried, now_ns, &chosen))
    return "-";
  snprintf(text, sizeof text, "%s%s", chosen.member->health->name, chosen.trial ? "?" : "");
  gg__member_release(chosen.member);
  return text;
}

static void miss(unsigned index, bool trial, uint64_t now_ns)
{
  gg__health_failed(health(index), &group->health, trial, "refused", now_ns, plane->health.shard);
}

static void succeed(unsigned index, uint64_t now_ns)
{
  gg__health_succeeded(health(index), now_ns, plane->health.shard);
}

static void miss_thrice(unsigned index, uint64_t now_ns)
{
  for (unsigned i = 0; i < 3; i++)
    miss(index, false, now_ns);
}

static void test_out_after_failures_in_a_row(void **state)
{
  (void)state;
  make();
  miss(0, false, second);
  miss(0, false, second);
  succeed(0, second);
  miss(0, false, second);
  miss(0, false, second);
  assert_string_equal(choice(second, NULL), "a");
  assert_int_equal(gauge(0, GG_CONNECT_UP), 1);
  miss(0, false, second);
  for (unsigned i = 0; i < 4; i++)
    assert_string_equal(choice(second, NULL), "b");
  assert_int_equal(gauge(0, GG_CONNECT_UP), 0);
  assert_int_equal(gauge(0, GG_CONNECT_OUT), 1);
  assert_int_equal(gauge(0, GG_CONNECT_OUTS), 1);
  miss(0, false, second + 5); /* begun before: it is out already, and for no longer */
  assert_true(atomic_load(&health(0)->out_until_ns) == 2 * second);
}

/* At its time one session tries it; for all others it is still out. */
static void test_one_trial_at_a_time(void **state)
{
  (void)state;
  make();
  miss_thrice(0, 0 * second);
  uint64_t out_ns[] = {1, 2, 4, 5, 5}, now_ns = 0;
  for (unsigned i = 0; i < 5; i++) {
    assert_true(atomic_load(&health(0)->out_until_ns) == now_ns + out_ns[i] * second);
    now_ns += out_ns[i] * second;
    for (unsigned before = 0; before < 3; before++)
      assert_string_equal(choice(now_ns - 1, NULL), "b");
    unsigned trials = 0;
    for (unsigned turn = 0; turn < 10; turn++)
      trials += strcmp(choice(now_ns, NULL), "a?") == 0;
    assert_int_equal(trials, 1);
    miss(0, true, now_ns);
  }
  now_ns += 5 * second;
  while (strcmp(choice(now_ns, NULL), "a?") != 0)
    continue;
  succeed(0, now_ns);
  assert_int_equal(gauge(0, GG_CONNECT_UP), 1);
  assert_int_equal(gauge(0, GG_CONNECT_OUTS), 6);
  miss_thrice(0, now_ns); /* the growing has ended */
  assert_true(atomic_load(&health(0)->out_until_ns) == now_ns + second);
}

static void test_for_want_of_others_the_one_back_soonest(void **state)
{
  (void)state;
  make();
  miss_thrice(0, 10);
  miss_thrice(1, 5);
  assert_string_equal(choice(100, NULL), "b");
  struct gg_attempts *tried = gg__attempts_create(group);
  assert_true(gg__attempts_add(tried, health(1), GG_CLOSE_CONNECT_REFUSED));
  assert_string_equal(choice(100, tried), "a");
  assert_false(gg__attempts_add(tried, health(0), GG_CLOSE_CONNECT_REFUSED));
  assert_string_equal(choice(100, tried), "-");
  gg__attempts_destroy(tried);
  gg__health_drain(health(0), true, 100);
  assert_string_equal(choice(100, NULL), "b");
  gg__health_drain(health(1), true, 100);
  assert_string_equal(choice(100, NULL), "-");
  assert_int_equal(gauge(0, GG_CONNECT_DRAINED), 1);
}

static void test_backups_last(void **state)
{
  (void)state;
  upstreams[0].backup = true;
  listener.upstream_count = 3;
  make();
  for (unsigned i = 0; i < 6; i++)
    assert_string_not_equal(choice(1, NULL), "a");
  miss_thrice(1, 1);
  assert_string_equal(choice(1, NULL), "c");
  miss_thrice(2, 1);
  assert_string_equal(choice(1, NULL), "a");
  miss_thrice(0, 1);
  assert_string_not_equal(choice(1, NULL), "-");
}

static void test_slow_start(void **state)
{
  (void)state;
  listener.health.slow_start_ns = 10 * second;
  make();
  miss_thrice(1, second);
  succeed(1, 2 * second);
  static const unsigned expected[] = {0, 33, 50}; /* after 0, 5 and 10 s: of 100 */
  for (unsigned i = 0; i < 3; i++) {
    unsigned got = 0;
    turns = (struct gg_balance_turns){{0}};
    for (unsigned turn = 0; turn < 100; turn++)
      got += strcmp(choice(2 * second + i * 5 * second, NULL), "b") == 0;
    assert_in_range(got, expected[i] > 0 ? expected[i] - 1 : 0, expected[i] + 1);
  }
  struct gg_upstream_status status;
  gg__group_status(group, 1, 11 * second, &status);
  assert_int_equal(status.state, GG_UPSTREAM_SLOW_START);
  assert_in_range(status.weight_ppm, 895000, 900000);
  gg__group_status(group, 1, 12 * second, &status);
  assert_int_equal(status.state, GG_UPSTREAM_UP);
  assert_int_equal(status.weight_ppm, 1000000);
}

/* Grows while it starts slowly; nothing while it is out or drained, before anybody asks and after. */
static void test_the_gauges_of_weights(void **state)
{
  (void)state;
  listener.health.slow_start_ns = 10 * second;
  upstreams[1].weight = 200;
  make();
  gg__group_tell_weights(group, 0);
  assert_int_equal(gauge(0, GG_CONNECT_WEIGHT), 1);
  assert_int_equal(gauge(1, GG_CONNECT_WEIGHT), 200);
  assert_int_equal(gauge(1, GG_CONNECT_WEIGHT_PART), 1000000);
  miss_thrice(1, second);
  assert_int_equal(gauge(1, GG_CONNECT_WEIGHT_PART), 0);
  gg__group_tell_weights(group, second);
  assert_int_equal(gauge(1, GG_CONNECT_WEIGHT_PART), 0);
  assert_int_equal(gauge(1, GG_CONNECT_WEIGHT), 200);
  succeed(1, 2 * second);
  for (unsigned at = 0; at < 10; at++) {
    struct gg_upstream_status status;
    gg__group_tell_weights(group, (2 + at) * second);
    gg__group_status(group, 1, (2 + at) * second, &status);
    assert_int_equal(status.state, GG_UPSTREAM_SLOW_START);
    assert_int_equal(gauge(1, GG_CONNECT_WEIGHT_PART), status.weight_ppm);
    assert_in_range(status.weight_ppm, at == 0 ? 1 : at * 100000 - 2000, at * 100000 + 20);
  }
  gg__group_tell_weights(group, 12 * second);
  assert_int_equal(gauge(1, GG_CONNECT_WEIGHT_PART), 1000000);
  gg__health_drain(health(1), true, 13 * second);
  gg__group_tell_weights(group, 13 * second);
  assert_int_equal(gauge(1, GG_CONNECT_WEIGHT_PART), 0);
  gg__health_drain(health(1), false, 14 * second);
  gg__group_tell_weights(group, 19 * second);
  assert_in_range(gauge(1, GG_CONNECT_WEIGHT_PART), 498000, 500000);
  gg__group_retire(group);
  gg__group_tell_weights(group, 30 * second);
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(gauge(i, GG_CONNECT_WEIGHT), 0);
    assert_int_equal(gauge(i, GG_CONNECT_WEIGHT_PART), 0);
  }
}

/* With it comes back who is out, for gauges and status and choice alike; and a session of the list before, by whose
 * options it would go out, does not take it out again. */
static void test_a_reload_that_turns_health_off(void **state)
{
  (void)state;
  make();
  struct gg_health_options before = group->health;
  miss_thrice(0, second);
  assert_int_equal(gauge(0, GG_CONNECT_OUT), 1);
  listener.health.failures = 0;
  reload();
  struct gg_upstream_status status;
  gg__group_status(group, 0, 3 * second, &status);
  assert_int_equal(status.state, GG_UPSTREAM_UP);
  for (unsigned i = 0; i < 2; i++) {
    gg__health_failed(health(0), &before, i == 1, "refused", 3 * second, plane->health.shard);
    assert_int_equal(gauge(0, GG_CONNECT_UP), 1);
    assert_int_equal(gauge(0, GG_CONNECT_OUT), 0);
    assert_int_equal(gauge(0, GG_CONNECT_OUTS), 1);
    assert_true(atomic_load(&health(0)->out_until_ns) == 0);
  }
  unsigned got = 0;
  for (unsigned turn = 0; turn < 10; turn++)
    got += strcmp(choice(3 * second, NULL), "a") == 0;
  assert_int_equal(got, 5);

  /* On again: the row that it has had meanwhile counts, and the growing has ended. */
  listener.health.failures = 3;
  reload();
  gg__group_status(group, 0, 3 * second, &status);
  assert_int_equal(status.state, GG_UPSTREAM_UP);
  miss(0, false, 4 * second);
  assert_true(atomic_load(&health(0)->out_until_ns) == 5 * second);
  assert_int_equal(gauge(0, GG_CONNECT_OUT), 1);
}

/* A reload keeps what is known of a name; a session keeps its upstream, whatever becomes of the list. */
static void test_reload(void **state)
{
  (void)state;
  make();
  struct gg_choice held;
  assert_true(gg__group_choose(group, &turns, NULL, NULL, 1, &held));
  assert_string_equal(held.member->health->name, "a");
  miss_thrice(1, second);
  gg__health_drain(health(0), true, second);
  struct gg_member *before = group->slots[0].member;
  upstreams[1].weight = 7;
  listener.upstream_count = 3;
  reload();
  assert_ptr_equal(group->slots[0].member, before);
  assert_int_equal(gg__member_sessions(before), 1);
  struct gg_upstream_status status;
  gg__group_status(group, 0, 1, &status);
  assert_int_equal(status.state, GG_UPSTREAM_DRAINED);
  assert_int_equal(status.sessions, 1);
  gg__group_status(group, 1, 1, &status);
  assert_int_equal(status.state, GG_UPSTREAM_OUT);
  assert_int_equal(status.weight, 7);
  assert_true(status.back_mono_ns == 2 * second);
  assert_string_equal(choice(second, NULL), "c");
  assert_int_equal(gauge(1, GG_CONNECT_OUT), 1);

  /* Another address under the same name: another member, the same health. */
  assert_int_equal(gg_endpoint_parse(&upstreams[0].endpoint, "10.0.0.9:80", false, NULL), 0);
  reload();
  assert_ptr_not_equal(group->slots[0].member, before);
  assert_ptr_equal(health(0), before->health);
  gg__group_status(group, 0, 1, &status);
  assert_string_equal(status.address, "10.0.0.9:80");
  assert_int_equal(status.sessions, 0);
  assert_int_equal(gauge(0, GG_CONNECT_DRAINED), 1);
  assert_string_equal(held.member->text, "10.0.0.1:80");

  /* Gone from the list: its gauges too; back again: it begins anew. */
  size_t slot = health(0)->route->connect + GG_CONNECT_DRAINED;
  upstreams[0] = upstreams[3];
  reload();
  assert_int_equal(plane->health.shard->values[slot], 0);
  assert_string_equal(held.member->health->name, "a");
  gg__member_release(held.member);
}

static void test_a_retired_group_keeps_the_addresses(void **state)
{
  (void)state;
  make();
  struct gg_addr addr;
  gg__group_retire(group);
  gg__group_retire(group);
  assert_true(gg__group_address(group, 1, &addr));
  assert_true(gg_addr_equal(&addr, &upstreams[1].endpoint.addr));
  gg__group_retire(NULL);
}

static void test_never_out_without_a_limit(void **state)
{
  (void)state;
  listener.health.failures = 0;
  make();
  for (unsigned i = 0; i < 100; i++)
    miss(0, false, second);
  unsigned got = 0;
  for (unsigned turn = 0; turn < 10; turn++)
    got += strcmp(choice(second, NULL), "a") == 0;
  assert_int_equal(got, 5);
}

static void test_what_is_wrong_is_refused(void **state)
{
  (void)state;
  struct gg_group *none;
  upstreams[1].name = "a";
  assert_int_equal(gg__group_create(&none, plane, &listener, NULL, NULL), GG_ERR_INVALID);
  assert_null(none);
  upstreams[1].name = "b";
  upstreams[1].weight = 0;
  assert_int_equal(gg__group_create(&none, plane, &listener, NULL, NULL), GG_ERR_INVALID);
  listener.upstream_count = 0;
  assert_int_equal(gg__group_create(&none, plane, &listener, NULL, NULL), 0);
  assert_null(none);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(test_out_after_failures_in_a_row),
    TEST(test_one_trial_at_a_time),
    TEST(test_for_want_of_others_the_one_back_soonest),
    TEST(test_backups_last),
    TEST(test_slow_start),
    TEST(test_the_gauges_of_weights),
    TEST(test_a_reload_that_turns_health_off),
    TEST(test_reload),
    TEST(test_a_retired_group_keeps_the_addresses),
    TEST(test_never_out_without_a_limit),
    TEST(test_what_is_wrong_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
