/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/textual.h"

#include "base/utf8.h"

#include <string.h>
#include <strings.h>

bool gg__textline_find(struct gg__textline *line, const uint8_t *data, size_t length, size_t seen)
{
  const uint8_t *end = seen < length ? memchr(data + seen, '\n', length - seen) : NULL;
  if (!end)
    return false;
  size_t text = (size_t)(end - data);
  line->text = data;
  line->whole = text + 1;
  line->bare = text == 0 || data[text - 1] != '\r';
  line->length = text - (line->bare ? 0 : 1);
  return true;
}

static bool is_blank(uint8_t letter)
{
  return letter == ' ' || letter == '\t';
}

bool gg__textword_next(struct gg__textword *word, const uint8_t *text, size_t length, size_t *at)
{
  size_t from = *at;
  while (from < length && is_blank(text[from]))
    from++;
  size_t end = from;
  while (end < length && !is_blank(text[end]))
    end++;
  *at = end;
  *word = (struct gg__textword){.text = text + from, .length = end - from, .at = from};
  return end > from;
}

bool gg__textual_is(const uint8_t *text, size_t length, const char *word)
{
  return strlen(word) == length && strncasecmp((const char *)text, word, length) == 0;
}

bool gg__textual_begins(const uint8_t *text, size_t length, const char *word)
{
  size_t wanted = strlen(word);
  return length >= wanted && strncasecmp((const char *)text, word, wanted) == 0;
}

bool gg__textual_has(const uint8_t *text, size_t length, const char *word)
{
  size_t wanted = strlen(word);
  for (size_t i = 0; i + wanted <= length; i++)
    if (strncasecmp((const char *)text + i, word, wanted) == 0)
      return true;
  return false;
}

size_t gg__textual_upper(char *out, size_t size, const uint8_t *text, size_t length)
{
  size_t copied = length < size - 1 ? length : size - 1;
  for (size_t i = 0; i < copied; i++)
    out[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - ('a' - 'A') : text[i]);
  out[copied] = '\0';
  return copied;
}

bool gg__textual_readable(const uint8_t *text, size_t length)
{
  for (size_t i = 0; i < length;) {
    uint32_t point;
    size_t used = gg_utf8_next((const char *)text + i, length - i, &point);
    if (!used)
      return length - i < 4 && text[i] >= 0xc0;
    if (point < 0x20 && !memchr("\t\n\r\f\a\b\033", (int)point, 7))
      return false;
    i += used;
  }
  return true;
}

enum gg__prompt gg__prompt_of(const uint8_t *text, size_t length)
{
  static const char *const secrets[] = {"passw", "passphrase", "passcode", "mot de passe", "contrase", "pin:"};
  static const char *const users[] = {"login:", "username:", "user name:", "user:", "user id:", "userid:"};
  if (length > GG__PROMPT_MAX)
    return GG__PROMPT_NOT;
  while (length && is_blank(text[length - 1]))
    length--;
  if (length == 0 || !memchr(":>$#%?])", text[length - 1], 8))
    return GG__PROMPT_NOT;
  for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
    if (gg__textual_has(text, length, secrets[i]))
      return GG__PROMPT_SECRET;
  for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
    size_t wanted = strlen(users[i]);
    if (length >= wanted && gg__textual_is(text + length - wanted, wanted, users[i]))
      return GG__PROMPT_USER;
  }
  return GG__PROMPT_PLAIN;
}
