/* SPDX-License-Identifier: Apache-2.0 */
/* Who logs in by SMTP, and with what: the responses of the mechanisms that are in use. */
#include "proto/smtp.h"

#include "base/base64.h"
#include "proto/textual.h"

#include <string.h>

enum { RESPONSE_MAX = 12288 }; /* letters, after RFC 4954, 4 */

void gg__smtp_auth_begin(struct gg__smtp_auth *auth, const uint8_t *mechanism, size_t length)
{
  static const struct {
    const char *name;
    enum gg__smtp_mechanism mechanism;
  } known[] = {{"PLAIN", GG__SMTP_PLAIN},
               {"LOGIN", GG__SMTP_LOGIN},
               {"CRAM-MD5", GG__SMTP_CRAM},
               {"XOAUTH2", GG__SMTP_BEARER},
               {"OAUTHBEARER", GG__SMTP_BEARER}};
  *auth = (struct gg__smtp_auth){.mechanism = GG__SMTP_UNKNOWN};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (gg__textual_is(mechanism, length, known[i].name))
      auth->mechanism = known[i].mechanism;
}

/* A response that is taken apart. */
struct response {
  const uint8_t *user, *secret;
  size_t user_length, secret_length;
};

/* authorization NUL user NUL password */
static void split_plain(struct response *out, const uint8_t *data, size_t length)
{
  const uint8_t *user = memchr(data, '\0', length), *end = data + length;
  const uint8_t *password = user ? memchr(user + 1, '\0', (size_t)(end - user - 1)) : NULL;
  if (!password)
    return;
  *out = (struct response){.user = user + 1,
                           .user_length = (size_t)(password - user - 1),
                           .secret = password + 1,
                           .secret_length = (size_t)(end - password - 1)};
}

/* user blank digest */
static void split_cram(struct response *out, const uint8_t *data, size_t length)
{
  const uint8_t *blank = memrchr(data, ' ', length);
  if (!blank)
    return;
  *out = (struct response){.user = data,
                           .user_length = (size_t)(blank - data),
                           .secret = blank + 1,
                           .secret_length = length - (size_t)(blank + 1 - data)};
}

/* "user=a@b" ^A "auth=Bearer token", or "n,a=a@b," ^A ... */
static void split_bearer(struct response *out, const uint8_t *data, size_t length)
{
  bool xoauth = gg__textual_begins(data, length, "user=");
  const uint8_t *from = xoauth ? data + 5 : memmem(data, length, "a=", 2), *end = data + length;
  if (!from)
    return;
  from += xoauth ? 0 : 2;
  const uint8_t *to = from;
  while (to < end && *to != 1 && *to != ',')
    to++;
  const uint8_t *token = memmem(to, (size_t)(end - to), "Bearer ", 7);
  const uint8_t *token_end = token ? memchr(token, 1, (size_t)(end - token)) : NULL;
  *out = (struct response){.user = from, .user_length = (size_t)(to - from)};
  if (token) {
    out->secret = token + 7;
    out->secret_length = (size_t)((token_end ? token_end : end) - out->secret);
  }
}

static struct response split(struct gg__smtp_auth *auth, const uint8_t *data, size_t length)
{
  struct response response = {0};
  switch (auth->mechanism) {
  case GG__SMTP_PLAIN:
    split_plain(&response, data, length);
    break;
  case GG__SMTP_CRAM:
    split_cram(&response, data, length);
    break;
  case GG__SMTP_BEARER:
    split_bearer(&response, data, length);
    break;
  case GG__SMTP_LOGIN:
    if (auth->responses == 0)
      response = (struct response){.user = data, .user_length = length};
    break;
  case GG__SMTP_UNKNOWN:
    break;
  }
  if (!response.user && !response.secret)
    response = (struct response){.secret = data, .secret_length = length};
  return response;
}

void gg__smtp_auth_response(struct gg__smtp_auth *auth, struct gg_decoding *decoding, struct gg_draft *draft,
                            const uint8_t *text, size_t length, uint64_t offset)
{
  uint8_t bytes[RESPONSE_MAX / 4 * 3 + 3];
  size_t byte_count;
  bool understood = length <= RESPONSE_MAX && gg_base64_read(bytes, &byte_count, (const char *)text, length);
  struct response response = {.secret = text, .secret_length = length};
  if (length == 0 || (length == 1 && (*text == '=' || *text == '*')))
    return; /* an empty response, or the end of it all */
  if (understood)
    response = split(auth, bytes, byte_count);
  auth->responses++;
  struct gg_field field = {.value = response.user, .length = response.user_length, .raw_offset = offset};
  field.raw_length = length;
  if (response.user) {
    field.of = &gg__smtp_fields[GG__SMTP_USER];
    gg_decoded_field(decoding, draft, &field);
  }
  if (response.secret) {
    field.of = &gg__smtp_fields[GG__SMTP_PASSWORD];
    field.value = response.secret;
    field.length = response.secret_length;
    field.secret = true;
    gg_decoded_field(decoding, draft, &field);
  }
}
