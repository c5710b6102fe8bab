/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time moves only where the worker waits (epoll_wait) and, a little, inside calls. Readiness follows Linux: a wake puts
 * the items that watch the descriptor on their set's ready list; a wait asks each item on it what is really ready,
 * drops those that are not, and keeps level-triggered ones; a set is itself ready while its list has such an item.
 */
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

struct sim_world sim;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__real_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);

_Noreturn void sim_fail(const char *format, ...)
{
  sim.in_gateway = false;
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "\nsimulation failed at %.6f s: ", (double)sim.now_ns / 1e9);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\nseed %llu: run again with GOGETWAY_SIM_SEED=%llu (GOGETWAY_SIM_TRACE=1 shows what happened)\n",
          (unsigned long long)sim.seed, (unsigned long long)sim.seed);
  va_end(arguments);
  abort();
}

void sim_trace(const char *format, ...)
{
  if (!sim.trace)
    return;
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%12.6f ", (double)sim.now_ns / 1e9);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
}

/* ── Chance ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

uint64_t sim_random(void)
{
  uint64_t z = sim.random += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

uint64_t sim_below(uint64_t n)
{
  return n ? sim_random() % n : 0;
}

bool sim_chance(unsigned one_in)
{
  return one_in && sim_below(one_in) == 0;
}

uint64_t sim_size(uint64_t most)
{
  if (most < 2)
    return most;
  unsigned bits = 64 - (unsigned)__builtin_clzll(most);
  uint64_t size = sim_below((uint64_t)1 << (1 + sim_below(bits)));
  return size < most ? size : most;
}

ssize_t __wrap_getrandom(void *data, size_t bytes, unsigned flags);
ssize_t __wrap_getrandom(void *data, size_t bytes, unsigned flags)
{
  (void)flags;
  for (size_t i = 0; i < bytes; i++)
    ((uint8_t *)data)[i] = (uint8_t)sim_random();
  return (ssize_t)bytes;
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool memory_refused(void)
{
  if (!sim.in_gateway)
    return false;
  sim.allocations++;
  if (sim.allocations != sim.config.faults.nth_memory && !sim_chance(sim.config.faults.memory))
    return false;
  sim.faults_made++;
  sim_trace("allocation %llu refused", (unsigned long long)sim.allocations);
  return true;
}

void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
  return memory_refused() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
  return memory_refused() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes)
{
  return memory_refused() ? NULL : __real_realloc(block, bytes);
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
  if (!memory_refused())
    return __real_mmap64(address, length, protection, flags, fd, offset);
  errno = ENOMEM;
  return (void *)-1;
}

/* ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct event {
  uint64_t time_ns;
  uint64_t order;
  sim_event_fn run;
  void *argument;
  unsigned number;
};

static struct event *heap;
static size_t heap_count, heap_room;
static uint64_t heap_order;

static bool sooner(const struct event *a, const struct event *b)
{
  return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

void sim_at(uint64_t time_ns, sim_event_fn run, void *argument, unsigned number)
{
  if (heap_count == heap_room) {
    heap_room = heap_room ? 2 * heap_room : 1024;
    struct event *bigger = realloc(heap, heap_room * sizeof *heap);
    if (!bigger)
      abort();
    heap = bigger;
  }
  struct event event = {time_ns > sim.now_ns ? time_ns : sim.now_ns, heap_order++, run, argument, number};
  size_t at = heap_count++;
  for (; at > 0 && sooner(&event, &heap[(at - 1) / 2]); at = (at - 1) / 2)
    heap[at] = heap[(at - 1) / 2];
  heap[at] = event;
}

static struct event pop(void)
{
  struct event first = heap[0], last = heap[--heap_count];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap_count)
      break;
    if (child + 1 < heap_count && sooner(&heap[child + 1], &heap[child]))
      child++;
    if (!sooner(&heap[child], &last))
      break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = last;
  return first;
}

bool sim_next_event(uint64_t until_ns)
{
  if (heap_count == 0 || heap[0].time_ns > until_ns)
    return false;
  struct event event = pop();
  if (event.time_ns > sim.now_ns)
    sim.now_ns = event.time_ns;
  event.run(event.argument, event.number);
  return true;
}

void sim_meddle(void)
{
  sim.now_ns += sim_below(2000);
  if (sim_chance(sim.config.faults.meddle))
    for (uint64_t i = 1 + sim_below(4); i > 0; i--)
      sim_next_event(sim.now_ns + 1000000);
  sim_next_event(sim.now_ns);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
  uint64_t now_ns = sim.now_ns + (clock == CLOCK_REALTIME ? 1700000000u * (uint64_t)1000000000 : 0);
  *out = (struct timespec){(time_t)(now_ns / 1000000000), (long)(now_ns % 1000000000)};
  return 0;
}

/* ── Descriptors ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct item {
  struct epoll_event event;
  int fd;
  bool ready;
};

struct set {
  bool used;
  int fd;
  unsigned count;
  struct item items[SIM_FDS];
  int slot[SIM_FDS]; /* by descriptor: its item's index plus one */
};

