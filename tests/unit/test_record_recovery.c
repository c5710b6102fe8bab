/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: killed while recording, killed while recovering, files that only look like rings, rings that are gone. */
#include "record_fixture.h"

#include "base/logger.h"
#include "record/ring.h"

#include <signal.h>
#include <sys/wait.h>

enum { KILLS = 50, RECOVERY_KILLS = 3 };

struct shared {
  _Atomic uint64_t committed; /* records */
};

/* Records until it is killed. */
static void produce(struct fixture *f, const struct gg_recorder_options *options, struct shared *shared)
{
  fixture_open_forked(f, options, "w0-block");
  f->next = atomic_load(&shared->committed);
  for (;;) {
    if (!fixture_try_record(f)) {
      struct pollfd wait = {.fd = f->event, .events = POLLIN};
      uint64_t count;
      if (poll(&wait, 1, 10000) != 1 || read(f->event, &count, sizeof count) != sizeof count)
        _exit(3);
      continue;
    }
    atomic_store(&shared->committed, f->next);
    if (record_mix(f->next) % 37 == 0)
      gg_log_flush(f->log);
    (void)gg_log_tick(f->log, gg_clock_mono_ns());
  }
}

static void kill_child(pid_t child)
{
  kill(child, SIGKILL);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFEXITED(status))
    fail_msg("the producer ended by itself: %d", WEXITSTATUS(status));
}

static void record_and_kill(struct fixture *f, const struct gg_recorder_options *options, struct shared *shared,
                            unsigned seed)
{
  uint64_t before = atomic_load(&shared->committed);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0)
    produce(f, options, shared);
  uint64_t deadline = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (atomic_load(&shared->committed) == before && gg_clock_mono_ns() < deadline)
    pause_ns(50000);
  pause_ns(record_mix(seed) % 12000000);
  kill_child(child);
}

static void recover_and_kill(const struct gg_recorder_options *options, unsigned seed)
{
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct gg_recorder *recorder;
    struct gg_failure failure = GG_FAILURE_INIT;
    if (gg_recorder_open(&recorder, options, NULL, &failure) != 0) {
      fprintf(stderr, "recovering: %s\n", failure.message);
      _exit(2);
    }
    _exit(0);
  }
  pause_ns(record_mix(seed) % 2500000);
  kill(child, SIGKILL);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static void open_only(struct fixture *f, const struct gg_recorder_options *options, struct gg_recovery *recovery)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_recorder_open(&f->recorder, options, recovery, &failure) != 0)
    fail_msg("open: %s", failure.message);
  gg_recorder_destroy(f->recorder);
}

static void test_killed_while_recording(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f);
  options.log_max_bytes = 2 * MIB; /* so that kills meet growth, too */
  options.segment_max_age_ns = 2 * GG_NS_PER_MS;
  unsigned recovered = 0;
  for (unsigned i = 0; i < KILLS; i++) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s/segments", f.dir);
    assert_int_equal(system(command), 0);
    options.segment_max_bytes = i % 3 == 0 ? 100 * KIB : 1u << 30;
    atomic_store(&shared->committed, 0);
    record_and_kill(&f, &options, shared, i);
    for (unsigned k = 0; k < (i % 5 == 0 ? RECOVERY_KILLS : 0); k++)
      recover_and_kill(&options, i * 16 + k);
    struct gg_recovery recovery;
    open_only(&f, &options, &recovery);
    recovered += recovery.rings > 0;
    assert_int_equal(recovery.rings_refused, 0);
    assert_int_equal(recovery.rings_missing, 0);
    assert_int_equal(count_files(f.rings), 0);
    assert_false(exists_in(f.dir, "running"));
    struct walk walk = {0};
    walk_store(&walk, &f);
    uint64_t committed = atomic_load(&shared->committed);
    if (walk.next != committed && walk.next != committed + 1) /* killed between commit and count */
      fail_msg("kill %u: %llu records committed, %llu found", i, (unsigned long long)committed,
               (unsigned long long)walk.next);
  }
  assert_true(recovered > KILLS / 4); /* the test would prove nothing otherwise */
  munmap(shared, 4096);
  fixture_fini(&f);
}

