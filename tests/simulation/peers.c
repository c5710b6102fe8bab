/* SPDX-License-Identifier: Apache-2.0 */
/* The clients and servers. A peer acts now and then: reads some, writes some, and in the end half-closes. */
#include "sim.h"

#include "gateway/live.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* ── Content ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t word(uint64_t stream, uint64_t index)
{
  uint64_t z = stream + index * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 32)) * 0xD6E8FEB86659FD93u;
  return z ^ (z >> 32);
}

static uint64_t stream_of(const struct sim_conn *conn, unsigned direction)
{
  return (sim.seed * 1000003 + conn->index) * 2 + direction + 1;
}

static bool greets(const struct sim_conn *conn, unsigned direction)
{
  return direction == GG_FROM_SERVER && sim.config.listener[conn->listener].upstream_count == 0;
}

static const char reply_text[] = "HTTP/1.1 403 Forbidden\r\n\r\n";

void sim_replied(struct sim_conn *conn, unsigned side, uint64_t at, uint64_t sent, uint64_t withheld)
{
  conn->replied_sent = sent;
  conn->replied = (int)side;
  conn->replied_at = at;
  conn->withheld = withheld;
}

bool sim_is_replied(const struct sim_conn *conn, unsigned direction)
{
  const struct gg_live *live = conn->session ? conn->session->live : NULL;
  bool refused = live && live->linger_until_ns > 0 && !live->reply; /* no memory, or it could not be told any more */
  return conn->replied == (int)direction && !refused;
}

uint64_t sim_next_to_go(const struct sim_conn *conn, unsigned direction)
{
  uint64_t taken = conn->way[direction].taken;
  bool over = sim_is_replied(conn, direction) && taken >= conn->replied_sent - conn->withheld;
  return over ? taken + conn->withheld : taken;
}

void sim_fill(const struct sim_conn *conn, unsigned direction, uint64_t offset, void *data, size_t bytes)
{
  uint8_t *to = data;
  if (sim_is_replied(conn, direction) && offset + bytes > conn->replied_at) {
    if (offset < conn->replied_at) {
      size_t before = (size_t)(conn->replied_at - offset);
      sim_fill(conn, direction, offset, data, before);
      to += before;
      bytes -= before;
      offset += before;
    }
    if (offset - conn->replied_at + bytes > sizeof reply_text - 1)
      sim_fail("conn %u.%u: more than the reply", conn->index, direction);
    memcpy(to, reply_text + (offset - conn->replied_at), bytes);
    return;
  }
  if (greets(conn, direction)) {
    memcpy(to, sim.config.listener[conn->listener].greeting + offset, bytes);
    return;
  }
  uint64_t stream = stream_of(conn, direction);
  if (direction == GG_FROM_CLIENT) {
    for (; offset < conn->header_told && bytes > 0; bytes--)
      *to++ = conn->header[offset++];
    offset -= conn->header_told;
  }
  while (bytes > 0) {
    uint64_t w = word(stream, offset / 8);
    size_t skip = offset % 8, part = 8 - skip < bytes ? 8 - skip : bytes;
    memcpy(to, (uint8_t *)&w + skip, part);
    to += part;
    offset += part;
    bytes -= part;
  }
}

bool sim_same(const struct sim_conn *conn, unsigned direction, uint64_t offset, const void *data, size_t bytes)
{
  uint8_t want[4096];
  for (const uint8_t *at = data; bytes > 0;) {
    size_t part = bytes < sizeof want ? bytes : sizeof want;
    sim_fill(conn, direction, offset, want, part);
    if (memcmp(want, at, part) != 0)
      return false;
    at += part;
    offset += part;
    bytes -= part;
  }
  return true;
}

