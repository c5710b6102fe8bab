/* SPDX-License-Identifier: Apache-2.0 */
/* The report: everything is in it, it is whole or not there, and a disk that takes no more is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "replay/report.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t __real_write(int fd, const void *from, size_t bytes);
ssize_t __wrap_write(int fd, const void *from, size_t bytes);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

static int watched_fd_min = 1 << 30; /* descriptors from here on are the report's */
static int write_errno, fsync_errno, rename_errno;
static unsigned good_writes; /* before write_errno */
static size_t short_writes;  /* a write takes this much at the most */

ssize_t __wrap_write(int fd, const void *from, size_t bytes)
{
  static unsigned calls;
  if (fd < watched_fd_min)
    return __real_write(fd, from, bytes);
  if (short_writes) {
    if (calls++ % 3 == 0) {
      errno = EINTR;
      return -1;
    }
    bytes = bytes < short_writes ? bytes : short_writes;
  }
  if (write_errno && good_writes-- == 0) {
    good_writes = 0;
    errno = write_errno;
    return -1;
  }
  return __real_write(fd, from, bytes);
}

int __wrap_fsync(int fd)
{
  errno = fsync_errno;
  return fsync_errno ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
  errno = rename_errno;
  return rename_errno ? -1 : __real_rename(from, to);
}

/* ── Fixture ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct fixture {
  char dir[64], path[128];
  struct gg_replay_options options;
  struct gg_replay_plan plan;
};

static int set_up(void **state)
{
  struct fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  snprintf(f->dir, sizeof f->dir, "/tmp/gogetway-report-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  snprintf(f->path, sizeof f->path, "%s/out.json", f->dir);
  f->options = (struct gg_replay_options)GG_REPLAY_OPTIONS_INIT;
  f->options.to = "canary:8080";
  watched_fd_min = 3;
  write_errno = fsync_errno = rename_errno = 0;
  good_writes = 0;
  short_writes = 0;
  *state = f;
  return 0;
}

static unsigned files_in(const char *dir)
{
  DIR *handle = opendir(dir);
  assert_non_null(handle);
  unsigned files = 0;
  for (struct dirent *entry; (entry = readdir(handle));)
    files += entry->d_name[0] != '.';
  closedir(handle);
  return files;
}

static int tear_down(void **state)
{
  struct fixture *f = *state;
  watched_fd_min = 1 << 30;
  unlink(f->path);
  int left = rmdir(f->dir);
  free(f);
  return left; /* something else was left in it */
}

static struct gg_report *create(struct fixture *f)
{
  struct gg_report *report = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__report_create(&report, f->path, &f->plan, &f->options, &failure) != 0)
    fail_msg("%s", failure.message);
  return report;
}

static json_t *read_report(const char *path)
{
  json_error_t error;
  json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
  if (!root)
    fail_msg("%s: line %d column %d: %s", path, error.line, error.column, error.text);
  return root;
}

static json_t *at(json_t *object, const char *key)
{
  json_t *value = json_object_get(object, key);
  if (!value)
    fail_msg("there is no '%s'", key);
  return value;
}

/* Takes the member away, so that what nobody asked for is found at the end. */
static void take_number(json_t *object, const char *key, uint64_t expected)
{
  json_t *value = at(object, key);
  if (!json_is_integer(value) || (uint64_t)json_integer_value(value) != expected)
    fail_msg("'%s' is %lld, not %llu", key, (long long)json_integer_value(value), (unsigned long long)expected);
  json_object_del(object, key);
}

static void take_string(json_t *object, const char *key, const char *expected)
{
  json_t *value = at(object, key);
  if (!expected)
    assert_true(json_is_null(value));
  else
    assert_string_equal(json_string_value(value), expected);
  json_object_del(object, key);
}

static void take_bool(json_t *object, const char *key, bool expected)
{
  assert_int_equal(json_typeof(at(object, key)), expected ? JSON_TRUE : JSON_FALSE);
  json_object_del(object, key);
}

static void assert_empty(json_t *object)
{
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value)
  {
    fail_msg("'%s' was not looked at", key);
  }
}

/* Every number another one, beyond 32 bits. */
static uint64_t counter;

static uint64_t number(void)
{
  return UINT64_C(9000000000000000000) + counter++;
}

