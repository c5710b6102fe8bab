/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync.c - the thread that makes what was written durable, closes complete files, removes drained rings and keeps the
 * `running` file.
 *
 * A round takes a snapshot under files_lock (duplicates of the descriptors of open files, all complete files, and how
 * far each log was written), and then, without the lock, syncs: so a disk that hangs here stops neither the writer nor
 * the producers. What was written before the snapshot is durable after the round.
 *
 * sync: interval  a round every sync_interval_ns          sync: never  rounds only close files
 * sync: always    a round after each write; while one runs, more writes gather for the next (group commit)
 */
#include "record/log_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct round {
  struct gg__closing closing[GG_FILES_CLOSING_MAX];
  unsigned closing_count;
  bool sync_dir;
  bool failed;
};

static bool sync_file(struct gg_recorder *recorder, struct round *round, int fd, const char *name)
{
  if (recorder->options.sync_mode == GG_SYNC_NEVER)
    return true;
  uint64_t begun_ns = gg_clock_mono_ns();
  if (fdatasync(fd) < 0) {
    round->failed = true;
    gg_error_log(recorder->logger, "recording cannot be synced", GG_S("file", name),
                 GG_S("reason", strerrordesc_np(errno)));
    return false;
  }
  gg__observe(recorder, recorder->sync_shard, GG__METRIC_SYNC_LATENCY, gg_clock_mono_ns() - begun_ns);
  return true;
}

static void sync_directory(struct gg_recorder *recorder, struct round *round)
{
  if (!round->sync_dir || recorder->options.sync_mode == GG_SYNC_NEVER)
    return;
  if (fsync(recorder->segments_fd) < 0) {
    round->failed = true;
    gg_error_log(recorder->logger, "recording cannot be synced", GG_S("file", "segments/"),
                 GG_S("reason", strerrordesc_np(errno)));
  }
}

/* A file that could not be synced stays open, so that nothing counts as durable before it could. At the end, or when
 * the writer needs the places, it is closed all the same; its name stays in `running`. */
static bool keep_for_next_round(struct gg_recorder *recorder, const struct gg__closing *closing)
{
  if (atomic_load(&recorder->sync_phase) == GG__STOPPING)
    return false;
  pthread_mutex_lock(&recorder->files_lock);
  bool room = recorder->closing_count < GG_FILES_CLOSING_MAX / 2;
  if (room)
    recorder->closing[recorder->closing_count++] = *closing;
  pthread_mutex_unlock(&recorder->files_lock);
  return room;
}

static void close_files(struct gg_recorder *recorder, struct round *round)
{
  const struct gg_recorder_ops *ops = recorder->options.ops;
  for (unsigned i = 0; i < round->closing_count; i++) {
    const struct gg__closing *closing = &round->closing[i];
    bool synced = sync_file(recorder, round, closing->fd, closing->name);
    if (!synced && keep_for_next_round(recorder, closing))
      continue;
    if (synced)
      gg__running_segment_remove(recorder, closing->log, closing->name);
    close(closing->fd);
    if (ops && ops->sealed)
      ops->sealed(recorder->options.ops_context, closing->name, closing->bytes);
    gg__sinks_sealed(recorder, &(struct gg_recorder_sealed){.name = closing->name, .bytes = closing->bytes});
    gg__unsealed_remove(recorder, closing->log, closing->number);
  }
}

/* What of one log was written and not yet synced; a duplicate, as the writer may hand the file over meanwhile. */
static struct gg__sync_file snapshot_log(struct gg_log *log, struct round *round)
{
  struct gg__sync_file file = {.fd = -1, .written = atomic_load(&log->written)};
  if (log->file >= 0 && file.written > log->synced && log->recorder->options.sync_mode != GG_SYNC_NEVER) {
    file.fd = fcntl(log->file, F_DUPFD_CLOEXEC, 0);
    if (file.fd < 0)
      round->failed = true; /* out of descriptors: the next round */
  }
  return file;
}

static void publish_durable(struct gg_log *log, uint64_t position)
{
  if (position <= atomic_load_explicit(&log->durable, memory_order_relaxed))
    return;
  atomic_store(&log->durable, position);
  uint64_t want = atomic_load(&log->want_durable);
  if (want != UINT64_MAX && position >= want && atomic_compare_exchange_strong(&log->want_durable, &want, UINT64_MAX))
    gg__log_wake(log);
}

