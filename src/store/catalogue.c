/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue's handle: a connection of SQLite's with its statements, made so that
 *   - any number of processes read while one writes (write-ahead log), and a batch is one transaction;
 *   - one process writes: it holds a lock on catalogue.db.lock as long as it is open, which the kernel gives back
 *     whatever becomes of it. SQLite's own lock is held by a transaction only, and two writers that take turns would
 *     undo each other's work;
 *   - readers who may write nothing can open it: the log and its index stay beside the database when the writer ends;
 *   - what SQLite says of trouble is told with what to do about it.
 *
 * Every text of SQL is a constant of this program. What comes from recordings or users is bound to parameters.
 *
 * Rejected: a key-value store with indexes of our own (LMDB). Conditions with and, or and not over thirty columns want
 * a planner, and people can open an SQLite file with the tools that they have.
 */
#include "store/catalogue_private.h"

#include "base/clock.h"
#include "store/filter_field.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096, CACHE_READ_KIB = 16 << 10, CACHE_WRITE_KIB = 64 << 10 };

/* Whose facts (of the field ?1) are not of as many packets as it has, or of one that had not ended. */
#define NOT_DECODED                                                                                                    \
  " AND NOT EXISTS (SELECT 1 FROM facts WHERE session = sessions.number AND field = ?1"                                \
  " AND facts.number = sessions.packets AND overflow = 2 + (sessions.state = 1))"

