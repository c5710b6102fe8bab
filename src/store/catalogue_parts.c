/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's parts as a blob: all that a scan keeps of them (part.h), so that the session is made of them again by the
 * same rules, and its bytes are found.
 *
 *   blob    parts | ranges | segment ... | part ...
 *   part    flags | place | times | counts | first bytes | [initial] | [offsets] | [closing counts]
 *           | [streams, letters seen] | ends | [gateway's end] | texts | ranges
 *
 * Numbers are varints of seven bits a byte, the lowest first. What is told of a session in columns of its own is
 * referred to: a text that is the session's takes one byte, an address that is that of the text none. A part of a
 * session that was said once and closed takes about fifty bytes.
 *
 * Where the streams are is kept of sessions that have not ended, so that who goes on reading the segment where it was
 * indexed to finds what one who reads all of it finds.
 *
 * What is read may be damaged: every number is held against what there is before it is used.
 */
#include "store/catalogue_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
  FLAG_FOREIGN = 1 << 0,
  FLAG_BEGINS = 1 << 1,
  FLAG_CONTINUED = 1 << 2,
  FLAG_CLOSED = 1 << 3,
  FLAG_COUNTED = 1 << 4,
  FLAG_STREAMS = 1 << 5, /* where they are is told; ... */
  FLAG_BEGUN = 1 << 6,   /* ... two bits: which have begun */
  FLAG_CLIENT = 1 << 8,  /* the end's address is that of the session's text; two bits */
  FLAG_SEEN = 1 << 10,   /* three bits */
  FLAG_SCATTERED = 1 << 13,
  FLAG_GATEWAY = 1 << 14,
  FLAGS_END = 1 << 15,
  TEXT_SAME = 1, /* 0: empty; else its length and 1 */
  ROOM_MIN = 256,
  PART_BYTES_MIN = 24, /* no part takes fewer, and no range or tag fewer than ... */
  RANGE_BYTES_MIN = 2,
  NAME_BYTES_MAX = 128, /* of a segment */
};

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint8_t *grow(struct gg__blob *blob, size_t bytes)
{
  if (blob->length + bytes > blob->room) {
    size_t room = blob->room ? blob->room : ROOM_MIN;
    while (room < blob->length + bytes)
      room *= 2;
    uint8_t *larger = realloc(blob->data, room);
    if (!larger) {
      blob->failed = true;
      return NULL;
    }
    blob->data = larger;
    blob->room = room;
  }
  uint8_t *at = blob->data + blob->length;
  blob->length += bytes;
  return at;
}

