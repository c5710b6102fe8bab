/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalogue from nothing but the segments and the journal, and how it takes the place of the one that is there:
 *
 *   claim catalogue.db ──► catalogue.db.new ──► closed, synced ──► catalogue.db goes ──► its log goes ──► rename
 *   (its lock)             is built                                ▲
 *                                                                  └ from here on, until the rename, there is none: who
 *                                                                    looks now reads the segments
 *
 * SQLite takes whatever log lies beside a database for that database's. So the old one's must be gone before the new
 * one has its name, and the old database before its log, of which it may not have everything. A kill in between leaves
 * a store without a catalogue, which is made anew by whoever comes next; at any other moment the old one is as it was.
 *
 * A gateway that records holds the claim; one that starts while a catalogue is made anew waits for it, and records.
 */
#include "base/sized.h"
#include "store/indexer.h"
#include "store/place.h"
#include "store/understanding.h"

#include <errno.h>
#include <fcntl.h>
#include <gogetway/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096 };

struct reindexing {
  struct gg_reindex_options options;
  char path[PATH_BYTES_MAX], fresh[PATH_BYTES_MAX];
  struct gg_failure *failure;
};

static void remove_all(const char *path, const char *const *ends, size_t count)
{
  char name[PATH_BYTES_MAX + 8];
  for (size_t i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    unlink(name);
  }
}

/* A folder, or a file that nothing has open: SQLite's locks would be lost when this closes it. */
static int sync_path(const char *path, struct gg_failure *failure)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  int error = fd < 0 || fsync(fd) != 0 ? gg_fail_errno(failure, errno, "cannot sync %s", path) : 0;
  if (fd >= 0)
    close(fd);
  return error;
}

/* In the order that is drawn above. */
static int replace(const struct reindexing *reindexing, const char *store)
{
  static const char *const beside[] = {"-wal", "-shm"}, *const old[] = {"", "-wal", "-shm"};
  remove_all(reindexing->fresh, beside, 2); /* closed: all of it is in the file, but not on the disk yet */
  int error = sync_path(reindexing->fresh, reindexing->failure);
  if (error)
    return error;
  remove_all(reindexing->path, old, 1);
  error = sync_path(store, reindexing->failure);
  if (error)
    return error;
  remove_all(reindexing->path, old, 3);
  if (rename(reindexing->fresh, reindexing->path) != 0)
    return gg_fail_errno(reindexing->failure, errno, "cannot rename %s", reindexing->fresh);
  return sync_path(store, reindexing->failure);
}

static bool tell_progress(void *context, uint64_t done, uint64_t total)
{
  const struct reindexing *reindexing = context;
  return !reindexing->options.progress || reindexing->options.progress(reindexing->options.context, done, total);
}

static void tell_warning(void *context, const char *text)
{
  const struct reindexing *reindexing = context;
  if (reindexing->options.warning)
    reindexing->options.warning(reindexing->options.context, text);
}

static int count_total(void *context, const struct gg_total *total)
{
  uint64_t *sessions = context;
  *sessions += total->sessions;
  return 0;
}

static int index_all(struct reindexing *reindexing, const char *store, struct gg_reindex_result *result)
{
  const struct gg__indexer_options options = {
    .store = store, .progress = tell_progress, .warning = tell_warning, .context = reindexing};
  struct gg__catalogue *catalogue = NULL;
  struct gg__indexer *indexer = NULL;
  struct gg__indexer_stats stats = {0};
  bool more = true;
  int error = gg__catalogue_open(&catalogue, reindexing->fresh, GG__CATALOGUE_BUILD, reindexing->failure);
  if (!error)
    error = gg__indexer_create(&indexer, catalogue, &options, reindexing->failure);
  if (!error)
    error = gg__indexer_build(indexer, reindexing->failure);
  while (!error && more)
    error = gg__indexer_step(indexer, 0, &more, reindexing->failure);
  if (!error)
    error = gg__catalogue_totals(catalogue, NULL, "day", count_total, &result->sessions, NULL, reindexing->failure);
  if (indexer)
    gg__indexer_stats(indexer, &stats);
  result->segments = stats.segments;
  result->bytes = stats.bytes;
  result->marked = stats.marked;
  gg__indexer_destroy(indexer);
  gg__catalogue_close(catalogue);
  return error;
}

