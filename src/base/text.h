/* SPDX-License-Identifier: Apache-2.0 */
/**
 * text.h - values as people write them, in configuration, filters and on the command line, and back again.
 *
 * The parsers return 0 and set *out, or leave it alone and return GG_ERR_FORMAT (not such a value) or GG_ERR_RANGE
 * (does not fit 64 bits). They take the whole text: no spaces around it, nothing after it. What a formatter writes, its
 * parser reads back as the same value. Formatters end in NUL and return the length; GG_TEXT_VALUE_MAX is always enough.
 *
 * Pure functions; any thread.
 */
#ifndef GG_BASE_TEXT_H
#define GG_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GG_TEXT_VALUE_MAX = 64 };

/* "4096", "64MiB", "64M", "10MB", "1.5GiB": K, M, G, T and KiB, MiB, GiB, TiB are powers of 1024; kB, MB, GB, TB of
 * 1000; B is bytes; any case. Up to six decimals, which must give whole bytes. */
int gg_text_parse_bytes(uint64_t *out, const char *text);
size_t gg_text_format_bytes(uint64_t bytes, char *text, size_t size); /* the shortest exact form */

/* "250ms", "10m", "1h30m", "1.5s", "2d": units w, d, h, m, s, ms, us, ns, from the largest to the smallest, each at
 * most once. A number without unit is refused, except 0. */
int gg_text_parse_duration(uint64_t *out_ns, const char *text);
size_t gg_text_format_duration(uint64_t ns, char *text, size_t size); /* the shortest exact form */

/* Decimal digits, at most GG_TEXT_DIGITS_MAX of them and no NUL: for the data path, where printf is too slow. Returns
 * how many. */
enum { GG_TEXT_DIGITS_MAX = 20 };
size_t gg_text_digits(uint64_t number, char *text);

int gg_text_parse_bool(bool *out, const char *text);      /* true/false, on/off, yes/no, 1/0; any case */
int gg_text_parse_count(uint64_t *out, const char *text); /* decimal digits only; "1_000" is read as 1000 */
int gg_text_parse_octal(uint64_t *out, const char *text); /* "600", "0600", "0o600" */

/* The entry of `list` that was probably meant: at most a third of the word's letters (one of two) are wrong, missing,
 * too many or exchanged with their neighbour; case does not count. Returns its index, or `count` if none is near. Words
 * over GG_TEXT_WORD_MAX are near to nothing. */
enum { GG_TEXT_WORD_MAX = 64 };
size_t gg_text_nearest(const char *word, const char *const *list, size_t count);

/* Any bytes as text that a terminal shows and does not obey: what is not a printable UTF-8 character becomes \n, \r,
 * \t, \e, \0, \xHH (a byte) or \u{HHHH} (a character, such as a mark that turns the direction of text). A backslash
 * becomes two, so that the result is unambiguous. GG_TEXT_LINES keeps newlines and tabs as they are. Output that does
 * not fit is cut between characters. Always ends in NUL if size > 0; returns the length. */
enum gg_text_style { GG_TEXT_ONE_LINE, GG_TEXT_LINES };
size_t gg_text_sanitize(char *out, size_t size, const char *bytes, size_t length, enum gg_text_style style);

/* C escapes to bytes: \n \r \t \0 \a \b \e \f \v \\ \" \' \xHH and \OOO. `out` needs `strlen(text)` bytes (no NUL is
 * added). Returns the number of bytes in *length. GG_ERR_FORMAT for an unknown or incomplete escape. */
int gg_text_unescape(char *out, size_t *length, const char *text);
/* The reverse: printable ASCII as it is, all else as \n, \r, \t or \xHH, such that gg_text_unescape gives the bytes
 * back. `out` needs 4 * length + 1 bytes. Returns the length. */
size_t gg_text_escape(char *out, const char *bytes, size_t length);

#endif
