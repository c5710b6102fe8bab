/* SPDX-License-Identifier: Apache-2.0 */
/**
 * file_name.h - names for files, out of what strangers say that theirs are called.
 *
 * What comes out is letters, digits and ". _ - + = , @ ~ blank" of ASCII, and UTF-8 without controls: no separator of
 * any system, no dot or dash at its beginning, no blank or dot at its end, at most GG__FILE_NAME_MAX - 1 bytes, of
 * which a short extension stays. Of a path, the last part counts.
 *
 * Pure functions; any thread. Private to src/store.
 */
#ifndef GG_STORE_FILE_NAME_H
#define GG_STORE_FILE_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { GG__FILE_NAME_MAX = 128 };

/* Returns the length; 0: nothing of it can be a name. `out` ends in NUL. */
size_t gg__file_name(char out[GG__FILE_NAME_MAX], const char *text, size_t length);
/* Of a Content-Disposition (RFC 6266): filename* if it can be read, else filename. */
size_t gg__file_name_disposition(char out[GG__FILE_NAME_MAX], const char *value, size_t length);
/* Of a path of HTTP, without its query. */
size_t gg__file_name_path(char out[GG__FILE_NAME_MAX], const char *path, size_t length);
/* ".html" for "text/html; charset=x", ".bin" for what is not known. Static. */
const char *gg__file_extension(const char *type, size_t length);

#endif
