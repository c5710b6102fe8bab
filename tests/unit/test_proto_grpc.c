/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of gRPC and events of a server over HTTP/2, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http2_frames.h"

static void put_call(struct bytes *bytes, int flags, uint32_t stream, const char *path)
{
  put_headers(bytes, flags, stream, ":method", "POST", ":path", path, "content-type", "application/grpc+proto", "te",
              "trailers", NULL);
}

static void put_answer(struct bytes *bytes, uint32_t stream)
{
  put_headers(bytes, 0, stream, ":status", "200", "content-type", "application/grpc", NULL);
}

static void a_call(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_call(bytes, 0, 1, "/hello.Greeter/SayHello");
  FRAME(bytes, DATA, END_STREAM, 1, "\0\0\0\0\5world");
  said(session, GG_SIDE_CLIENT);
  put_answer(bytes, 1);
  FRAME(bytes, DATA, 0, 1, "\1\0\0\0\3hi!");
  put_headers(bytes, END_STREAM, 1, "grpc-status", "0", NULL);
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "4 grpc-message client 146+10 at 1020..1020 stream 1 grpc.compressed=0 body 5 (5 raw, "
                               "0000000006c11b92) world\n"
                               "3 request client 33+123 at 1020..1020 stream 1 request http.version=2 http.method=POST "
                               "http.target=/hello.Greeter/SayHello http.path=/hello.Greeter/SayHello "
                               "http.header[content-type]=application/grpc+proto http.type=application/grpc+proto "
                               "http.header[te]=trailers grpc.service=hello.Greeter grpc.method=SayHello body 10 (10 "
                               "raw, 000000000f4956ad) \\x00\\x00\\x00\\x00\\x05world\n"
                               "6 grpc-message server 71+8 at 1030..1030 stream 1 answers 3 grpc.compressed=1 body 3 "
                               "(3 raw, 0000000000019340) hi!\n"
                               "5 response server 9+94 at 1030..1030 stream 1 answers 3 completes http.version=2 "
                               "http.status=200 http.header[content-type]=application/grpc http.type=application/grpc "
                               "http.trailer[grpc-status]=0 grpc.status=0 body 8 (8 raw, 0000000667e41d3c) "
                               "\\x01\\x00\\x00\\x00\\x03hi!\n");
}

/* Messages and frames of DATA are cut anywhere, both sides talk at once. */
static void a_call_that_streams(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_call(bytes, 0, 1, "/chat.Chat/Talk");
  said(session, GG_SIDE_CLIENT);
  put_answer(bytes, 1);
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, PADDED, 1,
        "\x02\0\0\0\0\0"
        "\0\0\0\0\1"
        "a"
        "\0\0"
        "\0\0");
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, DATA, 0, 1,
        "\0\0\0\0\2"
        "b");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, 0, 1,
        "\0\0\6"
        "ccc");
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, DATA, 0, 1, "B");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, END_STREAM, 1,
        "CCC"
        "\0\0\0");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, END_STREAM, 1, "grpc-status", "5", "grpc-message", "no %22room%22 %zz", NULL);
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "5 grpc-message client 139+5 at 1040..1040 stream 1 grpc.compressed=0\n"
                               "6 grpc-message client 144+6 at 1040..1040 stream 1 grpc.compressed=0 body 1 (1 raw, "
                               "0000000000000061) a\n"
                               "8 grpc-message server 71+16 at 1050..1070 stream 1 answers 3 grpc.compressed=0 body 2 "
                               "(2 raw, 0000000000000c20) bB\n"
                               "7 grpc-message client 150+31 at 1040..1080 stream 1 grpc.compressed=0 body 6 (6 raw, "
                               "00000000ae90e100) cccCCC\n"
                               "9 grpc-message client 181+3 at 1080..1080 stream 1 cut\n"
                               "3 request client 33+151 at 1020..1080 stream 1 request http.version=2 http.method=POST "
                               "http.target=/chat.Chat/Talk http.path=/chat.Chat/Talk "
                               "http.header[content-type]=application/grpc+proto http.type=application/grpc+proto "
                               "http.header[te]=trailers grpc.service=chat.Chat grpc.method=Talk body 25 (25 raw, "
                               "5a8a2f4f1525463a) "
                               "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x00\\x00\\x00\\x00\\x06cccCCC\\x00"
                               "\\x00\n"
                               "4 response server 9+134 at 1030..1090 stream 1 answers 3 completes http.version=2 "
                               "http.status=200 http.header[content-type]=application/grpc http.type=application/grpc "
                               "http.trailer[grpc-status]=5 grpc.status=5 http.trailer[grpc-message]=no_%22room%22_%zz "
                               "grpc.message=no_\"room\"_%zz body 7 (7 raw, 00000000000013a2) "
                               "\\x00\\x00\\x00\\x00\\x02bB\n");
}

