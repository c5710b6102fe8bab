/* SPDX-License-Identifier: Apache-2.0 */
/* Redis: RESP2 and RESP3 (redis.io/docs/reference/protocol-spec; RESP3 of github.com/redis/redis-specifications), and
 * what answers what. Also Valkey, KeyDB and others of the kind.
 *
 *     client  START ──┬── "*3" ──► SIZE ──► KEPT ──► BULK ──┬──► a command
 *       ▲             │             ▲                       │      │
 *       │             │             └── the next argument ──┘      │
 *       │             └── inline: a line with words ───────────────┤
 *       └──────────────────────────────────────────────────────────┘
 *
 *     server  START ──┬── a scalar ───────────────────┬──► a value ──┬── the last of all levels: a reply, a push
 *       ▲             ├── KEPT ──► BULK ──────────────┤              └── of some: so many levels less ──┐
 *       │             ├── CHUNK ◄──► BULK: streamed ──┘                                                │
 *       │             └── one level more ──┐                                                           │
 *       └──────────────────────────────────┴───────────────────────────────────────────────────────────┘
 *
 * A bulk string is never waited for: its first bytes become a field. One that is longer than its field, and a reply
 * that is nothing else, is told as body while it comes.
 *
 * Pairing. Commands wait in a queue; each reply answers the first. Exceptions, after the specification:
 *   - SUBSCRIBE and its kin with n channels are answered by n messages, without channels to unsubscribe by one for each
 *     subscription there is (one at least). An error, or +QUEUED, answers all of it.
 *   - What a server says by itself answers nothing: a push (">") of RESP3 that confirms no subscription; in RESP2,
 *     while there are subscriptions, an array that begins with "message", "pmessage" or "smessage"; after MONITOR, a
 *     status that begins with a digit.
 *   - CLIENT REPLY OFF and SKIP: no reply comes, and the command is no request.
 *   - HELLO and RESET change the version; after PSYNC and SYNC a replica's stream follows, which is not decoded.
 * An attribute ("|") belongs to the value behind it.
 *
 * Odd input: an empty inline command and an array without elements are passed over, as the server does. A type that is
 * unknown, a length that is no number and more than DEPTH_MAX levels end the decoding of that side.
 */
#include "proto/redis.h"

#include "proto/decoders.h"
#include "proto/textual.h"

#include <string.h>

static const char *const kinds[] = {"command", "reply", "push", NULL};

const struct gg_decoder_field gg__redis_fields[] = {
  [GG__REDIS_FIELD_NAME] = {"redis.command", GG_FIELD_TEXT, true, "name of the command, in upper case",
                            "redis.command=HGETALL"},
  [GG__REDIS_FIELD_ARGUMENT] = {"redis.arg", GG_FIELD_TEXT, false, "an argument of the command", NULL},
  [GG__REDIS_FIELD_KEY] = {"redis.key", GG_FIELD_TEXT, false, "first key of the command", NULL},
  [GG__REDIS_FIELD_USER] = {"redis.user", GG_FIELD_TEXT, true, "who logs in", "redis.user=default"},
  [GG__REDIS_FIELD_PASSWORD] = {"redis.password", GG_FIELD_TEXT, false, "a password among the arguments or in a reply",
                                NULL},
  [GG__REDIS_FIELD_TYPE] = {"redis.type", GG_FIELD_TEXT, false,
                            "type of the reply: status, error, integer, bulk, array, ...", NULL},
  [GG__REDIS_FIELD_VALUE] = {"redis.value", GG_FIELD_TEXT, false, "a value in the reply", NULL},
  [GG__REDIS_FIELD_ERROR] = {"redis.error", GG_FIELD_TEXT, true, "first word of an error", "redis.error=WRONGTYPE"},
  [GG__REDIS_FIELD_TEXT] = {"redis.message", GG_FIELD_TEXT, false, "the whole error", NULL},
  {NULL, 0, false, NULL, NULL},
};
/* ── Pieces of both streams ──────────────────────────────────────────────────────────────────────────────────────── */

void gg__redis_fail(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, const char *text)
{
  gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, side, offset, true, text);
}

void gg__redis_say(struct gg__redis_line *line, const void *text, size_t length)
{
  size_t room = sizeof line->text - line->length;
  length = length < room ? length : room;
  memcpy(line->text + line->length, text, length);
  line->length += length;
}

bool gg__redis_number(int64_t *out, const uint8_t *text, size_t length)
{
  bool minus = length && *text == '-';
  size_t at = length && (*text == '-' || *text == '+') ? 1 : 0;
  if (length == at || length - at > 18)
    return false;
  int64_t number = 0;
  for (; at < length; at++) {
    if (text[at] < '0' || text[at] > '9')
      return false;
    number = number * 10 + (text[at] - '0');
  }
  *out = minus ? -number : number;
  return true;
}

/* Tells the bytes of a bulk string that are there; how many that were. */
size_t gg__redis_pass_bulk(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__redis_bulk *bulk,
                           const struct gg_window *window, size_t at)
{
  size_t length = window->length - at;
  if (bulk->left < length)
    length = (size_t)bulk->left;
  if (bulk->told) {
    struct gg_body body = {
      .data = window->data + at, .length = length, .raw_offset = window->offset + at, .raw_length = length};
    gg_decoded_body(decoding, draft, &body);
  }
  bulk->left -= length;
  return length;
}

/* CR LF behind a bulk string. 0: more bytes are needed, or there is none. */
size_t gg__redis_pass_end(struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  if (window->length - at < 2)
    return 0;
  if (memcmp(window->data + at, "\r\n", 2) == 0)
    return 2;
  gg__redis_fail(decoding, window->side, window->offset + at, "a bulk string that is longer than its size");
  return 0;
}

/* "PSUBSCRIBE": which kind of channel, and whether it is that or its reverse. */
bool gg__redis_subscription(const uint8_t *text, size_t length, enum gg__redis_channel *channel, bool *reverse)
{
  static const char *const words[] = {"SUBSCRIBE",   "PSUBSCRIBE",   "SSUBSCRIBE",
                                      "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (gg__textual_is(text, length, words[i])) {
      *channel = (enum gg__redis_channel)(i % GG__REDIS_CHANNEL_KINDS);
      *reverse = i >= GG__REDIS_CHANNEL_KINDS;
      return true;
    }
  return false;
}

void gg__redis_tell_line(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__redis_line *line)
{
  gg_decoded_summary_bytes(decoding, draft, line->text, line->length);
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  return window->side == GG_SIDE_CLIENT ? gg__redis_push_client(self, decoding, window)
                                        : gg__redis_push_server(self, decoding, window);
}

/* A gap within a bulk string is only a hole in it. */
static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  (void)offset;
  struct gg__redis *state = self;
  bool client = side == GG_SIDE_CLIENT;
  struct gg__redis_bulk *bulk = client ? &state->client.bulk : &state->server.bulk;
  if ((client ? state->client.phase : state->server.phase) != GG__REDIS_BULK || length > bulk->left)
    return false;
  gg_decoded_message(decoding, client ? state->client.draft : state->server.draft)->flags |= GG_MESSAGE_GAP;
  bulk->left -= length;
  return true;
}

const struct gg_decoder gg__decoder_redis = {
  GG_DECODER_HEAD,
  .name = "redis",
  .protocol = "redis",
  .title = "Redis, Valkey and their kin (RESP2 and RESP3)",
  .kinds = kinds,
  .fields = gg__redis_fields,
  .state_bytes = sizeof(struct gg__redis),
  .identify = gg__redis_identify,
  .push = push,
  .gap = gap,
};
