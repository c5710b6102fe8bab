/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over all files, in order of their names. The rules of parts (part.h) are those of the store's own scan; what
 * differs is that a session has one part at a time, which is added to it and begun anew when the next file repeats its
 * facts:
 *
 *   packet ──► flow of this file ──► part ──► stream ──► pieces ──► the caller
 *                  │ none, or replaced
 *                  └──► open session of that id (its next part), or a new one
 *
 * A session is open from its first packet to
 *   - its closing facts: it ends at once, and its 4-tuple is free;
 *   - another session's first packet on the same 4-tuple, or the file's end, if it is somebody else's capture;
 *   - the end of the sweep.
 * What an earlier part's stream still held when its file ended comes out then, as the scan counts it.
 *
 * If a catalogue can say where the sessions are that are asked for (chosen.h), only files and ranges that have any of
 * them are read, and a part begins where it says so: all other packets are somebody else's, and nothing is made of
 * them. What is told of the chosen ones is the same, as it comes the same way.
 *
 * What has gone when its turn comes is read in what retention has kept of it (moved.h). There the chosen ones are at
 * other places, and are known by their ids.
 *
 * Rejected: a sweep over the parts that a scan found. They are a quarter of a kilobyte a session and segment, and the
 * files would be read twice.
 */
#include "store/sweep.h"

#include "base/list.h"
#include "record/packet.h"
#include "store/capture.h"
#include "store/chosen.h"
#include "store/chunking.h"
#include "store/facts.h"
#include "store/flows.h"
#include "store/frames.h"
#include "store/hash.h"
#include "store/marks.h"
#include "store/moved.h"
#include "store/place.h"
#include "store/tags.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BUCKETS_MIN = 256, PROGRESS_BYTES = 1 << 20 };

struct opened {
  struct gg__part part; /* first: flows know it by this. Its share of the present file, if it is in `bound` */
  struct gg_list node;  /* of all open ones, in the order in which they began */
  struct gg_list bound; /* of those with a part in the present file */
  struct opened *next;  /* of the table's bucket */
  uint64_t last;        /* where its part ends, if it was chosen */
  void *token;
  struct gg_session session; /* of the parts before this one */
  uint64_t told[2];          /* how far the streams had come then */
  uint64_t base[2];          /* where this part's streams begin */
  uint64_t now_ns;           /* of the packet taken last */
  struct gg__chunking chunking;
  uint32_t fin_sequence[2];
  bool fin_seen[2], fin_told[2];
  bool rst_told;
  char *text[GG__TEXTS]; /* what its part's texts point to; NULL: "" */
  void *tags;            /* ... and the session's tags */
};

struct sweep {
  const struct gg_sweep_ops *ops;
  void (*drop)(void *token);
  void *context;
  struct gg_failure *failure;
  struct gg__place place;
  struct gg__life life;
  struct gg__marks *marks;               /* what people say of sessions; NULL: nothing is known of that */
  bool chooses;                          /* only what is in `chosen` is read */
  struct gg__chosen chosen;              /* ... */
  const struct gg__chosen_file *of_file; /* ... of the file that is being read; NULL: it is read whole */
  size_t part, range;                    /* ... the next one to begin, and where it is read */
  struct gg__chosen_file kept;           /* ... of what was kept of it, if it has gone */
  bool told;                             /* any session was */
  char **names;                          /* of all files, unless some were chosen */
  size_t name_count, name_room;
  uint64_t done, total;        /* bytes of files, or of what is read of them */
  uint32_t file_count;         /* that were told of; the last one is being read */
  struct gg__capture *capture; /* the same */
  bool follows;                /* that is what was kept of the file that was to be read */
  uint64_t progress_at;        /* the offset in it at which progress is told next */
  bool readable;               /* any file was */
  struct gg__flows flows;
  struct gg_list all, bound;
  struct opened **buckets;
  size_t bucket_count; /* a power of two */
  size_t open_count;
};

