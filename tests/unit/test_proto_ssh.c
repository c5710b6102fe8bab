/* SPDX-License-Identifier: Apache-2.0 */
/* The SSH decoder: published vectors of HASSH, what it tells of banners, offers and packets, and of what is encrypted,
 * good, odd and broken, however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden_session.h"

/* ── Packets out of words ────────────────────────────────────────────────────────────────────────────────────────── */

/* What one side says. */
struct said {
  char data[1 << 18];
  size_t length;
};
static struct said client, server;

static int clean(void **state)
{
  (void)state;
  client.length = server.length = 0;
  return 0;
}

static void add(struct said *said, const void *data, size_t length)
{
  assert_true(length <= sizeof said->data - said->length);
  memcpy(said->data + said->length, data, length);
  said->length += length;
}
#define ADD(said, text) add(said, text, sizeof(text) - 1)

static void u32(struct said *said, size_t number)
{
  for (int shift = 24; shift >= 0; shift -= 8)
    add(said, &(char){(char)(number >> shift)}, 1);
}

static void text(struct said *said, const char *letters)
{
  u32(said, strlen(letters));
  add(said, letters, strlen(letters));
}

static void packet(struct said *said, const void *payload, size_t length)
{
  size_t padding = 8 - (length + 5) % 8;
  padding += padding < 4 ? 8 : 0;
  u32(said, 1 + length + padding);
  add(said, &(char){(char)padding}, 1);
  add(said, payload, length);
  add(said, "\0\0\0\0\0\0\0\0\0\0\0\0", padding);
}
#define PACKET(said, bytes) packet(said, bytes, sizeof(bytes) - 1)

/* In the order of RFC 4253, 7.1; of pairs, both directions the same. */
struct offer {
  const char *kex, *key, *ciphers, *macs, *compressions;
  const char *ciphers_back; /* NULL: the same as there */
  bool guesses;
};

static void kexinit(struct said *said, const struct offer *offer)
{
  static struct said payload;
  payload.length = 0;
  ADD(&payload, "\x14"
                "0123456789abcdef");
  text(&payload, offer->kex);
  text(&payload, offer->key);
  text(&payload, offer->ciphers);
  text(&payload, offer->ciphers_back ? offer->ciphers_back : offer->ciphers);
  text(&payload, offer->macs);
  text(&payload, offer->macs);
  text(&payload, offer->compressions);
  text(&payload, offer->compressions);
  text(&payload, "");
  text(&payload, "");
  add(&payload, offer->guesses ? "\1" : "\0", 1);
  u32(&payload, 0);
  packet(said, payload.data, payload.length);
}

static const struct offer usual = {.kex = "curve25519-sha256,ecdh-sha2-nistp256",
                                   .key = "ssh-ed25519,rsa-sha2-256",
                                   .ciphers = "aes128-ctr,aes256-ctr",
                                   .macs = "hmac-sha2-256,hmac-sha1",
                                   .compressions = "none,zlib"};
#define BANNER "SSH-2.0-x\r\n"
#define NEWKEYS "\0\0\0\x0c\x0a\x15\0\0\0\0\0\0\0\0\0\0"

/* Both are behind their key exchange. */
static void exchanged(void)
{
  ADD(&client, BANNER);
  kexinit(&client, &usual);
  ADD(&client, NEWKEYS);
  ADD(&server, BANNER);
  kexinit(&server, &usual);
  ADD(&server, NEWKEYS);
}

/* ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Of what the client has said, then the server, then both have ended. */
static void find_both(const char *const *wanted, const char *const *unwanted)
{
  FIND_NOT(wanted, unwanted, {GG_SIDE_CLIENT, client.data, client.length, false},
           {GG_SIDE_SERVER, server.data, server.length, false}, CLIENT_END, SERVER_END);
}

