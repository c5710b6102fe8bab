/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_judge.c - what concerns options of several places, judged when all sources were read.
 *
 * It runs whether or not something was wrong before, so that one run tells everything. An option that was refused has
 * no meaning here: whatever rests on it is passed over, and told when the option is right. After a file that could not
 * be read to its end nothing is judged: what is missing may stand in the rest of it.
 */
#include "engine/config_judge.h"

#include "base/clock.h"
#include "base/text.h"
#include "engine/config_table.h"
#include "gateway/pending.h"
#include "gateway/plane.h"
#include "store/retention_plan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT_AGE_MIN_NS = 100000000, SIZE_TEXT_MAX = 32, PLACE_TEXT_MAX = 300 };

struct judge {
  const struct gg_config *config;
  struct gg_schema_places *places;
  struct gg_config_errors *errors;
  int rc;
};

/* Tells an error at a place, as "place: message", or without the place of what was given nowhere. */
static void blame(struct judge *judge, const struct gg_place *place, const char *format, ...) GG_PRINTF(3, 4);
static void blame(struct judge *judge, const struct gg_place *place, const char *format, ...)
{
  char message[512], where[PLACE_TEXT_MAX];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  gg_place_text(place, where, sizeof where);
  gg_config_error_add(judge->errors, "%s%s%s", where, where[0] ? ": " : "", message);
  judge->rc = GG_ERR_FORMAT;
}

static bool is_right(const struct judge *judge, const char *key)
{
  return !gg_schema_place(judge->places, key)->wrong;
}

/* The place of the first of two options that was given: the other one has its default. */
static const struct gg_place *given_of(const struct judge *judge, const char *key, const char *other)
{
  const struct gg_place *place = gg_schema_place(judge->places, key);
  return gg_place_is_given(place) ? place : gg_schema_place(judge->places, other);
}

static const struct gg_place *listener_place(const struct judge *judge, size_t index, const char *key)
{
  return gg_schema_item_place(judge->places, gg__config_list(GG__CONFIG_LISTENERS), index, key);
}

/* ── The gateway's own options ───────────────────────────────────────────────────────────────────────────────────── */

/* How many logs there will be; 0 if the options that say so are not right. */
static unsigned count_logs(struct judge *judge)
{
  const struct gg_config *config = judge->config;
  unsigned logs = 0;
  if (config->listener_count == 0 || !is_right(judge, "workers"))
    return 0;
  for (size_t i = 0; i < config->listener_count; i++)
    if (listener_place(judge, i, "record")->wrong || listener_place(judge, i, "on_stall")->wrong ||
        listener_place(judge, i, "on_full")->wrong)
      return 0;
  struct gg_listener_options *listeners = calloc(config->listener_count, sizeof *listeners);
  if (!listeners) {
    judge->rc = GG_ERR_NOMEM;
    return 0;
  }
  for (size_t i = 0; i < config->listener_count; i++) {
    listeners[i].record = (enum gg_record)config->listeners[i].record;
    listeners[i].on_stall = (enum gg_policy)config->listeners[i].on_stall;
    listeners[i].on_full = (enum gg_policy)config->listeners[i].on_full;
  }
  const struct gg_plane_options options = {
    .workers = gg_config_workers(config), .listeners = listeners, .listener_count = config->listener_count};
  logs = gg_plane_logs(&options);
  free(listeners);
  return logs;
}

static void judge_log(struct judge *judge)
{
  const struct gg_config *config = judge->config;
  char least[SIZE_TEXT_MAX];
  if (!is_right(judge, "log.max"))
    return;
  if (is_right(judge, "log.ring") && config->log.ring_bytes > config->log.max_bytes)
    blame(judge, given_of(judge, "log.ring", "log.max"),
          "log.ring is larger than log.max, which is the limit of all rings together");
  uint64_t logs = count_logs(judge);
  if (config->log.max_bytes >= logs * GG_RING_BYTES_MIN)
    return;
  gg_text_format_bytes(logs * GG_RING_BYTES_MIN, least, sizeof least);
  blame(judge, given_of(judge, "log.max", "workers"),
        "log.max is too small for %u rings of 256KiB, one for each of %u workers and each way to stall: at least %s "
        "is needed",
        (unsigned)logs, gg_config_workers(config), least);
}

