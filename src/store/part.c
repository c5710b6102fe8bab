/* SPDX-License-Identifier: Apache-2.0 */
#include "store/part.h"

#include "net/community_id.h"
#include "record/packet.h"
#include "record/pcapng.h"
#include "store/capture.h"
#include "store/extents.h"
#include "store/facts.h"
#include "store/frames.h"
#include "store/record.h"
#include "store/xxh.h"

#include <stdio.h>
#include <string.h>

/* ── Whose packet ────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool addr_equal(const struct gg_addr *a, const struct gg_addr *b)
{
  return memcmp(a, b, sizeof *a) == 0;
}

bool gg__part_joins(const struct gg__part *part, const struct gg_addr *a, const struct gg_addr *b)
{
  return (addr_equal(&part->end[0], a) && addr_equal(&part->end[1], b)) ||
         (addr_equal(&part->end[0], b) && addr_equal(&part->end[1], a));
}

int gg__part_side(const struct gg__part *part, const struct gg__frame *frame)
{
  if (!gg__part_joins(part, &frame->tcp.from, &frame->tcp.to))
    return -1;
  if (addr_equal(&part->end[0], &part->end[1])) /* only what is marked tells who speaks */
    return frame->packet.direction == GG_PCAPNG_OUTBOUND;
  return addr_equal(&frame->tcp.from, &part->end[0]) ? 0 : 1;
}

bool gg__part_replaced(const struct gg__part *part, const struct gg__frame *frame, const struct gg__facts *facts)
{
  if (facts && facts->id[0])
    return strcmp(part->id, facts->id) != 0;
  bool syn = (frame->tcp.flags & (GG_TCP_SYN | GG_TCP_ACK)) == GG_TCP_SYN;
  return syn && !(part->begins && part->initial == frame->tcp.sequence);
}

/* ── Making one ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void make_id(char id[25], const char *name, uint64_t offset)
{
  XXH128_canonical_t hash;
  char key[512];
  int length = snprintf(key, sizeof key, "%s@%llu", name, (unsigned long long)offset);
  size_t bytes = (size_t)length < sizeof key ? (size_t)length : sizeof key - 1;
  XXH128_canonicalFromHash(&hash, XXH3_128bits(key, bytes));
  for (size_t i = 0; i < 12; i++)
    snprintf(id + 2 * i, 3, "%02x", hash.digest[i]);
}

/* Whether the packet came from the client. Without a mark or a SYN the lower port is taken for the server's. */
static bool from_client(const struct gg__frame *frame, const struct gg__facts *facts)
{
  if (facts && frame->packet.direction)
    return frame->packet.direction == GG_PCAPNG_INBOUND;
  if (frame->tcp.flags & GG_TCP_SYN)
    return !(frame->tcp.flags & GG_TCP_ACK);
  return frame->tcp.from.port >= frame->tcp.to.port;
}

void gg__part_begin(struct gg__part *part, const char *name, const struct gg__frame *frame,
                    const struct gg__facts *facts)
{
  bool client = from_client(frame, facts);
  *part = (struct gg__part){.first_offset = frame->packet.block.offset,
                            .start_ns = frame->packet.time_ns,
                            .end_ns = frame->packet.time_ns,
                            .foreign = facts == NULL};
  part->end[0] = client ? frame->tcp.from : frame->tcp.to;
  part->end[1] = client ? frame->tcp.to : frame->tcp.from;
  part->client = part->server = part->listener = part->upstream = part->server_path = "";
  part->close = part->why = part->original = part->as_sent_of = "";
  part->verdict = part->verdict_by = part->tags = "";
  if (facts && facts->id[0])
    memcpy(part->id, facts->id, sizeof part->id);
  else
    make_id(part->id, name, frame->packet.block.offset);
  if (facts && facts->continued) {
    part->continued = true;
    memcpy(part->offset, facts->offset, sizeof part->offset);
  }
  if (part->foreign && !client)
    gg__history_mark(&part->history, 0, GG__FLIPPED);
}

void gg__part_fini(struct gg__part *part)
{
  gg__stream_fini(&part->stream[0]);
  gg__stream_fini(&part->stream[1]);
  gg__extents_free(part);
}

