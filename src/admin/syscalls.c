/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/syscalls.h"

static const struct gg_syscall items[] = {
  /* control.c */
  GG_SYSCALL(accept4), GG_SYSCALL(recvfrom), GG_SYSCALL(sendto),   GG_SYSCALL(sendmsg),
  GG_SYSCALL(recvmsg), GG_SYSCALL(ppoll),    GG_SYSCALL(unlinkat), GG_SYSCALL(connect),
#ifdef SYS_poll /* newer machines have ppoll only, and libc's poll(3) calls it */
  GG_SYSCALL(poll),
#endif
};

const struct gg_syscalls gg_admin_syscalls = {items, sizeof items / sizeof items[0]};
