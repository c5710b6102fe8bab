/* SPDX-License-Identifier: Apache-2.0 */
/**
 * catalogue_private.h - what the files of the catalogue share: its handle, its statements, and how trouble of SQLite's
 * is told.
 *
 *   catalogue.c         opening, closing, batches, statements, errors
 *   catalogue_schema.c  tables, indexes, versions
 *   catalogue_build.c   what is left of a catalogue that is built from nothing when its rows are there
 *   catalogue_temporary.c  files for sorting
 *   catalogue_parts.c   a session's parts as a blob
 *   catalogue_rows.c    records in and out, segments
 *   catalogue_marks.c   what people have said of sessions
 *   catalogue_facts.c   what decoders have found in them
 *   catalogue_query.c   records by filter
 *   catalogue_totals.c  sums
 *   catalogue_dump.c    everything as text
 *
 * Thread: that of the catalogue.
 */
#ifndef GG_STORE_CATALOGUE_PRIVATE_H
#define GG_STORE_CATALOGUE_PRIVATE_H

#include "store/catalogue.h"
#include "store/filter_sql.h"
#include "store/marks.h"
#include "store/place.h"

#include <sqlite3.h>

/* Columns of `sessions` that have the texts of parts, in the order of enum gg__part_text (tags are in none), and the
 * history. */
#define GG__ROW_COLUMNS                                                                                                \
  ", client, server, listener, upstream, server_path, close, why, original, as_sent_of, verdict, verdict_by, '', "     \
  "history"
enum { GG__ROW_TEXTS = GG__TEXTS + 1 };

enum {
  GG_CATALOGUE_APPLICATION = 0x67677763, /* "ggwc": in the file's header, so that file(1) and we know it */
  GG_CATALOGUE_BUSY_MS = 5000,
  GG_CATALOGUE_EPOCH_SESSIONS = 1 << 16, /* numbers of one epoch: those whose indexes by client and size are at hand */
  GG_CATALOGUE_NAMES_MAX = 256,          /* segments whose names and numbers are at hand */
  GG_CATALOGUE_TOTALS_MAX = 512,         /* totals that a batch adds up before it writes them */
};

/* Statements that are prepared once, at their first use (catalogue.c has their texts). */
enum gg__statement {
  GG__STATEMENT_BEGIN,
  GG__STATEMENT_BEGIN_READ,
  GG__STATEMENT_COMMIT,
  GG__STATEMENT_ROLLBACK,
  GG__STATEMENT_SEGMENT_PUT,
  GG__STATEMENT_SEGMENT_NUMBER,
  GG__STATEMENT_SEGMENT_NAME,
  GG__STATEMENT_SEGMENT_FORGET,
  GG__STATEMENT_SEGMENTS,
  GG__STATEMENT_SESSION_OLD,
  GG__STATEMENT_SESSION_OLD_NUMBERED,
  GG__STATEMENT_SESSION_LAST,
  GG__STATEMENT_SESSION_INSERT,
  GG__STATEMENT_SESSION_UPDATE,
  GG__STATEMENT_SESSION_DELETE,
  GG__STATEMENT_SESSION_NUMBER,
  GG__STATEMENT_SESSION_ID,
  GG__STATEMENT_SESSION_LOAD,
  GG__STATEMENT_SESSION_HOLD,
  GG__STATEMENT_SESSION_TOUCH,
  GG__STATEMENT_EPOCH_PUT,
  GG__STATEMENT_EPOCHS,
  GG__STATEMENT_PLACE_PUT,
  GG__STATEMENT_PLACE_DROP,
  GG__STATEMENT_PLACES,
  GG__STATEMENT_OPEN_IN,
  GG__STATEMENT_SESSIONS_IN,
  GG__STATEMENT_TAG_PUT,
  GG__STATEMENT_TAGS_DROP,
  GG__STATEMENT_MARK_GET,
  GG__STATEMENT_MARK_PUT,
  GG__STATEMENT_MARK_DROP,
  GG__STATEMENT_MARK_COUNT,
  GG__STATEMENT_MARKED,
  GG__STATEMENT_MARKS,
  GG__STATEMENT_FACT_KNOWN,
  GG__STATEMENT_FACT_COUNT,
  GG__STATEMENT_FACT_PUT,
  GG__STATEMENT_FACT_OVERFLOW,
  GG__STATEMENT_FACTS,
  GG__STATEMENT_FACTS_DROP,
  GG__STATEMENT_FACT_DROP,
  GG__STATEMENT_FACT_DECODED,
  GG__STATEMENT_UNDECODED,
  GG__STATEMENT_UNDECODED_OPEN,
  GG__STATEMENT_BEHIND,
  GG__STATEMENT_TOTAL_GET,
  GG__STATEMENT_TOTAL_PUT,
  GG__STATEMENT_TOTAL_DROP,
  GG__STATEMENT_NOTE_GET,
  GG__STATEMENT_NOTE_PUT,
  GG__STATEMENTS,
};

