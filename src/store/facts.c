/* SPDX-License-Identifier: Apache-2.0 */
#include "store/facts.h"

#include "base/json_doc.h"

#include <gogetway/store.h>
#include <stdio.h>
#include <string.h>

enum { COMMENT_MAX = 16 << 10 }; /* longer ones are none of ours */

static const char opening[] = "{\"gogetway\":1";

static void take_text(const struct gg_json_value *object, const char *key, char text[GG__FACTS_TEXT_MAX])
{
  const struct gg_json_value *value = gg_json_value_get(object, key);
  size_t used;
  text[0] = '\0';
  if (gg_json_value_is(value, GG_JSON_TEXT))
    gg_text_printable((const uint8_t *)gg_json_value_text(value), gg_json_value_length(value), false, text,
                      GG__FACTS_TEXT_MAX, &used);
}

static bool take_number(const struct gg_json_value *object, const char *key, uint64_t *number)
{
  const struct gg_json_value *value = gg_json_value_get(object, key);
  if (!gg_json_value_is(value, GG_JSON_WHOLE) || gg_json_value_whole(value) < 0)
    return false;
  *number = (uint64_t)gg_json_value_whole(value);
  return true;
}

static bool take_pair(const struct gg_json_value *object, const char *key, uint64_t pair[2])
{
  const struct gg_json_value *value = gg_json_value_get(object, key);
  return take_number(value, "client", &pair[0]) && take_number(value, "server", &pair[1]);
}

static void take_id(const struct gg_json_value *object, const char *key, char id[25])
{
  const char *text = gg_json_value_text(gg_json_value_get(object, key));
  id[0] = '\0';
  if (text && strlen(text) == 24 && strspn(text, "0123456789abcdef") == 24)
    memcpy(id, text, 25);
}

enum gg__facts_kind gg__facts_parse(struct gg__facts *facts, const char *text, size_t length)
{
  if (length < sizeof opening - 1 || memcmp(text, opening, sizeof opening - 1) != 0)
    return GG__FACTS_NONE;
  struct gg_json_doc doc = {0};
  int error = length <= COMMENT_MAX ? gg_json_doc_parse(&doc, text, length, NULL) : GG_ERR_LIMIT;
  if (error)
    return error == GG_ERR_NOMEM ? GG__FACTS_NOMEM : GG__FACTS_BROKEN;
  const struct gg_json_value *object = doc.root; /* so it is: it begins like one */
  *facts = (struct gg__facts){0};
  take_id(object, "id", facts->id);
  take_id(object, "original", facts->original);
  take_id(object, "as_sent_of", facts->as_sent_of);
  take_text(object, "listener", facts->listener);
  take_text(object, "client", facts->client);
  take_text(object, "server", facts->server);
  take_text(object, "upstream", facts->upstream);
  take_text(object, "server_path", facts->server_path);
  take_text(object, "close", facts->close);
  take_text(object, "why", facts->why);
  facts->continued = gg_json_value_is_true(gg_json_value_get(object, "continued"));
  facts->has_offset =
    take_number(object, "client_offset", &facts->offset[0]) && take_number(object, "server_offset", &facts->offset[1]);
  facts->has_counts = take_pair(object, "received", facts->received);
  facts->has_forwarded = take_pair(object, "forwarded", facts->forwarded);
  take_pair(object, "gaps", facts->gaps);
  take_number(gg_json_value_get(object, "gap"), "bytes", &facts->gap);
  gg_json_doc_fini(&doc);
  return GG__FACTS_OURS;
}
