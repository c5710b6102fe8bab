/* SPDX-License-Identifier: Apache-2.0 */
#include "store/frames.h"

#include "record/pcapng.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char own_comment[] = "{\"gogetway\"";

struct gg__frames {
  int fd;
  struct gg_pcapng_reader *reader;
  char *path;
  bool skims;
  bool packets_seen;
  bool scattered;
  uint64_t strangers;
  uint64_t damaged;
  struct gg_failure damage;
};

int gg__frames_open_yielding(struct gg__frames **out, const char *path, struct gg_failure *failure)
{
  *out = NULL;
  struct gg__frames *frames = calloc(1, sizeof *frames);
  if (!frames || !(frames->path = strdup(path))) {
    free(frames);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for reading %s", path);
  }
  struct stat status;
  /* A FIFO with a capture's name must not stop the listing of a folder. */
  frames->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  int error = 0;
  if (frames->fd < 0)
    error = gg_fail_errno(failure, errno, "cannot open %s", path);
  else if (fstat(frames->fd, &status) != 0)
    error = gg_fail_errno(failure, errno, "cannot look at %s", path);
  else if (!S_ISREG(status.st_mode))
    error = gg_fail(failure, GG_ERR_FORMAT, "%s is no regular file", path);
  else
    error = gg_pcapng_reader_open(&frames->reader, frames->fd, failure);
  if (error) {
    gg__frames_close(frames);
    return error;
  }
  *out = frames;
  return 0;
}

int gg__frames_open(struct gg__frames **out, const char *path, struct gg_failure *failure)
{
  int error = gg__frames_open_yielding(out, path, failure);
  if (!error)
    gg__frames_claim((*out)->fd);
  return error;
}

void gg__frames_claim(int fd)
{
  flock(fd, LOCK_SH | LOCK_NB);
}

void gg__frames_close(struct gg__frames *frames)
{
  if (!frames)
    return;
  gg_pcapng_reader_destroy(frames->reader);
  if (frames->fd >= 0)
    close(frames->fd);
  free(frames->path);
  free(frames);
}

int gg__frames_skim(struct gg__frames *frames, bool skim, struct gg_failure *failure)
{
  int error = gg_pcapng_reader_skim(frames->reader, skim);
  frames->skims = skim && !error;
  return error ? gg_fail(failure, error, "no memory for reading %s", frames->path) : 0;
}

/* Our comment may stand behind somebody's note. */
void gg__frame_comment(struct gg__frame *frame)
{
  const struct gg_pcapng_packet *packet = &frame->packet;
  frame->comment = packet->comment;
  frame->comment_bytes = packet->comment_bytes;
  if (!packet->comment || (packet->comment_bytes >= sizeof own_comment - 1 &&
                           memcmp(packet->comment, own_comment, sizeof own_comment - 1) == 0))
    return;
  const uint8_t *at = packet->options, *value;
  size_t left = packet->options_bytes;
  uint16_t code, bytes;
  while (gg_pcapng_option_next(&at, &left, packet->block.swapped, &code, &bytes, &value) == 1)
    if (code == GG_PCAPNG_OPT_COMMENT && bytes >= sizeof own_comment - 1 &&
        memcmp(value, own_comment, sizeof own_comment - 1) == 0) {
      frame->comment = (const char *)value;
      frame->comment_bytes = bytes;
      return;
    }
}

/* Whether all headers are among what is held of a packet, and a little of its payload: else it has to be read whole. */
static bool held_enough(struct gg__frame *frame)
{
  const struct gg_pcapng_packet *packet = &frame->packet;
  if (packet->held == packet->captured)
    return true;
  int error = gg_tcp_packet_parse(&frame->tcp, packet->link_type, packet->data, packet->held);
  if (error)
    return error == GG_ERR_UNSUPPORTED;
  return frame->tcp.payload + GG__FRAME_HELD <= packet->data + packet->held;
}

static int read_whole(struct gg__frames *frames, struct gg__frame *frame, struct gg_failure *failure)
{
  struct gg_pcapng_block block;
  gg_pcapng_reader_skim(frames->reader, false);
  int error = gg_pcapng_reader_seek(frames->reader, frame->packet.block.offset);
  if (!error)
    error = gg_pcapng_reader_next_block(frames->reader, &block, failure);
  if (!error)
    error = gg_pcapng_reader_packet(frames->reader, &block, &frame->packet, failure);
  gg_pcapng_reader_skim(frames->reader, true);
  return error;
}

