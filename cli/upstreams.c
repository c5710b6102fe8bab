/* SPDX-License-Identifier: Apache-2.0 */
/* upstreams.c - where a running gateway's sessions may go: the state of each upstream, and draining one. */
#include "ask.h"
#include "commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum option { OPTION_JSON, OPTION_LISTENER };
static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "the list: one JSON object a line; else the gateway's reply, one object"},
  [OPTION_LISTENER] = {"listener", 0, "NAME", "drain, resume: of this listener only"},
};

enum { COLUMN_NOW = 6, COLUMNS = 10, CELL_MAX = 512 /* longer than any name or address */ };
static const char *const heads[COLUMNS] = {"LISTENER", "NAME", "ADDRESS",  "STATE",    "BACKUP",
                                           "WEIGHT",   "NOW",  "SESSIONS", "FAILURES", "BACK IN"};

static void fill_cell(char cell[CELL_MAX], const json_t *upstream, size_t column)
{
  static const char *const keys[COLUMNS] = {"listener", "name",         "address",  "state",    "backup",
                                            "weight",   "weight_ratio", "sessions", "failures", "back_in_ns"};
  const json_t *value = json_object_get(upstream, keys[column]);
  if (json_is_string(value))
    snprintf(cell, CELL_MAX, "%s", json_string_value(value));
  else if (json_is_boolean(value))
    snprintf(cell, CELL_MAX, "%s", json_is_true(value) ? "yes" : "-");
  else if (column == COLUMN_NOW && json_is_number(value)) /* the part of its weight by which it is chosen now */
    snprintf(cell, CELL_MAX, "%.0f%%", 100 * json_number_value(value));
  else if (column == COLUMNS - 1 && json_is_integer(value))
    snprintf(cell, CELL_MAX, "%.1fs", (double)json_integer_value(value) / 1e9);
  else if (json_is_integer(value))
    snprintf(cell, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  else
    snprintf(cell, CELL_MAX, "-");
}

static void put_cell(const char *cell, size_t width, bool last)
{
  gg_cli_put_safe(stdout, cell, strlen(cell));
  if (last)
    putchar('\n');
  else
    printf("%*s", (int)(width - strlen(cell) + 2), "");
}

static void put_table(const json_t *upstreams)
{
  size_t width[COLUMNS], index;
  json_t *upstream;
  char cell[CELL_MAX];
  for (size_t column = 0; column < COLUMNS; column++) {
    width[column] = strlen(heads[column]);
    json_array_foreach(upstreams, index, upstream)
    {
      fill_cell(cell, upstream, column);
      if (strlen(cell) > width[column])
        width[column] = strlen(cell);
    }
  }
  for (size_t column = 0; column < COLUMNS; column++)
    put_cell(heads[column], width[column], column == COLUMNS - 1);
  json_array_foreach(upstreams, index, upstream)
  {
    for (size_t column = 0; column < COLUMNS; column++) {
      fill_cell(cell, upstream, column);
      put_cell(cell, width[column], column == COLUMNS - 1);
    }
  }
}

static int put_lines(const json_t *upstreams)
{
  size_t index;
  json_t *upstream;
  json_array_foreach(upstreams, index, upstream)
  {
    char *line = json_dumps(upstream, JSON_COMPACT);
    if (!line)
      return gg_cli_fail("out of memory");
    puts(line);
    free(line);
  }
  return GG_EXIT_DONE;
}

static int list(const struct gg_cli *cli, bool json)
{
  struct gg_cli_reply reply;
  int status = GG_EXIT_DONE;
  gg_cli_ask(cli, 0, "{\"command\":\"upstreams\"}", &reply);
  const json_t *upstreams = json_object_get(reply.object, "upstreams");
  if (!reply.ok)
    status = json ? gg_cli_reply_put(&reply) : gg_cli_reply_fail(&reply);
  else if (json)
    status = put_lines(upstreams);
  else
    put_table(upstreams);
  gg_cli_reply_free(&reply);
  return status;
}

/* ── Draining ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_text(const json_t *upstream, const char *key)
{
  const json_t *text = json_object_get(upstream, key);
  gg_cli_put_safe(stdout, json_is_string(text) ? json_string_value(text) : "?",
                  json_is_string(text) ? json_string_length(text) : 1);
}

/* "listener web: a (10.0.0.1:80) is drained; 3 sessions go on" */
static void tell_upstream(const json_t *upstream, bool drained)
{
  static const char *const words[2][2] = {{"was not drained", "is resumed"}, {"was drained already", "is drained"}};
  bool changed = json_is_true(json_object_get(upstream, "changed"));
  json_int_t sessions = json_integer_value(json_object_get(upstream, "sessions"));
  const json_t *back_in_ns = json_object_get(upstream, "back_in_ns");
  fputs("listener ", stdout);
  put_text(upstream, "listener");
  fputs(": ", stdout);
  put_text(upstream, "name");
  fputs(" (", stdout);
  put_text(upstream, "address");
  printf(") %s; ", words[drained][changed]);
  if (sessions == 0)
    fputs("no session is open", stdout);
  else
    printf("%" JSON_INTEGER_FORMAT " session%s", sessions, sessions == 1 ? " goes on" : "s go on");
  if (json_is_integer(back_in_ns))
    printf("; it is out, and tried again in %.1fs", (double)json_integer_value(back_in_ns) / 1e9);
  putchar('\n');
}

static int tell_drain(const struct gg_cli_reply *reply, bool drained)
{
  size_t index;
  json_t *upstream;
  if (!reply->ok)
    return gg_cli_reply_fail(reply);
  json_array_foreach(json_object_get(reply->object, "upstreams"), index, upstream) tell_upstream(upstream, drained);
  gg_cli_reply_lines(reply, "warnings", "gogetway: ", stderr);
  return GG_EXIT_DONE;
}

static char *drain_request(const char *name, const char *listener, bool drained)
{
  json_t *request =
    json_pack("{s:s, s:s, s:b}", "command", "upstream-drain", "upstream", name, "drained", (int)drained);
  bool whole = request && (!listener || json_object_set_new(request, "listener", json_string(listener)) == 0);
  char *text = whole ? json_dumps(request, JSON_COMPACT) : NULL;
  json_decref(request);
  return text;
}

static int drain(const struct gg_cli *cli, const char *name, const char *listener, bool drained, bool json)
{
  struct gg_cli_reply reply = {0};
  char *request = drain_request(name, listener, drained);
  if (request)
    gg_cli_ask(cli, 0, request, &reply);
  else
    gg_cli_reply_refuse(&reply, "out of memory, or a name that is not valid UTF-8");
  free(request);
  int status = json ? gg_cli_reply_put(&reply) : tell_drain(&reply, drained);
  gg_cli_reply_free(&reply);
  return status;
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  const char *words[2] = {NULL, NULL}, *listener = NULL;
  size_t word_count = 0;
  bool json = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == OPTION_JSON)
      json = true;
    else if (what == OPTION_LISTENER)
      listener = args.value;
    else if (what != GG_CLI_WORD)
      return GG_EXIT_USAGE;
    else if (word_count == 2)
      return gg_cli_wrong("upstreams: unexpected word '%s'", args.value);
    else
      words[word_count++] = args.value;
  }
  if (word_count == 0)
    return listener ? gg_cli_wrong("upstreams: --listener goes with drain or resume") : list(cli, json);
  bool drains = strcmp(words[0], "drain") == 0;
  if (!drains && strcmp(words[0], "resume") != 0)
    return gg_cli_wrong("upstreams: '%s' is neither drain nor resume", words[0]);
  if (!words[1])
    return gg_cli_wrong("upstreams %s: which? give the name of an upstream", words[0]);
  return drain(cli, words[1], listener, drains, json);
}

const struct gg_command gg_command_upstreams = {
  .name = "upstreams",
  .summary = "where a running gateway's sessions may go, and draining one",
  .synopsis = "[drain NAME | resume NAME] [--listener NAME] [--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "A drained upstream gets no new session until it is resumed or the gateway ends; open ones go on, and how\n"
    "many is told. A hot restart leaves it drained. Who drains a listener's last one is warned: it is done, and\n"
    "new clients of that listener get no upstream.\n",
  .run = run,
};
