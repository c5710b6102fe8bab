/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer_lanes.c - several segments are read at a time, each by a thread, for one that puts what they find.
 *
 *   lane 0   segments 0, 4, 8 ...   ──► at most GG_INDEXER_LANE_BATCHES batches ──┐
 *   lane 1   segments 1, 5, 9 ...   ──► ...                                       ├──► a batch of each, by turns
 *   ...                                                                           ┘
 *
 * A part never leaves its segment, so a lane needs to know nothing of another. What it has for that is an indexer of
 * its own, without a catalogue, which reads as any other does; where that would put a part, it hands it over.
 *
 * Turns are taken by count, not by who is ready: the rows of two catalogues that are made of the same segments are in
 * the same order, whatever the machine is busy with. A lane that is ahead waits, so memory is what is open in as many
 * segments as there are lanes (GG_INDEXER_OPEN_MAX sessions in each, at the most), and the batches.
 *
 * What belongs to a lane: its reader, and of its files what reading changes, until the last batch of a file was taken.
 * Batches are under the lane's lock while they are nobody's: filled by the lane, then waiting, then taken.
 */
#include "store/indexer_private.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct gg__lane {
  struct gg__indexer reader;
  struct gg__lanes *lanes;
  size_t first; /* of its files */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* a batch came or went, or all is over */
  struct gg__lane_batch ring[GG_INDEXER_LANE_BATCHES];
  size_t filling; /* the lane's alone */
  size_t head;    /* the oldest that waits: who takes knows it alone */
  size_t waiting; /* under the lock; less than there are while one is filled */
  bool taken;     /* the oldest is being looked at */
  bool over;      /* nothing more will come */
  int error;      /* why, if it is not the end */
  struct gg_failure failure;
};

struct gg__lanes {
  struct gg__indexed **files; /* borrowed */
  size_t file_count, count, turn;
  atomic_bool stopped;
  atomic_uint_fast64_t bytes;
  struct gg__lane lane[GG_INDEXER_LANES];
};

/* ── A lane's thread ─────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin_batch(struct gg__lane *lane, struct gg__indexed *file)
{
  struct gg__lane_batch *batch = &lane->ring[lane->filling];
  batch->file = file;
  batch->count = batch->put = 0;
  batch->last = false;
}

/* The batch that is filled waits to be taken, and the next one is there to be filled. */
static int pass_on(struct gg__lane *lane)
{
  pthread_mutex_lock(&lane->lock);
  lane->waiting++;
  pthread_cond_signal(&lane->changed);
  while (lane->waiting == GG_INDEXER_LANE_BATCHES && !atomic_load(&lane->lanes->stopped))
    pthread_cond_wait(&lane->changed, &lane->lock);
  bool room = lane->waiting < GG_INDEXER_LANE_BATCHES;
  pthread_mutex_unlock(&lane->lock);
  if (!room)
    return GG_ERR_CLOSED;
  struct gg__indexed *file = lane->ring[lane->filling].file;
  lane->filling = (lane->filling + 1) % GG_INDEXER_LANE_BATCHES;
  begin_batch(lane, file);
  return 0;
}

int gg__lane_put(struct gg__lane *lane, struct gg__opened *opened)
{
  struct gg__lane_batch *batch = &lane->ring[lane->filling];
  batch->parts[batch->count++] = opened;
  return batch->count == GG_INDEXER_BATCH_PARTS ? pass_on(lane) : 0;
}

static int read_file(struct gg__lane *lane, struct gg__indexed *file)
{
  struct gg__indexer *reader = &lane->reader;
  bool end = false;
  int error = 0;
  while (!error && !end && file->scanned < file->bytes) { /* each turn reads some */
    uint64_t before = file->scanned, left = file->bytes - before;
    error = gg__indexer_read_on(reader, file, left < GG_INDEXER_TURN_BYTES ? left : GG_INDEXER_TURN_BYTES, &end);
    atomic_fetch_add(&lane->lanes->bytes, file->scanned - before);
    if (!error && atomic_load(&lane->lanes->stopped))
      error = GG_ERR_CLOSED;
  }
  if (!error)
    error = gg__indexer_end_parts(reader, file->reading);
  if (!error && file->reading)
    gg__reading_close(reader, file->reading);
  if (error) {
    gg__reading_free(reader, file->reading);
    file->reading = NULL;
  }
  return error;
}

static void *run(void *argument)
{
  struct gg__lane *lane = argument;
  struct gg__lanes *lanes = lane->lanes;
  int error = 0;
  for (size_t i = lane->first; i < lanes->file_count && !error; i += GG_INDEXER_LANES) {
    begin_batch(lane, lanes->files[i]);
    error = read_file(lane, lanes->files[i]);
    if (!error) {
      lane->ring[lane->filling].last = true;
      error = pass_on(lane);
    }
  }
  pthread_mutex_lock(&lane->lock);
  lane->over = true;
  lane->error = error;
  pthread_cond_signal(&lane->changed);
  pthread_mutex_unlock(&lane->lock);
  return NULL;
}

