/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: simulation [seeds]
 *   GOGETWAY_SIM_SEEDS=N   how many seeds to run (the fixed ones, then random ones)
 *   GOGETWAY_SIM_SEED=S    this one only
 *   GOGETWAY_SIM_CONNS=N   connections of each seed
 *   GOGETWAY_SIM_TRACE=1   what happens, on standard error
 */
#include "sim.h"

#include "../unit/metric_named.h"
#include "gateway/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { TURNS_MAX = 20000000, IDLE_TURNS_MAX = 300, FIXED_SEEDS = 40 };

static const uint8_t greeting[] = "220 honey.example ready\r\n";
static const struct gg_network everybody = {.base = {.family = GG_FAMILY_IPV4}};

/* ── A seed's configuration ──────────────────────────────────────────────────────────────────────────────────────── */

/* Several upstreams, some of which are down at any time (sim_upstream_down). */
static void list_choose(struct gg_listener_options *options, struct gg_upstream_options upstreams[SIM_UPSTREAMS])
{
  static const char *const list_names[SIM_UPSTREAMS] = {"u", "v", "w", "x"};
  static const uint64_t ms = 1000000;
  options->upstream_count = 2 + sim_below(SIM_UPSTREAMS - 1);
  for (unsigned i = 0; i < options->upstream_count; i++) {
    upstreams[i] = upstreams[0];
    upstreams[i].name = list_names[i];
    upstreams[i].endpoint.addr.port = (uint16_t)(80 + i);
    upstreams[i].weight = 1 + (unsigned)sim_size(GG_WEIGHT_MAX - 1);
    upstreams[i].backup = sim_chance(4);
  }
  options->balance = (enum gg_balance)sim_below(3);
  options->health = (struct gg_health_options){
    .failures = (unsigned)sim_below(4),
    .out_min_ns = ms + sim_size(200 * ms),
    .out_max_ns = 200 * ms + sim_size(2000 * ms),
    .slow_start_ns = sim_chance(2) ? sim_size(500 * ms) : 0,
    .tries = sim_chance(3) ? 1 + (unsigned)sim_below(4) : 0,
  };
}

static void listener_choose(struct gg_listener_options *options, unsigned index)
{
  static char names[SIM_LISTENERS][8];
  static struct gg_upstream_options all_upstreams[SIM_LISTENERS][SIM_UPSTREAMS];
  struct gg_upstream_options *upstreams = all_upstreams[index];
  snprintf(names[index], sizeof names[index], "l%u", index);
  upstreams[0] = (struct gg_upstream_options){
    .name = "u",
    .endpoint = {.family = GG_FAMILY_IPV4, .addr = {.ip = {10, 8, 8, 8}, .port = 80, .family = GG_FAMILY_IPV4}},
    .weight = 1,
  };
  *options = (struct gg_listener_options){
    .name = names[index],
    .listen = {.family = GG_FAMILY_IPV4,
               .addr = {.ip = {10, 9, 9, 9}, .port = (uint16_t)(7000 + index), .family = GG_FAMILY_IPV4},
               .port = (uint16_t)(7000 + index)},
    .upstreams = upstreams,
    .upstream_count = 1,
    .record = sim_chance(5) ? GG_RECORD_OFF : GG_RECORD_FULL,
    .on_stall = (enum gg_policy)sim_below(3),
    .on_full = (enum gg_policy)sim_below(3),
    .on_connect_failure = (enum gg_refusal)sim_below(2),
    .sessions_max = sim_chance(8) ? 1 + sim_below(8) : 0,
  };
  if (sim_chance(6)) {
    options->listen = (struct gg_endpoint){.family = GG_FAMILY_UNIX};
    snprintf(options->listen.path, sizeof options->listen.path, "@simulated-%u", index);
  } else if (sim_chance(6)) {
    memset(options->listen.addr.ip, 0, 4);
  }
  if (sim_chance(8)) {
    options->upstreams = NULL;
    options->upstream_count = 0;
    options->greeting = greeting;
    options->greeting_length = sim_chance(2) ? sizeof greeting - 1 : 0;
    return;
  }
  if (sim_chance(3)) {
    list_choose(options, upstreams);
  } else if (sim_chance(6)) {
    struct gg_endpoint *endpoint = &upstreams[0].endpoint;
    *endpoint = (struct gg_endpoint){.family = GG_FAMILY_UNIX};
    snprintf(endpoint->path, sizeof endpoint->path, "@simulated-upstream");
  }
  if (options->listen.family == GG_FAMILY_IPV4 && sim_chance(6)) {
    options->proxy_in = GG_PROXY_ANY;
    options->trusted = &everybody;
    options->trusted_count = 1;
  }
  if (sim_chance(6))
    options->proxy_out = sim_chance(2) ? GG_PROXY_V1 : GG_PROXY_V2;
}

