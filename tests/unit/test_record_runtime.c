/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a recorder while it runs: another log, and segments that end now. */
#include "record_fixture.h"

#include <pthread.h>

enum { RECORDS = 400, LOGS_ADDED = 12, ROTATIONS = 60 };

/* ── A disk that is full ─────────────────────────────────────────────────────────────────────────────────────────── */

static _Atomic bool disk_full;

ssize_t __real_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
  if (atomic_load(&disk_full)) {
    errno = ENOSPC;
    return -1;
  }
  return __real_pwrite64(fd, bytes, length, offset);
}

/* Another log of the fixture's recorder, as a fixture of its own. */
static void add_log(struct fixture *added, const struct fixture *f, const char *name)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  *added = *f;
  added->next = 0;
  added->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  assert_true(added->event >= 0);
  if (gg_recorder_log(f->recorder, name, fixture_wake, added, &added->log, &failure) != 0)
    fail_msg("log %s: %s", name, failure.message);
}

static void *record_some(void *context)
{
  struct fixture *f = context;
  for (unsigned i = 0; i < RECORDS; i++) {
    (void)fixture_record(f);
    if (i % 50 == 0)
      gg_log_flush(f->log);
    (void)gg_log_tick(f->log, gg_clock_mono_ns());
  }
  return NULL;
}

/* ── Logs ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Each new log's producer begins at once, while those before it are at work and somebody reads the status. */
static void test_logs_are_added_under_load(void **state)
{
  (void)state;
  struct fixture f, added[LOGS_ADDED];
  pthread_t threads[LOGS_ADDED];
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.metrics = f.metrics;
  options.log_max_bytes = 512 * MIB; /* whatever they grow to */
  fixture_open(&f, &options, NULL);
  for (unsigned i = 0; i < LOGS_ADDED; i++) {
    char name[32];
    snprintf(name, sizeof name, "w%u-gap", i);
    add_log(&added[i], &f, name);
    assert_int_equal(gg_recorder_logs(f.recorder), i + 2);
    assert_int_equal(pthread_create(&threads[i], NULL, record_some, &added[i]), 0);
    for (unsigned k = 0; k < i + 1; k++)
      assert_true(fixture_status(&f, k).ring_bytes > 0);
    assert_string_equal(fixture_status(&f, i + 1).name, name);
    (void)fixture_record(&f);
  }
  for (unsigned i = 0; i < LOGS_ADDED; i++)
    pthread_join(threads[i], NULL);
  fixture_stop(&f);
  assert_int_equal(fixture_metric(&f, "log_fill_bytes"), 0);
  for (unsigned i = 0; i < LOGS_ADDED; i++) {
    char name[32];
    struct walk walk = {0};
    snprintf(name, sizeof name, "w%u-gap", i);
    walk_log(&walk, &f, name);
    assert_int_equal(walk.next, RECORDS);
    close(added[i].event);
  }
  struct walk walk = {0};
  walk_log(&walk, &f, "w0-block");
  assert_int_equal(walk.next, LOGS_ADDED);
  assert_int_equal(count_files(f.rings), 0);
  assert_false(exists_in(f.dir, "running"));
  fixture_fini(&f);
}

static void test_an_added_log_is_named_as_running(void **state)
{
  (void)state;
  struct fixture f, added;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 1 * MIB;
  options.sync_interval_ns = 3600 * GG_NS_PER_S; /* no round comes by itself */
  fixture_open(&f, &options, NULL);
  add_log(&added, &f, "w0-close");
  wait_until_file_says(f.dir, "running", "\nring w0-close ");
  assert_true(file_says(f.dir, "running", "\nring w0-block "));
  fixture_stop(&f);
  close(added.event);
  fixture_fini(&f);
}

static void test_an_added_log_needs_room_in_log_max(void **state)
{
  (void)state;
  struct fixture f, added;
  struct gg_log *log;
  struct gg_failure failure = GG_FAILURE_INIT;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.ring_bytes = 512 * KIB;
  options.log_max_bytes = 768 * KIB;
  fixture_open(&f, &options, NULL);
  add_log(&added, &f, "smaller"); /* half the size is what is left */
  assert_int_equal(fixture_status(&f, 1).ring_bytes, 256 * KIB);
  assert_int_equal(gg_recorder_log(f.recorder, "none", fixture_wake, &f, &log, &failure), GG_ERR_LIMIT);
  assert_non_null(strstr(failure.message, "log_max"));
  assert_non_null(strstr(failure.message, "none"));
  assert_int_equal(gg_recorder_log(f.recorder, "smaller", fixture_wake, &f, &log, &failure), GG_ERR_INVALID);
  assert_int_equal(gg_recorder_logs(f.recorder), 2);
  for (unsigned i = 0; i < 20; i++)
    (void)fixture_record(&added);
  fixture_stop(&f);
  struct walk walk = {0};
  walk_log(&walk, &f, "smaller");
  assert_int_equal(walk.next, 20);
  close(added.event);
  fixture_fini(&f);
}

