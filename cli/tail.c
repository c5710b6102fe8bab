/* SPDX-License-Identifier: Apache-2.0 */
/* tail.c - the command that writes what is being recorded as one live capture. */
#include "commands.h"
#include "store_common.h"

#include <gogetway/control.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_FROM_START, POLL_INTERVAL_NS = 200000000 };

static const struct gg_cli_option options[] = {
  [OPTION_FROM_START] = {"from-start", 0, NULL, "what is in the store already comes first"},
};

static struct gg_tail *volatile signalled_tail;

static void on_signal(void)
{
  if (signalled_tail)
    gg_tail_stop(signalled_tail);
}

static void on_warning(void *context, const char *text)
{
  (void)context;
  fputs("gogetway: warning: ", stderr);
  gg_cli_put_safe(stderr, text, strlen(text));
  fputc('\n', stderr);
}

/* Until the gateway ends, nobody reads any more, or a signal comes. */
static int follow(const struct gg_cli *cli, struct gg_tail *tail, struct gg_failure *failure)
{
  for (bool asked = false; !gg_cli_signalled(); asked = true) {
    char *reply = NULL;
    struct gg_failure refused = GG_FAILURE_INIT;
    int error = gg_control_call_all(cli->dir, "{\"command\":\"logs\"}", &reply, &refused);
    bool ended = error == GG_ERR_NOT_FOUND || error == GG_ERR_CLOSED;
    if (ended && asked)
      return gg_tail_finish(tail, failure);
    if (ended)
      return gg_fail(failure, GG_ERR_NOT_FOUND, "no gateway records into %s now; 'gogetway export' writes what it has",
                     cli->dir);
    if (error == 0)
      error = gg_tail_update(tail, reply, failure);
    else if (error == GG_ERR_TIMEOUT && asked)
      error = 0; /* busy: ask again */
    else
      gg_fail(failure, error, "%s", refused.message);
    free(reply);
    if (error)
      return error;
    if (!gg_cli_pause(POLL_INTERVAL_NS))
      return 0;
  }
  return 0;
}

static int run_tail(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  bool from_start = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == GG_CLI_WORD)
      return gg_cli_wrong("tail: '%s'? tail takes no words: it writes everything", args.value);
    if (what != OPTION_FROM_START)
      return GG_EXIT_USAGE;
    from_start = true;
  }
  if (isatty(STDOUT_FILENO) == 1)
    return gg_cli_wrong("tail: a capture is not for a terminal; gogetway tail | tshark -r -");
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_store *store = NULL;
  struct gg_tail *tail = NULL;
  int status = gg_cli_open_store(cli, &store);
  if (status != GG_EXIT_DONE)
    return status;
  int error = gg_tail_create(&tail, store, STDOUT_FILENO, from_start, &failure);
  signalled_tail = tail;
  gg_cli_catch_signals(on_signal);
  if (!error) {
    gg_tail_on_warning(tail, on_warning, NULL);
    error = follow(cli, tail, &failure);
  }
  /* Who stopped reading has what he wanted. */
  if (error && !(error == GG_ERR_CLOSED && gg_cli_stdout_gone()))
    status = gg_cli_store_fail(&failure);
  signalled_tail = NULL;
  gg_tail_destroy(tail);
  gg_store_close(store);
  return status;
}

const struct gg_command gg_command_tail = {
  .name = "tail",
  .summary = "write what is being recorded as one live pcapng stream",
  .synopsis = "[--from-start]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "Packets of all workers come in order of time, at most the gateway's flush interval behind. It ends when the\n"
    "gateway does, when nobody reads any more, or by a signal; then soon, and behind a whole packet. Nothing is "
    "masked:\n"
    "credentials are in there as they were said.\n"
    "\n"
    "examples:\n"
    "  gogetway tail | tshark -r -\n"
    "  gogetway tail --from-start | wireshark -k -i -\n",
  .run = run_tail,
};
