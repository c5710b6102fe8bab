/* SPDX-License-Identifier: Apache-2.0 */
/* Instances of plug-ins from create to destroy: who keeps one, on which thread it ends, its ticks, what it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook_fixture.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the plug-in of these tests does, and what was done to it. */
static struct {
  int create_error;
  const char *create_message;
  unsigned created;
  unsigned destroyed;
  pthread_t destroyed_on;
  const struct gg_host *host;
  _Atomic unsigned ticks;
  _Atomic bool in_tick;
  sem_t *begun, *go_on;
} plug;

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  (void)config;
  if (plug.create_error)
    return plug.create_message ? gg_plugin_fail(failure, plug.create_error, "%s", plug.create_message)
                               : plug.create_error;
  plug.created++;
  plug.host = host;
  *self = &plug;
  return 0;
}

static void on_destroy(void *self)
{
  assert_ptr_equal(self, &plug);
  assert_false(plug.in_tick);
  plug.destroyed++;
  plug.destroyed_on = pthread_self();
}

static void on_tick(void *self)
{
  assert_ptr_equal(self, &plug);
  plug.in_tick = true;
  if (plug.begun) {
    sem_post(plug.begun);
    sem_wait(plug.go_on);
  }
  plug.ticks++;
  plug.in_tick = false;
}

static const struct gg_plugin life = {GG_PLUGIN_HEAD, .name = "life", .create = on_create, .destroy = on_destroy};

static int reset(void **state)
{
  (void)state;
  memset(&plug, 0, sizeof plug);
  return 0;
}

/* ── Create ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void an_instance_is_made_and_destroyed(void **state)
{
  struct hook_fixture f;
  struct stat status;
  char path[128];
  (void)state;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &life);
  assert_int_equal(plug.created, 1);
  assert_ptr_equal(hook->self, &plug);
  assert_ptr_equal(plug.host, &hook->host);
  assert_ptr_equal(gg_hook_of(plug.host), hook);
  snprintf(path, sizeof path, "%s/plugins/life", f.store);
  assert_string_equal(plug.host->state_dir, path);
  assert_int_equal(stat(path, &status), 0);
  assert_true(S_ISDIR(status.st_mode) && (status.st_mode & 0777) == 0700);
  assert_int_equal(plug.host->abi, GG_PLUGIN_ABI);
  assert_int_equal(plug.host->size, sizeof(struct gg_host));
  assert_true(strlen(plug.host->gateway_version) > 0);
  gg_hook_reap(&f.desk);
  assert_int_equal(plug.destroyed, 0);
  gg_hook_unref(hook);
  assert_int_equal(plug.destroyed, 0);
  gg_hook_reap(&f.desk);
  assert_int_equal(plug.destroyed, 1);
  assert_null(f.desk.hooks);
  assert_true(hook_fixture_was_told(&f, "\"plug-in unloaded\",\"plugin\":\"life\""));
  hook_fixture_unmake(&f);
}

static void without_create_self_is_the_host(void **state)
{
  static const struct gg_plugin bare = {GG_PLUGIN_HEAD, .name = "bare"};
  struct hook_fixture f;
  (void)state;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &bare);
  assert_ptr_equal(hook->self, &hook->host);
  gg_hook_unref(hook);
  hook_fixture_unmake(&f);
}

static void create_refused(struct hook_fixture *f, int error, const char *message)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_hook *hook;
  assert_int_equal(gg_hook_create(&hook, &f->desk, &life, NULL, NULL, NULL, &failure), error);
  assert_null(hook);
  assert_null(f->desk.hooks);
  if (!strstr(failure.message, message))
    fail_msg("'%s' does not have '%s'", failure.message, message);
}

static void a_create_that_fails_says_why(void **state)
{
  struct hook_fixture f;
  (void)state;
  hook_fixture_make(&f);
  plug.create_error = GG_ERR_DENIED;
  plug.create_message = "the door is shut";
  create_refused(&f, GG_ERR_DENIED, "plug-in life: the door is shut");
  plug.create_message = NULL;
  create_refused(&f, GG_ERR_DENIED, "plug-in life: permission denied");
  plug.create_error = 7; /* no error of ours */
  create_refused(&f, GG_ERR_INVALID, "plug-in life: invalid argument");
  assert_int_equal(plug.destroyed, 0);
  assert_int_equal(f.desk.members[0].users, 0);
  hook_fixture_unmake(&f);
}

