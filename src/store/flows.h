/* SPDX-License-Identifier: Apache-2.0 */
/**
 * flows.h - which part the packets of a 4-tuple belong to now: a table, and the flow of the packet before in front of
 * it, because packets come in rows.
 *
 * Private to src/store; borrows the parts. Thread: its owner's.
 */
#ifndef GG_STORE_FLOWS_H
#define GG_STORE_FLOWS_H

#include "store/part.h"

struct gg__flows {
  size_t count;
  size_t room; /* a power of two, at least twice the count; 0: nothing is allocated */
  struct gg__part **slots;
  struct gg__part *last; /* of the packet before */
};

/* NULL: none. */
struct gg__part *gg__flows_find(struct gg__flows *flows, const struct gg__frame *frame);
/* The part takes its 4-tuple over, from another one if need be. GG_ERR_NOMEM. */
int gg__flows_bind(struct gg__flows *flows, struct gg__part *part);
/* Nothing if another part has its 4-tuple by now. */
void gg__flows_unbind(struct gg__flows *flows, const struct gg__part *part);
void gg__flows_fini(struct gg__flows *flows); /* empty, and good to be used again */

#endif
