/* SPDX-License-Identifier: Apache-2.0 */
/**
 * redis.h - the parts of the Redis decoder: the two streams (redis_request.c, redis_reply.c), what the arguments of
 * commands mean (redis_command.c), whose a session is (redis_identify.c), and what they share (redis.c).
 */
#ifndef GG_PROTO_REDIS_H
#define GG_PROTO_REDIS_H

#include <gogetway/decoder.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/textual.h"

enum {
  GG__REDIS_WORD_MAX = 32,
  GG__REDIS_DEPTH_MAX = 64,  /* levels of a reply */
  GG__REDIS_KEPT_MAX = 1024, /* bytes of an argument or a value that are a field */
  GG__REDIS_LINE_MAX = 160,  /* bytes of a summary */
};
#define GG__REDIS_STREAMED ((int64_t)-2) /* a length of "?" */

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A command, as far as its arguments have come. */
struct gg__redis_command {
  uint64_t argc;  /* with its name */
  uint64_t index; /* of the argument that comes next; 0: the name */
  char name[GG__REDIS_WORD_MAX], second[GG__REDIS_WORD_MAX], third[GG__REDIS_WORD_MAX]; /* in upper case, cut */
  unsigned key_at;         /* index of the first key; 0: it has none, or not yet */
  bool user_next;          /* the next argument is a user ... */
  unsigned char secret_in; /* ... and after so many the password comes; 0: none does */
};

enum gg__redis_meaning { GG__REDIS_PLAIN, GG__REDIS_KEY, GG__REDIS_USER, GG__REDIS_SECRET };

/* Takes the next argument, which may be cut, and tells what it means. */
enum gg__redis_meaning gg__redis_argument(struct gg__redis_command *command, const uint8_t *text, size_t length);
bool gg__redis_named(const struct gg__redis_command *command, const char *name);
/* Whether the value of a server's setting is a password. */
bool gg__redis_secret_setting(const uint8_t *text, size_t length);

/* ── Both streams ────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg__redis_kind { GG__REDIS_COMMAND, GG__REDIS_REPLY, GG__REDIS_PUSH };
enum gg__redis_field {
  GG__REDIS_FIELD_NAME,
  GG__REDIS_FIELD_ARGUMENT,
  GG__REDIS_FIELD_KEY,
  GG__REDIS_FIELD_USER,
  GG__REDIS_FIELD_PASSWORD,
  GG__REDIS_FIELD_TYPE,
  GG__REDIS_FIELD_VALUE,
  GG__REDIS_FIELD_ERROR,
  GG__REDIS_FIELD_TEXT
};
extern const struct gg_decoder_field gg__redis_fields[];

enum gg__redis_phase { GG__REDIS_START, GG__REDIS_SIZE, GG__REDIS_KEPT, GG__REDIS_BULK, GG__REDIS_CHUNK };

/* What kind of answer a command waits for. */
enum gg__redis_awaits {
  GG__REDIS_ONE,
  GG__REDIS_SUBSCRIBED,
  GG__REDIS_UNSUBSCRIBED,
  GG__REDIS_MONITORED,
  GG__REDIS_RESETTED,
  GG__REDIS_GREETED,
  GG__REDIS_REPLICATED,
  GG__REDIS_CONFIGURED
};
enum gg__redis_channel { GG__REDIS_CHANNELS, GG__REDIS_PATTERNS, GG__REDIS_SHARDS, GG__REDIS_CHANNEL_KINDS };

struct gg__redis_waiting {
  uint64_t number;
  uint32_t left; /* replies; 0: as many as there are subscriptions */
  uint8_t awaits, channel;
};

struct gg__redis_line {
  char text[GG__REDIS_LINE_MAX];
  size_t length;
};

/* A bulk string that is passing. */
struct gg__redis_bulk {
  uint64_t left;
  bool told; /* as body */
};

struct gg__redis_client {
  enum gg__redis_phase phase;
  struct gg_draft *draft;
  struct gg__redis_command command;
  struct gg__redis_bulk bulk;
  struct gg__redis_line line;
  bool silent, skip_next; /* CLIENT REPLY OFF, SKIP */
};

struct gg__redis_level {
  uint64_t left;
  bool streamed, attribute;
};

struct gg__redis_server {
  enum gg__redis_phase phase;
  struct gg_draft *draft;
  struct gg__redis_level levels[GG__REDIS_DEPTH_MAX];
  size_t depth;
  struct gg__redis_bulk bulk;
  struct gg__redis_line line;
  uint8_t type; /* of the message */
  uint8_t bulk_type;
  bool streaming; /* the bulk string comes in chunks */
  bool push, confirms;
  bool secret_next;  /* the next value is a password */
  unsigned values;   /* scalars so far */
  uint64_t total;    /* the last integer: of a confirmation, how many subscriptions there are */
  bool good, queued; /* of a status: of which, "+QUEUED" */
};

struct gg__redis {
  struct gg__redis_client client;
  struct gg__redis_server server;
  struct gg__redis_waiting *queue; /* a ring */
  size_t first, count, capacity;
  uint64_t channels[GG__REDIS_CHANNEL_KINDS];
  uint64_t totals[2]; /* as the server counts: channels with patterns, and shards */
  bool resp3, monitoring;
};

bool gg__redis_number(int64_t *out, const uint8_t *text, size_t length);
/* Adds to a summary what has room. */
void gg__redis_say(struct gg__redis_line *line, const void *text, size_t length);
void gg__redis_tell_line(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__redis_line *line);
void gg__redis_fail(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, const char *text);
/* Tells the bytes of a bulk string that are there; how many that were. */
size_t gg__redis_pass_bulk(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__redis_bulk *bulk,
                           const struct gg_window *window, size_t at);
/* CR LF behind a bulk string. 0: more bytes are needed, or there is none. */
size_t gg__redis_pass_end(struct gg_decoding *decoding, const struct gg_window *window, size_t at);
/* "PSUBSCRIBE": which kind of channel, and whether it is that or its reverse. False: it is none. */
bool gg__redis_subscription(const uint8_t *text, size_t length, enum gg__redis_channel *channel, bool *reverse);

/* The next word of an inline command, at or behind *at; quotes are taken off, what they escape stays as it is. False:
 * there is none. */
bool gg__redis_inline_word(struct gg__textword *word, const struct gg__textline *line, size_t *at);

size_t gg__redis_push_client(struct gg__redis *state, struct gg_decoding *decoding, const struct gg_window *window);
size_t gg__redis_push_server(struct gg__redis *state, struct gg_decoding *decoding, const struct gg_window *window);
enum gg_likeness gg__redis_identify(const struct gg_opening *opening);

#endif
