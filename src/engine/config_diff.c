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

/* What differs in a listener that stays. A name that nobody gave is made from `listen`. */
static int diff_listener(const struct gg_config_listener *from, const struct gg_config_listener *to,
                         struct gg_report *report)
{
  const struct gg_option_list *list = &gg__config_schema.lists[0];
  int error = 0;
  for (size_t i = 0; i < list->option_count && !error; i++) {
    char *before = gg_schema_value(&list->options[i], from), *after = gg_schema_value(&list->options[i], to);
    if (!before || !after)
      error = GG_ERR_NOMEM;
    else if (strcmp(before, after) != 0)
      gg__report_add(report, GG_REPORT_CHANGED, "listener %.64s: %s: %.160s -> %.160s", to->name, list->options[i].key,
                     shown(before), shown(after));
    free(before);
    free(after);
  }
  return error;
}

int gg__config_diff(const struct gg_config *from, const struct gg_config *to, struct gg_report *report)
{
  int error = gg_schema_compare(&gg__config_schema, from, to, tell_option, report);
  for (size_t i = 0; i < from->listener_count && !error; i++)
    if (!find(to, &from->listeners[i]))
      gg__report_add(report, GG_REPORT_CHANGED, "listener %.64s: removed, was at %.200s", from->listeners[i].name,
                     from->listeners[i].listen);
  for (size_t i = 0; i < to->listener_count && !error; i++) {
    const struct gg_config_listener *now = &to->listeners[i], *before = find(from, now);
    if (before)
      error = diff_listener(before, now, report);
    else
      gg__report_add(report, GG_REPORT_CHANGED, "listener %.64s: added at %.160s, upstream %.160s", now->name,
                     now->listen, now->upstream_text);
    warn_of_record(before, now, report);
  }
  return error;
}
