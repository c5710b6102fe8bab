/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler.c - sessions begin here, in order and at their times; their players' timers expire here; they end here.
 *
 *            due, and a place is free            over()                 after the turn: row, callback
 *   script ───────────────────────────► open ───────────────► ended ───────────────────────────────► spare
 *                                        ▲                                                             │
 *                                        └─────────────────── memory, used again ──────────────────────┘
 *
 * Absolute times: the next session's due time is worked out from its recorded start alone (timing.h), never from when
 * the one before it began. A turn that comes late therefore finds several due, and begins them all.
 *
 * A place is free while fewer connections are open than may be, and the system has a descriptor and a port. A session
 * that is due and finds none waits, and all behind it with it (order of begin is a promise). `free_ns` is when there
 * was one again: whoever was due before has waited for that, and its times count from then on. A session that is late
 * for another reason (this process did not run) keeps its due time: it hurries, and its lag shows.
 *
 * Players end in the middle of their own code, called from a timer, an event or the beginning. So over() only moves
 * them to `ended`; they are told and taken back when nobody is inside any more.
 *
 * Rejected: a timer for each session to come. A million sessions would need a million players' memory, for nothing:
 * they are sorted by start already.
 */
#include "replay/scheduler.h"

#include "replay/heap.h"
#include "replay/report.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gg_scheduler {
  struct gg_stage stage;
  struct gg_report *report;
  uint32_t connections_max;
  struct gg_list open;  /* players that play */
  struct gg_list ended; /* in this turn */
  struct gg_list spare;
  size_t players; /* in all three */
  struct gg_heap timers;
  struct { /* what begins next */
    bool any;
    uint64_t loop, number, copy; /* `number`: of those played in this loop */
    size_t session;
    uint64_t due_ns; /* on the wire's clock */
  } next;
  bool waits;             /* the next one is due, and is kept back by the ramp or by the system's limits ... */
  bool held;              /* ... by the latter */
  uint64_t free_ns;       /* when this, or being full, last ended: who was due before has waited for that */
  uint64_t held_until_ns; /* the same without the ramp */
  bool limited;           /* the system had no place for a connection, */
  uint64_t limited_ns;    /* ... since then with none open, */
  uint64_t retry_ns;      /* ... and is asked again then */
  uint64_t told_ns;       /* progress */
  bool runs;
  atomic_bool stopped;
};

static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "a signal handler sets the flag");

static struct gg_scheduler *of(struct gg_stage *stage)
{
  return GG_CONTAINER(stage, struct gg_scheduler, stage);
}

static uint64_t now_of(const struct gg_scheduler *scheduler)
{
  return scheduler->stage.wire->ops->now(scheduler->stage.wire);
}

/* ── What the players call ───────────────────────────────────────────────────────────────────────────────────────── */

static void on_arm(struct gg_stage *stage, struct gg_player *player, uint64_t when_ns)
{
  gg__heap_set(&of(stage)->timers, player, when_ns);
}

static void on_over(struct gg_stage *stage, struct gg_player *player)
{
  struct gg_scheduler *scheduler = of(stage);
  gg__heap_set(&scheduler->timers, player, UINT64_MAX);
  gg_list_remove(&player->node);
  gg_list_append(&scheduler->ended, &player->node);
  assert(stage->outcome.connections_open > 0);
  if (stage->outcome.connections_open-- == scheduler->connections_max)
    scheduler->free_ns = scheduler->held_until_ns = now_of(scheduler);
  scheduler->retry_ns = 0; /* it had a descriptor and a port */
}

static void on_stop(struct gg_stage *stage)
{
  atomic_store(&of(stage)->stopped, true);
}

/* ── What is played ──────────────────────────────────────────────────────────────────────────────────────────────── */

