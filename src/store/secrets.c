/* SPDX-License-Identifier: Apache-2.0 */
/* Where a session's credentials stand, so that whoever shows its bytes can leave them out. Decoders say where each is,
 * and bodies and other fields are looked through (body_secrets.h). Of a message that has more fields than are kept,
 * nobody knows which of the others were credentials, so all of it counts as one. */
#include "base/sized.h"
#include "store/body_secrets.h"
#include "store/messages.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES_FIRST = 64 };

struct place {
  uint64_t first, end;
};

struct gg_secrets {
  struct places {
    struct place *places; /* once all are known: in order, with bytes between them */
    size_t count, room;
  } of[2];
  int error;
  struct gg__body_secrets bodies;
};

static void add(struct gg_secrets *secrets, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct places *of = &secrets->of[side];
  if (secrets->error || length == 0)
    return;
  struct place *last = of->count ? &of->places[of->count - 1] : NULL;
  if (last && offset >= last->first && offset <= last->end) {
    if (offset + length > last->end)
      last->end = offset + length;
    return;
  }
  if (secrets->of[0].count + secrets->of[1].count == GG_SECRETS_MAX) {
    secrets->error = GG_ERR_LIMIT;
    return;
  }
  if (of->count == of->room) {
    size_t room = of->room ? of->room * 2 : PLACES_FIRST;
    struct place *larger = realloc(of->places, room * sizeof *larger);
    if (!larger) {
      secrets->error = GG_ERR_NOMEM;
      return;
    }
    of->places = larger;
    of->room = room;
  }
  of->places[of->count++] = (struct place){.first = offset, .end = offset + length};
}

static void take_secret(void *context, const struct gg__body_secret *secret)
{
  add(context, secret->message->side, secret->from, secret->end - secret->from);
}

static void note_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  gg__body_secrets_push(&((struct gg_secrets *)context)->bodies, message, body);
}

static void note(void *context, const struct gg_message *message)
{
  struct gg_secrets *secrets = context;
  gg__body_secrets_end(&secrets->bodies, message);
  if (message->flags & GG_MESSAGE_FIELDS_CUT) {
    add(secrets, message->side, message->offset, message->length);
    return;
  }
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (field->secret)
      add(secrets, message->side, field->raw_offset, field->raw_length);
    gg__field_secrets(message, field, take_secret, secrets);
  }
}

static int by_offset(const void *a, const void *b)
{
  const struct place *left = a, *right = b;
  return (left->first > right->first) - (left->first < right->first);
}

/* Messages end in another order than they begin, and a field may stand within another. */
static void tidy(struct places *of)
{
  size_t kept = 0;
  if (of->count > 1)
    qsort(of->places, of->count, sizeof *of->places, by_offset);
  for (size_t i = 0; i < of->count; i++) {
    struct place *last = kept ? &of->places[kept - 1] : NULL;
    if (!last || of->places[i].first > last->end)
      of->places[kept++] = of->places[i];
    else if (of->places[i].end > last->end)
      last->end = of->places[i].end;
  }
  of->count = kept;
}

static int read_all(struct gg_secrets *secrets, struct gg_message_reader *reader, struct gg_failure *failure)
{
  int error = gg__message_reader_finish(reader, failure);
  gg__body_secrets_finish(&secrets->bodies);
  if (secrets->bodies.no_memory && !secrets->error)
    secrets->error = GG_ERR_NOMEM;
  if (secrets->error == GG_ERR_LIMIT)
    return gg_fail(failure, GG_ERR_LIMIT, "credentials stand at more than %d places of the session", GG_SECRETS_MAX);
  if (secrets->error)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the places of credentials");
  return error;
}

int gg_secrets_find(struct gg_secrets **out, struct gg_store *store, const struct gg_session *session,
                    const struct gg_message_options *given, struct gg_failure *failure)
{
  *out = NULL;
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  int error = given ? gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_message_options, framing), given,
                                    "gg_message_options", failure)
                    : 0;
  struct gg_secrets *secrets = error ? NULL : calloc(1, sizeof *secrets);
  if (!secrets)
    return error ? error : gg_fail(failure, GG_ERR_NOMEM, "no memory for the places of credentials");
  options.from = 0;
  options.skip[0] = options.skip[1] = false;
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = secrets;
  sink.body = note_body;
  sink.end = note;
  secrets->bodies.found = take_secret;
  secrets->bodies.context = secrets;
  struct gg_message_reader *reader = NULL;
  error = gg_message_reader_open(&reader, store, session, &options, &sink, failure);
  bool opened = !error;
  if (opened)
    error = read_all(secrets, reader, failure);
  gg_message_reader_close(reader);
  if (!opened || secrets->error || error == GG_ERR_CLOSED) {
    gg_secrets_destroy(secrets);
    return error;
  }
  tidy(&secrets->of[0]);
  tidy(&secrets->of[1]);
  *out = secrets;
  return error;
}

void gg_secrets_destroy(struct gg_secrets *secrets)
{
  if (!secrets)
    return;
  free(secrets->of[0].places);
  free(secrets->of[1].places);
  free(secrets);
}

/* The first place that ends behind `offset`. */
static size_t find(const struct places *of, uint64_t offset)
{
  size_t low = 0, high = of->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (of->places[middle].end <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

size_t gg_secrets_mask(const struct gg_secrets *secrets, enum gg_side side, uint64_t offset, uint8_t *data,
                       size_t length)
{
  const struct places *of = secrets ? &secrets->of[side] : NULL;
  uint64_t end = offset + length;
  size_t masked = 0;
  for (size_t i = of ? find(of, offset) : 0; of && i < of->count && of->places[i].first < end; i++) {
    uint64_t from = of->places[i].first > offset ? of->places[i].first : offset;
    uint64_t to = of->places[i].end < end ? of->places[i].end : end;
    memset(data + (from - offset), '*', (size_t)(to - from));
    masked += (size_t)(to - from);
  }
  return masked;
}
