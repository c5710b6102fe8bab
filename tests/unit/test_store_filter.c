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

#include "store/sweep.h"

#include <gogetway/store.h>
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
  assert_non_null(strstr(refusal("=x"), "unknown filter key"));
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

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_key_matches),           cmocka_unit_test(what_begins_may_match),
    cmocka_unit_test(all_words_must_hold),        cmocka_unit_test(each_reason_is_known),
    cmocka_unit_test(refusals_say_what_is_right),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
