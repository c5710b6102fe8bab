/* SPDX-License-Identifier: Apache-2.0 */
/* The store's directory: private whatever the umask, one process at a time, and a name that stays. */
#include "record_fixture.h"

static void assert_mode(const struct fixture *f, const char *name, mode_t mode)
{
  char path[512];
  struct stat status;
  snprintf(path, sizeof path, "%s/%s", f->dir, name);
  if (stat(path, &status) != 0 || (status.st_mode & 07777) != mode)
    fail_msg("%s: mode is %o", name, (unsigned)(status.st_mode & 07777));
}

static void private_under(mode_t mask)
{
  struct fixture f;
  fixture_init(&f);
  mode_t before = umask(mask);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  fixture_record(&f);
  assert_mode(&f, ".", 0700);
  assert_mode(&f, "segments", 0700);
  assert_mode(&f, "lock", 0600);
  assert_mode(&f, "store", 0600);
  assert_mode(&f, "running", 0600);
  char ring[512], beside[600];
  only_file(ring, f.rings);
  snprintf(beside, sizeof beside, "../rings%s", strrchr(ring, '/'));
  assert_mode(&f, beside, 0600);
  (void)fixture_stop_and_walk(&f); /* looks at the segments' modes */
  umask(before);
  fixture_fini(&f);
}

static void test_private(void **state)
{
  (void)state;
  private_under(0);
  private_under(077);
}

static void test_second_is_told_the_first(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  struct gg_recorder *second = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_recorder_open(&second, &options, NULL, &failure), GG_ERR_BUSY);
  assert_null(second);
  char expected[256];
  snprintf(expected, sizeof expected, "store %s is in use by gogetway process %d", f.dir, (int)getpid());
  assert_string_equal(failure.message, expected);
  fixture_record(&f); /* the first one did not notice */
  fixture_stop(&f);
  assert_int_equal(gg_recorder_open(&second, &options, NULL, NULL), 0);
  gg_recorder_destroy(second);
  fixture_fini(&f);
}

static void test_name_stays(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  char uuid[64];
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), 0);
    assert_int_equal(strlen(gg_recorder_uuid(f.recorder)), 36);
    if (i)
      assert_string_equal(gg_recorder_uuid(f.recorder), uuid);
    snprintf(uuid, sizeof uuid, "%s", gg_recorder_uuid(f.recorder));
    gg_recorder_destroy(f.recorder);
  }
  char path[128];
  snprintf(path, sizeof path, "%s/store", f.dir);
  FILE *file = fopen(path, "w");
  fputs("something else\n", file);
  fclose(file);
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, &failure), GG_ERR_FORMAT);
  fixture_fini(&f);
}

static void test_directory_of_others_keeps_its_mode(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  assert_int_equal(mkdir(f.dir, 0755), 0);
  assert_int_equal(chmod(f.dir, 0755), 0);
  char path[128];
  snprintf(path, sizeof path, "%s/letter", f.dir);
  fclose(fopen(path, "w"));
  struct gg_recorder_options options = fixture_options(&f);
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), 0);
  assert_mode(&f, ".", 0755);
  assert_mode(&f, "segments", 0700);
  gg_recorder_destroy(f.recorder);
  fixture_fini(&f);
}

static void test_wrong_options(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options good = fixture_options(&f), options = good;
  options.size = 1;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), GG_ERR_INVALID);
  options = good;
  options.dir = NULL;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), GG_ERR_INVALID);
  options = good;
  options.logs_max = 2;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), GG_ERR_RANGE);
  options = good;
  options.dir = "/proc/no/such";
  assert_int_not_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), 0);
  options = good;
  options.ring_dir = "/no/such";
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_recorder_open(&f.recorder, &good, NULL, NULL), 0); /* nothing is left locked */
  struct gg_log *log;
  assert_int_equal(gg_recorder_log(f.recorder, "a/b", fixture_wake, &f, &log, NULL), GG_ERR_INVALID);
  assert_int_equal(gg_recorder_log(f.recorder, "", fixture_wake, &f, &log, NULL), GG_ERR_INVALID);
  gg_recorder_destroy(f.recorder);
  gg_recorder_destroy(NULL);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_private),       cmocka_unit_test(test_second_is_told_the_first),
    cmocka_unit_test(test_name_stays),    cmocka_unit_test(test_directory_of_others_keeps_its_mode),
    cmocka_unit_test(test_wrong_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
