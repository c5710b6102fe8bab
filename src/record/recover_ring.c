/* SPDX-License-Identifier: Apache-2.0 */
/* recover_ring.c - one ring that a killed process left: is it ours, and what of it is in no file yet? */
#include "record/recover.h"
#include "record/section.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the header said, read once and checked. */
struct found {
  uint64_t base, written, committed;
  uint64_t ring_bytes;
  size_t header_bytes;
  unsigned segment_count;
  struct {
    uint64_t number, start;
    char name[GG__SEGMENT_NAME_MAX];
  } segments[GG_RING_SEGMENTS_MAX]; /* by number */
  uint8_t *data;
};

/* Why the file is not a ring of ours; NULL if it is. Other names of it say nothing: where the kernel lets everybody
 * link (fs.protected_hardlinks 0), they may be somebody else's doing, and the header knows the one name that counts. */
static const char *check_file(const struct stat *status)
{
  if (S_ISLNK(status->st_mode))
    return strerrordesc_np(ELOOP);
  if (!S_ISREG(status->st_mode))
    return "not a regular file";
  if (status->st_uid != geteuid())
    return "owned by somebody else";
  if ((status->st_mode & 07777) != 0600)
    return "its mode is not 0600";
  return NULL;
}

static const char *check_header(const struct gg__ring_header *header, const struct gg_recorder *recorder,
                                const char *name, uint64_t file_bytes)
{
  if (memcmp(header->magic, GG__RING_MAGIC, sizeof header->magic) != 0)
    return "its header is not complete";
  if (header->version != GG__RING_VERSION)
    return "written by another version";
  if (header->header_bytes != gg__ring_header_bytes())
    return "its pages have another size";
  if (strncmp(header->uuid, recorder->uuid, sizeof header->uuid) != 0)
    return "it belongs to another store";
  if (header->ring_bytes < GG_RING_BYTES_MIN || header->ring_bytes > GG_RING_BYTES_MAX ||
      (header->ring_bytes & (header->ring_bytes - 1)) != 0 || file_bytes != header->header_bytes + header->ring_bytes)
    return "its size is wrong";
  char expected[GG__RING_NAME_MAX];
  if (strnlen(header->log_name, sizeof header->log_name) == sizeof header->log_name)
    return "its log's name does not end";
  snprintf(expected, sizeof expected, "gogetway-%s.%s.%" PRIu64, recorder->uuid, header->log_name, header->generation);
  return strcmp(expected, name) == 0 ? NULL : "its name is not the one in its header";
}

static const char *check_positions(struct found *found, const struct gg__ring_header *header)
{
  found->ring_bytes = header->ring_bytes;
  found->header_bytes = header->header_bytes;
  found->base = atomic_load(&header->base);
  found->written = atomic_load(&header->written);
  found->committed = atomic_load(&header->committed);
  if (found->base == GG__RING_UNUSED)
    return NULL;
  if (found->base > found->written || found->written > found->committed ||
      found->committed - found->written > found->ring_bytes || found->written % GG__PAGE_BYTES != 0 ||
      found->committed % 4 != 0 || found->committed > INT64_MAX)
    return "its positions contradict each other";
  return NULL;
}

/* Copies the table's entries in the order of their numbers. */
static const char *check_segments(struct found *found, const struct gg__ring_header *header)
{
  uint64_t last = 0;
  for (unsigned round = 0; round < GG_RING_SEGMENTS_MAX; round++) {
    unsigned best = GG_RING_SEGMENTS_MAX;
    for (unsigned i = 0; i < GG_RING_SEGMENTS_MAX; i++) {
      uint64_t number = atomic_load(&header->segments[i].number);
      if (number > last && (best == GG_RING_SEGMENTS_MAX || number < atomic_load(&header->segments[best].number)))
        best = i;
    }
    if (best == GG_RING_SEGMENTS_MAX)
      break;
    const struct gg__ring_segment *entry = &header->segments[best];
    last = atomic_load(&entry->number);
    unsigned n = found->segment_count;
    if (!gg__segment_name_valid(entry->name) || entry->start % GG__PAGE_BYTES != 0 ||
        (n > 0 && entry->start <= found->segments[n - 1].start))
      return "its table of segments is damaged";
    found->segments[n].number = last;
    found->segments[n].start = entry->start;
    memcpy(found->segments[n].name, entry->name, sizeof entry->name);
    found->segment_count++;
  }
  bool left = found->committed > found->written;
  if (left && (found->segment_count == 0 || found->segments[0].start > found->written))
    return "it does not say which segment its bytes belong to";
  return NULL;
}

