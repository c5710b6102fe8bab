/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/checksum.h"

/* A seeded generator: the same numbers everywhere. */
static uint32_t next_number(void)
{
  static uint64_t seed = 42;
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(seed >> 33);
}

/* Straight from RFC 1071: big-endian words, one after the other. */
static uint16_t naive(const uint8_t *data, size_t bytes)
{
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes; i++) {
    sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return (uint16_t)sum;
}

static uint16_t ours(const uint8_t *data, size_t bytes)
{
  uint16_t word = gg_checksum_fold(gg_checksum_add(0, data, bytes));
  uint8_t stored[2];
  memcpy(stored, &word, 2);
  return (uint16_t)(stored[0] << 8 | stored[1]);
}

static void every_length_and_alignment(void **state)
{
  (void)state;
  enum { SIZE = 700 };
  uint8_t *data = malloc(SIZE + 64);
  for (size_t i = 0; i < SIZE + 64; i++)
    data[i] = (uint8_t)next_number();
  for (size_t offset = 0; offset < 64; offset++)
    for (size_t bytes = 0; bytes <= SIZE; bytes++)
      if (naive(data + offset, bytes) != ours(data + offset, bytes))
        fail_msg("offset %zu, %zu bytes", offset, bytes);
  free(data);
}

static void carries_are_not_lost(void **state)
{
  (void)state;
  enum { SIZE = 1 << 20 };
  uint8_t *data = malloc(SIZE);
  memset(data, 0xff, SIZE);
  for (size_t bytes = SIZE - 40; bytes <= SIZE; bytes++)
    assert_int_equal(naive(data, bytes), ours(data, bytes));
  free(data);
}

static void zero_is_zero_and_pieces_add_up(void **state)
{
  (void)state;
  uint8_t data[1000];
  memset(data, 0, sizeof data);
  assert_int_equal(ours(data, sizeof data), 0);
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i * 37 + 11);
  for (size_t cut = 0; cut <= sizeof data; cut += 2) {
    uint64_t sum = gg_checksum_add(0, data, cut);
    sum = gg_checksum_add(sum, data + cut, sizeof data - cut);
    assert_int_equal(gg_checksum_fold(sum), gg_checksum_fold(gg_checksum_add(0, data, sizeof data)));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_length_and_alignment),
    cmocka_unit_test(carries_are_not_lost),
    cmocka_unit_test(zero_is_zero_and_pieces_add_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