static const char *const texts[GG__STATEMENTS] = {
  [GG__STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
  [GG__STATEMENT_BEGIN_READ] = "BEGIN",
  [GG__STATEMENT_COMMIT] = "COMMIT",
  [GG__STATEMENT_ROLLBACK] = "ROLLBACK",
  [GG__STATEMENT_SEGMENT_PUT] =
    "INSERT INTO segments(name, scanned, first_ns, last_ns, scattered, complete) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
    " ON CONFLICT(name) DO UPDATE SET scanned = ?2, first_ns = ?3, last_ns = ?4, scattered = ?5, complete = ?6",
  [GG__STATEMENT_SEGMENT_NUMBER] = "SELECT number FROM segments WHERE name = ?1",
  [GG__STATEMENT_SEGMENT_NAME] = "SELECT name FROM segments WHERE number = ?1",
  [GG__STATEMENT_SEGMENT_FORGET] = "DELETE FROM segments WHERE number = ?1",
  [GG__STATEMENT_SEGMENTS] =
    "SELECT name, scanned, first_ns, last_ns, scattered, complete FROM segments WHERE name > ?1 ORDER BY name",
  [GG__STATEMENT_SESSION_NUMBER] = "SELECT number FROM sessions WHERE id = ?1",
  [GG__STATEMENT_SESSION_ID] = "SELECT id FROM sessions WHERE number = ?1",
  [GG__STATEMENT_SESSION_LAST] = "SELECT max(number) FROM sessions",
  [GG__STATEMENT_EPOCH_PUT] = "INSERT OR IGNORE INTO epochs(epoch) VALUES(?1)",
  [GG__STATEMENT_EPOCHS] = "SELECT epoch FROM epochs ORDER BY epoch DESC",
  [GG__STATEMENT_SESSION_DELETE] = "DELETE FROM sessions WHERE number = ?1",
  [GG__STATEMENT_SESSION_HOLD] = "UPDATE sessions SET held = ?2, revision = ?3 WHERE number = ?1",
  [GG__STATEMENT_SESSION_TOUCH] = "UPDATE sessions SET revision = ?2 WHERE number = ?1 AND revision <> ?2",
  [GG__STATEMENT_PLACE_PUT] = "INSERT OR IGNORE INTO places(segment, session) VALUES(?1, ?2)",
  [GG__STATEMENT_PLACE_DROP] = "DELETE FROM places WHERE segment = ?1 AND session = ?2",
  [GG__STATEMENT_PLACES] = "SELECT session FROM places WHERE segment = ?1 LIMIT ?2",
  [GG__STATEMENT_OPEN_IN] = "SELECT session FROM places JOIN sessions ON number = session"
                            " WHERE segment = ?1 AND session > ?2 AND state <> ?3 ORDER BY session",
  [GG__STATEMENT_SESSIONS_IN] = "SELECT id FROM places JOIN sessions ON number = session WHERE segment = ?1",
  [GG__STATEMENT_TAG_PUT] = "INSERT OR IGNORE INTO tags(tag, session) VALUES(?1, ?2)",
  [GG__STATEMENT_TAGS_DROP] = "DELETE FROM tags WHERE session = ?1",
  [GG__STATEMENT_MARK_GET] = "SELECT held, added, removed FROM marks WHERE id = ?1",
  [GG__STATEMENT_MARK_PUT] = "INSERT INTO marks(id, held, added, removed) VALUES(?1, ?2, ?3, ?4)"
                             " ON CONFLICT(id) DO UPDATE SET held = ?2, added = ?3, removed = ?4",
  [GG__STATEMENT_MARK_DROP] = "DELETE FROM marks WHERE id = ?1",
  [GG__STATEMENT_MARKS] = "SELECT id, held, added, removed FROM marks ORDER BY id",
  [GG__STATEMENT_MARKED] = "SELECT id, EXISTS (SELECT 1 FROM sessions WHERE sessions.id = marks.id) FROM marks"
                           " WHERE id > ?1 ORDER BY id LIMIT ?2",
  [GG__STATEMENT_MARK_COUNT] = "SELECT count(*) FROM marks",
  [GG__STATEMENT_FACT_KNOWN] =
    "SELECT 1 FROM facts WHERE session = ?1 AND field = ?2 AND text IS ?3 AND number IS ?4 AND overflow = 0",
  [GG__STATEMENT_FACT_COUNT] = "SELECT count(*) FROM facts WHERE session = ?1 AND field = ?2 AND overflow = 0",
  [GG__STATEMENT_FACT_PUT] = "INSERT INTO facts(session, field, text, number, overflow) VALUES(?1, ?2, ?3, ?4, 0)",
  [GG__STATEMENT_FACT_OVERFLOW] = "INSERT INTO facts(session, field, overflow) SELECT ?1, ?2, 1 WHERE NOT EXISTS"
                                  " (SELECT 1 FROM facts WHERE session = ?1 AND field = ?2 AND overflow = 1)",
  [GG__STATEMENT_FACTS] = "SELECT text, number, overflow FROM facts"
                          " WHERE session = (SELECT number FROM sessions WHERE id = ?1) AND field = ?2",
  [GG__STATEMENT_FACTS_DROP] = "DELETE FROM facts WHERE session = ?1",
  [GG__STATEMENT_FACT_DROP] = "DELETE FROM facts WHERE session = ?1 AND field = ?2",
  [GG__STATEMENT_FACT_DECODED] = "INSERT INTO facts(session, field, number, overflow) VALUES(?1, ?2, ?3, 2 + ?4)",
  [GG__STATEMENT_UNDECODED] = "SELECT number, revision FROM sessions WHERE revision >= ?2 AND state = 1" NOT_DECODED
                              " ORDER BY revision LIMIT ?3",
  [GG__STATEMENT_UNDECODED_OPEN] =
    "SELECT number, revision FROM sessions WHERE number > ?2 AND state <> 1" NOT_DECODED " ORDER BY number LIMIT ?3",
  [GG__STATEMENT_BEHIND] =
    "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE revision >= ?2 AND state = 1" NOT_DECODED " LIMIT ?3)",
  [GG__STATEMENT_TOTAL_GET] = "SELECT sessions, bytes_client, bytes_server, gaps_client, gaps_server FROM totals"
                              " WHERE hour = ?1 AND listener = ?2 AND protocol = ?3 AND close = ?4",
  [GG__STATEMENT_TOTAL_PUT] =
    "INSERT OR REPLACE INTO totals(hour, listener, protocol, close, sessions, bytes_client, bytes_server, gaps_client,"
    " gaps_server) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
  [GG__STATEMENT_TOTAL_DROP] = "DELETE FROM totals WHERE hour = ?1 AND listener = ?2 AND protocol = ?3 AND close = ?4",
  [GG__STATEMENT_NOTE_GET] = "SELECT value FROM notes WHERE name = ?1",
  [GG__STATEMENT_NOTE_PUT] = "INSERT OR REPLACE INTO notes(name, value) VALUES(?1, ?2)",
};

/* ── Trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__catalogue_damaged(const struct gg__catalogue *catalogue, const char *how, struct gg_failure *failure)
{
  return gg_fail(failure, GG_ERR_CORRUPT, "the catalogue %s is damaged (%s): 'gogetway reindex' makes it anew",
                 catalogue->path, how);
}

int gg__catalogue_fail(const struct gg__catalogue *catalogue, int code, const char *doing, struct gg_failure *failure)
{
  const char *text = sqlite3_errstr(code);
  switch (code & 0xff) {
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
  case SQLITE_MISMATCH:
  case SQLITE_CONSTRAINT:
  case SQLITE_ERROR: /* a table or a column is missing: the texts are right */
    return gg__catalogue_damaged(catalogue, code == SQLITE_ERROR ? sqlite3_errmsg(catalogue->db) : text, failure);
  case SQLITE_NOMEM:
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return gg_fail(failure, GG_ERR_BUSY, "the catalogue %s is in use by another program that writes it: end that",
                   catalogue->path);
  case SQLITE_INTERRUPT:
    return gg_fail(failure, GG_ERR_CLOSED, "indexing was given up");
  case SQLITE_FULL:
    return gg_fail(failure, GG_ERR_NO_SPACE, "cannot %s the catalogue %s: no space left", doing, catalogue->path);
  case SQLITE_PERM:
  case SQLITE_READONLY:
  case SQLITE_AUTH:
    return gg_fail(failure, GG_ERR_DENIED, "cannot %s the catalogue %s: %s", doing, catalogue->path, text);
  default:
    return gg_fail(failure, GG_ERR_IO, "cannot %s the catalogue %s: %s", doing, catalogue->path, text);
  }
}

