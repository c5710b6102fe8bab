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
 *   ticks, and observers   gg__plugins_start   gg_hook_desk_stop   told behind the workers, waited for behind the
 *                                                                  recorder: the recording does not wait for a call
 *   workers      gg_plane_start         drain or stop, then gg_plane_join
 *   admin        gg_control_start         gg_control_stop      before the recorder stops: it reads the logs' status
 *   catalogue    gg__indexing_start       gg__indexing_stop    after the recorder: it reads what that has written
 *   metrics      gg__metrics_file_start   gg__metrics_file_stop  after the recorder: its last counts are final
 *   retention    gg__retaining_start      gg__retaining_stop    after the recorder, which may need room to its end
 *   watchdog     gg__service_ready        gg__service_end        the very last: it speaks for the others
 *
 * Requests to end come from any thread and from signal handlers. They only count up and ring an eventfd; the engine's
 * thread, in gg_gateway_wait, does what they ask for. Where there is none, since the program's own loop drives the
 * gateway, that one does (polled.c), and it is the worker's thread as well. (Rejected: a signalfd. It needs every
 * thread of the embedding program to block the signals.) */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/sized.h"
#include "engine/edits.h"
#include "engine/indexing.h"
#include "engine/metrics_file.h"
#include "engine/polled.h"
#include "engine/retaining.h"
#include "engine/service.h"
#include "hook/sink.h"
#include "record/sink.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { DRAIN_POLL_MS = 10, RUN_POLL_MS = 1000 };

/* ── Create ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_config_errors(const struct gg_gateway_options *options, const struct gg_config_errors *errors)
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

static int load_config(struct gg_gateway *engine, const struct gg_gateway_options *options, struct gg_failure *failure)
{
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  int error =
    errors ? gg__arguments_copy(&engine->arguments, options->arguments, options->argument_count) : GG_ERR_NOMEM;
  if (error) {
    free(errors);
    return gg_fail(failure, error, "cannot read the configuration: %s", gg_error_text(error));
  }
  error = gg__configured_load(&engine->now, &engine->arguments, GG_CONFIG_START_SILENCE_MS, errors, failure);
  if (!error)
    gg__polled_workers(engine, engine->now);
  if (!error)
    error = gg__configured_plugins(engine->now, NULL, NULL, errors, failure);
  if (error)
    tell_config_errors(options, errors);
  free(errors);
  if (!error && engine->polled && gg_config_workers(&engine->now->config) != 1)
    error = gg_fail(failure, GG_ERR_INVALID, "a gateway that is polled has one worker, and not %" PRIu64,
                    engine->now->config.workers);
  return error;
}

int gg_gateway_create(struct gg_gateway **out, const struct gg_gateway_options *given, struct gg_failure *failure)
{
  struct gg_gateway_options known = GG_GATEWAY_OPTIONS_INIT;
  const struct gg_gateway_options *options = &known;
  *out = NULL;
  int error = gg_sized_take(&known, sizeof known, GG_SIZED_END(struct gg_gateway_options, context), given,
                            "gg_gateway_options", failure);
  if (error)
    return error;
  if (options->argument_count > INT32_MAX / 2)
    return gg_fail(failure, GG_ERR_RANGE, "too many arguments");
  if (options->own_process && options->polled)
    return gg_fail(failure, GG_ERR_INVALID, "a process that is the gateway's alone has no loop that polls it");
  struct gg_gateway *engine = calloc(1, sizeof *engine);
  if (!engine)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the engine");
  engine->log_line = options->log;
  engine->log_fd = options->log_fd;
  engine->context = options->context;
  engine->own_process = options->own_process;
  pthread_mutex_init(&engine->lock, NULL);
  gg__reload_init(&engine->reloads);
  pthread_mutex_init(&engine->edit_lock, NULL);
  engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  error = engine->wake_fd < 0 ? gg_fail_errno(failure, errno, "cannot make an eventfd") : 0;
  if (!error && options->polled)
    error = gg__polled_create(engine, failure);
  if (!error)
    error = load_config(engine, options, failure);
  if (error) {
    gg_gateway_destroy(engine);
    return error;
  }
  *out = engine;
  return 0;
}

static const enum gg_gateway_action actions[] = {
  [GG_CONFIG_RUN] = GG_GATEWAY_RUN,
  [GG_CONFIG_CHECK] = GG_GATEWAY_CHECK,
  [GG_CONFIG_PRINT] = GG_GATEWAY_PRINT,
  [GG_CONFIG_HELP] = GG_GATEWAY_HELP,
};

enum gg_gateway_action gg_gateway_action(const struct gg_gateway *engine)
{
  gg__engine_lock(engine);
  enum gg_config_action action = engine->now->config.action;
  gg__engine_unlock(engine);
  return actions[action];
}

char *gg_gateway_text(const struct gg_gateway *engine)
{
  switch (gg_gateway_action(engine)) {
  case GG_GATEWAY_PRINT:
    return gg_config_print(&engine->now->config); /* such an engine never runs, so nobody changes it */
  case GG_GATEWAY_HELP:
    return gg_config_help();
  default:
    return calloc(1, 1);
  }
}

