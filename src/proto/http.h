/* SPDX-License-Identifier: Apache-2.0 */
/**
 * http.h - what HTTP/1 and HTTP/2 have in common: the fields of their messages, and what headers mean.
 */
#ifndef GG_PROTO_HTTP_H
#define GG_PROTO_HTTP_H

#include <gogetway/decoder.h>
#include <string.h>
#include <strings.h>

enum gg__http_field {
  GG__HTTP_METHOD,
  GG__HTTP_TARGET,
  GG__HTTP_QUERY,
  GG__HTTP_PATH,
  GG__HTTP_HOST,
  GG__HTTP_VERSION,
  GG__HTTP_STATUS,
  GG__HTTP_REASON,
  GG__HTTP_HEADER,
  GG__HTTP_TRAILER,
  GG__HTTP_TYPE,
  GG__HTTP_AGENT,
  GG__HTTP_USER,
  GG__HTTP_PASSWORD,
  GG__HTTP_ODD,
  GG__SSE_EVENT,
  GG__SSE_ID,
  GG__SSE_RETRY,
#ifdef GG_HAVE_HTTP2
  GG__GRPC_SERVICE,
  GG__GRPC_METHOD,
  GG__GRPC_STATUS,
  GG__GRPC_MESSAGE,
  GG__GRPC_COMPRESSED,
  GG__GRPC_ODD,
  GG__HTTP2_ERROR,
  GG__HTTP2_PROMISED_ON,
  GG__HTTP2_SETTING,
  GG__HTTP2_ACK,
  GG__HTTP2_INCREMENT,
  GG__HTTP2_PING,
  GG__HTTP2_LAST_STREAM,
  GG__HTTP2_DEBUG,
  GG__HTTP2_DEPENDS_ON,
  GG__HTTP2_WEIGHT,
  GG__HTTP2_FRAME,
  GG__HTTP2_WEBSOCKET, /* the first of GG__WS_FIELDS_AT */
#endif
};
extern const struct gg_decoder_field gg__http_fields[];

/* A piece of text where it stands. */
struct gg__span {
  const char *text;
  size_t length;
  uint64_t offset;     /* in its side's stream */
  uint64_t raw_length; /* 0: it does not stand there (compressed headers) */
};

/* Any case of letters. */
static inline bool gg__http_is(const struct gg__span *span, const char *lower)
{
  size_t length = strlen(lower); /* known to the compiler: most names differ in that, or in the first letter */
  return length == span->length &&
         (length == 0 || ((span->text[0] | 0x20) == (lower[0] | 0x20) && strncasecmp(span->text, lower, length) == 0));
}

void gg__http_add(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__http_field of,
                  const struct gg__span *value);
/* The message's first field of that kind; NULL: it has none. */
const struct gg_field *gg__http_find(const struct gg_message *message, enum gg__http_field of);
/* Adds a header (or a trailer), and what it says that has a field of its own. */
void gg__http_header(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *name,
                     const struct gg__span *value, bool trailer);
/* Adds a request's target, and its path without a query; the host too, if it is in there. */
void gg__http_target(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *method,
                     const struct gg__span *target);
/* The same of a target without a method. */
void gg__http_path(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *target);
/* What is not as it should be, each once: "conflicting-content-length". */
void gg__http_odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what);
/* Whether `wanted` is among the words of a list with commas ("keep-alive, Upgrade"), any case; and its last one. */
bool gg__http_lists(const struct gg__span *list, const char *wanted);
struct gg__span gg__http_last(const struct gg__span *list);

#endif
