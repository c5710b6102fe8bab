/* SPDX-License-Identifier: Apache-2.0 */
/* JSON laid out: good, broken and secret. Another reader of JSON says what is broken, and that nothing has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/json_view.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
  char *text;
  size_t length, capacity;
};

static void add(void *context, const char *text, size_t length)
{
  struct told *told = context;
  if (told->length + length + 1 > told->capacity) {
    told->capacity = (told->length + length + 1) * 2;
    told->text = realloc(told->text, told->capacity);
    assert_non_null(told->text);
  }
  memcpy(told->text + told->length, text, length);
  told->length += length;
  told->text[told->length] = '\0';
}

static struct gg__json_view view;

/* The text, and in `view` what is broken; the caller's to free. */
static char *lay_out(const char *body, size_t length, size_t step, bool secrets)
{
  struct told told = {0};
  add(&told, "", 0);
  gg__json_view_init(&view, add, &told, secrets);
  for (size_t done = 0; done < length; done += step) {
    size_t part = step < length - done ? step : length - done;
    char *exactly = malloc(part); /* so that a sanitizer sees who looks behind it */
    assert_non_null(exactly);
    memcpy(exactly, body + done, part);
    gg__json_view_push(&view, exactly, part);
    free(exactly);
  }
  gg__json_view_finish(&view);
  return told.text;
}

/* `why`: NULL, or "at which byte: what is broken". */
static void tell(const char *body, const char *wanted, const char *why, bool secrets)
{
  for (size_t step = 1; step < 12; step++) {
    char *text = lay_out(body, strlen(body), step, secrets), broken[128] = "";
    assert_string_equal(text, wanted);
    if (view.broken)
      snprintf(broken, sizeof broken, "%" PRIu64 ": %s", view.broken_at, view.broken);
    assert_string_equal(broken, why ? why : "");
    free(text);
  }
}

static void good(void **state)
{
  (void)state;
  tell("", "", NULL, true);
  tell(" 1.10 ", "1.10\n", NULL, true);
  tell("\"a\\u00e4\\n\"", "\"a\\u00e4\\n\"\n", NULL, true);
  tell("[]", "[]\n", NULL, true);
  tell("{ }", "{}\n", NULL, true);
  tell("{\"a\":[1,-2.50e+10,{}],\"b\":{\"c\":null,\"d\":[[],true]},\"e\":12345678901234567890}",
       "{\n  \"a\": [\n    1,\n    -2.50e+10,\n    {}\n  ],\n  \"b\": {\n    \"c\": null,\n    \"d\": [\n      [],\n"
       "      true\n    ]\n  },\n  \"e\": 12345678901234567890\n}\n",
       NULL, true);
  tell("{\"a\":1}\n{\"b\":2}\n", "{\n  \"a\": 1\n}\n{\n  \"b\": 2\n}\n", NULL, true);
  tell("\xef\xbb\xbf{}", "{}\n", NULL, true);
}

static void broken(void **state)
{
  (void)state;
  tell("{\"a\":1", "{\n  \"a\": 1\n", "6: it ends in the middle", true);
  tell("{\"a\":\"x", "{\n  \"a\": \"x\n", "7: it ends in the middle", true);
  tell("[1,]", "[\n  1,\n]\n", "3: an end where none belongs", true);
  tell("[1 2]", "[\n  1 2\n]\n", "3: a value where none belongs", true);
  tell("{\"a\" 1}", "{\n  \"a\" 1\n}\n", "5: a value where none belongs", true);
  tell("{a:1}", "{\n  a: 1\n}\n", "1: a value where none belongs", true);
  tell("[01]", "[\n  01\n]\n", "3: a word that is no value", true);
  tell("[1.]", "[\n  1.\n]\n", "3: a word that is no value", true);
  tell("[tru]", "[\n  tru\n]\n", "4: a word that is no value", true);
  tell("[truer]", "[\n  truer\n]\n", "6: a word that is no value", true);
  tell("[\"\\x\"]", "[\n  \"\\x\"\n]\n", "3: an escape that is none", true);
  tell("[\"\\u12\"]", "[\n  \"\\u12\"\n]\n", "6: an escape that is none", true);
  tell("[\"a\tb\"]", "[\n  \"a\tb\"\n]\n", "3: a control character in a string", true);
  tell("{]", "{]\n", "1: an end where none belongs", true);
  tell("]1", "]\n1\n", "0: an end without a beginning", true);
  tell("<html>", "<html>\n", "6: a word that is no value", true);
}

