/* SPDX-License-Identifier: Apache-2.0 */
/* Plug-ins that observe: what a worker tells of comes to them in order, and what does not come is counted, wherever it
 * was lost. There is no log here: reading from it is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hook/observe.h"
#include "hook_fixture.h"
#include "record/log.h"

#include <sched.h>
#include <semaphore.h>
#include <unistd.h>

/* The byte of the log at a position. */
static uint8_t byte_at(uint64_t position)
{
  return (uint8_t)(position * 7 + position / 251);
}

/* The reader comes too late for what lies from `late_from` to `late_to`; and it waits while it is told to. */
static struct {
  _Atomic uint64_t late_from, late_to;
  _Atomic bool waits;
  _Atomic unsigned waiting;
} reading;

bool __wrap_gg_log_copy(struct gg_log *log, uint64_t position, void *to, size_t bytes);
bool __wrap_gg_log_copy(struct gg_log *log, uint64_t position, void *to, size_t bytes)
{
  uint8_t *at = to;
  (void)log;
  if (reading.waits) {
    reading.waiting++;
    while (reading.waits)
      sched_yield();
  }
  if (position >= reading.late_from && position < reading.late_to)
    return false;
  for (size_t i = 0; i < bytes; i++)
    at[i] = byte_at(position + i);
  return true;
}

/* ── The plug-in ─────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { NOTES_MAX = 20000 };
static struct {
  sem_t *sleeps;  /* each call waits for it; NULL: none does */
  unsigned wrong; /* bytes */
  unsigned count;
  struct gg_observed notes[NOTES_MAX];
  _Atomic unsigned calls;
} plug;

/* In these tests a stream's byte n lies at position n of the log. */
static void on_observe(void *self, const struct gg_observed *piece)
{
  (void)self;
  plug.calls++;
  if (plug.sleeps)
    sem_wait(plug.sleeps);
  for (size_t i = 0; i < piece->length; i++)
    plug.wrong += piece->bytes[i] != byte_at(piece->offset + i);
  if (plug.count < NOTES_MAX)
    plug.notes[plug.count++] = *piece;
}

static const struct gg_plugin table = {GG_PLUGIN_HEAD, .name = "watch", .observe = on_observe};

static struct gg_session_key key_of(unsigned n)
{
  struct gg_session_key key;
  snprintf(key.text, sizeof key.text, "%024u", n);
  return key;
}

struct world {
  struct hook_fixture f;
  struct gg_hook *hook;
  struct gg_hook_feed *feed;
};

static void make(struct world *w)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  memset(&plug, 0, sizeof plug);
  reading.late_from = reading.late_to = 0;
  reading.waits = false;
  reading.waiting = 0;
  hook_fixture_make(&w->f);
  w->hook = hook_fixture_hook(&w->f, &table);
  assert_null(gg_hook_feed_create(&w->f.desk)); /* nobody observes yet */
  assert_int_equal(gg_hook_start(w->hook, &failure), 0);
  w->feed = gg_hook_feed_create(&w->f.desk);
  assert_non_null(w->feed);
}

/* All that was told of is with the plug-in. */
static void unmake(struct world *w)
{
  gg_hook_desk_stop(&w->f.desk);
  gg_hook_unref(w->hook);
  hook_fixture_unmake(&w->f);
}

static struct gg_hook_watch *begin(struct world *w, unsigned session, enum gg_side from, uint64_t offset)
{
  struct gg_session_key key = key_of(session);
  struct gg_hook_watch *watch;
  assert_int_equal(gg_hook_watch_begin(&watch, w->hook, w->f.shard, &key, from, offset), 0);
  return watch;
}

static void chunk(struct world *w, struct gg_hook_watch *watch, uint64_t offset, size_t bytes)
{
  gg_hook_watch_chunk(w->feed, watch, (struct gg_log *)w, offset, offset, bytes, 1000 + offset);
}

