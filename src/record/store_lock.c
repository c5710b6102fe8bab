/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_lock.c - the store's directory, its lock and its name.
 *
 *     DIR/            0700   made here if missing (one level)
 *     DIR/lock        0600   locked (OFD locks, process.c) by who records; holds the process id of the last one that
 *                            serves or has served (who takes over and fails was none); its time: when the first of
 *                            those began that are at work without a pause until now
 *     DIR/store       0600   "gogetway store 1", the random UUID
 *     DIR/segments/   0700
 *     DIR/journal/    0700   tags and holds of sessions (store/marks.h); made here, where a sandbox does not stand
 *     DIR/running     0600   running.c, and running.2, ... of processes that took over
 *
 * The lock is the kernel's, so it ends with its holder however that dies; the process id in it is only for the message.
 * If that one is dead and another is still at work (it drains), the message names that, by its `running` file.
 * It belongs to the open file description: a descriptor that one process sends to another (SCM_RIGHTS) is the same
 * lock, held by both and free when the last has closed it. So a store is handed over without being free in between.
 */
#include "record/log_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SMALL_FILE_MAX = 256 };
static const char STORE_HEAD[] = "gogetway store 1\nuuid ";

/* True for a store, and for a directory with nothing in it: those are ours to close to others. */
static bool is_store_or_empty(int dir_fd)
{
  if (faccessat(dir_fd, "store", F_OK, 0) == 0)
    return true;
  int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (!dir) {
    if (fd >= 0)
      close(fd);
    return false;
  }
  unsigned entries = 0;
  errno = 0;
  for (struct dirent *entry; entries == 0 && (entry = readdir(dir));)
    entries += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
  bool empty = entries == 0 && errno == 0; /* what cannot be read is somebody's */
  closedir(dir);
  return empty;
}

static int open_directory(struct gg_recorder *recorder, struct gg_failure *failure)
{
  const char *dir = recorder->dir;
  bool made = mkdir(dir, 0700) == 0;
  if (!made && errno != EEXIST)
    return gg_fail_errno(failure, errno, "making the store's directory %s (the gateway has to be able to write there)",
                         dir);
  recorder->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (recorder->dir_fd < 0)
    return gg_fail_errno(failure, errno, "opening the store's directory %s", dir);
  struct stat status;
  if (fstat(recorder->dir_fd, &status) < 0)
    return gg_fail_errno(failure, errno, "looking at the store's directory %s", dir);
  bool exact = (status.st_mode & 07777) == 0700;
  if (!exact && !made && !is_store_or_empty(recorder->dir_fd)) {
    gg_warn(recorder->logger, "the store's directory has other things in it, its mode stays as it is",
            GG_S("dir", dir));
    return 0;
  }
  if (!exact && fchmod(recorder->dir_fd, 0700) < 0)
    return gg_fail_errno(failure, errno,
                         "closing the store's directory %s to others (the gateway has to be able to write there)", dir);
  return 0;
}

