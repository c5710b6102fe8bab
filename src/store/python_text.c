/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of anybody's as Python source. Only printable ASCII is written, without quote and backslash: all else is
 * escaped, so nothing ends a literal or a comment, whatever a reader takes for the end of a line. */
#include "base/base64.h"
#include "store/python.h"

#include <string.h>

enum {
  COLUMNS = 100,
  BINARY_MIN = 256, /* bytes from which on Base64 is shorter to read */
  BASE64_LINE = 57, /* bytes that make a line of 76 letters */
};

/* The form of a byte in a literal; returns its length. */
static size_t escape(char out[4], uint8_t byte)
{
  static const char digits[] = "0123456789abcdef";
  static const char named[] = "\n\r\t\"\\", letters[] = "nrt\"\\";
  const char *name = byte ? memchr(named, byte, sizeof named - 1) : NULL;
  if (name) {
    out[0] = '\\';
    out[1] = letters[name - named];
    return 2;
  }
  if (byte >= 0x20 && byte < 0x7f) {
    out[0] = (char)byte;
    return 1;
  }
  out[0] = '\\';
  out[1] = 'x';
  out[2] = digits[byte >> 4];
  out[3] = digits[byte & 15];
  return 4;
}

static void put_escaped(struct gg__writer *out, const void *data, size_t length)
{
  for (size_t i = 0; i < length; i++) {
    char text[4];
    gg__writer_put(out, text, escape(text, ((const uint8_t *)data)[i]));
  }
}

void gg__python_bytes(struct gg__writer *out, const uint8_t *data, size_t length)
{
  gg__writer_text(out, "b\"");
  put_escaped(out, data, length);
  gg__writer_text(out, "\"");
}

void gg__python_text(struct gg__writer *out, const char *text)
{
  gg__writer_text(out, "\"");
  put_escaped(out, text, strlen(text));
  gg__writer_text(out, "\"");
}

void gg__python_comment(struct gg__writer *out, const char *text, size_t length)
{
  for (size_t i = 0; i < length; i++) {
    char escaped[4];
    bool plain = text[i] == '"' || text[i] == '\\';
    gg__writer_put(out, plain ? &text[i] : escaped, plain ? 1 : escape(escaped, (uint8_t)text[i]));
  }
}

static void put_blanks(struct gg__writer *out, unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    gg__writer_text(out, " ");
}

static bool is_binary(const uint8_t *data, size_t length)
{
  size_t odd = 0;
  for (size_t i = 0; i < length; i++)
    odd += (data[i] < 0x20 && !memchr("\t\r\n", data[i], 3)) || data[i] >= 0x7f;
  return length >= BINARY_MIN && odd > length / 4;
}

static void put_base64(struct gg__writer *out, const uint8_t *data, size_t length, unsigned indent)
{
  put_blanks(out, indent);
  gg__writer_text(out, "base64.b64decode(\n");
  for (size_t at = 0; at < length; at += BASE64_LINE) {
    char letters[80];
    size_t size = length - at < BASE64_LINE ? length - at : BASE64_LINE;
    put_blanks(out, indent + 4);
    gg__writer_text(out, "\"");
    gg__writer_put(out, letters, (size_t)(gg_base64(letters, data + at, size) - letters));
    gg__writer_text(out, "\"\n");
  }
  put_blanks(out, indent);
  gg__writer_text(out, ")");
}

void gg__python_block(struct gg__writer *out, const uint8_t *data, size_t length, unsigned indent, bool *base64)
{
  if (is_binary(data, length)) {
    *base64 = true;
    put_base64(out, data, length, indent);
    return;
  }
  size_t column = indent;
  put_blanks(out, indent);
  gg__writer_text(out, "b\"");
  for (size_t i = 0; i < length; i++) {
    char text[4];
    size_t size = escape(text, data[i]);
    bool next_line = i && data[i - 1] == '\n';
    if (next_line || column + size + 3 > COLUMNS) {
      gg__writer_text(out, "\"\n");
      put_blanks(out, indent);
      gg__writer_text(out, "b\"");
      column = indent;
    }
    gg__writer_put(out, text, size);
    column += size;
  }
  gg__writer_text(out, "\"");
}
