/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - `gogetway run`: the gateway itself. */
#include "commands.h"

#include <gogetway/gogetway.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the signal handler speaks to; set before the handlers are, and cleared after they are gone. */
static struct gg_engine *signalled_engine;

static void on_signal(int number)
{
  gg_engine_signal(signalled_engine, number);
}

static void set_handlers(void (*handler)(int))
{
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    sigaction(numbers[i], &action, NULL);
}

static void tell_config_error(void *context, const char *line, size_t length)
{
  *(bool *)context = true;
  fputs("gogetway: ", stderr);
  gg_cli_put_safe(stderr, line, length);
  fputc('\n', stderr);
}

static int run_gateway(struct gg_engine *engine)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  gg_cli_raise_descriptor_limit();
  signalled_engine = engine;
  set_handlers(on_signal);
  int error = gg_engine_start(engine, &failure);
  if (!error)
    error = gg_engine_wait(engine, &failure);
  /* Everything is on disk; a signal from here on need not wait. */
  set_handlers(SIG_DFL);
  signalled_engine = NULL;
  return error ? gg_cli_fail("%s", failure.message) : GG_EXIT_DONE;
}

static int print_text(struct gg_engine *engine)
{
  if (gg_engine_action(engine) == GG_ENGINE_CHECK) {
    puts("the configuration is good");
    return GG_EXIT_DONE;
  }
  char *text = gg_engine_text(engine);
  if (!text)
    return gg_cli_fail("out of memory");
  fputs(text, stdout);
  free(text);
  return GG_EXIT_DONE;
}

static int help(FILE *out)
{
  char *text = gg_engine_help();
  if (!text)
    return gg_cli_fail("out of memory");
  fputs(text, out);
  free(text);
  return GG_EXIT_DONE;
}

/* The command's arguments, with the --dir that main took out. The caller frees the array. */
static const char **collect_arguments(const struct gg_cli *cli, int argc, char **argv, size_t *count)
{
  const char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
  *count = 0;
  if (!arguments)
    return NULL;
  for (int i = 1; i < argc; i++)
    arguments[(*count)++] = argv[i];
  if (cli->dir_given) {
    arguments[(*count)++] = "--dir";
    arguments[(*count)++] = cli->dir;
  }
  return arguments;
}

static int run(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_engine_options options = GG_ENGINE_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_engine *engine = NULL;
  bool told = false;
  const char **arguments = collect_arguments(cli, argc, argv, &options.argument_count);
  if (!arguments)
    return gg_cli_fail("out of memory");
  options.arguments = arguments;
  options.on_config_error = tell_config_error;
  options.context = &told;
  options.log_fd = STDERR_FILENO;
  options.own_process = true;
  int error = gg_engine_create(&engine, &options, &failure);
  free(arguments);
  if (error && !told)
    return gg_cli_fail("%s", failure.message);
  if (error)
    return error == GG_ERR_NOMEM ? GG_EXIT_FAILED : GG_EXIT_USAGE;
  int status = gg_engine_action(engine) == GG_ENGINE_RUN ? run_gateway(engine) : print_text(engine);
  gg_engine_destroy(engine);
  return status;
}

const struct gg_command gg_command_run = {
  .name = "run",
  .summary = "the gateway: accept, record, pass on",
  .synopsis = "--listen ADDR --upstream ADDR [--listen ... --upstream ...] [OPTION...] | -c FILE",
  .help = help,
  .run = run,
};
