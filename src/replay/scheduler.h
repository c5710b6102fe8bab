/* SPDX-License-Identifier: Apache-2.0 */
/**
 * scheduler.h - begins sessions when they are due, keeps the players' timers, and ends the replay.
 *
 * A turn:
 *   1. begin    sessions that are due, in order, while fewer connections are open than may be (GG_BEGIN_BATCH a turn)
 *   2. timers   of players that are due, earliest first
 *   3. wait     for the wire, until the next of either
 *   4. free     players that ended; report them
 *   5. tell     progress, now and then
 *
 * Order of begin is (loop, session, copy). A session that found no free connection at its due time is held: it begins
 * as soon as one is free, and its times count from then on (otherwise it would hurry through its think times).
 * When the system has no descriptor or port just then, it is tried again when a connection has ended, and every
 * GG_BEGIN_RETRY_NS; with no connection open at all, and connect_timeout passed, the session has failed (LOCAL).
 *
 * Driven by nothing but a script and a wire, so the simulation runs it as it is.
 * Thread: one; gg__scheduler_stop from any thread and from signal handlers.
 */
#ifndef GG_REPLAY_SCHEDULER_H
#define GG_REPLAY_SCHEDULER_H

#include "replay/player.h"

struct gg_report;
struct gg_scheduler;

enum { GG_BEGIN_BATCH = 64, GG_BEGIN_RETRY_NS = 20 * 1000 * 1000, GG_PROGRESS_NS = 200 * 1000 * 1000 };

struct gg_scheduler_options {
  const struct gg_replay_options *options; /* borrowed */
  struct gg_script *script;
  struct gg_wire *wire;
  const struct gg_rules *rules;
  const struct gg_decoder_ops *decoder; /* may be NULL */
  struct gg_recording *recording;       /* may be NULL */
  struct gg_report *report;             /* may be NULL */
  uint32_t connections_max;             /* at least 1 */
};

/* GG_ERR_NOMEM. Works out what is played and the timing. */
int gg__scheduler_create(struct gg_scheduler **out, const struct gg_scheduler_options *options,
                         struct gg_failure *failure);
void gg__scheduler_destroy(struct gg_scheduler *scheduler); /* NULL is fine */

/* Whether a session is played at all: "" if it is, else why not ("opaque: TLS", "gaps", "beginning missing"). */
const char *gg__session_skipped(const struct gg_script_session *session, const struct gg_replay_options *options);

int gg__scheduler_run(struct gg_scheduler *scheduler, struct gg_failure *failure); /* as gg_replay_run */
void gg__scheduler_stop(struct gg_scheduler *scheduler);
const struct gg_timing *gg__scheduler_timing(const struct gg_scheduler *scheduler);
void gg__scheduler_outcome(const struct gg_scheduler *scheduler, struct gg_replay_outcome *out);

#endif
