/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway_fixture.h"

#include <poll.h>
#include <sys/stat.h>

enum { OPEN_MAX = 2000, WAITING = 200, RELOADS = 100, CALLERS = 4 };

static struct echo echo;

/* Whether the kernel refuses filters, as some do to whoever has no CAP_NET_ADMIN. */
static atomic_bool filters_refused;
static atomic_uint filters_wanted;

int __real_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
  if (level != SOL_SOCKET || name != SO_ATTACH_FILTER || !atomic_load(&filters_refused))
    return __real_setsockopt(fd, level, name, value, bytes);
  atomic_fetch_add(&filters_wanted, 1);
  errno = EPERM;
  return -1;
}

/* ── Clients that come all the time ──────────────────────────────────────────────────────────────────────────────── */

struct callers {
  struct gg_endpoint to;
  pthread_t threads[CALLERS];
  atomic_bool stop;
  atomic_uint served, refused, lost; /* refused: nobody listened */
  atomic_int why;
};

static void *call(void *argument)
{
  struct callers *callers = argument;
  while (!atomic_load(&callers->stop)) {
    int error = dial_and_ask(&callers->to);
    atomic_fetch_add(error == 0                                 ? &callers->served
                     : error == ECONNREFUSED || error == ENOENT ? &callers->refused
                                                                : &callers->lost,
                     1);
    if (error && error != ECONNREFUSED && error != ENOENT)
      atomic_store(&callers->why, error);
  }
  return NULL;
}

static void callers_begin(struct callers *callers, struct gg_endpoint to)
{
  memset(callers, 0, sizeof *callers);
  callers->to = to;
  for (unsigned i = 0; i < CALLERS; i++)
    assert_int_equal(pthread_create(&callers->threads[i], NULL, call, callers), 0);
}

static void callers_end(struct callers *callers)
{
  atomic_store(&callers->stop, true);
  for (unsigned i = 0; i < CALLERS; i++)
    pthread_join(callers->threads[i], NULL);
  if (atomic_load(&callers->lost) > 0)
    fail_msg("%u clients were lost: %s", atomic_load(&callers->lost), strerror(atomic_load(&callers->why)));
  assert_true(atomic_load(&callers->served) > 0);
}

/* ── Reloads ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What changes from one reload to the next; the first listener stays. */
static void change(struct fixture *f, unsigned number)
{
  f->options.listener_count = 1;
  f->listeners[0].record = number % 8 == 5 ? GG_RECORD_OFF : GG_RECORD_FULL;
  f->listeners[0].on_stall = (enum gg_policy)(number % 3);
  f->listeners[0].on_full = (enum gg_policy)(number / 3 % 2);
  f->listeners[0].sessions_max = number % 4 == 0 ? 0 : 1000000 + number;
  f->options.sessions_max = number % 5 == 0 ? 100000 + number : 0;
  f->options.idle_timeout_ns = number % 2 ? 0 : (60 + number) * GG_NS_PER_S;
  f->options.session_timeout_ns = number % 7 ? 0 : 1000 * GG_NS_PER_S;
  f->options.splice = (enum gg_splice_mode)(number % 3);
  f->options.pending_max = 4096u << (number % 5);
  if (number % 2)
    add_listener(f, "other", loopback(0));
  if (number % 3 == 0)
    add_listener(f, "third", loopback(0));
}

/* Each session has four descriptors here: the client's, two of the gateway, the upstream's. */
static unsigned open_most(void)
{
  struct rlimit limit;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  unsigned most = (unsigned)(limit.rlim_cur < 100000 ? limit.rlim_cur : 100000) / 5;
  return most > OPEN_MAX ? OPEN_MAX : most > 200 ? most - 100 : 100;
}

