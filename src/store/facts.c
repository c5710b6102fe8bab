/* SPDX-License-Identifier: Apache-2.0 */
#include "store/facts.h"

#include "base/json_doc.h"

#include <gogetway/store.h>
#include <stdlib.h>
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

static void take_address(const struct gg_json_value *object, const char *key, struct gg_addr *addr)
{
  const char *text = gg_json_value_text(gg_json_value_get(object, key));
  if (!text || gg_addr_parse(addr, text) != 0)
    *addr = (struct gg_addr){.family = GG_FAMILY_NONE};
}

/* A tag as people may set it: printable, without a blank or a comma. */
static bool is_tag(const struct gg_json_value *value)
{
  char shown[GG__FACTS_TAG_MAX + 1];
  size_t length = gg_json_value_length(value), used;
  const char *text = gg_json_value_text(value);
  if (!text || length == 0 || length > GG__FACTS_TAG_MAX || strpbrk(text, " ,"))
    return false;
  return gg_text_printable((const uint8_t *)text, length, false, shown, sizeof shown, &used) == length &&
         memcmp(shown, text, length) == 0;
}

static int by_bytes(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void take_tags(const struct gg_json_value *array, char tags[GG__FACTS_TAGS_MAX + 1])
{
  const char *list[GG__FACTS_TAGS_MAX / 2];
  size_t count = 0, length = 0;
  tags[0] = '\0';
  for (const struct gg_json_value *value = gg_json_value_first(array); value && count < sizeof list / sizeof list[0];
       value = gg_json_value_next(value))
    if (is_tag(value))
      list[count++] = gg_json_value_text(value);
  if (count > 1)
    qsort(list, count, sizeof list[0], by_bytes);
  for (size_t i = 0; i < count; i++) {
    size_t bytes = strlen(list[i]);
    if ((i > 0 && strcmp(list[i], list[i - 1]) == 0) || length + 1 + bytes > GG__FACTS_TAGS_MAX)
      continue;
    if (length > 0)
      tags[length++] = ' ';
    memcpy(tags + length, list[i], bytes + 1);
    length += bytes;
  }
}

/* What only a closing comment has. */
static void take_end(struct gg__facts *facts, const struct gg_json_value *object)
{
  const struct gg_json_value *verdict = gg_json_value_get(object, "verdict");
  take_text(object, "why", facts->why);
  take_text(verdict, "kind", facts->verdict);
  take_text(verdict, "plugin", facts->verdict_by);
  take_tags(gg_json_value_get(object, "tags"), facts->tags);
  facts->has_counts = take_pair(object, "received", facts->received);
  facts->has_forwarded = take_pair(object, "forwarded", facts->forwarded);
  take_pair(object, "gaps", facts->gaps);
  take_pair(object, "masked", facts->masked);
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
  take_address(object, "gateway", &facts->gateway);
  if (facts->close[0])
    take_end(facts, object);
  facts->continued = gg_json_value_is_true(gg_json_value_get(object, "continued"));
  facts->has_offset =
    take_number(object, "client_offset", &facts->offset[0]) && take_number(object, "server_offset", &facts->offset[1]);
  take_number(gg_json_value_get(object, "gap"), "bytes", &facts->gap);
  gg_json_doc_fini(&doc);
  return GG__FACTS_OURS;
}