int gg__part_take_facts(struct gg__part *part, const struct gg__facts *facts, gg__keep_fn keep, void *context)
{
  if (facts->id[0]) {
    part->client = keep(context, GG__TEXT_CLIENT, facts->client);
    part->server = keep(context, GG__TEXT_SERVER, facts->server);
    part->listener = keep(context, GG__TEXT_LISTENER, facts->listener);
    part->upstream = keep(context, GG__TEXT_UPSTREAM, facts->upstream);
    part->server_path = keep(context, GG__TEXT_SERVER_PATH, facts->server_path);
    part->original = keep(context, GG__TEXT_ORIGINAL, facts->original);
    part->as_sent_of = keep(context, GG__TEXT_AS_SENT_OF, facts->as_sent_of);
    part->gateway = facts->gateway;
  }
  if (facts->close[0]) {
    part->close = keep(context, GG__TEXT_CLOSE, facts->close);
    part->why = keep(context, GG__TEXT_WHY, facts->why);
    part->verdict = keep(context, GG__TEXT_VERDICT, facts->verdict);
    part->verdict_by = keep(context, GG__TEXT_VERDICT_BY, facts->verdict_by);
    part->tags = keep(context, GG__TEXT_TAGS, facts->tags);
    part->closed = true;
    part->counted = facts->has_counts && facts->has_forwarded;
    memcpy(part->received, facts->received, sizeof part->received);
    memcpy(part->forwarded, facts->forwarded, sizeof part->forwarded);
    memcpy(part->closing_gaps, facts->gaps, sizeof part->closing_gaps);
    memcpy(part->masked, facts->masked, sizeof part->masked);
  }
  const char **const texts[GG__TEXTS] = {&part->client,      &part->server,  &part->listener,   &part->upstream,
                                         &part->server_path, &part->close,   &part->why,        &part->original,
                                         &part->as_sent_of,  &part->verdict, &part->verdict_by, &part->tags};
  int error = 0;
  for (size_t i = 0; i < GG__TEXTS; i++)
    if (!*texts[i]) {
      *texts[i] = "";
      error = GG_ERR_NOMEM;
    }
  return error;
}

static void note_flags(struct gg__part *part, int side, const struct gg__frame *frame)
{
  if ((frame->tcp.flags & (GG_TCP_SYN | GG_TCP_ACK)) == GG_TCP_SYN && side == 0) {
    part->begins = true;
    part->initial = frame->tcp.sequence;
  }
  if (frame->tcp.flags & GG_TCP_FIN)
    part->seen |= (uint8_t)(side == 0 ? GG__PART_FIN_CLIENT : GG__PART_FIN_SERVER);
  if (frame->tcp.flags & GG_TCP_RST) {
    part->seen |= GG__PART_RST;
    if (part->foreign && !part->close[0])
      part->close = side == 0 ? "client-reset" : "server-reset";
  }
  if (part->foreign && (part->seen & 3) == 3 && !part->close[0])
    part->close = side == 0 ? "server-fin" : "client-fin"; /* named by who ended first */
}

/* Whether a packet has no byte that is new. One that comes late to fill a hole is taken for such a one, too. */
static bool is_again(const struct gg__stream *stream, const struct gg__frame *frame)
{
  uint32_t length = frame->tcp.payload_bytes + frame->tcp.missing_bytes;
  if (!stream->begun || length == 0 || (frame->tcp.flags & (GG_TCP_SYN | GG_TCP_RST)))
    return false;
  return (int32_t)(frame->tcp.sequence + length - gg__stream_end(stream)) <= 0;
}

void gg__part_note(struct gg__part *part, int side, const struct gg__frame *frame)
{
  part->packets[side]++;
  gg__extents_note(part, frame->packet.block.offset, frame->packet.block.bytes);
  if (frame->packet.time_ns > part->end_ns)
    part->end_ns = frame->packet.time_ns;
  if (frame->packet.time_ns < part->start_ns)
    part->start_ns = frame->packet.time_ns;
  note_flags(part, side, frame);
  gg__history_packet(&part->history, side, &frame->tcp);
  if (part->foreign && is_again(&part->stream[side], frame)) /* our own recordings have nothing twice */
    gg__history_mark(&part->history, side, GG__TWICE);
}

