/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session of a store that is read by its catalogue: its one record, of what the catalogue and the scan know. It stays
 * where it is until the store is closed, and so does what it points to; what changes is written over.
 */
#include "store/index_private.h"

#include "store/extents.h"
#include "store/hash.h"
#include "store/marks.h"
#include "store/tags.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MIN = 256 };

/* ── Entries ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__index_entry **bucket_of(struct gg__index_entry **buckets, size_t count, const char *id)
{
  return &buckets[gg__hash(id, 24) & (count - 1)];
}

static int grow_table(struct gg__index *index)
{
  size_t count = index->bucket_count ? index->bucket_count * 2 : ENTRIES_MIN;
  struct gg__index_entry **larger = calloc(count, sizeof(struct gg__index_entry *));
  if (!larger)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < index->bucket_count; i++)
    for (struct gg__index_entry *at = index->buckets[i], *next; at; at = next) {
      struct gg__index_entry **bucket = bucket_of(larger, count, at->id);
      next = at->next;
      at->next = *bucket;
      *bucket = at;
    }
  free(index->buckets);
  index->buckets = larger;
  index->bucket_count = count;
  return 0;
}

struct gg__index_entry *gg__index_find(const struct gg__index *index, const char *id)
{
  struct gg__index_entry *at = index->bucket_count ? *bucket_of(index->buckets, index->bucket_count, id) : NULL;
  while (at && memcmp(at->id, id, 24) != 0)
    at = at->next;
  return at;
}

/* NULL: no memory. */
struct gg__index_entry *gg__index_need(struct gg__index *index, const char *id)
{
  struct gg__index_entry *entry = gg__index_find(index, id);
  if (entry)
    return entry;
  if (index->entry_count >= index->bucket_count && grow_table(index) != 0)
    return NULL;
  entry = calloc(1, sizeof *entry);
  if (!entry)
    return NULL;
  memcpy(entry->id, id, 24);
  struct gg__index_entry **bucket = bucket_of(index->buckets, index->bucket_count, id);
  entry->next = *bucket;
  *bucket = entry;
  index->entry_count++;
  return entry;
}

static int set_apart(struct gg__index *index, struct gg__index_entry *entry)
{
  if (entry->apart == index->look)
    return 0;
  if (index->apart_count == index->apart_room) {
    size_t room = index->apart_room ? index->apart_room * 2 : 64;
    struct gg__index_entry **larger = realloc(index->apart, room * sizeof(struct gg__index_entry *));
    if (!larger)
      return GG_ERR_NOMEM;
    index->apart = larger;
    index->apart_room = room;
  }
  index->apart[index->apart_count++] = entry;
  entry->apart = index->look;
  return 0;
}

int gg__index_set_apart(struct gg__index *index, const char *id)
{
  struct gg__index_entry *entry = gg__index_need(index, id);
  int error = entry ? set_apart(index, entry) : GG_ERR_NOMEM;
  if (!error)
    entry->reason = index->look;
  return error;
}

void gg__index_look(struct gg__index *index)
{
  struct gg__index_entry **list = index->apart;
  size_t room = index->apart_room;
  index->apart = index->before;
  index->apart_room = index->before_room;
  index->before = list;
  index->before_room = room;
  index->before_count = index->apart_count;
  index->apart_count = 0;
  index->look++;
}

int gg__index_set_former_apart(struct gg__index *index)
{
  int error = 0;
  for (size_t i = 0; i < index->before_count && !error; i++)
    if (index->before[i]->reason + 1 == index->look)
      error = set_apart(index, index->before[i]);
  return error;
}

static void *keep(struct gg__index *index, size_t bytes)
{
  struct gg__index_kept *kept = malloc(sizeof *kept + bytes);
  if (!kept)
    return NULL;
  kept->next = index->kept;
  index->kept = kept;
  return kept->bytes;
}

/* ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The text that is there, if it is the same: nothing that was given out moves without need. */
static const char *keep_text(struct gg__index *index, const char *old, const char *text, bool *failed)
{
  if (text == old || (old && strcmp(old, text) == 0))
    return old;
  if (!text[0])
    return "";
  char *copy = keep(index, strlen(text) + 1);
  *failed |= !copy;
  return copy ? memcpy(copy, text, strlen(text) + 1) : "";
}

/* `changed` of these parts says that their ranges have room of their own for as many as there may be. */
static bool copy_extents(struct gg__index *index, struct gg__part *to, const struct gg__part *from)
{
  if (!to->changed && from->extent_count > 0) {
    struct gg__extent *room = keep(index, GG_EXTENTS_MAX * sizeof *room);
    if (!room)
      return false;
    to->extents = room;
    to->changed = true;
  }
  to->extent_count = from->extents ? from->extent_count : 0;
  if (to->extent_count > 0)
    memcpy(to->extents, from->extents, to->extent_count * sizeof *to->extents);
  else
    to->extents = to->changed ? to->extents : NULL;
  return true;
}

static bool copy_part(struct gg__index *index, struct gg__part *to, const struct gg__part *from)
{
  struct gg__part old = *to;
  const char **const texts[GG__TEXTS] = {&to->client,      &to->server,  &to->listener,   &to->upstream,
                                         &to->server_path, &to->close,   &to->why,        &to->original,
                                         &to->as_sent_of,  &to->verdict, &to->verdict_by, &to->tags};
  const char *const before[GG__TEXTS] = {old.client,      old.server,  old.listener,   old.upstream,
                                         old.server_path, old.close,   old.why,        old.original,
                                         old.as_sent_of,  old.verdict, old.verdict_by, old.tags};
  bool failed = false;
  *to = *from;
  to->next_of_session = old.next_of_session;
  to->next_of_capture = to->next_changed = NULL;
  to->record = old.record;
  to->changed = old.changed;
  to->extents = old.extents;
  for (int side = 0; side < 2; side++)
    to->stream[side].held = NULL, to->stream[side].held_count = 0, to->stream[side].held_bytes = 0;
  for (size_t i = 0; i < GG__TEXTS; i++)
    *texts[i] = keep_text(index, before[i], *texts[i], &failed);
  to->capture = old.capture ? old.capture : gg__index_capture_of(index, from->capture->name);
  return copy_extents(index, to, from) && to->capture && !failed;
}

