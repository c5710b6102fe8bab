/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask.c - plug-ins that change what the recording has of the bytes, before it has them.
 *
 * The log is a file in tmpfs, so what is received into it has been on record, however short. A masked direction is
 * received into the worker's scratch instead, and goes on from there as it came. What the recording gets of it is a
 * copy in private memory, which every mask has let go of before it enters the log:
 *
 *     in the log ────────► let go by all ────► let go by mask 0 ────► shown to mask 0 = received
 *         │  waits for room  │                    │                        │
 *         │  (seldom)        │  mask 1 cannot     │  mask 0 cannot         │
 *         │                  │  decide yet        │  decide yet            │
 *         └────────────── tail: way->tail, private ────────────────────────┘
 *
 * The tail is what the log has not: the position in the conversation is that of its first byte, `received` that behind
 * its last. It is copied in front of the next read into the worker's `private` buffer, the masks are shown that in
 * their order, each what the one before has let go, and what all have let go is copied into the log. So the tail is
 * short between two reads (less than the sum of the masks' longest), and most of the time empty.
 *
 * Room in the log is reserved before the read, for the tail and the read, so want of room does what it does to every
 * direction; under `gap` the masks see all bytes, and what they let go is counted instead of recorded. A direction ends
 * with a last call of each mask: before its FIN is recorded, or when the session ends in any other way; then the tail
 * may have to wait for room with the session's last packet.
 *
 * Who gives a mask back is called by the direction's next turn, not under whoever gave it: it may have been a mask.
 *
 * What is held back and what was masked are never both in a file; that bytes go on before they are recorded is the
 * exception to log-first that `mask` stands for. Rejected: to receive into the log and to mask there before the commit.
 * Whoever reads the ring's file, and a recovery after a kill, would find the secrets behind the log's end.
 *
 * Thread: the session's worker.
 */
#include "base/clock.h"
#include "gateway/live.h"
#include "gateway/relay.h"
#include "gateway/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TAIL_STEP = 256 }; /* a tail's buffer grows by multiples of it */

bool gg__mask_on(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_live *live = session->live;
  return live && session->recorded && (live->way[direction].masks > 0 || live->way[direction].tail_length > 0);
}

static bool is_masked(const struct gg_live *live, unsigned index, enum gg_direction direction)
{
  return live->hooks[index].mask[direction] != GG_MASK_NONE;
}

/* ── Private memory ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* Frees what may hold secrets; also of more than `bytes` long. */
static void wipe(uint8_t *memory, size_t bytes)
{
  if (memory)
    explicit_bzero(memory, bytes);
  free(memory);
}

void gg__mask_private_free(struct gg_worker *worker)
{
  wipe(worker->private, worker->private_size);
  worker->private = NULL;
  worker->private_size = 0;
}

void gg__mask_forget(struct gg_way *way)
{
  wipe(way->tail, way->tail_size);
  way->tail = NULL;
  way->tail_length = way->tail_size = 0;
}

/* Makes a buffer at least so large, with the first `used` bytes that it has. */
static bool grow(uint8_t **memory, size_t *size, size_t used, size_t wanted)
{
  if (*size >= wanted)
    return true;
  size_t rounded = (wanted + TAIL_STEP - 1) / TAIL_STEP * TAIL_STEP;
  uint8_t *made = malloc(rounded);
  if (!made)
    return false;
  if (used > 0)
    memcpy(made, *memory, used);
  wipe(*memory, *size);
  *memory = made;
  *size = rounded;
  return true;
}

/* The tail is these bytes from here on, which do not lie in it. */
static bool tail_set(struct gg_way *way, const uint8_t *bytes, size_t length)
{
  if (length == 0) {
    gg__mask_forget(way);
    return true;
  }
  if (!grow(&way->tail, &way->tail_size, 0, length))
    return false;
  memcpy(way->tail, bytes, length);
  way->tail_length = length;
  return true;
}

static void tail_drop(struct gg_way *way, size_t bytes)
{
  assert(bytes <= way->tail_length);
  way->tail_length -= bytes;
  if (way->tail_length == 0)
    gg__mask_forget(way);
  else if (bytes > 0)
    memmove(way->tail, way->tail + bytes, way->tail_length);
}

/* ── Showing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Private bytes of a direction that are not in the log, from `begin` to `end` in its stream. */
struct view {
  uint8_t *bytes;
  uint64_t begin;
  uint64_t end;
};

/* Shows one mask what lies before `limit`. Returns up to where it has let the stream go. */
static uint64_t show(struct gg_live *live, unsigned index, enum gg_direction direction, const struct view *view,
                     uint64_t limit, bool ended)
{
  struct gg_live_hook *state = &live->hooks[index];
  struct gg_worker *worker = live->session->worker;
  bool leaves = state->mask[direction] == GG_MASK_LEAVES;
  uint64_t upto = leaves ? state->shown[direction] : limit; /* it is not shown what came later */
  if (upto > state->shown[direction] || ended || leaves) {
    uint64_t at = state->let_go[direction];
    assert(at >= view->begin && at <= state->shown[direction] && upto <= view->end);
    struct gg_mask piece = {
      .size = sizeof piece,
      .from = (enum gg_side)direction,
      .bytes = view->bytes + (at - view->begin),
      .length = (size_t)(upto - at),
      .seen = (size_t)(state->shown[direction] - at),
      .offset = at,
      .ended = ended || leaves,
    };
    const size_t length = piece.length;
    size_t keep = gg_hook_mask(live->chain->hooks[index], worker->shard, live, &piece);
    size_t masked = piece.masked < length ? piece.masked : length;
    live->way[direction].masked += masked;
    gg__count(worker, GG_COUNT_MASKED, masked);
    keep = piece.ended ? 0 : keep < length ? keep : length;
    state->shown[direction] = upto;
    state->let_go[direction] = upto - keep;
  }
  if (!leaves)
    return state->let_go[direction];
  state->mask[direction] = GG_MASK_NONE;
  live->way[direction].masks--;
  return limit;
}

/* Shows every mask what it may see. Returns up to where all have let the stream go. */
static uint64_t show_all(struct gg_live *live, enum gg_direction direction, const struct view *view, bool ended)
{
  uint64_t limit = view->end;
  if (live->way[direction].mask_ended)
    return limit;
  for (unsigned i = 0; live->way[direction].masks > 0 && i < live->chain->count; i++)
    if (is_masked(live, i, direction))
      limit = show(live, i, direction, view, limit, ended);
  return limit;
}

static struct view tail_view(const struct gg_session *session, enum gg_direction direction)
{
  static const uint8_t nothing[1] = {0}; /* a mask that looks at no bytes shall not have to look for NULL */
  const struct gg_way *way = &session->live->way[direction];
  uint64_t received = session->end[direction].received;
  return (struct view){way->tail ? way->tail : (uint8_t *)(uintptr_t)nothing, received - way->tail_length, received};
}

/* ── Recording ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* How many of the `bytes` from `at` on in the stream are for the recording; those behind are left out. */
static size_t recorded_part(const struct gg_way *way, uint64_t at, size_t bytes)
{
  uint64_t most = way->record_most > at ? way->record_most - at : 0;
  return most < bytes ? (size_t)most : bytes;
}

static void copy_into(const struct gg_chunk_layout *layout, const uint8_t *bytes, size_t length)
{
  for (unsigned i = 0; length > 0; i++) {
    size_t part = layout->iov[i].iov_len < length ? layout->iov[i].iov_len : length;
    memcpy(layout->iov[i].iov_base, bytes, part);
    bytes += part;
    length -= part;
  }
}

/* Makes bytes that all have let go part of the log, in the room that was reserved. */
static void enter(struct gg_session *session, enum gg_direction direction, const uint8_t *bytes, size_t length,
                  uint8_t *at)
{
  struct gg_log *log = session->log->log;
  struct gg_chunk_layout layout;
  gg_conversation_lay(&session->conversation, &layout, direction, length, at, gg_log_segment(log));
  copy_into(&layout, bytes, length);
  gg__relay_commit(session, &layout, length);
}

/* What becomes of `length` bytes at `at` in the stream, which all have let go. Returns how many are dealt with: all,
 * but for what the room does not hold. */
static size_t dispose(struct gg_session *session, enum gg_direction direction, const uint8_t *bytes, size_t length,
                      uint64_t at, const struct gg_mask_room *room)
{
  size_t part = recorded_part(&session->live->way[direction], at, length), fits = part;
  if (room->at) {
    fits = part < room->bytes ? part : room->bytes;
    if (fits > 0)
      enter(session, direction, bytes, fits, room->at);
    else
      gg_log_commit(session->log->log, 0);
  } else if (part > 0)
    gg__relay_unrecorded(session, direction, part);
  if (fits < part)
    return fits;
  if (length > part)
    gg__relay_left_out(session, direction, length - part);
  return length;
}

/* Takes what the tail begins with, up to `limit` in the stream, into the log. False: no room for all of it. */
static bool tail_record(struct gg_session *session, enum gg_direction direction, uint64_t limit)
{
  struct gg_way *way = &session->live->way[direction];
  struct gg_log *log = session->log->log;
  for (;;) {
    uint64_t at = session->end[direction].received - way->tail_length;
    size_t bytes = limit > at ? (size_t)(limit - at) : 0, part = recorded_part(way, at, bytes);
    if (bytes == 0)
      return true;
    struct gg_mask_room room = {.bytes = part < GG_PACKET_PAYLOAD_MAX ? part : GG_PACKET_PAYLOAD_MAX};
    if (part > 0 && (session->conversation.opened || gg__session_open_record(session)))
      room.at = gg_log_reserve(log, gg_conversation_chunk_room(&session->conversation, room.bytes), GG_LOG_CONTROL);
    if (part > 0 && !room.at)
      return false;
    tail_drop(way, dispose(session, direction, way->tail, bytes, at, &room));
  }
}

/* ── Receiving ───────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_step gg__mask_prepare(struct gg_session *session, enum gg_direction direction, size_t asked,
                              struct gg_mask_room *room)
{
  struct gg_worker *worker = session->worker;
  struct gg_way *way = &session->live->way[direction];
  struct gg_log *log = session->log->log;
  size_t bytes = way->tail_length + asked;
  *room = (struct gg_mask_room){0};
  if (!grow(&worker->private, &worker->private_size, 0, bytes)) {
    gg__session_close(session, GG_CLOSE_LIMIT);
    return GG_STEP_OVER;
  }
  size_t part = recorded_part(way, session->end[direction].received - way->tail_length, bytes);
  if (part == 0)
    return GG_STEP_AGAIN;
  if (session->conversation.opened || gg__session_open_record(session)) {
    size_t fit = gg_conversation_chunk_fit(&session->conversation, gg_log_reserve_max(log));
    room->bytes = part < fit ? part : fit;
    room->at = gg_log_reserve(log, gg_conversation_chunk_room(&session->conversation, room->bytes), GG_LOG_DATA);
  }
  if (room->at)
    return GG_STEP_AGAIN;
  enum gg_no_room way_out = gg__relay_no_room(session, direction);
  return way_out == GG_NO_ROOM_GAP ? GG_STEP_AGAIN : way_out == GG_NO_ROOM_WAIT ? GG_STEP_WAIT : GG_STEP_OVER;
}

/* There is no memory for what masks cannot decide about: it is not recorded, nor is what follows. */
static bool give_up(struct gg_session *session, enum gg_direction direction, const struct view *rest)
{
  struct gg_way *way = &session->live->way[direction];
  show_all(session->live, direction, rest, true);
  way->mask_ended = true;
  gg__mask_forget(way);
  gg__relay_left_out(session, direction, (size_t)(rest->end - rest->begin));
  return false;
}

bool gg__mask_take(struct gg_session *session, enum gg_direction direction, const uint8_t *bytes, size_t length,
                   const struct gg_mask_room *room)
{
  struct gg_live *live = session->live;
  struct gg_way *way = &live->way[direction];
  uint8_t *private = session->worker->private;
  const uint64_t received = session->end[direction].received;
  const size_t all = way->tail_length + length;
  assert(session->worker->private_size >= all);
  if (way->tail_length > 0)
    memcpy(private, way->tail, way->tail_length);
  memcpy(private + way->tail_length, bytes, length);
  const struct view view = {private, received - way->tail_length, received + length};
  size_t let_go = (size_t)(show_all(live, direction, &view, false) - view.begin);
  size_t done = dispose(session, direction, private, let_go, view.begin, room);
  if (!tail_set(way, private + done, all - done))
    return give_up(session, direction, &(struct view){private + done, view.begin + done, view.end});
  if (!gg__mask_on(session, direction)) /* the last one was given back, and what it had kept back is recorded */
    gg__session_judge(session, direction);
  return true;
}

/* ── Ending ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Shows every mask that nothing follows, once. */
static void end_all(struct gg_session *session, enum gg_direction direction)
{
  struct view view = tail_view(session, direction);
  show_all(session->live, direction, &view, true);
  session->live->way[direction].mask_ended = true;
}

enum gg_step gg__mask_end(struct gg_session *session, enum gg_direction direction)
{
  end_all(session, direction);
  uint64_t received = session->end[direction].received;
  if (tail_record(session, direction, received))
    return GG_STEP_AGAIN;
  switch (gg__relay_no_room(session, direction)) {
  case GG_NO_ROOM_WAIT:
    return GG_STEP_WAIT;
  case GG_NO_ROOM_OVER:
    return GG_STEP_OVER;
  default:
    gg__mask_abandon(session, direction);
    return GG_STEP_AGAIN;
  }
}

void gg__mask_abandon(struct gg_session *session, enum gg_direction direction)
{
  struct gg_way *way = &session->live->way[direction];
  uint64_t at = session->end[direction].received - way->tail_length;
  if (way->tail_length > 0)
    dispose(session, direction, way->tail, way->tail_length, at, &(struct gg_mask_room){0});
  gg__mask_forget(way);
}

/* What a client of whom nothing was read had sent is received into the tail; the end of the session records it. */
void gg__mask_unheard(struct gg_session *session, ssize_t (*receive)(int fd, void *data, size_t bytes, int flags),
                      size_t most)
{
  struct gg_way *way = &session->live->way[GG_FROM_CLIENT];
  struct gg_end *client = &session->end[GG_FROM_CLIENT];
  if (!grow(&way->tail, &way->tail_size, way->tail_length, way->tail_length + most))
    return;
  ssize_t got = receive(client->source.fd, way->tail + way->tail_length, most, MSG_DONTWAIT);
  if (got <= 0)
    return;
  way->tail_length += (size_t)got;
  gg__relay_received(session, GG_FROM_CLIENT, (size_t)got);
}

void gg__mask_close(struct gg_session *session)
{
  for (unsigned i = 0; i < 2; i++)
    if (gg__mask_on(session, (enum gg_direction)i) && !session->live->way[i].mask_ended)
      end_all(session, (enum gg_direction)i);
}

bool gg__mask_close_record(struct gg_session *session)
{
  bool all = true;
  for (unsigned i = 0; i < 2 && all; i++)
    if (gg__mask_on(session, (enum gg_direction)i))
      all = tail_record(session, (enum gg_direction)i, session->end[i].received);
  return all;
}

/* ── What they want ──────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__mask_want(struct gg_live *live, unsigned index, enum gg_direction direction, bool on)
{
  struct gg_live_hook *state = &live->hooks[index];
  if (on && state->mask[direction] == GG_MASK_NONE)
    live->way[direction].masks++;
  live->way[direction].was_masked |= on;
  if (!on) /* its last call is the direction's next turn's */
    live->way[direction].again = true;
  state->mask[direction] = on ? GG_MASK_SEES : GG_MASK_LEAVES;
}

void gg__mask_again(struct gg_session *session, enum gg_direction direction)
{
  if (!gg__mask_on(session, direction) || session->live->way[direction].mask_ended)
    return;
  struct view view = tail_view(session, direction);
  uint64_t limit = show_all(session->live, direction, &view, false);
  tail_record(session, direction, limit); /* without room now, it is done with the next read */
  gg__session_judge(session, direction);
}
