/* SPDX-License-Identifier: Apache-2.0 */
/**
 * gateway.h - a recording gateway inside your own program.
 *
 *   const char *arguments[] = {"--listen", "127.0.0.1:9000", "--upstream", "127.0.0.1:80", "--dir", "rec"};
 *   struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
 *   struct gg_failure failure = GG_FAILURE_INIT;
 *   struct gg_gateway *gateway = NULL;
 *
 *   options.arguments = arguments;
 *   options.argument_count = 6;
 *   if (gg_gateway_create(&gateway, &options, &failure) || gg_gateway_start(gateway, &failure))
 *     fprintf(stderr, "%s\n", failure.message);
 *   else
 *     gg_gateway_wait(gateway, &failure);            // until another thread, or a signal, ends it
 *   gg_gateway_destroy(gateway);
 *
 * (examples/embed-gateway.c is a whole program.) What the gateway does is said in the words of the command line:
 * everything after `gogetway run`, `-c FILE` for a configuration file included; docs/config.md has them all. The
 * program itself is no more than this API, a signal handler and its output.
 *
 *      create ──► start ──► (runs on its own threads) ──► drain ──► ended ──► destroy
 *                                    │                      │         ▲
 *                                    └──────── stop ────────┴─────────┘         wait returns when it has ended
 *
 * The library installs no signal handler and writes to no descriptor that it was not given. A program that embeds it
 * should ignore SIGPIPE, and raise RLIMIT_NOFILE to what its sessions need (two descriptors each, four more for those
 * that are spliced).
 *
 * Several gateways may live in one process, each with a store of its own.
 *
 * A program with an event loop of its own needs no thread that waits: `polled`, gg_gateway_fd, gg_gateway_poll.
 *
 * Thread: create, start, wait and destroy: one thread at a time. drain, stop, signal: any thread and signal handlers,
 * between create and destroy. reload and the rest: any thread between start and destroy.
 */
#ifndef GOGETWAY_GATEWAY_H
#define GOGETWAY_GATEWAY_H

#include <gogetway/error.h>
#include <gogetway/plugin.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gg_gateway;

/* A line of text without its newline; it lives for the call. */
typedef void (*gg_line_fn)(void *context, const char *line, size_t length);

struct gg_gateway_options {
  size_t size;
  const char *const *arguments; /* as after `gogetway run`; needed during gg_gateway_create only */
  size_t argument_count;
  /* Called by gg_gateway_create for everything that is wrong with the arguments and the files they name, each as
   * "file:line:column: message" or "--option: message". May be NULL. */
  gg_line_fn on_config_error;
  /* The gateway's own messages go to `log` if it is not NULL (JSON, one object a line; called on any thread, several
   * at once; those threads relay and write, so it must not wait), else to the descriptor `log_fd` if it is not
   * negative, else nowhere. A line that `log_fd` has no room for, as a full pipe, is dropped, and the next one says how
   * many were: "lost": N. */
  gg_line_fn log;
  int log_fd;
  void *context; /* of the functions above */
  /* The process is the gateway's alone, as the program's is: it becomes the configured `user`, confines itself to its
   * `sandbox` and speaks to a service manager that is named in the environment (sd_notify(3)). gg_gateway_start is then
   * called by the only thread there is. False, as by default: all three are left alone, and `user` is refused. */
  bool own_process;
  /* The program's own event loop drives the gateway: gg_gateway_fd and gg_gateway_poll instead of gg_gateway_wait. It
   * then has one worker, on the thread that polls: `workers` of more is refused (GG_ERR_INVALID), and so is
   * own_process. */
  bool polled;
};
#ifdef __cplusplus
inline struct gg_gateway_options
gg_gateway_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_gateway_options options = gg_gateway_options();
  options.size = sizeof options;
  options.log_fd = -1;
  return options;
}
#define GG_GATEWAY_OPTIONS_INIT gg_gateway_options_init()
#else
#define GG_GATEWAY_OPTIONS_INIT                                                                                        \
  {                                                                                                                    \
    .size = sizeof(struct gg_gateway_options), .log_fd = -1                                                            \
  }
#endif

/* Reads the arguments and the files they name, and opens the plug-ins that these name, to judge them; nothing else is
 * opened, made or started yet.
 * GG_ERR_FORMAT and others: something in them is wrong (all of it was told to on_config_error; the failure has the
 * first);
 * GG_ERR_NOT_FOUND, DENIED, IO: a file could not be read; GG_ERR_TIMEOUT: one is a pipe, and its other end is silent;
 * GG_ERR_INVALID: a size that this library does not know. */
