/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/control.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <gogetway/control.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LARGE_BYTES = GG_CONTROL_REPLY_MAX - 124 * 1024, WAIT_MS = 10000 };

struct fixture {
  char dir[64];
  struct gg_control *control;
};

static int say_hello(void *context, const struct gg_control_request *request, struct gg_json *reply,
                     struct gg_failure *failure)
{
  (void)request;
  (void)failure;
  gg_json_field_string(reply, "hello", context);
  return 0;
}

static int say_no(void *context, const struct gg_control_request *request, struct gg_json *reply,
                  struct gg_failure *failure)
{
  (void)request;
  (void)context;
  gg_json_field_string(reply, "half", "written");
  return gg_fail(failure, GG_ERR_BUSY, "not today: %s", "\"quoted\"\n");
}

static int say_much(void *context, const struct gg_control_request *request, struct gg_json *reply,
                    struct gg_failure *failure)
{
  (void)request;
  (void)context;
  (void)failure;
  char *text = malloc(LARGE_BYTES);
  memset(text, 'x', LARGE_BYTES);
  gg_json_key(reply, "much");
  gg_json_string_n(reply, text, LARGE_BYTES);
  free(text);
  return 0;
}

static int say_too_much(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure)
{
  (void)request;
  say_much(context, request, reply, failure);
  gg_json_key(reply, "more");
  gg_json_array_begin(reply);
  for (int i = 0; i < 200000; i++)
    gg_json_unsigned(reply, 7);
  gg_json_array_end(reply);
  return 0;
}

static int say_text(void *context, const struct gg_control_request *request, struct gg_json *reply,
                    struct gg_failure *failure)
{
  (void)context;
  (void)failure;
  gg_json_field_string(reply, "text", gg_control_argument(request, "text"));
  return 0;
}

static const struct gg_control_command commands[] = {
  {"hello", "says hello", say_hello},
  {"no", "fails", say_no},
  {"echo", "says its argument \"text\"", say_text},
  {"much", "nearly the largest reply", say_much},
  {"toomuch", "a reply that does not fit", say_too_much},
};

static struct gg_control *begin(const char *dir, uint64_t idle_timeout_ns)
{
  static char context[] = "world";
  struct gg_control_options options = {
    .dir = dir, .commands = commands, .command_count = 5, .context = context, .idle_timeout_ns = idle_timeout_ns};
  struct gg_control *control = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_control_start(&control, &options, &failure) != 0)
    fail_msg("%s", failure.message);
  return control;
}

static int setup(void **state)
{
  struct fixture *fixture = calloc(1, sizeof *fixture);
  snprintf(fixture->dir, sizeof fixture->dir, "/tmp/gg-control-XXXXXX");
  assert_non_null(mkdtemp(fixture->dir));
  fixture->control = begin(fixture->dir, 0);
  *state = fixture;
  return 0;
}

static int teardown(void **state)
{
  struct fixture *fixture = *state;
  char path[128];
  gg_control_stop(fixture->control);
  snprintf(path, sizeof path, "%s/control", fixture->dir);
  assert_int_equal(access(path, F_OK), -1); /* removed */
  assert_int_equal(rmdir(fixture->dir), 0);
  free(fixture);
  return 0;
}

static int connect_raw(const char *dir)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/control", dir);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
  return fd;
}

/* Reads until `lines` newlines or the end; NUL-terminated, malloc'ed. */
static char *read_lines(int fd, int lines)
{
  size_t length = 0, room = 4 * GG_CONTROL_REPLY_MAX;
  char *text = malloc(room);
  while (lines > 0) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, WAIT_MS), 1);
    ssize_t got = read(fd, text + length, room - 1 - length);
    if (got <= 0)
      break;
    for (ssize_t i = 0; i < got; i++)
      lines -= text[length + (size_t)i] == '\n';
    length += (size_t)got;
  }
  text[length] = '\0';
  return text;
}

