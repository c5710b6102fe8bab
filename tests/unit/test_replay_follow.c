/* SPDX-License-Identifier: Apache-2.0 */
/* Players that wait by messages: live answers that are longer, shorter, framed in another way or in another order than
 * the recorded ones, and what messages cannot tell. */
#include "replay_checks.h"

#include <assert.h>
#include <stdio.h>

struct gg_follow *__real_gg__follow_create(struct gg_script *script, size_t session, bool replaced);
struct gg_follow *__wrap_gg__follow_create(struct gg_script *script, size_t session, bool replaced);
static unsigned followed;
static bool no_memory;
struct gg_follow *__wrap_gg__follow_create(struct gg_script *script, size_t session, bool replaced)
{
  followed++;
  return no_memory ? NULL : __real_gg__follow_create(script, session, replaced);
}

static int set_up_following(void **state)
{
  followed = 0;
  no_memory = false;
  return set_up(state);
}

static uint64_t released(enum gg_replay_release release)
{
  return fake.player->outcome.counts.released[release];
}

/* Three requests, each 10 ms behind the last byte of the answer before, which takes 5 ms. */
static void record_three(const char *const requests[3], const char *const answers[3])
{
  for (unsigned i = 0; i < 3; i++) {
    fake_send(&fake, 15 * i, requests[i]);
    fake_expect(&fake, 15 * i + 5, answers[i]);
  }
  fake_step(&fake, GG_STEP_SEND_END, 45);
  fake_step(&fake, GG_STEP_EXPECT_END, 46);
  fake_step(&fake, GG_STEP_OVER, 46);
}

static void finish(void)
{
  uint64_t now_ms = (fake.now_ns - FAKE_START) / FAKE_MS;
  fake_run(&fake, now_ms + 2000);
  if (!fake.overs)
    fake_ends(&fake, now_ms + 2000);
  fake_run(&fake, now_ms + 60000);
  assert_int_equal(fake.overs, 1);
}

#define ONE "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
#define TWO "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
#define THREE "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK(length, body) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" body
static const char *const gets[] = {ONE, TWO, THREE};
static const char *const oks[] = {OK("5", "hello"), OK("3", "two"), OK("5", "three")};

/* ── HTTP/1 ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void a_longer_body_is_waited_for_through_its_pauses(void **state)
{
  (void)state;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello ");
  fake_run(&fake, 1700); /* bytes would have gone on 20 ms later */
  check_sent(ONE);
  fake_says(&fake, 1700, "again!");
  fake_run(&fake, 1709);
  check_sent(ONE);
  fake_run(&fake, 1711); /* and not a silence later */
  check_sent(ONE TWO);
  fake_says(&fake, 1720, OK("3", "two"));
  fake_run(&fake, 1731);
  check_sent(ONE TWO THREE);
  finish();
  assert_string_equal(outcome()->decoder, "http1");
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_DECODER), 2);
  assert_int_equal(fake.stage->outcome.waited_by_messages, 1);
  assert_int_equal(fake.stage->outcome.waited_by_bytes, 0);
}

static void a_shorter_or_chunked_body_needs_no_silence(void **state)
{
  (void)state;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, OK("1", "h"));
  fake_run(&fake, 15);
  check_sent(ONE TWO);
  fake_says(&fake, 20, "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n2\r\nno\r\n");
  fake_run(&fake, 900);
  check_sent(ONE TWO);
  fake_says(&fake, 900, "0\r\n\r\n");
  fake_run(&fake, 910);
  check_sent(ONE TWO THREE);
  finish();
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_DECODER), 2);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_SILENCE), 0);
}

static void a_byte_at_a_time(void **state)
{
  (void)state;
  static const char answer[] = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 4\r\n\r\nlive";
  record_three(gets, oks);
  begin(0);
  for (unsigned i = 0; i < sizeof answer - 1; i++) {
    check_sent(ONE);
    fake_says(&fake, 100 * i, (char[]){answer[i], '\0'});
  }
  fake_run(&fake, 100 * (sizeof answer - 2) + 11);
  check_sent(ONE TWO);
  finish();
}

