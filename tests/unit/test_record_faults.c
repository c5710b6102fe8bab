/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is full, fails, takes only a part, or hangs: nothing is lost, and everybody is told. */
#include "record_fixture.h"

#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

ssize_t __real_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_openat64(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *name, int flags, mode_t mode);

static _Atomic int write_errno;        /* every write of a segment fails with it */
static _Atomic unsigned short_writes;  /* 1: writes take a part only */
static _Atomic unsigned refuse_direct; /* 1: EINVAL for O_DIRECT */
static _Atomic unsigned hang;
static _Atomic int sync_errno;
static _Atomic int create_errno;
static _Atomic unsigned syncs;
static _Atomic uint64_t calls;

static bool is_segment(int fd)
{
  char link[64], path[512];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0)
    return false;
  path[n] = '\0';
  return strstr(path, ".pcapng") != NULL;
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset)
{
  if (!is_segment(fd))
    return __real_pwrite64(fd, from, bytes, offset);
  uint64_t call = atomic_fetch_add(&calls, 1);
  while (atomic_load(&hang))
    usleep(1000);
  int error = atomic_load(&write_errno);
  if (!error && atomic_load(&refuse_direct) && (fcntl(fd, F_GETFL) & O_DIRECT))
    error = EINVAL;
  if (error) {
    errno = error;
    return -1;
  }
  if (atomic_load(&short_writes) && bytes > 512 && call % 4 != 0)
    bytes = 512 + record_mix(call) % (bytes - 512) / 512 * 512;
  return __real_pwrite64(fd, from, bytes, offset);
}

int __wrap_fdatasync(int fd)
{
  atomic_fetch_add(&syncs, 1);
  int error = atomic_load(&sync_errno);
  if (!error)
    return __real_fdatasync(fd);
  errno = error;
  return -1;
}

int __wrap_openat64(int dir, const char *name, int flags, mode_t mode)
{
  int error = atomic_load(&create_errno);
  if (!error || !strstr(name, ".pcapng"))
    return __real_openat64(dir, name, flags, mode);
  errno = error;
  return -1;
}

struct operator_room {
  _Atomic unsigned asked;
};

static int make_room(void *context, uint64_t bytes)
{
  struct operator_room *room = context;
  if (bytes > 0)
    atomic_fetch_add(&room->asked, 1);
  return GG_ERR_NO_SPACE;
}

/* Records until the log refuses for the reason that is expected. */
static void record_until(struct fixture *f, enum gg_log_pressure expected)
{
  uint64_t deadline = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (gg_log_pressure(f->log) != expected && gg_clock_mono_ns() < deadline) {
    if (!fixture_try_record(f))
      usleep(500);
  }
  assert_int_equal(gg_log_pressure(f->log), expected);
}

static void finish_and_check(struct fixture *f)
{
  for (unsigned i = 0; i < 200; i++)
    fixture_record(f);
  (void)fixture_stop_and_walk(f);
  fixture_fini(f);
}

static void disk_refuses(int error, _Atomic int *where)
{
  struct fixture f;
  fixture_init(&f);
  struct operator_room room = {0};
  struct gg_recorder_ops ops = {.make_room = make_room};
  struct gg_recorder_options options = fixture_options(&f);
  options.ops = &ops;
  options.ops_context = &room;
  options.metrics = f.metrics;
  options.segment_max_bytes = 128 * KIB;
  fixture_open(&f, &options, NULL);
  fixture_record(&f);
  for (unsigned round = 0; round < 3; round++) {
    atomic_store(where, error);
    record_until(&f, GG_LOG_DISK_FULL);
    assert_int_equal(fixture_metric(&f, "log_disk_full"), 1);
    assert_true(fixture_status(&f, 0).fill_bytes > 0);
    atomic_store(where, 0);
    fixture_record(&f); /* waits for the wake */
  }
  assert_true(error == EIO ? atomic_load(&room.asked) == 0 : atomic_load(&room.asked) > 0);
  assert_int_equal(fixture_metric(&f, "log_disk_full"), 0);
  finish_and_check(&f);
}

static void test_full(void **state)
{
  (void)state;
  disk_refuses(ENOSPC, &write_errno);
}

static void test_quota(void **state)
{
  (void)state;
  disk_refuses(EDQUOT, &write_errno);
}

static void test_failing(void **state)
{
  (void)state;
  disk_refuses(EIO, &write_errno);
}

static void test_segment_cannot_be_made(void **state)
{
  (void)state;
  disk_refuses(ENOSPC, &create_errno);
}

static void test_short_writes(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  atomic_store(&short_writes, 1);
  while (gg_log_committed(f.log) < 6 * MIB)
    fixture_record(&f);
  atomic_store(&short_writes, 0);
  finish_and_check(&f);
}

static void test_without_direct_writes(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  atomic_store(&refuse_direct, 1);
  fixture_open(&f, &options, NULL);
  while (gg_log_committed(f.log) < 6 * MIB)
    fixture_record(&f);
  finish_and_check(&f);
  atomic_store(&refuse_direct, 0);
}