static void many_reloads_under_load(void **state)
{
  (void)state;
  struct fixture f;
  struct callers callers;
  int held[OPEN_MAX];
  unsigned open = open_most();
  fixture_init(&f, &echo);
  add_listener(&f, "web", loopback(0));
  fixture_start(&f);
  struct gg_endpoint web = where(&f, 0);
  for (unsigned i = 0; i < open; i++) {
    held[i] = dial(&web);
    assert_true(held[i] >= 0);
    assert_int_equal(ask(held[i]), 0);
  }
  callers_begin(&callers, web);
  for (unsigned i = 0; i < RELOADS; i++) {
    change(&f, i);
    reload(&f);
    struct gg_endpoint now = where(&f, 0);
    assert_true(gg_addr_equal(&now.addr, &web.addr));
    assert_int_equal(ask(held[i % open]), 0);
    for (size_t other = 1; other < f.options.listener_count; other++) {
      struct gg_endpoint endpoint = where(&f, other);
      assert_int_equal(dial_and_ask(&endpoint), 0);
    }
  }
  callers_end(&callers);
  assert_int_equal(atomic_load(&callers.refused), 0);
  for (unsigned i = 0; i < open; i++)
    assert_int_equal(ask(held[i]), 0);
  for (unsigned i = 0; i < open; i++)
    close(held[i]);
  fixture_fini(&f);
}

/* A listener that comes and goes while clients knock: who is let in is served, who is not is refused. */
static void come_and_go(struct gg_endpoint listen, unsigned times)
{
  struct fixture f;
  struct callers callers;
  fixture_init(&f, &echo);
  add_listener(&f, "stays", loopback(0));
  add_listener(&f, "comes", listen);
  fixture_start(&f);
  listen = where(&f, 1);
  f.listeners[1].listen = listen;
  reload(&f); /* the port that was found is asked for by its number from here on */
  callers_begin(&callers, listen);
  for (unsigned i = 0; i < times; i++) {
    while (atomic_load(&callers.served) < 50 * (i + 1) && atomic_load(&callers.lost) == 0)
      usleep(1000);
    f.options.listener_count = 1;
    reload(&f);
    if (i % 2) { /* long enough to be closed; else it is had again while it leaves */
      uint64_t until_ns = gg_clock_mono_ns() + 5 * GG_NS_PER_S;
      while (dial_and_ask(&listen) != (listen.family == GG_FAMILY_UNIX ? ENOENT : ECONNREFUSED))
        assert_true(gg_clock_mono_ns() < until_ns);
    }
    f.options.listener_count = 2;
    reload(&f);
  }
  callers_end(&callers);
  fixture_fini(&f);
}

static void a_tcp_listener_comes_and_goes(void **state)
{
  (void)state;
  come_and_go(loopback(0), 4);
}

static void an_ipv6_listener_comes_and_goes(void **state)
{
  (void)state;
  come_and_go((struct gg_endpoint){.family = GG_FAMILY_IPV6, .addr = {.ip = {[15] = 1}, .family = GG_FAMILY_IPV6}}, 2);
}

static void a_unix_listener_comes_and_goes(void **state)
{
  (void)state;
  struct gg_endpoint endpoint = {.family = GG_FAMILY_UNIX};
  snprintf(endpoint.path, sizeof endpoint.path, "/dev/shm/gogetway-test-%d.sock", (int)getpid());
  come_and_go(endpoint, 6);
}

/* Clients wait at a limit; their listener is removed; each is served when its turn comes. */
static void who_waits_is_served(void **state)
{
  (void)state;
  struct fixture f;
  int waiting[WAITING];
  fixture_init(&f, &echo);
  add_listener(&f, "stays", loopback(0));
  add_listener(&f, "full", loopback(0))->sessions_max = 5;
  fixture_start(&f);
  struct gg_endpoint full = where(&f, 1);
  for (unsigned i = 0; i < WAITING; i++) {
    waiting[i] = dial(&full);
    assert_true(waiting[i] >= 0);
    assert_int_equal(send(waiting[i], "x", 1, MSG_NOSIGNAL), 1);
  }
  f.options.listener_count = 1;
  reload(&f);
  unsigned served = 0;
  uint64_t until_ns = gg_clock_mono_ns() + 30 * GG_NS_PER_S;
  while (served < WAITING && gg_clock_mono_ns() < until_ns)
    for (unsigned i = 0; i < WAITING; i++) {
      char byte;
      if (waiting[i] < 0)
        continue;
      ssize_t got = recv(waiting[i], &byte, 1, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN)
        continue;
      if (got != 1)
        fail_msg("client %u: %s", i, got == 0 ? "closed" : strerror(errno));
      close(waiting[i]);
      waiting[i] = -1;
      served++;
    }
  assert_int_equal(served, WAITING);
  until_ns = gg_clock_mono_ns() + 5 * GG_NS_PER_S;
  while (dial_and_ask(&full) != ECONNREFUSED)
    assert_true(gg_clock_mono_ns() < until_ns);
  fixture_fini(&f);
}

