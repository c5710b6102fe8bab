/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed headers of HTTP/2: the vectors of RFC 7541, tables that grow and shrink, and damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http2_frames.h"

/* A header block in hexadecimal, as HEADERS that end the stream. */
static void put_hex(struct bytes *bytes, uint32_t stream, const char *hex)
{
  struct bytes *block = calloc(1, sizeof *block);
  assert_non_null(block);
  unsigned high = 16;
  for (; *hex; hex++) {
    if (*hex == ' ')
      continue;
    unsigned digit = (unsigned)(*hex <= '9' ? *hex - '0' : *hex - 'a' + 10);
    if (high == 16) {
      high = digit;
      continue;
    }
    put_number(block, high << 4 | digit, 1);
    high = 16;
  }
  put_frame(bytes, HEADERS, END_STREAM | END_HEADERS, stream, block->data, block->length);
  free(block);
}

/* The fields of the messages, without where they stand. */
static void fields_are(struct session *session, const char *wanted)
{
  char *told = transcript_checked(NULL, session->pieces, session->count);
  char *to = told;
  for (char *line = told, *next; *line; line = next) {
    next = strchr(line, '\n') + 1;
    char *fields = strstr(line, "http.version=2 ");
    if (!fields || fields > next)
      continue;
    fields += sizeof "http.version=2 " - 1;
    memmove(to, fields, (size_t)(next - fields));
    to += next - fields;
  }
  *to = '\0';
  assert_string_equal(told, wanted);
  free(told);
  free(session);
}

/* C.3 and C.4: the same three requests, the second time in Huffman's code. */
static void requests_of_the_rfc(void **state)
{
  (void)state;
  static const char *const blocks[][3] = {
    {"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
     "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65"},
    {"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
     "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"},
  };
  for (unsigned i = 0; i < 2; i++) {
    struct session *session = session_http2();
    for (unsigned j = 0; j < 3; j++)
      put_hex(&session->bytes, 2 * j + 1, blocks[i][j]);
    said(session, GG_SIDE_CLIENT);
    fields_are(session,
               "http.method=GET http.header[:scheme]=http http.target=/ http.path=/ http.host=www.example.com\n"
               "http.method=GET http.header[:scheme]=http http.target=/ http.path=/ http.host=www.example.com "
               "http.header[cache-control]=no-cache\n"
               "http.method=GET http.header[:scheme]=https http.target=/index.html http.path=/index.html "
               "http.host=www.example.com http.header[custom-key]=custom-value\n");
  }
}

/* C.5 and C.6: responses with a table of 256 bytes, out of which entries go. The first block begins with its size. */
static void responses_of_the_rfc(void **state)
{
  (void)state;
  static const char *const blocks[][3] = {
    {"3fe1 01 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120"
     "474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
     "4803 3330 37c1 c0bf",
     "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f"
     "6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b"
     "2076 6572 7369 6f6e 3d31"},
    {"3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718"
     "63c7 8f0b 97c8 e9ae 82ae 43d3",
     "4883 640e ffc1 c0bf",
     "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335"
     "dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07"},
  };
  for (unsigned i = 0; i < 2; i++) {
    struct session *session = session_http2();
    for (unsigned j = 0; j < 3; j++)
      put_hex(&session->bytes, 2 * j + 1, "82");
    said(session, GG_SIDE_CLIENT);
    for (unsigned j = 0; j < 3; j++)
      put_hex(&session->bytes, 2 * j + 1, blocks[i][j]);
    said(session, GG_SIDE_SERVER);
    fields_are(session,
               "http.method=GET http.odd=no-path\nhttp.method=GET http.odd=no-path\n"
               "http.method=GET http.odd=no-path\n"
               "http.status=302 http.header[cache-control]=private "
               "http.header[date]=Mon,_21_Oct_2013_20:13:21_GMT http.header[location]=https://www.example.com\n"
               "http.status=307 http.header[cache-control]=private "
               "http.header[date]=Mon,_21_Oct_2013_20:13:21_GMT http.header[location]=https://www.example.com\n"
               "http.status=200 http.header[cache-control]=private "
               "http.header[date]=Mon,_21_Oct_2013_20:13:22_GMT http.header[location]=https://www.example.com "
               "http.header[content-encoding]=gzip "
               "http.header[set-cookie]=*foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU;_max-age=3600;_version=1\n");
  }
}

/* 3f e2 1f: 4,097 bytes. The client allows 4,096 at first, and then more; that it allows less again is for the server
 * to say, who has it from the block 20 (no bytes at all) on. */
static void tables_grow_and_shrink(void **state)
{
  (void)state;
  for (unsigned allowed = 0; allowed < 2; allowed++) {
    struct session *session = session_http2();
    struct bytes *bytes = &session->bytes;
    if (allowed)
      FRAME(bytes, SETTINGS, 0, 0, "\0\1\0\0\x10\1\0\1\0\0\0\0");
    put_hex(bytes, 1, "82 84");
    put_hex(bytes, 3, "82 84");
    put_hex(bytes, 5, "82 84");
    said(session, GG_SIDE_CLIENT);
    FRAME(bytes, SETTINGS, ACK, 0, "");
    put_hex(bytes, 1, "3fe2 1f 88 4001 6101 62");
    put_hex(bytes, 3, "88 be");
    put_hex(bytes, 5, "20 88 4001 6101 63");
    said(session, GG_SIDE_SERVER);
    char *told = transcript_checked(NULL, session->pieces, session->count);
    const char *refused = strstr(told, "server opaque from 18: failed: headers that cannot be decompressed\n");
    const char *shown = strstr(told, "http.status=200 http.header[a]=c\n");
    assert_true(allowed ? !refused && shown : refused && !shown);
    free(told);
    free(session);
  }
  struct session *session = session_http2(); /* what has gone out of the table cannot be named */
  put_hex(&session->bytes, 1, "82 84 4001 6101 62");
  put_hex(&session->bytes, 3, "20 82 84 be");
  said(session, GG_SIDE_CLIENT);
  char *told = transcript_checked(NULL, session->pieces, session->count);
  assert_non_null(strstr(told, "failed: headers that cannot be decompressed\n"));
  free(told);
  free(session);
}

