/* SPDX-License-Identifier: Apache-2.0 */
/**
 * exchange.h - requests of HTTP with their answers, out of a session's messages.
 *
 *     messages, as they come ──► kept: fields and body ──► request and its answer ──► `done`, in order of requests
 *
 * Answers come when they come (pipelining, streams of HTTP/2), and an exchange is told when all before it have been:
 * so what is kept is bounded. When there are GG__EXCHANGES_MAX, or GG__EXCHANGE_MEMORY_MAX bytes of them, those that
 * are complete are told out of order; if that is not enough, the oldest is told as it is. Of a body at most
 * GG__EXCHANGE_BODY_MAX bytes are kept.
 *
 * Private to src/store. Thread: one at a time.
 */
#ifndef GG_STORE_EXCHANGE_H
#define GG_STORE_EXCHANGE_H

#include <gogetway/decoder.h>

enum {
  GG__EXCHANGES_MAX = 1024,
  GG__EXCHANGE_BODY_MAX = 16 << 20,
  GG__EXCHANGE_MEMORY_MAX = 64 << 20,
};

struct gg__kept {
  struct gg_message message; /* as at its end, if it has ended; fields are its own then, and there is no summary */
  bool begun, ended;
  char *text; /* of the fields */
  size_t field_bytes;
  uint8_t *body;
  size_t body_length, body_capacity;
  bool body_cut; /* it was longer */
};

struct gg__exchange {
  struct gg__kept request, response;
  bool early; /* told before its answer was complete, because too many waited */
  struct gg__exchange *next;
};

struct gg__exchanges {
  void *context;
  void (*done)(void *context, const struct gg__exchange *exchange);
  bool bodies[2];         /* whose bodies are kept, by enum gg_side */
  uint64_t answers_alone; /* answers without a request that is known */
  int error;              /* GG_ERR_NOMEM: nothing is taken any more */
  struct gg__exchange *first, *last;
  size_t count, memory;
};

void gg__exchanges_init(struct gg__exchanges *exchanges, void *context,
                        void (*done)(void *context, const struct gg__exchange *exchange));
void gg__exchanges_head(struct gg__exchanges *exchanges, const struct gg_message *message);
void gg__exchanges_body(struct gg__exchanges *exchanges, const struct gg_message *message, const struct gg_body *body);
void gg__exchanges_end(struct gg__exchanges *exchanges, const struct gg_message *message);
/* The session is over: tells what is left. Then another one may follow. */
void gg__exchanges_finish(struct gg__exchanges *exchanges);
/* Forgets what is left. */
void gg__exchanges_fini(struct gg__exchanges *exchanges);

#endif
