/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing and meaning are two layers. `next_block` finds whole blocks: it trusts nothing but lengths that agree, and
 * keeps what later blocks need (byte order, interfaces). `packet` reads one block's meaning out of it.
 *
 *      buffer ─┬──────────────┬────────────────────────┬───────────────┐
 *              │ read already │ begin: unread bytes    │ end: room     │
 *              └──────────────┴────────────────────────┴───────────────┘
 *                             ^ file offset `offset`
 *
 * When the unread bytes hold no whole block, they move to the front and one read fills the room behind them: with the
 * blocks of a bulk recording that moves some three bytes in a hundred. Reads begin small, at the file's begin and
 * behind a jump, and double: who jumps from place to place in a large file reads little more than what is there.
 * Mapping the file instead would be no faster and turns a file that somebody truncates into SIGBUS.
 *
 * Who skims does not want what long packets carry. Of such a block only its beginning and its options are read, the
 * latter with the beginning of the next block, which is on the same page as a rule: a page is read for each packet,
 * wherever that is cheaper than reading on.
 *
 *      ┌────────┬─────────────────────────────┬─────────┬────────┬──────
 *      │ head   │ payload                     │ options │ head   │ ...
 *      └────────┴─────────────────────────────┴─────────┴────────┴──────
 *      ▲ kept     left out                     ▲ one read: the buffer has this now, `block_left` of it of this block
 */
#include "record/pcapng_reader.h"

#include "record/pcapng.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  BUFFER_BYTES = 1 << 20,
  READ_BYTES_FIRST = 64 << 10,
  INTERFACES_FIRST = 4,
  PAGE_BYTES = 4096,
  SKIM_TAIL_MAX = 4096,                                 /* a block with longer options is read whole */
  SKIM_KEPT = GG_PCAPNG_EPB_HEAD + GG_PCAPNG_SKIM_HEAD, /* of a block, in front of what is left out */
  SKIM_BUFFER_BYTES = 256 << 10,
};

struct interface {
  uint16_t link_type;
  uint8_t resolution; /* as in if_tsresol */
  uint32_t snaplen;   /* 0: no limit */
  int64_t offset_s;
};

struct gg_pcapng_reader {
  int fd; /* -1: memory */
  bool seekable;
  bool in_section;
  bool swapped;
  bool torn;             /* the last GG_ERR_AGAIN left an unfinished block */
  bool stuck;            /* framing is lost at `offset`; `stuck_failure` says why */
  uint8_t *owned;        /* the buffer; NULL for memory */
  const uint8_t *buffer; /* the same, or the memory */
  size_t buffer_bytes, begin, end;
  size_t read_bytes; /* of the next read, unless more is wanted */
  uint64_t offset;   /* of buffer[begin] in the file */
  struct interface *interfaces;
  size_t interface_count, interface_room;
  bool skims;
  uint8_t *skimmed;  /* a block without what is left out; NULL: never skimmed */
  size_t block_left; /* of the block just framed, what stands in the buffer from `begin` on */
  struct gg_failure stuck_failure;
};

static inline uint16_t load16(const uint8_t *at, bool swapped)
{
  uint16_t word;
  memcpy(&word, at, sizeof word);
  return swapped ? __builtin_bswap16(word) : word;
}

static inline uint32_t load32(const uint8_t *at, bool swapped)
{
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return swapped ? __builtin_bswap32(word) : word;
}