/* A handshake ends while the listener leaves, and the listener comes back before that client is accepted: what it
 * inherited from the leaving socket is taken from it all the same. 255 hops are what gets in meanwhile. */
static void who_came_to_a_leaving_socket_is_heard_when_it_is_back(void **state)
{
  (void)state;
  const int far = 255, usual = 64;
  struct fixture f;
  fixture_init(&f, &echo);
  add_listener(&f, "stays", loopback(0));
  add_listener(&f, "full", loopback(0))->sessions_max = 1;
  fixture_start(&f);
  struct gg_endpoint full = where(&f, 1);
  f.listeners[1].listen = full;
  reload(&f); /* asked for by its number from here on */
  int first = dial(&full);
  assert_int_equal(ask(first), 0);
  f.options.listener_count = 1;
  reload(&f);
  struct sockaddr_storage address;
  socklen_t length = gg_addr_to_sockaddr(&full.addr, &address);
  const struct timeval patience = {.tv_sec = 5};
  int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  assert_int_equal(setsockopt(late, IPPROTO_IP, IP_TTL, &far, sizeof far), 0);
  assert_int_equal(connect(late, (struct sockaddr *)&address, length), 0);
  f.options.listener_count = 2;
  reload(&f);
  assert_int_equal(setsockopt(late, IPPROTO_IP, IP_TTL, &usual, sizeof usual), 0);
  close(first);
  assert_int_equal(ask(late), 0);
  close(late);
  fixture_fini(&f);
}

/* Those who are let in while the gateway drains are served as well. */
static void nobody_is_reset_by_a_drain(void **state)
{
  (void)state;
  for (unsigned round = 0; round < 2; round++) {
    struct fixture f;
    struct callers callers;
    fixture_init(&f, &echo);
    add_listener(&f, "web", loopback(0));
    fixture_start(&f);
    callers_begin(&callers, where(&f, 0));
    while (atomic_load(&callers.served) < 100 && atomic_load(&callers.lost) == 0)
      usleep(1000);
    gg_plane_drain(f.plane, gg_clock_mono_ns() + 20 * GG_NS_PER_S);
    gg_plane_join(f.plane);
    callers_end(&callers);
    fixture_fini(&f);
  }
}

static int refuse_filters(void **state)
{
  (void)state;
  atomic_store(&filters_wanted, 0);
  atomic_store(&filters_refused, true);
  return 0;
}

static int permit_filters(void **state)
{
  (void)state;
  atomic_store(&filters_refused, false);
  return atomic_load(&filters_wanted) > 0 ? 0 : -1;
}

static void what_cannot_be_had_changes_nothing(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_endpoint taken;
  char text[64];
  int fd = listening(false, false, 0, &taken);
  fixture_init(&f, &echo);
  add_listener(&f, "web", loopback(0));
  fixture_start(&f);
  struct gg_endpoint web = where(&f, 0);
  add_listener(&f, "fine", loopback(0));
  add_listener(&f, "taken", taken);
  gg_endpoint_format(&taken, text, sizeof text);
  assert_int_not_equal(gg_plane_reload(f.plane, &f.options, &f.failure), 0);
  assert_non_null(strstr(f.failure.message, text));
  struct gg_endpoint none;
  assert_int_equal(gg_plane_listener_endpoint(f.plane, 1, &none), GG_ERR_RANGE);
  assert_int_equal(dial_and_ask(&web), 0);
  close(fd);
  reload(&f);
  taken = where(&f, 2);
  assert_int_equal(dial_and_ask(&taken), 0);
  f.options.workers = 3;
  assert_int_equal(gg_plane_reload(f.plane, &f.options, &f.failure), GG_ERR_INVALID);
  f.options.workers = 2;
  f.listeners[1].listen = web; /* twice the same */
  assert_int_not_equal(gg_plane_reload(f.plane, &f.options, &f.failure), 0);
  gg_plane_drain(f.plane, gg_clock_mono_ns() + GG_NS_PER_S);
  assert_int_equal(gg_plane_reload(f.plane, &f.options, &f.failure), GG_ERR_INVALID);
  fixture_fini(&f);
}