/* ── Fingerprints ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The README of salesforce/hassh: Cyberduck. */
static void hassh_as_published(void **state)
{
  (void)state;
  ADD(&client, "SSH-2.0-Cyberduck/6.7.1.28683 (Mac OS X/10.13.6) (x86_64)\r\n");
  kexinit(
    &client,
    &(struct offer){
      .kex =
        "curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp521,ecdh-sha2-nistp384,"
        "ecdh-sha2-nistp256,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1,"
        "diffie-hellman-group14-sha1,diffie-hellman-group14-sha256,diffie-hellman-group15-sha512,"
        "diffie-hellman-group16-sha512,diffie-hellman-group17-sha512,diffie-hellman-group18-sha512,"
        "diffie-hellman-group14-sha256@ssh.com,diffie-hellman-group15-sha256,diffie-hellman-group15-sha256@ssh.com,"
        "diffie-hellman-group15-sha384@ssh.com,diffie-hellman-group16-sha256,diffie-hellman-group16-sha384@ssh.com,"
        "diffie-hellman-group16-sha512@ssh.com,diffie-hellman-group18-sha512@ssh.com",
      .key = "ssh-rsa",
      .ciphers =
        "aes128-cbc,aes128-ctr,aes192-cbc,aes192-ctr,aes256-cbc,aes256-ctr,blowfish-cbc,blowfish-ctr,"
        "cast128-cbc,cast128-ctr,idea-cbc,idea-ctr,serpent128-cbc,serpent128-ctr,serpent192-cbc,"
        "serpent192-ctr,serpent256-cbc,serpent256-ctr,3des-cbc,3des-ctr,twofish128-cbc,twofish128-ctr,"
        "twofish192-cbc,twofish192-ctr,twofish256-cbc,twofish256-ctr,twofish-cbc,arcfour,arcfour128,arcfour256",
      .ciphers_back = "none",
      .macs = "hmac-sha1,hmac-sha1-96,hmac-md5,hmac-md5-96,hmac-sha2-256,hmac-sha2-512",
      .compressions = "zlib@openssh.com,zlib,none"});
  find_both(WORDS("ssh.client=Cyberduck/6.7.1.28683 ssh.comment=(Mac_OS_X/10.13.6)_(x86_64)\n",
                  "ssh.hassh=8a8ae540028bf433cd68356c1b9e8d5b "),
            WORDS("ssh.hassh_server"));
}

/* The same page has the lists of OpenSSH 5.3; the sum of them is in the project's list of servers. */
static void hassh_server_as_published(void **state)
{
  (void)state;
  ADD(&server, "SSH-2.0-OpenSSH_5.3\r\n");
  kexinit(&server,
          &(struct offer){.kex = "diffie-hellman-group-exchange-sha256,diffie-hellman-group-exchange-sha1,"
                                 "diffie-hellman-group14-sha1,diffie-hellman-group1-sha1",
                          .key = "ssh-rsa,ssh-dss",
                          .ciphers = "none",
                          .ciphers_back = "aes128-ctr,aes192-ctr,aes256-ctr,arcfour256,arcfour128,aes128-cbc,3des-cbc,"
                                          "blowfish-cbc,cast128-cbc,aes192-cbc,aes256-cbc,arcfour,"
                                          "rijndael-cbc@lysator.liu.se",
                          .macs = "hmac-md5,hmac-sha1,umac-64@openssh.com,hmac-ripemd160,hmac-ripemd160@openssh.com,"
                                  "hmac-sha1-96,hmac-md5-96",
                          .compressions = "none,zlib@openssh.com"});
  find_both(WORDS("ssh.server=OpenSSH_5.3\n", "ssh.hassh_server=b1c6c0d56317555b85c7005a3de29325 "),
            WORDS("ssh.hassh="));
}

