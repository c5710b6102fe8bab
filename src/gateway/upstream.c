/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting a session to one of its listener's upstreams. One that cannot be had is followed by the next, until one
 * answers or none is left that may be tried; the client notices nothing but the time, since none of its bytes has been
 * read:
 *
 *     choose ──► attempt ──► connected ──► relay
 *       ▲           │
 *       └── failed ─┘ (reason, whose fault)          none left, or the fault is ours: close
 *
 * An attempt either fails at once, or is waited for: then its socket, the time-out, or phase 3 (a unix upstream whose
 * backlog is full) goes on from `failed` or `connected`. The fault is ours when descriptors, memory or local ports are
 * used up: that says nothing of the upstream's health.
 */
#include "base/clock.h"
#include "base/logger.h"
#include "gateway/live.h"
#include "gateway/relay.h"
#include "gateway/worker.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum gg_close gg__connect_reason(int error, bool *ours)
{
  *ours = false;
  switch (error) {
  case ECONNREFUSED:
  case ENOENT: /* a unix path that is not there */
    return GG_CLOSE_CONNECT_REFUSED;
  case ETIMEDOUT:
    return GG_CLOSE_CONNECT_TIMEOUT;
  case EMFILE:
  case ENFILE:
  case ENOBUFS:
  case ENOMEM:
    *ours = true;
    return GG_CLOSE_LIMIT;
  case EADDRNOTAVAIL: /* no local port is left towards there */
    *ours = true;
    return GG_CLOSE_CONNECT_FAILED;
  default:
    return GG_CLOSE_CONNECT_FAILED;
  }
}

static socklen_t upstream_sockaddr(const struct gg_session *session, struct sockaddr_storage *out)
{
  if (session->upstream.family != GG_FAMILY_UNIX)
    return gg_addr_to_sockaddr(&session->upstream, out);
  return gg_endpoint_to_sockaddr_un(&session->member->endpoint, (struct sockaddr_un *)out);
}

void gg__upstream_let_go(struct gg_session *session)
{
  if (session->member)
    gg__member_release(session->member);
  session->member = NULL;
  gg__attempts_destroy(session->attempts);
  session->attempts = NULL;
}

/* ── Choosing ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What others may ask of a session changes under the lock. */
static void set_member(struct gg_session *session, struct gg_member *member)
{
  struct gg_member *before = session->member;
  pthread_mutex_lock(&session->worker->known.lock);
  session->member = member;
  pthread_mutex_unlock(&session->worker->known.lock);
  if (before)
    gg__member_release(before);
}

/* The one that a plug-in has named, once. */
static bool choose_named(struct gg_session *session)
{
  struct gg_live *live = session->live;
  struct gg_listener *listener = session->listener;
  struct gg_member *member;
  bool resolved = true;
  if (live->upstream_tried)
    return false;
  live->upstream_tried = true;
  member = gg__group_named(listener->group, live->upstream, &session->upstream, &resolved);
  struct gg_endpoint endpoint;
  if (!member && gg_endpoint_parse(&endpoint, live->upstream, false, NULL) == 0 && endpoint.family != GG_FAMILY_NONE) {
    member =
      gg__member_elsewhere(session->worker->plane, listener->options->name, listener->routes.elsewhere, &endpoint);
    session->upstream = endpoint.family == GG_FAMILY_UNIX ? (struct gg_addr){.family = GG_FAMILY_UNIX} : endpoint.addr;
  }
  if (!member) {
    gg_warn(session->worker->plane->options.logger, "a plug-in chose an upstream that cannot be had",
            GG_S("upstream", live->upstream), GG_S("listener", listener->options->name));
    return false;
  }
  set_member(session, member);
  session->trial = false;
  if (!resolved)
    session->upstream = (struct gg_addr){.family = GG_FAMILY_NONE};
  gg__route_choose(session, member->route);
  return true;
}

/* The next upstream by the listener's list. */
static bool choose_balanced(struct gg_session *session)
{
  struct gg_listener *listener = session->listener;
  bool made_up = session->peer.family == GG_FAMILY_UNIX && !session->addressed; /* a unix client has no address */
  const struct gg_addr *client = made_up ? NULL : &session->conversation.end[GG_FROM_CLIENT];
  struct gg_choice choice;
  if (!gg__group_choose(listener->group, &listener->turns, client, session->attempts, session->worker->loop.now_ns,
                        &choice))
    return false;
  set_member(session, choice.member);
  session->trial = choice.trial;
  session->upstream = choice.address;
  if (!choice.resolved)
    session->upstream = (struct gg_addr){.family = GG_FAMILY_NONE};
  gg__route_choose(session, choice.member->route);
  return true;
}

