/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include "store_common.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  ENDED_MAX = 4096,    /* requests whose ends are known, while answers to them come; and so many other messages */
  HELD_MAX = 256,      /* lines that wait for messages that have begun before them */
  LAYING_OUT_MAX = 16, /* bodies that are laid out as they come: each may take some MiB */
  JSON_PER_BYTE = 6,   /* letters of a byte in a string */
  BODY_JSON_MORE_MAX = 512,
};

/* What was made of a message that has ended before one that had begun earlier. */
struct held {
  struct held *next;
  uint64_t number;
  size_t length;
  char text[];
};

struct ended {
  uint64_t number, last_ns;
};

struct gg_cli_view {
  const struct gg_session *session;
  const struct gg_cli_style *style;
  struct gg_message_reader *reader;
  struct ended *ended[2]; /* by number modulo ENDED_MAX, of requests apart; NULL: there was none */
  struct gg_cli_body *bodies, *spare;
  size_t laying_out; /* of the bodies, those that are laid out as they come */
  struct held *held; /* by number */
  size_t held_count;
  uint64_t next; /* number of the message whose line is next */
  bool named;    /* a protocol was told */
  bool told;     /* anything was */
  bool no_memory;
};

bool gg_cli_colours(void)
{
  const char *no_colour = getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && !(no_colour && *no_colour);
}

/* ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Not only requests are answered: pings are, and lines where nobody can tell what a request is. Many of those would
 * push requests out that wait for long, if both had one place. */
static void note_end(struct gg_cli_view *view, const struct gg_message *message)
{
  bool request = message->flags & GG_MESSAGE_REQUEST;
  if (!request && (message->answers || message->flags & GG_MESSAGE_UNSOLICITED))
    return;
  if (!view->ended[request])
    view->ended[request] = calloc(ENDED_MAX, sizeof *view->ended[request]);
  if (view->ended[request])
    view->ended[request][message->number % ENDED_MAX] = (struct ended){message->number, message->last_ns};
}

