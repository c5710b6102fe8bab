/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS decoder: published vectors of its fingerprints, what it tells of hellos, records and certificates, good, odd
 * and broken, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden_session.h"

/* ── Records out of words ────────────────────────────────────────────────────────────────────────────────────────── */

/* What one side says. */
struct said {
  char data[1 << 18];
  size_t length;
};

static void u8(struct said *said, unsigned number)
{
  assert_true(said->length < sizeof said->data);
  said->data[said->length++] = (char)number;
}

static void u16(struct said *said, unsigned number)
{
  u8(said, number >> 8);
  u8(said, number & 0xff);
}

static void fill(struct said *said, unsigned byte, size_t count)
{
  while (count--)
    u8(said, byte);
}

/* A length of so many bytes is to stand here; and now it is known. */
static size_t open_vector(struct said *said, size_t bytes)
{
  fill(said, 0, bytes);
  return said->length;
}

static void close_vector(struct said *said, size_t begin, size_t bytes)
{
  size_t length = said->length - begin;
  for (size_t i = 0; i < bytes; i++)
    said->data[begin - 1 - i] = (char)(length >> 8 * i);
}

static void record(struct said *said, unsigned type, const void *data, size_t length)
{
  u8(said, type);
  u16(said, 0x0303);
  u16(said, (unsigned)length);
  for (size_t i = 0; i < length; i++)
    u8(said, ((const uint8_t *)data)[i]);
}

static void numbers(struct said *said, const uint16_t *list, size_t vector_bytes, size_t bytes)
{
  size_t at = open_vector(said, vector_bytes);
  for (; *list != 0xffff; list++)
    if (bytes == 1)
      u8(said, *list);
    else
      u16(said, *list);
  close_vector(said, at, vector_bytes);
}
#define LIST(...) ((const uint16_t[]){__VA_ARGS__, 0xffff})
#define EMPTY ((const uint16_t[]){0xffff})

/* What a client's hello is made of; a NULL list is that of an extension that is not there. */
struct client_hello {
  unsigned version;
  const uint16_t *ciphers, *extensions, *groups, *formats, *signatures, *versions;
  const char *name, *protocol;
  size_t session_id;
  bool ticket;
};

static void extension_data(struct said *said, const struct client_hello *hello, unsigned type)
{
  size_t at;
  if (type == 0 && hello->name) {
    u16(said, (unsigned)strlen(hello->name) + 3);
    u8(said, 0);
    u16(said, (unsigned)strlen(hello->name));
    for (const char *letter = hello->name; *letter; letter++)
      u8(said, (unsigned char)*letter);
  } else if (type == 10) {
    numbers(said, hello->groups, 2, 2);
  } else if (type == 11) {
    numbers(said, hello->formats, 1, 1);
  } else if (type == 13) {
    numbers(said, hello->signatures, 2, 2);
  } else if (type == 16) {
    at = open_vector(said, 2);
    u8(said, (unsigned)strlen(hello->protocol));
    for (const char *letter = hello->protocol; *letter; letter++)
      u8(said, (unsigned char)*letter);
    close_vector(said, at, 2);
  } else if (type == 35 && hello->ticket) {
    fill(said, 0x77, 20);
  } else if (type == 43) {
    numbers(said, hello->versions, 1, 2);
  }
}

static void hello_body(struct said *said, const struct client_hello *hello)
{
  u16(said, hello->version);
  fill(said, 0x52, 32);
  u8(said, (unsigned)hello->session_id);
  fill(said, 0x53, hello->session_id);
  numbers(said, hello->ciphers, 2, 2);
  u16(said, 0x0100);
  if (!hello->extensions)
    return;
  size_t all = open_vector(said, 2);
  for (const uint16_t *type = hello->extensions; *type != 0xffff; type++) {
    u16(said, *type);
    size_t at = open_vector(said, 2);
    extension_data(said, hello, *type);
    close_vector(said, at, 2);
  }
  close_vector(said, all, 2);
}

/* A handshake record with one message. */
static void handshake(struct said *said, unsigned type, const void *body, size_t length)
{
  u8(said, 22);
  u16(said, 0x0301);
  u16(said, (unsigned)length + 4);
  u8(said, type);
  u8(said, 0);
  u16(said, (unsigned)length);
  for (size_t i = 0; i < length; i++)
    u8(said, ((const uint8_t *)body)[i]);
}

