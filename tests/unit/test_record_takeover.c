/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes on one store, while one takes over from the other: each its own files, and what a killed one left is
 * written by the one that lives. */
#include "record_fixture.h"

#include "record/ring.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { KILLS = 25, CHAIN = 20, FIRST = 300, RECORDS_MAX = 4000 };

/* ── A disk that is full ─────────────────────────────────────────────────────────────────────────────────────────── */

static _Atomic bool disk_full; /* of this process, not of the one before */

ssize_t __real_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
  if (!atomic_load(&disk_full))
    return __real_pwrite64(fd, bytes, length, offset);
  errno = ENOSPC;
  return -1;
}

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
  struct stat status;
  if (!atomic_load(&disk_full) || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
    return __real_write(fd, bytes, length);
  errno = ENOSPC;
  return -1;
}

/* ── A process of the past: records until it is told to end, or is killed ────────────────────────────────────────── */

struct shared {
  _Atomic uint64_t committed; /* records */
  _Atomic uint32_t end;       /* finish well */
  _Atomic uint32_t hold;      /* record no more, and leave something in the ring */
  _Atomic uint32_t held;      /* done */
};

struct elder {
  pid_t pid;
  int socket; /* its lock comes over this */
  struct shared *shared;
};

static bool send_fd(int socket, int fd)
{
  char byte = 0;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
    .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  return sendmsg(socket, &message, 0) == 1;
}

static int receive_fd(int socket)
{
  char byte;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
    .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int fd = -1;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static bool record_one(struct fixture *f, struct shared *shared)
{
  if (!fixture_try_record(f))
    return false;
  atomic_store(&shared->committed, f->next);
  return true;
}

/* Until what was recorded last is in no file for a while, so nobody is about to write it. */
static void hold(struct fixture *f, struct shared *shared)
{
  for (unsigned calm = 0; calm < 5; calm++) {
    struct gg_log_status status;
    (void)gg_log_tick(f->log, gg_clock_mono_ns());
    pause_ns(5 * GG_NS_PER_MS);
    (void)gg_recorder_log_status(f->recorder, 0, &status);
    if (status.fill_bytes)
      continue;
    (void)record_one(f, shared);
    calm = 0;
  }
  atomic_store(&shared->held, 1);
}

static void wait_for_room(struct fixture *f)
{
  struct pollfd wait = {.fd = f->event, .events = POLLIN};
  uint64_t count;
  if (poll(&wait, 1, 1) == 1 && read(f->event, &count, sizeof count) != sizeof count)
    _exit(3);
}

/* No cmocka in here: a failure is an exit that the parent sees. What it records is bounded. */
static void live(struct fixture *f, const struct gg_recorder_options *options, const char *log, int socket,
                 struct shared *shared)
{
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody */
  f->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  fixture_open_forked(f, options, log);
  if (f->event < 0 || !send_fd(socket, gg_recorder_lock_fd(f->recorder)))
    _exit(2);
  while (!atomic_load(&shared->end)) {
    if (atomic_load(&shared->hold) && !atomic_load(&shared->held))
      hold(f, shared);
    bool more = !atomic_load(&shared->hold) && atomic_load(&shared->committed) < RECORDS_MAX;
    if (!more || !record_one(f, shared))
      wait_for_room(f);
    else if (record_mix(atomic_load(&shared->committed)) % 37 == 0)
      gg_log_flush(f->log);
    (void)gg_log_tick(f->log, gg_clock_mono_ns());
  }
  gg_log_finish(f->log);
  if (gg_recorder_stop(f->recorder, gg_clock_mono_ns() + 20 * GG_NS_PER_S, NULL) != 0)
    _exit(4);
  _exit(0);
}

/* Forked before this process has a recorder of its own, so that no descriptor of that is in it. */
static struct elder elder_begin(struct fixture *f, const struct gg_recorder_options *options, const char *log)
{
  struct elder elder = {.shared = shared_page()};
  int pair[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  elder.pid = fork();
  assert_true(elder.pid >= 0);
  if (elder.pid == 0)
    live(f, options, log, pair[1], elder.shared);
  close(pair[1]);
  elder.socket = pair[0];
  return elder;
}

static int elder_lock(const struct elder *elder)
{
  int fd = receive_fd(elder->socket);
  assert_true(fd >= 0);
  return fd;
}

static void elder_record(const struct elder *elder, uint64_t records)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (atomic_load(&elder->shared->committed) < records) {
    assert_true(gg_clock_mono_ns() < deadline_ns);
    pause_ns(50000);
  }
}

/* Another one, to which the one before hands over, if there is one; from it this process has the lock. */
static struct elder elder_next(struct fixture *f, struct gg_recorder_options *options, const char *log,
                               uint64_t records)
{
  struct elder elder = elder_begin(f, options, log);
  if (options->lock_fd >= 0)
    close(options->lock_fd);
  options->lock_fd = elder_lock(&elder);
  elder_record(&elder, records);
  return elder;
}

/* From now on it has something in its ring that is in no file, until it is killed. */
static void elder_hold(const struct elder *elder)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  atomic_store(&elder->shared->hold, 1);
  while (!atomic_load(&elder->shared->held)) {
    assert_true(gg_clock_mono_ns() < deadline_ns);
    pause_ns(50000);
  }
}

