/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a byte, in place:
 *
 *   1. epoll says that end[d] has something; the direction reserves room in the log for one read and what has to be
 *      written around it (gg_conversation_chunk_room), and lets the conversation say where the payload goes (lay);
 *   2. recv(2) puts it there;
 *   3. seal writes the packets' headers around it, commit makes it part of the log: from now on a kill of the process
 *      cannot lose it;
 *   4. send(2) takes it from there. What the receiver's socket does not take is copied to the session's pending buffer
 *      (the log must not be pinned by a slow receiver), and the direction stops reading until that is gone.
 *
 * Between 3 and 4 small messages are put off: those of one wait, up to the next bulk flow in it, are all received,
 * copied to the worker's batch and then sent one after the other. The same system call again and again finds its code
 * and its tables in the cache; receiving and sending by turns does not (bench/README.md has the figures).
 *
 * Nobody but the session's worker touches any of this. Sockets are edge-triggered: `readable` remembers that there may
 * be something; a read that fills less than it was given takes that back, unless the end of the stream or urgent data
 * were announced (recv(2) stops short at the urgent byte).
 *
 * A session that is not recorded (record: off) leaves out 1 and 3: it receives into the worker's scratch. So does one
 * that a plug-in masks: what the log gets of it is mask.c's.
 *
 * Rejected: level-triggered sockets, which need an epoll_ctl for every stop and start of a direction and report a
 * hang-up for ever while its last bytes wait for a slow receiver; and sending before committing, which would be a
 * little faster for the receiver and break the recording contract.
 */
#include "gateway/relay.h"

#include "base/clock.h"
#include "base/logger.h"
#include "gateway/live.h"
#include "gateway/observe.h"
#include "gateway/rewrite.h"
#include "gateway/worker.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct gg_session *session_of(struct gg_end *end)
{
  return GG_CONTAINER(end - end->side, struct gg_session, end);
}

static bool is_bulk(const struct gg_end *end)
{
  return end->bulk > 0 || end->splicing;
}

void gg__end_ready(struct gg_source *source, uint32_t events)
{
  struct gg_end *end = GG_CONTAINER(source, struct gg_end, source);
  struct gg_session *session = session_of(end);
  if (is_bulk(end) || (end->write_blocked && is_bulk(&session->end[!end->side])))
    gg__relay_batch_flush(session->worker); /* it may take long: who has said little does not wait for it */
  if (gg__lingers(session)) {
    gg__linger_ready(session, end, events);
    return;
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
    end->readable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
    end->finishing = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    end->hung_up = true;
  switch (session->state) {
  case GG_STATE_SNIFFING:
    gg__session_sniff(session);
    break;
  case GG_STATE_CONNECTING:
    if (end->side == GG_FROM_SERVER)
      gg__upstream_ready(session, events);
    else if (events & EPOLLERR)
      gg__session_close(session, GG_CLOSE_CLIENT_RESET);
    break;
  case GG_STATE_RELAYING:
  case GG_STATE_HALF_CLOSED:
    if (end->ended && (events & EPOLLERR)) { /* a reset behind its FIN, which no read would tell */
      gg__session_close(session, end->side == GG_FROM_CLIENT ? GG_CLOSE_CLIENT_RESET : GG_CLOSE_SERVER_RESET);
      break;
    }
    if ((events & EPOLLERR) && session->live && gg__gate_stops(session, (enum gg_direction)end->side)) {
      gg__session_close(session, end->side == GG_FROM_CLIENT ? GG_CLOSE_CLIENT_RESET : GG_CLOSE_SERVER_RESET);
      break; /* nobody reads from it while a gate holds, or keeps back all that may be */
    }
    if (end->write_blocked && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
      end->write_blocked = false;
      gg__relay_pump(session, (enum gg_direction) !end->side);
    }
    if (end->readable && !gg__session_over(session))
      gg__relay_pump(session, (enum gg_direction)end->side);
    break;
  default: /* ACCEPTED: `readable` is remembered; CLOSING, CLOSED: the source is forgotten */
    break;
  }
}

/* ── Sending ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__relay_write_blocked(struct gg_end *end)
{
  end->write_blocked = true;
  if (end->write_watched)
    return;
  /* In the base set, so that sends go on while reads are stopped. EPOLL_CTL_ADD reports what is ready already. */
  struct gg_session *session = session_of(end);
  end->write_watched = gg_loop_watch(&session->worker->loop, &end->source, EPOLLOUT | EPOLLET) == GG_OK;
  if (end->write_watched)
    return;
  struct gg_end *from = &session->end[!end->side];
  gg_list_remove(&from->run);
  gg_list_append(&session->worker->unwatched, &from->run);
  gg__worker_retry_soon(session->worker);
}

