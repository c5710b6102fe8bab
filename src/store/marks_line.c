/* SPDX-License-Identifier: Apache-2.0 */
#include "store/marks_line.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "store/xxh.h"

#include <assert.h>
#include <gogetway/error.h>
#include <string.h>

static const char check_opening[] = ",\"check\":\"";

bool gg__marks_is_id(const char *text, size_t length)
{
  return length == 24 && strspn(text, "0123456789abcdef") >= 24;
}

/* White space of other scripts: it could not be told apart in a list that blanks separate. */
static bool is_blank(uint32_t point)
{
  return point == ' ' || point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200f) || point == 0x202f ||
         point == 0x205f || point == 0x2060 || point == 0x3000 || point == 0xfeff;
}

bool gg__marks_is_tag(const char *text, size_t length)
{
  uint32_t point;
  if (length == 0 || length > GG_MARK_TAG_BYTES_MAX || text[0] == '+' || text[0] == '-')
    return false;
  for (size_t at = 0, take; at < length; at += take) {
    take = gg_utf8_next(text + at, length - at, &point);
    if (take == 0 || point == ',' || gg_utf8_is_unsafe(point) || is_blank(point))
      return false;
  }
  return true;
}

/* Without a NUL; a journal may have millions of these. */
static void put_check(char text[GG__MARKS_CHECK_BYTES], uint64_t check)
{
  static const char digits[] = "0123456789abcdef";
  char *at = (char *)memcpy(text, check_opening, sizeof check_opening - 1) + sizeof check_opening - 1;
  for (int shift = 60; shift >= 0; shift -= 4)
    *at++ = digits[check >> shift & 15];
  memcpy(at, "\"}", 2);
  static_assert(sizeof check_opening - 1 + 16 + 2 == GG__MARKS_CHECK_BYTES, "as long as it is said to be");
}

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_tags(struct gg_json *json, const char *key, const char *const *tags, size_t count)
{
  if (count == 0)
    return;
  gg_json_key(json, key);
  gg_json_array_begin(json);
  for (size_t i = 0; i < count; i++)
    gg_json_string(json, tags[i]);
  gg_json_array_end(json);
}

size_t gg__marks_line_write(const struct gg__marks_line *line, char *text)
{
  struct gg_json json;
  char at[GG_CLOCK_TEXT_MAX];
  gg_clock_format(line->at_ns, 9, at, sizeof at);
  gg_json_init(&json, text, GG__MARKS_LINE_BYTES - GG__MARKS_CHECK_BYTES);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "at", at);
  gg_json_field_string(&json, "session", line->id);
  if (line->forget)
    gg_json_field_bool(&json, "forget", true);
  put_tags(&json, "remove", line->remove, line->remove_count);
  put_tags(&json, "add", line->add, line->add_count);
  if (line->hold != GG__HOLD_SAME)
    gg_json_field_bool(&json, "hold", line->hold == GG__HOLD_SET);
  gg_json_object_end(&json);
  size_t length = gg_json_finish(&json);
  assert(length > 0);
  length--; /* the brace comes behind the check */
  put_check(text + length, XXH3_64bits(text, length));
  text[length + GG__MARKS_CHECK_BYTES] = '\n';
  return length + GG__MARKS_CHECK_BYTES + 1;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool check_is_right(const char *text, size_t length)
{
  char right[GG__MARKS_CHECK_BYTES];
  if (length <= GG__MARKS_CHECK_BYTES)
    return false;
  size_t before = length - GG__MARKS_CHECK_BYTES;
  put_check(right, XXH3_64bits(text, before));
  return memcmp(right, text + before, GG__MARKS_CHECK_BYTES) == 0;
}

static bool take_tags(const struct gg_json_value *object, const char *key, const char **tags, size_t *count)
{
  const struct gg_json_value *list = gg_json_value_get(object, key);
  *count = 0;
  if (list && !gg_json_value_is(list, GG_JSON_ARRAY))
    return false;
  for (const struct gg_json_value *at = gg_json_value_first(list); at; at = gg_json_value_next(at)) {
    const char *tag = gg_json_value_text(at);
    if (!tag || *count == GG_MARK_TAGS_MAX || !gg__marks_is_tag(tag, gg_json_value_length(at)))
      return false;
    tags[(*count)++] = tag;
  }
  return true;
}

static bool take_bool(const struct gg_json_value *object, const char *key, bool *given, bool *value)
{
  const struct gg_json_value *member = gg_json_value_get(object, key);
  *given = member != NULL;
  *value = gg_json_value_is_true(member);
  return !member || gg_json_value_is(member, GG_JSON_BOOL);
}

