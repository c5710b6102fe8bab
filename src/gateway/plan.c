/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/plan.h"

#include "gateway/worker.h"
#include "hook/hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
  FDS_OF_PROCESS = 96, /* standard streams, store, segments, rings, control socket, libraries, checks of upstreams */
  FDS_OF_WORKER = 16 + 2 * (GG_PIPES_MAX + 1),
  FDS_OF_SESSION = 2,
};

/* ── A plan ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Where the copies go that stand behind a plan; first they are measured, with `to` NULL. */
struct copies {
  uint8_t *to;
  size_t used;
};

static void *copy(struct copies *copies, const void *from, size_t bytes)
{
  size_t at = copies->used;
  copies->used += (bytes + 7) / 8 * 8;
  if (!copies->to)
    return NULL;
  if (bytes > 0)
    memcpy(copies->to + at, from, bytes);
  return copies->to + at;
}

static const char *copy_text(struct copies *copies, const char *text)
{
  return copy(copies, text, strlen(text) + 1);
}

static void copy_options(struct copies *copies, struct gg_listener_options *out, const struct gg_listener_options *from)
{
  *out = *from;
  out->inherited = NULL;
  out->inherited_count = 0;
  out->name = copy_text(copies, from->name);
  out->greeting = copy(copies, from->greeting, from->greeting_length);
  out->trusted = copy(copies, from->trusted, from->trusted_count * sizeof *from->trusted);
  struct gg_upstream_options *upstreams = copy(copies, from->upstreams, from->upstream_count * sizeof *from->upstreams);
  out->upstreams = upstreams;
  for (size_t i = 0; i < from->upstream_count; i++) {
    const char *name = copy_text(copies, from->upstreams[i].name);
    if (!upstreams)
      continue;
    upstreams[i].name = name;
    upstreams[i].resolved = NULL;
  }
}

static struct gg_plan *plan_alloc(const struct gg_listener_options *options)
{
  struct gg_listener_options measured;
  struct copies copies = {0};
  copy_options(&copies, &measured, options);
  size_t head = (sizeof(struct gg_plan) + 7) / 8 * 8;
  struct gg_plan *plan = calloc(1, head + copies.used);
  if (!plan)
    return NULL;
  copies = (struct copies){.to = (uint8_t *)plan + head};
  copy_options(&copies, &plan->options, options);
  plan->queue = GG_QUEUE_NONE;
  gg_hook_chain_ref(plan->options.hooks);
  atomic_store(&plan->refs, 1);
  return plan;
}

void gg__plan_unref(struct gg_plan *plan)
{
  if (!plan || atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_acq_rel) != 1)
    return;
  gg__group_destroy(plan->group);
  gg_hook_chain_unref(plan->options.hooks);
  gg__listener_routes_release(&plan->routes);
  if (plan->binding)
    gg__binding_unref(plan->binding);
  free(plan);
}

/* The group that the same listener has now: the one at this address, or else the one of this name, which has moved. */
static struct gg_group *group_before(const struct gg_plane *plane, const struct gg_binding *binding, const char *name)
{
  const struct gg_snapshot *now = plane->snapshot;
  struct gg_group *moved = NULL;
  for (size_t i = 0; now && i < now->plan_count; i++) {
    if (now->plans[i]->binding == binding)
      return now->plans[i]->group;
    if (strcmp(now->plans[i]->options.name, name) == 0)
      moved = now->plans[i]->group;
  }
  return moved;
}

/* ── Logs ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void log_wake(void *context)
{
  gg_wake_signal(&((struct gg_worker *)context)->wake);
}

static const char *policy_name(enum gg_policy policy)
{
  return policy == GG_POLICY_BLOCK ? "block" : policy == GG_POLICY_GAP ? "gap" : "close";
}

/* Prepares a worker's log for a pair of policies, in a place that the worker does not look at yet. */
static int log_make(struct gg_worker *worker, unsigned index, const struct gg_policy_pair *pair,
                    struct gg_failure *failure)
{
  struct gg_worker_log *log = &worker->logs[index];
  if (log->log) /* it is there; or was made for a reload that came to nothing */
    return GG_OK;
  int error = gg_loop_set_open(&worker->loop, index);
  if (error)
    return gg_fail(failure, error, "cannot make a worker's set of sockets: %s", gg_error_text(error));
  *log = (struct gg_worker_log){.worker = worker, .on_stall = pair->on_stall, .on_full = pair->on_full, .set = index};
  gg_list_init(&log->waiting);
  gg_list_init(&log->closing);
  gg_list_init(&log->undurable);
  if (!pair->recorded)
    return GG_OK;
  char name[32];
  if (log->on_stall == log->on_full)
    snprintf(name, sizeof name, "w%u-%s", worker->index, policy_name(log->on_stall));
  else
    snprintf(name, sizeof name, "w%u-%s-%s", worker->index, policy_name(log->on_stall), policy_name(log->on_full));
  return gg_recorder_log(worker->plane->options.recorder, name, log_wake, worker, &log->log, failure);
}

