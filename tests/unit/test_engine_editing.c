/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners and upstreams that a program adds and removes while its gateway runs. */
#include "embed_fixture.h"

enum { EDITORS = 3, EDITS = 8, TURNS = 300 };

static struct echo echo;

static int add(struct embedded *it, const char *name, uint16_t port, struct gg_failure *failure)
{
  char yaml[200];
  snprintf(yaml, sizeof yaml, "{name: %s, listen: '127.0.0.1:%u', upstream: '%s'}", name, port, it->upstream);
  return gg_gateway_listener_add(it->gateway, yaml, failure);
}

/* Who is out of patience has waited long enough before the engine could begin: it needs the lock that is held here. */
static _Thread_local bool impatient;
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
  return impatient ? ETIMEDOUT : __real_pthread_cond_timedwait(cond, mutex, until);
}

static size_t listeners(const struct embedded *it)
{
  char text[64];
  size_t count = 0;
  while (gg_gateway_listener(it->gateway, count, text, sizeof text) > 0)
    count++;
  return count;
}

static bool says(const struct embedded *it, const char *words)
{
  char *json;
  assert_int_equal(gg_gateway_stats(it->gateway, &json, NULL), 0);
  bool found = strstr(json, words) != NULL;
  free(json);
  return found;
}

static void listeners_come_and_go(void **state)
{
  struct embedded it;
  (void)state;
  embedded_init(&it, &echo);
  embedded_run(&it);
  assert_int_equal(add(&it, "b", 0, NULL), 0);
  struct gg_endpoint where = embedded_where(&it, 1);
  assert_int_equal(dial_and_ask(&where), 0);
  assert_int_equal(add(&it, "b", 0, NULL), GG_ERR_EXISTS);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0); /* the words of the program stay */
  assert_int_equal(dial_and_ask(&where), 0);
  int fd = dial(&where);
  assert_int_equal(ask(fd), 0);
  assert_int_equal(gg_gateway_listener_remove(it.gateway, "b", NULL), 0);
  assert_int_equal(ask(fd), 0); /* open sessions go on */
  close(fd);
  assert_int_equal(listeners(&it), 1);
  assert_int_equal(gg_gateway_listener_remove(it.gateway, "b", NULL), GG_ERR_NOT_FOUND);
  /* One of the arguments'; and one of its name that is the program's. */
  assert_int_equal(add(&it, "c", 0, NULL), 0);
  assert_int_equal(gg_gateway_listener_remove(it.gateway, "web", NULL), 0);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0);
  assert_int_equal(listeners(&it), 1);
  assert_int_equal(add(&it, "web", 0, NULL), 0);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0);
  assert_int_equal(listeners(&it), 2);
  assert_int_equal(gg_gateway_listener_remove(it.gateway, "web", NULL), 0);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0);
  assert_int_equal(listeners(&it), 1);
  for (int i = 0; i < TURNS; i++) { /* what was undone is forgotten: there is a bound */
    assert_int_equal(add(&it, "d", 0, NULL), 0);
    assert_int_equal(gg_gateway_listener_remove(it.gateway, "d", NULL), 0);
  }
  embedded_join(&it);
  assert_int_equal(add(&it, "e", 0, NULL), GG_ERR_INVALID);
  embedded_fini(&it);
}

static void upstreams_come_and_go(void **state)
{
  struct embedded it;
  char both[160];
  (void)state;
  embedded_init(&it, &echo);
  embedded_run(&it);
  snprintf(both, sizeof both, "\"upstream\":\"%s, 127.0.0.1:1 name=spare backup\"", it.upstream);
  assert_int_equal(gg_gateway_upstream_add(it.gateway, "web", "127.0.0.1:1 name=spare backup", NULL), 0);
  assert_true(says(&it, both));
  assert_int_equal(gg_gateway_upstream_add(it.gateway, "web", "127.0.0.1:2 name=spare", NULL), GG_ERR_EXISTS);
  assert_int_equal(gg_gateway_upstream_add(it.gateway, "wob", "127.0.0.1:2", NULL), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_gateway_upstream_add(it.gateway, "web", "127.0.0.1:2 wait=3", NULL), GG_ERR_FORMAT);
  assert_int_equal(gg_gateway_upstream_add(it.gateway, "web", "127.0.0.1:2 weight=0", NULL), GG_ERR_RANGE);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0);
  assert_true(says(&it, both));
  assert_int_equal(gg_gateway_upstream_remove(it.gateway, "web", it.upstream, NULL), 0);
  assert_int_equal(gg_gateway_upstream_remove(it.gateway, "web", it.upstream, NULL), GG_ERR_NOT_FOUND);
  struct gg_endpoint where = embedded_where(&it, 0);
  assert_int_not_equal(dial_and_ask(&where), 0); /* nobody listens at the spare one */
  assert_int_not_equal(gg_gateway_upstream_remove(it.gateway, "web", "spare", NULL), 0);
  assert_int_equal(gg_gateway_upstream_add(it.gateway, "web", it.upstream, NULL), 0);
  assert_int_equal(gg_gateway_upstream_remove(it.gateway, "web", "spare", NULL), 0);
  assert_int_equal(dial_and_ask(&where), 0);
  embedded_join(&it);
  embedded_fini(&it);
}

