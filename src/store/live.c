/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a gateway is at work on a store, and whether the last one closed it.
 *
 * A gateway holds an open-file-description lock on its store's `lock` file, and writes its process id into it when it
 * starts. So whether one runs is asked of the kernel (asking takes no lock and disturbs nobody), and since when is the
 * file's time. The `running` file is there from its start to its orderly end, and names its rings and open segments.
 *
 * While one takes over from another, several are at work: the lock's time is when the first of them began, and each has
 * its own list, `running`, running.2, and so on, and its own byte of the lock (record/process.c).
 *
 * Whether a session without an end is open, or was cut when its process died, is told by no time, for clocks are set:
 * a process says in its list behind which name all of its segments come, and names are in the order in which segments
 * began, whatever was done to the clock.
 */
#include "store/source.h"

#include "base/clock.h"
#include "record/log.h"

#include <errno.h>
#include <fcntl.h>
#include <gogetway/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RUNNING_BYTES_MAX = 1 << 20, PATH_BYTES_MAX = 4096 };

enum lock { LOCK_UNKNOWN, LOCK_FREE, LOCK_HELD };

/* -1: `*state` says what is known without it. */
static int open_lock(const char *store, enum lock *state)
{
  char path[PATH_BYTES_MAX];
  *state = LOCK_UNKNOWN;
  if ((size_t)snprintf(path, sizeof path, "%s/lock", store) >= sizeof path)
    return -1;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  *state = fd < 0 && errno == ENOENT ? LOCK_FREE : LOCK_UNKNOWN;
  return fd;
}

static enum lock ask_lock(const char *store, uint64_t *since_ns)
{
  enum lock without;
  int fd = open_lock(store, &without);
  if (fd < 0)
    return without;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  struct stat status;
  bool known = fcntl(fd, F_OFD_GETLK, &lock) == 0 && fstat(fd, &status) == 0;
  close(fd);
  if (!known)
    return LOCK_UNKNOWN;
  *since_ns = (uint64_t)status.st_mtim.tv_sec * GG_NS_PER_S + (uint64_t)status.st_mtim.tv_nsec;
  return lock.l_type == F_UNLCK ? LOCK_FREE : LOCK_HELD;
}

bool gg__store_is_live(const char *store, uint64_t *since_ns)
{
  return ask_lock(store, since_ns) == LOCK_HELD;
}

/* Adds the file to what is there; nothing if it is not there. False: it is, and not all of it was read. */
static bool add_file(const char *path, char **text, size_t *used)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return errno == ENOENT;
  bool all = false;
  char *larger = realloc(*text, *used + RUNNING_BYTES_MAX + 1);
  if (larger) {
    *text = larger;
    size_t most = *used + RUNNING_BYTES_MAX;
    ssize_t n = 1;
    while (n > 0 && *used < most) {
      n = read(fd, larger + *used, most - *used);
      *used += n > 0 ? (size_t)n : 0;
    }
    all = n == 0;
    larger[*used] = '\0';
  }
  close(fd);
  return all;
}

static bool name_running(const char *store, unsigned number, char path[PATH_BYTES_MAX])
{
  int length = number == 1 ? snprintf(path, PATH_BYTES_MAX, "%s/running", store)
                           : snprintf(path, PATH_BYTES_MAX, "%s/running.%u", store, number);
  return (size_t)length < PATH_BYTES_MAX;
}

/* `*all`: nothing of them is missing. */
static char *read_running(const char *store, bool *all)
{
  char path[PATH_BYTES_MAX];
  char *text = NULL;
  size_t used = 0;
  *all = true;
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX; number++)
    *all &= name_running(store, number, path) && add_file(path, &text, &used);
  return text;
}

/* Where a process that lives began; as it was if it does not say so, as those of older versions. */
static void read_from(const char *store, unsigned number, char from[GG__LIFE_FROM_BYTES])
{
  char path[PATH_BYTES_MAX];
  char *text = NULL;
  size_t used = 0;
  bool all = name_running(store, number, path) && add_file(path, &text, &used);
  const char *line = all && text ? strstr(text, "\nfrom ") : NULL;
  size_t length = line ? strcspn(line + 6, "\n") : 0;
  if (length == GG__LIFE_FROM_BYTES - 1)
    memcpy(from, line + 6, length);
  free(text);
}

void gg__store_life(const char *store, struct gg__life *life)
{
  uint64_t ignored_ns;
  enum lock ignored;
  life->live = gg__store_is_live(store, &ignored_ns);
  int fd = life->live ? open_lock(store, &ignored) : -1;
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX && fd >= 0; number++) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1};
    if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK)
      memcpy(life->from[number - 1], "~", 2);
    else
      read_from(store, number, life->from[number - 1]);
  }
  if (fd >= 0)
    close(fd);
}

char *gg__store_running(const char *store)
{
  bool all;
  return read_running(store, &all);
}

bool gg__store_writers(const char *store, bool *live, char **running)
{
  uint64_t ignored_ns;
  enum lock lock = ask_lock(store, &ignored_ns);
  bool all;
  *live = lock == LOCK_HELD;
  *running = read_running(store, &all);
  return all && lock != LOCK_UNKNOWN;
}

/* The directory of the first ring that is named. */
static void put_rings_place(const char *running, char *place, size_t size)
{
  const char *ring = strstr(running, "\nring "), *name = ring ? strchr(ring + 6, ' ') : NULL;
  const char *end = name ? strchr(name, '\n') : NULL;
  const char *slash = end ? memrchr(name, '/', (size_t)(end - name)) : NULL;
  size_t used;
  if (slash && slash > name + 1)
    gg_text_printable((const uint8_t *)name + 1, (size_t)(slash - name - 1), false, place, size, &used);
  else
    snprintf(place, size, "its rings");
}

bool gg__store_is_unclosed(const char *store, char *text, size_t size)
{
  char place[256];
  uint64_t ignored_ns;
  if (ask_lock(store, &ignored_ns) != LOCK_FREE)
    return false;
  char *running = gg__store_running(store);
  /* Asked again: a gateway may have begun in between. */
  bool unclosed = running && ask_lock(store, &ignored_ns) == LOCK_FREE;
  if (unclosed) {
    put_rings_place(running, place, sizeof place);
    snprintf(text, size,
             "the gateway ended without closing this store; what it had not written yet is in %s and is written at its "
             "next start",
             place);
  }
  free(running);
  return unclosed;
}