static void calls_that_fail(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_call(bytes, END_STREAM, 1, "/a.B/C");
  put_call(bytes, END_STREAM, 3, "nothing");
  put_call(bytes, 0, 5, "/a.B/C");
  FRAME(bytes, DATA, 0, 5, "\xf0\0\0\0\x09half");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, END_STREAM, 1, ":status", "200", "content-type", "application/grpc", "grpc-status", "12", NULL);
  put_headers(bytes, END_STREAM, 3, ":status", "415", "grpc-status", "x", NULL);
  FRAME(bytes, RST_STREAM, 0, 5, "\0\0\0\x08");
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 request client 33+87 at 1020..1020 stream 1 request http.version=2 http.method=POST "
                               "http.target=/a.B/C http.path=/a.B/C http.header[content-type]=application/grpc+proto "
                               "http.type=application/grpc+proto http.header[te]=trailers grpc.service=a.B "
                               "grpc.method=C\n"
                               "4 request client 120+88 at 1020..1020 stream 3 request odd http.version=2 "
                               "http.method=POST http.target=nothing http.path=nothing "
                               "http.header[content-type]=application/grpc+proto http.type=application/grpc+proto "
                               "http.header[te]=trailers grpc.odd=no-method\n"
                               "7 response server 9+69 at 1030..1030 stream 1 answers 3 completes http.version=2 "
                               "http.status=200 http.header[content-type]=application/grpc http.type=application/grpc "
                               "http.header[grpc-status]=12 grpc.status=12\n"
                               "8 response server 78+37 at 1030..1030 stream 3 answers 4 completes http.version=2 "
                               "http.status=415 http.header[grpc-status]=x\n"
                               "6 grpc-message client 304+9 at 1020..1020 stream 5 cut odd grpc.compressed=0 "
                               "grpc.odd=unknown-flags body 4 (4 raw, 000000000030c033) half\n"
                               "5 request client 208+105 at 1020..1020 stream 5 request cut http.version=2 "
                               "http.method=POST http.target=/a.B/C http.path=/a.B/C "
                               "http.header[content-type]=application/grpc+proto http.type=application/grpc+proto "
                               "http.header[te]=trailers grpc.service=a.B grpc.method=C http2.error=CANCEL body 9 (9 "
                               "raw, 0000ba2b00d7a4ac) \\xf0\\x00\\x00\\x00\\x09half\n"
                               "9 reset server 115+13 at 1030..1030 stream 5 answers 5 completes control "
                               "http2.error=CANCEL\n");
}

