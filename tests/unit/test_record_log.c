/* SPDX-License-Identifier: Apache-2.0 */
/* The log in good times: wrap, flush, rotation, stall and wake, durability, a clean stop. */
#define FIXTURE_BASE "/tmp" /* a real file system, as a rule */
#include "record_fixture.h"

#include "base/logger.h"

uint64_t __real_gg_clock_real_ns(void);
uint64_t __wrap_gg_clock_real_ns(void);

static _Atomic int64_t wall_clock_step_ns; /* what somebody set the wall clock by */

uint64_t __wrap_gg_clock_real_ns(void)
{
  return __real_gg_clock_real_ns() + (uint64_t)atomic_load(&wall_clock_step_ns);
}

static void assert_clean(const struct fixture *f)
{
  assert_int_equal(count_files(f->rings), 0);
  assert_false(exists_in(f->dir, "running"));
}

static void test_wraps_many_times(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  uint64_t start = gg_log_committed(f.log);
  while (gg_log_committed(f.log) - start < 24 * MIB)
    fixture_record(&f);
  struct walk walk = fixture_stop_and_walk(&f);
  assert_int_equal(walk.segments, 1);
  assert_clean(&f);
  fixture_fini(&f);
}

static void test_nothing_recorded_leaves_nothing(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  assert_int_equal(gg_log_segment(f.log), 0);
  struct walk walk = fixture_stop_and_walk(&f);
  assert_int_equal(walk.segments, 0);
  assert_clean(&f);
  fixture_fini(&f);
}

static void test_rotates_by_size(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.segment_max_bytes = 128 * KIB;
  fixture_open(&f, &options, NULL);
  while (gg_log_segment(f.log) < 40)
    fixture_record(&f);
  struct walk walk = fixture_stop_and_walk(&f);
  assert_in_range(walk.segments, 39, 40);
  assert_true(walk.bytes / walk.segments >= 128 * KIB - 4096);
  assert_true(walk.bytes / walk.segments <= 128 * KIB + RECORD_MAX + 8192);
  assert_clean(&f);
  fixture_fini(&f);
}

static void test_flushes_by_time(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  uint64_t now = gg_clock_mono_ns();
  fixture_record(&f);
  assert_int_equal(gg_log_tick(f.log, now), now + options.flush_interval_ns);
  assert_true(fixture_status(&f, 0).fill_bytes > 0);
  (void)gg_log_tick(f.log, now + options.flush_interval_ns - 1);
  assert_true(fixture_status(&f, 0).fill_bytes > 0);
  (void)gg_log_tick(f.log, now + options.flush_interval_ns);
  fixture_wait_written(&f);
  struct gg_log_status status = fixture_status(&f, 0);
  assert_true(status.segment_bytes >= 4096);
  assert_string_equal(status.name, "w0-block");
  struct walk walk = {0};
  walk_store(&walk, &f); /* an open segment reads well */
  assert_int_equal(walk.next, 1);
  (void)gg_log_tick(f.log, now + 2 * options.flush_interval_ns);
  assert_int_equal(fixture_status(&f, 0).watermark_ns, gg_log_time(f.log, now + 2 * options.flush_interval_ns));
  fixture_stop(&f);
  fixture_fini(&f);
}

/* What is wanted soon does not wait for the interval; and what comes behind it does again. */
static void test_flushes_soon(void **state)
{
  (void)state;
  for (int shorter = 0; shorter < 2; shorter++) {
    struct fixture f;
    fixture_init(&f);
    struct gg_recorder_options options = fixture_options(&f);
    options.flush_interval_ns = shorter ? GG_LOG_HASTE_NS / 5 : GG_NS_PER_S;
    uint64_t soon_ns = shorter ? options.flush_interval_ns : GG_LOG_HASTE_NS;
    fixture_open(&f, &options, NULL);
    uint64_t now = gg_clock_mono_ns();
    fixture_record(&f);
    assert_int_equal(gg_log_tick(f.log, now), now + options.flush_interval_ns);
    gg_log_hasten(f.log);
    assert_int_equal(gg_log_tick(f.log, now + 1), now + soon_ns);
    (void)gg_log_tick(f.log, now + soon_ns - 1);
    assert_true(fixture_status(&f, 0).fill_bytes > 0);
    (void)gg_log_tick(f.log, now + soon_ns);
    fixture_wait_written(&f);
    fixture_record(&f);
    now += soon_ns + 1;
    assert_int_equal(gg_log_tick(f.log, now), now + options.flush_interval_ns);
    fixture_stop(&f);
    fixture_fini(&f);
  }
}

