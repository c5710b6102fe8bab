/* SPDX-License-Identifier: Apache-2.0 */
/* export_script.h - `gogetway export` of what is played again: programs, and screens. */
#ifndef GG_CLI_EXPORT_SCRIPT_H
#define GG_CLI_EXPORT_SCRIPT_H

#include "store_common.h"

#include <gogetway/messages.h>

/* False: it is no format of these. */
bool gg_cli_script_format(const char *word, enum gg_script_format *out);

/* An enum gg_exit, after telling what was wrong. */
int gg_cli_export_scripts(const struct gg_cli *cli, const struct gg_cli_words *words,
                          struct gg_script_options *options);

#endif
