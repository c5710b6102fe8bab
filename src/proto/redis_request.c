/* SPDX-License-Identifier: Apache-2.0 */
/* The client's stream of Redis: commands, and those that wait for their replies. */
#include "proto/redis.h"
#include "proto/textual.h"

#include <string.h>

enum {
  WAITING_MAX = 1 << 19,  /* commands without a reply */
  ARGUMENTS_MAX = 64,     /* fields of a command */
  ELEMENTS_MAX = 1 << 20, /* arguments of a command, as the server has it */
};

/* ── Commands that wait ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool add_waiting(struct gg__redis *state, struct gg_decoding *decoding, const struct gg__redis_waiting *command)
{
  if (state->count == state->capacity) {
    size_t wanted = state->capacity ? state->capacity * 2 : 8;
    struct gg__redis_waiting *queue =
      wanted > WAITING_MAX ? NULL : gg_decoded_alloc(decoding, NULL, wanted * sizeof *queue);
    if (!queue)
      return false;
    for (size_t i = 0; i < state->count; i++)
      queue[i] = state->queue[(state->first + i) % state->capacity];
    gg_decoded_alloc(decoding, state->queue, 0);
    state->queue = queue;
    state->first = 0;
    state->capacity = wanted;
  }
  state->queue[(state->first + state->count++) % state->capacity] = *command;
  return true;
}

static struct gg__redis_waiting waiting_of(const struct gg__redis_command *command)
{
  static const struct {
    const char *name;
    enum gg__redis_awaits awaits;
  } special[] = {{"MONITOR", GG__REDIS_MONITORED}, {"RESET", GG__REDIS_RESETTED},   {"HELLO", GG__REDIS_GREETED},
                 {"SYNC", GG__REDIS_REPLICATED},   {"PSYNC", GG__REDIS_REPLICATED}, {"CONFIG", GG__REDIS_CONFIGURED}};
  struct gg__redis_waiting waiting = {.left = 1, .awaits = GG__REDIS_ONE};
  enum gg__redis_channel channel;
  bool reverse;
  if (gg__redis_subscription((const uint8_t *)command->name, strlen(command->name), &channel, &reverse)) {
    waiting.awaits = reverse ? GG__REDIS_UNSUBSCRIBED : GG__REDIS_SUBSCRIBED;
    waiting.channel = (uint8_t)channel;
    waiting.left = command->argc > 1 ? (uint32_t)(command->argc - 1) : reverse ? 0 : 1;
  }
  for (size_t i = 0; i < sizeof special / sizeof *special; i++)
    if (gg__redis_named(command, special[i].name))
      waiting.awaits = (uint8_t)special[i].awaits;
  return waiting;
}

/* ── The client ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin_command(struct gg_decoding *decoding, struct gg__redis_client *client, uint64_t offset, uint64_t argc)
{
  client->draft = gg_decoded_begin(decoding, GG_SIDE_CLIENT, GG__REDIS_COMMAND, offset);
  client->command = (struct gg__redis_command){.argc = argc};
  client->line.length = 0;
}

/* The next argument, of which `length` bytes are at hand. */
static enum gg__redis_meaning take_argument(struct gg_decoding *decoding, struct gg__redis_client *client,
                                            const uint8_t *text, size_t length, uint64_t whole, uint64_t offset)
{
  struct gg__redis_command *command = &client->command;
  enum gg__redis_meaning meaning = gg__redis_argument(command, text, length);
  bool name = command->index == 1, secret = meaning == GG__REDIS_SECRET;
  struct gg_field field = {.of = &gg__redis_fields[name     ? GG__REDIS_FIELD_NAME
                                                   : secret ? GG__REDIS_FIELD_PASSWORD
                                                            : GG__REDIS_FIELD_ARGUMENT],
                           .value = text,
                           .length = length,
                           .secret = secret,
                           .cut = length < whole,
                           .raw_offset = offset,
                           .raw_length = whole};
  if (name) {
    field.value = (const uint8_t *)command->name;
    field.length = strlen(command->name);
    field.cut = field.length < whole;
  }
  if (command->index <= ARGUMENTS_MAX || secret)
    gg_decoded_field(decoding, client->draft, &field);
  else
    gg_decoded_message(decoding, client->draft)->flags |= GG_MESSAGE_FIELDS_CUT;
  if (meaning == GG__REDIS_KEY || meaning == GG__REDIS_USER) {
    field.of = &gg__redis_fields[meaning == GG__REDIS_KEY ? GG__REDIS_FIELD_KEY : GG__REDIS_FIELD_USER];
    gg_decoded_field(decoding, client->draft, &field);
  }
  gg__redis_say(&client->line, " ", name ? 0 : 1);
  gg__redis_say(&client->line, secret ? (const void *)"***" : field.value, secret ? 3 : field.length);
  return meaning;
}

/* Whether a reply to it will come: CLIENT REPLY. */
static bool is_answered(struct gg__redis_client *client)
{
  const struct gg__redis_command *command = &client->command;
  bool skipped = client->skip_next;
  client->skip_next = false;
  if (gg__redis_named(command, "CLIENT") && strcmp(command->second, "REPLY") == 0) {
    client->skip_next = strcmp(command->third, "SKIP") == 0 && !client->silent;
    if (strcmp(command->third, "ON") == 0 || strcmp(command->third, "OFF") == 0)
      client->silent = command->third[1] == 'F';
    return strcmp(command->third, "ON") == 0;
  }
  return !skipped && !client->silent;
}

