/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a session once: its bytes are kept, and pushed through a decoding whose messages are noted.
 *
 * When something came is told by how much the other side had said by then, not by clocks: a program that tells the
 * story again needs the order alone. */
#include "store/story.h"

#include "store/reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ── Arrays ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void fail_nomem(struct gg__story *story)
{
  if (!story->error)
    story->error = gg_fail(&story->failure, GG_ERR_NOMEM, "no memory for what was said in %s", story->session->id);
}

void *gg__story_more(struct gg__story *story, void *array, size_t *count, size_t *room, size_t size, size_t max,
                     const char *what)
{
  char **items = array;
  if (story->error)
    return NULL;
  if (*count == max) {
    story->error = gg_fail(&story->failure, GG_ERR_LIMIT, "session %s has more than %zu %s; --format raw has no limit",
                           story->session->id, max, what);
    return NULL;
  }
  if (*count == *room) {
    size_t wanted = *room ? *room * 2 : 32;
    char *larger = realloc(*items, wanted * size);
    if (!larger) {
      fail_nomem(story);
      return NULL;
    }
    *items = larger;
    *room = wanted;
  }
  char *item = *items + (*count)++ * size;
  memset(item, 0, size);
  return item;
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void keep_bytes(struct gg__story *story, enum gg_side side, const uint8_t *data, size_t length)
{
  size_t wanted = (size_t)story->length[side] + length, room = story->said_room[side];
  if (wanted > room) {
    room = wanted > room * 2 ? wanted : room * 2;
    uint8_t *larger = realloc(story->said[side], room);
    if (!larger) {
      fail_nomem(story);
      return;
    }
    story->said[side] = larger;
    story->said_room[side] = room;
  }
  memcpy(story->said[side] + story->length[side], data, length);
  story->length[side] += length;
}

static void take_client(struct gg__story *story, const struct gg_chunk *chunk)
{
  const char *id = story->session->id;
  if (chunk->gap || chunk->offset != story->length[GG_SIDE_CLIENT])
    story->error = gg_fail(&story->failure, GG_ERR_UNSUPPORTED,
                           "session %s lacks bytes that the client said, at %" PRIu64 ": nobody can say them again", id,
                           story->length[GG_SIDE_CLIENT]);
  else if (chunk->length > GG__STORY_CLIENT_MAX - story->length[GG_SIDE_CLIENT])
    story->error =
      gg_fail(&story->failure, GG_ERR_LIMIT, "the client said more than %dMiB in session %s; --format raw has no limit",
              GG__STORY_CLIENT_MAX >> 20, id);
  else
    keep_bytes(story, GG_SIDE_CLIENT, chunk->data, chunk->length);
}

/* Behind a hole, or too many bytes, only where pieces begin is kept. */
static void take_server(struct gg__story *story, const struct gg_chunk *chunk)
{
  const struct gg__story_piece *last = story->piece_count ? &story->pieces[story->piece_count - 1] : NULL;
  uint64_t said = story->length[GG_SIDE_CLIENT], kept = story->length[GG_SIDE_SERVER];
  if (!last || last->at != said || last->after_end != story->client_ended) {
    struct gg__story_piece *piece = gg__story_more(story, &story->pieces, &story->piece_count, &story->piece_room,
                                                   sizeof *story->pieces, GG__STORY_PIECES_MAX, "answers");
    if (piece)
      *piece = (struct gg__story_piece){.offset = chunk->offset, .at = said, .after_end = story->client_ended};
  }
  if (!chunk->gap && chunk->offset == kept && chunk->length <= GG__STORY_SERVER_MAX - kept)
    keep_bytes(story, GG_SIDE_SERVER, chunk->data, chunk->length);
}

const struct gg__story_piece *gg__story_piece_of(const struct gg__story *story, uint64_t offset)
{
  size_t low = 0;
  for (size_t high = story->piece_count; high - low > 1;) { /* the last that does not begin behind it */
    size_t middle = low + (high - low) / 2;
    if (story->pieces[middle].offset <= offset)
      low = middle;
    else
      high = middle;
  }
  return story->piece_count ? &story->pieces[low] : NULL;
}

/* ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Most stand where their number says; else, what has begun most lately stands last. */
static struct gg__story_message *find(struct gg__story *story, uint64_t number)
{
  if (number - 1 < story->count && story->messages[number - 1].number == number)
    return &story->messages[number - 1];
  for (size_t i = story->count; i > 0; i--)
    if (story->messages[i - 1].number == number)
      return &story->messages[i - 1];
  return NULL;
}

static void note_decoder(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  struct gg__story *story = context;
  (void)offset;
  if (!story->decoder)
    story->decoder = decoder->name;
}

static void note_head(void *context, const struct gg_message *message)
{
  struct gg__story *story = context;
  struct gg__story_message *note = gg__story_more(story, &story->messages, &story->count, &story->room, sizeof *note,
                                                  GG__STORY_MESSAGES_MAX, "messages");
  if (note)
    *note = (struct gg__story_message){.number = message->number,
                                       .side = message->side,
                                       .decoder = message->decoder,
                                       .kind = message->kind,
                                       .offset = message->offset,
                                       .end = message->offset};
}

static bool is_as_said(const struct gg__story *story, enum gg_side side, const struct gg_body *body)
{
  return body->raw_length == body->length && body->raw_offset + body->length <= story->length[side] &&
         memcmp(story->said[side] + body->raw_offset, body->data, body->length) == 0;
}

static void note_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  struct gg__story *story = context;
  struct gg__story_message *note = find(story, message->number);
  if (!note || !body->length)
    return;
  note->body_masked |= !is_as_said(story, message->side, body);
  if (!story->secrets)
    gg__body_secrets_push(&story->bodies, message, body);
  if (!note->body_begun) {
    note->body_begun = true;
    note->body = note->body_end = body->raw_offset;
  }
  note->body_broken |= body->raw_offset != note->body_end || body->raw_length != body->length;
  note->body_end = body->raw_offset + body->raw_length;
}

