/* SPDX-License-Identifier: Apache-2.0 */
/* tag.c - the command that gives sessions tags, takes them off, and lists them. */
#include "commands.h"
#include "marking.h"

#include <stdlib.h>
#include <string.h>

enum { OPTION_LIST, OPTION_JSON, OPTION_FILTER, TAGS_MAX = 64 };

/* Without letters: a word with one dash is a tag that goes. */
static const struct gg_cli_option options[] = {
  [OPTION_LIST] = {"list", 0, NULL, "all tags of the sessions that match, with how many have each"},
  [OPTION_JSON] = {"json", 0, NULL, "one JSON object a line: sessions as they are now, or tags with their counts"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

struct tagging {
  bool list, json;
  const char *add[TAGS_MAX], *remove[TAGS_MAX];
  size_t add_count, remove_count;
  struct gg_cli_words words;
};

/* ── Changing ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool has(const struct gg_session *session, const char *tag)
{
  for (size_t i = 0; i < session->tag_count; i++)
    if (strcmp(session->tags[i], tag) == 0)
      return true;
  return false;
}

static bool will_change(const struct tagging *tagging, const struct gg_session *session)
{
  for (size_t i = 0; i < tagging->add_count; i++)
    if (!has(session, tagging->add[i]))
      return true;
  for (size_t i = 0; i < tagging->remove_count; i++)
    if (has(session, tagging->remove[i]))
      return true;
  return false;
}

static int change(const struct tagging *tagging, const struct gg_cli_chosen *chosen, const struct gg_cli_gone *gone)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t changed = 0;
  int status = gg_cli_unmark_gone(chosen->store, gone, false, tagging->remove, tagging->remove_count);
  if (status != GG_EXIT_DONE)
    return status;
  for (size_t i = 0; chosen->list && i < gg_session_list_count(chosen->list); i++)
    changed += will_change(tagging, gg_session_list_at(chosen->list, i));
  int error = chosen->list ? gg_store_tag(chosen->store, chosen->list, tagging->add, tagging->add_count,
                                          tagging->remove, tagging->remove_count, &failure)
                           : 0;
  if (error == GG_ERR_INVALID)
    return gg_cli_wrong("tag: %s", failure.message);
  if (error)
    return gg_cli_store_fail(&failure);
  gg_cli_tell_marked(chosen->list, gone, tagging->add_count > 0 ? "tagged" : "untagged", changed, tagging->json);
  return GG_EXIT_DONE;
}

/* ── Showing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Of one session its tags, a line each; of several a line each with all of its tags. */
static int show(const struct tagging *tagging, const struct gg_session_list *list)
{
  size_t count = gg_session_list_count(list);
  for (size_t i = 0; i < count; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    if (tagging->json) {
      gg_cli_put_session_json(session);
      continue;
    }
    if (count > 1)
      fputs(session->id, stdout);
    for (size_t j = 0; j < session->tag_count; j++)
      printf(count > 1 ? " %s" : "%s\n", session->tags[j]);
    if (count > 1)
      putchar('\n');
  }
  return GG_EXIT_DONE;
}

struct tally {
  const char *tag; /* the session's */
  size_t sessions;
};

static int by_tag(const void *a, const void *b)
{
  const struct tally *left = a, *right = b;
  return strcmp(left->tag, right->tag);
}

static int by_sessions(const void *a, const void *b)
{
  const struct tally *left = a, *right = b;
  if (left->sessions != right->sessions)
    return left->sessions > right->sessions ? -1 : 1;
  return strcmp(left->tag, right->tag);
}

struct tallies {
  struct tally *items; /* by tag */
  size_t count, room;
};

static bool count_tag(struct tallies *tallies, const char *tag)
{
  const struct tally key = {.tag = tag};
  struct tally *known = tallies->count > 0 ? bsearch(&key, tallies->items, tallies->count, sizeof key, by_tag) : NULL;
  if (known) {
    known->sessions++;
    return true;
  }
  if (tallies->count == tallies->room) {
    size_t room = tallies->room ? tallies->room * 2 : 64;
    struct tally *larger = realloc(tallies->items, room * sizeof *larger);
    if (!larger)
      return false;
    tallies->items = larger;
    tallies->room = room;
  }
  size_t at = tallies->count++;
  for (; at > 0 && strcmp(tallies->items[at - 1].tag, tag) > 0; at--)
    tallies->items[at] = tallies->items[at - 1];
  tallies->items[at] = (struct tally){tag, 1};
  return true;
}

static void put_json_tag(const struct tally *tally)
{
  fputs("{\"tag\":\"", stdout);
  gg_cli_put_tag_json(tally->tag);
  printf("\",\"sessions\":%zu}\n", tally->sessions);
}

static int list_tags(const struct tagging *tagging, const struct gg_session_list *list)
{
  struct tallies tallies = {0};
  bool fits = true;
  for (size_t i = 0; i < gg_session_list_count(list) && fits; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    for (size_t j = 0; j < session->tag_count && fits; j++)
      fits = count_tag(&tallies, session->tags[j]);
  }
  if (fits && tallies.count > 1)
    qsort(tallies.items, tallies.count, sizeof *tallies.items, by_sessions);
  for (size_t i = 0; i < tallies.count && fits; i++) {
    if (tagging->json)
      put_json_tag(&tallies.items[i]);
    else
      printf("%10zu  %s\n", tallies.items[i].sessions, tallies.items[i].tag);
  }
  free(tallies.items);
  return fits ? GG_EXIT_DONE : gg_cli_fail("no memory for a list of tags");
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether the next argument is +TAG or -TAG; then it is taken. */
static bool take_tag(struct tagging *tagging, struct gg_cli_args *args)
{
  const char *word = args->at < args->argc ? args->argv[args->at] : "";
  bool add = word[0] == '+', remove = word[0] == '-' && word[1] != '-' && word[1] != '\0';
  if ((!add && !remove) || tagging->add_count == TAGS_MAX || tagging->remove_count == TAGS_MAX)
    return false;
  if (add)
    tagging->add[tagging->add_count++] = word + 1;
  else
    tagging->remove[tagging->remove_count++] = word + 1;
  args->at++;
  return true;
}

static int take_arguments(struct tagging *tagging, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  for (int what;;) {
    if (take_tag(tagging, &args))
      continue;
    if ((what = gg_cli_next(&args)) == GG_CLI_END)
      return GG_EXIT_DONE;
    switch (what) {
    case OPTION_LIST:
      tagging->list = true;
      break;
    case OPTION_JSON:
      tagging->json = true;
      break;
    case OPTION_FILTER:
      if (!gg_cli_add_filter(&tagging->words, args.value))
        return GG_EXIT_USAGE;
      break;
    case GG_CLI_WORD:
      if (!gg_cli_add_word(&tagging->words, args.value))
        return GG_EXIT_USAGE;
      break;
    default:
      return GG_EXIT_USAGE;
    }
  }
}

static int run_tag(const struct gg_cli *cli, int argc, char **argv)
{
  struct tagging tagging = {0};
  struct gg_cli_chosen chosen = {0};
  struct gg_cli_gone gone = {.count = 0};
  int status = take_arguments(&tagging, argc, argv);
  bool removing = tagging.remove_count > 0 && tagging.add_count == 0;
  bool changing = tagging.add_count + tagging.remove_count > 0;
  if (status != GG_EXIT_DONE)
    return status;
  if (tagging.list && changing)
    return gg_cli_wrong("tag: --list only looks; +TAG and -TAG change");
  status = tagging.list ? gg_cli_choose(cli, &tagging.words, &chosen)
                        : gg_cli_choose_marked(cli, "tag", &tagging.words, removing ? &gone : NULL, &chosen);
  if (status == GG_EXIT_DONE)
    status = tagging.list ? list_tags(&tagging, chosen.list)
             : changing   ? change(&tagging, &chosen, &gone)
                          : show(&tagging, chosen.list);
  gg_cli_chosen_free(&chosen);
  return status;
}

const struct gg_command gg_command_tag = {
  .name = "tag",
  .summary = "give sessions tags, take tags off, list them",
  .synopsis = "SESSION...|FILTER... [+TAG...] [-TAG...] [--filter EXPR] [--json] | --list [FILTER...] [--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "SESSION is the beginning of an id. FILTER words are those of 'gogetway sessions', and mean all that match.\n"
    "Without +TAG and -TAG the sessions' tags are shown. A tag has no blanks and no commas; for one that looks\n"
    "like an option of all commands: -- -h. A gateway may be running. What was taken off is not set again by\n"
    "the gateway's rules. A whole id with -TAG alone is also that of a session whose recording is gone.\n"
    "\n"
    "examples:\n"
    "  gogetway tag 018c5e +interesting -noise\n"
    "  gogetway tag client=192.0.2.7 since=1d +scanner\n"
    "  gogetway tag --filter 'bytes > 1G or tag = dump' +large\n"
    "  gogetway tag --list since=7d\n",
  .run = run_tag,
};
