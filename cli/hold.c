/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c - the command that keeps sessions from retention. */
#include "commands.h"
#include "marking.h"

#include <inttypes.h>

enum { OPTION_RELEASE, OPTION_LIST, OPTION_JSON, OPTION_FILTER, OPTION_DAMAGED, OPTION_MEND };

static const struct gg_cli_option options[] = {
  [OPTION_RELEASE] = {"release", 'r', NULL, "hold them no more: they go when they are old enough"},
  [OPTION_LIST] = {"list", 'l', NULL, "what is held, also where no recording of it is here"},
  [OPTION_JSON] = {"json", 'j', NULL, "the sessions as they are now, one JSON object a line"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
  [OPTION_DAMAGED] = {"damaged", 0, NULL, "only show the damaged lines of the journal of tags and holds"},
  [OPTION_MEND] = {"mend", 0, NULL, "take them out of it; what it was is kept beside it"},
};

/* ── Listing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_json_hold(const struct gg_hold *hold, const char *said)
{
  printf("{\"id\":\"%s\",\"recorded\":%s,\"said\":\"%s\",\"tags\":[", hold->id, hold->session ? "true" : "false", said);
  for (size_t i = 0; i < hold->tag_count; i++) {
    fputs(i ? ",\"" : "\"", stdout);
    gg_cli_put_tag_json(hold->tags[i]);
    putchar('"');
  }
  fputs("]}\n", stdout);
}

static int show_hold(void *context, const struct gg_hold *hold)
{
  const bool *json = context;
  const struct gg_session *session = hold->session;
  char said[GG_CLI_TIME_MAX], start[GG_CLI_TIME_MAX];
  if (*json)
    put_json_hold(hold, gg_cli_time(hold->said_ns, false, said));
  else if (session)
    printf("%s  %s  %s -> %s\n", hold->id, gg_cli_time(session->start_ns, true, start), session->client,
           session->server);
  else
    printf("%s  said %s; no recording of it is here\n", hold->id, gg_cli_time(hold->said_ns, true, said));
  return 0;
}

static int list_holds(const struct gg_cli *cli, bool json)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_store *store = NULL;
  int status = gg_cli_open_store(cli, &store);
  if (status == GG_EXIT_DONE && gg_store_each_hold(store, show_hold, &json, &failure) != 0)
    status = gg_cli_store_fail(&failure);
  if (status == GG_EXIT_DONE)
    gg_cli_tell_warnings(store);
  gg_store_close(store);
  return status;
}

/* ── Holding ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int hold(const struct gg_cli_chosen *chosen, const struct gg_cli_gone *gone, bool holding, bool json)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t changed = 0;
  int status = gg_cli_unmark_gone(chosen->store, gone, true, NULL, 0);
  if (status != GG_EXIT_DONE)
    return status;
  for (size_t i = 0; chosen->list && i < gg_session_list_count(chosen->list); i++)
    changed += gg_session_list_at(chosen->list, i)->held != holding;
  if (chosen->list && gg_store_hold(chosen->store, chosen->list, holding, &failure) != 0)
    return gg_cli_store_fail(&failure);
  gg_cli_tell_marked(chosen->list, gone, holding ? "held" : "released", changed, json);
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
  bool holding = true, listing = false, json = false, damaged = false, mending = false, others = false;
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
    case OPTION_LIST:
      listing = true;
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
  if (listing && (!holding || words.count + words.filter_count > 0))
    return gg_cli_wrong("hold: --list is of all that is held; 'gogetway sessions held FILTER' chooses among them");
  if (listing)
    return list_holds(cli, json);
  struct gg_cli_chosen chosen;
  struct gg_cli_gone gone = {.count = 0};
  int status = gg_cli_choose_marked(cli, "hold", &words, holding ? NULL : &gone, &chosen);
  if (status == GG_EXIT_DONE)
    status = hold(&chosen, &gone, holding, json);
  gg_cli_chosen_free(&chosen);
  return status;
}

const struct gg_command gg_command_hold = {
  .name = "hold",
  .summary = "keep sessions from retention, or let them go",
  .synopsis = "SESSION...|FILTER... [--filter EXPR] [--release] [--json] | --list [--json] | --damaged | --mend",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "A held session is never removed, however old it becomes. SESSION is the beginning of an id; FILTER words\n"
    "are those of 'gogetway sessions', and hold all that match. A gateway may be running. A session whose recording\n"
    "is gone is let go by its whole id; --list shows which there are.\n"
    "While the journal of tags and holds has a damaged line, which may have been a hold, retention removes nothing:\n"
    "look at it with --damaged, hold again what it held, and take it out with --mend.\n"
    "\n"
    "examples:\n"
    "  gogetway hold 018c5e\n"
    "  gogetway hold client=192.0.2.7 since=1d\n"
    "  gogetway hold 018c5e --release\n"
    "  gogetway hold --list\n",
  .run = run_hold,
};
