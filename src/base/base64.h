/* SPDX-License-Identifier: Apache-2.0 */
/**
 * base64.h - bytes as Base64 (RFC 4648, with padding).
 *
 * Pure functions; any thread.
 */
#ifndef GG_BASE_BASE64_H
#define GG_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many letters `length` bytes make. */
static inline size_t gg_base64_length(size_t length)
{
  return (length + 2) / 3 * 4;
}

/* Writes the letters, without a NUL; returns where they end. */
char *gg_base64(char *at, const uint8_t *data, size_t length);

/* The reverse; padding may be missing. `out` needs length / 4 * 3 + 3 bytes. False: it is not Base64. */
bool gg_base64_read(uint8_t *out, size_t *length, const char *text, size_t text_length);

#endif
