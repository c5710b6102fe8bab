/* SPDX-License-Identifier: Apache-2.0 */
/**
 * tls.h - what the files of the TLS decoder share.
 *
 *     tls.c          records, handshake messages out of them, what is encrypted
 *     tls_hello.c    the hellos of both sides
 *     tls_print.c    fingerprints: JA3, JA3S, JA4
 *     tls_cert.c     certificates: names and dates out of DER
 *     tls_names.c    numbers as words; tls_ciphers.c those of cipher suites
 */
#ifndef GG_PROTO_TLS_H
#define GG_PROTO_TLS_H

#include <gogetway/decoder.h>

#include "proto/reader.h"

enum gg__tls_field {
  GG__TLS_SNI,
  GG__TLS_ALPN,
  GG__TLS_VERSION,
  GG__TLS_CIPHER,
  GG__TLS_JA3,
  GG__TLS_JA4,
  GG__TLS_SUBJECT,
  GG__TLS_ISSUER,
  GG__TLS_RESUMED,
  GG__TLS_RETRY,
  GG__TLS_ALERT,
  GG__TLS_LEVEL,
  GG__TLS_OFFERED_VERSION,
  GG__TLS_OFFERED_CIPHER,
  GG__TLS_EXTENSION,
  GG__TLS_GROUP,
  GG__TLS_SESSION_ID,
  GG__TLS_JA3_TEXT,
  GG__TLS_JA3S,
  GG__TLS_NAME,
  GG__TLS_SERIAL,
  GG__TLS_NOT_BEFORE,
  GG__TLS_NOT_AFTER,
  GG__TLS_LIFETIME,
  GG__TLS_CONTENT,
  GG__TLS_RECORDS,
  GG__TLS_BYTES,
  GG__TLS_ODD,
};
extern const struct gg_decoder_field gg__tls_fields[];

enum {
  GG__TLS_SSL3 = 0x0300,
  GG__TLS_12 = 0x0303,
  GG__TLS_13 = 0x0304,
  GG__TLS_SESSION_ID_MAX = 32,
};

/* A handshake message that is there as a whole, without its header. */
struct gg__tls_message {
  const uint8_t *data;
  size_t length;
  uint64_t offset; /* where it stands in the stream, if it is in one record ... */
  bool in_one;     /* ... and whether it is */
};

/* Adds bytes of the message as a field, with where they stand. */
void gg__tls_text(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of,
                  const struct gg__tls_message *message, const uint8_t *bytes, size_t length);
/* A word that does not stand there as it is. */
void gg__tls_word(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of, const char *word);
/* What is not as it should be, each once: "bad-extensions". */
void gg__tls_odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what);

/* ── tls_names.c ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A number that has no name is written into `hex`: "0x7f1c". */
enum { GG__TLS_HEX_MAX = 8 };
const char *gg__tls_version_name(uint16_t version, char hex[GG__TLS_HEX_MAX]); /* "1.3" */
const char *gg__tls_cipher_name(uint16_t cipher, char hex[GG__TLS_HEX_MAX]);   /* "TLS_AES_128_GCM_SHA256" */
const char *gg__tls_extension_name(uint16_t extension, char hex[GG__TLS_HEX_MAX]);
const char *gg__tls_group_name(uint16_t group, char hex[GG__TLS_HEX_MAX]);
const char *gg__tls_alert_name(uint8_t alert, char hex[GG__TLS_HEX_MAX]);

/* RFC 8701: values that clients say so that servers ignore what they do not know. */
static inline bool gg__tls_is_grease(uint16_t value)
{
  return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* ── tls_ciphers.c ───────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg__tls_number {
  uint16_t number;
  const char *name;
};
extern const struct gg__tls_number gg__tls_ciphers[]; /* by number */
extern const size_t gg__tls_cipher_count;

/* ── tls_hello.c ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A hello of either side; the readers are of what stands in the message. */
struct gg__tls_hello {
  uint16_t version; /* that it says for those who know no newer way */
  struct gg__reader session_id, extensions;
  /* of a client */
  struct gg__reader ciphers, names, protocols, versions, groups, formats, signatures;
  bool has_name, has_protocols, has_versions;
  bool ticket, early_data, psk;
  /* of a server */
  uint16_t cipher, chosen_version; /* by the extension, else `version` */
  uint16_t group;                  /* 0: none */
  bool retry;                      /* it is a hello retry request */
  bool bad_extensions;
};

/* False: it is none. */
bool gg__tls_client_hello(struct gg__tls_hello *hello, const struct gg__tls_message *message);
bool gg__tls_server_hello(struct gg__tls_hello *hello, const struct gg__tls_message *message);
/* Of SSL 2.0, behind its length and type; without `ciphers`, which are of three bytes there. */
bool gg__tls_old_hello(struct gg__tls_hello *hello, struct gg__reader *specs, const struct gg__tls_message *message);

/* Their fields and summaries. */
void gg__tls_tell_client(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello,
                         const struct gg__tls_message *message);
/* `resumed`: by what; NULL: it is a new session. */
void gg__tls_tell_server(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello,
                         const struct gg__tls_message *message, const char *resumed);
void gg__tls_tell_old(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello,
                      struct gg__reader specs);

/* ── tls_print.c ─────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__tls_print_client(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello);
void gg__tls_print_server(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_hello *hello);

/* ── tls_cert.c ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A certificate message of TLS 1.2 and older. */
void gg__tls_certificates(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_message *message);

#endif
