/* SPDX-License-Identifier: Apache-2.0 */
/* One option and its field: setting it from a text, giving it back as text, freeing it; and the items of a list. */
#include "base/schema.h"
#include "base/text.h"
#include "base/tree.h"
#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 64, SHOWN_MAX = 80 };

static void *field_of(const struct gg_option *option, void *values)
{
  return (char *)values + option->offset;
}

static const void *field_of_const(const struct gg_option *option, const void *values)
{
  return (const char *)values + option->offset;
}

bool gg__option_is_list(const struct gg_option *option)
{
  return option->type == GG_OPTION_STRINGS || option->type == GG_OPTION_NETWORKS || option->type == GG_OPTION_ENDPOINTS;
}

static bool is_number(enum gg_option_type type)
{
  return type == GG_OPTION_COUNT || type == GG_OPTION_BYTES || type == GG_OPTION_DURATION || type == GG_OPTION_MODE;
}

static bool is_string(enum gg_option_type type)
{
  return type == GG_OPTION_STRING || type == GG_OPTION_PATH || type == GG_OPTION_ENDPOINT;
}

/* --- numbers ---------------------------------------------------------------------------------------------------- */

static void format_number(enum gg_option_type type, uint64_t number, char text[GG_TEXT_VALUE_MAX])
{
  if (type == GG_OPTION_BYTES)
    gg_text_format_bytes(number, text, GG_TEXT_VALUE_MAX);
  else if (type == GG_OPTION_DURATION)
    gg_text_format_duration(number, text, GG_TEXT_VALUE_MAX);
  else
    snprintf(text, GG_TEXT_VALUE_MAX, type == GG_OPTION_MODE ? "%04" PRIo64 : "%" PRIu64, number);
}

static int parse_number(enum gg_option_type type, uint64_t *out, const char *text)
{
  switch (type) {
  case GG_OPTION_BYTES:
    return gg_text_parse_bytes(out, text);
  case GG_OPTION_DURATION:
    return gg_text_parse_duration(out, text);
  case GG_OPTION_MODE:
    return gg_text_parse_octal(out, text);
  default:
    return gg_text_parse_count(out, text);
  }
}

static const char *what_is_right(enum gg_option_type type)
{
  switch (type) {
  case GG_OPTION_BYTES:
    return "a size: write a number and a unit, like 4096, 64KiB or 1.5GiB";
  case GG_OPTION_DURATION:
    return "a duration: write a number and a unit, like 250ms, 10s or 1h30m";
  case GG_OPTION_MODE:
    return "a mode: write permission bits in octal, like 0660";
  default:
    return "a whole number";
  }
}

static int set_number(const struct gg_option *option, void *values, const char *text, struct gg_failure *failure)
{
  uint64_t number = 0;
  char least[GG_TEXT_VALUE_MAX];
  char most[GG_TEXT_VALUE_MAX];
  int rc = parse_number(option->type, &number, text);
  if (rc == GG_ERR_FORMAT)
    return gg_fail(failure, rc, "'%.*s' is not %s", (int)SHOWN_MAX, text, what_is_right(option->type));
  if (rc == GG_ERR_RANGE || number < option->least || number > option->most) {
    format_number(option->type, option->least, least);
    format_number(option->type, option->most, most);
    return gg_fail(failure, GG_ERR_RANGE, "%.*s is outside the range from %s to %s", (int)SHOWN_MAX, text, least, most);
  }
  memcpy(field_of(option, values), &number, sizeof number);
  return 0;
}

static uint64_t get_number(const struct gg_option *option, const void *values)
{
  uint64_t number;
  memcpy(&number, field_of_const(option, values), sizeof number);
  return number;
}

/* --- bool and enum ---------------------------------------------------------------------------------------------- */

static int set_bool(const struct gg_option *option, void *values, const char *text, struct gg_failure *failure)
{
  bool truth;
  if (gg_text_parse_bool(&truth, text) != 0)
    return gg_fail(failure, GG_ERR_FORMAT, "'%.*s' is neither on nor off", (int)SHOWN_MAX, text);
  memcpy(field_of(option, values), &truth, sizeof truth);
  return 0;
}

static int set_enum(const struct gg_option *option, void *values, const char *text, struct gg_failure *failure)
{
  char list[256] = ""; /* cut, if there are so many */
  size_t used = 0;
  int count = 0;
  for (; option->names[count]; count++) {
    if (strcmp(text, option->names[count]) == 0) {
      memcpy(field_of(option, values), &count, sizeof count);
      return 0;
    }
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", count ? ", " : "", option->names[count]);
    if (used >= sizeof list)
      used = sizeof list - 1;
  }
  size_t near = gg_text_nearest(text, option->names, (size_t)count);
  if (near < (size_t)count)
    return gg_fail(failure, GG_ERR_FORMAT, "'%.*s' is not one of %s; did you mean '%s'?", (int)SHOWN_MAX, text, list,
                   option->names[near]);
  return gg_fail(failure, GG_ERR_FORMAT, "'%.*s' is not one of %s", (int)SHOWN_MAX, text, list);
}