/* ── Open sessions by id ─────────────────────────────────────────────────────────────────────────────────────────── */

static struct opened **bucket_of(struct opened **buckets, size_t count, const char *id)
{
  return &buckets[gg__hash(id, 24) & (count - 1)];
}

static int grow_table(struct sweep *sweep)
{
  size_t count = sweep->bucket_count ? sweep->bucket_count * 2 : BUCKETS_MIN;
  struct opened **larger = calloc(count, sizeof(struct opened *));
  if (!larger)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < sweep->bucket_count; i++)
    for (struct opened *at = sweep->buckets[i], *next; at; at = next) {
      struct opened **bucket = bucket_of(larger, count, at->session.id);
      next = at->next;
      at->next = *bucket;
      *bucket = at;
    }
  free(sweep->buckets);
  sweep->buckets = larger;
  sweep->bucket_count = count;
  return 0;
}

static struct opened *find_open(const struct sweep *sweep, const char *id)
{
  if (sweep->bucket_count == 0)
    return NULL;
  struct opened *at = *bucket_of(sweep->buckets, sweep->bucket_count, id);
  while (at && memcmp(at->session.id, id, 24) != 0)
    at = at->next;
  return at;
}

static int add_open(struct sweep *sweep, struct opened *opened)
{
  if (sweep->open_count == GG_SWEEP_OPEN_MAX)
    return gg_fail(sweep->failure, GG_ERR_LIMIT, "more than %d sessions are without an end at one time",
                   GG_SWEEP_OPEN_MAX);
  if (sweep->open_count >= sweep->bucket_count && grow_table(sweep) != 0)
    return GG_ERR_NOMEM;
  struct opened **bucket = bucket_of(sweep->buckets, sweep->bucket_count, opened->session.id);
  opened->next = *bucket;
  *bucket = opened;
  gg_list_append(&sweep->all, &opened->node);
  sweep->open_count++;
  return 0;
}

static void free_opened(struct opened *opened)
{
  gg__part_fini(&opened->part);
  free(opened->tags);
  for (size_t i = 0; i < GG__TEXTS; i++)
    free(opened->text[i]);
  free(opened);
}

static void forget(struct sweep *sweep, struct opened *opened)
{
  struct opened **at = bucket_of(sweep->buckets, sweep->bucket_count, opened->session.id);
  while (*at != opened)
    at = &(*at)->next;
  *at = opened->next;
  sweep->open_count--;
  gg_list_remove(&opened->node);
  gg_list_remove(&opened->bound);
  free_opened(opened);
}

/* A text that stays until the same one of another part replaces it. What an earlier part had is then in nobody's hands:
 * its session takes the newest that is not empty. */
static const char *keep(void *context, enum gg__part_text which, const char *text)
{
  struct opened *opened = context;
  char **kept = &opened->text[which];
  if (!text[0])
    return "";
  if (*kept && strcmp(*kept, text) == 0)
    return *kept;
  char *copy = strdup(text);
  if (!copy)
    return NULL;
  free(*kept);
  *kept = copy;
  return copy;
}

/* ── Pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct giving {
  struct sweep *sweep;
  struct opened *opened;
  const struct gg__frame *frame; /* that is being taken; NULL: none */
  int side;
};

static int give(const struct giving *giving, struct gg_sweep_piece *piece)
{
  piece->side = giving->side == 0 ? GG_SIDE_CLIENT : GG_SIDE_SERVER;
  piece->time_ns = giving->opened->now_ns;
  piece->file = giving->sweep->file_count - 1;
  return giving->sweep->ops->piece(giving->sweep->context, &giving->opened->token, piece);
}

/* Where bytes are in the file; UINT64_MAX: they are a copy. */
static uint64_t place_of(const struct giving *giving, const uint8_t *data)
{
  const struct gg__frame *frame = giving->frame;
  uintptr_t at = (uintptr_t)data, payload = frame ? (uintptr_t)frame->tcp.payload : 0;
  if (!frame || at < payload || at - payload >= frame->tcp.payload_bytes)
    return UINT64_MAX;
  return frame->packet.block.offset + (uint64_t)(data - frame->packet.block.data);
}

