/* SPDX-License-Identifier: Apache-2.0 */
#include "store/facts.h"

#include <errno.h>
#include <gogetway/store.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { COMMENT_MAX = 16 << 10 }; /* longer ones are none of ours */

static const char opening[] = "{\"gogetway\":1";

static void take_text(const json_t *object, const char *key, char text[GG__FACTS_TEXT_MAX])
{
  const json_t *value = json_object_get(object, key);
  size_t used;
  text[0] = '\0';
  if (json_is_string(value))
    gg_text_printable((const uint8_t *)json_string_value(value), json_string_length(value), false, text,
                      GG__FACTS_TEXT_MAX, &used);
}

static bool take_number(const json_t *object, const char *key, uint64_t *number)
{
  const json_t *value = json_object_get(object, key);
  if (!json_is_integer(value) || json_integer_value(value) < 0)
    return false;
  *number = (uint64_t)json_integer_value(value);
  return true;
}

static bool take_pair(const json_t *object, const char *key, uint64_t pair[2])
{
  const json_t *value = json_object_get(object, key);
  return take_number(value, "client", &pair[0]) && take_number(value, "server", &pair[1]);
}

static void take_id(const json_t *object, const char *key, char id[25])
{
  const char *text = json_string_value(json_object_get(object, key));
  id[0] = '\0';
  if (text && strlen(text) == 24 && strspn(text, "0123456789abcdef") == 24)
    memcpy(id, text, 25);
}

enum gg__facts_kind gg__facts_parse(struct gg__facts *facts, const char *text, size_t length)
{
  if (length < sizeof opening - 1 || memcmp(text, opening, sizeof opening - 1) != 0)
    return GG__FACTS_NONE;
  errno = 0; /* jansson tells only some of the failures of malloc; malloc tells its own */
  json_t *object = length <= COMMENT_MAX ? json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
  if (errno == ENOMEM) {
    json_decref(object);
    return GG__FACTS_NOMEM;
  }
  if (!json_is_object(object)) {
    json_decref(object);
    return GG__FACTS_BROKEN;
  }
  *facts = (struct gg__facts){0};
  take_id(object, "id", facts->id);
  take_id(object, "original", facts->original);
  take_text(object, "listener", facts->listener);
  take_text(object, "client", facts->client);
  take_text(object, "server", facts->server);
  take_text(object, "upstream", facts->upstream);
  take_text(object, "server_path", facts->server_path);
  take_text(object, "close", facts->close);
  take_text(object, "why", facts->why);
  facts->continued = json_is_true(json_object_get(object, "continued"));
  facts->has_offset =
    take_number(object, "client_offset", &facts->offset[0]) && take_number(object, "server_offset", &facts->offset[1]);
  facts->has_counts = take_pair(object, "received", facts->received);
  facts->has_forwarded = take_pair(object, "forwarded", facts->forwarded);
  take_pair(object, "gaps", facts->gaps);
  take_number(json_object_get(object, "gap"), "bytes", &facts->gap);
  json_decref(object);
  return GG__FACTS_OURS;
}
