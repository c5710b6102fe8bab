/* SPDX-License-Identifier: Apache-2.0 */
/*
 * player_wait.c - what the client does next, and when it may.
 *
 *            ┌──────────────────────────────────────────────────────────────────────┐
 *            ▼                                                                      │
 *   gather: over the server's recorded steps to the client's next one               │
 *            │ level causal, and there were some            │ otherwise             │
 *            ▼                                              │                       │
 *   REPLY    until the live one is complete ◄───────┐       │                       │
 *            │                  silence, and then   │       │                       │
 *            ▼                  more of it came     │       ▼                       │
 *   TIME     until due ─────────────────────────────┴───────┤                       │
 *                                                           ▼                       │
 *            settle: the turn; what is measured; the new anchor                     │
 *                                                           ▼                       │
 *   ROOM     it is done (player_send.c) ────────────────────────────────────────────┘
 *
 * What completes a reply is asked in the order of player.h, first what is known, then what only time tells. A rule and
 * identity look at the end of what has come, so everything that could be received must have been. While messages
 * (follow.h) say that an answer is missing, neither rule nor silence is heard. Where there is a rule, silence means
 * nothing: a server that pauses is not done. But a reply that is not the recorded one may be of another kind, which
 * ends otherwise (an error page, say): with a rule the longest silence that is ever asked for, a second, completes that
 * one as well; and so where a decoder has learned what prompts look like. Silence counts from the last byte, and not
 * from before the wait began: a reply that a pipelining client's first chunk got is not the one to its second.
 *
 * A silence that is disproved while the client thinks is waited for again, but the step's due time stays: a server that
 * says something now and then would otherwise put it off for ever.
 */
#include "replay/player_parts.h"

#include <assert.h>

static bool is_causal(const struct gg_player *player)
{
  return gg__player_is_causal(player) && !player->facts.refused;
}

static uint64_t span(const struct gg_player *player, uint64_t from_ns, uint64_t to_ns)
{
  return gg__timing_span(&player->stage->timing, gg__since(from_ns, to_ns));
}

/* ── Gathering ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void gather_begin(struct gg_player *player)
{
  player->gathering = true;
  player->awaits_bytes = player->awaits_end = player->gapped = false;
  player->end_awaited = player->chunk_begun = player->by_messages = false;
  player->says = GG_FOLLOW_UNKNOWN;
  gg__player_step_begin(player);
  player->reply_bytes = 0;
  player->pause_ns = player->confirmed_ns = player->reply_ns = 0;
  player->extended_ns = 0;
  player->rule.kind = GG_RULE_NONE;
  if (!is_causal(player))
    return;
  player->missed_ns = 0;
  player->rule = *gg__rules_find(player->stage->rules, player->facts.service, player->number);
}

/* Of the recorded reply what its rule has to be held against. Errors are the script's. */
static int gather_bytes(struct gg_player *player, const struct gg_step *step)
{
  struct gg_stage *stage = player->stage;
  uint32_t had = player->reply_bytes;
  if (player->rule.kind == GG_RULE_NONE)
    return GG_OK;
  if (step->length > GG_RULES_REPLY_MAX - had) {
    player->rule.kind = GG_RULE_NONE;
    return GG_OK;
  }
  player->reply_bytes += step->length;
  if (player->rule.kind != GG_RULE_TERMINATOR || step->length == 0)
    return GG_OK;
  return stage->script->ops->bytes(stage->script, step, 0, stage->scratch[1] + had, step->length, &stage->failure);
}

