/* SPDX-License-Identifier: Apache-2.0 */
/* The log in good times: wrap, flush, rotation, stall and wake, durability, a clean stop. */
#define FIXTURE_BASE "/tmp" /* a real file system, as a rule */
#include "record_fixture.h"

static void assert_clean(const struct fixture *f)
{
  assert_int_equal(count_files(f->rings), 0);
  assert_false(exists_in(f->dir, "running"));
}

static void test_wraps_many_times(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  uint64_t start = gg_log_committed(f.log);
  while (gg_log_committed(f.log) - start < 24 * MIB)
    fixture_record(&f);
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, f.next);
  assert_int_equal(walk.segments, 1);
  assert_clean(&f);
  fixture_fini(&f);
}

static void test_nothing_recorded_leaves_nothing(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  assert_int_equal(gg_log_segment(f.log), 0);
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
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
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, f.next);
  assert_in_range(walk.segments, 39, 40);
  assert_true(walk.bytes / walk.segments >= 128 * KIB - 4096);
  assert_true(walk.bytes / walk.segments <= 128 * KIB + RECORD_MAX + 8192);
  assert_clean(&f);
  fixture_fini(&f);
}

static void wait_written(struct fixture *f)
{
  struct gg_log_status status = {0};
  uint64_t deadline = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  do {
    assert_int_equal(gg_recorder_log_status(f->recorder, 0, &status), 0);
    struct timespec moment = {.tv_nsec = 200000};
    nanosleep(&moment, NULL);
  } while (status.fill_bytes && gg_clock_mono_ns() < deadline);
  assert_int_equal(status.fill_bytes, 0);
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
  struct gg_log_status status;
  assert_int_equal(gg_recorder_log_status(f.recorder, 0, &status), 0);
  assert_true(status.fill_bytes > 0);
  (void)gg_log_tick(f.log, now + options.flush_interval_ns - 1);
  assert_int_equal(gg_recorder_log_status(f.recorder, 0, &status), 0);
  assert_true(status.fill_bytes > 0);
  (void)gg_log_tick(f.log, now + options.flush_interval_ns);
  wait_written(&f);
  assert_int_equal(gg_recorder_log_status(f.recorder, 0, &status), 0);
  assert_true(status.segment_bytes >= 4096);
  assert_string_equal(status.name, "w0-block");
  struct walk walk = {0};
  walk_store(&walk, &f); /* an open segment reads well */
  assert_int_equal(walk.next, 1);
  (void)gg_log_tick(f.log, now + 2 * options.flush_interval_ns);
  assert_int_equal(gg_recorder_log_status(f.recorder, 0, &status), 0);
  assert_int_equal(status.watermark_ns, gg_log_time(f.log, now + 2 * options.flush_interval_ns));
  fixture_stop(&f);
  fixture_fini(&f);
}

static void test_rotates_by_age_and_wish(void **state)
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
  gg_log_rotate(f.log);
  gg_log_rotate(f.log); /* once more changes nothing */
  fixture_record(&f);
  assert_int_equal(gg_log_segment(f.log), 3);
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.segments, 3);
  assert_int_equal(walk.next, 4);
  fixture_fini(&f);
}

static void test_abandoned_reservation_is_no_record(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  for (unsigned i = 0; i < 200; i++) {
    uint8_t *at = gg_log_reserve(f.log, 1000, GG_LOG_DATA);
    if (at)
      memset(at, 0xEE, 1000);
    if (i % 2)
      gg_log_commit(f.log, 0);
    fixture_record(&f);
  }
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, f.next);
  fixture_fini(&f);
}

static void test_largest_reservation_always_comes(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
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
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, f.next);
  fixture_fini(&f);
}

static void test_counts_travel_in_statistics(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  fixture_record(&f);
  gg_log_count_gap(f.log, 1234);
  gg_log_count_gap(f.log, 1);
  gg_log_count_lost_session(f.log);
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.comment_count, 1);
  assert_non_null(strstr(walk.comments[0], "{\"missing\":{\"bytes\":1235,\"gaps\":2,\"sessions\":1}}"));
  fixture_fini(&f);
}

static void test_counts_without_a_record_are_told_too(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  gg_log_count_lost_session(f.log);
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
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
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, f.next);
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
  fixture_stop(&f);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(atomic_load(&sealed.count), walk.segments);
  assert_int_equal(atomic_load(&sealed.bytes), walk.bytes);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_wraps_many_times),
    cmocka_unit_test(test_nothing_recorded_leaves_nothing),
    cmocka_unit_test(test_rotates_by_size),
    cmocka_unit_test(test_flushes_by_time),
    cmocka_unit_test(test_rotates_by_age_and_wish),
    cmocka_unit_test(test_abandoned_reservation_is_no_record),
    cmocka_unit_test(test_largest_reservation_always_comes),
    cmocka_unit_test(test_counts_travel_in_statistics),
    cmocka_unit_test(test_counts_without_a_record_are_told_too),
    cmocka_unit_test(test_durable_wakes),
    cmocka_unit_test(test_sealed_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
