/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

#include <gogetway/error.h>
#include <inttypes.h>
#include <stdio.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

struct value {
  const char *text;
  uint64_t value;
};

static void bytes_are_read(void **state)
{
  (void)state;
  static const struct value good[] = {
    {"0", 0},
    {"4096", 4096},
    {"7B", 7},
    {"4k", 4096},
    {"4K", 4096},
    {"4KiB", 4096},
    {"4kib", 4096},
    {"4kB", 4000},
    {"4KB", 4000},
    {"10M", 10 << 20},
    {"10MB", 10000000},
    {"64MiB", 64 << 20},
    {"1.5GiB", UINT64_C(1610612736)},
    {"1.5GB", UINT64_C(1500000000)},
    {"0.5k", 512},
    {"2T", UINT64_C(2) << 40},
    {"16777215T", UINT64_C(16777215) << 40},
    {"18446744073709551615", UINT64_MAX},
    {"1.000001MB", 1000001},
  };
  for (size_t i = 0; i < COUNT_OF(good); i++) {
    uint64_t got = 1;
    if (gg_text_parse_bytes(&got, good[i].text) != 0 || got != good[i].value)
      fail_msg("%s", good[i].text);
  }
}

static void wrong_bytes_are_refused(void **state)
{
  (void)state;
  static const char *const malformed[] = {"",      " 1",  "1 ",  "1 M",  "-1",  "+1",  "M",    "1X",  "1MiBs",
                                          "1..5M", "1.M", ".5M", "0x10", "1e3", "1.5", "0.1k", "1Mi", "1.0000001M"};
  static const char *const large[] = {"18446744073709551616", "16777216T", "99999999999999999999999G"};
  uint64_t got = 42;
  for (size_t i = 0; i < COUNT_OF(malformed); i++)
    if (gg_text_parse_bytes(&got, malformed[i]) != GG_ERR_FORMAT)
      fail_msg("%s", malformed[i]);
  for (size_t i = 0; i < COUNT_OF(large); i++)
    if (gg_text_parse_bytes(&got, large[i]) != GG_ERR_RANGE)
      fail_msg("%s", large[i]);
  assert_int_equal(got, 42);
}

static void durations_are_read(void **state)
{
  (void)state;
  static const struct value good[] = {
    {"0", 0},
    {"0s", 0},
    {"1ns", 1},
    {"250ms", 250000000},
    {"10us", 10000},
    {"1s", 1000000000},
    {"1.5s", 1500000000},
    {"10m", UINT64_C(600000000000)},
    {"1h30m", UINT64_C(5400000000000)},
    {"2d", UINT64_C(172800000000000)},
    {"1w", UINT64_C(604800000000000)},
    {"1m500ms", UINT64_C(60500000000)},
    {"18446744073709551615ns", UINT64_MAX},
  };
  for (size_t i = 0; i < COUNT_OF(good); i++) {
    uint64_t got = 1;
    if (gg_text_parse_duration(&got, good[i].text) != 0 || got != good[i].value)
      fail_msg("%s", good[i].text);
  }
}

static void wrong_durations_are_refused(void **state)
{
  (void)state;
  static const char *const malformed[] = {"",    "10",    "s",   "10 s", "10S",  "30m1h",  "1m1m", "1s1",
                                          "-1s", "1.5ns", "1mo", "1y",   "1h30", "1h 30m", "1.s"};
  static const char *const large[] = {"18446744073709551616ns", "1000000w"};
  uint64_t got = 42;
  for (size_t i = 0; i < COUNT_OF(malformed); i++)
    if (gg_text_parse_duration(&got, malformed[i]) != GG_ERR_FORMAT)
      fail_msg("%s", malformed[i]);
  for (size_t i = 0; i < COUNT_OF(large); i++)
    if (gg_text_parse_duration(&got, large[i]) != GG_ERR_RANGE)
      fail_msg("%s", large[i]);
  assert_int_equal(got, 42);
}

