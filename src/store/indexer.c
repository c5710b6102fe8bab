/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step, by what it is made of:
 *
 *   marks   what people have said of sessions since, for the catalogue's copy of it
 *   look    which segments are there, how long they are, which are complete       indexer_files.c
 *   read    each in turn, a bounded share at a time, so that the segment of one log does not starve another's
 *   commit  what was found, with how far each segment is read                     indexer_put.c
 *
 * What is read of a segment is at the most what it had when it was looked at: a step ends, however fast the store
 * grows.
 *
 * Nothing of what is here is kept anywhere but in memory and the catalogue; a kill at any moment leaves a catalogue
 * that ends with a batch, and which segments are to be read again.
 * (Rejected: to keep the open sessions' parts in the catalogue, with their streams and flows, so that a segment is
 * gone on with where it was. It is a second form of all that, to be kept in step with this one, for what reading the
 * headers of one segment of each log costs at a start.)
 */
#include "store/indexer_private.h"

#include "store/marks.h"
#include "store/untold.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int gg__indexer_create(struct gg__indexer **out, struct gg__catalogue *catalogue,
                       const struct gg__indexer_options *options, struct gg_failure *failure)
{
  *out = NULL;
  struct gg__indexer *indexer = calloc(1, sizeof *indexer);
  if (!indexer)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for indexing");
  indexer->catalogue = catalogue;
  indexer->options = *options;
  gg_list_init(&indexer->waiting);
  int error = gg__place_open(&indexer->place, options->store, failure);
  if (!error && !indexer->place.store)
    error = gg_fail(failure, GG_ERR_FORMAT, "%s is no store: only what a gateway records into has a catalogue",
                    options->store);
  if (!error)
    error = gg__indexer_load(indexer, failure);
  if (error) {
    gg__indexer_destroy(indexer);
    return error;
  }
  *out = indexer;
  return 0;
}

void gg__indexer_destroy(struct gg__indexer *indexer)
{
  if (!indexer)
    return;
  for (size_t i = 0; i < indexer->file_count; i++) {
    gg__reading_free(indexer, indexer->files[i]->reading);
    gg__indexed_free(indexer->files[i]);
  }
  assert(gg_list_empty(&indexer->waiting) && indexer->open_count == 0);
  free(indexer->files);
  gg__indexer_rules(indexer, NULL);
  gg__ids_fini(&indexer->gone);
  gg__marks_close(indexer->marks);
  gg__place_fini(&indexer->place);
  free(indexer);
}

void gg__indexer_ended(struct gg__indexer *indexer)
{
  indexer->ended = true;
}

