/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plugin.h"

#include "hook/hook.h"
#include "hook/library.h"
#include "hook/options.h"

#include <stdlib.h>
#include <string.h>

struct gg_replay_plugin {
  struct gg_library *library; /* NULL: the program's own table */
  struct gg_plugin table;
  struct gg_hook_values *values;
  struct gg_logger *logger;
  struct gg_metrics *metrics;
  struct gg_hook_desk desk;
  bool has_desk;
  struct gg_hook *hook;
  void (*warn)(void *context, const char *text);
  void *context;
};

static void told(void *context, enum gg_level level, const char *line, size_t length)
{
  struct gg_replay_plugin *plugin = context;
  (void)level;
  (void)length;
  if (plugin->warn)
    plugin->warn(plugin->context, line);
}

static int open_table(struct gg_replay_plugin *plugin, const struct gg_replay_options *options,
                      struct gg_failure *failure)
{
  const char *what = options->plugin ? options->plugin : "the plug-in's table";
  if (options->plugin && options->plugin_table)
    return gg_fail(failure, GG_ERR_INVALID, "plugin and plugin_table are both given: one of them says what it is");
  int error = 0;
  if (options->plugin) {
    error = gg_library_open(&plugin->library, options->plugin, failure);
    if (!error)
      plugin->table = *gg_library_table(plugin->library);
  } else {
    error = gg_plugin_judge(&plugin->table, options->plugin_table, what, failure);
  }
  if (!error && !plugin->table.replay_send)
    error =
      gg_fail(failure, GG_ERR_UNSUPPORTED, "%.300s: plug-in %s has no replay_send: it has nothing to do in a replay",
              what, plugin->table.name);
  return error;
}

static int read_values(struct gg_replay_plugin *plugin, const char *config, struct gg_failure *failure)
{
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  int error =
    errors ? gg_hook_values_text(&plugin->values, &plugin->table, "plugin-config", config, errors) : GG_ERR_NOMEM;
  if (error == GG_ERR_FORMAT) /* what is wrong is what the caller said, as any other option */
    error = GG_ERR_INVALID;
  if (error)
    gg_fail(failure, error, "%s", errors && errors->count > 0 ? errors->items[0].text : gg_error_text(error));
  free(errors);
  return error;
}

int gg__replay_plugin_open(struct gg_replay_plugin **out, const struct gg_replay_options *options,
                           struct gg_failure *failure)
{
  struct gg_replay_plugin *plugin = calloc(1, sizeof *plugin);
  *out = NULL;
  if (!plugin)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the plug-in");
  plugin->warn = options->on_warning;
  plugin->context = options->context;
  int error = open_table(plugin, options, failure);
  if (!error)
    error = read_values(plugin, options->plugin_config, failure);
  if (error) {
    gg__replay_plugin_destroy(plugin);
    return error;
  }
  *out = plugin;
  return 0;
}

int gg__replay_plugin_create(struct gg_replay_plugin *plugin, struct gg_hook **out, struct gg_failure *failure)
{
  int error = gg_logger_create_sink(&plugin->logger, told, plugin, GG_LEVEL_WARNING, GG_LOGGER_TEXT);
  if (!error)
    error = gg_metrics_create(&plugin->metrics);
  if (error)
    return gg_fail(failure, error, "no memory for the plug-in");
  error = gg_hook_desk_init(&plugin->desk, plugin->metrics, plugin->logger, &gg_hook_no_sessions, NULL, failure);
  plugin->has_desk = error == 0;
  if (!error)
    error = gg_hook_create(&plugin->hook, &plugin->desk, &plugin->table, gg_hook_values_config(plugin->values), NULL,
                           NULL, failure);
  if (!error)
    error = gg_hook_start(plugin->hook, failure);
  *out = error ? NULL : plugin->hook;
  return error;
}

void gg__replay_plugin_destroy(struct gg_replay_plugin *plugin)
{
  if (!plugin)
    return;
  if (plugin->has_desk) {
    gg_hook_unref(plugin->hook);
    gg_hook_desk_stop(&plugin->desk);
    gg_hook_reap(&plugin->desk);
    gg_hook_desk_fini(&plugin->desk);
  }
  gg_metrics_destroy(plugin->metrics);
  gg_logger_destroy(plugin->logger);
  gg_hook_values_destroy(plugin->values);
  gg_library_close(plugin->library);
  free(plugin);
}
