/* SPDX-License-Identifier: Apache-2.0 */
/**
 * md5.h - MD5 (RFC 1321) of bytes that come in pieces, for fingerprints that are defined by it (JA3, HASSH). Nothing
 * here is secret, and nothing is protected by it: it is broken as a signature.
 *
 * An object belongs to one thread at a time.
 */
#ifndef GG_BASE_MD5_H
#define GG_BASE_MD5_H

#include <stddef.h>
#include <stdint.h>

enum { GG_MD5_BYTES = 16, GG_MD5_BLOCK_BYTES = 64 };

struct gg_md5 {
  uint32_t hash[4];
  uint64_t length; /* of all that was added */
  uint8_t block[GG_MD5_BLOCK_BYTES];
};

void gg_md5_begin(struct gg_md5 *md5);
void gg_md5_add(struct gg_md5 *md5, const void *data, size_t length);
void gg_md5_end(struct gg_md5 *md5, uint8_t digest[GG_MD5_BYTES]);

#endif
