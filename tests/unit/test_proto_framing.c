/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a protocol that a person has described: by delimiter, fixed size and length field, which answers which,
 * and what is said of descriptions that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"

#define TELL_FRAMED(rule, wanted, ...)                                                                                 \
  do {                                                                                                                 \
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;                                                     \
    options.framing = rule;                                                                                            \
    TELL_AS(&options, "is framing from 0 0\n" wanted, __VA_ARGS__);                                                    \
  } while (0)

static void messages_with_a_delimiter(void **state)
{
  (void)state;
  TELL_FRAMED("delimiter \"\\r\\n\"",
              "1 message client 0+5 at 1000..1000 request body 3 (3 raw, 000000000001ae66) one\n"
              "2 message client 5+5 at 1000..1000 request body 3 (3 raw, 000000000001c24c) two\n"
              "3 message server 0+2 at 1010..1010 answers 1 completes\n"
              "4 message server 2+5 at 1010..1020 answers 2 completes body 3 (3 raw, 00000000000171d8) b\\x0dc\n"
              "5 message server 7+3 at 1020..1020 unsolicited body 1 (1 raw, 0000000000000064) d\n"
              "6 message client 10+2 at 1030..1030 request cut body 2 (2 raw, 0000000000000e99) un\n",
              CLIENT("one\r\ntwo\r\n"), SERVER("\r\nb\r"), SERVER("c\r\nd\r\n"), CLIENT("un"), CLIENT_END);
}

static void a_delimiter_that_begins_within_itself(void **state)
{
  (void)state;
  TELL_FRAMED("delimiter 'aab' requests=none",
              "1 message client 0+4 at 1000..1000 body 1 (1 raw, 0000000000000061) a\n"
              "2 message client 4+3 at 1000..1000\n",
              CLIENT("aaabaab"));
}

static void messages_of_a_fixed_size(void **state)
{
  (void)state;
  TELL_FRAMED("fixed 3 requests=server",
              "1 message server 0+3 at 1000..1010 request body 3 (3 raw, 0000000000017862) abc\n"
              "2 message client 0+3 at 1020..1020 answers 1 completes body 3 (3 raw, 000000000001d199) xyz\n",
              SERVER("ab"), SERVER("c"), CLIENT("xyz"));
}

/* struct.pack(">HH", 7, 3) + b"abc" */
static void messages_with_a_length_field(void **state)
{
  (void)state;
  TELL_FRAMED(
    "length offset=2 width=2 requests=client",
    "1 message client 0+7 at 1000..1000 request framing.length=3 body 3 (3 raw, 0000000000017862) abc\n"
    "2 message client 7+4 at 1000..1000 request framing.length=0\n"
    "3 message server 0+5 at 1010..1010 answers 1 completes framing.length=1 body 1 (1 raw, 0000000000000078) x\n",
    CLIENT("\0\7\0\3abc\0\7\0\0"), SERVER("\0\1\0\1x"));
}

/* As Netty's documentation of LengthFieldBasedFrameDecoder has its examples. */
static void length_fields_as_netty_has_them(void **state)
{
  (void)state;
  /* 2 bytes length field at offset 0, do not strip header; the length is of the whole message */
  TELL_FRAMED("length width=2 adjust=-2 header=0 requests=none",
              "1 message client 0+14 at 1000..1000 framing.length=14 body 14 (14 raw, b33c6f35427cd49a) "
              "\\x00\\x0eHELLO,_WORLD\n",
              CLIENT("\0\016HELLO, WORLD"));
  /* 3 bytes length field at the end of 5 bytes header */
  TELL_FRAMED("length offset=2 width=3 requests=none",
              "1 message client 0+17 at 1000..1000 framing.length=12 body 12 (12 raw, 1a33ab683752798c) HELLO,_WORLD\n",
              CLIENT("\312\376\0\0\014HELLO, WORLD"));
  /* 3 bytes length field at the beginning of 5 bytes header */
  TELL_FRAMED("length width=3 adjust=2 header=0 requests=none",
              "1 message client 0+17 at 1000..1000 framing.length=12 body 17 (17 raw, bd323d174c9d000c) "
              "\\x00\\x00\\x0c\\xca\\xfeHELLO,_WORLD\n",
              CLIENT("\0\0\014\312\376HELLO, WORLD"));
  /* 2 bytes length field at offset 1 in the middle of 4 bytes header, strip the first header field and the length
   * field, the length field represents the length of the whole message */
  TELL_FRAMED(
    "length offset=1 width=2 adjust=-3 header=3 requests=none",
    "1 message client 0+16 at 1000..1000 framing.length=16 body 13 (13 raw, f2ae1e14dd52ed8a) \\xfeHELLO,_WORLD\n",
    CLIENT("\312\0\020\376HELLO, WORLD"));
}

