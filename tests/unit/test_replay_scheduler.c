/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler with a clock of its own and players that do nothing but take up a place for a while. */
#include "base/clock.h"
#include "replay/heap.h"
#include "replay/report.h"
#include "replay/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000000, BEGUN_MAX = 40000 };
#define RECORDED_NS UINT64_C(1700000000000000000)

/* ── A world ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct begun {
  size_t session;
  uint64_t loop, copy, due_ns, anchor_ns, at_ns;
};

static struct {
  struct gg_wire wire;
  uint64_t now_ns, started_ns;
  uint64_t begin_cost_ns, oversleep_ns;
  unsigned interrupts, waits;
  struct gg_script script;
  struct gg_script_session *sessions;
  size_t count;
  uint64_t plays_ns; /* a player's time */
  uint64_t limit_from_ns, limit_until_ns;
  uint32_t limit_open; /* so many connections the system has; 0: any number */
  int error;           /* of every connect */
  struct begun begun[BEGUN_MAX];
  size_t begun_count, open, open_max, tries;
  struct gg_player *seen[64]; /* players by their memory */
  size_t seen_count;
  struct gg_replay_options options;
  struct gg_scheduler *scheduler;
  size_t rows, told, cut, progress_count;
  size_t stop_after; /* sessions told */
  int report_error;
  struct gg_replay_session last;
  struct gg_replay_progress progress, before_last;
  struct gg_replay_outcome outcome;
  struct gg_failure failure;
} world;

static uint64_t wire_now(struct gg_wire *wire)
{
  (void)wire;
  return world.now_ns;
}

static void wire_wait(struct gg_wire *wire, uint64_t deadline_ns)
{
  (void)wire;
  world.waits++;
  assert_true(deadline_ns != UINT64_MAX); /* nothing else happens in this world: it would be for ever */
  if (deadline_ns > world.now_ns)
    world.now_ns = deadline_ns + world.oversleep_ns;
}

static void wire_interrupt(struct gg_wire *wire)
{
  (void)wire;
  world.interrupts++;
}

static const struct gg_wire_ops wire_ops = {.now = wire_now, .wait = wire_wait, .interrupt = wire_interrupt};

static size_t script_count(const struct gg_script *script)
{
  (void)script;
  return world.count;
}

static void script_session(const struct gg_script *script, size_t index, struct gg_script_session *out)
{
  (void)script;
  *out = world.sessions[index];
}

static const struct gg_script_ops script_ops = {.count = script_count, .session = script_session};

int __wrap_gg__player_begin(struct gg_player *player, struct gg_stage *stage, size_t session, uint64_t copy,
                            uint64_t loop, uint64_t due_ns, uint64_t anchor_ns, struct gg_failure *failure);
int __wrap_gg__player_begin(struct gg_player *player, struct gg_stage *stage, size_t session, uint64_t copy,
                            uint64_t loop, uint64_t due_ns, uint64_t anchor_ns, struct gg_failure *failure)
{
  (void)failure;
  world.tries++;
  if (world.error)
    return world.error;
  bool limited = world.now_ns >= world.limit_from_ns && world.now_ns < world.limit_until_ns;
  if (limited || (world.limit_open && world.open == world.limit_open))
    return GG_ERR_LIMIT;
  assert_true(world.begun_count < BEGUN_MAX);
  assert_true(stage->started_ns == world.started_ns && world.now_ns >= due_ns && anchor_ns >= due_ns);
  world.begun[world.begun_count++] = (struct begun){.session = session,
                                                    .loop = loop,
                                                    .copy = copy,
                                                    .due_ns = due_ns - world.started_ns,
                                                    .anchor_ns = anchor_ns - world.started_ns,
                                                    .at_ns = world.now_ns - world.started_ns};
  size_t known = 0;
  while (known < world.seen_count && world.seen[known] != player)
    known++;
  if (known == world.seen_count && known < sizeof world.seen / sizeof world.seen[0])
    world.seen[world.seen_count++] = player;
  player->stage = stage;
  player->session = session;
  world.now_ns += world.begin_cost_ns;
  if (++world.open > world.open_max)
    world.open_max = world.open;
  stage->arm(stage, player, world.now_ns + world.plays_ns);
  return 0;
}

