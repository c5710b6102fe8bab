/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 decoder: what it tells of good, odd and broken sessions, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transcript.h"

static void request_and_response(void **state)
{
  (void)state;
  TELL("is http1 from 0 0\n"
       "1 request client 0+37 at 1000..1000 request http.method=GET http.target=/a?b=1 http.path=/a http.version=1.1 "
       "http.header[Host]=x.test http.host=x.test\n"
       "2 response server 0+84 at 1010..1010 answers 1 completes http.status=200 http.reason=OK http.version=1.1 "
       "http.header[Content-Length]=5 http.header[Content-Type]=text/plain;_charset=utf-8 http.type=text/plain "
       "body 5 (5 raw, 0000000005e918d2) hello\n",
       CLIENT("GET /a?b=1 HTTP/1.1\r\nHost: x.test\r\n\r\n"),
       SERVER("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello"));
}

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n" /* 27 bytes */
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ── Which response answers which request ────────────────────────────────────────────────────────────────────────── */

static void pipelined(void **state)
{
  (void)state;
  FIND(WORDS("4 response server 0+40 at 1010..1010 answers 1 completes",
             "5 response server 40+40 at 1010..1010 answers 2 completes",
             "6 response server 80+40 at 1010..1010 answers 3 completes"),
       CLIENT(GET GET GET), SERVER(OK OK OK));
}

static void interim(void **state)
{
  (void)state;
  FIND_NOT(WORDS("2 response server 0+25 at 1010..1010 answers 1 http.status=100",
                 "3 response server 25+40 at 1030..1030 answers 1 completes http.status=200"),
           WORDS("unsolicited"),
           CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"),
           SERVER("HTTP/1.1 100 Continue\r\n\r\n"), CLIENT("abc"), SERVER(OK));
}

static void answers_nothing(void **state)
{
  (void)state;
  FIND(WORDS("1 response server 0+40 at 1000..1000 unsolicited http.status=200"), SERVER(OK));
}

static void head_has_no_body(void **state)
{
  (void)state;
  FIND(WORDS("3 response server 0+38 ", "4 response server 38+40 at 1010..1010 answers 2 completes"),
       CLIENT("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" GET), SERVER("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" OK));
}

