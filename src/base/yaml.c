/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a YAML document, or a tree that was kept of one, into a schema's values.
 *
 * Events with marks come from a reader (events.h); a recursive descent over them follows the table: a map's key is an
 * option, a list, a section (a prefix of option keys), or unknown. Whatever is wrong is reported where it stands, its
 * value is skipped, and reading goes on, so that one run tells everything. Only what makes the rest meaningless stops
 * it: a syntax error, too deep nesting, a second document, a directive. The recursion is bounded by
 * GG_SCHEMA_DEPTH_MAX, which is checked as events arrive.
 *
 * Rejected: loading everything into a tree first. Nearly all of it is judged as it comes, and a second walk would find
 * nothing more; only what is for a table that is not there yet is kept (keep.c), and goes the same way afterwards.
 */
#include "base/events.h"
#include "base/schema.h"
#include "base/text.h"
#include "base/tree.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_MAX_BYTES = 128, LISTS_MAX = 8, CANDIDATES_MAX = 2 * GG_SCHEMA_OPTIONS_MAX + LISTS_MAX };

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

static void report_unknown(struct gg__reader *reader, const struct scope *scope, const struct gg_mark *mark,
                           const char *path)
{
  if (reader->errors->count == GG_CONFIG_ERRORS_MAX) { /* nobody will read it, and guessing costs time */
    gg__reader_report(reader, mark, "unknown option");
    return;
  }
  char sections[32][PATH_MAX_BYTES];
  size_t section_count = list_sections(scope, sections, 32);
  const char *near = suggestion(scope, path, (const char(*)[PATH_MAX_BYTES])sections, section_count);
  const char *of = scope->item ? " of a " : "";
  const char *item = scope->item ? scope->item : "";
  if (near)
    gg__reader_report(reader, mark, "unknown option '%s'%s%s; did you mean '%s'?", path, of, item, near);
  else
    gg__reader_report(reader, mark, "unknown option '%s'%s%s", path, of, item);
}

/* --- values ----------------------------------------------------------------------------------------------------- */

static void set_scalar(struct gg__reader *reader, const struct gg_option *option, void *values,
                       const struct gg__event *event)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__event_is_missing(event)) {
    gg__reader_report(reader, &event->mark, "%s: has no value", option->key);
    return;
  }
  int rc = gg__option_set(option, values, event->text, event->length, &failure);
  if (rc == GG_ERR_NOMEM)
    gg__reader_stop_without_memory(reader);
  else if (rc != 0)
    gg__reader_report(reader, &event->mark, "%s: %s", option->key, failure.message);
}

/* The elements of a list-valued option, up to the end of the sequence. */
static void read_elements(struct gg__reader *reader, const struct gg_option *option, void *values)
{
  struct gg__event event;
  while (gg__reader_next(reader, &event)) {
    bool end = event.kind == GG__EVENT_LIST_END;
    if (event.kind == GG__EVENT_SCALAR) {
      set_scalar(reader, option, values, &event);
    } else if (gg__event_begins(&event)) {
      gg__reader_report(reader, &event.mark, "%s: is a list of single values", option->key);
      gg__reader_skip_rest(reader, &event);
    }
    gg__event_drop(&event);
    if (end)
      return;
  }
}

/* Notes where an option's value was, and whether it was refused; what it was refused for is clear then. */
static void note_place(struct gg__reader *reader, struct gg_place *place, const struct gg_mark *mark, bool wrong,
                       bool unclear)
{
  if (!place)
    return;
  *place = (struct gg_place){.file = reader->name, .line = mark->line, .column = mark->column, .wrong = wrong};
  reader->places->unclear = unclear;
}

static size_t errors_told(const struct gg__reader *reader)
{
  return reader->errors->count + reader->errors->left_out;
}

/* A map for somebody else's table. Without a value nothing is kept, as of a section whose options are all comments. */
static void keep_tree(struct gg__reader *reader, const struct gg_option *option, void *values,
                      const struct gg__event *first)
{
  gg__option_clear(option, values);
  if (first->kind == GG__EVENT_MAP) {
    gg__option_put_tree(option, values, gg__reader_keep(reader, first));
    return;
  }
  if (!gg__event_is_missing(first))
    gg__reader_report(reader, &first->mark, "%s: takes a map, not %s", option->key,
                      first->kind == GG__EVENT_LIST ? "a list" : "one value");
  gg__reader_skip_rest(reader, first);
}