/* ── A peer's acts ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void read_some(struct sim_conn *conn, unsigned side)
{
  struct sim_way *in = &conn->way[!side];
  struct sim_socket *s = &conn->socket[side];
  struct sim_peer *peer = &conn->peer[side];
  if (sim.now_ns < peer->deaf_until_ns)
    return;
  uint64_t there = in->taken - in->delivered;
  if (there > 0) {
    uint64_t bytes = 1 + sim_below(peer->read_max);
    in->delivered += bytes < there ? bytes : there;
    if (s->nospace && (in->taken - in->delivered) * 3 <= s->room * 2) {
      s->nospace = false;
      sim_wake(s->fd, EPOLLOUT);
    }
  }
  if (in->fin_passed && in->delivered == in->taken)
    in->fin_delivered = true;
}

static void write_some(struct sim_conn *conn, unsigned side)
{
  struct sim_way *out = &conn->way[side];
  struct sim_socket *s = &conn->socket[side];
  struct sim_peer *peer = &conn->peer[side];
  size_t there = (size_t)(out->written - out->read);
  size_t room = there < peer->window ? peer->window - there : 0;
  size_t bytes = 1 + sim_below(peer->write_max);
  if (bytes > room)
    bytes = room;
  if (bytes > peer->left)
    bytes = (size_t)peer->left;
  if (bytes == 0)
    return;
  out->written += bytes;
  peer->left -= bytes;
  if (peer->urgents > 0 && sim_chance(3) && out->written > out->header) {
    peer->urgents--;
    out->urgent = true;
    out->urgent_at = out->written - 1;
  }
  sim_wake(s->fd, EPOLLIN | EPOLLPRI);
}

static void finish(struct sim_conn *conn, unsigned side)
{
  struct sim_way *out = &conn->way[side];
  struct sim_peer *peer = &conn->peer[side];
  if (out->fin_written || peer->left > 0)
    return;
  if (peer->fin_when == SIM_FIN_AFTER_EOF && !conn->way[!side].fin_delivered)
    return;
  sim_trace("%u.%u peer's FIN", conn->index, side);
  out->fin_written = true;
  sim_wake(conn->socket[side].fd, 0);
}

static void act(void *argument, unsigned side)
{
  struct sim_conn *conn = argument;
  struct sim_peer *peer = &conn->peer[side];
  struct sim_socket *s = &conn->socket[side];
  if (!peer->alive || s->reset || s->aborted || !sim.plane) {
    peer->alive = false;
    return;
  }
  if (sim.now_ns >= peer->reset_ns) {
    sim_socket_peer_reset(s);
    peer->alive = false;
    return;
  }
  read_some(conn, side);
  if (!s->closed) {
    write_some(conn, side);
    finish(conn, side);
  }
  if (conn->way[side].fin_written && conn->way[!side].fin_delivered && sim_chance(8) && !s->closed && !conn->polite) {
    sim_socket_peer_reset(s); /* a reset behind a whole close */
    peer->alive = false;
    return;
  }
  if (s->closed && conn->way[!side].delivered == conn->way[!side].taken) {
    peer->alive = false;
    return;
  }
  uint64_t pause_ns = sim_chance(40) ? sim_below(200000000) : sim_size(peer->pace_ns);
  sim_at(sim.now_ns + 1 + pause_ns, act, conn, side);
}

void sim_peer_begin(struct sim_conn *conn, unsigned side)
{
  conn->peer[side].alive = true;
  sim_at(sim.now_ns + sim_size(2000000), act, conn, side);
  if (conn->peer[side].reset_ns != UINT64_MAX) {
    conn->peer[side].reset_ns += sim.now_ns;
    sim_at(conn->peer[side].reset_ns, act, conn, side);
  }
}

/* ── Their nature ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void peer_choose(struct sim_conn *conn, unsigned side)
{
  const struct sim_config *config = &sim.config;
  struct sim_peer *peer = &conn->peer[side];
  *peer = (struct sim_peer){
    .left = sim_size(config->bytes_max),
    .write_max = 1 + sim_size(sim_chance(3) ? 300000 : 20000),
    .read_max = 1 + sim_size(300000),
    .window = 1000 + sim_size(600000),
    .pace_ns = 1000 + sim_size(3000000),
    .reset_ns = UINT64_MAX,
    .urgents = sim_chance(config->urgent) ? 1 + (unsigned)sim_below(4) : 0,
    .fin_when = SIM_FIN_AT_ONCE,
  };
  bool bulk = sim_chance(6); /* fills every read, so that it is spliced where that is allowed */
  if (bulk) {
    peer->left = 300000 + sim_below(2000000);
    peer->write_max = peer->window = 700000;
    peer->pace_ns = 100000;
  }
  if (peer->left / peer->write_max > 200)
    peer->write_max = (size_t)(peer->left / 200);
  if (peer->read_max < config->bytes_max / 200)
    peer->read_max = config->bytes_max / 200;
  if (sim_chance(config->deaf))
    peer->deaf_until_ns = sim.now_ns + sim_below(20000000000u);
  if (sim_chance(config->rude)) {
    peer->reset_ns = sim_size(sim_chance(2) ? 5000000000u : 20000000u);
    conn->polite = false;
  }
  conn->socket[side] = (struct sim_socket){.conn = conn,
                                           .side = (uint8_t)side,
                                           .fd = -1,
                                           .used = side == 0,
                                           .room = 2000 + (sim_chance(2) ? 600000 : sim_size(600000))};
}

