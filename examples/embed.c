/* SPDX-License-Identifier: Apache-2.0 */
/**
 * embed.c - a recording gateway inside a program of one's own, ended after some seconds by another thread.
 *
 *   embed UPSTREAM DIR SECONDS
 *
 * Listens on a free port of 127.0.0.1, prints its address on standard output, and records into DIR what passes to
 * UPSTREAM. Build it with `cc embed.c $(pkg-config --cflags --libs gogetway) -lpthread`.
 *
 * Fully static it is `cc -static embed.c $(pkg-config --static --cflags --libs gogetway) -lpthread`. The linker then
 * warns of getaddrinfo: glibc loads what resolves names when it runs, so an upstream given by name needs the same glibc
 * on the machine where the program runs; one given by its address does not.
 */
#include <gogetway/gogetway.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The gateway's messages: one JSON object a line, from any of its threads. */
static void on_message(void *context, const char *line, size_t length)
{
  fprintf(context, "gateway: %.*s\n", (int)length, line);
}

static void on_config_error(void *context, const char *line, size_t length)
{
  fprintf(context, "configuration: %.*s\n", (int)length, line);
}

struct ending {
  struct gg_gateway *gateway;
  long seconds;
};

static void *end_later(void *context)
{
  const struct ending *ending = context;
  const struct timespec pause = {.tv_sec = ending->seconds};
  nanosleep(&pause, NULL);
  gg_gateway_drain(ending->gateway);
  return NULL;
}

static int run(struct gg_gateway *gateway, long seconds, struct gg_failure *failure)
{
  struct ending ending = {gateway, seconds};
  pthread_t thread;
  char address[256];
  int error = gg_gateway_start(gateway, failure);
  if (error)
    return error;
  gg_gateway_listener(gateway, 0, address, sizeof address);
  printf("%s\n", address);
  fflush(stdout);
  if (pthread_create(&thread, NULL, end_later, &ending) != 0)
    return gg_fail(failure, GG_ERR_NOMEM, "cannot make a thread");
  error = gg_gateway_wait(gateway, failure);
  pthread_join(thread, NULL);
  return error;
}

int main(int argc, char **argv)
{
  if (argc != 4) {
    fprintf(stderr, "usage: embed UPSTREAM DIR SECONDS\n");
    return 2;
  }
  const char *arguments[] = {"--listen", "127.0.0.1:0", "--upstream", argv[1], "--dir", argv[2], "--workers", "1"};
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_gateway *gateway = NULL;

  signal(SIGPIPE, SIG_IGN);
  options.arguments = arguments;
  options.argument_count = sizeof arguments / sizeof arguments[0];
  options.on_config_error = on_config_error;
  options.log = on_message;
  options.context = stderr;
  int error = gg_gateway_create(&gateway, &options, &failure);
  if (!error)
    error = run(gateway, strtol(argv[3], NULL, 10), &failure);
  gg_gateway_destroy(gateway);
  if (error)
    fprintf(stderr, "embed: %s\n", failure.message);
  return error ? 1 : 0;
}
