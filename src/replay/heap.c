/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/heap.h"

#include <assert.h>
#include <stdlib.h>

enum { ROOM_LEAST = 64 };

bool gg__heap_reserve(struct gg_heap *heap, size_t players)
{
  if (players <= heap->room)
    return true;
  size_t room = heap->room ? heap->room : ROOM_LEAST;
  while (room < players)
    room *= 2;
  struct gg_player **at = realloc(heap->at, room * sizeof(struct gg_player *));
  if (!at)
    return false;
  heap->at = at;
  heap->room = room;
  return true;
}

void gg__heap_fini(struct gg_heap *heap)
{
  free(heap->at);
  *heap = (struct gg_heap){0};
}

static void put(struct gg_heap *heap, size_t index, struct gg_player *player)
{
  heap->at[index] = player;
  player->heap_index = index;
}

static void rise(struct gg_heap *heap, size_t index)
{
  struct gg_player *player = heap->at[index];
  while (index > 0 && player->when_ns < heap->at[(index - 1) / 2]->when_ns) {
    put(heap, index, heap->at[(index - 1) / 2]);
    index = (index - 1) / 2;
  }
  put(heap, index, player);
}

static void sink(struct gg_heap *heap, size_t index)
{
  struct gg_player *player = heap->at[index];
  for (size_t child = 2 * index + 1; child < heap->count; child = 2 * index + 1) {
    if (child + 1 < heap->count && heap->at[child + 1]->when_ns < heap->at[child]->when_ns)
      child++;
    if (heap->at[child]->when_ns >= player->when_ns)
      break;
    put(heap, index, heap->at[child]);
    index = child;
  }
  put(heap, index, player);
}

static void take_out(struct gg_heap *heap, struct gg_player *player)
{
  size_t index = player->heap_index;
  player->heap_index = SIZE_MAX;
  struct gg_player *last = heap->at[--heap->count];
  if (last == player)
    return;
  put(heap, index, last);
  rise(heap, index);
  sink(heap, last->heap_index);
}

void gg__heap_set(struct gg_heap *heap, struct gg_player *player, uint64_t when_ns)
{
  bool in = player->heap_index != SIZE_MAX;
  assert(!in || heap->at[player->heap_index] == player);
  player->when_ns = when_ns;
  if (when_ns == UINT64_MAX) {
    if (in)
      take_out(heap, player);
    return;
  }
  if (!in) {
    assert(heap->count < heap->room);
    put(heap, heap->count++, player);
  }
  rise(heap, player->heap_index);
  sink(heap, player->heap_index);
}

struct gg_player *gg__heap_first(const struct gg_heap *heap)
{
  return heap->count ? heap->at[0] : NULL;
}
