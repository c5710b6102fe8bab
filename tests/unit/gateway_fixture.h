/* SPDX-License-Identifier: Apache-2.0 */
/**
 * gateway_fixture.h - a gateway with real sockets: a store of its own, an upstream that gives back what it is sent, and
 * clients that ask one byte and want it back. Whoever is reset says so.
 */
#ifndef TEST_GATEWAY_FIXTURE_H
#define TEST_GATEWAY_FIXTURE_H

#include "base/clock.h"
#include "gateway/worker.h"
#include "metric_named.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIXTURE_LISTENERS = 4 };

/* ── The upstream ────────────────────────────────────────────────────────────────────────────────────────────────── */

struct echo {
  pthread_t thread;
  int listener;
  int set;
  int stop[2];
  struct gg_endpoint endpoint;
};

static inline void echo_event(struct echo *echo, int fd)
{
  char data[4096];
  if (fd == echo->listener) {
    int made = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = made};
    if (made >= 0)
      epoll_ctl(echo->set, EPOLL_CTL_ADD, made, &event);
    return;
  }
  ssize_t got = recv(fd, data, sizeof data, MSG_DONTWAIT);
  if (got > 0 && send(fd, data, (size_t)got, MSG_NOSIGNAL) == got)
    return;
  /* Closing it is not enough: a child of system(3) has it, too, until it executes something. */
  epoll_ctl(echo->set, EPOLL_CTL_DEL, fd, NULL);
  close(fd);
}

static inline void *echo_main(void *argument)
{
  struct echo *echo = argument;
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(echo->set, events, 64, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == echo->stop[0])
        return NULL;
      echo_event(echo, events[i].data.fd);
    }
  }
}

static inline struct gg_endpoint loopback(uint16_t port)
{
  return (struct gg_endpoint){
    .family = GG_FAMILY_IPV4, .port = port, .addr = {.ip = {127, 0, 0, 1}, .port = port, .family = GG_FAMILY_IPV4}};
}

