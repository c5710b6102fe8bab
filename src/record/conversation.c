/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a session becomes packets. Nothing is remembered but sequence numbers: every packet acknowledges all that the
 * other direction has sent so far, so an acknowledgement in a recording means "recorded", no more.
 *
 * What keeps a reader's analysis silent:
 *   - a pure ACK is written only where it moves the acknowledgement number, so there are no duplicates;
 *   - the window is constant and scaled, and never full: at most GG_UNACKED_MAX + GG_PACKET_PAYLOAD_MAX bytes wait.
 *     That of a SYN is never scaled (RFC 7323), so until the server's next packet fewer of the client's bytes may wait;
 *   - a sequence number never goes back: a gap moves it on by what is missing, by 2^30 at the most, because half of the
 *     number space ahead is "before".
 *
 * The ACK follows the packet that made it due, rather than preceding the one that would be too many: so where it stands
 * depends on what is there alone, a short read lays out like a full one, and the first packet of a chunk, which may
 * carry a comment, is always the data.
 */
#include "record/conversation.h"

#include "base/json.h"
#include "record/packet.h"
#include "record/pcapng.h"

#include <assert.h>
#include <string.h>

enum {
  GAP_STEP_MAX = 1 << 30,
  OWN_MEMBERS_MAX = 320, /* what the encoder adds to a comment around the session's own members */
  PACKET_OVERHEAD_MAX = 2 * GG_PACKET_EMPTY_MAX + 4, /* of a data packet and the ACK that may follow it */
  COMMENT_OVERHEAD_MAX = GG_COMMENT_MAX + 8,
};

static_assert(GG_UNACKED_FIRST_MAX - 1 + GG_PACKET_PAYLOAD_MAX < 65535, "never the whole window of a SYN");
static_assert(GG_PACKET_EMPTY_MAX + 8 <= 160, "the header's reservations count 160 bytes a packet");
static_assert(GG_PACKET_EMPTY_MAX + GG_PACKET_PAYLOAD_MAX + 4 + COMMENT_OVERHEAD_MAX <= GG_PCAPNG_EPB_LIMIT,
              "no packet is longer than every reader takes");

static inline enum gg_direction other(enum gg_direction direction)
{
  return direction == GG_FROM_CLIENT ? GG_FROM_SERVER : GG_FROM_CLIENT;
}

void gg_conversation_init(struct gg_conversation *conversation, const struct gg_addr *client,
                          const struct gg_addr *server, const uint32_t initial_sequence[2], gg_facts_fn facts,
                          const void *session)
{
  assert(client->family == GG_FAMILY_IPV4 || client->family == GG_FAMILY_IPV6);
  assert(server->family == GG_FAMILY_IPV4 || server->family == GG_FAMILY_IPV6);
  *conversation = (struct gg_conversation){
    .end = {*client, *server},
    .sequence = {initial_sequence[0], initial_sequence[1]},
    .facts = facts,
    .session = session,
    .ipv6 = client->family == GG_FAMILY_IPV6 || server->family == GG_FAMILY_IPV6,
  };
}

/* ── Comments ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Lets the session write its members; takes them back whole if they leave too little room. */
static void add_members(struct gg_json *json, gg_facts_fn write, const void *session)
{
  if (write == NULL)
    return;
  struct gg_json before = *json;
  write(session, json);
  if (json->overflow || json->length > GG_COMMENT_MAX - OWN_MEMBERS_MAX) {
    *json = before;
    gg_json_field_bool(json, "truncated", true);
  }
}

static void add_gaps(const struct gg_conversation *conversation, struct gg_json *json)
{
  if (conversation->gap_total[GG_FROM_CLIENT] == 0 && conversation->gap_total[GG_FROM_SERVER] == 0)
    return;
  gg_json_key(json, "gaps");
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "client", conversation->gap_total[GG_FROM_CLIENT]);
  gg_json_field_unsigned(json, "server", conversation->gap_total[GG_FROM_SERVER]);
  gg_json_object_end(json);
}

static const char *const gap_texts[] = {
  [GG_GAP_STALL] = "stall", [GG_GAP_DISK_FULL] = "disk-full", [GG_GAP_LEFT_OUT] = "left-out"};

