/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_doc.c - one pass counts, one allocation, one pass reads.
 *
 *     memory:  ┌──────────────────────────────┬──────────────────────────┐
 *              │ values, in order of the text │ texts, each with its NUL │
 *              └──────────────────────────────┴──────────────────────────┘
 *
 * Each value but the root stands behind a comma, a bracket or a brace that no text contains: so many of them
 * and one more are enough room. A text is never longer than it was between its quotes, whose room its NUL takes: the
 * length of the whole is enough for all texts.
 *
 * A library would do the same, and more. It is read here all the same, for who embeds us would need that library too;
 * and the one that was used before tells some failures of malloc as damage, and one not at all.
 */
#include "base/json_doc.h"

#include "base/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct gg_json_value {
  enum gg_json_kind kind;
  const char *key;
  const struct gg_json_value *next;
  union {
    bool truth;
    int64_t whole;
    struct {
      const char *bytes;
      size_t length;
    } text;
    struct {
      struct gg_json_value *first, *last;
      size_t count;
    } within;
  } as;
};

struct reader {
  const char *text;
  size_t length;
  size_t at;
  struct gg_json_value *values;
  size_t value_count, values_max;
  char *bytes;
  size_t byte_count, bytes_max;
  unsigned depth;
  struct gg_failure *failure;
};

static int wrong(const struct reader *reader, const char *what)
{
  return gg_fail(reader->failure, GG_ERR_FORMAT, "%s at byte %zu", what, reader->at);
}

/* The next byte; 0 at the end, which no JSON has outside of texts. */
static char peek(const struct reader *reader)
{
  return reader->at < reader->length ? reader->text[reader->at] : '\0';
}

static void skip_space(struct reader *reader)
{
  while (reader->at < reader->length && memchr(" \t\r\n", reader->text[reader->at], 4))
    reader->at++;
}

/* ── Texts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put(struct reader *reader, char byte)
{
  assert(reader->byte_count < reader->bytes_max);
  reader->bytes[reader->byte_count++] = byte;
}

static void put_point(struct reader *reader, uint32_t point)
{
  if (point < 0x80) {
    put(reader, (char)point);
    return;
  }
  unsigned more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3; /* bytes behind the first */
  static const unsigned char heads[] = {0, 0xC0, 0xE0, 0xF0};
  put(reader, (char)(heads[more] | point >> (6 * more)));
  while (more-- > 0)
    put(reader, (char)(0x80 | (point >> (6 * more) & 0x3F)));
}

/* The four hexadecimal digits behind \u; -1: these are none. */
static int32_t read_hex(struct reader *reader)
{
  int32_t number = 0;
  for (unsigned i = 0; i < 4; i++) {
    char c = peek(reader);
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0)
      return -1;
    number = number << 4 | digit;
    reader->at++;
  }
  return number;
}

static int read_point(struct reader *reader)
{
  int32_t point = read_hex(reader);
  if (point >= 0xD800 && point < 0xDC00 && reader->length - reader->at >= 2 &&
      memcmp(reader->text + reader->at, "\\u", 2) == 0) {
    reader->at += 2;
    int32_t low = read_hex(reader);
    point = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00) : -1;
  }
  if (point <= 0 || (point >= 0xD800 && point < 0xE000))
    return wrong(reader, "no character");
  put_point(reader, (uint32_t)point);
  return 0;
}

static int read_escape(struct reader *reader)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *found = peek(reader) ? strchr(from, peek(reader)) : NULL;
  if (found) {
    put(reader, to[found - from]);
    reader->at++;
    return 0;
  }
  if (peek(reader) != 'u')
    return wrong(reader, "no such escape");
  reader->at++;
  return read_point(reader);
}

/* From behind the first quote to behind the second. */
static int read_text(struct reader *reader, const char **text, size_t *length)
{
  size_t begin = reader->byte_count;
  int error = 0;
  *text = reader->bytes + begin;
  while (!error && reader->at < reader->length && reader->text[reader->at] != '"') {
    uint32_t point;
    size_t bytes = gg_utf8_next(reader->text + reader->at, reader->length - reader->at, &point);
    if (bytes == 0 || point < 0x20)
      return wrong(reader, bytes ? "a control character" : "no UTF-8");
    if (point == '\\') {
      reader->at++;
      error = read_escape(reader);
      continue;
    }
    for (size_t i = 0; i < bytes; i++)
      put(reader, reader->text[reader->at++]);
  }
  if (error)
    return error;
  if (reader->at == reader->length)
    return wrong(reader, "a text has no end");
  reader->at++;
  *length = reader->byte_count - begin;
  put(reader, '\0');
  return 0;
}