/* ── Decoding ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct decoding {
  struct reindexing *reindexing;
  struct gg__understanding *understanding;
  uint64_t done, payload;
};

static int count_payload(void *context, const struct gg_total *total)
{
  struct decoding *decoding = context;
  decoding->payload += total->bytes[0] + total->bytes[1];
  return 0;
}

/* Bytes of payload follow those of the segments. */
static bool tell_decoded(void *context)
{
  struct decoding *decoding = context;
  struct gg__understanding_stats stats = {0};
  if (decoding->understanding)
    gg__understanding_stats(decoding->understanding, &stats);
  uint64_t bytes = stats.bytes < decoding->payload ? stats.bytes : decoding->payload;
  return tell_progress(decoding->reindexing, decoding->done + bytes, decoding->done + decoding->payload);
}

/* Facts from what was said. The catalogue has its name and can be asked already: who is killed here has lost nothing,
 * and whoever keeps it next goes on. */
static int decode_all(struct reindexing *reindexing, const char *store, uint64_t done)
{
  struct decoding decoding = {.reindexing = reindexing, .done = done};
  const struct gg__understanding_options options = {.store = store, .goes_on = tell_decoded, .context = &decoding};
  struct gg__catalogue *catalogue = NULL;
  bool more = true;
  int error = gg__catalogue_open(&catalogue, reindexing->path, GG__CATALOGUE_WRITE, reindexing->failure);
  if (!error)
    error = gg__catalogue_totals(catalogue, NULL, "day", count_payload, &decoding, NULL, reindexing->failure);
  if (!error)
    error = gg__understanding_create(&decoding.understanding, &options, reindexing->failure);
  while (!error && more) {
    struct gg__understood *batch = NULL;
    error = gg__understanding_step(decoding.understanding, 0, &batch, &more, reindexing->failure);
    if (!error)
      error = gg__understood_put(batch, catalogue, reindexing->failure);
    gg__understood_destroy(batch);
  }
  gg__understanding_destroy(decoding.understanding);
  gg__catalogue_close(catalogue);
  return error;
}

/* ── Comparing ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What a catalogue has, as text, in a file without a name. NULL: the failure is filled. */
static FILE *dump(const char *store, const char *path, struct gg_failure *failure)
{
  struct gg__catalogue *catalogue = NULL;
  int fd = open(store, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "r+e");
  if (!file) {
    gg_fail_errno(failure, errno, "cannot make a file in %s", store);
    if (fd >= 0)
      close(fd);
    return NULL;
  }
  int error = gg__catalogue_open(&catalogue, path, GG__CATALOGUE_READ, failure);
  if (!error)
    error = gg__catalogue_dump(catalogue, fd, failure);
  gg__catalogue_close(catalogue);
  if (!error && lseek(fd, 0, SEEK_SET) != 0)
    error = gg_fail_errno(failure, errno, "cannot read a file in %s", store);
  if (!error)
    return file;
  fclose(file);
  return NULL;
}

/* 0 if the texts are equal; else about how many lines are in one of them only. */
static uint64_t count_different(FILE *a, FILE *b)
{
  char *line[2] = {NULL, NULL};
  size_t room[2] = {0, 0};
  uint64_t different = 0;
  ssize_t left = getline(&line[0], &room[0], a), right = getline(&line[1], &room[1], b);
  while (left >= 0 || right >= 0) {
    int order = left < 0 ? 1 : right < 0 ? -1 : strcmp(line[0], line[1]);
    different += order != 0;
    if (order <= 0)
      left = getline(&line[0], &room[0], a);
    if (order >= 0)
      right = getline(&line[1], &room[1], b);
  }
  free(line[0]);
  free(line[1]);
  return different;
}