const char *gg__session_skipped(const struct gg_script_session *session, const struct gg_replay_options *options)
{
  if (session->opaque)
    return strcmp(session->opaque, "TLS") == 0   ? "opaque: TLS"
           : strcmp(session->opaque, "SSH") == 0 ? "opaque: SSH"
                                                 : "opaque";
  if (session->beginning_missing && !options->include_partial)
    return "beginning missing";
  if (session->gaps && !options->include_partial)
    return "gaps";
  return "";
}

/* The first session from `next.session` on that is played, in this loop or the next. */
static void find_next(struct gg_scheduler *scheduler)
{
  const struct gg_script *script = scheduler->stage.script;
  const struct gg_timing *timing = &scheduler->stage.timing;
  size_t count = script->ops->count(script);
  struct gg_script_session session;
  scheduler->next.any = false;
  if (timing->sessions == 0)
    return;
  while (scheduler->next.loop < scheduler->stage.options->loops) {
    for (; scheduler->next.session < count; scheduler->next.session++) {
      script->ops->session(script, scheduler->next.session, &session);
      if (*gg__session_skipped(&session, scheduler->stage.options))
        continue;
      scheduler->next.any = true;
      scheduler->next.due_ns = scheduler->stage.started_ns +
                               gg__timing_start(timing, scheduler->next.loop, scheduler->next.number, session.start_ns);
      return;
    }
    scheduler->next.loop++;
    scheduler->next.session = 0;
    scheduler->next.number = 0;
  }
}

static void advance(struct gg_scheduler *scheduler)
{
  if (++scheduler->next.copy < scheduler->stage.options->copies)
    return;
  scheduler->next.copy = 0;
  scheduler->next.session++;
  scheduler->next.number++;
  find_next(scheduler);
}

uint64_t gg__scheduler_survey(const struct gg_script *script, const struct gg_replay_options *options,
                              struct gg_timing *timing, uint64_t verdicts[GG_REPLAY_VERDICTS])
{
  uint64_t each = (uint64_t)options->copies * options->loops, last_ns = 0;
  *timing =
    (struct gg_timing){.speed_percent = options->speed_percent, .rate = options->rate, .ramp_ns = options->ramp_ns};
  size_t count = script->ops->count(script);
  for (size_t i = 0; i < count; i++) {
    struct gg_script_session session;
    script->ops->session(script, i, &session);
    if (*gg__session_skipped(&session, options)) {
      verdicts[session.opaque ? GG_REPLAY_OPAQUE : GG_REPLAY_PARTIAL] += each;
      continue;
    }
    if (timing->sessions++ == 0)
      timing->first_ns = session.start_ns;
    if (session.end_ns > last_ns)
      last_ns = session.end_ns;
  }
  timing->span_ns = last_ns > timing->first_ns ? last_ns - timing->first_ns : 0;
  return count * each;
}