/* ── Numbers and words ───────────────────────────────────────────────────────────────────────────────────────────── */

static size_t skip_digits(struct reader *reader)
{
  size_t begin = reader->at;
  while (peek(reader) >= '0' && peek(reader) <= '9')
    reader->at++;
  return reader->at - begin;
}

/* Below zero, since that is where there is one more. */
static int take_whole(const struct reader *reader, size_t begin, int64_t *out)
{
  bool negative = reader->text[begin] == '-';
  int64_t number = 0;
  for (size_t i = begin + negative; i < reader->at; i++)
    if (__builtin_mul_overflow(number, 10, &number) || __builtin_sub_overflow(number, reader->text[i] - '0', &number))
      return wrong(reader, "too large a number");
  if (!negative && number == INT64_MIN)
    return wrong(reader, "too large a number");
  *out = negative ? number : -number;
  return 0;
}

static int read_number(struct reader *reader, struct gg_json_value *value)
{
  size_t begin = reader->at;
  value->kind = GG_JSON_WHOLE;
  reader->at += peek(reader) == '-';
  char first = peek(reader);
  size_t digits = skip_digits(reader);
  if (digits == 0 || (first == '0' && digits > 1))
    return wrong(reader, "no number");
  if (peek(reader) == '.') {
    value->kind = GG_JSON_REAL;
    reader->at++;
    if (skip_digits(reader) == 0)
      return wrong(reader, "no number");
  }
  if (peek(reader) == 'e' || peek(reader) == 'E') {
    value->kind = GG_JSON_REAL;
    reader->at++;
    reader->at += peek(reader) == '-' || peek(reader) == '+';
    if (skip_digits(reader) == 0)
      return wrong(reader, "no number");
  }
  return value->kind == GG_JSON_WHOLE ? take_whole(reader, begin, &value->as.whole) : 0;
}

static int read_word(struct reader *reader, struct gg_json_value *value)
{
  static const struct {
    const char *word;
    enum gg_json_kind kind;
    bool truth;
  } words[] = {{"true", GG_JSON_BOOL, true}, {"false", GG_JSON_BOOL, false}, {"null", GG_JSON_NULL, false}};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    size_t length = strlen(words[i].word);
    if (reader->length - reader->at < length || memcmp(reader->text + reader->at, words[i].word, length) != 0)
      continue;
    reader->at += length;
    value->kind = words[i].kind;
    value->as.truth = words[i].truth;
    return 0;
  }
  return wrong(reader, "no value");
}

/* ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_json_value *add_value(struct reader *reader)
{
  assert(reader->value_count < reader->values_max);
  return &reader->values[reader->value_count++];
}

static int read_value(struct reader *reader, struct gg_json_value *value);

static int read_key(struct reader *reader, const struct gg_json_value *object, struct gg_json_value *member)
{
  size_t length;
  if (object->as.within.count == GG_JSON_DOC_MEMBERS_MAX)
    return gg_fail(reader->failure, GG_ERR_LIMIT, "an object has more than %d members at byte %zu",
                   GG_JSON_DOC_MEMBERS_MAX, reader->at);
  if (peek(reader) != '"')
    return wrong(reader, "no key");
  reader->at++;
  int error = read_text(reader, &member->key, &length);
  if (error)
    return error;
  if (gg_json_value_get(object, member->key))
    return wrong(reader, "a key for the second time");
  skip_space(reader);
  if (peek(reader) != ':')
    return wrong(reader, "no colon");
  reader->at++;
  return 0;
}

static void append(struct gg_json_value *container, struct gg_json_value *value)
{
  if (container->as.within.last)
    container->as.within.last->next = value;
  else
    container->as.within.first = value;
  container->as.within.last = value;
  container->as.within.count++;
}

/* From behind its first bracket to behind its last; bounded by the depth of the whole. */
static int read_container(struct reader *reader, struct gg_json_value *container)
{
  const char end = container->kind == GG_JSON_OBJECT ? '}' : ']';
  if (++reader->depth > GG_JSON_DOC_DEPTH_MAX)
    return gg_fail(reader->failure, GG_ERR_LIMIT, "more than %d containers in each other at byte %zu",
                   GG_JSON_DOC_DEPTH_MAX, reader->at);
  skip_space(reader);
  bool more = peek(reader) != end;
  while (more) {
    struct gg_json_value *value = add_value(reader);
    skip_space(reader);
    int error = container->kind == GG_JSON_OBJECT ? read_key(reader, container, value) : 0;
    if (!error)
      error = read_value(reader, value);
    if (error)
      return error;
    append(container, value);
    skip_space(reader);
    more = peek(reader) == ',';
    reader->at += more;
  }
  if (peek(reader) != end)
    return wrong(reader, "neither comma nor end");
  reader->at++;
  reader->depth--;
  return 0;
}