/* The pair behind those that all workers have: it may have been begun by a reload that came to nothing. */
static int pair_finish(struct gg_plane *plane, struct gg_failure *failure)
{
  int error = GG_OK;
  for (unsigned i = 0; i < plane->worker_count && !error; i++)
    error = log_make(plane->workers[i], plane->pair_count, &plane->pairs[plane->pair_count], failure);
  plane->pair_begun = error != GG_OK;
  plane->pair_count += !error;
  return error;
}

static struct gg_policy_pair pair_of(const struct gg_listener_options *options)
{
  if (options->record == GG_RECORD_OFF)
    return (struct gg_policy_pair){.recorded = false};
  return (struct gg_policy_pair){true, options->on_stall, options->on_full};
}

static unsigned pair_find(const struct gg_plane *plane, const struct gg_policy_pair *wanted)
{
  unsigned index = 0;
  while (index < plane->pair_count &&
         (plane->pairs[index].recorded != wanted->recorded || plane->pairs[index].on_stall != wanted->on_stall ||
          plane->pairs[index].on_full != wanted->on_full))
    index++;
  return index;
}

/* Every worker has a log for every pair of policies that was ever asked for, all in the same order; and among them the
 * one without a ring, if something was ever not to be recorded. */
static int log_for(struct gg_plane *plane, struct gg_snapshot *snapshot, struct gg_plan *plan,
                   struct gg_failure *failure)
{
  int error = GG_OK;
  struct gg_policy_pair pair = pair_of(&plan->options);
  plan->log = pair_find(plane, &pair);
  if (plan->log == plane->pair_count && plane->pair_begun) {
    error = pair_finish(plane, failure);
    plan->log = pair_find(plane, &pair);
  }
  if (!error && plan->log == plane->pair_count) {
    plane->pairs[plan->log] = pair;
    error = pair_finish(plane, failure);
  }
  snapshot->log_count = plane->pair_count;
  return error;
}

/* The read set of the first is the quickest (net/loop.h): what is recorded goes before what is not. */
static int logs_for(struct gg_plane *plane, struct gg_snapshot *snapshot, struct gg_failure *failure)
{
  int error = GG_OK;
  for (unsigned off = 0; off < 2; off++)
    for (size_t i = 0; i < snapshot->plan_count && !error; i++)
      if ((snapshot->plans[i]->options.record == GG_RECORD_OFF) == off)
        error = log_for(plane, snapshot, snapshot->plans[i], failure);
  return error;
}

unsigned gg_plane_logs(const struct gg_plane_options *options)
{
  unsigned pairs = 0;
  bool seen[3][3] = {{false}};
  for (size_t i = 0; i < options->listener_count; i++) {
    if (options->listeners[i].record == GG_RECORD_OFF)
      continue;
    bool *pair = &seen[options->listeners[i].on_stall][options->listeners[i].on_full];
    pairs += !*pair;
    *pair = true;
  }
  return pairs * options->workers;
}

/* ── A snapshot ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Each session needs two descriptors: what the limit leaves after everything else is how many there can be. */
static uint64_t sessions_by_descriptors(const struct gg_plane_options *options)
{
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return 1024;
  uint64_t used = FDS_OF_PROCESS + options->fds_kept + options->workers * (FDS_OF_WORKER + options->listener_count);
  return limit.rlim_cur > used + FDS_OF_SESSION ? (limit.rlim_cur - used) / FDS_OF_SESSION : 1;
}

static int plan_make(struct gg_snapshot *snapshot, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_failure *failure)
{
  struct gg_plan *plan = plan_alloc(options);
  if (!plan)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for listener %s", options->name);
  snapshot->plans[snapshot->plan_count++] = plan;
  int error = gg__binding_find(&plan->binding, plane, options, failure);
  if (plan->binding)
    atomic_fetch_add(&plan->binding->refs, 1);
  return error;
}

