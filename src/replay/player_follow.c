/* SPDX-License-Identifier: Apache-2.0 */
/*
 * player_follow.c - a player's messages, for as little as they are needed.
 *
 *   NOT YET ──a reply differs, or lets itself be waited for, or the session is long──► FOLLOWED ──► LOST
 *      │                                                                                             ▲
 *      └──level bytes, a session that is not whole, no memory────────────────────────────────────────┘
 *
 * As long as a live reply is the recorded one to the byte, identity completes it, and nobody has to know what it means:
 * such sessions are not decoded, and a fast replay of them pays nothing. What both sides have said by the time they are
 * is read from the recording, for it is the same. It is little: a longer session is followed from then on.
 */
#include "replay/player_parts.h"

static bool is_later_followed(const struct gg_player *player)
{
  return !player->follow && !player->unfollowed;
}

/* Both sides have had so many bytes, as recorded. False: the script has failed. */
static bool begin(struct gg_player *player, uint64_t sent, uint64_t received)
{
  struct gg_stage *stage = player->stage;
  player->follow = gg__follow_create(stage->script, player->session, stage->plugin != NULL);
  player->unfollowed = !player->follow;
  return !player->follow ||
         gg__follow_begin(player->follow, player->session, sent, received, player->last_byte_ns, &stage->failure) == 0;
}

static bool is_long(const struct gg_player *player)
{
  return player->outcome.counts.bytes_sent + player->outcome.counts.bytes_received > GG_FOLLOW_BEHIND_MAX;
}

bool gg__player_follow_connected(struct gg_player *player)
{
  const struct gg_script_session *facts = &player->facts;
  player->unfollowed =
    !gg__player_is_causal(player) || facts->refused || facts->gaps > 0 || facts->beginning_missing || facts->opaque;
  return !player->stage->plugin || player->unfollowed || begin(player, 0, 0);
}

bool gg__player_follow_sent(struct gg_player *player, const uint8_t *data, size_t size)
{
  uint64_t sent = player->outcome.counts.bytes_sent - size;
  if (is_later_followed(player) && is_long(player) && !begin(player, sent, player->outcome.counts.bytes_received))
    return false;
  if (player->follow)
    gg__follow_sent(player->follow, data, size, gg__player_now(player));
  return true;
}

bool gg__player_follow_received(struct gg_player *player, const uint8_t *data, size_t size)
{
  const struct gg_replay_counts *counts = &player->outcome.counts;
  bool wanted = player->state == GG_PLAYER_PLAYING && (player->reply.diverged || is_long(player));
  if (is_later_followed(player) && wanted && !begin(player, counts->bytes_sent, player->reply.offset))
    return false;
  if (player->follow)
    gg__follow_received(player->follow, counts->bytes_received - size, data, size, gg__player_now(player));
  return true;
}

uint64_t gg__player_follow_when(const struct gg_player *player)
{
  if (player->follow_behind)
    return gg__player_now(player);
  return is_later_followed(player) && player->awaits_bytes ? gg__later(player->awaited_since_ns, GG_PLAYER_FOLLOW_NS)
                                                           : UINT64_MAX;
}

bool gg__player_follow(struct gg_player *player)
{
  struct gg_stage *stage = player->stage;
  if (is_later_followed(player) && gg__player_now(player) >= gg__player_follow_when(player) &&
      !begin(player, player->outcome.counts.bytes_sent, player->outcome.counts.bytes_received))
    return false;
  if (!player->follow)
    return true;
  int got = gg__follow_read(player->follow, player->steps - 1, &stage->failure);
  player->follow_behind = got == 0;
  if (got > 0 && gg__follow_is_lost(player->follow))
    gg__player_unfollow(player);
  return got >= 0;
}

void gg__player_unfollow(struct gg_player *player)
{
  gg__follow_destroy(player->follow);
  player->follow = NULL;
  player->unfollowed = true;
  player->follow_behind = false;
}

enum gg_follow_says gg__player_follow_says(const struct gg_player *player, struct gg_follow_turn *turn)
{
  *turn = (struct gg_follow_turn){0};
  if (!player->follow)
    return GG_FOLLOW_UNKNOWN;
  if (player->follow_behind)
    return GG_FOLLOW_NOT_YET;
  enum gg_follow_says says = gg__follow_says(player->follow, turn);
  bool ends = player->step.kind != GG_STEP_SEND;
  /* Behind our end nothing more would come of what is no answer, and was recorded. And where prompts are learned, what
   * is an answer is a guess: as long as all comes as it was recorded, or a rule was learned, the bytes know better. */
  bool guess = turn->guessed && (!player->reply.diverged || player->rule.kind != GG_RULE_NONE);
  bool waits = guess || (ends && gg__reply_wants_more(&player->reply));
  return says == GG_FOLLOW_COMPLETE && waits ? GG_FOLLOW_UNKNOWN : says;
}
