/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every worker has a socket of its own for every TCP listener (SO_REUSEPORT: the kernel spreads the connections). With
 * that option a second process would silently share the port, so a bind without it comes first and finds a port in
 * use. Unix listeners are one descriptor that all workers watch with EPOLLEXCLUSIVE.
 *
 * Accepted sockets inherit TCP_NODELAY, SO_OOBINLINE and SO_KEEPALIVE from the listener: no system call per session.
 *
 * Listeners are watched in the read set of their policy, so a log without room stops accepts too. When descriptors,
 * memory or sessions are used up, the listener leaves the set and comes back from phase 3: no spinning.
 */
#include "base/logger.h"
#include "gateway/worker.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static int bind_failed(struct gg_failure *failure, const struct gg_endpoint *endpoint, int error)
{
  char text[400];
  gg_endpoint_format(endpoint, text, sizeof text);
  return gg_fail_errno(failure, error, "cannot listen on %s", text);
}

/* ── TCP ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int tcp_socket(const struct gg_endpoint *endpoint, bool share, int *out)
{
  struct sockaddr_storage address;
  socklen_t length = gg_addr_to_sockaddr(&endpoint->addr, &address);
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (share)
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.ss_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, length) != 0) {
    int error = errno;
    close(fd);
    return error;
  }
  *out = fd;
  return 0;
}

static int own_address(int fd, struct gg_addr *out)
{
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
    return errno;
  gg_addr_from_sockaddr(out, (struct sockaddr *)&address, length);
  return 0;
}

static bool is_wildcard(const struct gg_addr *addr)
{
  static const uint8_t zero[16];
  return memcmp(addr->ip, zero, sizeof zero) == 0;
}

/* Binds one listener for all workers. The probe also chooses the port where 0 was asked for. */
static int tcp_bind(struct gg_gateway *gateway, size_t index, struct gg_failure *failure)
{
  struct gg_endpoint *bound = &gateway->bound[index];
  *bound = gateway->options.listeners[index].listen;
  int probe;
  int error = tcp_socket(bound, false, &probe);
  if (error == EAFNOSUPPORT && is_wildcard(&bound->addr)) { /* no IPv6 here: ":port" means IPv4 */
    bound->addr = (struct gg_addr){.port = bound->addr.port, .family = GG_FAMILY_IPV4};
    bound->family = GG_FAMILY_IPV4;
    error = tcp_socket(bound, false, &probe);
  }
  if (error)
    return bind_failed(failure, bound, error);
  struct gg_addr address;
  error = listen(probe, 1) != 0 ? errno : 0; /* bind alone lets two sockets that do not listen share a port */
  if (!error)
    error = own_address(probe, &address);
  close(probe);
  if (error)
    return bind_failed(failure, bound, error);
  bool wildcard = is_wildcard(&bound->addr);
  bound->addr.port = bound->port = address.port;
  for (unsigned i = 0; i < gateway->worker_count; i++) {
    struct gg_listener *listener = &gateway->workers[i]->listeners[index];
    int fd;
    error = tcp_socket(bound, true, &fd);
    if (error)
      return bind_failed(failure, bound, error);
    listener->source.fd = fd;
    listener->address = bound->addr;
    listener->wildcard = wildcard;
    if (listen(fd, BACKLOG) != 0)
      return bind_failed(failure, bound, errno);
  }
  return GG_OK;
}

