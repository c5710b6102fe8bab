/* SPDX-License-Identifier: Apache-2.0 */
/* rotate.c - `gogetway rotate`: a running gateway ends all its segments now, so that they can be taken away. */
#include "ask.h"
#include "commands.h"

#include <time.h>

/* A disk that hangs is told of; the gateway goes on with it. */
enum { WAIT_SECONDS = 60, PAUSE_MS = 20 };

enum option { OPTION_JSON };
static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "the gateway's reply, one object"},
};

static bool is_rotated(const struct gg_cli_reply *reply)
{
  return json_is_true(json_object_get(reply->object, "rotated"));
}

/* Asks until the segments are sealed: of those too who drain since a takeover. Returns as gg_cli_ask. */
static int rotate(const struct gg_cli *cli, struct gg_cli_reply *reply)
{
  int status = gg_cli_ask_all(cli, "{\"command\":\"rotate\"}", "rotated", reply);
  for (int i = 0; status == GG_EXIT_DONE && reply->ok && !is_rotated(reply); i++) {
    if (i == WAIT_SECONDS * 1000 / PAUSE_MS)
      return GG_EXIT_DONE;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    gg_cli_reply_free(reply);
    status = gg_cli_ask_all(cli, "{\"command\":\"rotated\"}", "rotated", reply);
  }
  return status;
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_reply reply;
  bool json = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == GG_CLI_WORD)
      return gg_cli_wrong("rotate: unexpected word '%s'", args.value);
    if (what != OPTION_JSON)
      return GG_EXIT_USAGE;
    json = true;
  }
  int status = rotate(cli, &reply);
  if (status != GG_EXIT_DONE)
    return status;
  if (json)
    puts(reply.text);
  if (!reply.ok)
    status = json ? GG_EXIT_FAILED : gg_cli_reply_fail(&reply);
  else if (!is_rotated(&reply))
    status = gg_cli_fail("the segments are not sealed after %d s: the disk is slow; the gateway goes on with it",
                         WAIT_SECONDS);
  gg_cli_reply_free(&reply);
  return status;
}

const struct gg_command gg_command_rotate = {
  .name = "rotate",
  .summary = "end a running gateway's segments now",
  .synopsis = "[--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "Returns when every segment that was open is sealed: nothing is added to it any more. Sessions go on in new\n"
    "segments.\n",
  .run = run,
};
