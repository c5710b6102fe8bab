/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, splice and tee; and the calls on descriptors of any kind. A pipe holds one run of one direction's stream. */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct pipe {
  unsigned ends;
  size_t room;
  const struct sim_conn *conn;
  unsigned direction;
  uint64_t from; /* offset in the stream */
  size_t bytes;
};

void sim_socket_consume(struct sim_socket *s, size_t bytes);
void sim_epoll_close(int fd);
ssize_t __real_read(int fd, void *data, size_t bytes);
ssize_t __real_write(int fd, const void *data, size_t bytes);
int __real_close(int fd);

static int failing(int error)
{
  errno = error;
  return -1;
}

int __wrap_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags)
{
  if (flags != (O_CLOEXEC | O_NONBLOCK))
    sim_fail("a pipe that blocks or is inherited");
  if (sim_chance(sim.config.faults.pipe))
    return failing(EMFILE);
  struct pipe *pipe = calloc(1, sizeof *pipe);
  if (!pipe)
    return failing(ENFILE);
  pipe->ends = 2;
  pipe->room = sim.config.pipe_bytes < 65536 ? sim.config.pipe_bytes : 65536;
  fds[0] = sim_fd_open(SIM_PIPE_READ, pipe);
  fds[1] = fds[0] < 0 ? -1 : sim_fd_open(SIM_PIPE_WRITE, pipe);
  if (fds[1] >= 0)
    return 0;
  if (fds[0] >= 0)
    sim_fd_close(fds[0]);
  free(pipe);
  return failing(EMFILE);
}

void sim_pipe_close(int fd)
{
  struct pipe *pipe = sim_fd_object(fd, sim_fd_kind(fd));
  sim_fd_close(fd);
  if (--pipe->ends == 0)
    free(pipe);
}

int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
  struct pipe *pipe = sim_fd_object(fd, SIM_PIPE_WRITE);
  if (command == F_GETPIPE_SZ)
    return (int)pipe->room;
  if (command != F_SETPIPE_SZ)
    sim_fail("fcntl %d", command);
  va_list arguments;
  va_start(arguments, command);
  int argument = va_arg(arguments, int);
  va_end(arguments);
  if (sim.config.pipe_bytes < (size_t)argument && sim_chance(2))
    return failing(EPERM);
  pipe->room = sim.config.pipe_bytes < (size_t)argument ? sim.config.pipe_bytes : (size_t)argument;
  return (int)pipe->room;
}

static void put(struct pipe *pipe, const struct sim_conn *conn, unsigned direction, uint64_t from, size_t bytes)
{
  if (pipe->bytes == 0) {
    pipe->conn = conn;
    pipe->direction = direction;
    pipe->from = from;
  } else if (pipe->conn != conn || pipe->direction != direction || pipe->from + pipe->bytes != from) {
    sim_fail("conn %u: its bytes follow another stream's in a pipe", conn->index);
  }
  pipe->bytes += bytes;
}

static ssize_t splice_in(struct sim_socket *s, struct pipe *pipe, size_t bytes)
{
  struct sim_way *in = &s->conn->way[s->side];
  if (bytes > pipe->room - pipe->bytes)
    bytes = pipe->room - pipe->bytes;
  if (bytes == 0)
    return failing(EAGAIN);
  if (in->urgent && in->urgent_at == in->read) /* as Linux has it: with a FIN behind, this looks like the end */
    return in->fin_written && !s->reset && !s->error ? 0 : failing(EAGAIN);
  ssize_t got = sim_socket_take(s, bytes);
  if (got <= 0)
    return got;
  if (in->urgent && in->urgent_at - in->read < (uint64_t)got)
    got = (ssize_t)(in->urgent_at - in->read);
  put(pipe, s->conn, s->side, in->read - in->header, (size_t)got);
  sim_socket_consume(s, (size_t)got);
  sim_trace("%u.%u spliced in %zd", s->conn->index, s->side, got);
  return got;
}

static ssize_t splice_out(struct pipe *pipe, struct sim_socket *s, size_t bytes)
{
  if (pipe->bytes == 0)
    return failing(EAGAIN);
  ssize_t got = sim_socket_give(s, bytes < pipe->bytes ? bytes : pipe->bytes);
  if (got <= 0)
    return got;
  uint64_t received, bytes_so = sim_untouched(s->conn, !s->side, s->conn->way[!s->side].taken, &received);
  if (pipe->conn != s->conn || pipe->direction == s->side || pipe->from != received || bytes_so < (uint64_t)got)
    sim_fail("conn %u: wrong bytes spliced to side %u", s->conn->index, s->side);
  sim_check_forward(s->conn, !s->side, (size_t)got);
  pipe->from += (size_t)got;
  pipe->bytes -= (size_t)got;
  sim_socket_given(s, (size_t)got);
  sim_trace("%u.%u spliced out %zd", s->conn->index, s->side, got);
  return got;
}