static void put(struct gg__blob *blob, uint64_t value)
{
  uint8_t bytes[10];
  size_t count = 0;
  do {
    bytes[count++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>= 7;
  } while (value);
  uint8_t *at = grow(blob, count);
  if (at)
    memcpy(at, bytes, count);
}

static void put_signed(struct gg__blob *blob, int64_t value)
{
  put(blob, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

static void put_bytes(struct gg__blob *blob, const void *data, size_t length)
{
  uint8_t *at = grow(blob, length);
  if (at && length > 0)
    memcpy(at, data, length);
}

static void put_pair(struct gg__blob *blob, const uint64_t pair[2])
{
  put(blob, pair[0]);
  put(blob, pair[1]);
}

void gg__blob_fini(struct gg__blob *blob)
{
  free(blob->data);
  *blob = (struct gg__blob){0};
}

static void part_texts(const struct gg__part *part, const char *out[GG__ROW_TEXTS])
{
  const char *const texts[] = {part->client,     part->server, part->listener,    part->upstream,   part->server_path,
                               part->close,      part->why,    part->original,    part->as_sent_of, part->verdict,
                               part->verdict_by, part->tags,   part->history.text};
  static_assert(sizeof texts / sizeof texts[0] == GG__ROW_TEXTS, "every text of a part is kept");
  memcpy(out, texts, sizeof texts);
}

/* As the columns have them; tags are in none. */
static void session_texts(const struct gg_session *session, const char *out[GG__ROW_TEXTS])
{
  const char *const texts[] = {session->client,      session->server,  session->listener,   session->upstream,
                               session->server_path, session->close,   session->why,        session->original,
                               session->as_sent_of,  session->verdict, session->verdict_by, "",
                               session->history};
  static_assert(sizeof texts / sizeof texts[0] == GG__ROW_TEXTS, "every text of a part is kept");
  memcpy(out, texts, sizeof texts);
}

static bool told_by(const char *text, const struct gg_addr *addr)
{
  struct gg_addr told;
  return gg_addr_parse(&told, text) == 0 && memcmp(&told, addr, sizeof told) == 0;
}

static unsigned flags_of(const struct gg__part *part, const char *const session[GG__ROW_TEXTS])
{
  bool gateway = part->gateway.family != GG_FAMILY_NONE;
  unsigned flags = (gateway ? FLAG_GATEWAY : 0) | (part->foreign ? FLAG_FOREIGN : 0) |
                   (part->begins ? FLAG_BEGINS : 0) | (part->continued ? FLAG_CONTINUED : 0) |
                   (part->closed ? FLAG_CLOSED : 0) | (part->counted ? FLAG_COUNTED : 0) |
                   (part->closed ? 0 : FLAG_STREAMS) | (part->capture->scattered ? FLAG_SCATTERED : 0) |
                   (unsigned)part->seen * FLAG_SEEN;
  for (unsigned side = 0; side < 2; side++) {
    flags |= !part->closed && part->stream[side].begun ? (unsigned)FLAG_BEGUN << side : 0;
    flags |= told_by(session[side], &part->end[side]) ? (unsigned)FLAG_CLIENT << side : 0;
  }
  return flags;
}

static void put_texts(struct gg__blob *blob, const struct gg__part *part, const char *const session[GG__ROW_TEXTS])
{
  const char *texts[GG__ROW_TEXTS];
  part_texts(part, texts);
  for (size_t i = 0; i < GG__ROW_TEXTS; i++) {
    size_t length = strlen(texts[i]);
    bool same = strcmp(texts[i], session[i]) == 0;
    put(blob, length == 0 ? 0 : same ? TEXT_SAME : length + TEXT_SAME);
    if (!same)
      put_bytes(blob, texts[i], length);
  }
}

static void put_extents(struct gg__blob *blob, const struct gg__part *part)
{
  uint64_t at = part->first_offset;
  put(blob, part->extents ? part->extent_count : 0);
  for (uint32_t i = 0; part->extents && i < part->extent_count; i++) {
    put(blob, part->extents[i].first - at);
    put(blob, part->extents[i].end - part->extents[i].first);
    at = part->extents[i].end;
  }
}

static void put_address(struct gg__blob *blob, const struct gg_addr *addr)
{
  put(blob, addr->family);
  put(blob, addr->port);
  put_bytes(blob, addr->ip, sizeof addr->ip);
}

static void put_part(struct gg__blob *blob, const struct gg__part *part, const char *const session[GG__ROW_TEXTS],
                     uint64_t start_ns)
{
  unsigned flags = flags_of(part, session);
  put(blob, flags);
  put(blob, part->first_offset);
  put(blob, part->last_offset - part->first_offset);
  put_signed(blob, (int64_t)(part->start_ns - start_ns));
  put_signed(blob, (int64_t)(part->end_ns - part->start_ns));
  put_pair(blob, part->bytes);
  put_pair(blob, part->packets);
  put_pair(blob, part->gaps);
  put(blob, part->last_bytes);
  for (int side = 0; side < 2; side++) {
    put(blob, part->first_length[side]);
    put_bytes(blob, part->first[side], part->first_length[side]);
  }
  if (flags & FLAG_BEGINS)
    put(blob, part->initial);
  if (flags & FLAG_CONTINUED)
    put_pair(blob, part->offset);
  if (flags & FLAG_CLOSED) {
    put_pair(blob, part->received);
    put_pair(blob, part->forwarded);
    put_pair(blob, part->closing_gaps);
    put_pair(blob, part->masked);
  } else {
    put(blob, part->history.seen);
  }
  for (int side = 0; side < 2; side++) {
    if (flags & FLAG_STREAMS) {
      put(blob, part->stream[side].offset);
      put(blob, part->stream[side].next);
    }
    if (!(flags & ((unsigned)FLAG_CLIENT << side)))
      put_address(blob, &part->end[side]);
  }
  if (flags & FLAG_GATEWAY)
    put_address(blob, &part->gateway);
  put_texts(blob, part, session);
  put_extents(blob, part);
}

void gg__parts_encode(struct gg__blob *out, const struct gg__record *record, const int64_t *segments)
{
  const struct gg_session *session = &record->session;
  const char *texts[GG__ROW_TEXTS];
  uint64_t parts = 0, extents = 0;
  out->length = 0;
  out->failed = false;
  session_texts(session, texts);
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session, parts++)
    extents += part->extents ? part->extent_count : 0;
  put(out, parts);
  put(out, extents);
  for (uint64_t i = 0; i < parts; i++)
    put(out, (uint64_t)segments[i]);
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session)
    put_part(out, part, texts, session->start_ns);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct reading {
  const uint8_t *at, *end;
  bool failed;
  /* What is made: one piece of memory, of which each kind has its share. */
  struct gg__part *parts;
  struct gg__extent *extents, *extents_end;
  char *texts, *texts_end;
  const struct gg__row *row;
  const char *own[GG__ROW_TEXTS]; /* the row's texts, copied */
};

static uint64_t get(struct reading *reading)
{
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && reading->at < reading->end; shift += 7) {
    uint8_t byte = *reading->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80))
      return value;
  }
  reading->failed = true;
  return 0;
}

