/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a ring behind its producer's back: what is there is copied, what was written over is not, through changes of
 * the ring; and a copy that is said to be whole is whole, however fast the producer is. pwrite(2) can be held back. */
#include "record_fixture.h"

#include <pthread.h>

ssize_t __real_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset);

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opens = PTHREAD_COND_INITIALIZER;
static bool gate_shut;

ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset)
{
  pthread_mutex_lock(&gate_lock);
  while (gate_shut)
    pthread_cond_wait(&gate_opens, &gate_lock);
  pthread_mutex_unlock(&gate_lock);
  return __real_pwrite64(fd, from, bytes, offset);
}

static void set_gate(bool shut)
{
  pthread_mutex_lock(&gate_lock);
  gate_shut = shut;
  pthread_cond_broadcast(&gate_opens);
  pthread_mutex_unlock(&gate_lock);
}

static int open_gate(void **state)
{
  (void)state;
  set_gate(false);
  return 0;
}

/* Adds the next record; false: no room. Its place in *position. */
static bool try_record_at(struct fixture *f, uint64_t *position)
{
  size_t length = record_length(f->next);
  uint8_t *at = gg_log_reserve(f->log, length, GG_LOG_DATA);
  if (!at)
    return false;
  *position = gg_log_position(f->log, at);
  record_write(at, f->next++);
  gg_log_commit(f->log, length);
  return true;
}

static uint64_t record_at(struct fixture *f)
{
  uint64_t position;
  while (!try_record_at(f, &position)) {
    fixture_wait_wake(f);
    gg_log_tick(f->log, gg_clock_mono_ns());
  }
  return position;
}

static uint8_t copied[RECORD_MAX];

/* Whether record n is to be had at its place; if so, it has to be right. */
static bool is_there(struct fixture *f, uint64_t n, uint64_t position)
{
  size_t length = record_length(n);
  if (!gg_log_copy(f->log, position, copied, length))
    return false;
  const char *wrong = record_check(copied, length, n);
  if (wrong)
    fail_msg("record %llu was copied with wrong %s", (unsigned long long)n, wrong);
  return true;
}

static void what_is_there_is_copied(void **state)
{
  struct fixture f;
  uint64_t positions[20];
  (void)state;
  fixture_begin(&f);
  for (unsigned i = 0; i < 20; i++)
    positions[i] = record_at(&f);
  for (unsigned i = 0; i < 20; i++)
    assert_true(is_there(&f, i, positions[i]));
  for (size_t skip = 1; skip < 40; skip++) { /* wherever it begins and ends */
    uint8_t expected[RECORD_MAX];
    record_write(expected, 3);
    assert_true(gg_log_copy(f.log, positions[3] + skip, copied, record_length(3) - 2 * skip % 41));
    assert_memory_equal(copied, expected + skip, record_length(3) - skip < 8 ? 8 : 40);
  }
  fixture_stop(&f);
  fixture_fini(&f);
}

/* All that lies a ring's length before what is reserved is gone, from the reservation on. */
static void what_may_be_written_over_is_not(void **state)
{
  enum { RECORDS = 400 };
  struct fixture f;
  static uint64_t positions[RECORDS];
  (void)state;
  fixture_begin(&f);
  for (unsigned i = 0; i < RECORDS; i++)
    positions[i] = record_at(&f);
  gg_log_flush(f.log);
  uint64_t end = gg_log_committed(f.log);
  assert_true(end > 512 * KIB);
  for (unsigned i = 0; i < RECORDS; i++)
    assert_int_equal(is_there(&f, i, positions[i]), positions[i] + 256 * KIB >= end);
  fixture_wait_written(&f);
  assert_true(gg_log_copy(f.log, end - 256 * KIB, copied, 8));
  uint8_t *at = gg_log_reserve(f.log, 60 * KIB, GG_LOG_DATA);
  assert_non_null(at);
  uint64_t claimed = gg_log_position(f.log, at) + 60 * KIB;
  for (unsigned i = 0; i < RECORDS; i++)
    assert_int_equal(is_there(&f, i, positions[i]), positions[i] + 256 * KIB >= claimed);
  assert_false(gg_log_copy(f.log, end - 256 * KIB, copied, 8)); /* by the reservation alone */
  assert_false(gg_log_copy(f.log, claimed - 1 - 256 * KIB, copied, 8));
  assert_true(gg_log_copy(f.log, claimed - 256 * KIB, copied, 8));
  gg_log_commit(f.log, 0);
  fixture_stop(&f);
  fixture_fini(&f);
}

