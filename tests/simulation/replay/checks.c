/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ── Beginning ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_played(size_t index)
{
  return !*gg__session_skipped(&sim.script.sessions[index].facts, &sim.config.options);
}

static uint64_t number_of(size_t index)
{
  uint64_t number = 0;
  for (size_t i = 0; i < index; i++)
    number += is_played(i);
  return number;
}

/* When the session is due, on the wire's clock. */
static uint64_t due_of(const struct gg_player *player)
{
  const struct gg_stage *stage = player->stage;
  return stage->started_ns + gg__timing_start(&stage->timing, player->loop, number_of(player->session),
                                              sim.script.sessions[player->session].facts.start_ns);
}

/* Time passes only where nothing is to be done: so nothing may be late. */
static bool is_exact(void)
{
  const struct sim_config *config = &sim.config;
  return !config->oversleep_ns && !config->cost_ns && !config->pause && !config->again && !config->short_io &&
         !config->spurious;
}

static void check_begun_in_time(const struct gg_player *player)
{
  const struct sim_config *config = &sim.config;
  if (!is_exact() || config->limit || config->limit_open || (config->options.ramp_ns && !config->options.speed_percent))
    return;
  uint64_t due_ns = due_of(player);
  due_ns = due_ns > sim.full_until_ns ? due_ns : sim.full_until_ns;
  if (sim.now_ns != due_ns)
    sim_fail("session %zu begins %" PRIu64 " ns late", player->session, sim.now_ns - due_ns);
}

void sim_check_connect(const struct gg_player *player, int error)
{
  const uint64_t now[3] = {player->loop, player->session, player->copy};
  if (!is_played(player->session))
    sim_fail("session %zu is not to be played", player->session);
  int order = 0;
  for (size_t i = 0; i < 3 && order == 0 && sim.any_begun; i++)
    order = now[i] > sim.begun[i] ? 1 : now[i] < sim.begun[i] ? -1 : 0;
  if (sim.any_begun && order <= 0)
    sim_fail("loop %" PRIu64 " session %" PRIu64 " copy %" PRIu64 " begins behind loop %" PRIu64 " session %" PRIu64
             " copy %" PRIu64,
             now[0], now[1], now[2], sim.begun[0], sim.begun[1], sim.begun[2]);
  if (sim.now_ns < due_of(player))
    sim_fail("session %zu begins %" PRIu64 " ns early", player->session, due_of(player) - sim.now_ns);
  if (sim.open >= sim.config.connections_max && !error)
    sim_fail("%" PRIu64 " connections are open, %u may be", sim.open + 1, sim.config.connections_max);
  if (error == GG_ERR_LIMIT)
    return; /* it is tried again */
  check_begun_in_time(player);
  if (!error) {
    uint64_t begun_late_ns = player->begun_ns - player->anchor_ns, due_late_ns = player->begun_ns - due_of(player);
    sim.begun_late_ns = begun_late_ns > sim.begun_late_ns ? begun_late_ns : sim.begun_late_ns;
    sim.due_late_ns = due_late_ns > sim.due_late_ns ? due_late_ns : sim.due_late_ns;
  }
  sim.any_begun = true;
  memcpy(sim.begun, now, sizeof now);
}

/* ── Sending ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* All replies before this chunk were at places whose terminator was learned, and obey it. */
static bool is_guarded(const struct gg_line *line, const struct sim_send *until)
{
  const struct sim_session *session = line->session;
  for (const struct sim_send *send = session->sends; send <= until; send++) {
    if (!send->replied)
      continue;
    const struct gg_rule *rule = gg__rules_find(sim.rules, session->facts.service, send->reply);
    if (rule->kind != GG_RULE_TERMINATOR ||
        !gg__rule_holds(rule, session->bytes[1] + send->reply_from, send->server_at - send->reply_from))
      return false;
  }
  return true;
}

