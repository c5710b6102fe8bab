/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include <gogetway/store.h>

/* Base64 (RFC 4648) straight into the JSON's buffer, a piece at a time: its letters need no escapes. */
static void put_base64(struct gg_json *json, const uint8_t *data, size_t length)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t bytes = (length + 2) / 3 * 4;
  gg_json_string_n(json, "", 0);
  if (json->overflow || json->length + bytes >= json->size) {
    json->overflow = true;
    return;
  }
  char *at = json->buffer + json->length - 1; /* over the closing quote */
  for (size_t i = 0; i < length; i += 3) {
    uint32_t left = (uint32_t)(length - i < 3 ? length - i : 3);
    uint32_t bits =
      (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0u);
    *at++ = letters[bits >> 18];
    *at++ = letters[bits >> 12 & 63];
    *at++ = left > 1 ? letters[bits >> 6 & 63] : '=';
    *at++ = left > 2 ? letters[bits & 63] : '=';
  }
  *at++ = '"';
  *at = '\0';
  json->length += bytes;
}

size_t gg_chunk_json(const struct gg_chunk *chunk, char *text, size_t size)
{
  char time[GG_CLOCK_TEXT_MAX];
  struct gg_json json;
  gg_clock_format(chunk->time_ns, 9, time, sizeof time);
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "time", time);
  gg_json_field_string(&json, "from", chunk->side == GG_SIDE_CLIENT ? "client" : "server");
  gg_json_field_unsigned(&json, "offset", chunk->offset);
  gg_json_field_unsigned(&json, "length", chunk->length);
  if (chunk->gap) {
    gg_json_field_unsigned(&json, "gap", chunk->gap);
  } else {
    gg_json_key(&json, "data");
    put_base64(&json, chunk->data, chunk->length);
    if (gg_utf8_valid((const char *)chunk->data, chunk->length)) {
      gg_json_key(&json, "text");
      gg_json_string_n(&json, (const char *)chunk->data, chunk->length);
    }
  }
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}
