/* SPDX-License-Identifier: Apache-2.0 */
/* The WebSocket decoder: the examples of RFC 6455 and 7692, odd and broken frames, and what a random sender sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/websocket_frames.h"
#include "transcript.h"

#ifdef GG_HAVE_ZLIB
#include <zlib.h>
#endif

static const struct gg_decoding_options named = {.size = sizeof named, .decoder = "websocket"};
#define TELL_FRAMES(wanted, ...) TELL_AS(&named, "is websocket from 0 0\n" wanted, __VA_ARGS__)

/* Behind a handshake whose response has these extensions: what is told from the first frame on, which is message 3. */
static void tell_upgraded(const char *wanted, const char *extensions, struct piece frame)
{
  static const char request[] = "GET /chat HTTP/1.1\r\nHost: x.test\r\nConnection: keep-alive, Upgrade\r\n"
                                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";
  char response[512];
  int length = snprintf(response, sizeof response,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Extensions: %s\r\n\r\n",
                        extensions);
  const struct piece pieces[] = {
    CLIENT(request), {GG_SIDE_SERVER, response, (size_t)length, false}, frame, CLIENT_END, SERVER_END};
  char *told = transcript_checked(NULL, pieces, sizeof pieces / sizeof *pieces);
  char *frames = strstr(told, "is websocket from ");
  assert_non_null(frames);
  char *third = strstr(frames, "\n3 ");
  assert_non_null(third);
  char *fields = strstr(third, " at "); /* offsets depend on the extensions' length */
  assert_non_null(fields);
  assert_string_equal(fields, wanted);
  free(told);
}

#define MASKED_HELLO "\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"

/* ── RFC 6455, 5.7 ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void single_frames(void **state)
{
  (void)state;
  TELL_FRAMES("1 text server 0+7 at 1000..1000 unsolicited body 5 (5 raw, 00000000042628b2) Hello\n"
              "2 text client 0+11 at 1010..1010 body 5 (5 raw, 00000000042628b2) Hello\n",
              SERVER("\x81\x05Hello"), CLIENT("\x81" MASKED_HELLO));
}

static void fragments_with_a_ping_between(void **state)
{
  (void)state;
  TELL_FRAMES("2 ping server 5+4 at 1010..1010 unsolicited control body 2 (2 raw, 0000000000000d01) hi\n"
              "1 text server 0+13 at 1000..1020 unsolicited ws.fragments=2 body 5 (5 raw, 00000000042628b2) Hello\n",
              SERVER("\x01\x03Hel"), SERVER("\x89\x02hi"), SERVER("\x80\x02lo"));
}

static void pongs_answer_pings(void **state)
{
  (void)state;
  TELL_FRAMES("1 ping server 0+7 at 1000..1000 unsolicited control body 5 (5 raw, 00000000042628b2) Hello\n"
              "2 ping server 7+2 at 1000..1000 unsolicited control\n"
              "3 ping server 9+2 at 1000..1000 unsolicited control\n"
              "4 pong client 0+11 at 1010..1010 answers 1 control body 5 (5 raw, 00000000042628b2) Hello\n"
              "5 pong client 11+6 at 1010..1010 answers 2 control\n"
              "6 pong client 17+6 at 1010..1010 answers 3 control\n"
              "7 pong client 23+6 at 1010..1010 control\n"
              "8 pong server 11+2 at 1020..1020 unsolicited control\n",
              SERVER("\x89\x05Hello\x89\x00\x89\x00"),
              CLIENT("\x8a" MASKED_HELLO "\x8a\x80mask\x8a\x80mask\x8a\x80mask"), SERVER("\x8a\x00"));
}

static void lengths(void **state)
{
  (void)state;
  static char medium[4 + 256] = "\x82\x7e\x01", large[10 + 65536] = "\x82\x7f\0\0\0\0\0\x01";
  const struct piece pieces[] = {{GG_SIDE_SERVER, medium, sizeof medium, false},
                                 {GG_SIDE_SERVER, large, sizeof large, false}};
  transcript_tell(
    &named,
    "is websocket from 0 0\n"
    "1 binary server 0+260 at 1000..1000 unsolicited body 256 (256 raw, 0000000000000000) "
    "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
    "\\x00"
    "\\x00\n"
    "2 binary server 260+65546 at 1010..1010 unsolicited body 65536 (65536 raw, 0000000000000000) "
    "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
    "\\x00"
    "\\x00\n",
    pieces, 2);
}

static void closing(void **state)
{
  (void)state;
  TELL_FRAMES("1 close client 0+11 at 1000..1000 control ws.close_code=1000 ws.close_reason=bye body 5 (5 raw, "
              "0000000000953b89) \\x03\\xe8bye\n"
              "2 close server 0+4 at 1010..1010 answers 1 control ws.close_code=1000 body 2 (2 raw, 0000000000000145) "
              "\\x03\\xe8\n",
              CLIENT("\x88\x85\x01\x02\x03\x04\x02\xea\x61\x7d\x64"), SERVER("\x88\x02\x03\xe8"));
}

/* ── RFC 7692, 7.2.3 ─────────────────────────────────────────────────────────────────────────────────────────────── */

