/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a WebSocket connection (RFC 6455, 5) put together to messages, each side by itself.
 *
 *                ┌──────────── the frame's end ─────────────┐
 *                ▼                                          │
 *     ┌──► HEAD (2 to 14 bytes) ──► PAYLOAD ──► unmask ──► inflate ──► UTF-8 ──► body
 *     │      │ opcode 1, 2: begins a message                (RFC 7692,
 *     │      │ opcode 0: goes on with it                     if it says so)
 *     │      └ opcode 8 to 10: a message of its own, also between the fragments of another
 *     └── HEAD of more than 2^63 bytes: the end of understanding
 *
 * A message begins with the first byte of its first frame, and its body is told as it comes; nothing is kept but the
 * first bytes, for the summary and for what a close frame says.
 *
 * Real peers fail the connection at what RFC 6455 does not allow. Here it is named (`ws.odd`) and gone on, as long as
 * the lengths lead from frame to frame: the recording goes on, too.
 *
 * What answers what: a pong answers the oldest ping of the other side with its payload, a close the other side's close.
 * Nothing is a REQUEST, and nothing COMPLETES: WebSocket has no such rule, so for a replay nothing that a client sends
 * depends on a message of the server by itself. All that a server sends and that answers nothing is UNSOLICITED. */
#include "proto/websocket_frames.h"
#include "proto/secrets.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT, BINARY, CLOSE, PING, PONG, OTHER };
enum { UNMASKED = 4096, CONTROL_MAX = 125, SHOWN_MAX = 100, DEFAULT_WINDOW_BITS = 15 };

/* ── What a message says ─────────────────────────────────────────────────────────────────────────────────────────── */

static void add_word(struct gg_decoding *decoding, struct gg__ws_message *message, enum gg__ws_field of,
                     const char *word)
{
  struct gg_field field = {.of = &message->fields[of], .value = (const uint8_t *)word, .length = strlen(word)};
  gg_decoded_field(decoding, message->draft, &field);
}

/* Each once. */
static void odd(struct gg_decoding *decoding, struct gg__ws_message *message, const char *what)
{
  struct gg_message *told = gg_decoded_message(decoding, message->draft);
  told->flags |= GG_MESSAGE_ODD;
  for (size_t i = 0; message->draft && i < told->field_count; i++) {
    const struct gg_field *field = &told->fields[i];
    if (field->of == &message->fields[GG__WS_ODD] && field->length == strlen(what) &&
        memcmp(field->value, what, field->length) == 0)
      return;
  }
  add_word(decoding, message, GG__WS_ODD, what);
}

static bool is_close_code(unsigned code) /* that may be sent: RFC 6455, 7.4, and IANA's list */
{
  return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
         (code >= 3000 && code <= 4999);
}

/* What a close frame says, in a body of at least two bytes. */
static void summarize_close(struct gg_decoding *decoding, struct gg__ws_message *message)
{
  if (message->kept_length < 2) {
    if (message->kept_length)
      odd(decoding, message, "bad-close");
    gg_decoded_summary(decoding, message->draft, "close");
    return;
  }
  unsigned code = (unsigned)message->kept[0] << 8 | message->kept[1];
  const char *reason = (const char *)message->kept + 2;
  size_t length = message->kept_length - 2;
  bool whole = message->to - message->from == message->body_length;
  gg_decoded_number(decoding, message->draft, &message->fields[GG__WS_CLOSE_CODE], code);
  if (length) {
    struct gg_field field = {.of = &message->fields[GG__WS_CLOSE_REASON],
                             .value = (const uint8_t *)reason,
                             .length = length,
                             .cut = message->body_length > message->kept_length,
                             .raw_offset = whole ? message->from + 2 : 0,
                             .raw_length = whole ? length : 0};
    gg_decoded_field(decoding, message->draft, &field);
  }
  if (!is_close_code(code))
    odd(decoding, message, "bad-close-code");
  struct gg_utf8_state utf8 = {0};
  if (message->body_length == message->kept_length && (!gg_utf8_push(&utf8, reason, length) || utf8.wanted))
    odd(decoding, message, "bad-utf-8");
  gg_decoded_summary(decoding, message->draft, "close %u%s%.*s", code, length ? " " : "", (int)length, reason);
}

