/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.c - `gogetway stats`: what a running gateway counts, asked over a control socket in its store, and sums over
 * what was recorded, for which none need run (totals.c).
 *
 * For people it shows both. Whoever asks for one form (--json, --format prometheus or config) is a program that asks
 * often, and gets what the gateway says, as it says it: no store is opened for that. --totals are the sums alone.
 */
#include "ask.h"
#include "commands.h"
#include "totals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_COLUMN = 40 };

enum option { OPTION_JSON, OPTION_FORMAT, OPTION_PID, OPTION_TOTALS, OPTION_BY, OPTION_FILTER };
static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "the same as --format json"},
  [OPTION_FORMAT] = {"format", 'f', "FORM",
                     "table (default), json (one object), prometheus (its text form), config (what it works by, YAML)"},
  [OPTION_PID] = {"pid", 'p', "PID", "of that process, which drains since a hot restart; else of the one that serves"},
  [OPTION_TOTALS] = {"totals", 't', NULL, "only sums over recorded sessions; no gateway need run"},
  [OPTION_BY] = {"by", 'b', "WHAT", "totals by listener, protocol, close, hour, day or client"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

enum form { FORM_TABLE, FORM_JSON, FORM_PROMETHEUS, FORM_CONFIG, FORMS };
static const char *const form_names[FORMS] = {"table", "json", "prometheus", "config"};

static void put_value(const json_t *value)
{
  if (json_is_string(value))
    gg_cli_put_safe(stdout, json_string_value(value), json_string_length(value));
  else if (json_is_integer(value))
    printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
  else if (json_is_real(value))
    printf("%g", json_real_value(value));
  else
    fputs(json_is_true(value) ? "true" : "-", stdout);
}

static void put_line(const char *name, const json_t *value)
{
  printf("%-*s", NAME_COLUMN, name);
  put_value(value);
  putchar('\n');
}

static void put_listeners(json_t *listeners)
{
  size_t index;
  json_t *listener;
  json_array_foreach(listeners, index, listener)
  {
    char name[32];
    snprintf(name, sizeof name, "listener %zu", index + 1);
    printf("%-*s", NAME_COLUMN, name);
    put_value(json_object_get(listener, "listen"));
    fputs(" -> ", stdout);
    put_value(json_object_get(listener, "upstream"));
    if (!json_equal(json_object_get(listener, "listen"), json_object_get(listener, "name"))) {
      fputs("  ", stdout);
      put_value(json_object_get(listener, "name"));
    }
    const char *record = json_string_value(json_object_get(listener, "record"));
    if (record && strcmp(record, "off") == 0)
      fputs("  (not recorded)", stdout);
    putchar('\n');
  }
}

/* Histograms are objects: one line, all members. */
static void put_metrics(json_t *metrics)
{
  const char *name, *part;
  json_t *value, *member;
  json_object_foreach(metrics, name, value)
  {
    if (!json_is_object(value)) {
      put_line(name, value);
      continue;
    }
    printf("%-*s", NAME_COLUMN, name);
    const char *between = "";
    json_object_foreach(value, part, member)
    {
      printf("%s%s ", between, part);
      put_value(member);
      between = ", ";
    }
    putchar('\n');
  }
}

static void put_table(json_t *reply)
{
  static const char *const facts[] = {"version", "pid", "state", "started", "dir", "store", "workers"};
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
    put_line(facts[i], json_object_get(reply, facts[i]));
  put_listeners(json_object_get(reply, "listeners"));
  putchar('\n');
  put_metrics(json_object_get(reply, "metrics"));
}

/* As it is: it is meant for a program. Its last line has its newline. */
static bool put_text(const json_t *text)
{
  if (!json_is_string(text))
    return false;
  fwrite(json_string_value(text), 1, json_string_length(text), stdout);
  return true;
}

static int show(const struct gg_cli *cli, const struct gg_cli_reply *reply, enum form form)
{
  if (form == FORM_JSON)
    return gg_cli_reply_put(reply);
  if (!reply->ok)
    return gg_cli_reply_fail(reply);
  if (form == FORM_TABLE)
    put_table(reply->object);
  else if (!put_text(json_object_get(reply->object, "text")))
    return gg_cli_fail("the gateway on %s gave no sensible reply", cli->dir);
  return GG_EXIT_DONE;
}

static enum form form_named(const char *word)
{
  enum form form = FORM_TABLE;
  while (form < FORMS && strcmp(word, form_names[form]) != 0)
    form++;
  return form;
}

static bool is_pid(const char *word, long *out)
{
  char *end;
  errno = 0;
  *out = strtol(word, &end, 10);
  return end != word && *end == '\0' && errno == 0 && *out > 0;
}

static void ask(const struct gg_cli *cli, enum form form, long pid, struct gg_cli_reply *reply)
{
  const char *request = form == FORM_PROMETHEUS ? "{\"command\":\"metrics\"}"
                        : form == FORM_CONFIG   ? "{\"command\":\"config\"}"
                                                : "{\"command\":\"stats\"}";
  gg_cli_ask(cli, pid, request, reply);
}

/* Who hears that there is no gateway hears what can be had without one. */
static void hint_at_totals(struct gg_cli_reply *reply)
{
  const char *error = json_string_value(json_object_get(reply->object, "error"));
  if (reply->unreached && error)
    gg_cli_reply_refuse(reply, "%s; 'gogetway stats --totals' adds up what is recorded, without one", error);
}

static int show_reply(const struct gg_cli *cli, enum form form, long pid)
{
  struct gg_cli_reply reply;
  ask(cli, form, pid, &reply);
  hint_at_totals(&reply);
  int status = show(cli, &reply, form);
  gg_cli_reply_free(&reply);
  return status;
}

/* What the gateway counts, and behind it, or without it, what is recorded, if a catalogue has that ready.
 * The exit status is the gateway's: scripts ask by it whether one runs, and what becomes of the totals changes nothing
 * about that. */
static int show_both(const struct gg_cli *cli)
{
  struct gg_cli_reply reply;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_store *store;
  int status = GG_EXIT_DONE;
  ask(cli, FORM_TABLE, 0, &reply);
  if (reply.ok) {
    put_table(reply.object);
    putchar('\n');
    fflush(stdout); /* the rest is on a disk, which may take its time */
  }
  int error = gg_store_open(&store, cli->dir, NULL, &failure);
  bool ready = !error && gg_store_is_indexed(store);
  if (!reply.ok) {
    if (!ready)
      hint_at_totals(&reply);
    status = gg_cli_reply_fail(&reply);
  } else if (error) {
    gg_cli_store_fail(&failure);
  } else if (!ready) {
    puts("no totals at once without a catalogue: 'gogetway stats --totals' counts them by reading all segments");
  }
  if (ready)
    gg_cli_totals_put(store, NULL, NULL, false);
  gg_store_close(store);
  gg_cli_reply_free(&reply);
  return status;
}

struct wanted {
  enum form form;
  bool form_given;
  long pid;
  bool totals;
  const char *by;
  struct gg_cli_words words;
};

/* An option, or a word of a filter; GG_EXIT_DONE, or what is wrong was told. */
static int take(struct wanted *wanted, int what, const char *value)
{
  switch (what) {
  case OPTION_JSON:
    wanted->form = FORM_JSON;
    return GG_EXIT_DONE;
  case OPTION_FORMAT:
    wanted->form = form_named(value);
    wanted->form_given = true;
    return wanted->form < FORMS
             ? GG_EXIT_DONE
             : gg_cli_wrong("stats: --format %s is not known; it is table, json, prometheus or config", value);
  case OPTION_PID:
    return is_pid(value, &wanted->pid) ? GG_EXIT_DONE : gg_cli_wrong("stats: --pid '%s' is no process id", value);
  case OPTION_TOTALS:
    wanted->totals = true;
    return GG_EXIT_DONE;
  case OPTION_BY:
    wanted->totals = true;
    wanted->by = value;
    return gg_cli_totals_check(value);
  case OPTION_FILTER:
    return gg_cli_add_filter(&wanted->words, value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
  case GG_CLI_WORD:
    return gg_cli_add_word(&wanted->words, value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
  default:
    return GG_EXIT_USAGE;
  }
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct wanted wanted = {0};
  int status = GG_EXIT_DONE;
  for (int what; status == GG_EXIT_DONE && (what = gg_cli_next(&args)) != GG_CLI_END;)
    status = take(&wanted, what, args.value);
  if (status != GG_EXIT_DONE)
    return status;
  if (wanted.totals && (wanted.pid || (wanted.form_given && wanted.form > FORM_JSON)))
    return gg_cli_wrong("stats: --totals are of the recording: they have no --pid, and --format table or json");
  if (wanted.totals)
    return gg_cli_totals(cli, &wanted.words, wanted.by, wanted.form == FORM_JSON);
  if (wanted.words.count > 0)
    return gg_cli_wrong("stats: unexpected word '%s'; with --totals it is a filter", wanted.words.words[0]);
  if (wanted.words.filter_count > 0)
    return gg_cli_wrong("stats: --filter is for --totals");
  return wanted.form == FORM_TABLE && !wanted.pid ? show_both(cli) : show_reply(cli, wanted.form, wanted.pid);
}

const struct gg_command gg_command_stats = {
  .name = "stats",
  .summary = "what a running gateway counts, and totals of what was recorded",
  .synopsis =
    "[--pid PID] [--json | --format table|json|prometheus|config] | --totals [--by WHAT] [FILTER...] [--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "Without options both are told, the totals if there is a catalogue, which has them ready. If no gateway runs,\n"
    "that is told on standard error, then the totals, and the exit status is 3. With --pid, --json or another form\n"
    "the gateway's counters are told alone; with --totals, the totals.\n"
    "\n"
    "Totals are by listener, by protocol and by hour (the last 24), or by what --by says.\n"
    "FILTER words are those of 'gogetway sessions'; 'gogetway help filters' lists them. Sessions count in the\n"
    "hour and day (UTC) in which they began.\n"
    "\n"
    "examples:\n"
    "  gogetway stats\n"
    "  gogetway stats --totals\n"
    "  gogetway stats --totals --by hour since=1d listener=web --json\n",
  .run = run,
};
