/* SPDX-License-Identifier: Apache-2.0 */
#include "net/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { DURATION = 100 };

struct owner {
  struct gg_timer timer;
  uint64_t active_ns; /* restarted lazily from here; 0: expires */
  unsigned expired;
  struct owner *stops;
};

static struct gg_timer_list list;

static uint64_t expire(struct gg_timer *timer, uint64_t now_ns)
{
  struct owner *owner = GG_CONTAINER(timer, struct owner, timer);
  if (owner->active_ns + DURATION > now_ns)
    return owner->active_ns;
  owner->expired++;
  if (owner->stops)
    gg_timer_stop(&owner->stops->timer);
  return 0;
}

static void begin(struct owner *owners, unsigned count)
{
  gg_timer_list_init(&list, DURATION, expire);
  for (unsigned i = 0; i < count; i++) {
    owners[i] = (struct owner){0};
    gg_timer_init(&owners[i].timer);
  }
}

static void they_expire_in_their_order_and_on_time(void **state)
{
  (void)state;
  struct owner owners[3];
  begin(owners, 3);
  assert_true(gg_timer_list_run(&list, 1) == UINT64_MAX);
  for (unsigned i = 0; i < 3; i++)
    gg_timer_start(&owners[i].timer, &list, 1 + i);
  assert_int_equal(gg_timer_list_run(&list, 100), 101);
  assert_int_equal(owners[0].expired, 0);
  assert_int_equal(gg_timer_list_run(&list, 101), 102);
  assert_int_equal(owners[0].expired, 1);
  assert_true(gg_timer_list_run(&list, 1000) == UINT64_MAX);
  assert_int_equal(owners[0].expired + owners[1].expired + owners[2].expired, 3);
}

/* A time-out that is off is still started, so that it may be switched on. */
static void the_duration_may_change(void **state)
{
  (void)state;
  struct owner owners[2];
  begin(owners, 2);
  list.duration_ns = 0;
  gg_timer_start(&owners[0].timer, &list, 1);
  gg_timer_start(&owners[1].timer, &list, 50);
  assert_true(gg_timer_list_run(&list, 1000000) == UINT64_MAX);
  list.duration_ns = DURATION;
  assert_int_equal(gg_timer_list_run(&list, 101), 150);
  assert_int_equal(owners[0].expired, 1);
  list.duration_ns = 0;
  assert_true(gg_timer_list_run(&list, 1000) == UINT64_MAX);
  assert_int_equal(owners[1].expired, 0);
}

static void a_stopped_one_does_not_expire(void **state)
{
  (void)state;
  struct owner owners[2];
  begin(owners, 2);
  gg_timer_start(&owners[0].timer, &list, 1);
  gg_timer_start(&owners[1].timer, &list, 2);
  gg_timer_stop(&owners[0].timer);
  gg_timer_stop(&owners[0].timer); /* twice is harmless */
  gg_timer_list_run(&list, 1000);
  assert_int_equal(owners[0].expired, 0);
  assert_int_equal(owners[1].expired, 1);
}

static void one_may_stop_another_that_is_due(void **state)
{
  (void)state;
  struct owner owners[2];
  begin(owners, 2);
  owners[0].stops = &owners[1];
  gg_timer_start(&owners[0].timer, &list, 1);
  gg_timer_start(&owners[1].timer, &list, 1);
  assert_true(gg_timer_list_run(&list, 1000) == UINT64_MAX);
  assert_int_equal(owners[0].expired, 1);
  assert_int_equal(owners[1].expired, 0);
}

static void activity_puts_it_off(void **state)
{
  (void)state;
  struct owner owners[2];
  begin(owners, 2);
  gg_timer_start(&owners[0].timer, &list, 1);
  gg_timer_start(&owners[1].timer, &list, 90);
  owners[0].active_ns = 60;
  assert_int_equal(gg_timer_list_run(&list, 101), 160); /* goes on from its activity, before the other one */
  assert_int_equal(owners[0].expired, 0);
  assert_int_equal(gg_timer_list_run(&list, 160), 190);
  assert_int_equal(owners[0].expired, 1);
  assert_true(gg_timer_list_run(&list, 190) == UINT64_MAX);
  assert_int_equal(owners[1].expired, 1);
}

static void a_start_in_the_past_finds_its_place(void **state)
{
  (void)state;
  struct owner owners[3];
  begin(owners, 3);
  gg_timer_start(&owners[0].timer, &list, 10);
  gg_timer_start(&owners[1].timer, &list, 30);
  gg_timer_start(&owners[2].timer, &list, 20);
  assert_int_equal(gg_timer_list_run(&list, 110), 120);
  assert_int_equal(gg_timer_list_run(&list, 120), 130);
  assert_int_equal(owners[2].expired, 1);
  assert_int_equal(owners[1].expired, 0);
}

static void a_restart_moves_it(void **state)
{
  (void)state;
  struct owner owners[2];
  begin(owners, 2);
  gg_timer_start(&owners[0].timer, &list, 1);
  gg_timer_start(&owners[1].timer, &list, 2);
  gg_timer_start(&owners[0].timer, &list, 50);
  assert_int_equal(gg_timer_list_run(&list, 102), 150);
  assert_int_equal(owners[0].expired, 0);
  assert_int_equal(owners[1].expired, 1);
}

static void without_duration_none_expires(void **state)
{
  (void)state;
  struct owner owner;
  begin(&owner, 1);
  gg_timer_list_init(&list, 0, expire);
  gg_timer_start(&owner.timer, &list, 1);
  assert_true(gg_timer_list_run(&list, UINT64_MAX) == UINT64_MAX);
  assert_int_equal(owner.expired, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(they_expire_in_their_order_and_on_time),
    cmocka_unit_test(the_duration_may_change),
    cmocka_unit_test(a_stopped_one_does_not_expire),
    cmocka_unit_test(one_may_stop_another_that_is_due),
    cmocka_unit_test(activity_puts_it_off),
    cmocka_unit_test(a_start_in_the_past_finds_its_place),
    cmocka_unit_test(a_restart_moves_it),
    cmocka_unit_test(without_duration_none_expires),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