/* Whether the plug-ins let the session go to what was chosen. */
static bool is_allowed(const struct gg_session *session)
{
  const struct gg_live *live = session->live;
  if (!live || live->ended || !gg_hook_chain_has(live->chain, GG_HOOK_CONNECT))
    return true;
  const struct gg_member *member = session->member;
  return gg_hook_connect(live->chain, session->worker->shard, session->live, member->health->name, member->text) ==
         GG_VERDICT_PASS;
}

void gg__upstream_give_back_trial(struct gg_session *session)
{
  if (session->trial)
    gg__health_disclaim(session->member->health, session->worker->loop.now_ns);
  session->trial = false;
}

/* The next upstream to try. False: there is none; the session keeps the one that it tried last. */
static bool choose(struct gg_session *session)
{
  bool named = session->live && session->live->upstream;
  while (named ? choose_named(session) : choose_balanced(session)) {
    if (is_allowed(session))
      return true;
    gg__upstream_give_back_trial(session);
    if (!session->attempts)
      session->attempts = gg__attempts_create(session->listener->group);
    if (!session->attempts || !gg__attempts_add(session->attempts, session->member->health, GG_CLOSE_VERDICT))
      return false;
  }
  return false;
}

/* Counts and remembers a failure. True: another upstream has been chosen. False: the session is over. */
static bool failed_choose(struct gg_session *session, enum gg_close reason, bool ours)
{
  struct gg_worker *worker = session->worker;
  struct gg_group *group = session->listener->group;
  static const struct {
    enum gg_connect_counter route;
    enum gg_counter all;
  } counters[] = {
    [GG_CLOSE_CONNECT_REFUSED] = {GG_CONNECT_REFUSED, GG_COUNT_CONNECTS_REFUSED},
    [GG_CLOSE_CONNECT_TIMEOUT] = {GG_CONNECT_TIMED_OUT, GG_COUNT_CONNECTS_TIMED_OUT},
    [GG_CLOSE_CONNECT_FAILED] = {GG_CONNECT_OTHER, GG_COUNT_CONNECTS_FAILED},
    [GG_CLOSE_UNRESOLVED] = {GG_CONNECT_UNRESOLVED, GG_COUNT_UNRESOLVED},
  };
  gg_list_remove(&session->stalled); /* of those who wait for a unix backlog */
  if (session->live && !session->live->ended && gg_hook_chain_has(session->live->chain, GG_HOOK_FAILED))
    gg_hook_failed(session->live->chain, worker->shard, session->live, session->member->health->name,
                   gg__close_text(reason));
  if (ours)
    gg__upstream_give_back_trial(session);
  if (reason == GG_CLOSE_LIMIT) {
    gg_shard_add(worker->shard, session->route->connect + GG_CONNECT_LOCAL, 1);
    gg__session_close(session, reason);
    return false;
  }
  gg_shard_add(worker->shard, session->route->connect + counters[reason].route, 1);
  gg__count(worker, counters[reason].all, 1);
  if (!ours && group)
    gg__health_failed(session->member->health, &group->health, session->trial, gg__close_text(reason),
                      worker->loop.now_ns, worker->shard);
  bool only = !group || (session->live && session->live->upstream) ||
              (group->count == 1 && !session->attempts && group->slots[0].member->health == session->member->health);
  if (!only && !session->attempts)
    session->attempts = gg__attempts_create(group);
  if (!only && session->attempts && gg__attempts_add(session->attempts, session->member->health, (uint8_t)reason) &&
      choose(session))
    return true;
  gg__session_close(session, reason);
  return false;
}

/* ── One attempt ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What became of a step: it is waited for, or the session has gone on to relay or has ended; or the attempt failed. */
struct outcome {
  bool failed;
  bool ours;
  enum gg_close reason;
};

static struct outcome outcome_failed(enum gg_close reason)
{
  return (struct outcome){.failed = true, .reason = reason};
}

static struct outcome outcome_errno(int error)
{
  struct outcome outcome = {.failed = true};
  outcome.reason = gg__connect_reason(error, &outcome.ours);
  return outcome;
}

static void tell_connected(const struct gg_session *session)
{
  struct gg_live *live = session->live;
  if (live && !live->ended && gg_hook_chain_has(live->chain, GG_HOOK_CONNECTED))
    gg_hook_connected(live->chain, session->worker->shard, live, session->member->health->name);
}

