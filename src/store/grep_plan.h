/* SPDX-License-Identifier: Apache-2.0 */
/**
 * grep_plan.h - which sessions are searched together: the batches of a search, each of which is one pass (pass.h).
 *
 * What is in one batch reads each of its files once; two batches whose sessions overlap read the same blocks twice. But
 * one batch is one thread's, its sessions are told only when all of it was read, and each session that is open in it
 * takes memory. So, log by log (a session never changes its log), in order of time, a batch is ended
 *
 *   sessions  |----A----|  |--B--|                      | where little of what is to come overlaps with what it has:
 *             batch 1          |--C--|   |-----D-----|  | the overlap is at most a fourth of its length,
 *                                            batch 2    | and it has GG_GREP_BATCH_BYTES
 *
 * or when its sessions are too many, or would take too much memory. If that makes fewer batches than threads, they are
 * cut into equal shares, overlap or not: then each thread reads the files once, which takes no longer than one of them.
 *
 * Private to src/store.
 */
#ifndef GG_STORE_GREP_PLAN_H
#define GG_STORE_GREP_PLAN_H

#include "store/window.h"

enum { GG_GREP_BATCH_BYTES = 1 << 24 }; /* of payload: with less, a batch is not worth its files' opening */

struct gg__plan {
  size_t batch_count;
  uint32_t *batch_of; /* of each session, by its place in the list */
  size_t *begins;     /* where each batch begins in `members`, and where the last ends */
  size_t *members;    /* places in the list, in order */
  uint64_t bytes;     /* of payload, of all */
};

/* Batches are numbered in the order of their first sessions. GG_ERR_NOMEM. */
int gg__plan_make(struct gg__plan *out, const struct gg_session_list *list, const struct gg__windowing *how,
                  const bool skip[2], unsigned threads);
void gg__plan_fini(struct gg__plan *plan);

#endif