GG_API int gg_gateway_create(struct gg_gateway **out, const struct gg_gateway_options *options,
                             struct gg_failure *failure);

/* What the arguments ask for. All but RUN have a text instead of a gateway, and cannot be started. */
enum gg_gateway_action {
  GG_GATEWAY_RUN,
  GG_GATEWAY_CHECK, /* --check-config: it was checked */
  GG_GATEWAY_PRINT, /* --print-config: the text is YAML that reads back as the same configuration */
  GG_GATEWAY_HELP,  /* --help: the text is the list of options */
};
GG_API enum gg_gateway_action gg_gateway_action(const struct gg_gateway *gateway);
/* The text of the action, to be freed with free(3); an empty one where there is none; NULL without memory. */
GG_API char *gg_gateway_text(const struct gg_gateway *gateway);
/* The options as --help lists them, to be freed with free(3); NULL without memory. Needs no gateway. */
GG_API char *gg_gateway_help(void);

/* What to do with the recording for a plug-in that gets it (`sink` of plugin.h). */
enum gg_plugin_sink {
  GG_PLUGIN_SINK_DEFAULT,     /* required */
  GG_PLUGIN_SINK_REQUIRED,    /* slow or failing, it is like a disk that is slow or full */
  GG_PLUGIN_SINK_BEST_EFFORT, /* what it is too slow for, or refuses, it does not get */
};

/* What an entry of the configuration's `plugins` may say besides its path. */
struct gg_plugin_add_options {
  size_t size;
  const char *config;           /* what would stand below `config:`, in YAML, as "{max_bytes: 64KiB}"; NULL: nothing */
  const char *const *listeners; /* names of the listeners whose sessions it sees ... */
  size_t listener_count;        /* ... so many; 0: of all */
  enum gg_plugin_sink sink;     /* not DEFAULT: only of a plug-in that has `sink` (GG_ERR_INVALID) */
};
#ifdef __cplusplus
inline struct gg_plugin_add_options
gg_plugin_add_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_plugin_add_options options = gg_plugin_add_options();
  options.size = sizeof options;
  return options;
}
#define GG_PLUGIN_ADD_OPTIONS_INIT gg_plugin_add_options_init()
#else
#define GG_PLUGIN_ADD_OPTIONS_INIT                                                                                     \
  {                                                                                                                    \
    .size = sizeof(struct gg_plugin_add_options)                                                                       \
  }
#endif

/* Adds a plug-in of the program's own, by its table (plugin.h), as if it stood last in the configuration's `plugins`.
 * `options` may be NULL. They are needed for the call only; the table, and what it points to, until gg_gateway_destroy.
 * It stays when the configuration is read again, and sees new listeners, too, if it sees all. Its create is called by
 * gg_gateway_start.
 *
 * To be called between create and start, on their thread. GG_ERR_UNSUPPORTED: the table has another ABI, or a size that
 * cannot be; GG_ERR_INVALID: something in the table is wrong, or the gateway was started already; GG_ERR_FORMAT:
 * something in `config` is wrong; GG_ERR_EXISTS: there is a plug-in of that name; GG_ERR_NOT_FOUND: there is no such
 * listener; GG_ERR_LIMIT: too many plug-ins; GG_ERR_NOMEM. The failure says what. Nothing was added then. */
GG_API int gg_gateway_plugin_add(struct gg_gateway *gateway, const struct gg_plugin *table,
                                 const struct gg_plugin_add_options *options, struct gg_failure *failure);

/* Opens the store, recovers what a killed process left, binds the listeners and begins to accept. Names of upstreams
 * that do not resolve are warned of. On failure everything is undone and the gateway can be destroyed.
 * GG_ERR_BUSY: another gateway has the store (the failure names its process), or a port is in use. */
GG_API int gg_gateway_start(struct gg_gateway *gateway, struct gg_failure *failure);

