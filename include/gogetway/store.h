/* SPDX-License-Identifier: Apache-2.0 */
/**
 * store.h - reading recordings: which sessions there are, and what was said in them.
 *
 * The shortest program that lists a store:
 *
 *     struct gg_store *store = NULL;
 *     struct gg_session_list *list = NULL;
 *     struct gg_failure failure = GG_FAILURE_INIT;
 *     if (gg_store_open(&store, "gogetway-data", NULL, &failure) == 0 &&
 *         gg_store_query(store, NULL, &list, &failure) == 0)
 *       for (size_t i = 0; i < gg_session_list_count(list); i++)
 *         puts(gg_session_list_at(list, i)->client);
 *     else
 *       fprintf(stderr, "%s\n", failure.message);
 *     gg_session_list_destroy(list);
 *     gg_store_close(store);
 *
 * A store is the directory that `gogetway run --dir` writes; a single pcapng file, or a folder of such files, is read
 * the same way, whoever wrote it. Reading never changes anything and needs no running gateway; what is being written
 * at the moment is seen up to its last complete record.
 *
 * Contracts that hold for all functions here:
 *   - They return 0 or a negative enum gg_error; a `struct gg_failure` (may be NULL) then has the particulars.
 *   - An out-parameter is yours to destroy or close; a returned pointer is borrowed. destroy(NULL) and close(NULL)
 *     are fine.
 *   - Times are nanoseconds since 1970 UTC; sizes and offsets are bytes.
 *   - Texts are UTF-8 and safe to print: what came from recordings has no control characters in it.
 *   - Thread: a store and everything made from it belong to one thread at a time. Several stores may be open.
 */
#ifndef GOGETWAY_STORE_H
#define GOGETWAY_STORE_H

#include <gogetway/error.h>
#include <gogetway/side.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── A store and its sessions ────────────────────────────────────────────────────────────────────────────────────── */

struct gg_store;

struct gg_store_options {
  size_t size;
  unsigned threads; /* that scan segments; 0: one per core */
};
#ifdef __cplusplus
inline struct gg_store_options gg_store_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_store_options options = gg_store_options();
  options.size = sizeof options;
  return options;
}
#define GG_STORE_OPTIONS_INIT gg_store_options_init()
#else
#define GG_STORE_OPTIONS_INIT                                                                                          \
  {                                                                                                                    \
    .size = sizeof(struct gg_store_options)                                                                            \
  }
#endif

/* Opens a store, a pcapng file or a folder of them. `options` may be NULL. GG_ERR_NOT_FOUND if there is nothing,
 * GG_ERR_FORMAT if it is neither, GG_ERR_DENIED if it may not be read, GG_ERR_RANGE if the path is too long,
 * GG_ERR_NOMEM, GG_ERR_IO. No file is read yet. */
GG_API int gg_store_open(struct gg_store **out, const char *path, const struct gg_store_options *options,
                         struct gg_failure *failure);
GG_API void gg_store_close(struct gg_store *store);

enum gg_session_state {
  GG_SESSION_OPEN,   /* no closing record, and the gateway may still be writing it */
  GG_SESSION_CLOSED, /* its end is in the recording */
  GG_SESSION_CUT,    /* no closing record, though the gateway that wrote it has ended */
};
GG_API const char *gg_session_state_text(enum gg_session_state state); /* "open", "closed", "cut"; static */

/* One session as the recording tells of it. Made by the library only, and only ever grows at its end. Lives as long as
 * its store; a refresh may change it. No text is NULL; unknown ones are empty. */
struct gg_session {
  char id[25]; /* 24 hexadecimal digits; for captures of others made from file name and offset */
  enum gg_session_state state;
  bool foreign;           /* not recorded by gogetway */
  bool beginning_missing; /* what came first is in no segment that is here */
  char client[64];        /* "192.0.2.1:40000", "[::1]:40000" */
  char server[64];        /* what the client dialled */
  const char *listener;
  const char *upstream;
  const char *close; /* the reason, when closed: "client-fin", "server-reset", ... */
  const char *why;   /* why received and forwarded differ, if they do */
  uint64_t start_ns;
  uint64_t end_ns;   /* time of its last record so far */
  uint64_t bytes[2]; /* that are in the recording, by enum gg_side */
  uint64_t packets[2];
  uint64_t gaps[2]; /* bytes that are missing in the recording */
  bool counted;     /* the closing record's own counts follow */
  uint64_t received[2];
  uint64_t forwarded[2];
  unsigned segments;        /* how many files it is in */
  uint64_t generation;      /* of the refresh that last changed it */
  const char *original;     /* in the recording of a replay: the id of the session that was played */
  const char *server_path;  /* of a unix listener: what the client dialled; else empty */
  const char *as_sent_of;   /* the id of the session instead of whose bytes a plug-in has sent these; else empty */
  const char *protocol;     /* as decoders have named it; empty: none did, or was asked */
  const char *verdict;      /* how a plug-in ended it: "close", "reset", "tarpit", "reply"; else empty */
  const char *verdict_by;   /* ... and which plug-in; may be empty */
  uint64_t masked[2];       /* bytes that are not what was received, because a plug-in masked them */
  char conn_state[8];       /* "SF", "S0", "REJ", "RSTO", ...: in the words of Zeek's conn.log */
  char history[24];         /* "ShADadFf", ...: likewise; upper case is the client's */
  uint8_t first[2][16];     /* the first bytes of each stream ... */
  uint8_t first_length[2];  /* ... so many of them are in the recording without a hole in front */
  char community_id[2][40]; /* Community ID 1, of the client's connection and of the upstream's; empty: not known */
  const char *const *tags;  /* of plug-ins, rules and people, each once, in order of bytes */
  size_t tag_count;
  bool held; /* retention leaves it alone */
};

