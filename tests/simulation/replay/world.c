/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct sim_world sim;
struct sim_totals totals;

_Noreturn void sim_fail(const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "\nsimulation failed at %.9f s: ", (double)(sim.now_ns - sim.base_ns) / 1e9);
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
  fprintf(stderr, "%14.9f ", (double)(sim.now_ns - sim.base_ns) / 1e9);
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

/* ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct event {
  uint64_t time_ns;
  uint64_t order;
  sim_event_fn run;
  void *argument;
  uint64_t number;
};

static struct event *heap;
static size_t heap_count, heap_room;
static uint64_t heap_order;

static bool sooner(const struct event *a, const struct event *b)
{
  return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

void sim_at(uint64_t time_ns, sim_event_fn run, void *argument, uint64_t number)
{
  if (heap_count == heap_room) {
    heap_room = heap_room ? 2 * heap_room : 256;
    heap = realloc(heap, heap_room * sizeof *heap);
    if (!heap)
      abort();
  }
  struct event event = {time_ns > sim.now_ns ? time_ns : sim.now_ns, heap_order++, run, argument, number};
  size_t i = heap_count++;
  for (; i > 0 && sooner(&event, &heap[(i - 1) / 2]); i = (i - 1) / 2)
    heap[i] = heap[(i - 1) / 2];
  heap[i] = event;
}

bool sim_next_event(uint64_t until_ns)
{
  if (heap_count == 0 || heap[0].time_ns > until_ns)
    return false;
  struct event event = heap[0], last = heap[--heap_count];
  size_t i = 0;
  for (size_t child = 1; child < heap_count; child = 2 * i + 1) {
    if (child + 1 < heap_count && sooner(&heap[child + 1], &heap[child]))
      child++;
    if (!sooner(&heap[child], &last))
      break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
  if (event.time_ns > sim.now_ns)
    sim.now_ns = event.time_ns;
  event.run(event.argument, event.number);
  return true;
}

void sim_world_reset(void)
{
  heap_count = 0;
  heap_order = 0;
}

void sim_world_fini(void)
{
  free(heap);
  heap = NULL;
  heap_room = heap_count = 0;
}
