/* SPDX-License-Identifier: Apache-2.0 */
/**
 * tag_rules.h - tags that are set by rule as sessions close: "what matches this filter gets that tag".
 *
 *   configuration ──► rules, compiled once ──► who sees sessions close: gg__tag_rules_apply for each,
 *                                              gg__marks_flush for a batch of them
 *
 * A rule sees the session as its recording tells of it, with the tags that plug-ins gave it; what other rules say it
 * does not see, so their order does not matter. What is there already is not added again, so a session may be seen to
 * close any number of times; and what a person has taken off stays off.
 *
 * A filter's times are moments: a span (since=1h) would count from when the rules were made, and is refused.
 *
 * Thread: any; rules do not change. Who keeps them while a configuration may be replaced holds a reference.
 */
#ifndef GG_STORE_TAG_RULES_H
#define GG_STORE_TAG_RULES_H

#include "store/marks.h"

#include <gogetway/error.h>
#include <stddef.h>
#include <stdint.h>

struct gg_session; /* gogetway/store.h; the gateway has one of that name too */
struct gg__tag_rules;

struct gg__tag_rule {
  const char *tag;
  const char *filter; /* an expression */
};

/* Whether a rule's filter can be one: GG_ERR_INVALID, LIMIT, NOMEM. */
int gg__tag_rule_check(const char *filter, struct gg_failure *failure);

/* Nothing is borrowed. At most GG_TAG_RULES_MAX: GG_ERR_LIMIT. GG_ERR_INVALID: a tag or a filter is none; NOMEM. The
 * first reference is the caller's. */
int gg__tag_rules_create(struct gg__tag_rules **out, const struct gg__tag_rule *rules, size_t count,
                         struct gg_failure *failure);
struct gg__tag_rules *gg__tag_rules_ref(struct gg__tag_rules *rules); /* NULL is fine, here and below */
void gg__tag_rules_unref(struct gg__tag_rules *rules);
size_t gg__tag_rules_count(const struct gg__tag_rules *rules);

/* Gives the session the tags of all rules that match it, to be written by the next gg__marks_flush. The errors of
 * gg__marks_stage: then the session is to be shown again. */
int gg__tag_rules_apply(const struct gg__tag_rules *rules, const struct gg_session *session, struct gg__marks *marks,
                        struct gg_failure *failure);

#endif