/* GG_ERR_NOT_FOUND if it has no TCP packet. */
static int take_block(struct gg__frames *frames, const struct gg_pcapng_block *block, struct gg__frame *frame,
                      struct gg_failure *failure)
{
  if (block->type == GG_PCAPNG_SHB || block->type == GG_PCAPNG_IDB)
    frames->scattered |= frames->packets_seen;
  int error = gg_pcapng_reader_packet(frames->reader, block, &frame->packet, failure);
  if (!error && frames->skims && !held_enough(frame))
    error = read_whole(frames, frame, failure);
  if (error)
    return error;
  frames->packets_seen = true;
  const struct gg_pcapng_packet *packet = &frame->packet;
  error = gg_tcp_packet_parse(&frame->tcp, packet->link_type, packet->data, packet->captured);
  frames->strangers += error == GG_ERR_UNSUPPORTED;
  if (error)
    return GG_ERR_NOT_FOUND;
  gg__frame_comment(frame);
  return 0;
}

int gg__frames_feed(struct gg__frames *frames, const struct gg_pcapng_block *block, struct gg__frame *frame,
                    struct gg_failure *failure)
{
  int error = gg_pcapng_reader_feed(frames->reader, block, failure);
  return error ? error : take_block(frames, block, frame, failure);
}

/* One block; GG_ERR_NOT_FOUND if it has no TCP packet. */
static int next_block(struct gg__frames *frames, struct gg__frame *frame, struct gg_failure *failure)
{
  struct gg_pcapng_block block;
  int error = gg_pcapng_reader_next_block(frames->reader, &block, failure);
  if (error == GG_ERR_CORRUPT) /* it may be an interface, which later packets are of */
    frames->scattered |= frames->packets_seen;
  return error ? error : take_block(frames, &block, frame, failure);
}

static int tell(const struct gg__frames *frames, int error, const struct gg_failure *inner, struct gg_failure *failure)
{
  const char *hint = strstr(inner->message, "classic pcap") ? " (editcap -F pcapng converts it)" : "";
  return gg_fail(failure, error, "%s: %s%s", frames->path, inner->message, hint);
}

int gg__frames_next(struct gg__frames *frames, struct gg__frame *frame, struct gg_failure *failure)
{
  for (;;) { /* bounded by the file: every turn takes a block of it */
    struct gg_failure inner = GG_FAILURE_INIT;
    uint64_t before = gg_pcapng_reader_offset(frames->reader);
    int error = next_block(frames, frame, &inner);
    if (error == 0 || error == GG_ERR_AGAIN)
      return error;
    if (error == GG_ERR_NOT_FOUND)
      continue;
    bool stepped = error == GG_ERR_CORRUPT && gg_pcapng_reader_offset(frames->reader) > before;
    if (!stepped)
      return tell(frames, error, &inner, failure);
    frames->damaged++;
    tell(frames, error, &inner, &frames->damage);
  }
}

uint64_t gg__frames_offset(const struct gg__frames *frames)
{
  return gg_pcapng_reader_offset(frames->reader);
}

bool gg__frames_torn(const struct gg__frames *frames)
{
  return gg_pcapng_reader_torn(frames->reader);
}

const char *gg__frames_damage(const struct gg__frames *frames, uint64_t *blocks)
{
  if (blocks)
    *blocks = frames->damaged;
  return frames->damaged ? frames->damage.message : NULL;
}

uint64_t gg__frames_strangers(const struct gg__frames *frames)
{
  return frames->strangers;
}

bool gg__frames_scattered(const struct gg__frames *frames)
{
  return frames->scattered;
}

static int seek(struct gg__frames *frames, uint64_t offset, struct gg_failure *failure)
{
  int error = gg_pcapng_reader_seek(frames->reader, offset);
  return error ? gg_fail(failure, error, "cannot go to offset %llu of %s", (unsigned long long)offset, frames->path)
               : 0;
}

int gg__frames_jump(struct gg__frames *frames, uint64_t offset, bool scattered, struct gg_failure *failure)
{
  struct gg_pcapng_block block;
  struct gg_pcapng_packet packet;
  frames->scattered = scattered;
  while (gg_pcapng_reader_offset(frames->reader) < offset) {
    struct gg_failure inner = GG_FAILURE_INIT;
    uint64_t before = gg_pcapng_reader_offset(frames->reader);
    int error = gg_pcapng_reader_next_block(frames->reader, &block, &inner);
    bool stepped = error == GG_ERR_CORRUPT && gg_pcapng_reader_offset(frames->reader) > before;
    if (error == GG_ERR_AGAIN)
      return gg_fail(failure, GG_ERR_CORRUPT, "%s has become shorter", frames->path);
    if (error && !stepped)
      return tell(frames, error, &inner, failure);
    /* Names, keys, or a packet that cannot be read may stand before an interface. */
    bool is_packet = !error && gg_pcapng_reader_packet(frames->reader, &block, &packet, NULL) == 0;
    if (is_packet && !scattered)
      break;
  }
  frames->packets_seen = true;
  return seek(frames, offset, failure);
}

int gg__frames_skip(struct gg__frames *frames, uint64_t offset, struct gg_failure *failure)
{
  assert(frames->packets_seen && offset >= gg_pcapng_reader_offset(frames->reader));
  return frames->scattered ? 0 : seek(frames, offset, failure);
}
