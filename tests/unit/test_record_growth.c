/* SPDX-License-Identifier: Apache-2.0 */
/* Rings that grow while the disk hangs, shrink when it is quiet, and keep their bounds. pwrite(2) can be held back. */
#include "record_fixture.h"

#include <pthread.h>
#include <sys/mount.h>

ssize_t __real_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset);

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool gate_shut;
static unsigned in_flight; /* writes that have passed the gate */

ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset)
{
  pthread_mutex_lock(&gate_lock);
  while (gate_shut)
    pthread_cond_wait(&gate_changed, &gate_lock);
  in_flight++;
  pthread_mutex_unlock(&gate_lock);
  ssize_t n = __real_pwrite64(fd, from, bytes, offset);
  int error = errno;
  pthread_mutex_lock(&gate_lock);
  in_flight--;
  pthread_cond_broadcast(&gate_changed);
  pthread_mutex_unlock(&gate_lock);
  errno = error;
  return n;
}

static void set_gate(bool shut)
{
  pthread_mutex_lock(&gate_lock);
  gate_shut = shut;
  pthread_cond_broadcast(&gate_changed);
  while (shut && in_flight)
    pthread_cond_wait(&gate_changed, &gate_lock);
  pthread_mutex_unlock(&gate_lock);
}

/* A test that failed with the gate shut must not hold up the next one. */
static int open_gate(void **state)
{
  (void)state;
  set_gate(false);
  return 0;
}

static uint64_t ring_bytes_in(const char *dir)
{
  uint64_t sum = 0;
  struct dirent **names;
  int count = scandir(dir, &names, walk_filter, alphasort);
  for (int i = 0; i < count; i++) {
    char path[512];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
    if (stat(path, &status) == 0)
      sum += (uint64_t)status.st_size - 4096; /* without the header page */
    free(names[i]);
  }
  free(names);
  return sum;
}

static uint64_t ring_bytes_now(const struct fixture *f)
{
  return fixture_status(f, 0).ring_bytes;
}

/* Records until nothing goes. */
static void fill(struct fixture *f)
{
  while (fixture_try_record(f)) {
  }
}

/* Records until nothing goes, the ring has reached that size, and a larger one was refused. */
static void record_until_stuck(struct fixture *f, uint64_t ring_bytes)
{
  uint64_t deadline = gg_clock_mono_ns() + 30 * GG_NS_PER_S;
  uint64_t refusals = 0;
  while (gg_clock_mono_ns() < deadline) {
    if (fixture_try_record(f))
      continue;
    if (ring_bytes_now(f) < ring_bytes)
      refusals = fixture_metric(f, "log_grow_refusals");
    else if (fixture_metric(f, "log_grow_refusals") > refusals)
      return;
    struct pollfd wait = {.fd = f->event, .events = POLLIN};
    uint64_t count;
    if (poll(&wait, 1, 20) == 1)
      assert_int_equal(read(f->event, &count, sizeof count), sizeof count);
  }
  fail_msg("the ring did not get stuck at %llu bytes, it has %llu", (unsigned long long)ring_bytes,
           (unsigned long long)ring_bytes_now(f));
}

/* Ticks of a clock of our own, until the ring is that large and the others are gone. */
static void tick_until_ring_is(struct fixture *f, uint64_t bytes)
{
  uint64_t now = gg_clock_mono_ns();
  for (unsigned i = 0; i < 4000 && (ring_bytes_now(f) != bytes || ring_bytes_in(f->rings) != bytes); i++) {
    (void)gg_log_tick(f->log, now += GG_NS_PER_S);
    pause_ns(GG_NS_PER_MS);
  }
  assert_int_equal(ring_bytes_now(f), bytes);
  assert_int_equal(ring_bytes_in(f->rings), bytes);
}

static void test_grows_and_shrinks(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.metrics = f.metrics;
  options.log_max_bytes = 12 * MIB;
  options.segment_max_bytes = 2 * MIB;
  fixture_open(&f, &options, NULL);
  for (unsigned round = 0; round < 3; round++) {
    set_gate(true);
    uint64_t before = gg_log_committed(f.log);
    record_until_stuck(&f, 4 * MIB); /* 256 KiB + 1 + 4 MiB are below 12 MiB, and 8 more are not */
    assert_int_equal(ring_bytes_now(&f), 4 * MIB);
    assert_int_equal(ring_bytes_in(f.rings), 5 * MIB + 256 * KIB); /* each size once */
    assert_true(gg_log_committed(f.log) - before > 3 * (uint64_t)MIB);
    assert_int_equal(gg_log_pressure(f.log), GG_LOG_STALLED);
    set_gate(false);
    tick_until_ring_is(&f, 256 * KIB);
  }
  fixture_record(&f);
  (void)fixture_stop_and_walk(&f);
  assert_int_equal(count_files(f.rings), 0);
  fixture_fini(&f);
}

