/* SPDX-License-Identifier: Apache-2.0 */
/* An indexer tells the catalogue what a query of the same files tells, however the files grow, and whoever is killed.
 * test_store_indexed.c is the same with a catalogue in a database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#ifdef REAL_CATALOGUE
#include "store/catalogue.h"
#else
#include "fake_catalogue.h"
#endif
#include "store/feed.h"
#include "store/frames.h"
#include "store/indexer.h"
#include "store/record.h"
#include "store_files.h"

#include <gogetway/store.h>
#include <sys/file.h>

enum { LOGS = 2, SEGMENTS = 3, SESSIONS = 24, BULK = 100000, PREFIXES = 40 };

static uint64_t clock_ns = UINT64_C(1000000000);

/* Each look at the clock is a second later: nothing is told late because it was told just now. */
uint64_t __wrap_gg_clock_mono_ns(void);
uint64_t __wrap_gg_clock_mono_ns(void)
{
  return clock_ns += GG_NS_PER_S;
}

static uint32_t random_state = 1;

static uint32_t roll(uint32_t below)
{
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % below;
}

/* ── A recording that grows ──────────────────────────────────────────────────────────────────────────────────────── */

struct written {
  char name[64];
  uint8_t *bytes;
  size_t length, shown;
  size_t fed; /* blocks up to here were handed on, or left out */
};

struct recording {
  struct files files;
  struct written segments[LOGS * SEGMENTS];
};

static void keep_segment(struct recording *recording, unsigned at, const char *name)
{
  struct written *written = &recording->segments[at];
  snprintf(written->name, sizeof written->name, "%s", name);
  written->length = recording->files.length;
  written->bytes = malloc(written->length);
  assert_non_null(written->bytes);
  memcpy(written->bytes, recording->files.bytes, written->length);
}

/* Sessions of two logs over three segments each: whole, continued, cut, with gaps, bulk, and 4-tuples that come
 * again. */
static void record(struct recording *recording)
{
  static struct talk talks[LOGS][SESSIONS];
  static uint8_t bulk[BULK];
  struct files *files = &recording->files;
  memset(talks, 0, sizeof talks);
  files_begin(files);
  for (unsigned segment = 0; segment < SEGMENTS; segment++)
    for (unsigned log = 0; log < LOGS; log++) {
      char name[64];
      snprintf(name, sizeof name, "20240101T00000%u.00%uZ-w%u-block-%06u.pcapng", segment, log, log, segment + 1);
      files_segment(files, name);
      for (unsigned turn = 0; turn < 60; turn++) {
        unsigned which = segment * 6 + roll(8), number = log * 100 + which + 1;
        struct talk *talk = &talks[log][which];
        bool open = talk->id[0] && talk->id[0] != 'x';
        if (!open && talk->id[0] != 'x')
          talk_open(files, talk, number, (uint16_t)(4000 + which % 12 + log * 100));
        else if (open && roll(8) == 0) {
          talk_close(files, talk);
          talk->id[0] = 'x';
        } else if (open && roll(6) == 0)
          talk_miss(talk, GG_FROM_CLIENT, 1 + roll(1000));
        else if (open)
          talk_say(files, talk, roll(2) ? GG_FROM_CLIENT : GG_FROM_SERVER, bulk, 1 + roll(roll(6) ? 200 : BULK));
      }
      keep_segment(recording, log * SEGMENTS + segment, name);
    }
}

static void put_file(const char *dir, const char *name, const void *bytes, size_t length)
{
  char path[256];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0 && write(fd, bytes, length) == (ssize_t)length && close(fd) == 0);
}

/* As a gateway at work has it: each log's segment that may grow is named in `running`. */
static void show(const struct recording *recording, struct written *written, size_t length, bool over)
{
  char folder[128], running[1024] = "gogetway running 1\n";
  snprintf(folder, sizeof folder, "%s/segments", recording->files.dir);
  put_file(folder, written->name, written->bytes, length);
  written->shown = length;
  for (unsigned i = 0; i < LOGS * SEGMENTS && !over; i++)
    if (recording->segments[i].shown) {
      size_t used = strlen(running);
      snprintf(running + used, sizeof running - used, "segment w%u-block %s\n", i / SEGMENTS,
               recording->segments[i].name);
    }
  if (over) {
    snprintf(folder, sizeof folder, "%s/running", recording->files.dir);
    unlink(folder);
  } else {
    put_file(recording->files.dir, "running", running, strlen(running));
  }
}

