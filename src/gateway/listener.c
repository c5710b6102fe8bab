/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener as a worker sees it: it watches a socket (bind.c), accepts who waits there while there are places, and
 * leaves when it is removed.
 *
 * Listeners are watched in the read set of their policy, so a log without room stops accepts too. When descriptors,
 * memory or sessions are used up, the listener leaves the set and comes back from phase 4: no spinning.
 *
 *        fresh (plan.c)
 *          │ the worker goes over to its snapshot: gg__listeners_adopt
 *          ▼
 *      [LISTENS] ◄──► [PAUSED]     (HELD, at first, if another process still serves there: gg__binding_serves)
 *          │ a reload removed it, or the gateway drains          │ the next snapshot has the same socket:
 *          ▼                                                     │ its listener takes it over
 *      [LEAVES]   no new client comes; those who wait are served │
 *          │ nobody has come for a GRACE, and nobody waits       │
 *          ▼                                                     ▼
 *      [RETIRED]  without a socket; freed when the last session that came by it has ended
 *
 * One that leaves while a limit is reached stays until places come free and those who wait have been served, at the
 * latest until the drain's deadline: they were promised a connection. Until then its address may be had again by
 * another reload. One whose socket is foreign serves who waits when a reload removes it, or another process takes over
 * and does not want it; when the gateway drains, they are clients of whoever is started next.
 */
#include "base/clock.h"
#include "base/logger.h"
#include "gateway/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEAVE_BATCHES = 16, LEAVE_AGAIN_NS = 1000000 };

/* ── Making and watching ─────────────────────────────────────────────────────────────────────────────────────────── */

static void listener_ready(struct gg_source *source, uint32_t events);

struct gg_listener *gg__listener_create(struct gg_worker *worker, struct gg_plan *plan, unsigned slot)
{
  struct gg_listener *listener = calloc(1, sizeof *listener);
  if (!listener)
    return NULL;
  struct gg_binding *binding = plan->binding;
  gg_list_init(&listener->node);
  atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
  atomic_fetch_add(&binding->sockets[slot].users, 1);
  listener->plan = plan;
  listener->slot = slot;
  listener->worker = worker;
  listener->source = (struct gg_source){listener_ready, binding->sockets[slot].fd};
  listener->log = &worker->logs[plan->log];
  listener->options = &plan->options;
  listener->sessions = &binding->sessions;
  listener->routes = plan->routes;
  listener->group = plan->group;
  listener->address = binding->address;
  listener->wildcard = binding->wildcard;
  return listener;
}

void gg__listener_destroy(struct gg_listener *listener)
{
  gg__plan_unref(listener->plan);
  free(listener);
}

static int listener_watch(struct gg_listener *listener)
{
  uint32_t events = EPOLLIN;
  if (listener->plan->binding->shared)
    events |= EPOLLEXCLUSIVE;
  return gg_loop_watch_reads(&listener->worker->loop, listener->log->set, &listener->source, events);
}

static void listener_unwatch(struct gg_listener *listener)
{
  if (!listener->paused)
    gg_loop_ignore_reads(&listener->worker->loop, listener->log->set, &listener->source);
  gg_source_forget(&listener->source);
  listener->source.fd = -1;
}

/* It has no socket any more; its sessions may still need it. */
static void retire(struct gg_listener *listener)
{
  struct gg_worker *worker = listener->worker;
  gg_list_remove(&listener->node);
  if (listener->leaving)
    worker->leaving_count--;
  listener->retired = true;
  gg_list_append(listener->session_count > 0 ? &worker->retired : &worker->listeners_over, &listener->node);
}

void gg__listener_session_ended(struct gg_listener *listener)
{
  if (--listener->session_count > 0 || !listener->retired)
    return;
  gg_list_remove(&listener->node);
  gg_list_append(&listener->worker->listeners_over, &listener->node);
}

