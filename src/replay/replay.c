/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - the public API: it puts the parts together, and takes them apart in the other order.
 *
 *   create   options checked ► target resolved ► sockets ► plan (a sweep of what matches) ► preview
 *   run      rules learned ► recording, report begun ► scheduler runs ► recording, report finished
 *
 * What can go wrong because of what the user asked for goes wrong in create, so that a dry run finds it; only that the
 * recording's folder and the report's file can be had is found by run, for a dry run makes neither.
 *
 * gg_replay_stop comes from anywhere at any time: it sets a flag, and then tells the scheduler if there is one already.
 * The run publishes its scheduler and then looks at the flag, so one of the two always sees the other. The scheduler
 * lives until the replay is destroyed.
 */
#include "base/sized.h"
#include "replay/bounds.h"
#include "replay/plan.h"
#include "replay/plugin.h"
#include "replay/preview.h"
#include "replay/report.h"
#include "replay/scheduler.h"
#include "replay/sockets.h"
#include "replay/target.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where gg_replay_planned was: the number among those played of the next index. */
struct walk {
  size_t index;
  uint64_t number;
};

struct gg_replay {
  struct gg_replay_options options; /* its texts are those below */
  char *texts[6];
  struct gg_replay_plugin *plugin; /* NULL: none was asked for */
  struct gg_target target;
  struct gg_plan *plan;
  struct gg_wire *wire;
  struct gg_timing timing;
  struct gg_replay_plan sums;
  uint32_t connections_max;
  struct walk *walk;
  struct gg_rules *rules;
  struct gg_failure cannot; /* why there is nothing to run */
  bool ran;
  _Atomic(struct gg_scheduler *) scheduler;
  atomic_bool stopped;
};

static_assert(ATOMIC_POINTER_LOCK_FREE == 2, "gg_replay_stop is called by signal handlers");

/* ── Options ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int in_range(const char *name, uint64_t value, uint64_t least, uint64_t most, struct gg_failure *failure)
{
  if (value >= least && value <= most)
    return 0;
  return gg_fail(failure, GG_ERR_INVALID, "%s is %" PRIu64 ", but must be from %" PRIu64 " to %" PRIu64, name, value,
                 least, most);
}

static int check(const struct gg_replay_options *options, struct gg_failure *failure)
{
  const struct {
    const char *name;
    uint64_t value, least, most;
  } numbers[] = {
    {"level", (unsigned)options->level, 0, GG_REPLAY_BYTES},
    {"speed_percent", options->speed_percent, 0, GG_REPLAY_SPEED_PERCENT_MAX},
    {"rate", options->rate, 0, GG_REPLAY_RATE_MAX},
    {"ramp_ns", options->ramp_ns, 0, GG_REPLAY_RAMP_MAX_NS},
    {"copies", options->copies, 1, GG_REPLAY_COPIES_MAX},
    {"loops", options->loops, 1, GG_REPLAY_LOOPS_MAX},
    {"reply_timeout_ns", options->reply_timeout_ns, GG_REPLAY_TIMEOUT_MIN_NS, GG_REPLAY_TIMEOUT_MAX_NS},
    {"connect_timeout_ns", options->connect_timeout_ns, GG_REPLAY_TIMEOUT_MIN_NS, GG_REPLAY_TIMEOUT_MAX_NS},
    {"on_timeout", (unsigned)options->on_timeout, 0, GG_REPLAY_STOP},
    {"on_close", (unsigned)options->on_close, 0, GG_REPLAY_STOP},
  };
  int error = 0;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && !error; i++)
    error = in_range(numbers[i].name, numbers[i].value, numbers[i].least, numbers[i].most, failure);
  return error;
}

static bool keep_texts(struct gg_replay *replay)
{
  const char **from[] = {&replay->options.to,          &replay->options.source, &replay->options.record_dir,
                         &replay->options.report_path, &replay->options.plugin, &replay->options.plugin_config};
  static_assert(sizeof from / sizeof from[0] == sizeof replay->texts / sizeof replay->texts[0], "one for each");
  for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
    if (!*from[i])
      continue;
    *from[i] = replay->texts[i] = strdup(*from[i]);
    if (!*from[i])
      return false;
  }
  return true;
}

/* ── Create ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int make_wire(struct gg_replay *replay, struct gg_failure *failure)
{
  const struct gg_sockets_options options = {.to = replay->target.to,
                                             .source = replay->target.has_source ? &replay->target.source : NULL};
  int error = gg__sockets_create(&replay->wire, &options, failure);
  if (error)
    return error;
  uint32_t room = gg__sockets_room(), asked = replay->options.connections_max;
  room = room ? room : 1;
  replay->connections_max = asked && asked < room ? asked : room;
  if (asked > room && replay->options.on_warning) {
    char text[160];
    snprintf(text, sizeof text,
             "the limit of open files leaves room for %" PRIu32 " connections at once, not %" PRIu32
             ": sessions beyond begin late",
             room, asked);
    replay->options.on_warning(replay->options.context, text);
  }
  return 0;
}

static int make_plan(struct gg_replay *replay, const char *path, const struct gg_filter *filter,
                     struct gg_failure *failure)
{
  const struct gg_plan_options options = {
    .path = path,
    .filter = filter,
    .to = &replay->target.to,
    .progress = replay->options.on_planning,
    .warning = replay->options.on_warning,
    .context = replay->options.context,
  };
  return gg__plan_create(&replay->plan, &options, failure);
}

/* Of the sessions that are played: those that came from where they go. */
struct originals {
  uint64_t sessions;
  size_t first;
  enum gg_plan_original how; /* the first one */
};

