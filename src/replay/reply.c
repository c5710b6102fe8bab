/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/reply.h"

#include <assert.h>
#include <string.h>

enum { PIECE_BYTES = 16 << 10 }; /* of the recording at one time, on the stack */

void gg__reply_begin(struct gg_reply *reply, struct gg_script *script, size_t session)
{
  *reply = (struct gg_reply){.script = script, .cursor = script->ops->steps(script, session), .turn_end = UINT64_MAX};
}

/* ── The recorded side ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_expected(const struct gg_step *step)
{
  return step->kind == GG_STEP_EXPECT || step->kind == GG_STEP_EXPECT_GAP;
}

static uint64_t left_in(const struct gg_step *step, uint64_t at)
{
  uint64_t bytes = step->kind == GG_STEP_EXPECT ? step->length : step->gap;
  return bytes - at;
}

/* Makes `step` the one that the next byte is in; if there is none: exhausted. Reads on past the client's steps, each of
 * which is read once in a session. */
static int find_step(struct gg_reply *reply, struct gg_failure *failure)
{
  while (!reply->exhausted && (!reply->stepped || left_in(&reply->step, reply->at) == 0)) {
    int got = reply->script->ops->next(reply->script, &reply->cursor, &reply->step, failure);
    if (got < 0)
      return got;
    reply->exhausted = got == 0;
    reply->stepped = got > 0 && is_expected(&reply->step);
    if (!reply->stepped)
      continue;
    reply->at = 0;
    reply->offset = reply->step.offset;
    reply->chunk += reply->step.begins_chunk;
  }
  return GG_OK;
}

/* The chunk that the next byte is in. */
static uint64_t chunk_here(const struct gg_reply *reply)
{
  bool inside = !reply->exhausted && reply->stepped && left_in(&reply->step, reply->at) > 0;
  return inside && reply->chunk > 0 ? reply->chunk - 1 : reply->chunk;
}

/* Fills in what was recorded from here on, up to the client's next step. */
static int excerpt(struct gg_reply *reply, struct gg_failure *failure)
{
  struct gg_replay_difference *difference = &reply->difference;
  struct gg_script *script = reply->script;
  struct gg_cursor cursor = reply->cursor;
  struct gg_step step = reply->step;
  uint64_t at = reply->at;
  while (difference->expected_size < GG_REPLAY_EXCERPT_MAX && step.kind == GG_STEP_EXPECT) {
    uint32_t size = GG_REPLAY_EXCERPT_MAX - difference->expected_size;
    if (size > left_in(&step, at))
      size = (uint32_t)left_in(&step, at);
    if (size > 0) {
      int error = script->ops->bytes(script, &step, (uint32_t)at, difference->expected + difference->expected_size,
                                     size, failure);
      if (error)
        return error;
    }
    difference->expected_size = (uint8_t)(difference->expected_size + size);
    at = 0;
    int got = script->ops->next(script, &cursor, &step, failure);
    if (got <= 0)
      return got;
  }
  return GG_OK;
}

/* ── Differences ─────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__reply_differs(struct gg_reply *reply, enum gg_replay_difference_kind kind)
{
  if (reply->difference.kind != GG_REPLAY_DIFFERENCE_NONE)
    return;
  reply->difference.kind = kind;
  reply->difference.chunk = chunk_here(reply);
  reply->difference.offset = reply->offset;
}

/* Whether a divergence here is behind the end of what was recorded, or of what is awaited. */
static bool is_behind_end(const struct gg_reply *reply)
{
  return reply->turn_end != UINT64_MAX ? reply->offset >= reply->turn_end : reply->exhausted;
}

/* The next live byte is not the recorded one, or none was recorded. */
static int diverge(struct gg_reply *reply, struct gg_failure *failure)
{
  if (reply->open_end) {
    reply->shut = true;
    return GG_OK;
  }
  reply->diverged = true;
  if (reply->difference.kind != GG_REPLAY_DIFFERENCE_NONE)
    return GG_OK;
  bool longer = is_behind_end(reply);
  gg__reply_differs(reply, longer ? GG_REPLAY_DIFFERENCE_LONGER : GG_REPLAY_DIFFERENCE_BYTES);
  reply->excerpting = true;
  return longer ? GG_OK : excerpt(reply, failure);
}