/* No new sessions; those that are open go on until they end, or timeouts.drain has passed. */
GG_API void gg_gateway_drain(struct gg_gateway *gateway);
/* The same without the patience: open sessions are closed now, and recorded so. */
GG_API void gg_gateway_stop(struct gg_gateway *gateway);
/* Reads the arguments and the files they name again, and goes over to what they say now: listeners that are new, gone
 * or changed, upstreams, limits, time-outs, the messages' level. No open session is lost, and no connection that waits.
 * What needs a new process keeps its value, is told, and everything else is applied (docs/config.md says which).
 * `tell`, which may be NULL, gets a line for each change, for each option that needs a restart and for each name that
 * does not resolve; or, on failure, for everything that is wrong. Returns when all is done, at the latest after 30 s.
 *
 * On failure nothing has changed: GG_ERR_FORMAT and others as gg_gateway_create; GG_ERR_BUSY: a new listener's port is
 * in use; GG_ERR_INVALID: the gateway does not run, or is ending; GG_ERR_TIMEOUT: it is not done yet, the messages will
 * tell. Any thread but the one that is in gg_gateway_wait, which has to be: it carries this out. (Of a gateway that is
 * polled: gg_gateway_poll.) */
GG_API int gg_gateway_reload(struct gg_gateway *gateway, gg_line_fn tell, void *context, struct gg_failure *failure);

/* ── Listeners and upstreams at run time ─────────────────────────────────────────────────────────────────────────────
 * A change of one thing, carried out by a reload: the arguments and files are read again, and then everything that the
 * program has added and removed so far is done to what they say. So it stays when the configuration is read again
 * later, by a signal or otherwise, and the words of a file have no say in it: a listener that was removed is not there,
 * though the file has it. Open sessions go on as with any reload; on an error nothing has changed.
 *
 * GG_ERR_EXISTS, NOT_FOUND: there is one of that name, or none; GG_ERR_FORMAT: the text is wrong; GG_ERR_LIMIT: too
 * many listeners, upstreams of one, or 256 things that differ from the files; others as gg_gateway_reload. The failure
 * says what. GG_ERR_TIMEOUT: it is not decided yet; what comes of it the messages tell, and the next change waits for
 * it. Threads as gg_gateway_reload; all that is given is copied. */

/* `yaml`: what stands for one listener in a configuration, as "{name: db, listen: ':5432', upstream: [10.0.0.1:5432,
 * 10.0.0.2:5432]}", with name, listen and upstream at the least. */
GG_API int gg_gateway_listener_add(struct gg_gateway *gateway, const char *yaml, struct gg_failure *failure);
/* By its name. The last one cannot be removed. */
GG_API int gg_gateway_listener_remove(struct gg_gateway *gateway, const char *name, struct gg_failure *failure);
/* `upstream`: as in a configuration, "10.0.0.3:5432 weight=2 name=c"; its name is its address if it is given none. */
GG_API int gg_gateway_upstream_add(struct gg_gateway *gateway, const char *listener, const char *upstream,
                                   struct gg_failure *failure);
/* By its name. The last one of a listener cannot be removed (GG_ERR_INVALID). */
GG_API int gg_gateway_upstream_remove(struct gg_gateway *gateway, const char *listener, const char *name,
                                      struct gg_failure *failure);

/* Does what the program does on a signal: SIGHUP reloads, and the messages say what came of it; SIGTERM, SIGINT and any
 * other number drain at first, and stop if the gateway was told to drain before, by a signal or otherwise. */
GG_API void gg_gateway_signal(struct gg_gateway *gateway, int signal_number);

/* Returns when the gateway has ended and everything is on disk (not for one that is polled: GG_ERR_INVALID); also
 * writes `stats.file`, if one is configured. GG_ERR_NO_SPACE, GG_ERR_TIMEOUT: the disk took no more; what was left is
 * kept in the log's rings, and the next start on this store writes it. GG_ERR_IO and others: the failure says what. The
 * gateway has ended in any case. */
GG_API int gg_gateway_wait(struct gg_gateway *gateway, struct gg_failure *failure);

/* ── With the program's own event loop ───────────────────────────────────────────────────────────────────────────────
 * For gg_gateway_options.polled. Sessions, requests and reloads are then served inside gg_gateway_poll, on the thread
 * that calls it, and so are the callbacks of plug-ins that come from sessions. The gateway still has threads for what
 * may wait: the log's writer and its sync, names, the control socket, active checks, the metrics file, plug-ins' ticks,
 * observers and sinks; they deliver no signals, and none of them forwards a byte. As long as nobody polls, nothing is
 * accepted or forwarded, and no time-out comes true.
 *
 * examples/embed-event-loop.c is a whole program. */

/* A descriptor that is readable (as poll(2) says, or epoll(7) without EPOLLET) while there is something to do,
 * time-outs included. It is the gateway's, the same from create to destroy, and only to be waited for. -1: the gateway
 * is not polled. Any thread. */
GG_API int gg_gateway_fd(const struct gg_gateway *gateway);

