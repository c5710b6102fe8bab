/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/utf8.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>

static void containers_and_values(void **state)
{
  (void)state;
  char text[256];
  struct gg_json json;
  gg_json_init(&json, text, sizeof text);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "a", "b");
  gg_json_field_string(&json, "none", NULL);
  gg_json_field_unsigned(&json, "u", UINT64_MAX);
  gg_json_field_signed(&json, "s", INT64_MIN);
  gg_json_field_bool(&json, "t", true);
  gg_json_key(&json, "list");
  gg_json_array_begin(&json);
  gg_json_array_begin(&json);
  gg_json_array_end(&json);
  gg_json_object_begin(&json);
  gg_json_object_end(&json);
  gg_json_double(&json, 1.5);
  gg_json_double(&json, NAN);
  gg_json_bool(&json, false);
  gg_json_array_end(&json);
  gg_json_object_end(&json);
  assert_int_equal(gg_json_finish(&json), strlen(text));
  assert_string_equal(text,
                      "{\"a\":\"b\",\"none\":null,\"u\":18446744073709551615,\"s\":-9223372036854775808,\"t\":true,"
                      "\"list\":[[],{},1.5,null,false]}");
}

static void check_string(const char *bytes, size_t length, const char *wanted)
{
  char text[256];
  struct gg_json json;
  gg_json_init(&json, text, sizeof text);
  gg_json_string_n(&json, bytes, length);
  assert_true(gg_json_finish(&json) > 0);
  assert_string_equal(text, wanted);
}

static void strings_are_escaped(void **state)
{
  (void)state;
  check_string("", 0, "\"\"");
  check_string("a\"b\\c/\n\r\t\b\f", 11, "\"a\\\"b\\\\c/\\n\\r\\t\\b\\f\"");
  check_string("\0\x1b[31m\x7f", 7, "\"\\u0000\\u001b[31m\\u007f\"");
  check_string("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
  check_string("\xC2\x9B\xE2\x80\xAE", 5, "\"\\u009b\\u202e\"");
}

static void invalid_utf8_becomes_the_replacement(void **state)
{
  (void)state;
  check_string("\xFF", 1, "\"\xEF\xBF\xBD\"");
  check_string("a\xC3", 2, "\"a\xEF\xBF\xBD\"");                                               /* cut */
  check_string("\xC0\x80", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");                                 /* overlong */
  check_string("\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");                 /* surrogate */
  check_string("\xF4\x90\x80\x80", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""); /* too large */
}

static void write_sample(struct gg_json *json)
{
  gg_json_object_begin(json);
  gg_json_field_string(json, "key", "a\nb\xFF");
  gg_json_field_unsigned(json, "n", 12345);
  gg_json_object_end(json);
}

/* Every size from nothing to enough: never a byte past the end, and only the last size fits. */
static void overflow_is_sticky_and_never_writes_past_the_end(void **state)
{
  (void)state;
  char text[64];
  struct gg_json json;
  gg_json_init(&json, text, sizeof text);
  write_sample(&json);
  size_t whole = gg_json_finish(&json);
  assert_true(whole > 0);
  for (size_t size = 0; size <= whole; size++) {
    char *exact = malloc(size + 1);
    exact[size] = '#';
    gg_json_init(&json, exact, size);
    write_sample(&json);
    assert_true(json.overflow);
    assert_int_equal(gg_json_finish(&json), 0);
    assert_int_equal(exact[size], '#');
    free(exact);
  }
  gg_json_init(&json, text, whole + 1);
  write_sample(&json);
  assert_int_equal(gg_json_finish(&json), whole);
}

static void a_copy_returns_to_an_earlier_point(void **state)
{
  (void)state;
  char text[24];
  struct gg_json json;
  gg_json_init(&json, text, sizeof text);
  gg_json_object_begin(&json);
  gg_json_field_unsigned(&json, "a", 1);
  struct gg_json mark = json;
  gg_json_field_string(&json, "long", "this does not fit in there");
  assert_true(json.overflow);
  json = mark;
  gg_json_field_unsigned(&json, "b", 2);
  gg_json_object_end(&json);
  assert_int_equal(gg_json_finish(&json), 13);
  assert_string_equal(text, "{\"a\":1,\"b\":2}");
}

/* Another reader agrees, for seeded random bytes. */
static void random_bytes_are_read_by_jansson(void **state)
{
  (void)state;
  unsigned seed = 7;
  for (int round = 0; round < 2000; round++) {
    char bytes[64];
    char text[512];
    size_t length = (size_t)rand_r(&seed) % sizeof bytes;
    for (size_t i = 0; i < length; i++)
      bytes[i] = (char)rand_r(&seed);
    struct gg_json json;
    gg_json_init(&json, text, sizeof text);
    gg_json_array_begin(&json);
    gg_json_string_n(&json, bytes, length);
    gg_json_array_end(&json);
    size_t used = gg_json_finish(&json);
    assert_true(used > 0);
    json_t *read = json_loadb(text, used, JSON_ALLOW_NUL, NULL);
    assert_non_null(read);
    json_decref(read);
  }
}

/* In whatever pieces a text comes, it is valid or not as it is as a whole. */
static void utf8_in_pieces(void **state)
{
  (void)state;
  static const unsigned char bytes[] = {'a',  'b',  0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1,
                                        0xc2, 0xdf, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5};
  unsigned seed = 1, valid = 0;
  for (unsigned i = 0; i < 200000; i++) {
    char text[24];
    size_t length = 0;
    for (size_t wanted = (size_t)rand_r(&seed) % sizeof text; length < wanted; length++)
      text[length] = rand_r(&seed) % 4 ? 'a' : (char)bytes[(size_t)rand_r(&seed) % sizeof bytes];
    struct gg_utf8_state pushed = {0};
    for (size_t done = 0, part; done < length; done += part) {
      part = 1 + (size_t)rand_r(&seed) % (length - done);
      gg_utf8_push(&pushed, text + done, part);
    }
    bool wanted = gg_utf8_valid(text, length);
    assert_int_equal(!pushed.invalid && !pushed.wanted, wanted);
    valid += wanted;
  }
  assert_true(valid > 10000);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(containers_and_values),
    cmocka_unit_test(strings_are_escaped),
    cmocka_unit_test(invalid_utf8_becomes_the_replacement),
    cmocka_unit_test(utf8_in_pieces),
    cmocka_unit_test(overflow_is_sticky_and_never_writes_past_the_end),
    cmocka_unit_test(a_copy_returns_to_an_earlier_point),
    cmocka_unit_test(random_bytes_are_read_by_jansson),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