static int compare(const struct reindexing *reindexing, const char *store, struct gg_reindex_result *result)
{
  FILE *there = dump(store, reindexing->path, reindexing->failure);
  FILE *fresh = there ? dump(store, reindexing->fresh, reindexing->failure) : NULL;
  if (fresh)
    result->different = count_different(there, fresh);
  if (there)
    fclose(there);
  if (fresh)
    fclose(fresh);
  struct gg_failure *failure = reindexing->failure;
  return fresh ? 0 : failure && failure->code ? failure->code : GG_ERR_IO;
}

static int reindex(struct reindexing *reindexing, const char *store, struct gg_reindex_result *result)
{
  static const char *const all[] = {"", "-wal", "-shm", ".lock", "-sort"};
  int claim;
  int error = gg__catalogue_claim(&claim, reindexing->path, reindexing->failure);
  if (error)
    return error;
  remove_all(reindexing->fresh, all, 5); /* of one who was killed */
  error = index_all(reindexing, store, result);
  if (!error)
    error = reindexing->options.check ? compare(reindexing, store, result) : replace(reindexing, store);
  remove_all(reindexing->fresh, all, 5);
  close(claim);
  return error || reindexing->options.check ? error : decode_all(reindexing, store, result->bytes);
}

int gg_store_reindex(const char *path, const struct gg_reindex_options *given, struct gg_reindex_result *result,
                     struct gg_failure *failure)
{
  struct gg_reindex_options options = GG_REINDEX_OPTIONS_INIT;
  struct gg_reindex_result own = {0};
  struct gg__place place;
  int error = given ? gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_reindex_options, check), given,
                                    "gg_reindex_options", failure)
                    : 0;
  if (error)
    return error;
  error = gg__place_open(&place, path, failure);
  if (!error && !place.store)
    error = gg_fail(failure, GG_ERR_FORMAT, "%s is no store: only what a gateway records into has a catalogue", path);
  gg__place_fini(&place);
  struct reindexing *reindexing = error ? NULL : calloc(1, sizeof *reindexing);
  if (!reindexing)
    return error ? error : gg_fail(failure, GG_ERR_NOMEM, "no memory for a catalogue");
  reindexing->options = options;
  reindexing->failure = failure;
  if ((size_t)snprintf(reindexing->path, PATH_BYTES_MAX, "%s/catalogue.db", path) >= PATH_BYTES_MAX - 8 ||
      (size_t)snprintf(reindexing->fresh, PATH_BYTES_MAX, "%s/catalogue.db.new", path) >= PATH_BYTES_MAX - 8)
    error = gg_fail(failure, GG_ERR_RANGE, "the path is too long");
  if (!error)
    error = reindex(reindexing, path, result ? result : &own);
  free(reindexing);
  return error;
}

void gg__indexer_tell_marks(const char *store)
{
  const struct gg__indexer_options options = {.store = store};
  struct gg__catalogue *catalogue = NULL;
  struct gg__indexer *indexer = NULL;
  char path[PATH_BYTES_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s/catalogue.db", store) >= sizeof path || access(path, F_OK) != 0)
    return;
  int error = gg__catalogue_open(&catalogue, path, GG__CATALOGUE_WRITE, NULL);
  if (!error)
    error = gg__indexer_create(&indexer, catalogue, &options, NULL);
  if (!error)
    gg__indexer_hear(indexer, NULL);
  gg__indexer_destroy(indexer);
  gg__catalogue_close(catalogue);
}

int gg__indexer_catch_up(const struct gg__indexer_options *options, struct gg_failure *failure)
{
  struct gg__catalogue *catalogue = NULL;
  struct gg__indexer *indexer = NULL;
  char path[PATH_BYTES_MAX];
  bool more = true;
  if ((size_t)snprintf(path, sizeof path, "%s/catalogue.db", options->store) >= sizeof path)
    return gg_fail(failure, GG_ERR_RANGE, "the path is too long");
  int error = gg__catalogue_open(&catalogue, path, GG__CATALOGUE_WRITE, failure);
  if (!error)
    error = gg__indexer_create(&indexer, catalogue, options, failure);
  while (!error && more)
    error = gg__indexer_step(indexer, 0, &more, failure);
  gg__indexer_destroy(indexer);
  gg__catalogue_close(catalogue);
  return error;
}