ssize_t __wrap_splice(int in, loff_t *in_at, int out, loff_t *out_at, size_t bytes, unsigned flags);
ssize_t __wrap_splice(int in, loff_t *in_at, int out, loff_t *out_at, size_t bytes, unsigned flags)
{
  (void)in_at;
  (void)out_at;
  if (!(flags & SPLICE_F_NONBLOCK))
    sim_fail("a splice that blocks");
  sim_meddle();
  if (sim_chance(sim.config.faults.interrupt))
    return failing(EINTR);
  if (sim_fd_kind(in) == SIM_SOCKET)
    return splice_in(sim_socket_of(in), sim_fd_object(out, SIM_PIPE_WRITE), bytes);
  return splice_out(sim_fd_object(in, SIM_PIPE_READ), sim_socket_of(out), bytes);
}

ssize_t __wrap_tee(int in, int out, size_t bytes, unsigned flags);
ssize_t __wrap_tee(int in, int out, size_t bytes, unsigned flags)
{
  (void)flags;
  if (sim_chance(sim.config.faults.interrupt))
    return failing(EINTR);
  struct pipe *from = sim_fd_object(in, SIM_PIPE_READ), *to = sim_fd_object(out, SIM_PIPE_WRITE);
  if (to->bytes > 0)
    sim_fail("conn %u: the tap is not empty", from->conn->index);
  if (bytes > from->bytes)
    bytes = from->bytes;
  if (bytes > to->room)
    bytes = to->room;
  if (bytes > 0 && sim_chance(sim.config.faults.tee))
    bytes = 1 + sim_below(bytes);
  if (bytes == 0)
    return failing(EAGAIN);
  put(to, from->conn, from->direction, from->from, bytes);
  return (ssize_t)bytes;
}

ssize_t sim_pipe_readv(int fd, const struct iovec *iov, int count)
{
  struct pipe *pipe = sim_fd_object(fd, SIM_PIPE_READ);
  if (sim_chance(sim.config.faults.interrupt))
    return failing(EINTR);
  size_t done = 0;
  for (int i = 0; i < count && pipe->bytes > 0; i++) {
    size_t part = iov[i].iov_len < pipe->bytes ? iov[i].iov_len : pipe->bytes;
    sim_fill(pipe->conn, pipe->direction, pipe->from, iov[i].iov_base, part);
    pipe->from += part;
    pipe->bytes -= part;
    done += part;
    if (sim_chance(sim.config.faults.shorter))
      break;
  }
  return done > 0 ? (ssize_t)done : failing(EAGAIN);
}

/* ── Any descriptor ──────────────────────────────────────────────────────────────────────────────────────────────── */

int __wrap_eventfd(unsigned initial, int flags);
int __wrap_eventfd(unsigned initial, int flags)
{
  (void)flags;
  uint64_t *count = calloc(1, sizeof *count);
  if (!count)
    return failing(ENOMEM);
  *count = initial;
  int fd = sim_fd_open(SIM_EVENTFD, count);
  if (fd < 0)
    free(count);
  return fd;
}

ssize_t __wrap_read(int fd, void *data, size_t bytes);
ssize_t __wrap_read(int fd, void *data, size_t bytes)
{
  if (fd < SIM_FD_BASE)
    return __real_read(fd, data, bytes);
  if (sim_fd_kind(fd) == SIM_PIPE_READ)
    return sim_pipe_readv(fd, &(struct iovec){data, bytes}, 1);
  uint64_t *count = sim_fd_object(fd, SIM_EVENTFD);
  if (*count == 0)
    return failing(EAGAIN);
  memcpy(data, count, sizeof *count);
  *count = 0;
  sim.progress++;
  return sizeof *count;
}

ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
  if (fd < SIM_FD_BASE)
    return __real_write(fd, data, bytes);
  uint64_t *count = sim_fd_object(fd, SIM_EVENTFD), more;
  memcpy(&more, data, sizeof more);
  *count += more;
  sim_wake(fd, EPOLLIN);
  return sizeof more;
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
  if (fd >= 0 && fd < SIM_FD_BASE)
    return __real_close(fd);
  switch (sim_fd_kind(fd)) {
  case SIM_SOCKET:
    sim_socket_close(fd);
    return 0;
  case SIM_LISTENER:
    sim_listener_close(fd);
    return 0;
  case SIM_EPOLL:
    sim_epoll_close(fd);
    return 0;
  case SIM_EVENTFD:
    free(sim_fd_object(fd, SIM_EVENTFD));
    sim_fd_close(fd);
    return 0;
  default:
    sim_pipe_close(fd);
    return 0;
  }
}