static void client_hello(struct said *said, const struct client_hello *hello)
{
  static struct said body;
  body.length = 0;
  hello_body(&body, hello);
  handshake(said, 1, body.data, body.length);
}

/* `extensions`: bytes with their length in front, or NULL. */
static void server_hello(struct said *said, unsigned version, size_t session_id, unsigned cipher,
                         const void *extensions, size_t length)
{
  static struct said body;
  body.length = 0;
  u16(&body, version);
  fill(&body, 0x72, 32);
  u8(&body, (unsigned)session_id);
  fill(&body, 0x53, session_id);
  u16(&body, cipher);
  u8(&body, 0);
  for (size_t i = 0; i < length; i++)
    u8(&body, ((const uint8_t *)extensions)[i]);
  handshake(said, 2, body.data, body.length);
}

static const struct client_hello plain_hello = {.version = 0x0303, .ciphers = LIST(0xc02f)};
static const char version_13[] = "\0\6\0\x2b\0\2\3\4";
static const char change[] = "\x14\3\3\0\1\1";
static const char data_record[] = "\x17\3\3\0\3abc";

static struct said client, server;

static int clean(void **state)
{
  (void)state;
  client.length = server.length = 0;
  return 0;
}

static void add(struct said *said, const void *data, size_t length)
{
  for (size_t i = 0; i < length; i++)
    u8(said, ((const uint8_t *)data)[i]);
}
#define ADD(said, text) add(said, text, sizeof(text) - 1)

/* ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Of what the client has said, then the server, then both have ended. */
static void find_both(const char *const *wanted, const char *const *unwanted)
{
  const struct piece pieces[] = {{GG_SIDE_CLIENT, client.data, client.length, false},
                                 {GG_SIDE_SERVER, server.data, server.length, false},
                                 CLIENT_END,
                                 SERVER_END};
  transcript_find(wanted, unwanted, pieces, 4);
}

/* ── Fingerprints ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The README of salesforce/ja3. */
static void ja3_as_published(void **state)
{
  (void)state;
  client_hello(&client,
               &(struct client_hello){.version = 769,
                                      .ciphers = LIST(47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4),
                                      .extensions = LIST(0, 10, 11),
                                      .name = "a.test",
                                      .groups = LIST(23, 24, 25),
                                      .formats = LIST(0)});
  find_both(WORDS("tls.ja3=ada70206e40642a3e4461f35503241d5",
                  "tls.ja3_text=769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0 "),
            NULL);
  client.length = 0;
  client_hello(&client,
               &(struct client_hello){.version = 769, .ciphers = LIST(4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99)});
  find_both(WORDS("tls.ja3=de350869b8c85de67a350c8d186f11e6", "tls.ja3_text=769,4-5-10-9-100-98-3-6-19-18-99,,, "),
            NULL);
}

static void ja3_without_grease(void **state)
{
  (void)state;
  client_hello(&client,
               &(struct client_hello){.version = 769,
                                      .ciphers = LIST(0x0a0a, 47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4),
                                      .extensions = LIST(0x1a1a, 0, 10, 11, 0xfafa),
                                      .groups = LIST(0x2a2a, 23, 24, 25),
                                      .formats = LIST(0)});
  find_both(WORDS("tls.ja3=ada70206e40642a3e4461f35503241d5"), WORDS("0x0a0a", "0x1a1a", "0x2a2a", "0xfafa"));
}

/* FoxIO's example: technical_details/JA4.md. */
static const struct client_hello ja4_example = {
  .version = 0x0303,
  .ciphers = LIST(0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                  0x009d, 0x002f, 0x0035),
  .extensions = LIST(0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                     0xff01, 0x000b, 0x000a, 0x0015),
  .signatures = LIST(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601),
  .versions = LIST(0x0304, 0x0303),
  .groups = LIST(29),
  .formats = LIST(0),
  .name = "example.com",
  .protocol = "h2",
};

static void ja4_as_published(void **state)
{
  (void)state;
  client_hello(&client, &ja4_example);
  find_both(WORDS("tls.ja4=t13d1516h2_8daaf6152771_e5627efa2ab1 "), NULL);
  struct client_hello greased = ja4_example;
  greased.ciphers = LIST(0xdada, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
                         0x009c, 0x009d, 0x002f, 0x0035);
  greased.extensions = LIST(0x0a0a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023,
                            0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x3a3a);
  greased.versions = LIST(0x9a9a, 0x0304, 0x0303);
  greased.signatures = LIST(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x4a4a);
  client.length = 0;
  client_hello(&client, &greased);
  find_both(WORDS("tls.ja4=t13d1516h2_8daaf6152771_e5627efa2ab1 "), NULL);
}

