/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hiding.h"

#include "proto/secrets.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAME_BYTES_MAX = 384 };

/* ── Pairs ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg__pair_next(struct gg__pair *pair, const char *text, size_t length, size_t *at)
{
  while (*at < length && (text[*at] == '&' || text[*at] == ';'))
    ++*at;
  if (*at >= length)
    return false;
  size_t from = *at, end = from;
  while (end < length && text[end] != '&' && text[end] != ';')
    end++;
  const char *equals = memchr(text + from, '=', end - from);
  size_t name_end = equals ? (size_t)(equals - text) : end, value = equals ? name_end + 1 : end;
  *pair = (struct gg__pair){text + from, text + value, name_end - from, end - value};
  *at = end;
  return true;
}

static int hex_digit(char letter)
{
  if (letter >= '0' && letter <= '9')
    return letter - '0';
  char lower = (char)(letter | 32);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

size_t gg__percent_undo(char *out, const char *text, size_t length, bool plus)
{
  size_t used = 0;
  for (size_t at = 0; at < length; at++) {
    bool coded = text[at] == '%' && length - at > 2 && hex_digit(text[at + 1]) >= 0 && hex_digit(text[at + 2]) >= 0;
    if (coded) {
      out[used++] = (char)(hex_digit(text[at + 1]) << 4 | hex_digit(text[at + 2]));
      at += 2;
    } else {
      out[used++] = plus && text[at] == '+' ? ' ' : text[at];
    }
  }
  return used;
}

static bool is_secret(const char *coded, size_t length)
{
  char name[NAME_BYTES_MAX];
  return gg__secret_name(name, gg__percent_undo(name, coded, length, true));
}

/* A name that is longer is looked at by its beginning and its end. */
bool gg__pair_is_secret(const struct gg__pair *pair)
{
  size_t looked = pair->name_length < NAME_BYTES_MAX ? pair->name_length : NAME_BYTES_MAX;
  return pair->value_length &&
         (is_secret(pair->name, looked) || is_secret(pair->name + pair->name_length - looked, looked));
}

void gg__query_find(const char *url, size_t length, size_t *from, size_t *to)
{
  const char *fragment = length ? memchr(url, '#', length) : NULL;
  *to = fragment ? (size_t)(fragment - url) : length;
  const char *question = *to ? memchr(url, '?', *to) : NULL;
  *from = question ? (size_t)(question - url) + 1 : *to;
}

/* ── Places ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void add(struct gg__hiding *out, size_t from, size_t to, size_t text_length, const char *name,
                size_t name_length)
{
  if (out->count == GG__HIDDEN_MAX)
    out->places[out->count - 1].to = text_length;
  else if (to > from)
    out->places[out->count++] = (struct gg__hidden){from, to, name, name_length};
}

static void hide_pairs(struct gg__hiding *out, const char *text, size_t from, size_t to, size_t length)
{
  struct gg__pair pair;
  for (size_t at = from; gg__pair_next(&pair, text, to, &at);)
    if (gg__pair_is_secret(&pair))
      add(out, (size_t)(pair.value - text), (size_t)(pair.value - text) + pair.value_length, length, pair.name,
          pair.name_length);
}

/* "http://user:password@host/path?query" */
static void hide_in_url(struct gg__hiding *out, const char *text, size_t length)
{
  const char *scheme = length ? memmem(text, length, "://", 3) : NULL;
  if (scheme && *text != '/') {
    size_t from = (size_t)(scheme - text) + 3, end = from;
    while (end < length && !memchr("/?#", text[end], 3))
      end++;
    const char *at = end > from ? memrchr(text + from, '@', end - from) : NULL;
    const char *colon = at ? memchr(text + from, ':', (size_t)(at - text) - from) : NULL;
    if (colon)
      add(out, (size_t)(colon - text) + 1, (size_t)(at - text), length, "password", 8);
  }
  size_t from, to;
  gg__query_find(text, length, &from, &to);
  hide_pairs(out, text, from, to, length);
  if (to < length)
    hide_pairs(out, text, to + 1, length, length); /* where tokens of OAuth stand in a Location */
}