static void end(struct world *w, struct gg_hook_watch *watch, uint64_t offset)
{
  gg_hook_watch_end(w->feed, watch, w->f.shard, offset);
}

static uint64_t observed_now(const struct world *w)
{
  struct gg_reading reading_of;
  assert_int_equal(gg_metrics_read_member(w->f.metrics, 0, w->hook->member, GG__HOOK_OBSERVED_AT, &reading_of), 0);
  return reading_of.value;
}

static void wait_calls(unsigned calls)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (plug.calls < calls) {
    assert_true(gg_clock_mono_ns() < deadline_ns);
    usleep(200);
  }
}

/* A stream from `start` to its end: every byte of it was shown or missed. */
static void check_stream(unsigned session, enum gg_side from, uint64_t start, uint64_t stop, uint64_t *missed)
{
  struct gg_session_key key = key_of(session);
  uint64_t at = start;
  bool ended = false;
  *missed = 0;
  for (unsigned i = 0; i < plug.count; i++) {
    const struct gg_observed *note = &plug.notes[i];
    if (note->from != from || strcmp(note->key.text, key.text) != 0 || note->offset < start || note->offset > stop)
      continue;
    assert_false(ended);
    assert_int_equal(note->size, sizeof *note);
    assert_int_equal(note->offset, at + note->missed);
    assert_int_equal(note->length == 0, note->ended);
    if (!note->ended)
      assert_int_equal(note->real_ns, 1000 + note->offset);
    at = note->offset + note->length;
    *missed += note->missed;
    ended = note->ended;
  }
  assert_true(ended);
  assert_int_equal(at, stop);
  assert_int_equal(plug.wrong, 0);
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void it_sees_all_in_order(void **state)
{
  struct world w;
  uint64_t missed;
  (void)state;
  make(&w);
  struct gg_hook_watch *one = begin(&w, 1, GG_SIDE_CLIENT, 0), *other = begin(&w, 1, GG_SIDE_SERVER, 500);
  assert_int_equal(observed_now(&w), 2);
  for (uint64_t i = 0; i < 100; i++) {
    chunk(&w, one, i * 10, 10);
    chunk(&w, other, 500 + i * 3, 3);
  }
  end(&w, one, 1000);
  wait_calls(201); /* the reader may sleep by then: what follows wakes it */
  usleep(150000);
  chunk(&w, other, 800, 1);
  wait_calls(202);
  usleep(150000);
  end(&w, other, 801);
  wait_calls(203);
  assert_int_equal(observed_now(&w), 0);
  unmake(&w);
  check_stream(1, GG_SIDE_CLIENT, 0, 1000, &missed);
  assert_int_equal(missed, 0);
  check_stream(1, GG_SIDE_SERVER, 500, 801, &missed);
  assert_int_equal(missed, 0);
}

static void what_was_not_recorded_or_read_too_late_is_missed(void **state)
{
  struct world w;
  struct gg_hook_reading calls;
  uint64_t missed;
  (void)state;
  make(&w);
  reading.late_from = 200;
  reading.late_to = 300;
  struct gg_hook_watch *watch = begin(&w, 1, GG_SIDE_CLIENT, 0);
  for (uint64_t i = 0; i < 50; i++)
    chunk(&w, watch, i * 10, 10);
  chunk(&w, watch, 540, 10); /* 40 were not recorded */
  end(&w, watch, 557);       /* nor the last 7 */
  wait_calls(42);
  gg_hook_desk_stop(&w.f.desk);
  assert_int_equal(gg_hook_missed(w.hook), 147);
  gg_hook_read(w.hook, GG_HOOK_OBSERVE, &calls);
  assert_int_equal(calls.calls, 42);
  unmake(&w);
  check_stream(1, GG_SIDE_CLIENT, 0, 557, &missed);
  assert_int_equal(missed, 147);
}

static void a_reader_that_does_not_come_delays_nobody(void **state)
{
  enum { CHUNKS = 3 * GG_OBSERVE_CHUNKS_MAX };
  struct world w;
  uint64_t missed;
  (void)state;
  make(&w);
  reading.waits = true;
  struct gg_hook_watch *watch = begin(&w, 1, GG_SIDE_CLIENT, 0);
  for (uint64_t i = 0; i < CHUNKS; i++)
    chunk(&w, watch, i * 10, 10);
  end(&w, watch, CHUNKS * 10);
  struct gg_hook_watch *next = begin(&w, 2, GG_SIDE_CLIENT, 0); /* of which nothing can be told any more */
  chunk(&w, next, 0, 10);
  end(&w, next, 10);
  reading.waits = false;
  wait_calls(GG_OBSERVE_CHUNKS_MAX + 2);
  unmake(&w);
  check_stream(1, GG_SIDE_CLIENT, 0, CHUNKS * 10, &missed);
  assert_in_range(missed, (CHUNKS - GG_OBSERVE_CHUNKS_MAX - 1) * 10, (CHUNKS - GG_OBSERVE_CHUNKS_MAX) * 10);
  check_stream(2, GG_SIDE_CLIENT, 0, 10, &missed);
  assert_int_equal(missed, 10);
}

static void what_is_oldest_is_dropped(void **state)
{
  enum { PIECE = 32 << 10, PIECES = 600 };
  struct world w;
  sem_t sleeps;
  uint64_t missed, other_missed;
  (void)state;
  sem_init(&sleeps, 0, 0);
  make(&w);
  plug.sleeps = &sleeps;
  struct gg_hook_watch *first = begin(&w, 1, GG_SIDE_CLIENT, 0), *second = begin(&w, 2, GG_SIDE_SERVER, 0);
  chunk(&w, first, 0, PIECE);
  wait_calls(1); /* it sleeps over the first */
  chunk(&w, second, 0, PIECE);
  end(&w, second, PIECE);
  for (uint64_t i = 1; i < PIECES; i++) {
    chunk(&w, first, i * PIECE, PIECE);
    if (i % 32 == 0)
      usleep(1000);
  }
  end(&w, first, (uint64_t)PIECES * PIECE);
  gg__observe_stop(&w.f.desk); /* all of it is read */
  for (unsigned i = 0; i < 2 * PIECES; i++)
    sem_post(&sleeps);
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (atomic_load(&w.hook->refs) > 1) { /* each watch holds it */
    assert_true(gg_clock_mono_ns() < deadline_ns);
    usleep(200);
  }
  unmake(&w);
  check_stream(1, GG_SIDE_CLIENT, 0, (uint64_t)PIECES * PIECE, &missed);
  check_stream(2, GG_SIDE_SERVER, 0, PIECE, &other_missed);
  uint64_t seen = (uint64_t)PIECES * PIECE - missed;
  assert_in_range(seen, GG_OBSERVE_QUEUE_BYTES - 4 * PIECE, GG_OBSERVE_QUEUE_BYTES + PIECE);
  assert_int_equal(other_missed, PIECE);
  assert_true(plug.notes[0].offset == 0 && plug.notes[0].missed == 0);
  assert_int_equal(plug.notes[plug.count - 2].offset, (uint64_t)(PIECES - 1) * PIECE); /* the youngest is there */
  sem_destroy(&sleeps);
}

/* The end of the first comes before what the second brings. */
static void the_same_direction_is_wanted_anew(void **state)
{
  struct world w;
  uint64_t missed;
  (void)state;
  make(&w);
  for (uint64_t i = 0; i < 200; i++) {
    struct gg_hook_watch *watch = begin(&w, 1, GG_SIDE_CLIENT, i * 100);
    chunk(&w, watch, i * 100, 20);
    chunk(&w, watch, i * 100 + 20, 20);
    end(&w, watch, i * 100 + 40);
  }
  wait_calls(600);
  unmake(&w);
  for (unsigned i = 0; i < 200; i++) {
    assert_int_equal(plug.notes[i * 3].offset, i * 100);
    assert_true(plug.notes[i * 3 + 2].ended);
    check_stream(1, GG_SIDE_CLIENT, i * 100, i * 100 + 40, &missed);
    assert_int_equal(missed, 0);
  }
}

static void no_more_are_observed_than_there_may_be(void **state)
{
  struct world w;
  struct gg_session_key key = key_of(1);
  struct gg_hook_watch *refused = NULL;
  struct gg_hook_watch **watches = calloc(GG_OBSERVED_MAX, sizeof *watches);
  (void)state;
  assert_non_null(watches);
  make(&w);
  for (unsigned i = 0; i < GG_OBSERVED_MAX; i++)
    watches[i] = begin(&w, i, GG_SIDE_CLIENT, 0);
  assert_int_equal(gg_hook_watch_begin(&refused, w.hook, w.f.shard, &key, GG_SIDE_CLIENT, 0), GG_ERR_LIMIT);
  assert_null(refused);
  end(&w, watches[0], 0);
  wait_calls(1);
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (gg_hook_watch_begin(&watches[0], w.hook, w.f.shard, &key, GG_SIDE_CLIENT, 0) != 0)
    assert_true(gg_clock_mono_ns() < deadline_ns);
  for (unsigned i = 0; i < GG_OBSERVED_MAX; i++)
    end(&w, watches[i], 0);
  wait_calls(GG_OBSERVED_MAX + 1);
  unmake(&w);
  free(watches);
}

static void it_goes_when_its_last_session_was_told(void **state)
{
  struct world w;
  (void)state;
  make(&w);
  struct gg_hook_watch *watch = begin(&w, 1, GG_SIDE_CLIENT, 0);
  gg_hook_unref(w.hook);
  gg_hook_reap(&w.f.desk);
  assert_ptr_equal(w.f.desk.hooks, w.hook);
  chunk(&w, watch, 0, 10);
  end(&w, watch, 10);
  uint64_t deadline_ns = gg_clock_mono_ns() + 20 * GG_NS_PER_S;
  while (w.f.desk.hooks) {
    assert_true(gg_clock_mono_ns() < deadline_ns);
    gg_hook_reap(&w.f.desk);
  }
  assert_int_equal(plug.calls, 2);
  hook_fixture_unmake(&w.f);
}

/* What waits then is observed as far as there is time, and counted. */
static void the_end_waits_for_one_call_only(void **state)
{
  struct world w;
  sem_t sleeps;
  (void)state;
  sem_init(&sleeps, 0, 0);
  make(&w);
  plug.sleeps = &sleeps;
  struct gg_hook_watch *watch = begin(&w, 1, GG_SIDE_CLIENT, 0);
  for (uint64_t i = 0; i < 100; i++)
    chunk(&w, watch, i * 10, 10);
  end(&w, watch, 1000);
  wait_calls(1);
  gg__observe_stop(&w.f.desk);
  gg__observer_ending(w.hook, gg_clock_mono_ns() + 1);
  sem_post(&sleeps); /* the call that is under way returns */
  gg_hook_desk_stop(&w.f.desk);
  assert_int_equal(plug.calls, 1);
  uint64_t seen = 0;
  for (unsigned i = 0; i < plug.count; i++)
    seen += plug.notes[i].length;
  assert_int_equal(seen + gg_hook_missed(w.hook), 1000);
  assert_true(hook_fixture_was_told(&w.f, "plug-in has not observed all"));
  unmake(&w);
  sem_destroy(&sleeps);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(it_sees_all_in_order),
    cmocka_unit_test(what_was_not_recorded_or_read_too_late_is_missed),
    cmocka_unit_test(a_reader_that_does_not_come_delays_nobody),
    cmocka_unit_test(what_is_oldest_is_dropped),
    cmocka_unit_test(the_same_direction_is_wanted_anew),
    cmocka_unit_test(no_more_are_observed_than_there_may_be),
    cmocka_unit_test(it_goes_when_its_last_session_was_told),
    cmocka_unit_test(the_end_waits_for_one_call_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