/* What the caller keeps open is left out of what sessions may have. */
static void kept_descriptors_are_no_sessions(void **state)
{
  (void)state;
  struct fixture f;
  fixture_init(&f, &echo);
  add_listener(&f, "web", loopback(0));
  fixture_start(&f);
  uint64_t before = f.plane->snapshot->sessions_max;
  f.options.fds_kept = 100;
  reload(&f);
  assert_int_equal(f.plane->snapshot->sessions_max, before - 50); /* a session has two */
  fixture_fini(&f);
}

/* A session keeps what it began with; its time-outs are the new ones. */
static void sessions_keep_their_options(void **state)
{
  (void)state;
  static uint8_t hello[] = "hello", bye[] = "bye";
  struct fixture f;
  char text[16] = {0};
  fixture_init(&f, &echo);
  struct gg_listener_options *pot = add_listener(&f, "pot", loopback(0));
  pot->upstream_count = 0;
  pot->greeting = hello;
  pot->greeting_length = 5;
  fixture_start(&f);
  struct gg_endpoint at = where(&f, 0);
  int old = dial(&at);
  assert_int_equal(recv(old, text, 5, MSG_WAITALL), 5);
  assert_string_equal(text, "hello");
  pot->greeting = bye;
  pot->greeting_length = 3;
  reload(&f);
  memcpy(hello, "xxxxx", 5); /* nothing is borrowed any more */
  int young = dial(&at);
  memset(text, 0, sizeof text);
  assert_int_equal(recv(young, text, 3, MSG_WAITALL), 3);
  assert_string_equal(text, "bye");
  f.options.idle_timeout_ns = GG_NS_PER_S / 10;
  reload(&f);
  assert_true(recv(old, text, 1, 0) <= 0); /* within the patience of a client: both are silent for long enough */
  assert_true(recv(young, text, 1, 0) <= 0);
  uint64_t until_ns = gg_clock_mono_ns() + 5 * GG_NS_PER_S;
  while (metric(&f, "idle_timeouts") != 2) /* is counted behind the close */
    assert_true(gg_clock_mono_ns() < until_ns);
  close(old);
  close(young);
  fixture_fini(&f);
}

static void a_unix_mode_is_changed(void **state)
{
  (void)state;
  struct fixture f;
  struct stat status;
  struct gg_endpoint endpoint = {.family = GG_FAMILY_UNIX};
  fixture_init(&f, &echo);
  snprintf(endpoint.path, sizeof endpoint.path, "%s/sock", f.base);
  add_listener(&f, "web", endpoint);
  fixture_start(&f);
  assert_int_equal(stat(endpoint.path, &status), 0);
  assert_int_equal(status.st_mode & 0777, 0600);
  f.listeners[0].unix_mode = 0660;
  reload(&f);
  assert_int_equal(stat(endpoint.path, &status), 0);
  assert_int_equal(status.st_mode & 0777, 0660);
  assert_int_equal(dial_and_ask(&endpoint), 0);
  char path[sizeof endpoint.path];
  memcpy(path, endpoint.path, sizeof path);
  fixture_fini(&f);
  assert_int_equal(access(path, F_OK), -1);
}

/* ── Sockets of others ───────────────────────────────────────────────────────────────────────────────────────────── */

