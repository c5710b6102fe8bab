/* SPDX-License-Identifier: Apache-2.0 */
/**
 * embed-gateway.c - a recording gateway inside a program of one's own, on threads of its own. Another thread looks at
 * its sessions once in a while, cuts those that have sent too much, and ends it after some seconds.
 *
 *   embed-gateway UPSTREAM DIR SECONDS
 *
 * Listens on a free port of 127.0.0.1, prints its address on standard output, and records into DIR what passes to
 * UPSTREAM; at the end it prints what it has counted, as JSON. Build it with
 * `cc embed-gateway.c $(pkg-config --cflags --libs gogetway) -lpthread`.
 *
 * Fully static it is `cc -static embed-gateway.c $(pkg-config --static --cflags --libs gogetway) -lpthread`. The linker
 * then warns of getaddrinfo: glibc loads what resolves names when it runs, so an upstream given by name needs the same
 * glibc on the machine where the program runs; one given by its address does not. */
#include <gogetway/gogetway.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SENT_MAX = 1 << 20, SEEN_MAX = 64 };

/* The gateway's messages: one JSON object a line, from any of its threads. */
static void on_message(void *context, const char *line, size_t length)
{
  fprintf((FILE *)context, "gateway: %.*s\n", (int)length, line);
}

static void on_config_error(void *context, const char *line, size_t length)
{
  fprintf((FILE *)context, "configuration: %.*s\n", (int)length, line);
}

/* Sessions whose client has sent more than SENT_MAX bytes. Nothing of the gateway's may be called while it tells of
 * them, so their keys are kept. */
struct greedy {
  size_t count;
  struct gg_session_key keys[SEEN_MAX];
};

static bool look_at(void *context, const struct gg_session_info *session)
{
  struct greedy *greedy = (struct greedy *)context;
  if (session->received[GG_SIDE_CLIENT] > SENT_MAX)
    greedy->keys[greedy->count++] = session->key;
  return greedy->count < SEEN_MAX;
}

static void cut_greedy(struct gg_gateway *gateway)
{
  struct greedy greedy;
  struct gg_verdict verdict;
  greedy.count = 0;
  memset(&verdict, 0, sizeof verdict);
  verdict.kind = GG_VERDICT_RESET;
  verdict.reason = "more than a megabyte";
  gg_gateway_sessions(gateway, look_at, &greedy);
  for (size_t i = 0; i < greedy.count; i++)
    gg_gateway_session_cut(gateway, &greedy.keys[i], &verdict); /* it may have ended meanwhile: then nothing happens */
}

struct watch {
  struct gg_gateway *gateway;
  long seconds;
};

static void *look_and_end(void *context)
{
  const struct watch *watch = (const struct watch *)context;
  const struct timespec tenth = {0, 100000000};
  for (long i = 0; i < watch->seconds * 10; i++) {
    cut_greedy(watch->gateway);
    nanosleep(&tenth, NULL);
  }
  gg_gateway_drain(watch->gateway);
  return NULL;
}

static int run(struct gg_gateway *gateway, long seconds, struct gg_failure *failure)
{
  struct watch watch = {gateway, seconds};
  pthread_t thread;
  char address[256], *json;
  int error = gg_gateway_start(gateway, failure);
  if (error)
    return error;
  gg_gateway_listener(gateway, 0, address, sizeof address);
  printf("%s\n", address);
  fflush(stdout);
  if (pthread_create(&thread, NULL, look_and_end, &watch) != 0)
    return gg_fail(failure, GG_ERR_NOMEM, "cannot make a thread");
  error = gg_gateway_wait(gateway, failure);
  pthread_join(thread, NULL);
  if (gg_gateway_stats(gateway, &json, NULL) == 0)
    printf("%s\n", json);
  free(json);
  return error;
}

int main(int argc, char **argv)
{
  if (argc != 4) {
    fprintf(stderr, "usage: embed-gateway UPSTREAM DIR SECONDS\n");
    return 2;
  }
  const char *arguments[] = {"--listen", "127.0.0.1:0", "--upstream", argv[1], "--dir", argv[2]};
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
    fprintf(stderr, "embed-gateway: %s\n", failure.message);
  return error ? 1 : 0;
}
