/* SPDX-License-Identifier: Apache-2.0 */
/**
 * replay_fakes.h - one player on an empty stage: a script in memory, a wire that does nothing by itself, a clock that
 * moves when the test says so.
 *
 *     fake_open(&fake);                                    a world, at millisecond 0
 *     fake_send(&fake, 0, "PING\r\n");                     the recording: at 0 ms the client sent this,
 *     fake_expect(&fake, 5, "PONG\r\n");                   at 5 ms the server that,
 *     fake_step(&fake, GG_STEP_OVER, 10);                  and at 10 ms it was over
 *     fake_begin(&fake);                                   the player connects,
 *     fake_connect(&fake, 1);                              and is connected at 1 ms of the replay
 *     fake_says(&fake, 7, "PONG\r\n");                     the live server answers at 7 ms
 *     fake_run(&fake, 1000);                               timers expire until then
 *
 * Times in calls are milliseconds, on the recording's or the replay's clock.
 */
#ifndef GG_TESTS_REPLAY_FAKES_H
#define GG_TESTS_REPLAY_FAKES_H

#include "replay/player.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FAKE_MS = 1000 * 1000, FAKE_STEPS_MAX = 400 * 1000, FAKE_SENDS_MAX = 300 * 1000, FAKE_BYTES = 8 << 20 };
#define FAKE_START UINT64_C(1000000000000)          /* of the replay, on the wire's clock */
#define FAKE_RECORDED UINT64_C(1700000000000000000) /* of the recording, UTC */
#define FAKE_TIMERS_MAX 2000000u                    /* more would be a player that never rests */

struct fake_sent {
  uint64_t at_ns; /* since the replay's start */
  size_t bytes;   /* all that were sent until then, these too */
  bool more;
};

struct gg_line {
  uint8_t unused;
};

struct fake {
  /* The recording. */
  struct gg_script script;
  struct gg_script_session facts;
  struct gg_step *steps;
  size_t step_count;
  uint8_t *recorded; /* bytes of all steps; gg_step.place says where */
  size_t recorded_bytes;
  uint64_t offset[2];
  int script_error; /* of every read, from `script_fails_at` reads on */
  uint64_t script_reads, script_fails_at;

  /* The wire. */
  struct gg_wire wire;
  struct gg_line line;
  uint64_t now_ns;
  uint64_t tick_ns; /* by which each look at the clock moves it */
  gg_wire_fn event;
  void *sink;
  bool connected, closed, closed_by_reset, finished;
  uint64_t finished_ns, closed_ns;
  int connect_error, failed_error;
  uint8_t *incoming; /* what the server has said and nobody has received */
  size_t incoming_from, incoming_bytes;
  bool incoming_end, incoming_reset, flood;
  uint8_t *outgoing;
  size_t outgoing_bytes;
  size_t room; /* what the socket takes; SIZE_MAX: all */
  bool refuses;
  struct fake_sent *sends;
  size_t send_count;
  unsigned clock_reads;

  /* The stage. */
  struct gg_replay_options options;
  struct gg_stage *stage;
  struct gg_player *player;
  uint64_t timer_ns;
  unsigned overs, stops;
};

static inline struct fake *fake_of_wire(struct gg_wire *wire)
{
  return GG_CONTAINER(wire, struct fake, wire);
}

static inline struct fake *fake_of_line(struct gg_line *line)
{
  return GG_CONTAINER(line, struct fake, line);
}

static inline struct fake *fake_of_script(const struct gg_script *script)
{
  return GG_CONTAINER((void *)(uintptr_t)script, struct fake, script);
}

