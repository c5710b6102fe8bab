/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.c - what plug-ins a running gateway has, and what they cost; and the commands of their own. */
#include "plugins.h"

#include "commands.h"

#include <gogetway/gogetway.h>
#include <stdlib.h>
#include <string.h>

static const struct gg_cli_option options[] = {
  {"json", 'j', NULL, "one JSON object a line"},
};

/* ── The list ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { COLUMNS = 5, CELL_MAX = 64 };
static const char *const heads[COLUMNS] = {"HOOK", "CALLS", "TIME", "MEAN", "SLOW"};

static void put_text(const json_t *text)
{
  gg_cli_put_safe(stdout, json_string_value(text) ? json_string_value(text) : "", json_string_length(text));
}

/* Nanoseconds for people: three digits that count. */
static void fill_time(char cell[CELL_MAX], json_int_t ns)
{
  static const struct {
    double ns;
    const char *unit;
  } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
    if ((double)ns >= units[i].ns) {
      double value = (double)ns / units[i].ns;
      snprintf(cell, CELL_MAX, "%.*f%s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[i].unit);
      return;
    }
  snprintf(cell, CELL_MAX, "%" JSON_INTEGER_FORMAT "ns", ns);
}

static void fill_row(char cells[COLUMNS][CELL_MAX], const char *name, const json_t *reading)
{
  snprintf(cells[0], CELL_MAX, "%.40s", name);
  snprintf(cells[1], CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(reading, "calls")));
  fill_time(cells[2], json_integer_value(json_object_get(reading, "ns")));
  fill_time(cells[3], json_integer_value(json_object_get(reading, "mean_ns")));
  snprintf(cells[4], CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(reading, "slow_calls")));
}

static void put_row(char cells[COLUMNS][CELL_MAX])
{
  printf("  %-10s", cells[0]);
  for (size_t i = 1; i < COLUMNS; i++)
    printf(" %10s", cells[i]);
  putchar('\n');
}

static void put_points(const json_t *plugin)
{
  char cells[COLUMNS][CELL_MAX];
  size_t index;
  json_t *point;
  json_t *points = json_object_get(plugin, "hooks");
  if (json_array_size(points) == 0)
    return;
  for (size_t i = 0; i < COLUMNS; i++)
    snprintf(cells[i], CELL_MAX, "%s", heads[i]);
  put_row(cells);
  json_array_foreach(points, index, point)
  {
    const char *name = json_string_value(json_object_get(point, "hook"));
    fill_row(cells, name ? name : "?", point);
    put_row(cells);
  }
  fill_row(cells, "all", plugin);
  put_row(cells);
}

static void put_listeners(const json_t *plugin)
{
  size_t index;
  json_t *name;
  json_t *names = json_object_get(plugin, "listeners");
  json_array_foreach(names, index, name)
  {
    fputs(index > 0 ? ", " : "", stdout);
    put_text(name);
  }
  puts(json_array_size(names) > 0 ? "" : "none");
}

/* "6 none, 2 gate": those modes that some direction of an open session is in. */
static void put_directions(const json_t *plugin)
{
  const char *mode;
  json_t *count;
  bool some = false;
  json_object_foreach(json_object_get(plugin, "directions"), mode, count)
  {
    if (json_integer_value(count) == 0)
      continue;
    printf("%s%" JSON_INTEGER_FORMAT " %s", some ? ", " : "", json_integer_value(count), mode);
    some = true;
  }
  puts(some ? "" : "none is open");
}

/* Behind `head`: "hello reset WORD   what it does". */
static void put_commands(const json_t *plugin, const char *head, FILE *out)
{
  const json_t *name = json_object_get(plugin, "name");
  size_t index;
  json_t *command;
  json_array_foreach(json_object_get(plugin, "commands"), index, command)
  {
    const char *verb = json_string_value(json_object_get(command, "verb"));
    const char *words = json_string_value(json_object_get(command, "words"));
    const char *help = json_string_value(json_object_get(command, "help"));
    fprintf(out, "%s%s %s", head, json_string_value(name) ? json_string_value(name) : "", verb ? verb : "");
    if (words) {
      fputc(' ', out);
      gg_cli_put_safe(out, words, strlen(words));
    }
    fputs("   ", out);
    gg_cli_put_safe(out, help ? help : "", help ? strlen(help) : 0);
    fputc('\n', out);
  }
}