/* What a batch adds to one row of the totals; arithmetic is modulo 2^64, so that taking off undoes adding exactly. */
struct gg__total {
  int64_t hour; /* since 1970 */
  char *key[3]; /* listener, protocol, close */
  uint64_t sessions, bytes[2], gaps[2];
};

struct gg__blob {
  uint8_t *data;
  size_t length, room;
  bool failed; /* no memory */
};

struct gg__catalogue {
  sqlite3 *db; /* its own: no thread but the handle's uses it */
  char *path;
  char *folder; /* of the segments: for the paths of captures */
  enum gg__catalogue_mode mode;
  int lock;                        /* of who writes; -1: none */
  bool building;                   /* from nothing: no session is looked for, there are no indexes yet */
  struct gg__temporary *temporary; /* where it sorts; NULL: it does not build */
  bool batch;
  unsigned reading;  /* queries within one another */
  int64_t last;      /* number of a session that was given */
  uint64_t revision; /* of the batch: rows that were put in it have it */
  sqlite3_stmt *statements[GG__STATEMENTS];
  struct {
    int64_t number;
    char name[128];
  } names[GG_CATALOGUE_NAMES_MAX];
  char name[128];       /* of the segment that was asked for last */
  struct gg__blob blob; /* of the session that is being put */
  struct gg__total totals[GG_CATALOGUE_TOTALS_MAX];
  size_t total_count;
  uint64_t mark_count; /* of sessions of which people have said something */
  struct gg__life life;
  bool life_known;
  struct gg__capture *(*capture)(void *context, const char *name);
  void *capture_context;
  const struct gg__fact_finder *finder;
  bool functions;                 /* are registered */
  const struct gg_filter *filter; /* of the query that runs, for the functions that it calls */
};

/* Tells what SQLite's `code` means and what to do; returns the error. `doing` reads after "cannot". */
int gg__catalogue_fail(const struct gg__catalogue *catalogue, int code, const char *doing, struct gg_failure *failure);
int gg__catalogue_damaged(const struct gg__catalogue *catalogue, const char *how, struct gg_failure *failure);

/* The statement, reset; NULL: the failure is filled. */
sqlite3_stmt *gg__catalogue_statement(struct gg__catalogue *catalogue, enum gg__statement which,
                                      struct gg_failure *failure);
/* Runs it to its end and resets it. */
int gg__catalogue_run(struct gg__catalogue *catalogue, sqlite3_stmt *statement, struct gg_failure *failure);

/* Values of columns and parameters. Unsigned numbers as filter_sql.h has them. */
void gg__bind_u64(sqlite3_stmt *statement, int at, uint64_t value);
void gg__bind_text(sqlite3_stmt *statement, int at, const char *text);
/* A text stays where it is until the statement is reset; `blobs` SQLITE_STATIC: so does a blob; SQLITE_TRANSIENT: it is
 * copied. */
void gg__bind_value(sqlite3_stmt *statement, int at, const struct gg__sql_value *value, sqlite3_destructor_type blobs);
uint64_t gg__column_u64(sqlite3_stmt *statement, int at);
const char *gg__column_text(sqlite3_stmt *statement, int at); /* never NULL; until the next step */

/* ── Schema ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Brings a database from version `from` to the next: statements in one text; and indexes, one statement for each, to
 * NULL. A catalogue that is built has these when its rows are there. */
struct gg__migration {
  const char *sql;
  const char *const *indexes;
};
extern const struct gg__migration gg__catalogue_migrations[GG_CATALOGUE_VERSION];

/* Looks at whose the database is and of which version; if it is to be written, makes it of version `version`, one
 * transaction for each step. */
int gg__catalogue_migrate(struct gg__catalogue *catalogue, const struct gg__migration *migrations, int version,
                          struct gg_failure *failure);

#define GG__TEMPORARY_END "-sort"

