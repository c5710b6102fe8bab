/* SPDX-License-Identifier: Apache-2.0 */
/**
 * marks_line.h - one line of the journal of tags and holds, and its check.
 *
 *     {"at":"2026-11-23T11:05:31.123456789Z","session":"019a...","forget":true,"remove":["y"],"add":["x"],"hold":true,
 *      "check":"9f86d081884c7d65"}
 *
 * is one JSON object on one line, so that any tool reads it. `check` is always last: XXH3 (64 bits, hexadecimal) of all
 * that stands before its comma. What a line says is done in the order above; members of later versions are passed over.
 *
 * Private to src/store. Pure functions; any thread.
 */
#ifndef GG_STORE_MARKS_LINE_H
#define GG_STORE_MARKS_LINE_H

#include "base/json_doc.h"
#include "store/bounds.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG__MARKS_CHECK_BYTES = 28,     /* ,"check":"0123456789abcdef"} */
  GG__MARKS_PLAIN_BYTES = 256,    /* of the tags of a line that is read without a document */
  GG__MARKS_LINE_BYTES = 20 << 10 /* two full lists of the longest tags, each byte escaped, fit */
};

enum gg__marks_hold { GG__HOLD_SAME, GG__HOLD_SET, GG__HOLD_RELEASED };

/* Of a line that was read the tags are borrowed from its document, or from `plain`: it is not to be copied. */
struct gg__marks_line {
  char id[25];
  bool forget;
  enum gg__marks_hold hold;
  uint64_t at_ns;
  size_t add_count, remove_count;
  const char *add[GG_MARK_TAGS_MAX], *remove[GG_MARK_TAGS_MAX];
  char plain[GG__MARKS_PLAIN_BYTES];
};

/* With the newline; the length. `text` has GG__MARKS_LINE_BYTES. */
size_t gg__marks_line_write(const struct gg__marks_line *line, char *text);

/* `text` without the newline; the document is to be ended by the caller in any case. GG_ERR_CORRUPT: the check is
 * wrong, or it is none of ours; GG_ERR_NOMEM. */
int gg__marks_line_read(struct gg__marks_line *out, struct gg_json_doc *doc, const char *text, size_t length);

/* Whether it is a session's id: 24 hexadecimal digits in lower case. */
bool gg__marks_is_id(const char *text, size_t length);
bool gg__marks_is_tag(const char *text, size_t length);

#endif
