/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.c - plug-ins that decide about bytes before they go on.
 *
 * Every gate has two positions in the direction's stream: up to where it has seen the bytes, and up to where it has
 * passed them. What the first has passed the second may see, and so on; what all have passed may be sent:
 *
 *     sent ────────► passed of all ────► passed of gate 0 ────► seen by gate 0 = received
 *       │   pending    │                   │                      │
 *       │   may go     │  waits for gate 1 │  gate 0 keeps back   │
 *
 * Where there are rewriters, "received" is what these have made of it: gg__live_position.
 *
 * Nothing is copied while nothing is kept back: gates look at the bytes in the log, and then these go the way of all
 * others. What is kept back is put behind what waits for the receiver already (end[!direction].pending), with the rest
 * of the chunk; so that buffer holds what was received and not sent, in order, and the positions say how much of it may
 * go (gg__gate_free). It is bounded by relay.pending_max: a direction that has so much kept back is not read.
 *
 * A gate that holds is shown no more, and the direction is not read, until gg__gate_resume. A gate begins at what has
 * been received (and what has left the socket into a pipe): "from the next read on". One that is given back has no
 * position any more: what it kept back is the next one's to see.
 *
 * One that said after how long it wants to decide anew has a time (due_ns), for which the session's alarm is set. A
 * call before takes the time back, but leaves the alarm, which finds then that nothing is due: a gate that says a time
 * with every chunk costs an alarm a while, not one a chunk.
 *
 * Rejected: to leave held bytes in the kernel (MSG_PEEK). They would not be recorded before the verdict, and a gate
 * would be shown them again and again.
 */
#include "base/clock.h"
#include "gateway/live.h"
#include "gateway/observe.h"
#include "gateway/relay.h"
#include "gateway/rewrite.h"
#include "gateway/worker.h"

#include <assert.h>
#include <string.h>

/* Received bytes that are not sent: what waits already, and behind that what has just come. */
struct view {
  const uint8_t *waiting;
  size_t waiting_bytes;
  const struct iovec *iov; /* what has just come; may hold more than `fresh_bytes` */
  size_t fresh_bytes;
  uint64_t end; /* of all that was received, or that rewriters have made of it */
};

static struct view view_of(const struct gg_session *session, enum gg_direction direction, const struct iovec *iov,
                           size_t fresh_bytes)
{
  const struct gg_end *to = &session->end[!direction];
  return (struct view){
    .waiting = to->pending ? to->pending + to->pending_at : NULL,
    .waiting_bytes = to->pending_left,
    .iov = iov,
    .fresh_bytes = fresh_bytes,
    .end = gg__live_position(session, direction),
  };
}

/* The bytes from `offset` on that lie together, at the most up to `limit`. */
static struct iovec piece_at(const struct view *view, uint64_t offset, uint64_t limit)
{
  uint64_t fresh_at = view->end - view->fresh_bytes, waiting_at = fresh_at - view->waiting_bytes;
  assert(offset >= waiting_at && offset < limit && limit <= view->end);
  if (offset < fresh_at) {
    uint64_t end = limit < fresh_at ? limit : fresh_at;
    return (struct iovec){(void *)(uintptr_t)(view->waiting + (offset - waiting_at)), (size_t)(end - offset)};
  }
  size_t skip = (size_t)(offset - fresh_at), most = (size_t)(limit - offset);
  const struct iovec *iov = view->iov;
  for (; skip >= iov->iov_len; iov++)
    skip -= iov->iov_len;
  size_t length = iov->iov_len - skip;
  return (struct iovec){(uint8_t *)iov->iov_base + skip, length < most ? length : most};
}

/* Up to where all gates have passed the direction. */
static uint64_t passed_by_all(const struct gg_live *live, enum gg_direction direction)
{
  uint64_t passed = UINT64_MAX;
  for (unsigned i = 0; live->way[direction].gates > 0 && i < live->chain->count; i++)
    if (live->hooks[i].mode[direction] == GG_MODE_GATE && live->hooks[i].passed[direction] < passed)
      passed = live->hooks[i].passed[direction];
  return passed;
}

