/* SPDX-License-Identifier: Apache-2.0 */
/**
 * retention_plan.h - what may go, and why: limits, rules, and a judgement of one segment at a time, from the oldest on.
 *
 * Bytes and free space are the store's: while there is too much, the oldest segment goes, whatever is in it but held
 * sessions. Age is a session's: by the first rule that it matches, else by max_age; and since whole segments go, a
 * segment goes by age when every session in it may, as far as it is in it.
 *
 * Pure functions; any thread.
 */
#ifndef GG_STORE_RETENTION_PLAN_H
#define GG_STORE_RETENTION_PLAN_H

#include <gogetway/error.h>
#include <gogetway/store.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg__retention_rule {
  struct gg_filter *filter;
  uint64_t max_age_ns; /* 0: never by age */
};

struct gg__retention_limits {
  uint64_t max_bytes;  /* of all segments; 0: no limit */
  uint64_t max_age_ns; /* 0: no limit */
  uint64_t min_free;   /* of the file system; 0: no limit */
  struct gg__retention_rule *rules;
  size_t rule_count;
};

/* Reads rules as they are written: "listener=ssh tag=noise max_age=7d", filter words and one max_age, 0 for never. The
 * other members are the caller's. GG_ERR_INVALID, LIMIT, NOMEM; nothing is to be freed then. */
int gg__retention_rules_parse(struct gg__retention_limits *limits, const char *const *texts, size_t count,
                              uint64_t now_ns, struct gg_failure *failure);
void gg__retention_rules_free(struct gg__retention_limits *limits);

/* The age at which a session may go; UINT64_MAX: never. */
uint64_t gg__retention_age(const struct gg__retention_limits *limits, const struct gg_session *session);
/* The least and the most of all that gg__retention_age may say. */
uint64_t gg__retention_age_least(const struct gg__retention_limits *limits);
uint64_t gg__retention_age_most(const struct gg__retention_limits *limits);
/* When that is; UINT64_MAX: never. */
uint64_t gg__retention_expires(uint64_t last_ns, uint64_t age_ns);

struct gg__retention_state {
  uint64_t now_ns;
  uint64_t bytes; /* of all segments that are left */
  uint64_t free_bytes;
};

/* Whether the oldest one that is left has to go; `expires_ns`: when all sessions in it may. */
enum gg_prune_why gg__retention_judge(const struct gg__retention_limits *limits,
                                      const struct gg__retention_state *state, uint64_t expires_ns);

/* Whether nothing but age is asked for any more. */
bool gg__retention_is_met(const struct gg__retention_limits *limits, const struct gg__retention_state *state);

#endif
