/* SPDX-License-Identifier: Apache-2.0 */
/*
 * player.c - a player's life. player.h has its states.
 *
 * Everything that happens to a player, an event of its connection or its timer, ends in run(): it takes what the
 * socket has, lets the play go on as far as it can (player_wait.c), and asks for the one next time at which something
 * has to be looked at again. No event means anything by itself, and none is needed at a certain moment: each only says
 * that it is worth looking. So they may come in any order, twice, late, or all at once.
 *
 * A session ends in one place, gg__player_end, whoever ends it; all sums are made there.
 *
 * When this whole process stood for a while, timers expire before what came meanwhile has been read. So whatever a
 * timer would conclude (silence, a reply that did not come, an end that did not) is concluded only after one more look
 * at the socket.
 */
#include "replay/player_parts.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct gg_player) <= 1536, "player.h says so");

static void on_event(void *sink, unsigned events);

/* ── Beginning ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* How late the connection is begun. */
static void measure_begin(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  player->late_ns = stage->lag_now_ns = gg__since(player->anchor_ns, player->begun_ns);
  gg__histogram_add(&stage->lag, player->late_ns);
}

int gg__player_begin(struct gg_player *player, struct gg_stage *stage, size_t session, uint64_t copy, uint64_t loop,
                     uint64_t due_ns, uint64_t anchor_ns, struct gg_failure *failure)
{
  struct gg_script *script = stage->script;
  memset((char *)player + offsetof(struct gg_player, stage), 0, sizeof *player - offsetof(struct gg_player, stage));
  player->stage = stage;
  player->session = session;
  player->copy = copy;
  player->loop = loop;
  script->ops->session(script, session, &player->facts);
  player->cursor = script->ops->steps(script, session);
  gg__reply_begin(&player->reply, script, session);
  player->begun_ns = gg__player_now(player);
  player->due_ns = due_ns;
  player->anchor_ns = anchor_ns;
  player->anchor_recorded_ns = player->facts.start_ns;
  player->outcome = (struct gg_replay_session){.id = player->facts.id,
                                               .loop = loop,
                                               .copy = copy,
                                               .due_ns = gg__since(stage->started_ns, due_ns),
                                               .begun_ns = gg__since(stage->started_ns, player->begun_ns)};
  player->state = GG_PLAYER_CONNECTING;
  int error = stage->wire->ops->connect(stage->wire, on_event, player, &player->line, failure);
  if (error) {
    player->state = GG_PLAYER_OVER;
    return error;
  }
  measure_begin(player);
  stage->arm(stage, player, gg__later(player->begun_ns, stage->options->connect_timeout_ns));
  return GG_OK;
}

/* False: the session is over. */
static bool connected(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  struct gg_addr local = {0}, remote = {0};
  uint64_t now_ns = gg__player_now(player);
  player->state = GG_PLAYER_PLAYING;
  player->round_trip_ns = gg__since(player->begun_ns, now_ns);
  player->ready_ns = gg__later(player->anchor_ns, player->round_trip_ns);
  player->wait_began_ns = now_ns;
  player->gone_recorded_ns = player->facts.start_ns;
  player->outcome.connected = true;
  stage->outcome.connections_made++;
  stage->wire->ops->ends(player->line, &local, &remote);
  gg_addr_format(&local, player->outcome.local, sizeof player->outcome.local);
  if (player->facts.refused)
    gg__reply_differs(&player->reply, GG_REPLAY_DIFFERENCE_CONNECTED);
  bool failed = !gg__player_follow_connected(player);
  if (!failed && stage->recording)
    failed = gg__take_open(stage->recording, &player->take, player->facts.id, player->copy, player->loop, &local,
                           &remote, now_ns, &stage->failure) != 0;
  if (failed)
    gg__player_fail(player);
  return !failed;
}