static void values_are_written_shortly(void **state)
{
  (void)state;
  static const struct value bytes[] = {
    {"0", 0},
    {"1", 1},
    {"512", 512},
    {"1KiB", 1024},
    {"1kB", 1000},
    {"64MiB", 64 << 20},
    {"1.5GiB", UINT64_C(3) << 29},
    {"10MB", 10000000},
    {"1GiB", 1 << 30},
    {"1025", 1025},
    {"16128", 16128},
  };
  static const struct value times[] = {
    {"0", 0},
    {"1ns", 1},
    {"250ms", 250000000},
    {"1s", 1000000000},
    {"1.5s", 1500000000},
    {"90s", UINT64_C(90000000000)},
    {"1h", UINT64_C(3600000000000)},
    {"90m", UINT64_C(5400000000000)},
    {"36h", UINT64_C(129600000000000)},
    {"2d", UINT64_C(172800000000000)},
    {"1h1s", UINT64_C(3601000000000)},
  };
  char text[GG_TEXT_VALUE_MAX];
  for (size_t i = 0; i < COUNT_OF(bytes); i++) {
    gg_text_format_bytes(bytes[i].value, text, sizeof text);
    assert_string_equal(text, bytes[i].text);
  }
  for (size_t i = 0; i < COUNT_OF(times); i++) {
    gg_text_format_duration(times[i].value, text, sizeof text);
    assert_string_equal(text, times[i].text);
  }
}

static void written_values_are_read_back(void **state)
{
  (void)state;
  unsigned seed = 11;
  for (int i = 0; i < 50000; i++) {
    uint64_t value = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed) << 11 ^ (uint64_t)rand_r(&seed);
    value >>= rand_r(&seed) % 64;
    if (i % 3 == 1)
      value = value << 20 >> (rand_r(&seed) % 10);
    if (i % 3 == 2)
      value = value % 100000 * UINT64_C(500000000);
    char text[GG_TEXT_VALUE_MAX];
    uint64_t back = ~value;
    size_t length = gg_text_format_bytes(value, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(gg_text_parse_bytes(&back, text), 0);
    assert_true(back == value);
    back = ~value;
    gg_text_format_duration(value, text, sizeof text);
    assert_int_equal(gg_text_parse_duration(&back, text), 0);
    assert_true(back == value);
  }
}

static void small_values(void **state)
{
  (void)state;
  bool truth = false;
  uint64_t n = 0;
  assert_int_equal(gg_text_parse_bool(&truth, "Yes"), 0);
  assert_true(truth);
  assert_int_equal(gg_text_parse_bool(&truth, "off"), 0);
  assert_false(truth);
  assert_int_equal(gg_text_parse_bool(&truth, "2"), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_bool(&truth, ""), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_count(&n, "1_000"), 0);
  assert_int_equal(n, 1000);
  assert_int_equal(gg_text_parse_count(&n, "1__0"), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_count(&n, "1_"), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_count(&n, "-1"), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_count(&n, ""), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_count(&n, "18446744073709551616"), GG_ERR_RANGE);
  assert_int_equal(gg_text_parse_octal(&n, "0640"), 0);
  assert_int_equal(n, 0640);
  assert_int_equal(gg_text_parse_octal(&n, "0o17"), 0);
  assert_int_equal(n, 15);
  assert_int_equal(gg_text_parse_octal(&n, "8"), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_octal(&n, "0o"), GG_ERR_FORMAT);
  assert_int_equal(gg_text_parse_octal(&n, "7777777777777777777777"), GG_ERR_RANGE);
}

