/* SPDX-License-Identifier: Apache-2.0 */
/**
 * retained.h - the segments of a store as retention sees them: a table that is brought up to date as often as it is
 * asked for, and remembers what it has found out.
 *
 *   listing ──► name, bytes ──► sealed? ──► last record (of the file's last block) ──► when its sessions may go
 *   each time                   once         once                                      once, if there are rules
 *
 * A sealed segment never changes, so it is looked at once; and it is read only if a rule may concern it by now. Of its
 * sessions nothing is kept but when the last of them may go, and, if all of them are held, which they are. Memory: some
 * 150 bytes a segment.
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
  uint64_t last_ns;     /* of its last record, if `sealed` */
  uint64_t expires_ns;  /* when all in it may go, if `judged` */
  struct gg__kept held; /* all that is in it, if it was found to be held */
  bool sealed;
  bool judged;
  bool passed;            /* in this pass: it cannot go now ... */
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
/* A segment is gone, or `name` (taken over; NULL: nothing) of so many bytes has taken its place. */
void gg__retained_replace(struct gg__retained_table *table, struct gg__retained *item, char *name, uint64_t bytes);

/* When all that is in it may go by age. Reads the file if there are rules and it is not known. */
uint64_t gg__retained_expires(struct gg__retained_table *table, struct gg__retained *item,
                              const struct gg__retention_limits *limits, struct gg__marks *marks, uint64_t now_ns);
/* Rules that have changed, or marks of that session (NULL: of any): what follows from them is not known any more. */
void gg__retained_doubt(struct gg__retained_table *table, const char *id);

#endif
