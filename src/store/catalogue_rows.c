/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records into rows and out of them, and the segments that they are in.
 *
 * A session's number is its row's, and stays when it is put again. What depends on it (places, tags, totals) is brought
 * from what it was to what it is, so that whoever puts need not know whether it was there.
 */
#include "store/catalogue_private.h"
#include "store/filter_field.h"
#include "store/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FORGET_AT_ONCE = 256 };

/* ── Segments ────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__catalogue_put_segment(struct gg__catalogue *catalogue, const struct gg__catalogue_segment *segment,
                              struct gg_failure *failure)
{
  assert(catalogue->batch);
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SEGMENT_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, segment->name);
  gg__bind_u64(statement, 2, segment->scanned);
  gg__bind_u64(statement, 3, segment->first_ns);
  gg__bind_u64(statement, 4, segment->last_ns);
  sqlite3_bind_int(statement, 5, segment->scattered);
  sqlite3_bind_int(statement, 6, segment->complete);
  return gg__catalogue_run(catalogue, statement, failure);
}

/* The number of a segment that was put; 0: it was not, or the failure is filled. Only who writes may keep it: a segment
 * that another indexes anew has another number. */
static int64_t number_of(struct gg__catalogue *catalogue, const char *name, struct gg_failure *failure)
{
  size_t at = (size_t)gg__hash(name, strlen(name)) % GG_CATALOGUE_NAMES_MAX;
  bool keeps = catalogue->mode == GG__CATALOGUE_WRITE;
  if (keeps && strcmp(catalogue->names[at].name, name) == 0)
    return catalogue->names[at].number;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SEGMENT_NUMBER, failure);
  if (!statement)
    return 0;
  gg__bind_text(statement, 1, name);
  int code = sqlite3_step(statement);
  int64_t number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
  sqlite3_reset(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    gg__catalogue_fail(catalogue, code, "read", failure);
  } else if (keeps && number && strlen(name) < sizeof catalogue->names[at].name) {
    memcpy(catalogue->names[at].name, name, strlen(name) + 1);
    catalogue->names[at].number = number;
  }
  return number;
}

/* The other way. Numbers are never used again, so what is known of one stays true. */
static int find_segment(void *context, int64_t number, struct gg__capture **capture, const char **name)
{
  struct gg__catalogue *catalogue = context;
  size_t at = (size_t)number % GG_CATALOGUE_NAMES_MAX;
  if (catalogue->mode != GG__CATALOGUE_READ || catalogue->names[at].number != number) {
    sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SEGMENT_NAME, NULL);
    if (!statement)
      return GG_ERR_CORRUPT;
    sqlite3_bind_int64(statement, 1, number);
    const char *found = sqlite3_step(statement) == SQLITE_ROW ? gg__column_text(statement, 0) : "";
    size_t length = strlen(found);
    bool fits = length > 0 && length < sizeof catalogue->name;
    memcpy(catalogue->name, found, fits ? length + 1 : 1);
    if (fits && catalogue->mode == GG__CATALOGUE_READ) {
      memcpy(catalogue->names[at].name, found, length + 1);
      catalogue->names[at].number = number;
    }
    sqlite3_reset(statement);
    if (!fits)
      return GG_ERR_CORRUPT;
    *name = catalogue->name;
  } else {
    *name = catalogue->names[at].name;
  }
  if (catalogue->capture)
    *capture = catalogue->capture(catalogue->capture_context, *name);
  return catalogue->capture && !*capture ? GG_ERR_NOMEM : 0;
}

int gg__catalogue_segments(struct gg__catalogue *catalogue,
                           int (*visit)(void *context, const struct gg__catalogue_segment *segment), void *context,
                           struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SEGMENTS, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, "");
  int code, result = 0;
  while (!result && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    struct gg__catalogue_segment segment = {.scanned = gg__column_u64(statement, 1),
                                            .first_ns = gg__column_u64(statement, 2),
                                            .last_ns = gg__column_u64(statement, 3),
                                            .scattered = sqlite3_column_int(statement, 4) != 0,
                                            .complete = sqlite3_column_int(statement, 5) != 0};
    const char *name = gg__column_text(statement, 0);
    if (strlen(name) >= sizeof segment.name)
      result = gg__catalogue_damaged(catalogue, "a segment's name is too long", failure);
    else
      memcpy(segment.name, name, strlen(name) + 1);
    result = result ? result : visit(context, &segment);
  }
  sqlite3_reset(statement);
  return result ? result : code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

