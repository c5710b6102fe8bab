/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogue_build.c - a catalogue from nothing, by the way that is quick when nobody looks until it is whole.
 *
 *   gg__catalogue_put ──► rows, one behind the other (no index but the table's own; nothing is looked up)
 *   gg__catalogue_built ──► 1  indexes of tags and facts
 *                           2  rows of one session become one: all ids, sorted, tell which
 *                           3  indexes of sessions, each in one sorted pass
 *                           4  the log of who writes from now on (WAL)
 *
 * What an ordinary writer does for each session, to look for it by its id and to put an entry into each index, at a
 * place of its own, was most of the work: a catalogue of 500,000 sessions takes less than half of its CPU time now.
 *
 * There is no journal, and nothing is synced: a kill leaves a file that must not be used, so it must not have the name
 * of a catalogue yet (reindex.c syncs it, and renames it then).
 *
 * That a session has parts in several segments is found out in step 2, whichever they are: nothing is remembered of the
 * sessions while their rows are put, so memory does not grow with them. It is bounded by SQLite's page cache, 64 MiB
 * while rows are put, and then by a smaller one and three times as much that is sorted at a time; the rest is in files
 * (catalogue_temporary.c). Only the parts of one session are in memory together.
 * (Rejected: to keep the ids of those that did not begin and end in one segment, and join these alone. It saves one of
 * many sorted passes, and misses a session that is twice because somebody has copied its segment.)
 */
#include "store/catalogue_private.h"

#include <stdlib.h>
#include <string.h>

/* The cache is as much as is sorted at a time, too: each 16 MiB are sorted by one of two threads, while the table is
 * read on. It is chosen for memory: on a busy machine, with a million sessions, 8 to 64 MiB could not be told apart. */
static const char sorting_pragmas[] = "PRAGMA cache_size = -16384; PRAGMA threads = 2";

enum { STEPS_BETWEEN = 100000 }; /* of SQLite's machine, between two looks whether to go on: a few milliseconds */

struct building {
  struct gg__catalogue *catalogue;
  const struct gg__catalogue_building *options;
  unsigned pass, passes;
  bool stopped;
  struct gg_failure *failure;
};

static int look_up(void *context)
{
  struct building *building = context;
  const struct gg__catalogue_building *options = building->options;
  building->stopped |= options->progress && !options->progress(options->context, building->pass, building->passes);
  return building->stopped;
}

static int stop(const struct building *building)
{
  return gg_fail(building->failure, GG_ERR_CLOSED, "indexing was given up");
}

/* ── Indexes ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_of_sessions(const char *index)
{
  return strstr(index, " ON sessions(") != NULL;
}

static size_t count_indexes(void)
{
  size_t count = 0;
  for (int version = 0; version < GG_CATALOGUE_VERSION; version++)
    for (const char *const *sql = gg__catalogue_migrations[version].indexes; sql && *sql; sql++)
      count++;
  return count;
}

static int make_index(struct building *building, const char *sql)
{
  building->pass++;
  int code = sqlite3_exec(building->catalogue->db, sql, NULL, NULL, NULL);
  if (code != SQLITE_OK)
    return gg__catalogue_fail(building->catalogue, code, "write", building->failure);
  return look_up(building) ? stop(building) : 0;
}

static int make_indexes(struct building *building, bool of_sessions)
{
  int error = 0;
  for (int version = 0; version < GG_CATALOGUE_VERSION; version++)
    for (const char *const *sql = gg__catalogue_migrations[version].indexes; sql && *sql && !error; sql++)
      if (is_of_sessions(*sql) == of_sessions)
        error = make_index(building, *sql);
  return error;
}

/* ── Sessions of several rows ────────────────────────────────────────────────────────────────────────────────────── */

struct twins {
  char id[32];
  int64_t *numbers;
  size_t count, room;
};

static int add_twin(struct twins *twins, int64_t number)
{
  if (twins->count == twins->room) {
    size_t room = twins->room ? twins->room * 2 : 16;
    int64_t *larger = realloc(twins->numbers, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    twins->numbers = larger;
    twins->room = room;
  }
  twins->numbers[twins->count++] = number;
  return 0;
}

static int join_twins(struct building *building, struct twins *twins)
{
  const struct gg__catalogue_building *options = building->options;
  size_t count = twins->count;
  twins->count = 0;
  return count < 2 ? 0
                   : gg__catalogue_join(building->catalogue, twins->numbers, count, options->renew, options->context,
                                        building->failure);
}

/* One more row, in the order of ids. */
static int take_row(struct building *building, struct twins *twins, const char *id, int64_t number)
{
  int error = strcmp(id, twins->id) == 0 ? 0 : join_twins(building, twins);
  size_t length = strlen(id);
  if (!error && length >= sizeof twins->id)
    return gg__catalogue_damaged(building->catalogue, "a session's id is too long", building->failure);
  memcpy(twins->id, id, length + 1);
  if (!error && add_twin(twins, number) != 0)
    error = gg_fail(building->failure, GG_ERR_NOMEM, "no memory for the catalogue");
  return error;
}

/* All is sorted before the first row comes out: what is joined does not come once more. */
static int join_rows(struct building *building)
{
  struct gg__catalogue *catalogue = building->catalogue;
  struct twins twins = {{0}, NULL, 0, 0};
  sqlite3_stmt *statement = NULL;
  building->pass++;
  int error = 0;
  int code =
    sqlite3_prepare_v2(catalogue->db, "SELECT id, number FROM sessions ORDER BY id, number", -1, &statement, NULL);
  while (!error && code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    error = take_row(building, &twins, gg__column_text(statement, 0), sqlite3_column_int64(statement, 1));
    code = SQLITE_OK;
  }
  if (!error && code != SQLITE_DONE)
    error = gg__catalogue_fail(catalogue, code, "read", building->failure);
  if (!error)
    error = join_twins(building, &twins);
  sqlite3_finalize(statement);
  free(twins.numbers);
  return error;
}

static int join_all(struct building *building)
{
  int error = gg__catalogue_begin(building->catalogue, building->failure);
  if (!error)
    error = join_rows(building);
  if (!error)
    error = gg__catalogue_commit(building->catalogue, building->failure);
  gg__catalogue_abandon(building->catalogue);
  return error;
}

int gg__catalogue_built(struct gg__catalogue *catalogue, const struct gg__catalogue_building *options,
                        struct gg_failure *failure)
{
  struct building building = {
    .catalogue = catalogue, .options = options, .passes = (unsigned)count_indexes() + 1, .failure = failure};
  sqlite3_progress_handler(catalogue->db, STEPS_BETWEEN, look_up, &building);
  int code = sqlite3_exec(catalogue->db, sorting_pragmas, NULL, NULL, NULL);
  int error = code == SQLITE_OK ? 0 : gg__catalogue_fail(catalogue, code, "write", failure);
  if (!error)
    error = make_indexes(&building, false);
  if (!error)
    error = join_all(&building);
  if (!error)
    error = make_indexes(&building, true);
  sqlite3_progress_handler(catalogue->db, 0, NULL, NULL);
  return error ? error : gg__catalogue_settle(catalogue, failure);
}