/* The segment's name gets into `running` a moment after the file was made. */
static bool named_in_running(const struct fixture *f)
{
  char path[128], line[512];
  bool named = false;
  snprintf(path, sizeof path, "%s/running", f->dir);
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file))
    named |= strncmp(line, "segment ", 8) == 0;
  if (file)
    fclose(file);
  return named;
}

/* A ring with records in it: the producer was killed, and its ring holds at least one record that is in no file. */
static void leave_ring(struct fixture *f, const struct gg_recorder_options *options, char name[512],
                       struct shared *shared)
{
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    fixture_open_forked(f, options, "w0-block");
    for (f->next = 0; f->next < 3;) {
      if (!fixture_try_record(f))
        _exit(3);
      struct gg_log_status status = {0};
      if (f->next == 2)
        gg_log_flush(f->log);
      while (f->next == 2 && (gg_recorder_log_status(f->recorder, 0, &status), status.fill_bytes))
        pause_ns(100000);
    }
    while (!named_in_running(f))
      pause_ns(100000);
    atomic_store(&shared->committed, 3);
    for (;;)
      pause();
  }
  while (atomic_load(&shared->committed) != 3)
    pause_ns(50000);
  kill_child(child);
  only_file(name, f->rings);
  atomic_store(&shared->committed, 0);
}

/* What is wrong with a ring file, and whether it can be put right again. */
static void patch(const char *path, off_t offset, const void *bytes, size_t length)
{
  int fd = open(path, O_RDWR);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, bytes, length, offset), (ssize_t)length);
  close(fd);
}

