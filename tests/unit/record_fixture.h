/* SPDX-License-Identifier: Apache-2.0 */
/**
 * record_fixture.h - what the tests of the log share: a store in a directory of its own, a producer of numbered
 * records, and a walker that reads the segments back block by block.
 *
 * Record n is an Enhanced Packet Block whose length and bytes follow from n alone, so the reader knows them.
 */
#ifndef TEST_RECORD_FIXTURE_H
#define TEST_RECORD_FIXTURE_H

#include "base/clock.h"
#include "base/metrics.h"
#include "metric_named.h"
#include "record/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef FIXTURE_BASE
#define FIXTURE_BASE "/dev/shm" /* whatever else the disk of this machine has to do */
#endif
#define MIB (1u << 20)
#define KIB (1u << 10)

struct fixture {
  char base[64];  /* removed at the end */
  char dir[96];   /* the store */
  char rings[96]; /* where its rings are */
  int event;      /* the wake callback's eventfd */
  struct gg_recorder *recorder;
  struct gg_log *log;
  struct gg_metrics *metrics;
  uint64_t next; /* number of the next record */
};

static inline void fixture_wake(void *context)
{
  uint64_t one = 1;
  struct fixture *f = context;
  if (write(f->event, &one, sizeof one) != sizeof one)
    abort();
}

static inline void fixture_init(struct fixture *f)
{
  memset(f, 0, sizeof *f);
  snprintf(f->base, sizeof f->base, FIXTURE_BASE "/gogetway-test-XXXXXX");
  assert_non_null(mkdtemp(f->base));
  snprintf(f->dir, sizeof f->dir, "%s/store", f->base);
  snprintf(f->rings, sizeof f->rings, "%s/rings", f->base);
  assert_int_equal(mkdir(f->rings, 0700), 0);
  f->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  assert_true(f->event >= 0);
  assert_int_equal(gg_metrics_create(&f->metrics), 0);
}

static inline void fixture_fini(struct fixture *f)
{
  close(f->event);
  gg_metrics_destroy(f->metrics);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", f->base);
  assert_int_equal(system(command), 0);
}

static inline struct gg_recorder_options fixture_options(const struct fixture *f)
{
  struct gg_recorder_options options = GG_RECORDER_OPTIONS_INIT;
  options.dir = f->dir;
  options.ring_dir = f->rings;
  options.ring_bytes = 256 * KIB;
  options.log_max_bytes = 256 * KIB;
  return options;
}

/* A metric's value so far. */
static inline uint64_t fixture_metric(const struct fixture *f, const char *name)
{
  struct gg_reading reading;
  assert_true(metric_named(f->metrics, name, &reading));
  return reading.value;
}

static inline void fixture_open(struct fixture *f, const struct gg_recorder_options *options,
                                struct gg_recovery *recovery)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_recorder_open(&f->recorder, options, recovery, &failure) != 0)
    fail_msg("open: %s", failure.message);
  if (gg_recorder_log(f->recorder, "w0-block", fixture_wake, f, &f->log, &failure) != 0)
    fail_msg("log: %s", failure.message);
  if (gg_recorder_start(f->recorder, &failure) != 0)
    fail_msg("start: %s", failure.message);
}

/* The same in a process that was forked: no cmocka there, a failure is an exit that the parent sees. */
static inline void fixture_open_forked(struct fixture *f, const struct gg_recorder_options *options, const char *log)
{
  if (gg_recorder_open(&f->recorder, options, NULL, NULL) != 0 ||
      gg_recorder_log(f->recorder, log, fixture_wake, f, &f->log, NULL) != 0 ||
      gg_recorder_start(f->recorder, NULL) != 0)
    _exit(2);
}

/* What forked processes see as well. */
static inline void *shared_page(void)
{
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(page != MAP_FAILED);
  return page;
}

/* With the usual options. */
static inline void fixture_begin(struct fixture *f)
{
  fixture_init(f);
  struct gg_recorder_options options = fixture_options(f);
  fixture_open(f, &options, NULL);
}

static inline void fixture_stop(struct fixture *f)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  gg_log_finish(f->log);
  if (gg_recorder_stop(f->recorder, gg_clock_mono_ns() + 20 * GG_NS_PER_S, &failure) != 0)
    fail_msg("stop: %s", failure.message);
  gg_recorder_destroy(f->recorder);
  f->recorder = NULL;
}

/* ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline uint32_t record_mix(uint64_t n)
{
  n = (n + 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
  n = (n ^ (n >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)(n >> 32);
}

enum { RECORD_MIN = 48, RECORD_MAX = 70 << 10 };

static inline size_t record_length(uint64_t n)
{
  uint32_t mix = record_mix(n);
  uint32_t most = mix % 16 == 0 ? RECORD_MAX : mix % 4 == 0 ? 9000 : 600;
  return RECORD_MIN + (mix >> 4) % (most - RECORD_MIN) / 4 * 4;
}

static inline void record_write(uint8_t *at, uint64_t n)
{
  size_t length = record_length(n);
  uint32_t head[7] = {6, (uint32_t)length, 0, 0, 0, (uint32_t)(length - 32), (uint32_t)(length - 32)};
  uint32_t trailer = (uint32_t)length;
  memcpy(at, head, sizeof head);
  memcpy(at + sizeof head, &n, sizeof n);
  memset(at + sizeof head + sizeof n, (int)(record_mix(n ^ 77) & 0xFF), length - sizeof head - sizeof n - 4);
  memcpy(at + length - 4, &trailer, sizeof trailer);
}

/* NULL if the record is right, else what is wrong with it. */
static inline const char *record_check(const uint8_t *at, size_t length, uint64_t n)
{
  static uint8_t expected[RECORD_MAX];
  if (length != record_length(n))
    return "length";
  record_write(expected, n);
  return memcmp(at, expected, length) == 0 ? NULL : "bytes";
}

static inline void pause_ns(uint64_t ns)
{
  struct timespec moment = {.tv_sec = (time_t)(ns / GG_NS_PER_S), .tv_nsec = (long)(ns % GG_NS_PER_S)};
  nanosleep(&moment, NULL);
}

static inline void fixture_wait_wake(struct fixture *f)
{
  struct pollfd wait = {.fd = f->event, .events = POLLIN};
  assert_int_equal(poll(&wait, 1, 20000), 1);
  uint64_t count;
  assert_int_equal(read(f->event, &count, sizeof count), sizeof count);
}

/* Adds the next record if there is room. */
static inline bool fixture_try_record(struct fixture *f)
{
  size_t length = record_length(f->next);
  uint8_t *at = gg_log_reserve(f->log, length, GG_LOG_DATA);
  if (!at)
    return false;
  record_write(at, f->next++);
  gg_log_commit(f->log, length);
  return true;
}

/* Adds the next record, waiting for room where there is none. Returns how often it waited. */
static inline unsigned fixture_record(struct fixture *f)
{
  unsigned waits = 0;
  for (; !fixture_try_record(f); waits++)
    fixture_wait_wake(f);
  return waits;
}

static inline struct gg_log_status fixture_status(const struct fixture *f, unsigned log)
{
  struct gg_log_status status;
  assert_int_equal(gg_recorder_log_status(f->recorder, log, &status), 0);
  return status;
}

static inline void fixture_wait_written(const struct fixture *f)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (fixture_status(f, 0).fill_bytes) {
    assert_true(gg_clock_mono_ns() < deadline_ns);
    pause_ns(200000);
  }
}

/* The next record begins a segment: the open one is older than allowed by default. */
static inline void fixture_rotate(struct fixture *f)
{
  (void)gg_log_tick(f->log, gg_clock_mono_ns() + 7200 * GG_NS_PER_S);
}

/* ── Reading back ────────────────────────────────────────────────────────────────────────────────────────────────── */

struct walk {
  uint64_t next; /* number of the next record that is expected */
  unsigned segments;
  unsigned statistics; /* blocks */
  uint64_t bytes;
  char comments[8][512]; /* the first ones that are not only spaces, of statistics blocks */
  unsigned comment_count;
};

static inline uint32_t walk_u32(const uint8_t *at)
{
  uint32_t v;
  memcpy(&v, at, sizeof v);
  return v;
}

static inline void walk_statistics(struct walk *walk, const uint8_t *at, size_t length)
{
  walk->statistics++;
  const uint8_t *end = at + length - 4;
  for (at += 20; at + 4 <= end;) {
    uint16_t code, size;
    memcpy(&code, at, 2);
    memcpy(&size, at + 2, 2);
    assert_true(at + 4 + size <= end);
    if (code == 1 && size > 0 && at[4] == '{' && walk->comment_count < 8) {
      size_t n = size < 511 ? size : 511;
      memcpy(walk->comments[walk->comment_count], at + 4, n);
      walk->comments[walk->comment_count++][n] = '\0';
    }
    if (code == 0)
      return;
    at += 4 + (((size_t)size + 3) & ~(size_t)3);
  }
}

