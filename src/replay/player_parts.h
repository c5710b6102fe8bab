/* SPDX-License-Identifier: Apache-2.0 */
/**
 * player_parts.h - what the files of a player know of each other, and nobody else.
 *
 *   player.c        its life: connecting, what is received, how it ends, its timer
 *   player_wait.c   finding the client's next step, and when it may go
 *   player_send.c   doing it
 *   player_follow.c what its messages say
 *
 * Calls go from the life to the wait to the sending, and back for what ends a session. Whoever calls something that may
 * have ended it looks at what is returned, and then leaves the player alone: somebody else owns it.
 */
#ifndef GG_REPLAY_PLAYER_PARTS_H
#define GG_REPLAY_PLAYER_PARTS_H

#include "replay/player.h"

enum gg_move {
  GG_MOVE_ON,   /* the next thing can be done */
  GG_MOVE_WAIT, /* for an event or the timer */
  GG_MOVE_OVER, /* the session is over */
};

static inline uint64_t gg__player_now(const struct gg_player *player)
{
  return player->stage->wire->ops->now(player->stage->wire);
}

static inline uint64_t gg__later(uint64_t when_ns, uint64_t span_ns)
{
  return span_ns < UINT64_MAX - when_ns ? when_ns + span_ns : UINT64_MAX;
}

/* From `from` to `to`; 0 if that is not later. */
static inline uint64_t gg__since(uint64_t from_ns, uint64_t to_ns)
{
  return to_ns > from_ns ? to_ns - from_ns : 0;
}

static inline bool gg__player_is_causal(const struct gg_player *player)
{
  return player->stage->options->level == GG_REPLAY_CAUSAL;
}

/* ── player.c ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Takes what the socket has, a turn's worth at the most. False: the session is over. */
bool gg__player_receive(struct gg_player *player);
/* The server's FIN, or its reset. False: the session is over. */
bool gg__player_server_ended(struct gg_player *player, bool reset);
/* Ends the session. `reset`: by RST. `cut`: it was our wish, nothing is said about what was still to come. */
void gg__player_end(struct gg_player *player, bool reset, bool cut);
/* The script or the recording has failed, stage->failure says how: the session and the replay end. */
void gg__player_fail(struct gg_player *player);
/* A wait was too long: a difference of this kind. False: the session is over, by policy. */
bool gg__player_timed_out(struct gg_player *player, enum gg_replay_difference_kind kind, bool may_continue);

/* ── player_wait.c ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* Goes on until there is something to wait for. GG_MOVE_ON: this turn was long enough. */
enum gg_move gg__player_play(struct gg_player *player);
/* When gg__player_play has to be called again if nothing happens until then. */
uint64_t gg__player_play_when(const struct gg_player *player);
/* When the wait for a reply or for the server's end has been too long. */
uint64_t gg__player_timeout_when(const struct gg_player *player);
/* max(20 ms, 2 round trips). */
uint64_t gg__player_silence(const struct gg_player *player);

/* `step` is another one from here on. */
static inline void gg__player_step_begin(struct gg_player *player)
{
  player->step_at = 0;
  player->step_taken = player->step_asked = player->step_replaced = false;
}

/* ── player_follow.c ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Once, and for all bytes, when they have been counted and compared. False: the script has failed. */
bool gg__player_follow_connected(struct gg_player *player);
bool gg__player_follow_sent(struct gg_player *player, const uint8_t *data, size_t size);
bool gg__player_follow_received(struct gg_player *player, const uint8_t *data, size_t size);
/* Begins to follow what lets itself be waited for, and reads what was recorded before `step`. False: the script has
 * failed. */
bool gg__player_follow(struct gg_player *player);
uint64_t gg__player_follow_when(const struct gg_player *player); /* when that has something to do; UINT64_MAX: never */
/* Whether what `step` waits for has come. */
enum gg_follow_says gg__player_follow_says(const struct gg_player *player, struct gg_follow_turn *turn);
void gg__player_unfollow(struct gg_player *player);

/* ── player_send.c ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* Does `step`; afterwards the player waits for nothing, or has left PLAYING. */
enum gg_move gg__player_perform(struct gg_player *player);

#endif