/* ── Statements ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Those of the table of sessions name its columns, of which filter_field.c has the list. */
static char *session_text(enum gg__statement which)
{
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return NULL;
  int at = 1;
  bool insert = which == GG__STATEMENT_SESSION_INSERT;
  fputs(insert ? "INSERT INTO sessions(" : "UPDATE sessions SET ", out);
  for (const struct gg__column *column; (column = gg__column_at((size_t)at - 1)); at++)
    fprintf(out, insert ? "%s, " : "%s = ?%d, ", column->name, at);
  if (insert) {
    fputs("revision, parts, number, epoch) VALUES(", out);
    for (int i = 1; i < at + 3; i++)
      fprintf(out, "?%d, ", i);
    fprintf(out, "?%d)", at + 3);
  } else {
    fprintf(out, "revision = ?%d, parts = ?%d WHERE number = ?%d", at, at + 1, at + 2);
  }
  if (fclose(out) == 0)
    return text;
  free(text);
  return NULL;
}

/* What is asked of a session's row: what stands in columns of its own is not in the blob once more. */
static const char load_text[] =
  "SELECT id, start_ns, state, parts, revision, protocol" GG__ROW_COLUMNS " FROM sessions WHERE number = ?1";
#define OLD                                                                                                            \
  "SELECT number, start_ns, listener, protocol, close, bytes_client, bytes_server, gaps_client, gaps_server, parts"    \
  " FROM sessions WHERE "
static const char old_text[] = OLD "id = ?1", old_numbered_text[] = OLD "number = ?1";