static struct gg_cli_answer answer_of(const struct gg_cli_view *view, const struct gg_message *message)
{
  for (size_t i = 0; message->answers && i < 2; i++) {
    const struct ended *asked = view->ended[i] ? &view->ended[i][message->answers % ENDED_MAX] : NULL;
    if (asked && asked->number == message->answers)
      return (struct gg_cli_answer){.known = true,
                                    .first_ns = (int64_t)(message->first_ns - asked->last_ns),
                                    .last_ns = (int64_t)(message->last_ns - asked->last_ns)};
  }
  return (struct gg_cli_answer){.known = false};
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_cli_body **find_body(struct gg_cli_view *view, uint64_t number)
{
  struct gg_cli_body **at = &view->bodies;
  while (*at && (*at)->number != number)
    at = &(*at)->next;
  return at;
}

static struct gg_cli_body *begin_body(struct gg_cli_view *view, const struct gg_message *message)
{
  struct gg_cli_body *body = view->spare;
  if (body)
    view->spare = body->next;
  else
    body = malloc(sizeof *body);
  if (!body)
    return NULL;
  gg_cli_body_begin(body, view->style, message, view->laying_out < LAYING_OUT_MAX);
  view->laying_out += body->view != NULL;
  body->next = view->bodies;
  view->bodies = body;
  return body;
}

static void take_body(void *context, const struct gg_message *message, const struct gg_body *piece)
{
  struct gg_cli_view *view = context;
  bool begins = message->body_length == piece->length;
  struct gg_cli_body *body = begins || view->laying_out || message->body_length - piece->length < GG_CLI_BODY_KEPT_MAX
                               ? *find_body(view, message->number)
                               : NULL;
  if (piece->length == 0 || (!body && !(begins && (body = begin_body(view, message)))))
    return;
  gg_cli_body_push(body, piece);
}

/* The message's body, laid out; NULL: it has none. */
static const struct gg_cli_body *end_body(struct gg_cli_view *view, const struct gg_message *message)
{
  struct gg_cli_body *body = *find_body(view, message->number);
  if (!body)
    return NULL;
  view->laying_out -= body->view != NULL;
  gg_cli_body_end(body, view->style, message);
  return body;
}

static void put_back(struct gg_cli_view *view, uint64_t number)
{
  struct gg_cli_body **at = find_body(view, number), *body = *at;
  if (!body)
    return;
  *at = body->next;
  body->next = view->spare;
  view->spare = body;
}

/* ── Order ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_first(struct gg_cli_view *view)
{
  struct held *first = view->held;
  fwrite(first->text, 1, first->length, stdout);
  view->next = first->number + 1;
  view->held = first->next;
  view->held_count--;
  free(first);
}

static void put_due(struct gg_cli_view *view)
{
  while (view->held && (view->held->number <= view->next || view->held_count > HELD_MAX))
    put_first(view);
}

static void put_all(struct gg_cli_view *view)
{
  while (view->held)
    put_first(view);
}

/* Keeps what was made of a message until it is its turn; without memory it is its turn at once. */
static void hold(struct gg_cli_view *view, uint64_t number, const char *text, size_t length)
{
  struct held *held = malloc(sizeof *held + length);
  if (!held) {
    fwrite(text, 1, length, stdout);
    return;
  }
  held->number = number;
  held->length = length;
  memcpy(held->text, text, length);
  struct held **at = &view->held;
  while (*at && (*at)->number < number)
    at = &(*at)->next;
  held->next = *at;
  *at = held;
  view->held_count++;
}

static void put_message(struct gg_cli_view *view, const struct gg_message *message, bool shown)
{
  const struct gg_cli_answer answer = answer_of(view, message);
  const struct gg_cli_body *body = end_body(view, message);
  if (view->style->live || message->number <= view->next) {
    if (shown)
      gg_cli_put_message(stdout, view->style, view->session, message, &answer, body);
    view->next = message->number == view->next ? view->next + 1 : view->next;
    put_due(view);
    return;
  }
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  if (out && shown)
    gg_cli_put_message(out, view->style, view->session, message, &answer, body);
  if (!out || fclose(out) != 0)
    view->no_memory = true;
  else
    hold(view, message->number, text, length);
  free(text);
  put_due(view);
}

/* ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* An object of the library's, with the session in front of its members and what is known here behind them. */
static void put_json(const struct gg_cli_view *view, const char *object, size_t length,
                     const struct gg_cli_answer *answer, const char *body)
{
  printf("{\"session\":\"%s\",", view->session->id);
  fwrite(object + 1, 1, length - 2, stdout);
  if (answer && answer->known)
    printf(",\"answer_first_ns\":%" PRId64 ",\"answer_last_ns\":%" PRId64, answer->first_ns, answer->last_ns);
  if (body)
    printf(",\"body\":%s", body);
  puts("}");
}

/* As a JSON object; NULL: there is none to be told of. */
static const char *body_json(const struct gg_cli_view *view, const struct gg_message *message,
                             const struct gg_cli_body *body)
{
  static char text[sizeof body->text * JSON_PER_BYTE + BODY_JSON_MORE_MAX];
  if (!body || body->failed)
    return NULL;
  if (gg_cli_body_is_withheld(view->style, message))
    snprintf(text, sizeof text, "{\"bytes\":%" PRIu64 ",\"withheld\":true}", body->result.bytes);
  else if (gg_body_view_json(&body->result, body->text, body->text_length, text, sizeof text) == 0)
    return NULL;
  return text;
}

static void put_message_json(struct gg_cli_view *view, const struct gg_message *message)
{
  static char text[GG_MESSAGE_JSON_MAX];
  const struct gg_cli_answer answer = answer_of(view, message);
  size_t length = gg_message_json(message, view->style->secrets ? GG_MESSAGE_JSON_SECRETS : 0, text, sizeof text);
  const char *body = body_json(view, message, end_body(view, message));
  if (length)
    put_json(view, text, length, &answer, body);
  else
    gg_cli_fail("message %" PRIu64 " of %s is too long to be shown as JSON", message->number, view->session->id);
}

/* ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_end(void *context, const struct gg_message *message)
{
  struct gg_cli_view *view = context;
  bool shown = !view->style->skip[message->side];
  view->told = true;
  note_end(view, message);
  if (!view->style->json)
    put_message(view, message, shown);
  else if (shown)
    put_message_json(view, message);
  put_back(view, message->number);
}

static void tell_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  struct gg_cli_view *view = context;
  if (!view->style->json && !view->style->many) {
    put_all(view);
    gg_cli_put_protocol(stdout, decoder, offset);
  }
  view->named = view->told = true;
}

static void tell_opaque(void *context, const struct gg_opaque *opaque)
{
  struct gg_cli_view *view = context;
  char text[4096];
  view->told = true;
  if (!view->style->json) {
    put_all(view);
    gg_cli_put_opaque(stdout, view->style, view->session, opaque, view->named);
    return;
  }
  size_t length = gg_opaque_json(opaque, text, sizeof text);
  if (length)
    put_json(view, text, length, NULL, NULL);
}

/* ── A session ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool goes_on(void *context)
{
  (void)context;
  return !gg_cli_signalled() && !ferror(stdout);
}

static void set_up(struct gg_cli_view *view, struct gg_message_options *options, struct gg_message_sink *sink)
{
  options->decoder = view->style->decoder;
  options->framing = view->style->framing;
  options->memory_max = view->style->memory_max;
  options->go_on = goes_on;
  sink->context = view;
  sink->protocol = tell_protocol;
  sink->body = view->style->bodies ? take_body : NULL;
  sink->end = tell_end;
  sink->opaque = tell_opaque;
}

int gg_cli_check_style(const char *command, const struct gg_cli_style *style)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (style->decoder && !gg_decoder_find(style->decoder))
    return gg_cli_wrong("%s: there is no decoder '%s'; 'gogetway protocols' lists them", command, style->decoder);
  if (style->framing && gg_framing_check(style->framing, &failure) != 0)
    return gg_cli_wrong("%s: --%s", command, failure.message);
  if (style->framing && style->decoder && strcmp(style->decoder, "framing") != 0)
    return gg_cli_wrong("%s: --framing is for the decoder 'framing', not for '%s'", command, style->decoder);
  if (!style->framing && style->decoder && strcmp(style->decoder, "framing") == 0)
    return gg_cli_wrong("%s: the decoder 'framing' needs --framing 'fixed 128', or another one", command);
  return GG_EXIT_DONE;
}

/* A stop is no failure: whoever asked for it knows. */
static int conclude(int error, const struct gg_failure *failure)
{
  return error && error != GG_ERR_CLOSED ? gg_cli_fail("%s", failure->message) : GG_EXIT_DONE;
}

static struct gg_cli_view *make(const struct gg_session *session, const struct gg_cli_style *style)
{
  struct gg_cli_view *view = calloc(1, sizeof *view);
  if (view)
    *view = (struct gg_cli_view){.session = session, .style = style, .next = 1};
  return view;
}

int gg_cli_view_open(struct gg_cli_view **out, struct gg_store *store, const struct gg_session *session,
                     const struct gg_cli_style *style)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  *out = make(session, style);
  if (!*out)
    return gg_cli_fail("no memory for the messages of a session");
  set_up(*out, &options, &sink);
  int error = gg_message_reader_open(&(*out)->reader, store, session, &options, &sink, &failure);
  if (!error)
    return GG_EXIT_DONE;
  gg_cli_view_close(*out);
  *out = NULL;
  return conclude(error, &failure);
}