static void test_too_many_segments_stall(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 12 * MIB;
  options.segment_max_bytes = 64 * KIB;
  fixture_open(&f, &options, NULL);
  set_gate(true);
  uint64_t deadline = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (gg_log_segment(f.log) < 8 && gg_clock_mono_ns() < deadline) { /* as many as a ring's header can name */
    (void)fixture_try_record(&f);
  }
  assert_int_equal(gg_log_segment(f.log), 8);
  fixture_rotate(&f);
  do /* a larger ring may be offered meanwhile, which looks like room until it is asked for */
    assert_null(gg_log_reserve(f.log, 100, GG_LOG_DATA));
  while (gg_log_pressure(f.log) != GG_LOG_STALLED && gg_clock_mono_ns() < deadline);
  assert_int_equal(gg_log_pressure(f.log), GG_LOG_STALLED);
  set_gate(false);
  fixture_record(&f);
  assert_int_equal(fixture_stop_and_walk(&f).segments, 9);
  fixture_fini(&f);
}

/* What a worker does: refused, it asks nothing any more until it is woken, and looks and ticks each time that it is. */
static void wait_by_wakes_alone(struct fixture *f)
{
  uint64_t deadline = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  do {
    (void)gg_log_tick(f->log, gg_clock_mono_ns());
    struct pollfd wait = {.fd = f->event, .events = POLLIN};
    uint64_t count;
    assert_int_equal(poll(&wait, 1, (int)((deadline - gg_clock_mono_ns()) / 1000000)), 1);
    assert_int_equal(read(f->event, &count, sizeof count), sizeof count);
  } while (gg_log_pressure(f->log) != GG_LOG_FLOWING);
}

static void test_a_wake_comes_when_segments_are_done(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.ring_bytes = 4 * MIB; /* the ring has room at all times: what is full is the table of segments */
  options.log_max_bytes = 4 * MIB;
  options.segment_max_bytes = 64 * KIB;
  fixture_open(&f, &options, NULL);
  for (unsigned round = 0; round < 20; round++) {
    set_gate(true);
    fill(&f);
    assert_int_equal(gg_log_pressure(f.log), GG_LOG_STALLED);
    set_gate(false);
    wait_by_wakes_alone(&f);
    fixture_record(&f);
  }
  (void)fixture_stop_and_walk(&f);
  fixture_fini(&f);
}

static void test_a_granted_reservation_wakes_those_that_wait(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  set_gate(true);
  fill(&f);
  uint64_t count;
  (void)!read(f.event, &count, sizeof count);                         /* a wake that came while it was filled */
  assert_non_null(gg_log_reserve(f.log, RECORD_MIN, GG_LOG_CONTROL)); /* its reserve is there all the time */
  gg_log_commit(f.log, 0);
  assert_int_equal(read(f.event, &count, sizeof count), sizeof count);
  set_gate(false);
  fixture_record(&f);
  fixture_stop(&f);
  fixture_fini(&f);
}

static void test_a_tick_tells_of_room_that_came_unseen(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  set_gate(true);
  fill(&f);
  set_gate(false);
  uint64_t deadline = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (fixture_status(&f, 0).fill_bytes > 0)
    assert_true(gg_clock_mono_ns() < deadline);
  struct pollfd wait = {.fd = f.event, .events = POLLIN};
  uint64_t count;
  while (poll(&wait, 1, 200) == 1) /* the producer saw these too early, let us say, before the last byte was written */
    assert_int_equal(read(f.event, &count, sizeof count), sizeof count);
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  assert_int_equal(read(f.event, &count, sizeof count), sizeof count);
  (void)gg_log_tick(f.log, gg_clock_mono_ns());
  assert_int_equal(read(f.event, &count, sizeof count), -1); /* once is enough */
  fixture_record(&f);
  fixture_stop(&f);
  fixture_fini(&f);
}

static void test_growth_within_a_flow(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.metrics = f.metrics;
  options.log_max_bytes = 4 * MIB;
  fixture_open(&f, &options, NULL);
  uint64_t now = gg_clock_mono_ns();
  for (unsigned i = 0; i < 6000; i++) {
    if (i % 100 == 0)
      set_gate(i % 300 == 0);
    if (!gg_log_reserve(f.log, record_length(f.next), GG_LOG_DATA))
      set_gate(false);
    fixture_record(&f);
    (void)gg_log_tick(f.log, now += GG_NS_PER_S / 40);
  }
  set_gate(false);
  (void)fixture_stop_and_walk(&f);
  fixture_fini(&f);
}

