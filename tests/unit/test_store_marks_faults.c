/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of tags and holds on a disk that fails: whatever call does, either all of it is done or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/marks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define A "0123456789abcdef00000001"
#define B "0123456789abcdef00000002"

/* ── Calls that fail ─────────────────────────────────────────────────────────────────────────────────────────────── */

enum call { PWRITE, FDATASYNC, FTRUNCATE, RENAMEAT, OPENAT, FSYNC, FCNTL, MKDIRAT, CALLS };

static struct {
  unsigned until; /* so many calls succeed first; 0 with an error: the next one fails */
  int error;      /* 0: none fails */
  size_t bytes;   /* a write that fails takes so many first */
} fault[CALLS];

/* The error of a call that is to fail; 0: it is not. It goes on failing. */
static int strikes(enum call call)
{
  if (!fault[call].error)
    return 0;
  if (fault[call].until > 0) {
    fault[call].until--;
    return 0;
  }
  return fault[call].error;
}

static int strike(enum call call)
{
  errno = strikes(call);
  return errno ? -1 : 0;
}

ssize_t __real_pwrite64(int fd, const void *data, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset)
{
  int error = strikes(PWRITE);
  if (!error)
    return __real_pwrite64(fd, data, length, offset);
  size_t some = fault[PWRITE].bytes < length ? fault[PWRITE].bytes : length;
  fault[PWRITE].bytes = 0;
  errno = error;
  return some > 0 ? __real_pwrite64(fd, data, some, offset) : -1;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
  return strike(FDATASYNC) ? -1 : __real_fdatasync(fd);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
  return strike(FSYNC) ? -1 : __real_fsync(fd);
}

int __real_ftruncate64(int fd, off_t length);
int __wrap_ftruncate64(int fd, off_t length);
int __wrap_ftruncate64(int fd, off_t length)
{
  return strike(FTRUNCATE) ? -1 : __real_ftruncate64(fd, length);
}

int __real_renameat(int from, const char *old, int to, const char *name);
int __wrap_renameat(int from, const char *old, int to, const char *name);
int __wrap_renameat(int from, const char *old, int to, const char *name)
{
  return strike(RENAMEAT) ? -1 : __real_renameat(from, old, to, name);
}

int __real_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode)
{
  return strike(MKDIRAT) ? -1 : __real_mkdirat(fd, name, mode);
}

int __real_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...)
{
  return strike(OPENAT) ? -1 : __real_openat64(fd, name, flags, 0600);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
  va_list list;
  va_start(list, command);
  void *argument = va_arg(list, void *);
  va_end(list);
  return strike(FCNTL) ? -1 : __real_fcntl64(fd, command, argument);
}

/* Time that flies, so that a bound is met without waiting for it. */
static uint64_t clock_ns, clock_step_ns;

uint64_t __wrap_gg_clock_mono_ns(void);
uint64_t __wrap_gg_clock_mono_ns(void)
{
  return clock_ns += clock_step_ns;
}