/* A listening socket of 127.0.0.1 or ::1. */
static inline int listening(bool ipv6, bool share, uint16_t port, struct gg_endpoint *out)
{
  struct gg_endpoint wanted = loopback(port);
  if (ipv6)
    wanted = (struct gg_endpoint){
      .family = GG_FAMILY_IPV6, .port = port, .addr = {.ip = {[15] = 1}, .port = port, .family = GG_FAMILY_IPV6}};
  struct sockaddr_storage address;
  socklen_t length = gg_addr_to_sockaddr(&wanted.addr, &address);
  int on = 1, fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (share)
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
  assert_int_equal(listen(fd, 4096), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
  *out = wanted;
  gg_addr_from_sockaddr(&out->addr, (struct sockaddr *)&address, length);
  out->port = out->addr.port;
  return fd;
}

static inline void echo_begin(struct echo *echo)
{
  echo->listener = listening(false, false, 0, &echo->endpoint);
  echo->set = epoll_create1(EPOLL_CLOEXEC);
  assert_int_equal(pipe2(echo->stop, O_CLOEXEC), 0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = echo->listener};
  epoll_ctl(echo->set, EPOLL_CTL_ADD, echo->listener, &event);
  event.data.fd = echo->stop[0];
  epoll_ctl(echo->set, EPOLL_CTL_ADD, echo->stop[0], &event);
  assert_int_equal(pthread_create(&echo->thread, NULL, echo_main, echo), 0);
}

static inline void echo_end(struct echo *echo)
{
  assert_int_equal(write(echo->stop[1], "x", 1), 1);
  pthread_join(echo->thread, NULL);
  close(echo->stop[0]);
  close(echo->stop[1]);
  close(echo->listener);
  close(echo->set);
}

/* ── The gateway ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct fixture {
  char base[64];
  char dir[96];
  struct gg_recorder *recorder;
  struct gg_metrics *metrics;
  struct gg_plane *plane;
  struct echo *echo;
  struct gg_upstream_options upstream;
  struct gg_listener_options listeners[FIXTURE_LISTENERS];
  struct gg_plane_options options;
  struct gg_failure failure;
};

static inline struct gg_listener_options *add_listener(struct fixture *f, const char *name, struct gg_endpoint listen)
{
  struct gg_listener_options *listener = &f->listeners[f->options.listener_count++];
  *listener = (struct gg_listener_options){
    .name = name, .listen = listen, .upstreams = &f->upstream, .upstream_count = 1, .unix_mode = 0600};
  return listener;
}

static inline void fixture_init(struct fixture *f, struct echo *echo)
{
  memset(f, 0, sizeof *f);
  snprintf(f->base, sizeof f->base, "/dev/shm/gogetway-test-XXXXXX");
  assert_non_null(mkdtemp(f->base));
  snprintf(f->dir, sizeof f->dir, "%s/store", f->base);
  assert_int_equal(gg_metrics_create(&f->metrics), 0);
  struct gg_recorder_options options = GG_RECORDER_OPTIONS_INIT;
  struct gg_recovery recovery;
  options.dir = f->dir;
  options.ring_dir = f->base;
  options.ring_bytes = 256 << 10;
  options.log_max_bytes = 32 << 20;
  options.logs_max = 4;
  options.metrics = f->metrics;
  if (gg_recorder_open(&f->recorder, &options, &recovery, &f->failure) != 0)
    fail_msg("%s", f->failure.message);
  f->echo = echo;
  f->upstream = (struct gg_upstream_options){.name = "echo", .endpoint = echo->endpoint, .weight = 1};
  f->options = (struct gg_plane_options){.size = sizeof f->options,
                                         .workers = 2,
                                         .source_prefix6 = 64,
                                         .splice = GG_SPLICE_AUTO,
                                         .pending_max = 65536,
                                         .pending_total = 16 << 20,
                                         .connect_timeout_ns = 10 * GG_NS_PER_S,
                                         .proxy_header_timeout_ns = 10 * GG_NS_PER_S,
                                         .listeners = f->listeners,
                                         .recorder = f->recorder,
                                         .metrics = f->metrics};
}

static inline void fixture_create(struct fixture *f)
{
  if (gg_plane_create(&f->plane, &f->options, &f->failure) != 0)
    fail_msg("%s", f->failure.message);
}

static inline void fixture_start(struct fixture *f)
{
  fixture_create(f);
  if (gg_recorder_start(f->recorder, &f->failure) != 0 || gg_plane_start(f->plane, &f->failure) != 0)
    fail_msg("%s", f->failure.message);
}

static inline void reload(struct fixture *f)
{
  if (gg_plane_reload(f->plane, &f->options, &f->failure) != 0)
    fail_msg("%s", f->failure.message);
}

static inline void fixture_fini(struct fixture *f)
{
  if (gg_plane_running(f->plane))
    gg_plane_drain(f->plane, gg_clock_mono_ns() + 20 * GG_NS_PER_S);
  gg_plane_join(f->plane);
  if (gg_recorder_stop(f->recorder, gg_clock_mono_ns() + 20 * GG_NS_PER_S, &f->failure) != 0)
    fail_msg("%s", f->failure.message);
  gg_plane_destroy(f->plane);
  gg_recorder_destroy(f->recorder);
  gg_metrics_destroy(f->metrics);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", f->base);
  assert_int_equal(system(command), 0);
}

static inline struct gg_endpoint where(struct fixture *f, size_t index)
{
  struct gg_endpoint endpoint;
  assert_int_equal(gg_plane_listener_endpoint(f->plane, index, &endpoint), 0);
  return endpoint;
}

/* ── Clients ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A connected socket, or -1 and errno. */
static inline int dial(const struct gg_endpoint *to)
{
  struct sockaddr_storage address;
  socklen_t length = to->family == GG_FAMILY_UNIX
                       ? gg_endpoint_to_sockaddr_un(to, (struct sockaddr_un *)(void *)&address)
                       : gg_addr_to_sockaddr(&to->addr, &address);
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const struct timeval patience = {.tv_sec = 20};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&address, length) == 0)
    return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* 0, or why the byte did not come back; EPIPE: the connection was closed. */
static inline int ask(int fd)
{
  char byte = 'x';
  if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
    return errno;
  ssize_t got = recv(fd, &byte, 1, 0);
  return got == 1 ? 0 : got == 0 ? EPIPE : errno;
}

static inline int dial_and_ask(const struct gg_endpoint *to)
{
  int fd = dial(to);
  int error = fd < 0 ? errno : ask(fd);
  if (fd >= 0)
    close(fd);
  return error;
}

static inline uint64_t metric(const struct fixture *f, const char *name)
{
  struct gg_reading reading;
  if (!metric_named(f->metrics, name, &reading))
    fail_msg("no metric %s", name);
  return reading.value;
}

#endif
