/* SPDX-License-Identifier: Apache-2.0 */
/**
 * index_private.h - the records of a store that is read by its catalogue: how index_source.c (what is asked of whom)
 * and index_records.c (what a session is, of both) share them.
 *
 * Private to these two. Thread: the store's.
 */
#ifndef GG_STORE_INDEX_PRIVATE_H
#define GG_STORE_INDEX_PRIVATE_H

#include "store/catalogue.h"
#include "store/source.h"

#include <stddef.h>

struct gg__index_entry {
  struct gg__index_entry *next; /* of the bucket */
  struct gg__record *record;
  uint64_t apart;   /* the look at which it was found to be ... */
  uint64_t reason;  /* ... for a reason of that look; not so: it was at the one before ... */
  uint64_t scanned; /* ... and by the scan */
  char id[25];
};

/* Memory that stays until the store is closed. */
struct gg__index_kept {
  struct gg__index_kept *next;
  max_align_t bytes[];
};

/* How far the catalogue was at a look. */
struct gg__index_seen {
  uint64_t generation, revision;
};

enum { GG__INDEX_SEEN_MAX = 8 }; /* looks back to which changes are known without asking for everything */

struct gg__index_name {
  char name[128];
  uint64_t scanned;
  uint64_t first_ns, last_ns;
  bool complete, scattered;
  bool there;    /* the file is */
  bool replaced; /* ... but it is not the one that was read */
};

struct gg__index {
  struct gg__source source;
  struct gg__place place;
  struct gg__life life;
  unsigned threads;
  struct gg__source *scan;         /* of what the catalogue does not know; everything, if there is none */
  struct gg__catalogue *catalogue; /* NULL: none */
  bool decided;                    /* whether there is one */
  char problem[560];               /* a sentence: why it is not read */
  struct gg__index_name *names;    /* of its segments, in order */
  size_t name_count, name_room;
  struct gg__capture **captures; /* that records of the catalogue are in, in order of their names */
  size_t capture_count, capture_room;
  struct gg__index_entry **buckets;
  size_t bucket_count, entry_count; /* a power of two */
  uint64_t look, generation;
  struct gg__index_entry **apart, **before; /* entries with this look; the one before it, while there is another */
  size_t apart_count, apart_room, before_count, before_room;
  struct gg__index_seen seen[GG__INDEX_SEEN_MAX]; /* the latest last; of this catalogue */
  size_t seen_count;
  struct gg__index_seen first; /* what is not later than it had not changed by then; 0: not known of this catalogue */
  struct gg__life first_life;
  uint64_t life_generation; /* since then sessions without an end are what they are: open, or cut */
  struct gg__index_kept *kept;
};

/* NULL: nothing is known of it here. */
struct gg__index_entry *gg__index_find(const struct gg__index *index, const char *id);
/* Made if there is none. NULL: no memory. */
struct gg__index_entry *gg__index_need(struct gg__index *index, const char *id);
/* At this look it is put together of both, and at the next, at which there may be no reason any more: then it is as the
 * catalogue has it again, in whatever batch that was written. GG_ERR_NOMEM. */
int gg__index_set_apart(struct gg__index *index, const char *id);

/* A look begins, with nothing apart. */
void gg__index_look(struct gg__index *index);
/* ... and when all is, for which there is a reason: those for which there was one at the look before. GG_ERR_NOMEM. */
int gg__index_set_former_apart(struct gg__index *index);

/* The entry's record from those of the catalogue and of the scan, each of which may be NULL. GG_ERR_NOMEM. */
int gg__index_unite(struct gg__index *index, struct gg__index_entry *entry, const struct gg__record *a,
                    const struct gg__record *b);
/* ... and from one of them alone. */
int gg__index_take(struct gg__index *index, struct gg__index_entry *entry, struct gg__record *record);

/* index_source.c: the file of that name, as records of the catalogue have it; `context` is the index. NULL: no
 * memory. */
struct gg__capture *gg__index_capture_of(void *context, const char *name);

#endif
