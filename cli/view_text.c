/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as lines for people. Keys, values and bodies are bytes of anybody's: they go through gg_text_printable. */
#include "store_common.h"
#include "view.h"

#include <inttypes.h>
#include <string.h>

enum { VALUE_SHOWN_MAX = 1024, PRINTABLE_PER_BYTE = 10 };

static const char *const arrows[2] = {">>>", "<<<"};
static const char *const side_names[2] = {"client", "server"};
static const char mask[] = "****";

static const char *colour(const struct gg_cli_style *style, enum gg_side side)
{
  return !style->colours ? "" : side == GG_SIDE_CLIENT ? "\033[36m" : "\033[33m";
}

static const char *plain(const struct gg_cli_style *style)
{
  return style->colours ? "\033[0m" : "";
}

static void put_printable(FILE *out, const uint8_t *data, size_t length)
{
  char text[VALUE_SHOWN_MAX * PRINTABLE_PER_BYTE + 1];
  size_t used;
  fwrite(text, 1,
         gg_text_printable(data, length < VALUE_SHOWN_MAX ? length : VALUE_SHOWN_MAX, false, text, sizeof text, &used),
         out);
  if (length > VALUE_SHOWN_MAX)
    fprintf(out, "... (%zu bytes)", length);
}

/* ── A message's line ────────────────────────────────────────────────────────────────────────────────────────────── */

/* Of one session since its beginning; of several, which one, and the time of day. */
static void put_when(FILE *out, const struct gg_cli_style *style, const struct gg_session *session, uint64_t time_ns)
{
  char time[GG_CLI_TIME_MAX];
  if (style->many) {
    fprintf(out, "%s %s ", session->id, gg_cli_time(time_ns, style->human, time));
    return;
  }
  uint64_t since = time_ns > session->start_ns ? time_ns - session->start_ns : 0;
  fprintf(out, "%5" PRIu64 ".%06" PRIu64 " ", since / 1000000000u, since / 1000 % 1000000);
}

/* For people, of milliseconds the tenths too: most answers take a few. */
static const char *span(uint64_t ns, bool human, char text[GG_CLI_NUMBER_MAX])
{
  if (!human || ns < 1000000 || ns >= 100000000)
    return gg_cli_duration(ns, human, text);
  snprintf(text, GG_CLI_NUMBER_MAX, "%" PRIu64 ".%" PRIu64 "ms", ns / 1000000, ns / 100000 % 10);
  return text;
}

static void put_answer(FILE *out, const struct gg_cli_style *style, const struct gg_message *message,
                       const struct gg_cli_answer *answer)
{
  char first[GG_CLI_NUMBER_MAX], last[GG_CLI_NUMBER_MAX];
  if (!message->answers)
    return;
  fprintf(out, ", answers %" PRIu64, message->answers);
  if (!answer->known || answer->first_ns < 0)
    fputs(" before its end", out);
  else
    fprintf(out, " after %s", span((uint64_t)answer->first_ns, style->human, first));
  if (answer->known && answer->last_ns > answer->first_ns && answer->last_ns > 0)
    fprintf(out, ", whole after %s", span((uint64_t)answer->last_ns, style->human, last));
}

static bool says_what_is_odd(const struct gg_field *field)
{
  const char *word = strrchr(field->of->name, '.');
  return word && strcmp(word, ".odd") == 0 && !field->secret;
}

static void put_flags(FILE *out, const struct gg_session *session, const struct gg_message *message)
{
  if (message->flags & GG_MESSAGE_UNSOLICITED)
    fputs(", unasked", out);
  if (message->flags & GG_MESSAGE_CUT)
    fputs(session->state == GG_SESSION_OPEN ? ", not at its end" : ", cut", out);
  if (message->flags & GG_MESSAGE_GAP)
    fputs(", bytes are missing in it", out);
  if (message->flags & GG_MESSAGE_FIELDS_CUT)
    fputs(", longer fields or more of them than are kept", out);
  if (message->flags & GG_MESSAGE_ODD)
    fputs(", odd:", out);
  for (size_t i = 0; message->flags & GG_MESSAGE_ODD && i < message->field_count; i++)
    if (says_what_is_odd(&message->fields[i])) {
      putc(' ', out);
      put_printable(out, message->fields[i].value, message->fields[i].length);
    }
}

