/* SPDX-License-Identifier: Apache-2.0 */
/* Filter words: what each key takes, what it refuses and says, what it matches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* For the reasons; a session is another thing there. */
#define gg_session gg_plane_session
#include "gateway/session.h"
#undef gg_session

#include "store/filter_ast.h"
#include "store/sweep.h"

#include <gogetway/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW UINT64_C(1700000000000000000)
#define SECOND UINT64_C(1000000000)

static const struct gg_session sample = {
  .id = "018c00000000000000000abc",
  .state = GG_SESSION_CLOSED,
  .client = "192.0.2.1:4000",
  .server = "[2001:db8::1]:8080",
  .listener = "web",
  .upstream = "",
  .close = "client-fin",
  .why = "",
  .start_ns = NOW - 3600 * SECOND,
  .end_ns = NOW - 1800 * SECOND,
  .bytes = {1000, 1048576},
};

static bool matches(const char *word)
{
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_filter_parse(&filter, &word, 1, NOW, &failure) != 0)
    fail_msg("'%s' was refused: %s", word, failure.message);
  bool result = gg_filter_match(filter, &sample);
  gg_filter_destroy(filter);
  return result;
}

static const char *refusal(const char *word)
{
  static struct gg_failure failure;
  struct gg_filter *filter = NULL;
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg_filter_parse(&filter, &word, 1, NOW, &failure), GG_ERR_INVALID);
  assert_null(filter);
  return failure.message;
}

static void each_key_matches(void **state)
{
  (void)state;
  static const char *const good[] = {"id=018c",
                                     "018c000",
                                     "018C00000000000000000ABC",
                                     "id!=ff",
                                     "client=192.0.2.1",
                                     "client=192.0.2.1:4000",
                                     "client=192.0.2.0/24",
                                     "client!=10.0.0.0/8",
                                     "server=2001:db8::/32",
                                     "server=[2001:db8::1]:8080",
                                     "port=8080",
                                     "port=8000..8999",
                                     "port=8080..",
                                     "port=..8080",
                                     "port!=80",
                                     "since=1h",
                                     "since=2d",
                                     "until=1m",
                                     "since=2023-11-14",
                                     "until=2023-11-15T00:00:00Z",
                                     "bytes=1049576",
                                     "bytes=1M..",
                                     "bytes=..2M",
                                     "bytes=1M..1GiB",
                                     "bytes!=0",
                                     "state=closed",
                                     "state!=open",
                                     "listener=web",
                                     "close=client-fin",
                                     "close!=server-reset",
                                     "server=[2001:db8::1]",
                                     "client!=[::1]"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    if (!matches(good[i]))
      fail_msg("'%s' should match", good[i]);
  static const char *const other[] = {"id=ff",
                                      "client=192.0.2.2",
                                      "client=192.0.2.1:4001",
                                      "client=10.0.0.0/8",
                                      "server=192.0.2.1",
                                      "port=80",
                                      "port=1..8079",
                                      "since=1m",
                                      "until=2h",
                                      "bytes=0",
                                      "bytes=..1M",
                                      "state=cut",
                                      "listener=we",
                                      "close=client-reset",
                                      "id!=018c",
                                      "client!=192.0.2.1",
                                      "until=2023-11-14"};
  for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
    if (matches(other[i]))
      fail_msg("'%s' should not match", other[i]);
}

static void all_words_must_hold(void **state)
{
  (void)state;
  const char *const words[] = {"port=8080", "state=open"};
  struct gg_filter *filter = NULL;
  assert_int_equal(gg_filter_parse(&filter, words, 2, NOW, NULL), 0);
  assert_false(gg_filter_match(filter, &sample));
  gg_filter_destroy(filter);
  assert_true(gg_filter_match(NULL, &sample));
}

/* Whatever the gateway records as the reason of a close can be asked for. */
static void each_reason_is_known(void **state)
{
  (void)state;
  static const char *const words[] = {
#define WORD(NAME, text) "close=" text,
    GG_CLOSE_LIST(WORD)
#undef WORD
  };
  assert_true(matches("close=client-fin"));
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    assert_true(matches(words[i]) == (strcmp(words[i], "close=client-fin") == 0));
}

static void refusals_say_what_is_right(void **state)
{
  (void)state;
  assert_non_null(strstr(refusal("clinet=1.2.3.4"), "did you mean 'client'"));
  assert_non_null(strstr(refusal("colour=red"), "known are id, client"));
  assert_non_null(strstr(refusal("port=http"), "8000..8999"));
  assert_non_null(strstr(refusal("port=70000"), "port"));
  assert_non_null(strstr(refusal("port=5..4"), "port"));
  assert_non_null(strstr(refusal("bytes=.."), "1M.."));
  assert_non_null(strstr(refusal("state=opened"), "open, closed or cut"));
  assert_non_null(strstr(refusal("since=yesterday"), "1h"));
  assert_non_null(strstr(refusal("client=10.0.0.1/8"), "10.0.0.0/8"));
  assert_non_null(strstr(refusal("abcde"), "beginning of an id"));
  assert_non_null(strstr(refusal("id=xyz"), "hexadecimal"));
  assert_non_null(strstr(refusal("=x"), "unknown field"));
  assert_non_null(strstr(refusal("close=foo"), "client-fin"));
  assert_non_null(strstr(refusal("close=client-fni"), "did you mean 'client-fin'"));
  assert_non_null(strstr(refusal("close="), "client-fin"));
  assert_non_null(strstr(refusal("listener="), "listener's name"));
  assert_non_null(strstr(refusal("client=[192.0.2.1]"), "192.0.2.1"));
  assert_non_null(strstr(refusal("client=[]"), "192.0.2.1"));
  assert_null(strchr(refusal("\x1b[31m=x"), '\x1b'));
}

/* What is known from a session's first packet decides what it can; the rest may still come. */
static void what_begins_may_match(void **state)
{
  (void)state;
  static const char *const may[] = {"id=018c",   "client=192.0.2.1", "port=8080",   "listener=web",
                                    "bytes=1..", "state=open",       "close=drain", "since=1s",
                                    "port!=81",  "until=2h",         "bytes!=0",    "state!=closed"};
  static const char *const never[] = {"id=ff", "client!=192.0.2.1", "server=127.0.0.1", "port=81", "listener!=web"};
  struct gg_session begun = sample;
  struct gg_filter *filter = NULL;
  begun.state = GG_SESSION_OPEN;
  begun.close = "";
  begun.bytes[0] = begun.bytes[1] = 0;
  begun.end_ns = 0;
  assert_true(gg_filter_may_match(NULL, &begun));
  for (size_t i = 0; i < sizeof may / sizeof may[0]; i++) {
    assert_int_equal(gg_filter_parse(&filter, &may[i], 1, NOW, NULL), 0);
    assert_true(gg_filter_may_match(filter, &begun));
    gg_filter_destroy(filter);
  }
  for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
    assert_int_equal(gg_filter_parse(&filter, &never[i], 1, NOW, NULL), 0);
    assert_false(gg_filter_may_match(filter, &begun));
    gg_filter_destroy(filter);
  }
}

