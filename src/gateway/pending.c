/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/pending.h"

#include <assert.h>
#include <stdbool.h>
#include <sys/mman.h>

/*
 * An arena is 1 MiB at an address that is a multiple of 1 MiB, so that a buffer finds its arena by masking. Its first
 * page is the head; buffers of its class fill the rest, aligned to their size or to a page, whichever is less.
 *
 *   | head 4 KiB | buffer | buffer | ... |        free buffers are chained through their first bytes
 */
enum { HEAD_BYTES = 4096 };

struct arena {
  struct gg_list node;
  void *free;
  uint32_t used;
  uint32_t count;
  uint32_t fresh; /* buffers from here on were never handed out: no page of theirs is touched */
  uint32_t class_index;
};

void gg_pending_init(struct gg_pending_slab *slab, size_t bytes_max)
{
  for (unsigned i = 0; i < GG_PENDING_CLASSES; i++)
    gg_list_init(&slab->arenas[i]);
  slab->mapped_bytes = 0;
  slab->bytes_max = bytes_max;
}

static void arena_unmap(struct gg_pending_slab *slab, struct arena *arena)
{
  gg_list_remove(&arena->node);
  munmap(arena, GG_PENDING_ARENA_BYTES);
  slab->mapped_bytes -= GG_PENDING_ARENA_BYTES;
}

void gg_pending_fini(struct gg_pending_slab *slab)
{
  for (unsigned i = 0; i < GG_PENDING_CLASSES; i++)
    while (!gg_list_empty(&slab->arenas[i]))
      arena_unmap(slab, GG_CONTAINER(slab->arenas[i].next, struct arena, node));
}

/* At the bound: gives back an arena that another class has kept empty. A class's only arena may be one. */
static bool arena_reclaim(struct gg_pending_slab *slab)
{
  for (unsigned i = 0; i < GG_PENDING_CLASSES; i++) {
    if (gg_list_empty(&slab->arenas[i]))
      continue;
    struct arena *arena = GG_CONTAINER(slab->arenas[i].next, struct arena, node);
    if (arena->used > 0)
      continue;
    arena_unmap(slab, arena);
    return true;
  }
  return false;
}

/* Maps twice the size and gives back what is not aligned. */
static struct arena *arena_map(struct gg_pending_slab *slab, unsigned class_index)
{
  if (slab->mapped_bytes + GG_PENDING_ARENA_BYTES > slab->bytes_max && !arena_reclaim(slab))
    return NULL;
  size_t twice = 2 * (size_t)GG_PENDING_ARENA_BYTES;
  uint8_t *start = mmap(NULL, twice, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED)
    return NULL;
  size_t before = (size_t)(-(uintptr_t)start & (GG_PENDING_ARENA_BYTES - 1));
  if (before > 0)
    munmap(start, before);
  munmap(start + before + GG_PENDING_ARENA_BYTES, GG_PENDING_ARENA_BYTES - before);
  struct arena *arena = (struct arena *)(void *)(start + before);
  size_t bytes = (size_t)1 << (class_index + GG_PENDING_CLASS_MIN);
  arena->count = (uint32_t)((GG_PENDING_ARENA_BYTES - HEAD_BYTES) / bytes);
  arena->class_index = class_index;
  gg_list_append(&slab->arenas[class_index], &arena->node);
  slab->mapped_bytes += GG_PENDING_ARENA_BYTES;
  return arena;
}

static unsigned class_of(size_t bytes)
{
  unsigned class_index = 0;
  while (((size_t)1 << (class_index + GG_PENDING_CLASS_MIN)) < bytes)
    class_index++;
  assert(class_index < GG_PENDING_CLASSES);
  return class_index;
}

/* The arena of a class that has a free buffer, if there is one: full ones are at the end of the list. */
static struct arena *arena_with_room(const struct gg_pending_slab *slab, unsigned class_index)
{
  const struct gg_list *list = &slab->arenas[class_index];
  struct arena *arena = gg_list_empty(list) ? NULL : GG_CONTAINER(list->next, struct arena, node);
  return arena && arena->used < arena->count ? arena : NULL;
}

uint8_t *gg_pending_alloc(struct gg_pending_slab *slab, size_t bytes)
{
  unsigned class_index = class_of(bytes);
  struct arena *arena = arena_with_room(slab, class_index);
  if (!arena)
    arena = arena_map(slab, class_index);
  while (!arena && ++class_index < GG_PENDING_CLASSES) /* at the bound a larger buffer does as well */
    arena = arena_with_room(slab, class_index);
  if (!arena)
    return NULL;
  struct gg_list *list = &slab->arenas[class_index];
  uint8_t *buffer = arena->free;
  if (buffer)
    arena->free = *(void **)arena->free;
  else
    buffer = (uint8_t *)arena + HEAD_BYTES + ((size_t)arena->fresh++ << (class_index + GG_PENDING_CLASS_MIN));
  arena->used++;
  gg_list_remove(&arena->node);
  if (arena->used == arena->count)
    gg_list_append(list, &arena->node);
  else
    gg_list_append(list->next, &arena->node); /* stays in front */
  return buffer;
}

void gg_pending_free(struct gg_pending_slab *slab, uint8_t *buffer)
{
  struct arena *arena = (struct arena *)((uintptr_t)buffer & ~(uintptr_t)(GG_PENDING_ARENA_BYTES - 1));
  assert(arena->used > 0);
  struct gg_list *list = &slab->arenas[arena->class_index];
  bool alone = list->next == &arena->node && list->previous == &arena->node;
  if (--arena->used == 0 && !alone) { /* the last one stays: no mmap and munmap for every partial send */
    arena_unmap(slab, arena);
    return;
  }
  *(void **)(void *)buffer = arena->free;
  arena->free = buffer;
  gg_list_remove(&arena->node);
  gg_list_append(list->next, &arena->node);
}
