/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c - what is done about the rings that a killed process left: by the next start, or by the process that took
 * over from it and lives on.
 *
 *   rings of this store: those that `running` names, and what else a scan of their directories finds
 *   for each, oldest generation first                          (recover_ring.c)
 *     [written, committed) ──► its segment files, at the same offsets as the writer would have used
 *     a statistics block fills the last page, fdatasync
 *   for each ring that `running` names and that is not there   (recover_segment.c)
 *     its log's open segment is cut after its last whole block, and a statistics block says what may be missing
 *   `running` is removed, and only then the rings (a name in `running` without a ring means a loss)
 *
 * Every step gives the same result when it is done again, so a kill in the middle of a recovery only makes the next
 * start do the rest. A disk that refuses fails the start, with everything still in the rings.
 *
 * While others are at work on the store (process.c), only the rings and the `running` file of such process numbers are
 * looked at whose byte of the lock is free, which means that nobody lives who has them; the byte is held meanwhile.
 *
 * /dev/shm can be written by everybody, so a ring is believed only if it is a regular file of ours, mode 0600, and its
 * header agrees with its size, its name and the store. Others are left alone and counted; they take nobody's place:
 * only what passed these checks counts towards RINGS_MAX, and beyond that a start fails rather than leave a ring
 * unread. What they name is checked, too: a segment is a plain name, and bytes that are not whole pcapng blocks are not
 * written.
 */
#include "record/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RINGS_MAX = GG_RINGS_ALIVE_MAX * GG_LOGS_MAX, DIRS_MAX = GG_RECORDER_PROCESSES_MAX + 1 };

/* Whose rings and `running` files. */
struct scope {
  bool all;         /* the store was free: everybody's */
  uint64_t numbers; /* else: bit n - 1 for process number n, whose byte is locked here while this lasts */
  long pid;         /* 0: whatever it was */
};
_Static_assert(GG_RECORDER_PROCESSES_MAX <= 64, "a bit each");

struct candidate {
  bool done; /* written out, to be removed */
  unsigned dir;
  uint64_t generation;
  char log[GG__LOG_NAME_MAX];
  char name[GG__RING_NAME_MAX];
};

struct search {
  struct scope scope;
  struct candidate *found;
  unsigned count;
  struct {
    int fd;
    char *path;
    dev_t device;
    ino_t inode;
  } dirs[DIRS_MAX]; /* ours of now, and each process has had one */
  unsigned dir_count;
};

/* "gogetway-<uuid>.<log>.<generation>" of this store. */
static bool parse_ring_name(struct candidate *candidate, const char *name, const char *uuid)
{
  const char head[] = "gogetway-";
  size_t length = strlen(name);
  if (length >= sizeof candidate->name || strncmp(name, head, sizeof head - 1) != 0)
    return false;
  const char *at = name + sizeof head - 1;
  if (strncmp(at, uuid, GG__UUID_TEXT - 1) != 0 || at[GG__UUID_TEXT - 1] != '.')
    return false;
  at += GG__UUID_TEXT;
  size_t log_length = strcspn(at, ".");
  if (log_length == 0 || log_length >= sizeof candidate->log || at[log_length] != '.')
    return false;
  memset(candidate->log, 0, sizeof candidate->log);
  memcpy(candidate->log, at, log_length);
  at += log_length + 1;
  char *end;
  errno = 0;
  candidate->done = false;
  candidate->generation = strtoull(at, &end, 10);
  if (*at < '0' || *at > '9' || *end || errno)
    return false;
  memcpy(candidate->name, name, length + 1);
  return true;
}

static struct gg__ring_place place_of(const struct search *search, const struct candidate *candidate)
{
  return (struct gg__ring_place){
    .dir_fd = search->dirs[candidate->dir].fd, .dir = search->dirs[candidate->dir].path, .name = candidate->name};
}

static bool is_known(const struct search *search, const struct candidate *candidate)
{
  for (unsigned i = 0; i < search->count; i++)
    if (search->found[i].dir == candidate->dir && strcmp(search->found[i].name, candidate->name) == 0)
      return true;
  return false;
}

static int add(struct search *search, const struct candidate *candidate, struct gg_failure *failure)
{
  if (search->count >= RINGS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "%s holds more than the %d rings of this store that a start can recover",
                   search->dirs[candidate->dir].path, RINGS_MAX);
  search->found[search->count++] = *candidate;
  return 0;
}