static void test_rotates_by_age(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.segment_max_age_ns = 60 * GG_NS_PER_S;
  fixture_open(&f, &options, NULL);
  fixture_record(&f);
  assert_int_equal(gg_log_segment(f.log), 1);
  uint64_t now = gg_clock_mono_ns();
  (void)gg_log_tick(f.log, now + 59 * GG_NS_PER_S);
  fixture_record(&f);
  assert_int_equal(gg_log_segment(f.log), 1);
  (void)gg_log_tick(f.log, now + 61 * GG_NS_PER_S);
  fixture_record(&f);
  assert_int_equal(gg_log_segment(f.log), 2);
  (void)gg_log_tick(f.log, now + 130 * GG_NS_PER_S);
  (void)gg_log_tick(f.log, now + 200 * GG_NS_PER_S); /* once more changes nothing */
  fixture_record(&f);
  assert_int_equal(gg_log_segment(f.log), 3);
  struct walk walk = fixture_stop_and_walk(&f);
  assert_int_equal(walk.segments, 3);
  assert_int_equal(walk.next, 4);
  fixture_fini(&f);
}

static void test_abandoned_reservation_is_no_record(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  for (unsigned i = 0; i < 200; i++) {
    uint8_t *at = gg_log_reserve(f.log, 1000, GG_LOG_DATA);
    if (at)
      memset(at, 0xEE, 1000);
    if (i % 2)
      gg_log_commit(f.log, 0);
    fixture_record(&f);
  }
  (void)fixture_stop_and_walk(&f);
  fixture_fini(&f);
}

static void test_largest_reservation_always_comes(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  size_t most = gg_log_reserve_max(f.log);
  assert_true(most >= 128 * KIB);
  for (unsigned i = 0; i < 200; i++) {
    while (!gg_log_reserve(f.log, most, GG_LOG_DATA)) {
      assert_int_not_equal(gg_log_pressure(f.log), GG_LOG_DISK_FULL);
      fixture_wait_wake(&f);
    }
    assert_int_equal(gg_log_pressure(f.log), GG_LOG_FLOWING);
    gg_log_commit(f.log, 0);
    fixture_record(&f);
  }
  (void)fixture_stop_and_walk(&f);
  fixture_fini(&f);
}

static void test_counts_travel_in_statistics(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  fixture_record(&f);
  gg_log_count_gap(f.log, 1234);
  gg_log_count_gap(f.log, 1);
  gg_log_count_lost_session(f.log);
  struct walk walk = fixture_stop_and_walk(&f);
  assert_int_equal(walk.comment_count, 1);
  assert_non_null(strstr(walk.comments[0], "{\"missing\":{\"bytes\":1235,\"gaps\":2,\"sessions\":1}}"));
  fixture_fini(&f);
}

static void test_counts_without_a_record_are_told_too(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  gg_log_count_lost_session(f.log);
  struct walk walk = fixture_stop_and_walk(&f);
  assert_int_equal(walk.segments, 1);
  assert_int_equal(walk.comment_count, 1);
  assert_non_null(strstr(walk.comments[0], "\"sessions\":1"));
  fixture_fini(&f);
}

static void test_durable_wakes(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.sync_mode = GG_SYNC_ALWAYS;
  fixture_open(&f, &options, NULL);
  for (unsigned i = 0; i < 20; i++) {
    fixture_record(&f);
    uint64_t position = gg_log_committed(f.log);
    gg_log_want_durable(f.log, position);
    (void)gg_log_tick(f.log, gg_clock_mono_ns());
    while (gg_log_durable(f.log) < position)
      fixture_wait_wake(&f);
  }
  (void)fixture_stop_and_walk(&f);
  fixture_fini(&f);
}

struct sealed {
  _Atomic unsigned count;
  _Atomic uint64_t bytes;
};

