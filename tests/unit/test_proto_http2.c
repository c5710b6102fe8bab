/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 decoder: what it tells of good, odd and broken sessions, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http2_frames.h"

static void a_request_and_its_response(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_get(bytes, END_STREAM, 1, "/a");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, 0, 1, ":status", "200", "content-type", "text/plain", NULL);
  FRAME(bytes, DATA, 0, 1, "hel");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, END_STREAM, 1, "lo");
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 request client 33+65 at 1020..1020 stream 1 request http.version=2 http.method=GET "
                               "http.header[:scheme]=http http.host=x.test http.target=/a http.path=/a\n"
                               "4 response server 9+70 at 1030..1040 stream 1 answers 3 completes http.version=2 "
                               "http.status=200 http.header[content-type]=text/plain http.type=text/plain body 5 (5 "
                               "raw, 0000000005e918d2) hello\n");
}

static void padding_priorities_and_continuations(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  struct bytes block = {0};
  put_header(&block, ":method", "POST");
  put_header(&block, ":path", "/p?q#f");
  put_head(bytes, 1 + 5 + 5 + 3, HEADERS, PADDED | WITH_PRIORITY, 1);
  put(bytes, "\x03\x80\0\0\0\xff", 6);
  put(bytes, block.data, 5);
  put(bytes, "\0\0\0", 3);
  put_frame(bytes, CONTINUATION, 0, 1, block.data + 5, 7);
  put_frame(bytes, CONTINUATION, 0, 1, "", 0);
  said(session, GG_SIDE_CLIENT);
  put_frame(bytes, CONTINUATION, END_HEADERS, 1, block.data + 12, block.length - 12);
  FRAME(bytes, DATA, PADDED, 1, "\x02zwei\0\0");
  FRAME(bytes, DATA, PADDED, 1, "\x04\0\0\0\0");
  FRAME(bytes, DATA, PADDED, 1, "\0drei");
  FRAME(bytes, DATA, PADDED | END_STREAM, 1, "\0");
  said(session, GG_SIDE_CLIENT);
  session_tells(session, HELLO "3 request client 33+127 at 1020..1030 stream 1 request http.version=2 http.method=POST "
                               "http.target=/p?q#f http.path=/p body 8 (8 raw, 00000326caa535d3) zweidrei\n");
}

static void trailers_and_announcements(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_get(bytes, 0, 1, "/");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, 0, 1, ":status", "100", NULL);
  put_headers(bytes, 0, 1, ":status", "103", "link", "</s>", NULL);
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, 0, 1, "body");
  put_headers(bytes, END_STREAM, 1, "digest", "1", NULL);
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, 0, 1, ":status", "200", NULL);
  FRAME(bytes, DATA, 0, 1, "x");
  put_headers(bytes, END_STREAM, 1, "checksum", "2", NULL);
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "4 response server 9+22 at 1030..1030 stream 1 answers 3 http.version=2 "
                               "http.status=100\n"
                               "5 response server 31+33 at 1030..1030 stream 1 answers 3 http.version=2 "
                               "http.status=103 http.header[link]=</s>\n"
                               "3 request client 33+96 at 1020..1040 stream 1 request http.version=2 http.method=GET "
                               "http.header[:scheme]=http http.host=x.test http.target=/ http.path=/ "
                               "http.trailer[digest]=1 body 4 (4 raw, 00000000002e39a2) body\n"
                               "6 response server 64+53 at 1050..1050 stream 1 answers 3 completes http.version=2 "
                               "http.status=200 http.trailer[checksum]=2 body 1 (1 raw, 0000000000000078) x\n");
}

