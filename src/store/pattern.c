/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions are matched with PCRE2_PARTIAL_HARD while more of the text follows: as soon as an attempt has to
 * look behind what is there, it says so, instead of settling for what it could have. So a match that is returned is the
 * one that the whole text has.
 *
 * No pattern or text may hang a search: PCRE2 counts the steps of a match, its depth and its memory, and gives up.
 * Two things are refused, because they speak of how a program calls the library and not of the text: \G (where this
 * call began) and (*COMMIT) (no further attempt in this call).
 */
#include "store/pattern.h"

#include "base/sized.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifdef GG_HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

enum {
  DEPTH_MAX = 100000,
  HEAP_KIB_MAX = 16384,
  STACK_BYTES_FIRST = 1 << 15, /* of compiled code */
  STACK_BYTES_MAX = 1 << 20,
  BEHIND_MAX = GG_GREP_MATCH_MAX,
};

static_assert((int)GG_SEARCH_CONTEXT_MAX == GG_GREP_CONTEXT_MAX && (int)GG_SEARCH_MATCH_MAX == GG_GREP_MATCH_MAX &&
                (int)GG_SEARCH_PATTERN_MAX == GG_GREP_PATTERN_MAX,
              "the bounds that are told are those that hold");

struct gg_pattern {
  bool literal;
  bool fold;
  bool anchored;
  size_t behind;
  uint8_t *bytes; /* of a literal; folded, if it is to be */
  size_t length;
#ifdef GG_HAVE_PCRE2
  pcre2_code *code;
#endif
};

struct gg__finder {
  const struct gg_pattern *pattern;
  uint8_t *folded; /* a stretch in small letters */
  size_t folded_room;
#ifdef GG_HAVE_PCRE2
  pcre2_match_data *data;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
#endif
};

size_t gg__pattern_behind(const struct gg_pattern *pattern)
{
  return pattern->behind;
}

bool gg__pattern_anchored(const struct gg_pattern *pattern)
{
  return pattern->anchored;
}

/* ── Literals ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Eight bytes at a time: of each, bit 7 of `capital` says whether it is A to Z, and bit 5 makes it small. */
static void fold(uint8_t *to, const uint8_t *from, size_t length)
{
  const uint64_t ones = UINT64_C(0x0101010101010101), tops = 0x80 * ones;
  size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    uint64_t word;
    memcpy(&word, from + i, 8);
    uint64_t low = word & ~tops, capital = (low + (0x80 - 'A') * ones) & ~(low + (0x7f - 'Z') * ones) & ~word & tops;
    word |= capital >> 2;
    memcpy(to + i, &word, 8);
  }
  for (; i < length; i++)
    to[i] = (uint8_t)(from[i] + (from[i] >= 'A' && from[i] <= 'Z' ? 'a' - 'A' : 0));
}

static int compile_literal(struct gg_pattern *pattern, const void *text, size_t length, struct gg_failure *failure)
{
  pattern->bytes = malloc(length);
  if (!pattern->bytes)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a pattern");
  pattern->length = length;
  if (pattern->fold)
    fold(pattern->bytes, text, length);
  else
    memcpy(pattern->bytes, text, length);
  return 0;
}

static enum gg__found find_literal(struct gg__finder *finder, const uint8_t *text, size_t length, size_t from,
                                   enum gg__stretch stretch, struct gg__span *span)
{
  const struct gg_pattern *pattern = finder->pattern;
  size_t left = length - from;
  if (left >= pattern->length) {
    const uint8_t *at = text + from;
    if (pattern->fold) {
      fold(finder->folded, at, left);
      at = finder->folded;
    }
    const uint8_t *found = stretch == GG__STRETCH_CUT ? memcmp(at, pattern->bytes, pattern->length) == 0 ? at : NULL
                                                      : memmem(at, left, pattern->bytes, pattern->length);
    if (found) {
      span->begin = from + (size_t)(found - at);
      span->end = span->begin + pattern->length;
      return GG__FOUND_MATCH;
    }
  }
  size_t open = left < pattern->length ? left : pattern->length - 1; /* bytes at the end that may be its beginning */
  if (stretch != GG__STRETCH_GOES_ON || open == 0)
    return GG__FOUND_NONE;
  span->begin = length - open;
  span->end = length;
  return GG__FOUND_PARTIAL;
}

/* ── Regular expressions ─────────────────────────────────────────────────────────────────────────────────────────── */