static void compressed(void **state)
{
  (void)state;
#ifdef GG_HAVE_ZLIB
#define INFLATED(raw) "ws.compressed=inflated body 5 (" #raw " raw, 00000000042628b2) Hello\n"
  TELL_FRAMES("1 text server 0+9 at 1000..1000 unsolicited " INFLATED(7) /* one block */
              "2 text server 9+7 at 1000..1000 unsolicited " INFLATED(5) /* by the window */
              "3 text server 16+11 at 1000..1000 unsolicited ws.compressed=inflated ws.fragments=2 body 5 (7 raw, "
              "00000000042628b2) Hello\n"
              "4 text server 27+13 at 1000..1000 unsolicited " INFLATED(11)            /* stored */
              "5 text server 40+10 at 1000..1000 unsolicited " INFLATED(8)             /* a last block */
              "6 text server 50+7 at 1000..1000 unsolicited " INFLATED(5)              /* and on */
              "7 text server 57+15 at 1000..1000 unsolicited " INFLATED(13)            /* two blocks */
              "8 text server 72+3 at 1000..1000 unsolicited ws.compressed=inflated\n", /* nothing */
              SERVER("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
                     "\xc1\x05\xf2\x00\x11\x00\x00"
                     "\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"
                     "\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"
                     "\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
                     "\xc1\x05\xf2\x00\x11\x00\x00"
                     "\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
                     "\xc1\x01\x00"));
#else
  TELL_FRAMES("1 text server 0+9 at 1000..1000 unsolicited ws.compressed=kept body 7 (7 raw, 0000003288281470) "
              "\\xf2H\\xcd\\xc9\\xc9\\x07\\x00\n",
              SERVER("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"));
#endif
}

