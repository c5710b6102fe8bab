/* SPDX-License-Identifier: Apache-2.0 */
#include "store/marks.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/marks_journal.h"
#include "store/marks_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The journal is written anew when it has so many lines, and more than twice as many as there are sessions. */
enum { REWRITE_LINES = 1024 };
/* So many changes are found again by their ids; of more, by looking at all sessions. */
enum { NEWS = 4096 };

/* What waits for a flush: a set of tags to add. */
struct staged {
  char id[25];
  uint32_t tags;
};

struct gg__marks {
  struct gg__marks_journal journal;
  struct gg__marks_table table;
  struct gg__tag_pool pool;
  struct staged *staged;
  size_t staged_count;
  size_t max;             /* sessions of which something is said */
  uint64_t rewrite_lines; /* not tried with less: the last time it failed */
  size_t news_count;      /* entries that are changed, by id; NEWS: there may be more */
  char news[NEWS][25];
  bool torn;            /* the table does not have all that was read: it is to be made anew */
  struct gg__mark mark; /* what was shown last */
};

/* ── One line ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What the entry says after the line. */
static int follow(struct gg__tag_pool *pool, const struct gg__marks_line *line, struct gg__marks_entry *entry)
{
  int error = 0;
  if (line->forget) {
    entry->tags = entry->removed = GG__TAGS_NONE;
    entry->held = 0;
  }
  for (size_t i = 0; i < line->remove_count && !error; i++) {
    error = gg__tag_set_remove(pool, &entry->tags, line->remove[i]);
    if (!error)
      error = gg__tag_set_add(pool, &entry->removed, line->remove[i]);
  }
  for (size_t i = 0; i < line->add_count && !error; i++) {
    error = gg__tag_set_remove(pool, &entry->removed, line->add[i]);
    if (!error)
      error = gg__tag_set_add(pool, &entry->tags, line->add[i]);
  }
  if (line->hold != GG__HOLD_SAME)
    entry->held = line->hold == GG__HOLD_SET;
  entry->at_ns = line->at_ns;
  return error;
}

static void note_change(struct gg__marks *marks, struct gg__marks_entry *entry, const char *id)
{
  if (!entry->changed && marks->news_count < NEWS)
    memcpy(marks->news[marks->news_count++], id, 25);
  entry->changed = 1;
}

/* A line that would give a session more tags than it may have gives it those that it may: we do not write such. */
static int take_line(struct gg__marks *marks, struct gg__marks_table *table, const struct gg__marks_line *line)
{
  struct gg__marks_entry *entry;
  int error = gg__marks_table_get(table, line->id, &entry);
  if (error)
    return error;
  struct gg__marks_entry now = *entry;
  error = follow(&marks->pool, line, &now);
  if (error && error != GG_ERR_LIMIT)
    return error;
  /* Of a table that is made anew all is compared when it is whole. */
  if (table == &marks->table && !gg__marks_entry_equal(entry, &now))
    note_change(marks, entry, line->id);
  gg__marks_table_set(table, entry, &now);
  return 0;
}

static int take_new(void *context, const struct gg__marks_line *line)
{
  struct gg__marks *marks = context;
  return take_line(marks, &marks->table, line);
}

/* ── Reading the journal ─────────────────────────────────────────────────────────────────────────────────────────── */

struct anew {
  struct gg__marks *marks;
  struct gg__marks_table table;
};

static int take_anew(void *context, const struct gg__marks_line *line)
{
  struct anew *anew = context;
  return take_line(anew->marks, &anew->table, line);
}

