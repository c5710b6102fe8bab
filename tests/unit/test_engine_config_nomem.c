/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of loading and printing a configuration fails in turn: an error is returned, and nothing leaks
 * (LeakSanitizer looks on in the sanitizer builds; `live` does in all). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/config.h"
#include <stdio.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

static bool counting;
static unsigned long calls;   /* allocations since counting began */
static unsigned long failing; /* the one that fails, from 1; 0: none */
static long live;             /* blocks that were allocated and not freed */

static bool fails(void)
{
  return counting && ++calls == failing;
}

static void *counted(void *block)
{
  live += counting && block ? 1 : 0;
  return block;
}

void *__wrap_malloc(size_t size)
{
  return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
  return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
  if (fails())
    return NULL;
  void *moved = __real_realloc(block, size);
  return block ? moved : counted(moved);
}

char *__wrap_strdup(const char *text)
{
  return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *block)
{
  live -= counting && block ? 1 : 0;
  __real_free(block);
}

static struct gg_config_errors errors;

static int load_once(char *path, unsigned long fail_at)
{
  char *arguments[] = {"-c",
                       path,
                       "--listen",
                       ":3",
                       "--upstream",
                       "none",
                       "--greeting",
                       "hi",
                       "--listen=:4",
                       "--upstream=db:1",
                       "--proxy-protocol-in=v1",
                       "--trusted=10.0.0.0/8,::1",
                       "--name=four"};
  struct gg_config config;
  counting = true;
  calls = 0;
  live = 0;
  failing = fail_at;
  int rc = gg_config_load(&config, (int)(sizeof arguments / sizeof arguments[0]), arguments, &errors);
  gg_config_fini(&config);
  counting = false;
  return rc;
}

static void each_allocation_fails_in_turn(void **state)
{
  (void)state;
  static const char text[] = "dir: d\nlisteners: [{listen: ':1', upstream: none, name: a, greeting: b}]\n"
                             "log: {dir: /x}\nstats: {file: f}\n";
  char path[] = "/tmp/gg-nomem-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
  close(fd);
  assert_int_equal(load_once(path, 0), 0);
  assert_int_equal(live, 0);
  unsigned long all = calls;
  assert_true(all > 20);
  for (unsigned long i = 1; i <= all; i++) {
    int rc = load_once(path, i);
    if (rc != GG_ERR_NOMEM || errors.count == 0 || live != 0)
      fail_msg("allocation %lu: %d, %zu errors, %ld blocks left", i, rc, errors.count, live);
  }
  unlink(path);
}

static void printing_without_memory_gives_nothing(void **state)
{
  (void)state;
  char *arguments[] = {"--listen=:1", "--upstream=none"};
  struct gg_config config;
  assert_int_equal(gg_config_load(&config, 2, arguments, &errors), 0);
  calls = 0;
  failing = 0;
  counting = true;
  free(gg_config_print(&config));
  counting = false;
  unsigned long all = calls;
  assert_true(all > 5);
  for (failing = 1; failing <= all; failing++) {
    calls = 0;
    counting = true;
    char *text = gg_config_print(&config);
    counting = false;
    assert_null(text);
  }
  gg_config_fini(&config);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_allocation_fails_in_turn),
    cmocka_unit_test(printing_without_memory_gives_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