static struct gg__feed *feed; /* NULL: there is none */

/* The blocks that became whole are handed on, but for some. */
static void feed_blocks(struct written *written)
{
  size_t at = written->fed;
  for (uint32_t bytes; at + 8 <= written->shown; at += bytes) {
    memcpy(&bytes, written->bytes + at + 4, sizeof bytes);
    if (at + bytes > written->shown)
      break;
  }
  if (at > written->fed && roll(5) != 0)
    gg__feed_put(feed, written->name, written->fed, written->bytes + written->fed, at - written->fed);
  written->fed = at;
}

static void forget_recording(struct recording *recording)
{
  for (unsigned i = 0; i < LOGS * SEGMENTS; i++)
    free(recording->segments[i].bytes);
  files_end(&recording->files);
}

/* ── The catalogue ───────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__catalogue *catalogue;

#ifdef REAL_CATALOGUE
static char catalogue_path[256];

static void catalogue_reopen(void)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  gg__catalogue_close(catalogue);
  if (gg__catalogue_open(&catalogue, catalogue_path, GG__CATALOGUE_WRITE, &failure) != 0)
    fail_msg("%s", failure.message);
}

static void catalogue_begin(const char *dir)
{
  snprintf(catalogue_path, sizeof catalogue_path, "%s/catalogue.db", dir);
  catalogue_reopen();
}

static void catalogue_end(void)
{
  gg__catalogue_close(catalogue);
  catalogue = NULL;
}

static void catalogue_kill(void)
{
  catalogue_reopen();
}

static void catalogue_fail(unsigned puts)
{
  (void)puts;
}

static int count_one(void *context, struct gg__record *record)
{
  ++*(size_t *)context;
  gg__record_free(record);
  return 0;
}

static size_t catalogue_count(void)
{
  size_t count = 0;
  assert_int_equal(gg__catalogue_query(catalogue, NULL, NULL, 0, count_one, &count, NULL), 0);
  return count;
}
#else
static void catalogue_begin(const char *dir)
{
  (void)dir;
  fake_empty();
}

static void catalogue_end(void)
{
  fake_empty();
}

static void catalogue_kill(void)
{
  fake.fail_put = 0;
  fake_kill();
}

static void catalogue_fail(unsigned puts)
{
  fake.fail_put = (int)puts;
}

static size_t catalogue_count(void)
{
  return fake.committed.session_count;
}
#endif

struct looking {
  const char *name;
  bool found, all_complete;
};

static int look(void *context, const struct gg__catalogue_segment *segment)
{
  struct looking *looking = context;
  looking->found |= strcmp(segment->name, looking->name) == 0;
  looking->all_complete &= segment->complete;
  return 0;
}

static struct looking look_for(const char *name)
{
  struct looking looking = {.name = name, .all_complete = true};
  assert_int_equal(gg__catalogue_segments(catalogue, look, &looking, NULL), 0);
  return looking;
}

/* ── Comparing ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void compare_parts(const struct gg__part *told, const struct gg__part *part)
{
  for (; part; part = part->next_of_session, told = told->next_of_session) {
    assert_non_null(told);
    assert_string_equal(told->capture->name, part->capture->name);
    assert_int_equal(told->first_offset, part->first_offset);
    assert_int_equal(told->last_offset, part->last_offset);
    assert_int_equal(told->begins, part->begins);
    assert_int_equal(told->continued, part->continued);
    assert_int_equal(told->closed, part->closed);
    assert_memory_equal(told->bytes, part->bytes, sizeof part->bytes);
    assert_memory_equal(told->gaps, part->gaps, sizeof part->gaps);
    assert_memory_equal(told->offset, part->offset, sizeof part->offset);
    assert_memory_equal(told->received, part->received, sizeof part->received);
  }
  assert_null(told);
}

static void compare_session(const struct gg_session *told, const struct gg_session *session)
{
  assert_int_equal(told->state, session->state);
  assert_int_equal(told->foreign, session->foreign);
  assert_int_equal(told->beginning_missing, session->beginning_missing);
  assert_string_equal(told->client, session->client);
  assert_string_equal(told->server, session->server);
  assert_string_equal(told->listener, session->listener);
  assert_string_equal(told->upstream, session->upstream);
  assert_string_equal(told->close, session->close);
  assert_string_equal(told->conn_state, session->conn_state);
  assert_string_equal(told->history, session->history);
  assert_int_equal(told->start_ns, session->start_ns);
  assert_int_equal(told->end_ns, session->end_ns);
  assert_int_equal(told->segments, session->segments);
  assert_memory_equal(told->bytes, session->bytes, sizeof session->bytes);
  assert_memory_equal(told->packets, session->packets, sizeof session->packets);
  assert_memory_equal(told->gaps, session->gaps, sizeof session->gaps);
  assert_memory_equal(told->received, session->received, sizeof session->received);
  assert_memory_equal(told->first, session->first, sizeof session->first);
}

static void compare(const char *dir)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  assert_int_equal(gg_store_open(&store, dir, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(catalogue_count(), gg_session_list_count(list));
  for (size_t i = 0; i < gg_session_list_count(list); i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    struct gg__record *told = NULL;
    assert_int_equal(gg__catalogue_get(catalogue, session->id, &told, NULL), 0);
    if (!told)
      fail_msg("%s was not told", session->id);
    compare_session(&told->session, session);
    compare_parts(told->parts, gg__record_of(session)->parts);
    gg__record_free(told);
  }
  gg_session_list_destroy(list);
  gg_store_close(store);
}

static struct gg__indexer *create(const char *dir)
{
  const struct gg__indexer_options options = {.store = dir, .feed = feed};
  struct gg__indexer *indexer = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__indexer_create(&indexer, catalogue, &options, &failure) != 0)
    fail_msg("%s", failure.message);
  return indexer;
}

static void step_to_end(struct gg__indexer *indexer, uint64_t bytes)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  bool more = true;
  for (unsigned i = 0; more && i < 100000; i++)
    if (gg__indexer_step(indexer, bytes, &more, &failure) != 0)
      fail_msg("%s", failure.message);
  assert_false(more);
}

static struct gg__indexer_stats stats_of(const struct gg__indexer *indexer)
{
  struct gg__indexer_stats stats;
  gg__indexer_stats(indexer, &stats);
  return stats;
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Every step of a recording that grows by random amounts, in turns of its logs, with and without one who is killed. */
static void grow(uint32_t seed, bool kills)
{
  struct recording recording = {0};
  random_state = seed;
  record(&recording);
  catalogue_begin(recording.files.dir);
  struct gg__indexer *indexer = create(recording.files.dir);
  unsigned at[LOGS] = {0};
  for (unsigned i = 0; at[0] < SEGMENTS || at[1] < SEGMENTS; i++) {
    unsigned log = roll(LOGS);
    if (at[log] == SEGMENTS)
      continue;
    struct written *written = &recording.segments[log * SEGMENTS + at[log]];
    size_t left = written->length - written->shown;
    size_t more = roll(4) == 0 ? left : roll((uint32_t)(left < 20000 ? left + 1 : 20000));
    show(&recording, written, written->shown + more, false);
    if (feed)
      feed_blocks(written);
    at[log] += written->shown == written->length;
    if (roll(3) == 0)
      continue;
    if (kills && roll(4) == 0) {
      catalogue_fail(roll(10));
      bool any;
      (void)gg__indexer_step(indexer, roll(30000) + 1, &any, NULL);
      gg__indexer_destroy(indexer);
      catalogue_kill();
      indexer = create(recording.files.dir);
    }
    step_to_end(indexer, roll(2) ? 0 : 1 + roll(50000));
    compare(recording.files.dir);
  }
  show(&recording, &recording.segments[0], recording.segments[0].length, true);
  step_to_end(indexer, 0);
  compare(recording.files.dir);
  assert_int_equal(stats_of(indexer).open, 0);
  assert_int_equal(stats_of(indexer).lag_bytes, 0);
  assert_true(look_for("").all_complete);
  gg__indexer_destroy(indexer);

  /* Who comes next has nothing to read. */
  indexer = create(recording.files.dir);
  step_to_end(indexer, 0);
  assert_int_equal(stats_of(indexer).sessions, 0);
  assert_int_equal(stats_of(indexer).bytes, 0);
  gg__indexer_destroy(indexer);
  catalogue_end();
  forget_recording(&recording);
}