static void promises(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_get(bytes, END_STREAM, 1, "/");
  said(session, GG_SIDE_CLIENT);
  struct bytes block = {0};
  put_number(&block, 2, 4);
  put_header(&block, ":method", "GET");
  put_header(&block, ":path", "/s");
  put_frame(bytes, PUSH_PROMISE, END_HEADERS, 1, block.data, block.length);
  put_headers(bytes, END_STREAM, 1, ":status", "200", NULL);
  put_headers(bytes, 0, 2, ":status", "200", NULL);
  FRAME(bytes, DATA, END_STREAM, 2, "pushed");
  said(session, GG_SIDE_SERVER);
  /* One that is refused: what comes all the same is told as it is. */
  block.data[3] = 4;
  put_frame(bytes, PUSH_PROMISE, END_HEADERS, 1, block.data, block.length);
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, RST_STREAM, 0, 4, "\0\0\0\x07");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, 0, 4, ":status", "200", NULL);
  FRAME(bytes, DATA, END_STREAM, 4, "late");
  said(session, GG_SIDE_SERVER);
  /* Of a stream that cannot be promised. */
  block.data[3] = 3;
  put_frame(bytes, PUSH_PROMISE, END_HEADERS, 1, block.data, block.length);
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 request client 33+64 at 1020..1020 stream 1 request http.version=2 http.method=GET "
                               "http.header[:scheme]=http http.host=x.test http.target=/ http.path=/\n"
                               "4 request server 9+36 at 1030..1030 stream 2 request http2.promised_on=1 "
                               "http.method=GET http.target=/s http.path=/s http.version=2\n"
                               "5 response server 45+22 at 1030..1030 stream 1 answers 3 completes http.version=2 "
                               "http.status=200\n"
                               "6 response server 67+37 at 1030..1030 stream 2 answers 4 completes http.version=2 "
                               "http.status=200 body 6 (6 raw, 00000000c5c55d39) pushed\n"
                               "7 request server 104+36 at 1040..1040 stream 4 request http2.promised_on=1 "
                               "http.method=GET http.target=/s http.path=/s http.version=2\n"
                               "8 reset client 97+13 at 1050..1050 stream 4 control http2.error=REFUSED_STREAM\n"
                               "9 frame server 140+22 at 1060..1060 stream 4 control http2.frame=1 http.status=200\n"
                               "10 frame server 162+13 at 1060..1060 stream 4 control http2.frame=0 body 4 (4 raw, "
                               "00000000003292a6) late\n"
                               "11 request server 175+36 at 1070..1070 stream 3 request odd http2.promised_on=1 "
                               "http.odd=bad-promised-stream http.method=GET http.target=/s http.path=/s "
                               "http.version=2\n");
}

static void resets(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_get(bytes, 0, 1, "/1");
  FRAME(bytes, DATA, 0, 1, "begun");
  put_get(bytes, END_STREAM, 3, "/3");
  put_get(bytes, END_STREAM, 5, "/5");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, 0, 3, ":status", "200", NULL);
  FRAME(bytes, DATA, 0, 3, "half");
  FRAME(bytes, RST_STREAM, 0, 1, "\0\0\0\x0b");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, RST_STREAM, 0, 3, "\0\0\0\x08");
  FRAME(bytes, DATA, END_STREAM, 1, "late");
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, RST_STREAM, 0, 5, "\0\0\xab\xcd");
  FRAME(bytes, RST_STREAM, 0, 5, "\0\0\0\0");
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "4 request client 112+65 at 1020..1020 stream 3 request http.version=2 http.method=GET "
                               "http.header[:scheme]=http http.host=x.test http.target=/3 http.path=/3\n"
                               "5 request client 177+65 at 1020..1020 stream 5 request http.version=2 http.method=GET "
                               "http.header[:scheme]=http http.host=x.test http.target=/5 http.path=/5\n"
                               "3 request client 33+209 at 1020..1020 stream 1 request cut http.version=2 "
                               "http.method=GET http.header[:scheme]=http http.host=x.test http.target=/1 http.path=/1 "
                               "http2.error=ENHANCE_YOUR_CALM body 5 (5 raw, 0000000005947a1d) begun\n"
                               "7 reset server 44+13 at 1030..1030 stream 1 answers 3 completes control "
                               "http2.error=ENHANCE_YOUR_CALM\n"
                               "6 response server 9+48 at 1030..1030 stream 3 answers 4 cut http.version=2 "
                               "http.status=200 http2.error=CANCEL body 4 (4 raw, 000000000030c033) half\n"
                               "8 reset client 242+13 at 1040..1040 stream 3 control http2.error=CANCEL\n"
                               "9 frame client 255+13 at 1040..1040 stream 1 control http2.frame=0 body 4 (4 raw, "
                               "00000000003292a6) late\n"
                               "10 reset server 57+13 at 1050..1050 stream 5 answers 5 completes control "
                               "http2.error=0xabcd\n"
                               "11 reset server 70+13 at 1050..1050 stream 5 control http2.error=NO_ERROR\n");
}

