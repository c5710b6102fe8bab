/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans of an hour on the virtual clock, whose every due time is known: one session that speaks ten times a second all
 * the hour long, and a short session every second. Once on a perfect clock, where everything has to leave at the very
 * nanosecond, and once on one like a kernel's, where every sleep is too long and every look at the time costs some.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOUR_S = 3600, CHUNKS = 10 * HOUR_S };

#define EVERY_NS (100 * SIM_MS)

static const uint64_t recorded_ns = UINT64_C(1700000000000000000);
static uint64_t begun_worst_ns, begun_last_ns;

static void told(void *context, const struct gg_replay_session *session)
{
  (void)context;
  uint64_t exact_ns = strtoull(session->id, NULL, 16) * GG_NS_PER_S * 100 / sim.config.options.speed_percent;
  if (session->due_ns != exact_ns)
    sim_fail("session %s was due at %" PRIu64 ", not %" PRIu64, session->id, session->due_ns, exact_ns);
  begun_last_ns = session->begun_ns - exact_ns;
  begun_worst_ns = begun_last_ns > begun_worst_ns ? begun_last_ns : begun_worst_ns;
  sim_check_session(session);
}

static void begin(uint32_t speed_percent, uint64_t oversleep_ns, size_t sessions)
{
  sim = (struct sim_world){.seed = 1, .random = 1, .trace = sim.trace};
  sim.now_ns = sim.base_ns = 1000 * GG_NS_PER_S;
  sim.config = (struct sim_config){.peaceful = true,
                                   .patient = true,
                                   .oversleep_ns = oversleep_ns,
                                   .cost_ns = oversleep_ns ? 2000 : 0,
                                   .connections_max = 100,
                                   .options = GG_REPLAY_OPTIONS_INIT};
  sim.config.options.speed_percent = speed_percent;
  sim.config.options.on_session = told;
  sim_wire_begin();
  begun_worst_ns = begun_last_ns = 0;
  sim.script = (struct sim_script){.script = {&sim_script_ops}, .count = sessions};
  sim.script.sessions = calloc(sessions, sizeof *sim.script.sessions);
  if (!sim.script.sessions)
    abort();
}

static void end(const char *what, uint64_t worst_ns, uint64_t last_ns, uint64_t most_ns)
{
  uint32_t percent = sim.config.options.speed_percent;
  printf("%s at %u.%02ux%s: latest %" PRIu64 " ns, the last one %" PRIu64 " ns\n", what, percent / 100, percent % 100,
         sim.config.oversleep_ns ? " on an uneven clock" : "", worst_ns, last_ns);
  if (worst_ns > most_ns || last_ns > most_ns)
    sim_fail("at most %" PRIu64 " ns are fine", most_ns);
  sim_script_free(&sim.script);
}

static void long_session(uint32_t speed_percent, uint64_t oversleep_ns, uint64_t most_ns)
{
  begin(speed_percent, oversleep_ns, 1);
  sim.config.options.level = GG_REPLAY_BYTES;
  struct sim_session *session = &sim.script.sessions[0];
  sim_session_begin(session, 0, recorded_ns, 0);
  for (uint64_t i = 1; i <= CHUNKS; i++)
    sim_session_step(session, GG_STEP_SEND, recorded_ns + i * EVERY_NS, &i, sizeof i, true);
  sim_session_step(session, GG_STEP_SEND_END, recorded_ns + CHUNKS * EVERY_NS, NULL, 0, false);
  sim_session_step(session, GG_STEP_EXPECT_END, recorded_ns + CHUNKS * EVERY_NS, NULL, 0, false);
  sim_session_end(session, recorded_ns + CHUNKS * EVERY_NS);
  sim_drive();
  end("36,000 chunks of an hour", sim.late_worst_ns, sim.late_last_ns, most_ns);
}

static void many_sessions(uint32_t speed_percent, uint64_t oversleep_ns, uint64_t most_ns)
{
  begin(speed_percent, oversleep_ns, HOUR_S + 1);
  for (size_t i = 0; i <= HOUR_S; i++) {
    struct sim_session *session = &sim.script.sessions[i];
    uint64_t start_ns = recorded_ns + i * GG_NS_PER_S;
    sim_session_begin(session, i, start_ns, 0);
    sim_session_step(session, GG_STEP_SEND, start_ns, "GET\n", 4, true);
    sim_session_step(session, GG_STEP_EXPECT, start_ns + SIM_MS, "OK\n", 3, true);
    sim_session_step(session, GG_STEP_SEND_END, start_ns + 2 * SIM_MS, NULL, 0, false);
    sim_session_step(session, GG_STEP_EXPECT_END, start_ns + 3 * SIM_MS, NULL, 0, false);
    sim_session_end(session, start_ns + 3 * SIM_MS);
  }
  sim_drive();
  end("3,601 sessions of an hour", begun_worst_ns, begun_last_ns, most_ns);
}

void sim_fixed_plans(void)
{
  static const uint32_t speeds[] = {10, 100, 1000, 10000};
  for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
    long_session(speeds[i], 0, 0);
    many_sessions(speeds[i], 0, 0);
  }
  long_session(100, 200000, SIM_LATE_NS - 1);
  many_sessions(100, 200000, SIM_LATE_NS - 1);
}
