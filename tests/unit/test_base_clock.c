/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include <gogetway/error.h>

static void clocks_go_on(void **state)
{
  (void)state;
  uint64_t first = gg_clock_mono_ns();
  uint64_t second = gg_clock_mono_ns();
  assert_true(second >= first);
  assert_true(gg_clock_real_ns() > UINT64_C(1700000000) * GG_NS_PER_S);
}

static void times_are_formatted(void **state)
{
  (void)state;
  char text[GG_CLOCK_TEXT_MAX];
  assert_int_equal(gg_clock_format(0, 0, text, sizeof text), 20);
  assert_string_equal(text, "1970-01-01T00:00:00Z");
  gg_clock_format(UINT64_C(951782399123456789), 9, text, sizeof text);
  assert_string_equal(text, "2000-02-28T23:59:59.123456789Z");
  gg_clock_format(UINT64_C(951782399999999999), 3, text, sizeof text);
  assert_string_equal(text, "2000-02-28T23:59:59.999Z");
  assert_true(gg_clock_format(UINT64_MAX, 9, text, sizeof text) > 0);
  assert_int_equal(gg_clock_format(0, 0, text, 20), 0);
  assert_string_equal(text, "");
}

static void times_are_read(void **state)
{
  (void)state;
  uint64_t ns;
  assert_int_equal(gg_clock_parse(&ns, "2000-02-28T23:59:59.123456789Z"), 0);
  assert_true(ns == UINT64_C(951782399123456789));
  assert_int_equal(gg_clock_parse(&ns, "2000-02-29 01:59:59.1+02:00"), 0);
  assert_true(ns == UINT64_C(951782399100000000));
  assert_int_equal(gg_clock_parse(&ns, "2000-02-28T18:29:59-05:30"), 0);
  assert_true(ns == UINT64_C(951782399000000000));
  assert_int_equal(gg_clock_parse(&ns, "1970-01-02"), 0);
  assert_true(ns == 86400 * GG_NS_PER_S);
  assert_int_equal(gg_clock_parse(&ns, "2016-12-31T23:59:60Z"), 0);
  assert_true(ns == UINT64_C(1483228800) * GG_NS_PER_S);
}

static void wrong_times_are_refused(void **state)
{
  (void)state;
  static const char *const malformed[] = {"",
                                          "now",
                                          "2000-1-01",
                                          "2000-01-01T",
                                          "2000-01-01T00:00:00",
                                          "2000-01-01T00:00:00.Z",
                                          "2000-01-01T00:00:00.1234567890Z",
                                          "2000-01-01T00:00:00Z ",
                                          "2000-01-01T00:00:00+0200",
                                          "2000-01-01T00:00:00+24:00"};
  static const char *const outside[] = {"1969-12-31",
                                        "2000-13-01",
                                        "2000-02-30",
                                        "1900-02-29",
                                        "2000-01-01T24:00:00Z",
                                        "2000-01-01T00:00:61Z",
                                        "1970-01-01T00:00:00+00:01",
                                        "2554-12-31"};
  uint64_t ns = 42;
  for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
    assert_int_equal(gg_clock_parse(&ns, malformed[i]), GG_ERR_FORMAT);
  for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
    assert_int_equal(gg_clock_parse(&ns, outside[i]), GG_ERR_RANGE);
  assert_int_equal(ns, 42);
}

static void random_times_come_back(void **state)
{
  (void)state;
  unsigned seed = 3;
  for (int i = 0; i < 5000; i++) {
    uint64_t ns = ((uint64_t)rand_r(&seed) << 32 | (uint64_t)rand_r(&seed)) * 4 + (uint64_t)i;
    char text[GG_CLOCK_TEXT_MAX];
    uint64_t back;
    gg_clock_format(ns, 9, text, sizeof text);
    assert_int_equal(gg_clock_parse(&back, text), 0);
    assert_true(back == ns);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(clocks_go_on),           cmocka_unit_test(times_are_formatted),
    cmocka_unit_test(times_are_read),         cmocka_unit_test(wrong_times_are_refused),
    cmocka_unit_test(random_times_come_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
