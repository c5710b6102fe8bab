/* SPDX-License-Identifier: Apache-2.0 */
/* The wire of sockets, against peers of this very program. */
#include "base/clock.h"
#include "replay/sockets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 10, MANY = 300 };

static uint64_t soon(void)
{
  return gg_clock_mono_ns() + PATIENCE_S * GG_NS_PER_S;
}

/* One connection as its owner sees it. */
struct seen {
  struct gg_wire *wire;
  struct gg_line *line;
  unsigned events; /* all so far */
  unsigned calls;
  bool inside;         /* a call of the wire's is going on: no event may come */
  struct seen *closes; /* what its callback closes */
};

static void event(void *sink, unsigned events)
{
  struct seen *seen = sink;
  assert_false(seen->inside);
  assert_non_null(seen->line);
  seen->events |= events;
  seen->calls++;
  if (seen->closes && seen->closes->line) {
    seen->wire->ops->close(seen->closes->line, false);
    seen->closes->line = NULL;
  }
}

static int seen_connect(struct seen *seen, struct gg_wire *wire, struct gg_failure *failure)
{
  *seen = (struct seen){.wire = wire, .inside = true};
  int error = wire->ops->connect(wire, event, seen, &seen->line, failure);
  seen->inside = false;
  return error;
}

static void seen_close(struct seen *seen, bool reset)
{
  seen->wire->ops->close(seen->line, reset);
  seen->line = NULL;
}

static void wait_for(struct seen *seen, unsigned events)
{
  uint64_t deadline_ns = soon();
  while ((seen->events & events) != events && gg_clock_mono_ns() < deadline_ns)
    seen->wire->ops->wait(seen->wire, deadline_ns);
  assert_int_equal(seen->events & events, events);
}

/* Receives until there are `bytes`, or the end, or an error, which it returns. */
static ssize_t receive_all(struct seen *seen, uint8_t *data, size_t bytes)
{
  size_t had = 0;
  while (had < bytes) {
    ssize_t got = seen->wire->ops->receive(seen->line, data + had, bytes - had);
    if (got == GG_ERR_AGAIN) {
      seen->events &= ~(unsigned)GG_WIRE_READABLE;
      wait_for(seen, GG_WIRE_READABLE);
    } else if (got <= 0) {
      return had > 0 ? (ssize_t)had : got;
    } else {
      had += (size_t)got;
    }
  }
  return (ssize_t)had;
}

/* A peer that listens. */
struct server {
  int fd;
  struct gg_sockets_options options;
};

static bool server_open(struct server *server, const char *at)
{
  struct sockaddr_storage storage;
  socklen_t length;
  *server = (struct server){.fd = -1};
  if (gg_endpoint_parse(&server->options.to, at, true, NULL) != 0)
    fail();
  struct gg_endpoint *to = &server->options.to;
  if (to->family == GG_FAMILY_UNIX)
    length = gg_endpoint_to_sockaddr_un(to, (struct sockaddr_un *)&storage);
  else
    length = gg_addr_to_sockaddr(&to->addr, &storage);
  server->fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server->fd < 0 || bind(server->fd, (struct sockaddr *)&storage, length) != 0) {
    if (server->fd >= 0)
      close(server->fd);
    return false;
  }
  assert_int_equal(listen(server->fd, 1024), 0);
  length = sizeof storage;
  assert_int_equal(getsockname(server->fd, (struct sockaddr *)&storage, &length), 0);
  if (to->family != GG_FAMILY_UNIX)
    gg_addr_from_sockaddr(&to->addr, (struct sockaddr *)&storage, length);
  return true;
}

static int server_accept(const struct server *server)
{
  int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
  assert_true(fd >= 0);
  return fd;
}

static struct gg_wire *wire_to(const struct server *server)
{
  struct gg_wire *wire = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__sockets_create(&wire, &server->options, &failure) != 0)
    fail_msg("%s", failure.message);
  return wire;
}

/* A connection and its other end. */
static int pair(struct server *server, struct gg_wire **wire, struct seen *seen)
{
  if (server->fd < 0)
    assert_true(server_open(server, "127.0.0.1:0"));
  *wire = wire_to(server);
  assert_int_equal(seen_connect(seen, *wire, NULL), 0);
  wait_for(seen, GG_WIRE_CONNECTED);
  return server_accept(server);
}

