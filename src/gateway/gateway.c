/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/gateway.h"

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

static void find_local_addresses(struct gg_gateway *gateway)
{
  struct ifaddrs *list;
  if (getifaddrs(&list) != 0)
    return;
  size_t most = sizeof gateway->local / sizeof gateway->local[0];
  for (struct ifaddrs *entry = list; entry && gateway->local_count < most; entry = entry->ifa_next) {
    if (!entry->ifa_addr)
      continue;
    int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6)
      continue;
    socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    gg_addr_from_sockaddr(&gateway->local[gateway->local_count++], entry->ifa_addr, length);
  }
  freeifaddrs(list);
}

/* What can fail of making it, in the order in which it is needed. */
static int make_parts(struct gg_gateway *gateway, const struct gg_gateway_options *options, struct gg_failure *failure)
{
  int error = gg_source_table_create(&gateway->sources);
  if (error)
    return gg_fail(failure, error, "cannot make the table of sources: %s", gg_error_text(error));
  error = gg_metrics_register(options->metrics, gg__gateway_counters, GG_COUNTERS, &gateway->counters);
  if (error)
    return gg_fail(failure, error, "cannot register the gateway's metrics: %s", gg_error_text(error));
  error = gg__routes_create(&gateway->routes, options->metrics, failure);
  if (error)
    return error;
  error = gg__queues_create(&gateway->queues, options->metrics, failure);
  if (error)
    return error;
  error = gg__health_desk_init(&gateway->health, options->metrics, options->logger);
  if (error)
    return gg_fail(failure, error, "cannot count the upstreams' states: %s", gg_error_text(error));
  for (unsigned i = 0; !error && i < options->workers; i++)
    error = gg__worker_create(&gateway->workers[i], gateway, i, failure);
  struct gg_snapshot *first;
  if (!error)
    error = gg__snapshot_create(&first, gateway, options, failure);
  if (!error)
    gg__gateway_go_over(gateway, first);
  return error;
}

int gg_gateway_create(struct gg_gateway **out, const struct gg_gateway_options *options, struct gg_failure *failure)
{
  *out = NULL;
  if (options->size != sizeof *options || options->workers < 1 || options->workers > GG_WORKERS_MAX ||
      options->listener_count < 1 || options->listener_count > GG_LISTENERS_MAX)
    return gg_fail(failure, GG_ERR_INVALID, "a gateway needs 1 to %d workers and 1 to %d listeners", GG_WORKERS_MAX,
                   GG_LISTENERS_MAX);
  struct gg_gateway *gateway = calloc(1, sizeof *gateway);
  if (!gateway)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the gateway");
  gateway->options = *options;
  gateway->options.listeners = NULL; /* borrowed for as long as this takes */
  gateway->options.listener_count = 0;
  gg_list_init(&gateway->bindings);
  pthread_mutex_init(&gateway->lock, NULL);
  pthread_cond_init(&gateway->passed, NULL);
  pthread_mutex_init(&gateway->groups_lock, NULL);
  gateway->worker_count = options->workers;
  find_local_addresses(gateway);
  int error = make_parts(gateway, options, failure);
  if (error) {
    gg_gateway_destroy(gateway);
    return error;
  }
  *out = gateway;
  return GG_OK;
}

void gg_gateway_collect(struct gg_gateway *gateway, struct gg_shard *shard)
{
  gg_shard_set(shard, gateway->counters + GG_COUNT_SOURCES, gg_source_table_count(gateway->sources));
  gg__queues_collect(gateway, shard);
  gg__groups_collect(gateway);
}

int gg_gateway_start(struct gg_gateway *gateway, struct gg_failure *failure)
{
  int error = gg__groups_start(gateway, failure);
  if (error)
    return error;
  /* Signals are the engine's: no worker may be interrupted by one. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  for (unsigned i = 0; i < gateway->worker_count && !error; i++) {
    struct gg_worker *worker = gateway->workers[i];
    atomic_fetch_add(&gateway->workers_running, 1);
    error = pthread_create(&worker->thread, NULL, gg__worker_main, worker);
    worker->thread_runs = error == 0;
    if (error)
      atomic_fetch_sub(&gateway->workers_running, 1);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!error)
    return GG_OK;
  gg_gateway_stop(gateway);
  gg_gateway_join(gateway);
  return gg_fail_errno(failure, error, "cannot start a worker's thread");
}

bool gg_gateway_alive(const struct gg_gateway *gateway, uint64_t now_mono_ns, uint64_t grace_ns)
{
  for (unsigned i = 0; i < gateway->worker_count; i++) {
    uint64_t due_ns = atomic_load_explicit(&gateway->workers[i]->due_ns, memory_order_relaxed);
    if (due_ns < now_mono_ns && now_mono_ns - due_ns > grace_ns)
      return false;
  }
  return true;
}

void gg_gateway_drain(struct gg_gateway *gateway, uint64_t deadline_mono_ns)
{
  atomic_store_explicit(&gateway->drain_deadline_ns, deadline_mono_ns ? deadline_mono_ns : 1, memory_order_release);
  for (unsigned i = 0; i < gateway->worker_count; i++)
    gg_wake_signal(&gateway->workers[i]->wake);
}

void gg_gateway_stop(struct gg_gateway *gateway)
{
  gg_gateway_drain(gateway, 1);
}

bool gg_gateway_running(const struct gg_gateway *gateway)
{
  return atomic_load_explicit(&gateway->workers_running, memory_order_acquire) > 0;
}

void gg_gateway_join(struct gg_gateway *gateway)
{
  for (unsigned i = 0; i < gateway->worker_count; i++) {
    if (gateway->workers[i]->thread_runs)
      pthread_join(gateway->workers[i]->thread, NULL);
    gateway->workers[i]->thread_runs = false;
    /* Logs that a reload made which then came to nothing. */
    for (unsigned log = gateway->workers[i]->log_count; log < gateway->pair_count + gateway->pair_begun; log++)
      if (gateway->workers[i]->logs[log].log) {
        gg_log_finish(gateway->workers[i]->logs[log].log);
        gateway->workers[i]->logs[log].log = NULL;
      }
  }
}

void gg_gateway_destroy(struct gg_gateway *gateway)
{
  if (!gateway)
    return;
  for (unsigned i = 0; i < gateway->worker_count; i++)
    gg__worker_destroy(gateway->workers[i]);
  gg__checker_stop(gateway->checker);
  gateway->groups_started = false;
  gg__snapshot_destroy(gateway->snapshot, gateway);
  gg__bindings_sweep(gateway, true);
  gg__groups_publish(gateway, NULL, 0);
  gg__health_desk_fini(&gateway->health);
  pthread_mutex_destroy(&gateway->groups_lock);
  pthread_cond_destroy(&gateway->passed);
  pthread_mutex_destroy(&gateway->lock);
  gg__queues_destroy(gateway->queues);
  gg__routes_destroy(gateway->routes);
  gg_source_table_destroy(gateway->sources);
  free(gateway);
}
