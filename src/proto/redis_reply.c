/* SPDX-License-Identifier: Apache-2.0 */
/* The server's stream of Redis: values within values, and whether they answer something. */
#include "proto/redis.h"
#include "proto/textual.h"

#include <string.h>

enum {
  VALUES_MAX = 64,    /* fields of a reply */
  WORD_PEEK_MAX = 64, /* bytes by which a push is told from a reply */
};

static struct gg__redis_waiting *gg__redis_awaited(struct gg__redis *state)
{
  return state->count ? &state->queue[state->first] : NULL;
}

static void take_waiting(struct gg__redis *state)
{
  state->first = (state->first + 1) % state->capacity;
  state->count--;
}

/* ── Whether it is a reply or a push ─────────────────────────────────────────────────────────────────────────────── */

enum peeked { PEEK_MORE, PEEK_REPLY, PEEK_PUSH, PEEK_CONFIRMS };

/* The word that an array or a push begins with. False: more bytes are needed. An empty one: it has none. */
static bool peek_word(struct gg__textword *word, const uint8_t *data, size_t length)
{
  *word = (struct gg__textword){0};
  struct gg__textline line, size;
  int64_t number;
  size_t looked = length < WORD_PEEK_MAX ? length : WORD_PEEK_MAX;
  if (!gg__textline_find(&line, data, looked, 0))
    return looked == WORD_PEEK_MAX;
  if (line.whole == looked || data[line.whole] != '$')
    return line.whole < looked;
  if (!gg__textline_find(&size, data + line.whole, looked - line.whole, 0))
    return looked == WORD_PEEK_MAX;
  if (size.length < 2 || !gg__redis_number(&number, size.text + 1, size.length - 1) || number < 1 ||
      (uint64_t)number > GG__REDIS_WORD_MAX)
    return true;
  *word = (struct gg__textword){.text = size.text + size.whole, .length = (size_t)number};
  if (line.whole + size.whole + (size_t)number <= looked)
    return true;
  *word = (struct gg__textword){0};
  return looked == WORD_PEEK_MAX;
}

static enum peeked peek(struct gg__redis *state, const uint8_t *data, size_t length)
{
  if (*data == '+' && state->monitoring)
    return length < 2 ? PEEK_MORE : data[1] >= '0' && data[1] <= '9' ? PEEK_PUSH : PEEK_REPLY;
  const struct gg__redis_waiting *waiting = gg__redis_awaited(state);
  bool subscribing = waiting && (waiting->awaits == GG__REDIS_SUBSCRIBED || waiting->awaits == GG__REDIS_UNSUBSCRIBED);
  bool subscribed =
    state->channels[GG__REDIS_CHANNELS] || state->channels[GG__REDIS_PATTERNS] || state->channels[GG__REDIS_SHARDS];
  if (*data != '>' && (*data != '*' || state->resp3 || (!subscribing && !subscribed)))
    return PEEK_REPLY;
  struct gg__textword word;
  if (!peek_word(&word, data, length))
    return PEEK_MORE;
  enum gg__redis_channel channel;
  bool reverse;
  if (gg__redis_subscription(word.text, word.length, &channel, &reverse) && subscribing &&
      waiting->channel == (uint8_t)channel && reverse == (waiting->awaits == GG__REDIS_UNSUBSCRIBED))
    return PEEK_CONFIRMS;
  bool message = gg__textual_is(word.text, word.length, "message") ||
                 gg__textual_is(word.text, word.length, "pmessage") ||
                 gg__textual_is(word.text, word.length, "smessage");
  return *data == '>' || (subscribed && message) ? PEEK_PUSH : PEEK_REPLY;
}

