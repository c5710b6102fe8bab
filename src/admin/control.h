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
#include <stddef.h>
#include <stdint.h>

struct gg_control;
struct gg_logger;

enum {
  GG_CONTROL_LINE_MAX = 64 * 1024,        /* a request, with its newline */
  GG_CONTROL_REPLY_MAX = 4 * 1024 * 1024, /* a reply, with its newline: the metrics of 64 listeners fit */
  GG_CONTROL_CLIENTS_MAX = 16,
  GG_CONTROL_COMMAND_MAX = 32, /* a command's or an argument's name, with its NUL */
  GG_CONTROL_VALUE_MAX = 512,  /* an argument's value, with its NUL */
  GG_CONTROL_ARGUMENTS_MAX = 8,
};

/* A request line, parsed: {"command":"drain","listener":"web","upstream":"a"}. Values are texts, numbers, true and
 * false; all are kept as text. */
struct gg_control_request {
  char command[GG_CONTROL_COMMAND_MAX];
  struct gg_control_argument {
    char name[GG_CONTROL_COMMAND_MAX];
    char value[GG_CONTROL_VALUE_MAX];
  } arguments[GG_CONTROL_ARGUMENTS_MAX];
  unsigned argument_count;
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
};

struct gg_control_options {
  const char *dir; /* the store; whoever starts a control socket holds its lock: a socket left there is replaced */
  const struct gg_control_command *commands; /* borrowed; "help" is added by itself */
  size_t command_count;
  void *context; /* of the commands */
  struct gg_logger *logger;
  uint64_t idle_timeout_ns; /* a client that neither asks nor reads for so long is closed; 0: 60 s */
};

/* Binds the socket and runs the admin thread. */
int gg_control_start(struct gg_control **out, const struct gg_control_options *options, struct gg_failure *failure);
/* Ends the thread, closes all clients, removes the socket. NULL is fine. */
void gg_control_stop(struct gg_control *control);

#endif
