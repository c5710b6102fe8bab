/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a catalogue, and how one of an earlier version becomes one of this.
 *
 *   sessions   a row for each: what filters ask for, in columns (filter_field.h), and its parts as a blob
 *   segments   the files, and how far each is indexed
 *   places     which sessions have a part in which segment, for the day when the segment goes
 *   tags       by tag; of the recording and of people
 *   marks      what people have said, by id: a copy of the journal (marks.h), kept also of sessions that are not here
 *   facts      what decoders have found
 *   totals     sums by hour, listener, protocol and close, which each batch brings up to date
 *   notes      by name, what the catalogue knows of itself: `revision`, that of the last batch; `journal`, how far that
 *              was read; `damage`, that there was a segment with some
 *
 * Indexes are for the questions that are asked often (docs/store.md has them). Those by a name also have the time, so
 * that "of that listener, in the last hour" is one range, and the start, by which they are told: the first 50 are found
 * without a look at the rows. Sessions come in order of time, so these grow at few places, which are in memory.
 * Clients, sizes, durations and community IDs come in no order: an index by them alone would be written all over, a
 * page for each session (tried: a third of the speed). So theirs are by epoch first, which is
 * GG_CATALOGUE_EPOCH_SESSIONS that came one after the other, and who asks by one of them asks in each epoch
 * (catalogue_query.c). That by revision, for who follows, grows at its end: what has a later revision moves there from
 * near it.
 *
 * The indexes stand in lists of their own, apart from the tables: a catalogue that is built from nothing gets its rows
 * first, and each index in one sorted pass then (catalogue_build.c).
 *
 * The version is in the file's header (user_version), whose it is, too (application_id). A step that cannot carry over
 * what there is may drop all of it: what is not in the catalogue is read from the segments again.
 */
#include "store/catalogue_private.h"

#include <stdio.h>

static const char version_1[] =
  "CREATE TABLE segments(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, scanned INTEGER NOT NULL,"
  " first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, scattered INTEGER NOT NULL, complete INTEGER NOT NULL);"
  "CREATE TABLE sessions(number INTEGER PRIMARY KEY, id TEXT NOT NULL, listener TEXT NOT NULL, client TEXT NOT NULL,"
  " client_key BLOB NOT NULL, client_port INTEGER, server TEXT NOT NULL, server_key BLOB NOT NULL, server_port INTEGER,"
  " server_path TEXT NOT NULL, upstream TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,"
  " duration_ns INTEGER NOT NULL, bytes INTEGER NOT NULL, bytes_client INTEGER NOT NULL, bytes_server INTEGER NOT NULL,"
  " packets INTEGER NOT NULL, packets_client INTEGER NOT NULL, packets_server INTEGER NOT NULL, gaps INTEGER NOT NULL,"
  " gaps_client INTEGER NOT NULL, gaps_server INTEGER NOT NULL, state INTEGER NOT NULL, close TEXT NOT NULL,"
  " why TEXT NOT NULL, verdict TEXT NOT NULL, verdict_by TEXT NOT NULL, held INTEGER NOT NULL, protocol TEXT NOT NULL,"
  " conn_state TEXT NOT NULL, history TEXT NOT NULL, community_client TEXT NOT NULL, community_upstream TEXT NOT NULL,"
  " masked INTEGER NOT NULL, masked_client INTEGER NOT NULL, masked_server INTEGER NOT NULL,"
  " segments INTEGER NOT NULL, is_foreign INTEGER NOT NULL, partial INTEGER NOT NULL, original TEXT NOT NULL,"
  " as_sent_of TEXT NOT NULL, epoch INTEGER NOT NULL, revision INTEGER NOT NULL, parts BLOB NOT NULL);"
  "CREATE TABLE epochs(epoch INTEGER PRIMARY KEY);"
  "CREATE TABLE places(segment INTEGER NOT NULL, session INTEGER NOT NULL, PRIMARY KEY(segment, session))"
  " WITHOUT ROWID;"
  "CREATE TABLE tags(tag TEXT NOT NULL, session INTEGER NOT NULL, PRIMARY KEY(tag, session)) WITHOUT ROWID;"
  "CREATE TABLE marks(id TEXT PRIMARY KEY, held INTEGER NOT NULL, added TEXT NOT NULL, removed TEXT NOT NULL)"
  " WITHOUT ROWID;"
  "CREATE TABLE facts(session INTEGER NOT NULL, field TEXT NOT NULL, text TEXT, number INTEGER,"
  " overflow INTEGER NOT NULL);"
  "CREATE TABLE totals(hour INTEGER NOT NULL, listener TEXT NOT NULL, protocol TEXT NOT NULL, close TEXT NOT NULL,"
  " sessions INTEGER NOT NULL, bytes_client INTEGER NOT NULL, bytes_server INTEGER NOT NULL,"
  " gaps_client INTEGER NOT NULL, gaps_server INTEGER NOT NULL, PRIMARY KEY(hour, listener, protocol, close))"
  " WITHOUT ROWID;";

/* Those of the sessions come last: what a catalogue is built by (catalogue_build.c) needs the others for its sessions
 * before it has an index of these. */
