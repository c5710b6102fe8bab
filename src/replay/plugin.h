/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plugin.h - a replay's plug-in: a hook (hook/hook.h) on a desk of its own, without sessions and without a store.
 *
 *   options.plugin ──► file, table, options: judged ──► instance ──► asked before each piece ──► destroyed
 *                      by gg_replay_create              by gg_replay_run
 *
 * Thread: the replay's; what it says of itself comes on any.
 */
#ifndef GG_REPLAY_PLUGIN_H
#define GG_REPLAY_PLUGIN_H

#include <gogetway/replay.h>

struct gg_hook;
struct gg_replay_plugin;

/* Of options that name one. `tell` gets the plug-in's messages from a warning on, and may be NULL. GG_ERR_INVALID,
 * FORMAT, NOT_FOUND, ...: the failure says what; GG_ERR_UNSUPPORTED: it has no replay_send. */
int gg__replay_plugin_open(struct gg_replay_plugin **out, const struct gg_replay_options *options,
                           struct gg_failure *failure);
/* Makes the instance, once. */
int gg__replay_plugin_create(struct gg_replay_plugin *plugin, struct gg_hook **out, struct gg_failure *failure);
void gg__replay_plugin_destroy(struct gg_replay_plugin *plugin); /* NULL is fine */

#endif