static int64_t get_signed(struct reading *reading)
{
  uint64_t value = get(reading);
  return (int64_t)((value >> 1) ^ ((value & 1) ? UINT64_MAX : 0));
}

static void get_pair(struct reading *reading, uint64_t pair[2])
{
  pair[0] = get(reading);
  pair[1] = get(reading);
}

static const uint8_t *get_bytes(struct reading *reading, uint64_t length)
{
  if (length > (uint64_t)(reading->end - reading->at)) {
    reading->failed = true;
    return NULL;
  }
  const uint8_t *bytes = reading->at;
  reading->at += length;
  return bytes;
}

/* A copy that ends in NUL. */
static const char *keep(struct reading *reading, const void *text, size_t length)
{
  char *copy = reading->texts;
  if (length == 0 || !text)
    return "";
  if (length + 1 > (size_t)(reading->texts_end - copy) || memchr(text, '\0', length)) {
    reading->failed = true;
    return "";
  }
  memcpy(copy, text, length);
  copy[length] = '\0';
  reading->texts += length + 1;
  return copy;
}

static void get_address(struct reading *reading, struct gg_addr *addr)
{
  addr->family = (uint8_t)get(reading);
  addr->port = (uint16_t)get(reading);
  const uint8_t *ip = get_bytes(reading, sizeof addr->ip);
  if (ip)
    memcpy(addr->ip, ip, sizeof addr->ip);
}

static void get_ends(struct reading *reading, struct gg__part *part, unsigned flags)
{
  if (flags & FLAG_STREAMS)
    part->history.seen = (uint32_t)get(reading);
  for (int side = 0; side < 2; side++) {
    if (flags & FLAG_STREAMS) {
      part->stream[side].offset = get(reading);
      part->stream[side].next = (uint32_t)get(reading);
      part->stream[side].begun = (flags & ((unsigned)FLAG_BEGUN << side)) != 0;
    }
    if (flags & ((unsigned)FLAG_CLIENT << side)) {
      reading->failed |= gg_addr_parse(&part->end[side], reading->own[side]) != 0;
    } else {
      get_address(reading, &part->end[side]);
    }
  }
  if (flags & FLAG_GATEWAY)
    get_address(reading, &part->gateway);
}

