/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums over sessions. Those of all sessions are kept in a table, a row for each hour, listener, protocol and close,
 * that a batch brings up to date with the sessions in it; those of a filter are added up when they are asked for.
 *
 * Sums are modulo 2^64: so a session that is put again is taken off and added exactly, whatever a recording claims.
 */
#include "store/catalogue_private.h"

#include "base/clock.h"
#include "store/totals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_HOUR (GG_NS_PER_S * 3600)

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void free_total(struct gg__total *total)
{
  for (int i = 0; i < 3; i++)
    free(total->key[i]);
  *total = (struct gg__total){0};
}

void gg__catalogue_drop_totals(struct gg__catalogue *catalogue)
{
  while (catalogue->total_count > 0)
    free_total(&catalogue->totals[--catalogue->total_count]);
}

static struct gg__total *find_total(struct gg__catalogue *catalogue, int64_t hour, const char *const key[3])
{
  for (size_t i = catalogue->total_count; i-- > 0;) {
    struct gg__total *total = &catalogue->totals[i];
    if (total->hour == hour && strcmp(total->key[0], key[0]) == 0 && strcmp(total->key[1], key[1]) == 0 &&
        strcmp(total->key[2], key[2]) == 0)
      return total;
  }
  return NULL;
}

int gg__catalogue_count(struct gg__catalogue *catalogue, bool more, uint64_t start_ns, const char *const key[3],
                        const uint64_t bytes[2], const uint64_t gaps[2], struct gg_failure *failure)
{
  int64_t hour = (int64_t)(start_ns / NS_PER_HOUR);
  struct gg__total *total = find_total(catalogue, hour, key);
  if (!total) {
    if (catalogue->total_count == GG_CATALOGUE_TOTALS_MAX) {
      int error = gg__catalogue_write_totals(catalogue, failure);
      if (error)
        return error;
    }
    total = &catalogue->totals[catalogue->total_count++];
    *total = (struct gg__total){.hour = hour};
    for (int i = 0; i < 3; i++)
      if (!(total->key[i] = strdup(key[i]))) {
        free_total(&catalogue->totals[--catalogue->total_count]);
        return gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
      }
  }
  total->sessions += more ? 1 : UINT64_MAX;
  for (int side = 0; side < 2; side++) {
    total->bytes[side] += more ? bytes[side] : 0 - bytes[side];
    total->gaps[side] += more ? gaps[side] : 0 - gaps[side];
  }
  return 0;
}

static void bind_key(sqlite3_stmt *statement, const struct gg__total *total)
{
  sqlite3_bind_int64(statement, 1, total->hour);
  for (int i = 0; i < 3; i++)
    gg__bind_text(statement, i + 2, total->key[i]);
}

