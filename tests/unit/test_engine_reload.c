/* SPDX-License-Identifier: Apache-2.0 */
/* An embedded engine: reloads, and what its functions say before, during and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <gogetway/gogetway.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RELOADS = 50 };

struct fixture {
  char dir[64], file[96], store[96];
  struct gg_gateway *engine;
  pthread_t thread;
  char told[4096];
};

static void write_file(const struct fixture *fixture, const char *text)
{
  FILE *file = fopen(fixture->file, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

static void note(void *context, const char *line, size_t length)
{
  struct fixture *fixture = context;
  size_t used = strlen(fixture->told);
  snprintf(fixture->told + used, sizeof fixture->told - used, "%.*s\n", (int)length, line);
}

static void *wait_for_end(void *context)
{
  struct fixture *fixture = context;
  struct gg_failure failure = GG_FAILURE_INIT;
  return (void *)(intptr_t)gg_gateway_wait(fixture->engine, &failure);
}

static int setup(void **state)
{
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  snprintf(fixture->dir, sizeof fixture->dir, "/tmp/gg-reload-XXXXXX");
  assert_non_null(mkdtemp(fixture->dir));
  snprintf(fixture->file, sizeof fixture->file, "%s/c.yaml", fixture->dir);
  snprintf(fixture->store, sizeof fixture->store, "%s/rec", fixture->dir);
  write_file(fixture, "listeners: [{listen: '127.0.0.1:0', upstream: none, name: a}]\nworkers: 2\n");
  char words[3][96] = {"-c", "", "--dir"};
  snprintf(words[1], sizeof words[1], "%s", fixture->file);
  const char *arguments[] = {words[0], words[1], words[2], fixture->store};
  options.arguments = arguments;
  options.argument_count = 4;
  if (gg_gateway_create(&fixture->engine, &options, &failure) != 0)
    fail_msg("%s", failure.message);
  memset(words, 0, sizeof words); /* a reload has its own */
  assert_int_equal(gg_gateway_reload(fixture->engine, NULL, NULL, NULL), GG_ERR_INVALID);
  if (gg_gateway_start(fixture->engine, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(pthread_create(&fixture->thread, NULL, wait_for_end, fixture), 0);
  *state = fixture;
  return 0;
}

static int teardown(void **state)
{
  struct fixture *fixture = *state;
  char command[160];
  void *result;
  gg_gateway_stop(fixture->engine);
  assert_int_equal(pthread_join(fixture->thread, &result), 0);
  assert_null(result);
  assert_int_equal(gg_gateway_reload(fixture->engine, NULL, NULL, NULL), GG_ERR_INVALID);
  gg_gateway_destroy(fixture->engine);
  snprintf(command, sizeof command, "rm -r %s", fixture->dir);
  assert_int_equal(system(command), 0);
  free(fixture);
  return 0;
}

static void a_reload_says_what_changed(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  char before[64], after[64];
  assert_true(gg_gateway_listener(fixture->engine, 0, before, sizeof before) > 0);
  write_file(fixture, "listeners: [{listen: '127.0.0.1:0', upstream: none, name: a},\n"
                      "            {listen: '127.0.0.1:0', upstream: none, name: b}]\nworkers: 1\n");
  assert_int_equal(gg_gateway_reload(fixture->engine, note, fixture, &failure), 0);
  assert_string_equal(fixture->told, "workers: 2 -> 1 needs a restart\n"
                                     "listener b: added at 127.0.0.1:0, upstream none\n");
  assert_true(gg_gateway_listener(fixture->engine, 0, after, sizeof after) > 0);
  assert_string_equal(before, after); /* the same listener has the same port */
  assert_true(gg_gateway_listener(fixture->engine, 1, after, sizeof after) > 0);
  assert_int_equal(gg_gateway_listener(fixture->engine, 2, after, sizeof after), 0);
}

static void a_bad_file_says_all_that_is_wrong(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  char expected[512], text[64];
  write_file(fixture, "listeners: [{listen: '127.0.0.1:0', upstream: none}]\nworkers: x\nlog: 7\n");
  assert_int_equal(gg_gateway_reload(fixture->engine, note, fixture, &failure), GG_ERR_FORMAT);
  snprintf(expected, sizeof expected, "%s:2:10: ", fixture->file);
  assert_int_equal(strncmp(fixture->told, expected, strlen(expected)), 0);
  assert_int_equal(strncmp(failure.message, expected, strlen(expected)), 0);
  snprintf(expected, sizeof expected, "\n%s:3:6: ", fixture->file);
  assert_non_null(strstr(fixture->told, expected));
  assert_true(gg_gateway_listener(fixture->engine, 0, text, sizeof text) > 0);
}

static void *reload_always(void *context)
{
  const struct fixture *fixture = context;
  for (int i = 0; i < RELOADS; i++) {
    gg_gateway_signal(fixture->engine, SIGHUP);
    if (gg_gateway_reload(fixture->engine, NULL, NULL, NULL) != 0)
      return context;
  }
  return NULL;
}

/* Several ask at once, while others look. */
static void many_may_ask_at_once(void **state)
{
  struct fixture *fixture = *state;
  pthread_t threads[3];
  char text[64], *reply;
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, reload_always, fixture), 0);
  for (int i = 0; i < RELOADS; i++) {
    assert_true(gg_gateway_listener(fixture->engine, 0, text, sizeof text) > 0);
    assert_int_equal(gg_gateway_action(fixture->engine), GG_GATEWAY_RUN);
    assert_int_equal(gg_control_call(fixture->store, "{\"command\":\"upstreams\"}", &reply, NULL), 0);
    free(reply);
    assert_int_equal(gg_control_call(fixture->store, "{\"command\":\"stats\"}", &reply, NULL), 0);
    assert_non_null(strstr(reply, "\"name\":\"a\""));
    free(reply);
  }
  for (int i = 0; i < 3; i++) {
    void *result;
    pthread_join(threads[i], &result);
    assert_null(result);
  }
}

/* Who waits for a reload is told when the engine ends first. */
static void *reload_until_the_end(void *context)
{
  const struct fixture *fixture = context;
  int error = 0;
  while (!error)
    error = gg_gateway_reload(fixture->engine, NULL, NULL, NULL);
  return (void *)(intptr_t)error;
}

static void the_end_keeps_nobody_waiting(void **state)
{
  struct fixture *fixture = *state;
  pthread_t thread;
  void *result;
  assert_int_equal(pthread_create(&thread, NULL, reload_until_the_end, fixture), 0);
  gg_gateway_drain(fixture->engine);
  pthread_join(thread, &result);
  assert_int_equal((intptr_t)result, GG_ERR_INVALID);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(a_reload_says_what_changed, setup, teardown),
    cmocka_unit_test_setup_teardown(a_bad_file_says_all_that_is_wrong, setup, teardown),
    cmocka_unit_test_setup_teardown(many_may_ask_at_once, setup, teardown),
    cmocka_unit_test_setup_teardown(the_end_keeps_nobody_waiting, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