static void what_is_equal_is_not_decoded(void **state)
{
  (void)state;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, oks[0]);
  fake_says(&fake, 20, oks[1]);
  fake_says(&fake, 35, oks[2]);
  fake_run(&fake, 46);
  fake_ends(&fake, 46);
  check_equal();
  assert_int_equal(followed, 0);
  assert_null(outcome()->decoder);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_IDENTICAL), 2);
  assert_int_equal(fake.stage->outcome.waited_by_messages, 0);
  assert_int_equal(fake.stage->outcome.waited_by_bytes, 1);
}

static void what_was_equal_so_far_is_read_again(void **state)
{
  (void)state;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, oks[0]);
  fake_run(&fake, 15);
  assert_int_equal(followed, 0);
  fake_says(&fake, 20, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntwo");
  fake_run(&fake, 1000);
  check_sent(ONE TWO);
  fake_says(&fake, 1000, " lives");
  fake_run(&fake, 1011);
  check_sent(ONE TWO THREE);
  assert_int_equal(followed, 1);
  finish();
}

static void an_answer_to_head_has_no_body(void **state)
{
  (void)state;
  static const char *const heads[] = {HEAD, TWO, THREE};
  static const char *const answers[] = {OK("500", ""), OK("3", "two"), OK("5", "three")};
  record_three(heads, answers);
  begin(0);
  fake_says(&fake, 5, OK("700", ""));
  fake_run(&fake, 16);
  check_sent(HEAD TWO);
  finish();
}

static void an_interim_answer_completes_nothing(void **state)
{
  (void)state;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, "HTTP/1.1 103 Early Hints\r\n\r\n");
  fake_run(&fake, 2000);
  check_sent(ONE);
  fake_says(&fake, 2000, OK("2", "ok"));
  fake_run(&fake, 2011);
  check_sent(ONE TWO);
  finish();
}

/* The client goes on with its request when it is told to: by that answer, or by a last one instead. */
static void a_request_goes_on_behind_100_continue(void **state)
{
  static const char head[] = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  static const char *const answers[] = {"HTTP/1.1 100 Go on\r\n\r\n", OK("0", "")};
  static const char *const requests[] = {head, "body", THREE};
  static const char *const recorded[] = {"HTTP/1.1 100 Continue\r\n\r\n", OK("5", "hello"), OK("5", "three")};
  for (unsigned i = 0; i < 2; i++) {
    char sent[200]; /* a last answer is the one to the whole request, too */
    snprintf(sent, sizeof sent, "%sbody%s", head, i == 0 ? "" : THREE);
    record_three(requests, recorded);
    begin(0);
    fake_run(&fake, 500);
    check_sent(head);
    fake_says(&fake, 500, answers[i]);
    fake_run(&fake, 511);
    check_sent(sent);
    assert_int_equal(released(GG_REPLAY_RELEASED_BY_DECODER), 1 + i);
    tear_down(state);
    set_up_following(state);
  }
}

/* The second request went before the first had its answer, and the third when it had. */
static void record_pipelining(void)
{
  fake_send(&fake, 0, ONE TWO);
  fake_expect(&fake, 5, oks[0]);
  fake_send(&fake, 10, THREE);
  fake_expect(&fake, 20, OK("3", "two") OK("5", "three"));
  fake_send(&fake, 25, ONE);
  fake_step(&fake, GG_STEP_OVER, 30);
}

static void a_pipelining_client_waits_for_what_it_had(void **state)
{
  (void)state;
  record_pipelining();
  begin(0);
  fake_says(&fake, 5, OK("7", "longer!"));
  fake_run(&fake, 11); /* the second answer had not come in the recording either */
  check_sent(ONE TWO THREE);
  fake_says(&fake, 20, OK("3", "two"));
  fake_run(&fake, 3000);
  check_sent(ONE TWO THREE);
  fake_says(&fake, 3000, OK("5", "three"));
  fake_run(&fake, 3006);
  check_sent(ONE TWO THREE ONE);
  finish();
}