/* Both sides are in the middle of something when the other one resets it. */
static void resets_in_the_middle(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  struct bytes block = {0};
  put_header(&block, ":method", "PUT");
  put_header(&block, "cookie", "a=b");
  put_get(bytes, 0, 1, "/");
  put_head(bytes, 8, DATA, END_STREAM, 1);
  put(bytes, "half", 4);
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, RST_STREAM, 0, 1, "\0\0\0\x01");
  said(session, GG_SIDE_SERVER);
  put(bytes, "rest", 4);
  put_frame(bytes, HEADERS, END_STREAM, 3, block.data, block.length);
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, RST_STREAM, 0, 3, "\0\0\0\x02");
  said(session, GG_SIDE_SERVER);
  put_frame(bytes, CONTINUATION, END_HEADERS, 3, "\x88", 1);
  put_get(bytes, END_STREAM, 5, "/5");
  said(session, GG_SIDE_CLIENT);
  session_tells(session, HELLO "3 request client 33+77 at 1020..1020 stream 1 request cut http.version=2 "
                               "http.method=GET http.header[:scheme]=http http.host=x.test http.target=/ http.path=/ "
                               "http2.error=PROTOCOL_ERROR body 4 (4 raw, 000000000030c033) half\n"
                               "4 reset server 9+13 at 1030..1030 stream 1 answers 3 completes control "
                               "http2.error=PROTOCOL_ERROR\n"
                               "5 request client 114+34 at 1040..1040 stream 3 request cut http2.error=INTERNAL_ERROR\n"
                               "6 reset server 22+13 at 1050..1050 stream 3 answers 5 completes control "
                               "http2.error=INTERNAL_ERROR\n"
                               "7 request client 158+65 at 1060..1060 stream 5 request http.version=2 http.method=GET "
                               "http.header[:scheme]=http http.host=x.test http.target=/5 http.path=/5\n");
}

static void control(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  FRAME(bytes, SETTINGS, 0, 0, "\0\x01\0\0\x20\0\0\x04\0\0\xff\xff\0\x77\0\0\0\x01");
  FRAME(bytes, WINDOW_UPDATE, 0, 0, "\0\x01\0\0");
  FRAME(bytes, PING, 0, 0, "\0\0\0\0\0\0\x01\x02");
  FRAME(bytes, PRIORITY, 0, 3, "\x80\0\0\x01\x0f");
  FRAME(bytes, 12, 0x40, 7, "origin");
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, SETTINGS, ACK, 0, "");
  FRAME(bytes, PING, ACK, 0, "\0\0\0\0\0\0\x01\x02");
  FRAME(bytes, WINDOW_UPDATE, 0, 5, "\x80\0\0\x05");
  FRAME(bytes, PING, 0, 0, "short");
  FRAME(bytes, SETTINGS, 0, 0, "1234567");
  FRAME(bytes, GOAWAY, 0, 0, "\0\0\0\x09\0\0\0\x02why not");
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 settings client 33+27 at 1020..1020 control http2.setting[HEADER_TABLE_SIZE]=8192 "
                               "http2.setting[INITIAL_WINDOW_SIZE]=65535 http2.setting[0x77]=1\n"
                               "4 window-update client 60+13 at 1020..1020 control http2.increment=65536\n"
                               "5 ping client 73+17 at 1020..1020 control http2.ping=258\n"
                               "6 priority client 90+14 at 1020..1020 stream 3 control http2.depends_on=1 "
                               "http2.weight=16\n"
                               "7 frame client 104+15 at 1020..1020 stream 7 control http2.frame=12 body 6 (6 raw, "
                               "00000000c3e1af26) origin\n"
                               "8 settings server 9+9 at 1030..1030 control http2.ack=1\n"
                               "9 ping server 18+17 at 1030..1030 control http2.ack=1 http2.ping=258\n"
                               "10 window-update server 35+13 at 1030..1030 stream 5 control http2.increment=5\n"
                               "11 ping server 48+14 at 1030..1030 odd control http.odd=bad-frame-size\n"
                               "12 settings server 62+16 at 1030..1030 odd control http.odd=bad-frame-size\n"
                               "13 goaway server 78+24 at 1030..1030 control http2.last_stream=9 "
                               "http2.error=INTERNAL_ERROR http2.debug=why_not\n");
}

