/* SPDX-License-Identifier: Apache-2.0 */
/* Following logs for a reader who is slow: it can be stopped, it comes to an end, and it does not list the store for
 * every packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_files.h"

#include <gogetway/store.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>

enum { CHUNK_BYTES = 20000, CHUNKS = 100, APPENDS_MAX = 30 };

static const char segment[] = "20240101T000000.000Z-w0-block-000001.pcapng";

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
static unsigned listings, stop_at;
static struct gg_tail *stopped;

DIR *__wrap_opendir(const char *path)
{
  if (++listings == stop_at)
    gg_tail_stop(stopped);
  return __real_opendir(path);
}

static void add_segment(struct files *files, const char *name, unsigned number, unsigned chunks)
{
  static char chunk[CHUNK_BYTES];
  struct talk talk;
  files_segment(files, name);
  talk_open(files, &talk, number, (uint16_t)(4000 + number));
  for (unsigned i = 0; i < chunks; i++)
    talk_say(files, &talk, GG_FROM_CLIENT, chunk, sizeof chunk);
  talk_close(files, &talk);
  files_write(files);
}

/* A tail into a pipe, which a thread of its own calls. */
struct piped {
  struct files files;
  struct gg_store *store;
  struct gg_tail *tail;
  struct gg_failure failure;
  int ends[2], result;
  bool finishes;
  char reply[512];
  uint8_t *got; /* what was read from the pipe */
  size_t got_bytes;
};

static void begin(struct piped *piped)
{
  *piped = (struct piped){.failure = GG_FAILURE_INIT, .got = malloc(64 << 20)};
  assert_non_null(piped->got);
  files_begin(&piped->files);
  add_segment(&piped->files, segment, 1, CHUNKS);
  assert_int_equal(pipe(piped->ends), 0);
  if (gg_store_open(&piped->store, piped->files.dir, NULL, &piped->failure) != 0 ||
      gg_tail_create(&piped->tail, piped->store, piped->ends[1], true, &piped->failure) != 0)
    fail_msg("%s", piped->failure.message);
  snprintf(piped->reply, sizeof piped->reply,
           "{\"ok\":true,\"logs\":[{\"name\":\"w0-block\",\"segment\":\"%s\",\"segment_bytes\":%zu,"
           "\"watermark_ns\":%" PRIu64 "}]}",
           segment, piped->files.length, piped->files.time_ns);
}

static void *work(void *context)
{
  struct piped *piped = context;
  piped->result = piped->finishes ? gg_tail_finish(piped->tail, &piped->failure)
                                  : gg_tail_update(piped->tail, piped->reply, &piped->failure);
  close(piped->ends[1]);
  return NULL;
}

static bool read_some(struct piped *piped)
{
  ssize_t got = read(piped->ends[0], piped->got + piped->got_bytes, 64 << 10);
  assert_true(got >= 0);
  piped->got_bytes += (size_t)got;
  return got > 0;
}

static void wait_full(const struct piped *piped)
{
  struct pollfd in = {.fd = piped->ends[0], .events = POLLIN}, out = {.fd = piped->ends[1], .events = POLLOUT};
  assert_int_equal(poll(&in, 1, 20000), 1);
  while (poll(&out, 1, 0) != 0)
    sched_yield();
}

/* Of all blocks: they end where the bytes do. */
static bool is_whole(const struct piped *piped)
{
  size_t at = 0;
  while (at + 8 <= piped->got_bytes) {
    uint32_t length;
    memcpy(&length, piped->got + at + 4, sizeof length);
    at += length;
  }
  return at == piped->got_bytes;
}

static void end(struct piped *piped)
{
  gg_tail_destroy(piped->tail);
  gg_store_close(piped->store);
  close(piped->ends[0]);
  files_end(&piped->files);
  free(piped->got);
}

/* The tail works on a thread of its own, fills the pipe, and is told to end. */
static pthread_t begin_and_stop(struct piped *piped)
{
  pthread_t thread;
  begin(piped);
  assert_int_equal(pthread_create(&thread, NULL, work, piped), 0);
  wait_full(piped);
  gg_tail_stop(piped->tail);
  return thread;
}