static void faults_choose(struct sim_faults *faults)
{
  *faults = (struct sim_faults){.meddle = 2 + (unsigned)sim_below(30)};
  if (sim_chance(3)) /* a peaceful world, where everything has to go well */
    return;
  unsigned *each[] = {&faults->interrupt, &faults->again, &faults->shorter, &faults->tee, &faults->spurious};
  for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
    if (sim_chance(2))
      *each[i] = 3 + (unsigned)sim_below(100);
  if (sim_chance(4))
    faults->pipe = 2;
  if (sim_chance(4))
    faults->descriptors = 10 + (unsigned)sim_below(200);
  if (sim_chance(4))
    faults->watch = 5 + (unsigned)sim_below(100);
  if (sim_chance(4))
    faults->memory = 5 + (unsigned)sim_below(100);
  else if (sim_chance(4))
    faults->nth_memory = 1 + (unsigned)sim_below(60);
}

static void options_choose(struct gg_plane_options *options)
{
  static const uint64_t second = 1000000000;
  *options = (struct gg_plane_options){
    .size = sizeof *options,
    .workers = 1,
    .sessions_max = sim_chance(6) ? 1 + sim_below(20) : 0,
    .splice = (enum gg_splice_mode)sim_below(3),
    .pending_max = sim_chance(2) ? (size_t)65536 : (size_t)4096 << sim_below(6),
    .pending_total = sim_chance(4) ? (size_t)(1 + sim_below(7)) << 20 : (size_t)64 << 20,
    .connect_timeout_ns = second + sim_below(5 * second),
    .idle_timeout_ns = sim_chance(3) ? second + sim_below(60 * second) : 0,
    .proxy_header_timeout_ns = second,
    .source_sessions_max = sim_chance(6) ? 1 + sim_below(10) : 0,
    .source_rate_max = sim_chance(6) ? 1 + sim_below(50) : 0,
    .tarpit_timeout_ns = second / 10 + sim_below(10 * second), /* the peers do not leave */
    .source_prefix6 = 1 + (unsigned)sim_below(128),
    .first_byte_timeout_ns = sim_chance(6) ? second / 10 + sim_below(10 * second) : 0,
    .session_timeout_ns = sim_chance(6) ? second + sim_below(60 * second) : 0,
    .stall_timeout_ns = sim_chance(6) ? second / 10 + sim_below(10 * second) : 0,
    .sync_mode = sim_chance(4) ? GG_SYNC_ALWAYS : GG_SYNC_INTERVAL,
    .listeners = sim.config.listener,
    .listener_count = sim.config.listeners,
  };
}