static void assert_refused(struct fixture *f, const struct gg_recorder_options *options, const char *path)
{
  struct stat before, after;
  assert_int_equal(lstat(path, &before), 0);
  struct gg_recovery recovery;
  open_only(f, options, &recovery);
  assert_int_equal(recovery.rings_refused, 1);
  assert_int_equal(recovery.rings, 0);
  assert_int_equal(lstat(path, &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  assert_int_equal(before.st_size, after.st_size);
}

static void test_strange_rings_are_refused(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f);
  char ring[512], other[300];
  leave_ring(&f, &options, ring, shared);
  snprintf(other, sizeof other, "%s/aside", f.base);

  assert_int_equal(chmod(ring, 0640), 0);
  assert_refused(&f, &options, ring);
  assert_int_equal(chmod(ring, 0600), 0);

  if (geteuid() == 0) {
    assert_int_equal(chown(ring, 65534, 65534), 0);
    assert_refused(&f, &options, ring);
    assert_int_equal(chown(ring, 0, 0), 0);
  }

  assert_int_equal(rename(ring, other), 0);
  assert_int_equal(symlink(other, ring), 0);
  assert_refused(&f, &options, ring);
  assert_int_equal(unlink(ring), 0);
  assert_int_equal(mkfifo(ring, 0600), 0);
  assert_refused(&f, &options, ring);
  assert_int_equal(unlink(ring), 0);
  assert_int_equal(rename(other, ring), 0);

  struct gg__ring_header header;
  int fd = open(ring, O_RDONLY);
  assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
  close(fd);
#define PATCHED(member, change)                                                                                        \
  do {                                                                                                                 \
    struct gg__ring_header bad = header;                                                                               \
    bad.member change;                                                                                                 \
    patch(ring, 0, &bad, sizeof bad);                                                                                  \
    assert_refused(&f, &options, ring);                                                                                \
    patch(ring, 0, &header, sizeof header);                                                                            \
  } while (0)
  PATCHED(magic[0], = 0);
  PATCHED(version, += 1);
  PATCHED(header_bytes, *= 2);
  PATCHED(uuid[3], ^= 1);
  PATCHED(log_name[0], = 'x');
  PATCHED(generation, += 1);
  PATCHED(ring_bytes, *= 2);
  PATCHED(committed, += 1u << 30);
  PATCHED(committed, += 2);
  PATCHED(written, += 1u << 30);
  PATCHED(written, += 4);
  PATCHED(segments[1].start, += 1);
  PATCHED(segments[1].start, += 8192);
  PATCHED(segments[1].number, = 0);
  PATCHED(segments[1].name[0], = '/');
  PATCHED(segments[1].name[2], = '/');

  off_t size = (off_t)(header.header_bytes + header.ring_bytes);
  assert_int_equal(truncate(ring, size - 4096), 0); /* the last page holds nothing yet */
  assert_refused(&f, &options, ring);
  assert_int_equal(truncate(ring, size), 0);

  struct gg_recovery recovery;
  open_only(&f, &options, &recovery); /* put right, it is recovered */
  assert_int_equal(recovery.rings, 1);
  assert_int_equal(recovery.rings_refused, 0);
  assert_int_equal(count_files(f.rings), 0);
  munmap(shared, 4096);
  fixture_fini(&f);
}

enum { PLANTED = 5000, RINGS_MOST = 8 * 1024 }; /* what a start takes at the most */

/* Files of others, as far as this process can make them, that have names of this store's rings. */
static void plant(const char *ring, unsigned count)
{
  char path[450];
  size_t head = (size_t)(strrchr(ring, '.') + 1 - ring);
  for (unsigned i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%.*s%u", (int)head, ring, i + 1);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
    assert_true(fd >= 0);
    bool foreign = i % 2 && geteuid() == 0;
    assert_int_equal(fchmod(fd, foreign ? 0600 : 0644), 0);
    assert_int_equal(foreign ? fchown(fd, 65534, 65534) : 0, 0);
    close(fd);
  }
}

static void recover_among_planted(bool named)
{
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f);
  char ring[512], running[128];
  leave_ring(&f, &options, ring, shared);
  plant(ring, PLANTED);
  snprintf(running, sizeof running, "%s/running", f.dir);
  assert_int_equal(named ? 0 : unlink(running), 0);
  struct gg_recovery recovery;
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings, 1);
  assert_int_equal(recovery.rings_refused, PLANTED);
  assert_int_equal(recovery.rings_missing, 0);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, 3);
  assert_int_equal(count_files(f.rings), PLANTED);
  munmap(shared, 4096);
  fixture_fini(&f);
}

static void test_planted_names_take_no_rings_place(void **state)
{
  (void)state;
  recover_among_planted(true);
  recover_among_planted(false);
}

/* More rings of ours than a start takes: it fails, and nothing is lost. */
static void test_too_many_rings_fail_the_start(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f);
  char ring[512], path[450];
  leave_ring(&f, &options, ring, shared);
  struct gg__ring_header header;
  int fd = open(ring, O_RDONLY);
  assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
  close(fd);
  atomic_store(&header.base, GG__RING_UNUSED);
  for (unsigned i = 0; i < RINGS_MOST; i++) {
    header.generation = i + 1;
    snprintf(path, sizeof path, "%.*s%u", (int)(strrchr(ring, '.') + 1 - ring), ring, i + 1);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
    assert_int_equal(ftruncate(fd, (off_t)(header.header_bytes + header.ring_bytes)), 0);
    close(fd);
  }
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, &failure), GG_ERR_LIMIT);
  assert_non_null(strstr(failure.message, f.rings));
  assert_int_equal(count_files(f.rings), RINGS_MOST + 1);
  assert_true(exists_in(f.dir, "running"));
  assert_int_equal(unlink(path), 0);
  struct gg_recovery recovery;
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings, 1);
  assert_int_equal(count_files(f.rings), 0);
  munmap(shared, 4096);
  fixture_fini(&f);
}

/* Where everybody may link everybody's files: a second name of a ring does not keep it from being recovered, and
 * brings nothing back when it gets the ring's name later. */
