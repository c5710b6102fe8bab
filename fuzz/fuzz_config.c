/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration. An input that begins with "--" is a command line, split at newlines; any other is a YAML file. What is
 * accepted without an error must print as a text that is accepted too and prints the same. What stands below a
 * plug-in's `config` is read by a table of options besides. */
#include "engine/config.h"
#include "engine/config_table.h"
#include "hook/options.h"

#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static struct gg_config_errors errors;

static void check(bool holds)
{
  if (!holds)
    abort();
}

static void check_errors(int rc)
{
  check((rc == 0) == (errors.count == 0));
  for (size_t i = 0; i < errors.count; i++)
    check(errors.items[i].text[0] != '\0' && strlen(errors.items[i].text) < sizeof errors.items[i].text);
}

/* --- plug-ins ---------------------------------------------------------------------------------------------------- */

static const char *const choices[] = {"drop", "keep", NULL};
static const struct gg_plugin_option options[] = {
  {.name = "on", .type = GG_PLUGIN_BOOL, .preset = "yes"},
  {.name = "count", .type = GG_PLUGIN_COUNT},
  {.name = "max_bytes", .type = GG_PLUGIN_BYTES, .least = 1, .most = 1 << 20, .preset = "64KiB"},
  {.name = "wait", .type = GG_PLUGIN_DURATION, .most = 1000000000, .preset = "250ms"},
  {.name = "what", .type = GG_PLUGIN_CHOICE, .choices = choices, .preset = "keep"},
  {.name = "word", .type = GG_PLUGIN_TEXT, .least = 2, .most = 4},
  {.name = "literals", .type = GG_PLUGIN_TEXTS, .least = 1, .most = 3, .preset = "[a b, 'c, d']"},
  {.name = "token", .type = GG_PLUGIN_TEXT, .required = true},
};
enum { ON, COUNT, MAX_BYTES, WAIT, WHAT, WORD, LITERALS, TOKEN, OPTIONS };
static const struct gg_plugin plugin = {GG_PLUGIN_HEAD, .name = "sample", .options = options, .option_count = OPTIONS};

/* What is accepted is what the table allows. */
static void check_values(const struct gg_plugin_config *config)
{
  const struct gg_plugin_value *values = config->values;
  check(config->count == OPTIONS && values[TOKEN].given && values[TOKEN].text);
  check(values[MAX_BYTES].number >= 1 && values[MAX_BYTES].number <= 1 << 20);
  check(values[WAIT].number <= 1000000000 && values[WHAT].number < 2);
  check(!values[WORD].text || (strlen(values[WORD].text) >= 2 && strlen(values[WORD].text) <= 4));
  check(values[LITERALS].text_count >= 1 && values[LITERALS].text_count <= 3);
  for (size_t i = 0; i < values[LITERALS].text_count; i++)
    check(values[LITERALS].texts[i][0] != '\0');
}

static void read_config_of_plugin(const struct gg_tree *tree)
{
  struct gg_hook_values *values;
  memset(&errors, 0, sizeof errors);
  int rc = gg_hook_values_read(&values, &plugin, tree, "fuzz:1:1", &errors);
  check_errors(rc);
  check((rc == 0) == (values != NULL));
  if (rc == 0)
    check_values(gg_hook_values_config(values));
  gg_hook_values_destroy(values);
}

/* --- the gateway's own ------------------------------------------------------------------------------------------- */

static int read_yaml(struct gg_config *config, const char *text, size_t length)
{
  memset(config, 0, sizeof *config);
  memset(&errors, 0, sizeof errors);
  check(gg_schema_defaults(&gg__config_schema, config) == 0);
  int rc = gg_schema_read_text(&gg__config_schema, config, "fuzz", text, length, NULL, &errors);
  check_errors(rc);
  return rc;
}

/* Prints, reads and prints again. */
static void check_round_trip(const struct gg_config *config)
{
  struct gg_config again;
  char *text = gg_schema_print(&gg__config_schema, config);
  check(text != NULL);
  check(read_yaml(&again, text, strlen(text)) == 0);
  char *twice = gg_schema_print(&gg__config_schema, &again);
  check(twice && strcmp(text, twice) == 0);
  gg_schema_fini(&gg__config_schema, &again);
  free(text);
  free(twice);
}

static void run_yaml(const char *text, size_t length)
{
  struct gg_config config;
  if (read_yaml(&config, text, length) == 0)
    check_round_trip(&config);
  for (size_t i = 0; i < config.plugin_count; i++)
    read_config_of_plugin(config.plugins[i].config);
  gg_schema_fini(&gg__config_schema, &config);
}

/* Files are not read here: what they hold would not be the input's. */
static bool names_a_file(const char *argument)
{
  return strncmp(argument, "-c", 2) == 0 || strncmp(argument, "--config", 8) == 0;
}

static void run_flags(char *text)
{
  char *arguments[ARGUMENTS_MAX];
  int count = 0;
  char *rest = text;
  char *argument;
  while (count < ARGUMENTS_MAX && (argument = strsep(&rest, "\n"))) {
    if (names_a_file(argument))
      return;
    arguments[count++] = argument;
  }
  struct gg_config config;
  int rc = gg_config_load(&config, count, arguments, 0, &errors);
  check((rc == 0) == (errors.count == 0));
  if (rc == 0)
    check_round_trip(&config);
  gg_config_fini(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
  char *text = malloc(length + 1);
  check(text != NULL);
  memcpy(text, data, length);
  text[length] = '\0';
  if (length > 2 && text[0] == '-' && text[1] == '-' && text[2] != '-')
    run_flags(text);
  else
    run_yaml(text, length);
  free(text);
  return 0;
}
