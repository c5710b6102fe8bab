/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <string.h>

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

/* The byte that a character begins with (RFC 3629, 4). */
static bool begin(struct gg_utf8_state *state, uint8_t byte)
{
  state->low = 0x80;
  state->high = 0xBF;
  if (byte < 0x80) {
    state->wanted = 0;
  } else if (byte >= 0xC2 && byte <= 0xDF) {
    state->wanted = 1;
  } else if (byte >= 0xE0 && byte <= 0xEF) {
    state->wanted = 2;
    state->low = byte == 0xE0 ? 0xA0 : 0x80;
    state->high = byte == 0xED ? 0x9F : 0xBF;
  } else if (byte >= 0xF0 && byte <= 0xF4) {
    state->wanted = 3;
    state->low = byte == 0xF0 ? 0x90 : 0x80;
    state->high = byte == 0xF4 ? 0x8F : 0xBF;
  } else {
    return false;
  }
  return true;
}

/* How many bytes at the beginning are ASCII, or up to seven less. */
static size_t ascii(const uint8_t *bytes, size_t length)
{
  size_t at = 0;
  for (uint64_t word; length - at >= sizeof word; at += sizeof word) {
    memcpy(&word, bytes + at, sizeof word);
    if (word & UINT64_C(0x8080808080808080))
      break;
  }
  return at;
}

bool gg_utf8_push(struct gg_utf8_state *state, const void *text, size_t length)
{
  const uint8_t *bytes = text;
  for (size_t at = 0; at < length && !state->invalid; at++) {
    if (state->wanted == 0) {
      at += ascii(bytes + at, length - at);
      if (at == length)
        break;
      state->invalid = !begin(state, bytes[at]);
    } else {
      state->invalid = bytes[at] < state->low || bytes[at] > state->high;
      state->low = 0x80;
      state->high = 0xBF;
      state->wanted--;
    }
  }
  return !state->invalid;
}

bool gg_utf8_is_unsafe(uint32_t point)
{
  return point < 0x20 || (point >= 0x7F && point <= 0x9F) || point == 0x061C || point == 0x200E || point == 0x200F ||
         (point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF;
}