/* ── Who takes ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What was taken last is given back. */
static void give_back(struct gg__lane *lane)
{
  if (!lane->taken)
    return;
  pthread_mutex_lock(&lane->lock);
  lane->taken = false;
  lane->head = (lane->head + 1) % GG_INDEXER_LANE_BATCHES;
  lane->waiting--;
  pthread_cond_signal(&lane->changed);
  pthread_mutex_unlock(&lane->lock);
}

/* GG_ERR_AGAIN: nothing has come. */
static int wait_for(struct gg__lane *lane)
{
  struct timespec until;
  int late = 0;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += GG_INDEXER_PATIENCE_MS * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000L;
  until.tv_nsec %= 1000000000L;
  pthread_mutex_lock(&lane->lock);
  while (lane->waiting == 0 && !lane->over && late != ETIMEDOUT)
    late = pthread_cond_timedwait(&lane->changed, &lane->lock, &until);
  bool ready = lane->waiting > 0 || lane->over;
  lane->taken = lane->waiting > 0;
  pthread_mutex_unlock(&lane->lock);
  return ready ? 0 : GG_ERR_AGAIN;
}

int gg__lanes_take(struct gg__lanes *lanes, struct gg__lane_batch **batch, struct gg_failure *failure)
{
  *batch = NULL;
  for (size_t passed = 0; passed < lanes->count;) {
    struct gg__lane *lane = &lanes->lane[lanes->turn];
    give_back(lane);
    int error = wait_for(lane);
    if (error)
      return error;
    if (!lane->taken && lane->error)
      return gg_fail(failure, lane->error, "%s", lane->failure.message);
    if (lane->taken) {
      *batch = &lane->ring[lane->head];
      lanes->turn = (lanes->turn + 1) % lanes->count;
      return 0;
    }
    passed++;
    lanes->turn = (lanes->turn + 1) % lanes->count;
  }
  return 0;
}

uint64_t gg__lanes_bytes(struct gg__lanes *lanes)
{
  return atomic_load(&lanes->bytes);
}

/* ── Its life ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int start_lane(struct gg__lanes *lanes, const struct gg__indexer *indexer)
{
  struct gg__lane *lane = &lanes->lane[lanes->count];
  pthread_condattr_t attributes;
  lane->lanes = lanes;
  lane->first = lanes->count;
  lane->failure = (struct gg_failure)GG_FAILURE_INIT;
  lane->reader.options.store = indexer->options.store;
  lane->reader.place = indexer->place; /* to look at: the paths of segments */
  lane->reader.life = indexer->life;
  lane->reader.failure = &lane->failure;
  lane->reader.lane = lane;
  gg_list_init(&lane->reader.waiting);
  pthread_mutex_init(&lane->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&lane->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  int error = pthread_create(&lane->thread, NULL, run, lane);
  if (error) {
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->lock);
    return error;
  }
  lanes->count++;
  return 0;
}

int gg__lanes_start(struct gg__lanes **out, const struct gg__indexer *indexer, struct gg__indexed **files, size_t count,
                    struct gg_failure *failure)
{
  *out = NULL;
  struct gg__lanes *lanes = calloc(1, sizeof *lanes);
  if (!lanes)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for indexing");
  lanes->files = files;
  lanes->file_count = count;
  sigset_t all, before; /* signals are the program's: none comes here */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = 0;
  while (lanes->count < GG_INDEXER_LANES && lanes->count < count && !error)
    error = start_lane(lanes, indexer);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) {
    struct gg__indexer_stats none = {0};
    gg__lanes_destroy(lanes, &none);
    return gg_fail_errno(failure, error, "cannot start a thread that reads segments");
  }
  *out = lanes;
  return 0;
}

static void destroy_lane(struct gg__lane *lane, struct gg__indexer_stats *stats)
{
  pthread_mutex_lock(&lane->lock);
  pthread_cond_signal(&lane->changed);
  pthread_mutex_unlock(&lane->lock);
  pthread_join(lane->thread, NULL);
  for (size_t i = 0; i <= lane->waiting && i < GG_INDEXER_LANE_BATCHES; i++) { /* the one that was filled, too */
    struct gg__lane_batch *batch = &lane->ring[(lane->head + i) % GG_INDEXER_LANE_BATCHES];
    while (batch->put < batch->count)
      gg__opened_destroy(batch->parts[batch->put++]);
  }
  assert(lane->reader.open_count == 0 && lane->reader.reader_count == 0);
  stats->segments += lane->reader.stats.segments;
  stats->bytes += lane->reader.stats.bytes;
  pthread_cond_destroy(&lane->changed);
  pthread_mutex_destroy(&lane->lock);
}

void gg__lanes_destroy(struct gg__lanes *lanes, struct gg__indexer_stats *stats)
{
  if (!lanes)
    return;
  atomic_store(&lanes->stopped, true);
  for (size_t i = 0; i < lanes->count; i++)
    destroy_lane(&lanes->lane[i], stats);
  free(lanes);
}
