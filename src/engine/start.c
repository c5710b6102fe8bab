/* SPDX-License-Identifier: Apache-2.0 */
/* start.c - makes the parts of the engine, in the order that engine.c tells of, and frees them in the reverse. */
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/file.h"
#include "engine/indexing.h"
#include "engine/kernel_metrics.h"
#include "engine/metrics_file.h"
#include "engine/polled.h"
#include "engine/retaining.h"
#include "engine/service.h"
#include "hook/sink.h"
#include "record/sink.h"

#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LISTENERS_TEXT_MAX = 1024 };

static void log_line(void *context, enum gg_level level, const char *line, size_t length)
{
  struct gg_gateway *engine = context;
  (void)level;
  engine->log_line(engine->context, line, length);
}

static int make_logger(struct gg_gateway *engine, struct gg_failure *failure)
{
  enum gg_level level = engine->now->config.message.level;
  int error = 0;
  if (engine->log_line)
    error = gg_logger_create_sink(&engine->logger, log_line, engine, level, GG_LOGGER_JSON);
  else if (engine->log_fd >= 0)
    error = gg_logger_create(&engine->logger, engine->log_fd, level, engine->now->config.message.format);
  return error ? gg_fail(failure, error, "cannot make the logger") : 0;
}

/* Rings on a disk are written back by the kernel: each byte is then written twice, and a commit may wait for it. */
static void warn_of_slow_rings(const struct gg_gateway *engine)
{
  const char *dir = engine->now->config.log.dir;
  struct statfs status;
  if (statfs(dir, &status) == 0 && status.f_type != TMPFS_MAGIC && status.f_type != RAMFS_MAGIC)
    gg_warn(engine->logger, "log.dir is not a tmpfs", GG_S("dir", dir),
            GG_S("effect", "the log's rings go to a disk as well: traffic may wait for it, and is written twice"));
}

/* On the writer's thread. */
static void on_written(void *context, const struct gg_recorder_block *block)
{
  const struct gg_gateway *engine = context;
  gg__indexing_written(engine->indexing, block->segment, block->offset, block->bytes, block->length);
}

static int make_room(void *context, uint64_t bytes)
{
  const struct gg_gateway *engine = context;
  return gg__retaining_make_room(engine->retaining, bytes);
}

/* On the sync thread. */
static void on_sealed(void *context, const char *name, uint64_t bytes)
{
  const struct gg_gateway *engine = context;
  (void)bytes;
  gg__retaining_sealed(engine->retaining, name);
}

static const struct gg_recorder_ops recorder_ops = {.make_room = make_room, .sealed = on_sealed, .written = on_written};

static int open_recorder(struct gg_gateway *engine, struct gg_failure *failure)
{
  const struct gg_config *config = &engine->now->config;
  struct gg_recorder_options options = GG_RECORDER_OPTIONS_INIT;
  struct gg_recovery recovery; /* the recorder logs what it found */
  options.dir = config->dir;
  options.ring_dir = config->log.dir;
  options.ring_bytes = config->log.ring_bytes;
  options.log_max_bytes = config->log.max_bytes;
  options.logs_max = gg_plane_logs(&engine->now->options);
  options.segment_max_bytes = config->segment.max_bytes;
  options.segment_max_age_ns = config->segment.max_age_ns;
  options.flush_interval_ns = config->log.flush_interval_ns;
  options.sync_mode = (enum gg_sync_mode)config->sync.mode;
  options.sync_interval_ns = config->sync.interval_ns;
  options.logger = engine->logger;
  options.metrics = engine->metrics;
  options.ops = &recorder_ops;
  options.ops_context = engine;
  options.lock_fd = gg__takeover_lock(engine->takeover);
  warn_of_slow_rings(engine);
  struct gg_failure why = GG_FAILURE_INIT;
  int error = gg_recorder_open(&engine->recorder, &options, &recovery, &why);
  engine->now->options.recorder = engine->recorder;
  if (error == GG_ERR_BUSY && !engine->takeover)
    return gg_fail(failure, error, "%.400s; %s", why.message,
                   config->takeover ? "it has no control socket there, so it cannot be taken over from"
                                    : "with --takeover this one would take its place");
  return error ? gg_fail(failure, error, "%s", why.message) : 0;
}

int gg__engine_fill(struct gg_gateway *engine, struct gg_configured *configured, struct gg_failure *failure)
{
  configured->options.recorder = engine->recorder;
  configured->options.logger = engine->logger;
  configured->options.metrics = engine->metrics;
  int error = gg__configured_fill(configured, engine->resolver, failure);
  configured->options.polled = engine->polled != NULL;
  return error;
}