static int give_run(void *context, const struct gg__run *run)
{
  const struct giving *giving = context;
  struct opened *opened = giving->opened;
  struct gg_sweep_piece piece = {.offset = opened->base[giving->side] + run->offset, .place = UINT64_MAX};
  gg__part_take_run(&opened->part, giving->side, run);
  if (run->gap) {
    opened->chunking.growing = false;
    piece.kind = GG_SWEEP_GAP;
    piece.gap = run->gap;
    return give(giving, &piece);
  }
  uint64_t place = place_of(giving, run->data), begin = piece.offset;
  int error = 0;
  for (uint32_t done = 0; !error && done < run->length; done += piece.length) {
    piece.kind = GG_SWEEP_BYTES;
    piece.offset = begin + done;
    piece.length = (uint32_t)gg__chunking_take(&opened->chunking, opened->now_ns, giving->side, piece.offset,
                                               run->length - done, &piece.begins_chunk);
    piece.data = run->data + done;
    piece.place = place == UINT64_MAX ? place : place + done;
    error = give(giving, &piece);
  }
  return error;
}

static int give_mark(const struct giving *giving, enum gg_sweep_kind kind)
{
  const struct opened *opened = giving->opened;
  struct gg_sweep_piece piece = {
    .kind = kind, .offset = opened->base[giving->side] + opened->part.stream[giving->side].offset, .place = UINT64_MAX};
  return give(giving, &piece);
}

/* A side's end, once all in front of it has been given, or never will be (`last`). */
static int give_fin(const struct giving *giving, bool last)
{
  struct opened *opened = giving->opened;
  int side = giving->side;
  const struct gg__stream *stream = &opened->part.stream[side];
  if (!opened->fin_seen[side] || opened->fin_told[side])
    return 0;
  bool reached =
    !stream->begun || (stream->held_count == 0 && (int32_t)(stream->next - opened->fin_sequence[side]) >= 0);
  if (!reached && !last)
    return 0;
  opened->fin_told[side] = true;
  return give_mark(giving, GG_SWEEP_FIN);
}

static int give_packet(struct giving *giving, uint64_t gap)
{
  struct opened *opened = giving->opened;
  const struct gg__frame *frame = giving->frame;
  int side = giving->side;
  uint8_t flags = frame->tcp.flags;
  int error = gg__part_push(&opened->part, side, frame, gap, false, give_run, giving);
  if (frame->tcp.payload_bytes > 0 && (flags & GG_TCP_PSH))
    gg__chunking_push(&opened->chunking, side);
  if ((flags & GG_TCP_FIN) && !opened->fin_seen[side]) {
    opened->fin_seen[side] = true;
    opened->fin_sequence[side] =
      frame->tcp.sequence + ((flags & GG_TCP_SYN) ? 1 : 0) + frame->tcp.payload_bytes + frame->tcp.missing_bytes;
  }
  if (!error)
    error = give_fin(giving, false);
  if (error || !(flags & GG_TCP_RST) || opened->rst_told)
    return error;
  opened->rst_told = true;
  return give_mark(giving, GG_SWEEP_RST);
}

/* ── Life of a session ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Its part in this file is over: what its streams held is given, and it is added to the session. */
static int settle(struct sweep *sweep, struct opened *opened)
{
  struct gg_session *session = &opened->session;
  struct giving giving = {.sweep = sweep, .opened = opened};
  int error = 0;
  if (gg_list_empty(&opened->bound))
    return 0;
  for (giving.side = 0; giving.side < 2 && !error; giving.side++) {
    struct gg__stream *stream = &opened->part.stream[giving.side];
    error = gg__stream_flush(stream, give_run, &giving);
    if (!error)
      error = give_fin(&giving, true);
  }
  gg__part_fini(&opened->part);
  gg_list_remove(&opened->bound);
  gg__flows_unbind(&sweep->flows, &opened->part);
  bool first = session->segments == 0;
  if (first) {
    gg__session_begin(session, &opened->part);
    session->state = gg__life_state(&sweep->life, sweep->capture->name);
  }
  gg__session_add(session, &opened->part, opened->told, first);
  return error;
}

