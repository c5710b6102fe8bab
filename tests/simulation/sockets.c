/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream sockets as the gateway sees them. TCP as Linux does it: what is queued is read before an error is told, an
 * error is told once, a reset makes sends fail, recv stops short at the urgent byte, a send that meets a full buffer is
 * woken when a third of it is free. Unix sockets may also read short with more to come (a message with descriptors).
 */
#include "sim.h"

#include "gateway/live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

struct listener {
  struct sockaddr_storage address;
  socklen_t length;
  struct sim_conn *queue[SIM_FDS];
  unsigned count;
};

static int failing(int error)
{
  errno = error;
  return -1;
}

static struct sim_way *way_in(const struct sim_socket *s)
{
  return &s->conn->way[s->side];
}

static struct sim_way *way_out(const struct sim_socket *s)
{
  return &s->conn->way[!s->side];
}

struct sim_socket *sim_socket_of(int fd)
{
  struct sim_socket *s = sim_fd_object(fd, SIM_SOCKET);
  if (!s->conn)
    sim_fail("descriptor %d is no connection", fd);
  return s;
}

/* ── Readiness ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t used(const struct sim_socket *s)
{
  return (size_t)(way_out(s)->taken - way_out(s)->delivered);
}

size_t sim_socket_free(const struct sim_socket *s)
{
  return used(s) < s->room ? s->room - used(s) : 0;
}

uint32_t sim_socket_poll(struct sim_socket *s)
{
  if (!s->conn || (s->connecting && !s->reset))
    return 0;
  const struct sim_way *in = way_in(s);
  uint32_t mask = 0;
  if (s->error)
    mask |= EPOLLERR;
  if (s->reset || (s->shut && in->fin_written))
    mask |= EPOLLHUP;
  if (s->reset || in->fin_written)
    mask |= EPOLLIN | EPOLLRDHUP;
  if (in->written > in->read)
    mask |= EPOLLIN;
  if (in->urgent)
    mask |= EPOLLPRI;
  if (s->shut || s->reset || used(s) * 3 <= s->room * 2)
    mask |= EPOLLOUT;
  else
    s->nospace = true;
  return mask;
}

uint32_t sim_listener_poll(void *object)
{
  return ((struct listener *)object)->count > 0 ? EPOLLIN : 0;
}

/* ── Receiving ───────────────────────────────────────────────────────────────────────────────────────────────────── */

ssize_t sim_socket_take(struct sim_socket *s, size_t want)
{
  struct sim_way *in = way_in(s);
  if (s->connecting && !s->reset)
    return failing(EAGAIN);
  size_t there = (size_t)(in->written - in->read);
  if (there == 0) {
    if (s->error) {
      int error = s->error;
      s->error = 0;
      return failing(error);
    }
    if (s->reset || in->fin_written) {
      if (!s->reset)
        in->fin_read = true;
      sim.progress++;
      return 0;
    }
    return failing(EAGAIN);
  }
  if (want <= s->peeked && want <= there)
    return (ssize_t)want;
  if (s->peeking && in->fin_written)
    return (ssize_t)(there < want ? there : want);
  if (sim_chance(sim.config.faults.again)) {
    sim_wake_later(s->fd, EPOLLIN);
    return failing(EAGAIN);
  }
  size_t bytes = there < want ? there : want;
  if (sim_chance(sim.config.faults.shorter)) {
    bytes = 1 + sim_below(bytes);
    if (!s->is_unix)
      sim_wake_later(s->fd, EPOLLIN);
  }
  return (ssize_t)bytes;
}

static uint8_t stream_byte_of_header(const struct sim_conn *conn, uint64_t at)
{
  return conn->header[at];
}

/* Gives the next `bytes` of the peer's stream. */
static void copy_out(struct sim_socket *s, const struct iovec *iov, size_t bytes, uint64_t from)
{
  const struct sim_way *in = way_in(s);
  for (size_t done = 0; done < bytes; iov++) {
    size_t part = iov->iov_len < bytes - done ? iov->iov_len : bytes - done;
    uint8_t *to = iov->iov_base;
    size_t i = 0;
    for (; i < part && from + done + i < in->header; i++)
      to[i] = stream_byte_of_header(s->conn, from + done + i);
    bool unheard = sim_is_replied(s->conn, s->side) && in->received >= s->conn->replied_at; /* it is no stream's */
    if (i < part && !unheard)
      sim_fill(s->conn, s->side, from + done + i - in->header, to + i, part - i);
    done += part;
  }
}

