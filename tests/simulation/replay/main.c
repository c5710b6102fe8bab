/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: replay_simulation
 *   GOGETWAY_SIM_SEEDS=N   how many seeds to run (the fixed ones, then random ones)
 *   GOGETWAY_SIM_SEED=S    this one only
 *   GOGETWAY_SIM_TRACE=1   what happens, on standard error
 */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIXED_SEEDS = 400, SEED_SECONDS_MAX = 60 };

static void on_alarm(int signal)
{
  (void)signal;
  sim_fail("no end after %d seconds of real time, %llu waits", SEED_SECONDS_MAX, (unsigned long long)sim.waits);
}

/* ── A seed's configuration ──────────────────────────────────────────────────────────────────────────────────────── */

static void on_session(void *context, const struct gg_replay_session *session)
{
  (void)context;
  sim_check_session(session);
}

static void options_choose(struct sim_config *config)
{
  static const uint32_t speeds[] = {100, 0, 1000, 10, 10000, 33, 100000, 1};
  struct gg_replay_options *options = &config->options;
  *options = (struct gg_replay_options)GG_REPLAY_OPTIONS_INIT;
  options->level = sim_chance(3) ? GG_REPLAY_BYTES : GG_REPLAY_CAUSAL;
  options->speed_percent = speeds[sim_below(sim_chance(2) ? 3 : sizeof speeds / sizeof speeds[0])];
  options->rate = sim_chance(4) ? 1 + (uint32_t)sim_size(1000) : 0;
  options->ramp_ns = sim_chance(4) ? sim_size(20 * GG_NS_PER_S) : 0;
  options->copies = sim_chance(3) ? 1 + (uint32_t)sim_below(4) : 1;
  options->loops = sim_chance(4) ? 1 + (uint32_t)sim_below(3) : 1;
  if (!config->slow) /* else the default has to do */
    options->reply_timeout_ns = config->patient ? 600 * GG_NS_PER_S : 1 + sim_size(5 * GG_NS_PER_S);
  options->connect_timeout_ns = config->peaceful ? 10 * GG_NS_PER_S : 1 + sim_size(5 * GG_NS_PER_S);
  options->on_timeout = (enum gg_replay_policy)sim_below(sim_chance(3) ? 3 : 2);
  options->on_close = (enum gg_replay_policy)sim_below(sim_chance(3) ? 3 : 2);
  options->include_partial = sim_chance(2);
  options->on_session = on_session;
}

static void configure(void)
{
  struct sim_config *config = &sim.config;
  config->peaceful = sim_chance(2);
  config->slow = config->peaceful && sim_chance(2);
  config->patient = config->peaceful || sim_chance(2);
  config->sessions = (unsigned)sim_size(SIM_SESSIONS_MAX);
  config->span_ns = sim_size(4 * GG_NS_PER_S);
  config->delay_ns = sim_chance(4) ? sim_size(5 * GG_NS_PER_S) : sim_size(300 * SIM_MS);
  config->latency_ns = 3 * SIM_MS;
  bool perfect = sim_chance(5);
  config->cost_ns = perfect || sim_chance(2) ? 0 : 2000;
  config->oversleep_ns = perfect || sim_chance(2) ? 0 : 200000;
  config->pause = !perfect && sim_chance(4) ? 10 + (unsigned)sim_below(200) : 0;
  unsigned *each[] = {&config->short_io, &config->again, &config->limit, &config->spurious};
  for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
    *each[i] = !perfect && sim_chance(2) ? 2 + (unsigned)sim_below(50) : 0;
  config->limit_open = !perfect && sim_chance(4) ? 1 + (uint32_t)sim_below(10) : 0;
  config->gaps = sim_chance(4);
  config->odd_connects = !config->peaceful && sim_chance(2);
  config->stops = sim_chance(5);
  config->stop_ns = sim_size(100 * GG_NS_PER_S);
  config->connections_max = sim_chance(2) ? 1 + (uint32_t)sim_size(20) : 10000;
  options_choose(config);
  sim.policy_stops =
    !config->peaceful && (config->options.on_timeout == GG_REPLAY_STOP || config->options.on_close == GG_REPLAY_STOP);
}

