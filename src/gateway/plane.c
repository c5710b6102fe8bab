/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/plane.h"

#include "gateway/checker.h"
#include "gateway/sources.h"
#include "gateway/worker.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void find_local_addresses(struct gg_plane *plane)
{
  struct ifaddrs *list;
  if (getifaddrs(&list) != 0)
    return;
  size_t most = sizeof plane->local / sizeof plane->local[0];
  for (struct ifaddrs *entry = list; entry && plane->local_count < most; entry = entry->ifa_next) {
    if (!entry->ifa_addr)
      continue;
    int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6)
      continue;
    socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    gg_addr_from_sockaddr(&plane->local[plane->local_count++], entry->ifa_addr, length);
  }
  freeifaddrs(list);
}

/* What can fail of making it, in the order in which it is needed. */
static int make_parts(struct gg_plane *plane, const struct gg_plane_options *options, struct gg_failure *failure)
{
  int error = gg_source_table_create(&plane->sources);
  if (error)
    return gg_fail(failure, error, "cannot make the table of sources: %s", gg_error_text(error));
  error = gg_metrics_register(options->metrics, gg__gateway_counters, GG_COUNTERS, &plane->counters);
  if (error)
    return gg_fail(failure, error, "cannot register the gateway's metrics: %s", gg_error_text(error));
  error = gg__routes_create(&plane->routes, options->metrics, failure);
  if (error)
    return error;
  error = gg__queues_create(&plane->queues, options->metrics, failure);
  if (error)
    return error;
  error = gg__health_desk_init(&plane->health, options->metrics, options->logger);
  if (error)
    return gg_fail(failure, error, "cannot count the upstreams' states: %s", gg_error_text(error));
  for (unsigned i = 0; !error && i < options->workers; i++)
    error = gg__worker_create(&plane->workers[i], plane, i, failure);
  struct gg_snapshot *first;
  if (!error)
    error = gg__snapshot_create(&first, plane, options, failure);
  if (!error)
    gg__plane_go_over(plane, first);
  return error;
}

int gg_plane_create(struct gg_plane **out, const struct gg_plane_options *options, struct gg_failure *failure)
{
  *out = NULL;
  if (options->size != sizeof *options || options->workers < 1 || options->workers > GG_WORKERS_MAX ||
      options->listener_count < 1 || options->listener_count > GG_LISTENERS_MAX ||
      (options->polled && options->workers != 1))
    return gg_fail(failure, GG_ERR_INVALID, "a gateway needs 1 to %d workers and 1 to %d listeners", GG_WORKERS_MAX,
                   GG_LISTENERS_MAX);
  struct gg_plane *plane = calloc(1, sizeof *plane);
  if (!plane)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the gateway");
  plane->options = *options;
  plane->options.listeners = NULL; /* borrowed for as long as this takes */
  plane->options.listener_count = 0;
  gg_list_init(&plane->bindings);
  pthread_mutex_init(&plane->lock, NULL);
  pthread_cond_init(&plane->passed, NULL);
  pthread_mutex_init(&plane->groups_lock, NULL);
  plane->worker_count = options->workers;
  find_local_addresses(plane);
  int error = make_parts(plane, options, failure);
  if (error) {
    gg_plane_destroy(plane);
    return error;
  }
  *out = plane;
  return GG_OK;
}

void gg_plane_collect(struct gg_plane *plane, struct gg_shard *shard)
{
  gg_shard_set(shard, plane->counters + GG_COUNT_SOURCES, gg_source_table_count(plane->sources));
  gg__queues_collect(plane, shard);
  gg__groups_collect(plane);
}

int gg_plane_start(struct gg_plane *plane, struct gg_failure *failure)
{
  int error = gg__groups_start(plane, failure);
  if (error)
    return error;
  if (plane->options.polled) {
    atomic_fetch_add(&plane->workers_running, 1);
    return GG_OK;
  }
  /* Signals are the engine's: no worker may be interrupted by one. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  for (unsigned i = 0; i < plane->worker_count && !error; i++) {
    struct gg_worker *worker = plane->workers[i];
    atomic_fetch_add(&plane->workers_running, 1);
    error = pthread_create(&worker->thread, NULL, gg__worker_main, worker);
    worker->thread_runs = error == 0;
    if (error)
      atomic_fetch_sub(&plane->workers_running, 1);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!error)
    return GG_OK;
  gg_plane_stop(plane);
  gg_plane_join(plane);
  return gg_fail_errno(failure, error, "cannot start a worker's thread");
}

bool gg_plane_alive(const struct gg_plane *plane, uint64_t now_mono_ns, uint64_t grace_ns)
{
  for (unsigned i = 0; i < plane->worker_count; i++) {
    uint64_t due_ns = atomic_load_explicit(&plane->workers[i]->due_ns, memory_order_relaxed);
    if (due_ns < now_mono_ns && now_mono_ns - due_ns > grace_ns)
      return false;
  }
  return true;
}

void gg_plane_drain(struct gg_plane *plane, uint64_t deadline_mono_ns)
{
  atomic_store_explicit(&plane->drain_deadline_ns, deadline_mono_ns ? deadline_mono_ns : 1, memory_order_release);
  for (unsigned i = 0; i < plane->worker_count; i++)
    gg_wake_signal(&plane->workers[i]->wake);
}

void gg_plane_stop(struct gg_plane *plane)
{
  gg_plane_drain(plane, 1);
}

bool gg_plane_running(const struct gg_plane *plane)
{
  return atomic_load_explicit(&plane->workers_running, memory_order_acquire) > 0;
}

int gg_plane_fd(const struct gg_plane *plane)
{
  assert(plane->options.polled);
  return plane->workers[0]->loop.base.fd;
}

bool gg_plane_turn(struct gg_plane *plane, uint64_t *next_mono_ns)
{
  struct gg_worker *worker = plane->workers[0];
  assert(plane->options.polled && gg_plane_running(plane));
  bool more = gg__worker_turn_now(worker, next_mono_ns);
  if (!more)
    gg__worker_end(worker);
  return more;
}

void gg_plane_join(struct gg_plane *plane)
{
  if (plane->options.polled && gg_plane_running(plane)) {
    while (gg__worker_turn(plane->workers[0]))
      continue;
    gg__worker_end(plane->workers[0]);
  }
  for (unsigned i = 0; i < plane->worker_count; i++) {
    if (plane->workers[i]->thread_runs)
      pthread_join(plane->workers[i]->thread, NULL);
    plane->workers[i]->thread_runs = false;
    /* Logs that a reload made which then came to nothing. */
    for (unsigned log = plane->workers[i]->log_count; log < plane->pair_count + plane->pair_begun; log++)
      if (plane->workers[i]->logs[log].log) {
        gg_log_finish(plane->workers[i]->logs[log].log);
        plane->workers[i]->logs[log].log = NULL;
      }
  }
}

void gg_plane_destroy(struct gg_plane *plane)
{
  if (!plane)
    return;
  for (unsigned i = 0; i < plane->worker_count; i++)
    gg__worker_destroy(plane->workers[i]);
  gg__checker_stop(plane->checker);
  plane->groups_started = false;
  gg__snapshot_destroy(plane->snapshot, plane);
  gg__bindings_sweep(plane, true);
  gg__groups_publish(plane, NULL, 0);
  gg__health_desk_fini(&plane->health);
  pthread_mutex_destroy(&plane->groups_lock);
  pthread_cond_destroy(&plane->passed);
  pthread_mutex_destroy(&plane->lock);
  gg__queues_destroy(plane->queues);
  gg__routes_destroy(plane->routes);
  gg_source_table_destroy(plane->sources);
  free(plane);
}