static void no_content(void **state)
{
  (void)state;
  FIND(WORDS("3 response server 0+27 at 1010..1010 answers 1 completes http.status=204",
             "4 response server 27+49 at 1010..1010 answers 2 completes http.status=304"),
       CLIENT(GET GET),
       SERVER("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"));
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void until_close(void **state)
{
  (void)state;
  FIND(WORDS("2 response server 0+24 at 1010..1010 answers 1 completes http.status=200 http.reason=OK http.version=1.0 "
             "body 5 (5 raw, 0000000005e918d2) hello"),
       CLIENT("GET / HTTP/1.0\r\n\r\n"), SERVER("HTTP/1.0 200 OK\r\n\r\nhello"), SERVER_END);
  FIND_NOT(WORDS("2 response server 0+24 at 1010..1010 answers 1 cut"), WORDS("completes"),
           CLIENT("GET / HTTP/1.0\r\n\r\n"), SERVER("HTTP/1.0 200 OK\r\n\r\nhello"));
}

static void chunked(void **state)
{
  (void)state;
  FIND(WORDS("2 response server 0+104 at 1010..1020 answers 1 completes", "http.trailer[X-Sum]=7 body 10 (10 raw, ",
             "helloworld"),
       CLIENT(GET), SERVER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n"),
       SERVER("5;a=\"b\"\r\nworld\r\n0\r\nX-Sum: 7\r\n\r\n"));
}

static void odd_chunks(void **state)
{
  (void)state;
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
  FIND(WORDS("http.odd=blanks-in-chunk-size", "completes"), CLIENT(GET), SERVER(CHUNKED "2 \r\nok\r\n0\r\n\r\n"));
  FIND(WORDS("http.odd=bare-line-feed", "completes"), CLIENT(GET), SERVER(CHUNKED "2\nok\r\n0\r\n\r\n"));
  FIND(WORDS("cut", "server opaque from 47: failed: a chunk without a size"), CLIENT(GET),
       SERVER(CHUNKED "0x2\r\nok\r\n0\r\n\r\n"));
  FIND(WORDS("failed: a chunk without a size"), CLIENT(GET), SERVER(CHUNKED "-1\r\nok\r\n0\r\n\r\n"));
  FIND(WORDS("failed: a chunk without a size"), CLIENT(GET), SERVER(CHUNKED "11111111111111111\r\nok"));
  FIND(WORDS("failed: a chunk that is longer than its size"), CLIENT(GET), SERVER(CHUNKED "1\r\nok\r\n0\r\n\r\n"));
}

/* ── Where two readers may disagree ──────────────────────────────────────────────────────────────────────────────── */

static void smuggling(void **state)
{
  (void)state;
  FIND(
    WORDS("http.odd=content-length-and-transfer-encoding", "1 request client 0+86 "),
    CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"));
  FIND(WORDS("http.odd=conflicting-content-length", "body 3 "),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"));
  FIND(WORDS("http.odd=repeated-content-length", "body 3 "),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc"));
  FIND(WORDS("http.odd=content-length-no-number", "client opaque", "a request whose length cannot be told"),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc"));
  FIND(WORDS("http.odd=content-length-no-number"),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\nabc"));
  FIND(WORDS("http.odd=chunked-not-last", "a request whose length cannot be told"),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc"));
  FIND(WORDS("http.odd=unknown-transfer-encoding"),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\nabc"));
  FIND(WORDS("http.odd=transfer-encoding-in-1.0"),
       CLIENT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
  FIND(WORDS("http.odd=blank-before-colon", "body 3 "),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc"));
  FIND(WORDS("http.odd=folded-header", "http.header[X]=a_b"),
       CLIENT("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n  b\r\n\r\n"));
  FIND(WORDS("http.odd=header-without-colon"), CLIENT("GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n"));
  FIND(WORDS("http.odd=bad-header-name"), CLIENT("GET / HTTP/1.1\r\nHost: h\r\na b: c\r\n\r\n"));
  FIND(WORDS("http.odd=empty-header-name"), CLIENT("GET / HTTP/1.1\r\nHost: h\r\n: c\r\n\r\n"));
  FIND(WORDS("http.odd=control-in-header"), CLIENT("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n"));
  FIND(WORDS("http.odd=no-host"), CLIENT("GET / HTTP/1.1\r\n\r\n"));
  FIND(WORDS("http.odd=repeated-host"), CLIENT("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"));
  FIND(WORDS("http.odd=bare-line-feed"), CLIENT("GET / HTTP/1.1\nHost: a\n\n"));
  FIND(WORDS("http.odd=blanks-in-start-line", "http.path=/a_b"), CLIENT("GET  /a b HTTP/1.1\r\nHost: a\r\n\r\n"));
  FIND(WORDS("http.odd=framing-in-trailer"),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n"));
}

/* Bytes below a blank, wherever in a value they stand, are odd, but a tab. */
static void controls(void **state)
{
  (void)state;
  static const char begin[] = "GET /0123456789ab HTTP/1.1\r\nHost: h\r\nX: a0123456789b\r\n\r\n";
  size_t places[] = {(size_t)(strchr(begin, '/') - begin) + 1, (size_t)(strstr(begin, "X: a") - begin) + 4};
  for (unsigned header = 0; header < 2; header++)
    for (size_t i = 0; i < 10; i++)
      for (char byte = 0; byte < ' '; byte++) {
        char text[sizeof begin];
        memcpy(text, begin, sizeof text);
        text[places[header] + i] = byte;
        if (byte == '\n') /* ends the line */
          continue;
        const struct piece piece = {GG_SIDE_CLIENT, text, sizeof text - 1, false};
        char *told = transcript_of(NULL, &piece, 1, CUT_NOT, 0);
        bool odd = strstr(told, header ? "http.odd=control-in-header" : "http.odd=control-in-target");
        assert_int_equal(odd, byte != '\t');
        free(told);
      }
  FIND(WORDS("http.odd=control-in-header"), CLIENT("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\x1b[2J\r\n\r\n"));
  FIND(WORDS("2 response", "http.odd=control-in-header"), CLIENT(GET),
       SERVER("HTTP/1.1 204 No\r\nX: 12345678\x01\r\n\r\n"));
}

/* What is as it should be is not called odd. */
static void not_odd(void **state)
{
  (void)state;
  FIND_NOT(WORDS("3 response"), WORDS("odd"), CLIENT("\r\n" GET GET), SERVER(OK OK));
  FIND_NOT(WORDS("http.path=/x"), WORDS("odd"),
           CLIENT("OPTIONS http://a.test:80/x?y=/z HTTP/1.1\r\nHost: a.test:80\r\nX:\r\nY: \t b \r\n\r\n"));
}

/* ── What a session becomes ──────────────────────────────────────────────────────────────────────────────────────── */

static void tunnel(void **state)
{
  (void)state;
  FIND(WORDS("is http1 from 0 0\n", "1 request client 0+41 ", "http.host=in.test:80",
             "2 response server 0+39 at 1020..1020 answers 1 completes", "is http1 from 41 39\n",
             "3 request client 41+27 at 1010..1010 request",
             "4 response server 39+40 at 1030..1030 answers 3 completes"),
       CLIENT("CONNECT in.test:80 HTTP/1.1\r\nHost: in\r\n\r\n"), CLIENT(GET),
       SERVER("HTTP/1.1 200 Connection established\r\n\r\n"), SERVER(OK));
}

static void refused_tunnel(void **state)
{
  (void)state;
  FIND_NOT(WORDS("2 response server 0+40 at 1010..1010 answers 1", "3 request client 41+27 at 1020..1020"),
           WORDS("from 40", "opaque"), CLIENT("CONNECT in.test:80 HTTP/1.1\r\nHost: in\r\n\r\n"),
           SERVER("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"), CLIENT(GET));
}

static void upgrade(void **state)
{
  (void)state;
#define UPGRADE "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: strange\r\n\r\n" /* 78 */
  FIND(WORDS("1 request client 0+78 at 1000..1000 request", "answers 1 completes http.status=101",
             "client opaque from 78: unknown: binary, 0.0 bits of entropy a byte, begins 00 00 00\n",
             "server opaque from 75: unknown"),
       CLIENT(UPGRADE), SERVER("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: strange\r\n\r\n"),
       CLIENT("\0\0\0"), CLIENT_END, SERVER_END);
}

static void refused_upgrade(void **state)
{
  (void)state;
  FIND_NOT(WORDS("2 response", "4 response server 40+40 at 1020..1020 answers 3 completes"), WORDS("opaque"),
           CLIENT(UPGRADE GET), SERVER(OK), SERVER(OK));
}

/* ── Damage, and ends in the middle ──────────────────────────────────────────────────────────────────────────────── */

static void holes(void **state)
{
  (void)state;
#define LONG "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" /* 39 */
  FIND_NOT(WORDS("3 response server 0+59 at 1010..1030 answers 1 completes gap", "body 15 (15 raw",
                 "4 response server 59+40 at 1030..1030 answers 2 completes"),
           WORDS("opaque"), CLIENT(GET GET), SERVER(LONG "0123456789"), SERVER_GAP(5), SERVER("fghij" OK));
  FIND(WORDS("2 response server 0+49 at 1010..1010 answers 1 cut", "server opaque from 49: gap: bytes are missing"),
       CLIENT(GET), SERVER(LONG "0123456789"), SERVER_GAP(11), SERVER("fghij" OK));
}

static void middle(void **state)
{
  (void)state;
  FIND(WORDS("1 request client 0+25 at 1000..1000 request cut"), CLIENT("GET / HTTP/1.1\r\nHost: h\r\n"));
  FIND(WORDS("1 request client 0+50 at 1000..1010 request cut", "body 3 "),
       CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n"), CLIENT("abc"));
  FIND(WORDS("client opaque from 27: cut: ends in the middle"), CLIENT(GET "GET / HT"));
  const struct gg_decoding_options options = {.size = sizeof options, .beginning_missing = true};
  const struct piece pieces[] = {CLIENT(GET)};
  char *told = transcript_checked(&options, pieces, 1);
  assert_string_equal(told, "client opaque from 0: gap: the beginning is missing\n"
                            "server opaque from 0: gap: the beginning is missing\n");
  free(told);
}

static void nonsense(void **state)
{
  (void)state;
  FIND(WORDS("client opaque from 27: failed: a line that is no request",
             "2 response server 0+40 at 1020..1020 answers 1 completes"),
       CLIENT(GET), CLIENT("\x16\x03\x01\r\n"), SERVER(OK));
  FIND(
    WORDS("1 request client 0+27 at 1000..1000 request", "server opaque from 0: failed: a line that is no status line"),
    CLIENT(GET), SERVER("SSH-2.0-x\r\n"));
}

/* A first line of HTTP is one whatever its method, also where Redis knows the word; and before the server speaks. */
static void methods(void **state)
{
  (void)state;
#define IS(line)                                                                                                       \
  do {                                                                                                                 \
    static const char text[] = line;                                                                                   \
    struct gg_opening opening = {.data = {(const uint8_t *)text, (const uint8_t *)""},                                 \
                                 .length = {sizeof text - 1, 0},                                                       \
                                 .spoke_first = true,                                                                  \
                                 .first = GG_SIDE_CLIENT};                                                             \
    assert_int_equal(gg_decoder_find("http1")->identify(&opening), GG_LIKENESS_CERTAIN);                               \
    assert_int_equal(gg_decoder_find("redis")->identify(&opening), GG_LIKENESS_NONE);                                  \
    opening.length[0]--;                                                                                               \
    assert_int_equal(gg_decoder_find("http1")->identify(&opening), GG_LIKENESS_OPEN);                                  \
  } while (0)
  IS("get /x HTTP/1.1\r\n");
  IS("set /x HTTP/1.1\r\n");
  IS("SET /x HTTP/1.0\n");
  IS("Get / HTTP/1.1\n");
  IS("\r\nM-SEARCH * HTTP/1.1\r\n");
  FIND(WORDS("is http1", "1 request client 0+28 at 1000..1000 request http.method=get"),
       CLIENT("get /x HTTP/1.1\r\nHost: h\r\n\r\n"), SERVER("-ERR unknown command\r\n"));
  FIND(WORDS("is http1", "a line that is no request"), CLIENT("GET / HTTP/1.1x\r\nCookie: a\r\n\r\n"));
  FIND(WORDS("is lines"), CLIENT("get x HTTP/2\r\n"));
  FIND(WORDS("is lines"), CLIENT("hello\r\nget /x HTTP/1.1\r\n"));
  FIND(WORDS("is redis"), CLIENT("get x\r\n"), SERVER("$-1\r\n"));
}

/* ── Bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void long_header(void **state)
{
  (void)state;
  enum { LONG_BYTES = 300000 };
  static char text[LONG_BYTES + 200];
  size_t length = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nX: ");
  memset(text + length, 'x', LONG_BYTES);
  length += LONG_BYTES;
  length += (size_t)snprintf(text + length, sizeof text - length, "\r\nHost: h\r\n\r\n");
  const struct piece pieces[] = {{GG_SIDE_CLIENT, text, length, false}, SERVER(OK)};
  char *told = transcript_checked(NULL, pieces, 2);
  char wanted[100];
  snprintf(wanted, sizeof wanted, "1 request client 0+%zu at 1000..1000 request fields-cut odd ", length);
  assert_non_null(strstr(told, wanted));
  assert_non_null(strstr(told, "http.odd=long-header"));
  assert_non_null(strstr(told, "http.header[Host]=h"));
  assert_non_null(strstr(told, "2 response server 0+40 at 1010..1010 answers 1 completes"));
  assert_true(strlen(told) < 10000);
  free(told);
}

/* No version is in sight of the bytes by which a protocol is told. */
static void long_target(void **state)
{
  (void)state;
  for (size_t i = 0; i < 6; i++) {
    char text[2000];
    int length = snprintf(text, sizeof text, "%.*s%s /%01000d HTTP/1.1\r\nHost: h\r\n\r\n", (int)(i / 2) * 2,
                          "\r\n\r\n", i % 2 ? "get" : "GET", 0);
    const struct piece pieces[] = {{GG_SIDE_CLIENT, text, (size_t)length, false}};
    char *told = transcript_checked(NULL, pieces, 1);
    assert_non_null(
      strstr(told, i % 2 ? "request http.method=get http.target=/00" : "request http.method=GET http.target=/00"));
    free(told);
  }
}

static void many_headers(void **state)
{
  (void)state;
  enum { HEADERS = 5000 };
  static char text[HEADERS * 12 + 100];
  size_t length = (size_t)snprintf(text, sizeof text, "POST / HTTP/1.1\r\n");
  for (unsigned i = 0; i < HEADERS; i++)
    length += (size_t)snprintf(text + length, sizeof text - length, "A%u: b\r\n", i);
  length += (size_t)snprintf(text + length, sizeof text - length, "Content-Length: 3\r\n\r\nabc");
  const struct piece pieces[] = {{GG_SIDE_CLIENT, text, length, false}};
  char *told = transcript_checked(NULL, pieces, 1);
  assert_non_null(strstr(told, " fields-cut"));
  assert_non_null(strstr(told, " body 3 ")); /* what does not fit is read all the same */
  free(told);
}

static void many_requests(void **state)
{
  (void)state;
  enum { REQUESTS = 70000 };
  static char text[REQUESTS * 27 + 1];
  for (size_t i = 0; i < REQUESTS; i++)
    memcpy(text + i * 27, GET, 27);
  const struct piece pieces[] = {{GG_SIDE_CLIENT, text, sizeof text - 1, false}, SERVER(OK)};
  char *told = transcript_of(NULL, pieces, 2, CUT_NOT, 0);
  assert_non_null(strstr(told, "\n65536 request"));
  assert_non_null(strstr(told, "limit: more than 65536 requests without a response"));
  free(told);
}

/* ── Credentials ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void credentials(void **state)
{
  (void)state;
  FIND(WORDS("http.header[Authorization]=*Basic_YWRtaW46czNjcjp0", "http.user=admin", "http.password=*s3cr:t",
             "http.header[cookie]=*a=b"),
       CLIENT("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWRtaW46czNjcjp0\r\ncookie: a=b\r\n\r\n"));
}

static void keep_summary(void *context, const struct gg_message *message)
{
  snprintf(context, GG_MESSAGE_SUMMARY_MAX, "%s", message->summary);
}

/* A header that is called like a credential is one; and one in a target is not in the summary. */
static void credentials_by_name(void **state)
{
  (void)state;
  FIND(WORDS("http.header[X-Vault-Token]=*abc", "http.header[X-Tokens]=1"),
       CLIENT("GET / HTTP/1.1\r\nHost: h\r\nX-Vault-Token: abc\r\nX-Tokens: 1\r\n\r\n"));
  FIND(WORDS("http.target=/a?user=ann&pass%77ord=*********&x=1#f http.query[password]=*s3cr%2521 http.path=/a"),
       CLIENT("GET /a?user=ann&pass%77ord=s3cr%2521&x=1#f HTTP/1.1\r\nHost: h\r\n\r\n"));
  static const char request[] = "GET /login?user=ann&password=s3cret&x=1 HTTP/1.0\r\n\r\n";
  char summary[GG_MESSAGE_SUMMARY_MAX] = "";
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = summary;
  sink.end = keep_summary;
  struct gg_decoding *decoding = NULL;
  assert_int_equal(gg_decoding_create(&decoding, NULL, &sink, NULL), 0);
  gg_decoding_push(decoding, GG_SIDE_CLIENT, 0, 1, request, sizeof request - 1);
  gg_decoding_destroy(decoding);
  assert_string_equal(summary, "GET /login?user=ann&password=******&x=1");
}

/* ── Anything ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char session_client[] = "POST /a?b=c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                                     "5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n" UPGRADE;
static const char session_server[] =
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc"
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";

/* Ends anywhere, and bits that are not what they were: nothing for a sanitizer, and the same for each cut. */
static void damaged(void **state)
{
  (void)state;
  char client[sizeof session_client], server[sizeof session_server];
  for (size_t end = 0; end < sizeof session_client; end++) {
    const struct piece pieces[] = {{GG_SIDE_CLIENT, session_client, end, false},
                                   {GG_SIDE_SERVER, session_server, end % sizeof session_server, false}};
    free(transcript_checked(NULL, pieces, 2));
  }
  unsigned seed = 20261123;
  for (unsigned round = 0; round < 3000; round++) {
    memcpy(client, session_client, sizeof client);
    memcpy(server, session_server, sizeof server);
    for (int flips = 1 + rand_r(&seed) % 4; flips > 0; flips--) {
      client[(size_t)rand_r(&seed) % sizeof client] ^= (char)(1 << rand_r(&seed) % 8);
      server[(size_t)rand_r(&seed) % sizeof server] ^= (char)(1 << rand_r(&seed) % 8);
    }
    const struct piece pieces[] = {{GG_SIDE_CLIENT, client, sizeof client - 1, false},
                                   {GG_SIDE_SERVER, server, sizeof server - 1, false},
                                   CLIENT_END,
                                   SERVER_END};
    free(transcript_checked(NULL, pieces, 4));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(request_and_response),
    cmocka_unit_test(pipelined),
    cmocka_unit_test(interim),
    cmocka_unit_test(answers_nothing),
    cmocka_unit_test(head_has_no_body),
    cmocka_unit_test(no_content),
    cmocka_unit_test(until_close),
    cmocka_unit_test(chunked),
    cmocka_unit_test(odd_chunks),
    cmocka_unit_test(smuggling),
    cmocka_unit_test(not_odd),
    cmocka_unit_test(tunnel),
    cmocka_unit_test(refused_tunnel),
    cmocka_unit_test(upgrade),
    cmocka_unit_test(refused_upgrade),
    cmocka_unit_test(holes),
    cmocka_unit_test(middle),
    cmocka_unit_test(methods),
    cmocka_unit_test(controls),
    cmocka_unit_test(nonsense),
    cmocka_unit_test(long_header),
    cmocka_unit_test(long_target),
    cmocka_unit_test(many_headers),
    cmocka_unit_test(many_requests),
    cmocka_unit_test(credentials),
    cmocka_unit_test(credentials_by_name),
    cmocka_unit_test(damaged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
