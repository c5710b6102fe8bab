/* SPDX-License-Identifier: Apache-2.0 */
/**
 * retained.h - the segments of a store as retention sees them: a table that is brought up to date as often as it is
 * asked for, and remembers what it has found out.
 *
 *   listing ──► name, bytes ──► sealed? ──► last record (of the file's last block) ──► each rule's share of it
 *   each time                   once         once                                      once, if there are rules
 *
 * A sealed segment never changes, so it is looked at once; and it is read only if a rule may concern it by now: one of
 * ages when some session in it may be too old, one of bytes at once. Of its sessions nothing is kept but for each rule
 * their bytes and when the last of them ended, and, if all of them are held, which they are. Memory: some 170 bytes a
 * segment, and 24 for each rule with sessions in it.
 *
 * Private to src/store. Thread: one at a time.
 */
#ifndef GG_STORE_RETAINED_H
#define GG_STORE_RETAINED_H

#include "store/keep.h"
#include "store/marks.h"
#include "store/retention_plan.h"

#include <sys/stat.h>

struct gg__retained {
  char *name;
  uint64_t bytes;
  uint64_t modified_ns;
  uint64_t last_ns;         /* of its last record, if `sealed` */
  struct gg__share *shares; /* of each rule with sessions in it, if `judged` */
  size_t share_count;
  uint64_t filled;      /* in this pass: the rules of which newer ones have enough (retention_plan.h) */
  struct gg__kept held; /* all that is in it, if it was found to be held */
  bool sealed;
  bool judged;
  bool passed;            /* in this pass: it is done with, or cannot go now ... */
  bool no_room;           /* ... for want of room */
  enum gg_prune_why owed; /* it had to go, and was read or had no room: later ones went in its place, so it still has */
};

struct gg__retained_table {
  char *store;                /* its directory */
  int store_fd;               /* locked by who prunes (retention.h) */
  int folder_fd;              /* segments/ */
  struct gg__retained *items; /* in the order of their names, and so of their beginnings */
  size_t count;
  uint64_t bytes;         /* of all */
  uint64_t open;          /* that are being written */
  bool leftovers;         /* of one that was killed: gg__keep_mend */
  struct timespec listed; /* the folder's time then */
  uint64_t listed_ns;
};

/* GG_ERR_NOT_FOUND, FORMAT (no gateway's store), DENIED, NOMEM. To be finished whatever comes. */
int gg__retained_open(struct gg__retained_table *out, const char *store, struct gg_failure *failure);
void gg__retained_fini(struct gg__retained_table *table);

/* Looks which there are, how large they are, and which are sealed. */
int gg__retained_refresh(struct gg__retained_table *table, uint64_t now_ns, struct gg_failure *failure);
/* Who writes it says that nothing will be added. */
void gg__retained_sealed(struct gg__retained_table *table, const char *name);
/* A segment is gone, or `name` (taken over; NULL: nothing) of so many bytes has taken its place, and is passed over in
 * this pass. */
void gg__retained_replace(struct gg__retained_table *table, struct gg__retained *item, char *name, uint64_t bytes);

/* Whether it has to be read before gg__retained_due can say that it may go. */
bool gg__retained_is_open_question(const struct gg__retained *item, const struct gg__retention_limits *limits,
                                   uint64_t now_ns);
/* Reads it. `go_on` (may be NULL) is asked now and then. GG_ERR_CLOSED: it said that this is enough; GG_ERR_NOMEM.
 * After either nothing has been found out. */
int gg__retained_judge(struct gg__retained_table *table, struct gg__retained *item,
                       const struct gg__retention_limits *limits, struct gg__marks *marks,
                       bool (*go_on)(void *context, uint64_t done, uint64_t total), void *context);
/* Whether all that is in it may go by age or rules, as far as it is known. */
enum gg_prune_why gg__retained_due(const struct gg__retained *item, const struct gg__retention_limits *limits,
                                   uint64_t now_ns);
/* Rules that have changed, or marks of that session (NULL: of any): what follows from them is not known any more. */
void gg__retained_doubt(struct gg__retained_table *table, const char *id);

#endif
