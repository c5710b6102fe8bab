/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plan_cache.h - bytes of many files through one cache: blocks of 64 KiB, the least recently used one makes room.
 *
 *   (file, number of the block) ──hash──► block ──► 64 KiB
 *                                   │ not there: the oldest one is read anew
 *                                   ▼
 *   file ──► descriptor, of which GG_CACHE_OPEN_MAX are open; its identity is checked when it is opened
 *
 * What is in it costs a look into a table and a copy. Private to src/replay's plan. Thread: one at a time.
 */
#ifndef GG_REPLAY_PLAN_CACHE_H
#define GG_REPLAY_PLAN_CACHE_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  GG_CACHE_BLOCK_BYTES = 64 << 10,
  GG_CACHE_BLOCKS = 384, /* 24 MiB */
  GG_CACHE_OPEN_MAX = 64,
};

/* The file that is always open and has no path: the plan's temporary one. */
#define GG_CACHE_SPOOL UINT32_MAX

struct gg_cache_file {
  char *path;
  dev_t device;
  ino_t inode;
  uint64_t bytes; /* that it had, or that were read of it; it may have more by now */
  int slot;       /* of its descriptor; -1: it is not open */
};

struct gg_cache_block {
  uint64_t number;
  uint32_t file;
  uint32_t valid; /* bytes of it that are there; 0: the block is unused */
  int32_t next;   /* of the same bucket */
  int32_t newer, older;
};

enum { GG_CACHE_BUCKETS = 1024 };

struct gg_cache {
  struct gg_cache_file *files;
  size_t file_count, file_room;
  struct {
    int fd; /* -1: none */
    uint32_t file;
    uint64_t used; /* the clock's reading when it was */
  } slots[GG_CACHE_OPEN_MAX];
  uint64_t clock;
  int spool; /* borrowed */
  uint8_t *memory;
  int32_t buckets[GG_CACHE_BUCKETS]; /* -1: empty */
  int32_t newest, oldest;
  struct gg_cache_block blocks[GG_CACHE_BLOCKS];
};

int gg__cache_init(struct gg_cache *cache); /* GG_ERR_NOMEM; fini also after it */
void gg__cache_fini(struct gg_cache *cache);

/* The next file, as it is now. GG_ERR_NOMEM; a file that cannot be seen is told when it is read. */
int gg__cache_add(struct gg_cache *cache, const char *path);

/* GG_ERR_NOT_FOUND: the file has gone; GG_ERR_CORRUPT: it is another one, or shorter than it was; GG_ERR_IO, LIMIT.
 * `sparse`: what is not in the cache is read by itself, and the cache stays as it is. */
int gg__cache_read(struct gg_cache *cache, uint32_t file, uint64_t place, uint8_t *out, size_t bytes, bool sparse,
                   struct gg_failure *failure);

/* These bytes of the file, which do not lie across blocks, have been changed into `data`. */
void gg__cache_note(struct gg_cache *cache, uint32_t file, uint64_t place, const void *data, size_t bytes);

#endif
