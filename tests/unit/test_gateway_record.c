/* SPDX-License-Identifier: Apache-2.0 */
/* record: off - sessions that leave nothing in any log, beside others that do, from one reload to the next. */
#include "gateway_fixture.h"

#include <dirent.h>

static struct echo echo;

static unsigned segments(const struct fixture *f)
{
  char path[128];
  unsigned count = 0;
  snprintf(path, sizeof path, "%s/segments", f->dir);
  DIR *dir = opendir(path);
  for (struct dirent *entry; dir && (entry = readdir(dir));)
    count += strstr(entry->d_name, ".pcapng") != NULL;
  if (dir)
    closedir(dir);
  return count;
}

static void wait_closed(const struct fixture *f, uint64_t sessions)
{
  while (metric(f, "sessions_closed") < sessions)
    usleep(1000);
  assert_int_equal(metric(f, "sessions_closed"), sessions);
}

static void end(const struct fixture *f, int fd)
{
  uint64_t closed = metric(f, "sessions_closed");
  close(fd);
  wait_closed(f, closed + 1);
}

static void a_gateway_need_not_record(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f, &echo);
  add_listener(&f, "off", loopback(0))->record = GG_RECORD_OFF;
  add_listener(&f, "off too", loopback(0))->record = GG_RECORD_OFF;
  f.listeners[1].on_stall = f.listeners[1].on_full = GG_POLICY_CLOSE; /* of nothing */
  f.options.sync_mode = GG_SYNC_ALWAYS;                               /* likewise */
  assert_int_equal(gg_plane_logs(&f.options), 0);
  fixture_start(&f);
  assert_int_equal(gg_recorder_logs(f.recorder), 0);
  for (unsigned i = 0; i < 20; i++) {
    struct gg_endpoint to = where(&f, i % 2);
    assert_int_equal(dial_and_ask(&to), 0);
  }
  wait_closed(&f, 20);
  assert_int_equal(metric(&f, "sessions_record_off"), 20);
  assert_int_equal(metric(&f, "record_off_client_bytes"), 20);
  assert_int_equal(metric(&f, "record_off_server_bytes"), 20);
  assert_int_equal(metric(&f, "received_client_bytes"), 20);
  assert_int_equal(metric(&f, "forwarded_server_bytes"), 20);
  assert_int_equal(metric(&f, "unrecorded_bytes"), 0);
  assert_int_equal(segments(&f), 0);
  fixture_fini(&f);
}

/* A session goes on as it was accepted, whatever is in force by now. */
static void a_reload_changes_it_for_new_sessions(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f, &echo);
  add_listener(&f, "web", loopback(0))->record = GG_RECORD_OFF;
  fixture_start(&f);
  struct gg_endpoint web = where(&f, 0);
  int off = dial(&web);
  assert_int_equal(ask(off), 0);
  f.listeners[0].record = GG_RECORD_FULL;
  reload(&f);
  int full = dial(&web);
  assert_int_equal(ask(full), 0);
  assert_int_equal(ask(off), 0);
  f.listeners[0].record = GG_RECORD_OFF;
  f.listeners[0].on_full = GG_POLICY_GAP; /* another pair, if it were recorded */
  reload(&f);
  int off_again = dial(&web);
  assert_int_equal(ask(off_again), 0);
  assert_int_equal(ask(full), 0);
  assert_int_equal(ask(off), 0);
  assert_int_equal(metric(&f, "record_off_client_bytes"), 4);
  assert_int_equal(metric(&f, "received_client_bytes"), 6);
  end(&f, off);
  assert_int_equal(metric(&f, "sessions_record_off"), 1);
  end(&f, full);
  assert_int_equal(metric(&f, "sessions_record_off"), 1);
  end(&f, off_again);
  assert_int_equal(metric(&f, "sessions_record_off"), 2);
  assert_int_equal(gg_recorder_logs(f.recorder), f.options.workers);
  while (segments(&f) == 0)
    usleep(1000);
  assert_int_equal(segments(&f), 1);
  fixture_fini(&f);
}

/* All pairs of policies and the lot that is not recorded: each has a set of its own. */
static void it_has_room_beside_every_policy(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f, &echo);
  f.options.workers = 1;
  add_listener(&f, "off", loopback(0))->record = GG_RECORD_OFF;
  add_listener(&f, "on", loopback(0));
  fixture_start(&f);
  struct gg_endpoint off = where(&f, 0), on = where(&f, 1);
  for (unsigned pair = 0; pair < 9; pair++) {
    f.listeners[1].on_stall = (enum gg_policy)(pair % 3);
    f.listeners[1].on_full = (enum gg_policy)(pair / 3);
    reload(&f);
    assert_int_equal(dial_and_ask(&off), 0);
    assert_int_equal(dial_and_ask(&on), 0);
  }
  assert_int_equal(gg_recorder_logs(f.recorder), 9);
  wait_closed(&f, 18);
  assert_int_equal(metric(&f, "sessions_record_off"), 9);
  fixture_fini(&f);
}

static int setup(void **state)
{
  (void)state;
  echo_begin(&echo);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  echo_end(&echo);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_gateway_need_not_record),
    cmocka_unit_test(a_reload_changes_it_for_new_sessions),
    cmocka_unit_test(it_has_room_beside_every_policy),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