/* Looks for new segments and for what was added to known ones. Called by the first query by itself; call it before a
 * later query to see what has happened since. GG_ERR_FORMAT: not one of the files could be read (the failure has the
 * first one's reason; single bad files are told by gg_store_warning); GG_ERR_DENIED, NOT_FOUND, IO: the folder of
 * segments could not be; GG_ERR_LIMIT: more than a million files; GG_ERR_NOMEM. */
GG_API int gg_store_refresh(struct gg_store *store, struct gg_failure *failure);
GG_API uint64_t gg_store_generation(const struct gg_store *store); /* counts refreshes from 1; 0: none yet */

/* Whether sessions are found by the catalogue, without a look at every segment: then the store has in memory only what
 * it was asked for, until it is closed; else, all sessions. */
GG_API bool gg_store_is_indexed(struct gg_store *store);

/* The files that could be read only in part or not at all, or in which nothing was understood, one sentence each:
 * "x.pcapng: damaged at byte 4096"; if the gateway was killed, that what it had not written yet comes with its next
 * start; and at last, of how many sessions that the last query told it is not sure whether they match (docs/store.md,
 * "Facts"). The text is borrowed until the next refresh or query; NULL when `index` is past the last. */
GG_API const char *gg_store_warning(const struct gg_store *store, size_t index);

/* The name of a session's segment `index` (from 0) relative to the store; NULL past the last. Borrowed. */
GG_API const char *gg_session_segment(const struct gg_session *session, unsigned index);

/* One JSON object without newline: {"id":...,"listener":...,"client":...,"bytes":{"client":N,"server":N},...} with
 * exact integers. Returns its length, or the length that it would have had if `size` was too small (like snprintf). */
GG_API size_t gg_session_json(const struct gg_session *session, char *text, size_t size);

/* ── Choosing ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_filter;

/* Parses bare words, all of which must hold: FIELD=VALUE, `!=` for the opposite, `~` and `!~` for a regular expression,
 * `<`, `<=`, `>` and `>=`, ranges as bytes=1M.., names with * and ? in them; a word of six or more hexadecimal digits
 * is an id's beginning. docs/store.md has the language, gg_filter_field_at the fields. A time is a span before `now_ns`
 * ("90s", "1h"; refused when that is 0, as is right for a filter that is kept), a date ("2024-05-01", UTC) or RFC 3339.
 * GG_ERR_INVALID: the failure names the word and what would be right; GG_ERR_LIMIT: more than 64 words, or too long a
 * one; GG_ERR_UNSUPPORTED: `~` in a library that was built without regular expressions; GG_ERR_NOMEM. */
GG_API int gg_filter_parse(struct gg_filter **out, const char *const *words, size_t count, uint64_t now_ns,
                           struct gg_failure *failure);
/* Parses an expression: comparisons as above, with blanks where one likes them and values in quotes where they need
 * them, `in (A, B)`, `and` (which may be left out), `or`, `not`, parentheses. An empty one matches everything. Errors
 * as above; their messages begin with "column N: ", which counts characters from 1. Limits: 512 comparisons, 32
 * parentheses and nots within one another, 64 KiB. */
GG_API int gg_filter_parse_text(struct gg_filter **out, const char *expression, uint64_t now_ns,
                                struct gg_failure *failure);
/* Narrows `*filter` (NULL: everything) to what `other` (NULL: everything) matches, too. `other` is gone afterwards,
 * whatever is returned; on an error `*filter` is what it was. GG_ERR_LIMIT, GG_ERR_NOMEM. */
GG_API int gg_filter_and(struct gg_filter **filter, struct gg_filter *other, struct gg_failure *failure);
GG_API void gg_filter_destroy(struct gg_filter *filter);
GG_API bool gg_filter_match(const struct gg_filter *filter, const struct gg_session *session); /* NULL: everything */

