/* SPDX-License-Identifier: Apache-2.0 */
/**
 * ring.h - one ring file of a log: a header page and data that is mapped twice back to back. Private to src/record.
 *
 *   file    │ header page │ data: ring_bytes (a power of two) │
 *   memory  │ header │      │ data │ the same data again │      position p is at data[p & (ring_bytes - 1)]
 *
 * The bytes in the ring are the segment file's bytes, padding included: position - segment start = file offset.
 *
 * Who writes what: the creator the fixed part; the log's producer `base`, the segment table and `committed`; the writer
 * thread `written`. The next process reads it all when this one was killed (recover.c): a killed process' stores are
 * seen in the order in which they were made, so release stores are enough.
 */
#ifndef GG_RECORD_RING_H
#define GG_RECORD_RING_H

#include "record/bounds.h"
#include <gogetway/error.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG__PAGE_BYTES = 4096, /* every flush ends on a multiple of it */
  GG__SEGMENT_NAME_MAX = 96,
  GG__LOG_NAME_MAX = 32,
  GG__UUID_TEXT = 37,
  GG__RING_NAME_MAX = 128,
  GG__RING_VERSION = 1,
};

#define GG__RING_MAGIC "GGWRING"   /* 8 bytes with its NUL */
#define GG__RING_UNUSED UINT64_MAX /* `base` of a ring that the producer has not switched to */

struct gg__ring_segment {
  _Atomic uint64_t number; /* 0: entry is free or being written */
  uint64_t start;          /* position of its first byte */
  char name[GG__SEGMENT_NAME_MAX];
};

struct gg__ring_header {
  char magic[8]; /* written last */
  uint32_t version;
  uint32_t header_bytes; /* where the data begins in the file */
  char uuid[GG__UUID_TEXT + 3];
  char log_name[GG__LOG_NAME_MAX];
  uint64_t generation;
  uint64_t ring_bytes;
  uint32_t process; /* whose it is (record/process.c); 0: of a version that knew only one at a time */
  int32_t pid;
  _Alignas(64) _Atomic uint64_t base; /* first position in this ring */
  _Atomic uint64_t committed;
  _Alignas(64) _Atomic uint64_t written;
  _Alignas(64) struct gg__ring_segment segments[GG_RING_SEGMENTS_MAX]; /* segment n is entry n modulo the size */
};
_Static_assert(sizeof(struct gg__ring_header) <= GG__PAGE_BYTES, "the header is one page");

/* Whose ring it will be. */
struct gg__ring_owner {
  const char *uuid; /* the store's */
  uint32_t process;
  int32_t pid;
};

struct gg__ring {
  struct gg__ring *next; /* newer generation; set before `end` */
  struct gg__ring_header *header;
  uint8_t *data;
  uint64_t bytes;
  size_t header_bytes;
  uint64_t begin;       /* first position in it; set before anybody but the producer sees it */
  _Atomic uint64_t end; /* first position that is not in this ring any more; UINT64_MAX: in use */
  int dir_fd;           /* borrowed: the recorder's ring directory */
  char name[GG__RING_NAME_MAX];
};

/* Makes, maps and fills in a ring file named "gogetway-<uuid>.<log name>.<generation>". *generation is the last ring's
 * and becomes this one's: larger by a random step, so that nobody who sees the names can take the next ones first.
 * GG_ERR_NO_SPACE where the tmpfs is full. */
int gg__ring_create(struct gg__ring **out, int dir_fd, const struct gg__ring_owner *owner, const char *log_name,
                    uint64_t *generation, uint64_t bytes, struct gg_failure *failure);
/* Removes a ring that holds nothing any more: also where it has another name, it will be found empty. */
void gg__ring_unlink(struct gg__ring *ring);
void gg__ring_destroy(struct gg__ring *ring); /* unmaps; the file stays */

/* Maps `bytes` of `fd` from `offset` twice back to back, for reading only if `writable` is 0. NULL and errno. */
uint8_t *gg__ring_map(int fd, size_t offset, size_t bytes, int writable);
void gg__ring_unmap(uint8_t *data, size_t bytes);
size_t gg__ring_header_bytes(void); /* of this machine: one page of memory */

#endif