static void little_endian_and_a_header_beyond_the_field(void **state)
{
  (void)state;
  TELL_FRAMED("length width=4 endian=little header=6 requests=none",
              "1 message client 0+7 at 1000..1000 framing.length=3 body 1 (1 raw, 0000000000000063) c\n"
              "2 message client 7+5 at 1000..1000 framing.length=1\n",
              CLIENT("\3\0\0\0abc\1\0\0\0x"));
}

static void a_length_that_cannot_be_is_opaque(void **state)
{
  (void)state;
  TELL_FRAMED("length width=2 adjust=-2",
              "client opaque from 0: failed: a length that is less than its header's\n"
              "1 message server 0+2 at 1010..1010 unsolicited framing.length=2\n",
              CLIENT("\0\1abc"), SERVER("\0\2"));
  TELL_FRAMED("length width=8", "client opaque from 0: failed: a length that no message has\n",
              CLIENT("\377\377\377\377\377\377\377\377"));
}

static void behind_a_gap_the_next_message_is_found(void **state)
{
  (void)state;
  TELL_FRAMED("delimiter ';'",
              "1 message client 0+2 at 1000..1000 request body 1 (1 raw, 0000000000000061) a\n"
              "2 message client 2+7 at 1000..1020 request gap body 2 (2 raw, 0000000000000c41) bc\n"
              "3 message client 9+2 at 1020..1020 body 1 (1 raw, 0000000000000064) d\n",
              CLIENT("a;b"), CLIENT_GAP(4), CLIENT("c;d;"));
  TELL_FRAMED("fixed 4",
              "1 message client 0+4 at 1000..1000 request gap body 1 (1 raw, 0000000000000061) a\n"
              "2 message client 8+4 at 1000..1020 gap body 2 (2 raw, 0000000000000c42) bd\n"
              "3 message server 0+4 at 1030..1030 body 4 (4 raw, 000000000037e9c2) wxyz\n",
              CLIENT("a"), CLIENT_GAP(9), CLIENT("bd"), SERVER("wxyz"));
  TELL_FRAMED("length width=1",
              "1 message client 0+6 at 1000..1020 request gap framing.length=5 body 2 (2 raw, 0000000000000c42) bd\n"
              "client opaque from 6: gap: bytes are missing\n"
              "server opaque from 0: gap: bytes are missing\n",
              CLIENT("\5b"), CLIENT_GAP(3), CLIENT("d"), CLIENT_GAP(1));
}

