/* SPDX-License-Identifier: Apache-2.0 */
/* What is made from the table for people: the list of errors, the effective values, the reference page, the help. */
#include "base/schema.h"
#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 34 };

void gg_config_error_add(struct gg_config_errors *errors, const char *format, ...)
{
  char message[1024];
  va_list list;
  if (errors->count >= GG_CONFIG_ERRORS_MAX) {
    errors->left_out++;
    return;
  }
  va_start(list, format);
  int length = vsnprintf(message, sizeof message, format, list);
  va_end(list);
  size_t used = length < 0 ? 0 : (size_t)length < sizeof message ? (size_t)length : sizeof message - 1;
  char *text = errors->items[errors->count++].text;
  gg_text_sanitize(text, sizeof errors->items[0].text, message, used, GG_TEXT_ONE_LINE);
}

/* The length of an option's section in its key: 3 for "log.max", 0 for "dir". */
static size_t section_length(const struct gg_option *option)
{
  const char *dot = strchr(option->key, '.');
  return dot ? (size_t)(dot - option->key) : 0;
}

static bool is_in_section(const struct gg_option *option, const char *section)
{
  size_t length = section_length(option);
  return length == strlen(section) && strncmp(option->key, section, length) == 0;
}

static const char *name_in_section(const struct gg_option *option)
{
  size_t length = section_length(option);
  return length ? option->key + length + 1 : option->key;
}

/* --- the effective values as YAML ------------------------------------------------------------------------------- */

/* Whether YAML (1.2, 5.1, and 1.1 as libyaml reads it) lets the character stand as it is. */
static bool is_printable(uint32_t point)
{
  return point == '\t' || (point >= ' ' && point < 0x7f) || point == 0x85 ||
         (point >= 0xa0 && point <= 0xfffd && point != 0xfeff) || point >= 0x10000;
}

static void put_escaped(FILE *out, const char *quoted)
{
  uint32_t point;
  for (size_t left = strlen(quoted), bytes; left > 0; quoted += bytes, left -= bytes) {
    bytes = gg_utf8_next(quoted, left, &point);
    if (bytes == 0) /* gg_json_string leaves none */
      return;
    if (is_printable(point))
      fwrite(quoted, 1, bytes, out);
    else
      fprintf(out, "\\u%04x", (unsigned)point);
  }
}

/* JSON's form of a text is one of YAML's, but for characters that YAML wants to be escaped. */
bool gg__print_quoted(FILE *out, const char *text)
{
  size_t size = 6 * strlen(text) + 3;
  char *quoted = malloc(size);
  struct gg_json json;
  if (!quoted)
    return false;
  gg_json_init(&json, quoted, size);
  gg_json_string(&json, text);
  put_escaped(out, quoted);
  free(quoted);
  return true;
}

static const struct gg_strings *strings_of(const struct gg_option *option, const void *values)
{
  return (const struct gg_strings *)(const void *)((const char *)values + option->offset);
}

static bool print_strings(FILE *out, const struct gg_strings *strings)
{
  fputc('[', out);
  for (size_t i = 0; i < strings->count; i++) {
    fputs(i ? ", " : "", out);
    if (!gg__print_quoted(out, strings->items[i]))
      return false;
  }
  fputc(']', out);
  return true;
}

static bool print_value(FILE *out, const struct gg_option *option, const void *values)
{
  if (option->type == GG_OPTION_ENDPOINTS && strings_of(option, values)->count == 1)
    return gg__print_quoted(out, strings_of(option, values)->items[0]);
  if (gg__option_is_list(option))
    return print_strings(out, strings_of(option, values));
  char *text = gg__option_text(option, values);
  if (!text)
    return false;
  bool quoted = option->type == GG_OPTION_STRING || option->type == GG_OPTION_PATH ||
                option->type == GG_OPTION_ENDPOINT || option->type == GG_OPTION_BLOB || option->type == GG_OPTION_MODE;
  bool done = true;
  if (quoted)
    done = gg__print_quoted(out, text);
  else
    fputs(text, out);
  free(text);
  return done;
}