/* ── Limits ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void pause_listener(struct gg_listener *listener, const char *reason)
{
  if (listener->paused)
    return;
  listener->paused = listener->worker->paused = true;
  gg_loop_ignore_reads(&listener->worker->loop, listener->log->set, &listener->source);
  gg__count(listener->worker, GG_COUNT_ACCEPT_PAUSES, 1);
  gg_warn(listener->worker->plane->options.logger, "accepting pauses", GG_S("listener", listener->options->name),
          GG_S("reason", reason), GG_S("effect", "new clients wait until sessions end"));
  gg__worker_retry_soon(listener->worker);
}

/* Which limit is reached; NULL: none. */
static const char *limit_reached(const struct gg_listener *listener)
{
  const struct gg_worker *worker = listener->worker;
  const struct gg_snapshot *snapshot = worker->snapshot;
  if (atomic_load_explicit(&worker->plane->sessions, memory_order_relaxed) >= snapshot->sessions_max)
    return snapshot->sessions_max == snapshot->options.sessions_max ? "sessions_max is reached"
                                                                    : "the limit on open files allows no more sessions";
  uint64_t most = listener->options->sessions_max;
  return most > 0 && atomic_load_explicit(listener->sessions, memory_order_relaxed) >= most
           ? "the listener's sessions_max is reached"
           : NULL;
}

/* Takes a session's place before it is accepted: other workers may be at the same limit now. NULL: taken. */
static const char *place_take(const struct gg_listener *listener)
{
  struct gg_plane *plane = listener->worker->plane;
  uint64_t most = listener->options->sessions_max;
  uint64_t all = atomic_fetch_add_explicit(&plane->sessions, 1, memory_order_relaxed);
  uint64_t own = atomic_fetch_add_explicit(listener->sessions, 1, memory_order_relaxed);
  if (all < listener->worker->snapshot->sessions_max && (most == 0 || own < most))
    return NULL;
  const char *reached = limit_reached(listener);
  gg__listener_place_give(listener);
  return reached ? reached : "another worker was faster at the limit";
}

void gg__listener_place_give(const struct gg_listener *listener)
{
  atomic_fetch_sub_explicit(&listener->worker->plane->sessions, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(listener->sessions, 1, memory_order_relaxed);
}

/* ── Accepting ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t grace(const struct gg_listener *listener)
{
  if (listener->plan->binding->listen.family == GG_FAMILY_UNIX)
    return 0;
  return gg_addr_is_loopback(&listener->address) ? GG_LEAVE_GRACE_LOCAL_NS : GG_LEAVE_GRACE_NS;
}

/* Another one has come whose handshake had begun: as long again for the next. */
static void stay(struct gg_listener *listener)
{
  uint64_t until_ns = listener->worker->loop.now_ns + grace(listener);
  uint64_t most_ns = listener->leaving_since_ns + GG_LEAVE_MAX_NS;
  until_ns = until_ns < most_ns ? until_ns : most_ns;
  if (until_ns > listener->leave_ns)
    listener->leave_ns = until_ns;
}

enum accepted { ACCEPTED_SOME, ACCEPTED_ALL, ACCEPTED_NONE_CAN_BE };

/* Of a foreign socket's clients each worker takes at the most as many as waited when it began to leave: others come for
 * ever. Where workers share the socket that may be some more than waited, and is never fewer. */
static bool has_served_all(const struct gg_listener *listener)
{
  return listener->leaving && gg__binding_is_foreign(listener->plan->binding, listener->slot) &&
         listener->leave_left == 0;
}

static enum accepted accept_batch(struct gg_listener *listener)
{
  for (unsigned i = 0; i < GG_ACCEPT_BATCH && !has_served_all(listener); i++) {
    const char *reached = place_take(listener);
    if (reached) {
      pause_listener(listener, reached);
      return ACCEPTED_NONE_CAN_BE;
    }
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int fd = accept4(listener->source.fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      gg__binding_accepted(listener->plan->binding, listener->slot, fd);
      if (listener->leaving && gg__binding_is_foreign(listener->plan->binding, listener->slot))
        listener->leave_left--;
      else if (listener->leaving)
        stay(listener);
      gg__session_accept(listener, fd, &peer, length);
      continue;
    }
    gg__listener_place_give(listener);
    if (errno == EAGAIN || (listener->leaving && errno == EINVAL)) /* EINVAL: a unix listener that was shut */
      return ACCEPTED_ALL;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      pause_listener(listener, strerrordesc_np(errno));
      return ACCEPTED_NONE_CAN_BE;
    }
    if (errno != ECONNABORTED && errno != EINTR) /* gone again before we came, or the network's own trouble */
      gg__count(listener->worker, GG_COUNT_ACCEPT_FAILURES, 1);
  }
  return has_served_all(listener) ? ACCEPTED_ALL : ACCEPTED_SOME;
}

