/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/worker.h"

#include "base/clock.h"
#include "base/logger.h"
#include "gateway/live.h"
#include "gateway/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  RUN_MAX = 1024,   /* directions that have their turn in one iteration's phase 2 */
  SPARE_MAX = 1024, /* freed sessions that are kept for the next accept */
};

/* ── Making and ending ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether those who wait for room in it still have to: a stall may have become a full disk, with another policy. */
static bool still_blocked(const struct gg_worker_log *log)
{
  enum gg_log_pressure pressure = gg_log_pressure(log->log);
  enum gg_policy policy = pressure == GG_LOG_DISK_FULL ? log->on_full : log->on_stall;
  return pressure != GG_LOG_FLOWING && policy == GG_POLICY_BLOCK;
}

/* The writer has made room, or made bytes durable, or somebody drains: the loop's next phases see which. */
static void woken(void *context)
{
  struct gg_worker *worker = context;
  for (unsigned i = 0; i < worker->log_count; i++) {
    struct gg_worker_log *log = &worker->logs[i];
    gg__relay_run_all(worker, &log->undurable);
    if (log->blocked && !still_blocked(log)) {
      log->blocked = false;
      log->unblocked_ns = gg_clock_mono_ns();
      gg_loop_reads_enable(&worker->loop, log->set, true);
      gg__relay_run_all(worker, &log->waiting);
    }
  }
}

static void init_plain(struct gg_worker *worker)
{
  const struct gg_plane_options *options = &worker->plane->options;
  worker->loop.base.fd = worker->wake.source.fd = -1;
  gg_timer_list_init(&worker->header_timers, 0, gg__session_header_expired);
  gg_timer_list_init(&worker->connect_timers, 0, gg__session_connect_expired);
  gg_timer_list_init(&worker->relay_timers, 0, gg__session_relay_expired);
  worker->live_alarms.expired = gg__live_expired;
  gg__tarpit_init(&worker->tarpit);
  gg__known_init(&worker->known);
  gg__orders_init(&worker->orders);
  gg_list_init(&worker->listeners);
  gg_list_init(&worker->listeners_next);
  gg_list_init(&worker->retired);
  gg_list_init(&worker->listeners_over);
  gg_list_init(&worker->run);
  gg_list_init(&worker->unwatched);
  gg_list_init(&worker->sessions);
  gg_list_init(&worker->stalled);
  gg_list_init(&worker->reconnect);
  gg_list_init(&worker->over);
  gg_list_init(&worker->spare);
  gg_pending_init(&worker->pending, options->pending_total / worker->plane->worker_count);
  gg_pipe_pool_init(&worker->pipes);
  gg_session_id_source_init(&worker->ids);
  if (getrandom(&worker->random_state, sizeof worker->random_state, 0) != sizeof worker->random_state)
    worker->random_state = gg_clock_mono_ns();
  worker->pairs.key = gg__worker_random(worker);
  worker->retry_ns = UINT64_MAX;
  worker->due_ns = UINT64_MAX;
  worker->listening = true;
}

int gg__worker_create(struct gg_worker **out, struct gg_plane *plane, unsigned index, struct gg_failure *failure)
{
  const struct gg_plane_options *options = &plane->options;
  struct gg_worker *worker = calloc(1, sizeof *worker);
  *out = worker;
  if (!worker)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a worker");
  worker->plane = plane;
  worker->index = index;
  worker->counters = plane->counters;
  init_plain(worker);
  worker->scratch = malloc(GG_READ_BULK_BYTES);
  worker->batch.bytes = malloc(GG_BATCH_BYTES);
  if (!worker->scratch || !worker->batch.bytes)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a worker");
  int error = gg_metrics_shard(options->metrics, &worker->shard);
  if (!error)
    error = options->polled ? gg_loop_init_outward(&worker->loop, 1) : gg_loop_init(&worker->loop, 1);
  if (!error)
    error = gg_wake_init(&worker->wake, &worker->loop, woken, worker);
  if (error)
    return gg_fail(failure, error, "cannot make a worker's event loop: %s", gg_error_text(error));
  return GG_OK;
}

