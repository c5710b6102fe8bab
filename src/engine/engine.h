/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - what the engine's files share: its parts, and what is told about it. */
#ifndef GG_ENGINE_ENGINE_H
#define GG_ENGINE_ENGINE_H

#include "admin/control.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "engine/config.h"
#include "gateway/gateway.h"
#include "net/resolve.h"
#include "record/log.h"
#include <gogetway/gateway.h>
#include <stdatomic.h>

enum gg_engine_state {
  GG_ENGINE_CREATED,
  GG_ENGINE_RUNNING,
  GG_ENGINE_DRAINING,
  GG_ENGINE_STOPPING,
  GG_ENGINE_ENDED, /* also: could not be started */
};

struct gg_metrics_file;

struct gg_engine {
  struct gg_config config;
  gg_line_fn log_line;
  int log_fd;
  void *context;

  /* In the order in which they are made, and the reverse of that in which they are undone. */
  struct gg_logger *logger;
  struct gg_metrics *metrics;
  struct gg_resolver *resolver;
  struct gg_listener_options *listeners; /* config.listener_count of them */
  struct gg_upstream_options *upstreams; /* as many: the one of each that has one */
  struct gg_gateway_options gateway_options;
  struct gg_recorder *recorder;
  struct gg_gateway *gateway;
  struct gg_control *control;
  struct gg_metrics_file *metrics_file; /* NULL: not asked for */

  uint64_t started_real_ns;
  uint64_t started_mono_ns;
  int wake_fd;             /* eventfd: rung after a request below was set */
  _Atomic int state;       /* enum gg_engine_state; written by the engine's thread only */
  _Atomic unsigned drains; /* requests, from any thread or a signal handler */
  _Atomic unsigned stops;
  _Atomic unsigned hangups;
};

/* Writes version, process, listeners, workers and metrics as fields of the open object. */
int gg__engine_stats(const struct gg_engine *engine, struct gg_json *json);
/* Writes the same as one object to the file `path`, whole or not at all. */
int gg__engine_stats_file(const struct gg_engine *engine, const char *path, struct gg_failure *failure);

/* The commands of the control socket; their context is the engine. */
extern const struct gg_control_command gg__engine_commands[];
extern const size_t gg__engine_command_count;

/* Fills engine->listeners and engine->gateway_options from the config; names go to the resolver. */
int gg__engine_options(struct gg_engine *engine, struct gg_failure *failure);

#endif