/* ── The store ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct fixture {
  char dir[64], journal[80], path[128];
  struct gg__marks *marks;
};

static int begin(void **state)
{
  struct fixture *fixture = calloc(1, sizeof *fixture);
  if (!fixture)
    return -1;
  memset(fault, 0, sizeof fault);
  clock_step_ns = 0;
  snprintf(fixture->dir, sizeof fixture->dir, "/tmp/gogetway-marks-XXXXXX");
  if (!mkdtemp(fixture->dir))
    return -1;
  snprintf(fixture->journal, sizeof fixture->journal, "%s/journal", fixture->dir);
  snprintf(fixture->path, sizeof fixture->path, "%s/marks.jsonl", fixture->journal);
  *state = fixture;
  return gg__marks_open(&fixture->marks, fixture->dir, NULL);
}

static int end(void **state)
{
  struct fixture *fixture = *state;
  char path[160];
  memset(fault, 0, sizeof fault);
  gg__marks_close(fixture->marks);
  unlink(fixture->path);
  snprintf(path, sizeof path, "%s.new", fixture->path);
  unlink(path);
  rmdir(fixture->journal);
  rmdir(fixture->dir);
  free(fixture);
  return 0;
}

static int tag_two(struct gg__marks *marks, const char *add, struct gg_failure *failure)
{
  const char *const ids[] = {A, B};
  *failure = (struct gg_failure)GG_FAILURE_INIT;
  return gg__marks_tag(marks, ids, 2, &add, 1, NULL, 0, failure);
}

static bool has(struct gg__marks *marks, const char *id, const char *tag)
{
  const struct gg__mark *mark = gg__marks_find(marks, id);
  for (size_t i = 0; mark && i < mark->tag_count; i++)
    if (strcmp(mark->tags[i], tag) == 0)
      return true;
  return false;
}

static off_t length_of(const struct fixture *fixture)
{
  struct stat status;
  return stat(fixture->path, &status) == 0 ? status.st_size : -1;
}

static bool another_sees(const struct fixture *fixture, const char *id, const char *tag)
{
  struct gg__marks *marks = NULL;
  assert_int_equal(gg__marks_open(&marks, fixture->dir, NULL), 0);
  bool seen = has(marks, id, tag);
  assert_null(gg__marks_warning(marks, 0));
  gg__marks_close(marks);
  return seen;
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The disk takes some bytes, any number of them, and then no more. */
static void a_full_disk_changes_nothing(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure;
  assert_int_equal(tag_two(fixture->marks, "first", &failure), 0);
  off_t before = length_of(fixture);
  for (size_t bytes = 0; bytes < 240; bytes += 7) {
    fault[PWRITE].error = ENOSPC;
    fault[PWRITE].bytes = bytes;
    assert_int_equal(tag_two(fixture->marks, "second", &failure), GG_ERR_NO_SPACE);
    assert_non_null(strstr(failure.message, "marks.jsonl: No space left on device"));
    assert_null(strchr(failure.message, '\n'));
    assert_int_equal(length_of(fixture), before);
    assert_false(has(fixture->marks, A, "second"));
    assert_false(another_sees(fixture, A, "second"));
  }
  fault[PWRITE].error = 0;
  assert_int_equal(tag_two(fixture->marks, "second", &failure), 0);
  assert_true(another_sees(fixture, B, "second") && another_sees(fixture, B, "first"));
}

/* Not even what was written can be taken back: then it is cut by the next who writes. */
static void what_cannot_be_taken_back_is_cut_later(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure;
  assert_int_equal(tag_two(fixture->marks, "first", &failure), 0);
  off_t before = length_of(fixture);
  fault[PWRITE].error = fault[FTRUNCATE].error = EIO;
  fault[PWRITE].bytes = 20;
  assert_int_equal(tag_two(fixture->marks, "second", &failure), GG_ERR_IO);
  assert_int_equal(length_of(fixture), before + 20);
  assert_false(another_sees(fixture, A, "second"));
  fault[PWRITE].error = 0;
  assert_int_equal(tag_two(fixture->marks, "third", &failure), GG_ERR_IO); /* it still cannot */
  assert_non_null(strstr(failure.message, "torn"));
  fault[FTRUNCATE].error = 0;
  assert_int_equal(tag_two(fixture->marks, "third", &failure), 0);
  assert_true(another_sees(fixture, A, "third"));
  assert_false(another_sees(fixture, A, "second"));
}

static void what_is_not_durable_is_not_done(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure;
  fault[FDATASYNC].error = EIO;
  assert_int_equal(tag_two(fixture->marks, "x", &failure), GG_ERR_IO);
  assert_int_equal(length_of(fixture), 0);
  assert_false(has(fixture->marks, A, "x"));
  fault[FDATASYNC].error = 0;
  assert_int_equal(tag_two(fixture->marks, "x", &failure), 0);
  assert_true(another_sees(fixture, A, "x"));
}