static void a_recording_that_grows(void **state)
{
  (void)state;
  for (uint32_t seed = 1; seed <= 12; seed++)
    grow(seed, false);
}

/* Most of it comes by memory. */
static void with_a_feed(void **state)
{
  (void)state;
  for (uint32_t seed = 201; seed <= 215; seed++) {
    assert_int_equal(gg__feed_create(&feed), 0);
    grow(seed, seed % 3 == 0);
    gg__feed_destroy(feed);
    feed = NULL;
  }
}

static void killed_at_any_time(void **state)
{
  (void)state;
  for (uint32_t seed = 101; seed <= 120; seed++)
    grow(seed, true);
}

/* Every length of one file, byte by byte: torn blocks, and blocks that are only just whole. */
static void every_prefix(void **state)
{
  (void)state;
  struct recording recording = {0};
  random_state = 77;
  record(&recording);
  catalogue_begin(recording.files.dir);
  struct gg__indexer *indexer = create(recording.files.dir);
  struct written *written = &recording.segments[0];
  size_t most = written->length < 4000 ? written->length : 4000;
  for (size_t length = 1; length <= most; length++) {
    show(&recording, written, length, false);
    step_to_end(indexer, 0);
    if (length % 7 == 0)
      compare(recording.files.dir);
  }
  gg__indexer_destroy(indexer);
  catalogue_end();
  forget_recording(&recording);
}