char *gg_gateway_help(void)
{
  return gg_config_help();
}

/* ── Told of a running one ───────────────────────────────────────────────────────────────────────────────────────── */

/* The lock may be taken through a pointer to what is otherwise only read. */
void gg__engine_lock(const struct gg_gateway *engine)
{
  pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&engine->lock);
}

void gg__engine_unlock(const struct gg_gateway *engine)
{
  pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&engine->lock);
}

size_t gg__engine_listener(const struct gg_gateway *engine, size_t index, char *text, size_t size)
{
  struct gg_endpoint endpoint;
  if (index >= engine->now->config.listener_count || !engine->plane ||
      gg_plane_listener_endpoint(engine->plane, index, &endpoint) != 0)
    return 0;
  return gg_endpoint_format(&endpoint, text, size);
}

size_t gg_gateway_listener(const struct gg_gateway *engine, size_t index, char *text, size_t size)
{
  gg__engine_lock(engine);
  size_t length = gg__engine_listener(engine, index, text, size);
  gg__engine_unlock(engine);
  return length;
}

/* ── Requests to end ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Async-signal-safe: atomics without a lock, and write(2). */
static void request(struct gg_gateway *engine, _Atomic unsigned *what)
{
  int saved_errno = errno;
  uint64_t one = 1;
  atomic_fetch_add(what, 1);
  ssize_t written = write(engine->wake_fd, &one, sizeof one);
  (void)written; /* a full eventfd rings as well */
  errno = saved_errno;
}

void gg_gateway_drain(struct gg_gateway *engine)
{
  request(engine, &engine->drains);
}

void gg_gateway_stop(struct gg_gateway *engine)
{
  request(engine, &engine->stops);
}

void gg_gateway_signal(struct gg_gateway *engine, int signal_number)
{
  if (signal_number == SIGHUP)
    request(engine, &engine->hangups);
  else if (atomic_load(&engine->drains) == 0)
    request(engine, &engine->drains);
  else
    request(engine, &engine->stops);
}

/* ── Wait ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t drain_deadline_ns(const struct gg_gateway *engine)
{
  uint64_t now = gg_clock_mono_ns(), patience = engine->now->config.timeouts.drain_ns;
  return patience < UINT64_MAX - now ? now + patience : UINT64_MAX;
}

/* Who comes to a parent's socket is another process' client. */
static void leave_parents(struct gg_gateway *engine)
{
  gg__engine_lock(engine);
  gg__listen_fds_close(engine->parents);
  gg__engine_unlock(engine);
}

/* Another process serves: what was written for all to see is its from now on. */
static void hand_over(struct gg_gateway *engine)
{
  if (!gg__takeover_serve(engine, drain_deadline_ns(engine)))
    return;
  gg_info(engine->logger, "handed over", GG_I("to_pid", engine->handing.pid),
          GG_D("seconds_max", (double)engine->now->config.timeouts.drain_ns / 1e9),
          GG_S("effect", "open sessions go on here; new ones are the other process'"));
  gg__indexing_leave(engine->indexing);
  gg__metrics_file_drop(engine->metrics_file);
  engine->metrics_file = NULL;
  gg__retaining_rest(engine->retaining);
  gg__service_end(engine);
  leave_parents(engine);
  if (atomic_load(&engine->state) == GG_ENGINE_RUNNING)
    atomic_store(&engine->state, GG_ENGINE_DRAINING);
}

void gg__engine_serve(struct gg_gateway *engine)
{
  hand_over(engine);
  gg__siblings_look(engine);
  int state = atomic_load(&engine->state);
  if (state == GG_ENGINE_RUNNING && atomic_load(&engine->drains) > 0 && gg__takeover_may_drain(engine)) {
    gg_info(engine->logger, "draining", GG_D("seconds_max", (double)engine->now->config.timeouts.drain_ns / 1e9),
            GG_S("effect", "no new sessions; another signal ends those that are open"));
    gg_plane_drain(engine->plane, drain_deadline_ns(engine));
    state = GG_ENGINE_DRAINING;
    leave_parents(engine);
    gg__service_stopping(engine);
  }
  if (state != GG_ENGINE_STOPPING && atomic_load(&engine->stops) > 0) {
    gg_info(engine->logger, "stopping", GG_S("effect", "open sessions are closed now"));
    gg__takeover_let_go(engine);
    gg_plane_stop(engine->plane);
    state = GG_ENGINE_STOPPING;
  }
  atomic_store(&engine->state, state);
  gg_hook_reap(engine->desk);
  gg__reload_serve(engine, atomic_exchange(&engine->hangups, 0) > 0);
}

