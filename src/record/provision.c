/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provision.c - the thread that makes rings for logs that want to grow or shrink.
 *
 *   producer: ring_wanted = bytes ──► here: make, offered ──► producer: switches, old ring `end`s
 *   writer: oldest ring is written out: drained ──► sync thread: unlink, unmap
 *
 * It is a thread of its own because making a large ring takes long (every page is touched), and because writer and sync
 * thread may hang in the disk just when a larger ring is needed. So nothing here touches the disk.
 *
 * A refusal (log_max_bytes, a full tmpfs) is kept for GG_NS_PER_S: until then `ring_wanted` stays set, so the
 * producer does not ask again.
 */
#include "record/log_private.h"

#include <sys/prctl.h>

bool gg__ring_budget_take(struct gg_recorder *recorder, uint64_t bytes)
{
  uint64_t used = atomic_load(&recorder->ring_budget_used);
  do {
    if (used + bytes > recorder->options.log_max_bytes)
      return false;
  } while (!atomic_compare_exchange_weak(&recorder->ring_budget_used, &used, used + bytes));
  return true;
}

static void refuse(struct gg_log *log, const char *reason, uint64_t bytes)
{
  struct gg_recorder *recorder = log->recorder;
  gg__count(recorder, recorder->provision_shard, GG__METRIC_GROW_REFUSALS, 1);
  if (!log->growth_refused)
    gg_warn(recorder->logger, "the log cannot grow; traffic is held back when it is full", GG_S("log", log->name),
            GG_S("reason", reason), GG_U("ring_bytes", bytes));
  log->growth_refused = true;
  log->ring_again_ns = gg_clock_mono_ns() + GG_NS_PER_S;
}

static void offer(struct gg_log *log, struct gg__ring *ring)
{
  atomic_store(&log->offered, ring);
  if (atomic_load(&log->wake_at) != UINT64_MAX) /* it stays: the new ring may not be what is wanting */
    gg__log_wake(log);
}

static int make(struct gg_log *log, uint64_t bytes, struct gg__ring **out, struct gg_failure *failure)
{
  struct gg_recorder *recorder = log->recorder;
  if (!gg__ring_budget_take(recorder, bytes))
    return gg_fail(failure, GG_ERR_LIMIT, "log_max is reached");
  int error =
    gg__ring_create(out, recorder->ring_dir_fd, &recorder->owner, log->name, &log->generation, bytes, failure);
  if (error < 0)
    atomic_fetch_sub(&recorder->ring_budget_used, bytes);
  return error;
}

static void provide(struct gg_log *log, uint64_t bytes)
{
  struct gg_recorder *recorder = log->recorder;
  struct gg__ring *ring;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = make(log, bytes, &ring, &failure);
  if (error < 0 && bytes / 2 > atomic_load_explicit(&log->ring_bytes, memory_order_relaxed)) {
    bytes /= 2; /* a smaller step may fit */
    error = make(log, bytes, &ring, &failure);
  }
  if (error < 0) {
    refuse(log, failure.message, bytes);
    return;
  }
  log->growth_refused = false;
  atomic_fetch_add(&log->rings_alive, 1);
  gg__running_ring_add(recorder, log, ring->name);
  gg__count(recorder, recorder->provision_shard, GG__METRIC_GROWS, 1);
  gg_debug(recorder->logger, "log has a new ring", GG_S("log", log->name), GG_U("ring_bytes", bytes));
  offer(log, ring);
  atomic_store(&log->ring_wanted, 0);
}

/* Returns when this log has to be looked at again. */
static uint64_t serve(struct gg_log *log, uint64_t now_ns)
{
  uint64_t wanted = atomic_load(&log->ring_wanted);
  if (log->ring_again_ns) {
    if (now_ns < log->ring_again_ns)
      return log->ring_again_ns;
    log->ring_again_ns = 0;
    atomic_store(&log->ring_wanted, 0); /* the producer asks again if it still wants one */
    return UINT64_MAX;
  }
  if (wanted)
    provide(log, wanted);
  return log->ring_again_ns ? log->ring_again_ns : UINT64_MAX;
}

void *gg__provision_main(void *argument)
{
  struct gg_recorder *recorder = argument;
  prctl(PR_SET_NAME, "gg-provision");
  while (atomic_load(&recorder->provision_phase) != GG__STOPPING) {
    uint64_t now_ns = gg_clock_mono_ns();
    uint64_t until = UINT64_MAX;
    for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++) {
      uint64_t again = serve(recorder->logs[i], now_ns);
      if (again < until)
        until = again;
    }
    gg__bell_wait(&recorder->provision_bell, until);
  }
  atomic_store(&recorder->provision_ended, true);
  gg__bell_ring(&recorder->stop_bell);
  return NULL;
}
