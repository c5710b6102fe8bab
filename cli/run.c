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
static struct gg_gateway *signalled_gateway;

static void on_signal(int number)
{
  gg_gateway_signal(signalled_gateway, number);
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

static int run_gateway(struct gg_gateway *gateway)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  gg_cli_raise_descriptor_limit();
  signalled_gateway = gateway;
  set_handlers(on_signal);
  int error = gg_gateway_start(gateway, &failure);
  if (!error)
    error = gg_gateway_wait(gateway, &failure);
  /* Everything is on disk; a signal from here on need not wait. */
  set_handlers(SIG_DFL);
  signalled_gateway = NULL;
  return error ? gg_cli_fail("%s", failure.message) : GG_EXIT_DONE;
}

static int print_text(struct gg_gateway *gateway)
{
  if (gg_gateway_action(gateway) == GG_GATEWAY_CHECK) {
    puts("the configuration is good");
    return GG_EXIT_DONE;
  }
  char *text = gg_gateway_text(gateway);
  if (!text)
    return gg_cli_fail("out of memory");
  fputs(text, stdout);
  free(text);
  return GG_EXIT_DONE;
}

static int help(FILE *out)
{
  char *text = gg_gateway_help();
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
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_gateway *gateway = NULL;
  bool told = false;
  const char **arguments = collect_arguments(cli, argc, argv, &options.argument_count);
  if (!arguments)
    return gg_cli_fail("out of memory");
  options.arguments = arguments;
  options.on_config_error = tell_config_error;
  options.context = &told;
  options.log_fd = STDERR_FILENO;
  options.own_process = true;
  int error = gg_gateway_create(&gateway, &options, &failure);
  free(arguments);
  if (error && !told)
    return gg_cli_fail("%s", failure.message);
  if (error)
    return error == GG_ERR_NOMEM ? GG_EXIT_FAILED : GG_EXIT_USAGE;
  int status = gg_gateway_action(gateway) == GG_GATEWAY_RUN ? run_gateway(gateway) : print_text(gateway);
  gg_gateway_destroy(gateway);
  return status;
}

const struct gg_command gg_command_run = {
  .name = "run",
  .summary = "the gateway: accept, record, pass on",
  .synopsis = "--listen ADDR --upstream ADDR [--listen ... --upstream ...] [OPTION...] | -c FILE",
  .help = help,
  .run = run,
};