static void free_sessions(struct gg_list *list)
{
  while (!gg_list_empty(list)) {
    struct gg_session *session = GG_CONTAINER(list->next, struct gg_session, node);
    gg_list_remove(&session->node);
    free(session);
  }
}

void gg__worker_destroy(struct gg_worker *worker)
{
  if (!worker)
    return;
  gg__listeners_close(worker);
  gg__listeners_free(&worker->retired);
  gg__listeners_free(&worker->listeners_over);
  gg__tarpit_empty(worker);
  gg__tarpit_free(worker);
  gg__orders_fini(&worker->orders);
  gg__known_fini(&worker->known);
  free_sessions(&worker->over);
  free_sessions(&worker->spare);
  gg_pending_fini(&worker->pending);
  gg_pipe_pool_fini(&worker->pipes);
  gg_wake_fini(&worker->wake);
  gg_loop_fini(&worker->loop);
  gg_output_fini(&worker->rewritten[0]);
  gg_output_fini(&worker->rewritten[1]);
  free(worker->batch.bytes);
  free(worker->scratch);
  gg__mask_private_free(worker);
  free(worker);
}

/* ── What sessions ask of it ─────────────────────────────────────────────────────────────────────────────────────── */

struct gg_session *gg__worker_session_alloc(struct gg_worker *worker)
{
  struct gg_session *session;
  if (gg_list_empty(&worker->spare)) {
    session = malloc(sizeof *session);
    if (!session)
      return NULL;
  } else {
    session = GG_CONTAINER(worker->spare.next, struct gg_session, node);
    gg_list_remove(&session->node);
    worker->spare_count--;
  }
  *session = (struct gg_session){0};
  return session;
}

void gg__worker_retry_soon(struct gg_worker *worker)
{
  uint64_t soon_ns = worker->loop.now_ns + GG_RETRY_INTERVAL_NS;
  if (soon_ns < worker->retry_ns)
    worker->retry_ns = soon_ns;
}

/* splitmix64 (Steele, Lea, Flood 2014): sequence numbers in a recording need to differ, not to be secret. */
uint64_t gg__worker_random(struct gg_worker *worker)
{
  uint64_t z = worker->random_state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

bool gg__worker_close_longest_stalled(struct gg_worker *worker, const struct gg_session *spared)
{
  for (struct gg_list *node = worker->stalled.next; node != &worker->stalled; node = node->next) {
    struct gg_session *session = GG_CONTAINER(node, struct gg_session, stalled);
    if (session == spared)
      continue;
    gg__count(worker, GG_COUNT_PENDING_EXHAUSTED, 1);
    gg__session_close(session, GG_CLOSE_LIMIT);
    return true;
  }
  return false;
}

/* ── The phases ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t earlier(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

static void phase_run(struct gg_worker *worker)
{
  struct gg_list turn;
  gg_list_init(&turn);
  gg_list_splice(&turn, &worker->run);
  for (unsigned i = 0; i < RUN_MAX && !gg_list_empty(&turn); i++)
    gg__relay_run(GG_CONTAINER(turn.next, struct gg_end, run));
  gg_list_splice(&turn, &worker->run); /* those that had no turn come first in the next */
  gg_list_splice(&worker->run, &turn);
}

static uint64_t phase_timers(struct gg_worker *worker)
{
  uint64_t now_ns = worker->loop.now_ns;
  uint64_t next_ns = gg_timer_list_run(&worker->header_timers, now_ns);
  next_ns = earlier(next_ns, gg_timer_list_run(&worker->connect_timers, now_ns));
  next_ns = earlier(next_ns, gg_timer_list_run(&worker->relay_timers, now_ns));
  next_ns = earlier(next_ns, gg_timer_list_run(&worker->tarpit.timers, now_ns));
  return earlier(next_ns, gg_alarms_run(&worker->live_alarms, now_ns));
}