/* Returns how many records it had committed. */
static uint64_t elder_end(struct elder *elder, bool well)
{
  int status;
  if (well)
    atomic_store(&elder->shared->end, 1);
  else
    kill(elder->pid, SIGKILL);
  assert_int_equal(waitpid(elder->pid, &status, 0), elder->pid);
  if (WIFEXITED(status) ? WEXITSTATUS(status) != 0 : well)
    fail_msg("the elder ended with %d", status);
  uint64_t committed = atomic_load(&elder->shared->committed);
  munmap(elder->shared, 4096);
  close(elder->socket);
  return committed;
}

/* ── What all tests look at ──────────────────────────────────────────────────────────────────────────────────────── */

static void assert_log_holds(const struct fixture *f, const char *log, uint64_t records, bool killed)
{
  struct walk walk = {0};
  walk_log(&walk, f, log);
  if (walk.next != records && !(killed && walk.next == records + 1)) /* killed between commit and count */
    fail_msg("log %s: %llu records were committed, %llu are there", log, (unsigned long long)records,
             (unsigned long long)walk.next);
}

static void assert_clean(const struct fixture *f)
{
  assert_int_equal(count_files(f->rings), 0);
  assert_false(exists_in(f->dir, "running"));
  assert_false(exists_in(f->dir, "running.2"));
  assert_false(exists_in(f->dir, "running.3"));
}

static struct gg_recovery ended(struct fixture *f, pid_t pid)
{
  struct gg_recovery recovery;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_recorder_sibling_ended(f->recorder, pid, &recovery, &failure) != 0)
    fail_msg("sibling_ended: %s", failure.message);
  return recovery;
}

static struct timespec lock_time(const struct fixture *f)
{
  char path[128];
  struct stat status;
  snprintf(path, sizeof path, "%s/lock", f->dir);
  assert_int_equal(stat(path, &status), 0);
  return status.st_mtim;
}

static bool store_is_free(const struct fixture *f)
{
  char path[128];
  snprintf(path, sizeof path, "%s/lock", f->dir);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
  close(fd);
  return lock.l_type == F_UNLCK;
}

static struct gg_recorder_options takeover_options(const struct fixture *f)
{
  struct gg_recorder_options options = fixture_options(f);
  options.log_max_bytes = 4 * MIB;
  return options;
}

