/* SPDX-License-Identifier: Apache-2.0 */
#include "store/exchange.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BODY_BYTES = 4096 };

/* ── Kept messages ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void forget_kept(struct gg__exchanges *exchanges, struct gg__kept *kept)
{
  exchanges->memory -= kept->body_capacity + kept->field_bytes;
  free((void *)kept->message.fields);
  free(kept->text);
  free(kept->body);
}

static void forget(struct gg__exchanges *exchanges, struct gg__exchange *exchange)
{
  forget_kept(exchanges, &exchange->request);
  forget_kept(exchanges, &exchange->response);
  exchanges->count--;
  free(exchange);
}

static char *copy_bytes(char **at, const void *bytes, size_t length)
{
  char *copy = *at;
  if (length)
    memcpy(copy, bytes, length);
  *at += length;
  return copy;
}

/* Where in a target the stars of a credential stand: "=", so many of them, and what ends a value. NULL: nowhere. */
static char *find_stars(char *from, const char *end, size_t stars)
{
  for (char *at = from; (at = memchr(at, '=', (size_t)(end - at))) != NULL;) {
    at++;
    size_t run = 0;
    while (at + run < end && at[run] == '*')
      run++;
    bool ends = at + run == end || memchr("&;#", at[run], 3);
    if (run == stars && ends)
      return at;
  }
  return NULL;
}

/* Decoders tell a target with stars in the place of credentials, and these as fields: here they are put back, for it is
 * the form that hides them, in its own way. */
static void unmask_target(struct gg_field *fields, size_t count)
{
  char *at = NULL, *end = NULL;
  for (size_t i = 0; i < count; i++) {
    const struct gg_field *field = &fields[i];
    if (strcmp(field->of->name, "http.target") == 0) {
      at = (char *)field->value;
      end = at + field->length;
    } else if (at && strcmp(field->of->name, "http.query") == 0 && field->length) {
      char *stars = find_stars(at, end, field->length);
      if (!stars)
        continue;
      memcpy(stars, field->value, field->length);
      at = stars + field->length;
    }
  }
}

/* The fields live until the sink returns: they are copied, with their texts in one piece. False: no memory. */
static bool keep_fields(struct gg__exchanges *exchanges, struct gg__kept *kept, const struct gg_message *message)
{
  size_t bytes = 1;
  for (size_t i = 0; i < message->field_count; i++)
    bytes += message->fields[i].key_length + message->fields[i].length;
  struct gg_field *fields = calloc(message->field_count + 1, sizeof *fields);
  char *at = kept->text = malloc(bytes);
  kept->message = *message;
  kept->message.fields = fields;
  kept->message.field_count = 0;
  kept->message.summary = "";
  if (!fields || !at)
    return false;
  for (size_t i = 0; i < message->field_count; i++) {
    fields[i] = message->fields[i];
    if (fields[i].key)
      fields[i].key = copy_bytes(&at, fields[i].key, fields[i].key_length);
    fields[i].value = (const uint8_t *)copy_bytes(&at, fields[i].value, fields[i].length);
  }
  unmask_target(fields, message->field_count);
  kept->message.field_count = message->field_count;
  kept->field_bytes = bytes + message->field_count * sizeof *fields;
  exchanges->memory += kept->field_bytes;
  kept->ended = true;
  return true;
}

/* How many bytes of a body there is room for, of those that are wanted. */
static size_t body_room(const struct gg__exchanges *exchanges, const struct gg__kept *kept, size_t wanted)
{
  size_t room = GG__EXCHANGE_BODY_MAX - kept->body_length;
  size_t free_bytes = exchanges->memory < GG__EXCHANGE_MEMORY_MAX ? GG__EXCHANGE_MEMORY_MAX - exchanges->memory : 0;
  size_t unused = kept->body_capacity - kept->body_length;
  if (room > unused && free_bytes < 2 * kept->body_capacity + wanted + FIRST_BODY_BYTES)
    room = unused; /* it could not grow */
  return wanted < room ? wanted : room;
}

static bool keep_body(struct gg__exchanges *exchanges, struct gg__kept *kept, const uint8_t *data, size_t length)
{
  size_t taken = body_room(exchanges, kept, length);
  if (kept->body_cut || taken < length) {
    taken = kept->body_cut ? 0 : taken;
    kept->body_cut = true;
  }
  if (kept->body_length + taken > kept->body_capacity) {
    size_t capacity = kept->body_capacity ? kept->body_capacity * 2 : FIRST_BODY_BYTES;
    while (capacity < kept->body_length + taken)
      capacity *= 2;
    uint8_t *body = realloc(kept->body, capacity);
    if (!body)
      return false;
    exchanges->memory += capacity - kept->body_capacity;
    kept->body = body;
    kept->body_capacity = capacity;
  }
  if (taken)
    memcpy(kept->body + kept->body_length, data, taken);
  kept->body_length += taken;
  return true;
}

