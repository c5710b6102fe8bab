/* SPDX-License-Identifier: Apache-2.0 */
#include "net/syscalls.h"

#include <asm/termbits.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A socket's type without SOCK_CLOEXEC and SOCK_NONBLOCK. */
#define TYPE_MASK 0xFu

static const struct gg_syscall items[] = {
  /* loop.c */
  GG_SYSCALL(epoll_create1),
  GG_SYSCALL(epoll_ctl),
  GG_SYSCALL(epoll_pwait),
#ifdef SYS_epoll_wait
  GG_SYSCALL(epoll_wait),
#endif
  GG_SYSCALL(eventfd2),
  /* resolve.c: getaddrinfo(3) asks by UDP or TCP, or a local daemon, which names it got by netlink */
  GG_SYSCALL_IF2(socket, 0, GG_SYSCALL_EXACT, AF_INET, 1, TYPE_MASK, SOCK_DGRAM),
  GG_SYSCALL_IF2(socket, 0, GG_SYSCALL_EXACT, AF_INET6, 1, TYPE_MASK, SOCK_DGRAM),
  GG_SYSCALL_IF2(socket, 0, GG_SYSCALL_EXACT, AF_UNIX, 1, TYPE_MASK, SOCK_DGRAM),
  GG_SYSCALL_IF2(socket, 0, GG_SYSCALL_EXACT, AF_NETLINK, 2, GG_SYSCALL_EXACT, NETLINK_ROUTE),
  GG_SYSCALL(sendmmsg),
  GG_SYSCALL(recvmsg),
  GG_SYSCALL(sendmsg),
  GG_SYSCALL(getpeername),
  GG_SYSCALL_IF(ioctl, 1, GG_SYSCALL_EXACT, FIONREAD),
  GG_SYSCALL_IF(ioctl, 1, GG_SYSCALL_EXACT, TCGETS), /* stdio: whether a file is a terminal */
#ifdef TCGETS2
  GG_SYSCALL_IF(ioctl, 1, GG_SYSCALL_EXACT, TCGETS2), /* the same, since glibc 2.42; not every architecture has it */
#endif
  /* addr.c: a scope's name in an address */
  GG_SYSCALL_IF(ioctl, 1, GG_SYSCALL_EXACT, SIOCGIFINDEX),
  GG_SYSCALL_IF(ioctl, 1, GG_SYSCALL_EXACT, SIOCGIFNAME),
};

const struct gg_syscalls gg_net_syscalls = {items, sizeof items / sizeof items[0]};
