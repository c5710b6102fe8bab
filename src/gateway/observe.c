/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe.c - telling who observes a session where in the log its bytes are.
 *
 * That is done between sealing a chunk and committing it, when the places of its packets' payloads are known, and their
 * place in the stream: the conversation's offset, which counts what is missing in the recording as well. So splice is
 * as good as receiving in place, and a stream's holes need no mention.
 */
#include "gateway/observe.h"

#include "gateway/live.h"
#include "gateway/worker.h"
#include "hook/observe.h"

/* Up to where the direction went, recorded or not. */
static uint64_t stream_end(const struct gg_session *session, enum gg_direction direction)
{
  return session->recorded ? session->conversation.offset[direction] : session->end[direction].received;
}

int gg__observe_begin(struct gg_live *live, unsigned index, enum gg_direction direction)
{
  struct gg_session *session = live->session;
  struct gg_worker *worker = session->worker;
  struct gg_live_hook *hook = &live->hooks[index];
  struct gg_session_key key;
  if (!session->recorded)
    return GG_ERR_UNSUPPORTED;
  if (!worker->feed)
    worker->feed = gg_hook_feed_create(worker->plane->options.hooks);
  if (!worker->feed)
    return GG_ERR_NOMEM;
  gg_session_id_format(&session->id, key.text);
  int error = gg_hook_watch_begin(&hook->watch[direction], live->chain->hooks[index], worker->shard, &key,
                                  (enum gg_side)direction, stream_end(session, direction));
  if (!error)
    live->way[direction].observers++;
  return error;
}

void gg__observe_end(struct gg_live *live, unsigned index, enum gg_direction direction)
{
  struct gg_session *session = live->session;
  struct gg_live_hook *hook = &live->hooks[index];
  if (!hook->watch[direction])
    return;
  gg_hook_watch_end(session->worker->feed, hook->watch[direction], session->worker->shard,
                    stream_end(session, direction));
  hook->watch[direction] = NULL;
  live->way[direction].observers--;
}

void gg__observe_end_all(struct gg_live *live)
{
  for (unsigned direction = 0; direction < 2; direction++)
    for (unsigned i = 0; live->way[direction].observers > 0 && i < live->chain->count; i++)
      gg__observe_end(live, i, (enum gg_direction)direction);
}

void gg__observe_sealed(struct gg_session *session, const struct gg_chunk_layout *layout, size_t bytes,
                        uint64_t time_ns)
{
  const struct gg_live *live = session->live;
  enum gg_direction direction = layout->direction;
  if (!live || live->way[direction].observers == 0)
    return;
  struct gg_log *log = session->log->log;
  uint64_t offset = session->conversation.offset[direction] - bytes;
  for (const struct iovec *iov = layout->iov; bytes > 0; iov++) {
    size_t part = iov->iov_len < bytes ? iov->iov_len : bytes;
    uint64_t position = gg_log_position(log, iov->iov_base);
    for (unsigned i = 0; i < live->chain->count; i++)
      if (live->hooks[i].watch[direction])
        gg_hook_watch_chunk(session->worker->feed, live->hooks[i].watch[direction], log, position, offset, part,
                            time_ns);
    offset += part;
    bytes -= part;
  }
}