/* What the blanking of text in general would hide: a copy of it differs there. */
static void hide_in_json(struct gg__hiding *out, const char *text, size_t length)
{
  char *copy = malloc(length + 1);
  if (!copy) {
    add(out, 0, length, length, "body", 4);
    return;
  }
  memcpy(copy, text, length);
  gg__secret_blank(copy, length);
  for (size_t at = 0, end; at < length; at = end) {
    bool differs = false;
    for (end = at; end < length && copy[end] == '*'; end++)
      differs = differs || text[end] != '*';
    if (differs)
      add(out, at, end, length, "body", 4);
    end = end > at ? end : end + 1;
  }
  free(copy);
}

/* The name of a part, by its headers: Content-Disposition: form-data; name="password". */
static struct gg__pair part_name(const char *head, size_t length)
{
  for (size_t at = 0; at + 6 < length; at++)
    if (strncasecmp(head + at, "name=", 5) == 0 && at && memchr(" ;\t", head[at - 1], 3)) {
      size_t from = at + 5, end;
      bool quoted = head[from] == '"';
      from += quoted;
      for (end = from; end < length && !memchr(quoted ? "\"\r\n" : "; \r\n", head[end], quoted ? 3 : 4);)
        end++;
      return (struct gg__pair){head + from, "?", end - from, 1};
    }
  return (struct gg__pair){"", "", 0, 0};
}

/* "--boundary", headers, an empty line, the value, and "\r\n--boundary" again (RFC 7578). */
static void hide_in_multipart(struct gg__hiding *out, const char *text, size_t length)
{
  const char *line_end = length > 2 && memcmp(text, "--", 2) == 0 ? memmem(text, length, "\r\n", 2) : NULL;
  size_t boundary = line_end ? (size_t)(line_end - text) : 0;
  for (size_t at = boundary; boundary && at < length;) {
    const char *blank = memmem(text + at, length - at, "\r\n\r\n", 4);
    if (!blank)
      return;
    size_t value = (size_t)(blank - text) + 4, end = value;
    const char *next = NULL;
    for (size_t from = value - 2; from < length; from = (size_t)(next - text) + 2) {
      next = memmem(text + from, length - from, "\r\n", 2);
      if (!next || (length - (size_t)(next - text) - 2 >= boundary && memcmp(next + 2, text, boundary) == 0))
        break;
    }
    end = next && (size_t)(next - text) >= value ? (size_t)(next - text) : next ? value : length;
    struct gg__pair name = part_name(text + at, (size_t)(blank - text) - at);
    if (gg__pair_is_secret(&name))
      add(out, value, end, length, name.name, name.name_length);
    at = next ? (size_t)(next - text) + 2 + boundary : length;
  }
}

enum gg__hiding_form gg__hiding_form_of(const char *type, size_t length)
{
  static const char form[] = "application/x-www-form-urlencoded", multipart[] = "multipart/";
  if (length >= sizeof form - 1 && strncasecmp(type, form, sizeof form - 1) == 0)
    return GG__HIDING_FORM;
  if (length >= sizeof multipart - 1 && strncasecmp(type, multipart, sizeof multipart - 1) == 0)
    return GG__HIDING_MULTIPART;
  for (size_t at = 0; at + 4 <= length; at++)
    if (strncasecmp(type + at, "json", 4) == 0)
      return GG__HIDING_JSON;
  return GG__HIDING_PLAIN;
}

void gg__hide(struct gg__hiding *out, enum gg__hiding_form form, const char *text, size_t length)
{
  out->count = 0;
  if (form == GG__HIDING_URL)
    hide_in_url(out, text, length);
  else if (form == GG__HIDING_FORM)
    hide_pairs(out, text, 0, length, length);
  else if (form == GG__HIDING_JSON)
    hide_in_json(out, text, length);
  else if (form == GG__HIDING_MULTIPART)
    hide_in_multipart(out, text, length);
}