static void sockets_are_inherited(void **state)
{
  (void)state;
  enum { SOCKETS = 3 }; /* one of the two workers has two of them */
  struct fixture f;
  struct gg_endpoint at;
  int sockets[SOCKETS], waiting[60], fds[8];
  sockets[0] = listening(false, true, 0, &at);
  for (unsigned i = 1; i < SOCKETS; i++)
    sockets[i] = listening(false, true, at.port, &at);
  for (unsigned i = 0; i < 60; i++)
    waiting[i] = dial(&at);
  fixture_init(&f, &echo);
  struct gg_listener_options *web = add_listener(&f, "web", at);
  web->inherited = sockets;
  web->inherited_count = SOCKETS;
  fixture_start(&f);
  for (unsigned i = 0; i < SOCKETS; i++)
    close(sockets[i]); /* they are duplicated */
  for (unsigned i = 0; i < 60; i++) {
    assert_int_equal(ask(waiting[i]), 0);
    close(waiting[i]);
  }
  assert_int_equal(gg_plane_listener_fds(f.plane, 0, fds, 8), SOCKETS);
  assert_int_equal(gg_plane_listener_fds(f.plane, 1, fds, 8), 0);
  assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
  assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
  fixture_fini(&f);
}

/* The service manager's one socket, for all workers: it stays when we go. */
static void a_foreign_socket_is_only_let_go(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_endpoint at;
  int fd = listening(false, false, 0, &at);
  fixture_init(&f, &echo);
  struct gg_listener_options *web = add_listener(&f, "web", at);
  web->inherited = &fd;
  web->inherited_count = 1;
  web->inherited_foreign = 1;
  fixture_start(&f);
  for (unsigned i = 0; i < 20; i++)
    assert_int_equal(dial_and_ask(&at), 0);
  reload(&f); /* the same listener, though it says nothing of sockets any more */
  assert_int_equal(dial_and_ask(&at), 0);
  gg_plane_drain(f.plane, gg_clock_mono_ns() + GG_NS_PER_S);
  gg_plane_join(f.plane);
  int waits = dial(&at);
  assert_true(waits >= 0);
  close(waits);
  fixture_fini(&f);
  close(fd);
}

/* Two listeners, of which the second has another's socket and takes one session at a time. */
static void start_at_foreign(struct fixture *f, const int *fd, struct gg_endpoint at)
{
  fixture_init(f, &echo);
  add_listener(f, "stays", loopback(0));
  struct gg_listener_options *web = add_listener(f, "web", at);
  web->inherited = fd;
  web->inherited_count = web->inherited_foreign = 1;
  web->sessions_max = 1;
  fixture_start(f);
}

static void dial_all(const struct gg_endpoint *at, int *clients, unsigned count)
{
  for (unsigned i = 0; i < count; i++) {
    clients[i] = dial(at);
    assert_true(clients[i] >= 0);
  }
}

/* It is removed by a reload: who waits there is served, and the next who comes is its owner's. */
static void who_waits_at_a_foreign_socket_is_served(void **state)
{
  (void)state;
  enum { QUEUED = 30 };
  struct fixture f;
  struct gg_endpoint at;
  int waiting[QUEUED], fd = listening(false, false, 0, &at);
  start_at_foreign(&f, &fd, at);
  dial_all(&at, waiting, QUEUED);
  f.options.listener_count = 1;
  reload(&f);
  assert_true(gg_plane_accepts_at(f.plane, &at));
  for (unsigned i = 0; i < QUEUED; i++) {
    assert_int_equal(ask(waiting[i]), 0);
    close(waiting[i]);
  }
  for (unsigned i = 0; i < 2000 && gg_plane_accepts_at(f.plane, &at); i++)
    usleep(1000);
  assert_false(gg_plane_accepts_at(f.plane, &at));
  int late = dial(&at);
  assert_true(late >= 0);
  int accepted = accept(fd, NULL, NULL);
  assert_true(accepted >= 0);
  close(accepted);
  close(late);
  late = dial(&at); /* it comes back with the same socket, and who waited there meanwhile is served */
  f.options.listener_count = 2;
  reload(&f);
  assert_true(gg_plane_accepts_at(f.plane, &at));
  assert_int_equal(ask(late), 0);
  close(late);
  fixture_fini(&f);
  close(fd);
}