static bool take_line(struct gg__marks_line *out, const struct gg_json_value *object)
{
  const struct gg_json_value *id = gg_json_value_get(object, "session");
  const char *at = gg_json_value_text(gg_json_value_get(object, "at")), *text = gg_json_value_text(id);
  bool given, hold;
  if (!text || !gg__marks_is_id(text, gg_json_value_length(id)) || !at || gg_clock_parse(&out->at_ns, at) != 0)
    return false;
  memcpy(out->id, text, sizeof out->id);
  if (!take_bool(object, "forget", &given, &out->forget) || !take_bool(object, "hold", &given, &hold))
    return false;
  out->hold = !given ? GG__HOLD_SAME : hold ? GG__HOLD_SET : GG__HOLD_RELEASED;
  return take_tags(object, "remove", out->remove, &out->remove_count) &&
         take_tags(object, "add", out->add, &out->add_count);
}

/* ── Reading what we write ───────────────────────────────────────────────────────────────────────────────────────── */

/* Nearly every line is as gg__marks_line_write makes it, with a few tags of plain letters. Such a line is read here as
 * the document would be read, in a tenth of the time; at anything else this gives up. */
struct plain {
  const char *at, *end;
  char *text, *text_end; /* room for tags */
};

static bool skip(struct plain *plain, const char *expected)
{
  size_t length = strlen(expected);
  if ((size_t)(plain->end - plain->at) < length || memcmp(plain->at, expected, length) != 0)
    return false;
  plain->at += length;
  return true;
}

/* The rest of a text up to its quote, copied. NULL: it is not plain. */
static const char *take_plain(struct plain *plain)
{
  char *text = plain->text;
  for (; plain->at < plain->end && *plain->at != '"'; plain->at++) {
    if (*plain->at <= ' ' || *plain->at > '~' || *plain->at == '\\' || plain->text_end - plain->text < 2)
      return NULL;
    *plain->text++ = *plain->at;
  }
  if (plain->text == plain->text_end)
    return NULL;
  *plain->text++ = '\0';
  return skip(plain, "\"") ? text : NULL;
}

static bool take_plain_tags(struct plain *plain, const char **tags, size_t *count)
{
  while (*count < GG_MARK_TAGS_MAX && skip(plain, *count > 0 ? ",\"" : "\"")) {
    const char *tag = take_plain(plain);
    if (!tag || !gg__marks_is_tag(tag, strlen(tag)))
      return false;
    tags[(*count)++] = tag;
  }
  return skip(plain, "]");
}

static bool read_plain(struct gg__marks_line *out, const char *text, size_t length)
{
  struct plain plain = {text, text + length, out->plain, out->plain + sizeof out->plain};
  const char *at = skip(&plain, "{\"at\":\"") ? take_plain(&plain) : NULL;
  if (!at || gg_clock_parse(&out->at_ns, at) != 0)
    return false;
  const char *id = skip(&plain, ",\"session\":\"") ? take_plain(&plain) : NULL;
  if (!id || !gg__marks_is_id(id, strlen(id)))
    return false;
  memcpy(out->id, id, sizeof out->id);
  plain.text = out->plain; /* both were taken over */
  out->forget = skip(&plain, ",\"forget\":true");
  if (skip(&plain, ",\"remove\":[") && !take_plain_tags(&plain, out->remove, &out->remove_count))
    return false;
  if (skip(&plain, ",\"add\":[") && !take_plain_tags(&plain, out->add, &out->add_count))
    return false;
  if (skip(&plain, ",\"hold\":true"))
    out->hold = GG__HOLD_SET;
  else if (skip(&plain, ",\"hold\":false"))
    out->hold = GG__HOLD_RELEASED;
  return plain.at == plain.end;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* All but the lists and the room, which are large. */
static void clear(struct gg__marks_line *line)
{
  line->id[0] = '\0';
  line->forget = false;
  line->hold = GG__HOLD_SAME;
  line->at_ns = 0;
  line->add_count = line->remove_count = 0;
}

int gg__marks_line_read(struct gg__marks_line *out, struct gg_json_doc *doc, const char *text, size_t length)
{
  *doc = (struct gg_json_doc){0};
  clear(out);
  if (!check_is_right(text, length))
    return GG_ERR_CORRUPT;
  if (read_plain(out, text, length - GG__MARKS_CHECK_BYTES))
    return 0;
  clear(out);
  int error = gg_json_doc_parse(doc, text, length, NULL);
  if (error)
    return error == GG_ERR_NOMEM ? GG_ERR_NOMEM : GG_ERR_CORRUPT;
  return take_line(out, doc->root) ? 0 : GG_ERR_CORRUPT;
}