static void over(struct gg_player *player, enum gg_replay_verdict verdict)
{
  world.open--;
  player->outcome.id = world.sessions[player->session].id;
  player->outcome.verdict = verdict;
  player->stage->over(player->stage, player);
}

void __wrap_gg__player_time(struct gg_player *player, uint64_t now_ns);
void __wrap_gg__player_time(struct gg_player *player, uint64_t now_ns)
{
  assert_true(now_ns == world.now_ns && player->when_ns == UINT64_MAX);
  over(player, GG_REPLAY_EQUAL);
}

void __wrap_gg__player_cut(struct gg_player *player);
void __wrap_gg__player_cut(struct gg_player *player)
{
  world.cut++;
  over(player, GG_REPLAY_UNFINISHED);
}

int __wrap_gg__report_session(struct gg_report *report, const struct gg_replay_session *session,
                              struct gg_failure *failure);
int __wrap_gg__report_session(struct gg_report *report, const struct gg_replay_session *session,
                              struct gg_failure *failure)
{
  (void)report;
  (void)session;
  world.rows++;
  return world.report_error ? gg_fail(failure, world.report_error, "the report is full") : 0;
}

static void on_session(void *context, const struct gg_replay_session *session)
{
  (void)context;
  world.last = *session;
  if (++world.told == world.stop_after)
    gg__scheduler_stop(world.scheduler);
}

static void on_progress(void *context, const struct gg_replay_progress *progress)
{
  (void)context;
  world.progress_count++;
  world.before_last = world.progress;
  world.progress = *progress;
}

static void begin_world(size_t count, uint64_t apart_ns)
{
  free(world.sessions);
  memset(&world, 0, sizeof world);
  world.wire.ops = &wire_ops;
  world.script.ops = &script_ops;
  world.now_ns = world.started_ns = 1000000 * GG_NS_PER_S;
  world.count = count;
  world.sessions = calloc(count, sizeof *world.sessions);
  assert_non_null(world.sessions);
  for (size_t i = 0; i < count; i++) {
    snprintf(world.sessions[i].id, sizeof world.sessions[i].id, "%024zx", i);
    world.sessions[i].start_ns = RECORDED_NS + i * apart_ns;
    world.sessions[i].end_ns = world.sessions[i].start_ns + 10;
    world.sessions[i].chunks = 3;
  }
  world.plays_ns = 10;
  world.options = (struct gg_replay_options)GG_REPLAY_OPTIONS_INIT;
  world.options.on_session = on_session;
}

static int run(uint32_t connections_max)
{
  const struct gg_scheduler_options options = {
    .options = &world.options,
    .script = &world.script,
    .wire = &world.wire,
    .rules = (const struct gg_rules *)&world, /* not looked at */
    .report = (struct gg_report *)&world,
    .connections_max = connections_max,
  };
  assert_int_equal(gg__scheduler_create(&world.scheduler, &options, &world.failure), 0);
  int error = gg__scheduler_run(world.scheduler, &world.failure);
  gg__scheduler_outcome(world.scheduler, &world.outcome);
  gg__scheduler_destroy(world.scheduler);
  assert_int_equal(world.open, 0);
  assert_int_equal(world.rows, world.told);
  uint64_t sum = 0;
  for (size_t i = 0; i < GG_REPLAY_VERDICTS; i++)
    sum += world.outcome.sessions[i];
  assert_int_equal(sum, world.outcome.sessions_planned);
  assert_int_equal(world.outcome.connections_peak, world.open_max);
  assert_true(world.open_max <= connections_max);
  return error;
}