/* ── Every field ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const full_tags[] = {"flag", "noise", "web-1"};
static const struct gg_session full = {
  .id = "018c00000000000000000abc",
  .state = GG_SESSION_CLOSED,
  .foreign = true,
  .client = "192.0.2.1:4000",
  .server = "[2001:db8::1]:8080",
  .listener = "web*1",
  .upstream = "10.0.0.7:80",
  .close = "client-fin",
  .why = "plug-in",
  .start_ns = NOW - 3600 * SECOND,
  .end_ns = NOW - 1800 * SECOND,
  .bytes = {1000, 1048576},
  .packets = {3, 4},
  .gaps = {0, 7},
  .segments = 2,
  .original = "018d00000000000000000001",
  .server_path = "/run/a b",
  .as_sent_of = "",
  .protocol = "http",
  .verdict = "reset",
  .verdict_by = "guard",
  .masked = {5, 0},
  .conn_state = "RSTO",
  .history = "ShADadR",
  .community_id = {"", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
  .tags = full_tags,
  .tag_count = 3,
  .held = true,
};

/* What is true of the session above, and what is not, of each field. A field without a case fails the test. */
static const struct {
  const char *field, *holds[6], *fails[6];
} cases[] = {
  {"id", {"id=018c", "id in (ff, 018C00)", "018c00"}, {"id=ff", "id != 018c", "id = 018c00000000000000000abd"}},
  {"listener",
   {"listener=web*", "listener = \"web*1\"", "listener=w?b??", "listener != 'web1'"},
   {"listener=web", "listener = \"web*\"", "listener=web??x"}},
  {"client",
   {"client=192.0.2.1", "client = 192.0.2.0/24", "client=192.0.2.1:4000", "client in (10.0.0.0/8, 192.0.2.1)"},
   {"client=192.0.2.2", "client=192.0.2.1:4001", "client=unix", "client=::/0", "client=192.0.2.2/31"}},
  {"client.port", {"client.port=4000", "client.port >= 4000"}, {"client.port=4001", "client.port<4000"}},
  {"server",
   {"server=2001:db8::/32", "server=[2001:db8::1]", "server=[2001:db8::1]:8080", "server ~ '::1]'"},
   {"server=0.0.0.0/0", "server=2001:db9::/32"}},
  {"server.port", {"server.port=8000..8999"}, {"server.port=..8079", "server.port=8081.."}},
  {"port", {"port=8080", "port in (80, 8000..8100)"}, {"port=80", "port not in (8080)"}},
  {"server.path", {"server.path='/run/a b'", "server.path=/run/*"}, {"server.path=''", "server.path=/run"}},
  {"upstream", {"upstream=10.0.0.7:*"}, {"upstream=10.0.0.7"}},
  {"start",
   {"start > -2h", "start<1s", "start=2023-11-14", "start = 2h..1h", "start >= 2023-11-14", "start<=2023-11-14"},
   {"start > -1h", "start=2023-11-13", "start < 2023-11-14", "start > 2023-11-14", "start=1s.."}},
  {"end", {"end > -31m", "end = 2023-11-14T21:43:20Z", "end<now"}, {"end<-31m", "end=2023-11-14T21:43:21Z"}},
  {"since", {"since=1h", "since=2023-11-14"}, {"since=1m", "since=now", "since!=1h"}},
  {"until", {"until=1m", "until=now", "until=2023-11-15"}, {"until=2h", "until=2023-11-14"}},
  {"duration", {"duration=30m", "duration > 5s", "duration=1s..1h"}, {"duration < 30m", "duration=..29m"}},
  {"bytes", {"bytes=1049576", "bytes > 1M", "bytes=1M..2M"}, {"bytes=0", "bytes<=1M", "bytes>1049576"}},
  {"bytes.client", {"bytes.client=1000", "bytes.client=1kB"}, {"bytes.client>1000"}},
  {"bytes.server", {"bytes.server=1M", "bytes.server = 1024KiB"}, {"bytes.server<1M"}},
  {"packets", {"packets=7"}, {"packets=3"}},
  {"packets.client", {"packets.client=3"}, {"packets.client=4"}},
  {"packets.server", {"packets.server=4"}, {"packets.server=3"}},
  {"gaps", {"gaps>0"}, {"gaps=0"}},
  {"gaps.client", {"gaps.client=0"}, {"gaps.client=1.."}},
  {"gaps.server", {"gaps.server=7"}, {"gaps.server=0"}},
  {"state", {"state=closed", "state=c*", "state in (open, closed)"}, {"state=cut", "state!=closed"}},
  {"close", {"close=client-fin", "close=client-*", "close!=drain"}, {"close=server-*", "close=''"}},
  {"why", {"why=?*", "why=plug-in"}, {"why=''"}},
  {"verdict", {"verdict=reset", "verdict!=close"}, {"verdict=tarpit", "verdict=''"}},
  {"verdict.by", {"verdict.by=guard"}, {"verdict.by=g"}},
  {"tag",
   {"tag=flag", "tag=web-*", "tag!=other", "tag in (x, noise)", "tag=*"},
   {"tag=fla", "tag!=noise", "not tag = flag", "tag not in (x, noise)", "tag!=*"}},
  {"held", {"held", "held=yes", "held != no", "not held = off"}, {"held=no", "not held"}},
  {"proto", {"proto=http", "proto in (ssh, http)"}, {"proto=ssh", "proto=''"}},
  {"protocol", {"protocol=h*"}, {"protocol!=http"}},
  {"conn_state", {"conn_state=RSTO", "conn_state=RST*"}, {"conn_state=SF"}},
  {"history", {"history=Sh*"}, {"history=sh*"}},
  {"community_id", {"community_id=1:LQU9*"}, {"community_id=1:x", "not community_id=*"}},
  {"masked", {"masked=5"}, {"masked=0"}},
  {"masked.client", {"masked.client>=5"}, {"masked.client>5"}},
  {"masked.server", {"masked.server=0"}, {"masked.server>0"}},
  {"segments", {"segments=2"}, {"segments=1"}},
  {"foreign", {"foreign"}, {"foreign=no"}},
  {"partial", {"partial=no", "not partial"}, {"partial"}},
  {"original", {"original=018d", "original != 018c"}, {"original=018c", "original=''"}},
  {"as_sent_of", {"as_sent_of=''", "as_sent_of!=018c"}, {"as_sent_of=018c"}},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0] };