static void expect_call(const char *dir, const char *request, const char *expected)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply;
  if (gg_control_call(dir, request, &reply, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_string_equal(reply, expected);
  free(reply);
}

static void commands_are_answered(void **state)
{
  const struct fixture *fixture = *state;
  expect_call(fixture->dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}");
  expect_call(fixture->dir, " {\"command\" : \"hello\", \"more\":1} ", "{\"ok\":true,\"hello\":\"world\"}");
  expect_call(fixture->dir, "{\"text\":\"a \\u00e9\",\"command\":\"echo\"}", "{\"ok\":true,\"text\":\"a \xc3\xa9\"}");
  expect_call(fixture->dir, "{\"command\":\"echo\",\"text\":-12}", "{\"ok\":true,\"text\":\"-12\"}");
  expect_call(fixture->dir, "{\"command\":\"echo\",\"text\":true}", "{\"ok\":true,\"text\":\"true\"}");
  expect_call(fixture->dir, "{\"command\":\"echo\",\"other\":1}", "{\"ok\":true,\"text\":null}");
  expect_call(fixture->dir, "{\"command\":\"no\"}", "{\"ok\":false,\"error\":\"not today: \\\"quoted\\\"\\n\"}");
  expect_call(fixture->dir, "{\"command\":\"x\"}",
              "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"; {\\\"command\\\":\\\"help\\\"} lists them\"}");
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply;
  assert_int_equal(gg_control_call(fixture->dir, "{\"command\":\"help\"}", &reply, &failure), 0);
  assert_non_null(strstr(reply, "{\"name\":\"hello\",\"help\":\"says hello\"}"));
  free(reply);
}

static void what_is_no_request_is_answered_by_an_error(void **state)
{
  const struct fixture *fixture = *state;
  static const char *const wrong[] = {"",
                                      "x",
                                      "[]",
                                      "7",
                                      "{}",
                                      "{\"command\":7}",
                                      "{\"command\":\"\"}",
                                      "{\"command\":\"a\",\"command\":\"b\"}",
                                      "{\"command\":\"a\"} x",
                                      "{\"command\":\"hello\",\"text\":[1]}",
                                      "{\"command\":\"hello\",\"text\":null}",
                                      "{\"command\":\"hello\",\"text\":\"a\\u0000b\"}",
                                      "{\"command\":\"hello\",\"\":1}",
                                      "{\"command\":\"hello\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}",
                                      "{\"command\":\"hello\",\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,"
                                      "\"6\":6,\"7\":7,\"8\":8,\"9\":9}",
                                      "{\"command\":\"\\u0000\"}",
                                      "{\"command\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    char *reply;
    assert_int_equal(gg_control_call(fixture->dir, wrong[i], &reply, &failure), 0);
    assert_int_equal(strncmp(reply, "{\"ok\":false,\"error\":\"", 21), 0);
    free(reply);
  }
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply;
  assert_int_equal(gg_control_call(fixture->dir, "{\n}", &reply, &failure), GG_ERR_RANGE);
}

static void replies_are_bounded(void **state)
{
  const struct fixture *fixture = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply;
  assert_int_equal(gg_control_call(fixture->dir, "{\"command\":\"much\"}", &reply, &failure), 0);
  assert_true(strlen(reply) > LARGE_BYTES);
  free(reply);
  assert_int_equal(gg_control_call(fixture->dir, "{\"command\":\"toomuch\"}", &reply, &failure), 0);
  assert_non_null(strstr(reply, "{\"ok\":false,\"error\":\"the reply is longer than"));
  free(reply);
}

static void requests_may_come_in_pieces_or_many_at_once(void **state)
{
  const struct fixture *fixture = *state;
  static const char request[] = "{\"command\":\"hello\"}\n";
  int fd = connect_raw(fixture->dir);
  for (const char *at = request; *at; at++)
    assert_int_equal(write(fd, at, 1), 1);
  char *text = read_lines(fd, 1);
  assert_string_equal(text, "{\"ok\":true,\"hello\":\"world\"}\n");
  free(text);
  /* More at once than one turn answers. */
  for (int i = 0; i < 200; i++)
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
  text = read_lines(fd, 200);
  size_t one = strlen("{\"ok\":true,\"hello\":\"world\"}\n");
  assert_int_equal(strlen(text), 200 * one);
  free(text);
  close(fd);
}

/* Large replies that nobody reads stay with their client; when he reads, all are there. */
static void a_client_that_does_not_read_harms_nobody(void **state)
{
  const struct fixture *fixture = *state;
  static const char request[] = "{\"command\":\"much\"}\n";
  int fd = connect_raw(fixture->dir);
  for (int i = 0; i < 3; i++)
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
  expect_call(fixture->dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}");
  char *text = read_lines(fd, 3);
  assert_true(strlen(text) > 3 * LARGE_BYTES);
  free(text);
  close(fd);
}

static void a_line_too_long_closes_its_client(void **state)
{
  const struct fixture *fixture = *state;
  int fd = connect_raw(fixture->dir);
  char *line = malloc(GG_CONTROL_LINE_MAX + 1);
  memset(line, ' ', GG_CONTROL_LINE_MAX + 1);
  line[GG_CONTROL_LINE_MAX - 1] = '\n'; /* the longest that is read */
  assert_int_equal(send(fd, line, GG_CONTROL_LINE_MAX, 0), GG_CONTROL_LINE_MAX);
  char *text = read_lines(fd, 1);
  assert_non_null(strstr(text, "\"ok\":false"));
  free(text);
  memset(line, ' ', GG_CONTROL_LINE_MAX + 1);
  assert_int_equal(send(fd, line, GG_CONTROL_LINE_MAX, MSG_NOSIGNAL), GG_CONTROL_LINE_MAX);
  text = read_lines(fd, 1);
  assert_string_equal(text, "");
  free(text);
  free(line);
  close(fd);
  expect_call(fixture->dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}");
}

static void the_seventeenth_client_is_refused(void **state)
{
  const struct fixture *fixture = *state;
  int fds[GG_CONTROL_CLIENTS_MAX + 1];
  for (int i = 0; i <= GG_CONTROL_CLIENTS_MAX; i++)
    fds[i] = connect_raw(fixture->dir);
  char *text = read_lines(fds[GG_CONTROL_CLIENTS_MAX], 1);
  assert_string_equal(text, "{\"ok\":false,\"error\":\"too many clients\"}\n");
  free(text);
  assert_int_equal(write(fds[0], "{\"command\":\"hello\"}\n", 20), 20);
  text = read_lines(fds[0], 1);
  assert_non_null(strstr(text, "world"));
  free(text);
  for (int i = 0; i <= GG_CONTROL_CLIENTS_MAX; i++)
    close(fds[i]);
}

static void an_idle_client_is_closed(void **state)
{
  struct fixture *fixture = *state;
  gg_control_stop(fixture->control);
  fixture->control = begin(fixture->dir, 50 * GG_NS_PER_MS);
  int fd = connect_raw(fixture->dir);
  char *text = read_lines(fd, 1);
  assert_string_equal(text, "");
  free(text);
  close(fd);
}

static void the_socket_is_private_and_replaces_what_is_left(void **state)
{
  struct fixture *fixture = *state;
  char path[128];
  struct stat status;
  snprintf(path, sizeof path, "%s/control", fixture->dir);
  assert_int_equal(stat(path, &status), 0);
  assert_true(S_ISSOCK(status.st_mode));
  assert_int_equal(status.st_mode & 0777, 0600);
  gg_control_stop(fixture->control);
  int left = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/control", fixture->dir);
  assert_int_equal(bind(left, (struct sockaddr *)&address, sizeof address), 0);
  close(left);
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply;
  assert_int_equal(gg_control_call(fixture->dir, "{}", &reply, &failure), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(failure.message, "no gateway runs on"));
  mode_t before = umask(0777);
  fixture->control = begin(fixture->dir, 0);
  umask(before);
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(status.st_mode & 0777, 0600);
  expect_call(fixture->dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}");
}

static void another_user_is_refused(void **state)
{
  const struct fixture *fixture = *state;
  char path[128];
  if (geteuid() != 0)
    skip();
  snprintf(path, sizeof path, "%s/control", fixture->dir);
  assert_int_equal(chmod(fixture->dir, 0755), 0);
  assert_int_equal(chmod(path, 0666), 0); /* as if both guards in front had failed */
  pid_t pid = fork();
  if (pid == 0) {
    struct gg_failure failure = GG_FAILURE_INIT;
    char *reply;
    if (setgid(65534) != 0 || setuid(65534) != 0)
      _exit(10);
    int error = gg_control_call(fixture->dir, "{\"command\":\"hello\"}", &reply, &failure);
    /* The refusal may arrive, or the write may find the socket closed already. */
    _exit(error == GG_ERR_CLOSED || (error == 0 && strstr(reply, "\"ok\":false")) ? 0 : 11);
  }
  int status;
  waitpid(pid, &status, 0);
  assert_int_equal(status, 0);
}

static void a_store_with_a_long_path_has_a_socket_too(void **state)
{
  const struct fixture *fixture = *state;
  char parent[200], dir[512];
  snprintf(parent, sizeof parent, "%s/%0100d", fixture->dir, 1);
  snprintf(dir, sizeof dir, "%s/%0100d", parent, 2);
  assert_int_equal(mkdir(parent, 0700), 0);
  assert_int_equal(mkdir(dir, 0700), 0);
  struct gg_control *control = begin(dir, 0);
  expect_call(dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}");
  gg_control_stop(control);
  assert_int_equal(rmdir(dir), 0);
  assert_int_equal(rmdir(parent), 0);
}

static void a_store_that_is_not_there_is_told(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply;
  assert_int_equal(gg_control_call("/nonexistent/store", "{}", &reply, &failure), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(failure.message, "/nonexistent/store"));
  assert_int_equal(gg_control_call("/proc/self/status", "{}", &reply, NULL), GG_ERR_NOT_FOUND); /* no directory */
  assert_int_equal(gg_control_call("/proc/self", "{}", &reply, NULL), GG_ERR_NOT_FOUND);        /* no store */
  struct gg_control *control;
  struct gg_control_options options = {.dir = "/nonexistent/store"};
  assert_int_equal(gg_control_start(&control, &options, NULL), GG_ERR_NOT_FOUND);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(commands_are_answered, setup, teardown),
    cmocka_unit_test_setup_teardown(what_is_no_request_is_answered_by_an_error, setup, teardown),
    cmocka_unit_test_setup_teardown(replies_are_bounded, setup, teardown),
    cmocka_unit_test_setup_teardown(requests_may_come_in_pieces_or_many_at_once, setup, teardown),
    cmocka_unit_test_setup_teardown(a_client_that_does_not_read_harms_nobody, setup, teardown),
    cmocka_unit_test_setup_teardown(a_line_too_long_closes_its_client, setup, teardown),
    cmocka_unit_test_setup_teardown(the_seventeenth_client_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(an_idle_client_is_closed, setup, teardown),
    cmocka_unit_test_setup_teardown(the_socket_is_private_and_replaces_what_is_left, setup, teardown),
    cmocka_unit_test_setup_teardown(another_user_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(a_store_with_a_long_path_has_a_socket_too, setup, teardown),
    cmocka_unit_test(a_store_that_is_not_there_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
