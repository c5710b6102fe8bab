/* SPDX-License-Identifier: Apache-2.0 */
/* Fingerprints of hellos.
 *
 * JA3 (Salesforce): the MD5 of "version,ciphers,extensions,groups,point formats", numbers in decimal with hyphens, in
 * the order in which they stand; JA3S: of "version,cipher,extensions" of the server.
 * JA4 (FoxIO; the part that is under BSD): "t13d1516h2_8daaf6152771_e5627efa2ab1", that is TLS over TCP, newest
 * version, whether a server name is there, counts of ciphers and extensions, ends of the first protocol; then 12 digits
 * of the SHA-256 of the sorted ciphers, and 12 of the sorted extensions (but server name and protocols) and the
 * signature algorithms as they stand.
 * All leave GREASE out. The text is not built but goes into the digest in pieces: a hello may have 32,000 ciphers. */
#include "base/md5.h"
#include "base/sha256.h"
#include "proto/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  JA3_TEXT_MAX = 1024, /* bytes of its text that are told */
  JA4_DIGITS = 12,
  JA4_COUNT_MAX = 99,
  EXTENSION_NAME = 0,
  EXTENSION_PROTOCOLS = 16,
};

/* ── JA3 ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct ja3 {
  struct gg_md5 md5;
  char text[JA3_TEXT_MAX];
  size_t length; /* also of what is not in `text` any more */
};

static void add(struct ja3 *ja3, const char *text, size_t length)
{
  gg_md5_add(&ja3->md5, text, length);
  for (size_t i = 0; i < length && ja3->length + i < JA3_TEXT_MAX; i++)
    ja3->text[ja3->length + i] = text[i];
  ja3->length += length;
}

static void add_number(struct ja3 *ja3, unsigned number, bool first)
{
  char text[16];
  int length = snprintf(text, sizeof text, "%s%u", first ? "" : "-", number);
  add(ja3, text, (size_t)length);
}

static void add_list(struct ja3 *ja3, struct gg__reader list, size_t bytes)
{
  bool first = true;
  while (list.left >= bytes) {
    uint32_t number = gg__read_number(&list, bytes);
    if (bytes == 2 && gg__tls_is_grease((uint16_t)number))
      continue;
    add_number(ja3, number, first);
    first = false;
  }
}

static void add_extensions(struct ja3 *ja3, struct gg__reader extensions)
{
  bool first = true;
  while (extensions.left) {
    uint16_t type = gg__read_u16(&extensions);
    gg__read_vector(&extensions, 2);
    if (gg__tls_is_grease(type))
      continue;
    add_number(ja3, type, first);
    first = false;
  }
}

static void digits_of(char *out, const uint8_t *digest, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++)
    snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void tell_digest(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of, struct ja3 *ja3)
{
  uint8_t digest[GG_MD5_BYTES];
  char digits[2 * GG_MD5_BYTES + 1];
  gg_md5_end(&ja3->md5, digest);
  digits_of(digits, digest, sizeof digest);
  gg__tls_word(decoding, draft, of, digits);
}

static void tell_ja3(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello)
{
  struct ja3 ja3 = {.length = 0};
  gg_md5_begin(&ja3.md5);
  add_number(&ja3, hello->version, true);
  add(&ja3, ",", 1);
  add_list(&ja3, hello->ciphers, 2);
  add(&ja3, ",", 1);
  add_extensions(&ja3, hello->extensions);
  add(&ja3, ",", 1);
  add_list(&ja3, hello->groups, 2);
  add(&ja3, ",", 1);
  add_list(&ja3, hello->formats, 1);
  tell_digest(decoding, draft, GG__TLS_JA3, &ja3);
  struct gg_field text = {.of = &gg__tls_fields[GG__TLS_JA3_TEXT], .value = (const uint8_t *)ja3.text};
  text.cut = ja3.length > JA3_TEXT_MAX;
  text.length = text.cut ? JA3_TEXT_MAX : ja3.length;
  gg_decoded_field(decoding, draft, &text);
}

void gg__tls_print_server(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello)
{
  struct ja3 ja3 = {.length = 0};
  gg_md5_begin(&ja3.md5);
  add_number(&ja3, hello->version, true);
  add(&ja3, ",", 1);
  add_number(&ja3, hello->cipher, true);
  add(&ja3, ",", 1);
  add_extensions(&ja3, hello->extensions);
  tell_digest(decoding, draft, GG__TLS_JA3S, &ja3);
}

/* ── JA4 ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int compare(const void *a, const void *b)
{
  return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Numbers as hex with commas; true: there was one. */
static bool add_hex(struct gg_sha256 *sha256, const uint16_t *numbers, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    char text[8];
    int length = snprintf(text, sizeof text, "%s%04x", i ? "," : "", numbers[i]);
    gg_sha256_add(sha256, text, (size_t)length);
  }
  return count > 0;
}

