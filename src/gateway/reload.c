/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.c - from one snapshot to the next while the workers run.
 *
 *     engine                                              each worker, in phase 3 of its next turn
 *     gg__snapshot_create: what can fail
 *     published, generation + 1, wake  ─────────────────► goes over to it: takes its listeners, leaves others
 *     waits for all                    ◄───────────────── passed
 *     the old groups retire: their names are given back
 *     generation + 2, wake             ─────────────────► passed: who looked at a name has looked
 *     waits for all                    ◄─────────────────
 *     frees the old snapshot
 *
 * A worker is never waited for longer than a turn, and takes the lock only when there is something to go over to. A
 * plan of the old snapshot lives on while sessions need it.
 */
#include "base/logger.h"
#include "gateway/worker.h"

#include <stdlib.h>

/* Every worker has gone through its loop once more. One that has no thread, or whose thread has ended, is gone through
 * here. */
static void pass_all(struct gg_gateway *gateway)
{
  unsigned generation = atomic_load(&gateway->generation) + 1;
  atomic_store_explicit(&gateway->generation, generation, memory_order_release);
  for (unsigned i = 0; i < gateway->worker_count; i++)
    gg_wake_signal(&gateway->workers[i]->wake);
  for (unsigned i = 0; i < gateway->worker_count; i++) {
    struct gg_worker *worker = gateway->workers[i];
    pthread_mutex_lock(&gateway->lock);
    while (worker->thread_runs && !worker->ended && worker->passed != generation)
      pthread_cond_wait(&gateway->passed, &gateway->lock);
    bool here = worker->passed != generation;
    pthread_mutex_unlock(&gateway->lock);
    if (here)
      gg__worker_pass(worker);
  }
}

static void publish_groups(struct gg_gateway *gateway, const struct gg_snapshot *snapshot)
{
  struct gg_group *groups[GG_LISTENERS_MAX];
  for (size_t i = 0; i < snapshot->plan_count; i++)
    groups[i] = snapshot->plans[i]->group;
  gg__groups_publish(gateway, groups, snapshot->plan_count);
}

void gg__gateway_go_over(struct gg_gateway *gateway, struct gg_snapshot *snapshot)
{
  struct gg_snapshot *old = gateway->snapshot;
  publish_groups(gateway, snapshot);
  gateway->published = snapshot;
  pass_all(gateway);
  pthread_mutex_lock(&gateway->lock);
  gateway->snapshot = snapshot;
  pthread_mutex_unlock(&gateway->lock);
  if (!old)
    return;
  for (size_t i = 0; i < old->plan_count; i++)
    gg__group_retire(old->plans[i]->group);
  pass_all(gateway);
  gg__snapshot_destroy(old, gateway);
  gg__bindings_sweep(gateway, false);
}

static int check(const struct gg_gateway *gateway, const struct gg_gateway_options *options, struct gg_failure *failure)
{
  const struct gg_gateway_options *now = &gateway->options;
  if (options->size != sizeof *options || options->listener_count < 1 || options->listener_count > GG_LISTENERS_MAX)
    return gg_fail(failure, GG_ERR_INVALID, "a gateway needs 1 to %d listeners", GG_LISTENERS_MAX);
  if (options->workers != now->workers || options->pending_total != now->pending_total ||
      options->sync_mode != now->sync_mode || options->recorder != now->recorder || options->logger != now->logger ||
      options->metrics != now->metrics)
    return gg_fail(failure, GG_ERR_INVALID,
                   "workers, pending_total, sync_mode and what is recorded into take a restart");
  if (atomic_load(&gateway->drain_deadline_ns) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "the gateway is draining");
  return GG_OK;
}

int gg_gateway_reload(struct gg_gateway *gateway, const struct gg_gateway_options *options, struct gg_failure *failure)
{
  struct gg_snapshot *next;
  int error = check(gateway, options, failure);
  if (!error)
    error = gg__snapshot_create(&next, gateway, options, failure);
  if (!error)
    gg__gateway_go_over(gateway, next);
  return error;
}

/* ── What others want to know of the listeners, and another process taking over ──────────────────────────────────── */

int gg_gateway_listener_endpoint(struct gg_gateway *gateway, size_t index, struct gg_endpoint *out)
{
  int error = GG_ERR_RANGE;
  pthread_mutex_lock(&gateway->lock);
  if (gateway->snapshot && index < gateway->snapshot->plan_count) {
    *out = gateway->snapshot->plans[index]->binding->bound;
    error = GG_OK;
  }
  pthread_mutex_unlock(&gateway->lock);
  return error;
}

size_t gg_gateway_listener_fds(const struct gg_gateway *gateway, size_t index, int *fds, size_t most)
{
  size_t count = 0;
  if (index >= gateway->snapshot->plan_count)
    return 0;
  const struct gg_binding *binding = gateway->snapshot->plans[index]->binding;
  for (unsigned i = 0; i < binding->socket_count && count < most; i++)
    if (atomic_load(&binding->sockets[i].state) == GG_SOCKET_OPEN)
      fds[count++] = binding->sockets[i].fd;
  return count;
}

static void serve(struct gg_gateway *gateway, bool beside)
{
  for (size_t i = 0; i < gateway->snapshot->plan_count; i++) {
    const struct gg_plan *plan = gateway->snapshot->plans[i];
    struct gg_failure failure = GG_FAILURE_INIT;
    if (gg__binding_serve(plan->binding, beside, &failure) != 0)
      gg_warn(gateway->options.logger, "not every worker accepts yet", GG_S("listener", plan->options.name),
              GG_S("reason", failure.message), GG_S("effect", "the others serve; it is tried again"));
  }
  pass_all(gateway);
}

void gg_gateway_serve_beside(struct gg_gateway *gateway)
{
  serve(gateway, true);
}

void gg_gateway_taken_over(struct gg_gateway *gateway)
{
  serve(gateway, false);
}

size_t gg_gateway_listener_foreign(const struct gg_gateway *gateway, size_t index)
{
  return index < gateway->snapshot->plan_count ? gateway->snapshot->plans[index]->binding->foreign_count : 0;
}

bool gg_gateway_accepts_at(const struct gg_gateway *gateway, const struct gg_endpoint *place)
{
  for (const struct gg_list *node = gateway->bindings.next; node != &gateway->bindings; node = node->next)
    if (gg__binding_accepts_at(GG_CONTAINER(node, struct gg_binding, node), place))
      return true;
  return false;
}

void gg_gateway_hand_over(struct gg_gateway *gateway, const bool *taken, uint64_t deadline_mono_ns)
{
  for (size_t i = 0; i < gateway->snapshot->plan_count; i++) {
    struct gg_binding *binding = gateway->snapshot->plans[i]->binding;
    atomic_store_explicit(taken[i] ? &binding->elsewhere : &binding->dropped, true, memory_order_release);
  }
  gg_gateway_drain(gateway, deadline_mono_ns);
}
