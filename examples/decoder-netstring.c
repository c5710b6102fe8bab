/* SPDX-License-Identifier: Apache-2.0 */
/**
 * decoder-netstring.c - a decoder of one's own: netstrings (cr.yp.to/proto/netstrings.txt), each of the server's an
 * answer to the client's next one.
 *
 *   decoder-netstring CLIENT SERVER
 *
 * CLIENT and SERVER are files with what the two sides of a session have said, as `gogetway export --format raw` makes
 * them. Each message is a line on standard output, with its place in its side's bytes; so is what is not understood:
 *
 *     1 client request 0+8 netstring.length=5
 *     2 server reply 0+5 answers 1 netstring.length=2
 *     server from 5: failed: no length
 *
 * Build it with `cc decoder-netstring.c $(pkg-config --cflags --libs gogetway)`.
 */
#include <gogetway/decoder.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ── The decoder ─────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { DIGITS_MAX = 9, WAITING_MAX = 256 };
static const char *const kinds[] = {"request", "reply", NULL}; /* by side */
static const struct gg_decoder_field fields[] = {
  {"netstring.length", GG_FIELD_NUMBER, true, "bytes between the colon and the comma", "netstring.length=100.."},
  {NULL, GG_FIELD_TEXT, false, NULL, NULL},
};

struct half {
  struct gg_draft *draft; /* the message that has begun */
  uint64_t left;          /* bytes of it that are to come, with the comma; 0: a length is next */
};

struct state { /* it comes zeroed, one for each session */
  struct half halves[2];
  uint64_t waiting[WAITING_MAX]; /* numbers of requests without a reply: a ring */
  size_t first, count;
};

/* A reply answers the first request that waits. */
static void pair(struct state *state, struct gg_message *message)
{
  if (message->side == GG_SIDE_CLIENT) {
    message->flags |= GG_MESSAGE_REQUEST;
    if (state->count < WAITING_MAX)
      state->waiting[(state->first + state->count++) % WAITING_MAX] = message->number;
  } else if (state->count) {
    message->answers = state->waiting[state->first];
    state->first = (state->first + 1) % WAITING_MAX;
    state->count--;
  } else {
    message->flags |= GG_MESSAGE_UNSOLICITED;
  }
}

/* "5:" at the beginning of the window. How many bytes that are; 0: they are not all there, or it is none. */
static size_t take_length(struct state *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  uint64_t length = 0;
  size_t at = 0;
  while (at < window->length && at < DIGITS_MAX && window->data[at] >= '0' && window->data[at] <= '9')
    length = length * 10 + (uint64_t)(window->data[at++] - '0');
  if (at == window->length && at < DIGITS_MAX)
    return 0; /* called again with more */
  if (at == 0 || at == window->length || window->data[at] != ':') {
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, window->side, window->offset, true, "no length");
    return 0;
  }
  struct half *half = &state->halves[window->side];
  half->draft = gg_decoded_begin(decoding, window->side, window->side, window->offset);
  half->left = length + 1;
  pair(state, gg_decoded_message(decoding, half->draft));
  gg_decoded_number(decoding, half->draft, &fields[0], length);
  gg_decoded_summary(decoding, half->draft, "%" PRIu64 " bytes", length);
  return at + 1;
}

/* As much of the bytes as is there: a body is told as it passes, and never waited for. */
static size_t take_bytes(struct state *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct half *half = &state->halves[window->side];
  if (half->left == 1) {
    if (window->data[0] != ',') {
      gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, window->side, window->offset, true, "no comma");
      return 0;
    }
    struct gg_message *message = gg_decoded_message(decoding, half->draft);
    if (message->answers)
      message->flags |= GG_MESSAGE_COMPLETES;
    gg_decoded_end(decoding, half->draft, window->offset + 1);
    half->left = 0;
    return 1;
  }
  size_t length = half->left - 1 < window->length ? (size_t)half->left - 1 : window->length;
  struct gg_body body = {window->data, length, window->offset, length};
  gg_decoded_body(decoding, half->draft, &body);
  half->left -= length;
  return length;
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct state *state = (struct state *)self;
  return state->halves[window->side].left ? take_bytes(state, decoding, window) : take_length(state, decoding, window);
}

