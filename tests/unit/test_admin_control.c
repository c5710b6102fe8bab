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
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
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

static int say_why(void *context, const struct gg_control_request *request, struct gg_json *reply,
                   struct gg_failure *failure)
{
  (void)request;
  (void)context;
  gg_json_field_string(reply, "half", "written");
  gg_fail(failure, GG_ERR_FORMAT, "two things");
  gg_control_refuse(reply, failure);
  gg_json_field_unsigned(reply, "things", 2);
  return 0;
}

static int say_words(void *context, const struct gg_control_request *request, struct gg_json *reply,
                     struct gg_failure *failure)
{
  (void)context;
  (void)failure;
  gg_json_key(reply, "words");
  gg_json_array_begin(reply);
  for (unsigned i = 0; i < request->word_count; i++)
    gg_json_string(reply, request->words[i]);
  gg_json_array_end(reply);
  return 0;
}

/* What the next "send" sends, and who asked for it. */
static struct {
  size_t count;
  pid_t pid;
  uint64_t client;
  _Atomic uint64_t gone;
} sending;

static int say_who(void *context, const struct gg_control_request *request, struct gg_json *reply,
                   struct gg_failure *failure)
{
  (void)context;
  (void)failure;
  sending.pid = request->pid;
  sending.client = request->client;
  gg_json_field_unsigned(reply, "count", sending.count);
  return 0;
}

static size_t send_pipes(void *context, int **fds)
{
  (void)context;
  *fds = malloc((sending.count + 1) * sizeof **fds);
  for (size_t i = 0; i < sending.count; i++)
    (*fds)[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return sending.count;
}

static void client_gone(void *context, uint64_t client)
{
  (void)context;
  atomic_store(&sending.gone, client);
}

static const struct gg_control_command commands[] = {
  {"hello", "says hello", say_hello},
  {"no", "fails", say_no},
  {"echo", "says its argument \"text\"", say_text},
  {"words", "says its words", say_words},
  {"much", "nearly the largest reply", say_much},
  {"toomuch", "a reply that does not fit", say_too_much},
  {"why", "fails with particulars", say_why},
  {"send", "sends descriptors", say_who, send_pipes},
};

static _Atomic uint64_t busy; /* the client that is; they are counted from 1 */

static bool is_busy(void *context, uint64_t client)
{
  (void)context;
  return client == atomic_load(&busy);
}

static struct gg_control *begin(const char *dir, uint64_t idle_timeout_ns)
{
  static char context[] = "world";
  struct gg_control_options options = {.dir = dir,
                                       .commands = commands,
                                       .command_count = sizeof commands / sizeof commands[0],
                                       .context = context,
                                       .gone = client_gone,
                                       .busy = is_busy,
                                       .idle_timeout_ns = idle_timeout_ns};
  struct gg_control *control = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_control_start(&control, &options, &failure) != 0 || gg_control_publish(control, &failure) != 0)
    fail_msg("%s", failure.message);
  return control;
}