static void fill_counts(struct gg_replay_counts *counts)
{
  uint64_t *numbers = (uint64_t *)counts;
  for (size_t i = 0; i < sizeof *counts / sizeof *numbers; i++)
    numbers[i] = number();
}

static void fill_percentiles(struct gg_replay_percentiles *percentiles)
{
  uint64_t *numbers = (uint64_t *)percentiles;
  for (size_t i = 0; i < sizeof *percentiles / sizeof *numbers; i++)
    numbers[i] = number();
}

static void take_counts(json_t *object, const struct gg_replay_counts *counts)
{
  json_t *released = at(object, "released");
  take_number(released, "start", counts->released[GG_REPLAY_RELEASED_BY_START]);
  take_number(released, "time", counts->released[GG_REPLAY_RELEASED_BY_TIME]);
  take_number(released, "decoder", counts->released[GG_REPLAY_RELEASED_BY_DECODER]);
  take_number(released, "terminator", counts->released[GG_REPLAY_RELEASED_BY_TERMINATOR]);
  take_number(released, "length", counts->released[GG_REPLAY_RELEASED_BY_LENGTH]);
  take_number(released, "identical", counts->released[GG_REPLAY_RELEASED_BY_IDENTICAL]);
  take_number(released, "silence", counts->released[GG_REPLAY_RELEASED_BY_SILENCE]);
  take_number(released, "end", counts->released[GG_REPLAY_RELEASED_BY_END]);
  take_number(released, "timeout", counts->released[GG_REPLAY_RELEASED_BY_TIMEOUT]);
  assert_empty(released);
  json_object_del(object, "released");
  take_number(object, "chunks_sent", counts->chunks_sent);
  take_number(object, "chunks_unsent", counts->chunks_unsent);
  take_number(object, "bytes_sent", counts->bytes_sent);
  take_number(object, "bytes_received", counts->bytes_received);
  take_number(object, "bytes_expected", counts->bytes_expected);
  take_number(object, "replies", counts->replies);
  take_number(object, "replies_equal", counts->replies_equal);
  take_number(object, "replies_shorter", counts->replies_shorter);
  take_number(object, "replies_longer", counts->replies_longer);
  take_number(object, "replies_different", counts->replies_different);
  take_number(object, "timeouts", counts->timeouts);
  take_number(object, "closed_early", counts->closed_early);
  take_number(object, "pieces_replaced", counts->pieces_replaced);
  take_number(object, "plugin_ended", counts->plugin_ended);
}

static void take_percentiles(json_t *outcome, const char *key, const struct gg_replay_percentiles *percentiles)
{
  json_t *object = at(outcome, key);
  take_number(object, "count", percentiles->count);
  take_number(object, "mean_ns", percentiles->mean_ns);
  take_number(object, "p50_ns", percentiles->p50_ns);
  take_number(object, "p90_ns", percentiles->p90_ns);
  take_number(object, "p99_ns", percentiles->p99_ns);
  take_number(object, "p999_ns", percentiles->p999_ns);
  take_number(object, "max_ns", percentiles->max_ns);
  assert_empty(object);
  json_object_del(outcome, key);
}