static bool print_option(FILE *out, const char *indent, const struct gg_option *option, const void *values)
{
  fprintf(out, "%s%s: ", indent, name_in_section(option));
  bool done = print_value(out, option, values);
  fputc('\n', out);
  return done;
}

static bool print_section(FILE *out, const struct gg_schema *schema, const char *section, const void *values)
{
  bool headed = section[0] == '\0';
  for (size_t i = 0; i < schema->option_count; i++) {
    const struct gg_option *option = &schema->options[i];
    if (!is_in_section(option, section) || !gg__option_is_set(option, values))
      continue;
    if (!headed)
      fprintf(out, "%s:\n", section);
    headed = true;
    if (!print_option(out, section[0] ? "  " : "", option, values))
      return false;
  }
  return true;
}

static bool print_list(FILE *out, const struct gg_option_list *list, const void *values)
{
  size_t count = gg__list_count(list, values);
  fprintf(out, count ? "%s:\n" : "%s: []\n", list->key);
  for (size_t i = 0; i < count; i++) {
    const void *item = gg__list_item(list, values, i);
    const char *indent = "  - ";
    for (size_t j = 0; j < list->option_count; j++) {
      if (!gg__option_is_set(&list->options[j], item))
        continue;
      if (!print_option(out, indent, &list->options[j], item))
        return false;
      indent = "    ";
    }
  }
  return true;
}

/* Closes the stream; NULL (and nothing to free) if anything had failed. */
static char *finish_text(FILE *out, char **text, bool done)
{
  bool failed = !done || ferror(out);
  if (fclose(out) != 0)
    failed = true;
  if (failed) {
    free(*text);
    return NULL;
  }
  return *text;
}

char *gg_schema_print(const struct gg_schema *schema, const void *values)
{
  char *text = NULL;
  size_t size = 0;
  bool done = true;
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return NULL;
  for (size_t i = 0; i < schema->list_count && done; i++)
    done = print_list(out, &schema->lists[i], values);
  for (size_t i = 0; i < schema->section_count && done; i++)
    done = print_section(out, schema, schema->sections[i].key, values);
  return finish_text(out, &text, done);
}

/* --- two sets of values ------------------------------------------------------------------------------------------ */

char *gg_schema_value(const struct gg_option *option, const void *values)
{
  char *text = NULL;
  size_t size = 0;
  if (!gg__option_is_list(option))
    return gg__option_text(option, values);
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return NULL;
  bool set = gg__option_is_set(option, values);
  return finish_text(out, &text, !set || print_strings(out, strings_of(option, values)));
}

int gg_schema_compare(const struct gg_schema *schema, const void *from, const void *to, gg_schema_change_fn tell,
                      void *context)
{
  int error = 0;
  for (size_t i = 0; i < schema->option_count && !error; i++) {
    char *before = gg_schema_value(&schema->options[i], from), *after = gg_schema_value(&schema->options[i], to);
    if (!before || !after)
      error = GG_ERR_NOMEM;
    else if (strcmp(before, after) != 0)
      tell(context, &schema->options[i], before, after);
    free(before);
    free(after);
  }
  return error;
}

int gg_schema_keep(const struct gg_schema *schema, void *values, const void *kept)
{
  int error = 0;
  for (size_t i = 0; i < schema->option_count && !error; i++) {
    const struct gg_option *option = &schema->options[i];
    if (!option->restart)
      continue;
    assert(!gg__option_is_list(option) && option->type != GG_OPTION_TREE);
    char *text = gg__option_text(option, kept);
    if (!text)
      error = GG_ERR_NOMEM;
    else if (gg__option_is_set(option, kept))
      error = gg__option_set(option, values, text, strlen(text), NULL);
    else
      gg__option_clear(option, values);
    free(text);
  }
  return error;
}

/* --- the reference page ----------------------------------------------------------------------------------------- */