static void add_gap(const struct gg_conversation *conversation, enum gg_direction direction, struct gg_json *json)
{
  gg_json_key(json, "gap");
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "bytes", conversation->gap_pending[direction]);
  gg_json_field_string(json, "reason", gap_texts[conversation->gap_reason[direction]]);
  gg_json_object_end(json);
}

/* The position in a stream that the recording has told of. */
static uint64_t told_offset(const struct gg_conversation *conversation, enum gg_direction direction)
{
  return conversation->offset[direction] - conversation->gap_pending[direction];
}

static size_t compose(const struct gg_conversation *conversation, char *text, enum gg_direction direction,
                      uint64_t segment, gg_facts_fn closing_facts)
{
  bool first = conversation->segment == 0;
  bool elsewhere = conversation->segment != segment;
  struct gg_json json;
  gg_json_init(&json, text, GG_COMMENT_MAX);
  gg_json_object_begin(&json);
  gg_json_field_unsigned(&json, "gogetway", 1);
  if (elsewhere || closing_facts != NULL)
    add_members(&json, conversation->facts, conversation->session);
  if (elsewhere && !first) {
    gg_json_field_bool(&json, "continued", true);
    gg_json_field_unsigned(&json, "client_offset", told_offset(conversation, GG_FROM_CLIENT));
    gg_json_field_unsigned(&json, "server_offset", told_offset(conversation, GG_FROM_SERVER));
  }
  if (conversation->gap_pending[direction] != 0 && conversation->opened)
    add_gap(conversation, direction, &json);
  if (closing_facts != NULL) {
    add_members(&json, closing_facts, conversation->session);
    add_gaps(conversation, &json);
  }
  gg_json_object_end(&json);
  size_t length = gg_json_finish(&json);
  assert(length != 0);
  return length;
}

/* The comment that the next packet of a direction has to carry; 0 for none, which is nearly always so. */
static inline size_t due_comment(const struct gg_conversation *conversation, char *text, enum gg_direction direction,
                                 uint64_t segment)
{
  if (__builtin_expect(conversation->segment == segment && conversation->gap_pending[direction] == 0, 1))
    return 0;
  return compose(conversation, text, direction, segment, NULL);
}

/* ── Packets ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Writes a packet of `direction` with what it acknowledges, and moves the conversation on. */
static size_t put(struct gg_conversation *conversation, uint8_t *at, enum gg_direction direction, uint8_t flags,
                  size_t payload_bytes, const char *comment, size_t comment_bytes, uint64_t time_ns)
{
  enum gg_direction back = other(direction);
  struct gg_packet packet = {
    .from = &conversation->end[direction],
    .to = &conversation->end[back],
    .time_ns = time_ns,
    .sequence = conversation->sequence[direction],
    .acknowledged = (flags & GG_TCP_ACK) != 0 ? conversation->sequence[back] : 0,
    .payload_bytes = (uint32_t)payload_bytes,
    .comment_bytes = (uint32_t)comment_bytes,
    .comment = comment,
    .flags = flags,
    .outbound = direction == GG_FROM_SERVER,
    .ipv6 = conversation->ipv6 != 0,
  };
  if ((flags & GG_TCP_ACK) != 0) {
    conversation->acked[back] = conversation->sequence[back];
    conversation->unacked[back] = 0;
  }
  conversation->sequence[direction] += (uint32_t)payload_bytes + ((flags & (GG_TCP_SYN | GG_TCP_FIN)) != 0 ? 1 : 0);
  conversation->unacked[direction] += (uint32_t)payload_bytes;
  if (direction == GG_FROM_SERVER && (flags & GG_TCP_SYN) == 0)
    conversation->answered = 1;
  return gg_packet_write(at, &packet);
}

/* How many bytes of a direction that wait make an ACK due. The client's handshake ends with an ACK of its own: only the
 * server's window can still be that of its SYN. */
static inline uint32_t unacked_max(enum gg_direction direction, bool answered)
{
  return direction == GG_FROM_SERVER || answered ? GG_UNACKED_MAX : GG_UNACKED_FIRST_MAX;
}

/* The packet that comes next tells of the missing bytes: its sequence number skips them. */
static inline void skip_gap(struct gg_conversation *conversation, enum gg_direction direction)
{
  uint64_t missing = conversation->gap_pending[direction];
  if (missing == 0)
    return;
  conversation->sequence[direction] += (uint32_t)(missing < GAP_STEP_MAX ? missing : GAP_STEP_MAX);
  conversation->gap_pending[direction] = 0;
}

