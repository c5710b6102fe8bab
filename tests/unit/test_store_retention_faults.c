/* SPDX-License-Identifier: Apache-2.0 */
/* Retention whose memory is refused: it does all, or says that it did not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "store/retention.h"
#include "store_files.h"

enum { SEGMENTS = 3 };

static int begin(void **state)
{
  struct files *files = calloc(1, sizeof *files);
  char name[128], text[3000];
  files_begin(files);
  for (unsigned number = 1; number <= SEGMENTS; number++) {
    struct talk talk;
    snprintf(name, sizeof name, "20231114T22132%u.000Z-w0-block-%06u.pcapng", number, number);
    memset(text, (int)('a' + number), sizeof text);
    files_segment(files, name);
    talk_open(files, &talk, 10 + number, (uint16_t)(5000 + number));
    talk_say(files, &talk, GG_FROM_SERVER, text, sizeof text);
    talk_close(files, &talk);
    files_write(files);
  }
  *state = files;
  return 0;
}

static int end(void **state)
{
  files_end(*state);
  free(*state);
  return 0;
}

/* One dry pass of one that knows nothing yet. */
static int pass(const struct files *files, const struct gg__retention_limits *limits, struct gg_prune_result *result)
{
  static const struct gg__retention_ops ops = {0};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__retention *retention = NULL;
  *result = (struct gg_prune_result){0};
  int error = gg__retention_open(&retention, files->dir, &ops, &failure);
  if (!error)
    error = gg__retention_step(retention, limits, true, result, &failure);
  assert_true(!error || failure.message[0]);
  gg__retention_close(retention);
  return error;
}

/* Each allocation in turn is refused. */
static void what_is_not_read_is_told(void **state)
{
  static const char *const rules[] = {"listener=nobody max_age=1s", "listener=web max_bytes=1"};
  const struct files *files = *state;
  struct gg__retention_limits limits = {0};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_prune_result result;
  unsigned refused = 0;
  assert_int_equal(gg__retention_rules_parse(&limits, rules, 2, 0, &failure), 0);
  for (failing = 0; calls >= failing;) {
    failing++;
    calls = 0;
    counting = true;
    int error = pass(files, &limits, &result);
    counting = false;
    assert_true(error == 0 || error == GG_ERR_NOMEM);
    if (error == 0)
      assert_int_equal(result.segments, SEGMENTS - 1);
    refused += error != 0;
  }
  assert_true(refused > 0);
  gg__retention_rules_free(&limits);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(what_is_not_read_is_told, begin, end)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