/* Digits and a colon: other protocols may begin so, therefore only likely. */
static enum gg_likeness identify(const struct gg_opening *opening)
{
  const uint8_t *data = opening->data[GG_SIDE_CLIENT];
  size_t at = 0, length = opening->length[GG_SIDE_CLIENT];
  while (at < length && data[at] >= '0' && data[at] <= '9')
    at++;
  if (at == length)
    return at < DIGITS_MAX ? GG_LIKENESS_OPEN : GG_LIKENESS_NONE;
  return at && at < DIGITS_MAX && data[at] == ':' ? GG_LIKENESS_LIKELY : GG_LIKENESS_NONE;
}

/* It is no envelope (false), and needs no open, gap, end or close: where a gap is, nothing tells what follows. In C one
 * may name the members: {GG_DECODER_HEAD, .name = "netstring", ...}. */
static const struct gg_decoder netstring = {GG_DECODER_ABI,
                                            sizeof(struct gg_decoder),
                                            "netstring",
                                            "netstring",
                                            "netstrings",
                                            false,
                                            kinds,
                                            fields,
                                            sizeof(struct state),
                                            identify,
                                            NULL,
                                            push,
                                            NULL,
                                            NULL,
                                            NULL};

/* ── The program ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const sides[] = {"client", "server"};

/* Texts may have any bytes, so only numbers are shown: see gg_text_printable of store.h. */
static void on_end(void *context, const struct gg_message *message)
{
  (void)context;
  printf("%" PRIu64 " %s %s %" PRIu64 "+%" PRIu64, message->number, sides[message->side], message->kind,
         message->offset, message->length);
  if (message->answers)
    printf(" answers %" PRIu64, message->answers);
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].of->kind == GG_FIELD_NUMBER)
      printf(" %s=%" PRIu64, message->fields[i].of->name, message->fields[i].number);
  printf("%s\n", message->flags & GG_MESSAGE_CUT ? " cut" : "");
}

static void on_opaque(void *context, const struct gg_opaque *opaque)
{
  (void)context;
  printf("%s from %" PRIu64 ": %s: %s\n", sides[opaque->side], opaque->offset, gg_opaque_why_text(opaque->why),
         opaque->text);
}

/* All of a file, in whatever pieces: what is told is the same. The times are not known here. */
static int push_file(struct gg_decoding *decoding, enum gg_side side, const char *path)
{
  static char bytes[1 << 16];
  uint64_t offset = 0;
  FILE *file = fopen(path, "rb");
  if (!file)
    return fprintf(stderr, "%s cannot be opened\n", path);
  for (size_t length; (length = fread(bytes, 1, sizeof bytes, file)) > 0; offset += length)
    gg_decoding_push(decoding, side, offset, 0, bytes, length);
  gg_decoding_end(decoding, side, 0);
  return fclose(file) != 0;
}

int main(int argc, char **argv)
{
  static const struct gg_decoder *const more[] = {&netstring};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  struct gg_decoding *decoding = NULL;
  options.more = more;
  options.more_count = 1;
  sink.end = on_end;
  sink.opaque = on_opaque;
  if (argc == 3 && gg_decoding_create(&decoding, &options, &sink, &failure) != 0)
    fprintf(stderr, "%s\n", failure.message);
  if (!decoding)
    return 1;
  int failed = push_file(decoding, GG_SIDE_CLIENT, argv[1]) || push_file(decoding, GG_SIDE_SERVER, argv[2]);
  gg_decoding_finish(decoding, 0);
  gg_decoding_destroy(decoding);
  return failed;
}
