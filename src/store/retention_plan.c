/* SPDX-License-Identifier: Apache-2.0 */
#include "store/retention_plan.h"

#include "base/text.h"
#include "store/filter_ast.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Rules ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum limit { LIMIT_AGE, LIMIT_BYTES, LIMITS };

/* Which limit a word is, and its value; LIMITS: it is the filter's. */
static enum limit limit_of(const char *word, const char **value)
{
  static const char *const names[LIMITS] = {[LIMIT_AGE] = "max_age=", [LIMIT_BYTES] = "max_bytes="};
  for (int i = 0; i < LIMITS; i++)
    if (strncmp(word, names[i], strlen(names[i])) == 0) {
      *value = word + strlen(names[i]);
      return (enum limit)i;
    }
  return LIMITS;
}

static int parse_limit(struct gg__retention_rule *rule, enum limit limit, const char *text, const char *value,
                       struct gg_failure *failure)
{
  if (limit == LIMIT_AGE) {
    rule->ages = true;
    if (gg_text_parse_duration(&rule->max_age_ns, value) != 0)
      return gg_fail(failure, GG_ERR_INVALID, "rule '%s': max_age=%s is no time; 12h, 7d and 0 (never) are", text,
                     value);
  } else if (gg_text_parse_bytes(&rule->max_bytes, value) != 0) {
    return gg_fail(failure, GG_ERR_INVALID, "rule '%s': max_bytes=%s is no size; 500MiB, 20GiB and 0 (no limit) are",
                   text, value);
  }
  return 0;
}

static int parse_rule(struct gg__retention_rule *rule, const char *text, uint64_t now_ns, struct gg_failure *failure)
{
  static const char blanks[] = " \t\n";
  const char *words[GG_FILTER_TERMS_MAX], *value = NULL;
  struct gg_failure why = GG_FAILURE_INIT;
  size_t count = 0;
  unsigned times[LIMITS] = {0};
  int error = 0;
  char *copy = strdup(text), *rest = NULL;
  if (!copy)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a rule");
  for (char *word = strtok_r(copy, blanks, &rest); word && !error; word = strtok_r(NULL, blanks, &rest)) {
    enum limit limit = limit_of(word, &value);
    if (limit != LIMITS)
      error = ++times[limit] == 1 ? parse_limit(rule, limit, text, value, failure) : GG_ERR_INVALID;
    else if (count == GG_FILTER_TERMS_MAX)
      error = GG_ERR_LIMIT;
    else
      words[count++] = word;
  }
  if (!error && ((times[LIMIT_AGE] == 0 && times[LIMIT_BYTES] == 0) || count == 0))
    error = GG_ERR_INVALID;
  if (!error) {
    error = gg_filter_parse(&rule->filter, words, count, now_ns, &why);
    error = error ? gg_fail(failure, error, "rule '%s': %s", text, why.message) : 0;
  }
  free(copy);
  return error ? gg_fail(failure, error,
                         "rule '%s': it needs words of a filter and one max_age=TIME, max_bytes=SIZE or both: "
                         "'listener=ssh max_age=90d'",
                         text)
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

size_t gg__retention_rule_of(const struct gg__retention_limits *limits, const struct gg_session *session)
{
  size_t i = 0;
  while (i < limits->rule_count && !gg_filter_match(limits->rules[i].filter, session))
    i++;
  return i;
}

uint64_t gg__retention_age(const struct gg__retention_limits *limits, size_t rule)
{
  if (rule == GG__RULE_UNKNOWN)
    return gg__retention_age_most(limits);
  bool own = rule < limits->rule_count && limits->rules[rule].ages;
  return or_never(own ? limits->rules[rule].max_age_ns : limits->max_age_ns);
}

uint64_t gg__retention_age_least(const struct gg__retention_limits *limits)
{
  uint64_t least = or_never(limits->max_age_ns);
  for (size_t i = 0; i < limits->rule_count; i++)
    if (gg__retention_age(limits, i) < least)
      least = gg__retention_age(limits, i);
  return least;
}

uint64_t gg__retention_age_most(const struct gg__retention_limits *limits)
{
  uint64_t most = or_never(limits->max_age_ns);
  for (size_t i = 0; i < limits->rule_count; i++)
    if (gg__retention_age(limits, i) > most)
      most = gg__retention_age(limits, i);
  return most;
}

uint64_t gg__retention_expires(uint64_t last_ns, uint64_t age_ns)
{
  return age_ns < UINT64_MAX - last_ns ? last_ns + age_ns : UINT64_MAX;
}

/* ── Bytes of rules ──────────────────────────────────────────────────────────────────────────────────────────────── */

static_assert(GG_RETENTION_RULES_MAX <= 64, "each has a bit");

bool gg__retention_counts(const struct gg__retention_limits *limits)
{
  bool any = false;
  for (size_t i = 0; i < limits->rule_count; i++)
    any |= limits->rules[i].max_bytes > 0;
  return any;
}

bool gg__retention_asks_marks(const struct gg__retention_limits *limits)
{
  bool any = false;
  for (size_t i = 0; i < limits->rule_count; i++)
    any |= gg__filter_asks(limits->rules[i].filter, "tag") || gg__filter_asks(limits->rules[i].filter, "held");
  return any;
}

uint64_t gg__retention_filled(const struct gg__retention_limits *limits, const struct gg__retention_sums *sums)
{
  uint64_t filled = 0;
  for (size_t i = 0; i < limits->rule_count; i++)
    if (limits->rules[i].max_bytes > 0 && sums->bytes[i] >= limits->rules[i].max_bytes)
      filled |= UINT64_C(1) << i;
  return filled;
}

void gg__retention_add(const struct gg__retention_limits *limits, struct gg__retention_sums *sums,
                       const struct gg__share *shares, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (shares[i].rule < limits->rule_count)
      sums->bytes[shares[i].rule] += shares[i].bytes;
}

enum gg_prune_why gg__retention_due(const struct gg__retention_limits *limits, const struct gg__share *shares,
                                    size_t count, uint64_t filled, uint64_t now_ns)
{
  bool too_old = true, due = true;
  for (size_t i = 0; i < count; i++) {
    size_t rule = shares[i].rule;
    bool old = gg__retention_expires(shares[i].last_ns, gg__retention_age(limits, rule)) < now_ns;
    too_old &= old;
    due &= old || (rule < limits->rule_count && (filled >> rule & 1));
  }
  return too_old ? GG_PRUNE_AGE : due ? GG_PRUNE_RULE : GG_PRUNE_STAYS;
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
                                      const struct gg__retention_state *state)
{
  if (is_too_large(limits, state))
    return GG_PRUNE_BYTES;
  return is_too_full(limits, state) ? GG_PRUNE_FREE : GG_PRUNE_STAYS;
}

bool gg__retention_is_met(const struct gg__retention_limits *limits, const struct gg__retention_state *state)
{
  return !is_too_large(limits, state) && !is_too_full(limits, state);
}
