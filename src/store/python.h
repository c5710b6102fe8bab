/* SPDX-License-Identifier: Apache-2.0 */
/**
 * python.h - Python source text: bytes as literals that people can read, and the functions that a program carries.
 *
 * Whatever is given to these functions, what they write is printable ASCII, and stays within its literal or comment.
 *
 * Private to src/store. Thread: the writer's.
 */
#ifndef GG_STORE_PYTHON_H
#define GG_STORE_PYTHON_H

#include "store/output.h"
#include "store/story.h"

/* b"...", in one line. */
void gg__python_bytes(struct gg__writer *out, const uint8_t *data, size_t length);
/* "...", in one line. */
void gg__python_text(struct gg__writer *out, const char *text);
/* One expression in several lines, each behind `indent` blanks: a literal for each line of text, wrapped; or
 * base64.b64decode(...) if it is long and binary. The last line has no end. `*base64` becomes true then. */
void gg__python_block(struct gg__writer *out, const uint8_t *data, size_t length, unsigned indent, bool *base64);
/* Text of a comment, without '#' and end of line. */
void gg__python_comment(struct gg__writer *out, const char *text, size_t length);

/* What a program may carry besides what it always has. */
enum gg__python_helper {
  GG__PYTHON_QUIET,
  GG__PYTHON_HTTP,
  GG__PYTHON_CONTINUE,
  GG__PYTHON_SEND_HTTP,
  GG__PYTHON_HTTP2,
  GG__PYTHON_WEBSOCKET,
  GG__PYTHON_REDIS,
  GG__PYTHON_BULK,
  GG__PYTHON_CODE,
  GG__PYTHON_LINES,
  GG__PYTHON_TAG,
  GG__PYTHON_DOT,
  GG__PYTHON_PROMPT,
  GG__PYTHON_TELNET,
  GG__PYTHON_DELIMITER,
  GG__PYTHON_FIXED,
  GG__PYTHON_LENGTH,
  GG__PYTHON_COOKIE,
  GG__PYTHON_BULK_OF,
  GG__PYTHON_BETWEEN,
  GG__PYTHON_PASSWORD,
  GG__PYTHON_HELPERS,
};
/* Of the bits of `wanted`, 1 << enum gg__python_helper, what they need. */
void gg__python_helpers(struct gg__writer *out, uint32_t wanted);
extern const char gg__python_core[];

/* The whole program. */
void gg__python_write(struct gg__writer *out, const struct gg__story *story);

#endif
