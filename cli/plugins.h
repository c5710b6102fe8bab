/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.h - commands that are no command of the program's: a running gateway's plug-ins may have them. */
#ifndef GG_CLI_PLUGINS_H
#define GG_CLI_PLUGINS_H

#include "ask.h"

/* No gateway runs, or none of its plug-ins has that name: nothing was told. */
enum { GG_CLI_NO_PLUGIN = -1 };

/* argv[0] is the plug-in's name, then verb and words. Returns an enum gg_exit, or GG_CLI_NO_PLUGIN: the reply's
 * "plugins" are then the names of those that there are. The reply is to be freed. */
int gg_cli_plugin(const struct gg_cli *cli, int argc, char **argv, struct gg_cli_reply *reply);
/* What its commands are, on standard output. */
int gg_cli_plugin_help(const struct gg_cli *cli, const char *name);

#endif