static void on_sealed(void *context, const char *name, uint64_t bytes)
{
  struct sealed *sealed = context;
  if (strstr(name, "w0-block") && strstr(name, ".pcapng"))
    atomic_fetch_add(&sealed->count, 1);
  atomic_fetch_add(&sealed->bytes, bytes);
}

static void test_sealed_is_told(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct sealed sealed = {0};
  struct gg_recorder_ops ops = {.sealed = on_sealed};
  struct gg_recorder_options options = fixture_options(&f);
  options.ops = &ops;
  options.ops_context = &sealed;
  options.sync_mode = GG_SYNC_NEVER;
  options.segment_max_bytes = 64 * KIB;
  fixture_open(&f, &options, NULL);
  while (gg_log_segment(f.log) < 100)
    fixture_record(&f);
  struct walk walk = fixture_stop_and_walk(&f);
  assert_int_equal(atomic_load(&sealed.count), walk.segments);
  assert_int_equal(atomic_load(&sealed.bytes), walk.bytes);
  fixture_fini(&f);
}

static void keep_warning(void *context, enum gg_level level, const char *line, size_t length)
{
  (void)length;
  if (level == GG_LEVEL_WARNING)
    snprintf(context, 512, "%s", line);
}

/* Sets the wall clock, lets a second pass for the log, and returns the step that its next block tells. */
static long long step_told(struct fixture *f, uint64_t *now, int64_t step_ns)
{
  atomic_fetch_add(&wall_clock_step_ns, step_ns);
  (void)gg_log_tick(f->log, *now += GG_NS_PER_S);
  gg_log_flush(f->log);
  fixture_wait_written(f);
  struct walk walk = {0};
  walk_store(&walk, f);
  long long told = 0;
  if (walk.comment_count)
    assert_int_equal(sscanf(walk.comments[walk.comment_count - 1], "{\"clock_step_ns\":%lld}", &told), 1);
  return told;
}

static void test_wall_clock_step_is_noted(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  char warning[512] = "";
  struct gg_logger *logger;
  assert_int_equal(gg_logger_create_sink(&logger, keep_warning, warning, GG_LEVEL_INFO, GG_LOGGER_JSON), 0);
  struct gg_recorder_options options = fixture_options(&f);
  options.logger = logger;
  atomic_store(&wall_clock_step_ns, 0);
  fixture_open(&f, &options, NULL);
  uint64_t now = gg_clock_mono_ns();
  fixture_record(&f);
  uint64_t time_ns = gg_log_time(f.log, now);
  const int64_t small = 40000000, hour = 3600 * (int64_t)GG_NS_PER_S;
  assert_int_equal(step_told(&f, &now, small), 0); /* as NTP does it */
  assert_string_equal(warning, "");
  long long told = step_told(&f, &now, hour);
  assert_in_range(told, hour, hour + 2 * small);
  assert_non_null(strstr(warning, "\"log\":\"w0-block\",\"step_ns\":36000"));
  assert_int_equal(step_told(&f, &now, 0), told); /* once only: it is still the last one that was told */
  assert_int_equal(gg_log_time(f.log, now), time_ns + 3 * GG_NS_PER_S); /* time goes on evenly in this segment */
  told = step_told(&f, &now, -2 * hour);
  assert_in_range(-told, hour - 2 * small, hour + 2 * small); /* off the segment's time, not off the last step */
  fixture_rotate(&f);
  fixture_record(&f);
  assert_true(gg_log_time(f.log, now) < time_ns); /* the next segment goes by the new clock */
  atomic_store(&wall_clock_step_ns, 0);
  fixture_stop(&f);
  gg_logger_destroy(logger);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_wraps_many_times),
    cmocka_unit_test(test_nothing_recorded_leaves_nothing),
    cmocka_unit_test(test_rotates_by_size),
    cmocka_unit_test(test_flushes_by_time),
    cmocka_unit_test(test_flushes_soon),
    cmocka_unit_test(test_rotates_by_age),
    cmocka_unit_test(test_abandoned_reservation_is_no_record),
    cmocka_unit_test(test_largest_reservation_always_comes),
    cmocka_unit_test(test_counts_travel_in_statistics),
    cmocka_unit_test(test_counts_without_a_record_are_told_too),
    cmocka_unit_test(test_durable_wakes),
    cmocka_unit_test(test_sealed_is_told),
    cmocka_unit_test(test_wall_clock_step_is_noted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