static void test_two_logs_share_the_bound(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.metrics = f.metrics;
  options.logs_max = 2;
  options.log_max_bytes = 3 * MIB;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, &failure), 0);
  struct gg_log *other;
  assert_int_equal(gg_recorder_log(f.recorder, "w0-block", fixture_wake, &f, &f.log, &failure), 0);
  assert_int_equal(gg_recorder_log(f.recorder, "w1-block", fixture_wake, &f, &other, &failure), 0);
  assert_int_equal(gg_recorder_log(f.recorder, "w2-block", fixture_wake, &f, &other, &failure), GG_ERR_LIMIT);
  assert_int_equal(gg_recorder_start(f.recorder, &failure), 0);
  set_gate(true);
  record_until_stuck(&f, 1 * MIB); /* 256 KiB + 1 MiB, and 256 KiB are the other's */
  assert_true(ring_bytes_in(f.rings) <= options.log_max_bytes);
  assert_non_null(gg_log_reserve(other, 100 * KIB, GG_LOG_DATA)); /* the other one's share is there */
  gg_log_commit(other, 0);
  set_gate(false);
  gg_log_finish(other);
  fixture_stop(&f);
  fixture_fini(&f);
}

/* Adds blocks of one page until one is refused; how many bytes that were. */
static size_t fill_with_pages(struct fixture *f, enum gg_log_priority priority)
{
  size_t sum = 0;
  for (uint8_t *at; (at = gg_log_reserve(f->log, 4096, priority)); sum += 4096) {
    uint32_t head[2] = {6, 4096}, tail = 4096;
    memset(at, 0, 4096);
    memcpy(at, head, sizeof head);
    memcpy(at + 4092, &tail, sizeof tail);
    gg_log_commit(f->log, 4096);
  }
  return sum;
}

static void test_control_reserve_is_kept(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.metrics = f.metrics;
  fixture_open(&f, &options, NULL);
  set_gate(true);
  assert_true(fill_with_pages(&f, GG_LOG_DATA) > 128 * KIB);
  size_t kept = fill_with_pages(&f, GG_LOG_CONTROL);
  assert_in_range(kept, GG_LOG_CONTROL_RESERVE_BYTES - 4096, GG_LOG_CONTROL_RESERVE_BYTES + 4096);
  gg_log_count_gap(f.log, 77); /* and what is told at the end still finds a place */
  set_gate(false);
  fixture_stop(&f);
  assert_int_equal(count_files(f.rings), 0);
  assert_int_equal(fixture_metric(&f, "log_gap_bytes"), 77);
  fixture_fini(&f);
}

/* A tmpfs of its own, or a skipped test. */
static void mount_small(const char *dir, const char *size)
{
  char options[32];
  snprintf(options, sizeof options, "size=%s", size);
  if (mount("none", dir, "tmpfs", 0, options) < 0) {
    print_message("needs the right to mount: %s\n", strerror(errno));
    skip();
  }
}

static void test_full_ring_directory(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  mount_small(f.rings, "1m");
  struct gg_recorder_options options = fixture_options(&f);
  options.ring_bytes = 1 * MIB;
  options.log_max_bytes = 64 * MIB;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, &failure), 0);
  assert_int_equal(gg_recorder_log(f.recorder, "w0-block", fixture_wake, &f, &f.log, &failure), GG_ERR_NO_SPACE);
  gg_recorder_destroy(f.recorder);
  assert_int_equal(count_files(f.rings), 0);

  options.metrics = f.metrics;
  options.ring_bytes = 256 * KIB; /* 256 + 512 KiB fit, no more */
  fixture_open(&f, &options, NULL);
  set_gate(true);
  record_until_stuck(&f, 512 * KIB);
  assert_int_equal(ring_bytes_now(&f), 512 * KIB);
  set_gate(false);
  (void)fixture_stop_and_walk(&f);
  assert_int_equal(umount(f.rings), 0);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(test_grows_and_shrinks, open_gate),
    cmocka_unit_test_setup(test_too_many_segments_stall, open_gate),
    cmocka_unit_test_setup(test_a_wake_comes_when_segments_are_done, open_gate),
    cmocka_unit_test_setup(test_a_tick_tells_of_room_that_came_unseen, open_gate),
    cmocka_unit_test_setup(test_a_granted_reservation_wakes_those_that_wait, open_gate),
    cmocka_unit_test_setup(test_growth_within_a_flow, open_gate),
    cmocka_unit_test_setup(test_two_logs_share_the_bound, open_gate),
    cmocka_unit_test_setup(test_control_reserve_is_kept, open_gate),
    cmocka_unit_test_setup(test_full_ring_directory, open_gate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