static const char *get_text(struct reading *reading, const char *same)
{
  uint64_t code = get(reading);
  if (code <= TEXT_SAME)
    return code == 0 ? "" : same;
  const uint8_t *bytes = get_bytes(reading, code - TEXT_SAME);
  return bytes ? keep(reading, bytes, (size_t)(code - TEXT_SAME)) : "";
}

static void get_texts(struct reading *reading, struct gg__part *part)
{
  const char **const members[] = {&part->client,      &part->server,  &part->listener,   &part->upstream,
                                  &part->server_path, &part->close,   &part->why,        &part->original,
                                  &part->as_sent_of,  &part->verdict, &part->verdict_by, &part->tags};
  static_assert(sizeof members / sizeof members[0] == GG__TEXTS, "every text of a part is kept");
  for (size_t i = 0; i < GG__TEXTS; i++)
    *members[i] = get_text(reading, reading->own[i]);
  const char *history = get_text(reading, reading->own[GG__TEXTS]);
  size_t length = strlen(history);
  reading->failed |= length >= sizeof part->history.text;
  if (!reading->failed)
    memcpy(part->history.text, history, length + 1);
}

static void get_extents(struct reading *reading, struct gg__part *part)
{
  uint64_t count = get(reading), at = part->first_offset;
  if (count > (uint64_t)(reading->extents_end - reading->extents) || count > GG_EXTENTS_MAX) {
    reading->failed = true;
    return;
  }
  part->extent_count = (uint32_t)count;
  part->extents = count ? reading->extents : NULL;
  for (uint64_t i = 0; i < count; i++) {
    struct gg__extent *extent = reading->extents++;
    extent->first = at + get(reading);
    extent->end = at = extent->first + get(reading);
  }
}

static void get_first(struct reading *reading, struct gg__part *part)
{
  for (int side = 0; side < 2; side++) {
    uint64_t length = get(reading);
    const uint8_t *bytes = length <= sizeof part->first[side] ? get_bytes(reading, length) : NULL;
    reading->failed |= !bytes;
    if (bytes)
      memcpy(part->first[side], bytes, (size_t)length);
    part->first_length[side] = bytes ? (uint8_t)length : 0;
  }
}

static void get_part(struct reading *reading, struct gg__part *part, bool *scattered)
{
  unsigned flags = (unsigned)get(reading);
  reading->failed |= flags >= FLAGS_END;
  *part = (struct gg__part){.foreign = (flags & FLAG_FOREIGN) != 0,
                            .begins = (flags & FLAG_BEGINS) != 0,
                            .continued = (flags & FLAG_CONTINUED) != 0,
                            .closed = (flags & FLAG_CLOSED) != 0,
                            .counted = (flags & FLAG_COUNTED) != 0,
                            .seen = (uint8_t)((flags / FLAG_SEEN) & 7)};
  *scattered = (flags & FLAG_SCATTERED) != 0;
  part->first_offset = get(reading);
  part->last_offset = part->first_offset + get(reading);
  part->start_ns = reading->row->start_ns + (uint64_t)get_signed(reading);
  part->end_ns = part->start_ns + (uint64_t)get_signed(reading);
  get_pair(reading, part->bytes);
  get_pair(reading, part->packets);
  get_pair(reading, part->gaps);
  part->last_bytes = (uint32_t)get(reading);
  get_first(reading, part);
  if (part->begins)
    part->initial = (uint32_t)get(reading);
  if (part->continued)
    get_pair(reading, part->offset);
  if (part->closed) {
    get_pair(reading, part->received);
    get_pair(reading, part->forwarded);
    get_pair(reading, part->closing_gaps);
    get_pair(reading, part->masked);
  }
  get_ends(reading, part, flags);
  get_texts(reading, part);
  get_extents(reading, part);
}

