/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a protocol that is not known here, told apart as a person has described it (framing_text.c):
 *
 *     delimiter:  body ──► delimiter ──► body ...
 *     fixed:      size bytes ──► size bytes ...
 *     length:     offset bytes, length field ──► rest, as long as that and `adjust` say ──► ...
 *                 └──────────── header ─────────┴ body
 *
 * as Netty's DelimiterBasedFrameDecoder, FixedLengthFrameDecoder and LengthFieldBasedFrameDecoder have them
 * (lengthFieldOffset is offset, lengthFieldLength width, lengthAdjustment adjust, initialBytesToStrip header). Both
 * sides have the same framing. By `requests`, each message of one side waits in a queue for the other side's next one.
 *
 * Bodies are told as they pass; only a length field with what is in front of it is waited for, and so many bytes as may
 * be the beginning of a delimiter. Where bytes are missing, a fixed size tells where the next message begins, a
 * delimiter tells where the next but one does, a length field only if the gap lies within one message. Behind a gap
 * that may have held whole messages nobody can say which answers which any more: none does then.
 *
 * One alternative was a table made for each description, to be put into gg_decoding_options.more: then somebody owns a
 * table that must live as long as its sessions and their messages, and its fields are in no list of protocols. A text
 * in the options has neither problem; the decoder is built in and gets the text as one that another becomes. */
#include "proto/framing.h"

#include "proto/decoders.h"

#include <inttypes.h>
#include <string.h>

enum {
  WAITING_MAX = 1 << 16, /* requests without an answer */
  FIRST_BYTES = 48,      /* of a body, for people */
};

enum { LENGTH };
static const struct gg_decoder_field fields[] = {
  [LENGTH] = {"framing.length", GG_FIELD_NUMBER, false, "what the length field says", NULL},
  {0},
};
static const char *const kinds[] = {"message", NULL};

struct half {
  struct gg_draft *draft; /* NULL, and not `open`: none has begun */
  bool open;
  uint64_t left;  /* bytes of it that are to come, unless a delimiter ends it */
  uint64_t strip; /* of these, so many first are no body */
  uint8_t first[FIRST_BYTES];
  size_t first_length;
  uint64_t body;
};

struct state {
  struct gg__framing framing;
  struct half halves[2];
  uint64_t *queue; /* a ring of the numbers of requests without an answer */
  size_t head, count, capacity;
};

/* ── Who answers whom ────────────────────────────────────────────────────────────────────────────────────────────── */

static bool add_waiting(struct state *state, struct gg_decoding *decoding, uint64_t number)
{
  if (state->count == state->capacity) {
    size_t wanted = state->capacity ? state->capacity * 2 : 8;
    uint64_t *queue = wanted > WAITING_MAX ? NULL : gg_decoded_alloc(decoding, NULL, wanted * sizeof *queue);
    if (!queue)
      return false;
    for (size_t i = 0; i < state->count; i++)
      queue[i] = state->queue[(state->head + i) % state->capacity];
    gg_decoded_alloc(decoding, state->queue, 0);
    state->queue = queue;
    state->head = 0;
    state->capacity = wanted;
  }
  state->queue[(state->head + state->count++) % state->capacity] = number;
  return true;
}

static void pair(struct state *state, struct gg_decoding *decoding, enum gg_side side, struct gg_message *message)
{
  if (state->framing.requests == GG__REQUESTS_OF_NOBODY)
    return;
  enum gg_side asks = state->framing.requests == GG__REQUESTS_OF_CLIENT ? GG_SIDE_CLIENT : GG_SIDE_SERVER;
  if (side == asks) {
    message->flags |= GG_MESSAGE_REQUEST;
    if (!add_waiting(state, decoding, message->number))
      gg_decoded_opaque(decoding, GG_OPAQUE_LIMIT, side, message->offset, false,
                        "more than 65536 requests without an answer");
  } else if (state->count == 0) {
    message->flags |= GG_MESSAGE_UNSOLICITED;
  } else {
    message->answers = state->queue[state->head];
    state->head = (state->head + 1) % state->capacity;
    state->count--;
  }
}

/* ── One message ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint64_t offset)
{
  struct half *half = &state->halves[side];
  *half = (struct half){.open = true};
  half->draft = gg_decoded_begin(decoding, side, 0, offset);
  if (half->draft)
    pair(state, decoding, side, gg_decoded_message(decoding, half->draft));
}

static void tell_body(struct gg_decoding *decoding, struct half *half, const uint8_t *data, size_t length,
                      uint64_t offset)
{
  struct gg_body body = {.data = data, .length = length, .raw_offset = offset, .raw_length = length};
  if (length == 0)
    return;
  size_t room = sizeof half->first - half->first_length;
  size_t kept = length < room ? length : room;
  memcpy(half->first + half->first_length, data, kept);
  half->first_length += kept;
  half->body += length;
  gg_decoded_body(decoding, half->draft, &body);
}

static void finish(struct gg_decoding *decoding, struct half *half, uint64_t end)
{
  struct gg_message *message = gg_decoded_message(decoding, half->draft);
  if (message->answers)
    message->flags |= GG_MESSAGE_COMPLETES;
  for (size_t i = 0; i < half->first_length; i++)
    if (half->first[i] < ' ' || half->first[i] == 0x7f)
      half->first[i] = '.';
  gg_decoded_summary(decoding, half->draft, "%" PRIu64 " bytes: %.*s", half->body, (int)half->first_length,
                     (const char *)half->first);
  gg_decoded_end(decoding, half->draft, end);
  *half = (struct half){0};
}

/* Of a message whose end is known: as much as is there. */
static size_t take_rest(struct gg_decoding *decoding, struct half *half, const struct gg_window *window, size_t at)
{
  size_t length = window->length - at;
  if (half->left < length)
    length = (size_t)half->left;
  size_t strip = half->strip < length ? (size_t)half->strip : length;
  half->strip -= strip;
  half->left -= length;
  uint64_t offset = window->offset + at;
  tell_body(decoding, half, window->data + at + strip, length - strip, offset + strip);
  if (half->left == 0)
    finish(decoding, half, offset + length);
  return length;
}

