/* SPDX-License-Identifier: Apache-2.0 */
/* What the wire of sockets says when the system refuses: an error, never a crash, a leak or a hang. */
#include "base/clock.h"
#include "replay/sockets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ── Calls that fail ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* The call fails `times` times with `error`, after having been let through `after` times. */
struct fault {
  int error;
  unsigned after;
  unsigned times;
  unsigned calls; /* made, failing ones too */
};

static struct fault on_malloc, on_calloc, on_socket, on_bind, on_connect, on_epoll_create1, on_epoll_ctl, on_eventfd;
static struct fault on_send, on_recv, on_so_error, on_opendir;
static bool meets_itself;

static void no_faults(void)
{
  on_malloc = on_calloc = on_socket = on_bind = on_connect = on_epoll_create1 = on_epoll_ctl = on_eventfd = on_send =
    on_recv = on_so_error = on_opendir = (struct fault){0};
  meets_itself = false;
}

static bool fails(struct fault *fault)
{
  fault->calls++;
  if (fault->times == 0)
    return false;
  if (fault->after > 0) {
    fault->after--;
    return false;
  }
  fault->times--;
  errno = fault->error;
  return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *to, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *to, socklen_t length);
int __real_connect(int fd, const struct sockaddr *to, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length);
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);

void *__wrap_malloc(size_t size)
{
  return fails(&on_malloc) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
  return fails(&on_calloc) ? NULL : __real_calloc(count, size);
}

int __wrap_socket(int domain, int type, int protocol)
{
  return fails(&on_socket) ? -1 : __real_socket(domain, type, protocol);
}

int __wrap_bind(int fd, const struct sockaddr *to, socklen_t length)
{
  return fails(&on_bind) ? -1 : __real_bind(fd, to, length);
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length)
{
  if (fails(&on_connect))
    return -1;
  if (meets_itself) /* the system has chosen the target's port */
    __real_bind(fd, to, length);
  return __real_connect(fd, to, length);
}

int __wrap_epoll_create1(int flags)
{
  return fails(&on_epoll_create1) ? -1 : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
  return fails(&on_epoll_ctl) ? -1 : __real_epoll_ctl(set, operation, fd, event);
}

int __wrap_eventfd(unsigned value, int flags)
{
  return fails(&on_eventfd) ? -1 : __real_eventfd(value, flags);
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
  return fails(&on_send) ? -1 : __real_send(fd, data, size, flags);
}

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
  return fails(&on_recv) ? -1 : __real_recv(fd, data, size, flags);
}

/* Fails by what it says: the socket's error. */
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
  int result = __real_getsockopt(fd, level, name, value, length);
  if (level == SOL_SOCKET && name == SO_ERROR && fails(&on_so_error))
    memcpy(value, &on_so_error.error, sizeof on_so_error.error);
  return result;
}

DIR *__wrap_opendir(const char *path)
{
  return fails(&on_opendir) ? NULL : __real_opendir(path);
}