/* ── Players ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_player *player_take(struct gg_scheduler *scheduler)
{
  struct gg_player *player;
  if (!gg_list_empty(&scheduler->spare)) {
    player = GG_CONTAINER(scheduler->spare.next, struct gg_player, node);
    gg_list_remove(&player->node);
  } else {
    if (!gg__heap_reserve(&scheduler->timers, scheduler->players + 1) || !(player = malloc(sizeof *player)))
      return NULL;
    scheduler->players++;
  }
  memset(player, 0, sizeof *player);
  player->heap_index = SIZE_MAX;
  gg_list_append(&scheduler->open, &player->node);
  scheduler->stage.outcome.connections_open++;
  return player;
}

static void player_give_back(struct gg_scheduler *scheduler, struct gg_player *player)
{
  assert(player->heap_index == SIZE_MAX);
  gg_list_remove(&player->node);
  gg_list_append(&scheduler->spare, &player->node);
}

static void tell_session(struct gg_scheduler *scheduler, const struct gg_replay_session *session)
{
  struct gg_stage *stage = &scheduler->stage;
  stage->outcome.sessions[session->verdict]++;
  if (scheduler->report && gg__report_session(scheduler->report, session, &stage->failure) != 0)
    on_stop(stage);
  if (stage->options->on_session)
    stage->options->on_session(stage->options->context, session);
}

static void take_back_ended(struct gg_scheduler *scheduler)
{
  while (!gg_list_empty(&scheduler->ended)) {
    struct gg_player *player = GG_CONTAINER(scheduler->ended.next, struct gg_player, node);
    tell_session(scheduler, &player->outcome);
    player_give_back(scheduler, player);
  }
}

/* ── Beginning ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* No connection could even be tried: the session is over before it began. */
static void begin_failed(struct gg_scheduler *scheduler, int error, uint64_t now_ns)
{
  struct gg_stage *stage = &scheduler->stage;
  struct gg_script_session facts;
  stage->script->ops->session(stage->script, scheduler->next.session, &facts);
  bool local = error == GG_ERR_LIMIT || error == GG_ERR_NOMEM || error == GG_ERR_DENIED || error == GG_ERR_INVALID;
  struct gg_replay_session session = {.id = facts.id,
                                      .loop = scheduler->next.loop,
                                      .copy = scheduler->next.copy,
                                      .verdict = !local && facts.refused ? GG_REPLAY_EQUAL : GG_REPLAY_DIFFERENT,
                                      .due_ns = scheduler->next.due_ns - stage->started_ns,
                                      .begun_ns = now_ns - stage->started_ns,
                                      .ended_ns = now_ns - stage->started_ns};
  if (session.verdict == GG_REPLAY_DIFFERENT)
    session.difference.kind = local ? GG_REPLAY_DIFFERENCE_LOCAL : GG_REPLAY_DIFFERENCE_REFUSED;
  session.counts.chunks_unsent = facts.chunks;
  session.counts.bytes_expected = facts.bytes[GG_SIDE_SERVER];
  stage->outcome.counts.chunks_unsent += session.counts.chunks_unsent;
  stage->outcome.counts.bytes_expected += session.counts.bytes_expected;
  if (!local)
    stage->outcome.connections_refused++;
  tell_session(scheduler, &session);
}

/* The first in the row waits no longer; those behind it that were due before now have waited as well. */
static void end_wait(struct gg_scheduler *scheduler, uint64_t now_ns)
{
  if (!scheduler->waits)
    return;
  scheduler->free_ns = now_ns;
  if (scheduler->held)
    scheduler->held_until_ns = now_ns;
  scheduler->waits = scheduler->held = false;
}

static void count_begun(struct gg_scheduler *scheduler, uint64_t now_ns)
{
  struct gg_replay_outcome *outcome = &scheduler->stage.outcome;
  if (outcome->connections_open > outcome->connections_peak)
    outcome->connections_peak = outcome->connections_open;
  uint64_t due_ns = scheduler->next.due_ns;
  if (due_ns >= scheduler->held_until_ns)
    return;
  outcome->sessions_held++;
  if (now_ns - due_ns > outcome->held_max_ns)
    outcome->held_max_ns = now_ns - due_ns;
}

/* The system has no place at the moment. True: this goes on for too long, and nobody is left to make one. */
static bool limit_met(struct gg_scheduler *scheduler, uint64_t now_ns)
{
  if (!scheduler->limited || scheduler->stage.outcome.connections_open > 0)
    scheduler->limited_ns = now_ns;
  scheduler->limited = scheduler->waits = scheduler->held = true;
  scheduler->retry_ns = now_ns + GG_BEGIN_RETRY_NS;
  return scheduler->stage.outcome.connections_open == 0 &&
         now_ns - scheduler->limited_ns >= scheduler->stage.options->connect_timeout_ns;
}