static void check_dependency(const struct gg_line *line, const struct sim_send *send)
{
  bool causal = sim.config.options.level == GG_REPLAY_CAUSAL;
  if (!causal || !send->replied || !sim.config.patient || send->ends)
    return;
  if (line->conduct == SIM_VARIED) {
    if (!is_guarded(line, send))
      return;
    totals.guarded++;
  } else if (line->conduct != SIM_AS_RECORDED || !sim.config.peaceful)
    return;
  if (line->reply_end[send->reply] > line->delivered)
    sim_fail("%u: the chunk at %" PRIu64 " was sent when %" PRIu64 " bytes of the server were here, and reply %" PRIu64
             " ends at %" PRId64,
             line->number, send->from, line->delivered, send->reply, (int64_t)line->reply_end[send->reply]);
}

static void check_due(const struct gg_line *line, const struct sim_send *send)
{
  const struct gg_stage *stage = line->player->stage;
  const struct sim_session *session = line->session;
  uint64_t due_ns = due_of(line->player), from_ns = session->facts.start_ns;
  if (sim.config.options.level == GG_REPLAY_CAUSAL) {
    if (send->ends || (send->any_reply && !sim.config.peaceful))
      return;
    if (send->any_reply) {
      uint64_t anchor_ns = line->reply_ns[send->reply];
      if (anchor_ns == UINT64_MAX) /* not a dependent one, or check_dependency had found it */
        return;
      due_ns = anchor_ns;
      from_ns = send->server_ns;
    }
  }
  due_ns += gg__timing_span(&stage->timing, send->time_ns - from_ns);
  if (sim.now_ns < due_ns)
    sim_fail("%u: the chunk at %" PRIu64 " was sent %" PRIu64 " ns early", line->number, send->from,
             due_ns - sim.now_ns);
  sim.late_last_ns = sim.now_ns - due_ns;
  if (sim.late_last_ns > sim.late_worst_ns)
    sim.late_worst_ns = sim.late_last_ns;
}

/* Whatever was held counts its times from when it began; behind a reply, from when that was here. */
static void check_in_time(const struct gg_line *line, const struct sim_send *send)
{
  const struct sim_config *config = &sim.config;
  uint64_t due_ns = line->began_ns, from_ns = line->session->facts.start_ns;
  if (!is_exact() || line->blocked)
    return;
  if (config->options.level == GG_REPLAY_CAUSAL && (send->any_reply || send->ends)) {
    if (!config->peaceful || send->ends || line->session->facts.gaps)
      return;
    due_ns = line->reply_ns[send->reply];
    from_ns = send->server_ns;
  }
  due_ns += gg__timing_span(&line->player->stage->timing, send->time_ns - from_ns);
  due_ns = due_ns > line->told_ns ? due_ns : line->told_ns;
  totals.exact++;
  if (sim.now_ns != due_ns)
    sim_fail("%u: the chunk at %" PRIu64 " was due at %" PRIu64 ", it was sent at %" PRIu64, line->number, send->from,
             due_ns, sim.now_ns);
}

void sim_check_send(struct gg_line *line, const uint8_t *data, size_t size)
{
  const struct sim_session *session = line->session;
  if (line->sent + size > session->byte_count[0])
    sim_fail("%u: %zu bytes sent behind %" PRIu64 " of %" PRIu64, line->number, size, line->sent,
             session->byte_count[0]);
  if (memcmp(session->bytes[0] + line->sent, data, size) != 0)
    sim_fail("%u: the %zu bytes sent at %" PRIu64 " are not the recorded ones", line->number, size, line->sent);
  for (; line->send_next < session->send_count; line->send_next++) {
    const struct sim_send *send = &session->sends[line->send_next];
    if (send->from >= line->sent + size)
      break;
    sim_trace("%u: chunk at %" PRIu64 " (%" PRIu64 " bytes)", line->number, send->from, send->length);
    check_dependency(line, send);
    check_due(line, send);
    check_in_time(line, send);
  }
}

