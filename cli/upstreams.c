/* SPDX-License-Identifier: Apache-2.0 */
/* upstreams.c - where a running gateway's sessions may go: the state of each upstream, and draining one. */
#include "commands.h"

#include <gogetway/control.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum option { OPTION_JSON, OPTION_LISTENER };
static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a line"},
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

/* Sends the request, which it takes; NULL after telling what was wrong, with *status set. */
static json_t *ask(const struct gg_cli *cli, json_t *request, int *status)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  char *text = request ? json_dumps(request, JSON_COMPACT) : NULL, *answer = NULL;
  json_decref(request);
  if (!text) {
    *status = gg_cli_fail("out of memory, or a name that is not valid UTF-8");
    return NULL;
  }
  int error = gg_control_call(cli->dir, text, &answer, &failure);
  free(text);
  json_t *reply = error ? NULL : json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
  free(answer);
  if (json_is_object(reply) && json_is_true(json_object_get(reply, "ok")))
    return reply;
  const char *reason = json_string_value(json_object_get(reply, "error"));
  if (error)
    *status = gg_cli_fail("%s", failure.message);
  else
    *status = gg_cli_fail("%s", reason ? reason : "the gateway gave no sensible reply");
  json_decref(reply);
  return NULL;
}

static int list(const struct gg_cli *cli, bool lines)
{
  int status = GG_EXIT_DONE;
  json_t *reply = ask(cli, json_pack("{s:s}", "command", "upstreams"), &status);
  if (!reply)
    return status;
  const json_t *upstreams = json_object_get(reply, "upstreams");
  if (!lines)
    put_table(upstreams);
  else
    status = put_lines(upstreams);
  json_decref(reply);
  return status;
}

static int drain(const struct gg_cli *cli, const char *name, const char *listener, bool drained, bool json)
{
  int status = GG_EXIT_DONE;
  json_t *request =
    json_pack("{s:s, s:s, s:b}", "command", "upstream-drain", "upstream", name, "drained", (int)drained);
  if (request && listener && json_object_set_new(request, "listener", json_string(listener)) != 0) {
    json_decref(request);
    request = NULL;
  }
  json_t *reply = ask(cli, request, &status);
  if (reply && json)
    puts("{\"ok\":true}");
  json_decref(reply);
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
  .synopsis = "[--json] | drain NAME [--listener NAME] | resume NAME [--listener NAME]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details = "A drained upstream gets no new session until it is resumed or the gateway ends; open ones go on. A\n"
             "hot restart leaves it drained.\n",
  .run = run,
};