static int fall_short(struct gg_reply *reply, struct gg_failure *failure)
{
  if (reply->difference.kind != GG_REPLAY_DIFFERENCE_NONE)
    return GG_OK;
  int error = find_step(reply, failure);
  if (error)
    return error;
  gg__reply_differs(reply, GG_REPLAY_DIFFERENCE_SHORTER);
  return reply->exhausted ? GG_OK : excerpt(reply, failure);
}

/* ── The live side ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void remember_tail(struct gg_reply *reply, const uint8_t *data, size_t size)
{
  if (size >= GG_TERMINATOR_MAX) {
    memcpy(reply->tail, data + size - GG_TERMINATOR_MAX, GG_TERMINATOR_MAX);
    reply->tail_bytes = GG_TERMINATOR_MAX;
    return;
  }
  size_t kept = GG_TERMINATOR_MAX - size;
  if (kept > reply->tail_bytes)
    kept = reply->tail_bytes;
  memmove(reply->tail, reply->tail + reply->tail_bytes - kept, kept);
  memcpy(reply->tail + kept, data, size);
  reply->tail_bytes = (uint8_t)(kept + size);
}

static size_t shared_prefix(const uint8_t *a, const uint8_t *b, size_t size)
{
  if (memcmp(a, b, size) == 0)
    return size;
  size_t same = 0;
  while (a[same] == b[same])
    same++;
  return same;
}

/* Compares at most a piece: *same bytes were equal, and fewer than could be if the streams have parted. */
static int compare(struct gg_reply *reply, const uint8_t *data, size_t size, size_t *same, struct gg_failure *failure)
{
  uint8_t piece[PIECE_BYTES];
  int error = find_step(reply, failure);
  *same = 0;
  if (error)
    return error;
  if (reply->exhausted)
    return diverge(reply, failure);
  uint64_t left = left_in(&reply->step, reply->at);
  if (size > left)
    size = (size_t)left;
  if (reply->step.kind == GG_STEP_EXPECT) {
    if (size > PIECE_BYTES)
      size = PIECE_BYTES;
    error = reply->script->ops->bytes(reply->script, &reply->step, (uint32_t)reply->at, piece, (uint32_t)size, failure);
    if (error)
      return error;
    *same = shared_prefix(data, piece, size);
  } else {
    *same = size;
  }
  reply->at += *same;
  reply->offset += *same;
  return *same < size ? diverge(reply, failure) : GG_OK;
}

void gg__reply_open_end(struct gg_reply *reply)
{
  reply->open_end = true;
}

/* Behind an open end. */
static int feed_rest(struct gg_reply *reply, const uint8_t *data, size_t size, struct gg_failure *failure)
{
  while (size > 0 && !reply->diverged && !reply->shut) {
    size_t same;
    int error = compare(reply, data, size, &same, failure);
    if (error)
      return error;
    reply->turn_bytes += same;
    data += same;
    size -= same;
  }
  return GG_OK;
}

int gg__reply_feed(struct gg_reply *reply, const uint8_t *data, size_t size, struct gg_failure *failure)
{
  if (reply->open_end)
    return feed_rest(reply, data, size, failure);
  reply->turn_bytes += size;
  remember_tail(reply, data, size);
  while (size > 0 && !reply->diverged) {
    size_t same;
    int error = compare(reply, data, size, &same, failure);
    if (error)
      return error;
    data += same;
    size -= same;
  }
  if (reply->excerpting) {
    struct gg_replay_difference *difference = &reply->difference;
    size_t room = GG_REPLAY_EXCERPT_MAX - (size_t)difference->got_size;
    size_t taken = size < room ? size : room;
    memcpy(difference->got + difference->got_size, data, taken);
    difference->got_size = (uint8_t)(difference->got_size + taken);
  }
  return GG_OK;
}

/* ── The awaited reply ───────────────────────────────────────────────────────────────────────────────────────────── */

