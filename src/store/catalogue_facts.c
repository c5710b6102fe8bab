/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What decoders have found in sessions, and whether that is what a filter asks for.
 *
 * Of a field that a session has very many values of, the first are kept, and a mark that there were more. If none of
 * those that are kept is what is asked for, one of the others may be: that is for who finds them again, in the segments
 * (gg__fact_find), and where there is nobody who does, the answer is "perhaps", whether it was asked for or negated.
 */
#include "store/catalogue_private.h"

#include "store/filter_ast.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void bind_fact(sqlite3_stmt *statement, int64_t session, const char *field, const char *text,
                      const uint64_t *number)
{
  sqlite3_clear_bindings(statement);
  sqlite3_bind_int64(statement, 1, session);
  gg__bind_text(statement, 2, field);
  if (text && !number)
    gg__bind_text(statement, 3, text);
  if (number)
    gg__bind_u64(statement, 4, *number);
}

/* Who follows is to see it again. */
static int touch(struct gg__catalogue *catalogue, int64_t session, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SESSION_TOUCH, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, session);
  sqlite3_bind_int64(statement, 2, (int64_t)catalogue->revision);
  return gg__catalogue_run(catalogue, statement, failure);
}

static int write_fact(struct gg__catalogue *catalogue, int64_t session, const char *field, const char *text,
                      const uint64_t *number, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_FACT_KNOWN, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  bind_fact(statement, session, field, text, number);
  int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  if (code == SQLITE_ROW)
    return 0;
  statement = code == SQLITE_DONE ? gg__catalogue_statement(catalogue, GG__STATEMENT_FACT_COUNT, failure) : NULL;
  if (!statement)
    return gg__catalogue_fail(catalogue, code, "read", failure);
  sqlite3_bind_int64(statement, 1, session);
  gg__bind_text(statement, 2, field);
  bool full = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) >= GG_FACT_VALUES_MAX;
  sqlite3_reset(statement);
  statement = gg__catalogue_statement(catalogue, full ? GG__STATEMENT_FACT_OVERFLOW : GG__STATEMENT_FACT_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  bind_fact(statement, session, field, full ? NULL : text, full ? NULL : number);
  int error = gg__catalogue_run(catalogue, statement, failure);
  bool changed = sqlite3_changes(catalogue->db) > 0; /* not so: it is one too many, once more */
  return error || !changed ? error : touch(catalogue, session, failure);
}

/* The number of a session that facts are put of. */
static int find(struct gg__catalogue *catalogue, const char *id, int64_t *session, struct gg_failure *failure)
{
  assert(catalogue->batch && !catalogue->building);
  int error = gg__catalogue_number(catalogue, id, session, failure);
  if (!error && !*session)
    error = gg_fail(failure, GG_ERR_NOT_FOUND, "the session %s is not in the catalogue", id);
  return error;
}

int gg__catalogue_fact(struct gg__catalogue *catalogue, const char *id, const char *field, const char *text,
                       const uint64_t *number, struct gg_failure *failure)
{
  assert(!text != !number);
  int64_t session;
  int error = find(catalogue, id, &session, failure);
  return error ? error : write_fact(catalogue, session, field, text, number, failure);
}

static int drop(struct gg__catalogue *catalogue, int64_t session, const char *field, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_FACT_DROP, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, session);
  gg__bind_text(statement, 2, field);
  return gg__catalogue_run(catalogue, statement, failure);
}

int gg__catalogue_fact_set(struct gg__catalogue *catalogue, const char *id, const char *field, const char *text,
                           const uint64_t *number, struct gg_failure *failure)
{
  assert(!text != !number);
  int64_t session;
  int error = find(catalogue, id, &session, failure);
  sqlite3_stmt *statement = error ? NULL : gg__catalogue_statement(catalogue, GG__STATEMENT_FACT_KNOWN, failure);
  if (!statement)
    return error ? error : GG_ERR_CORRUPT;
  bind_fact(statement, session, field, text, number);
  int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  if (code == SQLITE_ROW)
    return 0;
  error = drop(catalogue, session, field, failure);
  return error ? error : write_fact(catalogue, session, field, text, number, failure);
}

int gg__catalogue_set_protocol(struct gg__catalogue *catalogue, const char *id, const char *protocol,
                               struct gg_failure *failure)
{
  struct gg__record *record = NULL;
  int error = gg__catalogue_get(catalogue, id, &record, failure);
  if (!error && !record)
    error = gg_fail(failure, GG_ERR_NOT_FOUND, "the session %s is not in the catalogue", id);
  if (!error && strcmp(record->session.protocol, protocol) != 0) {
    gg__record_name(record, protocol);
    error = gg__catalogue_put(catalogue, record, failure);
  }
  gg__record_free(record);
  return error;
}

/* ── How much of a session its facts are of ──────────────────────────────────────────────────────────────────────── */

/* No field of a filter is called so. */
static const char decoded[] = ".decoded";

