/* SPDX-License-Identifier: Apache-2.0 */
/**
 * replay.h - playing recorded sessions again, as their clients, against a server. UNSTABLE: this header may change in
 * any release until it says otherwise; the rest of the library keeps its promises without it.
 *
 *     struct gg_replay_options options = GG_REPLAY_OPTIONS_INIT;
 *     struct gg_failure failure = GG_FAILURE_INIT;
 *     struct gg_replay *replay = NULL;
 *     struct gg_replay_outcome outcome;
 *     options.to = "canary:8080";
 *     if (gg_replay_create(&replay, "gogetway-data", NULL, &options, &failure) == 0 &&
 *         gg_replay_run(replay, &failure) == 0) {
 *       gg_replay_outcome(replay, &outcome);
 *       printf("%llu of %llu sessions as recorded\n", (unsigned long long)outcome.sessions[GG_REPLAY_EQUAL],
 *              (unsigned long long)outcome.sessions_planned);
 *     } else
 *       fprintf(stderr, "%s\n", failure.message);
 *     gg_replay_destroy(replay);
 *
 *   create ──► (look at the plan) ──► run, on the caller's thread ──► outcome, report ──► destroy
 *                                      ▲ stop, from any thread
 *
 * One connection is made for each recorded one. What a client sent in one read of the gateway is a chunk. A chunk that
 * followed bytes of the server is dependent: at level CAUSAL it is not sent before the live server's reply is complete
 * (docs/replay.md says when that is); all others are sent at absolute times, so errors never add up.
 *
 * The library installs no signal handler; ignore SIGPIPE, and raise RLIMIT_NOFILE to one descriptor a connection.
 * Contracts as in store.h: 0 or a negative enum gg_error with a failure; out-parameters are yours; times in
 * nanoseconds, sizes in bytes. Thread: one at a time for one replay, but for gg_replay_stop. Several replays may run,
 * each on a thread of its own.
 */
#ifndef GOGETWAY_REPLAY_H
#define GOGETWAY_REPLAY_H

#include <gogetway/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gg_plugin; /* plugin.h */
struct gg_replay;

enum gg_replay_level {
  GG_REPLAY_CAUSAL, /* a chunk that followed a reply waits for the live reply */
  GG_REPLAY_BYTES,  /* every chunk at its time, whatever the server does */
};

/* What happens to a session when the server does not do what is waited for. */
enum gg_replay_policy {
  GG_REPLAY_CONTINUE,     /* on_timeout: the chunk is sent all the same. on_close: what can still be sent is sent */
  GG_REPLAY_STOP_SESSION, /* the session ends, the others go on */
  GG_REPLAY_STOP,         /* the whole replay ends, as by gg_replay_stop */
};

/* What let a chunk go. */
#define GG_REPLAY_RELEASE_LIST(X)                                                                                      \
  X(START, "start")           /* first of its session: at its time */                                                  \
  X(TIME, "time")             /* followed no bytes of the server, or level bytes: at its time */                       \
  X(DECODER, "decoder")       /* its messages: each answer that had come in the recording is here, and whole */        \
  X(TERMINATOR, "terminator") /* the reply ended as all replies at this place did in the recording */                  \
  X(LENGTH, "length")         /* ... was as long as all of them */                                                     \
  X(IDENTICAL, "identical")   /* the reply was the recorded one to the byte, and nothing more had come */              \
  X(SILENCE, "silence")       /* at least one byte, then silence */                                                    \
  X(END, "end")               /* the server ended the connection: nothing more can come */                             \
  X(TIMEOUT, "timeout")       /* reply_timeout passed, and the policy is to continue */

enum gg_replay_release {
#define GG_REPLAY_RELEASE_ENUM(NAME, text) GG_REPLAY_RELEASED_BY_##NAME,
  GG_REPLAY_RELEASE_LIST(GG_REPLAY_RELEASE_ENUM)
#undef GG_REPLAY_RELEASE_ENUM
    GG_REPLAY_RELEASES
};
GG_API const char *gg_replay_release_text(enum gg_replay_release release); /* "terminator"; static */

/* What became of a session. */
#define GG_REPLAY_VERDICT_LIST(X)                                                                                      \
  X(EQUAL, "equal")           /* everything was as recorded, to the byte */                                            \
  X(DIFFERENT, "different")   /* something was not; the first difference is named */                                   \
  X(OPAQUE, "opaque")         /* encrypted end to end: not played */                                                   \
  X(PARTIAL, "partial")       /* not whole in the recording: not played (unless include_partial) */                    \
  X(UNFINISHED, "unfinished") /* the replay was stopped before its end */

