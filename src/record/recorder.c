/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recorder.c - a store opened for writing: opening, adding logs, starting and stopping the threads.
 *
 * Logs are added on the engine's thread, also while everything runs (a reload brought a policy), and none is ever
 * removed before the end. So the table needs no lock: the place is filled first, then log_count is raised with release,
 * and everybody else takes log_count with acquire and goes that far.
 *
 * Stopping goes against the stream, so that nobody waits for one that has ended: the provisioner (no new rings), the
 * writer (writes what is left), the sync thread (syncs and closes), and then the rings and the `running` file are
 * removed. A thread that does not end by the deadline hangs in the disk; then nothing can be freed (`abandoned`), and
 * the rings stay for the next start.
 */
#include "record/log_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order of enum gg__metric. */
static const struct gg_metric_def METRICS[] = {
  {"log_fill_bytes", GG_METRIC_GAUGE, "Bytes in the recording logs that are not in files yet."},
  {"log_ring_bytes", GG_METRIC_GAUGE, "Bytes of the rings that records are being added to."},
  {"log_disk_full", GG_METRIC_GAUGE, "Logs whose disk, or required sink, is full or failing now."},
  {"log_stalls", GG_METRIC_COUNTER, "Times a log had no room for a record."},
  {"log_grows", GG_METRIC_COUNTER, "Rings that were made while running."},
  {"log_grow_refusals", GG_METRIC_COUNTER, "Rings that could not be made (log_max or a full tmpfs)."},
  {"log_flushes", GG_METRIC_COUNTER, "Writes to segment files."},
  {"log_written_bytes", GG_METRIC_COUNTER, "Bytes written to segment files."},
  {"log_padding_bytes", GG_METRIC_COUNTER, "Of them, statistics blocks that fill pages."},
  {"log_segments_opened", GG_METRIC_COUNTER, "Segment files that were made."},
  {"log_gap_bytes", GG_METRIC_COUNTER, "Bytes that went on without being recorded."},
  {"log_sessions_lost", GG_METRIC_COUNTER, "Sessions of which nothing could be recorded."},
  {"log_write_errors", GG_METRIC_COUNTER, "Writes that the disk refused; each is tried again."},
  {"log_write_latency_ns", GG_METRIC_HISTOGRAM, "How long a write to a segment file took."},
  {"log_sync_latency_ns", GG_METRIC_HISTOGRAM, "How long making a segment file durable took."},
};
_Static_assert(sizeof METRICS / sizeof METRICS[0] == GG__METRIC_WRITE_LATENCY + 2, "table and enumeration agree");

static uint64_t power_of_two_at_least(uint64_t n)
{
  uint64_t power = GG_RING_BYTES_MIN;
  while (power < n && power < GG_RING_BYTES_MAX)
    power *= 2;
  return power;
}

static int check_options(struct gg_recorder *recorder, const struct gg_recorder_options *options,
                         struct gg_failure *failure)
{
  if (options->size != sizeof *options)
    return gg_fail(failure, GG_ERR_INVALID, "gg_recorder_options.size is %zu, not %zu", options->size, sizeof *options);
  if (!options->dir || !*options->dir)
    return gg_fail(failure, GG_ERR_INVALID, "no directory was given for the store");
  if (options->ring_dir && strchr(options->ring_dir, '\n'))
    return gg_fail(failure, GG_ERR_INVALID, "a newline in the ring directory's name");
  if (options->logs_max > GG_LOGS_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "%u logs, but at most %d are possible", options->logs_max, GG_LOGS_MAX);
  if (options->ring_bytes > GG_RING_BYTES_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "a ring of %" PRIu64 " bytes, but at most %d are possible",
                   options->ring_bytes, GG_RING_BYTES_MAX);
  uint64_t share = options->log_max_bytes / (options->logs_max > 0 ? options->logs_max : 1);
  if (share < GG_RING_BYTES_MIN)
    return gg_fail(failure, GG_ERR_RANGE, "log_max of %" PRIu64 " bytes is too small for %u logs of %d bytes or more",
                   options->log_max_bytes, options->logs_max, GG_RING_BYTES_MIN);
  recorder->initial_bytes = power_of_two_at_least(options->ring_bytes);
  while (recorder->initial_bytes > share)
    recorder->initial_bytes /= 2;
  return 0;
}

static void set_defaults(struct gg_recorder_options *options)
{
  if (options->segment_max_bytes < GG_RING_BYTES_MIN / 4)
    options->segment_max_bytes = GG_RING_BYTES_MIN / 4;
  if (options->flush_interval_ns == 0)
    options->flush_interval_ns = GG_NS_PER_S;
  if (options->sync_interval_ns == 0)
    options->sync_interval_ns = GG_NS_PER_S;
}

