/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/redact's patterns and its matcher. */
#include "../../plugins/redact/redact.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STREAM_MAX = 64 };

static struct automaton *made(void)
{
  struct automaton *automaton = calloc(1, sizeof *automaton);
  assert_non_null(automaton);
  return automaton;
}

static void finish(struct automaton *automaton)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(automaton_finish(automaton, &failure), 0);
}

static void drop(struct automaton *automaton)
{
  automaton_fini(automaton);
  free(automaton);
}

/* A stream whose pieces end where `ends` has a bit; *back is what was kept back before the last of them. */
static void run(const struct automaton *automaton, char *stream, size_t length, uint64_t ends, size_t *back)
{
  struct matcher matcher = {0};
  size_t let_go = 0, shown = 0, masked, keep = 0;
  for (size_t end = 1; end <= length; end++) {
    if (end < length && !(ends >> (end - 1) & 1))
      continue;
    keep = matcher_run(&matcher, automaton, (uint8_t *)stream + let_go, end - let_go, shown - let_go, '#', &masked);
    assert_true(keep <= end - let_go);
    shown = end;
    let_go = end - keep;
  }
  *back = keep;
  matcher_fini(&matcher);
}

static struct automaton *of_regex(const char *text)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct automaton *automaton = made();
  assert_int_equal(automaton_add_regex(automaton, text, false, &failure), 0);
  finish(automaton);
  return automaton;
}

static void expect(const struct automaton *automaton, const char *stream, const char *masked, size_t back)
{
  size_t length = strlen(stream), kept;
  assert_int_equal(length, strlen(masked));
  for (uint64_t ends = 0; ends < UINT64_C(1) << (length < 12 ? length : 12); ends++) { /* every way to cut it */
    char copy[STREAM_MAX + 1];
    memcpy(copy, stream, length + 1);
    run(automaton, copy, length, ends, &kept);
    assert_string_equal(copy, masked);
    assert_int_equal(kept, back);
  }
}

static void test_literals(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct automaton *automaton = made();
  assert_int_equal(automaton_add_literal(automaton, "abab", false, &failure), 0);
  assert_int_equal(automaton_add_literal(automaton, "bca", false, &failure), 0);
  assert_int_equal(automaton_add_literal(automaton, "K", true, &failure), 0);
  finish(automaton);
  expect(automaton, "xxabababx", "xx######x", 0);
  expect(automaton, "ababcab", "######b", 2); /* abab and bca overlap; ab may be a beginning */
  expect(automaton, "abcab", "a###b", 2);
  expect(automaton, "aba", "aba", 3);
  expect(automaton, "kK", "##", 0);
  expect(automaton, "", "", 0);
  drop(automaton);
}

static void test_bytes(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct automaton *automaton = made();
  assert_int_equal(automaton_add_bytes(automaton, "41 ?? 4?4A", &failure), 0);
  finish(automaton);
  expect(automaton, "zAzBJz", "z####z", 0);
  expect(automaton, "A\nOJ", "####", 0);
  expect(automaton, "AzPJ", "AzPJ", 0);
  expect(automaton, "AAA", "AAA", 3);
  drop(automaton);
}

