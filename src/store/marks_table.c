/* SPDX-License-Identifier: Apache-2.0 */
#include "store/marks_table.h"

#include "store/hash.h"

#include <assert.h>
#include <gogetway/error.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_FIRST = 64 };

/* ── Sets of tags ────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__tag_pool_init(struct gg__tag_pool *pool)
{
  *pool = (struct gg__tag_pool){.sets = calloc(SLOTS_FIRST, sizeof *pool->sets),
                                .slots = calloc((size_t)SLOTS_FIRST * 2, sizeof *pool->slots),
                                .count = 1,
                                .room = SLOTS_FIRST,
                                .slot_count = (size_t)SLOTS_FIRST * 2};
  if (pool->sets && pool->slots)
    return 0;
  gg__tag_pool_fini(pool);
  return GG_ERR_NOMEM;
}

/* A set is one block: its pointers, and the texts behind them. */
void gg__tag_pool_fini(struct gg__tag_pool *pool)
{
  for (size_t i = 1; i < pool->count && pool->sets; i++)
    free((void *)(uintptr_t)pool->sets[i].tags);
  free(pool->sets);
  free(pool->slots);
  *pool = (struct gg__tag_pool){0};
}

static uint64_t hash_tags(const char *const *tags, size_t count)
{
  uint64_t hash = count;
  for (size_t i = 0; i < count; i++)
    hash = hash * 0x9e3779b97f4a7c15u + gg__hash(tags[i], strlen(tags[i]));
  return hash;
}

static bool equal(const struct gg__tag_set *set, uint64_t hash, const char *const *tags, size_t count)
{
  if (set->hash != hash || set->count != count)
    return false;
  for (size_t i = 0; i < count; i++)
    if (strcmp(set->tags[i], tags[i]) != 0)
      return false;
  return true;
}

static int grow_pool(struct gg__tag_pool *pool)
{
  size_t room = pool->room * 2, slot_count = room * 2;
  if (room > UINT32_MAX)
    return GG_ERR_NOMEM;
  struct gg__tag_set *sets = realloc(pool->sets, room * sizeof *sets);
  if (!sets)
    return GG_ERR_NOMEM;
  pool->sets = sets;
  uint32_t *slots = calloc(slot_count, sizeof *slots);
  if (!slots)
    return GG_ERR_NOMEM;
  for (uint32_t i = 1; i < pool->count; i++) {
    size_t at = (size_t)sets[i].hash & (slot_count - 1);
    while (slots[at] != GG__TAGS_NONE)
      at = (at + 1) & (slot_count - 1);
    slots[at] = i;
  }
  free(pool->slots);
  pool->slots = slots;
  pool->room = room;
  pool->slot_count = slot_count;
  return 0;
}

static const char *const *copy_tags(const char *const *tags, size_t count)
{
  size_t bytes = count * sizeof(char *);
  for (size_t i = 0; i < count; i++)
    bytes += strlen(tags[i]) + 1;
  char **copy = malloc(bytes);
  char *text = copy ? (char *)(copy + count) : NULL;
  for (size_t i = 0; i < count && copy; i++) {
    size_t length = strlen(tags[i]) + 1;
    copy[i] = memcpy(text, tags[i], length);
    text += length;
  }
  return (const char *const *)copy;
}

/* The number of the set that has these, in order. */
static int intern(struct gg__tag_pool *pool, uint32_t *out, const char *const *tags, size_t count)
{
  *out = GG__TAGS_NONE;
  if (count == 0)
    return 0;
  int error = pool->count == pool->room ? grow_pool(pool) : 0;
  if (error)
    return error;
  uint64_t hash = hash_tags(tags, count);
  size_t at = (size_t)hash & (pool->slot_count - 1);
  for (; pool->slots[at] != GG__TAGS_NONE; at = (at + 1) & (pool->slot_count - 1))
    if (equal(&pool->sets[pool->slots[at]], hash, tags, count)) {
      *out = pool->slots[at];
      return 0;
    }
  struct gg__tag_set set = {.hash = hash, .count = count, .tags = copy_tags(tags, count)};
  if (!set.tags)
    return GG_ERR_NOMEM;
  pool->sets[pool->count] = set;
  pool->slots[at] = *out = (uint32_t)pool->count++;
  return 0;
}

/* Where the tag stands, or would. */
static size_t place_of(const struct gg__tag_set *set, const char *tag, bool *found)
{
  size_t at = 0;
  int order = 1;
  while (at < set->count && (order = strcmp(tag, set->tags[at])) > 0)
    at++;
  *found = at < set->count && order == 0;
  return at;
}

bool gg__tag_set_has(const struct gg__tag_pool *pool, uint32_t set, const char *tag)
{
  bool found;
  place_of(gg__tag_set(pool, set), tag, &found);
  return found;
}

