/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c - what a new start does about the rings that a killed process left.
 *
 *   for each ring of this store, oldest generation first       (recover_ring.c)
 *     [written, committed) ──► its segment files, at the same offsets as the writer would have used
 *     a statistics block fills the last page, fdatasync
 *   for each ring that `running` names and that is not there   (recover_segment.c)
 *     its log's open segment is cut after its last whole block, and a statistics block says what may be missing
 *   `running` is removed, and only then the rings (a name in `running` without a ring means a loss)
 *
 * Every step gives the same result when it is done again, so a kill in the middle of a recovery only makes the next
 * start do the rest. A disk that refuses fails the start, with everything still in the rings.
 *
 * /dev/shm can be written by everybody, so a ring is believed only if it is a regular file of ours, mode 0600, with
 * one name, and its header agrees with its size, its name and the store. Others are left alone and counted. What they
 * name is checked, too: a segment is a plain name, and bytes that are not whole pcapng blocks are not written.
 */
#include "record/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RINGS_MAX = 4 * GG__LOGS_MAX, DIRS_MAX = 8 };

struct candidate {
  bool done; /* written out, to be removed */
  unsigned dir;
  uint64_t generation;
  char log[GG__LOG_NAME_MAX];
  char name[GG__RING_NAME_MAX];
};

struct search {
  struct candidate *found;
  unsigned count;
  struct {
    int fd;
    char path[256];
  } dirs[DIRS_MAX];
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

static void search_dir(struct search *search, const char *path, const char *uuid)
{
  if (search->dir_count >= DIRS_MAX || strlen(path) >= sizeof search->dirs[0].path)
    return;
  for (unsigned i = 0; i < search->dir_count; i++)
    if (strcmp(search->dirs[i].path, path) == 0)
      return;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return; /* a directory of an earlier configuration that is no more */
  unsigned number = search->dir_count++;
  search->dirs[number].fd = fd;
  snprintf(search->dirs[number].path, sizeof search->dirs[number].path, "%s", path);
  int list_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = list_fd >= 0 ? fdopendir(list_fd) : NULL;
  if (!dir) {
    if (list_fd >= 0)
      close(list_fd);
    return;
  }
  for (struct dirent *entry; search->count < RINGS_MAX && (entry = readdir(dir));) {
    struct candidate *candidate = &search->found[search->count];
    if (parse_ring_name(candidate, entry->d_name, uuid)) {
      candidate->dir = number;
      search->count++;
    }
  }
  closedir(dir);
}

/* The ring directory of now, and those of the rings that the last process had. */
static void search_rings(struct search *search, const struct gg_recorder *recorder, const struct gg__running *running)
{
  search_dir(search, recorder->ring_dir, recorder->uuid);
  for (unsigned i = 0; i < running->count; i++) {
    if (!running->entries[i].is_ring)
      continue;
    char path[256];
    const char *slash = strrchr(running->entries[i].value, '/');
    size_t length = slash ? (size_t)(slash - running->entries[i].value) : 0;
    if (length == 0 || length >= sizeof path)
      continue;
    memcpy(path, running->entries[i].value, length);
    path[length] = '\0';
    search_dir(search, path, recorder->uuid);
  }
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
    int result = gg__recover_ring(recorder, search->dirs[candidate->dir].fd, candidate->name, recovery, failure);
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

static int mark_log(struct gg_recorder *recorder, const struct gg__running *running, const char *log,
                    struct gg_recovery *recovery, struct gg_failure *failure)
{
  for (unsigned i = 0; i < running->count; i++) {
    const struct gg__running_entry *entry = &running->entries[i];
    if (entry->is_ring || strcmp(entry->log, log) != 0)
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
    int error = mark_log(recorder, running, entry->log, recovery, failure);
    if (error)
      return error;
  }
  return 0;
}

static void remove_rings(const struct search *search)
{
  for (unsigned i = 0; i < search->count; i++)
    if (search->found[i].done)
      unlinkat(search->dirs[search->found[i].dir].fd, search->found[i].name, 0);
}

static void report(const struct gg_recorder *recorder, const struct gg__running *running,
                   const struct gg_recovery *recovery)
{
  if (!running->found && !recovery->rings && !recovery->rings_refused)
    return;
  gg_info(recorder->logger, "recovered", GG_U("rings", recovery->rings), GG_U("bytes", recovery->bytes),
          GG_U("segments", recovery->segments), GG_U("rings_missing", recovery->rings_missing),
          GG_U("rings_refused", recovery->rings_refused), GG_B("restarted_machine", running->other_boot));
}

int gg__recover(struct gg_recorder *recorder, struct gg_recovery *recovery, struct gg_failure *failure)
{
  struct gg__running running = {0};
  struct search search = {.found = calloc(RINGS_MAX, sizeof search.found[0])};
  int error = search.found ? gg__running_read(&running, recorder) : GG_ERR_NOMEM;
  if (error) {
    free(search.found);
    gg__running_fini(&running);
    return gg_fail(failure, error, "reading what the last process left in %s", recorder->dir);
  }
  search_rings(&search, recorder, &running);
  error = write_out_rings(recorder, &search, &running, recovery, failure);
  if (!error)
    error = mark_missing(recorder, &running, recovery, failure);
  if (!error && running.found)
    gg__running_remove(recorder);
  if (!error) {
    remove_rings(&search);
    report(recorder, &running, recovery);
  }
  for (unsigned i = 0; i < search.dir_count; i++)
    close(search.dirs[i].fd);
  free(search.found);
  gg__running_fini(&running);
  return error;
}