/* Sockets that listen already: those of the process before, and those of a parent, which may be the same. */
static int inherit(struct gg_gateway *engine, struct gg_failure *failure)
{
  int error = engine->own_process ? gg__listen_fds_take(engine->parents, failure) : 0;
  if (!error)
    error = gg__takeover_sockets(engine->takeover, engine, failure);
  if (!error)
    error = gg__listen_fds_match(engine->parents, engine->now, failure);
  /* At a parent's too the process before accepts until it lets go, if only to refuse. */
  for (size_t i = 0; engine->takeover && i < engine->now->config.listener_count && !error; i++)
    engine->now->listeners[i].inherited_lent = engine->now->listeners[i].inherited_count > 0;
  engine->now->options.fds_kept = engine->parents->count;
  return error;
}

/* A port that another process has is the gateway's that was to be taken over, if the directory was the wrong one. */
static int create_gateway(struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  int error = gg_plane_create(&engine->plane, &engine->now->options, &why);
  gg_hook_desk_serve(engine->desk, engine->plane);
  if (error == GG_ERR_BUSY && engine->now->config.takeover && !engine->takeover)
    return gg_fail(failure, error, "%.300s; nothing was taken over, since no gateway runs on %.150s", why.message,
                   engine->now->config.dir);
  return error ? gg_fail(failure, error, "%s", why.message) : 0;
}

static int make_gateway(struct gg_gateway *engine, struct gg_failure *failure)
{
  engine->parents = calloc(1, sizeof *engine->parents);
  if (!engine->parents)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the listeners");
  int error = inherit(engine, failure);
  if (!error)
    error = create_gateway(engine, failure);
  if (!error)
    gg__takeover_drain(engine->takeover, engine);
  gg__listen_fds_given(engine->now);
  gg__takeover_bound(engine->takeover, engine);
  return error;
}

/* Registers metrics, so it is made in front of whatever makes a shard. */
static int make_desk(struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_hook_desk *desk = calloc(1, sizeof *desk);
  if (!desk)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the plug-ins");
  int error =
    gg_hook_desk_init(desk, engine->metrics, engine->logger, &gg_plane_hook_sessions, engine->now->config.dir, failure);
  if (error)
    free(desk);
  else
    engine->desk = desk;
  return error;
}

/* After the recorder, who makes the store that their directories are in; before any port is bound. */
static int make_plugins(struct gg_gateway *engine, struct gg_failure *failure)
{
  int error = gg__plugins_create(engine->now, engine->desk, failure);
  return error ? error : gg__plugins_chain(engine->now, engine->desk, failure);
}

void gg__engine_end_plugins(struct gg_gateway *engine)
{
  if (!engine->desk)
    return;
  gg_hook_desk_stop(engine->desk);
  gg_hook_reap(engine->desk);
}

/* The last have gone with the plane, the recorder and the configuration. False: one is still inside of a sink. */
static bool free_desk(struct gg_gateway *engine)
{
  if (!engine->desk)
    return true;
  gg_hook_sinks_finish(engine->desk, gg_clock_mono_ns() + GG_RECORDER_STOP_NS);
  gg_hook_reap(engine->desk);
  if (engine->desk->hooks) {
    engine->desk = NULL;
    return false;
  }
  gg_hook_desk_fini(engine->desk);
  free(engine->desk);
  engine->desk = NULL;
  return true;
}

/* All that can be refused. */
static int make_parts(struct gg_gateway *engine, struct gg_failure *failure)
{
  int error = make_logger(engine, failure);
  if (!error)
    error = gg__service_begin(engine, failure);
  if (!error && gg_metrics_create(&engine->metrics) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "out of memory for the metrics");
  if (!error)
    error = make_desk(engine, failure);
  if (!error)
    error = gg__retaining_create(&engine->retaining, engine->metrics, engine->logger, failure);
  if (!error)
    error = gg__kernel_metrics_start(&engine->kernel_metrics, engine, failure);
  if (!error && engine->now->config.catalogue == GG_CONFIG_ON)
    error = gg__indexing_create(&engine->indexing, engine, failure);
  if (!error && gg_resolver_create(&engine->resolver, engine->now->config.resolve.interval_ns, engine->logger) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "out of memory for the resolver");
  if (!error)
    error = gg__engine_fill(engine, engine->now, failure);
  if (!error && engine->now->config.takeover)
    error = gg__takeover_begin(&engine->takeover, engine, failure);
  if (!error)
    error = open_recorder(engine, failure);
  /* After the recorder, who makes the store that these files may be in. */
  if (!error && engine->now->config.stats.file)
    error = gg__file_check(engine->now->config.stats.file, failure);
  if (!error && engine->now->config.stats.metrics_file)
    error = gg__file_check(engine->now->config.stats.metrics_file, failure);
  if (!error)
    error = make_plugins(engine, failure);
  if (!error)
    error = make_gateway(engine, failure);
  if (!error)
    error = gg__polled_begin(engine, failure);
  if (!error)
    error = gg__service_confine(engine, failure);
  return error;
}

