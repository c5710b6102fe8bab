/* SPDX-License-Identifier: Apache-2.0 */
/**
 * engine.c - puts the gateway together, and takes it apart again.
 *
 * Everything is made in one order and undone in the reverse: logger, metrics, resolver, recorder (the store's lock,
 * and recovery), gateway (the ports), and only then threads: resolver, recorder, workers, admin. So whatever can be
 * refused is refused before the first session is accepted, and a start that fails leaves nothing behind.
 *
 *   threads      made by                  ended by
 *   engine       the caller (wait)        -
 *   resolver     gg_resolver_start        gg_resolver_destroy
 *   writer, sync gg_recorder_start        gg_recorder_stop     after the workers: they fill the logs
 *   workers      gg_gateway_start         drain or stop, then gg_gateway_join
 *   admin        gg_control_start         gg_control_stop      before the recorder stops: it reads the logs' status
 *   metrics      gg__metrics_file_start   gg__metrics_file_stop  after the recorder: its last counts are final
 *
 * Requests to end come from any thread and from signal handlers. They only count up and ring an eventfd; the engine's
 * thread, in gg_engine_wait, does what they ask for. (Rejected: a signalfd. It needs every thread of the embedding
 * program to block the signals.)
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "engine/file.h"
#include "engine/metrics_file.h"

#include <assert.h>
#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { DRAIN_POLL_MS = 10, RUN_POLL_MS = 1000, LISTENERS_TEXT_MAX = 1024 };

/* What the disk is given to take the rest after the last session has ended. */
static const uint64_t recorder_stop_ns = 10 * GG_NS_PER_S;

/* ── Create ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_config_errors(const struct gg_engine_options *options, const struct gg_config_errors *errors)
{
  char text[64];
  if (!options->on_config_error)
    return;
  for (size_t i = 0; i < errors->count; i++)
    options->on_config_error(options->context, errors->items[i].text, strlen(errors->items[i].text));
  if (errors->left_out == 0)
    return;
  int length = snprintf(text, sizeof text, "%zu more errors are not shown", errors->left_out);
  options->on_config_error(options->context, text, (size_t)length);
}

static int load_config(struct gg_engine *engine, const struct gg_engine_options *options, struct gg_failure *failure)
{
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  char **arguments = calloc(options->argument_count + 1, sizeof *arguments);
  int error = GG_ERR_NOMEM;
  if (errors && arguments) {
    for (size_t i = 0; i < options->argument_count; i++)
      arguments[i] = (char *)(uintptr_t)options->arguments[i]; /* read only, whatever argv's type says */
    error = gg_config_load(&engine->config, (int)options->argument_count, arguments, errors);
    if (error)
      tell_config_errors(options, errors);
  }
  if (error && errors && errors->count > 0)
    gg_fail(failure, error, "%s", errors->items[0].text);
  else if (error)
    gg_fail(failure, error, "cannot read the configuration: %s", gg_error_text(error));
  free(arguments);
  free(errors);
  return error;
}

int gg_engine_create(struct gg_engine **out, const struct gg_engine_options *options, struct gg_failure *failure)
{
  *out = NULL;
  if (options->size != sizeof *options)
    return gg_fail(failure, GG_ERR_INVALID, "gg_engine_options has %zu bytes, this library knows %zu", options->size,
                   sizeof *options);
  if (options->argument_count > INT32_MAX / 2)
    return gg_fail(failure, GG_ERR_RANGE, "too many arguments");
  struct gg_engine *engine = calloc(1, sizeof *engine);
  if (!engine)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the engine");
  engine->log_line = options->log;
  engine->log_fd = options->log_fd;
  engine->context = options->context;
  engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int error = engine->wake_fd < 0 ? gg_fail_errno(failure, errno, "cannot make an eventfd") : 0;
  if (!error)
    error = load_config(engine, options, failure);
  if (error) {
    gg_engine_destroy(engine);
    return error;
  }
  *out = engine;
  return 0;
}

static const enum gg_engine_action actions[] = {
  [GG_CONFIG_RUN] = GG_ENGINE_RUN,
  [GG_CONFIG_CHECK] = GG_ENGINE_CHECK,
  [GG_CONFIG_PRINT] = GG_ENGINE_PRINT,
  [GG_CONFIG_HELP] = GG_ENGINE_HELP,
};