static void find_originals(const struct gg_replay *replay, struct originals *out)
{
  const struct gg_script *script = gg__plan_script(replay->plan);
  size_t count = script->ops->count(script);
  *out = (struct originals){0};
  for (size_t i = 0; i < count; i++) {
    struct gg_script_session session;
    enum gg_plan_original how = gg__plan_original(replay->plan, i);
    if (how == GG_PLAN_ORIGINAL_NONE)
      continue;
    script->ops->session(script, i, &session);
    if (*gg__session_skipped(&session, &replay->options))
      continue;
    if (out->sessions++ == 0) {
      out->first = i;
      out->how = how;
    }
  }
}

/* Sessions go to where they came from only if that is meant. */
static int check_original(const struct gg_replay *replay, struct gg_failure *failure)
{
  struct originals found;
  if (replay->options.allow_original)
    return 0;
  find_originals(replay, &found);
  if (found.sessions == 0)
    return 0;
  const struct gg_script *script = gg__plan_script(replay->plan);
  struct gg_script_session session;
  script->ops->session(script, found.first, &session);
  char client[64] = "", dialled[64] = "", others[64] = "";
  int error = gg__plan_ends(replay->plan, found.first, client, dialled, failure);
  if (error)
    return error;
  if (found.sessions > 1)
    snprintf(others, sizeof others, ", and %" PRIu64 " other%s", found.sessions - 1, found.sessions == 2 ? "" : "s");
  if (found.how == GG_PLAN_ORIGINAL_DIALLED)
    return gg_fail(failure, GG_ERR_DENIED,
                   "the client of session %s dialled %s, where it would be sent again%s: if that is meant, say so by "
                   "the option allow-original",
                   session.id, replay->target.text, others);
  return gg_fail(failure, GG_ERR_DENIED,
                 "session %s, whose client dialled %s, was recorded on its way to %s, where it would be sent again%s: "
                 "if that is meant, say so by the option allow-original",
                 session.id, dialled, replay->target.text, others);
}

/* Whether there is anything to run. */
static int check_matches(struct gg_replay *replay, const char *path)
{
  if (replay->sums.sessions == 0)
    return gg_fail(&replay->cannot, GG_ERR_NOT_FOUND, "no session of %s matches; 'gogetway sessions' lists them", path);
  if (replay->sums.opaque == replay->sums.sessions)
    return gg_fail(&replay->cannot, GG_ERR_UNSUPPORTED,
                   "all sessions that match (%" PRIu64
                   ") are encrypted end to end: their bytes mean nothing to another "
                   "connection; record behind the end of TLS, where they are plain, and replay that",
                   replay->sums.opaque);
  return 0;
}