static const char *type_name(enum gg_option_type type)
{
  static const char *const names[] = {
    [GG_OPTION_BOOL] = "`on` or `off`",
    [GG_OPTION_COUNT] = "number",
    [GG_OPTION_BYTES] = "size",
    [GG_OPTION_DURATION] = "duration",
    [GG_OPTION_MODE] = "octal mode",
    [GG_OPTION_ENUM] = "",
    [GG_OPTION_STRING] = "text",
    [GG_OPTION_PATH] = "path",
    [GG_OPTION_ENDPOINT] = "address",
    [GG_OPTION_BLOB] = "bytes",
    [GG_OPTION_STRINGS] = "list",
    [GG_OPTION_NETWORKS] = "list of networks",
    [GG_OPTION_ENDPOINTS] = "address, or list of them",
    [GG_OPTION_TREE] = "map",
  };
  return names[type];
}

static void write_enum(FILE *out, const struct gg_option *option, const char *quote, const char *between)
{
  for (size_t i = 0; option->names[i]; i++)
    fprintf(out, "%s%s%s%s", i ? between : "", quote, option->names[i], quote);
}

/* "64KiB to 1GiB", or nothing for a type without range. */
static void write_range(FILE *out, const struct gg_option *option)
{
  char least[GG_TEXT_VALUE_MAX];
  char most[GG_TEXT_VALUE_MAX];
  switch (option->type) {
  case GG_OPTION_BYTES:
    gg_text_format_bytes(option->least, least, sizeof least);
    gg_text_format_bytes(option->most, most, sizeof most);
    break;
  case GG_OPTION_DURATION:
    gg_text_format_duration(option->least, least, sizeof least);
    gg_text_format_duration(option->most, most, sizeof most);
    break;
  case GG_OPTION_COUNT:
    snprintf(least, sizeof least, "%" PRIu64, option->least);
    snprintf(most, sizeof most, "%" PRIu64, option->most);
    break;
  default:
    return;
  }
  fprintf(out, ", %s to %s", least, most);
}

static void write_row(FILE *out, const struct gg_option *option)
{
  fprintf(out, "| `%s` | ", option->key);
  if (option->type == GG_OPTION_ENUM)
    write_enum(out, option, "`", ", ");
  else
    fputs(type_name(option->type), out);
  write_range(out, option);
  if (option->required)
    fputs(" | required", out);
  else if (option->preset)
    fprintf(out, " | `%s`", option->preset);
  else
    fputs(" | not set", out);
  const char *changed_by = option->restart ? "restart" : "reload";
  if (option->flag)
    fprintf(out, " | `--%s` | %s | %s |\n", option->flag, option->help, changed_by);
  else
    fprintf(out, " | | %s | %s |\n", option->help, changed_by);
}

static void write_table_head(FILE *out)
{
  fputs("| Option | Value | Default | Flag | Meaning | Changed by |\n|---|---|---|---|---|---|\n", out);
}

static void write_more(FILE *out, const struct gg_option *options, size_t count, const char *section)
{
  bool any = false;
  for (size_t i = 0; i < count; i++) {
    if (!options[i].more || (section && !is_in_section(&options[i], section)))
      continue;
    fputs(any ? "" : "\n", out);
    fprintf(out, "- `%s`: %s\n", options[i].key, options[i].more);
    any = true;
  }
}

static void write_section(FILE *out, const struct gg_schema *schema, const struct gg_option_section *section)
{
  if (section->key[0])
    fprintf(out, "\n## `%s`: %s\n\n", section->key, section->help);
  else
    fprintf(out, "\n## %s\n\n", section->help);
  write_table_head(out);
  for (size_t i = 0; i < schema->option_count; i++)
    if (is_in_section(&schema->options[i], section->key))
      write_row(out, &schema->options[i]);
  write_more(out, schema->options, schema->option_count, section->key);
}

