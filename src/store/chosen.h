/* SPDX-License-Identifier: Apache-2.0 */
/**
 * chosen.h - where in a store's files the sessions are that match a filter, as far as a sweep over them alone has to
 * know it: at which block of which file a part of theirs begins and ends, and which ranges have its packets.
 *
 *   catalogue, and a scan of what that does not know yet ──► records, one at a time
 *                      ──► for each file: [first, last] of the parts, by place; their ranges, joined
 *
 * A part begins at its first block and nowhere else, so who sweeps needs no table of ids or addresses to tell these
 * sessions from others that lie among them.
 *
 * Rejected: a list of gg_store_select, as show and export have it. Its records stay, a kilobyte and more each: a replay
 * of a million sessions keeps less than a tenth of that. Here it is 16 bytes a part, and at the most 16 for each
 * GG_EXTENT_JUMP_BYTES of the files that are to be read (twice that while they are gathered).
 *
 * Private to src/store. Thread: one at a time.
 */
#ifndef GG_STORE_CHOSEN_H
#define GG_STORE_CHOSEN_H

#include "store/extents.h"
#include "store/store.h"

struct gg__chosen_part {
  uint64_t first, last; /* blocks at these offsets */
};

struct gg__chosen_file {
  char *name;     /* relative to the store's segments */
  bool scattered; /* capture.h */
  struct gg__chosen_part *parts;
  size_t part_count, part_room;
  struct gg__extent *ranges;
  size_t range_count, range_room;
  size_t tidied; /* so many were left when they were last put in order */
};

struct gg__chosen {
  struct gg__chosen_file *files; /* in order of their names */
  size_t file_count, file_room;
};

/* Looks for what is new in the store, and asks. GG_ERR_UNSUPPORTED: nothing but all its files can say where they are;
 * `*chosen` is empty then. Else errors as gg_store_refresh has them; fini also after an error. */
int gg__chosen_find(struct gg__chosen *chosen, struct gg_store *store, const struct gg_filter *filter,
                    struct gg_failure *failure);
void gg__chosen_fini(struct gg__chosen *chosen); /* empty, and good to be used again */

#endif