static struct gg_filter *parsed(const char *expression)
{
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_filter_parse_text(&filter, expression, NOW, &failure) != 0)
    fail_msg("%s was refused: %s", expression, failure.message);
  return filter;
}

static bool expression_matches(const char *expression, const struct gg_session *session)
{
  struct gg_filter *filter = parsed(expression);
  bool result = gg_filter_match(filter, session);
  gg_filter_destroy(filter);
  return result;
}

/* The field's name must be in each of its cases, but for an id's digits. */
static void check_cases(const char *field, const char *const *texts, size_t count, bool expected)
{
  assert_non_null(texts[0]);
  for (size_t i = 0; i < count && texts[i]; i++) {
    if (!strstr(texts[i], field) && strcmp(field, "id") != 0)
      fail_msg("'%s' is no case of %s", texts[i], field);
    if (expression_matches(texts[i], &full) != expected)
      fail_msg("'%s' should be %s", texts[i], expected ? "true" : "false");
  }
}

static void each_field_has_a_case(void **state)
{
  (void)state;
  const struct gg_filter_field *field;
  for (size_t i = 0; (field = gg_filter_field_at(i)); i++) {
    size_t at = 0;
    while (at < CASE_COUNT && strcmp(cases[at].field, field->name) != 0)
      at++;
    if (at == CASE_COUNT)
      fail_msg("%s has no case", field->name);
    check_cases(field->name, cases[at].holds, 6, true);
    check_cases(field->name, cases[at].fails, 6, false);
    assert_true(strlen(field->help) > 0 && strlen(field->kind) > 0);
    assert_non_null(strstr(field->example, field->name));
    gg_filter_destroy(parsed(field->example));
    struct gg_filter *filter = NULL; /* the example is a word, too */
    assert_int_equal(gg_filter_parse(&filter, &field->example, 1, NOW, NULL), 0);
    gg_filter_destroy(filter);
    assert_int_equal(gg__filter_sort_check(field->name, NULL) == 0, field->sortable);
  }
}