static void note_method(struct gg__story_message *note, const struct gg_field *field)
{
  if (field->length >= sizeof note->method)
    return;
  for (size_t i = 0; i < field->length; i++)
    if (field->value[i] < 'A' || field->value[i] > 'Z')
      return;
  memcpy(note->method, field->value, field->length);
  note->method[field->length] = '\0';
}

static void add_place(struct gg__story *story, const struct gg__story_secret *wanted, const char *key, size_t length)
{
  struct gg__story_secret *place = gg__story_more(story, &story->places, &story->place_count, &story->place_room,
                                                  sizeof *place, GG__STORY_SECRETS_MAX, "credentials");
  if (!place)
    return;
  *place = *wanted;
  length = length < sizeof place->key - 1 ? length : sizeof place->key - 1;
  if (length)
    memcpy(place->key, key, length);
}

static void note_secret(struct gg__story *story, const struct gg_message *message, const struct gg_field *field)
{
  const struct gg__story_secret place = {.side = message->side,
                                         .from = field->raw_offset,
                                         .end = field->raw_offset + field->raw_length,
                                         .message = message->number,
                                         .field = field->of->name};
  add_place(story, &place, field->key, field->key_length);
}

static void refuse(struct gg__story *story, uint64_t number)
{
  if (!story->error)
    story->error = gg_fail(&story->failure, GG_ERR_UNSUPPORTED,
                           "message %" PRIu64 " of session %s has credentials, or may have, that cannot be left out; "
                           "--secrets writes them",
                           number, story->session->id);
}

/* In a body, or a field that is none as a whole. What is not exactly what was said cannot be said otherwise; of the
 * server's, it is only not to be shown. */
static void note_within(void *context, const struct gg__body_secret *secret)
{
  struct gg__story *story = context;
  const struct gg_message *message = secret->message;
  const struct gg__story_message *note = find(story, message->number);
  if (message->side == GG_SIDE_CLIENT && (!secret->exact || secret->end == 0 || (note && note->body_masked))) {
    refuse(story, message->number);
    return;
  }
  if (message->side == GG_SIDE_SERVER && story->heard && story->place_count > GG__STORY_SECRETS_MAX / 2) {
    struct gg__story_secret *last = &story->places[story->heard - 1]; /* one for all that follow */
    last->end = secret->end > last->end ? secret->end : last->end;
    return;
  }
  const struct gg__story_secret place = {
    .side = message->side, .from = secret->from, .end = secret->end, .message = message->number, .field = "in text:"};
  add_place(story, &place, secret->name, secret->name_length);
  if (message->side == GG_SIDE_SERVER)
    story->heard = story->place_count;
}

/* What stands nowhere by itself cannot be left out. */
static void note_fields(struct gg__story *story, const struct gg_message *message, struct gg__story_message *note)
{
  bool nowhere = (message->flags & GG_MESSAGE_FIELDS_CUT) != 0, somewhere = false;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (!story->secrets)
      gg__field_secrets(message, field, note_within, story);
    if (field->secret && field->raw_length) {
      note_secret(story, message, field);
      somewhere = true;
    } else if (field->secret && field->length) {
      nowhere = nowhere || !somewhere;
    }
    if (strcmp(field->of->name, "http.method") == 0)
      note_method(note, field);
    else if (strcmp(field->of->name, "http.status") == 0)
      note->status = (unsigned)field->number;
  }
  if (nowhere && message->side == GG_SIDE_CLIENT && !story->secrets)
    refuse(story, message->number);
}

static void note_end(void *context, const struct gg_message *message)
{
  struct gg__story *story = context;
  struct gg__story_message *note = find(story, message->number);
  if (!note)
    return;
  note->answers = message->answers;
  note->flags = message->flags;
  note->decoder = message->decoder;
  note->kind = message->kind;
  note->stream = message->stream;
  note->end = message->offset + message->length;
  note->body_first = note->body;
  if (note->body_broken || !note->body_begun)
    note->body = note->body_end = 0;
  snprintf(note->summary, sizeof note->summary, "%s", message->summary);
  note_fields(story, message, note);
  gg__body_secrets_end(&story->bodies, message);
  if (strcmp(message->decoder, "redis") == 0 && message->flags & GG_MESSAGE_UNSOLICITED)
    story->subscribed = true;
}

