/* SPDX-License-Identifier: Apache-2.0 */
#include "store/flows.h"

#include "store/frames.h"
#include "store/hash.h"

#include <gogetway/error.h>
#include <stdlib.h>

enum { FLOWS_MIN = 64 };

static size_t home(const struct gg__flows *flows, const struct gg_addr *a, const struct gg_addr *b)
{
  return gg__hash_pair(a, b) & (flows->room - 1);
}

static struct gg__part **slot_of(const struct gg__flows *flows, const struct gg_addr *a, const struct gg_addr *b)
{
  size_t at = home(flows, a, b);
  while (flows->slots[at] && !gg__part_joins(flows->slots[at], a, b))
    at = (at + 1) & (flows->room - 1);
  return &flows->slots[at];
}

static int grow(struct gg__flows *flows)
{
  struct gg__flows larger = {.room = flows->room ? flows->room * 2 : FLOWS_MIN};
  larger.slots = calloc(larger.room, sizeof(struct gg__part *));
  if (!larger.slots)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < flows->room; i++)
    if (flows->slots[i])
      *slot_of(&larger, &flows->slots[i]->end[0], &flows->slots[i]->end[1]) = flows->slots[i];
  free(flows->slots);
  flows->slots = larger.slots;
  flows->room = larger.room;
  return 0;
}

struct gg__part *gg__flows_find(struct gg__flows *flows, const struct gg__frame *frame)
{
  if (flows->last && gg__part_joins(flows->last, &frame->tcp.from, &frame->tcp.to))
    return flows->last;
  struct gg__part *part = flows->room ? *slot_of(flows, &frame->tcp.from, &frame->tcp.to) : NULL;
  if (part)
    flows->last = part;
  return part;
}

int gg__flows_bind(struct gg__flows *flows, struct gg__part *part)
{
  if (flows->count * 2 >= flows->room && grow(flows) != 0)
    return GG_ERR_NOMEM;
  struct gg__part **slot = slot_of(flows, &part->end[0], &part->end[1]);
  flows->count += *slot == NULL;
  *slot = part;
  flows->last = part;
  return 0;
}

/* Those behind the hole that would not be found any more move up. */
static void close_hole(struct gg__flows *flows, size_t hole)
{
  size_t mask = flows->room - 1;
  for (size_t at = (hole + 1) & mask; flows->slots[at]; at = (at + 1) & mask) {
    size_t wanted = home(flows, &flows->slots[at]->end[0], &flows->slots[at]->end[1]);
    if (((at - wanted) & mask) < ((at - hole) & mask))
      continue;
    flows->slots[hole] = flows->slots[at];
    hole = at;
  }
  flows->slots[hole] = NULL;
}

void gg__flows_unbind(struct gg__flows *flows, const struct gg__part *part)
{
  if (flows->last == part)
    flows->last = NULL;
  if (!flows->room)
    return;
  struct gg__part **slot = slot_of(flows, &part->end[0], &part->end[1]);
  if (*slot != part)
    return;
  close_hole(flows, (size_t)(slot - flows->slots));
  flows->count--;
}

void gg__flows_fini(struct gg__flows *flows)
{
  free(flows->slots);
  *flows = (struct gg__flows){0};
}