static void expressions_are_combined(void **state)
{
  (void)state;
  static const char *const good[] = {"",
                                     "   ",
                                     "held and port=8080",
                                     "held port=8080",
                                     "port=80 or held",
                                     "not port=80",
                                     "not (port=80 or bytes=0)",
                                     "port=80 and held or bytes>0",
                                     "held or port=80 and port=81",
                                     "(held or port=80) and not port=81",
                                     "not not held",
                                     "held=no OR Not port=81",
                                     "held not port=81",
                                     "((((held))))",
                                     "port in(8080)",
                                     "port!=80",
                                     "port not in (80, 81) and held",
                                     "client='192.0.2.1'",
                                     "listener=\"web*1\"",
                                     "why != \"it's\"",
                                     "server.path = '/run/a b'",
                                     "held\tand\nport = 8080",
                                     "018c00 or port=80",
                                     "not held or not tag = x"};
  static const char *const bad[] = {"held and port=80",    "held port=80",       "not held",
                                    "not held or port=80", "port=80 or bytes=0", "held and (port=80 or port=81)",
                                    "why = 'plug''in'",    "not (held)",         "ffff00"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    if (!expression_matches(good[i], &full))
      fail_msg("'%s' should match", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (expression_matches(bad[i], &full))
      fail_msg("'%s' should not match", bad[i]);
}

static void errors_say_where(void **state)
{
  (void)state;
  static const struct {
    const char *expression;
    unsigned column;
    const char *says;
  } wrongs[] = {
    {"bytes > 1M and clinet = 10.0.0.1", 16, "did you mean 'client'"},
    {"bytes >", 8, "a value is expected, not the end"},
    {"bytes > 1X", 9, "1M.."},
    {"port in (80, http)", 14, "8000..8999"},
    {"port in 80", 9, "port in (A, B)"},
    {"port in (80", 12, "comma"},
    {"port in ()", 10, "a value is expected, not ')'"},
    {"port in (80,)", 13, "a value is expected"},
    {"held and", 9, "a comparison"},
    {"and held", 1, "a comparison"},
    {"held or or held", 9, "a comparison"},
    {"(held", 1, "not closed"},
    {"held)", 5, "no parenthesis to close"},
    {"why = 'x", 7, "not closed"},
    {"w\xc3\xa4hy = 1", 1, "unknown field"},
    {"listener = '\xc3\xa4\xc3\xa4' and x = 1", 21, "unknown field"},
    {"port == 80", 7, "one = is enough"},
    {"! held", 1, "write not"},
    {"held && port = 80", 6, "write and"},
    {"held || port = 80", 6, "write or"},
    {"port", 1, "port=443"},
    {"abcde", 1, "beginning of an id"},
    {"since > 1h", 9, "start"},
    {"start = 1h", 9, "start>-1h"},
    {"start > 1h..2h", 9, "range"},
    {"since = 2h..1h", 9, "range"},
    {"start = 1h..2h", 9, "2024-05-01"},
    {"bytes ~ 5", 9, "no text"},
    {"listener > 5", 12, "no order"},
    {"held > no", 8, "no order"},
    {"held = perhaps", 8, "yes or no"},
    {"tag = ''", 8, "a tag"},
    {"= 5", 1, "a comparison"},
    {"port = 80 = 80", 11, "the end"},
    {"\"port\" = 80", 2, "a comparison"},
    {"conn_state = sf", 14, "did you mean 'SF'"},
  };
  for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
    struct gg_filter *filter = NULL;
    struct gg_failure failure = GG_FAILURE_INIT;
    char column[32];
    if (gg_filter_parse_text(&filter, wrongs[i].expression, NOW, &failure) != GG_ERR_INVALID)
      fail_msg("'%s' should be refused", wrongs[i].expression);
    assert_null(filter);
    snprintf(column, sizeof column, "column %u: ", wrongs[i].column);
    if (strncmp(failure.message, column, strlen(column)) != 0 || !strstr(failure.message, wrongs[i].says))
      fail_msg("'%s': %s (not %s... %s)", wrongs[i].expression, failure.message, column, wrongs[i].says);
  }
}

/* ── Bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static char *repeated(const char *front, const char *middle, size_t times, const char *back)
{
  char *text = malloc(strlen(front) + times * strlen(middle) + strlen(back) + 1), *at = text;
  assert_non_null(text);
  at = stpcpy(at, front);
  for (size_t i = 0; i < times; i++)
    at = stpcpy(at, middle);
  stpcpy(at, back);
  return text;
}

static int parse_and_free(char *text)
{
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = gg_filter_parse_text(&filter, text, NOW, &failure);
  if (error)
    assert_non_null(strstr(failure.message, "column "));
  else
    gg_filter_match(filter, &full);
  gg_filter_destroy(filter);
  free(text);
  return error;
}

static void bounds_are_kept(void **state)
{
  (void)state;
  assert_int_equal(parse_and_free(repeated("held", " and held", GG_FILTER_TESTS_MAX - 1, "")), 0);
  assert_int_equal(parse_and_free(repeated("held", " and held", GG_FILTER_TESTS_MAX, "")), GG_ERR_LIMIT);
  assert_int_equal(parse_and_free(repeated("port in (1", ",1", GG_FILTER_TESTS_MAX, ")")), GG_ERR_LIMIT);
  assert_int_equal(parse_and_free(repeated("", "not ", GG_FILTER_DEPTH_MAX, "held")), 0);
  assert_int_equal(parse_and_free(repeated("", "not ", GG_FILTER_DEPTH_MAX + 1, "held")), GG_ERR_LIMIT);
  assert_int_equal(parse_and_free(repeated("", "(", GG_FILTER_DEPTH_MAX + 1, "held")), GG_ERR_LIMIT);
  assert_int_equal(parse_and_free(repeated("(held)", " or (held)", GG_FILTER_DEPTH_MAX + 1, "")), 0);
  assert_int_equal(parse_and_free(repeated("not held", " and not held", GG_FILTER_DEPTH_MAX + 1, "")), 0);
  assert_int_equal(parse_and_free(repeated("", " ", GG_FILTER_BYTES_MAX, "")), 0);
  assert_int_equal(parse_and_free(repeated("", " ", GG_FILTER_BYTES_MAX + 1, "")), GG_ERR_LIMIT);
  assert_int_equal(parse_and_free(repeated("tag = ", "x", GG_FILTER_VALUE_BYTES_MAX, "")), 0);
  assert_int_equal(parse_and_free(repeated("tag = ", "x", GG_FILTER_VALUE_BYTES_MAX + 1, "")), GG_ERR_LIMIT);
  assert_int_equal(parse_and_free(repeated("tag = '", "''", GG_FILTER_VALUE_BYTES_MAX, "'")), 0);
  assert_int_equal(parse_and_free(repeated("tag = '", "x", 40000, "'")), GG_ERR_LIMIT);
}

static void filters_are_joined(void **state)
{
  (void)state;
  struct gg_filter *filter = NULL;
  assert_int_equal(gg_filter_and(&filter, NULL, NULL), 0);
  assert_null(filter);
  assert_int_equal(gg_filter_and(&filter, parsed("held or port=1"), NULL), 0);
  assert_true(gg_filter_match(filter, &full));
  assert_int_equal(gg_filter_and(&filter, parsed("listener=web* and tag=fl*"), NULL), 0);
  assert_int_equal(gg_filter_and(&filter, parsed(""), NULL), 0);
  assert_true(gg_filter_match(filter, &full));
  assert_true(gg__filter_operand_match(filter, 1, "flag", 4));
  assert_false(gg__filter_operand_match(filter, 0, "flag", 4));
  assert_false(gg__filter_operand_match(filter, 2, "flag", 4));
  assert_int_equal(gg_filter_and(&filter, parsed("port=1"), NULL), 0);
  assert_false(gg_filter_match(filter, &full));
  /* What is too much is refused, and the filter stays what it was. */
  char *many = repeated("held", " held", GG_FILTER_TESTS_MAX - 1, "");
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_filter_and(&filter, parsed(many), &failure), GG_ERR_LIMIT);
  assert_non_null(strstr(failure.message, "512"));
  free(many);
  assert_false(gg_filter_match(filter, &full));
  gg_filter_destroy(filter);
}

