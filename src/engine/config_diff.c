/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config_diff.h"

#include "engine/config_table.h"

#include <stdlib.h>
#include <string.h>

bool gg__config_same_listener(const struct gg_config_listener *a, const struct gg_config_listener *b)
{
  const struct gg_endpoint *x = &a->listen_endpoint, *y = &b->listen_endpoint;
  if (x->family != y->family || x->port != y->port)
    return false;
  if (x->family == GG_FAMILY_UNIX)
    return strcmp(x->path, y->path) == 0;
  bool same = x->family == GG_FAMILY_NONE ? strcmp(x->host, y->host) == 0 : gg_addr_equal(&x->addr, &y->addr);
  return same && (x->port != 0 || strcmp(a->name, b->name) == 0);
}

static const struct gg_config_listener *find(const struct gg_config *config, const struct gg_config_listener *wanted)
{
  for (size_t i = 0; i < config->listener_count; i++)
    if (gg__config_same_listener(&config->listeners[i], wanted))
      return &config->listeners[i];
  return NULL;
}

static const char *shown(const char *value)
{
  return value[0] ? value : "not set";
}

static void tell_option(void *context, const struct gg_option *option, const char *from, const char *to)
{
  gg__report_add(context, option->restart ? GG_REPORT_RESTART : GG_REPORT_CHANGED, "%s: %.160s -> %.160s%s",
                 option->key, shown(from), shown(to), option->restart ? " needs a restart" : "");
}

/* To record is what this gateway is for: that somewhere it does not (any more) is more than a change. */
static void warn_of_record(const struct gg_config_listener *before, const struct gg_config_listener *now,
                           struct gg_report *report)
{
  if (now->record == GG_CONFIG_RECORD_OFF && (!before || before->record != GG_CONFIG_RECORD_OFF))
    gg__report_add(report, GG_REPORT_WARNING, "listener %.64s: new sessions are not recorded", now->name);
}

/* What differs in an item that stays. What a plug-in is told may be a secret: only that it changed is told. */
static int diff_item(enum gg__config_list which, const char *name, const void *from, const void *to,
                     struct gg_report *report)
{
  const struct gg_option_list *list = gg__config_list(which);
  int error = 0;
  for (size_t i = 0; i < list->option_count && !error; i++) {
    const struct gg_option *option = &list->options[i];
    char *before = gg_schema_value(option, from), *after = gg_schema_value(option, to);
    if (!before || !after)
      error = GG_ERR_NOMEM;
    else if (strcmp(before, after) != 0 && option->type == GG_OPTION_TREE)
      gg__report_add(report, GG_REPORT_CHANGED, "%s %.160s: its %s changed", list->item, name, option->key);
    else if (strcmp(before, after) != 0)
      gg__report_add(report, GG_REPORT_CHANGED, "%s %.160s: %s: %.160s -> %.160s", list->item, name, option->key,
                     shown(before), shown(after));
    free(before);
    free(after);
  }
  return error;
}

static int diff_listeners(const struct gg_config *from, const struct gg_config *to, struct gg_report *report)
{
  int error = 0;
  for (size_t i = 0; i < from->listener_count; i++)
    if (!find(to, &from->listeners[i]))
      gg__report_add(report, GG_REPORT_CHANGED, "listener %.64s: removed, was at %.200s", from->listeners[i].name,
                     from->listeners[i].listen);
  for (size_t i = 0; i < to->listener_count && !error; i++) {
    const struct gg_config_listener *now = &to->listeners[i], *before = find(from, now);
    if (before) /* a name that nobody gave is made from `listen` */
      error = diff_item(GG__CONFIG_LISTENERS, now->name, before, now, report);
    else
      gg__report_add(report, GG_REPORT_CHANGED, "listener %.64s: added at %.160s, upstream %.160s", now->name,
                     now->listen, now->upstream_text);
    warn_of_record(before, now, report);
  }
  return error;
}

/* Which entry each of the new ones was before, `from->plugin_count` if none. An entry has no name: one that asks for
 * the same is the same, wherever it stands; of the others the first that has its path. */
static int match_plugins(const struct gg_config *from, const struct gg_config *to, size_t *matches, bool *taken)
{
  for (size_t i = 0; i < to->plugin_count; i++)
    matches[i] = from->plugin_count;
  for (int exact = 1; exact >= 0; exact--)
    for (size_t i = 0; i < to->plugin_count; i++)
      for (size_t j = 0; j < from->plugin_count && matches[i] == from->plugin_count; j++) {
        const struct gg_config_plugin *now = &to->plugins[i], *before = &from->plugins[j];
        int same = taken[j] ? 0
                   : exact  ? gg_config_plugin_equal(before, now)
                            : strcmp(gg_config_plugin_text(before), gg_config_plugin_text(now)) == 0;
        if (same < 0)
          return same;
        if (same) {
          matches[i] = j;
          taken[j] = true;
        }
      }
  return 0;
}

static int diff_plugins(const struct gg_config *from, const struct gg_config *to, struct gg_report *report)
{
  size_t matches[GG_CONFIG_PLUGINS_MAX], last = 0;
  bool taken[GG_CONFIG_PLUGINS_MAX] = {false}, ordered = true;
  int error = match_plugins(from, to, matches, taken);
  for (size_t j = 0; j < from->plugin_count && !error; j++)
    if (!taken[j])
      gg__report_add(report, GG_REPORT_CHANGED, "plug-in %.160s: removed", gg_config_plugin_text(&from->plugins[j]));
  for (size_t i = 0; i < to->plugin_count && !error; i++) {
    const struct gg_config_plugin *now = &to->plugins[i];
    if (matches[i] == from->plugin_count) {
      gg__report_add(report, GG_REPORT_CHANGED, "plug-in %.160s: added", gg_config_plugin_text(now));
      continue;
    }
    error = diff_item(GG__CONFIG_PLUGINS, gg_config_plugin_text(now), &from->plugins[matches[i]], now, report);
    ordered = ordered && matches[i] >= last;
    last = matches[i];
  }
  if (!ordered)
    gg__report_add(report, GG_REPORT_CHANGED, "plug-ins: their order changed");
  return error;
}

/* Rules have no names: whether they are the same, in whatever order, is all that there is to tell. */
static void diff_tags(const struct gg_config *from, const struct gg_config *to, struct gg_report *report)
{
  const struct gg_option_list *list = gg__config_list(GG__CONFIG_TAGS);
  size_t same = 0;
  for (size_t i = 0; i < to->tag_count; i++)
    for (size_t j = 0; j < from->tag_count; j++)
      if (strcmp(to->tags[i].tag, from->tags[j].tag) == 0 && strcmp(to->tags[i].filter, from->tags[j].filter) == 0) {
        same++;
        break;
      }
  if (same < to->tag_count || from->tag_count != to->tag_count)
    gg__report_add(report, GG_REPORT_CHANGED, "%s: %zu rules -> %zu rules", list->key, from->tag_count, to->tag_count);
}

int gg__config_diff(const struct gg_config *from, const struct gg_config *to, struct gg_report *report)
{
  int error = gg_schema_compare(&gg__config_schema, from, to, tell_option, report);
  if (!error)
    error = diff_listeners(from, to, report);
  if (!error)
    diff_tags(from, to, report);
  return error ? error : diff_plugins(from, to, report);
}
