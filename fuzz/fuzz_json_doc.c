/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of JSON beside another one: both take the same texts, and find the same values in them. What only ours
 * refuses is beyond its bounds, or has a NUL behind a value, which the other passes over; what only the other refuses
 * is a number that has a fraction and is too large for it. */
#include "base/json_doc.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void check(bool truth)
{
  if (!truth)
    abort();
}

static void same(const struct gg_json_value *ours, const json_t *theirs);

static void same_members(const struct gg_json_value *ours, const json_t *theirs)
{
  const struct gg_json_value *member = gg_json_value_first(ours);
  for (; member; member = gg_json_value_next(member)) {
    check(gg_json_value_get(ours, gg_json_value_key(member)) == member);
    same(member, json_object_get(theirs, gg_json_value_key(member)));
  }
}

static void same_elements(const struct gg_json_value *ours, const json_t *theirs)
{
  const struct gg_json_value *element = gg_json_value_first(ours);
  for (size_t i = 0; element; element = gg_json_value_next(element))
    same(element, json_array_get(theirs, i++));
}

static void same(const struct gg_json_value *ours, const json_t *theirs)
{
  check(ours && theirs);
  check(gg_json_value_is(ours, GG_JSON_NULL) == json_is_null(theirs));
  check(gg_json_value_is(ours, GG_JSON_BOOL) == json_is_boolean(theirs));
  check(gg_json_value_is(ours, GG_JSON_WHOLE) == json_is_integer(theirs));
  check(gg_json_value_is(ours, GG_JSON_REAL) == json_is_real(theirs));
  check(gg_json_value_is(ours, GG_JSON_TEXT) == json_is_string(theirs));
  check(gg_json_value_is(ours, GG_JSON_ARRAY) == json_is_array(theirs));
  check(gg_json_value_is(ours, GG_JSON_OBJECT) == json_is_object(theirs));
  check(gg_json_value_is_true(ours) == json_is_true(theirs));
  check(gg_json_value_whole(ours) == json_integer_value(theirs));
  check(gg_json_value_count(ours) == (json_is_array(theirs) ? json_array_size(theirs) : json_object_size(theirs)));
  check(gg_json_value_length(ours) == json_string_length(theirs));
  if (json_is_string(theirs))
    check(memcmp(gg_json_value_text(ours), json_string_value(theirs), json_string_length(theirs) + 1) == 0);
  else
    check(!gg_json_value_text(ours));
  if (json_is_array(theirs))
    same_elements(ours, theirs);
  else
    same_members(ours, theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
  struct gg_json_doc doc;
  struct gg_failure failure = GG_FAILURE_INIT;
  json_error_t why;
  int error = gg_json_doc_parse(&doc, (const char *)data, length, &failure);
  json_t *theirs = json_loadb((const char *)data, length, JSON_REJECT_DUPLICATES, &why);
  check((error == 0) == (doc.root != NULL) && error == failure.code && (error == 0) == !failure.message[0]);
  if (error == 0 && theirs)
    same(doc.root, theirs);
  else if (error == 0)
    check(json_error_code(&why) == json_error_numeric_overflow);
  else
    check(!theirs || error == GG_ERR_LIMIT || memchr(data, '\0', length));
  json_decref(theirs);
  gg_json_doc_fini(&doc);
  return 0;
}