int gg__tag_set_add(struct gg__tag_pool *pool, uint32_t *set, const char *tag)
{
  const struct gg__tag_set *old = gg__tag_set(pool, *set);
  const char *tags[GG_MARK_TAGS_MAX];
  bool found;
  size_t at = place_of(old, tag, &found), count = old->count;
  if (found)
    return 0;
  if (count == GG_MARK_TAGS_MAX)
    return GG_ERR_LIMIT;
  for (size_t i = 0; i < count; i++)
    tags[i < at ? i : i + 1] = old->tags[i];
  tags[at] = tag;
  return intern(pool, set, tags, count + 1);
}

int gg__tag_set_remove(struct gg__tag_pool *pool, uint32_t *set, const char *tag)
{
  const struct gg__tag_set *old = gg__tag_set(pool, *set);
  const char *tags[GG_MARK_TAGS_MAX];
  bool found;
  size_t at = place_of(old, tag, &found), count = old->count;
  if (!found)
    return 0;
  for (size_t i = 0; i < count; i++)
    if (i != at)
      tags[i < at ? i : i - 1] = old->tags[i];
  return intern(pool, set, tags, count - 1);
}

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__marks_table_fini(struct gg__marks_table *table)
{
  free(table->slots);
  *table = (struct gg__marks_table){0};
}

static uint8_t digit(char c)
{
  return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void pack(uint8_t packed[12], const char *id)
{
  for (size_t i = 0; i < 12; i++)
    packed[i] = (uint8_t)(digit(id[2 * i]) << 4 | digit(id[2 * i + 1]));
}

void gg__marks_entry_id(const struct gg__marks_entry *entry, char id[25])
{
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < 12; i++) {
    id[2 * i] = digits[entry->id[i] >> 4];
    id[2 * i + 1] = digits[entry->id[i] & 15];
  }
  id[24] = '\0';
}

/* Its slot, or the free one where it would be. There is always a free one. */
static struct gg__marks_entry *probe(const struct gg__marks_table *table, const uint8_t packed[12])
{
  size_t at = (size_t)gg__hash(packed, 12) & (table->slot_count - 1);
  while (table->slots[at].used && memcmp(table->slots[at].id, packed, 12) != 0)
    at = (at + 1) & (table->slot_count - 1);
  return &table->slots[at];
}

struct gg__marks_entry *gg__marks_table_find(const struct gg__marks_table *table, const char *id)
{
  uint8_t packed[12];
  if (table->slot_count == 0)
    return NULL;
  pack(packed, id);
  struct gg__marks_entry *entry = probe(table, packed);
  return entry->used ? entry : NULL;
}

/* What nobody says anything of any more, and was told, is left behind. */
static int grow_table(struct gg__marks_table *table)
{
  size_t kept = 0;
  for (size_t i = 0; i < table->slot_count; i++) {
    const struct gg__marks_entry *entry = &table->slots[i];
    kept += entry->used && (gg__marks_entry_says(entry) || entry->changed);
  }
  struct gg__marks_table larger = {.slot_count = SLOTS_FIRST, .used = kept, .said = table->said, .held = table->held};
  if (kept >= GG_MARKS_MAX)
    return GG_ERR_LIMIT;
  while (larger.slot_count < kept * 2)
    larger.slot_count *= 2;
  larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
  if (!larger.slots)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < table->slot_count; i++) {
    const struct gg__marks_entry *entry = &table->slots[i];
    if (entry->used && (gg__marks_entry_says(entry) || entry->changed))
      *probe(&larger, entry->id) = *entry;
  }
  free(table->slots);
  *table = larger;
  return 0;
}

int gg__marks_table_get(struct gg__marks_table *table, const char *id, struct gg__marks_entry **out)
{
  uint8_t packed[12];
  pack(packed, id);
  struct gg__marks_entry *entry = table->slot_count ? probe(table, packed) : NULL;
  bool full = (table->used + 1) * 4 > table->slot_count * 3 || table->used >= GG_MARKS_MAX;
  if (!entry || (!entry->used && full)) {
    int error = grow_table(table);
    if (error)
      return error;
    entry = probe(table, packed);
  }
  if (!entry->used) {
    *entry = (struct gg__marks_entry){.used = 1};
    memcpy(entry->id, packed, sizeof packed);
    table->used++;
  }
  *out = entry;
  return 0;
}

void gg__marks_table_set(struct gg__marks_table *table, struct gg__marks_entry *entry,
                         const struct gg__marks_entry *now)
{
  assert(entry->used);
  table->said += gg__marks_entry_says(now);
  table->said -= gg__marks_entry_says(entry);
  table->held += now->held;
  table->held -= entry->held;
  entry->tags = now->tags;
  entry->removed = now->removed;
  entry->held = now->held;
  entry->at_ns = now->at_ns;
}
