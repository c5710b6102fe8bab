/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sha1.h - SHA-1 (FIPS 180-4) of a short text, for ids that are defined by it (Community ID). Nothing here is secret,
 * and nothing is protected by it: it is broken as a signature.
 *
 * A pure function; any thread.
 */
#ifndef GG_BASE_SHA1_H
#define GG_BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { GG_SHA1_BYTES = 20 };

void gg_sha1(const void *data, size_t length, uint8_t digest[GG_SHA1_BYTES]);

#endif
