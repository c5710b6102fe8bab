/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/session.h"

#include "base/clock.h"
#include "base/logger.h"
#include "gateway/admission.h"
#include "gateway/live.h"
#include "gateway/relay.h"
#include "gateway/rewrite.h"
#include "gateway/worker.h"

#include <errno.h>
#include <linux/tcp.h> /* the C library's tcp_info ends before tcpi_bytes_acked */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ── Beginning ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void end_init(struct gg_end *end, enum gg_direction side)
{
  *end = (struct gg_end){.source = {gg__end_ready, -1}, .side = (uint8_t)side};
  gg_list_init(&end->run);
}

struct gg_addr gg__session_synthetic(struct gg_worker *worker)
{
  enum { FIRST = 1024, PORTS = 65536 - FIRST };
  uint32_t n = worker->synthetic_port++ * worker->plane->worker_count + worker->index;
  return (struct gg_addr){.ip = {127, 0, 0, 1}, .port = (uint16_t)(FIRST + n % PORTS), .family = GG_FAMILY_IPV4};
}

/* What the client dialled: the listener's address, or, where that is a wildcard, the socket's own. */
static struct gg_addr dialled(const struct gg_listener *listener, int fd)
{
  struct gg_addr address = listener->address;
  struct sockaddr_storage own;
  socklen_t length = sizeof own;
  if (listener->wildcard && getsockname(fd, (struct sockaddr *)&own, &length) == 0)
    gg_addr_from_sockaddr(&address, (struct sockaddr *)&own, length);
  return address;
}

bool gg__session_open_record(struct gg_session *session)
{
  if (!session->recorded)
    return true;
  struct gg_log *log = session->log->log;
  uint8_t *at = gg_log_reserve(log, GG_CONVERSATION_OPEN_MAX, GG_LOG_DATA);
  if (!at)
    return false;
  uint64_t time_ns = gg_log_time(log, gg_clock_mono_ns());
  gg_pairs_enter(&session->worker->pairs, &session->conversation);
  gg_log_commit(log, gg_conversation_open(&session->conversation, at, gg_log_segment(log), time_ns));
  gg_log_hasten(log); /* who lists sessions sees it soon, also if it is silent */
  return true;
}

enum gg_step gg__session_end_record(struct gg_session *session, enum gg_direction direction)
{
  struct gg_end *from = &session->end[direction];
  struct gg_log *log = session->log->log;
  if (!session->recorded || from->end_recorded)
    return GG_STEP_AGAIN;
  uint8_t *at = NULL;
  if (session->conversation.opened || gg__session_open_record(session))
    at = gg_log_reserve(log, GG_CONVERSATION_FIN_MAX, GG_LOG_CONTROL);
  if (!at) { /* under gap the FIN goes on, and the close records it */
    enum gg_no_room way = gg__relay_no_room(session, direction);
    return way == GG_NO_ROOM_GAP ? GG_STEP_AGAIN : way == GG_NO_ROOM_WAIT ? GG_STEP_WAIT : GG_STEP_OVER;
  }
  gg_log_commit(log, gg_conversation_fin(&session->conversation, direction, at, gg_log_segment(log),
                                         gg_log_time(log, gg_clock_mono_ns())));
  from->end_recorded = true;
  return GG_STEP_AGAIN;
}

/* The conversation can be written from here on. */
static void converse(struct gg_session *session, const struct gg_addr *client, const struct gg_addr *server)
{
  uint64_t random = gg__worker_random(session->worker);
  const uint32_t sequence[2] = {(uint32_t)random, (uint32_t)(random >> 32)};
  gg_conversation_init(&session->conversation, client, server, sequence, gg__session_facts, session);
}

/* Records the handshake, and looks for the upstream. */
void gg__session_go_on(struct gg_session *session)
{
  if (session->listener->group) {
    gg__upstream_connect(session);
    return;
  }
  gg__session_open_record(session); /* without room now, it is done before the first chunk */
  gg__route_choose(session, session->listener->routes.upstream);
  session->end[GG_FROM_SERVER].readable = session->listener->options->greeting_length > 0;
  gg__session_relay(session);
}

/* The endpoints are known for good. */
static void begin(struct gg_session *session)
{
  gg__known_add(session->worker, session);
  if (gg__live_open(session))
    gg__session_go_on(session);
}