void gg__reply_await(struct gg_reply *reply, uint64_t turn_end)
{
  reply->turn_end = turn_end;
}

bool gg__reply_identical(const struct gg_reply *reply)
{
  return !reply->diverged && reply->turn_end != UINT64_MAX && reply->offset >= reply->turn_end;
}

bool gg__reply_wants_more(const struct gg_reply *reply)
{
  return !reply->diverged && reply->turn_end != UINT64_MAX && reply->offset < reply->turn_end;
}

int gg__reply_whole(struct gg_reply *reply, bool *whole, struct gg_failure *failure)
{
  int error = reply->diverged ? GG_OK : find_step(reply, failure);
  *whole = !error && !reply->diverged && reply->exhausted;
  return error;
}

bool gg__reply_obeys(const struct gg_reply *reply, const struct gg_rule *rule)
{
  switch ((enum gg_rule_kind)rule->kind) {
  case GG_RULE_TERMINATOR:
    return reply->turn_bytes > 0 && gg__rule_ends(rule, reply->tail, reply->tail_bytes, reply->turn_bytes);
  case GG_RULE_LENGTH:
    return reply->turn_bytes >= rule->length;
  case GG_RULE_NONE:
    break;
  }
  return false;
}

void gg__reply_put_off(struct gg_reply *reply)
{
  assert(gg__reply_wants_more(reply));
  reply->turn_end = UINT64_MAX;
  reply->put_off = true;
}

/* The reply has ended; `behind`: it is the recorded one's beginning. One that differs within is told by its length. */
static void count(const struct gg_reply *reply, bool behind, struct gg_replay_counts *counts)
{
  if (reply->turn_bytes == 0)
    return;
  counts->replies++;
  uint64_t recorded = reply->turn_end - reply->turn_begin;
  bool known = reply->turn_end != UINT64_MAX;
  if (!behind && !reply->diverged)
    counts->replies_equal++;
  else if (behind || (known && reply->turn_bytes < recorded))
    counts->replies_shorter++;
  else if (known ? reply->turn_bytes > recorded : reply->exhausted)
    counts->replies_longer++;
  else
    counts->replies_different++;
}

int gg__reply_turn(struct gg_reply *reply, struct gg_cursor cursor, uint64_t chunks_before,
                   struct gg_replay_counts *counts, struct gg_failure *failure)
{
  assert(reply->turn_end != UINT64_MAX);
  bool behind = !reply->diverged && reply->offset < reply->turn_end;
  int error = behind ? fall_short(reply, failure) : GG_OK;
  if (error)
    return error;
  if (reply->excerpting && is_behind_end(reply)) /* told when it was not known yet where the reply ends */
    reply->difference.kind = GG_REPLAY_DIFFERENCE_LONGER;
  count(reply, behind, counts);
  uint64_t ahead = 0; /* bytes that belong to the next turn already */
  if (behind || reply->diverged) {
    reply->cursor = cursor;
    reply->chunk = chunks_before;
    reply->offset = reply->turn_end;
    reply->stepped = reply->exhausted = false;
  } else {
    ahead = reply->offset - reply->turn_end;
  }
  if (reply->tail_bytes > ahead) {
    memmove(reply->tail, reply->tail + reply->tail_bytes - ahead, ahead);
    reply->tail_bytes = (uint8_t)ahead;
  }
  reply->turn_bytes = ahead;
  reply->turn_begin = reply->turn_end;
  reply->turn_end = UINT64_MAX;
  reply->diverged = reply->excerpting = reply->put_off = false;
  return GG_OK;
}

int gg__reply_end(struct gg_reply *reply, bool cut, struct gg_replay_counts *counts, struct gg_failure *failure)
{
  bool behind = false;
  if (!reply->diverged) {
    int error = find_step(reply, failure);
    if (error)
      return error;
    behind = reply->turn_end != UINT64_MAX ? reply->offset < reply->turn_end : !reply->exhausted;
  }
  if (behind && !cut) {
    int error = fall_short(reply, failure);
    if (error)
      return error;
  }
  if (!behind || !cut)
    count(reply, behind, counts);
  reply->turn_bytes = 0;
  return GG_OK;
}
