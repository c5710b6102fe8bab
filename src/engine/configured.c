/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/configured.h"

#include "base/clock.h"
#include "store/tag_rules.h"

#include <stdlib.h>
#include <string.h>

int gg__arguments_copy(struct gg_arguments *out, const char *const *items, size_t count)
{
  *out = (struct gg_arguments){.items = calloc(count + 1, sizeof *out->items)};
  if (!out->items)
    return GG_ERR_NOMEM;
  for (; out->count < count; out->count++) {
    out->items[out->count] = strdup(items[out->count]);
    if (!out->items[out->count]) {
      gg__arguments_free(out);
      return GG_ERR_NOMEM;
    }
  }
  return 0;
}

void gg__arguments_free(struct gg_arguments *arguments)
{
  for (size_t i = 0; i < arguments->count; i++)
    free(arguments->items[i]);
  free(arguments->items);
  *arguments = (struct gg_arguments){0};
}

/* What was judged word by word is refused here only without memory. */
static int compile_tags(struct gg_configured *configured, struct gg_failure *failure)
{
  const struct gg_config *config = &configured->config;
  struct gg__tag_rule rules[GG_TAG_RULES_MAX];
  bool runs = config->action == GG_CONFIG_RUN || config->action == GG_CONFIG_CHECK;
  for (size_t i = 0; i < config->tag_count; i++)
    rules[i] = (struct gg__tag_rule){config->tags[i].tag, config->tags[i].filter};
  if (config->tag_count == 0 || !runs)
    return 0;
  return gg__tag_rules_create(&configured->tag_rules, rules, config->tag_count, failure);
}

int gg__configured_load(struct gg_configured **out, const struct gg_arguments *arguments, int silence_ms,
                        struct gg_config_errors *errors, struct gg_failure *failure)
{
  struct gg_configured *configured = calloc(1, sizeof *configured);
  *out = NULL;
  errors->count = errors->left_out = 0;
  if (!configured)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the configuration");
  int error = gg_config_load(&configured->config, (int)arguments->count, arguments->items, silence_ms, errors);
  if (error) {
    free(configured);
    return gg_fail(failure, error, "%s", errors->count > 0 ? errors->items[0].text : gg_error_text(error));
  }
  error = compile_tags(configured, failure);
  if (error) {
    gg__configured_destroy(configured);
    return error;
  }
  *out = configured;
  return 0;
}

int gg__configured_plugins(struct gg_configured *configured, const struct gg_configured *before,
                           const struct gg_hook_desk *desk, struct gg_config_errors *errors, struct gg_failure *failure)
{
  enum gg_config_action action = configured->config.action;
  if (action != GG_CONFIG_RUN && action != GG_CONFIG_CHECK)
    return 0;
  int error = gg__plugins_open(configured, before, desk, errors);
  return error ? gg_fail(failure, error, "%s", errors->count > 0 ? errors->items[0].text : gg_error_text(error)) : 0;
}

void gg__configured_release(struct gg_configured *configured)
{
  if (!configured)
    return;
  for (size_t i = 0; i < configured->name_count; i++)
    gg_resolver_remove(configured->resolver, configured->names[i]);
  gg__plugins_release(configured);
  free(configured->names);
  free(configured->listeners);
  free(configured->upstreams);
  configured->names = NULL;
  configured->name_count = 0;
  configured->listeners = NULL;
  configured->upstreams = NULL;
  configured->resolver = NULL;
}

void gg__configured_destroy(struct gg_configured *configured)
{
  if (!configured)
    return;
  gg__configured_release(configured);
  gg__tag_rules_unref(configured->tag_rules);
  gg_config_fini(&configured->config);
  free(configured);
}
