/* SPDX-License-Identifier: Apache-2.0 */
/* A replay's recording is a store like any other: what was played is read back from it, byte for byte. */
#include "base/clock.h"
#include "record/log.h"
#include "replay/recording.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <gogetway/store.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KIB = 1 << 10, STREAM_MAX = 8 << 20 };

/* ── Calls that are made to fail, and small rings ────────────────────────────────────────────────────────────────── */

ssize_t __real_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
int __real_gg_recorder_open(struct gg_recorder **out, const struct gg_recorder_options *options,
                            struct gg_recovery *recovery, struct gg_failure *failure);
int __wrap_gg_recorder_open(struct gg_recorder **out, const struct gg_recorder_options *options,
                            struct gg_recovery *recovery, struct gg_failure *failure);
uint64_t __real_gg_clock_mono_ns(void);
uint64_t __wrap_gg_clock_mono_ns(void);
uint64_t __real_gg_clock_real_ns(void);
uint64_t __wrap_gg_clock_real_ns(void);

static _Atomic int write_errno;
static atomic_bool stopped; /* the replay is told to end */
static bool small;          /* rings and segments */
static _Thread_local uint64_t ahead_ns, step_ns;

static bool is_segment(int fd)
{
  char link[64], path[512];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  return n > 0 && memmem(path, (size_t)n, ".pcapng", 7);
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset)
{
  int error = atomic_load(&write_errno);
  if (!error || !is_segment(fd))
    return __real_pwrite64(fd, from, bytes, offset);
  errno = error;
  return -1;
}

int __wrap_gg_recorder_open(struct gg_recorder **out, const struct gg_recorder_options *options,
                            struct gg_recovery *recovery, struct gg_failure *failure)
{
  struct gg_recorder_options changed = *options;
  if (small) {
    changed.ring_bytes = changed.log_max_bytes = 256 * KIB;
    changed.segment_max_bytes = 128 * KIB;
  }
  return __real_gg_recorder_open(out, &changed, recovery, failure);
}

/* Each look at the clock of a thread that is in a hurry takes `step_ns`. The wall clock goes with it. */
uint64_t __wrap_gg_clock_mono_ns(void)
{
  ahead_ns += step_ns;
  return __real_gg_clock_mono_ns() + ahead_ns;
}

uint64_t __wrap_gg_clock_real_ns(void)
{
  return __real_gg_clock_real_ns() + ahead_ns;
}

/* ── A store and what is in it ───────────────────────────────────────────────────────────────────────────────────── */

struct play {
  char base[64];
  char dir[96];
  struct gg_replay_recording *recording;
  uint8_t *streams[2]; /* what was said */
  size_t lengths[2];
};

static void play_begin(struct play *play)
{
  ahead_ns = step_ns = 0;
  atomic_store(&write_errno, 0);
  atomic_store(&stopped, false);
  struct gg_failure failure = GG_FAILURE_INIT;
  *play = (struct play){.streams = {malloc(STREAM_MAX), malloc(STREAM_MAX)}};
  snprintf(play->base, sizeof play->base, "/dev/shm/gogetway-test-XXXXXX");
  assert_non_null(mkdtemp(play->base));
  snprintf(play->dir, sizeof play->dir, "%s/store", play->base);
  if (gg__recording_create(&play->recording, play->dir, &stopped, &failure) != 0)
    fail_msg("%s", failure.message);
}

static void play_finish(struct play *play)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__recording_finish(play->recording, &failure) != 0)
    fail_msg("%s", failure.message);
  gg__recording_destroy(play->recording);
  play->recording = NULL;
}

/* With the rings that it left for a next start, where the disk took nothing to the end: their names begin with the
 * store's. */
static void play_end(struct play *play)
{
  char command[256];
  gg__recording_destroy(play->recording);
  snprintf(
    command, sizeof command,
    "for s in $(find %s -type f -name store); do rm -f /dev/shm/gogetway-$(grep -Eo '[0-9a-f-]{36}' $s).*; done; "
    "rm -rf %s",
    play->base, play->base);
  assert_int_equal(system(command), 0);
  free(play->streams[0]);
  free(play->streams[1]);
}

static int say_at(struct play *play, struct gg_take *take, enum gg_direction direction, size_t bytes, uint64_t mono_ns,
                  struct gg_failure *failure)
{
  uint8_t *to = play->streams[direction] + play->lengths[direction];
  assert_true(play->lengths[direction] + bytes <= STREAM_MAX);
  for (size_t i = 0; i < bytes; i++)
    to[i] = (uint8_t)((play->lengths[direction] + i) * 2654435761u >> 24);
  int error = gg__take_bytes(take, direction, to, bytes, mono_ns, failure);
  if (!error) {
    play->lengths[direction] += bytes;
    if (direction == GG_FROM_CLIENT)
      take->sent += bytes;
  }
  return error;
}