/* ── Regular expressions ─────────────────────────────────────────────────────────────────────────────────────────── */

static void regular_expressions(void **state)
{
  (void)state;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = NULL;
  int error = gg_filter_parse_text(&filter, "tag ~ fl", NOW, &failure);
  gg_filter_destroy(filter);
  if (error == GG_ERR_UNSUPPORTED) {
    assert_non_null(strstr(failure.message, "column 7: this gogetway was built without regular expressions"));
    return;
  }
  static const char *const good[] = {"tag ~ ^fl",          "tag~web-\\d$",   "listener ~ \"^we(b|x)\"", "history !~ r",
                                     "close ~ fin",        "client~^192\\.", "tag ~ '(?i)FLAG'",        "not tag ~ zzz",
                                     "community_id ~ LQU", "why ~ '^.'"};
  static const char *const bad[] = {"tag ~ ^lag", "tag !~ fl", "verdict.by ~ '^$'", "community_id ~ ^$"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    if (!expression_matches(good[i], &full))
      fail_msg("'%s' should match", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (expression_matches(bad[i], &full))
      fail_msg("'%s' should not match", bad[i]);
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg_filter_parse_text(&filter, "tag ~ 'a[b'", NOW, &failure), GG_ERR_INVALID);
  assert_non_null(strstr(failure.message, "column 11: no regular expression"));
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg_filter_parse_text(&filter, "tag ~ a(b)", NOW, &failure), GG_ERR_INVALID);
  assert_non_null(strstr(failure.message, "column 8: a regular expression with '(' in it needs quotes"));
  assert_int_equal(parse_and_free(repeated("tag ~ ", "x", GG_FILTER_REGEX_BYTES_MAX + 1, "")), GG_ERR_LIMIT);
  assert_int_equal(parse_and_free(repeated("tag ~ '", "(", 300, "'")), GG_ERR_INVALID);
  assert_int_equal(parse_and_free(repeated("tag ~ '", "(", 60, "a{1,1000}{1,1000}{1,1000}'")), GG_ERR_INVALID);
}

