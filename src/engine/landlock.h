/* SPDX-License-Identifier: Apache-2.0 */
/**
 * landlock.h - rules by which the kernel refuses files to this thread and all that it makes later (landlock(7)).
 *
 * Spoken to by raw system calls and constants of our own, so that the headers of the building machine may be older
 * than the kernel it runs on. What a kernel does not know yet is left out; what we do not know yet is not refused.
 */
#ifndef GG_ENGINE_LANDLOCK_H
#define GG_ENGINE_LANDLOCK_H

#include <gogetway/error.h>

struct gg_landlock_rule {
  const char *path; /* a directory with all that is in it, or a file; one that does not exist is passed over */
  enum gg_landlock_right {
    GG_LANDLOCK_READ,
    GG_LANDLOCK_WRITE,   /* read, write, make, name and remove files */
    GG_LANDLOCK_SOCKETS, /* make and remove unix sockets */
    GG_LANDLOCK_TREE,    /* as WRITE, and make and remove directories */
  } right;
};

/* Refuses every file but these. The version that the kernel speaks; a negative error: it has none, or refuses. */
int gg__landlock_restrict(const struct gg_landlock_rule *rules, size_t count, struct gg_failure *failure);

#endif