static void a_state_directory_that_cannot_be_is_refused(void **state)
{
  struct hook_fixture f;
  char path[128];
  (void)state;
  hook_fixture_make(&f);
  snprintf(path, sizeof path, "%s/plugins", f.store);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fclose(file);
  create_refused(&f, GG_ERR_NOT_FOUND, "cannot make the directory");
  assert_int_equal(plug.created, 0);
  hook_fixture_unmake(&f);
}

static unsigned freed;
static void free_owned(void *owned)
{
  assert_ptr_equal(owned, &freed);
  assert_int_equal(plug.destroyed, 1); /* a library goes behind its plug-in */
  freed++;
}

static void what_it_owns_goes_last(void **state)
{
  struct hook_fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_hook *hook;
  (void)state;
  freed = 0;
  hook_fixture_make(&f);
  plug.create_error = GG_ERR_IO;
  assert_int_equal(gg_hook_create(&hook, &f.desk, &life, NULL, &freed, free_owned, &failure), GG_ERR_IO);
  assert_int_equal(freed, 0); /* still the caller's */
  plug.create_error = 0;
  assert_int_equal(gg_hook_create(&hook, &f.desk, &life, NULL, &freed, free_owned, &failure), 0);
  gg_hook_unref(hook);
  gg_hook_reap(&f.desk);
  assert_int_equal(freed, 1);
  hook_fixture_unmake(&f);
}

/* ── References ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void *let_go(void *chain)
{
  gg_hook_chain_unref(chain);
  return NULL;
}

static void the_last_chain_keeps_it(void **state)
{
  struct hook_fixture f;
  pthread_t threads[4];
  (void)state;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &life);
  struct gg_hook_chain *chain = gg_hook_chain_create(&hook, 1);
  assert_non_null(chain);
  for (size_t i = 1; i < 4; i++)
    assert_ptr_equal(gg_hook_chain_ref(chain), chain);
  gg_hook_unref(hook);
  gg_hook_reap(&f.desk);
  assert_int_equal(plug.destroyed, 0);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, let_go, chain), 0);
  for (size_t i = 0; i < 4; i++) /* meanwhile it is looked for, as an engine does */
    gg_hook_reap(&f.desk);
  for (size_t i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  gg_hook_reap(&f.desk);
  assert_int_equal(plug.destroyed, 1);
  assert_true(pthread_equal(plug.destroyed_on, pthread_self()));
  gg_hook_unref(NULL);
  gg_hook_chain_unref(NULL);
  assert_null(gg_hook_chain_ref(NULL));
  hook_fixture_unmake(&f);
}

/* ── Ticks ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void ticks_begin_and_end(void **state)
{
  struct gg_plugin table = life;
  struct hook_fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_hook_reading reading;
  sem_t begun, go_on;
  (void)state;
  sem_init(&begun, 0, 0);
  sem_init(&go_on, 0, 3); /* three may return at once, the fourth waits */
  plug.begun = &begun;
  plug.go_on = &go_on;
  table.tick = on_tick;
  table.tick_interval_ns = GG_HOOK_TICK_LEAST_NS;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &table);
  assert_null(hook->ticks);
  assert_int_equal(gg_hook_start(hook, &failure), 0);
  assert_int_equal(gg_hook_start(hook, &failure), 0); /* it runs already */
  for (size_t i = 0; i < 4; i++)
    sem_wait(&begun);
  assert_int_equal(plug.ticks, 3);
  sem_post(&go_on);
  sem_wait(&begun);
  gg_hook_unref(hook);
  gg_hook_reap(&f.desk); /* a tick is under way: it does not wait for that */
  assert_int_equal(plug.destroyed, 0);
  assert_ptr_equal(f.desk.hooks, hook);
  sem_post(&go_on);
  while (f.desk.hooks) {
    gg_hook_reap(&f.desk);
    sched_yield();
  }
  assert_int_equal(plug.destroyed, 1);
  unsigned ticks = plug.ticks;
  assert_int_equal(ticks, 5);
  struct gg_hook *again = hook_fixture_hook(&f, &life); /* counts on in the same place */
  gg_hook_read(again, GG_HOOK_TICK, &reading);
  assert_int_equal(reading.calls, ticks);
  assert_true(reading.ns > 0 && reading.slow == 0);
  gg_hook_unref(again);
  hook_fixture_unmake(&f);
  sem_destroy(&begun);
  sem_destroy(&go_on);
}