static void consume(struct sim_socket *s, size_t bytes)
{
  struct sim_way *in = way_in(s);
  uint64_t before = in->read > in->header ? in->read - in->header : 0;
  in->read += bytes;
  uint64_t after = in->read > in->header ? in->read - in->header : 0;
  in->received += after - before;
  if (in->urgent && in->read > in->urgent_at)
    in->urgent = false;
  sim.progress++;
  sim.bytes += bytes;
}

static ssize_t receive(int fd, const struct iovec *iov, int count, int flags)
{
  sim_meddle();
  struct sim_socket *s = sim_socket_of(fd);
  if (sim_chance(sim.config.faults.interrupt))
    return failing(EINTR);
  size_t want = 0;
  for (int i = 0; i < count; i++)
    want += iov[i].iov_len;
  s->peeking = flags & MSG_PEEK;
  ssize_t got = sim_socket_take(s, want);
  if (got <= 0)
    return got;
  struct sim_way *in = way_in(s);
  if (in->urgent && in->urgent_at > in->read && in->urgent_at - in->read < (uint64_t)got)
    got = (ssize_t)(in->urgent_at - in->read);
  copy_out(s, iov, (size_t)got, in->read);
  if (!(flags & MSG_PEEK))
    consume(s, (size_t)got);
  s->peeked = flags & MSG_PEEK ? (size_t)got : 0;
  sim_trace("%u.%u recv %zd", s->conn->index, s->side, got);
  return got;
}

ssize_t __wrap_recv(int fd, void *data, size_t bytes, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t bytes, int flags)
{
  return receive(fd, &(struct iovec){data, bytes}, 1, flags);
}

ssize_t __wrap_readv(int fd, const struct iovec *iov, int count);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int count)
{
  return sim_fd_kind(fd) == SIM_PIPE_READ ? sim_pipe_readv(fd, iov, count) : receive(fd, iov, count, 0);
}

/* For splice: the bytes leave the socket without being seen. */
void sim_socket_consume(struct sim_socket *s, size_t bytes);
void sim_socket_consume(struct sim_socket *s, size_t bytes)
{
  consume(s, bytes);
}

/* ── Sending ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

ssize_t sim_socket_give(struct sim_socket *s, size_t want)
{
  if (s->error) {
    int error = s->error;
    s->error = 0;
    return failing(error);
  }
  if (s->reset || s->shut)
    return failing(EPIPE);
  if (s->connecting)
    return failing(EAGAIN);
  size_t room = sim_socket_free(s);
  if (room > 0 && !s->conn->header_out_due &&
      sim_chance(sim.config.faults.again)) { /* no memory for buffers just now */
    sim_wake_later(s->fd, EPOLLOUT);
    room = 0;
  }
  if (room == 0) {
    s->nospace = true;
    return failing(EAGAIN);
  }
  size_t bytes = want < room ? want : room;
  if (sim_chance(sim.config.faults.shorter) && !s->conn->header_out_due) {
    bytes = 1 + sim_below(bytes);
    sim_wake_later(s->fd, EPOLLOUT);
  }
  if (bytes < want)
    s->nospace = true;
  return (ssize_t)bytes;
}

void sim_socket_given(struct sim_socket *s, size_t bytes)
{
  way_out(s)->taken += bytes;
  sim.progress++;
}