/* A layer of SQLite's for the database at `path`, whose files without a name are at `path`-sort, and gone as soon as
 * they are open. NULL: no memory. Destroyed when the database is closed. */
struct gg__temporary *gg__temporary_create(const char *path);
const char *gg__temporary_name(const struct gg__temporary *temporary); /* for opening; of NULL: NULL */
void gg__temporary_destroy(struct gg__temporary *temporary);

/* Makes the handle one that writes as others do: its file may be read by others from now on. */
int gg__catalogue_settle(struct gg__catalogue *catalogue, struct gg_failure *failure);

/* ── Parts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__blob_fini(struct gg__blob *blob);

/* The record's parts; `segments` has the number of each one's. */
void gg__parts_encode(struct gg__blob *out, const struct gg__record *record, const int64_t *segments);

/* What stands in columns of its own, or is known otherwise. */
struct gg__row {
  const char *id;
  const char *texts[GG__ROW_TEXTS]; /* the session's */
  uint64_t start_ns;
  bool marked; /* people have said this of it; tags with blanks between: */
  bool held;
  const char *added, *removed;
};
/* Calls for the number of each part's segment; GG_ERR_CORRUPT: the blob is damaged. */
int gg__parts_segments(const void *blob, size_t length, int (*visit)(void *context, int64_t number), void *context);
/* Makes a record: GG_ERR_CORRUPT, GG_ERR_NOMEM, or what `find` returned. `find` gives a capture by the segment's
 * number: one that outlives the record (`*capture`), or a name; then the record has its own, in `folder`. */
typedef int (*gg__segment_fn)(void *context, int64_t number, struct gg__capture **capture, const char **name);
int gg__parts_decode(struct gg__record **out, const void *blob, size_t length, const struct gg__row *row,
                     const char *folder, gg__segment_fn find, void *context);

/* ── Rows ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A session by its number, with what people have said if `marked`. `*out` NULL: there is none. */
int gg__catalogue_load(struct gg__catalogue *catalogue, int64_t number, bool marked, struct gg__record **out,
                       struct gg_failure *failure);
/* These rows, at least two, of one session become the first of them: the parts of all, made a session by `renew`. */
int gg__catalogue_join(struct gg__catalogue *catalogue, const int64_t *numbers, size_t count,
                       int (*renew)(void *context, struct gg__record *record), void *context,
                       struct gg_failure *failure);
int gg__catalogue_number(struct gg__catalogue *catalogue, const char *id, int64_t *number, struct gg_failure *failure);
/* The session's tags and hold, as queries find them: of the recording `tags`, and what people say. `known`: it has been
 * put before. */
int gg__catalogue_write_marks(struct gg__catalogue *catalogue, int64_t number, const char *id, const char *const *tags,
                              size_t count, bool known, struct gg_failure *failure);
/* What people have said of it; false: nothing, or an error. Texts until the next call. */
bool gg__catalogue_find_mark(struct gg__catalogue *catalogue, const char *id, struct gg__row *row, int *error,
                             struct gg_failure *failure);
bool gg__tag_list_has(const char *list, const char *tag, size_t length); /* with blanks between */
void gg__catalogue_abandon(struct gg__catalogue *catalogue);             /* the batch that is open, if there is one */

/* Totals of one more session (`more`), or of one less. */
int gg__catalogue_count(struct gg__catalogue *catalogue, bool more, uint64_t start_ns, const char *const key[3],
                        const uint64_t bytes[2], const uint64_t gaps[2], struct gg_failure *failure);
int gg__catalogue_write_totals(struct gg__catalogue *catalogue, struct gg_failure *failure);
void gg__catalogue_drop_totals(struct gg__catalogue *catalogue); /* of a batch that is given up */

/* ── Queries ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The condition of a filter, for either use. Prepared statements bind it from parameter 1 on. */
struct gg__condition {
  struct gg__sql sql[GG__SQL_USES];
  const struct gg_filter *before; /* whose functions were called: queries may be within one another */
};
int gg__condition_init(struct gg__condition *condition, struct gg__catalogue *catalogue, const struct gg_filter *filter,
                       struct gg_failure *failure);
void gg__condition_fini(struct gg__condition *condition, struct gg__catalogue *catalogue);
/* A query of constant texts, with the condition between them; NULL: the failure is filled. */
sqlite3_stmt *gg__condition_prepare(const struct gg__condition *condition, struct gg__catalogue *catalogue,
                                    enum gg__sql_use use, const char *before, const char *after,
                                    struct gg_failure *failure);

#endif