/* ── Beginning ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void sessions_begin_by_loop_session_and_copy(void **state)
{
  (void)state;
  begin_world(3, 5 * MS);
  world.options.copies = 2;
  world.options.loops = 2;
  assert_int_equal(run(100), 0);
  assert_int_equal(world.begun_count, 12);
  for (size_t i = 0; i < 12; i++) {
    assert_int_equal(world.begun[i].loop, i / 6);
    assert_int_equal(world.begun[i].session, i % 6 / 2);
    assert_int_equal(world.begun[i].copy, i % 2);
    assert_int_equal(world.begun[i].due_ns, (i / 6) * (10 * MS + 10) + (i % 6 / 2) * 5 * MS);
    assert_int_equal(world.begun[i].at_ns, world.begun[i].due_ns);
  }
  assert_int_equal(world.outcome.sessions[GG_REPLAY_EQUAL], 12);
  assert_int_equal(world.outcome.sessions_held, 0);
  assert_false(world.outcome.partial);
  assert_int_equal(world.outcome.elapsed_ns, 2 * (10 * MS + 10)); /* ten of them play on */
}

static void an_hour_does_not_drift(void **state)
{
  (void)state;
  begin_world(36000, 100 * MS);
  world.begin_cost_ns = 7003;
  world.oversleep_ns = 61001; /* what a timer of the kernel adds, every time */
  world.plays_ns = 250 * MS;
  assert_int_equal(run(100), 0);
  uint64_t late_max = 0;
  for (size_t i = 0; i < world.begun_count; i++) {
    uint64_t exact = i * 100 * MS;
    assert_true(world.begun[i].due_ns == exact && world.begun[i].anchor_ns == exact);
    if (world.begun[i].at_ns - exact > late_max)
      late_max = world.begun[i].at_ns - exact;
  }
  assert_int_equal(world.begun_count, 36000);
  assert_true(late_max < 100000);
}

static void what_is_not_to_be_played_is_counted_and_left_out(void **state)
{
  (void)state;
  begin_world(5, MS);
  world.sessions[0].opaque = "TLS";
  world.sessions[2].gaps = 1;
  world.sessions[4].beginning_missing = true;
  world.options.copies = 3;
  assert_int_equal(run(100), 0);
  assert_int_equal(world.begun_count, 6);
  assert_int_equal(world.begun[0].session, 1);
  assert_int_equal(world.begun[0].due_ns, 0); /* the first that is played is when the replay begins */
  assert_int_equal(world.begun[3].due_ns, 2 * MS);
  assert_int_equal(world.outcome.sessions_planned, 15);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_OPAQUE], 3);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_PARTIAL], 6);
  assert_string_equal(gg__session_skipped(&world.sessions[0], &world.options), "opaque: TLS");
  assert_string_equal(gg__session_skipped(&world.sessions[1], &world.options), "");
  assert_string_equal(gg__session_skipped(&world.sessions[2], &world.options), "gaps");
  assert_string_equal(gg__session_skipped(&world.sessions[4], &world.options), "beginning missing");
  world.options.include_partial = true;
  assert_string_equal(gg__session_skipped(&world.sessions[2], &world.options), "");
  assert_string_equal(gg__session_skipped(&world.sessions[4], &world.options), "");
  assert_string_equal(gg__session_skipped(&world.sessions[0], &world.options), "opaque: TLS");
}

static void nothing_to_play_is_no_trouble(void **state)
{
  (void)state;
  begin_world(2, MS);
  world.sessions[0].opaque = world.sessions[1].opaque = "SSH";
  assert_string_equal(gg__session_skipped(&world.sessions[0], &world.options), "opaque: SSH");
  assert_int_equal(run(1), 0);
  assert_int_equal(world.begun_count, 0);
  begin_world(0, MS);
  assert_int_equal(run(1), 0);
  assert_false(world.outcome.partial);
}

/* ── Places ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void a_full_house_holds_the_next_and_their_times_count_from_then(void **state)
{
  (void)state;
  begin_world(8, 10 * MS);
  world.plays_ns = 40 * MS;
  assert_int_equal(run(2), 0);
  assert_int_equal(world.open_max, 2);
  static const uint64_t at_ms[] = {0, 10, 40, 50, 80, 90, 120, 130};
  for (size_t i = 0; i < 8; i++) {
    assert_int_equal(world.begun[i].session, i);
    assert_int_equal(world.begun[i].due_ns, i * 10 * MS);
    assert_int_equal(world.begun[i].at_ns, at_ms[i] * MS);
    assert_int_equal(world.begun[i].anchor_ns, at_ms[i] * MS);
  }
  assert_int_equal(world.outcome.sessions_held, 6);
  assert_int_equal(world.outcome.held_max_ns, 60 * MS);
  assert_int_equal(world.seen_count, 2); /* their memory is used again */
}

