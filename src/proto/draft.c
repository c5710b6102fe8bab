/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that have begun. The bytes of a message's fields lie one behind the other in a text of the draft's own,
 * whose room is used again by later messages: a session of a million short messages allocates for the first few. */
#include "base/text.h"
#include "proto/decoding.h"
#include "proto/secrets.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t bytes_of(const struct gg_draft *draft)
{
  return sizeof *draft + draft->field_capacity * sizeof *draft->fields + draft->text_capacity;
}

static void free_draft(struct gg_decoding *decoding, struct gg_draft *draft)
{
  decoding->memory -= bytes_of(draft);
  free(draft->fields);
  free(draft->text);
  free(draft);
}

/* A spare one, with the room that it has, or a new one. */
static struct gg_draft *get(struct gg_decoding *decoding)
{
  struct gg_draft *draft = decoding->spare;
  if (!draft) {
    draft = gg__decoding_resize(decoding, NULL, 0, sizeof *draft);
    if (draft)
      memset(draft, 0, sizeof *draft);
    return draft;
  }
  decoding->spare = draft->next;
  decoding->spare_count--;
  draft->next = NULL;
  draft->text_length = 0;
  draft->head_told = draft->is_cut = false;
  draft->summary[0] = '\0';
  return draft;
}

/* Takes it out of those that have begun. The next message may have its memory if it is the decoder that has ended it:
 * of one that was cut, the decoder does not know yet, and may come with it again. */
static void put(struct gg_decoding *decoding, struct gg_draft *draft)
{
  *(draft->previous ? &draft->previous->next : &decoding->first) = draft->next;
  *(draft->next ? &draft->next->previous : &decoding->last) = draft->previous;
  decoding->draft_count--;
  if (draft->is_cut) {
    draft->next = decoding->cut;
    decoding->cut = draft;
    return;
  }
  if (decoding->spare_count == GG__SPARE_DRAFTS) {
    free_draft(decoding, draft);
    return;
  }
  draft->next = decoding->spare;
  decoding->spare = draft;
  decoding->spare_count++;
}

struct gg_draft *gg__draft_begin(struct gg_decoding *decoding, enum gg_side side, unsigned kind, uint64_t offset)
{
  if (decoding->over || !decoding->decoder)
    return NULL;
  if (decoding->draft_count == GG_DRAFTS_MAX) {
    struct gg_opaque opaque = {.why = GG_OPAQUE_LIMIT,
                               .side = side,
                               .offset = offset,
                               .text = "more than 4096 messages have begun and not ended"};
    gg__decoding_opaque(decoding, &opaque, false);
    return NULL;
  }
  struct gg_draft *draft = get(decoding);
  if (!draft) {
    gg__decoding_refused(decoding, "no memory for a message");
    return NULL;
  }
  draft->message = (struct gg_message){.number = ++decoding->numbers,
                                       .decoder = decoding->decoder->name,
                                       .protocol = decoding->decoder->protocol,
                                       .kind = decoding->decoder->kinds[kind],
                                       .side = side,
                                       .offset = offset,
                                       .first_ns = gg__window_time(&decoding->windows[side], offset),
                                       .summary = draft->summary};
  draft->previous = decoding->last;
  *(decoding->last ? &decoding->last->next : &decoding->first) = draft;
  decoding->last = draft;
  decoding->draft_count++;
  return draft;
}