/* False: the next one has to wait. */
static bool begin_next(struct gg_scheduler *scheduler, uint64_t now_ns)
{
  struct gg_stage *stage = &scheduler->stage;
  uint64_t due_ns = scheduler->next.due_ns, anchor_ns = due_ns;
  if (scheduler->waits)
    anchor_ns = now_ns;
  else if (scheduler->free_ns > due_ns)
    anchor_ns = scheduler->free_ns;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = GG_ERR_LIMIT;
  struct gg_player *player = player_take(scheduler);
  if (player) {
    error = gg__player_begin(player, stage, scheduler->next.session, scheduler->next.copy, scheduler->next.loop, due_ns,
                             anchor_ns, &failure);
    if (error) {
      player_give_back(scheduler, player);
      stage->outcome.connections_open--;
    }
  }
  if (error == GG_ERR_LIMIT && !limit_met(scheduler, now_ns))
    return false;
  end_wait(scheduler, now_ns);
  if (error)
    begin_failed(scheduler, error, now_ns);
  else {
    scheduler->limited = false;
    count_begun(scheduler, now_ns);
  }
  advance(scheduler);
  return true;
}

/* How many connections may be open now. */
static uint32_t places(const struct gg_scheduler *scheduler, uint64_t now_ns)
{
  return gg__timing_connections(&scheduler->stage.timing, now_ns - scheduler->stage.started_ns,
                                scheduler->connections_max);
}

static bool is_full(const struct gg_scheduler *scheduler, uint64_t now_ns)
{
  return scheduler->stage.outcome.connections_open >= places(scheduler, now_ns);
}

static void begin_due(struct gg_scheduler *scheduler)
{
  for (unsigned begun = 0; begun < GG_BEGIN_BATCH && !atomic_load(&scheduler->stopped); begun++) {
    uint64_t now_ns = now_of(scheduler);
    if (!scheduler->next.any || scheduler->next.due_ns > now_ns)
      return;
    if (is_full(scheduler, now_ns)) {
      scheduler->waits = scheduler->waits || scheduler->stage.outcome.connections_open < scheduler->connections_max;
      return;
    }
    if (scheduler->limited && now_ns < scheduler->retry_ns) {
      scheduler->waits = scheduler->held = true;
      return;
    }
    if (!begin_next(scheduler, now_ns))
      return;
  }
}

/* ── A turn ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* At most as many as there were, so that a player which wants to go on at once lets the wire have its turn. */
static void expire_timers(struct gg_scheduler *scheduler)
{
  uint64_t until_ns = now_of(scheduler);
  for (size_t left = scheduler->timers.count; left > 0; left--) {
    struct gg_player *player = gg__heap_first(&scheduler->timers);
    if (!player || player->when_ns > until_ns)
      return;
    gg__heap_set(&scheduler->timers, player, UINT64_MAX);
    gg__player_time(player, now_of(scheduler));
  }
}

/* When the next session can begin, as far as time decides that. */
static uint64_t next_begin_ns(const struct gg_scheduler *scheduler, uint64_t now_ns)
{
  const struct gg_stage *stage = &scheduler->stage;
  if (!scheduler->next.any)
    return UINT64_MAX;
  uint64_t when_ns = scheduler->next.due_ns;
  if (is_full(scheduler, now_ns)) {
    if (stage->outcome.connections_open >= scheduler->connections_max)
      return UINT64_MAX; /* a connection's end decides */
    uint64_t grown_ns =
      stage->started_ns + gg__timing_connections_at(&stage->timing, (uint32_t)stage->outcome.connections_open + 1,
                                                    scheduler->connections_max);
    when_ns = grown_ns > when_ns ? grown_ns : when_ns;
  }
  return scheduler->limited && scheduler->retry_ns > when_ns ? scheduler->retry_ns : when_ns;
}

