/* SPDX-License-Identifier: Apache-2.0 */
#include "store/shell.h"

#include <stdbool.h>
#include <string.h>

static bool is_harmless(char letter)
{
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         (letter && strchr("-_./:@%+,", letter));
}

static bool is_printable(char letter)
{
  return letter >= ' ' && letter <= '~';
}

static size_t put_escaped(char *out, char letter)
{
  static const char digits[] = "0123456789abcdef";
  if (letter == '\'' || letter == '\\') {
    out[0] = '\\';
    out[1] = letter;
    return 2;
  }
  if (is_printable(letter)) {
    out[0] = letter;
    return 1;
  }
  const char *named = letter ? strchr("\nn\rr\tt", letter) : NULL;
  out[0] = '\\';
  if (named && (letter == '\n' || letter == '\r' || letter == '\t')) {
    out[1] = named[1];
    return 2;
  }
  out[1] = 'x';
  out[2] = digits[(unsigned char)letter >> 4];
  out[3] = digits[(unsigned char)letter & 15];
  return 4;
}

size_t gg__shell_word(char *out, const char *bytes, size_t length)
{
  bool harmless = length > 0, plain = true;
  for (size_t i = 0; i < length; i++) {
    harmless = harmless && is_harmless(bytes[i]);
    plain = plain && is_printable(bytes[i]) && bytes[i] != '\'';
  }
  size_t used = 0;
  if (harmless) {
    memcpy(out, bytes, length);
    return length;
  }
  if (!plain)
    out[used++] = '$';
  out[used++] = '\'';
  for (size_t i = 0; i < length; i++)
    if (plain)
      out[used++] = bytes[i];
    else
      used += put_escaped(out + used, bytes[i]);
  out[used++] = '\'';
  return used;
}
