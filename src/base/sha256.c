/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha256.h"

#include <string.h>

enum { ROUNDS = 64, LENGTH_AT = GG_SHA256_BLOCK_BYTES - 8 };

/* FIPS 180-4, 4.2.2: of the cube roots of the first 64 primes, the first 32 bits behind the point. */
static const uint32_t roots[ROUNDS] = {
  0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
  0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
  0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
  0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
  0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
  0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
  0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
  0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
  return word >> bits | word << (32 - bits);
}

static uint32_t load(const uint8_t *at)
{
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The words' names are the standard's: a to h are s[0] to s[7]. */
static void take_block(uint32_t hash[8], const uint8_t *block)
{
  uint32_t w[ROUNDS], s[8];
  for (unsigned i = 0; i < 16; i++)
    w[i] = load(block + 4 * i);
  for (unsigned i = 16; i < ROUNDS; i++) {
    uint32_t early = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t late = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + early + w[i - 7] + late;
  }
  memcpy(s, hash, sizeof s);
  for (unsigned i = 0; i < ROUNDS; i++) {
    uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]), majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
    uint32_t first = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + choice + roots[i] + w[i];
    uint32_t second = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + majority;
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += first;
    s[0] = first + second;
  }
  for (unsigned i = 0; i < 8; i++)
    hash[i] += s[i];
}

void gg_sha256_begin(struct gg_sha256 *sha256)
{
  *sha256 = (struct gg_sha256){
    .hash = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u}};
}

void gg_sha256_add(struct gg_sha256 *sha256, const void *data, size_t length)
{
  const uint8_t *at = data;
  while (length) {
    size_t have = sha256->length % GG_SHA256_BLOCK_BYTES, step = GG_SHA256_BLOCK_BYTES - have;
    step = step < length ? step : length;
    memcpy(sha256->block + have, at, step);
    sha256->length += step;
    at += step;
    length -= step;
    if (have + step == GG_SHA256_BLOCK_BYTES)
      take_block(sha256->hash, sha256->block);
  }
}

/* A one bit, zeros up to the block's last eight bytes, and there how many bits there were. */
void gg_sha256_end(struct gg_sha256 *sha256, uint8_t digest[GG_SHA256_BYTES])
{
  static const uint8_t padding[GG_SHA256_BLOCK_BYTES] = {0x80};
  uint64_t bits = sha256->length * 8;
  size_t have = sha256->length % GG_SHA256_BLOCK_BYTES, end = LENGTH_AT;
  if (have >= end)
    end += GG_SHA256_BLOCK_BYTES;
  gg_sha256_add(sha256, padding, end - have);
  uint8_t length[8];
  for (unsigned i = 0; i < 8; i++)
    length[i] = (uint8_t)(bits >> (56 - 8 * i));
  gg_sha256_add(sha256, length, sizeof length);
  for (unsigned i = 0; i < GG_SHA256_BYTES; i++)
    digest[i] = (uint8_t)(sha256->hash[i / 4] >> (24 - 8 * (i % 4)));
}