enum { GG_GATEWAY_GOES_ON = 1 };
/* Waits until there is something to do, `timeout_ms` milliseconds at the most (0: not at all; negative: without a
 * bound), does a bounded part of it, and returns GG_GATEWAY_GOES_ON; the descriptor is still readable if there is more.
 * When the gateway has ended, which gg_gateway_drain, stop and signal ask for as elsewhere, and everything is on disk,
 * it returns as gg_gateway_wait does: 0, or the error. After that, the gateway can only be destroyed.
 *
 * What may take longer than asked: a reload, which reads files, and waits a second at the most for names that are new;
 * plug-ins' create and destroy, which come with a reload and with the end.
 *
 * GG_ERR_INVALID: the gateway is not polled, does not run, or is in a poll already (it was called by a callback).
 * Thread: the one that called start, always the same. The gg_gateway_reload of that thread is carried out at once, but
 * refused in a callback (GG_ERR_INVALID). */
GG_API int gg_gateway_poll(struct gg_gateway *gateway, int timeout_ms, struct gg_failure *failure);

/* Stops and waits first if that was not done. NULL is fine. */
GG_API void gg_gateway_destroy(struct gg_gateway *gateway);

/* The address at which listener `index` (from 0) listens, with the port that the system chose if 0 was asked for. The
 * length of the text, which always ends in NUL; 0: there is no such listener. */
GG_API size_t gg_gateway_listener(const struct gg_gateway *gateway, size_t index, char *text, size_t size);

/* Version, process, state, listeners and all metrics as one JSON object, as the control socket's "stats" (control.h)
 * has them. *json ends in NUL and is to be freed with free(3); NULL on an error.
 * GG_ERR_INVALID: the gateway was not started, or could not be; GG_ERR_NOMEM; GG_ERR_LIMIT: it is more than 4 MiB.
 * Any thread between start and destroy. Takes the time of a look at every counter: for once a second, not for each
 * session. */
GG_API int gg_gateway_stats(const struct gg_gateway *gateway, char **json, struct gg_failure *failure);

/* ── Open sessions ───────────────────────────────────────────────────────────────────────────────────────────────────
 * What a plug-in's host does by the key of a session (plugin.h), for the program: the same operations, with the same
 * errors. GG_ERR_NOT_FOUND: there is no such session, or it has ended, or the gateway has. Any thread between start and
 * destroy, callbacks of plug-ins too, but not from inside `each`. They wait for nobody but, for moments, for a worker
 * that opens or closes a session just then. */

/* What is known of a session, as much as out->size says (GG_SESSION_INFO_INIT). GG_ERR_INVALID: it has no size. */
GG_API int gg_gateway_session_find(const struct gg_gateway *gateway, const struct gg_session_key *key,
                                   struct gg_session_info *out);
/* Calls `each` for every open session, on the calling thread; false from it ends the listing. `info` lives for the
 * call. They are copied a few at a time: one that opens or ends meanwhile may be told or not. `each` calls nothing of
 * the gateway's: keys are noted, and used when the listing is done. Without memory it ends before its time. */
GG_API void gg_gateway_sessions(const struct gg_gateway *gateway,
                                bool (*each)(void *context, const struct gg_session_info *info), void *context);
/* Adds a tag, or takes it away. Tags are in the recording's last comment of the session. GG_ERR_INVALID: no such tag
 * can be; GG_ERR_LIMIT: it has GG_TAGS_MAX of them; GG_ERR_NOMEM. */
GG_API int gg_gateway_session_tag(struct gg_gateway *gateway, const struct gg_session_key *key, const char *tag,
                                  bool on);
/* The next two are orders: the session's worker carries them out in its next turn, and one for a session that has ended
 * by then comes to nothing. GG_ERR_AGAIN: 65536 orders wait for that worker; GG_ERR_NOMEM. */

/* At most so many bytes a second from that side; 0: as many as there are. GG_ERR_INVALID: there is no such side. */
GG_API int gg_gateway_session_throttle(struct gg_gateway *gateway, const struct gg_session_key *key, enum gg_side from,
                                       uint64_t bytes_per_second);
/* Ends it by a verdict of CLOSE, RESET or TARPIT (any other: GG_ERR_INVALID), whose reason, copied, is in the
 * recording. */
GG_API int gg_gateway_session_cut(struct gg_gateway *gateway, const struct gg_session_key *key,
                                  const struct gg_verdict *verdict);

#ifdef __cplusplus
}
#endif
#endif