bool gg__gate_holds(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_live *live = session->live;
  for (unsigned i = 0; live->way[direction].gates > 0 && i < live->chain->count; i++)
    if (live->hooks[i].mode[direction] == GG_MODE_GATE && live->hooks[i].holds[direction])
      return true;
  return false;
}

bool gg__gate_stops(const struct gg_session *session, enum gg_direction direction)
{
  return session->live->way[direction].gates > 0 &&
         (gg__gate_holds(session, direction) || gg__live_read_size(session, direction, 1) == 0);
}

size_t gg__gate_free(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_end *to = &session->end[!direction];
  uint64_t sent = gg__live_position(session, direction) - to->pending_left;
  uint64_t passed = passed_by_all(session->live, direction);
  uint64_t may = passed > sent ? passed - sent : 0;
  return may < to->pending_left ? (size_t)may : to->pending_left;
}

/* ── Showing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_final(const struct gg_verdict *verdict)
{
  return verdict->kind != GG_VERDICT_PASS && verdict->kind != GG_VERDICT_HOLD;
}

/* Moves the gate's position by its verdict, which is no final one. */
static void follow(struct gg_live *live, struct gg_live_hook *hook, enum gg_direction direction,
                   const struct gg_verdict *verdict)
{
  uint64_t back = hook->seen[direction] - hook->passed[direction];
  uint64_t keep = verdict->keep < back ? verdict->keep : back;
  bool holds = verdict->kind == GG_VERDICT_HOLD;
  if (hook->told_end[direction] && !holds && verdict->after_ns == 0) /* nothing comes that could decide about it */
    keep = 0;
  hook->passed[direction] = hook->seen[direction] - keep;
  hook->holds[direction] = holds;
  hook->due_ns[direction] = 0;
  if (verdict->after_ns == 0 || (!holds && keep == 0))
    return;
  uint64_t now_ns = gg_clock_mono_ns(); /* the turn may be an old one by now, and it must not be called too early */
  hook->due_ns[direction] = verdict->after_ns < UINT64_MAX - now_ns ? now_ns + verdict->after_ns : UINT64_MAX;
  gg__live_wake_at(live, hook->due_ns[direction]);
}

/* Calls one gate with a piece; without, because nothing follows or because it is due. False: its verdict is final. */
static bool call(struct gg_live *live, unsigned index, enum gg_direction direction, const struct iovec *piece, bool due,
                 struct gg_final *final)
{
  struct gg_live_hook *state = &live->hooks[index];
  struct gg_hook *hook = live->chain->hooks[index];
  struct gg_verdict verdict = {.kind = GG_VERDICT_PASS};
  const struct gg_data data = {
    .size = sizeof data,
    .from = (enum gg_side)direction,
    .bytes = piece->iov_base,
    .length = piece->iov_len,
    .offset = state->seen[direction],
    .kept = state->seen[direction] - state->passed[direction],
    .ended = state->told_end[direction],
    .due = due,
  };
  uint64_t stands = state->passed[direction];
  state->seen[direction] += piece->iov_len; /* before the call, in which the gate may be given back and wanted anew */
  state->holds[direction] = false;
  state->due_ns[direction] = 0;
  if (hook->plugin.gate) /* else it is told messages only */
    gg_hook_gate(hook, live->session->worker->shard, live, &data, &verdict);
  if (is_final(&verdict)) { /* one that gives itself back has its last word all the same */
    if (verdict.kind == GG_VERDICT_DIVERT)
      state->passed[direction] = state->seen[direction];
    *final = (struct gg_final){verdict, hook, direction, stands};
    return false;
  }
  if (state->mode[direction] == GG_MODE_GATE)
    follow(live, state, direction, &verdict);
  return true;
}