/* Both answers come at once, before the client's third request: the second one counts for later. */
static void answers_that_come_ahead_count(void **state)
{
  (void)state;
  record_pipelining();
  begin(0);
  fake_says(&fake, 5, oks[0]);
  fake_says(&fake, 6, OK("3", "TWO"));
  fake_run(&fake, 11);
  check_sent(ONE TWO THREE);
  fake_run(&fake, 1000);
  check_sent(ONE TWO THREE);
  fake_says(&fake, 1000, OK("4", "four"));
  fake_run(&fake, 1006);
  check_sent(ONE TWO THREE ONE);
  finish();
}

static void an_answer_that_goes_on_until_the_end_is_released_by_it(void **state)
{
  (void)state;
  fake.options.on_close = GG_REPLAY_CONTINUE;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
  fake_run(&fake, 2000);
  check_sent(ONE);
  fake_ends(&fake, 2000);
  fake_run(&fake, 2011);
  check_sent(ONE TWO THREE);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_END), 2);
  finish();
}

static void a_length_that_is_never_reached_meets_the_time_out(void **state)
{
  (void)state;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort");
  fake_run(&fake, 10004); /* 5 ms it took when it was recorded, and 10 s more */
  check_sent(ONE);
  fake_run(&fake, 10020);
  check_sent(ONE TWO);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_TIMEOUT), 1);
  finish();
  assert_int_equal(outcome()->difference.kind, GG_REPLAY_DIFFERENCE_BYTES);
}

/* What timed out is not waited for by each later request, too. */
static void an_answer_that_does_not_come_is_waited_for_once(void **state)
{
  (void)state;
  static const char *const requests[] = {"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", "*1\r\n$4\r\nTIME\r\n",
                                         "*1\r\n$4\r\nROLE\r\n"};
  static const char *const answers[] = {"+PONG\r\n+PONG\r\n", "$3\r\nnow\r\n", "$6\r\nmaster\r\n"};
  record_three(requests, answers);
  begin(0);
  fake_says(&fake, 5, "+PANG\r\n");
  fake_run(&fake, 10020);
  assert_int_equal(fake.send_count, 2);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_TIMEOUT), 1);
  fake_says(&fake, 10100, "+PANG\r\n");
  fake_says(&fake, 10101, "$5\r\nlater\r\n");
  fake_run(&fake, 10112);
  assert_int_equal(fake.send_count, 3);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_TIMEOUT), 1);
  finish();
}

/* ── Redis ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

#define GET "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
#define SUBSCRIBE "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n"
#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
#define PUSHED(text) "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n" text "\r\n"
#define PING "*1\r\n$4\r\nPING\r\n"
#define PONG "*2\r\n$4\r\npong\r\n$0\r\n\r\n"

static void a_value_of_another_length(void **state)
{
  (void)state;
  static const char *const requests[] = {GET, GET, GET};
  static const char *const answers[] = {"$2\r\nab\r\n", "$2\r\nab\r\n", "$2\r\nab\r\n"};
  record_three(requests, answers);
  terminator("b\r\n"); /* which is in the middle of the live one */
  begin(0);
  fake_says(&fake, 5, "$8\r\nab\r\n");
  fake_run(&fake, 1500);
  check_sent(GET);
  fake_says(&fake, 1500, "cd\r\n\r\n");
  fake_run(&fake, 1511);
  check_sent(GET GET);
  fake_says(&fake, 1520, "$-1\r\n");
  fake_run(&fake, 1531);
  check_sent(GET GET GET);
  finish();
  assert_string_equal(outcome()->decoder, "redis");
}

/* 5 ms: the subscription's answer. 1000 ms: somebody publishes. 2000 ms: the client goes on, which depends on none of
 * it but its own time. */
