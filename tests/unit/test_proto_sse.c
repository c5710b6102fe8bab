/* SPDX-License-Identifier: Apache-2.0 */
/* Server-Sent Events in responses of HTTP/1, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transcript.h"

#define REQUEST "GET /e HTTP/1.0\r\n\r\n"
#define EVENTS "HTTP/1.0 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n"

/* Keeps the lines about events. */
static void keep_events(char *told)
{
  char *to = told;
  for (char *line = told, *next; *line; line = next) {
    char *end = strchr(line, '\n');
    next = end ? end + 1 : line + strlen(line);
    const char *kind = strstr(line, " event ");
    if (!kind || kind > next)
      continue;
    memmove(to, line, (size_t)(next - line));
    to += next - line;
  }
  *to = '\0';
}

static void tell(const char *wanted, const struct piece *pieces, size_t count)
{
  char *told = transcript_checked(NULL, pieces, count);
  keep_events(told);
  assert_string_equal(told, wanted);
  free(told);
}
#define TELL_EVENTS(wanted, ...)                                                                                       \
  do {                                                                                                                 \
    const struct piece pieces[] = {CLIENT(REQUEST), __VA_ARGS__};                                                      \
    tell(wanted, pieces, sizeof pieces / sizeof *pieces);                                                              \
  } while (0)

