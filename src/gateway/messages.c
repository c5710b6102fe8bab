/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.c - `decode: inline`: gates are told what is said, in the worker, before it goes on.
 *
 *   a chunk, recorded, as rewriters have made it
 *      │
 *      ▼                        head, end, opaque
 *   the session's decoding ───────────────────────► `message` of each gate of that side, in order
 *      │                                               │ a verdict: nothing from the message's first byte on
 *      ▼                                               ▼ of this chunk goes on
 *   gates (gate.c) ────────────────────────────────► the receiver
 *
 * A session is decoded while a plug-in that has `message` gates one of its sides; both sides are, since an answer is
 * not understood without its question. So neither is spliced meanwhile. It begins at what has been received, as a gate
 * does: one that begins later than the session is told little, as of one whose beginning is missing in a recording.
 *
 * No byte is held back for it: a decoder of prompts or of keystrokes would wait for what its receiver must see first.
 * But the verdict comes before the chunk in which the head is complete, so once the protocol is known nobody gets a
 * whole one that was refused. Before that nothing is told; a plug-in keeps bytes back itself (docs/plugins.md).
 *
 * A message may become known by what the other side says. Then that chunk does not go on either.
 *
 * Only built-in decoders: those of plug-ins are promised to be called one at a time.
 */
#include "base/clock.h"
#include "gateway/live.h"
#include "gateway/worker.h"

#include <gogetway/decoder.h>
#include <stdlib.h>

struct gg_messages {
  struct gg_live *live;
  struct gg_decoding *decoding;
  bool pushing;  /* it tells just now, and is not destroyed */
  bool unwanted; /* nobody is told any more */
  bool ended[2];
  struct gg_final *final; /* of the push at hand */
};

static void tell(struct gg_messages *messages, const struct gg_spoken *spoken, uint64_t offset)
{
  struct gg_live *live = messages->live;
  for (unsigned i = 0; i < live->chain->count; i++) {
    struct gg_hook *hook = live->chain->hooks[i];
    if (messages->final->verdict.kind != GG_VERDICT_PASS)
      return;
    if (!hook->plugin.message || live->hooks[i].mode[spoken->from] != GG_MODE_GATE)
      continue;
    struct gg_verdict verdict = {.kind = GG_VERDICT_PASS};
    gg_hook_message(hook, live->session->worker->shard, live, spoken, &verdict);
    *messages->final = (struct gg_final){verdict, hook, (enum gg_direction)spoken->from, offset};
  }
}

static void on_head(void *context, const struct gg_message *message)
{
  const struct gg_spoken spoken = {
    .size = sizeof spoken, .kind = GG_SPOKEN_HEAD, .from = message->side, .message = message};
  tell(context, &spoken, message->offset);
}

static void on_end(void *context, const struct gg_message *message)
{
  const struct gg_spoken spoken = {
    .size = sizeof spoken, .kind = GG_SPOKEN_END, .from = message->side, .message = message};
  tell(context, &spoken, message->offset);
}

static void on_opaque(void *context, const struct gg_opaque *opaque)
{
  const struct gg_spoken spoken = {
    .size = sizeof spoken, .kind = GG_SPOKEN_OPAQUE, .from = opaque->side, .opaque = opaque};
  tell(context, &spoken, opaque->offset);
}

bool gg__messages_can(const struct gg_live *live, unsigned index)
{
  return live->session->listener->options->decode_inline && live->chain->hooks[index]->plugin.message;
}

int gg__messages_begin(struct gg_live *live)
{
  if (live->messages) {
    live->messages->unwanted = false;
    return GG_OK;
  }
  struct gg_session *session = live->session;
  struct gg_messages *messages = calloc(1, sizeof *messages);
  if (!messages)
    return GG_ERR_NOMEM;
  messages->live = live;
  const struct gg_message_sink sink = {
    .size = sizeof sink, .context = messages, .head = on_head, .end = on_end, .opaque = on_opaque};
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.memory_max = GG_MESSAGES_MEMORY_MAX;
  options.beginning_missing = session->end[GG_FROM_CLIENT].received > 0 || session->end[GG_FROM_SERVER].received > 0;
  if (gg_decoding_create(&messages->decoding, &options, &sink, NULL) != 0) {
    free(messages);
    return GG_ERR_NOMEM;
  }
  live->messages = messages;
  return GG_OK;
}

void gg__messages_fini(struct gg_live *live)
{
  struct gg_messages *messages = live->messages;
  if (!messages)
    return;
  messages->unwanted = true;
  if (messages->pushing) /* and is destroyed when that returns */
    return;
  live->messages = NULL;
  gg_decoding_destroy(messages->decoding);
  free(messages);
}

void gg__messages_judge(struct gg_live *live)
{
  if (!live->messages)
    return;
  for (unsigned i = 0; i < live->chain->count; i++)
    for (unsigned side = 0; side < 2; side++)
      if (live->hooks[i].mode[side] == GG_MODE_GATE && gg__messages_can(live, i))
        return;
  gg__messages_fini(live);
}

/* What was told is over. Whoever gave its gate back in it is told nothing any more. */
static void settle(struct gg_live *live)
{
  live->messages->pushing = false;
  live->messages->final = NULL;
  if (!live->messages->unwanted)
    return;
  gg__messages_fini(live);
  gg__session_judge(live->session, GG_FROM_CLIENT); /* they may be spliced again */
  gg__session_judge(live->session, GG_FROM_SERVER);
}

void gg__messages_chunk(struct gg_session *session, enum gg_direction direction, const struct iovec *iov, size_t bytes,
                        struct gg_final *final)
{
  struct gg_messages *messages = session->live->messages;
  uint64_t time_ns = gg_clock_real_ns(), offset = gg__live_position(session, direction) - bytes;
  messages->pushing = true;
  messages->final = final;
  for (; bytes > 0 && final->verdict.kind == GG_VERDICT_PASS; iov++) {
    size_t length = iov->iov_len < bytes ? iov->iov_len : bytes;
    gg_decoding_push(messages->decoding, (enum gg_side)direction, offset, time_ns, iov->iov_base, length);
    offset += length;
    bytes -= length;
  }
  settle(session->live);
}

void gg__messages_end(struct gg_session *session, enum gg_direction direction, struct gg_final *final)
{
  struct gg_messages *messages = session->live->messages;
  if (messages->ended[direction])
    return;
  messages->ended[direction] = true;
  messages->pushing = true;
  messages->final = final;
  gg_decoding_end(messages->decoding, (enum gg_side)direction, gg_clock_real_ns());
  settle(session->live);
}
