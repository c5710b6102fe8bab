/* SPDX-License-Identifier: Apache-2.0 */
/* The public API, from a recording to a server of this test that answers every line. */
#include "store_files.h"

#include <gogetway/replay.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cmocka.h>

enum { SESSIONS = 6, LINES = 3 };

/* ── A server ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct {
  int fd;
  char to[64];
  pthread_t thread;
  unsigned connections; /* read when the thread has ended */
} server;

static void serve(int fd)
{
  char byte;
  while (read(fd, &byte, 1) == 1)
    if (byte == '\n' && write(fd, "fine\r\n", 6) != 6)
      break;
  close(fd);
}

static void *server_main(void *unused)
{
  for (int fd; (fd = accept(server.fd, NULL, NULL)) >= 0;) {
    server.connections++;
    serve(fd);
  }
  return unused;
}

static void server_start(void)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  server.connections = 0;
  server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(server.fd >= 0 && bind(server.fd, (struct sockaddr *)&address, length) == 0 &&
              listen(server.fd, 64) == 0 && getsockname(server.fd, (struct sockaddr *)&address, &length) == 0);
  snprintf(server.to, sizeof server.to, "127.0.0.1:%u", ntohs(address.sin_port));
  assert_int_equal(pthread_create(&server.thread, NULL, server_main, NULL), 0);
}

static void server_stop(void)
{
  shutdown(server.fd, SHUT_RDWR);
  pthread_join(server.thread, NULL);
  close(server.fd);
}

/* ── A recording ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct files files;
static struct gg_replay_options options;
static struct gg_failure failure;
static struct gg_replay *replay;
static unsigned told;

static void on_session(void *context, const struct gg_replay_session *session)
{
  (void)context;
  told++;
  assert_int_equal(session->copy, 0);
}

static void record_dialog(unsigned number)
{
  struct talk talk;
  talk_open(&files, &talk, number, (uint16_t)(4000 + number));
  for (unsigned i = 0; i < LINES; i++) {
    talk_say(&files, &talk, GG_FROM_CLIENT, "how are you?\n", 13);
    talk_say(&files, &talk, GG_FROM_SERVER, "fine\r\n", 6);
  }
  talk_close(&files, &talk);
}

static void record_tls(unsigned number)
{
  struct talk talk;
  talk_open(&files, &talk, number, (uint16_t)(4000 + number));
  talk_say(&files, &talk, GG_FROM_CLIENT, "\x16\x03\x01\x00\x80\x01\x00\x00\x01\x00", 10);
  talk_say(&files, &talk, GG_FROM_SERVER, "\x16\x03\x03\x00\x80\x02\x00\x00\x01\x00", 10);
  talk_close(&files, &talk);
}

static int begin(void **state)
{
  (void)state;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  memset(&failure, 0, sizeof failure);
  replay = NULL;
  told = 0;
  options = (struct gg_replay_options)GG_REPLAY_OPTIONS_INIT;
  options.to = "127.0.0.1:9";
  options.on_session = on_session;
  return 0;
}

static int end(void **state)
{
  (void)state;
  gg_replay_destroy(replay);
  files_end(&files);
  return 0;
}

static int create(void)
{
  memset(&failure, 0, sizeof failure);
  return gg_replay_create(&replay, files.dir, NULL, &options, &failure);
}

static void record_dialogs(void)
{
  for (unsigned i = 0; i < SESSIONS; i++)
    record_dialog(1 + i);
  files_write(&files);
}

/* ── Before anything is sent ─────────────────────────────────────────────────────────────────────────────────────── */