static void odd_messages(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_headers(bytes, 0, 1, "Name", "x", ":method", "GET", ":method", "PUT", ":what", "?", ":status", "200",
              "transfer-encoding", "chunked", "a b", "c\r\nd: e", "content-length", "4", "content-length", "x", NULL);
  FRAME(bytes, DATA, 0, 1, "abc");
  put_headers(bytes, 0, 1, ":path", "/", NULL);
  FRAME(bytes, DATA, END_STREAM, 1, "");
  put_headers(bytes, END_STREAM, 5, ":path", "/", NULL);
  put_headers(bytes, END_STREAM, 3, ":path", "/", NULL);
  FRAME(bytes, DATA, END_STREAM, 9, "nobody's");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, END_STREAM, 1, ":status", "2x0", NULL);
  put_headers(bytes, END_STREAM, 5, "x", "y", NULL);
  put_headers(bytes, END_STREAM, 7, ":status", "200", NULL);
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 request client 33+180 at 1020..1020 stream 1 request odd http.version=2 "
                               "http.odd=upper-case-header http.header[Name]=x http.odd=late-pseudo-header "
                               "http.method=GET http.odd=repeated-pseudo-header http.method=PUT "
                               "http.odd=unknown-pseudo-header http.header[:what]=? http.status=200 "
                               "http.odd=connection-header http.header[transfer-encoding]=chunked "
                               "http.odd=bad-header-name http.odd=control-in-header http.header[a_b]=c\\x0d\\x0ad:_e "
                               "http.header[content-length]=4 http.header[content-length]=x "
                               "http.odd=content-length-no-number http.odd=no-path http.odd=pseudo-header-in-trailers "
                               "http.trailer[:path]=/ http.odd=trailers-without-end "
                               "http.odd=conflicting-content-length body 3 (3 raw, 0000000000017862) abc\n"
                               "4 request client 213+18 at 1020..1020 stream 5 request odd http.version=2 "
                               "http.target=/ http.path=/ http.odd=no-method\n"
                               "5 frame client 231+18 at 1020..1020 stream 3 control http2.frame=1 http.target=/ "
                               "http.path=/\n"
                               "6 frame client 249+17 at 1020..1020 stream 9 control http2.frame=0 body 8 (8 raw, "
                               "000002d8401b574f) nobody's\n"
                               "7 response server 9+22 at 1030..1030 stream 1 answers 3 completes http.version=2 "
                               "http.status=920\n"
                               "8 response server 31+14 at 1030..1030 stream 5 answers 4 completes odd http.version=2 "
                               "http.header[x]=y http.odd=no-status\n"
                               "9 frame server 45+22 at 1030..1030 stream 7 control http2.frame=1 http.status=200\n");
}

static void lengths_that_are_none(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_headers(bytes, END_STREAM, 1, ":method", "HEAD", ":path", "/", NULL);
  put_headers(bytes, END_STREAM, 3, ":method", "GET", ":path", "/", NULL);
  put_headers(bytes, 0, 5, ":method", "CONNECT", ":authority", "y.test:1", NULL);
  FRAME(bytes, DATA, 0, 5, "tunnel");
  said(session, GG_SIDE_CLIENT);
  put_headers(bytes, END_STREAM, 1, ":status", "200", "content-length", "9", NULL);
  put_headers(bytes, END_STREAM, 3, ":status", "304", "content-length", "9", NULL);
  put_headers(bytes, 0, 5, ":status", "200", NULL);
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 request client 33+32 at 1020..1020 stream 1 request http.version=2 http.method=HEAD "
                               "http.target=/ http.path=/\n"
                               "4 request client 65+31 at 1020..1020 stream 3 request http.version=2 http.method=GET "
                               "http.target=/ http.path=/\n"
                               "6 response server 9+40 at 1030..1030 stream 1 answers 3 completes http.version=2 "
                               "http.status=200 http.header[content-length]=9\n"
                               "7 response server 49+40 at 1030..1030 stream 3 answers 4 completes http.version=2 "
                               "http.status=304 http.header[content-length]=9\n"
                               "5 request client 96+62 at 1020..1020 stream 5 request cut http.version=2 "
                               "http.method=CONNECT http.host=y.test:1 body 6 (6 raw, 00000000cc969068) tunnel\n"
                               "8 response server 89+22 at 1030..1030 stream 5 answers 5 cut http.version=2 "
                               "http.status=200\n");
}

