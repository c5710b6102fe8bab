/* SPDX-License-Identifier: Apache-2.0 */
/**
 * options.h - from a plug-in's own table of options, and what the user wrote below `config:`, to the values that its
 * create is given.
 *
 *     struct gg_plugin_option[]  ──► gg_hook_options_check: can the table be believed?
 *              │
 *              ▼
 *     struct gg_option[]  ──► gg_schema_read_tree ◄── struct gg_tree, as the configuration has it
 *              │
 *              ▼
 *     struct gg_plugin_value[], with texts of their own
 *
 * A table is somebody else's: whatever can be seen to be wrong in it is an error that names the option, and nothing
 * reads further than the bounds below. What cannot be seen (a pointer to nowhere) is the process's end.
 *
 * Thread: any; nothing is shared.
 */
#ifndef GG_HOOK_OPTIONS_H
#define GG_HOOK_OPTIONS_H

#include "base/schema.h"
#include <gogetway/plugin.h>

enum {
  GG_HOOK_OPTION_NAME_MAX = 64,    /* bytes of an option's name, and of a choice, with the NUL */
  GG_HOOK_OPTION_CHOICES_MAX = 64, /* of one option */
};

/* Whether the plug-in's table is sound: names, types, ranges, choices and presets. GG_ERR_INVALID, with the option's
 * name in `failure`; GG_ERR_NOMEM. */
int gg_hook_options_check(const struct gg_plugin *plugin, struct gg_failure *failure);

/* The values of one entry of the configuration. */
struct gg_hook_values;
/* Reads them; the plug-in has passed gg_hook_options_check. `config` is what the entry has below `config:`, NULL if it
 * has none; it and the plug-in's table are not needed any more afterwards. `entry` is the entry's place, as
 * gg_place_text writes it, for what is missing. All that is wrong goes to `errors`: GG_ERR_FORMAT; GG_ERR_NOMEM. */
int gg_hook_values_read(struct gg_hook_values **out, const struct gg_plugin *plugin, const struct gg_tree *config,
                        const char *entry, struct gg_config_errors *errors);
/* The same of a text: YAML, as it would stand below `config:`; NULL: nothing is given. `name` says whose it is, in
 * place of a file's name. */
int gg_hook_values_text(struct gg_hook_values **out, const struct gg_plugin *plugin, const char *name, const char *yaml,
                        struct gg_config_errors *errors);
/* Borrowed; lives as long as the values. */
const struct gg_plugin_config *gg_hook_values_config(const struct gg_hook_values *values);
void gg_hook_values_destroy(struct gg_hook_values *values); /* NULL is fine */

#endif
