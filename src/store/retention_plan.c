/* SPDX-License-Identifier: Apache-2.0 */
#include "store/retention_plan.h"

#include "base/text.h"
#include "store/bounds.h"

#include <stdlib.h>
#include <string.h>

/* ── Rules ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int parse_age(struct gg__retention_rule *rule, const char *text, const char *value, struct gg_failure *failure)
{
  if (gg_text_parse_duration(&rule->max_age_ns, value) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "rule '%s': max_age=%s is no time; 12h, 7d and 0 (never) are", text, value);
  return 0;
}

static int parse_rule(struct gg__retention_rule *rule, const char *text, uint64_t now_ns, struct gg_failure *failure)
{
  static const char age[] = "max_age=", blanks[] = " \t\n";
  const char *words[GG_FILTER_TERMS_MAX];
  struct gg_failure why = GG_FAILURE_INIT;
  size_t count = 0;
  unsigned ages = 0;
  int error = 0;
  char *copy = strdup(text), *rest = NULL;
  if (!copy)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a rule");
  for (char *word = strtok_r(copy, blanks, &rest); word && !error; word = strtok_r(NULL, blanks, &rest)) {
    if (strncmp(word, age, sizeof age - 1) == 0)
      error = ++ages == 1 ? parse_age(rule, text, word + sizeof age - 1, failure) : GG_ERR_INVALID;
    else if (count == GG_FILTER_TERMS_MAX)
      error = GG_ERR_LIMIT;
    else
      words[count++] = word;
  }
  if (!error && (ages == 0 || count == 0))
    error = GG_ERR_INVALID;
  if (!error) {
    error = gg_filter_parse(&rule->filter, words, count, now_ns, &why);
    error = error ? gg_fail(failure, error, "rule '%s': %s", text, why.message) : 0;
  }
  free(copy);
  return error ? gg_fail(failure, error,
                         "rule '%s': it needs words of a filter and one max_age=TIME: 'listener=ssh max_age=90d'", text)
               : 0;
}

int gg__retention_rules_parse(struct gg__retention_limits *limits, const char *const *texts, size_t count,
                              uint64_t now_ns, struct gg_failure *failure)
{
  limits->rules = NULL;
  limits->rule_count = 0;
  if (count > GG_RETENTION_RULES_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d rules", GG_RETENTION_RULES_MAX);
  if (count == 0)
    return 0;
  limits->rules = calloc(count, sizeof *limits->rules);
  if (!limits->rules)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the rules");
  int error = 0;
  for (; limits->rule_count < count && !error; limits->rule_count++)
    error = parse_rule(&limits->rules[limits->rule_count], texts[limits->rule_count], now_ns, failure);
  if (error)
    gg__retention_rules_free(limits);
  return error;
}

void gg__retention_rules_free(struct gg__retention_limits *limits)
{
  for (size_t i = 0; i < limits->rule_count; i++)
    gg_filter_destroy(limits->rules[i].filter);
  free(limits->rules);
  limits->rules = NULL;
  limits->rule_count = 0;
}

/* ── Ages ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t or_never(uint64_t age_ns)
{
  return age_ns ? age_ns : UINT64_MAX;
}

uint64_t gg__retention_age(const struct gg__retention_limits *limits, const struct gg_session *session)
{
  for (size_t i = 0; i < limits->rule_count; i++)
    if (gg_filter_match(limits->rules[i].filter, session))
      return or_never(limits->rules[i].max_age_ns);
  return or_never(limits->max_age_ns);
}

uint64_t gg__retention_age_least(const struct gg__retention_limits *limits)
{
  uint64_t least = or_never(limits->max_age_ns);
  for (size_t i = 0; i < limits->rule_count; i++)
    if (or_never(limits->rules[i].max_age_ns) < least)
      least = limits->rules[i].max_age_ns;
  return least;
}

uint64_t gg__retention_age_most(const struct gg__retention_limits *limits)
{
  uint64_t most = or_never(limits->max_age_ns);
  for (size_t i = 0; i < limits->rule_count; i++)
    if (or_never(limits->rules[i].max_age_ns) > most)
      most = or_never(limits->rules[i].max_age_ns);
  return most;
}

uint64_t gg__retention_expires(uint64_t last_ns, uint64_t age_ns)
{
  return age_ns < UINT64_MAX - last_ns ? last_ns + age_ns : UINT64_MAX;
}

/* ── Judging ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_too_large(const struct gg__retention_limits *limits, const struct gg__retention_state *state)
{
  return limits->max_bytes > 0 && state->bytes > limits->max_bytes;
}

static bool is_too_full(const struct gg__retention_limits *limits, const struct gg__retention_state *state)
{
  return limits->min_free > 0 && state->free_bytes < limits->min_free;
}

enum gg_prune_why gg__retention_judge(const struct gg__retention_limits *limits,
                                      const struct gg__retention_state *state, uint64_t expires_ns)
{
  if (expires_ns < state->now_ns)
    return GG_PRUNE_AGE;
  if (is_too_large(limits, state))
    return GG_PRUNE_BYTES;
  return is_too_full(limits, state) ? GG_PRUNE_FREE : GG_PRUNE_STAYS;
}

bool gg__retention_is_met(const struct gg__retention_limits *limits, const struct gg__retention_state *state)
{
  return !is_too_large(limits, state) && !is_too_full(limits, state);
}