/* A step of the recorded server. Errors are the script's. */
static int gather_server(struct gg_player *player, const struct gg_step *step)
{
  if (step->kind == GG_STEP_EXPECT_END || step->kind == GG_STEP_EXPECT_RESET) {
    player->fin_expected |= step->kind == GG_STEP_EXPECT_END;
    player->reset_expected |= step->kind == GG_STEP_EXPECT_RESET;
    player->awaits_end = true;
    player->reply_recorded_ns = step->time_ns;
    return GG_OK;
  }
  uint64_t pause_ns = player->awaits_bytes ? gg__since(player->reply_recorded_ns, step->time_ns) : 0;
  if (pause_ns > player->pause_ns)
    player->pause_ns = pause_ns;
  player->awaits_bytes = true;
  player->reply_recorded_ns = step->time_ns;
  player->chunks_expected += step->begins_chunk;
  if (step->kind == GG_STEP_EXPECT_GAP) {
    player->gapped = true;
    player->expected_end = step->offset + step->gap;
    return GG_OK;
  }
  player->expected_end = step->offset + step->length;
  return gather_bytes(player, step);
}

/* How long the recorded client waited here. At level bytes nothing is waited for but all of it, at the end. */
static void measure_recorded_wait(struct gg_player *player, uint64_t now_ns)
{
  uint64_t waited_ns = gg__since(player->gone_recorded_ns, player->reply_recorded_ns);
  if (is_causal(player)) {
    player->wait_began_ns = now_ns;
    player->wait_recorded_ns = waited_ns;
  } else {
    player->wait_recorded_ns = gg__later(player->wait_recorded_ns, waited_ns);
  }
}

/* The client's reset would tear down the answer to its last chunks: whether they were taken is seen first. */
static void put_off_reset(struct gg_player *player)
{
  if (!player->excused || player->step.kind != GG_STEP_SEND_RESET)
    return;
  uint64_t silent_ns = gg__later(gg__player_now(player), gg__player_silence(player));
  if (player->due_ns < silent_ns)
    player->due_ns = silent_ns;
}

/* The client's step is found: what it waits for. */
static void gather_end(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  uint64_t now_ns = gg__player_now(player);
  player->gathering = false;
  if (player->awaits_bytes || player->awaits_end)
    measure_recorded_wait(player, now_ns);
  if (is_causal(player) && (player->awaits_bytes || player->awaits_end)) {
    if (player->awaits_bytes)
      gg__reply_await(&player->reply, player->expected_end);
    if (player->rule.kind != GG_RULE_NONE && (player->gapped || player->reply.put_off ||
                                              !gg__rule_holds(&player->rule, stage->scratch[1], player->reply_bytes)))
      player->rule.kind = GG_RULE_NONE;
    player->wait = GG_WAIT_REPLY;
    player->awaited_since_ns = now_ns;
    return;
  }
  player->awaits_bytes = player->awaits_end = false;
  if (!player->behind_gap) {
    bool first = player->outcome.counts.chunks_sent == 0 && (player->expected_end == 0 || !is_causal(player));
    player->release = first ? GG_REPLAY_RELEASED_BY_START : GG_REPLAY_RELEASED_BY_TIME;
  }
  player->due_ns = gg__later(player->anchor_ns, span(player, player->anchor_recorded_ns, player->step.time_ns));
  bool any_before = player->outcome.counts.chunks_sent > 0 || player->number > 0;
  if (stage->timing.speed_percent == 0 && any_before) /* nothing has a time of its own: it goes behind that */
    player->ready_ns = now_ns;
  put_off_reset(player);
  player->wait = GG_WAIT_TIME;
}