static void summarize(struct gg_decoding *decoding, struct gg__ws_message *message)
{
  static const char *const words[] = {"text", "binary", "close", "ping", "pong", "other"};
  if (message->kind == CLOSE) {
    summarize_close(decoding, message);
    return;
  }
  bool is_text = message->kind != BINARY && message->kind != OTHER && !message->unchecked;
  size_t length = message->kept_length < SHOWN_MAX ? message->kept_length : SHOWN_MAX;
  char shown[GG__WS_KEPT];
  memcpy(shown, message->kept, length);
  if (!is_text || !length || memchr(shown, '\0', length)) {
    gg_decoded_summary(decoding, message->draft, "%s, %" PRIu64 " bytes", words[message->kind], message->body_length);
    return;
  }
  bool in_character = length < message->body_length && (uint8_t)shown[length - 1] >= 0x80; /* perhaps */
  while (in_character && length)
    in_character = ((uint8_t)shown[--length] & 0xc0) == 0x80;
  gg_decoded_summary(decoding, message->draft, "%s %.*s%s", words[message->kind], (int)length, shown,
                     length < message->body_length ? "..." : "");
}

/* ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin_message(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side,
                          struct gg__ws_message *message, unsigned kind, uint64_t offset)
{
  *message = (struct gg__ws_message){.draft = gg_decoded_begin(decoding, side, ws->first_kind + kind, offset),
                                     .fields = ws->fields,
                                     .begun = true,
                                     .kind = kind};
  struct gg_message *told = gg_decoded_message(decoding, message->draft);
  told->stream = ws->stream;
  message->number = told->number;
  if (side == GG_SIDE_SERVER && kind != PONG && kind != CLOSE)
    told->flags |= GG_MESSAGE_UNSOLICITED;
  if (kind == CLOSE || kind == PING || kind == PONG)
    told->flags |= GG_MESSAGE_CONTROL;
  if (ws->halves[side].closed)
    odd(decoding, message, "after-close");
}

static void keep_ping(struct gg__ws_half *half, const struct gg__ws_message *message)
{
  if (half->ping_count == GG__WS_PINGS)
    memmove(half->pings, half->pings + 1, --half->ping_count * sizeof *half->pings);
  struct gg__ws_ping *ping = &half->pings[half->ping_count++];
  ping->number = message->number;
  ping->length = (uint8_t)message->kept_length;
  memcpy(ping->payload, message->kept, message->kept_length);
}

/* The ping that a pong answers; those before it are not answered any more. */
static uint64_t take_ping(struct gg__ws_half *half, const struct gg__ws_message *pong)
{
  for (size_t i = 0; i < half->ping_count; i++) {
    const struct gg__ws_ping *ping = &half->pings[i];
    if (ping->length != pong->kept_length || memcmp(ping->payload, pong->kept, ping->length) != 0)
      continue;
    uint64_t number = ping->number;
    half->ping_count -= i + 1;
    memmove(half->pings, half->pings + i + 1, half->ping_count * sizeof *half->pings);
    return number;
  }
  return 0;
}

static void end_message(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side,
                        struct gg__ws_message *message, uint64_t end)
{
  struct gg__ws_half *half = &ws->halves[side], *other = &ws->halves[side == GG_SIDE_CLIENT];
  struct gg_message *told = gg_decoded_message(decoding, message->draft);
  if (message->kind == TEXT && message->utf8.wanted && !message->unchecked)
    odd(decoding, message, "bad-utf-8");
  if (message->fragments > 1)
    gg_decoded_number(decoding, message->draft, &message->fields[GG__WS_FRAGMENTS], message->fragments);
  if (message->kind == PING)
    keep_ping(half, message);
  else if (message->kind == PONG)
    told->answers = take_ping(other, message);
  else if (message->kind == CLOSE && !half->closed)
    told->answers = other->closed;
  if (message->kind == CLOSE)
    half->closed = message->number;
  if (side == GG_SIDE_SERVER && !told->answers)
    told->flags |= GG_MESSAGE_UNSOLICITED;
  summarize(decoding, message);
  gg_decoded_end(decoding, message->draft, end);
  message->begun = false;
  message->draft = NULL;
}

/* Bytes of a body, as their sender meant them. */
static void tell(struct gg_decoding *decoding, struct gg__ws_message *message, const struct gg_body *piece)
{
  size_t room = sizeof message->kept - message->kept_length;
  size_t kept = piece->length < room ? piece->length : room;
  memcpy(message->kept + message->kept_length, piece->data, kept);
  message->kept_length += kept;
  if (message->body_length == 0)
    message->from = piece->raw_offset;
  message->body_length += piece->length;
  message->to = piece->raw_offset + piece->raw_length;
  if (message->kind == TEXT && !message->unchecked && !gg_utf8_push(&message->utf8, piece->data, piece->length)) {
    odd(decoding, message, "bad-utf-8");
    message->unchecked = true;
  }
  gg_decoded_body(decoding, message->draft, piece);
}

