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
 * of a million sessions keeps less than a tenth of that. Here it is 32 bytes a part, and at the most 16 for each
 * GG_EXTENT_JUMP_BYTES of the files that are to be read (twice that while they are gathered).
 *
 * Private to src/store. Thread: one at a time.
 */
#ifndef GG_STORE_CHOSEN_H
#define GG_STORE_CHOSEN_H

#include "record/session_id.h"
#include "store/extents.h"
#include "store/store.h"

struct gg__chosen_part {
  uint64_t first, last;    /* blocks at these offsets */
  struct gg_session_id id; /* whose it is, for when the file has gone */
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
  size_t gone_count; /* of them, that were not there any more when they were to be read ... */
  char gone[128];    /* ... and the first of those */
};

/* It is read from where the first packet may be, to behind the last: so many bytes. */
static inline uint64_t gg__chosen_begin(const struct gg__chosen_file *file)
{
  return file->ranges[0].first;
}

static inline uint64_t gg__chosen_span(const struct gg__chosen_file *file)
{
  return file->ranges[file->range_count - 1].end - gg__chosen_begin(file);
}

/* Looks for what is new in the store, and asks. GG_ERR_UNSUPPORTED: nothing but all its files can say where they are;
 * `*chosen` is empty then. Else errors as gg_store_refresh has them; fini also after an error. */
int gg__chosen_find(struct gg__chosen *chosen, struct gg_store *store, const struct gg_filter *filter,
                    struct gg_failure *failure);
void gg__chosen_fini(struct gg__chosen *chosen); /* empty, and good to be used again */

void gg__chosen_note_gone(struct gg__chosen *chosen, const char *name);
/* A sentence about them, that all or some of the sessions that match went with them; false: there is nothing to say. */
enum { GG__CHOSEN_GONE_TEXT = 288 };
bool gg__chosen_tell_gone(const struct gg__chosen *chosen, bool some, char text[GG__CHOSEN_GONE_TEXT]);

/* Where in what was kept of a file (moved.h) the sessions are that were chosen in it; `*whole` false: not all of them
 * are there. GG_ERR_NOT_FOUND: none is; GG_ERR_NOMEM; fini also after an error. */
struct gg__moved;
int gg__chosen_follow(struct gg__chosen_file *out, const struct gg__chosen_file *gone, const struct gg__moved *moved,
                      bool *whole);
void gg__chosen_file_fini(struct gg__chosen_file *file); /* likewise */

#endif