static struct {
  enum sim_kind kind;
  void *object;
} fds[SIM_FDS];
static struct set sets[SIM_SETS];

void sim_world_reset(void)
{
  heap_count = 0;
  memset(fds, 0, sizeof fds);
  for (unsigned i = 0; i < SIM_SETS; i++)
    if (sets[i].used)
      memset(&sets[i], 0, sizeof sets[i]);
}

void sim_world_fini(void)
{
  free(heap);
  heap = NULL;
  heap_count = heap_room = 0;
}

int sim_fd_open(enum sim_kind kind, void *object)
{
  if (sim.in_gateway && sim_chance(sim.config.faults.descriptors)) {
    sim.faults_made++;
    errno = EMFILE;
    return -1;
  }
  for (int i = 0; i < SIM_FDS; i++)
    if (fds[i].kind == SIM_FREE) {
      fds[i].kind = kind;
      fds[i].object = object;
      return SIM_FD_BASE + i;
    }
  sim_fail("the simulation has too few descriptors");
}

enum sim_kind sim_fd_kind(int fd)
{
  if (fd < SIM_FD_BASE || fd >= SIM_FD_BASE + SIM_FDS || fds[fd - SIM_FD_BASE].kind == SIM_FREE)
    sim_fail("descriptor %d is not open", fd);
  return fds[fd - SIM_FD_BASE].kind;
}

void *sim_fd_object(int fd, enum sim_kind kind)
{
  if (sim_fd_kind(fd) != kind)
    sim_fail("descriptor %d is of kind %d, not %d", fd, (int)sim_fd_kind(fd), (int)kind);
  return fds[fd - SIM_FD_BASE].object;
}

void sim_fd_change(int fd, enum sim_kind kind, void *object)
{
  fds[fd - SIM_FD_BASE].kind = kind;
  fds[fd - SIM_FD_BASE].object = object;
}

static void forget(struct set *set, int fd)
{
  int slot = set->slot[fd - SIM_FD_BASE];
  if (!set->used || !slot)
    return;
  set->slot[fd - SIM_FD_BASE] = 0;
  set->items[slot - 1] = set->items[--set->count];
  if (set->items[slot - 1].fd != fd && (unsigned)(slot - 1) < set->count)
    set->slot[set->items[slot - 1].fd - SIM_FD_BASE] = slot;
}

void sim_fd_close(int fd)
{
  sim_fd_kind(fd);
  for (unsigned i = 0; i < SIM_SETS; i++)
    forget(&sets[i], fd);
  fds[fd - SIM_FD_BASE].kind = SIM_FREE;
  fds[fd - SIM_FD_BASE].object = NULL;
}

unsigned sim_fds_open(void)
{
  unsigned open = 0;
  for (int i = 0; i < SIM_FDS; i++)
    open += fds[i].kind != SIM_FREE;
  return open;
}