static void what_is_no_framing_is_named_with_its_column(void **state)
{
  (void)state;
  static const struct {
    const char *text, *wanted;
  } wrong[] = {
    {"", "framing, column 1: a framing is one of: delimiter \"\\r\\n\"; fixed 128; length offset=0 width=4 endian=big"},
    {"lines",
     "framing, column 1: a framing is one of: delimiter \"\\r\\n\"; fixed 128; length offset=0 width=4 endian=big"},
    {"delimiter \\n", "framing, column 11: the delimiter stands in quotes: delimiter \"\\r\\n\""},
    {"delimiter \"\\n", "framing, column 11: the delimiter's second quote is missing"},
    {"delimiter \"\\n\\\"", "framing, column 11: the delimiter's second quote is missing"},
    {"delimiter \"\"", "framing, column 11: an empty delimiter ends nothing"},
    {"delimiter \"\\q\"", "framing, column 12: an unknown escape; there are \\n \\r \\t \\0 \\\\ \\\" and \\xHH"},
    {"delimiter \"12345678901234567\"", "framing, column 11: a delimiter has at most 16 bytes"},
    {"delimiter \"x\"requests=none", "framing, column 14: a blank belongs in front of this"},
    {"delimiter \"x\" width=2", "framing, column 15: what may follow is requests=client, server or none"},
    {"fixed", "framing, column 6: a message has so many bytes, at least one: fixed 128"},
    {"fixed 0", "framing, column 7: a message has so many bytes, at least one: fixed 128"},
    {"fixed 1 requests=all", "framing, column 18: requests is client, server or none"},
    {"length", "framing, column 7: how many bytes the length field has is missing: width=4"},
    {"length width=9", "framing, column 14: width is 1 to 8 bytes: width=4"},
    {"length width=2 offset=1025", "framing, column 23: offset is 0 to 1024 bytes: offset=2"},
    {"length width=2 endian=middle", "framing, column 23: endian is big or little"},
    {"length width=2 adjust=--1", "framing, column 23: adjust is a number, which may have a minus: adjust=-4"},
    {"length width=2 header=x", "framing, column 23: header is a number of bytes: header=4"},
    {"length width=2 width=2", "framing, column 16: this is set twice"},
    {"length 2", "framing, column 8: what may follow is offset=, width=, endian=, adjust=, header= and requests="},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    assert_int_equal(gg_framing_check(wrong[i].text, &failure), GG_ERR_FORMAT);
    assert_string_equal(failure.message, wrong[i].wanted);
  }
  assert_int_equal(gg_framing_check("  delimiter  '\\x00\\''  requests=server ", NULL), 0);
  assert_int_equal(gg_framing_check("length header=4 adjust=-4 endian=big width=2 offset=2", NULL), 0);
}

static void a_framing_goes_with_no_other_decoder(void **state)
{
  (void)state;
  static const struct {
    const char *decoder, *framing, *wanted;
  } wrong[] = {
    {"http1", "fixed 1", "a framing is for the decoder 'framing', not for 'http1'\n"},
    {"framing", NULL, "the decoder 'framing' needs a framing: fixed 128\n"},
    {NULL, "fixed", "framing, column 6: a message has so many bytes, at least one: fixed 128\n"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.decoder = wrong[i].decoder;
    options.framing = wrong[i].framing;
    char *told = transcript_of(&options, NULL, 0, CUT_NOT, 0);
    assert_string_equal(told, wrong[i].wanted);
    free(told);
  }
}

static void hostile_sessions_are_survived(void **state)
{
  (void)state;
  static const char *const framings[] = {"delimiter \"\\r\\n\"", "fixed 5", "length offset=1 width=2 adjust=-2",
                                         "length width=8 header=0"};
  const struct piece pieces[] = {CLIENT("\0\0\0\0\0\0\0\5abcde\r\n"), SERVER("\0\0\4ab\r\n\r\n"), CLIENT_GAP(3),
                                 CLIENT("\r\nxx"), SERVER_END};
  for (size_t i = 0; i < sizeof framings / sizeof *framings; i++) {
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.framing = framings[i];
    hostile_cut_off(&options, pieces, sizeof pieces / sizeof *pieces);
    hostile_flip(&options, pieces, sizeof pieces / sizeof *pieces, 10000, 1);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(messages_with_a_delimiter),
    cmocka_unit_test(a_delimiter_that_begins_within_itself),
    cmocka_unit_test(messages_of_a_fixed_size),
    cmocka_unit_test(messages_with_a_length_field),
    cmocka_unit_test(length_fields_as_netty_has_them),
    cmocka_unit_test(little_endian_and_a_header_beyond_the_field),
    cmocka_unit_test(a_length_that_cannot_be_is_opaque),
    cmocka_unit_test(behind_a_gap_the_next_message_is_found),
    cmocka_unit_test(what_is_no_framing_is_named_with_its_column),
    cmocka_unit_test(a_framing_goes_with_no_other_decoder),
    cmocka_unit_test(hostile_sessions_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