/* The same page: what the protocol's letters become, and what stands where nothing is. */
static void ja4_at_its_ends(void **state)
{
  (void)state;
  static const char *const protocols[][2] = {{"h", "hh"},
                                             {"\xab", "ab"},
                                             {"\xab\xcd", "ad"},
                                             {"0\xab", "3b"},
                                             {"01\xab\xcd", "3d"},
                                             {"0\xab\xcd"
                                              "1",
                                              "01"},
                                             {"http/1.1", "h1"}};
  for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
    struct client_hello hello = ja4_example;
    hello.protocol = protocols[i][0];
    char wanted[64];
    snprintf(wanted, sizeof wanted, "tls.ja4=t13d1516%s_8daaf6152771_e5627efa2ab1 ", protocols[i][1]);
    client.length = 0;
    client_hello(&client, &hello);
    find_both(WORDS(wanted), NULL);
  }
  client.length = 0;
  client_hello(&client, &(struct client_hello){.version = 0x0300, .ciphers = EMPTY});
  find_both(WORDS("tls.ja4=ts3i000000_000000000000_000000000000"), NULL);
  client.length = 0; /* two have no meaning for the digest, and there are no signature algorithms */
  client_hello(
    &client,
    &(struct client_hello){
      .version = 0x0302, .ciphers = LIST(0x002f), .extensions = LIST(0, 16, 0x0017), .name = "a", .protocol = "h2"});
  /* printf 002f | sha256sum; printf 0017 | sha256sum */
  find_both(WORDS("tls.ja4=t11d0103h2_ba72b8082249_1ca028f07214 "), NULL);
}

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Recorded from openssl s_client and s_server; what tshark 4.0 says of it. */
static void tls_12(void **state)
{
  (void)state;
  struct golden *golden = golden_read("tls12");
  transcript_find(
    WORDS("is tls from 0 0\n", "1 client-hello client 0+188 ", "tls.ja3=fbe7e189e37a07ee33706f86bc746344",
          "2 server-hello server 0+70 ",
          " answers 1 control tls.version=1.2 "
          "tls.cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 tls.ja3s=ec74a5c51106f0419184d0dd08fb05bc",
          "3 certificate server 70+1012 ", "tls.subject=C=DE,_O=Example\\x5c,_Inc,_OU=A,_emailAddress=a@example.test",
          "tls.issuer=C=DE,_O=Example", "tls.serial=09933b18714ae266e39038ad935a7fae90153284",
          "tls.not_before=2026-11-23T17:52:13Z tls.not_after=2026-12-23T17:52:13Z tls.name=www.example.test "
          "tls.name=*.example.test tls.name=127.0.0.1 tls.name=::1 tls.name=x@y.test tls.name=https://u.test/\n",
          "4 key-exchange server 1082+305 ", "tls.group=x25519\n", "5 certificate-request server 1387+57 ",
          "6 hello-done server 1444+9 at 1010..1010 answers 1 completes control\n", "7 certificate client 188+436 ",
          "tls.subject=C=FR,_CN=J\\xc3\\xbcrgen_client", "8 key-exchange client 624+42 ",
          "9 certificate-verify client 666+85 ", "10 change-cipher-spec client 751+6 ",
          "client opaque from 757: encrypted: by TLS 1.2; only sizes and times follow\n"
          "11 encrypted client 757+45 at 1020..1020 control tls.content=handshake tls.records=1 tls.bytes=40\n",
          "12 session-ticket server 1453+623 ", "tls.lifetime=7200\n", "server opaque from 2082: encrypted: ",
          "15 encrypted client 802+41 at 1040..1040 tls.content=application-data tls.records=1 tls.bytes=36\n",
          "tls.content=alert"),
    WORDS("tls.resumed", "tls.odd", " cut"), golden->pieces, golden->count);
  golden_free(golden);
}