/* --- texts ------------------------------------------------------------------------------------------------------ */

static int check_text(const struct gg_option *option, const char *text, size_t length, struct gg_failure *failure)
{
  size_t most = option->most && !gg__option_is_list(option) ? option->most : GG_SCHEMA_VALUE_BYTES_MAX;
  if (memchr(text, '\0', length))
    return gg_fail(failure, GG_ERR_FORMAT, "a value cannot have a NUL byte in it");
  if (!gg_utf8_valid(text, length))
    return gg_fail(failure, GG_ERR_FORMAT, "the value is not valid UTF-8");
  if (length > most && option->type != GG_OPTION_BLOB)
    return gg_fail(failure, GG_ERR_RANGE, "the value has %zu bytes, %zu are allowed", length, most);
  if (length == 0 &&
      (option->type == GG_OPTION_PATH || option->type == GG_OPTION_ENDPOINT || gg__option_is_list(option)))
    return gg_fail(failure, GG_ERR_FORMAT, "the value is empty");
  if (is_string(option->type) && length < option->least)
    return gg_fail(failure, GG_ERR_RANGE, "the value has %zu of at least %" PRIu64 " bytes", length, option->least);
  return option->check ? option->check(text, failure) : 0;
}

static int set_string(const struct gg_option *option, void *values, const char *text, struct gg_failure *failure)
{
  char *copy = strdup(text);
  if (!copy)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory");
  gg__option_clear(option, values);
  memcpy(field_of(option, values), &copy, sizeof copy);
  return 0;
}

static int set_blob(const struct gg_option *option, void *values, const char *text, struct gg_failure *failure)
{
  struct gg_blob blob = {.bytes = malloc(strlen(text) + 1)};
  size_t most = option->most ? option->most : GG_SCHEMA_VALUE_BYTES_MAX;
  if (!blob.bytes)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory");
  int rc = gg_text_unescape(blob.bytes, &blob.length, text);
  if (rc != 0)
    gg_fail(failure, rc, "an unknown escape: after a backslash come n, r, t, 0, a backslash, a quote, xHH or OOO");
  else if (blob.length > most)
    rc = gg_fail(failure, GG_ERR_RANGE, "the value has %zu bytes, %zu are allowed", blob.length, most);
  if (rc != 0 || blob.length == 0) {
    free(blob.bytes);
    blob.bytes = NULL;
  }
  if (rc == 0) {
    gg__option_clear(option, values);
    memcpy(field_of(option, values), &blob, sizeof blob);
  }
  return rc;
}

static int append_string(const struct gg_option *option, void *values, const char *text, struct gg_failure *failure)
{
  struct gg_strings *strings = field_of(option, values);
  size_t most = option->most ? option->most : ITEMS_MAX;
  if (strings->count >= most)
    return gg_fail(failure, GG_ERR_RANGE, "more than %zu items", most);
  char **items = realloc(strings->items, (strings->count + 1) * sizeof *items);
  if (!items)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory");
  strings->items = items;
  items[strings->count] = strdup(text);
  if (!items[strings->count])
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory");
  strings->count++;
  return 0;
}

/* --- any type --------------------------------------------------------------------------------------------------- */

int gg__option_set(const struct gg_option *option, void *values, const char *text, size_t length,
                   struct gg_failure *failure)
{
  if (length > GG_SCHEMA_VALUE_BYTES_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "the value has %zu bytes, %d are allowed", length, GG_SCHEMA_VALUE_BYTES_MAX);
  int rc = check_text(option, text, length, failure);
  if (rc != 0)
    return rc;
  if (is_number(option->type))
    return set_number(option, values, text, failure);
  if (is_string(option->type))
    return set_string(option, values, text, failure);
  if (gg__option_is_list(option))
    return append_string(option, values, text, failure);
  if (option->type == GG_OPTION_BOOL)
    return set_bool(option, values, text, failure);
  if (option->type == GG_OPTION_ENUM)
    return set_enum(option, values, text, failure);
  assert(option->type == GG_OPTION_BLOB);
  return set_blob(option, values, text, failure);
}

static struct gg_tree *get_tree(const struct gg_option *option, const void *values)
{
  struct gg_tree *const *field = field_of_const(option, values);
  return *field;
}

void gg__option_put_tree(const struct gg_option *option, void *values, struct gg_tree *tree)
{
  struct gg_tree **field = field_of(option, values);
  assert(option->type == GG_OPTION_TREE && !*field);
  *field = tree;
}

size_t gg__option_items(const struct gg_option *option, const void *values)
{
  assert(gg__option_is_list(option));
  return ((const struct gg_strings *)field_of_const(option, values))->count;
}

