/* SPDX-License-Identifier: Apache-2.0 */
/* What decoders tell, as JSON: docs/messages.md has the schema. */
#include "base/json.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <gogetway/decoder.h>
#include <string.h>

static const char mask[] = "****";

static const char *side_name(enum gg_side side)
{
  return side == GG_SIDE_CLIENT ? "client" : "server";
}

static void put_time(struct gg_json *json, const char *key, uint64_t time_ns)
{
  char time[GG_CLOCK_TEXT_MAX];
  gg_clock_format(time_ns, 9, time, sizeof time);
  gg_json_field_string(json, key, time);
}

/* Bytes that are no UTF-8 have another name, so that nobody takes letters of Base64 for what was said. */
static void put_bytes(struct gg_json *json, const char *key, const char *coded_key, const void *bytes, size_t length)
{
  if (length == 0 || gg_utf8_valid(bytes, length)) {
    gg_json_key(json, key);
    gg_json_string_n(json, bytes ? bytes : "", length);
  } else {
    gg_json_key(json, coded_key);
    gg_json_base64(json, bytes, length);
  }
}

static void put_flags(struct gg_json *json, uint32_t flags)
{
  static const struct {
    uint32_t flag;
    const char *name;
  } names[] = {{GG_MESSAGE_REQUEST, "request"},
               {GG_MESSAGE_COMPLETES, "completes"},
               {GG_MESSAGE_UNSOLICITED, "unsolicited"},
               {GG_MESSAGE_CUT, "cut"},
               {GG_MESSAGE_GAP, "gap"},
               {GG_MESSAGE_FIELDS_CUT, "fields_cut"},
               {GG_MESSAGE_ODD, "odd"},
               {GG_MESSAGE_CONTROL, "control"}};
  gg_json_key(json, "flags");
  gg_json_array_begin(json);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (flags & names[i].flag)
      gg_json_string(json, names[i].name);
  gg_json_array_end(json);
}

/* No field is longer than all of them may be. */
static void put_value(struct gg_json *json, const struct gg_field *field, bool secrets)
{
  char masked[GG_MESSAGE_TEXT_MAX];
  size_t length = field->length < sizeof masked ? field->length : sizeof masked;
  if (length)
    memcpy(masked, field->value, length);
  if (!secrets)
    gg_text_mask(masked, length);
  put_bytes(json, "value", "base64", masked, length);
}

static void put_field(struct gg_json *json, const struct gg_field *field, bool secrets)
{
  gg_json_object_begin(json);
  gg_json_field_string(json, "name", field->of->name);
  if (field->key)
    put_bytes(json, "key", "key_base64", field->key, field->key_length);
  if (field->secret && !secrets)
    gg_json_field_string(json, "value", mask);
  else if (field->of->kind == GG_FIELD_NUMBER)
    gg_json_field_unsigned(json, "number", field->number);
  else
    put_value(json, field, secrets);
  if (field->secret)
    gg_json_field_bool(json, "secret", true);
  if (field->cut)
    gg_json_field_bool(json, "cut", true);
  if (field->raw_length) {
    gg_json_field_unsigned(json, "offset", field->raw_offset);
    gg_json_field_unsigned(json, "length", field->raw_length);
  }
  gg_json_object_end(json);
}

size_t gg_message_json(const struct gg_message *message, uint32_t flags, char *text, size_t size)
{
  struct gg_json json;
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  gg_json_field_unsigned(&json, "number", message->number);
  if (message->answers)
    gg_json_field_unsigned(&json, "answers", message->answers);
  gg_json_field_string(&json, "protocol", message->protocol);
  gg_json_field_string(&json, "decoder", message->decoder);
  gg_json_field_string(&json, "kind", message->kind);
  gg_json_field_string(&json, "from", side_name(message->side));
  if (message->stream)
    gg_json_field_unsigned(&json, "stream", message->stream);
  put_flags(&json, message->flags);
  put_time(&json, "first", message->first_ns);
  put_time(&json, "last", message->last_ns);
  gg_json_field_unsigned(&json, "offset", message->offset);
  gg_json_field_unsigned(&json, "length", message->length);
  gg_json_field_unsigned(&json, "body_length", message->body_length);
  gg_json_field_string(&json, "summary", message->summary);
  gg_json_key(&json, "fields");
  gg_json_array_begin(&json);
  for (size_t i = 0; i < message->field_count; i++)
    put_field(&json, &message->fields[i], flags & GG_MESSAGE_JSON_SECRETS);
  gg_json_array_end(&json);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}

size_t gg_opaque_json(const struct gg_opaque *opaque, char *text, size_t size)
{
  struct gg_json json;
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "opaque", gg_opaque_why_text(opaque->why));
  gg_json_field_string(&json, "from", side_name(opaque->side));
  gg_json_field_unsigned(&json, "offset", opaque->offset);
  gg_json_field_string(&json, "text", opaque->text);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}

static void put_decoder_field(struct gg_json *json, const struct gg_decoder_field *field)
{
  gg_json_object_begin(json);
  gg_json_field_string(json, "name", field->name);
  gg_json_field_string(json, "kind", field->kind == GG_FIELD_NUMBER ? "number" : "text");
  gg_json_field_bool(json, "fact", field->fact);
  gg_json_field_string(json, "help", field->help);
  if (field->example)
    gg_json_field_string(json, "example", field->example);
  gg_json_object_end(json);
}

size_t gg_decoder_json(const struct gg_decoder *decoder, char *text, size_t size)
{
  struct gg_json json;
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "name", decoder->name);
  gg_json_field_string(&json, "protocol", decoder->protocol);
  gg_json_field_string(&json, "title", decoder->title);
  gg_json_field_bool(&json, "envelope", decoder->envelope);
  gg_json_key(&json, "kinds");
  gg_json_array_begin(&json);
  for (const char *const *kind = decoder->kinds; *kind; kind++)
    gg_json_string(&json, *kind);
  gg_json_array_end(&json);
  gg_json_key(&json, "fields");
  gg_json_array_begin(&json);
  for (const struct gg_decoder_field *field = decoder->fields; field->name; field++)
    put_decoder_field(&json, field);
  gg_json_array_end(&json);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}