static void test_linked_ring_is_recovered_once(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f);
  char ring[512], other[300], command[256];
  leave_ring(&f, &options, ring, shared);
  snprintf(other, sizeof other, "%s/aside", f.base);
  assert_int_equal(link(ring, other), 0);
  struct gg_recovery recovery;
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings, 1);
  assert_int_equal(recovery.rings_refused, 0);
  snprintf(command, sizeof command, "rm %s/segments/*", f.dir);
  assert_int_equal(system(command), 0);
  assert_int_equal(rename(other, ring), 0);
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings, 0);
  assert_int_equal(recovery.bytes, 0);
  assert_int_equal(count_files(f.rings), 0);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.segments, 0);
  munmap(shared, 4096);
  fixture_fini(&f);
}

/* The same for a ring that was removed in the ordinary way. */
static void test_linked_ring_of_a_clean_stop_is_empty(void **state)
{
  (void)state;
  struct fixture f;
  fixture_begin(&f);
  char ring[512], other[300];
  only_file(ring, f.rings);
  snprintf(other, sizeof other, "%s/aside", f.base);
  assert_int_equal(link(ring, other), 0);
  fixture_record(&f);
  fixture_stop(&f);
  struct gg__ring_header header;
  int fd = open(other, O_RDONLY);
  assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
  close(fd);
  assert_true(atomic_load(&header.base) == GG__RING_UNUSED);
  fixture_fini(&f);
}

/* Names are there for everybody to see, and to take first: the next ones must not follow from them. */
static void test_planted_names_do_not_stop_new_rings(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  options.logs_max = 2;
  options.log_max_bytes = 512 * KIB;
  open_only(&f, &options, NULL); /* so that the store has its name */
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, NULL), 0);
  char path[400];
  snprintf(path, sizeof path, "%s/gogetway-%s.w0-block.1", f.rings, gg_recorder_uuid(f.recorder));
  plant(path, 2000);
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_recorder_log(f.recorder, "w0-block", fixture_wake, &f, &f.log, &failure) != 0)
    fail_msg("%s", failure.message);
  uint64_t generation = 0;
  struct dirent **names;
  int count = scandir(f.rings, &names, walk_filter, alphasort);
  for (int i = 0; i < count; i++) {
    uint64_t n = strtoull(strrchr(names[i]->d_name, '.') + 1, NULL, 10);
    generation = n > generation ? n : generation;
    free(names[i]);
  }
  free(names);
  for (uint64_t n = generation + 1; n < generation + 2000; n++) {
    snprintf(path, sizeof path, "%s/gogetway-%s.w1-block.%llu", f.rings, gg_recorder_uuid(f.recorder),
             (unsigned long long)n);
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0);
    close(fd);
  }
  if (gg_recorder_log(f.recorder, "w1-block", fixture_wake, &f, &f.log, &failure) != 0)
    fail_msg("%s", failure.message);
  gg_recorder_destroy(f.recorder);
  fixture_fini(&f);
}

static void test_rings_of_other_stores_are_none_of_ours(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  char path[400];
  snprintf(path, sizeof path, "%s/gogetway-00000000-0000-4000-8000-000000000000.w0-block.1", f.rings);
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  assert_true(fd >= 0);
  close(fd);
  struct gg_recorder_options options = fixture_options(&f);
  struct gg_recovery recovery;
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings_refused, 0);
  assert_int_equal(access(path, F_OK), 0);
  fixture_fini(&f);
}

/* The machine was restarted: the ring is gone, the segment's end is torn. */
static void test_missing_ring_marks_its_segment(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f);
  char ring[512], segment[512];
  leave_ring(&f, &options, ring, shared);
  assert_int_equal(unlink(ring), 0);
  char segments[128];
  snprintf(segments, sizeof segments, "%s/segments", f.dir);
  only_file(segment, segments);
  int fd = open(segment, O_WRONLY | O_APPEND);
  const uint8_t torn[64] = {6, 0, 0, 0, 200}; /* a block of 200 bytes that is not all there */
  assert_int_equal(write(fd, torn, sizeof torn), sizeof torn);
  close(fd);
  struct gg_recovery recovery;
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings, 0);
  assert_int_equal(recovery.rings_missing, 1);
  assert_int_equal(recovery.segments, 1);
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, 2); /* the two that were flushed */
  assert_int_equal(walk.comment_count, 1);
  assert_non_null(strstr(walk.comments[0], "may be missing"));
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings_missing, 0);
  munmap(shared, 4096);
  fixture_fini(&f);
}