static void show_all(struct recording *recording)
{
  for (unsigned i = 0; i < LOGS * SEGMENTS; i++)
    show(recording, &recording->segments[i], recording->segments[i].length, true);
}

static void remove_segment(const struct recording *recording, unsigned at)
{
  char path[256];
  snprintf(path, sizeof path, "%s/segments/%s", recording->files.dir, recording->segments[at].name);
  assert_int_equal(unlink(path), 0);
}

/* Segments that go, change and come back, with one indexer and with one that comes later. */
static void files_that_change(void **state)
{
  (void)state;
  struct recording recording = {0};
  const char *dir;
  random_state = 5;
  record(&recording);
  catalogue_begin(recording.files.dir);
  dir = recording.files.dir;
  show_all(&recording);
  struct gg__indexer *indexer = create(dir);
  step_to_end(indexer, 0);
  compare(dir);
  remove_segment(&recording, 1);
  step_to_end(indexer, 0);
  assert_int_equal(stats_of(indexer).gone, 1);
  assert_false(look_for(recording.segments[1].name).found);
  gg__indexer_destroy(indexer);

  remove_segment(&recording, 4);
  show(&recording, &recording.segments[2], recording.segments[2].length / 2, true);
  indexer = create(dir);
  step_to_end(indexer, 0);
  assert_int_equal(stats_of(indexer).gone, 1);
  assert_int_equal(stats_of(indexer).anew, 1);
  show_all(&recording);
  for (int i = 0; i < 3; i++) { /* sizes of complete ones are asked for now and then */
    clock_ns += 2 * GG_INDEXER_LOOK_NS;
    step_to_end(indexer, 0);
  }
  compare(dir);
  gg__indexer_destroy(indexer);
  catalogue_end();
  forget_recording(&recording);
}

/* A file that is no capture, one that is damaged in its middle, one that ends within a block. */
static void files_that_are_not_whole(void **state)
{
  (void)state;
  struct recording recording = {0};
  char folder[128];
  random_state = 9;
  record(&recording);
  catalogue_begin(recording.files.dir);
  snprintf(folder, sizeof folder, "%s/segments", recording.files.dir);
  show_all(&recording);
  put_file(folder, "0.pcapng", "no capture", 10);
  put_file(folder, "1.pcapng", "", 0);
  struct written *damaged = &recording.segments[1];
  memset(damaged->bytes + damaged->length / 2 / 4 * 4, 0xff, 64);
  show(&recording, damaged, damaged->length, true);
  show(&recording, &recording.segments[2], recording.segments[2].length - 10, true);
  struct gg__indexer *indexer = create(recording.files.dir);
  step_to_end(indexer, 0);
  compare(recording.files.dir);
  assert_int_equal(stats_of(indexer).lag_bytes, 0);
  gg__indexer_destroy(indexer);
  indexer = create(recording.files.dir);
  step_to_end(indexer, 0);
  assert_int_equal(stats_of(indexer).bytes, 0);
  gg__indexer_destroy(indexer);
  catalogue_end();
  forget_recording(&recording);
}