static void close_if_open(int fd)
{
  if (fd >= 0)
    close(fd);
}

/* What was left by those who live no more. Beside one that lives, a disk that refuses is no reason to fail: it stays
 * where it is, for the next one. */
static int recover(struct gg_recorder *recorder, struct gg_recovery *recovery, struct gg_failure *failure)
{
  if (recorder->options.lock_fd < 0)
    return gg__recover(recorder, recovery, failure);
  struct gg_failure refused = GG_FAILURE_INIT;
  if (gg__recover_ended(recorder, 0, recovery, &refused) != 0)
    gg_warn(recorder->logger, "what a killed process left could not be recovered now, the next start tries again",
            GG_S("reason", refused.message));
  return 0;
}

static int prepare(struct gg_recorder *recorder, const struct gg_recorder_options *options,
                   struct gg_recovery *recovery, struct gg_failure *failure)
{
  recorder->dir = strdup(options->dir);
  recorder->ring_dir = strdup(options->ring_dir ? options->ring_dir : "/dev/shm");
  if (!recorder->dir || !recorder->ring_dir)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the recorder");
  int error = gg__store_open(recorder, failure);
  if (error)
    return error;
  recorder->ring_dir_fd = open(recorder->ring_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (recorder->ring_dir_fd < 0)
    return gg_fail_errno(failure, errno, "opening the ring directory %s", recorder->ring_dir);
  error = recover(recorder, recovery, failure);
  if (!error)
    error = gg__process_number(recorder, failure);
  if (error)
    return error;
  error = gg__segment_newest(recorder);
  if (error)
    return gg_fail_errno(failure, error, "reading %s/segments", recorder->dir);
  if (options->metrics)
    error =
      gg_metrics_register(options->metrics, METRICS, sizeof METRICS / sizeof METRICS[0], &recorder->metrics_first);
  return error ? gg_fail(failure, error, "registering the log's metrics") : 0;
}

int gg_recorder_open(struct gg_recorder **out, const struct gg_recorder_options *options, struct gg_recovery *recovery,
                     struct gg_failure *failure)
{
  struct gg_recovery unasked;
  recovery = recovery ? recovery : &unasked;
  memset(recovery, 0, sizeof *recovery);
  int lock_fd = options->size == sizeof *options ? options->lock_fd : -1; /* ours from here on */
  struct gg_recorder *recorder = calloc(1, sizeof *recorder);
  if (!recorder) {
    close_if_open(lock_fd);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the recorder");
  }
  recorder->dir_fd = recorder->segments_fd = recorder->ring_dir_fd = recorder->process_fd = -1;
  recorder->lock_fd = lock_fd;
  pthread_mutex_init(&recorder->files_lock, NULL);
  pthread_mutex_init(&recorder->running_lock, NULL);
  pthread_mutex_init(&recorder->readers_lock, NULL);
  pthread_mutex_init(&recorder->sinks_lock, NULL);
  int error = check_options(recorder, options, failure);
  if (!error) {
    recorder->options = *options;
    set_defaults(&recorder->options);
    recorder->logger = options->logger;
    atomic_store(&recorder->ring_budget_used, recorder->initial_bytes * options->logs_max);
    error = prepare(recorder, options, recovery, failure);
  }
  if (error) {
    gg_recorder_destroy(recorder);
    return error;
  }
  *out = recorder;
  return 0;
}

const char *gg_recorder_uuid(const struct gg_recorder *recorder)
{
  return recorder->uuid;
}

int gg_recorder_lock_fd(const struct gg_recorder *recorder)
{
  return recorder->lock_fd;
}

int gg_recorder_sibling_ended(struct gg_recorder *recorder, long pid, struct gg_recovery *recovery,
                              struct gg_failure *failure)
{
  struct gg_recovery unasked;
  recovery = recovery ? recovery : &unasked;
  memset(recovery, 0, sizeof *recovery);
  if (!recorder->started || pid <= 0)
    return gg_fail(failure, GG_ERR_INVALID, "no process of that number can have ended");
  int error = gg__recover_ended(recorder, pid, recovery, failure);
  if (gg__process_is_alone(recorder))
    gg__store_began_here(recorder);
  return error;
}

static bool log_name_valid(const char *name)
{
  size_t length = strnlen(name, GG__LOG_NAME_MAX);
  if (length == 0 || length >= GG__LOG_NAME_MAX)
    return false;
  return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == length;
}

/* A hyphen and digits at the end are how the logs of a second process differ from those of the first. */
static bool ends_like_a_process(const char *name)
{
  size_t length = strlen(name), digits = 0;
  while (digits < length && name[length - 1 - digits] >= '0' && name[length - 1 - digits] <= '9')
    digits++;
  return digits > 0 && digits < length && name[length - 1 - digits] == '-';
}

/* The log's name among those of all processes on this store (process.c). */
static int full_name(const struct gg_recorder *recorder, const char *name, char full[GG__LOG_NAME_MAX],
                     struct gg_failure *failure)
{
  if (!log_name_valid(name) || ends_like_a_process(name))
    return gg_fail(failure, GG_ERR_INVALID,
                   "a log's name has 1 to %d letters, digits, - and _, and no number after a -", GG__LOG_NAME_MAX - 1);
  int length = recorder->process == 1 ? snprintf(full, GG__LOG_NAME_MAX, "%s", name)
                                      : snprintf(full, GG__LOG_NAME_MAX, "%s-%u", name, recorder->process);
  if (length >= GG__LOG_NAME_MAX)
    return gg_fail(failure, GG_ERR_INVALID, "the name of log %s is too long with the number of this process", name);
  return 0;
}

static bool name_is_taken(const struct gg_recorder *recorder, const char *name)
{
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
    if (strcmp(recorder->logs[i]->name, name) == 0)
      return true;
  return false;
}

/* Room for a log's first ring in log_max_bytes: logs that were announced have it from the beginning; a later one gets a
 * smaller ring (it grows like any other) before it gets none. Sets *bytes. */
static int take_first_ring(struct gg_recorder *recorder, const char *name, uint64_t *bytes, struct gg_failure *failure)
{
  unsigned count = gg__log_count(recorder);
  *bytes = recorder->initial_bytes;
  if (count < recorder->options.logs_max)
    return 0;
  if (!recorder->started)
    return gg_fail(failure, GG_ERR_LIMIT, "more logs than the %u that were announced", recorder->options.logs_max);
  if (count >= GG_LOGS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d logs", GG_LOGS_MAX);
  for (; *bytes >= GG_RING_BYTES_MIN; *bytes /= 2)
    if (gg__ring_budget_take(recorder, *bytes))
      return 0;
  return gg_fail(failure, GG_ERR_LIMIT,
                 "no room for log %s: the rings have %" PRIu64 " of the %" PRIu64 " bytes of log_max", name,
                 atomic_load(&recorder->ring_budget_used), recorder->options.log_max_bytes);
}

static struct gg_log *make_log(const char *name, gg_log_wake_fn wake, void *wake_context)
{
  struct gg_log *log = NULL;
  if (posix_memalign((void **)&log, _Alignof(struct gg_log), sizeof *log) != 0)
    return NULL;
  memset(log, 0, sizeof *log);
  memcpy(log->name, name, strlen(name));
  log->wake = wake;
  log->wake_context = wake_context;
  return log;
}

/* The log's place among the others: from here on every thread of the recorder serves it. Its ring is named by the next
 * `running` file (gg_recorder_start writes it, or the sync thread, before it syncs anything that the log wrote). */
static void publish_log(struct gg_recorder *recorder, struct gg_log *log)
{
  unsigned count = gg__log_count(recorder);
  recorder->logs[count] = log;
  log->index = count;
  atomic_store_explicit(&recorder->log_count, count + 1, memory_order_release);
  gg__running_ring_add(recorder, log, log->ring->name);
}

int gg_recorder_log(struct gg_recorder *recorder, const char *name, gg_log_wake_fn wake, void *wake_context,
                    struct gg_log **out, struct gg_failure *failure)
{
  char full[GG__LOG_NAME_MAX];
  uint64_t ring_bytes;
  int error = full_name(recorder, name, full, failure);
  if (error)
    return error;
  if (name_is_taken(recorder, full))
    return gg_fail(failure, GG_ERR_INVALID, "there is a log %s already", name);
  error = take_first_ring(recorder, name, &ring_bytes, failure);
  if (error)
    return error;
  bool announced = gg__log_count(recorder) < recorder->options.logs_max;
  struct gg_log *log = make_log(full, wake, wake_context);
  struct gg__ring *ring = NULL;
  error = log ? 0 : gg_fail(failure, GG_ERR_NOMEM, "no memory for log %s", name);
  if (!error && recorder->started && recorder->options.metrics) {
    error = gg_metrics_shard(recorder->options.metrics, &log->shard);
    error = error ? gg_fail(failure, error, "no place for the metrics of log %s", name) : 0;
  }
  if (!error)
    error =
      gg__ring_create(&ring, recorder->ring_dir_fd, &recorder->owner, full, &log->generation, ring_bytes, failure);
  if (error) {
    if (!announced)
      atomic_fetch_sub(&recorder->ring_budget_used, ring_bytes);
    free(log);
    return error;
  }
  gg__log_init(log, recorder, ring);
  publish_log(recorder, log);
  *out = log;
  return 0;
}

/* ── Threads ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int make_shards(struct gg_recorder *recorder)
{
  struct gg_metrics *metrics = recorder->options.metrics;
  if (!metrics)
    return 0;
  int error = gg_metrics_shard(metrics, &recorder->writer_shard);
  if (!error)
    error = gg_metrics_shard(metrics, &recorder->sync_shard);
  if (!error)
    error = gg_metrics_shard(metrics, &recorder->provision_shard);
  for (unsigned i = 0, count = gg__log_count(recorder); i < count && !error; i++)
    error = gg_metrics_shard(metrics, &recorder->logs[i]->shard);
  return error;
}

/* Signals are for the engine's thread. */
static int make_thread(pthread_t *thread, void *(*body)(void *), void *argument)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, NULL, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

/* False if the thread has not ended by the deadline. */
static bool join_thread(struct gg_recorder *recorder, pthread_t thread, _Atomic bool *ended, uint64_t deadline_ns)
{
  while (!atomic_load(ended)) {
    if (gg_clock_mono_ns() >= deadline_ns)
      return false;
    gg__bell_wait(&recorder->stop_bell, deadline_ns);
  }
  pthread_join(thread, NULL);
  return true;
}

static void stop_thread(_Atomic uint32_t *phase, struct gg__bell *bell)
{
  atomic_store(phase, GG__STOPPING);
  gg__bell_ring(bell);
}

int gg_recorder_start(struct gg_recorder *recorder, struct gg_failure *failure)
{
  assert(!recorder->started);
  if (make_shards(recorder) != 0)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the log's metrics");
  gg__running_write(recorder); /* a failure is logged, and tried again by the sync thread */
  int error = make_thread(&recorder->provision_thread, gg__provision_main, recorder);
  if (error)
    return gg_fail_errno(failure, error, "starting the log's threads");
  error = make_thread(&recorder->sync_thread, gg__sync_main, recorder);
  if (error)
    goto stop_provision;
  error = make_thread(&recorder->writer_thread, gg__writer_main, recorder);
  if (error)
    goto stop_sync;
  recorder->started = true;
  return 0;

stop_sync:
  stop_thread(&recorder->sync_phase, &recorder->sync_bell);
  pthread_join(recorder->sync_thread, NULL);
stop_provision:
  stop_thread(&recorder->provision_phase, &recorder->provision_bell);
  pthread_join(recorder->provision_thread, NULL);
  return gg_fail_errno(failure, error, "starting the log's threads");
}

static bool everything_is_written(const struct gg_recorder *recorder)
{
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++) {
    const struct gg_log *log = recorder->logs[i];
    if (!log->finish_sealed || atomic_load(&log->written) != atomic_load(&log->sealed))
      return false;
  }
  return true;
}

static int stop_result(struct gg_recorder *recorder, struct gg_failure *failure)
{
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
    if (atomic_load(&recorder->logs[i]->disk_full))
      return gg_fail(
        failure, GG_ERR_NO_SPACE, "%s takes no more; what is left is in %s and will be written at the next start",
        atomic_load(&recorder->logs[i]->sink_refuses) ? "a plug-in's sink" : "the disk", recorder->ring_dir);
  return gg_fail(
    failure, GG_ERR_TIMEOUT,
    "the disk, or a plug-in's sink, was too slow; what is left is in %s and will be written at the next start",
    recorder->ring_dir);
}

static void unlink_ring(struct gg__ring *ring)
{
  if (ring)
    gg__ring_unlink(ring);
}

/* Everything is in files: nothing has to be recovered. A second call does nothing, nor does one for a store that could
 * not be opened: what is there is somebody else's. */
static void remove_rings(struct gg_recorder *recorder)
{
  if (recorder->rings_removed || recorder->process == 0)
    return;
  recorder->rings_removed = true;
  gg__running_remove(recorder, recorder->process); /* first: a name without a file means a loss */
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++) {
    const struct gg_log *log = recorder->logs[i];
    for (struct gg__ring *ring = log->oldest; ring; ring = ring->next)
      gg__ring_unlink(ring);
    unlink_ring(atomic_load(&log->drained));
    unlink_ring(atomic_load(&log->offered));
  }
}

