/* SPDX-License-Identifier: Apache-2.0 */
/* bell.c - how the threads of a recorder sleep and are woken. */
#include "record/log_private.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void gg__bell_ring(struct gg__bell *bell)
{
  atomic_store(&bell->rung, 1);
  if (atomic_load(&bell->sleeping))
    syscall(SYS_futex, &bell->rung, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void gg__bell_wait(struct gg__bell *bell, uint64_t until_mono_ns)
{
  struct timespec until = {.tv_sec = (time_t)(until_mono_ns / GG_NS_PER_S),
                           .tv_nsec = (long)(until_mono_ns % GG_NS_PER_S)};
  atomic_store(&bell->sleeping, 1);
  if (atomic_load(&bell->rung) == 0) /* an early return only makes the caller look once more */
    syscall(SYS_futex, &bell->rung, FUTEX_WAIT_BITSET_PRIVATE, 0, until_mono_ns == UINT64_MAX ? NULL : &until, NULL,
            FUTEX_BITSET_MATCH_ANY);
  atomic_store(&bell->sleeping, 0);
  atomic_store(&bell->rung, 0);
}
