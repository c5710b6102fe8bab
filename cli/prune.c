/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c - the command that removes what is old, or too much, and leaves what is held. */
#include "commands.h"
#include "store_common.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { JSON_BYTES = 4096, RULES_MAX = 64 };
static const uint64_t progress_interval_ns = 200000000;

enum { OPTION_MAX_BYTES, OPTION_MAX_AGE, OPTION_MIN_FREE, OPTION_RULE, OPTION_DRY_RUN, OPTION_JSON, OPTION_IGNORE };
static const struct gg_cli_option options[] = {
  [OPTION_MAX_BYTES] = {"max-bytes", 0, "SIZE", "remove the oldest segments while there are more bytes than this"},
  [OPTION_MAX_AGE] = {"max-age", 0, "TIME", "remove segments all of whose sessions are older than this"},
  [OPTION_MIN_FREE] = {"min-free", 0, "SIZE", "remove the oldest segments while the file system has less room"},
  [OPTION_RULE] = {"rule", 0, "RULE",
                   "limits for sessions that match: 'listener=ssh max_age=90d max_bytes=20GiB'; repeatable"},
  [OPTION_DRY_RUN] = {"dry-run", 'n', NULL, "only tell what would go"},
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a segment, and one for the summary"},
  [OPTION_IGNORE] = {"ignore-damaged-marks", 0, NULL, "prune although a damaged line may have held a session"},
};
/* The limits' names in the library, by the rows above. */
static const char *const names[] = {"max_bytes", "max_age", "min_free"};

struct pruning {
  struct gg_prune_options options;
  const char *rules[RULES_MAX];
  bool json, human;
  bool shown; /* a line of progress */
  uint64_t last_ns;
};

static void clear_progress(struct pruning *pruning)
{
  if (pruning->shown)
    fputs("\r\033[K", stderr);
  pruning->shown = false;
}

static bool tell_progress(void *context, uint64_t done, uint64_t total)
{
  struct pruning *pruning = context;
  uint64_t now_ns = gg_cli_now_ns();
  if (gg_cli_signalled())
    return false;
  if (!isatty(STDERR_FILENO) || now_ns - pruning->last_ns < progress_interval_ns)
    return true;
  pruning->last_ns = now_ns;
  pruning->shown = true;
  fprintf(stderr, "\rpruning %3.0f%%", total ? 100.0 * (double)done / (double)total : 100.0);
  return true;
}

static void put_segment(const struct pruning *pruning, const struct gg_pruned *pruned)
{
  char bytes[GG_CLI_NUMBER_MAX], last[GG_CLI_TIME_MAX];
  bool gone = pruned->fate == GG_PRUNE_GONE || pruned->fate == GG_PRUNE_KEPT;
  const char *verb = !gone ? "stays" : pruning->options.dry_run ? "would go" : "gone";
  gg_cli_put_safe(stdout, pruned->segment, strlen(pruned->segment));
  printf(": %s (%s, %s, last record %s)", verb, gg_prune_why_text(pruned->why),
         gg_cli_bytes(pruned->bytes, pruning->human, bytes), gg_cli_time(pruned->last_ns, pruning->human, last));
  if (pruned->fate == GG_PRUNE_KEPT)
    printf("; %" PRIu64 " held session%s kept, %s", pruned->kept_sessions, pruned->kept_sessions == 1 ? "" : "s",
           gg_cli_bytes(pruned->kept_bytes, pruning->human, bytes));
  if (pruned->text[0]) {
    fputs(": ", stdout);
    gg_cli_put_safe(stdout, pruned->text, strlen(pruned->text));
  }
  putchar('\n');
}

static void tell_segment(void *context, const struct gg_pruned *pruned)
{
  struct pruning *pruning = context;
  char text[JSON_BYTES];
  clear_progress(pruning);
  if (!pruning->json) {
    put_segment(pruning, pruned);
    return;
  }
  size_t length = gg_pruned_json(pruned, text, sizeof text);
  fwrite(text, 1, length, stdout);
  fputs(length ? "\n" : "", stdout);
}

static void put_summary(const struct pruning *pruning, const struct gg_prune_result *result)
{
  char freed[GG_CLI_NUMBER_MAX], left[GG_CLI_NUMBER_MAX], room[GG_CLI_NUMBER_MAX];
  bool dry = pruning->options.dry_run;
  if (pruning->json) {
    printf("{\"summary\":true,\"dry_run\":%s,\"segments\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"kept_sessions\":%" PRIu64
           ",\"kept_bytes\":%" PRIu64 ",\"passed\":%" PRIu64 ",\"mended\":%" PRIu64 ",\"open\":%" PRIu64
           ",\"segments_left\":%" PRIu64 ",\"bytes_left\":%" PRIu64 ",\"free_bytes\":%" PRIu64 ",\"met\":%s}\n",
           dry ? "true" : "false", result->segments, result->bytes, result->kept_sessions, result->kept_bytes,
           result->passed, result->mended, result->open, result->segments_left, result->bytes_left, result->free_bytes,
           result->met ? "true" : "false");
    return;
  }
  if (result->mended)
    printf("removed %" PRIu64 " file%s that an interrupted run had left\n", result->mended,
           result->mended == 1 ? "" : "s");
  printf("%" PRIu64 " segment%s %s, %s freed; %s left, %s free\n", result->segments, result->segments == 1 ? "" : "s",
         dry ? "would go" : "gone", gg_cli_bytes(result->bytes, pruning->human, freed),
         gg_cli_bytes(result->bytes_left, pruning->human, left),
         gg_cli_bytes(result->free_bytes, pruning->human, room));
}

