/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions by filter, in order, the first so many.
 *
 * A query asks for numbers, and what they are ordered by; each session is read by its number then. So what is sorted
 * is small.
 *
 * "The latest 50 of a network" can be answered two ways, and which is good depends on what there is:
 *   - by the condition: find all of that network by its index, sort them, take 50. Good if they are few.
 *   - by the order: go through all sessions from the latest on, and take the first 50 that match. Good if they are
 * many. Statistics would have to be gathered, and are of no use for networks and ranges. So both are tried in turn,
 * each for a time that grows: what is spent in vain is a small multiple of what the better one takes. A condition that
 * has no index is not tried. What stands in another table (tags) is found there at once by the condition, and is asked
 * of each session by the order: a list of all that have a tag may be longer than all that the order goes through.
 *
 *   order      [=]         [===]              [=========]
 *   condition     [===]         [========= done
 *
 * Nothing is told before a way has come to its end, so the one that is given up leaves nothing behind.
 *
 * What has its index by epoch (catalogue_schema.c) is asked for in each of them: the condition says "in any epoch",
 * which is always so, but with it the index is of use; and the first by such an order are the first of the first of
 * each.
 *
 * Rejected: ANALYZE and SQLite's planner (it takes "client in 10.0.0.0/8" for rare whatever the tables say).
 */
#include "store/catalogue_private.h"

#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  HANDLER_STEPS = 1000, /* of SQLite's machine between two looks at the clock */
  BUDGET_FACTOR = 3,    /* so many times longer at each turn */
  TRIED_MAX = 1 << 16,  /* more rows than these are not collected before they are told */
};
#define BUDGET_FIRST_NS (4 * GG_NS_PER_MS)

/* ── Conditions ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* gg_regexp(operand, text): of the filter that is being asked. */
static void call_operand(sqlite3_context *context, int count, sqlite3_value **values)
{
  const struct gg__catalogue *catalogue = sqlite3_user_data(context);
  assert(count == 2);
  (void)count;
  const char *text = (const char *)sqlite3_value_text(values[1]);
  int length = sqlite3_value_bytes(values[1]);
  unsigned operand = (unsigned)sqlite3_value_int(values[0]);
  sqlite3_result_int(context, catalogue->filter && text &&
                                gg__filter_operand_match(catalogue->filter, operand, text, (size_t)length));
}

