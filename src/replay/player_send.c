/* SPDX-License-Identifier: Apache-2.0 */
/*
 * player_send.c - the client's steps, done.
 *
 * Bytes are read from the script when they go, into memory that all players share; what the socket did not take is read
 * once more when it has room. So a player that is blocked holds nothing but its place in the script. Only what a
 * plug-in put out instead is the player's own until it has gone, since it is asked once.
 */
#include "replay/player_parts.h"

#include "hook/hook.h"
#include "replay/bounds.h"

#include <assert.h>

static_assert((int)GG_STEP_BYTES_MAX <= (int)GG_STAGE_SCRATCH_BYTES, "a step is sent by one call");

/* The first byte of a chunk was taken. */
static void measure_lag(struct gg_player *player, uint64_t now_ns)
{
  struct gg_stage *stage = player->stage;
  player->chunk_begun = true;
  stage->lag_now_ns = gg__since(player->could_ns, now_ns);
  if (gg__since(player->due_ns, now_ns) < player->late_ns) /* it has caught up */
    player->late_ns = gg__since(player->due_ns, now_ns);
  gg__histogram_add(&stage->lag, stage->lag_now_ns);
}

static void chunk_sent(struct gg_player *player)
{
  player->outcome.counts.chunks_sent++;
  player->stage->outcome.counts.chunks_sent++;
  player->outcome.counts.released[player->release]++;
  player->intended_ns = player->due_ns > player->confirmed_ns ? player->due_ns : player->confirmed_ns;
}

/* False: the script has failed. */
static bool bytes_sent(struct gg_player *player, const uint8_t *data, size_t size)
{
  struct gg_stage *stage = player->stage;
  uint64_t now_ns = gg__player_now(player);
  if (!player->chunk_begun)
    measure_lag(player, now_ns);
  player->awaited_since_ns = now_ns;
  player->step_at += (uint32_t)size;
  player->take.sent += size;
  player->outcome.counts.bytes_sent += size;
  stage->outcome.counts.bytes_sent += size;
  return gg__player_follow_sent(player, data, size);
}

static bool has_waited_too_long(const struct gg_player *player)
{
  return gg__player_now(player) >= gg__later(player->awaited_since_ns, player->stage->options->reply_timeout_ns);
}

/* The peer takes no more. What it has said before is read first: its reason may be there, and its end. */
static enum gg_move refused(struct gg_player *player)
{
  if (!player->server_ended) {
    if (!gg__player_receive(player))
      return GG_MOVE_OVER;
    if (player->readable && !has_waited_too_long(player))
      return GG_MOVE_WAIT;
  }
  return gg__player_server_ended(player, true) ? GG_MOVE_WAIT : GG_MOVE_OVER;
}

static enum gg_move blocked(struct gg_player *player)
{
  player->writable_awaited = true;
  if (!has_waited_too_long(player))
    return GG_MOVE_WAIT;
  gg__player_timed_out(player, GG_REPLAY_DIFFERENCE_TIMEOUT, false);
  return GG_MOVE_OVER;
}

/* Our FIN. False: the session is over. */
static bool finish(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  if (player->finished)
    return true;
  player->finished = true;
  if (player->take.open && gg__take_fin(&player->take, GG_FROM_CLIENT, gg__player_now(player), &stage->failure) != 0) {
    gg__player_fail(player);
    return false;
  }
  stage->wire->ops->finish(player->line);
  return true;
}

/* Our end, at the recording's. */
static enum gg_move leave(struct gg_player *player)
{
  if (!finish(player))
    return GG_MOVE_OVER;
  player->end_open = !player->fin_expected && !player->reset_expected;
  if (player->end_open)
    gg__reply_open_end(&player->reply);
  player->state = GG_PLAYER_LEAVING;
  player->awaited_since_ns = gg__player_now(player);
  player->extended_ns = 0;
  return GG_MOVE_ON;
}

/* The plug-in has ended the session. In order: our end, and then the server's is waited for as behind the last step. */
static enum gg_move ended_by_plugin(struct gg_player *player, enum gg_verdict_kind kind)
{
  player->plugin_ended = true;
  player->outcome.counts.plugin_ended = 1;
  if (kind == GG_VERDICT_RESET) {
    gg__player_end(player, true, true);
    return GG_MOVE_OVER;
  }
  player->fin_expected = player->reset_expected = false; /* of the recorded end nothing can be expected any more */
  return leave(player);
}

/* Asks the plug-in about `step`, whose bytes it sees whole. Not GG_MOVE_ON, or the state is another one: it has ended
 * the session, or that failed. */
static enum gg_move ask(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  struct gg_script *script = stage->script;
  const struct gg_step *step = &player->step;
  player->step_asked = true;
  if (script->ops->bytes(script, step, 0, stage->scratch[1], step->length, &stage->failure) != 0) {
    gg__player_fail(player);
    return GG_MOVE_OVER;
  }
  struct gg_replay_piece piece = {
    .size = sizeof piece,
    .target = stage->target,
    .from = GG_SIDE_CLIENT,
    .bytes = stage->scratch[1],
    .length = step->length,
    .offset = step->offset,
    .copy = (unsigned)(player->loop * stage->options->copies + player->copy),
  };
  memcpy(piece.key.text, player->facts.id, sizeof piece.key.text);
  player->instead.length = 0;
  player->instead.given = false;
  player->instead.most = GG_REPLAY_EMIT_MAX;
  enum gg_verdict_kind kind = gg_hook_replay_send(stage->plugin, &piece, &player->instead);
  if (kind != GG_VERDICT_PASS)
    return ended_by_plugin(player, kind);
  player->step_replaced = player->instead.given;
  player->outcome.counts.pieces_replaced += player->step_replaced;
  if (player->step_replaced && player->instead.length == 0)
    player->awaited_since_ns = gg__player_now(player); /* as if it had gone */
  return GG_MOVE_ON;
}

