/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kernel_metrics.h"

#include "engine/engine.h"
#include "net/netstat.h"
#include <gogetway/gogetway.h>

#include <stdlib.h>
#include <unistd.h>

struct gg_kernel_metrics {
  struct gg_gateway *engine;
  struct gg_shard *shard; /* NULL until they are read first: a shard ends registration */
  size_t first, start_time, build_info;
  int netstat_fd; /* -1: cannot be opened here */
};

static const struct gg_metric_def definitions[GG_NETSTAT_VALUES] = {
#define DEFINITION(NAME, name, field, help) {#name, GG_METRIC_COUNTER, help, NULL, NULL},
  GG_NETSTAT_LIST(DEFINITION)
#undef DEFINITION
};

/* A name of its own, and not process_start_time_seconds: node_exporter, which may carry our file, has that itself. */
static const struct gg_metric_def start_time = {
  "start_time_ns", GG_METRIC_GAUGE, "When this gateway was started, since the beginning of 1970", NULL, NULL};

/* Always 1: what it tells is in the label. */
static const struct gg_metric_def build_info = {"build_info", GG_METRIC_GAUGE, "The version that runs, as a label",
                                                NULL, NULL};
static const char *const build_labels[] = {"version"};

static int register_own(struct gg_kernel_metrics *kernel, struct gg_metrics *metrics)
{
  const char *const values[] = {gg_version()};
  const struct gg_metric_family build = {&build_info, 1, build_labels, 1, values, 1, 0};
  size_t stride;
  int error = gg_metrics_register(metrics, &start_time, 1, &kernel->start_time);
  return error ? error : gg_metrics_register_family(metrics, &build, &kernel->build_info, &stride);
}

static void collect(void *context)
{
  struct gg_kernel_metrics *kernel = context;
  struct gg_gateway *engine = kernel->engine;
  uint64_t values[GG_NETSTAT_VALUES];
  if (!kernel->shard && gg_metrics_shard(engine->metrics, &kernel->shard) != 0)
    return;
  gg_shard_set(kernel->shard, kernel->start_time, engine->started_real_ns);
  gg_shard_set(kernel->shard, kernel->build_info, 1);
  if (kernel->netstat_fd >= 0 && gg_netstat_read(kernel->netstat_fd, values))
    for (unsigned i = 0; i < GG_NETSTAT_VALUES; i++)
      gg_shard_set(kernel->shard, kernel->first + i, values[i]);
  /* Who holds the lock may be waiting for the thread that this runs on: then the gateway's stay as they were. */
  if (pthread_mutex_trylock(&engine->lock) != 0)
    return;
  if (engine->plane)
    gg_plane_collect(engine->plane, kernel->shard);
  pthread_mutex_unlock(&engine->lock);
}

int gg__kernel_metrics_start(struct gg_kernel_metrics **out, struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_kernel_metrics *kernel = calloc(1, sizeof *kernel);
  *out = kernel;
  if (!kernel)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the kernel's metrics");
  kernel->engine = engine;
  kernel->netstat_fd = gg_netstat_open();
  int error = register_own(kernel, engine->metrics);
  if (!error)
    error = gg_metrics_register(engine->metrics, definitions, GG_NETSTAT_VALUES, &kernel->first);
  if (!error)
    error = gg_metrics_collector(engine->metrics, collect, kernel);
  return error ? gg_fail(failure, error, "cannot register the kernel's metrics: %s", gg_error_text(error)) : 0;
}

void gg__kernel_metrics_stop(struct gg_kernel_metrics *kernel)
{
  if (!kernel)
    return;
  if (kernel->netstat_fd >= 0)
    close(kernel->netstat_fd);
  free(kernel);
}
