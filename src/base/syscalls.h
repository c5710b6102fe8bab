/* SPDX-License-Identifier: Apache-2.0 */
/**
 * syscalls.h - what a module says that it needs of the kernel, so that the sandbox (engine/sandbox.h) can refuse the
 * rest. Each module has its list in its own syscalls.c: who adds a call there adds a line here, and the tests, which
 * run inside the sandbox, say when it was forgotten: it fails with EPERM.
 *
 * Concerns what is called once a gateway runs; its start is over before the sandbox closes.
 */
#ifndef GG_BASE_SYSCALLS_H
#define GG_BASE_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

enum { GG_SYSCALL_CONDITIONS = 2 };

/* Permitted if every condition with a mask holds: (argument & mask) == value, of the lower 32 bits. One call may have
 * several entries, of which one must hold. */
struct gg_syscall {
  int number;
  struct gg_syscall_condition {
    unsigned argument; /* 0 to 5 */
    uint32_t mask;     /* 0: no condition */
    uint32_t value;
  } when[GG_SYSCALL_CONDITIONS];
};

struct gg_syscalls {
  const struct gg_syscall *items;
  size_t count;
};

#define GG_SYSCALL(name)                                                                                               \
  {                                                                                                                    \
    .number = SYS_##name                                                                                               \
  }
#define GG_SYSCALL_IF(name, argument, mask, value)                                                                     \
  {                                                                                                                    \
    .number = SYS_##name, .when = { {(argument), (mask), (value)} }                                                    \
  }
#define GG_SYSCALL_IF2(name, argument, mask, value, argument2, mask2, value2)                                          \
  {                                                                                                                    \
    .number = SYS_##name, .when = { {(argument), (mask), (value)}, {(argument2), (mask2), (value2)} }                  \
  }

#define GG_SYSCALL_EXACT UINT32_MAX /* a mask */

extern const struct gg_syscalls gg_base_syscalls; /* and what libc does of its own accord */

#endif
