/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http.h"

#include "base/base64.h"
#include "proto/secrets.h"

#include <string.h>
#include <strings.h>

const struct gg_decoder_field gg__http_fields[] = {
  [GG__HTTP_METHOD] = {"http.method", GG_FIELD_TEXT, true, "what is asked for", "http.method=POST"},
  [GG__HTTP_TARGET] = {"http.target", GG_FIELD_TEXT, false, "of what, as it was sent", NULL},
  [GG__HTTP_PATH] = {"http.path", GG_FIELD_TEXT, true, "of what, without a query", "http.path~^/api/"},
  [GG__HTTP_HOST] = {"http.host", GG_FIELD_TEXT, true, "of which site", "http.host=example.org"},
  [GG__HTTP_VERSION] = {"http.version", GG_FIELD_TEXT, true, "1.0, 1.1 or 2", "http.version=2"},
  [GG__HTTP_STATUS] = {"http.status", GG_FIELD_NUMBER, true, "of a response", "http.status=500.."},
  [GG__HTTP_REASON] = {"http.reason", GG_FIELD_TEXT, false, "the words after the status", NULL},
  [GG__HTTP_HEADER] = {"http.header", GG_FIELD_TEXT, false, "a header", NULL},
  [GG__HTTP_TRAILER] = {"http.trailer", GG_FIELD_TEXT, false, "a header behind the body", NULL},
  [GG__HTTP_TYPE] = {"http.type", GG_FIELD_TEXT, true, "the body's media type", "http.type=application/json"},
  [GG__HTTP_AGENT] = {"http.agent", GG_FIELD_TEXT, true, "what the client says it is", "http.agent=curl/*"},
  [GG__HTTP_USER] = {"http.user", GG_FIELD_TEXT, true, "who logs in, by Basic authentication", "http.user=admin"},
  [GG__HTTP_PASSWORD] = {"http.password", GG_FIELD_TEXT, false, "and by which password", NULL},
  [GG__HTTP_ODD] = {"http.odd", GG_FIELD_TEXT, true, "what is not as RFC 9110 to 9113 have it",
                    "http.odd=conflicting-content-length"},
  {NULL, GG_FIELD_TEXT, false, NULL, NULL},
};

/* ── Texts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg__http_is(const struct gg__span *span, const char *lower)
{
  return strlen(lower) == span->length && strncasecmp(span->text, lower, span->length) == 0;
}

static bool is_blank(char letter)
{
  return letter == ' ' || letter == '\t';
}

static struct gg__span trim(const char *text, size_t length)
{
  while (length && is_blank(*text)) {
    text++;
    length--;
  }
  while (length && is_blank(text[length - 1]))
    length--;
  return (struct gg__span){.text = text, .length = length};
}

bool gg__http_lists(const struct gg__span *list, const char *wanted)
{
  for (size_t at = 0; at < list->length;) {
    const char *comma = memchr(list->text + at, ',', list->length - at);
    size_t end = comma ? (size_t)(comma - list->text) : list->length;
    struct gg__span word = trim(list->text + at, end - at);
    if (gg__http_is(&word, wanted))
      return true;
    at = end + 1;
  }
  return false;
}

struct gg__span gg__http_last(const struct gg__span *list)
{
  const char *comma = list->length ? memrchr(list->text, ',', list->length) : NULL;
  size_t from = comma ? (size_t)(comma - list->text) + 1 : 0;
  return trim(list->text + from, list->length - from);
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void add(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__http_field of,
                const struct gg__span *value)
{
  struct gg_field field = {
    .of = &gg__http_fields[of],
    .value = (const uint8_t *)value->text,
    .length = value->length,
    .raw_offset = value->offset,
    .raw_length = value->raw_length,
  };
  gg_decoded_field(decoding, draft, &field);
}

void gg__http_odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what)
{
  struct gg_message *message = gg_decoded_message(decoding, draft);
  message->flags |= GG_MESSAGE_ODD;
  size_t length = strlen(what);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (field->of == &gg__http_fields[GG__HTTP_ODD] && field->length == length &&
        memcmp(field->value, what, length) == 0)
      return;
  }
  struct gg_field field = {.of = &gg__http_fields[GG__HTTP_ODD], .value = (const uint8_t *)what, .length = length};
  gg_decoded_field(decoding, draft, &field);
}

/* "Basic dXNlcjpwYXNz": who, and by which password. */
static void add_credentials(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *value)
{
  enum { SCHEME = 6, LONGEST = 1024 };
  uint8_t plain[LONGEST / 4 * 3 + 3];
  size_t length;
  if (value->length <= SCHEME || strncasecmp(value->text, "basic ", SCHEME) != 0 || value->length - SCHEME > LONGEST)
    return;
  struct gg__span coded = trim(value->text + SCHEME, value->length - SCHEME);
  if (!gg_base64_read(plain, &length, coded.text, coded.length))
    return;
  const uint8_t *colon = memchr(plain, ':', length);
  if (!colon)
    return;
  uint64_t offset = value->raw_length ? value->offset + (uint64_t)(coded.text - value->text) : 0;
  struct gg_field field = {
    .of = &gg__http_fields[GG__HTTP_USER],
    .value = plain,
    .length = (size_t)(colon - plain),
  };
  gg_decoded_field(decoding, draft, &field);
  field.of = &gg__http_fields[GG__HTTP_PASSWORD];
  field.value = colon + 1;
  field.length = length - field.length - 1;
  field.secret = true;
  field.raw_offset = offset;
  field.raw_length = value->raw_length ? coded.length : 0;
  gg_decoded_field(decoding, draft, &field);
}