void gg__relay_forwarded(struct gg_session *session, enum gg_direction direction, size_t bytes)
{
  gg__bytes_add(&session->end[direction].forwarded, bytes);
  session->active_ns = session->worker->loop.now_ns;
  gg__count(session->worker, direction == GG_FROM_CLIENT ? GG_COUNT_FORWARDED_CLIENT : GG_COUNT_FORWARDED_SERVER,
            bytes);
  gg_shard_add(session->worker->shard, session->route->flow + GG_FLOW_FORWARDED_CLIENT + direction, bytes);
}

/* Once a session: the upstream's first byte. */
static void observe_first_byte(struct gg_session *session)
{
  uint64_t waited_ns = gg_clock_mono_ns() - session->connected_ns;
  session->connected_ns = 0;
  gg_shard_observe(session->worker->shard, session->route->connect + GG_CONNECT_SLOT_FIRST_BYTE, waited_ns);
}

void gg__relay_received(struct gg_session *session, enum gg_direction direction, size_t bytes)
{
  gg__bytes_add(&session->end[direction].received, bytes);
  session->active_ns = session->worker->loop.now_ns;
  gg__count(session->worker, direction == GG_FROM_CLIENT ? GG_COUNT_RECEIVED_CLIENT : GG_COUNT_RECEIVED_SERVER, bytes);
  gg_shard_add(session->worker->shard, session->route->flow + GG_FLOW_RECEIVED_CLIENT + direction, bytes);
  if (direction == GG_FROM_SERVER && session->connected_ns != 0)
    observe_first_byte(session);
  gg__count(session->worker, GG_COUNT_CHUNKS, 1);
  if (session->end[direction].engaged)
    gg__live_received(session, direction, bytes);
}

static void pending_drop(struct gg_session *session, struct gg_end *end)
{
  if (!end->pending)
    return;
  gg_pending_free(&session->worker->pending, end->pending);
  end->pending = NULL;
  end->pending_left = 0;
}

enum gg_step gg__relay_send_failed(struct gg_session *session, enum gg_direction direction, int error)
{
  struct gg_end *from = &session->end[direction];
  struct gg_end *to = &session->end[!direction];
  pending_drop(session, to);
  if (!from->pending)
    gg_list_remove(&session->stalled);
  gg__relay_drop_pipe(session, direction);
  if (gg__lingers(session)) {
    gg__linger_lost(session, to);
    return GG_STEP_AGAIN;
  }
  if (error == ENOBUFS || error == ENOMEM) { /* we are short of memory; the receiver is there, and will say nothing */
    gg__session_close(session, GG_CLOSE_LIMIT);
    return GG_STEP_OVER;
  }
  /* EPIPE or ECONNRESET, or what the network said: the receiver is gone. */
  if (to->ended || from->dead) { /* nothing can come from it any more, or nobody is left to take it */
    gg__session_close(session, direction == GG_FROM_CLIENT ? GG_CLOSE_SERVER_RESET : GG_CLOSE_CLIENT_RESET);
    return GG_STEP_OVER;
  }
  /* What it sent before it went may still be in its socket: the other direction reads until it says so. */
  to->dead = true;
  to->readable = to->finishing = true;
  if (gg_list_empty(&to->run))
    gg_list_append(&session->worker->run, &to->run);
  return GG_STEP_WAIT;
}

/* upstream: none. Gates may keep something back there too, but what they pass goes nowhere. */
static enum gg_step discard_pending(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *to = &session->end[!direction];
  size_t may = session->live ? gg__gate_free(session, direction) : to->pending_left;
  to->pending_at += (uint32_t)may;
  to->pending_left -= (uint32_t)may;
  if (to->pending_left > 0)
    return GG_STEP_AGAIN;
  pending_drop(session, to);
  if (!session->end[direction].pending)
    gg_list_remove(&session->stalled);
  return GG_STEP_AGAIN;
}

