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
