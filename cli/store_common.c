/* SPDX-License-Identifier: Apache-2.0 */
#include "store_common.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARNINGS_SHOWN_MAX = 20, JSON_FIRST_SIZE = 8192, POINT_BEFORE_MAX = 60, POINT_AFTER_MAX = 40 };

bool gg_cli_add_word(struct gg_cli_words *words, const char *word)
{
  if (words->count == GG_CLI_WORDS_MAX) {
    gg_cli_wrong("more than %d filter words", GG_CLI_WORDS_MAX);
    return false;
  }
  words->words[words->count++] = word;
  return true;
}

bool gg_cli_add_filter(struct gg_cli_words *words, const char *expression)
{
  if (words->filter_count == GG_CLI_FILTERS_MAX) {
    gg_cli_wrong("more than %d times --filter", GG_CLI_FILTERS_MAX);
    return false;
  }
  words->filters[words->filter_count++] = expression;
  return true;
}

int gg_cli_store_fail(const struct gg_failure *failure)
{
  const char *hint = "";
  if (failure->code == GG_ERR_NOT_FOUND || failure->code == GG_ERR_FORMAT)
    hint = " (--dir DIR says where the recording is)";
  else if (failure->code == GG_ERR_DENIED)
    hint = " (it takes the rights of the store's owner)";
  else if (strstr(failure->message, strerror(EROFS)))
    hint = " (it has to write into the store; a copy of that on another disk will do)";
  return gg_cli_fail("%s%s", failure->message, hint);
}

int gg_cli_open_store(const struct gg_cli *cli, struct gg_store **out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_open(out, cli->dir, NULL, &failure) == 0)
    return GG_EXIT_DONE;
  return gg_cli_store_fail(&failure);
}

/* How many bytes a character of UTF-8 has: one, and those that go on with it. */
static size_t character_bytes(const char *text)
{
  size_t bytes = 1;
  while (((unsigned char)text[bytes] & 0xc0) == 0x80)
    bytes++;
  return bytes;
}

/* What of an expression is around the character `column` (from 1), on one line, and a caret below it. */
static void point_at(const char *expression, size_t column)
{
  const char *mark = column > POINT_BEFORE_MAX ? "  ..." : "  ";
  size_t caret = strlen(mark), character = 1;
  fputs(mark, stderr);
  for (const char *at = expression; *at; at += character_bytes(at), character++) {
    if (character + POINT_BEFORE_MAX <= column || character > column + POINT_AFTER_MAX)
      continue;
    if ((unsigned char)*at < 0x20)
      fputc(' ', stderr);
    else
      gg_cli_put_safe(stderr, at, character_bytes(at));
    caret += character < column;
  }
  fprintf(stderr, "\n%*s^\n", (int)caret, "");
}

static int parse_expression(const char *expression, struct gg_filter **out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  static const char front[] = "column ";
  int error = gg_filter_parse_text(out, expression, gg_cli_now_ns(), &failure);
  if (!error)
    return GG_EXIT_DONE;
  if (error == GG_ERR_NOMEM)
    return gg_cli_fail("%s", failure.message);
  gg_cli_wrong("--filter: %s", failure.message);
  if (strncmp(failure.message, front, strlen(front)) == 0)
    point_at(expression, strtoul(failure.message + strlen(front), NULL, 10));
  return GG_EXIT_USAGE;
}

static int add_expression(const char *expression, struct gg_filter **filter)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *other = NULL;
  int status = parse_expression(expression, &other);
  if (status != GG_EXIT_DONE)
    return status;
  int error = gg_filter_and(filter, other, &failure);
  if (!error)
    return GG_EXIT_DONE;
  return error == GG_ERR_NOMEM ? gg_cli_fail("%s", failure.message) : gg_cli_wrong("%s", failure.message);
}