/* ── One seed ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void stop_event(void *unused, uint64_t number)
{
  (void)unused;
  (void)number;
  sim_trace("stop");
  sim.stopped = true;
  gg__scheduler_stop(sim.scheduler);
}

int sim_drive(void)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t marks = sim.script.count * sim.config.options.copies * sim.config.options.loops;
  sim.told = calloc(marks + 1, 1);
  if (!sim.told || gg__rules_learn(&sim.rules, &sim.script.script, &failure) != 0)
    sim_fail("no rules: %s", failure.message);
  const struct gg_scheduler_options options = {.options = &sim.config.options,
                                               .script = &sim.script.script,
                                               .wire = &sim.wire,
                                               .rules = sim.rules,
                                               .connections_max = sim.config.connections_max};
  if (gg__scheduler_create(&sim.scheduler, &options, &failure) != 0)
    abort();
  if (sim.config.stops)
    sim_at(sim.now_ns + sim.config.stop_ns, stop_event, NULL, 0);
  sim.running = true;
  int error = gg__scheduler_run(sim.scheduler, &failure);
  sim.running = false;
  sim_check_end(error);
  gg__scheduler_destroy(sim.scheduler);
  gg__rules_destroy(sim.rules);
  free(sim.told);
  sim_wire_end();
  sim_world_reset();
  return error;
}

static void world_begin(uint64_t seed)
{
  bool trace = sim.trace;
  sim = (struct sim_world){.seed = seed, .random = seed * 0x9E3779B97F4A7C15u, .trace = trace};
  sim.now_ns = sim.base_ns = 1000 * GG_NS_PER_S;
  sim_wire_begin();
}

static void run(uint64_t seed)
{
  world_begin(seed);
  configure();
  sim_script_make(&sim.script);
  if (sim_chance(10))
    sim.script.fail_in = 1 + sim_size(2000);
  totals.peaceful += sim.config.peaceful;
  alarm(SEED_SECONDS_MAX);
  sim_drive();
  alarm(0);
  sim_script_free(&sim.script);
}

/* ── The command line ────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t number(const char *name, uint64_t otherwise)
{
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static uint64_t real_random(void)
{
  uint64_t seed = 0;
  FILE *file = fopen("/dev/urandom", "rb");
  if (file) {
    if (fread(&seed, sizeof seed, 1, file) != 1)
      seed = 1;
    fclose(file);
  }
  return seed % 1000000000;
}

static void report(uint64_t seeds)
{
  printf("%llu seeds (%llu peaceful), %llu sessions, %llu bytes;", (unsigned long long)seeds,
         (unsigned long long)totals.peaceful, (unsigned long long)totals.sessions, (unsigned long long)totals.bytes);
  for (size_t i = 0; i < GG_REPLAY_VERDICTS; i++)
    if (totals.verdicts[i])
      printf(" %s %llu", gg_replay_verdict_text((enum gg_replay_verdict)i), (unsigned long long)totals.verdicts[i]);
  printf("; differences:");
  for (size_t i = 1; i < GG_REPLAY_DIFFERENCES; i++)
    printf(" %s %llu", gg_replay_difference_text((enum gg_replay_difference_kind)i),
           (unsigned long long)totals.differences[i]);
  printf("; chunks released by:");
  for (size_t i = 0; i < GG_REPLAY_RELEASES; i++)
    printf(" %s %llu", gg_replay_release_text((enum gg_replay_release)i), (unsigned long long)totals.released[i]);
  printf("; held %llu, stopped %llu, failed %llu, never early behind varied replies %llu, "
         "exactly in time %llu\n",
         (unsigned long long)totals.held, (unsigned long long)totals.stopped, (unsigned long long)totals.failed,
         (unsigned long long)totals.guarded, (unsigned long long)totals.exact);
}

int main(void)
{
  signal(SIGALRM, on_alarm);
  setvbuf(stdout, NULL, _IOLBF, 0);
  bool trace = number("GOGETWAY_SIM_TRACE", 0) != 0;
  uint64_t one = number("GOGETWAY_SIM_SEED", 0);
  uint64_t seeds = one ? 1 : number("GOGETWAY_SIM_SEEDS", FIXED_SEEDS + 600);
  uint64_t first = real_random();
  sim.trace = trace;
  if (!one)
    sim_fixed_plans();
  sim.trace = trace;
  if (!one && seeds > FIXED_SEEDS)
    printf("random seeds begin at %llu\n", (unsigned long long)first);
  for (uint64_t i = 0; i < seeds; i++)
    run(one ? one : i < FIXED_SEEDS ? i + 1 : first + i);
  sim_world_fini();
  report(seeds);
  return 0;
}