static void listener_ready(struct gg_source *source, uint32_t events)
{
  (void)events;
  accept_batch(GG_CONTAINER(source, struct gg_listener, source));
}

/* It is looked at again when the engine has the worker pass, or soon, if all that is missing is that it listens. */
static void hold(struct gg_listener *listener)
{
  const struct gg_binding *binding = listener->plan->binding;
  listener->paused = listener->held = listener->worker->paused = true;
  if (!atomic_load(&binding->waits) && !atomic_load(&binding->elsewhere))
    gg__worker_retry_soon(listener->worker);
}

void gg__listeners_resume(struct gg_worker *worker)
{
  worker->paused = false;
  for (struct gg_list *node = worker->listeners.next; node != &worker->listeners; node = node->next) {
    struct gg_listener *listener = GG_CONTAINER(node, struct gg_listener, node);
    if (!listener->paused)
      continue;
    if (listener->held && !gg__binding_serves(listener->plan->binding, listener->slot)) {
      hold(listener);
      continue;
    }
    if (limit_reached(listener) || listener_watch(listener) != GG_OK) {
      worker->paused = true;
      gg__worker_retry_soon(worker);
      continue;
    }
    listener->paused = false;
    if (!listener->held)
      gg_info(worker->plane->options.logger, "accepting again", GG_S("listener", listener->options->name));
    listener->held = false;
  }
}

/* ── Leaving ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void let_go(struct gg_listener *listener)
{
  struct gg_binding *binding = listener->plan->binding;
  unsigned slot = listener->slot;
  listener_unwatch(listener);
  gg__binding_drop(binding, slot); /* while the plan holds it */
  retire(listener);
}

static void leave(struct gg_listener *listener, bool drains)
{
  struct gg_binding *binding = listener->plan->binding;
  struct gg_worker *worker = listener->worker;
  if (listener->leaving)
    return;
  bool foreign = gg__binding_is_foreign(binding, listener->slot);
  bool dropped = atomic_load_explicit(&binding->dropped, memory_order_acquire);
  if ((foreign && drains && !dropped) || atomic_load_explicit(&binding->elsewhere, memory_order_acquire) ||
      atomic_load(&binding->sockets[listener->slot].state) == GG_SOCKET_BOUND) {
    let_go(listener); /* who waits there is somebody else's client; at one that never listened nobody does */
    return;
  }
  listener->leaving = true;
  worker->leaving_count++;
  gg__binding_leave(binding, listener->slot);
  listener->leaving_since_ns = gg_clock_mono_ns(); /* not the turn's time: it may have been long since */
  listener->leave_ns = listener->leaving_since_ns;
  listener->leave_left = foreign ? gg__binding_waiting(binding, listener->slot) : 0;
  if (foreign)
    return;
  bool full = gg__binding_overflows(binding, listener->slot);
  listener->leave_ns += full ? GG_LEAVE_GRACE_FULL_NS : grace(listener);
}

static void leave_all(struct gg_worker *worker, bool drains)
{
  for (struct gg_list *node = worker->listeners.next, *next; node != &worker->listeners; node = next) {
    next = node->next;
    leave(GG_CONTAINER(node, struct gg_listener, node), drains);
  }
}

void gg__listeners_leave(struct gg_worker *worker)
{
  leave_all(worker, true);
}