/* ── The server ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *name_of(uint8_t type)
{
  static const char *const names[128] = {
    ['+'] = "status", ['-'] = "error",  [':'] = "integer", ['$'] = "bulk",  ['*'] = "array",
    ['_'] = "null",   [','] = "double", ['#'] = "boolean", ['!'] = "error", ['='] = "verbatim",
    ['('] = "number", ['%'] = "map",    ['~'] = "set",     ['>'] = "push",
  };
  return type < 128 ? names[type] : NULL;
}

static void begin_reply(struct gg__redis *state, struct gg_decoding *decoding, enum peeked peeked, uint64_t offset)
{
  struct gg__redis_server *server = &state->server;
  server->draft =
    gg_decoded_begin(decoding, GG_SIDE_SERVER, peeked == PEEK_PUSH ? GG__REDIS_PUSH : GG__REDIS_REPLY, offset);
  server->push = peeked == PEEK_PUSH;
  server->confirms = peeked == PEEK_CONFIRMS;
  server->type = 0;
  server->values = 0;
  server->secret_next = false;
  server->good = server->queued = false;
  server->line.length = 0;
  struct gg_message *message = gg_decoded_message(decoding, server->draft);
  if (server->push || state->count == 0)
    message->flags |= GG_MESSAGE_UNSOLICITED;
  else
    message->answers = gg__redis_awaited(state)->number;
}

/* What the confirmation of a subscription changes; whether it was the last of its command. */
static bool confirm(struct gg__redis *state, struct gg__redis_waiting *waiting)
{
  uint64_t *count = &state->channels[waiting->channel];
  uint64_t *total = &state->totals[waiting->channel == GG__REDIS_SHARDS];
  if (waiting->left == 0)
    waiting->left = *count ? (uint32_t)(*count < UINT32_MAX ? *count : UINT32_MAX) : 1;
  if (waiting->awaits == GG__REDIS_SUBSCRIBED && state->server.total > *total)
    ++*count;
  else if (waiting->awaits == GG__REDIS_UNSUBSCRIBED && state->server.total < *total && *count)
    --*count;
  *total = state->server.total;
  return --waiting->left == 0;
}

/* What the answer to some commands changes. */
static void obey(struct gg__redis *state, struct gg_decoding *decoding, const struct gg__redis_waiting *waiting,
                 uint64_t end)
{
  struct gg__redis_server *server = &state->server;
  bool done = server->good && !server->queued;
  if (waiting->awaits == GG__REDIS_MONITORED && done)
    state->monitoring = true;
  if (waiting->awaits == GG__REDIS_GREETED && (server->type == '%' || server->type == '*'))
    state->resp3 = server->type == '%';
  if (waiting->awaits == GG__REDIS_RESETTED && done) {
    state->monitoring = state->resp3 = false;
    memset(state->channels, 0, sizeof state->channels);
    memset(state->totals, 0, sizeof state->totals);
  }
  if (waiting->awaits == GG__REDIS_REPLICATED && done)
    gg_decoded_opaque(decoding, GG_OPAQUE_UNKNOWN, GG_SIDE_SERVER, end, false, "a replica's stream");
}

static void end_reply(struct gg__redis *state, struct gg_decoding *decoding, uint64_t end)
{
  struct gg__redis_server *server = &state->server;
  struct gg_message *message = gg_decoded_message(decoding, server->draft);
  struct gg__redis_waiting answered = {0};
  if (message->answers) {
    struct gg__redis_waiting *waiting = gg__redis_awaited(state);
    answered = *waiting;
    if (!server->confirms || confirm(state, waiting)) {
      message->flags |= GG_MESSAGE_COMPLETES;
      take_waiting(state);
    }
  }
  gg__redis_tell_line(decoding, server->draft, &server->line);
  gg_decoded_end(decoding, server->draft, end);
  server->draft = NULL;
  if (answered.number)
    obey(state, decoding, &answered, end);
}

/* A value is whole: so are the levels that it was the last of. */
static void end_value(struct gg__redis *state, struct gg_decoding *decoding, uint64_t end)
{
  struct gg__redis_server *server = &state->server;
  server->phase = GG__REDIS_START;
  while (server->depth) {
    struct gg__redis_level *level = &server->levels[server->depth - 1];
    if (level->streamed || --level->left)
      return;
    server->depth--;
    if (level->attribute)
      return; /* the value that it belongs to follows */
  }
  end_reply(state, decoding, end);
}

