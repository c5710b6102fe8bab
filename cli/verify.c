/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c - the command that holds a recording against what it says of itself. */
#include "commands.h"
#include "store_common.h"

#include <inttypes.h>
#include <string.h>

enum { OPTION_JSON, OPTION_FILTER, JSON_BYTES = 4096 };

static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a problem, and one for the summary"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

struct verifying {
  bool json;
  uint64_t information;
};

static void report(void *context, const struct gg_problem *problem)
{
  struct verifying *verifying = context;
  verifying->information += problem->information;
  if (verifying->json) {
    char text[JSON_BYTES];
    size_t length = gg_problem_json(problem, text, sizeof text);
    fwrite(text, 1, length, stdout);
    fputs(length ? "\n" : "", stdout);
    return;
  }
  gg_cli_put_safe(stdout, problem->segment, strlen(problem->segment));
  printf(":%" PRIu64 ": %s%s%s%s: %s\n", problem->offset, problem->information ? "information: " : "",
         gg_problem_kind_text(problem->kind), problem->session[0] ? ": session " : "", problem->session, problem->text);
}

static void put_summary(const struct verifying *verifying, const struct gg_verify_result *result)
{
  if (verifying->json)
    printf("{\"summary\":true,\"segments\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"packets\":%" PRIu64
           ",\"bytes\":%" PRIu64 ",\"sessions\":%" PRIu64 ",\"problems\":%" PRIu64 ",\"information\":%" PRIu64
           ",\"unreadable\":%" PRIu64 "}\n",
           result->segments, result->blocks, result->packets, result->bytes, result->sessions, result->problems,
           verifying->information, result->unreadable);
  else
    printf("%" PRIu64 " segments, %" PRIu64 " packets, %" PRIu64 " sessions, %" PRIu64 " bytes of payload: %" PRIu64
           " problems\n",
           result->segments, result->packets, result->sessions, result->bytes, result->problems);
}

static int verify(const struct gg_cli *cli, const struct gg_cli_words *words, struct verifying *verifying)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_verify_result result;
  struct gg_store *store = NULL;
  struct gg_filter *filter = NULL;
  int status = gg_cli_parse_filter(words, &filter);
  if (status == GG_EXIT_DONE)
    status = gg_cli_open_store(cli, &store);
  if (status == GG_EXIT_DONE && gg_store_verify(store, filter, report, verifying, &result, &failure) != 0)
    status = gg_cli_fail("%s", failure.message);
  if (status == GG_EXIT_DONE) {
    put_summary(verifying, &result);
    if (result.unreadable)
      status = GG_EXIT_FAILED;
    else if (result.problems)
      status = GG_EXIT_DIFFERENCE;
  }
  gg_filter_destroy(filter);
  gg_store_close(store);
  return status;
}

static int run_verify(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_words words = {0};
  struct verifying verifying = {0};
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == OPTION_JSON)
      verifying.json = true;
    else if (what == OPTION_FILTER && gg_cli_add_filter(&words, args.value))
      continue;
    else if (what != GG_CLI_WORD || !gg_cli_add_word(&words, args.value))
      return GG_EXIT_USAGE;
  }
  return verify(cli, &words, &verifying);
}

const struct gg_command gg_command_verify = {
  .name = "verify",
  .summary = "check a recording: structure, checksums, continuity, counts",
  .synopsis = "[FILTER...] [--filter EXPR] [--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "One line a problem: segment:offset: kind: session: what. FILTER restricts which sessions' problems are told.\n"
    "Exit status: 0 no problem; 1 problems; 3 a file could not be read.\n"
    "\n"
    "examples:\n"
    "  gogetway verify\n"
    "  gogetway verify since=1d --json\n",
  .run = run_verify,
};