static int read_value(struct reader *reader, struct gg_json_value *value)
{
  skip_space(reader);
  switch (peek(reader)) {
  case '{':
  case '[':
    value->kind = peek(reader) == '{' ? GG_JSON_OBJECT : GG_JSON_ARRAY;
    reader->at++;
    return read_container(reader, value);
  case '"':
    value->kind = GG_JSON_TEXT;
    reader->at++;
    return read_text(reader, &value->as.text.bytes, &value->as.text.length);
  case '-':
    return read_number(reader, value);
  default:
    return peek(reader) >= '0' && peek(reader) <= '9' ? read_number(reader, value) : read_word(reader, value);
  }
}

static int read_root(struct reader *reader, struct gg_json_value *root)
{
  int error = read_value(reader, root);
  if (error)
    return error;
  skip_space(reader);
  if (reader->at < reader->length)
    return wrong(reader, "more than one value");
  if (root->kind != GG_JSON_OBJECT && root->kind != GG_JSON_ARRAY)
    return wrong(reader, "neither object nor array");
  return 0;
}

/* How many values there are at the most. */
static size_t count_values(const char *text, size_t length)
{
  size_t count = 1;
  bool in_text = false;
  for (size_t i = 0; i < length; i++) {
    if (in_text && text[i] == '\\')
      i++;
    else if (text[i] == '"')
      in_text = !in_text;
    else if (!in_text)
      count += text[i] == ',' || text[i] == '[' || text[i] == '{';
  }
  return count;
}

int gg_json_doc_parse(struct gg_json_doc *out, const char *text, size_t length, struct gg_failure *failure)
{
  *out = (struct gg_json_doc){0};
  size_t count = count_values(text, length), room;
  if (__builtin_mul_overflow(count, sizeof(struct gg_json_value), &room) || __builtin_add_overflow(room, length, &room))
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a JSON text of %zu bytes", length);
  char *memory = calloc(1, room);
  if (!memory)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a JSON text of %zu bytes", length);
  struct reader reader = {
    .text = text,
    .length = length,
    .values = (struct gg_json_value *)(void *)memory,
    .values_max = count,
    .bytes = memory + (room - length),
    .bytes_max = length,
    .failure = failure,
  };
  struct gg_json_value *root = add_value(&reader);
  int error = read_root(&reader, root);
  if (error) {
    free(memory);
    return error;
  }
  *out = (struct gg_json_doc){.root = root, .memory = memory};
  return 0;
}

void gg_json_doc_fini(struct gg_json_doc *doc)
{
  free(doc->memory);
  *doc = (struct gg_json_doc){0};
}

/* ── What was read ───────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg_json_value_is(const struct gg_json_value *value, enum gg_json_kind kind)
{
  return value && value->kind == kind;
}

bool gg_json_value_is_true(const struct gg_json_value *value)
{
  return gg_json_value_is(value, GG_JSON_BOOL) && value->as.truth;
}

int64_t gg_json_value_whole(const struct gg_json_value *value)
{
  return gg_json_value_is(value, GG_JSON_WHOLE) ? value->as.whole : 0;
}

const char *gg_json_value_text(const struct gg_json_value *value)
{
  return gg_json_value_is(value, GG_JSON_TEXT) ? value->as.text.bytes : NULL;
}

size_t gg_json_value_length(const struct gg_json_value *value)
{
  return gg_json_value_is(value, GG_JSON_TEXT) ? value->as.text.length : 0;
}

static bool is_container(const struct gg_json_value *value)
{
  return gg_json_value_is(value, GG_JSON_OBJECT) || gg_json_value_is(value, GG_JSON_ARRAY);
}

const struct gg_json_value *gg_json_value_get(const struct gg_json_value *object, const char *key)
{
  const struct gg_json_value *member = gg_json_value_is(object, GG_JSON_OBJECT) ? object->as.within.first : NULL;
  while (member && (member->key[0] != key[0] || strcmp(member->key, key) != 0))
    member = member->next;
  return member;
}

const struct gg_json_value *gg_json_value_first(const struct gg_json_value *container)
{
  return is_container(container) ? container->as.within.first : NULL;
}

const struct gg_json_value *gg_json_value_next(const struct gg_json_value *element)
{
  return element ? element->next : NULL;
}

const char *gg_json_value_key(const struct gg_json_value *member)
{
  return member ? member->key : NULL;
}

size_t gg_json_value_count(const struct gg_json_value *container)
{
  return is_container(container) ? container->as.within.count : 0;
}
