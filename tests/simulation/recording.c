/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of the simulation: log.h's contract over plain memory and a disk that is slow, stops or is full when chance
 * says so. What is committed is parsed there and then, packet by packet, and compared with the streams.
 */
#include "sim.h"

#include "gateway/rewrite.h"
#include "record/packet.h"
#include "record/packet_parse.h"
#include "record/pcapng.h"
#include "record/pcapng_reader.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct gg_log {
  gg_log_wake_fn wake;
  void *context;
  uint8_t *data; /* twice the ring, so that no reservation wraps */
  uint64_t ring_bytes;
  uint64_t committed, sealed, written, durable;
  uint64_t want_durable; /* 0: no wake wanted */
  uint64_t wake_at;      /* UINT64_MAX: no wake wanted */
  size_t reserved;
  bool refused;
  size_t refused_bytes;
  enum gg_log_priority refused_priority;
  bool disk_full, disk_stopped;
  bool finished;
  uint64_t segment;
  uint64_t time_offset;
  unsigned wakes_due;
};

enum { HEAD_BYTES = 1024, PAD_BYTES = 8192 };

static struct gg_log *logs[SIM_LOGS];
static unsigned log_count;

struct told {
  struct sim_conn *conn;
  struct gg_addr client;
  bool sent; /* it is the conversation that was recorded as sent */
};
enum { TOLD = 1 << 14 };
static struct told told[TOLD];

/* ── Making ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void disk_turn(void *argument, unsigned number);

void sim_logs_begin(void)
{
  log_count = 0;
  memset(told, 0, sizeof told);
}

void sim_logs_end(void)
{
  for (unsigned i = 0; i < log_count; i++) {
    free(logs[i]->data);
    free(logs[i]);
  }
  log_count = 0;
}

int gg_recorder_log(struct gg_recorder *recorder, const char *name, gg_log_wake_fn wake, void *wake_context,
                    struct gg_log **out, struct gg_failure *failure)
{
  (void)recorder;
  (void)name;
  struct gg_log *log = calloc(1, sizeof *log);
  if (!log || !(log->data = malloc(2 * sim.config.ring_bytes))) {
    free(log);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a log");
  }
  log->wake = wake;
  log->context = wake_context;
  log->ring_bytes = sim.config.ring_bytes;
  log->wake_at = UINT64_MAX;
  log->time_offset = (uint64_t)1700000000 * 1000000000;
  logs[log_count] = *out = log;
  sim_at(sim.now_ns + sim_below(1000000), disk_turn, log, log_count++);
  return GG_OK;
}

/* ── The disk ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void wake_event(void *argument, unsigned number)
{
  (void)number;
  struct gg_log *log = argument;
  log->wakes_due--;
  if (sim.plane)
    log->wake(log->context);
}

static void wake_soon(struct gg_log *log)
{
  log->wakes_due++;
  sim_at(sim.now_ns + sim_below(200000), wake_event, log, 0);
}

static void disk_weather(struct gg_log *log)
{
  bool was_full = log->disk_full;
  log->disk_full = log->disk_stopped = false;
  if (sim.draining && sim_chance(2))
    return;
  if (sim_chance(sim.config.disk_trouble)) {
    log->disk_full = sim_chance(2);
    log->disk_stopped = !log->disk_full;
  }
  if (log->disk_full && !was_full && log->wake_at != UINT64_MAX)
    wake_soon(log);
}

static void disk_turn(void *argument, unsigned number)
{
  struct gg_log *log = argument;
  uint64_t period_ns = 1 + sim_below(4000000);
  if (sim_chance(8))
    disk_weather(log);
  if (!log->disk_full && !log->disk_stopped) {
    uint64_t can = sim.config.disk_rate * period_ns / 1000000000 + 1;
    if (log->finished || log->sealed - log->written < can)
      log->written = log->sealed;
    else
      log->written += can;
  } else {
    period_ns *= 16;
  }
  if (log->written >= log->wake_at) {
    log->wake_at = UINT64_MAX;
    wake_soon(log);
  }
  if (sim_chance(3))
    log->durable = log->written;
  if (log->want_durable && log->durable >= log->want_durable) {
    log->want_durable = 0;
    wake_soon(log);
  }
  if (sim_chance(200)) /* a wake without need */
    wake_soon(log);
  if (sim.plane)
    sim_at(sim.now_ns + period_ns, disk_turn, log, number);
}

