/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hook_sink.c - a plug-in's sink: required is called at once; best-effort by a queue whose losses are exact; who
 * is told of sealed files, when; and how both end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hook_fixture.h"

#include "base/clock.h"
#include "hook/sink.h"

#include <assert.h>
#include <poll.h>

enum { NOTES_MAX = 256, BLOCK_BYTES = 1 << 20 };

/* What the plug-in was told, and what it does. There is one at a time. */
static struct {
  pthread_mutex_t lock;
  struct note {
    char name[64];
    uint64_t offset, length, lost;
    bool last, sealed, recovered;
  } notes[NOTES_MAX];
  unsigned count;
  _Atomic bool sleeps, refuses, inside;
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void add_note(const struct note *note)
{
  pthread_mutex_lock(&told.lock);
  assert(told.count < NOTES_MAX);
  told.notes[told.count++] = *note;
  pthread_mutex_unlock(&told.lock);
}

static unsigned count_notes(void)
{
  pthread_mutex_lock(&told.lock);
  unsigned count = told.count;
  pthread_mutex_unlock(&told.lock);
  return count;
}

static int on_sink(void *self, const struct gg_sink_block *block, struct gg_failure *failure)
{
  (void)self;
  assert(!atomic_exchange(&told.inside, true)); /* never two at once */
  while (atomic_load(&told.sleeps))
    poll(NULL, 0, 1);
  bool refuses = atomic_load(&told.refuses);
  if (!refuses) {
    struct note note = {.offset = block->offset, .length = block->length, .lost = block->lost, .last = block->last};
    snprintf(note.name, sizeof note.name, "%s", block->segment);
    add_note(&note);
  }
  atomic_store(&told.inside, false);
  return refuses ? gg_plugin_fail(failure, GG_ERR_IO, "no, thank you") : 0;
}

static void on_sealed(void *self, const struct gg_sealed *sealed)
{
  (void)self;
  struct note note = {.length = sealed->bytes, .sealed = true, .recovered = sealed->recovered};
  snprintf(note.name, sizeof note.name, "%s", sealed->name);
  assert(strstr(sealed->path, "/segments/") && strcmp(strrchr(sealed->path, '/') + 1, sealed->name) == 0);
  add_note(&note);
}

static const struct gg_plugin both = {GG_PLUGIN_HEAD, .name = "both", .sink = on_sink, .sealed = on_sealed};

static uint8_t bytes[BLOCK_BYTES];

static int give(struct gg_hook *hook, uint64_t number, uint64_t offset, size_t length, bool last)
{
  char name[32];
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_recorder_sink *sink = gg_hook_sink(hook);
  snprintf(name, sizeof name, "file-%llu", (unsigned long long)number);
  const struct gg_recorder_block block = {
    .segment = name, .log = 3, .number = number, .offset = offset, .bytes = bytes, .length = length, .last = last};
  return sink->ops->take(sink, &block, &failure);
}

static void seal(struct gg_hook *hook, const char *name, bool recovered)
{
  struct gg_recorder_sink *sink = gg_hook_sink(hook);
  sink->ops->sealed(sink, &(struct gg_recorder_sealed){.name = name, .bytes = 77, .recovered = recovered});
}

static struct gg_hook *begin(struct hook_fixture *f, bool best_effort)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  hook_fixture_make(f);
  told.count = 0;
  told.sleeps = told.refuses = told.inside = false;
  struct gg_hook *hook = hook_fixture_hook(f, &both);
  hook->best_effort = best_effort;
  assert_null(gg_hook_sink(hook));
  assert_int_equal(gg_hook_start(hook, &failure), 0);
  assert_non_null(gg_hook_sink(hook));
  return hook;
}

static void wait_notes(unsigned count)
{
  uint64_t until_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (count_notes() < count) {
    assert_true(gg_clock_mono_ns() < until_ns);
    poll(NULL, 0, 1);
  }
}

static void wait_inside(void)
{
  uint64_t until_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (!atomic_load(&told.inside)) {
    assert_true(gg_clock_mono_ns() < until_ns);
    poll(NULL, 0, 1);
  }
}

/* Everything in the queue is carried out first. */
static void end(struct hook_fixture *f, struct gg_hook *hook)
{
  gg_hook_unref(hook);
  gg_hook_sinks_finish(&f->desk, gg_clock_mono_ns() + 10 * GG_NS_PER_S);
  gg_hook_reap(&f->desk);
  assert_null(f->desk.hooks);
  hook_fixture_unmake(f);
}

static void test_required_is_called_at_once(void **state)
{
  (void)state;
  struct hook_fixture f;
  struct gg_hook *hook = begin(&f, false);
  assert_int_equal(give(hook, 1, 0, 4096, false), 0);
  assert_int_equal(told.count, 1);
  told.refuses = true;
  assert_int_equal(give(hook, 1, 4096, 4096, false), GG_ERR_IO);
  told.refuses = false;
  assert_int_equal(give(hook, 1, 4096, 4096, false), 0);
  assert_int_equal(give(hook, 1, 8192, 0, true), 0);
  assert_int_equal(told.count, 3);
  assert_true(told.notes[2].last && told.notes[2].offset == 8192 && told.notes[2].lost == 0);
  seal(hook, "file-1", false);
  seal(hook, "an-old-one", true);
  end(&f, hook);
  assert_int_equal(told.count, 5);
  assert_true(told.notes[3].sealed && !told.notes[3].recovered && told.notes[4].recovered);
}