int gg__engine_index(struct gg_gateway *engine, struct gg_failure *failure)
{
  gg__indexing_rules(engine->indexing, engine->now->tag_rules);
  gg__plugins_decoders(engine->now, engine->indexing);
  return engine->indexing ? gg__indexing_start(engine->indexing, failure) : 0;
}

int gg__engine_metrics_file(struct gg_gateway *engine, struct gg_failure *failure)
{
  const struct gg_metrics_file_options options = {
    .path = engine->now->config.stats.metrics_file,
    .interval_ns = engine->now->config.stats.metrics_interval_ns,
    .metrics = engine->metrics,
    .logger = engine->logger,
  };
  return options.path ? gg__metrics_file_start(&engine->metrics_file, &options, failure) : 0;
}

/* Clients of the control socket find this gateway from now on, and no other. The process that had it lets go first, if
 * there is one. Once it has, we are the only one who serves: what fails then is told, and ends nothing. */
static int step_forward(struct gg_gateway *engine, struct gg_failure *failure)
{
  int error = engine->takeover ? gg__takeover_finish(engine->takeover, engine, failure) : 0;
  bool alone = !engine->takeover;
  struct gg_failure why = GG_FAILURE_INIT;
  gg__takeover_end(engine->takeover);
  engine->takeover = NULL;
  if (error || alone)
    return error ? error : gg_control_publish(engine->control, failure);
  if (gg_control_publish(engine->control, &why) != 0)
    gg_error_log(engine->logger, "commands do not find this gateway", GG_S("error", why.message),
                 GG_S("effect", "it serves; the next restart has to be a stop and a start"));
  return 0;
}

/* The workers are last: sessions begin there. Nothing behind them can fail, but for a process that does not let go. */
static int start_threads(struct gg_gateway *engine, struct gg_failure *failure)
{
  const struct gg_control_options control = {
    .dir = engine->now->config.dir,
    .commands = gg__engine_commands,
    .command_count = gg__engine_command_count,
    .context = engine,
    .gone = gg__takeover_gone,
    .busy = gg__takeover_under_way,
    .logger = engine->logger,
    .alone = !engine->takeover,
  };
  int error = gg_resolver_start(engine->resolver);
  if (error)
    return gg_fail(failure, error, "cannot start the resolver: %s", gg_error_text(error));
  error = gg_recorder_start(engine->recorder, failure);
  if (!error)
    error = gg_control_start(&engine->control, &control, failure);
  if (!error && !engine->takeover)
    error = step_forward(engine, failure);
  if (!error && !engine->takeover) /* else the file is the other process' until it lets go */
    error = gg__engine_metrics_file(engine, failure);
  if (!error && !engine->takeover) /* the same */
    error = gg__retaining_start(engine->retaining, &engine->now->config, engine->recorder, failure);
  if (!error && !engine->takeover) /* likewise */
    error = gg__engine_index(engine, failure);
  if (!error)
    error = gg__plugins_start(engine->now, failure);
  if (!error) {
    gg__plugins_sinks(engine->now, engine->recorder);
    gg_recorder_tell_recovered(engine->recorder);
  }
  if (!error)
    error = gg_plane_start(engine->plane, failure);
  return error;
}

/* Signals come again: the other one may let us wait, and then we can be told to end. */
static int take_over(struct gg_gateway *engine, struct gg_failure *failure)
{
  int error = step_forward(engine, failure);
  if (error) {
    gg__takeover_release(engine);
    gg_plane_join(engine->plane);
    return error;
  }
  gg__refusing_wait(engine);
  struct gg_failure why = GG_FAILURE_INIT, no_retention = GG_FAILURE_INIT;
  if (gg__retaining_start(engine->retaining, &engine->now->config, engine->recorder, &no_retention) != 0)
    gg_error_log(engine->logger, "retention does not work", GG_S("error", no_retention.message),
                 GG_S("effect", "the gateway serves; nothing is removed until its next start"));
  if (gg__engine_metrics_file(engine, &why) != 0)
    gg_error_log(engine->logger, "metrics file not written", GG_S("error", why.message),
                 GG_S("effect", "the gateway serves; a reload that names another file tries again"));
  why = (struct gg_failure)GG_FAILURE_INIT;
  if (gg__engine_index(engine, &why) != 0)
    gg_error_log(engine->logger, "sessions are not in the catalogue", GG_S("error", why.message),
                 GG_S("effect", "the gateway serves and records; commands read the segments"));
  return 0;
}