static void what_was_agreed_upon(void **state)
{
  (void)state;
  const struct piece server = SERVER("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
  tell_upgraded(" at 1020..1020 unsolicited odd ws.odd=reserved-bits ws.odd=bad-utf-8 body 7 (7 raw, "
                "0000003288281470) \\xf2H\\xcd\\xc9\\xc9\\x07\\x00\n",
                "", server);
  tell_upgraded(" at 1020..1020 unsolicited ws.compressed=kept body 7 (7 raw, 0000003288281470) "
                "\\xf2H\\xcd\\xc9\\xc9\\x07\\x00\n",
                "x-other; permessage-deflate", server);
#ifdef GG_HAVE_ZLIB
  tell_upgraded(" at 1020..1020 unsolicited " INFLATED(7), "permessage-deflate", server);
  tell_upgraded(" at 1020..1020 unsolicited " INFLATED(7), "foo, Permessage-Deflate ; server_max_window_bits=\"8\"",
                server);
  /* The second message needs the window of the first one, which the side has agreed to forget. */
  tell_upgraded(" at 1020..1020 unsolicited " INFLATED(
                  7) "4 text server 160+7 at 1020..1020 unsolicited odd "
                     "ws.compressed=inflated ws.odd=bad-deflate body 1 (5 raw, 0000000000000048) H\n"
                     "5 text server 167+9 at 1020..1020 unsolicited " INFLATED(7),
                "permessage-deflate; server_no_context_takeover",
                (struct piece)SERVER("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
                                     "\xc1\x05\xf2\x00\x11\x00\x00"
                                     "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"));
#endif
}

#ifdef GG_HAVE_ZLIB
static void damaged_compression_is_left_alone(void **state)
{
  (void)state;
  TELL_FRAMES("1 text server 0+6 at 1000..1000 unsolicited odd ws.compressed=inflated ws.odd=bad-deflate\n"
              "2 text server 6+9 at 1000..1000 unsolicited ws.compressed=kept body 7 (7 raw, 0000003288281470) "
              "\\xf2H\\xcd\\xc9\\xc9\\x07\\x00\n"
              "3 text server 15+7 at 1000..1000 unsolicited body 5 (5 raw, 00000000042628b2) Hello\n",
              SERVER("\xc1\x04\xff\xff\xff\xff\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x81\x05Hello"));
}
#endif

/* ── Odd ones ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void odd_frames(void **state)
{
  (void)state;
  TELL_FRAMES("1 text client 0+4 at 1000..1000 odd ws.odd=unmasked body 2 (2 raw, 0000000000000d01) hi\n"
              "2 text client 4+10 at 1000..1000 odd ws.odd=long-length body 2 (2 raw, 00000000000000a5) \\x05\\x0a\n",
              CLIENT("\x81\x02hi\x81\xfe\x00\x02\x01\x02\x03\x04\x04\x08"));
  TELL_FRAMES("1 text server 0+8 at 1000..1000 unsolicited odd ws.odd=masked body 2 (2 raw, 0000000000000d01) hi\n",
              SERVER("\x81\x82\0\0\0\0hi"));
  TELL_FRAMES(
    "1 text server 0+4 at 1000..1000 unsolicited odd ws.odd=reserved-bits body 2 (2 raw, 0000000000000d01) hi\n"
    "2 other server 4+4 at 1000..1000 unsolicited odd ws.opcode=3 ws.odd=reserved-opcode body 2 (2 raw, "
    "0000000000000d01) hi\n"
    "3 other server 8+2 at 1000..1000 unsolicited odd ws.opcode=0 ws.odd=no-beginning\n"
    "4 ping server 10+2 at 1000..1000 unsolicited odd control ws.odd=fragmented-control\n"
    "5 text server 12+3 at 1000..1000 unsolicited odd ws.odd=unfinished body 1 (1 raw, 0000000000000061) a\n"
    "6 text server 15+4 at 1000..1000 unsolicited odd ws.odd=bad-utf-8 body 2 (2 raw, 00000000000017fe) \\xc0\\xbe\n"
    "7 text server 19+4 at 1000..1000 unsolicited odd ws.odd=bad-utf-8 body 2 (2 raw, 0000000000001be0) \\xe2\\x82"
    "\n"
    "8 close server 23+3 at 1000..1000 unsolicited odd control ws.odd=bad-close body 1 (1 raw, 0000000000000003) "
    "\\x03\n"
    "9 text server 26+2 at 1000..1000 unsolicited odd ws.odd=after-close\n"
    "10 close server 28+4 at 1000..1000 unsolicited odd control ws.odd=after-close ws.close_code=1006 "
    "ws.odd=bad-close-code body 2 (2 raw, 000000000000014b) \\x03\\xee\n",
    SERVER("\xb1\x02hi\x83\x02hi\x80\x00\x09\x00\x01\x01"
           "a\x81\x02\xc0\xbe\x81\x02\xe2\x82\x88\x01\x03\x81\x00\x88\x02\x03\xee"));
}

static void a_long_control_frame(void **state)
{
  (void)state;
  static char frame[4 + 200] = "\x89\x7e\0\xc8";
  const struct piece pieces[] = {{GG_SIDE_SERVER, frame, sizeof frame, false}};
  transcript_tell(
    &named,
    "is websocket from 0 0\n"
    "1 ping server 0+204 at 1000..1000 unsolicited odd control ws.odd=long-control body 200 (200 raw, "
    "0000000000000000) "
    "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
    "\\x00"
    "\\x00\n",
    pieces, 1);
}

static void a_length_beyond_all(void **state)
{
  (void)state;
  TELL_FRAMES("1 binary server 0+10 at 1000..1000 unsolicited cut\n"
              "server opaque from 10: failed: a frame of 2^63 bytes or more\n"
              "2 text client 0+11 at 1010..1010 body 5 (5 raw, 00000000042628b2) Hello\n",
              SERVER("\x82\x7f\x80\0\0\0\0\0\0\0more"), CLIENT("\x81" MASKED_HELLO));
}

static void gaps(void **state)
{
  (void)state;
  /* Within a payload it is a hole, and the mask goes on behind it. */
  TELL_FRAMES("1 text client 0+11 at 1000..1020 gap body 3 (3 raw, 0000000000011bcb) Hlo\n",
              CLIENT("\x81\x85\x37\xfa\x21\x3d\x7f"), CLIENT_GAP(2), CLIENT("\x51\x58"));
  TELL_FRAMES("1 text client 0+7 at 1000..1000 cut body 1 (1 raw, 0000000000000048) H\n"
              "client opaque from 7: gap: bytes are missing\n"
              "server opaque from 0: gap: bytes are missing\n",
              CLIENT("\x81\x85\x37\xfa\x21\x3d\x7f"), CLIENT_GAP(5), CLIENT("\x51\x58"));
#ifdef GG_HAVE_ZLIB
  TELL_FRAMES(
    "1 text server 0+9 at 1000..1020 unsolicited gap ws.compressed=inflated body 2 (6 raw, 000000000000091d) He\n"
    "2 text server 9+7 at 1020..1020 unsolicited ws.compressed=kept body 5 (5 raw, 000000000d5277c3) "
    "\\xf2\\x00\\x11\\x00\\x00\n",
    SERVER("\xc1\x07\xf2\x48\xcd"), SERVER_GAP(1), SERVER("\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00"));
#endif
}