/* What filters and sorting can ask for. Grows at its end only. */
struct gg_filter_field {
  const char *name;
  const char *kind; /* "text", "number", "bytes", "duration", "time", "address", "port", "tags", "enum", "id", "flag" */
  const char *help; /* half a sentence */
  const char *example; /* a bare word */
  bool sortable;
};
GG_API const struct gg_filter_field *gg_filter_field_at(size_t index); /* static; NULL past the last */

struct gg_session_list;

/* All sessions that match (`filter` NULL: all), in order of their start; none is no error. GG_ERR_NOMEM, and the
 * first query, which looks for segments, has the errors of gg_store_refresh. */
GG_API int gg_store_query(struct gg_store *store, const struct gg_filter *filter, struct gg_session_list **out,
                          struct gg_failure *failure);

struct gg_select_options {
  size_t size;
  const struct gg_filter *filter; /* NULL: all */
  const char *sort;               /* a field that is sortable, "-" in front: downwards; NULL: "start" */
  uint64_t limit;                 /* no more than these, the first ones; 0: all */
  uint64_t changed_since;         /* those that are new or other since gg_store_generation was this; 0: all */
};
#ifdef __cplusplus
inline struct gg_select_options gg_select_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_select_options options = gg_select_options();
  options.size = sizeof options;
  return options;
}
#define GG_SELECT_OPTIONS_INIT gg_select_options_init()
#else
#define GG_SELECT_OPTIONS_INIT                                                                                         \
  {                                                                                                                    \
    .size = sizeof(struct gg_select_options)                                                                           \
  }
#endif

/* Likewise, in another order and not more than so many; what is equal is in order of start. Who looks again and again
 * says with `changed_since` what he knows already: with a catalogue, that costs what has changed, not what there is. A
 * catalogue that was made anew, or cannot be read any more, may bring sessions once more. `options` may be NULL. Also
 * GG_ERR_INVALID: it cannot be sorted by that; the failure says so. */
GG_API int gg_store_select(struct gg_store *store, const struct gg_select_options *options,
                           struct gg_session_list **out, struct gg_failure *failure);
GG_API size_t gg_session_list_count(const struct gg_session_list *list);
GG_API const struct gg_session *gg_session_list_at(const struct gg_session_list *list, size_t index);
GG_API void gg_session_list_destroy(struct gg_session_list *list);
/* Adds a session of the same store at the end; `*list` NULL: to a new list, which is yours. GG_ERR_NOMEM. */
GG_API int gg_session_list_add(struct gg_session_list **list, const struct gg_session *session);

/* ── Tags and holds ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* Both change the store, and nothing of the recording in it: they write to a journal beside the segments, at any time,
 * whether a gateway runs or not, several programs at once. When they return 0 it is durable, the sessions show it, and
 * they are new for who follows (their generation is that of the next refresh); otherwise nothing has changed.
 *
 * Errors of both: GG_ERR_UNSUPPORTED: these are somebody's files, not the store of a gateway; GG_ERR_BUSY: another
 * process has been writing for ten seconds; GG_ERR_DENIED, NO_SPACE, IO, NOMEM. */

/* Gives all sessions of the list some tags and takes others off them. A tag is 1 to 64 bytes of printable UTF-8 without
 * blanks, commas and + or - in front. To add what is there, and to remove what is not, is no error and writes nothing.
 * What was removed is not set again by rules of a gateway. GG_ERR_INVALID: one is no tag, or is both added and removed;
 * GG_ERR_LIMIT: a session would have more than 64. */
GG_API int gg_store_tag(struct gg_store *store, const struct gg_session_list *list, const char *const *add,
                        size_t add_count, const char *const *remove, size_t remove_count, struct gg_failure *failure);

/* A damaged line of the journal: its place, and its text, which may be anything, or the beginning of that if it is very
 * long. Borrowed for the call. */
struct gg_damaged_line {
  uint64_t offset;
  const char *text;
  size_t length;
};

/* Tells of each damaged line of the journal of tags and holds of the store whose directory is `path`; `tell` may be
 * NULL. Without `dry_run` the journal is then written anew without these lines, and what it was is kept beside it
 * (journal/marks.jsonl.damaged, or .damaged.2, ...). Retention rests until that is done: what such a line held is to be
 * held again before. `*count` (may be NULL): how many lines. GG_ERR_UNSUPPORTED: it is no store of a gateway; further
 * errors as gg_store_hold has them. Thread: any. */
GG_API int gg_store_mend_marks(const char *path, bool dry_run,
                               void (*tell)(void *context, const struct gg_damaged_line *line), void *context,
                               uint64_t *count, struct gg_failure *failure);

/* Holds all sessions of the list (retention leaves them alone, however old they become), or lets them go. */
GG_API int gg_store_hold(struct gg_store *store, const struct gg_session_list *list, bool hold,
                         struct gg_failure *failure);