static void behind_a_hole(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_call(bytes, 0, 1, "/a.B/C");
  put_head(bytes, 5 + 4 + 6 + 6, DATA, 0, 1);
  put(bytes, "\0\0\0\0\4a", 6);
  said(session, GG_SIDE_CLIENT);
  missing(session, GG_SIDE_CLIENT, 3); /* within a message */
  put(bytes,
      "\0\0\0\0\1b"
      "\0\0",
      8);
  said(session, GG_SIDE_CLIENT);
  missing(session, GG_SIDE_CLIENT, 4); /* where one begins is not known any more */
  FRAME(bytes, DATA, END_STREAM, 1, "\0\0\0\0\1c");
  said(session, GG_SIDE_CLIENT);
  session_tells(session, HELLO "4 grpc-message client 129+9 at 1020..1020 stream 1 gap grpc.compressed=0 body 1 (1 "
                               "raw, 0000000000000061) a\n"
                               "5 grpc-message client 138+6 at 1040..1040 stream 1 grpc.compressed=0 body 1 (1 raw, "
                               "0000000000000062) b\n"
                               "6 grpc-message client 144+2 at 1040..1040 stream 1 cut gap\n"
                               "3 request client 33+132 at 1020..1060 stream 1 request gap http.version=2 "
                               "http.method=POST http.target=/a.B/C http.path=/a.B/C "
                               "http.header[content-type]=application/grpc+proto http.type=application/grpc+proto "
                               "http.header[te]=trailers grpc.service=a.B grpc.method=C body 20 (20 raw, "
                               "845177a148e6aa20) "
                               "\\x00\\x00\\x00\\x00\\x04a\\x00\\x00\\x00\\x00\\x01b\\x00\\x00\\x00\\x00\\x00\\x00\\x01"
                               "c\n");
}

static void events(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_headers(bytes, END_STREAM, 1, ":method", "GET", ":path", "/events", NULL);
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, 0, 1, ":status", "200", "content-type", "text/event-stream", NULL);
  FRAME(bytes, DATA, 0, 1, "event: tick\nda");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, PING, 0, 0, "12345678");
  FRAME(bytes, DATA, PADDED, 1, "\x03ta: 1\nid: 7\n\ndata: 2\0\0\0");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, END_STREAM, 1, "");
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 request client 33+37 at 1020..1020 stream 1 request http.version=2 http.method=GET "
                               "http.target=/events http.path=/events\n"
                               "6 ping server 86+17 at 1040..1040 control http2.ping=3544952156018063160\n"
                               "5 event server 72+54 at 1030..1040 stream 1 answers 3 sse.event=tick sse.id=7 body 1 "
                               "(1 raw, 0000000000000031) 1\n"
                               "7 event server 126+19 at 1040..1050 stream 1 answers 3 cut body 1 (1 raw, "
                               "0000000000000032) 2\n"
                               "4 response server 9+136 at 1030..1050 stream 1 answers 3 completes http.version=2 "
                               "http.status=200 http.header[content-type]=text/event-stream "
                               "http.type=text/event-stream body 34 (34 raw, bf38d67806c0e022) "
                               "event:_tick\\x0adata:_1\\x0aid:_\n");
}

/* A thousand calls that idle, both ways open, each in the middle of a message: that is no hostile session. */
static void a_thousand_calls_at_once(void **state)
{
  (void)state;
  struct session *session = session_http2();
  for (uint32_t i = 0; i < 1000; i++) {
    put_call(&session->bytes, 0, 2 * i + 1, "/a.B/C");
    FRAME(&session->bytes, DATA, 0, 2 * i + 1, "\0\0\0");
  }
  said(session, GG_SIDE_CLIENT);
  for (uint32_t i = 0; i < 1000; i++) {
    put_answer(&session->bytes, 2 * i + 1);
    FRAME(&session->bytes, DATA, 0, 2 * i + 1, "\0\0\0\0\1");
  }
  said(session, GG_SIDE_SERVER);
  char *told = transcript_of(NULL, session->pieces, session->count, CUT_NOT, 0);
  assert_null(strstr(told, "opaque"));
  unsigned cut = 0;
  for (const char *line = told; (line = strstr(line, " cut")); line++)
    cut++;
  assert_int_equal(cut, 4000);
  free(told);
  free(session);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_call),          cmocka_unit_test(a_call_that_streams),
    cmocka_unit_test(calls_that_fail), cmocka_unit_test(behind_a_hole),
    cmocka_unit_test(events),          cmocka_unit_test(a_thousand_calls_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