static void ends_in_the_middle(void **state)
{
  (void)state;
  TELL_FRAMES("1 text server 0+1 at 1000..1000 unsolicited cut\n", SERVER("\x81"));
  TELL_FRAMES("1 text server 0+4 at 1000..1000 unsolicited cut body 2 (2 raw, 0000000000000d01) hi\n",
              SERVER("\x01\x02hi"), SERVER_END);
}

/* ── Summaries ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct summaries {
  char text[1024];
};

static void add_summary(void *context, const struct gg_message *message)
{
  struct summaries *told = context;
  size_t length = strlen(told->text);
  snprintf(told->text + length, sizeof told->text - length, "%s\n", message->summary);
}

static void summaries(void **state)
{
  (void)state;
  static const char frames[] = "\x81\x05hello\x82\x03\x01\x02\x03\x88\x0c\x03\xf1going away\x89\x00\x81\x00"
                               "\x81\x2d{\"user\":\"ann\",\"password\":\"s3cret\",\"n\":[1,2]} "
                               "\x81\x6d"
                               "1234567890123456789012345678901234567890123456789012345678901234567890"
                               "12345678901234567890123456789\xc3\xa4the end ";
  struct summaries told = {{0}};
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = &told;
  sink.end = add_summary;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = "websocket";
  struct gg_decoding *decoding = NULL;
  assert_int_equal(gg_decoding_create(&decoding, &options, &sink, NULL), 0);
  gg_decoding_push(decoding, GG_SIDE_SERVER, 0, 1, frames, sizeof frames - 1);
  gg_decoding_finish(decoding, 2);
  gg_decoding_destroy(decoding);
  assert_string_equal(told.text, "text hello\nbinary, 3 bytes\nclose 1009 going away\nping, 0 bytes\ntext, 0 bytes\n"
                                 "text {\"user\":\"ann\",\"password\":\"******\",\"n\":[1,2]} \n"
                                 "text 1234567890123456789012345678901234567890123456789012345678901234567890"
                                 "12345678901234567890123456789...\n");
}

/* ── A random sender ─────────────────────────────────────────────────────────────────────────────────────────────── */

struct sender {
  unsigned seed;
  bool client;
  uint8_t *bytes; /* what it has sent */
  size_t length;
  char *wanted; /* what is to be told of it: kind, length and sum of each data message */
  size_t wanted_length;
#ifdef GG_HAVE_ZLIB
  z_stream zlib;
#endif
  bool deflate, takeover;
};

static unsigned dice(struct sender *sender, unsigned sides)
{
  return (unsigned)rand_r(&sender->seed) % sides;
}