/* ── Before encryption ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Recorded from OpenSSH; what tshark 4.0 and ssh-keygen -l say of it. */
static void a_terminal(void **state)
{
  (void)state;
  struct golden *golden = golden_read("ssh-typed");
  transcript_find(
    WORDS("is ssh from 0 0\n1 banner client 0+41 at 1000..1000 control ssh.version=2.0 ssh.client=OpenSSH_9.2p1 "
          "ssh.comment=Debian-2+deb12u10\n",
          "2 banner server 0+41 ", "ssh.server=OpenSSH_9.2p1", "3 kexinit client 41+280 ",
          "ssh.hassh=87fd63c0702c2191c97a8cc3fb674724 ssh.offer[kex_algorithms]=curve25519-sha256,ext-info-c,",
          "4 kexinit server 41+1168 ", "ssh.hassh_server=999f0722fb5be18f3cbdeac557275a60",
          "ssh.kex=curve25519-sha256 ssh.key_algorithm=ssh-ed25519 ssh.cipher=chacha20-poly1305@openssh.com "
          "ssh.compression=none\n",
          "5 key-exchange client 321+48 at 1040..1040 request control\n",
          "6 key-exchange server 1209+192 at 1050..1050 answers 5 completes control ssh.host_key=ssh-ed25519 "
          "ssh.fingerprint=SHA256:ZZuBHK5FxDO0Wu+q07kQ5qvHKxb656DP7NQWdnUkQ3k\n",
          "7 newkeys server 1401+16 ", "server opaque from 1417: encrypted: by SSH;", "8 encrypted server 1417+316 ",
          "9 newkeys client 369+16 ", "client opaque from 385: encrypted: by SSH;", "estimate server 4069+0 ",
          " control ssh.estimate=typed ssh.keystrokes=28 ssh.bulk_sent=0 ssh.bulk_received=0\n"),
    WORDS("ssh.odd", " cut"), golden->pieces, golden->count);
  golden_free(golden);
}

static void banners(void **state)
{
  (void)state;
  FIND_NOT(
    WORDS("is ssh from 0 0\n", "1 line server 0+9 at 1000..1000 ssh.text=Welcome\n", "2 line server 9+1 ",
          "3 banner server 10+15 at 1000..1000 odd control ssh.odd=bare-line-feed ssh.version=1.99 ssh.server=old_1\n",
          "4 banner client 0+11 "),
    WORDS("opaque"), SERVER("Welcome\r\n\nSSH-1.99-old_1\n"), CLIENT(BANNER));
  FIND_NOT(
    WORDS("ssh.version=1.5 ssh.client=1.2.27\n", "client opaque from 16: failed: a version of SSH", "server opaque "),
    NULL, CLIENT("SSH-1.5-1.2.27\r\n"), SERVER("SSH-1.5-1.2.27\r\n"));
  FIND_NOT(WORDS("1 banner client 0+9 at 1000..1000 odd control ssh.version=2.0 ssh.odd=no-software\n",
                 "server opaque from 0: cut"),
           NULL, CLIENT("SSH-2.0\r\n"), SERVER("SSH-2.0-x"));
  FIND_NOT(WORDS("ssh.odd=zero-in-banner", "client opaque from 12: failed: what should be a packet is none"), NULL,
           CLIENT("SSH-2.0-\0x\r\n\0\0"), CLIENT("\0\0\0"));
  FIND_NOT(WORDS("client opaque from 0: failed: what should be the banner is none\n", "1 banner server"), NULL,
           SERVER(BANNER), CLIENT("GET / HTTP/1.1\r\n"));
}

static void lines_without_end(void **state)
{
  (void)state;
  static char many[9000];
  memset(many, 'x', sizeof many);
  FIND_NOT(WORDS("server opaque from 0: failed: a line of more than 8192 bytes before the banner\n"), NULL,
           CLIENT(BANNER), {GG_SIDE_SERVER, many, sizeof many, false});
  for (size_t i = 1; i < sizeof many; i += 4)
    many[i] = '\n';
  FIND_NOT(WORDS("1025 line server ", "server opaque from 4094: failed: more than 1024 lines before the banner\n"),
           NULL, CLIENT(BANNER), {GG_SIDE_SERVER, many, sizeof many, false});
}

