/* SPDX-License-Identifier: Apache-2.0 */
/**
 * bounds.h - from where to where a replay's options go, whether they come as texts or as numbers.
 *
 * connections_max has none: what descriptors allow is less than any number there is.
 */
#ifndef GG_REPLAY_BOUNDS_H
#define GG_REPLAY_BOUNDS_H

#include <stdint.h>

enum {
  GG_REPLAY_SPEED_PERCENT_MAX = 100000, /* 1000x; the least is 1, and 0 is as fast as possible */
  GG_REPLAY_RATE_MAX = 1000000,         /* the least is 1, and 0 is none */
  GG_REPLAY_COPIES_MAX = 1000000,       /* of copies and loops the least is 1 */
  GG_REPLAY_LOOPS_MAX = 1000000,
  GG_REPLAY_EMIT_MAX = 1 << 20, /* bytes that a plug-in may put out for one piece */
};

#define GG_REPLAY_RAMP_MAX_NS (UINT64_C(7) * 86400 * 1000000000)
#define GG_REPLAY_TIMEOUT_MIN_NS UINT64_C(1000000)
#define GG_REPLAY_TIMEOUT_MAX_NS (UINT64_C(86400) * 1000000000)

#endif
