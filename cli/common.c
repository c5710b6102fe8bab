/* SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NEAREST_WORD_MAX = 64, NEAREST_DISTANCE_MAX = 3, MESSAGE_MAX = 2048, HELP_COLUMN = 28 };

/* ── Telling what went wrong ─────────────────────────────────────────────────────────────────────────────────────── */

/* Length of the valid UTF-8 character at `text` that is no control character; 0 if there is none. */
static size_t printable_character(const unsigned char *text, size_t length)
{
  if (text[0] >= 0x20 && text[0] < 0x7f)
    return 1;
  size_t need = text[0] >= 0xc2 && text[0] < 0xe0   ? 2
                : text[0] >= 0xe0 && text[0] < 0xf0 ? 3
                : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
                                                    : 0;
  if (need == 0 || need > length)
    return 0;
  for (size_t i = 1; i < need; i++)
    if ((text[i] & 0xc0u) != 0x80)
      return 0;
  uint32_t first = text[0], second = text[1];
  bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  bool outside = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  bool c1_control = first == 0xc2 && second < 0xa0;
  /* U+2028 to U+202E and U+2066 to U+2069 break lines or turn the direction of what follows. */
  bool turns = first == 0xe2 && ((second == 0x80 && text[2] >= 0xa8 && text[2] <= 0xae) ||
                                 (second == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9));
  return overlong || outside || c1_control || turns ? 0 : need;
}

void gg_cli_put_safe(FILE *out, const char *text, size_t length)
{
  const unsigned char *bytes = (const unsigned char *)text;
  for (size_t at = 0; at < length;) {
    size_t take = printable_character(bytes + at, length - at);
    if (take)
      fwrite(bytes + at, 1, take, out);
    else
      fprintf(out, "\\x%02x", bytes[at]);
    at += take ? take : 1;
  }
}

static void tell(const char *format, va_list list)
{
  char message[MESSAGE_MAX];
  int length = vsnprintf(message, sizeof message, format, list);
  fputs("gogetway: ", stderr);
  if (length > 0)
    gg_cli_put_safe(stderr, message, (size_t)length < sizeof message ? (size_t)length : sizeof message - 1);
  fputc('\n', stderr);
}

int gg_cli_fail(const char *format, ...)
{
  va_list list;
  va_start(list, format);
  tell(format, list);
  va_end(list);
  return GG_EXIT_FAILED;
}

int gg_cli_wrong(const char *format, ...)
{
  va_list list;
  va_start(list, format);
  tell(format, list);
  va_end(list);
  return GG_EXIT_USAGE;
}

bool gg_cli_reader_gone(void)
{
  struct pollfd out = {.fd = STDOUT_FILENO};
  return poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP));
}

int gg_cli_finish(int status)
{
  bool failed = ferror(stdout) != 0;
  bool gone = gg_cli_reader_gone(); /* errno says nothing any more of a write that failed earlier */
  errno = 0;
  if (fclose(stdout) != 0)
    failed = true;
  if (failed && (gone || errno == EPIPE))
    return status;
  if (failed)
    return gg_cli_fail("cannot write to standard output: %s", errno ? strerror(errno) : "an earlier write failed");
  return status;
}

