/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - every command of the program; main.c's table has them in the order in which the help lists them. */
#ifndef GG_CLI_COMMANDS_H
#define GG_CLI_COMMANDS_H

#include "common.h"

extern const struct gg_command gg_command_run;
extern const struct gg_command gg_command_sessions;
extern const struct gg_command gg_command_show;
extern const struct gg_command gg_command_messages;
extern const struct gg_command gg_command_export;
extern const struct gg_command gg_command_grep;
extern const struct gg_command gg_command_replay;
extern const struct gg_command gg_command_tail;
extern const struct gg_command gg_command_verify;
extern const struct gg_command gg_command_tag;
extern const struct gg_command gg_command_hold;
extern const struct gg_command gg_command_prune;
extern const struct gg_command gg_command_stats;
extern const struct gg_command gg_command_plugins;
extern const struct gg_command gg_command_protocols;
extern const struct gg_command gg_command_reindex;
extern const struct gg_command gg_command_reload;
extern const struct gg_command gg_command_rotate;
extern const struct gg_command gg_command_upstreams;

/* `gogetway help filters`: no command, but a page of the help. */
int gg_cli_print_filters(FILE *out);

#endif
