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
 *     generation + 3, wake             ─────────────────► passed: at a parent's socket that has lost its listener
 *     waits for all                    ◄─────────────────  who waited was accepted when the turn before ended
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
static void pass_all(struct gg_plane *plane)
{
  unsigned generation = atomic_load(&plane->generation) + 1;
  atomic_store_explicit(&plane->generation, generation, memory_order_release);
  for (unsigned i = 0; i < plane->worker_count; i++)
    gg_wake_signal(&plane->workers[i]->wake);
  for (unsigned i = 0; i < plane->worker_count; i++) {
    struct gg_worker *worker = plane->workers[i];
    pthread_mutex_lock(&plane->lock);
    while (worker->thread_runs && !worker->ended && worker->passed != generation)
      pthread_cond_wait(&plane->passed, &plane->lock);
    bool here = worker->passed != generation;
    pthread_mutex_unlock(&plane->lock);
    if (here && plane->options.polled)
      worker->loop.now_ns = gg_clock_mono_ns(); /* its last turn may be long past */
    if (here)
      gg__worker_pass(worker);
  }
}

static void publish_groups(struct gg_plane *plane, const struct gg_snapshot *snapshot)
{
  struct gg_group *groups[GG_LISTENERS_MAX];
  for (size_t i = 0; i < snapshot->plan_count; i++)
    groups[i] = snapshot->plans[i]->group;
  gg__groups_publish(plane, groups, snapshot->plan_count);
}

void gg__plane_go_over(struct gg_plane *plane, struct gg_snapshot *snapshot)
{
  struct gg_snapshot *old = plane->snapshot;
  publish_groups(plane, snapshot);
  plane->published = snapshot;
  pass_all(plane);
  pthread_mutex_lock(&plane->lock);
  plane->snapshot = snapshot;
  pthread_mutex_unlock(&plane->lock);
  if (!old)
    return;
  for (size_t i = 0; i < old->plan_count; i++)
    gg__group_retire(old->plans[i]->group);
  pass_all(plane);
  pass_all(plane);
  gg__snapshot_destroy(old, plane);
  gg__bindings_sweep(plane, false);
}

static int check(const struct gg_plane *plane, const struct gg_plane_options *options, struct gg_failure *failure)
{
  const struct gg_plane_options *now = &plane->options;
  if (options->size != sizeof *options || options->listener_count < 1 || options->listener_count > GG_LISTENERS_MAX)
    return gg_fail(failure, GG_ERR_INVALID, "a gateway needs 1 to %d listeners", GG_LISTENERS_MAX);
  if (options->workers != now->workers || options->pending_total != now->pending_total ||
      options->sync_mode != now->sync_mode || options->recorder != now->recorder || options->logger != now->logger ||
      options->metrics != now->metrics || options->polled != now->polled)
    return gg_fail(failure, GG_ERR_INVALID,
                   "workers, pending_total, sync_mode and what is recorded into take a restart");
  if (atomic_load(&plane->drain_deadline_ns) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "the gateway is draining");
  return GG_OK;
}

int gg_plane_reload(struct gg_plane *plane, const struct gg_plane_options *options, struct gg_failure *failure)
{
  struct gg_snapshot *next;
  int error = check(plane, options, failure);
  if (!error)
    error = gg__snapshot_create(&next, plane, options, failure);
  if (!error)
    gg__plane_go_over(plane, next);
  return error;
}

/* ── What others want to know of the listeners, and another process taking over ──────────────────────────────────── */

int gg_plane_listener_endpoint(struct gg_plane *plane, size_t index, struct gg_endpoint *out)
{
  int error = GG_ERR_RANGE;
  pthread_mutex_lock(&plane->lock);
  if (plane->snapshot && index < plane->snapshot->plan_count) {
    *out = plane->snapshot->plans[index]->binding->bound;
    error = GG_OK;
  }
  pthread_mutex_unlock(&plane->lock);
  return error;
}

size_t gg_plane_listener_fds(const struct gg_plane *plane, size_t index, int *fds, size_t most)
{
  size_t count = 0;
  if (index >= plane->snapshot->plan_count)
    return 0;
  const struct gg_binding *binding = plane->snapshot->plans[index]->binding;
  for (unsigned i = 0; i < binding->socket_count && count < most; i++)
    if (atomic_load(&binding->sockets[i].state) == GG_SOCKET_OPEN)
      fds[count++] = binding->sockets[i].fd;
  return count;
}

static void serve(struct gg_plane *plane, bool beside)
{
  for (size_t i = 0; i < plane->snapshot->plan_count; i++) {
    const struct gg_plan *plan = plane->snapshot->plans[i];
    struct gg_failure failure = GG_FAILURE_INIT;
    if (gg__binding_serve(plan->binding, beside, &failure) != 0)
      gg_warn(plane->options.logger, "not every worker accepts yet", GG_S("listener", plan->options.name),
              GG_S("reason", failure.message), GG_S("effect", "the others serve; it is tried again"));
  }
  pass_all(plane);
}

void gg_plane_serve_beside(struct gg_plane *plane)
{
  serve(plane, true);
}

void gg_plane_taken_over(struct gg_plane *plane)
{
  serve(plane, false);
}

size_t gg_plane_listener_foreign(const struct gg_plane *plane, size_t index)
{
  return index < plane->snapshot->plan_count ? plane->snapshot->plans[index]->binding->foreign_count : 0;
}

bool gg_plane_accepts_at(const struct gg_plane *plane, const struct gg_endpoint *place)
{
  for (const struct gg_list *node = plane->bindings.next; node != &plane->bindings; node = node->next)
    if (gg__binding_accepts_at(GG_CONTAINER(node, struct gg_binding, node), place))
      return true;
  return false;
}

void gg_plane_hand_over(struct gg_plane *plane, const bool *taken, uint64_t deadline_mono_ns)
{
  for (size_t i = 0; i < plane->snapshot->plan_count; i++) {
    struct gg_binding *binding = plane->snapshot->plans[i]->binding;
    atomic_store_explicit(taken[i] ? &binding->elsewhere : &binding->dropped, true, memory_order_release);
  }
  gg_plane_drain(plane, deadline_mono_ns);
}