static void send_frame(struct sender *sender, unsigned first, const uint8_t *payload, size_t length)
{
  sender->bytes = realloc(sender->bytes, sender->length + length + 14);
  assert_non_null(sender->bytes);
  uint8_t *at = sender->bytes + sender->length, mask[4] = {0};
  *at++ = (uint8_t)first;
  unsigned flag = sender->client ? 0x80 : 0;
  if (length < 126) {
    *at++ = (uint8_t)(flag | length);
  } else if (length < 65536) {
    *at++ = (uint8_t)(flag | 126);
    *at++ = (uint8_t)(length >> 8);
    *at++ = (uint8_t)length;
  } else {
    *at++ = (uint8_t)(flag | 127);
    for (int shift = 56; shift >= 0; shift -= 8)
      *at++ = (uint8_t)((uint64_t)length >> shift);
  }
  for (unsigned i = 0; sender->client && i < 4; i++)
    *at++ = mask[i] = (uint8_t)dice(sender, 256);
  for (size_t i = 0; i < length; i++)
    *at++ = payload[i] ^ mask[i % 4];
  sender->length = (size_t)(at - sender->bytes);
}

/* The payload of a message as it is sent, and whether it is compressed. */
static uint8_t *pack(struct sender *sender, const uint8_t *body, size_t *length, bool *is_packed)
{
  uint8_t *packed = malloc(*length + 1024);
  assert_non_null(packed);
  *is_packed = sender->deflate && *length && dice(sender, 4);
  if (!*is_packed) {
    memcpy(packed, body, *length);
    return packed;
  }
#ifdef GG_HAVE_ZLIB
  if (!sender->takeover)
    deflateReset(&sender->zlib);
  sender->zlib.next_in = (Bytef *)(uintptr_t)body;
  sender->zlib.avail_in = (uInt)*length;
  sender->zlib.next_out = packed;
  sender->zlib.avail_out = (uInt)(*length + 1024);
  assert_int_equal(deflate(&sender->zlib, Z_SYNC_FLUSH), Z_OK);
  *length = *length + 1024 - sender->zlib.avail_out - 4;
#endif
  return packed;
}

static void send_message(struct sender *sender)
{
  static const size_t sizes[] = {0, 1, 125, 126, 127, 4095, 4096, 4097, 9000, 65535, 65536, 100000};
  size_t length = dice(sender, 3) ? dice(sender, 300) : sizes[dice(sender, sizeof sizes / sizeof *sizes)];
  uint8_t *body = malloc(length + 1);
  assert_non_null(body);
  uint64_t sum = 0;
  unsigned letters = 1 + dice(sender, 60);
  for (size_t i = 0; i < length; i++) {
    body[i] = (uint8_t)('A' + dice(sender, letters));
    sum = sum * 31 + body[i];
  }
  sender->wanted = realloc(sender->wanted, sender->wanted_length + 64);
  assert_non_null(sender->wanted);
  bool binary = dice(sender, 2), is_packed;
  sender->wanted_length += (size_t)snprintf(sender->wanted + sender->wanted_length, 64, "%s %zu %" PRIx64 "\n",
                                            binary ? "binary" : "text", length, sum);
  uint8_t *payload = pack(sender, body, &length, &is_packed);
  unsigned first = (binary ? 2u : 1u) | (is_packed ? 0x40u : 0);
  for (size_t done = 0, part;; done += part) {
    part = dice(sender, 2) ? length - done : dice(sender, (unsigned)(length - done) + 1);
    bool last = part == length - done && dice(sender, 8);
    send_frame(sender, first | (last ? 0x80u : 0), payload + done, part);
    if (last)
      break;
    first = 0;
    if (!dice(sender, 3))
      send_frame(sender, 0x89, body, done < 100 ? done : 100);
  }
  free(payload);
  free(body);
}

struct got {
  char *text;
  size_t length;
  uint64_t sum;
  unsigned odd;
};

static void got_body(void *context, const struct gg_message *message, const struct gg_body *piece)
{
  struct got *got = context;
  for (size_t i = 0; message->kind[0] != 'p' && i < piece->length; i++)
    got->sum = got->sum * 31 + piece->data[i];
}

