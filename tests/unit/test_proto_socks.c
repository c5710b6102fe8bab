/* SPDX-License-Identifier: Apache-2.0 */
/* SOCKS 4, 4a and 5: what is told of each step, of refusals, and that what follows is told anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"

#define IS "is socks from 0 0\n"
#define GREETED                                                                                                        \
  "1 greeting client 0+3 at 1000..1000 request control socks.version=5 socks.method=none\n"                            \
  "2 method server 0+2 at 1010..1010 answers 1 completes control socks.method=none\n"
#define HTTP_REQUEST "GET / HTTP/1.0\r\n\r\n"

static void version_5_without_a_password(void **state)
{
  (void)state;
  TELL(IS GREETED
       "3 request client 3+18 at 1020..1020 request control socks.command=connect socks.destination=example.org:80\n"
       "4 reply server 2+10 at 1030..1030 answers 3 completes control socks.reply=succeeded "
       "socks.bound=192.0.2.7:4096\n"
       "is http1 from 21 12\n"
       "5 request client 21+18 at 1040..1040 request http.method=GET http.target=/ http.path=/ http.version=1.0\n"
       "6 response server 12+19 at 1050..1050 answers 5 completes http.status=204 http.reason=No http.version=1.1\n",
       CLIENT("\5\1\0"), SERVER("\5\0"), CLIENT("\5\1\0\3\013example.org\0\120"), SERVER("\5\0\0\1\300\0\2\7\20\0"),
       CLIENT(HTTP_REQUEST), SERVER("HTTP/1.1 204 No\r\n\r\n"));
}

static void version_5_with_a_password(void **state)
{
  (void)state;
  TELL(IS "1 greeting client 0+4 at 1000..1000 request control socks.version=5 socks.method=none "
          "socks.method=password\n"
          "2 method server 0+2 at 1010..1010 answers 1 completes control socks.method=password\n"
          "3 password client 4+13 at 1020..1020 request control socks.user=anna socks.password=*secret\n"
          "4 status server 2+2 at 1030..1030 answers 3 completes control socks.status=0\n"
          "5 request client 17+22 at 1040..1040 request control socks.command=connect "
          "socks.destination=[2001:db8::7]:443\n"
          "6 reply server 4+10 at 1050..1050 answers 5 completes control socks.reply=refused socks.bound=0.0.0.0:0\n",
       CLIENT("\5\2\0\2"), SERVER("\5\2"), CLIENT("\1\4anna\6secret"), SERVER("\1\0"),
       CLIENT("\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\7\1\273"), SERVER("\5\5\0\1\0\0\0\0\0\0"), SERVER_END,
       CLIENT_END);
}

static void what_is_said_before_it_is_answered_waits(void **state)
{
  (void)state;
  TELL(IS GREETED
       "3 request client 3+10 at 1000..1000 request control socks.command=connect socks.destination=192.0.2.7:80\n"
       "4 reply server 2+10 at 1010..1010 answers 3 completes control socks.reply=succeeded socks.bound=0.0.0.0:0\n"
       "is http1 from 13 12\n"
       "5 request client 13+18 at 1000..1000 request http.method=GET http.target=/ http.path=/ http.version=1.0\n",
       CLIENT("\5\1\0\5\1\0\1\300\0\2\7\0\120" HTTP_REQUEST), SERVER("\5\0\5\0\0\1\0\0\0\0\0\0"));
}

static void a_bind_has_two_replies(void **state)
{
  (void)state;
  TELL(IS GREETED
       "3 request client 3+10 at 1020..1020 request control socks.command=bind socks.destination=192.0.2.7:80\n"
       "4 reply server 2+10 at 1030..1030 answers 3 control socks.reply=succeeded socks.bound=192.0.2.1:99\n"
       "5 reply server 12+10 at 1040..1040 answers 3 completes control socks.reply=succeeded "
       "socks.bound=192.0.2.7:80\n"
       "is http1 from 13 22\n"
       "6 request client 13+18 at 1050..1050 request http.method=GET http.target=/ http.path=/ http.version=1.0\n",
       CLIENT("\5\1\0"), SERVER("\5\0"), CLIENT("\5\2\0\1\300\0\2\7\0\120"), SERVER("\5\0\0\1\300\0\2\1\0\143"),
       SERVER("\5\0\0\1\300\0\2\7\0\120"), CLIENT(HTTP_REQUEST));
}

static void version_4_and_4a(void **state)
{
  (void)state;
  TELL(IS "1 request client 0+13 at 1000..1000 request control socks.version=4 socks.user=anna socks.command=connect "
          "socks.destination=192.0.2.7:80\n"
          "2 reply server 0+8 at 1010..1010 answers 1 completes control socks.reply=succeeded socks.bound=0.0.0.0:0\n"
          "is http1 from 13 8\n"
          "3 request client 13+18 at 1020..1020 request http.method=GET http.target=/ http.path=/ http.version=1.0\n",
       CLIENT("\4\1\0\120\300\0\2\7anna\0"), SERVER("\0\132\0\0\0\0\0\0"), CLIENT(HTTP_REQUEST));
  TELL("is socks from 0 0\n"
       "1 request client 0+21 at 1000..1000 request control socks.version=4a socks.command=connect "
       "socks.destination=example.org:80\n"
       "2 reply server 0+8 at 1010..1010 answers 1 completes control socks.reply=no-identd socks.bound=0.0.0.0:0\n"
       "client opaque from 21: unknown: behind a refusal\n",
       CLIENT("\4\1\0\120\0\0\0\1\0example.org\0"), SERVER("\0\134\0\0\0\0\0\0"), CLIENT("x"));
}

static void refusals_end_it(void **state)
{
  (void)state;
  TELL(IS "1 greeting client 0+3 at 1000..1000 request control socks.version=5 socks.method=password\n"
          "2 method server 0+2 at 1010..1010 answers 1 completes control socks.method=refused\n"
          "server opaque from 2: unknown: behind a refusal\n",
       CLIENT("\5\1\2"), SERVER("\5\377x"));
  TELL(IS "1 greeting client 0+3 at 1000..1000 request control socks.version=5 socks.method=password\n"
          "2 method server 0+2 at 1010..1010 answers 1 completes control socks.method=password\n"
          "3 password client 3+5 at 1020..1020 request control socks.user=a socks.password=*b\n"
          "4 status server 2+2 at 1030..1030 answers 3 completes control socks.status=1\n",
       CLIENT("\5\1\2"), SERVER("\5\2"), CLIENT("\1\1a\1b"), SERVER("\1\1"), SERVER_END);
}

static void other_ways_to_show_who_one_is_are_opaque(void **state)
{
  (void)state;
  TELL(IS "1 greeting client 0+3 at 1000..1000 request control socks.version=5 socks.method=gssapi\n"
          "2 method server 0+2 at 1010..1010 answers 1 completes control socks.method=gssapi\n"
          "server opaque from 2: encrypted: GSSAPI (RFC 1961)\n"
          "client opaque from 3: encrypted: GSSAPI (RFC 1961)\n",
       CLIENT("\5\1\1"), SERVER("\5\1"), CLIENT("\1\1\0\2xx"));
  TELL(IS GREETED
       "3 request client 3+10 at 1020..1020 request control socks.command=udp-associate socks.destination=0.0.0.0:0\n"
       "4 reply server 2+10 at 1030..1030 answers 3 completes control socks.reply=succeeded "
       "socks.bound=192.0.2.1:99\n"
       "client opaque from 13: unknown: on the connection of a UDP association\n",
       CLIENT("\5\1\0"), SERVER("\5\0"), CLIENT("\5\3\0\1\0\0\0\0\0\0"), SERVER("\5\0\0\1\300\0\2\1\0\143"),
       CLIENT("x"));
}

static void odd_steps_are_named_or_opaque(void **state)
{
  (void)state;
  TELL(IS "1 greeting client 0+3 at 1000..1000 request control socks.version=5 socks.method=none\n"
          "2 method server 0+2 at 1010..1010 answers 1 completes odd control socks.method=password "
          "socks.odd=method-not-offered\n"
          "client opaque from 3: failed: no name and password of RFC 1929\n"
          "server opaque from 2: failed: no name and password of RFC 1929\n",
       CLIENT("\5\1\0"), SERVER("\5\2"), CLIENT("\5\1\0\1"));
  TELL(IS GREETED
       "3 request client 3+12 at 1020..1020 request odd control socks.command=0x09 socks.destination=a\\x00b.c:80 "
       "socks.odd=reserved-byte\n"
       "client opaque from 15: cut: ends in the middle\n",
       CLIENT("\5\1\0"), SERVER("\5\0"), CLIENT("\5\011\1\3\5a\0b.c\0\120early"));
}

static void it_is_told_from_others(void **state)
{
  (void)state;
  static const struct {
    const char *bytes;
    size_t length;
    enum gg_likeness wanted;
  } openings[] = {
    {"\5", 1, GG_LIKENESS_OPEN},         {"\5\2\0", 3, GG_LIKENESS_OPEN},     {"\5\2\0\2", 4, GG_LIKENESS_LIKELY},
    {"\5\0", 2, GG_LIKENESS_NONE},       {"\5\2\0\0", 4, GG_LIKENESS_NONE},   {"\5\1\100", 3, GG_LIKENESS_NONE},
    {"\4\1\0\120", 4, GG_LIKENESS_OPEN}, {"\4\3\0\120", 4, GG_LIKENESS_NONE}, {"GET / HTTP", 10, GG_LIKENESS_NONE},
    {"\26\3\1", 3, GG_LIKENESS_NONE},    {"SSH-2.0", 7, GG_LIKENESS_NONE},    {"*1\r\n", 4, GG_LIKENESS_NONE},
  };
  const struct gg_decoder *decoder = gg_decoder_find("socks");
  for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
    struct gg_opening opening = {.data = {(const uint8_t *)openings[i].bytes, (const uint8_t *)""},
                                 .length = {openings[i].length, 0}};
    assert_int_equal(decoder->identify(&opening), openings[i].wanted);
  }
}

static void hostile_sessions_are_survived(void **state)
{
  (void)state;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = "socks";
  const struct piece five[] = {CLIENT("\5\2\0\2"),
                               SERVER("\5\2"),
                               CLIENT("\1\4anna\6secret"),
                               SERVER("\1\0"),
                               CLIENT("\5\1\0\3\013example.org\0\120"),
                               SERVER("\5\0\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\7\1\273"),
                               CLIENT(HTTP_REQUEST)};
  hostile_cut_off(&options, five, sizeof five / sizeof *five);
  hostile_flip(&options, five, sizeof five / sizeof *five, 10000, 1);
  const struct piece four[] = {CLIENT("\4\1\0\120\0\0\0\1anna\0example.org\0"), SERVER("\0\132\0\0\0\0\0\0"),
                               CLIENT(HTTP_REQUEST)};
  hostile_cut_off(&options, four, sizeof four / sizeof *four);
  hostile_flip(&options, four, sizeof four / sizeof *four, 10000, 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(version_5_without_a_password),
    cmocka_unit_test(version_5_with_a_password),
    cmocka_unit_test(what_is_said_before_it_is_answered_waits),
    cmocka_unit_test(a_bind_has_two_replies),
    cmocka_unit_test(version_4_and_4a),
    cmocka_unit_test(refusals_end_it),
    cmocka_unit_test(other_ways_to_show_who_one_is_are_opaque),
    cmocka_unit_test(odd_steps_are_named_or_opaque),
    cmocka_unit_test(it_is_told_from_others),
    cmocka_unit_test(hostile_sessions_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