void sim_check_finish(struct gg_line *line)
{
  if (line->fin_sent)
    sim_fail("%u: finished twice", line->number);
  if (line->sent < line->session->byte_count[0])
    sim_fail("%u: finished after %" PRIu64 " of %" PRIu64 " bytes", line->number, line->sent,
             line->session->byte_count[0]);
}

/* ── The end of a connection ─────────────────────────────────────────────────────────────────────────────────────── */

static void sum_up(const struct gg_replay_counts *counts)
{
  struct gg_replay_counts *sums = &sim.sums;
  sums->chunks_sent += counts->chunks_sent;
  sums->chunks_unsent += counts->chunks_unsent;
  for (size_t i = 0; i < GG_REPLAY_RELEASES; i++) {
    sums->released[i] += counts->released[i];
    totals.released[i] += counts->released[i];
  }
  sums->bytes_sent += counts->bytes_sent;
  sums->bytes_received += counts->bytes_received;
  sums->bytes_expected += counts->bytes_expected;
  sums->replies += counts->replies;
  sums->replies_equal += counts->replies_equal;
  sums->replies_shorter += counts->replies_shorter;
  sums->replies_longer += counts->replies_longer;
  sums->replies_different += counts->replies_different;
  sums->timeouts += counts->timeouts;
  sums->closed_early += counts->closed_early;
}

/* It took no longer than all that it may have waited for. */
static void check_time(const struct gg_replay_session *told, const struct sim_session *session)
{
  const struct gg_replay_options *options = &sim.config.options;
  if (sim.paused)
    return;
  uint64_t each_ns = options->reply_timeout_ns + GG_SILENCE_PAUSE_MAX_NS + 100 * SIM_MS;
  struct gg_timing timing = {.speed_percent = options->speed_percent};
  uint64_t most_ns = options->connect_timeout_ns + gg__timing_span(&timing, session->recorded_ns) +
                     session->recorded_ns + /* if the server is as slow as it was */
                     (session->step_count + 4) * each_ns + GG_NS_PER_S;
  if (told->ended_ns - told->begun_ns > most_ns)
    sim_fail("session %s took %" PRIu64 " ns, at most %" PRIu64 " were possible", told->id,
             told->ended_ns - told->begun_ns, most_ns);
}

static const struct gg_line *line_of(const struct gg_replay_session *told, size_t index)
{
  for (size_t i = sim.line_count; i-- > 0;) {
    const struct gg_line *line = sim.lines[i];
    if (line->session == &sim.script.sessions[index] && line->loop == told->loop && line->copy == told->copy)
      return line;
  }
  return NULL;
}

static void check_line(const struct gg_replay_session *told, const struct sim_session *session, size_t index)
{
  const struct gg_line *line = line_of(told, index);
  if (told->connected != (line && line->open && line->told_connected))
    sim_fail("session %zu: connected is %d", index, told->connected);
  if (line && !line->closed)
    sim_fail("%u: the session has ended, its connection has not", line->number);
  if (told->counts.bytes_sent != (line ? line->sent : 0) || told->counts.bytes_received != (line ? line->read : 0))
    sim_fail("session %zu: %" PRIu64 " bytes sent and %" PRIu64 " received are told", index, told->counts.bytes_sent,
             told->counts.bytes_received);
  uint64_t chunks = told->counts.chunks_sent + told->counts.chunks_unsent;
  bool cut = sim.stopped || sim.script_failed || sim.policy_stops;
  if (cut ? chunks > session->facts.chunks : chunks != session->facts.chunks)
    sim_fail("session %zu: %" PRIu64 " chunks sent, %" PRIu64 " unsent of %" PRIu64, index, told->counts.chunks_sent,
             told->counts.chunks_unsent, session->facts.chunks);
  uint64_t released = 0;
  for (size_t i = 0; i < GG_REPLAY_RELEASES; i++)
    released += told->counts.released[i];
  if (released != told->counts.chunks_sent)
    sim_fail("session %zu: %" PRIu64 " chunks sent, %" PRIu64 " released", index, told->counts.chunks_sent, released);
  if (told->verdict == GG_REPLAY_EQUAL && !session->facts.refused && told->counts.chunks_unsent)
    sim_fail("session %zu is equal, but for %" PRIu64 " chunks that were not sent", index, told->counts.chunks_unsent);
  /* What stands behind the server's end in the recording may have been lost there as well. */
  bool lost = session->send_count > 0 && session->sends[session->send_count - 1].ends;
  bool refused = line && line->refuses && line->reset_delivered && line->fin_told &&
                 line->sent > line->sent_before_fin && !lost && !session->open_end;
  if (told->verdict == GG_REPLAY_EQUAL && refused)
    sim_fail("session %zu is equal, but for what the server did not take", index);
  if (told->counts.replies != told->counts.replies_equal + told->counts.replies_shorter + told->counts.replies_longer +
                                told->counts.replies_different)
    sim_fail("session %zu: the kinds of %" PRIu64 " replies do not sum up", index, told->counts.replies);
}

