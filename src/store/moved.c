/* SPDX-License-Identifier: Apache-2.0 */
#include "store/moved.h"

#include "store/place.h"
#include "store/segment_name.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURNS_MAX = 8, NAME_BYTES_MAX = 256, PATH_BYTES_MAX = 4096 };

/* The latest generation of the file; empty: there is none. */
static int find_name(const char *folder, const char *gone, char name[NAME_BYTES_MAX], struct gg_failure *failure)
{
  DIR *directory = opendir(folder);
  name[0] = '\0';
  if (!directory)
    return gg_fail_errno(failure, errno, "cannot read %s", folder);
  bool still = gg__place_still(dirfd(directory), false);
  for (struct dirent *entry; (errno = 0, entry = readdir(directory));) {
    size_t length = strlen(entry->d_name);
    bool is_segment = length > 7 && strcmp(entry->d_name + length - 7, ".pcapng") == 0;
    if (is_segment && gg__segment_same_base(entry->d_name, gone) &&
        (!name[0] || gg__segment_order(name, entry->d_name) < 0))
      memcpy(name, entry->d_name, length + 1);
  }
  int error = errno;
  if (still)
    gg__place_stir(dirfd(directory));
  closedir(directory);
  return error ? gg_fail_errno(failure, error, "cannot read %s", folder) : 0;
}

static int by_id(const void *a, const void *b)
{
  const struct gg__part *const *left = a, *const *right = b;
  int order = strcmp((*left)->id, (*right)->id);
  if (order)
    return order;
  return ((*left)->first_offset > (*right)->first_offset) - ((*left)->first_offset < (*right)->first_offset);
}

static int list_parts(struct gg__moved *moved)
{
  size_t count = 0;
  for (const struct gg__part *part = moved->capture->parts; part; part = part->next_of_capture)
    count++;
  moved->parts = calloc(count + 1, sizeof(struct gg__part *));
  if (!moved->parts)
    return GG_ERR_NOMEM;
  for (struct gg__part *part = moved->capture->parts; part; part = part->next_of_capture)
    moved->parts[moved->count++] = part;
  if (count > 1)
    qsort(moved->parts, count, sizeof(struct gg__part *), by_id);
  return 0;
}

/* What was found may go before it is open, and a later one take its place. */
static int read_kept(struct gg__moved *moved, const char *folder, const char *name, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  int error = gg__capture_create(&moved->capture, folder, name, true);
  if (!error)
    error = gg__frames_open(&moved->frames, moved->capture->path, &why);
  if (!error)
    error = gg__capture_scan(moved->capture);
  if (!error && moved->capture->health == GG__CAPTURE_UNREADABLE)
    error = access(moved->capture->path, F_OK) != 0 && errno == ENOENT
              ? GG_ERR_NOT_FOUND
              : gg_fail(&why, GG_ERR_CORRUPT, "%s", moved->capture->problem);
  if (!error)
    error = list_parts(moved);
  if (error == GG_ERR_NOT_FOUND)
    return GG_ERR_AGAIN;
  return error ? gg_fail(failure, error, "%s", why.code ? why.message : "no memory for what was kept of a segment") : 0;
}

int gg__moved_find(struct gg__moved *moved, const struct gg__capture *gone, struct gg_failure *failure)
{
  char folder[PATH_BYTES_MAX], name[NAME_BYTES_MAX];
  int length = (int)(gone->name - gone->path);
  int error = GG_ERR_AGAIN;
  *moved = (struct gg__moved){0};
  bool fits = (size_t)snprintf(folder, sizeof folder, "%.*s", length > 0 ? length - 1 : 0, gone->path) < sizeof folder;
  bool may_be = gone->own && fits && length > 1;
  for (int turn = 0; turn < TURNS_MAX && error == GG_ERR_AGAIN && may_be; turn++) {
    gg__moved_fini(moved);
    error = find_name(folder, gone->name, name, failure);
    if (!error)
      error = name[0] ? read_kept(moved, folder, name, failure) : GG_ERR_NOT_FOUND;
  }
  if (error)
    gg__moved_fini(moved);
  if (error == GG_ERR_AGAIN || error == GG_ERR_NOT_FOUND)
    return gg_fail(failure, GG_ERR_NOT_FOUND, "%s has gone since the store was read", gone->name);
  return error;
}

void gg__moved_fini(struct gg__moved *moved)
{
  gg__frames_close(moved->frames);
  gg__capture_destroy(moved->capture);
  free(moved->parts);
  *moved = (struct gg__moved){0};
}

size_t gg__moved_first(const struct gg__moved *moved, const char *id)
{
  size_t low = 0, high = moved->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(moved->parts[middle]->id, id) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low < moved->count && strcmp(moved->parts[low]->id, id) == 0 ? low : moved->count;
}

const struct gg__part *gg__moved_take(struct gg__moved *moved, const struct gg__part *part)
{
  size_t first = gg__moved_first(moved, part->id), last = first;
  if (first == moved->count)
    return NULL;
  if (moved->parts[first]->record)
    return moved->parts[first];
  struct gg__part *next = part->next_of_session;
  while (next && strcmp(next->capture->path, part->capture->path) == 0)
    next = next->next_of_session;
  moved->parts[first]->stands_for = part;
  for (;; last++) {
    struct gg__part *each = moved->parts[last];
    each->record = part->record;
    bool more = last + 1 < moved->count && strcmp(moved->parts[last + 1]->id, part->id) == 0;
    each->next_of_session = more ? moved->parts[last + 1] : next;
    if (!more)
      return moved->parts[first];
  }
}

int gg__moved_taken(const struct gg__moved *moved, const struct gg__part ***out, size_t *count)
{
  *count = 0;
  *out = calloc(moved->count + 1, sizeof(const struct gg__part *));
  if (!*out)
    return GG_ERR_NOMEM;
  for (const struct gg__part *part = moved->capture->parts; part; part = part->next_of_capture)
    if (part->record)
      (*out)[(*count)++] = part;
  return 0;
}