void gg__option_clear(const struct gg_option *option, void *values)
{
  void *field = field_of(option, values);
  if (is_string(option->type)) {
    char *string;
    memcpy(&string, field, sizeof string);
    free(string);
    memset(field, 0, sizeof string);
  } else if (option->type == GG_OPTION_BLOB) {
    struct gg_blob *blob = field;
    free(blob->bytes);
    *blob = (struct gg_blob){0};
  } else if (option->type == GG_OPTION_TREE) {
    struct gg_tree **tree = field;
    gg_tree_destroy(*tree);
    *tree = NULL;
  } else if (gg__option_is_list(option)) {
    struct gg_strings *strings = field;
    for (size_t i = 0; i < strings->count; i++)
      free(strings->items[i]);
    free(strings->items);
    *strings = (struct gg_strings){0};
  }
}

bool gg__option_is_set(const struct gg_option *option, const void *values)
{
  const void *field = field_of_const(option, values);
  if (is_string(option->type)) {
    char *string;
    memcpy(&string, field, sizeof string);
    return string != NULL;
  }
  if (option->type == GG_OPTION_BLOB)
    return ((const struct gg_blob *)field)->length > 0;
  if (gg__option_is_list(option))
    return ((const struct gg_strings *)field)->count > 0;
  if (option->type == GG_OPTION_TREE)
    return get_tree(option, values) != NULL;
  return true;
}

static char *blob_text(const struct gg_blob *blob)
{
  char *text = malloc(4 * blob->length + 1);
  if (text)
    gg_text_escape(text, blob->length ? blob->bytes : "", blob->length);
  return text;
}

char *gg__option_text(const struct gg_option *option, const void *values)
{
  const void *field = field_of_const(option, values);
  char number[GG_TEXT_VALUE_MAX];
  assert(!gg__option_is_list(option));
  if (is_number(option->type)) {
    format_number(option->type, get_number(option, values), number);
    return strdup(number);
  }
  if (is_string(option->type)) {
    char *string;
    memcpy(&string, field, sizeof string);
    return strdup(string ? string : "");
  }
  if (option->type == GG_OPTION_BLOB)
    return blob_text(field);
  if (option->type == GG_OPTION_TREE)
    return get_tree(option, values) ? gg_tree_text(get_tree(option, values)) : strdup("");
  if (option->type == GG_OPTION_BOOL) {
    bool truth;
    memcpy(&truth, field, sizeof truth);
    return strdup(truth ? "on" : "off");
  }
  int index;
  memcpy(&index, field, sizeof index);
  return strdup(option->names[index]);
}

/* --- tables and lists ------------------------------------------------------------------------------------------- */

static int set_defaults(const struct gg_option *options, size_t count, void *values)
{
  for (size_t i = 0; i < count; i++) {
    if (!options[i].preset)
      continue;
    int rc = gg__option_set(&options[i], values, options[i].preset, strlen(options[i].preset), NULL);
    assert(rc == 0 || rc == GG_ERR_NOMEM);
    if (rc != 0)
      return rc;
  }
  return 0;
}

int gg_schema_defaults(const struct gg_schema *schema, void *values)
{
  assert(schema->option_count <= GG_SCHEMA_OPTIONS_MAX);
  return set_defaults(schema->options, schema->option_count, values);
}

size_t gg__list_count(const struct gg_option_list *list, const void *values)
{
  size_t count;
  memcpy(&count, (const char *)values + list->count_offset, sizeof count);
  return count;
}

static char *list_items(const struct gg_option_list *list, const void *values)
{
  char *items;
  memcpy(&items, (const char *)values + list->items_offset, sizeof items);
  return items;
}

static void list_put(const struct gg_option_list *list, void *values, char *items, size_t count)
{
  memcpy((char *)values + list->items_offset, &items, sizeof items);
  memcpy((char *)values + list->count_offset, &count, sizeof count);
}

void *gg__list_item(const struct gg_option_list *list, const void *values, size_t index)
{
  assert(index < gg__list_count(list, values));
  return list_items(list, values) + index * list->item_bytes;
}

void *gg__list_append(const struct gg_option_list *list, void *values)
{
  assert(list->option_count <= GG_SCHEMA_OPTIONS_MAX);
  size_t count = gg__list_count(list, values);
  if (count >= list->most)
    return NULL;
  char *items = realloc(list_items(list, values), (count + 1) * list->item_bytes);
  if (!items)
    return NULL;
  memset(items + count * list->item_bytes, 0, list->item_bytes);
  list_put(list, values, items, count + 1);
  void *item = items + count * list->item_bytes;
  return set_defaults(list->options, list->option_count, item) == 0 ? item : NULL;
}

void gg__list_clear(const struct gg_option_list *list, void *values)
{
  size_t count = gg__list_count(list, values);
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < list->option_count; j++)
      gg__option_clear(&list->options[j], gg__list_item(list, values, i));
  free(list_items(list, values));
  list_put(list, values, NULL, 0);
}

void gg_schema_fini(const struct gg_schema *schema, void *values)
{
  for (size_t i = 0; i < schema->list_count; i++)
    gg__list_clear(&schema->lists[i], values);
  for (size_t i = 0; i < schema->option_count; i++)
    gg__option_clear(&schema->options[i], values);
}