/* ── A target ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct target {
  int fd;
  struct gg_sockets_options options;
  struct gg_network network;
  struct gg_wire *wire;
  unsigned events;
  struct gg_line *line;
};

static unsigned descriptors(void)
{
  DIR *dir = __real_opendir("/proc/self/fd");
  unsigned count = 0;
  while (readdir(dir))
    count++;
  closedir(dir);
  return count;
}

static void listens(struct target *target, const char *source)
{
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  *target = (struct target){.fd = __real_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  assert_int_equal(listen(target->fd, 100), 0);
  assert_int_equal(getsockname(target->fd, (struct sockaddr *)&storage, &length), 0);
  target->options.to.family = GG_FAMILY_IPV4;
  gg_addr_from_sockaddr(&target->options.to.addr, (struct sockaddr *)&storage, length);
  target->options.to.addr.ip[0] = 127;
  target->options.to.addr.ip[3] = 1;
  if (source) {
    assert_int_equal(gg_network_parse(&target->network, source, NULL), 0);
    target->options.source = &target->network;
  }
}

static void begin(struct target *target, const char *source)
{
  no_faults();
  listens(target, source);
  assert_int_equal(gg__sockets_create(&target->wire, &target->options, NULL), 0);
}

static void end(struct target *target)
{
  no_faults();
  gg__sockets_destroy(target->wire);
  close(target->fd);
}

static void event(void *sink, unsigned events)
{
  ((struct target *)sink)->events |= events;
}

static int dial(struct target *target, struct gg_failure *failure)
{
  target->events = 0;
  return target->wire->ops->connect(target->wire, event, target, &target->line, failure);
}

static void wait_for(struct target *target, unsigned events)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (!(target->events & events) && gg_clock_mono_ns() < deadline_ns)
    target->wire->ops->wait(target->wire, deadline_ns);
  assert_true(target->events & events);
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void making_it_can_fail_at_every_step(void **state)
{
  (void)state;
  struct target target;
  no_faults();
  listens(&target, "127.0.0.0/29");
  struct {
    struct fault *fault;
    int error;
    unsigned steps;
    int expected;
  } const steps[] = {
    {&on_calloc, ENOMEM, 2, GG_ERR_NOMEM},        /* itself, its addresses */
    {&on_socket, EMFILE, 1, GG_ERR_LIMIT},        /* to try the first address with */
    {&on_bind, EACCES, 1, GG_ERR_DENIED},         /* the same */
    {&on_epoll_create1, EMFILE, 2, GG_ERR_LIMIT}, /* both sets */
    {&on_epoll_ctl, ENOMEM, 2, GG_ERR_NOMEM},     /* one into the other, the wake into it */
    {&on_eventfd, EMFILE, 1, GG_ERR_LIMIT},
  };
  unsigned before = descriptors();
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
    for (unsigned step = 0; step < steps[i].steps; step++) {
      struct gg_failure failure = GG_FAILURE_INIT;
      struct gg_wire *wire = NULL;
      *steps[i].fault = (struct fault){.error = steps[i].error, .after = step, .times = 1};
      assert_int_equal(gg__sockets_create(&wire, &target.options, &failure), steps[i].expected);
      assert_int_equal(steps[i].fault->times, 0);
      assert_null(wire);
      assert_true(strlen(failure.message) > 0);
      assert_int_equal(descriptors(), before);
    }
  no_faults();
  close(target.fd);
}

static void a_connection_can_fail_for_want_of_anything(void **state)
{
  (void)state;
  struct target target;
  struct {
    struct fault *fault;
    int error;
    int expected;
  } const wants[] = {
    {&on_malloc, ENOMEM, GG_ERR_LIMIT},    {&on_socket, EMFILE, GG_ERR_LIMIT},
    {&on_socket, ENFILE, GG_ERR_LIMIT},    {&on_socket, ENOBUFS, GG_ERR_LIMIT},
    {&on_socket, EACCES, GG_ERR_DENIED},   {&on_connect, EADDRNOTAVAIL, GG_ERR_LIMIT},
    {&on_connect, ENOBUFS, GG_ERR_LIMIT},  {&on_epoll_ctl, ENOSPC, GG_ERR_LIMIT},
    {&on_epoll_ctl, ENOMEM, GG_ERR_LIMIT},
  };
  begin(&target, NULL);
  unsigned before = descriptors();
  for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    /* The first line of all is allocated; later ones are used again. */
    *wants[i].fault = (struct fault){.error = wants[i].error, .times = 1};
    assert_int_equal(dial(&target, &failure), wants[i].expected);
    assert_int_equal(wants[i].fault->times, 0);
    assert_true(strlen(failure.message) > 0);
    assert_int_equal(descriptors(), before);
    target.wire->ops->wait(target.wire, 0);
    assert_int_equal(target.events, 0);
  }
  assert_int_equal(dial(&target, NULL), 0); /* and it recovers */
  wait_for(&target, GG_WIRE_CONNECTED);
  end(&target);
}

