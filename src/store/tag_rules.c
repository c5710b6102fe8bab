/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tag_rules.h"

#include <gogetway/store.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct rule {
  char *tag;
  struct gg_filter *filter;
};

struct gg__tag_rules {
  _Atomic unsigned references;
  size_t count;
  struct rule rules[];
};

static int compile(struct gg_filter **out, const char *text, struct gg_failure *failure)
{
  *out = NULL;
  if (!text[strspn(text, " \t\r\n")])
    return gg_fail(failure, GG_ERR_INVALID, "a filter is needed; every session would be tagged");
  return gg_filter_parse_text(out, text, 0, failure);
}

int gg__tag_rule_check(const char *text, struct gg_failure *failure)
{
  struct gg_filter *filter;
  int error = compile(&filter, text, failure);
  gg_filter_destroy(filter);
  return error;
}

static void destroy(struct gg__tag_rules *rules)
{
  for (size_t i = 0; i < rules->count; i++) {
    free(rules->rules[i].tag);
    gg_filter_destroy(rules->rules[i].filter);
  }
  free(rules);
}

static int fill(struct rule *rule, const struct gg__tag_rule *given, struct gg_failure *failure)
{
  int error = gg__tag_check(given->tag, failure);
  if (error)
    return error;
  rule->tag = strdup(given->tag);
  return rule->tag ? compile(&rule->filter, given->filter, failure)
                   : gg_fail(failure, GG_ERR_NOMEM, "no memory for the rules of tags");
}

int gg__tag_rules_create(struct gg__tag_rules **out, const struct gg__tag_rule *given, size_t count,
                         struct gg_failure *failure)
{
  *out = NULL;
  if (count > GG_TAG_RULES_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "at most %d rules for tags", GG_TAG_RULES_MAX);
  struct gg__tag_rules *rules = calloc(1, sizeof *rules + count * sizeof rules->rules[0]);
  if (!rules)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the rules of tags");
  rules->count = count;
  atomic_init(&rules->references, 1);
  for (size_t i = 0; i < count; i++) {
    int error = fill(&rules->rules[i], &given[i], failure);
    if (error) {
      destroy(rules);
      return error;
    }
  }
  *out = rules;
  return 0;
}

struct gg__tag_rules *gg__tag_rules_ref(struct gg__tag_rules *rules)
{
  if (rules)
    atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
  return rules;
}

void gg__tag_rules_unref(struct gg__tag_rules *rules)
{
  if (rules && atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) == 1)
    destroy(rules);
}

size_t gg__tag_rules_count(const struct gg__tag_rules *rules)
{
  return rules ? rules->count : 0;
}

static bool has_tag(const struct gg_session *session, const char *tag)
{
  for (size_t i = 0; i < session->tag_count; i++)
    if (strcmp(session->tags[i], tag) == 0)
      return true;
  return false;
}

int gg__tag_rules_apply(const struct gg__tag_rules *rules, const struct gg_session *session, struct gg__marks *marks,
                        struct gg_failure *failure)
{
  const char *tags[GG_TAG_RULES_MAX];
  size_t count = 0;
  for (size_t i = 0; rules && i < rules->count; i++)
    if (!has_tag(session, rules->rules[i].tag) && gg_filter_match(rules->rules[i].filter, session))
      tags[count++] = rules->rules[i].tag;
  return count > 0 ? gg__marks_stage(marks, session->id, tags, count, failure) : 0;
}
