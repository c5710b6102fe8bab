/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ring.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_ATTEMPTS_MAX = 1000 };

size_t gg__ring_header_bytes(void)
{
  long page = sysconf(_SC_PAGESIZE);
  return page > GG__PAGE_BYTES ? (size_t)page : GG__PAGE_BYTES;
}

uint8_t *gg__ring_map(int fd, size_t offset, size_t bytes, int writable)
{
  int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  int populate = writable ? MAP_POPULATE : 0;
  uint8_t *data = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    return NULL;
  if (mmap(data, bytes, protection, MAP_SHARED | MAP_FIXED | populate, fd, (off_t)offset) == MAP_FAILED ||
      mmap(data + bytes, bytes, protection, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED) {
    int error = errno;
    munmap(data, 2 * bytes);
    errno = error;
    return NULL;
  }
  return data;
}

void gg__ring_unmap(uint8_t *data, size_t bytes)
{
  if (data)
    munmap(data, 2 * bytes);
}

static void fill_header(struct gg__ring *ring, const struct gg__ring_owner *owner, const char *log_name,
                        uint64_t generation)
{
  struct gg__ring_header *header = ring->header;
  header->version = GG__RING_VERSION;
  header->header_bytes = (uint32_t)ring->header_bytes;
  snprintf(header->uuid, sizeof header->uuid, "%s", owner->uuid);
  snprintf(header->log_name, sizeof header->log_name, "%s", log_name);
  header->generation = generation;
  header->ring_bytes = ring->bytes;
  header->process = owner->process;
  header->pid = owner->pid;
  atomic_store(&header->committed, 0);
  atomic_store(&header->written, 0);
  atomic_store(&header->base, GG__RING_UNUSED);
  atomic_signal_fence(memory_order_release);
  memcpy(header->magic, GG__RING_MAGIC, sizeof header->magic);
}

/* A step of 1 to 2^32: 64 bits are enough for a ring a second for as long as anybody lives. */
static void step(uint64_t *generation)
{
  uint32_t random;
  if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
    random = (uint32_t)gg_clock_mono_ns(); /* only on a kernel without the call */
  *generation += UINT64_C(1) + random;
}

/* Gives the finished, still nameless file its name, so that nobody ever sees a half-made ring under it. */
static int give_name(struct gg__ring *ring, int fd, const char *uuid, const char *log_name, uint64_t *generation)
{
  char self[64];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  for (int attempt = 0; attempt < NAME_ATTEMPTS_MAX; attempt++) {
    step(generation);
    snprintf(ring->name, sizeof ring->name, "gogetway-%s.%s.%" PRIu64, uuid, log_name, *generation);
    ring->header->generation = *generation;
    if (linkat(AT_FDCWD, self, ring->dir_fd, ring->name, AT_SYMLINK_FOLLOW) == 0)
      return 0;
    if (errno != EEXIST)
      return errno;
  }
  return EEXIST;
}

/* Where a nameless file cannot be had: a name that is new, and the header's magic comes last all the same. */
static int open_named(struct gg__ring *ring, const char *uuid, const char *log_name, uint64_t *generation)
{
  for (int attempt = 0; attempt < NAME_ATTEMPTS_MAX; attempt++) {
    step(generation);
    snprintf(ring->name, sizeof ring->name, "gogetway-%s.%s.%" PRIu64, uuid, log_name, *generation);
    int fd = openat(ring->dir_fd, ring->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EEXIST)
      return fd;
  }
  return -1;
}

static int allocate_and_map(struct gg__ring *ring, int fd)
{
  if (fchmod(fd, 0600) < 0)
    return errno;
  int error = posix_fallocate(fd, 0, (off_t)(ring->header_bytes + ring->bytes));
  if (error)
    return error;
  void *header = mmap(NULL, ring->header_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (header == MAP_FAILED)
    return errno;
  ring->header = header;
  ring->data = gg__ring_map(fd, ring->header_bytes, ring->bytes, 1);
  return ring->data ? 0 : errno;
}

int gg__ring_create(struct gg__ring **out, int dir_fd, const struct gg__ring_owner *owner, const char *log_name,
                    uint64_t *generation, uint64_t bytes, struct gg_failure *failure)
{
  assert((bytes & (bytes - 1)) == 0 && bytes >= GG_RING_BYTES_MIN && bytes <= GG_RING_BYTES_MAX);
  struct gg__ring *ring = calloc(1, sizeof *ring);
  if (!ring)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a recording ring");
  ring->bytes = bytes;
  ring->header_bytes = gg__ring_header_bytes();
  ring->dir_fd = dir_fd;
  atomic_init(&ring->end, UINT64_MAX);
  int fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  int nameless = fd >= 0 && access("/proc/self/fd", X_OK) == 0;
  if (!nameless) {
    if (fd >= 0)
      close(fd);
    fd = open_named(ring, owner->uuid, log_name, generation);
  }
  int error = fd < 0 ? errno : allocate_and_map(ring, fd);
  if (!error)
    fill_header(ring, owner, log_name, *generation);
  if (!error && nameless)
    error = give_name(ring, fd, owner->uuid, log_name, generation);
  if (error) {
    if (fd >= 0 && !nameless)
      unlinkat(dir_fd, ring->name, 0);
    if (fd >= 0)
      close(fd);
    gg__ring_destroy(ring);
    return gg_fail_errno(failure, error, "making a ring of %" PRIu64 " bytes for log %s", bytes, log_name);
  }
  close(fd);
  *out = ring;
  return 0;
}

void gg__ring_unlink(struct gg__ring *ring)
{
  atomic_store(&ring->header->base, GG__RING_UNUSED);
  if (unlinkat(ring->dir_fd, ring->name, 0) != 0 && errno != ENOENT)
    unlinkat(ring->dir_fd, ring->name, 0); /* once more: its memory is gone for good otherwise */
}

void gg__ring_destroy(struct gg__ring *ring)
{
  if (!ring)
    return;
  gg__ring_unmap(ring->data, ring->bytes);
  if (ring->header)
    munmap(ring->header, ring->header_bytes);
  free(ring);
}