int gg_cli_view_step(struct gg_cli_view *view, bool *ended)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  int read = gg_message_reader_read(view->reader, &failure);
  *ended = read != 1;
  if (*ended)
    put_all(view);
  return read < 0 ? conclude(read, &failure) : GG_EXIT_DONE;
}

int gg_cli_view_all(struct gg_store *store, const struct gg_session *session, const struct gg_cli_style *style)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  struct gg_cli_view *view = make(session, style);
  if (!view)
    return gg_cli_fail("no memory for the messages of a session");
  set_up(view, &options, &sink);
  int error = gg_store_messages(store, session, &options, &sink, &failure);
  put_all(view);
  if (!error && !view->told && !style->json && !style->many)
    puts("nothing was said");
  bool no_memory = view->no_memory;
  gg_cli_view_close(view);
  return no_memory && !error ? gg_cli_fail("no memory for some of the messages of %s", session->id)
                             : conclude(error, &failure);
}

void gg_cli_view_close(struct gg_cli_view *view)
{
  if (!view)
    return;
  gg_message_reader_close(view->reader);
  for (struct held *held = view->held, *next; held; held = next) {
    next = held->next;
    free(held);
  }
  struct gg_cli_body *lists[] = {view->bodies, view->spare};
  for (size_t i = 0; i < 2; i++)
    for (struct gg_cli_body *body = lists[i], *next; body; body = next) {
      next = body->next;
      gg_cli_body_close(body);
      free(body);
    }
  free(view->ended[0]);
  free(view->ended[1]);
  free(view);
}
