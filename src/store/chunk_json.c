/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include <gogetway/store.h>

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
    gg_json_base64(&json, chunk->data, chunk->length);
    if (gg_utf8_valid((const char *)chunk->data, chunk->length)) {
      gg_json_key(&json, "text");
      gg_json_string_n(&json, (const char *)chunk->data, chunk->length);
    }
  }
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}

static void put_bytes(struct gg_json *json, const char *key, const uint8_t *data, size_t length)
{
  gg_json_key(json, key);
  gg_json_base64(json, data, length);
}

size_t gg_grep_match_json(const struct gg_grep_match *match, char *text, size_t size)
{
  char time[GG_CLOCK_TEXT_MAX];
  struct gg_json json;
  gg_clock_format(match->time_ns, 9, time, sizeof time);
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "session", match->session->id);
  gg_json_field_string(&json, "from", match->side == GG_SIDE_CLIENT ? "client" : "server");
  gg_json_field_unsigned(&json, "offset", match->offset);
  gg_json_field_string(&json, "time", time);
  gg_json_field_unsigned(&json, "length", match->length);
  put_bytes(&json, "data", match->data, match->length);
  if (gg_utf8_valid((const char *)match->data, match->length)) {
    gg_json_key(&json, "text");
    gg_json_string_n(&json, (const char *)match->data, match->length);
  }
  if (match->before)
    put_bytes(&json, "before", match->data - match->before, match->before);
  if (match->after)
    put_bytes(&json, "after", match->data + match->length, match->after);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}
