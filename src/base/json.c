/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/base64.h"
#include "base/text.h"
#include "base/utf8.h"
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void gg_json_init(struct gg_json *json, char *buffer, size_t size)
{
  *json = (struct gg_json){.buffer = buffer, .size = size, .overflow = size == 0};
  if (size > 0)
    buffer[0] = '\0';
}

static void put(struct gg_json *json, const char *text, size_t length)
{
  if (json->overflow)
    return;
  if (length >= json->size - json->length) {
    json->overflow = true;
    return;
  }
  memcpy(json->buffer + json->length, text, length);
  json->length += length;
  json->buffer[json->length] = '\0';
}

static uint32_t bit(const struct gg_json *json)
{
  return (uint32_t)1 << json->depth;
}

static bool in_object(const struct gg_json *json)
{
  return json->depth > 0 && (json->objects & bit(json));
}

/* What stands between this element and the one before it. */
static void separate(struct gg_json *json)
{
  if (json->nonempty & bit(json)) {
    assert(json->depth > 0); /* one value at the top */
    put(json, ",", 1);
  }
  json->nonempty |= bit(json);
}

static void before_value(struct gg_json *json)
{
  assert(in_object(json) == json->after_key);
  if (json->after_key)
    json->after_key = false;
  else
    separate(json);
}

static void open_container(struct gg_json *json, bool object)
{
  before_value(json);
  assert(json->depth < GG_JSON_DEPTH_MAX);
  json->depth++;
  json->nonempty &= ~bit(json);
  json->objects = object ? json->objects | bit(json) : json->objects & ~bit(json);
  put(json, object ? "{" : "[", 1);
}

static void close_container(struct gg_json *json, bool object)
{
  assert(json->depth > 0 && in_object(json) == object && !json->after_key);
  json->depth--;
  put(json, object ? "}" : "]", 1);
}

void gg_json_object_begin(struct gg_json *json)
{
  open_container(json, true);
}

void gg_json_object_end(struct gg_json *json)
{
  close_container(json, true);
}

void gg_json_array_begin(struct gg_json *json)
{
  open_container(json, false);
}

void gg_json_array_end(struct gg_json *json)
{
  close_container(json, false);
}

static void put_escaped(struct gg_json *json, uint32_t point)
{
  static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  for (size_t i = 0; i + 1 < sizeof short_forms; i += 2) {
    if (point == (unsigned char)short_forms[i]) {
      const char pair[2] = {'\\', short_forms[i + 1]};
      put(json, pair, 2);
      return;
    }
  }
  char text[8];
  int length = snprintf(text, sizeof text, "\\u%04x", (unsigned)(point & 0xFFFF));
  put(json, text, (size_t)length);
}

/* How many bytes at the beginning are printable ASCII that JSON does not escape, which is nearly all that is ever
 * written here. Eight are looked at in one go; a word with another byte in it may be told a little short. */
static size_t plain_run(const char *text, size_t length)
{
  const uint64_t ones = UINT64_MAX / 255, tops = ones << 7;
  size_t at = 0;
  for (uint64_t word; at + sizeof word <= length; at += sizeof word) {
    memcpy(&word, text + at, sizeof word);
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\', erase = word ^ ones * 0x7F;
    uint64_t odd = word | (word - ones * ' ') | (quote - ones) | (backslash - ones) | (erase - ones);
    if (odd & tops)
      break;
  }
  for (; at < length; at++) {
    char c = text[at];
    if (c < ' ' || c > '~' || c == '"' || c == '\\')
      break;
  }
  return at;
}

static void put_string(struct gg_json *json, const char *text, size_t length)
{
  put(json, "\"", 1);
  size_t plain = 0; /* where the run begins that can be copied as it is */
  size_t at = 0;
  while (at < length && !json->overflow) {
    at += plain_run(text + at, length - at);
    if (at == length)
      break;
    uint32_t point = 0;
    size_t step = gg_utf8_next(text + at, length - at, &point);
    if (step > 0 && !gg_utf8_is_unsafe(point) && point != '"' && point != '\\') {
      at += step;
      continue;
    }
    put(json, text + plain, at - plain);
    if (step == 0)
      put(json, "\xEF\xBF\xBD", 3);
    else
      put_escaped(json, point);
    at += step > 0 ? step : 1;
    plain = at;
  }
  put(json, text + plain, at - plain);
  put(json, "\"", 1);
}

void gg_json_key(struct gg_json *json, const char *key)
{
  assert(in_object(json) && !json->after_key);
  separate(json);
  put_string(json, key, strlen(key));
  put(json, ":", 1);
  json->after_key = true;
}

void gg_json_string_n(struct gg_json *json, const char *text, size_t length)
{
  before_value(json);
  put_string(json, text, length);
}

void gg_json_string(struct gg_json *json, const char *text)
{
  if (text)
    gg_json_string_n(json, text, strlen(text));
  else
    gg_json_null(json);
}

static void put_value(struct gg_json *json, const char *text)
{
  before_value(json);
  put(json, text, strlen(text));
}

void gg_json_unsigned(struct gg_json *json, uint64_t number)
{
  char text[GG_TEXT_DIGITS_MAX];
  size_t length = gg_text_digits(number, text);
  before_value(json);
  put(json, text, length);
}

void gg_json_signed(struct gg_json *json, int64_t number)
{
  char text[24];
  snprintf(text, sizeof text, "%" PRId64, number);
  put_value(json, text);
}

void gg_json_double(struct gg_json *json, double number)
{
  if (!isfinite(number)) {
    gg_json_null(json);
    return;
  }
  char text[40];
  snprintf(text, sizeof text, "%.12g", number);
  char *comma = strchr(text, ','); /* some locales' decimal sign */
  if (comma)
    *comma = '.';
  put_value(json, text);
}

void gg_json_bool(struct gg_json *json, bool truth)
{
  put_value(json, truth ? "true" : "false");
}

void gg_json_raw(struct gg_json *json, const char *value, size_t length)
{
  before_value(json);
  put(json, value, length);
}

/* Straight into the buffer: the letters of Base64 need no escapes. */
void gg_json_base64(struct gg_json *json, const uint8_t *data, size_t length)
{
  size_t bytes = gg_base64_length(length);
  before_value(json);
  put(json, "\"", 1);
  if (json->overflow || bytes >= json->size - json->length) {
    json->overflow = true;
    return;
  }
  gg_base64(json->buffer + json->length, data, length);
  json->length += bytes;
  put(json, "\"", 1);
}

void gg_json_null(struct gg_json *json)
{
  put_value(json, "null");
}

void gg_json_field_string(struct gg_json *json, const char *key, const char *text)
{
  gg_json_key(json, key);
  gg_json_string(json, text);
}

void gg_json_field_unsigned(struct gg_json *json, const char *key, uint64_t number)
{
  gg_json_key(json, key);
  gg_json_unsigned(json, number);
}

void gg_json_field_signed(struct gg_json *json, const char *key, int64_t number)
{
  gg_json_key(json, key);
  gg_json_signed(json, number);
}

void gg_json_field_bool(struct gg_json *json, const char *key, bool truth)
{
  gg_json_key(json, key);
  gg_json_bool(json, truth);
}

size_t gg_json_finish(const struct gg_json *json)
{
  if (json->overflow)
    return 0;
  assert(json->depth == 0 && json->length < json->size);
  return json->length;
}
