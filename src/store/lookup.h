/* SPDX-License-Identifier: Apache-2.0 */
/**
 * lookup.h - which part of a file a frame belongs to: a table by 4-tuple, and offsets where one was used again.
 *
 * Private to src/store. Immutable once made; one thread at a time because of nothing but the caller's frame.
 */
#ifndef GG_STORE_LOOKUP_H
#define GG_STORE_LOOKUP_H

#include "store/capture.h"

struct gg__lookup;

/* Of `count` parts of one file; borrows them. GG_ERR_NOMEM. */
int gg__lookup_create(struct gg__lookup **out, const struct gg__part *const *parts, size_t count);
void gg__lookup_destroy(struct gg__lookup *lookup);

/* NULL: of none. `side`: 0 from its client, 1 from its server. */
const struct gg__part *gg__lookup_find(const struct gg__lookup *lookup, const struct gg__frame *frame, int *side);

#endif