enum gg_replay_verdict {
#define GG_REPLAY_VERDICT_ENUM(NAME, text) GG_REPLAY_##NAME,
  GG_REPLAY_VERDICT_LIST(GG_REPLAY_VERDICT_ENUM)
#undef GG_REPLAY_VERDICT_ENUM
    GG_REPLAY_VERDICTS
};
GG_API const char *gg_replay_verdict_text(enum gg_replay_verdict verdict);

/* How a live session can differ from its recording. */
#define GG_REPLAY_DIFFERENCE_LIST(X)                                                                                   \
  X(NONE, "none")                                                                                                      \
  X(BYTES, "bytes")           /* a byte of a reply is another one */                                                   \
  X(SHORTER, "shorter")       /* a reply ended before the recorded one did */                                          \
  X(LONGER, "longer")         /* a reply went on behind the recorded one's end */                                      \
  X(TIMEOUT, "timeout")       /* a reply, or the server's end, did not come in time */                                 \
  X(CLOSED, "closed")         /* the server ended the connection before its time */                                    \
  X(RESET, "reset")           /* the server reset it, and had not when recorded */                                     \
  X(NOT_CLOSED, "not-closed") /* the server did not end it as it had when recorded */                                  \
  X(REFUSED, "refused")       /* no connection could be made, and could when recorded */                               \
  X(CONNECTED, "connected")   /* a connection could be made, and could not when recorded */                            \
  X(LOCAL, "local")           /* no socket, no port, no memory: nothing was learned about the server */

enum gg_replay_difference_kind {
#define GG_REPLAY_DIFFERENCE_ENUM(NAME, text) GG_REPLAY_DIFFERENCE_##NAME,
  GG_REPLAY_DIFFERENCE_LIST(GG_REPLAY_DIFFERENCE_ENUM)
#undef GG_REPLAY_DIFFERENCE_ENUM
    GG_REPLAY_DIFFERENCES
};
GG_API const char *gg_replay_difference_text(enum gg_replay_difference_kind kind);

enum { GG_REPLAY_EXCERPT_MAX = 16 };

struct gg_replay_difference {
  enum gg_replay_difference_kind kind;
  uint64_t chunk;        /* the recorded server's chunk it is in, from 0; at the end: how many there are */
  uint64_t offset;       /* in the recorded server's stream */
  uint8_t expected_size; /* bytes of the excerpts, from `offset` on */
  uint8_t got_size;
  uint8_t expected[GG_REPLAY_EXCERPT_MAX];
  uint8_t got[GG_REPLAY_EXCERPT_MAX];
};

/* Percentiles of a log-linear histogram of three significant digits; all zero without values. */
struct gg_replay_percentiles {
  uint64_t count;
  uint64_t mean_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};

/* What one connection did. Also the unit of the sums. */
struct gg_replay_counts {
  uint64_t chunks_sent;
  uint64_t chunks_unsent; /* that the recording has and that could not be sent */
  uint64_t released[GG_REPLAY_RELEASES];
  uint64_t bytes_sent;
  uint64_t bytes_received;
  uint64_t bytes_expected; /* from the server, by the recording */
  uint64_t replies;        /* that came: a reply is what the recorded server sent between two chunks of its client */
  /* Of those: equal to the byte; fewer bytes than were recorded; more; as many, and other ones. */
  uint64_t replies_equal, replies_shorter, replies_longer, replies_different;
  uint64_t timeouts;
  uint64_t closed_early;    /* the server's ends and resets before their time */
  uint64_t pieces_replaced; /* by the plug-in */
  uint64_t plugin_ended;    /* sessions that it has ended */
};

/* One played connection, told when it has ended. */
struct gg_replay_session {
  const char *id; /* the recorded session's */
  uint64_t loop;  /* from 0 */
  uint64_t copy;  /* from 0 */
  enum gg_replay_verdict verdict;
  bool connected;
  char local[64];    /* "127.0.0.1:40000"; "unix"; empty without a connection */
  uint64_t due_ns;   /* when it should have begun, since the replay's start */
  uint64_t begun_ns; /* when it did */
  uint64_t ended_ns;
  uint64_t latency_max_ns; /* from a chunk's intended time to the end of its reply */
  struct gg_replay_counts counts;
  struct gg_replay_difference difference; /* the first */
  const char *decoder;                    /* whose messages it waited by: "http1"; NULL: by bytes. Static */
};