/* Over the recorded server's steps to the client's next one. */
static enum gg_move gather(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  if (!player->gathering)
    gather_begin(player);
  for (unsigned steps = 0; steps < GG_PLAYER_TURN_STEPS; steps++) {
    int got = stage->script->ops->next(stage->script, &player->cursor, &player->step, &stage->failure);
    int error = got < 0 ? got : GG_OK;
    bool is_server = false;
    player->steps++;
    if (got > 0) {
      enum gg_step_kind kind = player->step.kind;
      is_server = kind == GG_STEP_EXPECT || kind == GG_STEP_EXPECT_GAP || kind == GG_STEP_EXPECT_END ||
                  kind == GG_STEP_EXPECT_RESET;
    } else if (got == 0) { /* a script that does not end in GG_STEP_OVER */
      player->step = (struct gg_step){.kind = GG_STEP_OVER, .time_ns = player->facts.end_ns};
    }
    if (is_server)
      error = gather_server(player, &player->step);
    if (error) {
      gg__player_fail(player);
      return GG_MOVE_OVER;
    }
    if (!is_server) {
      gather_end(player);
      return GG_MOVE_ON;
    }
  }
  player->rule.kind = GG_RULE_NONE; /* its bytes are no longer at hand */
  return GG_MOVE_WAIT;
}

/* ── Complete? ───────────────────────────────────────────────────────────────────────────────────────────────────── */

uint64_t gg__player_silence(const struct gg_player *player)
{
  uint64_t silence_ns = 2 * player->round_trip_ns;
  if (silence_ns > GG_SILENCE_PAUSE_MAX_NS)
    silence_ns = GG_SILENCE_PAUSE_MAX_NS;
  return silence_ns > GG_SILENCE_MIN_NS ? silence_ns : GG_SILENCE_MIN_NS;
}

/* When silence will have completed the awaited reply, if nothing more comes; UINT64_MAX: it does not. */
static uint64_t silence_when(const struct gg_player *player)
{
  bool ruled = player->rule.kind != GG_RULE_NONE;
  if (!player->awaits_bytes || player->awaits_end || player->reply.turn_bytes == 0 ||
      player->says == GG_FOLLOW_NOT_YET || (ruled && !player->reply.diverged) || player->readable)
    return UINT64_MAX;
  uint64_t silence_ns = gg__player_silence(player), pause_ns = player->pause_ns;
  if (pause_ns > GG_SILENCE_PAUSE_MAX_NS || ruled || player->says == GG_FOLLOW_SEEMS_NOT)
    pause_ns = GG_SILENCE_PAUSE_MAX_NS;
  if (pause_ns > silence_ns)
    silence_ns = pause_ns;
  if (!player->gapped && gg__reply_wants_more(&player->reply))
    silence_ns = GG_SILENCE_PAUSE_MAX_NS; /* a server that stalls is likelier than one that has learned to be brief */
  uint64_t since_ns = player->last_byte_ns;
  if (player->awaited_since_ns > since_ns)
    since_ns = player->awaited_since_ns;
  return gg__later(since_ns, silence_ns);
}

/* The recorded client reset the connection in the middle of a reply: it goes as soon as that much has come. */
static bool is_cut_reached(const struct gg_player *player)
{
  const struct gg_reply *reply = &player->reply;
  return player->step.kind == GG_STEP_SEND_RESET && player->awaits_bytes &&
         (gg__reply_identical(reply) || reply->turn_bytes >= reply->turn_end - reply->turn_begin);
}

/* What completes the awaited reply, whatever time it is; -1: nothing does. */
static int complete_by(struct gg_player *player)
{
  struct gg_follow_turn turn;
  if (player->server_ended)
    return GG_REPLAY_RELEASED_BY_END;
  if (player->awaits_end)
    return -1;
  if (is_cut_reached(player))
    return GG_REPLAY_RELEASED_BY_IDENTICAL;
  player->says = (uint8_t)gg__player_follow_says(player, &turn);
  if (player->says == GG_FOLLOW_COMPLETE)
    return GG_REPLAY_RELEASED_BY_DECODER;
  if (player->readable)
    return -1;
  if (player->says != GG_FOLLOW_NOT_YET && gg__reply_obeys(&player->reply, &player->rule))
    return player->rule.kind == GG_RULE_TERMINATOR ? GG_REPLAY_RELEASED_BY_TERMINATOR : GG_REPLAY_RELEASED_BY_LENGTH;
  if (!player->gapped && gg__reply_identical(&player->reply))
    return GG_REPLAY_RELEASED_BY_IDENTICAL;
  return -1;
}