/* What differs between two tables has changed; what is only in the old one is said no more. */
static int compare(struct gg__marks *marks, const struct gg__marks_table *old, struct gg__marks_table *now)
{
  char id[25];
  bool changed;
  marks->news_count = 0;
  for (size_t i = 0; i < now->slot_count; i++) {
    struct gg__marks_entry *entry = &now->slots[i];
    if (!entry->used)
      continue;
    gg__marks_entry_id(entry, id);
    const struct gg__marks_entry *before = gg__marks_table_find(old, id), nothing = {.used = 1};
    before = before ? before : &nothing;
    changed = before->changed || !gg__marks_entry_equal(before, entry);
    entry->changed = 0;
    if (changed)
      note_change(marks, entry, id);
  }
  for (size_t i = 0; i < old->slot_count; i++) {
    const struct gg__marks_entry *before = &old->slots[i];
    struct gg__marks_entry *entry;
    if (!before->used || !(gg__marks_entry_says(before) || before->changed))
      continue;
    gg__marks_entry_id(before, id);
    if (gg__marks_table_find(now, id))
      continue;
    int error = gg__marks_table_get(now, id, &entry);
    if (error)
      return error;
    note_change(marks, entry, id);
  }
  return 0;
}

static int read_anew(struct gg__marks *marks, struct gg_failure *failure)
{
  struct anew anew = {.marks = marks};
  marks->torn = true;
  gg__marks_journal_rewind(&marks->journal);
  int error = gg__marks_journal_read(&marks->journal, take_anew, &anew, failure);
  if (!error && compare(marks, &marks->table, &anew.table) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "no memory for tags and holds");
  if (error) {
    gg__marks_table_fini(&anew.table);
    return error;
  }
  gg__marks_table_fini(&marks->table);
  marks->table = anew.table;
  marks->torn = false;
  return 0;
}

static int read_journal(struct gg__marks *marks, struct gg_failure *failure)
{
  bool anew;
  int error = gg__marks_journal_look(&marks->journal, &anew, failure);
  if (error)
    return error;
  if (anew || marks->torn)
    return read_anew(marks, failure);
  return gg__marks_journal_read(&marks->journal, take_new, marks, failure);
}

/* ── Opening and asking ──────────────────────────────────────────────────────────────────────────────────────────── */

static const struct gg__mark *show(struct gg__marks *marks, const struct gg__marks_entry *entry)
{
  const struct gg__tag_set *tags = gg__tag_set(&marks->pool, entry->tags);
  const struct gg__tag_set *removed = gg__tag_set(&marks->pool, entry->removed);
  struct gg__mark *mark = &marks->mark;
  gg__marks_entry_id(entry, mark->id);
  mark->held = entry->held;
  mark->tags = tags->tags;
  mark->tag_count = tags->count;
  mark->removed = removed->tags;
  mark->removed_count = removed->count;
  mark->at_ns = entry->at_ns;
  return mark;
}

static void tell_one(struct gg__marks *marks, struct gg__marks_entry *entry,
                     void (*visit)(void *context, const struct gg__mark *mark), void *context)
{
  if (!entry || !entry->changed)
    return;
  entry->changed = 0;
  if (visit)
    visit(context, show(marks, entry));
}

/* All that changed, each once. */
static void tell_changes(struct gg__marks *marks, void (*visit)(void *context, const struct gg__mark *mark),
                         void *context)
{
  bool all = marks->news_count == NEWS;
  for (size_t i = 0; i < marks->news_count; i++)
    tell_one(marks, gg__marks_table_find(&marks->table, marks->news[i]), visit, context);
  for (size_t i = 0; i < marks->table.slot_count && all; i++)
    tell_one(marks, &marks->table.slots[i], visit, context);
  marks->news_count = 0;
}

int gg__marks_open(struct gg__marks **out, const char *store, struct gg_failure *failure)
{
  struct gg__marks *marks = calloc(1, sizeof *marks);
  *out = NULL;
  if (marks)
    marks->max = GG_MARKS_MAX;
  if (!marks || gg__tag_pool_init(&marks->pool) != 0) {
    free(marks);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for tags and holds");
  }
  int error = gg__marks_journal_init(&marks->journal, store, failure);
  if (!error)
    error = read_journal(marks, failure);
  if (error) {
    gg__marks_close(marks);
    return error;
  }
  tell_changes(marks, NULL, NULL);
  *out = marks;
  return 0;
}

void gg__marks_close(struct gg__marks *marks)
{
  if (!marks)
    return;
  gg__marks_journal_fini(&marks->journal);
  gg__marks_table_fini(&marks->table);
  gg__tag_pool_fini(&marks->pool);
  free(marks->staged);
  free(marks);
}