/* The numbers of a list that count; `out` has room for all of them. */
static size_t meant(uint16_t *out, struct gg__reader list)
{
  size_t count = 0;
  while (list.left >= 2) {
    uint16_t number = gg__read_u16(&list);
    if (!gg__tls_is_grease(number))
      out[count++] = number;
  }
  return count;
}

/* Types of extensions, and in *named how many there are with those that the digest leaves out. */
static size_t meant_extensions(uint16_t *out, struct gg__reader list, size_t *named)
{
  size_t count = 0;
  *named = 0;
  while (list.left) {
    uint16_t type = gg__read_u16(&list);
    gg__read_vector(&list, 2);
    if (gg__tls_is_grease(type))
      continue;
    ++*named;
    if (type != EXTENSION_NAME && type != EXTENSION_PROTOCOLS)
      out[count++] = type;
  }
  return count;
}

static const char *ja4_version(const struct gg__tls_hello *hello)
{
  uint16_t version = hello->has_versions ? 0 : hello->version;
  for (struct gg__reader list = hello->versions; list.left >= 2;) {
    uint16_t offered = gg__read_u16(&list);
    if (!gg__tls_is_grease(offered) && offered > version)
      version = offered;
  }
  static const char *const names[] = {"s3", "10", "11", "12", "13"};
  if (version == 2)
    return "s2";
  return version >= GG__TLS_SSL3 && version <= GG__TLS_13 ? names[version - GG__TLS_SSL3] : "00";
}

static bool is_alphanumeric(uint8_t byte)
{
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/* First and last letter of the first protocol; of its hex digits, if one of them is neither letter nor digit. */
static void ja4_protocol(char out[3], const struct gg__tls_hello *hello)
{
  static const char hex[] = "0123456789abcdef";
  struct gg__reader list = hello->protocols, name = gg__read_vector(&list, 1);
  memcpy(out, "00", 3);
  if (name.left == 0)
    return;
  uint8_t first = name.at[0], last = name.at[name.left - 1];
  bool plain = is_alphanumeric(first) && is_alphanumeric(last);
  out[0] = plain ? (char)first : hex[first >> 4];
  out[1] = plain ? (char)last : hex[last & 15];
}

static void ja4_digits(char out[JA4_DIGITS + 1], struct gg_sha256 *sha256, bool any)
{
  uint8_t digest[GG_SHA256_BYTES];
  gg_sha256_end(sha256, digest);
  digits_of(out, digest, JA4_DIGITS / 2);
  if (!any)
    memcpy(out, "000000000000", JA4_DIGITS);
}

static void tell_ja4(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello)
{
  size_t most = hello->ciphers.left;
  most = most > hello->extensions.left ? most : hello->extensions.left;
  most = most > hello->signatures.left ? most : hello->signatures.left;
  uint16_t *numbers = gg_decoded_alloc(decoding, NULL, most + sizeof *numbers); /* each is two bytes there, too */
  if (!numbers)
    return;
  struct gg_sha256 sha256;
  char protocol[3], cipher_digits[JA4_DIGITS + 1], extension_digits[JA4_DIGITS + 1], text[64];
  size_t ciphers = meant(numbers, hello->ciphers), named;
  qsort(numbers, ciphers, sizeof *numbers, compare);
  gg_sha256_begin(&sha256);
  ja4_digits(cipher_digits, &sha256, add_hex(&sha256, numbers, ciphers));
  size_t extensions = meant_extensions(numbers, hello->extensions, &named);
  qsort(numbers, extensions, sizeof *numbers, compare);
  gg_sha256_begin(&sha256);
  bool any = add_hex(&sha256, numbers, extensions);
  size_t signatures = meant(numbers, hello->signatures);
  if (signatures)
    gg_sha256_add(&sha256, "_", 1);
  any = add_hex(&sha256, numbers, signatures) || any;
  ja4_digits(extension_digits, &sha256, any);
  gg_decoded_alloc(decoding, numbers, 0);
  ja4_protocol(protocol, hello);
  snprintf(text, sizeof text, "t%s%c%02zu%02zu%s_%s_%s", ja4_version(hello), hello->has_name ? 'd' : 'i',
           ciphers < JA4_COUNT_MAX ? ciphers : JA4_COUNT_MAX, named < JA4_COUNT_MAX ? named : JA4_COUNT_MAX, protocol,
           cipher_digits, extension_digits);
  gg__tls_word(decoding, draft, GG__TLS_JA4, text);
}

void gg__tls_print_client(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello)
{
  tell_ja3(decoding, draft, hello);
  tell_ja4(decoding, draft, hello);
}
