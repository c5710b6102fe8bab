/* SPDX-License-Identifier: Apache-2.0 */
/* reindex.c - the command that makes the catalogue anew. */
#include "commands.h"
#include "store_common.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_JSON, OPTION_CHECK, BAR_COLUMNS = 30, PROGRESS_INTERVAL_NS = 200000000 };

static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "the summary as one JSON object"},
  [OPTION_CHECK] = {"check", 0, NULL, "only compare a new one with the catalogue that is there"},
};

struct reindexing {
  bool terminal, drawn;
  uint64_t began_ns, told_ns;
};

/* "[####------]  42%  1.2G of 2.9G, 310M/s, 5s left" */
static bool tell_progress(void *context, uint64_t done, uint64_t total)
{
  struct reindexing *reindexing = context;
  char read[GG_CLI_NUMBER_MAX], all[GG_CLI_NUMBER_MAX], rate[GG_CLI_NUMBER_MAX], left[GG_CLI_NUMBER_MAX];
  uint64_t now = gg_cli_now_ns();
  if (gg_cli_signalled())
    return false;
  if (!reindexing->terminal || now - reindexing->told_ns < PROGRESS_INTERVAL_NS)
    return true;
  reindexing->told_ns = now;
  double share = total > 0 ? (double)done / (double)total : 1, seconds = (double)(now - reindexing->began_ns) / 1e9;
  double speed = seconds > 0 ? (double)done / seconds : 0;
  int full = (int)(share * BAR_COLUMNS);
  uint64_t left_ns = speed > 0 ? (uint64_t)((double)(total - done) / speed * 1e9) : 0;
  fprintf(stderr, "\r[%.*s%.*s] %3.0f%%  %s of %s, %s/s, %s left\033[K", full, "##############################",
          BAR_COLUMNS - full, "------------------------------", 100 * share, gg_cli_bytes(done, true, read),
          gg_cli_bytes(total, true, all), gg_cli_bytes((uint64_t)speed, true, rate),
          gg_cli_duration(left_ns / 1000000000 * 1000000000, true, left));
  fflush(stderr);
  reindexing->drawn = true;
  return true;
}

static void clear(struct reindexing *reindexing)
{
  if (reindexing->drawn)
    fputs("\r\033[K", stderr);
  reindexing->drawn = false;
}

static void tell_warning(void *context, const char *text)
{
  clear(context);
  fputs("gogetway: warning: ", stderr);
  gg_cli_put_safe(stderr, text, strlen(text));
  fputs("\n", stderr);
}

static void put_summary(const struct gg_reindex_result *result, uint64_t ns, bool json)
{
  char bytes[GG_CLI_NUMBER_MAX], time[GG_CLI_NUMBER_MAX];
  if (json)
    printf("{\"segments\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sessions\":%" PRIu64 ",\"marked\":%" PRIu64
           ",\"different\":%" PRIu64 ",\"duration_ns\":%" PRIu64 "}\n",
           result->segments, result->bytes, result->sessions, result->marked, result->different, ns);
  else
    printf("%" PRIu64 " sessions in %" PRIu64 " segments, %s bytes, in %s\n", result->sessions, result->segments,
           gg_cli_bytes(result->bytes, true, bytes), gg_cli_duration(ns, true, time));
}

static int run_reindex(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_reindex_options reindex = GG_REINDEX_OPTIONS_INIT;
  bool json = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == GG_CLI_WORD)
      return gg_cli_wrong("reindex: it takes no words, and '%s' is one; --dir names the store", args.value);
    if (what == OPTION_JSON)
      json = true;
    else if (what == OPTION_CHECK)
      reindex.check = true;
    else
      return GG_EXIT_USAGE;
  }
  struct reindexing reindexing = {.terminal = isatty(STDERR_FILENO) == 1, .began_ns = gg_cli_now_ns()};
  struct gg_reindex_result result = {0};
  struct gg_failure failure = GG_FAILURE_INIT;
  reindex.progress = tell_progress;
  reindex.warning = tell_warning;
  reindex.context = &reindexing;
  gg_cli_catch_signals(NULL);
  int error = gg_store_reindex(cli->dir, &reindex, &result, &failure);
  clear(&reindexing);
  if (error == GG_ERR_BUSY)
    return gg_cli_fail("%s; a gateway that records keeps its catalogue up to date: to have it made anew, stop the "
                       "gateway, or restart it with --catalogue off",
                       failure.message);
  if (error == GG_ERR_CLOSED)
    return gg_cli_fail("stopped; the catalogue is as it was");
  if (error)
    return gg_cli_store_fail(&failure);
  put_summary(&result, gg_cli_now_ns() - reindexing.began_ns, json);
  if (result.different && !json)
    printf("%" PRIu64 " differences from the catalogue that is there; without --check it is made anew\n",
           result.different);
  return result.different ? GG_EXIT_DIFFERENCE : GG_EXIT_DONE;
}

const struct gg_command gg_command_reindex = {
  .name = "reindex",
  .summary = "make the catalogue of a store anew",
  .synopsis = "[--check] [--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "From the segments and the journal of tags and holds alone, beside the catalogue that is there, which is replaced\n"
    "when the new one is whole. For a catalogue that is lost, damaged or of a later version; nothing else needs it.\n"
    "Exit status: 0 done; 1 with --check: they differ; 3 it could not be done.\n"
    "\n"
    "examples:\n"
    "  gogetway reindex\n"
    "  gogetway reindex --dir /var/lib/gogetway --json\n",
  .run = run_reindex,
};
