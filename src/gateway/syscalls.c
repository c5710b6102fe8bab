/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/syscalls.h"

#include <sys/socket.h>

#define TYPE_MASK 0xFu

static const struct gg_syscall items[] = {
  /* relay.c, splice.c */
  GG_SYSCALL(recvfrom),
  GG_SYSCALL(sendto),
  GG_SYSCALL(splice),
  GG_SYSCALL(tee),
  GG_SYSCALL(pipe2),
  GG_SYSCALL(shutdown),
  /* upstream.c, health.c; and listeners that a reload adds */
  GG_SYSCALL_IF2(socket, 0, GG_SYSCALL_EXACT, AF_INET, 1, TYPE_MASK, SOCK_STREAM),
  GG_SYSCALL_IF2(socket, 0, GG_SYSCALL_EXACT, AF_INET6, 1, TYPE_MASK, SOCK_STREAM),
  GG_SYSCALL_IF2(socket, 0, GG_SYSCALL_EXACT, AF_UNIX, 1, TYPE_MASK, SOCK_STREAM),
  GG_SYSCALL(connect),
  GG_SYSCALL(getsockopt),
  GG_SYSCALL(setsockopt),
  GG_SYSCALL(getsockname),
  /* listener.c */
  GG_SYSCALL(accept4),
  GG_SYSCALL(bind),
  GG_SYSCALL(listen),
  GG_SYSCALL(fchmodat),
#ifdef SYS_chmod
  GG_SYSCALL(chmod),
  GG_SYSCALL(unlink),
#endif
  GG_SYSCALL(dup),
  GG_SYSCALL(dup3),
};

const struct gg_syscalls gg_gateway_syscalls = {items, sizeof items / sizeof items[0]};