static int create(struct gg_replay *replay, const char *path, const struct gg_filter *filter,
                  struct gg_failure *failure)
{
  const struct gg_replay_options *options = &replay->options;
  replay->walk = calloc(1, sizeof *replay->walk);
  if (!replay->walk || !keep_texts(replay))
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a replay");
  int error = options->plugin || options->plugin_table ? gg__replay_plugin_open(&replay->plugin, options, failure) : 0;
  if (!error)
    error = options->record_dir ? gg__recording_check(options->record_dir, path, failure) : 0;
  if (!error)
    error = gg__target_find(&replay->target, options->to, options->source, failure);
  if (!error)
    error = make_wire(replay, failure);
  if (!error)
    error = make_plan(replay, path, filter, failure);
  if (error)
    return error;
  uint64_t verdicts[GG_REPLAY_VERDICTS] = {0};
  const struct gg_script *script = gg__plan_script(replay->plan);
  gg__scheduler_survey(script, options, &replay->timing, verdicts);
  error = gg__preview(script, options, &replay->timing, replay->connections_max, &replay->sums, failure);
  static_assert(sizeof replay->sums.to == sizeof replay->target.text, "the whole text, with its end");
  memcpy(replay->sums.to, replay->target.text, sizeof replay->sums.to);
  return error;
}

int gg_replay_create(struct gg_replay **out, const char *path, const struct gg_filter *filter,
                     const struct gg_replay_options *given, struct gg_failure *failure)
{
  struct gg_replay_options options = GG_REPLAY_OPTIONS_INIT;
  *out = NULL;
  int error = gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_replay_options, plugin_config), given,
                            "gg_replay_options", failure);
  if (!error)
    error = check(&options, failure);
  if (error)
    return error;
  struct gg_replay *replay = calloc(1, sizeof *replay);
  if (!replay)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a replay");
  replay->options = options;
  error = create(replay, path, filter, failure);
  if (!error)
    error = check_matches(replay, path);
  if (error && error == replay->cannot.code) { /* it can be looked at all the same */
    *out = replay;
    return gg_fail(failure, error, "%s", replay->cannot.message);
  }
  if (!error)
    error = check_original(replay, failure);
  if (error) {
    gg_replay_destroy(replay);
    return error;
  }
  *out = replay;
  return GG_OK;
}

void gg_replay_destroy(struct gg_replay *replay)
{
  if (!replay)
    return;
  gg__scheduler_destroy(atomic_load(&replay->scheduler));
  gg__replay_plugin_destroy(replay->plugin);
  gg__rules_destroy(replay->rules);
  gg__plan_destroy(replay->plan);
  gg__sockets_destroy(replay->wire);
  for (size_t i = 0; i < sizeof replay->texts / sizeof replay->texts[0]; i++)
    free(replay->texts[i]);
  free(replay->walk);
  free(replay);
}

/* ── Looking at the plan ─────────────────────────────────────────────────────────────────────────────────────────── */

void gg_replay_plan(const struct gg_replay *replay, struct gg_replay_plan *out)
{
  *out = replay->sums;
}

/* How many sessions before `index` are played. Asked for one after the other, it looks at each once. */
static uint64_t number_of(const struct gg_replay *replay, const struct gg_script *script, size_t index)
{
  struct walk *walk = replay->walk;
  if (walk->index > index)
    *walk = (struct walk){0};
  for (; walk->index < index; walk->index++) {
    struct gg_script_session session;
    script->ops->session(script, walk->index, &session);
    walk->number += !*gg__session_skipped(&session, &replay->options);
  }
  return walk->number;
}

bool gg_replay_planned(const struct gg_replay *replay, size_t index, struct gg_replay_planned *out)
{
  const struct gg_script *script = gg__plan_script(replay->plan);
  struct gg_script_session session;
  if (index >= script->ops->count(script))
    return false;
  script->ops->session(script, index, &session);
  *out = (struct gg_replay_planned){
    .start_ns = session.start_ns,
    .due_ns = gg__timing_start(&replay->timing, 0, number_of(replay, script, index), session.start_ns),
    .duration_ns = session.end_ns > session.start_ns ? session.end_ns - session.start_ns : 0,
    .chunks = session.chunks,
    .bytes = {session.bytes[GG_SIDE_CLIENT], session.bytes[GG_SIDE_SERVER]},
    .skipped = gg__session_skipped(&session, &replay->options),
  };
  memcpy(out->id, session.id, sizeof out->id);
  if (gg__plan_ends(replay->plan, index, out->client, out->server, NULL) != 0)
    out->client[0] = out->server[0] = '\0'; /* the temporary file does not answer; the rest is true */
  return true;
}

