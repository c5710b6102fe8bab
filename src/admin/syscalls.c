/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/syscalls.h"

static const struct gg_syscall items[] = {
  /* control.c */
  GG_SYSCALL(accept4), GG_SYSCALL(recvfrom), GG_SYSCALL(sendto),   GG_SYSCALL(sendmsg),
  GG_SYSCALL(recvmsg), GG_SYSCALL(poll),     GG_SYSCALL(unlinkat),
};

const struct gg_syscalls gg_admin_syscalls = {items, sizeof items / sizeof items[0]};