/* A session that is held, whether or not anything of it is recorded here. */
struct gg_hold {
  const char *id;          /* borrowed for the call, like the rest */
  uint64_t said_ns;        /* UTC: when something was last said of it */
  const char *const *tags; /* that people and rules have given it */
  size_t tag_count;
  const struct gg_session *session; /* NULL: no recording of it is here */
};

/* Calls for each session that is held, in order of ids, until a call returns non-zero, which is returned. */
GG_API int gg_store_each_hold(struct gg_store *store, int (*visit)(void *context, const struct gg_hold *hold),
                              void *context, struct gg_failure *failure);

/* Lets a session go, and takes tags off it (none: `remove_count` 0), whether or not anything of it is recorded: for
 * those whose recording is gone, of which no list has a session. `id` of all its 24 digits, in lower case.
 * GG_ERR_NOT_FOUND: it is not held, or has no such tag. */
GG_API int gg_store_unmark(struct gg_store *store, const char *id, bool release, const char *const *remove,
                           size_t remove_count, struct gg_failure *failure);

/* Sums over sessions that have something in common. */
struct gg_total {
  const char *key; /* borrowed for the call: a name, an address, "2026-11-23T12:00Z", "2026-11-23"; empty: none */
  uint64_t sessions;
  uint64_t bytes[2]; /* recorded, by enum gg_side */
  uint64_t gaps[2];  /* missing */
};

/* Totals of the sessions that match (`filter` NULL: all), by "listener", "protocol", "close", "hour", "day" (of their
 * start, UTC) or "client" (its address), in order of keys. A non-zero return of `visit` ends it and is returned. Of a
 * store that has a catalogue, totals of all sessions take no longer for millions of them. GG_ERR_INVALID: there are
 * none by that; else errors as gg_store_query has them. */
GG_API int gg_store_totals(struct gg_store *store, const struct gg_filter *filter, const char *by,
                           int (*visit)(void *context, const struct gg_total *total), void *context,
                           struct gg_failure *failure);

/* ── Reading one session ─────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_reader;

enum { GG_READER_CHUNK_MAX = 1 << 20 };

/* What one read of the gateway returned (in captures of others: packets of one time up to a push), in stream order.
 * Chunks longer than GG_READER_CHUNK_MAX come in parts of the same time. A gap comes as a chunk of its own: length 0,
 * `gap` bytes missing at `offset`. */
struct gg_chunk {
  uint64_t time_ns;
  enum gg_side side;
  uint64_t offset;     /* of the first byte in its direction's stream, missing bytes counted */
  const uint8_t *data; /* borrowed until the next call */
  size_t length;
  uint64_t gap;
};

/* Memory of a reader is bounded, whatever the session's size. No file is opened yet; GG_ERR_NOMEM is all that can go
 * wrong. */
GG_API int gg_reader_open(struct gg_reader **out, struct gg_store *store, const struct gg_session *session,
                          struct gg_failure *failure);
/* 1: `chunk` is filled; 0: the session's end (as far as it is recorded); negative: an error, and chunks that were
 * returned before stay true. GG_ERR_NOT_FOUND: a segment has gone since the store was read, and the session was not
 * held (of a held one, what retention has kept is read); GG_ERR_CORRUPT: it is damaged, or shorter than it was;
 * GG_ERR_FORMAT: it is another file now; GG_ERR_DENIED, IO, NOMEM. */
GG_API int gg_reader_next(struct gg_reader *reader, struct gg_chunk *chunk, struct gg_failure *failure);
GG_API void gg_reader_close(struct gg_reader *reader);

/* One JSON object without newline: {"time":..,"from":"client","offset":N,"length":N,"data":BASE64}, with "text" if the
 * bytes are UTF-8, or {.., "gap":N} for a gap. Returns its length; 0 if it does not fit: GG_CHUNK_JSON_MAX is always
 * enough. */
enum { GG_CHUNK_JSON_MAX = GG_READER_CHUNK_MAX * 8 };
GG_API size_t gg_chunk_json(const struct gg_chunk *chunk, char *text, size_t size);

/* ── Export ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_export_format {
  GG_EXPORT_PCAPNG, /* one section, one interface, packets in order of time */
  GG_EXPORT_PCAP,   /* classic, with nanoseconds; no comments */
  GG_EXPORT_RAW,    /* a directory with <id>.client and <id>.server: the bytes and nothing else */
};