static void put_plugin(const json_t *plugin)
{
  const json_t *version = json_object_get(plugin, "version"), *summary = json_object_get(plugin, "summary");
  const json_t *path = json_object_get(plugin, "path"), *state = json_object_get(plugin, "state");
  put_text(json_object_get(plugin, "name"));
  if (json_is_string(version)) {
    putchar(' ');
    put_text(version);
  }
  if (json_is_string(summary)) {
    fputs(": ", stdout);
    put_text(summary);
  }
  fputs("\n  file       ", stdout);
  if (json_is_string(path))
    put_text(path);
  else
    fputs("none: the program has it", stdout);
  fputs("\n  listeners  ", stdout);
  if (json_is_string(state) && strcmp(json_string_value(state), "leaving") == 0)
    puts("none: it is unloaded when the last session that it sees has ended");
  else
    put_listeners(plugin);
  fputs("  directions ", stdout);
  put_directions(plugin);
  put_commands(plugin, "  command    gogetway ", stdout);
  put_points(plugin);
  const json_t *missed = json_object_get(plugin, "missed_bytes");
  if (missed)
    printf("  missed     %" JSON_INTEGER_FORMAT " bytes that were observed too late\n", json_integer_value(missed));
  const json_t *sink = json_object_get(plugin, "sink");
  if (sink) {
    fputs("  sink       ", stdout);
    put_text(sink);
    printf(", %" JSON_INTEGER_FORMAT " bytes of the recording did not come, %" JSON_INTEGER_FORMAT " tries refused\n",
           json_integer_value(json_object_get(plugin, "sink_lost_bytes")),
           json_integer_value(json_object_get(plugin, "sink_errors")));
  }
}

static int put_lines(const json_t *plugins)
{
  size_t index;
  json_t *plugin;
  json_array_foreach(plugins, index, plugin)
  {
    char *line = json_dumps(plugin, JSON_COMPACT);
    if (!line)
      return gg_cli_fail("out of memory");
    puts(line);
    free(line);
  }
  return GG_EXIT_DONE;
}

static void put_all(const json_t *plugins)
{
  size_t index;
  json_t *plugin;
  if (json_array_size(plugins) == 0)
    puts("no plug-ins");
  json_array_foreach(plugins, index, plugin)
  {
    if (index > 0)
      putchar('\n');
    put_plugin(plugin);
  }
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_reply reply;
  int status = GG_EXIT_DONE;
  bool json;
  if (gg_cli_take_json(argc, argv, &json) != GG_EXIT_DONE)
    return GG_EXIT_USAGE;
  gg_cli_ask(cli, 0, "{\"command\":\"plugins\"}", &reply);
  const json_t *plugins = json_object_get(reply.object, "plugins");
  if (!reply.ok)
    status = json ? gg_cli_reply_put(&reply) : gg_cli_reply_fail(&reply);
  else if (json)
    status = put_lines(plugins);
  else
    put_all(plugins);
  gg_cli_reply_free(&reply);
  return status;
}

const struct gg_command gg_command_plugins = {
  .name = "plugins",
  .summary = "what plug-ins a running gateway has, and what they cost",
  .synopsis = "[--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "'directions' are those of open sessions (each has two) by what the plug-in wants of them now.\n"
    "TIME is what all calls took together, MEAN one of them; SLOW counts those that held up a worker for more\n"
    "than 10 ms. A plug-in's own commands are 'gogetway NAME VERB [WORD...]'.\n",
  .run = run,
};

/* ── A plug-in's own commands ────────────────────────────────────────────────────────────────────────────────────── */

static char *plugin_request(int argc, char **argv)
{
  json_t *words = json_array();
  for (int i = 2; i < argc; i++)
    if (json_array_append_new(words, json_string(argv[i])) != 0) {
      json_decref(words);
      return NULL;
    }
  json_t *request = json_pack("{s:s, s:s, s:o}", "command", "plugin", "plugin", argv[0], "words", words);
  bool whole = request && (argc < 2 || json_object_set_new(request, "verb", json_string(argv[1])) == 0);
  char *text = whole ? json_dumps(request, JSON_COMPACT) : NULL;
  json_decref(request);
  return text;
}