static void those_behind_a_held_one_are_held_with_it(void **state)
{
  (void)state;
  begin_world(4, 10 * MS); /* due at 0, 10, 20, 30 */
  world.plays_ns = 35 * MS;
  world.options.copies = 2; /* both places are free again at once */
  assert_int_equal(run(2), 0);
  for (size_t i = 0; i < 8; i++)
    assert_int_equal(world.begun[i].anchor_ns, i / 2 * 35 * MS);
  assert_int_equal(world.outcome.sessions_held, 6);
}

static void being_late_by_ourselves_moves_no_times(void **state)
{
  (void)state;
  begin_world(200, MS);
  world.oversleep_ns = 50 * MS; /* this process was not run */
  assert_int_equal(run(1000), 0);
  for (size_t i = 0; i < 200; i++)
    assert_int_equal(world.begun[i].anchor_ns, i * MS);
  assert_int_equal(world.outcome.sessions_held, 0);
}

static void as_fast_as_possible_with_a_ramp_connections_grow(void **state)
{
  (void)state;
  begin_world(2000, MS);
  world.options.speed_percent = 0;
  world.options.ramp_ns = 100 * MS;
  world.plays_ns = MS;
  assert_int_equal(run(11), 0);
  assert_int_equal(world.open_max, 11);
  assert_int_equal(world.begun[0].at_ns, 0);
  assert_int_equal(world.begun[1].at_ns, MS);
  /* In the first ten milliseconds there is place for one, in the second for two, ... */
  size_t in[12] = {0};
  for (size_t i = 0; i < world.begun_count; i++)
    in[world.begun[i].at_ns / (10 * MS) < 11 ? world.begun[i].at_ns / (10 * MS) : 11]++;
  for (size_t i = 0; i < 10; i++)
    assert_in_range(in[i], 10 * (i + 1) - 1, 10 * (i + 1) + i + 2);
  assert_int_equal(world.begun_count, 2000);
}

static void a_rate_begins_them_evenly(void **state)
{
  (void)state;
  begin_world(100, 0);
  world.options.speed_percent = 0;
  world.options.rate = 30;
  world.options.loops = 2;
  assert_int_equal(run(100), 0);
  for (size_t i = 0; i < 200; i++)
    assert_int_equal(world.begun[i].at_ns, i * GG_NS_PER_S / 30);
}

/* ── The system's limits ─────────────────────────────────────────────────────────────────────────────────────────── */

static void a_limit_is_tried_again(void **state)
{
  (void)state;
  begin_world(3, 10 * MS);
  world.limit_until_ns = world.started_ns + 70 * MS;
  assert_int_equal(run(5), 0);
  assert_int_equal(world.begun_count, 3);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(world.begun[i].at_ns, 80 * MS);
    assert_int_equal(world.begun[i].anchor_ns, 80 * MS);
  }
  assert_int_equal(world.tries, 4 + 3);
  assert_int_equal(world.outcome.sessions_held, 3);
  assert_int_equal(world.outcome.held_max_ns, 80 * MS);
}

static void a_limit_is_tried_again_when_a_connection_has_ended(void **state)
{
  (void)state;
  begin_world(4, 0);
  world.plays_ns = 7 * MS;
  world.limit_open = 2;
  assert_int_equal(run(5), 0);
  assert_int_equal(world.begun[2].at_ns, 7 * MS);
  assert_int_equal(world.begun[3].at_ns, 7 * MS);
  assert_int_equal(world.outcome.sessions_held, 2);
}

