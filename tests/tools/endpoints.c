/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoints: both ends of many random sessions, for tests of what stands between them.
 *
 *   endpoints run --connect ADDR --listen ADDR --seed N --sessions N [--concurrency N] ...
 *   endpoints stream --seed N --index N --side client|server [--offset N] [--bytes N]
 *   endpoints verify --seed N < LINES
 *
 * `run` prints one JSON object a session on standard output, and a summary last; `stream` writes
 * the bytes that a side of a session sends; `verify` reads lines of "INDEX SIDE PATH" and tells for
 * each file, as JSON, whether it is a prefix of that stream. See README.md beside this file.
 *
 * Exit status: 0 done (whatever the sessions saw: that is in the output), 2 a wrong command line,
 * 3 it could not be done.
 */
#include "endpoints.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum option_id {
  OPTION_SEED = 256,
  OPTION_SESSIONS,
  OPTION_FIRST,
  OPTION_CONCURRENCY,
  OPTION_CONNECT,
  OPTION_LISTEN,
  OPTION_UNIQUE_SOURCE,
  OPTION_RESET,
  OPTION_URGENT,
  OPTION_ZERO,
  OPTION_SLOW,
  OPTION_BYTES_MAX,
  OPTION_CLIENT_BYTES,
  OPTION_SERVER_BYTES,
  OPTION_DEADLINE,
  OPTION_INDEX,
  OPTION_SIDE,
  OPTION_OFFSET,
  OPTION_BYTES
};

static const struct option long_options[] = {
  {"seed", required_argument, NULL, OPTION_SEED},
  {"sessions", required_argument, NULL, OPTION_SESSIONS},
  {"first", required_argument, NULL, OPTION_FIRST},
  {"concurrency", required_argument, NULL, OPTION_CONCURRENCY},
  {"connect", required_argument, NULL, OPTION_CONNECT},
  {"listen", required_argument, NULL, OPTION_LISTEN},
  {"unique-source", no_argument, NULL, OPTION_UNIQUE_SOURCE},
  {"reset-percent", required_argument, NULL, OPTION_RESET},
  {"urgent-percent", required_argument, NULL, OPTION_URGENT},
  {"zero-percent", required_argument, NULL, OPTION_ZERO},
  {"slow-percent", required_argument, NULL, OPTION_SLOW},
  {"bytes-max", required_argument, NULL, OPTION_BYTES_MAX},
  {"client-bytes", required_argument, NULL, OPTION_CLIENT_BYTES},
  {"server-bytes", required_argument, NULL, OPTION_SERVER_BYTES},
  {"deadline", required_argument, NULL, OPTION_DEADLINE},
  {"index", required_argument, NULL, OPTION_INDEX},
  {"side", required_argument, NULL, OPTION_SIDE},
  {"offset", required_argument, NULL, OPTION_OFFSET},
  {"bytes", required_argument, NULL, OPTION_BYTES},
  {NULL, 0, NULL, 0},
};

struct command {
  struct run_options run;
  uint32_t index;
  enum side side;
  uint64_t offset;
  uint64_t bytes;
};

static int usage(const char *what)
{
  fprintf(stderr, "endpoints: %s\nusage: endpoints run|stream|verify --seed N ... (see tests/tools/README.md)\n", what);
  return 2;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *value)
{
  char *end = NULL;
  errno = 0;
  unsigned long long parsed = strtoull(text, &end, 0);
  if (errno != 0 || end == text || *end != '\0' || parsed > max)
    return false;
  *value = parsed;
  return true;
}

static bool parse_side(const char *text, enum side *side)
{
  *side = strcmp(text, "server") == 0 ? SIDE_SERVER : SIDE_CLIENT;
  return strcmp(text, "client") == 0 || strcmp(text, "server") == 0;
}

/* The options whose value is an address or a word. Returns 1 when `id` is one of them, -1 when its value is wrong. */
static int take_word(struct command *command, int id)
{
  switch (id) {
  case OPTION_CONNECT:
    return address_parse(optarg, &command->run.connect, &command->run.connect_size) ? 1 : -1;
  case OPTION_LISTEN:
    return address_parse(optarg, &command->run.listen, &command->run.listen_size) ? 1 : -1;
  case OPTION_UNIQUE_SOURCE:
    command->run.unique_source = true;
    return 1;
  case OPTION_SIDE:
    return parse_side(optarg, &command->side) ? 1 : -1;
  default:
    return 0;
  }
}