/* Shows one gate what it may see, which ends at `limit`. */
static bool show_gate(struct gg_live *live, unsigned index, enum gg_direction direction, const struct view *view,
                      uint64_t limit, bool ended, struct gg_final *final)
{
  struct gg_live_hook *state = &live->hooks[index];
  while (state->mode[direction] == GG_MODE_GATE && !state->holds[direction] && state->seen[direction] < limit) {
    struct iovec piece = piece_at(view, state->seen[direction], limit);
    if (!call(live, index, direction, &piece, false, final))
      return false;
  }
  bool all = state->seen[direction] == view->end && limit >= view->end;
  if (!ended || !all || state->mode[direction] != GG_MODE_GATE || state->holds[direction] || state->told_end[direction])
    return true;
  state->told_end[direction] = true;
  return call(live, index, direction, &(struct iovec){"", 0}, false, final);
}

/* Shows every gate what it may see, up to `limit`. A final verdict ends it. */
static struct gg_final show(struct gg_live *live, enum gg_direction direction, const struct view *view, uint64_t limit,
                            bool ended)
{
  struct gg_final final = {.verdict = {.kind = GG_VERDICT_PASS}};
  for (unsigned i = 0; live->way[direction].gates > 0 && i < live->chain->count; i++) {
    struct gg_live_hook *state = &live->hooks[i];
    if (state->mode[direction] != GG_MODE_GATE)
      continue;
    if (!show_gate(live, i, direction, view, limit, ended, &final))
      break;
    if (state->mode[direction] == GG_MODE_GATE && state->passed[direction] < limit)
      limit = state->passed[direction];
    ended = ended && !state->holds[direction]; /* one that holds has not let the end go on */
  }
  return final;
}

/* ── Carrying out ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The verdict that ends it, or sends it elsewhere. True: the session goes on. */
static bool carry_out(struct gg_session *session, const struct gg_final *final)
{
  enum gg_direction direction = final->direction;
  if (final->verdict.kind != GG_VERDICT_DIVERT) {
    gg__live_end(session, direction, final->by->name, &final->verdict, final->stands);
    return false;
  }
  session->live->way[direction].again = true;
  if (direction == GG_FROM_CLIENT && gg__upstream_divert(session, final->by->name, &final->verdict))
    return !gg__session_over(session);
  const struct gg_verdict instead = {.kind = GG_VERDICT_RESET, .reason = "it could not be diverted any more"};
  gg__live_end(session, direction, final->by->name, &instead, final->stands);
  return false;
}

/* Tells gates the messages of a chunk, and shows them the chunk, or what of it stands before a message that is not to
 * go on. */
static struct gg_final ask(struct gg_session *session, enum gg_direction direction, const struct view *view,
                           size_t bytes)
{
  struct gg_live *live = session->live;
  struct gg_final said = {.verdict = {.kind = GG_VERDICT_PASS}};
  if (live->messages)
    gg__messages_chunk(session, direction, view->iov, bytes, &said);
  if (said.verdict.kind != GG_VERDICT_PASS && said.direction != direction)
    return said;
  bool ends = said.verdict.kind != GG_VERDICT_PASS && said.verdict.kind != GG_VERDICT_DIVERT;
  struct gg_final final = show(live, direction, view, ends ? said.stands : view->end, false);
  return final.verdict.kind == GG_VERDICT_PASS ? said : final;
}

/* Whether something of what was received before, or of this chunk, goes on in spite of the verdict. */
static bool leaves_some(const struct gg_session *session, const struct gg_final *final, size_t bytes)
{
  uint64_t passed = passed_by_all(session->live, final->direction);
  passed = passed < final->stands ? passed : final->stands;
  return session->end[!final->direction].pending || passed > gg__live_position(session, final->direction) - bytes;
}