static void wait_for_more(struct gg_scheduler *scheduler)
{
  struct gg_stage *stage = &scheduler->stage;
  uint64_t now_ns = now_of(scheduler);
  uint64_t until_ns = next_begin_ns(scheduler, now_ns);
  const struct gg_player *first = gg__heap_first(&scheduler->timers);
  if (first && first->when_ns < until_ns)
    until_ns = first->when_ns;
  if (stage->recording) {
    uint64_t tick_ns = gg__recording_tick(stage->recording, now_ns);
    until_ns = tick_ns < until_ns ? tick_ns : until_ns;
  }
  if (stage->options->on_progress && scheduler->told_ns + GG_PROGRESS_NS < until_ns)
    until_ns = scheduler->told_ns + GG_PROGRESS_NS;
  stage->wire->ops->wait(stage->wire, until_ns);
}

static uint64_t sessions_done(const struct gg_replay_outcome *outcome)
{
  uint64_t sum = 0;
  for (size_t i = 0; i < GG_REPLAY_VERDICTS; i++)
    sum += outcome->sessions[i];
  return sum;
}

/* By the plan while it holds; when the target is slower than that, by what was done so far. */
static uint64_t time_left(const struct gg_scheduler *scheduler, uint64_t elapsed_ns, uint64_t done)
{
  const struct gg_replay_outcome *outcome = &scheduler->stage.outcome;
  uint64_t total_ns = gg__timing_total(&scheduler->stage.timing, scheduler->stage.options->loops);
  if (total_ns > elapsed_ns)
    return total_ns - elapsed_ns;
  uint64_t played = done - outcome->sessions[GG_REPLAY_OPAQUE] - outcome->sessions[GG_REPLAY_PARTIAL];
  if (played == 0)
    return UINT64_MAX;
  double left = (double)elapsed_ns / (double)played * (double)(outcome->sessions_planned - done);
  return left < 1e18 ? (uint64_t)left : UINT64_MAX;
}

static void tell_progress(struct gg_scheduler *scheduler, bool last)
{
  const struct gg_stage *stage = &scheduler->stage;
  uint64_t now_ns = now_of(scheduler);
  if (!stage->options->on_progress || (!last && now_ns < scheduler->told_ns + GG_PROGRESS_NS))
    return;
  scheduler->told_ns = now_ns;
  const struct gg_replay_outcome *outcome = &stage->outcome;
  uint64_t done = sessions_done(outcome), elapsed_ns = now_ns - stage->started_ns;
  const struct gg_replay_progress progress = {
    .elapsed_ns = elapsed_ns,
    .left_ns = last ? 0 : time_left(scheduler, elapsed_ns, done),
    .sessions_done = done,
    .sessions_planned = outcome->sessions_planned,
    .chunks_sent = outcome->counts.chunks_sent,
    .bytes_sent = outcome->counts.bytes_sent,
    .bytes_received = outcome->counts.bytes_received,
    .differences = outcome->sessions[GG_REPLAY_DIFFERENT],
    .connections_open = outcome->connections_open,
    .lag_now_ns = stage->lag_now_ns,
  };
  stage->options->on_progress(stage->options->context, &progress);
}

static bool is_going(const struct gg_scheduler *scheduler)
{
  return (scheduler->next.any || !gg_list_empty(&scheduler->open)) && !atomic_load(&scheduler->stopped);
}