static void configure(unsigned conns)
{
  struct sim_config *config = &sim.config;
  config->conns = conns ? conns : 1 + (unsigned)sim_size(64);
  config->spread_ns = sim_size(2000000000) + 1;
  config->bytes_max = sim_chance(4) ? 1 + sim_below(4000000) : sim_size(400000);
  config->rude = sim_chance(2) ? 2 + (unsigned)sim_below(20) : 0;
  config->deaf = sim_chance(2) ? 2 + (unsigned)sim_below(20) : 0;
  config->urgent = sim_chance(3) ? 2 : 0;
  config->connect_fails = sim_chance(2) ? 2 + (unsigned)sim_below(20) : 0;
  config->pipe_bytes = sim_chance(4) ? (size_t)4096 << sim_below(8) : (size_t)1 << 20;
  config->drain_early = sim_chance(5);
  config->ring_bytes = (uint64_t)1 << (18 + sim_below(4));
  config->disk_rate = 100000 + (sim_chance(3) ? sim_size(20000000) : sim_below(2000000000));
  config->disk_trouble = sim_chance(2) ? 2 + (unsigned)sim_below(10) : 0;
  config->listeners = 1 + sim_below(SIM_LISTENERS);
  for (unsigned i = 0; i < config->listeners; i++)
    listener_choose(&config->listener[i], i);
  faults_choose(&config->faults);
  options_choose(&config->options);
}

/* ── One seed ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool all_over(void)
{
  for (unsigned i = 0; i < sim.spawned; i++)
    if (!sim.conns[i].socket[GG_FROM_CLIENT].closed) /* some may not be accepted yet */
      return false;
  return sim.spawned == sim.config.conns && sim.plane->workers[0]->session_count == 0;
}

static void drain(uint64_t patience_ns)
{
  sim_trace("drain");
  sim.draining = true;
  gg_plane_drain(sim.plane, sim.now_ns + patience_ns);
}

static void drain_event(void *argument, unsigned number)
{
  (void)argument;
  (void)number;
  if (!sim.draining && sim.plane)
    drain(sim_below(2000000000));
}

/* Looks in now and then, so that an end is noticed; a worker must not need it. */
static void look_in(void *argument, unsigned number)
{
  (void)argument;
  if (!sim.plane || sim.draining)
    return;
  if (all_over())
    drain(60u * (uint64_t)1000000000);
  else
    sim_at(sim.now_ns + 500000000, look_in, NULL, number);
}

/* Somebody drains an upstream, or lets it go on. */
static void meddle_with_upstreams(void *argument, unsigned number)
{
  struct gg_upstream_status status;
  (void)argument;
  if (!sim.plane || sim.draining || gg_plane_upstream(sim.plane, sim_below(SIM_UPSTREAMS), &status) != 0)
    return;
  bool drained = sim_chance(2);
  sim.drained += drained;
  sim_trace("%s %s: %s", status.listener, status.name, drained ? "drained" : "not drained");
  if (gg_plane_upstream_drain(sim.plane, status.listener, status.name, drained, NULL) != 0)
    sim_fail("%s of %s is listed, and cannot be drained", status.name, status.listener);
  sim_at(sim.now_ns + sim_size(500000000), meddle_with_upstreams, NULL, number);
}

static void drive(void)
{
  struct gg_worker *worker = sim.plane->workers[0];
  sim_at(sim.now_ns, sim_conn_spawn, NULL, 0);
  sim_at(sim.now_ns + 1, look_in, NULL, 0);
  if (sim_chance(6))
    sim_at(sim.now_ns + sim_size(500000000), meddle_with_upstreams, NULL, 0);
  sim_reloads_begin();
  if (sim.config.drain_early)
    sim_at(sim.now_ns + sim_size(4000000000), drain_event, NULL, 0);
  uint64_t progress = 0;
  unsigned idle = 0, turns = 0;
  bool going = true;
  while (going) {
    sim.slept = false;
    sim.in_gateway = true;
    going = gg__worker_turn(worker);
    sim.in_gateway = false;
    sim_reload();
    if (sim.slept || sim.progress != progress)
      idle = 0;
    else if (++idle > IDLE_TURNS_MAX)
      sim_fail("the worker spins: %u turns without progress", idle);
    progress = sim.progress;
    if (++turns > TURNS_MAX)
      sim_fail("no end after %u turns", turns);
  }
  for (unsigned i = 0; i < worker->log_count; i++)
    if (worker->logs[i].log)
      gg_log_finish(worker->logs[i].log);
  uint64_t sources = gg_source_table_count(sim.plane->sources);
  if (sources > 0 && sim.config.options.source_rate_max == 0)
    sim_fail("%llu sources are held, and nobody is there", (unsigned long long)sources);
}