void gg__marks_bound(struct gg__marks *marks, size_t max)
{
  assert(max <= GG_MARKS_MAX);
  marks->max = max;
}

int gg__marks_refresh(struct gg__marks *marks, bool *changed, void (*visit)(void *context, const struct gg__mark *mark),
                      void *context, struct gg_failure *failure)
{
  int error = read_journal(marks, failure);
  if (changed)
    *changed = marks->news_count > 0;
  if (!error)
    tell_changes(marks, visit, context);
  return error;
}

bool gg__marks_position(const struct gg__marks *marks, struct gg__marks_position *out)
{
  return gg__marks_journal_position(&marks->journal, out);
}

bool gg__marks_is_at(const struct gg__marks *marks, const struct gg__marks_position *position)
{
  return gg__marks_journal_is_at(&marks->journal, position);
}

struct naming {
  int (*visit)(void *context, const char *id);
  void *context;
};

static int name_one(void *context, const struct gg__marks_line *line)
{
  const struct naming *naming = context;
  return naming->visit(naming->context, line->id);
}

int gg__marks_between(struct gg__marks *marks, const struct gg__marks_position *position, bool *there,
                      int (*visit)(void *context, const char *id), void *context, struct gg_failure *failure)
{
  struct naming naming = {visit, context};
  uint64_t from = position->offset, to = marks->journal.offset;
  *there = gg__marks_journal_has(&marks->journal, position);
  if (!*there || from == to)
    return 0;
  return gg__marks_journal_again(&marks->journal, from < to ? from : to, from < to ? to : from, name_one, &naming,
                                 failure);
}

const struct gg__mark *gg__marks_find(struct gg__marks *marks, const char *id)
{
  const struct gg__marks_entry *entry =
    gg__marks_is_id(id, strnlen(id, 25)) ? gg__marks_table_find(&marks->table, id) : NULL;
  return entry && gg__marks_entry_says(entry) ? show(marks, entry) : NULL;
}

int gg__marks_each(struct gg__marks *marks, int (*visit)(void *context, const struct gg__mark *mark), void *context)
{
  int result = 0;
  for (size_t i = 0; i < marks->table.slot_count && result == 0; i++) {
    const struct gg__marks_entry *entry = &marks->table.slots[i];
    if (entry->used && gg__marks_entry_says(entry))
      result = visit(context, show(marks, entry));
  }
  return result;
}

size_t gg__marks_held(const struct gg__marks *marks)
{
  return marks->table.held;
}

uint64_t gg__marks_damaged(const struct gg__marks *marks)
{
  return marks->journal.damaged;
}

size_t gg__marks_count(const struct gg__marks *marks)
{
  return marks->table.said;
}

const char *gg__marks_warning(const struct gg__marks *marks, size_t index)
{
  return gg__marks_journal_warning(&marks->journal, index);
}

/* ── Saying ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What is to be said of many sessions: `fill` makes the line of each, by its number. */
struct saying {
  size_t count;
  void (*fill)(const struct saying *saying, size_t index, struct gg__marks_line *line);
  bool gently; /* what was taken off is not added */
  const char *const *ids;
  struct gg__marks_line line; /* of all of them, but for the id */
  struct gg__marks *marks;    /* whose staged tags they are */
  uint64_t now_ns;
};

/* Takes out of a line what was said already. False: nothing is left of it. */
static bool strip(const struct gg__tag_pool *pool, const struct gg__marks_entry *entry, bool gently,
                  struct gg__marks_line *line)
{
  size_t add = 0, removed = 0;
  for (size_t i = 0; i < line->add_count; i++) {
    bool off = gg__tag_set_has(pool, entry->removed, line->add[i]);
    if (off ? !gently : !gg__tag_set_has(pool, entry->tags, line->add[i]))
      line->add[add++] = line->add[i];
  }
  for (size_t i = 0; i < line->remove_count; i++)
    if (!gg__tag_set_has(pool, entry->removed, line->remove[i]))
      line->remove[removed++] = line->remove[i];
  size_t room = GG_MARK_TAGS_MAX - gg__tag_set(pool, entry->tags)->count;
  line->add_count = gently && add > room ? room : add; /* nobody is there to be told that it is full */
  line->remove_count = removed;
  if (line->hold != GG__HOLD_SAME && (line->hold == GG__HOLD_SET) == entry->held)
    line->hold = GG__HOLD_SAME;
  line->forget = line->forget && gg__marks_entry_says(entry) && !entry->held;
  return line->add_count > 0 || removed > 0 || line->hold != GG__HOLD_SAME || line->forget;
}

