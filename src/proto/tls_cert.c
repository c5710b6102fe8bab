/* SPDX-License-Identifier: Apache-2.0 */
/* Names and dates out of certificates (RFC 5280), which are seen up to TLS 1.2.
 *
 *     Certificate ─ tbs ─┬─ [0] version, serial number, algorithm
 *                        ├─ issuer ─ relative names ─ attribute and value
 *                        ├─ validity ─ two times
 *                        ├─ subject, key, [1] [2]
 *                        └─ [3] extensions ─ subject alternative name ─ DNS, IP, mail, URI
 *
 * DER is read by a reader of fixed depth: each element is a vector within the one around it, so nothing is looked at
 * outside of it, and no element is read twice. Lengths of more than four bytes, indefinite ones and tags of several
 * bytes are refused: certificates have none. What is read of one that is broken stays, and `odd` says so.
 *
 * Nothing is verified. */
#include "proto/tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
  CERTIFICATES_MAX = 16, /* of a message whose names are told */
  NAMES_MAX = 64,        /* alternative names that are told */
  NAME_MAX_BYTES = 1024, /* of a subject or an issuer as text */
  SERIAL_MAX = 32,       /* bytes of a serial number that are told; RFC 5280 has at most 20 */
};

enum tag {
  TAG_INTEGER = 0x02,
  TAG_OCTETS = 0x04,
  TAG_OID = 0x06,
  TAG_BOOLEAN = 0x01,
  TAG_BMP = 0x1e,
  TAG_UNIVERSAL = 0x1c,
  TAG_T61 = 0x14,
  TAG_UTC_TIME = 0x17,
  TAG_TIME = 0x18,
  TAG_SEQUENCE = 0x30,
  TAG_SET = 0x31,
  TAG_VERSION = 0xa0,
  TAG_EXTENSIONS = 0xa3,
  TAG_MAIL = 0x81,
  TAG_DNS = 0x82,
  TAG_URI = 0x86,
  TAG_IP = 0x87,
};

/* ── DER ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct element {
  unsigned tag;
  struct gg__reader content;
};

static struct element next_element(struct gg__reader *in)
{
  struct element element = {.tag = gg__read_number(in, 1)};
  size_t length = gg__read_number(in, 1);
  if (length > 0x80 && length <= 0x84)
    length = gg__read_number(in, length - 0x80);
  else if (length >= 0x80)
    in->failed = true;
  const uint8_t *at = in->failed ? NULL : gg__read_bytes(in, length);
  if (in->failed || (element.tag & 0x1f) == 0x1f) {
    in->failed = true;
    in->left = 0;
    element.content.failed = true;
    return element;
  }
  element.content = gg__reader_of(at, length);
  return element;
}

/* The next element, which has to be of that tag. */
static struct gg__reader expect(struct gg__reader *in, unsigned tag)
{
  struct element element = next_element(in);
  if (element.tag != tag)
    in->failed = true;
  return in->failed ? (struct gg__reader){.failed = true} : element.content;
}

