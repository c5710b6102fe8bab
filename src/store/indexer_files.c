/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer_files.c - which segments there are, how long they are, and which of them are complete.
 *
 * A folder of many thousand segments is looked through only when it has changed, which its time says; one that changed
 * within the clock's grain of its listing is listed once more. The sizes that are asked for each time are those of
 * segments that are not complete.
 *
 * Complete is what nothing will be added to:
 *   - a later segment of the same log is there: a log has one writer, which ends one before it begins another;
 *   - no gateway is at work on the store, and none is expected to write there what it finds in a killed one's rings:
 *     then the `running` files name the segment;
 *   - a gateway is, the `running` files do not name it, and nothing was added for GG_INDEXER_QUIET_NS: they are a
 *     little behind when a segment begins.
 * Should it be wrong, because a disk hangs or somebody copies a file into the folder, then the size of the segment
 * changes although it was complete: it is read anew.
 */
#include "store/indexer_private.h"

#include "base/clock.h"
#include "store/feed.h"
#include "store/segment_name.h"
#include "store/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GRAIN_NS = 50000000, LOGS_MAX = 256 };

static uint64_t time_of(const struct timespec *time)
{
  return (uint64_t)time->tv_sec * GG_NS_PER_S + (uint64_t)time->tv_nsec;
}

void gg__indexed_free(struct gg__indexed *file)
{
  free(file->name);
  free(file);
}

static int by_name(const void *a, const void *b)
{
  const struct gg__indexed *const *left = a, *const *right = b;
  return strcmp((*left)->name, (*right)->name);
}

/* Among the first `count`, which are in order. */
static struct gg__indexed *find(const struct gg__indexer *indexer, size_t count, const char *name)
{
  struct gg__indexed key = {.name = (char *)(uintptr_t)name}, *key_pointer = &key;
  struct gg__indexed **found =
    count ? bsearch(&key_pointer, indexer->files, count, sizeof(struct gg__indexed *), by_name) : NULL;
  return found ? *found : NULL;
}

static int add(struct gg__indexer *indexer, const char *name, struct gg__indexed **out)
{
  if (indexer->file_count == GG_PLACE_FILES_MAX)
    return GG_ERR_LIMIT;
  if (indexer->file_count == indexer->file_room) {
    size_t room = indexer->file_room ? indexer->file_room * 2 : 64;
    struct gg__indexed **larger = realloc(indexer->files, room * sizeof(struct gg__indexed *));
    if (!larger)
      return GG_ERR_NOMEM;
    indexer->files = larger;
    indexer->file_room = room;
  }
  struct gg__indexed *file = calloc(1, sizeof *file);
  if (!file || !(file->name = strdup(name))) {
    free(file);
    return GG_ERR_NOMEM;
  }
  indexer->files[indexer->file_count++] = file;
  *out = file;
  return 0;
}

/* ── What the catalogue has ──────────────────────────────────────────────────────────────────────────────────────── */

static int load(void *context, const struct gg__catalogue_segment *segment)
{
  struct gg__indexer *indexer = context;
  struct gg__indexed *file;
  int error = add(indexer, segment->name, &file);
  if (error)
    return error;
  file->known = true;
  file->complete = segment->complete;
  file->scanned = segment->complete ? segment->scanned : 0;
  file->first_ns = segment->complete ? segment->first_ns : 0;
  file->last_ns = segment->complete ? segment->last_ns : 0;
  file->anew = !segment->complete && segment->scanned > 0;
  file->bytes = file->scanned;
  indexer->stats.anew += file->anew;
  return 0;
}

int gg__indexer_load(struct gg__indexer *indexer, struct gg_failure *failure)
{
  int error = gg__catalogue_segments(indexer->catalogue, load, indexer, failure);
  if (indexer->file_count > 1)
    qsort(indexer->files, indexer->file_count, sizeof(struct gg__indexed *), by_name);
  return error;
}

/* ── What is there ───────────────────────────────────────────────────────────────────────────────────────────────── */

struct listing {
  struct gg__indexer *indexer;
  size_t known; /* files in order; the others were added by this listing */
};

static int list_one(void *context, const char *name)
{
  struct listing *listing = context;
  if (strlen(name) >= sizeof((struct gg__catalogue_segment *)0)
                        ->name) { /* none of ours, and none that the catalogue can name: a scan reads it */
    listing->indexer->unnamed = true;
    return 0;
  }
  struct gg__indexed *file = find(listing->indexer, listing->known, name);
  int error = file ? 0 : add(listing->indexer, name, &file);
  if (!error)
    file->listed = true;
  return error;
}

/* It vanished: what the catalogue has of it goes with the next batch. */
static int drop(struct gg__indexer *indexer, struct gg__indexed *file, bool forget)
{
  gg__reading_free(indexer, file->reading);
  file->reading = NULL;
  if (indexer->options.feed)
    free(gg__feed_take(indexer->options.feed, file->name, UINT64_MAX));
  if (!file->known)
    return 0;
  indexer->stats.gone++;
  int error = gg__indexer_begin(indexer);
  if (!error && forget)
    error = gg__indexer_note_gone(indexer, file);
  return error ? error : gg__catalogue_forget_segment(indexer->catalogue, file->name, indexer->failure);
}

/* Not one of those that were known is there. */
static bool all_vanished(const struct gg__indexer *indexer)
{
  size_t known = 0, there = 0;
  for (size_t i = 0; i < indexer->file_count; i++) {
    known += indexer->files[i]->known;
    there += indexer->files[i]->known && indexer->files[i]->listed;
  }
  return known > 0 && there == 0;
}

