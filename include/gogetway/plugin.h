/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plugin.h - what a plug-in is made of, and what the gateway does for it.
 *
 * A plug-in is a shared library with one exported table, or the same table given to gg_gateway_plugin_add by a program
 * that embeds the gateway. It needs this header and nothing else: no symbol of the library.
 *
 *     #include <gogetway/plugin.h>
 *
 *     static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
 *     {
 *       if (memmem(data->bytes, data->length, "DROP TABLE", 10))
 *         *verdict = (struct gg_verdict){.kind = GG_VERDICT_RESET, .reason = "DROP TABLE"};
 *     }
 *     static void on_open(void *self, struct gg_live *session, struct gg_open *open)
 *     {
 *       const struct gg_host *host = self;
 *       host->want(host, session, GG_SIDE_CLIENT, GG_MODE_GATE);
 *     }
 *     ...
 *     GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
 *       GG_PLUGIN_HEAD, .name = "no-drop", .create = on_create, .open = on_open, .gate = on_gate};
 *
 *     cc -shared -fPIC no-drop.c -o no-drop.so $(pkg-config --cflags gogetway-plugin)
 *
 *     plugins:                     # in the configuration
 *       - path: no-drop.so
 *         listeners: [db]          # of all, if this is not given
 *         config: {...}            # by the plug-in's own table of options
 *
 * The way of a session, and where a plug-in can stand in it. Every operation is optional.
 *
 *     accept ──► open ──► (first) ──► connect ──┬──► connected ──► data, each direction by its mode ──► close
 *                                        ▲      └──► failed ──┐
 *                                        └────────────────────┘
 *
 * Modes. What a plug-in wants of a direction's bytes it asks for by `want`, per session and direction, in a callback of
 * that session, and gives back in the same way:
 *
 *     GG_MODE_NONE     nothing. The default, which costs nothing
 *     GG_MODE_COUNT    `count` is called for each chunk, with its length; bytes may go by splice(2)
 *     GG_MODE_OBSERVE  `observe` reads what was recorded, on a thread of its own, some time later; it delays nobody,
 *                      and what it is too slow for it misses and is told so; bytes may go by splice(2)
 *     GG_MODE_GATE     `gate` sees each byte once, in order, after it was recorded and before the other side gets it;
 *                      and `message`, on a listener with `decode: inline`, what they say
 *     GG_MODE_REWRITE  `rewrite` says what goes on instead of the bytes that came; both are recorded
 *     GG_MODE_MASK     `mask` changes what the recording has of the bytes, before it has them; what goes on stays as it
 *                      came. Not together with `sync: always`
 *
 *     socket ──► (masks ──►) recording ──► rewriters ──► recording, as sent ──► gates ──► socket
 *                                │                            only with a rewriter
 *                                └──► observers
 *
 * Several of one mode are in the order of the configuration: the next one sees what the one before has passed, put out
 * or decided. So gates see what the rewriters have made, at its offsets.
 *
 * Threads. A session belongs to one worker thread all its life, and everything of the session is called there: accept,
 * open, first, connect, connected, failed, count, mask, rewrite, gate, close. They must not block: the worker's other
 * sessions wait meanwhile. Different workers call the same plug-in at the same time. `create` and `destroy` are called
 * on the gateway's main thread, when no other call is under way; `command` on the control socket's thread; `tick`,
 * `observe`, `sink` and `sealed` on threads of the plug-in's own, but for a required sink, which is called on the
 * recorder's; `replay_send` on a replay's. Each is said below again where it stands.
 *
 * Lifetimes. What a callback is given lives until it returns, unless it says otherwise. A struct gg_live may be used on
 * its worker's thread from `open` until `close` has returned; a struct gg_session_key, which is a value, on any thread
 * at any time, also when the session has ended (GG_ERR_NOT_FOUND).
 *
 * A callback may end the session that it is called for: verdicts and orders take effect when it has returned.
 *
 * What goes wrong inside a plug-in is the process's fault: it is one process. A plug-in that is slow is named in the
 * messages, and what each of its operations takes is a metric.
 */
#ifndef GOGETWAY_PLUGIN_H
#define GOGETWAY_PLUGIN_H

