/* SPDX-License-Identifier: Apache-2.0 */
/* rotate.c - `gogetway rotate`: a running gateway ends all its segments now, so that they can be taken away. */
#include "ask.h"
#include "commands.h"

#include <time.h>

/* A disk that hangs is told of; the gateway goes on with it. */
enum { WAIT_SECONDS = 60, PAUSE_MS = 20 };

static bool is_rotated(const struct gg_cli_reply *reply)
{
  return json_is_true(json_object_get(reply->object, "rotated"));
}

/* Asks until the segments are sealed: of those too who drain since a takeover. */
static void rotate(const struct gg_cli *cli, struct gg_cli_reply *reply)
{
  gg_cli_ask_all(cli, "{\"command\":\"rotate\"}", "rotated", reply);
  for (int i = 0; reply->ok && !is_rotated(reply); i++) {
    if (i == WAIT_SECONDS * 1000 / PAUSE_MS) {
      gg_cli_reply_refuse(
        reply, "the segments are not sealed after %d s: the disk is slow; the gateway goes on with it", WAIT_SECONDS);
      return;
    }
    clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    gg_cli_reply_free(reply);
    gg_cli_ask_all(cli, "{\"command\":\"rotated\"}", "rotated", reply);
  }
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_reply reply;
  bool json;
  int status = gg_cli_take_json(argc, argv, &json);
  if (status != GG_EXIT_DONE)
    return status;
  rotate(cli, &reply);
  if (json)
    status = gg_cli_reply_put(&reply);
  else if (!reply.ok)
    status = gg_cli_reply_fail(&reply);
  gg_cli_reply_free(&reply);
  return status;
}

const struct gg_command gg_command_rotate = {
  .name = "rotate",
  .summary = "end a running gateway's segments now",
  .synopsis = "[--json]",
  .options = gg_cli_json_options,
  .option_count = sizeof gg_cli_json_options / sizeof gg_cli_json_options[0],
  .details =
    "Returns when every segment that was open is sealed: nothing is added to it any more. Sessions go on in new\n"
    "segments.\n",
  .run = run,
};
