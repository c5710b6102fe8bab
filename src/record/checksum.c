/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one's complement sum of 16-bit words is what remains of any wider sum modulo 65535, so words of 32 bits are added
 * into lanes of 64, which cannot overflow here, and everything is folded once at the end. On x86-64 with AVX2 the inner
 * loop takes 128 bytes a turn; the choice is made at run time by a flag that the compiler's runtime keeps. An ifunc
 * (target_clones) would do the same, but runs before sanitizers are set up and does not exist in every libc.
 */
#include "record/checksum.h"

#include <assert.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

enum { WIDE_BYTES = 128 };

/* `bytes` is a multiple of WIDE_BYTES. The low and the high half of each 64-bit word go into lanes of their own. */
__attribute__((target("avx2"))) static uint64_t sum_wide(const uint8_t *data, size_t bytes)
{
  const __m256i low_half = _mm256_set1_epi64x(0xffffffff);
  __m256i low[4], high[4];
  for (int i = 0; i < 4; i++)
    low[i] = high[i] = _mm256_setzero_si256();
  for (const uint8_t *end = data + bytes; data != end; data += WIDE_BYTES) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      __m256i word = _mm256_loadu_si256((const __m256i *)(const void *)(data + 32 * i));
      low[i] = _mm256_add_epi64(low[i], _mm256_and_si256(word, low_half));
      high[i] = _mm256_add_epi64(high[i], _mm256_srli_epi64(word, 32));
    }
  }
  __m256i all = _mm256_setzero_si256();
  for (int i = 0; i < 4; i++)
    all = _mm256_add_epi64(all, _mm256_add_epi64(low[i], high[i]));
  uint64_t lanes[4];
  memcpy(lanes, &all, sizeof lanes);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
#endif

static inline uint64_t load64(const uint8_t *data)
{
  uint64_t word;
  memcpy(&word, data, sizeof word);
  return (word & 0xffffffffu) + (word >> 32);
}

uint64_t gg_checksum_add(uint64_t sum, const void *data, size_t bytes)
{
  const uint8_t *at = data;
  assert(bytes <= (size_t)1 << 30);
#if defined(__x86_64__)
  if (bytes >= WIDE_BYTES && __builtin_cpu_supports("avx2")) {
    size_t wide = bytes & ~(size_t)(WIDE_BYTES - 1);
    sum += sum_wide(at, wide);
    at += wide;
    bytes -= wide;
  }
#endif
  for (; bytes >= 32; at += 32, bytes -= 32)
    sum += (load64(at) + load64(at + 8)) + (load64(at + 16) + load64(at + 24));
  for (; bytes >= 8; at += 8, bytes -= 8)
    sum += load64(at);
  if (bytes != 0) {
    uint64_t word = 0;
    memcpy(&word, at, bytes);
    sum += (word & 0xffffffffu) + (word >> 32);
  }
  return sum;
}