static void what_is_refused_leaves_nothing(void **state)
{
  struct embedded it;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  embedded_init(&it, &echo);
  embedded_run(&it);
  assert_int_equal(add(&it, "b", echo.endpoint.port, &failure), GG_ERR_BUSY);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0);
  assert_int_equal(listeners(&it), 1);
  static const struct {
    const char *yaml, *says;
  } wrong[] = {
    {"{name: b, listen: ':0', upstream: none, wrong: 1}", "listener:1:41: "},
    {"name: b\nlisten: ':0'\nupstream: none\nrecord: x\n", "listener:4:9: "},
    {"{listen: ':0', upstream: none}", "a listener that is added needs name"},
    {"{name: b, listen: ':0', upstream: '127.0.0.1:1', greeting: x}", ""},
    {"[", "listener:"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    failure = (struct gg_failure)GG_FAILURE_INIT;
    assert_int_not_equal(gg_gateway_listener_add(it.gateway, wrong[i].yaml, &failure), 0);
    if (strncmp(failure.message, wrong[i].says, strlen(wrong[i].says)) != 0)
      fail_msg("%s", failure.message);
    assert_true(failure.message[0] != '\0');
  }
  assert_int_not_equal(gg_gateway_listener_remove(it.gateway, "web", &failure), 0); /* the last one */
  assert_int_equal(listeners(&it), 1);
  embedded_join(&it);
  embedded_fini(&it);
}

static int add_impatiently(struct embedded *it, const char *name, uint16_t port)
{
  impatient = true;
  int error = add(it, name, port, NULL);
  impatient = false;
  return error;
}

static void what_was_not_waited_for_is_decided_all_the_same(void **state)
{
  struct embedded it;
  (void)state;
  embedded_init(&it, &echo);
  embedded_run(&it);
  /* Refused when nobody waits any more: it is in no later reload. */
  assert_int_equal(add_impatiently(&it, "b", echo.endpoint.port), GG_ERR_TIMEOUT);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0);
  assert_int_equal(listeners(&it), 1);
  assert_int_equal(add_impatiently(&it, "b", echo.endpoint.port), GG_ERR_TIMEOUT);
  assert_int_equal(add(&it, "b", 0, NULL), 0); /* waits for that decision, and there is no 'b' then */
  /* Done when nobody waits any more: it stays. */
  assert_int_equal(add_impatiently(&it, "c", 0), GG_ERR_TIMEOUT);
  assert_int_equal(add(&it, "c", 0, NULL), GG_ERR_EXISTS);
  assert_int_equal(gg_gateway_reload(it.gateway, NULL, NULL, NULL), 0);
  assert_int_equal(listeners(&it), 3);
  /* And one that the end comes before. */
  assert_int_equal(add_impatiently(&it, "d", 0), GG_ERR_TIMEOUT);
  embedded_join(&it);
  embedded_fini(&it);
}

static void one_that_is_polled_is_edited_at_once(void **state)
{
  struct embedded it;
  (void)state;
  embedded_init(&it, &echo);
  embedded_start(&it, true);
  assert_int_equal(gg_gateway_poll(it.gateway, 0, NULL), GG_GATEWAY_GOES_ON);
  assert_int_equal(add(&it, "b", 0, NULL), 0);
  assert_int_equal(listeners(&it), 2);
  assert_int_equal(gg_gateway_listener_remove(it.gateway, "web", NULL), 0);
  assert_int_equal(listeners(&it), 1);
  embedded_fini(&it);
}

/* ── At once ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct editor {
  pthread_t thread;
  struct embedded *it;
  int number;
  int error;
};

static void *edit_much(void *context)
{
  struct editor *editor = context;
  char name[16];
  snprintf(name, sizeof name, "e%d", editor->number);
  for (int i = 0; i < EDITS && !editor->error; i++) {
    editor->error = add(editor->it, name, 0, NULL);
    if (!editor->error)
      editor->error = gg_gateway_reload(editor->it->gateway, NULL, NULL, NULL);
    if (!editor->error && i + 1 < EDITS)
      editor->error = gg_gateway_listener_remove(editor->it->gateway, name, NULL);
  }
  return NULL;
}

static void many_may_edit_at_once(void **state)
{
  struct embedded it;
  struct editor editors[EDITORS];
  (void)state;
  embedded_init(&it, &echo);
  embedded_run(&it);
  for (int i = 0; i < EDITORS; i++) {
    editors[i] = (struct editor){.it = &it, .number = i};
    assert_int_equal(pthread_create(&editors[i].thread, NULL, edit_much, &editors[i]), 0);
  }
  for (int i = 0; i < EDITORS; i++) {
    pthread_join(editors[i].thread, NULL);
    assert_int_equal(editors[i].error, 0);
  }
  assert_int_equal(listeners(&it), 1 + EDITORS);
  embedded_join(&it);
  embedded_fini(&it);
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
    cmocka_unit_test(listeners_come_and_go),          cmocka_unit_test(upstreams_come_and_go),
    cmocka_unit_test(what_is_refused_leaves_nothing), cmocka_unit_test(one_that_is_polled_is_edited_at_once),
    cmocka_unit_test(many_may_edit_at_once),          cmocka_unit_test(what_was_not_waited_for_is_decided_all_the_same),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