static void test_failing_sync_is_not_durable(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.sync_mode = GG_SYNC_ALWAYS;
  fixture_open(&f, &options, NULL);
  atomic_store(&sync_errno, EIO);
  fixture_record(&f);
  gg_log_flush(f.log);
  fixture_wait_written(&f);
  for (unsigned i = 0; i < 5; i++) { /* also after a further round, and for files that were closed since */
    fixture_record(&f);
    fixture_rotate(&f);
    usleep(5000);
    assert_int_equal(gg_log_durable(f.log), 0);
  }
  atomic_store(&sync_errno, 0);
  fixture_record(&f);
  gg_log_want_durable(f.log, gg_log_committed(f.log));
  gg_log_flush(f.log);
  while (gg_log_durable(f.log) < gg_log_committed(f.log))
    fixture_wait_wake(&f);
  finish_and_check(&f);
}

static void recover_and_check(struct fixture *f, const struct gg_recorder_options *options)
{
  struct gg_recovery recovery;
  assert_int_equal(gg_recorder_open(&f->recorder, options, &recovery, NULL), 0);
  assert_int_equal(recovery.rings, 1);
  assert_true(recovery.bytes > 0);
  gg_recorder_destroy(f->recorder);
  assert_int_equal(count_files(f->rings), 0);
  struct walk walk = {0};
  walk_store(&walk, f);
  assert_int_equal(walk.next, f->next);
  fixture_fini(f);
}

/* Files that are complete are closed, and nobody waits for the disk. */
static void test_never_syncs(void **state)
{
  (void)state;
  for (unsigned never = 0; never < 2; never++) {
    struct fixture f;
    fixture_init(&f);
    struct gg_recorder_options options = fixture_options(&f);
    options.sync_mode = never ? GG_SYNC_NEVER : GG_SYNC_INTERVAL;
    options.sync_interval_ns = GG_NS_PER_S / 1000;
    options.segment_max_bytes = 64 * KIB;
    atomic_store(&sync_errno, 0);
    fixture_open(&f, &options, NULL);
    atomic_store(&syncs, 0);
    while (gg_log_segment(f.log) < 20)
      fixture_record(&f);
    if (never)
      assert_int_equal(gg_log_durable(f.log), 0); /* nothing is promised */
    finish_and_check(&f);
    if (never)
      assert_int_equal(atomic_load(&syncs), 0);
    else
      assert_true(atomic_load(&syncs) >= 20);
  }
}

static void test_stop_with_a_full_disk(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  for (unsigned i = 0; i < 10; i++)
    fixture_record(&f);
  atomic_store(&write_errno, ENOSPC);
  record_until(&f, GG_LOG_DISK_FULL);
  gg_log_finish(f.log);
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_recorder_stop(f.recorder, gg_clock_mono_ns() + GG_NS_PER_S / 5, &failure), GG_ERR_NO_SPACE);
  assert_non_null(strstr(failure.message, "next start"));
  gg_recorder_destroy(f.recorder);
  options.ring_dir = f.base; /* configured anew: what is left stays where it is, and is found there */
  struct gg_failure again = GG_FAILURE_INIT;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, &again), GG_ERR_NO_SPACE); /* nothing is given up */
  char place[128];
  snprintf(place, sizeof place, "%s/gogetway-", f.rings);
  assert_non_null(strstr(again.message, place));
  assert_int_equal(count_files(f.rings), 1);
  atomic_store(&write_errno, 0);
  recover_and_check(&f, &options);
}

static void test_stop_with_a_hanging_disk(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  pid_t child = fork(); /* what hangs cannot be freed: in a process of its own */
  assert_true(child >= 0);
  if (child == 0) {
    fixture_open_forked(&f, &options, "w0-block");
    atomic_store(&hang, 1);
    for (unsigned i = 0; i < 3; i++)
      if (!fixture_try_record(&f))
        _exit(4);
    gg_log_finish(f.log);
    int result = gg_recorder_stop(f.recorder, gg_clock_mono_ns() + GG_NS_PER_S / 5, NULL);
    gg_recorder_destroy(f.recorder);
    _exit(result == GG_ERR_TIMEOUT ? 0 : 3);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  f.next = 3;
  recover_and_check(&f, &options);
}

/* A real small file system that a ballast fills. */
static void test_small_file_system(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  assert_int_equal(mkdir(f.dir, 0700), 0);
  if (mount("none", f.dir, "tmpfs", 0, "size=4m") < 0) {
    print_message("needs the right to mount: %s\n", strerror(errno));
    fixture_fini(&f);
    skip();
  }
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  char ballast[128];
  snprintf(ballast, sizeof ballast, "%s/ballast", f.dir);
  int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
  struct statvfs space;
  assert_int_equal(fstatvfs(fd, &space), 0);
  assert_int_equal(posix_fallocate(fd, 0, (off_t)(space.f_bavail * space.f_bsize) - 300000), 0);
  close(fd);
  record_until(&f, GG_LOG_DISK_FULL);
  struct walk open_segment = {0};
  walk_store(&open_segment, &f); /* whole blocks only, also now */
  assert_true(open_segment.next < f.next);
  assert_int_equal(unlink(ballast), 0);
  fixture_record(&f);
  (void)fixture_stop_and_walk(&f);
  assert_int_equal(umount(f.dir), 0);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_full),
    cmocka_unit_test(test_quota),
    cmocka_unit_test(test_failing),
    cmocka_unit_test(test_segment_cannot_be_made),
    cmocka_unit_test(test_short_writes),
    cmocka_unit_test(test_without_direct_writes),
    cmocka_unit_test(test_failing_sync_is_not_durable),
    cmocka_unit_test(test_never_syncs),
    cmocka_unit_test(test_stop_with_a_full_disk),
    cmocka_unit_test(test_stop_with_a_hanging_disk),
    cmocka_unit_test(test_small_file_system),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
