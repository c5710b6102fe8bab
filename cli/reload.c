/* SPDX-License-Identifier: Apache-2.0 */
/* reload.c - `gogetway reload`: a running gateway reads its configuration again. */
#include "ask.h"
#include "commands.h"

static int tell(const struct gg_cli_reply *reply)
{
  if (!reply->ok && gg_cli_reply_lines(reply, "errors", "gogetway: ", stderr) > 0) {
    fputs("gogetway: nothing has changed\n", stderr);
    return GG_EXIT_FAILED;
  }
  if (!reply->ok)
    return gg_cli_reply_fail(reply);
  size_t lines = gg_cli_reply_lines(reply, "changed", "", stdout);
  lines += gg_cli_reply_lines(reply, "restart", "", stdout);
  if (lines == 0)
    puts("nothing has changed");
  gg_cli_reply_lines(reply, "warnings", "gogetway: ", stderr);
  return GG_EXIT_DONE;
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_reply reply;
  bool json;
  int status = gg_cli_take_json(argc, argv, &json);
  if (status != GG_EXIT_DONE)
    return status;
  gg_cli_ask(cli, 0, "{\"command\":\"reload\"}", &reply);
  status = json ? gg_cli_reply_put(&reply) : tell(&reply);
  gg_cli_reply_free(&reply);
  return status;
}

const struct gg_command gg_command_reload = {
  .name = "reload",
  .summary = "let a running gateway read its configuration again",
  .synopsis = "[--json]",
  .options = gg_cli_json_options,
  .option_count = sizeof gg_cli_json_options / sizeof gg_cli_json_options[0],
  .details =
    "The files and options that it was started with are read again, as by SIGHUP. What changed is printed, and\n"
    "what needs a restart to change. If anything is wrong, all of it is told, nothing changes, and the exit\n"
    "status is 3. No session is lost.\n",
  .run = run,
};
