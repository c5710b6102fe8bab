/* SPDX-License-Identifier: Apache-2.0 */
/* The part of text.h that is about words and bytes rather than values. */
#include "base/text.h"

#include "base/utf8.h"
#include <gogetway/error.h>
#include <stdio.h>
#include <string.h>

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
  return a < b ? a : b;
}

/* Optimal string alignment: insertions, deletions, replacements and exchanges of neighbours. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
  unsigned rows[3][GG_TEXT_WORD_MAX + 1];
  unsigned *before = rows[0], *above = rows[1], *row = rows[2];
  for (size_t j = 0; j <= b_length; j++)
    above[j] = (unsigned)j;
  for (size_t i = 1; i <= a_length; i++) {
    row[0] = (unsigned)i;
    for (size_t j = 1; j <= b_length; j++) {
      char x = lower(a[i - 1]);
      char y = lower(b[j - 1]);
      row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + (x == y ? 0 : 1));
      if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]))
        row[j] = least(row[j], before[j - 2] + 1);
    }
    unsigned *oldest = before;
    before = above;
    above = row;
    row = oldest;
  }
  return above[b_length];
}

size_t gg_text_nearest(const char *word, const char *const *list, size_t count)
{
  size_t length = strnlen(word, GG_TEXT_WORD_MAX + 1);
  if (length == 0 || length > GG_TEXT_WORD_MAX)
    return count;
  unsigned best = length == 2 ? 1 : (unsigned)length / 3;
  size_t found = count;
  for (size_t i = 0; i < count; i++) {
    size_t other = strnlen(list[i], GG_TEXT_WORD_MAX + 1);
    if (other > GG_TEXT_WORD_MAX)
      continue;
    unsigned far = distance(word, length, list[i], other);
    if (far < best || (far == best && found == count)) {
      best = far;
      found = i;
    }
  }
  return found;
}

/* What stands for one character that is not shown as it is; its length. */
static size_t stand_in(char text[16], bool valid, uint32_t point)
{
  static const char named[][2] = {{'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}, {'\x1b', 'e'}, {'\0', '0'}, {'\\', '\\'}};
  for (size_t i = 0; valid && i < sizeof named / sizeof named[0]; i++)
    if (point == (unsigned char)named[i][0])
      return (size_t)snprintf(text, 16, "\\%c", named[i][1]);
  return (size_t)snprintf(text, 16, !valid || point < 0x80 ? "\\x%02x" : "\\u{%04x}", point);
}

size_t gg_text_sanitize(char *out, size_t size, const char *bytes, size_t length, enum gg_text_style style)
{
  size_t used = 0;
  size_t at = 0;
  if (size == 0)
    return 0;
  while (at < length) {
    char text[16];
    uint32_t point = 0;
    size_t step = gg_utf8_next(bytes + at, length - at, &point);
    bool valid = step > 0;
    bool kept = valid && ((point != '\\' && !gg_utf8_is_unsafe(point)) ||
                          (style == GG_TEXT_LINES && (point == '\n' || point == '\t')));
    if (!valid) {
      step = 1;
      point = (unsigned char)bytes[at];
    }
    size_t shown = kept ? step : stand_in(text, valid, point);
    if (shown >= size - used)
      break;
    memcpy(out + used, kept ? bytes + at : text, shown);
    used += shown;
    at += step;
  }
  out[used] = '\0';
  return used;
}

static int hex_digit(char c)
{
  c = lower(c);
  if (c >= '0' && c <= '9')
    return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_octal(const char **at, char *out)
{
  unsigned value = 0;
  unsigned digits = 0;
  while (digits < 3 && **at >= '0' && **at <= '7') {
    value = value * 8 + (unsigned)(**at - '0');
    digits++;
    (*at)++;
  }
  *out = (char)value;
  return digits > 0 && value <= 0xFF;
}

/* The escape whose letter is at *at; moves past it. */
static bool read_escape(const char **at, char *out)
{
  static const char names[] = "nrtabefv\\\"'";
  static const char values[] = "\n\r\t\a\b\x1b\f\v\\\"'";
  char letter = **at;
  if (letter >= '0' && letter <= '7')
    return read_octal(at, out);
  if (letter == '\0')
    return false;
  (*at)++;
  if (letter == 'x') {
    int high = hex_digit((*at)[0]);
    int low = high < 0 ? -1 : hex_digit((*at)[1]);
    if (low < 0)
      return false;
    *out = (char)(high * 16 + low);
    *at += 2;
    return true;
  }
  const char *found = strchr(names, letter);
  if (!found)
    return false;
  *out = values[found - names];
  return true;
}

int gg_text_unescape(char *out, size_t *length, const char *text)
{
  size_t used = 0;
  const char *at = text;
  while (*at) {
    if (*at != '\\') {
      out[used++] = *at++;
      continue;
    }
    at++;
    if (!read_escape(&at, &out[used]))
      return GG_ERR_FORMAT;
    used++;
  }
  *length = used;
  return 0;
}

size_t gg_text_escape(char *out, const char *bytes, size_t length)
{
  static const char special[] = "\n\r\t\\\"";
  static const char names[] = "nrt\\\"";
  size_t used = 0;
  for (size_t i = 0; i < length; i++) {
    const char *found = bytes[i] ? strchr(special, bytes[i]) : NULL;
    if (found) {
      out[used++] = '\\';
      out[used++] = names[found - special];
    } else if (bytes[i] >= 0x20 && bytes[i] < 0x7F) {
      out[used++] = bytes[i];
    } else {
      used += (size_t)snprintf(out + used, 5, "\\x%02x", (unsigned char)bytes[i]);
    }
  }
  out[used] = '\0';
  return used;
}