/* That a recording gateway does not record somewhere is worth a warning. */
static void tell_listening(const struct gg_gateway *engine, const struct gg_config_listener *listener,
                           const char *address)
{
  if (listener->record == GG_CONFIG_RECORD_OFF)
    gg_warn(engine->logger, "listening", GG_S("address", address), GG_S("listener", listener->name),
            GG_S("upstream", listener->upstream_text), GG_S("record", "off"),
            GG_S("effect", "its sessions are not recorded"));
  else
    gg_info(engine->logger, "listening", GG_S("address", address), GG_S("listener", listener->name),
            GG_S("upstream", listener->upstream_text));
}

static void tell_ready(const struct gg_gateway *engine)
{
  char all[LISTENERS_TEXT_MAX] = "", text[512];
  size_t length = 0;
  for (size_t i = 0; gg__engine_listener(engine, i, text, sizeof text); i++) {
    tell_listening(engine, &engine->now->config.listeners[i], text);
    int more = snprintf(all + length, sizeof all - length, "%s%s", length ? ", " : "", text);
    length += more > 0 && (size_t)more < sizeof all - length ? (size_t)more : 0;
    all[length] = '\0';
  }
  gg_info(engine->logger, "ready", GG_S("listeners", all), GG_U("pid", getpid()), GG_S("dir", engine->now->config.dir),
          GG_U("workers", engine->now->options.workers));
}

/* Undoes what was made; the threads are ended already, or were never begun. */
void gg__engine_free_parts(struct gg_gateway *engine)
{
  if (engine->haunted) /* it was done already, as far as may be */
    return;
  gg__takeover_end(engine->takeover);
  gg__siblings_close(engine);
  gg_control_stop(engine->control);
  gg__metrics_file_drop(engine->metrics_file);
  gg__indexing_stop(engine->indexing); /* if it was not stopped: the start failed */
  gg__service_end(engine);
  gg__engine_end_plugins(engine);
  if (engine->desk)
    gg_hook_desk_serve(engine->desk, NULL);
  gg_plane_destroy(engine->plane);
  gg__listen_fds_close(engine->parents);
  free(engine->parents);
  /* A thread that hangs in the disk comes back some day, to what it was given. The writer's calls back into the engine,
   * retention's to the recorder. */
  bool abandoned = gg_recorder_abandoned(engine->recorder);
  bool retained = gg__retaining_stop(engine->retaining);
  if (retained)
    gg_recorder_destroy(engine->recorder);
  bool indexed = !abandoned && gg__indexing_destroy(engine->indexing);
  abandoned |= !retained || !indexed;
  gg__configured_release(engine->now);
  abandoned |= !free_desk(engine);
  gg_resolver_destroy(engine->resolver);
  gg__kernel_metrics_stop(engine->kernel_metrics);
  engine->haunted = abandoned;
  if (abandoned) /* such a thread goes on with what is left */
    return;
  gg__retaining_destroy(engine->retaining);
  gg_metrics_destroy(engine->metrics);
  gg_logger_destroy(engine->logger);
  engine->takeover = NULL;
  engine->control = NULL;
  engine->metrics_file = NULL;
  engine->plane = NULL;
  engine->parents = NULL;
  engine->retaining = NULL;
  engine->recorder = NULL;
  engine->resolver = NULL;
  engine->metrics = NULL;
  engine->kernel_metrics = NULL;
  engine->indexing = NULL;
  engine->logger = NULL;
}

int gg_gateway_start(struct gg_gateway *engine, struct gg_failure *failure)
{
  if (atomic_load(&engine->state) != GG_ENGINE_CREATED || gg_gateway_action(engine) != GG_GATEWAY_RUN)
    return gg_fail(failure, GG_ERR_INVALID, "this engine was started already, or is not meant to run");
  engine->started_real_ns = gg_clock_real_ns();
  engine->started_mono_ns = gg_clock_mono_ns();
  int error = make_parts(engine, failure);
  if (!error) {
    /* Signals belong to the embedding program's own threads: none of ours is interrupted by one. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = start_threads(engine, failure);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error && engine->takeover)
      error = take_over(engine, failure);
    if (error)
      gg_recorder_stop(engine->recorder, gg_clock_mono_ns() + GG_RECORDER_STOP_NS, NULL);
  }
  if (error) {
    atomic_store(&engine->state, GG_ENGINE_ENDED);
    gg__engine_free_parts(engine);
    return error;
  }
  atomic_store(&engine->state, GG_ENGINE_RUNNING);
  gg__plugins_tell(engine->now, NULL, engine->logger, NULL);
  tell_ready(engine);
  gg__service_ready(engine);
  return 0;
}
