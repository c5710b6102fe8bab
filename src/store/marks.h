/* SPDX-License-Identifier: Apache-2.0 */
/**
 * marks.h - what people and rules say of sessions: tags, and holds that retention respects.
 *
 * That cannot be made anew from the segments, so it is in a small journal beside them, which is only ever appended to:
 *
 *     STORE/journal/marks.jsonl      {"at":"2026-...Z","session":"019a...","add":["x"],"remove":["y"],"check":"..."}
 *                                    {"at":"2026-...Z","session":"019a...","hold":true,"check":"..."}
 *
 *     marks.c          what is asked and said          ──► marks_table.c    a session's tags and hold, in memory
 *                                                      ──► marks_journal.c  the file: its lock, appending, compaction
 *                                                      ──► marks_line.c     one line and its check
 *
 * Each line ends in a checksum of itself. A torn last line (a kill, a full disk) is cut by the next who writes; a
 * damaged line is left out and told, and stays until somebody takes it out: it may have been a hold, so retention rests
 * that long. Several processes append, each line with one write under a lock of the file, and
 * synced before the command says it is done. When most lines say nothing any more, the journal is written anew beside
 * itself and renamed.
 *
 * What was changed is always read back from the journal, one's own changes as those of others: there is one way in.
 *
 * Thread: one at a time.
 */
#ifndef GG_STORE_MARKS_H
#define GG_STORE_MARKS_H

#include "store/bounds.h"

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg__marks;

/* What is said of one session. */
struct gg__mark {
  char id[25];
  bool held;
  size_t tag_count, removed_count;
  const char *const *tags;    /* added, in order of bytes; live as long as the marks, whatever is said later */
  const char *const *removed; /* taken off, though the recording has them; in order, and live likewise */
  uint64_t at_ns;             /* when the last of it was said */
};

/* A place in a journal: what is before it was read. All zero: there was none. */
struct gg__marks_position {
  uint64_t device, inode, offset;
  uint64_t check; /* of some of what is before it */
};

/* Reads the store's journal; without one there are no marks. GG_ERR_IO, DENIED, LIMIT (more sessions than
 * GG_MARKS_MAX), NOMEM. */
int gg__marks_open(struct gg__marks **out, const char *store, struct gg_failure *failure);
void gg__marks_close(struct gg__marks *marks);
/* Nothing is said of more sessions than that; at first GG_MARKS_MAX, and never more. */
void gg__marks_bound(struct gg__marks *marks, size_t max);

/* Reads what others have added since; `*changed` (may be NULL) says whether that was anything. Calls `visit` (may be
 * NULL) for each session of which something else is said than at the last refresh (at first: when they were opened),
 * whoever said it; one of which nothing is said any more comes without tags and not held. After an error it is
 * told later. */
int gg__marks_refresh(struct gg__marks *marks, bool *changed, void (*visit)(void *context, const struct gg__mark *mark),
                      void *context, struct gg_failure *failure);

/* NULL: nothing is said. Borrowed until the next call here. */
const struct gg__mark *gg__marks_find(struct gg__marks *marks, const char *id);
/* Every session of which something is said, in no particular order, until a call returns non-zero: that is returned. */
int gg__marks_each(struct gg__marks *marks, int (*visit)(void *context, const struct gg__mark *mark), void *context);
size_t gg__marks_held(const struct gg__marks *marks);                       /* how many sessions are */
size_t gg__marks_count(const struct gg__marks *marks);                      /* of how many something is said */
const char *gg__marks_warning(const struct gg__marks *marks, size_t index); /* of damaged lines; NULL past the last */
uint64_t gg__marks_damaged(const struct gg__marks *marks);                  /* how many lines are */

/* Calls `tell` (may be NULL) for each damaged line, in order; `take_out`: and writes the journal anew without them,
 * which leaves the old one beside it. `*count`: how many they were. Errors as gg__marks_tag has them. */
typedef void (*gg__damaged_fn)(void *context, uint64_t offset, const char *text, size_t length);
int gg__marks_mend(struct gg__marks *marks, bool take_out, gg__damaged_fn tell, void *context, uint64_t *count,
                   struct gg_failure *failure);

/* How far this has read; false: the file cannot be read. gg__marks_is_at, which costs nothing: whether that is it. */
bool gg__marks_position(const struct gg__marks *marks, struct gg__marks_position *out);
bool gg__marks_is_at(const struct gg__marks *marks, const struct gg__marks_position *position);
/* Calls for the session of each line between the position and how far this has read, whichever is further; one may come
 * more than once. `*there` false: it is no place in this journal, which was written anew, or replaced; no calls were
 * made. A non-zero return ends it and is returned. */
int gg__marks_between(struct gg__marks *marks, const struct gg__marks_position *position, bool *there,
                      int (*visit)(void *context, const char *id), void *context, struct gg_failure *failure);

/* Appends; a call is one line for each session, synced when it returns. A tag is 1 to 64 bytes of printable UTF-8
 * without blanks, commas and leading + or -: GG_ERR_INVALID says which is not, or which is both added and removed.
 * GG_ERR_LIMIT: a session would have more than 64, or more than 64 taken off. Adding what is there and removing what is
 * not changes nothing, and writes nothing; but to remove what the recording may have, or a rule might add later, is
 * said once. GG_ERR_BUSY: another process has had the journal's lock for GG_MARKS_LOCK_NS; NO_SPACE, DENIED, IO. On an
 * error nothing is changed, in the journal and here. */
int gg__marks_tag(struct gg__marks *marks, const char *const *ids, size_t count, const char *const *add,
                  size_t add_count, const char *const *remove, size_t remove_count, struct gg_failure *failure);
int gg__marks_hold(struct gg__marks *marks, const char *const *ids, size_t count, bool hold,
                   struct gg_failure *failure);
/* The sessions are gone: nothing is said of them any more, but of those that are held, which stay as they are. */
int gg__marks_forget(struct gg__marks *marks, const char *const *ids, size_t count, struct gg_failure *failure);

/* For who tags many, each otherwise (tag_rules.h): the tags are taken note of, and are there when gg__marks_flush has
 * returned 0. What somebody took off is not added again, nor what a session has no room for. A flush comes by itself
 * when GG_MARKS_STAGED_MAX sessions wait; on its error (those of gg__marks_tag) they go on waiting, and the session at
 * hand was not taken. */
int gg__marks_stage(struct gg__marks *marks, const char *id, const char *const *add, size_t add_count,
                    struct gg_failure *failure);
int gg__marks_flush(struct gg__marks *marks, struct gg_failure *failure);
void gg__marks_unstage(struct gg__marks *marks); /* what waits is left unsaid */

/* Whether it is a tag; otherwise the failure says why not. GG_ERR_INVALID. */
int gg__tag_check(const char *tag, struct gg_failure *failure);

#endif
