/* SPDX-License-Identifier: Apache-2.0 */
/**
 * http1.h - the parts of the HTTP/1 decoder: lines of a head (http1_head.c), and what goes on between them (http1.c).
 *
 * After RFC 9112. A decoder that only looks on has to read what a lenient server or client would: it goes on wherever
 * one of them would, and names what is odd; so each way in which two readers may disagree about where a message ends
 * (request smuggling) is seen.
 */
#ifndef GG_PROTO_HTTP1_H
#define GG_PROTO_HTTP1_H

#include "proto/http.h"

/* What a head says of the body's length (RFC 9112, 6). */
struct gg__http1_framing {
  bool has_length, bad_length;
  uint64_t length;
  bool has_coding; /* a transfer-encoding */
  bool chunked;    /* it is the last coding */
  bool bad_coding;
  bool close;   /* "connection: close" */
  bool upgrade; /* "connection: upgrade" */
  bool has_host;
  char protocol[32];    /* that is upgraded to, in lower case; empty: none */
  char extensions[256]; /* of WebSocket */
  uint32_t table;       /* of HTTP2-Settings: bytes of the table that the client allows; 0: it does not say */
};

/* A line: without its end, which has `end` bytes. */
struct gg__http1_line {
  struct gg__span text;
  size_t whole; /* with its end */
  bool bare;    /* it ends with a LF alone */
};

/* The line that the window begins with. False: its end is not there. `from`: so many bytes are known to have none. */
bool gg__http1_line(struct gg__http1_line *line, const uint8_t *data, size_t length, uint64_t offset, size_t from);

/* With how many bytes that a method may have the text begins. */
size_t gg__http1_token(const uint8_t *text, size_t length);

/* "GET /path HTTP/1.1". False: it is none, and `why` says so. */
struct gg__http1_request {
  struct gg__span method, target, version;
  bool odd_blanks;
};
bool gg__http1_request(struct gg__http1_request *out, const struct gg__span *line);

/* "HTTP/1.1 404 Not Found" */
struct gg__http1_status {
  struct gg__span version, reason;
  unsigned status;
  bool odd_blanks;
};
bool gg__http1_status(struct gg__http1_status *out, const struct gg__span *line);

/* Whether a target or a value has a byte below a blank, but a tab (RFC 9110, 5.5). */
bool gg__http1_has_control(const struct gg__span *value);

/* A header line, with those that continue it (obs-fold) behind it: adds it to the message, and notes what it says of
 * the framing. */
void gg__http1_header(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__http1_framing *framing,
                      const struct gg__span *line, bool folded, bool trailer);

/* "1a2b;name=value": the size of a chunk. False: it is none. */
bool gg__http1_chunk(uint64_t *size, const struct gg__span *line, bool *odd);

#endif