/* ── Contents ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void options_and_plan(void **state)
{
  struct fixture *f = *state;
  f->options.level = GG_REPLAY_BYTES;
  f->options.speed_percent = 250;
  f->options.rate = 7;
  f->options.ramp_ns = number();
  f->options.copies = 3;
  f->options.loops = 4;
  f->options.connections_max = 5000;
  f->options.reply_timeout_ns = number();
  f->options.connect_timeout_ns = number();
  f->options.on_timeout = GG_REPLAY_CONTINUE;
  f->options.on_close = GG_REPLAY_STOP;
  f->options.source = "127.0.0.0/24";
  f->options.include_partial = true;
  f->options.record_dir = "again \"\xff\n";
  f->options.plugin = "./swap.so";
  f->plan = (struct gg_replay_plan){number(), number(), number(), number(), number(), number(),
                                    number(), number(), number(), number(), number(), "127.0.0.1:8080"};
  struct gg_report *report = create(f);
  struct gg_replay_outcome outcome = {0};
  assert_int_equal(gg__report_finish(report, &outcome, NULL), 0);
  gg__report_destroy(report);

  json_t *root = read_report(f->path), *replay = at(root, "replay"), *plan = at(root, "plan");
  assert_string_equal(json_string_value(at(root, "gogetway")), GG_VERSION);
  assert_int_equal(json_array_size(at(root, "sessions")), 0);
  assert_int_equal(json_object_size(root), 5);
  take_string(replay, "to", "canary:8080");
  take_string(replay, "level", "bytes");
  take_number(replay, "speed_percent", 250);
  take_number(replay, "rate", 7);
  take_number(replay, "ramp_ns", f->options.ramp_ns);
  take_number(replay, "copies", 3);
  take_number(replay, "loops", 4);
  take_number(replay, "connections_max", 5000);
  take_number(replay, "reply_timeout_ns", f->options.reply_timeout_ns);
  take_number(replay, "connect_timeout_ns", f->options.connect_timeout_ns);
  take_string(replay, "on_timeout", "continue");
  take_string(replay, "on_close", "stop");
  take_string(replay, "source", "127.0.0.0/24");
  take_bool(replay, "include_partial", true);
  take_bool(replay, "allow_original", false);
  take_string(replay, "record_dir", "again \"\xef\xbf\xbd\n");
  take_string(replay, "plugin", "./swap.so");
  assert_empty(replay);
  take_number(plan, "sessions", f->plan.sessions);
  take_number(plan, "opaque", f->plan.opaque);
  take_number(plan, "partial", f->plan.partial);
  take_number(plan, "played", f->plan.played);
  take_number(plan, "connections", f->plan.connections);
  take_number(plan, "connections_peak", f->plan.connections_peak);
  take_number(plan, "chunks", f->plan.chunks);
  take_number(plan, "chunks_dependent", f->plan.chunks_dependent);
  take_number(plan, "bytes", f->plan.bytes);
  take_number(plan, "bytes_expected", f->plan.bytes_expected);
  take_number(plan, "duration_ns", f->plan.duration_ns);
  take_string(plan, "to", "127.0.0.1:8080");
  assert_empty(plan);
  json_decref(root);
}

static void sessions_one_a_row(void **state)
{
  struct fixture *f = *state;
  struct gg_report *report = create(f);
  struct gg_replay_session different = {
    .id = "018c00000000000000000abc",
    .loop = number(),
    .copy = number(),
    .verdict = GG_REPLAY_DIFFERENT,
    .connected = true,
    .local = "127.0.0.7:40000",
    .due_ns = number(),
    .begun_ns = number(),
    .ended_ns = number(),
    .latency_max_ns = number(),
    .decoder = "http1",
    .difference = {.kind = GG_REPLAY_DIFFERENCE_NOT_CLOSED,
                   .chunk = 3,
                   .offset = number(),
                   .expected_size = 16,
                   .got_size = 3,
                   .expected = "0123456789abcde\xff",
                   .got = {0, 0x0a, 0xf0}},
  };
  struct gg_replay_session equal = {.id = "018c00000000000000000abd", .verdict = GG_REPLAY_EQUAL};
  fill_counts(&different.counts);
  assert_int_equal(gg__report_session(report, &different, NULL), 0);
  assert_int_equal(gg__report_session(report, &equal, NULL), 0);
  struct gg_replay_outcome outcome = {0};
  assert_int_equal(gg__report_finish(report, &outcome, NULL), 0);
  gg__report_destroy(report);

  json_t *root = read_report(f->path), *sessions = at(root, "sessions");
  assert_int_equal(json_array_size(sessions), 2);
  json_t *row = json_array_get(sessions, 0), *difference = at(row, "difference");
  take_string(row, "id", different.id);
  take_number(row, "loop", different.loop);
  take_number(row, "copy", different.copy);
  take_string(row, "verdict", "different");
  take_bool(row, "connected", true);
  take_string(row, "local", "127.0.0.7:40000");
  take_number(row, "due_ns", different.due_ns);
  take_number(row, "begun_ns", different.begun_ns);
  take_number(row, "ended_ns", different.ended_ns);
  take_number(row, "latency_max_ns", different.latency_max_ns);
  take_string(row, "decoder", "http1");
  take_counts(row, &different.counts);
  take_string(difference, "kind", "not-closed");
  take_number(difference, "chunk", 3);
  take_number(difference, "offset", different.difference.offset);
  take_string(difference, "expected", "303132333435363738396162636465ff");
  take_string(difference, "got", "000af0");
  assert_empty(difference);
  json_object_del(row, "difference");
  assert_empty(row);
  row = json_array_get(sessions, 1);
  take_string(row, "local", NULL);
  take_string(row, "difference", NULL);
  take_string(row, "verdict", "equal");
  take_string(row, "decoder", NULL);
  json_decref(root);
}

static void sums_of_all(void **state)
{
  struct fixture *f = *state;
  struct gg_report *report = create(f);
  struct gg_replay_outcome outcome = {.partial = true,
                                      .elapsed_ns = number(),
                                      .sessions_planned = number(),
                                      .sessions = {number(), number(), number(), number(), number()},
                                      .connections_made = number(),
                                      .connections_refused = number(),
                                      .connections_peak = number(),
                                      .sessions_held = number(),
                                      .held_max_ns = number(),
                                      .waited_by_messages = number(),
                                      .waited_by_bytes = number()};
  fill_counts(&outcome.counts);
  fill_percentiles(&outcome.latency);
  fill_percentiles(&outcome.lag);
  fill_percentiles(&outcome.slip);
  assert_int_equal(gg__report_finish(report, &outcome, NULL), 0);
  gg__report_destroy(report);

  json_t *root = read_report(f->path), *sums = at(root, "outcome");
  take_bool(sums, "partial", true);
  take_number(sums, "elapsed_ns", outcome.elapsed_ns);
  take_number(sums, "sessions_planned", outcome.sessions_planned);
  json_t *verdicts = at(sums, "sessions");
  take_number(verdicts, "equal", outcome.sessions[GG_REPLAY_EQUAL]);
  take_number(verdicts, "different", outcome.sessions[GG_REPLAY_DIFFERENT]);
  take_number(verdicts, "opaque", outcome.sessions[GG_REPLAY_OPAQUE]);
  take_number(verdicts, "partial", outcome.sessions[GG_REPLAY_PARTIAL]);
  take_number(verdicts, "unfinished", outcome.sessions[GG_REPLAY_UNFINISHED]);
  assert_empty(verdicts);
  json_object_del(sums, "sessions");
  take_number(sums, "connections_made", outcome.connections_made);
  take_number(sums, "connections_refused", outcome.connections_refused);
  take_number(sums, "connections_peak", outcome.connections_peak);
  take_number(sums, "sessions_held", outcome.sessions_held);
  take_number(sums, "held_max_ns", outcome.held_max_ns);
  take_number(sums, "waited_by_messages", outcome.waited_by_messages);
  take_number(sums, "waited_by_bytes", outcome.waited_by_bytes);
  take_counts(sums, &outcome.counts);
  take_percentiles(sums, "latency", &outcome.latency);
  take_percentiles(sums, "lag", &outcome.lag);
  take_percentiles(sums, "slip", &outcome.slip);
  assert_empty(sums);
  json_decref(root);
}

/* ── The file ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void many_sessions_in_short_writes(void **state)
{
  struct fixture *f = *state;
  short_writes = 4099;
  struct gg_report *report = create(f);
  struct gg_replay_session session = {.id = "018c00000000000000000abc"};
  for (session.copy = 0; session.copy < 1000; session.copy++)
    assert_int_equal(gg__report_session(report, &session, NULL), 0);
  struct gg_replay_outcome outcome = {0};
  assert_int_equal(gg__report_finish(report, &outcome, NULL), 0);
  gg__report_destroy(report);
  json_t *root = read_report(f->path), *sessions = at(root, "sessions");
  assert_int_equal(json_array_size(sessions), 1000);
  for (size_t i = 0; i < 1000; i++)
    take_number(json_array_get(sessions, i), "copy", i);
  json_decref(root);
}

static void replaces_when_whole_only(void **state)
{
  struct fixture *f = *state;
  struct gg_replay_outcome outcome = {0};
  FILE *before = fopen(f->path, "w");
  assert_non_null(before);
  fputs("{\"before\":1}", before);
  fclose(before);

  struct gg_report *report = create(f);
  assert_int_equal(files_in(f->dir), 2);
  gg__report_destroy(report); /* nobody finished it */
  assert_int_equal(files_in(f->dir), 1);
  json_t *root = read_report(f->path);
  take_number(root, "before", 1);
  json_decref(root);

  report = create(f);
  assert_int_equal(gg__report_finish(report, &outcome, NULL), 0);
  gg__report_destroy(report);
  assert_int_equal(files_in(f->dir), 1);
  root = read_report(f->path);
  assert_non_null(json_object_get(root, "outcome"));
  json_decref(root);
  struct stat status;
  assert_int_equal(stat(f->path, &status), 0);
  assert_int_equal(status.st_mode & 07777, 0600);
  gg__report_destroy(NULL);
}

