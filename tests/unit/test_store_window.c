/* SPDX-License-Identifier: Apache-2.0 */
/* What a window finds in pieces is what one look at the whole text finds, however the text is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef GG_HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

enum { HITS_MAX = 4096, CONTEXT = 3 };

struct found {
  struct gg__hit hits[HITS_MAX];
  char before[HITS_MAX][CONTEXT], after[HITS_MAX][CONTEXT];
  size_t count;
  size_t stop_at; /* 0: never */
  uint64_t cut, gave_up;
};

static bool take(void *context, const struct gg__hit *hit)
{
  struct found *found = context;
  assert_true(found->count < HITS_MAX && hit->before <= CONTEXT && hit->after <= CONTEXT);
  memcpy(found->before[found->count], hit->data - hit->before, hit->before);
  memcpy(found->after[found->count], hit->data + hit->length, hit->after);
  found->hits[found->count++] = *hit;
  return found->count == found->stop_at;
}

static struct gg_pattern *compile(const char *text, bool literal, bool fold)
{
  struct gg_pattern_options options = GG_PATTERN_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_pattern *pattern = NULL;
  options.literal = literal;
  options.ignore_case = fold;
  if (gg_pattern_compile(&pattern, &options, text, strlen(text), &failure) != 0)
    fail_msg("%s: %s", text, failure.message);
  return pattern;
}

/* Pushes the text in pieces that end at `cuts`; each byte has its offset as time. */
static void search(const struct gg_pattern *pattern, size_t step, size_t longest, const char *text, size_t length,
                   const size_t *cuts, size_t cut_count, struct found *found)
{
  const struct gg__windowing how = {pattern, step, longest, CONTEXT, CONTEXT};
  struct gg__window window = {0};
  struct gg__finder *finder = NULL;
  size_t stop_at = found->stop_at;
  memset(found, 0, sizeof *found);
  found->stop_at = stop_at;
  assert_int_equal(gg__finder_create(&finder, pattern, NULL), 0);
  for (size_t i = 0, at = 0; i <= cut_count; i++) {
    size_t end = i < cut_count ? cuts[i] : length;
    assert_int_equal(
      gg__window_push(&window, &how, finder, (const uint8_t *)text + at, end - at, 100 + at, 100 + at, take, found), 0);
    at = end;
  }
  gg__window_end(&window, &how, finder, take, found);
  found->cut = window.cut;
  found->gave_up = window.gave_up;
  gg__window_fini(&window);
  gg__finder_destroy(finder);
}

static void assert_same(const struct found *left, const struct found *right, const char *pattern, size_t a, size_t b)
{
  if (left->count != right->count || left->cut != right->cut || left->gave_up != right->gave_up)
    fail_msg("%s cut at %zu and %zu: %zu hits, not %zu", pattern, a, b, right->count, left->count);
  for (size_t i = 0; i < left->count; i++) {
    const struct gg__hit *one = &left->hits[i], *other = &right->hits[i];
    if (one->offset != other->offset || one->length != other->length || one->before != other->before ||
        one->after != other->after || memcmp(left->before[i], right->before[i], one->before) != 0 ||
        memcmp(left->after[i], right->after[i], one->after) != 0)
      fail_msg("%s cut at %zu and %zu: hit %zu differs", pattern, a, b, i);
  }
}

/* Every way of cutting the text into three; times follow the pieces. */
static void check_splits(const char *text, bool literal, bool fold, size_t step, size_t longest, const char *data,
                         size_t length)
{
  static struct found whole, split;
  struct gg_pattern *pattern = compile(text, literal, fold);
  search(pattern, step, longest, data, length, NULL, 0, &whole);
  for (size_t a = 0; a <= length; a++)
    for (size_t b = a; b <= length; b++) {
      const size_t cuts[2] = {a, b};
      search(pattern, step, longest, data, length, cuts, 2, &split);
      assert_same(&whole, &split, text, a, b);
      for (size_t i = 0; i < split.count; i++) {
        uint64_t at = split.hits[i].offset - 100, time = at < a ? 0 : at < b ? a : b;
        assert_int_equal(split.hits[i].time_ns, 100 + time);
      }
    }
  gg_pattern_destroy(pattern);
}

/* ── Literals ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_literal_splits(void **state)
{
  static const char data[] = "abababab aab\0aba bABAbab xxab";
  static struct found found;
  (void)state;
  for (size_t step = 1; step < 40; step = step * 2 + 1) {
    check_splits("aba", true, false, step, 64, data, sizeof data - 1);
    check_splits("ABa", true, true, step, 64, data, sizeof data - 1);
    check_splits("b", true, false, step, 64, data, sizeof data - 1);
    check_splits("xxab", true, false, step, 64, data, sizeof data - 1);
  }
  struct gg_pattern *pattern = compile("aba", true, false);
  search(pattern, 5, 64, data, sizeof data - 1, NULL, 0, &found);
  assert_int_equal(found.count, 3); /* not overlapping, as grep -o */
  assert_int_equal(found.hits[0].offset, 100);
  assert_int_equal(found.hits[1].offset, 104);
  assert_int_equal(found.hits[2].offset, 113);
  found.stop_at = 2;
  search(pattern, 5, 64, data, sizeof data - 1, NULL, 0, &found);
  assert_int_equal(found.count, 2);
  gg_pattern_destroy(pattern);
}

