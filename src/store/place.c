/* SPDX-License-Identifier: Apache-2.0 */
#include "store/place.h"

#include "base/clock.h"
#include "store/segment_name.h"
#include "store/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum { STILL_STEP_NS = 200000 };

static bool is_capture(const char *name)
{
  const char *dot = strrchr(name, '.');
  return dot && strcmp(dot, ".pcapng") == 0;
}

/* What may not be looked at is not absent: that is an error of its own. */
static int find_segments(const char *path, bool *found, struct gg_failure *failure)
{
  struct stat status;
  int error = stat(path, &status) == 0 ? 0 : errno;
  *found = error == 0 && S_ISDIR(status.st_mode);
  return error == 0 || error == ENOENT || error == ENOTDIR ? 0 : gg_fail_errno(failure, error, "cannot open %s", path);
}

static int find_captures(const char *path, bool *found, struct gg_failure *failure)
{
  DIR *directory = opendir(path);
  *found = false;
  if (!directory)
    return gg_fail_errno(failure, errno, "cannot read %s", path);
  for (struct dirent *entry; !*found && (entry = readdir(directory));)
    *found = is_capture(entry->d_name);
  closedir(directory);
  return 0;
}

static int set(struct gg__place *place, const char *directory, const char *file, const char *store,
               struct gg_failure *failure)
{
  place->directory = directory ? strdup(directory) : NULL;
  place->file = file ? strdup(file) : NULL;
  place->store = store ? strdup(store) : NULL;
  bool kept = (place->directory || !directory) && (place->file || !file) && (place->store || !store);
  return kept ? 0 : gg_fail(failure, GG_ERR_NOMEM, "no memory for a store");
}

int gg__place_open(struct gg__place *out, const char *path, struct gg_failure *failure)
{
  struct stat status;
  *out = (struct gg__place){0};
  if (stat(path, &status) != 0) {
    if (errno == ENOENT)
      return gg_fail(failure, GG_ERR_NOT_FOUND, "there is no recording at %s", path);
    return gg_fail_errno(failure, errno, "cannot open %s", path);
  }
  if (!S_ISDIR(status.st_mode))
    return set(out, NULL, path, NULL, failure);
  char segments[4096];
  if ((size_t)snprintf(segments, sizeof segments, "%s/segments", path) >= sizeof segments)
    return gg_fail(failure, GG_ERR_RANGE, "the path is too long");
  bool own = false, found = false;
  int error = find_segments(segments, &own, failure);
  if (!error && !own)
    error = find_captures(path, &found, failure);
  if (error)
    return error;
  if (!own && !found)
    return gg_fail(failure, GG_ERR_FORMAT, "%s is no store: it has neither a segments folder nor .pcapng files", path);
  return set(out, own ? segments : path, NULL, own ? path : NULL, failure);
}

void gg__place_fini(struct gg__place *place)
{
  free(place->directory);
  free(place->file);
  free(place->store);
  *place = (struct gg__place){0};
}

bool gg__place_still(int fd, bool exclusively)
{
  const struct timespec step = {.tv_nsec = STILL_STEP_NS};
  uint64_t until_ns = gg_clock_mono_ns() + GG_PLACE_STILL_NS;
  while (flock(fd, (exclusively ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
    if ((errno != EWOULDBLOCK && errno != EINTR) || gg_clock_mono_ns() >= until_ns)
      return false;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
  }
  return true;
}

void gg__place_stir(int fd)
{
  flock(fd, LOCK_UN);
}

struct names {
  char **items;
  size_t count, room;
};

static int add_name(struct names *names, const char *name)
{
  if (names->count == names->room) {
    size_t room = names->room ? names->room * 2 : 64;
    char **larger = realloc(names->items, room * sizeof(char *));
    if (!larger)
      return GG_ERR_NOMEM;
    names->items = larger;
    names->room = room;
  }
  if (names->count > GG_PLACE_FILES_MAX)
    return GG_ERR_LIMIT;
  names->items[names->count] = strdup(name);
  return names->items[names->count] ? (names->count++, 0) : GG_ERR_NOMEM;
}

static int by_order(const void *a, const void *b)
{
  return gg__segment_order(*(char *const *)a, *(char *const *)b);
}

/* All of them as they are at one moment: what moves from one file to another meanwhile would be seen in both, or in
 * neither. */
static int read_names(const struct gg__place *place, struct names *names, struct gg_failure *failure)
{
  DIR *directory = opendir(place->directory);
  if (!directory)
    return gg_fail_errno(failure, errno, "cannot read %s", place->directory);
  bool still = place->store && gg__place_still(dirfd(directory), false);
  int error = 0, read_errno;
  for (struct dirent *entry; !error && (errno = 0, entry = readdir(directory));)
    if (entry->d_name[0] != '.' && is_capture(entry->d_name))
      error = add_name(names, entry->d_name);
  read_errno = error ? 0 : errno; /* a list that is cut short would hide sessions */
  if (still)
    gg__place_stir(dirfd(directory));
  closedir(directory);
  if (read_errno)
    return gg_fail_errno(failure, read_errno, "cannot read %s", place->directory);
  return error ? gg_fail(failure, error, "cannot list the files of %s", place->directory) : 0;
}

int gg__place_each(const struct gg__place *place, int (*found)(void *context, const char *name), void *context,
                   struct gg_failure *failure)
{
  if (!place->directory) {
    int error = found(context, place->file);
    return error ? gg_fail(failure, error, "cannot take note of %s", place->file) : 0;
  }
  struct names names = {0};
  int error = read_names(place, &names, failure);
  if (!error && place->store && names.count > 1)
    qsort(names.items, names.count, sizeof(char *), by_order);
  for (size_t i = 0; i < names.count && !error; i++) {
    if (place->store && i + 1 < names.count && gg__segment_same_base(names.items[i], names.items[i + 1]))
      continue; /* a later generation of it follows */
    error = found(context, names.items[i]);
    if (error)
      gg_fail(failure, error, "cannot list the files of %s", place->directory);
  }
  for (size_t i = 0; i < names.count; i++)
    free(names.items[i]);
  free(names.items);
  return error;
}

void gg__place_ask(const struct gg__place *place, struct gg__life *out)
{
  *out = (struct gg__life){.store = place->store != NULL};
  if (!place->store)
    return;
  gg__store_life(place->store, out);
  if (!gg__store_is_unclosed(place->store, out->unclosed, sizeof out->unclosed))
    out->unclosed[0] = '\0';
}

enum gg_session_state gg__life_state(const struct gg__life *life, const char *segment)
{
  if (!life->store)
    return GG_SESSION_OPEN; /* somebody's file: whether more was to come is not known */
  unsigned process = gg__segment_process(segment);
  bool written = life->live && process > 0 && process <= GG_RECORDER_PROCESSES_MAX;
  return written && strcmp(segment, life->from[process - 1]) > 0 ? GG_SESSION_OPEN : GG_SESSION_CUT;
}