static void ticks_of_all_end_together(void **state)
{
  struct gg_plugin table = life;
  struct hook_fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  table.tick = on_tick;
  table.tick_interval_ns = GG_HOOK_TICK_LEAST_NS;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &table);
  assert_int_equal(gg_hook_start(hook, &failure), 0);
  gg_hook_desk_stop(&f.desk);
  gg_hook_desk_stop(&f.desk);
  unsigned ticks = plug.ticks;
  usleep(5000);
  assert_int_equal(plug.ticks, ticks);
  assert_int_equal(plug.destroyed, 0);
  gg_hook_unref(hook);
  hook_fixture_unmake(&f);
}

static void without_a_tick_no_thread_begins(void **state)
{
  struct hook_fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &life);
  assert_int_equal(gg_hook_start(hook, &failure), 0);
  assert_null(hook->ticks);
  gg_hook_unref(hook);
  hook_fixture_unmake(&f);
}

/* ── Places of metrics ───────────────────────────────────────────────────────────────────────────────────────────── */

static void a_name_keeps_its_place_and_unused_ones_are_given_away(void **state)
{
  struct hook_fixture f;
  struct gg_hook *held[GG_HOOK_INSTANCES_MAX];
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_hook *hook;
  char name[GG_PLUGIN_NAME_MAX];
  struct gg_plugin table = {GG_PLUGIN_HEAD, .name = name};
  (void)state;
  hook_fixture_make(&f);
  for (unsigned i = 0; i < GG_HOOK_INSTANCES_MAX; i++) {
    snprintf(name, sizeof name, "p%u", i);
    held[i] = hook_fixture_hook(&f, &table);
  }
  snprintf(name, sizeof name, "p5");
  hook = hook_fixture_hook(&f, &table); /* a second one of the same name: the same place */
  assert_int_equal(hook->slot, held[5]->slot);
  gg_hook_unref(hook);
  snprintf(name, sizeof name, "late");
  assert_int_equal(gg_hook_create(&hook, &f.desk, &table, NULL, NULL, NULL, &failure), GG_ERR_LIMIT);
  size_t slot = held[7]->slot;
  gg_shard_add(f.shard, slot, 3);
  gg_hook_unref(held[9]);
  gg_hook_unref(held[7]);
  gg_hook_reap(&f.desk); /* in the order in which they were made: 7 was left first */
  hook = hook_fixture_hook(&f, &table);
  assert_int_equal(hook->slot, slot);
  struct gg_hook_reading reading;
  gg_hook_read(hook, GG_HOOK_ACCEPT, &reading);
  assert_int_equal(reading.calls, 0);
  gg_hook_unref(hook);
  for (unsigned i = 0; i < GG_HOOK_INSTANCES_MAX; i++)
    if (i != 7 && i != 9)
      gg_hook_unref(held[i]);
  hook_fixture_unmake(&f);
}

/* ── What it is given ────────────────────────────────────────────────────────────────────────────────────────────── */