static void pair_close(struct server *server, struct gg_wire *wire, int peer)
{
  if (peer >= 0)
    close(peer);
  gg__sockets_destroy(wire);
  close(server->fd);
}

static void write_all(int fd, const void *data, size_t size)
{
  assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* What is said both ways arrives, and each end's address is told. */
static void converse(const char *at)
{
  struct server server;
  struct gg_wire *wire;
  struct seen seen;
  uint8_t bytes[64];
  if (!server_open(&server, at)) {
    print_message("no %s on this host\n", at);
    skip();
  }
  int peer = pair(&server, &wire, &seen);
  assert_int_equal(seen.events & GG_WIRE_FAILED, 0);
  assert_int_equal(wire->ops->send(seen.line, (const uint8_t *)"GET ", 4, true), 4);
  assert_int_equal(wire->ops->send(seen.line, (const uint8_t *)"key\r\n", 5, false), 5);
  assert_int_equal(recv(peer, bytes, 9, MSG_WAITALL), 9);
  assert_memory_equal(bytes, "GET key\r\n", 9);
  write_all(peer, "+OK\r\n", 5);
  assert_int_equal(receive_all(&seen, bytes, 5), 5);
  assert_memory_equal(bytes, "+OK\r\n", 5);
  assert_int_equal(wire->ops->receive(seen.line, bytes, sizeof bytes), GG_ERR_AGAIN);
  struct gg_addr local, remote;
  wire->ops->ends(seen.line, &local, &remote);
  if (server.options.to.family == GG_FAMILY_UNIX) {
    assert_int_equal(local.family, GG_FAMILY_UNIX);
    assert_int_equal(remote.family, GG_FAMILY_UNIX);
  } else {
    struct sockaddr_storage storage;
    struct gg_addr other;
    socklen_t length = sizeof storage;
    assert_int_equal(getpeername(peer, (struct sockaddr *)&storage, &length), 0);
    gg_addr_from_sockaddr(&other, (struct sockaddr *)&storage, length);
    assert_true(gg_addr_equal(&local, &other));
    assert_true(gg_addr_equal(&remote, &server.options.to.addr));
  }
  pair_close(&server, wire, peer);
}

static void ipv4_is_spoken(void **state)
{
  (void)state;
  converse("127.0.0.1:0");
}

static void ipv6_is_spoken(void **state)
{
  (void)state;
  converse("[::1]:0");
}

static void unix_sockets_are_spoken(void **state)
{
  (void)state;
  char at[64];
  snprintf(at, sizeof at, "unix:@gogetway-test-%d", (int)getpid());
  converse(at);
}

static void a_refusal_is_told_by_the_next_wait(void **state)
{
  (void)state;
  char gone[64];
  snprintf(gone, sizeof gone, "unix:/tmp/gogetway-test-%d/nobody", (int)getpid());
  const char *const at[] = {"127.0.0.1:0", gone};
  for (unsigned i = 0; i < 2; i++) {
    struct server server = {.fd = -1};
    struct seen seen;
    if (i == 0) {
      assert_true(server_open(&server, at[i]));
      close(server.fd);
    } else {
      assert_int_equal(gg_endpoint_parse(&server.options.to, at[i], false, NULL), 0);
    }
    struct gg_wire *wire = wire_to(&server);
    assert_int_equal(seen_connect(&seen, wire, NULL), 0);
    wait_for(&seen, GG_WIRE_FAILED);
    assert_int_equal(seen.events, GG_WIRE_FAILED);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(wire->ops->error(seen.line), GG_ERR_REFUSED);
    wire->ops->wait(wire, gg_clock_mono_ns() + GG_NS_PER_MS); /* once, and never again */
    assert_int_equal(seen.calls, 1);
    seen_close(&seen, false);
    gg__sockets_destroy(wire);
  }
}

static void an_end_that_came_with_the_last_bytes_is_found(void **state)
{
  (void)state;
  struct server server = {.fd = -1};
  struct gg_wire *wire;
  struct seen seen;
  uint8_t bytes[64];
  int peer = pair(&server, &wire, &seen);
  write_all(peer, "bye", 3);
  close(peer);
  seen.events = 0; /* both are there before anybody looks: one event tells of them */
  wait_for(&seen, GG_WIRE_READABLE);
  ssize_t got = wire->ops->receive(seen.line, bytes, sizeof bytes);
  assert_int_equal(got, 3);
  seen.events = 0; /* a short read: the owner waits to hear more, and does */
  wait_for(&seen, GG_WIRE_READABLE);
  assert_int_equal(wire->ops->receive(seen.line, bytes, sizeof bytes), 0);
  assert_int_equal(wire->ops->receive(seen.line, bytes, sizeof bytes), 0);
  unsigned calls = seen.calls;
  wire->ops->wait(wire, gg_clock_mono_ns() + GG_NS_PER_MS);
  assert_int_equal(seen.calls, calls);
  pair_close(&server, wire, -1);
}

static void half_closes_go_both_ways(void **state)
{
  (void)state;
  struct server server = {.fd = -1};
  struct gg_wire *wire;
  struct seen seen;
  uint8_t bytes[64];
  int peer = pair(&server, &wire, &seen);
  assert_int_equal(wire->ops->send(seen.line, (const uint8_t *)"last", 4, false), 4);
  wire->ops->finish(seen.line);
  assert_int_equal(recv(peer, bytes, sizeof bytes, MSG_WAITALL), 4); /* the end cuts it short */
  write_all(peer, "reply", 5);
  assert_int_equal(receive_all(&seen, bytes, 5), 5);
  assert_int_equal(shutdown(peer, SHUT_WR), 0);
  assert_int_equal(receive_all(&seen, bytes, 1), 0);
  assert_int_equal(wire->ops->send(seen.line, (const uint8_t *)"x", 1, false), GG_ERR_CLOSED);
  assert_int_equal(receive_all(&seen, bytes, 1), 0); /* it is still an orderly end */
  pair_close(&server, wire, peer);
}

static void reset(int fd)
{
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static void a_reset_is_told_even_if_a_send_met_it_first(void **state)
{
  (void)state;
  for (unsigned send_first = 0; send_first < 2; send_first++) {
    struct server server = {.fd = -1};
    struct gg_wire *wire;
    struct seen seen;
    uint8_t bytes[64];
    int peer = pair(&server, &wire, &seen);
    write_all(peer, "part", 4);
    reset(peer);
    if (send_first)
      assert_int_equal(wire->ops->send(seen.line, (const uint8_t *)"x", 1, false), GG_ERR_CLOSED);
    assert_int_equal(receive_all(&seen, bytes, sizeof bytes), 4);
    assert_int_equal(receive_all(&seen, bytes, sizeof bytes), GG_ERR_CLOSED);
    assert_int_equal(wire->ops->receive(seen.line, bytes, sizeof bytes), GG_ERR_CLOSED);
    pair_close(&server, wire, -1);
  }
}

/* A server that takes the connection and throws it away before we have looked. */
/* The peer has ended, and takes no more: recv(2) alone would say "the end" for ever. */
static void a_reset_behind_an_end_is_told(void **state)
{
  (void)state;
  struct server server = {.fd = -1};
  struct gg_wire *wire;
  struct seen seen;
  uint8_t bytes[8];
  int peer = pair(&server, &wire, &seen);
  write_all(peer, "hi\n", 3);
  close(peer);
  assert_int_equal(receive_all(&seen, bytes, sizeof bytes), 3);
  assert_int_equal(receive_all(&seen, bytes, sizeof bytes), 0);
  assert_int_equal(wire->ops->receive(seen.line, bytes, sizeof bytes), 0); /* nothing was sent: no reset */
  seen.events = 0;
  assert_int_equal(wire->ops->send(seen.line, (const uint8_t *)"a line\n", 7, false), 7);
  wait_for(&seen, GG_WIRE_READABLE);
  assert_int_equal(wire->ops->receive(seen.line, bytes, sizeof bytes), GG_ERR_CLOSED);
  assert_int_equal(wire->ops->receive(seen.line, bytes, sizeof bytes), GG_ERR_CLOSED);
  assert_int_equal(wire->ops->send(seen.line, (const uint8_t *)"another\n", 8, false), GG_ERR_CLOSED);
  pair_close(&server, wire, -1);
}

static void a_reset_before_the_first_look_is_a_connection_and_its_reset(void **state)
{
  (void)state;
  struct server server;
  struct seen seen;
  uint8_t bytes[8];
  assert_true(server_open(&server, "127.0.0.1:0"));
  struct gg_wire *wire = wire_to(&server);
  assert_int_equal(seen_connect(&seen, wire, NULL), 0);
  reset(server_accept(&server));
  wait_for(&seen, GG_WIRE_CONNECTED | GG_WIRE_READABLE);
  assert_int_equal(seen.events & GG_WIRE_FAILED, 0);
  assert_int_equal(receive_all(&seen, bytes, sizeof bytes), GG_ERR_CLOSED);
  pair_close(&server, wire, -1);
}

static void closing_can_reset(void **state)
{
  (void)state;
  for (unsigned abrupt = 0; abrupt < 2; abrupt++) {
    struct server server = {.fd = -1};
    struct gg_wire *wire;
    struct seen seen;
    char byte;
    int peer = pair(&server, &wire, &seen);
    seen_close(&seen, abrupt);
    ssize_t got = recv(peer, &byte, 1, 0);
    if (abrupt) {
      assert_int_equal(got, -1);
      assert_int_equal(errno, ECONNRESET);
    } else {
      assert_int_equal(got, 0);
    }
    pair_close(&server, wire, peer);
  }
}

static void a_full_socket_says_when_it_takes_more(void **state)
{
  (void)state;
  struct server server = {.fd = -1};
  struct gg_wire *wire;
  struct seen seen;
  static uint8_t block[256 << 10];
  size_t sent = 0, taken = 0;
  int peer = pair(&server, &wire, &seen);
  ssize_t got;
  while ((got = wire->ops->send(seen.line, block, sizeof block, false)) > 0)
    sent += (size_t)got;
  assert_int_equal(got, GG_ERR_AGAIN);
  seen.events = 0;
  wire->ops->wait(wire, gg_clock_mono_ns() + GG_NS_PER_MS);
  assert_int_equal(seen.events & GG_WIRE_WRITABLE, 0);
  while (taken < sent) {
    got = recv(peer, block, sizeof block, 0);
    assert_true(got > 0);
    taken += (size_t)got;
  }
  wait_for(&seen, GG_WIRE_WRITABLE);
  assert_int_equal(wire->ops->send(seen.line, block, 1, false), 1);
  /* What arrives while the socket is not full is no news about sending. */
  seen.events = 0;
  write_all(peer, "x", 1);
  wait_for(&seen, GG_WIRE_READABLE);
  assert_int_equal(seen.events & GG_WIRE_WRITABLE, 0);
  pair_close(&server, wire, peer);
}

static void urgent_data_is_in_line(void **state)
{
  (void)state;
  struct server server = {.fd = -1};
  struct gg_wire *wire;
  struct seen seen;
  uint8_t bytes[64];
  int peer = pair(&server, &wire, &seen);
  write_all(peer, "abc", 3);
  assert_int_equal(send(peer, "!", 1, MSG_OOB), 1);
  write_all(peer, "def", 3);
  seen.events = 0;
  size_t had = 0;
  while (had < 7) { /* a short read of the wire's means that a further event will come */
    wait_for(&seen, GG_WIRE_READABLE);
    seen.events = 0;
    ssize_t got = wire->ops->receive(seen.line, bytes + had, sizeof bytes - had);
    assert_true(got > 0);
    had += (size_t)got;
  }
  assert_memory_equal(bytes, "abc!def", 7);
  pair_close(&server, wire, peer);
}

static void what_was_closed_in_a_wait_hears_nothing_more(void **state)
{
  (void)state;
  struct server server;
  struct seen seen[2];
  int peers[2];
  assert_true(server_open(&server, "127.0.0.1:0"));
  struct gg_wire *wire = wire_to(&server);
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(seen_connect(&seen[i], wire, NULL), 0);
    wait_for(&seen[i], GG_WIRE_CONNECTED);
    peers[i] = server_accept(&server);
  }
  for (unsigned i = 0; i < 2; i++) {
    seen[i].calls = 0;
    seen[i].closes = &seen[!i]; /* whichever comes first closes the other, whose event is fetched already */
    write_all(peers[i], "x", 1);
  }
  wire->ops->wait(wire, soon());
  assert_int_equal(seen[0].calls + seen[1].calls, 1);
  assert_int_equal((seen[0].line != NULL) + (seen[1].line != NULL), 1);
  wire->ops->wait(wire, gg_clock_mono_ns() + GG_NS_PER_MS);
  assert_int_equal(seen[0].calls + seen[1].calls, 1);
  close(peers[0]);
  pair_close(&server, wire, peers[1]);
}

static void source_addresses_are_taken_in_turn(void **state)
{
  (void)state;
  static struct seen seen[MANY];
  static struct gg_addr locals[MANY];
  struct server server;
  struct gg_network network;
  unsigned addresses = 0;
  assert_true(server_open(&server, "127.0.0.1:0"));
  assert_int_equal(gg_network_parse(&network, "127.0.0.0/24", NULL), 0);
  server.options.source = &network;
  struct gg_wire *wire = wire_to(&server);
  for (unsigned i = 0; i < MANY; i++)
    assert_int_equal(seen_connect(&seen[i], wire, NULL), 0);
  for (unsigned i = 0; i < MANY; i++) {
    struct gg_addr remote;
    wait_for(&seen[i], GG_WIRE_CONNECTED);
    wire->ops->ends(seen[i].line, &locals[i], &remote);
    assert_true(gg_network_contains(&network, &locals[i]));
    assert_true(locals[i].ip[3] != 0 && locals[i].ip[3] != 255 && locals[i].port != 0);
    bool seen_before = false;
    for (unsigned j = 0; j < i; j++) {
      assert_false(gg_addr_equal(&locals[i], &locals[j]));
      seen_before |= memcmp(locals[i].ip, locals[j].ip, 4) == 0;
    }
    addresses += !seen_before;
  }
  assert_int_equal(addresses, 254);
  gg__sockets_destroy(wire); /* closes what is open */
  close(server.fd);
}

static void a_source_that_does_not_fit_is_refused(void **state)
{
  (void)state;
  struct server server;
  struct gg_network network;
  struct gg_wire *wire;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_true(server_open(&server, "127.0.0.1:0"));
  server.options.source = &network;
  assert_int_equal(gg_network_parse(&network, "::1", NULL), 0);
  assert_int_equal(gg__sockets_create(&wire, &server.options, &failure), GG_ERR_INVALID);
  assert_non_null(strstr(failure.message, "IPv6"));
  failure.code = 0;
  assert_int_equal(gg_network_parse(&network, "192.0.2.0/24", NULL), 0); /* nobody's, by RFC 5737 */
  assert_true(gg__sockets_create(&wire, &server.options, &failure) < 0);
  assert_non_null(strstr(failure.message, "192.0.2.1"));
  assert_int_equal(gg_network_parse(&network, "127.0.0.9", NULL), 0); /* one address is a network, too */
  assert_int_equal(gg__sockets_create(&wire, &server.options, NULL), 0);
  gg__sockets_destroy(wire);
  close(server.fd);
}

static void without_descriptors_it_is_a_limit_that_passes(void **state)
{
  (void)state;
  struct server server = {.fd = -1};
  struct gg_wire *wire;
  struct seen first, second;
  struct rlimit before, now;
  struct gg_failure failure = GG_FAILURE_INIT;
  int peer = pair(&server, &wire, &first);
  int next = dup(server.fd); /* the lowest that is free */
  assert_true(next > 0);
  close(next);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  now = before;
  now.rlim_cur = (rlim_t)next;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
  int error = seen_connect(&second, wire, &failure);
  uint32_t room = gg__sockets_room();
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_int_equal(error, GG_ERR_LIMIT);
  assert_true(strlen(failure.message) > 0);
  assert_int_equal(room, 0);
  assert_int_equal(seen_connect(&second, wire, &failure), 0);
  wait_for(&second, GG_WIRE_CONNECTED);
  pair_close(&server, wire, peer);
}

static void room_is_what_the_limit_leaves(void **state)
{
  (void)state;
  struct rlimit before, now;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  now = before;
  now.rlim_cur = 200;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
  uint32_t room = gg__sockets_room();
  int further = dup(0);
  uint32_t less = gg__sockets_room();
  close(further);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_true(room > 0 && room < 200);
  assert_int_equal(less, room - 1);
}

struct interrupter {
  struct gg_wire *wire;
  uint64_t at_ns;
};

static void *interrupts(void *argument)
{
  const struct interrupter *interrupter = argument;
  struct timespec at = {.tv_sec = (time_t)(interrupter->at_ns / GG_NS_PER_S),
                        .tv_nsec = (long)(interrupter->at_ns % GG_NS_PER_S)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
  interrupter->wire->ops->interrupt(interrupter->wire);
  return NULL;
}

static void another_thread_interrupts_a_wait(void **state)
{
  (void)state;
  struct server server;
  pthread_t thread;
  assert_true(server_open(&server, "127.0.0.1:0"));
  struct gg_wire *wire = wire_to(&server);
  struct interrupter interrupter = {wire, gg_clock_mono_ns() + 20 * GG_NS_PER_MS};
  assert_int_equal(pthread_create(&thread, NULL, interrupts, &interrupter), 0);
  wire->ops->wait(wire, UINT64_MAX);
  assert_true(gg_clock_mono_ns() >= interrupter.at_ns);
  pthread_join(thread, NULL);
  /* One that came before the wait ends it as well: nothing is lost between looking and waiting. */
  wire->ops->interrupt(wire);
  wire->ops->wait(wire, UINT64_MAX);
  gg__sockets_destroy(wire);
  close(server.fd);
}

static void a_wait_ends_at_its_deadline_and_not_before(void **state)
{
  (void)state;
  struct server server;
  assert_true(server_open(&server, "127.0.0.1:0"));
  struct gg_wire *wire = wire_to(&server);
  for (unsigned i = 0; i < 20; i++) {
    uint64_t deadline_ns = gg_clock_mono_ns() + 200000 * i;
    wire->ops->wait(wire, deadline_ns);
    assert_true(wire->ops->now(wire) >= deadline_ns);
  }
  gg__sockets_destroy(wire);
  close(server.fd);
}

static void lines_are_used_again(void **state)
{
  (void)state;
  struct server server;
  struct seen seen;
  struct gg_line *first = NULL;
  assert_true(server_open(&server, "127.0.0.1:0"));
  struct gg_wire *wire = wire_to(&server);
  for (unsigned i = 0; i < 50; i++) {
    assert_int_equal(seen_connect(&seen, wire, NULL), 0);
    if (i == 0)
      first = seen.line;
    assert_ptr_equal(seen.line, first);
    wait_for(&seen, GG_WIRE_CONNECTED);
    close(server_accept(&server));
    seen_close(&seen, true);
  }
  gg__sockets_destroy(wire);
  gg__sockets_destroy(NULL);
  close(server.fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(ipv4_is_spoken),
    cmocka_unit_test(ipv6_is_spoken),
    cmocka_unit_test(unix_sockets_are_spoken),
    cmocka_unit_test(a_refusal_is_told_by_the_next_wait),
    cmocka_unit_test(an_end_that_came_with_the_last_bytes_is_found),
    cmocka_unit_test(half_closes_go_both_ways),
    cmocka_unit_test(a_reset_is_told_even_if_a_send_met_it_first),
    cmocka_unit_test(a_reset_behind_an_end_is_told),
    cmocka_unit_test(a_reset_before_the_first_look_is_a_connection_and_its_reset),
    cmocka_unit_test(closing_can_reset),
    cmocka_unit_test(a_full_socket_says_when_it_takes_more),
    cmocka_unit_test(urgent_data_is_in_line),
    cmocka_unit_test(what_was_closed_in_a_wait_hears_nothing_more),
    cmocka_unit_test(source_addresses_are_taken_in_turn),
    cmocka_unit_test(a_source_that_does_not_fit_is_refused),
    cmocka_unit_test(without_descriptors_it_is_a_limit_that_passes),
    cmocka_unit_test(room_is_what_the_limit_leaves),
    cmocka_unit_test(another_thread_interrupts_a_wait),
    cmocka_unit_test(a_wait_ends_at_its_deadline_and_not_before),
    cmocka_unit_test(lines_are_used_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
