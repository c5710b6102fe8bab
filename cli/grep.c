/* SPDX-License-Identifier: Apache-2.0 */
/* grep.c - the command that searches what sessions said. */
#include "commands.h"
#include "store_common.h"

#include <gogetway/messages.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
  OPTION_FIXED,
  OPTION_HEX,
  OPTION_IGNORE_CASE,
  OPTION_FROM,
  OPTION_ONLY,
  OPTION_COUNT,
  OPTION_SESSIONS,
  OPTION_MAX_COUNT,
  OPTION_BEFORE,
  OPTION_AFTER,
  OPTION_CONTEXT,
  OPTION_COLOR,
  OPTION_JSON,
  OPTION_SECRETS,
  OPTION_FILTER,
  CONTEXT_USUAL = 32, /* bytes on each side */
  SHOWN_BYTES = 4096, /* of a match are made printable at a time */
  BAR_COLUMNS = 30,
};

static const struct gg_cli_option options[] = {
  [OPTION_FIXED] = {"fixed", 'F', NULL, "PATTERN is the text itself, no regular expression"},
  [OPTION_HEX] = {"hex", 'x', NULL, "PATTERN is bytes in hexadecimal: 'de ad be ef', or without blanks"},
  [OPTION_IGNORE_CASE] = {"ignore-case", 'i', NULL, "a to z are equal to A to Z"},
  [OPTION_FROM] = {"from", 0, "SIDE", "search what the client, the server or both (default) said"},
  [OPTION_ONLY] = {"only-matching", 'o', NULL, "the matches and nothing else, one a line"},
  [OPTION_COUNT] = {"count", 'c', NULL, "how many there are in each session that has any"},
  [OPTION_SESSIONS] = {"sessions", 'l', NULL, "only the ids of sessions that have one"},
  [OPTION_MAX_COUNT] = {"max-count", 'm', "N", "no more than the first N of each session"},
  [OPTION_BEFORE] = {"before", 'B', "N", "bytes of context in front of a match (32)"},
  [OPTION_AFTER] = {"after", 'A', "N", "and behind it (32)"},
  [OPTION_CONTEXT] = {"context", 'C', "N", "both"},
  [OPTION_COLOR] = {"color", 0, "WHEN", "highlight matches: auto (on a terminal), always or never"},
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a line, with the exact bytes in base64"},
  [OPTION_SECRETS] = {"secrets", 0, NULL, "credentials as they are, which are masked otherwise"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

struct searching {
  const char *pattern;
  struct gg_pattern_options compile;
  struct gg_grep_options grep;
  bool hex, only, count, sessions, json, colours, bare, failed;
  struct gg_store *store;
  const struct gg_session *masked; /* whose credentials these are: of the session that matches are told of */
  struct gg_secrets *secrets;
  bool bar;   /* there is a terminal for it */
  bool drawn; /* it stands there now */
  bool mixed; /* what is found goes to the same terminal */
  uint64_t found;
};

/* ── Progress ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void clear_bar(struct searching *searching)
{
  if (searching->drawn)
    fputs("\r\033[K", stderr);
  searching->drawn = false;
}

static bool tell_progress(void *context, uint64_t done, uint64_t total)
{
  struct searching *searching = context;
  char bar[BAR_COLUMNS + 1], read[GG_CLI_NUMBER_MAX], all[GG_CLI_NUMBER_MAX];
  if (searching->mixed)
    fflush(stdout);
  size_t full = total ? (size_t)((double)done / (double)total * BAR_COLUMNS) : BAR_COLUMNS;
  memset(bar, '-', BAR_COLUMNS);
  memset(bar, '#', full);
  bar[BAR_COLUMNS] = '\0';
  if (searching->bar && done < total) {
    fprintf(stderr, "\r[%s] %s of %s searched, %" PRIu64 " found\033[K", bar, gg_cli_bytes(done, true, read),
            gg_cli_bytes(total, true, all), searching->found);
    fflush(stderr);
    searching->drawn = true;
  }
  return !gg_cli_stdout_gone();
}

/* ── What is found ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_printable(const uint8_t *data, size_t length)
{
  char text[SHOWN_BYTES];
  for (size_t at = 0, used; at < length; at += used) {
    size_t bytes = gg_text_printable(data + at, length - at, false, text, sizeof text, &used);
    fwrite(text, 1, bytes, stdout);
  }
}

static void put_json(const struct gg_grep_match *match)
{
  static char text[GG_GREP_JSON_MAX];
  size_t length = gg_grep_match_json(match, text, sizeof text);
  fwrite(text, 1, length, stdout);
}

static void put_line(const struct searching *searching, const struct gg_grep_match *match)
{
  char time[GG_CLI_TIME_MAX];
  bool colours = searching->colours;
  printf("%s%s%s %s %" PRIu64 " %s  ", colours ? "\033[35m" : "", match->session->id, colours ? "\033[0m" : "",
         match->side == GG_SIDE_CLIENT ? "client" : "server", match->offset, gg_cli_time(match->time_ns, false, time));
  put_printable(match->data - match->before, match->before);
  fputs(colours ? "\033[1;31m" : "", stdout);
  put_printable(match->data, match->length);
  fputs(colours ? "\033[0m" : "", stdout);
  put_printable(match->data + match->length, match->after);
}

/* A copy of the match and its context with stars where credentials stand. False: where they stand is not known. */
static bool mask(struct searching *searching, struct gg_grep_match *match)
{
  static uint8_t copy[GG_GREP_MATCH_MAX + GG_GREP_PATTERN_MAX + 2 * GG_GREP_CONTEXT_MAX];
  struct gg_failure failure = GG_FAILURE_INIT;
  if (searching->masked != match->session) {
    gg_secrets_destroy(searching->secrets);
    searching->masked = match->session;
    gg_secrets_find(&searching->secrets, searching->store, match->session, NULL, &failure);
  }
  size_t length = match->before + match->length + match->after;
  if (!searching->secrets || length > sizeof copy) {
    gg_cli_fail("%s of %s; --secrets shows what is found in it with them",
                searching->secrets ? "too long a match" : failure.message, match->session->id);
    return false;
  }
  memcpy(copy, match->data - match->before, length);
  gg_secrets_mask(searching->secrets, match->side, match->offset - match->before, copy, length);
  match->data = copy + match->before;
  return true;
}

static bool tell_match(void *context, const struct gg_grep_match *found)
{
  struct searching *searching = context;
  struct gg_grep_match match = *found;
  searching->found++;
  if (searching->mixed)
    clear_bar(searching);
  searching->failed = !searching->bare && !mask(searching, &match);
  if (searching->failed)
    return false;
  if (searching->json)
    put_json(&match);
  else if (searching->only)
    put_printable(match.data, match.length);
  else
    put_line(searching, &match);
  putchar('\n');
  return !ferror(stdout);
}

static bool tell_session(void *context, const struct gg_grep_session *session)
{
  struct searching *searching = context;
  const char *id = session->session->id;
  uint64_t client = session->matches[GG_SIDE_CLIENT], server = session->matches[GG_SIDE_SERVER];
  if (session->problem) {
    clear_bar(searching);
    fprintf(stderr, "gogetway: warning: %s was not searched whole: %s\n", id, session->problem);
  }
  if (client + server == 0 || searching->grep.match)
    return !ferror(stdout);
  searching->found += client + server;
  if (searching->mixed)
    clear_bar(searching);
  if (searching->sessions && searching->json)
    printf("{\"session\":\"%s\"}\n", id);
  else if (searching->sessions)
    printf("%s\n", id);
  else if (searching->json)
    printf("{\"session\":\"%s\",\"matches\":{\"client\":%" PRIu64 ",\"server\":%" PRIu64 "}}\n", id, client, server);
  else
    printf("%s %" PRIu64 "\n", id, client + server);
  return !ferror(stdout);
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int digit(char letter)
{
  return letter >= '0' && letter <= '9'   ? letter - '0'
         : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
         : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10
                                          : -1;
}

/* Pairs of digits, with blanks or colons between them. */
static int read_hex(const char *text, uint8_t *bytes, size_t size, size_t *length)
{
  *length = 0;
  for (const char *at = text; *at;) {
    if (*at == ' ' || *at == ':') {
      at++;
      continue;
    }
    if (digit(at[0]) < 0 || digit(at[1]) < 0)
      return gg_cli_wrong("grep: --hex: two hexadecimal digits make a byte; column %zu of '%s' has none",
                          (size_t)(at - text) + 1, text);
    if (*length == size)
      return gg_cli_wrong("grep: the pattern is longer than %zu bytes", size);
    bytes[(*length)++] = (uint8_t)(digit(at[0]) << 4 | digit(at[1]));
    at += 2;
  }
  return GG_EXIT_DONE;
}

static int compile(const struct searching *searching, struct gg_pattern **out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  static uint8_t bytes[GG_GREP_PATTERN_MAX];
  const void *text = searching->pattern;
  size_t length = strlen(searching->pattern);
  if (searching->hex) {
    int status = read_hex(searching->pattern, bytes, sizeof bytes, &length);
    if (status != GG_EXIT_DONE)
      return status;
    text = bytes;
  }
  int error = gg_pattern_compile(out, &searching->compile, text, length, &failure);
  if (error == GG_ERR_UNSUPPORTED && !strstr(failure.message, "column"))
    return gg_cli_fail("%s: -F", failure.message);
  if (error)
    return error == GG_ERR_NOMEM ? gg_cli_fail("%s", failure.message) : gg_cli_wrong("grep: %s", failure.message);
  return GG_EXIT_DONE;
}

static int conclude(struct searching *searching, const struct gg_grep_result *result, int error,
                    const struct gg_failure *failure)
{
  char bytes[GG_CLI_NUMBER_MAX];
  bool stopped = error == GG_ERR_CLOSED; /* nobody reads on */
  clear_bar(searching);
  if (searching->failed)
    return GG_EXIT_FAILED; /* which was told */
  if (error && !stopped)
    return gg_cli_fail("%s", failure->message);
  if (result->cut)
    fprintf(stderr, "gogetway: warning: at %" PRIu64 " places a match was still open after %d bytes, and ended there\n",
            result->cut, GG_GREP_MATCH_MAX);
  if (result->gave_up)
    fprintf(stderr,
            "gogetway: warning: %" PRIu64
            " bytes were left out: the pattern takes too many steps there; one with fewer "
            "nested or adjacent repetitions would not\n",
            result->gave_up);
  if (searching->bar && !searching->json)
    fprintf(stderr, "%" PRIu64 " found in %" PRIu64 " of %" PRIu64 " sessions, %s searched\n", result->matches,
            result->sessions_found, result->sessions, gg_cli_bytes(result->bytes, true, bytes));
  if ((result->failed || result->gave_up) && !stopped)
    return GG_EXIT_FAILED;
  return result->matches > 0 || stopped ? GG_EXIT_DONE : GG_EXIT_DIFFERENCE;
}

static int search(const struct gg_cli *cli, const struct gg_cli_words *words, struct searching *searching)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_grep_result result;
  struct gg_cli_chosen chosen = {0};
  struct gg_pattern *pattern = NULL;
  int status = compile(searching, &pattern);
  if (status == GG_EXIT_DONE)
    status = gg_cli_choose(cli, words, &chosen);
  if (status == GG_EXIT_DONE) {
    searching->grep.match = searching->count || searching->sessions ? NULL : tell_match;
    searching->grep.session = tell_session;
    searching->grep.progress = tell_progress;
    searching->grep.context = searching;
    searching->store = chosen.store;
    if (searching->sessions)
      searching->grep.matches_max = 1;
    int error = gg_store_grep(chosen.store, chosen.list, pattern, &searching->grep, &result, &failure);
    status = conclude(searching, &result, error, &failure);
  }
  gg_secrets_destroy(searching->secrets);
  gg_cli_chosen_free(&chosen);
  gg_pattern_destroy(pattern);
  return status;
}

static int read_number(const char *name, const char *word, uint64_t most, uint64_t *out)
{
  char *end;
  unsigned long long number = strtoull(word, &end, 10);
  if (*word < '0' || *word > '9' || *end || number > most)
    return gg_cli_wrong("grep: --%s %s is no number from 0 to %" PRIu64, name, word, most);
  *out = number;
  return GG_EXIT_DONE;
}

static int choose_context(struct searching *searching, int option, const char *word)
{
  uint64_t bytes = 0;
  int status = read_number(options[option].name, word, GG_GREP_CONTEXT_MAX, &bytes);
  if (option != OPTION_AFTER)
    searching->grep.before = (size_t)bytes;
  if (option != OPTION_BEFORE)
    searching->grep.after = (size_t)bytes;
  return status;
}

static int choose_side(struct searching *searching, const char *word)
{
  bool *skip = searching->grep.skip;
  skip[GG_SIDE_CLIENT] = strcmp(word, "server") == 0;
  skip[GG_SIDE_SERVER] = strcmp(word, "client") == 0;
  if (skip[0] || skip[1] || strcmp(word, "both") == 0)
    return GG_EXIT_DONE;
  return gg_cli_wrong("grep: --from %s is not known; client, server and both are", word);
}

static int choose_colours(struct searching *searching, const char *word)
{
  if (strcmp(word, "always") == 0 || strcmp(word, "never") == 0)
    searching->colours = word[0] == 'a';
  else if (strcmp(word, "auto") != 0)
    return gg_cli_wrong("grep: --color %s is not known; auto, always and never are", word);
  return GG_EXIT_DONE;
}

static int take_option(struct searching *searching, int option, const char *value)
{
  switch (option) {
  case OPTION_FIXED:
    searching->compile.literal = true;
    break;
  case OPTION_HEX:
    searching->compile.literal = searching->hex = true;
    break;
  case OPTION_IGNORE_CASE:
    searching->compile.ignore_case = true;
    break;
  case OPTION_FROM:
    return choose_side(searching, value);
  case OPTION_ONLY:
    searching->only = true;
    break;
  case OPTION_COUNT:
    searching->count = true;
    break;
  case OPTION_SESSIONS:
    searching->sessions = true;
    break;
  case OPTION_MAX_COUNT:
    return read_number("max-count", value, UINT32_MAX, &searching->grep.matches_max);
  case OPTION_BEFORE:
  case OPTION_AFTER:
  case OPTION_CONTEXT:
    return choose_context(searching, option, value);
  case OPTION_COLOR:
    return choose_colours(searching, value);
  case OPTION_SECRETS:
    searching->bare = true;
    break;
  case OPTION_JSON:
    searching->json = true;
    break;
  default:
    return GG_EXIT_USAGE;
  }
  return GG_EXIT_DONE;
}

static int run_grep(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_words words = {0};
  struct searching searching = {.compile = GG_PATTERN_OPTIONS_INIT, .grep = GG_GREP_OPTIONS_INIT};
  bool terminal = isatty(STDOUT_FILENO) == 1;
  searching.colours = terminal;
  searching.bar = isatty(STDERR_FILENO) == 1;
  searching.mixed = terminal && searching.bar;
  searching.grep.before = searching.grep.after = CONTEXT_USUAL;
  for (int what, status = GG_EXIT_DONE; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == GG_CLI_WORD && !searching.pattern)
      searching.pattern = args.value;
    else if (what == OPTION_FILTER)
      status = gg_cli_add_filter(&words, args.value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
    else if (what == GG_CLI_WORD)
      status = gg_cli_add_word(&words, args.value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
    else
      status = take_option(&searching, what, args.value);
    if (status != GG_EXIT_DONE)
      return status;
  }
  if (!searching.pattern)
    return gg_cli_wrong("grep: what is to be found? gogetway grep PATTERN [FILTER...]");
  if (searching.count + searching.sessions + searching.only > 1)
    return gg_cli_wrong("grep: only one of -o, --count and -l");
  return search(cli, &words, &searching);
}

const struct gg_command gg_command_grep = {
  .name = "grep",
  .summary = "search what sessions said",
  .synopsis = "PATTERN [FILTER...] [--filter EXPR] [-F|--hex] [-i] [--from SIDE] [-o|-c|-l] [--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "PATTERN is a regular expression (PCRE2, of bytes), or a text with -F. Each direction of a session is searched by\n"
    "itself, in the order in which it was said: a match may lie in several packets, but not across missing bytes.\n"
    "^ and $ are lines' beginnings and ends, \\A and \\z the stream's; . is no newline, unless (?s) says so.\n"
    "A match is at most 65536 bytes long and never empty. Sessions come by start, matches of a session by time.\n"
    "FILTER chooses sessions, as in 'gogetway help filters'.\n"
    "\n"
    "A line has: session, who said it, offset in the stream, time, and the match with its context, in which bytes "
    "that\n"
    "are no text are shown as \\x1b. A PATTERN that begins with - comes behind --. Where a decoder finds credentials\n"
    "there are stars, unless --secrets is given; they are searched all the same.\n"
    "Exit status: 0 found; 1 not found; 2 the command was wrong; 3 not everything could be searched.\n"
    "\n"
    "examples:\n"
    "  gogetway grep 'flag\\{[a-z0-9]+\\}' since=1d\n"
    "  gogetway grep -o 'Host: [^\\r\\n]+' port=80 --from client | sort | uniq -c\n"
    "  gogetway grep --hex '7f 45 4c 46' -l\n"
    "  gogetway grep -F -i password client=10.0.0.0/8 --json\n",
  .run = run_grep,
};
