/* SPDX-License-Identifier: Apache-2.0 */
/**
 * body_secrets.h - where those credentials stand in a session's streams that bodies of its messages have.
 *
 * body_secrets.h - where in a session's streams the credentials of its messages' bodies stand.
 *
 * What is masked in a view of messages is so found for views of bytes, and for programs. Memory: a view for each body
 * under way, and where its pieces stand; a body for which there is no room counts as a credential.
 *
 * Private to src/store. Thread: the store's.
 */
#ifndef GG_STORE_BODY_SECRETS_H
#define GG_STORE_BODY_SECRETS_H

#include "store/bounds.h"

#include <gogetway/messages.h>

struct gg__body_secret {
  const struct gg_message *message; /* as it is known now */
  uint64_t from, end;               /* of its side's stream */
  bool exact;                       /* these bytes are the credential; else it is somewhere among them, and coded */
  const char *name;                 /* any bytes, not NUL-ended, until the callback returns */
  size_t name_length;
};

struct gg__body_secrets {
  void (*found)(void *context, const struct gg__body_secret *secret);
  void *context;
  bool no_memory; /* some have not been found */
  struct gg__body_scan *scans[GG__BODIES_UNDER_WAY_MAX];
};

/* What a struct gg_message_sink is told. */
void gg__body_secrets_push(struct gg__body_secrets *secrets, const struct gg_message *message,
                           const struct gg_body *body);
void gg__body_secrets_end(struct gg__body_secrets *secrets, const struct gg_message *message);
/* Of what has not ended, what is there of it is told. */
void gg__body_secrets_finish(struct gg__body_secrets *secrets);

/* Within a field that is no credential as a whole. Of one that stands nowhere, `end` is 0. */
void gg__field_secrets(const struct gg_message *message, const struct gg_field *field,
                       void (*found)(void *context, const struct gg__body_secret *secret), void *context);

#endif