static void credentials(void **state)
{
  (void)state;
  struct session *session = session_http2();
  put_headers(&session->bytes, END_STREAM, 1, ":method", "GET", ":path", "/", "authorization", "Basic dTpw", "cookie",
              "a=b", "user-agent", "me/1", NULL);
  said(session, GG_SIDE_CLIENT);
  session_tells(session, HELLO "3 request client 33+86 at 1020..1020 stream 1 request http.version=2 http.method=GET "
                               "http.target=/ http.path=/ http.header[authorization]=*Basic_dTpw http.user=u "
                               "http.password=*p http.header[cookie]=*a=b http.header[user-agent]=me/1 "
                               "http.agent=me/1\n");
}

/* ── Beginnings, gaps and ends ───────────────────────────────────────────────────────────────────────────────────── */

static void the_server_may_speak_first(void **state)
{
  (void)state;
  struct session *session = session_new();
  FRAME(&session->bytes, SETTINGS, 0, 0, "\0\x03\0\0\0\x64");
  said(session, GG_SIDE_SERVER);
  put(&session->bytes, PREFACE NO_SETTINGS, sizeof(PREFACE NO_SETTINGS) - 1);
  said(session, GG_SIDE_CLIENT);
  session_tells(session, "is http2 from 0 0\n"
                         "1 settings server 0+15 at 1000..1000 control "
                         "http2.setting[MAX_CONCURRENT_STREAMS]=100\n"
                         "2 settings client 24+9 at 1010..1010 control\n");
}

static void a_gap_in_data_is_a_hole(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_headers(bytes, 0, 1, ":method", "PUT", ":path", "/", "content-length", "20", NULL);
  put_head(bytes, 1 + 10 + 5, DATA, PADDED, 1);
  put(bytes,
      "\x05"
      "0123",
      5);
  said(session, GG_SIDE_CLIENT);
  missing(session, GG_SIDE_CLIENT, 8);
  put(bytes, "\0\0\0", 3);
  FRAME(bytes, DATA, END_STREAM, 1, "rest");
  put_head(bytes, 4, 77, 0, 0);
  said(session, GG_SIDE_CLIENT);
  missing(session, GG_SIDE_CLIENT, 4);
  put_get(bytes, END_STREAM, 3, "/3");
  said(session, GG_SIDE_CLIENT);
  session_tells(session, HELLO "3 request client 33+88 at 1020..1040 stream 1 request gap http.version=2 "
                               "http.method=PUT http.target=/ http.path=/ http.header[content-length]=20 body 8 (8 "
                               "raw, 0000013df2a01ad6) 0123rest\n"
                               "4 frame client 121+13 at 1040..1040 gap control http2.frame=77\n"
                               "5 request client 134+65 at 1060..1060 stream 3 request http.version=2 http.method=GET "
                               "http.header[:scheme]=http http.host=x.test http.target=/3 http.path=/3\n");
}

static void a_gap_elsewhere_ends_it(void **state)
{
  (void)state;
  struct session *session = session_http2();
  put_get(&session->bytes, 0, 1, "/");
  put_head(&session->bytes, 4, DATA, 0, 1);
  said(session, GG_SIDE_CLIENT);
  missing(session, GG_SIDE_CLIENT, 5);
  put_get(&session->bytes, END_STREAM, 3, "/3");
  said(session, GG_SIDE_CLIENT);
  session_tells(session, HELLO "3 request client 33+73 at 1020..1020 stream 1 request cut http.version=2 "
                               "http.method=GET http.header[:scheme]=http http.host=x.test http.target=/ http.path=/\n"
                               "client opaque from 106: gap: bytes are missing outside of data: headers build upon "
                               "those before them\n"
                               "server opaque from 9: gap: bytes are missing outside of data: headers build upon those "
                               "before them\n");
}

