/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket on a stream of HTTP/2 (RFC 8441), however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"
#include "http2_frames.h"

/* Both sides of RFC 8441, 5.1, but for what nobody looks at. */
static void put_connect(struct bytes *bytes, uint32_t stream, const char *protocol)
{
  put_headers(bytes, 0, stream, ":method", "CONNECT", ":protocol", protocol, ":scheme", "http", ":path", "/chat",
              ":authority", "x.test", NULL);
}

static void put_agreed(struct bytes *bytes, uint32_t stream, const char *extensions)
{
  if (extensions)
    put_headers(bytes, 0, stream, ":status", "200", "sec-websocket-extensions", extensions, NULL);
  else
    put_headers(bytes, 0, stream, ":status", "200", NULL);
}

/* HTTP/2 has its say, and a stream that is a WebSocket. */
static struct session *session_websocket(const char *extensions)
{
  struct session *session = session_http2();
  put_connect(&session->bytes, 1, "websocket");
  said(session, GG_SIDE_CLIENT);
  put_agreed(&session->bytes, 1, extensions);
  said(session, GG_SIDE_SERVER);
  return session;
}

/* What is told has all of the wanted words, and none of the others; frees the session. */
static void tells(struct session *session, const char *const *wanted, const char *const *unwanted)
{
  char *told = transcript_checked(NULL, session->pieces, session->count);
  for (; *wanted; wanted++)
    if (!strstr(told, *wanted))
      fail_msg("no '%s' in:\n%s", *wanted, told);
  for (; *unwanted; unwanted++)
    if (strstr(told, *unwanted))
      fail_msg("'%s' in:\n%s", *unwanted, told);
  free(told);
  free(session);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define MASKED_HELLO "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58" /* RFC 6455, 5.7 */
#define HELLO_BODY "body 5 (5 raw, 00000000042628b2) Hello\n"

static struct session *a_whole_connection(const char *extensions)
{
  struct session *session = session_websocket(extensions);
  struct bytes *bytes = &session->bytes;
  FRAME(bytes, DATA, 0, 1, MASKED_HELLO);
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, DATA, 0, 1, "\x01\x03Hel\x80");
  FRAME(bytes, WINDOW_UPDATE, 0, 0, "\0\0\0\1"); /* in the middle of a frame */
  FRAME(bytes, DATA, PADDED, 1, "\x02\x02lo\0\0");
  FRAME(bytes, DATA, 0, 1, "\x89\x00");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, 0, 1, "\x8a\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8");
  put_frame(bytes, DATA, END_STREAM, 1, "", 0);
  said(session, GG_SIDE_CLIENT);
  FRAME(bytes, DATA, END_STREAM, 1, "\x88\x02\x03\xe8");
  said(session, GG_SIDE_SERVER);
  return session;
}

static void a_connection(void **state)
{
  (void)state;
  tells(
    a_whole_connection(NULL),
    WORDS("3 request client 33+145 at 1020..1060 stream 1 request http.version=2 http.method=CONNECT "
          "http.header[:protocol]=websocket http.header[:scheme]=http http.target=/chat http.path=/chat "
          "http.host=x.test body 25 (25 raw, ",
          "4 response server 9+89 at 1030..1070 stream 1 answers 3 completes http.version=2 http.status=200 body 15 ",
          "5 text client 135+11 at 1040..1040 stream 1 " HELLO_BODY,
          "6 text server 40+32 at 1050..1050 stream 1 unsolicited ws.fragments=2 " HELLO_BODY,
          "7 window-update server 46+13 at 1050..1050 control http2.increment=1\n",
          "8 ping server 83+2 at 1050..1050 stream 1 unsolicited control\n",
          "9 pong client 155+6 at 1060..1060 stream 1 answers 8 control\n",
          "10 close client 161+8 at 1060..1060 stream 1 control ws.close_code=1000 body 2 ",
          "11 close server 94+4 at 1070..1070 stream 1 answers 10 control ws.close_code=1000 body 2 "),
    WORDS("opaque", "odd"));
}

