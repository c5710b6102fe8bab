/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway holds an open-file-description lock on its store's `lock` file, and writes its process id into it when it
 * starts. So whether one runs is asked of the kernel (asking takes no lock and disturbs nobody), and since when is the
 * file's time.
 */
#include "store/source.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool gg__store_is_live(const char *store, uint64_t *since_ns)
{
  char path[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/lock", store) >= sizeof path)
    return false;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return false;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  struct stat status;
  bool live = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && fstat(fd, &status) == 0;
  close(fd);
  if (live)
    *since_ns = (uint64_t)status.st_mtim.tv_sec * GG_NS_PER_S + (uint64_t)status.st_mtim.tv_nsec;
  return live;
}