static void record_subscription(void)
{
  fake_send(&fake, 0, SUBSCRIBE);
  fake_expect(&fake, 5, SUBSCRIBED);
  fake_send(&fake, 10, PING);
  fake_expect(&fake, 12, PONG);
  fake_send(&fake, 15, PING);
  fake_expect(&fake, 20, PONG);
  fake_send(&fake, 30, SUBSCRIBE);
  fake_expect(&fake, 35, SUBSCRIBED);
  fake_expect(&fake, 1000, PUSHED("x"));
  fake_send(&fake, 2000, PING);
  fake_expect(&fake, 2001, PONG);
  fake_send(&fake, 2010, PING);
  fake_expect(&fake, 3000, PUSHED("y"));
  fake_send(&fake, 4000, PING);
  fake_step(&fake, GG_STEP_OVER, 5000);
}

static void what_is_published_is_not_waited_for(void **state)
{
  (void)state;
  record_subscription();
  begin(0);
  fake_says(&fake, 5, SUBSCRIBED);
  fake_says(&fake, 12, PONG);
  fake_says(&fake, 20, PONG);
  fake_says(&fake, 35, SUBSCRIBED);
  fake_run(&fake, 2000); /* nobody publishes */
  check_sent(SUBSCRIBE PING PING SUBSCRIBE PING);
  check_sent_at(sizeof(SUBSCRIBE PING PING SUBSCRIBE) - 1, UINT64_C(2000) * FAKE_MS);
  fake_says(&fake, 2001, PONG);
  fake_run(&fake, 4000);
  check_sent(SUBSCRIBE PING PING SUBSCRIBE PING PING PING);
  check_sent_at(sizeof(SUBSCRIBE PING PING SUBSCRIBE PING PING) - 1, UINT64_C(4000) * FAKE_MS);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_TIMEOUT), 0);
  finish();
}

/* It comes later, and everything is as recorded: the client has not made it another reply by going on. */
static void what_is_published_late_is_no_difference(void **state)
{
  (void)state;
  record_subscription();
  begin(0);
  fake_says(&fake, 5, SUBSCRIBED);
  fake_says(&fake, 12, PONG);
  fake_says(&fake, 20, PONG);
  fake_says(&fake, 35, SUBSCRIBED);
  fake_run(&fake, 2000);
  check_sent(SUBSCRIBE PING PING SUBSCRIBE PING);
  fake_says(&fake, 2100, PUSHED("x") PONG);
  fake_run(&fake, 4500);
  check_sent(SUBSCRIBE PING PING SUBSCRIBE PING PING PING);
  fake_says(&fake, 4600, PUSHED("y"));
  finish();
  check_equal();
}

/* ── What messages cannot tell ───────────────────────────────────────────────────────────────────────────────────── */

static void a_greeting_is_waited_for_by_bytes(void **state)
{
  (void)state;
  fake_expect(&fake, 1, "220 mail.test ESMTP ready\r\n");
  fake_send(&fake, 2, "EHLO me\r\n");
  fake_expect(&fake, 5, "250-mail.test\r\n250 HELP\r\n");
  fake_send(&fake, 6, "QUIT\r\n");
  fake_expect(&fake, 7, "221 bye\r\n");
  fake_step(&fake, GG_STEP_OVER, 9);
  begin(0);
  fake_run(&fake, 500);
  check_sent("");
  fake_says(&fake, 500, "220 other.test ESMTP\r\n");
  fake_run(&fake, 519);
  check_sent("");
  fake_run(&fake, 521); /* a silence */
  check_sent("EHLO me\r\n");
  fake_says(&fake, 600, "250-other.test\r\n250-SIZE\r\n");
  fake_run(&fake, 1800);
  check_sent("EHLO me\r\n");
  fake_says(&fake, 1800, "250 HELP\r\n");
  fake_run(&fake, 1801);
  check_sent("EHLO me\r\nQUIT\r\n");
  finish();
  assert_string_equal(outcome()->decoder, "smtp");
}