void sim_check_session(const struct gg_replay_session *told)
{
  size_t index = (size_t)strtoull(told->id, NULL, 16);
  if (index >= sim.script.count || !is_played(index))
    sim_fail("session %s is not one that is played", told->id);
  const struct sim_session *session = &sim.script.sessions[index];
  const struct gg_replay_options *options = &sim.config.options;
  if (told->loop >= options->loops || told->copy >= options->copies)
    sim_fail("session %zu: loop %" PRIu64 ", copy %" PRIu64, index, told->loop, told->copy);
  uint8_t *mark = &sim.told[(told->loop * sim.script.count + index) * options->copies + told->copy];
  if ((*mark)++)
    sim_fail("session %zu loop %" PRIu64 " copy %" PRIu64 " was told twice", index, told->loop, told->copy);
  sim_trace("session %zu copy %" PRIu64 " loop %" PRIu64 " is %s (%s at %" PRIu64 ")", index, told->copy, told->loop,
            gg_replay_verdict_text(told->verdict), gg_replay_difference_text(told->difference.kind),
            told->difference.offset);
  sim.verdicts[told->verdict]++;
  totals.sessions++;
  totals.verdicts[told->verdict]++;
  totals.differences[told->difference.kind]++;
  if (told->begun_ns < told->due_ns || told->ended_ns < told->begun_ns)
    sim_fail("session %zu was due at %" PRIu64 ", begun at %" PRIu64 ", ended at %" PRIu64, index, told->due_ns,
             told->begun_ns, told->ended_ns);
  if ((told->verdict == GG_REPLAY_EQUAL) != (told->difference.kind == GG_REPLAY_DIFFERENCE_NONE) &&
      told->verdict != GG_REPLAY_UNFINISHED)
    sim_fail("session %zu is %s, its difference %s", index, gg_replay_verdict_text(told->verdict),
             gg_replay_difference_text(told->difference.kind));
  if (told->verdict == GG_REPLAY_UNFINISHED && !sim.stopped && !sim.script_failed && !sim.policy_stops)
    sim_fail("session %zu is unfinished, and nobody stopped it", index);
  bool blamed = told->verdict != GG_REPLAY_EQUAL && told->verdict != GG_REPLAY_UNFINISHED;
  if (sim.config.peaceful && blamed && !sim.script_failed)
    sim_fail("session %zu is %s (%s at %" PRIu64 " in chunk %" PRIu64 "), its server did as recorded", index,
             gg_replay_verdict_text(told->verdict), gg_replay_difference_text(told->difference.kind),
             told->difference.offset, told->difference.chunk);
  check_time(told, session);
  check_line(told, session, index);
  sum_up(&told->counts);
}

/* ── The end of the replay ───────────────────────────────────────────────────────────────────────────────────────── */