static inline uint64_t load64(const uint8_t *at, bool swapped)
{
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return swapped ? __builtin_bswap64(word) : word;
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg_pcapng_reader_open(struct gg_pcapng_reader **out, int fd, struct gg_failure *failure)
{
  struct gg_pcapng_reader *reader = calloc(1, sizeof *reader);
  uint8_t *buffer = malloc(BUFFER_BYTES);
  if (reader == NULL || buffer == NULL) {
    free(reader);
    free(buffer);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for reading a capture");
  }
  struct stat status;
  reader->fd = fd;
  if (fstat(fd, &status) != 0) {
    int error = gg_fail_errno(failure, errno, "cannot look at a capture");
    free(buffer);
    free(reader);
    return error;
  }
  reader->seekable = S_ISREG(status.st_mode);
  reader->owned = buffer;
  reader->buffer = buffer;
  reader->buffer_bytes = BUFFER_BYTES;
  reader->read_bytes = READ_BYTES_FIRST;
  if (reader->seekable)
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  *out = reader;
  return 0;
}

int gg_pcapng_reader_open_memory(struct gg_pcapng_reader **out, const void *data, size_t bytes,
                                 struct gg_failure *failure)
{
  struct gg_pcapng_reader *reader = calloc(1, sizeof *reader);
  if (reader == NULL)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for reading a capture");
  reader->fd = -1;
  reader->seekable = true;
  reader->buffer = data;
  reader->buffer_bytes = reader->end = bytes;
  *out = reader;
  return 0;
}

void gg_pcapng_reader_destroy(struct gg_pcapng_reader *reader)
{
  if (reader == NULL)
    return;
  free(reader->owned);
  free(reader->skimmed);
  free(reader->interfaces);
  free(reader);
}

uint64_t gg_pcapng_reader_offset(const struct gg_pcapng_reader *reader)
{
  return reader->offset;
}

bool gg_pcapng_reader_torn(const struct gg_pcapng_reader *reader)
{
  return reader->torn;
}

int gg_pcapng_reader_seek(struct gg_pcapng_reader *reader, uint64_t offset)
{
  if (!reader->seekable)
    return GG_ERR_UNSUPPORTED;
  uint64_t buffer_offset = reader->offset - reader->begin;
  if (offset >= buffer_offset && offset - buffer_offset <= reader->end) {
    reader->begin = (size_t)(offset - buffer_offset);
  } else if (reader->fd < 0) {
    return GG_ERR_RANGE;
  } else {
    reader->begin = reader->end = 0;
    reader->read_bytes = READ_BYTES_FIRST;
  }
  reader->offset = offset;
  reader->stuck = false;
  return 0;
}

int gg_pcapng_reader_skim(struct gg_pcapng_reader *reader, bool skim)
{
  if (reader->fd < 0 || !reader->seekable)
    return 0;
  if (skim && !reader->skimmed) {
    uint8_t *buffer = reader->offset == 0 && reader->end == 0 ? malloc(SKIM_BUFFER_BYTES) : NULL;
    reader->skimmed = malloc(SKIM_KEPT + SKIM_TAIL_MAX);
    if (reader->skimmed == NULL) {
      free(buffer);
      return GG_ERR_NOMEM;
    }
    if (buffer != NULL) { /* nothing was read yet: there will be many such readers */
      free(reader->owned);
      reader->owned = buffer;
      reader->buffer = buffer;
      reader->buffer_bytes = SKIM_BUFFER_BYTES;
    }
    reader->read_bytes = PAGE_BYTES;
    (void)posix_fadvise(reader->fd, 0, 0, POSIX_FADV_RANDOM); /* the kernel would read ahead what is left out */
  }
  reader->skims = skim;
  return 0;
}

/* ── Blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Makes room for `wanted` unread bytes in the buffer. */
static int make_room(struct gg_pcapng_reader *reader, size_t wanted, struct gg_failure *failure)
{
  size_t unread = reader->end - reader->begin;
  assert(wanted <= GG_PCAPNG_BLOCK_MAX);
  if (wanted > reader->buffer_bytes) {
    uint8_t *larger = malloc(wanted);
    if (larger == NULL)
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for a block of %zu bytes", wanted);
    memcpy(larger, reader->owned + reader->begin, unread);
    free(reader->owned);
    reader->owned = larger;
    reader->buffer = larger;
    reader->buffer_bytes = wanted;
  } else if (reader->begin != 0) {
    memmove(reader->owned, reader->owned + reader->begin, unread);
  }
  reader->begin = 0;
  reader->end = unread;
  return 0;
}

/* How much to read at `position`, if `wanted` are and there is room for `room`: the next time twice as much. Skimming,
 * a read ends where a page does. */
static size_t read_size(struct gg_pcapng_reader *reader, uint64_t position, size_t wanted, size_t room)
{
  size_t bytes = wanted > reader->read_bytes ? wanted : reader->read_bytes;
  size_t most = reader->skims ? SKIM_BUFFER_BYTES / 2 : BUFFER_BYTES;
  if (reader->skims) {
    uint64_t end = position + bytes + PAGE_BYTES - 1;
    bytes = (size_t)(end - end % PAGE_BYTES - position);
  }
  reader->read_bytes = reader->read_bytes < most ? reader->read_bytes * 2 : most;
  return bytes < room ? bytes : room;
}

/* Makes at least `wanted` unread bytes available. GG_ERR_AGAIN: there are fewer. */
static int fill(struct gg_pcapng_reader *reader, size_t wanted, struct gg_failure *failure)
{
  if (reader->end - reader->begin >= wanted)
    return 0;
  if (reader->fd < 0)
    return GG_ERR_AGAIN;
  if (reader->begin + wanted > reader->buffer_bytes || reader->begin == reader->end) {
    int error = make_room(reader, wanted, failure);
    if (error != 0)
      return error;
  }
  while (reader->end - reader->begin < wanted) {
    uint8_t *room = reader->owned + reader->end;
    size_t unread = reader->end - reader->begin;
    uint64_t position = reader->offset + unread;
    size_t bytes = read_size(reader, position, wanted - unread, reader->buffer_bytes - reader->end);
    ssize_t got = reader->seekable ? pread(reader->fd, room, bytes, (off_t)position) : read(reader->fd, room, bytes);
    if (got == 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)))
      return GG_ERR_AGAIN;
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return gg_fail_errno(failure, errno, "cannot read the capture at offset %" PRIu64, position);
    reader->end += (size_t)got;
  }
  return 0;
}

