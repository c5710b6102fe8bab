/* SPDX-License-Identifier: Apache-2.0 */
/**
 * multipart.h - multipart/form-data (RFC 7578), multipart/mixed and their like (RFC 2046, 5.1): their parts, with
 * headers and ranges. It may come in any pieces; nothing is allocated.
 *
 * Lines may end with a LF alone. What stands in front of the first boundary and behind the last is passed over. A part
 * may be a multipart itself: then its body goes to another one of these.
 */
#ifndef GG_PROTO_MULTIPART_H
#define GG_PROTO_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG__MULTIPART_BOUNDARY_MAX = 200, /* 70 by RFC 2046 */
  GG__MULTIPART_HEAD_MAX = 4096,    /* bytes of a part's headers */
  GG__MULTIPART_NAME_MAX = 256,
  GG__MULTIPART_HEADERS_MAX = 32,
  GG__MULTIPART_PADDING_MAX = 64, /* blanks behind a boundary */
};

/* A text in a part's head; not NUL-ended. */
struct gg__multipart_text {
  const char *text;
  size_t length;
};

struct gg__part {
  uint64_t number; /* from 1 */
  struct gg__multipart_header {
    struct gg__multipart_text name, value;
  } headers[GG__MULTIPART_HEADERS_MAX];
  size_t header_count;
  struct gg__multipart_text name, filename; /* of Content-Disposition, quotes undone; NULL: it has none */
  struct gg__multipart_text type;           /* of Content-Type, without parameters */
  bool head_cut;                            /* it has more headers, or longer ones */
  bool secret;                              /* by its name */
  bool cut;                                 /* the body ended before it did; at the end */
  uint64_t offset;                          /* of its first header, in what was pushed ... */
  uint64_t body_offset;                     /* ... of its body ... */
  uint64_t body_length;                     /* ... of which so much was told */
};

struct gg__multipart_sink {
  void *context;
  void (*begin)(void *context, const struct gg__part *part); /* behind its head */
  void (*body)(void *context, const struct gg__part *part, const void *data, size_t length);
  void (*end)(void *context, const struct gg__part *part);
};

struct gg__multipart {
  struct gg__multipart_sink sink;
  uint64_t offset; /* of the next byte */
  unsigned phase;
  bool return_held; /* a CR that may belong to the boundary */
  size_t matched;   /* bytes of "\n--boundary" ... */
  bool implied;     /* ... of which the first has not come, or was the end of the head */
  size_t padding;   /* bytes behind it */
  char tail[GG__MULTIPART_PADDING_MAX];
  char delimiter[GG__MULTIPART_BOUNDARY_MAX + 3];
  size_t delimiter_length;
  struct gg__part part;
  bool in_part;
  char head[GG__MULTIPART_HEAD_MAX];
  size_t head_length;
  bool line_empty;
  char name[GG__MULTIPART_NAME_MAX], filename[GG__MULTIPART_NAME_MAX];
  bool ended; /* the last boundary has been seen */
};

/* `type` is the value of the Content-Type. False: there is no boundary in it. */
bool gg__multipart_init(struct gg__multipart *multipart, const struct gg__multipart_sink *sink, const char *type,
                        size_t length);
void gg__multipart_push(struct gg__multipart *multipart, const void *data, size_t length);
/* False: the last boundary was not there. */
bool gg__multipart_finish(struct gg__multipart *multipart);

#endif