/* Whether the peer is a proxy that says for whom it speaks. */
static bool header_expected(const struct gg_listener *listener, const struct gg_addr *peer)
{
  const struct gg_listener_options *options = listener->options;
  if (options->proxy_in == GG_PROXY_OFF)
    return false;
  if (peer->family == GG_FAMILY_UNIX) /* who may connect is the socket file's permissions */
    return true;
  for (size_t i = 0; i < options->trusted_count; i++)
    if (gg_network_contains(&options->trusted[i], peer))
      return true;
  return false;
}

static struct gg_addr peer_of(const struct sockaddr_storage *sockaddr, socklen_t length)
{
  struct gg_addr peer;
  gg_addr_from_sockaddr(&peer, (const struct sockaddr *)sockaddr, length);
  if (peer.family != GG_FAMILY_IPV4 && peer.family != GG_FAMILY_IPV6)
    peer = (struct gg_addr){.family = GG_FAMILY_UNIX};
  return peer;
}

void gg__session_accept(struct gg_listener *listener, int fd, const struct sockaddr_storage *peer, socklen_t length)
{
  struct gg_worker *worker = listener->worker;
  struct gg_addr client_peer = peer_of(peer, length);
  uint8_t source_bits = 0;
  enum gg_close reason;
  /* Of one who has yet to say for whom it speaks, nothing is known: gg__session_sniff asks. */
  if (gg__sources_are_limited(worker) && !header_expected(listener, &client_peer) &&
      !gg__source_enter(listener, &client_peer, &source_bits, &reason)) {
    gg__source_refuse(worker, fd, reason);
    gg__listener_place_give(listener);
    return;
  }
  if (!gg__live_accept(listener, fd, &client_peer)) {
    gg__source_leave(worker, &client_peer, source_bits);
    gg__listener_place_give(listener);
    return;
  }
  struct gg_session *session = gg__worker_session_alloc(worker);
  if (!session) {
    close(fd);
    gg__source_leave(worker, &client_peer, source_bits);
    gg__listener_place_give(listener);
    gg__count(worker, GG_COUNT_ACCEPT_FAILURES, 1);
    return;
  }
  session->worker = worker;
  session->listener = listener;
  session->log = listener->log;
  session->recorded = listener->options->record != GG_RECORD_OFF;
  session->state = GG_STATE_ACCEPTED;
  session->opened_ns = session->active_ns = gg_clock_mono_ns();
  session->id = gg_session_id_next(&worker->ids, gg_clock_real_ns());
  end_init(&session->end[GG_FROM_CLIENT], GG_FROM_CLIENT);
  end_init(&session->end[GG_FROM_SERVER], GG_FROM_SERVER);
  gg_timer_init(&session->timer);
  gg_list_init(&session->stalled);
  gg_list_append(&worker->sessions, &session->node);
  worker->session_count++;
  listener->session_count++;
  gg__count(worker, GG_COUNT_SESSIONS_OPENED, 1);
  gg__count(worker, GG_COUNT_SESSIONS_OPEN, 1);
  gg__route_begin(session);

  struct gg_end *client = &session->end[GG_FROM_CLIENT];
  client->source.fd = fd;
  session->peer = client_peer;
  session->source_bits = source_bits;
  client->finishing = session->peer.family == GG_FAMILY_UNIX; /* reads stop short behind a message with descriptors */
  struct gg_addr server_address = dialled(listener, fd);
  struct gg_addr client_address =
    session->peer.family == GG_FAMILY_UNIX ? gg__session_synthetic(worker) : session->peer;
  converse(session, &client_address, &server_address); /* a PROXY header may know better */
  client->read_watched = gg_loop_watch_reads(&worker->loop, session->log->set, &client->source,
                                             EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET) == GG_OK;
  if (!client->read_watched) {
    gg__session_close(session, GG_CLOSE_LIMIT);
    return;
  }
  gg__session_sniff(session);
}

uint64_t gg__session_heard_since(const struct gg_session *session, uint64_t now_ns)
{
  return session->log->blocked ? now_ns : session->log->unblocked_ns;
}

/* ── PROXY header ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* recv(2), again if it was interrupted: the event that announced the bytes does not come again. */
static ssize_t recv_again(int fd, void *data, size_t bytes, int flags)
{
  ssize_t got;
  do
    got = recv(fd, data, bytes, flags);
  while (got < 0 && errno == EINTR);
  return got;
}

