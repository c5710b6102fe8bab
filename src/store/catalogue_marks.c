/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people have said of sessions, and what decoders have found in them.
 *
 * Marks are kept by id, also of sessions that are not here yet, or not any more: the journal is read once, and segments
 * come when they come. Which tags a session has is worked out when either changes:
 *
 *   tags of the recording (its last part) + added by people - taken off by people ──► table `tags`, which queries ask
 */
#include "store/catalogue_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_COUNT_MAX = 256 }; /* of one session, the recording's included: more than both sides' bounds */

/* ── Tags ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg__catalogue_find_mark(struct gg__catalogue *catalogue, const char *id, struct gg__row *row, int *error,
                             struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_MARK_GET, failure);
  *error = statement ? 0 : GG_ERR_CORRUPT;
  row->marked = false;
  if (!statement)
    return false;
  gg__bind_text(statement, 1, id);
  int code = sqlite3_step(statement);
  if (code != SQLITE_ROW) {
    sqlite3_reset(statement);
    *error = code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
    return false;
  }
  /* SQLite ends texts in NUL, and lists of ours end in an empty one: whatever is in the file, they have an end. */
  row->held = sqlite3_column_int(statement, 0) != 0;
  row->added = gg__column_text(statement, 1);
  row->removed = gg__column_text(statement, 2);
  row->marked = true;
  return true;
}

static int put_tag(struct gg__catalogue *catalogue, const char *tag, size_t length, int64_t number,
                   struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_TAG_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_text(statement, 1, tag, (int)length, SQLITE_STATIC);
  sqlite3_bind_int64(statement, 2, number);
  return gg__catalogue_run(catalogue, statement, failure);
}

bool gg__tag_list_has(const char *list, const char *tag, size_t length)
{
  for (; list && *list; list += strcspn(list, " "), list += *list == ' ')
    if (strncmp(list, tag, length) == 0 && (list[length] == ' ' || list[length] == '\0'))
      return true;
  return false;
}

static int run_numbered(struct gg__catalogue *catalogue, enum gg__statement which, int64_t number,
                        struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, which, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, number);
  return gg__catalogue_run(catalogue, statement, failure);
}

static int write_held(struct gg__catalogue *catalogue, int64_t number, bool held, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SESSION_HOLD, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, number);
  sqlite3_bind_int(statement, 2, held);
  sqlite3_bind_int64(statement, 3, (int64_t)catalogue->revision);
  return gg__catalogue_run(catalogue, statement, failure);
}

int gg__catalogue_write_marks(struct gg__catalogue *catalogue, int64_t number, const char *id, const char *const *tags,
                              size_t count, bool known, struct gg_failure *failure)
{
  struct gg__row row = {0};
  int error = known ? run_numbered(catalogue, GG__STATEMENT_TAGS_DROP, number, failure) : 0;
  if (!error && catalogue->mark_count > 0)
    gg__catalogue_find_mark(catalogue, id, &row, &error, failure);
  for (size_t i = 0; i < count && i < TAG_COUNT_MAX && !error; i++)
    if (!row.marked || !gg__tag_list_has(row.removed, tags[i], strlen(tags[i])))
      error = put_tag(catalogue, tags[i], strlen(tags[i]), number, failure);
  for (const char *tag = row.marked ? row.added : ""; *tag && !error; tag += strcspn(tag, " "), tag += *tag == ' ')
    error = put_tag(catalogue, tag, strcspn(tag, " "), number, failure);
  /* A row that was put has no hold; one that is only marked may have had it. */
  if (!error && (row.marked ? row.held || known : known && catalogue->mark_count > 0))
    error = write_held(catalogue, number, row.marked && row.held, failure);
  return error;
}

/* ── Marks ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* "a b c"; tags have no blanks. NULL: no memory. */
static char *pack(const char *const *tags, size_t count)
{
  size_t bytes = 1;
  for (size_t i = 0; i < count; i++)
    bytes += strlen(tags[i]) + 1;
  char *packed = malloc(bytes), *at = packed;
  for (size_t i = 0; packed && i < count; i++) {
    size_t length = strlen(tags[i]);
    if (i > 0)
      *at++ = ' ';
    memcpy(at, tags[i], length);
    at += length;
  }
  if (packed)
    *at = '\0';
  return packed;
}

static int write_mark(struct gg__catalogue *catalogue, const char *id, const char *added, const char *removed,
                      bool held, struct gg_failure *failure)
{
  bool nothing = !added[0] && !removed[0] && !held;
  sqlite3_stmt *statement =
    gg__catalogue_statement(catalogue, nothing ? GG__STATEMENT_MARK_DROP : GG__STATEMENT_MARK_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, id);
  if (!nothing) {
    sqlite3_bind_int(statement, 2, held);
    gg__bind_text(statement, 3, added);
    gg__bind_text(statement, 4, removed);
  }
  return gg__catalogue_run(catalogue, statement, failure);
}

/* The session, if it is here, is what the recording and now people say. */
static int apply(struct gg__catalogue *catalogue, const char *id, struct gg_failure *failure)
{
  int64_t number;
  struct gg__record *record = NULL;
  int error = gg__catalogue_number(catalogue, id, &number, failure);
  if (error || !number)
    return error;
  error = gg__catalogue_load(catalogue, number, false, &record, failure);
  if (!error && record)
    error =
      gg__catalogue_write_marks(catalogue, number, id, record->session.tags, record->session.tag_count, true, failure);
  gg__record_free(record);
  return error;
}