#include <gogetway/error.h>
#include <gogetway/side.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changed only when a table of another version could not be read any more. What is added stands at the end of the
 * structs; `size` says how much of one there is. */
#define GG_PLUGIN_ABI 1

enum {
  GG_PLUGIN_NAME_MAX = 32,     /* bytes, with the NUL: [a-z][a-z0-9-]* */
  GG_PLUGIN_OPTIONS_MAX = 64,  /* options of a plug-in */
  GG_PLUGIN_COMMANDS_MAX = 16, /* and commands */
  GG_TAG_MAX = 32,             /* bytes of a tag, with the NUL: [a-z0-9][a-z0-9_.:-]* */
  GG_TAGS_MAX = 16,            /* of one session */
  GG_REASON_MAX = 64,          /* bytes of a verdict's reason that are kept, with the NUL */
  GG_REPLY_MAX = 16384,        /* bytes of a verdict's reply */
  GG_MASK_LONGEST_MAX = 16384, /* bytes that a mask may keep out of the recording at the most */
  GG_PLUGIN_DECODERS_MAX = 8,  /* decoders of a plug-in */
};

struct gg_host;
struct gg_decoder; /* of decoder.h, for who has some, or is told messages */
struct gg_message;
struct gg_opaque;

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A session that is open, for the callbacks of its own worker. */
struct gg_live;

/* A session's name, for any thread: the 24 hexadecimal digits that it has in the recording. */
struct gg_session_key {
  char text[25];
};

/* What is known of a session. Who has one filled says in `size` how much of it there is, by GG_SESSION_INFO_INIT, and
 * finds there how much of it was filled: less, where the gateway is of an earlier version. Texts live as the struct
 * does. */
struct gg_session_info {
  size_t size;
  struct gg_session_key key;
  unsigned worker;
  char listener[65];
  char client[64];         /* "192.0.2.1:40000"; of the PROXY header, where one is trusted */
  char server[64];         /* what the client dialled */
  char upstream[128];      /* its name in the configuration; empty: none, or not chosen yet */
  uint64_t opened_real_ns; /* since 1970 */
  uint64_t received[2];    /* bytes, by enum gg_side */
  uint64_t forwarded[2];   /* of these; where there are rewriters, of what they have made of them */
  char tags[GG_TAGS_MAX][GG_TAG_MAX];
  unsigned tag_count;
  bool inlined; /* its listener has `decode: inline`: gates are told messages */
};
#ifdef __cplusplus
inline struct gg_session_info gg_session_info_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_session_info info = gg_session_info();
  info.size = sizeof info;
  return info;
}
#define GG_SESSION_INFO_INIT gg_session_info_init()
#else
#define GG_SESSION_INFO_INIT                                                                                           \
  {                                                                                                                    \
    .size = sizeof(struct gg_session_info)                                                                             \
  }
#endif

/* How a session ended. */
struct gg_session_summary {
  size_t size;
  const char *close;  /* as in the recording: "client-fin", "server-reset", "verdict", ... */
  const char *plugin; /* whose verdict ended it; empty: it was none */
  const char *reason; /* of that */
  uint64_t received[2];
  uint64_t forwarded[2];
  uint64_t duration_ns;
};

/* ── Verdicts ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_verdict_kind {
  GG_VERDICT_PASS, /* all but the last `keep` bytes go on */
  GG_VERDICT_HOLD, /* the same, and the direction is not read again before `resume` */
  /* The session ends with a FIN to each side. The bytes do not go on, nor what follows; what was passed before and
   * waits for a slow receiver does, if it takes it within a few seconds. */
  GG_VERDICT_CLOSE,
  GG_VERDICT_RESET,  /* ... with a RST */
  GG_VERDICT_TARPIT, /* the upstream is reset; the client is left hanging until it ends its side, for
                         timeouts.tarpit at the most */
  GG_VERDICT_REPLY,  /* whoever sent the bytes is sent `reply`, and then the session ends as by CLOSE */
  GG_VERDICT_DIVERT, /* the bytes, and all that follow, go to `upstream` instead */
};

