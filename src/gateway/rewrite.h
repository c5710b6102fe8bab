/* SPDX-License-Identifier: Apache-2.0 */
/**
 * rewrite.h - plug-ins that say what goes on instead of what came; the essay is in rewrite.c.
 *
 * Thread: the session's worker.
 */
#ifndef GG_GATEWAY_REWRITE_H
#define GG_GATEWAY_REWRITE_H

#include "gateway/live.h"
#include "gateway/relay.h"

enum { GG_REWRITTEN_MAX = 1 << 20 }; /* bytes that one read may become, through however many rewriters */

/* A session's second conversation in the recording: what was sent. */
struct gg_as_sent {
  const struct gg_session *session;
  struct gg_conversation conversation;
  struct gg_session_id id;
  bool begun;    /* its ends are known: something is in it, or is missing from it */
  bool recorded; /* its last packet is, or was given up */
};

/* A plug-in wants to rewrite: there has to be memory for the second conversation. GG_ERR_NOMEM; GG_ERR_UNSUPPORTED:
 * what comes from that side is the configuration's own (upstream: none). */
int gg__rewrite_prepare(struct gg_live *live, enum gg_direction direction);
/* `index` of the chain rewrites from here on. */
void gg__rewrite_begin(struct gg_live *live, unsigned index, enum gg_direction direction);

/* A chunk was received, recorded and counted: asks the direction's rewriters, and sends on what they put out. */
enum gg_step gg__rewrite_chunk(struct gg_session *session, enum gg_direction direction, const struct iovec *iov,
                               size_t bytes);
/* Whether something that they have put out waits for room, in the log or before a gate. */
static inline bool gg__rewrite_waits(const struct gg_session *session, enum gg_direction direction)
{
  return session->live && session->live->way[direction].stage.length > 0;
}
/* ... then some of it goes on. */
enum gg_step gg__rewrite_pass(struct gg_session *session, enum gg_direction direction);
/* The direction's end was read, and nothing waits: their last word. AGAIN: there is nothing more; otherwise, or if
 * something waits now, the end is not passed on yet. */
enum gg_step gg__rewrite_end(struct gg_session *session, enum gg_direction direction);
/* The direction's FIN is about to be passed on, and is in the recording. AGAIN: here too, or not for want of room under
 * `gap`. */
enum gg_step gg__rewrite_fin(struct gg_session *session, enum gg_direction direction);

/* Gives up what waits; how much it was. */
size_t gg__rewrite_drop(struct gg_live *live, enum gg_direction direction);
/* The session is over: records the second conversation's last packet. False: no room. */
bool gg__rewrite_close_record(struct gg_session *session, enum gg_closing closing);
/* Gives up recording it: counted as lost. */
void gg__rewrite_abandon(struct gg_session *session);
/* Frees what the session has for this. */
void gg__rewrite_fini(struct gg_live *live);

/* facts.c: the members of the second conversation's comments; the argument is the struct gg_as_sent. */
void gg__as_sent_facts(const void *as_sent, struct gg_json *json);
void gg__as_sent_closing_facts(const void *as_sent, struct gg_json *json);

#endif
