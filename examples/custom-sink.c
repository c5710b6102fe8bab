/* SPDX-License-Identifier: Apache-2.0 */
/**
 * custom-sink.c - a recording gateway inside a program that gets the recording's blocks itself, beside the files: here
 * it only counts and hashes them, where another would send them to a database or to another machine.
 *
 *   custom-sink UPSTREAM DIR [best-effort]
 *
 * Listens on a free port of 127.0.0.1, prints its address on standard output, forwards to UPSTREAM and records into
 * DIR. For each file of the recording that is complete it prints its name, its bytes, and the FNV-1a hash of all that
 * the sink was given of it: the same as that of the file. SIGINT and SIGTERM let open sessions end; the second one
 * closes them.
 *
 * As it is, the sink is required: while it returned an error, or did not return, the gateway would act as if the disk
 * were full, or slow. With `best-effort` the gateway would go on, and the sink would be told what it has missed.
 *
 * Build it with `cc custom-sink.c $(pkg-config --cflags --libs gogetway) -lpthread`.
 */
#include <gogetway/gogetway.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { FILES_MAX = 64, NAME_BYTES = 128 };

/* A file of which something has come, and its end has not. There is one for each log of the gateway at a time. */
struct file {
  char name[NAME_BYTES]; /* empty: a free place */
  uint64_t bytes;
  uint64_t hash;
};

static struct {
  pthread_mutex_t lock; /* blocks and sealed files come on different threads */
  struct file files[FILES_MAX];
} sink = {PTHREAD_MUTEX_INITIALIZER, {{{0}, 0, 0}}};

/* Under the lock. NULL: there is none of that name. */
static struct file *find(const char *name)
{
  for (int i = 0; i < FILES_MAX; i++)
    if (strcmp(sink.files[i].name, name) == 0)
      return &sink.files[i];
  return NULL;
}

static struct file *begin(const char *name)
{
  struct file *file = find("");
  if (!file)
    return NULL;
  snprintf(file->name, sizeof file->name, "%s", name);
  file->bytes = 0;
  file->hash = UINT64_C(0xcbf29ce484222325);
  return file;
}

/* The parts of a file come in order. What is not taken comes again. */
static int on_sink(void *self, const struct gg_sink_block *block, struct gg_failure *failure)
{
  const uint8_t *bytes = (const uint8_t *)block->bytes;
  (void)self;
  pthread_mutex_lock(&sink.lock);
  struct file *file = find(block->segment);
  if (!file)
    file = begin(block->segment);
  for (size_t i = 0; file && i < block->length; i++)
    file->hash = (file->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
  if (file)
    file->bytes += block->length;
  pthread_mutex_unlock(&sink.lock);
  return file ? 0 : gg_plugin_fail(failure, GG_ERR_LIMIT, "more than %d files at a time", FILES_MAX);
}

/* Behind the last of its blocks. One that a killed process had begun was completed without the sink. */
static void on_sealed(void *self, const struct gg_sealed *sealed)
{
  (void)self;
  pthread_mutex_lock(&sink.lock);
  struct file *file = find(sealed->name);
  if (sealed->recovered)
    printf("%s recovered\n", sealed->name);
  else if (!file || file->bytes != sealed->bytes)
    printf("%s %" PRIu64 " of %" PRIu64 " bytes\n", sealed->name, file ? file->bytes : 0, sealed->bytes);
  else
    printf("%s %" PRIu64 " %016" PRIx64 "\n", sealed->name, file->bytes, file->hash);
  if (file)
    file->name[0] = '\0';
  pthread_mutex_unlock(&sink.lock);
  fflush(stdout);
}

static void on_line(void *context, const char *line, size_t length)
{
  (void)context;
  fprintf(stderr, "%.*s\n", (int)length, line);
}

static struct gg_gateway *gateway;

static void on_signal(int number)
{
  gg_gateway_signal(gateway, number);
}

static int run(const struct gg_plugin *table, bool best_effort, struct gg_failure *failure)
{
  struct gg_plugin_add_options options = GG_PLUGIN_ADD_OPTIONS_INIT;
  char address[256];
  options.sink = best_effort ? GG_PLUGIN_SINK_BEST_EFFORT : GG_PLUGIN_SINK_REQUIRED;
  int error = gg_gateway_plugin_add(gateway, table, &options, failure);
  if (!error)
    error = gg_gateway_start(gateway, failure);
  if (error)
    return error;
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  gg_gateway_listener(gateway, 0, address, sizeof address);
  printf("%s\n", address);
  fflush(stdout);
  return gg_gateway_wait(gateway, failure);
}

int main(int argc, char **argv)
{
  if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "best-effort") != 0)) {
    fprintf(stderr, "usage: custom-sink UPSTREAM DIR [best-effort]\n");
    return 2;
  }
  const char *const arguments[] = {"--listen", "127.0.0.1:0", "--upstream", argv[1], "--dir", argv[2]};
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plugin table = GG_PLUGIN_INIT;
  table.name = "custom-sink";
  table.sink = on_sink;
  table.sealed = on_sealed;
  options.arguments = arguments;
  options.argument_count = sizeof arguments / sizeof arguments[0];
  options.log = on_line;
  int error = gg_gateway_create(&gateway, &options, &failure);
  if (!error)
    error = run(&table, argc == 4, &failure);
  if (error)
    fprintf(stderr, "custom-sink: %s\n", failure.message);
  gg_gateway_destroy(gateway);
  return error ? 1 : 0;
}