static ssize_t give_iov(int fd, const struct iovec *iov, size_t count)
{
  sim_meddle();
  struct sim_socket *s = sim_socket_of(fd);
  if (sim_chance(sim.config.faults.interrupt) && !s->conn->header_out_due)
    return failing(EINTR);
  size_t want = 0;
  for (size_t i = 0; i < count; i++)
    want += iov[i].iov_len;
  ssize_t put = sim_socket_give(s, want);
  sim_trace("%u.%u send %zu: %zd", s->conn->index, s->side, want, put);
  if (put <= 0)
    return put;
  if (s->conn->header_out_due && s->side == GG_FROM_SERVER) { /* a PROXY header, for the server alone */
    s->conn->header_out_due = false;
    return put;
  }
  sim_check_forward(s->conn, !s->side, (size_t)put);
  uint64_t at = sim_next_to_go(s->conn, !s->side);
  size_t left = (size_t)put;
  for (size_t i = 0; left > 0; i++) {
    size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
    if (!sim_same_sent(s->conn, !s->side, at, iov[i].iov_base, part))
      sim_fail("conn %u: wrong bytes sent to side %u at %llu", s->conn->index, s->side, (unsigned long long)at);
    at += part;
    left -= part;
  }
  sim_socket_given(s, (size_t)put);
  return put;
}

ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags)
{
  if (!(flags & MSG_NOSIGNAL))
    sim_fail("send without MSG_NOSIGNAL");
  return give_iov(fd, &(struct iovec){(void *)(uintptr_t)data, bytes}, 1);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
  if (!(flags & MSG_NOSIGNAL))
    sim_fail("sendmsg without MSG_NOSIGNAL");
  return give_iov(fd, message->msg_iov, message->msg_iovlen);
}

/* ── Ends ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int __wrap_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
  sim_meddle();
  if (sim_fd_kind(fd) == SIM_LISTENER)
    return how == SHUT_RD ? 0 : failing(EINVAL);
  struct sim_socket *s = sim_socket_of(fd);
  struct sim_conn *conn = s->conn;
  if (how != SHUT_WR)
    sim_fail("shutdown of the read side");
  if (s->reset)
    return failing(ENOTCONN);
  sim_trace("%u.%u shutdown", conn->index, s->side);
  bool parted = !conn->session || gg__lingers(conn->session); /* by a verdict: nobody's FIN is waited for */
  if (!way_out(s)->fin_read && !parted)
    sim_fail("conn %u: side %u was half-closed, but no FIN came from the other one", conn->index, s->side);
  uint64_t taken = way_out(s)->taken;
  if (parted ? taken < conn->owed[!s->side] : taken != sim_sent_length(conn, !s->side))
    sim_fail("conn %u: FIN passed on to side %u before all bytes", conn->index, s->side);
  s->shut = true;
  way_out(s)->fin_passed = true;
  if (conn->first_fin < 0)
    conn->first_fin = !s->side;
  sim.progress++;
  return 0;
}

void sim_socket_peer_reset(struct sim_socket *s)
{
  if (s->reset || s->closed)
    return;
  sim_trace("%u.%u reset by peer", s->conn->index, s->side);
  s->reset = true;
  s->error = way_in(s)->fin_written ? EPIPE : ECONNRESET;
  way_out(s)->delivered = way_out(s)->taken;
  sim_wake(s->fd, 0);
}

void sim_socket_close(int fd)
{
  struct sim_socket *s = sim_fd_object(fd, SIM_SOCKET);
  sim_fd_close(fd);
  sim.progress++;
  if (!s->conn) {
    free(s);
    return;
  }
  s->fd = -1;
  s->closed = true;
  s->aborted = s->linger || way_in(s)->read < way_in(s)->written;
  sim_trace("%u.%u close%s", s->conn->index, s->side, s->aborted ? " (RST)" : "");
  if (!s->aborted && s->connected)
    way_out(s)->fin_passed = true;
}

