/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linger.c - sessions that a verdict has ended, and that end in an orderly way: by CLOSE or REPLY.
 *
 * To close a socket with bytes unread resets the connection, and its peer may lose what it was sent before. So the two
 * sides are parted first, each at its own pace, and the session lives on for GG_LINGER_NS at the most:
 *
 *     what each side was to get, and is let through ──► its FIN ──┐
 *                                                                 ├──► both have left: close
 *     what each side still says ──► recorded, and dropped ──► FIN ┘
 *
 * No plug-in is asked any more, but masks: what is said may be a secret still. A side that is reset has left. Whatever
 * cuts it short (the time, a drain, want of memory), the session has ended by the verdict, and is recorded so. What
 * rewriters have put out and had no room yet was not passed: it is given up.
 *
 * REPLY has one side fall silent: in its name the other is told the reply, behind what was let through, and what it
 * says itself from here on belongs to no stream. It is read and forgotten: `rest`. A session that has no upstream yet
 * gets the same without that side.
 *
 *                 ┌──────────── replaced ────────────┐
 *     replied to ◄── reply (recorded as its words)   │
 *                 ──► recorded, dropped     its own ──► rest
 *
 * Here a direction may read while something of it waits still, since what it reads does not go on.
 *
 * Rejected: to hand the sockets to something smaller than a session. What they take and say in the meantime could
 * neither be recorded nor counted.
 */
#include "gateway/live.h"
#include "gateway/relay.h"
#include "gateway/rewrite.h"
#include "gateway/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_replaced(const struct gg_live *live, const struct gg_end *end)
{
  return live->reply && end->side == live->replaced;
}

bool gg__linger_speaks_for(const struct gg_session *session, const struct gg_end *end)
{
  return end->source.fd < 0 || (session->live && is_replaced(session->live, end));
}

/* Its direction has a turn, whatever it waits for. */
static void run(struct gg_session *session, struct gg_end *end)
{
  gg_list_remove(&end->run);
  gg_list_append(&session->worker->run, &end->run);
}

/* ── Beginning ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* There is no upstream yet: whatever is on its way to become one is given up. */
static void give_up_upstream(struct gg_session *session)
{
  struct gg_end *server = &session->end[GG_FROM_SERVER];
  if (server->pending)
    gg_pending_free(&session->worker->pending, server->pending);
  server->pending = NULL;
  server->pending_left = 0;
  server->durable_at = 0;
  gg__upstream_give_back_trial(session);
  gg_list_remove(&session->stalled);
  gg_list_remove(&server->run);
  gg_source_forget(&server->source);
  gg__end_leave(session, server);
  if (server->source.fd >= 0)
    close(server->source.fd);
  server->source.fd = -1;
  server->readable = server->write_blocked = server->dead = false;
}

/* False: there is none, or end[to] can be told nothing any more. */
static bool take_reply(struct gg_session *session, enum gg_direction to, const struct gg_verdict *verdict)
{
  struct gg_live *live = session->live;
  struct gg_end *one = &session->end[to], *other = &session->end[!to];
  if (!verdict->reply || verdict->reply_length == 0 || verdict->reply_length > GG_REPLY_MAX || one->shut || one->dead ||
      one->source.fd < 0 || other->end_recorded || live->way[!to].mask_ended ||
      !(live->reply = malloc(verdict->reply_length)))
    return false;
  memcpy(live->reply, verdict->reply, verdict->reply_length);
  live->reply_length = verdict->reply_length;
  live->reply_at = other->received + (other->pipe ? other->pipe->raw : 0); /* which is recorded yet, and goes before */
  live->replaced = other->side;
  live->rest_ended = other->ended;
  live->rest_readable = true;
  session->connected_ns = 0; /* the reply's first byte is not the upstream's */
  other->ended = false;
  other->readable = true;
  return true;
}

/* Whether somebody has not said yet what the recording may have of the client: `first` was to be asked, or a plug-in
 * that has a mask does not mask, be it that it could not. */
static bool is_undecided(const struct gg_live *live)
{
  if (live->open.hold_first_bytes > 0 && live->open.hold_first_ns > 0)
    return true;
  for (unsigned i = 0; live->chain && i < live->chain->count; i++)
    if (gg_hook_has(live->chain->hooks[i], GG_HOOK_MASK) && live->hooks[i].mask[GG_FROM_CLIENT] == GG_MASK_NONE)
      return true;
  return false;
}

void gg__linger_begin(struct gg_session *session, enum gg_direction to, const struct gg_verdict *verdict)
{
  struct gg_live *live = session->live;
  bool relays = session->state == GG_STATE_RELAYING || session->state == GG_STATE_HALF_CLOSED;
  if (!relays)
    give_up_upstream(session);
  if (!relays && session->end[GG_FROM_CLIENT].received == 0 && is_undecided(live))
    live->way[GG_FROM_CLIENT].record_most = 0; /* what it says is left out */
  if (verdict->kind != GG_VERDICT_REPLY || !take_reply(session, to, verdict))
    for (unsigned i = 0; i < 2; i++)
      session->end[i].readable = session->end[i].source.fd >= 0; /* a greeting is not said any more */
  session->close = GG_CLOSE_VERDICT;
  live->waits_first = false;
  live->linger_until_ns = session->worker->loop.now_ns + GG_LINGER_NS;
  gg__live_wake_at(live, live->linger_until_ns);
  gg_timer_stop(&session->timer);               /* its time-outs are those of a session that lives */
  if (!relays && !session->conversation.opened) /* without room now, it is done before the first chunk */
    gg__session_open_record(session);
  session->state = relays ? session->state : GG_STATE_RELAYING;
  gg__session_judge(session, GG_FROM_CLIENT);
  gg__session_judge(session, GG_FROM_SERVER);
  run(session, &session->end[GG_FROM_CLIENT]);
  run(session, &session->end[GG_FROM_SERVER]);
}

