/* SPDX-License-Identifier: Apache-2.0 */
/* Names of segments: later ones sort behind earlier ones, whatever the wall clock says and whoever wrote them. */
#include "record_fixture.h"

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

static _Atomic int64_t wall_clock_s; /* set on by this much */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
  int result = __real_clock_gettime(clock, now);
  if (clock == CLOCK_REALTIME)
    now->tv_sec += atomic_load(&wall_clock_s);
  return result;
}

struct names {
  unsigned count;
  char last[128]; /* begun */
};

/* Begins a segment, and looks whether its name is behind all others. */
static void begin(struct fixture *f, struct names *names)
{
  fixture_rotate(f);
  fixture_record(f);
  gg_log_flush(f->log);
  char path[128];
  snprintf(path, sizeof path, "%s/segments", f->dir);
  uint64_t deadline = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (count_files(path) == names->count && gg_clock_mono_ns() < deadline)
    usleep(1000);
  struct dirent **found;
  int count = scandir(path, &found, walk_filter, alphasort);
  assert_int_equal(count, names->count + 1);
  if (names->count > 0)
    assert_string_equal(found[count - 2]->d_name, names->last);
  snprintf(names->last, sizeof names->last, "%.100s", found[count - 1]->d_name);
  names->count++;
  for (int i = 0; i < count; i++)
    free(found[i]);
  free(found);
}

static void plant(const struct fixture *f, const char *name)
{
  char path[256];
  (void)mkdir(f->dir, 0700);
  snprintf(path, sizeof path, "%s/segments", f->dir);
  (void)mkdir(path, 0700);
  snprintf(path, sizeof path, "%s/segments/%s", f->dir, name);
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
  assert_true(fd >= 0);
  close(fd);
}

static void test_behind_what_is_there(void **state)
{
  (void)state;
  static const char *const newest[] = {
    "20991122T235959.999Z-w0-block-000009.pcapng",
    "20991231T235959.999Z-w7-gap-000001.pcapng",
    "99981231T235959.990Z-w0-block-000001.pcapng",
  };
  for (unsigned i = 0; i < sizeof newest / sizeof newest[0]; i++) {
    struct fixture f;
    fixture_init(&f);
    plant(&f, newest[i]);
    struct gg_recorder_options options = fixture_options(&f);
    struct names names = {.count = 1};
    snprintf(names.last, sizeof names.last, "%s", newest[i]);
    for (unsigned run = 0; run < 2; run++) {
      fixture_open(&f, &options, NULL);
      begin(&f, &names);
      begin(&f, &names);
      fixture_stop(&f);
    }
    fixture_fini(&f);
  }
}

static void test_other_names_say_nothing(void **state)
{
  (void)state;
  static const char *const others[] = {
    "99991231T235959.999Z-w0-block-000001.pcapng",
    "20991322T000000.000Z-w0-block-000001.pcapng",
    "20991122T000000.00Z-w0-block-000001.pcapng",
    "20991122 000000.000Z-w0-block-000001.pcapng",
    "20991122T000000.000Z",
    "2099",
    "x.pcapng",
  };
  struct fixture f;
  fixture_init(&f);
  for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
    plant(&f, others[i]);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  fixture_record(&f);
  gg_log_flush(f.log);
  fixture_wait_written(&f);
  char year[8];
  time_t now = time(NULL);
  struct tm utc;
  strftime(year, sizeof year, "%Y", gmtime_r(&now, &utc));
  assert_memory_equal(fixture_status(&f, 0).segment, year, 4);
  fixture_stop(&f);
  fixture_fini(&f);
}

static void test_wall_clock_is_set_back(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  struct names names = {0};
  for (unsigned run = 0; run < 2; run++) {
    fixture_open(&f, &options, NULL);
    begin(&f, &names);
    atomic_fetch_sub(&wall_clock_s, 3600);
    begin(&f, &names);
    begin(&f, &names);
    fixture_stop(&f);
  }
  atomic_fetch_add(&wall_clock_s, 4 * 3600);
  fixture_open(&f, &options, NULL);
  begin(&f, &names);
  (void)fixture_stop_and_walk(&f); /* in the order of names: so were the records */
  atomic_store(&wall_clock_s, 0);
  fixture_fini(&f);
}

/* Two logs in turn, within a millisecond or with a clock that was set back in between. */
static void test_logs_share_the_order(void **state)
{
  (void)state;
  struct fixture f, g;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.logs_max = 2;
  options.log_max_bytes = 512 * KIB;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), 0);
  g = f;
  assert_int_equal(gg_recorder_log(f.recorder, "z", fixture_wake, &f, &f.log, NULL), 0);
  assert_int_equal(gg_recorder_log(f.recorder, "a", fixture_wake, &g, &g.log, NULL), 0);
  assert_int_equal(gg_recorder_start(f.recorder, NULL), 0);
  struct names names = {0};
  begin(&f, &names);
  begin(&g, &names);
  atomic_fetch_sub(&wall_clock_s, 60);
  begin(&f, &names);
  begin(&g, &names);
  gg_log_finish(g.log);
  fixture_stop(&f);
  atomic_store(&wall_clock_s, 0);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_behind_what_is_there),
    cmocka_unit_test(test_other_names_say_nothing),
    cmocka_unit_test(test_wall_clock_is_set_back),
    cmocka_unit_test(test_logs_share_the_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