struct gg_export_options {
  size_t size;
  enum gg_export_format format;
  const char *path; /* "-": standard output (not for raw) */
  bool overwrite;   /* an existing file is replaced; otherwise it is GG_ERR_EXISTS */
  unsigned mtu;     /* no IP packet is longer than this; 0: as recorded; else 576 to 65535 */
  /* Told now and then; may be NULL. `total` is an estimate. Return false to stop (GG_ERR_CLOSED). */
  bool (*progress)(void *context, uint64_t done, uint64_t total);
  void *progress_context;
  /* Called for each range that is missing in a raw export; may be NULL. */
  void (*gap)(void *context, const struct gg_session *session, enum gg_side side, uint64_t offset, uint64_t bytes);
  void *gap_context;
  /* Called for each session of which a segment has gone since the store was read, as retention takes what is not held.
   * Of such a session a capture has what other segments have, and a raw export nothing. NULL: that is
   * GG_ERR_NOT_FOUND. */
  void (*lost)(void *context, const struct gg_session *session);
  void *lost_context;
};
#ifdef __cplusplus
inline struct gg_export_options gg_export_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_export_options options = gg_export_options();
  options.size = sizeof options;
  return options;
}
#define GG_EXPORT_OPTIONS_INIT gg_export_options_init()
#else
#define GG_EXPORT_OPTIONS_INIT                                                                                         \
  {                                                                                                                    \
    .size = sizeof(struct gg_export_options)                                                                           \
  }
#endif

struct gg_export_result {
  uint64_t sessions;
  uint64_t packets; /* 0 for raw */
  uint64_t bytes;   /* written */
};

/* Files are made with mode 0600, a directory with 0700. Sessions whose beginning is missing get a handshake. On an
 * error a file that was made is removed. `result` may be NULL. */
GG_API int gg_store_export(struct gg_store *store, const struct gg_session_list *list,
                           const struct gg_export_options *options, struct gg_export_result *result,
                           struct gg_failure *failure);

/* ── Searching ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_pattern;

struct gg_pattern_options {
  size_t size;
  bool literal;     /* the text itself is looked for; otherwise it is a regular expression (PCRE2) */
  bool ignore_case; /* of the letters A to Z */
};
#ifdef __cplusplus
inline struct gg_pattern_options
gg_pattern_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_pattern_options options = gg_pattern_options();
  options.size = sizeof options;
  return options;
}
#define GG_PATTERN_OPTIONS_INIT gg_pattern_options_init()
#else
#define GG_PATTERN_OPTIONS_INIT                                                                                        \
  {                                                                                                                    \
    .size = sizeof(struct gg_pattern_options)                                                                          \
  }
#endif

/* Compiles a pattern of `length` bytes; `options` may be NULL. Both kinds look at bytes, not at characters. In a
 * regular expression ^ and $ stand at lines' beginnings and ends, \A and \z at the text's; a text is what one side has
 * said without a gap. A match is the first from the left, and of those that begin there the one that the expression
 * prefers, as in Perl; it is never empty; the next is looked for behind it. One that is longer than
 * GG_GREP_MATCH_MAX bytes, or has to look further to be decided, is decided by what is so far.
 * GG_ERR_INVALID: the pattern has an error, and the failure has the column; or it is empty. GG_ERR_LIMIT: it is longer
 * than GG_GREP_PATTERN_MAX bytes. GG_ERR_UNSUPPORTED: this library was built without regular expressions, or it has one
 * of \G and (*COMMIT), which have no meaning here. GG_ERR_NOMEM. Thread: any; a pattern may be used by several. */
GG_API int gg_pattern_compile(struct gg_pattern **out, const struct gg_pattern_options *options, const void *text,
                              size_t length, struct gg_failure *failure);
GG_API void gg_pattern_destroy(struct gg_pattern *pattern);

enum {
  GG_GREP_PATTERN_MAX = 1 << 14, /* bytes of a pattern */
  GG_GREP_MATCH_MAX = 1 << 16,   /* bytes of a match of a regular expression, with what it looks ahead at */
  GG_GREP_CONTEXT_MAX = 1 << 12, /* bytes of context on each side */
};

/* Bytes that were found. All is borrowed for the call. */
struct gg_grep_match {
  const struct gg_session *session;
  enum gg_side side;
  uint64_t offset;  /* in its direction's stream, missing bytes counted: as in struct gg_chunk */
  uint64_t time_ns; /* of the packet with its first byte */
  const uint8_t *data;
  size_t length;
  size_t before, after; /* so many bytes of context stand in front of `data`, and behind its end */
};

/* One session that was searched, after its matches. */
struct gg_grep_session {
  const struct gg_session *session;
  uint64_t matches[2]; /* by enum gg_side */
  const char *problem; /* one sentence: why not all of it could be searched; NULL: all was */
};

struct gg_grep_options {
  size_t size;
  bool skip[2];     /* by enum gg_side: what that side has said is not searched */
  unsigned threads; /* that search; 0: one per core */
  size_t before;    /* bytes of context, at most GG_GREP_CONTEXT_MAX; there are fewer at a text's ends */
  size_t after;
  uint64_t matches_max; /* of a session: the first so many; 0: all */
  /* Each in order: sessions as in the list, matches of a session by time. NULL: nobody is told. False ends the search
   * with GG_ERR_CLOSED. */
  bool (*match)(void *context, const struct gg_grep_match *match);
  bool (*session)(void *context, const struct gg_grep_session *session);
  bool (*progress)(void *context, uint64_t done, uint64_t total); /* bytes of payload, some times a second; or NULL */
  void *context;
};
#ifdef __cplusplus
inline struct gg_grep_options gg_grep_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_grep_options options = gg_grep_options();
  options.size = sizeof options;
  return options;
}
#define GG_GREP_OPTIONS_INIT gg_grep_options_init()
#else
#define GG_GREP_OPTIONS_INIT                                                                                           \
  {                                                                                                                    \
    .size = sizeof(struct gg_grep_options)                                                                             \
  }
