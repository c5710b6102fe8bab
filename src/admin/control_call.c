/* SPDX-License-Identifier: Apache-2.0 */
/* control_call.c - the client's side of the control socket. */
#include <gogetway/control.h>

#include "admin/control.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { REPLY_FIRST_BYTES = 16 * 1024, FDS_OF_MESSAGE = 253 /* the kernel's SCM_MAX_FD */ };

struct call {
  const char *dir;
  const char *name; /* of the socket */
  int fd;
  uint64_t until_ns;
  struct gg_failure *failure;
  int *fds; /* what came with the reply */
  size_t fd_count, fds_most;
};

struct gg_control_peer {
  char *dir;
  int fd;
};

int gg__control_no_directory(int errno_value, const char *dir, struct gg_failure *failure)
{
  if (errno_value == ENOENT || errno_value == ENOTDIR)
    return gg_fail(failure, GG_ERR_NOT_FOUND, "no gateway runs on %s: there is no such directory", dir);
  return gg_fail_errno(failure, errno_value, "cannot open the store %s", dir);
}

/* Connects by way of /proc, so that a store's path may be longer than a socket's address. */
static int connect_to(struct call *call)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int dir_fd = open(call->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd < 0)
    return gg__control_no_directory(errno, call->dir, call->failure);
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir_fd, call->name);
  int result = connect(call->fd, (const struct sockaddr *)&address, sizeof address);
  int connect_errno = errno;
  close(dir_fd);
  if (result == 0)
    return 0;
  if (connect_errno == ENOENT)
    return gg_fail(call->failure, GG_ERR_NOT_FOUND, "no gateway runs on %s: there is no socket \"%s\" in it", call->dir,
                   call->name);
  if (connect_errno == ECONNREFUSED)
    return gg_fail(call->failure, GG_ERR_NOT_FOUND, "no gateway runs on %s: nobody listens at the socket \"%s\" in it",
                   call->dir, call->name);
  if (connect_errno == EAGAIN || connect_errno == EINPROGRESS)
    return gg_fail(call->failure, GG_ERR_TIMEOUT, "the gateway on %s does not answer", call->dir);
  return gg_fail_errno(call->failure, connect_errno, "cannot reach the gateway on %s", call->dir);
}

static int await(struct call *call, short events)
{
  for (;;) {
    uint64_t now = gg_clock_mono_ns();
    struct pollfd polled = {.fd = call->fd, .events = events};
    int ready = now < call->until_ns ? poll(&polled, 1, (int)((call->until_ns - now) / GG_NS_PER_MS) + 1) : 0;
    if (ready > 0)
      return 0;
    if (ready == 0)
      return gg_fail(call->failure, GG_ERR_TIMEOUT, "the gateway on %s does not answer", call->dir);
    if (errno != EINTR)
      return gg_fail_errno(call->failure, errno, "cannot wait for the gateway on %s", call->dir);
  }
}

static int closed(struct call *call)
{
  return gg_fail(call->failure, GG_ERR_CLOSED, "the gateway on %s ended before it answered", call->dir);
}

static int send_all(struct call *call, const char *bytes, size_t length)
{
  while (length > 0) {
    ssize_t sent = send(call->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes += sent;
      length -= (size_t)sent;
      continue;
    }
    if (errno != EAGAIN && errno != EINTR)
      return errno == EPIPE || errno == ECONNRESET
               ? closed(call)
               : gg_fail_errno(call->failure, errno, "cannot ask the gateway on %s", call->dir);
    int error = await(call, POLLOUT);
    if (error)
      return error;
  }
  return 0;
}

/* Keeps the descriptors of one message; false: they were too many, or were cut. Those that are kept are told. */
static bool keep_fds(struct call *call, struct msghdr *message)
{
  bool all = (message->msg_flags & MSG_CTRUNC) == 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
      continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      if (call->fd_count < call->fds_most) {
        call->fds[call->fd_count++] = fd;
      } else {
        close(fd);
        all = false;
      }
    }
  }
  return all;
}

/* As recv(2). Without a place for descriptors the kernel closes those that come. */
static ssize_t receive(struct call *call, char *bytes, size_t size)
{
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(FDS_OF_MESSAGE * sizeof(int))];
  } control;
  struct iovec place = {.iov_base = bytes, .iov_len = size};
  struct msghdr message = {.msg_iov = &place, .msg_iovlen = 1};
  if (call->fds_most > 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  ssize_t got = recvmsg(call->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got >= 0 && call->fds_most > 0 && !keep_fds(call, &message)) {
    errno = EMSGSIZE;
    return -1;
  }
  return got;
}

/* Receives until a newline, which becomes the NUL. */
static int receive_line(struct call *call, char **out)
{
  size_t room = REPLY_FIRST_BYTES, length = 0;
  char *text = malloc(room);
  int error = text ? 0 : gg_fail(call->failure, GG_ERR_NOMEM, "out of memory for the gateway's reply");
  while (!error) {
    ssize_t got = receive(call, text + length, room - length);
    if (got > 0) {
      char *newline = memchr(text + length, '\n', (size_t)got);
      length += (size_t)got;
      if (newline) {
        *newline = '\0';
        *out = text;
        return 0;
      }
      if (length < room)
        continue;
      char *larger = room < GG_CONTROL_REPLY_MAX ? realloc(text, room * 2) : NULL;
      if (!larger) {
        error = gg_fail(call->failure, GG_ERR_LIMIT, "the reply of the gateway on %s is too long", call->dir);
        break;
      }
      text = larger;
      room *= 2;
    } else if (got == 0 || errno == ECONNRESET) {
      error = closed(call);
    } else if (errno == EAGAIN || errno == EINTR) {
      error = await(call, POLLIN);
    } else if (errno == EMSGSIZE) {
      error =
        gg_fail(call->failure, GG_ERR_LIMIT, "the gateway on %s sent more descriptors than can be taken", call->dir);
    } else {
      error = gg_fail_errno(call->failure, errno, "cannot hear the gateway on %s", call->dir);
    }
  }
  free(text);
  return error;
}