enum gg_gated gg__gate_chunk(struct gg_session *session, enum gg_direction direction, const struct iovec *iov,
                             size_t bytes)
{
  struct gg_live *live = session->live;
  const struct gg_end *to = &session->end[!direction];
  if (live->way[direction].gates == 0 && !live->messages && !to->pending)
    return GG_GATED_PASS;
  struct view view = view_of(session, direction, iov, bytes);
  struct gg_final final = ask(session, direction, &view, bytes);
  bool ends = final.verdict.kind != GG_VERDICT_PASS;
  if (ends && final.direction != direction) {    /* the other side's message, which this chunk has completed */
    if (final.verdict.kind == GG_VERDICT_DIVERT) /* something is said already */
      final.verdict = (struct gg_verdict){.kind = GG_VERDICT_RESET, .reason = "it could not be diverted any more"};
    carry_out(session, &final);
    return GG_GATED_OVER;
  }
  if (ends && final.verdict.kind != GG_VERDICT_DIVERT) {
    if (!leaves_some(session, &final, bytes) || gg__relay_keep_more(session, direction, iov, bytes))
      carry_out(session, &final);
    return GG_GATED_OVER;
  }
  if (!ends && !to->pending && passed_by_all(live, direction) >= gg__live_position(session, direction))
    return GG_GATED_PASS;
  if (!gg__relay_keep_more(session, direction, iov, bytes))
    return GG_GATED_OVER;
  return !ends || carry_out(session, &final) ? GG_GATED_KEPT : GG_GATED_OVER;
}

bool gg__gate_end(struct gg_session *session, enum gg_direction direction)
{
  struct gg_final said = {.verdict = {.kind = GG_VERDICT_PASS}};
  if (session->live->messages)
    gg__messages_end(session, direction, &said);
  struct view view = view_of(session, direction, NULL, 0);
  struct gg_final final = show(session->live, direction, &view, view.end, true);
  if (final.verdict.kind == GG_VERDICT_PASS)
    final = said;
  if (final.verdict.kind != GG_VERDICT_PASS) {
    carry_out(session, &final);
    return false;
  }
  return !gg__gate_holds(session, direction) && session->end[!direction].pending_left == 0;
}

bool gg__gate_again(struct gg_session *session, enum gg_direction direction)
{
  session->live->way[direction].again = false;
  gg__mask_again(session, direction);
  session->waits_ns[direction] = session->worker->loop.now_ns; /* what may go now has not waited for its receiver yet */
  struct view view = view_of(session, direction, NULL, 0);
  struct gg_final final = show(session->live, direction, &view, view.end, false);
  if (final.verdict.kind == GG_VERDICT_PASS) {
    gg__session_judge(session, direction);
    return true;
  }
  return carry_out(session, &final) && session->state != GG_STATE_CONNECTING;
}

/* From the worker's run queue it is shown what it may see, and what may go is sent. */
static void run_again(struct gg_session *session, enum gg_direction direction)
{
  session->live->way[direction].again = true;
  gg_list_remove(&session->end[direction].run); /* it may wait for room to read, and what may go needs none */
  gg_list_append(&session->worker->run, &session->end[direction].run);
}

void gg__gate_resume(struct gg_session *session, enum gg_direction direction, const struct gg_hook *hook,
                     const struct gg_verdict *verdict)
{
  struct gg_live *live = session->live;
  unsigned index = 0;
  while (live && live->chain && index < live->chain->count && live->chain->hooks[index] != hook)
    index++;
  if (!live || live->ended || !live->chain || index == live->chain->count ||
      live->hooks[index].mode[direction] != GG_MODE_GATE ||
      (!live->hooks[index].holds[direction] &&
       live->hooks[index].seen[direction] == live->hooks[index].passed[direction]))
    return;
  struct gg_live_hook *state = &live->hooks[index];
  if (is_final(verdict)) {
    const struct gg_final final = {*verdict, hook, direction, state->passed[direction]};
    state->holds[direction] = false;
    state->due_ns[direction] = 0;
    if (verdict->kind == GG_VERDICT_DIVERT)
      state->passed[direction] = state->seen[direction];
    if (!carry_out(session, &final))
      return;
  } else {
    follow(live, state, direction, verdict);
  }
  run_again(session, direction);
}

