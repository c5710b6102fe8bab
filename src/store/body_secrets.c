/* SPDX-License-Identifier: Apache-2.0 */
#include "store/body_secrets.h"

#include "proto/secrets.h"
#include "store/http_view.h"

#include <gogetway/content.h>
#include <stdlib.h>
#include <string.h>

enum {
  PIECES_FIRST = 4,
  EARLY_MAX = 512, /* bytes of a body that are kept until it is known whether there can be a credential in it */
};

/* Bytes of a body, and of the stream of which they were made: as many, if they are the same ones. */
struct piece {
  uint64_t at, length;
  uint64_t raw_offset, raw_length;
};

struct gg__body_scan {
  struct gg__body_secrets *secrets;
  struct gg_message message; /* of it, what is known at the head; its texts are not to be looked at */
  struct gg_body_view *view; /* NULL: nothing so far makes a credential of what follows it; it is in `early` */
  bool coded, any;           /* it has a coding, and credentials */
  struct piece *pieces;
  size_t count, room;
  uint64_t length;
  uint8_t early[EARLY_MAX];
};

/* ── From a body to its stream ───────────────────────────────────────────────────────────────────────────────────── */

static void tell(const struct gg__body_scan *scan, uint64_t from, uint64_t end, bool exact, const char *name,
                 size_t name_length)
{
  const struct gg__body_secret secret = {
    .message = &scan->message, .from = from, .end = end, .exact = exact, .name = name, .name_length = name_length};
  if (end > from)
    scan->secrets->found(scan->secrets->context, &secret);
}