/* A pattern and a text that would take longer than anyone waits: the steps are bounded, and it is no match. */
static void a_hostile_pattern_ends(void **state)
{
  (void)state;
  struct gg_filter *filter = NULL;
  if (gg_filter_parse_text(&filter, "why ~ '^(a+)+$'", NOW, NULL) == GG_ERR_UNSUPPORTED)
    return;
  struct gg_session session = full;
  char *text = repeated("", "a", 20000, "b");
  session.why = text;
  assert_false(gg_filter_match(filter, &session));
  session.why = "aaaa";
  assert_true(gg_filter_match(filter, &session));
  gg_filter_destroy(filter);
  free(text);
}

static void globs(void **state)
{
  (void)state;
  static const struct {
    const char *glob, *text;
    bool matches;
  } all[] = {{"", "", true},          {"*", "", true},           {"?", "", false},
             {"?", "\xc3\xa4", true}, {"??", "\xc3\xa4", false}, {"a*b", "ab", true},
             {"a*b", "axxb", true},   {"a*b", "axxbc", false},   {"*a*a*", "aa", true},
             {"*a*a*", "a", false},   {"a?c", "abc", true},      {"a?c", "ac", false},
             {"*.x", "a.b.x", true},  {"**", "abc", true},       {"a**c", "abc", true},
             {"*b?", "abbc", true},   {"abc", "abcd", false},    {"abcd", "abc", false},
             {"*?", "", false},       {"?*", "a", true}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (gg__glob_match(all[i].glob, all[i].text, strlen(all[i].text)) != all[i].matches)
      fail_msg("%s and %s", all[i].glob, all[i].text);
}

/* ── Facts of decoders ───────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg__truth any_fact(void *context, const struct gg_session *session, const char *field, gg__fact_fn is,
                               const void *asked)
{
  static const struct gg__fact_value status[] = {{NULL, 200}, {NULL, 404}}, host = {"api.example", 0};
  assert_ptr_equal(context, (void *)&full);
  assert_ptr_equal(session, &full);
  if (strcmp(field, "http.many") == 0)
    return is(asked, &host) ? GG__YES : GG__PERHAPS;
  if (strcmp(field, "http.host") == 0)
    return is(asked, &host) ? GG__YES : GG__NO;
  return strcmp(field, "http.status") == 0 && (is(asked, &status[0]) || is(asked, &status[1])) ? GG__YES : GG__NO;
}

static void facts_that_are_not_all_known(const struct gg__facts_table *table, const struct gg__fact_source *source)
{
  static const struct {
    const char *text;
    enum gg__truth truth;
  } many[] = {
    {"http.many = api*", GG__YES},
    {"http.many != api*", GG__NO},
    {"http.many = x", GG__PERHAPS},
    {"http.many != x", GG__PERHAPS},
    {"not (http.many = x or http.status = 200)", GG__NO},
    {"http.many = x or http.status = 200", GG__YES},
    {"http.many = x and http.status = 500", GG__NO},
    {"not (http.many = x and http.status = 200)", GG__PERHAPS},
  };
  for (size_t i = 0; i < sizeof many / sizeof many[0]; i++) {
    struct gg_filter *filter = NULL;
    assert_int_equal(gg__filter_parse_with(&filter, many[i].text, NOW, table, NULL), 0);
    if (gg__filter_judge(filter, &full, source) != many[i].truth)
      fail_msg("%s", many[i].text);
    assert_string_equal(gg__filter_fact(filter, NULL), "http.many");
    assert_true(gg__filter_fact(filter, "http.many") == NULL || strstr(many[i].text, "http.status"));
    gg_filter_destroy(filter);
  }
}

static void facts_are_fields(void **state)
{
  (void)state;
  struct gg__facts_table *table = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg__facts_table_create(&table), 0);
  assert_int_equal(gg__facts_table_add(table, "http.status", GG__KIND_NUMBER, "status", "http.status=404", NULL), 0);
  assert_int_equal(gg__facts_table_add(table, "http.host", GG__KIND_TEXT, "host", "http.host=api*", NULL), 0);
  assert_int_equal(gg__facts_table_add(table, "http.none", GG__KIND_TEXT, "none", "http.none=x", NULL), 0);
  assert_int_equal(gg__facts_table_add(table, "http.host", GG__KIND_TEXT, "again", "x", NULL), 0);
  assert_int_equal(gg__facts_table_add(table, "http.host", GG__KIND_NUMBER, "x", "x", &failure), GG_ERR_INVALID);
  static const char *const no_names[] = {"",       "http",     "http.",        ".x",     "http..x",
                                         "Http.x", "http.x y", "bytes.client", "http.-x"};
  for (size_t i = 0; i < sizeof no_names / sizeof no_names[0]; i++)
    assert_int_equal(gg__facts_table_add(table, no_names[i], GG__KIND_TEXT, "x", "x", NULL), GG_ERR_INVALID);
  assert_string_equal(gg__facts_table_at(table, 1)->shown.name, "http.host");
  assert_null(gg__facts_table_at(table, 3));
  assert_int_equal(gg__facts_table_add(table, "http.many", GG__KIND_TEXT, "many", "http.many=x", NULL), 0);
  const struct gg__fact_source source = {(void *)&full, any_fact};
  static const struct {
    const char *text;
    bool with, without;
  } all[] = {
    {"http.status = 200", true, false},
    {"http.status = 404 and http.status = 200", true, false},
    {"http.status != 200", false, true},
    {"not http.status = 200", false, true},
    {"http.status > 400", true, false},
    {"http.status = 201..399", false, false},
    {"http.status in (500, 404)", true, false},
    {"http.host = api*", true, false},
    {"http.host = api", false, false},
    {"http.host != other", true, true},
    {"http.none = x", false, false},
    {"http.none != x", true, true},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    struct gg_filter *filter = NULL;
    assert_int_equal(gg__filter_parse_with(&filter, all[i].text, NOW, table, NULL), 0);
    if (gg__filter_judge(filter, &full, &source) != (all[i].with ? GG__YES : GG__NO) ||
        gg_filter_match(filter, &full) != all[i].without)
      fail_msg("%s", all[i].text);
    assert_true(gg_filter_may_match(filter, &full));
    gg_filter_destroy(filter);
  }
  facts_that_are_not_all_known(table, &source);
  struct gg_filter *filter = NULL;
  assert_int_equal(gg__filter_parse_with(&filter, "http.stauts = 200", NOW, table, &failure), GG_ERR_INVALID);
  failure = (struct gg_failure)GG_FAILURE_INIT;
  gg__filter_parse_with(&filter, "http.stauts = 200", NOW, table, &failure);
  assert_non_null(strstr(failure.message, "did you mean 'http.status'"));
  assert_int_equal(gg_filter_parse_text(&filter, "many.f1 = 200", NOW, NULL), GG_ERR_INVALID);
  assert_int_equal(gg_filter_parse_text(&filter, "http.status = 200", NOW, NULL), 0); /* of a built-in decoder */
  gg_filter_destroy(filter);
  for (int i = 0; i < GG_FILTER_FACTS_MAX - 4; i++) {
    char name[32];
    snprintf(name, sizeof name, "many.f%d", i);
    assert_int_equal(gg__facts_table_add(table, name, GG__KIND_TEXT, "x", "x", NULL), 0);
  }
  assert_int_equal(gg__facts_table_add(table, "one.more", GG__KIND_TEXT, "x", "x", NULL), GG_ERR_LIMIT);
  gg__filter_parse_with(&filter, "nothing.like = this", NOW, table, NULL); /* all of their names are looked at */
  gg__facts_table_destroy(table);
}