/* One whose time has come. False: the session is over, or lingers. */
static bool call_due(struct gg_session *session, unsigned index, enum gg_direction direction)
{
  struct gg_live *live = session->live;
  struct gg_live_hook *state = &live->hooks[index];
  uint64_t passed = state->passed[direction];
  bool held = state->holds[direction];
  struct gg_final final;
  if (!call(live, index, direction, &(struct iovec){"", 0}, true, &final) && !carry_out(session, &final))
    return false;
  bool moved = state->passed[direction] != passed || state->holds[direction] != held;
  if (moved && state->mode[direction] == GG_MODE_GATE)
    run_again(session, direction);
  return true;
}

bool gg__gate_due(struct gg_session *session, uint64_t now_ns)
{
  struct gg_live *live = session->live;
  for (unsigned i = 0; live->chain && i < live->chain->count; i++)
    for (unsigned direction = 0; direction < 2; direction++) {
      const struct gg_live_hook *state = &live->hooks[i];
      if (state->mode[direction] != GG_MODE_GATE || state->due_ns[direction] == 0)
        continue;
      if (state->due_ns[direction] > now_ns)
        gg__live_wake_at(live, state->due_ns[direction]);
      else if (!call_due(session, i, (enum gg_direction)direction))
        return false;
    }
  return true;
}

void gg__gate_drop(struct gg_session *session, enum gg_direction direction, uint64_t limit)
{
  struct gg_end *to = &session->end[!direction];
  if (!to->pending)
    return;
  uint64_t sent = gg__live_position(session, direction) - to->pending_left;
  size_t may = gg__gate_free(session, direction);
  if (limit < sent + may)
    may = limit > sent ? (size_t)(limit - sent) : 0;
  to->pending_left = (uint32_t)may;
  if (may > 0)
    return;
  gg_pending_free(&session->worker->pending, to->pending);
  to->pending = NULL;
  if (!session->end[direction].pending)
    gg_list_remove(&session->stalled);
}

/* ── What they want ──────────────────────────────────────────────────────────────────────────────────────────────── */

static void count_mode(struct gg_way *way, enum gg_mode mode, int more)
{
  if (mode == GG_MODE_COUNT)
    way->counts = (uint8_t)(way->counts + more);
  if (mode == GG_MODE_GATE)
    way->gates = (uint8_t)(way->gates + more);
  if (mode == GG_MODE_REWRITE)
    way->rewrites = (uint8_t)(way->rewrites + more);
}

int gg__gate_want(struct gg_live *live, unsigned index, enum gg_direction direction, enum gg_mode mode)
{
  struct gg_session *session = live->session;
  struct gg_live_hook *state = &live->hooks[index];
  enum gg_mode before = (enum gg_mode)state->mode[direction];
  if (live->ended || mode == before || gg__session_over(session))
    return GG_OK;
  int error = mode == GG_MODE_OBSERVE                                 ? gg__observe_begin(live, index, direction)
              : mode == GG_MODE_GATE && gg__messages_can(live, index) ? gg__messages_begin(live)
                                                                      : GG_OK;
  if (error)
    return error;
  if (before == GG_MODE_OBSERVE)
    gg__observe_end(live, index, direction);
  struct gg_way *way = &live->way[direction];
  const struct gg_end *from = &session->end[direction];
  count_mode(way, before, -1);
  count_mode(way, mode, 1);
  if (before == GG_MODE_MASK || mode == GG_MODE_MASK)
    gg__mask_want(live, index, direction, mode == GG_MODE_MASK);
  gg__live_mode_set(live, index, direction, mode);
  gg__messages_judge(live);
  state->holds[direction] = state->told_end[direction] = false;
  state->due_ns[direction] = 0;
  if (mode == GG_MODE_REWRITE)
    gg__rewrite_begin(live, index, direction);
  else
    state->seen[direction] = state->passed[direction] =
      gg__live_position(session, direction) + (from->pipe ? from->pipe->raw : 0);
  if (session->state != GG_STATE_RELAYING && session->state != GG_STATE_HALF_CLOSED)
    return GG_OK;
  gg__session_judge(session, direction);
  gg__session_judge(session, !direction); /* both are decoded, or neither */
  if (before == GG_MODE_GATE || before == GG_MODE_MASK)
    run_again(session, direction);
  return GG_OK;
}