/* Which connection it is, for the facts: asked once, because a socket that was reset may not know any more. */
static void note_gateway(struct gg_session *session)
{
  struct sockaddr_storage own;
  socklen_t length = sizeof own;
  bool ip = session->upstream.family == GG_FAMILY_IPV4 || session->upstream.family == GG_FAMILY_IPV6;
  if (ip && session->recorded &&
      getsockname(session->end[GG_FROM_SERVER].source.fd, (struct sockaddr *)&own, &length) == 0)
    gg_addr_from_sockaddr(&session->gateway, (const struct sockaddr *)&own, length);
}

static struct outcome connected(struct gg_session *session)
{
  struct gg_worker *worker = session->worker;
  const struct gg_listener_options *options = session->listener->options;
  struct gg_end *server = &session->end[GG_FROM_SERVER];
  uint64_t now_ns = gg_clock_mono_ns(), latency_ns = now_ns - session->active_ns;
  gg_shard_observe(worker->shard, worker->counters + GG_COUNT_CONNECT_LATENCY, latency_ns);
  gg_shard_observe(worker->shard, session->route->connect + GG_CONNECT_SLOT_LATENCY, latency_ns);
  gg__health_succeeded(session->member->health, now_ns, worker->shard);
  session->trial = false;
  if (options->proxy_out != GG_PROXY_OFF) {
    uint8_t header[GG_PROXY_BUILD_MAX];
    const struct gg_addr *ends = session->conversation.end;
    /* A unix peer's recorded address is made up: the upstream is told that it is unknown. */
    bool made_up = session->peer.family == GG_FAMILY_UNIX && !session->addressed;
    const struct gg_addr *client = made_up ? &session->peer : &ends[GG_FROM_CLIENT];
    size_t length = gg_proxy_build(header, options->proxy_out, client, &ends[GG_FROM_SERVER]);
    session->announced = (uint8_t)length;
    /* An empty socket takes it whole; one that does not is broken. */
    if (send(server->source.fd, header, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length)
      return outcome_failed(GG_CLOSE_CONNECT_FAILED);
  }
  session->connected_ns = now_ns;
  note_gateway(session);
  tell_connected(session);
  gg__session_relay(session);
  return (struct outcome){0};
}

/* A unix upstream whose backlog is full says EAGAIN: tried again from phase 3 until the time is up. */
static struct outcome attempt_connect(struct gg_session *session)
{
  struct gg_worker *worker = session->worker;
  struct gg_end *server = &session->end[GG_FROM_SERVER];
  struct sockaddr_storage to;
  socklen_t length = upstream_sockaddr(session, &to);
  int done;
  do
    done = connect(server->source.fd, (struct sockaddr *)&to, length);
  while (done != 0 && errno == EINTR);
  if (done != 0 && errno == EAGAIN && session->upstream.family == GG_FAMILY_UNIX) {
    gg_list_remove(&session->stalled); /* where one that was diverted may be */
    gg_list_append(&worker->reconnect, &session->stalled);
    gg__worker_retry_soon(worker);
    return (struct outcome){0};
  }
  if (done != 0 && errno != EINPROGRESS)
    return outcome_errno(errno);
  uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  server->read_watched = gg_loop_watch_reads(&worker->loop, session->log->set, &server->source, events) == GG_OK;
  if (!server->read_watched)
    return outcome_failed(GG_CLOSE_LIMIT);
  return done == 0 ? connected(session) : (struct outcome){0};
}

/* With the server's end as new: nothing of an earlier attempt stays. */
static struct outcome attempt_begin(struct gg_session *session)
{
  struct gg_end *server = &session->end[GG_FROM_SERVER], before = *server;
  if (server->source.fd >= 0) {
    gg__end_leave(session, server);
    close(server->source.fd);
  }
  gg_list_remove(&server->run);
  pthread_mutex_lock(&session->worker->known.lock); /* others may read its counts */
  *server = (struct gg_end){.source = {gg__end_ready, -1}, .side = GG_FROM_SERVER};
  pthread_mutex_unlock(&session->worker->known.lock);
  gg_list_init(&server->run);
  server->pending = before.pending; /* of a session that was diverted: what the client has said so far */
  server->pending_at = before.pending_at;
  server->pending_left = before.pending_left;
  server->durable_at = before.durable_at;
  session->announced = 0;
  session->gateway = (struct gg_addr){.family = GG_FAMILY_NONE};
  if (session->upstream.family == GG_FAMILY_NONE)
    return outcome_failed(GG_CLOSE_UNRESOLVED);
  int domain = session->upstream.family == GG_FAMILY_IPV4   ? AF_INET
               : session->upstream.family == GG_FAMILY_IPV6 ? AF_INET6
                                                            : AF_UNIX;
  server->source.fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (server->source.fd < 0)
    return outcome_errno(errno);
  if (domain != AF_UNIX) {
    int on = 1;
    setsockopt(server->source.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server->source.fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  }
  server->finishing = domain == AF_UNIX; /* as for a client: a short read proves nothing */
  session->active_ns = gg_clock_mono_ns();
  gg_timer_start(&session->timer, &session->worker->connect_timers, session->worker->loop.now_ns);
  return attempt_connect(session);
}

/* Goes on from an outcome, through as many upstreams as fail at once. */
static void go_on(struct gg_session *session, struct outcome outcome)
{
  while (outcome.failed && failed_choose(session, outcome.reason, outcome.ours))
    outcome = attempt_begin(session);
}

void gg__upstream_connect(struct gg_session *session)
{
  session->state = GG_STATE_CONNECTING;
  bool chosen = choose(session);
  gg__session_open_record(session); /* without room now, it is done before the first chunk */
  if (chosen) {
    go_on(session, attempt_begin(session));
  } else if (session->attempts) { /* plug-ins have refused all; what they ordered meanwhile is carried out before */
    gg_list_append(&session->worker->reconnect, &session->stalled);
    session->worker->retry_ns = 0;
  } else {
    gg__session_close(session, GG_CLOSE_UNAVAILABLE);
  }
}

bool gg__upstream_divert(struct gg_session *session, const char *by, const struct gg_verdict *verdict)
{
  const struct gg_end *client = &session->end[GG_FROM_CLIENT], *server = &session->end[GG_FROM_SERVER];
  struct gg_live *live = session->live;
  bool relays = session->state == GG_STATE_RELAYING;
  if (!relays || !session->listener->group || !verdict->upstream || client->forwarded > 0 || client->put_off ||
      server->received > 0 || server->ended)
    return false;
  char *name = strdup(verdict->upstream);
  if (!name)
    return false;
  free(live->upstream);
  live->upstream = name;
  live->upstream_tried = false;
  gg_timer_stop(&session->timer);
  gg_info(session->worker->plane->options.logger, "session diverted", GG_S("plugin", by), GG_S("upstream", name),
          GG_S("reason", verdict->reason ? verdict->reason : ""));
  session->state = GG_STATE_CONNECTING;
  session->splice_allowed[GG_FROM_CLIENT] = session->splice_allowed[GG_FROM_SERVER] = false;
  /* In a later phase: an event of the old socket may have been fetched already, and would be taken for the new
   * one's. */
  struct gg_source *source = &session->end[GG_FROM_SERVER].source;
  gg_source_forget(source);
  gg__end_leave(session, &session->end[GG_FROM_SERVER]);
  close(source->fd);
  source->fd = -1;
  gg_list_remove(&session->stalled);
  gg_list_append(&session->worker->reconnect, &session->stalled);
  session->worker->retry_ns = 0;
  return true;
}

/* ── What was waited for ─────────────────────────────────────────────────────────────────────────────────────────── */

void gg__upstream_reconnect(struct gg_worker *worker)
{
  struct gg_list again;
  gg_list_init(&again);
  gg_list_splice(&again, &worker->reconnect);
  while (!gg_list_empty(&again)) {
    struct gg_session *session = GG_CONTAINER(again.next, struct gg_session, stalled);
    gg_list_remove(&session->stalled);
    bool diverted = session->end[GG_FROM_SERVER].source.fd < 0;
    if (!diverted)
      go_on(session, attempt_connect(session));
    else if (choose(session))
      go_on(session, attempt_begin(session));
    else
      gg__session_close(session, GG_CLOSE_UNAVAILABLE);
  }
}

void gg__upstream_ready(struct gg_session *session, uint32_t events)
{
  struct gg_end *server = &session->end[GG_FROM_SERVER];
  if (events & (EPOLLERR | EPOLLHUP)) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(server->source.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0 && error != ECONNRESET && error != EPIPE) {
      go_on(session, outcome_errno(error));
      return;
    }
    /* It was connected, and is reset already. What it sent before is still there to be read. */
    server->dead = true;
    note_gateway(session);
    tell_connected(session);
    gg__health_succeeded(session->member->health, session->worker->loop.now_ns, session->worker->shard);
    gg__session_relay(session);
    return;
  }
  if (events & EPOLLOUT)
    go_on(session, connected(session));
}

uint64_t gg__session_connect_expired(struct gg_timer *timer, uint64_t now_ns)
{
  struct gg_session *session = GG_CONTAINER(timer, struct gg_session, timer);
  uint64_t heard_ns = gg__session_heard_since(session, now_ns); /* before that it may well have answered */
  if (heard_ns + session->worker->connect_timers.duration_ns > now_ns)
    return heard_ns;
  go_on(session, outcome_failed(GG_CLOSE_CONNECT_TIMEOUT));
  return 0;
}
