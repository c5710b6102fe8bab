/* SPDX-License-Identifier: Apache-2.0 */
/* Server-Sent Events:
 *
 *     ┌──► LINE ──┬─ an empty one: the event ends
 *     │           ├─ ':' ──► COMMENT ────────────┐
 *     │           └─ NAME ──► COLON ──► VALUE ───┤
 *     └────────────── CR, LF or CRLF ────────────┘
 *
 * Data are told as they come; of the other fields so much is kept as a name or an id may have. An event ends with the
 * CR of an empty line that ends with CRLF: nobody knows whether a LF follows until the next event, which may be hours
 * away. That LF stands between two events. Comments between events are nobody's; that an event without data is none for
 * a browser does not matter here. */
#include "proto/sse.h"

#include <string.h>
#include <strings.h>

bool gg__sse_is(const struct gg_message *message)
{
  static const char type[] = "text/event-stream";
  const struct gg_field *found = gg__http_find(message, GG__HTTP_TYPE);
  if (!found || found->length != sizeof type - 1 || strncasecmp((const char *)found->value, type, found->length) != 0)
    return false;
  const struct gg_field *coding = gg_message_field(message, "http.header", "content-encoding");
  return !coding || (coding->length == 8 && strncasecmp((const char *)coding->value, "identity", 8) == 0);
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_name(const struct gg__sse *sse, const char *name)
{
  return strlen(name) == sse->name_length && memcmp(sse->name, name, sse->name_length) == 0;
}

static void tell_data(struct gg__sse *sse, struct gg_decoding *decoding, const void *data, size_t length,
                      uint64_t offset, size_t raw_length)
{
  struct gg_body body = {.data = data, .length = length, .raw_offset = offset, .raw_length = raw_length};
  gg_decoded_body(decoding, sse->draft, &body);
}

/* The name is whole, its value begins. */
static void begin_value(struct gg__sse *sse, struct gg_decoding *decoding, uint64_t offset)
{
  sse->value_length = 0;
  if (!is_name(sse, "data"))
    return;
  if (sse->has_data)
    tell_data(sse, decoding, "\n", 1, offset, 0);
  sse->has_data = true;
}

static void take_value(struct gg__sse *sse, struct gg_decoding *decoding, const uint8_t *data, size_t length,
                       uint64_t offset)
{
  if (is_name(sse, "data")) {
    tell_data(sse, decoding, data, length, offset, length);
    return;
  }
  for (size_t i = 0; i < length && sse->value_length + i < GG__SSE_VALUE_MAX; i++)
    sse->value[sse->value_length + i] = (char)data[i];
  sse->value_length += length;
}

static bool read_number(uint64_t *out, const char *text, size_t length)
{
  *out = 0;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9' || i == 18)
      return false;
    *out = *out * 10 + (uint64_t)(text[i] - '0');
  }
  return length > 0;
}

/* The line has ended. */
static void end_value(struct gg__sse *sse, struct gg_decoding *decoding)
{
  uint64_t number;
  struct gg_field field = {.value = (const uint8_t *)sse->value, .length = sse->value_length};
  if (field.length > GG__SSE_VALUE_MAX) {
    field.length = GG__SSE_VALUE_MAX;
    field.cut = true;
  }
  if (is_name(sse, "event"))
    field.of = &gg__http_fields[GG__SSE_EVENT];
  else if (is_name(sse, "id"))
    field.of = &gg__http_fields[GG__SSE_ID];
  else if (is_name(sse, "retry") && read_number(&number, sse->value, field.length))
    gg_decoded_number(decoding, sse->draft, &gg__http_fields[GG__SSE_RETRY], number);
  if (field.of)
    gg_decoded_field(decoding, sse->draft, &field);
}

/* ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin(struct gg__sse *sse, struct gg_decoding *decoding, uint64_t offset)
{
  sse->draft = gg_decoded_begin(decoding, GG_SIDE_SERVER, sse->kind, offset);
  struct gg_message *message = gg_decoded_message(decoding, sse->draft);
  message->stream = sse->stream;
  message->answers = sse->answers;
  sse->has_data = false;
  gg_decoded_summary(decoding, sse->draft, "event");
}

static void end(struct gg__sse *sse, struct gg_decoding *decoding, uint64_t end_offset)
{
  if (!sse->draft)
    return;
  const struct gg_message *message = gg_decoded_message(decoding, sse->draft);
  const struct gg_field *name = gg__http_find(message, GG__SSE_EVENT), *id = gg__http_find(message, GG__SSE_ID);
  gg_decoded_summary(decoding, sse->draft, "event %.*s%s%.*s", name ? (int)name->length : 7,
                     name ? (const char *)name->value : "message", id ? " id " : "", id ? (int)id->length : 0,
                     id ? (const char *)id->value : "");
  gg_decoded_end(decoding, sse->draft, end_offset);
  sse->draft = NULL;
}

static void cut(struct gg__sse *sse, struct gg_decoding *decoding, uint32_t flags, uint64_t end_offset)
{
  gg_decoded_message(decoding, sse->draft)->flags |= flags;
  end(sse, decoding, end_offset);
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_end(uint8_t byte)
{
  return byte == '\n' || byte == '\r';
}

/* A byte order mark in front of all is no part of the first line. True: the byte belongs to one. */
static bool skip_mark(struct gg__sse *sse, uint8_t byte)
{
  static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
  if (sse->begun)
    return false;
  if (sse->mark < sizeof mark && byte == mark[sse->mark]) {
    sse->mark++;
    return true;
  }
  sse->begun = true;
  return false;
}

/* The first byte of a line. */
static void take_first(struct gg__sse *sse, struct gg_decoding *decoding, uint8_t byte, uint64_t offset)
{
  if (is_end(byte)) {
    end(sse, decoding, offset + 1);
  } else if (byte == ':') {
    sse->phase = GG__SSE_COMMENT;
  } else {
    if (!sse->draft)
      begin(sse, decoding, offset);
    sse->name[0] = (char)byte;
    sse->name_length = 1;
    sse->phase = GG__SSE_NAME;
  }
}

static void take_name(struct gg__sse *sse, struct gg_decoding *decoding, uint8_t byte, uint64_t offset)
{
  if (is_end(byte) || byte == ':') {
    begin_value(sse, decoding, offset);
    sse->phase = GG__SSE_COLON;
    if (is_end(byte))
      end_value(sse, decoding);
  } else if (sse->name_length < GG__SSE_NAME_MAX) {
    sse->name[sse->name_length++] = (char)byte;
  }
}

/* How many of these bytes are in front of the line's end. */
static size_t span_of(const uint8_t *data, size_t length)
{
  const uint8_t *feed = memchr(data, '\n', length);
  size_t span = feed ? (size_t)(feed - data) : length;
  const uint8_t *cr = memchr(data, '\r', span);
  return cr ? (size_t)(cr - data) : span;
}

/* At least one byte, which is no LF that belongs to a CR; how many were taken. */
static size_t take(struct gg__sse *sse, struct gg_decoding *decoding, const uint8_t *data, size_t length,
                   uint64_t offset)
{
  size_t span;
  switch (sse->phase) {
  case GG__SSE_LINE:
    take_first(sse, decoding, *data, offset);
    break;
  case GG__SSE_NAME:
    take_name(sse, decoding, *data, offset);
    break;
  case GG__SSE_COLON:
    sse->phase = GG__SSE_VALUE;
    return *data == ' ';
  case GG__SSE_LOST:
    sse->phase = is_end(*data) ? GG__SSE_LINE : GG__SSE_LOST_LINE;
    break;
  default:
    span = span_of(data, length);
    if (span && sse->phase == GG__SSE_VALUE)
      take_value(sse, decoding, data, span, offset);
    if (span)
      return span;
    if (sse->phase == GG__SSE_VALUE)
      end_value(sse, decoding);
  }
  sse->after_cr = *data == '\r';
  if (is_end(*data) && sse->phase != GG__SSE_LINE)
    sse->phase = sse->phase == GG__SSE_LOST_LINE ? GG__SSE_LOST : GG__SSE_LINE;
  return 1;
}

void gg__sse_push(struct gg__sse *sse, struct gg_decoding *decoding, const struct gg_body *piece)
{
  for (size_t at = 0; at < piece->length;) {
    const uint8_t *data = piece->data + at;
    if (skip_mark(sse, *data) || (sse->after_cr && *data == '\n')) {
      sse->after_cr = false;
      at++;
      continue;
    }
    sse->after_cr = false;
    at += take(sse, decoding, data, piece->length - at, piece->raw_offset + at);
  }
}

void gg__sse_hole(struct gg__sse *sse, struct gg_decoding *decoding, uint64_t offset)
{
  cut(sse, decoding, GG_MESSAGE_GAP | GG_MESSAGE_CUT, offset);
  sse->phase = GG__SSE_LOST_LINE;
  sse->begun = true;
  sse->after_cr = false;
}

void gg__sse_end(struct gg__sse *sse, struct gg_decoding *decoding, uint64_t end_offset)
{
  cut(sse, decoding, GG_MESSAGE_CUT, end_offset);
}
