/* SPDX-License-Identifier: Apache-2.0 */
/* show.c - the command that shows what one session said. */
#include "commands.h"
#include "store_common.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_AS, OPTION_FROM, OPTION_FILTER, AMBIGUOUS_SHOWN_MAX = 10, PIECE = 4096 };

static const struct gg_cli_option options[] = {
  [OPTION_AS] = {"as", 'a', "FORM", "text (default), hex, raw or json"},
  [OPTION_FROM] = {"from", 0, "SIDE", "client, server or both (default)"},
  [OPTION_FILTER] = {"filter", 0, "EXPR", "the one session that matches it: 'gogetway help filters'"},
};

struct showing {
  int (*put)(const struct showing *showing, const struct gg_chunk *chunk);
  bool sides[2];
  bool colours;
};

static const char *const side_names[2] = {"client", "server"};

/* ── Forms ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_heading(const struct showing *showing, const struct gg_chunk *chunk)
{
  char time[GG_CLI_TIME_MAX];
  const char *colour = chunk->side == GG_SIDE_CLIENT ? "\033[36m" : "\033[33m";
  printf("%s%s %s %s", showing->colours ? colour : "", chunk->side == GG_SIDE_CLIENT ? ">>>" : "<<<",
         gg_cli_time(chunk->time_ns, false, time), side_names[chunk->side]);
  if (chunk->gap)
    printf(" offset %" PRIu64 ": %" PRIu64 " bytes are missing", chunk->offset, chunk->gap);
  else
    printf(" offset %" PRIu64 ", %zu bytes", chunk->offset, chunk->length);
  printf("%s\n", showing->colours ? "\033[0m" : "");
}

static int put_text(const struct showing *showing, const struct gg_chunk *chunk)
{
  char text[PIECE * 4];
  put_heading(showing, chunk);
  for (size_t at = 0, used; at < chunk->length; at += used) {
    size_t length = gg_text_printable(chunk->data + at, chunk->length - at, true, text, sizeof text, &used);
    fwrite(text, 1, length, stdout);
  }
  if (chunk->length > 0 && chunk->data[chunk->length - 1] != '\n')
    putchar('\n');
  return 0;
}

static void put_hex_line(uint64_t offset, const uint8_t *data, size_t length)
{
  printf("%08" PRIx64 " ", offset);
  for (size_t i = 0; i < 16; i++) {
    if (i == 8)
      putchar(' ');
    if (i < length)
      printf(" %02x", data[i]);
    else
      fputs("   ", stdout);
  }
  fputs("  |", stdout);
  for (size_t i = 0; i < length; i++)
    putchar(data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.');
  fputs("|\n", stdout);
}

static int put_hex(const struct showing *showing, const struct gg_chunk *chunk)
{
  put_heading(showing, chunk);
  for (size_t at = 0; at < chunk->length; at += 16)
    put_hex_line(chunk->offset + at, chunk->data + at, chunk->length - at < 16 ? chunk->length - at : 16);
  return 0;
}

static int put_raw(const struct showing *showing, const struct gg_chunk *chunk)
{
  (void)showing;
  if (chunk->gap)
    fprintf(stderr, "gogetway: warning: %" PRIu64 " bytes from the %s are missing at offset %" PRIu64 "\n", chunk->gap,
            side_names[chunk->side], chunk->offset);
  else
    fwrite(chunk->data, 1, chunk->length, stdout);
  return 0;
}

static int put_json(const struct showing *showing, const struct gg_chunk *chunk)
{
  static char text[GG_CHUNK_JSON_MAX];
  (void)showing;
  size_t length = gg_chunk_json(chunk, text, sizeof text);
  if (length == 0 || length >= sizeof text)
    return gg_cli_fail("a chunk is too long to be shown as JSON");
  fwrite(text, 1, length, stdout);
  putchar('\n');
  return 0;
}

static const struct {
  const char *name;
  int (*put)(const struct showing *showing, const struct gg_chunk *chunk);
} forms[] = {{"text", put_text}, {"hex", put_hex}, {"raw", put_raw}, {"json", put_json}};
enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

/* ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int choose_form(struct showing *showing, const char *word)
{
  const char *names[FORM_COUNT];
  for (size_t i = 0; i < FORM_COUNT; i++) {
    names[i] = forms[i].name;
    if (strcmp(word, forms[i].name) == 0) {
      showing->put = forms[i].put;
      return GG_EXIT_DONE;
    }
  }
  const char *nearest = gg_cli_nearest(word, names, FORM_COUNT);
  return gg_cli_wrong("show: --as %s is not known; %s%s%s", word,
                      nearest ? "did you mean " : "text, hex, raw and json are", nearest ? nearest : "",
                      nearest ? "?" : "");
}

static int choose_side(struct showing *showing, const char *word)
{
  bool both = strcmp(word, "both") == 0;
  showing->sides[GG_SIDE_CLIENT] = both || strcmp(word, "client") == 0;
  showing->sides[GG_SIDE_SERVER] = both || strcmp(word, "server") == 0;
  if (showing->sides[0] || showing->sides[1])
    return GG_EXIT_DONE;
  return gg_cli_wrong("show: --from %s is not known; client, server and both are", word);
}

/* The one session that the words name. Of others, there may be millions, one more is known than is shown. */
static int pick(const struct gg_session_list *list, const char *word)
{
  size_t count = gg_session_list_count(list);
  if (count == 1)
    return GG_EXIT_DONE;
  if (count == 0)
    return gg_cli_fail("no session matches '%s'; 'gogetway sessions' lists them", word);
  bool more = count > AMBIGUOUS_SHOWN_MAX;
  count -= more;
  gg_cli_wrong("%s%zu sessions match '%s'; give more digits of one:", more ? "more than " : "", count, word);
  for (size_t i = 0; i < count; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    fprintf(stderr, "  %s  %s -> %s\n", session->id, session->client, session->server);
  }
  return GG_EXIT_USAGE;
}