/* RFC 4253, 7.1: the client's first that the server has, too. */
static void negotiation(void **state)
{
  (void)state;
  ADD(&client, BANNER);
  kexinit(&client, &(struct offer){.kex = "a,ecdh-sha2-nistp256,curve25519-sha256",
                                   .key = "rsa-sha2-256,ssh-ed25519",
                                   .ciphers = "x,aes256-ctr,aes128-ctr",
                                   .ciphers_back = "aes256-gcm@openssh.com",
                                   .macs = "hmac-sha1",
                                   .compressions = "zlib,none"});
  ADD(&server, BANNER);
  struct offer offer = usual;
  offer.ciphers_back = "aes128-ctr,aes256-gcm@openssh.com";
  kexinit(&server, &offer);
  find_both(WORDS("ssh.kex=ecdh-sha2-nistp256 ssh.key_algorithm=rsa-sha2-256 ssh.cipher=aes256-ctr "
                  "ssh.cipher=aes256-gcm@openssh.com ssh.mac=hmac-sha1 ssh.compression=zlib\n"),
            WORDS("odd", "guess"));
  client.length = 0;
  ADD(&client, BANNER);
  kexinit(&client,
          &(struct offer){.kex = "curve25519-sha25", .key = "", .ciphers = ",", .macs = "", .compressions = ""});
  find_both(WORDS(" odd control ", "ssh.odd=nothing-in-common\n"), WORDS("ssh.kex=", "ssh.cipher="));
}

static void guesses(void **state)
{
  (void)state;
  struct offer offer = usual;
  offer.guesses = true;
  ADD(&client, BANNER);
  kexinit(&client, &offer);
  PACKET(&client, "\x1e\0\0\0\1x");
  ADD(&server, BANNER);
  kexinit(&server, &usual);
  PACKET(&server, "\x1f\0\0\0\5\0\0\0\1k");
  find_both(WORDS("3 key-exchange client 251+16 at 1000..1000 request control ssh.guess=open\n", "ssh.guess=right\n",
                  "6 key-exchange server 251+24 at 1010..1010 answers 3 completes control ssh.host_key=k "
                  "ssh.fingerprint=SHA256:ht8PHytqRDVXyEcctdj9MznTxrQBGZXlMifQdRvH6q8\n"),
            NULL);
  server.length = 0;
  ADD(&server, BANNER);
  offer.kex = "ecdh-sha2-nistp256,curve25519-sha256";
  kexinit(&server, &offer);
  PACKET(&server, "\x1f\0\0\0\5\0\0\0\1k");
  PACKET(&server, "\x1f\0\0\0\5\0\0\0\1k");
  find_both(WORDS("ssh.guess=wrong\n6 key-exchange server 251+24 at 1010..1010 control ssh.guess=wrong\n"
                  "7 key-exchange server 275+24 at 1010..1010 answers 3 completes"),
            NULL);
}

static void odd_packets(void **state)
{
  (void)state;
  ADD(&client, BANNER);
  PACKET(&client, "\1\0\0\0\2\0\0\0\3bye\0\0\0\0");
  PACKET(&client, "\1\0\0\0\2\0\0\0\xffx");
  PACKET(&client, "\2");
  PACKET(&client, "\x32hello");
  ADD(&client, "\0\0\0\4\2\4\0\0");
  ADD(&client, "\0\0\0\7\4\4xxxxx");
  PACKET(&client, "\x14short");
  find_both(WORDS("2 disconnect client 11+32 at 1000..1000 control ssh.reason=2 ssh.text=bye\n",
                  "3 disconnect client 43+24 at 1000..1000 odd control ssh.odd=bad-disconnect\n",
                  "4 packet client 67+16 at 1000..1000 control\n",
                  "5 packet client 83+16 at 1000..1000 odd control ssh.odd=plain\n",
                  "6 packet client 99+8 at 1000..1000 odd control ssh.odd=short-padding\n",
                  "7 packet client 107+11 at 1000..1000 odd control ssh.odd=no-whole-blocks\n",
                  "8 kexinit client 118+16 at 1000..1000 odd control ssh.odd=bad-kexinit\n"),
            NULL);
  client.length = 0;
  exchanged();
  client.length -= 16;
  kexinit(&client, &usual);
  find_both(WORDS("3 kexinit client 251+240 at 1000..1000 odd control ssh.odd=second-kexinit\n"), NULL);
  client.length = 11;
  ADD(&client, "\0\0\0\5\4\1\0\0\0");
  find_both(WORDS("client opaque from 11: failed: what should be a packet is none"), NULL);
}