/* ── Unix ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A socket file that nobody answers on is left from an earlier process. */
static bool unix_is_stale(const struct sockaddr_un *address, socklen_t length)
{
  struct stat status;
  if (address->sun_path[0] == '\0' || lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
    return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  bool stale = connect(fd, (const struct sockaddr *)address, length) != 0 && errno == ECONNREFUSED;
  close(fd);
  return stale;
}

static int unix_bind(struct gg_gateway *gateway, size_t index, struct gg_failure *failure)
{
  const struct gg_listener_options *options = &gateway->options.listeners[index];
  gateway->bound[index] = options->listen;
  struct sockaddr_un address;
  socklen_t length = gg_endpoint_to_sockaddr_un(&options->listen, &address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return bind_failed(failure, &options->listen, errno);
  for (unsigned i = 0; i < gateway->worker_count; i++) {
    gateway->workers[i]->listeners[index].source.fd = fd;
    /* Recorded as 127.0.0.1; the path is among the facts. */
    gateway->workers[i]->listeners[index].address =
      (struct gg_addr){.ip = {127, 0, 0, 1}, .port = (uint16_t)(index + 1), .family = GG_FAMILY_IPV4};
  }
  if (unix_is_stale(&address, length))
    unlink(address.sun_path);
  if (bind(fd, (struct sockaddr *)&address, length) != 0) {
    int error = errno;
    close(fd);
    for (unsigned i = 0; i < gateway->worker_count; i++)
      gateway->workers[i]->listeners[index].source.fd = -1;
    return bind_failed(failure, &options->listen, error);
  }
  gateway->unix_fds[index] = fd; /* bound: closed and unlinked with the gateway */
  if (address.sun_path[0] != '\0' && options->unix_mode && chmod(address.sun_path, options->unix_mode) != 0)
    return bind_failed(failure, &options->listen, errno);
  if (listen(fd, BACKLOG) != 0)
    return bind_failed(failure, &options->listen, errno);
  return GG_OK;
}

static void listener_ready(struct gg_source *source, uint32_t events);

static int listener_watch(struct gg_listener *listener)
{
  uint32_t events = EPOLLIN;
  if (listener->options->listen.family == GG_FAMILY_UNIX)
    events |= EPOLLEXCLUSIVE;
  return gg_loop_watch_reads(&listener->worker->loop, listener->log->set, &listener->source, events);
}

int gg__listeners_bind(struct gg_gateway *gateway, struct gg_failure *failure)
{
  for (size_t index = 0; index < gateway->options.listener_count; index++) {
    bool is_unix = gateway->options.listeners[index].listen.family == GG_FAMILY_UNIX;
    int error = is_unix ? unix_bind(gateway, index, failure) : tcp_bind(gateway, index, failure);
    if (error)
      return error;
    for (unsigned i = 0; i < gateway->worker_count; i++) {
      struct gg_listener *listener = &gateway->workers[i]->listeners[index];
      listener->source.ready = listener_ready;
      error = listener_watch(listener);
      if (error)
        return gg_fail(failure, error, "cannot watch a listener");
    }
  }
  return GG_OK;
}

/* ── Accepting ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void pause_listener(struct gg_listener *listener, const char *reason)
{
  if (listener->paused)
    return;
  listener->paused = listener->worker->paused = true;
  gg_loop_ignore_reads(&listener->worker->loop, listener->log->set, &listener->source);
  gg__count(listener->worker, GG_COUNT_ACCEPT_PAUSES, 1);
  gg_warn(listener->worker->gateway->options.logger, "accepting pauses", GG_S("listener", listener->options->name),
          GG_S("reason", reason), GG_S("effect", "new clients wait until sessions end"));
  gg__worker_retry_soon(listener->worker);
}

/* Which limit is reached; NULL: none. */
static const char *limit_reached(const struct gg_listener *listener)
{
  const struct gg_gateway *gateway = listener->worker->gateway;
  if (atomic_load_explicit(&gateway->sessions, memory_order_relaxed) >= gateway->sessions_max)
    return gateway->sessions_max == gateway->options.sessions_max ? "sessions_max is reached"
                                                                  : "the limit on open files allows no more sessions";
  uint64_t most = listener->options->sessions_max;
  return most > 0 && atomic_load_explicit(listener->sessions, memory_order_relaxed) >= most
           ? "the listener's sessions_max is reached"
           : NULL;
}

/* Takes a session's place before it is accepted: other workers may be at the same limit now. NULL: taken. */
static const char *place_take(const struct gg_listener *listener)
{
  struct gg_gateway *gateway = listener->worker->gateway;
  uint64_t most = listener->options->sessions_max;
  uint64_t all = atomic_fetch_add_explicit(&gateway->sessions, 1, memory_order_relaxed);
  uint64_t own = atomic_fetch_add_explicit(listener->sessions, 1, memory_order_relaxed);
  if (all < gateway->sessions_max && (most == 0 || own < most))
    return NULL;
  const char *reached = limit_reached(listener);
  gg__listener_place_give(listener);
  return reached ? reached : "another worker was faster at the limit";
}

void gg__listener_place_give(const struct gg_listener *listener)
{
  atomic_fetch_sub_explicit(&listener->worker->gateway->sessions, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(listener->sessions, 1, memory_order_relaxed);
}

/* Accepts a batch; false when nobody is waiting or nobody can be taken. */
static bool accept_batch(struct gg_listener *listener)
{
  for (unsigned i = 0; i < GG_ACCEPT_BATCH; i++) {
    const char *reached = place_take(listener);
    if (reached) {
      pause_listener(listener, reached);
      return false;
    }
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int fd = accept4(listener->source.fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      gg__session_accept(listener, fd, &peer, length);
      continue;
    }
    gg__listener_place_give(listener);
    if (errno == EAGAIN)
      return false;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      pause_listener(listener, strerrordesc_np(errno));
      return false;
    }
    if (errno != ECONNABORTED && errno != EINTR) /* gone again before we came, or the network's own trouble */
      gg__count(listener->worker, GG_COUNT_ACCEPT_FAILURES, 1);
  }
  return true;
}

static void listener_ready(struct gg_source *source, uint32_t events)
{
  (void)events;
  accept_batch(GG_CONTAINER(source, struct gg_listener, source));
}

void gg__listeners_accept_rest(struct gg_worker *worker)
{
  for (size_t i = 0; i < worker->gateway->options.listener_count; i++) {
    struct gg_listener *listener = &worker->listeners[i];
    for (unsigned batch = 0; batch < BACKLOG / GG_ACCEPT_BATCH && !listener->paused && listener->source.fd >= 0;
         batch++)
      if (!accept_batch(listener))
        break;
  }
}

void gg__listeners_resume(struct gg_worker *worker)
{
  worker->paused = false;
  for (size_t i = 0; i < worker->gateway->options.listener_count; i++) {
    struct gg_listener *listener = &worker->listeners[i];
    if (!listener->paused || listener->source.fd < 0)
      continue;
    if (limit_reached(listener) || listener_watch(listener) != GG_OK) {
      worker->paused = true;
      gg__worker_retry_soon(worker);
      continue;
    }
    listener->paused = false;
    gg_info(worker->gateway->options.logger, "accepting again", GG_S("listener", listener->options->name));
  }
}

void gg__listeners_close(struct gg_worker *worker)
{
  for (size_t i = 0; i < worker->gateway->options.listener_count; i++) {
    struct gg_listener *listener = &worker->listeners[i];
    if (listener->source.fd < 0)
      continue;
    if (!listener->paused)
      gg_loop_ignore_reads(&worker->loop, listener->log->set, &listener->source);
    gg_source_forget(&listener->source);
    bool is_unix = listener->options->listen.family == GG_FAMILY_UNIX;
    if (!is_unix) /* a unix listener's one descriptor is the gateway's to close */
      close(listener->source.fd);
    listener->source.fd = -1;
  }
}
