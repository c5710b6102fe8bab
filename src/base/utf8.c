/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

static bool is_continuation(unsigned char byte)
{
  return (byte & 0xC0u) == 0x80u;
}

size_t gg_utf8_next(const char *text, size_t length, uint32_t *point)
{
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *bytes = (const unsigned char *)text;
  if (length == 0)
    return 0;
  if (bytes[0] < 0x80) {
    *point = bytes[0];
    return 1;
  }
  size_t wanted;
  uint32_t value;
  if ((bytes[0] & 0xE0u) == 0xC0u) {
    wanted = 2;
    value = bytes[0] & 0x1Fu;
  } else if ((bytes[0] & 0xF0u) == 0xE0u) {
    wanted = 3;
    value = bytes[0] & 0x0Fu;
  } else if ((bytes[0] & 0xF8u) == 0xF0u) {
    wanted = 4;
    value = bytes[0] & 0x07u;
  } else {
    return 0;
  }
  if (length < wanted)
    return 0;
  for (size_t i = 1; i < wanted; i++) {
    if (!is_continuation(bytes[i]))
      return 0;
    value = (value << 6) | (bytes[i] & 0x3Fu);
  }
  if (value < least[wanted] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
    return 0;
  *point = value;
  return wanted;
}

bool gg_utf8_valid(const char *text, size_t length)
{
  size_t at = 0;
  while (at < length) {
    uint32_t point;
    size_t step = gg_utf8_next(text + at, length - at, &point);
    if (step == 0)
      return false;
    at += step;
  }
  return true;
}

bool gg_utf8_is_unsafe(uint32_t point)
{
  return point < 0x20 || (point >= 0x7F && point <= 0x9F) || point == 0x061C || point == 0x200E || point == 0x200F ||
         (point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF;
}
