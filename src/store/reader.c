/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one session back: its packets out of every segment that has a part of it, put in order, cut into chunks.
 *
 *   part ──► frames between its first and last offset ──► stream (order, gaps) ──► arena ──► chunk by chunk
 *
 * What lies between the part's extents (extents.h) is jumped over.
 *
 * The arena holds what one packet gave out (usually one run; many when a hole before held packets is filled) and the
 * chunk that is still growing:
 *
 *   | given | ready | ready | growing.....|          `growing` is the last entry, until a push, another time or side,
 * or
 *     taken ^                                        GG_READER_CHUNK_MAX ends it
 *
 * A side's FIN is an entry behind all that the side has said. It waits until no chunk is growing, so that chunks are
 * the same whether or not somebody asks for it.
 *
 * So memory is bounded by one block (GG_PCAPNG_BLOCK_MAX), what the streams may hold, and one chunk.
 */
#include "store/reader.h"
#include "store/chunking.h"
#include "store/extents.h"
#include "store/facts.h"
#include "store/frames.h"
#include "store/moved.h"

#include "record/packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  uint64_t time_ns;
  uint64_t offset;
  uint64_t gap;
  size_t at; /* in the arena */
  size_t length;
  int side;
  bool fin; /* nothing else */
};

struct fin {
  bool seen, told;
  uint64_t time_ns;
};

struct gg_reader {
  const struct gg__part *part; /* being read; NULL: all were */
  bool begun;                  /* of this part */
  struct gg__moved moved;      /* what was kept of the file that the part was in, if that has gone */
  struct gg__frames *frames;
  struct gg__stream stream[2];
  uint8_t *arena;
  size_t arena_bytes, arena_room;
  struct entry *entries;
  size_t entry_count, entry_room, taken;
  struct gg__chunking chunking; /* growing: the last entry is */
  struct fin fins[2];
  bool ended;
  bool follows;        /* gg__reader_follow */
  bool yields;         /* retention may take what it reads */
  uint64_t go_on_from; /* of a part that had no more; 0: it is not begun */
  uint64_t time_ns;    /* of the packet that is being taken */
  int side;
};

/* ── The arena ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct entry *last_entry(struct gg_reader *reader)
{
  return &reader->entries[reader->entry_count - 1];
}

static int reserve(struct gg_reader *reader, size_t bytes)
{
  if (reader->entry_count == reader->entry_room) {
    size_t room = reader->entry_room ? reader->entry_room * 2 : 16;
    struct entry *larger = realloc(reader->entries, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    reader->entries = larger;
    reader->entry_room = room;
  }
  if (reader->arena_bytes + bytes > reader->arena_room) {
    size_t room = (reader->arena_bytes + bytes) * 2;
    uint8_t *larger = realloc(reader->arena, room);
    if (!larger)
      return GG_ERR_NOMEM;
    reader->arena = larger;
    reader->arena_room = room;
  }
  return 0;
}

static int add_entry(struct gg_reader *reader, uint64_t offset, uint64_t gap)
{
  if (reserve(reader, 0) != 0)
    return GG_ERR_NOMEM;
  reader->entries[reader->entry_count++] = (struct entry){
    .time_ns = reader->time_ns, .offset = offset, .gap = gap, .at = reader->arena_bytes, .side = reader->side};
  return 0;
}

/* Whether all in front of a side's FIN has come. */
static bool fin_is_due(const struct gg_reader *reader, int side)
{
  const struct fin *fin = &reader->fins[side];
  const struct gg__stream *stream = &reader->stream[side];
  if (!fin->seen || fin->told)
    return false;
  return reader->ended || !stream->begun || (stream->held_count == 0 && (int32_t)(stream->next - stream->end) >= 0);
}

static int add_fin(struct gg_reader *reader, int side)
{
  if (!fin_is_due(reader, side))
    return 0;
  if (add_entry(reader, reader->stream[side].offset, 0) != 0)
    return GG_ERR_NOMEM;
  struct entry *entry = last_entry(reader);
  entry->fin = reader->fins[side].told = true;
  entry->side = side;
  entry->time_ns = reader->fins[side].time_ns;
  return 0;
}

