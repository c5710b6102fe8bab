/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sink.h"

#include "base/clock.h"
#include "record/packet.h"
#include "record/pcapng.h"
#include "record/section.h"
#include "store/bounds.h"
#include "store/frames.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  BUFFER_BYTES = 1 << 20,
  PIECE_MAX = 32 << 10,  /* payload of one packet where a longer one is cut */
  COMMENT_MAX = 4 << 10, /* longer comments are somebody's and left out */
  BUILT_MAX = PIECE_MAX + COMMENT_MAX + 512,
  RECORD_MAX = GG_PCAPNG_EPB_LIMIT + 512, /* bytes of one, at the most */
  LOOK_MS = 100,                          /* how often a flush that waits looks whether it is to stop */
  PCAP_MAGIC_NS = (int)0xa1b23c4d,
};

struct gg__sink {
  int fd;
  const char *name;
  enum gg_export_format format;
  unsigned mtu;
  int error;
  size_t used;
  uint64_t bytes, packets;
  const atomic_bool *stop; /* NULL: nobody stops it */
  size_t piece;            /* with `stop`: so many bytes are written without waiting when poll(2) says so */
  uint8_t buffer[BUFFER_BYTES];
  uint8_t built[BUILT_MAX];
};

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Returns how many of the buffer's bytes behind `done` were written; 0: try again, or sink->error. */
static size_t write_some(struct gg__sink *sink, size_t done, size_t most, struct gg_failure *failure)
{
  size_t left = sink->used - done;
  ssize_t written = write(sink->fd, sink->buffer + done, left < most ? left : most);
  if (written >= 0)
    return (size_t)written;
  if (errno == EPIPE)
    sink->error = gg_fail(failure, GG_ERR_CLOSED, "nobody reads %s any more", sink->name);
  else if (errno != EINTR)
    sink->error = gg_fail_errno(failure, errno, "cannot write to %s", sink->name);
  return 0;
}

/* The first end of a record of the buffer that is not before `at`. */
static size_t record_end(const struct gg__sink *sink, size_t at)
{
  size_t end = 0;
  while (end < at) {
    uint32_t length;
    memcpy(&length, sink->buffer + end + 4, sizeof length);
    end += length;
  }
  assert(end <= sink->used);
  return end;
}

/* A signal may come at any moment, also between a look at `stop` and a write that would then wait without end. So no
 * write waits: poll(2) does, and only for LOOK_MS. */
static void flush_stoppable(struct gg__sink *sink, struct gg_failure *failure)
{
  bool cut = false; /* behind the record that is being written: the rest is not */
  int waited_ms = 0;
  for (size_t done = 0; !sink->error && done < sink->used;) {
    bool stopping = atomic_load(sink->stop);
    struct pollfd out = {.fd = sink->fd, .events = POLLOUT};
    if (poll(&out, 1, stopping && !cut ? 0 : LOOK_MS) > 0) {
      done += write_some(sink, done, sink->piece, failure);
      waited_ms = 0; /* who takes something has all the patience again */
    } else if (cut) {
      waited_ms += LOOK_MS;
    } else if (stopping) {
      sink->used = record_end(sink, done);
      cut = true;
    }
    if ((uint64_t)waited_ms * GG_NS_PER_MS >= GG_TAIL_PATIENCE_NS)
      sink->error =
        gg_fail(failure, GG_ERR_TIMEOUT, "who reads %s takes nothing; the last packet there is cut short", sink->name);
  }
}

int gg__sink_flush(struct gg__sink *sink, struct gg_failure *failure)
{
  if (sink->stop)
    flush_stoppable(sink, failure);
  else
    for (size_t done = 0; !sink->error && done < sink->used;)
      done += write_some(sink, done, SIZE_MAX, failure);
  sink->used = 0;
  return sink->error;
}

/* Before each record: the buffer has whole ones only, so that a flush can end behind any of them. */
static void make_room(struct gg__sink *sink, struct gg_failure *failure)
{
  if (BUFFER_BYTES - sink->used < RECORD_MAX)
    gg__sink_flush(sink, failure);
}

static int put(struct gg__sink *sink, const void *data, size_t length)
{
  sink->bytes += length;
  if (sink->error)
    return sink->error;
  assert(length <= BUFFER_BYTES - sink->used);
  if (length > 0)
    memcpy(sink->buffer + sink->used, data, length);
  sink->used += length;
  return 0;
}

/* ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int put_head(struct gg__sink *sink)
{
  uint8_t head[GG_SECTION_HEADER_MAX + GG_SECTION_INTERFACE_MAX];
  if (sink->format == GG_EXPORT_PCAPNG) {
    size_t length = gg_section_header(head, "gogetway", NULL, NULL);
    length += gg_section_interface(head + length, NULL);
    return put(sink, head, length);
  }
  const struct {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, accuracy, snaplen, link;
  } pcap = {(uint32_t)PCAP_MAGIC_NS, 2, 4, 0, 0, GG_PCAPNG_SNAPLEN, GG_LINK_ETHERNET};
  return put(sink, &pcap, sizeof pcap);
}

struct record {
  uint64_t time_ns;
  const uint8_t *data;
  uint32_t captured, original;
  const char *comment;
  size_t comment_bytes;
  bool outbound;
};

static int put_pcap(struct gg__sink *sink, const struct record *record)
{
  const uint32_t head[4] = {(uint32_t)(record->time_ns / 1000000000u), (uint32_t)(record->time_ns % 1000000000u),
                            record->captured, record->original};
  put(sink, head, sizeof head);
  return put(sink, record->data, record->captured);
}

static int put_epb(struct gg__sink *sink, const struct record *record)
{
  static const uint8_t zeros[4] = {0};
  size_t data = gg_pcapng_pad(record->captured), comment = gg_pcapng_pad(record->comment_bytes);
  uint32_t length = (uint32_t)(GG_PCAPNG_EPB_HEAD + data + (comment ? 4 + comment : 0) + 8 + 4 + 4);
  const uint32_t head[7] = {
    GG_PCAPNG_EPB,    length,          0, (uint32_t)(record->time_ns >> 32), (uint32_t)record->time_ns,
    record->captured, record->original};
  const uint16_t comment_head[2] = {GG_PCAPNG_OPT_COMMENT, (uint16_t)record->comment_bytes};
  const struct {
    uint16_t code, bytes;
    uint32_t flags;
    uint32_t end;
    uint32_t length;
  } tail = {GG_PCAPNG_EPB_FLAGS, 4, record->outbound ? GG_PCAPNG_OUTBOUND : GG_PCAPNG_INBOUND, 0, length};
  put(sink, head, sizeof head);
  put(sink, record->data, record->captured);
  put(sink, zeros, data - record->captured);
  if (comment) {
    put(sink, comment_head, sizeof comment_head);
    put(sink, record->comment, record->comment_bytes);
    put(sink, zeros, comment - record->comment_bytes);
  }
  return put(sink, &tail, sizeof tail);
}

static int put_record(struct gg__sink *sink, const struct record *record, struct gg_failure *failure)
{
  sink->packets++;
  make_room(sink, failure);
  return sink->format == GG_EXPORT_PCAPNG ? put_epb(sink, record) : put_pcap(sink, record);
}

/* A packet built by the encoder of recordings: its frame is taken out of the block. `payload` is copied. */
static int put_built(struct gg__sink *sink, const struct gg_packet *packet, const uint8_t *payload,
                     struct gg_failure *failure)
{
  if (payload && packet->payload_bytes > 0)
    memcpy(sink->built + gg_packet_payload_offset(packet->ipv6), payload, packet->payload_bytes);
  size_t length = gg_packet_write(sink->built, packet);
  assert(length <= sizeof sink->built);
  struct record record = {.time_ns = packet->time_ns,
                          .data = sink->built + GG_PCAPNG_EPB_HEAD,
                          .comment = packet->comment,
                          .comment_bytes = packet->comment_bytes,
                          .outbound = packet->outbound};
  memcpy(&record.captured, sink->built + 20, sizeof record.captured);
  record.original = record.captured;
  return put_record(sink, &record, failure);
}

/* ── Frames ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The bytes of the IP packet, as far as they are here. */
static size_t ip_bytes(const struct gg__frame *frame)
{
  return (size_t)(frame->tcp.payload - frame->tcp.ip) + frame->tcp.payload_bytes;
}

static struct gg_packet packet_of(const struct gg__frame *frame, bool outbound)
{
  bool has_comment = frame->comment && frame->comment_bytes <= COMMENT_MAX;
  return (struct gg_packet){
    .from = &frame->tcp.from,
    .to = &frame->tcp.to,
    .time_ns = frame->packet.time_ns,
    .sequence = frame->tcp.sequence,
    .acknowledged = frame->tcp.acknowledged,
    .comment = has_comment ? frame->comment : NULL,
    .comment_bytes = has_comment ? (uint32_t)frame->comment_bytes : 0,
    .flags = frame->tcp.flags & (GG_TCP_FIN | GG_TCP_SYN | GG_TCP_RST | GG_TCP_PSH | GG_TCP_ACK),
    .outbound = outbound,
    .ipv6 = frame->tcp.from.family == GG_FAMILY_IPV6 || frame->tcp.to.family == GG_FAMILY_IPV6,
  };
}

