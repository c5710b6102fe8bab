/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plugin-ident.c - a plug-in that brings a decoder along: of ident (RFC 1413), by which a server asks whose a
 * connection is. Copy it, and put your protocol in its place.
 *
 *     client  6193, 23 CRLF                               server  6193, 23 : USERID : UNIX : stjohns CRLF
 *
 *     cc -shared -fPIC plugin-ident.c -o plugin-ident.so $(pkg-config --cflags gogetway-plugin)
 *     gogetway run --plugin ./plugin-ident.so ...
 *     gogetway sessions proto=ident
 *
 * What a decoder does is told in decoder.h and docs/decoders.md.
 */
#include <gogetway/decoder.h>
#include <gogetway/plugin.h>
#include <string.h>

enum { LINE_MAX = 1000, WAITING_MAX = 32 }; /* the first is the RFC's */
enum { PORTS, SAID };
static const char *const kinds[] = {"query", "reply", NULL}; /* by side */
static const struct gg_decoder_field fields[] = {
  [PORTS] = {"ident.ports", GG_FIELD_TEXT, true, "the two ports that are asked for", "\"ident.ports=6193, 23\""},
  [SAID] = {"ident.said", GG_FIELD_TEXT, false, "what is said of them", NULL},
  {NULL, GG_FIELD_TEXT, false, NULL, NULL},
};

struct state {                   /* it comes zeroed, one for each session */
  uint64_t waiting[WAITING_MAX]; /* numbers of queries without a reply: a ring */
  unsigned asked, answered;
};

/* Replies come in the order of the queries. */
static void pair(struct state *state, struct gg_message *message)
{
  if (message->side == GG_SIDE_CLIENT) {
    message->flags |= GG_MESSAGE_REQUEST;
    if (state->asked - state->answered < WAITING_MAX)
      state->waiting[state->asked++ % WAITING_MAX] = message->number;
  } else if (state->answered != state->asked) {
    message->flags |= GG_MESSAGE_COMPLETES;
    message->answers = state->waiting[state->answered++ % WAITING_MAX];
  } else {
    message->flags |= GG_MESSAGE_UNSOLICITED;
  }
}

/* A line; 0 until it is whole. */
static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  const uint8_t *end = memchr(window->data + window->seen, '\n', window->length - window->seen);
  size_t length = end ? (size_t)(end - window->data) + 1 : window->length;
  if (length > LINE_MAX)
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, window->side, window->offset, true, "a line is too long");
  if (length > LINE_MAX || !end)
    return 0;
  size_t text = length - 1;
  if (text > 0 && window->data[text - 1] == '\r')
    text--;
  struct gg_draft *draft = gg_decoded_begin(decoding, window->side, window->side, window->offset);
  pair(self, gg_decoded_message(decoding, draft));
  gg_decoded_text(decoding, draft, &fields[window->side == GG_SIDE_CLIENT ? PORTS : SAID], window->data, text,
                  window->offset);
  gg_decoded_summary(decoding, draft, "%.*s", (int)text, (const char *)window->data);
  gg_decoded_end(decoding, draft, window->offset + length);
  return length;
}

static size_t digits(const uint8_t *data, size_t length)
{
  size_t count = 0;
  while (count < length && data[count] >= '0' && data[count] <= '9')
    count++;
  return count;
}

/* "6193, 23" and the end of the line, by the client. */
static enum gg_likeness identify(const struct gg_opening *opening)
{
  const uint8_t *data = opening->data[GG_SIDE_CLIENT];
  size_t length = opening->length[GG_SIDE_CLIENT], at = digits(data, length);
  if (at > 5 || (at == 0 && length > 0))
    return GG_LIKENESS_NONE;
  while (at < length && (data[at] == ' ' || data[at] == ','))
    at++;
  at += digits(data + at, length - at);
  if (at == length)
    return length <= 16 ? GG_LIKENESS_OPEN : GG_LIKENESS_NONE;
  return memchr(data, ',', at) && (data[at] == '\r' || data[at] == '\n') ? GG_LIKENESS_LIKELY : GG_LIKENESS_NONE;
}

static const struct gg_decoder ident = {GG_DECODER_HEAD,
                                        .name = "ident",
                                        .protocol = "ident",
                                        .title = "ident (RFC 1413)",
                                        .kinds = kinds,
                                        .fields = fields,
                                        .state_bytes = sizeof(struct state),
                                        .identify = identify,
                                        .push = push};
static const struct gg_decoder *const decoders[] = {&ident};

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,
  .name = "ident",
  .summary = "decodes ident (RFC 1413), so that its sessions are found",
  .decoders = decoders,
  .decoder_count = sizeof decoders / sizeof *decoders,
};