/* Adds a scalar of which `length` bytes are at hand. */
static void add_value(struct gg__redis *state, struct gg_decoding *decoding, uint8_t type, const uint8_t *text,
                      size_t length, uint64_t whole, uint64_t offset)
{
  struct gg__redis_server *server = &state->server;
  bool secret = server->secret_next;
  struct gg_field field = {.of = &gg__redis_fields[secret ? GG__REDIS_FIELD_PASSWORD : GG__REDIS_FIELD_VALUE],
                           .value = text,
                           .length = length,
                           .secret = secret,
                           .cut = length < whole,
                           .raw_offset = offset,
                           .raw_length = whole};
  const struct gg__redis_waiting *waiting = gg__redis_awaited(state);
  server->secret_next = waiting && waiting->awaits == GG__REDIS_CONFIGURED && server->depth &&
                        server->values % 2 == 0 && gg__redis_secret_setting(text, length);
  if (server->values++ >= VALUES_MAX && !secret) {
    gg_decoded_message(decoding, server->draft)->flags |= GG_MESSAGE_FIELDS_CUT;
    return;
  }
  if (type == '-' || type == '!') {
    struct gg__textword word;
    size_t at = 0;
    field.of = &gg__redis_fields[GG__REDIS_FIELD_TEXT];
    gg_decoded_field(decoding, server->draft, &field);
    if (gg__textword_next(&word, text, length < GG__REDIS_WORD_MAX ? length : GG__REDIS_WORD_MAX, &at))
      gg_decoded_text(decoding, server->draft, &gg__redis_fields[GG__REDIS_FIELD_ERROR], word.text, word.length,
                      offset + word.at);
  } else {
    gg_decoded_field(decoding, server->draft, &field);
  }
  gg__redis_say(&server->line, " ", server->line.length ? 1 : 0);
  gg__redis_say(&server->line, secret ? (const void *)"***" : text, secret ? 3 : length);
}

static void begin_level(struct gg__redis *state, struct gg_decoding *decoding, uint8_t type, int64_t count,
                        uint64_t end)
{
  struct gg__redis_server *server = &state->server;
  if (count == 0 && type == '|')
    return;
  if (count == 0 || count == -1) {
    end_value(state, decoding, end);
    return;
  }
  if (server->depth == GG__REDIS_DEPTH_MAX) {
    gg__redis_fail(decoding, GG_SIDE_SERVER, end, "a reply of more than 64 levels");
    return;
  }
  server->levels[server->depth++] = (struct gg__redis_level){
    .left = count == GG__REDIS_STREAMED ? 0 : (uint64_t)count * (type == '%' || type == '|' ? 2 : 1),
    .streamed = count == GG__REDIS_STREAMED,
    .attribute = type == '|'};
}

static void begin_bulk(struct gg__redis *state, struct gg_decoding *decoding, uint8_t type, int64_t size, uint64_t end)
{
  struct gg__redis_server *server = &state->server;
  server->bulk_type = type;
  server->streaming = size == GG__REDIS_STREAMED;
  server->bulk = (struct gg__redis_bulk){
    .left = size > 0 ? (uint64_t)size : 0,
    .told = !server->secret_next && (!server->depth || size > GG__REDIS_KEPT_MAX || size == GG__REDIS_STREAMED)};
  if (size == -1)
    end_value(state, decoding, end);
  else
    server->phase = size == GG__REDIS_STREAMED ? GG__REDIS_CHUNK : GG__REDIS_KEPT;
}

/* The end of a streamed aggregate. */
static bool end_streamed(struct gg__redis *state, struct gg_decoding *decoding, uint64_t end)
{
  struct gg__redis_server *server = &state->server;
  if (!server->depth || !server->levels[server->depth - 1].streamed)
    return false;
  if (server->levels[--server->depth].attribute)
    return true;
  end_value(state, decoding, end);
  return true;
}

/* The line that a value begins with. */
static bool take_type(struct gg__redis *state, struct gg_decoding *decoding, const struct gg__textline *line,
                      uint64_t offset)
{
  struct gg__redis_server *server = &state->server;
  uint8_t type = *line->text;
  const uint8_t *text = line->text + 1;
  size_t length = line->length ? line->length - 1 : 0;
  uint64_t end = offset + line->whole;
  if (type == '.')
    return end_streamed(state, decoding, end);
  if (type != '|' && !name_of(type))
    return false;
  if (type != '|' && !server->depth) { /* an attribute may stand in front of it */
    server->type = type;
    struct gg_field named = {.of = &gg__redis_fields[GG__REDIS_FIELD_TYPE],
                             .value = (const uint8_t *)name_of(type),
                             .length = strlen(name_of(type)),
                             .raw_offset = offset,
                             .raw_length = 1}; /* a letter stands for it */
    gg_decoded_field(decoding, server->draft, &named);
    server->good = type == '+';
    server->queued = type == '+' && gg__textual_is(text, length, "QUEUED");
    if (memchr("*%~>", type, 4))
      gg__redis_say(&server->line, line->text, line->length);
  }
  if (!memchr("$!=*%~>|", type, 8)) {
    int64_t number = 0;
    if (type == ':' && gg__redis_number(&number, text, length))
      server->total = number > 0 ? (uint64_t)number : 0;
    if (type != '_')
      add_value(state, decoding, type, text, length, length, offset + 1);
    end_value(state, decoding, end);
    return true;
  }
  int64_t count = GG__REDIS_STREAMED;
  if (!(length == 1 && *text == '?') && (!gg__redis_number(&count, text, length) || count < -1))
    return false;
  if (memchr("$!=", type, 3))
    begin_bulk(state, decoding, type, count, end);
  else
    begin_level(state, decoding, type, count, end);
  return true;
}

