/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.h - for the commands that speak to a running gateway over the control socket in its store.
 *
 * Whatever goes wrong, there is a reply: where the gateway gave none, one is made that says "ok":false and why, as the
 * gateway's own refusals do. So with --json all that such a command has to say is on standard output, in one form:
 *
 *     the gateway's reply, as it came                           exit status 0
 *     {"ok":false,"error":"no gateway runs on rec: ..."}        exit status 3
 *
 * and without it the error is a line on standard error. Only a command line that is wrong is told there either way.
 */
#ifndef GG_CLI_ASK_H
#define GG_CLI_ASK_H

#include "common.h"

#include <jansson.h>

struct gg_cli_reply {
  json_t *object; /* NULL, as the text: out of memory */
  char *text;     /* the same, as it came */
  bool ok;        /* the gateway did it */
  bool unreached; /* no gateway was found to ask */
};

/* The options of a command that has no other than --json, and reading them. Returns GG_EXIT_DONE, or GG_EXIT_USAGE
 * after telling. */
extern const struct gg_cli_option gg_cli_json_options[1];
int gg_cli_take_json(int argc, char **argv, bool *json);

/* Asks the gateway that serves; with a `pid`, the process of that id; 0: none. */
void gg_cli_ask(const struct gg_cli *cli, long pid, const char *request, struct gg_cli_reply *out);
/* Asks every gateway that is at work on the store: after a takeover there are several. The reply is that of the first
 * that refuses, else of the first whose member `key` is not true, else of any. */
void gg_cli_ask_all(const struct gg_cli *cli, const char *request, const char *key, struct gg_cli_reply *out);
void gg_cli_reply_free(struct gg_cli_reply *reply);
/* In the place of whatever the reply was: a refusal, in words of our own. */
void gg_cli_reply_refuse(struct gg_cli_reply *reply, const char *format, ...) GG_PRINTF(2, 3);

/* For --json: prints the reply. Returns GG_EXIT_DONE, or of a refusal GG_EXIT_FAILED. */
int gg_cli_reply_put(const struct gg_cli_reply *reply);
/* Tells on standard error why the gateway did not do it. Returns GG_EXIT_FAILED. */
int gg_cli_reply_fail(const struct gg_cli_reply *reply);
/* Prints the texts of the reply's array `key`, one a line behind `head`. Returns how many. */
size_t gg_cli_reply_lines(const struct gg_cli_reply *reply, const char *key, const char *head, FILE *out);

#endif