static int setup(void **state)
{
  struct fixture *fixture = calloc(1, sizeof *fixture);
  snprintf(fixture->dir, sizeof fixture->dir, "/tmp/gg-control-XXXXXX");
  assert_non_null(mkdtemp(fixture->dir));
  atomic_store(&sending.gone, 0);
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
  expect_call(fixture->dir, "{\"command\":\"why\"}", "{\"ok\":false,\"error\":\"two things\",\"things\":2}");
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
  static const char nine_arguments[] = "{\"command\":\"hello\",\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,"
                                       "\"6\":6,\"7\":7,\"8\":8,\"9\":9}";
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
                                      nine_arguments,
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

static void words_are_a_list(void **state)
{
  const struct fixture *fixture = *state;
  char request[GG_CONTROL_VALUE_MAX + 64], word[GG_CONTROL_VALUE_MAX + 1];
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply;
  expect_call(fixture->dir, "{\"command\":\"words\"}", "{\"ok\":true,\"words\":[]}");
  expect_call(fixture->dir, "{\"command\":\"words\",\"words\":[]}", "{\"ok\":true,\"words\":[]}");
  expect_call(fixture->dir, "{\"command\":\"words\",\"words\":[\"a\",7,true,\"\"],\"text\":\"x\"}",
              "{\"ok\":true,\"words\":[\"a\",\"7\",\"true\",\"\"]}");
  expect_call(fixture->dir, "{\"command\":\"words\",\"words\":\"a\"}",
              "{\"ok\":false,\"error\":\"\\\"words\\\" must be a list\"}");
  expect_call(fixture->dir, "{\"command\":\"words\",\"words\":[\"a\",null]}",
              "{\"ok\":false,\"error\":\"each of the \\\"words\\\" must be a text, a whole number, true or false\"}");
  expect_call(fixture->dir, "{\"command\":\"words\",\"words\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}",
              "{\"ok\":false,\"error\":\"a request has at most 16 words\"}");
  memset(word, 'x', sizeof word);
  snprintf(request, sizeof request, "{\"command\":\"words\",\"words\":[\"%.*s\"]}", GG_CONTROL_VALUE_MAX - 1, word);
  assert_int_equal(gg_control_call(fixture->dir, request, &reply, &failure), 0);
  assert_int_equal(strncmp(reply, "{\"ok\":true,\"words\":[\"xxx", 24), 0);
  free(reply);
  snprintf(request, sizeof request, "{\"command\":\"words\",\"words\":[\"%.*s\"]}", GG_CONTROL_VALUE_MAX, word);
  expect_call(fixture->dir, request, "{\"ok\":false,\"error\":\"one of the \\\"words\\\" is longer than 511 bytes\"}");
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

/* It is waited for as long as it is busy, and is closed like any other when it is not any more. */
static void a_busy_client_is_not_idle(void **state)
{
  static const char request[] = "{\"command\":\"hello\"}\n";
  struct fixture *fixture = *state;
  gg_control_stop(fixture->control);
  fixture->control = begin(fixture->dir, 50 * GG_NS_PER_MS);
  atomic_store(&busy, 1);
  int first = connect_raw(fixture->dir);
  char *text;
  for (int i = 0; i < 3; i++) { /* each of them idle for as long */
    int other = connect_raw(fixture->dir);
    text = read_lines(other, 1);
    assert_string_equal(text, "");
    free(text);
    close(other);
  }
  assert_int_equal(write(first, request, sizeof request - 1), sizeof request - 1);
  text = read_lines(first, 1);
  assert_non_null(strstr(text, "\"ok\":true"));
  free(text);
  atomic_store(&busy, 0);
  text = read_lines(first, 1);
  assert_string_equal(text, "");
  free(text);
  close(first);
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
  atomic_store(&sending.gone, 0);
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

/* Another process that has stepped aside; it lives until it is killed. */
static pid_t begin_elder(const char *dir)
{
  int pipes[2];
  char byte = 0;
  assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    struct gg_control *control = begin(dir, 0);
    if (gg_control_step_aside(control, NULL) != 0 || write(pipes[1], &byte, 1) != 1)
      _exit(2);
    close(pipes[0]);
    for (;;)
      pause();
  }
  close(pipes[1]);
  assert_int_equal(read(pipes[0], &byte, 1), 1);
  close(pipes[0]);
  return pid;
}

/* Both answer, each once; one that was killed left its socket, and is no error. */
static void all_gateways_are_asked(void **state)
{
  (void)state;
  static const char hello[] = "{\"ok\":true,\"hello\":\"world\"}\n";
  struct gg_failure failure = GG_FAILURE_INIT;
  char dir[] = "/tmp/gg-control-XXXXXX", path[64], twice[2 * sizeof hello], *replies;
  assert_non_null(mkdtemp(dir));
  assert_int_equal(gg_control_call_all(dir, "{\"command\":\"hello\"}", &replies, &failure), GG_ERR_NOT_FOUND);
  pid_t elder = begin_elder(dir);
  snprintf(path, sizeof path, "%s/control.new.1", dir); /* of one that is about to begin: nobody's yet */
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  close(fd);
  assert_int_equal(gg_control_call_all(dir, "{\"command\":\"hello\"}", &replies, &failure), 0);
  assert_string_equal(replies, hello); /* it has both names */
  free(replies);
  struct gg_control *control = begin(dir, 0);
  assert_int_equal(gg_control_call_all(dir, "{\"command\":\"hello\"}", &replies, &failure), 0);
  snprintf(twice, sizeof twice, "%s%s", hello, hello);
  assert_string_equal(replies, twice);
  free(replies);
  static const char request[] = "{\"command\":\"hello\"}";
  for (int i = 0; i < 2; i++) {
    assert_int_equal(gg_control_call_pid(dir, i ? getpid() : elder, request, &replies, &failure), 0);
    free(replies);
  }
  struct gg_failure other = GG_FAILURE_INIT;
  assert_int_equal(gg_control_call_pid(dir, getppid(), request, &replies, &other), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(other.message, "no gateway with process id"));
  kill(elder, SIGKILL);
  assert_int_equal(waitpid(elder, NULL, 0), elder);
  assert_int_equal(gg_control_call_all(dir, "{\"command\":\"hello\"}", &replies, &failure), 0);
  assert_string_equal(replies, hello);
  free(replies);
  assert_int_equal(gg_control_call_pid(dir, elder, request, &replies, &failure), GG_ERR_NOT_FOUND);
  gg_control_stop(control);
  assert_int_equal(gg_control_call_pid(dir, getpid(), request, &replies, &failure), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_control_call_all(dir, "{\"command\":\"hello\"}", &replies, &failure), GG_ERR_NOT_FOUND);
  assert_int_equal(access(path, F_OK), -1); /* nobody listened there when another began */
  snprintf(path, sizeof path, "%s/control.%ld", dir, (long)elder);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rmdir(dir), 0);
}

static size_t descriptors_open(void)
{
  size_t count = 0;
  for (int fd = 0; fd < 8192; fd++)
    count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

static void await_gone(uint64_t client)
{
  uint64_t until = gg_clock_mono_ns() + WAIT_MS * GG_NS_PER_MS;
  while (atomic_load(&sending.gone) != client && gg_clock_mono_ns() < until)
    clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1000000}, NULL);
  assert_int_equal(atomic_load(&sending.gone), client);
}

