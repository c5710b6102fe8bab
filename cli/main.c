/* SPDX-License-Identifier: Apache-2.0 */
/**
 * main.c - the program: finds the command, takes out what all commands have in common (--dir, --help), and runs it.
 *
 * To add a command: write cli/<name>.c with its `struct gg_command`, declare it in commands.h, add a row below.
 */
#include "commands.h"
#include "plugins.h"

#include <gogetway/gogetway.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static int run_help(const struct gg_cli *cli, int argc, char **argv);
static const struct gg_command command_help = {
  .name = "help",
  .summary = "what a command does and which options it has",
  .synopsis = "[COMMAND|filters]",
  .run = run_help,
};

/* In the order in which the help lists them. */
static const struct gg_command *const commands[] = {
  &gg_command_run,     &gg_command_sessions,  &gg_command_show,    &gg_command_messages, &gg_command_export,
  &gg_command_grep,    &gg_command_replay,    &gg_command_tail,    &gg_command_verify,   &gg_command_tag,
  &gg_command_hold,    &gg_command_prune,     &gg_command_reindex, &gg_command_stats,    &gg_command_upstreams,
  &gg_command_plugins, &gg_command_protocols, &gg_command_reload,  &gg_command_rotate,   &command_help,
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0], PLUGINS_MAX = 64 };

static void print_usage(FILE *out)
{
  fputs("usage: gogetway COMMAND [OPTION...]\n\n"
        "A TCP gateway that records every byte that passes through it, and plays it again.\n\ncommands:\n",
        out);
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
  fputs("\n'gogetway help filters' says how sessions are chosen.\n"
        "Plug-ins of a running gateway may have more: gogetway NAME VERB [WORD...]. 'gogetway plugins' lists them.\n"
        "--dir DIR may stand anywhere; its default is $GOGETWAY_DIR, then ./gogetway-data.\n"
        "Exit status: 0 done; 1 a difference, a failed verification, or nothing found by grep; 2 the command was "
        "wrong; 3 it could not be "
        "done.\n",
        out);
}

static const struct gg_command *find_command(const char *name)
{
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    if (strcmp(commands[i]->name, name) == 0)
      return commands[i];
  return NULL;
}

/* `plugins`: the names of a running gateway's, if one was asked. */
static int unknown_command(const char *word, const json_t *plugins)
{
  const char *names[COMMAND_COUNT + PLUGINS_MAX];
  size_t count = 0;
  for (; count < COMMAND_COUNT; count++)
    names[count] = commands[count]->name;
  for (size_t i = 0; i < json_array_size(plugins) && count < COMMAND_COUNT + PLUGINS_MAX; i++)
    if (json_is_string(json_array_get(plugins, i)))
      names[count++] = json_string_value(json_array_get(plugins, i));
  const char *nearest = gg_cli_nearest(word, names, count);
  if (nearest)
    return gg_cli_wrong("unknown command '%s'; did you mean '%s'?", word, nearest);
  return gg_cli_wrong("unknown command '%s'; 'gogetway help' lists them", word);
}

/* A plug-in's command, or none. */
static int foreign_command(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_reply reply;
  int status = gg_cli_plugin(cli, argc, argv, &reply);
  if (status == GG_CLI_NO_PLUGIN)
    status = unknown_command(argv[0], json_object_get(reply.object, "plugins"));
  gg_cli_reply_free(&reply);
  return status;
}

static int help(const struct gg_cli *cli, const char *name)
{
  if (!name) {
    print_usage(stdout);
    return GG_EXIT_DONE;
  }
  const struct gg_command *command = find_command(name);
  if (command)
    return gg_cli_print_help(command, stdout);
  if (strcmp(name, "filters") == 0)
    return gg_cli_print_filters(stdout);
  int status = gg_cli_plugin_help(cli, name);
  return status == GG_CLI_NO_PLUGIN ? unknown_command(name, NULL) : status;
}

static int run_help(const struct gg_cli *cli, int argc, char **argv)
{
  return help(cli, argc > 1 ? argv[1] : NULL);
}

struct common {
  struct gg_cli cli;
  bool help;
  bool version; /* only in front of the command */
};

/* Takes the common options out of argv, wherever they stand before "--". Returns the new argc, or -1 after telling. */
static int take_common(struct common *common, int argc, char **argv)
{
  int kept = 1;
  bool options = true;
  for (int i = 1; i < argc; i++) {
    if (options && (strcmp(argv[i], "--dir") == 0 || strncmp(argv[i], "--dir=", 6) == 0)) {
      const char *dir = argv[i][5] == '=' ? argv[i] + 6 : argv[++i];
      if (!dir || common->cli.dir_given) {
        gg_cli_wrong(dir ? "--dir was already given" : "--dir needs a value: --dir DIR");
        return -1;
      }
      common->cli.dir = dir;
      common->cli.dir_given = common->cli.dir_named = true;
    } else if (options && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
      common->help = true;
    } else if (options && kept == 1 && (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)) {
      common->version = true;
    } else {
      if (strcmp(argv[i], "--") == 0)
        options = false;
      argv[kept++] = argv[i];
    }
  }
  argv[kept] = NULL;
  return kept;
}

static int dispatch(const struct common *common, int argc, char **argv)
{
  const char *name = argc > 1 ? argv[1] : NULL;
  if (common->version) {
    printf("gogetway %s\n", gg_version());
    return GG_EXIT_DONE;
  }
  if (common->help)
    return help(&common->cli, name && strcmp(name, "help") == 0 ? (argc > 2 ? argv[2] : NULL) : name);
  if (!name) {
    print_usage(stderr);
    return GG_EXIT_USAGE;
  }
  const struct gg_command *command = find_command(name);
  if (command)
    return command->run(&common->cli, argc - 1, argv + 1);
  if (name[0] == '-')
    return gg_cli_wrong("unknown option %s in front of the command; 'gogetway help' lists the commands", name);
  return foreign_command(&common->cli, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
  struct common common = {0};
  /* A reader that goes away (`| head`) is an error of write(2), not a death. */
  signal(SIGPIPE, SIG_IGN);
  argc = take_common(&common, argc, argv);
  if (argc < 0)
    return GG_EXIT_USAGE;
  if (!common.cli.dir) {
    const char *dir = getenv("GOGETWAY_DIR");
    common.cli.dir_named = dir && *dir;
    common.cli.dir = common.cli.dir_named ? dir : "./gogetway-data";
  }
  if (common.cli.dir[0] == '\0')
    return gg_cli_wrong("--dir is empty");
  return gg_cli_finish(dispatch(&common, argc, argv));
}
