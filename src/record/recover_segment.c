/* SPDX-License-Identifier: Apache-2.0 */
/* recover_segment.c - a segment whose ring is gone: cut after the last whole block, and marked. */
#include "record/recover.h"
#include "record/section.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  WINDOW_BYTES = 1 << 20, /* no block of ours is longer */
  NOTE_BLOCK_MAX = 3 * GG__PAGE_BYTES,
};

static const char NOTE[] = "{\"recovered\":{\"note\":\"the machine or its tmpfs went away: up to the sync interval "
                           "before this may be missing\"}}";

int gg__recover_open(struct gg_recorder *recorder, const char *name, int flags, uint64_t *bytes)
{
  int fd = openat(recorder->segments_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);
  if (fd < 0)
    return -1;
  struct stat status;
  int error = fstat(fd, &status) < 0 ? errno : 0;
  if (!error && (!S_ISREG(status.st_mode) || status.st_nlink != 1))
    error = ELOOP;
  if (!error && (flags & O_CREAT) && fchmod(fd, 0600) < 0)
    error = errno;
  if (error) {
    close(fd);
    errno = error;
    return -1;
  }
  *bytes = (uint64_t)status.st_size;
  return fd;
}

struct tail {
  uint64_t end; /* of the last whole block */
  bool marked;  /* that block is our note already */
};

/* Only in a statistics block: a packet holds whatever somebody sent. */
static bool is_note(const uint8_t *block, size_t length)
{
  const uint8_t statistics[4] = {5};
  return memcmp(block, statistics, sizeof statistics) == 0 && memmem(block, length, NOTE, sizeof NOTE - 1) != NULL;
}

bool gg__recover_can_follow(int fd, uint64_t offset)
{
  uint32_t length;
  uint8_t block[NOTE_BLOCK_MAX];
  if (offset < sizeof length || pread(fd, &length, sizeof length, (off_t)(offset - sizeof length)) != sizeof length ||
      length < 12 || length % 4 != 0 || length > offset)
    return false;
  size_t head = length < sizeof block ? length : sizeof block;
  if (pread(fd, block, head, (off_t)(offset - length)) != (ssize_t)head)
    return false;
  return memcmp(block + 4, &length, sizeof length) == 0 && !is_note(block, head);
}

/* Walks the blocks of the file. An errno value. */
static int find_tail(int fd, struct tail *tail)
{
  uint8_t *window = malloc(WINDOW_BYTES);
  if (!window)
    return ENOMEM;
  int error = 0;
  for (size_t used = 1; used > 0;) {
    ssize_t n = pread(fd, window, WINDOW_BYTES, (off_t)tail->end);
    if (n < 0) {
      error = errno;
      break;
    }
    used = 0;
    for (size_t length; (length = gg_block_whole(window + used, (size_t)n - used)) > 0; used += length)
      tail->marked = is_note(window + used, length);
    tail->end += used;
  }
  free(window);
  return error;
}

static int write_note(int fd, uint64_t at, uint64_t *end)
{
  struct gg_section_statistics statistics = {
    .time_ns = gg_clock_real_ns(), .comment = NOTE, .comment_length = sizeof NOTE - 1};
  uint8_t block[NOTE_BLOCK_MAX];
  size_t bytes = gg_section_padding(at, GG__PAGE_BYTES, gg_section_statistics_least(&statistics));
  gg_section_statistics(block, bytes, &statistics);
  bool direct = false;
  size_t done;
  *end = at + bytes;
  return gg__segment_write(fd, &direct, block, bytes, at, &done);
}

/* A file without one whole block is no recording; it is kept beside them, where no reader takes it for one. */
static int set_aside(struct gg_recorder *recorder, const char *name, uint64_t bytes)
{
  if (bytes == 0)
    return unlinkat(recorder->segments_fd, name, 0) < 0 ? errno : 0;
  char aside[GG__SEGMENT_NAME_MAX + 16];
  snprintf(aside, sizeof aside, "%s.damaged", name);
  return renameat(recorder->segments_fd, name, recorder->segments_fd, aside) < 0 ? errno : 0;
}

int gg__recover_segment(struct gg_recorder *recorder, const char *name, struct gg_failure *failure)
{
  if (!gg__segment_name_valid(name))
    return 0;
  uint64_t bytes;
  int fd = gg__recover_open(recorder, name, 0, &bytes);
  if (fd < 0)
    return 0; /* never made, or not a file of ours */
  struct tail tail = {0};
  int error = find_tail(fd, &tail);
  bool whole = tail.end == bytes && bytes % GG__PAGE_BYTES == 0;
  uint64_t end = 0;
  if (!error && tail.end == 0)
    error = set_aside(recorder, name, bytes);
  else if (!error && !(tail.marked && whole)) {
    error = ftruncate(fd, (off_t)tail.end) < 0 ? errno : 0;
    if (!error)
      error = write_note(fd, tail.end, &end);
  }
  if (!error && fdatasync(fd) < 0)
    error = errno;
  close(fd);
  if (error)
    return gg_fail_errno(failure, error, "completing %s/segments/%s", recorder->dir, name);
  if (end > 0)
    gg__recovered_add(recorder, name, end);
  return !(tail.marked && whole);
}
