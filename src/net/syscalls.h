/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls.h - what the files of this module ask of the kernel while a gateway runs. */
#ifndef GG_NET_SYSCALLS_H
#define GG_NET_SYSCALLS_H

#include "base/syscalls.h"

extern const struct gg_syscalls gg_net_syscalls;

#endif