#endif

struct gg_grep_result {
  uint64_t sessions; /* that were searched, and in how many of them something was found */
  uint64_t sessions_found;
  uint64_t matches;
  uint64_t bytes;   /* of payload that were searched */
  uint64_t failed;  /* sessions that have a problem */
  uint64_t gave_up; /* bytes that were left out, because the pattern took too many steps at them */
  uint64_t cut;     /* places where a match was still open after GG_GREP_MATCH_MAX bytes */
};

/* Searches the sessions of `list`, which must not be changed by a refresh meanwhile, each direction by itself, in
 * stream order: a match may lie in several packets and segments, but never has a gap in it. All callbacks are called on
 * the caller's thread. Memory is bounded, whatever is found. A session that cannot be read is no error, but has a
 * problem. GG_ERR_INVALID, RANGE: the options are wrong; GG_ERR_CLOSED: a callback has ended it; GG_ERR_NOMEM. `result`
 * (may be NULL) is filled also then. */
GG_API int gg_store_grep(struct gg_store *store, const struct gg_session_list *list, const struct gg_pattern *pattern,
                         const struct gg_grep_options *options, struct gg_grep_result *result,
                         struct gg_failure *failure);

/* One JSON object without newline: {"session":ID,"from":"client","offset":N,"time":..,"length":N,"data":BASE64} with
 * "text" if the bytes are UTF-8, and "before" and "after" (BASE64) if there is context. Returns its length; 0 if it
 * does not fit: GG_GREP_JSON_MAX is always enough. */
enum { GG_GREP_JSON_MAX = (GG_GREP_MATCH_MAX + 2 * GG_GREP_CONTEXT_MAX) * 8 + 1024 };
GG_API size_t gg_grep_match_json(const struct gg_grep_match *match, char *text, size_t size);

/* ── Following live ──────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_tail;

/* Writes one pcapng stream to `fd` (stays yours). `from_start`: what is in the store already comes first; otherwise
 * only what is added after the first update. */
GG_API int gg_tail_create(struct gg_tail **out, struct gg_store *store, int fd, bool from_start,
                          struct gg_failure *failure);
/* `on_warning` is called by update and finish, on their thread, with one sentence for each segment that cannot be
 * opened and is passed over; the text is borrowed for the call. NULL: nobody is told, as in the beginning. */
GG_API void gg_tail_on_warning(struct gg_tail *tail, void (*on_warning)(void *context, const char *text),
                               void *context);
/* Call some times a second with what the gateways answer to {"command":"logs"}, a line each (gg_control_call_all: there
 * are several while one takes over from another): writes everything new that no log can precede any more.
 * GG_ERR_CLOSED: `fd`'s reader has gone. GG_ERR_FORMAT: that is no such answer. */
GG_API int gg_tail_update(struct gg_tail *tail, const char *logs_replies, struct gg_failure *failure);
/* The gateway has ended: writes all that is left of it. */
GG_API int gg_tail_finish(struct gg_tail *tail, struct gg_failure *failure);
/* Update and finish, the one at work and those to come, return soon, also when `fd` is a pipe whose reader is slow:
 * they write only what he takes at once, and the rest of a packet that he has begun to get. GG_ERR_TIMEOUT from them:
 * for five seconds he took nothing of that. Thread: any; and a signal handler may call it. */
GG_API void gg_tail_stop(struct gg_tail *tail);
GG_API void gg_tail_destroy(struct gg_tail *tail);

/* ── Verification ────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_problem_kind {
  GG_PROBLEM_UNREADABLE, /* a file could not be read */
  GG_PROBLEM_BLOCK,      /* a block is damaged */
  GG_PROBLEM_TORN,       /* a file ends in the middle of a block, or is empty: information if a gateway explains it */
  GG_PROBLEM_PACKET,     /* a packet is no valid Ethernet, IP or TCP */
  GG_PROBLEM_CHECKSUM,   /* IP or TCP checksum */
  GG_PROBLEM_SEQUENCE,   /* sequence numbers do not go on where they were */
  GG_PROBLEM_OFFSET,     /* facts that were repeated in a later segment have other offsets than the stream */
  GG_PROBLEM_COUNT,      /* the closing facts' counts are not what is there */
  GG_PROBLEM_GAP,        /* bytes are missing without or against a mark */
  GG_PROBLEM_FACTS,      /* a comment of ours that cannot be read */
  GG_PROBLEM_CUT,        /* information: a session has no end, and nothing says that its gateway died */
  GG_PROBLEM_UNCLOSED,   /* information: the gateway ended without closing the store; `segment` is "running" */
};
GG_API const char *gg_problem_kind_text(enum gg_problem_kind kind); /* "checksum", ...; static */

