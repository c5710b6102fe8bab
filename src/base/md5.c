/* SPDX-License-Identifier: Apache-2.0 */
#include "base/md5.h"

#include <string.h>

enum { ROUNDS = 64, LENGTH_AT = GG_MD5_BLOCK_BYTES - 8 };

/* RFC 1321, 3.4: the whole part of 2^32 times the sine of 1 to 64. */
static const uint32_t sines[ROUNDS] = {
  0xd76aa478u, 0xe8c7b756u, 0x242070dbu, 0xc1bdceeeu, 0xf57c0fafu, 0x4787c62au, 0xa8304613u, 0xfd469501u,
  0x698098d8u, 0x8b44f7afu, 0xffff5bb1u, 0x895cd7beu, 0x6b901122u, 0xfd987193u, 0xa679438eu, 0x49b40821u,
  0xf61e2562u, 0xc040b340u, 0x265e5a51u, 0xe9b6c7aau, 0xd62f105du, 0x02441453u, 0xd8a1e681u, 0xe7d3fbc8u,
  0x21e1cde6u, 0xc33707d6u, 0xf4d50d87u, 0x455a14edu, 0xa9e3e905u, 0xfcefa3f8u, 0x676f02d9u, 0x8d2a4c8au,
  0xfffa3942u, 0x8771f681u, 0x6d9d6122u, 0xfde5380cu, 0xa4beea44u, 0x4bdecfa9u, 0xf6bb4b60u, 0xbebfbc70u,
  0x289b7ec6u, 0xeaa127fau, 0xd4ef3085u, 0x04881d05u, 0xd9d4d039u, 0xe6db99e5u, 0x1fa27cf8u, 0xc4ac5665u,
  0xf4292244u, 0x432aff97u, 0xab9423a7u, 0xfc93a039u, 0x655b59c3u, 0x8f0ccc92u, 0xffeff47du, 0x85845dd1u,
  0x6fa87e4fu, 0xfe2ce6e0u, 0xa3014314u, 0x4e0811a1u, 0xf7537e82u, 0xbd3af235u, 0x2ad7d2bbu, 0xeb86d391u,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
  return word << bits | word >> (32 - bits);
}

static uint32_t load(const uint8_t *at)
{
  return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

/* What a round says of its last three words, and which word of the block it takes. */
static uint32_t mix(unsigned round, const uint32_t s[4], unsigned *word)
{
  switch (round / 16) {
  case 0:
    *word = round;
    return (s[1] & s[2]) | (~s[1] & s[3]);
  case 1:
    *word = (5 * round + 1) % 16;
    return (s[3] & s[1]) | (~s[3] & s[2]);
  case 2:
    *word = (3 * round + 5) % 16;
    return s[1] ^ s[2] ^ s[3];
  default:
    *word = (7 * round) % 16;
    return s[2] ^ (s[1] | ~s[3]);
  }
}

static void take_block(uint32_t hash[4], const uint8_t *block)
{
  static const uint8_t bits[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  uint32_t s[4];
  memcpy(s, hash, sizeof s);
  for (unsigned round = 0; round < ROUNDS; round++) {
    unsigned word;
    uint32_t mixed = s[0] + mix(round, s, &word) + sines[round];
    uint32_t next = s[1] + rotate(mixed + load(block + 4 * word), bits[round / 16][round % 4]);
    s[0] = s[3];
    s[3] = s[2];
    s[2] = s[1];
    s[1] = next;
  }
  for (unsigned i = 0; i < 4; i++)
    hash[i] += s[i];
}

void gg_md5_begin(struct gg_md5 *md5)
{
  *md5 = (struct gg_md5){.hash = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u}};
}

void gg_md5_add(struct gg_md5 *md5, const void *data, size_t length)
{
  const uint8_t *at = data;
  while (length) {
    size_t have = md5->length % GG_MD5_BLOCK_BYTES, step = GG_MD5_BLOCK_BYTES - have;
    step = step < length ? step : length;
    memcpy(md5->block + have, at, step);
    md5->length += step;
    at += step;
    length -= step;
    if (have + step == GG_MD5_BLOCK_BYTES)
      take_block(md5->hash, md5->block);
  }
}

/* A one bit, zeros up to the block's last eight bytes, and there how many bits there were. */
void gg_md5_end(struct gg_md5 *md5, uint8_t digest[GG_MD5_BYTES])
{
  static const uint8_t padding[GG_MD5_BLOCK_BYTES] = {0x80};
  uint64_t bits = md5->length * 8;
  size_t have = md5->length % GG_MD5_BLOCK_BYTES, end = LENGTH_AT;
  if (have >= end)
    end += GG_MD5_BLOCK_BYTES;
  gg_md5_add(md5, padding, end - have);
  uint8_t length[8];
  for (unsigned i = 0; i < 8; i++)
    length[i] = (uint8_t)(bits >> 8 * i);
  gg_md5_add(md5, length, sizeof length);
  for (unsigned i = 0; i < GG_MD5_BYTES; i++)
    digest[i] = (uint8_t)(md5->hash[i / 4] >> 8 * (i % 4));
}
