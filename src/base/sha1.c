/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha1.h"

#include <string.h>

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8, ROUNDS = 80 };

static uint32_t rotate(uint32_t word, unsigned bits)
{
  return word << bits | word >> (32 - bits);
}

static uint32_t load(const uint8_t *at)
{
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store(uint8_t *at, uint32_t word)
{
  for (unsigned i = 0; i < 4; i++)
    at[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* A round of the five words; `mixed` is what the function of its twenty rounds says of the middle three, and their
 * constant (FIPS 180-4, 4.1.1 and 4.2.1). */
static inline void turn(uint32_t words[5], uint32_t mixed, uint32_t word)
{
  uint32_t next = rotate(words[0], 5) + mixed + words[4] + word;
  words[4] = words[3];
  words[3] = words[2];
  words[2] = rotate(words[1], 30);
  words[1] = words[0];
  words[0] = next;
}

static void take_block(uint32_t hash[5], const uint8_t *block)
{
  uint32_t w[ROUNDS], s[5];
  for (unsigned i = 0; i < 16; i++)
    w[i] = load(block + 4 * i);
  for (unsigned i = 16; i < ROUNDS; i++)
    w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  memcpy(s, hash, sizeof s);
  for (unsigned i = 0; i < 20; i++)
    turn(s, ((s[1] & s[2]) | (~s[1] & s[3])) + 0x5a827999u, w[i]);
  for (unsigned i = 20; i < 40; i++)
    turn(s, (s[1] ^ s[2] ^ s[3]) + 0x6ed9eba1u, w[i]);
  for (unsigned i = 40; i < 60; i++)
    turn(s, ((s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3])) + 0x8f1bbcdcu, w[i]);
  for (unsigned i = 60; i < ROUNDS; i++)
    turn(s, (s[1] ^ s[2] ^ s[3]) + 0xca62c1d6u, w[i]);
  for (unsigned i = 0; i < 5; i++)
    hash[i] += s[i];
}

void gg_sha1(const void *data, size_t length, uint8_t digest[GG_SHA1_BYTES])
{
  uint32_t hash[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
  const uint8_t *at = data;
  size_t left = length;
  for (; left >= BLOCK_BYTES; left -= BLOCK_BYTES, at += BLOCK_BYTES)
    take_block(hash, at);
  /* What is left, a one bit, zeros, and how many bits there were: one block, or two. */
  uint8_t tail[2 * BLOCK_BYTES] = {0};
  size_t tail_bytes = left + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
  if (left > 0)
    memcpy(tail, at, left);
  tail[left] = 0x80;
  uint64_t bits = (uint64_t)length * 8;
  store(tail + tail_bytes - 8, (uint32_t)(bits >> 32));
  store(tail + tail_bytes - 4, (uint32_t)bits);
  for (size_t i = 0; i < tail_bytes; i += BLOCK_BYTES)
    take_block(hash, tail + i);
  for (unsigned i = 0; i < 5; i++)
    store(digest + 4 * i, hash[i]);
}
