/* SPDX-License-Identifier: Apache-2.0 */
/* Following logs whose segments do not sort as they were written: nothing is left out, and each once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_files.h"

#include <gogetway/store.h>
#include <inttypes.h>

enum { SESSIONS_MAX = 8 };

/* A segment with one whole session, whose id and port have `number` in them. */
static void add_segment(struct files *files, const char *name, unsigned number)
{
  struct talk talk;
  files_segment(files, name);
  talk_open(files, &talk, number, (uint16_t)(4000 + number));
  talk_say(files, &talk, GG_FROM_CLIENT, "hello", 5);
  talk_close(files, &talk);
  files_write(files);
}

struct following {
  struct gg_store *store;
  struct gg_tail *tail;
  char path[128];
  int fd;
};

static void follow(struct following *following, const struct files *files, bool from_start)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  snprintf(following->path, sizeof following->path, "%s/out.pcapng", files->dir);
  following->fd = open(following->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(following->fd >= 0);
  if (gg_store_open(&following->store, files->dir, NULL, &failure) != 0 ||
      gg_tail_create(&following->tail, following->store, following->fd, from_start, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* The gateway's word: `segment` is being written and has `bytes`. */
static void tell(struct following *following, const char *segment, size_t bytes, uint64_t watermark_ns)
{
  char reply[512];
  struct gg_failure failure = GG_FAILURE_INIT;
  snprintf(reply, sizeof reply,
           "{\"ok\":true,\"logs\":[{\"name\":\"w0-block\",\"segment\":\"%s\",\"segment_bytes\":%zu,"
           "\"watermark_ns\":%" PRIu64 "}]}",
           segment, bytes, watermark_ns);
  if (gg_tail_update(following->tail, reply, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* The sessions that came out so far, as the last digits of their ids in order: "123". */
static const char *told(const struct following *following)
{
  static char text[SESSIONS_MAX + 1];
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  assert_int_equal(gg_store_open(&store, following->path, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  size_t count = gg_session_list_count(list);
  assert_true(count <= SESSIONS_MAX);
  for (size_t i = 0; i < count; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    assert_int_equal(session->bytes[0], 5);
    assert_int_equal(session->packets[0] + session->packets[1], 8);
    text[i] = session->id[23];
  }
  text[count] = '\0';
  gg_session_list_destroy(list);
  gg_store_close(store);
  return text;
}

static void stop(struct following *following)
{
  assert_int_equal(gg_tail_finish(following->tail, NULL), 0);
  gg_tail_destroy(following->tail);
  gg_store_close(following->store);
  close(following->fd);
}

/* What an earlier run left has a later stamp than what is written now. */
static void a_name_of_the_future(void **state)
{
  (void)state;
  for (int from_start = 0; from_start < 2; from_start++) {
    struct files files;
    struct following following;
    files_begin(&files);
    add_segment(&files, "20991122T000000.000Z-w0-block-000001.pcapng", 1);
    follow(&following, &files, from_start);
    tell(&following, "", 0, files.time_ns);
    assert_string_equal(told(&following), from_start ? "1" : "");
    add_segment(&files, "20240101T000000.000Z-w0-block-000001.pcapng", 2);
    tell(&following, "20240101T000000.000Z-w0-block-000001.pcapng", files.length, files.time_ns);
    assert_string_equal(told(&following), from_start ? "12" : "2");
    stop(&following);
    assert_string_equal(told(&following), from_start ? "12" : "2");
    files_end(&files);
  }
}

/* The clock goes back twice, and two segments come between two words of the gateway. */
static void a_clock_that_goes_back(void **state)
{
  (void)state;
  for (int from_start = 0; from_start < 2; from_start++) {
    struct files files;
    struct following following;
    files_begin(&files);
    add_segment(&files, "20240101T120000.000Z-w0-block-000001.pcapng", 1);
    size_t first_bytes = files.length;
    follow(&following, &files, from_start);
    tell(&following, "20240101T120000.000Z-w0-block-000001.pcapng", first_bytes, files.time_ns);
    add_segment(&files, "20240101T110000.000Z-w0-block-000002.pcapng", 2);
    uint64_t second_ns = files.time_ns - 1;
    add_segment(&files, "20240101T100000.000Z-w0-block-000003.pcapng", 3);
    tell(&following, "20240101T100000.000Z-w0-block-000003.pcapng", files.length, second_ns);
    assert_string_equal(told(&following), from_start ? "12" : "2"); /* the third is beyond the watermark */
    tell(&following, "20240101T100000.000Z-w0-block-000003.pcapng", files.length, files.time_ns);
    assert_string_equal(told(&following), from_start ? "123" : "23");
    stop(&following);
    assert_string_equal(told(&following), from_start ? "123" : "23");
    files_end(&files);
  }
}

/* A complete segment is not held back until the clock has come again to where it was. */
static void a_watermark_that_goes_back(void **state)
{
  (void)state;
  const uint64_t hour_ns = UINT64_C(3600) * 1000000000;
  struct files files;
  struct following following;
  files_begin(&files);
  files_segment(&files, "20240101T120000.000Z-w0-block-000001.pcapng");
  files_write(&files);
  follow(&following, &files, false);
  tell(&following, "20240101T120000.000Z-w0-block-000001.pcapng", files.length, files.time_ns);
  files.number--;
  add_segment(&files, "20240101T120000.000Z-w0-block-000001.pcapng", 1);
  files.time_ns -= hour_ns;
  add_segment(&files, "20240101T110000.000Z-w0-block-000002.pcapng", 2);
  tell(&following, "20240101T110000.000Z-w0-block-000002.pcapng", files.length, files.time_ns);
  assert_string_equal(told(&following), "21"); /* in order of their times */
  stop(&following);
  files_end(&files);
}

/* Two runs in one store: the numbers of both begin with 1, and each segment is read in its run. */
static void runs_of_different_lengths(void **state)
{
  (void)state;
  struct files files;
  struct following following;
  files_begin(&files);
  add_segment(&files, "20240101T000000.000Z-w0-block-000001.pcapng", 1);
  add_segment(&files, "20240101T000001.000Z-w0-block-000002.pcapng", 2);
  add_segment(&files, "20240102T000000.000Z-w0-block-000001.pcapng", 3);
  add_segment(&files, "20240102T000001.000Z-w0-block-000002.pcapng", 4);
  add_segment(&files, "20240102T000002.000Z-w0-block-000003.pcapng", 5);
  follow(&following, &files, true);
  tell(&following, "20240102T000002.000Z-w0-block-000003.pcapng", files.length, files.time_ns);
  assert_string_equal(told(&following), "12345");
  stop(&following);
  assert_string_equal(told(&following), "12345");
  files_end(&files);
}

/* The words of two gateways, one of which drains, a line each; NULL: that one answers no more. */
static void tell_both(struct following *following, const char *first, uint64_t first_ns, const char *second,
                      uint64_t second_ns)
{
  char replies[1024];
  int length = 0;
  struct gg_failure failure = GG_FAILURE_INIT;
  static const char form[] = "{\"ok\":true,\"logs\":[{\"name\":\"%s\",\"segment\":\"%s\",\"segment_bytes\":0,"
                             "\"watermark_ns\":%" PRIu64 "}]}\n";
  if (first)
    length += snprintf(replies, sizeof replies, form, "w0-block", first, first_ns);
  if (second)
    snprintf(replies + length, sizeof replies - (size_t)length, form, "w0-block-2", second, second_ns);
  if (gg_tail_update(following->tail, replies, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* One takes over: its log is another one. When the first falls silent, nothing goes beyond its last word until it has
 * written all, or it has been silent for long. */
static void two_gateways(void **state)
{
  static const char old[] = "20240101T000000.000Z-w0-block-000001.pcapng";
  static const char fresh[] = "20240101T000001.000Z-w0-block-2-000001.pcapng";
  (void)state;
  struct files files;
  struct following following;
  char running[160];
  files_begin(&files);
  snprintf(running, sizeof running, "%s/running", files.dir);
  add_segment(&files, old, 1);
  uint64_t first_ns = files.time_ns - 1;
  follow(&following, &files, true);
  tell_both(&following, old, first_ns, "", first_ns);
  assert_string_equal(told(&following), "1");
  add_segment(&files, fresh, 2);
  tell_both(&following, old, first_ns, fresh, files.time_ns); /* the first's word is older */
  assert_string_equal(told(&following), "1");
  FILE *file = fopen(running, "w");
  assert_non_null(file);
  fprintf(file, "gogetway running 1\nring w0-block /dev/shm/x\nsegment w0-block %s\n", old);
  assert_int_equal(fclose(file), 0);
  tell_both(&following, NULL, 0, fresh, files.time_ns);
  assert_string_equal(told(&following), "1");
  assert_int_equal(unlink(running), 0);
  tell_both(&following, NULL, 0, fresh, files.time_ns);
  assert_string_equal(told(&following), "12");
  /* A third one has the first's number, and begins its count again. */
  static const char third[] = "20240101T000002.000Z-w0-block-000001.pcapng";
  add_segment(&files, third, 3);
  tell_both(&following, third, files.time_ns, fresh, files.time_ns);
  assert_string_equal(told(&following), "123");
  stop(&following);
  assert_string_equal(told(&following), "123");
  files_end(&files);
}

struct warned {
  unsigned times;
  char text[256];
};

static void warn(void *context, const char *text)
{
  struct warned *warned = context;
  warned->times++;
  snprintf(warned->text, sizeof warned->text, "%s", text);
}

/* Each is told once, and the others come in the order of their numbers, also where the clock was set back. One is there
 * before, one comes later, and at the end comes the one that the gateway names. */
static void segments_that_cannot_be_opened(void **state)
{
  (void)state;
  struct files files;
  struct following following;
  struct warned warned = {0};
  char path[128];
  files_begin(&files);
  snprintf(path, sizeof path, "%s/segments/20230101T120000.000Z-w0-block-000001.pcapng", files.dir);
  assert_int_equal(symlink("nowhere", path), 0);
  add_segment(&files, "20240101T120000.000Z-w0-block-000001.pcapng", 1);
  follow(&following, &files, true);
  gg_tail_on_warning(following.tail, warn, &warned);
  alarm(20); /* it would try for ever */
  tell(&following, "20240101T120000.000Z-w0-block-000001.pcapng", files.length, files.time_ns);
  assert_string_equal(told(&following), "1");
  assert_int_equal(warned.times, 1);
  assert_non_null(strstr(warned.text, "000001.pcapng: No such file"));
  snprintf(path, sizeof path, "%s/segments/20240101T120000.000Z-w0-block-000002.pcapng", files.dir);
  assert_int_equal(mkdir(path, 0700), 0);
  add_segment(&files, "20240101T110000.000Z-w0-block-000003.pcapng", 2);
  add_segment(&files, "20240101T100000.000Z-w0-block-000004.pcapng", 3);
  tell(&following, "20240101T100000.000Z-w0-block-000004.pcapng", files.length, files.time_ns);
  assert_string_equal(told(&following), "123");
  assert_int_equal(warned.times, 2);
  assert_non_null(strstr(warned.text, "000002.pcapng is no regular file"));
  assert_int_equal(rmdir(path), 0);
  snprintf(path, sizeof path, "%s/segments/20240101T100001.000Z-w0-block-000005.pcapng", files.dir);
  assert_int_equal(symlink(path, path), 0);
  tell(&following, "20240101T100001.000Z-w0-block-000005.pcapng", 0, files.time_ns);
  assert_int_equal(warned.times, 3);
  assert_non_null(strstr(warned.text, "000005.pcapng: Too many levels of symbolic links"));
  stop(&following);
  alarm(0);
  assert_int_equal(warned.times, 3);
  assert_string_equal(told(&following), "123");
  files_end(&files);
}

/* Also the one behind whose end the tail was to begin; what comes after it is there. */
static void a_live_one_that_cannot_be_opened(void **state)
{
  (void)state;
  struct files files;
  struct following following;
  struct warned warned = {0};
  char path[128];
  files_begin(&files);
  snprintf(path, sizeof path, "%s/segments/20240101T120000.000Z-w0-block-000001.pcapng", files.dir);
  assert_int_equal(symlink("nowhere", path), 0);
  follow(&following, &files, false);
  gg_tail_on_warning(following.tail, warn, &warned);
  alarm(20);
  tell(&following, "20240101T120000.000Z-w0-block-000001.pcapng", 8, files.time_ns);
  add_segment(&files, "20240101T120001.000Z-w0-block-000002.pcapng", 2);
  tell(&following, "20240101T120001.000Z-w0-block-000002.pcapng", files.length, files.time_ns);
  assert_string_equal(told(&following), "2");
  stop(&following);
  alarm(0);
  assert_int_equal(warned.times, 1);
  assert_non_null(strstr(warned.text, "000001.pcapng: No such file"));
  files_end(&files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_name_of_the_future),
    cmocka_unit_test(a_clock_that_goes_back),
    cmocka_unit_test(a_watermark_that_goes_back),
    cmocka_unit_test(runs_of_different_lengths),
    cmocka_unit_test(two_gateways),
    cmocka_unit_test(segments_that_cannot_be_opened),
    cmocka_unit_test(a_live_one_that_cannot_be_opened),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
