/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <gogetway/error.h>

static void every_error_has_a_text_and_a_name(void **state)
{
  (void)state;
  for (int error = -1; error >= GG_ERR_CORRUPT; error--) {
    assert_string_not_equal(gg_error_text(error), "unknown error");
    assert_string_not_equal(gg_error_name(error), "UNKNOWN");
  }
  assert_string_equal(gg_error_text(-9999), "unknown error");
  assert_string_equal(gg_error_name(GG_ERR_NO_SPACE), "NO_SPACE");
}

static void the_first_failure_is_kept(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_fail(&failure, GG_ERR_RANGE, "%d is too many", 7), GG_ERR_RANGE);
  assert_int_equal(gg_fail(&failure, GG_ERR_IO, "something above"), GG_ERR_IO);
  assert_int_equal(failure.code, GG_ERR_RANGE);
  assert_string_equal(failure.message, "7 is too many");
  assert_int_equal(gg_fail(NULL, GG_ERR_IO, "nobody listens"), GG_ERR_IO);
}

static void errno_is_told_in_words(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_fail_errno(&failure, ENOSPC, "cannot write %s", "a"), GG_ERR_NO_SPACE);
  assert_string_equal(failure.message, "cannot write a: No space left on device");
}

static void a_long_message_is_cut_between_characters(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  char text[1200];
  size_t used = 1;
  text[0] = 'x';
  while (used + 3 < sizeof text) {
    memcpy(text + used, "\xE2\x82\xAC", 3);
    used += 3;
  }
  text[used] = '\0';
  gg_fail(&failure, GG_ERR_IO, "%s", text);
  size_t length = strlen(failure.message);
  assert_true(length < sizeof failure.message);
  assert_int_equal((length - 1) % 3, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_error_has_a_text_and_a_name),
    cmocka_unit_test(the_first_failure_is_kept),
    cmocka_unit_test(errno_is_told_in_words),
    cmocka_unit_test(a_long_message_is_cut_between_characters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