struct gg_replay_outcome {
  bool partial; /* it was stopped before its end */
  uint64_t elapsed_ns;
  uint64_t sessions_planned; /* connections to be made: sessions times copies times loops, opaque and skipped too */
  uint64_t sessions[GG_REPLAY_VERDICTS];
  uint64_t connections_made, connections_refused; /* refused: also timed out and unreachable */
  uint64_t connections_open;                      /* now */
  uint64_t connections_peak;
  uint64_t sessions_held; /* that began late because connections_max were open; their times are counted from then on */
  uint64_t held_max_ns;   /* the longest of these delays */
  /* Sessions that waited for replies: by messages (a decoder said of one of them at least what was waited for), or by
   * bytes alone. */
  uint64_t waited_by_messages, waited_by_bytes;
  struct gg_replay_counts counts;
  struct gg_replay_percentiles latency; /* of replies, from the intended time of the chunk before: corrected for
                                           coordinated omission; of one that timed out, to the time-out */
  struct gg_replay_percentiles lag;  /* our own lateness: from when a chunk could go to when it was sent, and from when
                                           a connection was due to when it was begun */
  struct gg_replay_percentiles slip; /* the target's: how much later its replies were than in the recording */
};

struct gg_replay_progress {
  uint64_t elapsed_ns;
  uint64_t left_ns; /* estimate; UINT64_MAX: not known */
  uint64_t sessions_done, sessions_planned;
  uint64_t chunks_sent, bytes_sent, bytes_received;
  uint64_t differences; /* sessions that differ */
  uint64_t connections_open;
  uint64_t lag_now_ns; /* of the chunk sent last, or the connection begun last */
};

struct gg_replay_options {
  size_t size;
  const char *to; /* "host:port", "[v6]:port", "unix:PATH"; a name: resolved by gg_replay_create, one address is used */
  enum gg_replay_level level;
  uint32_t speed_percent;      /* 100: as recorded; 1 to 100,000; 0: as fast as possible */
  uint32_t rate;               /* recorded sessions begun a second, each with its copies; 0: at recorded times */
  uint64_t ramp_ns;            /* time in which speed, rate or connections grow from nothing to what was asked */
  uint32_t copies;             /* of each session, at once, each with a connection of its own; 1 to 1,000,000 */
  uint32_t loops;              /* the whole plan so many times in a row; 1 to 1,000,000 */
  uint32_t connections_max;    /* open at once; sessions beyond begin late, in order; 0: what descriptors allow */
  uint64_t reply_timeout_ns;   /* how much longer than when it was recorded the server may take; 1 ms to a day */
  uint64_t connect_timeout_ns; /* 1 ms to a day */
  enum gg_replay_policy on_timeout;
  enum gg_replay_policy on_close; /* the server ended before its time */
  const char *source;             /* a network whose addresses connections are made from in turn; NULL: the system's */
  bool include_partial;           /* also play sessions with gaps or without their beginning */
  bool allow_original;            /* also send to the server that a session led to, or to what its client dialled */
  const char *record_dir;         /* record the replay into this store; NULL: not */
  const char *report_path;        /* JSON (docs/replay.md), written as sessions end; NULL: none */
  /* All may be NULL. Called on the thread of gg_replay_create (planning) and gg_replay_run. */
  bool (*on_planning)(void *context, uint64_t done, uint64_t total); /* bytes to be read; false: give up (CLOSED) */
  void (*on_progress)(void *context, const struct gg_replay_progress *progress); /* every 200 ms or so */
  void (*on_session)(void *context, const struct gg_replay_session *session);
  void (*on_warning)(void *context, const char *text); /* one sentence: a segment that is not whole, ... */
  void *context;
  /* A plug-in that is asked before each piece is sent (replay_send of plugin.h): a shared library, or the program's own
   * table. NULL, both: none. `plugin_config`: its options as YAML, "{token: abc}"; NULL: nothing. Its warnings come by
   * on_warning, on any thread. */
  const char *plugin;
  const struct gg_plugin *plugin_table;
  const char *plugin_config;
};
#define GG_REPLAY_REPLY_TIMEOUT_NS UINT64_C(10000000000)
#define GG_REPLAY_CONNECT_TIMEOUT_NS UINT64_C(10000000000)
#ifdef __cplusplus
inline struct gg_replay_options gg_replay_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_replay_options options = gg_replay_options();
  options.size = sizeof options;
  options.speed_percent = 100;
  options.copies = options.loops = 1;
  options.reply_timeout_ns = GG_REPLAY_REPLY_TIMEOUT_NS;
  options.connect_timeout_ns = GG_REPLAY_CONNECT_TIMEOUT_NS;
  options.on_close = GG_REPLAY_STOP_SESSION;
  return options;
}
#define GG_REPLAY_OPTIONS_INIT gg_replay_options_init()
#else
#define GG_REPLAY_OPTIONS_INIT                                                                                         \
  {                                                                                                                    \
    .size = sizeof(struct gg_replay_options), .speed_percent = 100, .copies = 1, .loops = 1,                           \
    .reply_timeout_ns = GG_REPLAY_REPLY_TIMEOUT_NS, .connect_timeout_ns = GG_REPLAY_CONNECT_TIMEOUT_NS,                \
    .on_close = GG_REPLAY_STOP_SESSION                                                                                 \
  }