struct gg_verdict {
  enum gg_verdict_kind kind; /* GG_VERDICT_PASS before the callback */
  /* PASS, HOLD: so many of the last bytes that the gate has seen stay back, at the most all that it has not passed.
   * They are not shown again, but they count as seen: the next call, with more bytes, decides about them too. A gate
   * that keeps back as much as relay.pending_max holds the direction. 0: none. */
  size_t keep;
  /* PASS that keeps something back, HOLD: when so much time has passed and the gate was not called since, it is called
   * without new bytes (`due`), and decides about what it keeps back. 0: it is not, and with `ended` nothing can be kept
   * back. Exact to a millisecond or so, and never early. */
  uint64_t after_ns;
  /* REPLY: read when the callback has returned, so it is static, or the plug-in's. At most GG_REPLY_MAX bytes. It is
   * recorded as what the other side had said; bytes of that side that gates keep back at that moment never go on. */
  const void *reply;
  size_t reply_length;
  /* DIVERT: an upstream of the listener by its name, or "address:port". Only while nothing of what the client sent has
   * gone on; otherwise the session is closed. Read when the callback has returned. */
  const char *upstream;
  /* Why, in a few words of ASCII (any other byte becomes `?`): in the recording's last comment and in the messages.
   * Read when the callback has returned; NULL: nothing is said. */
  const char *reason;
  uint64_t reserved[4]; /* 0 */
};

/* ── What the operations are given ───────────────────────────────────────────────────────────────────────────────── */

/* A connection that was accepted, before anything was made for it. */
struct gg_arrival {
  size_t size;
  const char *listener;
  const char *peer; /* "192.0.2.1:40000"; "unix" */
  int family;       /* 4, 6, or 0 for a unix socket */
  uint8_t ip[16];   /* in network order: 4 or 16 bytes */
  uint16_t port;
};

enum gg_recording {
  GG_RECORDING_FULL,     /* what the listener's `record` says */
  GG_RECORDING_FIRST,    /* of each direction the first `record_first` bytes; what follows is marked as left out */
  GG_RECORDING_METADATA, /* no bytes: that it was, between whom, how long and how much */
  GG_RECORDING_OFF,      /* nothing at all */
};

/* What becomes of a session that begins. Each plug-in finds what those before it have said, also that they have ended
 * it: then what it says itself does not count. */
struct gg_open {
  size_t size;
  /* PASS, CLOSE, RESET, TARPIT or REPLY (to the client). */
  struct gg_verdict verdict;
  /* The upstream, by name or address as in gg_verdict; NULL: by the listener's list. This and the verdict's texts are
   * read when every plug-in's callback has returned. Not on a listener with `upstream: none`. */
  const char *upstream;
  enum gg_recording recording;
  uint64_t record_first;
  /* Both set: the upstream is not chosen before so many bytes of the client are there, or so much time has passed, or
   * the client has ended; then `first` is called. At most 16 KiB. */
  size_t hold_first_bytes;
  uint64_t hold_first_ns;
};

/* A piece of a stream, as one read returned it or a part of that. */
struct gg_data {
  size_t size;
  enum gg_side from;
  const uint8_t *bytes;
  size_t length;   /* 0 only with `ended` or `due` */
  uint64_t offset; /* of the first of them in its stream */
  uint64_t kept;   /* so many bytes before `offset` this gate has seen and not passed yet */
  bool ended; /* nothing follows: the sender's FIN has come. Told once without `due`, and with each `due` behind it */
  bool due;   /* the time that its last verdict's after_ns said has passed */
};

enum gg_spoken_kind {
  GG_SPOKEN_HEAD,   /* a message's head is known, with its first fields */
  GG_SPOKEN_END,    /* it is complete, or cut */
  GG_SPOKEN_OPAQUE, /* from here on nothing is told of this side */
};

/* What a session's decoding in its worker has told (decoder.h, which is unstable). Includes it who uses it. */
struct gg_spoken {
  size_t size;
  enum gg_spoken_kind kind;
  enum gg_side from;
  const struct gg_message *message; /* HEAD, END; else NULL */
  const struct gg_opaque *opaque;   /* OPAQUE; else NULL */
};

/* What a rewriter puts out: by host->emit, in its callback only. */
struct gg_output;