/* ── The producer's side ─────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t margin(enum gg_log_priority priority)
{
  return PAD_BYTES + (priority == GG_LOG_DATA ? (uint64_t)GG_LOG_CONTROL_RESERVE_BYTES : 0);
}

static bool fits(const struct gg_log *log, size_t bytes, enum gg_log_priority priority)
{
  return log->committed + HEAD_BYTES + bytes + margin(priority) <= log->written + log->ring_bytes;
}

uint8_t *gg_log_reserve(struct gg_log *log, size_t bytes, enum gg_log_priority priority)
{
  if (log->finished)
    sim_fail("a reservation in a finished log");
  if (HEAD_BYTES + bytes + margin(priority) > log->ring_bytes)
    sim_fail("a reservation of %zu bytes, which the log can never have", bytes);
  sim_meddle();
  log->reserved = 0;
  if (!fits(log, bytes, priority)) {
    log->sealed = log->committed;
    log->refused = true;
    log->refused_bytes = bytes;
    log->refused_priority = priority;
    log->wake_at = log->committed + HEAD_BYTES + bytes + margin(priority) - log->ring_bytes;
    if (log->wake_at > log->sealed)
      log->wake_at = log->sealed;
    return NULL;
  }
  log->refused = false;
  if (log->segment == 0 || sim_chance(300)) {
    log->segment++;
    log->committed += HEAD_BYTES;
  }
  log->reserved = bytes;
  uint8_t *at = log->data + log->committed % log->ring_bytes;
  memset(at, 0xdb, bytes < 64 ? bytes : 64);
  return at;
}

uint64_t gg_log_position(const struct gg_log *log, const void *at)
{
  return log->committed + (uint64_t)((const uint8_t *)at - (log->data + log->committed % log->ring_bytes));
}

/* No plug-in of these worlds observes. */
bool gg_log_copy(struct gg_log *log, uint64_t position, void *to, size_t bytes)
{
  (void)log;
  (void)position;
  (void)to;
  (void)bytes;
  return false;
}

size_t gg_log_reserve_max(const struct gg_log *log)
{
  return (size_t)(log->ring_bytes - HEAD_BYTES - margin(GG_LOG_DATA));
}

uint64_t gg_log_segment(const struct gg_log *log)
{
  return log->segment;
}

uint64_t gg_log_time(const struct gg_log *log, uint64_t mono_ns)
{
  return log->time_offset + mono_ns;
}

enum gg_log_pressure gg_log_pressure(const struct gg_log *log)
{
  if (!log->refused || fits(log, log->refused_bytes, log->refused_priority))
    return GG_LOG_FLOWING;
  return log->disk_full ? GG_LOG_DISK_FULL : GG_LOG_STALLED;
}

void gg_log_count_gap(struct gg_log *log, uint64_t bytes)
{
  (void)log;
  sim.gaps_counted += bytes;
}

void gg_log_count_lost_session(struct gg_log *log)
{
  (void)log;
  sim.lost_sessions++;
}

uint64_t gg_log_tick(struct gg_log *log, uint64_t mono_ns)
{
  if (sim_chance(16) || (log->want_durable && log->want_durable > log->sealed))
    log->sealed = log->committed;
  return sim_chance(4) ? mono_ns + 1000000000 : UINT64_MAX;
}

void gg_log_flush(struct gg_log *log)
{
  log->sealed = log->committed;
}

void gg_log_hasten(struct gg_log *log)
{
  (void)log; /* ticks seal when they like */
}

void gg_log_finish(struct gg_log *log)
{
  log->sealed = log->committed;
  log->finished = true;
}

uint64_t gg_log_committed(const struct gg_log *log)
{
  return log->committed;
}

uint64_t gg_log_durable(const struct gg_log *log)
{
  return log->durable;
}

bool sim_log_is_durable(const struct gg_log *log, uint64_t position)
{
  return log->durable >= position;
}

bool sim_log_wakes(const struct gg_log *log)
{
  return log->wakes_due > 0 || log->want_durable > 0;
}

void gg_log_want_durable(struct gg_log *log, uint64_t position)
{
  log->want_durable = position;
  if (log->durable >= position) {
    log->want_durable = 0;
    wake_soon(log);
  }
}

/* ── What was recorded ───────────────────────────────────────────────────────────────────────────────────────────── */

static struct told *told_slot(const struct gg_addr *client)
{
  uint64_t hash = client->port;
  for (unsigned i = 0; i < 16; i++)
    hash = hash * 1099511628211u + client->ip[i];
  for (uint64_t i = hash;; i++) {
    struct told *slot = &told[i % TOLD];
    if (!slot->conn || gg_addr_equal(&slot->client, client))
      return slot;
  }
}