static int write_total(struct gg__catalogue *catalogue, struct gg__total *total, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_TOTAL_GET, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  bind_key(statement, total);
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    total->sessions += gg__column_u64(statement, 0);
    for (int side = 0; side < 2; side++) {
      total->bytes[side] += gg__column_u64(statement, 1 + side);
      total->gaps[side] += gg__column_u64(statement, 3 + side);
    }
  }
  sqlite3_reset(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    return gg__catalogue_fail(catalogue, code, "read", failure);
  statement =
    gg__catalogue_statement(catalogue, total->sessions ? GG__STATEMENT_TOTAL_PUT : GG__STATEMENT_TOTAL_DROP, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  bind_key(statement, total);
  if (total->sessions) {
    gg__bind_u64(statement, 5, total->sessions);
    for (int side = 0; side < 2; side++) {
      gg__bind_u64(statement, 6 + side, total->bytes[side]);
      gg__bind_u64(statement, 8 + side, total->gaps[side]);
    }
  }
  return gg__catalogue_run(catalogue, statement, failure);
}

int gg__catalogue_write_totals(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  int error = 0;
  for (size_t i = 0; i < catalogue->total_count && !error; i++)
    error = write_total(catalogue, &catalogue->totals[i], failure);
  gg__catalogue_drop_totals(catalogue);
  return error;
}

/* ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* `all`: of all sessions, from the table; `key`: of a filter's. Both in order of their first column, so that those of
 * one key come one after the other. */
#define SUMS ", sessions, bytes_client, bytes_server, gaps_client, gaps_server FROM totals ORDER BY "
#define ROWS ", number, bytes_client, bytes_server, gaps_client, gaps_server FROM sessions WHERE "
static const struct {
  const char *all, *key, *order;
} bys[GG__TOTALS] = {
  [GG__TOTAL_LISTENER] = {"SELECT listener" SUMS "listener", "SELECT listener" ROWS, " ORDER BY +listener"},
  [GG__TOTAL_PROTOCOL] = {"SELECT protocol" SUMS "protocol", "SELECT protocol" ROWS, " ORDER BY +protocol"},
  [GG__TOTAL_CLOSE] = {"SELECT close" SUMS "close", "SELECT close" ROWS, " ORDER BY +close"},
  [GG__TOTAL_HOUR] = {"SELECT hour" SUMS "hour", "SELECT start_ns" ROWS, " ORDER BY +start_ns"},
  [GG__TOTAL_DAY] = {"SELECT hour" SUMS "hour", "SELECT start_ns" ROWS, " ORDER BY +start_ns"},
  [GG__TOTAL_CLIENT] = {NULL, "SELECT client" ROWS, " ORDER BY +client_key, client"},
};

struct adding {
  struct gg__catalogue *catalogue;
  const struct gg_filter *filter;
  enum gg__total_by by;
  bool all, exact;
  uint64_t perhaps;
  char key[GG__TOTAL_KEY_BYTES];
  struct gg_total total;
  int (*visit)(void *context, const struct gg_total *total);
  void *context;
  struct gg_failure *failure;
};

static void put_key(const struct adding *adding, sqlite3_stmt *statement, char key[GG__TOTAL_KEY_BYTES])
{
  if (adding->by == GG__TOTAL_HOUR || adding->by == GG__TOTAL_DAY) {
    uint64_t ns =
      adding->all ? (uint64_t)sqlite3_column_int64(statement, 0) * NS_PER_HOUR : gg__column_u64(statement, 0);
    gg__total_time_key(adding->by, ns, key);
  } else if (adding->by == GG__TOTAL_CLIENT) {
    gg__total_client_key(gg__column_text(statement, 0), key);
  } else {
    snprintf(key, GG__TOTAL_KEY_BYTES, "%s", gg__column_text(statement, 0));
  }
}

static int tell_total(struct adding *adding)
{
  adding->total.key = adding->key;
  return adding->total.sessions ? adding->visit(adding->context, &adding->total) : 0;
}

static int matches(struct adding *adding, int64_t number, bool *out)
{
  struct gg__record *record = NULL;
  enum gg__truth truth = GG__NO;
  *out = true;
  if (adding->all || adding->exact)
    return 0;
  int error = gg__catalogue_load(adding->catalogue, number, true, &record, adding->failure);
  if (!error && record)
    error = gg__catalogue_judge(adding->catalogue, adding->filter, &record->session, &truth, adding->failure);
  gg__record_free(record);
  *out = !error && truth != GG__NO;
  adding->perhaps += *out && truth == GG__PERHAPS;
  return error;
}

static int add_row(struct adding *adding, sqlite3_stmt *statement)
{
  char key[GG__TOTAL_KEY_BYTES];
  bool matched;
  int error = matches(adding, sqlite3_column_int64(statement, 1), &matched);
  if (error || !matched)
    return error;
  put_key(adding, statement, key);
  if (strcmp(key, adding->key) != 0 || adding->total.sessions == 0) {
    error = tell_total(adding);
    memcpy(adding->key, key, sizeof key);
    adding->total = (struct gg_total){0};
  }
  adding->total.sessions += adding->all ? gg__column_u64(statement, 1) : 1;
  for (int side = 0; side < 2; side++) {
    adding->total.bytes[side] += gg__column_u64(statement, 2 + side);
    adding->total.gaps[side] += gg__column_u64(statement, 4 + side);
  }
  return error;
}

static int add_all(struct adding *adding, sqlite3_stmt *statement)
{
  int code = SQLITE_ROW, error = 0;
  while (!error && (code = sqlite3_step(statement)) == SQLITE_ROW)
    error = add_row(adding, statement);
  if (!error && code != SQLITE_DONE)
    error = gg__catalogue_fail(adding->catalogue, code, "read", adding->failure);
  return error ? error : tell_total(adding);
}

static int add_filtered(struct adding *adding)
{
  struct gg__condition condition;
  sqlite3_stmt *statement = NULL;
  int error = gg__condition_init(&condition, adding->catalogue, adding->filter, adding->failure);
  if (!error) {
    adding->exact = condition.sql[GG__SQL_FIND].exact;
    statement = gg__condition_prepare(&condition, adding->catalogue, GG__SQL_FIND, bys[adding->by].key,
                                      bys[adding->by].order, adding->failure);
    error = statement ? add_all(adding, statement) : GG_ERR_CORRUPT;
  }
  sqlite3_finalize(statement);
  gg__condition_fini(&condition, adding->catalogue);
  return error;
}

static int add_table(struct adding *adding)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(adding->catalogue->db, bys[adding->by].all, -1, &statement, NULL);
  int error = code == SQLITE_OK ? add_all(adding, statement)
                                : gg__catalogue_fail(adding->catalogue, code, "read", adding->failure);
  sqlite3_finalize(statement);
  return error;
}

int gg__catalogue_totals(struct gg__catalogue *catalogue, const struct gg_filter *filter, const char *by,
                         int (*visit)(void *context, const struct gg_total *total), void *context, uint64_t *perhaps,
                         struct gg_failure *failure)
{
  struct adding adding = {
    .catalogue = catalogue, .filter = filter, .visit = visit, .context = context, .failure = failure};
  int error = gg__total_find(by, &adding.by, failure);
  if (!error)
    error = gg__catalogue_hold(catalogue, failure);
  if (error)
    return error;
  adding.all = !filter && bys[adding.by].all;
  error = adding.all ? add_table(&adding) : add_filtered(&adding);
  gg__catalogue_release(catalogue);
  if (perhaps)
    *perhaps = adding.perhaps;
  return error;
}