/* ── Putting ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What was there of a session. */
struct old {
  int64_t number;                    /* 0: nothing */
  char protocol[GG__PROTOCOL_BYTES]; /* as decoders have named it: no segment says that */
  int64_t *segments;
  size_t count, room;
};

static int keep_segment(void *context, int64_t number)
{
  struct old *old = context;
  if (old->count == old->room) {
    size_t room = old->room ? old->room * 2 : 16;
    int64_t *larger = realloc(old->segments, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    old->segments = larger;
    old->room = room;
  }
  old->segments[old->count++] = number;
  return 0;
}

/* Finds it, by its id or by its number, and takes it off the totals. */
static int take_old(struct gg__catalogue *catalogue, const char *id, int64_t number, struct old *old,
                    struct gg_failure *failure)
{
  sqlite3_stmt *statement =
    gg__catalogue_statement(catalogue, id ? GG__STATEMENT_SESSION_OLD : GG__STATEMENT_SESSION_OLD_NUMBERED, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  if (id)
    gg__bind_text(statement, 1, id);
  else
    sqlite3_bind_int64(statement, 1, number);
  int code = sqlite3_step(statement);
  int error = 0;
  if (code == SQLITE_ROW) {
    const char *const key[3] = {gg__column_text(statement, 2), gg__column_text(statement, 3),
                                gg__column_text(statement, 4)};
    const uint64_t bytes[2] = {gg__column_u64(statement, 5), gg__column_u64(statement, 6)};
    const uint64_t gaps[2] = {gg__column_u64(statement, 7), gg__column_u64(statement, 8)};
    old->number = sqlite3_column_int64(statement, 0);
    snprintf(old->protocol, sizeof old->protocol, "%s", key[1]);
    error = gg__parts_segments(sqlite3_column_blob(statement, 9), (size_t)sqlite3_column_bytes(statement, 9),
                               keep_segment, old);
    if (error == GG_ERR_NOMEM)
      gg_fail(failure, error, "no memory for the catalogue");
    else /* what is damaged is replaced */
      error = gg__catalogue_count(catalogue, false, gg__column_u64(statement, 1), key, bytes, gaps, failure);
  } else if (code != SQLITE_DONE) {
    error = gg__catalogue_fail(catalogue, code, "read", failure);
  }
  sqlite3_reset(statement);
  return error;
}

/* A session that is new has the next number, and so its epoch. */
static int take_number(struct gg__catalogue *catalogue, int64_t *number, struct gg_failure *failure)
{
  int64_t before = catalogue->last / GG_CATALOGUE_EPOCH_SESSIONS;
  bool first = catalogue->last == 0;
  *number = ++catalogue->last;
  if (!first && *number / GG_CATALOGUE_EPOCH_SESSIONS == before)
    return 0;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_EPOCH_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, *number / GG_CATALOGUE_EPOCH_SESSIONS);
  return gg__catalogue_run(catalogue, statement, failure);
}

static int write_row(struct gg__catalogue *catalogue, const struct gg_session *session, const struct gg__blob *parts,
                     int64_t *number, struct gg_failure *failure)
{
  bool insert = *number == 0;
  int error = insert ? take_number(catalogue, number, failure) : 0;
  if (error)
    return error;
  enum gg__statement which = insert ? GG__STATEMENT_SESSION_INSERT : GG__STATEMENT_SESSION_UPDATE;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, which, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  int at = 1;
  for (const struct gg__column *column; (column = gg__column_at((size_t)at - 1)); at++) {
    struct gg__sql_value value;
    uint8_t scratch[GG__ADDRESS_KEY_BYTES];
    gg__column_value(column, session, scratch, &value);
    gg__bind_value(statement, at, &value, SQLITE_TRANSIENT);
  }
  sqlite3_bind_int64(statement, at++, (int64_t)catalogue->revision);
  sqlite3_bind_blob(statement, at++, parts->data, (int)parts->length, SQLITE_STATIC);
  sqlite3_bind_int64(statement, at++, *number);
  if (insert)
    sqlite3_bind_int64(statement, at, *number / GG_CATALOGUE_EPOCH_SESSIONS);
  return gg__catalogue_run(catalogue, statement, failure);
}

static int write_place(struct gg__catalogue *catalogue, enum gg__statement which, int64_t segment, int64_t session,
                       struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, which, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, segment);
  sqlite3_bind_int64(statement, 2, session);
  return gg__catalogue_run(catalogue, statement, failure);
}

