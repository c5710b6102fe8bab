/* SPDX-License-Identifier: Apache-2.0 */
#include "net/alarms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MANY = 1000, STEPS = 20000 };

struct owner {
  struct gg_alarm alarm;
  uint64_t wanted_ns; /* when it is to go off; 0: not */
  unsigned expired;
  uint64_t again_ns; /* it sets itself again, by so much */
  struct owner *stops;
};

static struct gg_alarms alarms;
static struct owner owners[MANY];
static uint64_t last_ns; /* when the one before was due */

static void expire(struct gg_alarm *alarm, uint64_t now_ns)
{
  struct owner *owner = (struct owner *)(void *)((char *)alarm - offsetof(struct owner, alarm));
  assert_false(gg_alarm_is_set(alarm));
  assert_true(owner->wanted_ns > 0 && owner->wanted_ns <= now_ns);
  assert_true(owner->wanted_ns >= last_ns);
  last_ns = owner->wanted_ns;
  owner->expired++;
  owner->wanted_ns = 0;
  if (owner->again_ns > 0) {
    owner->wanted_ns = now_ns + owner->again_ns;
    gg_alarm_set(&alarms, alarm, owner->wanted_ns);
  }
  if (owner->stops) {
    owner->stops->wanted_ns = 0;
    gg_alarm_stop(&alarms, &owner->stops->alarm);
  }
}

static int begin(void **state)
{
  (void)state;
  alarms = (struct gg_alarms){.expired = expire};
  last_ns = 0;
  for (unsigned i = 0; i < MANY; i++)
    owners[i] = (struct owner){0};
  return 0;
}

static void set(unsigned index, uint64_t at_ns)
{
  owners[index].wanted_ns = at_ns;
  gg_alarm_set(&alarms, &owners[index].alarm, at_ns);
}

static void each_at_its_own_time(void **state)
{
  (void)state;
  assert_int_equal(gg_alarms_run(&alarms, 5), UINT64_MAX);
  set(0, 30);
  set(1, 10);
  set(2, 20);
  assert_int_equal(gg_alarms_run(&alarms, 9), 10);
  assert_int_equal(owners[1].expired, 0);
  assert_int_equal(gg_alarms_run(&alarms, 10), 20);
  assert_int_equal(owners[1].expired, 1);
  assert_int_equal(gg_alarms_run(&alarms, 30), UINT64_MAX);
  assert_int_equal(owners[0].expired + owners[2].expired, 2);
}

static void set_again_and_stopped(void **state)
{
  (void)state;
  set(0, 10);
  set(0, 40); /* later */
  set(1, 50);
  set(1, 20); /* earlier */
  set(2, 5);
  owners[2].wanted_ns = 0;
  gg_alarm_stop(&alarms, &owners[2].alarm);
  gg_alarm_stop(&alarms, &owners[2].alarm); /* a second time nothing happens */
  assert_int_equal(gg_alarms_run(&alarms, 19), 20);
  assert_int_equal(gg_alarms_run(&alarms, 20), 40);
  assert_int_equal(gg_alarms_run(&alarms, 40), UINT64_MAX);
  assert_int_equal(owners[0].expired, 1);
  assert_int_equal(owners[1].expired, 1);
  assert_int_equal(owners[2].expired, 0);
}

static void callbacks_set_and_stop(void **state)
{
  (void)state;
  set(0, 10);
  owners[0].again_ns = 5;
  set(1, 11);
  owners[1].stops = &owners[2];
  set(2, 12);
  assert_int_equal(gg_alarms_run(&alarms, 12), 17);
  assert_int_equal(owners[2].expired, 0);
  last_ns = 0;
  assert_int_equal(gg_alarms_run(&alarms, 17), 22);
  assert_int_equal(owners[0].expired, 2);
}

/* Many, set, moved and stopped by chance: each goes off once, in order, at its time. */
static void as_a_plain_list_would(void **state)
{
  (void)state;
  uint64_t random = 1, now_ns = 1;
  for (unsigned i = 0; i < STEPS; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    unsigned index = (unsigned)(random >> 33) % MANY;
    uint64_t at_ns = now_ns + 1 + (random >> 20) % 5000;
    if (random >> 61 > 0) {
      set(index, at_ns);
    } else {
      owners[index].wanted_ns = 0;
      gg_alarm_stop(&alarms, &owners[index].alarm);
    }
    if (i % 16 > 0)
      continue;
    now_ns += 40;
    last_ns = 0;
    uint64_t next_ns = gg_alarms_run(&alarms, now_ns), least_ns = UINT64_MAX;
    for (unsigned k = 0; k < MANY; k++)
      if (owners[k].wanted_ns > 0 && owners[k].wanted_ns < least_ns)
        least_ns = owners[k].wanted_ns;
    assert_int_equal(next_ns, least_ns);
    assert_true(least_ns > now_ns);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(each_at_its_own_time, begin),
    cmocka_unit_test_setup(set_again_and_stopped, begin),
    cmocka_unit_test_setup(callbacks_set_and_stop, begin),
    cmocka_unit_test_setup(as_a_plain_list_would, begin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