static void used_up_addresses_are_passed_over(void **state)
{
  (void)state;
  struct target target;
  struct gg_addr local, remote;
  begin(&target, "127.0.0.0/29"); /* six addresses, from .1 to .6 */
  on_connect = (struct fault){.error = EADDRNOTAVAIL, .times = 2};
  assert_int_equal(dial(&target, NULL), 0);
  assert_int_equal(on_connect.calls, 3);
  wait_for(&target, GG_WIRE_CONNECTED);
  target.wire->ops->ends(target.line, &local, &remote);
  assert_int_equal(local.ip[3], 3);
  on_connect = (struct fault){.error = EADDRNOTAVAIL, .times = 100};
  struct gg_failure failure = GG_FAILURE_INIT;
  unsigned before = descriptors();
  assert_int_equal(dial(&target, &failure), GG_ERR_LIMIT);
  assert_int_equal(on_connect.calls, 6); /* each once */
  assert_non_null(strstr(failure.message, "port"));
  assert_int_equal(descriptors(), before);
  on_connect = (struct fault){0};
  on_bind = (struct fault){.error = EADDRINUSE, .times = 5}; /* as an old kernel says it */
  assert_int_equal(dial(&target, NULL), 0);
  on_socket = (struct fault){.error = EMFILE, .times = 1}; /* no other address helps */
  on_bind = (struct fault){0};
  assert_int_equal(dial(&target, NULL), GG_ERR_LIMIT);
  assert_int_equal(on_socket.calls, 1);
  end(&target);
}

static void addresses_that_the_host_has_not_got_are_left_out(void **state)
{
  (void)state;
  struct target target;
  no_faults();
  listens(&target, "127.0.0.0/29");
  on_bind = (struct fault){.error = EADDRNOTAVAIL, .after = 1, .times = 4}; /* all but the first and the last */
  assert_int_equal(gg__sockets_create(&target.wire, &target.options, NULL), 0);
  no_faults();
  static const uint8_t expected[] = {1, 6, 1, 6};
  for (unsigned i = 0; i < sizeof expected; i++) {
    struct gg_addr local, remote;
    assert_int_equal(dial(&target, NULL), 0);
    wait_for(&target, GG_WIRE_CONNECTED);
    target.wire->ops->ends(target.line, &local, &remote);
    assert_int_equal(local.ip[3], expected[i]);
  }
  end(&target);
}

static void what_the_target_refuses_is_an_event(void **state)
{
  (void)state;
  struct target target;
  struct {
    struct fault *fault;
    int error;
    int expected;
  } const refusals[] = {
    {&on_connect, ENETUNREACH, GG_ERR_IO},     {&on_connect, ECONNREFUSED, GG_ERR_REFUSED},
    {&on_so_error, ETIMEDOUT, GG_ERR_TIMEOUT}, {&on_so_error, EHOSTUNREACH, GG_ERR_IO},
    {&on_so_error, ENOBUFS, GG_ERR_LIMIT},
  };
  begin(&target, NULL);
  close(target.fd); /* whoever gets through to it is refused */
  target.fd = -1;
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    *refusals[i].fault = (struct fault){.error = refusals[i].error, .times = 1};
    assert_int_equal(dial(&target, NULL), 0);
    assert_int_equal(target.events, 0);
    wait_for(&target, GG_WIRE_FAILED);
    assert_int_equal(target.events, GG_WIRE_FAILED);
    assert_int_equal(target.wire->ops->error(target.line), refusals[i].expected);
    target.wire->ops->close(target.line, i % 2);
  }
  end(&target);
}

static void a_connection_with_itself_is_a_refusal(void **state)
{
  (void)state;
  struct target target;
  begin(&target, NULL);
  close(target.fd);
  target.fd = -1;
  meets_itself = true;
  assert_int_equal(dial(&target, NULL), 0);
  wait_for(&target, GG_WIRE_FAILED);
  assert_int_equal(target.events, GG_WIRE_FAILED);
  assert_int_equal(target.wire->ops->error(target.line), GG_ERR_REFUSED);
  end(&target);
}

