/* SPDX-License-Identifier: Apache-2.0 */
/**
 * reload.c - the same arguments and files are read again, and the gateway goes over to what they say now.
 *
 *   read, open ──► compare ──► keep what needs ──► fill, make  ──► gg_plane_reload ──► now = next
 *    plug-ins                    a restart         plug-ins, resolve       │
 *     │                                                 │                  │
 *     └─ a file is bad ─────────────────────────────────┴──── refused ─────┴──► nothing has changed
 *
 * What needs a restart keeps its value in the new configuration, so that each later reload names it again. What can
 * fail is done before the gateway goes over; what follows (the messages' level, the resolver's interval, the thread of
 * the metrics file) cannot, or is warned of.
 *
 * (Rejected: applying what is good of a bad file. Whoever looks at the file would have to know which half is in force.)
 */
#include "engine/reload.h"

#include "base/clock.h"
#include "engine/config_diff.h"
#include "engine/config_table.h"
#include "engine/edits.h"
#include "engine/engine.h"
#include "engine/file.h"
#include "engine/indexing.h"
#include "engine/metrics_file.h"
#include "engine/polled.h"
#include "engine/retaining.h"
#include "engine/service.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

static const uint64_t api_bound_ns = 30 * GG_NS_PER_S;

/* ── Carrying one out ────────────────────────────────────────────────────────────────────────────────────────────── */

static int read_next(struct gg_gateway *engine, struct gg_configured **out, const struct gg_edits *edits,
                     struct gg_report *report)
{
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  struct gg_failure failure = GG_FAILURE_INIT;
  *out = NULL;
  int error =
    errors ? gg__configured_load(out, &engine->arguments, GG_CONFIG_RELOAD_SILENCE_MS, errors, &failure) : GG_ERR_NOMEM;
  if (!error) {
    gg__polled_workers(engine, *out);
    error = gg__edits_apply(&(*out)->config, edits, &failure);
    if (error)
      gg_config_error_add(errors, "%s", failure.message);
  }
  if (!error)
    error = gg__configured_plugins(*out, engine->now, engine->desk, errors, &failure);
  /* The failure is the first error. */
  gg__service_explain(engine, &failure);
  for (size_t i = 0; errors && i < errors->count; i++)
    gg__report_add(report, GG_REPORT_ERROR, "%s", i == 0 ? failure.message : errors->items[i].text);
  if (errors)
    report->left_out += errors->left_out;
  free(errors);
  return error;
}

static bool differ(const char *a, const char *b)
{
  return a && b ? strcmp(a, b) != 0 : a != b;
}

/* Files that will be written are looked at now, as at start. */
static int check_files(const struct gg_config *from, const struct gg_config *to, struct gg_failure *failure)
{
  int error = 0;
  if (to->stats.file && differ(from->stats.file, to->stats.file))
    error = gg__file_check(to->stats.file, failure);
  if (!error && to->stats.metrics_file && differ(from->stats.metrics_file, to->stats.metrics_file))
    error = gg__file_check(to->stats.metrics_file, failure);
  return error;
}

static void warn_of_names(const struct gg_configured *next, struct gg_report *report)
{
  for (size_t i = 0; i < next->name_count; i++)
    if (!gg_name_resolved(next->names[i]))
      gg__report_add(report, GG_REPORT_WARNING, "%s does not resolve: its sessions are refused until it does",
                     gg_name_host(next->names[i]));
}

/* Instances of what is new, before anything changes. */
static int make_plugins(struct gg_gateway *engine, struct gg_configured *next, struct gg_failure *failure)
{
  int error = gg__plugins_create(next, engine->desk, failure);
  if (!error)
    error = gg__plugins_chain(next, engine->desk, failure);
  return error ? error : gg__plugins_start(next, failure);
}