/* All listeners may come by a reload: a recorder begins without any log, and leaves nothing either way. */
static void test_a_recorder_begins_without_logs(void **state)
{
  (void)state;
  struct fixture f, added;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  struct gg_failure failure = GG_FAILURE_INIT;
  for (unsigned logs = 0; logs < 2; logs++) {
    assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, &failure), 0);
    assert_int_equal(gg_recorder_start(f.recorder, &failure), 0);
    assert_true(exists_in(f.dir, "running"));
    gg_recorder_rotate(f.recorder);
    assert_true(gg_recorder_rotated(f.recorder));
    if (logs) {
      add_log(&added, &f, "w0-block");
      (void)fixture_record(&added);
      close(added.event);
    }
    assert_int_equal(gg_recorder_stop(f.recorder, gg_clock_mono_ns() + 20 * GG_NS_PER_S, &failure), 0);
    gg_recorder_destroy(f.recorder);
    assert_false(exists_in(f.dir, "running"));
    assert_int_equal(count_files(f.rings), 0);
  }
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, 1);
  fixture_fini(&f);
}

/* ── Rotation ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct seals {
  _Atomic unsigned count;
  _Atomic uint64_t bytes;
};

static void count_seal(void *context, const char *name, uint64_t bytes)
{
  struct seals *seals = context;
  assert_non_null(strstr(name, ".pcapng"));
  atomic_fetch_add(&seals->count, 1);
  atomic_fetch_add(&seals->bytes, bytes);
}

static const struct gg_recorder_ops seal_ops = {.sealed = count_seal};

static void wait_until_rotated(const struct fixture *f)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (!gg_recorder_rotated(f->recorder)) {
    if (gg_clock_mono_ns() > deadline_ns)
      fail_msg("never rotated");
    pause_ns(GG_NS_PER_MS);
  }
}

static void tick_until_rotated(struct fixture *f)
{
  for (unsigned i = 0; !gg_recorder_rotated(f->recorder); i++) {
    assert_true(i < 10000);
    (void)gg_log_tick(f->log, gg_clock_mono_ns());
    pause_ns(GG_NS_PER_MS);
  }
}

/* A worker with nothing to do is woken, and its segment is sealed without another record. */
static void test_idle_logs_rotate(void **state)
{
  (void)state;
  struct fixture f, added;
  struct seals seals = {0};
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 1 * MIB;
  options.flush_interval_ns = options.sync_interval_ns = 3600 * GG_NS_PER_S;
  options.ops = &seal_ops;
  options.ops_context = &seals;
  fixture_open(&f, &options, NULL);
  add_log(&added, &f, "w0-gap"); /* of which nothing is recorded */
  (void)gg_log_tick(added.log, gg_clock_mono_ns());
  assert_true(gg_recorder_rotated(f.recorder));
  for (unsigned i = 0; i < 10; i++)
    (void)fixture_record(&f);
  gg_recorder_rotate(f.recorder);
  gg_recorder_rotate(f.recorder); /* one rotation */
  fixture_wait_wake(&f);
  fixture_wait_wake(&added);
  assert_false(gg_recorder_rotated(f.recorder));
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  assert_false(gg_recorder_rotated(f.recorder));
  (void)gg_log_tick(added.log, gg_clock_mono_ns());
  wait_until_rotated(&f);
  assert_int_equal(atomic_load(&seals.count), 1);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, 10);
  assert_int_equal(walk.bytes, atomic_load(&seals.bytes));
  assert_true(file_says(f.dir, "running", "ring w0-block"));

  assert_int_equal(gg_log_segment(f.log), 1);
  (void)fixture_record(&f);
  assert_int_equal(gg_log_segment(f.log), 2);
  gg_log_finish(added.log); /* one that has ended needs no turn of its producer */
  gg_recorder_rotate(f.recorder);
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  wait_until_rotated(&f);
  assert_int_equal(atomic_load(&seals.count), 2);
  gg_recorder_rotate(f.recorder); /* no segment is open anywhere */
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  assert_true(gg_recorder_rotated(f.recorder));
  walk = fixture_stop_and_walk(&f);
  assert_int_equal(count_files(f.rings), 0);
  assert_int_equal(walk.next, 11);
  assert_int_equal(walk.segments, 2);
  close(added.event);
  fixture_fini(&f);
}