static int by_number(const void *a, const void *b)
{
  const int64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

/* Both lists in order: a session in a hundred thousand segments is put every half a second. */
static int write_places(struct gg__catalogue *catalogue, struct old *old, int64_t *segments, size_t count,
                        int64_t number, struct gg_failure *failure)
{
  int error = 0;
  qsort(segments, count, sizeof *segments, by_number);
  if (old->count > 1)
    qsort(old->segments, old->count, sizeof *old->segments, by_number);
  size_t i = 0, j = 0;
  while (!error && (i < count || j < old->count)) {
    bool more = i < count, less = j < old->count;
    if (more && less && segments[i] == old->segments[j]) {
      i++;
      j++;
    } else if (more && (!less || segments[i] < old->segments[j])) {
      error = write_place(catalogue, GG__STATEMENT_PLACE_PUT, segments[i++], number, failure);
    } else {
      bool again = i > 0 && segments[i - 1] == old->segments[j]; /* it has two parts in it, and had them */
      error = again ? 0 : write_place(catalogue, GG__STATEMENT_PLACE_DROP, old->segments[j], number, failure);
      j++;
    }
  }
  return error;
}

/* The numbers of the parts' segments, in their order. */
static int number_parts(struct gg__catalogue *catalogue, const struct gg__record *record, int64_t **out, size_t *count,
                        struct gg_failure *failure)
{
  size_t parts = 0;
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session)
    parts++;
  *count = parts;
  *out = malloc((parts + 1) * sizeof **out);
  if (!*out)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
  parts = 0;
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session, parts++) {
    struct gg_failure why = GG_FAILURE_INIT;
    (*out)[parts] = number_of(catalogue, part->capture->name, &why);
    if ((*out)[parts] == 0)
      return why.code ? gg_fail(failure, why.code, "%s", why.message)
                      : gg_fail(failure, GG_ERR_INVALID, "the segment %s is not in the catalogue", part->capture->name);
  }
  return parts > 0 ? 0 : gg_fail(failure, GG_ERR_INVALID, "the session %s has no parts", record->session.id);
}

static int put_as(struct gg__catalogue *catalogue, const struct gg__record *record, const struct gg__blob *parts,
                  struct old *old, int64_t *number, struct gg_failure *failure)
{
  struct gg_session session = record->session;
  if (!session.protocol[0])
    session.protocol = old->protocol;
  const char *const key[3] = {session.listener, session.protocol, session.close};
  *number = old->number;
  session.held = false; /* people say that, and so does only what they have said */
  int error = write_row(catalogue, &session, parts, number, failure);
  if (!error)
    error = gg__catalogue_count(catalogue, true, session.start_ns, key, session.bytes, session.gaps, failure);
  if (error || (session.tag_count == 0 && catalogue->mark_count == 0 && old->number == 0))
    return error;
  return gg__catalogue_write_marks(catalogue, *number, session.id, session.tags, session.tag_count, old->number != 0,
                                   failure);
}

/* In the place of the old one, if there is any. */
static int put_over(struct gg__catalogue *catalogue, const struct gg__record *record, struct old *old,
                    struct gg_failure *failure)
{
  int64_t *segments = NULL, number = 0;
  size_t count = 0;
  int error = number_parts(catalogue, record, &segments, &count, failure);
  if (!error) {
    gg__parts_encode(&catalogue->blob, record, segments);
    if (catalogue->blob.failed)
      error = gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
  }
  if (!error)
    error = put_as(catalogue, record, &catalogue->blob, old, &number, failure);
  if (!error)
    error = write_places(catalogue, old, segments, count, number, failure);
  free(segments);
  return error;
}

int gg__catalogue_put(struct gg__catalogue *catalogue, const struct gg__record *record, struct gg_failure *failure)
{
  assert(catalogue->batch);
  struct old old = {0};
  int error = catalogue->building ? 0 : take_old(catalogue, record->session.id, 0, &old, failure);
  if (!error)
    error = put_over(catalogue, record, &old, failure);
  free(old.segments);
  return error;
}

