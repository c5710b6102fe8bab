/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of a packet here is short, because a listing reads every header of the store: the last flow is tried before
 * the table, and a packet that is in order only moves three numbers.
 *
 * An index by session id inside the segment was left out: a session that binds its 4-tuple again under the same id
 * goes on with its part if that was the flow's last one, and otherwise makes a second part, which the store puts
 * together.
 */
#include "store/capture.h"

#include "record/packet.h"
#include "record/pcapng.h"
#include "store/facts.h"
#include "store/frames.h"
#include "store/hash.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum {
  FLOWS_MIN = 64,
  TEXTS_BUCKETS = 256,
  TEXTS_PER_SEGMENT_MAX = 1 << 20, /* distinct texts; further ones are kept as empty */
};

/* ── Flows: 4-tuple to part ──────────────────────────────────────────────────────────────────────────────────────── */

struct gg__flows {
  size_t count;
  size_t room; /* a power of two */
  struct gg__part **slots;
  struct gg__part *last; /* of the packet before */
};

static bool addr_equal(const struct gg_addr *a, const struct gg_addr *b)
{
  return memcmp(a, b, sizeof *a) == 0;
}

static bool is_flow(const struct gg__part *part, const struct gg_addr *a, const struct gg_addr *b)
{
  return (addr_equal(&part->end[0], a) && addr_equal(&part->end[1], b)) ||
         (addr_equal(&part->end[0], b) && addr_equal(&part->end[1], a));
}

static struct gg__part **flow_slot(const struct gg__flows *flows, const struct gg_addr *a, const struct gg_addr *b)
{
  size_t at = gg__hash_pair(a, b) & (flows->room - 1);
  while (flows->slots[at] && !is_flow(flows->slots[at], a, b))
    at = (at + 1) & (flows->room - 1);
  return &flows->slots[at];
}

static int flows_grow(struct gg__flows *flows)
{
  struct gg__flows larger = {.room = flows->room ? flows->room * 2 : FLOWS_MIN};
  larger.slots = calloc(larger.room, sizeof(struct gg__part *));
  if (!larger.slots)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < flows->room; i++)
    if (flows->slots[i])
      *flow_slot(&larger, &flows->slots[i]->end[0], &flows->slots[i]->end[1]) = flows->slots[i];
  free(flows->slots);
  flows->slots = larger.slots;
  flows->room = larger.room;
  return 0;
}

static struct gg__part *flow_find(struct gg__flows *flows, const struct gg__frame *frame)
{
  if (flows->last && is_flow(flows->last, &frame->tcp.from, &frame->tcp.to))
    return flows->last;
  struct gg__part *part = flows->room ? *flow_slot(flows, &frame->tcp.from, &frame->tcp.to) : NULL;
  if (part)
    flows->last = part;
  return part;
}

static int flow_bind(struct gg__flows *flows, struct gg__part *part)
{
  if (flows->count * 2 >= flows->room && flows_grow(flows) != 0)
    return GG_ERR_NOMEM;
  struct gg__part **slot = flow_slot(flows, &part->end[0], &part->end[1]);
  flows->count += *slot == NULL;
  *slot = part;
  flows->last = part;
  return 0;
}

/* ── Texts: each distinct one once ───────────────────────────────────────────────────────────────────────────────── */

struct text {
  struct text *next;
  char bytes[];
};

struct gg__texts {
  size_t count;
  struct text *buckets[TEXTS_BUCKETS];
};

/* Makes *out a copy that lives as long as the capture. False if there is no memory for it. */
static bool keep(struct gg__texts *texts, const char **out, const char *text)
{
  size_t length = strlen(text);
  *out = "";
  if (length == 0)
    return true;
  struct text **bucket = &texts->buckets[gg__hash(text, length) % TEXTS_BUCKETS];
  for (struct text *at = *bucket; at; at = at->next)
    if (strcmp(at->bytes, text) == 0) {
      *out = at->bytes;
      return true;
    }
  if (texts->count >= TEXTS_PER_SEGMENT_MAX)
    return true;
  struct text *kept = malloc(sizeof *kept + length + 1);
  if (!kept)
    return false;
  memcpy(kept->bytes, text, length + 1);
  kept->next = *bucket;
  *bucket = kept;
  texts->count++;
  *out = kept->bytes;
  return true;
}

