/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sha256.h - SHA-256 (FIPS 180-4) of bytes that come in pieces, for fingerprints that are defined by it (JA4).
 *
 * An object belongs to one thread at a time.
 */
#ifndef GG_BASE_SHA256_H
#define GG_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { GG_SHA256_BYTES = 32, GG_SHA256_BLOCK_BYTES = 64 };

struct gg_sha256 {
  uint32_t hash[8];
  uint64_t length; /* of all that was added */
  uint8_t block[GG_SHA256_BLOCK_BYTES];
};

void gg_sha256_begin(struct gg_sha256 *sha256);
void gg_sha256_add(struct gg_sha256 *sha256, const void *data, size_t length);
void gg_sha256_end(struct gg_sha256 *sha256, uint8_t digest[GG_SHA256_BYTES]);

#endif