/* What it is, with what people say of it. */
static int make_record(const struct sweep *sweep, const struct opened *opened, struct gg__record *out)
{
  const struct gg_session *session = &opened->session;
  *out = (struct gg__record){.session = *session, .own_tags = session->tags, .own_tag_count = session->tag_count};
  return gg__record_mark(out, sweep->marks ? gg__marks_find(sweep->marks, session->id) : NULL);
}

static int end_session(struct sweep *sweep, struct opened *opened)
{
  struct gg__record record = {0};
  int error = settle(sweep, opened);
  if (!error)
    error = gg__tags_set(&opened->session, &opened->tags, opened->part.tags);
  if (!error)
    error = make_record(sweep, opened, &record);
  if (!error) {
    error = sweep->ops->end(sweep->context, &opened->token, &record.session);
  } else if (sweep->drop) {
    sweep->drop(opened->token);
  }
  free(record.joined_tags);
  forget(sweep, opened);
  return error;
}

/* A session that nothing was known of. */
static int begin_session(struct sweep *sweep, struct opened **out, const struct gg__frame *frame,
                         const struct gg__facts *facts)
{
  struct opened *opened = calloc(1, sizeof *opened);
  if (!opened)
    return GG_ERR_NOMEM;
  gg_list_init(&opened->node);
  gg_list_init(&opened->bound);
  gg__part_begin(&opened->part, sweep->capture->name, frame, facts);
  memcpy(opened->session.id, opened->part.id, sizeof opened->session.id);
  opened->session.generation = 1;
  int error = facts ? gg__part_take_facts(&opened->part, facts, keep, opened) : 0;
  gg__session_begin(&opened->session, &opened->part);
  opened->session.listener = opened->part.listener;
  opened->session.upstream = opened->part.upstream;
  opened->session.server_path = opened->part.server_path;
  opened->session.original = opened->part.original;
  opened->session.as_sent_of = opened->part.as_sent_of;
  if (!error)
    error = sweep->ops->begin(sweep->context, &opened->token, &opened->session);
  if (error) {
    free_opened(opened);
    return error;
  }
  sweep->told = true;
  error = add_open(sweep, opened);
  if (error) {
    if (sweep->drop)
      sweep->drop(opened->token);
    free_opened(opened);
    return error;
  }
  *out = opened;
  return 0;
}

/* Its streams go on in another part: what is between them was lost. */
static int continue_session(struct sweep *sweep, struct opened *opened, const struct gg__frame *frame,
                            const struct gg__facts *facts)
{
  int error = settle(sweep, opened);
  if (error)
    return error;
  gg__part_begin(&opened->part, sweep->capture->name, frame, facts);
  opened->now_ns = frame->packet.time_ns;
  struct giving giving = {.sweep = sweep, .opened = opened};
  for (giving.side = 0; giving.side < 2 && !error; giving.side++) {
    uint64_t told = opened->told[giving.side], offset = opened->part.offset[giving.side];
    opened->base[giving.side] = told;
    if (!opened->part.continued || offset <= told)
      continue;
    struct gg_sweep_piece piece = {.kind = GG_SWEEP_GAP, .offset = told, .gap = offset - told, .place = UINT64_MAX};
    opened->base[giving.side] = offset;
    opened->chunking.growing = false;
    error = give(&giving, &piece);
  }
  return error;
}

