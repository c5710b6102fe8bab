/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire over the kernel's sockets. A line is a non-blocking socket that is registered once, edge-triggered, for
 * everything:
 *
 *                connect(2)                      EPOLLOUT
 *   connect ────────┬────────────► CONNECTING ────────────► OPEN ──► READABLE, WRITABLE ... close
 *                   │ the target refuses │ EPOLLERR
 *                   │ at once            ▼
 *                   └──► (due) ───────► FAILED ──► close
 *
 * What the owner is promised, and how it is kept:
 *
 *   - Nothing is called back from inside connect, send or close. What is known there already (a unix path without a
 *     server, an end that a receive found behind bytes) is put on the list `due` and delivered by the next wait.
 *   - A receive that returns less than was asked for has emptied the socket, so a message costs one recv(2). The
 *     kernel does not promise as much: a read stops short at urgent data and, on unix sockets, behind a passed
 *     descriptor, and an end that was announced together with bytes is not announced again. Lines on which such a
 *     thing has been announced (`eager`; always on unix sockets) are read until the kernel says that there is nothing.
 *   - WRITABLE comes only after a send that did not take all: edge-triggered, every arrival would report it.
 *   - An error is reported by the kernel once, to whichever call comes first. Those that were taken by a send, or by
 *     the end of a connect, are kept in `broken`, so that a receive still tells a reset from an orderly end.
 *   - A line that is closed during a wait may still be named by events that were fetched: its memory is kept apart
 *     until the wait returns. Lines are used again, so a replay allocates as many as it has connections at once.
 *
 * A wait sleeps in epoll_wait(2), whose time-outs are milliseconds; what is left of the last one is slept in ppoll(2)
 * on the loop's descriptor. So what is due at a time is not up to a millisecond late, and a busy replay, which does not
 * sleep, makes no further system call for it. Rejected: a timerfd, which would cost one whenever the deadline moves.
 *
 * Thread: the replay's, but for interrupt.
 */
#include "replay/sockets.h"

#include "base/clock.h"
#include "base/list.h"
#include "net/loop.h"
#include "replay/source_pool.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS_KEPT = 64 }; /* for segments, rings, reports, the resolver: what is opened besides connections */

enum line_state { LINE_CONNECTING, LINE_OPEN, LINE_FAILED, LINE_CLOSED };

struct sockets {
  struct gg_wire wire;
  struct gg_loop loop;
  struct gg_wake wake;
  struct gg_addr remote; /* a unix target is only its family here */
  struct sockaddr_storage to;
  socklen_t to_length;
  struct gg_source_pool sources; /* empty: the system chooses */
  bool waiting;
  struct gg_list used;   /* lines: connecting, open, failed */
  struct gg_list closed; /* during this wait */
  struct gg_list unused; /* memory for the next ones */
  struct gg_list due;    /* lines with events that no descriptor will report */
};

struct gg_line {
  struct gg_source source;
  struct sockets *sockets;
  struct gg_list node; /* in used, closed or unused */
  struct gg_list due;  /* in the list of that name, or alone */
  unsigned due_events;
  gg_wire_fn event;
  void *sink;
  struct gg_addr local;
  int failed_errno; /* why there is no connection */
  enum line_state state;
  bool eager;  /* a short read proves nothing */
  bool full;   /* the last send was not taken whole */
  bool broken; /* reset, and the kernel will not say so again */
  bool ended;  /* the peer's end was found: FIN, or with `broken` a reset */
};

static struct sockets *sockets_of(struct gg_wire *wire)
{
  return GG_CONTAINER(wire, struct sockets, wire);
}

static bool is_unix(const struct sockets *sockets)
{
  return sockets->remote.family == GG_FAMILY_UNIX;
}

static int domain_of(const struct sockets *sockets)
{
  return sockets->remote.family == GG_FAMILY_IPV4   ? AF_INET
         : sockets->remote.family == GG_FAMILY_IPV6 ? AF_INET6
                                                    : AF_UNIX;
}