/* How many there are of each, none more than the blob has room for. */
struct counts {
  size_t parts, extents;
};

static bool get_counts(struct reading *reading, size_t length, struct counts *counts)
{
  counts->parts = (size_t)get(reading);
  counts->extents = (size_t)get(reading);
  return !reading->failed && counts->parts > 0 && counts->parts <= length / PART_BYTES_MIN &&
         counts->extents <= length / RANGE_BYTES_MIN;
}

int gg__parts_segments(const void *blob, size_t length, int (*visit)(void *context, int64_t number), void *context)
{
  struct reading reading = {.at = blob, .end = (const uint8_t *)blob + length};
  struct counts counts;
  if (!get_counts(&reading, length, &counts))
    return GG_ERR_CORRUPT;
  int result = 0;
  for (size_t i = 0; i < counts.parts && !result; i++) {
    int64_t number = (int64_t)get(&reading);
    result = reading.failed ? GG_ERR_CORRUPT : visit(context, number);
  }
  return result;
}

/* ── A record ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t packed_count(const char *packed)
{
  size_t count = packed[0] != '\0';
  for (; (packed = strchr(packed, ' ')); packed++)
    count++;
  return count;
}

/* In order of bytes, each once. */
static void add_tag(const char **tags, size_t *count, const char *tag)
{
  size_t at = *count;
  while (at > 0 && strcmp(tags[at - 1], tag) > 0)
    at--;
  if (at > 0 && strcmp(tags[at - 1], tag) == 0)
    return;
  memmove(tags + at + 1, tags + at, (*count - at) * sizeof *tags);
  tags[at] = tag;
  ++*count;
}

/* Takes `packed`, a copy of texts with blanks between, apart. */
static char *split_tags(char *packed, const char *removed, const char **tags, size_t *count)
{
  while (*packed) {
    char *tag = packed;
    packed += strcspn(packed, " ");
    if (*packed == ' ')
      *packed++ = '\0';
    if (*tag && !gg__tag_list_has(removed, tag, strlen(tag)))
      add_tag(tags, count, tag);
  }
  return packed + 1;
}

/* Those of the recording, which its last part has, and what people have made of them. */
static int set_tags(struct gg__record *record, const struct gg__row *row, const char *packed)
{
  const char *added = row->marked ? row->added : "", *removed = row->marked ? row->removed : "";
  size_t room = packed_count(packed) + packed_count(added), count = 0;
  record->session.held = row->marked && row->held;
  if (room == 0)
    return 0;
  const char **tags = malloc(2 * room * sizeof *tags + 2 * strlen(packed) + strlen(added) + 3), **own = tags + room;
  if (!tags)
    return GG_ERR_NOMEM;
  char *at = memcpy(own + room, packed, strlen(packed) + 1);
  at = split_tags(at, "", own, &record->own_tag_count);
  record->own_tags = record->own_tag_count ? own : NULL;
  memcpy(at, packed, strlen(packed) + 1);
  at = split_tags(at, removed, tags, &count);
  memcpy(at, added, strlen(added) + 1);
  split_tags(at, "", tags, &count);
  record->tags = tags;
  record->session.tags = count ? tags : NULL;
  record->session.tag_count = count;
  return 0;
}

/* The part's own capture, for who has none: its name and path. */
static void set_capture(struct reading *reading, struct gg__capture *capture, const char *folder, const char *name,
                        bool scattered)
{
  size_t length = strlen(folder), bytes = strlen(name);
  char *path = reading->texts;
  if (bytes >= NAME_BYTES_MAX || length + bytes + 2 > (size_t)(reading->texts_end - path)) {
    reading->failed = true;
    return;
  }
  memcpy(path, folder, length);
  path[length] = '/';
  memcpy(path + length + 1, name, bytes + 1);
  reading->texts += length + bytes + 2;
  *capture = (struct gg__capture){.path = path, .name = path + length + 1, .own = true, .scattered = scattered};
}