/* Everything that can be refused. On success the gateway works by `next`. */
static int go_over(struct gg_gateway *engine, struct gg_configured *next, struct gg_report *report,
                   struct gg_failure *failure)
{
  struct gg_configured *before = engine->now;
  int error = gg__config_diff(&before->config, &next->config, report);
  if (!error)
    error = gg_schema_keep(&gg__config_schema, &next->config, &before->config);
  if (error)
    return gg_fail(failure, error, "cannot compare the configurations: %s", gg_error_text(error));
  error = check_files(&before->config, &next->config, failure);
  if (!error)
    error = gg__engine_fill(engine, next, failure);
  if (!error)
    error = make_plugins(engine, next, failure);
  if (!error)
    gg_resolver_await(engine->resolver, GG_RELOAD_NAMES_NS);
  if (error)
    return error;
  gg__engine_lock(engine);
  if (engine->handing.client != 0)
    error = gg_fail(failure, GG_ERR_BUSY, "process %ld is taking over: reload that one", engine->handing.pid);
  else {
    gg__listen_fds_lend(engine->parents, next);
    next->options.fds_kept = engine->parents->count;
    error = gg_plane_reload(engine->plane, &next->options, failure);
    gg__listen_fds_given(next);
  }
  if (!error)
    engine->now = next;
  gg__engine_unlock(engine);
  if (error)
    return error;
  gg__plugins_sinks(next, engine->recorder);
  gg__plugins_decoders(next, engine->indexing);
  gg__indexing_rules(engine->indexing, next->tag_rules);
  return 0;
}

static void restart_metrics_file(struct gg_gateway *engine, const struct gg_config *from, struct gg_report *report)
{
  const struct gg_config *to = &engine->now->config;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (!differ(from->stats.metrics_file, to->stats.metrics_file) &&
      from->stats.metrics_interval_ns == to->stats.metrics_interval_ns)
    return;
  gg__metrics_file_stop(engine->metrics_file);
  engine->metrics_file = NULL;
  if (gg__engine_metrics_file(engine, &failure) != 0)
    gg__report_add(report, GG_REPORT_WARNING, "the metrics file is not written: %s", failure.message);
}

static void follow_retention(struct gg_gateway *engine, struct gg_report *report)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__retaining_follow(engine->retaining, &engine->now->config, &failure) != 0)
    gg__report_add(report, GG_REPORT_WARNING, "retention stays as it was: %s", failure.message);
}

/* What follows the gateway, and cannot be refused any more. */
static void follow(struct gg_gateway *engine, const struct gg_config *from, struct gg_report *report)
{
  const struct gg_config *to = &engine->now->config;
  gg_logger_set(engine->logger, to->message.level, to->message.format);
  gg_resolver_set_interval(engine->resolver, to->resolve.interval_ns);
  restart_metrics_file(engine, from, report);
  follow_retention(engine, report);
  warn_of_names(engine->now, report);
  gg__refusing_report(engine, report);
}

static int carry_out(struct gg_gateway *engine, const struct gg_edits *edits, struct gg_report *report)
{
  struct gg_configured *before = engine->now, *next = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = atomic_load(&engine->state) == GG_ENGINE_RUNNING
                ? read_next(engine, &next, edits, report)
                : gg_fail(&failure, GG_ERR_INVALID, "the gateway is ending: its configuration stays as it is");
  if (!error)
    error = go_over(engine, next, report, &failure);
  if (error)
    gg__service_explain(engine, &failure);
  if (!error) {
    follow(engine, &before->config, report);
    gg__plugins_tell(engine->now, before, engine->logger, report);
    gg__configured_destroy(before);
    gg_hook_reap(engine->desk);
    return 0;
  }
  gg__configured_destroy(next);
  gg_hook_reap(engine->desk);
  if (gg__report_count(report, GG_REPORT_ERROR) > 0)
    return error;
  /* What would have changed did not. */
  gg__report_clear(report);
  gg__report_add(report, GG_REPORT_ERROR, "%s", failure.message[0] ? failure.message : gg_error_text(error));
  return error;
}

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* All lines: their number is bounded, so they are not held back as repeats are. */
static void tell_lines(struct gg_gateway *engine, const struct gg_report *report)
{
  static const struct {
    enum gg_level level;
    const char *event;
  } told[GG_REPORT_KINDS] = {
    [GG_REPORT_CHANGED] = {GG_LEVEL_INFO, "configuration changed"},
    [GG_REPORT_RESTART] = {GG_LEVEL_WARNING, "configuration needs a restart"},
    [GG_REPORT_WARNING] = {GG_LEVEL_WARNING, "configuration in force, but"},
    [GG_REPORT_ERROR] = {GG_LEVEL_ERROR, "configuration refused"},
  };
  for (size_t i = 0; i < report->count; i++) {
    const struct gg_log_field field = GG_S("what", report->lines[i].text);
    enum gg_report_kind kind = report->lines[i].kind;
    if (gg_logger_wants(engine->logger, told[kind].level))
      gg_logger_emit(engine->logger, NULL, told[kind].level, told[kind].event, &field, 1);
  }
}

