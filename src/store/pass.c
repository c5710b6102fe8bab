/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pass.h"

#include "record/packet.h"
#include "store/extents.h"
#include "store/facts.h"
#include "store/frames.h"
#include "store/lookup.h"
#include "store/moved.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_BYTES = 1 << 20 };

/* A part, and whose it is. */
struct ref {
  const struct gg__part *part;
  struct gg__item *item;
};

struct reading {
  struct gg__pass *pass;
  struct gg_failure *failure;
  struct ref *refs; /* of all parts, by file and place; then those of a file by address */
  size_t ref_count;
  const struct gg__part **parts; /* of refs, by place */
  size_t left;                   /* items that are not done */
  struct ref last;               /* of the frame before */
  struct gg__item *item;         /* whose bytes are being taken */
  int side;
  uint64_t untold; /* bytes since the last tick */
};

/* ── What is found ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void leave_out(struct reading *reading, struct gg__item *item)
{
  struct gg__pass *pass = reading->pass;
  for (int side = 0; side < 2; side++) {
    pass->hits_bytes -= gg__hits_bytes(&item->hits[side]);
    gg__hits_fini(&item->hits[side]);
    gg__window_fini(&item->window[side]);
    gg__stream_fini(&item->stream[side]);
  }
  reading->left -= !item->done;
  item->done = true;
}

/* There is no room for the hits of all: the last session that has any is for another pass, and so are those behind. */
static void lower_limit(struct reading *reading)
{
  struct gg__pass *pass = reading->pass;
  while (!pass->tell && pass->limit > 0 && pass->hits_bytes > GG_PASS_HITS_BYTES)
    leave_out(reading, &pass->items[--pass->limit]);
}

static bool take_hit(void *context, const struct gg__hit *hit)
{
  struct reading *reading = context;
  struct gg__pass *pass = reading->pass;
  struct gg__item *item = reading->item;
  const struct gg_grep_options *options = pass->search->options;
  int side = reading->side;
  uint64_t most = options->matches_max;
  item->matches[side]++;
  if (options->match) {
    struct gg__hits *hits = &item->hits[side];
    size_t before = gg__hits_bytes(hits);
    if (gg__hits_add(hits, hit) != 0) {
      gg_fail(reading->failure, GG_ERR_NOMEM, "no memory for what was found");
      return true;
    }
    pass->hits_bytes += gg__hits_bytes(hits) - before;
    if (pass->tell && !pass->tell(pass->context, item))
      atomic_store(&pass->search->stopped, true);
    return (most && item->matches[side] >= most) || atomic_load(&pass->search->stopped);
  }
  bool enough = most && item->matches[0] + item->matches[1] >= most;
  item->window[1 - side].stopped |= enough;
  return enough;
}

/* ── Bytes in order ──────────────────────────────────────────────────────────────────────────────────────────────── */

static int take_bytes(struct reading *reading, const uint8_t *data, size_t length, uint64_t offset)
{
  struct gg__item *item = reading->item;
  struct gg__search *search = reading->pass->search;
  reading->untold += length;
  if (search->options->skip[reading->side])
    return 0;
  item->bytes += length;
  return gg__window_push(&item->window[reading->side], &search->how, reading->pass->finder, data, length, offset,
                         item->clock_ns, take_hit, reading);
}

static void end_text(struct reading *reading)
{
  gg__window_end(&reading->item->window[reading->side], &reading->pass->search->how, reading->pass->finder, take_hit,
                 reading);
}

static int take_run(void *context, const struct gg__run *run)
{
  struct reading *reading = context;
  if (run->gap == 0)
    return take_bytes(reading, run->data, run->length, run->offset);
  end_text(reading);
  return 0;
}

/* What is between a session's parts that are here was lost with its segments. */
static int begin_part(struct reading *reading, const struct gg__part *part)
{
  struct gg__item *item = reading->item;
  bool first = item->part == NULL;
  int error = 0;
  for (int side = 0; side < 2 && part->continued && !error; side++) {
    struct gg__stream *stream = &item->stream[side];
    reading->side = side;
    if (first)
      stream->offset = part->offset[side];
    else if (part->offset[side] > stream->offset)
      error = gg__stream_skip_to(stream, part->offset[side], take_run, reading);
  }
  item->part = part;
  return error;
}