/* ── The script ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline size_t fake_op_count(const struct gg_script *script)
{
  (void)script;
  return 1;
}

static inline void fake_op_session(const struct gg_script *script, size_t index, struct gg_script_session *out)
{
  (void)index;
  *out = fake_of_script(script)->facts;
}

static inline struct gg_cursor fake_op_steps(const struct gg_script *script, size_t index)
{
  (void)script;
  (void)index;
  return (struct gg_cursor){0, 0};
}

static inline int fake_script_check(struct fake *fake, struct gg_failure *failure)
{
  if (fake->script_error && fake->script_reads++ >= fake->script_fails_at)
    return gg_fail(failure, fake->script_error, "the script fails");
  return 0;
}

static inline int fake_op_next(struct gg_script *script, struct gg_cursor *cursor, struct gg_step *out,
                               struct gg_failure *failure)
{
  struct fake *fake = fake_of_script(script);
  int error = fake_script_check(fake, failure);
  if (error)
    return error;
  if (cursor->index == fake->step_count)
    return 0;
  *out = fake->steps[cursor->index++];
  return 1;
}

static inline int fake_op_bytes(struct gg_script *script, const struct gg_step *step, uint32_t skip, uint8_t *out,
                                uint32_t size, struct gg_failure *failure)
{
  struct fake *fake = fake_of_script(script);
  assert_true(step->kind == GG_STEP_SEND || step->kind == GG_STEP_EXPECT);
  assert_true(size <= step->length && skip <= step->length - size);
  int error = fake_script_check(fake, failure);
  if (!error)
    memcpy(out, fake->recorded + step->place + skip, size);
  return error;
}

static const struct gg_script_ops fake_script_ops = {.count = fake_op_count,
                                                     .session = fake_op_session,
                                                     .steps = fake_op_steps,
                                                     .next = fake_op_next,
                                                     .bytes = fake_op_bytes};

static inline struct gg_step *fake_step_ns(struct fake *fake, enum gg_step_kind kind, uint64_t at_ns)
{
  assert_true(fake->step_count < FAKE_STEPS_MAX);
  struct gg_step *step = &fake->steps[fake->step_count++];
  bool server = kind == GG_STEP_EXPECT || kind == GG_STEP_EXPECT_GAP;
  *step = (struct gg_step){.kind = (uint8_t)kind,
                           .time_ns = FAKE_RECORDED + at_ns,
                           .offset = fake->offset[server ? GG_SIDE_SERVER : GG_SIDE_CLIENT]};
  fake->facts.end_ns = step->time_ns;
  return step;
}

static inline struct gg_step *fake_step(struct fake *fake, enum gg_step_kind kind, uint64_t at_ms)
{
  return fake_step_ns(fake, kind, at_ms * FAKE_MS);
}

static inline struct gg_step *fake_payload(struct fake *fake, enum gg_step_kind kind, uint64_t at_ns, const void *data,
                                           size_t size, bool begins_chunk)
{
  enum gg_side side = kind == GG_STEP_SEND ? GG_SIDE_CLIENT : GG_SIDE_SERVER;
  struct gg_step *step = fake_step_ns(fake, kind, at_ns);
  assert_true(size <= GG_STEP_BYTES_MAX && fake->recorded_bytes + size <= FAKE_BYTES);
  memcpy(fake->recorded + fake->recorded_bytes, data, size);
  step->place = fake->recorded_bytes;
  step->length = (uint32_t)size;
  step->begins_chunk = begins_chunk;
  fake->recorded_bytes += size;
  fake->offset[side] += size;
  fake->facts.bytes[side] += size;
  fake->facts.chunks += side == GG_SIDE_CLIENT && begins_chunk;
  return step;
}

static inline void fake_send(struct fake *fake, uint64_t at_ms, const char *text)
{
  fake_payload(fake, GG_STEP_SEND, at_ms * FAKE_MS, text, strlen(text), true);
}

static inline void fake_expect(struct fake *fake, uint64_t at_ms, const char *text)
{
  fake_payload(fake, GG_STEP_EXPECT, at_ms * FAKE_MS, text, strlen(text), true);
}

/* `bytes` of the client or the server are missing. */
static inline void fake_gap(struct fake *fake, enum gg_step_kind kind, uint64_t at_ms, uint64_t bytes)
{
  struct gg_step *step = fake_step(fake, kind, at_ms);
  step->gap = bytes;
  fake->offset[kind == GG_STEP_SEND_GAP ? GG_SIDE_CLIENT : GG_SIDE_SERVER] += bytes;
  fake->facts.gaps += bytes;
}