enum gg_step gg__relay_flush_pending(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *to = &session->end[!direction];
  if (to->durable_at > 0) { /* sync: always */
    if (gg_log_durable(session->log->log) < to->durable_at) {
      if (gg_list_empty(&session->end[direction].run))
        gg_list_append(&session->log->undurable, &session->end[direction].run);
      session->log->want_commit = true;
      return GG_STEP_WAIT;
    }
    to->durable_at = 0;
    session->waits_ns[direction] = session->worker->loop.now_ns;
  }
  if (to->source.fd < 0)
    return discard_pending(session, direction);
  size_t may = session->live ? gg__gate_free(session, direction) : to->pending_left;
  size_t stays = to->pending_left - may; /* what gates keep back */
  while (to->pending_left > stays) {
    ssize_t sent =
      send(to->source.fd, to->pending + to->pending_at, to->pending_left - stays, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0 && errno == EAGAIN) {
      gg__relay_write_blocked(to);
      return GG_STEP_WAIT;
    }
    if (sent < 0)
      return gg__relay_send_failed(session, direction, errno);
    to->pending_at += (uint32_t)sent;
    to->pending_left -= (uint32_t)sent;
    session->waits_ns[direction] = session->worker->loop.now_ns;
    gg__relay_forwarded(session, direction, (size_t)sent);
  }
  if (stays > 0) { /* not stalled: who has waited longer for a receiver is closed before it */
    gg_list_remove(&session->stalled);
    gg_list_append(&session->worker->stalled, &session->stalled);
    return GG_STEP_AGAIN;
  }
  pending_drop(session, to);
  if (!session->end[direction].pending)
    gg_list_remove(&session->stalled);
  return GG_STEP_AGAIN;
}

/* A buffer, if need be at the cost of those who have waited longest; NULL: there is none, and the session is over. */
static uint8_t *pending_take(struct gg_session *session, size_t bytes)
{
  struct gg_worker *worker = session->worker;
  uint8_t *buffer = gg_pending_alloc(&worker->pending, bytes);
  for (unsigned i = 0; !buffer && i < GG_EVICTIONS_MAX && gg__worker_close_longest_stalled(worker, session); i++)
    buffer = gg_pending_alloc(&worker->pending, bytes);
  if (!buffer) {
    gg__count(worker, GG_COUNT_PENDING_EXHAUSTED, 1);
    gg__session_close(session, GG_CLOSE_LIMIT);
  }
  return buffer;
}

bool gg__relay_keep(struct gg_session *session, enum gg_direction direction, const struct iovec *iov, size_t skip,
                    size_t bytes)
{
  struct gg_worker *worker = session->worker;
  struct gg_end *to = &session->end[!direction];
  assert(!to->pending && bytes > 0);
  to->pending = pending_take(session, bytes);
  if (!to->pending)
    return false;
  to->pending_at = 0;
  to->pending_left = (uint32_t)bytes;
  session->waits_ns[direction] = worker->loop.now_ns;
  for (size_t copied = 0; copied < bytes; iov++) {
    if (skip >= iov->iov_len) {
      skip -= iov->iov_len;
      continue;
    }
    size_t part = iov->iov_len - skip < bytes - copied ? iov->iov_len - skip : bytes - copied;
    memcpy(to->pending + copied, (const uint8_t *)iov->iov_base + skip, part);
    copied += part;
    skip = 0;
  }
  if (gg_list_empty(&session->stalled))
    gg_list_append(&worker->stalled, &session->stalled);
  return true;
}