static void tls_13_with_a_retry(void **state)
{
  (void)state;
  struct golden *golden = golden_read("tls13-retry");
  transcript_find(
    WORDS("1 client-hello client 0+296 ", "tls.sni=b.test",
          "2 server-hello server 0+93 at 1010..1010 answers 1 "
          "completes control tls.version=1.3 tls.cipher=TLS_AES_256_GCM_SHA384",
          "tls.group=secp384r1 tls.retry=secp384r1\n", "3 change-cipher-spec server 93+6 ",
          "4 change-cipher-spec client 296+6 ", "5 client-hello client 302+361 ",
          "6 server-hello server 99+192 at 1030..1030 answers 5 completes control",
          "server opaque from 291: encrypted: by TLS 1.3; only sizes and times follow\n"
          "7 encrypted server 291+1420 at 1030..1030 tls.content=application-data tls.records=4 tls.bytes=1400\n"
          "client opaque from 663: encrypted: by TLS 1.3; only sizes and times follow\n"
          "8 encrypted client 663+74 at 1040..1040 tls.content=application-data tls.records=1 tls.bytes=69\n"),
    WORDS("tls.resumed", "tls.odd", " cut"), golden->pieces, golden->count);
  golden_free(golden);
}

/* Behind an HTTP proxy: what is told of begins where that has ended. */
static void in_a_tunnel(void **state)
{
  (void)state;
  ADD(&client, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n");
  size_t before = client.length;
  client_hello(&client, &ja4_example);
  ADD(&server, "HTTP/1.1 200 OK\r\n\r\n");
  server_hello(&server, 0x0303, 0, 0x1301, version_13, 8);
  const struct piece pieces[] = {{GG_SIDE_CLIENT, client.data, before, false},
                                 {GG_SIDE_SERVER, server.data, 19, false},
                                 {GG_SIDE_CLIENT, client.data + before, client.length - before, false},
                                 {GG_SIDE_SERVER, server.data + 19, server.length - 19, false}};
  transcript_find(
    WORDS("is tls from 35 19\n3 client-hello client 35+", "tls.sni=example.com", "4 server-hello server 19+55 "), NULL,
    pieces, 4);
}

/* Records of both sides at once: a turn ends with the record in whose middle the other side has spoken. */
static void turns(void **state)
{
  (void)state;
  client_hello(&client, &plain_hello);
  server_hello(&server, 0x0303, 0, 0xc02f, version_13, 8);
  char *told;
  const struct piece pieces[] = {{GG_SIDE_CLIENT, client.data, client.length, false},
                                 {GG_SIDE_SERVER, server.data, server.length, false},
                                 CLIENT("\x17\3\3\0\3abc\x17\3\3\0\4ab"),
                                 SERVER("\x17\3\3\0\1a\x17\3\3\0\0"),
                                 CLIENT("cd\x17\3\3\0\1x\x17\3\3\0\1x"),
                                 SERVER("\x17\3\3\0\2a"),
                                 CLIENT_END,
                                 SERVER_END};
  told = transcript_checked(NULL, pieces, sizeof pieces / sizeof *pieces);
  assert_string_equal(strstr(told, "client opaque"),
                      "client opaque from 50: encrypted: by TLS 1.3; only sizes and times follow\n"
                      "server opaque from 55: encrypted: by TLS 1.3; only sizes and times follow\n"
                      "3 encrypted client 50+17 at 1020..1040 tls.content=application-data tls.records=2 tls.bytes=7\n"
                      "4 encrypted server 55+11 at 1030..1030 tls.content=application-data tls.records=2 tls.bytes=1\n"
                      "5 encrypted client 67+12 at 1040..1040 tls.content=application-data tls.records=2 tls.bytes=2\n"
                      "6 encrypted server 66+6 at 1050..1050 cut tls.content=application-data tls.records=1 "
                      "tls.bytes=2\n");
  free(told);
}

/* A message of 5 bytes over three records; two messages in one record; and one that is longer than is gathered. */
static void messages_and_records(void **state)
{
  (void)state;
  client_hello(&client, &plain_hello);
  server_hello(&server, 0x0303, 0, 0xc02f, NULL, 0);
  record(&server, 22, "\x0e", 1);
  record(&server, 22, "\0\0", 2);
  record(&server, 22, "\0\x0e\0\0\0\x16\0\0\1z", 10);
  find_both(
    WORDS("3 hello-done server 47+19 ", "completes", "4 hello-done server 66+4 ", "5 certificate-status server 70+5 "),
    WORDS("odd"));
  server.length = 0;
  static uint8_t body[1 << 14];
  memcpy(body, "\x0b\1\0\1", 4); /* 65,537 bytes */
  record(&server, 22, body, sizeof body);
  memset(body, 0, 4);
  for (int i = 0; i < 3; i++)
    record(&server, 22, body, sizeof body);
  record(&server, 22, "\0\0\0\0\0\x0e\0\0\0", 9);
  find_both(WORDS("2 certificate server 0+65566 at 1010..1010 answers 1 fields-cut odd control tls.odd=long-message\n",
                  "3 hello-done server 65566+4 "),
            NULL);
}

static void resumed(void **state)
{
  (void)state;
  struct client_hello hello = {
    .version = 0x0303, .ciphers = LIST(0xc02f), .session_id = 32, .extensions = LIST(35), .ticket = true};
  client_hello(&client, &hello);
  server_hello(&server, 0x0303, 32, 0xc02f, NULL, 0);
  ADD(&server, change);
  find_both(WORDS("2 server-hello", "tls.resumed=ticket\n",
                  "3 change-cipher-spec server 79+6 at 1010..1010 answers 1 "
                  "completes control\n"),
            NULL);
  hello.ticket = false;
  client.length = 0;
  client_hello(&client, &hello);
  find_both(WORDS("tls.resumed=session-id\n"), NULL);
  hello.ticket = true; /* as RFC 5077, 3.4 has it too: nothing but what does not come tells it */
  hello.session_id = 0;
  client.length = server.length = 0;
  client_hello(&client, &hello);
  server_hello(&server, 0x0303, 0, 0xc02f, NULL, 0);
  handshake(&server, 4, "\0\0\0\7\0\1t", 7);
  ADD(&server, change);
  find_both(WORDS("3 session-ticket", "tls.lifetime=7\n",
                  "4 change-cipher-spec server 63+6 at 1010..1010 answers 1 "
                  "completes control tls.resumed=ticket\n"),
            NULL);
  client.length = server.length = 0;
  hello.extensions = LIST(41);
  client_hello(&client, &hello);
  server_hello(&server, 0x0303, 0, 0x1301, "\0\x0c\0\x2b\0\2\3\4\0\x29\0\2\0\0", 14);
  find_both(WORDS("tls.version=1.3", "tls.resumed=psk\n"), NULL);
  client.length = server.length = 0; /* another session ID: a new session */
  hello.session_id = 31;
  client_hello(&client, &hello);
  server_hello(&server, 0x0303, 32, 0xc02f, NULL, 0);
  find_both(WORDS("tls.session_id=5353"), WORDS("tls.resumed"));
}

/* The client does not know yet which version it will be when it sends this. */
static void early_data(void **state)
{
  (void)state;
  client_hello(&client, &(struct client_hello){.version = 0x0303, .ciphers = LIST(0x1301), .extensions = LIST(42)});
  size_t hello = client.length;
  ADD(&client, change);
  ADD(&client, data_record);
  add(&client, client.data, hello);
  find_both(WORDS("2 change-cipher-spec client", "3 encrypted client 62+8 ", "4 client-hello client 70+56 "), NULL);
  client.length = hello; /* and this it only sends when it does */
  ADD(&client, change);
  ADD(&client, "\x16\3\3\0\x05\0\0\0\0\1");
  find_both(WORDS("3 encrypted client 62+10 ", "tls.content=handshake"), NULL);
}

static void alerts(void **state)
{
  (void)state;
  client_hello(&client, &plain_hello);
  ADD(&server, "\x15\3\3\0\2\2\x28");
  find_both(WORDS("2 alert server 0+7 at 1010..1010 answers 1 completes control tls.alert=handshake_failure "
                  "tls.level=fatal\n"),
            NULL);
  server.length = 0;
  ADD(&server, "\x15\3\3\0\2\1\xf7\x15\3\3\0\1\1\x15\3\3\0\2\3\0");
  find_both(WORDS("tls.alert=0x00f7 tls.level=warning\n",
                  "3 alert server 7+6 at 1010..1010 odd control "
                  "tls.odd=bad-alert\n",
                  "tls.odd=bad-level tls.alert=close_notify tls.level=\n"),
            NULL);
}

/* RFC 5246, E.2. */
#define OLD_BODY(version)                                                                                              \
  version "\0\6\0\0\0\x10"                                                                                             \
          "\1\0\x80\0\0\x2f"                                                                                           \
          "0123456789abcdef"
static void hello_of_ssl_2(void **state)
{
  (void)state;
  ADD(&client, "\x80\x1f\1" OLD_BODY("\3\1"));
  server_hello(&server, 0x0301, 0, 0x002f, NULL, 0);
  find_both(WORDS("is tls from 0 0\n1 client-hello client 0+33 at 1000..1000 request odd control "
                  "tls.offered_version=1.0 tls.offered_cipher=0x010080 tls.offered_cipher=TLS_RSA_WITH_AES_128_CBC_SHA "
                  "tls.odd=ssl2-hello\n2 server-hello server 0+47 at 1010..1010 answers 1 control tls.version=1.0 "),
            WORDS("opaque"));
  client.length = 0;
  ADD(&client, "\x80\x1f\1" OLD_BODY("\0\2"));
  find_both(WORDS("tls.offered_version=ssl2", "client opaque from 33: failed: SSL 2.0 is not decoded\n",
                  "server opaque from 0: failed"),
            WORDS("server-hello"));
}

/* ── What is odd or missing ──────────────────────────────────────────────────────────────────────────────────────── */

static void no_records(void **state)
{
  (void)state;
  client_hello(&client, &plain_hello);
  ADD(&server, "HTTP/1.1 400 Bad Request\r\n\r\n");
  find_both(WORDS("server opaque from 0: failed: what should be a record is none\n"), WORDS("client opaque"));
  server.length = 0;
  server_hello(&server, 0x0303, 0, 0xc02f, NULL, 0);
  ADD(&server, change);
  ADD(&server, "\x17\3\3\0\1a\x17\4\3\0\1a");
  find_both(WORDS("server opaque from 53: encrypted",
                  "4 encrypted server 53+6 at 1010..1010 odd "
                  "tls.odd=lost-records tls.content=application-data tls.records=1 tls.bytes=1\n"),
            WORDS("failed"));
  server.length = 0;
  ADD(&server, "\x16\3\3\x48\1");
  find_both(WORDS("server opaque from 0: failed"), NULL);
}

static void broken_hellos(void **state)
{
  (void)state;
  struct client_hello hello = {.version = 0x0303, .ciphers = LIST(1), .extensions = LIST(23, 35)};
  client_hello(&client, &hello);
  client.data[client.length - 1] = 1; /* the last extension is longer than all of them */
  find_both(WORDS("odd", "tls.extension=extended_master_secret tls.odd=bad-extensions\n"), WORDS("session_ticket"));
  client.length = 0;
  hello_body(&client, &hello);
  ADD(&client, "more");
  static struct said body;
  body = client;
  client.length = 0;
  handshake(&client, 1, body.data, body.length);
  find_both(WORDS("tls.extension=session_ticket tls.odd=bad-extensions\n"), NULL);
  client.length = 0;
  handshake(&client, 1, "\3\3short", 7);
  handshake(&client, 14, "", 0);
  handshake(&server, 1, "\3\3short", 7);
  find_both(WORDS("1 client-hello client 0+16 at 1000..1000 odd control tls.odd=bad-hello\n",
                  "2 hello-done client 16+9 at 1000..1000 odd control tls.odd=of-the-other-side\n",
                  "3 client-hello server 0+16 at 1010..1010 odd control tls.odd=of-the-other-side\n"),
            NULL);
}

static void huge_hello(void **state)
{
  (void)state;
  static struct said body;
  body.length = 0;
  u16(&body, 0x0303);
  fill(&body, 0x52, 32);
  u8(&body, 0);
  u16(&body, 32000);
  for (unsigned i = 0; i < 16000; i++)
    u16(&body, 0x4000 + i);
  u16(&body, 0x0100);
  uint8_t header[4] = {1, 0, (uint8_t)(body.length >> 8), (uint8_t)body.length};
  record(&client, 22, header, 4);
  for (size_t at = 0; at < body.length; at += 16000)
    record(&client, 22, body.data + at, body.length - at < 16000 ? body.length - at : 16000);
  find_both(WORDS("fields-cut", "tls.ja4=t12i990000_", "tls.ja3_text=771,16384-16385-", "..."), NULL);
}

static void broken_certificates(void **state)
{
  (void)state;
  static const struct {
    const char *body;
    size_t length;
    const char *wanted;
  } cases[] = {
    {"\0\0\0", 3, "control\n"},                                                    /* of a client that has none */
    {"\0\0\4\0\0\2\x30", 7, "tls.odd=bad-certificate-list\n"},                     /* the list is shorter */
    {"\0\0\5\0\0\2\x30\0", 8, "tls.odd=bad-certificate\n"},                        /* nothing in it */
    {"\0\0\5\0\0\2\x30\x80", 8, "tls.odd=bad-certificate\n"},                      /* an indefinite length */
    {"\0\0\x0a\0\0\7\x30\x85\0\0\0\0\0", 13, "tls.odd=bad-certificate\n"},         /* one of five bytes */
    {"\0\0\7\0\0\4\x30\x84\xff\xff", 10, "tls.odd=bad-certificate\n"},             /* one that is cut */
    {"\0\0\x0a\0\0\7\x30\x84\xff\xff\xff\xff\0", 13, "tls.odd=bad-certificate\n"}, /* one that is too long */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    client.length = server.length = 0;
    client_hello(&client, &plain_hello);
    handshake(&server, 11, cases[i].body, cases[i].length);
    find_both(WORDS("2 certificate server", cases[i].wanted), NULL);
  }
}

/* The least that is a certificate; its outer length in one byte, in four, and in five, which DER has no need of. */
#define TIME                                                                                                           \
  "\x17\x0d"                                                                                                           \
  "260112110000Z"
#define CONTENT "\x30\x2b\2\1\7\x30\0\x30\0\x30\x1e" TIME TIME "\x30\0\x30\0"
static void lengths_of_der(void **state)
{
  (void)state;
  client_hello(&client, &plain_hello);
  handshake(&server, 11, "\0\0\x32\0\0\x2f\x30\x2d" CONTENT, 6 + 47);
  handshake(&server, 11, "\0\0\x36\0\0\x33\x30\x84\0\0\0\x2d" CONTENT, 6 + 51);
  handshake(&server, 11, "\0\0\x37\0\0\x34\x30\x85\0\0\0\0\x2d" CONTENT, 6 + 52);
  static const char good[] = " control tls.issuer= tls.subject= tls.serial=07 tls.not_before=2026-01-12T11:00:00Z "
                             "tls.not_after=2026-01-12T11:00:00Z\n";
  char first[256], second[256];
  snprintf(first, sizeof first, "2 certificate server 0+62 at 1010..1010 answers 1%s", good);
  snprintf(second, sizeof second, "3 certificate server 62+66 at 1010..1010 answers 1%s", good);
  find_both(WORDS(first, second,
                  "4 certificate server 128+67 at 1010..1010 answers 1 odd control "
                  "tls.odd=bad-certificate\n"),
            NULL);
}

static void gaps(void **state)
{
  (void)state;
  client_hello(&client, &plain_hello);
  server_hello(&server, 0x0303, 0, 0xc02f, version_13, 8);
  const struct piece within[] = {{GG_SIDE_CLIENT, client.data, client.length, false},
                                 {GG_SIDE_SERVER, server.data, server.length, false},
                                 SERVER("\x17\3\3\0\x0a"
                                        "ab"),
                                 SERVER_GAP(7),
                                 SERVER("c\x17\3\3\0\1d")};
  transcript_find(
    WORDS("3 encrypted server 55+21 at 1020..1040 gap tls.content=application-data tls.records=2 tls.bytes=11\n"), NULL,
    within, 5);
  const struct piece beyond[] = {{GG_SIDE_CLIENT, client.data, client.length, false},
                                 {GG_SIDE_SERVER, server.data, server.length, false},
                                 SERVER("\x17\3\3\0\x0a"
                                        "ab"),
                                 SERVER_GAP(9),
                                 SERVER("\x17\3\3\0\1d"),
                                 CLIENT("\x17\3\3\0\1d")};
  transcript_find(WORDS("3 encrypted server 55+7 at 1020..1020 gap", "4 encrypted client 50+6"), NULL, beyond, 6);
  const struct piece plain[] = {{GG_SIDE_CLIENT, client.data, client.length, false},
                                {GG_SIDE_SERVER, server.data, 20, false},
                                SERVER_GAP(35),
                                CLIENT("\x15\3\3\0\2\2\x28")};
  transcript_find(WORDS("server opaque from 0: gap: bytes are missing, and records with them\n", "2 alert client 50+7"),
                  NULL, plain, 4);
}

static void damaged(void **state)
{
  (void)state;
  struct golden *golden = golden_read("tls12");
  golden_damage(golden, 7, 5000);
  golden_free(golden);
  golden = golden_read("tls13-retry");
  golden_damage(golden, 7, 5000);
  golden_free(golden);
}

/* ── Whose it is ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void identified(void **state)
{
  (void)state;
  const struct gg_decoder *tls = gg_decoder_find("tls");
  client_hello(&client, &plain_hello);
  struct gg_opening opening = {.data = {(const uint8_t *)client.data, (const uint8_t *)""}};
  for (opening.length[0] = 1; opening.length[0] < 11; opening.length[0]++)
    assert_int_equal(tls->identify(&opening), GG_LIKENESS_OPEN);
  assert_int_equal(tls->identify(&opening), GG_LIKENESS_CERTAIN);
  static const struct {
    const char *bytes;
    size_t length;
  } others[] = {
#define OTHER(text) {text, sizeof(text) - 1}
    OTHER("GET / HTTP/1.1\r\n\r\n"),
    OTHER("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    OTHER("SSH-2.0-OpenSSH_9.2\r\n"),
    OTHER("*1\r\n$4\r\nPING\r\n"),
    OTHER("220 mail ESMTP\r\n"),
    OTHER("\xff\xfd\x18\xff\xfd\x20"),
    OTHER("\5\1\0"),
    OTHER("\4\1\0\x50\1\2\3\4\0"),
    OTHER("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
    OTHER("hello\n"),
    OTHER("\x16\3\1\2\0\2\0\1\xfc\3\3"),
    OTHER("\x16\3\1\x7f\0\1\0\1\xfc\3\3"),
    OTHER("\x80\x2e\1\3\1\0\6\0\0\0\x10"),
  };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    opening.data[0] = (const uint8_t *)others[i].bytes;
    opening.length[0] = others[i].length;
    assert_int_equal(tls->identify(&opening), GG_LIKENESS_NONE);
  }
}

/* Of a client that finds nothing to offer, and a server that may have been spoken to before. */
static void only_alerts(void **state)
{
  (void)state;
  const struct piece both[] = {CLIENT("\x15\3\1\0\2\2\x50"), SERVER("\x15\3\1\0\2\2\x50")};
  transcript_find(
    WORDS("is tls from 0 0\n1 alert client 0+7 at 1000..1000 ", " tls.alert=internal_error", "2 alert server 0+7 "),
    WORDS("opaque"), both, 2);
  const struct piece alone[] = {SERVER("\x15\3\3\0\2\1\0")};
  transcript_find(WORDS("is tls from 0 0\n1 alert server 0+7 ", " tls.alert=close_notify"), WORDS("opaque"), alone, 1);
  static const char *const others[] = {"\x15\2\1\1\2\2\x50", "\x15\3\5\1\2\2\x50", "\x15\3\1\1\2\2\x50",
                                       "\x15\3\1\0\3\2\x50", "\x15\3\1\0\2\3\x50", "\x15\3\1\0\2\2\xff"};
  struct gg_opening opening = {.length = {7, 0}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    opening.data[0] = (const uint8_t *)others[i];
    assert_int_equal(gg_decoder_find("tls")->identify(&opening), GG_LIKENESS_NONE);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(ja3_as_published, clean),
    cmocka_unit_test_setup(ja3_without_grease, clean),
    cmocka_unit_test_setup(ja4_as_published, clean),
    cmocka_unit_test_setup(ja4_at_its_ends, clean),
    cmocka_unit_test_setup(tls_12, clean),
    cmocka_unit_test_setup(tls_13_with_a_retry, clean),
    cmocka_unit_test_setup(in_a_tunnel, clean),
    cmocka_unit_test_setup(turns, clean),
    cmocka_unit_test_setup(messages_and_records, clean),
    cmocka_unit_test_setup(resumed, clean),
    cmocka_unit_test_setup(early_data, clean),
    cmocka_unit_test_setup(alerts, clean),
    cmocka_unit_test_setup(hello_of_ssl_2, clean),
    cmocka_unit_test_setup(no_records, clean),
    cmocka_unit_test_setup(broken_hellos, clean),
    cmocka_unit_test_setup(huge_hello, clean),
    cmocka_unit_test_setup(broken_certificates, clean),
    cmocka_unit_test_setup(lengths_of_der, clean),
    cmocka_unit_test_setup(gaps, clean),
    cmocka_unit_test_setup(damaged, clean),
    cmocka_unit_test_setup(identified, clean),
    cmocka_unit_test_setup(only_alerts, clean),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
