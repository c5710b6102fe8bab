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
#include <sys/resource.h>
#include <unistd.h>

enum {
  FDS_OF_PROCESS = 96, /* standard streams, store, segments, rings, control socket, libraries, checks of upstreams */
  FDS_OF_WORKER = 16 + 2 * (GG_PIPES_MAX + 1),
  FDS_OF_SESSION = 2,
};

/* Each session needs two descriptors: what the limit leaves after everything else is how many there can be. */
static uint64_t sessions_by_descriptors(const struct gg_gateway_options *options)
{
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return 1024;
  uint64_t used = FDS_OF_PROCESS + options->workers * (FDS_OF_WORKER + options->listener_count);
  return limit.rlim_cur > used + FDS_OF_SESSION ? (limit.rlim_cur - used) / FDS_OF_SESSION : 1;
}

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

static int make_groups(struct gg_gateway *gateway, const struct gg_gateway_options *options, struct gg_failure *failure)
{
  struct gg_group *groups[GG_LISTENERS_MAX] = {NULL};
  int error = GG_OK;
  for (size_t i = 0; i < options->listener_count && !error; i++)
    error = gg__group_create(&groups[i], gateway, &options->listeners[i], NULL, failure);
  if (!error)
    gg__groups_publish(gateway, groups, options->listener_count);
  for (size_t i = 0; i < options->listener_count; i++)
    gg__group_destroy(groups[i]);
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
  pthread_mutex_init(&gateway->groups_lock, NULL);
  gateway->worker_count = options->workers;
  uint64_t most = sessions_by_descriptors(options);
  gateway->sessions_max = options->sessions_max && options->sessions_max < most ? options->sessions_max : most;
  find_local_addresses(gateway);
  int error = gg_source_table_create(&gateway->sources);
  if (error) {
    gg_gateway_destroy(gateway);
    return gg_fail(failure, error, "cannot make the table of sources: %s", gg_error_text(error));
  }
  error = gg_metrics_register(options->metrics, gg__gateway_counters, GG_COUNTERS, &gateway->counters);
  if (error)
    gg_fail(failure, error, "cannot register the gateway's metrics: %s", gg_error_text(error));
  else
    error = gg__routes_create(&gateway->routes, options->metrics, failure);
  if (!error && (error = gg__health_desk_init(&gateway->health, options->metrics, options->logger)) != 0)
    gg_fail(failure, error, "cannot count the upstreams' states: %s", gg_error_text(error));
  if (!error)
    error = make_groups(gateway, options, failure);
  for (unsigned i = 0; !error && i < options->workers; i++)
    error = gg__worker_create(&gateway->workers[i], gateway, i, failure);
  if (!error)
    error = gg__listeners_bind(gateway, failure);
  if (error) {
    gg_gateway_destroy(gateway);
    return error;
  }
  gg__routes_end(gateway->routes, true);
  *out = gateway;
  return GG_OK;
}

void gg_gateway_collect(struct gg_gateway *gateway, struct gg_shard *shard)
{
  gg_shard_set(shard, gateway->counters + GG_COUNT_SOURCES, gg_source_table_count(gateway->sources));
}

int gg_gateway_listener_endpoint(const struct gg_gateway *gateway, size_t index, struct gg_endpoint *out)
{
  if (index >= gateway->options.listener_count)
    return GG_ERR_RANGE;
  *out = gateway->bound[index];
  return GG_OK;
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
    else {
      char name[16];
      snprintf(name, sizeof name, "gg-worker-%u", worker->index);
      pthread_setname_np(worker->thread, name);
    }
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
  }
}

static void close_unix_listeners(struct gg_gateway *gateway)
{
  for (size_t i = 0; i < gateway->options.listener_count; i++) {
    if (gateway->unix_fds[i] <= 0)
      continue;
    close(gateway->unix_fds[i]);
    if (gateway->bound[i].path[0] != '@')
      unlink(gateway->bound[i].path);
  }
}

void gg_gateway_destroy(struct gg_gateway *gateway)
{
  if (!gateway)
    return;
  for (unsigned i = 0; i < gateway->worker_count; i++)
    gg__worker_destroy(gateway->workers[i]);
  close_unix_listeners(gateway);
  gg__checker_stop(gateway->checker);
  gateway->groups_started = false;
  gg__groups_publish(gateway, NULL, 0);
  gg__health_desk_fini(&gateway->health);
  pthread_mutex_destroy(&gateway->groups_lock);
  gg__routes_destroy(gateway->routes);
  gg_source_table_destroy(gateway->sources);
  free(gateway);
}