/* The line of a session as it is to be written, and what the session then says; false: there is nothing to write. */
static bool prepare(struct gg__marks *marks, const struct saying *saying, size_t index, struct gg__marks_line *line,
                    struct gg__marks_entry *before)
{
  saying->fill(saying, index, line);
  const struct gg__marks_entry *entry = gg__marks_table_find(&marks->table, line->id);
  *before = entry ? *entry : (struct gg__marks_entry){.used = 1};
  line->at_ns = saying->now_ns;
  return strip(&marks->pool, before, saying->gently, line);
}

/* Before anything is written: whether all of it can be. `*any`: there is something to write. */
static int judge(struct gg__marks *marks, const struct saying *saying, bool *any, struct gg_failure *failure)
{
  struct gg__marks_line line;
  struct gg__marks_entry entry;
  size_t fresh = 0;
  *any = false;
  for (size_t i = 0; i < saying->count; i++) {
    if (!prepare(marks, saying, i, &line, &entry))
      continue;
    *any = true;
    fresh += !gg__marks_entry_says(&entry);
    int error = follow(&marks->pool, &line, &entry);
    if (error == GG_ERR_LIMIT)
      return gg_fail(failure, error, "session %s would have more than %d tags, or more than %d taken off", line.id,
                     GG_MARK_TAGS_MAX, GG_MARK_TAGS_MAX);
    if (error)
      return gg_fail(failure, error, "no memory for tags and holds");
  }
  if (marks->table.said + fresh > marks->max && fresh > 0)
    return gg_fail(
      failure, GG_ERR_LIMIT,
      "at most %zu sessions can have tags or be held: remove old ones ('gogetway prune', or retention), or "
      "tag fewer",
      marks->max);
  return 0;
}

static int write_lines(struct gg__marks *marks, const struct saying *saying, struct gg_failure *failure)
{
  struct gg__marks_line line;
  struct gg__marks_entry before;
  int error = gg__marks_journal_begin(&marks->journal, failure);
  for (size_t i = 0; i < saying->count && !error; i++)
    if (prepare(marks, saying, i, &line, &before))
      error = gg__marks_journal_add(&marks->journal, &line, failure);
  return error ? error : gg__marks_journal_end(&marks->journal, failure);
}

struct rewriting {
  struct gg__marks *marks;
  size_t at;
};

static bool next_line(void *context, struct gg__marks_line *line)
{
  struct rewriting *rewriting = context;
  struct gg__marks *marks = rewriting->marks;
  const struct gg__marks_table *table = &marks->table;
  while (rewriting->at < table->slot_count && !gg__marks_entry_says(&table->slots[rewriting->at]))
    rewriting->at++;
  if (rewriting->at == table->slot_count)
    return false;
  const struct gg__mark *mark = show(marks, &table->slots[rewriting->at++]);
  *line = (struct gg__marks_line){.hold = mark->held ? GG__HOLD_SET : GG__HOLD_SAME,
                                  .at_ns = mark->at_ns,
                                  .add_count = mark->tag_count,
                                  .remove_count = mark->removed_count};
  memcpy(line->id, mark->id, sizeof line->id);
  for (size_t i = 0; i < mark->tag_count; i++)
    line->add[i] = mark->tags[i];
  for (size_t i = 0; i < mark->removed_count; i++)
    line->remove[i] = mark->removed[i];
  return true;
}

/* What was asked for is done; whether this succeeds is nobody's concern, but when it is tried again. Damaged lines
 * would be lost with it, and somebody is to look at them before. */