/* What ends a packet stands on the last of its pieces, what is said in front of it on the first. */
static int put_pieces(struct gg__sink *sink, const struct gg__frame *frame, bool outbound, struct gg_failure *failure)
{
  struct gg_packet packet = packet_of(frame, outbound);
  size_t headers = packet.ipv6 ? 60 : 40, left = frame->tcp.payload_bytes;
  size_t piece = sink->mtu && sink->mtu - headers < PIECE_MAX ? sink->mtu - headers : PIECE_MAX;
  uint8_t last_flags = packet.flags;
  const uint8_t *payload = frame->tcp.payload;
  if (packet.flags & GG_TCP_SYN) /* its payload, if any, is sent again where the option is not known */
    left = 0;
  int error = 0;
  do {
    size_t bytes = left < piece ? left : piece;
    packet.payload_bytes = (uint32_t)bytes;
    packet.flags = bytes == left ? last_flags : last_flags & ~(GG_TCP_FIN | GG_TCP_PSH | GG_TCP_RST) & 0xff;
    error = put_built(sink, &packet, payload, failure);
    packet.sequence += (uint32_t)bytes;
    packet.comment = NULL;
    packet.comment_bytes = 0;
    payload += bytes;
    left -= bytes;
  } while (left > 0 && !error);
  return error;
}

int gg__sink_frame(struct gg__sink *sink, const struct gg__frame *frame, bool outbound, struct gg_failure *failure)
{
  const struct gg_pcapng_packet *packet = &frame->packet;
  bool fits =
    packet->captured + frame->comment_bytes + 64 <= GG_PCAPNG_EPB_LIMIT && (!sink->mtu || ip_bytes(frame) <= sink->mtu);
  if (packet->link_type != GG_LINK_ETHERNET || !fits)
    return put_pieces(sink, frame, outbound, failure);
  struct record record = {.time_ns = packet->time_ns,
                          .data = packet->data,
                          .captured = packet->captured,
                          .original = packet->original,
                          .comment = frame->comment,
                          .comment_bytes = frame->comment ? frame->comment_bytes : 0,
                          .outbound = outbound};
  return put_record(sink, &record, failure);
}

int gg__sink_handshake(struct gg__sink *sink, const struct gg__frame *frame, bool outbound, struct gg_failure *failure)
{
  struct gg_packet packet = packet_of(frame, false);
  uint32_t own = frame->tcp.sequence, others = frame->tcp.flags & GG_TCP_ACK ? frame->tcp.acknowledged : 1;
  uint32_t client = outbound ? others : own, server = outbound ? own : others;
  const struct gg_addr *ends[2] = {outbound ? &frame->tcp.to : &frame->tcp.from,
                                   outbound ? &frame->tcp.from : &frame->tcp.to};
  const struct {
    uint8_t flags, side;
    uint32_t sequence, acknowledged;
  } steps[3] = {
    {GG_TCP_SYN, 0, client - 1, 0}, {GG_TCP_SYN | GG_TCP_ACK, 1, server - 1, client}, {GG_TCP_ACK, 0, client, server}};
  int error = 0;
  for (size_t i = 0; i < 3 && !error; i++) {
    packet.from = ends[steps[i].side];
    packet.to = ends[!steps[i].side];
    packet.outbound = steps[i].side;
    packet.flags = steps[i].flags;
    packet.sequence = steps[i].sequence;
    packet.acknowledged = steps[i].acknowledged;
    error = put_built(sink, &packet, NULL, failure);
    packet.comment = NULL;
    packet.comment_bytes = 0;
  }
  return error;
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__sink_create(struct gg__sink **out, int fd, const char *name, enum gg_export_format format, unsigned mtu,
                    struct gg_failure *failure)
{
  assert(format == GG_EXPORT_PCAPNG || format == GG_EXPORT_PCAP);
  *out = NULL;
  struct gg__sink *sink = malloc(sizeof *sink);
  if (!sink)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for writing %s", name);
  sink->fd = fd;
  sink->name = name;
  sink->format = format;
  sink->mtu = mtu;
  sink->error = 0;
  sink->used = 0;
  sink->bytes = sink->packets = 0;
  sink->stop = NULL;
  *out = sink;
  return put_head(sink);
}

void gg__sink_stop_by(struct gg__sink *sink, const atomic_bool *stop)
{
  struct stat status;
  assert(sink->format == GG_EXPORT_PCAPNG);
  sink->stop = stop;
  /* A pipe that has room has it for PIPE_BUF bytes. */
  sink->piece = fstat(sink->fd, &status) == 0 && S_ISREG(status.st_mode) ? SIZE_MAX : PIPE_BUF;
}

void gg__sink_destroy(struct gg__sink *sink)
{
  free(sink);
}

uint64_t gg__sink_bytes(const struct gg__sink *sink)
{
  return sink->bytes;
}

uint64_t gg__sink_packets(const struct gg__sink *sink)
{
  return sink->packets;
}