/* What a scan needs of a payload: only the first bytes of a stream are kept. */
static const uint8_t *counted(const struct gg__part *part, int side, const struct gg__frame *frame, uint32_t sequence)
{
  const struct gg__stream *stream = &part->stream[side];
  uint64_t at = part->offset[side] + stream->offset;
  if (__builtin_expect(at >= sizeof part->first[side], 1))
    return NULL;
  int32_t ahead = stream->begun ? (int32_t)(sequence - stream->next) : 0;
  return ahead < (int32_t)(sizeof part->first[side] - at) ? frame->tcp.payload : NULL;
}

int gg__part_push(struct gg__part *part, int side, const struct gg__frame *frame, uint64_t gap, bool counting,
                  gg__stream_fn out, void *context)
{
  struct gg__stream *stream = &part->stream[side];
  uint32_t sequence = frame->tcp.sequence;
  if (frame->tcp.flags & GG_TCP_SYN) {
    sequence++;
    gg__stream_begin(stream, sequence);
  }
  int error = gap ? gg__stream_gap(stream, sequence, gap, out, context) : 0;
  if (error)
    return error;
  if (frame->tcp.flags & GG_TCP_FIN)
    gg__stream_fin(stream, sequence + frame->tcp.payload_bytes + frame->tcp.missing_bytes);
  const uint8_t *data = counting ? counted(part, side, frame, sequence) : frame->tcp.payload;
  uint32_t bytes = frame->tcp.payload_bytes;
  if (bytes > 0) /* where it goes on in a further segment, nothing has begun it yet */
    gg__stream_begin(stream, sequence);
  bool in_order = stream->begun && stream->next == sequence && stream->held_count == 0;
  if (in_order && frame->tcp.missing_bytes == 0) {
    struct gg__run run = {.offset = stream->offset, .data = data, .length = bytes};
    stream->next += bytes;
    stream->offset += bytes;
    return bytes ? out(context, &run) : 0;
  }
  if (frame->packet.held < frame->packet.captured)
    data = NULL; /* most of it is not here: nothing of it can be kept until its turn comes */
  return gg__stream_push(stream, sequence, data, bytes, bytes + frame->tcp.missing_bytes, out, context);
}

void gg__part_take_run(struct gg__part *part, int side, const struct gg__run *run)
{
  uint8_t *length = &part->first_length[side];
  part->bytes[side] += run->length;
  part->gaps[side] += run->gap;
  if (run->gap)
    gg__history_mark(&part->history, side, GG__GAP);
  if (!run->data || run->offset != *length || part->offset[side] + *length >= sizeof part->first[side])
    return;
  size_t room = sizeof part->first[side] - (size_t)part->offset[side] - *length;
  size_t bytes = run->length < room ? run->length : room;
  memcpy(part->first[side] + *length, run->data, bytes);
  *length = (uint8_t)(*length + bytes);
}

/* Time stamps tell least of all: each segment has its own idea of how far CLOCK_MONOTONIC is from UTC, and between two
 * segments the wall clock may have been set back. A store's names stand in the order in which segments began. */
bool gg__part_is_first(const struct gg__part *part)
{
  return (part->stands_for ? part->stands_for : part) == part->record->parts;
}

bool gg__part_before(const struct gg__part *a, const struct gg__part *b)
{
  int by_name = strcmp(a->capture->name, b->capture->name);
  if (by_name == 0)
    return a->first_offset < b->first_offset;
  if (a->begins != b->begins && !(a->continued && b->continued))
    return a->begins;
  for (int side = 0; a->continued && b->continued && side < 2; side++)
    if (a->offset[side] != b->offset[side])
      return a->offset[side] < b->offset[side];
  bool by_time = a->start_ns != b->start_ns && !(a->capture->own && b->capture->own);
  return by_time ? a->start_ns < b->start_ns : by_name < 0;
}

/* ── A session from its parts ────────────────────────────────────────────────────────────────────────────────────── */

static void put_address(char text[64], const char *told, const struct gg_addr *addr)
{
  if (told[0] && strlen(told) < 64)
    memcpy(text, told, strlen(told) + 1);
  else
    gg_addr_format(addr, text, 64);
}