static int take_packet(struct reading *reading, const struct gg__frame *frame, int side)
{
  struct gg__item *item = reading->item;
  struct gg__stream *stream = &item->stream[side];
  struct gg__facts facts;
  enum gg__facts_kind kind = GG__FACTS_NONE;
  uint32_t sequence = frame->tcp.sequence, bytes = frame->tcp.payload_bytes;
  int error = 0;
  reading->side = side;
  if (frame->packet.time_ns > item->clock_ns)
    item->clock_ns = frame->packet.time_ns;
  if (frame->tcp.flags & GG_TCP_SYN)
    gg__stream_begin(stream, ++sequence);
  if (frame->comment)
    kind = gg__facts_parse(&facts, frame->comment, frame->comment_bytes);
  if (kind == GG__FACTS_NOMEM)
    return GG_ERR_NOMEM;
  if (kind == GG__FACTS_OURS && facts.gap)
    error = gg__stream_gap(stream, sequence, facts.gap, take_run, reading);
  if (!error)
    error =
      gg__stream_push(stream, sequence, frame->tcp.payload, bytes, bytes + frame->tcp.missing_bytes, take_run, reading);
  return error;
}

static int finish(struct reading *reading, struct gg__item *item)
{
  int error = 0;
  if (item->done)
    return 0;
  reading->item = item;
  for (reading->side = 0; reading->side < 2; reading->side++) {
    if (!error)
      error = gg__stream_flush(&item->stream[reading->side], take_run, reading);
    end_text(reading);
  }
  for (int side = 0; side < 2; side++) {
    gg__stream_fini(&item->stream[side]);
    gg__window_fini(&item->window[side]);
  }
  item->done = true;
  reading->left--;
  struct gg__pass *pass = reading->pass;
  if (!error && pass->tell && !pass->tell(pass->context, item))
    error = GG_ERR_CLOSED;
  return error;
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int by_place(const void *a, const void *b)
{
  const struct ref *left = a, *right = b;
  if (left->part->capture != right->part->capture) {
    int order = strcmp(left->part->capture->path, right->part->capture->path);
    if (order != 0)
      return order;
  }
  return (left->part->first_offset > right->part->first_offset) -
         (left->part->first_offset < right->part->first_offset);
}

static int by_address(const void *a, const void *b)
{
  uintptr_t left = (uintptr_t)((const struct ref *)a)->part, right = (uintptr_t)((const struct ref *)b)->part;
  return (left > right) - (left < right);
}

/* Whether reading files by name reads the session's parts in their order, each file once. */
static bool in_order(const struct gg__part *part)
{
  for (; part && part->next_of_session; part = part->next_of_session)
    if (strcmp(part->capture->path, part->next_of_session->capture->path) >= 0)
      return false;
  return true;
}

static bool find_ref(struct reading *reading, const struct ref *refs, size_t count, const struct gg__lookup *lookup,
                     const struct gg__frame *frame, int *side)
{
  const struct gg__part *last = reading->last.part;
  uint64_t offset = frame->packet.block.offset;
  if (last && offset >= last->first_offset && offset <= last->last_offset && (*side = gg__part_side(last, frame)) >= 0)
    return true;
  struct ref key = {.part = gg__lookup_find(lookup, frame, side)};
  const struct ref *found = key.part ? bsearch(&key, refs, count, sizeof key, by_address) : NULL;
  if (found)
    reading->last = *found;
  return found != NULL;
}

static int tick(struct reading *reading)
{
  struct gg__pass *pass = reading->pass;
  atomic_fetch_add(&pass->search->bytes, reading->untold);
  reading->untold = 0;
  if (pass->tick && !pass->tick(pass->context))
    atomic_store(&pass->search->stopped, true);
  return atomic_load(&pass->search->stopped) ? GG_ERR_CLOSED : 0;
}

static int take_frame(struct reading *reading, const struct gg__frame *frame, int side)
{
  const struct gg__part *part = reading->last.part;
  struct gg__item *item = reading->item = reading->last.item;
  if (item->done)
    return 0;
  int error = item->part == part ? 0 : begin_part(reading, part);
  if (!error)
    error = take_packet(reading, frame, side);
  bool enough = item->window[0].stopped && item->window[1].stopped;
  bool last = frame->packet.block.offset >= part->last_offset && !part->next_of_session;
  if (!error && (enough || last))
    error = finish(reading, item);
  lower_limit(reading);
  return error;
}

/* A file cannot be read, or not further: that is told of the sessions that are in it, and no error. */
static int note_problem(struct reading *reading, const struct ref *refs, size_t count, uint64_t offset,
                        const struct gg_failure *failure)
{
  for (size_t i = 0; i < count; i++) {
    struct gg__item *item = refs[i].item;
    if (item->done || item->problem || offset > refs[i].part->last_offset)
      continue;
    item->problem = strdup(failure->message);
    if (!item->problem)
      return gg_fail(reading->failure, GG_ERR_NOMEM, "no memory for a search");
  }
  return 0;
}

struct file {
  const struct ref *refs; /* by address */
  size_t count;
  const struct gg__part *const *parts;
  struct gg__lookup *lookup;
  struct gg__extent *ranges;
  size_t range_count, range; /* being read */
  uint64_t end;              /* behind the beginning of the last block that is wanted */
  struct gg__frames *frames; /* the caller's */
};

/* Goes on to what is wanted next; GG_ERR_AGAIN: nothing is. */
static int advance(struct file *file, struct gg_failure *failure)
{
  if (gg__frames_offset(file->frames) >= file->end)
    return GG_ERR_AGAIN;
  return gg__extents_follow(file->ranges, file->range_count, &file->range, file->frames, failure);
}

static int read_frames(struct reading *reading, struct file *file, struct gg_failure *failure)
{
  struct gg__frame frame;
  uint64_t ticked = gg__frames_offset(file->frames);
  int error = 0, side = 0;
  while (reading->left > 0 && (error = advance(file, failure)) == 0 &&
         (error = gg__frames_next(file->frames, &frame, failure)) == 0) {
    if (find_ref(reading, file->refs, file->count, file->lookup, &frame, &side))
      error = take_frame(reading, &frame, side);
    if (!error && gg__frames_offset(file->frames) - ticked >= TICK_BYTES) {
      ticked = gg__frames_offset(file->frames);
      error = tick(reading);
    }
    if (error)
      return error == GG_ERR_CLOSED ? error : GG_ERR_NOMEM; /* not the file's */
  }
  if (error == 0 || error == GG_ERR_AGAIN)
    return 0;
  return error == GG_ERR_NOMEM
           ? error
           : note_problem(reading, file->refs, file->count, gg__frames_offset(file->frames), failure);
}

/* Reads parts of one file, in which packets of theirs begin at `first`. */
static int read_parts(struct reading *reading, struct file *file, uint64_t first, bool scattered)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  reading->last = (struct ref){0};
  for (size_t i = 0; i < file->count; i++)
    if (file->parts[i]->last_offset + 1 > file->end)
      file->end = file->parts[i]->last_offset + 1;
  if (gg__lookup_create(&file->lookup, file->parts, file->count) != 0)
    return GG_ERR_NOMEM;
  file->ranges = gg__extents_join(file->parts, file->count, &file->range_count);
  int error = gg__frames_jump(file->frames, first, scattered, &failure);
  if (error)
    error = error == GG_ERR_NOMEM ? error : note_problem(reading, file->refs, file->count, 0, &failure);
  else
    error = read_frames(reading, file, &failure);
  free(file->ranges);
  gg__lookup_destroy(file->lookup);
  return error;
}

