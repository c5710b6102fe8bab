/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.c - the thread that writes the rings to the segment files.
 *
 * It goes round the logs and makes one write for each that has something sealed; when none has, it sleeps on its bell.
 * A write begins and ends where records end (a seal's boundary), so a reader of an open segment sees whole blocks only.
 *
 * For each log, in this order of what has to be done at position `written`:
 *
 *    the oldest ring ends here     -> `drained` (the sync thread removes it), go on in the next one
 *    the open segment ends here    -> sinks are told, the file goes to the sync thread (fdatasync, close, ops->sealed)
 *    something is sealed           -> make the segment's file if none is open, write to the next boundary, then give
 *                                     the same bytes to the sinks (sink.c)
 *
 * A disk that refuses (full, quota, input/output error) loses nothing: a higher room is asked for space; where that has
 * some, the same bytes are tried again every GG_ROOM_RETRY_NS, else the log is marked, and they are every
 * GG_DISK_RETRY_NS. The bytes stay in the ring, the ring fills, and the
 * producer meets the policy of its listener. A sink that refuses is the same, but for the file, which has the bytes.
 */
#include "record/log_private.h"
#include "record/sink.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { WRITE_BYTES_MAX = 1 << 20 }; /* beyond one boundary: longer writes only make the producer wait for room */

static void report_refusal(struct gg_log *log, int error, uint64_t bytes)
{
  struct gg_recorder *recorder = log->recorder;
  gg__count(recorder, recorder->writer_shard, GG__METRIC_WRITE_ERRORS, 1);
  if (log->refusals++ == 0 || log->last_errno != error) {
    gg_error_log(recorder->logger, "recording cannot be written, trying again", GG_S("log", log->name),
                 GG_S("reason", strerrordesc_np(error)), GG_U("waiting_bytes", bytes));
    log->last_errno = error;
  }
}

/* Marks the log, and sets the time of the next try. */
static void refused(struct gg_log *log, bool by_sink)
{
  struct gg_recorder *recorder = log->recorder;
  atomic_store_explicit(&log->sink_refuses, by_sink, memory_order_relaxed);
  log->retry_at_ns = gg_clock_mono_ns() + GG_DISK_RETRY_NS;
  if (!atomic_exchange(&log->disk_full, true)) {
    gg__count(recorder, recorder->writer_shard, GG__METRIC_DISK_FULL, 1);
    if (atomic_load(&log->wake_at) != UINT64_MAX)
      gg__log_wake(log); /* a stalled producer now goes by on_full */
  }
}

/* A sink did not take everything, and has told. */
static void refused_by_sink(struct gg_log *log)
{
  log->refusals++;
  refused(log, true);
}

/* Whether somebody makes room for so many bytes now. */
static bool room_is_made(const struct gg_recorder *recorder, int error, uint64_t bytes)
{
  const struct gg_recorder_ops *ops = recorder->options.ops;
  bool full = error == ENOSPC || error == EDQUOT;
  return full && ops && ops->make_room && ops->make_room(recorder->options.ops_context, bytes) == 0;
}

/* The disk took nothing: room is asked for. */
static void refused_by_disk(struct gg_log *log, int error)
{
  struct gg_recorder *recorder = log->recorder;
  uint64_t waiting = atomic_load(&log->sealed) - atomic_load(&log->written);
  if (room_is_made(recorder, error, waiting)) {
    gg__count(recorder, recorder->writer_shard, GG__METRIC_WRITE_ERRORS, 1);
    log->retry_at_ns = gg_clock_mono_ns() + GG_ROOM_RETRY_NS;
    return;
  }
  report_refusal(log, error, waiting);
  refused(log, false);
}

static void taken_by_disk(struct gg_log *log)
{
  struct gg_recorder *recorder = log->recorder;
  log->retry_at_ns = 0;
  if (!atomic_exchange(&log->disk_full, false))
    return;
  if (recorder->writer_shard)
    gg_shard_sub(recorder->writer_shard, recorder->metrics_first + GG__METRIC_DISK_FULL, 1);
  gg_info(recorder->logger, "recording is written again, nothing was lost", GG_S("log", log->name),
          GG_U("refusals", log->refusals));
  log->refusals = 0;
}

/* Leaves rings that are completely written. False if the sync thread has not yet taken the last one. */
static bool leave_drained_rings(struct gg_log *log, uint64_t written)
{
  while (written >= atomic_load_explicit(&log->oldest->end, memory_order_acquire)) {
    struct gg__ring *expected = NULL;
    struct gg__ring *next = log->oldest->next;
    if (!atomic_compare_exchange_strong(&log->drained, &expected, log->oldest))
      return false; /* the sync thread has one already; it rings our bell when it has taken it */
    log->oldest = next;
    gg__bell_ring(&log->recorder->sync_bell);
  }
  return true;
}

static struct gg__segment *current_segment(struct gg_log *log)
{
  uint64_t number = atomic_load_explicit(&log->segments_done, memory_order_relaxed) + 1;
  return &log->segments[number % GG_RING_SEGMENTS_MAX];
}

/* Hands a complete file over to the sync thread. False if that has no place for it yet. */
static bool close_segment(struct gg_log *log, uint64_t end)
{
  struct gg_recorder *recorder = log->recorder;
  uint64_t number = atomic_load_explicit(&log->segments_done, memory_order_relaxed) + 1;
  pthread_mutex_lock(&recorder->files_lock);
  bool room = recorder->closing_count < GG_FILES_CLOSING_MAX;
  if (room) {
    struct gg__closing *closing = &recorder->closing[recorder->closing_count++];
    closing->fd = log->file;
    closing->log = log;
    closing->number = number;
    gg__unsealed_add(recorder, log, number);
    closing->bytes = end - log->file_start;
    memcpy(closing->name, log->file_name, sizeof closing->name);
    log->file = -1;
    log->file_name[0] = '\0';
  }
  pthread_mutex_unlock(&recorder->files_lock);
  if (room)
    atomic_fetch_add(&log->segments_done, 1);
  gg__bell_ring(&recorder->sync_bell);
  return room;
}

static int open_segment(struct gg_log *log, const struct gg__segment *segment)
{
  struct gg_recorder *recorder = log->recorder;
  int fd = gg__segment_create(recorder->segments_fd, segment->name, &log->direct);
  if (fd < 0)
    return errno;
  pthread_mutex_lock(&recorder->files_lock);
  log->file = fd;
  log->file_start = segment->start;
  memcpy(log->file_name, segment->name, sizeof log->file_name);
  recorder->segments_dir_changed = true;
  pthread_mutex_unlock(&recorder->files_lock);
  gg__running_segment_add(recorder, log, segment->name);
  gg__count(recorder, recorder->writer_shard, GG__METRIC_SEGMENTS, 1);
  return 0;
}

/* The end of the next write: the last boundary within WRITE_BYTES_MAX, or else the first one. */
static uint64_t next_boundary(struct gg_log *log, uint64_t written, uint64_t sealed)
{
  uint64_t tail = atomic_load_explicit(&log->boundaries_tail, memory_order_relaxed);
  uint64_t head = atomic_load_explicit(&log->boundaries_head, memory_order_acquire);
  uint64_t best = 0;
  while (tail < head) {
    uint64_t boundary = atomic_load_explicit(&log->boundaries[tail % GG__BOUNDARIES_MAX], memory_order_relaxed);
    if (boundary > sealed || (best && boundary > written + WRITE_BYTES_MAX))
      break;
    if (boundary > written)
      best = boundary;
    tail++;
  }
  /* The one that was chosen stays in the table until it is written, in case the disk refuses it. */
  uint64_t keep = best ? tail - 1 : tail;
  atomic_store_explicit(&log->boundaries_tail, keep, memory_order_release);
  return best ? best : sealed;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static void publish_written(struct gg_log *log, uint64_t written)
{
  atomic_store_explicit(&log->oldest->header->written, written, memory_order_release);
  atomic_store(&log->written, written);
}

/* To the next boundary. False: the disk refuses. */
static bool write_file(struct gg_log *log, const struct gg__segment *segment, uint64_t written, uint64_t sealed)
{
  struct gg_recorder *recorder = log->recorder;
  uint64_t to = next_boundary(log, written, sealed);
  uint64_t segment_end = atomic_load_explicit(&segment->end, memory_order_acquire);
  if (segment_end)
    to = least_of(to, segment_end);
  to = least_of(to, atomic_load_explicit(&log->oldest->end, memory_order_acquire));
  assert(to > written && to % GG__PAGE_BYTES == 0 && written % GG__PAGE_BYTES == 0 && written >= segment->start);
  const uint8_t *from = log->oldest->data + (written & (log->oldest->bytes - 1));
  uint64_t offset = written - segment->start;
  uint64_t begun_ns = gg_clock_mono_ns();
  size_t done;
  bool was_direct = log->direct;
  int error = gg__segment_write(log->file, &log->direct, from, (size_t)(to - written), offset, &done);
  if (was_direct && !log->direct)
    gg_warn(recorder->logger, "the file system refuses direct writes, using the page cache", GG_S("log", log->name));
  if (error) {
    if (done && ftruncate(log->file, (off_t)offset) < 0) /* readers see whole blocks; if not, the retry mends it */
      report_refusal(log, errno, 0);
    refused_by_disk(log, error);
    return false;
  }
  gg__observe(recorder, recorder->writer_shard, GG__METRIC_WRITE_LATENCY, gg_clock_mono_ns() - begun_ns);
  gg__count(recorder, recorder->writer_shard, GG__METRIC_FLUSHES, 1);
  gg__count(recorder, recorder->writer_shard, GG__METRIC_WRITTEN, to - written);
  log->filed = to;
  const struct gg_recorder_ops *ops = recorder->options.ops;
  if (ops && ops->written)
    ops->written(recorder->options.ops_context,
                 &(struct gg_recorder_block){
                   .segment = segment->name, .offset = offset, .bytes = from, .length = (size_t)(to - written)});
  return true;
}

/* The file first, then the sinks. What the file has already is not written again. */
static void write_once(struct gg_log *log, const struct gg__segment *segment, uint64_t written, uint64_t sealed)
{
  struct gg_recorder *recorder = log->recorder;
  if (log->filed <= written && !write_file(log, segment, written, sealed))
    return;
  uint64_t to = log->filed;
  if (!gg__sinks_take(log, segment, written, to)) {
    refused_by_sink(log);
    return;
  }
  publish_written(log, to);
  taken_by_disk(log);
  if (recorder->options.sync_mode == GG_SYNC_ALWAYS)
    gg__bell_ring(&recorder->sync_bell);
}

/* The writer has no more time than until now. */
static bool time_is_over(const struct gg_recorder *recorder, uint64_t now_ns)
{
  return atomic_load(&recorder->writer_phase) == GG__STOPPING && now_ns >= atomic_load(&recorder->stop_deadline_ns);
}

/* The file is complete, and sinks hear of it; one that does not want to will be told of the sealed file at the least.
 * True if it was closed. */
static bool end_segment(struct gg_log *log, const struct gg__segment *segment, uint64_t end, uint64_t now_ns)
{
  if (gg__sinks_end(log, segment, end))
    taken_by_disk(log);
  else
    refused_by_sink(log);
  bool closed = (log->retry_at_ns == 0 || time_is_over(log->recorder, now_ns)) && close_segment(log, end);
  gg__log_wake_if_room(log);
  return closed;
}

/* One step for one log. True if it got further. */
static bool serve(struct gg_log *log, uint64_t now_ns)
{
  if (atomic_load_explicit(&log->handed_over, memory_order_acquire) && !log->finish_sealed)
    log->finish_sealed = gg__log_finish_step(log);
  if (log->retry_at_ns > now_ns && !time_is_over(log->recorder, now_ns))
    return false;
  uint64_t written = atomic_load_explicit(&log->written, memory_order_relaxed);
  uint64_t sealed = atomic_load(&log->sealed);
  if (!leave_drained_rings(log, written))
    return false;
  struct gg__segment *segment = current_segment(log);
  if (log->file >= 0) {
    uint64_t end = atomic_load_explicit(&segment->end, memory_order_acquire);
    if (end && written >= end)
      return end_segment(log, segment, end, now_ns);
  }
  bool worked = false;
  if (written < sealed) {
    int error = log->file < 0 ? open_segment(log, segment) : 0;
    if (error)
      refused_by_disk(log, error);
    else
      write_once(log, segment, written, sealed);
    worked = atomic_load_explicit(&log->written, memory_order_relaxed) > written;
  }
  gg__log_wake_if_room(log);
  return worked;
}

static bool log_is_done(const struct gg_log *log)
{
  return log->finish_sealed && atomic_load(&log->written) == atomic_load(&log->sealed) && log->file < 0;
}

static bool all_done(const struct gg_recorder *recorder)
{
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
    if (!log_is_done(recorder->logs[i]))
      return false;
  return true;
}

static uint64_t sleep_until(const struct gg_recorder *recorder, uint64_t now_ns)
{
  uint64_t until = UINT64_MAX;
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++) {
    const struct gg_log *log = recorder->logs[i];
    if (log->retry_at_ns)
      until = least_of(until, log->retry_at_ns);
  }
  bool stopping = atomic_load(&recorder->writer_phase) == GG__STOPPING;
  return stopping ? least_of(until, now_ns + GG_DISK_RETRY_NS) : until;
}

void *gg__writer_main(void *argument)
{
  struct gg_recorder *recorder = argument;
  prctl(PR_SET_NAME, "gg-writer");
  for (;;) {
    uint64_t now_ns = gg_clock_mono_ns();
    bool worked = false;
    for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
      worked |= serve(recorder->logs[i], now_ns);
    if (worked)
      continue;
    if (time_is_over(recorder, now_ns) || (atomic_load(&recorder->writer_phase) == GG__STOPPING && all_done(recorder)))
      break;
    gg__bell_wait(&recorder->writer_bell, sleep_until(recorder, now_ns));
  }
  atomic_store(&recorder->writer_ended, true);
  gg__bell_ring(&recorder->stop_bell);
  return NULL;
}
