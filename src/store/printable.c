/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded bytes come from strangers, and a terminal obeys escapes: nothing of theirs is printed but through here.
 */
#include "base/utf8.h"

#include <assert.h>
#include <gogetway/store.h>
#include <stdio.h>
#include <string.h>

enum { ESCAPE_MAX = 11 }; /* "\u{10ffff}" and NUL */

/* Characters that are no controls but hide what is there: zero-width and invisible ones, and what ends a line. */
static bool hides(uint32_t point)
{
  return (point >= 0x200b && point <= 0x200f) || (point >= 0x2060 && point <= 0x206f) || point == 0xfeff ||
         point == 0x061c || point == 0x180e || point == 0x00ad || (point >= 0xfff9 && point <= 0xfffb) ||
         (point >= 0xe0000 && point <= 0xe007f);
}

/* What stands for the beginning of `data`; `*taken` bytes of it. */
static size_t show_one(const uint8_t *data, size_t length, bool lines, char text[ESCAPE_MAX], size_t *taken)
{
  uint32_t point = 0;
  size_t bytes = gg_utf8_next((const char *)data, length, &point);
  *taken = bytes ? bytes : 1;
  bool stays = bytes > 0 && !gg_utf8_is_unsafe(point) && !hides(point);
  bool ends_line = bytes == 1 && (point == '\n' || (point == '\r' && length > 1 && data[1] == '\n'));
  if (stays || (lines && (ends_line || point == '\t'))) {
    memcpy(text, data, bytes);
    return bytes;
  }
  if (bytes > 1)
    return (size_t)snprintf(text, ESCAPE_MAX, "\\u{%x}", point);
  return (size_t)snprintf(text, ESCAPE_MAX, "\\x%02x", data[0]);
}

static bool is_plain(uint8_t byte)
{
  return byte >= 0x20 && byte < 0x7f;
}

size_t gg_text_printable(const uint8_t *data, size_t length, bool lines, char *text, size_t size, size_t *used)
{
  size_t written = 0, at = 0;
  assert(size > 0);
  while (at < length) {
    if (is_plain(data[at]) && written + 1 < size) { /* nearly all there is */
      text[written++] = (char)data[at++];
      continue;
    }
    char shown[ESCAPE_MAX];
    size_t taken;
    size_t bytes = show_one(data + at, length - at, lines, shown, &taken);
    if (written + bytes >= size)
      break;
    memcpy(text + written, shown, bytes);
    written += bytes;
    at += taken;
  }
  text[written] = '\0';
  if (used)
    *used = at;
  return written;
}