/* Each byte and its other case, where eight are folded at once and where they are not. */
static void test_case(void **state)
{
  static struct found found;
  (void)state;
  for (unsigned byte = 1; byte < 256; byte++)
    for (unsigned other = 0; other < 256; other++) {
      char text[2] = {(char)byte, 0}, data[9];
      memset(data, byte == '!' ? '?' : '!', sizeof data); /* not the byte itself */
      data[3] = data[8] = (char)other;
      struct gg_pattern *pattern = compile(text, true, true);
      search(pattern, 64, 64, data, sizeof data, NULL, 0, &found);
      unsigned small = byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
      bool same = small == (other >= 'A' && other <= 'Z' ? other + 32 : other);
      assert_int_equal(found.count, same ? 2 : 0);
      gg_pattern_destroy(pattern);
    }
}

static void test_two_texts(void **state)
{
  static struct found found;
  struct gg__window window = {0};
  struct gg__finder *finder = NULL;
  struct gg_pattern *pattern = compile("needle", true, false);
  const struct gg__windowing how = {pattern, 8, 64, CONTEXT, CONTEXT};
  (void)state;
  memset(&found, 0, sizeof found);
  assert_int_equal(gg__finder_create(&finder, pattern, NULL), 0);
  assert_int_equal(gg__window_open_ns(&window), UINT64_MAX);
  gg__window_push(&window, &how, finder, (const uint8_t *)"..need", 6, 0, 7, take, &found);
  assert_int_equal(gg__window_open_ns(&window), 7);
  gg__window_end(&window, &how, finder, take, &found); /* what is missing is not "" */
  assert_int_equal(gg__window_open_ns(&window), UINT64_MAX);
  gg__window_push(&window, &how, finder, (const uint8_t *)"le needle", 9, 50, 9, take, &found);
  gg__window_end(&window, &how, finder, take, &found);
  assert_int_equal(found.count, 1);
  assert_int_equal(found.hits[0].offset, 53);
  assert_int_equal(found.hits[0].time_ns, 9);
  assert_int_equal(found.hits[0].before, 3); /* nothing of what was in front of the gap */
  gg__window_fini(&window);
  gg__finder_destroy(finder);
  gg_pattern_destroy(pattern);
}

static void test_refused(void **state)
{
  struct gg_pattern *pattern = NULL;
  static char long_text[GG_GREP_PATTERN_MAX + 1];
  (void)state;
  memset(long_text, 'a', sizeof long_text);
  assert_int_equal(gg_pattern_compile(&pattern, NULL, "", 0, NULL), GG_ERR_INVALID);
  assert_int_equal(gg_pattern_compile(&pattern, NULL, long_text, sizeof long_text, NULL), GG_ERR_LIMIT);
  assert_null(pattern);
  gg_pattern_destroy(NULL);
}

/* ── Regular expressions ─────────────────────────────────────────────────────────────────────────────────────────── */

#ifdef GG_HAVE_PCRE2

/* One look at the whole text, by the interpreter. */
static void search_once(const char *text, const char *data, size_t length, struct found *found)
{
  int number;
  size_t offset, from = 0;
  memset(found, 0, sizeof *found);
  pcre2_code *code =
    pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_MULTILINE | PCRE2_NEVER_UTF, &number, &offset, NULL);
  pcre2_match_data *match = pcre2_match_data_create(1, NULL);
  while (from <= length && pcre2_match(code, (PCRE2_SPTR)data, length, from, PCRE2_NOTEMPTY, match, NULL) >= 0) {
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match);
    size_t before = at[0] < CONTEXT ? at[0] : CONTEXT, after = length - at[1] < CONTEXT ? length - at[1] : CONTEXT;
    struct gg__hit hit = {100 + at[0], 0, (const uint8_t *)data + at[0], at[1] - at[0], before, after};
    take(found, &hit);
    from = at[1];
  }
  pcre2_match_data_free(match);
  pcre2_code_free(code);
}

