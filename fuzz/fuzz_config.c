/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration. An input that begins with "--" is a command line, split at newlines; any other is a YAML file. What is
 * accepted without an error must print as a text that is accepted too and prints the same. */
#include "engine/config.h"
#include "engine/config_table.h"

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

static int read_yaml(struct gg_config *config, const char *text, size_t length)
{
  memset(config, 0, sizeof *config);
  memset(&errors, 0, sizeof errors);
  check(gg_schema_defaults(&gg__config_schema, config) == 0);
  int rc = gg_schema_read_text(&gg__config_schema, config, "fuzz", text, length, NULL, &errors);
  check((rc == 0) == (errors.count == 0));
  for (size_t i = 0; i < errors.count; i++)
    check(errors.items[i].text[0] != '\0' && strlen(errors.items[i].text) < sizeof errors.items[i].text);
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