static void a_stop_while_the_pipe_is_full(void **state)
{
  (void)state;
  struct piped piped;
  pthread_t thread = begin_and_stop(&piped);
  usleep(300000); /* a slow reader, who takes nothing while it notices; what is checked is so without that, too */
  while (read_some(&piped))
    ;
  pthread_join(thread, NULL);
  assert_int_equal(piped.result, 0);
  assert_true(is_whole(&piped));
  assert_true(piped.got_bytes < (size_t)CHUNK_BYTES * CHUNKS * 2 / 3);
  assert_int_equal(gg_tail_update(piped.tail, piped.reply, NULL), 0); /* and nothing comes after that */
  end(&piped);
}

static void a_stop_and_nobody_reads(void **state)
{
  (void)state;
  struct piped piped;
  pthread_t thread = begin_and_stop(&piped);
  pthread_join(thread, NULL);
  assert_int_equal(piped.result, GG_ERR_TIMEOUT);
  assert_non_null(strstr(piped.failure.message, "cut short"));
  end(&piped);
}

/* There may be many without a packet, or that cannot be opened. */
static void a_stop_between_segments(void **state)
{
  (void)state;
  struct piped piped;
  char path[128];
  begin(&piped);
  for (unsigned i = 1; i <= 20; i++) {
    snprintf(path, sizeof path, "%s/segments/20240101T000000.000Z-w1-block-%06u.pcapng", piped.files.dir, i);
    assert_int_equal(symlink("nowhere", path), 0);
  }
  listings = 0;
  stop_at = 4; /* the first is for the logs that there are */
  stopped = piped.tail;
  assert_int_equal(gg_tail_update(piped.tail, piped.reply, &piped.failure), 0);
  stop_at = 0;
  assert_int_equal(listings, 4);
  close(piped.ends[1]);
  while (read_some(&piped))
    ;
  assert_true(piped.got_bytes < CHUNK_BYTES); /* of the other log a packet, if it had its turn first */
  end(&piped);
}

static void append(const struct files *files)
{
  int fd = open(files->segment, O_WRONLY | O_APPEND | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, files->bytes, files->length), files->length);
  close(fd);
}

/* The gateway has ended, and the next one writes faster than the reader reads. */
static void an_end_that_goes_away(void **state)
{
  (void)state;
  struct piped piped;
  pthread_t thread;
  begin(&piped);
  piped.finishes = true;
  snprintf(piped.reply, sizeof piped.reply,
           "{\"ok\":true,\"logs\":[{\"name\":\"w0-block\",\"segment\":\"%s\",\"segment_bytes\":0,\"watermark_ns\":1}]}",
           segment);
  assert_int_equal(gg_tail_update(piped.tail, piped.reply, NULL), 0); /* its last word */
  size_t there = piped.files.length;
  assert_true(read_some(&piped)); /* the head: what comes now comes of the end */
  assert_int_equal(pthread_create(&thread, NULL, work, &piped), 0);
  for (unsigned appends = 0; read_some(&piped); appends++)
    if (appends < APPENDS_MAX)
      append(&piped.files);
  pthread_join(thread, NULL);
  assert_int_equal(piped.result, 0);
  assert_true(is_whole(&piped));
  assert_in_range(piped.got_bytes, there / 2, there);
  end(&piped);
}

/* Logs that nobody writes any more cost nothing for each packet of the others. */
static void logs_that_are_over(void **state)
{
  (void)state;
  struct piped piped;
  char name[64];
  pthread_t thread;
  begin(&piped);
  piped.files.time_ns -= UINT64_C(3600000000000); /* they are at their ends before the other one begins */
  for (unsigned i = 1; i <= 5; i++) {
    snprintf(name, sizeof name, "20240101T00000%u.000Z-w%u-block-000001.pcapng", i, i);
    add_segment(&piped.files, name, 1 + i, 0);
  }
  listings = 0;
  assert_int_equal(pthread_create(&thread, NULL, work, &piped), 0);
  while (read_some(&piped))
    ;
  pthread_join(thread, NULL);
  assert_int_equal(piped.result, 0);
  assert_true(piped.got_bytes > (size_t)CHUNK_BYTES * CHUNKS);
  assert_in_range(listings, 1, 20);
  end(&piped);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_stop_while_the_pipe_is_full),
    cmocka_unit_test(a_stop_and_nobody_reads),
    cmocka_unit_test(a_stop_between_segments),
    cmocka_unit_test(an_end_that_goes_away),
    cmocka_unit_test(logs_that_are_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