static void the_middle_of_a_session_is_not_guessed(void **state)
{
  (void)state;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = "http2";
  options.beginning_missing = true;
  struct session *session = session_new();
  put_get(&session->bytes, END_STREAM, 101, "/");
  said(session, GG_SIDE_CLIENT);
  put_headers(&session->bytes, END_STREAM, 101, ":status", "200", NULL);
  said(session, GG_SIDE_SERVER);
  char *told = transcript_checked(&options, session->pieces, session->count);
  assert_string_equal(told, "is http2 from 0 0\n"
                            "client opaque from 0: gap: HTTP/2 without its beginning: headers build upon those "
                            "before them\n"
                            "server opaque from 0: gap: HTTP/2 without its beginning: headers build upon those "
                            "before them\n");
  free(told);
  /* The server's side alone. */
  told = transcript_checked(&options, session->pieces + 1, session->count - 1);
  assert_string_equal(told, "is http2 from 0 0\n"
                            "server opaque from 0: gap: HTTP/2 without its beginning: no SETTINGS come before all "
                            "other frames\n"
                            "client opaque from 0: gap: HTTP/2 without its beginning: no SETTINGS come before all "
                            "other frames\n");
  free(told);
  /* Nobody has said what it is. */
  options.decoder = NULL;
  told = transcript_checked(&options, session->pieces, session->count);
  assert_string_equal(told, "client opaque from 0: gap: the beginning is missing\n"
                            "server opaque from 0: gap: the beginning is missing\n");
  free(told);
  free(session);
}

/* Its other side goes on, and resets what was begun here. */
static void one_side_ends_in_the_middle(void **state)
{
  (void)state;
  struct session *session = session_http2();
  put_get(&session->bytes, 0, 1, "/");
  put(&session->bytes, "\0\0\1", 3);
  said(session, GG_SIDE_CLIENT);
  session->pieces[session->count++] = (struct piece)CLIENT_END;
  FRAME(&session->bytes, RST_STREAM, 0, 1, "\0\0\0\x01");
  said(session, GG_SIDE_SERVER);
  session_tells(session, HELLO "3 request client 33+64 at 1020..1020 stream 1 request cut http.version=2 "
                               "http.method=GET http.header[:scheme]=http http.host=x.test http.target=/ http.path=/\n"
                               "client opaque from 97: cut: ends in the middle\n"
                               "4 reset server 9+13 at 1040..1040 stream 1 answers 3 completes control "
                               "http2.error=PROTOCOL_ERROR\n");
}

static void fails(void (*make)(struct bytes *), const char *why)
{
  struct session *session = session_http2();
  make(&session->bytes);
  said(session, GG_SIDE_CLIENT);
  char *told = transcript_checked(NULL, session->pieces, session->count);
  char wanted[256];
  snprintf(wanted, sizeof wanted, ": %s\nserver opaque from 9: ", why);
  if (!strstr(told, wanted))
    print_error("%s", told);
  assert_non_null(strstr(told, wanted));
  free(told);
  free(session);
}

