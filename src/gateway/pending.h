/* SPDX-License-Identifier: Apache-2.0 */
/**
 * pending.h - the memory of bytes that a slow receiver has not taken yet.
 *
 * A send that takes only a part leaves a tail. The log must not be pinned by it, so the tail is copied into a buffer of
 * the worker's slab, of the smallest class that holds it (4 KiB to 64 KiB, powers of two); the direction reads on only
 * when the buffer is empty. The slab takes arenas of 1 MiB from the kernel up to its bound, and gives an arena back
 * when all its buffers are free, so memory follows the number of stalled directions down as well as up.
 *
 * Thread: its worker's.
 */
#ifndef GG_GATEWAY_PENDING_H
#define GG_GATEWAY_PENDING_H

#include "base/list.h"

#include <stddef.h>
#include <stdint.h>

enum {
  GG_PENDING_CLASS_MIN = 12, /* log2 of the smallest buffer */
  GG_PENDING_CLASS_MAX = 16,
  GG_PENDING_CLASSES = GG_PENDING_CLASS_MAX - GG_PENDING_CLASS_MIN + 1,
  GG_PENDING_ARENA_BYTES = 1 << 20,
};

struct gg_pending_slab {
  struct gg_list arenas[GG_PENDING_CLASSES]; /* those with a free buffer in front */
  size_t mapped_bytes;
  size_t bytes_max;
};

void gg_pending_init(struct gg_pending_slab *slab, size_t bytes_max);
void gg_pending_fini(struct gg_pending_slab *slab); /* every buffer has been freed */

/* A buffer of at least `bytes` (up to 64 KiB); NULL if the bound is reached or the kernel refuses. */
uint8_t *gg_pending_alloc(struct gg_pending_slab *slab, size_t bytes);
void gg_pending_free(struct gg_pending_slab *slab, uint8_t *buffer);

#endif