static void write_list(FILE *out, const struct gg_option_list *list)
{
  fprintf(out, "\n## `%s`: %s\n\n", list->key, list->help);
  if (list->more)
    fprintf(out, "%s\n\n", list->more);
  write_table_head(out);
  for (size_t i = 0; i < list->option_count; i++)
    write_row(out, &list->options[i]);
  write_more(out, list->options, list->option_count, NULL);
}

char *gg_schema_document(const struct gg_schema *schema)
{
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return NULL;
  for (size_t i = 0; i < schema->list_count; i++)
    write_list(out, &schema->lists[i]);
  for (size_t i = 0; i < schema->section_count; i++)
    write_section(out, schema, &schema->sections[i]);
  return finish_text(out, &text, true);
}

/* --- help ------------------------------------------------------------------------------------------------------- */

static const char *argument_name(enum gg_option_type type)
{
  static const char *const names[] = {
    [GG_OPTION_BOOL] = "",           [GG_OPTION_COUNT] = " N",        [GG_OPTION_BYTES] = " SIZE",
    [GG_OPTION_DURATION] = " TIME",  [GG_OPTION_MODE] = " MODE",      [GG_OPTION_ENUM] = " ",
    [GG_OPTION_STRING] = " TEXT",    [GG_OPTION_PATH] = " PATH",      [GG_OPTION_ENDPOINT] = " ADDR",
    [GG_OPTION_BLOB] = " BYTES",     [GG_OPTION_STRINGS] = " A,B,..", [GG_OPTION_NETWORKS] = " NET,..",
    [GG_OPTION_ENDPOINTS] = " ADDR", [GG_OPTION_TREE] = " MAP",
  };
  return names[type];
}

static void write_help_line(FILE *out, const struct gg_option *option)
{
  char left[128];
  if (!option->flag)
    return;
  int used = snprintf(left, sizeof left, "  --%s%s", option->flag, argument_name(option->type));
  for (size_t i = 0; option->type == GG_OPTION_ENUM && option->names[i]; i++)
    used += snprintf(left + used, sizeof left - (size_t)used, "%s%s", i ? "|" : "", option->names[i]);
  assert((size_t)used < sizeof left);
  if (used >= HELP_COLUMN)
    fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
  else
    fprintf(out, "%-*s", HELP_COLUMN, left);
  fputs(option->help, out);
  if (option->required)
    fputs(" (required)", out);
  else if (option->preset)
    fprintf(out, " (%s)", option->preset);
  fputc('\n', out);
}

static void write_help_extra(FILE *out, const struct gg_schema_extra *extra)
{
  char left[128] = "  ";
  char letter[8] = "";
  if (extra->letter)
    snprintf(letter, sizeof letter, "-%c, ", extra->letter);
  snprintf(left, sizeof left, "  %s--%s%s%s", letter, extra->name, extra->argument ? " " : "",
           extra->argument ? extra->argument : "");
  fprintf(out, "%-*s%s\n", HELP_COLUMN, left, extra->help);
}

char *gg_schema_help(const struct gg_schema *schema, const struct gg_schema_extra *extras, size_t extra_count)
{
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return NULL;
  for (size_t i = 0; i < extra_count; i++)
    write_help_extra(out, &extras[i]);
  for (size_t i = 0; i < schema->list_count; i++) {
    const struct gg_option_list *list = &schema->lists[i];
    if (!list->options[0].flag) /* of files only */
      continue;
    fprintf(out, "\nEach --%s begins a %s; these options belong to the one before them:\n", list->options[0].flag,
            list->item);
    for (size_t j = 0; j < list->option_count; j++)
      write_help_line(out, &list->options[j]);
  }
  for (size_t i = 0; i < schema->section_count; i++) {
    fprintf(out, "\n%s:\n", schema->sections[i].help);
    for (size_t j = 0; j < schema->option_count; j++)
      if (is_in_section(&schema->options[j], schema->sections[i].key))
        write_help_line(out, &schema->options[j]);
  }
  return finish_text(out, &text, true);
}