/* While no chunk is growing. */
static int add_fins(struct gg_reader *reader)
{
  int error = add_fin(reader, 0);
  return error ? error : add_fin(reader, 1);
}

/* The stream counts a run as come while it gives it, and more may follow: only the other side's FIN may stand here. */
static int take_run(void *context, const struct gg__run *run)
{
  struct gg_reader *reader = context;
  if (run->gap) {
    reader->chunking.growing = false;
    return add_fin(reader, !reader->side) == 0 ? add_entry(reader, run->offset, run->gap) : GG_ERR_NOMEM;
  }
  for (size_t done = 0; done < run->length;) {
    bool begins;
    uint64_t offset = run->offset + done;
    size_t bytes =
      gg__chunking_take(&reader->chunking, reader->time_ns, reader->side, offset, run->length - done, &begins);
    if (begins && (add_fin(reader, !reader->side) != 0 || add_entry(reader, offset, 0) != 0))
      return GG_ERR_NOMEM;
    if (reserve(reader, bytes) != 0)
      return GG_ERR_NOMEM;
    memcpy(reader->arena + reader->arena_bytes, run->data + done, bytes);
    reader->arena_bytes += bytes;
    last_entry(reader)->length += bytes;
    done += bytes;
  }
  return 0;
}

/* Forgets what was given out. The arena keeps only the growing chunk. */
static void drop_taken(struct gg_reader *reader)
{
  size_t left = reader->entry_count - reader->taken;
  if (reader->taken == 0)
    return;
  if (left == 0) {
    reader->arena_bytes = 0;
  } else if (left == 1) {
    struct entry *last = last_entry(reader);
    if (last->length > 0) /* a gap alone has no bytes, and there may be no arena yet */
      memmove(reader->arena, reader->arena + last->at, last->length);
    last->at = 0;
    reader->arena_bytes = last->length;
    reader->entries[0] = *last;
  } else {
    return;
  }
  reader->entry_count = left;
  reader->taken = 0;
}

/* ── Packets ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int take_frame(struct gg_reader *reader, const struct gg__frame *frame, int side)
{
  struct gg__stream *stream = &reader->stream[side];
  struct gg__facts facts;
  enum gg__facts_kind kind = GG__FACTS_NONE;
  uint32_t sequence = frame->tcp.sequence;
  int error = 0;
  reader->time_ns = frame->packet.time_ns;
  reader->side = side;
  if (frame->tcp.flags & GG_TCP_SYN)
    gg__stream_begin(stream, ++sequence);
  if (frame->comment)
    kind = gg__facts_parse(&facts, frame->comment, frame->comment_bytes);
  if (kind == GG__FACTS_NOMEM)
    return GG_ERR_NOMEM;
  if (kind == GG__FACTS_OURS && facts.gap)
    error = gg__stream_gap(stream, sequence, facts.gap, take_run, reader);
  uint32_t bytes = frame->tcp.payload_bytes;
  if (!error)
    error =
      gg__stream_push(stream, sequence, frame->tcp.payload, bytes, bytes + frame->tcp.missing_bytes, take_run, reader);
  if (bytes > 0 && (frame->tcp.flags & GG_TCP_PSH))
    gg__chunking_push(&reader->chunking, side);
  if ((frame->tcp.flags & GG_TCP_FIN) && !reader->fins[side].seen) {
    reader->fins[side] = (struct fin){.seen = true, .time_ns = frame->packet.time_ns};
    gg__stream_fin(stream, sequence + bytes + frame->tcp.missing_bytes);
  }
  return error || reader->chunking.growing ? error : add_fins(reader);
}

/* Goes on with what was kept of the part's file, which has gone: the part is another one then. */
static int follow_part(struct gg_reader *reader, struct gg_failure *failure)
{
  struct gg__moved moved;
  int error = gg__moved_find(&moved, reader->part->capture, failure);
  const struct gg__part *part = error ? NULL : gg__moved_take(&moved, reader->part);
  if (!part) {
    gg__moved_fini(&moved);
    return error ? error
                 : gg_fail(failure, GG_ERR_NOT_FOUND, "%s has gone since the store was read, and was not kept for %s",
                           reader->part->capture->name, reader->part->id);
  }
  gg__moved_fini(&reader->moved);
  reader->frames = moved.frames;
  moved.frames = NULL;
  reader->moved = moved;
  reader->part = part;
  return 0;
}