/* ── Making ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
  (void)protocol;
  if (!(type & SOCK_NONBLOCK) || !(type & SOCK_CLOEXEC))
    sim_fail("a socket that blocks or is inherited");
  struct sim_socket *s;
  if (sim.connecting) {
    s = &sim.connecting->socket[GG_FROM_SERVER];
    if (s->used && !s->closed)
      sim_fail("conn %u: a second socket beside the first", sim.connecting->index);
    size_t room = s->room;
    *s = (struct sim_socket){.conn = sim.connecting, .room = room, .fd = -1};
    s->conn->attempt++;
    s->conn->header_out_due = sim.config.listener[s->conn->listener].proxy_out != GG_PROXY_OFF;
    sim.connecting = NULL;
    s->is_unix = domain == AF_UNIX;
    s->side = GG_FROM_SERVER;
    s->used = true;
  } else if (!(s = calloc(1, sizeof *s))) {
    return failing(ENOMEM);
  }
  int fd = sim_fd_open(SIM_SOCKET, s);
  if (fd < 0 && !s->conn) {
    free(s);
    errno = EMFILE;
  }
  s = fd < 0 ? NULL : s;
  if (s)
    s->fd = fd;
  return fd;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
  struct sim_socket *s = sim_fd_object(fd, SIM_SOCKET);
  struct listener *listener = calloc(1, sizeof *listener);
  if (!listener)
    return failing(ENOMEM);
  memcpy(&listener->address, address, length);
  listener->length = length;
  free(s);
  sim_fd_change(fd, SIM_LISTENER, listener);
  return 0;
}

int __wrap_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog)
{
  (void)backlog;
  sim_fd_object(fd, SIM_LISTENER);
  return 0;
}

void sim_listener_close(int fd)
{
  struct listener *listener = sim_fd_object(fd, SIM_LISTENER);
  if (listener->count > 0 && sim.plane && sim.now_ns < sim.plane->drain_deadline_ns)
    sim_fail("a listener was closed with %u clients waiting", listener->count);
  for (unsigned i = 0; i < listener->count; i++) {
    listener->queue[i]->socket[GG_FROM_CLIENT].closed = true;
    listener->queue[i]->socket[GG_FROM_CLIENT].aborted = true;
  }
  sim_fd_close(fd);
  free(listener);
}

void sim_listener_push(struct sim_conn *conn)
{
  struct sim_socket *s = &conn->socket[GG_FROM_CLIENT];
  int fd = sim.plane ? sim_listener_fd(conn) : -1;
  if (fd < 0) {
    s->closed = s->aborted = true;
    return;
  }
  struct listener *listener = sim_fd_object(fd, SIM_LISTENER);
  if (listener->count == SIM_FDS)
    sim_fail("the backlog is full");
  listener->queue[listener->count++] = conn;
  sim_wake(fd, EPOLLIN);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
  sim_meddle();
  struct listener *listener = sim_fd_object(fd, SIM_LISTENER);
  if (flags != (SOCK_NONBLOCK | SOCK_CLOEXEC))
    sim_fail("accept4 of a socket that blocks or is inherited");
  if (sim_chance(sim.config.faults.interrupt))
    return failing(EINTR);
  if (listener->count == 0)
    return failing(EAGAIN);
  struct sim_conn *conn = listener->queue[0];
  struct sim_socket *s = &conn->socket[GG_FROM_CLIENT];
  int made = sim_fd_open(SIM_SOCKET, s);
  if (made < 0)
    return -1;
  memmove(listener->queue, listener->queue + 1, --listener->count * sizeof listener->queue[0]);
  s->fd = made;
  conn->accepted = true;
  struct sockaddr_storage peer = {.ss_family = AF_UNIX};
  socklen_t peer_length = sizeof(sa_family_t);
  if (conn->client.family != GG_FAMILY_UNIX)
    peer_length = gg_addr_to_sockaddr(&conn->client, &peer);
  memcpy(address, &peer, peer_length < *length ? peer_length : *length);
  *length = peer_length;
  sim_trace("%u accepted as %d", conn->index, made);
  sim.progress++;
  return made;
}

/* ── Connecting ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* An upstream was chosen: the next socket is for it. */
void __real_gg__route_choose(struct gg_session *session, const struct gg_route *route);
void __wrap_gg__route_choose(struct gg_session *session, const struct gg_route *route);
void __wrap_gg__route_choose(struct gg_session *session, const struct gg_route *route)
{
  if (session->member)
    sim.connecting = sim_socket_of(session->end[GG_FROM_CLIENT].source.fd)->conn;
  __real_gg__route_choose(session, route);
}

/* Each is up or down for a while, by the seed. */
bool sim_upstream_down(unsigned listener, unsigned upstream, enum sim_answer *answer)
{
  static const uint64_t while_ns = 150000000;
  uint64_t z = sim.seed * 0x9E3779B97F4A7C15u + sim.now_ns / while_ns * 0xBF58476D1CE4E5B9u + listener * 64 + upstream;
  z = (z ^ (z >> 30)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  static const enum sim_answer answers[] = {SIM_CONNECT_REFUSED_NOW, SIM_CONNECT_REFUSED, SIM_CONNECT_NEVER};
  *answer = answers[z >> 8 & 1 ? z >> 16 & 1 : 2];
  return z % 3 == 0;
}

static void listed_answer(struct sim_conn *conn, const struct sockaddr *address)
{
  unsigned upstream = ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port) - 80u;
  if (upstream >= SIM_UPSTREAMS)
    sim_fail("conn %u: connects to nobody's port", conn->index);
  if (!sim_upstream_down(conn->listener, upstream, &conn->answer))
    conn->answer = sim_chance(4) ? SIM_CONNECT_NOW : SIM_CONNECT_SOON;
  sim_trace("%u attempt %u: upstream %u answers %d", conn->index, conn->attempt, upstream, (int)conn->answer);
}

