/* SPDX-License-Identifier: Apache-2.0 */
/**
 * reply.h - the live server's bytes beside the recorded ones, as they come.
 *
 * Two streams are compared, not messages: as long as they are equal nothing else matters, in whatever pieces they come
 * and however far ahead of the client's next chunk (a pipelining client's replies run ahead). Only behind a difference
 * the streams have to be brought together again, which is done where the client goes on: there the live reply ends by
 * definition, and the next live byte is compared with the first byte of the recorded reply that follows.
 *
 *   recorded  |reply 0 ........|reply 1 ....|reply 2 ..|
 *   live      |........x.........|.... shifted back into step at the turn
 *                      first difference: BYTES at this offset; the turn then counts the reply as different
 *
 * A turn's reply is equal, shorter (fewer bytes than were recorded), longer (more, and what is behind the recorded end
 * is not the next reply's beginning) or different (as many, and other ones). Missing bytes of the recording are equal
 * to anything.
 *
 * Thread: the replay's. Memory: this struct; recorded bytes are read from the script when live ones have come.
 */
#ifndef GG_REPLAY_REPLY_H
#define GG_REPLAY_REPLY_H

#include "replay/rules.h"
#include "replay/script.h"

#include <gogetway/replay.h>

struct gg_reply {
  struct gg_script *script;
  struct gg_cursor cursor;         /* behind `step` */
  struct gg_step step;             /* EXPECT or EXPECT_GAP that the next live byte is compared with */
  uint64_t at;                     /* in it */
  bool stepped;                    /* `step` is one */
  bool exhausted;                  /* no such step is left */
  bool diverged;                   /* since the last turn: nothing is compared until the next */
  bool put_off;                    /* `turn_begin` is that of an earlier turn, which has not been made */
  bool open_end;                   /* behind the recorded end anything may come */
  bool shut;                       /* ... and has come */
  bool excerpting;                 /* `difference` is of this turn, and what comes is its excerpt's */
  uint64_t offset;                 /* of the next byte in the recorded stream */
  uint64_t chunk;                  /* recorded chunks of the server that were begun */
  uint64_t turn_end;               /* offset at which the reply that is awaited ends; UINT64_MAX: not known yet */
  uint64_t turn_begin;             /* ... and at which it begins: where the last one ended */
  uint64_t turn_bytes;             /* live bytes of this turn, those that came ahead of it too */
  uint8_t tail[GG_TERMINATOR_MAX]; /* the last live bytes of the turn */
  uint8_t tail_bytes;
  struct gg_replay_difference difference; /* the first of the session */
};

void gg__reply_begin(struct gg_reply *reply, struct gg_script *script, size_t session);

/* Live bytes. Errors are the script's. */
int gg__reply_feed(struct gg_reply *reply, const uint8_t *data, size_t size, struct gg_failure *failure);

/* What comes from now on is compared only as long as it is what was recorded: nothing is known of what is behind. */
void gg__reply_open_end(struct gg_reply *reply);

/* The reply that is awaited ends at this offset of the recorded stream. */
void gg__reply_await(struct gg_reply *reply, uint64_t turn_end);

/* Whether it has come to the byte, and perhaps more of what was recorded behind it. */
bool gg__reply_identical(const struct gg_reply *reply);
/* Whether what has come is the beginning of the recorded reply to the byte, so that it looks as if more will come. */
bool gg__reply_wants_more(const struct gg_reply *reply);
/* Whether the whole recorded stream has come to the byte, and nothing behind it. Errors are the script's. */
int gg__reply_whole(struct gg_reply *reply, bool *whole, struct gg_failure *failure);
/* Whether it has ended by a rule: the terminator is the end of what has come, or at least `length` bytes have. */
bool gg__reply_obeys(const struct gg_reply *reply, const struct gg_rule *rule);

/* The client goes on before all of the awaited reply has come, which nobody waits for, and all is as recorded so far:
 * what is missing still comes. It is one reply with the next one. */
void gg__reply_put_off(struct gg_reply *reply);

/* The awaited reply has ended: counts it (replies, equal, shorter, ...) and gets into step with `cursor`, which stands
 * behind its last step at offset turn_end. */
int gg__reply_turn(struct gg_reply *reply, struct gg_cursor cursor, uint64_t chunks_before,
                   struct gg_replay_counts *counts, struct gg_failure *failure);

/* The live stream has ended: what was recorded and did not come makes the last reply shorter. `cut`: the client ended
 * it, so nothing is said about the rest, and an awaited reply that was not whole yet is not counted. */
int gg__reply_end(struct gg_reply *reply, bool cut, struct gg_replay_counts *counts, struct gg_failure *failure);

/* Notes a difference of another kind, if it is the session's first. */
void gg__reply_differs(struct gg_reply *reply, enum gg_replay_difference_kind kind);

#endif