/* ── Getting ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg_session_state state_of(const struct gg__catalogue *catalogue, int state, const struct gg__record *record)
{
  if (state == GG_SESSION_CLOSED)
    return GG_SESSION_CLOSED;
  if (catalogue->life_known)
    return gg__life_state(&catalogue->life, record->parts->capture->name);
  return state == GG_SESSION_OPEN ? GG_SESSION_OPEN : GG_SESSION_CUT;
}

int gg__catalogue_load(struct gg__catalogue *catalogue, int64_t number, bool marked, struct gg__record **out,
                       struct gg_failure *failure)
{
  enum { ID, START, STATE, PARTS, REVISION, PROTOCOL, TEXTS };
  *out = NULL;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SESSION_LOAD, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, number);
  int code = sqlite3_step(statement);
  if (code != SQLITE_ROW) {
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
  }
  struct gg__row row = {.id = gg__column_text(statement, ID), .start_ns = gg__column_u64(statement, START)};
  for (int i = 0; i < GG__ROW_TEXTS; i++)
    row.texts[i] = gg__column_text(statement, TEXTS + i);
  int error = 0;
  if (marked && catalogue->mark_count > 0)
    gg__catalogue_find_mark(catalogue, row.id, &row, &error, failure);
  if (!error) {
    error = gg__parts_decode(out, sqlite3_column_blob(statement, PARTS), (size_t)sqlite3_column_bytes(statement, PARTS),
                             &row, catalogue->capture ? NULL : catalogue->folder, find_segment, catalogue);
    if (error == GG_ERR_CORRUPT)
      gg__catalogue_damaged(catalogue, "a session's parts cannot be read", failure);
    else if (error)
      gg_fail(failure, error, "no memory for the sessions of the catalogue");
    else
      (*out)->revision = (uint64_t)sqlite3_column_int64(statement, REVISION);
  }
  if (!error)
    gg__record_name(*out, gg__column_text(statement, PROTOCOL));
  if (!error)
    (*out)->session.state = state_of(catalogue, sqlite3_column_int(statement, STATE), *out);
  sqlite3_reset(statement);
  return error;
}

int gg__catalogue_number(struct gg__catalogue *catalogue, const char *id, int64_t *number, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SESSION_NUMBER, failure);
  *number = 0;
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, id);
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *number = sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

static int get(struct gg__catalogue *catalogue, const char *id, bool marked, struct gg__record **out,
               struct gg_failure *failure)
{
  int64_t number;
  *out = NULL;
  int error = gg__catalogue_hold(catalogue, failure);
  if (error)
    return error;
  error = gg__catalogue_number(catalogue, id, &number, failure);
  if (!error && number)
    error = gg__catalogue_load(catalogue, number, marked, out, failure);
  gg__catalogue_release(catalogue);
  return error;
}

int gg__catalogue_get(struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
                      struct gg_failure *failure)
{
  return get(catalogue, id, false, out, failure);
}

int gg__catalogue_find(struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
                       struct gg_failure *failure)
{
  return get(catalogue, id, true, out, failure);
}

int gg__catalogue_open_in(struct gg__catalogue *catalogue, const char *name,
                          int (*visit)(void *context, struct gg__record *record), void *context,
                          struct gg_failure *failure)
{
  int64_t segment = number_of(catalogue, name, failure), last = 0;
  int error = gg__catalogue_hold(catalogue, failure);
  if (error)
    return error;
  while (segment && !error) {
    sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_OPEN_IN, failure);
    if (!statement) {
      error = GG_ERR_CORRUPT;
      break;
    }
    sqlite3_bind_int64(statement, 1, segment);
    sqlite3_bind_int64(statement, 2, last);
    sqlite3_bind_int(statement, 3, GG_SESSION_CLOSED);
    int code = sqlite3_step(statement);
    last = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement); /* the visitor may write */
    if (code == SQLITE_DONE)
      break;
    struct gg__record *record = NULL;
    error = code == SQLITE_ROW ? gg__catalogue_load(catalogue, last, false, &record, failure)
                               : gg__catalogue_fail(catalogue, code, "read", failure);
    if (!error && record)
      error = visit(context, record);
  }
  gg__catalogue_release(catalogue);
  return error;
}