/* ── Behind it ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What came at one time is one piece, whatever it was cut into; a burst ends when the other side speaks. */
static void bursts(void **state)
{
  (void)state;
  exchanged();
  FIND_NOT(
    WORDS("client opaque from 267: encrypted", "server opaque from 267: encrypted",
          "7 encrypted client 267+7 at 1020..1030 ssh.bytes=7 ssh.pieces=2\n"
          "8 encrypted server 267+2 at 1040..1040 ssh.bytes=2 ssh.pieces=1\n"
          "9 encrypted client 274+1 at 1050..1050 ssh.bytes=1 ssh.pieces=1\n"
          "10 estimate server 269+0 at 1040..1070 control ssh.keystrokes=0 ssh.bulk_sent=0 ssh.bulk_received=0\n"),
    NULL, {GG_SIDE_CLIENT, client.data, client.length, false}, {GG_SIDE_SERVER, server.data, server.length, false},
    CLIENT("abcd"), CLIENT("efg"), SERVER("hi"), CLIENT("j"), CLIENT_END, SERVER_END);
  FIND_NOT(WORDS("7 encrypted client 267+9 at 1020..1020 gap ssh.bytes=4 ssh.pieces=1\n8 encrypted client 276+3 "),
           NULL, {GG_SIDE_CLIENT, client.data, client.length, false},
           {GG_SIDE_SERVER, server.data, server.length, false}, CLIENT("abcd"), CLIENT_GAP(5), CLIENT("efg"));
  FIND_NOT(WORDS("client opaque from 11: gap: bytes are missing before what is encrypted\n", "newkeys server"), NULL,
           {GG_SIDE_CLIENT, client.data, 100, false}, CLIENT_GAP(3),
           {GG_SIDE_SERVER, server.data, server.length, false});
}

/* AES-GCM, and a MAC of what is encrypted: packets of 8 and 16 bytes behind their lengths, and what seals them. */
static void packets_whose_length_is_plain(void **state)
{
  (void)state;
  struct offer offer = usual;
  offer.ciphers = "aes128-gcm@openssh.com";
  offer.ciphers_back = "aes128-ctr";
  offer.macs = "umac-64-etm@openssh.com";
  ADD(&client, BANNER);
  kexinit(&client, &offer);
  ADD(&server, BANNER);
  kexinit(&server, &offer);
  ADD(&server, NEWKEYS);
  FIND_NOT(WORDS("ssh.bytes=64 ssh.pieces=1 ssh.packets=2\n", "ssh.bytes=21 ssh.pieces=1 ssh.packets=2\n",
                 "ssh.bytes=2 ssh.pieces=1 ssh.packets=1\n", "ssh.bytes=19 ssh.pieces=1 ssh.packets=0\n",
                 "ssh.bytes=3 ssh.pieces=1\n", "ssh.bytes=4 ssh.pieces=1\n"),
           NULL, {GG_SIDE_CLIENT, client.data, client.length, false},
           {GG_SIDE_SERVER, server.data, server.length, false}, CLIENT(NEWKEYS),
           CLIENT("\0\0\0\x08"
                  "01234567"
                  "0123456789abcdef"
                  "\0\0\0\x10"
                  "0123456789abcdef"
                  "0123456789abcdef"),
           SERVER("\0\0\0\x08"
                  "0123456789abcdef"
                  "\0"),
           CLIENT("\0\0"),
           SERVER("\0\0\x08"
                  "0123456789abcdef"),
           CLIENT_GAP(1), CLIENT("xxx"), SERVER("\0\0\0\x09"));
}