/* A directory that cannot be looked into, here a link to itself, is not one that is gone: nothing is given up. */
static void test_rings_out_of_reach_stay_named(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f), other = options;
  char ring[512], away[160], elsewhere[160];
  leave_ring(&f, &options, ring, shared);
  snprintf(away, sizeof away, "%s/away", f.base);
  snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", f.base);
  assert_int_equal(rename(f.rings, away), 0);
  assert_int_equal(symlink(f.rings, f.rings), 0);
  assert_int_equal(mkdir(elsewhere, 0700), 0);
  other.ring_dir = elsewhere;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_recorder *recorder = NULL;
  assert_true(gg_recorder_open(&recorder, &other, NULL, &failure) < 0);
  assert_non_null(strstr(failure.message, f.rings));
  assert_true(exists_in(f.dir, "running"));
  assert_int_equal(unlink(f.rings), 0);
  assert_int_equal(rename(away, f.rings), 0);
  struct gg_recovery recovery;
  open_only(&f, &other, &recovery);
  assert_int_equal(recovery.rings, 1);
  assert_int_equal(recovery.rings_missing, 0);
  assert_false(exists_in(f.dir, "running"));
  munmap(shared, 4096);
  fixture_fini(&f);
}

static void test_missing_ring_without_anything_recorded(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  open_only(&f, &options, NULL);
  char path[128];
  snprintf(path, sizeof path, "%s/running", f.dir);
  FILE *file = fopen(path, "w");
  fprintf(file,
          "gogetway running 1\nboot other\nring w0-block %s/nothing\nring x\nsegment w0-block ../../etc/x.pcapng\n"
          "segment w0-block no-such.pcapng\nnonsense\n\nsegment w0-block unfinished",
          f.rings);
  fclose(file);
  struct gg_recovery recovery;
  open_only(&f, &options, &recovery);
  assert_int_equal(recovery.rings_missing, 1);
  assert_int_equal(recovery.segments, 0);
  assert_false(exists_in(f.dir, "running"));
  fixture_fini(&f);
}

static void keep_lines(void *context, enum gg_level level, const char *line, size_t length)
{
  (void)level;
  (void)length;
  char *lines = context;
  size_t used = strlen(lines);
  snprintf(lines + used, 2048 - used, "%s\n", line);
}

/* Opens the store, and returns what was logged, without its times. */
static void open_and_keep_lines(struct fixture *f, struct gg_recorder_options options, char lines[2048],
                                struct gg_recovery *recovery)
{
  struct gg_logger *logger;
  lines[0] = '\0';
  assert_int_equal(gg_logger_create_sink(&logger, keep_lines, lines, GG_LEVEL_INFO, GG_LOGGER_JSON), 0);
  options.logger = logger;
  open_only(f, &options, recovery);
  gg_logger_destroy(logger);
}

