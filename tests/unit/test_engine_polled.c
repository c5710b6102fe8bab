/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway that a program's own event loop drives: it does all that one with threads does, and waits only as told. */
#include "embed_fixture.h"

#include <signal.h>

enum { CLIENTS = 8, QUESTIONS = 50, QUIET_MS = 400, QUIET_POLLS_MAX = 60, PATIENCE_MS = 20000 };

static struct echo echo;

static uint64_t since_ms(uint64_t began_ns)
{
  return (gg_clock_mono_ns() - began_ns) / GG_NS_PER_MS;
}

/* As a loop of one's own does: waits for the descriptor only. */
static int step(struct embedded *it, int timeout_ms)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct pollfd polled = {.fd = gg_gateway_fd(it->gateway), .events = POLLIN};
  if (poll(&polled, 1, timeout_ms) == 0)
    return GG_GATEWAY_GOES_ON;
  uint64_t began_ns = gg_clock_mono_ns();
  int result = gg_gateway_poll(it->gateway, 0, &failure);
  if (result < 0)
    fail_msg("%s", failure.message);
  assert_true(since_ms(began_ns) < PATIENCE_MS);
  return result;
}

static void step_to_the_end(struct embedded *it)
{
  uint64_t began_ns = gg_clock_mono_ns();
  while (step(it, PATIENCE_MS) == GG_GATEWAY_GOES_ON)
    assert_true(since_ms(began_ns) < PATIENCE_MS);
  assert_int_equal(gg_gateway_poll(it->gateway, 0, NULL), GG_ERR_INVALID);
}

struct client {
  pthread_t thread;
  struct gg_endpoint where;
  int error;
  _Atomic bool done;
};

static void *ask_much(void *context)
{
  struct client *client = context;
  int fd = dial(&client->where);
  client->error = fd < 0 ? errno : 0;
  for (int i = 0; i < QUESTIONS && !client->error; i++)
    client->error = ask(fd);
  if (fd >= 0)
    close(fd);
  atomic_store(&client->done, true);
  return NULL;
}

static void serve(struct embedded *it, struct client *clients, size_t count)
{
  uint64_t began_ns = gg_clock_mono_ns();
  for (size_t done = 0; done < count;) {
    assert_int_equal(step(it, 50), GG_GATEWAY_GOES_ON);
    assert_true(since_ms(began_ns) < PATIENCE_MS);
    done = 0;
    for (size_t i = 0; i < count; i++)
      done += atomic_load(&clients[i].done);
  }
  for (size_t i = 0; i < count; i++) {
    pthread_join(clients[i].thread, NULL);
    assert_int_equal(clients[i].error, 0);
  }
}

static void begin_clients(struct client *clients, size_t count, struct gg_endpoint where)
{
  for (size_t i = 0; i < count; i++) {
    clients[i] = (struct client){.where = where};
    assert_int_equal(pthread_create(&clients[i].thread, NULL, ask_much, &clients[i]), 0);
  }
}

static void sessions_go_through_and_are_recorded(void **state)
{
  struct embedded it;
  struct client clients[CLIENTS];
  char *text;
  (void)state;
  embedded_init(&it, &echo);
  embedded_start(&it, true);
  begin_clients(clients, CLIENTS, embedded_where(&it, 0));
  serve(&it, clients, CLIENTS);
  assert_int_equal(gg_gateway_stats(it.gateway, &text, NULL), 0);
  assert_non_null(strstr(text, "\"state\":\"running\""));
  assert_non_null(strstr(text, "\"workers\":1"));
  free(text);
  gg_gateway_drain(it.gateway);
  step_to_the_end(&it);
  assert_int_equal(gg_gateway_stats(it.gateway, &text, NULL), 0);
  assert_non_null(strstr(text, "\"state\":\"ended\""));
  assert_non_null(strstr(text, "\"sessions_closed\":8"));
  free(text);
  embedded_fini(&it);
}

static void it_is_quiet_and_patient(void **state)
{
  struct embedded it;
  (void)state;
  embedded_init(&it, &echo);
  embedded_start(&it, true);
  uint64_t began_ns = gg_clock_mono_ns();
  unsigned polls = 0;
  for (; since_ms(began_ns) < QUIET_MS; polls++)
    step(&it, QUIET_MS);
  assert_true(polls < QUIET_POLLS_MAX); /* one that is always readable would have thousands */
  for (polls = 0; polls < 3; polls++) { /* and it waits by itself, no longer than asked */
    began_ns = gg_clock_mono_ns();
    assert_int_equal(gg_gateway_poll(it.gateway, 20, NULL), GG_GATEWAY_GOES_ON);
    assert_true(since_ms(began_ns) < 1000);
  }
  gg_gateway_stop(it.gateway);
  step_to_the_end(&it);
  embedded_fini(&it);
}

