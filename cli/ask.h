/* SPDX-License-Identifier: Apache-2.0 */
/* ask.h - for the commands that speak to a running gateway over the control socket in its store. */
#ifndef GG_CLI_ASK_H
#define GG_CLI_ASK_H

#include "common.h"

#include <jansson.h>

struct gg_cli_reply {
  json_t *object;
  char *text; /* the same, as it came */
  bool ok;    /* the gateway did it */
};

/* Asks. GG_EXIT_DONE: there is a reply, which may be one that says why not; otherwise it was told. */
int gg_cli_ask(const struct gg_cli *cli, const char *request, struct gg_cli_reply *out);
/* Asks every gateway that is at work on the store: after a takeover there are several. The reply is that of the first
 * that refuses, else of the first whose member `key` is not true, else of any. */
int gg_cli_ask_all(const struct gg_cli *cli, const char *request, const char *key, struct gg_cli_reply *out);
void gg_cli_reply_free(struct gg_cli_reply *reply);
/* Tells why the gateway did not do it. Returns GG_EXIT_FAILED. */
int gg_cli_reply_fail(const struct gg_cli_reply *reply);
/* Prints the texts of the reply's array `key`, one a line behind `head`. Returns how many. */
size_t gg_cli_reply_lines(const struct gg_cli_reply *reply, const char *key, const char *head, FILE *out);

#endif