static ssize_t send_iov(int fd, struct iovec *iov, unsigned count, size_t bytes)
{
  if (count == 1)
    return send(fd, iov[0].iov_base, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  /* The last entry may be longer than what came. */
  size_t before = 0;
  unsigned used = 0;
  while (before + iov[used].iov_len < bytes)
    before += iov[used++].iov_len;
  iov[used].iov_len = bytes - before;
  struct msghdr message = {.msg_iov = iov, .msg_iovlen = used + 1};
  return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Sends what is committed; what is not taken is kept. */
static enum gg_step send_now(struct gg_session *session, enum gg_direction direction, struct iovec *iov, unsigned count,
                             size_t bytes)
{
  struct gg_end *to = &session->end[!direction];
  ssize_t sent;
  do
    sent = send_iov(to->source.fd, iov, count, bytes);
  while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno != EAGAIN)
    return gg__relay_send_failed(session, direction, errno);
  size_t taken = sent > 0 ? (size_t)sent : 0;
  gg__relay_forwarded(session, direction, taken);
  if (taken == bytes)
    return GG_STEP_AGAIN;
  if (!gg__relay_keep(session, direction, iov, taken, bytes - taken))
    return GG_STEP_OVER;
  gg__relay_write_blocked(to);
  return GG_STEP_WAIT;
}

static void copy_iov(uint8_t *to, const struct iovec *iov, size_t bytes)
{
  for (; bytes > 0; iov++) {
    size_t part = iov->iov_len < bytes ? iov->iov_len : bytes;
    memcpy(to, iov->iov_base, part);
    to += part;
    bytes -= part;
  }
}

/* sync: always: what waits may go when what is in the log now is durable. */
static void wait_durable(struct gg_session *session, struct gg_end *to)
{
  to->durable_at = gg_log_committed(session->log->log);
  session->log->want_commit = true;
}

static bool is_synced(const struct gg_session *session)
{
  return session->worker->plane->options.sync_mode == GG_SYNC_ALWAYS && session->recorded;
}

bool gg__relay_keep_more(struct gg_session *session, enum gg_direction direction, const struct iovec *iov, size_t bytes)
{
  struct gg_end *to = &session->end[!direction];
  size_t before = to->pending_left;
  if (before == 0) {
    if (!gg__relay_keep(session, direction, iov, 0, bytes))
      return false;
  } else {
    uint8_t *buffer = pending_take(session, before + bytes);
    if (!buffer)
      return false;
    memcpy(buffer, to->pending + to->pending_at, before);
    copy_iov(buffer + before, iov, bytes);
    gg_pending_free(&session->worker->pending, to->pending);
    to->pending = buffer;
    to->pending_at = 0;
    to->pending_left = (uint32_t)(before + bytes);
    session->waits_ns[direction] = session->worker->loop.now_ns;
  }
  if (is_synced(session))
    wait_durable(session, to);
  return true;
}

/* Puts a message into the batch; false: it is to be sent now. */
static bool put_off(struct gg_session *session, enum gg_direction direction, const struct iovec *iov, size_t bytes)
{
  struct gg_batch *batch = &session->worker->batch;
  if (!batch->open || bytes > GG_BATCH_MESSAGE_MAX || batch->count == GG_BATCH_MESSAGES ||
      batch->used + bytes > GG_BATCH_BYTES)
    return false;
  copy_iov(batch->bytes + batch->used, iov, bytes);
  batch->messages[batch->count++] =
    (struct gg_batch_message){session, (uint32_t)batch->used, (uint16_t)bytes, (uint8_t)direction};
  batch->used += bytes;
  session->end[direction].put_off = true;
  return true;
}

static void send_message(const struct gg_batch *batch, const struct gg_batch_message *message)
{
  struct gg_session *session = message->session; /* freed at the end of the iteration, even if it is over */
  enum gg_direction direction = (enum gg_direction)message->direction;
  struct gg_end *from = &session->end[direction];
  from->put_off = false;
  if (gg__session_over(session) || session->end[!direction].dead || session->end[!direction].source.fd < 0)
    return;
  struct iovec iov = {batch->bytes + message->at, message->bytes};
  if (send_now(session, direction, &iov, 1, message->bytes) == GG_STEP_AGAIN &&
      (from->readable || from->ended || gg__lingers(session) || gg__rewrite_waits(session, direction)) &&
      gg_list_empty(&from->run)) /* or the other direction's send has failed, and this one is in it already */
    gg_list_append(&session->worker->run, &from->run); /* its turn comes when all have been sent */
}

void gg__relay_batch_open(struct gg_worker *worker)
{
  worker->batch.open = true;
}

void gg__relay_batch_flush(struct gg_worker *worker)
{
  struct gg_batch *batch = &worker->batch;
  for (unsigned i = 0; i < batch->count; i++)
    send_message(batch, &batch->messages[i]);
  batch->count = 0;
  batch->used = 0;
}

void gg__relay_batch_close(struct gg_worker *worker)
{
  gg__relay_batch_flush(worker);
  worker->batch.open = false;
}

enum gg_step gg__relay_send_on(struct gg_session *session, enum gg_direction direction, struct iovec *iov,
                               unsigned count, size_t bytes)
{
  struct gg_end *to = &session->end[!direction];
  if (gg__lingers(session) && !gg__linger_speaks_for(session, &session->end[direction]))
    return GG_STEP_AGAIN; /* nobody gets it */
  if (session->end[direction].engaged) {
    enum gg_gated gated = gg__gate_chunk(session, direction, iov, bytes);
    if (gated != GG_GATED_PASS)
      return gated == GG_GATED_KEPT ? GG_STEP_AGAIN : GG_STEP_OVER;
  }
  if (to->source.fd < 0) /* upstream: none */
    return GG_STEP_AGAIN;
  if (is_synced(session)) {
    wait_durable(session, to);
    return gg__relay_keep(session, direction, iov, 0, bytes) ? GG_STEP_AGAIN : GG_STEP_OVER;
  }
  return put_off(session, direction, iov, bytes) ? GG_STEP_WAIT : send_now(session, direction, iov, count, bytes);
}

/* What was just received and is committed goes on, by way of the direction's rewriters if it has any. */
static enum gg_step send_on(struct gg_session *session, enum gg_direction direction, struct iovec *iov, unsigned count,
                            size_t bytes)
{
  if (session->end[direction].engaged && session->live->way[direction].entering > 0)
    return gg__rewrite_chunk(session, direction, iov, bytes);
  return gg__relay_send_on(session, direction, iov, count, bytes);
}

/* ── Recording ───────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__relay_commit(struct gg_session *session, struct gg_chunk_layout *layout, size_t bytes)
{
  struct gg_log *log = session->log->log;
  uint64_t time_ns = gg_log_time(log, gg_clock_mono_ns());
  size_t used = gg_conversation_seal(&session->conversation, layout, bytes, time_ns);
  if (session->end[layout->direction].engaged)
    gg__observe_sealed(session, layout, bytes, time_ns);
  gg_log_commit(log, used);
}

/* ── Receiving ───────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_no_room gg__relay_no_room(struct gg_session *session, enum gg_direction direction)
{
  struct gg_worker_log *log = session->log;
  struct gg_worker *worker = session->worker;
  struct gg_end *from = &session->end[direction];
  enum gg_policy policy = gg_log_pressure(log->log) == GG_LOG_DISK_FULL ? log->on_full : log->on_stall;
  if (policy == GG_POLICY_GAP)
    return GG_NO_ROOM_GAP;
  if (policy == GG_POLICY_CLOSE) {
    gg__count(worker, GG_COUNT_STALL_CLOSED, 1);
    gg__session_close(session, GG_CLOSE_STALL);
    return GG_NO_ROOM_OVER;
  }
  if (!log->blocked) {
    log->blocked = true;
    gg__count(worker, GG_COUNT_STALLS, 1);
    gg_loop_reads_enable(&worker->loop, log->set, false);
  }
  if (gg_list_empty(&from->run))
    gg_list_append(&log->waiting, &from->run);
  return GG_NO_ROOM_WAIT;
}

enum gg_step gg__relay_ended(struct gg_session *session, enum gg_direction direction, int error)
{
  struct gg_end *from = &session->end[direction];
  if (gg__lingers(session) && (error != EAGAIN || from->dead)) {
    from->ended = true;
    from->dead = from->dead || error;
    from->shut = from->shut || error;
    return GG_STEP_AGAIN;
  }
  if (error == EAGAIN && !from->dead) { /* one that is gone has an end to tell, or never will */
    from->readable = false;
    return GG_STEP_WAIT;
  }
  if (error || from->dead) {
    gg__session_close(session, direction == GG_FROM_CLIENT ? GG_CLOSE_CLIENT_RESET : GG_CLOSE_SERVER_RESET);
    return GG_STEP_OVER;
  }
  from->readable = false;
  from->ended = true;
  return GG_STEP_AGAIN;
}

