/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/pending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { MIB = 1 << 20, MANY = 1024, LARGEST = 1 << GG_PENDING_CLASS_MAX };

static void buffers_of_every_class_hold_what_was_asked_for(void **state)
{
  (void)state;
  static const size_t sizes[] = {1, 4096, 4097, 8192, 10000, LARGEST / 2 + 1, LARGEST};
  enum { SIZES = sizeof sizes / sizeof sizes[0], EACH = 40 };
  struct gg_pending_slab slab;
  uint8_t *buffers[SIZES][EACH];
  gg_pending_init(&slab, 64u * MIB);
  for (unsigned s = 0; s < SIZES; s++)
    for (unsigned i = 0; i < EACH; i++) {
      buffers[s][i] = gg_pending_alloc(&slab, sizes[s]);
      assert_non_null(buffers[s][i]);
      memset(buffers[s][i], (int)(s * EACH + i), sizes[s]);
    }
  for (unsigned s = 0; s < SIZES; s++)
    for (unsigned i = 0; i < EACH; i++) {
      for (size_t at = 0; at < sizes[s]; at++)
        assert_int_equal(buffers[s][i][at], (uint8_t)(s * EACH + i));
      gg_pending_free(&slab, buffers[s][i]);
    }
  gg_pending_fini(&slab);
  assert_int_equal(slab.mapped_bytes, 0);
}

static void the_bound_holds_and_freed_ones_are_used_again(void **state)
{
  (void)state;
  struct gg_pending_slab slab;
  uint8_t *buffers[MANY];
  gg_pending_init(&slab, 2u * MIB);
  unsigned count = 0;
  while (count < MANY && (buffers[count] = gg_pending_alloc(&slab, 4096)))
    count++;
  assert_int_equal(slab.mapped_bytes, 2 * MIB);
  assert_int_equal(count, 2 * 255); /* a page of each arena is its head */
  gg_pending_free(&slab, buffers[7]);
  uint8_t *again = gg_pending_alloc(&slab, 4096);
  assert_ptr_equal(again, buffers[7]);
  assert_null(gg_pending_alloc(&slab, 4096));
  for (unsigned i = 0; i < count; i++)
    gg_pending_free(&slab, buffers[i]);
  assert_int_equal(slab.mapped_bytes, MIB); /* one stays, so that a single partial send costs no mmap */
  gg_pending_fini(&slab);
}

static void memory_follows_the_need_down(void **state)
{
  (void)state;
  struct gg_pending_slab slab;
  uint8_t *buffers[70];
  gg_pending_init(&slab, 64u * MIB);
  for (unsigned i = 0; i < 70; i++)
    assert_non_null(buffers[i] = gg_pending_alloc(&slab, LARGEST));
  assert_true(slab.mapped_bytes >= 70 * (size_t)LARGEST);
  for (unsigned i = 0; i < 70; i++)
    gg_pending_free(&slab, buffers[(i * 37) % 70]); /* in some other order */
  assert_int_equal(slab.mapped_bytes, MIB);
  gg_pending_fini(&slab);
}

/* Arenas that other sizes left empty must not keep the bound used up. */
static void an_empty_arena_makes_room_for_another_size(void **state)
{
  (void)state;
  struct gg_pending_slab slab;
  gg_pending_init(&slab, 2u * MIB);
  for (size_t bytes = 4096; bytes <= LARGEST; bytes *= 2) {
    uint8_t *buffer = gg_pending_alloc(&slab, bytes);
    assert_non_null(buffer);
    gg_pending_free(&slab, buffer);
  }
  gg_pending_fini(&slab);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(buffers_of_every_class_hold_what_was_asked_for),
    cmocka_unit_test(the_bound_holds_and_freed_ones_are_used_again),
    cmocka_unit_test(memory_follows_the_need_down),
    cmocka_unit_test(an_empty_arena_makes_room_for_another_size),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