/* Framing is lost: says so now and in every later call. */
static int lose(struct gg_pcapng_reader *reader, int error, const char *what, struct gg_failure *failure)
{
  reader->stuck = true;
  reader->stuck_failure = (struct gg_failure)GG_FAILURE_INIT;
  gg_fail(&reader->stuck_failure, error, "%s at offset %" PRIu64, what, reader->offset);
  return gg_fail(failure, error, "%s", reader->stuck_failure.message);
}

static const char *foreign_format(uint32_t magic)
{
  switch (magic) {
  case 0xa1b2c3d4u:
  case 0xd4c3b2a1u:
  case 0xa1b23c4du:
  case 0x4d3cb2a1u:
    return "a classic pcap file, not pcapng: no section header";
  case 0xfd2fb528u:
  case 0x28b52ffdu:
    return "compressed with zstd: no section header";
  default:
    return (magic & 0xffffu) == 0x8b1fu ? "compressed with gzip: no section header"
                                        : "not a pcapng file: no section header";
  }
}

/* A section header's byte order has to be known before its length can be. */
static int read_order(struct gg_pcapng_reader *reader, bool *swapped, struct gg_failure *failure)
{
  int error = fill(reader, 12, failure);
  if (error != 0)
    return error;
  uint32_t order = load32(reader->buffer + reader->begin + 8, false);
  if (order != GG_PCAPNG_BYTE_ORDER && order != GG_PCAPNG_BYTE_ORDER_SWAPPED)
    return lose(reader, reader->in_section ? GG_ERR_CORRUPT : GG_ERR_FORMAT,
                "a section header without the byte-order magic", failure);
  *swapped = order == GG_PCAPNG_BYTE_ORDER_SWAPPED;
  return 0;
}

/* What is left of a long packet's block behind its payload, with the beginning of the next one if it is there. */
static int read_tail(struct gg_pcapng_reader *reader, uint64_t from, size_t tail, struct gg_failure *failure)
{
  size_t got = 0, wanted = tail + SKIM_KEPT + PAGE_BYTES - 1;
  wanted -= (from + wanted) % PAGE_BYTES;
  assert(wanted >= tail && wanted <= reader->buffer_bytes);
  reader->begin = reader->end = 0;
  while (got < tail) {
    ssize_t more = pread(reader->fd, reader->owned + got, wanted - got, (off_t)(from + got));
    if (more < 0 && errno == EINTR)
      continue;
    if (more < 0)
      return gg_fail_errno(failure, errno, "cannot read the capture at offset %" PRIu64, from + got);
    if (more == 0) {
      reader->end = 1; /* the block is torn: not that nothing of it is there */
      return GG_ERR_AGAIN;
    }
    got += (size_t)more;
  }
  reader->end = got;
  return 0;
}