static void texts_free(struct gg__texts *texts)
{
  for (size_t i = 0; texts && i < TEXTS_BUCKETS; i++)
    for (struct text *at = texts->buckets[i], *next; at; at = next) {
      next = at->next;
      free(at);
    }
  free(texts);
}

/* ── Parts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

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

static struct gg__part *part_create(struct gg__capture *capture, const struct gg__frame *frame,
                                    const struct gg__facts *facts)
{
  struct gg__part *part = calloc(1, sizeof *part);
  if (!part)
    return NULL;
  bool client = from_client(frame, facts);
  part->capture = capture;
  part->end[0] = client ? frame->tcp.from : frame->tcp.to;
  part->end[1] = client ? frame->tcp.to : frame->tcp.from;
  part->first_offset = frame->packet.block.offset;
  part->start_ns = part->end_ns = frame->packet.time_ns;
  part->client = part->server = part->listener = part->upstream = part->close = part->why = "";
  part->foreign = facts == NULL;
  if (facts && facts->id[0])
    memcpy(part->id, facts->id, sizeof part->id);
  else
    make_id(part->id, capture->name, frame->packet.block.offset);
  if (facts && facts->continued) {
    part->continued = true;
    memcpy(part->offset, facts->offset, sizeof part->offset);
  }
  *capture->parts_tail = part;
  capture->parts_tail = &part->next_of_capture;
  return part;
}

static int take_facts(struct gg__part *part, const struct gg__facts *facts)
{
  struct gg__texts *texts = part->capture->texts;
  if (facts->id[0] && !(keep(texts, &part->client, facts->client) && keep(texts, &part->server, facts->server) &&
                        keep(texts, &part->listener, facts->listener) && keep(texts, &part->upstream, facts->upstream)))
    return GG_ERR_NOMEM;
  if (!facts->close[0])
    return 0;
  if (!keep(texts, &part->close, facts->close) || !keep(texts, &part->why, facts->why))
    return GG_ERR_NOMEM;
  part->closed = true;
  part->counted = facts->has_counts && facts->has_forwarded;
  memcpy(part->received, facts->received, sizeof part->received);
  memcpy(part->forwarded, facts->forwarded, sizeof part->forwarded);
  memcpy(part->closing_gaps, facts->gaps, sizeof part->closing_gaps);
  return 0;
}

/* Whether a packet begins another session than the one that its 4-tuple had. */
static bool begins_another(const struct gg__part *part, const struct gg__frame *frame, const struct gg__facts *facts)
{
  if (facts && facts->id[0])
    return strcmp(part->id, facts->id) != 0;
  bool syn = (frame->tcp.flags & (GG_TCP_SYN | GG_TCP_ACK)) == GG_TCP_SYN;
  return syn && !(part->begins && part->initial == frame->tcp.sequence);
}

struct counting {
  struct gg__part *part;
  int side;
};

static int count_run(void *context, const struct gg__run *run)
{
  struct counting *counting = context;
  counting->part->bytes[counting->side] += run->length;
  counting->part->gaps[counting->side] += run->gap;
  return 0;
}

