/* SPDX-License-Identifier: Apache-2.0 */
/* Filters while memory runs out, at each allocation in turn: an error that says so, nothing left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "store/filter_ast.h"

#include <string.h>

#define NOW UINT64_C(1700000000000000000)
enum { ALLOCATIONS_MAX = 200 };

static const char *const expressions[] = {
  "held",
  "not (bytes > 1M and tag in (noise, 'it''s', web*) or client = 10.0.0.0/8) held port not in (80, 443)",
  "id = 018c or listener = web* or original = '' or 018c2f00 or start > -1h and not not partial",
  "bytes > 1M or (held and (port = 80 or not (close != drain and server = [::1]:80)))",
};

/* Calls `work` with the first allocation failing, then the second, and so on, until it comes to its end. */
static void each_allocation_fails(int (*work)(const char *text), const char *text)
{
  unsigned long most = 0;
  for (failing = 1; failing < ALLOCATIONS_MAX; failing++) {
    calls = 0;
    live = 0;
    counting = true;
    int error = work(text);
    counting = false;
    assert_int_equal(live, 0);
    most = calls;
    if (error == 0)
      break;
    assert_int_equal(error, GG_ERR_NOMEM);
  }
  assert_true(failing > 1 && failing == most + 1);
}

static int parse_an_expression(const char *text)
{
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__sql sql = {0};
  int error = gg_filter_parse_text(&filter, text, NOW, &failure);
  assert_int_equal(failure.code, error);
  assert_true((filter != NULL) == (error == 0));
  for (enum gg__sql_use use = 0; use < GG__SQL_USES && !error; use++) {
    gg__sql_fini(&sql);
    error = gg__filter_sql(filter, use, &sql);
    assert_true((sql.text != NULL) == (error == 0));
  }
  gg__sql_fini(&sql);
  gg_filter_destroy(filter);
  return error;
}

static int parse_words(const char *text)
{
  const char *const words[] = {"held", "tag=web*", "bytes!=1..2", text};
  struct gg_filter *filter = NULL;
  int error = gg_filter_parse(&filter, words, 4, NOW, NULL);
  gg_filter_destroy(filter);
  return error;
}

static int join(const char *text)
{
  struct gg_filter *filter = NULL, *other = NULL;
  int error = gg_filter_parse_text(&filter, "held", NOW, NULL);
  if (!error)
    error = gg_filter_parse_text(&other, text, NOW, NULL);
  if (!error)
    error = gg_filter_and(&filter, other, NULL);
  gg_filter_destroy(filter);
  return error;
}

static int add_facts(const char *name)
{
  struct gg__facts_table *table = NULL;
  int error = gg__facts_table_create(&table);
  if (!error)
    error = gg__facts_table_add(table, name, GG__KIND_TEXT, "help", "example", NULL);
  gg__facts_table_destroy(table);
  return error;
}

static void expressions_run_out(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
    each_allocation_fails(parse_an_expression, expressions[i]);
    each_allocation_fails(join, expressions[i]);
  }
  each_allocation_fails(parse_words, "id=018c");
  each_allocation_fails(add_facts, "http.host");
}

/* What is wrong is not taken for a lack of memory, and leaves nothing behind either. */
static void errors_leave_nothing(void **state)
{
  (void)state;
  static const char *const wrongs[] = {"held and (port = 80 or tag in (a, b", "tag in (a, b) or port = x",
                                       "not not tag = web* x", "(held or held", "id = 018c and"};
  failing = 0;
  for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
    live = 0;
    counting = true;
    assert_int_equal(parse_an_expression(wrongs[i]), GG_ERR_INVALID);
    counting = false;
    assert_int_equal(live, 0);
  }
}

int main(void)
{
  struct gg_filter *filter; /* what decoders' fields are called is found out once */
  if (gg_filter_parse_text(&filter, "held", NOW, NULL) != 0)
    return 1;
  gg_filter_destroy(filter);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(expressions_run_out),
    cmocka_unit_test(errors_leave_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