/* A log that was made for a reload which came to nothing: nobody waits for it. */
static void test_a_log_that_nobody_took_up_rotates(void **state)
{
  (void)state;
  struct fixture f, added;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 1 * MIB;
  fixture_open(&f, &options, NULL);
  add_log(&added, &f, "w0-gap");
  (void)fixture_record(&f);
  assert_false(fixture_status(&f, 0).untouched);
  assert_true(fixture_status(&f, 1).untouched);
  gg_recorder_rotate(f.recorder);
  assert_false(gg_recorder_rotated(f.recorder));
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  wait_until_rotated(&f);

  (void)gg_log_tick(added.log, gg_clock_mono_ns()); /* now somebody has */
  assert_false(fixture_status(&f, 1).untouched);
  assert_true(fixture_status(&f, 1).watermark_ns > 0);
  gg_recorder_rotate(f.recorder);
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  for (unsigned i = 0; i < 20; i++) { /* however long that takes */
    assert_false(gg_recorder_rotated(f.recorder));
    pause_ns(GG_NS_PER_MS);
  }
  (void)gg_log_tick(added.log, gg_clock_mono_ns());
  wait_until_rotated(&f);
  fixture_stop(&f);
  close(added.event);
  fixture_fini(&f);
}

/* A worker has drained while another has not: who follows both is told that nothing comes from the first. */
static void test_the_watermark_of_a_finished_log_goes_on(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  (void)fixture_record(&f);
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  atomic_store(&disk_full, true);
  gg_log_finish(f.log);
  uint64_t finished_ns = gg_clock_real_ns();
  for (unsigned i = 0; i < 20; i++) { /* not before everything is in a file */
    assert_true(fixture_status(&f, 0).watermark_ns < finished_ns);
    pause_ns(GG_NS_PER_MS);
  }
  atomic_store(&disk_full, false);
  uint64_t deadline_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (fixture_status(&f, 0).watermark_ns < finished_ns) {
    if (gg_clock_mono_ns() > deadline_ns)
      fail_msg("the watermark stands still");
    pause_ns(GG_NS_PER_MS);
  }
  assert_int_equal(fixture_status(&f, 0).fill_bytes, 0);
  uint64_t later_ns = gg_clock_real_ns();
  assert_true(fixture_status(&f, 0).watermark_ns >= later_ns);
  fixture_stop(&f);
  fixture_fini(&f);
}

static void *rotate_often(void *context)
{
  const struct fixture *f = context;
  for (unsigned i = 0; i < ROTATIONS; i++) {
    gg_recorder_rotate(f->recorder);
    (void)gg_recorder_rotated(f->recorder);
    pause_ns(200000);
  }
  return NULL;
}

/* Two ask at once while records come and segments end by themselves. */
static void test_rotation_under_load(void **state)
{
  (void)state;
  struct fixture f;
  struct seals seals = {0};
  pthread_t askers[2];
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 16 * MIB;
  options.segment_max_bytes = 300 * KIB;
  options.ops = &seal_ops;
  options.ops_context = &seals;
  fixture_open(&f, &options, NULL);
  for (unsigned i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&askers[i], NULL, rotate_often, &f), 0);
  for (unsigned i = 0; i < 5; i++)
    (void)record_some(&f);
  for (unsigned i = 0; i < 2; i++)
    pthread_join(askers[i], NULL);
  gg_recorder_rotate(f.recorder);
  tick_until_rotated(&f);
  struct walk walk = {0};
  walk_store(&walk, &f); /* all is in the files, before the end */
  assert_int_equal(walk.next, 5 * RECORDS);
  assert_int_equal(walk.segments, atomic_load(&seals.count));
  assert_int_equal(walk.bytes, atomic_load(&seals.bytes));
  fixture_stop(&f);
  fixture_fini(&f);
}

/* However often it is asked for meanwhile, traffic is held back by a full ring and by nothing before. */
static void test_rotation_with_a_full_disk(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  (void)fixture_record(&f);
  atomic_store(&disk_full, true);
  uint64_t filled = 0;
  while (fixture_try_record(&f)) {
    filled += record_length(f.next - 1);
    gg_recorder_rotate(f.recorder);
    (void)gg_log_tick(f.log, gg_clock_mono_ns());
  }
  assert_true(filled + 150 * KIB > 256 * KIB); /* the ring, but for its reserves */
  assert_false(gg_recorder_rotated(f.recorder));
  uint64_t full = f.next;
  atomic_store(&disk_full, false);
  while (f.next < full + 10)
    (void)fixture_record(&f);
  tick_until_rotated(&f);
  (void)fixture_stop_and_walk(&f);
  assert_int_equal(f.next, full + 10);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_logs_are_added_under_load),
    cmocka_unit_test(test_an_added_log_is_named_as_running),
    cmocka_unit_test(test_an_added_log_needs_room_in_log_max),
    cmocka_unit_test(test_a_recorder_begins_without_logs),
    cmocka_unit_test(test_idle_logs_rotate),
    cmocka_unit_test(test_a_log_that_nobody_took_up_rotates),
    cmocka_unit_test(test_the_watermark_of_a_finished_log_goes_on),
    cmocka_unit_test(test_rotation_under_load),
    cmocka_unit_test(test_rotation_with_a_full_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
