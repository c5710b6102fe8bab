/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of filters, by PCRE2 if the library was built with it.
 *
 * Pattern and text are anybody's, and a backtracking matcher can be made to take years by either. So steps, depth and
 * memory of a match are bounded, and so are the pattern's length and what it compiles to (PCRE2 itself refuses more
 * than 64 KiB). There is no JIT: it would need memory that is written and run, which the gateway's sandbox forbids.
 */
#include "store/filter_ast.h"

#ifdef GG_HAVE_PCRE2

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

enum { ERROR_TEXT_MAX = 160 };

struct gg__regex {
  pcre2_code *code;
  pcre2_match_context *context;
};

static int explain(int code, struct gg_failure *failure)
{
  PCRE2_UCHAR text[ERROR_TEXT_MAX];
  if (pcre2_get_error_message(code, text, sizeof text) < 0)
    text[0] = '\0';
  return gg_fail(failure, GG_ERR_INVALID, "no regular expression: %s", (const char *)text);
}

static int compile(struct gg__regex *regex, const char *pattern, size_t length, size_t *wrong_at,
                   struct gg_failure *failure)
{
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_compile_context *context = pcre2_compile_context_create(NULL);
  regex->context = pcre2_match_context_create(NULL);
  if (!context || !regex->context) {
    pcre2_compile_context_free(context);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a regular expression");
  }
  pcre2_set_parens_nest_limit(context, GG_FILTER_DEPTH_MAX);
  pcre2_set_match_limit(regex->context, GG_FILTER_REGEX_STEPS_MAX);
  pcre2_set_depth_limit(regex->context, GG_FILTER_REGEX_STEPS_MAX);
  pcre2_set_heap_limit(regex->context, GG_FILTER_REGEX_HEAP_KIB_MAX);
  regex->code = pcre2_compile((PCRE2_SPTR)pattern, length,
                              PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &offset, context);
  pcre2_compile_context_free(context);
  *wrong_at = offset < length ? offset : length;
  return regex->code ? 0 : explain(code, failure);
}

int gg__regex_create(struct gg__regex **out, const char *pattern, size_t length, size_t *wrong_at,
                     struct gg_failure *failure)
{
  struct gg__regex *regex = calloc(1, sizeof *regex);
  *out = NULL;
  *wrong_at = 0;
  if (!regex)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a regular expression");
  int error = compile(regex, pattern, length, wrong_at, failure);
  if (error)
    gg__regex_destroy(regex);
  else
    *out = regex;
  return error;
}

void gg__regex_destroy(struct gg__regex *regex)
{
  if (!regex)
    return;
  pcre2_code_free(regex->code);
  pcre2_match_context_free(regex->context);
  free(regex);
}

/* What a match needs is made for it, so that a filter may be used by several threads. */
bool gg__regex_match(const struct gg__regex *regex, const char *text, size_t length)
{
  pcre2_match_data *data = pcre2_match_data_create(1, NULL);
  bool found = data && pcre2_match(regex->code, (PCRE2_SPTR)text, length, 0, 0, data, regex->context) >= 0;
  pcre2_match_data_free(data);
  return found;
}

#else

int gg__regex_create(struct gg__regex **out, const char *pattern, size_t length, size_t *wrong_at,
                     struct gg_failure *failure)
{
  (void)pattern;
  (void)length;
  *out = NULL;
  *wrong_at = 0;
  return gg_fail(failure, GG_ERR_UNSUPPORTED,
                 "this gogetway was built without regular expressions (libpcre2-8); = takes * and ?");
}

void gg__regex_destroy(struct gg__regex *regex)
{
  (void)regex;
}

bool gg__regex_match(const struct gg__regex *regex, const char *text, size_t length)
{
  (void)regex;
  (void)text;
  (void)length;
  return false;
}

#endif