/* A long packet's block of `bytes` without most of its payload. 0 with `*out` as it was: it is to be read whole. */
static int skim(struct gg_pcapng_reader *reader, uint32_t bytes, struct gg_pcapng_block *out,
                struct gg_failure *failure)
{
  int error = fill(reader, SKIM_KEPT, failure);
  if (error != 0)
    return error;
  const uint8_t *block = reader->buffer + reader->begin;
  uint32_t type = load32(block, reader->swapped), captured = load32(block + 20, reader->swapped);
  uint64_t before = GG_PCAPNG_EPB_HEAD + (uint64_t)gg_pcapng_pad(captured);
  if (before < SKIM_KEPT || before + 4 > bytes || bytes - before > SKIM_TAIL_MAX ||
      reader->end - reader->begin >= bytes)
    return 0;
  size_t tail = (size_t)(bytes - before);
  memcpy(reader->skimmed, block, SKIM_KEPT);
  error = read_tail(reader, reader->offset + before, tail, failure);
  if (error != 0)
    return error;
  if (load32(reader->buffer + tail - 4, reader->swapped) != bytes)
    return lose(reader, GG_ERR_CORRUPT, "a block whose two lengths differ", failure);
  memcpy(reader->skimmed + SKIM_KEPT, reader->buffer, tail);
  *out = (struct gg_pcapng_block){reader->offset, reader->skimmed, bytes,
                                  type,           reader->swapped, (uint32_t)(before - SKIM_KEPT)};
  reader->block_left = tail;
  reader->read_bytes = PAGE_BYTES;
  return 0;
}

/* Brings one whole block into the buffer, its lengths checked. */
static int frame(struct gg_pcapng_reader *reader, struct gg_pcapng_block *out, struct gg_failure *failure)
{
  bool swapped = reader->swapped;
  int error = fill(reader, reader->in_section ? 8 : 4, failure);
  if (error != 0)
    return error;
  uint32_t type = load32(reader->buffer + reader->begin, swapped);
  if (type != GG_PCAPNG_SHB && !reader->in_section)
    return lose(reader, GG_ERR_FORMAT, foreign_format(type), failure);
  if (type == GG_PCAPNG_SHB && (error = read_order(reader, &swapped, failure)) != 0)
    return error;
  uint32_t bytes = load32(reader->buffer + reader->begin + 4, swapped);
  if (bytes % 4 != 0 || bytes < (type == GG_PCAPNG_SHB ? 28 : GG_PCAPNG_BLOCK_MIN))
    return lose(reader, GG_ERR_CORRUPT, "a block with an impossible length", failure);
  if (bytes > GG_PCAPNG_BLOCK_MAX)
    return lose(reader, GG_ERR_CORRUPT, "a block longer than 16 MiB", failure);
  if (reader->skims && type == GG_PCAPNG_EPB && bytes >= GG_PCAPNG_SKIM_BYTES) {
    out->left_out = 0;
    if ((error = skim(reader, bytes, out, failure)) != 0 || out->left_out != 0)
      return error;
  }
  if ((error = fill(reader, bytes, failure)) != 0)
    return error;
  const uint8_t *data = reader->buffer + reader->begin;
  if (load32(data + bytes - 4, swapped) != bytes)
    return lose(reader, GG_ERR_CORRUPT, "a block whose two lengths differ", failure);
  *out = (struct gg_pcapng_block){reader->offset, data, bytes, type, swapped, 0};
  reader->block_left = bytes;
  return 0;
}

static int corrupt(const struct gg_pcapng_block *block, const char *what, struct gg_failure *failure)
{
  return gg_fail(failure, GG_ERR_CORRUPT, "%s at offset %" PRIu64, what, block->offset);
}

static int begin_section(struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                         struct gg_failure *failure)
{
  uint16_t major = load16(block->data + 12, block->swapped);
  if (major != 1)
    return lose(reader, GG_ERR_UNSUPPORTED, "a pcapng version other than 1", failure);
  reader->in_section = true;
  reader->swapped = block->swapped;
  reader->interface_count = 0;
  return 0;
}