static int show(const struct showing *showing, struct gg_store *store, const struct gg_session *session)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  int status = GG_EXIT_DONE;
  int result = gg_reader_open(&reader, store, session, &failure) == 0 ? 1 : -1;
  while (result == 1 && status == GG_EXIT_DONE && !ferror(stdout)) {
    result = gg_reader_next(reader, &chunk, &failure);
    if (result == 1 && showing->sides[chunk.side])
      status = showing->put(showing, &chunk);
  }
  gg_reader_close(reader);
  return result < 0 ? gg_cli_fail("%s", failure.message) : status;
}

/* A bare word is an id's beginning, however short; with an operator in it it is a filter. `word` may be NULL. */
static int show_chosen(const struct gg_cli *cli, const struct showing *showing, const char *word,
                       struct gg_cli_words *words)
{
  char id[64];
  if (word && !strpbrk(word, "=~<>") && strlen(word) < sizeof id - 4) {
    snprintf(id, sizeof id, "id=%s", word);
    gg_cli_add_word(words, id);
  } else if (word) {
    gg_cli_add_word(words, word);
  } else {
    word = words->filters[0];
  }
  struct gg_cli_chosen chosen;
  int status = gg_cli_choose_sorted(cli, words, NULL, AMBIGUOUS_SHOWN_MAX + 1, &chosen);
  if (status == GG_EXIT_DONE)
    status = pick(chosen.list, word);
  if (status == GG_EXIT_DONE)
    status = show(showing, chosen.store, gg_session_list_at(chosen.list, 0));
  gg_cli_chosen_free(&chosen);
  return status;
}

static int run_show(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct showing showing = {.put = put_text, .sides = {true, true}, .colours = isatty(STDOUT_FILENO) == 1};
  struct gg_cli_words words = {0};
  const char *word = NULL;
  for (int what, status = GG_EXIT_DONE; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == OPTION_AS)
      status = choose_form(&showing, args.value);
    else if (what == OPTION_FROM)
      status = choose_side(&showing, args.value);
    else if (what == OPTION_FILTER)
      status = gg_cli_add_filter(&words, args.value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
    else if (what == GG_CLI_WORD && word)
      status = gg_cli_wrong("show: one session at a time, but there are '%s' and '%s'", word, args.value);
    else if (what == GG_CLI_WORD)
      word = args.value;
    else
      status = GG_EXIT_USAGE;
    if (status != GG_EXIT_DONE)
      return status;
  }
  if (!word && words.filter_count == 0)
    return gg_cli_wrong("show: which session? 'gogetway sessions' lists them; the beginning of an id is enough");
  return show_chosen(cli, &showing, word, &words);
}

const struct gg_command gg_command_show = {
  .name = "show",
  .summary = "show what one session said",
  .synopsis = "SESSION|--filter EXPR [--as text|hex|raw|json] [--from client|server|both]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details = "SESSION is the beginning of an id, or one filter word that only one session matches.\n"
             "text and hex never let a terminal escape through; raw is the bytes and nothing else.\n"
             "\n"
             "examples:\n"
             "  gogetway show 018c\n"
             "  gogetway show 018c --as hex --from server\n"
             "  gogetway show 018c --as raw --from client | sha256sum\n",
  .run = run_show,
};