/* The number of a directory that may be there under another name; dir_count if it is new. */
static unsigned find_dir(const struct search *search, const struct stat *status)
{
  unsigned number = 0;
  while (number < search->dir_count &&
         (search->dirs[number].device != status->st_dev || search->dirs[number].inode != status->st_ino))
    number++;
  return number;
}

/* Sets *number; DIRS_MAX for a directory of an earlier configuration that is no more. One that cannot be looked into is
 * an error: its rings are not lost, so `running` has to stay for a process that may. */
static int open_dir(struct search *search, const char *path, size_t length, unsigned *number,
                    struct gg_failure *failure)
{
  struct stat status;
  char *copy = strndup(path, length);
  int fd = copy ? open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd >= 0 && fstat(fd, &status) == 0) {
    *number = find_dir(search, &status);
    if (*number < search->dir_count || *number == DIRS_MAX) {
      close(fd);
      free(copy);
      return 0;
    }
    search->dirs[*number].fd = fd;
    search->dirs[*number].path = copy;
    search->dirs[*number].device = status.st_dev;
    search->dirs[*number].inode = status.st_ino;
    search->dir_count++;
    return 0;
  }
  int error = copy ? errno : ENOMEM;
  if (fd >= 0)
    close(fd);
  free(copy);
  *number = DIRS_MAX;
  if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG)
    return 0;
  return gg_fail_errno(failure, error, "opening the ring directory %.*s", (int)length, path);
}

/* The rings that those processes named. */
static int find_named(struct search *search, const struct gg_recorder *recorder, const struct gg__running *running,
                      struct gg_failure *failure)
{
  for (unsigned i = 0; i < running->count; i++) {
    const char *path = running->entries[i].value;
    const char *slash = running->entries[i].is_ring ? strrchr(path, '/') : NULL;
    if (!slash || slash == path)
      continue;
    struct candidate candidate;
    int error = open_dir(search, path, (size_t)(slash - path), &candidate.dir, failure);
    if (error)
      return error;
    if (!search->scope.all) /* the scan comes by, and looks whose it is */
      continue;
    if (candidate.dir == DIRS_MAX || !parse_ring_name(&candidate, slash + 1, recorder->uuid) ||
        is_known(search, &candidate))
      continue;
    if (faccessat(search->dirs[candidate.dir].fd, slash + 1, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT)
        continue;
      return gg_fail_errno(failure, errno, "looking for the ring %s", path);
    }
    error = add(search, &candidate, failure);
    if (error)
      return error;
  }
  return 0;
}

static bool has_number(const struct scope *scope, unsigned process)
{
  return process >= 1 && process <= GG_RECORDER_PROCESSES_MAX && (scope->numbers >> (process - 1) & 1) != 0;
}

/* A ring of somebody who lives is not looked into: it changes under one's eyes. */
static bool is_somebody_elses(const struct search *search, const struct candidate *candidate)
{
  unsigned process;
  long pid;
  if (search->scope.all)
    return false;
  int error = gg__recover_ring_owner(place_of(search, candidate), &process, &pid);
  if (error)
    return error == GG_ERR_NOT_FOUND; /* what is nobody's is refused */
  return !has_number(&search->scope, process) || (search->scope.pid && pid != search->scope.pid);
}

static int scan(struct search *search, DIR *list, unsigned dir, const struct gg_recorder *recorder,
                struct gg_recovery *recovery, struct gg_failure *failure)
{
  errno = 0;
  for (struct dirent *entry; (entry = readdir(list)); errno = 0) { /* bounded by the names that are there */
    struct candidate candidate;
    if (!parse_ring_name(&candidate, entry->d_name, recorder->uuid))
      continue;
    candidate.dir = dir;
    if (is_known(search, &candidate) || is_somebody_elses(search, &candidate))
      continue;
    bool ours = gg__recover_ring_check(recorder, place_of(search, &candidate));
    recovery->rings_refused += !ours;
    int error = ours ? add(search, &candidate, failure) : 0;
    if (error)
      return error;
  }
  return errno ? gg_fail_errno(failure, errno, "looking for rings in %s", search->dirs[dir].path) : 0;
}

