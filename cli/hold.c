/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c - the command that keeps sessions from retention. */
#include "commands.h"
#include "marking.h"

#include <inttypes.h>

enum { OPTION_RELEASE, OPTION_JSON, OPTION_FILTER, OPTION_DAMAGED, OPTION_MEND };

static const struct gg_cli_option options[] = {
  [OPTION_RELEASE] = {"release", 'r', NULL, "hold them no more: they go when they are old enough"},
  [OPTION_JSON] = {"json", 'j', NULL, "the sessions as they are now, one JSON object a line"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
  [OPTION_DAMAGED] = {"damaged", 0, NULL, "only show the damaged lines of the journal of tags and holds"},
  [OPTION_MEND] = {"mend", 0, NULL, "take them out of it; what it was is kept beside it"},
};

static int hold(const struct gg_cli_chosen *chosen, bool holding, bool json)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t changed = 0;
  for (size_t i = 0; i < gg_session_list_count(chosen->list); i++)
    changed += gg_session_list_at(chosen->list, i)->held != holding;
  if (gg_store_hold(chosen->store, chosen->list, holding, &failure) != 0)
    return gg_cli_store_fail(&failure);
  gg_cli_tell_marked(chosen->list, holding ? "held" : "released", changed, json);
  return GG_EXIT_DONE;
}

static void put_damaged(void *context, const struct gg_damaged_line *line)
{
  (void)context;
  printf("byte %" PRIu64 ": ", line->offset);
  gg_cli_put_safe(stdout, line->text, line->length);
  putchar('\n');
}

/* What a damaged line was, nobody but its reader can say: so they are shown, and taken out when he says so. */
static int mend(const struct gg_cli *cli, bool only_show)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  uint64_t count = 0;
  if (gg_store_mend_marks(cli->dir, only_show, put_damaged, NULL, &count, &failure) != 0)
    return gg_cli_fail("%s", failure.message);
  if (count == 0)
    puts("no line of the journal is damaged");
  else if (only_show)
    printf("%" PRIu64 " damaged line%s; hold again what %s held, then 'gogetway hold --mend'\n", count,
           gg_cli_plural(count), count == 1 ? "it" : "they");
  else
    printf("took out %" PRIu64 " damaged line%s; the journal as it was is beside it: journal/marks.jsonl.damaged*\n",
           count, gg_cli_plural(count));
  return GG_EXIT_DONE;
}

static int run_hold(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_words words = {0};
  bool holding = true, json = false, damaged = false, mending = false, others = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    damaged |= what == OPTION_DAMAGED;
    mending |= what == OPTION_MEND;
    others |= what != OPTION_DAMAGED && what != OPTION_MEND;
    switch (what) {
    case OPTION_DAMAGED:
    case OPTION_MEND:
      break;
    case OPTION_RELEASE:
      holding = false;
      break;
    case OPTION_JSON:
      json = true;
      break;
    case OPTION_FILTER:
      if (!gg_cli_add_filter(&words, args.value))
        return GG_EXIT_USAGE;
      break;
    case GG_CLI_WORD:
      if (!gg_cli_add_word(&words, args.value))
        return GG_EXIT_USAGE;
      break;
    default:
      return GG_EXIT_USAGE;
    }
  }
  if ((damaged && mending) || ((damaged || mending) && others))
    return gg_cli_wrong("hold: --damaged and --mend stand alone: they are about the whole journal");
  if (damaged || mending)
    return mend(cli, damaged);
  struct gg_cli_chosen chosen;
  int status = gg_cli_choose_marked(cli, "hold", &words, &chosen);
  if (status == GG_EXIT_DONE)
    status = hold(&chosen, holding, json);
  gg_cli_chosen_free(&chosen);
  return status;
}

const struct gg_command gg_command_hold = {
  .name = "hold",
  .summary = "keep sessions from retention, or let them go",
  .synopsis = "SESSION...|FILTER... [--filter EXPR] [--release] [--json] | --damaged | --mend",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "A held session is never removed, however old it becomes. SESSION is the beginning of an id; FILTER words\n"
    "are those of 'gogetway sessions', and hold all that match. A gateway may be running.\n"
    "While the journal of tags and holds has a damaged line, which may have been a hold, retention removes nothing:\n"
    "look at it with --damaged, hold again what it held, and take it out with --mend.\n"
    "\n"
    "examples:\n"
    "  gogetway hold 018c5e\n"
    "  gogetway hold client=192.0.2.7 since=1d\n"
    "  gogetway hold 018c5e --release\n",
  .run = run_hold,
};
