/* SPDX-License-Identifier: Apache-2.0 */
/**
 * seccomp.h - a filter of system calls, made from the modules' lists (base/syscalls.h).
 *
 * A program of classic BPF, which the kernel runs at each call (and remembers, since 5.11, for calls that need no look
 * at arguments: those of the data path). In this order, with the first that applies:
 *
 *     another machine's calls (32 bit, x32)             the process is killed
 *     executing, tracing, loading into the kernel, ...  killed: nothing here does that by mistake
 *     a signal to a thread of this process              permitted: abort(3)
 *     what is in the lists, conditions included         permitted
 *     anything else                                     EPERM, and a line in the kernel's log
 *
 * A second filter answers clone3 by ENOSYS: its flags cannot be seen, and libc then takes clone.
 *
 * (Rejected: killing for anything else. A libc that is newer than the lists would end sessions over a call that it can
 * do without.)
 *
 * Thread: whoever calls; install is for the calling thread and, where the kernel can, for all others.
 */
#ifndef GG_ENGINE_SECCOMP_H
#define GG_ENGINE_SECCOMP_H

#include "base/syscalls.h"

#include <gogetway/error.h>
#include <linux/filter.h>

enum { GG_SECCOMP_INSTRUCTIONS_MAX = 1024 };

/* The program for these lists, at most GG_SECCOMP_INSTRUCTIONS_MAX instructions; how many. Pure. */
size_t gg__seccomp_program(struct sock_filter *out, const struct gg_syscalls *const *lists, size_t list_count,
                           uint32_t process);
/* Nothing brings refused calls back. GG_ERR_DENIED and others: this machine, kernel or container has no such thing. */
int gg__seccomp_install(const struct gg_syscalls *const *lists, size_t list_count, struct gg_failure *failure);

#endif
