/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolver_files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

const char *const gg_resolver_files[GG_RESOLVER_FILES] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
                                                          "/etc/host.conf", "/etc/gai.conf"};

/* By opening it: access(2) does not ask the sandbox. */
struct gg_resolver_access gg_resolver_files_look(void)
{
  struct gg_resolver_access files = {0};
  for (unsigned i = 0; i < GG_RESOLVER_FILES; i++) {
    int fd = open(gg_resolver_files[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
      files.readable |= 1u << i;
      close(fd);
    } else if (errno == EACCES || errno == EPERM) {
      files.refused |= 1u << i;
    }
  }
  return files;
}

const char *gg_resolver_files_first(unsigned files)
{
  for (unsigned i = 0; i < GG_RESOLVER_FILES; i++)
    if (files & 1u << i)
      return gg_resolver_files[i];
  return NULL;
}
