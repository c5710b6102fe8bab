/* SPDX-License-Identifier: Apache-2.0 */
/**
 * retention_plan.h - what may go, and why: limits, rules, and a judgement of one segment at a time, from the oldest on.
 *
 * Bytes and free space are the store's: while there is too much, the oldest segment goes, whatever is in it but held
 * sessions. Age is a session's: by the first rule that it matches, else by max_age. A rule's bytes are those of all
 * sessions that it is the first to match: when newer segments have as many as it allows, what older ones have of them
 * is due, as if it were too old. Since whole segments go, one goes by ages and rules when every session in it may, as
 * far as it is in it.
 *
 * Pure functions; any thread.
 */
#ifndef GG_STORE_RETENTION_PLAN_H
#define GG_STORE_RETENTION_PLAN_H

#include "store/bounds.h"

#include <gogetway/error.h>
#include <gogetway/store.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg__retention_rule {
  struct gg_filter *filter;
  bool ages;           /* it says an age; otherwise the store's counts */
  uint64_t max_age_ns; /* 0: never by age */
  uint64_t max_bytes;  /* of its sessions' packets; 0: no limit */
};

/* Instead of a rule's number: of what cannot be read. */
#define GG__RULE_UNKNOWN SIZE_MAX

struct gg__retention_limits {
  uint64_t max_bytes;  /* of all segments; 0: no limit */
  uint64_t max_age_ns; /* 0: no limit */
  uint64_t min_free;   /* of the file system; 0: no limit */
  struct gg__retention_rule *rules;
  size_t rule_count;
  bool ignore_damaged_marks; /* a line of the journal that cannot be read is taken for none */
};

/* Reads rules as they are written: "listener=ssh tag=noise max_age=7d max_bytes=1GiB", filter words and one of each or
 * either, 0 for no limit. The other members are the caller's. GG_ERR_INVALID, LIMIT, NOMEM; nothing is to be freed
 * then. */
int gg__retention_rules_parse(struct gg__retention_limits *limits, const char *const *texts, size_t count,
                              uint64_t now_ns, struct gg_failure *failure);
void gg__retention_rules_free(struct gg__retention_limits *limits);

/* The number of the first rule that it matches; rule_count: none. */
size_t gg__retention_rule_of(const struct gg__retention_limits *limits, const struct gg_session *session);
/* The age at which a session may go of which that rule is the first (or none, or GG__RULE_UNKNOWN: then the longest of
 * all counts); UINT64_MAX: never. */
uint64_t gg__retention_age(const struct gg__retention_limits *limits, size_t rule);
/* The least and the most of all that gg__retention_age may say. */
uint64_t gg__retention_age_least(const struct gg__retention_limits *limits);
uint64_t gg__retention_age_most(const struct gg__retention_limits *limits);
/* When that is; UINT64_MAX: never. */
uint64_t gg__retention_expires(uint64_t last_ns, uint64_t age_ns);
/* Whether any rule limits bytes: then every segment has to be known. */
bool gg__retention_counts(const struct gg__retention_limits *limits);
/* Whether any rule depends on what is said of a session later: its tags, or that it is held. */
bool gg__retention_asks_marks(const struct gg__retention_limits *limits);

/* A segment's sessions of one rule. */
struct gg__share {
  size_t rule;      /* rule_count: of none */
  uint64_t bytes;   /* of their packets in the segment's file */
  uint64_t last_ns; /* of the last of them */
};

/* How many bytes newer segments have, by rule. */
struct gg__retention_sums {
  uint64_t bytes[GG_RETENTION_RULES_MAX];
};
/* Which rules have as many as they allow: bit by number. */
uint64_t gg__retention_filled(const struct gg__retention_limits *limits, const struct gg__retention_sums *sums);
void gg__retention_add(const struct gg__retention_limits *limits, struct gg__retention_sums *sums,
                       const struct gg__share *shares, size_t count);
/* Whether all shares may go: by age, or by the rules that are filled. */
enum gg_prune_why gg__retention_due(const struct gg__retention_limits *limits, const struct gg__share *shares,
                                    size_t count, uint64_t filled, uint64_t now_ns);

struct gg__retention_state {
  uint64_t now_ns;
  uint64_t bytes; /* of all segments that are left */
  uint64_t free_bytes;
};

/* Whether the oldest one that is left has to go for the sake of the store. */
enum gg_prune_why gg__retention_judge(const struct gg__retention_limits *limits,
                                      const struct gg__retention_state *state);

/* Whether nothing but ages and rules ask for more. */
bool gg__retention_is_met(const struct gg__retention_limits *limits, const struct gg__retention_state *state);

#endif
