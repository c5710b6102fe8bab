/* SPDX-License-Identifier: Apache-2.0 */
/**
 * config_plugin.h - what an entry of `plugins` comes to: its library, and the options of the plug-in's own.
 *
 *     - path: /usr/lib/gogetway/plugins/lua.so       - lua: mine.lua
 *       config: {script: mine.lua, on_error: close}    config: {on_error: close}
 *
 * are the same. Thread: whose configuration it is.
 */
#ifndef GG_ENGINE_CONFIG_PLUGIN_H
#define GG_ENGINE_CONFIG_PLUGIN_H

#include "engine/config.h"

struct gg_place;

/* What `sink` may be. */
#define GG__SINK_REQUIRED "required"
#define GG__SINK_BEST_EFFORT "best-effort"

int gg__config_sink_check(const char *text, struct gg_failure *failure);
/* A check of an item of the list, as gg_option_list.check. */
int gg__config_plugin_check(const void *item, struct gg_failure *failure);
/* Fills what is made from the rest; `place` is that of `path` or of `lua`. GG_ERR_NOMEM, GG_ERR_LIMIT. */
int gg__config_plugin_derive(struct gg_config_plugin *plugin, const char *dir, const struct gg_place *place,
                             const struct gg_place *sink_place);
/* Frees that. */
void gg__config_plugin_fini(struct gg_config_plugin *plugin);

#endif