static void descriptors_come_with_a_reply(void **state)
{
  const struct fixture *fixture = *state;
  static const size_t counts[] = {0, 1, 253, 254, 700};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_control_peer *peer;
  static int fds[701];
  size_t before = descriptors_open(), got;
  char *reply;
  assert_int_equal(gg_control_connect(&peer, fixture->dir, &failure), 0);
  assert_int_equal(gg_control_peer_pid(peer), getpid());
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    sending.count = counts[i];
    if (gg_control_ask(peer, "{\"command\":\"send\"}", 5 * GG_NS_PER_S, &reply, fds, 701, &got, &failure) != 0)
      fail_msg("%s", failure.message);
    assert_int_equal(got, counts[i]);
    assert_int_equal(sending.pid, getpid());
    assert_int_not_equal(sending.client, 0);
    for (size_t j = 0; j < got; j++) {
      assert_true(fcntl(fds[j], F_GETFD) & FD_CLOEXEC);
      close(fds[j]);
    }
    free(reply);
  }
  /* The same connection, without asking for any. */
  assert_int_equal(gg_control_ask(peer, "{\"command\":\"send\"}", 5 * GG_NS_PER_S, &reply, NULL, 0, &got, &failure), 0);
  assert_string_equal(reply, "{\"ok\":true,\"count\":700}");
  assert_int_equal(got, 0);
  free(reply);
  gg_control_disconnect(peer);
  await_gone(sending.client);
  assert_int_equal(descriptors_open(), before);
}

