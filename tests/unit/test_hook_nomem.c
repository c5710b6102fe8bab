/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever allocation or call fails while an instance is made and its ticks begin: an error, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "hook_fixture.h"

#include <errno.h>
#include <sys/stat.h>

static bool threads_fail;
static unsigned directories, directory_fails; /* from 1; 0: none */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context)
{
  return threads_fail ? EAGAIN : __real_pthread_create(thread, attributes, run, context);
}

int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode)
{
  if (++directories == directory_fails) {
    errno = EACCES;
    return -1;
  }
  return __real_mkdir(path, mode);
}

static unsigned created, destroyed;

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  (void)self, (void)host, (void)config, (void)failure;
  created++;
  return 0;
}

static void on_destroy(void *self)
{
  (void)self;
  destroyed++;
}

static void on_tick(void *self)
{
  (void)self;
}

static const struct gg_plugin table = {
  GG_PLUGIN_HEAD,        .name = "poor",  .create = on_create,
  .destroy = on_destroy, .tick = on_tick, .tick_interval_ns = UINT64_C(3600000000000),
};

/* What an engine does with an entry, on one listener. */
static int bring_up(struct hook_fixture *f, struct gg_failure *failure)
{
  struct gg_hook *hook;
  struct gg_hook_chain *chain = NULL;
  int error = gg_hook_create(&hook, &f->desk, &table, NULL, NULL, NULL, failure);
  if (error)
    return error;
  error = gg_hook_start(hook, failure);
  if (!error && !(chain = gg_hook_chain_create(&hook, 1)))
    error = gg_fail(failure, GG_ERR_NOMEM, "no chain");
  gg_hook_chain_unref(chain);
  gg_hook_unref(hook);
  return error;
}

static void each_allocation_may_fail(void **state)
{
  int error = GG_ERR_NOMEM;
  (void)state;
  for (failing = 1; error; failing++) {
    struct hook_fixture f;
    struct gg_failure failure = GG_FAILURE_INIT;
    hook_fixture_make(&f);
    created = destroyed = 0;
    calls = 0;
    live = 0;
    counting = true;
    error = bring_up(&f, &failure);
    gg_hook_desk_stop(&f.desk);
    gg_hook_reap(&f.desk);
    counting = false;
    if (calls < failing) {
      assert_int_equal(error, 0);
    } else {
      assert_int_equal(error, GG_ERR_NOMEM);
      assert_int_equal(failure.code, GG_ERR_NOMEM);
      assert_true(failure.message[0] != '\0');
    }
    assert_null(f.desk.hooks);
    assert_int_equal(created, destroyed);
    /* The metrics keep a copy of the name for as long as they live. */
    assert_in_range(live, 0, 1);
    hook_fixture_unmake(&f);
    assert_true(failing < 100);
  }
  assert_true(failing > 5);
}

static void a_thread_may_fail(void **state)
{
  struct hook_fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  hook_fixture_make(&f);
  threads_fail = true;
  assert_int_equal(bring_up(&f, &failure), GG_ERR_AGAIN);
  threads_fail = false;
  assert_non_null(strstr(failure.message, "cannot begin the ticks of plug-in poor"));
  gg_hook_reap(&f.desk);
  assert_null(f.desk.hooks);
  hook_fixture_unmake(&f);
}

static void a_directory_may_fail(void **state)
{
  (void)state;
  for (directory_fails = 1; directory_fails <= 2; directory_fails++) {
    struct hook_fixture f;
    struct gg_failure failure = GG_FAILURE_INIT;
    hook_fixture_make(&f);
    created = directories = 0;
    assert_int_equal(bring_up(&f, &failure), GG_ERR_DENIED);
    assert_non_null(strstr(failure.message, "cannot make the directory /tmp/"));
    assert_int_equal(created, 0);
    hook_fixture_unmake(&f);
  }
  directory_fails = 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_allocation_may_fail),
    cmocka_unit_test(a_thread_may_fail),
    cmocka_unit_test(a_directory_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
