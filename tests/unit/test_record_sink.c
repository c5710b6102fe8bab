/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_record_sink.c - sinks get what the segment files have, each block once that they have taken; one that refuses
 * holds the log back as a full disk does; and who is told of files.
 */
#include "record_fixture.h"

#include "record/sink.h"

#include <pthread.h>

enum { FILES_MAX = 32, FILE_BYTES_MAX = 4 << 20 };

struct got {
  char name[96];
  uint8_t *bytes;
  uint64_t first, length; /* where it began; how far it has come */
  bool ended;
  bool sealed, recovered;
  uint64_t sealed_bytes;
};

struct sink {
  struct gg_recorder_sink base;
  pthread_mutex_t lock;
  struct got files[FILES_MAX];
  unsigned count;
  uint64_t calls, refusals;
  uint64_t last_offset, last_length; /* of the block that was refused */
  _Atomic bool refuses;
  _Atomic int held;
};

static struct got *file_of(struct sink *sink, const char *name)
{
  for (unsigned i = 0; i < sink->count; i++)
    if (strcmp(sink->files[i].name, name) == 0)
      return &sink->files[i];
  struct got *file = &sink->files[sink->count++];
  if (sink->count > FILES_MAX)
    abort();
  snprintf(file->name, sizeof file->name, "%s", name);
  file->first = UINT64_MAX;
  return file;
}

static const char *sink_name(const struct gg_recorder_sink *base)
{
  (void)base;
  return "test";
}

static void take(struct sink *sink, const struct gg_recorder_block *block)
{
  struct got *file = file_of(sink, block->segment);
  if (file->first == UINT64_MAX) {
    file->first = file->length = block->offset;
    file->bytes = malloc(FILE_BYTES_MAX);
  }
  if (file->ended || block->offset != file->length || block->offset + block->length > FILE_BYTES_MAX || !file->bytes)
    abort();
  if (block->length > 0)
    memcpy(file->bytes + block->offset, block->bytes, block->length);
  file->length += block->length;
  file->ended = block->last;
}

static int sink_take(struct gg_recorder_sink *base, const struct gg_recorder_block *block, struct gg_failure *failure)
{
  struct sink *sink = (struct sink *)(void *)base;
  pthread_mutex_lock(&sink->lock);
  sink->calls++;
  bool refuses = atomic_load(&sink->refuses);
  if (refuses && sink->refusals > 0 &&
      (sink->last_offset != block->offset || sink->last_length != block->length)) /* the same block again */
    abort();
  if (refuses) {
    sink->refusals++;
    sink->last_offset = block->offset;
    sink->last_length = block->length;
  } else {
    take(sink, block);
  }
  pthread_mutex_unlock(&sink->lock);
  return refuses ? gg_fail(failure, GG_ERR_IO, "not now") : 0;
}

static void sink_sealed(struct gg_recorder_sink *base, const struct gg_recorder_sealed *sealed)
{
  struct sink *sink = (struct sink *)(void *)base;
  pthread_mutex_lock(&sink->lock);
  struct got *file = file_of(sink, sealed->name);
  if (file->sealed)
    abort();
  file->sealed = true;
  file->recovered = sealed->recovered;
  file->sealed_bytes = sealed->bytes;
  pthread_mutex_unlock(&sink->lock);
}

static void sink_hold(struct gg_recorder_sink *base)
{
  atomic_fetch_add(&((struct sink *)(void *)base)->held, 1);
}

static void sink_release(struct gg_recorder_sink *base)
{
  atomic_fetch_sub(&((struct sink *)(void *)base)->held, 1);
}

static const struct gg_recorder_sink_ops ops = {sink_name, sink_take, sink_sealed, sink_hold, sink_release};

static struct sink *sink_make(void)
{
  struct sink *sink = calloc(1, sizeof *sink);
  assert_non_null(sink);
  sink->base.ops = &ops;
  pthread_mutex_init(&sink->lock, NULL);
  return sink;
}

static void sink_free(struct sink *sink)
{
  assert_int_equal(atomic_load(&sink->held), 0);
  for (unsigned i = 0; i < sink->count; i++)
    free(sink->files[i].bytes);
  pthread_mutex_destroy(&sink->lock);
  free(sink);
}

static void begin(struct fixture *f, struct sink *const *sinks, size_t count)
{
  fixture_init(f);
  struct gg_recorder_options options = fixture_options(f);
  options.segment_max_bytes = 256 * KIB;
  options.metrics = f->metrics;
  fixture_open(f, &options, NULL);
  struct gg_recorder_sink *bases[GG_RECORDER_SINKS_MAX];
  for (size_t i = 0; i < count; i++)
    bases[i] = &sinks[i]->base;
  gg_recorder_sinks(f->recorder, bases, count);
}

static uint64_t now_calls(struct sink *sink, bool refusals)
{
  pthread_mutex_lock(&sink->lock);
  uint64_t n = refusals ? sink->refusals : sink->calls;
  pthread_mutex_unlock(&sink->lock);
  return n;
}

static void wait_calls(struct sink *sink, bool refusals, uint64_t least)
{
  uint64_t until_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (now_calls(sink, refusals) < least) {
    assert_true(gg_clock_mono_ns() < until_ns);
    poll(NULL, 0, 1);
  }
}