void sim_told_client(struct sim_conn *conn, const struct gg_addr *client)
{
  struct told *slot = told_slot(client);
  if (slot->conn && slot->conn != conn && !slot->conn->over)
    sim_fail("conns %u and %u have the same addresses in the recording", conn->index, slot->conn->index);
  *slot = (struct told){conn, *client, false};
}

/* The second conversation's, between the gateway and the upstream. */
static void told_gateway(struct sim_conn *conn, const struct gg_addr *gateway)
{
  struct told *slot = told_slot(gateway);
  if ((slot->conn && !slot->conn->over) || conn->sent_begun)
    sim_fail("conn %u: begun twice as sent, or at the address of another", conn->index);
  *slot = (struct told){conn, *gateway, true};
  conn->sent_begun = true;
}

/* The initial addresses are known: from here on its packets are found by them. */
void __real_gg_conversation_init(struct gg_conversation *conversation, const struct gg_addr *client,
                                 const struct gg_addr *server, const uint32_t initial_sequence[2], gg_facts_fn facts,
                                 const void *session);
void __wrap_gg_conversation_init(struct gg_conversation *conversation, const struct gg_addr *client,
                                 const struct gg_addr *server, const uint32_t initial_sequence[2], gg_facts_fn facts,
                                 const void *session);
void __wrap_gg_conversation_init(struct gg_conversation *conversation, const struct gg_addr *client,
                                 const struct gg_addr *server, const uint32_t initial_sequence[2], gg_facts_fn facts,
                                 const void *session)
{
  if (facts == gg__as_sent_facts) {
    const struct gg_as_sent *as_sent = session;
    told_gateway(sim_conn_of(as_sent->session), client);
    __real_gg_conversation_init(conversation, client, server, initial_sequence, facts, session);
    return;
  }
  const struct gg_session *owner = session;
  struct sim_conn *conn = sim_socket_of(owner->end[GG_FROM_CLIENT].source.fd)->conn;
  conn->session = (struct gg_session *)(uintptr_t)session;
  conn->told_client = *client;
  sim_told_client(conn, client);
  __real_gg_conversation_init(conversation, client, server, initial_sequence, facts, session);
}

/* What is left out of the second conversation since it went on as it came is in the first, and nobody counts it as
 * missing. */
void __real_gg_conversation_gap(struct gg_conversation *conversation, enum gg_direction direction, uint64_t bytes,
                                enum gg_gap_reason reason);
void __wrap_gg_conversation_gap(struct gg_conversation *conversation, enum gg_direction direction, uint64_t bytes,
                                enum gg_gap_reason reason);
void __wrap_gg_conversation_gap(struct gg_conversation *conversation, enum gg_direction direction, uint64_t bytes,
                                enum gg_gap_reason reason)
{
  uint64_t at = conversation->offset[direction];
  if (conversation->facts == gg__as_sent_facts && reason == GG_GAP_LEFT_OUT) {
    const struct gg_session *session = ((const struct gg_as_sent *)conversation->session)->session;
    struct sim_conn *conn = sim_conn_of(session);
    bool as_it_came = at + bytes <= gg__live_position(session, direction);
    sim.gaps_counted += as_it_came ? bytes : 0;
    for (uint64_t left = as_it_came ? bytes : 0, received; left > 0;) {
      uint64_t part = sim_untouched(conn, direction, at, &received);
      if (received == UINT64_MAX)
        sim_fail("conn %u.%u: what was rewritten is left out at %llu", conn->index, (unsigned)direction,
                 (unsigned long long)at);
      part = part < left ? part : left;
      at += part;
      left -= part;
    }
  }
  __real_gg_conversation_gap(conversation, direction, bytes, reason);
}

static uint64_t told_gap(const char *comment, size_t bytes)
{
  json_error_t error;
  json_t *root = json_loadb(comment, bytes, 0, &error);
  if (!root)
    sim_fail("a comment that is no JSON: %.*s", (int)bytes, comment);
  json_int_t gap = json_integer_value(json_object_get(json_object_get(root, "gap"), "bytes"));
  json_decref(root);
  return (uint64_t)gap;
}