static int add_interface(struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                         struct gg_failure *failure)
{
  if (reader->interface_count == GG_PCAPNG_INTERFACES_MAX)
    return corrupt(block, "more interfaces than the limit of 65536", failure);
  if (reader->interface_count == reader->interface_room) {
    size_t room = reader->interface_room == 0 ? INTERFACES_FIRST : 2 * reader->interface_room;
    struct interface *more = realloc(reader->interfaces, room * sizeof *more);
    if (more == NULL)
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for %zu interfaces", room);
    reader->interfaces = more;
    reader->interface_room = room;
  }
  /* Even a damaged one takes its number, or those behind it would be mistaken for it. */
  struct interface *interface = &reader->interfaces[reader->interface_count++];
  *interface = (struct interface){.resolution = 6};
  if (block->bytes < 20)
    return corrupt(block, "an interface block that is too short", failure);
  interface->link_type = load16(block->data + 8, block->swapped);
  interface->snaplen = load32(block->data + 12, block->swapped);

  const uint8_t *at = block->data + 16, *value;
  size_t left = block->bytes - 20;
  uint16_t code, bytes;
  int more;
  while ((more = gg_pcapng_option_next(&at, &left, block->swapped, &code, &bytes, &value)) == 1) {
    if (code == GG_PCAPNG_IF_TSRESOL && bytes >= 1)
      interface->resolution = value[0];
    else if (code == GG_PCAPNG_IF_TSOFFSET && bytes >= 8)
      interface->offset_s = (int64_t)load64(value, block->swapped);
  }
  return more == 0 ? 0 : corrupt(block, "an interface block with an option that does not fit", failure);
}

int gg_pcapng_reader_next_block(struct gg_pcapng_reader *reader, struct gg_pcapng_block *out,
                                struct gg_failure *failure)
{
  if (reader->stuck)
    return gg_fail(failure, reader->stuck_failure.code, "%s", reader->stuck_failure.message);
  int error = frame(reader, out, failure);
  if (error == GG_ERR_AGAIN) {
    reader->torn = reader->end != reader->begin;
    if (reader->fd >= 0 && reader->seekable)
      reader->end = reader->begin; /* recovery may replace an unfinished block: read it anew */
  }
  if (error != 0)
    return error;
  if (out->type == GG_PCAPNG_SHB && (error = begin_section(reader, out, failure)) != 0)
    return error;
  reader->begin += reader->block_left;
  reader->offset += out->bytes;
  return out->type == GG_PCAPNG_IDB ? add_interface(reader, out, failure) : 0;
}

int gg_pcapng_reader_feed(struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                          struct gg_failure *failure)
{
  if (reader->fd < 0 || !reader->seekable)
    return gg_fail(failure, GG_ERR_IO, "what follows a block can be read of a regular file only");
  reader->begin = reader->end = 0;
  reader->offset = block->offset;
  reader->stuck = false;
  int error = block->type == GG_PCAPNG_SHB ? begin_section(reader, block, failure) : 0;
  if (error != 0)
    return error;
  reader->offset += block->bytes;
  return block->type == GG_PCAPNG_IDB ? add_interface(reader, block, failure) : 0;
}

/* ── Packets ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg_pcapng_option_next(const uint8_t **at, size_t *left, bool swapped, uint16_t *code, uint16_t *bytes,
                          const uint8_t **value)
{
  if (*left < 4)
    return *left == 0 ? 0 : GG_ERR_CORRUPT;
  *code = load16(*at, swapped);
  *bytes = load16(*at + 2, swapped);
  *value = *at + 4;
  size_t padded = 4 + gg_pcapng_pad(*bytes);
  if (*code == GG_PCAPNG_OPT_END)
    return 0;
  if (padded > *left)
    return GG_ERR_CORRUPT;
  *at += padded;
  *left -= padded;
  return 1;
}

/* Ticks of an interface in nanoseconds since 1970; what does not fit saturates. */
static uint64_t to_ns(const struct interface *interface, uint64_t ticks)
{
  __extension__ typedef unsigned __int128 wide;
  __extension__ typedef __int128 wide_signed;
  if (interface->resolution == 9 && interface->offset_s == 0)
    return ticks;
  wide ns = ticks;
  unsigned exponent = interface->resolution & 0x7fu;
  if ((interface->resolution & 0x80u) != 0) {
    ns = ns * 1000000000u >> exponent; /* below 2^94; exponent is 127 at the most */
  } else {
    for (; exponent < 9; exponent++)
      ns *= 10;
    for (; exponent > 9 && ns != 0; exponent--)
      ns /= 10;
  }
  wide_signed all = (wide_signed)ns + (wide_signed)interface->offset_s * 1000000000;
  if (all < 0)
    return 0;
  return all > (wide_signed)UINT64_MAX ? UINT64_MAX : (uint64_t)all;
}