enum gg_engine_action gg_engine_action(const struct gg_engine *engine)
{
  return actions[engine->config.action];
}

char *gg_engine_text(const struct gg_engine *engine)
{
  switch (gg_engine_action(engine)) {
  case GG_ENGINE_PRINT:
    return gg_config_print(&engine->config);
  case GG_ENGINE_HELP:
    return gg_config_help();
  default:
    return calloc(1, 1);
  }
}

char *gg_engine_help(void)
{
  return gg_config_help();
}

/* ── Start ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void log_line(void *context, enum gg_level level, const char *line, size_t length)
{
  struct gg_engine *engine = context;
  (void)level;
  engine->log_line(engine->context, line, length);
}

static int make_logger(struct gg_engine *engine, struct gg_failure *failure)
{
  enum gg_level level = engine->config.message.level;
  int error = 0;
  if (engine->log_line)
    error = gg_logger_create_sink(&engine->logger, log_line, engine, level, GG_LOGGER_JSON);
  else if (engine->log_fd >= 0)
    error = gg_logger_create(&engine->logger, engine->log_fd, level, engine->config.message.format);
  return error ? gg_fail(failure, error, "cannot make the logger") : 0;
}

/* Rings on a disk are written back by the kernel: each byte is then written twice, and a commit may wait for it. */
static void warn_of_slow_rings(const struct gg_engine *engine)
{
  const char *dir = engine->config.log.dir;
  struct statfs status;
  if (statfs(dir, &status) == 0 && status.f_type != TMPFS_MAGIC && status.f_type != RAMFS_MAGIC)
    gg_warn(engine->logger, "log.dir is not a tmpfs", GG_S("dir", dir),
            GG_S("effect", "the log's rings go to a disk as well: traffic may wait for it, and is written twice"));
}

static int open_recorder(struct gg_engine *engine, struct gg_failure *failure)
{
  const struct gg_config *config = &engine->config;
  struct gg_recorder_options options = GG_RECORDER_OPTIONS_INIT;
  struct gg_recovery recovery; /* the recorder logs what it found */
  options.dir = config->dir;
  options.ring_dir = config->log.dir;
  options.ring_bytes = config->log.ring_bytes;
  options.log_max_bytes = config->log.max_bytes;
  options.logs_max = gg_gateway_logs(&engine->gateway_options);
  options.segment_max_bytes = config->segment.max_bytes;
  options.segment_max_age_ns = config->segment.max_age_ns;
  options.flush_interval_ns = config->log.flush_interval_ns;
  options.sync_mode = (enum gg_sync_mode)config->sync.mode;
  options.sync_interval_ns = config->sync.interval_ns;
  options.logger = engine->logger;
  options.metrics = engine->metrics;
  warn_of_slow_rings(engine);
  int error = gg_recorder_open(&engine->recorder, &options, &recovery, failure);
  engine->gateway_options.recorder = engine->recorder;
  return error;
}

/* All that can be refused. */
static int make_parts(struct gg_engine *engine, struct gg_failure *failure)
{
  int error = make_logger(engine, failure);
  if (!error && gg_metrics_create(&engine->metrics) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "out of memory for the metrics");
  if (!error && gg_resolver_create(&engine->resolver, engine->config.resolve.interval_ns, engine->logger) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "out of memory for the resolver");
  if (!error)
    error = gg__engine_options(engine, failure);
  if (!error)
    error = open_recorder(engine, failure);
  /* After the recorder, who makes the store that these files may be in. */
  if (!error && engine->config.stats.file)
    error = gg__file_check(engine->config.stats.file, failure);
  if (!error && engine->config.stats.metrics_file)
    error = gg__file_check(engine->config.stats.metrics_file, failure);
  if (!error)
    error = gg_gateway_create(&engine->gateway, &engine->gateway_options, failure);
  return error;
}

