/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sse.h - Server-Sent Events in the body of a response, of HTTP/1 and HTTP/2 alike.
 *
 * After the HTML standard, 9.2.5 and 9.2.6. Each event is a message of its own beside the response, whose body goes on
 * being told: it reaches from its first line to its empty line, and its body are its data, lines joined by LF.
 */
#ifndef GG_PROTO_SSE_H
#define GG_PROTO_SSE_H

#include "proto/http.h"

enum gg__sse_phase {
  GG__SSE_LINE,  /* a line begins */
  GG__SSE_NAME,  /* of a field */
  GG__SSE_COLON, /* was there: one blank may follow */
  GG__SSE_VALUE,
  GG__SSE_COMMENT,
  GG__SSE_LOST,      /* bytes are missing: what comes is nobody's until an empty line; a line begins ... */
  GG__SSE_LOST_LINE, /* ... or goes on */
};

enum {
  GG__SSE_NAME_MAX = 8,    /* bytes of a field's name: longer ones mean nothing */
  GG__SSE_VALUE_MAX = 256, /* bytes that are kept of an event's name and its id */
};

/* What is being split. Zero, but for the first three, is where it begins. */
struct gg__sse {
  unsigned kind;            /* of the decoder's, that an event is */
  uint64_t stream, answers; /* of the messages */
  struct gg_draft *draft;   /* of an event that has begun */
  enum gg__sse_phase phase;
  bool begun;    /* the first byte has been there */
  bool after_cr; /* a LF that comes now belongs to the line's end */
  bool has_data;
  uint8_t mark; /* bytes of a byte order mark, in front of all */
  uint8_t name_length;
  char name[GG__SSE_NAME_MAX];
  size_t value_length; /* as it came; what is kept may be less */
  char value[GG__SSE_VALUE_MAX];
};

/* Whether a response, whose head is there, carries events that can be read. */
bool gg__sse_is(const struct gg_message *message);
void gg__sse_push(struct gg__sse *sse, struct gg_decoding *decoding, const struct gg_body *piece);
/* Bytes are missing. */
void gg__sse_hole(struct gg__sse *sse, struct gg_decoding *decoding, uint64_t offset);
/* Nothing follows: an event that lacks its empty line ends as cut. */
void gg__sse_end(struct gg__sse *sse, struct gg_decoding *decoding, uint64_t end_offset);

#endif
