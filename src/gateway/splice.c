/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of one splice, and why:
 *
 *   1. reserve room in the log for all that may come: without room nothing may leave the socket;
 *   2. splice from the socket into an empty pipe;
 *   3. tee the pipe into the tap, which is empty too; tee may duplicate less than was asked for, then only that much
 *      is recorded and sent now, and the rest ("raw") waits in the pipe until the recorded part is gone;
 *   4. read the tap into the reservation, seal, commit;
 *   5. splice what is recorded out of the pipe.
 *
 * A session that is not recorded (record: off) has 2 and 5 only.
 *
 * Exactly what was read from the tap goes on. (The pages of a local sender's sendfile can still change between 3 and
 * the receiver's read; therefore relay.splice: auto does not splice from a peer on this host.)
 *
 * With one urgent byte in the stream, splice says EAGAIN for ever while epoll says readable; so does an empty socket.
 * Either way EAGAIN is followed by one receive in place, which takes the byte or says EAGAIN itself.
 */
#include "gateway/splice.h"

#include "base/clock.h"
#include "gateway/relay.h"
#include "gateway/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SMALL_SPLICES = 4 }; /* in a row, and the direction goes back in place */

void gg_pipe_pool_init(struct gg_pipe_pool *pool)
{
  *pool = (struct gg_pipe_pool){0};
}

static void pipe_destroy(struct gg_pipe *pipe)
{
  if (!pipe)
    return;
  close(pipe->read_fd);
  close(pipe->write_fd);
  free(pipe);
}

void gg_pipe_pool_fini(struct gg_pipe_pool *pool)
{
  while (pool->idle) {
    struct gg_pipe *pipe = pool->idle;
    pool->idle = pipe->next;
    pipe_destroy(pipe);
  }
  pipe_destroy(pool->tap);
  pool->tap = NULL;
}

/* NULL if the kernel refuses, or made it too small to be of use. */
static struct gg_pipe *pipe_create(void)
{
  struct gg_pipe *made = calloc(1, sizeof *made);
  int fds[2];
  if (!made || pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
    free(made);
    return NULL;
  }
  made->read_fd = fds[0];
  made->write_fd = fds[1];
  fcntl(made->write_fd, F_SETPIPE_SZ, GG_PIPE_BYTES); /* refused: it stays as it is */
  int size = fcntl(made->write_fd, F_GETPIPE_SZ);
  made->capacity = size > 0 ? (size_t)size : 0;
  if (made->capacity < GG_PIPE_BYTES_MIN) {
    pipe_destroy(made);
    return NULL;
  }
  return made;
}

static struct gg_pipe *pool_refuse(struct gg_worker *worker)
{
  worker->pipes.refused = true;
  worker->pipes.retry_ns = worker->loop.now_ns + GG_PIPE_RETRY_NS;
  gg__count(worker, GG_COUNT_PIPES_REFUSED, 1);
  return NULL;
}

struct gg_pipe *gg__pipe_acquire(struct gg_worker *worker)
{
  struct gg_pipe_pool *pool = &worker->pipes;
  struct gg_pipe *pipe = pool->idle;
  if (pipe && pool->tap) {
    pool->idle = pipe->next;
    pipe->next = NULL;
    return pipe;
  }
  if (pool->count >= GG_PIPES_MAX || (pool->refused && worker->loop.now_ns < pool->retry_ns))
    return NULL;
  pool->refused = false;
  if (!pool->tap && !(pool->tap = pipe_create()))
    return pool_refuse(worker);
  pipe = pipe_create();
  if (!pipe)
    return pool_refuse(worker);
  pool->count++;
  gg__count(worker, GG_COUNT_PIPES_OPEN, 1);
  return pipe;
}

void gg__pipe_release(struct gg_worker *worker, struct gg_pipe *pipe)
{
  struct gg_pipe_pool *pool = &worker->pipes;
  if (pipe->recorded == 0 && pipe->raw == 0) {
    pipe->next = pool->idle;
    pool->idle = pipe;
    return;
  }
  pipe_destroy(pipe);
  pool->count--;
  gg__count(worker, GG_COUNT_PIPES_OPEN, (uint64_t)-1);
}

static void release(struct gg_session *session, struct gg_end *from)
{
  gg__pipe_release(session->worker, from->pipe);
  from->pipe = NULL;
}

enum gg_step gg__relay_flush_pipe(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct gg_end *to = &session->end[!direction];
  struct gg_pipe *pipe = from->pipe;
  while (pipe->recorded > 0) {
    ssize_t sent = splice(pipe->read_fd, NULL, to->source.fd, NULL, pipe->recorded, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0 && errno == EAGAIN) {
      gg__relay_write_blocked(to);
      return GG_STEP_WAIT;
    }
    if (sent <= 0)
      return gg__relay_send_failed(session, direction, sent < 0 ? errno : EPIPE);
    pipe->recorded -= (size_t)sent;
    session->waits_ns[direction] = session->worker->loop.now_ns;
    gg__relay_forwarded(session, direction, (size_t)sent);
  }
  if (pipe->raw == 0)
    release(session, from);
  return GG_STEP_AGAIN;
}

/* Reads exactly `bytes` of the tap into the layout's places. */
static bool tap_read(struct gg_pipe *tap, struct gg_chunk_layout *layout, size_t bytes)
{
  struct iovec iov[GG_CHUNK_IOV_MAX];
  size_t done = 0;
  while (done < bytes) {
    unsigned count = 0;
    size_t skip = done, left = bytes - done;
    for (unsigned i = 0; i < layout->iov_count && left > 0; i++) {
      size_t length = layout->iov[i].iov_len;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      size_t part = length - skip < left ? length - skip : left;
      iov[count++] = (struct iovec){(uint8_t *)layout->iov[i].iov_base + skip, part};
      left -= part;
      skip = 0;
    }
    ssize_t got = readv(tap->read_fd, iov, (int)count);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    done += (size_t)got;
  }
  return true;
}

/* Duplicates the pipe's raw bytes and records them. */
static enum gg_step record_raw(struct gg_session *session, enum gg_direction direction, uint8_t *at, size_t room_bytes)
{
  struct gg_end *from = &session->end[direction];
  struct gg_pipe *pipe = from->pipe, *tap = session->worker->pipes.tap;
  struct gg_log *log = session->log->log;
  size_t bytes = pipe->raw < room_bytes ? pipe->raw : room_bytes;
  ssize_t teed;
  do
    teed = tee(pipe->read_fd, tap->write_fd, bytes, SPLICE_F_NONBLOCK);
  while (teed < 0 && errno == EINTR);
  struct gg_chunk_layout layout;
  if (teed > 0)
    gg_conversation_lay(&session->conversation, &layout, direction, (size_t)teed, at, gg_log_segment(log));
  if (teed <= 0 || !tap_read(tap, &layout, (size_t)teed)) {
    gg_log_commit(log, 0);
    pipe_destroy(tap); /* whatever is left in it must not become another session's */
    session->worker->pipes.tap = NULL;
    gg__session_close(session, GG_CLOSE_INTERNAL);
    return GG_STEP_OVER;
  }
  if ((size_t)teed < bytes)
    gg__count(session->worker, GG_COUNT_TEE_SHORT, 1);
  gg__relay_commit(session, &layout, (size_t)teed);
  pipe->raw -= (size_t)teed;
  pipe->recorded = (size_t)teed;
  session->waits_ns[direction] = session->worker->loop.now_ns;
  gg__relay_received(session, direction, (size_t)teed);
  gg__count(session->worker, GG_COUNT_SPLICED, (uint64_t)teed);
  return gg__relay_flush_pipe(session, direction);
}

static void back_in_place(struct gg_session *session, struct gg_end *from)
{
  from->splicing = false;
  from->bulk = 0;
  gg__count(session->worker, GG_COUNT_SPLICE_ENDED, 1);
}

void gg__splice_leave(struct gg_session *session, enum gg_direction direction)
{
  if (session->end[direction].splicing)
    back_in_place(session, &session->end[direction]);
}

/* Flows whose splices bring little are cheaper in place. */
static void learn(struct gg_session *session, struct gg_end *from, size_t got)
{
  if (got >= GG_SPLICE_BYTES_WORTH)
    from->bulk = 0;
  else if (++from->bulk >= SMALL_SPLICES)
    back_in_place(session, from);
}

static size_t pipe_size(const struct gg_pipe *pipe)
{
  return pipe->capacity < GG_SPLICE_BYTES ? pipe->capacity : GG_SPLICE_BYTES;
}

/* How much one splice may take: bounded by the pipe and by a share of the log, so that one flow does not fill it. */
static size_t splice_size(const struct gg_session *session, const struct gg_pipe *pipe)
{
  size_t size = pipe_size(pipe);
  size_t fit = gg_conversation_chunk_fit(&session->conversation, gg_log_reserve_max(session->log->log) / 2);
  return size < fit ? size : fit;
}

/* From the socket into its empty pipe; like splice(2). */
static ssize_t fill_pipe(struct gg_end *from, size_t size)
{
  ssize_t got;
  do
    got = splice(from->source.fd, NULL, from->pipe->write_fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (got < 0 && errno == EINTR);
  return got;
}

/* The splice brought nothing, and said `error` (0: it may be the end). */
static enum gg_step splice_ended(struct gg_session *session, enum gg_direction direction, int error)
{
  struct gg_end *from = &session->end[direction];
  release(session, from);
  if (error == EINVAL) { /* not for this kind of socket */
    session->splice_allowed[direction] = false;
    back_in_place(session, from);
  }
  /* 0 need not be the end: with the peer's FIN received, splice returns it at an urgent byte too. Only recv knows. */
  if (error == 0 || error == EAGAIN || error == EINVAL)
    return gg__relay_in_place(session, direction);
  return gg__relay_ended(session, direction, error);
}

/* All that is in the pipe may go on. Before it is counted as received: a plug-in that wants to see what follows begins
 * behind what was received and what is raw. */
static void free_raw(struct gg_session *session, enum gg_direction direction)
{
  struct gg_pipe *pipe = session->end[direction].pipe;
  pipe->recorded = pipe->raw;
  pipe->raw = 0;
  session->waits_ns[direction] = session->worker->loop.now_ns;
}

/* record: off. */
static enum gg_step splice_off_record(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  ssize_t got = fill_pipe(from, pipe_size(from->pipe));
  if (got <= 0)
    return splice_ended(session, direction, got < 0 ? errno : 0);
  from->pipe->raw = (size_t)got;
  learn(session, from, (size_t)got);
  free_raw(session, direction);
  gg__relay_off_record(session, direction, (size_t)got);
  gg__count(session->worker, GG_COUNT_SPLICED, (uint64_t)got);
  return gg__relay_flush_pipe(session, direction);
}

enum gg_step gg__relay_splice(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct gg_log *log = session->log->log;
  if (!from->pipe && !(from->pipe = gg__pipe_acquire(session->worker)))
    return gg__relay_in_place(session, direction);
  struct gg_pipe *pipe = from->pipe;
  assert(pipe->recorded == 0);
  if (!session->recorded)
    return splice_off_record(session, direction);
  size_t size = splice_size(session, pipe);
  uint8_t *at = NULL;
  if (session->conversation.opened || gg__session_open_record(session))
    at = gg_log_reserve(log, gg_conversation_chunk_room(&session->conversation, size), GG_LOG_DATA);
  if (!at && pipe->raw == 0) {
    release(session, from);
    return gg__relay_in_place(session, direction); /* which needs less room, or does what the policy says */
  }
  if (!at) {
    enum gg_no_room way = gg__relay_no_room(session, direction);
    return way == GG_NO_ROOM_GAP    ? gg__relay_raw_unrecorded(session, direction)
           : way == GG_NO_ROOM_WAIT ? GG_STEP_WAIT
                                    : GG_STEP_OVER;
  }
  if (pipe->raw > 0)
    return record_raw(session, direction, at, size);
  ssize_t got = fill_pipe(from, size);
  int error = got < 0 ? errno : 0;
  if (got > 0) {
    pipe->raw = (size_t)got;
    learn(session, from, (size_t)got);
    return record_raw(session, direction, at, size);
  }
  gg_log_commit(log, 0);
  return splice_ended(session, direction, error);
}

/* Reads up to `bytes` of a pipe that is to be given up; 0 when nothing is left. */
static size_t pipe_read(struct gg_pipe *pipe, void *to, size_t bytes)
{
  ssize_t got;
  do
    got = read(pipe->read_fd, to, bytes);
  while (got < 0 && errno == EINTR);
  return got > 0 ? (size_t)got : 0;
}

/* One packet's worth of what left the socket and is not in the log. The control reserve is for ends like this. */
static size_t record_rest(struct gg_session *session, enum gg_direction direction, struct gg_pipe *pipe)
{
  struct gg_log *log = session->log->log;
  size_t bytes = pipe->raw < GG_PACKET_PAYLOAD_MAX ? pipe->raw : GG_PACKET_PAYLOAD_MAX;
  uint8_t *at = NULL;
  if (session->conversation.opened)
    at = gg_log_reserve(log, gg_conversation_chunk_room(&session->conversation, bytes), GG_LOG_CONTROL);
  if (!at) {
    bytes = pipe_read(pipe, session->worker->scratch, bytes);
    if (bytes > 0)
      gg__relay_unrecorded(session, direction, bytes);
    return bytes;
  }
  struct gg_chunk_layout layout;
  gg_conversation_lay(&session->conversation, &layout, direction, bytes, at, gg_log_segment(log));
  bytes = pipe_read(pipe, layout.iov[0].iov_base, bytes);
  if (bytes > 0)
    gg__relay_commit(session, &layout, bytes);
  else
    gg_log_commit(log, 0);
  return bytes;
}

void gg__relay_drop_pipe(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct gg_pipe *pipe = from->pipe;
  if (!pipe)
    return;
  if (pipe->raw > 0) { /* behind what is recorded already */
    size_t got = 1;
    for (; pipe->recorded > 0 && got > 0; pipe->recorded -= got)
      got = pipe_read(pipe, session->worker->scratch,
                      pipe->recorded < GG_READ_BULK_BYTES ? pipe->recorded : GG_READ_BULK_BYTES);
    for (; pipe->raw > 0 && got > 0; pipe->raw -= got) {
      got = record_rest(session, direction, pipe);
      if (got > 0)
        gg__relay_received(session, direction, got);
    }
  }
  release(session, from);
}

/* The gap policy with bytes already in the pipe: they go on without being recorded. */
enum gg_step gg__relay_raw_unrecorded(struct gg_session *session, enum gg_direction direction)
{
  size_t bytes = session->end[direction].pipe->raw;
  free_raw(session, direction);
  gg__relay_unrecorded(session, direction, bytes);
  gg__relay_received(session, direction, bytes);
  return gg__relay_flush_pipe(session, direction);
}