struct gg_problem {
  enum gg_problem_kind kind;
  bool information; /* worth a line, but no fault of the recording */
  const char *segment;
  uint64_t offset;     /* in the segment's file */
  const char *session; /* id; empty if it belongs to none */
  const char *text;
};

struct gg_verify_result {
  uint64_t segments;
  uint64_t blocks;
  uint64_t packets;
  uint64_t bytes; /* of payload */
  uint64_t sessions;
  uint64_t problems;   /* without information */
  uint64_t unreadable; /* files that could not be read at all */
};

/* Reads every block of the store. `report` is called for each problem; texts are borrowed for the call. `filter`
 * restricts which sessions' problems are told (structure is always checked). Returns 0 also if there were problems. */
GG_API int gg_store_verify(struct gg_store *store, const struct gg_filter *filter,
                           void (*report)(void *context, const struct gg_problem *problem), void *context,
                           struct gg_verify_result *result, struct gg_failure *failure);
/* One JSON object without newline. Returns its length; 0 if it does not fit (4096 bytes are enough). */
GG_API size_t gg_problem_json(const struct gg_problem *problem, char *text, size_t size);

/* ── Retention ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whole segments go: by age or rules, when every session in them may; then, while the store has too many bytes, or its
 * file system too little room, the oldest. A segment that is being written stays, and one that somebody reads (who has
 * a shared flock(2) on it) is passed over. A held session outlives all of it: of a segment that has to go, the packets
 * of its held sessions are copied unchanged into a file beside it, which takes its place in the order of names
 * (`X.pcapng` becomes `X.kept1.pcapng`), and only then it is removed. Killed at any moment, each session is in exactly
 * one file for whoever reads the store. */

enum gg_prune_why {
  GG_PRUNE_STAYS,
  GG_PRUNE_AGE,
  GG_PRUNE_BYTES,
  GG_PRUNE_FREE,
  GG_PRUNE_RULE, /* the bytes of a rule: those of newer segments are as many as it allows */
};
GG_API const char *gg_prune_why_text(enum gg_prune_why why); /* "stays", "age", "bytes", "free", "rule"; static */

enum gg_prune_fate {
  GG_PRUNE_GONE,    /* or would be, in a dry run */
  GG_PRUNE_KEPT,    /* gone, but for the held sessions in it */
  GG_PRUNE_HELD,    /* everything in it is held: it stays */
  GG_PRUNE_READ,    /* somebody reads it: it stays until the next time, as below */
  GG_PRUNE_NO_ROOM, /* there is no room for the held sessions in it */
  GG_PRUNE_DAMAGED, /* it cannot be told whether a held session is in it */
  GG_PRUNE_FAILED,  /* it could not be removed, or not be read; `text` says why */
};
GG_API const char *gg_prune_fate_text(enum gg_prune_fate fate); /* "gone", "kept", ...; static */

/* One segment that has to go. Texts are borrowed for the call. Only ever grows at its end. */
struct gg_pruned {
  const char *segment;
  enum gg_prune_why why;
  enum gg_prune_fate fate;
  uint64_t bytes;         /* of its file */
  uint64_t last_ns;       /* of its last record */
  uint64_t kept_sessions; /* that are held */
  uint64_t kept_bytes;    /* of the file that has them now */
  const char *text;       /* why it stays, one sentence; empty: it does not */
};
/* One JSON object without newline. Returns its length; 0 if it does not fit (4096 bytes are enough). */
GG_API size_t gg_pruned_json(const struct gg_pruned *pruned, char *text, size_t size);

struct gg_prune_options {
  size_t size;
  uint64_t max_bytes;  /* of all segments; 0: no limit */
  uint64_t max_age_ns; /* since a session's last record in the segment; 0: no limit */
  uint64_t min_free;   /* bytes that the file system is to have; 0: no limit */
  /* "listener=ssh max_age=90d max_bytes=20GiB": filter words, and for the sessions that match an age (0: never) instead
   * of max_age, most bytes of their packets (0: no limit), or both; of several rules the first that matches counts. */
  const char *const *rules;
  size_t rule_count;
  bool dry_run; /* nothing is changed; what would be is told */
  /* Told of each segment that has to go, when it is gone, or why it stays; may be NULL. */
  void (*segment)(void *context, const struct gg_pruned *pruned);
  /* Told now and then, bytes of segments; may be NULL. Return false to stop (GG_ERR_CLOSED); what is done stays so. */
  bool (*progress)(void *context, uint64_t done, uint64_t total);
  void *context;
  bool ignore_damaged_marks; /* lines of the journal that cannot be read are no reason to remove nothing */
};
#ifdef __cplusplus
inline struct gg_prune_options gg_prune_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_prune_options options = gg_prune_options();
  options.size = sizeof options;
  return options;
}
#define GG_PRUNE_OPTIONS_INIT gg_prune_options_init()
#else
#define GG_PRUNE_OPTIONS_INIT                                                                                          \
  {                                                                                                                    \
    .size = sizeof(struct gg_prune_options)                                                                            \
  }