int gg_cli_parse_filter(const struct gg_cli_words *words, struct gg_filter **out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = gg_filter_parse(out, words->words, words->count, gg_cli_now_ns(), &failure);
  if (error)
    return error == GG_ERR_NOMEM ? gg_cli_fail("%s", failure.message) : gg_cli_wrong("%s", failure.message);
  for (size_t i = 0; i < words->filter_count; i++) {
    int status = add_expression(words->filters[i], out);
    if (status != GG_EXIT_DONE)
      return status;
  }
  return GG_EXIT_DONE;
}

int gg_cli_choose(const struct gg_cli *cli, const struct gg_cli_words *words, struct gg_cli_chosen *out)
{
  return gg_cli_choose_sorted(cli, words, NULL, 0, out);
}

int gg_cli_choose_sorted(const struct gg_cli *cli, const struct gg_cli_words *words, const char *sort, uint64_t limit,
                         struct gg_cli_chosen *out)
{
  struct gg_select_options select = GG_SELECT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  *out = (struct gg_cli_chosen){0};
  int status = gg_cli_parse_filter(words, &out->filter); /* a wrong command is told before files are read */
  if (status == GG_EXIT_DONE)
    status = gg_cli_open_store(cli, &out->store);
  if (status != GG_EXIT_DONE)
    return status;
  select.filter = out->filter;
  select.sort = sort;
  select.limit = limit;
  int error = gg_store_select(out->store, &select, &out->list, &failure);
  if (error == GG_ERR_INVALID)
    status = gg_cli_wrong("--sort: %s", failure.message);
  else if (error)
    status = gg_cli_store_fail(&failure);
  if (status == GG_EXIT_DONE)
    gg_cli_tell_warnings(out->store);
  return status;
}

void gg_cli_chosen_free(struct gg_cli_chosen *chosen)
{
  gg_session_list_destroy(chosen->list);
  gg_filter_destroy(chosen->filter);
  gg_store_close(chosen->store);
}

size_t gg_cli_page_shown(const struct gg_session_list *list)
{
  size_t count = gg_session_list_count(list), equals = 1;
  uint64_t start_ns = gg_session_list_at(list, count - 1)->start_ns;
  while (equals < count && gg_session_list_at(list, count - 1 - equals)->start_ns == start_ns)
    equals++;
  return equals;
}

int gg_cli_next_page(const struct gg_cli *cli, const struct gg_cli_words *words, uint64_t limit,
                     struct gg_cli_chosen *chosen)
{
  uint64_t start_ns = gg_session_list_at(chosen->list, gg_session_list_count(chosen->list) - 1)->start_ns;
  struct gg_select_options select = GG_SELECT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *from = NULL;
  char time[GG_CLI_TIME_MAX], text[GG_CLI_TIME_MAX + sizeof "start>="];
  const char *const word[] = {text};
  snprintf(text, sizeof text, "start>=%s", gg_cli_time(start_ns, false, time));
  gg_cli_chosen_free(chosen);
  *chosen = (struct gg_cli_chosen){0};
  int status = gg_cli_parse_filter(words, &chosen->filter);
  if (status == GG_EXIT_DONE)
    status = gg_cli_open_store(cli, &chosen->store);
  if (status != GG_EXIT_DONE)
    return status;
  int error = gg_filter_parse(&from, word, 1, 0, &failure);
  if (!error)
    error = gg_filter_and(&chosen->filter, from, &failure);
  select.filter = chosen->filter;
  select.limit = limit;
  if (!error)
    error = gg_store_select(chosen->store, &select, &chosen->list, &failure);
  return error ? gg_cli_store_fail(&failure) : GG_EXIT_DONE;
}

void gg_cli_tell_warnings(const struct gg_store *store)
{
  size_t count = 0;
  for (const char *text; (text = gg_store_warning(store, count)); count++)
    if (count < WARNINGS_SHOWN_MAX)
      fprintf(stderr, "gogetway: warning: %s\n", text);
  if (count > WARNINGS_SHOWN_MAX)
    fprintf(stderr, "gogetway: warning: and %zu more files\n", count - WARNINGS_SHOWN_MAX);
}