static void got_end(void *context, const struct gg_message *message)
{
  struct got *got = context;
  got->odd += (message->flags & (GG_MESSAGE_ODD | GG_MESSAGE_CUT)) != 0;
  if (message->kind[0] == 'p')
    return;
  got->text = realloc(got->text, got->length + 64);
  assert_non_null(got->text);
  got->length += (size_t)snprintf(got->text + got->length, 64, "%s %" PRIu64 " %" PRIx64 "\n", message->kind,
                                  message->body_length, got->sum);
  got->sum = 0;
}

/* Pushes what was sent behind a handshake, in pieces of up to `step` bytes. */
static void receive(struct sender *sender, const char *extensions, unsigned step)
{
  static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
  char response[256];
  size_t length = (size_t)snprintf(response, sizeof response,
                                   "HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                                   "Sec-WebSocket-Extensions: %s\r\n\r\n",
                                   extensions);
  struct got got = {0};
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = &got;
  struct gg_decoding *decoding = NULL;
  sink.body = got_body;
  sink.end = got_end;
  assert_int_equal(gg_decoding_create(&decoding, NULL, &sink, NULL), 0);
  gg_decoding_push(decoding, GG_SIDE_CLIENT, 0, 1, request, sizeof request - 1);
  gg_decoding_push(decoding, GG_SIDE_SERVER, 0, 1, response, length);
  assert_string_equal(gg_decoding_decoder(decoding)->name, "websocket");
  got.length = 0;
  enum gg_side side = sender->client ? GG_SIDE_CLIENT : GG_SIDE_SERVER;
  uint64_t from = sender->client ? sizeof request - 1 : length;
  for (size_t done = 0, part; done < sender->length; done += part) {
    part = 1 + dice(sender, step);
    part = part < sender->length - done ? part : sender->length - done;
    gg_decoding_push(decoding, side, from + done, 2, sender->bytes + done, part);
    assert_true(gg_decoding_memory(decoding) < 80 << 10);
  }
  gg_decoding_finish(decoding, 3);
  gg_decoding_destroy(decoding);
  assert_int_equal(got.odd, 0);
  assert_int_equal(got.length, sender->wanted_length);
  assert_memory_equal(got.text, sender->wanted, got.length);
  free(got.text);
}