/* What a mask may change: bytes of a stream that are not in the recording yet, in private memory. */
struct gg_mask {
  size_t size;
  enum gg_side from;
  uint8_t *bytes;  /* changed where they stand: the length stays */
  size_t length;   /* 0 only with `ended` */
  size_t seen;     /* the first so many of them this mask was shown before, and has kept back */
  uint64_t offset; /* of the first of them in its stream */
  bool ended;      /* nothing follows: all of it goes into the recording now, whatever is kept back. Only a verdict's
                    * REPLY in the name of this side may be shown behind it, and ends so too */
  size_t masked;   /* in: 0. Out: so many bytes were masked in this call, which the recording's last comment adds up */
};

/* A piece of a recorded stream, or its end, for an observer. */
struct gg_observed {
  size_t size;
  struct gg_session_key key;
  enum gg_side from;
  const uint8_t *bytes;
  size_t length;    /* 0 only with `ended` */
  uint64_t offset;  /* of the first of them in its stream */
  uint64_t missed;  /* so many bytes right before these were recorded or went on, and are not to be had any more */
  uint64_t real_ns; /* when they were received: since 1970 */
  bool ended;       /* the session is over, or was given back: nothing follows, `missed` is of the stream's end */
};

/* A part of the recording as it is in the store's files. */
struct gg_sink_block {
  size_t size;
  const char *segment; /* the file's name in the store's segments/ */
  /* In it, of the first of these bytes. Parts of a file come in order, from 0 on, or from where the file was when the
   * sink came. */
  uint64_t offset;
  const void *bytes; /* whole pcapng blocks */
  size_t length;     /* 0 only with `last` */
  uint64_t lost;     /* best-effort: so many bytes of this file right before `offset` did not come */
  bool last;         /* nothing follows in this file */
};

/* A file of the recording to which nothing will be added. */
struct gg_sealed {
  size_t size;
  const char *name; /* in the store's segments/ */
  const char *path;
  uint64_t bytes;
  bool recovered; /* an earlier process that was killed had begun it, and this one has ended it when it started */
};

/* What a replay is about to send. */
struct gg_replay_piece {
  size_t size;
  struct gg_session_key key; /* the recorded session's */
  const char *target;        /* "192.0.2.1:80" */
  enum gg_side from;         /* whose bytes they were */
  const uint8_t *bytes;
  size_t length;
  uint64_t offset; /* in the recorded stream */
  unsigned copy;   /* which of the copies that run beside each other, and loop by loop: from 0 */
};

/* ── Options ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_plugin_option_type {
  GG_PLUGIN_BOOL,     /* .on */
  GG_PLUGIN_COUNT,    /* .number */
  GG_PLUGIN_BYTES,    /* .number, written as 64KiB */
  GG_PLUGIN_DURATION, /* .number of nanoseconds, written as 250ms */
  GG_PLUGIN_CHOICE,   /* .number: the index in `choices` */
  GG_PLUGIN_TEXT,     /* .text, NULL if it was not given */
  GG_PLUGIN_TEXTS,    /* .texts */
};

/* One of the plug-in's own options, under `config:`. What does not fit is refused with file, line and column, before
 * anything is made. */
struct gg_plugin_option {
  const char *name; /* "max_bytes": [a-z][a-z0-9_]*, at most 63 bytes */
  enum gg_plugin_option_type type;
  uint64_t least; /* COUNT, BYTES, DURATION: both ends allowed; TEXT: bytes; TEXTS: items. `most` 0: no bound of its */
  uint64_t most;  /* own (a text has at most 4096 bytes, a list 64 items) */
  const char *preset;         /* as the user would write it, TEXTS as "[a, b]"; NULL: not given, 0 */
  const char *const *choices; /* CHOICE: ends in NULL; at most 64, each [a-z0-9][a-z0-9_.-]* and at most 63 bytes */
  bool required;
  const char *help;     /* one line */
  uint64_t reserved[2]; /* 0 */
};

struct gg_plugin_value {
  bool given; /* by the user, not by `preset` */
  bool on;
  uint64_t number;
  const char *text;
  const char *const *texts;
  size_t text_count;
  uint64_t reserved[2];
};