static int check_request(const char *request, struct gg_failure *failure)
{
  if (strlen(request) >= GG_CONTROL_LINE_MAX || strchr(request, '\n'))
    return gg_fail(failure, GG_ERR_RANGE, "a request is one line of less than %d bytes", GG_CONTROL_LINE_MAX);
  return 0;
}

void gg_control_disconnect(struct gg_control_peer *peer)
{
  if (!peer)
    return;
  if (peer->fd >= 0)
    close(peer->fd);
  free(peer->dir);
  free(peer);
}

int gg__control_connect(struct gg_control_peer **out, const char *dir, const char *name, struct gg_failure *failure)
{
  struct gg_control_peer *peer = calloc(1, sizeof *peer);
  *out = NULL;
  if (!peer)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the control socket");
  peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  peer->dir = strdup(dir);
  int error = 0;
  if (!peer->dir)
    error = gg_fail(failure, GG_ERR_NOMEM, "out of memory for the control socket");
  else if (peer->fd < 0)
    error = gg_fail_errno(failure, errno, "cannot make a socket");
  if (!error) {
    /* connect(2) waits this long for a place in a full backlog. */
    struct timeval bound = {.tv_sec = GG_CONTROL_CALL_SECONDS};
    setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    struct call call = {.dir = dir, .name = name, .fd = peer->fd, .failure = failure};
    error = connect_to(&call);
  }
  if (error) {
    gg_control_disconnect(peer);
    return error;
  }
  *out = peer;
  return 0;
}

int gg_control_connect(struct gg_control_peer **out, const char *dir, struct gg_failure *failure)
{
  return gg__control_connect(out, dir, "control", failure);
}

pid_t gg_control_peer_pid(const struct gg_control_peer *peer)
{
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  return getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? credentials.pid : 0;
}

int gg_control_ask(struct gg_control_peer *peer, const char *request_json, uint64_t bound_ns, char **reply_json,
                   int *fds, size_t most, size_t *count, struct gg_failure *failure)
{
  struct call call = {.dir = peer->dir, .fd = peer->fd, .failure = failure, .fds = fds, .fds_most = most};
  *reply_json = NULL;
  call.until_ns = gg_clock_mono_ns() + bound_ns;
  int error = check_request(request_json, failure);
  if (!error)
    error = send_all(&call, request_json, strlen(request_json));
  if (!error)
    error = send_all(&call, "\n", 1);
  if (!error)
    error = receive_line(&call, reply_json);
  for (size_t i = 0; error && i < call.fd_count; i++)
    close(fds[i]);
  if (count)
    *count = error ? 0 : call.fd_count;
  return error;
}

int gg_control_hear(struct gg_control_peer *peer, uint64_t bound_ns, char **reply_json, struct gg_failure *failure)
{
  struct call call = {.dir = peer->dir, .fd = peer->fd, .failure = failure};
  *reply_json = NULL;
  call.until_ns = gg_clock_mono_ns() + bound_ns;
  return receive_line(&call, reply_json);
}

/* Asks once, and hangs up. */
static int ask_once(struct gg_control_peer *peer, const char *request_json, char **reply_json,
                    struct gg_failure *failure)
{
  int error =
    gg_control_ask(peer, request_json, GG_CONTROL_CALL_SECONDS * GG_NS_PER_S, reply_json, NULL, 0, NULL, failure);
  gg_control_disconnect(peer);
  return error;
}

int gg_control_call(const char *dir, const char *request_json, char **reply_json, struct gg_failure *failure)
{
  struct gg_control_peer *peer;
  *reply_json = NULL;
  int error = check_request(request_json, failure);
  if (!error)
    error = gg_control_connect(&peer, dir, failure);
  return error ? error : ask_once(peer, request_json, reply_json, failure);
}

/* One that was taken over from has a socket of its own name; the one that serves has the name of all. */
static int connect_pid(struct gg_control_peer **out, const char *dir, long pid, struct gg_failure *failure)
{
  char name[32];
  snprintf(name, sizeof name, "control.%ld", pid);
  struct gg_failure told = GG_FAILURE_INIT;
  int error = gg__control_connect(out, dir, name, &told);
  if (error != GG_ERR_NOT_FOUND)
    return error ? gg_fail(failure, error, "%s", told.message) : 0;
  error = gg_control_connect(out, dir, failure);
  if (error || gg_control_peer_pid(*out) == pid)
    return error;
  gg_control_disconnect(*out);
  return gg_fail(failure, GG_ERR_NOT_FOUND, "no gateway with process id %ld runs on %s", pid, dir);
}

int gg_control_call_pid(const char *dir, long pid, const char *request_json, char **reply_json,
                        struct gg_failure *failure)
{
  struct gg_control_peer *peer;
  *reply_json = NULL;
  int error = check_request(request_json, failure);
  if (!error)
    error = connect_pid(&peer, dir, pid, failure);
  return error ? error : ask_once(peer, request_json, reply_json, failure);
}