/* ── Skimming ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void compare_frames(const char *path, uint64_t *skimmed)
{
  struct gg__frames *whole = NULL, *skim = NULL;
  struct gg__frame a, b;
  struct gg_failure failure = GG_FAILURE_INIT, other = GG_FAILURE_INIT;
  if (gg__frames_open(&whole, path, &failure) != 0)
    return;
  assert_int_equal(gg__frames_open(&skim, path, &failure), 0);
  assert_int_equal(gg__frames_skim(skim, true, &failure), 0);
  for (;;) {
    int error = gg__frames_next(whole, &a, &failure);
    assert_int_equal(gg__frames_next(skim, &b, &other), error);
    assert_int_equal(gg__frames_offset(whole), gg__frames_offset(skim));
    assert_int_equal(gg__frames_torn(whole), gg__frames_torn(skim));
    if (error)
      break;
    *skimmed += b.packet.block.left_out > 0;
    assert_int_equal(a.packet.block.offset, b.packet.block.offset);
    assert_int_equal(a.packet.block.bytes, b.packet.block.bytes);
    assert_int_equal(a.packet.time_ns, b.packet.time_ns);
    assert_int_equal(a.packet.direction, b.packet.direction);
    assert_int_equal(a.packet.captured, b.packet.captured);
    assert_int_equal(a.tcp.sequence, b.tcp.sequence);
    assert_int_equal(a.tcp.flags, b.tcp.flags);
    assert_int_equal(a.tcp.payload_bytes, b.tcp.payload_bytes);
    assert_int_equal(a.tcp.missing_bytes, b.tcp.missing_bytes);
    assert_memory_equal(&a.tcp.from, &b.tcp.from, sizeof a.tcp.from);
    assert_int_equal(a.comment_bytes, b.comment_bytes);
    if (a.comment)
      assert_memory_equal(a.comment, b.comment, a.comment_bytes);
    size_t held = a.tcp.payload_bytes < GG__FRAME_HELD ? a.tcp.payload_bytes : GG__FRAME_HELD;
    assert_memory_equal(a.tcp.payload, b.tcp.payload, held);
  }
  assert_int_equal(failure.code, other.code);
  gg__frames_close(whole);
  gg__frames_close(skim);
}

static void compare_folder(const char *path, uint64_t *skimmed)
{
  DIR *directory = opendir(path);
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory));) {
    char file[512];
    snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
    compare_frames(file, skimmed);
  }
  closedir(directory);
}

static void skimming(void **state)
{
  (void)state;
  uint64_t skimmed = 0;
  struct recording recording = {0};
  char folder[128];
  random_state = 11;
  record(&recording);
  snprintf(folder, sizeof folder, "%s/segments", recording.files.dir);
  show_all(&recording);
  compare_folder(folder, &skimmed);
  if (skimmed < 20)
    fail_msg("only %llu", (unsigned long long)skimmed);
  for (unsigned i = 0; i < PREFIXES; i++) {
    struct written *written = &recording.segments[roll(LOGS * SEGMENTS)];
    show(&recording, written, roll((uint32_t)written->length), true);
    compare_folder(folder, &skimmed);
  }
  compare_folder(GG_SOURCE_ROOT "/fuzz/corpus/store", &skimmed);
  compare_folder(GG_SOURCE_ROOT "/fuzz/corpus/pcapng_reader", &skimmed);
  forget_recording(&recording);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_recording_that_grows),
    cmocka_unit_test(with_a_feed),
    cmocka_unit_test(killed_at_any_time),
    cmocka_unit_test(every_prefix),
    cmocka_unit_test(files_that_change),
    cmocka_unit_test(files_that_are_not_whole),
    cmocka_unit_test(skimming),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
