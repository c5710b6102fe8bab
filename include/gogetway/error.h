/* SPDX-License-Identifier: Apache-2.0 */
/**
 * error.h - how gogetway's functions say that something went wrong.
 *
 * A function that can fail returns 0 for success or one of the negative values below. Functions whose failures
 * need particulars (which file, which line, what would be right) also take a `struct gg_failure *`, which may be
 * NULL; on failure they fill it, and nobody on the way up overwrites it. Whoever returns an error does not log it.
 *
 * Thread: all functions here may be called from any thread.
 */
#ifndef GOGETWAY_ERROR_H
#define GOGETWAY_ERROR_H

#include <stddef.h>

#if defined(__GNUC__)
#define GG_API __attribute__((visibility("default")))
#define GG_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define GG_API
#define GG_PRINTF(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, text): the one list that makes the enumeration, the names and the texts. Append only. */
#define GG_ERROR_LIST(X)                                                                                               \
  X(NOMEM, -1, "out of memory")                                                                                        \
  X(INVALID, -2, "invalid argument")                                                                                   \
  X(IO, -3, "input or output failed")                                                                                  \
  X(NOT_FOUND, -4, "not found")                                                                                        \
  X(EXISTS, -5, "already exists")                                                                                      \
  X(BUSY, -6, "in use by another process")                                                                             \
  X(DENIED, -7, "permission denied")                                                                                   \
  X(FORMAT, -8, "not in the expected format")                                                                          \
  X(TRUNCATED, -9, "ends in the middle")                                                                               \
  X(RANGE, -10, "outside the permitted range")                                                                         \
  X(NO_SPACE, -11, "no space left")                                                                                    \
  X(LIMIT, -12, "a configured limit was reached")                                                                      \
  X(TIMEOUT, -13, "timed out")                                                                                         \
  X(REFUSED, -14, "refused by the peer")                                                                               \
  X(UNSUPPORTED, -15, "not supported here")                                                                            \
  X(CLOSED, -16, "closed")                                                                                             \
  X(RESOLVE, -17, "name does not resolve")                                                                             \
  X(AGAIN, -18, "not ready, try later")                                                                                \
  X(CORRUPT, -19, "damaged")

enum gg_error {
  GG_OK = 0,
#define GG_ERROR_ENUM(name, value, text) GG_ERR_##name = value,
  GG_ERROR_LIST(GG_ERROR_ENUM)
#undef GG_ERROR_ENUM
};

/* The particulars of a failure. Lives with the caller; no ownership, nothing to free. */
struct gg_failure {
  int code;          /* the enum gg_error value that was returned, 0 while nothing failed */
  char message[512]; /* one sentence in UTF-8 without a final dot or newline; ends in NUL */
};
/* clang-format off */
#define GG_FAILURE_INIT {0, {0}}
/* clang-format on */

/* The short text of an error ("out of memory"); "unknown error" for other numbers. Borrowed, static. */
GG_API const char *gg_error_text(int error);

/* The error's name without prefix ("NOMEM"); "UNKNOWN" for other numbers. Borrowed, static. */
GG_API const char *gg_error_name(int error);

/* The error that fits an errno value best (ENOMEM: GG_ERR_NOMEM, ENOENT: GG_ERR_NOT_FOUND, ...; else GG_ERR_IO). */
GG_API int gg_error_from_errno(int errno_value);

/* Fills `failure` (if not NULL and not filled already) and returns `error`, so that one can write
 * `return gg_fail(failure, GG_ERR_RANGE, "...", ...)`. Too long messages are cut at a character boundary. */
GG_API int gg_fail(struct gg_failure *failure, int error, const char *format, ...) GG_PRINTF(3, 4);

/* The same with the error and the text of an errno value: "<message>: No space left on device". */
GG_API int gg_fail_errno(struct gg_failure *failure, int errno_value, const char *format, ...) GG_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