/* No event tells of it: the client and the upstream are silent. */
static void timeouts_come_true(void **state)
{
  struct embedded it;
  struct client client;
  char byte;
  (void)state;
  embedded_init(&it, &echo);
  embedded_word(&it, "--timeouts-idle");
  embedded_word(&it, "300ms");
  embedded_start(&it, true);
  begin_clients(&client, 1, embedded_where(&it, 0));
  serve(&it, &client, 1);
  int fd = dial(&client.where);
  assert_true(fd >= 0);
  uint64_t began_ns = gg_clock_mono_ns();
  while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
    step(&it, 50);
    assert_true(since_ms(began_ns) < PATIENCE_MS);
  }
  assert_true(since_ms(began_ns) >= 250);
  close(fd);
  gg_gateway_drain(it.gateway);
  step_to_the_end(&it);
  embedded_fini(&it);
}

static void write_text(const char *path, const char *text)
{
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

struct asker {
  pthread_t thread;
  struct gg_gateway *gateway;
  int error;
  _Atomic bool done;
};

static void *ask_reload(void *context)
{
  struct asker *asker = context;
  asker->error = gg_gateway_reload(asker->gateway, NULL, NULL, NULL);
  atomic_store(&asker->done, true);
  return NULL;
}

static void reloads_are_carried_out(void **state)
{
  struct embedded it;
  char path[128], text[64];
  (void)state;
  embedded_init(&it, &echo);
  snprintf(path, sizeof path, "%s/c.yaml", it.dir);
  write_text(path, "listeners: [{listen: '127.0.0.1:0', upstream: none, name: a}]\n");
  it.word_count = 0;
  const char *const words[] = {"-c", path, "--dir", it.store, "--log-dir", it.dir};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    embedded_word(&it, words[i]);
  embedded_start(&it, true);
  assert_int_equal(step(&it, 1000), GG_GATEWAY_GOES_ON);
  write_text(path, "listeners: [{listen: '127.0.0.1:0', upstream: none, name: a},\n"
                   "            {listen: '127.0.0.1:0', upstream: none, name: b}]\n");
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0); /* on this thread, at once */
  assert_true(gg_gateway_listener(it.gateway, 1, text, sizeof text) > 0);
  write_text(path, "workers: 3\nlisteners: [{listen: '127.0.0.1:0', upstream: none, name: b}]\n");
  struct asker asker = {.gateway = it.gateway}; /* on another, while this one polls */
  assert_int_equal(pthread_create(&asker.thread, NULL, ask_reload, &asker), 0);
  while (!atomic_load(&asker.done))
    step(&it, 50);
  pthread_join(asker.thread, NULL);
  assert_int_equal(asker.error, 0);
  assert_int_equal(gg_gateway_listener(it.gateway, 1, text, sizeof text), 0);
  write_text(path, "listeners: [{listen: '127.0.0.1:0', upstream: none, name: b},\n"
                   "            {listen: '127.0.0.1:0', upstream: none, name: c}]\n");
  gg_gateway_signal(it.gateway, SIGHUP);
  uint64_t began_ns = gg_clock_mono_ns();
  while (gg_gateway_listener(it.gateway, 1, text, sizeof text) == 0) {
    step(&it, 50);
    assert_true(since_ms(began_ns) < PATIENCE_MS);
  }
  gg_gateway_signal(it.gateway, SIGTERM);
  step_to_the_end(&it);
  embedded_fini(&it);
}

static void what_cannot_be_is_refused(void **state)
{
  struct embedded it;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  embedded_init(&it, &echo);
  embedded_word(&it, "--workers");
  embedded_word(&it, "2");
  assert_int_equal(embedded_try(&it, true, &failure), GG_ERR_INVALID);
  assert_string_equal(failure.message, "a gateway that is polled has one worker, and not 2");
  embedded_run(&it);
  assert_int_equal(gg_gateway_fd(it.gateway), -1);
  assert_int_equal(gg_gateway_poll(it.gateway, 0, NULL), GG_ERR_INVALID);
  embedded_join(&it);
  gg_gateway_destroy(it.gateway);
  it.word_count -= 2;
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  options.arguments = it.words;
  options.argument_count = it.word_count;
  options.polled = options.own_process = true;
  assert_int_equal(gg_gateway_create(&it.gateway, &options, NULL), GG_ERR_INVALID);
  assert_int_equal(embedded_try(&it, true, NULL), 0);
  assert_int_equal(gg_gateway_poll(it.gateway, 0, NULL), GG_ERR_INVALID); /* not started */
  assert_int_equal(gg_gateway_start(it.gateway, NULL), 0);
  assert_int_equal(gg_gateway_wait(it.gateway, NULL), GG_ERR_INVALID);
  embedded_fini(&it); /* destroy ends it by itself */
}

static int begin(void **state)
{
  (void)state;
  echo_begin(&echo);
  return 0;
}

static int end(void **state)
{
  (void)state;
  echo_end(&echo);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(sessions_go_through_and_are_recorded),
    cmocka_unit_test(it_is_quiet_and_patient),
    cmocka_unit_test(timeouts_come_true),
    cmocka_unit_test(reloads_are_carried_out),
    cmocka_unit_test(what_cannot_be_is_refused),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