/* Its packets are in the segment. Whoever reads that takes what has the same ends for its, until told otherwise. */
static inline void written(struct gg_conversation *conversation, uint64_t segment)
{
  conversation->segment = segment;
  for (struct gg_conversation *twin = conversation->twin; twin && twin != conversation; twin = twin->twin)
    if (twin->segment == segment)
      twin->segment = GG_SEGMENT_ELSEWHERE;
}

size_t gg_conversation_open(struct gg_conversation *conversation, uint8_t *at, uint64_t segment, uint64_t time_ns)
{
  char comment[GG_COMMENT_MAX];
  assert(!conversation->opened && segment != 0);
  size_t comment_bytes = compose(conversation, comment, GG_FROM_CLIENT, segment, NULL);
  uint8_t *end = at;
  end += put(conversation, end, GG_FROM_CLIENT, GG_TCP_SYN, 0, comment, comment_bytes, time_ns);
  end += put(conversation, end, GG_FROM_SERVER, GG_TCP_SYN | GG_TCP_ACK, 0, NULL, 0, time_ns);
  end += put(conversation, end, GG_FROM_CLIENT, GG_TCP_ACK, 0, NULL, 0, time_ns);
  conversation->opened = 1;
  written(conversation, segment);
  assert(end - at <= GG_CONVERSATION_OPEN_MAX);
  return (size_t)(end - at);
}

size_t gg_conversation_fin(struct gg_conversation *conversation, enum gg_direction direction, uint8_t *at,
                           uint64_t segment, uint64_t time_ns)
{
  char comment[GG_COMMENT_MAX];
  assert(conversation->opened && !conversation->finned[direction]);
  size_t comment_bytes = due_comment(conversation, comment, direction, segment);
  skip_gap(conversation, direction);
  uint8_t *end = at;
  end += put(conversation, end, direction, GG_TCP_FIN | GG_TCP_ACK, 0, comment, comment_bytes, time_ns);
  if (!conversation->finned[other(direction)])
    end += put(conversation, end, other(direction), GG_TCP_ACK, 0, NULL, 0, time_ns);
  conversation->finned[direction] = 1;
  written(conversation, segment);
  assert(end - at <= GG_CONVERSATION_FIN_MAX);
  return (size_t)(end - at);
}

void gg_conversation_gap(struct gg_conversation *conversation, enum gg_direction direction, uint64_t bytes,
                         enum gg_gap_reason reason)
{
  assert(!conversation->finned[direction]);
  conversation->offset[direction] += bytes;
  conversation->gap_pending[direction] += bytes;
  conversation->gap_total[direction] += bytes;
  conversation->gap_reason[direction] = (uint8_t)reason;
}

/* Whose packet is the last, and with which flags. */
static enum gg_direction last_packet(const struct gg_conversation *conversation, enum gg_closing closing,
                                     uint8_t *flags)
{
  if (closing != GG_CLOSING_ORDERLY) {
    *flags = GG_TCP_RST | GG_TCP_ACK;
    return closing == GG_CLOSING_CLIENT_RESET ? GG_FROM_CLIENT : GG_FROM_SERVER;
  }
  /* The direction whose FIN came first acknowledges the other one's. */
  *flags = GG_TCP_ACK;
  return conversation->acked[GG_FROM_CLIENT] == conversation->sequence[GG_FROM_CLIENT] ? GG_FROM_CLIENT
                                                                                       : GG_FROM_SERVER;
}

size_t gg_conversation_close(struct gg_conversation *conversation, enum gg_closing closing, gg_facts_fn closing_facts,
                             uint8_t *at, uint64_t segment, uint64_t time_ns)
{
  char comment[GG_COMMENT_MAX];
  uint8_t *end = at;
  uint8_t flags;
  assert(closing_facts != NULL);
  if (!conversation->opened)
    end += gg_conversation_open(conversation, end, segment, time_ns);
  if (closing == GG_CLOSING_ORDERLY) {
    for (int direction = GG_FROM_CLIENT; direction <= GG_FROM_SERVER; direction++) {
      if (!conversation->finned[direction])
        end += gg_conversation_fin(conversation, (enum gg_direction)direction, end, segment, time_ns);
    }
  }
  enum gg_direction direction = last_packet(conversation, closing, &flags);
  size_t comment_bytes = compose(conversation, comment, direction, segment, closing_facts);
  skip_gap(conversation, direction);
  end += put(conversation, end, direction, flags, 0, comment, comment_bytes, time_ns);
  written(conversation, segment);
  assert(end - at <= GG_CONVERSATION_CLOSE_MAX);
  return (size_t)(end - at);
}