static int unmet(const struct gg_prune_result *result)
{
  if (result->passed)
    return gg_cli_fail("the limits do not hold: %" PRIu64 " segment%s to go and cannot, as is said above",
                       result->passed, result->passed == 1 ? " has" : "s have");
  if (result->open)
    return gg_cli_fail("the limits do not hold: what is left is being written; 'gogetway rotate' ends it");
  if (result->segments_left)
    return gg_cli_fail("the limits do not hold: what is left is held; 'gogetway hold --release' gives it up");
  return gg_cli_fail("the limits do not hold, and no segment is left: the room is taken by something else");
}

static int prune(const struct gg_cli *cli, struct pruning *pruning)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_prune_result result;
  gg_cli_catch_signals(NULL);
  int error = gg_store_prune(cli->dir, &pruning->options, &result, &failure);
  clear_progress(pruning);
  if (error == GG_ERR_INVALID && result.segments == 0)
    return gg_cli_wrong("prune: %s", failure.message);
  if (error == GG_ERR_CORRUPT && result.segments == 0)
    return gg_cli_fail("%s (--ignore-damaged-marks does not wait for that)", failure.message);
  if (error != 0 && result.segments == 0)
    return gg_cli_store_fail(&failure);
  put_summary(pruning, &result);
  if (error)
    return gg_cli_fail("%s", failure.message);
  return result.met ? GG_EXIT_DONE : unmet(&result);
}

static int take(struct pruning *pruning, int what, const char *value)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  switch (what) {
  case OPTION_MAX_BYTES:
  case OPTION_MAX_AGE:
  case OPTION_MIN_FREE:
    if (gg_prune_option_set(&pruning->options, names[what], value, &failure) != 0)
      return gg_cli_wrong("prune: --%s: %s", options[what].name, failure.message);
    return GG_EXIT_DONE;
  case OPTION_RULE:
    if (pruning->options.rule_count == RULES_MAX)
      return gg_cli_wrong("prune: more than %d rules", RULES_MAX);
    pruning->rules[pruning->options.rule_count++] = value;
    return GG_EXIT_DONE;
  case OPTION_DRY_RUN:
    pruning->options.dry_run = true;
    return GG_EXIT_DONE;
  case OPTION_IGNORE:
    pruning->options.ignore_damaged_marks = true;
    return GG_EXIT_DONE;
  case OPTION_JSON:
    pruning->json = true;
    return GG_EXIT_DONE;
  case GG_CLI_WORD:
    return gg_cli_wrong("prune: unexpected word '%s'", value);
  default:
    return GG_EXIT_USAGE;
  }
}

static int run_prune(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct pruning pruning = {.options = GG_PRUNE_OPTIONS_INIT, .human = isatty(STDOUT_FILENO) == 1};
  pruning.options.rules = pruning.rules;
  pruning.options.segment = tell_segment;
  pruning.options.progress = tell_progress;
  pruning.options.context = &pruning;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    int status = take(&pruning, what, args.value);
    if (status != GG_EXIT_DONE)
      return status;
  }
  const struct gg_prune_options *given = &pruning.options;
  if (!given->max_bytes && !given->max_age_ns && !given->min_free && !given->rule_count)
    return gg_cli_wrong("prune: it needs a limit: --max-bytes 100GiB, --max-age 30d, --min-free 10GiB or a --rule");
  return prune(cli, &pruning);
}

const struct gg_command gg_command_prune = {
  .name = "prune",
  .summary = "remove what is old or too much of a recording, but not what is held",
  .synopsis = "[--max-bytes SIZE] [--max-age TIME] [--min-free SIZE] [--rule RULE]... [--dry-run] [--json] "
              "[--ignore-damaged-marks]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "Whole segments go, the oldest first; never one that a running gateway writes, nor one that somebody reads. Held\n"
    "sessions ('gogetway hold') are copied into a file of their own before. A segment goes by age and rules when "
    "every\n"
    "session in it may. A RULE is filter words and an age (0: never), instead of --max-age, or most bytes of their\n"
    "packets, counted from the newest segment backwards, or both; of several the first that matches counts. A running\n"
    "gateway does the same by itself: 'retention:' in its configuration.\n"
    "Exit status: 0 the limits hold; 3 they do not, or it could not be done.\n"
    "\n"
    "examples:\n"
    "  gogetway prune --max-bytes 100GiB --max-age 30d --dry-run\n"
    "  gogetway prune --max-age 30d --rule 'listener=ssh max_age=365d' --rule 'tag=noise max_age=1d'\n"
    "  gogetway prune --max-bytes 100GiB --rule 'listener=ssh max_bytes=20GiB'\n",
  .run = run_prune,
};