static void options_out_of_range_are_named(void **state)
{
  (void)state;
  record_dialogs();
  const struct gg_replay_options good = options;
#define BAD(member, value)                                                                                             \
  do {                                                                                                                 \
    options = good;                                                                                                    \
    options.member = value;                                                                                            \
    assert_int_equal(create(), GG_ERR_INVALID);                                                                        \
    assert_non_null(strstr(failure.message, #member));                                                                 \
    assert_null(replay);                                                                                               \
  } while (0)
  BAD(speed_percent, 100001);
  BAD(rate, 1000001);
  BAD(copies, 0);
  BAD(copies, 1000001);
  BAD(loops, 0);
  BAD(reply_timeout_ns, 999999);
  BAD(reply_timeout_ns, UINT64_C(86400000000001));
  BAD(connect_timeout_ns, UINT64_MAX);
  BAD(ramp_ns, UINT64_C(604800000000001));
  BAD(level, (enum gg_replay_level)7);
  BAD(on_timeout, (enum gg_replay_policy)7);
  BAD(on_close, (enum gg_replay_policy)7);
  BAD(source, "127.0.0.1/8");
  BAD(to, "nowhere");
#undef BAD
  options = good;
  options.size--;
  assert_int_equal(create(), GG_ERR_INVALID);
  options.size = offsetof(struct gg_replay_options, source);
  assert_int_equal(gg_replay_option_set(&options, "on-close", "stop", NULL), 0);
  assert_int_equal(gg_replay_option_set(&options, "source", "10.0.0.0/8", NULL), GG_ERR_INVALID);
  assert_ptr_equal(options.source, good.source);
}

static void the_plan_can_be_looked_at(void **state)
{
  (void)state;
  struct gg_replay_plan plan;
  struct gg_replay_planned planned;
  record_dialogs();
  record_tls(100);
  files_write(&files);
  options.copies = 2;
  options.rate = 10;
  options.connections_max = 3;
  assert_int_equal(create(), 0);
  gg_replay_plan(replay, &plan);
  assert_int_equal(plan.sessions, SESSIONS + 1);
  assert_int_equal(plan.opaque, 1);
  assert_int_equal(plan.played, SESSIONS);
  assert_int_equal(plan.connections, 2 * SESSIONS);
  assert_int_equal(plan.connections_peak, 2);
  assert_int_equal(plan.chunks, 2 * SESSIONS * LINES);
  assert_int_equal(plan.chunks_dependent, 2 * SESSIONS * (LINES - 1));
  assert_int_equal(plan.bytes, 2 * SESSIONS * LINES * 13);
  assert_int_equal(plan.bytes_expected, 2 * SESSIONS * LINES * 6);
  assert_string_equal(plan.to, "127.0.0.1:9");
  for (int twice = 0; twice < 2; twice++)
    for (size_t i = 0; i < SESSIONS; i++) {
      assert_true(gg_replay_planned(replay, i, &planned));
      assert_int_equal(planned.due_ns, i * 100000000);
      assert_string_equal(planned.skipped, "");
      assert_string_equal(planned.server, "203.0.113.5:80");
      assert_int_equal(planned.chunks, LINES);
    }
  assert_true(gg_replay_planned(replay, SESSIONS, &planned));
  assert_string_equal(planned.skipped, "opaque: TLS");
  assert_false(gg_replay_planned(replay, SESSIONS + 1, &planned));
}

static char warned[200];

static void on_warning(void *context, const char *text)
{
  (void)context;
  snprintf(warned, sizeof warned, "%s", text);
}

static void more_connections_than_descriptors_are_warned_of(void **state)
{
  (void)state;
  struct gg_replay_plan plan;
  struct rlimit before, low;
  record_dialogs();
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  low = before;
  low.rlim_cur = 256;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  options.copies = 1000;
  options.on_warning = on_warning;
  options.connections_max = 100;
  warned[0] = '\0';
  assert_int_equal(create(), 0);
  assert_string_equal(warned, "");
  gg_replay_plan(replay, &plan);
  assert_int_equal(plan.connections_peak, 100);
  gg_replay_destroy(replay);
  options.connections_max = 5000;
  assert_int_equal(create(), 0);
  gg_replay_plan(replay, &plan);
  assert_in_range(plan.connections_peak, 150, 192);
  assert_non_null(strstr(warned, "not 5000"));
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void what_was_recorded_from_there_needs_leave(void **state)
{
  (void)state;
  record_dialogs();
  static const char *const originals[] = {"203.0.113.5:80", "198.51.100.9:8080"}; /* dialled; the upstream */
  static const char *const messages[] = {
    "the client of session 018c00000000000000000001 dialled 203.0.113.5:80, where it would be sent again, and 5 "
    "others: "
    "if that is meant, say so by the option allow-original",
    "session 018c00000000000000000001, whose client dialled 203.0.113.5:80, was recorded on its way to "
    "198.51.100.9:8080, where it would be sent again, and 5 others: if that is meant, say so by the option "
    "allow-original"};
  for (size_t i = 0; i < 2; i++) {
    options.to = originals[i];
    options.allow_original = false;
    assert_int_equal(create(), GG_ERR_DENIED);
    assert_null(replay);
    assert_string_equal(failure.message, messages[i]);
    options.allow_original = true;
    assert_int_equal(create(), 0);
    gg_replay_destroy(replay);
    replay = NULL;
  }
}

static void what_is_not_played_needs_no_leave(void **state)
{
  (void)state;
  struct talk talk;
  record_tls(1);
  talk_open_as(&files, &talk, 2, 4002, NULL, "198.51.100.7:7");
  talk_close(&files, &talk);
  talk_open(&files, &talk, 3, 4003);
  talk_miss(&talk, GG_FROM_SERVER, 7);
  talk_say(&files, &talk, GG_FROM_SERVER, "x", 1);
  talk_close(&files, &talk);
  files_write(&files);
  options.to = "198.51.100.9:8080";
  assert_int_equal(create(), 0);
  gg_replay_destroy(replay);
  options.include_partial = true;
  assert_int_equal(create(), GG_ERR_DENIED);
  assert_non_null(strstr(failure.message, "018c00000000000000000003"));
  assert_null(strstr(failure.message, "other"));
}

static void nothing_that_matches_can_be_looked_at_but_not_run(void **state)
{
  (void)state;
  struct gg_replay_plan plan;
  struct gg_filter *filter;
  static const char *const words[] = {"port=81"};
  record_dialogs();
  assert_int_equal(gg_filter_parse(&filter, words, 1, 0, NULL), 0);
  assert_int_equal(gg_replay_create(&replay, files.dir, filter, &options, &failure), GG_ERR_NOT_FOUND);
  gg_filter_destroy(filter);
  assert_non_null(replay);
  gg_replay_plan(replay, &plan);
  assert_int_equal(plan.sessions, 0);
  memset(&failure, 0, sizeof failure);
  assert_int_equal(gg_replay_run(replay, &failure), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(failure.message, "matches"));
}

static void only_opaque_sessions_can_be_looked_at_but_not_run(void **state)
{
  (void)state;
  struct gg_replay_plan plan;
  record_tls(1);
  record_tls(2);
  files_write(&files);
  assert_int_equal(create(), GG_ERR_UNSUPPORTED);
  assert_non_null(strstr(failure.message, "behind the end of TLS"));
  assert_non_null(replay);
  gg_replay_plan(replay, &plan);
  assert_int_equal(plan.opaque, 2);
  memset(&failure, 0, sizeof failure);
  assert_int_equal(gg_replay_run(replay, &failure), GG_ERR_UNSUPPORTED);
}

static void no_recording_is_not_found(void **state)
{
  (void)state;
  assert_int_equal(gg_replay_create(&replay, "/nonexistent", NULL, &options, &failure), GG_ERR_NOT_FOUND);
  assert_null(replay);
}

static bool give_up(void *context, uint64_t done, uint64_t total)
{
  (void)context;
  (void)done;
  (void)total;
  return false;
}

static void it_is_not_recorded_into_what_it_plays(void **state)
{
  (void)state;
  char paths[6][128];
  record_dialogs();
  snprintf(paths[0], sizeof paths[0], "%s", files.dir);
  snprintf(paths[1], sizeof paths[1], "%s/segments/../", files.dir);
  snprintf(paths[2], sizeof paths[2], "%s/segments", files.dir);
  snprintf(paths[3], sizeof paths[3], "%s/segments/a/b", files.dir);
  snprintf(paths[4], sizeof paths[4], "%s/link", files.dir);
  assert_int_equal(symlink(files.dir, paths[4]), 0);
  for (size_t i = 0; i < 5; i++) {
    options.record_dir = paths[i];
    assert_int_equal(create(), GG_ERR_INVALID);
    assert_non_null(strstr(failure.message, paths[i]));
    assert_null(replay);
  }
  static const char *const parts[] = {"segments", "segments/0001.pcapng"};
  options.record_dir = files.dir;
  for (size_t i = 0; i < 2; i++) { /* its segments alone are the same store */
    snprintf(paths[5], sizeof paths[5], "%s/%s", files.dir, parts[i]);
    memset(&failure, 0, sizeof failure);
    assert_int_equal(gg_replay_create(&replay, paths[5], NULL, &options, &failure), GG_ERR_INVALID);
  }
  snprintf(paths[0], sizeof paths[0], "%s/again", files.dir); /* beside the segments, and somewhere else */
  options.record_dir = paths[0];
  assert_int_equal(create(), 0);
  gg_replay_destroy(replay);
  options.record_dir = "/nonexistent/again";
  assert_int_equal(create(), 0);
}

static void planning_can_be_given_up(void **state)
{
  (void)state;
  record_dialogs();
  options.on_planning = give_up;
  assert_int_equal(create(), GG_ERR_CLOSED);
  assert_null(replay);
}

/* ── Running ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void a_replay_against_the_same_server_is_equal(void **state)
{
  (void)state;
  struct gg_replay_outcome outcome;
  char report[128];
  record_dialogs();
  server_start();
  snprintf(report, sizeof report, "%s/report.json", files.dir);
  options.to = server.to;
  options.report_path = report;
  assert_int_equal(create(), 0);
  gg_replay_outcome(replay, &outcome);
  assert_int_equal(outcome.sessions_planned, SESSIONS);
  assert_int_equal(gg_replay_run(replay, &failure), 0);
  server_stop();
  gg_replay_outcome(replay, &outcome);
  assert_int_equal(outcome.sessions[GG_REPLAY_EQUAL], SESSIONS);
  assert_int_equal(outcome.connections_made, SESSIONS);
  assert_int_equal(outcome.counts.chunks_sent, SESSIONS * LINES);
  assert_int_equal(outcome.counts.bytes_received, SESSIONS * LINES * 6);
  assert_int_equal(outcome.latency.count, SESSIONS * LINES);
  assert_false(outcome.partial);
  assert_int_equal(server.connections, SESSIONS);
  assert_int_equal(told, SESSIONS);
  assert_int_equal(access(report, R_OK), 0);
  memset(&failure, 0, sizeof failure);
  assert_int_equal(gg_replay_run(replay, &failure), GG_ERR_INVALID);
}

static void a_stop_before_the_run_lets_nothing_begin(void **state)
{
  (void)state;
  struct gg_replay_outcome outcome;
  record_dialogs();
  assert_int_equal(create(), 0);
  gg_replay_stop(replay);
  assert_int_equal(gg_replay_run(replay, &failure), 0);
  gg_replay_outcome(replay, &outcome);
  assert_true(outcome.partial);
  assert_int_equal(outcome.sessions[GG_REPLAY_UNFINISHED], SESSIONS);
  assert_int_equal(told, 0);
}

static void on_alarm(int signal)
{
  (void)signal;
  gg_replay_stop(replay);
}

static void a_signal_stops_it(void **state)
{
  (void)state;
  struct gg_replay_outcome outcome;
  record_dialogs();
  server_start();
  options.to = server.to;
  options.speed_percent = 1; /* it would take seconds */
  signal(SIGALRM, on_alarm);
  assert_int_equal(create(), 0);
  const struct itimerval soon = {.it_value = {.tv_usec = 150000}};
  setitimer(ITIMER_REAL, &soon, NULL);
  assert_int_equal(gg_replay_run(replay, &failure), 0);
  signal(SIGALRM, SIG_DFL);
  server_stop();
  gg_replay_outcome(replay, &outcome);
  assert_true(outcome.partial);
  assert_int_equal(outcome.connections_open, 0);
  assert_true(outcome.sessions[GG_REPLAY_UNFINISHED] > 0);
}

static void a_report_that_cannot_be_had_sends_nothing(void **state)
{
  (void)state;
  struct gg_replay_outcome outcome;
  record_dialogs();
  options.report_path = "/nonexistent/report.json";
  assert_int_equal(create(), 0);
  assert_int_equal(gg_replay_run(replay, &failure), GG_ERR_NOT_FOUND);
  gg_replay_outcome(replay, &outcome);
  assert_int_equal(outcome.connections_made + outcome.connections_refused, 0);
}

static void a_recording_that_cannot_be_had_leaves_no_report(void **state)
{
  (void)state;
  char report[128];
  record_dialogs();
  snprintf(report, sizeof report, "%s/report.json", files.dir);
  options.report_path = report;
  options.record_dir = "/dev/null/store";
  assert_int_equal(create(), 0);
  assert_true(gg_replay_run(replay, &failure) < 0);
  assert_true(failure.message[0] != '\0');
  assert_int_equal(access(report, F_OK), -1);
}

static void the_texts_are_there(void **state)
{
  (void)state;
  assert_string_equal(gg_replay_release_text(GG_REPLAY_RELEASED_BY_TERMINATOR), "terminator");
  assert_string_equal(gg_replay_verdict_text(GG_REPLAY_UNFINISHED), "unfinished");
  assert_string_equal(gg_replay_difference_text(GG_REPLAY_DIFFERENCE_NOT_CLOSED), "not-closed");
  assert_string_equal(gg_replay_verdict_text((enum gg_replay_verdict)99), "unknown");
}

int main(void)
{
  signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
  const struct CMUnitTest tests[] = {
    TEST(options_out_of_range_are_named),
    TEST(the_plan_can_be_looked_at),
    TEST(more_connections_than_descriptors_are_warned_of),
    TEST(what_was_recorded_from_there_needs_leave),
    TEST(what_is_not_played_needs_no_leave),
    TEST(nothing_that_matches_can_be_looked_at_but_not_run),
    TEST(only_opaque_sessions_can_be_looked_at_but_not_run),
    TEST(no_recording_is_not_found),
    TEST(it_is_not_recorded_into_what_it_plays),
    TEST(planning_can_be_given_up),
    TEST(a_replay_against_the_same_server_is_equal),
    TEST(a_stop_before_the_run_lets_nothing_begin),
    TEST(a_signal_stops_it),
    TEST(a_report_that_cannot_be_had_sends_nothing),
    TEST(a_recording_that_cannot_be_had_leaves_no_report),
    TEST(the_texts_are_there),
  };
#undef TEST
  return cmocka_run_group_tests(tests, NULL, NULL);
}