uint64_t gg__player_timeout_when(const struct gg_player *player)
{
  uint64_t recorded_ns = player->wait_recorded_ns, slow_ns = gg__timing_span(&player->stage->timing, recorded_ns);
  uint64_t from_ns = gg__later(player->wait_began_ns, slow_ns > recorded_ns ? slow_ns : recorded_ns);
  if (player->awaited_since_ns > from_ns)
    from_ns = player->awaited_since_ns;
  return gg__later(gg__later(from_ns, player->stage->options->reply_timeout_ns), player->extended_ns);
}

/* What time says; -1: nothing yet. */
static int complete_by_time(const struct gg_player *player, uint64_t now_ns)
{
  if (now_ns >= silence_when(player))
    return GG_REPLAY_RELEASED_BY_SILENCE;
  return now_ns >= gg__player_timeout_when(player) ? GG_REPLAY_RELEASED_BY_TIMEOUT : -1;
}

static void measure_latency(struct gg_player *player, uint64_t until_ns)
{
  if (player->outcome.counts.chunks_sent == 0 || until_ns < player->intended_ns)
    return;
  uint64_t latency_ns = until_ns - player->intended_ns;
  gg__histogram_add(&player->stage->latency, latency_ns);
  if (latency_ns > player->outcome.latency_max_ns)
    player->outcome.latency_max_ns = latency_ns;
}

/* False: the session is over, by policy. */
static bool reply_timed_out(struct gg_player *player)
{
  const struct gg_reply *reply = &player->reply;
  player->end_waited = player->awaits_end;
  bool only_end_missing =
    player->awaits_end && (!player->awaits_bytes || reply->diverged || reply->offset >= reply->turn_end);
  if (!only_end_missing) { /* a hanging server is no faster than one that answers */
    player->missed_ns = gg__player_now(player);
    measure_latency(player, player->missed_ns);
  }
  return gg__player_timed_out(player, only_end_missing ? GG_REPLAY_DIFFERENCE_NOT_CLOSED : GG_REPLAY_DIFFERENCE_TIMEOUT,
                              true);
}

/* By messages: the reply is what was waited for of all that came. If that is nothing, the client goes on when it is
 * time, as if nothing had come. */
static void complete_by_messages(struct gg_player *player)
{
  struct gg_follow_turn turn;
  gg__player_follow_says(player, &turn);
  player->by_messages = true;
  player->outcome.decoder = gg__follow_decoder(player->follow);
  if (turn.recorded_ns) {
    player->reply_recorded_ns = turn.recorded_ns;
    if (turn.live_ns)
      player->reply_ns = player->turn_ns = turn.live_ns;
    return;
  }
  player->release = GG_REPLAY_RELEASED_BY_TIME;
  player->reply_ns = 0;
  player->reply_recorded_ns = player->anchor_recorded_ns;
  player->turn_ns = player->anchor_ns;
}

static void completed(struct gg_player *player, int release)
{
  bool first = player->confirmed_ns == 0;
  player->confirmed_ns = player->ready_ns = gg__player_now(player);
  player->release = (uint8_t)release;
  player->reply_ns = player->awaits_bytes && player->reply.turn_bytes > 0 ? player->last_byte_ns : 0;
  if (player->awaits_end && player->server_ended)
    player->turn_ns = player->server_ended_ns;
  else
    player->turn_ns = player->reply_ns ? player->reply_ns : player->confirmed_ns;
  if (release == GG_REPLAY_RELEASED_BY_DECODER)
    complete_by_messages(player);
  if (first)
    player->due_ns = gg__later(player->turn_ns, span(player, player->reply_recorded_ns, player->step.time_ns));
  put_off_reset(player);
  player->wait = GG_WAIT_TIME;
}

