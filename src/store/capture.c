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

#include "store/extents.h"
#include "store/facts.h"
#include "store/flows.h"
#include "store/frames.h"
#include "store/hash.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
  TEXTS_ROOM_MIN = 64,             /* buckets; a power of two */
  TEXTS_PER_SEGMENT_MAX = 1 << 20, /* distinct texts; further ones are kept as empty */
};

/* ── Texts: each distinct one once ───────────────────────────────────────────────────────────────────────────────── */

struct text {
  struct text *next;
  char bytes[];
};

struct gg__texts {
  size_t count;
  size_t room; /* buckets */
  struct text **buckets;
};

static struct text **bucket_of(const struct gg__texts *texts, const char *text)
{
  return &texts->buckets[gg__hash(text, strlen(text)) & (texts->room - 1)];
}

/* Twice as many buckets. A segment may have a client of its own for each of a million sessions. */
static bool texts_grow(struct gg__texts *texts)
{
  struct gg__texts larger = {.count = texts->count, .room = texts->room ? texts->room * 2 : TEXTS_ROOM_MIN};
  larger.buckets = calloc(larger.room, sizeof(struct text *));
  if (!larger.buckets)
    return false;
  for (size_t i = 0; i < texts->room; i++)
    for (struct text *at = texts->buckets[i], *next; at; at = next) {
      struct text **bucket = bucket_of(&larger, at->bytes);
      next = at->next;
      at->next = *bucket;
      *bucket = at;
    }
  free(texts->buckets);
  *texts = larger;
  return true;
}

/* A copy that lives as long as the capture; NULL: there is no memory for it. */
static const char *keep(void *context, enum gg__part_text which, const char *text)
{
  struct gg__texts *texts = context;
  size_t length = strlen(text);
  (void)which;
  if (length == 0)
    return "";
  if (texts->count >= texts->room && !texts_grow(texts))
    return NULL;
  struct text **bucket = bucket_of(texts, text);
  for (struct text *at = *bucket; at; at = at->next)
    if (strcmp(at->bytes, text) == 0)
      return at->bytes;
  if (texts->count >= TEXTS_PER_SEGMENT_MAX)
    return "";
  struct text *kept = malloc(sizeof *kept + length + 1);
  if (!kept)
    return NULL;
  memcpy(kept->bytes, text, length + 1);
  kept->next = *bucket;
  *bucket = kept;
  texts->count++;
  return kept->bytes;
}

static void texts_free(struct gg__texts *texts)
{
  if (!texts)
    return;
  for (size_t i = 0; i < texts->room; i++)
    for (struct text *at = texts->buckets[i], *next; at; at = next) {
      next = at->next;
      free(at);
    }
  free(texts->buckets);
  free(texts);
}

/* ── Parts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__part *part_create(struct gg__capture *capture, const struct gg__frame *frame,
                                    const struct gg__facts *facts)
{
  struct gg__part *part = malloc(sizeof *part);
  if (!part)
    return NULL;
  gg__part_begin(part, capture->name, frame, facts);
  part->capture = capture;
  *capture->parts_tail = part;
  capture->parts_tail = &part->next_of_capture;
  return part;
}

struct counting {
  struct gg__part *part;
  int side;
};

static int count_run(void *context, const struct gg__run *run)
{
  struct counting *counting = context;
  gg__part_take_run(counting->part, counting->side, run);
  return 0;
}

static void mark_changed(struct gg__capture *capture, struct gg__part *part)
{
  if (part->changed)
    return;
  part->changed = true;
  part->next_changed = capture->changed;
  capture->changed = part;
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
  struct gg__part *part = gg__flows_find(capture->flows, frame);
  if (!part || gg__part_replaced(part, frame, facts)) {
    part = part_create(capture, frame, facts);
    if (!part || gg__flows_bind(capture->flows, part) != 0)
      return GG_ERR_NOMEM;
  }
  if (facts && gg__part_take_facts(part, facts, keep, capture->texts) != 0)
    return GG_ERR_NOMEM;
  int side = gg__part_side(part, frame);
  assert(side >= 0);
  gg__part_note(part, side, frame);
  mark_changed(capture, part);
  struct counting counting = {part, side};
  return gg__part_push(part, side, frame, facts ? facts->gap : 0, true, count_run, &counting);
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
    gg__part_fini(part);
    free(part);
  }
  if (capture->flows)
    gg__flows_fini(capture->flows);
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

void gg__capture_unreadable(struct gg__capture *capture, const char *message)
{
  tell(capture, GG__CAPTURE_UNREADABLE, message);
}

void gg__capture_conclude(struct gg__capture *capture, struct gg__frames *frames, int result,
                          struct gg_failure *failure)
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
  gg__capture_conclude(capture, frames, result, &failure);
  settle(capture);
  return result == GG_ERR_NOMEM ? result : 0;
}

static int keep_texts(struct gg__capture *capture, struct gg__part *part)
{
  const char **const texts[GG__TEXTS] = {&part->client,      &part->server,  &part->listener,   &part->upstream,
                                         &part->server_path, &part->close,   &part->why,        &part->original,
                                         &part->as_sent_of,  &part->verdict, &part->verdict_by, &part->tags};
  int error = 0;
  for (size_t i = 0; i < GG__TEXTS; i++) {
    *texts[i] = keep(capture->texts, (enum gg__part_text)i, *texts[i]);
    if (!*texts[i]) {
      *texts[i] = "";
      error = GG_ERR_NOMEM;
    }
  }
  return error;
}

int gg__capture_adopt(struct gg__capture *capture, const struct gg__part *from)
{
  struct gg__part *part = malloc(sizeof *part);
  if (!part)
    return GG_ERR_NOMEM;
  *part = *from;
  part->next_of_capture = part->next_of_session = part->next_changed = NULL;
  part->record = NULL;
  part->capture = capture;
  part->changed = false;
  for (int side = 0; side < 2; side++) /* nothing waits in a stream that was told of */
    part->stream[side] = (struct gg__stream){
      .offset = from->stream[side].offset, .next = from->stream[side].next, .begun = from->stream[side].begun};
  part->extents = NULL;
  *capture->parts_tail = part;
  capture->parts_tail = &part->next_of_capture;
  int error = gg__extents_copy(part, from);
  if (!error)
    error = keep_texts(capture, part);
  return error ? error : gg__flows_bind(capture->flows, part);
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
    gg__capture_unreadable(capture, failure.message);
    return 0;
  }
  error = scan_frames(capture, frames);
  capture->bytes = (uint64_t)status.st_size;
  gg__frames_close(frames);
  return error;
}