/* To be delivered by the next wait. */
static void line_due(struct gg_line *line, unsigned events)
{
  line->due_events |= events;
  if (gg_list_empty(&line->due))
    gg_list_append(&line->sockets->due, &line->due);
}

/* ── Connecting ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool for_want_of_memory(int error)
{
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Of a bind or connect: the local address has no port left. A unix server's full backlog is as passing a thing. */
static bool for_want_of_port(int error)
{
  return error == EADDRNOTAVAIL || error == EADDRINUSE || error == EAGAIN;
}

/* A descriptor that connects, or has failed to: then *refused is the errno that the target gave. If it got nowhere near
 * the target, minus an errno. */
static int dial(const struct sockets *sockets, const struct gg_addr *source, int *refused)
{
  int fd = socket(domain_of(sockets), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  if (!is_unix(sockets)) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  }
  *refused = 0;
  int error = source ? gg__source_bind(fd, source) : 0;
  if (error == 0) {
    int done;
    do
      done = connect(fd, (const struct sockaddr *)&sockets->to, sockets->to_length);
    while (done != 0 && errno == EINTR);
    if (done == 0 || errno == EINPROGRESS)
      return fd;
    error = errno;
    if (!for_want_of_memory(error) && !for_want_of_port(error)) {
      *refused = error;
      return fd;
    }
  }
  close(fd);
  return -error;
}

/* Dials from the source addresses in turn until one has a port. As `dial`. */
static int dial_from_sources(struct sockets *sockets, int *refused)
{
  int fd = -EADDRNOTAVAIL;
  for (unsigned tries = 0; tries < sockets->sources.count; tries++) {
    fd = dial(sockets, gg__source_pool_next(&sockets->sources), refused);
    if (fd >= 0 || !for_want_of_port(-fd))
      break;
  }
  return fd;
}

static int fail_to_dial(const struct sockets *sockets, int error, struct gg_failure *failure)
{
  if (for_want_of_memory(error))
    return gg_fail(failure, GG_ERR_LIMIT, "no socket for a further connection: %s", strerror(error));
  if (!for_want_of_port(error))
    return gg_fail_errno(failure, error, "no socket to connect with");
  if (is_unix(sockets))
    return gg_fail(failure, GG_ERR_LIMIT, "the unix server has as many connections waiting as it allows");
  return gg_fail(failure, GG_ERR_LIMIT, "no local port is free for a further connection");
}

static struct gg_line *line_take(struct sockets *sockets)
{
  struct gg_line *line;
  if (gg_list_empty(&sockets->unused)) {
    line = malloc(sizeof *line);
    if (!line)
      return NULL;
  } else {
    line = GG_CONTAINER(sockets->unused.next, struct gg_line, node);
    gg_list_remove(&line->node);
  }
  *line = (struct gg_line){.source.fd = -1, .sockets = sockets};
  gg_list_init(&line->due);
  gg_list_append(&sockets->used, &line->node);
  return line;
}

static void line_ready(struct gg_source *source, uint32_t events);

static int op_connect(struct gg_wire *wire, gg_wire_fn event, void *sink, struct gg_line **out,
                      struct gg_failure *failure)
{
  struct sockets *sockets = sockets_of(wire);
  int refused = 0;
  int fd = sockets->sources.count ? dial_from_sources(sockets, &refused) : dial(sockets, NULL, &refused);
  if (fd < 0)
    return fail_to_dial(sockets, -fd, failure);
  struct gg_line *line = line_take(sockets);
  if (!line) {
    close(fd);
    return gg_fail(failure, GG_ERR_LIMIT, "no memory for a further connection");
  }
  line->event = event;
  line->sink = sink;
  line->source = (struct gg_source){line_ready, fd};
  line->eager = is_unix(sockets);
  line->failed_errno = refused;
  uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  if (refused) {
    line->state = LINE_FAILED;
    line_due(line, GG_WIRE_FAILED);
  } else if (gg_loop_watch_reads(&sockets->loop, 0, &line->source, events) != GG_OK) {
    wire->ops->close(line, false);
    return gg_fail(failure, GG_ERR_LIMIT, "no memory to watch a further connection");
  }
  *out = line;
  return GG_OK;
}