static void end_command(struct gg__redis *state, struct gg_decoding *decoding, uint64_t end)
{
  struct gg__redis_client *client = &state->client;
  struct gg__redis_waiting waiting = waiting_of(&client->command);
  struct gg_message *message = gg_decoded_message(decoding, client->draft);
  waiting.number = message->number;
  if (is_answered(client)) {
    message->flags |= GG_MESSAGE_REQUEST;
    if (!add_waiting(state, decoding, &waiting))
      gg_decoded_opaque(decoding, GG_OPAQUE_LIMIT, GG_SIDE_CLIENT, end, false, "more than 524288 commands wait");
  }
  client->phase = GG__REDIS_START;
  if (gg_decoded_stopped(decoding, GG_SIDE_CLIENT))
    return;
  gg__redis_tell_line(decoding, client->draft, &client->line);
  gg_decoded_end(decoding, client->draft, end);
  client->draft = NULL;
}

bool gg__redis_inline_word(struct gg__textword *word, const struct gg__textline *line, size_t *at)
{
  if (!gg__textword_next(word, line->text, line->length, at))
    return false;
  uint8_t quote = *word->text;
  if (quote != '"' && quote != '\'')
    return true;
  size_t from = word->at + 1, end = from;
  while (end < line->length && line->text[end] != quote)
    end += line->text[end] == '\\' && quote == '"' && end + 1 < line->length ? 2 : 1;
  *word = (struct gg__textword){.text = line->text + from, .length = end - from, .at = from};
  *at = end < line->length ? end + 1 : end;
  return true;
}

static size_t take_inline(struct gg__redis *state, struct gg_decoding *decoding, const struct gg__textline *line,
                          uint64_t offset)
{
  struct gg__textword word;
  uint64_t argc = 0;
  for (size_t at = 0; gg__redis_inline_word(&word, line, &at);)
    argc++;
  if (argc == 0)
    return line->whole;
  begin_command(decoding, &state->client, offset, argc);
  for (size_t at = 0; gg__redis_inline_word(&word, line, &at);)
    take_argument(decoding, &state->client, word.text,
                  word.length < GG__REDIS_KEPT_MAX ? word.length : GG__REDIS_KEPT_MAX, word.length, offset + word.at);
  end_command(state, decoding, offset + line->whole);
  return line->whole;
}

/* "*3", "$5", or an inline command. */
static size_t take_client_line(struct gg__redis *state, struct gg_decoding *decoding, const struct gg_window *window,
                               size_t at)
{
  struct gg__redis_client *client = &state->client;
  struct gg__textline line;
  uint64_t offset = window->offset + at;
  if (!gg__textline_find(&line, window->data + at, window->length - at, window->seen > at ? window->seen - at : 0))
    return 0;
  int64_t number = 0;
  bool array = client->phase == GG__REDIS_START && *line.text == '*';
  if (client->phase == GG__REDIS_START && !array)
    return take_inline(state, decoding, &line, offset);
  if (line.length < 1 || *line.text != (array ? '*' : '$') ||
      !gg__redis_number(&number, line.text + 1, line.length - 1) || (array ? number > ELEMENTS_MAX : number < 0)) {
    gg__redis_fail(decoding, GG_SIDE_CLIENT, offset,
                   array ? "an array without a size" : "an argument that is no bulk string");
    return 0;
  }
  if (!array) {
    client->bulk.left = (uint64_t)number;
    client->phase = GG__REDIS_KEPT;
  } else if (number > 0) {
    begin_command(decoding, client, offset, (uint64_t)number);
    client->phase = GG__REDIS_SIZE;
  }
  return line.whole;
}

static void take_kept(struct gg_decoding *decoding, struct gg__redis_client *client, const struct gg_window *window,
                      size_t at)
{
  uint64_t whole = client->bulk.left;
  size_t length = whole < GG__REDIS_KEPT_MAX ? (size_t)whole : GG__REDIS_KEPT_MAX;
  enum gg__redis_meaning meaning =
    take_argument(decoding, client, window->data + at, length, whole, window->offset + at);
  client->bulk.told = whole > GG__REDIS_KEPT_MAX && meaning != GG__REDIS_SECRET;
  client->phase = GG__REDIS_BULK;
  gg__redis_tell_line(decoding, client->draft, &client->line);
}

size_t gg__redis_push_client(struct gg__redis *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct gg__redis_client *client = &state->client;
  size_t done = 0;
  while (done < window->length && !gg_decoded_stopped(decoding, GG_SIDE_CLIENT)) {
    size_t taken;
    if (client->phase == GG__REDIS_KEPT) {
      if (window->length - done < (client->bulk.left < GG__REDIS_KEPT_MAX ? client->bulk.left : GG__REDIS_KEPT_MAX))
        break;
      take_kept(decoding, client, window, done);
      continue;
    }
    if (client->phase == GG__REDIS_BULK && client->bulk.left) {
      done += gg__redis_pass_bulk(decoding, client->draft, &client->bulk, window, done);
      continue;
    }
    if (client->phase == GG__REDIS_BULK) {
      taken = gg__redis_pass_end(decoding, window, done);
      if (taken) {
        client->phase = GG__REDIS_SIZE;
        if (client->command.index == client->command.argc)
          end_command(state, decoding, window->offset + done + taken);
      }
    } else {
      taken = take_client_line(state, decoding, window, done);
    }
    if (!taken)
      break;
    done += taken;
  }
  return done;
}