void gg__engine_end_sessions(struct gg_gateway *engine)
{
  gg__reload_close(engine);
  gg_plane_join(engine->plane);
  gg_control_stop(engine->control);
  engine->control = NULL;
  gg_hook_desk_ending(engine->desk);
  gg__siblings_look(engine);
}

int gg__engine_end_recorder(struct gg_gateway *engine, struct gg_failure *failure)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + GG_RECORDER_STOP_NS;
  int error = gg_recorder_stop(engine->recorder, deadline_ns, failure);
  gg__retaining_stop(engine->retaining);
  gg_recorder_sinks(engine->recorder, NULL, 0);
  gg_hook_sinks_finish(engine->desk, deadline_ns);
  gg__indexing_stop(engine->indexing);
  gg_hook_desk_stop(engine->desk); /* behind the recording, which does not wait for a plug-in's call */
  return error;
}

int gg__engine_ended(struct gg_gateway *engine, int error, const struct gg_failure *why, struct gg_failure *failure)
{
  gg__metrics_file_stop(engine->metrics_file);
  engine->metrics_file = NULL;
  atomic_store(&engine->state, GG_ENGINE_ENDED);
  if (error)
    gg_fail(failure, error, "the recording in %s is not whole yet: %s", engine->now->config.dir,
            why->message[0] ? why->message : gg_error_text(error));
  if (engine->now->config.stats.file) {
    int stats_error = gg__engine_stats_file(engine, engine->now->config.stats.file, failure);
    error = error ? error : stats_error;
  }
  if (error)
    gg_error_log(engine->logger, "ended with a failure", GG_S("error", failure ? failure->message : why->message));
  else
    gg_info(engine->logger, "ended",
            GG_D("uptime_seconds", (double)(gg_clock_mono_ns() - engine->started_mono_ns) / 1e9));
  return error;
}

/* Until there is a request, a process ended from which this one took over, somebody came who is refused, or some time
 * has passed. */
static void await(struct gg_gateway *engine)
{
  struct pollfd polled[1 + GG_SIBLINGS_MAX + GG_LISTEN_FDS_MAX] = {{.fd = engine->wake_fd, .events = POLLIN}};
  bool ending = atomic_load(&engine->state) != GG_ENGINE_RUNNING;
  size_t siblings = gg__siblings_polled(engine, polled + 1);
  int again_ms = ending ? DRAIN_POLL_MS : RUN_POLL_MS;
  size_t refusing = gg__refusing_polled(engine, polled + 1 + siblings, &again_ms);
  if (poll(polled, (nfds_t)(1 + siblings + refusing), again_ms) <= 0)
    return;
  if (polled[0].revents) {
    eventfd_t rings;
    eventfd_read(engine->wake_fd, &rings);
  }
  gg__refusing_serve(engine, polled + 1 + siblings, refusing);
}

int gg_gateway_wait(struct gg_gateway *engine, struct gg_failure *failure)
{
  int state = atomic_load(&engine->state);
  if (state == GG_ENGINE_CREATED || state == GG_ENGINE_ENDED)
    return gg_fail(failure, GG_ERR_INVALID, "this engine does not run");
  if (engine->polled)
    return gg_fail(failure, GG_ERR_INVALID, "this gateway is polled: there is nothing that could be waited for");
  while (gg_plane_running(engine->plane)) {
    await(engine);
    gg__engine_serve(engine);
  }
  gg__engine_end_sessions(engine);
  struct gg_failure why = GG_FAILURE_INIT;
  int error = gg__engine_end_recorder(engine, &why);
  return gg__engine_ended(engine, error, &why, failure);
}

void gg_gateway_destroy(struct gg_gateway *engine)
{
  if (!engine)
    return;
  int state = atomic_load(&engine->state);
  if (state != GG_ENGINE_CREATED && state != GG_ENGINE_ENDED) {
    gg_gateway_stop(engine);
    if (!engine->polled)
      gg_gateway_wait(engine, NULL);
    while (engine->polled && gg_gateway_poll(engine, -1, NULL) == GG_GATEWAY_GOES_ON)
      continue;
  }
  gg__engine_free_parts(engine);
  gg__configured_destroy(engine->now);
  gg__arguments_free(&engine->arguments);
  gg__polled_destroy(engine->polled);
  if (engine->wake_fd >= 0)
    close(engine->wake_fd);
  gg__reload_fini(&engine->reloads);
  gg__edits_free(engine->edits);
  gg__edits_free(engine->edits_next);
  pthread_mutex_destroy(&engine->edit_lock);
  pthread_mutex_destroy(&engine->lock);
  if (!engine->haunted)
    free(engine);
}
