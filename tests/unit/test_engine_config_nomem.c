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
#include "failing_memory.h"

#include <stdio.h>
#include <unistd.h>

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
  int rc = gg_config_load(&config, (int)(sizeof arguments / sizeof arguments[0]), arguments, 0, &errors);
  gg_config_fini(&config);
  counting = false;
  return rc;
}

static void each_allocation_fails_in_turn(void **state)
{
  (void)state;
  static const char text[] = "dir: d\nlisteners: [{listen: ':1', upstream: none, name: a, greeting: b}]\n"
                             "log: {dir: /x}\nstats: {file: f}\n"
                             "plugins:\n"
                             "  - {path: p, listeners: [':3', four], config: {a: [b, {c: 'd'}], e: f}}\n"
                             "  - path: q\n";
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
  static const char plugins[] = "plugins: [{path: p, config: {'a b': ['c', d, {e: f}]}}]\n";
  char path[] = "/tmp/gg-nomem-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, plugins, sizeof plugins - 1), (ssize_t)sizeof plugins - 1);
  close(fd);
  char *arguments[] = {"-c", path, "--listen=:1", "--upstream=none"};
  struct gg_config config;
  assert_int_equal(gg_config_load(&config, 4, arguments, 0, &errors), 0);
  unlink(path);
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