#endif

/* Sets one option by the name that it has on the command line, from a text as people write it: "speed" "10x" or "max",
 * "rate" "50/s", "reply-timeout" "2s", "on-close" "stop-session", "level" "bytes", "copies" "100", "include-partial"
 * "true". Texts that the options keep ("to", "source", "record", "report") are borrowed. GG_ERR_INVALID: there is no
 * such option; GG_ERR_FORMAT, GG_ERR_RANGE: the failure says what would be right. */
GG_API int gg_replay_option_set(struct gg_replay_options *options, const char *name, const char *text,
                                struct gg_failure *failure);

/* Reads the recording at `path` (as gg_store_open takes it) and plans what `filter` (NULL: all) chooses. Nothing is
 * sent. GG_ERR_INVALID: an option is out of range, or record_dir is the recording itself; GG_ERR_RESOLVE: `to` does
 * not resolve; GG_ERR_DENIED: a session that would be played was recorded from `to` and allow_original is not set (the
 * failure names both), or a file may not be read; GG_ERR_NOT_FOUND: there is no recording, or no session matches;
 * GG_ERR_UNSUPPORTED: all that match are opaque; GG_ERR_CLOSED: on_planning gave up; GG_ERR_FORMAT, IO, NO_SPACE (the
 * plan's temporary file), NOMEM. With NOT_FOUND for want of a match and with UNSUPPORTED *out is set all the same, so
 * that the plan can be looked at; it cannot run. */
GG_API int gg_replay_create(struct gg_replay **out, const char *path, const struct gg_filter *filter,
                            const struct gg_replay_options *options, struct gg_failure *failure);

/* What will be done. */
struct gg_replay_plan {
  uint64_t sessions;         /* that match */
  uint64_t opaque;           /* of those, encrypted: not played */
  uint64_t partial;          /* of those, with gaps or without their beginning, and not opaque */
  uint64_t played;           /* sessions that are played */
  uint64_t connections;      /* played, times copies, times loops */
  uint64_t connections_peak; /* at once, if the server is as fast as it was (level bytes: always) */
  uint64_t chunks;           /* of all connections */
  uint64_t chunks_dependent;
  uint64_t bytes; /* sent by all connections */
  uint64_t bytes_expected;
  uint64_t duration_ns; /* with a server as fast as it was; also 0 for as fast as possible */
  char to[128];         /* resolved */
};
GG_API void gg_replay_plan(const struct gg_replay *replay, struct gg_replay_plan *out);

/* One planned session, in order of start. */
struct gg_replay_planned {
  char id[25];
  char client[64];
  char server[64];
  uint64_t start_ns;    /* as recorded, UTC */
  uint64_t due_ns;      /* since the replay's start, of its first copy in the first loop; 0 for as fast as possible */
  uint64_t duration_ns; /* as recorded */
  uint64_t chunks;
  uint64_t bytes[2];   /* by enum gg_side */
  const char *skipped; /* why it is not played ("opaque: TLS", "gaps", ...); empty: it is. Static */
};
GG_API bool gg_replay_planned(const struct gg_replay *replay, size_t index,
                              struct gg_replay_planned *out); /* false: past the last */

/* Plays; returns when all is done, or it was stopped. GG_ERR_DENIED, NOT_FOUND, EXISTS, ...: record_dir or report_path
 * could not be had, nothing was sent. GG_ERR_CORRUPT, NOT_FOUND, IO: the recording could not be read on (it has gone,
 * it is damaged); GG_ERR_NO_SPACE: no room for the report or the replay's own recording. The outcome tells of what was
 * played until then. Once only. */
GG_API int gg_replay_run(struct gg_replay *replay, struct gg_failure *failure);

/* Ends the replay soon: connections are closed, the outcome is marked partial. Any thread, and signal handlers. */
GG_API void gg_replay_stop(struct gg_replay *replay);

GG_API void gg_replay_outcome(const struct gg_replay *replay, struct gg_replay_outcome *out);
GG_API void gg_replay_destroy(struct gg_replay *replay); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