/* Prompts are learned, and a live server may have others: what they say is no more than a rule. */
static void a_prompt_that_nobody_knows_is_over_by_silence(void **state)
{
  (void)state;
  fake_expect(&fake, 1, "welcome\n> ");
  fake_send(&fake, 2, "one\n");
  fake_expect(&fake, 5, "first\n> ");
  fake_send(&fake, 6, "two\n");
  fake_expect(&fake, 7, "second\n> ");
  fake_send(&fake, 8, "three\n");
  fake_expect(&fake, 9, "third\n> ");
  fake_send(&fake, 10, "four\n");
  fake_step(&fake, GG_STEP_OVER, 12);
  begin(0);
  fake_says(&fake, 1, "Welcome!\n> ");
  fake_run(&fake, 30);
  check_sent("one\n");
  fake_says(&fake, 100, "First\n> ");
  fake_run(&fake, 102);
  check_sent("one\ntwo\n");
  fake_says(&fake, 200, "no such thing\n");
  fake_run(&fake, 1100); /* lines pause */
  check_sent("one\ntwo\n");
  fake_says(&fake, 1100, "really? ");
  fake_run(&fake, 2099);
  check_sent("one\ntwo\n");
  fake_run(&fake, 2102);
  check_sent("one\ntwo\nthree\n");
  finish();
  assert_string_equal(outcome()->decoder, "lines");
}

static void check_silence_decides(const char *const requests[3], const char *const answers[3], const char *live)
{
  record_three(requests, answers);
  begin(0);
  fake_says(&fake, 5, live);
  fake_run(&fake, 24);
  assert_int_equal(fake.send_count, 1);
  fake_run(&fake, 26);
  assert_int_equal(fake.send_count, 2);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_SILENCE), 1);
  finish();
  assert_null(outcome()->decoder);
  assert_int_equal(fake.stage->outcome.waited_by_bytes, 1);
}

static void an_unknown_protocol_is_waited_for_by_bytes(void **state)
{
  (void)state;
  static const char *const requests[] = {"\x01\x02\xff\x04", "\x01\x02\xff\x04", "\x01\x02\xff\x04"};
  static const char *const answers[] = {"\x81\x82\xff\xfe", "\x81\x82\xff\xfe", "\x81\x82\xff\xfe"};
  check_silence_decides(requests, answers, "\x81\x82\xff\xff\x01");
}

static void an_answer_of_no_protocol_is_waited_for_by_bytes(void **state)
{
  (void)state;
  check_silence_decides(gets, oks, "SSH-2.0-I am something else\r\n");
}

static void without_memory_bytes_decide(void **state)
{
  (void)state;
  no_memory = true;
  check_silence_decides(gets, oks, OK("4", "four"));
  assert_int_equal(followed, 1);
}

static void a_session_with_gaps_is_waited_for_by_bytes(void **state)
{
  (void)state;
  fake.facts.gaps = 1;
  check_silence_decides(gets, oks, OK("4", "four"));
  assert_int_equal(followed, 0);
}

static void level_bytes_follows_nothing(void **state)
{
  (void)state;
  fake.options.level = GG_REPLAY_BYTES;
  record_three(gets, oks);
  begin(0);
  fake_says(&fake, 5, OK("4", "four"));
  fake_run(&fake, 100);
  check_sent(ONE TWO THREE);
  finish();
  assert_int_equal(followed, 0);
}

static void behind_an_upgrade_to_websocket_bytes_decide(void **state)
{
  (void)state;
  static const char upgrade[] = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
#define SWITCHING(more) "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" more "\r\n"
  static const char *const requests[] = {upgrade, "\x81\x82\x01\x01\x01\x01gh", "\x81\x82\x01\x01\x01\x01gh"};
  static const char *const answers[] = {SWITCHING(""), "\x81\x02hi", "\x81\x02hi"};
  record_three(requests, answers);
  begin(0);
  fake_says(&fake, 5, SWITCHING("X-More: y\r\n"));
  fake_run(&fake, 100);
  assert_int_equal(fake.send_count, 2);
  fake_run(&fake, 5000);
  assert_int_equal(fake.send_count, 2); /* as before: something has to come */
  fake_says(&fake, 5000,
            "\x81\x03"
            "hi!");
  fake_run(&fake, 5031);
  assert_int_equal(fake.send_count, 3);
  finish();
}

