/* SPDX-License-Identifier: Apache-2.0 */
/* One process writes a catalogue, others read it, and the writer is killed at any moment: nobody ever sees half a
 * batch, and no reader fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "catalogue_files.h"

#include <signal.h>
#include <sys/wait.h>

enum { BATCH = 40, KILLS = 50, BATCHES_MAX = 4000, READERS = 2 };

/* What a reader finds: sessions, and up to where the segment is indexed, which says how many batches there were. */
struct counting {
  uint64_t sessions, batches;
};

static int count_record(void *context, struct gg__record *record)
{
  struct counting *counting = context;
  counting->sessions++;
  gg__record_free(record);
  return 0;
}

static int count_batches(void *context, const struct gg__catalogue_segment *segment)
{
  struct counting *counting = context;
  counting->batches = segment->scanned;
  return 0;
}

static int count_total(void *context, const struct gg_total *total)
{
  uint64_t *sessions = context;
  *sessions += total->sessions;
  return 0;
}

/* All of one moment. Returns 0, or the line in which it was not so. */
static int look(struct gg__catalogue *catalogue, struct counting *counting)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  uint64_t total = 0;
  *counting = (struct counting){0};
  if (gg__catalogue_hold(catalogue, &failure) != 0)
    return __LINE__;
  if (gg__catalogue_segments(catalogue, count_batches, counting, &failure) != 0)
    return __LINE__;
  if (gg__catalogue_query(catalogue, NULL, NULL, 0, count_record, counting, &failure) != 0)
    return __LINE__;
  if (gg__catalogue_totals(catalogue, NULL, "listener", count_total, &total, NULL, &failure) != 0)
    return __LINE__;
  gg__catalogue_release(catalogue);
  if (counting->sessions != counting->batches * BATCH || total != counting->sessions)
    return __LINE__;
  return 0;
}

static int put_batch(struct gg__catalogue *catalogue, uint64_t number)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__catalogue_segment segment = {.name = "0001.pcapng", .scanned = number + 1};
  struct gg__capture capture = {.name = segment.name};
  if (gg__catalogue_begin(catalogue, &failure) != 0 || gg__catalogue_put_segment(catalogue, &segment, &failure) != 0)
    return -1;
  for (unsigned i = 0; i < BATCH; i++) {
    struct gg__record record = {0};
    struct gg__part part = {.capture = &capture, .start_ns = number * BATCH + i, .bytes = {number, i}, .begins = true};
    uint64_t told[2] = {0, 0};
    part.client = part.server = part.listener = part.upstream = part.server_path = part.why = part.original = "";
    part.as_sent_of = part.verdict = part.verdict_by = part.tags = "";
    part.close = "client-fin";
    part.closed = true;
    part.end_ns = part.start_ns + 1;
    gg_addr_parse(&part.end[0], "192.0.2.1:4000");
    gg_addr_parse(&part.end[1], "192.0.2.2:80");
    record.parts = &part;
    snprintf(record.session.id, sizeof record.session.id, "018c%020llx", (unsigned long long)part.start_ns);
    memcpy(part.id, record.session.id, sizeof part.id);
    gg__session_begin(&record.session, &part);
    gg__session_add(&record.session, &part, told, true);
    if (gg__catalogue_put(catalogue, &record, &failure) != 0)
      return -1;
  }
  return gg__catalogue_commit(catalogue, &failure);
}

/* Goes on where the last one was killed. */
static void write_on(const char *path, uint64_t batches)
{
  struct gg__catalogue *catalogue = NULL;
  struct counting counting;
  if (gg__catalogue_open(&catalogue, path, GG__CATALOGUE_WRITE, NULL) != 0)
    _exit(1);
  if (look(catalogue, &counting) != 0)
    _exit(2);
  for (uint64_t number = counting.batches; number < counting.batches + batches; number++)
    if (put_batch(catalogue, number) != 0)
      _exit(3);
  gg__catalogue_close(catalogue);
  _exit(0);
}

/* Until it is told to end; then 0, or the line where something was wrong. */
static volatile sig_atomic_t ending;
static void note_end(int number)
{
  (void)number;
  ending = 1;
}

static void read_on(const char *path)
{
  uint64_t last = 0;
  signal(SIGTERM, note_end);
  for (unsigned round = 0; !ending; round++) {
    struct gg__catalogue *catalogue = NULL;
    struct counting counting = {0};
    int error = gg__catalogue_open(&catalogue, path, GG__CATALOGUE_READ, NULL);
    if (error)
      _exit(1);
    for (unsigned i = 0; i < 5 && !ending; i++) {
      error = look(catalogue, &counting);
      if (error)
        _exit(error & 0xff ? error & 0xff : 2);
      if (counting.batches < last)
        _exit(3);
      last = counting.batches;
    }
    gg__catalogue_close(catalogue);
  }
  _exit(0);
}

static int end_of(pid_t child)
{
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_killed_writer_leaves_whole_batches(void **state)
{
  (void)state;
  char dir[] = "/tmp/gogetway-catalogue-XXXXXX", path[128];
  pid_t readers[READERS];
  assert_non_null(mkdtemp(dir));
  catalogue_path(dir, path);
  gg__catalogue_close(catalogue_open(dir, GG__CATALOGUE_WRITE));
  for (unsigned i = 0; i < READERS; i++) {
    readers[i] = fork();
    if (readers[i] == 0)
      read_on(path);
  }
  uint32_t random = 5;
  uint64_t last = 0;
  unsigned killed = 0;
  for (unsigned kill_number = 0; kill_number < KILLS; kill_number++) {
    pid_t writer = fork();
    if (writer == 0)
      write_on(path, BATCHES_MAX);
    random = random * 1664525u + 1013904223u;
    usleep(500 + (random >> 8) % 30000);
    kill(writer, SIGKILL);
    int status = end_of(writer);
    assert_true(status == -SIGKILL || status == 0);
    killed += status == -SIGKILL;
    struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_READ);
    struct counting counting;
    assert_int_equal(look(catalogue, &counting), 0);
    assert_true(counting.batches >= last);
    last = counting.batches;
    gg__catalogue_close(catalogue);
  }
  assert_true(killed > KILLS / 2);
  pid_t writer = fork();
  if (writer == 0)
    write_on(path, 3);
  assert_int_equal(end_of(writer), 0);
  for (unsigned i = 0; i < READERS; i++) {
    kill(readers[i], SIGTERM);
    assert_int_equal(end_of(readers[i]), 0);
  }
  assert_true(last > 0);
  files_remove_in(dir);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_killed_writer_leaves_whole_batches),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