/* The values, in the order of the plug-in's options. All of it lives as long as the instance. */
struct gg_plugin_config {
  size_t size;
  const struct gg_plugin_value *values;
  size_t count;
};

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* `gogetway NAME VERB [WORD...]`. */
struct gg_plugin_command {
  const char *verb;     /* [a-z][a-z0-9-]* */
  const char *words;    /* what follows, for help: "SHARE"; NULL: nothing */
  const char *help;     /* one line */
  uint64_t reserved[2]; /* 0 */
};

/* ── The plug-in ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_plugin {
  uint32_t abi;        /* GG_PLUGIN_ABI */
  uint32_t size;       /* sizeof(struct gg_plugin), as the plug-in was built with it */
  const char *name;    /* as it is called in messages, metrics and commands. One that is a command of the program's own
                          ("stats") is no fault, but the plug-in's commands cannot be given then */
  const char *version; /* of its own choosing; NULL: none */
  const char *summary; /* one line; NULL: none */
  const struct gg_plugin_option *options;
  size_t option_count;
  const struct gg_plugin_command *commands;
  size_t command_count;

  /* Makes an instance: one for each entry of the configuration. *self is what all other operations get. `host` and
   * `config` live as long as the instance. On an error, gg_plugin_fail says why; the gateway does not start, or goes on
   * as before a reload. Main thread; may block, within reason. Without it, self is the host. */
  int (*create)(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                struct gg_failure *failure);
  /* No other call is under way, and none follows. Main thread. */
  void (*destroy)(void *self);

  /* A connection was accepted; nothing of it is recorded yet. PASS, CLOSE, RESET or TARPIT; it is counted, and nothing
   * else (CLOSE waits for nothing: who goes on sending may see a RST behind the FIN). Not for those that a limit has
   * refused. Worker's thread. */
  enum gg_verdict_kind (*accept)(void *self, const struct gg_arrival *arrival);
  /* The session's ends are known, by its PROXY header too; no upstream has been chosen. Worker's thread. */
  void (*open)(void *self, struct gg_live *session, struct gg_open *open);
  /* What was waited for by hold_first, of which nothing has been taken from the socket: `length` may be less than was
   * asked for, also 0. `open` is as `open` left it; hold_first has no effect any more. Worker's thread. */
  void (*first)(void *self, struct gg_live *session, const uint8_t *bytes, size_t length, struct gg_open *open);
  /* The upstream `name` at `address` is about to be tried. PASS, or CLOSE: not this one, the next. Worker's thread. */
  enum gg_verdict_kind (*connect)(void *self, struct gg_live *session, const char *name, const char *address);
  /* It has answered / could not be had, because of `reason` ("connect-refused", ...). Worker's thread. */
  void (*connected)(void *self, struct gg_live *session, const char *name);
  void (*failed)(void *self, struct gg_live *session, const char *name, const char *reason);
  /* GG_MODE_COUNT: a read brought `bytes` bytes. Worker's thread. */
  void (*count)(void *self, struct gg_live *session, enum gg_side from, size_t bytes);
  /* GG_MODE_GATE. Worker's thread. */
  void (*gate)(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict);
  /* GG_MODE_REWRITE: what goes on instead of these bytes is what is given to host->emit in this call: nothing, the
   * same, less or more, in one piece or several. A rewriter that needs more bytes before it can tell keeps its own copy
   * of these; with `ended` (and length 0) it has its last word. It is given back in its own call, when it has put out
   * what it kept: the rest goes on as it comes. `offset` is in what came, for the second rewriter in what the first has
   * put out, and so on; `kept` is 0. What all of them make of one read is a mebibyte at the most, otherwise the session
   * is reset. What goes on is recorded as a conversation of its own, between the gateway and the upstream, before it
   * goes; not with a mask on the direction, and no more than gg_open says. Worker's thread. */
  void (*rewrite)(void *self, struct gg_live *session, const struct gg_data *data, struct gg_output *output);
  /* GG_MODE_MASK, which can be asked for in `open` and `first` only: changes the bytes as they shall be in the
   * recording. Returns how many of the last bytes it cannot decide about before it has seen more: less than
   * `mask_longest`. They stay in private memory, and are shown again, as it left them, with what follows; a process
   * that is killed has not recorded them. What it has let go it does not see any more. Masks see the bytes in the order
   * of the configuration, each what the one before has let go; a session with `record: off` is not shown to them. They
   * are called, as the only ones, when a verdict has ended the session and the client still says something. It is asked
   * for before anything that may fail, and if it cannot be had, the session is ended: of one that is ended before it is
   * masked by every plug-in that has a `mask`, nothing that the client says is recorded. Worker's thread. */
  size_t (*mask)(void *self, struct gg_live *session, struct gg_mask *piece);
  /* The longest thing that `mask` looks for, in bytes: at most GG_MASK_LONGEST_MAX. */
  size_t mask_longest;
  /* GG_MODE_OBSERVE: on a thread of the plug-in's own, of lower priority (nice 10), never two at once; it may block.
   * What it does not keep up with is dropped, oldest first and counted in `missed`: 8 MiB wait for it at the most.
   * Each direction that is observed ends with a call with `ended`, unless the gateway ends and the calls that are left
   * take longer than two seconds. A session can be looked up, tagged, throttled and cut by its key, as long as it is
   * open. */
  void (*observe)(void *self, const struct gg_observed *piece);
  /* The session has ended; it is in the recording, or will be. Worker's thread. */
  void (*close)(void *self, struct gg_live *session, const struct gg_session_summary *summary);

  /* Every `tick_interval_ns`, which is at least a millisecond, never two at once, on a thread of the plug-in's own: it
   * may block. Before `destroy`, the last one has returned. */
  void (*tick)(void *self);
  uint64_t tick_interval_ns;
  /* One of the plug-in's commands, by its index; at most 16 words, of at most 511 bytes. What is to be shown goes to
   * `reply` as text, by host->reply; an error is told to the user, GG_ERR_INVALID as one of his: the words are wrong.
   * Control socket's thread: not for long. */
  int (*command)(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                 struct gg_failure *failure);
  /* At a reload that finds file and options as they were: whether the instance must be made anew all the same, since
   * something that it has read has changed. Main thread; not for long, and sessions go on meanwhile. */
  bool (*stale)(void *self);

  /* The recording, as it is written: byte for byte what is in the store's files, after the disk has it. Of what the
   * entry's `sink` says:
   *   required     (the default) the recording's room is given back when the sink has it too, so a sink that is slow or
   *                fails is like a disk that is slow or full: on_stall and on_full say what becomes of sessions. After
   *                an error the same block comes again, every 100 ms
   *   best-effort  it comes from a bounded queue; what finds no room there, or was refused, does not come (`lost`), and
   *                is counted
   * A thread that may block: the recorder's writer (required) or the plug-in's own; never two at once. At the
   * gateway's end there are ten seconds for it. After a kill the next start completes files without the sink: `sealed`
   * tells it of them, unless that one is killed too before it comes to it. */
  int (*sink)(void *self, const struct gg_sink_block *block, struct gg_failure *failure);
  /* A file of the recording is complete: it was synced, and nothing will be added. Behind its last block, for a plug-in
   * that has `sink`. On a thread of the plug-in's own; it may block. */
  void (*sealed)(void *self, const struct gg_sealed *segment);

  /* In `gogetway replay --plugin`: the piece is about to be sent. PASS: what was given to host->emit goes instead, or
   * the piece if `emit` was not called (of no bytes: nothing goes). At most 1 MiB; more of it, and the connection is
   * reset. CLOSE, RESET: it ends here, orderly or with a RST. On the replay's thread: it must not block. There are no
   * sessions, so everything of the host that is about them says GG_ERR_NOT_FOUND; and no state directory. */
  enum gg_verdict_kind (*replay_send)(void *self, const struct gg_replay_piece *piece, struct gg_output *output);

  /* Decoders (decoder.h), which are asked before those that are built in when recorded sessions of any listener are
   * decoded for the catalogue (`decode: on`). Called on the decoding thread, one at a time; they delay nobody. The
   * tables live as long as the instance, whose `destroy` waits for them after a reload; what was decoded before they
   * came is left as it is. Their ABI number is their own, since decoder.h is unstable: a gateway of another one refuses
   * the plug-in, whatever GG_PLUGIN_ABI says. */
  const struct gg_decoder *const *decoders;
  size_t decoder_count;

  /* GG_MODE_GATE on a listener with `decode: inline`: what the side's bytes say, before `gate` is shown them and before
   * the last of them goes on: the head of a message when it is whole, and its end. The decoders that are built in tell
   * it, of the bytes that gates see, both sides', from the next read on; what they need of memory is at the most 1 MiB
   * a session, and then the rest is opaque. Nothing is told while it is not known whose protocol it is, which the
   * server's first bytes may have to say: who must not miss the first message, or wants to decide before the first byte
   * of a head has gone on, keeps bytes back in `gate` until this was called; a plug-in without `gate` passes all.
   * Verdict: PASS, and then nothing but its kind counts; CLOSE, RESET, TARPIT, REPLY: of the same read what stands
   * before the message is shown to the gates and goes on, and nothing behind; DIVERT: as from a gate. Its texts are
   * read when that was done. When a verdict has ended the session, nothing is told any more.
   * An end that nobody has seen (a reset, a cut) is not told. Worker's thread. */
  void (*message)(void *self, struct gg_live *session, const struct gg_spoken *spoken, struct gg_verdict *verdict);
  uint32_t message_abi; /* with `message`: GG_DECODER_ABI of decoder.h; a gateway of another one refuses the plug-in */
};