static void test_best_effort_in_order_and_exact(void **state)
{
  (void)state;
  struct hook_fixture f;
  struct gg_hook *hook = begin(&f, true);
  assert_int_equal(give(hook, 1, 4096, 4096, false), 0); /* it came when the file had begun */
  wait_notes(1);
  atomic_store(&told.refuses, true);
  assert_int_equal(give(hook, 1, 8192, 4096, false), 0);
  uint64_t until_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (!hook_fixture_was_told(&f, "no, thank you")) {
    assert_true(gg_clock_mono_ns() < until_ns);
    poll(NULL, 0, 1);
  }
  atomic_store(&told.refuses, false);
  assert_int_equal(give(hook, 1, 12288, 0, true), 0);
  seal(hook, "file-1", false);
  assert_int_equal(give(hook, 2, 0, 4096, false), 0);
  end(&f, hook);
  assert_int_equal(told.count, 4);
  assert_true(told.notes[0].offset == 4096 && told.notes[0].lost == 0);
  assert_true(told.notes[1].last && told.notes[1].offset == 12288 && told.notes[1].lost == 4096);
  assert_true(told.notes[2].sealed);
  assert_true(strcmp(told.notes[3].name, "file-2") == 0 && told.notes[3].lost == 0);
}

/* The queue has its bound, with the block that the plug-in is at; what finds no room is lost, and the rest is whole. */
static void test_a_queue_that_is_full(void **state)
{
  (void)state;
  struct hook_fixture f;
  struct gg_hook *hook = begin(&f, true);
  const unsigned room = GG_HOOK_SINK_BYTES_MAX / BLOCK_BYTES;
  atomic_store(&told.sleeps, true);
  for (unsigned i = 0; i < room + 5; i++)
    assert_int_equal(give(hook, 1, (uint64_t)i * BLOCK_BYTES, BLOCK_BYTES, false), 0);
  assert_int_equal(give(hook, 1, (uint64_t)(room + 5) * BLOCK_BYTES, 0, true), 0); /* for an end there is room */
  assert_true(hook_fixture_was_told(&f, "a sink misses blocks"));
  atomic_store(&told.sleeps, false);
  wait_notes(room + 1);
  assert_int_equal(give(hook, 2, 0, BLOCK_BYTES, false), 0);
  end(&f, hook);
  assert_int_equal(told.count, room + 2);
  for (unsigned i = 0; i < room; i++)
    assert_true(told.notes[i].offset == (uint64_t)i * BLOCK_BYTES && told.notes[i].lost == 0);
  assert_true(told.notes[room].last && told.notes[room].lost == UINT64_C(5) * BLOCK_BYTES);
  assert_true(told.notes[room + 1].lost == 0);
}

/* A write that is larger than what a sink is given at once comes in pieces that are whole blocks. */
static void test_pieces_of_whole_blocks(void **state)
{
  (void)state;
  enum { EACH = 60 << 10, COUNT = 100 };
  struct hook_fixture f;
  struct gg_hook *hook = begin(&f, true);
  uint8_t *large = calloc(COUNT, EACH);
  assert_non_null(large);
  for (unsigned i = 0; i < COUNT; i++) {
    const uint32_t head[2] = {6, EACH}, length = EACH;
    memcpy(large + (size_t)i * EACH, head, sizeof head);
    memcpy(large + (size_t)(i + 1) * EACH - sizeof length, &length, sizeof length);
  }
  struct gg_recorder_sink *sink = gg_hook_sink(hook);
  const struct gg_recorder_block block = {
    .segment = "file-1", .number = 1, .bytes = large, .length = (size_t)COUNT * EACH};
  assert_int_equal(sink->ops->take(sink, &block, NULL), 0);
  end(&f, hook);
  free(large);
  uint64_t offset = 0;
  assert_true(told.count > 1);
  for (unsigned i = 0; i < told.count; i++) {
    assert_true(told.notes[i].offset == offset && told.notes[i].length % EACH == 0 && told.notes[i].lost == 0);
    assert_true(told.notes[i].length <= GG_HOOK_SINK_PIECE_MAX);
    offset += told.notes[i].length;
  }
  assert_int_equal(offset, (uint64_t)COUNT * EACH);
}

/* One that does not return is left behind at the deadline, with what waits; when it returns it can be reaped. */
static void test_one_that_does_not_return(void **state)
{
  (void)state;
  struct hook_fixture f;
  struct gg_hook *hook = begin(&f, true);
  atomic_store(&told.sleeps, true);
  assert_int_equal(give(hook, 1, 0, 4096, false), 0);
  assert_int_equal(give(hook, 1, 4096, 4096, false), 0);
  wait_inside();
  gg_hook_unref(hook);
  gg_hook_reap(&f.desk);
  assert_non_null(f.desk.hooks);
  uint64_t begun_ns = gg_clock_mono_ns();
  gg_hook_sinks_finish(&f.desk, begun_ns + GG_NS_PER_S / 10);
  assert_true(gg_clock_mono_ns() - begun_ns < 5 * GG_NS_PER_S);
  assert_true(hook_fixture_was_told(&f, "a plug-in's sink does not return"));
  assert_non_null(f.desk.hooks);
  atomic_store(&told.sleeps, false);
  uint64_t until_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (f.desk.hooks) {
    assert_true(gg_clock_mono_ns() < until_ns);
    gg_hook_reap(&f.desk);
    poll(NULL, 0, 1);
  }
  assert_int_equal(told.count, 1);
  assert_true(hook_fixture_was_told(&f, "the gateway ends"));
  hook_fixture_unmake(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_required_is_called_at_once), cmocka_unit_test(test_best_effort_in_order_and_exact),
    cmocka_unit_test(test_a_queue_that_is_full),       cmocka_unit_test(test_pieces_of_whole_blocks),
    cmocka_unit_test(test_one_that_does_not_return),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