/* The value of an option, whose first event is there. */
static void read_value(struct gg__reader *reader, const struct gg_option *option, void *values,
                       const struct gg__event *first)
{
  bool list = gg__option_is_list(option);
  if (first->kind == GG__EVENT_ALIAS)
    return;
  if (list)
    gg__option_clear(option, values);
  if (option->type == GG_OPTION_TREE) {
    keep_tree(reader, option, values, first);
  } else if (first->kind == GG__EVENT_SCALAR) {
    set_scalar(reader, option, values, first);
  } else if (first->kind == GG__EVENT_LIST && list) {
    read_elements(reader, option, values);
  } else {
    const char *found = first->kind == GG__EVENT_LIST ? "a list" : "a map";
    gg__reader_report(reader, &first->mark, "%s: takes %s, not %s", option->key, list ? "a list" : "one value", found);
    gg__reader_skip_rest(reader, first);
  }
}

/* Whether a list that was read without an error has as many items as it must. */
static void judge_items(struct gg__reader *reader, const struct gg_option *option, const void *values,
                        const struct gg_mark *mark)
{
  size_t items = gg__option_items(option, values);
  if (items < option->least && !reader->stopped)
    gg__reader_report(reader, mark, "%s: has %zu of at least %" PRIu64 " items", option->key, items, option->least);
}

static void read_option(struct gg__reader *reader, const struct gg_option *option, void *values, struct gg_place *place)
{
  struct gg__event event;
  size_t errors_before = errors_told(reader);
  bool unclear_before = reader->places && reader->places->unclear;
  if (!gg__reader_next(reader, &event))
    return;
  read_value(reader, option, values, &event);
  if (errors_told(reader) == errors_before && gg__option_is_list(option))
    judge_items(reader, option, values, &event.mark);
  note_place(reader, place, &event.mark, errors_told(reader) != errors_before, unclear_before);
  gg__event_drop(&event);
}

static void read_map(struct gg__reader *reader, struct scope *scope, const char *prefix);

static void check_item(struct gg__reader *reader, const struct gg_option_list *list, const struct scope *scope,
                       const struct gg_mark *mark, bool sound)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  for (size_t i = 0; i < list->option_count; i++) {
    if (!list->options[i].required || scope->option_line[i] != 0)
      continue;
    gg__reader_report(reader, mark, "the %s has no '%s'", list->item, list->options[i].key);
    sound = false;
  }
  if (sound && list->check && list->check(scope->values, &failure) != 0)
    gg__reader_report(reader, mark, "%s", failure.message);
}

/* One item of a list: a map over the list's own table. `first` is its first event. */
static void read_item(struct gg__reader *reader, const struct gg_option_list *list, void *values,
                      const struct gg__event *first)
{
  if (first->kind != GG__EVENT_MAP) {
    if (first->kind != GG__EVENT_ALIAS)
      gg__reader_report(reader, &first->mark, "a %s is a map of options", list->item);
    gg__reader_skip_rest(reader, first);
    return;
  }
  if (gg__list_count(list, values) >= list->most) {
    gg__reader_report(reader, &first->mark, "more than %zu %s", list->most, list->key);
    gg__reader_skip_rest(reader, first);
    return;
  }
  struct scope scope = {.options = list->options, .option_count = list->option_count, .item = list->item};
  scope.places = gg__places_of_item(reader->places, list, gg__list_count(list, values));
  scope.values = gg__list_append(list, values);
  if (!scope.values) {
    gg__reader_stop_without_memory(reader);
    return;
  }
  size_t errors_before = errors_told(reader);
  read_map(reader, &scope, "");
  bool sound = errors_told(reader) == errors_before;
  if (!reader->stopped)
    check_item(reader, list, &scope, &first->mark, sound);
}

static void read_list(struct gg__reader *reader, const struct gg_option_list *list, void *values)
{
  struct gg__event event;
  if (!gg__reader_next(reader, &event))
    return;
  bool sequence = event.kind == GG__EVENT_LIST;
  if (!sequence && event.kind != GG__EVENT_ALIAS) {
    gg__reader_report(reader, &event.mark, "%s: is a list, each %s begins with '- '", list->key, list->item);
    gg__reader_skip_rest(reader, &event);
  }
  gg__event_drop(&event);
  if (!sequence)
    return;
  gg__list_clear(list, values);
  gg__places_clear_list(reader->places, list);
  while (gg__reader_next(reader, &event)) {
    bool end = event.kind == GG__EVENT_LIST_END;
    if (!end)
      read_item(reader, list, values, &event);
    gg__event_drop(&event);
    if (end)
      return;
  }
}

static void read_section(struct gg__reader *reader, struct scope *scope, const char *path)
{
  struct gg__event event;
  if (!gg__reader_next(reader, &event))
    return;
  if (event.kind == GG__EVENT_MAP) {
    read_map(reader, scope, path);
  } else if (!gg__event_is_missing(&event) && event.kind != GG__EVENT_ALIAS) {
    gg__reader_report(reader, &event.mark, "%s: is a section, its options go below it", path);
    gg__reader_skip_rest(reader, &event);
  }
  gg__event_drop(&event);
}