/* ── Exchanges ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_complete(const struct gg__exchange *exchange)
{
  return exchange->request.ended && exchange->response.ended;
}

static void tell(struct gg__exchanges *exchanges, struct gg__exchange **link)
{
  struct gg__exchange *exchange = *link;
  *link = exchange->next;
  if (exchange->request.ended && !exchanges->error)
    exchanges->done(exchanges->context, exchange);
  forget(exchanges, exchange);
}

static void find_last(struct gg__exchanges *exchanges)
{
  exchanges->last = exchanges->first;
  while (exchanges->last && exchanges->last->next)
    exchanges->last = exchanges->last->next;
}

static void tell_first_ones(struct gg__exchanges *exchanges)
{
  while (exchanges->first && is_complete(exchanges->first))
    tell(exchanges, &exchanges->first);
  if (!exchanges->first)
    exchanges->last = NULL;
}

static bool is_full(const struct gg__exchanges *exchanges)
{
  return exchanges->count >= GG__EXCHANGES_MAX || exchanges->memory >= GG__EXCHANGE_MEMORY_MAX / 2;
}

static void make_room(struct gg__exchanges *exchanges)
{
  if (!is_full(exchanges))
    return;
  for (struct gg__exchange **link = &exchanges->first; *link;)
    if (is_complete(*link))
      tell(exchanges, link);
    else
      link = &(*link)->next;
  while (exchanges->count >= GG__EXCHANGES_MAX || (exchanges->first && exchanges->memory >= GG__EXCHANGE_MEMORY_MAX)) {
    exchanges->first->early = true;
    tell(exchanges, &exchanges->first);
  }
  find_last(exchanges);
}

static bool is_http(const struct gg_message *message, const char *kind)
{
  return (strcmp(message->decoder, "http1") == 0 || strcmp(message->decoder, "http2") == 0) &&
         strcmp(message->kind, kind) == 0;
}

/* An answer that something else follows: it is none yet. */
static bool is_interim(const struct gg_message *message)
{
  const struct gg_field *status = gg_message_field(message, "http.status", NULL);
  return status && status->number < 200 && status->number != 101;
}

static struct gg__exchange *of_request(struct gg__exchanges *exchanges, uint64_t number)
{
  if (exchanges->last && exchanges->last->request.message.number == number)
    return exchanges->last;
  struct gg__exchange *exchange = exchanges->first;
  while (exchange && exchange->request.message.number != number)
    exchange = exchange->next;
  return exchange;
}

/* The message that was begun for this one; NULL: nobody keeps it. */
static struct gg__kept *find(struct gg__exchanges *exchanges, const struct gg_message *message)
{
  if (exchanges->error)
    return NULL;
  if (is_http(message, "request")) {
    struct gg__exchange *exchange = of_request(exchanges, message->number);
    return exchange ? &exchange->request : NULL;
  }
  if (!is_http(message, "response") || !message->answers)
    return NULL;
  struct gg__exchange *exchange = of_request(exchanges, message->answers);
  bool same = exchange && exchange->response.begun && exchange->response.message.number == message->number;
  return same ? &exchange->response : NULL;
}

void gg__exchanges_init(struct gg__exchanges *exchanges, void *context,
                        void (*done)(void *context, const struct gg__exchange *exchange))
{
  *exchanges = (struct gg__exchanges){.context = context, .done = done, .bodies = {true, true}};
}

static void begin_request(struct gg__exchanges *exchanges, const struct gg_message *message)
{
  make_room(exchanges);
  struct gg__exchange *exchange = calloc(1, sizeof *exchange);
  if (!exchange) {
    exchanges->error = GG_ERR_NOMEM;
    return;
  }
  exchange->request.begun = true;
  exchange->request.message.number = message->number;
  *(exchanges->last ? &exchanges->last->next : &exchanges->first) = exchange;
  exchanges->last = exchange;
  exchanges->count++;
}

void gg__exchanges_head(struct gg__exchanges *exchanges, const struct gg_message *message)
{
  if (exchanges->error)
    return;
  if (is_http(message, "request"))
    begin_request(exchanges, message);
  if (!is_http(message, "response") || is_interim(message))
    return;
  struct gg__exchange *exchange = message->answers ? of_request(exchanges, message->answers) : NULL;
  if (!exchange || exchange->response.begun) {
    exchanges->answers_alone++;
    return;
  }
  exchange->response.begun = true;
  exchange->response.message.number = message->number;
}

void gg__exchanges_body(struct gg__exchanges *exchanges, const struct gg_message *message, const struct gg_body *body)
{
  struct gg__kept *kept = exchanges->bodies[message->side] && body->length ? find(exchanges, message) : NULL;
  if (kept && !keep_body(exchanges, kept, body->data, body->length))
    exchanges->error = GG_ERR_NOMEM;
}

void gg__exchanges_end(struct gg__exchanges *exchanges, const struct gg_message *message)
{
  struct gg__kept *kept = find(exchanges, message);
  if (kept && !keep_fields(exchanges, kept, message))
    exchanges->error = GG_ERR_NOMEM;
  if (kept)
    tell_first_ones(exchanges);
}

void gg__exchanges_finish(struct gg__exchanges *exchanges)
{
  while (exchanges->first)
    tell(exchanges, &exchanges->first);
  exchanges->last = NULL;
}

void gg__exchanges_fini(struct gg__exchanges *exchanges)
{
  for (struct gg__exchange *next; exchanges->first; exchanges->first = next) {
    next = exchanges->first->next;
    forget(exchanges, exchanges->first);
  }
  exchanges->last = NULL;
}