static void line_failed(struct gg_line *line, int error)
{
  line->state = LINE_FAILED;
  line->failed_errno = error;
  line->event(line->sink, GG_WIRE_FAILED);
}

/* The first event of a line that connects: it is connected, or never will be. */
static void line_connected(struct gg_line *line, uint32_t events)
{
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  int error = 0;
  if (events & (EPOLLERR | EPOLLHUP)) {
    socklen_t size = sizeof error;
    getsockopt(line->source.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0 && error != ECONNRESET && error != EPIPE) {
      line_failed(line, error);
      return;
    }
    /* It was connected, and is reset already. What was sent before is still there to be read; EPIPE is a reset behind
     * the peer's orderly end, which reads as that end. */
    line->broken = error == ECONNRESET;
  } else if (!(events & EPOLLOUT)) {
    return;
  }
  if (getsockname(line->source.fd, (struct sockaddr *)&local, &length) == 0)
    gg_addr_from_sockaddr(&line->local, (struct sockaddr *)&local, length);
  /* Where nobody listens on a port of the system's own choice, TCP may choose that very port and meet itself. */
  if (!is_unix(line->sockets) && gg_addr_equal(&line->local, &line->sockets->remote)) {
    line_failed(line, ECONNREFUSED);
    return;
  }
  line->state = LINE_OPEN;
  unsigned told = GG_WIRE_CONNECTED | GG_WIRE_WRITABLE;
  if (events & ~(uint32_t)EPOLLOUT)
    told |= GG_WIRE_READABLE;
  line->event(line->sink, told);
}

static void line_ready(struct gg_source *source, uint32_t events)
{
  struct gg_line *line = GG_CONTAINER(source, struct gg_line, source);
  const uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  if (events & (ends | EPOLLPRI))
    line->eager = true;
  if (line->state == LINE_CONNECTING) {
    line_connected(line, events);
    return;
  }
  if (line->state != LINE_OPEN)
    return;
  unsigned told = 0;
  if (events & (ends | EPOLLIN | EPOLLPRI))
    told |= GG_WIRE_READABLE;
  if (line->full && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
    line->full = false;
    told |= GG_WIRE_WRITABLE;
  }
  if (told)
    line->event(line->sink, told);
}

static void op_ends(struct gg_line *line, struct gg_addr *local, struct gg_addr *remote)
{
  *local = line->local;
  *remote = line->sockets->remote;
}

