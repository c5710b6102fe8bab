/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins.c - from the entries of a configuration to hooks and chains.
 *
 * A library is opened whenever a configuration that names it is read: that is how its table and its options are known,
 * and so `--check-config` tells what is wrong with them. If nothing has changed, what was opened is closed again (the
 * loader counts) and the entry gets the hook that was there.
 *
 * A file that was written over while it is loaded is refused: its pages are the running code's, which may be broken by
 * that already; and the loader would take it for the library that it has. A new version is put in its place by rename.
 */
#include "engine/plugins.h"

#include "engine/config_plugin.h"
#include "engine/configured.h"
#include "engine/indexing.h"
#include "engine/report.h"
#include "hook/library.h"
#include "hook/options.h"
#include "hook/sink.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void strings_free(struct gg_strings *strings)
{
  for (size_t i = 0; i < strings->count; i++)
    free(strings->items[i]);
  free(strings->items);
}

/* Also behind a hook: its library last. */
void gg__loaded_free(void *context)
{
  struct gg_loaded *loaded = context;
  if (!loaded)
    return;
  gg_hook_values_destroy(loaded->values);
  gg_library_close(loaded->library);
  strings_free(&loaded->listeners);
  free(loaded->options);
  free(loaded->path);
  free(loaded);
}

const char *gg__plugins_path(const struct gg_hook *hook)
{
  const struct gg_loaded *loaded = hook->owned;
  return loaded->path;
}

bool gg__plugins_sees(const struct gg_plugin_entry *entry, const struct gg_config_listener *listener)
{
  const struct gg_strings *names = &entry->loaded->listeners;
  if (entry->config)
    return gg_config_plugin_sees(entry->config, listener);
  for (size_t i = 0; i < names->count; i++)
    if (strcmp(names->items[i], listener->name) == 0)
      return true;
  return names->count == 0;
}

/* ── Opening ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

const struct gg_plugin_entry *gg__plugins_find(const struct gg_plugins *plugins, const char *name)
{
  for (size_t i = 0; i < plugins->count; i++)
    if (strcmp(plugins->entries[i].loaded->table.name, name) == 0)
      return &plugins->entries[i];
  return NULL;
}

/* Whether it is loaded, and was changed in its place since. */
static bool was_written_over(const struct gg_hook_desk *desk, const struct gg_library_file *file)
{
  for (const struct gg_hook *hook = desk ? desk->hooks : NULL; hook; hook = hook->next) {
    const struct gg_loaded *loaded = hook->owned;
    const struct gg_library_file *other = loaded->library ? gg_library_file(loaded->library) : NULL;
    if (other && gg_library_file_same_inode(other, file) && !gg_library_file_equal(other, file))
      return true;
  }
  return false;
}

static int open_library(struct gg_loaded *loaded, const char *path, const struct gg_hook_desk *desk,
                        struct gg_failure *failure)
{
  int error = gg_library_find(&loaded->library, path, failure);
  if (!error && was_written_over(desk, gg_library_file(loaded->library)))
    return gg_fail(failure, GG_ERR_BUSY,
                   "%.300s was written over while it is loaded; put a new version in its place by renaming it there, "
                   "and restart",
                   path);
  if (!error)
    error = gg_library_load(loaded->library, path, failure);
  if (!error)
    loaded->table = *gg_library_table(loaded->library);
  return error;
}

static int copy_texts(struct gg_loaded *loaded, const char *path, const struct gg_tree *config)
{
  loaded->options = config ? gg_tree_text(config) : strdup("");
  loaded->path = path ? strdup(path) : NULL;
  return loaded->options && (loaded->path || !path) ? 0 : GG_ERR_NOMEM;
}

/* What is wrong goes to `errors`. */
static int load(struct gg_loaded *loaded, const struct gg_config_plugin *config, const struct gg_hook_desk *desk,
                struct gg_config_errors *errors)
{
  struct gg_failure why = GG_FAILURE_INIT;
  int error = open_library(loaded, config->object, desk, &why);
  if (!error) {
    error = copy_texts(loaded, config->object, config->options);
    gg_fail(&why, error, "%s", gg_error_text(error));
  }
  if (error) {
    gg_config_error_add(errors, "%s: %.400s", config->place, why.message);
    return error;
  }
  if (config->sink && !loaded->table.sink) {
    gg_config_error_add(errors, "%s: plug-in %s does not get the recording, so 'sink' says nothing", config->sink_place,
                        loaded->table.name);
    error = GG_ERR_INVALID;
  }
  loaded->best_effort = config->sink && strcmp(config->sink, GG__SINK_BEST_EFFORT) == 0;
  int values = gg_hook_values_read(&loaded->values, &loaded->table, config->options, config->place, errors);
  return error ? error : values;
}