int gg__catalogue_decoded(struct gg__catalogue *catalogue, const char *id, uint64_t packets, bool ended,
                          struct gg_failure *failure)
{
  int64_t session;
  int error = find(catalogue, id, &session, failure);
  if (!error)
    error = drop(catalogue, session, decoded, failure);
  sqlite3_stmt *statement = error ? NULL : gg__catalogue_statement(catalogue, GG__STATEMENT_FACT_DECODED, failure);
  if (!statement)
    return error ? error : GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, 1, session);
  gg__bind_text(statement, 2, decoded);
  gg__bind_u64(statement, 3, packets);
  sqlite3_bind_int(statement, 4, ended);
  return gg__catalogue_run(catalogue, statement, failure);
}

int gg__catalogue_undecoded_count(struct gg__catalogue *catalogue, uint64_t from, uint64_t limit, uint64_t *count,
                                  struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_BEHIND, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, decoded);
  sqlite3_bind_int64(statement, 2, (int64_t)from);
  sqlite3_bind_int64(statement, 3, (int64_t)limit);
  int code = sqlite3_step(statement);
  *count = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  sqlite3_reset(statement);
  return code == SQLITE_ROW ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

/* The numbers first: a record is loaded by a statement of its own. */
static int list_undecoded(struct gg__catalogue *catalogue, bool open, uint64_t from, size_t limit, int64_t *numbers,
                          size_t *count, uint64_t *next, struct gg_failure *failure)
{
  sqlite3_stmt *statement =
    gg__catalogue_statement(catalogue, open ? GG__STATEMENT_UNDECODED_OPEN : GG__STATEMENT_UNDECODED, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, decoded);
  sqlite3_bind_int64(statement, 2, (int64_t)from);
  sqlite3_bind_int64(statement, 3, (int64_t)limit);
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW && *count < limit) {
    numbers[(*count)++] = sqlite3_column_int64(statement, 0);
    *next = (uint64_t)sqlite3_column_int64(statement, open ? 0 : 1);
  }
  sqlite3_reset(statement);
  return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

int gg__catalogue_undecoded(struct gg__catalogue *catalogue, bool open, uint64_t from, size_t limit,
                            int (*visit)(void *context, struct gg__record *record), void *context, uint64_t *next,
                            struct gg_failure *failure)
{
  size_t count = 0;
  *next = from;
  int64_t *numbers = calloc(limit, sizeof *numbers);
  if (!numbers)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the sessions of the catalogue");
  int error = gg__catalogue_hold(catalogue, failure);
  if (!error) {
    error = list_undecoded(catalogue, open, from, limit, numbers, &count, next, failure);
    for (size_t i = 0; i < count && !error; i++) {
      struct gg__record *record = NULL;
      error = gg__catalogue_load(catalogue, numbers[i], false, &record, failure);
      if (!error && record)
        error = visit(context, record);
    }
    gg__catalogue_release(catalogue);
  }
  free(numbers);
  return error;
}

/* ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct asking {
  struct gg__catalogue *catalogue;
  const struct gg__fact_finder *finder; /* NULL: what is kept has to do */
  int error;
  struct gg_failure *failure;
};

/* Of those that are kept. */
static enum gg__truth look_up(struct asking *asking, sqlite3_stmt *statement, gg__fact_fn is, const void *asked)
{
  enum gg__truth truth = GG__NO;
  int code = SQLITE_ROW;
  while (truth != GG__YES && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    struct gg__fact_value value = {.number = gg__column_u64(statement, 1)};
    if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
      value.text = gg__column_text(statement, 0);
    if (sqlite3_column_int(statement, 2))
      truth = GG__PERHAPS;
    else if (is(asked, &value))
      truth = GG__YES;
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    asking->error = gg__catalogue_fail(asking->catalogue, code, "read", asking->failure);
  return truth;
}

static enum gg__truth any_fact(void *context, const struct gg_session *session, const char *field, gg__fact_fn is,
                               const void *asked)
{
  struct asking *asking = context;
  sqlite3_stmt *statement =
    asking->error ? NULL : gg__catalogue_statement(asking->catalogue, GG__STATEMENT_FACTS, asking->failure);
  if (!statement) {
    asking->error = asking->error ? asking->error : GG_ERR_CORRUPT;
    return GG__NO;
  }
  gg__bind_text(statement, 1, session->id);
  gg__bind_text(statement, 2, field);
  enum gg__truth truth = look_up(asking, statement, is, asked);
  sqlite3_reset(statement);
  bool find = truth == GG__PERHAPS && asking->finder && !asking->error;
  return find ? gg__fact_find(asking->finder, session, field, is, asked) : truth;
}

int gg__catalogue_judge(struct gg__catalogue *catalogue, const struct gg_filter *filter,
                        const struct gg_session *session, enum gg__truth *truth, struct gg_failure *failure)
{
  struct asking asking = {.catalogue = catalogue, .failure = failure};
  const struct gg__fact_source source = {&asking, any_fact};
  *truth = gg__filter_judge(filter, session, &source);
  asking.finder = catalogue->finder;
  if (*truth == GG__PERHAPS && asking.finder && !asking.error)
    *truth = gg__filter_judge(filter, session, &source);
  return asking.error;
}