/* Two, one after the other, whose records neither time nor a full ring seals: each leaves some to recover. */
static void begin_two(struct fixture *f, struct gg_recorder_options *options, struct elder *first, struct elder *second)
{
  fixture_init(f);
  *options = takeover_options(f);
  options->flush_interval_ns = 3600 * GG_NS_PER_S;
  options->ring_bytes = 2 * MIB;
  *first = elder_next(f, options, "w0-block", FIRST);
  *second = elder_next(f, options, "w0-block", FIRST);
}

/* ── One ends well ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_both_write_and_the_first_ends_well(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = takeover_options(&f);
  options.segment_max_bytes = 200 * KIB;
  struct elder elder = elder_next(&f, &options, "w0-block", FIRST);
  struct timespec began = lock_time(&f);
  fixture_open(&f, &options, NULL);
  assert_int_equal(began.tv_sec, lock_time(&f).tv_sec);
  assert_int_equal(began.tv_nsec, lock_time(&f).tv_nsec);
  assert_true(exists_in(f.dir, "running"));
  assert_true(exists_in(f.dir, "running.2"));
  assert_string_equal(fixture_status(&f, 0).name, "w0-block-2");
  while (f.next < 2 * FIRST || atomic_load(&elder.shared->committed) < 3 * FIRST) {
    (void)fixture_record(&f);
    (void)gg_log_tick(f.log, gg_clock_mono_ns());
  }
  struct gg_recovery recovery = ended(&f, elder.pid); /* it has not: nothing is touched */
  assert_int_equal(recovery.rings + recovery.segments + recovery.rings_refused + recovery.rings_missing, 0);
  pid_t pid = elder.pid;
  uint64_t theirs = elder_end(&elder, true);
  assert_false(exists_in(f.dir, "running"));
  assert_false(store_is_free(&f)); /* the lock is still held, by us */
  recovery = ended(&f, pid);
  assert_int_equal(recovery.rings + recovery.segments + recovery.rings_refused + recovery.rings_missing, 0);
  assert_true(lock_time(&f).tv_sec > began.tv_sec || lock_time(&f).tv_nsec > began.tv_nsec);
  (void)fixture_record(&f);
  uint64_t ours = f.next;
  fixture_stop(&f);
  assert_true(store_is_free(&f));
  assert_log_holds(&f, "w0-block", theirs, false);
  assert_log_holds(&f, "w0-block-2", ours, false);
  assert_clean(&f);
  fixture_fini(&f);
}

/* ── One is killed ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* At any moment, growing and rotating; its last records are in its ring, and the survivor's are in its own. */
static void test_the_first_is_killed(void **state)
{
  (void)state;
  unsigned recovered = 0;
  for (unsigned i = 0; i < KILLS || (recovered <= KILLS / 2 && i < 10 * KILLS); i++) {
    struct fixture f;
    fixture_init(&f);
    struct gg_recorder_options options = takeover_options(&f);
    options.segment_max_bytes = i % 3 == 0 ? 100 * KIB : 1u << 30;
    struct elder elder = elder_next(&f, &options, "w0-block", 20);
    fixture_open(&f, &options, NULL);
    uint64_t until_ns = gg_clock_mono_ns() + record_mix(i) % 12000000;
    while (gg_clock_mono_ns() < until_ns)
      (void)fixture_record(&f);
    pid_t pid = elder.pid;
    uint64_t theirs = elder_end(&elder, false);
    struct gg_recovery recovery = ended(&f, pid + 1); /* another one */
    assert_int_equal(recovery.rings, 0);
    recovery = ended(&f, pid);
    recovered += recovery.rings > 0;
    assert_int_equal(recovery.rings_refused, 0);
    assert_int_equal(recovery.rings_missing, 0);
    assert_log_holds(&f, "w0-block", theirs, true);
    assert_false(exists_in(f.dir, "running"));
    recovery = ended(&f, pid); /* once more does nothing */
    assert_int_equal(recovery.rings + recovery.segments, 0);
    (void)fixture_record(&f);
    uint64_t ours = f.next;
    fixture_stop(&f);
    assert_log_holds(&f, "w0-block-2", ours, false);
    assert_clean(&f);
    fixture_fini(&f);
  }
  assert_true(recovered > KILLS / 2); /* else little was tested; on a slow machine it takes some more */
}