static void a_random_sender(void **state)
{
  (void)state;
  for (unsigned seed = 1; seed <= 24; seed++) {
    struct sender sender = {.seed = seed, .client = seed & 1, .takeover = seed & 2};
    unsigned bits = 9 + seed % 7;
    char extensions[128];
    snprintf(extensions, sizeof extensions, "permessage-deflate; %s_max_window_bits=%u%s%s",
             sender.client ? "client" : "server", bits, sender.takeover ? "" : "; ",
             sender.takeover ? ""
             : sender.client ? "client_no_context_takeover"
                             : "server_no_context_takeover");
#ifdef GG_HAVE_ZLIB
    sender.deflate = seed % 3;
    assert_int_equal(deflateInit2(&sender.zlib, 1 + (int)seed % 9, Z_DEFLATED, -(int)bits, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
#endif
    for (unsigned i = 0; i < 30; i++)
      send_message(&sender);
    receive(&sender, extensions, 1);
    receive(&sender, extensions, 50);
    receive(&sender, extensions, 1 << 20);
#ifdef GG_HAVE_ZLIB
    deflateEnd(&sender.zlib);
#endif
    free(sender.bytes);
    free(sender.wanted);
  }
}

/* ── Within another protocol ─────────────────────────────────────────────────────────────────────────────────────── */

/* As HTTP/2 carries it: pieces with a length in front of each, bytes of others between them, and 0 for the end. */
struct carrier {
  struct gg__ws ws;
  size_t left[2];
  bool ended[2];
};

static const struct gg_decoder_field carrier_fields[] = {{"carrier.none", GG_FIELD_TEXT, false, "nothing", NULL},
                                                         GG__WS_FIELDS_AT(1),
                                                         {NULL, GG_FIELD_TEXT, false, NULL, NULL}};

static void carrier_open(void *state, struct gg_decoding *decoding, const struct gg_become *became)
{
  (void)decoding;
  (void)became;
  gg__ws_init(&((struct carrier *)state)->ws, "permessage-deflate", &carrier_fields[1], 1, 7);
}

static size_t carrier_push(void *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct carrier *carrier = state;
  size_t *left = &carrier->left[window->side], taken = *left < window->length ? *left : window->length;
  const char *why = NULL;
  if (carrier->ended[window->side])
    return window->length;
  if (*left) {
    assert_int_equal(gg__ws_push(&carrier->ws, decoding, window->side, window->offset, window->data, taken, &why),
                     taken);
    assert_null(why);
    *left -= taken;
    return taken;
  }
  *left = window->data[0];
  carrier->ended[window->side] = *left == 0;
  if (*left == 0)
    gg__ws_finish(&carrier->ws, decoding, window->side, window->offset);
  return 1;
}

static void within_another_protocol(void **state)
{
  (void)state;
  static const char *const kinds[] = {"none", GG__WS_KINDS, NULL};
  static const struct gg_decoder decoder = {GG_DECODER_HEAD,
                                            .name = "carrier",
                                            .protocol = "carrier",
                                            .title = "a carrier",
                                            .kinds = kinds,
                                            .fields = carrier_fields,
                                            .state_bytes = sizeof(struct carrier),
                                            .open = carrier_open,
                                            .push = carrier_push};
  const struct gg_decoder *const more[] = {&decoder};
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = "carrier";
  options.more = more;
  options.more_count = 1;
  /* A head is in two pieces, and a code with its reason, too. */
  const struct piece pieces[] = {CLIENT("\x03\x81\x85\x37\x08\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
                                 SERVER("\x06\x41\x04\xf2\x48\xcd\xc9"),
                                 SERVER("\x03\x88\x05\x03\x04\xe8"
                                        "bye"),
                                 SERVER("\0rest"), CLIENT("\0")};
  char *told = transcript_checked(&options, pieces, sizeof pieces / sizeof *pieces);
  assert_string_equal(
    told, "is carrier from 0 0\n"
          "1 text client 1+12 at 1000..1000 stream 7 body 5 (5 raw, 00000000042628b2) Hello\n"
          "3 close server 8+8 at 1020..1020 stream 7 unsolicited control ws.close_code=1000 ws.close_reason=bye "
          "body 5 (5 raw, 0000000000953b89) \\x03\\xe8bye\n"
          "2 text server 1+15 at 1010..1020 stream 7 unsolicited cut ws.compressed=inflated body 3 (4 raw, "
          "0000000000011aef) Hel\n");
  free(told);
}

/* ── Hostile ones ────────────────────────────────────────────────────────────────────────────────────────────────── */

#ifdef GG_HAVE_ZLIB
struct count {
  uint64_t bytes, odd;
};

static void count_body(void *context, const struct gg_message *message, const struct gg_body *piece)
{
  (void)message;
  ((struct count *)context)->bytes += piece->length;
}

static void count_end(void *context, const struct gg_message *message)
{
  const struct gg_field *field = gg_message_field(message, "ws.odd", NULL);
  ((struct count *)context)->odd += field && field->length == 4 && memcmp(field->value, "bomb", 4) == 0;
}

/* 64 MiB of zeros in a message of some 64 KB: cut at the same byte, however it comes. */
static void a_bomb(void **state)
{
  (void)state;
  enum { ZEROS = 64 << 20, ROOM = 1 << 20 };
  struct sender sender = {.seed = 1};
  uint8_t *zeros = calloc(1, ZEROS), *packed = malloc(ROOM);
  assert_true(zeros && packed);
  assert_int_equal(deflateInit2(&sender.zlib, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  sender.zlib.next_in = zeros;
  sender.zlib.avail_in = ZEROS;
  sender.zlib.next_out = packed;
  sender.zlib.avail_out = ROOM;
  assert_int_equal(deflate(&sender.zlib, Z_SYNC_FLUSH), Z_OK);
  send_frame(&sender, 0xc2, packed, ROOM - sender.zlib.avail_out - 4);
  deflateEnd(&sender.zlib);
  uint64_t told = 0;
  static const size_t steps[] = {1 << 20, 1, 4096, 1000};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    struct count count = {0};
    struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.decoder = "websocket";
    sink.context = &count;
    sink.body = count_body;
    sink.end = count_end;
    struct gg_decoding *decoding = NULL;
    assert_int_equal(gg_decoding_create(&decoding, &options, &sink, NULL), 0);
    for (size_t done = 0; done < sender.length; done += steps[i])
      gg_decoding_push(decoding, GG_SIDE_SERVER, done, 1, sender.bytes + done,
                       sender.length - done < steps[i] ? sender.length - done : steps[i]);
    assert_true(gg_decoding_memory(decoding) < 80 << 10);
    gg_decoding_finish(decoding, 2);
    gg_decoding_destroy(decoding);
    assert_int_equal(count.odd, 1);
    assert_true(count.bytes >= 16 << 20 && count.bytes < 32 << 20);
    assert_true(told == 0 || told == count.bytes);
    told = count.bytes;
  }
  free(sender.bytes);
  free(zeros);
  free(packed);
}
#endif

/* Memory is refused at any point: what has begun ends as cut, and nothing else is told. */
static void little_memory(void **state)
{
  (void)state;
  static const char frames[] = "\x01\x02hi\x89\x02me\x80\x01!\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x88\x02\x03\xe8";
  for (size_t room = 3000; room < 80000; room += 40) {
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.decoder = "websocket";
    options.memory_max = room;
    const struct piece pieces[] = {SERVER(frames), CLIENT("\x81" MASKED_HELLO)};
    char *told = transcript_of(&options, pieces, 2, CUT_BYTES, 0);
    assert_non_null(strstr(told, room < 70000 && !strstr(told, "close_code") ? "opaque from" : "2 ping"));
    free(told);
  }
}

static void truncated_and_damaged(void **state)
{
  (void)state;
  struct sender sender = {.seed = 7, .takeover = true};
#ifdef GG_HAVE_ZLIB
  sender.deflate = true;
  assert_int_equal(deflateInit2(&sender.zlib, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
#endif
  while (sender.length < 2000 || sender.length > 6000) {
    sender.length = sender.length > 6000 ? 0 : sender.length;
    send_message(&sender);
  }
#ifdef GG_HAVE_ZLIB
  deflateEnd(&sender.zlib);
#endif
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = "websocket";
  for (size_t length = 0; length < sender.length; length += 1 + length / 300) {
    const struct piece pieces[] = {{GG_SIDE_SERVER, (char *)sender.bytes, length, false}};
    free(transcript_of(&options, pieces, 1, CUT_NOT, 0));
  }
  for (unsigned seed = 1; seed <= 10000; seed++) {
    unsigned random = seed;
    size_t at = (size_t)rand_r(&random) % (sender.length * 8), used = 400 + (size_t)rand_r(&random) % 400;
    at %= used * 8;
    sender.bytes[at / 8] ^= (uint8_t)(1u << at % 8);
    const struct piece pieces[] = {{GG_SIDE_SERVER, (char *)sender.bytes, used, false}};
    char *whole = transcript_of(&options, pieces, 1, CUT_NOT, 0);
    char *cut = transcript_of(&options, pieces, 1, CUT_RANDOMLY, seed);
    if (strcmp(whole, cut) != 0)
      fail_msg("seed %u; whole:\n%s\ncut:\n%s", seed, whole, cut);
    free(whole);
    free(cut);
    sender.bytes[at / 8] ^= (uint8_t)(1u << at % 8);
  }
  free(sender.bytes);
  free(sender.wanted);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(single_frames),
    cmocka_unit_test(fragments_with_a_ping_between),
    cmocka_unit_test(pongs_answer_pings),
    cmocka_unit_test(lengths),
    cmocka_unit_test(closing),
    cmocka_unit_test(compressed),
    cmocka_unit_test(what_was_agreed_upon),
    cmocka_unit_test(odd_frames),
    cmocka_unit_test(a_long_control_frame),
    cmocka_unit_test(a_length_beyond_all),
    cmocka_unit_test(gaps),
    cmocka_unit_test(ends_in_the_middle),
    cmocka_unit_test(summaries),
    cmocka_unit_test(a_random_sender),
    cmocka_unit_test(within_another_protocol),
    cmocka_unit_test(little_memory),
    cmocka_unit_test(truncated_and_damaged),
#ifdef GG_HAVE_ZLIB
    cmocka_unit_test(damaged_compression_is_left_alone),
    cmocka_unit_test(a_bomb),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
