/* SPDX-License-Identifier: Apache-2.0 */
#include "base/events.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void gg__reader_report(struct gg__reader *reader, const struct gg_mark *mark, const char *format, ...)
{
  char message[512];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  gg_config_error_add(reader->errors, "%s:%zu:%zu: %s", reader->name, mark->line, mark->column, message);
  if (reader->rc == 0)
    reader->rc = GG_ERR_FORMAT;
  if (reader->places)
    reader->places->unclear = true;
}

void gg__reader_stop_without_memory(struct gg__reader *reader)
{
  reader->rc = GG_ERR_NOMEM;
  reader->stopped = true;
}

/* ── libyaml's ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The mark of a byte. Columns count characters, as libyaml's do. */
static struct gg_mark mark_at(const struct gg__reader *reader, size_t offset)
{
  struct gg_mark mark = {1, 1};
  for (size_t i = 0; i < offset; i++) {
    if (reader->text[i] == '\n') {
      mark.line++;
      mark.column = 1;
    } else if (((unsigned char)reader->text[i] & 0xC0u) != 0x80u) {
      mark.column++;
    }
  }
  return mark;
}

static struct gg_mark mark_of(const yaml_mark_t *mark)
{
  return (struct gg_mark){.line = mark->line + 1, .column = mark->column + 1};
}

static void report_syntax(struct gg__reader *reader)
{
  const yaml_parser_t *parser = &reader->parser;
  reader->stopped = true;
  if (parser->error == YAML_MEMORY_ERROR) {
    reader->rc = GG_ERR_NOMEM;
    return;
  }
  const char *problem = parser->problem ? parser->problem : "not YAML";
  struct gg_mark mark = mark_of(&parser->problem_mark);
  if (parser->error == YAML_READER_ERROR) /* not decodable: libyaml gives an offset then, and no mark */
    mark = mark_at(reader, parser->problem_offset);
  gg__reader_report(reader, &mark, "%s%s%s", problem, parser->context ? " " : "",
                    parser->context ? parser->context : "");
}

static void refuse_decoration(struct gg__reader *reader, const struct gg__event *event, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
  if (anchor)
    gg__reader_report(reader, &event->mark, "anchors are not supported");
  if (tag)
    gg__reader_report(reader, &event->mark, "tags are not supported");
}

static enum gg__event_kind kind_of(const yaml_event_t *event)
{
  switch (event->type) {
  case YAML_DOCUMENT_START_EVENT:
    return GG__EVENT_DOCUMENT;
  case YAML_SCALAR_EVENT:
    return GG__EVENT_SCALAR;
  case YAML_SEQUENCE_START_EVENT:
    return GG__EVENT_LIST;
  case YAML_SEQUENCE_END_EVENT:
    return GG__EVENT_LIST_END;
  case YAML_MAPPING_START_EVENT:
    return GG__EVENT_MAP;
  case YAML_MAPPING_END_EVENT:
    return GG__EVENT_MAP_END;
  case YAML_ALIAS_EVENT:
    return GG__EVENT_ALIAS;
  case YAML_STREAM_END_EVENT:
    return GG__EVENT_END;
  default:
    return GG__EVENT_OTHER;
  }
}

static bool next_of_yaml(struct gg__reader *reader, struct gg__event *event)
{
  yaml_event_t *yaml = &event->yaml;
  if (!yaml_parser_parse(&reader->parser, yaml)) {
    report_syntax(reader);
    return false;
  }
  event->kind = kind_of(yaml);
  event->mark = mark_of(&yaml->start_mark);
  if (event->kind == GG__EVENT_ALIAS) {
    gg__reader_report(reader, &event->mark, "aliases are not supported");
  } else if (event->kind == GG__EVENT_LIST) {
    refuse_decoration(reader, event, yaml->data.sequence_start.anchor, yaml->data.sequence_start.tag);
  } else if (event->kind == GG__EVENT_MAP) {
    refuse_decoration(reader, event, yaml->data.mapping_start.anchor, yaml->data.mapping_start.tag);
  } else if (event->kind == GG__EVENT_SCALAR) {
    refuse_decoration(reader, event, yaml->data.scalar.anchor, yaml->data.scalar.tag);
    event->text = (const char *)yaml->data.scalar.value;
    event->length = yaml->data.scalar.length;
    event->plain = yaml->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  }
  return true;
}

/* Whether a line begins at `at`, by any of the breaks that YAML 1.1 knows, or after a byte order mark. */
static bool begins_line(const char *text, size_t at)
{
  static const char *const before[] = {"\n", "\r", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xEF\xBB\xBF"};
  for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
    size_t length = strlen(before[i]);
    if (at >= length && memcmp(text + at - length, before[i], length) == 0)
      return true;
  }
  return at == 0;
}

/* Directives (%YAML, %TAG) are refused before libyaml sees them: reading many costs it quadratic time. */
static bool has_directive(struct gg__reader *reader, size_t length)
{
  const char *end = reader->text + length;
  const char *at = memchr(reader->text, '%', length);
  while (at) {
    size_t offset = (size_t)(at - reader->text);
    if (begins_line(reader->text, offset)) {
      struct gg_mark mark = mark_at(reader, offset);
      gg__reader_report(reader, &mark, "directives are not supported, no line can begin with '%%'");
      return true;
    }
    at = memchr(at + 1, '%', (size_t)(end - at) - 1);
  }
  return false;
}