int gg__catalogue_sessions_in(struct gg__catalogue *catalogue, const char *name,
                              int (*visit)(void *context, const char *id), void *context, struct gg_failure *failure)
{
  int64_t segment = number_of(catalogue, name, failure);
  sqlite3_stmt *statement = segment ? gg__catalogue_statement(catalogue, GG__STATEMENT_SESSIONS_IN, failure) : NULL;
  if (!statement)
    return segment ? GG_ERR_CORRUPT : 0;
  sqlite3_bind_int64(statement, 1, segment);
  int code = SQLITE_ROW, result = 0;
  while (!result && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    const char *id = gg__column_text(statement, 0);
    result = strlen(id) == 24 ? visit(context, id) : 0;
  }
  sqlite3_reset(statement);
  return result || code == SQLITE_DONE || code == SQLITE_ROW ? result
                                                             : gg__catalogue_fail(catalogue, code, "read", failure);
}

/* ── Forgetting ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static int drop_rows(struct gg__catalogue *catalogue, int64_t number, struct gg_failure *failure)
{
  static const enum gg__statement drops[] = {GG__STATEMENT_TAGS_DROP, GG__STATEMENT_FACTS_DROP,
                                             GG__STATEMENT_SESSION_DELETE};
  int error = 0;
  for (size_t i = 0; i < sizeof drops / sizeof drops[0] && !error; i++) {
    sqlite3_stmt *statement = gg__catalogue_statement(catalogue, drops[i], failure);
    if (!statement)
      return GG_ERR_CORRUPT;
    sqlite3_bind_int64(statement, 1, number);
    error = gg__catalogue_run(catalogue, statement, failure);
  }
  return error;
}

/* The row, and what depends on it. `whole`: it can be read, so that its totals are known. */
static int drop_session(struct gg__catalogue *catalogue, int64_t number, bool whole, struct gg_failure *failure)
{
  struct old old = {0};
  int error = whole ? take_old(catalogue, NULL, number, &old, failure) : 0;
  for (size_t i = 0; i < old.count && !error; i++)
    error = write_place(catalogue, GG__STATEMENT_PLACE_DROP, old.segments[i], number, failure);
  if (!error)
    error = drop_rows(catalogue, number, failure);
  free(old.segments);
  return error;
}

/* The session is made anew of the parts that are left. */
static void renew_session(const struct gg__catalogue *catalogue, struct gg__record *record)
{
  struct gg_session session = {.tags = record->session.tags, .tag_count = record->session.tag_count};
  uint64_t told[2] = {0, 0};
  bool closed = false;
  memcpy(session.id, record->session.id, sizeof session.id);
  gg__session_begin(&session, record->parts);
  session.state =
    record->session.state == GG_SESSION_CLOSED ? state_of(catalogue, GG_SESSION_CUT, record) : record->session.state;
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session) {
    gg__session_add(&session, part, told, part == record->parts);
    closed |= part->closed;
  }
  if (!closed) { /* tags come with the end */
    session.tags = NULL;
    session.tag_count = 0;
  }
  record->session = session;
}

/* The session has lost what was in the segment. */
static int forget_part(struct gg__catalogue *catalogue, int64_t segment, const char *name, int64_t number,
                       struct gg_failure *failure)
{
  struct gg__record *record = NULL;
  int error = gg__catalogue_load(catalogue, number, false, &record, failure);
  if (error && error != GG_ERR_CORRUPT)
    return error;
  for (struct gg__part **at = record ? &record->parts : NULL; at && *at;)
    if (strcmp((*at)->capture->name, name) == 0)
      *at = (*at)->next_of_session;
    else
      at = &(*at)->next_of_session;
  if (record && record->parts) {
    renew_session(catalogue, record);
    error = gg__catalogue_put(catalogue, record, failure);
  } else {
    error = drop_session(catalogue, number, record != NULL, failure);
  }
  if (!error)
    error = write_place(catalogue, GG__STATEMENT_PLACE_DROP, segment, number, failure);
  gg__record_free(record);
  return error;
}