void gg__indexer_stats(const struct gg__indexer *indexer, struct gg__indexer_stats *out)
{
  *out = indexer->stats;
  out->open = indexer->open_count;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A segment whose end cannot be read has none. */
uint64_t gg__indexed_lag(const struct gg__indexed *file)
{
  bool stuck = file->reading && file->reading->stuck;
  return file->complete || stuck || file->bytes <= file->scanned ? 0 : file->bytes - file->scanned;
}

static uint64_t lag(const struct gg__indexer *indexer)
{
  uint64_t bytes = 0;
  for (size_t i = 0; i < indexer->file_count; i++)
    bytes += gg__indexed_lag(indexer->files[i]);
  return bytes;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* One turn of a segment. `*read`: how far it got. */
static int take_turn(struct gg__indexer *indexer, struct gg__indexed *file, uint64_t most, uint64_t *read)
{
  bool end = gg__indexed_lag(file) == 0;
  uint64_t before = file->scanned;
  int error = end ? 0 : gg__indexer_read(indexer, file, most, &end);
  *read = file->scanned - before;
  end |= gg__indexed_lag(file) == 0;
  if (!error && end && !file->complete && file->scanned <= file->bytes && gg__indexer_is_over(indexer, file))
    error = gg__indexer_complete(indexer, file);
  return error;
}

/* All that have something, by turns, until `left` bytes are read. A torn end is no reason to go on. */
static int read_all(struct gg__indexer *indexer, uint64_t left)
{
  for (bool again = true; again && left > 0;) { /* bounded by what there is: each turn but the last reads some */
    again = false;
    for (size_t i = 0; i < indexer->file_count && left > 0; i++) {
      struct gg__indexed *file = indexer->files[i];
      uint64_t read = 0, share = least_of(GG_INDEXER_TURN_BYTES, left);
      if (file->complete)
        continue;
      int error = take_turn(indexer, file, share, &read);
      if (error)
        return error;
      again |= read > 0 && gg__indexed_lag(file) > 0;
      left -= least_of(read, left);
    }
  }
  return 0;
}

bool gg__indexer_tell(struct gg__indexer *indexer)
{
  uint64_t total = indexer->total > indexer->done ? indexer->total : indexer->done;
  return !indexer->options.progress || indexer->options.progress(indexer->options.context, indexer->done, total);
}

/* ── Marks ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int mark_one(void *context, const struct gg__mark *mark)
{
  struct gg__indexer *indexer = context;
  int error = gg__indexer_begin(indexer);
  if (!error)
    error = gg__catalogue_mark_all(indexer->catalogue, mark, indexer->failure);
  indexer->stats.marked++;
  return error;
}

static void mark_changed(void *context, const struct gg__mark *mark)
{
  struct gg__indexer *indexer = context;
  if (!indexer->marks_error)
    indexer->marks_error = mark_one(indexer, mark);
}

/* The catalogue is not written while they are found. */
static int keep_id(void *context, const char *id)
{
  return gg__ids_add(context, id);
}

/* What was said while nobody indexed; the position is how far the catalogue has heard of this journal. */
static int take_untold(struct gg__indexer *indexer)
{
  struct gg__ids ids = {0};
  bool noted;
  int error = gg__untold_each(indexer->marks, indexer->catalogue, keep_id, &ids, indexer->failure);
  for (size_t i = 0; i < ids.count && !error; i++) {
    struct gg__mark nothing = {.id = ""};
    const struct gg__mark *mark = gg__marks_find(indexer->marks, ids.ids[i]);
    memcpy(nothing.id, ids.ids[i], sizeof nothing.id);
    error = mark_one(indexer, mark ? mark : &nothing);
  }
  gg__ids_fini(&ids);
  return error ? error : gg__catalogue_journal(indexer->catalogue, &indexer->told, &noted, indexer->failure);
}

static int note_position(struct gg__indexer *indexer)
{
  struct gg__marks_position now;
  if (gg__marks_is_at(indexer->marks, &indexer->told) || !gg__marks_position(indexer->marks, &now))
    return 0;
  int error = gg__indexer_begin(indexer);
  if (!error)
    error = gg__catalogue_put_journal(indexer->catalogue, &now, indexer->failure);
  if (!error)
    indexer->told = now;
  return error;
}

int gg__indexer_take_marks(struct gg__indexer *indexer)
{
  int error;
  indexer->heard = true;
  if (indexer->marks) {
    error = gg__marks_refresh(indexer->marks, NULL, mark_changed, indexer, indexer->failure);
    error = error ? error : indexer->marks_error;
  } else {
    error = gg__marks_open(&indexer->marks, indexer->options.store, indexer->failure);
    if (!error && indexer->options.marks_max > 0)
      gg__marks_bound(indexer->marks, indexer->options.marks_max);
    error = error ? error : take_untold(indexer);
  }
  return error ? error : note_position(indexer);
}

/* ── Steps ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__indexer_told(const struct gg__indexer *indexer, int error, struct gg_failure *failure)
{
  switch (error) {
  case 0:
    return 0;
  case GG_ERR_NOMEM:
    return gg_fail(failure, error, "no memory for indexing %s", indexer->options.store);
  default:
    return gg_fail(failure, error, "cannot index %s: %s", indexer->options.store, indexer->failure->message);
  }
}

int gg__indexer_step(struct gg__indexer *indexer, uint64_t bytes, bool *more, struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  indexer->failure = failure ? failure : &own;
  indexer->step++;
  int error = gg__indexer_take_marks(indexer);
  indexer->heard = false;
  if (!error)
    error = gg__indexer_look(indexer, indexer->failure);
  uint64_t behind = lag(indexer);
  if (indexer->step == 1)
    indexer->stats.behind = behind;
  indexer->total = indexer->done + behind;
  if (!error)
    error = read_all(indexer, bytes ? bytes : UINT64_MAX);
  if (!error)
    error = gg__indexer_commit(indexer);
  indexer->stats.lag_bytes = lag(indexer);
  *more = !error && indexer->stats.lag_bytes > 0 && behind > indexer->stats.lag_bytes;
  return gg__indexer_told(indexer, error, failure);
}

int gg__indexer_hear(struct gg__indexer *indexer, struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  indexer->failure = failure ? failure : &own;
  int error = gg__indexer_take_marks(indexer);
  return error ? error : gg__indexer_commit(indexer);
}