sqlite3_stmt *gg__catalogue_statement(struct gg__catalogue *catalogue, enum gg__statement which,
                                      struct gg_failure *failure)
{
  sqlite3_stmt **statement = &catalogue->statements[which];
  if (*statement) {
    sqlite3_reset(*statement);
    return *statement;
  }
  bool made = which == GG__STATEMENT_SESSION_INSERT || which == GG__STATEMENT_SESSION_UPDATE;
  char *own = made ? session_text(which) : NULL;
  const char *text = made                                          ? own
                     : which == GG__STATEMENT_SESSION_LOAD         ? load_text
                     : which == GG__STATEMENT_SESSION_OLD          ? old_text
                     : which == GG__STATEMENT_SESSION_OLD_NUMBERED ? old_numbered_text
                                                                   : texts[which];
  assert(made || text);
  int code =
    text ? sqlite3_prepare_v3(catalogue->db, text, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) : SQLITE_NOMEM;
  free(own);
  if (code != SQLITE_OK)
    gg__catalogue_fail(catalogue, code, "read", failure);
  return *statement;
}

int gg__catalogue_run(struct gg__catalogue *catalogue, sqlite3_stmt *statement, struct gg_failure *failure)
{
  int code = sqlite3_step(statement);
  while (code == SQLITE_ROW)
    code = sqlite3_step(statement);
  sqlite3_reset(statement);
  return code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "write", failure);
}

void gg__bind_u64(sqlite3_stmt *statement, int at, uint64_t value)
{
  sqlite3_bind_int64(statement, at, gg__sql_from_u64(value));
}

void gg__bind_text(sqlite3_stmt *statement, int at, const char *text)
{
  sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

void gg__bind_value(sqlite3_stmt *statement, int at, const struct gg__sql_value *value, sqlite3_destructor_type blobs)
{
  switch (value->kind) {
  case GG__SQL_INTEGER:
    sqlite3_bind_int64(statement, at, value->integer);
    break;
  case GG__SQL_TEXT:
    sqlite3_bind_text(statement, at, value->data, (int)value->length, SQLITE_STATIC);
    break;
  case GG__SQL_BLOB:
    sqlite3_bind_blob(statement, at, value->length ? value->data : "", (int)value->length, blobs);
    break;
  case GG__SQL_NULL:
    sqlite3_bind_null(statement, at);
    break;
  }
}

uint64_t gg__column_u64(sqlite3_stmt *statement, int at)
{
  return gg__sql_to_u64(sqlite3_column_int64(statement, at));
}

const char *gg__column_text(sqlite3_stmt *statement, int at)
{
  const char *text = (const char *)sqlite3_column_text(statement, at);
  return text ? text : "";
}

/* ── Opening ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What is no file, or is not there, is told before SQLite makes something of it. `*made`: there is none yet. */
static int look(const struct gg__catalogue *catalogue, bool *made, struct gg_failure *failure)
{
  struct stat status;
  *made = false;
  if (stat(catalogue->path, &status) == 0) {
    if (!S_ISREG(status.st_mode))
      return gg_fail(failure, GG_ERR_CORRUPT,
                     "%s is no file: take it away, and 'gogetway reindex' makes a catalogue anew", catalogue->path);
    *made = status.st_size == 0; /* one who was making it was killed */
    return *made && catalogue->mode == GG__CATALOGUE_READ
             ? gg_fail(failure, GG_ERR_NOT_FOUND, "there is no catalogue at %s", catalogue->path)
             : 0;
  }
  if (errno != ENOENT)
    return gg_fail_errno(failure, errno, "cannot open the catalogue %s", catalogue->path);
  *made = true;
  return catalogue->mode == GG__CATALOGUE_WRITE
           ? 0
           : gg_fail(failure, GG_ERR_NOT_FOUND, "there is no catalogue at %s", catalogue->path);
}

int gg__catalogue_claim(int *out, const char *path, struct gg_failure *failure)
{
  char name[PATH_BYTES_MAX];
  *out = -1;
  if ((size_t)snprintf(name, sizeof name, "%s.lock", path) >= sizeof name)
    return gg_fail(failure, GG_ERR_RANGE, "the path of the catalogue is too long");
  int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return gg_fail_errno(failure, errno, "cannot open %s", name);
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(fd, F_OFD_SETLK, &whole) == 0) {
    *out = fd;
    return 0;
  }
  int error = errno;
  close(fd);
  if (error == EAGAIN || error == EACCES)
    return gg_fail(failure, GG_ERR_BUSY, "another process writes the catalogue %s: let it end first", path);
  return gg_fail_errno(failure, error, "cannot lock %s", name);
}