#define GG_PLUGIN_HEAD .abi = GG_PLUGIN_ABI, .size = sizeof(struct gg_plugin)
/* A table with its head and nothing else. C++ names no members in an initializer before C++20: there, a function fills
 * the rest in (examples/plugin-hello.cc). */
#ifdef __cplusplus
inline struct gg_plugin gg_plugin_init()
{
  struct gg_plugin plugin = gg_plugin();
  plugin.abi = GG_PLUGIN_ABI;
  plugin.size = sizeof plugin;
  return plugin;
}
#define GG_PLUGIN_INIT gg_plugin_init()
#else
#define GG_PLUGIN_INIT                                                                                                 \
  {                                                                                                                    \
    GG_PLUGIN_HEAD                                                                                                     \
  }
#endif

#ifdef __cplusplus
#define GG_PLUGIN_EXPORT extern "C" GG_API /* what is const is the file's own in C++ if nothing is said */
#else
#define GG_PLUGIN_EXPORT GG_API
#endif
/* The symbol that the loader looks for. A shared library defines it, as above; nobody else needs to. */
#define GG_PLUGIN_SYMBOL "gogetway_plugin"
GG_API extern const struct gg_plugin gogetway_plugin;

/* ── The host ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_mode { GG_MODE_NONE, GG_MODE_COUNT, GG_MODE_OBSERVE, GG_MODE_GATE, GG_MODE_REWRITE, GG_MODE_MASK };

enum gg_plugin_level { GG_PLUGIN_DEBUG, GG_PLUGIN_INFO, GG_PLUGIN_WARNING, GG_PLUGIN_ERROR };

/* What the gateway does for an instance; the first argument is always the host itself. Later versions have more at the
 * end: whoever wants to run with older ones looks at `size`. */