int gg__condition_init(struct gg__condition *condition, struct gg__catalogue *catalogue, const struct gg_filter *filter,
                       struct gg_failure *failure)
{
  *condition = (struct gg__condition){.before = catalogue->filter};
  for (enum gg__sql_use use = 0; use < GG__SQL_USES; use++)
    if (gg__filter_sql(filter, use, &condition->sql[use]) != 0)
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for a query");
  catalogue->filter = filter;
  if (catalogue->functions)
    return 0;
  int flags = SQLITE_UTF8 | SQLITE_DIRECTONLY;
  int code =
    sqlite3_create_function_v2(catalogue->db, "gg_regexp", 2, flags, catalogue, call_operand, NULL, NULL, NULL);
  catalogue->functions = code == SQLITE_OK;
  return code == SQLITE_OK ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

void gg__condition_fini(struct gg__condition *condition, struct gg__catalogue *catalogue)
{
  for (enum gg__sql_use use = 0; use < GG__SQL_USES; use++)
    gg__sql_fini(&condition->sql[use]);
  catalogue->filter = condition->before;
}

static void bind_values(sqlite3_stmt *statement, const struct gg__sql *sql)
{
  for (size_t i = 0; i < sql->count; i++)
    gg__bind_value(statement, (int)i + 1, &sql->values[i], SQLITE_STATIC);
}

sqlite3_stmt *gg__condition_prepare(const struct gg__condition *condition, struct gg__catalogue *catalogue,
                                    enum gg__sql_use use, const char *before, const char *after,
                                    struct gg_failure *failure)
{
  const struct gg__sql *sql = &condition->sql[use];
  sqlite3_stmt *statement = NULL;
  size_t room = strlen(before) + strlen(sql->text) + strlen(after) + 3;
  char *text = malloc(room);
  if (!text) {
    gg_fail(failure, GG_ERR_NOMEM, "no memory for a query");
    return NULL;
  }
  snprintf(text, room, "%s(%s)%s", before, sql->text, after);
  int code = sqlite3_prepare_v3(catalogue->db, text, -1, 0, &statement, NULL);
  free(text);
  if (code != SQLITE_OK)
    gg__catalogue_fail(catalogue, code, "read", failure);
  else
    bind_values(statement, sql);
  return statement;
}

/* ── Orders ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Columns that have an index with nothing in front of them but, for some, the epoch. */
static const struct order {
  const char *column, *from;
  bool epochs;
} orders[] = {
  {"start_ns", "SELECT number, start_ns FROM sessions INDEXED BY sessions_start WHERE ", false},
  {"end_ns", "SELECT number, start_ns FROM sessions INDEXED BY sessions_end WHERE ", false},
  {"bytes", "SELECT number, bytes, start_ns, id FROM sessions INDEXED BY sessions_bytes WHERE ", true},
  {"duration_ns", "SELECT number, duration_ns, start_ns, id FROM sessions INDEXED BY sessions_duration WHERE ", true},
  {"gaps", "SELECT number, start_ns FROM sessions INDEXED BY sessions_gaps WHERE ", false},
  {"id", "SELECT number, start_ns FROM sessions INDEXED BY sessions_id WHERE ", false},
};
static const char any_order[] = "SELECT number, start_ns FROM sessions WHERE ";
static const char in_epochs[] = "SELECT number, start_ns FROM sessions WHERE epoch IN (SELECT epoch FROM epochs) AND ";

static const char explain_any[] = "EXPLAIN QUERY PLAN SELECT number FROM sessions WHERE ";
static const char explain_epochs[] =
  "EXPLAIN QUERY PLAN SELECT number FROM sessions WHERE epoch IN (SELECT epoch FROM epochs) AND ";

static const struct order *find_order(const char *column)
{
  for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
    if (strcmp(orders[i].column, column) == 0)
      return &orders[i];
  return NULL;
}

static bool is_name(char c)
{
  return (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9');
}

static bool names_column(const char *text, const char *column)
{
  size_t length = strlen(column);
  for (const char *at = text; (at = strstr(at, column)); at += length)
    if ((at == text || !is_name(at[-1])) && !is_name(at[length]))
      return true;
  return false;
}

/* One of the first. */
struct found {
  int64_t number, start; /* as stored, which is in their order */
  char id[25];           /* of those that began at the same time, which it decides between */
  bool perhaps;
};

struct query {
  struct gg__catalogue *catalogue;
  const struct gg_filter *filter;
  struct gg__condition condition;
  const char *column;
  const struct order *order; /* NULL: the column has no index */
  bool down;
  const enum gg_session_state *state; /* those of this state alone are told; NULL: all are */
  uint64_t limit;
  uint64_t until_ns; /* when it is given up; UINT64_MAX: never */
  struct found *found;
  size_t count, room;
  struct gg_failure *failure;
};

/* Whether the condition asks for what has its index by epoch. */
static bool by_epochs(const struct query *query)
{
  const char *text = query->condition.sql[GG__SQL_FIND].text;
  return names_column(text, "client_key") || names_column(text, "bytes") || names_column(text, "duration_ns");
}

static bool is_by_start(const struct query *query)
{
  return strcmp(query->column, "start_ns") == 0;
}

/* The statement by one of the two ways. `+` keeps an order from choosing the index. The first so many by their start
 * come without regard to ids (settle_ties): by a name and a time they are found in an index alone, which has no ids. */
static sqlite3_stmt *prepare(const struct query *query, bool by_order, bool first)
{
  char after[160];
  const char *of = !query->state ? "" : *query->state == GG_SESSION_CLOSED ? " AND state = 1" : " AND state <> 1";
  const char *then = !is_by_start(query) ? ", start_ns, id" : first ? "" : ", id";
  snprintf(after, sizeof after, "%s%s ORDER BY %s%s%s%s", of, by_order && query->order->epochs ? " AND epoch = ?" : "",
           by_order ? "" : "+", query->column, query->down ? " DESC" : "", then);
  const char *from = by_order ? query->order->from : by_epochs(query) ? in_epochs : any_order;
  enum gg__sql_use use = by_order ? GG__SQL_JUDGE : GG__SQL_FIND;
  return gg__condition_prepare(&query->condition, query->catalogue, use, from, after, query->failure);
}

/* ── Running ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The session, if it is to be told. */
static int take(const struct query *query, int64_t number, struct gg__record **record)
{
  enum gg__truth truth = GG__YES;
  int error = gg__catalogue_load(query->catalogue, number, true, record, query->failure);
  if (error || !*record)
    return error;
  const struct gg_session *session = &(*record)->session;
  if (!query->condition.sql[GG__SQL_FIND].exact)
    error = gg__catalogue_judge(query->catalogue, query->filter, session, &truth, query->failure);
  (*record)->perhaps = truth == GG__PERHAPS;
  if (error || truth == GG__NO || (query->state && session->state != *query->state)) {
    gg__record_free(*record);
    *record = NULL;
  }
  return error;
}

/* Whether the condition has let through what the filter does. */
static int check(struct query *query, int64_t number, enum gg__truth *truth)
{
  struct gg__record *record = NULL;
  *truth = GG__YES;
  if (query->condition.sql[GG__SQL_FIND].exact)
    return 0;
  int error = take(query, number, &record);
  *truth = !record ? GG__NO : record->perhaps ? GG__PERHAPS : GG__YES;
  gg__record_free(record);
  return error;
}

static int collect(struct query *query, int64_t number, int64_t start, bool perhaps)
{
  if (query->count == query->room) {
    size_t room = query->room ? query->room * 2 : 64;
    struct found *larger = realloc(query->found, room * sizeof *larger);
    if (!larger)
      return gg_fail(query->failure, GG_ERR_NOMEM, "no memory for a query");
    query->found = larger;
    query->room = room;
  }
  query->found[query->count++] = (struct found){.number = number, .start = start, .perhaps = perhaps};
  return 0;
}

static int is_late(void *context)
{
  const struct query *query = context;
  return query->until_ns != UINT64_MAX && gg_clock_mono_ns() >= query->until_ns;
}

/* One step of a statement, as long as there is time; what is done with its row is not interrupted. */
static int step(struct query *query, sqlite3_stmt *statement)
{
  sqlite3_progress_handler(query->catalogue->db, HANDLER_STEPS, is_late, query);
  int code = sqlite3_step(statement);
  sqlite3_progress_handler(query->catalogue->db, 0, NULL, NULL);
  return code;
}

/* What a statement ended with. GG_ERR_AGAIN: it took too long. */
static int conclude(const struct query *query, int code, int error)
{
  if (error)
    return error;
  if ((code & 0xff) == SQLITE_INTERRUPT)
    return GG_ERR_AGAIN;
  return code == SQLITE_ROW || code == SQLITE_DONE ? 0
                                                   : gg__catalogue_fail(query->catalogue, code, "read", query->failure);
}

/* Whether it comes behind the first so many. Those that began with the last of them may yet be among them. */
static bool is_beyond(const struct query *query, int64_t start)
{
  return query->count >= query->limit && (!is_by_start(query) || query->found[query->limit - 1].start != start);
}

static int run_plain(struct query *query, sqlite3_stmt *statement)
{
  int code = SQLITE_ROW, error = 0;
  bool ties = is_by_start(query);
  while (!error && (ties || query->count < query->limit) && (code = step(query, statement)) == SQLITE_ROW) {
    int64_t number = sqlite3_column_int64(statement, 0), start = sqlite3_column_int64(statement, 1);
    enum gg__truth truth;
    if (is_beyond(query, start))
      break;
    error = check(query, number, &truth);
    if (!error && truth != GG__NO)
      error = collect(query, number, start, truth == GG__PERHAPS);
  }
  return conclude(query, code, error);
}

static int by_id(const void *a, const void *b)
{
  const struct found *left = a, *right = b;
  return strcmp(left->id, right->id);
}

static int read_ids(struct query *query, size_t from, size_t to)
{
  sqlite3_stmt *statement = gg__catalogue_statement(query->catalogue, GG__STATEMENT_SESSION_ID, query->failure);
  int code = statement ? SQLITE_ROW : SQLITE_ERROR;
  for (size_t i = from; i < to && code == SQLITE_ROW; i++) {
    sqlite3_bind_int64(statement, 1, query->found[i].number);
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
      snprintf(query->found[i].id, sizeof query->found[i].id, "%s", gg__column_text(statement, 0));
    sqlite3_reset(statement);
  }
  if (!statement)
    return GG_ERR_CORRUPT;
  return code == SQLITE_ROW ? 0 : gg__catalogue_fail(query->catalogue, code, "read", query->failure);
}

/* What began at the same time goes by id. */
static int settle_ties(struct query *query)
{
  int error = 0;
  for (size_t from = 0, to; from < query->count && !error; from = to) {
    for (to = from + 1; to < query->count && query->found[to].start == query->found[from].start;)
      to++;
    if (to == from + 1)
      continue;
    error = read_ids(query, from, to);
    if (!error)
      qsort(query->found + from, to - from, sizeof *query->found, by_id);
  }
  query->count = query->count < query->limit ? query->count : (size_t)query->limit;
  return error;
}

/* ── By epochs ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* One of the first of an epoch, with what decides between those of several. */
struct candidate {
  int64_t number, value, start; /* as stored, which is in their order */
  char id[25];
  bool perhaps;
};

struct candidates {
  struct candidate *list;
  size_t count, room;
  size_t before; /* of earlier epochs, in order */
  int sign;
};

static int by_value(const void *a, const void *b, void *context)
{
  const struct candidate *left = a, *right = b;
  const struct candidates *candidates = context;
  if (left->value != right->value)
    return left->value < right->value ? -candidates->sign : candidates->sign;
  if (left->start != right->start)
    return left->start < right->start ? -1 : 1;
  return strcmp(left->id, right->id);
}

static int add_candidate(struct query *query, struct candidates *candidates, sqlite3_stmt *statement, bool perhaps)
{
  if (candidates->count == candidates->room) {
    size_t room = candidates->room ? candidates->room * 2 : 256;
    struct candidate *larger = realloc(candidates->list, room * sizeof *larger);
    if (!larger)
      return gg_fail(query->failure, GG_ERR_NOMEM, "no memory for a query");
    candidates->list = larger;
    candidates->room = room;
  }
  struct candidate *candidate = &candidates->list[candidates->count++];
  candidate->perhaps = perhaps;
  candidate->number = sqlite3_column_int64(statement, 0);
  candidate->value = sqlite3_column_int64(statement, 1);
  candidate->start = sqlite3_column_int64(statement, 2);
  snprintf(candidate->id, sizeof candidate->id, "%s", gg__column_text(statement, 3));
  return 0;
}

/* Whether those of this epoch are not among the first any more: so many are before them. */
static bool is_behind(const struct query *query, const struct candidates *candidates, sqlite3_stmt *statement)
{
  if (candidates->before < query->limit)
    return false;
  int64_t value = sqlite3_column_int64(statement, 1), last = candidates->list[query->limit - 1].value;
  return candidates->sign < 0 ? value < last : value > last;
}

/* The first of one epoch; of all so far only the first are kept. */
static int run_epoch(struct query *query, sqlite3_stmt *statement, int64_t epoch, struct candidates *candidates)
{
  int code = SQLITE_ROW, error = 0;
  candidates->before = candidates->count;
  sqlite3_reset(statement);
  sqlite3_bind_int64(statement, (int)query->condition.sql[GG__SQL_JUDGE].count + 1, epoch);
  for (uint64_t taken = 0; !error && taken < query->limit && (code = step(query, statement)) == SQLITE_ROW;) {
    enum gg__truth truth;
    if (is_behind(query, candidates, statement))
      break;
    error = check(query, sqlite3_column_int64(statement, 0), &truth);
    if (!error && truth != GG__NO)
      error = add_candidate(query, candidates, statement, truth == GG__PERHAPS);
    taken += truth != GG__NO;
  }
  if (candidates->count > 1)
    qsort_r(candidates->list, candidates->count, sizeof *candidates->list, by_value, candidates);
  candidates->count = candidates->count < query->limit ? candidates->count : (size_t)query->limit;
  return conclude(query, code, error);
}

static int run_epochs(struct query *query, sqlite3_stmt *statement)
{
  struct candidates candidates = {.sign = query->down ? -1 : 1};
  sqlite3_stmt *epochs = gg__catalogue_statement(query->catalogue, GG__STATEMENT_EPOCHS, query->failure);
  int code = SQLITE_ROW, error = epochs ? 0 : GG_ERR_CORRUPT;
  while (!error && (code = sqlite3_step(epochs)) == SQLITE_ROW)
    error = run_epoch(query, statement, sqlite3_column_int64(epochs, 0), &candidates);
  error = conclude(query, code, error);
  sqlite3_reset(epochs);
  for (size_t i = 0; i < candidates.count && !error; i++)
    error = collect(query, candidates.list[i].number, candidates.list[i].start, candidates.list[i].perhaps);
  free(candidates.list);
  return error;
}

/* ── Both ways ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static int run_way(struct query *query, bool by_order, uint64_t budget_ns)
{
  sqlite3_stmt *statement = prepare(query, by_order, true);
  if (!statement)
    return GG_ERR_CORRUPT;
  query->count = 0;
  query->until_ns = budget_ns == UINT64_MAX ? budget_ns : gg_clock_mono_ns() + budget_ns;
  int error = by_order && query->order->epochs ? run_epochs(query, statement) : run_plain(query, statement);
  sqlite3_finalize(statement);
  return error;
}

/* Whether SQLite finds an index for the condition: that of an epoch alone is none, that of a few is. */
static bool has_index(const struct query *query)
{
  struct gg_failure ignored = GG_FAILURE_INIT;
  const char *from = by_epochs(query) ? explain_epochs : explain_any;
  sqlite3_stmt *statement =
    gg__condition_prepare(&query->condition, query->catalogue, GG__SQL_FIND, from, "", &ignored);
  bool found = false;
  while (statement && sqlite3_step(statement) == SQLITE_ROW) {
    const char *detail = gg__column_text(statement, 3);
    bool search = strncmp(detail, "SEARCH sessions", 15) == 0 && !strstr(detail, "(epoch=?)");
    found |= search || strncmp(detail, "MULTI-INDEX", 11) == 0 || strstr(detail, "sessions_unended") ||
             strstr(detail, "sessions_held");
  }
  sqlite3_finalize(statement);
  return found;
}

static int find_first(struct query *query)
{
  if (!query->order)
    return run_way(query, false, UINT64_MAX);
  if (!has_index(query))
    return run_way(query, true, UINT64_MAX);
  int error = GG_ERR_AGAIN;
  bool by_order = true;
  for (uint64_t budget_ns = BUDGET_FIRST_NS; error == GG_ERR_AGAIN; by_order = !by_order) {
    error = run_way(query, by_order, budget_ns);
    budget_ns *= by_order ? BUDGET_FACTOR : 1;
  }
  return error;
}

static int tell_first(struct query *query, int (*visit)(void *context, struct gg__record *record), void *context)
{
  int error = find_first(query);
  if (!error && is_by_start(query))
    error = settle_ties(query);
  for (size_t i = 0; i < query->count && !error; i++) {
    struct gg__record *record;
    error = gg__catalogue_load(query->catalogue, query->found[i].number, true, &record, query->failure);
    if (!error && record) {
      record->perhaps = query->found[i].perhaps;
      error = visit(context, record);
    }
  }
  return error;
}

/* All that match, as they come. */
static int tell_all(struct query *query, int (*visit)(void *context, struct gg__record *record), void *context)
{
  bool by_order = query->order && !query->order->epochs && strcmp(query->condition.sql[GG__SQL_FIND].text, "1") == 0;
  sqlite3_stmt *statement = prepare(query, by_order, false);
  if (!statement)
    return GG_ERR_CORRUPT;
  int code = SQLITE_ROW, error = 0;
  while (!error && query->limit > 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    struct gg__record *record;
    error = take(query, sqlite3_column_int64(statement, 0), &record);
    query->limit -= record != NULL;
    if (!error && record)
      error = visit(context, record);
  }
  sqlite3_finalize(statement);
  if (!error && code != SQLITE_ROW && code != SQLITE_DONE)
    error = gg__catalogue_fail(query->catalogue, code, "read", query->failure);
  return error;
}

/* By state. Of sessions without an end the table does not say whether they are open or cut, which changes without their
 * rows; but which have none it does, and these are few. */
static int tell_by_state(struct query *query, int (*visit)(void *context, struct gg__record *record), void *context)
{
  static const enum gg_session_state states[] = {GG_SESSION_OPEN, GG_SESSION_CLOSED, GG_SESSION_CUT};
  enum { STATES = sizeof states / sizeof states[0] };
  bool down = query->down;
  int error = 0;
  query->column = "start_ns";
  query->down = false;
  for (int i = 0; i < STATES && !error && query->limit > 0; i++) {
    query->state = &states[down ? STATES - 1 - i : i];
    query->order = *query->state == GG_SESSION_CLOSED ? find_order(query->column) : NULL;
    error = tell_all(query, visit, context);
  }
  return error;
}

int gg__catalogue_hold(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  if (catalogue->batch || catalogue->reading++ > 0)
    return 0;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_BEGIN_READ, failure);
  int error = statement ? gg__catalogue_run(catalogue, statement, failure) : GG_ERR_CORRUPT;
  catalogue->reading -= error != 0;
  return error;
}

void gg__catalogue_release(struct gg__catalogue *catalogue)
{
  if (catalogue->batch || --catalogue->reading > 0 || sqlite3_get_autocommit(catalogue->db))
    return;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_COMMIT, NULL);
  if (statement)
    gg__catalogue_run(catalogue, statement, NULL);
}

