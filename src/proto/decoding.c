/* SPDX-License-Identifier: Apache-2.0 */
/* One session's bytes on their way to a decoder.
 *
 *     push ──► take ──┬─ nobody decodes it any more: passed over
 *                     ├─ not told yet: kept, until identify.c tells; then taken again from the first byte on
 *                     └─ feed ──► offer ──► the decoder's push
 *
 * A decoder is offered GG_DECODING_WINDOW_MAX bytes at once at the most, also where more are there: so what it takes
 * and what is too long for it is the same however the bytes came. As long as it takes all, they are offered where the
 * caller has them. What it leaves is kept, and what comes next is added in steps until the element is whole; behind it
 * the rest is offered again where the caller has it.
 *
 * Nothing here frees a decoder while one of its callbacks is under way: it is asked for, and done when that returns. */
#include "proto/decoding.h"

#include "base/sized.h"
#include "base/text.h"
#include "proto/decoders.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_BYTES = 4096, OPAQUE_TEXT_MAX = 256 };

static void take(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t time_ns,
                 const uint8_t *data, size_t length);

static enum gg_side other(enum gg_side side)
{
  return side == GG_SIDE_CLIENT ? GG_SIDE_SERVER : GG_SIDE_CLIENT;
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

void *gg__decoding_resize(struct gg_decoding *decoding, void *memory, size_t before, size_t bytes)
{
  size_t room = decoding->memory < decoding->memory_max ? decoding->memory_max - decoding->memory : 0;
  if (bytes > before && bytes - before > room)
    return NULL;
  void *moved = realloc(memory, bytes);
  if (moved)
    decoding->memory += bytes - before;
  return moved;
}

static void free_piece(struct gg_decoding *decoding, struct gg__piece *piece)
{
  *(piece->previous ? &piece->previous->next : &decoding->pieces) = piece->next;
  if (piece->next)
    piece->next->previous = piece->previous;
  decoding->memory -= sizeof *piece + piece->bytes;
  free(piece);
}

static void *host_alloc(struct gg_decoding *decoding, void *memory, size_t bytes)
{
  struct gg__piece *piece = memory ? (struct gg__piece *)((char *)memory - offsetof(struct gg__piece, memory)) : NULL;
  if (bytes == 0) {
    if (piece)
      free_piece(decoding, piece);
    return NULL;
  }
  size_t before = piece ? sizeof *piece + piece->bytes : 0;
  struct gg__piece *moved = decoding->over || bytes > decoding->memory_max
                              ? NULL
                              : gg__decoding_resize(decoding, piece, before, sizeof *moved + bytes);
  if (!moved) {
    gg__decoding_refused(decoding, "no memory for what the decoder has to know");
    return NULL;
  }
  if (!piece) {
    moved->previous = NULL;
    moved->next = decoding->pieces;
  }
  moved->bytes = bytes;
  *(moved->previous ? &moved->previous->next : &decoding->pieces) = moved;
  if (moved->next)
    moved->next->previous = moved;
  return moved->memory;
}

/* ── The end of understanding ────────────────────────────────────────────────────────────────────────────────────── */

static void close_decoder(struct gg_decoding *decoding)
{
  if (decoding->decoder && decoding->decoder->close)
    decoding->decoder->close(decoding->state, decoding);
  while (decoding->pieces)
    free_piece(decoding, decoding->pieces);
  gg__drafts_free_cut(decoding);
  if (decoding->state)
    decoding->memory -= decoding->decoder->state_bytes;
  free(decoding->state);
  decoding->state = NULL;
  decoding->decoder = NULL;
}

static void tell_opaque(struct gg_decoding *decoding, const struct gg_opaque *opaque)
{
  struct gg__window *window = &decoding->windows[opaque->side];
  if (window->opaque)
    return;
  window->opaque = true;
  if (decoding->sink.opaque && !window->encrypted)
    decoding->sink.opaque(decoding->sink.context, opaque);
}

void gg__decoding_opaque(struct gg_decoding *decoding, const struct gg_opaque *opaque, bool side_only)
{
  if (decoding->over)
    return;
  uint64_t ends[2] = {decoding->windows[0].offset, decoding->windows[1].offset};
  ends[opaque->side] = opaque->offset; /* in one call it may have taken more than its window says */
  gg__drafts_cut(decoding, side_only ? opaque->side : 2, ends);
  char text[OPAQUE_TEXT_MAX];
  struct gg_opaque told = *opaque;
  gg_text_sanitize(text, sizeof text, opaque->text, strlen(opaque->text), GG_TEXT_ONE_LINE);
  told.text = text;
  tell_opaque(decoding, &told);
  if (!side_only) {
    told.side = other(opaque->side);
    told.offset = decoding->windows[told.side].offset;
    tell_opaque(decoding, &told);
  }
  decoding->over = decoding->windows[0].opaque && decoding->windows[1].opaque;
}

void gg__decoding_refused(struct gg_decoding *decoding, const char *text)
{
  struct gg_opaque opaque = {
    .why = GG_OPAQUE_LIMIT, .side = GG_SIDE_CLIENT, .offset = decoding->windows[0].offset, .text = text};
  gg__decoding_opaque(decoding, &opaque, false);
}

static void give_up(struct gg_decoding *decoding, enum gg_opaque_why why, enum gg_side side, uint64_t offset,
                    const char *text)
{
  struct gg_opaque opaque = {.why = why, .side = side, .offset = offset, .text = text};
  gg__decoding_opaque(decoding, &opaque, false);
}

static bool goes_on(const struct gg_decoding *decoding, enum gg_side side)
{
  return !decoding->over && !decoding->windows[side].opaque && !decoding->is_becoming;
}

/* ── What a decoder calls ────────────────────────────────────────────────────────────────────────────────────────── */

static void host_become(struct gg_decoding *decoding, const struct gg_become *become)
{
  if (decoding->over)
    return;
  decoding->becoming = *become;
  decoding->is_becoming = true;
  snprintf(decoding->becoming_text, sizeof decoding->becoming_text, "%s", become->text ? become->text : "");
  decoding->becoming.text = decoding->becoming_text;
}

static void host_hold(struct gg_decoding *decoding, enum gg_side side)
{
  decoding->windows[side].held = true;
}

static void host_encrypted(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, const char *text)
{
  struct gg__window *window = &decoding->windows[side];
  struct gg_opaque opaque = {.why = GG_OPAQUE_ENCRYPTED, .side = side, .offset = offset, .text = text};
  if (decoding->over || window->opaque || window->encrypted)
    return;
  window->encrypted = true;
  if (decoding->sink.opaque)
    decoding->sink.opaque(decoding->sink.context, &opaque);
}

static uint64_t host_time(const struct gg_decoding *decoding, enum gg_side side, uint64_t offset)
{
  return gg__window_time(&decoding->windows[side], offset);
}

/* Also when the other side waits: it is asked again behind each element, and not only behind those of a piece. */
static bool host_stopped(const struct gg_decoding *decoding, enum gg_side side)
{
  return !goes_on(decoding, side) || decoding->windows[other(side)].held;
}

static const struct gg_decoding_host host = {
  .size = sizeof host,
  .begin = gg__draft_begin,
  .message = gg__draft_message,
  .text = gg__draft_field,
  .summary = gg__draft_summary,
  .head = gg__draft_head,
  .body = gg__draft_body,
  .end = gg__draft_end,
  .opaque = gg__decoding_opaque,
  .become = host_become,
  .hold = host_hold,
  .alloc = host_alloc,
  .stopped = host_stopped,
  .encrypted = host_encrypted,
  .time = host_time,
  .summary_bytes = gg__draft_summary_bytes,
};

/* ── A decoder's beginning ───────────────────────────────────────────────────────────────────────────────────────── */

static void start(struct gg_decoding *decoding, const struct gg_decoder *decoder, const struct gg_become *became)
{
  void *state = gg__decoding_resize(decoding, NULL, 0, decoder->state_bytes ? decoder->state_bytes : 1);
  if (!state) {
    gg__decoding_refused(decoding, "no memory for the decoder");
    return;
  }
  decoding->memory -= decoder->state_bytes ? 0 : 1;
  memset(state, 0, decoder->state_bytes);
  decoding->state = state;
  decoding->decoder = decoder;
  uint64_t offsets[2] = {decoding->windows[0].offset, decoding->windows[1].offset};
  if (decoding->sink.protocol)
    decoding->sink.protocol(decoding->sink.context, decoder, offsets);
  if (decoder->open)
    decoder->open(state, decoding, became);
}

/* The session begins with it. */
static void start_first(struct gg_decoding *decoding, const struct gg_decoder *decoder)
{
  const struct gg_become framed = {.text = decoding->becoming_text};
  start(decoding, decoder, decoding->framed ? &framed : NULL);
}

static const struct gg_decoder *find(const struct gg_decoding *decoding, const char *name)
{
  for (size_t i = 0; i < decoding->more_count; i++)
    if (strcmp(decoding->more[i]->name, name) == 0)
      return decoding->more[i];
  return gg_decoder_find(name);
}

/* Takes what a window has kept again, in the pieces in which it came. */
static void take_again(struct gg_decoding *decoding, enum gg_side side, const struct gg__window *kept)
{
  for (size_t i = 0, done = 0; done < kept->length; i++) {
    size_t end = kept->length;
    if (i + 1 < kept->time_count && kept->times[i + 1].offset < kept->offset + kept->length)
      end = kept->times[i + 1].offset > kept->offset + done ? (size_t)(kept->times[i + 1].offset - kept->offset) : done;
    take(decoding, side, kept->offset + done, kept->times[i].time_ns, kept->data + done, end - done);
    done = end;
  }
}

/* The decoder has asked to be followed by another one, which gets what it has left of both sides. */
static void become(struct gg_decoding *decoding)
{
  decoding->is_becoming = false;
  const struct gg_decoder *next = decoding->becoming.decoder ? find(decoding, decoding->becoming.decoder) : NULL;
  if (decoding->becoming.decoder && !next) {
    give_up(decoding, GG_OPAQUE_UNKNOWN, GG_SIDE_CLIENT, decoding->windows[0].offset, decoding->becoming.decoder);
    return;
  }
  if (++decoding->becomes > GG__BECOMES_MAX) {
    gg__decoding_refused(decoding, "more than 16 protocols within one another");
    return;
  }
  const uint64_t ends[2] = {decoding->windows[0].offset, decoding->windows[1].offset};
  gg__drafts_cut(decoding, 2, ends);
  close_decoder(decoding);
  struct gg__window kept[2];
  for (unsigned side = 0; side < 2; side++) {
    kept[side] = decoding->windows[side];
    decoding->windows[side] = (struct gg__window){.offset = kept[side].offset, .ended = kept[side].ended};
  }
  decoding->spoke = false;
  decoding->named = NULL; /* that was the one around it, and what follows has its beginning */
  decoding->beginning_missing = false;
  if (next)
    start(decoding, next, &decoding->becoming);
  bool server_first = kept[1].length && (!kept[0].length || gg__window_time(&kept[1], kept[1].offset) <
                                                              gg__window_time(&kept[0], kept[0].offset));
  for (unsigned i = 0; i < 2; i++) {
    enum gg_side side = (i == 0) == server_first ? GG_SIDE_SERVER : GG_SIDE_CLIENT;
    take_again(decoding, side, &kept[side]);
    gg__window_free(decoding, &kept[side]);
  }
}

/* ── Bytes to the decoder ────────────────────────────────────────────────────────────────────────────────────────── */

/* Calls the decoder; how many bytes it took. What it has asked for meanwhile is not done yet. */
static size_t offer(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, const uint8_t *data,
                    size_t length, bool last)
{
  struct gg__window *window = &decoding->windows[side];
  struct gg_window view = {
    .side = side,
    .offset = offset,
    .data = data,
    .length = length < GG_DECODING_WINDOW_MAX ? length : GG_DECODING_WINDOW_MAX,
    .seen = window->seen,
    .last = last,
  };
  window->held = false;
  size_t taken = decoding->decoder->push(decoding->state, decoding, &view);
  assert(taken <= view.length);
  window->seen = taken || window->held ? 0 : view.length;
  window->held = window->held && taken < view.length;
  if (!taken && view.length == GG_DECODING_WINDOW_MAX && goes_on(decoding, side)) {
    if (window->held)
      give_up(decoding, GG_OPAQUE_LIMIT, side, offset, "65536 bytes wait for what the other side says to them");
    else
      give_up(decoding, GG_OPAQUE_LIMIT, side, offset, "an element of more than 65536 bytes");
  }
  return taken;
}

/* What is kept of a side, as far as the decoder takes it. */
static void drain(struct gg_decoding *decoding, enum gg_side side, bool last)
{
  struct gg__window *window = &decoding->windows[side];
  while (window->length && goes_on(decoding, side)) {
    size_t taken = offer(decoding, side, window->offset, window->data, window->length, last);
    gg__window_take(window, taken);
    if (!taken)
      break;
  }
}

/* The other side may have waited for what this one has said now. */
static void wake(struct gg_decoding *decoding, enum gg_side side)
{
  if (decoding->windows[other(side)].held)
    drain(decoding, other(side), false);
}

/* Offers the bytes where they are; how many were taken. */
static size_t feed_directly(struct gg_decoding *decoding, enum gg_side side, const uint8_t *data, size_t length)
{
  struct gg__window *window = &decoding->windows[side];
  size_t done = 0;
  while (done < length && goes_on(decoding, side)) {
    size_t taken = offer(decoding, side, window->offset, data + done, length - done, false);
    window->offset += taken;
    done += taken;
    if (!taken)
      break;
    wake(decoding, side);
  }
  return done;
}

/* Adds some of the bytes to those that are kept, and offers them; how many of them were dealt with. */
static size_t feed_kept(struct gg_decoding *decoding, enum gg_side side, const uint8_t *data, size_t length)
{
  struct gg__window *window = &decoding->windows[side];
  size_t before = window->length;
  size_t step = before > STEP_BYTES ? before : STEP_BYTES;
  if (step > GG_DECODING_WINDOW_MAX - before)
    step = GG_DECODING_WINDOW_MAX - before;
  if (step > length)
    step = length;
  if (!gg__window_keep(decoding, window, data, step)) {
    gg__decoding_refused(decoding, "no memory for bytes that are not a whole message yet");
    return step;
  }
  size_t taken = offer(decoding, side, window->offset, window->data, window->length, false);
  if (taken >= before) { /* the rest is the caller's, too */
    window->offset += taken;
    window->length = 0;
    step = taken - before;
  } else {
    gg__window_take(window, taken);
  }
  if (taken && goes_on(decoding, side))
    wake(decoding, side);
  return step;
}

static void feed(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t time_ns,
                 const uint8_t *data, size_t length)
{
  struct gg__window *window = &decoding->windows[side];
  if (!gg__window_mark(decoding, window, offset, time_ns)) {
    gg__decoding_refused(decoding, "no memory for bytes that are not a whole message yet");
    return;
  }
  size_t done = 0;
  while (done < length && goes_on(decoding, side)) {
    if (window->length == 0) {
      done += feed_directly(decoding, side, data + done, length - done);
      size_t rest = length - done; /* less than a window, if the decoder wants more */
      if (rest && goes_on(decoding, side)) {
        if (!gg__window_keep(decoding, window, data + done, rest))
          gg__decoding_refused(decoding, "no memory for bytes that are not a whole message yet");
        done = length;
      }
    } else {
      done += feed_kept(decoding, side, data + done, length - done);
    }
  }
  if (decoding->is_becoming && !decoding->over) {
    uint64_t at = window->offset + window->length;
    become(decoding);
    take(decoding, side, at, time_ns, data + done, length - done);
  } else if (done < length) {
    window->offset += window->length + (length - done);
    window->length = 0;
  }
}

/* ── Before it is told ───────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_opening opening_of(const struct gg_decoding *decoding)
{
  const struct gg__opening *kept = decoding->opening;
  struct gg_opening opening = {
    .ended = {decoding->windows[0].ended, decoding->windows[1].ended},
    .spoke_first = decoding->spoke,
    .first = decoding->spoke_first,
  };
  for (unsigned side = 0; side < 2; side++) {
    opening.data[side] = kept ? kept->data[side] : (const uint8_t *)"";
    opening.length[side] = kept ? kept->length[side] : 0;
  }
  return opening;
}

/* Takes all that was kept, once more, now that it is known whose it is. */
static void take_opening(struct gg_decoding *decoding)
{
  struct gg__opening *opening = decoding->opening;
  decoding->opening = NULL;
  if (!opening)
    return;
  uint64_t offset[2];
  size_t done[2] = {0, 0};
  for (unsigned side = 0; side < 2; side++)
    offset[side] = decoding->windows[side].offset;
  for (size_t i = 0; i < opening->step_count; i++) {
    const struct gg__step *step = &opening->steps[i];
    take(decoding, step->side, offset[step->side] + done[step->side], step->time_ns,
         opening->data[step->side] + done[step->side], step->length);
    done[step->side] += step->length;
  }
  decoding->memory -= sizeof *opening;
  free(opening);
}

/* Asks whose it is. True: that is settled. What nobody knows is described when no more bytes are to be looked at: by as
 * many as there are, and not by those that the first piece happened to have. */
static bool settle(struct gg_decoding *decoding, const struct gg_opening *opening, bool last)
{
  const struct gg_decoder *decoder = decoding->named;
  enum gg__identified identified = decoder ? GG__IDENTIFY_TOLD : gg__identify(decoding, opening, last, &decoder);
  if (identified == GG__IDENTIFY_MORE || (identified == GG__IDENTIFY_UNKNOWN && !last))
    return false;
  if (identified == GG__IDENTIFY_TOLD) {
    start_first(decoding, decoder);
    return true;
  }
  char text[128];
  gg__identify_describe(opening, text, sizeof text);
  give_up(decoding, GG_OPAQUE_UNKNOWN, GG_SIDE_CLIENT, decoding->windows[0].offset, text);
  return true;
}

static bool keep_opening(struct gg_decoding *decoding, enum gg_side side, uint64_t time_ns, const uint8_t *data,
                         size_t length)
{
  if (!decoding->opening) {
    decoding->opening = gg__decoding_resize(decoding, NULL, 0, sizeof *decoding->opening);
    if (!decoding->opening)
      return false;
    memset(decoding->opening, 0, sizeof *decoding->opening);
  }
  struct gg__opening *opening = decoding->opening;
  memcpy(opening->data[side] + opening->length[side], data, length);
  opening->length[side] += length;
  assert(opening->step_count < GG__STEPS_MAX); /* each has a byte at least */
  opening->steps[opening->step_count++] =
    (struct gg__step){.time_ns = time_ns, .length = (uint16_t)length, .side = (uint8_t)side};
  return true;
}

static void note_speaker(struct gg_decoding *decoding, enum gg_side side)
{
  if (!decoding->spoke || decoding->speaks != side) /* what one side has said puts nobody out of the other's question */
    memset(decoding->out, 0, sizeof decoding->out);
  if (!decoding->spoke)
    decoding->spoke_first = side;
  decoding->spoke = true;
  decoding->speaks = side;
}

/* Decoders are asked after each byte: so who is first to be certain does not depend on how the bytes were cut. */
static void take_untold(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t time_ns,
                        const uint8_t *data, size_t length)
{
  if (decoding->beginning_missing && !decoding->named) {
    give_up(decoding, GG_OPAQUE_GAP, side, offset, "the beginning is missing");
    return;
  }
  note_speaker(decoding, side);
  struct gg_opening opening = opening_of(decoding);
  size_t had = opening.length[side], room = GG_IDENTIFY_MAX - had;
  uint8_t joined[GG_IDENTIFY_MAX];
  size_t new = length < room ? length : room;
  if (had) {
    memcpy(joined, opening.data[side], had);
    memcpy(joined + had, data, new);
  }
  opening.data[side] = had ? joined : data;
  bool settled = false;
  while (!settled && opening.length[side] < had + new) {
    opening.length[side]++;
    settled = settle(decoding, &opening, opening.length[side] == GG_IDENTIFY_MAX);
  }
  if (!settled) {
    if (!keep_opening(decoding, side, time_ns, data, length))
      gg__decoding_refused(decoding, "no memory for the first bytes");
    return;
  }
  take_opening(decoding);
  take(decoding, side, offset, time_ns, data, length);
}

/* It is settled now, with what there is. */
static void settle_now(struct gg_decoding *decoding)
{
  if (decoding->over || decoding->decoder || !decoding->opening)
    return;
  struct gg_opening opening = opening_of(decoding);
  settle(decoding, &opening, true);
  take_opening(decoding);
}

/* Bytes that follow those of the side that came before. */
static void take(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t time_ns,
                 const uint8_t *data, size_t length)
{
  struct gg__window *window = &decoding->windows[side];
  decoding->now_ns = time_ns;
  if (length == 0)
    return;
  if (decoding->over || window->opaque)
    window->offset = offset + length;
  else if (decoding->decoder)
    feed(decoding, side, offset, time_ns, data, length);
  else
    take_untold(decoding, side, offset, time_ns, data, length);
}

/* ── The public interface ────────────────────────────────────────────────────────────────────────────────────────── */

/* Where the side's next byte is to be. */
static uint64_t expected(const struct gg_decoding *decoding, enum gg_side side)
{
  const struct gg__window *window = &decoding->windows[side];
  return window->offset + window->length + (decoding->opening ? decoding->opening->length[side] : 0);
}

/* After any call that has brought bytes. */
static void settle_over(struct gg_decoding *decoding)
{
  if (!decoding->over)
    return;
  close_decoder(decoding);
  for (unsigned side = 0; side < 2; side++) {
    decoding->windows[side].offset += decoding->windows[side].length;
    gg__window_free(decoding, &decoding->windows[side]);
    decoding->windows[side].opaque = true;
  }
}

void gg_decoding_push(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t time_ns,
                      const void *data, size_t length)
{
  if (decoding->windows[side].ended)
    return;
  uint64_t wanted = expected(decoding, side);
  if (offset > wanted)
    gg_decoding_gap(decoding, side, wanted, offset - wanted, time_ns);
  uint64_t known = offset < wanted ? wanted - offset : 0;
  if (known >= length)
    return;
  take(decoding, side, offset + known, time_ns, (const uint8_t *)data + known, length - (size_t)known);
  settle_over(decoding);
}

void gg_decoding_gap(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length,
                     uint64_t time_ns)
{
  if (length == 0 || decoding->windows[side].ended)
    return;
  decoding->now_ns = time_ns;
  settle_now(decoding);
  struct gg__window *window = &decoding->windows[side];
  uint64_t end = offset + length;
  if (!decoding->over && !window->opaque) {
    uint64_t from = window->offset;
    if (!decoding->decoder && decoding->named)
      start_first(decoding, decoding->named);
    window->length = 0;
    window->seen = 0;
    window->offset = end;
    bool knows = !decoding->over && decoding->decoder && decoding->decoder->gap && from <= offset &&
                 decoding->decoder->gap(decoding->state, decoding, side, from, end - from);
    if (!knows)
      give_up(decoding, GG_OPAQUE_GAP, side, from, "bytes are missing");
    else if (decoding->is_becoming)
      become(decoding);
    else
      wake(decoding, side); /* what comes next must not be in front of what has waited for this */
  }
  if (window->offset < end)
    window->offset = end;
  settle_over(decoding);
}

/* The last word of a side. */
static void end_side(struct gg_decoding *decoding, enum gg_side side, bool orderly)
{
  struct gg__window *window = &decoding->windows[side];
  for (unsigned again = 0; again <= GG__BECOMES_MAX; again++) { /* what it has become has a last word, too */
    if (decoding->over || window->opaque || !decoding->decoder)
      return;
    drain(decoding, side, true);
    if (!decoding->is_becoming)
      break;
    become(decoding);
  }
  if (goes_on(decoding, side) && window->length) {
    struct gg_opaque opaque = {
      .why = GG_OPAQUE_CUT, .side = side, .offset = window->offset, .text = "ends in the middle"};
    gg__decoding_opaque(decoding, &opaque, true);
  }
  if (!decoding->over && decoding->decoder && decoding->decoder->end)
    decoding->decoder->end(decoding->state, decoding, side, orderly, window->offset);
  if (decoding->is_becoming && !decoding->over)
    become(decoding);
}

void gg_decoding_end(struct gg_decoding *decoding, enum gg_side side, uint64_t time_ns)
{
  struct gg__window *window = &decoding->windows[side];
  if (window->ended)
    return;
  decoding->now_ns = time_ns;
  window->ended = true;
  if (!decoding->over && !decoding->decoder && decoding->opening) {
    struct gg_opening opening = opening_of(decoding);
    if (settle(decoding, &opening, opening.ended[0] && opening.ended[1])) {
      take_opening(decoding);
      enum gg_side earlier = other(side);
      if (decoding->windows[earlier].ended) /* while it was not told, that was only noted */
        end_side(decoding, earlier, true);
    }
  }
  end_side(decoding, side, true);
  settle_over(decoding);
}

void gg_decoding_finish(struct gg_decoding *decoding, uint64_t time_ns)
{
  decoding->now_ns = time_ns;
  bool orderly[2] = {decoding->windows[0].ended, decoding->windows[1].ended};
  bool untold = !decoding->decoder;
  settle_now(decoding);
  for (unsigned side = 0; side < 2; side++) {
    if (!orderly[side] || untold)
      end_side(decoding, side, orderly[side]);
    decoding->windows[side].ended = true;
  }
  const uint64_t ends[2] = {decoding->windows[0].offset, decoding->windows[1].offset};
  if (!decoding->over)
    gg__drafts_cut(decoding, 2, ends);
  decoding->over = true;
  settle_over(decoding);
}

static int set_framing(struct gg_decoding *decoding, const char *framing, struct gg_failure *failure)
{
  if (decoding->named && decoding->named != &gg__decoder_framing)
    return framing ? gg_fail(failure, GG_ERR_INVALID, "a framing is for the decoder 'framing', not for '%s'",
                             decoding->named->name)
                   : 0;
  if (!framing)
    return decoding->named ? gg_fail(failure, GG_ERR_INVALID, "the decoder 'framing' needs a framing: fixed 128") : 0;
  if (strlen(framing) >= sizeof decoding->becoming_text)
    return gg_fail(failure, GG_ERR_FORMAT, "a framing has at most %zu bytes", sizeof decoding->becoming_text - 1);
  snprintf(decoding->becoming_text, sizeof decoding->becoming_text, "%s", framing);
  decoding->named = &gg__decoder_framing;
  decoding->framed = true;
  return gg_framing_check(framing, failure);
}

static int set_up(struct gg_decoding *decoding, const struct gg_decoding_options *given,
                  const struct gg_message_sink *sink, struct gg_failure *failure)
{
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  int error = gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_decoding_options, more_count),
                            given ? given : &options, "gg_decoding_options", failure);
  decoding->sink = (struct gg_message_sink)GG_MESSAGE_SINK_INIT;
  if (!error)
    error = gg_sized_take(&decoding->sink, sizeof decoding->sink, GG_SIZED_END(struct gg_message_sink, opaque), sink,
                          "gg_message_sink", failure);
  if (error)
    return error;
  if (options.more_count > GG__MORE_DECODERS_MAX)
    return gg_fail(failure, GG_ERR_INVALID, "more than %d decoders besides the built-in ones", GG__MORE_DECODERS_MAX);
  for (size_t i = 0; i < options.more_count; i++) {
    error = gg__decoder_check(options.more[i], failure);
    if (error)
      return error;
    decoding->more[decoding->more_count++] = options.more[i];
  }
  decoding->memory_max = options.memory_max ? options.memory_max : GG_DECODING_MEMORY_MAX;
  decoding->beginning_missing = options.beginning_missing;
  if (options.decoder) {
    decoding->named = find(decoding, options.decoder);
    if (!decoding->named)
      return gg_fail(failure, GG_ERR_NOT_FOUND, "no decoder is called '%s'", options.decoder);
  }
  return set_framing(decoding, options.framing, failure);
}

int gg_decoding_create(struct gg_decoding **out, const struct gg_decoding_options *options,
                       const struct gg_message_sink *sink, struct gg_failure *failure)
{
  *out = NULL;
  struct gg_decoding *decoding = calloc(1, sizeof *decoding);
  if (!decoding)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory to decode a session");
  decoding->base.host = &host;
  int error = set_up(decoding, options, sink, failure);
  if (error) {
    free(decoding);
    return error;
  }
  decoding->memory = sizeof *decoding;
  *out = decoding;
  return 0;
}

void gg_decoding_destroy(struct gg_decoding *decoding)
{
  if (!decoding)
    return;
  decoding->over = true;
  close_decoder(decoding);
  for (unsigned side = 0; side < 2; side++)
    gg__window_free(decoding, &decoding->windows[side]);
  gg__drafts_free(decoding);
  free(decoding->opening);
  free(decoding);
}

const struct gg_decoder *gg_decoding_decoder(const struct gg_decoding *decoding)
{
  return decoding->decoder;
}

size_t gg_decoding_memory(const struct gg_decoding *decoding)
{
  return decoding->memory;
}

bool gg_decoding_is_over(const struct gg_decoding *decoding)
{
  return decoding->over;
}