static int open_part(struct gg_reader *reader, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  const struct gg__capture *capture = reader->part->capture;
  int error = reader->yields ? gg__frames_open_yielding(&reader->frames, capture->path, &why)
                             : gg__frames_open(&reader->frames, capture->path, &why);
  if (error == GG_ERR_NOT_FOUND && capture->own && capture != reader->moved.capture)
    return follow_part(reader, failure);
  return error ? gg_fail(failure, error, "%s", why.message) : 0;
}

/* Opens the part that was left when it had no more, at the place where it was left. */
static int resume_part(struct gg_reader *reader, struct gg_failure *failure)
{
  const struct gg__part *part = reader->part;
  int error = open_part(reader, failure);
  if (error)
    return error;
  reader->begun = true;
  if (part == reader->part)
    return gg__frames_jump(reader->frames, reader->go_on_from, part->capture->scattered, failure);
  part = reader->part; /* retention has moved it: what has been read of it comes again, and is dropped by the streams */
  return gg__frames_jump(reader->frames, part->first_offset, part->capture->scattered, failure);
}

/* What is between the parts that are here was lost with its segments. */
static int begin_part(struct gg_reader *reader, struct gg_failure *failure)
{
  if (reader->go_on_from)
    return resume_part(reader, failure);
  int error = open_part(reader, failure);
  if (error)
    return error;
  const struct gg__part *part = reader->part;
  bool first = gg__part_is_first(part);
  reader->begun = true;
  for (int side = 0; side < 2 && part->continued; side++) {
    struct gg__stream *stream = &reader->stream[side];
    reader->side = side;
    reader->time_ns = part->start_ns;
    if (first)
      stream->offset = part->offset[side];
    else if (part->offset[side] > stream->offset && gg__stream_skip_to(stream, part->offset[side], take_run, reader))
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for reading a session");
  }
  return gg__frames_jump(reader->frames, part->first_offset, part->capture->scattered, failure);
}

/* Goes to the next block that may be the part's; GG_ERR_AGAIN: it has no more. */
static int go_on(struct gg_reader *reader, struct gg_failure *failure)
{
  uint64_t offset = gg__frames_offset(reader->frames), next = gg__extents_next(reader->part, offset);
  if (next == UINT64_MAX)
    return GG_ERR_AGAIN;
  return next > offset ? gg__frames_skip(reader->frames, next, failure) : 0;
}

/* The part has no more: the next one's turn, or later its own again. False: there is nothing to go on with. */
static bool leave_part(struct gg_reader *reader)
{
  const struct gg__part *next = reader->part->next_of_session;
  if (reader->frames)
    reader->go_on_from = gg__frames_offset(reader->frames);
  gg__frames_close(reader->frames);
  reader->frames = NULL;
  reader->begun = false;
  if (!next && reader->follows)
    return false;
  reader->go_on_from = 0;
  reader->part = next;
  return next != NULL;
}

static bool is_read(const struct gg_reader *reader)
{
  return reader->go_on_from && gg__extents_next(reader->part, reader->go_on_from) == UINT64_MAX;
}