/* ── The wire ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline uint64_t fake_op_now(struct gg_wire *wire)
{
  struct fake *fake = fake_of_wire(wire);
  fake->clock_reads++;
  fake->now_ns += fake->tick_ns;
  return fake->now_ns;
}

static inline int fake_op_connect(struct gg_wire *wire, gg_wire_fn event, void *sink, struct gg_line **out,
                                  struct gg_failure *failure)
{
  struct fake *fake = fake_of_wire(wire);
  if (fake->connect_error)
    return gg_fail(failure, fake->connect_error, "no connection");
  fake->event = event;
  fake->sink = sink;
  *out = &fake->line;
  return 0;
}

static inline void fake_op_ends(struct gg_line *line, struct gg_addr *local, struct gg_addr *remote)
{
  (void)line;
  *local = (struct gg_addr){.ip = {127, 0, 0, 1}, .port = 40000, .family = GG_FAMILY_IPV4};
  *remote = (struct gg_addr){.ip = {127, 0, 0, 1}, .port = 80, .family = GG_FAMILY_IPV4};
}

static inline int fake_op_error(struct gg_line *line)
{
  return fake_of_line(line)->failed_error;
}

static inline ssize_t fake_op_send(struct gg_line *line, const uint8_t *data, size_t size, bool more)
{
  struct fake *fake = fake_of_line(line);
  assert_true(fake->connected && !fake->closed && !fake->finished && size > 0);
  if (fake->refuses)
    return GG_ERR_CLOSED;
  if (fake->room == 0)
    return GG_ERR_AGAIN;
  size_t taken = size < fake->room ? size : fake->room;
  if (fake->room != SIZE_MAX)
    fake->room -= taken;
  assert_true(fake->outgoing_bytes + taken <= FAKE_BYTES && fake->send_count < FAKE_SENDS_MAX);
  memcpy(fake->outgoing + fake->outgoing_bytes, data, taken);
  fake->outgoing_bytes += taken;
  fake->sends[fake->send_count++] = (struct fake_sent){fake->now_ns - FAKE_START, fake->outgoing_bytes, more};
  return (ssize_t)taken;
}

static inline ssize_t fake_op_receive(struct gg_line *line, uint8_t *data, size_t size)
{
  struct fake *fake = fake_of_line(line);
  assert_true(fake->connected && !fake->closed && size > 0);
  if (fake->flood) {
    memset(data, 'f', size);
    return (ssize_t)size;
  }
  size_t left = fake->incoming_bytes - fake->incoming_from;
  if (left == 0 && fake->incoming_reset)
    return GG_ERR_CLOSED;
  if (left == 0)
    return fake->incoming_end ? 0 : GG_ERR_AGAIN;
  size_t taken = left < size ? left : size;
  memcpy(data, fake->incoming + fake->incoming_from, taken);
  fake->incoming_from += taken;
  return (ssize_t)taken;
}

static inline void fake_op_finish(struct gg_line *line)
{
  struct fake *fake = fake_of_line(line);
  assert_true(!fake->finished && !fake->closed);
  fake->finished = true;
  fake->finished_ns = fake->now_ns - FAKE_START;
}

static inline void fake_op_close(struct gg_line *line, bool reset)
{
  struct fake *fake = fake_of_line(line);
  assert_false(fake->closed);
  fake->closed = true;
  fake->closed_by_reset = reset;
  fake->closed_ns = fake->now_ns - FAKE_START;
}

static const struct gg_wire_ops fake_wire_ops = {.now = fake_op_now,
                                                 .connect = fake_op_connect,
                                                 .ends = fake_op_ends,
                                                 .error = fake_op_error,
                                                 .send = fake_op_send,
                                                 .receive = fake_op_receive,
                                                 .finish = fake_op_finish,
                                                 .close = fake_op_close};

/* ── The stage ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline struct fake *fake_of_stage(struct gg_stage *stage)
{
  return fake_of_wire(stage->wire);
}

static inline void fake_on_arm(struct gg_stage *stage, struct gg_player *player, uint64_t when_ns)
{
  struct fake *fake = fake_of_stage(stage);
  assert_ptr_equal(player, fake->player);
  assert_int_equal(fake->overs, 0);
  fake->timer_ns = when_ns;
}

static inline void fake_on_over(struct gg_stage *stage, struct gg_player *player)
{
  struct fake *fake = fake_of_stage(stage);
  assert_ptr_equal(player, fake->player);
  assert_true(fake->closed && fake->overs == 0);
  fake->overs++;
  fake->timer_ns = UINT64_MAX;
}

static inline void fake_on_stop(struct gg_stage *stage)
{
  fake_of_stage(stage)->stops++;
}

static inline void fake_open(struct fake *fake)
{
  memset(fake, 0, sizeof *fake);
  fake->script.ops = &fake_script_ops;
  fake->wire.ops = &fake_wire_ops;
  fake->steps = calloc(FAKE_STEPS_MAX, sizeof *fake->steps);
  fake->sends = calloc(FAKE_SENDS_MAX, sizeof *fake->sends);
  fake->recorded = malloc(FAKE_BYTES);
  fake->incoming = malloc(FAKE_BYTES);
  fake->outgoing = malloc(FAKE_BYTES);
  fake->stage = calloc(1, sizeof *fake->stage);
  fake->player = calloc(1, sizeof *fake->player);
  assert_true(fake->steps && fake->sends && fake->recorded && fake->incoming && fake->outgoing && fake->stage &&
              fake->player);
  memcpy(fake->facts.id, "019ac3f0b7e2a3c10000002a", sizeof fake->facts.id);
  fake->facts.start_ns = FAKE_RECORDED;
  fake->now_ns = FAKE_START;
  fake->room = SIZE_MAX;
  fake->timer_ns = UINT64_MAX;
  fake->options = (struct gg_replay_options)GG_REPLAY_OPTIONS_INIT;
  fake->stage->options = &fake->options;
  fake->stage->script = &fake->script;
  fake->stage->wire = &fake->wire;
  fake->stage->timing.speed_percent = 100;
  fake->stage->started_ns = FAKE_START;
  fake->stage->arm = fake_on_arm;
  fake->stage->over = fake_on_over;
  fake->stage->stop = fake_on_stop;
  assert_int_equal(gg__histogram_init(&fake->stage->latency), 0);
  assert_int_equal(gg__histogram_init(&fake->stage->lag), 0);
  assert_int_equal(gg__histogram_init(&fake->stage->slip), 0);
}

static inline void fake_close(struct fake *fake)
{
  if (fake->player->line) /* the test has seen enough */
    gg__player_cut(fake->player);
  gg__histogram_fini(&fake->stage->latency);
  gg__histogram_fini(&fake->stage->lag);
  gg__histogram_fini(&fake->stage->slip);
  free(fake->steps);
  free(fake->sends);
  free(fake->recorded);
  free(fake->incoming);
  free(fake->outgoing);
  free(fake->stage);
  free(fake->player);
}