static void record_closings(struct gg_worker *worker)
{
  for (unsigned i = 0; i < worker->log_count; i++) {
    struct gg_list *closing = &worker->logs[i].closing;
    while (!gg_list_empty(closing))
      if (!gg__session_close_record(GG_CONTAINER(closing->next, struct gg_session, node))) {
        gg__worker_retry_soon(worker);
        break;
      }
  }
}

/* Logs come by the engine's hand, in places behind those that the worker knew so far. */
static void adopt(struct gg_worker *worker, struct gg_snapshot *snapshot)
{
  const struct gg_plane_options *options = &snapshot->options;
  worker->snapshot = snapshot;
  worker->options = options;
  worker->log_count = snapshot->log_count;
  gg_loop_sets_use(&worker->loop, snapshot->log_count);
  worker->header_timers.duration_ns = options->proxy_header_timeout_ns;
  worker->connect_timers.duration_ns = options->connect_timeout_ns;
  worker->tarpit.timers.duration_ns = options->tarpit_timeout_ns;
  gg__relay_timers_adopt(worker);
  gg__live_adopt(worker);
  gg__listeners_adopt(worker, snapshot);
}

void gg__worker_pass(struct gg_worker *worker)
{
  struct gg_plane *plane = worker->plane;
  unsigned generation = atomic_load_explicit(&plane->generation, memory_order_acquire);
  if (generation == worker->passed)
    return;
  if (worker->snapshot != plane->published)
    adopt(worker, plane->published);
  if (worker->paused) /* the limits may be others, or this gateway has taken over */
    worker->retry_ns = 0;
  pthread_mutex_lock(&plane->lock);
  worker->passed = generation;
  pthread_cond_broadcast(&plane->passed);
  pthread_mutex_unlock(&plane->lock);
}

static void phase_retry(struct gg_worker *worker)
{
  if (worker->loop.now_ns < worker->retry_ns)
    return;
  worker->retry_ns = UINT64_MAX;
  record_closings(worker);
  gg__upstream_reconnect(worker);
  gg__listeners_resume(worker);
  gg__relay_run_all(worker, &worker->unwatched);
}

static uint64_t phase_logs(struct gg_worker *worker)
{
  uint64_t next_ns = UINT64_MAX;
  for (unsigned i = 0; i < worker->log_count; i++) {
    struct gg_worker_log *log = &worker->logs[i];
    if (!log->log)
      continue;
    /* One group at a time: what is committed while one is on its way to the disk makes the next. */
    if (log->want_commit && worker->plane->options.sync_mode == GG_SYNC_ALWAYS &&
        gg_log_durable(log->log) >= log->durable_asked) {
      gg_log_flush(log->log);
      log->durable_asked = gg_log_committed(log->log);
      log->want_commit = false;
      gg_log_want_durable(log->log, log->durable_asked);
    }
    if (log->gap_bytes > 0 && gg_log_pressure(log->log) == GG_LOG_FLOWING) {
      gg_warn(worker->plane->options.logger, "recording again", GG_U("missing_bytes", log->gap_bytes),
              GG_U("worker", worker->index));
      log->gap_bytes = 0;
    }
    next_ns = earlier(next_ns, gg_log_tick(log->log, worker->loop.now_ns));
  }
  return next_ns;
}

static void abandon_closings(struct gg_worker *worker)
{
  for (unsigned i = 0; i < worker->log_count; i++) {
    struct gg_list *closing = &worker->logs[i].closing;
    while (!gg_list_empty(closing))
      gg__session_close_abandon(GG_CONTAINER(closing->next, struct gg_session, node));
  }
}