static int open_segments(struct gg_recorder *recorder, struct gg_failure *failure)
{
  if (mkdirat(recorder->dir_fd, "segments", 0700) < 0 && errno != EEXIST)
    return gg_fail_errno(failure, errno, "making %s/segments", recorder->dir);
  (void)mkdirat(recorder->dir_fd, "journal", 0700); /* without it we record all the same; who needs it tries again */
  recorder->segments_fd = openat(recorder->dir_fd, "segments", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (recorder->segments_fd < 0)
    return gg_fail_errno(failure, errno, "opening %s/segments (the gateway has to be able to write there)",
                         recorder->dir);
  if (fchmod(recorder->segments_fd, 0700) < 0)
    return gg_fail_errno(failure, errno, "closing %s/segments to others", recorder->dir);
  return 0;
}

static ssize_t read_small(int dir_fd, const char *name, char text[SMALL_FILE_MAX])
{
  int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t n = read(fd, text, SMALL_FILE_MAX - 1);
  int error = errno;
  close(fd);
  errno = error;
  text[n > 0 ? n : 0] = '\0';
  return n;
}

/* Whether a process of that number is at work, as the kernel says. */
static bool is_at_work(const struct gg_recorder *recorder, unsigned number)
{
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1};
  return fcntl(recorder->lock_fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The process that serves, if it is at work; else one that is. */
static long holder(const struct gg_recorder *recorder)
{
  char text[SMALL_FILE_MAX];
  long named = read_small(recorder->dir_fd, "lock", text) > 0 ? strtol(text, NULL, 10) : 0, found = 0;
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX; number++) {
    long pid = is_at_work(recorder, number) ? gg__running_pid(recorder, number) : 0;
    if (pid > 0 && pid == named)
      return named;
    found = found > 0 ? found : pid;
  }
  return found > 0 ? found : named; /* who has just begun is in no `running` file yet */
}

static int held_by_other(const struct gg_recorder *recorder, struct gg_failure *failure)
{
  long pid = holder(recorder);
  if (pid > 0)
    return gg_fail(failure, GG_ERR_BUSY, "store %s is in use by gogetway process %ld", recorder->dir, pid);
  return gg_fail(failure, GG_ERR_BUSY, "store %s is in use by another gogetway process", recorder->dir);
}

/* Byte 0: process.c. */
static struct flock store_lock(void)
{
  return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
}

static int take_lock(struct gg_recorder *recorder, struct gg_failure *failure)
{
  recorder->lock_fd = openat(recorder->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (recorder->lock_fd < 0 || fchmod(recorder->lock_fd, 0600) < 0)
    return gg_fail_errno(failure, errno, "opening %s/lock (the gateway has to be able to write there)", recorder->dir);
  struct flock lock = store_lock();
  if (fcntl(recorder->lock_fd, F_OFD_SETLK, &lock) == 0)
    return 0;
  if (errno == EAGAIN || errno == EACCES)
    return held_by_other(recorder, failure);
  return gg_fail_errno(failure, errno, "locking %s/lock", recorder->dir);
}

/* A lock that another process sent: is it this store's, and does it hold it? */
static int adopt_lock(struct gg_recorder *recorder, struct gg_failure *failure)
{
  struct stat sent, named;
  if (fstat(recorder->lock_fd, &sent) < 0 || fcntl(recorder->lock_fd, F_SETFD, FD_CLOEXEC) < 0)
    return gg_fail_errno(failure, errno, "looking at the lock of store %s that was handed over", recorder->dir);
  if (fstatat(recorder->dir_fd, "lock", &named, AT_SYMLINK_NOFOLLOW) < 0)
    return gg_fail_errno(failure, errno, "looking at %s/lock", recorder->dir);
  if (sent.st_dev != named.st_dev || sent.st_ino != named.st_ino)
    return gg_fail(failure, GG_ERR_INVALID, "the lock that was handed over is not that of store %s", recorder->dir);
  struct flock lock = store_lock();
  if (fcntl(recorder->process_fd, F_OFD_GETLK, &lock) < 0)
    return gg_fail_errno(failure, errno, "asking for the holder of %s/lock", recorder->dir);
  if (lock.l_type == F_UNLCK)
    return gg_fail(failure, GG_ERR_INVALID, "the lock of store %s that was handed over is not locked", recorder->dir);
  lock = store_lock();
  if (fcntl(recorder->lock_fd, F_OFD_SETLK, &lock) == 0) /* it holds it already: nothing changes */
    return 0;
  if (errno == EAGAIN || errno == EACCES)
    return held_by_other(recorder, failure);
  return gg_fail_errno(failure, errno, "locking %s/lock by the descriptor that was handed over", recorder->dir);
}

/* A description of its own, for the byte of this process' number. */
static int open_process_fd(struct gg_recorder *recorder, struct gg_failure *failure)
{
  recorder->process_fd = openat(recorder->dir_fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  return recorder->process_fd < 0
           ? gg_fail_errno(failure, errno, "opening %s/lock (the gateway has to be able to write there)", recorder->dir)
           : 0;
}

static void set_lock_time(struct gg_recorder *recorder, struct timespec time)
{
  const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time};
  if (futimens(recorder->lock_fd, times) < 0)
    gg_warn(recorder->logger, "cannot set the time of the store's lock", GG_S("dir", recorder->dir),
            GG_S("reason", strerrordesc_np(errno)));
}

/* Written over the old one before that is cut off: this needs no room on a full disk. */
static void write_pid(struct gg_recorder *recorder)
{
  char pid[32];
  int length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
  if (pwrite(recorder->lock_fd, pid, (size_t)length, 0) != length || ftruncate(recorder->lock_fd, length) < 0)
    gg_warn(recorder->logger, "cannot write the process id into the store's lock", GG_S("dir", recorder->dir));
}

static int lock_store(struct gg_recorder *recorder, struct gg_failure *failure)
{
  bool handed_over = recorder->lock_fd >= 0;
  int error = handed_over ? open_process_fd(recorder, failure) : take_lock(recorder, failure);
  if (!error)
    error = handed_over ? adopt_lock(recorder, failure) : open_process_fd(recorder, failure);
  if (!error && !handed_over) /* else it is the other one's: gg_recorder_taken_over */
    write_pid(recorder);
  return error;
}

void gg_recorder_taken_over(struct gg_recorder *recorder)
{
  struct stat status;
  bool known = fstat(recorder->lock_fd, &status) == 0;
  write_pid(recorder);
  if (known) /* sessions of those who had it before are not over */
    set_lock_time(recorder, status.st_mtim);
}

void gg__store_began_here(struct gg_recorder *recorder)
{
  uint64_t ns = recorder->opened_real_ns;
  set_lock_time(recorder, (struct timespec){.tv_sec = (time_t)(ns / GG_NS_PER_S), .tv_nsec = (long)(ns % GG_NS_PER_S)});
}

static bool uuid_valid(const char *uuid)
{
  for (unsigned i = 0; i < GG__UUID_TEXT - 1; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    char c = uuid[i];
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
      return false;
  }
  return true;
}

static int make_uuid(char uuid[GG__UUID_TEXT])
{
  uint8_t random[16];
  if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
    return errno;
  random[6] = (uint8_t)((random[6] & 0x0F) | 0x40);
  random[8] = (uint8_t)((random[8] & 0x3F) | 0x80);
  char *at = uuid;
  for (unsigned i = 0; i < sizeof random; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *at++ = '-';
    snprintf(at, 3, "%02x", random[i]);
    at += 2;
  }
  return 0;
}

static int write_store(struct gg_recorder *recorder)
{
  int error = make_uuid(recorder->uuid);
  if (error)
    return error;
  char text[SMALL_FILE_MAX];
  int length = snprintf(text, sizeof text, "%s%s\n", STORE_HEAD, recorder->uuid);
  int fd = openat(recorder->dir_fd, "store.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return errno;
  errno = 0;
  if (fchmod(fd, 0600) < 0 || write(fd, text, (size_t)length) != length || fsync(fd) < 0)
    error = errno ? errno : ENOSPC;
  close(fd);
  if (!error && renameat(recorder->dir_fd, "store.new", recorder->dir_fd, "store") < 0)
    error = errno;
  if (!error && fsync(recorder->dir_fd) < 0)
    error = errno;
  return error;
}

static int name_store(struct gg_recorder *recorder, struct gg_failure *failure)
{
  char text[SMALL_FILE_MAX];
  ssize_t n = read_small(recorder->dir_fd, "store", text);
  if (n < 0 && errno != ENOENT)
    return gg_fail_errno(failure, errno, "reading %s/store", recorder->dir);
  if (n < 0) {
    int error = write_store(recorder);
    return error ? gg_fail_errno(failure, error, "writing %s/store", recorder->dir) : 0;
  }
  size_t head = sizeof STORE_HEAD - 1;
  if ((size_t)n < head + GG__UUID_TEXT || memcmp(text, STORE_HEAD, head) != 0 || !uuid_valid(text + head) ||
      text[head + GG__UUID_TEXT - 1] != '\n')
    return gg_fail(failure, GG_ERR_FORMAT, "%s/store is not a gogetway store's name", recorder->dir);
  memcpy(recorder->uuid, text + head, GG__UUID_TEXT - 1);
  recorder->uuid[GG__UUID_TEXT - 1] = '\0';
  return 0;
}

static void read_boot_id(struct gg_recorder *recorder)
{
  char text[SMALL_FILE_MAX];
  if (read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text) <= 0)
    snprintf(text, sizeof text, "unknown");
  text[strcspn(text, "\n ")] = '\0';
  snprintf(recorder->boot_id, sizeof recorder->boot_id, "%.60s", text);
}

int gg__store_open(struct gg_recorder *recorder, struct gg_failure *failure)
{
  recorder->opened_real_ns = gg_clock_real_ns();
  int error = open_directory(recorder, failure);
  if (!error)
    error = lock_store(recorder, failure);
  if (!error)
    error = open_segments(recorder, failure);
  if (!error)
    error = name_store(recorder, failure);
  read_boot_id(recorder);
  recorder->owner.uuid = recorder->uuid;
  recorder->owner.pid = (int32_t)getpid();
  return error;
}