/* Another process takes over and does not want the listener: that is no drain, after which somebody serves there. */
static void who_waits_where_a_hand_over_takes_nothing_is_served(void **state)
{
  (void)state;
  enum { QUEUED = 10 };
  const bool taken[] = {true, false};
  struct fixture f;
  struct gg_endpoint at;
  int waiting[QUEUED], fd = listening(false, false, 0, &at);
  start_at_foreign(&f, &fd, at);
  dial_all(&at, waiting, QUEUED);
  gg_plane_hand_over(f.plane, taken, gg_clock_mono_ns() + 60 * GG_NS_PER_S);
  for (unsigned i = 0; i < QUEUED; i++) {
    assert_int_equal(ask(waiting[i]), 0);
    close(waiting[i]);
  }
  fixture_fini(&f);
  close(fd);
}

enum { KNOCKING = 60 };

/* Ends those who were answered, and says how many; none of them may have been reset. */
static unsigned answered(struct pollfd *waiting, int patience_ms)
{
  unsigned count = 0;
  char byte;
  int ready = poll(waiting, KNOCKING, patience_ms);
  assert_true(ready > 0 || patience_ms == 1);
  for (unsigned i = 0; i < KNOCKING && ready > 0; i++) {
    if (waiting[i].revents == 0)
      continue;
    assert_int_equal(recv(waiting[i].fd, &byte, 1, 0), 1);
    close(waiting[i].fd);
    waiting[i].fd = -1;
    count++;
  }
  return count;
}