static int op_error(struct gg_line *line)
{
  int error = line->failed_errno;
  if (error == ECONNREFUSED || error == ENOENT) /* a unix path that is not there */
    return GG_ERR_REFUSED;
  if (error == ETIMEDOUT)
    return GG_ERR_TIMEOUT;
  return for_want_of_memory(error) || for_want_of_port(error) ? GG_ERR_LIMIT : GG_ERR_IO;
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static ssize_t op_send(struct gg_line *line, const uint8_t *data, size_t size, bool more)
{
  assert(line->state == LINE_OPEN && size > 0);
  ssize_t sent;
  do
    sent = send(line->source.fd, data, size, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) {
    line->full = (size_t)sent < size;
    return sent;
  }
  if (errno == EAGAIN) {
    line->full = true;
    return GG_ERR_AGAIN;
  }
  line->broken |= errno != EPIPE; /* EPIPE: behind our own end, or the peer's; a receive will still say which */
  return GG_ERR_CLOSED;
}

/* A reset behind the peer's orderly end is nothing that recv(2) would tell. */
static bool has_error(const struct gg_line *line)
{
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(line->source.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0;
}

static ssize_t op_receive(struct gg_line *line, uint8_t *data, size_t size)
{
  assert(line->state == LINE_OPEN && size > 0);
  size_t had = 0;
  if (line->ended && !line->broken)
    line->broken = has_error(line);
  while (had < size && !line->ended) {
    ssize_t got = recv(line->source.fd, data + had, size - had, 0);
    if (got > 0) {
      had += (size_t)got;
      if (!line->eager)
        return (ssize_t)had;
    } else if (got < 0 && errno == EAGAIN) {
      return had > 0 ? (ssize_t)had : GG_ERR_AGAIN;
    } else if (got == 0 || errno != EINTR) {
      line->ended = true;
      line->broken |= got < 0;
    }
  }
  if (had > 0) {
    if (line->ended) /* no event will tell of that end once more */
      line_due(line, GG_WIRE_READABLE);
    return (ssize_t)had;
  }
  line->due_events &= ~(unsigned)GG_WIRE_READABLE;
  return line->broken ? GG_ERR_CLOSED : 0;
}

static void op_finish(struct gg_line *line)
{
  assert(line->state == LINE_OPEN);
  shutdown(line->source.fd, SHUT_WR);
}

static void op_close(struct gg_line *line, bool reset)
{
  struct sockets *sockets = line->sockets;
  assert(line->state != LINE_CLOSED);
  if (reset && !is_unix(sockets)) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(line->source.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  gg_loop_ignore_reads(&sockets->loop, 0, &line->source);
  close(line->source.fd);
  line->source.fd = -1;
  gg_source_forget(&line->source);
  line->state = LINE_CLOSED;
  gg_list_remove(&line->due);
  gg_list_remove(&line->node);
  gg_list_append(sockets->waiting ? &sockets->closed : &sockets->unused, &line->node);
}

/* ── Waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What is put on the list meanwhile is for the next wait. Returns the number of calls. */
static unsigned deliver_due(struct sockets *sockets)
{
  struct gg_list now;
  unsigned calls = 0;
  gg_list_init(&now);
  gg_list_splice(&now, &sockets->due);
  while (!gg_list_empty(&now)) {
    struct gg_line *line = GG_CONTAINER(now.next, struct gg_line, due);
    unsigned events = line->due_events;
    gg_list_remove(&line->due);
    line->due_events = 0;
    if (events) { /* 0: the owner found out by itself */
      line->event(line->sink, events);
      calls++;
    }
  }
  return calls;
}

static void sleep_on(const struct gg_loop *loop, uint64_t span_ns)
{
  struct pollfd ready = {.fd = loop->sets[0].source.fd, .events = POLLIN};
  struct timespec span = {.tv_nsec = (long)span_ns};
  assert(span_ns < GG_NS_PER_S);
  ppoll(&ready, 1, &span, NULL); /* whatever it says, the loop is asked next */
}

static void poll_until(struct sockets *sockets, uint64_t deadline_ns)
{
  for (;;) { /* returns at the deadline at the latest; turns early only when a signal came */
    uint64_t until_ns = deadline_ns;
    bool last = false;
    if (deadline_ns != UINT64_MAX) {
      uint64_t now_ns = gg_clock_mono_ns();
      uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
      last = left_ns < GG_NS_PER_MS;
      if (last && left_ns > 0)
        sleep_on(&sockets->loop, left_ns);
      until_ns = last ? 0 : now_ns + left_ns / GG_NS_PER_MS * GG_NS_PER_MS;
    }
    if (gg_loop_poll(&sockets->loop, until_ns) > 0)
      return;
    if (last && gg_clock_mono_ns() >= deadline_ns)
      return;
  }
}

static void op_wait(struct gg_wire *wire, uint64_t deadline_ns)
{
  struct sockets *sockets = sockets_of(wire);
  assert(!sockets->waiting);
  sockets->waiting = true;
  bool delivered = deliver_due(sockets) > 0;
  poll_until(sockets, delivered ? 0 : deadline_ns);
  sockets->waiting = false;
  gg_list_splice(&sockets->unused, &sockets->closed);
}

static uint64_t op_now(struct gg_wire *wire)
{
  (void)wire;
  return gg_clock_mono_ns();
}

static void op_interrupt(struct gg_wire *wire)
{
  gg_wake_signal(&sockets_of(wire)->wake);
}

static void woken(void *context)
{
  (void)context; /* the poll has ended: that is all that was wanted */
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct gg_wire_ops ops = {
  .now = op_now,
  .connect = op_connect,
  .ends = op_ends,
  .error = op_error,
  .send = op_send,
  .receive = op_receive,
  .finish = op_finish,
  .close = op_close,
  .wait = op_wait,
  .interrupt = op_interrupt,
};

static int sockets_init(struct sockets *sockets, const struct gg_sockets_options *options, struct gg_failure *failure)
{
  const struct gg_endpoint *to = &options->to;
  sockets->wire.ops = &ops;
  sockets->loop.base.fd = sockets->wake.source.fd = -1;
  gg_list_init(&sockets->used);
  gg_list_init(&sockets->closed);
  gg_list_init(&sockets->unused);
  gg_list_init(&sockets->due);
  assert(to->family != GG_FAMILY_NONE);
  if (to->family == GG_FAMILY_UNIX) {
    sockets->remote.family = GG_FAMILY_UNIX;
    sockets->to_length = gg_endpoint_to_sockaddr_un(to, (struct sockaddr_un *)&sockets->to);
  } else {
    sockets->remote = to->addr;
    sockets->to_length = gg_addr_to_sockaddr(&to->addr, &sockets->to);
  }
  if (options->source) {
    if (options->source->base.family != sockets->remote.family)
      return gg_fail(failure, GG_ERR_INVALID, "the source network and the target must both be IPv4 or both IPv6");
    int error = gg__source_pool_init(&sockets->sources, options->source, failure);
    if (error)
      return error;
  }
  int error = gg_loop_init(&sockets->loop, 1);
  if (!error)
    error = gg_wake_init(&sockets->wake, &sockets->loop, woken, NULL);
  return error ? gg_fail(failure, error, "no event loop for the connections: %s", gg_error_text(error)) : GG_OK;
}

int gg__sockets_create(struct gg_wire **out, const struct gg_sockets_options *options, struct gg_failure *failure)
{
  struct sockets *sockets = calloc(1, sizeof *sockets);
  if (!sockets)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the connections");
  int error = sockets_init(sockets, options, failure);
  if (error) {
    gg__sockets_destroy(&sockets->wire);
    return error;
  }
  *out = &sockets->wire;
  return GG_OK;
}

static void free_all(struct gg_list *lines)
{
  while (!gg_list_empty(lines)) {
    struct gg_line *line = GG_CONTAINER(lines->next, struct gg_line, node);
    gg_list_remove(&line->node);
    free(line);
  }
}

void gg__sockets_destroy(struct gg_wire *wire)
{
  if (!wire)
    return;
  struct sockets *sockets = sockets_of(wire);
  assert(!sockets->waiting);
  while (!gg_list_empty(&sockets->used))
    op_close(GG_CONTAINER(sockets->used.next, struct gg_line, node), false);
  free_all(&sockets->unused);
  gg_wake_fini(&sockets->wake);
  gg_loop_fini(&sockets->loop);
  gg__source_pool_fini(&sockets->sources);
  free(sockets);
}

/* How many descriptors this process has open. Where /proc is not to be had: the lowest that is free, which is as many
 * if none below it was closed. */
static uint64_t descriptors_open(void)
{
  DIR *dir = opendir("/proc/self/fd");
  uint64_t count = 0;
  if (!dir) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
      close(fd);
    return fd >= 0 ? (uint64_t)fd : UINT64_MAX;
  }
  for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
    if (entry->d_name[0] != '.')
      count++;
  closedir(dir);
  return count - 1; /* the directory's own */
}

uint32_t gg__sockets_room(void)
{
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return 0;
  uint64_t open = descriptors_open();
  if (open > limit.rlim_cur || limit.rlim_cur - open <= DESCRIPTORS_KEPT)
    return 0;
  uint64_t room = limit.rlim_cur - open - DESCRIPTORS_KEPT;
  return room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
}