/* Each worker takes whole arenas, one for each size of buffer: with less, a size might never be had. */
static void judge_pending(struct judge *judge)
{
  const struct gg_config *config = judge->config;
  char least[SIZE_TEXT_MAX], each[SIZE_TEXT_MAX];
  if (!is_right(judge, "relay.pending_total") || !is_right(judge, "workers"))
    return;
  uint64_t each_bytes = (uint64_t)GG_PENDING_CLASSES * GG_PENDING_ARENA_BYTES;
  uint64_t least_bytes = gg_config_workers(config) * each_bytes;
  if (config->relay.pending_total >= least_bytes)
    return;
  gg_text_format_bytes(least_bytes, least, sizeof least);
  gg_text_format_bytes(each_bytes, each, sizeof each);
  blame(judge, given_of(judge, "relay.pending_total", "workers"),
        "relay.pending_total is too small for %u workers, each of which takes %s at the least: at least %s is needed",
        gg_config_workers(config), each, least);
}

static void judge_segment(struct judge *judge)
{
  uint64_t age_ns = judge->config->segment.max_age_ns;
  if (is_right(judge, "segment.max_age") && age_ns != 0 && age_ns < SEGMENT_AGE_MIN_NS)
    blame(judge, gg_schema_place(judge->places, "segment.max_age"),
          "segment.max_age is below 100ms; 0 means by size only");
}

/* What a rule says is read by the store's own reader; here only whether it can be. */
static void judge_retention(struct judge *judge)
{
  const struct gg_strings *rules = &judge->config->retention.rules;
  struct gg__retention_limits limits = {0};
  struct gg_failure failure = GG_FAILURE_INIT;
  if (!is_right(judge, "retention.rules"))
    return;
  int error = gg__retention_rules_parse(&limits, (const char *const *)rules->items, rules->count, 0, &failure);
  gg__retention_rules_free(&limits);
  if (error == GG_ERR_NOMEM)
    judge->rc = error;
  else if (error)
    blame(judge, gg_schema_place(judge->places, "retention.rules"), "%s", failure.message);
}

static void judge_tags(struct judge *judge)
{
  if (judge->config->tag_count > 0 && judge->config->catalogue == GG_CONFIG_OFF && is_right(judge, "catalogue"))
    blame(judge, gg_schema_item_place(judge->places, gg__config_list(GG__CONFIG_TAGS), 0, "tag"),
          "rules for tags have no effect with catalogue: off");
}

static void judge_stats(struct judge *judge)
{
  const struct gg_config *config = judge->config;
  if (!is_right(judge, "stats.file") || !is_right(judge, "stats.metrics_file"))
    return;
  if (config->stats.file && config->stats.metrics_file && strcmp(config->stats.file, config->stats.metrics_file) == 0)
    blame(judge, gg_schema_place(judge->places, "stats.metrics_file"),
          "stats.file and stats.metrics_file are the same file");
}

static void judge_user(struct judge *judge)
{
  const struct gg_config *config = judge->config;
  if (config->group && !config->user && is_right(judge, "user") && is_right(judge, "group"))
    blame(judge, gg_schema_place(judge->places, "group"), "group has no effect without user");
}

/* ── The listeners ───────────────────────────────────────────────────────────────────────────────────────────────── */

static bool same_place(const struct gg_endpoint *a, const struct gg_endpoint *b)
{
  if (a->family != b->family || a->port != b->port)
    return false;
  if (a->family == GG_FAMILY_UNIX)
    return strcmp(a->path, b->path) == 0;
  if (a->port == 0)
    return false; /* each gets a port of its own */
  return a->family == GG_FAMILY_NONE ? strcmp(a->host, b->host) == 0 : gg_addr_equal(&a->addr, &b->addr);
}