static int start_metrics_file(struct gg_engine *engine, struct gg_failure *failure)
{
  const struct gg_metrics_file_options options = {
    .path = engine->config.stats.metrics_file,
    .interval_ns = engine->config.stats.metrics_interval_ns,
    .metrics = engine->metrics,
    .logger = engine->logger,
  };
  return options.path ? gg__metrics_file_start(&engine->metrics_file, &options, failure) : 0;
}

/* The workers are last: sessions begin there, and nothing behind them can fail. */
static int start_threads(struct gg_engine *engine, struct gg_failure *failure)
{
  const struct gg_control_options control = {
    .dir = engine->config.dir,
    .commands = gg__engine_commands,
    .command_count = gg__engine_command_count,
    .context = engine,
    .logger = engine->logger,
  };
  int error = gg_resolver_start(engine->resolver);
  if (error)
    return gg_fail(failure, error, "cannot start the resolver: %s", gg_error_text(error));
  error = gg_recorder_start(engine->recorder, failure);
  if (!error)
    error = gg_control_start(&engine->control, &control, failure);
  if (!error)
    error = start_metrics_file(engine, failure);
  if (!error)
    error = gg_gateway_start(engine->gateway, failure);
  return error;
}

static void tell_ready(const struct gg_engine *engine)
{
  char all[LISTENERS_TEXT_MAX] = "", text[512];
  size_t length = 0;
  for (size_t i = 0; gg_engine_listener(engine, i, text, sizeof text); i++) {
    gg_info(engine->logger, "listening", GG_S("address", text), GG_S("listener", engine->config.listeners[i].name),
            GG_S("upstream", engine->config.listeners[i].upstream));
    int more = snprintf(all + length, sizeof all - length, "%s%s", length ? ", " : "", text);
    length += more > 0 && (size_t)more < sizeof all - length ? (size_t)more : 0;
    all[length] = '\0';
  }
  gg_info(engine->logger, "ready", GG_S("listeners", all), GG_U("pid", getpid()), GG_S("dir", engine->config.dir),
          GG_U("workers", engine->gateway_options.workers));
}

/* Undoes what was made; the threads are ended already, or were never begun. */
static void free_parts(struct gg_engine *engine)
{
  gg_control_stop(engine->control);
  gg__metrics_file_stop(engine->metrics_file);
  gg_gateway_destroy(engine->gateway);
  gg_recorder_destroy(engine->recorder);
  gg_resolver_destroy(engine->resolver);
  gg_metrics_destroy(engine->metrics);
  gg_logger_destroy(engine->logger);
  free(engine->listeners);
  free(engine->upstreams);
  engine->control = NULL;
  engine->metrics_file = NULL;
  engine->gateway = NULL;
  engine->recorder = NULL;
  engine->resolver = NULL;
  engine->metrics = NULL;
  engine->logger = NULL;
  engine->listeners = NULL;
  engine->upstreams = NULL;
}

int gg_engine_start(struct gg_engine *engine, struct gg_failure *failure)
{
  if (atomic_load(&engine->state) != GG_ENGINE_CREATED || gg_engine_action(engine) != GG_ENGINE_RUN)
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
    if (error)
      gg_recorder_stop(engine->recorder, gg_clock_mono_ns() + recorder_stop_ns, NULL);
  }
  if (error) {
    atomic_store(&engine->state, GG_ENGINE_ENDED);
    free_parts(engine);
    return error;
  }
  atomic_store(&engine->state, GG_ENGINE_RUNNING);
  tell_ready(engine);
  return 0;
}

size_t gg_engine_listener(const struct gg_engine *engine, size_t index, char *text, size_t size)
{
  struct gg_endpoint endpoint;
  if (index >= engine->config.listener_count || !engine->gateway ||
      gg_gateway_listener_endpoint(engine->gateway, index, &endpoint) != 0)
    return 0;
  return gg_endpoint_format(&endpoint, text, size);
}

/* ── Requests to end ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Async-signal-safe: atomics without a lock, and write(2). */
static void request(struct gg_engine *engine, _Atomic unsigned *what)
{
  int saved_errno = errno;
  uint64_t one = 1;
  atomic_fetch_add(what, 1);
  ssize_t written = write(engine->wake_fd, &one, sizeof one);
  (void)written; /* a full eventfd rings as well */
  errno = saved_errno;
}

