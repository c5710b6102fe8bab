/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of HTTP/2, made by hand: none of nghttp2's code has a part in them. */
#ifndef GG_TEST_HTTP2_FRAMES_H
#define GG_TEST_HTTP2_FRAMES_H

#include "transcript.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 0x20 };

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* SETTINGS without any: what each side begins with. */
#define NO_SETTINGS "\0\0\0\x04\0\0\0\0\0"

enum { FRAMES_MAX = 1 << 20 };
struct bytes {
  size_t length;
  char data[FRAMES_MAX];
};

static inline void put(struct bytes *bytes, const void *data, size_t length)
{
  assert(bytes->length + length <= sizeof bytes->data);
  memcpy(bytes->data + bytes->length, data, length);
  bytes->length += length;
}

static inline void put_number(struct bytes *bytes, uint64_t number, size_t length)
{
  while (length--) {
    char byte = (char)(number >> 8 * length);
    put(bytes, &byte, 1);
  }
}

static inline void put_head(struct bytes *bytes, size_t length, int type, int flags, uint32_t stream)
{
  put_number(bytes, length, 3);
  put_number(bytes, (uint64_t)type, 1);
  put_number(bytes, (uint64_t)flags, 1);
  put_number(bytes, stream, 4);
}

static inline void put_frame(struct bytes *bytes, int type, int flags, uint32_t stream, const void *payload,
                             size_t length)
{
  put_head(bytes, length, type, flags, stream);
  put(bytes, payload, length);
}
#define FRAME(bytes, type, flags, stream, payload) put_frame(bytes, type, flags, stream, payload, sizeof(payload) - 1)

/* A literal that is not indexed, without Huffman's code (RFC 7541, 6.2.2). */
static inline void put_header(struct bytes *block, const char *name, const char *value)
{
  const char *const texts[] = {name, value};
  put_number(block, 0, 1);
  for (unsigned i = 0; i < 2; i++) {
    size_t length = strlen(texts[i]);
    put_number(block, length < 127 ? length : 127, 1);
    if (length >= 127) {
      size_t rest = length - 127;
      for (; rest >= 128; rest /= 128)
        put_number(block, rest % 128 + 128, 1);
      put_number(block, rest, 1);
    }
    put(block, texts[i], length);
  }
}

/* HEADERS of "name", "value", ..., NULL. */
static inline void put_headers(struct bytes *bytes, int flags, uint32_t stream, ...)
{
  struct bytes *block = calloc(1, sizeof *block);
  assert(block);
  va_list words;
  va_start(words, stream);
  for (const char *name; (name = va_arg(words, const char *));)
    put_header(block, name, va_arg(words, const char *));
  va_end(words);
  put_frame(bytes, HEADERS, flags | END_HEADERS, stream, block->data, block->length);
  free(block);
}

/* A session that is being made: bytes of one side after the other. */
enum { SESSION_PIECES = 256 };
struct session {
  struct bytes bytes;
  struct piece pieces[SESSION_PIECES];
  size_t count, begun;
};

static inline struct session *session_new(void)
{
  struct session *session = calloc(1, sizeof *session);
  assert(session);
  return session;
}

/* What was put since the last call was said by that side. */
static inline void said(struct session *session, enum gg_side side)
{
  assert(session->count < SESSION_PIECES);
  session->pieces[session->count++] =
    (struct piece){side, session->bytes.data + session->begun, session->bytes.length - session->begun, false};
  session->begun = session->bytes.length;
}

static inline void missing(struct session *session, enum gg_side side, size_t length)
{
  assert(session->count < SESSION_PIECES);
  session->pieces[session->count++] = (struct piece){side, NULL, length, false};
}

/* A session of HTTP/2 whose sides have said hello. */
static inline struct session *session_http2(void)
{
  struct session *session = session_new();
  put(&session->bytes, PREFACE NO_SETTINGS, sizeof(PREFACE NO_SETTINGS) - 1);
  said(session, GG_SIDE_CLIENT);
  put(&session->bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  said(session, GG_SIDE_SERVER);
  return session;
}
#define HELLO                                                                                                          \
  "is http2 from 0 0\n"                                                                                                \
  "1 settings client 24+9 at 1000..1000 control\n"                                                                     \
  "2 settings server 0+9 at 1010..1010 control\n"

/* Is what is told of it, and the same for each cut; frees it. */
static inline void session_tells(struct session *session, const char *wanted)
{
  char *told = transcript_checked(NULL, session->pieces, session->count);
  assert_string_equal(told, wanted);
  free(told);
  free(session);
}

static inline void put_get(struct bytes *bytes, int flags, uint32_t stream, const char *path)
{
  put_headers(bytes, flags, stream, ":method", "GET", ":scheme", "http", ":authority", "x.test", ":path", path, NULL);
}

#endif