/* A packet that belongs to no part: `before` had its 4-tuple, or NULL. */
static int bind_packet(struct sweep *sweep, struct opened *before, struct opened **out, const struct gg__frame *frame,
                       const struct gg__facts *facts)
{
  int error = 0;
  if (before)
    error = before->part.foreign ? end_session(sweep, before) : settle(sweep, before);
  if (error)
    return error;
  struct opened *opened = facts && facts->id[0] ? find_open(sweep, facts->id) : NULL;
  if (opened) {
    error = continue_session(sweep, opened, frame, facts);
  } else {
    error = begin_session(sweep, &opened, frame, facts);
    for (int side = 0; side < 2 && !error && opened->part.continued; side++)
      opened->base[side] = opened->part.offset[side];
  }
  if (error)
    return error;
  error = gg__flows_bind(&sweep->flows, &opened->part);
  if (!error)
    gg_list_append(&sweep->bound, &opened->bound);
  *out = opened;
  return error;
}

/* The chosen part that begins with this packet; NULL: none does. Those in front of it that were not there are left
 * out: the file is damaged. */
static const struct gg__chosen_part *chosen_at(struct sweep *sweep, uint64_t offset)
{
  const struct gg__chosen_file *file = sweep->of_file;
  while (file && sweep->part < file->part_count && file->parts[sweep->part].first < offset)
    sweep->part++;
  bool begins = file && sweep->part < file->part_count && file->parts[sweep->part].first == offset;
  return begins ? &file->parts[sweep->part] : NULL;
}

