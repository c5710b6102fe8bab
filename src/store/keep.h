/* SPDX-License-Identifier: Apache-2.0 */
/**
 * keep.h - what stays of a segment that has to go: its held sessions, copied into a file of their own.
 *
 *     X.pcapng ──► blocks ──► packets of held sessions, as they are ──► X.kept1.pcapng.new ──► X.kept1.pcapng
 *              └──► section, interface, and statistics that say something                     (and X.pcapng goes)
 *
 * Every block that is copied is copied byte for byte, so packets, times and facts are what they were, and the file is a
 * segment like any other: it can be held and kept again (generation 2), and goes when nothing in it is held.
 *
 * A session is in exactly one file at every moment, whenever we are killed, by a rule and not by a record of intent:
 * of files with one base (segment_name.h) the newest generation counts, and who lists the folder passes the others over
 * (place.h). So the rename is the moment at which the held ones are there and the others are gone:
 *
 *     killed before the rename    X counts; X.kept1.pcapng.new is no segment, and is removed by the next one
 *     killed behind it            X.kept1 counts; X is removed by the next one (gg__keep_mend)
 *
 * (Rejected: to rename it over X itself. The offsets that an index or an open store has of X would then be looked up in
 * another file, in which something else stands there.)
 *
 * Thread: one at a time, and one process: who holds the store's retention lock (retention.h).
 */
#ifndef GG_STORE_KEEP_H
#define GG_STORE_KEEP_H

#include "store/bounds.h"

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GG__KEEP_NAME_MAX = 160 };

/* Whether a session has to be kept. */
typedef bool (*gg__keep_held_fn)(void *context, const char *id);

struct gg__kept_session {
  char id[25];
  bool closed;    /* its end is here: nothing of it comes later */
  bool rewritten; /* it is what was sent instead of another one, or there is such a one */
};

struct gg__kept {
  struct gg__kept_session *sessions; /* that are kept, in order of ids; gg__kept_fini frees */
  size_t count;
  uint64_t packets; /* that are kept */
  uint64_t dropped; /* packets that are not */
  uint64_t bytes;   /* of the file that has them */
  bool damaged;     /* something could not be read: a held session may have been in it */
};
void gg__kept_fini(struct gg__kept *kept);

/* Copies what has to be kept of the segment `from` (its name in messages: `path`) to `to`, which is empty; -1: only
 * finds out. GG_ERR_NO_SPACE, IO, NOMEM, LIMIT; damage is no
 * error. `kept` is to be finished whatever comes. */
int gg__keep_copy(struct gg__kept *kept, int from, const char *path, int to, gg__keep_held_fn held, void *context,
                  struct gg_failure *failure);

/* Until it is whole, a file has this behind its name. */
#define GG__KEEP_UNFINISHED ".new"
bool gg__keep_is_unfinished(const char *name);

/* Removes what a killed one has left in the folder: files that never got their name, and those that another one has
 * taken the place of. Returns how many, or an error. */
int gg__keep_mend(int folder, struct gg_failure *failure);

#endif
