/* SPDX-License-Identifier: Apache-2.0 */
/**
 * json.h - writes JSON into the caller's buffer: no allocation, so it may be used on the data path.
 *
 *     char text[512];
 *     struct gg_json json;
 *     gg_json_init(&json, text, sizeof text);
 *     gg_json_object_begin(&json);
 *     gg_json_field_string(&json, "listener", name);
 *     gg_json_field_unsigned(&json, "bytes", n);
 *     gg_json_object_end(&json);
 *     size_t length = gg_json_finish(&json);      // 0: it did not fit
 *
 * Commas are put by the writer. What does not fit sets a sticky overflow flag: nothing is ever written past the end,
 * and whatever is called afterwards does nothing. The output is valid UTF-8 on one line: bytes that are not valid
 * UTF-8 become U+FFFD, and every control, separator or direction mark (gg_utf8_is_unsafe) is written as \u and four
 * digits, so the text is also safe on a terminal. Misuse (a value where a key belongs, an end without a begin) is an
 * assertion.
 *
 * A writer has one user at a time; it is plain data and may be copied to return to an earlier point:
 * `struct gg_json mark = json; ...; json = mark;` forgets all that was written since, and an overflow too.
 */
#ifndef GG_BASE_JSON_H
#define GG_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GG_JSON_DEPTH_MAX = 16 };

struct gg_json {
  char *buffer;
  size_t size;
  size_t length;  /* written so far; always below size, and buffer[length] is NUL (unless size is 0) */
  bool overflow;  /* something did not fit; sticky */
  bool after_key; /* a key was written, its value comes next */
  uint8_t depth;
  uint32_t objects;  /* bit d: the container at depth d is an object */
  uint32_t nonempty; /* bit d: the container at depth d has an element */
};

void gg_json_init(struct gg_json *json, char *buffer, size_t size);

void gg_json_object_begin(struct gg_json *json);
void gg_json_object_end(struct gg_json *json);
void gg_json_array_begin(struct gg_json *json);
void gg_json_array_end(struct gg_json *json);
void gg_json_key(struct gg_json *json, const char *key);

void gg_json_string(struct gg_json *json, const char *text); /* NULL is written as null */
void gg_json_string_n(struct gg_json *json, const char *text, size_t length);
void gg_json_unsigned(struct gg_json *json, uint64_t number);
void gg_json_signed(struct gg_json *json, int64_t number);
void gg_json_double(struct gg_json *json, double number); /* not finite: null; always with '.', whatever the locale */
void gg_json_bool(struct gg_json *json, bool truth);
void gg_json_null(struct gg_json *json);
void gg_json_raw(struct gg_json *json, const char *value, size_t length); /* one finished JSON value, taken as it is */
void gg_json_base64(struct gg_json *json, const uint8_t *data, size_t length); /* a string of Base64 */

/* A key and its value in one call. */
void gg_json_field_string(struct gg_json *json, const char *key, const char *text);
void gg_json_field_unsigned(struct gg_json *json, const char *key, uint64_t number);
void gg_json_field_signed(struct gg_json *json, const char *key, int64_t number);
void gg_json_field_bool(struct gg_json *json, const char *key, bool truth);

/* The length of the finished text, which ends in NUL; 0 if it did not fit (the buffer then holds a cut text). All
 * containers must be ended unless it overflowed. */
size_t gg_json_finish(const struct gg_json *json);

#endif