/* By the index of revisions, whatever the condition has: what has changed since the last look is little. */
static int tell_changed(struct query *query, uint64_t revision, int (*visit)(void *context, struct gg__record *record),
                        void *context)
{
  static const char before[] = "SELECT number FROM sessions INDEXED BY sessions_revision WHERE ";
  sqlite3_stmt *statement = gg__condition_prepare(&query->condition, query->catalogue, GG__SQL_JUDGE, before,
                                                  " AND revision > ?", query->failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  sqlite3_bind_int64(statement, (int)query->condition.sql[GG__SQL_JUDGE].count + 1, (int64_t)revision);
  int code = SQLITE_ROW, error = 0;
  while (!error && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    struct gg__record *record;
    error = take(query, sqlite3_column_int64(statement, 0), &record);
    if (!error && record)
      error = visit(context, record);
  }
  sqlite3_finalize(statement);
  return conclude(query, code, error);
}

int gg__catalogue_changed(struct gg__catalogue *catalogue, const struct gg_filter *filter, uint64_t revision,
                          int (*visit)(void *context, struct gg__record *record), void *context,
                          struct gg_failure *failure)
{
  struct query query = {.catalogue = catalogue, .filter = filter, .failure = failure};
  int error = gg__condition_init(&query.condition, catalogue, filter, failure);
  if (!error)
    error = gg__catalogue_hold(catalogue, failure);
  if (!error) {
    error = tell_changed(&query, revision, visit, context);
    gg__catalogue_release(catalogue);
  }
  gg__condition_fini(&query.condition, catalogue);
  return error;
}

int gg__catalogue_query(struct gg__catalogue *catalogue, const struct gg_filter *filter, const char *sort,
                        uint64_t limit, int (*visit)(void *context, struct gg__record *record), void *context,
                        struct gg_failure *failure)
{
  struct query query = {
    .catalogue = catalogue, .filter = filter, .limit = limit ? limit : UINT64_MAX, .failure = failure};
  query.column = sort ? gg__filter_sort_column(sort, &query.down) : "start_ns";
  if (!query.column)
    return gg_fail(failure, GG_ERR_INVALID, "sessions cannot be sorted by '%s'", sort);
  query.order = find_order(query.column);
  int error = gg__condition_init(&query.condition, catalogue, filter, failure);
  if (!error)
    error = gg__catalogue_hold(catalogue, failure);
  if (!error) {
    if (strcmp(query.column, "state") == 0)
      error = tell_by_state(&query, visit, context);
    else
      error = limit && limit <= TRIED_MAX ? tell_first(&query, visit, context) : tell_all(&query, visit, context);
    gg__catalogue_release(catalogue);
  }
  gg__condition_fini(&query.condition, catalogue);
  free(query.found);
  return error;
}