static const char *const patterns[] = {
  "ab",       "a+",          "a+?",           "a*b",          "(ab|abab)c?",
  "^ab",      "b$",          "^a.*b$",        "\\bab\\b",     "(?<=a)b",
  "(?<!a)b+", "a(?=b)",      "a(?!b)",        "\\Aab",        "ab\\z",
  "(?s)a.b",  "(a)(b)\\1",   "[^ab]+",        "a{2,4}",       "(?i)AB",
  "a\\Kb",    "(?>a+)b",     "a++b|ab",       "x*",           "(?:a|ab)(?:c|bcd)*",
  "\\w+\\s",  "\\Bb",        "(?<=(?<=a)b)a", "\\n",          "(?s).+",
  ".{3}",     "(?m)a$",      "b(?=\\z)",      "ab(*SKIP)c|b", "(?<=\\n)a+",
  "\\x00",    "a|^b|\\n\\n", "(a|b)+?c",      "[ab]+\\Z",
};

static void test_regex_splits(void **state)
{
  static const char *const texts[] = {"ababcab\nab ab\naabb", "\n\nab\nb\n", "aaaa", "xaababab\0abc\nab\n", "b"};
  static const size_t lengths[] = {18, 7, 4, 17, 1};
  static struct found once, whole;
  (void)state;
  for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
    for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++)
      for (size_t step = 1; step < 24; step = step * 2 + 1) {
        struct gg_pattern *pattern = compile(patterns[i], false, false);
        search_once(patterns[i], texts[j], lengths[j], &once);
        search(pattern, step, 64, texts[j], lengths[j], NULL, 0, &whole);
        assert_same(&once, &whole, patterns[i], step, j);
        check_splits(patterns[i], false, false, step, 64, texts[j], lengths[j]);
        check_splits(patterns[i], false, false, step, 6, texts[j], lengths[j]); /* some are cut: all in the same way */
        gg_pattern_destroy(pattern);
      }
}

/* A match that is too long ends where it may look no further, and that is told. */
static void test_cut(void **state)
{
  static const char data[] = "x<aaaaaaaaaaaaaaaaaaaa> <b>";
  static struct found found;
  struct gg_pattern *pattern = compile("<a+", false, false);
  (void)state;
  search(pattern, 4, 8, data, sizeof data - 1, NULL, 0, &found);
  assert_int_equal(found.count, 1);
  assert_int_equal(found.hits[0].length, 8);
  assert_int_equal(found.cut, 1);
  gg_pattern_destroy(pattern);
  pattern = compile("<a+>|<b>", false, false);
  search(pattern, 4, 8, data, sizeof data - 1, NULL, 0, &found);
  assert_int_equal(found.count, 1);
  assert_int_equal(found.hits[0].offset, 100 + 24);
  assert_int_equal(found.cut, 1);
  gg_pattern_destroy(pattern);
}

static void check_error(const char *text, int error, const char *told)
{
  struct gg_pattern *pattern = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_pattern_compile(&pattern, NULL, text, strlen(text), &failure), error);
  if (!strstr(failure.message, told))
    fail_msg("'%s' is not in '%s'", told, failure.message);
}

static void test_errors(void **state)
{
  (void)state;
  check_error("ab(c", GG_ERR_INVALID, "column 5");
  check_error("[z-a]", GG_ERR_INVALID, "column 4");
  check_error("a*(?<=b+)", GG_ERR_INVALID, "column");
  check_error("ab\\Gc", GG_ERR_UNSUPPORTED, "\\G at column 3");
  check_error("a(*COMMIT)b", GG_ERR_UNSUPPORTED, "column 2");
  check_error("(*UTF)a", GG_ERR_INVALID, "UTF");
  check_error("(?<=a{40000})b", GG_ERR_LIMIT, "behind");
  gg_pattern_destroy(compile("\\Q\\G\\E\\\\Gx", false, false)); /* no \G among these */
}

/* Patterns that take exponential time on these texts. Two seconds are a hundred times what they need. */
static void test_catastrophic(void **state)
{
  static const char *const slow[] = {"(a+)+b",     "(a|aa)+$b",    "(a*)*b",  "(?:a?){30}a{30}b",
                                     "(.*a){12}b", "(\\w+\\s?)+!", "(?s)a.*b"};
  enum { LENGTH = 200000 };
  char *data = malloc(LENGTH);
  static struct found found;
  (void)state;
  memset(data, 'a', LENGTH);
  for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
    struct gg_pattern *pattern = compile(slow[i], false, false);
    clock_t begin = clock();
    search(pattern, GG_GREP_STEP, GG_GREP_MATCH_MAX, data, LENGTH, NULL, 0, &found);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > 2)
      fail_msg("%s took %.1f s", slow[i], seconds);
    if (found.cut + found.gave_up == 0)
      fail_msg("%s is not told to have met a limit", slow[i]);
    gg_pattern_destroy(pattern);
  }
  free(data);
}

#endif

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_literal_splits), cmocka_unit_test(test_case),
    cmocka_unit_test(test_two_texts),      cmocka_unit_test(test_refused),
#ifdef GG_HAVE_PCRE2
    cmocka_unit_test(test_regex_splits),   cmocka_unit_test(test_cut),
    cmocka_unit_test(test_errors),         cmocka_unit_test(test_catastrophic),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
