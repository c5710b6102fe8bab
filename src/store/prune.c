/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c - the public side of retention: once over a store. */
#include "base/clock.h"
#include "base/json.h"
#include "base/sized.h"
#include "base/text.h"
#include "store/bounds.h"
#include "store/indexer.h"
#include "store/retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BUSY_STEP_MS = 20, PATH_BYTES_MAX = 4096 };

const char *gg_prune_why_text(enum gg_prune_why why)
{
  static const char *const texts[] = {"stays", "age", "bytes", "free", "rule"};
  return (unsigned)why < sizeof texts / sizeof texts[0] ? texts[why] : "unknown";
}

const char *gg_prune_fate_text(enum gg_prune_fate fate)
{
  static const char *const texts[] = {"gone", "kept", "held", "read", "no-room", "damaged", "failed"};
  return (unsigned)fate < sizeof texts / sizeof texts[0] ? texts[fate] : "unknown";
}

size_t gg_pruned_json(const struct gg_pruned *pruned, char *text, size_t size)
{
  struct gg_json json;
  char last[GG_CLOCK_TEXT_MAX];
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "segment", pruned->segment);
  gg_json_field_string(&json, "why", gg_prune_why_text(pruned->why));
  gg_json_field_string(&json, "fate", gg_prune_fate_text(pruned->fate));
  gg_json_field_unsigned(&json, "bytes", pruned->bytes);
  gg_clock_format(pruned->last_ns, 9, last, sizeof last);
  gg_json_field_string(&json, "last", last);
  gg_json_field_unsigned(&json, "kept_sessions", pruned->kept_sessions);
  gg_json_field_unsigned(&json, "kept_bytes", pruned->kept_bytes);
  gg_json_field_string(&json, "text", pruned->text[0] ? pruned->text : NULL);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}

int gg_prune_option_set(struct gg_prune_options *options, const char *name, const char *value,
                        struct gg_failure *failure)
{
  uint64_t *const sizes[] = {&options->max_bytes, &options->min_free};
  static const char *const names[] = {"max_bytes", "min_free"};
  for (size_t i = 0; i < 2; i++) {
    if (strcmp(name, names[i]) != 0)
      continue;
    int error = gg_text_parse_bytes(sizes[i], value);
    return error ? gg_fail(failure, error == GG_ERR_RANGE ? error : GG_ERR_INVALID,
                           "'%s' is no size; 500MiB, 100GiB and 2TB are", value)
                 : 0;
  }
  if (strcmp(name, "max_age") != 0)
    return gg_fail(failure, GG_ERR_NOT_FOUND, "there is no limit %s", name);
  int error = gg_text_parse_duration(&options->max_age_ns, value);
  return error ? gg_fail(failure, error == GG_ERR_RANGE ? error : GG_ERR_INVALID,
                         "'%s' is no time; 12h, 30d and 4w are", value)
               : 0;
}

/* Somebody else's pass is waited for. */
static int step(struct gg__retention *retention, const struct gg__retention_limits *limits, bool dry,
                struct gg_prune_result *result, struct gg_failure *failure)
{
  const struct timespec pause = {.tv_nsec = (long)(BUSY_STEP_MS * GG_NS_PER_MS)};
  uint64_t until_ns = gg_clock_mono_ns() + GG_PRUNE_BUSY_NS;
  for (;;) {
    struct gg_failure why = GG_FAILURE_INIT;
    int error = gg__retention_step(retention, limits, dry, result, &why);
    if (error != GG_ERR_BUSY || gg_clock_mono_ns() >= until_ns)
      return error ? gg_fail(failure, error, "%s", why.message) : 0;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
  }
}

/* What has gone leaves the catalogue, too, or every command would find out segment by segment. A gateway that keeps it
 * hears of it by itself; where there is none, none is made; where it cannot be written, what has gone has gone. */
static void tell_catalogue(const char *store, const struct gg_prune_options *options)
{
  char path[PATH_BYTES_MAX];
  struct gg_failure ignored = GG_FAILURE_INIT;
  const struct gg__indexer_options indexing = {
    .store = store, .progress = options->progress, .context = options->context, .forgets = true};
  if ((size_t)snprintf(path, sizeof path, "%s/catalogue.db", store) < sizeof path && access(path, F_OK) == 0)
    gg__indexer_catch_up(&indexing, &ignored);
}

int gg_store_prune(const char *path, const struct gg_prune_options *given, struct gg_prune_result *result,
                   struct gg_failure *failure)
{
  struct gg_prune_options options = GG_PRUNE_OPTIONS_INIT;
  struct gg__retention *retention = NULL;
  struct gg_prune_result ignored;
  result = result ? result : &ignored;
  *result = (struct gg_prune_result){0};
  int error = gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_prune_options, ignore_damaged_marks),
                            given, "gg_prune_options", failure);
  if (error)
    return error;
  if (!options.max_bytes && !options.max_age_ns && !options.min_free && options.rule_count == 0)
    return gg_fail(failure, GG_ERR_INVALID, "there is no limit: nothing would go");
  struct gg__retention_limits limits = {
    .max_bytes = options.max_bytes,
    .max_age_ns = options.max_age_ns,
    .min_free = options.min_free,
    .ignore_damaged_marks = options.ignore_damaged_marks,
  };
  error = gg__retention_rules_parse(&limits, options.rules, options.rule_count, gg_clock_real_ns(), failure);
  if (error)
    return error;
  const struct gg__retention_ops ops = {
    .segment = options.segment, .progress = options.progress, .context = options.context};
  error = gg__retention_open(&retention, path, &ops, failure);
  if (!error)
    error = step(retention, &limits, options.dry_run, result, failure);
  gg__retention_close(retention);
  gg__retention_rules_free(&limits);
  if (!options.dry_run && result->segments + result->mended > 0)
    tell_catalogue(path, &options);
  return error;
}
