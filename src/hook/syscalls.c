/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/syscalls.h"

#include <sys/mman.h>

static const struct gg_syscall items[] = {
  /* library.c: a reload loads a plug-in. Code comes from files, which the sandbox names; memory that can be written is
   * never executed. */
  GG_SYSCALL_IF2(mmap, 2, PROT_EXEC | PROT_WRITE, PROT_EXEC, 3, MAP_ANONYMOUS, 0),
  GG_SYSCALL(pread64),
  /* hook.c: state directories */
  GG_SYSCALL(mkdirat),
#ifdef SYS_mkdir
  GG_SYSCALL(mkdir),
#endif
};

const struct gg_syscalls gg_hook_syscalls = {items, sizeof items / sizeof items[0]};
