/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: the input as words, one a line, and as an expression. What parses must match without a fault, and say the
 * opposite with a not in front; and the condition for a database has nothing of the input in it.
 */
#include "store/filter_ast.h"
#include "store/sweep.h"

#include <gogetway/store.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 80, TEXT_MAX = 4096 };
#define NOW UINT64_C(1700000000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const tags[] = {"a", "flag"};
static const struct gg_session session = {.id = "0123456789abcdef01234567",
                                          .client = "192.0.2.1:4000",
                                          .server = "[2001:db8::1]:80",
                                          .listener = "web",
                                          .upstream = "",
                                          .close = "client-fin",
                                          .why = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
                                          .original = "",
                                          .as_sent_of = "",
                                          .server_path = "",
                                          .protocol = "http",
                                          .verdict = "",
                                          .verdict_by = "",
                                          .community_id = {"", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
                                          .bytes = {1, UINT64_MAX},
                                          .start_ns = NOW - 5,
                                          .end_ns = NOW,
                                          .tags = tags,
                                          .tag_count = 2,
                                          .held = true};

static void require(bool holds)
{
  if (!holds)
    __builtin_trap();
}

static void check_condition(const struct gg_filter *filter, enum gg__sql_use use)
{
  struct gg__sql sql;
  size_t marks = 0;
  require(gg__filter_sql(filter, use, &sql) == 0);
  for (const char *at = sql.text; *at; at++)
    marks += *at == '?';
  require(marks == sql.count);
  require(sql.text[strspn(sql.text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_01 ?()=<>,.'")] == '\0');
  gg__sql_fini(&sql);
}

/* Takes the filter. Returns whether it matches. */
static bool check_filter(struct gg_filter *filter, int error, const struct gg_failure *failure)
{
  require((error == 0) == (filter != NULL));
  require((error == 0) == (failure->message[0] == '\0')); /* every refusal says why */
  bool matches = gg_filter_match(filter, &session);
  if (filter) {
    gg_filter_may_match(filter, &session);
    gg_filter_names_as_sent(filter, &session);
    for (enum gg__sql_use use = 0; use < GG__SQL_USES; use++)
      check_condition(filter, use);
  }
  gg_filter_destroy(filter);
  return matches;
}

static void check_words(char *text)
{
  const char *words[WORDS_MAX];
  size_t count = 0;
  for (char *at = text; at && count < WORDS_MAX; count++) {
    words[count] = at;
    at = strchr(at, '\n');
    if (at)
      *at++ = '\0';
  }
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = gg_filter_parse(&filter, words, count, NOW, &failure);
  check_filter(filter, error, &failure);
}

static void check_expression(const char *text)
{
  static char opposite[TEXT_MAX + sizeof "not ()"];
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = gg_filter_parse_text(&filter, text, NOW, &failure);
  require(error == 0 || error == GG_ERR_NOMEM || strncmp(failure.message, "column ", 7) == 0);
  bool matches = check_filter(filter, error, &failure), empty = !text[strspn(text, " \t\r\n")];
  if (error || empty)
    return;
  snprintf(opposite, sizeof opposite, "not (%s)", text);
  error = gg_filter_parse_text(&filter, opposite, NOW, &failure);
  require(error == 0 || error == GG_ERR_LIMIT); /* two levels more may be too many */
  bool reversed = check_filter(filter, error, &failure);
  require(error || reversed != matches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static char text[TEXT_MAX];
  if (size >= sizeof text)
    size = sizeof text - 1;
  memcpy(text, data, size);
  text[size] = '\0';
  check_expression(text);
  check_words(text);
  return 0;
}
