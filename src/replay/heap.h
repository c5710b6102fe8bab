/* SPDX-License-Identifier: Apache-2.0 */
/**
 * heap.h - players by the time at which their timer expires, the earliest on top: a binary heap in one array, in which
 * every player knows its place, so that a timer is moved or taken out in logarithmic time.
 *
 * The lists of net/timers.h are no use here: they have one duration each, and every player waits for its own times.
 * Thread: the replay's.
 */
#ifndef GG_REPLAY_HEAP_H
#define GG_REPLAY_HEAP_H

#include "replay/player.h"

struct gg_heap {
  struct gg_player **at;
  size_t count;
  size_t room;
};

/* Makes room for `players`, so that setting a timer never fails. False: no memory. */
bool gg__heap_reserve(struct gg_heap *heap, size_t players);
void gg__heap_fini(struct gg_heap *heap);
void gg__heap_set(struct gg_heap *heap, struct gg_player *player, uint64_t when_ns); /* UINT64_MAX: takes it out */
struct gg_player *gg__heap_first(const struct gg_heap *heap);                        /* NULL: empty */

#endif