/* Those of the HTML standard, 9.2.6. */
static void examples_of_the_standard(void **state)
{
  (void)state;
  TELL_EVENTS("3 event server 67+30 at 1010..1010 answers 1 body 10 (8 raw, 0008960c15d5fd07) YHOO\\x0a+2\\x0a10\n",
              SERVER(EVENTS "data: YHOO\ndata: +2\ndata: 10\n\n"), SERVER_END);
  TELL_EVENTS(
    "3 event server 82+25 at 1010..1010 answers 1 sse.id=1 body 11 (11 raw, 01333bf56a93952a) first_event\n"
    "4 event server 107+22 at 1010..1010 answers 1 sse.id= body 12 (12 raw, 29bcb0677e2ca3ee) second_event\n"
    "5 event server 129+20 at 1010..1010 answers 1 body 12 (12 raw, 0ca47d29a453ce81) _third_event\n",
    SERVER(EVENTS ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
    SERVER_END);
  TELL_EVENTS("3 event server 67+6 at 1010..1010 answers 1\n"
              "4 event server 73+11 at 1010..1010 answers 1 body 1 (0 raw, 000000000000000a) \\x0a\n"
              "5 event server 84+5 at 1010..1010 answers 1 cut\n",
              SERVER(EVENTS "data\n\ndata\ndata\n\ndata:"), SERVER_END);
  TELL_EVENTS("3 event server 67+11 at 1010..1010 answers 1 body 4 (4 raw, 0000000000364492) test\n"
              "4 event server 78+12 at 1010..1010 answers 1 body 4 (4 raw, 0000000000364492) test\n",
              SERVER(EVENTS "data:test\n\ndata: test\n\n"), SERVER_END);
}

static void ends_of_lines(void **state)
{
  (void)state;
  TELL_EVENTS("3 event server 70+20 at 1010..1010 answers 1 sse.event=a body 1 (1 raw, 0000000000000031) 1\n"
              "4 event server 91+17 at 1010..1010 answers 1 body 3 (2 raw, 000000000000bd1b) 2\\x0a3\n"
              "5 event server 108+18 at 1010..1010 answers 1 body 3 (2 raw, 000000000000c49f) 4\\x0a5\n",
              SERVER(EVENTS "\xef\xbb\xbf"
                            "event: a\r\ndata: 1\r\n\r\ndata: 2\rdata: 3\r\rdata: 4\ndata: 5\r\n\n"),
              SERVER_END);
  TELL_EVENTS("3 event server 67+10 at 1010..1010 answers 1 body 1 (1 raw, 0000000000000031) 1\n"
              "4 event server 78+9 at 1030..1030 answers 1 body 1 (1 raw, 0000000000000032) 2\n",
              SERVER(EVENTS "data: 1\r\n\r"), SERVER("\n"), SERVER("data: 2\n\n"), SERVER_END);
}

static void other_fields(void **state)
{
  (void)state;
  TELL_EVENTS("3 event server 67+81 at 1010..1010 answers 1 sse.event=price sse.id=17_a sse.retry=2500 body 1 (1 raw, "
              "0000000000000078) x\n"
              "4 event server 161+11 at 1010..1010 answers 1 sse.id=alone\n",
              SERVER(EVENTS "event: price\nid: 17 a\nretry: 2500\nretry: soon\ndatabases: none\n: comment\ndata: x\n\n"
                            ":\n\n: ping\r\n\r\nid: alone\n\n"),
              SERVER_END);
}

static void a_long_value_is_cut(void **state)
{
  (void)state;
  char events[2048], wanted[2048];
  char name[301];
  memset(name, 'n', 300);
  name[300] = '\0';
  int length = snprintf(events, sizeof events, EVENTS "event: %s\ndata: x\n\n", name);
  snprintf(wanted, sizeof wanted,
           "3 event server 67+317 at 1010..1010 answers 1 sse.event=%.256s... body 1 (1 raw, 0000000000000078) x\n",
           name);
  const struct piece pieces[] = {CLIENT(REQUEST), {GG_SIDE_SERVER, events, (size_t)length, false}, SERVER_END};
  tell(wanted, pieces, 3);
}

static void within_chunks(void **state)
{
  (void)state;
  TELL_EVENTS("3 event server 83+21 at 1010..1020 answers 1 body 3 (3 raw, 000000000001ae66) one\n"
              "4 event server 109+10 at 1020..1030 answers 1 cut\n",
              SERVER("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "5\r\ndata:\r\n4\r\n one\r\n"),
              SERVER("2\r\n\n\n\r\n3\r\ndat\r\n"), SERVER("0\r\n\r\n"));
}

static void behind_a_gap(void **state)
{
  (void)state;
  TELL_EVENTS("3 event server 67+9 at 1010..1010 answers 1 body 1 (1 raw, 0000000000000031) 1\n"
              "4 event server 76+7 at 1010..1010 answers 1 cut gap body 1 (1 raw, 0000000000000032) 2\n"
              "5 event server 106+9 at 1030..1030 answers 1 body 1 (1 raw, 0000000000000035) 5\n",
              SERVER(EVENTS "data: 1\n\ndata: 2"), SERVER_GAP(7), SERVER("ata: 3\ndata: 4\n\ndata: 5\n\n"), SERVER_END);
}

/* Compressed events are nobody's here; neither are those of another type. */
static void what_is_not_split(void **state)
{
  (void)state;
  TELL_EVENTS("",
              SERVER("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\ndata: x\n\n"),
              SERVER_END);
  TELL_EVENTS("", SERVER("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\ndata: x\n\n"), SERVER_END);
}

/* Its memory is refused at each point: it ends, and that is all. */
static void memory_is_refused(void **state)
{
  (void)state;
  const struct piece pieces[] = {CLIENT(REQUEST), SERVER(EVENTS "event: a\ndata: 1\n\nevent: b\ndata: 2\n\n"),
                                 SERVER_END};
  unsigned ended = 0;
  for (size_t bytes = 1; bytes < 40000; bytes += 61) {
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.memory_max = bytes;
    char *told = transcript_of(&options, pieces, 3, CUT_RANDOMLY, (unsigned)bytes);
    ended += strstr(told, "limit") != NULL;
    free(told);
  }
  assert_true(ended > 10);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(examples_of_the_standard), cmocka_unit_test(ends_of_lines),     cmocka_unit_test(other_fields),
    cmocka_unit_test(a_long_value_is_cut),      cmocka_unit_test(within_chunks),     cmocka_unit_test(behind_a_gap),
    cmocka_unit_test(what_is_not_split),        cmocka_unit_test(memory_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