bool gg_recorder_abandoned(const struct gg_recorder *recorder)
{
  return recorder && recorder->abandoned;
}

int gg_recorder_stop(struct gg_recorder *recorder, uint64_t deadline_ns, struct gg_failure *failure)
{
  if (!recorder->started)
    return 0;
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
    gg_log_finish(recorder->logs[i]);
  atomic_store(&recorder->stop_deadline_ns, deadline_ns);
  stop_thread(&recorder->provision_phase, &recorder->provision_bell);
  stop_thread(&recorder->writer_phase, &recorder->writer_bell);
  bool ended = join_thread(recorder, recorder->writer_thread, &recorder->writer_ended, deadline_ns + GG_NS_PER_S / 4);
  bool written = ended && everything_is_written(recorder);
  for (unsigned i = 0, count = gg__log_count(recorder); ended && i < count; i++) {
    const struct gg_log *log = recorder->logs[i];
    gg__gauge(recorder, log->shard, GG__METRIC_FILL, atomic_load(&log->committed) - atomic_load(&log->written));
  }
  stop_thread(&recorder->sync_phase, &recorder->sync_bell);
  uint64_t sync_deadline_ns = gg_clock_mono_ns() + GG_NS_PER_S;
  sync_deadline_ns = sync_deadline_ns > deadline_ns ? sync_deadline_ns : deadline_ns;
  ended &= join_thread(recorder, recorder->sync_thread, &recorder->sync_ended, sync_deadline_ns);
  ended &= join_thread(recorder, recorder->provision_thread, &recorder->provision_ended, sync_deadline_ns);
  recorder->abandoned = !ended;
  recorder->keep_rings = !ended || !written;
  recorder->started = false;
  if (recorder->keep_rings)
    return stop_result(recorder, failure);
  remove_rings(recorder);
  return 0;
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void destroy_log(struct gg_log *log)
{
  for (struct gg__ring *ring = log->oldest; ring;) {
    struct gg__ring *next = ring->next;
    gg__ring_destroy(ring);
    ring = next;
  }
  gg__ring_destroy(atomic_load(&log->drained));
  gg__ring_destroy(atomic_load(&log->offered));
  if (log->file >= 0)
    close(log->file);
  free(log);
}

void gg_recorder_destroy(struct gg_recorder *recorder)
{
  if (!recorder || recorder->abandoned)
    return;
  assert(!recorder->started);
  gg_recorder_sinks(recorder, NULL, 0);
  if (!recorder->keep_rings)
    remove_rings(recorder);
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
    destroy_log(recorder->logs[i]);
  close_if_open(recorder->segments_fd);
  close_if_open(recorder->ring_dir_fd);
  close_if_open(recorder->dir_fd);
  close_if_open(recorder->process_fd);
  close_if_open(recorder->lock_fd); /* gives the store free, so it is last */
  pthread_mutex_destroy(&recorder->files_lock);
  pthread_mutex_destroy(&recorder->running_lock);
  pthread_mutex_destroy(&recorder->readers_lock);
  pthread_mutex_destroy(&recorder->sinks_lock);
  free(recorder->recovered);
  free(recorder->dir);
  free(recorder->ring_dir);
  free(recorder);
}

/* ── Status ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

unsigned gg_recorder_logs(const struct gg_recorder *recorder)
{
  return gg__log_count(recorder);
}

/* Nothing will follow to what is in the files. */
static bool is_complete(const struct gg_log *log)
{
  return atomic_load(&log->finish_sealed) && atomic_load(&log->written) == atomic_load(&log->sealed);
}

int gg_recorder_log_status(const struct gg_recorder *recorder, unsigned index, struct gg_log_status *out)
{
  if (index >= gg__log_count(recorder))
    return GG_ERR_RANGE;
  struct gg_log *log = recorder->logs[index];
  pthread_mutex_t *lock = &log->recorder->files_lock;
  memset(out, 0, sizeof *out);
  memcpy(out->name, log->name, sizeof out->name);
  out->untouched = gg__log_untouched(log);
  /* Before `written`: it must not promise more than is there. */
  out->watermark_ns = is_complete(log) ? gg_clock_real_ns() : atomic_load(&log->watermark_ns);
  pthread_mutex_lock(lock);
  uint64_t written = atomic_load(&log->written);
  if (log->file >= 0) {
    memcpy(out->segment, log->file_name, sizeof out->segment);
    out->segment_bytes = written - log->file_start;
  }
  pthread_mutex_unlock(lock);
  uint64_t committed = atomic_load(&log->committed);
  out->ring_bytes = atomic_load(&log->ring_bytes);
  out->fill_bytes = committed > written ? committed - written : 0;
  out->pressure = (enum gg_log_pressure)atomic_load(&log->pressure);
  return 0;
}