/* ── Bounds and faults ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Equal, but long: it is followed from some place on, and what differs behind that is understood. */
static void a_long_session_is_followed_before_it_differs(void **state)
{
  (void)state;
  enum { BODY = 60000, ANSWERS = 20 };
  char *answer = calloc(1, BODY + 100);
  int head = snprintf(answer, 100, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
  memset(answer + head, 'x', BODY);
  for (unsigned i = 0; i < ANSWERS; i++) {
    fake_send(&fake, 20 * i, ONE);
    fake_expect(&fake, 20 * i + 5, answer);
  }
  fake_send(&fake, 500, TWO);
  fake_expect(&fake, 505, oks[1]);
  fake_send(&fake, 510, THREE);
  fake_step(&fake, GG_STEP_OVER, 600);
  begin(0);
  for (unsigned i = 0; i < ANSWERS; i++) {
    fake_says(&fake, 20 * i + 5, answer);
    assert_int_equal(followed, (i + 1) * (BODY + 100) > GG_FOLLOW_BEHIND_MAX);
  }
  fake_run(&fake, 500);
  fake_says(&fake, 505, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nT");
  fake_run(&fake, 2000);
  assert_int_equal(fake.send_count, ANSWERS + 1);
  fake_says(&fake, 2000, "WO.");
  fake_run(&fake, 2006);
  assert_int_equal(fake.send_count, ANSWERS + 2);
  free(answer);
  finish();
}

/* The recorded answer is much longer than what is read in a turn; the live one is short. */
static void a_long_recorded_answer_is_read_in_turns(void **state)
{
  (void)state;
  enum { BODY = 3 << 20, STEP = 64 << 10 };
  char head[100], *body = malloc(STEP);
  memset(body, 'x', STEP);
  snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
  fake_send(&fake, 0, ONE);
  fake_expect(&fake, 5, head);
  for (unsigned at = 0; at < BODY; at += STEP)
    fake_payload(&fake, GG_STEP_EXPECT, 5 * FAKE_MS, body, STEP, false);
  fake_send(&fake, 15, TWO);
  fake_step(&fake, GG_STEP_OVER, 20);
  begin(0);
  fake_says(&fake, 5, OK("2", "ok"));
  fake_run(&fake, 16);
  check_sent(ONE TWO);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_DECODER), 1);
  free(body);
  finish();
}

/* A plug-in has sent something else: the requests are still the same ones in number, and not where they were. */
static void what_is_sent_instead_is_followed_if_that_is_known(void **state)
{
  (void)state;
  static const char sent[] = "GET /1?token=fresh HTTP/1.1\r\nHost: a\r\n\r\n" TWO;
  fake_send(&fake, 0, ONE TWO);
  fake_expect(&fake, 5, OK("5", "hello") OK("3", "two"));
  fake_send(&fake, 15, THREE);
  for (unsigned replaced = 0; replaced < 2; replaced++) {
    struct gg_follow_turn turn;
    struct gg_follow *follow = gg__follow_create(&fake.script, 0, replaced);
    assert_non_null(follow);
    assert_int_equal(gg__follow_begin(follow, 0, 0, 0, 0, NULL), 0);
    gg__follow_sent(follow, (const uint8_t *)sent, sizeof sent - 1, 1);
    assert_int_equal(gg__follow_read(follow, 2, NULL), 1);
    gg__follow_received(follow, 0, (const uint8_t *)OK("2", "hi"), sizeof(OK("2", "hi")) - 1, 2);
    assert_int_equal(gg__follow_says(follow, &turn), replaced ? GG_FOLLOW_NOT_YET : GG_FOLLOW_UNKNOWN);
    gg__follow_received(follow, sizeof(OK("2", "hi")) - 1, (const uint8_t *)oks[1], strlen(oks[1]), 3);
    assert_int_equal(gg__follow_says(follow, &turn), replaced ? GG_FOLLOW_COMPLETE : GG_FOLLOW_UNKNOWN);
    assert_int_equal(gg__follow_is_lost(follow), !replaced);
    assert_true(!replaced || turn.live_ns == 3);
    gg__follow_destroy(follow);
  }
}

