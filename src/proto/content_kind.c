/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/content_kind.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static bool begins(const char *type, size_t length, const char *with)
{
  return length >= strlen(with) && strncasecmp(type, with, strlen(with)) == 0;
}

static bool ends(const char *type, size_t length, const char *with)
{
  size_t wanted = strlen(with);
  return length >= wanted && strncasecmp(type + length - wanted, with, wanted) == 0;
}

static bool is(const char *type, size_t length, const char *word)
{
  return length == strlen(word) && begins(type, length, word);
}

enum gg__content_kind gg__content_kind(const char *type, size_t length)
{
  const char *semicolon = length ? memchr(type, ';', length) : NULL;
  length = semicolon ? (size_t)(semicolon - type) : length;
  for (; length && memchr(" \t", *type, 2); length--)
    type++;
  while (length && memchr(" \t", type[length - 1], 2))
    length--;
  if (is(type, length, "application/x-www-form-urlencoded"))
    return GG__CONTENT_FORM;
  if (begins(type, length, "multipart/"))
    return GG__CONTENT_MULTIPART;
  if (ends(type, length, "/json") || ends(type, length, "+json") || ends(type, length, "/x-ndjson") ||
      ends(type, length, "/jsonl") || ends(type, length, "/x-json"))
    return GG__CONTENT_JSON;
  if (begins(type, length, "text/") || ends(type, length, "/xml") || ends(type, length, "+xml") ||
      ends(type, length, "/javascript") || ends(type, length, "/yaml") || ends(type, length, "/graphql"))
    return GG__CONTENT_TEXT;
  return GG__CONTENT_OTHER;
}