static void a_full_unix_backlog_is_a_limit(void **state)
{
  (void)state;
  struct target target = {.fd = -1};
  no_faults();
  assert_int_equal(gg_endpoint_parse(&target.options.to, "unix:@gogetway-test-nobody", false, NULL), 0);
  assert_int_equal(gg__sockets_create(&target.wire, &target.options, NULL), 0);
  on_connect = (struct fault){.error = EAGAIN, .times = 1};
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(dial(&target, &failure), GG_ERR_LIMIT);
  assert_non_null(strstr(failure.message, "waiting"));
  end(&target);
}

static void interrupted_calls_are_made_again(void **state)
{
  (void)state;
  struct target target;
  uint8_t byte = 'x';
  begin(&target, NULL);
  on_connect = (struct fault){.error = EINTR, .times = 1};
  assert_int_equal(dial(&target, NULL), 0);
  wait_for(&target, GG_WIRE_CONNECTED);
  int peer = accept(target.fd, NULL, NULL);
  on_send = (struct fault){.error = EINTR, .times = 2};
  assert_int_equal(target.wire->ops->send(target.line, &byte, 1, false), 1);
  assert_int_equal(__real_recv(peer, &byte, 1, 0), 1);
  assert_int_equal(__real_send(peer, "y", 1, 0), 1);
  on_recv = (struct fault){.error = EINTR, .times = 2};
  target.events = 0;
  wait_for(&target, GG_WIRE_READABLE);
  assert_int_equal(target.wire->ops->receive(target.line, &byte, 1), 1);
  assert_int_equal(byte, 'y');
  close(peer);
  end(&target);
}

static void a_connection_that_dies_says_so_for_good(void **state)
{
  (void)state;
  struct target target;
  uint8_t byte = 'x';
  for (unsigned sends = 0; sends < 2; sends++) {
    begin(&target, NULL);
    assert_int_equal(dial(&target, NULL), 0);
    wait_for(&target, GG_WIRE_CONNECTED);
    int peer = accept(target.fd, NULL, NULL);
    if (sends) {
      on_send = (struct fault){.error = ETIMEDOUT, .times = 1};
      assert_int_equal(target.wire->ops->send(target.line, &byte, 1, false), GG_ERR_CLOSED);
      close(peer); /* from now on the kernel says nothing but 0 */
      target.events = 0;
      wait_for(&target, GG_WIRE_READABLE);
    } else {
      on_recv = (struct fault){.error = ETIMEDOUT, .times = 1};
    }
    for (unsigned i = 0; i < 3; i++)
      assert_int_equal(target.wire->ops->receive(target.line, &byte, 1), GG_ERR_CLOSED);
    if (!sends)
      close(peer);
    end(&target);
  }
}

static void room_is_counted_without_proc(void **state)
{
  (void)state;
  no_faults();
  uint32_t room = gg__sockets_room();
  on_opendir = (struct fault){.error = ENOENT, .times = 1};
  uint32_t without = gg__sockets_room();
  assert_int_equal(on_opendir.times, 0);
  assert_true(without > 0 && without <= room + 64);
  on_opendir = (struct fault){.error = EMFILE, .times = 1};
  on_socket = (struct fault){.error = EMFILE, .times = 1};
  assert_int_equal(gg__sockets_room(), 0);
  no_faults();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(making_it_can_fail_at_every_step),
    cmocka_unit_test(a_connection_can_fail_for_want_of_anything),
    cmocka_unit_test(used_up_addresses_are_passed_over),
    cmocka_unit_test(addresses_that_the_host_has_not_got_are_left_out),
    cmocka_unit_test(what_the_target_refuses_is_an_event),
    cmocka_unit_test(a_connection_with_itself_is_a_refusal),
    cmocka_unit_test(a_full_unix_backlog_is_a_limit),
    cmocka_unit_test(interrupted_calls_are_made_again),
    cmocka_unit_test(a_connection_that_dies_says_so_for_good),
    cmocka_unit_test(room_is_counted_without_proc),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