/* ── epoll ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint32_t poll_fd(int fd);

static uint32_t item_ready(const struct item *item)
{
  return item->ready ? poll_fd(item->fd) & (item->event.events | EPOLLERR | EPOLLHUP) : 0;
}

static uint32_t poll_fd(int fd)
{
  void *object = fds[fd - SIM_FD_BASE].object;
  switch (fds[fd - SIM_FD_BASE].kind) {
  case SIM_SOCKET:
    return sim_socket_poll(object);
  case SIM_LISTENER:
    return sim_listener_poll(object);
  case SIM_EVENTFD:
    return *(uint64_t *)object ? EPOLLIN | EPOLLOUT : EPOLLOUT;
  case SIM_EPOLL: {
    const struct set *set = object;
    for (unsigned i = 0; i < set->count; i++)
      if (item_ready(&set->items[i]))
        return EPOLLIN;
    return 0;
  }
  default:
    return 0;
  }
}

void sim_wake(int fd, uint32_t key)
{
  if (fd < 0)
    return;
  for (unsigned i = 0; i < SIM_SETS; i++) {
    struct set *set = &sets[i];
    if (!set->used || !set->slot[fd - SIM_FD_BASE])
      continue;
    struct item *item = &set->items[set->slot[fd - SIM_FD_BASE] - 1];
    if (key && !(key & (item->event.events | EPOLLERR | EPOLLHUP)))
      continue;
    item->ready = true;
    sim_wake(set->fd, EPOLLIN);
  }
}

static void late_wake(void *object, unsigned packed)
{
  int fd = (int)(packed >> 8) + SIM_FD_BASE;
  if (fds[fd - SIM_FD_BASE].kind != SIM_FREE && fds[fd - SIM_FD_BASE].object == object)
    sim_wake(fd, packed & 0xff);
}

void sim_wake_later(int fd, uint32_t key)
{
  sim_at(sim.now_ns + sim_below(3000000), late_wake, fds[fd - SIM_FD_BASE].object,
         (unsigned)(fd - SIM_FD_BASE) << 8 | (key & 0xff));
}

int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
  (void)flags;
  for (unsigned i = 0; i < SIM_SETS; i++)
    if (!sets[i].used) {
      int fd = sim_fd_open(SIM_EPOLL, &sets[i]);
      if (fd >= 0) {
        sets[i].used = true;
        sets[i].fd = fd;
      }
      return fd;
    }
  sim_fail("the simulation has too few epoll sets");
}

void sim_epoll_close(int fd);
void sim_epoll_close(int fd)
{
  struct set *set = sim_fd_object(fd, SIM_EPOLL);
  sim_fd_close(fd);
  memset(set, 0, sizeof *set);
}

int __wrap_epoll_ctl(int set_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set_fd, int operation, int fd, struct epoll_event *event)
{
  struct set *set = sim_fd_object(set_fd, SIM_EPOLL);
  sim_fd_kind(fd);
  int slot = set->slot[fd - SIM_FD_BASE];
  if (operation == EPOLL_CTL_DEL) {
    if (!slot && sim.plane)
      sim_fail("EPOLL_CTL_DEL of %d, which is not in the set", fd);
    forget(set, fd);
    return 0;
  }
  if (operation == EPOLL_CTL_ADD) {
    if (slot)
      sim_fail("EPOLL_CTL_ADD of %d, which is in the set", fd);
    if (sim.in_gateway && sim_chance(sim.config.faults.watch)) {
      sim.faults_made++;
      errno = ENOMEM;
      return -1;
    }
    set->items[set->count] = (struct item){.fd = fd};
    slot = set->slot[fd - SIM_FD_BASE] = (int)++set->count;
  }
  if (!slot)
    sim_fail("EPOLL_CTL_MOD of %d, which is not in the set", fd);
  set->items[slot - 1].event = *event;
  if (poll_fd(fd) & (event->events | EPOLLERR | EPOLLHUP))
    sim_wake(fd, 0);
  return 0;
}

/* Spurious: any wake of a watched descriptor makes epoll tell all that is ready there, again. */
static void stir(struct set *set)
{
  if (set->count > 0 && sim_chance(sim.config.faults.spurious))
    set->items[sim_below(set->count)].ready = true;
}

static int collect(struct set *set, struct epoll_event *out, int most)
{
  unsigned ready[SIM_FDS], count = 0;
  stir(set);
  for (unsigned i = 0; i < set->count; i++)
    if (set->items[i].ready) {
      if (item_ready(&set->items[i]))
        ready[count++] = i;
      else
        set->items[i].ready = false;
    }
  unsigned take = count > 1 && sim_chance(4) ? 1 + (unsigned)sim_below(count) : count;
  if (take > (unsigned)most)
    take = (unsigned)most;
  for (unsigned i = 0; i < take; i++) {
    unsigned other = i + (unsigned)sim_below(count - i), swap = ready[other];
    ready[other] = ready[i];
    ready[i] = swap;
    struct item *item = &set->items[swap];
    out[i] = item->event;
    out[i].events = item_ready(item);
    sim_trace("event %d in set %d: %#x", item->fd, set->fd, out[i].events);
    if (item->event.events & EPOLLET)
      item->ready = false;
  }
  return (int)take;
}

int __wrap_epoll_wait(int set_fd, struct epoll_event *events, int most, int timeout_ms);
int __wrap_epoll_wait(int set_fd, struct epoll_event *events, int most, int timeout_ms)
{
  struct set *set = sim_fd_object(set_fd, SIM_EPOLL);
  if (!sim.in_gateway)
    sim_fail("epoll_wait outside of the gateway");
  sim_meddle();
  if (timeout_ms == 0)
    return collect(set, events, most);
  if (sim_chance(sim.config.faults.interrupt)) {
    errno = EINTR;
    return -1;
  }
  uint64_t until_ns = timeout_ms < 0 ? UINT64_MAX : sim.now_ns + (uint64_t)timeout_ms * 1000000;
  for (bool slept = false;; slept = true) {
    int count = collect(set, events, most);
    if (count > 0)
      return count;
    if (!slept)
      sim_check_sleep(until_ns);
    sim.slept = true;
    if (sim_next_event(until_ns))
      continue;
    if (until_ns == UINT64_MAX)
      sim_fail("the worker sleeps for ever");
    sim.now_ns = until_ns;
    return 0;
  }
}