/* What is left of `step`, or of what goes instead. Without memory of its own, `data` is the second scratch. */
static int get_bytes(struct gg_player *player, const uint8_t **data, uint32_t *size)
{
  struct gg_stage *stage = player->stage;
  struct gg_script *script = stage->script;
  uint32_t from = player->step_at;
  if (player->step_replaced) {
    *size = (uint32_t)player->instead.length - from;
    *data = *size > 0 ? player->instead.bytes + from : NULL;
    return 0;
  }
  *size = player->step.length - from;
  *data = stage->scratch[1];
  return *size > 0 ? script->ops->bytes(script, &player->step, from, stage->scratch[1], *size, &stage->failure) : 0;
}

/* What is left of `step`. */
static enum gg_move send_step(struct gg_player *player, bool more)
{
  struct gg_stage *stage = player->stage;
  if (stage->plugin && !player->step_asked) {
    enum gg_move move = ask(player);
    if (move != GG_MOVE_ON || player->state != GG_PLAYER_PLAYING)
      return move;
  }
  const uint8_t *data;
  uint32_t size;
  int error = get_bytes(player, &data, &size);
  if (!error && size == 0)
    return GG_MOVE_ON;
  if (!error && player->take.open && !player->step_taken)
    error = gg__take_bytes(&player->take, GG_FROM_CLIENT, data, size, gg__player_now(player), &stage->failure);
  if (error) {
    gg__player_fail(player);
    return GG_MOVE_OVER;
  }
  player->step_taken = true;
  for (uint32_t at = 0; at < size;) {
    ssize_t sent = stage->wire->ops->send(player->line, data + at, size - at, more);
    if (sent == GG_ERR_AGAIN || sent == 0)
      return blocked(player);
    if (sent < 0)
      return refused(player);
    if (!bytes_sent(player, data + at, (size_t)sent)) {
      gg__player_fail(player);
      return GG_MOVE_OVER;
    }
    at += (uint32_t)sent;
  }
  return GG_MOVE_ON;
}

/* Behind the server's recorded end: what the client sent there may have been lost then too, so that from now on a reset
 * says nothing of what had to be taken. False: the session is over. */
static bool send_behind_end(struct gg_player *player)
{
  if (!player->excused || !player->fin_expected || player->chunk_begun)
    return true;
  if (!gg__player_receive(player))
    return false;
  player->excused = false;
  return true;
}

/* A chunk is several steps where it did not fit into a packet of the recording. */
static enum gg_move send_chunk(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  struct gg_script *script = stage->script;
  if (player->writable_awaited && !has_waited_too_long(player))
    return GG_MOVE_WAIT;
  if (!send_behind_end(player))
    return GG_MOVE_OVER;
  for (;;) { /* ends with the chunk */
    struct gg_cursor cursor = player->cursor;
    struct gg_step following;
    int got = script->ops->next(script, &cursor, &following, &stage->failure);
    if (got < 0) {
      gg__player_fail(player);
      return GG_MOVE_OVER;
    }
    bool more = got > 0 && following.kind == GG_STEP_SEND && !following.begins_chunk;
    /* A plug-in may let nothing go of what follows: then nothing would wait for it. */
    enum gg_move move = send_step(player, more && !stage->plugin);
    if (move != GG_MOVE_ON || player->state != GG_PLAYER_PLAYING)
      return move;
    if (!more)
      break;
    player->cursor = cursor;
    player->step = following;
    player->steps++;
    gg__player_step_begin(player);
  }
  chunk_sent(player);
  return GG_MOVE_ON;
}

enum gg_move gg__player_perform(struct gg_player *player)
{
  enum gg_move move = GG_MOVE_ON;
  switch ((enum gg_step_kind)player->step.kind) {
  case GG_STEP_SEND:
    move = send_chunk(player);
    break;
  case GG_STEP_SEND_GAP: /* nothing is known that could be sent */
    break;
  case GG_STEP_SEND_END:
    move = finish(player) ? GG_MOVE_ON : GG_MOVE_OVER;
    break;
  case GG_STEP_SEND_RESET:
    if (player->expected_end > player->reply.turn_begin)
      gg__reply_await(&player->reply, player->expected_end);
    gg__player_end(player, true, true);
    return GG_MOVE_OVER;
  case GG_STEP_OVER:
    move = leave(player);
    break;
  case GG_STEP_EXPECT:
  case GG_STEP_EXPECT_GAP:
  case GG_STEP_EXPECT_END:
  case GG_STEP_EXPECT_RESET:
    assert(false); /* the server's steps are passed over */
  }
  if (move == GG_MOVE_ON) {
    player->behind_gap = player->step.kind == GG_STEP_SEND_GAP;
    player->gone_recorded_ns = player->step.time_ns;
    player->wait = GG_WAIT_NOTHING;
  }
  return move;
}