static bool is_next(const struct gg__reader *in, unsigned tag)
{
  return in->left && in->at[0] == tag;
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct text {
  char bytes[NAME_MAX_BYTES];
  size_t length;
  bool cut;
};

static void put(struct text *text, const char *bytes, size_t length)
{
  if (length > sizeof text->bytes - text->length)
    text->cut = true;
  if (text->cut)
    return;
  memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
}

static void put_point(struct text *text, uint32_t point)
{
  char bytes[4];
  size_t length = 0;
  if (point < 0x80) {
    bytes[length++] = (char)point;
  } else if (point < 0x800) {
    bytes[length++] = (char)(0xc0 | point >> 6);
    bytes[length++] = (char)(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    bytes[length++] = (char)(0xe0 | point >> 12);
    bytes[length++] = (char)(0x80 | (point >> 6 & 0x3f));
    bytes[length++] = (char)(0x80 | (point & 0x3f));
  } else {
    bytes[length++] = (char)(0xf0 | (point >> 18 & 7));
    bytes[length++] = (char)(0x80 | (point >> 12 & 0x3f));
    bytes[length++] = (char)(0x80 | (point >> 6 & 0x3f));
    bytes[length++] = (char)(0x80 | (point & 0x3f));
  }
  put(text, bytes, length);
}

/* A letter of a value; those that have a meaning between names (RFC 4514, 2.4) get a backslash. */
static void put_letter(struct text *text, uint32_t letter, bool plain)
{
  if (letter < 0x80 && letter && strchr(",+\"\\<>;", (int)letter))
    put(text, "\\", 1);
  if (plain) {
    char byte = (char)letter;
    put(text, &byte, 1);
  } else {
    put_point(text, letter);
  }
}

static void put_value(struct text *text, const struct element *value)
{
  size_t width = value->tag == TAG_BMP ? 2 : value->tag == TAG_UNIVERSAL ? 4 : 1;
  for (struct gg__reader rest = value->content; rest.left >= width;)
    put_letter(text, gg__read_number(&rest, width), width == 1 && value->tag != TAG_T61);
}

/* "1.2.840.113549.1.9.1" */
static void put_oid(struct text *text, struct gg__reader oid)
{
  uint64_t number = 0;
  bool first = true;
  while (oid.left) {
    uint32_t byte = gg__read_number(&oid, 1);
    number = number << 7 | (byte & 0x7f);
    if (byte & 0x80)
      continue;
    char part[48];
    uint64_t top = first ? (number < 80 ? number / 40 : 2) : 0;
    int length = first ? snprintf(part, sizeof part, "%u.%llu", (unsigned)top, (unsigned long long)(number - 40 * top))
                       : snprintf(part, sizeof part, ".%llu", (unsigned long long)number);
    put(text, part, (size_t)length);
    number = 0;
    first = false;
  }
}

/* RFC 4514, 3, and what else is usual. */
static void put_type(struct text *text, struct gg__reader oid)
{
  static const struct {
    const char *oid, *name;
    size_t length;
  } types[] = {
    {"\x55\x04\x03", "CN", 3},
    {"\x55\x04\x04", "SN", 3},
    {"\x55\x04\x05", "serialNumber", 3},
    {"\x55\x04\x06", "C", 3},
    {"\x55\x04\x07", "L", 3},
    {"\x55\x04\x08", "ST", 3},
    {"\x55\x04\x09", "street", 3},
    {"\x55\x04\x0a", "O", 3},
    {"\x55\x04\x0b", "OU", 3},
    {"\x55\x04\x0c", "title", 3},
    {"\x55\x04\x2a", "GN", 3},
    {"\x55\x04\x61", "organizationIdentifier", 3},
    {"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress", 9},
    {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC", 10},
    {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID", 10},
  };
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].length == oid.left && memcmp(types[i].oid, oid.at, oid.left) == 0) {
      put(text, types[i].name, strlen(types[i].name));
      return;
    }
  put_oid(text, oid);
}

/* "C=DE, O=Example, CN=example.test", in the order in which they stand. False: it is no name. */
static bool put_name(struct text *text, struct gg__reader name)
{
  while (name.left) {
    struct gg__reader set = expect(&name, TAG_SET);
    const char *between = text->length ? ", " : "";
    while (set.left) {
      struct gg__reader pair = expect(&set, TAG_SEQUENCE), type = expect(&pair, TAG_OID);
      struct element value = next_element(&pair);
      if (pair.failed || set.failed)
        return false;
      put(text, between, strlen(between));
      put_type(text, type);
      put(text, "=", 1);
      put_value(text, &value);
      between = "+";
    }
    if (set.failed)
      return false;
  }
  return !name.failed;
}

static bool tell_name(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of,
                      struct gg__reader name, struct text *text)
{
  text->length = 0;
  text->cut = false;
  bool good = put_name(text, name);
  struct gg_field field = {
    .of = &gg__tls_fields[of], .value = (const uint8_t *)text->bytes, .length = text->length, .cut = text->cut};
  gg_decoded_field(decoding, draft, &field);
  return good;
}

/* ── What else is told of the first one ──────────────────────────────────────────────────────────────────────────── */

static void tell_serial(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__reader serial)
{
  char hex[2 * SERIAL_MAX + 1] = "";
  for (size_t i = 0; i < SERIAL_MAX && serial.left; i++)
    snprintf(hex + 2 * i, 3, "%02x", gg__read_number(&serial, 1));
  gg__tls_word(decoding, draft, GG__TLS_SERIAL, hex);
}

/* "260131120000Z" and "20260131120000Z" as "2026-01-31T12:00:00Z". */
static void tell_time(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of,
                      struct gg__reader *in)
{
  struct element time = next_element(in);
  size_t year_digits = time.tag == TAG_UTC_TIME ? 2 : 4;
  if (in->failed || (time.tag != TAG_UTC_TIME && time.tag != TAG_TIME) || time.content.left != year_digits + 11) {
    in->failed = true;
    return;
  }
  const char *at = (const char *)time.content.at;
  const char *century = year_digits == 4 ? "" : at[0] < '5' ? "20" : "19"; /* RFC 5280, 4.1.2.5.1 */
  const char *rest = at + year_digits;
  char text[32];
  int length = snprintf(text, sizeof text, "%s%.*s-%.2s-%.2sT%.2s:%.2s:%.2sZ", century, (int)year_digits, at, rest,
                        rest + 2, rest + 4, rest + 6, rest + 8);
  struct gg_field field = {.of = &gg__tls_fields[of], .value = (const uint8_t *)text, .length = (size_t)length};
  gg_decoded_field(decoding, draft, &field);
}

static void tell_alternative_names(struct gg_decoding *decoding, struct gg_draft *draft,
                                   const struct gg__tls_message *message, struct gg__reader octets)
{
  struct gg__reader names = expect(&octets, TAG_SEQUENCE);
  for (size_t i = 0; names.left; i++) {
    struct element name = next_element(&names);
    if (names.failed)
      break;
    if (i == NAMES_MAX) {
      gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_FIELDS_CUT;
      return;
    }
    char address[INET6_ADDRSTRLEN];
    if (name.tag == TAG_DNS || name.tag == TAG_MAIL || name.tag == TAG_URI)
      gg__tls_text(decoding, draft, GG__TLS_NAME, message, name.content.at, name.content.left);
    else if (name.tag == TAG_IP && (name.content.left == 4 || name.content.left == 16))
      gg__tls_word(decoding, draft, GG__TLS_NAME,
                   inet_ntop(name.content.left == 4 ? AF_INET : AF_INET6, name.content.at, address, sizeof address));
  }
  if (names.failed || octets.failed)
    gg__tls_odd(decoding, draft, "bad-certificate");
}

static void tell_extensions(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_message *message,
                            struct gg__reader wrapped)
{
  static const uint8_t alternative_name[] = {0x55, 0x1d, 0x11};
  struct gg__reader extensions = expect(&wrapped, TAG_SEQUENCE);
  bool failed = wrapped.failed;
  while (extensions.left && !failed) {
    struct gg__reader extension = expect(&extensions, TAG_SEQUENCE), oid = expect(&extension, TAG_OID);
    if (is_next(&extension, TAG_BOOLEAN))
      next_element(&extension); /* critical */
    struct gg__reader octets = expect(&extension, TAG_OCTETS);
    failed = extensions.failed || extension.failed;
    if (!failed && oid.left == sizeof alternative_name && memcmp(oid.at, alternative_name, oid.left) == 0)
      tell_alternative_names(decoding, draft, message, octets);
  }
  if (failed || extensions.failed)
    gg__tls_odd(decoding, draft, "bad-certificate");
}

/* ── A certificate ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* `text` has the subject then. False: it is none. */
static bool tell_certificate(struct gg_decoding *decoding, struct gg_draft *draft,
                             const struct gg__tls_message *message, struct gg__reader der, bool first,
                             struct text *text)
{
  struct gg__reader certificate = expect(&der, TAG_SEQUENCE), tbs = expect(&certificate, TAG_SEQUENCE);
  if (is_next(&tbs, TAG_VERSION))
    next_element(&tbs);
  struct gg__reader serial = expect(&tbs, TAG_INTEGER);
  expect(&tbs, TAG_SEQUENCE); /* algorithm */
  struct gg__reader issuer = expect(&tbs, TAG_SEQUENCE), validity = expect(&tbs, TAG_SEQUENCE);
  struct gg__reader subject = expect(&tbs, TAG_SEQUENCE);
  if (der.failed || certificate.failed || tbs.failed)
    return false;
  bool good = tell_name(decoding, draft, GG__TLS_ISSUER, issuer, text);
  good = tell_name(decoding, draft, GG__TLS_SUBJECT, subject, text) && good;
  if (!first)
    return good;
  tell_serial(decoding, draft, serial);
  tell_time(decoding, draft, GG__TLS_NOT_BEFORE, &validity);
  tell_time(decoding, draft, GG__TLS_NOT_AFTER, &validity);
  expect(&tbs, TAG_SEQUENCE); /* key */
  while (tbs.left && !is_next(&tbs, TAG_EXTENSIONS))
    next_element(&tbs);
  if (tbs.left)
    tell_extensions(decoding, draft, message, expect(&tbs, TAG_EXTENSIONS));
  return good && !validity.failed && !tbs.failed;
}

void gg__tls_certificates(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_message *message)
{
  struct gg__reader reader = gg__reader_of(message->data, message->length), list = gg__read_vector(&reader, 3);
  struct text text = {.length = 0};
  char subject[128] = "";
  size_t count = 0;
  for (; list.left; count++) {
    struct gg__reader der = gg__read_vector(&list, 3);
    if (list.failed || count == CERTIFICATES_MAX)
      break;
    if (!tell_certificate(decoding, draft, message, der, count == 0, &text))
      gg__tls_odd(decoding, draft, "bad-certificate");
    if (count == 0)
      snprintf(subject, sizeof subject, " of %.*s", (int)(text.length < 100 ? text.length : 100), text.bytes);
  }
  if (count == CERTIFICATES_MAX)
    gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_FIELDS_CUT;
  if (reader.failed || list.failed || reader.left)
    gg__tls_odd(decoding, draft, "bad-certificate-list");
  gg_decoded_summary(decoding, draft, "%s%s", count ? "certificate" : "no certificate", subject);
}