/* ── What goes ───────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__linger_lost(struct gg_session *session, struct gg_end *end)
{
  end->dead = end->shut = true;
  end->readable = end->finishing = true; /* what it said before it went may be in its socket still */
  run(session, end);
}

/* Records that a side has ended, behind what masks have kept back of it. */
static enum gg_step record_end(struct gg_session *session, enum gg_direction direction)
{
  enum gg_step step = gg__mask_on(session, direction) ? gg__mask_end(session, direction) : GG_STEP_AGAIN;
  return step == GG_STEP_AGAIN ? gg__session_end_record(session, direction) : step;
}

/* What waits for the direction's receiver, and then a FIN. WAIT: not all of it could go now. */
static enum gg_step let_go(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction], *to = &session->end[!direction];
  if (to->dead && from->pipe)
    gg__relay_drop_pipe(session, direction);
  if (to->shut)
    return GG_STEP_AGAIN;
  enum gg_step step = GG_STEP_AGAIN;
  if (to->pending)
    step = gg__relay_flush_pending(session, direction);
  else if (from->pipe)
    step = gg__relay_flush_pipe(session, direction);
  if (step != GG_STEP_AGAIN || to->shut)
    return step;
  if (from->pipe) /* it has left its socket, and is not recorded yet */
    return gg__relay_splice(session, direction);
  if (is_replaced(session->live, from) && !from->ended) /* the reply is to be said first */
    return GG_STEP_AGAIN;
  if (from->ended)
    step = record_end(session, direction);
  if (step == GG_STEP_AGAIN)
    step = gg__rewrite_fin(session, direction);
  if (step != GG_STEP_AGAIN)
    return step;
  to->shut = true;
  session->state = GG_STATE_HALF_CLOSED;
  if (to->source.fd >= 0 && shutdown(to->source.fd, SHUT_WR) != 0)
    gg__linger_lost(session, to);
  return GG_STEP_AGAIN;
}

/* ── What comes ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Of the side in whose name another is replied to. */
static enum gg_step hear_rest(struct gg_session *session, struct gg_end *end)
{
  struct gg_live *live = session->live;
  if (!live->rest_readable || live->rest_ended || end->source.fd < 0)
    return GG_STEP_WAIT;
  ssize_t got = recv(end->source.fd, session->worker->scratch, GG_READ_BYTES, MSG_DONTWAIT);
  if (got > 0 || (got < 0 && errno == EINTR))
    return GG_STEP_AGAIN;
  if (got < 0 && errno == EAGAIN && !end->dead) {
    live->rest_readable = false;
    return GG_STEP_WAIT;
  }
  live->rest_ended = true;
  if (got < 0)
    end->dead = end->shut = true;
  return GG_STEP_AGAIN;
}

/* The next that end[direction] says. */
static enum gg_step hear(struct gg_session *session, enum gg_direction direction)
{
  const struct gg_end *to = &session->end[!direction];
  struct gg_end *from = &session->end[direction];
  if (is_replaced(session->live, from) && !from->ended && !to->dead)
    return to->pending || from->pipe ? GG_STEP_WAIT : gg__relay_in_place(session, direction);
  if (is_replaced(session->live, from))
    return hear_rest(session, from);
  if (from->source.fd < 0 || (!from->ended && !from->readable))
    return GG_STEP_WAIT;
  if (!from->ended)
    return from->pipe ? GG_STEP_WAIT : gg__relay_in_place(session, direction);
  if (from->end_recorded || !session->recorded || !to->shut) /* behind what goes on: let_go does it */
    return GG_STEP_WAIT;
  return record_end(session, direction) == GG_STEP_OVER ? GG_STEP_OVER : GG_STEP_WAIT;
}

/* Nothing more goes to it, and nothing comes from it. */
static bool has_left(const struct gg_session *session, const struct gg_end *end)
{
  const struct gg_live *live = session->live;
  return end->source.fd < 0 || (end->shut && (is_replaced(live, end) ? live->rest_ended : end->ended));
}

enum gg_step gg__linger_step(struct gg_session *session, enum gg_direction direction)
{
  if (session->end[direction].put_off)
    return GG_STEP_WAIT;
  enum gg_step gone = let_go(session, direction);
  if (gone == GG_STEP_OVER)
    return gone;
  if (has_left(session, &session->end[GG_FROM_CLIENT]) && has_left(session, &session->end[GG_FROM_SERVER])) {
    gg__session_close(session, GG_CLOSE_VERDICT);
    return GG_STEP_OVER;
  }
  if (gone == GG_STEP_AGAIN) /* it may be in a list of those that wait for what has come */
    gg_list_remove(&session->end[direction].run);
  return hear(session, direction);
}

void gg__linger_ready(struct gg_session *session, struct gg_end *end, uint32_t events)
{
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) {
    end->finishing = end->finishing || (events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) != 0;
    *(is_replaced(session->live, end) ? &session->live->rest_readable : &end->readable) = true;
  }
  if (events & EPOLLERR)
    end->dead = end->shut = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
    end->write_blocked = false;
  gg__relay_pump(session, (enum gg_direction) !end->side);
  if (!gg__session_over(session))
    gg__relay_pump(session, (enum gg_direction)end->side);
}