/* The survivor is killed before it knew: an ordinary start recovers both. */
static void test_both_are_killed(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_recorder_options options;
  struct elder first, second;
  begin_two(&f, &options, &first, &second);
  elder_hold(&first);
  elder_hold(&second);
  uint64_t records_first = elder_end(&first, false), records_second = elder_end(&second, false);
  assert_true(exists_in(f.dir, "running") && exists_in(f.dir, "running.2"));
  int lock_fd = options.lock_fd;
  options.lock_fd = -1;
  struct gg_failure failure = GG_FAILURE_INIT; /* this process holds the lock like any of them */
  assert_int_equal(gg_recorder_open(&f.recorder, &options, NULL, &failure), GG_ERR_BUSY);
  close(lock_fd);
  struct gg_recovery recovery;
  assert_int_equal(gg_recorder_open(&f.recorder, &options, &recovery, &failure), 0);
  assert_int_equal(recovery.rings, 2);
  assert_int_equal(recovery.rings_refused + recovery.rings_missing, 0);
  gg_recorder_destroy(f.recorder);
  assert_log_holds(&f, "w0-block", records_first, true);
  assert_log_holds(&f, "w0-block-2", records_second, true);
  assert_clean(&f);
  fixture_fini(&f);
}

/* A third one comes: what a dead one left is written then, if nobody did before; its number is taken again after. */
static void test_the_next_takeover_recovers_the_dead(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_recorder_options options;
  struct elder first, second;
  begin_two(&f, &options, &first, &second);
  elder_hold(&first);
  uint64_t records_first = elder_end(&first, false);
  struct gg_recovery recovery;
  fixture_open(&f, &options, &recovery);
  assert_int_equal(recovery.rings, 1);
  assert_int_equal(recovery.rings_refused + recovery.rings_missing, 0);
  assert_string_equal(fixture_status(&f, 0).name, "w0-block");
  assert_log_holds(&f, "w0-block", records_first, true);
  pid_t pid = second.pid;
  uint64_t records_second = elder_end(&second, false);
  assert_int_equal(ended(&f, pid).rings_missing, 0);
  fixture_stop(&f);
  assert_log_holds(&f, "w0-block-2", records_second, true);
  assert_clean(&f);
  fixture_fini(&f);
}

/* The tmpfs is gone with the process: the segment says so, and the living one's does not. */
static void test_a_missing_ring_marks_only_its_own_segment(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = takeover_options(&f);
  options.flush_interval_ns = GG_NS_PER_MS;
  struct elder elder = elder_next(&f, &options, "w0-block", 50);
  fixture_open(&f, &options, NULL);
  (void)fixture_record(&f);
  while (fixture_status(&f, 0).segment_bytes == 0) {
    (void)gg_log_tick(f.log, gg_clock_mono_ns());
    pause_ns(GG_NS_PER_MS);
  }
  wait_until_file_says(f.dir, "running", "\nsegment w0-block ");
  pid_t pid = elder.pid;
  (void)elder_end(&elder, false);
  struct dirent **names;
  int count = scandir(f.rings, &names, walk_filter, alphasort);
  for (int i = 0; i < count; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", f.rings, names[i]->d_name);
    assert_int_equal(strstr(names[i]->d_name, ".w0-block.") ? unlink(path) : 0, 0);
    free(names[i]);
  }
  free(names);
  struct gg_recovery recovery = ended(&f, pid);
  assert_true(recovery.rings_missing >= 1);
  assert_int_equal(recovery.rings, 0);
  struct walk walk = {0};
  walk_log(&walk, &f, "w0-block");
  assert_true(walk.comment_count > 0);
  assert_non_null(strstr(walk.comments[walk.comment_count - 1], "may be missing"));
  fixture_stop(&f);
  walk = (struct walk){0};
  walk_log(&walk, &f, "w0-block-2");
  assert_int_equal(walk.next, 1);
  assert_int_equal(walk.comment_count, 0);
  assert_clean(&f);
  fixture_fini(&f);
}