static void say(struct play *play, struct gg_take *take, enum gg_direction direction, size_t bytes)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (say_at(play, take, direction, bytes, gg_clock_mono_ns(), &failure) != 0)
    fail_msg("%s", failure.message);
}

static void open_take(struct play *play, struct gg_take *take, const char *original, const char *local,
                      const char *remote)
{
  struct gg_addr ends[2] = {{.family = GG_FAMILY_UNIX}, {.family = GG_FAMILY_UNIX}};
  if (local)
    assert_int_equal(gg_addr_parse(&ends[0], local), 0);
  if (remote)
    assert_int_equal(gg_addr_parse(&ends[1], remote), 0);
  assert_int_equal(gg__take_open(play->recording, take, original, 3, 2, &ends[0], &ends[1], gg_clock_mono_ns(), NULL),
                   0);
}

static void close_orderly(struct gg_take *take)
{
  assert_int_equal(gg__take_fin(take, GG_FROM_CLIENT, gg_clock_mono_ns(), NULL), 0);
  assert_int_equal(gg__take_fin(take, GG_FROM_SERVER, gg_clock_mono_ns(), NULL), 0);
  assert_int_equal(gg__take_close(take, GG_CLOSING_ORDERLY, "client-fin", gg_clock_mono_ns(), NULL), 0);
}

struct heard {
  struct gg_store *store;
  struct gg_session_list *list;
};

static void told(void *context, const struct gg_problem *problem)
{
  (void)context;
  if (!problem->information)
    print_message("%s: %s\n", problem->segment, problem->text);
}