/* Lines as the plug-in has put them, whatever else it says made harmless. */
static int put_said(const struct gg_cli_reply *reply)
{
  const char *text = json_string_value(json_object_get(reply->object, "text"));
  while (text && *text) {
    size_t line = strcspn(text, "\n");
    gg_cli_put_safe(stdout, text, line);
    putchar('\n');
    text += line + (text[line] == '\n');
  }
  if (json_is_true(json_object_get(reply->object, "cut")))
    return gg_cli_fail("the plug-in had more to say than a reply has room for");
  return GG_EXIT_DONE;
}

/* Wrong words: what is wrong, and what would be right. */
static int tell_wrong(const struct gg_cli_reply *reply, const char *name)
{
  const char *error = json_string_value(json_object_get(reply->object, "error"));
  json_t *commands = json_object_get(reply->object, "commands");
  json_t *plugin = json_pack("{s:s, s:O}", "name", name, "commands", commands);
  gg_cli_wrong("%s%s", error ? error : "the command is wrong",
               json_array_size(commands) > 0 ? "; its commands are:" : "; it has no commands");
  if (plugin)
    put_commands(plugin, "  gogetway ", stderr);
  json_decref(plugin);
  return GG_EXIT_USAGE;
}

/* As gg_cli_ask, but whether there is a gateway at all is no failure. */
static bool ask(const struct gg_cli *cli, const char *request, struct gg_cli_reply *reply)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  *reply = (struct gg_cli_reply){0};
  int error = request ? gg_control_call(cli->dir, request, &reply->text, &failure) : 0;
  if (error == GG_ERR_NOT_FOUND)
    return false;
  reply->object = reply->text ? json_loads(reply->text, JSON_REJECT_DUPLICATES, NULL) : NULL;
  reply->ok = json_is_true(json_object_get(reply->object, "ok"));
  if (!request)
    gg_cli_reply_refuse(reply, "out of memory, or a word that is not valid UTF-8");
  else if (error)
    gg_cli_reply_refuse(reply, "%s", failure.message);
  else if (!json_is_object(reply->object))
    gg_cli_reply_refuse(reply, "the gateway on %s gave no sensible reply", cli->dir);
  return true;
}

int gg_cli_plugin(const struct gg_cli *cli, int argc, char **argv, struct gg_cli_reply *reply)
{
  if (argc > 1 && strcmp(argv[1], "--") == 0) {
    argv[1] = argv[0];
    argv++;
    argc--;
  }
  char *request = plugin_request(argc, argv);
  bool asked = ask(cli, request, reply);
  free(request);
  if (!asked || json_is_true(json_object_get(reply->object, "unknown")))
    return GG_CLI_NO_PLUGIN;
  if (reply->ok)
    return put_said(reply);
  if (json_is_true(json_object_get(reply->object, "wrong")))
    return tell_wrong(reply, argv[0]);
  return gg_cli_reply_fail(reply);
}

int gg_cli_plugin_help(const struct gg_cli *cli, const char *name)
{
  struct gg_cli_reply reply;
  int status = GG_CLI_NO_PLUGIN;
  size_t index;
  json_t *plugin;
  bool asked = ask(cli, "{\"command\":\"plugins\"}", &reply);
  json_array_foreach(asked ? json_object_get(reply.object, "plugins") : NULL, index, plugin)
  {
    const json_t *own = json_object_get(plugin, "name"), *summary = json_object_get(plugin, "summary");
    if (!json_is_string(own) || strcmp(json_string_value(own), name) != 0 || status == GG_EXIT_DONE)
      continue;
    printf("usage: gogetway %s VERB [WORD...]\n\nThe plug-in %s", name, name);
    if (json_is_string(summary)) {
      fputs(": ", stdout);
      put_text(summary);
    }
    puts(".\n");
    puts(json_array_size(json_object_get(plugin, "commands")) > 0 ? "commands:" : "It has no commands.");
    put_commands(plugin, "  gogetway ", stdout);
    status = GG_EXIT_DONE;
  }
  gg_cli_reply_free(&reply);
  return status;
}