void gg__session_begin(struct gg_session *session, const struct gg__part *first)
{
  put_address(session->client, first->client, &first->end[0]);
  put_address(session->server, first->server, &first->end[1]);
  session->listener = session->upstream = session->close = session->why = session->original = "";
  session->server_path = session->as_sent_of = "";
  session->protocol = session->verdict = session->verdict_by = "";
  gg_community_id(session->community_id[0], &first->end[0], &first->end[1]);
  session->start_ns = first->start_ns;
  session->foreign = first->foreign;
  session->beginning_missing = !first->begins || first->continued;
}

/* A connection to no address in particular is one to this host. */
static void settle_address(struct gg_addr *addr)
{
  static const uint8_t none[16];
  if (memcmp(addr->ip, none, sizeof none) != 0)
    return;
  if (addr->family == GG_FAMILY_IPV4) {
    addr->ip[0] = 127;
    addr->ip[3] = 1;
  } else {
    addr->ip[15] = 1;
  }
}

static void add_upstream(struct gg_session *session, const struct gg__part *part)
{
  struct gg_addr upstream;
  session->upstream = part->upstream[0] ? part->upstream : session->upstream;
  if (part->gateway.family == GG_FAMILY_NONE || gg_addr_parse(&upstream, part->upstream) != 0)
    return;
  settle_address(&upstream);
  gg_community_id(session->community_id[1], &part->gateway, &upstream);
}

/* The part's first bytes, if they follow those that are known. */
static void add_first(struct gg_session *session, const struct gg__part *part, int side, uint64_t told)
{
  uint8_t *length = &session->first_length[side];
  if (*length != told || *length >= sizeof session->first[side])
    return;
  size_t room = sizeof session->first[side] - *length;
  size_t bytes = part->first_length[side] < room ? part->first_length[side] : room;
  memcpy(session->first[side] + *length, part->first[side], bytes);
  *length = (uint8_t)(*length + bytes);
}

static void add_gap_letter(struct gg_session *session, int side)
{
  if (session->gaps[side] > 0)
    gg__history_join(session->history, side == 0 ? "G" : "g");
}

/* Its history so far, and what that makes of it. */
static void conclude(struct gg_session *session)
{
  for (int side = 0; side < 2; side++)
    add_gap_letter(session, side);
  gg__history_state(session->history, session->bytes[0] + session->bytes[1] == 0, session->conn_state);
}

void gg__session_add(struct gg_session *session, const struct gg__part *part, uint64_t told[2], bool first)
{
  for (int side = 0; side < 2; side++) {
    if (part->continued && (first || part->offset[side] > told[side])) {
      if (!first) {
        session->gaps[side] += part->offset[side] - told[side];
        add_gap_letter(session, side);
      }
      told[side] = part->offset[side];
    }
    add_first(session, part, side, told[side]);
    session->bytes[side] += part->bytes[side];
    session->packets[side] += part->packets[side];
    session->gaps[side] += part->gaps[side];
    told[side] += part->bytes[side] + part->gaps[side];
  }
  gg__history_join(session->history, part->history.text);
  session->listener = part->listener[0] ? part->listener : session->listener;
  add_upstream(session, part);
  session->server_path = part->server_path[0] ? part->server_path : session->server_path;
  session->original = part->original[0] ? part->original : session->original;
  session->as_sent_of = part->as_sent_of[0] ? part->as_sent_of : session->as_sent_of;
  session->end_ns = part->end_ns > session->end_ns ? part->end_ns : session->end_ns;
  session->segments++;
  if (part->foreign && part->close[0]) {
    session->state = GG_SESSION_CLOSED;
    session->close = part->close;
  }
  if (!part->closed) {
    conclude(session);
    return;
  }
  session->state = GG_SESSION_CLOSED;
  session->close = part->close;
  session->why = part->why;
  session->verdict = part->verdict;
  session->verdict_by = part->verdict_by;
  memcpy(session->masked, part->masked, sizeof session->masked);
  session->counted = part->counted;
  memcpy(session->received, part->received, sizeof session->received);
  memcpy(session->forwarded, part->forwarded, sizeof session->forwarded);
  for (int side = 0; side < 2; side++)
    if (part->closing_gaps[side] > session->gaps[side] && !session->beginning_missing)
      session->gaps[side] = part->closing_gaps[side];
  conclude(session);
}
