/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of JSON: what it finds, what it refuses and where, its bounds; and that without memory it says so, and
 * never takes that for damage. fuzz/fuzz_json_doc.c has it beside another reader. */
#include "base/json_doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
static bool failing;
static size_t asked;

void *__wrap_calloc(size_t count, size_t size)
{
  asked = count * size;
  return failing ? NULL : __real_calloc(count, size);
}

static struct gg_json_doc read_text(const char *text)
{
  struct gg_json_doc doc;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_json_doc_parse(&doc, text, strlen(text), &failure) != 0)
    fail_msg("%s: %s", text, failure.message);
  return doc;
}

static void values_are_found(void **state)
{
  struct gg_json_doc doc =
    read_text(" {\"a\":[1,-2,\"x\\u00e9\\n\",true,false,null,1.5],\"b\":{\"c\":9223372036854775807}} ");
  const struct gg_json_value *a = gg_json_value_get(doc.root, "a"), *at = gg_json_value_first(a);
  (void)state;
  assert_int_equal(gg_json_value_count(doc.root), 2);
  assert_int_equal(gg_json_value_count(a), 7);
  assert_string_equal(gg_json_value_key(a), "a");
  assert_int_equal(gg_json_value_whole(at), 1);
  assert_null(gg_json_value_key(at));
  at = gg_json_value_next(at);
  assert_int_equal(gg_json_value_whole(at), -2);
  at = gg_json_value_next(at);
  assert_string_equal(gg_json_value_text(at), "x\xC3\xA9\n");
  assert_int_equal(gg_json_value_length(at), 4);
  at = gg_json_value_next(at);
  assert_true(gg_json_value_is_true(at));
  at = gg_json_value_next(at);
  assert_true(gg_json_value_is(at, GG_JSON_BOOL) && !gg_json_value_is_true(at));
  at = gg_json_value_next(at);
  assert_true(gg_json_value_is(at, GG_JSON_NULL));
  at = gg_json_value_next(at);
  assert_true(gg_json_value_is(at, GG_JSON_REAL));
  assert_null(gg_json_value_next(at));
  assert_int_equal(gg_json_value_whole(gg_json_value_get(gg_json_value_get(doc.root, "b"), "c")), INT64_MAX);
  gg_json_doc_fini(&doc);
}

static void what_is_missing_is_nothing(void **state)
{
  struct gg_json_doc doc = read_text("{\"text\":\"x\",\"list\":[1]}");
  const struct gg_json_value *text = gg_json_value_get(doc.root, "text"), *list = gg_json_value_get(doc.root, "list");
  (void)state;
  assert_null(gg_json_value_get(doc.root, "other"));
  assert_null(gg_json_value_get(list, "text"));
  assert_null(gg_json_value_get(NULL, "text"));
  assert_null(gg_json_value_text(gg_json_value_get(NULL, "text")));
  assert_null(gg_json_value_text(list));
  assert_null(gg_json_value_first(text));
  assert_null(gg_json_value_first(NULL));
  assert_null(gg_json_value_next(NULL));
  assert_int_equal(gg_json_value_whole(text), 0);
  assert_int_equal(gg_json_value_count(text), 0);
  assert_int_equal(gg_json_value_length(list), 0);
  assert_false(gg_json_value_is_true(text));
  assert_false(gg_json_value_is(NULL, GG_JSON_NULL));
  gg_json_doc_fini(&doc);
}

static void what_is_wrong_is_refused_with_its_place(void **state)
{
  static const struct {
    const char *text, *message;
  } cases[] = {
    {"", "no value at byte 0"},
    {"5", "neither object nor array at byte 1"},
    {"{} x", "more than one value at byte 3"},
    {"[1,]", "no value at byte 3"},
    {"[1 2]", "neither comma nor end at byte 3"},
    {"[1", "neither comma nor end at byte 2"},
    {"{\"a\" 1}", "no colon at byte 5"},
    {"{1:2}", "no key at byte 1"},
    {"{\"a\":1,\"a\":2}", "a key for the second time at byte 10"},
    {"[\"abc", "a text has no end at byte 5"},
    {"[\"\\x\"]", "no such escape at byte 3"},
    {"[\"\\u0000\"]", "no character at byte 8"},
    {"[\"\\ud800\"]", "no character at byte 8"},
    {"[\"\\udc00\"]", "no character at byte 8"},
    {"[\"a\tb\"]", "a control character at byte 3"},
    {"[\"\xFF\"]", "no UTF-8 at byte 2"},
    {"[01]", "no number at byte 3"},
    {"[-]", "no number at byte 2"},
    {"[1.]", "no number at byte 3"},
    {"[1e+]", "no number at byte 4"},
    {"[9223372036854775808]", "too large a number at byte 20"},
    {"[-9223372036854775809]", "too large a number at byte 21"},
    {"[nul]", "no value at byte 1"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct gg_json_doc doc;
    struct gg_failure failure = GG_FAILURE_INIT;
    assert_int_equal(gg_json_doc_parse(&doc, cases[i].text, strlen(cases[i].text), &failure), GG_ERR_FORMAT);
    assert_string_equal(failure.message, cases[i].message);
    assert_null(doc.root);
    gg_json_doc_fini(&doc);
  }
}

static int parse_nested(unsigned depth)
{
  char text[2 * GG_JSON_DOC_DEPTH_MAX + 8];
  struct gg_json_doc doc;
  memset(text, '[', depth);
  memset(text + depth, ']', depth);
  int error = gg_json_doc_parse(&doc, text, 2 * (size_t)depth, NULL);
  gg_json_doc_fini(&doc);
  return error;
}

static int parse_members(unsigned count)
{
  char text[16 * GG_JSON_DOC_MEMBERS_MAX] = "{";
  struct gg_json_doc doc;
  size_t length = 1;
  for (unsigned i = 0; i < count; i++)
    length += (size_t)snprintf(text + length, sizeof text - length, "%s\"%u\":0", i ? "," : "", i);
  text[length++] = '}';
  int error = gg_json_doc_parse(&doc, text, length, NULL);
  gg_json_doc_fini(&doc);
  return error;
}

static void bounds_hold(void **state)
{
  (void)state;
  assert_int_equal(parse_nested(GG_JSON_DOC_DEPTH_MAX), 0);
  assert_int_equal(parse_nested(GG_JSON_DOC_DEPTH_MAX + 1), GG_ERR_LIMIT);
  assert_int_equal(parse_members(GG_JSON_DOC_MEMBERS_MAX), 0);
  assert_int_equal(parse_members(GG_JSON_DOC_MEMBERS_MAX + 1), GG_ERR_LIMIT);
}

/* What stands in texts is no reason for memory. */
static void it_takes_one_allocation_or_says_so(void **state)
{
  const char *few = "[\",,,,,,,,,,,,[[[[[[[[[{{{{{{{{{\\\",,,,,,,,,,,,,,,,,,,,,,,,,,,,\"]";
  struct gg_json_doc doc;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  failing = true;
  int error = gg_json_doc_parse(&doc, few, strlen(few), &failure);
  failing = false;
  assert_int_equal(error, GG_ERR_NOMEM);
  assert_int_equal(failure.code, GG_ERR_NOMEM);
  assert_null(doc.root);
  gg_json_doc_fini(&doc);
  assert_true(asked < 256);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(values_are_found),
    cmocka_unit_test(what_is_missing_is_nothing),
    cmocka_unit_test(what_is_wrong_is_refused_with_its_place),
    cmocka_unit_test(bounds_hold),
    cmocka_unit_test(it_takes_one_allocation_or_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