/* ── Chunks ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

size_t gg_conversation_chunk_room(const struct gg_conversation *conversation, size_t bytes)
{
  (void)conversation;
  assert(bytes >= 1 && bytes <= GG_CHUNK_MAX);
  size_t packets = (bytes + GG_PACKET_PAYLOAD_MAX - 1) / GG_PACKET_PAYLOAD_MAX;
  return bytes + packets * PACKET_OVERHEAD_MAX + COMMENT_OVERHEAD_MAX;
}

size_t gg_conversation_chunk_fit(const struct gg_conversation *conversation, size_t room)
{
  (void)conversation;
  if (room <= COMMENT_OVERHEAD_MAX)
    return 0;
  size_t full = GG_PACKET_PAYLOAD_MAX + PACKET_OVERHEAD_MAX;
  size_t packets = (room - COMMENT_OVERHEAD_MAX) / full;
  size_t rest = (room - COMMENT_OVERHEAD_MAX) % full;
  size_t bytes = packets * GG_PACKET_PAYLOAD_MAX + (rest > PACKET_OVERHEAD_MAX ? rest - PACKET_OVERHEAD_MAX : 0);
  return bytes < GG_CHUNK_MAX ? bytes : GG_CHUNK_MAX;
}

void gg_conversation_lay(const struct gg_conversation *conversation, struct gg_chunk_layout *layout,
                         enum gg_direction direction, size_t bytes_max, uint8_t *at, uint64_t segment)
{
  assert(conversation->opened && !conversation->finned[direction]);
  assert(bytes_max >= 1 && bytes_max <= GG_CHUNK_MAX);
  bool ipv6 = conversation->ipv6 != 0;
  size_t payload_offset = gg_packet_payload_offset(ipv6);
  uint32_t unacked = conversation->unacked[direction];
  bool answered = conversation->answered != 0;
  layout->at = at;
  layout->direction = direction;
  layout->segment = segment;
  layout->bytes_max = bytes_max;
  layout->iov_count = 0;
  layout->comment_length = due_comment(conversation, layout->comment, direction, segment);

  size_t comment_bytes = layout->comment_length;
  for (size_t left = bytes_max; left > 0;) {
    size_t take = left < GG_PACKET_PAYLOAD_MAX ? left : GG_PACKET_PAYLOAD_MAX;
    layout->iov[layout->iov_count++] = (struct iovec){.iov_base = at + payload_offset, .iov_len = take};
    left -= take;
    at += gg_packet_block_bytes(ipv6, take, comment_bytes);
    comment_bytes = 0;
    unacked += (uint32_t)take;
    if (unacked >= unacked_max(direction, answered)) {
      at += gg_packet_block_bytes(ipv6, 0, 0);
      unacked = 0;
      answered = true; /* or it is the server whose bytes these are */
    }
  }
}

size_t gg_conversation_seal(struct gg_conversation *conversation, struct gg_chunk_layout *layout, size_t bytes,
                            uint64_t time_ns)
{
  enum gg_direction direction = layout->direction;
  uint8_t *at = layout->at;
  size_t comment_bytes = layout->comment_length;
  assert(bytes >= 1 && bytes <= layout->bytes_max);
  skip_gap(conversation, direction);
  for (size_t left = bytes; left > 0;) {
    size_t take = left < GG_PACKET_PAYLOAD_MAX ? left : GG_PACKET_PAYLOAD_MAX;
    left -= take;
    uint8_t flags = left == 0 ? GG_TCP_ACK | GG_TCP_PSH : GG_TCP_ACK;
    at += put(conversation, at, direction, flags, take, layout->comment, comment_bytes, time_ns);
    comment_bytes = 0;
    if (conversation->unacked[direction] >= unacked_max(direction, conversation->answered != 0))
      at += put(conversation, at, other(direction), GG_TCP_ACK, 0, NULL, 0, time_ns);
  }
  conversation->offset[direction] += bytes;
  written(conversation, layout->segment);
  return (size_t)(at - layout->at);
}
