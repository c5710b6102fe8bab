/* SPDX-License-Identifier: Apache-2.0 */
#include "record/syscalls.h"

static const struct gg_syscall items[] = {
  /* writer.c, segment.c */
  GG_SYSCALL(pwrite64),
  GG_SYSCALL(pread64),
  GG_SYSCALL(ftruncate),
  GG_SYSCALL(fallocate),
  GG_SYSCALL(fadvise64),
  GG_SYSCALL(fchmod),
  GG_SYSCALL(statfs),
  GG_SYSCALL(fstatfs),
  /* sync.c */
  GG_SYSCALL(fsync),
  GG_SYSCALL(fdatasync),
  /* ring.c, running.c: rings and files get their name when they are whole */
  GG_SYSCALL(linkat),
  GG_SYSCALL(renameat),
  GG_SYSCALL(renameat2),
  GG_SYSCALL(unlinkat),
  /* recover.c, rotate.c, store_lock.c: what another process left, or hands over */
  GG_SYSCALL(getdents64),
  GG_SYSCALL(mkdirat),
  /* store_lock.c: futimens(3), of a file that is open */
  GG_SYSCALL_IF(utimensat, 1, GG_SYSCALL_EXACT, 0),
};

const struct gg_syscalls gg_record_syscalls = {items, sizeof items / sizeof items[0]};
