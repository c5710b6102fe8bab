/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options_text.c - a plug-in's options as a text of their own, and not below an entry of a file.
 *
 * They are YAML too, as if they stood below `config:` in a file. So they are put there, two columns to the right and a
 * line further down, and what is wrong is told where the text has it.
 */
#include "base/tree.h"
#include "hook/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 2, LINES_ABOVE = 1 };

struct holder {
  struct gg_tree *config;
};
static const struct gg_option holder_options[] = {
  {.key = "config", .type = GG_OPTION_TREE, .offset = offsetof(struct holder, config), .help = "a plug-in's options"},
};
static const struct gg_schema holder_schema = {.options = holder_options, .option_count = 1};

/* "config:" and what follows, indented; malloc'ed. */
static char *below_config(const char *yaml, size_t *length)
{
  char *text = NULL;
  FILE *out = open_memstream(&text, length);
  if (!out)
    return NULL;
  fputs("config:\n", out);
  while (*yaml) {
    size_t line = strcspn(yaml, "\n");
    fprintf(out, "%*s%.*s\n", line > 0 ? INDENT : 0, "", (int)line, yaml);
    yaml += line + (yaml[line] == '\n');
  }
  bool failed = ferror(out) != 0;
  if (fclose(out) == 0 && !failed)
    return text;
  free(text);
  return NULL;
}

/* "NAME:3:7: ..." becomes "NAME:2:5: ...". */
static void move_back(struct gg_config_error *error, const char *name)
{
  size_t length = strlen(name);
  char copy[sizeof error->text], *end;
  if (strncmp(error->text, name, length) != 0 || error->text[length] != ':')
    return;
  unsigned long line = strtoul(error->text + length + 1, &end, 10);
  if (*end != ':' || line <= LINES_ABOVE)
    return;
  unsigned long column = strtoul(end + 1, &end, 10);
  if (*end != ':' || column <= INDENT)
    return;
  snprintf(copy, sizeof copy, "%s", end);
  snprintf(error->text, sizeof error->text, "%s:%lu:%lu%.400s", name, line - LINES_ABOVE, column - INDENT, copy);
}

int gg_hook_values_text(struct gg_hook_values **out, const struct gg_plugin *plugin, const char *name, const char *yaml,
                        struct gg_config_errors *errors)
{
  struct holder holder = {NULL};
  size_t length = 0;
  char *text = yaml && *yaml ? below_config(yaml, &length) : NULL;
  int error = text || !yaml || !*yaml ? 0 : GG_ERR_NOMEM;
  if (text)
    error = gg_schema_read_text(&holder_schema, &holder, name, text, length, NULL, errors);
  if (!error)
    error = gg_hook_values_read(out, plugin, holder.config, name, errors);
  for (size_t i = 0; i < errors->count; i++)
    move_back(&errors->items[i], name);
  gg_schema_fini(&holder_schema, &holder);
  free(text);
  return error;
}