/* ── Replayed instead of others ──────────────────────────────────────────────────────────────────────────────────── */

static void as_sent_is_named(void **state)
{
  (void)state;
  struct gg_session sent = full;
  sent.as_sent_of = "018c00000000000000000def";
  static const struct {
    const char *text;
    bool named;
  } all[] = {{"id=018c", false},
             {"id=018c00000000000000000a", true},
             {"not id=018c00000000000000000a", false},
             {"not (port=1 or not id=018c00000000000000000a)", true},
             {"id in (ff, 018c00000000000000000a)", true},
             {"as_sent_of=018c", true},
             {"port=8080", false}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    struct gg_filter *filter = parsed(all[i].text);
    if (gg_filter_names_as_sent(filter, &sent) != all[i].named)
      fail_msg("%s", all[i].text);
    gg_filter_destroy(filter);
  }
  assert_false(gg_filter_names_as_sent(NULL, &sent));
}

/* Of what has begun not all is known: an `or` with what is not known may still come true. */
static void expressions_may_match(void **state)
{
  (void)state;
  static const char *const may[] = {"port=81 or bytes>0", "not (port=8080 and bytes>0)", "not bytes>0", ""};
  static const char *const never[] = {"port=81 and bytes>0", "not (port=8080 or bytes>0)", "not not port=81"};
  for (size_t i = 0; i < sizeof may / sizeof may[0]; i++) {
    struct gg_filter *filter = parsed(may[i]);
    if (!gg_filter_may_match(filter, &full))
      fail_msg("%s", may[i]);
    gg_filter_destroy(filter);
  }
  for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
    struct gg_filter *filter = parsed(never[i]);
    if (gg_filter_may_match(filter, &full))
      fail_msg("%s", never[i]);
    gg_filter_destroy(filter);
  }
}

