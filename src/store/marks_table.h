/* SPDX-License-Identifier: Apache-2.0 */
/**
 * marks_table.h - what is said of sessions, in memory.
 *
 * Rules may tag every session of a large store, so a session is 32 bytes here: most have one of a few sets of tags, and
 * each set is kept once, for as long as the pool lives. A pool outlasts the tables that are made from it, since what
 * others have borrowed of it stays true when the journal is read anew.
 *
 * Private to src/store. Thread: the marks'.
 */
#ifndef GG_STORE_MARKS_TABLE_H
#define GG_STORE_MARKS_TABLE_H

#include "store/bounds.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ── Sets of tags ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The number of a set; the same number is the same set. */
enum { GG__TAGS_NONE = 0 };

struct gg__tag_set {
  uint64_t hash;
  size_t count;
  const char *const *tags; /* in order of bytes, each once */
};

struct gg__tag_pool {
  struct gg__tag_set *sets; /* the first one is empty */
  uint32_t *slots;          /* numbers, GG__TAGS_NONE where there is none */
  size_t count, room, slot_count;
};

int gg__tag_pool_init(struct gg__tag_pool *pool); /* GG_ERR_NOMEM */
void gg__tag_pool_fini(struct gg__tag_pool *pool);
static inline const struct gg__tag_set *gg__tag_set(const struct gg__tag_pool *pool, uint32_t set)
{
  return &pool->sets[set];
}

bool gg__tag_set_has(const struct gg__tag_pool *pool, uint32_t set, const char *tag);
/* The set with or without a tag. GG_ERR_LIMIT: it has GG_MARK_TAGS_MAX already; GG_ERR_NOMEM. */
int gg__tag_set_add(struct gg__tag_pool *pool, uint32_t *set, const char *tag);
int gg__tag_set_remove(struct gg__tag_pool *pool, uint32_t *set, const char *tag);

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg__marks_entry {
  uint8_t id[12];
  uint32_t tags;    /* a set */
  uint32_t removed; /* a set */
  unsigned held : 1;
  unsigned changed : 1; /* since it was told last */
  unsigned used : 1;    /* 0: a free slot */
  uint64_t at_ns;
};

struct gg__marks_table {
  struct gg__marks_entry *slots;
  size_t slot_count; /* a power of two, or 0 */
  size_t used;       /* also those of which nothing is said any more */
  size_t said;       /* of which something is */
  size_t held;
};

void gg__marks_table_fini(struct gg__marks_table *table);
/* Both give 24 hexadecimal digits their place. */
struct gg__marks_entry *gg__marks_table_find(const struct gg__marks_table *table, const char *id); /* NULL: none */
/* Made if there is none. Valid until the next one is made. GG_ERR_LIMIT: more than GG_MARKS_MAX; GG_ERR_NOMEM. */
int gg__marks_table_get(struct gg__marks_table *table, const char *id, struct gg__marks_entry **out);
/* Says something else of a session; the table's sums follow. */
void gg__marks_table_set(struct gg__marks_table *table, struct gg__marks_entry *entry,
                         const struct gg__marks_entry *now);

static inline bool gg__marks_entry_says(const struct gg__marks_entry *entry)
{
  return entry->tags != GG__TAGS_NONE || entry->removed != GG__TAGS_NONE || entry->held;
}
static inline bool gg__marks_entry_equal(const struct gg__marks_entry *a, const struct gg__marks_entry *b)
{
  return a->tags == b->tags && a->removed == b->removed && a->held == b->held;
}
void gg__marks_entry_id(const struct gg__marks_entry *entry, char id[25]);

#endif
