/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a session relays, up to four time-outs run for it: silence (idle), its whole life (session), the client's
 * first byte, and a receiver that takes nothing while bytes wait for it (stall). They share the session's one timer:
 *
 *   the list's duration is the shortest of them, so a timer that starts now cannot miss a deadline that begins later;
 *   when it fires, the earliest deadline is looked for; if that is still to come the timer is started again, as of the
 *   time that lets it fire then, or after another duration, whichever is first.
 *
 * So activity costs nothing but the notes that are made anyway: active_ns, and waits_ns where a receiver was full. With
 * very many sessions a timer may fire late, by less than the shortest time-out (timers.h, GG_TIMER_WALK_MAX).
 *
 * Time during which the log had no room counts neither as silence nor as a missing first byte: nobody read.
 *
 * Rejected: a list for each of the four. Every session would carry four timers, 96 bytes, for options that are off.
 */
#include "gateway/live.h"
#include "gateway/relay.h"
#include "gateway/worker.h"

struct deadline {
  uint64_t at_ns; /* UINT64_MAX: there is none */
  enum gg_close reason;
};

static uint64_t shorter(uint64_t a_ns, uint64_t b_ns)
{
  if (a_ns == 0 || b_ns == 0)
    return a_ns | b_ns;
  return a_ns < b_ns ? a_ns : b_ns;
}

uint64_t gg__relay_timer_ns(const struct gg_plane_options *options)
{
  return shorter(shorter(options->idle_timeout_ns, options->session_timeout_ns),
                 shorter(options->first_byte_timeout_ns, options->stall_timeout_ns));
}

static void consider(struct deadline *earliest, uint64_t since_ns, uint64_t timeout_ns, enum gg_close reason)
{
  if (timeout_ns > 0 && since_ns + timeout_ns < earliest->at_ns)
    *earliest = (struct deadline){since_ns + timeout_ns, reason};
}

static uint64_t later(uint64_t a_ns, uint64_t b_ns)
{
  return a_ns > b_ns ? a_ns : b_ns;
}

/* Whether recorded and durable bytes of the direction wait for their receiver's socket, and not for a gate. */
static bool waits(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_end *from = &session->end[direction], *to = &session->end[!direction];
  bool waiting =
    to->pending_left > 0 && to->durable_at == 0 && (!session->live || gg__gate_free(session, direction) > 0);
  return waiting || (from->pipe && from->pipe->recorded > 0);
}

static struct deadline earliest(const struct gg_session *session, uint64_t now_ns)
{
  const struct gg_plane_options *options = session->worker->options;
  const struct gg_end *client = &session->end[GG_FROM_CLIENT];
  uint64_t heard_ns = gg__session_heard_since(session, now_ns);
  struct deadline found = {UINT64_MAX, GG_CLOSE_INTERNAL};
  consider(&found, later(session->active_ns, heard_ns), options->idle_timeout_ns, GG_CLOSE_IDLE_TIMEOUT);
  consider(&found, session->opened_ns, options->session_timeout_ns, GG_CLOSE_SESSION_TIMEOUT);
  if (client->received == 0 && !client->ended)
    consider(&found, later(session->opened_ns, heard_ns), options->first_byte_timeout_ns, GG_CLOSE_FIRST_BYTE_TIMEOUT);
  for (unsigned i = 0; i < 2; i++)
    if (waits(session, (enum gg_direction)i))
      consider(&found, session->waits_ns[i], options->stall_timeout_ns, GG_CLOSE_STALL_TIMEOUT);
  return found;
}

/* As of when the timer has to start to fire at the deadline. */
static uint64_t start_for(const struct gg_session *session, const struct deadline *deadline, uint64_t now_ns)
{
  uint64_t duration_ns = session->worker->relay_timers.duration_ns;
  return deadline->at_ns - duration_ns < now_ns ? deadline->at_ns - duration_ns : now_ns;
}

void gg__relay_timer_start(struct gg_session *session)
{
  uint64_t now_ns = session->worker->loop.now_ns;
  if (gg__lingers(session)) /* it has an end of its own */
    return;
  struct deadline deadline = earliest(session, now_ns);
  gg_timer_start(&session->timer, &session->worker->relay_timers, start_for(session, &deadline, now_ns));
}

void gg__relay_timers_adopt(struct gg_worker *worker)
{
  worker->relay_timers.duration_ns = gg__relay_timer_ns(worker->options);
  for (struct gg_list *node = worker->sessions.next; node != &worker->sessions; node = node->next) {
    struct gg_session *session = GG_CONTAINER(node, struct gg_session, node);
    if (session->state == GG_STATE_RELAYING || session->state == GG_STATE_HALF_CLOSED)
      gg__relay_timer_start(session);
  }
}

/* EPOLLOUT comes only when a third of the socket's buffer is free. One that took a little since has room by now: it is
 * asked once more before it is called stalled. */
static void ask_again(struct gg_session *session)
{
  for (unsigned i = 0; i < 2 && !gg__session_over(session); i++)
    if (waits(session, (enum gg_direction)i))
      gg__relay_pump(session, (enum gg_direction)i);
}

uint64_t gg__session_relay_expired(struct gg_timer *timer, uint64_t now_ns)
{
  struct gg_session *session = GG_CONTAINER(timer, struct gg_session, timer);
  struct deadline deadline = earliest(session, now_ns);
  if (deadline.at_ns <= now_ns && deadline.reason == GG_CLOSE_STALL_TIMEOUT) {
    ask_again(session);
    if (gg__session_over(session))
      return 0;
    deadline = earliest(session, now_ns);
  }
  if (deadline.at_ns > now_ns)
    return start_for(session, &deadline, now_ns);
  gg__session_close(session, deadline.reason);
  return 0;
}