/* Returns when the drain wants to be looked at again. */
static uint64_t phase_drain(struct gg_worker *worker)
{
  uint64_t deadline_ns = atomic_load_explicit(&worker->plane->drain_deadline_ns, memory_order_acquire);
  if (deadline_ns == 0)
    return UINT64_MAX;
  if (worker->listening) {
    worker->listening = false;
    gg__listeners_leave(worker);
    gg__tarpit_empty(worker);
  }
  if (worker->loop.now_ns < deadline_ns)
    return deadline_ns;
  gg__listeners_close(worker);
  while (!gg_list_empty(&worker->sessions))
    gg__session_close(GG_CONTAINER(worker->sessions.next, struct gg_session, node), GG_CLOSE_DRAIN);
  if (worker->loop.now_ns < deadline_ns + GG_CLOSING_GRACE_NS)
    return deadline_ns + GG_CLOSING_GRACE_NS;
  abandon_closings(worker);
  return UINT64_MAX;
}

static void phase_free(struct gg_worker *worker)
{
  gg__listeners_free(&worker->listeners_over);
  gg__tarpit_free(worker);
  while (!gg_list_empty(&worker->over)) {
    struct gg_session *session = GG_CONTAINER(worker->over.next, struct gg_session, node);
    gg_list_remove(&session->node);
    if (worker->spare_count >= SPARE_MAX) {
      free(session);
      continue;
    }
    gg_list_append(&worker->spare, &session->node);
    worker->spare_count++;
  }
}

static bool turn(struct gg_worker *worker, uint64_t wait_ns)
{
  atomic_store_explicit(&worker->due_ns, later(wait_ns, worker->loop.now_ns), memory_order_relaxed);
  gg__relay_batch_open(worker);
  gg_loop_poll(&worker->loop, wait_ns);
  gg__relay_batch_close(worker);
  atomic_store_explicit(&worker->due_ns, worker->loop.now_ns, memory_order_relaxed);
  gg__count(worker, GG_COUNT_LOOPS, 1);
  phase_run(worker);
  gg__orders_carry_out(worker);
  gg__worker_pass(worker);
  phase_retry(worker);
  uint64_t next_ns = phase_timers(worker);
  next_ns = earlier(next_ns, phase_logs(worker));
  next_ns = earlier(next_ns, phase_drain(worker));
  next_ns = earlier(next_ns, gg__listeners_part(worker));
  next_ns = earlier(next_ns, worker->retry_ns); /* any phase may have asked for it */
  phase_free(worker);
  gg_shard_set(worker->shard, worker->counters + GG_COUNT_PENDING, worker->pending.mapped_bytes);
  worker->next_ns = next_ns;
  return worker->listening || !gg_list_empty(&worker->listeners) || worker->session_count > 0;
}

static uint64_t next_turn_ns(const struct gg_worker *worker)
{
  return gg_list_empty(&worker->run) ? worker->next_ns : 0;
}

bool gg__worker_turn(struct gg_worker *worker)
{
  return turn(worker, next_turn_ns(worker));
}

bool gg__worker_turn_now(struct gg_worker *worker, uint64_t *next_ns)
{
  bool more = turn(worker, 0);
  *next_ns = next_turn_ns(worker);
  atomic_store_explicit(&worker->due_ns, later(*next_ns, worker->loop.now_ns), memory_order_relaxed);
  return more;
}

void gg__worker_end(struct gg_worker *worker)
{
  for (unsigned i = 0; i < worker->log_count; i++)
    if (worker->logs[i].log)
      gg_log_finish(worker->logs[i].log);
  pthread_mutex_lock(&worker->plane->lock);
  worker->ended = true;
  pthread_cond_broadcast(&worker->plane->passed);
  pthread_mutex_unlock(&worker->plane->lock);
  atomic_store_explicit(&worker->due_ns, UINT64_MAX, memory_order_relaxed);
  atomic_fetch_sub_explicit(&worker->plane->workers_running, 1, memory_order_release);
}

void *gg__worker_main(void *argument)
{
  struct gg_worker *worker = argument;
  char name[16];
  snprintf(name, sizeof name, "gg-worker-%u", worker->index);
  prctl(PR_SET_NAME, name);
  while (gg__worker_turn(worker))
    continue;
  gg__worker_end(worker);
  return NULL;
}
