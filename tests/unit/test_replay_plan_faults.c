/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan says when memory, the disk or its segments go away while it is made and while it is played. */
#include "failing_memory.h"
#include "plan_compare.h"
#include "store_files.h"

#include "replay/plan_cache.h"

#include <errno.h>

ssize_t __real_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset);

static unsigned long writes, failing_write;
static int write_errno = ENOSPC;
static size_t write_most = SIZE_MAX; /* bytes that one write takes */

ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset)
{
  if (++writes == failing_write) {
    errno = write_errno;
    return -1;
  }
  return __real_pwrite64(fd, from, bytes < write_most ? bytes : write_most, offset);
}

/* A byte of a session's stream. */
static uint8_t byte_at(unsigned session, size_t at)
{
  return (uint8_t)(at * 7 + (at >> 8) * 13 + session * 31);
}

static void say(struct files *files, struct talk *talk, unsigned session, enum gg_direction direction, size_t bytes)
{
  uint8_t *data = __real_malloc(bytes);
  assert_non_null(data);
  for (size_t i = 0; i < bytes; i++)
    data[i] = byte_at(session, talk->received[direction] + i);
  talk_say(files, talk, direction, data, bytes);
  __real_free(data);
}

/* Blocks of steps that are linked, sessions of others with held packets, several segments. */
static void make_store(struct files *files)
{
  static struct talk talks[3];
  files_begin(files);
  for (unsigned segment = 0; segment < 3; segment++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", segment);
    files_segment(files, name);
    for (unsigned i = 0; i < 3; i++) {
      if (segment == 0)
        talk_open(files, &talks[i], i + 1, (uint16_t)(4000 + i));
      for (unsigned round = 0; round < 6; round++)
        say(files, &talks[i], i, round % 2 ? GG_FROM_SERVER : GG_FROM_CLIENT, 1000);
      if (segment == 2)
        talk_close(files, &talks[i]);
    }
    files_write(files);
  }
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int walk(struct gg_plan *plan, struct gg_failure *failure)
{
  static uint8_t bytes[GG_STEP_BYTES_MAX];
  struct gg_script *script = gg__plan_script(plan);
  struct gg_step step;
  int result = 0;
  for (size_t i = 0; i < script->ops->count(script) && result >= 0; i++) {
    struct gg_cursor cursor = script->ops->steps(script, i);
    while ((result = script->ops->next(script, &cursor, &step, failure)) == 1)
      if (step.length > 0 && (result = script->ops->bytes(script, &step, 0, bytes, step.length, failure)) != 0)
        return result;
  }
  return result;
}

static void no_memory(void **state)
{
  (void)state;
  struct files files;
  make_store(&files);
  for (failing = 1;; failing++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    struct gg_plan_options options = {.path = files.dir};
    struct gg_plan *plan;
    counting = true;
    calls = 0;
    live = 0;
    int error = gg__plan_create(&plan, &options, &failure);
    if (!error) {
      assert_int_equal(walk(plan, &failure), 0);
      gg__plan_destroy(plan);
    }
    counting = false;
    assert_int_equal(live, 0);
    if (calls < failing) {
      assert_int_equal(error, 0);
      break;
    }
    if (error) {
      assert_int_equal(error, GG_ERR_NOMEM);
      assert_null(plan);
      assert_true(failure.message[0]);
    }
  }
  assert_true(failing > 30);
  failing = 0;
  files_end(&files);
}

/* ── Disk ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void no_space(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  make_store(&files);
  /* More steps than the buffer holds: blocks are written, and changed when they are. */
  files_segment(&files, "0009.pcapng");
  talk_open(&files, &talk, 9, 5000);
  for (unsigned i = 0; i < 12000; i++)
    say(&files, &talk, 9, i % 2 ? GG_FROM_SERVER : GG_FROM_CLIENT, 10);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_plan_options options = {.path = files.dir};
  bool made = false;
  for (unsigned long at = 1; !made; at++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    struct gg_plan *plan;
    writes = 0;
    failing_write = at;
    made = gg__plan_create(&plan, &options, &failure) == 0;
    assert_int_equal(failure.code, made ? 0 : GG_ERR_NO_SPACE);
    assert_int_equal(made, writes < at);
    assert_true(made || strstr(failure.message, "temporary file"));
    gg__plan_destroy(plan);
  }
  assert_true(writes > 1);
  failing_write = 0;
  write_most = 1000; /* and written bit by bit it is the same */
  assert_int_equal(compare_with_store(files.dir, NULL), 4);
  write_most = SIZE_MAX;
  assert_int_equal(setenv("TMPDIR", "/nonexistent/here", 1), 0);
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plan *plan;
  assert_int_equal(gg__plan_create(&plan, &options, &failure), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(failure.message, "/nonexistent/here"));
  assert_int_equal(setenv("TMPDIR", files.dir, 1), 0);
  assert_int_equal(compare_with_store(files.dir, NULL), 4);
  assert_int_equal(unsetenv("TMPDIR"), 0);
  files_end(&files);
}