/* What is left to say in the name of a side that does not speak itself: of the greeting of `upstream: none`, or of a
 * plug-in's reply. */
static struct iovec unsaid(const struct gg_session *session, const struct gg_end *from)
{
  const struct gg_listener_options *options = session->listener->options;
  const struct gg_live *live = session->live;
  const uint8_t *text = live && live->reply ? live->reply : options->greeting;
  size_t length = live && live->reply ? live->reply_length : options->greeting_length;
  size_t said = (size_t)(from->received - (live && live->reply ? live->reply_at : 0));
  return (struct iovec){(void *)(uintptr_t)(text + said), length - said};
}

/* One read into the iovec. */
static ssize_t receive(struct gg_session *session, struct gg_end *from, struct iovec *iov, unsigned count)
{
  if (gg__linger_speaks_for(session, from)) {
    struct iovec left = unsaid(session, from);
    size_t part = left.iov_len < iov[0].iov_len ? left.iov_len : iov[0].iov_len;
    memcpy(iov[0].iov_base, left.iov_base, part);
    return (ssize_t)part;
  }
  ssize_t got;
  do
    got = count == 1 ? recv(from->source.fd, iov[0].iov_base, iov[0].iov_len, MSG_DONTWAIT)
                     : readv(from->source.fd, iov, (int)count);
  while (got < 0 && errno == EINTR);
  return got;
}