/* ── Order ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void sorting(void **state)
{
  (void)state;
  struct gg_session a = full, b = full;
  struct gg_failure failure = GG_FAILURE_INIT;
  bool down;
  b.bytes[0]++;
  b.start_ns--;
  assert_true(gg__filter_sort_compare("bytes", &a, &b) < 0);
  assert_true(gg__filter_sort_compare("-bytes", &a, &b) > 0);
  assert_true(gg__filter_sort_compare(NULL, &a, &b) > 0);
  assert_true(gg__filter_sort_compare("start", &a, &b) > 0);
  /* What is equal is in order of start, upwards either way. */
  assert_true(gg__filter_sort_compare("packets", &a, &b) > 0);
  assert_true(gg__filter_sort_compare("-packets", &a, &b) > 0);
  snprintf(b.client, sizeof b.client, "%s", "unix");
  assert_true(gg__filter_sort_compare("client.port", &a, &b) > 0); /* none comes first */
  snprintf(b.client, sizeof b.client, "%s", "192.0.2.10:1");
  assert_true(gg__filter_sort_compare("client", &a, &b) < 0); /* as addresses, not as texts */
  snprintf(a.client, sizeof a.client, "%s", "192.0.2.9:1");
  assert_true(gg__filter_sort_compare("client", &a, &b) < 0);
  assert_string_equal(gg__filter_sort_column("-bytes", &down), "bytes");
  assert_true(down);
  assert_string_equal(gg__filter_sort_column(NULL, &down), "start_ns");
  assert_false(down);
  assert_string_equal(gg__filter_sort_column("client", &down), "client_key");
  assert_null(gg__filter_sort_column("tag", &down));
  assert_null(gg__filter_sort_column("nothing", &down));
  assert_int_equal(gg__filter_sort_check("-byts", &failure), GG_ERR_INVALID);
  assert_non_null(strstr(failure.message, "did you mean 'bytes'"));
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg__filter_sort_check("since", &failure), GG_ERR_INVALID);
  assert_non_null(strstr(failure.message, "no order"));
  assert_int_equal(gg__filter_sort_check("", NULL), GG_ERR_INVALID);
  assert_int_equal(gg__filter_sort_check("-", NULL), GG_ERR_INVALID);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_key_matches),
    cmocka_unit_test(what_begins_may_match),
    cmocka_unit_test(all_words_must_hold),
    cmocka_unit_test(each_reason_is_known),
    cmocka_unit_test(refusals_say_what_is_right),
    cmocka_unit_test(each_field_has_a_case),
    cmocka_unit_test(expressions_are_combined),
    cmocka_unit_test(errors_say_where),
    cmocka_unit_test(bounds_are_kept),
    cmocka_unit_test(filters_are_joined),
    cmocka_unit_test(regular_expressions),
    cmocka_unit_test(a_hostile_pattern_ends),
    cmocka_unit_test(globs),
    cmocka_unit_test(facts_are_fields),
    cmocka_unit_test(as_sent_is_named),
    cmocka_unit_test(expressions_may_match),
    cmocka_unit_test(sorting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
