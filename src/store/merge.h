/* SPDX-License-Identifier: Apache-2.0 */
/**
 * merge.h - the packets of chosen sessions out of all their files, in order of time.
 *
 * Files are opened when their time comes and closed behind the last chosen packet, so few are open at once: those that
 * overlap in time (one a log). Within a file the order is the file's.
 * Thread: one at a time.
 */
#ifndef GG_STORE_MERGE_H
#define GG_STORE_MERGE_H

#include "store/bounds.h"
#include "store/frames.h"
#include "store/record.h"

struct gg__merge;

int gg__merge_create(struct gg__merge **out, const struct gg_session_list *list, struct gg_failure *failure);
void gg__merge_destroy(struct gg__merge *merge);

/* 0: a frame (borrowed until the next call), its part, and whether it came from the server (1) or the client (0);
 * GG_ERR_AGAIN: that was all. */
int gg__merge_next(struct gg__merge *merge, const struct gg__frame **frame, const struct gg__part **part, int *side,
                   struct gg_failure *failure);

/* Sessions of which a file has gone that was not kept for them (moved.h), so far; they are told as far as the others
 * have them. In order of ids; borrowed until the next call of any of these. */
const struct gg_session *const *gg__merge_lost(struct gg__merge *merge, size_t *count);

uint64_t gg__merge_done(const struct gg__merge *merge);  /* bytes of files that were passed */
uint64_t gg__merge_total(const struct gg__merge *merge); /* and that there are */

#endif