#ifdef GG_HAVE_PCRE2

/* What stands in the pattern itself, not in \Q...\E. Parentheses bound how deep assertions may be in each other. */
static int look_through(const char *text, size_t length, size_t *parentheses, struct gg_failure *failure)
{
  static const char commit[] = "(*COMMIT";
  bool quoted = false;
  *parentheses = 0;
  for (size_t i = 0; i < length; i++) {
    char next = i + 1 < length ? text[i + 1] : '\0';
    if (text[i] == '\\' && (quoted ? next == 'E' : next != '\0')) {
      if (!quoted && next == 'G')
        return gg_fail(failure, GG_ERR_UNSUPPORTED,
                       "the pattern has \\G at column %zu, which has no meaning in a search", i + 1);
      *parentheses += next == 'g'; /* it may call a group */
      quoted = !quoted && next == 'Q';
      i++;
    } else if (!quoted && text[i] == '(') {
      (*parentheses)++;
      if (length - i >= sizeof commit - 1 && memcmp(text + i, commit, sizeof commit - 1) == 0)
        return gg_fail(failure, GG_ERR_UNSUPPORTED,
                       "the pattern has (*COMMIT) at column %zu, which has no meaning in a search; (*SKIP) has", i + 1);
    }
  }
  return 0;
}

static int tell_error(int number, size_t offset, struct gg_failure *failure)
{
  PCRE2_UCHAR text[200];
  if (pcre2_get_error_message(number, text, sizeof text) < 0)
    text[0] = '\0';
  return gg_fail(failure, GG_ERR_INVALID, "the pattern has an error at column %zu: %s", offset + 1, (const char *)text);
}

static int compile_code(struct gg_pattern *pattern, const void *text, size_t length, struct gg_failure *failure)
{
  pcre2_compile_context *context = pcre2_compile_context_create(NULL);
  uint32_t options = PCRE2_MULTILINE | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | (pattern->fold ? PCRE2_CASELESS : 0);
  int number = 0;
  size_t offset = 0;
  if (!context)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a pattern");
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pattern->code = pcre2_compile(text, length, options, &number, &offset, context);
  pcre2_compile_context_free(context);
  if (!pattern->code)
    return number == PCRE2_ERROR_NOMEMORY ? gg_fail(failure, GG_ERR_NOMEM, "no memory for a pattern")
                                          : tell_error(number, offset, failure);
  return 0;
}