/* Time would end the wait. What came while this process stood is still in the socket: it is taken, and if the wait has
 * been too long only for want of looking, it goes on for as long as a reply may pause, once. False: the session is
 * over. */
static bool look_again(struct gg_player *player)
{
  uint64_t late_ns = gg__since(gg__player_timeout_when(player), gg__player_now(player));
  uint64_t received = player->outcome.counts.bytes_received;
  uint64_t more_ns = player->stage->options->reply_timeout_ns;
  if (more_ns > GG_SILENCE_PAUSE_MAX_NS)
    more_ns = GG_SILENCE_PAUSE_MAX_NS;
  if (!gg__player_receive(player))
    return false;
  if (late_ns > GG_PLAYER_OVERDUE_NS && player->outcome.counts.bytes_received > received && !player->readable &&
      player->extended_ns == 0)
    player->extended_ns = late_ns + more_ns;
  return true;
}

static enum gg_move await_reply(struct gg_player *player)
{
  if (!gg__player_follow(player)) {
    gg__player_fail(player);
    return GG_MOVE_OVER;
  }
  int release = complete_by(player);
  if (release < 0) {
    if (complete_by_time(player, gg__player_now(player)) < 0)
      return GG_MOVE_WAIT;
    if (!look_again(player))
      return GG_MOVE_OVER;
    release = complete_by(player);
    if (release < 0)
      release = complete_by_time(player, gg__player_now(player));
    if (release < 0)
      return GG_MOVE_WAIT;
  }
  if (release == GG_REPLAY_RELEASED_BY_TIMEOUT && !reply_timed_out(player))
    return GG_MOVE_OVER;
  completed(player, release);
  return GG_MOVE_ON;
}

/* ── Level bytes: a connection's end ─────────────────────────────────────────────────────────────────────────────── */

static bool awaits_recorded_bytes(const struct gg_player *player)
{
  enum gg_step_kind kind = player->step.kind;
  return (kind == GG_STEP_SEND_END || kind == GG_STEP_SEND_RESET || kind == GG_STEP_OVER) && !is_causal(player) &&
         !player->facts.refused && !player->end_awaited;
}

static bool have_recorded_bytes_come(const struct gg_player *player)
{
  return player->server_ended || player->outcome.counts.bytes_received >= player->expected_end;
}

static enum gg_move await_recorded_bytes(struct gg_player *player)
{
  if (!have_recorded_bytes_come(player)) {
    if (gg__player_now(player) < gg__player_timeout_when(player))
      return GG_MOVE_WAIT;
    if (!look_again(player))
      return GG_MOVE_OVER;
  }
  if (!have_recorded_bytes_come(player)) {
    uint64_t now_ns = gg__player_now(player);
    if (now_ns < gg__player_timeout_when(player))
      return GG_MOVE_WAIT;
    player->missed_ns = now_ns;
    if (!gg__player_timed_out(player, GG_REPLAY_DIFFERENCE_TIMEOUT, true))
      return GG_MOVE_OVER;
  }
  player->end_awaited = true;
  player->wait = GG_WAIT_TIME;
  return GG_MOVE_ON;
}