static int build_session(struct gg__record *record, const struct gg__row *row)
{
  struct gg_session *session = &record->session;
  uint64_t told[2] = {0, 0};
  const char *tags = "";
  memcpy(session->id, row->id, sizeof session->id - 1);
  gg__session_begin(session, record->parts);
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session) {
    gg__session_add(session, part, told, part == record->parts);
    tags = part->closed ? part->tags : tags;
  }
  return set_tags(record, row, tags);
}

/* Segments' numbers stand in front of the parts, so they are read by a second reading. */
static int get_parts(struct reading *reading, struct gg__record *record, const struct counts *counts,
                     struct reading *numbers, struct gg__capture *own, const char *folder, gg__segment_fn find,
                     void *context)
{
  for (size_t i = 0; i < counts->parts; i++) {
    struct gg__part *part = &reading->parts[i];
    bool scattered;
    const char *name = NULL;
    get_part(reading, part, &scattered);
    struct gg__capture *capture = NULL;
    int error = reading->failed ? GG_ERR_CORRUPT : find(context, (int64_t)get(numbers), &capture, &name);
    if (error)
      return error;
    if (!capture) {
      capture = &own[i];
      set_capture(reading, capture, folder, name, scattered);
    }
    part->capture = capture;
    part->record = record;
    memcpy(part->id, reading->row->id, sizeof part->id - 1);
    part->next_of_session = i + 1 < counts->parts ? part + 1 : NULL;
  }
  return reading->failed ? GG_ERR_CORRUPT : 0;
}

int gg__parts_decode(struct gg__record **out, const void *blob, size_t length, const struct gg__row *row,
                     const char *folder, gg__segment_fn find, void *context)
{
  struct reading reading = {.at = blob, .end = (const uint8_t *)blob + length, .row = row};
  struct counts counts;
  *out = NULL;
  if (strlen(row->id) + 1 != sizeof((*out)->session.id) || !get_counts(&reading, length, &counts))
    return GG_ERR_CORRUPT;
  size_t text_bytes = length;
  for (size_t i = 0; i < GG__ROW_TEXTS; i++)
    text_bytes += strlen(row->texts[i]) + 1;
  if (folder)
    text_bytes += counts.parts * (strlen(folder) + NAME_BYTES_MAX + 1);
  size_t parts_at = sizeof(struct gg__record), extents_at = parts_at + counts.parts * sizeof(struct gg__part);
  size_t captures_at = extents_at + counts.extents * sizeof(struct gg__extent);
  size_t texts_at = captures_at + (folder ? counts.parts * sizeof(struct gg__capture) : 0);
  char *memory = malloc(texts_at + text_bytes);
  if (!memory)
    return GG_ERR_NOMEM;
  struct gg__record *record = (void *)memory;
  *record = (struct gg__record){.parts = (void *)(memory + parts_at)};
  reading.parts = record->parts;
  reading.extents = (void *)(memory + extents_at);
  reading.extents_end = reading.extents + counts.extents;
  reading.texts = memory + texts_at;
  reading.texts_end = reading.texts + text_bytes;
  for (size_t i = 0; i < GG__ROW_TEXTS; i++)
    reading.own[i] = keep(&reading, row->texts[i], strlen(row->texts[i]));
  struct reading numbers = reading;
  for (size_t i = 0; i < counts.parts; i++)
    get(&reading);
  int error = get_parts(&reading, record, &counts, &numbers, (void *)(memory + captures_at), folder, find, context);
  if (!error && reading.at != reading.end)
    error = GG_ERR_CORRUPT;
  if (!error)
    error = build_session(record, row);
  if (error) {
    free(memory);
    return error;
  }
  *out = record;
  return 0;
}