/* Takes the header out of the socket, which nothing behind it may leave. 0: more has to come. */
static long header_take(struct gg_session *session, struct gg_proxy_header *header)
{
  struct gg_end *client = &session->end[GG_FROM_CLIENT];
  uint8_t data[GG_PROXY_HEADER_MAX];
  ssize_t got = recv_again(client->source.fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0)
    return errno == EAGAIN ? 0 : GG_ERR_CLOSED;
  if (got == 0)
    return GG_ERR_TRUNCATED;
  long length = gg_proxy_parse(header, session->listener->options->proxy_in, data, (size_t)got);
  if (length == 0 && (size_t)got == sizeof data)
    return GG_ERR_FORMAT;
  if (length == 0 && client->hung_up) /* what is in the socket is all that will ever come */
    return GG_ERR_TRUNCATED;
  if (length <= 0)
    return length;
  return recv_again(client->source.fd, data, (size_t)length, MSG_DONTWAIT) == length ? length : GG_ERR_FORMAT;
}

void gg__session_sniff(struct gg_session *session)
{
  if (session->live) { /* it has no header, or its header was read: this is what a plug-in waits for */
    gg__live_first(session);
    return;
  }
  struct gg_proxy_header header = {0};
  long length = GG_OK;
  if (header_expected(session->listener, &session->peer) && (length = header_take(session, &header)) == 0) {
    if (session->state == GG_STATE_ACCEPTED)
      gg_timer_start(&session->timer, &session->worker->header_timers, session->opened_ns);
    session->state = GG_STATE_SNIFFING;
    return;
  }
  gg_timer_stop(&session->timer);
  session->proxied = (uint8_t)header.version;
  session->addressed = header.known;
  if (header.known)
    converse(session, &header.client, &header.server);
  enum gg_close reason = length == GG_ERR_CLOSED ? GG_CLOSE_CLIENT_RESET : GG_CLOSE_PROXY_INVALID;
  if (length >= 0 && (!header.known || !gg__sources_are_limited(session->worker) ||
                      gg__source_enter(session->listener, &header.client, &session->source_bits, &reason)))
    begin(session);
  else
    gg__session_close(session, reason);
}

uint64_t gg__session_header_expired(struct gg_timer *timer, uint64_t now_ns)
{
  struct gg_session *session = GG_CONTAINER(timer, struct gg_session, timer);
  uint64_t heard_ns = gg__session_heard_since(session, now_ns); /* before that it may well have come */
  if (heard_ns + session->worker->header_timers.duration_ns > now_ns)
    return heard_ns;
  gg__session_close(session, GG_CLOSE_PROXY_INVALID);
  return 0;
}

/* ── Relaying ────────────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg__session_is_local(const struct gg_plane *plane, const struct gg_addr *addr)
{
  if (gg_addr_is_loopback(addr))
    return true;
  for (unsigned i = 0; i < plane->local_count; i++) {
    struct gg_addr local = plane->local[i];
    local.port = addr->port;
    if (gg_addr_equal(&local, addr))
      return true;
  }
  return false;
}

/* A peer on this host may change the pages of its sendfile between tee and send, so auto leaves it in place; where
 * nothing is recorded there is no tee. */
static bool may_splice(const struct gg_session *session, const struct gg_addr *peer)
{
  const struct gg_worker *worker = session->worker;
  const struct gg_plane *plane = worker->plane;
  if (worker->options->splice == GG_SPLICE_OFF)
    return false;
  if (!session->recorded)
    return true;
  if (plane->options.sync_mode == GG_SYNC_ALWAYS)
    return false;
  if (worker->options->splice == GG_SPLICE_ON)
    return true;
  return (peer->family == GG_FAMILY_IPV4 || peer->family == GG_FAMILY_IPV6) && !gg__session_is_local(plane, peer);
}

void gg__session_judge(struct gg_session *session, enum gg_direction direction)
{
  const struct gg_addr *peer = direction == GG_FROM_CLIENT ? &session->peer : &session->upstream;
  bool both = session->end[GG_FROM_CLIENT].source.fd >= 0 && session->end[GG_FROM_SERVER].source.fd >= 0;
  session->end[direction].engaged = gg__live_engaged(session, direction);
  session->splice_allowed[direction] = both && gg__live_may_splice(session, direction) && may_splice(session, peer);
  if (!session->splice_allowed[direction])
    gg__splice_leave(session, direction);
}