/* A read that fills less than it was given says that there is no more, unless an end or urgent data was announced. */
static void note_readable(const struct gg_session *session, struct gg_end *from, size_t got, size_t asked)
{
  if (gg__linger_speaks_for(session, from)) {
    from->readable = unsaid(session, from).iov_len > 0;
    from->ended = from->ended || (!from->readable && (from->shut || (session->live && session->live->reply)));
  } else if (got < asked && !from->finishing)
    from->readable = false;
}

/* Learns from a read how the next one should be. */
static void learn(struct gg_session *session, struct gg_end *from, size_t got, size_t asked)
{
  note_readable(session, from, got, asked);
  if (from->splicing) /* in place for once; splice.c judges this flow */
    return;
  if (got < asked) {
    if (got < asked / 2)
      from->bulk = 0;
    return;
  }
  if (from->bulk < GG_BULK_READS) {
    from->bulk++;
  } else if (session->splice_allowed[from->side] && asked > GG_READ_BYTES) {
    from->splicing = true;
    from->bulk = 0;
    gg__count(session->worker, GG_COUNT_SPLICE_BEGUN, 1);
  }
}

static size_t read_size(const struct gg_session *session, const struct gg_end *from)
{
  size_t most = session->worker->options->pending_max;
  size_t size = from->bulk ? GG_READ_BULK_BYTES : GG_READ_BYTES;
  size = size < most ? size : most;
  return from->engaged ? gg__live_read_size(session, (enum gg_direction)from->side, size) : size;
}

void gg__relay_unrecorded(struct gg_session *session, enum gg_direction direction, size_t bytes)
{
  gg__relay_missing(session, &session->conversation, direction, bytes);
}

void gg__relay_missing(struct gg_session *session, struct gg_conversation *conversation, enum gg_direction direction,
                       size_t bytes)
{
  struct gg_log *log = session->log->log;
  bool full = gg_log_pressure(log) == GG_LOG_DISK_FULL;
  gg_conversation_gap(conversation, direction, bytes, full ? GG_GAP_DISK_FULL : GG_GAP_STALL);
  gg_log_count_gap(log, bytes);
  if (session->log->gap_bytes == 0)
    gg_warn(session->worker->plane->options.logger, "bytes pass without being recorded",
            GG_S("reason", full ? "the disk is full" : "the disk is slower than the traffic"),
            GG_S("listener", session->listener->options->name), GG_U("worker", session->worker->index));
  session->log->gap_bytes += bytes;
  gg__count(session->worker, GG_COUNT_UNRECORDED, bytes);
}