static inline void fake_begin(struct fake *fake)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg__player_begin(fake->player, fake->stage, 0, 0, 0, FAKE_START, FAKE_START, &failure), 0);
}

static inline void fake_run_ns(struct fake *fake, uint64_t until_ns)
{
  for (unsigned i = 0; fake->timer_ns <= until_ns; i++) {
    assert_true(i < FAKE_TIMERS_MAX);
    if (fake->timer_ns > fake->now_ns)
      fake->now_ns = fake->timer_ns;
    else
      fake->now_ns++; /* a turn takes some time */
    fake->timer_ns = UINT64_MAX;
    gg__player_time(fake->player, fake->now_ns);
  }
  if (fake->now_ns < until_ns)
    fake->now_ns = until_ns;
}

/* Lets timers expire until then, and the clock be then. */
static inline void fake_run(struct fake *fake, uint64_t until_ms)
{
  fake_run_ns(fake, FAKE_START + until_ms * FAKE_MS);
}

static inline bool fake_has_more(const struct fake *fake)
{
  return !fake->closed && (fake->incoming_from < fake->incoming_bytes || fake->incoming_end || fake->incoming_reset);
}

/* An end behind bytes has an event of its own, as the wire promises. */
static inline void fake_event(struct fake *fake, unsigned events)
{
  assert_false(fake->closed);
  fake->event(fake->sink, events);
  if (fake_has_more(fake) && fake->connected)
    fake->event(fake->sink, GG_WIRE_READABLE);
}

static inline void fake_connect(struct fake *fake, uint64_t at_ms)
{
  fake_run(fake, at_ms);
  fake->connected = true;
  fake_event(fake, GG_WIRE_CONNECTED | GG_WIRE_WRITABLE);
}

static inline void fake_push(struct fake *fake, const void *data, size_t size)
{
  if (fake->incoming_from == fake->incoming_bytes)
    fake->incoming_from = fake->incoming_bytes = 0;
  assert_true(fake->incoming_bytes + size <= FAKE_BYTES);
  memcpy(fake->incoming + fake->incoming_bytes, data, size);
  fake->incoming_bytes += size;
}

static inline void fake_says(struct fake *fake, uint64_t at_ms, const char *text)
{
  fake_run(fake, at_ms);
  fake_push(fake, text, strlen(text));
  fake_event(fake, GG_WIRE_READABLE);
}

static inline void fake_ends(struct fake *fake, uint64_t at_ms)
{
  fake_run(fake, at_ms);
  fake->incoming_end = true;
  fake_event(fake, GG_WIRE_READABLE);
}

static inline void fake_resets(struct fake *fake, uint64_t at_ms)
{
  fake_run(fake, at_ms);
  fake->incoming_reset = true;
  fake_event(fake, GG_WIRE_READABLE);
}

/* When the byte at this offset of all that was sent went, in nanoseconds since the replay's start. */
static inline uint64_t fake_sent_ns(const struct fake *fake, size_t offset)
{
  for (size_t i = 0; i < fake->send_count; i++)
    if (fake->sends[i].bytes > offset)
      return fake->sends[i].at_ns;
  return UINT64_MAX;
}

#endif