static void check_data(struct sim_conn *conn, unsigned direction, const struct gg_tcp_packet *tcp, const char *comment,
                       size_t comment_bytes)
{
  struct sim_way *way = &conn->way[direction];
  if (conn->session->state <= GG_STATE_SNIFFING && direction == GG_FROM_CLIENT && tcp->payload_bytes > 0) {
    conn->header_told = way->header; /* no valid header: what came of it is recorded as it is */
    way->header = 0;
    way->received = way->read;
  }
  uint32_t skipped = tcp->sequence - way->sequence;
  if (skipped && (!comment || told_gap(comment, comment_bytes) != skipped))
    sim_fail("conn %u.%u: the sequence number skips %u bytes, and no comment says so", conn->index, direction, skipped);
  way->gaps += skipped;
  way->told += skipped;
  if (tcp->payload_bytes > 0) {
    if (way->fin_told)
      sim_fail("conn %u.%u: data recorded behind its FIN", conn->index, direction);
    if (!sim_masked_same(conn, direction, way->told, tcp->payload, tcp->payload_bytes))
      sim_fail("conn %u.%u: wrong bytes recorded at %llu", conn->index, direction, (unsigned long long)way->told);
  }
  way->told += tcp->payload_bytes;
  way->sequence = tcp->sequence + tcp->payload_bytes;
  bool own = (sim.config.listener[conn->listener].upstream_count == 0 && direction == GG_FROM_SERVER) ||
             conn->replied == (int)direction;
  if (way->told > way->received && !own)
    sim_fail("conn %u.%u: %llu bytes recorded, but %llu were received", conn->index, direction,
             (unsigned long long)way->told, (unsigned long long)way->received);
}

static void check_fin(struct sim_conn *conn, unsigned direction)
{
  struct sim_way *way = &conn->way[direction];
  /* A refusal that the listener makes by a plain close is recorded as one, both ways. */
  bool refusal = conn->session->state == GG_STATE_CLOSING && conn->session->close >= GG_CLOSE_CONNECT_REFUSED &&
                 conn->session->close <= GG_CLOSE_UNAVAILABLE;
  refusal = refusal || conn->replied == (int)direction || conn->session->close == GG_CLOSE_VERDICT;
  if (way->fin_told || (!way->fin_read && !refusal))
    sim_fail("conn %u.%u: a FIN recorded that was not received", conn->index, direction);
  way->fin_told = true;
  way->sequence++;
  if (conn->first_fin_told < 0)
    conn->first_fin_told = (int)direction;
}

/* A packet of the second conversation. */
static void check_sent(struct gg_log *log, struct sim_conn *conn, unsigned direction,
                       const struct gg_pcapng_packet *packet, const struct gg_tcp_packet *tcp)
{
  struct sim_way *way = &conn->sent[direction];
  if (conn->sent_over || !conn->session->recorded)
    sim_fail("conn %u: nothing of it was to be recorded as sent", conn->index);
  if (conn->sent_segment != log->segment && !packet->comment)
    sim_fail("conn %u: its first packet as sent in a segment does not say whose it is", conn->index);
  conn->sent_segment = log->segment;
  if (tcp->flags & GG_TCP_SYN) {
    if (direction == GG_FROM_CLIENT && conn->sent_opened)
      sim_fail("conn %u: opened twice, as sent", conn->index);
    conn->sent_opened = true;
    way->sequence = tcp->sequence + 1;
    return;
  }
  uint32_t skipped = tcp->sequence - way->sequence;
  if (skipped && (!packet->comment || told_gap(packet->comment, packet->comment_bytes) != skipped))
    sim_fail("conn %u.%u: as sent, it skips %u bytes, and no comment says so", conn->index, direction, skipped);
  way->gaps += skipped;
  way->told += skipped;
  if (tcp->payload_bytes > 0 &&
      (way->fin_told || !sim_same_sent(conn, direction, way->told, tcp->payload, tcp->payload_bytes)))
    sim_fail("conn %u.%u: wrong bytes recorded as sent at %llu", conn->index, direction, (unsigned long long)way->told);
  way->told += tcp->payload_bytes;
  way->sequence = tcp->sequence + tcp->payload_bytes;
  if (tcp->acknowledged != conn->sent[!direction].sequence)
    sim_fail("conn %u.%u: acknowledges %u as sent, not %u", conn->index, direction, tcp->acknowledged,
             conn->sent[!direction].sequence);
  if (tcp->flags & GG_TCP_FIN) {
    if (way->fin_told)
      sim_fail("conn %u.%u: two FINs recorded as sent", conn->index, direction);
    way->fin_told = true;
    way->sequence++;
  }
  if (packet->comment && memmem(packet->comment, packet->comment_bytes, "\"close\":", 8))
    sim_check_sent_closed(conn, packet->comment, packet->comment_bytes);
}