/* ── Going on ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void measure_reply(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  if (!player->missed_ns)
    measure_latency(player, player->reply_ns);
  if (stage->timing.speed_percent != 0) {
    uint64_t recorded_ns = span(player, player->anchor_recorded_ns, player->reply_recorded_ns);
    uint64_t live_ns = gg__since(gg__later(player->anchor_ns, player->late_ns), player->reply_ns);
    gg__histogram_add(&stage->slip, gg__since(recorded_ns, live_ns));
  }
}

/* The client goes on: the reply before it has ended. */
static enum gg_move settle(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  bool last = player->step.kind == GG_STEP_SEND_RESET || player->step.kind == GG_STEP_OVER;
  player->could_ns = player->due_ns > player->ready_ns ? player->due_ns : player->ready_ns;
  if (!player->awaits_bytes && !player->awaits_end)
    return GG_MOVE_ON;
  if (player->reply_ns)
    measure_reply(player);
  player->late_ns = 0;
  player->anchor_ns = player->turn_ns;
  player->anchor_recorded_ns = player->reply_recorded_ns;
  player->number++;
  if (player->by_messages && gg__reply_wants_more(&player->reply)) { /* which nobody waits for, and still comes */
    gg__reply_put_off(&player->reply);
    return GG_MOVE_ON;
  }
  if (player->awaits_bytes && !last && /* the last one is counted at the session's end */
      gg__reply_turn(&player->reply, player->cursor, player->chunks_expected, &player->outcome.counts,
                     &stage->failure) != 0) {
    gg__player_fail(player);
    return GG_MOVE_OVER;
  }
  return GG_MOVE_ON;
}

static bool is_nothing_left(const struct gg_player *player)
{
  return player->step.kind == GG_STEP_OVER && player->server_ended && player->finished;
}

static enum gg_move await_time(struct gg_player *player)
{
  uint64_t now_ns = gg__player_now(player);
  if (now_ns < player->due_ns && !is_nothing_left(player))
    return GG_MOVE_WAIT;
  if (player->release == GG_REPLAY_RELEASED_BY_SILENCE && player->awaits_bytes &&
      now_ns - player->confirmed_ns > GG_PLAYER_OVERDUE_NS) {
    if (!gg__player_receive(player)) /* is it still silent? */
      return GG_MOVE_OVER;
    if (player->wait == GG_WAIT_REPLY)
      return GG_MOVE_WAIT;
  }
  if (awaits_recorded_bytes(player) && !have_recorded_bytes_come(player)) {
    player->wait = GG_WAIT_REPLY;
    player->awaited_since_ns = now_ns;
    return GG_MOVE_WAIT;
  }
  enum gg_move move = settle(player);
  if (move == GG_MOVE_ON) {
    player->wait = GG_WAIT_ROOM;
    player->awaited_since_ns = now_ns;
  }
  return move;
}

/* One step of the client, as far as it comes. */
static enum gg_move go_on(struct gg_player *player)
{
  enum gg_move move = GG_MOVE_ON;
  if (player->wait == GG_WAIT_NOTHING)
    move = gather(player);
  if (move == GG_MOVE_ON && player->wait == GG_WAIT_REPLY)
    move = is_causal(player) ? await_reply(player) : await_recorded_bytes(player);
  if (move == GG_MOVE_ON && player->wait == GG_WAIT_TIME)
    move = await_time(player);
  if (move == GG_MOVE_ON && player->wait == GG_WAIT_ROOM)
    move = gg__player_perform(player);
  return move;
}

enum gg_move gg__player_play(struct gg_player *player)
{
  enum gg_move move = GG_MOVE_ON;
  for (unsigned i = 0; i < GG_PLAYER_TURN_CHUNKS && move == GG_MOVE_ON && player->state == GG_PLAYER_PLAYING; i++)
    move = go_on(player);
  return move;
}

uint64_t gg__player_play_when(const struct gg_player *player)
{
  uint64_t timeout_ns = gg__player_timeout_when(player), silence_ns = UINT64_MAX;
  switch (player->wait) {
  case GG_WAIT_NOTHING:
    break;
  case GG_WAIT_REPLY:
    if (is_causal(player))
      silence_ns = silence_when(player);
    if (is_causal(player) && gg__player_follow_when(player) < silence_ns)
      silence_ns = gg__player_follow_when(player);
    return silence_ns < timeout_ns ? silence_ns : timeout_ns;
  case GG_WAIT_TIME:
    return player->due_ns;
  case GG_WAIT_ROOM:
    return gg__later(player->awaited_since_ns, player->stage->options->reply_timeout_ns);
  }
  return gg__player_now(player);
}