static void report_to(struct fixture *f, const char *path)
{
  struct gg_report *report = NULL;
  struct gg_replay_outcome outcome = {0};
  assert_int_equal(gg__report_create(&report, path, &f->plan, &f->options, NULL), 0);
  assert_int_equal(gg__report_finish(report, &outcome, NULL), 0);
  gg__report_destroy(report);
}

/* A link stays one, and the file that it leads to is replaced, or made. */
static void links_lead_to_the_file(void **state)
{
  struct fixture *f = *state;
  char folder[256], first[256], second[256], file[256];
  struct stat status;
  snprintf(folder, sizeof folder, "%s/folder", f->dir);
  snprintf(first, sizeof first, "%s/first", f->dir);
  snprintf(second, sizeof second, "%s/folder/second", f->dir);
  snprintf(file, sizeof file, "%s/folder/file", f->dir);
  assert_int_equal(mkdir(folder, 0700), 0);
  assert_int_equal(symlink("folder/second", first), 0);
  assert_int_equal(symlink(file, second), 0);
  for (unsigned twice = 0; twice < 2; twice++) {
    report_to(f, first);
    json_decref(read_report(file));
    assert_int_equal(lstat(file, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(lstat(first, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(lstat(second, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(files_in(folder), 2);
  }
  assert_int_equal(unlink(first), 0);
  assert_int_equal(symlink("/dev/null", first), 0);
  report_to(f, first);
  assert_int_equal(stat(first, &status), 0);
  assert_true(S_ISCHR(status.st_mode));
  unlink(first);
  assert_int_equal(symlink("first", first), 0); /* round and round */
  struct gg_report *report = NULL;
  assert_true(gg__report_create(&report, first, &f->plan, &f->options, NULL) < 0);
  unlink(first);
  unlink(second);
  unlink(file);
  rmdir(folder);
}

/* What standard output goes to is written through it, so that nothing else that is written there is lost. */
static void standard_output_by_its_names(void **state)
{
  struct fixture *f = *state;
  fflush(stdout);
  int old = dup(STDOUT_FILENO), fd = open(f->path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(old >= 0 && fd >= 0);
  const char *const names[] = {"/dev/stdout", "/proc/self/fd/1", f->path};
  for (size_t i = 0; i < 3; i++) {
    struct stat before, after;
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fstat(fd, &before), 0);
    dup2(fd, STDOUT_FILENO);
    struct gg_report *report = NULL;
    struct gg_replay_outcome outcome = {0};
    int error = gg__report_create(&report, names[i], &f->plan, &f->options, NULL);
    if (!error)
      error = gg__report_finish(report, &outcome, NULL);
    gg__report_destroy(report);
    dup2(old, STDOUT_FILENO);
    assert_int_equal(error, 0);
    assert_int_equal(stat(f->path, &after), 0);
    assert_true(before.st_ino == after.st_ino && after.st_size == lseek(fd, 0, SEEK_CUR));
    json_decref(read_report(f->path));
    assert_int_equal(files_in(f->dir), 1);
  }
  close(old);
  close(fd);
}

/* What is no ordinary file is written, not replaced. */
static void devices_and_pipes(void **state)
{
  struct fixture *f = *state;
  struct gg_replay_outcome outcome = {0};
  struct gg_report *report = NULL;
  assert_int_equal(gg__report_create(&report, "/dev/null", &f->plan, &f->options, NULL), 0);
  assert_int_equal(gg__report_finish(report, &outcome, NULL), 0);
  gg__report_destroy(report);
  struct stat status;
  assert_int_equal(stat("/dev/null", &status), 0);
  assert_true(S_ISCHR(status.st_mode));

  int pipes[2], old = dup(STDOUT_FILENO);
  assert_int_equal(pipe(pipes), 0);
  fflush(stdout);
  dup2(pipes[1], STDOUT_FILENO);
  int error = gg__report_create(&report, "-", &f->plan, &f->options, NULL);
  if (!error)
    error = gg__report_finish(report, &outcome, NULL);
  gg__report_destroy(report);
  dup2(old, STDOUT_FILENO); /* still open, or this would have had no effect on it */
  close(old);
  close(pipes[1]);
  assert_int_equal(error, 0);
  FILE *in = fdopen(pipes[0], "r");
  json_t *root = json_loadf(in, 0, NULL);
  assert_non_null(root);
  assert_non_null(json_object_get(root, "outcome"));
  json_decref(root);
  fclose(in);
}

static void refused_names(void **state)
{
  struct fixture *f = *state;
  struct gg_report *report = (struct gg_report *)f;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg__report_create(&report, "/tmp/gogetway-no-such-dir/a", &f->plan, &f->options, &failure),
                   GG_ERR_NOT_FOUND);
  assert_null(report);
  assert_non_null(strstr(failure.message, "/tmp/gogetway-no-such-dir/a"));
  assert_true(gg__report_create(&report, f->dir, &f->plan, &f->options, NULL) < 0);
  assert_null(report);
  char *endless = calloc(1, 200000);
  memset(endless, 'a', 199999);
  f->options.record_dir = endless;
  assert_int_equal(gg__report_create(&report, f->path, &f->plan, &f->options, NULL), GG_ERR_RANGE);
  assert_null(report);
  assert_int_equal(files_in(f->dir), 0);
  free(endless);
}

static void a_full_disk(void **state)
{
  struct fixture *f = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_report *report = NULL;
  write_errno = ENOSPC;
  assert_int_equal(gg__report_create(&report, f->path, &f->plan, &f->options, &failure), GG_ERR_NO_SPACE);
  assert_null(report);
  assert_non_null(strstr(failure.message, f->path));
  assert_int_equal(files_in(f->dir), 0);

  good_writes = 2;
  report = create(f);
  struct gg_replay_session session = {.id = "018c00000000000000000abc"};
  int error = 0;
  failure = (struct gg_failure)GG_FAILURE_INIT;
  for (unsigned i = 0; i < 1000 && !error; i++)
    error = gg__report_session(report, &session, &failure);
  assert_int_equal(error, GG_ERR_NO_SPACE);
  assert_int_equal(failure.code, GG_ERR_NO_SPACE);
  write_errno = 0; /* room again: the report has a hole, and is none any more */
  struct gg_replay_outcome outcome = {0};
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg__report_finish(report, &outcome, &failure), GG_ERR_NO_SPACE);
  assert_int_equal(failure.code, GG_ERR_NO_SPACE);
  gg__report_destroy(report);
  assert_int_equal(files_in(f->dir), 0);
}

static void failures_at_the_end(void **state)
{
  struct fixture *f = *state;
  struct gg_replay_outcome outcome = {0};
  for (unsigned way = 0; way < 3; way++) {
    struct gg_report *report = create(f);
    write_errno = way == 0 ? EPIPE : 0;
    fsync_errno = way == 1 ? ENOSPC : 0;
    rename_errno = way == 2 ? EACCES : 0;
    static const int expected[] = {GG_ERR_CLOSED, GG_ERR_NO_SPACE, GG_ERR_DENIED};
    assert_int_equal(gg__report_finish(report, &outcome, NULL), expected[way]);
    write_errno = fsync_errno = rename_errno = 0;
    gg__report_destroy(report);
    assert_int_equal(files_in(f->dir), 0);
  }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(options_and_plan),
    TEST(sessions_one_a_row),
    TEST(sums_of_all),
    TEST(many_sessions_in_short_writes),
    TEST(replaces_when_whole_only),
    TEST(devices_and_pipes),
    TEST(refused_names),
    TEST(a_full_disk),
    TEST(failures_at_the_end),
    TEST(links_lead_to_the_file),
    TEST(standard_output_by_its_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