static void too_many_descriptors_are_closed(void **state)
{
  const struct fixture *fixture = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_control_peer *peer;
  int fds[300];
  size_t before = descriptors_open(), got;
  char *reply;
  sending.count = 700;
  assert_int_equal(gg_control_connect(&peer, fixture->dir, &failure), 0);
  assert_int_equal(gg_control_ask(peer, "{\"command\":\"send\"}", 5 * GG_NS_PER_S, &reply, fds, 300, &got, &failure),
                   GG_ERR_LIMIT);
  assert_null(reply);
  assert_int_equal(got, 0);
  gg_control_disconnect(peer);
  await_gone(sending.client);
  assert_int_equal(descriptors_open(), before);
}

/* A client that goes while descriptors are on their way to it: none stays open here. */
static void a_client_that_leaves_takes_nothing(void **state)
{
  const struct fixture *fixture = *state;
  size_t before = descriptors_open();
  sending.count = 700;
  sending.client = 0;
  int fd = connect_raw(fixture->dir);
  assert_int_equal(write(fd, "{\"command\":\"send\"}\n", 19), 19);
  char *text = read_lines(fd, 1);
  free(text);
  close(fd);
  await_gone(sending.client);
  assert_int_equal(descriptors_open(), before);
}

static void one_steps_aside_for_another(void **state)
{
  (void)state;
  char dir[] = "/tmp/gg-control-XXXXXX", path[64];
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_non_null(mkdtemp(dir));
  struct gg_control *old = begin(dir, 0), *new;
  static char context[] = "new";
  const struct gg_control_options options = {
    .dir = dir, .commands = commands, .command_count = sizeof commands / sizeof commands[0], .context = context};
  assert_int_equal(gg_control_start(&new, &options, &failure), 0);
  expect_call(dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}"); /* nobody finds the new one yet */
  assert_int_equal(gg_control_step_aside(old, &failure), 0);
  expect_call(dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}");
  assert_int_equal(gg_control_publish(new, &failure), 0);
  expect_call(dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"new\"}");
  snprintf(path, sizeof path, "%s/control.%ld", dir, (long)getpid());
  assert_int_equal(access(path, F_OK), 0);
  gg_control_stop(old);
  assert_int_equal(access(path, F_OK), -1);
  expect_call(dir, "{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"new\"}");
  gg_control_stop(new);
  assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(commands_are_answered, setup, teardown),
    cmocka_unit_test_setup_teardown(what_is_no_request_is_answered_by_an_error, setup, teardown),
    cmocka_unit_test_setup_teardown(words_are_a_list, setup, teardown),
    cmocka_unit_test_setup_teardown(replies_are_bounded, setup, teardown),
    cmocka_unit_test_setup_teardown(requests_may_come_in_pieces_or_many_at_once, setup, teardown),
    cmocka_unit_test_setup_teardown(a_client_that_does_not_read_harms_nobody, setup, teardown),
    cmocka_unit_test_setup_teardown(a_line_too_long_closes_its_client, setup, teardown),
    cmocka_unit_test_setup_teardown(the_seventeenth_client_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(an_idle_client_is_closed, setup, teardown),
    cmocka_unit_test_setup_teardown(a_busy_client_is_not_idle, setup, teardown),
    cmocka_unit_test_setup_teardown(the_socket_is_private_and_replaces_what_is_left, setup, teardown),
    cmocka_unit_test_setup_teardown(descriptors_come_with_a_reply, setup, teardown),
    cmocka_unit_test_setup_teardown(too_many_descriptors_are_closed, setup, teardown),
    cmocka_unit_test_setup_teardown(a_client_that_leaves_takes_nothing, setup, teardown),
    cmocka_unit_test(one_steps_aside_for_another),
    cmocka_unit_test_setup_teardown(another_user_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(a_store_with_a_long_path_has_a_socket_too, setup, teardown),
    cmocka_unit_test(a_store_that_is_not_there_is_told),
    cmocka_unit_test(all_gateways_are_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
