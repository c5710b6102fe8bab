/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"

#include "base/clock.h"
#include "base/list.h"

#include <gogetway/error.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int add(int set, struct gg_source *source, uint32_t events)
{
  struct epoll_event event = {.events = events, .data.ptr = source};
  return epoll_ctl(set, EPOLL_CTL_ADD, source->fd, &event) == 0 ? GG_OK : gg_error_from_errno(errno);
}

static unsigned call_all(const struct epoll_event *events, int count)
{
  unsigned calls = 0;
  for (int i = 0; i < count; i++) {
    struct gg_source *source = events[i].data.ptr;
    if (!source->ready) /* forgotten by a callback before it */
      continue;
    source->ready(source, events[i].events);
    calls++;
  }
  return calls;
}

/* A set inside another one: its readiness means that one of its own members is ready. */
static void nested_ready(struct gg_source *source, uint32_t events)
{
  (void)events;
  struct epoll_event ready[GG_LOOP_EVENTS_MAX];
  call_all(ready, epoll_wait(source->fd, ready, GG_LOOP_EVENTS_MAX, 0));
}

int gg_loop_set_open(struct gg_loop *loop, unsigned number)
{
  assert(number < GG_READ_SETS_MAX);
  struct gg_read_set *set = &loop->sets[number];
  if (set->source.fd >= 0)
    return GG_OK;
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0)
    return gg_error_from_errno(errno);
  *set = (struct gg_read_set){{nested_ready, fd}, true};
  bool around = number == 0 && !loop->outward;
  int error = around ? add(fd, &loop->base, EPOLLIN) : add(loop->base.fd, &set->source, EPOLLIN);
  if (error) {
    close(fd);
    set->source.fd = -1;
  }
  return error;
}

void gg_loop_sets_use(struct gg_loop *loop, unsigned count)
{
  assert(count <= GG_READ_SETS_MAX);
  for (; loop->set_count < count; loop->set_count++)
    assert(loop->sets[loop->set_count].source.fd >= 0);
}

static int init(struct gg_loop *loop, unsigned read_sets, bool outward)
{
  assert(read_sets >= 1 && read_sets <= GG_READ_SETS_MAX);
  *loop = (struct gg_loop){
    .base = {nested_ready, epoll_create1(EPOLL_CLOEXEC)}, .outward = outward, .now_ns = gg_clock_mono_ns()};
  for (unsigned i = 0; i < GG_READ_SETS_MAX; i++)
    loop->sets[i].source.fd = -1;
  if (loop->base.fd < 0)
    return gg_error_from_errno(errno);
  for (unsigned i = 0; i < read_sets; i++) {
    int error = gg_loop_set_open(loop, i);
    if (error) {
      gg_loop_fini(loop);
      return error;
    }
  }
  gg_loop_sets_use(loop, read_sets);
  return GG_OK;
}

int gg_loop_init(struct gg_loop *loop, unsigned read_sets)
{
  return init(loop, read_sets, false);
}

int gg_loop_init_outward(struct gg_loop *loop, unsigned read_sets)
{
  return init(loop, read_sets, true);
}

void gg_loop_fini(struct gg_loop *loop)
{
  if (loop->base.fd < 0)
    return;
  for (unsigned i = 0; i < GG_READ_SETS_MAX; i++)
    if (loop->sets[i].source.fd >= 0)
      close(loop->sets[i].source.fd);
  loop->set_count = 0;
  close(loop->base.fd);
  loop->base.fd = -1;
}

int gg_loop_watch(struct gg_loop *loop, struct gg_source *source, uint32_t events)
{
  return add(loop->base.fd, source, events);
}

void gg_loop_ignore(struct gg_loop *loop, struct gg_source *source)
{
  epoll_ctl(loop->base.fd, EPOLL_CTL_DEL, source->fd, NULL);
}

int gg_loop_watch_reads(struct gg_loop *loop, unsigned set, struct gg_source *source, uint32_t events)
{
  assert(set < loop->set_count);
  return add(loop->sets[set].source.fd, source, events);
}

void gg_loop_ignore_reads(struct gg_loop *loop, unsigned set, struct gg_source *source)
{
  assert(set < loop->set_count);
  epoll_ctl(loop->sets[set].source.fd, EPOLL_CTL_DEL, source->fd, NULL);
}

void gg_loop_reads_enable(struct gg_loop *loop, unsigned set, bool enabled)
{
  assert(set < loop->set_count);
  struct gg_read_set *reads = &loop->sets[set];
  if (reads->enabled == enabled)
    return;
  reads->enabled = enabled;
  if (set > 0 || loop->outward) { /* else set 0 is simply not waited upon */
    struct epoll_event event = {.events = enabled ? EPOLLIN : 0u, .data.ptr = &reads->source};
    epoll_ctl(loop->base.fd, EPOLL_CTL_MOD, reads->source.fd, &event);
  }
}

/* Rounds up, so that a timer is due when the wait for it ends. */
static int timeout_ms(uint64_t now_ns, uint64_t deadline_ns)
{
  if (deadline_ns == UINT64_MAX)
    return -1;
  if (deadline_ns <= now_ns)
    return 0;
  uint64_t ms = (deadline_ns - now_ns + 999999u) / 1000000u;
  return ms > INT_MAX ? INT_MAX : (int)ms;
}

unsigned gg_loop_poll(struct gg_loop *loop, uint64_t deadline_ns)
{
  int set = loop->sets[0].enabled && !loop->outward ? loop->sets[0].source.fd : loop->base.fd;
  int timeout = deadline_ns == 0 ? 0 : timeout_ms(gg_clock_mono_ns(), deadline_ns);
  struct epoll_event events[GG_LOOP_EVENTS_MAX];
  int count = epoll_wait(set, events, GG_LOOP_EVENTS_MAX, timeout);
  loop->now_ns = gg_clock_mono_ns(); /* it may have waited long: callbacks start timers */
  unsigned calls = call_all(events, count);
  loop->now_ns = gg_clock_mono_ns();
  return calls;
}

static void wake_ready(struct gg_source *source, uint32_t events)
{
  (void)events;
  struct gg_wake *wake = GG_CONTAINER(source, struct gg_wake, source);
  uint64_t count;
  ssize_t got = read(source->fd, &count, sizeof count);
  (void)got; /* EAGAIN: another wake was read with the last one */
  wake->woken(wake->context);
}

int gg_wake_init(struct gg_wake *wake, struct gg_loop *loop, void (*woken)(void *context), void *context)
{
  *wake = (struct gg_wake){{wake_ready, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}, woken, context};
  if (wake->source.fd < 0)
    return gg_error_from_errno(errno);
  int error = gg_loop_watch(loop, &wake->source, EPOLLIN);
  if (error)
    gg_wake_fini(wake);
  return error;
}

void gg_wake_fini(struct gg_wake *wake)
{
  if (wake->source.fd >= 0)
    close(wake->source.fd);
  wake->source.fd = -1;
}

void gg_wake_signal(struct gg_wake *wake)
{
  uint64_t one = 1;
  ssize_t put = write(wake->source.fd, &one, sizeof one);
  (void)put; /* EAGAIN: it is awake already */
}