static void hear(struct heard *heard, const struct play *play, size_t sessions)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_verify_result result;
  if (gg_store_open(&heard->store, play->dir, NULL, &failure) != 0 ||
      gg_store_query(heard->store, NULL, &heard->list, &failure) != 0 ||
      gg_store_verify(heard->store, NULL, told, NULL, &result, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(gg_session_list_count(heard->list), sessions);
  assert_int_equal(result.problems, 0);
  assert_null(gg_store_warning(heard->store, 0));
}

static void hear_end(struct heard *heard)
{
  gg_session_list_destroy(heard->list);
  gg_store_close(heard->store);
}

/* Both streams of the session are what was said. Returns how many chunks they came in. */
static unsigned is_as_said(const struct heard *heard, const struct gg_session *session, const struct play *play)
{
  struct gg_reader *reader;
  struct gg_chunk chunk;
  size_t had[2] = {0, 0};
  unsigned chunks = 0;
  uint64_t last_ns = 0;
  int result;
  assert_int_equal(gg_reader_open(&reader, heard->store, session, NULL), 0);
  while ((result = gg_reader_next(reader, &chunk, NULL)) == 1) {
    assert_int_equal(chunk.gap, 0);
    assert_int_equal(chunk.offset, had[chunk.side]);
    assert_true(had[chunk.side] + chunk.length <= play->lengths[chunk.side]);
    assert_memory_equal(chunk.data, play->streams[chunk.side] + had[chunk.side], chunk.length);
    assert_true(chunk.time_ns >= last_ns);
    last_ns = chunk.time_ns;
    had[chunk.side] += chunk.length;
    chunks++;
  }
  assert_int_equal(result, 0);
  assert_int_equal(had[0], play->lengths[0]);
  assert_int_equal(had[1], play->lengths[1]);
  gg_reader_close(reader);
  return chunks;
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void what_is_played_is_read_back(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take take;
  play_begin(&play);
  assert_true(gg__recording_tick(play.recording, gg_clock_mono_ns()) > gg_clock_mono_ns());
  open_take(&play, &take, "0123456789abcdef01234567", "127.0.0.9:40000", "127.0.0.1:6379");
  say(&play, &take, GG_FROM_CLIENT, 7);
  say(&play, &take, GG_FROM_SERVER, 100000); /* four packets, one chunk */
  say(&play, &take, GG_FROM_CLIENT, 1);
  close_orderly(&take);
  play_finish(&play);
  hear(&heard, &play, 1);
  const struct gg_session *session = gg_session_list_at(heard.list, 0);
  assert_int_equal(is_as_said(&heard, session, &play), 3);
  assert_string_equal(session->listener, "replay");
  assert_string_equal(session->client, "127.0.0.9:40000");
  assert_string_equal(session->server, "127.0.0.1:6379");
  assert_string_equal(session->upstream, "127.0.0.1:6379");
  assert_string_equal(session->close, "client-fin");
  assert_string_equal(session->why, "");
  assert_string_equal(session->original, "0123456789abcdef01234567");
  char json[4096];
  gg_session_json(session, json, sizeof json);
  assert_non_null(strstr(json, "\"original\":\"0123456789abcdef01234567\""));
  assert_int_equal(session->state, GG_SESSION_CLOSED);
  assert_int_equal(session->forwarded[0], 8);
  assert_int_equal(session->forwarded[1], 100000);
  hear_end(&heard);
  play_end(&play);
}

static void what_was_not_sent_is_said(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take takes[2];
  play_begin(&play);
  /* Unix ends have no addresses: theirs are made up, and differ. */
  open_take(&play, &takes[0], "", NULL, NULL);
  open_take(&play, &takes[1], "", NULL, NULL);
  say(&play, &takes[0], GG_FROM_CLIENT, 10);
  takes[0].sent = 4;
  assert_int_equal(gg__take_close(&takes[0], GG_CLOSING_SERVER_RESET, "server-reset", gg_clock_mono_ns(), NULL), 0);
  assert_int_equal(gg__take_close(&takes[1], GG_CLOSING_CLIENT_RESET, "client-reset", gg_clock_mono_ns(), NULL), 0);
  play_finish(&play);
  hear(&heard, &play, 2);
  const struct gg_session *first = gg_session_list_at(heard.list, 0), *second = gg_session_list_at(heard.list, 1);
  const struct gg_session *cut = first->bytes[0] ? first : second;
  assert_string_not_equal(first->client, second->client);
  assert_string_equal(cut->upstream, "unix");
  assert_string_equal(cut->original, "");
  char json[4096];
  gg_session_json(cut, json, sizeof json);
  assert_null(strstr(json, "original"));
  assert_string_equal(cut->why, "server-gone");
  assert_int_equal(cut->received[0], 10);
  assert_int_equal(cut->forwarded[0], 4);
  hear_end(&heard);
  play_end(&play);
}

static void a_session_goes_on_through_segments(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take take;
  small = true;
  play_begin(&play);
  open_take(&play, &take, "0123456789abcdef01234567", "[::1]:40000", "[::1]:80");
  say(&play, &take, GG_FROM_CLIENT, 3 << 20); /* more than the ring ever holds: several chunks */
  for (unsigned i = 0; i < 100; i++)
    say(&play, &take, i % 2 ? GG_FROM_SERVER : GG_FROM_CLIENT, 10000 + i);
  close_orderly(&take);
  play_finish(&play);
  small = false;
  hear(&heard, &play, 1);
  const struct gg_session *session = gg_session_list_at(heard.list, 0);
  assert_true(session->segments > 8);
  assert_string_equal(session->original, "0123456789abcdef01234567");
  assert_true(is_as_said(&heard, session, &play) > 100);
  hear_end(&heard);
  play_end(&play);
}

static void time_does_not_go_back(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take take;
  play_begin(&play);
  open_take(&play, &take, "", "127.0.0.1:40000", "127.0.0.1:80");
  uint64_t now_ns = gg_clock_mono_ns();
  assert_int_equal(say_at(&play, &take, GG_FROM_CLIENT, 10, now_ns, NULL), 0);
  gg__recording_tick(play.recording, now_ns + 1000);
  assert_int_equal(say_at(&play, &take, GG_FROM_SERVER, 10, now_ns - GG_NS_PER_MS, NULL), 0);
  close_orderly(&take);
  play_finish(&play);
  hear(&heard, &play, 1);
  assert_int_equal(is_as_said(&heard, gg_session_list_at(heard.list, 0), &play), 2);
  hear_end(&heard);
  play_end(&play);
}

static void a_store_in_use_is_busy(void **state)
{
  (void)state;
  struct play play;
  struct gg_replay_recording *second = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  char process[32];
  play_begin(&play);
  assert_int_equal(gg__recording_create(&second, play.dir, NULL, &failure), GG_ERR_BUSY);
  assert_null(second);
  snprintf(process, sizeof process, "process %d", (int)getpid());
  assert_non_null(strstr(failure.message, process));
  failure.code = 0;
  char below[128];
  snprintf(below, sizeof below, "%s/none/store", play.base);
  assert_true(gg__recording_create(&second, below, NULL, &failure) < 0);
  assert_non_null(strstr(failure.message, below));
  play_end(&play);
}

/* Says until the log takes no more, which must be soon. */
static int say_until_refused(struct play *play, struct gg_take *take, struct gg_failure *failure)
{
  int error = 0;
  for (unsigned i = 0; i < 64 && !error; i++)
    error = say_at(play, take, GG_FROM_SERVER, 20000, gg_clock_mono_ns(), failure);
  return error;
}

static void a_full_disk_ends_the_replay(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take take, other;
  struct gg_failure failure = GG_FAILURE_INIT;
  small = true;
  play_begin(&play);
  open_take(&play, &take, "", "127.0.0.1:40000", "127.0.0.1:80");
  open_take(&play, &other, "", "127.0.0.1:40001", "127.0.0.1:80");
  atomic_store(&write_errno, ENOSPC);
  step_ns = GG_RECORDING_WAIT_NS / 2; /* the wait is a long one: time passes quickly for this thread */
  assert_int_equal(say_until_refused(&play, &take, &failure), GG_ERR_NO_SPACE);
  assert_non_null(strstr(failure.message, "the disk is full"));
  assert_non_null(strstr(failure.message, play.dir));
  assert_true(ahead_ns >= GG_RECORDING_WAIT_NS);
  /* Nothing waits as long again, and ends find room in what is kept for them. */
  step_ns = 0;
  uint64_t before_ns = gg_clock_mono_ns();
  assert_int_equal(say_until_refused(&play, &take, NULL), GG_ERR_NO_SPACE);
  assert_int_equal(gg__take_close(&take, GG_CLOSING_CLIENT_RESET, "client-reset", gg_clock_mono_ns(), NULL), 0);
  assert_true(gg_clock_mono_ns() - before_ns < GG_RECORDING_WAIT_NS / 10);
  atomic_store(&write_errno, 0);
  assert_int_equal(gg__take_close(&other, GG_CLOSING_CLIENT_RESET, "client-reset", gg_clock_mono_ns(), NULL), 0);
  play_finish(&play);
  small = false;
  ahead_ns = 0;
  hear(&heard, &play, 2);
  const struct gg_session *first = gg_session_list_at(heard.list, 0), *second = gg_session_list_at(heard.list, 1);
  is_as_said(&heard, first->bytes[1] ? first : second, &play);
  hear_end(&heard);
  play_end(&play);
}

static void *stops(void *argument)
{
  (void)argument;
  struct timespec a_while = {.tv_nsec = 100 * 1000 * 1000};
  nanosleep(&a_while, NULL);
  atomic_store(&stopped, true);
  return NULL;
}

/* Real time passes here: half a minute if nobody looked at the flag. */
static void a_stop_ends_the_wait_for_a_full_disk(void **state)
{
  (void)state;
  struct play play;
  struct gg_take take;
  struct gg_failure failure = GG_FAILURE_INIT;
  pthread_t thread;
  small = true;
  play_begin(&play);
  open_take(&play, &take, "", "127.0.0.1:40000", "127.0.0.1:80");
  atomic_store(&write_errno, ENOSPC);
  uint64_t before_ns = gg_clock_mono_ns();
  assert_int_equal(pthread_create(&thread, NULL, stops, NULL), 0);
  assert_int_equal(say_until_refused(&play, &take, &failure), GG_ERR_NO_SPACE);
  pthread_join(thread, NULL);
  assert_non_null(strstr(failure.message, "the disk is full"));
  assert_int_equal(gg__take_close(&take, GG_CLOSING_CLIENT_RESET, "client-reset", gg_clock_mono_ns(), NULL), 0);
  assert_true(gg__recording_finish(play.recording, NULL) < 0);
  uint64_t took_ns = gg_clock_mono_ns() - before_ns;
  assert_true(took_ns >= GG_RECORDING_STOPPED_WAIT_NS && took_ns < GG_RECORDING_WAIT_NS / 2);
  atomic_store(&write_errno, 0);
  small = false;
  play_end(&play);
}

/* Nobody stood still: all of it found room in the rings. */
static void a_stop_ends_the_wait_for_what_is_in_the_rings(void **state)
{
  (void)state;
  struct play play;
  struct gg_take take;
  struct gg_failure failure = GG_FAILURE_INIT;
  pthread_t thread;
  play_begin(&play);
  open_take(&play, &take, "", "127.0.0.1:40000", "127.0.0.1:80");
  atomic_store(&write_errno, ENOSPC);
  say(&play, &take, GG_FROM_CLIENT, 10000);
  close_orderly(&take);
  uint64_t before_ns = gg_clock_mono_ns();
  assert_int_equal(pthread_create(&thread, NULL, stops, NULL), 0);
  int error = gg__recording_finish(play.recording, &failure);
  pthread_join(thread, NULL);
  assert_true(error == GG_ERR_NO_SPACE || error == GG_ERR_TIMEOUT);
  assert_non_null(strstr(failure.message, "is not whole yet"));
  assert_true(gg_clock_mono_ns() - before_ns < GG_RECORDING_WAIT_NS / 2);
  atomic_store(&write_errno, 0);
  play_end(&play);
}

static void a_stop_leaves_time_for_a_disk_that_works(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take take;
  small = true;
  play_begin(&play);
  open_take(&play, &take, "", "127.0.0.1:40000", "127.0.0.1:80");
  say(&play, &take, GG_FROM_CLIENT, 10000);
  atomic_store(&stopped, true);
  for (unsigned i = 0; i < 100; i++) /* many times what the rings hold: a disk that takes it is waited for */
    say(&play, &take, GG_FROM_SERVER, 20000);
  close_orderly(&take);
  play_finish(&play);
  small = false;
  hear(&heard, &play, 1);
  is_as_said(&heard, gg_session_list_at(heard.list, 0), &play);
  hear_end(&heard);
  play_end(&play);
}

static void *makes_room(void *argument)
{
  (void)argument;
  struct timespec a_while = {.tv_nsec = 100 * 1000 * 1000};
  nanosleep(&a_while, NULL);
  atomic_store(&write_errno, 0);
  return NULL;
}

static void a_disk_that_has_room_again_is_waited_for(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take take;
  struct gg_failure failure = GG_FAILURE_INIT;
  pthread_t thread;
  small = true;
  play_begin(&play);
  open_take(&play, &take, "", "127.0.0.1:40000", "127.0.0.1:80");
  atomic_store(&write_errno, ENOSPC);
  assert_int_equal(pthread_create(&thread, NULL, makes_room, NULL), 0);
  if (say_until_refused(&play, &take, &failure) != 0)
    fail_msg("%s", failure.message);
  pthread_join(thread, NULL);
  close_orderly(&take);
  play_finish(&play);
  small = false;
  hear(&heard, &play, 1);
  is_as_said(&heard, gg_session_list_at(heard.list, 0), &play);
  hear_end(&heard);
  play_end(&play);
}

static void a_disk_that_stays_full_leaves_the_rings(void **state)
{
  (void)state;
  struct play play;
  struct heard heard;
  struct gg_take take;
  struct gg_failure failure = GG_FAILURE_INIT;
  small = true;
  play_begin(&play);
  open_take(&play, &take, "", "127.0.0.1:40000", "127.0.0.1:80");
  atomic_store(&write_errno, ENOSPC);
  step_ns = GG_RECORDING_WAIT_NS / 2;
  assert_int_equal(say_until_refused(&play, &take, NULL), GG_ERR_NO_SPACE);
  assert_int_equal(gg__take_close(&take, GG_CLOSING_CLIENT_RESET, "client-reset", gg_clock_mono_ns(), NULL), 0);
  step_ns = ahead_ns = 0;
  int error = gg__recording_finish(play.recording, &failure);
  assert_true(error == GG_ERR_NO_SPACE || error == GG_ERR_TIMEOUT);
  assert_non_null(strstr(failure.message, "is not whole yet"));
  gg__recording_destroy(play.recording);
  atomic_store(&write_errno, 0);
  assert_int_equal(gg__recording_create(&play.recording, play.dir, &stopped, &failure), 0); /* recovers them */
  play_finish(&play);
  small = false;
  hear(&heard, &play, 1);
  is_as_said(&heard, gg_session_list_at(heard.list, 0), &play);
  hear_end(&heard);
  play_end(&play);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_played_is_read_back),
    cmocka_unit_test(what_was_not_sent_is_said),
    cmocka_unit_test(a_session_goes_on_through_segments),
    cmocka_unit_test(time_does_not_go_back),
    cmocka_unit_test(a_store_in_use_is_busy),
    cmocka_unit_test(a_full_disk_ends_the_replay),
    cmocka_unit_test(a_stop_ends_the_wait_for_a_full_disk),
    cmocka_unit_test(a_stop_ends_the_wait_for_what_is_in_the_rings),
    cmocka_unit_test(a_stop_leaves_time_for_a_disk_that_works),
    cmocka_unit_test(a_disk_that_has_room_again_is_waited_for),
    cmocka_unit_test(a_disk_that_stays_full_leaves_the_rings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
