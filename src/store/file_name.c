/* SPDX-License-Identifier: Apache-2.0 */
#include "store/file_name.h"

#include "base/utf8.h"
#include "store/hiding.h"

#include <string.h>
#include <strings.h>

enum { EXTENSION_MAX = 16, SAID_MAX = 4096 };

/* ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_fine(char letter)
{
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         (letter && strchr("._-+=,@~ ", letter));
}

/* Copies one character, or '_' for one that may be in no name; how many bytes of the text it was. */
static size_t copy_character(char *out, size_t *used, const char *text, size_t length)
{
  uint32_t point;
  size_t bytes = gg_utf8_next(text, length, &point);
  bool kept = bytes == 1 ? is_fine(*text) : bytes > 1 && !gg_utf8_is_unsafe(point);
  if (kept) {
    memcpy(out + *used, text, bytes);
    *used += bytes;
    return bytes;
  }
  if (*used == 0 || out[*used - 1] != '_')
    out[(*used)++] = '_';
  return bytes ? bytes : 1;
}

static size_t copy_fitting(char *out, size_t room, const char *text, size_t length)
{
  size_t used = 0;
  for (size_t at = 0; at < length && used + 4 <= room;)
    at += copy_character(out, &used, text + at, length - at);
  return used;
}

size_t gg__file_name(char out[GG__FILE_NAME_MAX], const char *text, size_t length)
{
  size_t from = length;
  while (from && text[from - 1] != '/' && text[from - 1] != '\\')
    from--;
  while (from < length && strchr(".- ", text[from]) && text[from])
    from++;
  while (length > from && (text[length - 1] == '.' || text[length - 1] == ' '))
    length--;
  const char *dot = length > from ? memrchr(text + from, '.', length - from) : NULL;
  size_t extension = dot && (size_t)(text + length - dot) <= EXTENSION_MAX ? (size_t)(text + length - dot) : 0;
  size_t stem = length - from - extension;
  size_t used = copy_fitting(out, GG__FILE_NAME_MAX - 4 * EXTENSION_MAX, text + from, stem);
  used += copy_fitting(out + used, GG__FILE_NAME_MAX - used - 1, text + length - extension, extension);
  out[used] = '\0';
  return used;
}

/* ── Where they are said ─────────────────────────────────────────────────────────────────────────────────────────── */

/* A value: a token, or a quoted string whose backslashes are undone. Returns its length. */
static size_t read_value(char *out, size_t room, const char *text, size_t length)
{
  size_t used = 0, at = 0;
  bool quoted = length && *text == '"';
  for (at = quoted; at < length && used < room; at++) {
    if (quoted ? text[at] == '"' : memchr("; \t", text[at], 3) != NULL)
      break;
    if (quoted && text[at] == '\\' && at + 1 < length && (text[at + 1] == '"' || text[at + 1] == '\\'))
      at++;
    out[used++] = text[at];
  }
  return used;
}

/* UTF-8''na%C3%AFve.txt (RFC 8187): percent-coded behind the second quote. */
static size_t read_extended(char *said, size_t length)
{
  const char *first = memchr(said, '\'', length);
  const char *second = first ? memchr(first + 1, '\'', length - (size_t)(first + 1 - said)) : NULL;
  if (!second)
    return 0;
  size_t from = (size_t)(second + 1 - said);
  bool utf8 = first - said == 5 && strncasecmp(said, "UTF-8", 5) == 0;
  return utf8 ? gg__percent_undo(said, said + from, length - from, false) : 0;
}

/* Behind "filename=" or "filename*=" of a parameter; NULL: there is none. */
static const char *find_parameter(const char *value, size_t length, const char *name)
{
  size_t wanted = strlen(name);
  bool quoted = false;
  for (size_t at = 0; at + wanted <= length; at++) {
    if (!quoted && at && memchr("; \t", value[at - 1], 3) && strncasecmp(value + at, name, wanted) == 0)
      return value + at + wanted;
    if (quoted && value[at] == '\\')
      at++;
    else if (value[at] == '"')
      quoted = !quoted;
  }
  return NULL;
}

size_t gg__file_name_disposition(char out[GG__FILE_NAME_MAX], const char *value, size_t length)
{
  char said[SAID_MAX];
  const char *end = value + length, *extended = find_parameter(value, length, "filename*=");
  size_t used = 0;
  out[0] = '\0';
  if (extended)
    used = read_extended(said, read_value(said, sizeof said, extended, (size_t)(end - extended)));
  const char *plain = used ? NULL : find_parameter(value, length, "filename=");
  if (plain)
    used = read_value(said, sizeof said, plain, (size_t)(end - plain));
  return used ? gg__file_name(out, said, used) : 0;
}

size_t gg__file_name_path(char out[GG__FILE_NAME_MAX], const char *path, size_t length)
{
  char said[SAID_MAX];
  size_t from = length;
  while (from && path[from - 1] != '/')
    from--;
  size_t last = length - from < sizeof said ? length - from : sizeof said;
  return gg__file_name(out, said, gg__percent_undo(said, path + length - last, last, false));
}

const char *gg__file_extension(const char *type, size_t length)
{
  static const struct {
    const char *type, *extension;
  } known[] = {{"text/html", ".html"},        {"text/plain", ".txt"},        {"text/css", ".css"},
               {"text/javascript", ".js"},    {"text/event-stream", ".txt"}, {"application/javascript", ".js"},
               {"application/json", ".json"}, {"application/xml", ".xml"},   {"text/xml", ".xml"},
               {"application/pdf", ".pdf"},   {"application/zip", ".zip"},   {"application/gzip", ".gz"},
               {"image/png", ".png"},         {"image/jpeg", ".jpg"},        {"image/gif", ".gif"},
               {"image/svg+xml", ".svg"},     {"image/webp", ".webp"},       {"message/rfc822", ".eml"}};
  const char *semicolon = length ? memchr(type, ';', length) : NULL;
  size_t bare = semicolon ? (size_t)(semicolon - type) : length;
  while (bare && type[bare - 1] == ' ')
    bare--;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strlen(known[i].type) == bare && strncasecmp(known[i].type, type, bare) == 0)
      return known[i].extension;
  return ".bin";
}