static inline uint8_t *walk_read(const char *path, size_t *size)
{
  int fd = open(path, O_RDONLY);
  assert_true(fd >= 0);
  struct stat status;
  assert_int_equal(fstat(fd, &status), 0);
  *size = (size_t)status.st_size;
  uint8_t *bytes = malloc(*size + 1);
  assert_non_null(bytes);
  for (size_t done = 0; done < *size;) {
    ssize_t n = read(fd, bytes + done, *size - done);
    assert_true(n > 0);
    done += (size_t)n;
  }
  close(fd);
  return bytes;
}

/* Every block is whole, lengths agree, the records follow each other, and the file is whole pages. */
static inline void walk_segment(struct walk *walk, const char *path)
{
  size_t size;
  uint8_t *bytes = walk_read(path, &size);
  assert_true(size > 0);
  assert_int_equal(size % 4096, 0);
  unsigned blocks = 0;
  for (size_t at = 0; at < size; blocks++) {
    assert_true(size - at >= 12);
    uint32_t type = walk_u32(bytes + at), length = walk_u32(bytes + at + 4);
    if (length < 12 || length % 4 != 0 || length > size - at || walk_u32(bytes + at + length - 4) != length)
      fail_msg("%s: torn block at %zu of %zu", path, at, size);
    if (blocks < 2)
      assert_int_equal(type, blocks == 0 ? 0x0A0D0D0A : 1);
    else if (type == 5)
      walk_statistics(walk, bytes + at, length);
    else {
      assert_int_equal(type, 6);
      const char *wrong = record_check(bytes + at, length, walk->next);
      if (wrong)
        fail_msg("%s: record %llu at %zu: wrong %s", path, (unsigned long long)walk->next, at, wrong);
      walk->next++;
    }
    at += length;
  }
  walk->segments++;
  walk->bytes += size;
  free(bytes);
}

static inline int walk_filter(const struct dirent *entry)
{
  return entry->d_name[0] != '.';
}

/* `log`: only the segments of that one; NULL: all. */
static inline void walk_log(struct walk *walk, const struct fixture *f, const char *log)
{
  char path[512], part[64];
  snprintf(part, sizeof part, "Z-%s-0", log ? log : "");
  snprintf(path, sizeof path, "%s/segments", f->dir);
  struct dirent **names;
  int count = scandir(path, &names, walk_filter, alphasort);
  assert_true(count >= 0);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/segments/%s", f->dir, names[i]->d_name);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    if (!log || strstr(names[i]->d_name, part))
      walk_segment(walk, path);
    free(names[i]);
  }
  free(names);
}

static inline void walk_store(struct walk *walk, const struct fixture *f)
{
  walk_log(walk, f, NULL);
}

/* Stops it: every record is in the segments, once and in order. What else is there is returned. */
static inline struct walk fixture_stop_and_walk(struct fixture *f)
{
  struct walk walk = {0};
  fixture_stop(f);
  walk_store(&walk, f);
  assert_int_equal(walk.next, f->next);
  return walk;
}

static inline unsigned count_files(const char *dir)
{
  struct dirent **names;
  int count = scandir(dir, &names, walk_filter, alphasort);
  assert_true(count >= 0);
  for (int i = 0; i < count; i++)
    free(names[i]);
  free(names);
  return (unsigned)count;
}

/* The path of the one file that is there. */
static inline void only_file(char path[512], const char *dir)
{
  struct dirent **names;
  assert_int_equal(scandir(dir, &names, walk_filter, alphasort), 1);
  snprintf(path, 512, "%s/%s", dir, names[0]->d_name);
  free(names[0]);
  free(names);
}

static inline bool file_says(const char *dir, const char *name, const char *text)
{
  char path[512];
  size_t size;
  snprintf(path, sizeof path, "%s/%s", dir, name);
  uint8_t *bytes = walk_read(path, &size);
  bool says = memmem(bytes, size, text, strlen(text)) != NULL;
  free(bytes);
  return says;
}

static inline void wait_until_file_says(const char *dir, const char *name, const char *text)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (!file_says(dir, name, text)) {
    if (gg_clock_mono_ns() > deadline_ns)
      fail_msg("%s never says %s", name, text);
    pause_ns(GG_NS_PER_MS);
  }
}

static inline bool exists_in(const char *dir, const char *name)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return access(path, F_OK) == 0;
}

#endif
