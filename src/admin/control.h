/* SPDX-License-Identifier: Apache-2.0 */
/**
 * control.h - the control socket: `<store>/control`, a unix stream socket that answers the program's live commands.
 *
 * One JSON object a line each way (include/gogetway/control.h has the requests). The socket has mode 0600, in a
 * directory of mode 0700, and besides every peer's credentials are checked: the same user, or root. What a peer sends
 * is hostile until parsed: lines, clients, idle time and replies are bounded, and a client that does not read its reply
 * is not read from.
 *
 * Thread: start and stop on the engine's thread. Commands run on the admin thread, one at a time; they must not block
 * for long, since all clients wait meanwhile.
 */
#ifndef GG_ADMIN_CONTROL_H
#define GG_ADMIN_CONTROL_H

#include "base/json.h"
#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gg_control;
struct gg_logger;

enum {
  GG_CONTROL_LINE_MAX = 64 * 1024,        /* a request, with its newline */
  GG_CONTROL_REPLY_MAX = 4 * 1024 * 1024, /* a reply, with its newline: the metrics of 64 listeners fit */
  GG_CONTROL_CLIENTS_MAX = 16,
  GG_CONTROL_BACKLOG = 16,
  GG_CONTROL_CALL_SECONDS = 5, /* that who asks waits for the reply */
  GG_CONTROL_COMMAND_MAX = 32, /* a command's or an argument's name, with its NUL */
  GG_CONTROL_VALUE_MAX = 512,  /* an argument's value, with its NUL */
  GG_CONTROL_ARGUMENTS_MAX = 8,
  GG_CONTROL_WORDS_MAX = 16,
  /* Descriptors with one reply: a lock, processes, each worker's listeners, a parent's sockets. */
  GG_CONTROL_FDS_MAX = 1 + 64 + 64 * 64 + 256,
};
#define GG_CONTROL_IDLE_NS UINT64_C(60000000000) /* a client that asks nothing for so long is closed */

/* A request line, parsed: {"command":"drain","listener":"web","upstream":"a"}. Values are texts, numbers, true and
 * false; all are kept as text. "words" is a list of such values, in their order. */
struct gg_control_request {
  char command[GG_CONTROL_COMMAND_MAX];
  struct gg_control_argument {
    char name[GG_CONTROL_COMMAND_MAX];
    char value[GG_CONTROL_VALUE_MAX];
  } arguments[GG_CONTROL_ARGUMENTS_MAX];
  unsigned argument_count;
  char words[GG_CONTROL_WORDS_MAX][GG_CONTROL_VALUE_MAX];
  unsigned word_count;
  uint64_t client; /* who asks: one number a connection, never 0 and never used again; set by the socket */
  pid_t pid;       /* its process, by its credentials */
};
/* Pure; any thread. */
int gg_control_request_parse(struct gg_control_request *out, const char *line, size_t length,
                             struct gg_failure *failure);
/* An argument's value; NULL: it was not given. */
const char *gg_control_argument(const struct gg_control_request *request, const char *name);

struct gg_control_command {
  const char *name;
  const char *help; /* one line */
  /* Writes its fields into `reply`, an open object that has "ok":true already. On an error, the reply says "ok":false
   * and the failure's message, and what was written is dropped. */
  int (*run)(void *context, const struct gg_control_request *request, struct gg_json *reply,
             struct gg_failure *failure);
  /* After a run that succeeded: descriptors to be sent with the reply, at most GG_CONTROL_FDS_MAX; the array is to be
   * freed with free(3), and all in it closed, by the socket. Returns how many. NULL: there are none. */
  size_t (*descriptors)(void *context, int **fds);
};

/* For a command that fails with more to tell than one sentence: begins the reply anew, with "ok":false and the
 * failure's message. The command adds its fields and returns 0. */
void gg_control_refuse(struct gg_json *reply, const struct gg_failure *failure);

struct gg_control_options {
  const char *dir; /* the store, copied; whoever starts a control socket holds its lock: one left there is replaced */
  const struct gg_control_command *commands; /* borrowed; "help" is added by itself */
  size_t command_count;
  void *context; /* of the commands */
  /* A connection was closed, by whichever side, or the socket ends; on the admin thread. May be NULL. */
  void (*gone)(void *context, uint64_t client);
  /* Whether a client that has said nothing for long is at work on what it asked for, and not idle; on the admin thread.
   * May be NULL: none is. */
  bool (*busy)(void *context, uint64_t client);
  struct gg_logger *logger;
  /* No other process is at work on the store: sockets that earlier ones left are removed. Else those on which nobody
   * listens any more are; no other process may be about to start its socket just then. */
  bool alone;
  uint64_t idle_timeout_ns; /* a client that neither asks nor reads for so long is closed; 0: 60 s */
};

/* Binds the socket and runs the admin thread. Nobody finds the socket yet: it has a name of its own. */
int gg_control_start(struct gg_control **out, const struct gg_control_options *options, struct gg_failure *failure);
/* Gives it its name, in the place of any socket that has it: from now on clients come here. Engine's thread. */
int gg_control_publish(struct gg_control *control, struct gg_failure *failure);
/* Another process is about to publish its own: this one gets the name "control.<pid>" besides, by which it can be asked
 * until it ends, and leaves "control" alone from now on. Any thread. */
int gg_control_step_aside(struct gg_control *control, struct gg_failure *failure);
/* A process that stepped aside, or that had not published yet, has ended, perhaps by a kill: removes the name that it
 * had. Any thread. NULL is fine. */
void gg_control_forget(struct gg_control *control, long pid);
/* Ends the thread, closes all clients, removes the socket. NULL is fine. */
void gg_control_stop(struct gg_control *control);

/* ── The other side, for several requests over one connection, and for descriptors ───────────────────────────────── */

struct gg_control_peer;
/* As gg_control_call, whose errors these have too. */
int gg_control_connect(struct gg_control_peer **out, const char *dir, struct gg_failure *failure);
/* To one that has stepped aside, and is none of the `count` processes in `not`. GG_ERR_NOT_FOUND: there is no other. */
int gg_control_connect_aside(struct gg_control_peer **out, const char *dir, const pid_t * not, size_t count,
                             struct gg_failure *failure);
pid_t gg_control_peer_pid(const struct gg_control_peer *peer);
/* One request, one reply within `bound_ns`. At most `most` descriptors are taken from the reply: *count of them are in
 * `fds`, the caller's to close, on success only. More are closed, and GG_ERR_LIMIT; with `most` 0 any are closed. */
int gg_control_ask(struct gg_control_peer *peer, const char *request_json, uint64_t bound_ns, char **reply_json,
                   int *fds, size_t most, size_t *count, struct gg_failure *failure);
/* After GG_ERR_TIMEOUT of gg_control_ask: waits on for the same reply, without descriptors; may be called again. */
int gg_control_hear(struct gg_control_peer *peer, uint64_t bound_ns, char **reply_json, struct gg_failure *failure);
void gg_control_disconnect(struct gg_control_peer *peer); /* NULL is fine */

/* For this room's own files: why a store cannot be opened, and a connection to the socket of that name in one. */
int gg__control_no_directory(int errno_value, const char *dir, struct gg_failure *failure);
int gg__control_connect(struct gg_control_peer **out, const char *dir, const char *name, struct gg_failure *failure);

#endif