static int drop_vanished(struct gg__indexer *indexer)
{
  size_t kept = 0;
  int error = 0;
  bool all = indexer->step == 1 && all_vanished(indexer);
  indexer->sweep_over |= all;
  for (size_t i = 0; i < indexer->file_count; i++) {
    struct gg__indexed *file = indexer->files[i];
    if (file->listed || error) {
      indexer->files[kept++] = file;
      continue;
    }
    error = drop(indexer, file, !all);
    gg__indexed_free(file);
  }
  indexer->file_count = kept;
  return error;
}

/* Whether one of its log stands behind it: from the last to the first, until all that are not complete were met. Few
 * logs are at work at a time; of one that is not kept note of, segments are only complete a little later. */
static void find_followed(struct gg__indexer *indexer)
{
  char(*logs)[GG__SEGMENT_LOG_MAX] = malloc(LOGS_MAX * sizeof *logs);
  size_t count = 0, left = 0;
  for (size_t i = 0; i < indexer->file_count; i++)
    left += !indexer->files[i]->complete;
  for (size_t i = indexer->file_count; logs && left > 0 && i-- > 0;) {
    struct gg__indexed *file = indexer->files[i];
    char log[GG__SEGMENT_LOG_MAX];
    size_t at = 0;
    left -= !file->complete;
    if (!gg__segment_log(file->name, log))
      continue;
    while (at < count && strcmp(logs[at], log) != 0)
      at++;
    file->followed |= at < count;
    if (at == count && count < LOGS_MAX)
      memcpy(logs[count++], log, sizeof log);
  }
  free(logs);
}

static int list(struct gg__indexer *indexer, struct gg_failure *failure)
{
  struct listing listing = {indexer, indexer->file_count};
  for (size_t i = 0; i < indexer->file_count; i++)
    indexer->files[i]->listed = false;
  indexer->unnamed = false;
  int error = gg__place_each(&indexer->place, list_one, &listing, failure);
  if (error)
    return error;
  if (indexer->file_count > listing.known)
    qsort(indexer->files, indexer->file_count, sizeof(struct gg__indexed *), by_name);
  error = drop_vanished(indexer);
  find_followed(indexer);
  return error;
}

/* Whether the folder has to be listed, and when it changed. */
static bool folder_changed(struct gg__indexer *indexer)
{
  struct stat status;
  uint64_t now_ns = gg_clock_real_ns();
  if (!indexer->place.directory || stat(indexer->place.directory, &status) != 0)
    return true; /* listing says why */
  uint64_t time_ns = time_of(&status.st_mtim);
  bool changed = time_ns != indexer->folder_ns || indexer->folder_fresh;
  indexer->folder_ns = time_ns;
  indexer->folder_fresh = time_ns + GRAIN_NS > now_ns;
  return changed;
}

/* ── What is in a file, and whether more will be ─────────────────────────────────────────────────────────────────── */

static void begin_anew(struct gg__indexer *indexer, struct gg__indexed *file)
{
  gg__reading_free(indexer, file->reading);
  file->reading = NULL;
  file->anew = file->known;
  file->complete = false;
  file->scanned = file->first_ns = file->last_ns = 0;
  file->scattered = false;
  indexer->stats.anew++;
}

/* `all`: it is time to try again what could not be read. */
static void look_at(struct gg__indexer *indexer, struct gg__indexed *file, bool all)
{
  char path[4096];
  struct stat status;
  if ((size_t)snprintf(path, sizeof path, "%s/%s", indexer->place.directory, file->name) >= sizeof path ||
      stat(path, &status) != 0)
    return; /* it goes with the next listing */
  uint64_t bytes = (uint64_t)status.st_size;
  file->changed_ns = time_of(&status.st_mtim);
  if (file->complete ? bytes != file->bytes : bytes < file->scanned)
    begin_anew(indexer, file);
  if (all && file->reading && file->reading->stuck && bytes != file->bytes)
    begin_anew(indexer, file);
  file->bytes = bytes;
}

/* Segments that `running` files name, one after the other. */
static void name_running(struct gg__indexer *indexer)
{
  char *text = gg__store_running(indexer->options.store), *rest = text;
  for (size_t i = 0; i < indexer->file_count; i++)
    indexer->files[i]->named = false;
  for (char *line; rest && (line = strsep(&rest, "\n"));) {
    char *name = strncmp(line, "segment ", 8) == 0 ? strchr(line + 8, ' ') : NULL;
    struct gg__indexed *file = name ? find(indexer, indexer->file_count, name + 1) : NULL;
    if (file)
      file->named = true;
  }
  free(text);
}

bool gg__indexer_is_over(const struct gg__indexer *indexer, const struct gg__indexed *file)
{
  if (file->followed)
    return true;
  if (file->named)
    return false;
  if (!indexer->life.live || indexer->ended)
    return true;
  uint64_t now_ns = gg_clock_real_ns();
  return file->changed_ns + GG_INDEXER_QUIET_NS < now_ns;
}

int gg__indexer_look(struct gg__indexer *indexer, struct gg_failure *failure)
{
  uint64_t now_ns = gg_clock_mono_ns();
  bool all = indexer->looked_ns == 0 || now_ns - indexer->looked_ns >= GG_INDEXER_LOOK_NS, open = false;
  gg__place_ask(&indexer->place, &indexer->life); /* before the files: what is added meanwhile comes next time */
  int error = folder_changed(indexer) ? list(indexer, failure) : 0;
  if (error)
    return error;
  for (size_t i = 0; i < indexer->file_count; i++)
    open |= !indexer->files[i]->complete;
  if (open)
    name_running(indexer);
  for (size_t i = 0; i < indexer->file_count; i++)
    if (all || !indexer->files[i]->complete)
      look_at(indexer, indexer->files[i], all);
  indexer->looked_ns = all ? now_ns : indexer->looked_ns;
  return 0;
}