static void what_it_says_is_told_under_its_name(void **state)
{
  struct hook_fixture f;
  (void)state;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &life);
  plug.host->log(plug.host, GG_PLUGIN_WARNING, "it\nrains");
  assert_true(hook_fixture_was_told(
    &f, "\"level\":\"warning\",\"event\":\"plug-in\",\"plugin\":\"life\",\"text\":\"it\\nrains\""));
  for (unsigned i = 0; i < 100; i++)
    plug.host->log(plug.host, GG_PLUGIN_INFO, "and rains");
  size_t lines = 0;
  for (const char *at = f.told; (at = strstr(at, "and rains")); at++)
    lines++;
  assert_in_range(lines, 1, 2 * GG_LOGGER_BURST);
  assert_true(plug.host->real_ns(plug.host) > UINT64_C(1700000000000000000));
  uint64_t now_ns = plug.host->mono_ns(plug.host);
  assert_true(plug.host->mono_ns(plug.host) >= now_ns);
  gg_hook_unref(hook);
  hook_fixture_unmake(&f);
}

static const struct gg_plugin_command commands[] = {{"echo", "WORD...", "says the words"}, {"fail", NULL, "does not"}};

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  assert_ptr_equal(self, &plug);
  if (command == 1)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "no");
  for (size_t i = 0; i < word_count; i++) {
    plug.host->reply(plug.host, reply, words[i]);
    plug.host->reply(plug.host, reply, "\n");
  }
  return 0;
}

static void commands_reply(void **state)
{
  struct gg_plugin table = life;
  struct hook_fixture f;
  struct gg_hook_reply reply = {0};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_hook_reading reading;
  static const char *const words[] = {"a", "bc"};
  (void)state;
  table.commands = commands;
  table.command_count = 2;
  table.command = on_command;
  hook_fixture_make(&f);
  struct gg_hook *hook = hook_fixture_hook(&f, &table);
  assert_int_equal(gg_hook_verb(hook, "echo"), 0);
  assert_int_equal(gg_hook_verb(hook, "fail"), 1);
  assert_int_equal(gg_hook_verb(hook, "ech"), -1);
  assert_int_equal(gg_hook_command(hook, 0, 2, words, &reply, &failure), 0);
  assert_string_equal(reply.text, "a\nbc\n");
  assert_false(reply.cut);
  gg_hook_reply_fini(&reply);
  assert_int_equal(gg_hook_command(hook, 1, 0, NULL, &reply, &failure), GG_ERR_INVALID);
  assert_string_equal(failure.message, "no");
  gg_hook_read(hook, GG_HOOK_COMMAND, &reading);
  assert_int_equal(reading.calls, 2);
  char *large = malloc(GG_HOOK_REPLY_MAX);
  assert_non_null(large);
  memset(large, 'x', GG_HOOK_REPLY_MAX - 1);
  large[GG_HOOK_REPLY_MAX - 1] = '\0';
  plug.host->reply(plug.host, &reply, large);
  assert_false(reply.cut);
  plug.host->reply(plug.host, &reply, "y");
  assert_true(reply.cut);
  assert_int_equal(reply.length, GG_HOOK_REPLY_MAX - 1);
  assert_int_equal(strlen(reply.text), reply.length);
  free(large);
  gg_hook_reply_fini(&reply);
  gg_hook_unref(hook);
  hook_fixture_unmake(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(an_instance_is_made_and_destroyed, reset),
    cmocka_unit_test_setup(without_create_self_is_the_host, reset),
    cmocka_unit_test_setup(a_create_that_fails_says_why, reset),
    cmocka_unit_test_setup(a_state_directory_that_cannot_be_is_refused, reset),
    cmocka_unit_test_setup(what_it_owns_goes_last, reset),
    cmocka_unit_test_setup(the_last_chain_keeps_it, reset),
    cmocka_unit_test_setup(ticks_begin_and_end, reset),
    cmocka_unit_test_setup(ticks_of_all_end_together, reset),
    cmocka_unit_test_setup(without_a_tick_no_thread_begins, reset),
    cmocka_unit_test_setup(a_name_keeps_its_place_and_unused_ones_are_given_away, reset),
    cmocka_unit_test_setup(what_it_says_is_told_under_its_name, reset),
    cmocka_unit_test_setup(commands_reply, reset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
