/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/options.h"

#include "base/tree.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS_MAX = 64, ENTRY_TEXT_MAX = 400 };

/* A field for an option of any type, as the schema fills it. */
union slot {
  bool on;
  uint64_t number;
  int choice;
  char *text;
  struct gg_strings texts;
};

struct gg_hook_values {
  struct gg_plugin_config config;
  struct gg_plugin_value *values;
  struct gg_option *options; /* only types and offsets are of use after reading: the rest is the plug-in's */
  union slot *slots;
};

static bool is_number(enum gg_plugin_option_type type)
{
  return type == GG_PLUGIN_COUNT || type == GG_PLUGIN_BYTES || type == GG_PLUGIN_DURATION;
}

static enum gg_option_type type_of(enum gg_plugin_option_type type)
{
  static const enum gg_option_type types[] = {
    [GG_PLUGIN_BOOL] = GG_OPTION_BOOL,         [GG_PLUGIN_COUNT] = GG_OPTION_COUNT, [GG_PLUGIN_BYTES] = GG_OPTION_BYTES,
    [GG_PLUGIN_DURATION] = GG_OPTION_DURATION, [GG_PLUGIN_CHOICE] = GG_OPTION_ENUM, [GG_PLUGIN_TEXT] = GG_OPTION_STRING,
    [GG_PLUGIN_TEXTS] = GG_OPTION_STRINGS,
  };
  return types[type];
}

/* The schema's option for the plug-in's, its field in the slot `index`. A list's preset is not one value: it is read
 * apart. */
static struct gg_option option_of(const struct gg_plugin_option *from, size_t index)
{
  bool list = from->type == GG_PLUGIN_TEXTS;
  struct gg_option option = {.key = from->name,
                             .type = type_of(from->type),
                             .offset = index * sizeof(union slot),
                             .least = from->least,
                             .most = from->most,
                             .preset = list ? NULL : from->preset,
                             .names = from->type == GG_PLUGIN_CHOICE ? from->choices : NULL,
                             .required = from->required,
                             .help = from->help ? from->help : ""};
  if (is_number(from->type) && from->most == 0)
    option.most = UINT64_MAX;
  return option;
}

/* Sets a list to its preset, which is YAML as the user would write it. GG_ERR_FORMAT: it is not right. */
static int set_texts(const struct gg_option *option, const char *preset, void *slots, struct gg_failure *failure)
{
  const struct gg_schema schema = {.options = option, .option_count = 1};
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  size_t size = strlen(option->key) + strlen(preset) + sizeof ": \n";
  char *text = malloc(size);
  int error = GG_ERR_NOMEM;
  if (errors && text) {
    int length = snprintf(text, size, "%s: %s\n", option->key, preset);
    error = gg_schema_read_text(&schema, slots, "preset", text, (size_t)length, NULL, errors);
  }
  if (error == GG_ERR_FORMAT)
    gg_fail(failure, error, "%s", errors->items[0].text);
  free(text);
  free(errors);
  return error;
}

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char small[] = "abcdefghijklmnopqrstuvwxyz";
static const char digits[] = "0123456789";

/* Whether a text of at most so many bytes, with the NUL, is made of small letters, digits and `others`, and begins
 * with a letter or, if `digit`, a digit. */
static bool is_word(const char *text, const char *others, bool digit)
{
  size_t length = strnlen(text, GG_HOOK_OPTION_NAME_MAX);
  if (length == 0 || length == GG_HOOK_OPTION_NAME_MAX)
    return false;
  if (!strchr(small, text[0]) && !(digit && strchr(digits, text[0])))
    return false;
  for (size_t i = 0; i < length; i++)
    if (!strchr(small, text[i]) && !strchr(digits, text[i]) && !strchr(others, text[i]))
      return false;
  return true;
}

static int check_name(const struct gg_plugin *plugin, size_t index, struct gg_failure *failure)
{
  const char *name = plugin->options[index].name;
  if (!name)
    return gg_fail(failure, GG_ERR_INVALID, "option %zu has no name", index + 1);
  if (!is_word(name, "_", false))
    return gg_fail(failure, GG_ERR_INVALID,
                   "option %zu: '%.*s' is not a name: a small letter, then small letters, digits and _, %d at the most",
                   index + 1, GG_HOOK_OPTION_NAME_MAX, name, GG_HOOK_OPTION_NAME_MAX - 1);
  for (size_t i = 0; i < index; i++)
    if (strcmp(plugin->options[i].name, name) == 0)
      return gg_fail(failure, GG_ERR_INVALID, "two options are called '%s'", name);
  return 0;
}