struct gg_host {
  uint32_t abi;
  uint32_t size;
  const char *gateway_version; /* "0.1.0" */
  /* A directory of the plug-in's own, made when it was loaded: <store>/plugins/<name>. An instance that takes another's
   * place, after a reload or in a process that takes over, has it while the other one ends. NULL in a replay. */
  const char *state_dir;

  /* One of the gateway's messages, under the plug-in's name. Any thread. */
  void (*log)(const struct gg_host *host, enum gg_plugin_level level, const char *text);
  /* Nanoseconds since 1970, and of CLOCK_MONOTONIC. Any thread. */
  uint64_t (*real_ns)(const struct gg_host *host);
  uint64_t (*mono_ns)(const struct gg_host *host);

  /* In callbacks of that session, on its worker's thread: */
  void (*key)(const struct gg_host *host, const struct gg_live *session, struct gg_session_key *out);
  /* As much as out->size says; without a size, nothing. */
  void (*info)(const struct gg_host *host, const struct gg_live *session, struct gg_session_info *out);
  /* What the plug-in keeps of this session: NULL at first. Freed by the plug-in, in `close` at the latest. */
  void (*state_set)(const struct gg_host *host, struct gg_live *session, void *state);
  void *(*state)(const struct gg_host *host, const struct gg_live *session);
  /* What it wants of the direction that comes from `from`, from the next read on. A gate that is given back passes what
   * it had kept back; a mask is called once more, with `ended`. GG_ERR_UNSUPPORTED: the plug-in has no such operation
   * (for a gate `gate`, or `message` on a listener that decodes inline); or GG_MODE_MASK with `sync: always`, or behind
   * `first`; or GG_MODE_OBSERVE of a session that is not recorded, or GG_MODE_REWRITE of the greeting of
   * `upstream: none`. GG_ERR_LIMIT: GG_MODE_OBSERVE, and it observes 131072 directions already, with those whose end it
   * has not been told. GG_ERR_NOMEM: an observer, or a gate that is told messages. On an error the mode stays as it
   * was. */
  int (*want)(const struct gg_host *host, struct gg_live *session, enum gg_side from, enum gg_mode mode);