/* The first piece that ends behind `offset`. */
static size_t piece_at(const struct gg__body_scan *scan, uint64_t offset)
{
  size_t low = 0, high = scan->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (scan->pieces[middle].at + scan->pieces[middle].length <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void take_masked(void *context, uint64_t from, uint64_t to, const char *name, size_t name_length)
{
  struct gg__body_scan *scan = context;
  scan->any = true;
  for (size_t i = piece_at(scan, from); !scan->coded && i < scan->count && scan->pieces[i].at < to; i++) {
    const struct piece *piece = &scan->pieces[i];
    uint64_t first = from > piece->at ? from - piece->at : 0;
    uint64_t end = to - piece->at < piece->length ? to - piece->at : piece->length;
    bool exact = piece->raw_length == piece->length;
    tell(scan, piece->raw_offset + (exact ? first : 0), piece->raw_offset + (exact ? end : piece->raw_length), exact,
         name, name_length);
  }
}

/* False: there is no room for it. */
static bool add_piece(struct gg__body_scan *scan, const struct gg_body *body)
{
  struct piece *last = scan->count ? &scan->pieces[scan->count - 1] : NULL;
  bool exact = body->raw_length == body->length;
  if (last && exact && last->raw_length == last->length && last->raw_offset + last->raw_length == body->raw_offset) {
    last->length += body->length;
    last->raw_length += body->length;
    return true;
  }
  if (scan->count == scan->room) {
    size_t room = scan->room ? scan->room * 2 : PIECES_FIRST;
    struct piece *larger = room <= GG__BODY_PIECES_MAX ? realloc(scan->pieces, room * sizeof *larger) : NULL;
    if (!larger)
      return false;
    scan->pieces = larger;
    scan->room = room;
  }
  scan->pieces[scan->count++] = (struct piece){
    .at = scan->length, .length = body->length, .raw_offset = body->raw_offset, .raw_length = body->raw_length};
  return true;
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void drop(void *context, const void *data, size_t length)
{
  (void)context;
  (void)data;
  (void)length;
}

/* What is laid out takes much more than most bodies: those of lines are a few letters. */
static int begin_view(struct gg__body_scan *scan, const struct gg_message *message)
{
  struct gg__text type = gg__http_text(message, "http.header", "content-type");
  struct gg__text coding = gg__http_text(message, "http.header", "content-encoding");
  struct gg_body_view_options options = GG_BODY_VIEW_OPTIONS_INIT;
  options.masked = take_masked;
  options.masked_context = scan;
  int error =
    gg_body_view_create(&scan->view, type.at, type.length, coding.at, coding.length, &options, drop, NULL, NULL);
  return error ? error : gg_body_view_push(scan->view, scan->early, scan->coded ? 0 : (size_t)scan->length, NULL);
}

static struct gg__body_scan *begin(struct gg__body_secrets *secrets, const struct gg_message *message)
{
  struct gg__body_scan *scan = malloc(sizeof *scan);
  if (!scan) {
    secrets->no_memory = true;
    return NULL;
  }
  memset(scan, 0, offsetof(struct gg__body_scan, early));
  scan->secrets = secrets;
  scan->message = *message;
  scan->coded = gg__http_text(message, "http.header", "content-encoding").length != 0;
  return scan;
}

/* Whether these bytes need not be looked at unless others follow that do. */
static bool can_wait(const struct gg__body_scan *scan, const struct gg_body *body)
{
  return !scan->view && !scan->coded && body->length <= EARLY_MAX - scan->length &&
         !gg__secret_text_may_be(body->data, body->length) && !memchr(body->data, '\\', body->length);
}

static struct gg__body_scan **find(struct gg__body_secrets *secrets, uint64_t number)
{
  for (size_t i = 0; i < GG__BODIES_UNDER_WAY_MAX; i++)
    if (secrets->scans[i] && secrets->scans[i]->message.number == number)
      return &secrets->scans[i];
  return NULL;
}

static struct gg__body_scan **find_free(struct gg__body_secrets *secrets)
{
  for (size_t i = 0; i < GG__BODIES_UNDER_WAY_MAX; i++)
    if (!secrets->scans[i])
      return &secrets->scans[i];
  return NULL;
}

void gg__body_secrets_push(struct gg__body_secrets *secrets, const struct gg_message *message,
                           const struct gg_body *body)
{
  if (body->length == 0)
    return;
  struct gg__body_scan **place = find(secrets, message->number);
  if (!place && (place = find_free(secrets)) != NULL)
    *place = begin(secrets, message);
  struct gg__body_scan *scan = place ? *place : NULL;
  if (!scan || !add_piece(scan, body)) {
    const struct gg__body_secret all = {.message = message,
                                        .from = body->raw_offset,
                                        .end = body->raw_offset + body->raw_length,
                                        .name = "body",
                                        .name_length = 4};
    secrets->found(secrets->context, &all);
    return;
  }
  if (can_wait(scan, body)) {
    memcpy(scan->early + scan->length, body->data, body->length);
    scan->length += body->length;
    return;
  }
  int error = scan->view ? 0 : begin_view(scan, message);
  scan->length += body->length;
  if (error || gg_body_view_push(scan->view, body->data, body->length, NULL) != 0)
    secrets->no_memory = true;
}

static void end(struct gg__body_scan *scan)
{
  if (scan->view && gg_body_view_finish(scan->view, 0, NULL, NULL) != 0)
    scan->secrets->no_memory = true;
  for (size_t i = 0; scan->coded && scan->any && i < scan->count; i++)
    tell(scan, scan->pieces[i].raw_offset, scan->pieces[i].raw_offset + scan->pieces[i].raw_length, false, "body", 4);
  gg_body_view_destroy(scan->view);
  free(scan->pieces);
  free(scan);
}

void gg__body_secrets_end(struct gg__body_secrets *secrets, const struct gg_message *message)
{
  struct gg__body_scan **place = find(secrets, message->number);
  if (!place)
    return;
  end(*place);
  *place = NULL;
}

void gg__body_secrets_finish(struct gg__body_secrets *secrets)
{
  for (size_t i = 0; i < GG__BODIES_UNDER_WAY_MAX; i++) {
    if (secrets->scans[i])
      end(secrets->scans[i]);
    secrets->scans[i] = NULL;
  }
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct field_secrets {
  void (*found)(void *context, const struct gg__body_secret *secret);
  void *context;
  const struct gg_message *message;
  const struct gg_field *field;
};

static void take_in_field(void *context, uint64_t from, uint64_t to, const char *name, size_t name_length)
{
  const struct field_secrets *given = context;
  const struct gg_field *field = given->field;
  bool exact = field->raw_length == field->length;
  struct gg__body_secret secret = {.message = given->message,
                                   .from = field->raw_offset + (exact ? from : 0),
                                   .end = field->raw_offset + (exact ? to : field->raw_length),
                                   .exact = exact,
                                   .name = name,
                                   .name_length = name_length};
  if (!field->raw_length)
    secret.from = secret.end = 0;
  given->found(given->context, &secret);
}

void gg__field_secrets(const struct gg_message *message, const struct gg_field *field,
                       void (*found)(void *context, const struct gg__body_secret *secret), void *context)
{
  struct field_secrets given = {.found = found, .context = context, .message = message, .field = field};
  struct gg__secret_range range = {.hidden = take_in_field, .context = &given};
  struct gg__secret_text text = {0};
  if (field->secret || field->of->kind == GG_FIELD_NUMBER ||
      !gg__secret_text_has((const char *)field->value, field->length))
    return;
  for (size_t i = 0; i <= field->length; i++) {
    bool hidden = i < field->length && gg__secret_text_take(&text, (char)field->value[i]);
    gg__secret_range_take(&range, i, hidden, text.name, text.name_length);
  }
}
