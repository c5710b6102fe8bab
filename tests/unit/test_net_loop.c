/* SPDX-License-Identifier: Apache-2.0 */
/* The loop over the kernel's own epoll. */
#include "net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
  struct gg_source source;
  int peer;
  unsigned calls;
  uint32_t events;
  struct end *forgets; /* what its callback forgets */
};

static void called(struct gg_source *source, uint32_t events)
{
  struct end *end = (struct end *)(void *)((char *)source - offsetof(struct end, source));
  end->calls++;
  end->events |= events;
  if (end->forgets)
    gg_source_forget(&end->forgets->source);
}

static void end_open(struct end *end)
{
  int pair[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  *end = (struct end){.source = {called, pair[0]}, .peer = pair[1]};
}

static void end_close(struct end *end)
{
  close(end->source.fd);
  close(end->peer);
}

static void speak(struct end *end)
{
  assert_int_equal(write(end->peer, "x", 1), 1);
}

/* A deadline that has passed: what is ready is told, and the poll does not wait. */
static unsigned poll_now(struct gg_loop *loop)
{
  return gg_loop_poll(loop, 0);
}

static void every_set_is_heard_in_one_poll(void **state)
{
  (void)state;
  struct gg_loop loop;
  struct end ends[GG_READ_SETS_MAX + 1];
  assert_int_equal(gg_loop_init(&loop, GG_READ_SETS_MAX), 0);
  for (unsigned i = 0; i <= GG_READ_SETS_MAX; i++)
    end_open(&ends[i]);
  assert_int_equal(gg_loop_watch(&loop, &ends[GG_READ_SETS_MAX].source, EPOLLIN | EPOLLET), 0);
  for (unsigned i = 0; i < GG_READ_SETS_MAX; i++)
    assert_int_equal(gg_loop_watch_reads(&loop, i, &ends[i].source, EPOLLIN | EPOLLET), 0);
  assert_int_equal(poll_now(&loop), 0);
  for (unsigned i = 0; i <= GG_READ_SETS_MAX; i++)
    speak(&ends[i]);
  poll_now(&loop);
  for (unsigned i = 0; i <= GG_READ_SETS_MAX; i++)
    assert_int_equal(ends[i].calls, 1);
  poll_now(&loop); /* edge-triggered: not again */
  for (unsigned i = 0; i <= GG_READ_SETS_MAX; i++) {
    assert_int_equal(ends[i].calls, 1);
    end_close(&ends[i]);
  }
  gg_loop_fini(&loop);
}

/* As a loop sees it that waits for this one. */
static bool is_readable(const struct gg_loop *loop)
{
  struct pollfd polled = {.fd = loop->base.fd, .events = POLLIN};
  return poll(&polled, 1, 0) == 1;
}

static void disable_and_enable(unsigned set, bool outward)
{
  struct gg_loop loop;
  struct end reads, other, base;
  assert_int_equal(outward ? gg_loop_init_outward(&loop, 3) : gg_loop_init(&loop, 3), 0);
  end_open(&reads);
  end_open(&other);
  end_open(&base);
  assert_int_equal(gg_loop_watch_reads(&loop, set, &reads.source, EPOLLIN | EPOLLET), 0);
  assert_int_equal(gg_loop_watch_reads(&loop, set == 2 ? 1 : 2, &other.source, EPOLLIN | EPOLLET), 0);
  assert_int_equal(gg_loop_watch(&loop, &base.source, EPOLLIN | EPOLLET), 0);
  speak(&reads); /* one before, one while it is disabled */
  assert_true(!outward || is_readable(&loop));
  gg_loop_reads_enable(&loop, set, false);
  assert_false(outward && is_readable(&loop));
  speak(&other);
  speak(&base);
  poll_now(&loop);
  assert_int_equal(reads.calls, 0);
  assert_int_equal(other.calls, 1);
  assert_int_equal(base.calls, 1);
  speak(&reads);
  assert_int_equal(gg_loop_poll(&loop, 1), 0); /* and does not wake anybody */
  assert_false(outward && is_readable(&loop));
  gg_loop_reads_enable(&loop, set, true);
  assert_true(!outward || is_readable(&loop));
  poll_now(&loop);
  assert_int_equal(reads.calls, 1);
  assert_false(outward && is_readable(&loop));
  speak(&reads);
  poll_now(&loop);
  assert_int_equal(reads.calls, 2);
  end_close(&reads);
  end_close(&other);
  end_close(&base);
  gg_loop_fini(&loop);
}

static void a_disabled_set_loses_no_event(void **state)
{
  (void)state;
  for (unsigned set = 0; set < 3; set++) {
    disable_and_enable(set, false);
    disable_and_enable(set, true);
  }
}

static void writes_are_heard_while_reads_are_stopped(void **state)
{
  (void)state;
  struct gg_loop loop;
  struct end end;
  assert_int_equal(gg_loop_init(&loop, 1), 0);
  end_open(&end);
  assert_int_equal(gg_loop_watch_reads(&loop, 0, &end.source, EPOLLIN | EPOLLET), 0);
  assert_int_equal(gg_loop_watch(&loop, &end.source, EPOLLOUT | EPOLLET), 0); /* the same descriptor, twice */
  gg_loop_reads_enable(&loop, 0, false);
  speak(&end);
  poll_now(&loop);
  assert_int_equal(end.calls, 1);
  assert_true(end.events & EPOLLOUT);
  end_close(&end);
  gg_loop_fini(&loop);
}

static void an_event_of_a_forgotten_source_is_dropped(void **state)
{
  (void)state;
  struct gg_loop loop;
  struct end a, b;
  assert_int_equal(gg_loop_init(&loop, 1), 0);
  end_open(&a);
  end_open(&b);
  a.forgets = &b; /* whichever comes first, the other one is not called */
  b.forgets = &a;
  assert_int_equal(gg_loop_watch_reads(&loop, 0, &a.source, EPOLLIN | EPOLLET), 0);
  assert_int_equal(gg_loop_watch_reads(&loop, 0, &b.source, EPOLLIN | EPOLLET), 0);
  speak(&a);
  speak(&b);
  assert_int_equal(poll_now(&loop), 1);
  assert_int_equal(a.calls + b.calls, 1);
  end_close(&a);
  end_close(&b);
  gg_loop_fini(&loop);
}

static void an_ignored_source_can_be_watched_anew(void **state)
{
  (void)state;
  struct gg_loop loop;
  struct end end;
  assert_int_equal(gg_loop_init(&loop, 2), 0);
  end_open(&end);
  assert_int_equal(gg_loop_watch_reads(&loop, 1, &end.source, EPOLLIN), 0);
  gg_loop_ignore_reads(&loop, 1, &end.source);
  speak(&end);
  poll_now(&loop);
  assert_int_equal(end.calls, 0);
  assert_int_equal(gg_loop_watch_reads(&loop, 1, &end.source, EPOLLIN), 0);
  poll_now(&loop);
  poll_now(&loop); /* level-triggered: again */
  assert_int_equal(end.calls, 2);
  end_close(&end);
  gg_loop_fini(&loop);
}

static void count(void *context)
{
  ++*(unsigned *)context;
}

static void *signal_it(void *wake)
{
  gg_wake_signal(wake);
  return NULL;
}

static void a_wake_from_another_thread_ends_an_endless_wait(void **state)
{
  (void)state;
  struct gg_loop loop;
  struct gg_wake wake;
  unsigned woken = 0;
  pthread_t thread;
  assert_int_equal(gg_loop_init(&loop, 1), 0);
  assert_int_equal(gg_wake_init(&wake, &loop, count, &woken), 0);
  gg_loop_reads_enable(&loop, 0, false);
  assert_int_equal(pthread_create(&thread, NULL, signal_it, &wake), 0);
  gg_loop_poll(&loop, UINT64_MAX);
  pthread_join(thread, NULL);
  assert_int_equal(woken, 1);
  gg_wake_signal(&wake);
  gg_wake_signal(&wake); /* two before a poll are one */
  gg_loop_reads_enable(&loop, 0, true);
  poll_now(&loop);
  poll_now(&loop);
  assert_int_equal(woken, 2);
  gg_wake_fini(&wake);
  gg_loop_fini(&loop);
}

static void a_poll_ends_at_its_deadline_and_tells_the_time(void **state)
{
  (void)state;
  struct gg_loop loop;
  assert_int_equal(gg_loop_init(&loop, 1), 0);
  uint64_t deadline_ns = loop.now_ns + 3000000;
  assert_int_equal(gg_loop_poll(&loop, deadline_ns), 0);
  assert_true(loop.now_ns >= deadline_ns);
  gg_loop_fini(&loop);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_set_is_heard_in_one_poll),
    cmocka_unit_test(a_disabled_set_loses_no_event),
    cmocka_unit_test(writes_are_heard_while_reads_are_stopped),
    cmocka_unit_test(an_event_of_a_forgotten_source_is_dropped),
    cmocka_unit_test(an_ignored_source_can_be_watched_anew),
    cmocka_unit_test(a_wake_from_another_thread_ends_an_endless_wait),
    cmocka_unit_test(a_poll_ends_at_its_deadline_and_tells_the_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