static void check_sums(const struct gg_replay_outcome *outcome)
{
  const struct gg_replay_options *options = &sim.config.options;
  uint64_t each = (uint64_t)options->copies * options->loops, told = 0;
  uint64_t expected[GG_REPLAY_VERDICTS] = {0};
  for (size_t i = 0; i < sim.script.count; i++)
    if (!is_played(i))
      expected[sim.script.sessions[i].facts.opaque ? GG_REPLAY_OPAQUE : GG_REPLAY_PARTIAL] += each;
  for (size_t i = 0; i < GG_REPLAY_VERDICTS; i++) {
    expected[i] += sim.verdicts[i];
    told += expected[i];
  }
  if (!outcome->partial && told != sim.script.count * each)
    sim_fail("%" PRIu64 " of %" PRIu64 " sessions are accounted for", told, sim.script.count * each);
  expected[GG_REPLAY_UNFINISHED] += sim.script.count * each - told;
  if (memcmp(expected, outcome->sessions, sizeof expected) != 0)
    sim_fail("the sums of the verdicts are wrong");
  if (memcmp(&outcome->counts, &sim.sums, sizeof sim.sums) != 0)
    sim_fail("the counts are not the sums of the sessions' (%" PRIu64 " and %" PRIu64 " chunks sent, %" PRIu64
             " and %" PRIu64 " replies, %" PRIu64 " and %" PRIu64 " bytes expected)",
             outcome->counts.chunks_sent, sim.sums.chunks_sent, outcome->counts.replies, sim.sums.replies,
             outcome->counts.bytes_expected, sim.sums.bytes_expected);
  if (outcome->counts.bytes_sent != sim.bytes_sent || outcome->counts.bytes_received != sim.bytes_received)
    sim_fail("%" PRIu64 " bytes were sent, %" PRIu64 " are told; %" PRIu64 " received, %" PRIu64 " told",
             sim.bytes_sent, outcome->counts.bytes_sent, sim.bytes_received, outcome->counts.bytes_received);
}

void sim_check_end(int error)
{
  struct gg_replay_outcome outcome;
  gg__scheduler_outcome(sim.scheduler, &outcome);
  if (error != (sim.script_failed ? GG_ERR_CORRUPT : 0))
    sim_fail("the replay says %s", gg_error_name(error));
  if (outcome.partial && !sim.stopped && !sim.script_failed && !sim.policy_stops)
    sim_fail("the replay is partial, and nobody stopped it");
  if (sim.open != 0 || outcome.connections_open != 0)
    sim_fail("%" PRIu64 " connections are still open", sim.open);
  if (outcome.connections_peak != sim.peak || sim.peak > sim.config.connections_max)
    sim_fail("%" PRIu64 " connections at once are told, there were %" PRIu64, outcome.connections_peak, sim.peak);
  if (outcome.connections_made != sim.told_made)
    sim_fail("%" PRIu64 " connections made are told, there were %" PRIu64, outcome.connections_made, sim.told_made);
  if (outcome.latency.max_ns > sim.now_ns - sim.base_ns || outcome.lag.max_ns > sim.now_ns - sim.base_ns)
    sim_fail("a latency or lag is longer than the replay");
  if (outcome.lag.count < sim.told_made + outcome.counts.chunks_sent)
    sim_fail("%" PRIu64 " values of the lag for %" PRIu64 " connections and %" PRIu64 " chunks", outcome.lag.count,
             sim.told_made, outcome.counts.chunks_sent);
  const struct gg_replay_options *options = &sim.config.options;
  bool may_wait = outcome.sessions_held > 0 || (options->ramp_ns && !options->speed_percent && !options->rate);
  if (outcome.lag.max_ns < (may_wait ? sim.begun_late_ns : sim.due_late_ns))
    sim_fail("the lag is %" PRIu64 " ns at the most, a session was begun %" PRIu64 " ns late (%" PRIu64
             " ns after due)",
             outcome.lag.max_ns, sim.begun_late_ns, sim.due_late_ns);
  check_sums(&outcome);
  totals.held += outcome.sessions_held;
  totals.bytes += outcome.counts.bytes_sent + outcome.counts.bytes_received;
  totals.stopped += outcome.partial;
  totals.failed += error != 0;
}
