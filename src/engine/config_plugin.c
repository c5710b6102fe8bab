/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config_plugin.h"

#include "base/schema.h"
#include "base/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE_TEXT_MAX = 300 };
#define LUA_LIBRARY "lua.so"
#define LUA_OPTION "script"

/* Of the root; NULL: there is none. */
static const struct gg_tree_node *find(const struct gg_tree *tree, const char *key)
{
  for (size_t i = 1; tree && i < gg_tree_count(tree); i = gg_tree_node(tree, i)->end) {
    const struct gg_tree_node *node = gg_tree_node(tree, i);
    if (node->key && strcmp(node->key, key) == 0)
      return node;
  }
  return NULL;
}

int gg__config_sink_check(const char *text, struct gg_failure *failure)
{
  if (strcmp(text, GG__SINK_REQUIRED) == 0 || strcmp(text, GG__SINK_BEST_EFFORT) == 0)
    return 0;
  return gg_fail(failure, GG_ERR_INVALID, "'%.40s' is not one of " GG__SINK_REQUIRED ", " GG__SINK_BEST_EFFORT, text);
}

int gg__config_plugin_check(const void *item, struct gg_failure *failure)
{
  const struct gg_config_plugin *plugin = item;
  if (!plugin->path && !plugin->lua)
    return gg_fail(failure, GG_ERR_INVALID, "it needs 'path', a shared library, or 'lua', a script");
  if (plugin->path && plugin->lua)
    return gg_fail(failure, GG_ERR_INVALID, "it has 'path' and 'lua'; one of them says what it is");
  if (plugin->lua && find(plugin->config, LUA_OPTION))
    return gg_fail(failure, GG_ERR_INVALID, "'lua' and 'config." LUA_OPTION "' say the same");
  return 0;
}

/* The script, and what else there is, as if it had been written so. */
static int add_all(struct gg_tree *to, const struct gg_tree *from, const char *script, struct gg_mark mark)
{
  const struct gg_tree_node root = {.kind = GG_TREE_MAP, .key_mark = mark, .mark = mark};
  const struct gg_tree_node node = {
    .kind = GG_TREE_SCALAR, .key = LUA_OPTION, .text = script, .key_mark = mark, .mark = mark};
  size_t ends[GG_TREE_DEPTH_MAX + 1], depth = 0;
  int error = gg_tree_add(to, from ? gg_tree_node(from, 0) : &root);
  if (!error)
    error = gg_tree_add(to, &node);
  for (size_t i = 1; from && i < gg_tree_count(from) && !error; i++) {
    for (; depth > 0 && ends[depth - 1] == i; depth--)
      gg_tree_end(to);
    const struct gg_tree_node *next = gg_tree_node(from, i);
    error = gg_tree_add(to, next);
    if (!error && next->kind != GG_TREE_SCALAR)
      ends[depth++] = next->end;
  }
  for (; depth > 0 && !error; depth--)
    gg_tree_end(to);
  if (!error)
    gg_tree_end(to);
  return error;
}

static int make_options(struct gg_config_plugin *plugin, const struct gg_place *place)
{
  const char *file = plugin->config ? gg_tree_file(plugin->config) : place->file ? place->file : "";
  const struct gg_mark mark = {place->line, place->column};
  plugin->made = gg_tree_create(file);
  return plugin->made ? add_all(plugin->made, plugin->config, plugin->lua, mark) : GG_ERR_NOMEM;
}

int gg__config_plugin_derive(struct gg_config_plugin *plugin, const char *dir, const struct gg_place *place,
                             const struct gg_place *sink_place)
{
  char text[PLACE_TEXT_MAX];
  int error = 0;
  gg_place_text(sink_place, text, sizeof text);
  plugin->sink_place = plugin->sink ? strdup(text) : NULL;
  if (plugin->sink && !plugin->sink_place)
    return GG_ERR_NOMEM;
  gg_place_text(place, text, sizeof text);
  plugin->place = strdup(text);
  plugin->options = plugin->config;
  if (!plugin->lua || plugin->path) {
    plugin->object = plugin->path ? strdup(plugin->path) : NULL;
    return plugin->place && (plugin->object || !plugin->path) ? 0 : GG_ERR_NOMEM;
  }
  if (asprintf(&plugin->object, "%s/" LUA_LIBRARY, dir ? dir : GG_PLUGIN_DIR) < 0) {
    plugin->object = NULL;
    return GG_ERR_NOMEM;
  }
  bool fits = !plugin->config || gg_tree_node(plugin->config, 0)->kind == GG_TREE_MAP;
  if (fits && !find(plugin->config, LUA_OPTION)) /* of another kind it is refused with its place, when it is read */
    error = make_options(plugin, place);
  if (plugin->made)
    plugin->options = plugin->made;
  return plugin->place ? error : GG_ERR_NOMEM;
}

void gg__config_plugin_fini(struct gg_config_plugin *plugin)
{
  free(plugin->place);
  free(plugin->sink_place);
  free(plugin->object);
  gg_tree_destroy(plugin->made);
  plugin->place = plugin->sink_place = plugin->object = NULL;
  plugin->options = plugin->made = NULL;
}