/* Whether the key is new; otherwise its value is skipped. */
static bool first_time(struct gg__reader *reader, size_t *line, const struct gg_mark *mark, const char *path)
{
  if (*line == 0) {
    *line = mark->line;
    return true;
  }
  gg__reader_report(reader, mark, "'%s' was already given on line %zu", path, *line);
  gg__reader_skip_value(reader);
  return false;
}

static void read_entry(struct gg__reader *reader, struct scope *scope, const struct gg_mark *mark, const char *path)
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
    gg__reader_skip_value(reader);
  }
}

/* The entries of a map, up to its end. */
static void read_map(struct gg__reader *reader, struct scope *scope, const char *prefix)
{
  struct gg__event event;
  while (gg__reader_next(reader, &event)) {
    bool end = event.kind == GG__EVENT_MAP_END;
    const char *key = event.kind == GG__EVENT_SCALAR ? event.text : NULL;
    if (key && strlen(key) == event.length) {
      char path[PATH_MAX_BYTES]; /* a longer one is cut, and as unknown as before: no option's key is that long */
      snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", key);
      read_entry(reader, scope, &event.mark, path);
    } else if (!end) {
      if (event.kind != GG__EVENT_ALIAS)
        gg__reader_report(reader, &event.mark, "a key is a single word");
      gg__reader_skip_rest(reader, &event);
      gg__reader_skip_value(reader);
    }
    gg__event_drop(&event);
    if (end)
      return;
  }
}

static struct scope whole_scope(const struct gg__reader *reader, const struct gg_schema *schema, void *values)
{
  assert(schema->list_count <= LISTS_MAX && schema->option_count <= GG_SCHEMA_OPTIONS_MAX);
  return (struct scope){.options = schema->options,
                        .option_count = schema->option_count,
                        .lists = schema->lists,
                        .list_count = schema->list_count,
                        .values = values,
                        .places = reader->places ? reader->places->rows : NULL};
}

static void read_root(struct gg__reader *reader, struct scope *scope)
{
  struct gg__event event;
  if (!gg__reader_next(reader, &event))
    return;
  if (event.kind == GG__EVENT_MAP) {
    read_map(reader, scope, "");
  } else if (!gg__event_is_missing(&event)) {
    gg__reader_report(reader, &event.mark, "the document must be a map of options");
    gg__reader_skip_rest(reader, &event);
  }
  gg__event_drop(&event);
}

/* stream start, document start, the root, document end, stream end. */
static void read_stream(struct gg__reader *reader, const struct gg_schema *schema, void *values)
{
  struct gg__event event;
  struct scope scope = whole_scope(reader, schema, values);
  bool document_read = false;
  while (gg__reader_next(reader, &event)) {
    bool end = event.kind == GG__EVENT_END;
    if (event.kind == GG__EVENT_DOCUMENT && document_read) {
      gg__reader_report(reader, &event.mark, "only one document is allowed");
      reader->stopped = true;
    } else if (event.kind == GG__EVENT_DOCUMENT) {
      document_read = true;
      read_root(reader, &scope);
    }
    gg__event_drop(&event);
    if (end)
      return;
  }
}

int gg_schema_read_text(const struct gg_schema *schema, void *values, const char *name, const char *text, size_t length,
                        struct gg_schema_places *places, struct gg_config_errors *errors)
{
  struct gg__reader reader = {.name = name, .places = places, .errors = errors};
  gg__reader_init_text(&reader, text, length);
  read_stream(&reader, schema, values);
  gg__reader_fini(&reader);
  if (places && reader.stopped)
    places->unread = true;
  return reader.rc;
}

int gg_schema_read_tree(const struct gg_schema *schema, void *values, const struct gg_tree *tree, const char *entry,
                        struct gg_schema_places *places, struct gg_config_errors *errors)
{
  struct gg__reader reader = {.name = tree ? gg_tree_file(tree) : "", .places = places, .errors = errors};
  struct scope scope = whole_scope(&reader, schema, values);
  if (tree) {
    gg__reader_init_tree(&reader, tree);
    read_root(&reader, &scope);
    gg__reader_fini(&reader);
  }
  for (size_t i = 0; i < schema->option_count && !reader.stopped; i++) {
    if (!schema->options[i].required || scope.option_line[i] != 0)
      continue;
    gg_config_error_add(errors, "%s: '%s' is missing", entry, schema->options[i].key);
    reader.rc = GG_ERR_FORMAT;
  }
  return reader.rc;
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
