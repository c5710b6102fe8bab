/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer_build.c - all segments that are complete into a catalogue that has nothing yet.
 *
 * It is what steps would do, without what only a reader needs who comes in between: a batch is of no one moment, a
 * session is put when its part ends and not before, and the catalogue is not asked what it has of it. Segments are read
 * by lanes (indexer_lanes.c), and this thread puts what they find.
 *
 *   lanes ──► parts, by turns ──► rows ──► gg__catalogue_built ──► steps, for segments that grow
 */
#include "store/indexer_private.h"

#include <assert.h>
#include <stdlib.h>

/* What the passes over a session take, next to reading a byte of a segment: for those who look at progress. */
enum { PASSES_BYTES = 1024 };

struct building {
  struct gg__indexer *indexer;
  struct gg__indexed **files;
  size_t count;
  uint64_t bytes; /* of them */
};

/* ── Progress ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* While segments are read, how many sessions the others have is only known as far as all are alike. */
static void note_read(const struct building *building, uint64_t done)
{
  struct gg__indexer *indexer = building->indexer;
  double sessions = done > 0 ? (double)indexer->stats.sessions * (double)building->bytes / (double)done : 0;
  indexer->done = done;
  indexer->total = building->bytes + (uint64_t)(sessions * PASSES_BYTES);
}

static bool tell_pass(void *context, unsigned pass, unsigned passes)
{
  const struct building *building = context;
  struct gg__indexer *indexer = building->indexer;
  uint64_t all = indexer->stats.sessions * PASSES_BYTES;
  indexer->done = building->bytes + all / passes * pass;
  indexer->total = building->bytes + all;
  return gg__indexer_tell(indexer);
}

/* ── Building ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int renew(void *context, struct gg__record *record)
{
  const struct building *building = context;
  return gg__indexer_renew(building->indexer, record);
}

/* Those that are complete, and in the catalogue from here on: parts may name them. */
static int choose(struct building *building)
{
  struct gg__indexer *indexer = building->indexer;
  building->files = calloc(indexer->file_count + 1, sizeof(struct gg__indexed *));
  int error = building->files ? 0 : GG_ERR_NOMEM;
  for (size_t i = 0; i < indexer->file_count && !error; i++) {
    struct gg__indexed *file = indexer->files[i];
    if (file->bytes == 0 || !gg__indexer_is_over(indexer, file))
      continue;
    error = gg__indexer_touch(indexer, file);
    building->files[building->count++] = file;
    building->bytes += file->bytes;
  }
  return error;
}

static int put_batch(struct building *building, struct gg__lane_batch *batch)
{
  struct gg__indexer *indexer = building->indexer;
  int error = 0;
  while (batch->put < batch->count && !error) {
    struct gg__opened *opened = batch->parts[batch->put++];
    error = gg__indexer_put(indexer, opened);
    gg__opened_destroy(opened);
  }
  if (!error && batch->last)
    error = gg__indexer_complete(indexer, batch->file);
  return !error && gg__indexer_is_full(indexer) ? gg__indexer_commit(indexer) : error;
}

static int read_all(struct building *building)
{
  struct gg__indexer *indexer = building->indexer;
  struct gg__lanes *lanes = NULL;
  struct gg__lane_batch *batch = NULL;
  bool over = false;
  int error = gg__lanes_start(&lanes, indexer, building->files, building->count, indexer->failure);
  while (!error && !over) {
    error = gg__lanes_take(lanes, &batch, indexer->failure);
    over = !error && !batch;
    note_read(building, gg__lanes_bytes(lanes));
    if (error == GG_ERR_AGAIN)
      error = gg__indexer_tell(indexer) ? 0 : gg_fail(indexer->failure, GG_ERR_CLOSED, "indexing was given up");
    else if (!error && batch)
      error = put_batch(building, batch);
  }
  gg__lanes_destroy(lanes, &indexer->stats);
  return error ? error : gg__indexer_commit(indexer);
}

static int build(struct building *building)
{
  const struct gg__catalogue_building passes = {renew, tell_pass, building};
  struct gg__indexer *indexer = building->indexer;
  indexer->building = true;
  int error = gg__indexer_look(indexer, indexer->failure);
  if (!error)
    error = gg__indexer_take_marks(indexer);
  if (!error)
    error = choose(building);
  if (!error)
    error = read_all(building);
  if (!error)
    error = gg__catalogue_built(indexer->catalogue, &passes, indexer->failure);
  indexer->building = false;
  return error;
}

int gg__indexer_build(struct gg__indexer *indexer, struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  struct building building = {.indexer = indexer};
  assert(!indexer->rules && indexer->step == 0);
  indexer->failure = failure ? failure : &own;
  int error = build(&building);
  free(building.files);
  return gg__indexer_told(indexer, error, failure);
}