void gg__session_relay(struct gg_session *session)
{
  struct gg_worker *worker = session->worker;
  session->state = GG_STATE_RELAYING;
  gg__session_judge(session, GG_FROM_CLIENT);
  gg__session_judge(session, GG_FROM_SERVER);
  if (session->end[GG_FROM_SERVER].pending && gg_list_empty(&session->stalled)) /* it was diverted */
    gg_list_append(&worker->stalled, &session->stalled);
  session->active_ns = worker->loop.now_ns;
  gg__relay_timer_start(session);
  if (session->end[GG_FROM_SERVER].readable)
    gg__relay_pump(session, GG_FROM_SERVER);
  if (!gg__session_over(session))
    gg__relay_pump(session, GG_FROM_CLIENT);
}

/* ── Ending ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool orderly(enum gg_close reason)
{
  return reason == GG_CLOSE_CLIENT_FIN || reason == GG_CLOSE_SERVER_FIN;
}

static bool connect_failure(enum gg_close reason)
{
  return reason == GG_CLOSE_CONNECT_REFUSED || reason == GG_CLOSE_CONNECT_TIMEOUT ||
         reason == GG_CLOSE_CONNECT_FAILED || reason == GG_CLOSE_UNRESOLVED || reason == GG_CLOSE_UNAVAILABLE;
}

/* Whether the client's connection ends with a FIN. */
static bool ends_politely(const struct gg_session *session, enum gg_close reason)
{
  if (reason == GG_CLOSE_VERDICT)
    return session->live->kind == GG_VERDICT_CLOSE || session->live->kind == GG_VERDICT_REPLY;
  return orderly(reason) ||
         (connect_failure(reason) && session->listener->options->on_connect_failure == GG_REFUSAL_CLOSE);
}