/* Serves who is left and closes it. Returns when it wants to be looked at again. */
static uint64_t part(struct gg_listener *listener, uint64_t now_ns)
{
  if (now_ns < listener->leave_ns)
    return listener->leave_ns;
  if (listener->paused) /* phase 4 finds out when there are places again */
    return UINT64_MAX;
  enum accepted accepted = ACCEPTED_SOME;
  for (unsigned i = 0; i < LEAVE_BATCHES && accepted == ACCEPTED_SOME; i++)
    accepted = accept_batch(listener);
  if (accepted == ACCEPTED_NONE_CAN_BE)
    return UINT64_MAX;
  if (now_ns < listener->leave_ns)
    return listener->leave_ns;
  if (accepted == ACCEPTED_SOME && now_ns < listener->leaving_since_ns + GG_LEAVE_MAX_NS)
    return now_ns;
  if (!gg__binding_may_part(listener->plan->binding, listener->slot))
    return now_ns + LEAVE_AGAIN_NS;
  let_go(listener);
  return UINT64_MAX;
}

uint64_t gg__listeners_part(struct gg_worker *worker)
{
  uint64_t next_ns = UINT64_MAX;
  if (worker->leaving_count == 0)
    return next_ns;
  for (struct gg_list *node = worker->listeners.next, *next; node != &worker->listeners; node = next) {
    next = node->next;
    struct gg_listener *listener = GG_CONTAINER(node, struct gg_listener, node);
    uint64_t at_ns = listener->leaving ? part(listener, worker->loop.now_ns) : UINT64_MAX;
    next_ns = at_ns < next_ns ? at_ns : next_ns;
  }
  return next_ns;
}

void gg__listeners_close(struct gg_worker *worker)
{
  while (!gg_list_empty(&worker->listeners))
    let_go(GG_CONTAINER(worker->listeners.next, struct gg_listener, node));
}

/* ── Going over to another snapshot ──────────────────────────────────────────────────────────────────────────────── */

static struct gg_listener *with_socket(const struct gg_worker *worker, const struct gg_binding *binding, unsigned slot)
{
  for (struct gg_list *node = worker->listeners.next; node != &worker->listeners; node = node->next) {
    struct gg_listener *listener = GG_CONTAINER(node, struct gg_listener, node);
    if (listener->plan->binding == binding && listener->slot == slot)
      return listener;
  }
  return NULL;
}

/* `fresh` watches the socket from here on. Nobody who waits there is missed: the set tells what is there already. */
static void take_over(struct gg_worker *worker, struct gg_listener *fresh)
{
  struct gg_listener *old = with_socket(worker, fresh->plan->binding, fresh->slot);
  if (old) {
    listener_unwatch(old);
    atomic_fetch_sub(&old->plan->binding->sockets[old->slot].users, 1);
    retire(old);
  }
  gg_list_append(&worker->listeners_next, &fresh->node);
  if (!gg__binding_serves(fresh->plan->binding, fresh->slot)) {
    hold(fresh);
    return;
  }
  if (listener_watch(fresh) == GG_OK)
    return;
  fresh->paused = worker->paused = true;
  gg__worker_retry_soon(worker);
}

void gg__listeners_adopt(struct gg_worker *worker, struct gg_snapshot *snapshot)
{
  struct gg_list *fresh = &snapshot->fresh[worker->index];
  while (!gg_list_empty(fresh)) {
    struct gg_listener *listener = GG_CONTAINER(fresh->next, struct gg_listener, node);
    gg_list_remove(&listener->node);
    take_over(worker, listener);
  }
  leave_all(worker, !worker->listening); /* those that nobody took the socket of */
  gg_list_splice(&worker->listeners, &worker->listeners_next);
  if (!worker->listening) /* a drain has begun meanwhile */
    gg__listeners_leave(worker);
}

void gg__listeners_free(struct gg_list *listeners)
{
  while (!gg_list_empty(listeners)) {
    struct gg_listener *listener = GG_CONTAINER(listeners->next, struct gg_listener, node);
    gg_list_remove(&listener->node);
    gg__listener_destroy(listener);
  }
}
