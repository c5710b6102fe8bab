/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a YAML document into a schema's values.
 *
 * libyaml gives events with marks; a recursive descent over them follows the table: a map's key is an option, a list,
 * a section (a prefix of option keys), or unknown. Whatever is wrong is reported where it stands, its value is skipped,
 * and reading goes on, so that one run tells everything. Only what makes the rest meaningless stops it: a syntax error,
 * too deep nesting, a second document, a directive. The recursion is bounded by GG_SCHEMA_DEPTH_MAX, which is checked
 * as events arrive.
 *
 * Rejected: loading into a tree first. It would need a second walk, and marks kept for each node.
 */
#include "base/schema.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

enum { PATH_MAX_BYTES = 128, LISTS_MAX = 8, CANDIDATES_MAX = 2 * GG_SCHEMA_OPTIONS_MAX + LISTS_MAX };

struct reader {
  yaml_parser_t parser;
  const char *name; /* of the file */
  const char *text;
  struct gg_schema_places *places; /* NULL: nobody asks */
  struct gg_config_errors *errors;
  unsigned depth;
  int rc;
  bool stopped;
};

/* The table that a map's keys are looked up in, and the line on which each was first seen (0: not yet). */
struct scope {
  const struct gg_option *options;
  size_t option_count;
  const struct gg_option_list *lists;
  size_t list_count;
  const char *item; /* "listener" within a list's item, else NULL */
  void *values;
  struct gg_place *places; /* of `options`; NULL: nobody asks */
  size_t option_line[GG_SCHEMA_OPTIONS_MAX];
  size_t section_line[GG_SCHEMA_OPTIONS_MAX]; /* at the index of the section's first option */
  size_t list_line[LISTS_MAX];
};

static void report(struct reader *reader, const yaml_mark_t *mark, const char *format, ...) GG_PRINTF(3, 4);
static void report(struct reader *reader, const yaml_mark_t *mark, const char *format, ...)
{
  char message[512];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  gg_config_error_add(reader->errors, "%s:%zu:%zu: %s", reader->name, mark->line + 1, mark->column + 1, message);
  if (reader->rc == 0)
    reader->rc = GG_ERR_FORMAT;
  if (reader->places)
    reader->places->unclear = true;
}

static void stop_without_memory(struct reader *reader)
{
  reader->rc = GG_ERR_NOMEM;
  reader->stopped = true;
}

/* The mark of a byte. Columns count characters, as libyaml's do. */
static yaml_mark_t mark_at(const struct reader *reader, size_t offset)
{
  yaml_mark_t mark = {.index = offset};
  for (size_t i = 0; i < offset; i++) {
    if (reader->text[i] == '\n') {
      mark.line++;
      mark.column = 0;
    } else if (((unsigned char)reader->text[i] & 0xC0u) != 0x80u) {
      mark.column++;
    }
  }
  return mark;
}

static void report_syntax(struct reader *reader)
{
  const yaml_parser_t *parser = &reader->parser;
  reader->stopped = true;
  if (parser->error == YAML_MEMORY_ERROR) {
    reader->rc = GG_ERR_NOMEM;
    return;
  }
  const char *problem = parser->problem ? parser->problem : "not YAML";
  yaml_mark_t mark = parser->problem_mark;
  if (parser->error == YAML_READER_ERROR) /* not decodable: libyaml gives an offset then, and no mark */
    mark = mark_at(reader, parser->problem_offset);
  report(reader, &mark, "%s%s%s", problem, parser->context ? " " : "", parser->context ? parser->context : "");
}

static void refuse_decoration(struct reader *reader, const yaml_event_t *event, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
  if (anchor)
    report(reader, &event->start_mark, "anchors are not supported");
  if (tag)
    report(reader, &event->start_mark, "tags are not supported");
}