/* How many of the `sent` bytes the end's TCP has acknowledged. `before` went ahead of them; a FIN counts behind. */
static uint64_t acknowledged(const struct gg_end *end, uint64_t sent, uint64_t before)
{
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (end->source.fd < 0 || getsockopt(end->source.fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return 0;
  uint64_t acked = info.tcpi_bytes_acked > before ? info.tcpi_bytes_acked - before : 0;
  return acked < sent ? acked : sent;
}

uint64_t gg__session_acked(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_end *to = &session->end[!direction];
  /* The kernel counts our SYN to the upstream and the PROXY header too. */
  return acknowledged(to, session->end[direction].forwarded, direction == GG_FROM_CLIENT ? 1u + session->announced : 0);
}

void gg__end_leave(struct gg_session *session, struct gg_end *end)
{
  if (end->read_watched)
    gg_loop_ignore_reads(&session->worker->loop, session->log->set, &end->source);
  if (end->write_watched)
    gg_loop_ignore(&session->worker->loop, &end->source);
  end->read_watched = end->write_watched = false;
}

static void end_close(struct gg_session *session, struct gg_end *end, bool reset)
{
  struct gg_worker *worker = session->worker;
  gg_list_remove(&end->run);
  if (end->pending)
    gg_pending_free(&worker->pending, end->pending);
  end->pending = NULL;
  end->pending_left = 0;
  gg__relay_drop_pipe(session, (enum gg_direction)end->side);
  gg_source_forget(&end->source);
  if (end->source.fd < 0)
    return;
  gg__end_leave(session, end);
  if (reset)
    setsockopt(end->source.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  close(end->source.fd);
  end->source.fd = -1;
}

/* What the client of a session without upstream had sent is evidence too: one read of it is recorded. */
static void record_unheard(struct gg_session *session)
{
  if (!session->live && gg_hook_chain_has(session->listener->options->hooks, GG_HOOK_MASK))
    return; /* nobody could be asked whether it is to be masked */
  struct gg_log *log = session->log->log;
  struct gg_end *client = &session->end[GG_FROM_CLIENT];
  size_t most = GG_READ_BYTES;
  if (session->live) /* a plug-in may have had it left out, or kept back as much as may be */
    most = gg__live_records(session, GG_FROM_CLIENT) ? gg__live_read_size(session, GG_FROM_CLIENT, most) : 0;
  if (client->source.fd >= 0 && most > 0 && gg__mask_on(session, GG_FROM_CLIENT)) {
    gg__mask_unheard(session, recv_again, most);
    return;
  }
  if (client->source.fd < 0 || most == 0 || (!session->conversation.opened && !gg__session_open_record(session)))
    return;
  uint8_t *at = gg_log_reserve(log, gg_conversation_chunk_room(&session->conversation, GG_READ_BYTES), GG_LOG_DATA);
  if (!at)
    return;
  struct gg_chunk_layout layout;
  gg_conversation_lay(&session->conversation, &layout, GG_FROM_CLIENT, most, at, gg_log_segment(log));
  ssize_t got = recv_again(client->source.fd, layout.iov[0].iov_base, layout.iov[0].iov_len, MSG_DONTWAIT);
  if (got <= 0) {
    gg_log_commit(log, 0);
    return;
  }
  gg__relay_commit(session, &layout, (size_t)got);
  gg__relay_received(session, GG_FROM_CLIENT, (size_t)got);
}

/* What the last packet will say, and only the sockets know. */
static void ask_sockets(struct gg_session *session, enum gg_close reason)
{
  if (connect_failure(reason) || reason == GG_CLOSE_PROXY_INVALID)
    record_unheard(session);
  if (orderly(reason))
    return;
  uint64_t acked[2] = {gg__session_acked(session, GG_FROM_CLIENT), gg__session_acked(session, GG_FROM_SERVER)};
  memcpy(session->acked, acked, sizeof acked); /* the same memory as waits_ns, which is needed no more */
}

static void count_close(struct gg_session *session, enum gg_close reason)
{
  struct gg_worker *worker = session->worker;
  static const enum gg_counter counters[] = {
    [GG_CLOSE_CLIENT_RESET] = GG_COUNT_RESETS_CLIENT,
    [GG_CLOSE_SERVER_RESET] = GG_COUNT_RESETS_SERVER,
    [GG_CLOSE_UNAVAILABLE] = GG_COUNT_UNAVAILABLE,
    [GG_CLOSE_PROXY_INVALID] = GG_COUNT_PROXY_INVALID,
    [GG_CLOSE_DRAIN] = GG_COUNT_DRAIN_CUT,
    [GG_CLOSE_IDLE_TIMEOUT] = GG_COUNT_IDLE_TIMEOUTS,
    [GG_CLOSE_FIRST_BYTE_TIMEOUT] = GG_COUNT_FIRST_BYTE_TIMEOUTS,
    [GG_CLOSE_SESSION_TIMEOUT] = GG_COUNT_SESSION_TIMEOUTS,
    [GG_CLOSE_STALL_TIMEOUT] = GG_COUNT_STALL_TIMEOUTS,
    [GG_CLOSE_SOURCE_SESSIONS] = GG_COUNT_SOURCE_SESSIONS,
    [GG_CLOSE_SOURCE_RATE] = GG_COUNT_SOURCE_RATE,
  };
  if (reason < sizeof counters / sizeof counters[0] && counters[reason])
    gg__count(worker, counters[reason], 1);
  gg__count(worker, GG_COUNT_SESSIONS_CLOSED, 1);
  gg__count(worker, GG_COUNT_SESSIONS_OPEN, (uint64_t)-1);
  if (!session->recorded)
    gg__count(worker, GG_COUNT_SESSIONS_RECORD_OFF, 1);
  gg__route_end(session);
}

/* A line for what an operator may have to do something about; peers that come and go are the recording's matter. */
static void tell_close(const struct gg_session *session, enum gg_close reason)
{
  struct gg_logger *logger = session->worker->plane->options.logger;
  bool refused = connect_failure(reason), ours = reason == GG_CLOSE_LIMIT || reason == GG_CLOSE_STALL;
  if ((!refused && !ours && reason != GG_CLOSE_PROXY_INVALID && reason != GG_CLOSE_INTERNAL) ||
      !gg_logger_wants(logger, GG_LEVEL_WARNING))
    return;
  const struct gg_listener_options *options = session->listener->options;
  char id[GG_SESSION_ID_TEXT], peer[GG_ADDR_TEXT_MAX], upstream[GG_UPSTREAM_TEXT_MAX] = "none";
  gg_session_id_format(&session->id, id);
  gg_addr_format(&session->peer, peer, sizeof peer);
  if (session->member)
    memcpy(upstream, session->member->text, sizeof upstream);
  const char *text = gg__close_text(reason);
  if (refused)
    gg_warn(logger, "upstream cannot be had", GG_S("reason", text), GG_S("upstream", upstream),
            GG_S("listener", options->name), GG_S("session", id));
  else
    gg_warn(logger, "session closed by the gateway", GG_S("reason", text), GG_S("client", peer),
            GG_S("listener", options->name), GG_S("session", id));
}

/* The last packet is recorded or given up: the session is free. */
static void finish(struct gg_session *session)
{
  struct gg_worker *worker = session->worker;
  if (!gg_list_empty(&session->node) && session->log->closing_count > 0 && session->state == GG_STATE_CLOSING)
    session->log->closing_count--;
  session->state = GG_STATE_CLOSED;
  gg_pairs_leave(&worker->pairs, &session->conversation);
  gg__upstream_let_go(session);
  gg__live_destroy(session->live);
  session->live = NULL;
  free(session->tags);
  session->tags = NULL;
  if (worker->paused) /* its descriptors and its place are free */
    worker->retry_ns = 0;
  gg_list_remove(&session->node);
  gg_list_append(&worker->over, &session->node);
  worker->session_count--;
  gg__listener_place_give(session->listener);
  gg__listener_session_ended(session->listener);
}

bool gg__session_close_record(struct gg_session *session)
{
  if (!session->recorded) {
    finish(session);
    return true;
  }
  struct gg_log *log = session->log->log;
  enum gg_close reason = session->close;
  enum gg_closing closing = ends_politely(session, reason)    ? GG_CLOSING_ORDERLY
                            : reason == GG_CLOSE_CLIENT_RESET ? GG_CLOSING_CLIENT_RESET
                                                              : GG_CLOSING_SERVER_RESET;
  if (!gg__mask_close_record(session) || !gg__rewrite_close_record(session, closing))
    return false;
  uint8_t *at = gg_log_reserve(log, GG_CONVERSATION_CLOSE_MAX, GG_LOG_CONTROL);
  if (!at)
    return false;
  gg_pairs_enter(&session->worker->pairs, &session->conversation); /* it may have nothing but its end */
  gg_log_commit(log, gg_conversation_close(&session->conversation, closing, gg__session_closing_facts, at,
                                           gg_log_segment(log), gg_log_time(log, gg_clock_mono_ns())));
  session->log->want_commit = true;
  finish(session);
  return true;
}

void gg__session_close_abandon(struct gg_session *session)
{
  gg__rewrite_abandon(session);
  gg_log_count_lost_session(session->log->log);
  for (unsigned i = 0; i < 2; i++)
    if (gg__mask_on(session, (enum gg_direction)i))
      gg__mask_abandon(session, (enum gg_direction)i);
  finish(session);
}

void gg__session_close(struct gg_session *session, enum gg_close reason)
{
  if (gg__session_over(session))
    return;
  struct gg_end *client = &session->end[GG_FROM_CLIENT], *server = &session->end[GG_FROM_SERVER];
  struct gg_worker *worker = session->worker;
  if (gg__lingers(session)) /* whatever cuts it short, that is why it ends */
    reason = GG_CLOSE_VERDICT;
  if (session->recorded)
    ask_sockets(session, reason);
  if (reason == GG_CLOSE_VERDICT && session->live->kind == GG_VERDICT_TARPIT)
    gg__live_hang(session);
  end_close(session, client, !ends_politely(session, reason));
  end_close(session, server, !orderly(reason) && !(reason == GG_CLOSE_VERDICT && ends_politely(session, reason)));
  gg_list_remove(&client->run); /* what was left in a pipe was counted, and a plug-in may have asked for more */
  gg_list_remove(&server->run);
  gg_timer_stop(&session->timer);
  gg__source_leave(worker, session->addressed ? &session->conversation.end[GG_FROM_CLIENT] : &session->peer,
                   session->source_bits);
  gg_list_remove(&session->stalled);
  gg_list_remove(&session->node);
  session->close = (uint8_t)reason;
  session->state = GG_STATE_CLOSING;
  count_close(session, reason);
  gg__mask_close(session); /* before the plug-ins see it close */
  gg__live_close(session);
  gg__known_remove(worker, session);
  tell_close(session, reason);
  if (gg__session_close_record(session))
    return;
  struct gg_worker_log *log = session->log;
  gg_list_append(&log->closing, &session->node);
  log->closing_count++;
  gg__worker_retry_soon(worker);
  /* Under block the listeners are paused too, so what waits is bounded by the sessions; otherwise bound it here. */
  if (log->closing_count > GG_CLOSING_MAX && log->on_stall != GG_POLICY_BLOCK && log->on_full != GG_POLICY_BLOCK)
    gg__session_close_abandon(GG_CONTAINER(log->closing.next, struct gg_session, node));
}