/* Bytes that go on and are not recorded; `note` says so to the recording, which will tell how many are missing. */
static enum gg_step receive_beside(struct gg_session *session, enum gg_direction direction,
                                   void (*note)(struct gg_session *session, enum gg_direction direction, size_t bytes))
{
  struct gg_end *from = &session->end[direction];
  struct iovec iov = {session->worker->scratch, read_size(session, from)};
  size_t asked = iov.iov_len;
  ssize_t got = receive(session, from, &iov, 1);
  if (got <= 0)
    return gg__relay_ended(session, direction, got < 0 ? errno : 0);
  note(session, direction, (size_t)got);
  gg__relay_received(session, direction, (size_t)got);
  note_readable(session, from, (size_t)got, asked);
  return send_on(session, direction, &iov, 1, (size_t)got);
}

void gg__relay_left_out(struct gg_session *session, enum gg_direction direction, size_t bytes)
{
  gg_conversation_gap(&session->conversation, direction, bytes, GG_GAP_LEFT_OUT);
  gg__count(session->worker, GG_COUNT_LEFT_OUT, (uint64_t)bytes);
}

void gg__relay_off_record(struct gg_session *session, enum gg_direction direction, size_t bytes)
{
  gg__count(session->worker, direction == GG_FROM_CLIENT ? GG_COUNT_RECORD_OFF_CLIENT : GG_COUNT_RECORD_OFF_SERVER,
            bytes);
  gg__relay_received(session, direction, bytes);
}

/* record: off. */
static enum gg_step receive_off_record(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct iovec iov = {session->worker->scratch, read_size(session, from)};
  size_t asked = iov.iov_len;
  ssize_t got = receive(session, from, &iov, 1);
  if (got <= 0)
    return gg__relay_ended(session, direction, got < 0 ? errno : 0);
  gg__relay_off_record(session, direction, (size_t)got);
  learn(session, from, (size_t)got, asked);
  return send_on(session, direction, &iov, 1, (size_t)got);
}

/* A plug-in masks the direction: what came goes on from the scratch, and the recording has what masks make of it. */
static enum gg_step receive_masked(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct iovec iov = {session->worker->scratch, read_size(session, from)};
  size_t asked = iov.iov_len;
  struct gg_mask_room room;
  enum gg_step prepared = gg__mask_prepare(session, direction, asked, &room);
  if (prepared != GG_STEP_AGAIN)
    return prepared;
  ssize_t got = receive(session, from, &iov, 1);
  if (got <= 0) {
    int error = got < 0 ? errno : 0;
    if (room.at)
      gg_log_commit(session->log->log, 0);
    return gg__relay_ended(session, direction, error);
  }
  bool taken = gg__mask_take(session, direction, iov.iov_base, (size_t)got, &room);
  gg__relay_received(session, direction, (size_t)got);
  if (!taken) {
    gg__session_close(session, GG_CLOSE_LIMIT);
    return GG_STEP_OVER;
  }
  learn(session, from, (size_t)got, asked);
  return send_on(session, direction, &iov, 1, (size_t)got);
}

enum gg_step gg__relay_in_place(struct gg_session *session, enum gg_direction direction)
{
  if (!session->recorded)
    return receive_off_record(session, direction);
  struct gg_end *from = &session->end[direction];
  if (from->engaged && gg__mask_on(session, direction))
    return receive_masked(session, direction);
  if (from->engaged && !gg__live_records(session, direction))
    return receive_beside(session, direction, gg__relay_left_out);
  struct gg_log *log = session->log->log;
  size_t asked = read_size(session, from);
  uint8_t *at = NULL;
  if (session->conversation.opened || gg__session_open_record(session))
    at = gg_log_reserve(log, gg_conversation_chunk_room(&session->conversation, asked), GG_LOG_DATA);
  if (!at) {
    enum gg_no_room way = gg__relay_no_room(session, direction);
    return way == GG_NO_ROOM_GAP    ? receive_beside(session, direction, gg__relay_unrecorded)
           : way == GG_NO_ROOM_WAIT ? GG_STEP_WAIT
                                    : GG_STEP_OVER;
  }
  struct gg_chunk_layout layout;
  gg_conversation_lay(&session->conversation, &layout, direction, asked, at, gg_log_segment(log));
  ssize_t got = receive(session, from, layout.iov, layout.iov_count);
  if (got <= 0) {
    int error = got < 0 ? errno : 0;
    gg_log_commit(log, 0);
    return gg__relay_ended(session, direction, error);
  }
  gg__relay_commit(session, &layout, (size_t)got);
  gg__relay_received(session, direction, (size_t)got);
  learn(session, from, (size_t)got, asked);
  return send_on(session, direction, layout.iov, layout.iov_count, (size_t)got);
}

