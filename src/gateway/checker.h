/* SPDX-License-Identifier: Apache-2.0 */
/**
 * checker.h - the active check: a thread that connects to upstreams at intervals, and tells their health.
 *
 * A check is a TCP (or unix) connect, reset again without a byte. One that fails counts as a session's connect that
 * failed; one that succeeds brings an upstream back that is out.
 *
 * Thread: set and stop on the engine's thread.
 */
#ifndef GG_GATEWAY_CHECKER_H
#define GG_GATEWAY_CHECKER_H

#include "gateway/group.h"

struct gg_checker;

enum { GG_CHECKS_OPEN_MAX = 32 /* connects at a time: descriptors */ };

/* Whether any of the groups asks to be checked. */
bool gg__checker_wanted(struct gg_group *const *groups, size_t count);
int gg__checker_start(struct gg_checker **out, struct gg_metrics *metrics, struct gg_failure *failure);
/* Checks these from now on, at once for the first time. When it returns, nothing of those before is used any more: not
 * their names either. GG_ERR_NOMEM: then nothing is checked. */
int gg__checker_set(struct gg_checker *checker, struct gg_group *const *groups, size_t count);
void gg__checker_stop(struct gg_checker *checker); /* NULL is fine */

#endif