struct gg_message *gg__draft_message(struct gg_decoding *decoding, struct gg_draft *draft)
{
  if (draft)
    return &draft->message;
  decoding->nobodys = (struct gg_message){0};
  return &decoding->nobodys;
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The next power of two that has room. */
static size_t roomy(size_t capacity, size_t wanted, size_t least)
{
  size_t room = capacity ? capacity : least;
  while (room < wanted)
    room *= 2;
  return room;
}

static bool make_room(struct gg_decoding *decoding, struct gg_draft *draft, size_t text)
{
  if (draft->message.field_count == draft->field_capacity) {
    size_t wanted = roomy(draft->field_capacity, draft->field_capacity + 1, 16);
    struct gg_field *fields =
      gg__decoding_resize(decoding, draft->fields, draft->field_capacity * sizeof *fields, wanted * sizeof *fields);
    if (!fields)
      return false;
    draft->fields = fields;
    draft->field_capacity = wanted;
  }
  if (!draft->text || draft->text_length + text > draft->text_capacity) {
    size_t wanted = roomy(draft->text_capacity, draft->text_length + text, 512);
    uintptr_t before = (uintptr_t)draft->text;
    char *moved = gg__decoding_resize(decoding, draft->text, draft->text_capacity, wanted);
    if (!moved)
      return false;
    draft->text = moved;
    draft->text_capacity = wanted;
    for (size_t i = 0; i < draft->message.field_count; i++) {
      struct gg_field *field = &draft->fields[i];
      field->value = (const uint8_t *)moved + ((uintptr_t)field->value - before);
      if (field->key)
        field->key = moved + ((uintptr_t)field->key - before);
    }
  }
  return true;
}

static const char *add_text(struct gg_draft *draft, const void *bytes, size_t length)
{
  if (length)
    memcpy(draft->text + draft->text_length, bytes, length);
  draft->text_length += length;
  return draft->text + draft->text_length - length;
}

void gg__draft_field(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_field *field)
{
  if (!draft || draft->is_cut || decoding->over)
    return;
  struct gg_message *message = &draft->message;
  size_t room = GG_MESSAGE_TEXT_MAX - draft->text_length;
  if (message->field_count == GG_MESSAGE_FIELDS_MAX || field->key_length > room) {
    message->flags |= GG_MESSAGE_FIELDS_CUT;
    return;
  }
  struct gg_field added = *field;
  room -= added.key_length;
  if (added.length > room) {
    added.length = room;
    added.cut = true;
    message->flags |= GG_MESSAGE_FIELDS_CUT;
  }
  if (!make_room(decoding, draft, added.key_length + added.length)) {
    gg__decoding_refused(decoding, "no memory for the fields of a message");
    return;
  }
  if (field->key)
    added.key = add_text(draft, field->key, added.key_length);
  added.value = (const uint8_t *)add_text(draft, field->value, added.length);
  draft->fields[message->field_count++] = added;
  message->fields = draft->fields;
}

/* Letters that are what they are, on a terminal and in a summary: nearly all are. */
static bool is_plain(const char *text, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if (text[i] < ' ' || text[i] > '~' || text[i] == '\\')
      return false;
  return true;
}

void gg__draft_summary_bytes(struct gg_decoding *decoding, struct gg_draft *draft, const void *bytes, size_t length)
{
  (void)decoding;
  if (!draft || draft->is_cut)
    return;
  char masked[2 * GG_MESSAGE_SUMMARY_MAX];
  length = length < sizeof masked ? length : sizeof masked; /* what has room, and more */
  if (gg__secret_text_has(bytes, length)) {
    memcpy(masked, bytes, length);
    gg_text_mask(masked, length);
    bytes = masked;
  }
  if (length < sizeof draft->summary && is_plain(bytes, length)) {
    memcpy(draft->summary, bytes, length);
    draft->summary[length] = '\0';
  } else {
    gg_text_sanitize(draft->summary, sizeof draft->summary, bytes, length, GG_TEXT_ONE_LINE);
  }
}

void gg__draft_summary(struct gg_decoding *decoding, struct gg_draft *draft, const char *format, ...)
{
  if (!draft || draft->is_cut)
    return;
  char line[GG_MESSAGE_SUMMARY_MAX * 2];
  va_list words;
  va_start(words, format);
  int length = vsnprintf(line, sizeof line, format, words);
  va_end(words);
  size_t written = length < 0 ? 0 : (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
  gg__draft_summary_bytes(decoding, draft, line, written);
}

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__draft_head(struct gg_decoding *decoding, struct gg_draft *draft)
{
  if (!draft || decoding->over || draft->head_told)
    return;
  draft->head_told = true;
  if (decoding->sink.head)
    decoding->sink.head(decoding->sink.context, &draft->message);
}

void gg__draft_body(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_body *body)
{
  if (!draft || draft->is_cut)
    return;
  gg__draft_head(decoding, draft);
  draft->message.body_length += body->length;
  if (decoding->sink.body)
    decoding->sink.body(decoding->sink.context, &draft->message, body);
}

/* Tells of the end, and puts it away. */
static void finish(struct gg_decoding *decoding, struct gg_draft *draft, uint64_t end_offset)
{
  gg__draft_head(decoding, draft);
  struct gg_message *message = &draft->message;
  message->length = end_offset > message->offset ? end_offset - message->offset : 0;
  message->last_ns =
    message->length ? gg__window_time(&decoding->windows[message->side], end_offset - 1) : decoding->now_ns;
  if (message->last_ns < message->first_ns)
    message->last_ns = message->first_ns;
  if (decoding->sink.end)
    decoding->sink.end(decoding->sink.context, &draft->message);
  put(decoding, draft);
}

void gg__draft_end(struct gg_decoding *decoding, struct gg_draft *draft, uint64_t end_offset)
{
  if (draft && !draft->is_cut)
    finish(decoding, draft, end_offset);
}

void gg__drafts_cut(struct gg_decoding *decoding, unsigned side, const uint64_t ends[2])
{
  for (struct gg_draft *draft = decoding->first, *next; draft; draft = next) {
    next = draft->next;
    if (side < 2 && draft->message.side != side)
      continue;
    draft->message.flags |= GG_MESSAGE_CUT;
    draft->message.flags &= ~(uint32_t)GG_MESSAGE_COMPLETES;
    draft->is_cut = true;
    finish(decoding, draft, ends[draft->message.side]);
  }
}

static void free_all(struct gg_decoding *decoding, struct gg_draft **list)
{
  while (*list) {
    struct gg_draft *draft = *list;
    *list = draft->next;
    free_draft(decoding, draft);
  }
}

void gg__drafts_free_cut(struct gg_decoding *decoding)
{
  free_all(decoding, &decoding->cut);
}

void gg__drafts_free(struct gg_decoding *decoding)
{
  free_all(decoding, &decoding->first);
  free_all(decoding, &decoding->spare);
  free_all(decoding, &decoding->cut);
}