/* A plug-in is called by its name in commands and metrics, and its state directory has it: one of each. */
static int judge_twin(const struct gg_plugin_entry *twin, const char *name, const char *place,
                      struct gg_config_errors *errors)
{
  if (!twin)
    return 0;
  gg_config_error_add(errors, "%s: plug-in %s is there twice: also %s%s", place, name,
                      twin->config ? "at " : "added by the program", twin->config ? twin->config->place : "");
  return GG_ERR_EXISTS;
}

/* A mask keeps bytes out of the log for a while that have gone on, and `always` promises the contrary. */
static int judge_mask(const struct gg_plugin *table, const struct gg_config *config, struct gg_failure *failure)
{
  if (!table->mask || config->sync.mode != GG_CONFIG_SYNC_ALWAYS)
    return 0;
  return gg_fail(failure, GG_ERR_UNSUPPORTED,
                 "plug-in %s masks what is recorded, and cannot be used with `sync.mode: always`: bytes that it cannot "
                 "decide about yet go on before they are recorded",
                 table->name);
}

static bool is_unchanged(const struct gg_loaded *loaded, const struct gg_plugin_entry *before)
{
  return before && before->hook && before->loaded->library &&
         gg_library_file_equal(gg_library_file(loaded->library), gg_library_file(before->loaded->library)) &&
         strcmp(loaded->options, before->loaded->options) == 0 && loaded->best_effort == before->loaded->best_effort &&
         !(before->hook->plugin.stale && before->hook->plugin.stale(before->hook->self));
}

static void put(struct gg_plugins *plugins, const struct gg_config_plugin *config, struct gg_loaded *loaded,
                const struct gg_plugin_entry *before)
{
  struct gg_plugin_entry *entry = &plugins->entries[plugins->count++];
  *entry = (struct gg_plugin_entry){.config = config, .loaded = loaded};
  if (!before)
    return;
  entry->loaded = before->loaded;
  entry->hook = gg_hook_ref(before->hook);
}

static int open_one(struct gg_configured *configured, const struct gg_config_plugin *config,
                    const struct gg_plugins *before, const struct gg_hook_desk *desk, struct gg_config_errors *errors)
{
  struct gg_plugins *plugins = &configured->plugins;
  struct gg_failure why = GG_FAILURE_INIT;
  struct gg_loaded *loaded = calloc(1, sizeof *loaded);
  if (!loaded) {
    gg_config_error_add(errors, "%s: out of memory", config->place);
    return GG_ERR_NOMEM;
  }
  int error = load(loaded, config, desk, errors);
  if (!error)
    error = judge_twin(gg__plugins_find(plugins, loaded->table.name), loaded->table.name, config->place, errors);
  if (!error && (error = judge_mask(&loaded->table, &configured->config, &why)) != 0)
    gg_config_error_add(errors, "%s: %.400s", config->place, why.message);
  if (error) {
    gg__loaded_free(loaded);
    return error;
  }
  const struct gg_plugin_entry *was = before ? gg__plugins_find(before, loaded->table.name) : NULL;
  bool unchanged = is_unchanged(loaded, was);
  put(plugins, config, loaded, unchanged ? was : NULL);
  if (unchanged)
    gg__loaded_free(loaded);
  return 0;
}

/* The program's stay as they are. */
static int keep_added(struct gg_plugins *plugins, const struct gg_plugin_entry *was, struct gg_config_errors *errors)
{
  const struct gg_plugin_entry *twin = gg__plugins_find(plugins, was->loaded->table.name);
  if (twin)
    return judge_twin(was, was->loaded->table.name, twin->config->place, errors);
  if (plugins->count == GG_HOOKS_MAX) {
    gg_config_error_add(errors, "there are more than %d plug-ins, with those that the program has added", GG_HOOKS_MAX);
    return GG_ERR_LIMIT;
  }
  put(plugins, NULL, NULL, was);
  return 0;
}

static void keep_first(int *error, int more)
{
  if (!*error)
    *error = more;
}

int gg__plugins_open(struct gg_configured *configured, const struct gg_configured *before,
                     const struct gg_hook_desk *desk, struct gg_config_errors *errors)
{
  const struct gg_config *config = &configured->config;
  int error = 0;
  assert(config->plugin_count <= GG_HOOKS_MAX);
  for (size_t i = 0; i < config->plugin_count; i++)
    keep_first(&error, open_one(configured, &config->plugins[i], before ? &before->plugins : NULL, desk, errors));
  for (size_t i = 0; before && i < before->plugins.count; i++)
    if (!before->plugins.entries[i].config)
      keep_first(&error, keep_added(&configured->plugins, &before->plugins.entries[i], errors));
  return error;
}

