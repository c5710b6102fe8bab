/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/worker.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SOCKETS = 2, PARTING_US = 30000 };

struct fixture {
  struct gg_plane *plane;
  struct gg_binding *binding;
  struct gg_listener_options options;
};

/* A listener whose two sockets leave. */
static void make(struct fixture *f)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  memset(f, 0, sizeof *f);
  f->plane = calloc(1, sizeof *f->plane);
  assert_non_null(f->plane);
  f->plane->worker_count = SOCKETS;
  gg_list_init(&f->plane->bindings);
  f->options.name = "web";
  assert_int_equal(gg_endpoint_parse(&f->options.listen, "127.0.0.1:1", false, NULL), 0);
  f->options.listen.port = f->options.listen.addr.port = 0;
  assert_int_equal(gg__binding_make(&f->binding, f->plane, &f->options, &failure), 0);
  assert_int_equal(gg__binding_listen(f->binding, &f->options, &failure), 0);
  gg__bindings_settle(f->plane, true);
  f->options.listen = f->binding->listen = f->binding->bound; /* asked for by its number from here on */
  for (unsigned i = 0; i < SOCKETS; i++) {
    atomic_store(&f->binding->sockets[i].users, 1);
    gg__binding_leave(f->binding, i);
  }
}

static void unmake(struct fixture *f)
{
  gg__bindings_sweep(f->plane, true);
  free(f->plane);
}

static void *drop_first(void *argument)
{
  usleep(PARTING_US); /* a worker that had to wait for a processor */
  gg__binding_drop(argument, 0);
  return NULL;
}

static bool listens(int fd)
{
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value == 1;
}

/* The listener comes back while one worker is about to close its socket, and another's may still be had. */
static void what_parts_is_closed_before_its_place_is_filled(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_binding *found;
  struct stat before, after;
  pthread_t worker;
  make(&f);
  int old = f.binding->sockets[0].fd;
  assert_int_equal(fstat(old, &before), 0);
  assert_true(gg__binding_may_part(f.binding, 0));
  assert_int_equal(pthread_create(&worker, NULL, drop_first, f.binding), 0);
  assert_int_equal(gg__binding_find(&found, f.plane, &f.options, &failure), 0);
  assert_ptr_equal(found, f.binding);
  assert_int_equal(gg__binding_listen(found, &f.options, &failure), 0);
  gg__bindings_settle(f.plane, true);
  pthread_join(worker, NULL);
  for (unsigned i = 0; i < SOCKETS; i++) {
    assert_int_equal(atomic_load(&found->sockets[i].state), GG_SOCKET_OPEN);
    assert_true(listens(found->sockets[i].fd));
  }
  if (fstat(old, &after) == 0) /* its number may be another's by now */
    assert_int_not_equal(after.st_ino, before.st_ino);
  unmake(&f);
}

/* Nothing of it can be had again: the listener gets others beside it, though the port is in use until it is closed. */
static void beside_what_parts_another_is_bound(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_binding *other;
  make(&f);
  for (unsigned i = 0; i < SOCKETS; i++)
    assert_true(gg__binding_may_part(f.binding, i));
  assert_int_equal(gg__binding_find(&other, f.plane, &f.options, &failure), 0);
  assert_null(other);
  if (gg__binding_make(&other, f.plane, &f.options, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(gg__binding_listen(other, &f.options, &failure), 0);
  gg__bindings_settle(f.plane, true);
  for (unsigned i = 0; i < SOCKETS; i++) {
    gg__binding_drop(f.binding, i);
    assert_int_equal(atomic_load(&f.binding->sockets[i].state), GG_SOCKET_CLOSED);
    assert_true(listens(other->sockets[i].fd));
  }
  unmake(&f);
}

/* A worker that closes nothing for long is not waited for without end. */
static void who_never_closes_is_done_without(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_binding *found;
  make(&f);
  assert_true(gg__binding_may_part(f.binding, 0));
  assert_int_equal(gg__binding_find(&found, f.plane, &f.options, &failure), 0);
  assert_null(found);
  assert_int_equal(atomic_load(&f.binding->sockets[1].state), GG_SOCKET_LEAVING);
  unmake(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_parts_is_closed_before_its_place_is_filled),
    cmocka_unit_test(beside_what_parts_another_is_bound),
    cmocka_unit_test(who_never_closes_is_done_without),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