/* Whose the parts of `moved` are that are taken for these. What is missing there is noted as a problem. */
static int refs_of_kept(struct reading *reading, const struct ref *refs, size_t count, struct gg__moved *moved,
                        struct ref *kept)
{
  struct gg_failure why = GG_FAILURE_INIT;
  size_t taken = 0;
  int error = 0;
  for (size_t i = 0; i < count && !error; i++) {
    const struct gg__part *part = gg__moved_take(moved, refs[i].part);
    if (!part) {
      gg_fail(&why, GG_ERR_NOT_FOUND, "%s has gone since the store was read", refs[i].part->capture->name);
      error = note_problem(reading, &refs[i], 1, 0, &why);
    } else if (part->stands_for == refs[i].part) {
      for (; part && part->capture == moved->capture; part = part->next_of_session)
        kept[taken++] = (struct ref){part, refs[i].item};
    }
  }
  return error;
}

/* The file has gone: what was kept of it is read. */
static int read_kept(struct reading *reading, const struct ref *refs, size_t count)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__moved moved;
  struct file file = {0};
  int error = gg__moved_find(&moved, refs[0].part->capture, &failure);
  if (error)
    return error == GG_ERR_NOMEM ? error : note_problem(reading, refs, count, 0, &failure);
  struct ref *kept = calloc(moved.count + 1, sizeof *kept);
  const struct gg__part **parts = NULL;
  error = kept ? refs_of_kept(reading, refs, count, &moved, kept) : GG_ERR_NOMEM;
  if (!error)
    error = gg__moved_taken(&moved, &parts, &file.count);
  if (!error && file.count > 0) {
    qsort(kept, file.count, sizeof *kept, by_address);
    file.refs = kept;
    file.parts = parts;
    file.frames = moved.frames;
    error = read_parts(reading, &file, parts[0]->first_offset, moved.capture->scattered);
  }
  for (size_t i = 0; i < count; i++) /* as if it had been read where it was: these parts go */
    if (refs[i].item->part && refs[i].item->part->capture == moved.capture)
      refs[i].item->part = refs[i].part;
  free(kept);
  free(parts);
  gg__moved_fini(&moved);
  return error;
}