static void rewrite_if_worn(struct gg__marks *marks)
{
  struct rewriting rewriting = {.marks = marks};
  uint64_t lines = marks->journal.lines;
  if (marks->journal.damaged > 0 || lines < REWRITE_LINES || lines <= 2 * (uint64_t)marks->table.said ||
      lines < marks->rewrite_lines)
    return;
  bool failed = gg__marks_journal_rewrite(&marks->journal, next_line, &rewriting, NULL) != 0;
  marks->rewrite_lines = failed ? 2 * lines : 0;
}

static int say(struct gg__marks *marks, struct saying *saying, struct gg_failure *failure)
{
  bool any = false;
  if (saying->count == 0)
    return 0;
  int error = gg__marks_journal_lock(&marks->journal, failure);
  if (error)
    return error;
  error = read_journal(marks, failure);
  saying->now_ns = gg_clock_real_ns();
  if (!error)
    error = judge(marks, saying, &any, failure);
  if (!error && any) {
    error = write_lines(marks, saying, failure);
    /* Read back: without memory for that it is done all the same, and seen at the next refresh. */
    if (!error && read_journal(marks, NULL) == 0)
      rewrite_if_worn(marks);
  }
  gg__marks_journal_unlock(&marks->journal);
  return error;
}

int gg__marks_mend(struct gg__marks *marks, bool take_out, gg__damaged_fn tell, void *context, uint64_t *count,
                   struct gg_failure *failure)
{
  struct rewriting rewriting = {.marks = marks};
  bool anew;
  int error = take_out ? gg__marks_journal_lock(&marks->journal, failure) : 0;
  if (error)
    return error;
  error = gg__marks_journal_look(&marks->journal, &anew, failure);
  marks->journal.tell_damaged = tell;
  marks->journal.tell_context = context;
  if (!error)
    error = read_anew(marks, failure);
  marks->journal.tell_damaged = NULL;
  *count = marks->journal.damaged;
  if (!error && take_out && *count > 0)
    error = gg__marks_journal_rewrite(&marks->journal, next_line, &rewriting, failure);
  gg__marks_journal_unlock(&marks->journal);
  return error;
}

static void fill_same(const struct saying *saying, size_t index, struct gg__marks_line *line)
{
  *line = saying->line;
  memcpy(line->id, saying->ids[index], 24);
}

static int check_ids(const char *const *ids, size_t count, struct gg_failure *failure)
{
  for (size_t i = 0; i < count; i++)
    if (!gg__marks_is_id(ids[i], strnlen(ids[i], 25)))
      return gg_fail(failure, GG_ERR_INVALID, "a session's id is 24 hexadecimal digits");
  return 0;
}

int gg__tag_check(const char *tag, struct gg_failure *failure)
{
  char shown[4 * GG_MARK_TAG_BYTES_MAX];
  size_t length = strnlen(tag, GG_MARK_TAG_BYTES_MAX + 1);
  if (gg__marks_is_tag(tag, length))
    return 0;
  if (length == 0)
    return gg_fail(failure, GG_ERR_INVALID, "a tag cannot be empty");
  gg_text_sanitize(shown, sizeof shown, tag, length, GG_TEXT_ONE_LINE);
  return gg_fail(failure, GG_ERR_INVALID,
                 "'%s%s' is no tag: at most %d bytes of printable UTF-8, without blanks, commas and + or - in front",
                 shown, length > GG_MARK_TAG_BYTES_MAX ? "..." : "", GG_MARK_TAG_BYTES_MAX);
}

static int check_tags(const char *const *tags, size_t count, struct gg_failure *failure)
{
  int error = 0;
  if (count > GG_MARK_TAGS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "at most %d tags at once", GG_MARK_TAGS_MAX);
  for (size_t i = 0; i < count && !error; i++)
    error = gg__tag_check(tags[i], failure);
  return error;
}

static bool is_in(const char *tag, const char *const *tags, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp(tag, tags[i]) == 0)
      return true;
  return false;
}

/* Each once. */
static size_t copy_tags(const char **to, const char *const *from, size_t count)
{
  size_t copied = 0;
  for (size_t i = 0; i < count; i++)
    if (!is_in(from[i], to, copied))
      to[copied++] = from[i];
  return copied;
}

