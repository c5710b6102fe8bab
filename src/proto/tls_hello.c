/* SPDX-License-Identifier: Apache-2.0 */
/* The hellos: RFC 8446, 4.1.2 and 4.1.3, which those of all versions since SSL 3.0 look like; that of SSL 2.0: RFC
 * 5246, E.2. Only what people ask for is taken out of the extensions; the others are named. */
#include "proto/tls.h"

#include <stdio.h>
#include <string.h>

enum {
  EXTENSION_NAME = 0,
  EXTENSION_GROUPS = 10,
  EXTENSION_FORMATS = 11,
  EXTENSION_SIGNATURES = 13,
  EXTENSION_PROTOCOLS = 16,
  EXTENSION_TICKET = 35,
  EXTENSION_PSK = 41,
  EXTENSION_EARLY_DATA = 42,
  EXTENSION_VERSIONS = 43,
  EXTENSION_KEY_SHARE = 51,
  RANDOM_BYTES = 32,
};

/* RFC 8446, 4.1.3: the random of a hello that is a retry request, the SHA-256 of "HelloRetryRequest". */
static const uint8_t retry_random[RANDOM_BYTES] = {
  0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
  0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

/* ── Out of the bytes ────────────────────────────────────────────────────────────────────────────────────────────── */

static void take_client_extension(struct gg__tls_hello *hello, uint16_t type, struct gg__reader data)
{
  switch (type) {
  case EXTENSION_NAME:
    hello->has_name = true;
    hello->names = gg__read_vector(&data, 2);
    break;
  case EXTENSION_GROUPS:
    hello->groups = gg__read_vector(&data, 2);
    break;
  case EXTENSION_FORMATS:
    hello->formats = gg__read_vector(&data, 1);
    break;
  case EXTENSION_SIGNATURES:
    hello->signatures = gg__read_vector(&data, 2);
    break;
  case EXTENSION_PROTOCOLS:
    hello->has_protocols = true;
    hello->protocols = gg__read_vector(&data, 2);
    break;
  case EXTENSION_TICKET:
    hello->ticket = data.left > 0;
    break;
  case EXTENSION_PSK:
    hello->psk = true;
    break;
  case EXTENSION_EARLY_DATA:
    hello->early_data = true;
    break;
  case EXTENSION_VERSIONS:
    hello->has_versions = true;
    hello->versions = gg__read_vector(&data, 1);
    break;
  default:
    break;
  }
  hello->bad_extensions = hello->bad_extensions || data.failed;
}

static void take_server_extension(struct gg__tls_hello *hello, uint16_t type, struct gg__reader data)
{
  switch (type) {
  case EXTENSION_PROTOCOLS:
    hello->has_protocols = true;
    hello->protocols = gg__read_vector(&data, 2);
    break;
  case EXTENSION_TICKET:
    hello->ticket = true;
    break;
  case EXTENSION_PSK:
    hello->psk = true;
    break;
  case EXTENSION_VERSIONS:
    hello->chosen_version = gg__read_u16(&data);
    break;
  case EXTENSION_KEY_SHARE:
    hello->group = gg__read_u16(&data);
    break;
  default:
    break;
  }
  hello->bad_extensions = hello->bad_extensions || data.failed;
}

static void take_extensions(struct gg__tls_hello *hello, struct gg__reader *message,
                            void (*take)(struct gg__tls_hello *, uint16_t, struct gg__reader))
{
  if (message->left == 0)
    return; /* before TLS 1.2, there need not be any */
  struct gg__reader rest = gg__read_vector(message, 2);
  hello->bad_extensions = rest.failed || message->left > 0;
  const uint8_t *begin = rest.at;
  while (rest.left) {
    const uint8_t *at = rest.at;
    uint16_t type = gg__read_u16(&rest);
    struct gg__reader data = gg__read_vector(&rest, 2);
    if (rest.failed) {
      hello->bad_extensions = true;
      rest.at = at;
      break;
    }
    take(hello, type, data);
  }
  if (begin)
    hello->extensions = gg__reader_of(begin, (size_t)(rest.at - begin)); /* those that are whole */
}

bool gg__tls_client_hello(struct gg__tls_hello *hello, const struct gg__tls_message *message)
{
  struct gg__reader reader = gg__reader_of(message->data, message->length);
  *hello = (struct gg__tls_hello){.version = gg__read_u16(&reader)};
  gg__read_bytes(&reader, RANDOM_BYTES);
  hello->session_id = gg__read_vector(&reader, 1);
  hello->ciphers = gg__read_vector(&reader, 2);
  gg__read_vector(&reader, 1); /* compression */
  if (reader.failed)
    return false;
  take_extensions(hello, &reader, take_client_extension);
  return true;
}

bool gg__tls_server_hello(struct gg__tls_hello *hello, const struct gg__tls_message *message)
{
  struct gg__reader reader = gg__reader_of(message->data, message->length);
  *hello = (struct gg__tls_hello){.version = gg__read_u16(&reader)};
  const uint8_t *random = gg__read_bytes(&reader, RANDOM_BYTES);
  hello->session_id = gg__read_vector(&reader, 1);
  hello->cipher = gg__read_u16(&reader);
  gg__read_number(&reader, 1); /* compression */
  if (reader.failed)
    return false;
  hello->retry = memcmp(random, retry_random, RANDOM_BYTES) == 0;
  hello->chosen_version = hello->version;
  take_extensions(hello, &reader, take_server_extension);
  return true;
}

bool gg__tls_old_hello(struct gg__tls_hello *hello, struct gg__reader *specs, const struct gg__tls_message *message)
{
  struct gg__reader reader = gg__reader_of(message->data, message->length);
  *hello = (struct gg__tls_hello){.version = gg__read_u16(&reader)};
  size_t ciphers = gg__read_u16(&reader), session_id = gg__read_u16(&reader), challenge = gg__read_u16(&reader);
  const uint8_t *at = gg__read_bytes(&reader, ciphers);
  const uint8_t *id = gg__read_bytes(&reader, session_id);
  gg__read_bytes(&reader, challenge);
  if (reader.failed || reader.left || ciphers == 0 || ciphers % 3 != 0)
    return false;
  *specs = gg__reader_of(at, ciphers);
  hello->session_id = gg__reader_of(id, session_id);
  return true;
}

/* ── As fields ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Each number of a list by its name, those without meaning left out. */
static void tell_names(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of,
                       struct gg__reader list, const char *(*name_of)(uint16_t, char *))
{
  char hex[GG__TLS_HEX_MAX];
  while (list.left >= 2) {
    uint16_t number = gg__read_u16(&list);
    if (!gg__tls_is_grease(number))
      gg__tls_word(decoding, draft, of, name_of(number, hex));
  }
}

static void tell_extensions(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__reader extensions)
{
  char hex[GG__TLS_HEX_MAX];
  while (extensions.left) {
    uint16_t type = gg__read_u16(&extensions);
    gg__read_vector(&extensions, 2);
    if (!gg__tls_is_grease(type))
      gg__tls_word(decoding, draft, GG__TLS_EXTENSION, gg__tls_extension_name(type, hex));
  }
}

static void tell_session_id(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__reader id)
{
  char hex[2 * GG__TLS_SESSION_ID_MAX + 1] = "";
  size_t length = id.left < GG__TLS_SESSION_ID_MAX ? id.left : GG__TLS_SESSION_ID_MAX;
  for (size_t i = 0; i < length; i++)
    snprintf(hex + 2 * i, 3, "%02x", id.at[i]);
  if (length)
    gg__tls_word(decoding, draft, GG__TLS_SESSION_ID, hex);
  if (id.left > GG__TLS_SESSION_ID_MAX)
    gg__tls_odd(decoding, draft, "long-session-id");
}

/* The protocols of ALPN; a few of them also as one text for the summary. */
static void tell_protocols(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello,
                           const struct gg__tls_message *message, char *line, size_t size)
{
  struct gg__reader list = hello->protocols;
  size_t used = 0;
  line[0] = '\0';
  while (list.left) {
    struct gg__reader name = gg__read_vector(&list, 1);
    if (list.failed)
      break;
    gg__tls_text(decoding, draft, GG__TLS_ALPN, message, name.at, name.left);
    if (used + name.left + 2 < size)
      used +=
        (size_t)snprintf(line + used, size - used, "%s%.*s", used ? " " : "", (int)name.left, (const char *)name.at);
  }
  if (list.failed)
    gg__tls_odd(decoding, draft, "bad-extensions");
}

/* The name of the server (RFC 6066, 3); NULL: there is none. */
static const uint8_t *tell_server_name(struct gg_decoding *decoding, struct gg_draft *draft,
                                       const struct gg__tls_hello *hello, const struct gg__tls_message *message,
                                       size_t *length)
{
  struct gg__reader list = hello->names;
  while (list.left) {
    uint32_t type = gg__read_number(&list, 1);
    struct gg__reader name = gg__read_vector(&list, 2);
    if (list.failed) {
      gg__tls_odd(decoding, draft, "bad-extensions");
    } else if (type == 0) {
      gg__tls_text(decoding, draft, GG__TLS_SNI, message, name.at, name.left);
      *length = name.left;
      return name.at;
    }
  }
  return NULL;
}

/* "TLS 1.2", "ssl3": what stands in front of a version's name. */
static const char *family(const char *version)
{
  return version[0] == 's' ? "" : "TLS ";
}

/* The newest version that is offered. */
static uint16_t newest(const struct gg__tls_hello *hello)
{
  uint16_t best = 0;
  for (struct gg__reader list = hello->versions; list.left >= 2;) {
    uint16_t version = gg__read_u16(&list);
    if (!gg__tls_is_grease(version) && version > best)
      best = version;
  }
  return hello->has_versions ? best : hello->version;
}

void gg__tls_tell_client(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello,
                         const struct gg__tls_message *message)
{
  char hex[GG__TLS_HEX_MAX], protocols[64];
  const char *version = gg__tls_version_name(newest(hello), hex);
  size_t length = 0;
  const uint8_t *name = tell_server_name(decoding, draft, hello, message, &length);
  tell_protocols(decoding, draft, hello, message, protocols, sizeof protocols);
  if (hello->has_versions)
    tell_names(decoding, draft, GG__TLS_OFFERED_VERSION, hello->versions, gg__tls_version_name);
  else
    gg__tls_word(decoding, draft, GG__TLS_OFFERED_VERSION, version);
  gg__tls_print_client(decoding, draft, hello);
  tell_session_id(decoding, draft, hello->session_id);
  tell_names(decoding, draft, GG__TLS_OFFERED_CIPHER, hello->ciphers, gg__tls_cipher_name);
  tell_extensions(decoding, draft, hello->extensions);
  tell_names(decoding, draft, GG__TLS_GROUP, hello->groups, gg__tls_group_name);
  if (hello->bad_extensions)
    gg__tls_odd(decoding, draft, "bad-extensions");
  gg_decoded_summary(decoding, draft, "client hello%s%.*s, up to %s%s%s%s%s%s", name ? " for " : "",
                     (int)(length < 100 ? length : 100), name ? (const char *)name : "", family(version), version,
                     protocols[0] ? ", " : "", protocols, hello->psk || hello->ticket ? ", to be resumed" : "",
                     hello->early_data ? ", early data follows" : "");
}

void gg__tls_tell_server(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello,
                         const struct gg__tls_message *message, const char *resumed)
{
  char version[GG__TLS_HEX_MAX], cipher[GG__TLS_HEX_MAX], group[GG__TLS_HEX_MAX], protocols[64];
  const char *version_name = gg__tls_version_name(hello->chosen_version, version);
  const char *cipher_name = gg__tls_cipher_name(hello->cipher, cipher);
  gg__tls_word(decoding, draft, GG__TLS_VERSION, version_name);
  gg__tls_word(decoding, draft, GG__TLS_CIPHER, cipher_name);
  tell_protocols(decoding, draft, hello, message, protocols, sizeof protocols);
  gg__tls_print_server(decoding, draft, hello);
  tell_session_id(decoding, draft, hello->session_id);
  tell_extensions(decoding, draft, hello->extensions);
  if (hello->group)
    gg__tls_word(decoding, draft, GG__TLS_GROUP, gg__tls_group_name(hello->group, group));
  if (resumed)
    gg__tls_word(decoding, draft, GG__TLS_RESUMED, resumed);
  if (hello->bad_extensions)
    gg__tls_odd(decoding, draft, "bad-extensions");
  if (hello->retry) {
    const char *wanted = hello->group ? gg__tls_group_name(hello->group, group) : "cookie";
    gg__tls_word(decoding, draft, GG__TLS_RETRY, wanted);
    gg_decoded_summary(decoding, draft, "hello retry request: %s%s, with %s", family(version_name), version_name,
                       wanted);
  } else {
    gg_decoded_summary(decoding, draft, "server hello: %s%s, %s%s%s%s%s", family(version_name), version_name,
                       cipher_name, protocols[0] ? ", " : "", protocols, resumed ? ", resumed by " : "",
                       resumed ? resumed : "");
  }
}

void gg__tls_tell_old(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello,
                      struct gg__reader specs)
{
  char hex[GG__TLS_HEX_MAX], kind[10];
  const char *version = gg__tls_version_name(hello->version, hex);
  gg__tls_word(decoding, draft, GG__TLS_OFFERED_VERSION, version);
  while (specs.left >= 3) { /* those of later versions begin with a zero */
    uint32_t spec = gg__read_number(&specs, 3);
    char cipher[GG__TLS_HEX_MAX];
    snprintf(kind, sizeof kind, "0x%06x", spec);
    gg__tls_word(decoding, draft, GG__TLS_OFFERED_CIPHER,
                 spec <= 0xffff ? gg__tls_cipher_name((uint16_t)spec, cipher) : kind);
  }
  gg__tls_odd(decoding, draft, "ssl2-hello");
  gg_decoded_summary(decoding, draft, "client hello in the form of SSL 2.0, up to %s%s", family(version), version);
}