/* One socket is the service manager's, and those of the other workers are ours: only that one is just let go of. */
static void own_sockets_beside_foreign_ones_leave_as_always(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_endpoint at;
  struct pollfd waiting[KNOCKING];
  unsigned theirs = 0, served = 0;
  int fd = listening(false, true, 0, &at);
  fixture_init(&f, &echo);
  f.options.workers = 4;
  struct gg_listener_options *web = add_listener(&f, "web", at);
  web->inherited = &fd;
  web->inherited_count = web->inherited_foreign = 1;
  web->sessions_max = 1;
  fixture_start(&f);
  assert_int_equal(gg_plane_listener_foreign(f.plane, 0), 1);
  for (unsigned i = 0; i < KNOCKING; i++) {
    waiting[i] = (struct pollfd){.fd = dial(&at), .events = POLLIN};
    assert_int_equal(send(waiting[i].fd, "x", 1, 0), 1);
  }
  gg_plane_drain(f.plane, gg_clock_mono_ns() + 60 * GG_NS_PER_S);
  while (gg_plane_accepts_at(f.plane, &at))
    served += answered(waiting, 1);
  char byte;
  for (int one; (one = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; theirs++)
    assert_true(read(one, &byte, 1) == 1 && write(one, &byte, 1) == 1 && close(one) == 0);
  while (served < KNOCKING)
    served += answered(waiting, 20000);
  assert_true(theirs > 0 && theirs < KNOCKING);
  fixture_fini(&f);
  close(fd);
}

static void wrong_sockets_are_refused(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_endpoint at;
  int fd = listening(false, true, 0, &at), plain = socket(AF_INET, SOCK_STREAM, 0);
  int wrong[] = {plain, fd};
  fixture_init(&f, &echo);
  add_listener(&f, "web", loopback((uint16_t)(at.port ^ 1)));
  for (unsigned i = 0; i < 2; i++) {
    char text[32];
    f.failure = (struct gg_failure)GG_FAILURE_INIT;
    f.listeners[0].inherited = &wrong[i];
    f.listeners[0].inherited_count = 1;
    assert_int_equal(gg_plane_create(&f.plane, &f.options, &f.failure), GG_ERR_INVALID);
    snprintf(text, sizeof text, "descriptor %d", wrong[i]);
    assert_non_null(strstr(f.failure.message, text));
    gg_metrics_destroy(f.metrics); /* names are registered once */
    gg_recorder_destroy(f.recorder);
    assert_int_equal(gg_metrics_create(&f.metrics), 0);
    f.options.metrics = f.metrics;
    struct gg_recorder_options options = GG_RECORDER_OPTIONS_INIT;
    struct gg_recovery recovery;
    options.dir = f.dir;
    options.ring_dir = f.base;
    options.ring_bytes = 256 << 10;
    options.logs_max = 4;
    assert_int_equal(gg_recorder_open(&f.recorder, &options, &recovery, &f.failure), 0);
    f.options.recorder = f.recorder;
  }
  close(fd);
  close(plain);
  f.listeners[0].listen = loopback(0);
  f.listeners[0].inherited_count = 0;
  fixture_start(&f);
  fixture_fini(&f);
}

static void a_gateway_hands_over(void **state)
{
  (void)state;
  struct fixture old, young;
  struct callers callers;
  int fds[8];
  const bool taken[] = {true};
  fixture_init(&old, &echo);
  add_listener(&old, "web", loopback(0));
  fixture_start(&old);
  struct gg_endpoint web = where(&old, 0);
  callers_begin(&callers, web);
  fixture_init(&young, &echo);
  add_listener(&young, "web", web);
  young.listeners[0].inherited_count = gg_plane_listener_fds(old.plane, 0, fds, 8);
  young.listeners[0].inherited = fds;
  assert_int_equal(young.listeners[0].inherited_count, 2);
  fixture_start(&young);
  gg_plane_hand_over(old.plane, taken, gg_clock_mono_ns() + 20 * GG_NS_PER_S);
  gg_plane_join(old.plane);
  unsigned before = atomic_load(&callers.served);
  while (atomic_load(&callers.served) < before + 100 && atomic_load(&callers.lost) == 0)
    usleep(1000);
  callers_end(&callers);
  assert_int_equal(atomic_load(&callers.refused), 0);
  fixture_fini(&old);
  fixture_fini(&young);
}

/* ── Who takes over and has more workers than the one before ─────────────────────────────────────────────────────── */

enum { YOUNG_WORKERS = 4, SERVED_MEANWHILE = 100 };

static void serve_more(struct callers *callers)
{
  unsigned before = atomic_load(&callers->served);
  while (atomic_load(&callers->served) < before + SERVED_MEANWHILE && atomic_load(&callers->lost) == 0 &&
         atomic_load(&callers->refused) == 0)
    usleep(1000);
}

/* It has the other one's socket, serves nobody so far, and has added three that do not listen. */
static void begin_to_take_over(struct fixture *young, const struct fixture *old, struct gg_endpoint web)
{
  int fd;
  fixture_init(young, &echo);
  young->options.workers = YOUNG_WORKERS;
  add_listener(young, "web", web);
  assert_int_equal(gg_plane_listener_fds(old->plane, 0, &fd, 1), 1);
  young->listeners[0].inherited = &fd;
  young->listeners[0].inherited_count = 1;
  young->listeners[0].inherited_lent = true;
  fixture_start(young);
  young->listeners[0].inherited = NULL;
  young->listeners[0].inherited_count = 0;
}

static unsigned listening_sockets(const struct fixture *f)
{
  const struct gg_binding *binding = f->plane->snapshot->plans[0]->binding;
  unsigned count = 0;
  for (unsigned i = 0; i < binding->socket_count; i++) {
    int value = 0;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(binding->sockets[i].fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length), 0);
    assert_int_equal(value == 1, atomic_load(&binding->sockets[i].state) == GG_SOCKET_OPEN);
    count += value == 1;
  }
  return count;
}

static void begin_old(struct fixture *old, struct callers *callers)
{
  fixture_init(old, &echo);
  old->options.workers = 1;
  add_listener(old, "web", loopback(0));
  fixture_start(old);
  callers_begin(callers, where(old, 0));
}