static bool is_same(const struct gg__part *a, const struct gg__part *b)
{
  return a->first_offset == b->first_offset && strcmp(a->capture->name, b->capture->name) == 0;
}

static struct gg__part *find_part(struct gg__part *parts, const struct gg__part *like)
{
  while (parts && !is_same(parts, like))
    parts = parts->next_of_session;
  return parts;
}

/* Whether a part says more than what is known of it. */
static bool says_more(const struct gg__part *part, const struct gg__part *known)
{
  return part->last_offset > known->last_offset || (part->closed && !known->closed);
}

static int add_part(struct gg__index *index, struct gg__record *record, const struct gg__part *from, bool *changed)
{
  struct gg__part *part = find_part(record->parts, from);
  if (part && !says_more(from, part))
    return 0;
  *changed = true;
  if (part)
    return copy_part(index, part, from) ? 0 : GG_ERR_NOMEM;
  part = keep(index, sizeof *part);
  if (!part)
    return GG_ERR_NOMEM;
  *part = (struct gg__part){.record = record};
  if (!copy_part(index, part, from))
    return GG_ERR_NOMEM;
  struct gg__part **at = &record->parts;
  while (*at && gg__part_before(*at, part))
    at = &(*at)->next_of_session;
  part->next_of_session = *at;
  *at = part;
  return 0;
}

/* A part that neither has any more went with its file. */
static void drop_parts(struct gg__record *record, const struct gg__record *a, const struct gg__record *b, bool *changed)
{
  for (struct gg__part **at = &record->parts; *at;) {
    if (find_part(a ? a->parts : NULL, *at) || find_part(b ? b->parts : NULL, *at)) {
      at = &(*at)->next_of_session;
      continue;
    }
    *at = (*at)->next_of_session; /* who reads it goes on by it */
    *changed = true;
  }
}

static int mark(const struct gg__index *index, struct gg__record *record)
{
  return gg__record_mark(record, index->source.marks ? gg__marks_find(index->source.marks, record->session.id) : NULL);
}

/* The session of the record's parts, as scan.c makes it. */
static int renew(const struct gg__index *index, struct gg__record *record, const char *id)
{
  struct gg_session session = {.generation = index->generation};
  uint64_t told[2] = {0, 0};
  const char *tags = "";
  memcpy(session.id, id, sizeof session.id);
  gg__session_begin(&session, record->parts);
  session.state = gg__life_state(&index->life, record->parts->capture->name);
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session) {
    gg__session_add(&session, part, told, part == record->parts);
    tags = part->closed ? part->tags : tags;
  }
  session.protocol = record->session.protocol ? record->session.protocol : "";
  int error = gg__tags_set(&session, &record->tags, tags);
  record->session = session;
  record->own_tags = session.tags;
  record->own_tag_count = session.tag_count;
  int marked = mark(index, record);
  return error ? error : marked;
}

/* The entry's record is what these two say, either of which may be NULL. */
int gg__index_unite(struct gg__index *index, struct gg__index_entry *entry, const struct gg__record *a,
                    const struct gg__record *b)
{
  bool changed = !entry->record;
  int error = 0;
  if (!entry->record)
    entry->record = calloc(1, sizeof *entry->record);
  if (!entry->record)
    return GG_ERR_NOMEM;
  struct gg__record *record = entry->record;
  drop_parts(record, a, b, &changed);
  for (const struct gg__part *part = a ? a->parts : NULL; part && !error; part = part->next_of_session)
    error = add_part(index, record, part, &changed);
  for (const struct gg__part *part = b ? b->parts : NULL; part && !error; part = part->next_of_session)
    error = add_part(index, record, part, &changed);
  if (error || !record->parts)
    return error;
  const char *protocol = a && a->session.protocol ? a->session.protocol : "";
  if (!protocol[0] && b && b->session.protocol)
    protocol = b->session.protocol;
  if (protocol[0] && strcmp(record->protocol, protocol) != 0) {
    gg__record_name(record, protocol);
    changed = true;
  }
  bool ended = record->session.state == GG_SESSION_CLOSED;
  changed |= !ended && record->session.state != gg__life_state(&index->life, record->parts->capture->name);
  if (!changed)
    return mark(index, record); /* what is said of it is the newest anyway */
  return renew(index, record, entry->id);
}

/* A session that is met for the first time may have been there all along: an earlier question did not ask for it. */
static uint64_t generation_of(const struct gg__index *index, const struct gg__record *record)
{
  const struct gg_session *session = &record->session;
  bool old = index->first.revision > 0 && record->revision <= index->first.revision;
  bool other = session->state != GG_SESSION_CLOSED &&
               session->state != gg__life_state(&index->first_life, record->parts->capture->name);
  return old && !other ? index->first.generation : index->generation;
}

/* What the catalogue has of a session: it is the entry's record, if that has none yet. */
int gg__index_take(struct gg__index *index, struct gg__index_entry *entry, struct gg__record *record)
{
  int error;
  if (entry->record) {
    error = gg__index_unite(index, entry, record, NULL);
    gg__record_free(record);
    return error;
  }
  entry->record = record;
  record->session.generation = generation_of(index, record);
  return mark(index, record);
}
