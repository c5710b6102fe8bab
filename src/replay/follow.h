/* SPDX-License-Identifier: Apache-2.0 */
/**
 * follow.h - which answers a client has waited for: the messages of the recorded session beside those of the live one.
 *
 *   recorded steps ──► decoding ──► requests, answers ──┐
 *                                                       ├──► asks: request n, and on which side it has its answer
 *   live bytes     ──► decoding ──► requests, answers ──┘
 *
 * The live client says what the recorded one said, so its n-th request is the recorded one's n-th. What the client says
 * next may go when every request that had its whole answer in the recording by then has it on the live connection, in
 * whatever bytes, order and pieces; others may still be under way (HTTP/2, pipelining). Besides:
 *
 *   - Of a request that the client has not ended, answers count that are not the last (100 Continue, a message of
 *     gRPC): the client may have waited for them to go on with it.
 *   - The server's messages of the protocol's own running (SETTINGS, WINDOW_UPDATE) have to be as many.
 *   - What is unsolicited, and a stream's answer that was not whole yet, are waited for by nobody.
 *   - What was not there when the client went on is not waited for again.
 *
 * Nothing is said (UNKNOWN), and the bytes decide, where the protocol is not known, encrypted, not understood any more,
 * has no requests (WebSocket), or is another one than in the recording, of greetings, and where only a part of a
 * stream-less answer had come: whether that was its end is something that a decoder of lines learns later.
 * What is missing by the prompts of a console is only thought to be (SEEMS_NOT): a new version may have others.
 *
 * Thread: the replay's. Memory: two decodings of at most GG_FOLLOW_MEMORY_MAX bytes, and GG_FOLLOW_ASKS_MAX asks of 64;
 * a session that would need more is not followed any more. Recorded bytes are read piece by piece, and not kept.
 */
#ifndef GG_REPLAY_FOLLOW_H
#define GG_REPLAY_FOLLOW_H

#include "replay/script.h"

enum {
  GG_FOLLOW_BEHIND_MAX = 1 << 20, /* bytes of a session that were not followed, and are read again in one turn */
  GG_FOLLOW_MEMORY_MAX = 4 << 20, /* bytes of each of the two decodings */
  GG_FOLLOW_ASKS_MAX = 1 << 16,   /* requests, from the first that has no answer on */
};

struct gg_follow;

enum gg_follow_says {
  GG_FOLLOW_UNKNOWN,   /* ask the bytes */
  GG_FOLLOW_SEEMS_NOT, /* an answer seems to be missing: how it ends is learned, as a rule is */
  GG_FOLLOW_NOT_YET,   /* an answer is missing */
  GG_FOLLOW_COMPLETE,  /* all that was waited for has come */
};

struct gg_follow_turn {
  uint64_t recorded_ns; /* when the last of what was waited for had come; 0: nothing was waited for */
  uint64_t live_ns;     /* when it has come now; 0: not known */
  bool guessed;         /* by prompts that are learned: what is an answer is a guess */
};

/* NULL: no memory. `replaced`: what is sent need not be what was recorded. */
struct gg_follow *gg__follow_create(struct gg_script *script, size_t session, bool replaced);
void gg__follow_destroy(struct gg_follow *follow); /* NULL is fine */

/* The live connection has had so many bytes, all of them as recorded, before this one came to be; the last ones at
 * `last_ns`, and when the others were is not known any more. Errors are the script's. */
int gg__follow_begin(struct gg_follow *follow, size_t session, uint64_t sent, uint64_t received, uint64_t last_ns,
                     struct gg_failure *failure);
/* What the live connection has; `offset`: of the first byte in what was received. */
void gg__follow_sent(struct gg_follow *follow, const uint8_t *data, size_t size, uint64_t now_ns);
void gg__follow_received(struct gg_follow *follow, uint64_t offset, const uint8_t *data, size_t size, uint64_t now_ns);

/* Reads the recording on, up to behind its first `steps` steps. 1: it is there; 0: to be called again; or an error of
 * the script. A step of the client says that it has gone on: nothing of before is waited for any more. */
int gg__follow_read(struct gg_follow *follow, uint64_t steps, struct gg_failure *failure);
/* Of what had come in the recording by then. */
enum gg_follow_says gg__follow_says(const struct gg_follow *follow, struct gg_follow_turn *turn);

/* It will say nothing any more. */
bool gg__follow_is_lost(const struct gg_follow *follow);
const char *gg__follow_decoder(const struct gg_follow *follow); /* who decodes; NULL: nobody. Static */

#endif