  /* Any thread, callbacks too. GG_ERR_NOT_FOUND: there is no such session (any more). `throttle`, `cut` and `resume`
   * are orders to the session's worker, which carries them out soon. GG_ERR_AGAIN, GG_ERR_NOMEM: it could not take one
   * more, and the order is to be given again. */
  /* As much as out->size says. GG_ERR_INVALID: it has no size. */
  int (*find)(const struct gg_host *host, const struct gg_session_key *key, struct gg_session_info *out);
  /* Calls `each` for every open session; false from it ends the listing. They are copied a few at a time: one that
   * opens or ends meanwhile may be told or not. `each` calls nothing of the host but `reply` and `log`. Without memory
   * the listing ends before its time. */
  void (*list)(const struct gg_host *host, bool (*each)(void *context, const struct gg_session_info *info),
               void *context);
  /* Adds a tag, or takes it away. Tags are in the recording's last comment. GG_ERR_INVALID: no such tag can be.
   * GG_ERR_LIMIT: it has GG_TAGS_MAX of them. */
  int (*tag)(const struct gg_host *host, const struct gg_session_key *key, const char *tag, bool on);
  /* At most so many bytes a second from that side; 0: as many as there are. */
  int (*throttle)(const struct gg_host *host, const struct gg_session_key *key, enum gg_side from,
                  uint64_t bytes_per_second);
  /* CLOSE, RESET or TARPIT. */
  int (*cut)(const struct gg_host *host, const struct gg_session_key *key, const struct gg_verdict *verdict);
  /* Ends a HOLD of this plug-in, or decides about what its gate keeps back: PASS lets all but `keep` bytes of that go
   * on, any other is as from the gate. Without either, nothing happens. GG_ERR_INVALID: there is no such kind, or the
   * reply is too long. */
  int (*resume)(const struct gg_host *host, const struct gg_session_key *key, enum gg_side from,
                const struct gg_verdict *verdict);

  /* In `command` only: appends to what the user is shown. */
  void (*reply)(const struct gg_host *host, void *reply, const char *text);
  /* In `rewrite` and `replay_send` only: puts bytes out, which are copied. GG_ERR_LIMIT: more than relay.pending_max in
   * one call, or GG_ERR_NOMEM: nothing of these was taken, and the session ends as by a RESET when the callback has
   * returned. */
  int (*emit)(const struct gg_host *host, struct gg_output *output, const void *bytes, size_t length);
};

/* Fills a failure (NULL is fine) and returns `error`, as gg_fail of error.h, which a plug-in does not have. */
static inline int gg_plugin_fail(struct gg_failure *failure, int error, const char *format, ...) GG_PRINTF(3, 4);
static inline int gg_plugin_fail(struct gg_failure *failure, int error, const char *format, ...)
{
  va_list arguments;
  if (!failure || failure->code)
    return error;
  failure->code = error;
  va_start(arguments, format);
  vsnprintf(failure->message, sizeof failure->message, format, arguments);
  va_end(arguments);
  return error;
}

#ifdef __cplusplus
}
#endif
#endif