static void tell(struct gg_gateway *engine, int error, const struct gg_report *report)
{
  tell_lines(engine, report);
  if (error)
    gg_error_log(engine->logger, "not reloaded", GG_U("errors", report->count + report->left_out),
                 GG_S("effect", "nothing has changed"));
  else
    gg_info(engine->logger, "reloaded", GG_U("changes", gg__report_count(report, GG_REPORT_CHANGED)),
            GG_U("need_restart", gg__report_count(report, GG_REPORT_RESTART)));
}

/* ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__reload_init(struct gg_reloads *reloads)
{
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&reloads->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&reloads->lock, NULL);
}

void gg__reload_fini(struct gg_reloads *reloads)
{
  pthread_cond_destroy(&reloads->changed);
  pthread_mutex_destroy(&reloads->lock);
}

/* What was tried is in force, or forgotten. Under the lock. */
static void settle(struct gg_gateway *engine, int error, const struct gg_report *report)
{
  struct gg_reloads *reloads = &engine->reloads;
  struct gg_edits *over = error ? engine->edits_next : engine->edits;
  if (!error)
    engine->edits = engine->edits_next;
  engine->edits_next = NULL;
  gg__edits_free(over);
  reloads->edit_error = error;
  reloads->edit_failure = (struct gg_failure)GG_FAILURE_INIT;
  if (error)
    gg_fail(&reloads->edit_failure, error, "%s",
            report && report->count > 0 ? report->lines[0].text : gg_error_text(error));
}

/* Up to which asking one reload is enough; *edits is by what. An edit has one of its own. Under the lock. */
static uint64_t next_part(const struct gg_gateway *engine, const struct gg_edits **edits)
{
  const struct gg_reloads *reloads = &engine->reloads;
  *edits = engine->edits;
  if (!engine->edits_next)
    return reloads->wanted;
  if (reloads->carried + 1 < reloads->edit)
    return reloads->edit - 1;
  *edits = engine->edits_next;
  return reloads->edit;
}

/* Carries out the next part of what was asked for. False: nothing is left. */
static bool serve_part(struct gg_gateway *engine)
{
  struct gg_reloads *reloads = &engine->reloads;
  const struct gg_edits *edits;
  pthread_mutex_lock(&reloads->lock);
  bool asked = reloads->wanted != reloads->carried;
  uint64_t upto = next_part(engine, &edits);
  bool tries = asked && edits && edits == engine->edits_next;
  pthread_mutex_unlock(&reloads->lock); /* the edits stay: nobody but this thread frees them */
  if (!asked)
    return false;
  struct gg_report *report = calloc(1, sizeof *report);
  gg__service_reloading(engine);
  int error = report ? carry_out(engine, edits, report) : GG_ERR_NOMEM;
  if (report)
    tell(engine, error, report);
  gg__service_reloaded(engine);
  pthread_mutex_lock(&reloads->lock);
  reloads->error = error;
  reloads->carried = upto;
  if (tries)
    settle(engine, error, report);
  if (report)
    reloads->report = *report;
  else
    gg__report_clear(&reloads->report);
  pthread_cond_broadcast(&reloads->changed);
  pthread_mutex_unlock(&reloads->lock);
  free(report);
  return true;
}

void gg__reload_serve(struct gg_gateway *engine, bool hangup)
{
  enum { PARTS = 3 }; /* what was asked for before an edit, the edit, and what was asked for behind it */
  if (hangup) {
    pthread_mutex_lock(&engine->reloads.lock);
    engine->reloads.wanted++;
    pthread_mutex_unlock(&engine->reloads.lock);
  }
  for (int i = 0; i < PARTS && serve_part(engine); i++)
    continue;
}

void gg__reload_close(struct gg_gateway *engine)
{
  pthread_mutex_lock(&engine->reloads.lock);
  engine->reloads.closed = true;
  pthread_cond_broadcast(&engine->reloads.changed);
  pthread_mutex_unlock(&engine->reloads.lock);
}

