/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "gateway/relay.h"
#include "gateway/worker.h"
#include "net/resolve.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static enum gg_close close_reason(int error)
{
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
    return GG_CLOSE_LIMIT;
  default:
    return GG_CLOSE_CONNECT_FAILED;
  }
}

static socklen_t upstream_sockaddr(const struct gg_session *session, struct sockaddr_storage *out)
{
  const struct gg_endpoint *endpoint = &session->listener->options->upstreams[0].endpoint;
  if (session->upstream.family != GG_FAMILY_UNIX)
    return gg_addr_to_sockaddr(&session->upstream, out);
  return gg_endpoint_to_sockaddr_un(endpoint, (struct sockaddr_un *)out);
}

/* The attempt came to nothing: told apart by what an operator would look for. */
static void attempt_failed(struct gg_session *session, enum gg_close reason)
{
  enum gg_connect_counter counter = GG_CONNECT_OTHER;
  if (reason == GG_CLOSE_CONNECT_REFUSED)
    counter = GG_CONNECT_REFUSED;
  else if (reason == GG_CLOSE_CONNECT_TIMEOUT)
    counter = GG_CONNECT_TIMED_OUT;
  else if (reason == GG_CLOSE_UNRESOLVED)
    counter = GG_CONNECT_UNRESOLVED;
  else if (reason == GG_CLOSE_LIMIT)
    counter = GG_CONNECT_LOCAL;
  gg_shard_add(session->worker->shard, session->route->connect + counter, 1);
  gg__session_close(session, reason);
}

static void connected(struct gg_session *session)
{
  struct gg_worker *worker = session->worker;
  const struct gg_listener_options *options = session->listener->options;
  struct gg_end *server = &session->end[GG_FROM_SERVER];
  uint64_t now_ns = gg_clock_mono_ns(), latency_ns = now_ns - session->active_ns;
  gg_shard_observe(worker->shard, worker->counters + GG_COUNT_CONNECT_LATENCY, latency_ns);
  gg_shard_observe(worker->shard, session->route->connect + GG_CONNECT_SLOT_LATENCY, latency_ns);
  if (options->proxy_out != GG_PROXY_OFF) {
    uint8_t header[GG_PROXY_BUILD_MAX];
    const struct gg_addr *ends = session->conversation.end;
    /* A unix peer's recorded address is made up: the upstream is told that it is unknown. */
    bool made_up = session->peer.family == GG_FAMILY_UNIX && !session->addressed;
    const struct gg_addr *client = made_up ? &session->peer : &ends[GG_FROM_CLIENT];
    size_t length = gg_proxy_build(header, options->proxy_out, client, &ends[GG_FROM_SERVER]);
    session->announced = (uint8_t)length;
    /* An empty socket takes it whole; one that does not is broken. */
    if (send(server->source.fd, header, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length) {
      attempt_failed(session, GG_CLOSE_CONNECT_FAILED);
      return;
    }
  }
  session->connected_ns = now_ns;
  gg__session_relay(session);
}

/* One attempt. A unix upstream whose backlog is full says EAGAIN: tried again from phase 3 until the time is up. */
static void attempt(struct gg_session *session)
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
    gg_list_append(&worker->reconnect, &session->stalled);
    gg__worker_retry_soon(worker);
    return;
  }
  if (done != 0 && errno != EINPROGRESS) {
    attempt_failed(session, close_reason(errno));
    return;
  }
  uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  if (gg_loop_watch_reads(&worker->loop, session->log->set, &server->source, events) != GG_OK)
    attempt_failed(session, GG_CLOSE_LIMIT);
  else if (done == 0)
    connected(session);
}

void gg__upstream_reconnect(struct gg_worker *worker)
{
  struct gg_list again;
  gg_list_init(&again);
  gg_list_splice(&again, &worker->reconnect);
  while (!gg_list_empty(&again)) {
    struct gg_session *session = GG_CONTAINER(again.next, struct gg_session, stalled);
    gg_list_remove(&session->stalled);
    attempt(session);
  }
}

void gg__upstream_connect(struct gg_session *session)
{
  struct gg_worker *worker = session->worker;
  struct gg_end *server = &session->end[GG_FROM_SERVER];
  session->state = GG_STATE_CONNECTING;
  const struct gg_upstream_options *upstream = &session->listener->options->upstreams[0];
  session->upstream = upstream->endpoint.addr;
  session->upstream.family = (uint8_t)upstream->endpoint.family;
  if (upstream->resolved && !gg_name_current(upstream->resolved, &session->upstream)) {
    attempt_failed(session, GG_CLOSE_UNRESOLVED);
    return;
  }
  int domain = session->upstream.family == GG_FAMILY_IPV4   ? AF_INET
               : session->upstream.family == GG_FAMILY_IPV6 ? AF_INET6
                                                            : AF_UNIX;
  server->source.fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (server->source.fd < 0) {
    attempt_failed(session, close_reason(errno));
    return;
  }
  if (domain != AF_UNIX) {
    int on = 1;
    setsockopt(server->source.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server->source.fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  }
  server->finishing = domain == AF_UNIX; /* as for a client: a short read proves nothing */
  session->active_ns = gg_clock_mono_ns();
  gg_timer_start(&session->timer, &worker->connect_timers, worker->loop.now_ns);
  attempt(session);
}

void gg__upstream_ready(struct gg_session *session, uint32_t events)
{
  struct gg_end *server = &session->end[GG_FROM_SERVER];
  if (events & (EPOLLERR | EPOLLHUP)) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(server->source.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0 && error != ECONNRESET && error != EPIPE) {
      attempt_failed(session, close_reason(error));
      return;
    }
    /* It was connected, and is reset already. What it sent before is still there to be read. */
    server->dead = true;
    gg__session_relay(session);
    return;
  }
  if (events & EPOLLOUT)
    connected(session);
}

uint64_t gg__session_connect_expired(struct gg_timer *timer, uint64_t now_ns)
{
  struct gg_session *session = GG_CONTAINER(timer, struct gg_session, timer);
  uint64_t heard_ns = gg__session_heard_since(session, now_ns); /* before that it may well have answered */
  if (heard_ns + session->worker->connect_timers.duration_ns > now_ns)
    return heard_ns;
  attempt_failed(session, GG_CLOSE_CONNECT_TIMEOUT);
  return 0;
}