void gg_engine_drain(struct gg_engine *engine)
{
  request(engine, &engine->drains);
}

void gg_engine_stop(struct gg_engine *engine)
{
  request(engine, &engine->stops);
}

void gg_engine_signal(struct gg_engine *engine, int signal_number)
{
  if (signal_number == SIGHUP)
    request(engine, &engine->hangups);
  else if (atomic_load(&engine->drains) == 0)
    request(engine, &engine->drains);
  else
    request(engine, &engine->stops);
}

/* ── Wait ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void serve_requests(struct gg_engine *engine)
{
  int state = atomic_load(&engine->state);
  if (atomic_exchange(&engine->hangups, 0) > 0)
    gg_warn(engine->logger, "hangup ignored",
            GG_S("effect", "the configuration is not read again; restart the gateway to change it"));
  if (state == GG_ENGINE_RUNNING && atomic_load(&engine->drains) > 0) {
    gg_info(engine->logger, "draining", GG_D("seconds_max", (double)engine->config.timeouts.drain_ns / 1e9),
            GG_S("effect", "no new sessions; another signal ends those that are open"));
    uint64_t now = gg_clock_mono_ns(), patience = engine->config.timeouts.drain_ns;
    gg_gateway_drain(engine->gateway, patience < UINT64_MAX - now ? now + patience : UINT64_MAX);
    state = GG_ENGINE_DRAINING;
  }
  if (state != GG_ENGINE_STOPPING && atomic_load(&engine->stops) > 0) {
    gg_info(engine->logger, "stopping", GG_S("effect", "open sessions are closed now"));
    gg_gateway_stop(engine->gateway);
    state = GG_ENGINE_STOPPING;
  }
  atomic_store(&engine->state, state);
}

static int finish(struct gg_engine *engine, struct gg_failure *failure)
{
  gg_gateway_join(engine->gateway);
  gg_control_stop(engine->control);
  engine->control = NULL;
  struct gg_failure told = GG_FAILURE_INIT;
  int error = gg_recorder_stop(engine->recorder, gg_clock_mono_ns() + recorder_stop_ns, &told);
  gg__metrics_file_stop(engine->metrics_file);
  engine->metrics_file = NULL;
  atomic_store(&engine->state, GG_ENGINE_ENDED);
  if (error)
    gg_fail(failure, error, "the recording in %s is not whole yet: %s", engine->config.dir,
            told.message[0] ? told.message : gg_error_text(error));
  if (engine->config.stats.file) {
    int stats_error = gg__engine_stats_file(engine, engine->config.stats.file, failure);
    error = error ? error : stats_error;
  }
  if (error)
    gg_error_log(engine->logger, "ended with a failure", GG_S("error", failure ? failure->message : told.message));
  else
    gg_info(engine->logger, "ended",
            GG_D("uptime_seconds", (double)(gg_clock_mono_ns() - engine->started_mono_ns) / 1e9));
  return error;
}

int gg_engine_wait(struct gg_engine *engine, struct gg_failure *failure)
{
  int state = atomic_load(&engine->state);
  if (state == GG_ENGINE_CREATED || state == GG_ENGINE_ENDED)
    return gg_fail(failure, GG_ERR_INVALID, "this engine does not run");
  while (gg_gateway_running(engine->gateway)) {
    struct pollfd polled = {.fd = engine->wake_fd, .events = POLLIN};
    bool ending = atomic_load(&engine->state) != GG_ENGINE_RUNNING;
    if (poll(&polled, 1, ending ? DRAIN_POLL_MS : RUN_POLL_MS) > 0) {
      eventfd_t rings;
      eventfd_read(engine->wake_fd, &rings);
    }
    serve_requests(engine);
  }
  return finish(engine, failure);
}

void gg_engine_destroy(struct gg_engine *engine)
{
  if (!engine)
    return;
  int state = atomic_load(&engine->state);
  if (state != GG_ENGINE_CREATED && state != GG_ENGINE_ENDED) {
    gg_engine_stop(engine);
    gg_engine_wait(engine, NULL);
  }
  free_parts(engine);
  gg_config_fini(&engine->config);
  if (engine->wake_fd >= 0)
    close(engine->wake_fd);
  free(engine);
}
