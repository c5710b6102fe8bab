/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - `gogetway stats`: what a running gateway counts, asked over the control socket in its store. */
#include "commands.h"

#include <gogetway/gogetway.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_COLUMN = 40 };

static const struct gg_cli_option options[] = {
  {"json", 'j', NULL, "one JSON object, as the gateway gives it"},
};

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

static int show(const struct gg_cli *cli, const char *text, bool json)
{
  json_t *reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
  int status = GG_EXIT_DONE;
  if (!json_is_object(reply))
    status = gg_cli_fail("the gateway on %s gave no sensible reply", cli->dir);
  else if (!json_is_true(json_object_get(reply, "ok")))
    status = gg_cli_fail("%s", json_string_value(json_object_get(reply, "error"))
                                 ? json_string_value(json_object_get(reply, "error"))
                                 : "the gateway refused, and did not say why");
  else if (json)
    puts(text);
  else
    put_table(reply);
  json_decref(reply);
  return status;
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_failure failure = GG_FAILURE_INIT;
  bool json = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    switch (what) {
    case 0:
      json = true;
      break;
    case GG_CLI_WORD:
      return gg_cli_wrong("stats: unexpected word '%s'", args.value);
    default:
      return GG_EXIT_USAGE;
    }
  }
  char *reply;
  if (gg_control_call(cli->dir, "{\"command\":\"stats\"}", &reply, &failure) != 0)
    return gg_cli_fail("%s", failure.message);
  int status = show(cli, reply, json);
  free(reply);
  return status;
}

const struct gg_command gg_command_stats = {
  .name = "stats",
  .summary = "what a running gateway counts",
  .synopsis = "[--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .run = run,
};