static int read_options(struct gg_pcapng_packet *packet, struct gg_failure *failure)
{
  const uint8_t *at = packet->options, *value;
  size_t left = packet->options_bytes;
  uint16_t code, bytes;
  int more;
  while ((more = gg_pcapng_option_next(&at, &left, packet->block.swapped, &code, &bytes, &value)) == 1) {
    if (code == GG_PCAPNG_OPT_COMMENT && packet->comment == NULL) {
      packet->comment = (const char *)value;
      packet->comment_bytes = bytes;
    } else if (code == GG_PCAPNG_EPB_FLAGS && bytes == 4) {
      uint32_t direction = load32(value, packet->block.swapped) & 3u;
      packet->direction = direction == 3 ? 0 : (uint8_t)direction;
    }
  }
  return more == 0 ? 0 : corrupt(&packet->block, "a packet with an option that does not fit", failure);
}

/* Takes the packet's `captured` bytes behind the first `head` ones; up to the last length, options follow. */
static int take_data(struct gg_pcapng_packet *packet, const struct gg_pcapng_block *block, uint32_t head,
                     struct gg_failure *failure)
{
  uint32_t body = block->bytes - head - 4;
  if (packet->captured > body)
    return corrupt(block, "a packet longer than its block", failure);
  packet->data = block->data + head;
  uint32_t padded = (uint32_t)gg_pcapng_pad(packet->captured);
  packet->options = packet->data + padded - block->left_out;
  packet->held = block->left_out != 0 ? GG_PCAPNG_SKIM_HEAD : packet->captured;
  packet->options_bytes = body - padded; /* body is a multiple of 4, so padded is not more */
  return 0;
}

static int read_packet(const struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                       struct gg_pcapng_packet *packet, struct gg_failure *failure)
{
  bool swapped = block->swapped;
  if (block->bytes < GG_PCAPNG_EPB_HEAD + 4)
    return corrupt(block, "a packet block that is too short", failure);
  packet->interface = block->type == GG_PCAPNG_PB ? load16(block->data + 8, swapped) : load32(block->data + 8, swapped);
  if (packet->interface >= reader->interface_count)
    return corrupt(block, "a packet of an interface that was not described", failure);
  const struct interface *interface = &reader->interfaces[packet->interface];
  uint64_t ticks = (uint64_t)load32(block->data + 12, swapped) << 32 | load32(block->data + 16, swapped);
  packet->link_type = interface->link_type;
  packet->time_ns = to_ns(interface, ticks);
  packet->has_time = true;
  packet->captured = load32(block->data + 20, swapped);
  packet->original = load32(block->data + 24, swapped);
  int error = take_data(packet, block, GG_PCAPNG_EPB_HEAD, failure);
  return error != 0 ? error : read_options(packet, failure);
}

static int read_simple_packet(const struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                              struct gg_pcapng_packet *packet, struct gg_failure *failure)
{
  enum { HEAD = 12 };
  if (block->bytes < HEAD + 4)
    return corrupt(block, "a packet block that is too short", failure);
  if (reader->interface_count == 0)
    return corrupt(block, "a packet of an interface that was not described", failure);
  const struct interface *interface = &reader->interfaces[0];
  packet->link_type = interface->link_type;
  packet->original = load32(block->data + 8, block->swapped);
  packet->captured = packet->original;
  if (interface->snaplen != 0 && packet->captured > interface->snaplen)
    packet->captured = interface->snaplen;
  int error = take_data(packet, block, HEAD, failure);
  packet->options_bytes = 0; /* it has none */
  return error;
}

int gg_pcapng_reader_packet(const struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                            struct gg_pcapng_packet *out, struct gg_failure *failure)
{
  *out = (struct gg_pcapng_packet){.block = *block};
  switch (block->type) {
  case GG_PCAPNG_EPB:
  case GG_PCAPNG_PB:
    return read_packet(reader, block, out, failure);
  case GG_PCAPNG_SPB:
    return read_simple_packet(reader, block, out, failure);
  default:
    return GG_ERR_NOT_FOUND;
  }
}

int gg_pcapng_reader_next(struct gg_pcapng_reader *reader, struct gg_pcapng_packet *out, struct gg_failure *failure)
{
  struct gg_pcapng_block block;
  for (;;) { /* bounded by the file: every turn takes a block of it */
    int error = gg_pcapng_reader_next_block(reader, &block, failure);
    if (error == 0)
      error = gg_pcapng_reader_packet(reader, &block, out, failure);
    if (error != GG_ERR_NOT_FOUND)
      return error;
  }
}