/* Each of the calls that open the journal fails in turn. */
static void nothing_can_be_made(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure;
  static const struct {
    enum call call;
    unsigned until;
    int error, expected;
  } faults[] = {
    {MKDIRAT, 0, EROFS, GG_ERR_IO},     {MKDIRAT, 0, ENOSPC, GG_ERR_NO_SPACE}, {MKDIRAT, 0, EACCES, GG_ERR_DENIED},
    {FSYNC, 0, EIO, GG_ERR_IO},         {OPENAT, 0, EMFILE, GG_ERR_LIMIT},     {OPENAT, 1, EROFS, GG_ERR_IO},
    {OPENAT, 1, EACCES, GG_ERR_DENIED}, {FCNTL, 0, ENOLCK, GG_ERR_IO},
  };
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    fault[faults[i].call].error = faults[i].error;
    fault[faults[i].call].until = faults[i].until;
    assert_int_equal(tag_two(fixture->marks, "x", &failure), faults[i].expected);
    assert_true(failure.message[0] != '\0' && !strchr(failure.message, '\n'));
    memset(fault, 0, sizeof fault);
    assert_false(has(fixture->marks, A, "x"));
  }
  assert_int_equal(tag_two(fixture->marks, "x", &failure), 0);
  assert_true(another_sees(fixture, A, "x"));
}

static void a_lock_that_is_kept_is_not_waited_for_for_ever(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure;
  assert_int_equal(tag_two(fixture->marks, "x", &failure), 0);
  int fd = open(fixture->path, O_RDWR | O_CLOEXEC);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
  clock_step_ns = UINT64_C(1000000000);
  assert_int_equal(tag_two(fixture->marks, "y", &failure), GG_ERR_BUSY);
  assert_non_null(strstr(failure.message, "another process"));
  assert_true(another_sees(fixture, A, "x")); /* reading waits for nobody */
  close(fd);
  assert_int_equal(tag_two(fixture->marks, "y", &failure), 0);
}

/* Whatever fails while the journal is written anew, what was asked for is done, and all is there. */
static void writing_it_anew_may_fail(void **state)
{
  struct fixture *fixture = *state;
  const char *id = A;
  static const struct {
    enum call call;
    unsigned until;
  } faults[] = {{PWRITE, 1}, {FDATASYNC, 1}, {RENAMEAT, 0}, {FSYNC, 0}};
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    bool holding = true;
    for (unsigned at = 0; at < 1200; at++, holding = !holding) {
      fault[faults[i].call].until = faults[i].until; /* of each command's: the lines of its own succeed */
      fault[faults[i].call].error = at > 0 ? ENOSPC : 0;
      if (gg__marks_hold(fixture->marks, &id, 1, holding, NULL) != 0)
        fail_msg("call %d, command %u", faults[i].call, at);
    }
    memset(fault, 0, sizeof fault);
    struct gg__marks *again = NULL;
    assert_int_equal(gg__marks_open(&again, fixture->dir, NULL), 0);
    assert_int_equal(gg__marks_held(again), gg__marks_held(fixture->marks));
    assert_int_equal(gg__marks_held(again), 0);
    gg__marks_close(again);
  }
  off_t before = length_of(fixture);
  for (unsigned at = 0; at < 8000 && length_of(fixture) >= before; at++) /* and at last it succeeds */
    assert_int_equal(gg__marks_hold(fixture->marks, &id, 1, at % 2 == 0, NULL), 0);
  assert_true(length_of(fixture) < before);
}

static void what_waits_goes_on_waiting(void **state)
{
  struct fixture *fixture = *state;
  const char *rule = "rule";
  char id[25];
  for (unsigned i = 0; i < GG_MARKS_STAGED_MAX; i++) {
    snprintf(id, sizeof id, "%024x", i);
    assert_int_equal(gg__marks_stage(fixture->marks, id, &rule, 1, NULL), 0);
  }
  fault[PWRITE].error = ENOSPC;
  assert_int_equal(gg__marks_flush(fixture->marks, NULL), GG_ERR_NO_SPACE);
  assert_int_equal(gg__marks_stage(fixture->marks, A, &rule, 1, NULL), GG_ERR_NO_SPACE); /* there is no room for it */
  fault[PWRITE].error = 0;
  assert_int_equal(gg__marks_flush(fixture->marks, NULL), 0);
  assert_true(another_sees(fixture, id, "rule"));
  assert_false(another_sees(fixture, A, "rule"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(a_full_disk_changes_nothing),
    TEST(what_cannot_be_taken_back_is_cut_later),
    TEST(what_is_not_durable_is_not_done),
    TEST(nothing_can_be_made),
    TEST(a_lock_that_is_kept_is_not_waited_for_for_ever),
    TEST(writing_it_anew_may_fail),
    TEST(what_waits_goes_on_waiting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
