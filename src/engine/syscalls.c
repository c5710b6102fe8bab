/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/syscalls.h"

static const struct gg_syscall items[] = {
  /* file.c, metrics_file.c: written beside the file, and renamed */
  GG_SYSCALL(write),
  GG_SYSCALL(fchmod),
#ifdef SYS_rename
  GG_SYSCALL(rename),
  GG_SYSCALL(unlink),
#endif
  /* indexing.c: steps back behind the workers; SQLite, which has its own locks on what it shares with readers */
  GG_SYSCALL(sched_setscheduler),
  GG_SYSCALL(setpriority),
  GG_SYSCALL(pread64),
  GG_SYSCALL(pwrite64),
  GG_SYSCALL(ftruncate),
  GG_SYSCALL(fallocate),
  GG_SYSCALL(fsync),
  GG_SYSCALL(fdatasync),
  GG_SYSCALL(unlinkat),
  GG_SYSCALL(getcwd),
  GG_SYSCALL(flock),
  GG_SYSCALL(fchown), /* root's files beside a database belong to who that belongs to */
  /* notify.c */
  GG_SYSCALL(sendto),
  /* refusing.c */
  GG_SYSCALL(accept4),
  GG_SYSCALL(setsockopt),
  /* takeover: the end of the process before is seen by a descriptor */
  GG_SYSCALL(pidfd_open),
};

const struct gg_syscalls gg__engine_syscalls = {items, sizeof items / sizeof items[0]};
