/* SPDX-License-Identifier: Apache-2.0 */
/**
 * shell.h - any bytes as a word of bash: it takes exactly them for it, and neither it nor a terminal obeys one of them.
 *
 *     /index.html      what is harmless stays as it is
 *     'a b'            printable ASCII without a quote
 *     $'it\'s\n\xff'   all else (ANSI-C quoting); a NUL cannot be in a word, and ends it
 *
 * Pure functions; any thread. Private to src/store.
 */
#ifndef GG_STORE_SHELL_H
#define GG_STORE_SHELL_H

#include <stddef.h>

/* `out` has room for GG__SHELL_WORD_MAX(length). Returns the length; there is no NUL behind it. */
#define GG__SHELL_WORD_MAX(length) (4 * (length) + 4)
size_t gg__shell_word(char *out, const char *bytes, size_t length);

#endif