static void note_opaque(void *context, const struct gg_opaque *opaque)
{
  struct gg__story *story = context;
  story->opaque[opaque->side] = true;
  story->opaque_from[opaque->side] = opaque->offset;
  story->opaque_why = opaque->why;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void take(struct gg__story *story, struct gg_decoding *decoding, int read, const struct gg_chunk *chunk)
{
  if (read == GG__READ_FIN) {
    story->client_ended |= chunk->side == GG_SIDE_CLIENT;
    gg_decoding_end(decoding, chunk->side, chunk->time_ns);
    return;
  }
  if (chunk->side == GG_SIDE_CLIENT)
    take_client(story, chunk);
  else
    take_server(story, chunk);
  if (story->error)
    return;
  story->total[chunk->side] = chunk->offset + chunk->length + chunk->gap;
  if (chunk->gap)
    gg_decoding_gap(decoding, chunk->side, chunk->offset, chunk->gap, chunk->time_ns);
  else
    gg_decoding_push(decoding, chunk->side, chunk->offset, chunk->time_ns, chunk->data, chunk->length);
}

static int read_all(struct gg__story *story, struct gg_store *store, struct gg_decoding *decoding,
                    struct gg_failure *failure)
{
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  int read = gg_reader_open(&reader, store, story->session, failure);
  int error = read;
  while (!error && !story->error) { /* bounded by the recording */
    read = gg__reader_step(reader, &chunk, failure);
    if (read == GG__READ_END)
      break;
    error = read < 0 ? read : 0;
    if (!error)
      take(story, decoding, read, &chunk);
  }
  gg_reader_close(reader);
  if (!error && !story->error)
    gg_decoding_finish(decoding, story->session->end_ns);
  gg__body_secrets_finish(&story->bodies);
  if (story->bodies.no_memory)
    fail_nomem(story);
  return error;
}

static int by_side(const void *a, const void *b)
{
  const struct gg__story_message *left = a, *right = b;
  if (left->side != right->side)
    return left->side == GG_SIDE_CLIENT ? -1 : 1;
  if (left->offset != right->offset)
    return left->offset < right->offset ? -1 : 1;
  return (left->number > right->number) - (left->number < right->number);
}

static void part_sides(struct gg__story *story)
{
  if (story->count > 1)
    qsort(story->messages, story->count, sizeof *story->messages, by_side);
  while (story->of_count[0] < story->count && story->messages[story->of_count[0]].side == GG_SIDE_CLIENT)
    story->of_count[0]++;
  story->of_count[1] = story->count - story->of_count[0];
  story->of[0] = story->messages;
  story->of[1] = story->count ? story->messages + story->of_count[0] : NULL;
}

const struct gg__story_message *gg__story_message_at(const struct gg__story *story, enum gg_side side, uint64_t offset)
{
  const struct gg__story_message *messages = story->of[side];
  size_t low = 0;
  for (size_t high = story->of_count[side]; high - low > 1;) { /* the last that does not begin behind it */
    size_t middle = low + (high - low) / 2;
    if (messages[middle].offset <= offset)
      low = middle;
    else
      high = middle;
  }
  if (!story->of_count[side] || messages[low].offset > offset || messages[low].end <= offset)
    return NULL;
  return &messages[low];
}

static int understand(struct gg__story *story, struct gg_store *store, const struct gg__story_options *options,
                      struct gg_failure *failure)
{
  struct gg_decoding_options decoding_options = GG_DECODING_OPTIONS_INIT;
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  struct gg_decoding *decoding = NULL;
  decoding_options.decoder = options->decoder;
  decoding_options.framing = options->framing;
  decoding_options.beginning_missing = story->session->beginning_missing;
  story->bodies.found = note_within;
  story->bodies.context = story;
  sink.context = story;
  sink.protocol = note_decoder;
  sink.head = note_head;
  sink.body = note_body;
  sink.end = note_end;
  sink.opaque = note_opaque;
  int error = gg_decoding_create(&decoding, &decoding_options, &sink, failure);
  if (!error)
    error = read_all(story, store, decoding, failure);
  gg_decoding_destroy(decoding);
  return error;
}

int gg__story_read(struct gg__story *story, struct gg_store *store, const struct gg_session *session,
                   const struct gg__story_options *options, struct gg_failure *failure)
{
  *story = (struct gg__story){.session = session, .secrets = options->secrets, .framed = options->framing};
  int error = options->framing ? gg__framing_parse(&story->framing, options->framing, failure) : 0;
  if (!error)
    error = understand(story, store, options, failure);
  if (error)
    return error;
  if (!story->error)
    part_sides(story);
  if (!story->error)
    gg__story_find_waits(story);
  if (!story->error)
    gg__story_find_values(story);
  return story->error ? gg_fail(failure, story->error, "%s", story->failure.message) : 0;
}

void gg__story_free(struct gg__story *story)
{
  free(story->said[0]);
  free(story->said[1]);
  free(story->messages);
  free(story->pieces);
  free(story->places);
  free(story->waits);
  free(story->values);
  free(story->parts);
  free(story->passwords);
}