static int scan_dir(struct search *search, unsigned dir, const struct gg_recorder *recorder,
                    struct gg_recovery *recovery, struct gg_failure *failure)
{
  int fd = openat(search->dirs[dir].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
  if (!list) {
    int error = errno;
    if (fd >= 0)
      close(fd);
    return gg_fail_errno(failure, error, "looking for rings in %s", search->dirs[dir].path);
  }
  int error = scan(search, list, dir, recorder, recovery, failure);
  closedir(list);
  return error;
}

/* In the ring directory of now, and in those of the rings that were named. */
static int search_rings(struct search *search, const struct gg_recorder *recorder, const struct gg__running *running,
                        struct gg_recovery *recovery, struct gg_failure *failure)
{
  unsigned number;
  int error = open_dir(search, recorder->ring_dir, strlen(recorder->ring_dir), &number, failure);
  if (!error)
    error = find_named(search, recorder, running, failure);
  for (unsigned i = 0; i < search->dir_count && !error; i++)
    error = scan_dir(search, i, recorder, recovery, failure);
  return error;
}

static int by_log_and_generation(const void *a, const void *b)
{
  const struct candidate *left = a, *right = b;
  int order = strcmp(left->log, right->log);
  if (order)
    return order;
  return left->generation < right->generation ? -1 : left->generation > right->generation;
}

/* A ring counts as accounted for by its file name, wherever it was found. */
static void account(struct gg__running *running, const char *name)
{
  for (unsigned i = 0; i < running->count; i++) {
    const char *slash = strrchr(running->entries[i].value, '/');
    if (running->entries[i].is_ring && slash && strcmp(slash + 1, name) == 0)
      running->entries[i].accounted = true;
  }
}

static int write_out_rings(struct gg_recorder *recorder, struct search *search, struct gg__running *running,
                           struct gg_recovery *recovery, struct gg_failure *failure)
{
  qsort(search->found, search->count, sizeof search->found[0], by_log_and_generation);
  for (unsigned i = 0; i < search->count; i++) {
    struct candidate *candidate = &search->found[i];
    int result = gg__recover_ring(recorder, place_of(search, candidate), recovery, failure);
    if (result < 0)
      return result;
    candidate->done = result == 0;
    if (candidate->done)
      account(running, candidate->name);
    else
      recovery->rings_refused++;
  }
  return 0;
}

static int mark_log(struct gg_recorder *recorder, const struct gg__running *running, unsigned process, const char *log,
                    struct gg_recovery *recovery, struct gg_failure *failure)
{
  for (unsigned i = 0; i < running->count; i++) {
    const struct gg__running_entry *entry = &running->entries[i];
    if (entry->is_ring || entry->process != process || strcmp(entry->log, log) != 0)
      continue;
    int result = gg__recover_segment(recorder, entry->value, failure);
    if (result < 0)
      return result;
    recovery->segments += (unsigned)result;
  }
  return 0;
}

static int mark_missing(struct gg_recorder *recorder, const struct gg__running *running, struct gg_recovery *recovery,
                        struct gg_failure *failure)
{
  for (unsigned i = 0; i < running->count; i++) {
    const struct gg__running_entry *entry = &running->entries[i];
    if (!entry->is_ring || entry->accounted)
      continue;
    recovery->rings_missing++;
    int error = mark_log(recorder, running, entry->process, entry->log, recovery, failure);
    if (error)
      return error;
  }
  return 0;
}

static void remove_rings(const struct search *search)
{
  for (unsigned i = 0; i < search->count; i++)
    if (search->found[i].done)
      gg__recover_ring_remove(place_of(search, &search->found[i]));
}

static void report(const struct gg_recorder *recorder, const struct gg__running *running,
                   const struct gg_recovery *recovery)
{
  if (!gg__running_found(running) && !recovery->rings && !recovery->rings_refused)
    return;
  gg_info(recorder->logger, "recovered", GG_U("rings", recovery->rings), GG_U("bytes", recovery->bytes),
          GG_U("segments", recovery->segments), GG_U("rings_missing", recovery->rings_missing),
          GG_U("rings_refused", recovery->rings_refused), GG_B("restarted_machine", running->other_boot));
}

static int read_running(struct gg__running *running, const struct gg_recorder *recorder, const struct scope *scope)
{
  int error = 0;
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX && !error; number++)
    if (scope->all || has_number(scope, number))
      error = gg__running_read(running, recorder, number, scope->pid);
  return error;
}

