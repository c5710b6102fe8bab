/* SPDX-License-Identifier: Apache-2.0 */
/**
 * utf8.h - one character at a time out of bytes that may be anything.
 *
 * Strict: overlong forms, surrogates and values above U+10FFFF are invalid. Pure functions; any thread.
 */
#ifndef GG_BASE_UTF8_H
#define GG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length in bytes (1 to 4) of the valid character that `text` begins with, its code point in *point; 0 if the
 * `length` bytes do not begin with a valid character (also if it is cut, or `length` is 0). */
size_t gg_utf8_next(const char *text, size_t length, uint32_t *point);

/* Whether all `length` bytes are valid UTF-8. */
bool gg_utf8_valid(const char *text, size_t length);

/* The same of a text that comes in pieces: zeroed at first, then false for good from the byte on by which it is not
 * valid. At the end of the text `wanted` must be 0. */
struct gg_utf8_state {
  uint8_t wanted;    /* bytes that the character still needs */
  uint8_t low, high; /* bounds of the next of them */
  bool invalid;
};
bool gg_utf8_push(struct gg_utf8_state *state, const void *text, size_t length);

/* Whether showing the character could command or confuse a terminal: C0 and C1 controls, DEL, line and paragraph
 * separators, and the marks that change the direction of text. */
bool gg_utf8_is_unsafe(uint32_t point);

#endif