/* What was reached, summed over the seeds: a simulation that never stalls or splices proves little. */
static const char *const counted[] = {"spliced_bytes",       "tee_short",           "unrecorded_bytes",
                                      "worker_stalls",       "pending_exhausted",   "stall_closed",
                                      "accept_pauses",       "pipes_refused",       "refused_source_sessions",
                                      "refused_source_rate", "sessions_record_off", "hook_ended_sessions",
                                      "left_out_bytes",      "masked_bytes"};
static uint64_t sums[sizeof counted / sizeof counted[0]];

static void count(const struct gg_metrics *metrics)
{
  for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++) {
    struct gg_reading reading;
    if (metric_named(metrics, counted[i], &reading))
      sums[i] += reading.value;
  }
}

/* ── What is counted by route is what is counted in all ──────────────────────────────────────────────────────────── */

static void add_up(const struct gg_metrics *metrics, size_t family, size_t index, uint64_t *value, uint64_t *sum)
{
  struct gg_reading reading;
  *value = *sum = 0;
  for (size_t member = 0; gg_metrics_read_member(metrics, family, member, index, &reading) == 0; member++) {
    *value += reading.value;
    *sum += reading.sum;
  }
}

static void check_total(const struct gg_metrics *metrics, size_t family, size_t index, const char *total)
{
  struct gg_reading reading;
  uint64_t value, sum;
  add_up(metrics, family, index, &value, &sum);
  if (!metric_named(metrics, total, &reading) || reading.value != value || reading.sum != sum)
    sim_fail("%s: %llu (%llu) by route, %llu (%llu) in all", total, (unsigned long long)value, (unsigned long long)sum,
             (unsigned long long)reading.value, (unsigned long long)reading.sum);
}

static void check_off_record(const struct gg_metrics *metrics)
{
  struct gg_reading reading;
  if (!metric_named(metrics, "sessions_record_off", &reading) || reading.value != sim.off_record)
    sim_fail("%llu sessions were not recorded, %llu are counted", (unsigned long long)sim.off_record,
             (unsigned long long)reading.value);
}

static void check_routes(const struct gg_metrics *metrics)
{
  enum { PLUGINS, FLOWS, CONNECTS }; /* in the order in which they are registered */
  uint64_t answers, first_bytes, sum;
  check_total(metrics, FLOWS, GG_FLOW_CLOSED, "sessions_closed");
  check_total(metrics, FLOWS, GG_FLOW_OPEN, "sessions_open");
  check_off_record(metrics);
  check_total(metrics, FLOWS, GG_FLOW_RECEIVED_CLIENT, "received_client_bytes");
  check_total(metrics, FLOWS, GG_FLOW_RECEIVED_SERVER, "received_server_bytes");
  check_total(metrics, FLOWS, GG_FLOW_FORWARDED_CLIENT, "forwarded_client_bytes");
  check_total(metrics, FLOWS, GG_FLOW_FORWARDED_SERVER, "forwarded_server_bytes");
  check_total(metrics, CONNECTS, GG_CONNECT_REFUSED, "connects_refused");
  check_total(metrics, CONNECTS, GG_CONNECT_TIMED_OUT, "connects_timed_out");
  check_total(metrics, CONNECTS, GG_CONNECT_UNRESOLVED, "sessions_unresolved");
  check_total(metrics, CONNECTS, GG_CONNECT_OTHER, "connects_failed");
  check_total(metrics, CONNECTS, GG_CONNECT_LATENCY, "connect_latency_ns");
  add_up(metrics, CONNECTS, GG_CONNECT_LATENCY, &answers, &sum);
  add_up(metrics, CONNECTS, GG_CONNECT_FIRST_BYTE, &first_bytes, &sum);
  if (first_bytes > answers)
    sim_fail("%llu upstreams said something, %llu answered", (unsigned long long)first_bytes,
             (unsigned long long)answers);
}

