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

enum { CALL_SECONDS = 5, REPLY_FIRST_BYTES = 16 * 1024 };

struct call {
  const char *dir;
  int fd;
  uint64_t until_ns;
  struct gg_failure *failure;
};

/* Connects by way of /proc, so that a store's path may be longer than a socket's address. */
static int connect_to(struct call *call)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int dir_fd = open(call->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd < 0)
    return gg_fail_errno(call->failure, errno, "cannot open the store %s", call->dir);
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", dir_fd);
  int result = connect(call->fd, (const struct sockaddr *)&address, sizeof address);
  int connect_errno = errno;
  close(dir_fd);
  if (result == 0)
    return 0;
  if (connect_errno == ENOENT || connect_errno == ECONNREFUSED)
    return gg_fail(call->failure, GG_ERR_NOT_FOUND, "no gateway runs on %s", call->dir);
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

/* Receives until a newline, which becomes the NUL. */
static int receive_line(struct call *call, char **out)
{
  size_t room = REPLY_FIRST_BYTES, length = 0;
  char *text = malloc(room);
  int error = text ? 0 : gg_fail(call->failure, GG_ERR_NOMEM, "out of memory for the gateway's reply");
  while (!error) {
    ssize_t got = recv(call->fd, text + length, room - length, MSG_DONTWAIT);
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
    } else {
      error = gg_fail_errno(call->failure, errno, "cannot hear the gateway on %s", call->dir);
    }
  }
  free(text);
  return error;
}

int gg_control_call(const char *dir, const char *request_json, char **reply_json, struct gg_failure *failure)
{
  *reply_json = NULL;
  if (strlen(request_json) >= GG_CONTROL_LINE_MAX || strchr(request_json, '\n'))
    return gg_fail(failure, GG_ERR_RANGE, "a request is one line of less than %d bytes", GG_CONTROL_LINE_MAX);
  struct call call = {.dir = dir, .failure = failure, .until_ns = gg_clock_mono_ns() + CALL_SECONDS * GG_NS_PER_S};
  call.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (call.fd < 0)
    return gg_fail_errno(failure, errno, "cannot make a socket");
  /* connect(2) waits this long for a place in a full backlog. */
  struct timeval bound = {.tv_sec = CALL_SECONDS};
  setsockopt(call.fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  int error = connect_to(&call);
  if (!error)
    error = send_all(&call, request_json, strlen(request_json));
  if (!error)
    error = send_all(&call, "\n", 1);
  if (!error)
    error = receive_line(&call, reply_json);
  close(call.fd);
  return error;
}