int gg__marks_tag(struct gg__marks *marks, const char *const *ids, size_t count, const char *const *add,
                  size_t add_count, const char *const *remove, size_t remove_count, struct gg_failure *failure)
{
  struct saying saying = {.count = count, .fill = fill_same, .ids = ids};
  int error = check_tags(add, add_count, failure);
  if (!error)
    error = check_tags(remove, remove_count, failure);
  if (!error)
    error = check_ids(ids, count, failure);
  for (size_t i = 0; i < add_count && !error; i++)
    if (is_in(add[i], remove, remove_count))
      error = gg_fail(failure, GG_ERR_INVALID, "'%s' is both to be added and to be removed", add[i]);
  if (error)
    return error;
  saying.line.add_count = copy_tags(saying.line.add, add, add_count);
  saying.line.remove_count = copy_tags(saying.line.remove, remove, remove_count);
  return say(marks, &saying, failure);
}

int gg__marks_hold(struct gg__marks *marks, const char *const *ids, size_t count, bool hold, struct gg_failure *failure)
{
  struct saying saying = {
    .count = count, .fill = fill_same, .ids = ids, .line = {.hold = hold ? GG__HOLD_SET : GG__HOLD_RELEASED}};
  int error = check_ids(ids, count, failure);
  return error ? error : say(marks, &saying, failure);
}

int gg__marks_forget(struct gg__marks *marks, const char *const *ids, size_t count, struct gg_failure *failure)
{
  struct saying saying = {.count = count, .fill = fill_same, .ids = ids, .line = {.forget = true}};
  int error = check_ids(ids, count, failure);
  return error ? error : say(marks, &saying, failure);
}

/* ── For who tags many ───────────────────────────────────────────────────────────────────────────────────────────── */

static void fill_staged(const struct saying *saying, size_t index, struct gg__marks_line *line)
{
  const struct staged *staged = &saying->marks->staged[index];
  const struct gg__tag_set *set = gg__tag_set(&saying->marks->pool, staged->tags);
  *line = (struct gg__marks_line){.add_count = set->count};
  memcpy(line->id, staged->id, sizeof line->id);
  for (size_t i = 0; i < set->count; i++)
    line->add[i] = set->tags[i];
}

int gg__marks_flush(struct gg__marks *marks, struct gg_failure *failure)
{
  struct saying saying = {.count = marks->staged_count, .fill = fill_staged, .gently = true, .marks = marks};
  int error = say(marks, &saying, failure);
  if (!error)
    marks->staged_count = 0;
  return error;
}

void gg__marks_unstage(struct gg__marks *marks)
{
  marks->staged_count = 0;
}

int gg__marks_stage(struct gg__marks *marks, const char *id, const char *const *add, size_t add_count,
                    struct gg_failure *failure)
{
  int error = check_ids(&id, 1, failure);
  if (!error)
    error = check_tags(add, add_count, failure);
  if (!error && marks->staged_count == GG_MARKS_STAGED_MAX)
    error = gg__marks_flush(marks, failure);
  if (error)
    return error;
  if (!marks->staged)
    marks->staged = calloc(GG_MARKS_STAGED_MAX, sizeof *marks->staged);
  if (!marks->staged)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for tags");
  /* What is said already, or was taken off, need not wait. */
  struct gg__marks_line line = {.add_count = add_count};
  const struct gg__marks_entry *known = gg__marks_table_find(&marks->table, id), nothing = {.used = 1};
  for (size_t i = 0; i < add_count; i++)
    line.add[i] = add[i];
  if (!strip(&marks->pool, known ? known : &nothing, true, &line))
    return 0;
  struct staged *staged = &marks->staged[marks->staged_count];
  *staged = (struct staged){.tags = GG__TAGS_NONE};
  memcpy(staged->id, id, 24);
  for (size_t i = 0; i < line.add_count && !error; i++)
    error = gg__tag_set_add(&marks->pool, &staged->tags, line.add[i]);
  if (error)
    return gg_fail(failure, error, "no memory for tags");
  marks->staged_count++;
  return 0;
}