/* ── Instances ───────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__plugins_create(struct gg_configured *configured, struct gg_hook_desk *desk, struct gg_failure *failure)
{
  int error = 0;
  for (size_t i = 0; i < configured->plugins.count && !error; i++) {
    struct gg_plugin_entry *entry = &configured->plugins.entries[i];
    struct gg_failure why = GG_FAILURE_INIT;
    if (entry->hook)
      continue;
    struct gg_loaded *loaded = entry->loaded;
    error = judge_mask(&loaded->table, &configured->config, &why); /* a reload keeps the `sync` of the start */
    if (!error)
      error = gg_hook_create(&entry->hook, desk, &loaded->table, gg_hook_values_config(loaded->values), loaded,
                             gg__loaded_free, &why);
    if (error)
      gg_fail(failure, error, "%s%s%.400s", entry->config ? entry->config->place : "", entry->config ? ": " : "",
              why.message);
    else
      entry->hook->best_effort = loaded->best_effort;
  }
  return error;
}

int gg__plugins_chain(struct gg_configured *configured, struct gg_hook_desk *desk, struct gg_failure *failure)
{
  const struct gg_plugins *plugins = &configured->plugins;
  configured->options.hooks = desk;
  for (size_t i = 0; i < configured->config.listener_count; i++) {
    struct gg_hook *hooks[GG_HOOKS_MAX];
    size_t count = 0;
    for (size_t j = 0; j < plugins->count; j++)
      if (gg__plugins_sees(&plugins->entries[j], &configured->config.listeners[i]))
        hooks[count++] = plugins->entries[j].hook;
    configured->listeners[i].hooks = count > 0 ? gg_hook_chain_create(hooks, count) : NULL;
    if (count > 0 && !configured->listeners[i].hooks)
      return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the plug-ins");
  }
  return 0;
}

int gg__plugins_start(const struct gg_configured *configured, struct gg_failure *failure)
{
  int error = 0;
  for (size_t i = 0; i < configured->plugins.count && !error; i++)
    error = gg_hook_start(configured->plugins.entries[i].hook, failure);
  return error;
}

void gg__plugins_sinks(const struct gg_configured *configured, struct gg_recorder *recorder)
{
  struct gg_recorder_sink *sinks[GG_HOOKS_MAX];
  size_t count = 0;
  for (size_t i = 0; i < configured->plugins.count; i++) {
    sinks[count] = gg_hook_sink(configured->plugins.entries[i].hook);
    count += sinks[count] != NULL;
  }
  gg_recorder_sinks(recorder, sinks, count);
}

void gg__plugins_decoders(const struct gg_configured *configured, struct gg_indexing *indexing)
{
  struct gg_hook *hooks[GG_HOOKS_MAX];
  size_t count = 0;
  for (size_t i = 0; i < configured->plugins.count; i++)
    if (configured->plugins.entries[i].hook->plugin.decoder_count > 0)
      hooks[count++] = configured->plugins.entries[i].hook;
  gg__indexing_plugins(indexing, hooks, count);
}

static const char *shown(const char *text)
{
  return text ? text : "";
}

static void tell_new(const struct gg_hook *hook, const struct gg_plugin_entry *was, struct gg_logger *logger,
                     struct gg_report *report)
{
  const char *path = gg__plugins_path(hook), *version = hook->plugin.version;
  gg_info(logger, "plug-in loaded", GG_S("plugin", hook->name), GG_S("version", version), GG_S("path", path),
          GG_B("again", was != NULL));
  if (report)
    gg__report_add(report, GG_REPORT_CHANGED, "plug-in %s: %s%s%.60s from %.300s", hook->name,
                   was ? "loaded again" : "loaded", version ? ", version " : "", shown(version), shown(path));
}

void gg__plugins_tell(const struct gg_configured *now, const struct gg_configured *before, struct gg_logger *logger,
                      struct gg_report *report)
{
  for (size_t i = 0; i < now->plugins.count; i++) {
    const struct gg_hook *hook = now->plugins.entries[i].hook;
    const struct gg_plugin_entry *was = before ? gg__plugins_find(&before->plugins, hook->name) : NULL;
    if (!was || was->hook != hook)
      tell_new(hook, was, logger, report);
  }
  for (size_t i = 0; report && before && i < before->plugins.count; i++) {
    const struct gg_hook *hook = before->plugins.entries[i].hook;
    if (!gg__plugins_find(&now->plugins, hook->name))
      gg__report_add(report, GG_REPORT_CHANGED, "plug-in %s: unloaded when the last session that it sees has ended",
                     hook->name);
  }
}

void gg__plugins_release(struct gg_configured *configured)
{
  for (size_t i = 0; configured->listeners && i < configured->config.listener_count; i++) {
    gg_hook_chain_unref(configured->listeners[i].hooks);
    configured->listeners[i].hooks = NULL;
  }
  for (size_t i = 0; i < configured->plugins.count; i++) {
    struct gg_plugin_entry *entry = &configured->plugins.entries[i];
    if (entry->hook)
      gg_hook_unref(entry->hook);
    else
      gg__loaded_free(entry->loaded);
  }
  configured->plugins.count = 0;
}