static int read_file(struct reading *reading, struct ref *refs, const struct gg__part *const *parts, size_t count)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg__capture *capture = parts[0]->capture;
  struct file file = {.refs = refs, .count = count, .parts = parts};
  int error = gg__frames_open(&file.frames, capture->path, &failure);
  if (error == GG_ERR_NOT_FOUND && capture->own)
    return read_kept(reading, refs, count);
  if (error)
    return error == GG_ERR_NOMEM ? error : note_problem(reading, refs, count, 0, &failure);
  qsort(refs, count, sizeof *refs, by_address);
  error = read_parts(reading, &file, parts[0]->first_offset, capture->scattered);
  gg__frames_close(file.frames);
  return error;
}

static int read_files(struct reading *reading)
{
  int error = 0;
  for (size_t i = 0, count; i < reading->ref_count && reading->left > 0 && !error; i += count) {
    const char *path = reading->refs[i].part->capture->path;
    for (count = 0; i + count < reading->ref_count; count++) {
      const struct gg__part *part = reading->refs[i + count].part;
      if (strcmp(part->capture->path, path) != 0)
        break;
      reading->parts[i + count] = part;
    }
    error = read_file(reading, reading->refs + i, reading->parts + i, count);
  }
  return error;
}

/* ── One by one ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A session whose files stand in another order than their names, as in a folder of captures of others. */
static int read_alone(struct reading *reading, struct gg__item *item)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  reading->item = item;
  int result = gg_reader_open(&reader, reading->pass->search->store, item->session, &failure) == 0 ? 1 : GG_ERR_NOMEM;
  int error = result < 0 ? result : 0;
  while (!error && (result = gg_reader_next(reader, &chunk, &failure)) == 1) {
    reading->side = chunk.side == GG_SIDE_CLIENT ? 0 : 1;
    item->clock_ns = chunk.time_ns > item->clock_ns ? chunk.time_ns : item->clock_ns;
    if (chunk.gap)
      end_text(reading);
    else
      error = take_bytes(reading, chunk.data, chunk.length, chunk.offset);
    if (!error && reading->untold >= TICK_BYTES)
      error = tick(reading);
  }
  if (!error && result < 0)
    error = (item->problem = strdup(failure.message)) ? 0 : GG_ERR_NOMEM;
  gg_reader_close(reader);
  return error;
}

/* ── The pass ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool has_bytes(const struct reading *reading, const struct gg__item *item)
{
  const bool *skip = reading->pass->search->options->skip;
  return (!skip[0] && item->session->bytes[0] > 0) || (!skip[1] && item->session->bytes[1] > 0);
}

static size_t list_parts(struct reading *reading)
{
  size_t count = 0;
  for (size_t i = 0; i < reading->pass->count; i++) {
    struct gg__item *item = &reading->pass->items[i];
    const struct gg__part *first = gg__record_of(item->session)->parts;
    if (!has_bytes(reading, item) || !in_order(first))
      continue;
    for (const struct gg__part *part = first; part; part = part->next_of_session, count++)
      if (reading->refs)
        reading->refs[count] = (struct ref){part, item};
  }
  return count;
}

static int read_all(struct reading *reading)
{
  struct gg__pass *pass = reading->pass;
  reading->ref_count = list_parts(reading); /* counts */
  reading->refs = calloc(reading->ref_count + 1, sizeof *reading->refs);
  reading->parts = calloc(reading->ref_count + 1, sizeof *reading->parts);
  if (!reading->refs || !reading->parts)
    return GG_ERR_NOMEM;
  list_parts(reading);
  qsort(reading->refs, reading->ref_count, sizeof *reading->refs, by_place);
  int error = read_files(reading);
  for (size_t i = 0; i < pass->limit && !error; i++) {
    struct gg__item *item = &pass->items[i];
    if (!item->done && has_bytes(reading, item) && !in_order(gg__record_of(item->session)->parts))
      error = read_alone(reading, item);
    if (!error)
      error = finish(reading, item);
    lower_limit(reading);
  }
  if (!error)
    error = tick(reading);
  return error;
}

int gg__pass_run(struct gg__pass *pass, struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  struct reading reading = {.pass = pass, .failure = &own, .left = pass->count};
  for (size_t i = 0; i < pass->count; i++)
    for (int side = 0; side < 2; side++)
      pass->items[i].window[side].stopped = pass->search->options->skip[side];
  int error = read_all(&reading);
  free(reading.refs);
  free(reading.parts);
  if (own.code)
    return gg_fail(failure, own.code, "%s", own.message);
  if (error == GG_ERR_CLOSED)
    return gg_fail(failure, error, "the search was stopped");
  return error ? gg_fail(failure, error, "no memory for a search") : 0;
}

void gg__item_fini(struct gg__item *item)
{
  for (int side = 0; side < 2; side++) {
    gg__stream_fini(&item->stream[side]);
    gg__window_fini(&item->window[side]);
    gg__hits_fini(&item->hits[side]);
  }
  free(item->problem);
  item->problem = NULL;
}