/* The file is ours alone to read, and so is all that SQLite puts beside it. The log of a database that is not there any
 * more would be taken for the new one's. */
static int make(const struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  static const char *const ends[] = {"-wal", "-shm"};
  char path[PATH_BYTES_MAX];
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
    if ((size_t)snprintf(path, sizeof path, "%s%s", catalogue->path, ends[i]) < sizeof path)
      unlink(path);
  int fd = open(catalogue->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return gg_fail_errno(failure, errno, "cannot make the catalogue %s", catalogue->path);
  close(fd); /* nobody has it open yet, so no lock of SQLite's is lost by this */
  return 0;
}

/* "file:" and the path with what a URI does not take in it written as %xx. */
static bool make_uri(const char *path, char *uri, size_t size)
{
  size_t used = (size_t)snprintf(uri, size, "file:");
  for (; *path && used + 4 < size; path++) {
    bool plain = (*path >= 'a' && *path <= 'z') || (*path >= 'A' && *path <= 'Z') || (*path >= '0' && *path <= '9') ||
                 strchr("/._-", *path);
    used += (size_t)snprintf(uri + used, size - used, plain ? "%c" : "%%%02x", (unsigned char)*path);
  }
  return *path == '\0' && (size_t)snprintf(uri + used, size - used, "?immutable=1") < size - used;
}

#define CHECKPOINT_PAGES "8192"
#define CHECKPOINT_BYTES "33554432"
static const char write_pragmas[] =
  "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
  "PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES "; PRAGMA journal_size_limit = " CHECKPOINT_BYTES;
/* Nobody reads it, and nobody goes on with it after a kill. */
static const char build_pragmas[] = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE";

static int set_up(struct gg__catalogue *catalogue)
{
  sqlite3 *db = catalogue->db;
  bool writing = catalogue->mode == GG__CATALOGUE_WRITE;
  int persist = 1;
  char pragmas[256];
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, GG_CATALOGUE_BUSY_MS);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, !catalogue->building, NULL); /* it forbids to have no journal */
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_file_control(db, NULL, SQLITE_FCNTL_PERSIST_WAL, &persist);
  snprintf(pragmas, sizeof pragmas, "PRAGMA cache_size = -%d; PRAGMA cell_size_check = ON; PRAGMA secure_delete = OFF",
           writing ? CACHE_WRITE_KIB : CACHE_READ_KIB);
  int code = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
  if (code == SQLITE_OK && writing)
    code = sqlite3_exec(db, catalogue->building ? build_pragmas : write_pragmas, NULL, NULL, NULL);
  /* SQLite opens lazily: now it is told whether the file is one of its kind, and can be locked. */
  return code == SQLITE_OK ? sqlite3_exec(db, "PRAGMA schema_version", NULL, NULL, NULL) : code;
}

