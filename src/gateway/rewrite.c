/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite.c - plug-ins that say what goes on instead of what came.
 *
 *     recorded chunk ──► rewriter ──► rewriter ──► [stage] ──► recorded as sent ──► gates ──► socket
 *                        (the worker's two buffers)  what has no room yet     relay.c: as any other chunk
 *
 * What was received is in the recording already, as it came. What the last rewriter has put out is recorded once more,
 * in a second conversation of the session: between the gateway's own address and the upstream's, with an id of its own,
 * whose facts say of which session it is (`as_sent_of`). Only then it goes on, from the log, as a chunk that was read
 * would. So whatever a receiver has got is in the recording: in the one conversation if it was not rewritten, in the
 * other one if it was.
 *
 * A read may become more bytes than may wait, or the log may have no room. What does not go on at once is the
 * direction's stage, on the heap; while there is one the direction is not read, and its turns take from the stage as
 * they would from the socket (gg__rewrite_pass): so much at a time as a read would bring. The stage is bounded by what
 * one read can become, GG_REWRITTEN_MAX.
 *
 * Positions. Gates, and what waits for a receiver, count in the stream that goes on; it is as long as what was received
 * and `shift`, which wraps (gg__live_position). What enters the rewriters is taken off `shift`, what leaves the stage
 * is added to it. Each rewriter has a shift of its own, which says at which offset the next one begins, if that is
 * wanted later. Offsets of the second conversation are those of the stream that goes on, too: what went on without
 * being rewritten, before a rewriter was wanted or after it was given back, is in the first conversation, and here a
 * gap that says `left-out`.
 *
 * Bytes that are masked from the recording would be back in it by what is recorded as sent; so of a masked direction
 * all of that is left out.
 *
 * Rejected: to put what a rewriter puts out straight into the log. It says how much that is only when it has returned;
 * until then it would hold the log's one reservation, for as much as it may put out at the most.
 */
#include "gateway/rewrite.h"

#include "base/clock.h"
#include "gateway/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ── What they want ──────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__rewrite_prepare(struct gg_live *live, enum gg_direction direction)
{
  struct gg_session *session = live->session;
  if (direction == GG_FROM_SERVER && !session->listener->group)
    return GG_ERR_UNSUPPORTED;
  if (live->as_sent)
    return GG_OK;
  live->as_sent = calloc(1, sizeof *live->as_sent);
  if (!live->as_sent)
    return GG_ERR_NOMEM;
  live->as_sent->session = session;
  live->as_sent->id = gg_session_id_next(&session->worker->ids, gg_clock_real_ns());
  return GG_OK;
}

void gg__rewrite_begin(struct gg_live *live, unsigned index, enum gg_direction direction)
{
  const struct gg_end *from = &live->session->end[direction];
  if (live->asked == &live->hooks[index] && live->asked_way == direction) { /* gave it back, and thought again */
    live->hooks[index].seen[direction] = live->asked_to;
    return;
  }
  uint64_t begins = from->received - live->way[direction].entering + (from->pipe ? from->pipe->raw : 0);
  for (unsigned i = 0; i < index; i++)
    begins += live->hooks[i].shift[direction];
  live->hooks[index].seen[direction] = live->hooks[index].passed[direction] = begins;
}

/* ── The second conversation ─────────────────────────────────────────────────────────────────────────────────────── */

/* Whether one of the gateway's own listeners is there: the connection to it is a session of its own, which is recorded
 * with the very addresses of its two ends. */
static bool leads_back(const struct gg_worker *worker, const struct gg_addr *upstream)
{
  for (const struct gg_list *node = worker->listeners.next; node != &worker->listeners; node = node->next) {
    const struct gg_listener *listener = GG_CONTAINER(node, struct gg_listener, node);
    if (listener->wildcard ? listener->address.port == upstream->port && gg__session_is_local(worker->plane, upstream)
                           : gg_addr_equal(&listener->address, upstream))
      return true;
  }
  return false;
}

/* The two ends of the connection to the upstream. Where that has no addresses, or they are another session's, some that
 * no other open session has. */
static void back_leg(const struct gg_session *session, struct gg_addr *gateway, struct gg_addr *upstream)
{
  if (session->gateway.family != GG_FAMILY_NONE && !leads_back(session->worker, &session->upstream)) {
    *gateway = session->gateway;
    *upstream = session->upstream;
    return;
  }
  *gateway = gg__session_synthetic(session->worker);
  *upstream = gg__session_synthetic(session->worker);
}

static void begin(struct gg_session *session, struct gg_as_sent *as_sent)
{
  struct gg_addr gateway, upstream;
  uint64_t random = gg__worker_random(session->worker);
  const uint32_t sequence[2] = {(uint32_t)random, (uint32_t)(random >> 32)};
  back_leg(session, &gateway, &upstream);
  gg_conversation_init(&as_sent->conversation, &gateway, &upstream, sequence, gg__as_sent_facts, as_sent);
  as_sent->begun = true;
}

static bool open_record(struct gg_session *session, struct gg_as_sent *as_sent)
{
  struct gg_log *log = session->log->log;
  uint8_t *at = gg_log_reserve(log, GG_CONVERSATION_OPEN_MAX, GG_LOG_DATA);
  if (!at)
    return false;
  uint64_t time_ns = gg_log_time(log, gg_clock_mono_ns());
  gg_pairs_enter(&session->worker->pairs, &as_sent->conversation);
  gg_log_commit(log, gg_conversation_open(&as_sent->conversation, at, gg_log_segment(log), time_ns));
  return true;
}

/* A piece of what the rewriters have put out, on its way. */
struct slice {
  struct iovec iov[GG_CHUNK_IOV_MAX];
  unsigned count;
  size_t bytes;
};

/* How much of `left` may go on in one step: no more than one read would bring, and gates leave room for. */
static size_t slice_size(const struct gg_session *session, enum gg_direction direction, size_t left)
{
  size_t room = gg__live_room(session, direction);
  size_t size = left < room ? left : room;
  const struct gg_live *live = session->live;
  uint64_t at = gg__live_position(session, direction), most = live->way[direction].record_most;
  return at < most && size > most - at ? (size_t)(most - at) : size;
}

/* Copies the slice into the log and points it there. WAIT, OVER: there is no room, and it cannot go on now. */
static enum gg_step record(struct gg_session *session, enum gg_direction direction, struct gg_as_sent *as_sent,
                           struct slice *slice)
{
  struct gg_conversation *conversation = &as_sent->conversation;
  struct gg_log *log = session->log->log;
  uint8_t *at = NULL;
  if (conversation->opened || open_record(session, as_sent))
    at = gg_log_reserve(log, gg_conversation_chunk_room(conversation, slice->bytes), GG_LOG_DATA);
  if (!at) {
    enum gg_no_room way = gg__relay_no_room(session, direction);
    if (way != GG_NO_ROOM_GAP)
      return way == GG_NO_ROOM_WAIT ? GG_STEP_WAIT : GG_STEP_OVER;
    gg__relay_missing(session, conversation, direction, slice->bytes);
    return GG_STEP_AGAIN;
  }
  struct gg_chunk_layout layout;
  const uint8_t *from = slice->iov[0].iov_base;
  gg_conversation_lay(conversation, &layout, direction, slice->bytes, at, gg_log_segment(log));
  slice->count = layout.iov_count;
  for (unsigned i = 0; i < layout.iov_count; i++) {
    slice->iov[i] = layout.iov[i];
    memcpy(layout.iov[i].iov_base, from, layout.iov[i].iov_len);
    from += layout.iov[i].iov_len;
  }
  gg_log_commit(log, gg_conversation_seal(conversation, &layout, slice->bytes, gg_log_time(log, gg_clock_mono_ns())));
  return GG_STEP_AGAIN;
}

/* The slice enters the second conversation, or is left out of it, before it goes on. */
static enum gg_step record_as_sent(struct gg_session *session, enum gg_direction direction, struct slice *slice)
{
  struct gg_live *live = session->live;
  struct gg_as_sent *as_sent = live->as_sent;
  if (!session->recorded || session->end[GG_FROM_SERVER].source.fd < 0) /* upstream: none; it goes nowhere */
    return GG_STEP_AGAIN;
  if (!as_sent->begun)
    begin(session, as_sent);
  struct gg_conversation *conversation = &as_sent->conversation;
  uint64_t at = gg__live_position(session, direction);
  assert(at >= conversation->offset[direction]);
  if (at > conversation->offset[direction]) /* went on as it came */
    gg_conversation_gap(conversation, direction, at - conversation->offset[direction], GG_GAP_LEFT_OUT);
  /* What a mask keeps out of the recording may be in what rewriters put out, too. */
  if (at < live->way[direction].record_most && !live->way[direction].was_masked)
    return record(session, direction, as_sent, slice);
  gg_conversation_gap(conversation, direction, slice->bytes, GG_GAP_LEFT_OUT);
  gg__count(session->worker, GG_COUNT_LEFT_OUT, slice->bytes);
  return GG_STEP_AGAIN;
}

/* ── Going on ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Sends on as much of `length` bytes as may go in one step; *taken says how many went. */
static enum gg_step go_on(struct gg_session *session, enum gg_direction direction, uint8_t *bytes, size_t length,
                          size_t *taken)
{
  struct slice slice = {.count = 1, .bytes = slice_size(session, direction, length)};
  *taken = 0;
  if (slice.bytes == 0) /* gates keep back as much as may be */
    return GG_STEP_WAIT;
  slice.iov[0] = (struct iovec){bytes, slice.bytes};
  enum gg_step recorded = record_as_sent(session, direction, &slice);
  if (recorded != GG_STEP_AGAIN)
    return recorded;
  session->live->way[direction].shift += slice.bytes;
  *taken = slice.bytes;
  return gg__relay_send_on(session, direction, slice.iov, slice.count, slice.bytes);
}

enum gg_step gg__rewrite_pass(struct gg_session *session, enum gg_direction direction)
{
  struct gg_way *way = &session->live->way[direction];
  struct gg_output *stage = &way->stage;
  size_t taken;
  if (gg__gate_holds(session, direction))
    return GG_STEP_WAIT;
  enum gg_step step = go_on(session, direction, stage->bytes + way->staged_at, stage->length - way->staged_at, &taken);
  if (step == GG_STEP_OVER) /* it is gone, with the session */
    return step;
  way->staged_at += taken;
  if (way->staged_at == stage->length)
    gg__rewrite_drop(session->live, direction);
  return step;
}

/* What the last rewriter has put out: some goes on, the rest is staged. */
static enum gg_step put_out(struct gg_session *session, enum gg_direction direction, const struct gg_output *output)
{
  struct gg_way *way = &session->live->way[direction];
  size_t taken = 0;
  assert(way->stage.length == 0);
  if (output->length == 0)
    return GG_STEP_AGAIN;
  enum gg_step step = GG_STEP_WAIT;
  if (!gg__gate_holds(session, direction))
    step = go_on(session, direction, output->bytes, output->length, &taken);
  if (step == GG_STEP_OVER || taken == output->length || session->live->ended)
    return step;
  way->stage.most = GG_REWRITTEN_MAX;
  way->staged_at = 0;
  if (gg_output_append(&way->stage, output->bytes + taken, output->length - taken) == GG_OK)
    return step;
  gg__session_close(session, GG_CLOSE_LIMIT);
  return GG_STEP_OVER;
}

size_t gg__rewrite_drop(struct gg_live *live, enum gg_direction direction)
{
  struct gg_way *way = &live->way[direction];
  size_t waiting = way->stage.length - way->staged_at;
  gg_output_fini(&way->stage);
  way->staged_at = 0;
  return waiting;
}

/* ── Asking them ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Shows one rewriter a piece, or that nothing follows. False: what it put out is too much. */
static bool show(struct gg_live *live, unsigned index, enum gg_direction direction, const struct iovec *piece,
                 bool ended, struct gg_output *output)
{
  struct gg_worker *worker = live->session->worker;
  struct gg_live_hook *state = &live->hooks[index];
  size_t before = output->length, most = before + worker->options->pending_max;
  const struct gg_data data = {
    .size = sizeof data,
    .from = (enum gg_side)direction,
    .bytes = piece->iov_base,
    .length = piece->iov_len,
    .offset = state->seen[direction],
    .ended = ended,
  };
  state->seen[direction] += piece->iov_len; /* before the call, in which it may be given back and wanted anew */
  state->told_end[direction] = ended;
  output->most = most < GG_REWRITTEN_MAX ? most : GG_REWRITTEN_MAX;
  live->asked = state;
  live->asked_to = state->seen[direction];
  live->asked_way = (uint8_t)direction;
  gg_hook_rewrite(live->chain->hooks[index], worker->shard, live, &data, output);
  live->asked = NULL;
  output->most = 0; /* one that it has kept takes nothing */
  state->shift[direction] += output->length - before - piece->iov_len;
  return output->error == GG_OK;
}

/* One rewriter's part: all that the one before has put out. What comes after it was given back goes on untouched. */
static bool show_all(struct gg_live *live, unsigned index, enum gg_direction direction, const struct iovec *iov,
                     size_t bytes, bool ended, struct gg_output *output)
{
  const struct gg_live_hook *state = &live->hooks[index];
  size_t most = live->session->worker->options->pending_max;
  most = most < GG_READ_BYTES ? most : GG_READ_BYTES; /* one that changes nothing can always put out what came */
  for (size_t at = 0; bytes > 0;) {
    size_t left = iov->iov_len - at < bytes ? iov->iov_len - at : bytes;
    struct iovec piece = {(uint8_t *)iov->iov_base + at, left < most ? left : most};
    if (state->mode[direction] == GG_MODE_REWRITE) {
      if (!show(live, index, direction, &piece, false, output))
        return false;
    } else {
      output->most = GG_REWRITTEN_MAX;
      if (gg_output_append(output, piece.iov_base, piece.iov_len) != GG_OK)
        return false;
    }
    bytes -= piece.iov_len;
    at += piece.iov_len;
    if (at == iov->iov_len) {
      at = 0;
      iov++;
    }
  }
  if (!ended || state->mode[direction] != GG_MODE_REWRITE || state->told_end[direction])
    return true;
  return show(live, index, direction, &(struct iovec){"", 0}, true, output);
}

/* Somebody has put out more than may be. */
static void refuse(struct gg_session *session, enum gg_direction direction, unsigned index, int error)
{
  const struct gg_verdict verdict = {
    .kind = GG_VERDICT_RESET,
    .reason = error == GG_ERR_LIMIT ? "it put out more than may be" : "no memory for what it put out",
  };
  gg__live_end(session, direction, session->live->chain->hooks[index]->name, &verdict, UINT64_MAX);
}

/* Through all rewriters of the direction, from one of the worker's buffers to the other. NULL: the session is over. */
static const struct gg_output *ask(struct gg_session *session, enum gg_direction direction, const struct iovec *iov,
                                   size_t bytes, bool ended)
{
  struct gg_live *live = session->live;
  struct gg_output *outputs = session->worker->rewritten, *output = NULL;
  struct iovec between;
  for (unsigned i = 0; i < live->chain->count; i++) {
    if (live->hooks[i].mode[direction] != GG_MODE_REWRITE)
      continue;
    output = output == &outputs[0] ? &outputs[1] : &outputs[0];
    output->length = 0;
    output->error = GG_OK;
    if (!show_all(live, i, direction, iov, bytes, ended, output)) {
      refuse(session, direction, i, output->error);
      return NULL;
    }
    between = (struct iovec){output->bytes, output->length};
    iov = &between;
    bytes = output->length;
  }
  return output;
}

enum gg_step gg__rewrite_chunk(struct gg_session *session, enum gg_direction direction, const struct iovec *iov,
                               size_t bytes)
{
  const struct gg_output *output = ask(session, direction, iov, bytes, false);
  if (!output)
    return GG_STEP_OVER;
  session->live->way[direction].entering = 0;
  return put_out(session, direction, output);
}

/* Whether a rewriter of the direction has not been told that nothing follows. */
static bool is_due(const struct gg_live *live, enum gg_direction direction)
{
  for (unsigned i = 0; live->way[direction].rewrites > 0 && i < live->chain->count; i++)
    if (live->hooks[i].mode[direction] == GG_MODE_REWRITE && !live->hooks[i].told_end[direction])
      return true;
  return false;
}

enum gg_step gg__rewrite_end(struct gg_session *session, enum gg_direction direction)
{
  if (!is_due(session->live, direction))
    return GG_STEP_AGAIN;
  const struct gg_output *output = ask(session, direction, NULL, 0, true);
  return output ? put_out(session, direction, output) : GG_STEP_OVER;
}

/* ── Ends ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_step gg__rewrite_fin(struct gg_session *session, enum gg_direction direction)
{
  struct gg_as_sent *as_sent = session->live->as_sent;
  if (!as_sent || !as_sent->conversation.opened || as_sent->conversation.finned[direction])
    return GG_STEP_AGAIN;
  struct gg_log *log = session->log->log;
  uint8_t *at = gg_log_reserve(log, GG_CONVERSATION_FIN_MAX, GG_LOG_CONTROL);
  if (!at) {
    enum gg_no_room way = gg__relay_no_room(session, direction);
    return way == GG_NO_ROOM_GAP ? GG_STEP_AGAIN : way == GG_NO_ROOM_WAIT ? GG_STEP_WAIT : GG_STEP_OVER;
  }
  gg_log_commit(log, gg_conversation_fin(&as_sent->conversation, direction, at, gg_log_segment(log),
                                         gg_log_time(log, gg_clock_mono_ns())));
  return GG_STEP_AGAIN;
}

bool gg__rewrite_close_record(struct gg_session *session, enum gg_closing closing)
{
  struct gg_as_sent *as_sent = session->live ? session->live->as_sent : NULL;
  if (!as_sent || !as_sent->begun || as_sent->recorded)
    return true;
  struct gg_log *log = session->log->log;
  uint8_t *at = gg_log_reserve(log, GG_CONVERSATION_CLOSE_MAX, GG_LOG_CONTROL);
  if (!at)
    return false;
  gg_pairs_enter(&session->worker->pairs, &as_sent->conversation);
  gg_log_commit(log, gg_conversation_close(&as_sent->conversation, closing, gg__as_sent_closing_facts, at,
                                           gg_log_segment(log), gg_log_time(log, gg_clock_mono_ns())));
  as_sent->recorded = true;
  return true;
}

void gg__rewrite_abandon(struct gg_session *session)
{
  struct gg_as_sent *as_sent = session->live ? session->live->as_sent : NULL;
  if (as_sent && as_sent->begun && !as_sent->recorded)
    gg_log_count_lost_session(session->log->log);
}

void gg__rewrite_fini(struct gg_live *live)
{
  gg__rewrite_drop(live, GG_FROM_CLIENT);
  gg__rewrite_drop(live, GG_FROM_SERVER);
  if (live->as_sent)
    gg_pairs_leave(&live->session->worker->pairs, &live->as_sent->conversation);
  free(live->as_sent);
}
