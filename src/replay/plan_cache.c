/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a recording do not change once they are written, so a block is good for ever, but the last one of a file
 * that still grows: it is read again when more of it is wanted than there was.
 *
 * Rejected: mapping the segments. A segment that somebody truncates would be SIGBUS, and the kernel's cache would count
 * as resident memory.
 */
#include "replay/plan_cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NONE = -1 };

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__cache_init(struct gg_cache *cache)
{
  *cache = (struct gg_cache){.spool = -1, .newest = 0, .oldest = GG_CACHE_BLOCKS - 1};
  for (size_t i = 0; i < GG_CACHE_OPEN_MAX; i++)
    cache->slots[i].fd = -1;
  for (size_t i = 0; i < GG_CACHE_BUCKETS; i++)
    cache->buckets[i] = NONE;
  for (int32_t i = 0; i < GG_CACHE_BLOCKS; i++) {
    cache->blocks[i].newer = i - 1;
    cache->blocks[i].older = i + 1 < GG_CACHE_BLOCKS ? i + 1 : NONE;
  }
  cache->memory = malloc((size_t)GG_CACHE_BLOCKS * GG_CACHE_BLOCK_BYTES);
  return cache->memory ? 0 : GG_ERR_NOMEM;
}

void gg__cache_fini(struct gg_cache *cache)
{
  for (size_t i = 0; i < GG_CACHE_OPEN_MAX; i++)
    if (cache->slots[i].fd >= 0)
      close(cache->slots[i].fd);
  for (size_t i = 0; i < cache->file_count; i++)
    free(cache->files[i].path);
  free(cache->files);
  free(cache->memory);
}

int gg__cache_add(struct gg_cache *cache, const char *path)
{
  struct stat status;
  if (cache->file_count == cache->file_room) {
    size_t room = cache->file_room ? cache->file_room * 2 : 16;
    struct gg_cache_file *larger = realloc(cache->files, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    cache->files = larger;
    cache->file_room = room;
  }
  struct gg_cache_file file = {.path = strdup(path), .slot = NONE};
  if (!file.path)
    return GG_ERR_NOMEM;
  if (stat(path, &status) == 0) {
    file.device = status.st_dev;
    file.inode = status.st_ino;
    file.bytes = (uint64_t)status.st_size;
  }
  cache->files[cache->file_count++] = file;
  return 0;
}

/* ── Descriptors ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void close_slot(struct gg_cache *cache, int slot)
{
  if (cache->slots[slot].fd < 0)
    return;
  close(cache->slots[slot].fd);
  cache->slots[slot].fd = -1;
  cache->files[cache->slots[slot].file].slot = NONE;
}

/* An unused slot, or the one that was not used for longest. */
static int oldest_slot(const struct gg_cache *cache)
{
  int oldest = 0;
  for (int i = 0; i < GG_CACHE_OPEN_MAX; i++) {
    if (cache->slots[i].fd < 0)
      return i;
    if (cache->slots[i].used < cache->slots[oldest].used)
      oldest = i;
  }
  return oldest;
}

static int check_identity(struct gg_cache_file *file, int fd, struct gg_failure *failure)
{
  struct stat status;
  if (fstat(fd, &status) != 0)
    return gg_fail_errno(failure, errno, "cannot look at %s", file->path);
  if (!S_ISREG(status.st_mode) || status.st_dev != file->device || status.st_ino != file->inode)
    return gg_fail(failure, GG_ERR_CORRUPT, "%s is another file than when it was planned", file->path);
  if ((uint64_t)status.st_size < file->bytes)
    return gg_fail(failure, GG_ERR_CORRUPT, "%s is shorter than when it was planned", file->path);
  return 0;
}

static int open_file(struct gg_cache *cache, uint32_t index, struct gg_failure *failure)
{
  struct gg_cache_file *file = &cache->files[index];
  int slot = oldest_slot(cache);
  close_slot(cache, slot);
  int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT)
    return gg_fail(failure, GG_ERR_NOT_FOUND, "%s has gone since it was planned", file->path);
  if (fd < 0)
    return gg_fail_errno(failure, errno, "cannot open %s", file->path);
  int error = check_identity(file, fd, failure);
  if (error) {
    close(fd);
    return error;
  }
  flock(fd, LOCK_SH | LOCK_NB); /* retention passes over what is read; without it, the descriptor keeps the file */
  cache->slots[slot].fd = fd;
  cache->slots[slot].file = index;
  file->slot = slot;
  return 0;
}

static int descriptor_of(struct gg_cache *cache, uint32_t index, int *fd, struct gg_failure *failure)
{
  *fd = cache->spool;
  if (index == GG_CACHE_SPOOL)
    return 0;
  assert(index < cache->file_count);
  int error = cache->files[index].slot == NONE ? open_file(cache, index, failure) : 0;
  if (error)
    return error;
  int slot = cache->files[index].slot;
  cache->slots[slot].used = ++cache->clock;
  *fd = cache->slots[slot].fd;
  return 0;
}

static const char *path_of(const struct gg_cache *cache, uint32_t file)
{
  return file == GG_CACHE_SPOOL ? "the plan's temporary file" : cache->files[file].path;
}

/* ── Blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int32_t *bucket_of(struct gg_cache *cache, uint32_t file, uint64_t number)
{
  uint64_t mixed = (number + ((uint64_t)file << 32)) * UINT64_C(0x9E3779B97F4A7C15);
  return &cache->buckets[mixed >> 54];
}
_Static_assert(GG_CACHE_BUCKETS == 1 << 10, "the bucket is the upper ten bits");

static void unlist(struct gg_cache *cache, int32_t at)
{
  struct gg_cache_block *block = &cache->blocks[at];
  *(block->newer == NONE ? &cache->newest : &cache->blocks[block->newer].older) = block->older;
  *(block->older == NONE ? &cache->oldest : &cache->blocks[block->older].newer) = block->newer;
}

static void put_newest(struct gg_cache *cache, int32_t at)
{
  if (cache->newest == at)
    return;
  unlist(cache, at);
  cache->blocks[at].newer = NONE;
  cache->blocks[at].older = cache->newest;
  cache->blocks[cache->newest].newer = at;
  cache->newest = at;
}

static void unhash(struct gg_cache *cache, int32_t at)
{
  struct gg_cache_block *block = &cache->blocks[at];
  int32_t *link = bucket_of(cache, block->file, block->number);
  while (*link != at)
    link = &cache->blocks[*link].next;
  *link = block->next;
  block->valid = 0;
}

/* Reads as much as there is, up to `bytes`. */
static int fill(struct gg_cache *cache, uint32_t file, uint64_t place, uint8_t *out, uint32_t bytes, uint32_t *valid,
                struct gg_failure *failure)
{
  uint32_t have = 0;
  int fd, error = descriptor_of(cache, file, &fd, failure);
  while (!error && have < bytes) {
    ssize_t n = pread(fd, out + have, bytes - have, (off_t)(place + have));
    if (n == 0)
      break;
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      error = gg_fail_errno(failure, errno, "cannot read %s", path_of(cache, file));
    else
      have += (uint32_t)n;
  }
  *valid = have;
  return error;
}

static int32_t look_up(struct gg_cache *cache, uint32_t file, uint64_t number)
{
  int32_t at = *bucket_of(cache, file, number);
  while (at != NONE && (cache->blocks[at].number != number || cache->blocks[at].file != file))
    at = cache->blocks[at].next;
  return at;
}

static int too_short(const struct gg_cache *cache, uint32_t file, struct gg_failure *failure)
{
  return gg_fail(failure, GG_ERR_CORRUPT, "%s is shorter than when it was planned", path_of(cache, file));
}

/* The block's index, with `wanted` bytes of it at least; or an error. */
static int find(struct gg_cache *cache, uint32_t file, uint64_t number, uint32_t wanted, struct gg_failure *failure)
{
  int32_t at = look_up(cache, file, number);
  if (at == NONE || cache->blocks[at].valid < wanted) {
    at = at == NONE ? cache->oldest : at;
    if (cache->blocks[at].valid)
      unhash(cache, at);
    uint32_t valid;
    uint8_t *memory = cache->memory + (size_t)at * GG_CACHE_BLOCK_BYTES;
    int error = fill(cache, file, number * GG_CACHE_BLOCK_BYTES, memory, GG_CACHE_BLOCK_BYTES, &valid, failure);
    if (error)
      return error;
    if (valid < wanted)
      return too_short(cache, file, failure);
    int32_t *bucket = bucket_of(cache, file, number);
    cache->blocks[at].file = file;
    cache->blocks[at].number = number;
    cache->blocks[at].valid = valid;
    cache->blocks[at].next = *bucket;
    *bucket = at;
  }
  put_newest(cache, at);
  return at;
}

int gg__cache_read(struct gg_cache *cache, uint32_t file, uint64_t place, uint8_t *out, size_t bytes, bool sparse,
                   struct gg_failure *failure)
{
  for (size_t done = 0; done < bytes;) {
    uint64_t number = (place + done) / GG_CACHE_BLOCK_BYTES;
    uint32_t at = (uint32_t)((place + done) % GG_CACHE_BLOCK_BYTES), valid;
    size_t take = bytes - done < GG_CACHE_BLOCK_BYTES - at ? bytes - done : GG_CACHE_BLOCK_BYTES - at;
    if (sparse && look_up(cache, file, number) == NONE) {
      int error = fill(cache, file, place + done, out + done, (uint32_t)take, &valid, failure);
      if (error || valid < take)
        return error ? error : too_short(cache, file, failure);
    } else {
      int block = find(cache, file, number, at + (uint32_t)take, failure);
      if (block < 0)
        return block;
      memcpy(out + done, cache->memory + (size_t)block * GG_CACHE_BLOCK_BYTES + at, take);
    }
    done += take;
  }
  return 0;
}

void gg__cache_note(struct gg_cache *cache, uint32_t file, uint64_t place, const void *data, size_t bytes)
{
  size_t at = (size_t)(place % GG_CACHE_BLOCK_BYTES);
  int32_t block = look_up(cache, file, place / GG_CACHE_BLOCK_BYTES);
  assert(at + bytes <= GG_CACHE_BLOCK_BYTES);
  if (block != NONE && at + bytes <= cache->blocks[block].valid)
    memcpy(cache->memory + (size_t)block * GG_CACHE_BLOCK_BYTES + at, data, bytes);
}