static int compile_regex(struct gg_pattern *pattern, const void *text, size_t length, struct gg_failure *failure)
{
  uint32_t behind = 0, all = 0;
  size_t parentheses;
  int error = look_through(text, length, &parentheses, failure);
  if (!error)
    error = compile_code(pattern, text, length, failure);
  if (error)
    return error;
  pcre2_pattern_info(pattern->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
  pcre2_pattern_info(pattern->code, PCRE2_INFO_ALLOPTIONS, &all);
  pattern->anchored = (all & PCRE2_ANCHORED) != 0;
  /* One that looks behind may have another in it, and PCRE2 tells of the longest only. */
  pattern->behind = behind * (parentheses + 1) + 1;
  if (pattern->behind > BEHIND_MAX && behind > 1)
    return gg_fail(failure, GG_ERR_LIMIT, "the pattern may look behind at more than %d bytes", BEHIND_MAX);
  /* Without it, matching is slower and nothing else. */
  pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  return 0;
}

static int create_matching(struct gg__finder *finder)
{
  finder->data = pcre2_match_data_create(1, NULL); /* where a match lies is all that is asked */
  finder->context = pcre2_match_context_create(NULL);
  finder->stack = pcre2_jit_stack_create(STACK_BYTES_FIRST, STACK_BYTES_MAX, NULL);
  if (!finder->data || !finder->context || !finder->stack)
    return GG_ERR_NOMEM;
  pcre2_set_match_limit(finder->context, GG_PATTERN_STEPS_MAX);
  pcre2_set_depth_limit(finder->context, DEPTH_MAX);
  pcre2_set_heap_limit(finder->context, HEAP_KIB_MAX);
  pcre2_jit_stack_assign(finder->context, NULL, finder->stack);
  return 0;
}

static enum gg__found find_regex(struct gg__finder *finder, const uint8_t *text, size_t length, size_t from,
                                 enum gg__stretch stretch, struct gg__span *span)
{
  static const uint32_t options[] = {
    [GG__STRETCH_GOES_ON] = PCRE2_NOTEMPTY | PCRE2_PARTIAL_HARD,
    [GG__STRETCH_ENDS] = PCRE2_NOTEMPTY,
    [GG__STRETCH_CUT] = PCRE2_NOTEMPTY | PCRE2_NOTEOL | PCRE2_ANCHORED,
  };
  int result = pcre2_match(finder->pattern->code, text, length, from, options[stretch], finder->data, finder->context);
  if (result == PCRE2_ERROR_NOMATCH)
    return GG__FOUND_NONE;
  if (result < 0 && result != PCRE2_ERROR_PARTIAL)
    return GG__FOUND_GAVE_UP;
  const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(finder->data);
  span->begin = offsets[0] < from ? from : offsets[0];
  span->end = offsets[1];
  if (result == PCRE2_ERROR_PARTIAL)
    return GG__FOUND_PARTIAL;
  return span->end > span->begin ? GG__FOUND_MATCH : GG__FOUND_GAVE_UP;
}

#endif

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int compile(struct gg_pattern *pattern, const void *text, size_t length, struct gg_failure *failure)
{
  if (pattern->literal)
    return compile_literal(pattern, text, length, failure);
#ifdef GG_HAVE_PCRE2
  return compile_regex(pattern, text, length, failure);
#else
  return gg_fail(failure, GG_ERR_UNSUPPORTED,
                 "this build has no regular expressions, because PCRE2 was not there; a literal text can be searched");
#endif
}

int gg_pattern_compile(struct gg_pattern **out, const struct gg_pattern_options *given, const void *text, size_t length,
                       struct gg_failure *failure)
{
  struct gg_pattern_options options = GG_PATTERN_OPTIONS_INIT;
  *out = NULL;
  int error = given ? gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_pattern_options, ignore_case),
                                    given, "gg_pattern_options", failure)
                    : 0;
  if (error)
    return error;
  if (length == 0)
    return gg_fail(failure, GG_ERR_INVALID, "the pattern is empty");
  if (length > GG_GREP_PATTERN_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "the pattern is longer than %d bytes", GG_GREP_PATTERN_MAX);
  struct gg_pattern *pattern = calloc(1, sizeof *pattern);
  if (!pattern)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a pattern");
  pattern->literal = options.literal;
  pattern->fold = options.ignore_case;
  error = compile(pattern, text, length, failure);
  if (error) {
    gg_pattern_destroy(pattern);
    return error;
  }
  *out = pattern;
  return 0;
}

void gg_pattern_destroy(struct gg_pattern *pattern)
{
  if (!pattern)
    return;
#ifdef GG_HAVE_PCRE2
  pcre2_code_free(pattern->code);
#endif
  free(pattern->bytes);
  free(pattern);
}

int gg__finder_create(struct gg__finder **out, const struct gg_pattern *pattern, struct gg_failure *failure)
{
  int error = 0;
  struct gg__finder *finder = calloc(1, sizeof *finder);
  *out = NULL;
  if (!finder)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a search");
  finder->pattern = pattern;
  finder->folded_room = 2 * (size_t)GG_GREP_MATCH_MAX; /* no stretch is longer */
  if (pattern->literal && pattern->fold)
    error = (finder->folded = malloc(finder->folded_room)) ? 0 : GG_ERR_NOMEM;
#ifdef GG_HAVE_PCRE2
  if (!pattern->literal)
    error = create_matching(finder);
#endif
  if (error) {
    gg__finder_destroy(finder);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a search");
  }
  *out = finder;
  return 0;
}

void gg__finder_destroy(struct gg__finder *finder)
{
  if (!finder)
    return;
#ifdef GG_HAVE_PCRE2
  pcre2_match_data_free(finder->data);
  pcre2_match_context_free(finder->context);
  pcre2_jit_stack_free(finder->stack);
#endif
  free(finder->folded);
  free(finder);
}

enum gg__found gg__finder_find(struct gg__finder *finder, const uint8_t *text, size_t length, size_t from,
                               enum gg__stretch stretch, struct gg__span *span)
{
  assert(from <= length && (!finder->folded || length - from <= finder->folded_room));
#ifdef GG_HAVE_PCRE2
  if (!finder->pattern->literal)
    return find_regex(finder, text, length, from, stretch, span);
#endif
  return find_literal(finder, text, length, from, stretch, span);
}