/* ── The turn of a direction ─────────────────────────────────────────────────────────────────────────────────────── */

/* Everything that came before the FIN has been sent: record the FIN, pass it on. */
static enum gg_step pass_on_end(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct gg_end *to = &session->end[!direction];
  if (to->shut)
    return GG_STEP_WAIT;
  if (gg__mask_on(session, direction)) {
    enum gg_step masked = gg__mask_end(session, direction);
    if (masked != GG_STEP_AGAIN)
      return masked;
  }
  if (session->live) {
    enum gg_step told = gg__rewrite_end(session, direction);
    if (told != GG_STEP_AGAIN || gg__rewrite_waits(session, direction))
      return told;
  }
  if (session->live && !gg__gate_end(session, direction))
    return gg__session_over(session)               ? GG_STEP_OVER
           : gg__gate_free(session, direction) > 0 ? GG_STEP_AGAIN
                                                   : GG_STEP_WAIT;
  enum gg_step recorded = gg__session_end_record(session, direction);
  if (recorded == GG_STEP_AGAIN && session->live)
    recorded = gg__rewrite_fin(session, direction);
  if (recorded != GG_STEP_AGAIN)
    return recorded;
  to->shut = true;
  if (to->source.fd >= 0 && shutdown(to->source.fd, SHUT_WR) != 0) /* it was reset: the FIN reaches nobody */
    return gg__relay_send_failed(session, direction, errno);
  if (session->state == GG_STATE_RELAYING) {
    session->state = GG_STATE_HALF_CLOSED;
    session->close = direction == GG_FROM_CLIENT ? GG_CLOSE_CLIENT_FIN : GG_CLOSE_SERVER_FIN;
  }
  if (from->shut) {
    gg__session_close(session, session->close);
    return GG_STEP_OVER;
  }
  if (to->source.fd < 0) {     /* upstream: none ends when its client does */
    to->ended = !to->readable; /* what it has to say is said to its end */
    gg__relay_pump(session, (enum gg_direction) !direction);
    return gg__session_over(session) ? GG_STEP_OVER : GG_STEP_WAIT;
  }
  return GG_STEP_WAIT;
}

static enum gg_step step(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct gg_end *to = &session->end[!direction];
  if (gg__lingers(session))
    return gg__linger_step(session, direction);
  if (to->dead || from->put_off) /* or what was put off is sent first, and then comes here */
    return GG_STEP_WAIT;
  if (from->engaged && session->live->way[direction].again && !gg__gate_again(session, direction))
    return GG_STEP_OVER;
  enum gg_step flushed = GG_STEP_AGAIN;
  if (to->pending)
    flushed = gg__relay_flush_pending(session, direction);
  else if (from->pipe)
    flushed = gg__relay_flush_pipe(session, direction);
  if (flushed != GG_STEP_AGAIN)
    return flushed;
  if (from->pipe) /* it still holds bytes that are not recorded */
    return gg__relay_splice(session, direction);
  if (gg__rewrite_waits(session, direction))
    return gg__rewrite_pass(session, direction);
  if (from->ended)
    return pass_on_end(session, direction);
  if (!from->readable || (from->engaged && !gg__live_may_read(session, direction)))
    return GG_STEP_WAIT;
  return from->splicing ? gg__relay_splice(session, direction) : gg__relay_in_place(session, direction);
}

void gg__relay_pump(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  gg_list_remove(&from->run); /* it may have to wait again, perhaps for something else */
  for (unsigned steps = 0; steps < GG_TURN_STEPS; steps++) {
    if (session->state != GG_STATE_RELAYING && session->state != GG_STATE_HALF_CLOSED)
      return;
    if (step(session, direction) != GG_STEP_AGAIN)
      return;
  }
  if (gg_list_empty(&from->run)) /* others have their turn first */
    gg_list_append(&session->worker->run, &from->run);
}

void gg__relay_run(struct gg_end *end)
{
  gg__relay_pump(session_of(end), (enum gg_direction)end->side);
}

void gg__relay_run_all(struct gg_worker *worker, struct gg_list *list)
{
  gg_list_splice(&worker->run, list);
}