/* How many of `bytes` are whole blocks; a segment begins with a section header. */
static size_t whole_blocks(const uint8_t *at, size_t bytes, bool first)
{
  const uint8_t section[4] = {0x0A, 0x0D, 0x0D, 0x0A};
  if (first && (bytes < sizeof section || memcmp(at, section, sizeof section) != 0))
    return 0;
  size_t whole = 0;
  while (whole < bytes) {
    size_t length = gg_block_whole(at + whole, bytes - whole);
    if (length == 0)
      break;
    whole += length;
  }
  return whole;
}

static int write_all(int fd, const uint8_t *from, size_t bytes, uint64_t offset)
{
  bool direct = false;
  size_t done;
  return gg__segment_write(fd, &direct, from, bytes, offset, &done);
}

/* A statistics block up to the next page; done again, it is one of the same length at the same place. */
static int write_padding(int fd, uint64_t *offset, uint64_t recovered)
{
  char note[96];
  int length = snprintf(note, sizeof note, "{\"recovered\":{\"bytes\":%" PRIu64 "}}", recovered);
  struct gg_section_statistics statistics = {
    .time_ns = gg_clock_real_ns(), .comment = note, .comment_length = (size_t)length};
  uint8_t block[2 * GG__PAGE_BYTES];
  size_t bytes = gg_section_padding(*offset, GG__PAGE_BYTES, 0);
  if (bytes < gg_section_statistics_least(&statistics))
    bytes += bytes ? GG__PAGE_BYTES : 0;
  if (bytes == 0)
    return 0;
  gg_section_statistics(block, bytes, &statistics);
  int error = write_all(fd, block, bytes, *offset);
  *offset += bytes;
  return error;
}

/* What of the ring goes to one file. */
struct piece {
  const char *name;
  const uint8_t *data;
  uint64_t from, start; /* positions: of `data`, and of the file's first byte */
  size_t bytes;         /* whole blocks */
  size_t damaged_bytes; /* what follows them and is none */
};

/* False if nothing of the ring is for that segment. */
static bool find_piece(struct piece *piece, const struct found *found, unsigned index)
{
  uint64_t start = found->segments[index].start;
  uint64_t end = index + 1 < found->segment_count ? found->segments[index + 1].start : found->committed;
  uint64_t from = start > found->written ? start : found->written;
  if (end > found->committed)
    end = found->committed;
  if (from >= end)
    return false;
  piece->name = found->segments[index].name;
  piece->data = found->data + (from & (found->ring_bytes - 1));
  piece->from = from;
  piece->start = start;
  piece->bytes = whole_blocks(piece->data, (size_t)(end - from), from == start);
  piece->damaged_bytes = (size_t)(end - from) - piece->bytes;
  return true;
}

/* A descriptor; -1 and errno, EBADMSG if the ring and the file do not fit together. */
static int open_piece(struct gg_recorder *recorder, const struct piece *piece, int flags)
{
  uint64_t file_bytes;
  int fd = gg__recover_open(recorder, piece->name, flags, &file_bytes);
  bool begins = piece->from == piece->start;
  if (fd < 0) {
    bool unfit = errno == ELOOP || errno == EISDIR || errno == ENXIO || (errno == ENOENT && !begins);
    errno = unfit ? EBADMSG : errno;
    return -1;
  }
  uint64_t offset = piece->from - piece->start;
  if (begins || (file_bytes >= offset && gg__recover_can_follow(fd, offset)))
    return fd;
  close(fd); /* would leave a hole or half a block, which readers take for corruption */
  errno = EBADMSG;
  return -1;
}

/* 0 if the piece can be written; an errno value. */
static int check_piece(struct gg_recorder *recorder, const struct piece *piece)
{
  if (piece->bytes == 0)
    return EBADMSG;
  int fd = open_piece(recorder, piece, 0);
  if (fd < 0)
    return errno == ENOENT ? 0 : errno; /* it is made when it is written */
  close(fd);
  return 0;
}

static int write_piece(struct gg_recorder *recorder, const struct piece *piece, struct gg_recovery *recovery)
{
  if (piece->damaged_bytes)
    gg_warn(recorder->logger, "a ring holds damaged blocks, they are left out", GG_S("segment", piece->name),
            GG_U("bytes", piece->damaged_bytes));
  int fd = open_piece(recorder, piece, piece->from == piece->start ? O_CREAT : 0);
  if (fd < 0)
    return errno;
  uint64_t offset = piece->from - piece->start;
  int error = write_all(fd, piece->data, piece->bytes, offset);
  offset += piece->bytes;
  if (!error)
    error = write_padding(fd, &offset, piece->bytes);
  if (!error && (ftruncate(fd, (off_t)offset) < 0 || fdatasync(fd) < 0))
    error = errno;
  close(fd);
  if (!error) {
    recovery->bytes += piece->bytes;
    recovery->segments++;
    gg__recovered_add(recorder, piece->name, offset);
  }
  return error;
}

