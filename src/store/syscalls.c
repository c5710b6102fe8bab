/* SPDX-License-Identifier: Apache-2.0 */
#include "store/syscalls.h"

#include <unistd.h>

static const struct gg_syscall items[] = {
  /* frames.c, place.c, retention.c: who reads a segment, lists the folder, prunes */
  GG_SYSCALL(flock),
  /* retained.c, keep.c, retention.c */
  GG_SYSCALL(getdents64),
  GG_SYSCALL(pread64),
  GG_SYSCALL(statfs),
  GG_SYSCALL(fstatfs),
  GG_SYSCALL(fdatasync),
  GG_SYSCALL(fsync),
  GG_SYSCALL(renameat),
  GG_SYSCALL(renameat2),
  GG_SYSCALL(unlinkat),
  /* retention.c: futimens(3) of a file that was kept */
  GG_SYSCALL_IF(utimensat, 1, GG_SYSCALL_EXACT, 0),
};

const struct gg_syscalls gg_store_syscalls = {items, sizeof items / sizeof items[0]};