#endif

/* Sets max_bytes ("100GiB"), max_age ("30d") or min_free as a person writes them. GG_ERR_INVALID, RANGE: the failure
 * says what would be right; GG_ERR_NOT_FOUND: there is no such option. */
GG_API int gg_prune_option_set(struct gg_prune_options *options, const char *name, const char *value,
                               struct gg_failure *failure);

struct gg_prune_result {
  uint64_t segments; /* that went, those among them of which something was kept */
  uint64_t bytes;    /* by which the store became smaller */
  uint64_t kept_sessions, kept_bytes;
  uint64_t passed; /* segments that have to go and are still there */
  uint64_t mended; /* files that a killed one had left, and that were removed */
  uint64_t open;   /* segments that are being written */
  uint64_t segments_left, bytes_left;
  uint64_t free_bytes; /* of the file system */
  bool met;            /* the limits hold now */
};

/* Prunes the store whose directory is `path`; a gateway may be at work on it. Waits ten seconds while another one does
 * the same: GG_ERR_BUSY. GG_ERR_FORMAT: it is no gateway's store; GG_ERR_INVALID: a rule is wrong, or there is no limit
 * at all; GG_ERR_CORRUPT: a line of the journal of tags and holds is damaged, and may have been a hold, so nothing is
 * removed (gg_store_mend_marks); GG_ERR_NOT_FOUND, DENIED, IO, NOMEM, LIMIT. `result` may be NULL, and says also after
 * an error what was done. Thread: any. */
GG_API int gg_store_prune(const char *path, const struct gg_prune_options *options, struct gg_prune_result *result,
                          struct gg_failure *failure);

/* ── The catalogue ───────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_reindex_options {
  size_t size;
  /* Told now and then, by the caller's thread: bytes of segments, and so many more for what is left to do when they are
   * read; may be NULL. Return false to stop (GG_ERR_CLOSED); what was there stays. */
  bool (*progress)(void *context, uint64_t done, uint64_t total);
  /* A segment that is not whole, one sentence, borrowed for the call; may be NULL. */
  void (*warning)(void *context, const char *text);
  void *context;
  bool check; /* the new one is only compared with the one that is there, which stays */
};
#ifdef __cplusplus
inline struct gg_reindex_options
gg_reindex_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_reindex_options options = gg_reindex_options();
  options.size = sizeof options;
  return options;
}
#define GG_REINDEX_OPTIONS_INIT gg_reindex_options_init()
#else
#define GG_REINDEX_OPTIONS_INIT                                                                                        \
  {                                                                                                                    \
    .size = sizeof(struct gg_reindex_options)                                                                          \
  }
#endif

struct gg_reindex_result {
  uint64_t segments;
  uint64_t bytes; /* of segments */
  uint64_t sessions;
  uint64_t marked;    /* sessions of which people or rules have said something */
  uint64_t different; /* with `check`: 0: nothing differs; else about how many sessions, parts and segments */
};

/* Makes the catalogue of the store at `path` anew, from its segments and its journal alone, beside the one that is
 * there, and puts it in its place when it is whole: whoever reads finds one or the other. It reads on threads of its
 * own, which end before it returns. GG_ERR_BUSY: another process
 * writes it, as a gateway that records does; GG_ERR_UNSUPPORTED: built without SQLite; GG_ERR_FORMAT: no store;
 * GG_ERR_NOT_FOUND, DENIED, NO_SPACE, IO, NOMEM, CLOSED. `options` and `result` may be NULL. */
GG_API int gg_store_reindex(const char *path, const struct gg_reindex_options *options,
                            struct gg_reindex_result *result, struct gg_failure *failure);

/* ── Showing bytes to people ─────────────────────────────────────────────────────────────────────────────────────── */

/* Writes `length` bytes of anybody's so that no terminal can be steered by them: tab, newline and a carriage return
 * right before a newline stay if `lines`; other controls (C0, DEL, C1), invalid UTF-8 and characters that reorder or
 * hide text come as \x1b or \u{202e}; a backslash stays itself. Incomplete UTF-8 at the end is escaped as well. Always
 * ends in NUL. Returns what was written; `*used` says how many of the bytes found room (4 * length + 1 is not always
 * enough, 10 * length + 1 is). */
GG_API size_t gg_text_printable(const uint8_t *data, size_t length, bool lines, char *text, size_t size, size_t *used);

#ifdef __cplusplus
}
#endif
#endif