void gg_cli_raise_descriptor_limit(void)
{
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* ── Did you mean ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Edit distance with exchanges of neighbours, of words shorter than NEAREST_WORD_MAX. */
static size_t distance(const char *a, const char *b)
{
  size_t rows[3][NEAREST_WORD_MAX];
  size_t *before = rows[0], *last = rows[1], *row = rows[2];
  size_t a_length = strlen(a), b_length = strlen(b);
  for (size_t j = 0; j <= b_length; j++)
    last[j] = j;
  for (size_t i = 1; i <= a_length; i++) {
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
      if (last[j] + 1 < best)
        best = last[j] + 1;
      if (row[j - 1] + 1 < best)
        best = row[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
        best = before[j - 2] + 1;
      row[j] = best;
    }
    size_t *oldest = before;
    before = last;
    last = row;
    row = oldest;
  }
  return last[b_length];
}

const char *gg_cli_nearest(const char *word, const char *const *names, size_t count)
{
  const char *nearest = NULL;
  size_t length = strlen(word), least = NEAREST_DISTANCE_MAX;
  if (length >= NEAREST_WORD_MAX)
    return NULL;
  for (size_t i = 0; i < count; i++) {
    if (strlen(names[i]) >= NEAREST_WORD_MAX)
      continue;
    size_t now = distance(word, names[i]);
    /* Half of the letters wrong is another word. */
    if (now < least && now * 2 <= length) {
      least = now;
      nearest = names[i];
    }
  }
  return nearest;
}

/* ── Options ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int unknown_option(const struct gg_cli_args *args, const char *name, size_t length)
{
  const char *names[128];
  size_t count = 0;
  for (size_t i = 0; i < args->option_count && count < 128; i++)
    names[count++] = args->options[i].name;
  char word[NEAREST_WORD_MAX];
  snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), name);
  const char *nearest = gg_cli_nearest(word, names, count);
  gg_cli_wrong("%s: unknown option --%s%s%s%s", args->argv[0], word, nearest ? "; did you mean --" : "",
               nearest ? nearest : "", nearest ? "?" : "");
  return GG_CLI_WRONG;
}

static int take_value(struct gg_cli_args *args, size_t row, const char *attached)
{
  const struct gg_cli_option *option = &args->options[row];
  if (attached) {
    args->value = attached;
    return (int)row;
  }
  if (args->at >= args->argc) {
    gg_cli_wrong("%s: --%s needs a value: --%s %s", args->argv[0], option->name, option->name, option->value);
    return GG_CLI_WRONG;
  }
  args->value = args->argv[args->at++];
  return (int)row;
}

static int long_option(struct gg_cli_args *args, const char *text)
{
  size_t length = strcspn(text, "=");
  for (size_t row = 0; row < args->option_count; row++) {
    const struct gg_cli_option *option = &args->options[row];
    if (strlen(option->name) != length || strncmp(option->name, text, length) != 0)
      continue;
    const char *attached = text[length] == '=' ? text + length + 1 : NULL;
    if (option->value)
      return take_value(args, row, attached);
    if (attached) {
      gg_cli_wrong("%s: --%s takes no value", args->argv[0], option->name);
      return GG_CLI_WRONG;
    }
    return (int)row;
  }
  return unknown_option(args, text, length);
}

static int short_option(struct gg_cli_args *args)
{
  char letter = *args->letters++;
  const char *rest = *args->letters ? args->letters : NULL;
  args->letters = rest;
  for (size_t row = 0; row < args->option_count; row++) {
    if (args->options[row].letter != letter || letter == 0)
      continue;
    if (!args->options[row].value)
      return (int)row;
    args->letters = NULL;
    return take_value(args, row, rest);
  }
  gg_cli_wrong("%s: unknown option -%c", args->argv[0], letter);
  return GG_CLI_WRONG;
}

int gg_cli_next(struct gg_cli_args *args)
{
  args->value = NULL;
  if (args->letters)
    return short_option(args);
  if (args->at >= args->argc)
    return GG_CLI_END;
  const char *text = args->argv[args->at++];
  bool is_option = !args->words_only && text[0] == '-' && text[1] != '\0';
  if (!is_option) {
    args->value = text;
    return GG_CLI_WORD;
  }
  if (strcmp(text, "--") == 0) {
    args->words_only = true;
    return gg_cli_next(args);
  }
  if (text[1] == '-')
    return long_option(args, text + 2);
  args->letters = text + 1;
  return short_option(args);
}

/* ── Help ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg_cli_print_options(const struct gg_cli_option *options, size_t count, FILE *out)
{
  for (size_t i = 0; i < count; i++) {
    char left[96];
    char letter[8] = "    ";
    if (options[i].letter)
      snprintf(letter, sizeof letter, "-%c, ", options[i].letter);
    int width = snprintf(left, sizeof left, "  %s--%s%s%s", letter, options[i].name, options[i].value ? " " : "",
                         options[i].value ? options[i].value : "");
    if (width >= HELP_COLUMN)
      fprintf(out, "%s\n%*s%s\n", left, HELP_COLUMN, "", options[i].help);
    else
      fprintf(out, "%-*s%s\n", HELP_COLUMN, left, options[i].help);
  }
}

int gg_cli_print_help(const struct gg_command *command, FILE *out)
{
  static const struct gg_cli_option common[] = {
    {"dir", 0, "DIR", "the store; default $GOGETWAY_DIR, then ./gogetway-data"},
    {"help", 'h', NULL, "this text"},
  };
  if (command->help)
    return command->help(out);
  fprintf(out, "usage: gogetway %s %s\n\n%c%s.\n\n", command->name, command->synopsis,
          toupper((unsigned char)command->summary[0]), command->summary + 1);
  fputs("options:\n", out);
  gg_cli_print_options(command->options, command->option_count, out);
  gg_cli_print_options(common, sizeof common / sizeof common[0], out);
  if (command->details)
    fprintf(out, "\n%s", command->details);
  return GG_EXIT_DONE;
}
