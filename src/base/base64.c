/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

char *gg_base64(char *at, const uint8_t *data, size_t length)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < length; i += 3) {
    uint32_t left = (uint32_t)(length - i < 3 ? length - i : 3);
    uint32_t bits =
      (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0u);
    *at++ = letters[bits >> 18];
    *at++ = letters[bits >> 12 & 63];
    *at++ = left > 1 ? letters[bits >> 6 & 63] : '=';
    *at++ = left > 2 ? letters[bits & 63] : '=';
  }
  return at;
}

static int value_of(char letter)
{
  if (letter >= 'A' && letter <= 'Z')
    return letter - 'A';
  if (letter >= 'a' && letter <= 'z')
    return letter - 'a' + 26;
  if (letter >= '0' && letter <= '9')
    return letter - '0' + 52;
  return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

bool gg_base64_read(uint8_t *out, size_t *length, const char *text, size_t text_length)
{
  for (unsigned padding = 0; padding < 2 && text_length && text[text_length - 1] == '='; padding++)
    text_length--;
  uint32_t bits = 0;
  size_t written = 0;
  for (size_t i = 0; i < text_length; i++) {
    int value = value_of(text[i]);
    if (value < 0)
      return false;
    bits = bits << 6 | (uint32_t)value;
    if (i % 4) {
      unsigned left = (unsigned)(6 - 2 * (i % 4));
      out[written++] = (uint8_t)(bits >> left);
    }
  }
  *length = written;
  return text_length % 4 != 1;
}
