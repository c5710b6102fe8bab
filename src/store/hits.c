/* SPDX-License-Identifier: Apache-2.0 */
/* hits.c - what was found in a session, side by side as it was found, and out in order of time. */
#include "store/pass.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { HITS_ROOM_FIRST = 256 };

/* In front of the bytes: context, match, context. */
struct head {
  uint64_t offset, time_ns;
  uint32_t length, before, after;
  uint32_t size; /* of all that, a multiple of 8 */
};

int gg__hits_add(struct gg__hits *hits, const struct gg__hit *hit)
{
  size_t bytes = hit->before + hit->length + hit->after, size = (sizeof(struct head) + bytes + 7) & ~(size_t)7;
  if (hits->taken > 0 && hits->length + size > hits->room) {
    memmove(hits->bytes, hits->bytes + hits->taken, hits->length - hits->taken);
    hits->length -= hits->taken;
    hits->taken = 0;
  }
  if (hits->length + size > hits->room) {
    size_t room = hits->room ? hits->room * 2 : HITS_ROOM_FIRST;
    while (room < hits->length + size)
      room *= 2;
    uint8_t *larger = realloc(hits->bytes, room);
    if (!larger)
      return GG_ERR_NOMEM;
    hits->bytes = larger;
    hits->room = room;
  }
  struct head head = {hit->offset,           hit->time_ns,         (uint32_t)hit->length,
                      (uint32_t)hit->before, (uint32_t)hit->after, (uint32_t)size};
  memcpy(hits->bytes + hits->length, &head, sizeof head);
  memcpy(hits->bytes + hits->length + sizeof head, hit->data - hit->before, bytes);
  hits->length += size;
  return 0;
}

static bool peek(const struct gg__hits *hits, struct head *head)
{
  if (hits->taken == hits->length)
    return false;
  memcpy(head, hits->bytes + hits->taken, sizeof *head);
  return true;
}

/* A match of the other side that is still to come cannot stand in front of this one. */
static bool settled(const struct gg__item *item, int side, uint64_t time_ns)
{
  uint64_t open_ns = gg__window_open_ns(&item->window[1 - side]);
  uint64_t least_ns = open_ns < item->clock_ns ? open_ns : item->clock_ns;
  if (item->done || item->window[1 - side].stopped)
    return true;
  return side == 0 ? time_ns <= least_ns : time_ns < least_ns;
}

bool gg__item_next(struct gg__pass *pass, struct gg__item *item, struct gg_grep_match *match)
{
  struct head heads[2];
  bool have[2] = {peek(&item->hits[0], &heads[0]), peek(&item->hits[1], &heads[1])};
  if (!have[0] && !have[1])
    return false;
  int side = have[0] && (!have[1] || heads[0].time_ns <= heads[1].time_ns) ? 0 : 1;
  bool crowded = pass->hits_bytes > GG_PASS_HITS_BYTES;
  if (!have[1 - side] && !crowded && !settled(item, side, heads[side].time_ns))
    return false;
  struct gg__hits *hits = &item->hits[side];
  const struct head *head = &heads[side];
  *match = (struct gg_grep_match){.session = item->session,
                                  .side = side == 0 ? GG_SIDE_CLIENT : GG_SIDE_SERVER,
                                  .offset = head->offset,
                                  .time_ns = head->time_ns,
                                  .data = hits->bytes + hits->taken + sizeof *head + head->before,
                                  .length = head->length,
                                  .before = head->before,
                                  .after = head->after};
  hits->taken += head->size;
  pass->hits_bytes -= head->size;
  return true;
}

size_t gg__hits_bytes(const struct gg__hits *hits)
{
  return hits->length - hits->taken;
}

void gg__hits_fini(struct gg__hits *hits)
{
  free(hits->bytes);
  *hits = (struct gg__hits){0};
}
