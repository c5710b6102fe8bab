/* SPDX-License-Identifier: Apache-2.0 */
/**
 * story.h - a session as something that can be told again: what the client said, where in it one waits for which
 * answer, where its credentials stand, and what of it the server had handed out before.
 *
 *     recording ──► story.c: bytes, messages, credentials
 *                     ├──► story_waits.c: where the client waited, and how one knows that an answer is complete
 *                     └──► story_values.c: which bytes of the client's came from the server, or are a credential
 *
 * Private to src/store. Thread: the store's. Memory: what the client said and the beginning of what the server said are
 * kept whole; the bounds are below, and a session that goes beyond them is refused.
 */
#ifndef GG_STORE_STORY_H
#define GG_STORE_STORY_H

#include "proto/framing.h"
#include "store/body_secrets.h"
#include "store/bounds.h"

#include <gogetway/messages.h>

enum { GG__STORY_SUMMARY_MAX = 72, GG__STORY_NAME_MAX = 48 }; /* bytes that are kept of texts for comments */

struct gg__story_message {
  uint64_t number, answers;
  enum gg_side side;
  uint32_t flags;
  const char *decoder, *kind;
  uint64_t stream;
  uint64_t offset, end;
  uint64_t body, body_end; /* where its body stands, if that is in one piece; else 0 */
  uint64_t body_first;     /* in one or more: where it begins */
  bool body_begun, body_broken;
  bool body_masked; /* its bytes are others than those that were said */
  unsigned status;  /* of an HTTP response */
  char method[12];  /* of an HTTP request, if it is letters */
  char summary[GG__STORY_SUMMARY_MAX];
};

/* Bytes of the server that came when the client had said so much. */
struct gg__story_piece {
  uint64_t offset; /* of the first */
  uint64_t at;
  bool after_end; /* the client had also said that nothing follows */
};

struct gg__story_secret {
  enum gg_side side;
  uint64_t from, end;
  uint64_t message;
  const char *field;
  char key[GG__STORY_NAME_MAX]; /* may be cut */
};

enum gg__wait_kind {
  GG__WAIT_QUIET, /* nothing says where the answer ends */
  GG__WAIT_HTTP,
  GG__WAIT_CONTINUE, /* an interim response */
  GG__WAIT_HTTP2,
  GG__WAIT_WEBSOCKET,
  GG__WAIT_REDIS,
  GG__WAIT_CODE,  /* the last line of a reply has three digits and no hyphen */
  GG__WAIT_LINES, /* `count` lines */
  GG__WAIT_TAG,   /* a line that begins with `text` */
  GG__WAIT_DOT,   /* a line that is a dot */
  GG__WAIT_PROMPT,
  GG__WAIT_TELNET,
  GG__WAIT_DELIMITER,
  GG__WAIT_FIXED,
  GG__WAIT_LENGTH,
};

struct gg__wait {
  enum gg__wait_kind kind;
  uint64_t at; /* so much the client says before it */
  bool after_end;
  uint64_t from, end; /* of the server's bytes that it had waited for */
  uint64_t message;   /* the last one in that; 0: none */
  uint64_t stream;    /* of HTTP/2 */
  unsigned count;     /* of lines and prompts */
  uint64_t text;      /* where in the server's stream the prompt stands; of a tag, where in the client's ... */
  size_t text_length; /* ... and how long it is */
  const char *method; /* of the request; "": any */
  uint64_t differs;   /* number of the wait (from 1) for the answer to the same bytes, which was another one; 0: none */
  bool told;          /* something of the reply comes back */
};

enum gg__value_kind {
  GG__VALUE_MARKED,  /* where it stands in a live reply cannot be told */
  GG__VALUE_COOKIE,  /* the value of a Set-Cookie */
  GG__VALUE_BULK,    /* Redis: the whole reply */
  GG__VALUE_BETWEEN, /* behind some text, and up to some other */
};

/* What the server handed out. */
struct gg__value {
  enum gg__value_kind kind;
  size_t wait; /* in whose reply */
  uint64_t from, end;
  uint64_t name, name_length; /* of a cookie: where its name stands */
  uint64_t before;            /* text in front of the value begins there */
  uint64_t after;             /* and that behind it ends there; `end`: it goes to the reply's end */
  bool live, marked;          /* the client says it where it is taken from the reply; where it is not */
};

/* A piece of the client's bytes that is no constant. */
enum gg__part_kind { GG__PART_VALUE, GG__PART_MARK, GG__PART_SECRET };
struct gg__story_part {
  uint64_t from, end;
  enum gg__part_kind kind;
  size_t index; /* of the value, or of the password (from 1) */
};

struct gg__story_password {
  uint64_t from, end; /* where it stands first */
  uint64_t message;
  const char *field;
  char key[GG__STORY_NAME_MAX];
  bool fixed; /* something around it says how long it is */
};

struct gg__story {
  const struct gg_session *session;
  bool secrets; /* credentials are written as they are */
  bool framed;
  struct gg__framing framing;
  int error; /* the first; what follows is not taken */
  struct gg_failure failure;

  uint8_t *said[2];
  uint64_t length[2]; /* that are kept */
  size_t said_room[2];
  uint64_t total[2]; /* that were said, missing ones counted */
  bool opaque[2];
  uint64_t opaque_from[2];
  enum gg_opaque_why opaque_why;
  bool client_ended;
  const char *decoder; /* the first; NULL: none */
  bool subscribed;     /* Redis: the server says something by itself */
  uint64_t searched;   /* bytes of replies, for text in front of values */

  struct gg__story_message *messages; /* in the order of their beginnings, client and server apart once it is read */
  size_t count, room;
  struct gg__story_message *of[2];
  size_t of_count[2];
  struct gg__story_piece *pieces;
  size_t piece_count, piece_room;
  struct gg__story_secret *places;
  size_t place_count, place_room;
  size_t heard; /* the server's last one in a text, from 1; 0: none */
  struct gg__body_secrets bodies;

  struct gg__wait *waits; /* in order */
  size_t wait_count, wait_room;
  struct gg__value *values;
  size_t value_count, value_room;
  struct gg__story_part *parts; /* in order, with nothing shared */
  size_t part_count, part_room;
  struct gg__story_password *passwords;
  size_t password_count, password_room;
};

struct gg__story_options {
  const char *decoder, *framing;
  bool secrets;
};

/* Reads a session. The story is to be freed also when it failed. GG_ERR_LIMIT: it is too long; GG_ERR_UNSUPPORTED: what
 * the client said is not all there, or has credentials that cannot be left out; GG_ERR_NOMEM; else as
 * gg_store_messages. */
int gg__story_read(struct gg__story *story, struct gg_store *store, const struct gg_session *session,
                   const struct gg__story_options *options, struct gg_failure *failure);
void gg__story_free(struct gg__story *story);

/* One more at the end of an array; NULL: no memory, or there are `max`. The story's error says so. */
void *gg__story_more(struct gg__story *story, void *array, size_t *count, size_t *room, size_t size, size_t max,
                     const char *what);

/* How much the client had said when the server's byte at `offset` came. */
const struct gg__story_piece *gg__story_piece_of(const struct gg__story *story, uint64_t offset);
/* The message of that side in which that byte stands; NULL: none. */
const struct gg__story_message *gg__story_message_at(const struct gg__story *story, enum gg_side side, uint64_t offset);

/* Both fill their part of it; errors stay in the story. */
void gg__story_find_waits(struct gg__story *story);
void gg__story_find_values(struct gg__story *story);

#endif
