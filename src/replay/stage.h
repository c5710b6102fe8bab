/* SPDX-License-Identifier: Apache-2.0 */
/**
 * stage.h - what all players of a replay share: the script, the wire, the rules, time, and the sums.
 *
 * The scheduler owns it and fills it in; players read it, add to the sums, and call back by its two functions.
 * Thread: the replay's.
 */
#ifndef GG_REPLAY_STAGE_H
#define GG_REPLAY_STAGE_H

#include "replay/histogram.h"
#include "replay/rules.h"
#include "replay/script.h"
#include "replay/timing.h"
#include "replay/wire.h"

#include <gogetway/replay.h>

struct gg_hook;
struct gg_player;
struct gg_replay_recording;

enum { GG_STAGE_SCRATCH_BYTES = 256 << 10 };

struct gg_stage {
  const struct gg_replay_options *options; /* borrowed: level, timeouts, policies */
  struct gg_script *script;
  struct gg_wire *wire;
  const struct gg_rules *rules;          /* never NULL; level bytes does not look at it */
  struct gg_replay_recording *recording; /* NULL: the replay is not recorded */
  struct gg_hook *plugin;                /* asked before each piece; NULL: there is none */
  const char *target;                    /* as it is told to the plug-in */
  struct gg_timing timing;
  uint64_t started_ns; /* on the wire's clock: due times are since then */
  struct gg_histogram latency, lag, slip;
  /* But the percentiles, which are in the histograms until it is asked for. Players add their counts as they go, and
   * connections_made and connections_refused; all else (sessions, open, peak, held) is the scheduler's. */
  struct gg_replay_outcome outcome;
  uint64_t lag_now_ns;
  struct gg_failure failure;                  /* the first error that ends the replay (the script's, the recording's) */
  uint8_t scratch[2][GG_STAGE_SCRATCH_BYTES]; /* bytes on their way: live ones, recorded ones */

  void (*arm)(struct gg_stage *stage, struct gg_player *player, uint64_t when_ns); /* its timer; UINT64_MAX: none */
  void (*over)(struct gg_stage *stage, struct gg_player *player); /* it has ended; it is freed after this turn */
  void (*stop)(struct gg_stage *stage);                           /* by policy, or by `failure`: the replay ends */
};

#endif
