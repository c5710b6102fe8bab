/* SPDX-License-Identifier: Apache-2.0 */
#include "store/http_view.h"

#include <string.h>
#include <strings.h>

bool gg__http_is_field(const struct gg_field *field, const char *name)
{
  return strcmp(field->of->name, name) == 0;
}

struct gg__text gg__http_text(const struct gg_message *message, const char *name, const char *key)
{
  const struct gg_field *field = gg_message_field(message, name, key);
  return field ? (struct gg__text){(const char *)field->value, field->length} : (struct gg__text){"", 0};
}

bool gg__text_is(struct gg__text text, const char *word)
{
  return strlen(word) == text.length && strncasecmp(text.at, word, text.length) == 0;
}

void gg__hide_header(struct gg__hiding *out, const struct gg_field *field)
{
  static const char *const of_urls[] = {"referer", "location", "content-location"};
  const char *text = (const char *)field->value;
  struct gg__text key = {field->key, field->key_length};
  out->count = 0;
  if (field->secret && field->length) {
    gg__hide_whole(out, field->length, field->key, field->key_length);
    return;
  }
  for (size_t i = 0; i < sizeof of_urls / sizeof *of_urls; i++)
    if (gg__text_is(key, of_urls[i])) {
      gg__hide_url(out, text, field->length);
      return;
    }
  gg__hide_text(out, text, field->length);
}

void gg__hide_body_of(struct gg__hiding *out, const struct gg_message *message, bool undone, const void *body,
                      size_t length)
{
  struct gg__text type = gg__http_text(message, "http.header", "content-type");
  struct gg__text coding = gg__http_text(message, "http.header", "content-encoding");
  const struct gg__body_kind kind = {
    .type = type.at, .type_length = type.length, .coding = coding.at, .coding_length = undone ? 0 : coding.length};
  gg__hide_body(out, &kind, body, length);
}

void gg__address_split(const char *address, struct gg__text *host, struct gg__text *port)
{
  const char *colon = strrchr(address, ':');
  size_t length = colon ? (size_t)(colon - address) : strlen(address);
  bool bracket = length > 1 && *address == '[';
  *host = (struct gg__text){address + bracket, bracket ? length - 2 : length};
  *port = (struct gg__text){colon ? colon + 1 : "", colon ? strlen(colon + 1) : 0};
}

bool gg__is_authority(struct gg__text text)
{
  static const char host_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  static const char address_letters[] = "0123456789abcdefABCDEF:.";
  if (text.length == 0 || text.length > 255 || *text.at == '-')
    return false;
  size_t at = *text.at == '[';
  const char *letters = at ? address_letters : host_letters;
  size_t from = at;
  while (at < text.length && text.at[at] && strchr(letters, text.at[at]))
    at++;
  if (at == from || (from && (at == text.length || text.at[at++] != ']')))
    return false;
  if (at == text.length)
    return true;
  size_t digits = text.length - at - 1, number = 0;
  if (text.at[at++] != ':' || digits == 0 || digits > 5)
    return false;
  for (; at < text.length; at++) {
    if (text.at[at] < '0' || text.at[at] > '9')
      return false;
    number = number * 10 + (size_t)(text.at[at] - '0');
  }
  return number > 0 && number < 65536;
}