static void test_one_line_says_what_was_recovered(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct shared *shared = shared_page();
  struct gg_recorder_options options = fixture_options(&f);
  char ring[512], lines[2048], expected[256];
  struct gg_recovery recovery;
  leave_ring(&f, &options, ring, shared);
  assert_int_equal(chmod(ring, 0640), 0);
  open_and_keep_lines(&f, options, lines, &recovery);
  const char *name = strrchr(ring, '/') + 1;
  snprintf(expected, sizeof expected, "\"ring\":\"%s\",\"reason\":\"its mode is not 0600\"}\n", name);
  assert_non_null(strstr(lines, expected));
  assert_non_null(strstr(lines, "\"event\":\"recovered\",\"rings\":0,\"bytes\":0,\"segments\":1,\"rings_missing\":1,"
                                "\"rings_refused\":1,\"restarted_machine\":false}\n"));

  assert_int_equal(chmod(ring, 0600), 0);
  open_and_keep_lines(&f, options, lines, &recovery);
  snprintf(expected, sizeof expected,
           "\"level\":\"info\",\"event\":\"recovered\",\"rings\":1,\"bytes\":%zu,\"segments\":1,\"rings_missing\":0,"
           "\"rings_refused\":0,\"restarted_machine\":false}\n",
           record_length(2));
  assert_non_null(strstr(lines, expected));
  assert_ptr_equal(strchr(lines, '\n'), strrchr(lines, '\n')); /* one line */
  struct walk walk = {0};
  walk_store(&walk, &f);
  assert_int_equal(walk.next, 3); /* in the place of the note that something is missing */
  assert_int_equal(walk.comment_count, 1);
  assert_non_null(strstr(walk.comments[0], "{\"recovered\":{\"bytes\":"));

  open_and_keep_lines(&f, options, lines, &recovery);
  assert_string_equal(lines, ""); /* after a clean stop there is nothing to say */
  munmap(shared, 4096);
  fixture_fini(&f);
}

static void write_text(const struct fixture *f, const char *name, const char *text)
{
  char path[160];
  snprintf(path, sizeof path, "%s/%s", f->dir, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

/* What is no recording must not stop those who read the store; an empty file says nothing and goes. */
static void test_damaged_segments_are_set_aside(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = fixture_options(&f);
  char lines[2048];
  struct gg_recovery recovery;
  open_only(&f, &options, NULL);
  write_text(&f, "running",
             "gogetway running 1\nboot another\nring w0-block /no/such/ring\n"
             "segment w0-block garbage.pcapng\nsegment w0-block empty.pcapng\n");
  write_text(&f, "segments/garbage.pcapng", "this was never a recording");
  write_text(&f, "segments/empty.pcapng", "");
  write_text(&f, "segments/other.pcapng", "not named in `running`, so it is not looked at");
  open_and_keep_lines(&f, options, lines, &recovery);
  assert_non_null(strstr(lines, "\"rings_missing\":1,\"rings_refused\":0,\"restarted_machine\":true}\n"));
  assert_int_equal(recovery.rings_missing, 1);
  assert_true(exists_in(f.dir, "segments/garbage.pcapng.damaged"));
  assert_true(exists_in(f.dir, "segments/other.pcapng"));
  assert_int_equal(count_files((snprintf(lines, sizeof lines, "%s/segments", f.dir), lines)), 2);
  size_t size;
  snprintf(lines, sizeof lines, "%s/segments/garbage.pcapng.damaged", f.dir);
  uint8_t *bytes = walk_read(lines, &size);
  assert_int_equal(size, strlen("this was never a recording"));
  assert_memory_equal(bytes, "this was never a recording", size);
  free(bytes);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_killed_while_recording),
    cmocka_unit_test(test_strange_rings_are_refused),
    cmocka_unit_test(test_planted_names_take_no_rings_place),
    cmocka_unit_test(test_too_many_rings_fail_the_start),
    cmocka_unit_test(test_linked_ring_is_recovered_once),
    cmocka_unit_test(test_linked_ring_of_a_clean_stop_is_empty),
    cmocka_unit_test(test_planted_names_do_not_stop_new_rings),
    cmocka_unit_test(test_rings_of_other_stores_are_none_of_ours),
    cmocka_unit_test(test_missing_ring_marks_its_segment),
    cmocka_unit_test(test_rings_out_of_reach_stay_named),
    cmocka_unit_test(test_missing_ring_without_anything_recorded),
    cmocka_unit_test(test_one_line_says_what_was_recovered),
    cmocka_unit_test(test_damaged_segments_are_set_aside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