static void run(uint64_t seed, unsigned conns)
{
  uint64_t sessions = sim.sessions, reloads = sim.reloads, tried = sim.tried, rewritten = sim.rewritten,
           bytes = sim.bytes, closes[32];
  bool trace = sim.trace;
  memcpy(closes, sim.closes, sizeof closes);
  sim = (struct sim_world){.seed = seed,
                           .random = seed * 0x9E3779B97F4A7C15u,
                           .now_ns = 1000000000000,
                           .sessions = sessions,
                           .tried = tried,
                           .rewritten = rewritten,
                           .bytes = bytes,
                           .reloads = reloads,
                           .trace = trace};
  memcpy(sim.closes, closes, sizeof closes);
  sim_world_reset();
  configure(conns);
  sim.conns = calloc(sim.config.conns, sizeof *sim.conns);
  struct gg_metrics *metrics;
  if (!sim.conns || gg_metrics_create(&metrics) != 0)
    abort();
  sim.config.options.metrics = metrics;
  sim_logs_begin();
  sim_rewrites_begin();
  sim_gates_begin(metrics);
  struct gg_failure failure = {0};
  struct gg_plane *plane = NULL;
  sim.in_gateway = true;
  int error = gg_plane_create(&plane, &sim.config.options, &failure);
  sim.in_gateway = false;
  if (error && sim.faults_made == 0)
    sim_fail("gg_plane_create: %s", gg_error_text(error));
  sim.plane = plane;
  sim_gates_set(plane);
  if (!error)
    drive();
  sim.plane = NULL;
  sim_gates_set(NULL);
  gg_plane_destroy(plane);
  sim_gates_end();
  sim_rewrites_end();
  sim_check_end();
  sim_logs_end();
  count(metrics);
  if (!error)
    check_routes(metrics);
  gg_metrics_destroy(metrics);
  free(sim.conns);
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
  static const char *const texts[] = {
#define TEXT(NAME, text) text,
    GG_CLOSE_LIST(TEXT)
#undef TEXT
  };
  printf("%llu seeds, %llu reloads, %llu sessions, %llu bytes:", (unsigned long long)seeds,
         (unsigned long long)sim.reloads, (unsigned long long)sim.sessions, (unsigned long long)sim.bytes);
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (sim.closes[i])
      printf(" %s %llu", texts[i], (unsigned long long)sim.closes[i]);
  printf("; reached:");
  printf(" upstreams tried in vain %llu", (unsigned long long)sim.tried);
  printf(" bytes rewritten %llu", (unsigned long long)sim.rewritten);
  for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++)
    printf(" %s %llu", counted[i], (unsigned long long)sums[i]);
  putchar('\n');
}

int main(void)
{
  setvbuf(stdout, NULL, _IOLBF, 0);
  sim.trace = number("GOGETWAY_SIM_TRACE", 0) != 0;
  unsigned conns = (unsigned)number("GOGETWAY_SIM_CONNS", 0);
  uint64_t one = number("GOGETWAY_SIM_SEED", 0);
  uint64_t seeds = one ? 1 : number("GOGETWAY_SIM_SEEDS", FIXED_SEEDS + 1);
  uint64_t first = real_random();
  if (!one && seeds > FIXED_SEEDS)
    printf("random seeds begin at %llu\n", (unsigned long long)first);
  for (uint64_t i = 0; i < seeds; i++)
    run(one ? one : i < FIXED_SEEDS ? i + 1 : first + i, conns);
  sim_world_fini();
  report(seeds);
  return 0;
}