static void rings_change(void **state)
{
  enum { RECORDS = 4000 };
  struct fixture f;
  static uint64_t positions[RECORDS];
  (void)state;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 8 * MIB;
  options.sync_interval_ns = 10 * 1000 * 1000;
  fixture_open(&f, &options, NULL);
  set_gate(true); /* nothing is written: the log has to grow, and the old ring stays */
  uint64_t first_end = 0;
  unsigned count = 0, old = 0;
  while (fixture_status(&f, 0).ring_bytes < 4 * 256 * KIB) {
    assert_true(count < RECORDS);
    if (try_record_at(&f, &positions[count]))
      count++;
    else
      fixture_wait_wake(&f);
    gg_log_tick(f.log, gg_clock_mono_ns());
    if (fixture_status(&f, 0).ring_bytes == 256 * KIB)
      first_end = gg_log_committed(f.log);
  }
  for (unsigned i = 0; i < 20; i++)
    positions[count++] = record_at(&f);
  for (unsigned i = 0; i < count; i++) {
    assert_true(is_there(&f, i, positions[i]));
    old += positions[i] < first_end;
  }
  assert_true(old > 0 && old < count - 15);
  set_gate(false);
  gg_log_flush(f.log);
  fixture_wait_written(&f);
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (is_there(&f, 0, positions[0])) { /* the old ring goes when it was written */
    assert_true(gg_clock_mono_ns() < deadline_ns);
    pause_ns(1000000);
  }
  assert_false(is_there(&f, old - 1, positions[old - 1]));
  assert_true(is_there(&f, count - 1, positions[count - 1]));
  fixture_stop(&f);
  fixture_fini(&f);
}

/* ── Two threads ─────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { TOLD = 4096 };
static struct {
  struct fixture *f;
  _Atomic uint64_t count;
  _Atomic uint64_t positions[TOLD]; /* of record n at n % TOLD */
  _Atomic bool over;
  _Atomic uint64_t whole, late;
} race;

static void *read_records(void *context)
{
  static uint8_t bytes[RECORD_MAX];
  uint64_t random = 88172645463325252u;
  (void)context;
  while (!race.over) {
    uint64_t count = race.count;
    if (count < TOLD)
      continue;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    uint64_t n = count - 1 - random % (TOLD / 16);
    uint64_t position = race.positions[n % TOLD];
    if (race.count - n >= TOLD / 2) /* its place may be another's */
      continue;
    if (!gg_log_copy(race.f->log, position, bytes, record_length(n))) {
      race.late++;
      continue;
    }
    if (record_check(bytes, record_length(n), n) != NULL)
      abort(); /* said to be whole */
    race.whole++;
  }
  return NULL;
}

static void a_copy_that_is_whole_is_whole(void **state)
{
  struct fixture f;
  pthread_t reader;
  (void)state;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 2 * MIB; /* it grows meanwhile */
  options.segment_max_bytes = 1 * MIB;
  options.sync_interval_ns = 1000 * 1000;
  fixture_open(&f, &options, NULL);
  race.f = &f;
  assert_int_equal(pthread_create(&reader, NULL, read_records, NULL), 0);
  uint64_t until_ns = gg_clock_mono_ns() + GG_NS_PER_S;
  for (uint64_t n = 0; gg_clock_mono_ns() < until_ns || race.whole < 100 || race.late < 100; n++) {
    assert_true(gg_clock_mono_ns() < until_ns + 20 * GG_NS_PER_S);
    race.positions[n % TOLD] = record_at(&f);
    race.count = n + 1;
  }
  race.over = true;
  pthread_join(reader, NULL);
  fixture_stop(&f);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_there_is_copied),
    cmocka_unit_test(what_may_be_written_over_is_not),
    cmocka_unit_test_teardown(rings_change, open_gate),
    cmocka_unit_test(a_copy_that_is_whole_is_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