/* ── Compressed messages ─────────────────────────────────────────────────────────────────────────────────────────── */

static void lose_inflater(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side,
                          struct gg__ws_message *message)
{
  struct gg__ws_half *half = &ws->halves[side];
  message->lost = true;
  message->unchecked = true;
  if (ws->extensions.sides[side].no_takeover)
    return; /* the next message needs nothing of this one */
  half->cannot_inflate = true;
  gg__ws_inflate_destroy(half->inflater, decoding);
  half->inflater = NULL;
}

/* A message that says that it is compressed. */
static void begin_inflating(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side,
                            struct gg__ws_message *message)
{
  struct gg__ws_half *half = &ws->halves[side];
  const struct gg__ws_deflate *deflate = &ws->extensions.sides[side];
  if (ws->extensions.deflate && !half->cannot_inflate && gg__ws_inflate_is_built_in()) {
    if (!half->inflater)
      half->inflater = gg__ws_inflate_create(decoding, deflate->window_bits);
    else if (deflate->no_takeover)
      gg__ws_inflate_reset(half->inflater);
    message->inflated = half->inflater != NULL;
  }
  message->unchecked = !message->inflated;
  add_word(decoding, message, GG__WS_COMPRESSED, message->inflated ? "inflated" : "kept");
}

static void inflate_and_tell(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side,
                             struct gg__ws_message *message, const struct gg_body *compressed)
{
  struct gg__ws_inflater *inflater = ws->halves[side].inflater;
  enum gg__ws_inflate result = GG__WS_INFLATED;
  struct gg_body told = {.raw_offset = compressed->raw_offset};
  uint64_t left = compressed->raw_length; /* 0 of what is not in the stream */
  gg__ws_inflate_give(inflater, compressed->data, compressed->length);
  while (result == GG__WS_INFLATED) {
    struct gg__ws_piece piece;
    result = gg__ws_inflate_take(inflater, &piece);
    bool lost = result == GG__WS_DAMAGED || result == GG__WS_BOMB;
    told.data = piece.data;
    told.length = piece.length;
    told.raw_length = lost || piece.used > left ? left : piece.used;
    left -= told.raw_length;
    if (told.length || told.raw_length)
      tell(decoding, message, &told);
    told.raw_offset += told.raw_length;
    if (lost) {
      odd(decoding, message, result == GG__WS_BOMB ? "bomb" : "bad-deflate");
      lose_inflater(ws, decoding, side, message);
    }
  }
}

static void tell_payload(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side,
                         struct gg__ws_message *message, const struct gg_body *piece)
{
  struct gg_body nothing = {.data = piece->data, .raw_offset = piece->raw_offset, .raw_length = piece->raw_length};
  if (message->inflated && !message->lost)
    inflate_and_tell(ws, decoding, side, message, piece);
  else
    tell(decoding, message, message->lost ? &nothing : piece);
}

/* ── Frames ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__ws_message *current(struct gg__ws_half *half)
{
  return half->control ? &half->single : &half->data;
}

/* By its first byte. */
static void begin_frame(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint8_t first,
                        uint64_t offset)
{
  static const unsigned kinds[16] = {[0] = OTHER, [1] = TEXT, [2] = BINARY, [3 ... 7] = OTHER,
                                     [8] = CLOSE, [9] = PING, [10] = PONG,  [11 ... 15] = OTHER};
  struct gg__ws_half *half = &ws->halves[side];
  unsigned opcode = first & 0x0f;
  half->last = first & 0x80;
  half->control = opcode >= 8;
  struct gg__ws_message *message = current(half);
  bool goes_on = opcode == 0 && message->begun;
  if (message->begun && !goes_on) {
    odd(decoding, message, "unfinished");
    end_message(ws, decoding, side, message, offset);
  }
  if (!goes_on)
    begin_message(ws, decoding, side, message, kinds[opcode], offset);
  message->fragments++;
  if (kinds[opcode] == OTHER && !goes_on) {
    gg_decoded_number(decoding, message->draft, &message->fields[GG__WS_OPCODE], opcode);
    odd(decoding, message, opcode ? "reserved-opcode" : "no-beginning");
  }
  bool compressed = (first & 0x40) && !goes_on && !half->control;
  if (compressed && (ws->extensions.deflate || ws->extensions.other))
    begin_inflating(ws, decoding, side, message);
  else
    compressed = false;
  if ((first & (compressed ? 0x30 : 0x70)) && !ws->extensions.other)
    odd(decoding, message, "reserved-bits");
  if (half->control && !half->last)
    odd(decoding, message, "fragmented-control");
}

