/* SPDX-License-Identifier: Apache-2.0 */
/* show.c - the command that shows what one session said. */
#include "commands.h"
#include "store_common.h"
#include "view.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum {
  OPTION_AS,
  OPTION_FROM,
  OPTION_JSON,
  OPTION_HEADERS,
  OPTION_BODY,
  OPTION_DECODER,
  OPTION_FRAMING,
  OPTION_SECRETS,
  OPTION_FILTER,
  AMBIGUOUS_SHOWN_MAX = 10,
  PIECE = 4096,
};

static const struct gg_cli_option options[] = {
  [OPTION_AS] = {"as", 'a', "FORM", "text (default), hex, raw, json or messages"},
  [OPTION_FROM] = {"from", 0, "SIDE", "client, server or both (default)"},
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a line: of messages with --as messages, else as --as json"},
  [OPTION_HEADERS] = {"headers", 'v', NULL, "of messages: all of their fields"},
  [OPTION_BODY] = {"body", 'b', NULL, "of messages: their bodies, laid out as far as there is room"},
  [OPTION_DECODER] = {"decoder", 0, "NAME", "who understands it; otherwise its first bytes tell"},
  [OPTION_FRAMING] = {"framing", 0, "TEXT", "how messages of a protocol of one's own are told apart: docs/messages.md"},
  [OPTION_SECRETS] = {"secrets", 0, NULL, "credentials as they are, which are masked otherwise"},
  [OPTION_FILTER] = {"filter", 0, "EXPR", "the one session that matches it: 'gogetway help filters'"},
};

struct showing {
  int (*put)(const struct showing *showing, const struct gg_chunk *chunk, size_t masked);
  bool sides[2];
  bool messages, json;
  struct gg_secrets *secrets; /* to be masked */
  struct gg_cli_style style;  /* of messages; colours, secrets and the decoder also of the other forms */
};

static const char *const side_names[2] = {"client", "server"};

/* ── Forms ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_heading(const struct showing *showing, const struct gg_chunk *chunk)
{
  char time[GG_CLI_TIME_MAX];
  const char *colour = chunk->side == GG_SIDE_CLIENT ? "\033[36m" : "\033[33m";
  printf("%s%s %s %s", showing->style.colours ? colour : "", chunk->side == GG_SIDE_CLIENT ? ">>>" : "<<<",
         gg_cli_time(chunk->time_ns, false, time), side_names[chunk->side]);
  if (chunk->gap)
    printf(" offset %" PRIu64 ": %" PRIu64 " bytes are missing", chunk->offset, chunk->gap);
  else
    printf(" offset %" PRIu64 ", %zu bytes", chunk->offset, chunk->length);
  printf("%s\n", showing->style.colours ? "\033[0m" : "");
}

static int put_text(const struct showing *showing, const struct gg_chunk *chunk, size_t masked)
{
  (void)masked;
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

static int put_hex(const struct showing *showing, const struct gg_chunk *chunk, size_t masked)
{
  (void)masked;
  put_heading(showing, chunk);
  for (size_t at = 0; at < chunk->length; at += 16)
    put_hex_line(chunk->offset + at, chunk->data + at, chunk->length - at < 16 ? chunk->length - at : 16);
  return 0;
}

static int put_raw(const struct showing *showing, const struct gg_chunk *chunk, size_t masked)
{
  (void)masked;
  (void)showing;
  if (chunk->gap)
    fprintf(stderr, "gogetway: warning: %" PRIu64 " bytes from the %s are missing at offset %" PRIu64 "\n", chunk->gap,
            side_names[chunk->side], chunk->offset);
  else
    fwrite(chunk->data, 1, chunk->length, stdout);
  return 0;
}

/* `masked` says how many bytes of the data are stars that were something else. */
static int put_json(const struct showing *showing, const struct gg_chunk *chunk, size_t masked)
{
  static char text[GG_CHUNK_JSON_MAX];
  (void)showing;
  size_t length = gg_chunk_json(chunk, text, sizeof text);
  if (length == 0 || length >= sizeof text)
    return gg_cli_fail("a chunk is too long to be shown as JSON");
  fwrite(text, 1, length - 1, stdout);
  if (masked)
    printf(",\"masked\":%zu", masked);
  puts("}");
  return 0;
}

static const struct {
  const char *name;
  int (*put)(const struct showing *showing, const struct gg_chunk *chunk, size_t masked); /* NULL: messages */
} forms[] = {{"text", put_text}, {"hex", put_hex}, {"raw", put_raw}, {"json", put_json}, {"messages", NULL}};
enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

/* ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int choose_form(struct showing *showing, const char *word)
{
  const char *names[FORM_COUNT];
  for (size_t i = 0; i < FORM_COUNT; i++) {
    names[i] = forms[i].name;
    if (strcmp(word, forms[i].name) == 0) {
      showing->put = forms[i].put;
      showing->messages = !forms[i].put;
      return GG_EXIT_DONE;
    }
  }
  const char *nearest = gg_cli_nearest(word, names, FORM_COUNT);
  return gg_cli_wrong("show: --as %s is not known; %s%s%s", word,
                      nearest ? "did you mean " : "text, hex, raw, json and messages are", nearest ? nearest : "",
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

/* A copy of the chunk with stars where credentials stand. How many bytes these are. */
static size_t mask(const struct showing *showing, struct gg_chunk *chunk)
{
  static uint8_t copy[GG_READER_CHUNK_MAX];
  if (!showing->secrets || chunk->length == 0)
    return 0;
  memcpy(copy, chunk->data, chunk->length);
  chunk->data = copy;
  return gg_secrets_mask(showing->secrets, chunk->side, chunk->offset, copy, chunk->length);
}

