/* SPDX-License-Identifier: Apache-2.0 */
/* What a plug-in puts out: it grows up to its bound, and what cannot be had takes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/output.h"

static bool memory_fails;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
  return memory_fails ? NULL : __real_realloc(old, size);
}

static void test_it_grows(void **state)
{
  (void)state;
  struct gg_output output = {.most = 4096};
  uint8_t bytes[100];
  for (unsigned i = 0; i < 40; i++) {
    memset(bytes, (int)i, sizeof bytes);
    assert_int_equal(gg_output_append(&output, bytes, sizeof bytes), 0);
  }
  assert_int_equal(output.length, 4000);
  for (unsigned i = 0; i < 4000; i++)
    assert_int_equal(output.bytes[i], i / 100);
  assert_int_equal(gg_output_append(&output, NULL, 0), 0);
  assert_int_equal(output.length, 4000);
  gg_output_fini(&output);
  assert_null(output.bytes);
  assert_int_equal(output.most, 4096);
}

static void test_its_bound(void **state)
{
  (void)state;
  struct gg_output output = {.most = 10};
  assert_int_equal(gg_output_append(&output, "0123456789", 10), 0);
  assert_int_equal(output.error, 0);
  assert_int_equal(gg_output_append(&output, "a", 1), GG_ERR_LIMIT);
  assert_int_equal(output.error, GG_ERR_LIMIT);
  assert_int_equal(output.length, 10);
  output.length = 1;
  assert_int_equal(gg_output_append(&output, "a", SIZE_MAX), GG_ERR_LIMIT);
  assert_int_equal(gg_output_append(&output, "b", 1), 0);
  assert_memory_equal(output.bytes, "0b", 2);
  gg_output_fini(&output);
}

static void test_no_memory(void **state)
{
  (void)state;
  struct gg_output output = {.most = 4096};
  assert_int_equal(gg_output_append(&output, "ab", 2), 0);
  uint8_t more[GG_OUTPUT_FIRST_BYTES] = {0};
  memory_fails = true;
  assert_int_equal(gg_output_append(&output, more, sizeof more), GG_ERR_NOMEM);
  memory_fails = false;
  assert_int_equal(output.error, GG_ERR_NOMEM);
  assert_int_equal(output.length, 2);
  assert_memory_equal(output.bytes, "ab", 2);
  assert_int_equal(gg_output_append(&output, more, 4095), GG_ERR_LIMIT);
  assert_int_equal(output.error, GG_ERR_NOMEM);
  gg_output_fini(&output);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_it_grows),
    cmocka_unit_test(test_its_bound),
    cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