static void make_bad_index(struct bytes *bytes)
{
  put_frame(bytes, HEADERS, END_HEADERS, 1, "\xff\xff\x01", 3);
}
static void make_interrupted(struct bytes *bytes)
{
  put_frame(bytes, HEADERS, 0, 1, "\x82", 1);
  FRAME(bytes, PING, 0, 0, "12345678");
}
static void make_other_continued(struct bytes *bytes)
{
  put_frame(bytes, HEADERS, 0, 1, "\x82", 1);
  put_frame(bytes, CONTINUATION, END_HEADERS, 3, "\x82", 1);
}
static void make_continuation(struct bytes *bytes)
{
  put_frame(bytes, CONTINUATION, END_HEADERS, 1, "\x82", 1);
}
static void make_padding(struct bytes *bytes)
{
  put_frame(bytes, HEADERS, END_HEADERS | PADDED, 1, "\x02\x82", 2);
}
static void make_short(struct bytes *bytes)
{
  put_frame(bytes, HEADERS, END_HEADERS | WITH_PRIORITY, 1, "\0\0\0\0", 4);
}
static void make_promise(struct bytes *bytes)
{
  put_frame(bytes, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2\x82", 5);
}
static void make_no_stream(struct bytes *bytes)
{
  put_frame(bytes, DATA, 0, 0, "x", 1);
}
static void make_endless(struct bytes *bytes)
{
  static const char zeros[1 << 14];
  put_frame(bytes, HEADERS, 0, 1, zeros, sizeof zeros);
  for (unsigned i = 0; i < 16; i++)
    put_frame(bytes, CONTINUATION, 0, 1, zeros, sizeof zeros);
}

static void what_cannot_be_followed(void **state)
{
  (void)state;
  fails(make_bad_index, "headers that cannot be decompressed");
  fails(make_interrupted, "headers that are not continued");
  fails(make_other_continued, "a CONTINUATION of nothing");
  fails(make_continuation, "a CONTINUATION of nothing");
  fails(make_padding, "padding that is longer than its frame");
  fails(make_short, "a frame that is too short");
  fails(make_promise, "a promise of the client");
  fails(make_no_stream, "data or headers of no stream");
  fails(make_endless, "a header block of more than 262144 bytes");
}

/* ── By way of HTTP/1 ────────────────────────────────────────────────────────────────────────────────────────────── */

/* AAEAAIAA: SETTINGS_HEADER_TABLE_SIZE is 32,768, which the server uses before the client's first frame. */
static void an_upgrade(void **state)
{
  (void)state;
  struct session *session = session_new();
  struct bytes *bytes = &session->bytes;
  static const char request[] = "GET /u HTTP/1.1\r\nHost: x.test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                                "Upgrade: h2c\r\nHTTP2-Settings: AAEAAIAA\r\n\r\n";
  static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
  put(bytes, request, sizeof request - 1);
  said(session, GG_SIDE_CLIENT);
  put(bytes, answer, sizeof answer - 1);
  put(bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  put_frame(bytes, HEADERS, END_HEADERS, 1, "\x3f\xe1\xff\x01\x88", 5);
  said(session, GG_SIDE_SERVER);
  put(bytes, PREFACE NO_SETTINGS, sizeof(PREFACE NO_SETTINGS) - 1);
  put_get(bytes, END_STREAM, 3, "/3");
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, DATA, END_STREAM, 1, "upgraded");
  put_headers(bytes, END_STREAM, 3, ":status", "204", NULL);
  said(session, GG_SIDE_SERVER);
  session_tells(session, "is http1 from 0 0\n"
                         "1 request client 0+110 at 1000..1000 request http.method=GET http.target=/u "
                         "http.path=/u http.version=1.1 http.header[Host]=x.test http.host=x.test "
                         "http.header[Connection]=Upgrade,_HTTP2-Settings http.header[Upgrade]=h2c "
                         "http.header[HTTP2-Settings]=AAEAAIAA\n"
                         "2 response server 0+71 at 1010..1010 answers 1 http.status=101 "
                         "http.reason=Switching_Protocols http.version=1.1 http.header[Connection]=Upgrade "
                         "http.header[Upgrade]=h2c\n"
                         "is http2 from 110 71\n"
                         "3 settings server 71+9 at 1010..1010 control\n"
                         "5 settings client 134+9 at 1020..1020 control\n"
                         "6 request client 143+65 at 1020..1020 stream 3 request http.version=2 http.method=GET "
                         "http.header[:scheme]=http http.host=x.test http.target=/3 http.path=/3\n"
                         "4 response server 80+31 at 1010..1030 stream 1 answers 1 completes http.version=2 "
                         "http.status=200 body 8 (8 raw, 0000030554daa9c8) upgraded\n"
                         "7 response server 111+22 at 1030..1030 stream 3 answers 6 completes http.version=2 "
                         "http.status=204\n");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_request_and_its_response),
    cmocka_unit_test(padding_priorities_and_continuations),
    cmocka_unit_test(trailers_and_announcements),
    cmocka_unit_test(promises),
    cmocka_unit_test(resets),
    cmocka_unit_test(resets_in_the_middle),
    cmocka_unit_test(control),
    cmocka_unit_test(odd_messages),
    cmocka_unit_test(lengths_that_are_none),
    cmocka_unit_test(credentials),
    cmocka_unit_test(the_server_may_speak_first),
    cmocka_unit_test(a_gap_in_data_is_a_hole),
    cmocka_unit_test(a_gap_elsewhere_ends_it),
    cmocka_unit_test(the_middle_of_a_session_is_not_guessed),
    cmocka_unit_test(one_side_ends_in_the_middle),
    cmocka_unit_test(what_cannot_be_followed),
    cmocka_unit_test(an_upgrade),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
