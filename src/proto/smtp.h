/* SPDX-License-Identifier: Apache-2.0 */
/**
 * smtp.h - the parts of the SMTP decoder: commands, replies and mails (smtp.c), and what logs somebody in
 * (smtp_auth.c).
 */
#ifndef GG_PROTO_SMTP_H
#define GG_PROTO_SMTP_H

#include <gogetway/decoder.h>

enum gg__smtp_field {
  GG__SMTP_COMMAND,
  GG__SMTP_ARGUMENT,
  GG__SMTP_HELO,
  GG__SMTP_FROM,
  GG__SMTP_TO,
  GG__SMTP_CODE,
  GG__SMTP_STATUS,
  GG__SMTP_TEXT,
  GG__SMTP_SERVER,
  GG__SMTP_EXTENSION,
  GG__SMTP_MECHANISM,
  GG__SMTP_USER,
  GG__SMTP_PASSWORD,
  GG__SMTP_ODD,
};
extern const struct gg_decoder_field gg__smtp_fields[];

/* Where an exchange is that logs somebody in (RFC 4954). */
enum gg__smtp_mechanism {
  GG__SMTP_PLAIN,   /* RFC 4616: one response with user and password */
  GG__SMTP_LOGIN,   /* the user, then the password */
  GG__SMTP_CRAM,    /* RFC 2195: the user and a digest */
  GG__SMTP_BEARER,  /* RFC 7628, and XOAUTH2: user and token */
  GG__SMTP_UNKNOWN, /* responses are kept secret, and not understood */
};
struct gg__smtp_auth {
  enum gg__smtp_mechanism mechanism;
  unsigned responses; /* so far */
};

void gg__smtp_auth_begin(struct gg__smtp_auth *auth, const uint8_t *mechanism, size_t length);
/* A response of the client, Base64 as it stands at `offset`: adds who logs in, and the secret. */
void gg__smtp_auth_response(struct gg__smtp_auth *auth, struct gg_decoding *decoding, struct gg_draft *draft,
                            const uint8_t *text, size_t length, uint64_t offset);

#endif
