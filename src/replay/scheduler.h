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

struct gg_hook;
struct gg_report;
struct gg_scheduler;

enum { GG_BEGIN_BATCH = 64, GG_BEGIN_RETRY_NS = 20 * 1000 * 1000, GG_PROGRESS_NS = 200 * 1000 * 1000 };

struct gg_scheduler_options {
  const struct gg_replay_options *options; /* borrowed */
  struct gg_script *script;
  struct gg_wire *wire;
  const struct gg_rules *rules;
  struct gg_replay_recording *recording; /* may be NULL */
  struct gg_report *report;              /* may be NULL */
  struct gg_hook *plugin;                /* may be NULL */
  const char *target;                    /* as it is told to the plug-in; not needed without one */
  uint32_t connections_max;              /* at least 1 */
};

/* GG_ERR_NOMEM. Works out what is played and the timing: gg__scheduler_survey. */
int gg__scheduler_create(struct gg_scheduler **out, const struct gg_scheduler_options *options,
                         struct gg_failure *failure);
void gg__scheduler_destroy(struct gg_scheduler *scheduler); /* NULL is fine */

/* Whether a session is played at all: "" if it is, else why not ("opaque: TLS", "gaps", "beginning missing"). */
const char *gg__session_skipped(const struct gg_script_session *session, const struct gg_replay_options *options);

/* The timing of a script with these options, from the sessions of it that are played; and into `verdicts` how many
 * connections are not made because sessions are opaque or partial. Returns how many there are with these. */
uint64_t gg__scheduler_survey(const struct gg_script *script, const struct gg_replay_options *options,
                              struct gg_timing *timing, uint64_t verdicts[GG_REPLAY_VERDICTS]);

int gg__scheduler_run(struct gg_scheduler *scheduler, struct gg_failure *failure); /* as gg_replay_run */
void gg__scheduler_stop(struct gg_scheduler *scheduler);
void gg__scheduler_outcome(const struct gg_scheduler *scheduler, struct gg_replay_outcome *out);

#endif
