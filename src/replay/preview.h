/* SPDX-License-Identifier: Apache-2.0 */
/**
 * preview.h - what a replay will do, worked out from its script and options before anything is sent.
 *
 * Thread: the replay's.
 */
#ifndef GG_REPLAY_PREVIEW_H
#define GG_REPLAY_PREVIEW_H

#include "replay/script.h"
#include "replay/timing.h"

#include <gogetway/replay.h>

enum { GG_PREVIEW_BEGINS_MAX = 4 << 20 }; /* sessions looked at for the peak; one loop is always looked at whole */

/* Everything but `to`. `connections_max` is what the replay will have, never 0. GG_ERR_NOMEM. */
int gg__preview(const struct gg_script *script, const struct gg_replay_options *options, const struct gg_timing *timing,
                uint32_t connections_max, struct gg_replay_plan *out, struct gg_failure *failure);

#endif