static size_t head_length(const uint8_t *head, size_t known)
{
  if (known < 2)
    return 2;
  unsigned length = head[1] & 0x7f;
  return 2u + (length == 126 ? 2 : length == 127 ? 8 : 0) + (head[1] & 0x80 ? 4 : 0);
}

static uint64_t payload_length(const uint8_t *head)
{
  unsigned length = head[1] & 0x7f;
  if (length < 126)
    return length;
  uint64_t number = 0;
  for (size_t i = 0; i < (length == 126 ? 2 : 8); i++)
    number = number << 8 | head[2 + i];
  return number;
}

static void end_frame(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t end)
{
  static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff}; /* RFC 7692, 7.2.2: it is not sent */
  struct gg__ws_half *half = &ws->halves[side];
  struct gg__ws_message *message = current(half);
  half->in_payload = false;
  half->head_length = 0;
  if (!half->last && !half->control)
    return;
  struct gg_body missing = {.data = tail, .length = sizeof tail, .raw_offset = end};
  if (message->inflated)
    tell_payload(ws, decoding, side, message, &missing);
  end_message(ws, decoding, side, message, end);
}

/* The head is whole. NULL, or why nothing follows. */
static const char *end_head(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t end)
{
  struct gg__ws_half *half = &ws->halves[side];
  struct gg__ws_message *message = current(half);
  const uint8_t *head = half->head;
  unsigned form = head[1] & 0x7f;
  half->left = payload_length(head);
  half->masked = 0;
  half->has_mask = head[1] & 0x80;
  if (half->has_mask)
    memcpy(half->mask, head + half->head_length - 4, sizeof half->mask);
  if (half->left >> 63)
    return "a frame of 2^63 bytes or more";
  if (half->has_mask != (side == GG_SIDE_CLIENT))
    odd(decoding, message, half->has_mask ? "masked" : "unmasked");
  if ((form == 126 && half->left < 126) || (form == 127 && half->left < 65536))
    odd(decoding, message, "long-length");
  if (half->control && half->left > CONTROL_MAX)
    odd(decoding, message, "long-control");
  gg_decoded_head(decoding, message->draft);
  half->in_payload = true;
  if (half->left == 0)
    end_frame(ws, decoding, side, end);
  return NULL;
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Byte i of `in` is the one at `at` + i of the payload. Eight at a time, by a mask that is turned to there. */
static void unmask(uint8_t *out, const uint8_t *in, size_t length, const uint8_t mask[4], uint64_t at)
{
  uint8_t turned[8];
  for (size_t i = 0; i < sizeof turned; i++)
    turned[i] = mask[(at + i) & 3];
  uint64_t word, key;
  memcpy(&key, turned, sizeof key);
  size_t i = 0;
  for (; length - i >= sizeof word; i += sizeof word) {
    memcpy(&word, in + i, sizeof word);
    word ^= key;
    memcpy(out + i, &word, sizeof word);
  }
  for (; i < length; i++)
    out[i] = in[i] ^ turned[i & 7];
}

/* Some of the payload; how many bytes that were. */
static size_t take_payload(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t offset,
                           const uint8_t *data, size_t length)
{
  struct gg__ws_half *half = &ws->halves[side];
  uint8_t plain[UNMASKED];
  if (half->left < length)
    length = (size_t)half->left;
  if (half->has_mask) {
    if (length > sizeof plain)
      length = sizeof plain;
    unmask(plain, data, length, half->mask, half->masked);
  }
  struct gg_body piece = {
    .data = half->has_mask ? plain : data, .length = length, .raw_offset = offset, .raw_length = length};
  tell_payload(ws, decoding, side, current(half), &piece);
  half->masked += length;
  half->left -= length;
  if (half->left == 0)
    end_frame(ws, decoding, side, offset + length);
  return length;
}

size_t gg__ws_push(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t offset,
                   const uint8_t *data, size_t length, const char **why)
{
  struct gg__ws_half *half = &ws->halves[side];
  size_t done = 0;
  *why = NULL;
  while (done < length && !*why && !gg_decoded_stopped(decoding, side)) {
    if (half->in_payload) {
      done += take_payload(ws, decoding, side, offset + done, data + done, length - done);
      continue;
    }
    if (half->head_length == 0)
      begin_frame(ws, decoding, side, data[done], offset + done);
    half->head[half->head_length++] = data[done++];
    if (half->head_length == head_length(half->head, half->head_length))
      *why = end_head(ws, decoding, side, offset + done);
  }
  return done;
}

bool gg__ws_gap(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct gg__ws_half *half = &ws->halves[side];
  struct gg__ws_message *message = current(half);
  if (!half->in_payload || length > half->left)
    return false;
  gg_decoded_message(decoding, message->draft)->flags |= GG_MESSAGE_GAP;
  message->unchecked = true;
  if (message->inflated && !message->lost)
    lose_inflater(ws, decoding, side, message);
  half->masked += length;
  half->left -= length;
  if (half->left == 0)
    end_frame(ws, decoding, side, offset + length);
  return true;
}

void gg__ws_finish(struct gg__ws *ws, struct gg_decoding *decoding, enum gg_side side, uint64_t end_offset)
{
  struct gg__ws_half *half = &ws->halves[side];
  struct gg__ws_message *messages[] = {&half->single, &half->data};
  for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
    if (!messages[i]->begun)
      continue;
    gg_decoded_message(decoding, messages[i]->draft)->flags |= GG_MESSAGE_CUT;
    gg_decoded_end(decoding, messages[i]->draft, end_offset);
    messages[i]->begun = false;
  }
  gg__ws_inflate_destroy(half->inflater, decoding);
  half->inflater = NULL;
  half->head_length = 0;
  half->in_payload = false;
}

