/* SPDX-License-Identifier: Apache-2.0 */
/* plugins_add.c - plug-ins of a program that embeds the gateway: the same table, by its address. */
#include "base/sized.h"
#include "engine/configured.h"
#include "engine/engine.h"
#include "hook/library.h"
#include "hook/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_TEXT_MAX = 64 };

static int copy_listeners(struct gg_loaded *loaded, const struct gg_config *config, const char *const *listeners,
                          size_t count, struct gg_failure *failure)
{
  if (count == 0)
    return 0;
  loaded->listeners.items = calloc(count, sizeof *loaded->listeners.items);
  if (!loaded->listeners.items)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for plug-in %s", loaded->table.name);
  for (size_t i = 0; i < count; i++) {
    size_t at = 0;
    while (at < config->listener_count && strcmp(config->listeners[at].name, listeners[i]) != 0)
      at++;
    if (at == config->listener_count)
      return gg_fail(failure, GG_ERR_NOT_FOUND, "plug-in %s: there is no listener '%.80s'", loaded->table.name,
                     listeners[i]);
    char *name = strdup(listeners[i]);
    if (!name)
      return gg_fail(failure, GG_ERR_NOMEM, "out of memory for plug-in %s", loaded->table.name);
    loaded->listeners.items[loaded->listeners.count++] = name;
  }
  return 0;
}

static int fill_sink(struct gg_loaded *loaded, enum gg_plugin_sink sink, struct gg_failure *failure)
{
  loaded->best_effort = sink == GG_PLUGIN_SINK_BEST_EFFORT;
  if (sink == GG_PLUGIN_SINK_DEFAULT)
    return 0;
  if ((unsigned)sink > GG_PLUGIN_SINK_BEST_EFFORT)
    return gg_fail(failure, GG_ERR_INVALID, "plug-in %s: there is no such sink", loaded->table.name);
  if (!loaded->table.sink)
    return gg_fail(failure, GG_ERR_INVALID, "plug-in %s does not get the recording, so 'sink' says nothing",
                   loaded->table.name);
  return 0;
}

static int fill(struct gg_loaded *loaded, const struct gg_config *config, const struct gg_plugin_add_options *options,
                struct gg_failure *failure)
{
  char name[NAME_TEXT_MAX];
  const char *config_yaml = options->config;
  int error = copy_listeners(loaded, config, options->listeners, options->listener_count, failure);
  if (!error)
    error = fill_sink(loaded, options->sink, failure);
  if (error)
    return error;
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  snprintf(name, sizeof name, "plug-in %s", loaded->table.name);
  loaded->options = strdup(config_yaml ? config_yaml : "");
  error = errors && loaded->options ? gg_hook_values_text(&loaded->values, &loaded->table, name, config_yaml, errors)
                                    : GG_ERR_NOMEM;
  if (error)
    gg_fail(failure, error, "%s", errors && errors->count > 0 ? errors->items[0].text : gg_error_text(error));
  free(errors);
  return error;
}

int gg__plugins_add(struct gg_configured *configured, const struct gg_plugin *table,
                    const struct gg_plugin_add_options *given, struct gg_failure *failure)
{
  struct gg_plugin_add_options options = GG_PLUGIN_ADD_OPTIONS_INIT;
  int error = given ? gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_plugin_add_options, sink), given,
                                    "gg_plugin_add_options", failure)
                    : 0;
  if (error)
    return error;
  struct gg_plugins *plugins = &configured->plugins;
  struct gg_loaded *loaded = calloc(1, sizeof *loaded);
  if (!loaded)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for a plug-in");
  error = gg_plugin_judge(&loaded->table, table, "the plug-in's table", failure);
  if (!error && gg__plugins_find(plugins, loaded->table.name))
    error = gg_fail(failure, GG_ERR_EXISTS, "there is a plug-in %s already", loaded->table.name);
  if (!error && plugins->count == GG_HOOKS_MAX)
    error = gg_fail(failure, GG_ERR_LIMIT, "there are %d plug-ins already", GG_HOOKS_MAX);
  if (!error)
    error = fill(loaded, &configured->config, &options, failure);
  if (error) {
    gg__loaded_free(loaded);
    return error;
  }
  plugins->entries[plugins->count++] = (struct gg_plugin_entry){.loaded = loaded};
  return 0;
}

int gg_gateway_plugin_add(struct gg_gateway *engine, const struct gg_plugin *table,
                          const struct gg_plugin_add_options *options, struct gg_failure *failure)
{
  if (atomic_load(&engine->state) != GG_ENGINE_CREATED || gg_gateway_action(engine) != GG_GATEWAY_RUN)
    return gg_fail(failure, GG_ERR_INVALID, "plug-ins are added before the gateway is started, to one that will run");
  return gg__plugins_add(engine->now, table, options, failure);
}