/* Calls `make` with a buffer, and again with a larger one if it says so. */
static void put_json(size_t (*make)(const void *thing, char *text, size_t size), const void *thing)
{
  char first[JSON_FIRST_SIZE], *text = first, *larger = NULL;
  size_t length = make(thing, first, sizeof first);
  if (length >= sizeof first) {
    larger = malloc(length + 1);
    length = larger ? make(thing, larger, length + 1) : 0;
    text = larger;
  }
  if (length > 0) {
    fwrite(text, 1, length, stdout);
    fputc('\n', stdout);
  }
  free(larger);
}

static size_t make_session(const void *thing, char *text, size_t size)
{
  return gg_session_json(thing, text, size);
}

void gg_cli_put_session_json(const struct gg_session *session)
{
  put_json(make_session, session);
}

const char *gg_cli_bytes(uint64_t bytes, bool human, char text[GG_CLI_NUMBER_MAX])
{
  static const char units[] = "KMGTPE";
  if (!human || bytes < 1024) {
    snprintf(text, GG_CLI_NUMBER_MAX, "%" PRIu64, bytes);
    return text;
  }
  size_t unit = 0;
  double value = (double)bytes / 1024;
  while (value >= 999.5 && unit + 1 < sizeof units - 1) {
    value /= 1024;
    unit++;
  }
  snprintf(text, GG_CLI_NUMBER_MAX, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
  return text;
}

const char *gg_cli_duration(uint64_t ns, bool human, char text[GG_CLI_NUMBER_MAX])
{
  uint64_t seconds = ns / 1000000000u;
  if (!human)
    snprintf(text, GG_CLI_NUMBER_MAX, "%" PRIu64 ".%09" PRIu64, seconds, ns % 1000000000u);
  else if (ns < 1000000)
    snprintf(text, GG_CLI_NUMBER_MAX, "%" PRIu64 "us", ns / 1000);
  else if (seconds < 1)
    snprintf(text, GG_CLI_NUMBER_MAX, "%" PRIu64 "ms", ns / 1000000);
  else if (seconds < 60)
    snprintf(text, GG_CLI_NUMBER_MAX, "%.1fs", (double)(ns / 100000000u) / 10);
  else if (seconds < 3600)
    snprintf(text, GG_CLI_NUMBER_MAX, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
  else
    snprintf(text, GG_CLI_NUMBER_MAX, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
  return text;
}

const char *gg_cli_time(uint64_t ns, bool human, char text[GG_CLI_TIME_MAX])
{
  time_t seconds = (time_t)(ns / 1000000000u);
  struct tm utc;
  char whole[GG_CLI_TIME_MAX - 12];
  gmtime_r(&seconds, &utc);
  strftime(whole, sizeof whole, human ? "%F %T" : "%FT%T", &utc);
  snprintf(text, GG_CLI_TIME_MAX, human ? "%s.%03" PRIu64 : "%s.%09" PRIu64 "Z", whole,
           human ? ns / 1000000u % 1000 : ns % 1000000000u);
  return text;
}

uint64_t gg_cli_now_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool gg_cli_stdout_gone(void)
{
  return ferror(stdout) || gg_cli_reader_gone() || fcntl(STDOUT_FILENO, F_GETFD) < 0;
}

bool gg_cli_read_enough(const char *path, int error)
{
  return error == GG_ERR_CLOSED && strcmp(path, "-") == 0;
}

static volatile sig_atomic_t signalled;
static void (*after_signal)(void);

static void note_signal(int number)
{
  (void)number;
  signalled = 1;
  if (after_signal)
    after_signal();
}

void gg_cli_catch_signals(void (*then)(void))
{
  after_signal = then;
  const struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

bool gg_cli_signalled(void)
{
  return signalled != 0;
}

bool gg_cli_pause(uint64_t ns)
{
  const struct timespec interval = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
  nanosleep(&interval, NULL);
  return !signalled && !gg_cli_stdout_gone();
}
