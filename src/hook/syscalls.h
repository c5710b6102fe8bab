/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls.h - what the files of this module ask of the kernel while a gateway runs, where it has plug-ins. */
#ifndef GG_HOOK_SYSCALLS_H
#define GG_HOOK_SYSCALLS_H

#include "base/syscalls.h"

extern const struct gg_syscalls gg_hook_syscalls;

#endif