int gg__catalogue_settle(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  catalogue->building = false;
  for (size_t i = 0; i < GG__STATEMENTS; i++)
    sqlite3_reset(catalogue->statements[i]); /* one whose row was looked at still reads */
  int code = sqlite3_exec(catalogue->db, write_pragmas, NULL, NULL, NULL);
  sqlite3_db_config(catalogue->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  return code == SQLITE_OK ? 0 : gg__catalogue_fail(catalogue, code, "write", failure);
}

/* Who may write nothing there cannot make the files by which readers and writers know of each other. If they are not
 * there, nobody writes. */
static int open_immutable(struct gg__catalogue *catalogue)
{
  char path[PATH_BYTES_MAX];
  struct stat status;
  snprintf(path, sizeof path, "%s-wal", catalogue->path);
  if (stat(path, &status) == 0 && status.st_size > 0)
    return SQLITE_CANTOPEN;
  if (!make_uri(catalogue->path, path, sizeof path))
    return SQLITE_CANTOPEN;
  sqlite3_close(catalogue->db);
  int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
  int code = sqlite3_open_v2(path, &catalogue->db, flags, NULL);
  return code == SQLITE_OK ? set_up(catalogue) : code;
}

static int open_database(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  int flags = SQLITE_OPEN_NOMUTEX | (catalogue->mode == GG__CATALOGUE_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                                                            : SQLITE_OPEN_READONLY);
  if (catalogue->building && !(catalogue->temporary = gg__temporary_create(catalogue->path)))
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
  int code = sqlite3_open_v2(catalogue->path, &catalogue->db, flags, gg__temporary_name(catalogue->temporary));
  if (code == SQLITE_OK)
    code = set_up(catalogue);
  bool refused = (code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY;
  if (refused && catalogue->mode == GG__CATALOGUE_READ)
    code = open_immutable(catalogue);
  if (code == SQLITE_OK)
    return 0;
  if ((code & 0xff) == SQLITE_CANTOPEN && access(catalogue->path, R_OK) != 0)
    return gg_fail_errno(failure, errno, "cannot open the catalogue %s", catalogue->path);
  return gg__catalogue_fail(catalogue, code, "open", failure);
}

int gg__catalogue_revision(struct gg__catalogue *catalogue, uint64_t *revision, struct gg_failure *failure)
{
  *revision = 0;
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_NOTE_GET, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, "revision");
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *revision = (uint64_t)sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

static int write_revision(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_NOTE_PUT, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  gg__bind_text(statement, 1, "revision");
  sqlite3_bind_int64(statement, 2, (int64_t)catalogue->revision);
  return gg__catalogue_run(catalogue, statement, failure);
}

bool gg__catalogue_moved(struct gg__catalogue *catalogue)
{
  int moved = 0;
  return sqlite3_file_control(catalogue->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

static int read_state(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_MARK_COUNT, failure);
  if (!statement)
    return failure ? failure->code : GG_ERR_CORRUPT;
  int code = sqlite3_step(statement);
  catalogue->mark_count = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  sqlite3_reset(statement);
  if (code != SQLITE_ROW)
    return gg__catalogue_fail(catalogue, code, "read", failure);
  uint64_t revision;
  int error = gg__catalogue_revision(catalogue, &revision, failure);
  /* By the clock, so that one that is made anew begins later than the one before; but never back. */
  uint64_t now_ns = gg_clock_real_ns();
  catalogue->revision = revision > now_ns ? revision : now_ns;
  return error;
}

static int set_paths(struct gg__catalogue *catalogue, const char *path)
{
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) + 1 : 0;
  catalogue->path = strdup(path);
  catalogue->folder = malloc(length + sizeof "segments");
  if (!catalogue->path || !catalogue->folder)
    return GG_ERR_NOMEM;
  memcpy(catalogue->folder, path, length);
  memcpy(catalogue->folder + length, "segments", sizeof "segments");
  return 0;
}

void gg__catalogue_prepare(void)
{
  unsigned char byte;
  sqlite3_initialize();
  sqlite3_randomness(sizeof byte, &byte); /* opens /dev/urandom */
}

int gg__catalogue_open(struct gg__catalogue **out, const char *path, enum gg__catalogue_mode mode,
                       struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  failure = failure ? failure : &own; /* its code is looked at */
  *out = NULL;
  struct gg__catalogue *catalogue = calloc(1, sizeof *catalogue);
  if (!catalogue)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
  catalogue->building = mode == GG__CATALOGUE_BUILD;
  catalogue->mode = mode = catalogue->building ? GG__CATALOGUE_WRITE : mode;
  catalogue->lock = -1;
  bool made = false;
  int error = set_paths(catalogue, path) == 0 ? 0 : gg_fail(failure, GG_ERR_NOMEM, "no memory for the catalogue");
  if (!error)
    error = look(catalogue, &made, failure);
  if (!error && mode == GG__CATALOGUE_WRITE)
    error = gg__catalogue_claim(&catalogue->lock, path, failure);
  if (!error && made)
    error = make(catalogue, failure);
  if (!error)
    error = open_database(catalogue, failure);
  if (!error)
    error = gg__catalogue_migrate(catalogue, gg__catalogue_migrations, GG_CATALOGUE_VERSION, failure);
  if (!error)
    error = read_state(catalogue, failure);
  if (error) {
    gg__catalogue_close(catalogue);
    return error;
  }
  *out = catalogue;
  return 0;
}

void gg__catalogue_close(struct gg__catalogue *catalogue)
{
  if (!catalogue)
    return;
  gg__catalogue_drop_totals(catalogue);
  gg__blob_fini(&catalogue->blob);
  for (size_t i = 0; i < GG__STATEMENTS; i++)
    sqlite3_finalize(catalogue->statements[i]);
  sqlite3_close(catalogue->db); /* takes back what was not committed */
  gg__temporary_destroy(catalogue->temporary);
  if (catalogue->lock >= 0)
    close(catalogue->lock);
  free(catalogue->folder);
  free(catalogue->path);
  free(catalogue);
}

/* ── Batches ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int run_one(struct gg__catalogue *catalogue, enum gg__statement which, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, which, failure);
  return statement ? gg__catalogue_run(catalogue, statement, failure) : GG_ERR_CORRUPT;
}

/* Nothing of the batch stays. SQLite may have taken it back by itself. */
static void give_up(struct gg__catalogue *catalogue)
{
  gg__catalogue_drop_totals(catalogue);
  if (!sqlite3_get_autocommit(catalogue->db))
    run_one(catalogue, GG__STATEMENT_ROLLBACK, NULL);
  memset(catalogue->names, 0, sizeof catalogue->names);
  catalogue->batch = false;
}

/* Numbers go on behind the greatest. */
static int find_last(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  sqlite3_stmt *statement = gg__catalogue_statement(catalogue, GG__STATEMENT_SESSION_LAST, failure);
  if (!statement)
    return GG_ERR_CORRUPT;
  int code = sqlite3_step(statement);
  catalogue->last = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
  sqlite3_reset(statement);
  return code == SQLITE_ROW ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

int gg__catalogue_begin(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  assert(catalogue->mode == GG__CATALOGUE_WRITE && !catalogue->batch);
  int error = run_one(catalogue, GG__STATEMENT_BEGIN, failure);
  if (error)
    return error;
  catalogue->batch = true;
  catalogue->revision++;
  error = find_last(catalogue, failure);
  if (error)
    give_up(catalogue);
  return error;
}

int gg__catalogue_commit(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  assert(catalogue->batch);
  int error = gg__catalogue_write_totals(catalogue, failure);
  if (!error)
    error = write_revision(catalogue, failure);
  if (!error)
    error = run_one(catalogue, GG__STATEMENT_COMMIT, failure);
  if (error)
    give_up(catalogue);
  catalogue->batch = false;
  return error;
}

void gg__catalogue_abandon(struct gg__catalogue *catalogue)
{
  if (catalogue->batch)
    give_up(catalogue);
}

void gg__catalogue_set_life(struct gg__catalogue *catalogue, const struct gg__life *life)
{
  catalogue->life = *life;
  catalogue->life_known = true;
}

void gg__catalogue_use_captures(struct gg__catalogue *catalogue,
                                struct gg__capture *(*find)(void *context, const char *name), void *context)
{
  catalogue->capture = find;
  catalogue->capture_context = context;
}

void gg__catalogue_set_finder(struct gg__catalogue *catalogue, const struct gg__fact_finder *finder)
{
  catalogue->finder = finder;
}