static void a_limit_that_lasts_ends_the_session(void **state)
{
  (void)state;
  begin_world(3, 10 * MS);
  world.options.connect_timeout_ns = GG_NS_PER_S;
  world.limit_until_ns = UINT64_MAX;
  assert_int_equal(run(5), 0);
  assert_int_equal(world.begun_count, 0);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_DIFFERENT], 3);
  assert_int_equal(world.last.difference.kind, GG_REPLAY_DIFFERENCE_LOCAL);
  assert_int_equal(world.last.due_ns, 20 * MS);
  assert_int_equal(world.outcome.counts.chunks_unsent, 9);
  assert_int_equal(world.outcome.connections_refused, 0);
  /* All three waited for the same thing: the second does not wait as long once more. */
  assert_true(world.outcome.elapsed_ns >= GG_NS_PER_S && world.outcome.elapsed_ns < GG_NS_PER_S + 100 * MS);
}

static void only_a_limit_with_nothing_open_ends_a_session(void **state)
{
  (void)state;
  begin_world(2, 10 * MS);
  world.options.connect_timeout_ns = 50 * MS;
  world.plays_ns = 500 * MS;
  world.limit_open = 1; /* the second one waits for the first, */
  world.limit_from_ns = world.started_ns + 5 * MS;
  world.limit_until_ns = world.started_ns + 530 * MS; /* ... and 30 ms more */
  assert_int_equal(run(5), 0);
  assert_int_equal(world.begun_count, 2);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_EQUAL], 2);
}

static void those_behind_one_that_failed_by_a_limit_have_waited_as_well(void **state)
{
  (void)state;
  begin_world(3, 10 * MS);
  world.options.connect_timeout_ns = 50 * MS;
  world.limit_until_ns = world.started_ns + 70 * MS;
  assert_int_equal(run(5), 0);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_DIFFERENT], 1);
  assert_int_equal(world.begun_count, 2);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(world.begun[i].session, i + 1);
    assert_int_equal(world.begun[i].at_ns, 80 * MS);
    assert_int_equal(world.begun[i].anchor_ns, 80 * MS);
  }
}

static void a_connect_that_fails_at_once_is_a_refusal(void **state)
{
  (void)state;
  begin_world(3, 10 * MS);
  world.sessions[1].refused = true;
  world.error = GG_ERR_REFUSED;
  assert_int_equal(run(5), 0);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_DIFFERENT], 2);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_EQUAL], 1); /* it was when recorded */
  assert_int_equal(world.last.difference.kind, GG_REPLAY_DIFFERENCE_REFUSED);
  assert_int_equal(world.outcome.connections_refused, 3);
  begin_world(1, 0);
  world.error = GG_ERR_DENIED;
  assert_int_equal(run(5), 0);
  assert_int_equal(world.last.difference.kind, GG_REPLAY_DIFFERENCE_LOCAL);
}