static void check_packet(struct gg_log *log, const struct gg_pcapng_packet *packet)
{
  struct gg_tcp_packet tcp;
  if (gg_tcp_packet_parse(&tcp, packet->link_type, packet->data, packet->captured) != 0)
    sim_fail("a packet that is no TCP");
  if (gg_tcp_packet_checksums(&tcp) != 0)
    sim_fail("a packet with a wrong checksum");
  unsigned direction = packet->direction == GG_PCAPNG_OUTBOUND;
  const struct told *slot = told_slot(direction ? &tcp.to : &tcp.from);
  struct sim_conn *conn = slot->conn;
  if (!conn || conn->over)
    sim_fail("a packet of no open connection");
  if (slot->sent) {
    check_sent(log, conn, direction, packet, &tcp);
    return;
  }
  if (!conn->session->recorded)
    sim_fail("conn %u: it was not to be recorded", conn->index);
  struct sim_way *way = &conn->way[direction];
  if (packet->time_ns != log->time_offset + (packet->time_ns - log->time_offset))
    sim_fail("a wrong time");
  if (conn->segment != log->segment && !packet->comment)
    sim_fail("conn %u: its first packet in a segment does not say whose it is", conn->index);
  conn->segment = log->segment;
  if (tcp.flags & GG_TCP_SYN) {
    if (direction == GG_FROM_CLIENT && conn->opened)
      sim_fail("conn %u: opened twice", conn->index);
    conn->opened = true;
    way->sequence = tcp.sequence + 1;
  } else {
    check_data(conn, direction, &tcp, packet->comment, packet->comment_bytes);
    if ((tcp.flags & GG_TCP_ACK) && tcp.acknowledged != conn->way[!direction].sequence)
      sim_fail("conn %u.%u: acknowledges %u, not %u", conn->index, direction, tcp.acknowledged,
               conn->way[!direction].sequence);
  }
  if (tcp.flags & GG_TCP_FIN)
    check_fin(conn, direction);
  if (packet->comment && memmem(packet->comment, packet->comment_bytes, "\"close\":", 8))
    sim_check_closed(conn, packet->comment, packet->comment_bytes);
}

/* A section header and an interface, so that the reader takes what follows for a file. */
static const uint32_t section[] = {GG_PCAPNG_SHB,
                                   28,
                                   GG_PCAPNG_BYTE_ORDER,
                                   1,
                                   0xffffffffu,
                                   0xffffffffu,
                                   28,
                                   GG_PCAPNG_IDB,
                                   32,
                                   GG_LINK_ETHERNET,
                                   GG_PCAPNG_SNAPLEN,
                                   GG_PCAPNG_IF_TSRESOL | 1 << 16,
                                   9,
                                   0,
                                   32};

/* What a chunk told of before and behind it, for sync: always. */
static void note_positions(const uint64_t before[][4], uint64_t position)
{
  for (unsigned i = 0; i < sim.spawned; i++)
    for (unsigned d = 0; d < 4; d++) {
      struct sim_way *way = d < 2 ? &sim.conns[i].way[d] : &sim.conns[i].sent[d - 2];
      if (way->told == before[i][d])
        continue;
      way->told_before = before[i][d];
      way->position = position;
    }
}

static void check_blocks(struct gg_log *log, const uint8_t *at, size_t bytes)
{
  static uint8_t file[sizeof section + (2 << 20)];
  memcpy(file, section, sizeof section);
  memcpy(file + sizeof section, at, bytes);
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  struct gg_failure failure;
  int error = gg_pcapng_reader_open_memory(&reader, file, sizeof section + bytes, &failure);
  while (!error && !(error = gg_pcapng_reader_next(reader, &packet, &failure)))
    check_packet(log, &packet);
  if (error != GG_ERR_AGAIN || gg_pcapng_reader_torn(reader))
    sim_fail("what was committed is no row of whole blocks");
  gg_pcapng_reader_destroy(reader);
}

void gg_log_commit(struct gg_log *log, size_t bytes)
{
  if (bytes > log->reserved || bytes % 4)
    sim_fail("%zu bytes committed of %zu reserved", bytes, log->reserved);
  log->reserved = 0;
  if (bytes == 0)
    return;
  bool in_gateway = sim.in_gateway;
  sim.in_gateway = false;
  static uint64_t(*before)[4];
  static unsigned before_room;
  bool always = sim.config.options.sync_mode == GG_SYNC_ALWAYS;
  if (always) {
    if (before_room < sim.spawned) {
      free(before);
      before = malloc((before_room = sim.spawned + 64) * sizeof *before);
    }
    for (unsigned i = 0; i < sim.spawned; i++)
      for (unsigned d = 0; d < 4; d++)
        before[i][d] = d < 2 ? sim.conns[i].way[d].told : sim.conns[i].sent[d - 2].told;
  }
  check_blocks(log, log->data + log->committed % log->ring_bytes, bytes);
  log->committed += bytes;
  if (always)
    note_positions((const uint64_t(*)[4])before, log->committed);
  sim.in_gateway = in_gateway;
  sim.progress++;
}
