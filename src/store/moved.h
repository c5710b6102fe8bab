/* SPDX-License-Identifier: Apache-2.0 */
/**
 * moved.h - where a session's packets are once its segment has gone: in what retention has kept of it (keep.h).
 *
 * Readers open a file when they come to it, and until then retention may take it: of a held session the same packets
 * stand in a later generation of the file then, at other offsets. Streams and their offsets are the same. So whoever
 * does not find a file asks here, and reads the parts that he is given in the place of his own.
 *
 *     X.pcapng     part ─┐ ─► next of the session          a session may have more of one than of the other:
 *                        ▼             ▲                   those of X in a row become those of X.kept1
 *     X.kept1.pcapng   part ─► part ───┘
 *
 * Rejected: to open, and claim, all files of a session before the first is read. A session may have as many as there
 * are, a reader descriptors for some; and one may go between the listing and the opening.
 *
 * Private to src/store and to src/replay's plan. Thread: one at a time. Nothing of the store's own parts changes.
 */
#ifndef GG_STORE_MOVED_H
#define GG_STORE_MOVED_H

#include "store/capture.h"
#include "store/frames.h"

#include <gogetway/error.h>
#include <stddef.h>

struct gg__moved {
  struct gg__frames *frames;   /* of what was kept, at its beginning: who reads it takes it. It is claimed */
  struct gg__capture *capture; /* likewise; NULL: nothing, or not known yet */
  struct gg__part **parts;     /* of all that are in it, in order of ids and places */
  size_t count;
};

/* Finds what was kept of a file that is not there. GG_ERR_NOT_FOUND: nothing; GG_ERR_NOMEM, IO, ... It is
 * empty after an error. */
int gg__moved_find(struct gg__moved *moved, const struct gg__capture *gone, struct gg_failure *failure);
void gg__moved_fini(struct gg__moved *moved); /* empty, and good to be used again */

/* The place of the first of the session's in `parts`; `count`: it was not held. */
size_t gg__moved_first(const struct gg__moved *moved, const char *id);

/* The first of those that stand for the part and the ones behind it that its session has in the file that has gone; the
 * same for each of them. The last one's next is the session's next in another file. NULL: the session was not held. */
const struct gg__part *gg__moved_take(struct gg__moved *moved, const struct gg__part *part);

/* All that were taken so far, in order of their places, borrowed from `moved`; `*out` is yours to free. GG_ERR_NOMEM:
 * it is NULL. */
int gg__moved_taken(const struct gg__moved *moved, const struct gg__part ***out, size_t *count);

#endif