/* The disk is full all the time: the takeover is not refused, the killed one's bytes wait in its rings, and when there
 * is room again nothing of either is missing. */
static void test_takeover_on_a_full_disk(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_recorder_options options;
  struct elder first, second;
  begin_two(&f, &options, &first, &second); /* the second will be dead when we come */
  pid_t pid = first.pid;
  elder_hold(&first);
  elder_hold(&second);
  uint64_t records_second = elder_end(&second, false);
  atomic_store(&disk_full, true);
  struct gg_recovery recovery;
  struct gg_failure failure = GG_FAILURE_INIT;
  fixture_open(&f, &options, &recovery);
  /* The second's number is taken while it has something there. */
  assert_string_equal(fixture_status(&f, 0).name, "w0-block-3");
  for (unsigned i = 0; i < 20; i++)
    (void)fixture_record(&f);
  gg_log_flush(f.log);
  uint64_t records_first = elder_end(&first, false);
  assert_int_equal(gg_recorder_sibling_ended(f.recorder, pid, &recovery, &failure), GG_ERR_NO_SPACE);
  assert_true(exists_in(f.dir, "running"));
  assert_true(exists_in(f.dir, "running.2"));
  (void)fixture_record(&f);
  atomic_store(&disk_full, false);
  recovery = ended(&f, pid);
  assert_int_equal(recovery.rings_refused + recovery.rings_missing, 0);
  assert_log_holds(&f, "w0-block", records_first, true);
  uint64_t ours = f.next;
  fixture_stop(&f);
  assert_log_holds(&f, "w0-block-3", ours, false);
  options.lock_fd = -1;
  fixture_open(&f, &options, &recovery); /* the second's, which nobody asked for */
  assert_int_equal(recovery.rings_refused + recovery.rings_missing, 0);
  fixture_stop(&f);
  assert_log_holds(&f, "w0-block-2", records_second, true);
  assert_clean(&f);
  fixture_fini(&f);
}

/* ── Files of others ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whatever somebody puts beside the rings: the living one's is not looked into, and what is nobody's is refused. */
static void test_planted_rings_are_refused(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = takeover_options(&f);
  struct elder elder = elder_next(&f, &options, "w0-block", FIRST);
  fixture_open(&f, &options, NULL);
  (void)fixture_record(&f);
  char path[512];
  snprintf(path, sizeof path, "%s/gogetway-%s.w0-block.12", f.rings, gg_recorder_uuid(f.recorder));
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600); /* empty */
  assert_true(fd >= 0);
  close(fd);
  pid_t pid = elder.pid;
  struct gg_ring_copy {
    struct gg__ring_header header;
  } copy = {0};
  memcpy(copy.header.magic, GG__RING_MAGIC, sizeof copy.header.magic);
  copy.header.process = 1;
  copy.header.pid = pid;
  snprintf(path, sizeof path, "%s/gogetway-%s.w0-block.13", f.rings, gg_recorder_uuid(f.recorder));
  fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600); /* says it is the dead one's, and is no ring */
  assert_true(fd >= 0);
  assert_int_equal(write(fd, &copy, sizeof copy), sizeof copy);
  close(fd);
  uint64_t theirs = elder_end(&elder, false);
  struct gg_recovery recovery = ended(&f, pid);
  assert_int_equal(recovery.rings_refused, 2);
  assert_log_holds(&f, "w0-block", theirs, true);
  assert_int_equal(access(path, F_OK), 0);
  fixture_stop(&f);
  assert_log_holds(&f, "w0-block-2", 1, false);
  assert_int_equal(count_files(f.rings), 2);
  fixture_fini(&f);
}