/* ";5": a chunk of a streamed string. */
static bool take_chunk(struct gg__redis *state, struct gg_decoding *decoding, const struct gg__textline *line,
                       uint64_t end)
{
  int64_t size;
  if (line->length < 2 || *line->text != ';' || !gg__redis_number(&size, line->text + 1, line->length - 1) || size < 0)
    return false;
  state->server.bulk.left = (uint64_t)size;
  if (size == 0)
    end_value(state, decoding, end);
  else
    state->server.phase = GG__REDIS_BULK;
  return true;
}

static size_t take_server_line(struct gg__redis *state, struct gg_decoding *decoding, const struct gg_window *window,
                               size_t at)
{
  struct gg__redis_server *server = &state->server;
  uint64_t offset = window->offset + at;
  const uint8_t *data = window->data + at;
  size_t seen = window->seen > at + WORD_PEEK_MAX ? window->seen - at : 0; /* lines may have been seen by `peek` */
  struct gg__textline line;
  bool whole = gg__textline_find(&line, data, window->length - at, seen);
  if (!server->draft) {
    enum peeked peeked = peek(state, data, window->length - at);
    if (peeked == PEEK_MORE && !window->last)
      return 0;
    if (gg__redis_awaited(state) && gg__redis_awaited(state)->awaits == GG__REDIS_REPLICATED && *data != '+' &&
        *data != '-') {
      gg_decoded_opaque(decoding, GG_OPAQUE_UNKNOWN, GG_SIDE_SERVER, offset, false, "a replica's stream");
      return 0;
    }
    if (!name_of(*data) && *data != '|') {
      gg__redis_fail(decoding, GG_SIDE_SERVER, offset, "a reply of an unknown type");
      return 0;
    }
    if (!whole)
      return 0;
    begin_reply(state, decoding, peeked, offset);
  }
  if (!whole)
    return 0;
  bool good = server->phase == GG__REDIS_CHUNK ? take_chunk(state, decoding, &line, offset + line.whole)
                                               : take_type(state, decoding, &line, offset);
  if (!good) {
    gg__redis_fail(decoding, GG_SIDE_SERVER, offset, "a value that is none");
    return 0;
  }
  return line.whole;
}

static void keep_value(struct gg__redis *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  struct gg__redis_server *server = &state->server;
  uint64_t whole = server->bulk.left;
  add_value(state, decoding, server->bulk_type, window->data + at,
            whole < GG__REDIS_KEPT_MAX ? (size_t)whole : GG__REDIS_KEPT_MAX, whole, window->offset + at);
  gg__redis_tell_line(decoding, server->draft, &server->line);
  server->phase = GG__REDIS_BULK;
}

size_t gg__redis_push_server(struct gg__redis *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct gg__redis_server *server = &state->server;
  size_t done = 0;
  while (done < window->length && !gg_decoded_stopped(decoding, GG_SIDE_SERVER)) {
    size_t taken;
    if (server->phase == GG__REDIS_KEPT) {
      if (window->length - done < (server->bulk.left < GG__REDIS_KEPT_MAX ? server->bulk.left : GG__REDIS_KEPT_MAX))
        break;
      keep_value(state, decoding, window, done);
      continue;
    }
    if (server->phase == GG__REDIS_BULK && server->bulk.left) {
      done += gg__redis_pass_bulk(decoding, server->draft, &server->bulk, window, done);
      continue;
    }
    if (server->phase == GG__REDIS_BULK) {
      taken = gg__redis_pass_end(decoding, window, done);
      if (taken && server->streaming)
        server->phase = GG__REDIS_CHUNK;
      else if (taken)
        end_value(state, decoding, window->offset + done + taken);
    } else {
      taken = take_server_line(state, decoding, window, done);
    }
    if (!taken)
      break;
    done += taken;
  }
  return done;
}
