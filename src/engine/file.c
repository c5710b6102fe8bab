/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_MAX_BYTES = 4096 + 32 };

static int write_all(int fd, const char *bytes, size_t length)
{
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return -1;
    bytes += written;
    length -= (size_t)written;
  }
  return 0;
}

/* Makes the temporary file beside `path` that becomes it, and gives its name; a negative enum gg_error on failure. */
static int open_temporary(const char *path, char *temporary, size_t size, struct gg_failure *failure)
{
  int length = snprintf(temporary, size, "%s.%ld.tmp", path, (long)getpid());
  if (length < 0 || (size_t)length >= size)
    return gg_fail(failure, GG_ERR_RANGE, "cannot write %.200s...: the path is too long", path);
  unlink(temporary); /* left by a killed process of this number, or put there by somebody: not written into */
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  return fd >= 0 ? fd : gg_fail_errno(failure, errno, "cannot write %s", path);
}

int gg__file_check(const char *path, struct gg_failure *failure)
{
  char temporary[PATH_MAX_BYTES];
  struct stat status;
  if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
    return gg_fail_errno(failure, EISDIR, "cannot write %s", path);
  int fd = open_temporary(path, temporary, sizeof temporary, failure);
  if (fd < 0)
    return fd;
  close(fd);
  unlink(temporary);
  return 0;
}

int gg__file_replace(const char *path, const char *text, size_t length, mode_t mode, struct gg_failure *failure)
{
  char temporary[PATH_MAX_BYTES];
  int fd = open_temporary(path, temporary, sizeof temporary, failure);
  if (fd < 0)
    return fd;
  int result = write_all(fd, text, length);
  if (result == 0)
    result = fchmod(fd, mode); /* what open(2) makes is less by the umask */
  int saved_errno = errno;
  if (close(fd) != 0 && result == 0) {
    saved_errno = errno;
    result = -1;
  }
  if (result == 0 && rename(temporary, path) == 0)
    return 0;
  int error = gg_fail_errno(failure, result == 0 ? errno : saved_errno, "cannot write %s", path);
  unlink(temporary);
  return error;
}