/* More requests without an answer than are kept: bytes decide, as if nobody understood them. */
static void more_requests_than_are_kept(void **state)
{
  (void)state;
  enum { PINGS = 4000, STEPS = 20 };
  static_assert(PINGS * STEPS > GG_FOLLOW_ASKS_MAX, "too many");
  char *pings = calloc(1, PINGS * (sizeof PING - 1) + 1);
  assert_non_null(pings);
  for (unsigned i = 0; i < PINGS; i++)
    memcpy(pings + i * (sizeof PING - 1), PING, sizeof PING - 1);
  for (unsigned i = 0; i < STEPS; i++)
    fake_send(&fake, 0, pings);
  free(pings);
  fake_expect(&fake, 5, "+PONG\r\n");
  fake_send(&fake, 15, GET);
  fake_step(&fake, GG_STEP_OVER, 20);
  begin(0);
  fake_says(&fake, 5, "+PANG\r\n");
  fake_run(&fake, 26);
  assert_int_equal(fake.send_count, STEPS + 1);
  assert_int_equal(followed, 1);
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_SILENCE), 1);
  finish();
}

static void a_script_that_fails_anywhere_ends_the_replay(void **state)
{
  uint64_t reads = 0;
  for (;; reads++) {
    fake.script_error = GG_ERR_CORRUPT;
    fake.script_fails_at = reads;
    record_three(gets, oks);
    fake_begin(&fake);
    fake.connected = true;
    fake_event(&fake, GG_WIRE_CONNECTED);
    for (unsigned i = 0; i < 3 && fake.overs == 0; i++) {
      fake_says(&fake, 15 * i + 5, OK("4", "live"));
      fake_run(&fake, 15 * i + 16);
    }
    if (fake.overs == 0)
      fake_ends(&fake, 100);
    assert_int_equal(fake.overs, 1);
    if (fake.script_reads <= reads)
      break;
    assert_int_equal(fake.stage->failure.code, GG_ERR_CORRUPT);
    assert_true(fake.stops > 0);
    tear_down(state);
    set_up_following(state);
  }
  assert_int_equal(released(GG_REPLAY_RELEASED_BY_DECODER), 2);
  assert_true(reads > 40);
}

#undef T
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_following, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {
    T(a_longer_body_is_waited_for_through_its_pauses),
    T(a_shorter_or_chunked_body_needs_no_silence),
    T(a_byte_at_a_time),
    T(what_is_equal_is_not_decoded),
    T(what_was_equal_so_far_is_read_again),
    T(an_answer_to_head_has_no_body),
    T(an_interim_answer_completes_nothing),
    T(a_request_goes_on_behind_100_continue),
    T(a_pipelining_client_waits_for_what_it_had),
    T(answers_that_come_ahead_count),
    T(an_answer_that_goes_on_until_the_end_is_released_by_it),
    T(a_length_that_is_never_reached_meets_the_time_out),
    T(an_answer_that_does_not_come_is_waited_for_once),
    T(a_value_of_another_length),
    T(what_is_published_is_not_waited_for),
    T(what_is_published_late_is_no_difference),
    T(a_greeting_is_waited_for_by_bytes),
    T(a_prompt_that_nobody_knows_is_over_by_silence),
    T(an_unknown_protocol_is_waited_for_by_bytes),
    T(an_answer_of_no_protocol_is_waited_for_by_bytes),
    T(without_memory_bytes_decide),
    T(a_session_with_gaps_is_waited_for_by_bytes),
    T(level_bytes_follows_nothing),
    T(behind_an_upgrade_to_websocket_bytes_decide),
    T(a_long_session_is_followed_before_it_differs),
    T(a_long_recorded_answer_is_read_in_turns),
    T(what_is_sent_instead_is_followed_if_that_is_known),
    T(more_requests_than_are_kept),
    T(a_script_that_fails_anywhere_ends_the_replay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