void gg__http_header(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *name,
                     const struct gg__span *value, bool trailer)
{
  struct gg_field field = {
    .of = &gg__http_fields[trailer ? GG__HTTP_TRAILER : GG__HTTP_HEADER],
    .key = name->text,
    .key_length = name->length,
    .value = (const uint8_t *)value->text,
    .length = value->length,
    .secret = gg__secret_name(name->text, name->length),
    .raw_offset = value->offset,
    .raw_length = value->raw_length,
  };
  gg_decoded_field(decoding, draft, &field);
  if (trailer)
    return;
  if (gg__http_is(name, "host")) {
    add(decoding, draft, GG__HTTP_HOST, value);
  } else if (gg__http_is(name, "user-agent")) {
    add(decoding, draft, GG__HTTP_AGENT, value);
  } else if (gg__http_is(name, "content-type")) {
    const char *semicolon = memchr(value->text, ';', value->length);
    struct gg__span type = trim(value->text, semicolon ? (size_t)(semicolon - value->text) : value->length);
    type.offset = value->offset;
    type.raw_length = value->raw_length ? type.length : 0;
    add(decoding, draft, GG__HTTP_TYPE, &type);
  } else if (gg__http_is(name, "authorization") || gg__http_is(name, "proxy-authorization")) {
    add_credentials(decoding, draft, value);
  }
}

static struct gg__span part(const struct gg__span *of, size_t from, size_t to)
{
  return (struct gg__span){.text = of->text + from,
                           .length = to - from,
                           .offset = of->offset + from,
                           .raw_length = of->raw_length ? to - from : 0};
}

void gg__http_target(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *method,
                     const struct gg__span *target)
{
  add(decoding, draft, GG__HTTP_METHOD, method);
  add(decoding, draft, GG__HTTP_TARGET, target);
  if (gg__http_is(method, "connect")) {
    add(decoding, draft, GG__HTTP_HOST, target);
    return;
  }
  size_t from = 0;
  const char *scheme = memmem(target->text, target->length, "://", 3);
  if (target->length && *target->text != '/' && scheme) { /* absolute form: of a proxy's client */
    size_t host = (size_t)(scheme - target->text) + 3;
    for (from = host; from < target->length && !memchr("/?#", target->text[from], 3);)
      from++;
    struct gg__span authority = part(target, host, from);
    add(decoding, draft, GG__HTTP_HOST, &authority);
  }
  size_t end = from;
  while (end < target->length && target->text[end] != '?' && target->text[end] != '#')
    end++;
  struct gg__span path = part(target, from, end);
  add(decoding, draft, GG__HTTP_PATH, &path);
}
