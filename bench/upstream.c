/* SPDX-License-Identifier: Apache-2.0 */
/* The server behind the proxies: see load.h for what it answers. It is meant to cost as little as it can. */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BULK_WRITE_BYTES = 256 << 10, BULK_WRITES_PER_EVENT = 4 };

struct peer {
  int fd;
  size_t header_bytes;  /* of `request`, received so far */
  size_t message_bytes; /* REQUEST_ONCE, REQUEST_REPLY: of the message, received so far */
  uint64_t left;        /* REQUEST_BULK, REQUEST_REPLY: still to send */
  bool writing;         /* it waits for room in the socket, not for bytes */
  struct request request;
};

static uint8_t bulk_bytes[BULK_WRITE_BYTES];

static int listen_on(const char *place)
{
  struct sockaddr_storage address;
  socklen_t length = load_place(place, &address);
  int one = 1;
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    load_die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 4096) != 0)
    load_die("listen");
  return fd;
}

static void accept_all(int epoll, int listener)
{
  for (int i = 0; i < EVENTS_MAX; i++) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
        return;
      load_die("accept");
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
      load_die("memory");
    peer->fd = fd;
    load_watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, peer);
  }
}

static void peer_close(struct peer *peer)
{
  close(peer->fd);
  free(peer);
}

static void send_small(const struct peer *peer, const uint8_t *data, size_t size)
{
  /* A client has at most one message under way, so the socket always has room; if not, the load is broken. */
  ssize_t sent = send(peer->fd, data, size, MSG_NOSIGNAL);
  if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
    return;
  if (sent != (ssize_t)size)
    load_die("an echo did not fit");
}

/* Sends what the client asked for, a bounded amount at a time, so that connections take turns. */
static bool serve_bulk(struct peer *peer)
{
  for (int i = 0; i < BULK_WRITES_PER_EVENT && peer->left > 0; i++) {
    size_t size = peer->left < sizeof bulk_bytes ? (size_t)peer->left : sizeof bulk_bytes;
    ssize_t sent = send(peer->fd, bulk_bytes, size, MSG_NOSIGNAL);
    if (sent < 0)
      return errno == EAGAIN || errno == EINTR;
    peer->left -= (uint64_t)sent;
  }
  return peer->left > 0;
}

static void watch_writing(int epoll, struct peer *peer, bool writing)
{
  if (peer->writing != writing)
    load_watch(epoll, EPOLL_CTL_MOD, peer->fd, writing ? EPOLLOUT : EPOLLIN, peer);
  peer->writing = writing;
}

/* REQUEST_REPLY: goes on with the reply under way; then the next message is waited for. */
static bool serve_reply(int epoll, struct peer *peer)
{
  while (peer->left > 0) {
    size_t size = peer->left < sizeof bulk_bytes ? (size_t)peer->left : sizeof bulk_bytes;
    ssize_t sent = send(peer->fd, bulk_bytes, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
      return false;
    if (sent < 0)
      break;
    peer->left -= (uint64_t)sent;
  }
  watch_writing(epoll, peer, peer->left > 0);
  return true;
}

static bool serve_writable(int epoll, struct peer *peer)
{
  return peer->request.kind == REQUEST_BULK ? serve_bulk(peer) : serve_reply(epoll, peer);
}

/* Returns false when the connection is over. */
static bool serve_readable(int epoll, struct peer *peer)
{
  uint8_t data[4096];
  if (peer->header_bytes < sizeof peer->request) {
    uint8_t *into = (uint8_t *)&peer->request + peer->header_bytes;
    ssize_t got = recv(peer->fd, into, sizeof peer->request - peer->header_bytes, 0);
    if (got <= 0)
      return got < 0 && errno == EAGAIN;
    peer->header_bytes += (size_t)got;
    if (peer->header_bytes == sizeof peer->request && peer->request.kind == REQUEST_BULK) {
      peer->left = peer->request.count;
      watch_writing(epoll, peer, true);
    }
    return true;
  }
  ssize_t got = recv(peer->fd, data, sizeof data, 0);
  if (got <= 0)
    return got < 0 && errno == EAGAIN;
  peer->message_bytes += (size_t)got;
  if (peer->request.kind == REQUEST_REPLY) {
    if (peer->message_bytes < MESSAGE_BYTES)
      return true;
    peer->message_bytes = 0;
    peer->left = peer->request.count;
    return serve_reply(epoll, peer);
  }
  send_small(peer, data, (size_t)got);
  return peer->request.kind != REQUEST_ONCE || peer->message_bytes < MESSAGE_BYTES;
}

_Noreturn void load_serve(const char *place)
{
  int listener = listen_on(place);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event events[EVENTS_MAX];
  memset(bulk_bytes, 'b', sizeof bulk_bytes);
  load_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR)
      load_die("epoll_wait");
    for (int i = 0; i < count; i++) {
      struct peer *peer = events[i].data.ptr;
      if (!peer)
        accept_all(epoll, listener);
      else if (!(peer->writing ? serve_writable(epoll, peer) : serve_readable(epoll, peer)))
        peer_close(peer);
    }
  }
}