static void refuse_lock(struct fixture *f, int fd, int expected, const char *words)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_recorder_options options = takeover_options(f);
  struct gg_recorder *recorder;
  options.lock_fd = fd;
  assert_int_equal(gg_recorder_open(&recorder, &options, NULL, &failure), expected);
  if (!strstr(failure.message, words))
    fail_msg("'%s' does not say '%s'", failure.message, words);
  assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken, and closed */
}

static void test_only_this_stores_lock_is_taken_over(void **state)
{
  (void)state;
  struct fixture f, g;
  fixture_init(&f);
  fixture_init(&g);
  struct gg_recorder_options options = takeover_options(&f);
  fixture_open(&f, &options, NULL);
  struct gg_recorder_options other = takeover_options(&g);
  fixture_open(&g, &other, NULL);
  char path[128];
  snprintf(path, sizeof path, "%s/lock", f.dir);

  refuse_lock(&f, dup(gg_recorder_lock_fd(g.recorder)), GG_ERR_INVALID, "not that of store");
  refuse_lock(&f, eventfd(0, EFD_CLOEXEC), GG_ERR_INVALID, "not that of store");
  refuse_lock(&f, open(path, O_RDWR | O_CLOEXEC), GG_ERR_BUSY, "in use");
  options.lock_fd = dup(gg_recorder_lock_fd(f.recorder));
  options.logs_max = GG_LOGS_MAX + 1; /* an error before the store is even opened */
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_recorder *recorder;
  assert_int_equal(gg_recorder_open(&recorder, &options, NULL, &failure), GG_ERR_RANGE);
  assert_int_equal(fcntl(options.lock_fd, F_GETFD), -1);
  options.logs_max = 1;
  fixture_stop(&f);
  refuse_lock(&f, open(path, O_RDWR | O_CLOEXEC), GG_ERR_INVALID, "not locked");
  fixture_stop(&g);
  fixture_fini(&f);
  fixture_fini(&g);
}

/* What somebody is told who finds the store in use: whose it is. */
static void assert_holder(const struct fixture *f, pid_t pid)
{
  struct gg_recorder_options options = takeover_options(f);
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_recorder *recorder;
  char words[64];
  assert_int_equal(gg_recorder_open(&recorder, &options, NULL, &failure), GG_ERR_BUSY);
  snprintf(words, sizeof words, "in use by gogetway process %ld", (long)pid);
  if (!strstr(failure.message, words))
    fail_msg("'%s' does not say '%s'", failure.message, words);
}

/* Who takes over is not the holder before it has; and one that has, and is dead, is not either while another drains. */
static void test_the_holder_is_one_that_lives(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = takeover_options(&f);
  struct elder first = elder_begin(&f, &options, "w0-block");
  options.lock_fd = elder_lock(&first);
  int again = dup(options.lock_fd);
  assert_holder(&f, first.pid);
  fixture_open(&f, &options, NULL);
  assert_holder(&f, first.pid);
  fixture_stop(&f); /* it came to nothing */
  assert_holder(&f, first.pid);
  options.lock_fd = again;
  struct timespec began = lock_time(&f);
  fixture_open(&f, &options, NULL);
  gg_recorder_taken_over(f.recorder);
  assert_holder(&f, getpid());
  struct timespec now = lock_time(&f);
  assert_true(began.tv_sec == now.tv_sec && began.tv_nsec == now.tv_nsec);
  fixture_stop(&f); /* ... and ends before the one that drains */
  assert_holder(&f, first.pid);
  elder_end(&first, true);
  options.lock_fd = -1;
  fixture_open(&f, &options, NULL);
  assert_holder(&f, getpid());
  fixture_stop(&f);
  fixture_fini(&f);
}