/* All pieces are checked before the first is written: a ring that is refused changes nothing, however often it is met.
 * 0, an errno value, or EBADMSG. */
static int write_pieces(struct gg_recorder *recorder, const struct found *found, struct gg_recovery *recovery)
{
  struct piece piece;
  int error = 0;
  for (unsigned i = 0; !error && i < found->segment_count; i++)
    if (find_piece(&piece, found, i))
      error = check_piece(recorder, &piece);
  for (unsigned i = 0; !error && i < found->segment_count; i++)
    if (find_piece(&piece, found, i))
      error = write_piece(recorder, &piece, recovery);
  if (!error && fsync(recorder->segments_fd) < 0)
    error = errno;
  return error;
}

static const char *read_ring(struct found *found, const struct gg_recorder *recorder, int fd, const char *name)
{
  struct stat status;
  if (fstat(fd, &status) < 0)
    return "it cannot be looked at";
  const char *wrong = check_file(&status);
  if (wrong)
    return wrong;
  struct gg__ring_header header;
  if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
    return "its header is not complete";
  wrong = check_header(&header, recorder, name, (uint64_t)status.st_size);
  if (!wrong)
    wrong = check_positions(found, &header);
  if (wrong || found->base == GG__RING_UNUSED)
    return wrong;
  return check_segments(found, &header);
}

/* Looked at before it is opened: opening other people's files may wait, or do something. NULL and *fd, or why not. */
static const char *open_ring(struct found *found, const struct gg_recorder *recorder, struct gg__ring_place place,
                             int *fd)
{
  struct stat status;
  if (fstatat(place.dir_fd, place.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
    return strerrordesc_np(errno);
  const char *wrong = check_file(&status);
  if (wrong)
    return wrong;
  *fd = openat(place.dir_fd, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (*fd < 0)
    return strerrordesc_np(errno);
  wrong = read_ring(found, recorder, *fd, place.name);
  if (wrong)
    close(*fd);
  return wrong;
}

int gg__recover_ring_owner(struct gg__ring_place place, unsigned *process, long *pid)
{
  struct stat status;
  if (fstatat(place.dir_fd, place.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
    return errno == ENOENT ? GG_ERR_NOT_FOUND : GG_ERR_FORMAT;
  if (check_file(&status))
    return GG_ERR_FORMAT;
  int fd = openat(place.dir_fd, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? GG_ERR_NOT_FOUND : GG_ERR_FORMAT;
  struct gg__ring_header header;
  bool complete = pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
                  memcmp(header.magic, GG__RING_MAGIC, sizeof header.magic) == 0;
  close(fd);
  if (!complete)
    return GG_ERR_FORMAT;
  *process = header.process;
  *pid = header.pid;
  return 0;
}

static int refuse(const struct gg_recorder *recorder, struct gg__ring_place place, const char *reason)
{
  gg_warn(recorder->logger, "a file that looks like a ring of this store is refused and left alone",
          GG_S("ring", place.name), GG_S("reason", reason));
  return 1;
}

bool gg__recover_ring_check(const struct gg_recorder *recorder, struct gg__ring_place place)
{
  int fd;
  struct found found = {0};
  const char *wrong = open_ring(&found, recorder, place, &fd);
  if (wrong)
    refuse(recorder, place, wrong);
  else
    close(fd);
  return !wrong;
}

int gg__recover_ring(struct gg_recorder *recorder, struct gg__ring_place place, struct gg_recovery *recovery,
                     struct gg_failure *failure)
{
  int fd;
  struct found found = {0};
  const char *wrong = open_ring(&found, recorder, place, &fd);
  if (wrong)
    return refuse(recorder, place, wrong);
  int error = 0;
  if (found.base != GG__RING_UNUSED && found.committed > found.written) {
    found.data = gg__ring_map(fd, found.header_bytes, (size_t)found.ring_bytes, 0);
    error = found.data ? write_pieces(recorder, &found, recovery) : ENOMEM;
    gg__ring_unmap(found.data, (size_t)found.ring_bytes);
    recovery->rings += error == 0;
  }
  close(fd);
  if (error == EBADMSG)
    return refuse(recorder, place, "it and the segments do not fit together");
  if (error)
    return gg_fail_errno(failure, error, "recovering %s/%s into %s/segments", place.dir, place.name, recorder->dir);
  return 0;
}

void gg__recover_ring_remove(struct gg__ring_place place)
{
  const uint64_t unused = GG__RING_UNUSED; /* for other names of it, as gg__ring_unlink does */
  int fd = openat(place.dir_fd, place.name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : pwrite(fd, &unused, sizeof unused, offsetof(struct gg__ring_header, base));
  (void)n; /* whether it went or not, this name goes */
  if (fd >= 0)
    close(fd);
  unlinkat(place.dir_fd, place.name, 0);
}
