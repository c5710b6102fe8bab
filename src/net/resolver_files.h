/* SPDX-License-Identifier: Apache-2.0 */
/**
 * resolver_files.h - the files by which getaddrinfo(3) answers, and whether this process may still read them.
 *
 * libc takes a file that it may not read for one that is not there, and says nothing: without /etc/resolv.conf it asks
 * 127.0.0.1, without /etc/hosts it asks a server for a name that was fixed there. The sandbox (engine/sandbox.h) knows
 * files, not paths, so who replaces one of them takes it away from us. That must be an error, not another answer.
 *
 * Thread: any.
 */
#ifndef GG_NET_RESOLVER_FILES_H
#define GG_NET_RESOLVER_FILES_H

#include <stddef.h>

enum { GG_RESOLVER_FILES = 5 };
extern const char *const gg_resolver_files[GG_RESOLVER_FILES];

/* One bit for each of them; one that is missing is in neither. */
struct gg_resolver_access {
  unsigned readable;
  unsigned refused; /* is there, and may not be read */
};
struct gg_resolver_access gg_resolver_files_look(void);
/* The first of such bits' files; NULL: there is none. */
const char *gg_resolver_files_first(unsigned files);

#endif
