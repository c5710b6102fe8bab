/* SPDX-License-Identifier: Apache-2.0 */
/**
 * observe.h - what of a session its plug-ins observe: the worker's part of hook/observe.h.
 *
 * Thread: the session's worker.
 */
#ifndef GG_GATEWAY_OBSERVE_H
#define GG_GATEWAY_OBSERVE_H

#include "gateway/session.h"

/* `index` of the chain observes the direction from what is recorded next on. */
int gg__observe_begin(struct gg_live *live, unsigned index, enum gg_direction direction);
/* It does not any more. Nothing happens if it did not. */
void gg__observe_end(struct gg_live *live, unsigned index, enum gg_direction direction);
/* The session is over, and recorded: nobody does. */
void gg__observe_end_all(struct gg_live *live);

/* `bytes` of the layout were sealed with the time `time_ns`, and are about to be committed. */
void gg__observe_sealed(struct gg_session *session, const struct gg_chunk_layout *layout, size_t bytes,
                        uint64_t time_ns);

#endif
