/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls.h - what this room calls while a gateway runs: retention. See base/syscalls.h. */
#ifndef GG_STORE_SYSCALLS_H
#define GG_STORE_SYSCALLS_H

#include "base/syscalls.h"

extern const struct gg_syscalls gg_store_syscalls;

#endif