void gg__reader_init_text(struct gg__reader *reader, const char *text, size_t length)
{
  reader->text = text;
  if (length > GG_SCHEMA_DOCUMENT_BYTES_MAX) {
    gg_config_error_add(reader->errors, "%s: larger than 1MiB", reader->name);
    reader->rc = GG_ERR_FORMAT;
    reader->stopped = true;
  } else if (has_directive(reader, length)) {
    reader->stopped = true;
  } else if (!yaml_parser_initialize(&reader->parser)) {
    gg__reader_stop_without_memory(reader);
  } else {
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, length);
  }
}

void gg__reader_fini(struct gg__reader *reader)
{
  yaml_parser_delete(&reader->parser); /* fine on one that is all zero */
}

/* ── A tree's ────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__reader_init_tree(struct gg__reader *reader, const struct gg_tree *tree)
{
  reader->cursor = (struct gg__cursor){.tree = tree};
}

/* What ends where the cursor is: the collection begun last, or at last the document. */
static bool ends_here(struct gg__cursor *cursor, struct gg__event *event)
{
  if (cursor->depth == 0) {
    event->kind = GG__EVENT_END;
    return cursor->at == gg_tree_count(cursor->tree);
  }
  const struct gg_tree_node *node = gg_tree_node(cursor->tree, cursor->open[cursor->depth - 1]);
  if (cursor->at < node->end)
    return false;
  cursor->depth--;
  event->kind = node->kind == GG_TREE_MAP ? GG__EVENT_MAP_END : GG__EVENT_LIST_END;
  event->mark = node->mark;
  return true;
}

static void take_text(struct gg__event *event, const char *text, bool plain, struct gg_mark mark)
{
  event->kind = GG__EVENT_SCALAR;
  event->text = text;
  event->length = strlen(text);
  event->plain = plain;
  event->mark = mark;
}

static bool next_of_tree(struct gg__reader *reader, struct gg__event *event)
{
  struct gg__cursor *cursor = &reader->cursor;
  if (ends_here(cursor, event))
    return true;
  const struct gg_tree_node *node = gg_tree_node(cursor->tree, cursor->at);
  if (node->key && !cursor->key_told) {
    cursor->key_told = true;
    take_text(event, node->key, true, node->key_mark);
    return true;
  }
  cursor->key_told = false;
  if (node->kind == GG_TREE_SCALAR) {
    take_text(event, node->text, node->bare, node->mark);
  } else {
    assert(cursor->depth < GG_TREE_DEPTH_MAX);
    cursor->open[cursor->depth++] = cursor->at;
    event->kind = node->kind == GG_TREE_MAP ? GG__EVENT_MAP : GG__EVENT_LIST;
    event->mark = node->mark;
  }
  cursor->at++;
  return true;
}

/* ── Anybody's ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool ends_collection(const struct gg__event *event)
{
  return event->kind == GG__EVENT_LIST_END || event->kind == GG__EVENT_MAP_END;
}

bool gg__event_begins(const struct gg__event *event)
{
  return event->kind == GG__EVENT_LIST || event->kind == GG__EVENT_MAP;
}

bool gg__event_is_missing(const struct gg__event *event)
{
  return event->kind == GG__EVENT_SCALAR && event->plain &&
         (event->text[0] == '\0' || strcmp(event->text, "~") == 0 || strcmp(event->text, "null") == 0);
}

void gg__event_drop(struct gg__event *event)
{
  yaml_event_delete(&event->yaml); /* fine on one that is all zero */
}

bool gg__reader_next(struct gg__reader *reader, struct gg__event *event)
{
  *event = (struct gg__event){.kind = GG__EVENT_OTHER};
  if (reader->stopped)
    return false;
  if (!(reader->cursor.tree ? next_of_tree(reader, event) : next_of_yaml(reader, event)))
    return false;
  assert(!ends_collection(event) || reader->depth > 0);
  if (gg__event_begins(event))
    reader->depth++;
  else if (ends_collection(event))
    reader->depth--;
  if (reader->depth > GG_SCHEMA_DEPTH_MAX) {
    gg__reader_report(reader, &event->mark, "nested deeper than %d", GG_SCHEMA_DEPTH_MAX);
    reader->stopped = true;
    gg__event_drop(event);
  }
  return !reader->stopped;
}

void gg__reader_skip_rest(struct gg__reader *reader, const struct gg__event *first)
{
  if (!gg__event_begins(first))
    return;
  unsigned outside = reader->depth - 1;
  struct gg__event event;
  while (reader->depth > outside && gg__reader_next(reader, &event))
    gg__event_drop(&event);
}

void gg__reader_skip_value(struct gg__reader *reader)
{
  struct gg__event event;
  if (!gg__reader_next(reader, &event))
    return;
  gg__reader_skip_rest(reader, &event);
  gg__event_drop(&event);
}