static void take_closing(struct gg_recorder *recorder, struct round *round)
{
  round->closing_count = recorder->closing_count;
  memcpy(round->closing, recorder->closing, recorder->closing_count * sizeof recorder->closing[0]);
  recorder->closing_count = 0;
  round->sync_dir = recorder->segments_dir_changed;
  recorder->segments_dir_changed = false;
}

/* False if something could not be synced. */
static bool run_round(struct gg_recorder *recorder, struct gg__sync_file *files)
{
  struct round round = {0};
  unsigned count = gg__log_count(recorder); /* one that comes meanwhile is in the next round */
  pthread_mutex_lock(&recorder->files_lock);
  take_closing(recorder, &round);
  for (unsigned i = 0; i < count; i++)
    files[i] = snapshot_log(recorder->logs[i], &round);
  pthread_mutex_unlock(&recorder->files_lock);
  if (round.closing_count)
    gg__bell_ring(&recorder->writer_bell); /* it may wait for a place */
  close_files(recorder, &round);
  sync_directory(recorder, &round);
  for (unsigned i = 0; i < count; i++) {
    if (files[i].fd < 0)
      continue;
    (void)sync_file(recorder, &round, files[i].fd, recorder->logs[i]->name);
    close(files[i].fd);
  }
  if (round.failed && round.sync_dir) {
    pthread_mutex_lock(&recorder->files_lock);
    recorder->segments_dir_changed = true;
    pthread_mutex_unlock(&recorder->files_lock);
  }
  if (round.failed || recorder->options.sync_mode == GG_SYNC_NEVER)
    return !round.failed;
  for (unsigned i = 0; i < count; i++) {
    recorder->logs[i]->synced = files[i].written; /* only now: what failed is tried again */
    publish_durable(recorder->logs[i], files[i].written);
  }
  return true;
}

/* From here on nobody begins to read it (log_copy.c), and who did has ended. */
static void hide_from_readers(struct gg_log *log, const struct gg__ring *ring)
{
  pthread_mutex_lock(&log->recorder->readers_lock);
  assert(log->readable == ring);
  log->readable = ring->next;
  pthread_mutex_unlock(&log->recorder->readers_lock);
}

/* Removes rings that are written out. The list is written first: a name in it without a file means a loss. */
static void retire_rings(struct gg_recorder *recorder)
{
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++) {
    struct gg_log *log = recorder->logs[i];
    struct gg__ring *ring = atomic_exchange(&log->drained, NULL);
    if (!ring)
      continue;
    gg__bell_ring(&recorder->writer_bell); /* it may wait for the place */
    gg__running_ring_remove(recorder, log, ring->name);
    gg__running_write(recorder);
    hide_from_readers(log, ring);
    gg__ring_unlink(ring);
    atomic_fetch_sub(&recorder->ring_budget_used, ring->bytes);
    gg__ring_destroy(ring);
    atomic_fetch_sub(&log->rings_alive, 1);
  }
}

static bool nothing_to_close(struct gg_recorder *recorder)
{
  pthread_mutex_lock(&recorder->files_lock);
  bool nothing = recorder->closing_count == 0;
  pthread_mutex_unlock(&recorder->files_lock);
  return nothing;
}

void *gg__sync_main(void *argument)
{
  struct gg_recorder *recorder = argument;
  prctl(PR_SET_NAME, "gg-sync");
  bool always = recorder->options.sync_mode == GG_SYNC_ALWAYS;
  bool failing = false;
  uint64_t due_ns = gg_clock_mono_ns() + recorder->options.sync_interval_ns;
  for (;;) {
    bool stopping = atomic_load(&recorder->sync_phase) == GG__STOPPING;
    retire_rings(recorder);
    if (atomic_load(&recorder->running_stale) && !stopping)
      gg__running_write(recorder); /* before the round syncs the new entries that it names */
    uint64_t now_ns = gg_clock_mono_ns();
    if (always || stopping || now_ns >= due_ns || (!failing && !nothing_to_close(recorder))) {
      failing = !run_round(recorder, recorder->sync_files);
      due_ns = gg_clock_mono_ns() + recorder->options.sync_interval_ns;
    }
    if (stopping && nothing_to_close(recorder))
      break;
    gg__bell_wait(&recorder->sync_bell,
                  always && !failing && !atomic_load(&recorder->running_stale) ? UINT64_MAX : due_ns);
  }
  atomic_store(&recorder->sync_ended, true);
  gg__bell_ring(&recorder->stop_bell);
  return NULL;
}