static struct timespec until_in(uint64_t bound_ns)
{
  uint64_t until_ns = gg_clock_mono_ns() + bound_ns;
  return (struct timespec){.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
}

/* Waits until the asking was carried out: 0, or why it was not. Under the lock. */
static int await(struct gg_gateway *engine, uint64_t mine, uint64_t bound_ns, struct gg_failure *failure)
{
  struct gg_reloads *reloads = &engine->reloads;
  const struct timespec until = until_in(bound_ns);
  int waited = 0;
  eventfd_write(engine->wake_fd, 1);
  if (gg__polled_here(engine)) { /* who would wait is who carries it out */
    pthread_mutex_unlock(&reloads->lock);
    gg__reload_serve(engine, false);
    pthread_mutex_lock(&reloads->lock);
  }
  while (!reloads->closed && reloads->carried < mine && waited == 0)
    waited = pthread_cond_timedwait(&reloads->changed, &reloads->lock, &until);
  if (reloads->carried >= mine)
    return 0;
  if (reloads->closed)
    return gg_fail(failure, GG_ERR_INVALID, "the gateway does not run");
  return gg_fail(failure, GG_ERR_TIMEOUT, "the configuration is still being read; the gateway's messages will tell");
}

int gg__reload_ask(struct gg_gateway *engine, uint64_t bound_ns, struct gg_report *report, struct gg_failure *failure)
{
  struct gg_reloads *reloads = &engine->reloads;
  gg__report_clear(report);
  pthread_mutex_lock(&reloads->lock);
  int error = await(engine, ++reloads->wanted, bound_ns, failure);
  if (!error) {
    *report = reloads->report;
    error = reloads->error;
    if (error)
      gg_fail(failure, error, "%s", report->count ? report->lines[0].text : gg_error_text(error));
  }
  pthread_mutex_unlock(&reloads->lock);
  return error;
}

int gg__reload_try(struct gg_gateway *engine, struct gg_edits *edits, uint64_t bound_ns, struct gg_failure *failure)
{
  struct gg_reloads *reloads = &engine->reloads;
  pthread_mutex_lock(&reloads->lock);
  assert(edits && !engine->edits_next);
  engine->edits_next = edits;
  reloads->edit = ++reloads->wanted;
  int error = await(engine, reloads->edit, bound_ns, failure);
  if (!error && reloads->edit_error)
    error = gg_fail(failure, reloads->edit_error, "%s", reloads->edit_failure.message);
  pthread_mutex_unlock(&reloads->lock);
  return error;
}

int gg__reload_settled(struct gg_gateway *engine, uint64_t bound_ns, struct gg_failure *failure)
{
  struct gg_reloads *reloads = &engine->reloads;
  const struct timespec until = until_in(bound_ns);
  int waited = 0, error = 0;
  pthread_mutex_lock(&reloads->lock);
  while (!reloads->closed && engine->edits_next && waited == 0)
    waited = pthread_cond_timedwait(&reloads->changed, &reloads->lock, &until);
  if (reloads->closed)
    error = gg_fail(failure, GG_ERR_INVALID, "the gateway does not run");
  else if (engine->edits_next)
    error = gg_fail(failure, GG_ERR_TIMEOUT, "an earlier change of the gateway is still being carried out");
  pthread_mutex_unlock(&reloads->lock);
  return error;
}

int gg_gateway_reload(struct gg_gateway *engine, gg_line_fn tell_line, void *context, struct gg_failure *failure)
{
  int state = atomic_load(&engine->state);
  if (gg__polled_here(engine) && engine->polled->busy)
    return gg_fail(failure, GG_ERR_INVALID, "a callback cannot wait for a reload: the gateway is in a poll");
  struct gg_report *report = calloc(1, sizeof *report);
  if (!report)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for a report");
  int error = state == GG_ENGINE_CREATED || state == GG_ENGINE_ENDED
                ? gg_fail(failure, GG_ERR_INVALID, "this engine does not run")
                : gg__reload_ask(engine, api_bound_ns, report, failure);
  for (size_t i = 0; tell_line && i < report->count; i++)
    tell_line(context, report->lines[i].text, strlen(report->lines[i].text));
  free(report);
  return error;
}
