/* SPDX-License-Identifier: Apache-2.0 */
#include "session_half.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* Reads or writes of one half in one turn, so that no session starves the others. */
#define TURNS_MAX 8

static const char *const end_names[] = {"none",         "orderly",        "eof_early",      "reset_sent",
                                        "closed_early", "reset_received", "connect_failed", "timeout"};
static_assert(sizeof end_names / sizeof end_names[0] == HALF_END_COUNT, "a name for each end");

const char *half_end_name(enum half_end end)
{
  return end_names[end];
}

uint64_t half_now_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const struct side_script *own(const struct half *half)
{
  return &half->script.side[half->side];
}

static const struct side_script *peer(const struct half *half)
{
  return &half->script.side[1 - half->side];
}

static enum side peer_side(const struct half *half)
{
  return half->side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;
}

static bool sent_all(const struct half *half)
{
  return half->result.sent >= own(half)->stream_bytes;
}

static bool received_all(const struct half *half)
{
  return half->result.received >= peer(half)->stream_bytes;
}

static void set_tcp_options(int fd, const struct side_script *side)
{
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  if (side->nodelay)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (side->receive_buffer_bytes > 0) {
    int bytes = (int)side->receive_buffer_bytes;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
}

static void take_script(struct half *half, const struct session_script *script)
{
  half->script = *script;
  half->scripted = true;
  half->result.known = true;
  half->result.index = script->index;
  half->random = ((uint64_t)script->index << 1) + (half->side == SIDE_SERVER);
  set_tcp_options(half->fd, own(half));
  if (own(half)->read_delay_us > 0)
    half->read_due_ns = half_now_ns() + (uint64_t)own(half)->read_delay_us * 1000;
}

bool half_begin(struct half_context *context, struct half *half, int fd, enum side side,
                const struct session_script *script, bool connecting)
{
  struct half fresh = {.fd = fd, .side = side, .connecting = connecting};
  fresh.result.first_difference = UINT64_MAX;
  fresh.result.begin_ns = half_now_ns();
  fresh.sent_hash = EVP_MD_CTX_new();
  fresh.received_hash = EVP_MD_CTX_new();
  if (fresh.sent_hash == NULL || fresh.received_hash == NULL)
    return false;
  EVP_DigestInit_ex(fresh.sent_hash, EVP_sha256(), NULL);
  EVP_DigestInit_ex(fresh.received_hash, EVP_sha256(), NULL);
  *half = fresh;
  if (script != NULL)
    take_script(half, script);
  half->interest = EPOLLIN | EPOLLOUT;
  struct epoll_event event = {.events = half->interest, .data.ptr = half};
  return epoll_ctl(context->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool finish(struct half *half, enum half_end end, int error)
{
  unsigned size = 0;
  half->result.end = end;
  half->result.end_ns = half_now_ns();
  half->result.error = error;
  EVP_DigestFinal_ex(half->sent_hash, half->result.sent_sha256, &size);
  EVP_DigestFinal_ex(half->received_hash, half->result.received_sha256, &size);
  EVP_MD_CTX_free(half->sent_hash);
  EVP_MD_CTX_free(half->received_hash);
  if (end == HALF_END_RESET_SENT) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(half->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  }
  close(half->fd);
  half->fd = -1;
  return true;
}

void half_abandon(struct half *half)
{
  finish(half, HALF_END_TIMEOUT, 0);
}

/* The end of both streams: was it the right one? */
static bool finish_after_eof(struct half *half, int error)
{
  if (error != 0)
    return finish(half, HALF_END_RESET_RECEIVED, error);
  bool whole = half->scripted ? received_all(half) && sent_all(half) : half->result.received == 0;
  whole = whole && half->result.first_difference == UINT64_MAX;
  return finish(half, whole ? HALF_END_ORDERLY : HALF_END_EOF_EARLY, 0);
}

/* The server's half: bytes up to the header's end say which session this is. */
static void learn_script(struct half_context *context, struct half *half, const uint8_t *data, size_t size)
{
  uint64_t have = half->result.received;
  if (have >= HEADER_BYTES)
    return;
  size_t take = HEADER_BYTES - (size_t)have < size ? HEADER_BYTES - (size_t)have : size;
  memcpy(half->header + have, data, take);
  uint32_t index = 0;
  if (have + take < HEADER_BYTES)
    return;
  if (!session_header_parse(context->options->seed, half->header, &index)) {
    half->header_bad = true;
    half->result.first_difference = 0;
    return;
  }
  struct session_script script;
  session_script_make(context->options, index, &script);
  take_script(half, &script);
}

/* Notes where what came first differs from what was sent. */
static void compare(struct half_context *context, struct half *half, const uint8_t *data, size_t size)
{
  if (!half->scripted || half->result.first_difference != UINT64_MAX)
    return;
  /* The part of a header that came before the script was known was compared by parsing it. */
  session_stream_bytes(context->options->seed, half->script.index, peer_side(half), half->result.received,
                       context->expected, size);
  uint64_t total = peer(half)->stream_bytes;
  if (memcmp(context->expected, data, size) == 0 && half->result.received + size <= total)
    return;
  size_t at = 0;
  while (at < size && context->expected[at] == data[at] && half->result.received + at < total)
    at++;
  half->result.first_difference = half->result.received + at;
}

/* What `half` may read now: a server reads no further than the header until it knows the session. */
static size_t read_size(const struct half *half)
{
  if (!half->scripted)
    return half->result.received < HEADER_BYTES ? HEADER_BYTES - (size_t)half->result.received : WRITE_BYTES_MAX;
  return own(half)->read_bytes_max;
}

/* Returns false when there was nothing to read now. `*error` is set on a failure. */
static bool read_once(struct half_context *context, struct half *half, int *error)
{
  ssize_t got = recv(half->fd, context->scratch, read_size(half), 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR)
      return false;
    *error = errno;
    half->read_over = true;
    return false;
  }
  if (got == 0) {
    half->read_over = true;
    return false;
  }
  EVP_DigestUpdate(half->received_hash, context->scratch, (size_t)got);
  if (!half->scripted)
    learn_script(context, half, context->scratch, (size_t)got);
  compare(context, half, context->scratch, (size_t)got);
  half->result.received += (uint64_t)got;
  if (half->scripted && own(half)->read_pause_us > 0) {
    half->read_due_ns = half_now_ns() + (uint64_t)own(half)->read_pause_us * 1000;
    return false;
  }
  return true;
}

/* Whether the order lets this side go on, be it with bytes or with its half-close. */
static bool has_turn(const struct half *half)
{
  if (half->side == SIDE_SERVER && half->script.order == ORDER_CLIENT_FIRST)
    return half->read_over;
  if (half->side == SIDE_CLIENT && half->script.order == ORDER_SERVER_FIRST && half->result.sent >= HEADER_BYTES)
    return half->read_over;
  return true;
}

static bool may_write(const struct half *half)
{
  return half->scripted && !half->write_over && !sent_all(half) && has_turn(half);
}

/* How much the next send takes: up to an urgent byte, which goes last in its own call, or to the script's end. */
static size_t write_size(struct half *half, int *flags)
{
  const struct side_script *side = own(half);
  uint64_t sent = half->result.sent;
  uint64_t size = session_write_size(side, sent, &half->random);
  uint64_t stop = side->stream_bytes;
  if (half->side == SIDE_CLIENT && half->script.order == ORDER_SERVER_FIRST && sent < HEADER_BYTES)
    stop = HEADER_BYTES;
  if (half->script.ending != ENDING_ORDERLY && half->script.ending_side == half->side &&
      half->script.ending_sent < stop)
    stop = half->script.ending_sent;
  if (size > stop - sent)
    size = stop - sent;
  while (half->urgent_next < side->urgent_count && side->urgent_at[half->urgent_next] < sent)
    half->urgent_next++;
  if (half->urgent_next < side->urgent_count && side->urgent_at[half->urgent_next] < sent + size) {
    size = side->urgent_at[half->urgent_next] + 1 - sent;
    *flags |= MSG_OOB;
  }
  return (size_t)size;
}

static bool ending_due(const struct half *half)
{
  return half->scripted && half->script.ending != ENDING_ORDERLY && half->script.ending_side == half->side &&
         half->result.sent >= half->script.ending_sent;
}

/* Returns false when no more can be written now. */
static bool write_once(struct half_context *context, struct half *half)
{
  int flags = MSG_NOSIGNAL;
  size_t size = write_size(half, &flags);
  assert(size > 0);
  session_stream_bytes(context->options->seed, half->script.index, half->side, half->result.sent, context->scratch,
                       size);
  ssize_t put = send(half->fd, context->scratch, size, flags);
  if (put < 0) {
    if (errno == EAGAIN || errno == EINTR)
      return false;
    /* What the peer sent before it reset may still be waiting to be read. */
    half->write_over = true;
    half->write_error = errno;
    return false;
  }
  EVP_DigestUpdate(half->sent_hash, context->scratch, (size_t)put);
  half->result.sent += (uint64_t)put;
  if (own(half)->write_pause_us > 0) {
    half->write_due_ns = half_now_ns() + (uint64_t)own(half)->write_pause_us * 1000;
    return false;
  }
  return (size_t)put == size && !ending_due(half);
}

static bool half_closes(const struct half *half)
{
  return half->script.order == ORDER_BOTH || half->script.order == ORDER_CLIENT_FIRST ||
         half->script.order == ORDER_SERVER_FIRST || half->script.zero == ZERO_HALF_CLOSE;
}

/* Whether this side closes first, with neither stream ended. */
static bool closes_whole(const struct half *half)
{
  if (!half->scripted || half->script.zero != ZERO_NOT || !sent_all(half) || !received_all(half))
    return false;
  return (half->script.order == ORDER_CLIENT_CLOSES && half->side == SIDE_CLIENT) ||
         (half->script.order == ORDER_SERVER_CLOSES && half->side == SIDE_SERVER);
}

/* After reading and writing: ends the half, or one of its directions, when that is due. */
static bool settle(struct half *half, int read_error)
{
  if (ending_due(half))
    return finish(half, half->script.ending == ENDING_RESET ? HALF_END_RESET_SENT : HALF_END_CLOSED_EARLY, 0);
  if (half->script.zero == ZERO_CLOSE || half->script.zero == ZERO_RESET)
    return finish(half, half->script.zero == ZERO_RESET ? HALF_END_RESET_SENT : HALF_END_ORDERLY, 0);
  if (half->header_bad)
    return finish(half, HALF_END_EOF_EARLY, 0);
  if (read_error != 0)
    return finish_after_eof(half, read_error);
  if (closes_whole(half))
    return finish(half, half->result.first_difference == UINT64_MAX ? HALF_END_ORDERLY : HALF_END_EOF_EARLY, 0);
  if (half->scripted && half_closes(half) && has_turn(half) && sent_all(half) && !half->write_over) {
    shutdown(half->fd, SHUT_WR);
    half->write_over = true;
  }
  if (!half->read_over)
    return false;
  /* The peer's stream is over. With its bytes missing nothing sensible can follow; else send what is left. */
  if (half->write_over || !half->scripted || sent_all(half) || !received_all(half))
    return finish_after_eof(half, 0);
  return false;
}

static void set_interest(struct half_context *context, struct half *half)
{
  uint32_t interest = 0;
  if (!half->read_over && half->read_due_ns == 0)
    interest |= EPOLLIN;
  if (half->connecting || (may_write(half) && half->write_due_ns == 0))
    interest |= EPOLLOUT;
  if (interest == half->interest)
    return;
  half->interest = interest;
  struct epoll_event event = {.events = interest, .data.ptr = half};
  epoll_ctl(context->epoll, EPOLL_CTL_MOD, half->fd, &event);
}

uint64_t half_due_ns(const struct half *half)
{
  uint64_t due = UINT64_MAX;
  if (half->read_due_ns != 0 && !half->read_over)
    due = half->read_due_ns;
  if (half->write_due_ns != 0 && half->write_due_ns < due && may_write(half))
    due = half->write_due_ns;
  return due;
}

static bool connect_failed(struct half *half)
{
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(half->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  half->result.error = error;
  return error != 0;
}

bool half_step(struct half_context *context, struct half *half, uint32_t events)
{
  uint64_t now = half_now_ns();
  int read_error = 0;
  if (half->connecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
      return false;
    if (connect_failed(half))
      return finish(half, HALF_END_CONNECT_FAILED, half->result.error);
    half->connecting = false;
  }
  /* After an error or a hang-up pauses only delay the news, and epoll would report it for ever. */
  bool hung_up = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (half->read_due_ns <= now || hung_up)
    half->read_due_ns = 0;
  if (half->write_due_ns <= now || hung_up)
    half->write_due_ns = 0;
  for (int turn = 0; turn < TURNS_MAX && half->write_due_ns == 0 && may_write(half) && !ending_due(half); turn++) {
    if (!write_once(context, half))
      break;
  }
  for (int turn = 0; turn < TURNS_MAX && half->read_due_ns == 0 && !half->read_over; turn++) {
    if (!read_once(context, half, &read_error))
      break;
  }
  if (half->write_error != 0 && half->read_over && read_error == 0)
    read_error = half->write_error;
  if (settle(half, read_error))
    return true;
  set_interest(context, half);
  return false;
}