/* What holds for events anywhere. */
static void inspect(struct reader *reader, const yaml_event_t *event)
{
  switch (event->type) {
  case YAML_ALIAS_EVENT:
    report(reader, &event->start_mark, "aliases are not supported");
    break;
  case YAML_SCALAR_EVENT:
    refuse_decoration(reader, event, event->data.scalar.anchor, event->data.scalar.tag);
    break;
  case YAML_SEQUENCE_START_EVENT:
    refuse_decoration(reader, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    reader->depth++;
    break;
  case YAML_MAPPING_START_EVENT:
    refuse_decoration(reader, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    reader->depth++;
    break;
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT:
    assert(reader->depth > 0);
    reader->depth--;
    break;
  default:
    break;
  }
  if (reader->depth > GG_SCHEMA_DEPTH_MAX) {
    report(reader, &event->start_mark, "nested deeper than %d", GG_SCHEMA_DEPTH_MAX);
    reader->stopped = true;
  }
}

/* The next event, which the caller deletes; false when reading has stopped (there is then none to delete). */
static bool next(struct reader *reader, yaml_event_t *event)
{
  if (reader->stopped)
    return false;
  if (!yaml_parser_parse(&reader->parser, event)) {
    report_syntax(reader);
    return false;
  }
  inspect(reader, event);
  if (reader->stopped)
    yaml_event_delete(event);
  return !reader->stopped;
}

static bool begins_collection(const yaml_event_t *event)
{
  return event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;
}

/* Passes over the rest of a value whose first event was taken. */
static void skip_rest(struct reader *reader, const yaml_event_t *first)
{
  if (!begins_collection(first))
    return;
  unsigned outside = reader->depth - 1;
  yaml_event_t event;
  while (reader->depth > outside && next(reader, &event))
    yaml_event_delete(&event);
}

static void skip_value(struct reader *reader)
{
  yaml_event_t event;
  if (!next(reader, &event))
    return;
  skip_rest(reader, &event);
  yaml_event_delete(&event);
}

/* A key without value: nothing, ~ or null, unquoted. */
static bool is_missing(const yaml_event_t *event)
{
  const char *text = (const char *)event->data.scalar.value;
  return event->type == YAML_SCALAR_EVENT && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
         (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* --- looking keys up -------------------------------------------------------------------------------------------- */

static size_t find_option(const struct scope *scope, const char *path)
{
  size_t i = 0;
  while (i < scope->option_count && strcmp(scope->options[i].key, path) != 0)
    i++;
  return i;
}

/* The first option of the section, option_count if there is no such section. */
static size_t find_section(const struct scope *scope, const char *path)
{
  size_t length = strlen(path);
  size_t i = 0;
  while (i < scope->option_count &&
         (strncmp(scope->options[i].key, path, length) != 0 || scope->options[i].key[length] != '.'))
    i++;
  return i;
}

static size_t find_list(const struct scope *scope, const char *path)
{
  size_t i = 0;
  while (i < scope->list_count && strcmp(scope->lists[i].key, path) != 0)
    i++;
  return i;
}

static const char *leaf(const char *path)
{
  const char *dot = strrchr(path, '.');
  return dot ? dot + 1 : path;
}

/* What was probably meant: the option of another section with just this name, else the nearest by spelling. */
static const char *suggestion(const struct scope *scope, const char *path, const char sections[][PATH_MAX_BYTES],
                              size_t section_count)
{
  const char *candidates[CANDIDATES_MAX] = {NULL}; /* gcc cannot see that only filled ones are read */
  size_t count = 0;
  for (size_t i = 0; i < scope->option_count; i++) {
    if (strcmp(leaf(scope->options[i].key), leaf(path)) == 0)
      return scope->options[i].key;
    candidates[count++] = scope->options[i].key;
  }
  for (size_t i = 0; i < scope->list_count; i++)
    candidates[count++] = scope->lists[i].key;
  for (size_t i = 0; i < section_count; i++)
    candidates[count++] = sections[i];
  size_t near = gg_text_nearest(path, candidates, count);
  return near < count ? candidates[near] : NULL;
}

static size_t list_sections(const struct scope *scope, char sections[][PATH_MAX_BYTES], size_t most)
{
  size_t count = 0;
  for (size_t i = 0; i < scope->option_count; i++) {
    const char *dot = strchr(scope->options[i].key, '.');
    if (!dot || count == most)
      continue;
    int length = (int)(dot - scope->options[i].key);
    snprintf(sections[count], PATH_MAX_BYTES, "%.*s", length, scope->options[i].key);
    if (count == 0 || strcmp(sections[count - 1], sections[count]) != 0)
      count++;
  }
  return count;
}

static void report_unknown(struct reader *reader, const struct scope *scope, const yaml_mark_t *mark, const char *path)
{
  if (reader->errors->count == GG_CONFIG_ERRORS_MAX) { /* nobody will read it, and guessing costs time */
    report(reader, mark, "unknown option");
    return;
  }
  char sections[32][PATH_MAX_BYTES];
  size_t section_count = list_sections(scope, sections, 32);
  const char *near = suggestion(scope, path, (const char(*)[PATH_MAX_BYTES])sections, section_count);
  const char *of = scope->item ? " of a " : "";
  const char *item = scope->item ? scope->item : "";
  if (near)
    report(reader, mark, "unknown option '%s'%s%s; did you mean '%s'?", path, of, item, near);
  else
    report(reader, mark, "unknown option '%s'%s%s", path, of, item);
}

/* --- values ----------------------------------------------------------------------------------------------------- */

static void set_scalar(struct reader *reader, const struct gg_option *option, void *values, const yaml_event_t *event)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (is_missing(event)) {
    report(reader, &event->start_mark, "%s: has no value", option->key);
    return;
  }
  int rc = gg__option_set(option, values, (const char *)event->data.scalar.value, event->data.scalar.length, &failure);
  if (rc == GG_ERR_NOMEM)
    stop_without_memory(reader);
  else if (rc != 0)
    report(reader, &event->start_mark, "%s: %s", option->key, failure.message);
}

/* The elements of a list-valued option, up to the end of the sequence. */
static void read_elements(struct reader *reader, const struct gg_option *option, void *values)
{
  yaml_event_t event;
  while (next(reader, &event)) {
    bool end = event.type == YAML_SEQUENCE_END_EVENT;
    if (event.type == YAML_SCALAR_EVENT) {
      set_scalar(reader, option, values, &event);
    } else if (begins_collection(&event)) {
      report(reader, &event.start_mark, "%s: is a list of single values", option->key);
      skip_rest(reader, &event);
    }
    yaml_event_delete(&event);
    if (end)
      return;
  }
}

/* Notes where an option's value was, and whether it was refused; what it was refused for is clear then. */
static void note_place(struct reader *reader, struct gg_place *place, const yaml_mark_t *mark, bool wrong, bool unclear)
{
  if (!place)
    return;
  *place = (struct gg_place){.file = reader->name, .line = mark->line + 1, .column = mark->column + 1, .wrong = wrong};
  reader->places->unclear = unclear;
}

static size_t errors_told(const struct reader *reader)
{
  return reader->errors->count + reader->errors->left_out;
}

static void read_option(struct reader *reader, const struct gg_option *option, void *values, struct gg_place *place)
{
  yaml_event_t event;
  size_t errors_before = errors_told(reader);
  bool unclear_before = reader->places && reader->places->unclear;
  if (!next(reader, &event))
    return;
  if (gg__option_is_list(option) && event.type != YAML_ALIAS_EVENT)
    gg__option_clear(option, values);
  if (event.type == YAML_SCALAR_EVENT) {
    set_scalar(reader, option, values, &event);
  } else if (event.type == YAML_SEQUENCE_START_EVENT && gg__option_is_list(option)) {
    read_elements(reader, option, values);
  } else if (begins_collection(&event)) {
    const char *found = event.type == YAML_SEQUENCE_START_EVENT ? "a list" : "a map";
    const char *wanted = gg__option_is_list(option) ? "a list" : "one value";
    report(reader, &event.start_mark, "%s: takes %s, not %s", option->key, wanted, found);
    skip_rest(reader, &event);
  }
  note_place(reader, place, &event.start_mark, errors_told(reader) != errors_before, unclear_before);
  yaml_event_delete(&event);
}

static void read_map(struct reader *reader, struct scope *scope, const char *prefix);

static void check_item(struct reader *reader, const struct gg_option_list *list, const struct scope *scope,
                       const yaml_mark_t *mark, bool sound)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  for (size_t i = 0; i < list->option_count; i++) {
    if (!list->options[i].required || scope->option_line[i] != 0)
      continue;
    report(reader, mark, "the %s has no '%s'", list->item, list->options[i].key);
    sound = false;
  }
  if (sound && list->check && list->check(scope->values, &failure) != 0)
    report(reader, mark, "%s", failure.message);
}

/* One item of a list: a map over the list's own table. `first` is its first event. */
static void read_item(struct reader *reader, const struct gg_option_list *list, void *values, const yaml_event_t *first)
{
  if (first->type != YAML_MAPPING_START_EVENT) {
    if (first->type != YAML_ALIAS_EVENT)
      report(reader, &first->start_mark, "a %s is a map of options", list->item);
    skip_rest(reader, first);
    return;
  }
  if (gg__list_count(list, values) >= list->most) {
    report(reader, &first->start_mark, "more than %zu %s", list->most, list->key);
    skip_rest(reader, first);
    return;
  }
  struct scope scope = {.options = list->options, .option_count = list->option_count, .item = list->item};
  scope.places = gg__places_of_item(reader->places, list, gg__list_count(list, values));
  scope.values = gg__list_append(list, values);
  if (!scope.values) {
    stop_without_memory(reader);
    return;
  }
  size_t errors_before = errors_told(reader);
  read_map(reader, &scope, "");
  bool sound = errors_told(reader) == errors_before;
  if (!reader->stopped)
    check_item(reader, list, &scope, &first->start_mark, sound);
}

static void read_list(struct reader *reader, const struct gg_option_list *list, void *values)
{
  yaml_event_t event;
  if (!next(reader, &event))
    return;
  bool sequence = event.type == YAML_SEQUENCE_START_EVENT;
  if (!sequence && event.type != YAML_ALIAS_EVENT) {
    report(reader, &event.start_mark, "%s: is a list, each %s begins with '- '", list->key, list->item);
    skip_rest(reader, &event);
  }
  yaml_event_delete(&event);
  if (!sequence)
    return;
  gg__list_clear(list, values);
  gg__places_clear_list(reader->places, list);
  while (next(reader, &event)) {
    bool end = event.type == YAML_SEQUENCE_END_EVENT;
    if (!end)
      read_item(reader, list, values, &event);
    yaml_event_delete(&event);
    if (end)
      return;
  }
}

static void read_section(struct reader *reader, struct scope *scope, const char *path)
{
  yaml_event_t event;
  if (!next(reader, &event))
    return;
  if (event.type == YAML_MAPPING_START_EVENT) {
    read_map(reader, scope, path);
  } else if (!is_missing(&event) && event.type != YAML_ALIAS_EVENT) {
    report(reader, &event.start_mark, "%s: is a section, its options go below it", path);
    skip_rest(reader, &event);
  }
  yaml_event_delete(&event);
}

/* Whether the key is new; otherwise its value is skipped. */
static bool first_time(struct reader *reader, size_t *line, const yaml_mark_t *mark, const char *path)
{
  if (*line == 0) {
    *line = mark->line + 1;
    return true;
  }
  report(reader, mark, "'%s' was already given on line %zu", path, *line);
  skip_value(reader);
  return false;
}

static void read_entry(struct reader *reader, struct scope *scope, const yaml_mark_t *mark, const char *path)
{
  size_t option = find_option(scope, path);
  size_t list = find_list(scope, path);
  size_t section = find_section(scope, path);
  if (option < scope->option_count) {
    if (first_time(reader, &scope->option_line[option], mark, path))
      read_option(reader, &scope->options[option], scope->values, scope->places ? &scope->places[option] : NULL);
  } else if (list < scope->list_count) {
    if (first_time(reader, &scope->list_line[list], mark, path))
      read_list(reader, &scope->lists[list], scope->values);
  } else if (section < scope->option_count) {
    if (first_time(reader, &scope->section_line[section], mark, path))
      read_section(reader, scope, path);
  } else {
    report_unknown(reader, scope, mark, path);
    skip_value(reader);
  }
}

/* The entries of a map, up to its end. */
static void read_map(struct reader *reader, struct scope *scope, const char *prefix)
{
  yaml_event_t event;
  while (next(reader, &event)) {
    bool end = event.type == YAML_MAPPING_END_EVENT;
    const char *key = event.type == YAML_SCALAR_EVENT ? (const char *)event.data.scalar.value : NULL;
    if (key && strlen(key) == event.data.scalar.length) {
      char path[PATH_MAX_BYTES]; /* a longer one is cut, and as unknown as before: no option's key is that long */
      snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", key);
      read_entry(reader, scope, &event.start_mark, path);
    } else if (!end) {
      if (event.type != YAML_ALIAS_EVENT)
        report(reader, &event.start_mark, "a key is a single word");
      skip_rest(reader, &event);
      skip_value(reader);
    }
    yaml_event_delete(&event);
    if (end)
      return;
  }
}

static void read_root(struct reader *reader, const struct gg_schema *schema, void *values)
{
  yaml_event_t event;
  struct scope scope = {.options = schema->options,
                        .option_count = schema->option_count,
                        .lists = schema->lists,
                        .list_count = schema->list_count,
                        .values = values,
                        .places = reader->places ? reader->places->rows : NULL};
  if (!next(reader, &event))
    return;
  if (event.type == YAML_MAPPING_START_EVENT) {
    read_map(reader, &scope, "");
  } else if (!is_missing(&event)) {
    report(reader, &event.start_mark, "the document must be a map of options");
    skip_rest(reader, &event);
  }
  yaml_event_delete(&event);
}

/* stream start, document start, the root, document end, stream end. */
static void read_stream(struct reader *reader, const struct gg_schema *schema, void *values)
{
  yaml_event_t event;
  bool document_read = false;
  while (next(reader, &event)) {
    bool end = event.type == YAML_STREAM_END_EVENT;
    if (event.type == YAML_DOCUMENT_START_EVENT && document_read) {
      report(reader, &event.start_mark, "only one document is allowed");
      reader->stopped = true;
    } else if (event.type == YAML_DOCUMENT_START_EVENT) {
      document_read = true;
      read_root(reader, schema, values);
    }
    yaml_event_delete(&event);
    if (end)
      return;
  }
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
static bool has_directive(struct reader *reader, size_t length)
{
  const char *end = reader->text + length;
  const char *at = memchr(reader->text, '%', length);
  while (at) {
    size_t offset = (size_t)(at - reader->text);
    if (begins_line(reader->text, offset)) {
      yaml_mark_t mark = mark_at(reader, offset);
      report(reader, &mark, "directives are not supported, no line can begin with '%%'");
      return true;
    }
    at = memchr(at + 1, '%', (size_t)(end - at) - 1);
  }
  return false;
}

static int read_document(struct reader *reader, const struct gg_schema *schema, void *values, size_t length)
{
  if (length > GG_SCHEMA_DOCUMENT_BYTES_MAX) {
    gg_config_error_add(reader->errors, "%s: larger than 1MiB", reader->name);
    reader->stopped = true;
    return GG_ERR_FORMAT;
  }
  if (has_directive(reader, length)) {
    reader->stopped = true;
    return reader->rc;
  }
  if (!yaml_parser_initialize(&reader->parser))
    return GG_ERR_NOMEM;
  yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&reader->parser, (const unsigned char *)reader->text, length);
  read_stream(reader, schema, values);
  yaml_parser_delete(&reader->parser);
  return reader->rc;
}

int gg_schema_read_text(const struct gg_schema *schema, void *values, const char *name, const char *text, size_t length,
                        struct gg_schema_places *places, struct gg_config_errors *errors)
{
  assert(schema->list_count <= LISTS_MAX && schema->option_count <= GG_SCHEMA_OPTIONS_MAX);
  struct reader reader = {.name = name, .text = text, .places = places, .errors = errors};
  int rc = read_document(&reader, schema, values, length);
  if (places && reader.stopped)
    places->unread = true;
  return rc;
}

/* Reads to the end of the file or one byte over the limit, whichever is first. A pipe whose other end says nothing is
 * not waited for without end: the thread that reads may have other things to do. One that nobody has opened to write
 * yet reads as if it had ended; poll(2) tells of an end only after there was somebody, so it is asked first. */
static int read_all(int fd, const char *path, int silence_ms, char *text, size_t *length, struct gg_failure *failure)
{
  while (*length <= GG_SCHEMA_DOCUMENT_BYTES_MAX) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int ready = poll(&polled, 1, silence_ms);
    ssize_t n = ready < 0 ? -1 : read(fd, text + *length, GG_SCHEMA_DOCUMENT_BYTES_MAX + 1 - *length);
    if (n < 0 && (errno == EINTR || (errno == EAGAIN && ready > 0)))
      continue;
    if (n < 0)
      return gg_fail_errno(failure, errno == EAGAIN ? ETIMEDOUT : errno, "%s", path);
    if (n == 0 && ready == 0)
      return gg_fail(failure, GG_ERR_TIMEOUT, "%s: nobody writes to this pipe", path);
    if (n == 0)
      break;
    *length += (size_t)n;
  }
  return 0;
}

int gg_schema_read_file(const struct gg_schema *schema, void *values, const char *path, int silence_ms,
                        struct gg_schema_places *places, struct gg_config_errors *errors)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t length = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* else a pipe that nobody writes to would stop us here */
  int problem = fd < 0 ? errno : 0;
  char *text = fd < 0 ? NULL : malloc(GG_SCHEMA_DOCUMENT_BYTES_MAX + 1);
  if (fd >= 0 && !text)
    problem = ENOMEM;
  int rc =
    problem ? gg_fail_errno(&failure, problem, "%s", path) : read_all(fd, path, silence_ms, text, &length, &failure);
  if (fd >= 0)
    close(fd);
  if (rc == 0) {
    rc = gg_schema_read_text(schema, values, path, text, length, places, errors);
  } else {
    gg_config_error_add(errors, "%s", failure.message);
    if (places)
      places->unread = true;
  }
  free(text);
  return rc;
}
