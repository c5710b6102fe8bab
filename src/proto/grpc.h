/* SPDX-License-Identifier: Apache-2.0 */
/**
 * grpc.h - calls of gRPC over HTTP/2: the messages in the bodies, and what headers say of a call.
 *
 * After "gRPC over HTTP2" (PROTOCOL-HTTP2.md) of gRPC. A call is an HTTP request and its response, which stay what they
 * are, with their bodies' lengths; each message of the call is a message of its own beside them, with the time of its
 * first and its last byte, so a call that streams is seen as it went. A message of the client answers nothing and is
 * answered by nothing. One of the server answers the call, which is the number of the request: in a call that streams
 * nobody but the application knows which message of the client it is about. What completes the answer is the response.
 */
#ifndef GG_PROTO_GRPC_H
#define GG_PROTO_GRPC_H

#include "proto/http.h"

enum { GG__GRPC_PREFIX = 5, GG__GRPC_CALL_MAX = 192 };

/* What is known of a call. */
struct gg__grpc_call {
  char name[GG__GRPC_CALL_MAX]; /* "package.Service/Method" as far as there is room; for people */
};

/* The body of one side. Zero, but for the first four, is where it begins. */
struct gg__grpc {
  unsigned kind; /* of the decoder's, that a message is */
  enum gg_side side;
  uint64_t stream, answers;
  struct gg_draft *draft; /* of a message that has begun */
  uint8_t prefix[GG__GRPC_PREFIX];
  uint8_t prefix_length;
  uint64_t left; /* bytes of the message */
  bool lost;     /* bytes are missing: where the next one begins is not known */
};

/* Whether a head that is there is one of gRPC. */
bool gg__grpc_is(const struct gg_message *message);
/* Adds service and method to a request, and notes the call. */
void gg__grpc_request(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__grpc_call *call);
/* A header of a response or of its trailers: grpc-status and grpc-message. */
void gg__grpc_header(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *name,
                     const struct gg__span *value);
/* "OK", "NOT_FOUND", ... */
const char *gg__grpc_status_text(uint64_t status);

void gg__grpc_push(struct gg__grpc *grpc, struct gg_decoding *decoding, const struct gg__grpc_call *call,
                   const struct gg_body *piece);
/* `length` bytes are missing at `offset`. */
void gg__grpc_hole(struct gg__grpc *grpc, struct gg_decoding *decoding, uint64_t offset, uint64_t length);
/* Nothing follows: a message that is not whole ends as cut. */
void gg__grpc_end(struct gg__grpc *grpc, struct gg_decoding *decoding, uint64_t end_offset);

#endif