static bool listen_clashes(const struct gg_config_listener *a, const struct gg_config_listener *b)
{
  return a->listen && b->listen && same_place(&a->listen_endpoint, &b->listen_endpoint);
}

static bool name_clashes(const struct gg_config_listener *a, const struct gg_config_listener *b)
{
  return a->name && b->name && strcmp(a->name, b->name) == 0;
}

/* Whether the option of two listeners is right, and clashes. */
static bool clash(const struct judge *judge, size_t first, size_t second, const char *key,
                  bool (*clashes)(const struct gg_config_listener *, const struct gg_config_listener *))
{
  return !listener_place(judge, first, key)->wrong && !listener_place(judge, second, key)->wrong &&
         clashes(&judge->config->listeners[first], &judge->config->listeners[second]);
}

/* One listener against those before it: the first clash of each kind is told. */
static void judge_listener(struct judge *judge, size_t index)
{
  const struct gg_config_listener *listener = &judge->config->listeners[index];
  size_t other = 0;
  while (other < index && !clash(judge, other, index, "listen", listen_clashes))
    other++;
  if (other < index)
    blame(judge, listener_place(judge, index, "listen"), "two listeners listen on %s", listener->listen);
  for (other = 0; other < index && !clash(judge, other, index, "name", name_clashes);)
    other++;
  if (other < index)
    blame(judge, listener_place(judge, index, "name"), "two listeners are called '%s'", listener->name);
}

/* ── The plug-ins ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether it is known what all listeners are called. */
static bool names_are_known(const struct judge *judge)
{
  for (size_t i = 0; i < judge->config->listener_count; i++)
    if (listener_place(judge, i, "listen")->wrong || listener_place(judge, i, "name")->wrong ||
        !judge->config->listeners[i].name)
      return false;
  return !judge->places->unclear;
}

static void judge_plugin(struct judge *judge, size_t index)
{
  const struct gg_config_plugin *plugin = &judge->config->plugins[index];
  const struct gg_place *place =
    gg_schema_item_place(judge->places, gg__config_list(GG__CONFIG_PLUGINS), index, "listeners");
  const char *names[GG_CONFIG_LISTENERS_MAX];
  size_t count = judge->config->listener_count;
  for (size_t i = 0; i < count; i++)
    names[i] = judge->config->listeners[i].name;
  for (size_t i = 0; i < plugin->listeners.count && !place->wrong; i++) {
    const char *name = plugin->listeners.items[i];
    size_t at = 0;
    while (at < count && strcmp(names[at], name) != 0)
      at++;
    size_t near = at == count ? gg_text_nearest(name, names, count) : count;
    if (near < count)
      blame(judge, place, "there is no listener '%.80s'; did you mean '%.80s'?", name, names[near]);
    else if (at == count)
      blame(judge, place, "there is no listener '%.80s'", name);
  }
}

int gg__config_judge(const struct gg_config *config, struct gg_schema_places *places, struct gg_config_errors *errors)
{
  struct judge judge = {config, places, errors, 0};
  if (places->unread)
    return 0;
  if (config->listener_count == 0 && config->action != GG_CONFIG_PRINT && !places->unclear) {
    gg_config_error_add(errors, "there is no listener: give --listen ADDR --upstream ADDR, or 'listeners:' in a file");
    judge.rc = GG_ERR_FORMAT;
  }
  judge_log(&judge);
  judge_pending(&judge);
  judge_segment(&judge);
  judge_retention(&judge);
  judge_stats(&judge);
  judge_user(&judge);
  judge_tags(&judge);
  for (size_t i = 0; i < config->listener_count; i++)
    judge_listener(&judge, i);
  for (size_t i = 0; i < config->plugin_count && names_are_known(&judge); i++)
    judge_plugin(&judge, i);
  return judge.rc;
}