static int take_frame(struct sweep *sweep, const struct gg__frame *frame)
{
  struct opened *opened = (struct opened *)gg__flows_find(&sweep->flows, frame);
  const struct gg__chosen_part *chosen = chosen_at(sweep, frame->packet.block.offset);
  if (sweep->of_file && !chosen && (!opened || frame->packet.block.offset > opened->last))
    return 0;
  struct gg__facts parsed;
  enum gg__facts_kind kind = GG__FACTS_NONE;
  if (frame->comment)
    kind = gg__facts_parse(&parsed, frame->comment, frame->comment_bytes);
  if (kind == GG__FACTS_NOMEM)
    return GG_ERR_NOMEM;
  const struct gg__facts *facts = kind == GG__FACTS_OURS ? &parsed : NULL;
  bool binds = chosen || !opened || gg__part_replaced(&opened->part, frame, facts);
  if (sweep->of_file && binds && !chosen)
    return 0;
  int error = binds ? bind_packet(sweep, opened, &opened, frame, facts) : 0;
  if (!error && chosen)
    opened->last = chosen->last;
  if (!error && facts)
    error = gg__part_take_facts(&opened->part, facts, keep, opened);
  if (error)
    return error;
  struct giving giving = {sweep, opened, frame, gg__part_side(&opened->part, frame)};
  assert(giving.side >= 0);
  opened->now_ns = frame->packet.time_ns;
  gg__part_note(&opened->part, giving.side, frame);
  if (sweep->ops->packet)
    sweep->ops->packet(sweep->context, &opened->token, frame->packet.block.bytes);
  error = give_packet(&giving, facts ? facts->gap : 0);
  return !error && opened->part.closed ? end_session(sweep, opened) : error;
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t size_of(const char *path)
{
  struct stat status;
  return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static int tell_progress(struct sweep *sweep, uint64_t offset)
{
  if (!sweep->ops->progress || offset < sweep->progress_at)
    return 0;
  uint64_t done = sweep->done + offset - (sweep->of_file ? gg__chosen_begin(sweep->of_file) : 0);
  sweep->progress_at = offset + PROGRESS_BYTES;
  return sweep->ops->progress(sweep->context, done, done > sweep->total ? done : sweep->total) ? 0 : GG_ERR_CLOSED;
}

static int next_frame(struct sweep *sweep, struct gg__frames *frames, struct gg__frame *frame,
                      struct gg_failure *failure)
{
  const struct gg__chosen_file *file = sweep->of_file;
  int error = file ? gg__extents_follow(file->ranges, file->range_count, &sweep->range, frames, failure) : 0;
  return error ? error : gg__frames_next(frames, frame, failure);
}

/* Trouble with a file is a warning, and what was read of it stays. */
static int read_frames(struct sweep *sweep, struct gg__frames *frames)
{
  struct gg__capture *capture = sweep->capture;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__frame frame;
  int result;
  sweep->progress_at = 0;
  while ((result = next_frame(sweep, frames, &frame, &failure)) == 0) {
    int error = take_frame(sweep, &frame);
    if (!error)
      error = tell_progress(sweep, gg__frames_offset(frames));
    if (error)
      return error;
    capture->packets++;
  }
  capture->strangers = gg__frames_strangers(frames);
  gg__capture_conclude(capture, frames, result, &failure);
  return result == GG_ERR_NOMEM ? result : 0;
}

/* Captures of others end with their file; our own sessions may go on in the next. */
static int end_file(struct sweep *sweep)
{
  int error = 0;
  while (!error && !gg_list_empty(&sweep->bound)) {
    struct opened *opened = GG_CONTAINER(sweep->bound.next, struct opened, bound);
    error = opened->part.foreign ? end_session(sweep, opened) : settle(sweep, opened);
  }
  gg__flows_fini(&sweep->flows);
  return error;
}

/* What retention has kept of the file is read in its place: all of it, or what was chosen there. */
static int open_kept(struct sweep *sweep, struct gg__frames **out, struct gg_failure *failure)
{
  struct gg__moved moved;
  struct gg__capture *kept = NULL;
  bool whole = true;
  int error = gg__moved_find(&moved, sweep->capture, failure);
  if (!error && sweep->of_file)
    error = gg__chosen_follow(&sweep->kept, sweep->of_file, &moved, &whole);
  if (!error)
    error = gg__capture_create(&kept, sweep->place.directory, moved.capture->name, true);
  if (!error) {
    if (!whole)
      gg__chosen_note_gone(&sweep->chosen, sweep->capture->name);
    gg__capture_destroy(sweep->capture);
    sweep->capture = kept;
    sweep->of_file = sweep->of_file ? &sweep->kept : NULL;
    sweep->follows = true;
    *out = moved.frames;
    moved.frames = NULL;
  }
  gg__moved_fini(&moved);
  return error;
}

/* Where its first packet is that is wanted. */
static int open_frames(struct sweep *sweep, struct gg__frames **out, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  int error = gg__frames_open(out, sweep->capture->path, &why);
  if (error == GG_ERR_NOT_FOUND && sweep->capture->own)
    error = open_kept(sweep, out, failure);
  if (error)
    gg_fail(failure, error, "%s", why.message);
  const struct gg__chosen_file *file = sweep->of_file;
  if (error || !file)
    return error;
  error = gg__frames_jump(*out, gg__chosen_begin(file), file->scattered, failure);
  if (error) {
    gg__frames_close(*out);
    *out = NULL;
  }
  return error;
}

static int tell_file(struct sweep *sweep)
{
  uint32_t index = sweep->file_count++;
  return sweep->ops->file ? sweep->ops->file(sweep->context, index, sweep->capture->path) : 0;
}

static int read_file(struct sweep *sweep)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg__chosen_file *asked = sweep->of_file;
  struct gg__frames *frames = NULL;
  int error = tell_file(sweep);
  if (error)
    return error;
  error = open_frames(sweep, &frames, &failure);
  if (error == GG_ERR_NOMEM)
    return error;
  struct gg__capture *capture = sweep->capture;
  if (error == GG_ERR_NOT_FOUND && asked) {
    gg__chosen_note_gone(&sweep->chosen, capture->name);
    return 0;
  }
  if (error) {
    gg__capture_unreadable(capture, failure.message);
  } else {
    error = sweep->follows ? tell_file(sweep) : 0;
    if (!error)
      error = read_frames(sweep, frames);
    gg__frames_close(frames);
    if (!error)
      error = end_file(sweep);
    if (error)
      return error;
  }
  sweep->readable |= capture->health != GG__CAPTURE_UNREADABLE;
  sweep->done += asked ? gg__chosen_span(asked) : size_of(capture->path);
  /* The last record of what is being written may be unfinished. */
  bool growing = capture->health == GG__CAPTURE_TORN && sweep->life.live;
  if (capture->problem[0] && !growing && sweep->ops->warning)
    sweep->ops->warning(sweep->context, capture->problem);
  return 0;
}

static int add_name(void *context, const char *name)
{
  struct sweep *sweep = context;
  if (sweep->name_count == GG_PLACE_FILES_MAX)
    return gg_fail(sweep->failure, GG_ERR_LIMIT, "the recording has more than %d files", GG_PLACE_FILES_MAX);
  if (sweep->name_count == sweep->name_room) {
    size_t room = sweep->name_room ? sweep->name_room * 2 : 64;
    char **larger = realloc(sweep->names, room * sizeof(char *));
    if (!larger)
      return GG_ERR_NOMEM;
    sweep->names = larger;
    sweep->name_room = room;
  }
  sweep->names[sweep->name_count] = strdup(name);
  return sweep->names[sweep->name_count] ? (sweep->name_count++, 0) : GG_ERR_NOMEM;
}

static int by_name(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All files, sorted, and how many bytes they have. */
static int list_files(struct sweep *sweep, struct gg_failure *failure)
{
  struct gg__capture *capture;
  int error = gg__place_each(&sweep->place, add_name, sweep, failure);
  if (sweep->name_count > 1)
    qsort(sweep->names, sweep->name_count, sizeof(char *), by_name);
  for (size_t i = 0; i < sweep->name_count && !error; i++) {
    error = gg__capture_create(&capture, sweep->place.directory, sweep->names[i], sweep->life.store);
    if (!error) {
      sweep->total += size_of(capture->path);
      gg__capture_destroy(capture);
    }
  }
  return error;
}

/* ── Chosen sessions ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Of a catalogue that was found to be of no use after the store had been looked at, that alone is told: what is wrong
 * with files is found once more by who reads all of them. */
static const char *warning_of(const struct gg_store *store, bool late, size_t index)
{
  if (!late || index == 0)
    return gg_store_warning(store, index);
  return gg__store_marks_warning(store, index - 1);
}

/* What its catalogue, and what people, say of a store. */
static int ask_store(struct sweep *sweep, struct gg_store *store, const struct gg_filter *filter,
                     struct gg_failure *failure)
{
  int error = gg__chosen_find(&sweep->chosen, store, filter, failure);
  bool late = error == GG_ERR_UNSUPPORTED && store->generation > 0;
  sweep->chooses = error == 0;
  if (error == GG_ERR_UNSUPPORTED)
    error = late ? 0 : gg__store_refresh_marks(store, failure);
  const char *text;
  for (size_t i = 0; !error && sweep->ops->warning && (text = warning_of(store, late, i)); i++)
    sweep->ops->warning(sweep->context, text);
  sweep->marks = store->marks;
  store->marks = NULL;
  for (size_t i = 0; i < sweep->chosen.file_count; i++)
    sweep->total += gg__chosen_span(&sweep->chosen.files[i]);
  return error;
}

/* The store is closed before anything is swept: what a scan keeps goes with it. */
static int choose(struct sweep *sweep, const char *path, const struct gg_filter *filter, struct gg_failure *failure)
{
  struct gg_store *store = NULL;
  if (!sweep->place.store)
    return 0;
  int error = gg_store_open(&store, path, NULL, failure);
  if (!error)
    error = ask_store(sweep, store, filter, failure);
  gg_store_close(store);
  return error;
}

/* Sessions that were in them are told as far as other files have them: as if it had been asked a moment later. */
static int tell_gone(struct sweep *sweep, struct gg_failure *failure)
{
  char text[GG__CHOSEN_GONE_TEXT];
  if (!gg__chosen_tell_gone(&sweep->chosen, sweep->told, text))
    return 0;
  if (!sweep->told)
    return gg_fail(failure, GG_ERR_NOT_FOUND, "%s", text);
  if (sweep->ops->warning)
    sweep->ops->warning(sweep->context, text);
  return 0;
}

/* ── The sweep ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static int sweep_file(struct sweep *sweep, const char *name, bool last, struct gg_failure *failure)
{
  sweep->part = sweep->range = 0;
  sweep->follows = false;
  int error = gg__capture_create(&sweep->capture, sweep->place.directory, name, sweep->life.store);
  if (error)
    return error;
  error = read_file(sweep);
  if (!error && last && !sweep->readable && !sweep->chooses)
    error = gg_fail(failure, GG_ERR_FORMAT, "%s", sweep->capture->problem);
  gg__capture_destroy(sweep->capture);
  sweep->capture = NULL;
  gg__chosen_file_fini(&sweep->kept);
  return error;
}

static int sweep_files(struct sweep *sweep, struct gg_failure *failure)
{
  int error = sweep->chooses ? 0 : list_files(sweep, failure);
  for (size_t i = 0; i < sweep->name_count && !error; i++)
    error = sweep_file(sweep, sweep->names[i], i + 1 == sweep->name_count, failure);
  for (size_t i = 0; i < sweep->chosen.file_count && !error; i++) {
    sweep->of_file = &sweep->chosen.files[i];
    error = sweep_file(sweep, sweep->of_file->name, false, failure);
  }
  while (!error && !gg_list_empty(&sweep->all))
    error = end_session(sweep, GG_CONTAINER(sweep->all.next, struct opened, node));
  if (!error)
    error = tell_gone(sweep, failure);
  if (!error && !sweep->chooses && sweep->life.unclosed[0] && sweep->ops->warning) /* the store has told it otherwise */
    sweep->ops->warning(sweep->context, sweep->life.unclosed);
  if (!error && sweep->ops->progress && !sweep->ops->progress(sweep->context, sweep->done, sweep->done))
    error = GG_ERR_CLOSED;
  return error;
}

static void sweep_fini(struct sweep *sweep)
{
  gg__flows_fini(&sweep->flows);
  while (!gg_list_empty(&sweep->all)) {
    struct opened *opened = GG_CONTAINER(sweep->all.next, struct opened, node);
    if (sweep->drop)
      sweep->drop(opened->token);
    forget(sweep, opened);
  }
  for (size_t i = 0; i < sweep->name_count; i++)
    free(sweep->names[i]);
  free(sweep->names);
  free(sweep->buckets);
  gg__chosen_fini(&sweep->chosen);
  gg__marks_close(sweep->marks);
  gg__place_fini(&sweep->place);
}

int gg_sweep(const char *path, const struct gg_filter *filter, const struct gg_sweep_ops *ops,
             void (*drop)(void *token), void *context, struct gg_failure *failure)
{
  struct sweep sweep = {.ops = ops, .drop = drop, .context = context, .failure = failure};
  gg_list_init(&sweep.all);
  gg_list_init(&sweep.bound);
  int error = gg__place_open(&sweep.place, path, failure);
  if (!error) {
    gg__place_ask(&sweep.place, &sweep.life);
    error = choose(&sweep, path, filter, failure);
  }
  if (!error)
    error = sweep_files(&sweep, failure);
  sweep_fini(&sweep);
  switch (error) {
  case 0:
    return 0;
  case GG_ERR_NOMEM:
    return gg_fail(failure, error, "no memory for the sessions of this store");
  case GG_ERR_CLOSED:
    return gg_fail(failure, error, "reading the recording was given up");
  default:
    return gg_fail(failure, error, "cannot read the recording");
  }
}