static void the_nearest_word_is_found(void **state)
{
  (void)state;
  static const char *const list[] = {"listen", "upstream", "name", "log.max", "log.dir"};
  assert_int_equal(gg_text_nearest("listne", list, 5), 0);
  assert_int_equal(gg_text_nearest("UPSTREM", list, 5), 1);
  assert_int_equal(gg_text_nearest("log.mx", list, 5), 3);
  assert_int_equal(gg_text_nearest("nam", list, 5), 2);
  assert_int_equal(gg_text_nearest("x", list, 5), 5);
  assert_int_equal(gg_text_nearest("", list, 5), 5);
  assert_int_equal(gg_text_nearest("completely", list, 5), 5);
  assert_int_equal(gg_text_nearest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", list, 5), 5);
}

static void check_sanitized(const char *bytes, size_t length, enum gg_text_style style, const char *wanted)
{
  char text[128];
  assert_int_equal(gg_text_sanitize(text, sizeof text, bytes, length, style), strlen(wanted));
  assert_string_equal(text, wanted);
}

static void terminals_are_safe(void **state)
{
  (void)state;
  check_sanitized("plain \xC3\xA9", 8, GG_TEXT_ONE_LINE, "plain \xC3\xA9");
  check_sanitized("\x1b[2J\a\n\r\t\0\x7f", 10, GG_TEXT_ONE_LINE, "\\e[2J\\x07\\n\\r\\t\\0\\x7f");
  check_sanitized("a\n\tb\r", 5, GG_TEXT_LINES, "a\n\tb\\r");
  check_sanitized("\xFF\xC2", 2, GG_TEXT_ONE_LINE, "\\xff\\xc2");
  check_sanitized("\xC2\x9B\xE2\x80\xAE", 5, GG_TEXT_ONE_LINE, "\\u{009b}\\u{202e}");
  check_sanitized("a\\n", 3, GG_TEXT_ONE_LINE, "a\\\\n");
  char small[6] = "#####";
  assert_int_equal(gg_text_sanitize(small, 5, "ab\x1b\x1b", 4, GG_TEXT_ONE_LINE), 4);
  assert_string_equal(small, "ab\\e");
  assert_int_equal(gg_text_sanitize(small, 4, "ab\xE2\x82\xAC", 5, GG_TEXT_ONE_LINE), 2);
  assert_int_equal(gg_text_sanitize(small, 0, "ab", 2, GG_TEXT_ONE_LINE), 0);
}

static void escapes_go_both_ways(void **state)
{
  (void)state;
  char out[64];
  size_t length = 0;
  assert_int_equal(gg_text_unescape(out, &length, "a\\r\\n\\t\\0\\x1B\\377\\\\\\\"\\'\\a\\b\\e\\f\\v"), 0);
  assert_int_equal(length, 15);
  assert_memory_equal(out, "a\r\n\t\0\x1b\xFF\\\"'\a\b\x1b\f\v", 15);
  static const char *const wrong[] = {"\\", "\\x", "\\x1", "\\xg0", "\\400", "\\q", "a\\"};
  for (size_t i = 0; i < COUNT_OF(wrong); i++)
    assert_int_equal(gg_text_unescape(out, &length, wrong[i]), GG_ERR_FORMAT);
  char all[256], text[4 * 256 + 1], back[sizeof text];
  for (int i = 0; i < 256; i++)
    all[i] = (char)i;
  gg_text_escape(text, all, sizeof all);
  assert_int_equal(gg_text_unescape(back, &length, text), 0);
  assert_int_equal(length, 256);
  assert_memory_equal(all, back, 256);
}

static void digits_are_printfs(void **state)
{
  (void)state;
  static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 65535, 4294967296u, 999999999999999999u, UINT64_MAX};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    char expected[GG_TEXT_DIGITS_MAX + 1], got[GG_TEXT_DIGITS_MAX];
    int length = snprintf(expected, sizeof expected, "%" PRIu64, numbers[i]);
    assert_int_equal(gg_text_digits(numbers[i], got), length);
    assert_memory_equal(got, expected, (size_t)length);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(digits_are_printfs),           cmocka_unit_test(bytes_are_read),
    cmocka_unit_test(wrong_bytes_are_refused),      cmocka_unit_test(durations_are_read),
    cmocka_unit_test(wrong_durations_are_refused),  cmocka_unit_test(values_are_written_shortly),
    cmocka_unit_test(written_values_are_read_back), cmocka_unit_test(small_values),
    cmocka_unit_test(the_nearest_word_is_found),    cmocka_unit_test(terminals_are_safe),
    cmocka_unit_test(escapes_go_both_ways),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
