/* SPDX-License-Identifier: Apache-2.0 */
#include "store/lookup.h"

#include "store/frames.h"
#include "store/hash.h"

#include <stdlib.h>

struct gg__lookup {
  size_t slot_count; /* a power of two, at least twice the parts */
  const struct gg__part *slots[];
};

int gg__lookup_create(struct gg__lookup **out, const struct gg__part *const *parts, size_t count)
{
  size_t slots = 16;
  while (slots < count * 2)
    slots *= 2;
  struct gg__lookup *lookup = calloc(1, sizeof *lookup + slots * sizeof lookup->slots[0]);
  *out = lookup;
  if (!lookup)
    return GG_ERR_NOMEM;
  lookup->slot_count = slots;
  for (size_t i = 0; i < count; i++) {
    size_t at = (size_t)gg__hash_pair(&parts[i]->end[0], &parts[i]->end[1]) & (slots - 1);
    while (lookup->slots[at])
      at = (at + 1) & (slots - 1);
    lookup->slots[at] = parts[i];
  }
  return 0;
}

void gg__lookup_destroy(struct gg__lookup *lookup)
{
  free(lookup);
}

const struct gg__part *gg__lookup_find(const struct gg__lookup *lookup, const struct gg__frame *frame, int *side)
{
  uint64_t offset = frame->packet.block.offset;
  size_t at = (size_t)gg__hash_pair(&frame->tcp.from, &frame->tcp.to) & (lookup->slot_count - 1);
  for (; lookup->slots[at]; at = (at + 1) & (lookup->slot_count - 1)) {
    const struct gg__part *part = lookup->slots[at];
    if (offset < part->first_offset || offset > part->last_offset)
      continue;
    *side = gg__part_side(part, frame);
    if (*side >= 0)
      return part;
  }
  return NULL;
}