/* Some of the segment's sessions; `*more`: there may be others. */
static int forget_some(struct gg__catalogue *catalogue, int64_t segment, const char *name, bool *more,
                       struct gg_failure *failure)
{
  int64_t numbers[FORGET_AT_ONCE];
  size_t count = 0;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_PLACES, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, segment);
  sqlite3_bind_int(statement, 2, FORGET_AT_ONCE);
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW && count < FORGET_AT_ONCE)
    numbers[count++] = sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    return gg__catalogue_fail(catalogue, code, "read", failure);
  int error = 0;
  for (size_t i = 0; i < count && !error; i++)
    error = forget_part(catalogue, segment, name, numbers[i], failure);
  *more = count == FORGET_AT_ONCE;
  return error;
}

static int forget_row(struct gg__catalogue *catalogue, int64_t segment, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SEGMENT_FORGET, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, segment);
  memset(catalogue->names, 0, sizeof catalogue->names);
  return gg__catalogue_run(catalogue, statement, failure);
}

/* A segment may have a million sessions: outside a batch it takes several, each with at most so many. */
int gg__catalogue_forget_segment(struct gg__catalogue *catalogue, const char *name, struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  bool batch = catalogue->batch, more = true;
  int64_t segment = number_of(catalogue, name, &own);
  if (!segment)
    return own.code ? gg_fail(failure, own.code, "%s", own.message) : 0;
  int error = 0;
  for (size_t done = 0; more && !error; done += FORGET_AT_ONCE) {
    if (!batch && done % GG_CATALOGUE_BATCH_SESSIONS == 0)
      error = gg__catalogue_begin(catalogue, failure);
    if (!error)
      error = forget_some(catalogue, segment, name, &more, failure);
    if (!error && !more)
      error = forget_row(catalogue, segment, failure);
    bool full = (done + FORGET_AT_ONCE) % GG_CATALOGUE_BATCH_SESSIONS == 0;
    if (!error && !batch && (full || !more))
      error = gg__catalogue_commit(catalogue, failure);
  }
  if (error && !batch)
    gg__catalogue_abandon(catalogue);
  return error;
}

/* ── Joining ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Rows are in the order in which their parts ended, which is nearly always that of the parts. */
static void add_part(struct gg__part **first, struct gg__part **last, struct gg__part *part)
{
  struct gg__part **at = *last && gg__part_before(*last, part) ? &(*last)->next_of_session : first;
  while (*at && gg__part_before(*at, part))
    at = &(*at)->next_of_session;
  part->next_of_session = *at;
  *at = part;
  *last = part->next_of_session ? *last : part;
}

/* All rows but the first go, and it gets the parts of all, on loan from their records. */
static int join(struct gg__catalogue *catalogue, const int64_t *numbers, struct gg__record **records, size_t count,
                struct gg__record *joined, struct gg_failure *failure)
{
  struct gg__part *last = NULL;
  int error = 0;
  for (size_t i = 0; i < count && !error; i++) {
    error = gg__catalogue_load(catalogue, numbers[i], false, &records[i], failure);
    if (!error && !records[i])
      error = gg__catalogue_damaged(catalogue, "a session is not there", failure);
    for (struct gg__part *part = error ? NULL : records[i]->parts, *next; part; part = next) {
      next = part->next_of_session;
      add_part(&joined->parts, &last, part);
    }
    if (!error && i > 0)
      error = drop_session(catalogue, numbers[i], true, failure);
  }
  return error;
}

int gg__catalogue_join(struct gg__catalogue *catalogue, const int64_t *numbers, size_t count,
                       int (*renew)(void *context, struct gg__record *record), void *context,
                       struct gg_failure *failure)
{
  assert(catalogue->batch && count > 1);
  struct gg__record **records = calloc(count, sizeof(struct gg__record *)), joined = {0};
  struct old old = {0};
  int error = records ? join(catalogue, numbers, records, count, &joined, failure) : GG_ERR_NOMEM;
  if (!error)
    error = renew(context, &joined);
  if (!error)
    error = take_old(catalogue, NULL, numbers[0], &old, failure);
  if (!error)
    error = put_over(catalogue, &joined, &old, failure);
  free(joined.tags);
  free(old.segments);
  for (size_t i = 0; records && i < count; i++)
    gg__record_free(records[i]);
  free(records);
  return error == GG_ERR_NOMEM ? gg_fail(failure, error, "no memory for the catalogue") : error;
}