/* ── Run ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t no_sessions(const struct gg_script *script)
{
  (void)script;
  return 0;
}

/* At level bytes nothing waits for a reply, so there is nothing to learn. */
static int learn(struct gg_replay *replay, struct gg_failure *failure)
{
  static const struct gg_script_ops nothing = {.count = no_sessions};
  struct gg_script empty = {&nothing};
  bool causal = replay->options.level == GG_REPLAY_CAUSAL;
  return gg__rules_learn(&replay->rules, causal ? gg__plan_script(replay->plan) : &empty, failure);
}

static int play(struct gg_replay *replay, struct gg_replay_recording *recording, struct gg_report *report,
                struct gg_hook *plugin, struct gg_failure *failure)
{
  const struct gg_scheduler_options options = {
    .options = &replay->options,
    .script = gg__plan_script(replay->plan),
    .wire = replay->wire,
    .rules = replay->rules,
    .recording = recording,
    .report = report,
    .plugin = plugin,
    .target = replay->target.text,
    .connections_max = replay->connections_max,
  };
  struct gg_scheduler *scheduler;
  int error = gg__scheduler_create(&scheduler, &options, failure);
  if (error)
    return error;
  atomic_store(&replay->scheduler, scheduler);
  if (atomic_load(&replay->stopped))
    gg__scheduler_stop(scheduler);
  return gg__scheduler_run(scheduler, failure);
}

int gg_replay_run(struct gg_replay *replay, struct gg_failure *failure)
{
  if (replay->cannot.code)
    return gg_fail(failure, replay->cannot.code, "%s", replay->cannot.message);
  if (replay->ran)
    return gg_fail(failure, GG_ERR_INVALID, "a replay runs once");
  replay->ran = true;
  const struct gg_replay_options *options = &replay->options;
  struct gg_replay_recording *recording = NULL;
  struct gg_report *report = NULL;
  struct gg_hook *plugin = NULL;
  int error = learn(replay, failure);
  if (!error && replay->plugin)
    error = gg__replay_plugin_create(replay->plugin, &plugin, failure);
  if (!error && options->report_path) /* first, for what is left of it can be removed again */
    error = gg__report_create(&report, options->report_path, &replay->sums, options, failure);
  if (!error && options->record_dir)
    error = gg__recording_create(&recording, options->record_dir, &replay->stopped, failure);
  if (!error)
    error = play(replay, recording, report, plugin, failure);
  /* What there is of the recording and the report is good, whatever ended the replay: both are finished all the same,
   * and the first error is the one that is told. */
  if (recording && atomic_load(&replay->scheduler)) {
    int finish_error = gg__recording_finish(recording, failure);
    error = error ? error : finish_error;
  }
  if (report && atomic_load(&replay->scheduler)) {
    struct gg_replay_outcome outcome;
    gg_replay_outcome(replay, &outcome);
    int finish_error = gg__report_finish(report, &outcome, failure);
    error = error ? error : finish_error;
  }
  gg__recording_destroy(recording);
  gg__report_destroy(report);
  return error;
}

void gg_replay_stop(struct gg_replay *replay)
{
  atomic_store(&replay->stopped, true);
  struct gg_scheduler *scheduler = atomic_load(&replay->scheduler);
  if (scheduler)
    gg__scheduler_stop(scheduler);
}

void gg_replay_outcome(const struct gg_replay *replay, struct gg_replay_outcome *out)
{
  const struct gg_scheduler *scheduler = atomic_load(&replay->scheduler);
  *out = (struct gg_replay_outcome){.sessions_planned =
                                      replay->sums.sessions * replay->options.copies * (uint64_t)replay->options.loops};
  if (scheduler)
    gg__scheduler_outcome(scheduler, out);
}
