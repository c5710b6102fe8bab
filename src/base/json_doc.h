/* SPDX-License-Identifier: Apache-2.0 */
/**
 * json_doc.h - reads JSON: what json.h and others like it have written, from anybody's hands.
 *
 *     struct gg_json_doc doc;
 *     int error = gg_json_doc_parse(&doc, line, length, &failure);
 *     const struct gg_json_value *logs = gg_json_value_get(doc.root, "logs");
 *     for (const struct gg_json_value *log = gg_json_value_first(logs); log; log = gg_json_value_next(log))
 *       use(gg_json_value_text(gg_json_value_get(log, "name")));
 *     gg_json_doc_fini(&doc);
 *
 * Strict, as RFC 8259 has it, and then some: the whole is an object or an array with nothing but white space around it;
 * no key twice in one object; texts are valid UTF-8 without a NUL; whole numbers fit 64 bits with a sign. It takes one
 * allocation, in proportion to the text: what it needs is counted first. So it is either all there or GG_ERR_NOMEM,
 * which is not to be mistaken for damage, and a sweep over a million comments does not live in malloc.
 *
 * Every function takes NULL, and a value of another kind, and says that there is nothing: a path into what may be
 * missing needs one question at its end. Pure functions; any thread.
 */
#ifndef GG_BASE_JSON_DOC_H
#define GG_BASE_JSON_DOC_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG_JSON_DOC_DEPTH_MAX = 16,    /* containers in each other */
  GG_JSON_DOC_MEMBERS_MAX = 128, /* of one object: each key is compared with those before it */
};

struct gg_json_value;

struct gg_json_doc {
  const struct gg_json_value *root; /* an object or an array; NULL: nothing was read */
  void *memory;
};

/* The text is not needed any more afterwards. GG_ERR_FORMAT: the failure says what is wrong, at which byte (from 0);
 * GG_ERR_LIMIT: deeper or with more members than the bounds; GG_ERR_NOMEM. *out can be ended in any case. */
int gg_json_doc_parse(struct gg_json_doc *out, const char *text, size_t length, struct gg_failure *failure);
void gg_json_doc_fini(struct gg_json_doc *doc);

enum gg_json_kind {
  GG_JSON_NULL,
  GG_JSON_BOOL,
  GG_JSON_WHOLE, /* a number without fraction and exponent */
  GG_JSON_REAL,  /* any other number; of what value nobody here asks */
  GG_JSON_TEXT,
  GG_JSON_ARRAY,
  GG_JSON_OBJECT,
};
bool gg_json_value_is(const struct gg_json_value *value, enum gg_json_kind kind); /* false of NULL */
bool gg_json_value_is_true(const struct gg_json_value *value);
/* 0 if it is no whole number. */
int64_t gg_json_value_whole(const struct gg_json_value *value);
/* NULL if it is no text. It ends in NUL, and has no other. */
const char *gg_json_value_text(const struct gg_json_value *value);
size_t gg_json_value_length(const struct gg_json_value *value); /* of the text, in bytes */

/* The member of an object; NULL: it has none of that name, or is none. */
const struct gg_json_value *gg_json_value_get(const struct gg_json_value *object, const char *key);
/* Elements, or members, in their order; NULL: none, no more. */
const struct gg_json_value *gg_json_value_first(const struct gg_json_value *container);
const struct gg_json_value *gg_json_value_next(const struct gg_json_value *element);
const char *gg_json_value_key(const struct gg_json_value *member); /* NULL of an element */
size_t gg_json_value_count(const struct gg_json_value *container);

#endif