static int count_payload(struct gg__part *part, int side, const struct gg__frame *frame, uint64_t gap)
{
  struct gg__stream *stream = &part->stream[side];
  struct counting counting = {part, side};
  uint32_t sequence = frame->tcp.sequence;
  if (frame->tcp.flags & GG_TCP_SYN) {
    sequence++;
    gg__stream_begin(stream, sequence);
  }
  if (gap)
    gg__stream_gap(stream, sequence, gap, count_run, &counting);
  uint32_t bytes = frame->tcp.payload_bytes;
  bool in_order = stream->begun && stream->next == sequence && stream->held_count == 0;
  if (in_order && frame->tcp.missing_bytes == 0) {
    stream->next += bytes;
    stream->offset += bytes;
    part->bytes[side] += bytes;
    return 0;
  }
  return gg__stream_push(stream, sequence, NULL, bytes, bytes + frame->tcp.missing_bytes, count_run, &counting);
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

static void mark_changed(struct gg__capture *capture, struct gg__part *part)
{
  if (part->changed)
    return;
  part->changed = true;
  part->next_changed = capture->changed;
  capture->changed = part;
}

int gg__part_side(const struct gg__part *part, const struct gg__frame *frame)
{
  if (!is_flow(part, &frame->tcp.from, &frame->tcp.to))
    return -1;
  if (addr_equal(&part->end[0], &part->end[1])) /* only what is marked tells who speaks */
    return frame->packet.direction == GG_PCAPNG_OUTBOUND;
  return addr_equal(&frame->tcp.from, &part->end[0]) ? 0 : 1;
}

static int take_frame(struct gg__capture *capture, const struct gg__frame *frame)
{
  struct gg__facts parsed;
  enum gg__facts_kind kind = GG__FACTS_NONE;
  if (frame->comment)
    kind = gg__facts_parse(&parsed, frame->comment, frame->comment_bytes);
  if (kind == GG__FACTS_NOMEM)
    return GG_ERR_NOMEM;
  const struct gg__facts *facts = kind == GG__FACTS_OURS ? &parsed : NULL;
  struct gg__part *part = flow_find(capture->flows, frame);
  if (!part || begins_another(part, frame, facts)) {
    part = part_create(capture, frame, facts);
    if (!part || flow_bind(capture->flows, part) != 0)
      return GG_ERR_NOMEM;
  }
  if (facts && take_facts(part, facts) != 0)
    return GG_ERR_NOMEM;
  int side = gg__part_side(part, frame);
  assert(side >= 0);
  part->packets[side]++;
  part->last_offset = frame->packet.block.offset;
  if (frame->packet.time_ns > part->end_ns)
    part->end_ns = frame->packet.time_ns;
  if (frame->packet.time_ns < part->start_ns)
    part->start_ns = frame->packet.time_ns;
  note_flags(part, side, frame);
  mark_changed(capture, part);
  return count_payload(part, side, frame, facts ? facts->gap : 0);
}

/* ── Scanning ────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__capture_create(struct gg__capture **out, const char *directory, const char *name, bool own)
{
  *out = NULL;
  struct gg__capture *capture = calloc(1, sizeof *capture);
  if (!capture)
    return GG_ERR_NOMEM;
  size_t size = (directory ? strlen(directory) + 1 : 0) + strlen(name) + 1;
  capture->path = malloc(size);
  capture->flows = calloc(1, sizeof *capture->flows);
  capture->texts = calloc(1, sizeof *capture->texts);
  if (!capture->path || !capture->flows || !capture->texts) {
    gg__capture_destroy(capture);
    return GG_ERR_NOMEM;
  }
  snprintf(capture->path, size, "%s%s%s", directory ? directory : "", directory ? "/" : "", name);
  const char *slash = strrchr(capture->path, '/');
  capture->name = slash ? slash + 1 : capture->path;
  capture->own = own;
  capture->parts_tail = &capture->parts;
  *out = capture;
  return 0;
}

void gg__capture_destroy(struct gg__capture *capture)
{
  if (!capture)
    return;
  for (struct gg__part *part = capture->parts, *next; part; part = next) {
    next = part->next_of_capture;
    gg__stream_fini(&part->stream[0]);
    gg__stream_fini(&part->stream[1]);
    free(part);
  }
  if (capture->flows)
    free(capture->flows->slots);
  free(capture->flows);
  texts_free(capture->texts);
  free(capture->path);
  free(capture);
}

static void tell(struct gg__capture *capture, enum gg__capture_health health, const char *message)
{
  size_t used;
  capture->health = health;
  gg_text_printable((const uint8_t *)message, strlen(message), false, capture->problem, sizeof capture->problem, &used);
}

/* What waits in streams for packets that did not come is counted as far as it goes. */
static void settle(struct gg__capture *capture)
{
  for (struct gg__part *part = capture->changed; part; part = part->next_changed)
    for (int side = 0; side < 2; side++) {
      struct counting counting = {part, side};
      gg__stream_flush(&part->stream[side], count_run, &counting);
      gg__stream_fini(&part->stream[side]);
    }
}

/* What the scan has to say of the file, in one sentence. */
static void conclude(struct gg__capture *capture, struct gg__frames *frames, int result, struct gg_failure *failure)
{
  uint64_t blocks;
  const char *damage = gg__frames_damage(frames, &blocks);
  capture->health = GG__CAPTURE_SOUND;
  capture->problem[0] = '\0';
  if (result != GG_ERR_AGAIN) {
    tell(capture, capture->packets ? GG__CAPTURE_DAMAGED : GG__CAPTURE_UNREADABLE, failure->message);
  } else if (damage) {
    tell(capture, GG__CAPTURE_DAMAGED, damage);
  } else if (gg__frames_torn(frames)) {
    gg_fail(failure, GG_ERR_TRUNCATED, "%s ends in the middle of a block at offset %llu", capture->path,
            (unsigned long long)gg__frames_offset(frames));
    tell(capture, GG__CAPTURE_TORN, failure->message);
  } else if (capture->packets == 0 && capture->strangers > 0) {
    gg_fail(failure, GG_ERR_UNSUPPORTED, "%s: %llu packet%s not TCP over a known link type", capture->path,
            (unsigned long long)capture->strangers, capture->strangers == 1 ? " is" : "s are");
    tell(capture, GG__CAPTURE_SOUND, failure->message);
  }
}

static int scan_frames(struct gg__capture *capture, struct gg__frames *frames)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__frame frame;
  int result = capture->scanned ? gg__frames_jump(frames, capture->scanned, capture->scattered, &failure) : 0;
  while (result == 0 && (result = gg__frames_next(frames, &frame, &failure)) == 0) {
    uint64_t time_ns = frame.packet.time_ns;
    if (take_frame(capture, &frame) != 0)
      return GG_ERR_NOMEM;
    if (capture->packets == 0 || time_ns < capture->first_ns)
      capture->first_ns = time_ns;
    if (time_ns > capture->last_ns)
      capture->last_ns = time_ns;
    capture->packets++;
  }
  capture->scanned = gg__frames_offset(frames);
  capture->scattered = gg__frames_scattered(frames);
  capture->strangers += gg__frames_strangers(frames);
  conclude(capture, frames, result, &failure);
  settle(capture);
  return result == GG_ERR_NOMEM ? result : 0;
}

int gg__capture_scan(struct gg__capture *capture)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__frames *frames = NULL;
  struct stat status = {0};
  assert(capture->changed == NULL);
  /* The size is taken first: what is added while scanning is found by the next scan at the latest. */
  bool known = stat(capture->path, &status) == 0;
  if (known && (uint64_t)status.st_size == capture->bytes && capture->bytes > 0)
    return 0;
  int error = gg__frames_open(&frames, capture->path, &failure);
  if (error == GG_ERR_NOMEM)
    return error;
  if (error) {
    tell(capture, GG__CAPTURE_UNREADABLE, failure.message);
    return 0;
  }
  error = scan_frames(capture, frames);
  capture->bytes = (uint64_t)status.st_size;
  gg__frames_close(frames);
  return error;
}
