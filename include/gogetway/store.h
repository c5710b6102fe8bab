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
  unsigned segments;       /* how many files it is in */
  uint64_t generation;     /* of the refresh that last changed it */
  const char *original;    /* in the recording of a replay: the id of the session that was played */
  const char *server_path; /* of a unix listener: what the client dialled; else empty */
  const char *as_sent_of;  /* the id of the session instead of whose bytes a plug-in has sent these; else empty */
};

/* Looks for new segments and for what was added to known ones. Called by the first query by itself; call it before a
 * later query to see what has happened since. GG_ERR_FORMAT: not one of the files could be read (the failure has the
 * first one's reason; single bad files are told by gg_store_warning); GG_ERR_DENIED, NOT_FOUND, IO: the folder of
 * segments could not be; GG_ERR_LIMIT: more than a million files; GG_ERR_NOMEM. */
GG_API int gg_store_refresh(struct gg_store *store, struct gg_failure *failure);
GG_API uint64_t gg_store_generation(const struct gg_store *store); /* counts refreshes from 1; 0: none yet */

/* The files that could be read only in part or not at all, or in which nothing was understood, one sentence each:
 * "x.pcapng: damaged at byte 4096"; and at last, if the gateway was killed, that what it had not written yet comes with
 * its next start. The text is borrowed until the next refresh; NULL when `index` is past the last. */
GG_API const char *gg_store_warning(const struct gg_store *store, size_t index);

/* The name of a session's segment `index` (from 0) relative to the store; NULL past the last. Borrowed. */
GG_API const char *gg_session_segment(const struct gg_session *session, unsigned index);

/* One JSON object without newline: {"id":...,"listener":...,"client":...,"bytes":{"client":N,"server":N},...} with
 * exact integers. Returns its length, or the length that it would have had if `size` was too small (like snprintf). */
GG_API size_t gg_session_json(const struct gg_session *session, char *text, size_t size);

/* ── Choosing ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_filter;

/* Parses bare words, all of which must hold: id=PREFIX client=ADDR|NETWORK server=ADDR|NETWORK port=N|N..M
 * since=TIME until=TIME bytes=N|N..|..M|N..M state=open|closed|cut listener=NAME close=REASON; `!=` negates; a word of
 * six or more hexadecimal digits is an id's beginning. TIME is a span before `now_ns` ("90s", "1h"), a date
 * ("2024-05-01", UTC) or RFC 3339. GG_ERR_INVALID: the failure names the word and what would be right; GG_ERR_LIMIT:
 * more than 64 words; GG_ERR_NOMEM. */
GG_API int gg_filter_parse(struct gg_filter **out, const char *const *words, size_t count, uint64_t now_ns,
                           struct gg_failure *failure);
GG_API void gg_filter_destroy(struct gg_filter *filter);
GG_API bool gg_filter_match(const struct gg_filter *filter, const struct gg_session *session); /* NULL: everything */

struct gg_session_list;

/* All sessions that match (`filter` NULL: all), in order of their start; none is no error. GG_ERR_NOMEM, and the
 * first query, which looks for segments, has the errors of gg_store_refresh. */
GG_API int gg_store_query(struct gg_store *store, const struct gg_filter *filter, struct gg_session_list **out,
                          struct gg_failure *failure);
GG_API size_t gg_session_list_count(const struct gg_session_list *list);
GG_API const struct gg_session *gg_session_list_at(const struct gg_session_list *list, size_t index);
GG_API void gg_session_list_destroy(struct gg_session_list *list);

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
 * returned before stay true. GG_ERR_NOT_FOUND: a segment has gone since the store was read; GG_ERR_CORRUPT: it is
 * damaged, or shorter than it was; GG_ERR_FORMAT: it is another file now; GG_ERR_DENIED, IO, NOMEM. */
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