static void answer_choose(struct sim_conn *conn)
{
  conn->answer = sim_chance(4) ? SIM_CONNECT_NOW : SIM_CONNECT_SOON;
  conn->listed = sim.config.listener[conn->listener].upstream_count > 1;
  if (conn->listed) {
    conn->peer[GG_FROM_SERVER].reset_ns = UINT64_MAX; /* one attempt's server must not reset the next one's */
    return;
  }
  if (sim_chance(sim.config.connect_fails)) {
    conn->answer = (enum sim_answer)(SIM_CONNECT_REFUSED_NOW + sim_below(4));
    conn->polite = false;
  }
  conn->backlog_full = sim_chance(4) ? (unsigned)sim_below(5) : 0;
}

/* The PROXY header that the client's stream begins with: right, wrong or in vain. */
static void header_choose(struct sim_conn *conn)
{
  struct sim_way *way = &conn->way[GG_FROM_CLIENT];
  if (conn->client.family != GG_FAMILY_IPV4) /* not trusted */
    return;
  if (sim_chance(8)) {
    conn->polite = false;
    return;
  }
  int length = snprintf((char *)conn->header, sizeof conn->header, "PROXY TCP4 172.16.%u.%u 192.0.2.1 %u 443\r\n",
                        conn->client.ip[2], conn->client.ip[3], 10000 + conn->index);
  way->header = (uint64_t)length;
  conn->peer[GG_FROM_CLIENT].left += way->header;
}

void sim_conn_spawn(void *unused, unsigned index)
{
  (void)unused;
  struct sim_conn *conn = &sim.conns[index];
  *conn = (struct sim_conn){.index = index, .polite = true, .first_fin = -1, .first_fin_told = -1, .replied = -1};
  conn->listener = (unsigned)sim_below(sim.config.listeners);
  const struct gg_listener_options *options = &sim.config.listener[conn->listener];
  unsigned host = index / 3; /* some have more than one connection */
  conn->client = (struct gg_addr){
    .ip = {10, 0, (uint8_t)(host >> 8), (uint8_t)host}, .port = (uint16_t)(2000 + index), .family = GG_FAMILY_IPV4};
  if (sim_chance(4))
    conn->client = (struct gg_addr){.ip = {0x20, 1, 0xd, 0xb8, [14] = (uint8_t)(host >> 8), (uint8_t)host},
                                    .port = (uint16_t)(2000 + index),
                                    .family = GG_FAMILY_IPV6};
  if (options->listen.family == GG_FAMILY_UNIX)
    conn->client = (struct gg_addr){.family = GG_FAMILY_UNIX};
  peer_choose(conn, GG_FROM_CLIENT);
  peer_choose(conn, GG_FROM_SERVER);
  conn->socket[GG_FROM_CLIENT].is_unix = options->listen.family == GG_FAMILY_UNIX;
  if (conn->socket[GG_FROM_CLIENT].is_unix)
    conn->peer[GG_FROM_CLIENT].urgents = 0;
  if (options->upstream_count > 0 && options->upstreams[0].endpoint.family == GG_FAMILY_UNIX)
    conn->peer[GG_FROM_SERVER].urgents = 0;
  if (options->upstream_count > 0 && sim_chance(2))
    conn->peer[sim_below(2)].fin_when = SIM_FIN_AFTER_EOF;
  answer_choose(conn);
  if (options->upstream_count == 0) {
    struct sim_way *way = &conn->way[GG_FROM_SERVER];
    way->written = way->read = way->received = options->greeting_length;
    way->fin_written = way->fin_read = true;
  }
  if (options->proxy_in != GG_PROXY_OFF)
    header_choose(conn);
  conn->header_out_due = options->proxy_out != GG_PROXY_OFF;
  conn->socket[GG_FROM_CLIENT].connected = true;
  sim.spawned = index + 1;
  sim.sessions++;
  sim_peer_begin(conn, GG_FROM_CLIENT);
  sim_listener_push(conn);
  if (index + 1 < sim.config.conns)
    sim_at(sim.now_ns + sim_below(2 * sim.config.spread_ns / sim.config.conns), sim_conn_spawn, NULL, index + 1);
}