int gg__catalogue_mark_all(struct gg__catalogue *catalogue, const struct gg__mark *mark, struct gg_failure *failure)
{
  bool batch = catalogue->batch;
  char *added = pack(mark->tags, mark->tag_count), *removed = pack(mark->removed, mark->removed_count);
  int error = added && removed ? 0 : gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
  if (!error && !batch)
    error = gg__catalogue_begin(catalogue, failure);
  if (!error) {
    error = write_mark(catalogue, mark->id, added, removed, mark->held, failure);
    catalogue->mark_count++; /* at least so many: 0 means that nobody need look */
    if (!error)
      error = apply(catalogue, mark->id, failure);
    if (!error && !batch)
      error = gg__catalogue_commit(catalogue, failure);
    else if (error && !batch)
      gg__catalogue_abandon(catalogue);
  }
  free(added);
  free(removed);
  return error;
}

int gg__catalogue_mark(struct gg__catalogue *catalogue, const char *id, const char *const *tags, size_t tag_count,
                       bool held, struct gg_failure *failure)
{
  struct gg__mark mark = {.held = held, .tags = tags, .tag_count = tag_count};
  size_t length = strlen(id);
  if (length >= sizeof mark.id)
    return gg_fail(failure, GG_ERR_INVALID, "that is no session's id");
  memcpy(mark.id, id, length + 1);
  return gg__catalogue_mark_all(catalogue, &mark, failure);
}

int gg__catalogue_marks(struct gg__catalogue *catalogue,
                        int (*visit)(void *context, const char *id, bool held, const char *added, const char *removed),
                        void *context, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_MARKS, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  int code = SQLITE_ROW, result = 0;
  while (!result && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    const char *id = gg__column_text(statement, 0);
    result = strlen(id) + 1 == sizeof((struct gg__mark *)NULL)->id
               ? visit(context, id, sqlite3_column_int(statement, 1) != 0, gg__column_text(statement, 2),
                       gg__column_text(statement, 3))
               : 0;
  }
  sqlite3_reset(statement);
  return result || code == SQLITE_DONE ? result : gg__catalogue_fail(catalogue, code, "read", failure);
}

int gg__catalogue_knows_mark(struct gg__catalogue *catalogue, const char *id, bool *known, struct gg_failure *failure)
{
  struct gg__row row;
  int error;
  *known = gg__catalogue_find_mark(catalogue, id, &row, &error, failure);
  return error;
}

int gg__catalogue_marked(struct gg__catalogue *catalogue, const char *after, size_t count,
                         int (*visit)(void *context, const char *id, bool there), void *context,
                         struct gg_failure *failure)
{
  char from[25];
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_MARKED, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  snprintf(from, sizeof from, "%s", after); /* the callee may note in `after` how far it is */
  gg__bind_text(statement, 1, from);
  sqlite3_bind_int64(statement, 2, (int64_t)count);
  int code = SQLITE_ROW, result = 0;
  while (!result && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    const char *id = gg__column_text(statement, 0);
    result = strlen(id) + 1 == sizeof((struct gg__mark *)NULL)->id
               ? visit(context, id, sqlite3_column_int(statement, 1) != 0)
               : 0;
  }
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return result || code == SQLITE_DONE ? result : gg__catalogue_fail(catalogue, code, "read", failure);
}

/* ── The journal ─────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__catalogue_put_journal(struct gg__catalogue *catalogue, const struct gg__marks_position *position,
                              struct gg_failure *failure)
{
  char text[96];
  assert(catalogue->batch);
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_NOTE_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  snprintf(text, sizeof text, "%" PRIx64 " %" PRIx64 " %" PRIu64 " %" PRIx64, position->device, position->inode,
           position->offset, position->check);
  gg__bind_text(statement, 1, "journal");
  gg__bind_text(statement, 2, text);
  return gg__catalogue_run(catalogue, statement, failure);
}

static bool read_position(const char *text, struct gg__marks_position *position)
{
  static const int bases[] = {16, 16, 10, 16};
  uint64_t *const numbers[] = {&position->device, &position->inode, &position->offset, &position->check};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    char *end;
    *numbers[i] = strtoull(text, &end, bases[i]);
    if (end == text)
      return false;
    text = end;
  }
  return true;
}

int gg__catalogue_journal(struct gg__catalogue *catalogue, struct gg__marks_position *position, bool *noted,
                          struct gg_failure *failure)
{
  *position = (struct gg__marks_position){0};
  *noted = false;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_NOTE_GET, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, "journal");
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *noted = read_position(gg__column_text(statement, 0), position);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

/* ── Segments that are not whole ─────────────────────────────────────────────────────────────────────────────────── */

int gg__catalogue_note_damage(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  assert(catalogue->batch);
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_NOTE_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, "damage");
  gg__bind_text(statement, 2, "1");
  return gg__catalogue_run(catalogue, statement, failure);
}

int gg__catalogue_is_whole(struct gg__catalogue *catalogue, bool *whole, struct gg_failure *failure)
{
  *whole = false;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_NOTE_GET, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, "damage");
  int code = sqlite3_step(statement);
  *whole = code == SQLITE_DONE;
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}