static void remove_running(struct gg_recorder *recorder, const struct gg__running *running)
{
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX; number++)
    if (running->texts[number - 1])
      gg__running_remove(recorder, number);
}

static int recover(struct gg_recorder *recorder, const struct scope *scope, struct gg_recovery *recovery,
                   struct gg_failure *failure)
{
  struct gg__running running = {0};
  struct search search = {.scope = *scope, .found = calloc(RINGS_MAX, sizeof search.found[0])};
  int error = search.found ? read_running(&running, recorder, scope) : GG_ERR_NOMEM;
  if (error) {
    free(search.found);
    gg__running_fini(&running);
    return gg_fail(failure, error, "reading what the last process left in %s", recorder->dir);
  }
  error = search_rings(&search, recorder, &running, recovery, failure);
  if (!error)
    error = write_out_rings(recorder, &search, &running, recovery, failure);
  if (!error)
    error = mark_missing(recorder, &running, recovery, failure);
  if (!error) {
    remove_running(recorder, &running);
    remove_rings(&search);
    report(recorder, &running, recovery);
  }
  for (unsigned i = 0; i < search.dir_count; i++) {
    close(search.dirs[i].fd);
    free(search.dirs[i].path);
  }
  free(search.found);
  gg__running_fini(&running);
  return error;
}

int gg__recover(struct gg_recorder *recorder, struct gg_recovery *recovery, struct gg_failure *failure)
{
  return recover(recorder, &(struct scope){.all = true}, recovery, failure);
}

int gg__recover_ended(struct gg_recorder *recorder, long pid, struct gg_recovery *recovery, struct gg_failure *failure)
{
  struct scope scope = {.pid = pid};
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX; number++)
    if (gg__process_lock(recorder, number))
      scope.numbers |= UINT64_C(1) << (number - 1);
  int error = recover(recorder, &scope, recovery, failure);
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX; number++)
    if (has_number(&scope, number))
      gg__process_unlock(recorder, number);
  return error;
}

/* Only where there is a ring of ours: a damaged file does not open other directories to this process. */
static int tell_ring_dir(const struct gg_recorder *recorder, const char *path, gg_ring_dir_fn each, void *context)
{
  struct candidate candidate;
  unsigned process;
  long pid;
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path || !parse_ring_name(&candidate, slash + 1, recorder->uuid))
    return 0;
  char *dir = strndup(path, (size_t)(slash - path));
  int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  const struct gg__ring_place place = {.dir_fd = fd, .dir = dir, .name = candidate.name};
  if (fd >= 0 && gg__recover_ring_owner(place, &process, &pid) == 0)
    each(context, dir);
  if (fd >= 0)
    close(fd);
  free(dir);
  return dir ? 0 : GG_ERR_NOMEM;
}

int gg_recorder_ring_dirs(const struct gg_recorder *recorder, gg_ring_dir_fn each, void *context)
{
  struct gg__running running = {0};
  int error = read_running(&running, recorder, &(struct scope){.all = true});
  for (unsigned i = 0; i < running.count && !error; i++)
    if (running.entries[i].is_ring)
      error = tell_ring_dir(recorder, running.entries[i].value, each, context);
  gg__running_fini(&running);
  return error;
}

static bool is_ring_left(const struct gg_recorder *recorder, int dir_fd, DIR *list, unsigned process)
{
  errno = 0;
  for (struct dirent *entry; (entry = readdir(list)); errno = 0) { /* bounded by the names that are there */
    struct candidate candidate;
    unsigned owner;
    long pid;
    const struct gg__ring_place place = {.dir_fd = dir_fd, .dir = recorder->ring_dir, .name = entry->d_name};
    if (parse_ring_name(&candidate, entry->d_name, recorder->uuid) &&
        gg__recover_ring_owner(place, &owner, &pid) == 0 && owner == process)
      return true;
  }
  return errno != 0;
}

bool gg__recover_is_left(const struct gg_recorder *recorder, unsigned process)
{
  char name[GG__RUNNING_NAME_MAX];
  gg__process_running_name(name, process, "");
  if (faccessat(recorder->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
    return true;
  int fd = openat(recorder->ring_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
  if (!list) {
    if (fd >= 0)
      close(fd);
    return true;
  }
  bool left = is_ring_left(recorder, fd, list, process);
  closedir(list);
  return left;
}
