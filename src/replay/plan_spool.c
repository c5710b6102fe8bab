/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan_spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* A nameless file, or one whose name is gone at once where the file system has no nameless ones. */
static int open_nameless(const char *directory)
{
  char path[4096];
  int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL))
    return fd;
  uint64_t chance;
  if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
    return -1;
  if ((size_t)snprintf(path, sizeof path, "%s/gogetway-plan-%016" PRIx64, directory, chance) >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0)
    unlink(path);
  return fd;
}

int gg__spool_init(struct gg_spool *spool, struct gg_failure *failure)
{
  const char *wanted = getenv("TMPDIR");
  *spool = (struct gg_spool){.fd = -1};
  spool->buffer = malloc(GG_SPOOL_BUFFER_BYTES);
  if (!spool->buffer)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a plan");
  /* Who asks for a place gets it or hears why not: the others may not have the room. */
  spool->directory = wanted && wanted[0] ? wanted : "/var/tmp";
  spool->fd = open_nameless(spool->directory);
  if (spool->fd < 0 && spool->directory != wanted) {
    spool->directory = "/tmp";
    spool->fd = open_nameless(spool->directory);
  }
  return spool->fd >= 0 ? 0 : gg_fail_errno(failure, errno, "cannot make a temporary file in %s", spool->directory);
}

void gg__spool_fini(struct gg_spool *spool)
{
  free(spool->buffer);
  spool->buffer = NULL;
  if (spool->fd >= 0)
    close(spool->fd);
  spool->fd = -1;
}

static int write_at(const struct gg_spool *spool, const uint8_t *data, size_t bytes, uint64_t place,
                    struct gg_failure *failure)
{
  while (bytes > 0) {
    ssize_t n = pwrite(spool->fd, data, bytes, (off_t)place);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return gg_fail_errno(failure, errno, "cannot write the plan's temporary file in %s", spool->directory);
    data += n;
    bytes -= (size_t)n;
    place += (uint64_t)n;
  }
  return 0;
}

static int flush(struct gg_spool *spool, struct gg_failure *failure)
{
  int error = write_at(spool, spool->buffer, spool->used, spool->written, failure);
  if (error)
    return error;
  spool->written += spool->used;
  spool->used = 0;
  return 0;
}

int gg__spool_add(struct gg_spool *spool, const void *data, size_t bytes, uint64_t *place, struct gg_failure *failure)
{
  size_t padded = (bytes + GG_SPOOL_ALIGN - 1) / GG_SPOOL_ALIGN * GG_SPOOL_ALIGN;
  assert(padded <= GG_SPOOL_BUFFER_BYTES);
  int error = spool->used + padded > GG_SPOOL_BUFFER_BYTES ? flush(spool, failure) : 0;
  if (error)
    return error;
  *place = spool->written + spool->used;
  memcpy(spool->buffer + spool->used, data, bytes);
  memset(spool->buffer + spool->used + bytes, 0, padded - bytes);
  spool->used += padded;
  return 0;
}

int gg__spool_change(struct gg_spool *spool, uint64_t place, const void *data, size_t bytes, struct gg_failure *failure)
{
  assert(place / GG_SPOOL_ALIGN == (place + bytes - 1) / GG_SPOOL_ALIGN);
  assert(place + bytes <= spool->written + spool->used);
  if (place < spool->written)
    return write_at(spool, data, bytes, place, failure);
  memcpy(spool->buffer + (place - spool->written), data, bytes);
  return 0;
}

int gg__spool_finish(struct gg_spool *spool, struct gg_failure *failure)
{
  int error = flush(spool, failure);
  free(spool->buffer);
  spool->buffer = NULL;
  return error;
}
