/* SPDX-License-Identifier: Apache-2.0 */
/**
 * framing.h - how messages of a protocol that is not known here are told apart, as a person has said it
 * (framing_text.c), for who does it (framing.c).
 */
#ifndef GG_PROTO_FRAMING_H
#define GG_PROTO_FRAMING_H

#include <gogetway/decoder.h>

enum {
  GG__DELIMITER_MAX = 16,
  GG__LENGTH_OFFSET_MAX = 1024, /* bytes in front of a length field */
  GG__LENGTH_WIDTH_MAX = 8,
};

enum gg__framing_kind { GG__FRAMING_DELIMITER, GG__FRAMING_FIXED, GG__FRAMING_LENGTH };

/* Whose messages are answered by the other side's, each by the next one. */
enum gg__framing_requests { GG__REQUESTS_OF_CLIENT, GG__REQUESTS_OF_SERVER, GG__REQUESTS_OF_NOBODY };

struct gg__framing {
  enum gg__framing_kind kind;
  enum gg__framing_requests requests;
  char delimiter[GG__DELIMITER_MAX];
  size_t delimiter_length;
  uint64_t size; /* of each message, if it is fixed */
  /* A message has offset + width bytes, and as many more as the length field says and `adjust` adds. */
  size_t offset, width;
  bool little_endian;
  int64_t adjust;
  uint64_t header; /* bytes that are no body */
};

/* GG_ERR_FORMAT: the failure has the column, and what would be right. */
int gg__framing_parse(struct gg__framing *out, const char *text, struct gg_failure *failure);

#endif