static void turn(struct gg_scheduler *scheduler)
{
  begin_due(scheduler);
  expire_timers(scheduler);
  if (is_going(scheduler) && gg_list_empty(&scheduler->ended))
    wait_for_more(scheduler);
  take_back_ended(scheduler);
  tell_progress(scheduler, false);
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__scheduler_create(struct gg_scheduler **out, const struct gg_scheduler_options *options,
                         struct gg_failure *failure)
{
  assert(options->connections_max > 0 && options->rules);
  *out = NULL;
  struct gg_scheduler *scheduler = calloc(1, sizeof *scheduler);
  if (!scheduler)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the replay");
  struct gg_stage *stage = &scheduler->stage;
  gg_list_init(&scheduler->open);
  gg_list_init(&scheduler->ended);
  gg_list_init(&scheduler->spare);
  if (gg__histogram_init(&stage->latency) || gg__histogram_init(&stage->lag) || gg__histogram_init(&stage->slip)) {
    gg__scheduler_destroy(scheduler);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the replay's histograms");
  }
  stage->options = options->options;
  stage->script = options->script;
  stage->wire = options->wire;
  stage->rules = options->rules;
  stage->recording = options->recording;
  stage->arm = on_arm;
  stage->over = on_over;
  stage->stop = on_stop;
  scheduler->report = options->report;
  scheduler->stage.plugin = options->plugin;
  scheduler->stage.target = options->target;
  scheduler->connections_max = options->connections_max;
  stage->outcome.sessions_planned =
    gg__scheduler_survey(stage->script, stage->options, &stage->timing, stage->outcome.sessions);
  *out = scheduler;
  return GG_OK;
}

void gg__scheduler_destroy(struct gg_scheduler *scheduler)
{
  if (!scheduler)
    return;
  assert(gg_list_empty(&scheduler->open) && gg_list_empty(&scheduler->ended));
  while (!gg_list_empty(&scheduler->spare)) {
    struct gg_player *player = GG_CONTAINER(scheduler->spare.next, struct gg_player, node);
    gg_list_remove(&player->node);
    free(player);
  }
  gg__heap_fini(&scheduler->timers);
  gg__histogram_fini(&scheduler->stage.latency);
  gg__histogram_fini(&scheduler->stage.lag);
  gg__histogram_fini(&scheduler->stage.slip);
  free(scheduler);
}

static void cut(struct gg_scheduler *scheduler)
{
  struct gg_replay_outcome *outcome = &scheduler->stage.outcome;
  outcome->partial = scheduler->next.any || !gg_list_empty(&scheduler->open);
  while (!gg_list_empty(&scheduler->open)) {
    struct gg_player *player = GG_CONTAINER(scheduler->open.next, struct gg_player, node);
    gg__player_cut(player);
    assert(scheduler->open.next != &player->node);
  }
  take_back_ended(scheduler);
  uint64_t never_begun = outcome->sessions_planned - sessions_done(outcome);
  outcome->sessions[GG_REPLAY_UNFINISHED] += never_begun;
  outcome->partial |= outcome->sessions[GG_REPLAY_UNFINISHED] > 0; /* the last one may have failed by itself */
}

int gg__scheduler_run(struct gg_scheduler *scheduler, struct gg_failure *failure)
{
  struct gg_stage *stage = &scheduler->stage;
  stage->started_ns = scheduler->told_ns = now_of(scheduler);
  scheduler->runs = true;
  find_next(scheduler);
  while (is_going(scheduler))
    turn(scheduler);
  cut(scheduler);
  tell_progress(scheduler, true);
  scheduler->runs = false;
  stage->outcome.elapsed_ns = now_of(scheduler) - stage->started_ns;
  assert(scheduler->timers.count == 0 && stage->outcome.connections_open == 0);
  if (stage->failure.code)
    return gg_fail(failure, stage->failure.code, "%s", stage->failure.message);
  return GG_OK;
}

void gg__scheduler_stop(struct gg_scheduler *scheduler)
{
  atomic_store(&scheduler->stopped, true);
  scheduler->stage.wire->ops->interrupt(scheduler->stage.wire);
}

void gg__scheduler_outcome(const struct gg_scheduler *scheduler, struct gg_replay_outcome *out)
{
  const struct gg_stage *stage = &scheduler->stage;
  *out = stage->outcome;
  if (scheduler->runs)
    out->elapsed_ns = now_of(scheduler) - stage->started_ns;
  gg__histogram_percentiles(&stage->latency, &out->latency);
  gg__histogram_percentiles(&stage->lag, &out->lag);
  gg__histogram_percentiles(&stage->slip, &out->slip);
}