static void not_connected(struct gg_player *player, int error)
{
  bool local = error == GG_ERR_LIMIT || error == GG_ERR_NOMEM;
  if (!local)
    player->stage->outcome.connections_refused++;
  if (local)
    gg__reply_differs(&player->reply, GG_REPLAY_DIFFERENCE_LOCAL);
  else if (!player->facts.refused)
    gg__reply_differs(&player->reply, GG_REPLAY_DIFFERENCE_REFUSED);
  gg__player_end(player, false, true);
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int record_end(struct gg_player *player, bool reset, uint64_t now_ns)
{
  struct gg_failure *failure = &player->stage->failure;
  if (!player->take.open)
    return GG_OK;
  if (player->server_reset)
    return gg__take_close(&player->take, GG_CLOSING_SERVER_RESET, "server-reset", now_ns, failure);
  if (reset || !player->server_ended) /* also where we left without having seen the server's end */
    return gg__take_close(&player->take, GG_CLOSING_CLIENT_RESET, "client-reset", now_ns, failure);
  return gg__take_close(&player->take, GG_CLOSING_ORDERLY, player->server_end_first ? "server-fin" : "client-fin",
                        now_ns, failure);
}

/* What was not summed up as it happened. */
static void sum_up(struct gg_player *player)
{
  struct gg_replay_counts *sum = &player->stage->outcome.counts;
  struct gg_replay_counts *own = &player->outcome.counts;
  own->bytes_expected = player->facts.bytes[GG_SIDE_SERVER];
  if (!player->unfinished && player->facts.chunks > own->chunks_sent)
    own->chunks_unsent = player->facts.chunks - own->chunks_sent;
  sum->bytes_expected += own->bytes_expected;
  sum->chunks_unsent += own->chunks_unsent;
  for (unsigned i = 0; i < GG_REPLAY_RELEASES; i++)
    sum->released[i] += own->released[i];
  sum->replies += own->replies;
  sum->replies_equal += own->replies_equal;
  sum->replies_shorter += own->replies_shorter;
  sum->replies_longer += own->replies_longer;
  sum->replies_different += own->replies_different;
  sum->timeouts += own->timeouts;
  sum->closed_early += own->closed_early;
  sum->pieces_replaced += own->pieces_replaced;
  sum->plugin_ended += own->plugin_ended;
  player->stage->outcome.waited_by_messages += player->outcome.decoder != NULL;
  player->stage->outcome.waited_by_bytes += player->number > 0 && !player->outcome.decoder;
}

/* The last reply, or at level bytes the only one. Whether all went well. */
static bool end_replies(struct gg_player *player, bool cut)
{
  struct gg_stage *stage = player->stage;
  struct gg_replay_counts *counts = &player->outcome.counts;
  if (!player->outcome.connected)
    return true;
  if (!gg__player_is_causal(player) && !player->unfinished && counts->chunks_sent > 0) {
    uint64_t ended_ns = player->missed_ns > player->last_byte_ns ? player->missed_ns : player->last_byte_ns;
    if (ended_ns >= player->intended_ns) {
      player->outcome.latency_max_ns = ended_ns - player->intended_ns;
      gg__histogram_add(&stage->latency, player->outcome.latency_max_ns);
    }
  }
  if (gg__reply_end(&player->reply, cut, counts, &stage->failure) != 0)
    return false;
  if (!cut && player->reset_expected && !player->fin_expected && player->server_ended && !player->server_reset)
    gg__reply_differs(&player->reply, GG_REPLAY_DIFFERENCE_NOT_CLOSED);
  return true;
}

void gg__player_end(struct gg_player *player, bool reset, bool cut)
{
  struct gg_stage *stage = player->stage;
  struct gg_replay_session *outcome = &player->outcome;
  assert(player->state != GG_PLAYER_OVER && player->line);
  uint64_t now_ns = gg__player_now(player);
  player->state = GG_PLAYER_OVER;
  player->wait = GG_WAIT_NOTHING;
  cut |= player->plugin_ended;
  bool failed = !end_replies(player, cut);
  failed |= record_end(player, reset, now_ns) != 0;
  stage->wire->ops->close(player->line, reset && !player->server_reset);
  player->line = NULL;
  gg__player_unfollow(player);
  gg_output_fini(&player->instead);
  sum_up(player);
  outcome->ended_ns = gg__since(stage->started_ns, now_ns);
  outcome->difference = player->reply.difference;
  outcome->verdict = outcome->difference.kind != GG_REPLAY_DIFFERENCE_NONE ? GG_REPLAY_DIFFERENT
                     : player->unfinished || failed                        ? GG_REPLAY_UNFINISHED
                                                                           : GG_REPLAY_EQUAL;
  stage->over(stage, player);
  if (failed)
    stage->stop(stage);
}

void gg__player_fail(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  assert(stage->failure.code != 0);
  player->unfinished = true;
  gg__player_end(player, true, true);
  stage->stop(stage);
}

bool gg__player_timed_out(struct gg_player *player, enum gg_replay_difference_kind kind, bool may_continue)
{
  struct gg_stage *stage = player->stage;
  enum gg_replay_policy policy = stage->options->on_timeout;
  player->outcome.counts.timeouts++;
  gg__reply_differs(&player->reply, kind);
  if (policy == GG_REPLAY_CONTINUE && may_continue)
    return true;
  gg__player_end(player, true, false);
  if (policy == GG_REPLAY_STOP)
    stage->stop(stage);
  return false;
}

void gg__player_cut(struct gg_player *player)
{
  if (player->state == GG_PLAYER_OVER)
    return;
  player->unfinished = true;
  gg__player_end(player, true, true);
}

/* ── What the server does ────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether the recorded server's end of this kind is still to come: before the client's next step, or at all. Only asked
 * when the live one's has come. */
static bool is_ahead(const struct gg_player *player, enum gg_step_kind kind, bool at_all)
{
  struct gg_script *script = player->stage->script;
  struct gg_cursor cursor = player->cursor;
  struct gg_step step;
  for (unsigned steps = 0; steps < GG_PLAYER_TURN_STEPS; steps++) {
    if (script->ops->next(script, &cursor, &step, NULL) <= 0)
      return false;
    if (step.kind == kind)
      return true;
    bool is_server = step.kind == GG_STEP_EXPECT || step.kind == GG_STEP_EXPECT_GAP || step.kind == GG_STEP_EXPECT_END;
    if (!is_server && !at_all)
      return false;
  }
  return false;
}

/* The server has said all that it had said when it was recorded, and ends as it did. What the client still sends then
 * was never waited for: where both speak freely, either may be done first. But it took that when it was recorded. */
static bool has_said_all(struct gg_player *player)
{
  bool whole = false;
  return gg__reply_whole(&player->reply, &whole, NULL) == 0 && whole && is_ahead(player, GG_STEP_EXPECT_END, true);
}

/* Whether the recorded server had ended by now, or had nothing left to be asked. The client's next step is not always
 * found yet: not when the connection is new, and not behind a turn that was long enough. */
static bool is_end_expected(struct gg_player *player, bool reset)
{
  bool all_sent = player->outcome.counts.chunks_sent >= player->facts.chunks;
  bool finding = player->wait == GG_WAIT_NOTHING;
  if (player->reset_expected || (!reset && (player->fin_expected || all_sent)))
    return true;
  if ((finding || all_sent) && is_ahead(player, GG_STEP_EXPECT_RESET, all_sent))
    return true;
  return !reset && finding && is_ahead(player, GG_STEP_EXPECT_END, false);
}

bool gg__player_server_ended(struct gg_player *player, bool reset)
{
  struct gg_stage *stage = player->stage;
  bool revoked = player->excused && reset; /* what was sent behind its end was not taken */
  bool again = player->server_ended && !revoked;
  enum gg_replay_difference_kind kind = reset && !revoked ? GG_REPLAY_DIFFERENCE_RESET : GG_REPLAY_DIFFERENCE_CLOSED;
  player->server_ended = true;
  player->server_reset = reset;
  player->readable = false;
  if (!player->server_ended_ns)
    player->server_ended_ns = gg__player_now(player);
  if (!again && !reset) {
    player->server_end_first = !player->finished;
    if (player->take.open && gg__take_fin(&player->take, GG_FROM_SERVER, player->server_ended_ns, &stage->failure)) {
      gg__player_fail(player);
      return false;
    }
  }
  /* Where no server was when it was recorded there is nothing to hold this one against. */
  bool expected = player->facts.refused || player->end_open || is_end_expected(player, reset);
  player->excused = !expected && !reset && has_said_all(player);
  expected |= player->excused;
  if (!expected) {
    gg__reply_differs(&player->reply, kind);
    player->outcome.counts.closed_early += !again;
  }
  enum gg_replay_policy policy = stage->options->on_close;
  if (!reset && (expected || policy == GG_REPLAY_CONTINUE))
    return true;
  gg__player_end(player, false, false);
  if (!expected && policy == GG_REPLAY_STOP)
    stage->stop(stage);
  return false;
}

/* Bytes are in the first scratch. False: the session is over. */
static bool received(struct gg_player *player, size_t size)
{
  struct gg_stage *stage = player->stage;
  const uint8_t *data = stage->scratch[0];
  uint64_t now_ns = gg__player_now(player);
  if (!player->end_open)
    player->last_byte_ns = now_ns;
  player->outcome.counts.bytes_received += size;
  stage->outcome.counts.bytes_received += size;
  if ((player->take.open && gg__take_bytes(&player->take, GG_FROM_SERVER, data, size, now_ns, &stage->failure) != 0) ||
      gg__reply_feed(&player->reply, data, size, &stage->failure) != 0 ||
      !gg__player_follow_received(player, data, size)) {
    gg__player_fail(player);
    return false;
  }
  if (player->wait == GG_WAIT_TIME && player->awaits_bytes && player->release == GG_REPLAY_RELEASED_BY_SILENCE) {
    player->wait = GG_WAIT_REPLY; /* it was not complete */
    player->awaited_since_ns = now_ns;
  }
  return true;
}

/* Behind an orderly end. False: the session is over. */
static bool look_for_reset(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  if (!player->excused || stage->wire->ops->receive(player->line, stage->scratch[0], 1) != GG_ERR_CLOSED)
    return true;
  return gg__player_server_ended(player, true);
}

bool gg__player_receive(struct gg_player *player)
{
  const struct gg_wire_ops *ops = player->stage->wire->ops;
  size_t left = GG_PLAYER_TURN_BYTES;
  player->readable = false;
  if (player->server_ended)
    return look_for_reset(player);
  while (left > 0) {
    size_t room = left < GG_STAGE_SCRATCH_BYTES ? left : GG_STAGE_SCRATCH_BYTES;
    ssize_t got = ops->receive(player->line, player->stage->scratch[0], room);
    if (got == GG_ERR_AGAIN)
      return true;
    if (got <= 0)
      return gg__player_server_ended(player, got != 0);
    if (!received(player, (size_t)got))
      return false;
    if ((size_t)got < room)
      return true;
    left -= (size_t)got;
  }
  player->readable = true;
  return true;
}

/* ── Leaving ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether the server's end belongs to what was recorded. If not, it is given a moment all the same: most servers answer
 * a FIN with theirs, and the connection is over for both. */
static bool is_end_awaited(const struct gg_player *player)
{
  return (player->fin_expected || player->reset_expected) && !player->end_waited && !player->facts.refused;
}

static uint64_t leave_when(const struct gg_player *player)
{
  if (!player->server_ended && is_end_awaited(player))
    return gg__player_timeout_when(player);
  return gg__later(player->awaited_since_ns, gg__player_silence(player));
}

/* False: the session is over. */
static bool leave(struct gg_player *player)
{
  if (!player->server_ended || player->excused) {
    if (gg__player_now(player) < leave_when(player))
      return true;
    if (!gg__player_receive(player))
      return false;
  }
  if (!player->server_ended && is_end_awaited(player))
    gg__player_timed_out(player, GG_REPLAY_DIFFERENCE_NOT_CLOSED, false);
  else
    gg__player_end(player, player->readable, false); /* readable: a flood */
  return false;
}

/* ── Turns ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void rearm(struct gg_player *player)
{
  uint64_t when_ns = 0;
  if (player->readable)
    when_ns = gg__player_now(player);
  else if (player->state == GG_PLAYER_LEAVING)
    when_ns = leave_when(player);
  else
    when_ns = gg__player_play_when(player);
  player->stage->arm(player->stage, player, when_ns);
}

static void run(struct gg_player *player)
{
  if (player->readable && !gg__player_receive(player))
    return;
  if (player->state == GG_PLAYER_PLAYING && gg__player_play(player) == GG_MOVE_OVER)
    return;
  if (player->state == GG_PLAYER_LEAVING && !leave(player))
    return;
  rearm(player);
}

static void on_event(void *sink, unsigned events)
{
  struct gg_player *player = sink;
  if (player->state == GG_PLAYER_OVER)
    return;
  player->readable |= (events & GG_WIRE_READABLE) != 0 && (!player->server_ended || player->excused);
  if (events & GG_WIRE_WRITABLE)
    player->writable_awaited = false;
  if (player->state == GG_PLAYER_CONNECTING) {
    if (events & GG_WIRE_FAILED) {
      not_connected(player, player->stage->wire->ops->error(player->line));
      return;
    }
    if (!(events & GG_WIRE_CONNECTED) || !connected(player))
      return;
  }
  run(player);
}

void gg__player_time(struct gg_player *player, uint64_t now_ns)
{
  struct gg_stage *stage = player->stage;
  if (player->state == GG_PLAYER_OVER)
    return;
  if (player->state != GG_PLAYER_CONNECTING) {
    run(player);
    return;
  }
  uint64_t late_ns = gg__later(player->begun_ns, stage->options->connect_timeout_ns);
  if (now_ns < late_ns) {
    stage->arm(stage, player, late_ns);
  } else if (!player->overdue) {
    player->overdue = true;
    stage->arm(stage, player, gg__later(now_ns, GG_PLAYER_OVERDUE_NS));
  } else {
    not_connected(player, GG_ERR_TIMEOUT);
  }
}