static int plan_fill(struct gg_plan *plan, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_failure *failure)
{
  int error = GG_OK;
  if (!plan->binding) {
    error = gg__binding_make(&plan->binding, plane, options, failure);
    if (error)
      return error;
    atomic_fetch_add(&plan->binding->refs, 1);
  }
  error = gg__listener_routes(plane, options, &plan->routes, failure);
  if (!error && options->listen.family != GG_FAMILY_UNIX)
    error = gg__queue_get(plane->queues, options->name, &plan->queue, failure);
  if (!error)
    error = gg__group_create(&plan->group, plane, options, group_before(plane, plan->binding, options->name), failure);
  return error;
}

/* A worker's listener, for one socket. */
static int fresh_make(struct gg_snapshot *snapshot, struct gg_worker *worker, struct gg_plan *plan, unsigned slot,
                      struct gg_failure *failure)
{
  struct gg_listener *listener = gg__listener_create(worker, plan, slot);
  if (!listener)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for listener %s", plan->options.name);
  gg_list_append(&snapshot->fresh[worker->index], &listener->node);
  return GG_OK;
}

/* Sockets go round; a shared one goes to everybody. */
static int fresh_for(struct gg_snapshot *snapshot, struct gg_plane *plane, struct gg_plan *plan,
                     struct gg_failure *failure)
{
  int error = GG_OK;
  bool shared = plan->binding->shared;
  unsigned count = shared ? plane->worker_count : plan->binding->socket_count;
  for (unsigned i = 0; i < count && !error; i++)
    error = fresh_make(snapshot, plane->workers[i % plane->worker_count], plan, shared ? 0 : i, failure);
  return error;
}

/* What can be taken back without a trace comes first; that somebody may connect comes last. */
static int fill(struct gg_snapshot *snapshot, struct gg_plane *plane, const struct gg_plane_options *options,
                struct gg_failure *failure)
{
  int error = GG_OK;
  for (size_t i = 0; i < options->listener_count && !error; i++)
    error = plan_make(snapshot, plane, &options->listeners[i], failure);
  for (size_t i = 0; i < snapshot->plan_count && !error; i++)
    error = plan_fill(snapshot->plans[i], plane, &options->listeners[i], failure);
  if (!error)
    error = logs_for(plane, snapshot, failure);
  for (size_t i = 0; i < snapshot->plan_count && !error; i++)
    error = fresh_for(snapshot, plane, snapshot->plans[i], failure);
  for (size_t i = 0; i < snapshot->plan_count && !error; i++)
    error = gg__binding_listen(snapshot->plans[i]->binding, &options->listeners[i], failure);
  return error;
}

static void fresh_free(struct gg_list *fresh)
{
  while (!gg_list_empty(fresh)) {
    struct gg_listener *listener = GG_CONTAINER(fresh->next, struct gg_listener, node);
    gg_list_remove(&listener->node);
    atomic_fetch_sub(&listener->plan->binding->sockets[listener->slot].users, 1);
    gg__listener_destroy(listener);
  }
}

int gg__snapshot_create(struct gg_snapshot **out, struct gg_plane *plane, const struct gg_plane_options *options,
                        struct gg_failure *failure)
{
  *out = NULL;
  struct gg_snapshot *snapshot = calloc(1, sizeof *snapshot);
  if (!snapshot)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the gateway's options");
  for (unsigned i = 0; i < GG_WORKERS_MAX; i++)
    gg_list_init(&snapshot->fresh[i]);
  snapshot->options = *options;
  snapshot->options.listeners = NULL;
  snapshot->options.listener_count = 0;
  uint64_t most = sessions_by_descriptors(options);
  snapshot->sessions_max = options->sessions_max && options->sessions_max < most ? options->sessions_max : most;
  gg__routes_begin(plane->routes);
  gg__queues_begin(plane->queues);
  int error = fill(snapshot, plane, options, failure);
  gg__routes_end(plane->routes, !error);
  gg__queues_end(plane->queues, !error);
  if (error) {
    gg__snapshot_destroy(snapshot, plane);
    gg__bindings_settle(plane, false);
    return error;
  }
  gg__bindings_settle(plane, true);
  *out = snapshot;
  return GG_OK;
}

void gg__snapshot_destroy(struct gg_snapshot *snapshot, struct gg_plane *plane)
{
  if (!snapshot)
    return;
  for (unsigned i = 0; i < plane->worker_count; i++)
    fresh_free(&snapshot->fresh[i]);
  for (size_t i = 0; i < snapshot->plan_count; i++)
    gg__plan_unref(snapshot->plans[i]);
  free(snapshot);
}