/* ── The three framings ──────────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_delimited(struct state *state, struct gg_decoding *decoding, const struct gg_window *window,
                             size_t at)
{
  const struct gg__framing *framing = &state->framing;
  struct half *half = &state->halves[window->side];
  const uint8_t *data = window->data + at;
  size_t length = window->length - at;
  uint64_t offset = window->offset + at;
  if (!half->open)
    begin(state, decoding, window->side, offset);
  const uint8_t *found = memmem(data, length, framing->delimiter, framing->delimiter_length);
  if (found) {
    size_t body = (size_t)(found - data), whole = body + framing->delimiter_length;
    tell_body(decoding, half, data, body, offset);
    finish(decoding, half, offset + whole);
    return whole;
  }
  size_t kept = window->last ? 0 : framing->delimiter_length - 1; /* it may begin there */
  if (length <= kept)
    return 0;
  tell_body(decoding, half, data, length - kept, offset);
  return length - kept;
}

static uint64_t read_length(const struct gg__framing *framing, const uint8_t *at)
{
  uint64_t length = 0;
  for (size_t i = 0; i < framing->width; i++)
    length = length << 8 | at[framing->little_endian ? framing->width - 1 - i : i];
  return length;
}

/* The header of a message, as far as its length. 0: it is not there, or it says nothing that can be. */
static size_t take_length(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  const struct gg__framing *framing = &state->framing;
  const uint8_t *data = window->data + at;
  uint64_t offset = window->offset + at;
  size_t known = framing->offset + framing->width;
  if (window->length - at < known)
    return 0;
  uint64_t says = read_length(framing, data + framing->offset);
  int64_t rest = says > INT64_MAX / 2 ? -1 : (int64_t)says + framing->adjust;
  if (rest < 0) {
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, window->side, offset, true,
                      says > INT64_MAX / 2 ? "a length that no message has"
                                           : "a length that is less than its header's");
    return 0;
  }
  struct half *half = &state->halves[window->side];
  begin(state, decoding, window->side, offset);
  gg_decoded_number(decoding, half->draft, &fields[LENGTH], says);
  gg_decoded_head(decoding, half->draft);
  size_t strip = framing->header < known ? (size_t)framing->header : known;
  half->left = (uint64_t)rest;
  half->strip = framing->header - strip;
  tell_body(decoding, half, data + strip, known - strip, offset + strip);
  if (half->left == 0)
    finish(decoding, half, offset + known);
  return known;
}

/* ── The decoder ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void open_framing(void *self, struct gg_decoding *decoding, const struct gg_become *became)
{
  struct state *state = self;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__framing_parse(&state->framing, became && became->text ? became->text : "", &failure) != 0)
    gg_decoded_opaque(decoding, GG_OPAQUE_UNKNOWN, GG_SIDE_CLIENT, 0, false, failure.message);
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct state *state = self;
  struct half *half = &state->halves[window->side];
  size_t done = 0;
  while (done < window->length) {
    size_t taken;
    if (state->framing.kind == GG__FRAMING_DELIMITER) {
      taken = take_delimited(state, decoding, window, done);
    } else if (half->open || state->framing.kind == GG__FRAMING_FIXED) {
      if (!half->open) {
        begin(state, decoding, window->side, window->offset + done);
        half->left = state->framing.size;
      }
      taken = take_rest(decoding, half, window, done);
    } else {
      taken = take_length(state, decoding, window, done);
    }
    done += taken;
    if (taken == 0 || gg_decoded_stopped(decoding, window->side))
      break;
  }
  return done;
}

/* Whole messages may be missing: who answers whom is not known any more. */
static void lose_pairs(struct state *state)
{
  state->framing.requests = GG__REQUESTS_OF_NOBODY;
  state->count = 0;
}

/* A message of which the gap has a part, and not its end. */
static void begin_in_gap(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint64_t offset)
{
  if (!state->halves[side].open)
    begin(state, decoding, side, offset);
  gg_decoded_message(decoding, state->halves[side].draft)->flags |= GG_MESSAGE_GAP;
}

static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct state *state = self;
  struct half *half = &state->halves[side];
  uint64_t end = offset + length;
  if (state->framing.kind == GG__FRAMING_DELIMITER) {
    lose_pairs(state);
    begin_in_gap(state, decoding, side, offset);
    return true;
  }
  if (half->open) {
    uint64_t missing = length < half->left ? length : half->left;
    begin_in_gap(state, decoding, side, offset);
    half->strip -= missing < half->strip ? missing : half->strip;
    half->left -= missing;
    length -= missing;
    if (half->left == 0)
      finish(decoding, half, offset + missing);
  }
  if (length == 0)
    return true;
  if (state->framing.kind == GG__FRAMING_LENGTH)
    return false;
  uint64_t part = length % state->framing.size;
  lose_pairs(state);
  if (part) {
    begin_in_gap(state, decoding, side, end - part);
    half->left = state->framing.size - part;
  }
  return true;
}

const struct gg_decoder gg__decoder_framing = {
  GG_DECODER_HEAD,
  .name = "framing",
  .protocol = "framing",
  .title = "messages as a person has described them",
  .kinds = kinds,
  .fields = fields,
  .state_bytes = sizeof(struct state),
  .open = open_framing,
  .push = push,
  .gap = gap,
};