static bool take_option(struct command *command, int id)
{
  int word = take_word(command, id);
  if (word != 0)
    return word > 0;
  struct script_options *script = &command->run.script;
  uint64_t value = 0;
  if (!parse_number(optarg, UINT64_MAX, &value))
    return false;
  switch (id) {
  case OPTION_SEED:
    script->seed = value;
    return true;
  case OPTION_SESSIONS:
    command->run.sessions = (uint32_t)value;
    return value <= SESSIONS_MAX;
  case OPTION_FIRST:
    command->run.first = (uint32_t)value;
    return value <= UINT32_MAX - SESSIONS_MAX;
  case OPTION_CONCURRENCY:
    command->run.concurrency = (unsigned)value;
    return value >= 1 && value <= CONCURRENCY_MAX;
  case OPTION_RESET:
    script->reset_percent = (unsigned)value;
    return value <= 100;
  case OPTION_URGENT:
    script->urgent_percent = (unsigned)value;
    return value <= 100;
  case OPTION_ZERO:
    script->zero_percent = (unsigned)value;
    return value <= 100;
  case OPTION_SLOW:
    script->slow_percent = (unsigned)value;
    return value <= 100;
  case OPTION_BYTES_MAX:
    script->bytes_max = value;
    return true;
  case OPTION_CLIENT_BYTES:
    script->fixed = true;
    script->fixed_bytes[SIDE_CLIENT] = value;
    return true;
  case OPTION_SERVER_BYTES:
    script->fixed = true;
    script->fixed_bytes[SIDE_SERVER] = value;
    return true;
  case OPTION_DEADLINE:
    command->run.deadline_s = value;
    return value <= 86400;
  case OPTION_INDEX:
    command->index = (uint32_t)value;
    return value <= UINT32_MAX;
  case OPTION_OFFSET:
    command->offset = value;
    return true;
  case OPTION_BYTES:
    command->bytes = value;
    return true;
  default:
    return false;
  }
}

static int stream(const struct command *command)
{
  static uint8_t buffer[WRITE_BYTES_MAX];
  struct session_script script;
  session_script_make(&command->run.script, command->index, &script);
  uint64_t total = script.side[command->side].stream_bytes;
  uint64_t offset = command->offset;
  uint64_t end = command->bytes == UINT64_MAX ? total : offset + command->bytes;
  while (offset < end) {
    size_t size = end - offset < sizeof buffer ? (size_t)(end - offset) : sizeof buffer;
    session_stream_bytes(command->run.script.seed, command->index, command->side, offset, buffer, size);
    if (fwrite(buffer, 1, size, stdout) != size)
      return 3;
    offset += size;
  }
  return fflush(stdout) == 0 ? 0 : 3;
}

/* Compares one file with the stream it should be the beginning of, and prints what was found. */
static bool verify_file(uint64_t seed, uint32_t index, enum side side, const char *path)
{
  static uint8_t buffer[WRITE_BYTES_MAX];
  static uint8_t expected[WRITE_BYTES_MAX];
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    fprintf(stderr, "endpoints: %s: %s\n", path, strerror(errno));
    return false;
  }
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
  uint64_t offset = 0;
  uint64_t difference = UINT64_MAX;
  size_t got = 0;
  while ((got = fread(buffer, 1, sizeof buffer, file)) > 0) {
    EVP_DigestUpdate(hash, buffer, got);
    session_stream_bytes(seed, index, side, offset, expected, got);
    for (size_t i = 0; difference == UINT64_MAX && memcmp(expected, buffer, got) != 0 && i < got; i++)
      difference = expected[i] != buffer[i] ? offset + i : UINT64_MAX;
    offset += got;
  }
  fclose(file);
  unsigned char digest[32];
  unsigned digest_bytes = 0;
  EVP_DigestFinal_ex(hash, digest, &digest_bytes);
  EVP_MD_CTX_free(hash);
  printf("{\"index\":%" PRIu32 ",\"side\":\"%s\",\"bytes\":%" PRIu64 ",\"sha256\":\"", index,
         side == SIDE_CLIENT ? "client" : "server", offset);
  print_hex(stdout, digest, sizeof digest);
  printf("\",\"first_difference\":");
  if (difference == UINT64_MAX)
    printf("null}\n");
  else
    printf("%" PRIu64 "}\n", difference);
  return true;
}

static int verify(const struct command *command)
{
  char *line = NULL;
  size_t capacity = 0;
  bool good = true;
  while (good && getline(&line, &capacity, stdin) > 0) {
    uint64_t index = 0;
    enum side side = SIDE_CLIENT;
    char *rest = line;
    const char *index_text = strsep(&rest, " ");
    const char *side_text = strsep(&rest, " ");
    if (rest != NULL)
      rest[strcspn(rest, "\n")] = '\0';
    good = rest != NULL && parse_number(index_text, UINT32_MAX, &index) && parse_side(side_text, &side) &&
           verify_file(command->run.script.seed, (uint32_t)index, side, rest);
  }
  free(line);
  return good ? 0 : 3;
}

int main(int argc, char **argv)
{
  struct command command = {
    .run = {.script = SCRIPT_OPTIONS_INIT, .sessions = 1, .concurrency = 32, .deadline_s = 300},
    .bytes = UINT64_MAX,
  };
  if (argc < 2)
    return usage("a command is missing");
  const char *name = argv[1];
  argv[1] = argv[0];
  int id = 0;
  while ((id = getopt_long(argc - 1, argv + 1, "", long_options, NULL)) != -1) {
    if (id == '?' || !take_option(&command, id))
      return usage(optarg != NULL ? optarg : "an option is wrong");
  }
  if (optind != argc - 1)
    return usage("a word too many");
  if (strcmp(name, "run") == 0) {
    if (command.run.connect_size == 0 && command.run.listen_size == 0)
      return usage("run needs --connect or --listen");
    return endpoints_run(&command.run);
  }
  if (strcmp(name, "stream") == 0)
    return stream(&command);
  if (strcmp(name, "verify") == 0)
    return verify(&command);
  return usage(name);
}
