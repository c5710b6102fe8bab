/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - where lines go: a file, a unix socket, syslog's socket.
 *
 *     queue ──► batch: whole lines ──► fd
 *               │ written │ line that is begun │ rest
 *               0      line_at       at     batch_bytes
 *
 * A line is written whole, at one place: when the file is another one, or the connection is lost, in the middle of a
 * line, that line is written again from its beginning at the new place. What a reader had not read of a connection that
 * it closed is gone with that connection; nobody is told how much that was.
 */
#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Once, until it works again. */
static void tell(struct sink *sink, const char *what, int number)
{
  char text[512], why[128];
  sink->next_ns = sink->host->mono_ns(sink->host) + RETRY_NS;
  if (sink->told)
    return;
  sink->told = true;
  snprintf(text, sizeof text, "cannot %s %.300s: %s", what, sink->path, strerror_r(number, why, sizeof why));
  sink->host->log(sink->host, GG_PLUGIN_WARNING, text);
}

static int connect_as(const struct sink *sink, int type)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, sink->path, strlen(sink->path)); /* its option has a bound */
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  int number = errno;
  close(fd);
  errno = number;
  return -1;
}

static int open_it(struct sink *sink)
{
  if (sink->kind == SINK_FILE)
    return open(sink->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
  sink->datagrams = sink->kind == SINK_SYSLOG; /* which kind it is, the path does not say */
  int fd = connect_as(sink, sink->datagrams ? SOCK_DGRAM : SOCK_STREAM);
  if (fd >= 0 || errno != EPROTOTYPE)
    return fd;
  sink->datagrams = !sink->datagrams;
  return connect_as(sink, sink->datagrams ? SOCK_DGRAM : SOCK_STREAM);
}

static void use(struct sink *sink, int fd)
{
  if (sink->fd >= 0)
    close(sink->fd);
  sink->fd = fd;
  sink->works = fd >= 0;
  sink->at = sink->line_at;
}

void sink_reopen(struct sink *sink)
{
  int fd = open_it(sink);
  if (fd < 0)
    tell(sink, sink->kind == SINK_FILE ? "open" : "connect to", errno);
  else
    sink->told = false;
  if (fd >= 0 || sink->kind != SINK_FILE) /* a file that cannot be opened anew is written on, wherever it is by now */
    use(sink, fd);
}

static bool was_moved(const struct sink *sink)
{
  struct stat here, there;
  if (sink->kind != SINK_FILE || fstat(sink->fd, &here) != 0)
    return false;
  return stat(sink->path, &there) != 0 ? errno == ENOENT : here.st_ino != there.st_ino || here.st_dev != there.st_dev;
}

/* A line of the batch at least. False: there is nothing to do. */
static bool fill(struct sink *sink, struct queue *queue)
{
  if (sink->at < sink->batch_bytes)
    return true;
  sink->at = sink->line_at = 0;
  sink->batch_bytes = queue_take(queue, &sink->batch);
  return sink->batch_bytes > 0;
}

static bool is_ready(struct sink *sink)
{
  bool early = sink->host->mono_ns(sink->host) < sink->next_ns;
  if (!early && (sink->fd < 0 || was_moved(sink)))
    sink_reopen(sink);
  return sink->fd >= 0;
}

/* Counts the lines that `bytes` more bytes have completed. */
static void advance(struct sink *sink, size_t bytes)
{
  const char *end = sink->batch + sink->at + bytes, *newline;
  while ((newline = memchr(sink->batch + sink->at, '\n', (size_t)(end - sink->batch) - sink->at)) != NULL) {
    sink->at = sink->line_at = (size_t)(newline - sink->batch) + 1;
    sink->written++;
  }
  sink->at = (size_t)(end - sink->batch);
}

/* A datagram is a line, without its newline. */
static ssize_t write_some(const struct sink *sink)
{
  const char *from = sink->batch + sink->at;
  size_t bytes = sink->batch_bytes - sink->at;
  if (sink->kind == SINK_FILE)
    return write(sink->fd, from, bytes);
  if (!sink->datagrams)
    return send(sink->fd, from, bytes, MSG_NOSIGNAL);
  bytes = (size_t)((const char *)memchr(from, '\n', bytes) - from);
  return send(sink->fd, from, bytes, MSG_NOSIGNAL) < 0 ? -1 : (ssize_t)bytes + 1;
}

/* A disk that became full in the middle of a line: what is there of it is taken back, unless somebody else has written
 * behind it (an instance of an earlier configuration does, while its last sessions end). */
static void take_back(struct sink *sink)
{
  struct stat status;
  off_t part = (off_t)(sink->at - sink->line_at), end = lseek(sink->fd, 0, SEEK_CUR);
  if (part > 0 && fstat(sink->fd, &status) == 0 && status.st_size == end && ftruncate(sink->fd, end - part) == 0)
    sink->at = sink->line_at;
}

void sink_run(struct sink *sink, struct queue *queue)
{
  while (fill(sink, queue) && is_ready(sink)) {
    ssize_t wrote = write_some(sink);
    if (wrote >= 0) {
      sink->told = false;
      advance(sink, (size_t)wrote);
      continue;
    }
    if (errno == EINTR)
      continue;
    if (errno == EAGAIN || errno == ENOBUFS)
      return;
    tell(sink, "write to", errno);
    if (sink->kind == SINK_FILE)
      take_back(sink);
    else
      use(sink, -1);
    return;
  }
}

void sink_finish(struct sink *sink, struct queue *queue)
{
  uint64_t until_ns = sink->host->mono_ns(sink->host) + FINISH_NS;
  sink->next_ns = 0;
  sink_run(sink, queue);
  while (sink->fd >= 0 && sink->kind != SINK_FILE && sink->at < sink->batch_bytes &&
         sink->host->mono_ns(sink->host) < until_ns) {
    poll(&(struct pollfd){.fd = sink->fd, .events = POLLOUT}, 1, (int)(TICK_NS / 1000000));
    sink_run(sink, queue);
  }
}

int sink_init(struct sink *sink, enum sink_kind kind, const char *path, const struct gg_host *host,
              struct gg_failure *failure)
{
  size_t bytes = strlen(host->state_dir) + 1 + strlen(path) + 1;
  *sink = (struct sink){.kind = kind, .host = host, .path = malloc(bytes), .fd = -1};
  if (!sink->path)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  bool here = kind == SINK_FILE && path[0] != '/';
  snprintf(sink->path, bytes, "%s%s%s", here ? host->state_dir : "", here ? "/" : "", path);
  int fd = open_it(sink), number = errno;
  if (fd < 0 && kind == SINK_FILE) {
    gg_plugin_fail(failure, GG_ERR_IO, "cannot open %.300s: %s", sink->path, strerror(number));
    free(sink->path);
    return GG_ERR_IO;
  }
  if (fd < 0)
    tell(sink, "connect to", number); /* it may come later */
  use(sink, fd);
  return 0;
}

void sink_fini(struct sink *sink)
{
  if (sink->fd >= 0)
    close(sink->fd);
  free(sink->path);
}