static void deflate(void **state)
{
  (void)state;
#ifdef GG_HAVE_ZLIB
#define TOLD "ws.compressed=inflated body 5 (7 raw, 00000000042628b2) Hello\n"
#else
#define TOLD "ws.compressed=kept body 7 (7 raw, 0000003288281470) "
#endif
  struct session *session = session_websocket("Permessage-Deflate");
  FRAME(&session->bytes, DATA, 0, 1, "\xc1\x07\xf2\x48\xcd");
  FRAME(&session->bytes, DATA, 0, 1, "\xc9\xc9\x07\x00");
  said(session, GG_SIDE_SERVER);
  tells(session, WORDS(TOLD), WORDS("reserved-bits"));
  session = session_websocket(NULL);
  FRAME(&session->bytes, DATA, 0, 1, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
  said(session, GG_SIDE_SERVER);
  tells(session, WORDS("ws.odd=reserved-bits"), WORDS("ws.compressed"));
}

/* Refused, of another protocol, of another method: data are data. */
static void no_connection(void **state)
{
  (void)state;
  static const struct {
    const char *method, *protocol, *status;
  } cases[] = {{"CONNECT", "websocket", "403"}, {"CONNECT", "webtransport", "200"}, {"GET", "websocket", "200"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct session *session = session_http2();
    put_headers(&session->bytes, 0, 1, ":method", cases[i].method, ":protocol", cases[i].protocol, ":scheme", "http",
                ":path", "/chat", NULL);
    said(session, GG_SIDE_CLIENT);
    put_headers(&session->bytes, 0, 1, ":status", cases[i].status, NULL);
    FRAME(&session->bytes, DATA, END_STREAM, 1, "\x81\x05Hello");
    said(session, GG_SIDE_SERVER);
    tells(session, WORDS("response server", "body 7"), WORDS(" text "));
  }
}

/* A client that does not wait is not understood, its server is. */
static void too_early(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  put_connect(bytes, 1, "websocket");
  FRAME(bytes, DATA, 0, 1, "\x81\x85");
  said(session, GG_SIDE_CLIENT);
  put_agreed(bytes, 1, NULL);
  FRAME(bytes, DATA, 0, 1, "\x81\x05Hello");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, END_STREAM, 1, "\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
  said(session, GG_SIDE_CLIENT);
  tells(session, WORDS(" text server", HELLO_BODY, "request client", "body 11"), WORDS(" text client", "odd"));
}

/* What the stream ends with is cut there, and so is what its other end has begun. */
static void ends(void **state)
{
  (void)state;
  struct session *session = session_websocket(NULL);
  struct bytes *bytes = &session->bytes;
  FRAME(bytes, DATA, END_STREAM, 1, "\x81\x05Hel");
  said(session, GG_SIDE_SERVER);
  tells(session, WORDS("text server 40+5 at 1040..1040 stream 1 unsolicited cut body 3", "answers 3 completes"),
        WORDS("opaque"));
  session = session_websocket(NULL);
  bytes = &session->bytes;
  FRAME(bytes, DATA, 0, 1, "\x81\x05Hel");
  said(session, GG_SIDE_SERVER);
  FRAME(bytes, DATA, 0, 1, "\x01\x85\0\0\0\0H");
  FRAME(bytes, RST_STREAM, 0, 1, "\0\0\0\x08");
  said(session, GG_SIDE_CLIENT);
  tells(session,
        WORDS("text server 40+5 at 1040..1040 stream 1 unsolicited cut", "text client 135+7 at 1050..1050 stream 1 cut",
              "reset client", "http2.error=CANCEL"),
        WORDS("opaque"));
}

/* The next stream is understood all the same. */
static void frames_that_nobody_can_read(void **state)
{
  (void)state;
  struct session *session = session_websocket(NULL);
  struct bytes *bytes = &session->bytes;
  FRAME(bytes, DATA, 0, 1, "\x82\x7f\x80\0\0\0\0\0\0\0more");
  FRAME(bytes, DATA, END_STREAM, 1, "\x81\x05Hello");
  said(session, GG_SIDE_SERVER);
  put_connect(bytes, 3, "WebSocket");
  said(session, GG_SIDE_CLIENT);
  put_agreed(bytes, 3, NULL);
  FRAME(bytes, DATA, 0, 3, "\x81\x05Hello");
  said(session, GG_SIDE_SERVER);
  tells(session,
        WORDS("http.odd=unreadable-websocket-frame", "binary server 40+10 at 1040..1040 stream 1 unsolicited cut",
              "stream 3 unsolicited " HELLO_BODY),
        WORDS("opaque"));
}

static void gaps(void **state)
{
  (void)state;
  struct session *session = session_websocket(NULL);
  struct bytes *bytes = &session->bytes;
  put_head(bytes, 7 + 7, DATA, 0, 1);
  put(bytes, "\x81\x05H", 3);
  said(session, GG_SIDE_SERVER);
  missing(session, GG_SIDE_SERVER, 3); /* within a frame */
  put(bytes, "o\x81\x05Hello", 8);
  put_head(bytes, 7 + 7, DATA, 0, 1);
  put(bytes, "\x81\x05H", 3);
  said(session, GG_SIDE_SERVER);
  missing(session, GG_SIDE_SERVER, 5); /* over the beginning of one */
  put(bytes, "\x05Hello", 6);
  FRAME(bytes, DATA, 0, 1, "\x81\x05Hello");
  said(session, GG_SIDE_SERVER);
  tells(session,
        WORDS("text server 40+7 at 1040..1060 stream 1 unsolicited gap body 2",
              "text server 47+7 at 1060..1060 stream 1 unsolicited " HELLO_BODY,
              "text server 63+3 at 1060..1060 stream 1 unsolicited cut body 1"),
        WORDS("opaque", "1080 stream 1 unsolicited"));
}

/* Inflaters are large: of so many connections at once the last ones do without, and nothing else happens. */
static void many_connections(void **state)
{
  (void)state;
#ifdef GG_HAVE_ZLIB
  enum { STREAMS = 300, INFLATED = 64 };
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  for (uint32_t i = 0; i < STREAMS; i++)
    put_connect(bytes, 2 * i + 1, "websocket");
  said(session, GG_SIDE_CLIENT);
  for (uint32_t i = 0; i < STREAMS; i++) {
    put_agreed(bytes, 2 * i + 1, "permessage-deflate");
    FRAME(bytes, DATA, 0, 2 * i + 1, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
  }
  FRAME(bytes, RST_STREAM, 0, 1, "\0\0\0\0");
  said(session, GG_SIDE_SERVER);
  put_connect(bytes, 2 * STREAMS + 1, "websocket");
  said(session, GG_SIDE_CLIENT);
  put_agreed(bytes, 2 * STREAMS + 1, "permessage-deflate");
  FRAME(bytes, DATA, 0, 2 * STREAMS + 1, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
  said(session, GG_SIDE_SERVER);
  char *told = transcript_of(NULL, session->pieces, session->count, CUT_NOT, 0);
  assert_null(strstr(told, "opaque"));
  unsigned inflated = 0, kept = 0;
  for (const char *line = told; (line = strstr(line, "ws.compressed=")); line++) {
    inflated += strncmp(line, "ws.compressed=inflated", 22) == 0;
    kept += strncmp(line, "ws.compressed=kept", 18) == 0;
  }
  assert_int_equal(inflated, INFLATED + 1);
  assert_int_equal(kept, STREAMS - INFLATED);
  free(told);
  free(session);
#endif
}

static void damaged(void **state)
{
  (void)state;
  enum { SEED = 20261123, ROUNDS = 10000 };
  struct session *session = a_whole_connection("permessage-deflate");
  hostile_cut_off(NULL, session->pieces, session->count);
  hostile_flip(NULL, session->pieces, session->count, ROUNDS, SEED);
  free(session);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_connection),  cmocka_unit_test(deflate),
    cmocka_unit_test(no_connection), cmocka_unit_test(too_early),
    cmocka_unit_test(ends),          cmocka_unit_test(frames_that_nobody_can_read),
    cmocka_unit_test(gaps),          cmocka_unit_test(many_connections),
    cmocka_unit_test(damaged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