static void secrets(void **state)
{
  (void)state;
  static const char body[] =
    "{\"user\":\"ann\",\"password\":\"a\\\"b\",\"pin\":1234,\"api_key\":{\"x\":[1,\"y\"],\"z\":{}}"
    ",\"n\":\"v\",\"\\u0070wd\":\"q\"}";
  tell(body,
       "{\n  \"user\": \"ann\",\n  \"password\": \"****\",\n  \"pin\": \"****\",\n  \"api_key\": {\n    \"x\": [\n"
       "      \"****\",\n      \"****\"\n    ],\n    \"z\": {}\n  },\n  \"n\": \"v\",\n  \"\\u0070wd\": \"****\"\n}\n",
       NULL, false);
  tell("{\"password\":\"s3cret\"}", "{\n  \"password\": \"s3cret\"\n}\n", NULL, true);
  /* Also where it is broken: without quotes, without an end, and where names cannot be told from values. */
  tell("{password:\"s3cret\"}", "{\n  password: \"****\"\n}\n", "1: a value where none belongs", false);
  tell("x \"token\": \"s3cr", "x\n\"token\": \"****\"\n", "1: a word that is no value", false);
  tell("{\"secret\":[}\"s3cret\",1]", "{\n  \"secret\": [} \"****\",\n  \"****\"\n]\n", "11: an end where none belongs",
       false);
}

static void levels(void **state)
{
  (void)state;
  enum { DEEP = 3000 };
  static char body[DEEP * 2 + 1];
  memset(body, '[', DEEP);
  memset(body + DEEP, ']', DEEP);
  char *text = lay_out(body, DEEP * 2, 100, true);
  assert_string_equal(view.broken, "more than 1024 levels");
  assert_int_equal(view.broken_at, 1024);
  assert_true(strlen(text) < (size_t)DEEP * 2 * (2 + 2 * GG__JSON_VIEW_INDENT_MAX));
  size_t opened = 0, closed = 0;
  for (const char *at = text; *at; at++) {
    opened += *at == '[';
    closed += *at == ']';
  }
  assert_true(opened == DEEP && closed == DEEP);
  free(text);
}

/* Without its blanks, what comes out is what went in; and what is broken is what another reader refuses. */
static void at_random(void **state)
{
  (void)state;
  static const char *const pieces[] = {"{",     "}",         "[",           "]",      ",",   ":",
                                       "\"a\"", "\"b\\\"\"", "1",           "-0.5e3", "00",  "true",
                                       "false", "null",      "\"\\u00e4\"", " ",      "nul", "{\"k\":"};
  unsigned seed = 11, fine = 0;
  for (unsigned i = 0; i < 60000; i++) {
    char body[128] = "";
    size_t length = 0;
    for (unsigned n = 1 + (unsigned)rand_r(&seed) % 9; n; n--)
      length += (size_t)snprintf(body + length, sizeof body - length, "%s",
                                 pieces[(size_t)rand_r(&seed) % (sizeof pieces / sizeof *pieces)]);
    char *text = lay_out(body, length, 1 + i % 7, true);
    size_t at = 0;
    for (size_t j = 0; text[j]; j++) {
      while (body[at] == ' ')
        at++;
      if (text[j] != ' ' && text[j] != '\n' && text[j] != body[at++])
        fail_msg("%s became %s", body, text);
    }
    bool was_broken = view.broken != NULL;
    size_t taken = 0;
    bool good_one = true;
    while (good_one && taken < length) { /* one value behind the other */
      json_error_t error;
      json_t *value = json_loadb(body + taken, length - taken, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
      if (!value && json_error_code(&error) == json_error_numeric_overflow) {
        good_one = !was_broken; /* it has no room for that number */
        break;
      }
      bool word = value && !json_is_object(value) && !json_is_array(value) && !json_is_string(value);
      good_one = value || taken + strspn(body + taken, " ") == length;
      taken = value ? taken + (size_t)error.position : length;
      good_one = good_one && !(word && taken < length && !strchr(" []{}\"", body[taken])); /* "00" is not 0 twice */
      json_decref(value);
    }
    if (was_broken && good_one)
      fail_msg("%s: %s at %" PRIu64, body, view.broken, view.broken_at);
    if (!was_broken && !good_one)
      fail_msg("%s is taken for good", body);
    fine += !was_broken;
    free(text);
  }
  assert_true(fine > 1000);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(good),   cmocka_unit_test(broken),    cmocka_unit_test(secrets),
    cmocka_unit_test(levels), cmocka_unit_test(at_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