/* ── What was agreed upon ────────────────────────────────────────────────────────────────────────────────────────── */

/* The next part up to `mark`, without blanks; where the one behind it begins. */
static const char *next_part(const char *text, const char *end, char mark, const char **from, const char **to)
{
  const char *found = memchr(text, mark, (size_t)(end - text));
  const char *last = found ? found : end;
  *from = text;
  *to = last;
  while (*from < *to && (**from == ' ' || **from == '\t'))
    (*from)++;
  while (*to > *from && ((*to)[-1] == ' ' || (*to)[-1] == '\t'))
    (*to)--;
  return found ? found + 1 : end;
}

static bool begins(const char *from, const char *to, const char *word)
{
  size_t length = strlen(word);
  return (size_t)(to - from) >= length && memcmp(from, word, length) == 0;
}

/* "server_max_window_bits=12", the number perhaps in quotes. */
static void read_parameter(struct gg__ws_deflate sides[2], const char *from, const char *to)
{
  static const char *const names[2] = {"client_", "server_"};
  for (unsigned side = 0; side < 2; side++) {
    if (!begins(from, to, names[side]))
      continue;
    const char *rest = from + strlen(names[side]);
    if (begins(rest, to, "no_context_takeover"))
      sides[side].no_takeover = true;
    if (!begins(rest, to, "max_window_bits"))
      continue;
    unsigned bits = 0;
    for (const char *at = rest; at < to && bits < 100; at++)
      if (*at >= '0' && *at <= '9')
        bits = bits * 10 + (unsigned)(*at - '0');
    if (bits >= 8 && bits <= 15)
      sides[side].window_bits = bits;
  }
}

void gg__ws_extensions_read(struct gg__ws_extensions *out, const char *header)
{
  *out = (struct gg__ws_extensions){
    .deflate = !header, .sides = {{.window_bits = DEFAULT_WINDOW_BITS}, {.window_bits = DEFAULT_WINDOW_BITS}}};
  if (!header)
    return;
  const char *end = header + strlen(header), *from, *to;
  for (const char *at = header; at < end;) {
    at = next_part(at, end, ',', &from, &to);
    const char *name, *name_end, *inner = next_part(from, to, ';', &name, &name_end);
    if (name == name_end)
      continue;
    if (name_end - name != 18 || !begins(name, name_end, "permessage-deflate")) {
      out->other = true;
      continue;
    }
    out->deflate = true;
    while (inner < to) {
      const char *parameter, *parameter_end;
      inner = next_part(inner, to, ';', &parameter, &parameter_end);
      read_parameter(out->sides, parameter, parameter_end);
    }
  }
}

void gg__ws_init(struct gg__ws *ws, const char *extensions, const struct gg_decoder_field *fields, unsigned first_kind,
                 uint64_t stream)
{
  gg__ws_extensions_read(&ws->extensions, extensions);
  ws->fields = fields;
  ws->first_kind = first_kind;
  ws->stream = stream;
}