static void put_line(FILE *out, const struct gg_cli_style *style, const struct gg_session *session,
                     const struct gg_message *message, const struct gg_cli_answer *answer)
{
  char bytes[GG_CLI_NUMBER_MAX];
  fputs(colour(style, message->side), out);
  put_when(out, style, session, message->first_ns);
  fprintf(out, "%s %3" PRIu64 " ", arrows[message->side], message->number);
  if (style->many)
    fprintf(out, "%s ", message->protocol);
  if (message->stream)
    fprintf(out, "stream %" PRIu64 " ", message->stream);
  fprintf(out, "%-8s  %s%s", message->kind, message->summary, plain(style));
  if (message->body_length)
    fprintf(out, ", %s bytes of body", gg_cli_bytes(message->body_length, style->human, bytes));
  put_answer(out, style, message, answer);
  put_flags(out, session, message);
  putc('\n', out);
}

/* ── What belongs to it ──────────────────────────────────────────────────────────────────────────────────────────── */

/* Of what is not shown nothing is looked at: letters are judged by those in front of them. */
static void put_value(FILE *out, const struct gg_cli_style *style, const struct gg_field *field)
{
  char shown[VALUE_SHOWN_MAX];
  size_t length = field->length < sizeof shown ? field->length : sizeof shown;
  if (length)
    memcpy(shown, field->value, length);
  if (!style->secrets)
    gg_text_mask(shown, length);
  put_printable(out, (const uint8_t *)shown, length);
  if (field->length > sizeof shown)
    fprintf(out, "... (%zu bytes)", field->length);
}

static void put_field(FILE *out, const struct gg_cli_style *style, const struct gg_field *field)
{
  fputs("        ", out);
  fputs(field->of->name, out);
  if (field->key) {
    putc(' ', out);
    put_printable(out, (const uint8_t *)field->key, field->key_length);
  }
  fputs(": ", out);
  if (field->secret && !style->secrets)
    fputs(mask, out);
  else if (field->of->kind == GG_FIELD_NUMBER)
    fprintf(out, "%" PRIu64, field->number);
  else
    put_value(out, style, field);
  fputs(field->cut ? " (cut)\n" : "\n", out);
}

static void put_body(FILE *out, const struct gg_cli_body *body)
{
  static char text[sizeof body->text * PRINTABLE_PER_BYTE + 1];
  size_t used;
  size_t bytes = gg_text_printable((const uint8_t *)body->text, body->text_length, true, text, sizeof text, &used);
  for (size_t at = 0; at < bytes;) {
    const char *end = memchr(text + at, '\n', bytes - at);
    size_t line = end ? (size_t)(end - text) - at : bytes - at;
    size_t shown = line && text[at + line - 1] == '\r' ? line - 1 : line;
    fprintf(out, "      | %.*s\n", (int)shown, text + at);
    at += line + 1;
  }
}

void gg_cli_put_message(FILE *out, const struct gg_cli_style *style, const struct gg_session *session,
                        const struct gg_message *message, const struct gg_cli_answer *answer,
                        const struct gg_cli_body *body)
{
  put_line(out, style, session, message, answer);
  for (size_t i = 0; style->fields && i < message->field_count; i++)
    put_field(out, style, &message->fields[i]);
  if (!body)
    return;
  if (gg_cli_body_is_withheld(style, message))
    fputs("      | not shown: credentials may be in it; --secrets shows it\n", out);
  else if (body->failed)
    fputs("      | not shown: no memory for it\n", out);
  else
    put_body(out, body);
}

/* ── What is no message ──────────────────────────────────────────────────────────────────────────────────────────── */

void gg_cli_put_opaque(FILE *out, const struct gg_cli_style *style, const struct gg_session *session,
                       const struct gg_opaque *opaque, bool named)
{
  bool unknown = opaque->why == GG_OPAQUE_UNKNOWN && !named;
  if (unknown && opaque->side == GG_SIDE_SERVER)
    return; /* it was said of the client's side, with what both say */
  if (style->many)
    fprintf(out, "%s ", session->id);
  if (unknown)
    fprintf(out, "unknown protocol: %s; 'gogetway show %s --as hex' shows the bytes\n", opaque->text, session->id);
  else
    fprintf(out, "%s from byte %" PRIu64 " of the %s on it is not decoded: %s: %s\n", arrows[opaque->side],
            opaque->offset, side_names[opaque->side], gg_opaque_why_text(opaque->why), opaque->text);
}

void gg_cli_put_protocol(FILE *out, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  fprintf(out, "%s: %s", decoder->protocol, decoder->title ? decoder->title : decoder->name);
  if (offset[GG_SIDE_CLIENT] || offset[GG_SIDE_SERVER])
    fprintf(out, ", from byte %" PRIu64 " of the client and %" PRIu64 " of the server on", offset[GG_SIDE_CLIENT],
            offset[GG_SIDE_SERVER]);
  putc('\n', out);
}