/* With times of their own: what is told of bytes at these times, `step` bytes at a time. */
struct timed {
  enum gg_side side;
  size_t bytes;
  uint64_t milliseconds; /* since the one before */
};

static char *told_of(const struct timed *timed, size_t count, size_t step)
{
  struct transcript *transcript = calloc(1, sizeof *transcript);
  assert_non_null(transcript);
  struct gg_message_sink sink = transcript_sink(transcript);
  struct gg_decoding *decoding = NULL;
  static const char bytes[1 << 17];
  assert_int_equal(gg_decoding_create(&decoding, NULL, &sink, NULL), 0);
  gg_decoding_push(decoding, GG_SIDE_CLIENT, 0, 0, client.data, client.length);
  gg_decoding_push(decoding, GG_SIDE_SERVER, 0, 0, server.data, server.length);
  uint64_t offset[2] = {client.length, server.length}, now = 0;
  for (size_t i = 0; i < count; i++) {
    now += timed[i].milliseconds * 1000000;
    for (size_t done = 0, piece; done < timed[i].bytes; done += piece) {
      piece = timed[i].bytes - done < step ? timed[i].bytes - done : step;
      gg_decoding_push(decoding, timed[i].side, offset[timed[i].side], now, bytes, piece);
      offset[timed[i].side] += piece;
    }
  }
  gg_decoding_finish(decoding, now);
  gg_decoding_destroy(decoding);
  char *text_told = transcript->text;
  free(transcript);
  return text_told;
}

static void estimated(const char *wanted, const struct timed *timed, size_t count)
{
  char *whole = told_of(timed, count, 1 << 17), *cut = told_of(timed, count, 7);
  if (!strstr(whole, wanted))
    fail_msg("no '%s' in:\n%s", wanted, whole);
  assert_string_equal(whole, cut);
  free(whole);
  free(cut);
}

static void pauses(void **state)
{
  (void)state;
  exchanged();
  const struct timed timed[] = {{GG_SIDE_SERVER, 10, 0}, {GG_SIDE_SERVER, 10, 500}, {GG_SIDE_SERVER, 10, 501}};
  estimated("7 encrypted server 267+20 at 0..500000000 ssh.bytes=20 ssh.pieces=2\n"
            "8 encrypted server 287+10 at 1001000000..1001000000 ssh.bytes=10 ssh.pieces=1\n",
            timed, 3);
}

static void keystrokes(void **state)
{
  (void)state;
  exchanged();
  struct timed timed[40];
  size_t count = 0;
  for (size_t i = 0; i < 8; i++) {
    timed[count++] = (struct timed){GG_SIDE_CLIENT, 36, 150};
    timed[count++] = (struct timed){GG_SIDE_SERVER, 36, 2};
  }
  estimated("ssh.estimate=typed ssh.keystrokes=8 ", timed, count);
  estimated(" control ssh.keystrokes=0 ", timed, 8); /* four are too few to be sure of */
  timed[1].milliseconds = 1001;                      /* no echo: too late, too long, or none */
  timed[3].bytes = 513;
  timed[5].bytes = 0;
  timed[7].milliseconds = 1000;
  estimated("ssh.estimate=typed ssh.keystrokes=6 ", timed, count);
  for (size_t i = 0; i < count; i++)
    if (timed[i].side == GG_SIDE_CLIENT)
      timed[i].bytes = 97; /* no key is that long */
  estimated(" control ssh.keystrokes=0 ", timed, count);
}

