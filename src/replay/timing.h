/* SPDX-License-Identifier: Apache-2.0 */
/**
 * timing.h - when things are due: from recorded times to times since the replay's start.
 *
 * Every function maps an absolute recorded time to an absolute due time, in integers, so that no error adds up over a
 * replay's length. `ramp` bends the starts of sessions: speed or rate grows linearly from nothing during the ramp, so
 * what would be due at p with full speed is due at r with p = r*r / (2*ramp) for r <= ramp, and p = r - ramp/2 behind.
 * Within a session time is not bent.
 *
 * Pure functions; any thread.
 */
#ifndef GG_REPLAY_TIMING_H
#define GG_REPLAY_TIMING_H

#include <stdint.h>

struct gg_timing {
  uint32_t speed_percent; /* 0: as fast as possible: everything is due at 0 */
  uint32_t rate;          /* sessions a second, whatever the speed; 0: at recorded times */
  uint64_t ramp_ns;
  uint64_t first_ns; /* recorded start of the first session */
  uint64_t span_ns;  /* of one loop, as recorded: from there to the end of the last session */
  uint64_t sessions; /* of one loop */
};

/* When a session is due: `number` of those played in this loop (from 0), recorded at `start_ns`. */
uint64_t gg__timing_start(const struct gg_timing *timing, uint64_t loop, uint64_t number, uint64_t start_ns);
/* A recorded span at the speed asked for; 0 for as fast as possible. Rounds down; saturates at UINT64_MAX / 2. */
uint64_t gg__timing_span(const struct gg_timing *timing, uint64_t recorded_ns);
/* How long all of it takes with a server as fast as it was: with a rate until one more session would begin; 0 for as
 * fast as possible. */
uint64_t gg__timing_total(const struct gg_timing *timing, uint64_t loops);
/* How many connections may be open at `elapsed_ns` of at most `most`: with as fast as possible and a ramp they grow
 * from 1; otherwise `most`. */
uint32_t gg__timing_connections(const struct gg_timing *timing, uint64_t elapsed_ns, uint32_t most);
/* The first elapsed time at which `connections` of at most `most` may be open. */
uint64_t gg__timing_connections_at(const struct gg_timing *timing, uint32_t connections, uint32_t most);

#endif