/* ── Segments ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void path_of(const struct files *files, const char *name, char path[256])
{
  snprintf(path, 256, "%s/segments/%s", files->dir, name);
}

static void a_segment_goes(void **state)
{
  (void)state;
  struct files files;
  char path[256], other[256];
  make_store(&files);
  path_of(&files, "0001.pcapng", path);
  path_of(&files, "0001.pcapng.away", other);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(rename(path, other), 0);
  assert_int_equal(walk(plan, &failure), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(failure.message, "0001.pcapng"));
  assert_int_equal(rename(other, path), 0);
  assert_int_equal(walk(plan, NULL), 0); /* it is there again */
  gg__plan_destroy(plan);
  files_end(&files);
}

static void a_segment_is_another(void **state)
{
  (void)state;
  struct files files;
  char path[256], other[256], command[1100];
  make_store(&files);
  path_of(&files, "0001.pcapng", path);
  path_of(&files, "0001.pcapng.copy", other);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  struct gg_failure failure = GG_FAILURE_INIT;
  snprintf(command, sizeof command, "cp %s %s && mv %s %s", path, other, other, path);
  assert_int_equal(system(command), 0);
  assert_int_equal(walk(plan, &failure), GG_ERR_CORRUPT);
  assert_non_null(strstr(failure.message, "another file"));
  gg__plan_destroy(plan);
  files_end(&files);
}

static void a_segment_is_cut(void **state)
{
  (void)state;
  struct files files;
  char path[256];
  for (unsigned open = 0; open < 2; open++) {
    make_store(&files);
    path_of(&files, "0002.pcapng", path);
    struct gg_plan *plan = compare_plan(files.dir, NULL);
    struct gg_failure failure = GG_FAILURE_INIT;
    struct gg_script *script = gg__plan_script(plan);
    struct gg_cursor cursor = script->ops->steps(script, 0);
    struct gg_step step;
    uint8_t byte;
    /* While it is open as well as before. */
    while (open && script->ops->next(script, &cursor, &step, NULL) == 1)
      if (step.kind == GG_STEP_SEND)
        assert_int_equal(script->ops->bytes(script, &step, 0, &byte, 1, NULL), 0);
    assert_int_equal(truncate(path, 1000), 0);
    int result = walk(plan, &failure);
    if (open)
      assert_int_equal(result, 0); /* a small file, all of it read before: what is played is what was recorded */
    else
      assert_int_equal(result, GG_ERR_CORRUPT);
    gg__plan_destroy(plan);
    files_end(&files);
  }
}

/* What is appended after planning changes nothing, also in the block that was read when it was not full. */
static void a_segment_grows(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  say(&files, &talk, 1, GG_FROM_CLIENT, 5000);
  size_t first = files.length;
  say(&files, &talk, 1, GG_FROM_CLIENT, 5000);
  files_write_part(&files, first);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  assert_int_equal(walk(plan, NULL), 0);
  files_write(&files);
  assert_int_equal(walk(plan, NULL), 0);
  gg__plan_destroy(plan);
  files_end(&files);
}

static size_t count_descriptors(void)
{
  DIR *directory = opendir("/proc/self/fd");
  size_t count = 0;
  assert_non_null(directory);
  while (readdir(directory))
    count++;
  closedir(directory);
  return count;
}

/* More segments than descriptors, more bytes than the cache, in an order that is none. */
static void far_apart(void **state)
{
  (void)state;
  enum { SEGMENTS = 100, BYTES = 400000, READS = 3000 };
  struct files files;
  struct talk talk;
  files_begin(&files);
  for (unsigned i = 0; i < SEGMENTS; i++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", i);
    files_segment(&files, name);
    talk_open(&files, &talk, i, (uint16_t)(4000 + i));
    say(&files, &talk, i, GG_FROM_CLIENT, BYTES);
    talk_close(&files, &talk);
    files_write(&files);
  }
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  struct gg_script *script = gg__plan_script(plan);
  uint32_t random = 1;
  size_t before = count_descriptors();
  assert_int_equal(script->ops->count(script), SEGMENTS);
  for (unsigned read = 0; read < READS; read++) {
    random = random * 1664525u + 1013904223u;
    unsigned session = (random >> 8) % SEGMENTS;
    struct gg_cursor cursor = script->ops->steps(script, session);
    struct gg_step step;
    uint8_t bytes[100];
    for (unsigned i = 0; i <= (random >> 20) % 10; i++)
      assert_int_equal(script->ops->next(script, &cursor, &step, NULL), 1);
    uint32_t skip = (random >> 4) % (step.length - 99);
    assert_int_equal(script->ops->bytes(script, &step, skip, bytes, sizeof bytes, NULL), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
      assert_int_equal(bytes[i], byte_at(session, step.offset + skip + i));
  }
  assert_true(count_descriptors() <= before + GG_CACHE_OPEN_MAX);
  gg__plan_destroy(plan);
  assert_true(count_descriptors() < before);
  files_end(&files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(no_memory),        cmocka_unit_test(no_space),
    cmocka_unit_test(a_segment_goes),   cmocka_unit_test(a_segment_is_another),
    cmocka_unit_test(a_segment_is_cut), cmocka_unit_test(a_segment_grows),
    cmocka_unit_test(far_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