/* A message has no room for so many fields, but the table stays right: the next request uses it. */
static void what_is_not_kept_is_read(void **state)
{
  (void)state;
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  struct bytes *block = calloc(1, sizeof *block);
  assert_non_null(block);
  put(block, "\x82\x84", 2);
  for (unsigned i = 0; i < 3000; i++)
    put_header(block, "many", "fields");
  put(block, "\x40\1a\1b", 5);
  for (size_t at = 0, step; at < block->length; at += step) {
    step = block->length - at < 16384 ? block->length - at : 16384;
    put_frame(bytes, at ? CONTINUATION : HEADERS,
              (at ? 0 : END_STREAM) | (at + step == block->length ? END_HEADERS : 0), 1, block->data + at, step);
  }
  put_hex(bytes, 3, "82 84 be");
  said(session, GG_SIDE_CLIENT);
  char *told = transcript_checked(NULL, session->pieces, session->count);
  assert_non_null(strstr(told, "stream 1 request fields-cut "));
  assert_non_null(strstr(told, "stream 3 request http.version=2 http.method=GET http.target=/ http.path=/ "
                               "http.header[a]=b\n"));
  free(told);
  free(block);
  free(session);
}

/* ── Damage ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Something of everything. */
static struct session *rich(void)
{
  struct session *session = session_http2();
  struct bytes *bytes = &session->bytes;
  FRAME(bytes, SETTINGS, 0, 0, "\0\1\0\0\x20\0\0\4\0\0\xff\xff");
  put_hex(bytes, 1, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
  put_headers(bytes, 0, 3, ":method", "POST", ":path", "/a.B/C", "content-type", "application/grpc", NULL);
  FRAME(bytes, DATA, PADDED | END_STREAM, 3, "\2\0\0\0\0\3abc\0\0");
  put_headers(bytes, END_STREAM, 5, ":method", "GET", ":path", "/", NULL);
  said(session, GG_SIDE_CLIENT);
  put_frame(bytes, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2\x82\x84", 6);
  put_hex(bytes, 1, "4882 6402 5885 aec3 771a 4b");
  put_headers(bytes, 0, 3, ":status", "200", "content-type", "application/grpc", NULL);
  put_headers(bytes, 0, 5, ":status", "200", "content-type", "text/event-stream", NULL);
  FRAME(bytes, DATA, 0, 3, "\0\0\0\0\2o");
  FRAME(bytes, DATA, 0, 5, "event: a\r\ndata: 1\r\n\r\nid: 7");
  FRAME(bytes, WINDOW_UPDATE, 0, 0, "\0\0\1\0");
  FRAME(bytes, DATA, 0, 3, "k");
  put_headers(bytes, END_STREAM, 3, "grpc-status", "0", NULL);
  put_hex(bytes, 2, "88");
  FRAME(bytes, RST_STREAM, 0, 5, "\0\0\0\x08");
  FRAME(bytes, GOAWAY, 0, 0, "\0\0\0\5\0\0\0\0bye");
  said(session, GG_SIDE_SERVER);
  return session;
}

static void any_length(void **state)
{
  (void)state;
  struct session *session = rich();
  for (size_t piece = 0; piece < session->count; piece++) {
    struct piece pieces[SESSION_PIECES];
    memcpy(pieces, session->pieces, sizeof pieces);
    for (size_t length = 0; length < session->pieces[piece].length; length++) {
      pieces[piece].length = length;
      free(transcript_checked(NULL, pieces, session->count));
    }
  }
  free(session);
}

static void any_bit(void **state)
{
  (void)state;
  unsigned seed = 7541;
  struct session *session = rich(), *intact = rich();
  for (unsigned i = 0; i < 10000; i++) {
    unsigned first = seed;
    size_t at[3];
    for (unsigned j = 0; j < 3; j++) {
      at[j] = (size_t)rand_r(&seed) % session->bytes.length;
      session->bytes.data[at[j]] ^= (char)(1 << rand_r(&seed) % 8);
    }
    char *whole = transcript_of(NULL, session->pieces, session->count, CUT_NOT, 0);
    char *cut = transcript_of(NULL, session->pieces, session->count, CUT_RANDOMLY, first);
    if (strcmp(whole, cut) != 0)
      fail_msg("seed %u:\n%s\n%s", first, whole, cut);
    free(whole);
    free(cut);
    memcpy(session->bytes.data, intact->bytes.data, intact->bytes.length);
  }
  free(intact);
  free(session);
}

static void memory_is_refused(void **state)
{
  (void)state;
  struct session *session = rich();
  unsigned refused = 0;
  for (size_t bytes = 1; bytes < 100000; bytes += 97) {
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.memory_max = bytes;
    char *told = transcript_of(&options, session->pieces, session->count, bytes % 2 ? CUT_NOT : CUT_BYTES, 0);
    refused += strstr(told, "limit") != NULL;
    free(told);
  }
  assert_true(refused > 20 && refused < 1000);
  free(session);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(requests_of_the_rfc),
    cmocka_unit_test(responses_of_the_rfc),
    cmocka_unit_test(tables_grow_and_shrink),
    cmocka_unit_test(what_is_not_kept_is_read),
    cmocka_unit_test(any_length),
    cmocka_unit_test(any_bit),
    cmocka_unit_test(memory_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