static void a_taker_that_ends_has_had_no_client(void **state)
{
  (void)state;
  struct fixture old, young;
  struct callers callers;
  const bool all[] = {true};
  begin_old(&old, &callers);
  begin_to_take_over(&young, &old, where(&old, 0));
  serve_more(&callers);
  assert_int_equal(young.plane->snapshot->plans[0]->binding->socket_count, YOUNG_WORKERS);
  assert_int_equal(listening_sockets(&young), 1);
  assert_int_equal(metric(&young, "sessions_opened"), 0);
  uint64_t turns = metric(&young, "loop_iterations");
  serve_more(&callers);
  assert_true(metric(&young, "loop_iterations") - turns < SERVED_MEANWHILE); /* what does not listen is not watched */
  gg_plane_hand_over(young.plane, all, 1);
  gg_plane_join(young.plane);
  serve_more(&callers);
  callers_end(&callers);
  assert_int_equal(atomic_load(&callers.refused), 0);
  fixture_fini(&young); /* not before: it starts a program, which must not find others' sockets open */
  fixture_fini(&old);
}

static void who_took_over_serves_with_every_worker(void **state)
{
  (void)state;
  struct fixture old, young;
  struct callers callers;
  const bool taken[] = {true};
  begin_old(&old, &callers);
  begin_to_take_over(&young, &old, where(&old, 0));
  gg_plane_serve_beside(young.plane);
  assert_int_equal(listening_sockets(&young), 1); /* they stay lent */
  gg_plane_hand_over(old.plane, taken, gg_clock_mono_ns() + 20 * GG_NS_PER_S);
  gg_plane_taken_over(young.plane);
  gg_plane_join(old.plane);
  assert_int_equal(listening_sockets(&young), YOUNG_WORKERS);
  serve_more(&callers);
  for (unsigned i = 0; i < YOUNG_WORKERS; i++) {
    const struct gg_listener *listener =
      GG_CONTAINER(young.plane->workers[i]->listeners.next, struct gg_listener, node);
    assert_false(gg_list_empty(&young.plane->workers[i]->listeners));
    assert_false(listener->paused || listener->held);
  }
  reload(&young); /* the same sockets: none is bound anew */
  assert_int_equal(listening_sockets(&young), YOUNG_WORKERS);
  serve_more(&callers);
  callers_end(&callers);
  assert_int_equal(atomic_load(&callers.refused), 0);
  fixture_fini(&old);
  fixture_fini(&young);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(many_reloads_under_load),
    cmocka_unit_test(a_tcp_listener_comes_and_goes),
    cmocka_unit_test(an_ipv6_listener_comes_and_goes),
    cmocka_unit_test(a_unix_listener_comes_and_goes),
    cmocka_unit_test(who_waits_is_served),
    cmocka_unit_test(nobody_is_reset_by_a_drain),
    cmocka_unit_test_setup_teardown(a_tcp_listener_comes_and_goes, refuse_filters, permit_filters),
    cmocka_unit_test_setup_teardown(an_ipv6_listener_comes_and_goes, refuse_filters, permit_filters),
    cmocka_unit_test_setup_teardown(who_waits_is_served, refuse_filters, permit_filters),
    cmocka_unit_test_setup_teardown(nobody_is_reset_by_a_drain, refuse_filters, permit_filters),
    cmocka_unit_test_setup_teardown(who_came_to_a_leaving_socket_is_heard_when_it_is_back, refuse_filters,
                                    permit_filters),
    cmocka_unit_test(what_cannot_be_had_changes_nothing),
    cmocka_unit_test(kept_descriptors_are_no_sessions),
    cmocka_unit_test(sessions_keep_their_options),
    cmocka_unit_test(a_unix_mode_is_changed),
    cmocka_unit_test(sockets_are_inherited),
    cmocka_unit_test(a_foreign_socket_is_only_let_go),
    cmocka_unit_test(who_waits_at_a_foreign_socket_is_served),
    cmocka_unit_test(who_waits_where_a_hand_over_takes_nothing_is_served),
    cmocka_unit_test(own_sockets_beside_foreign_ones_leave_as_always),
    cmocka_unit_test(wrong_sockets_are_refused),
    cmocka_unit_test(a_gateway_hands_over),
    cmocka_unit_test(a_taker_that_ends_has_had_no_client),
    cmocka_unit_test(who_took_over_serves_with_every_worker),
  };
  echo_begin(&echo);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  echo_end(&echo);
  return failed;
}
