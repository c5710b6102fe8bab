/* SPDX-License-Identifier: Apache-2.0 */
/**
 * checksum.h - the Internet checksum (RFC 1071) over large pieces at memory speed.
 *
 * A sum is kept as an unfolded 64-bit number of 16-bit words in the machine's byte order; the one's complement sum does
 * not mind. Start with 0, add pieces, fold, invert, store with memcpy: no byte swapping anywhere.
 *
 * Pure functions; any thread.
 */
#ifndef GG_RECORD_CHECKSUM_H
#define GG_RECORD_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds `bytes` at `data` (any alignment; up to 1 GiB in all) to `sum`. A piece after which another one is added
 * has to have an even length: an odd last byte is taken as followed by a zero. */
uint64_t gg_checksum_add(uint64_t sum, const void *data, size_t bytes);

/* The sum in 16 bits, not inverted. */
static inline uint16_t gg_checksum_fold(uint64_t sum)
{
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return (uint16_t)sum;
}

#endif
