/* SPDX-License-Identifier: Apache-2.0 */
/**
 * content.h - bodies as they were before they were compressed: what Content-Encoding says, undone (RFC 9110, 8.4);
 * and as text for people.
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
#include <stdbool.h>
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

/* ── Bodies as text for people ───────────────────────────────────────────────────────────────────────────────────── */

/* A body is laid out by what its media type says that it is, and by its first bytes where there is none, or one that
 * says little (text/plain, application/octet-stream, unknown ones):
 *
 *     JSON        a line for each member and element; numbers letter by letter; broken JSON as far as it goes
 *     forms       a line "name: value" for each pair; controls in them are escaped
 *     multiparts  for each part "--- part 1", its headers, an empty line, and its body likewise (one level)
 *     other text  as it is, with the same for name=value, name: value and <name>value</name>
 *     binary      a line with type, size and first bytes
 *
 * Values of names of credentials are "****". All of it has the same text in whatever pieces the body comes. Text and
 * JSON are anybody's bytes: who shows them on a terminal makes them safe (gg_text_printable).
 *
 *     gg_body_view_create(&view, "application/json", 16, "gzip", 4, NULL, on_text, context, &failure);
 *     gg_body_view_push(view, data, length, &failure);
 *     gg_body_view_finish(view, 0, &result, &failure);
 *     gg_body_view_destroy(view);
 */
enum {
  GG_BODY_VIEW_BYTES_MAX = 1 << 16,   /* of text, unless the options say otherwise */
  GG_BODY_VIEW_CONTENT_MAX = 1 << 20, /* that come out of a coding, likewise */
};

struct gg_body_view;

struct gg_body_view_options {
  size_t size;
  uint64_t bytes_max;   /* of what is written, without the lines about what is not; 0: GG_BODY_VIEW_BYTES_MAX */
  uint64_t content_max; /* 0: GG_BODY_VIEW_CONTENT_MAX */
  bool secrets;         /* credentials as they are */
  bool bare;            /* for programs: a binary body is its bytes, and what was cut or wrong only the result says */
  /* Told what is masked: bytes from `from` to before `to` of the body, its coding undone, and whose value they are (any
   * bytes, perhaps cut). In order; at the latest by the finish. May be NULL. */
  void (*masked)(void *context, uint64_t from, uint64_t to, const char *name, size_t name_length);
  void *masked_context;
};
#ifdef __cplusplus
inline struct gg_body_view_options gg_body_view_options_init() /* what the macro is in C++ */
{
  struct gg_body_view_options options = gg_body_view_options();
  options.size = sizeof options;
  return options;
}
#define GG_BODY_VIEW_OPTIONS_INIT gg_body_view_options_init()
#else
#define GG_BODY_VIEW_OPTIONS_INIT                                                                                      \
  {                                                                                                                    \
    .size = sizeof(struct gg_body_view_options)                                                                        \
  }
#endif

struct gg_body_view_result {
  size_t size;
  uint64_t bytes;  /* of the body, its coding undone, and those that were missing */
  uint64_t more;   /* bytes of what would have been written that were cut or missing */
  bool unbounded;  /* and nobody knows how many behind them: its coding was undone no further */
  bool binary;     /* it is no text */
  const char *odd; /* what was wrong with it, half a sentence; NULL: nothing */
  uint64_t odd_at; /* of JSON: which byte is the first that is not as it should be */
};
#ifdef __cplusplus
inline struct gg_body_view_result gg_body_view_result_init() /* what the macro is in C++ */
{
  struct gg_body_view_result result = gg_body_view_result();
  result.size = sizeof result;
  return result;
}
#define GG_BODY_VIEW_RESULT_INIT gg_body_view_result_init()
#else
#define GG_BODY_VIEW_RESULT_INIT                                                                                       \
  {                                                                                                                    \
    .size = sizeof(struct gg_body_view_result)                                                                         \
  }
#endif

/* `type` and `encoding` are the values of Content-Type and Content-Encoding, empty (and perhaps NULL) where there is
 * none. A coding that is not known leaves the body as it came. `options` may be NULL, `write` not: it is called on the
 * thread of push and finish, and may not call the view. GG_ERR_INVALID, GG_ERR_NOMEM. */
GG_API int gg_body_view_create(struct gg_body_view **out, const char *type, size_t type_length, const char *encoding,
                               size_t encoding_length, const struct gg_body_view_options *options,
                               gg_content_sink *write, void *context, struct gg_failure *failure);

/* GG_ERR_NOMEM, for good. What is damaged is no error: the view says so. */
GG_API int gg_body_view_push(struct gg_body_view *view, const void *data, size_t length, struct gg_failure *failure);

/* That was all that will be pushed; `missing` bytes of the body were not. `result` may be NULL. Once. */
GG_API int gg_body_view_finish(struct gg_body_view *view, uint64_t missing, struct gg_body_view_result *result,
                               struct gg_failure *failure);

GG_API void gg_body_view_destroy(struct gg_body_view *view); /* may be NULL */

/* What a bare view has written, as members of a JSON object: {"text":"...","bytes":12,"cut":true}, or "data" in base64
 * of what is binary or no UTF-8. Returns its length, without the NUL; 0: it did not fit. */
GG_API size_t gg_body_view_json(const struct gg_body_view_result *result, const void *written, size_t length,
                                char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
