/* SPDX-License-Identifier: Apache-2.0 */
/**
 * content.h - bodies as they were before they were compressed: what Content-Encoding says, undone (RFC 9110, 8.4).
 *
 *     struct gg_content *content = NULL;
 *     if (gg_content_create(&content, "gzip", 4, NULL, on_bytes, context, &failure) == 0) {
 *       error = gg_content_push(content, data, length, &failure);    // calls on_bytes, perhaps several times
 *       ...
 *       if (!error)
 *         error = gg_content_finish(content, &failure);
 *     }
 *     gg_content_destroy(content);
 *
 * Nobody's body is trusted: what comes out is bounded, the memory for it as well (some MiB, by the codings' windows),
 * and what is damaged or cut gives what came before, and an error whose text says what was the matter.
 *
 * gzip (and x-gzip), deflate (with and without zlib's frame), br and zstd are undone, as far as gogetway was built with
 * their libraries; identity is nothing to undo.
 *
 * Contracts that hold for all functions here: as in error.h; a content belongs to one thread at a time; the sink is
 * called on it, from within push, and may not call the content.
 */
#ifndef GOGETWAY_CONTENT_H
#define GOGETWAY_CONTENT_H

#include <gogetway/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  GG_CONTENT_CODINGS_MAX = 4,        /* one over the other */
  GG_CONTENT_BYTES_MAX = 64 << 20,   /* that come out, unless the limits say otherwise; */
  GG_CONTENT_RATIO_MAX = 200,        /* so many for each that went in, above ... */
  GG_CONTENT_RATIO_BYTES = 16 << 20, /* ... this many */
};

struct gg_content;

/* What comes out, piece by piece; it lives until the sink returns. */
typedef void gg_content_sink(void *context, const void *data, size_t length);

struct gg_content_limits {
  size_t size;
  uint64_t bytes_max; /* 0: GG_CONTENT_BYTES_MAX */
  uint32_t ratio_max; /* 0: GG_CONTENT_RATIO_MAX */
};
#ifdef __cplusplus
inline struct gg_content_limits gg_content_limits_init() /* what the macro is in C++ */
{
  struct gg_content_limits limits = gg_content_limits();
  limits.size = sizeof limits;
  return limits;
}
#define GG_CONTENT_LIMITS_INIT gg_content_limits_init()
#else
#define GG_CONTENT_LIMITS_INIT                                                                                         \
  {                                                                                                                    \
    .size = sizeof(struct gg_content_limits)                                                                           \
  }
#endif

/* `codings` is the value of a Content-Encoding, of `length` bytes: "gzip", or several in the order in which they were
 * applied, "gzip, br"; empty is identity. `limits` may be NULL, the sink not. GG_ERR_UNSUPPORTED: one of them is not
 * known, or gogetway was built without its library; GG_ERR_LIMIT: more than GG_CONTENT_CODINGS_MAX; GG_ERR_INVALID: the
 * limits are not of this version; GG_ERR_NOMEM. */
GG_API int gg_content_create(struct gg_content **out, const char *codings, size_t length,
                             const struct gg_content_limits *limits, gg_content_sink *sink, void *context,
                             struct gg_failure *failure);

/* The next bytes of the body. GG_ERR_FORMAT: it is not coded like that, or goes on behind its end; GG_ERR_LIMIT: more
 * would come out than may ("cut after 64MiB: 1000 times its size"); GG_ERR_NOMEM. What came out before has been told.
 * After an error nothing more is taken, and it is the answer from then on. */
GG_API int gg_content_push(struct gg_content *content, const void *data, size_t length, struct gg_failure *failure);

/* That was all. GG_ERR_TRUNCATED: it ends in the middle. An empty body is none that was coded, and no error. */
GG_API int gg_content_finish(struct gg_content *content, struct gg_failure *failure);

GG_API void gg_content_destroy(struct gg_content *content); /* may be NULL */

#ifdef __cplusplus
}
#endif
#endif