/* ── Many ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Each hands over to the next and drains on for a while: three are at work at one time, one in five is killed. */
static void test_a_chain_of_takeovers(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = takeover_options(&f);
  options.segment_max_bytes = 300 * KIB;
  struct elder elders[CHAIN];
  uint64_t committed = 0, killed = 0;
  for (unsigned i = 0; i < CHAIN; i++) {
    char log[32];
    snprintf(log, sizeof log, "w%c-block", (char)('a' + i)); /* so that the walk can tell whose records they are */
    elders[i] = elder_next(&f, &options, log, 30);
    if (i < 2)
      continue;
    killed += i % 5 == 4;
    committed += elder_end(&elders[i - 2], i % 5 != 4);
  }
  fixture_open(&f, &options, NULL);
  pid_t last[2] = {elders[CHAIN - 2].pid, elders[CHAIN - 1].pid};
  committed += elder_end(&elders[CHAIN - 2], true);
  committed += elder_end(&elders[CHAIN - 1], false);
  killed++;
  for (unsigned i = 0; i < 2; i++)
    assert_int_equal(ended(&f, last[i]).rings_missing, 0);
  fixture_stop(&f);
  uint64_t found = 0;
  for (unsigned i = 0; i < CHAIN; i++)
    for (unsigned number = 1; number <= 4; number++) {
      char log[48];
      struct walk walk = {0};
      snprintf(log, sizeof log, number == 1 ? "w%c-block" : "w%c-block-%u", (char)('a' + i), number);
      walk_log(&walk, &f, log);
      found += walk.next;
    }
  assert_true(found >= committed && found <= committed + killed);
  assert_clean(&f);
  fixture_fini(&f);
}

/* Every number is taken: one more is refused, and the others go on. */
static void test_there_is_a_bound(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f);
  struct gg_recorder_options options = takeover_options(&f);
  struct gg_recorder *recorders[GG_RECORDER_PROCESSES_MAX], *more;
  struct gg_failure failure = GG_FAILURE_INIT;
  for (unsigned i = 0; i < GG_RECORDER_PROCESSES_MAX; i++) {
    if (i)
      options.lock_fd = dup(gg_recorder_lock_fd(recorders[0]));
    assert_int_equal(gg_recorder_open(&recorders[i], &options, NULL, &failure), 0);
  }
  options.lock_fd = dup(gg_recorder_lock_fd(recorders[0]));
  assert_int_equal(gg_recorder_open(&more, &options, NULL, &failure), GG_ERR_LIMIT);
  gg_recorder_destroy(recorders[7]);
  options.lock_fd = dup(gg_recorder_lock_fd(recorders[0]));
  assert_int_equal(gg_recorder_open(&recorders[7], &options, NULL, &failure), 0);
  struct gg_log *log;
  assert_int_equal(gg_recorder_log(recorders[7], "x", fixture_wake, &f, &log, &failure), 0);
  struct gg_log_status status;
  assert_int_equal(gg_recorder_log_status(recorders[7], 0, &status), 0);
  assert_string_equal(status.name, "x-8");
  assert_int_equal(gg_recorder_log(recorders[7], "x-9", fixture_wake, &f, &log, &failure), GG_ERR_INVALID);
  for (unsigned i = 0; i < GG_RECORDER_PROCESSES_MAX; i++)
    gg_recorder_destroy(recorders[i]);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_both_write_and_the_first_ends_well),
    cmocka_unit_test(test_the_first_is_killed),
    cmocka_unit_test(test_both_are_killed),
    cmocka_unit_test(test_the_next_takeover_recovers_the_dead),
    cmocka_unit_test(test_a_missing_ring_marks_only_its_own_segment),
    cmocka_unit_test(test_takeover_on_a_full_disk),
    cmocka_unit_test(test_planted_rings_are_refused),
    cmocka_unit_test(test_only_this_stores_lock_is_taken_over),
    cmocka_unit_test(test_the_holder_is_one_that_lives),
    cmocka_unit_test(test_a_chain_of_takeovers),
    cmocka_unit_test(test_there_is_a_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