static void test_regular_expressions(void **state)
{
  (void)state;
  static const struct {
    const char *regex, *stream, *masked;
    size_t back;
  } cases[] = {
    {"\\d{3}-\\d{2}", "a123-45b", "a######b", 0},
    {"[a-c]{2,3}", "xabcabx", "x#####x", 0},
    {"a(b|cd)?e", "ae abe acde abde", "## ### #### abde", 0},
    {"a.c", "a\nc abc", "a\nc ###", 0},
    {"(?:ab){2}", "ababab", "######", 2},
    {"x{0,2}y", "xxxy", "x###", 0},
    {"[^a-z]q", "aq1q", "aq##", 0},
    {"[]-]z", "]z-z", "####", 0},
    {"[\\w-]{1,2}!", "a-b!", "a###", 0},
    {"\\x41\\.\\t", "A.\tA.", "###A.", 2},
    {"(?i)key=\\S{1,4}", "Key=abcdef", "########ef", 0},
    {"a{2}|b", "aab", "###", 0},
    {"}", "{}", "{#", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct automaton *automaton = of_regex(cases[i].regex);
    expect(automaton, cases[i].stream, cases[i].masked, cases[i].back);
    drop(automaton);
  }
}

static void test_refused(void **state)
{
  (void)state;
  static const struct {
    const char *regex, *says;
  } cases[] = {
    {"a*", "at character 2: it has no upper bound"},
    {"a+", "no upper bound"},
    {"a{2,}", "no upper bound"},
    {"a{3,2}", "{least,most}"},
    {"a{0}", "{least,most}"},
    {"a{4097}", "too often"},
    {"a{2}?", "repetition of a repetition"},
    {"^a", "beside the match"},
    {"a$", "beside the match"},
    {"\\ba", "no such escape"},
    {"(a)\\1", "no such escape"},
    {"(?=a)", "groups with a ?"},
    {"(a", "a ( without its )"},
    {"a)", "a ) without its ("},
    {"[a", "a [ without its ]"},
    {"[b-a]", "a range runs"},
    {"[[:alpha:]]", "a class by name"},
    {"a|", "something has to stand here"},
    {"()", "something has to stand here"},
    {"", "something has to stand here"},
    {"a?", "it matches nothing, too"},
    {"\xc3\xa9", "beyond ASCII"},
    {"(a{4000}){2}", "longer than 4096"},
    {"(a{0,90}){0,40}", "too complicated"},
    {"((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))", "too deep"},
    {"\\xz", "two hexadecimal digits"},
    {"?a", "stand in front"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    struct automaton *automaton = made();
    assert_int_not_equal(automaton_add_regex(automaton, cases[i].regex, false, &failure), 0);
    if (!strstr(failure.message, cases[i].says))
      fail_msg("'%s' is refused with '%s', not '%s'", cases[i].regex, failure.message, cases[i].says);
    drop(automaton);
  }
}

static void test_refused_bytes(void **state)
{
  (void)state;
  static const char *const cases[] = {"4", "4g", "41 4", "", "  ", "?? ??", "hello"};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    struct automaton *automaton = made();
    assert_int_not_equal(automaton_add_bytes(automaton, cases[i], &failure), 0);
    assert_int_not_equal(failure.message[0], '\0');
    drop(automaton);
  }
}

/* The longest there may be, and one byte more. */
static void test_longest(void **state)
{
  (void)state;
  static char text[LONGEST + 2];
  static uint8_t stream[2 * LONGEST];
  struct gg_failure failure = GG_FAILURE_INIT;
  struct matcher matcher = {0};
  size_t masked;
  memset(text, 'q', LONGEST + 1);
  memset(stream, 'q', sizeof stream);
  struct automaton *automaton = made();
  assert_int_equal(automaton_add_literal(automaton, text, false, &failure), GG_ERR_LIMIT);
  drop(automaton);
  automaton = made();
  text[LONGEST] = '\0';
  assert_int_equal(automaton_add_literal(automaton, text, false, &failure), 0);
  finish(automaton);
  assert_int_equal(matcher_run(&matcher, automaton, stream, LONGEST - 1, 0, '#', &masked), LONGEST - 1);
  assert_int_equal(masked, 0);
  assert_int_equal(matcher_run(&matcher, automaton, stream, LONGEST, LONGEST - 1, '#', &masked), LONGEST - 1);
  assert_int_equal(masked, LONGEST);
  matcher_fini(&matcher);
  drop(automaton);
}

/* ── Against the C library's ─────────────────────────────────────────────────────────────────────────────────────── */

static unsigned next(uint32_t *seed, unsigned below)
{
  *seed = *seed * 1664525 + 1013904223;
  return (*seed >> 8) % below;
}

static size_t add_text(char *out, const char *text)
{
  memcpy(out, text, strlen(text) + 1);
  return strlen(text);
}

/* What both understand alike. */
static size_t write_regex(char *out, uint32_t *seed, unsigned depth)
{
  static const char *const atoms[] = {"a", "b", "c", "[ab]", "[^a]", "."};
  static const char *const times[] = {"", "", "", "?", "{2}", "{1,2}", "{0,3}"};
  size_t length = 0;
  for (unsigned i = 0, parts = 1 + next(seed, 3); i < parts; i++) {
    if (depth > 0 && next(seed, 3) == 0) {
      out[length++] = '(';
      length += write_regex(out + length, seed, depth - 1);
      if (next(seed, 2)) {
        out[length++] = '|';
        length += write_regex(out + length, seed, depth - 1);
      }
      out[length++] = ')';
    } else {
      length += add_text(out + length, atoms[next(seed, 6)]);
    }
    length += add_text(out + length, times[next(seed, 7)]);
  }
  return length;
}

static bool matches(const regex_t *regex, const char *stream, size_t begin, size_t end)
{
  char text[STREAM_MAX];
  memcpy(text, stream + begin, end - begin);
  text[end - begin] = '\0';
  return regexec(regex, text, 0, NULL, 0) == 0;
}

static void compare(const char *text, struct automaton *automaton, uint32_t *seed)
{
  char whole[1100], stream[16], expected[16], got[16];
  regex_t regex;
  snprintf(whole, sizeof whole, "^(%s)$", text);
  assert_int_equal(regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB), 0);
  for (unsigned round = 0; round < 8; round++) {
    size_t length = 1 + next(seed, sizeof stream - 1), back;
    for (size_t i = 0; i < length; i++)
      stream[i] = expected[i] = got[i] = (char)('a' + next(seed, 4));
    for (size_t begin = 0; begin < length; begin++)
      for (size_t end = begin + 1; end <= length; end++)
        if (matches(&regex, stream, begin, end))
          memset(expected + begin, '#', end - begin);
    run(automaton, got, length, next(seed, 1 << 20), &back);
    if (memcmp(got, expected, length) != 0)
      fail_msg("'%s' on '%.*s': '%.*s' instead of '%.*s'", text, (int)length, stream, (int)length, got, (int)length,
               expected);
  }
  regfree(&regex);
}

static void test_as_the_library(void **state)
{
  (void)state;
  uint32_t seed = 5;
  unsigned compared = 0;
  for (unsigned i = 0; i < 400; i++) {
    char text[1000];
    struct gg_failure failure = GG_FAILURE_INIT;
    struct automaton *automaton = made();
    write_regex(text, &seed, 2);
    if (automaton_add_regex(automaton, text, false, &failure) == 0) {
      finish(automaton);
      compare(text, automaton, &seed);
      compared++;
    } else if (!strstr(failure.message, "it matches nothing")) {
      fail_msg("'%s' is refused: %s", text, failure.message);
    }
    drop(automaton);
  }
  assert_true(compared > 200);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_literals),
    cmocka_unit_test(test_bytes),
    cmocka_unit_test(test_regular_expressions),
    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_refused_bytes),
    cmocka_unit_test(test_longest),
    cmocka_unit_test(test_as_the_library),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
