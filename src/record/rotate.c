/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate.c - ending every log's segment because somebody asked for it.
 *
 *   any thread     rotate_wanted + 1, wakes every producer
 *   producer       in its next tick: ends the segment, notes its number, rotations = what was wanted
 *   writer         writes up to its end, hands the file over: an entry in `unsealed`, segments_done
 *   sync thread    syncs, closes, tells ops->sealed: the entry goes
 *   any thread     rotated: each log has done it, and its segment and all before it are through all of that
 *
 * A producer that has segments waiting for a disk that takes nothing puts the rotation off: the table of segments is
 * small, and filling it with short ones would hold traffic back before the ring is full. Requests that come meanwhile
 * are one rotation then. A log that no producer has taken up yet has nothing to rotate, and nobody who would.
 */
#include "record/log_private.h"

#include <assert.h>

void gg_recorder_rotate(struct gg_recorder *recorder)
{
  atomic_fetch_add(&recorder->rotate_wanted, 1);
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
    gg__log_wake(recorder->logs[i]);
}

/* Under files_lock. */
void gg__unsealed_add(struct gg_recorder *recorder, const struct gg_log *log, uint64_t number)
{
  assert(recorder->unsealed_count < GG__UNSEALED_MAX);
  recorder->unsealed[recorder->unsealed_count++] = (struct gg__unsealed){.log = log, .number = number};
}

void gg__unsealed_remove(struct gg_recorder *recorder, const struct gg_log *log, uint64_t number)
{
  pthread_mutex_lock(&recorder->files_lock);
  for (unsigned i = 0; i < recorder->unsealed_count; i++) {
    const struct gg__unsealed *entry = &recorder->unsealed[i];
    if (entry->log != log || entry->number != number)
      continue;
    recorder->unsealed[i] = recorder->unsealed[--recorder->unsealed_count];
    break;
  }
  pthread_mutex_unlock(&recorder->files_lock);
}

static bool log_is_rotated(const struct gg_recorder *recorder, const struct gg_log *log, uint64_t wanted)
{
  if (gg__log_untouched(log))
    return true;
  if (atomic_load(&log->rotations) < wanted)
    return false;
  uint64_t last = atomic_load(&log->rotated_segment);
  if (atomic_load(&log->segments_done) < last)
    return false;
  for (unsigned i = 0; i < recorder->unsealed_count; i++)
    if (recorder->unsealed[i].log == log && recorder->unsealed[i].number <= last)
      return false;
  return true;
}

bool gg_recorder_rotated(const struct gg_recorder *recorder)
{
  pthread_mutex_t *lock = (pthread_mutex_t *)&recorder->files_lock; /* what is told does not change by it */
  uint64_t wanted = atomic_load(&recorder->rotate_wanted);
  bool rotated = true;
  pthread_mutex_lock(lock);
  for (unsigned i = 0, count = gg__log_count(recorder); i < count && rotated; i++)
    rotated = log_is_rotated(recorder, recorder->logs[i], wanted);
  pthread_mutex_unlock(lock);
  return rotated;
}