/* What the sink has of each file from where it came on is what the file has, and all were ended and sealed. */
static void check_equal(const struct fixture *f, const struct sink *sink, unsigned files)
{
  assert_int_equal(sink->count, files);
  for (unsigned i = 0; i < sink->count; i++) {
    const struct got *got = &sink->files[i];
    char path[256];
    struct stat status;
    snprintf(path, sizeof path, "%s/segments/%s", f->dir, got->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    uint8_t *bytes = malloc((size_t)status.st_size);
    assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
    close(fd);
    assert_true(got->ended && got->sealed && !got->recovered);
    assert_int_equal(got->length, status.st_size);
    assert_int_equal(got->sealed_bytes, status.st_size);
    assert_memory_equal(got->bytes + got->first, bytes + got->first, (size_t)(got->length - got->first));
    free(bytes);
  }
}

static void test_each_gets_what_the_files_have(void **state)
{
  (void)state;
  struct fixture f;
  struct sink *sinks[2] = {sink_make(), sink_make()};
  begin(&f, sinks, 2);
  for (unsigned i = 0; i < 2000; i++)
    fixture_record(&f);
  fixture_stop(&f);
  unsigned files = sinks[0]->count;
  assert_true(files > 2);
  for (unsigned i = 0; i < 2; i++) {
    check_equal(&f, sinks[i], files);
    assert_int_equal(sinks[i]->files[0].first, 0);
    sink_free(sinks[i]);
  }
  fixture_fini(&f);
}

/* The one that has taken a block does not get it again while the other refuses it; the log goes by its policy. */
static void test_one_that_refuses_is_a_full_disk(void **state)
{
  (void)state;
  struct fixture f;
  struct sink *sinks[2] = {sink_make(), sink_make()};
  atomic_store(&sinks[1]->refuses, true);
  begin(&f, sinks, 2);
  while (fixture_try_record(&f))
    continue;
  wait_calls(sinks[1], true, 3);
  assert_int_equal(gg_log_pressure(f.log), GG_LOG_DISK_FULL);
  assert_int_equal(now_calls(sinks[0], false), 1);
  assert_int_equal(fixture_metric(&f, "log_disk_full"), 1);
  atomic_store(&sinks[1]->refuses, false);
  uint64_t until_ns = gg_clock_mono_ns() + 10 * GG_NS_PER_S;
  while (gg_log_pressure(f.log) != GG_LOG_FLOWING) {
    assert_true(gg_clock_mono_ns() < until_ns);
    poll(NULL, 0, 1);
  }
  for (unsigned i = 0; i < 10; i++)
    fixture_record(&f);
  fixture_stop(&f);
  assert_int_equal(fixture_metric(&f, "log_disk_full"), 0);
  unsigned files = sinks[0]->count;
  gg_recorder_destroy(f.recorder);
  for (unsigned i = 0; i < 2; i++) {
    check_equal(&f, sinks[i], files);
    sink_free(sinks[i]);
  }
  fixture_fini(&f);
}

/* One that comes while a file is written begins there; one that is taken away holds nothing back any more. */
static void test_they_come_and_go(void **state)
{
  (void)state;
  struct fixture f;
  struct sink *first = sink_make(), *second = sink_make();
  begin(&f, &first, 1);
  fixture_record(&f);
  gg_log_flush(f.log);
  wait_calls(first, false, 1);
  atomic_store(&first->refuses, true);
  fixture_record(&f);
  gg_log_flush(f.log);
  wait_calls(first, true, 2);
  struct gg_recorder_sink *base = &second->base;
  gg_recorder_sinks(f.recorder, &base, 1);
  fixture_record(&f);
  fixture_stop(&f);
  check_equal(&f, second, 1);
  assert_true(second->files[0].first > 0);
  assert_false(first->files[0].ended);
  sink_free(first);
  sink_free(second);
  fixture_fini(&f);
}

/* Where a sink refuses until the time is over, what it did not take is recovered, and it is told of the file. */
static void test_what_is_recovered_is_told(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct sink *sink = sink_make(), *later = sink_make();
  atomic_store(&sink->refuses, true);
  begin(&f, &sink, 1);
  fixture_record(&f);
  gg_log_finish(f.log);
  assert_int_equal(gg_recorder_stop(f.recorder, gg_clock_mono_ns() + GG_NS_PER_S / 4, &failure), GG_ERR_NO_SPACE);
  assert_non_null(strstr(failure.message, "a plug-in's sink takes no more"));
  assert_false(gg_recorder_abandoned(f.recorder));
  gg_recorder_destroy(f.recorder);
  assert_int_equal(sink->count, 0);
  sink_free(sink);
  struct gg_recorder_options options = fixture_options(&f);
  fixture_open(&f, &options, NULL);
  struct gg_recorder_sink *base = &later->base;
  gg_recorder_sinks(f.recorder, &base, 1);
  gg_recorder_tell_recovered(f.recorder);
  gg_recorder_tell_recovered(f.recorder); /* once */
  assert_int_equal(later->count, 1);
  assert_true(later->files[0].recovered && later->files[0].sealed_bytes > 0);
  fixture_stop(&f);
  sink_free(later);
  fixture_fini(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_each_gets_what_the_files_have),
    cmocka_unit_test(test_one_that_refuses_is_a_full_disk),
    cmocka_unit_test(test_they_come_and_go),
    cmocka_unit_test(test_what_is_recovered_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