static int check_choices(const struct gg_plugin_option *option, struct gg_failure *failure)
{
  size_t count = 0;
  if (option->type != GG_PLUGIN_CHOICE)
    return 0;
  if (!option->choices || !option->choices[0])
    return gg_fail(failure, GG_ERR_INVALID, "option '%s' has no choices", option->name);
  for (; option->choices[count]; count++) {
    const char *choice = option->choices[count];
    if (count == GG_HOOK_OPTION_CHOICES_MAX)
      return gg_fail(failure, GG_ERR_INVALID, "option '%s' has more than %d choices, or no NULL behind them",
                     option->name, GG_HOOK_OPTION_CHOICES_MAX);
    if (!is_word(choice, "_.-", true))
      return gg_fail(failure, GG_ERR_INVALID,
                     "option '%s': choice %zu is not a word of small letters, digits and any of _ . -", option->name,
                     count + 1);
    for (size_t i = 0; i < count; i++)
      if (strcmp(option->choices[i], choice) == 0)
        return gg_fail(failure, GG_ERR_INVALID, "option '%s' has the choice '%s' twice", option->name, choice);
  }
  return 0;
}

static int check_range(const struct gg_plugin_option *option, struct gg_failure *failure)
{
  uint64_t top = UINT64_MAX;
  if (option->type == GG_PLUGIN_TEXT)
    top = GG_SCHEMA_VALUE_BYTES_MAX;
  else if (option->type == GG_PLUGIN_TEXTS)
    top = TEXTS_MAX;
  else if (!is_number(option->type))
    return 0;
  if (option->most > top || option->least > top)
    return gg_fail(failure, GG_ERR_INVALID, "option '%s' has a range that goes beyond %" PRIu64, option->name, top);
  if (option->most != 0 && option->least > option->most)
    return gg_fail(failure, GG_ERR_INVALID, "option '%s' has a range that is empty: its least is above its most",
                   option->name);
  return 0;
}

static int check_preset(const struct gg_plugin_option *option, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  union slot slot = {0};
  if (!option->preset)
    return 0;
  if (option->required)
    return gg_fail(failure, GG_ERR_INVALID, "option '%s' is required, so its preset would never be used", option->name);
  const struct gg_option converted = option_of(option, 0);
  size_t length = strnlen(option->preset, GG_SCHEMA_VALUE_BYTES_MAX + 1);
  int error = length > GG_SCHEMA_VALUE_BYTES_MAX ? gg_fail(&why, GG_ERR_RANGE, "it is too long") : 0;
  if (!error && option->type == GG_PLUGIN_TEXTS)
    error = set_texts(&converted, option->preset, &slot, &why);
  else if (!error)
    error = gg__option_set(&converted, &slot, option->preset, length, &why);
  gg__option_clear(&converted, &slot);
  if (error == GG_ERR_NOMEM)
    return gg_fail(failure, error, "out of memory");
  return error ? gg_fail(failure, GG_ERR_INVALID, "option '%s' has a wrong preset: %s", option->name, why.message) : 0;
}

int gg_hook_options_check(const struct gg_plugin *plugin, struct gg_failure *failure)
{
  int error = 0;
  if (plugin->option_count > GG_PLUGIN_OPTIONS_MAX)
    return gg_fail(failure, GG_ERR_INVALID, "%zu options, of which there can be %d", plugin->option_count,
                   GG_PLUGIN_OPTIONS_MAX);
  if (plugin->option_count > 0 && !plugin->options)
    return gg_fail(failure, GG_ERR_INVALID, "%zu options, and no table of them", plugin->option_count);
  for (size_t i = 0; i < plugin->option_count && !error; i++) {
    const struct gg_plugin_option *option = &plugin->options[i];
    error = check_name(plugin, i, failure);
    if (!error && (unsigned)option->type > GG_PLUGIN_TEXTS)
      error = gg_fail(failure, GG_ERR_INVALID, "option '%s' has the type %u, which is not known", option->name,
                      (unsigned)option->type);
    if (!error)
      error = check_range(option, failure);
    if (!error)
      error = check_choices(option, failure);
    if (!error)
      error = check_preset(option, failure);
  }
  return error;
}

/* ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void show_value(struct gg_plugin_value *value, enum gg_plugin_option_type type, const union slot *slot)
{
  if (type == GG_PLUGIN_BOOL) {
    value->on = slot->on;
  } else if (type == GG_PLUGIN_CHOICE) {
    value->number = (uint64_t)slot->choice;
  } else if (type == GG_PLUGIN_TEXT) {
    value->text = slot->text;
  } else if (type == GG_PLUGIN_TEXTS) {
    value->texts = (const char *const *)slot->texts.items;
    value->text_count = slot->texts.count;
  } else {
    value->number = slot->number;
  }
}

static struct gg_hook_values *create(const struct gg_plugin *plugin)
{
  size_t count = plugin->option_count;
  struct gg_hook_values *values = calloc(1, sizeof *values);
  if (!values)
    return NULL;
  values->values = calloc(count + 1, sizeof *values->values);
  values->options = calloc(count + 1, sizeof *values->options);
  values->slots = calloc(count + 1, sizeof *values->slots);
  values->config = (struct gg_plugin_config){.size = sizeof values->config, .values = values->values, .count = count};
  if (!values->values || !values->options || !values->slots) {
    values->config.count = 0;
    gg_hook_values_destroy(values);
    return NULL;
  }
  for (size_t i = 0; i < count; i++)
    values->options[i] = option_of(&plugin->options[i], i);
  return values;
}

static int set_presets(const struct gg_plugin *plugin, const struct gg_schema *schema, union slot *slots)
{
  int error = gg_schema_defaults(schema, slots);
  for (size_t i = 0; i < plugin->option_count && !error; i++)
    if (plugin->options[i].type == GG_PLUGIN_TEXTS && plugin->options[i].preset)
      error = set_texts(&schema->options[i], plugin->options[i].preset, slots, NULL);
  assert(error == 0 || error == GG_ERR_NOMEM); /* the table was checked */
  return error;
}

static int read_config(struct gg_hook_values *values, const struct gg_plugin *plugin, const struct gg_tree *config,
                       const char *entry, struct gg_config_errors *errors)
{
  const struct gg_schema schema = {.options = values->options, .option_count = values->config.count};
  struct gg_schema_places *places;
  char place[ENTRY_TEXT_MAX];
  int error = set_presets(plugin, &schema, values->slots);
  if (!error)
    error = gg_schema_places_create(&places, &schema);
  if (error)
    return error;
  snprintf(place, sizeof place, "%s: plug-in %.*s", entry, GG_PLUGIN_NAME_MAX, plugin->name);
  error = gg_schema_read_tree(&schema, values->slots, config, place, places, errors);
  for (size_t i = 0; i < values->config.count; i++) {
    values->values[i].given = gg_place_is_given(&places->rows[i]);
    show_value(&values->values[i], plugin->options[i].type, &values->slots[i]);
  }
  gg_schema_places_destroy(places);
  return error;
}

int gg_hook_values_read(struct gg_hook_values **out, const struct gg_plugin *plugin, const struct gg_tree *config,
                        const char *entry, struct gg_config_errors *errors)
{
  assert(plugin->option_count <= GG_PLUGIN_OPTIONS_MAX);
  struct gg_hook_values *values = create(plugin);
  *out = NULL;
  int error = values ? read_config(values, plugin, config, entry, errors) : GG_ERR_NOMEM;
  if (error == GG_ERR_NOMEM)
    gg_config_error_add(errors, "out of memory");
  if (error) {
    gg_hook_values_destroy(values);
    return error;
  }
  *out = values;
  return 0;
}

const struct gg_plugin_config *gg_hook_values_config(const struct gg_hook_values *values)
{
  return &values->config;
}

void gg_hook_values_destroy(struct gg_hook_values *values)
{
  if (!values)
    return;
  const struct gg_schema schema = {.options = values->options, .option_count = values->config.count};
  if (values->options)
    gg_schema_fini(&schema, values->slots);
  free(values->slots);
  free(values->options);
  free(values->values);
  free(values);
}