static int show_bytes(const struct showing *showing, struct gg_store *store, const struct gg_session *session)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  int status = GG_EXIT_DONE;
  int result = gg_reader_open(&reader, store, session, &failure) == 0 ? 1 : -1;
  while (result == 1 && status == GG_EXIT_DONE && !ferror(stdout)) {
    result = gg_reader_next(reader, &chunk, &failure);
    if (result == 1 && showing->sides[chunk.side])
      status = showing->put(showing, &chunk, mask(showing, &chunk));
  }
  gg_reader_close(reader);
  return result < 0 ? gg_cli_fail("%s", failure.message) : status;
}

/* What cannot be read is told when it is shown. */
static int find_secrets(struct showing *showing, struct gg_store *store, const struct gg_session *session)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_message_options given = GG_MESSAGE_OPTIONS_INIT;
  given.decoder = showing->style.decoder;
  given.framing = showing->style.framing;
  if (gg_secrets_find(&showing->secrets, store, session, &given, &failure) == 0 || showing->secrets)
    return GG_EXIT_DONE;
  return gg_cli_fail("%s; --secrets shows it with them", failure.message);
}

static int show(struct showing *showing, struct gg_store *store, const struct gg_session *session)
{
  if (showing->messages)
    return gg_cli_view_all(store, session, &showing->style);
  int status = GG_EXIT_DONE;
  if (!showing->style.secrets && showing->put != put_raw)
    status = find_secrets(showing, store, session);
  if (status == GG_EXIT_DONE)
    status = show_bytes(showing, store, session);
  gg_secrets_destroy(showing->secrets);
  return status;
}

/* A bare word is an id's beginning, however short; with an operator in it it is a filter. `word` may be NULL. */
static int show_chosen(const struct gg_cli *cli, struct showing *showing, const char *word, struct gg_cli_words *words)
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

static int take_option(struct showing *showing, struct gg_cli_words *words, int option, const char *value)
{
  switch (option) {
  case OPTION_AS:
    return choose_form(showing, value);
  case OPTION_FROM:
    return choose_side(showing, value);
  case OPTION_JSON:
    showing->json = true;
    return GG_EXIT_DONE;
  case OPTION_HEADERS:
    showing->style.fields = true;
    return GG_EXIT_DONE;
  case OPTION_BODY:
    showing->style.bodies = true;
    return GG_EXIT_DONE;
  case OPTION_DECODER:
    showing->style.decoder = value;
    return GG_EXIT_DONE;
  case OPTION_FRAMING:
    showing->style.framing = value;
    return GG_EXIT_DONE;
  case OPTION_SECRETS:
    showing->style.secrets = true;
    return GG_EXIT_DONE;
  case OPTION_FILTER:
    return gg_cli_add_filter(words, value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
  default:
    return GG_EXIT_USAGE;
  }
}

/* What one option means may depend on another. */
static int settle(struct showing *showing)
{
  struct gg_cli_style *style = &showing->style;
  if (!showing->messages && (style->fields || style->bodies))
    return gg_cli_wrong("show: --%s goes with --as messages",
                        options[style->fields ? OPTION_HEADERS : OPTION_BODY].name);
  if (showing->json && showing->put != put_text && showing->put != put_json && !showing->messages)
    return gg_cli_wrong("show: --json goes with --as messages, or alone");
  if (showing->json && !showing->messages)
    showing->put = put_json;
  style->json = showing->json;
  int status = gg_cli_check_style("show", style);
  if (status != GG_EXIT_DONE)
    return status;
  style->skip[GG_SIDE_CLIENT] = !showing->sides[GG_SIDE_CLIENT];
  style->skip[GG_SIDE_SERVER] = !showing->sides[GG_SIDE_SERVER];
  return GG_EXIT_DONE;
}

static int run_show(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct showing showing = {
    .put = put_text,
    .sides = {true, true},
    .style = {.colours = gg_cli_colours(), .human = isatty(STDOUT_FILENO) == 1},
  };
  struct gg_cli_words words = {0};
  const char *word = NULL;
  for (int what, status = GG_EXIT_DONE; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == GG_CLI_WORD && word)
      status = gg_cli_wrong("show: one session at a time, but there are '%s' and '%s'", word, args.value);
    else if (what == GG_CLI_WORD)
      word = args.value;
    else
      status = take_option(&showing, &words, what, args.value);
    if (status != GG_EXIT_DONE)
      return status;
  }
  if (!word && words.filter_count == 0)
    return gg_cli_wrong("show: which session? 'gogetway sessions' lists them; the beginning of an id is enough");
  int status = settle(&showing);
  return status == GG_EXIT_DONE ? show_chosen(cli, &showing, word, &words) : status;
}

const struct gg_command gg_command_show = {
  .name = "show",
  .summary = "show what one session said",
  .synopsis = "SESSION|--filter EXPR [--as text|hex|raw|json|messages] [--json] [--from client|server|both]\n"
              "                     [--headers] [--body] [--decoder NAME] [--framing TEXT] [--secrets]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details = "SESSION is the beginning of an id, or one filter word that only one session matches.\n"
             "text, hex and messages never let a terminal escape through; raw is the bytes and nothing else.\n"
             "Where a decoder finds credentials, text, hex, json and messages have stars, unless --secrets is given;\n"
             "raw never masks. 'gogetway protocols' lists the decoders.\n"
             "\n"
             "examples:\n"
             "  gogetway show 018c\n"
             "  gogetway show 018c --as messages --headers\n"
             "  gogetway show 018c --as messages --json\n"
             "  gogetway show 018c --as hex --from server\n"
             "  gogetway show 018c --as raw --from client | sha256sum\n",
  .run = run_show,
};