static void bulk(void **state)
{
  (void)state;
  exchanged();
  const struct timed up[] = {{GG_SIDE_CLIENT, 100000, 10}, {GG_SIDE_SERVER, 1000, 10},   {GG_SIDE_CLIENT, 100000, 10},
                             {GG_SIDE_SERVER, 1000, 1},    {GG_SIDE_CLIENT, 100000, 10}, {GG_SIDE_CLIENT, 5, 2000}};
  estimated("ssh.estimate=bulk-sent ssh.keystrokes=0 ssh.bulk_sent=300000 ssh.bulk_received=0\n", up, 6);
  const struct timed slow[] = {
    {GG_SIDE_SERVER, 130000, 10}, {GG_SIDE_SERVER, 130000, 1001}, {GG_SIDE_SERVER, 130000, 1}};
  estimated(" ssh.bulk_received=0\n", slow, 2);
  estimated(" ssh.bulk_received=0\n", slow, 3); /* 260,000 are less than 256 KiB */
  const struct timed both[] = {
    {GG_SIDE_SERVER, 131072, 10}, {GG_SIDE_CLIENT, 60000, 1}, {GG_SIDE_SERVER, 131072, 1}, {GG_SIDE_CLIENT, 60000, 1}};
  estimated(" ssh.bulk_received=0\n", both, 4); /* a conversation */
  const struct timed down[] = {{GG_SIDE_SERVER, 131072, 10}, {GG_SIDE_SERVER, 131072, 1}};
  estimated("ssh.estimate=bulk-received ssh.keystrokes=0 ssh.bulk_sent=0 ssh.bulk_received=262144\n", down, 2);
}

static void damaged(void **state)
{
  (void)state;
  struct golden *golden = golden_read("ssh-typed");
  golden_damage(golden, 17, 0);
  size_t all = golden->count;
  golden->count = 9; /* what is plain: behind it every byte is as good as another */
  golden_damage(golden, 5, 10000);
  golden->count = all;
  golden_free(golden);
}

/* ── Whose it is ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void identified(void **state)
{
  (void)state;
  const struct gg_decoder *ssh = gg_decoder_find("ssh");
  for (unsigned side = 0; side < 2; side++) {
    struct gg_opening opening = {.data = {(const uint8_t *)BANNER, (const uint8_t *)BANNER}};
    for (opening.length[side] = 1; opening.length[side] < 6; opening.length[side]++)
      assert_int_equal(ssh->identify(&opening), GG_LIKENESS_OPEN);
    assert_int_equal(ssh->identify(&opening), GG_LIKENESS_CERTAIN);
  }
  static const struct {
    const char *bytes;
    size_t length;
  } others[] = {
#define OTHER(text) {text, sizeof(text) - 1}
    OTHER("GET / HTTP/1.1\r\n\r\n"),
    OTHER("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    OTHER("\x16\3\1\0\x50\1\0\0\x4c\3\3"),
    OTHER("*1\r\n$4\r\nPING\r\n"),
    OTHER("220 mail ESMTP\r\n"),
    OTHER("\xff\xfd\x18\xff\xfd\x20"),
    OTHER("\5\1\0"),
    OTHER("\4\1\0\x50\1\2\3\4\0"),
    OTHER("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
    OTHER("SSH-hello\n"),
    OTHER("SSH-2x"),
  };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    for (unsigned side = 0; side < 2; side++) {
      struct gg_opening opening = {.data = {(const uint8_t *)others[i].bytes, (const uint8_t *)others[i].bytes}};
      opening.length[side] = others[i].length;
      assert_int_equal(ssh->identify(&opening), GG_LIKENESS_NONE);
    }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(hassh_as_published, clean),
    cmocka_unit_test_setup(hassh_server_as_published, clean),
    cmocka_unit_test_setup(a_terminal, clean),
    cmocka_unit_test_setup(banners, clean),
    cmocka_unit_test_setup(lines_without_end, clean),
    cmocka_unit_test_setup(negotiation, clean),
    cmocka_unit_test_setup(guesses, clean),
    cmocka_unit_test_setup(odd_packets, clean),
    cmocka_unit_test_setup(bursts, clean),
    cmocka_unit_test_setup(packets_whose_length_is_plain, clean),
    cmocka_unit_test_setup(pauses, clean),
    cmocka_unit_test_setup(keystrokes, clean),
    cmocka_unit_test_setup(bulk, clean),
    cmocka_unit_test_setup(damaged, clean),
    cmocka_unit_test_setup(identified, clean),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
