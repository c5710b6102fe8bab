/* SPDX-License-Identifier: Apache-2.0 */
/**
 * form.h - application/x-www-form-urlencoded: a form's body, or the query of a target, as pairs.
 *
 * Read as browsers' servers do (WHATWG URL, 5.1): '+' is a blank, %XX a byte, and a % that is none stays what it is. It
 * may come in any pieces; nothing is allocated.
 */
#ifndef GG_PROTO_FORM_H
#define GG_PROTO_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG__FORM_KEY_MAX = 256, /* bytes that are kept of each */
  GG__FORM_VALUE_MAX = 4096,
};

struct gg__form_pair {
  const char *key, *value; /* any bytes, not NUL-ended, until the callback returns */
  size_t key_length, value_length;
  bool has_value;                      /* there was a '=' */
  bool key_cut, value_cut;             /* it is longer; these are its first bytes */
  bool odd;                            /* a % without two hex digits */
  bool secret;                         /* by its name */
  uint64_t key_offset, key_raw_length; /* where the key stands in what was pushed, still coded ... */
  uint64_t raw_offset, raw_length;     /* ... and the value */
};

/* Of a name that is cut nobody knows how it ends. */
static inline bool gg__form_is_secret(const struct gg__form_pair *pair)
{
  return pair->secret || pair->key_cut;
}

struct gg__form {
  void (*pair)(void *context, const struct gg__form_pair *pair);
  void *context;
  uint64_t offset; /* of the next byte */
  struct gg__form_pair now;
  char held[2]; /* a % and a digit, perhaps */
  size_t held_length;
  bool begun;
  char key[GG__FORM_KEY_MAX], value[GG__FORM_VALUE_MAX];
};

void gg__form_init(struct gg__form *form, void (*pair)(void *context, const struct gg__form_pair *pair), void *context);
void gg__form_push(struct gg__form *form, const void *data, size_t length);
void gg__form_finish(struct gg__form *form);

#endif