/* ── Ends ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void a_stop_cuts_what_is_open_and_begins_no_more(void **state)
{
  (void)state;
  begin_world(100, 10 * MS);
  world.plays_ns = 35 * MS;
  world.stop_after = 10;
  assert_int_equal(run(50), 0);
  assert_true(world.outcome.partial);
  assert_int_equal(world.interrupts, 1);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_EQUAL], 10);
  assert_true(world.cut > 0 && world.begun_count == 10 + world.cut);
  assert_int_equal(world.outcome.sessions[GG_REPLAY_UNFINISHED], 90);
  assert_int_equal(world.told, world.begun_count);
}

static void a_stop_at_the_very_end_is_none(void **state)
{
  (void)state;
  begin_world(10, 10 * MS);
  world.stop_after = 10;
  assert_int_equal(run(50), 0);
  assert_false(world.outcome.partial);
}

static void a_report_that_cannot_be_written_ends_the_replay(void **state)
{
  (void)state;
  begin_world(10, 10 * MS);
  world.report_error = GG_ERR_NO_SPACE;
  assert_int_equal(run(50), GG_ERR_NO_SPACE);
  assert_string_equal(world.failure.message, "the report is full");
  assert_true(world.outcome.partial);
  assert_int_equal(world.begun_count, 1);
}

static void progress_is_told_five_times_a_second_and_at_the_end(void **state)
{
  (void)state;
  begin_world(2, 2000 * MS);
  world.sessions[1].end_ns = world.sessions[1].start_ns + 500 * MS;
  world.plays_ns = 500 * MS;
  world.options.on_progress = on_progress;
  assert_int_equal(run(50), 0);
  assert_in_range(world.progress_count, 12, 13);
  assert_int_equal(world.progress.sessions_done, 2);
  assert_int_equal(world.progress.sessions_planned, 2);
  assert_int_equal(world.progress.left_ns, 0);
  assert_int_equal(world.progress.connections_open, 0);
  assert_int_equal(world.before_last.sessions_done, 1);
  assert_int_equal(world.before_last.connections_open, 1);
  assert_int_equal(world.before_last.elapsed_ns + world.before_last.left_ns, UINT64_C(2500) * MS);
}

/* ── The heap ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void timers_expire_in_order_whatever_was_moved(void **state)
{
  (void)state;
  enum { PLAYERS = 500 };
  struct gg_heap heap = {0};
  struct gg_player *players = calloc(PLAYERS, sizeof *players);
  assert_non_null(players);
  assert_true(gg__heap_reserve(&heap, PLAYERS));
  uint64_t random = 88172645463325252;
  for (size_t i = 0; i < PLAYERS; i++)
    players[i].heap_index = SIZE_MAX;
  for (size_t i = 0; i < 20000; i++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    uint64_t when = random >> 20 & 7 ? random >> 32 & 1023 : UINT64_MAX;
    gg__heap_set(&heap, &players[random % PLAYERS], when);
  }
  size_t in = 0;
  for (size_t i = 0; i < PLAYERS; i++)
    in += players[i].heap_index != SIZE_MAX;
  assert_int_equal(in, heap.count);
  assert_true(in > PLAYERS / 2);
  uint64_t before = 0;
  for (; heap.count; in--) {
    struct gg_player *first = gg__heap_first(&heap);
    assert_true(first->when_ns >= before);
    before = first->when_ns;
    gg__heap_set(&heap, first, UINT64_MAX);
  }
  assert_int_equal(in, 0);
  assert_null(gg__heap_first(&heap));
  gg__heap_fini(&heap);
  free(players);
}

static int end_world(void **state)
{
  (void)state;
  free(world.sessions);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(sessions_begin_by_loop_session_and_copy),
    cmocka_unit_test(an_hour_does_not_drift),
    cmocka_unit_test(what_is_not_to_be_played_is_counted_and_left_out),
    cmocka_unit_test(nothing_to_play_is_no_trouble),
    cmocka_unit_test(a_full_house_holds_the_next_and_their_times_count_from_then),
    cmocka_unit_test(those_behind_a_held_one_are_held_with_it),
    cmocka_unit_test(being_late_by_ourselves_moves_no_times),
    cmocka_unit_test(as_fast_as_possible_with_a_ramp_connections_grow),
    cmocka_unit_test(a_rate_begins_them_evenly),
    cmocka_unit_test(a_limit_is_tried_again),
    cmocka_unit_test(a_limit_is_tried_again_when_a_connection_has_ended),
    cmocka_unit_test(a_limit_that_lasts_ends_the_session),
    cmocka_unit_test(only_a_limit_with_nothing_open_ends_a_session),
    cmocka_unit_test(those_behind_one_that_failed_by_a_limit_have_waited_as_well),
    cmocka_unit_test(a_connect_that_fails_at_once_is_a_refusal),
    cmocka_unit_test(a_stop_cuts_what_is_open_and_begins_no_more),
    cmocka_unit_test(a_stop_at_the_very_end_is_none),
    cmocka_unit_test(a_report_that_cannot_be_written_ends_the_replay),
    cmocka_unit_test(progress_is_told_five_times_a_second_and_at_the_end),
    cmocka_unit_test(timers_expire_in_order_whatever_was_moved),
  };
  return cmocka_run_group_tests(tests, NULL, end_world);
}