static void answered(void *argument, unsigned packed)
{
  struct sim_conn *conn = argument;
  struct sim_socket *s = &conn->socket[GG_FROM_SERVER];
  unsigned answer = packed & 0xff;
  if (s->closed || packed >> 8 != conn->attempt)
    return;
  if (answer == SIM_CONNECT_REFUSED) {
    s->reset = true;
    s->error = ECONNREFUSED;
    sim_wake(s->fd, 0);
    return;
  }
  s->connecting = false;
  s->connected = true;
  sim_peer_begin(conn, GG_FROM_SERVER);
  if (answer == SIM_CONNECT_RESET)
    sim_socket_peer_reset(s);
  else
    sim_wake(s->fd, 0);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
  (void)length;
  sim_meddle();
  struct sim_socket *s = sim_socket_of(fd);
  struct sim_conn *conn = s->conn;
  if (conn->listed)
    listed_answer(conn, address);
  if (sim_chance(sim.config.faults.interrupt) && s->is_unix)
    return failing(EINTR);
  sim.progress++;
  if (conn->answer == SIM_CONNECT_REFUSED_NOW)
    return failing(s->is_unix ? ENOENT : ECONNREFUSED);
  if (s->is_unix && conn->backlog_full > 0) {
    conn->backlog_full--;
    return failing(EAGAIN);
  }
  if (s->is_unix || conn->answer == SIM_CONNECT_NOW) {
    s->connected = true;
    sim_peer_begin(conn, GG_FROM_SERVER);
    return 0;
  }
  s->connecting = true;
  if (conn->answer != SIM_CONNECT_NEVER)
    sim_at(sim.now_ns + sim_size(50000000), answered, conn, conn->attempt << 8 | conn->answer);
  return failing(EINPROGRESS);
}

/* ── Options ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
  (void)length;
  if (level == SOL_SOCKET && name == SO_LINGER) {
    const struct linger *linger = value;
    sim_socket_of(fd)->linger = linger->l_onoff && linger->l_linger == 0;
  }
  return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
  if (sim_fd_kind(fd) == SIM_LISTENER) {
    const struct listener *listener = sim_fd_object(fd, SIM_LISTENER);
    struct tcp_info waiting = {.tcpi_unacked = listener->count, .tcpi_sacked = SIM_FDS};
    memcpy(value, &waiting, *length < sizeof waiting ? *length : sizeof waiting);
    return 0;
  }
  struct sim_socket *s = sim_socket_of(fd);
  if (level == SOL_SOCKET && name == SO_ERROR) {
    *(int *)value = s->error;
    s->error = 0;
    return 0;
  }
  if (level != IPPROTO_TCP || name != TCP_INFO || s->is_unix)
    return failing(EOPNOTSUPP);
  struct tcp_info info = {.tcpi_bytes_acked = way_out(s)->delivered + 1};
  memcpy(value, &info, *length < sizeof info ? *length : sizeof info);
  return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
  if (sim_fd_kind(fd) == SIM_SOCKET) {
    const struct sim_socket *s = sim_fd_object(fd, SIM_SOCKET);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(7000), .sin_addr = {htonl(0x0a090909)}};
    if (s->side == GG_FROM_SERVER) { /* of each attempt to connect another */
      own.sin_port = htons((uint16_t)(20000 + s->conn->attempt));
      own.sin_addr.s_addr = htonl(0x0a080000 + s->conn->index);
    }
    if (s->side == GG_FROM_SERVER && s->is_unix)
      own.sin_family = AF_UNIX;
    memcpy(address, &own, sizeof own);
    *length = sizeof own;
    return 0;
  }
  const struct listener *listener = sim_fd_object(fd, SIM_LISTENER);
  memcpy(address, &listener->address, listener->length);
  *length = listener->length;
  return 0;
}