/* Takes one more packet of the session. GG_ERR_AGAIN: there is none. */
static int read_more(struct gg_reader *reader, struct gg_failure *failure)
{
  struct gg__frame frame;
  while (reader->part) {
    int error = reader->begun ? 0 : is_read(reader) ? GG_ERR_AGAIN : begin_part(reader, failure);
    const struct gg__part *part = reader->part;
    while (!error && (error = go_on(reader, failure)) == 0) {
      error = gg__frames_next(reader->frames, &frame, failure);
      int side = error ? -1 : gg__part_side(part, &frame);
      if (!error && side >= 0 && frame.packet.block.offset <= part->last_offset) {
        error = take_frame(reader, &frame, side);
        return error ? gg_fail(failure, error, "no memory for reading a session") : 0;
      }
    }
    if (error && error != GG_ERR_AGAIN)
      return error;
    if (!leave_part(reader))
      break;
  }
  return GG_ERR_AGAIN;
}

/* Nothing more will come: what was held is given out, and only then a FIN that waited for what is missing. */
static int finish(struct gg_reader *reader, struct gg_failure *failure)
{
  for (reader->side = 0; reader->side < 2; reader->side++)
    if (gg__stream_flush(&reader->stream[reader->side], take_run, reader) != 0)
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for reading a session");
  reader->ended = true;
  reader->chunking.growing = false;
  return add_fins(reader);
}

/* ── The public side ─────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__reader_open(struct gg_reader **out, const struct gg__record *record, struct gg_failure *failure)
{
  *out = calloc(1, sizeof **out);
  if (!*out)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for reading a session");
  (*out)->part = record->parts;
  return 0;
}

int gg_reader_open(struct gg_reader **out, struct gg_store *store, const struct gg_session *session,
                   struct gg_failure *failure)
{
  assert(store && session);
  return gg__reader_open(out, gg__record_of(session), failure);
}

int gg__reader_go_on(struct gg_reader *reader, const struct gg__record *record, struct gg_failure *failure)
{
  assert(reader->follows && reader->part && !reader->begun);
  const struct gg__part *same = NULL;
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session)
    if (part->first_offset == reader->part->first_offset &&
        strcmp(part->capture->name, reader->part->capture->name) == 0)
      same = part;
  if (!same)
    return gg_fail(failure, GG_ERR_NOT_FOUND, "%s has gone since it was read", reader->part->capture->name);
  reader->part = same;
  return 0;
}

void gg__reader_yield(struct gg_reader *reader)
{
  reader->yields = true;
}

void gg__reader_follow(struct gg_reader *reader, bool follows)
{
  reader->follows = follows;
}

int gg__reader_step(struct gg_reader *reader, struct gg_chunk *chunk, struct gg_failure *failure)
{
  drop_taken(reader);
  while (reader->taken + reader->chunking.growing >= reader->entry_count && !reader->ended) {
    int error = read_more(reader, failure);
    if (error == GG_ERR_AGAIN && reader->follows) {
      reader->chunking.growing = false;
      if (add_fins(reader) != 0)
        return gg_fail(failure, GG_ERR_NOMEM, "no memory for reading a session");
      break;
    }
    if (error == GG_ERR_AGAIN)
      error = finish(reader, failure);
    if (error)
      return error;
  }
  if (reader->taken == reader->entry_count)
    return GG__READ_END;
  const struct entry *entry = &reader->entries[reader->taken++];
  *chunk = (struct gg_chunk){.time_ns = entry->time_ns,
                             .side = entry->side == 0 ? GG_SIDE_CLIENT : GG_SIDE_SERVER,
                             .offset = entry->offset,
                             .data = entry->length ? reader->arena + entry->at : NULL,
                             .length = entry->length,
                             .gap = entry->gap};
  return entry->fin ? GG__READ_FIN : GG__READ_CHUNK;
}

int gg_reader_next(struct gg_reader *reader, struct gg_chunk *chunk, struct gg_failure *failure)
{
  int read;
  do
    read = gg__reader_step(reader, chunk, failure);
  while (read == GG__READ_FIN);
  return read;
}

void gg_reader_close(struct gg_reader *reader)
{
  if (!reader)
    return;
  gg__frames_close(reader->frames);
  gg__moved_fini(&reader->moved);
  gg__stream_fini(&reader->stream[0]);
  gg__stream_fini(&reader->stream[1]);
  free(reader->arena);
  free(reader->entries);
  free(reader);
}