static const char *const indexes_1[] = {
  "CREATE INDEX tags_session ON tags(session)",
  "CREATE INDEX facts_session ON facts(session, field)",
  "CREATE INDEX facts_text ON facts(field, text, session) WHERE text IS NOT NULL",
  "CREATE INDEX facts_number ON facts(field, number, session) WHERE number IS NOT NULL",
  "CREATE INDEX facts_overflow ON facts(field, session) WHERE overflow = 1",
  "CREATE UNIQUE INDEX sessions_id ON sessions(id)",
  "CREATE INDEX sessions_start ON sessions(start_ns)",
  "CREATE INDEX sessions_end ON sessions(end_ns)",
  "CREATE INDEX sessions_listener ON sessions(listener, end_ns, start_ns)",
  "CREATE INDEX sessions_close ON sessions(close, end_ns, start_ns)",
  "CREATE INDEX sessions_protocol ON sessions(protocol, end_ns, start_ns)",
  "CREATE INDEX sessions_unended ON sessions(end_ns) WHERE state <> 1",
  "CREATE INDEX sessions_gaps ON sessions(gaps)",
  "CREATE INDEX sessions_client ON sessions(epoch, client_key, end_ns)",
  "CREATE INDEX sessions_bytes ON sessions(epoch, bytes)",
  "CREATE INDEX sessions_duration ON sessions(epoch, duration_ns)",
  "CREATE INDEX sessions_community_client ON sessions(epoch, community_client) WHERE community_client <> ''",
  "CREATE INDEX sessions_community_upstream ON sessions(epoch, community_upstream) WHERE community_upstream <> ''",
  "CREATE INDEX sessions_verdict ON sessions(verdict, end_ns, start_ns) WHERE verdict <> ''",
  "CREATE INDEX sessions_held ON sessions(end_ns) WHERE held <> 0",
  NULL,
};

static const char version_2[] = "CREATE TABLE notes(name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;";

static const char *const indexes_2[] = {"CREATE INDEX sessions_revision ON sessions(revision)", NULL};

/* Element N brings a database of version N to N + 1. Version 0 is an empty file. */
const struct gg__migration gg__catalogue_migrations[GG_CATALOGUE_VERSION] = {{version_1, indexes_1},
                                                                             {version_2, indexes_2}};

static int ask(struct gg__catalogue *catalogue, const char *sql, int64_t *out, struct gg_failure *failure)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(catalogue->db, sql, -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *out = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return code == SQLITE_ROW ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

/* One step is one transaction: a kill leaves the version before it, or the one after. */
static int step(struct gg__catalogue *catalogue, const struct gg__migration *migration, int to,
                struct gg_failure *failure)
{
  char header[128];
  snprintf(header, sizeof header, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
           GG_CATALOGUE_APPLICATION, to);
  int code = sqlite3_exec(catalogue->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_exec(catalogue->db, migration->sql, NULL, NULL, NULL);
  for (const char *const *sql = migration->indexes; sql && *sql && !catalogue->building && code == SQLITE_OK; sql++)
    code = sqlite3_exec(catalogue->db, *sql, NULL, NULL, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_exec(catalogue->db, header, NULL, NULL, NULL);
  if (code == SQLITE_OK)
    return 0;
  int error = gg__catalogue_fail(catalogue, code, "write", failure);
  if (!sqlite3_get_autocommit(catalogue->db))
    sqlite3_exec(catalogue->db, "ROLLBACK", NULL, NULL, NULL);
  return error;
}

int gg__catalogue_migrate(struct gg__catalogue *catalogue, const struct gg__migration *migrations, int version,
                          struct gg_failure *failure)
{
  int64_t application = 0, at = 0, tables = 0;
  int error = ask(catalogue, "PRAGMA application_id", &application, failure);
  if (!error)
    error = ask(catalogue, "PRAGMA user_version", &at, failure);
  if (!error)
    error = ask(catalogue, "SELECT count(*) FROM sqlite_schema", &tables, failure);
  if (error)
    return error;
  if (application != GG_CATALOGUE_APPLICATION && (application != 0 || tables > 0))
    return gg_fail(failure, GG_ERR_CORRUPT,
                   "%s is a database, but no catalogue: take it away, and 'gogetway reindex' makes one",
                   catalogue->path);
  if (at > version)
    return gg_fail(
      failure, GG_ERR_UNSUPPORTED,
      "the catalogue %s is of version %lld, and this gogetway knows them up to %d: use the later gogetway, "
      "or 'gogetway reindex' makes it anew",
      catalogue->path, (long long)at, version);
  if (at < version && catalogue->mode == GG__CATALOGUE_READ)
    return tables == 0 ? gg_fail(failure, GG_ERR_NOT_FOUND, "there is no catalogue at %s", catalogue->path)
                       : gg_fail(failure, GG_ERR_UNSUPPORTED,
                                 "the catalogue %s is of version %lld, an earlier one: 'gogetway reindex' brings it up "
                                 "to date, as does the gateway when it starts",
                                 catalogue->path, (long long)at);
  for (; at < version && !error; at++)
    error = step(catalogue, &migrations[at], (int)at + 1, failure);
  return error;
}
