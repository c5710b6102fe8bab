/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include "../unit/metric_named.h"
#include "gateway/rewrite.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const close_texts[] = {
#define TEXT(NAME, text) text,
  GG_CLOSE_LIST(TEXT)
#undef TEXT
};

/* ── Every send ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Up to where a direction of a conversation is in the recording, or is known to be missing there. */
static uint64_t recorded_to(const struct gg_conversation *conversation, const struct sim_way *way, unsigned direction)
{
  return conversation->gap_total[direction] ? conversation->offset[direction] : way->told;
}

/* With sync: always what was told is on the disk too, but for the last chunk; one that lingers records chunks that do
 * not go on, while others wait. `back`: masks may keep so much out. */
static void check_told(const struct sim_conn *conn, unsigned direction, const struct gg_conversation *conversation,
                       const struct sim_way *way, uint64_t at, uint64_t bytes, uint64_t back)
{
  uint64_t most = recorded_to(conversation, way, direction) + back;
  if (at + bytes > most)
    sim_fail("conn %u.%u: forwards up to %llu, recorded is %llu", conn->index, direction,
             (unsigned long long)(at + bytes), (unsigned long long)most);
  bool last = !gg__lingers(conn->session) || at + bytes == way->told;
  if (sim.config.options.sync_mode == GG_SYNC_ALWAYS && last && at < way->told && at + bytes > way->told_before &&
      !sim_log_is_durable(conn->session->log->log, way->position))
    sim_fail("conn %u.%u: forwards what is not durable", conn->index, direction);
}

/* A byte is in the log before it goes on, in one conversation or in the other. */
void sim_check_forward(struct sim_conn *conn, unsigned direction, size_t bytes)
{
  const struct sim_way *way = &conn->way[direction];
  const struct gg_session *session = conn->session;
  if (!session || conn->over)
    sim_fail("conn %u: sends without a session", conn->index);
  if (!sim_gates_let(conn, direction, way->taken + bytes))
    sim_fail("conn %u.%u: forwards what a gate has not passed", conn->index, direction);
  for (uint64_t at = sim_next_to_go(conn, direction), end = at + bytes, received, part; at < end; at += part) {
    part = sim_untouched(conn, direction, at, &received);
    part = part < end - at ? part : end - at;
    if (!session->recorded) {
      if (received != UINT64_MAX && received + part > way->received && !sim_is_replied(conn, direction))
        sim_fail("conn %u.%u: forwards what it did not receive", conn->index, direction);
    } else if (received == UINT64_MAX) {
      check_told(conn, direction, &session->live->as_sent->conversation, &conn->sent[direction], at, part, 0);
    } else {
      check_told(conn, direction, &session->conversation, way, received, part, sim_masked_back(conn, direction));
    }
  }
}

/* ── Every sleep ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct sim_conn *sim_conn_of(const struct gg_session *session)
{
  for (unsigned i = 0; i < sim.spawned; i++)
    if (sim.conns[i].session == session)
      return &sim.conns[i];
  sim_fail("a session that is no connection's");
}

/* A plug-in lets nothing go on, and nothing be read. */
static bool kept(const struct gg_session *session, unsigned direction)
{
  enum gg_direction d = (enum gg_direction)direction;
  const struct gg_live *live = session->live;
  if (!live || (session->end[!direction].pending && gg__gate_free(session, d) > 0))
    return false;
  for (unsigned i = 0; live->chain && i < live->chain->count; i++) /* the end waits for a gate that will be called */
    if (session->end[direction].ended && live->hooks[i].due_ns[direction] > 0 && gg_alarm_is_set(&live->alarm))
      return true;
  return gg__gate_holds(session, d) || gg__live_read_size(session, d, 1) == 0 ||
         (live->way[direction].rate > 0 && gg_alarm_is_set(&live->alarm)); /* the alarm runs it */
}

static void check_direction(const struct gg_worker *worker, const struct gg_session *session, unsigned direction)
{
  const struct gg_end *from = &session->end[direction], *to = &session->end[!direction];
  struct sim_conn *conn = sim_conn_of(session);
  if (from->source.fd >= 0 && from->ended && to->shut && !from->dead && !session->log->blocked &&
      conn->socket[from->side].used && conn->socket[from->side].error)
    sim_fail("conn %u.%u: sleeps and has not seen the reset behind the FIN", conn->index, direction);
  if (to->dead || (from->ended && to->shut))
    return;
  if (kept(session, direction) || (to->pending && to->durable_at > 0 && sim_log_wakes(session->log->log)))
    return;
  bool sends = to->pending && (!session->live || gg__gate_free(session, (enum gg_direction)direction) > 0);
  if (sends || (from->pipe && from->pipe->recorded > 0)) {
    const struct sim_socket *out = &conn->socket[to->side];
    bool told_later = out->nospace; /* the wake is still to come: the buffer is full, or a fault promised it */
    if (!told_later && worker->retry_ns == UINT64_MAX)
      sim_fail("conn %u.%u: sleeps with bytes to send and a socket that takes them", conn->index, direction);
    return;
  }
  if (session->log->blocked)
    return;
  const struct sim_socket *in = &conn->socket[from->side];
  if (in->used && !in->closed && in->reset && conn->way[from->side].written == conn->way[from->side].read)
    sim_fail("conn %u.%u: sleeps and has not seen the reset (error %d, readable %d, ended %d, dead %d)", conn->index,
             direction, in->error, from->readable, from->ended, from->dead);
  if (from->source.fd < 0 ? from->readable
                          : from->readable || from->ended || (from->pipe && from->pipe->raw > 0) ||
                              gg__rewrite_waits(session, (enum gg_direction)direction))
    sim_fail("conn %u.%u: sleeps with something to do", conn->index, direction);
}

/* The worker is about to wait, and no event is there: nothing may be left that it could do. */
void sim_check_sleep(uint64_t until_ns)
{
  (void)until_ns;
  const struct gg_worker *worker = sim.plane ? sim.plane->workers[0] : NULL;
  if (!worker || !gg_list_empty(&worker->run))
    return;
  for (const struct gg_list *node = worker->sessions.next; node != &worker->sessions; node = node->next) {
    const struct gg_session *session = GG_CONTAINER(node, struct gg_session, node);
    if (session->state != GG_STATE_RELAYING && session->state != GG_STATE_HALF_CLOSED)
      continue;
    if (session->end[0].dead && session->end[1].dead && !gg__lingers(session)) /* which reads what they said before */
      sim_fail("a session with two dead ends");
    check_direction(worker, session, GG_FROM_CLIENT);
    check_direction(worker, session, GG_FROM_SERVER);
  }
}

/* ── Every end of a connection ───────────────────────────────────────────────────────────────────────────────────── */

static uint64_t number(json_t *facts, const char *name, unsigned direction)
{
  const char *side = direction == GG_FROM_CLIENT ? "client" : "server";
  return (uint64_t)json_integer_value(json_object_get(json_object_get(facts, name), side));
}

static void check_numbers(struct sim_conn *conn, json_t *facts, unsigned direction)
{
  const struct sim_way *way = &conn->way[direction];
  uint64_t received = number(facts, "received", direction), gaps = number(facts, "gaps", direction);
  bool greeting = direction == GG_FROM_SERVER && sim.config.listener[conn->listener].upstream_count == 0;
  bool partly = greeting && (received == 0 || (conn->session->live && received < way->received)); /* it was held */
  if (received != way->received && !partly && conn->replied != (int)direction)
    sim_fail("conn %u.%u: the closing comment says %llu received, it was %llu", conn->index, direction,
             (unsigned long long)received, (unsigned long long)way->received);
  if (number(facts, "forwarded", direction) != way->taken)
    sim_fail("conn %u.%u: the closing comment says %llu forwarded, it was %llu", conn->index, direction,
             (unsigned long long)number(facts, "forwarded", direction), (unsigned long long)way->taken);
  if (way->told - way->gaps + gaps != received)
    sim_fail("conn %u.%u: %llu recorded and %llu missing, but %llu were received", conn->index, direction,
             (unsigned long long)(way->told - way->gaps), (unsigned long long)gaps, (unsigned long long)received);
  sim.gaps_told += gaps;
  if (number(facts, "acked", direction) > way->taken)
    sim_fail("conn %u.%u: more acknowledged than sent", conn->index, direction);
}

/* The second conversation's last packet comes before the session's. */
void sim_check_sent_closed(struct sim_conn *conn, const char *comment, size_t bytes)
{
  json_error_t error;
  json_t *facts = json_loadb(comment, bytes, 0, &error);
  if (!facts || !json_object_get(facts, "id") || !json_object_get(facts, "as_sent_of"))
    sim_fail("conn %u: a closing comment as sent without id or whose it is", conn->index);
  sim_trace("%u closed as sent: %.*s", conn->index, (int)bytes, comment);
  for (unsigned direction = 0; direction < 2; direction++) {
    const struct sim_way *way = &conn->sent[direction];
    uint64_t received = number(facts, "received", direction), gaps = number(facts, "gaps", direction);
    uint64_t forwarded = number(facts, "forwarded", direction), taken = conn->way[direction].taken;
    if (way->told - way->gaps + gaps != received)
      sim_fail("conn %u.%u: as sent, %llu recorded and %llu missing, but %llu were sent", conn->index, direction,
               (unsigned long long)(way->told - way->gaps), (unsigned long long)gaps, (unsigned long long)received);
    if (forwarded != (taken < received ? taken : received))
      sim_fail("conn %u.%u: as sent, %llu of %llu forwarded, it was %llu", conn->index, direction,
               (unsigned long long)forwarded, (unsigned long long)received, (unsigned long long)taken);
    sim.gaps_told += gaps;
  }
  conn->sent_over = true;
  json_decref(facts);
}

/* By which it is served: reloads change them for later ones only. */
static const struct gg_listener_options *options_of(const struct sim_conn *conn)
{
  return conn->session->listener->options;
}

static void check_orderly(struct sim_conn *conn)
{
  const struct gg_listener_options *options = options_of(conn);
  bool recorded = conn->session->recorded;
  for (unsigned direction = 0; direction < 2; direction++) {
    const struct sim_way *way = &conn->way[direction];
    bool to_nobody = options->upstream_count == 0 && direction == GG_FROM_CLIENT;
    if (!way->fin_read || way->fin_told != recorded)
      sim_fail("conn %u.%u: an orderly close without its FIN", conn->index, direction);
    if (way->received != way->written - way->header || (!to_nobody && way->taken != sim_sent_length(conn, direction)))
      sim_fail("conn %u.%u: an orderly close with %llu of %llu bytes forwarded", conn->index, direction,
               (unsigned long long)way->taken, (unsigned long long)(way->written - way->header));
  }
  bool gap = options->on_stall == GG_POLICY_GAP || options->on_full == GG_POLICY_GAP;
  if (recorded && !gap && options->upstream_count > 0 && conn->first_fin != conn->first_fin_told)
    sim_fail("conn %u: the FINs were recorded in the other order", conn->index);
  const char *expected = close_texts[conn->first_fin == GG_FROM_SERVER ? GG_CLOSE_SERVER_FIN : GG_CLOSE_CLIENT_FIN];
  if (options->upstream_count > 0 && strcmp(conn->close, expected) != 0)
    sim_fail("conn %u: closed by %s, not %s", conn->index, conn->close, expected);
}

static bool outlived(const struct sim_conn *conn, uint64_t timeout_ns)
{
  return timeout_ns > 0 && sim.now_ns - conn->session->opened_ns >= timeout_ns;
}

/* Whether the world gave a reason for such an end of a connection whose peers were polite. */
static bool excused(const struct sim_conn *conn, enum gg_close reason)
{
  const struct gg_listener_options *options = options_of(conn);
  switch (reason) {
  case GG_CLOSE_CLIENT_FIN:
  case GG_CLOSE_SERVER_FIN:
    return true;
  case GG_CLOSE_IDLE_TIMEOUT:
    return sim.ever.idle_timeout_ns > 0;
  case GG_CLOSE_FIRST_BYTE_TIMEOUT:
    return outlived(conn, sim.ever.first_byte_timeout_ns) && conn->way[GG_FROM_CLIENT].received == 0;
  case GG_CLOSE_SESSION_TIMEOUT:
    return outlived(conn, sim.ever.session_timeout_ns);
  case GG_CLOSE_STALL_TIMEOUT:
    return outlived(conn, sim.ever.stall_timeout_ns) &&
           (sim_sent_length(conn, GG_FROM_CLIENT) > conn->way[GG_FROM_CLIENT].taken ||
            sim_sent_length(conn, GG_FROM_SERVER) > conn->way[GG_FROM_SERVER].taken);
  case GG_CLOSE_SOURCE_SESSIONS:
    return sim.ever.source_sessions_max > 0 && conn->way[GG_FROM_CLIENT].header > 0;
  case GG_CLOSE_SOURCE_RATE:
    return sim.ever.source_rate_max > 0 && conn->way[GG_FROM_CLIENT].header > 0;
  case GG_CLOSE_PROXY_INVALID: /* its header came in too small pieces */
    return conn->way[GG_FROM_CLIENT].header > 0 && sim.now_ns - conn->session->opened_ns >= 1000000000;
  case GG_CLOSE_CONNECT_REFUSED: /* check_tried has seen that all were tried */
    return conn->listed;
  case GG_CLOSE_CONNECT_TIMEOUT:
    return conn->listed || sim.config.disk_trouble > 0 || conn->backlog_full > 0;
  case GG_CLOSE_UNAVAILABLE:
    return sim.drained > 0;
  case GG_CLOSE_DRAIN:
    return sim.draining && sim.config.drain_early;
  case GG_CLOSE_VERDICT:
    return conn->session->live && conn->session->live->ended;
  case GG_CLOSE_LIMIT:
    return sim.faults_made > 0 || sim.config.options.pending_total < (16u << 20);
  case GG_CLOSE_STALL:
    if (!conn->session->recorded)
      return false;
    return options->on_stall == GG_POLICY_CLOSE || options->on_full == GG_POLICY_CLOSE;
  default:
    return false;
  }
}

/* A session that got none of its listener's upstreams has tried as many as it may, each once. (A list that there was no
 * memory for is not told.) */
static void check_tried(struct sim_conn *conn, json_t *facts, enum gg_close reason)
{
  const struct gg_listener_options *options = &sim.config.listener[conn->listener];
  json_t *tried = json_object_get(facts, "tried");
  size_t count = json_array_size(tried), most = options->upstream_count;
  if (options->health.tries > 0 && options->health.tries < most)
    most = options->health.tries;
  sim.tried += count;
  for (size_t i = 0; i < count; i++)
    for (size_t other = 0; other < i; other++)
      if (json_equal(json_object_get(json_array_get(tried, i), "upstream"),
                     json_object_get(json_array_get(tried, other), "upstream")))
        sim_fail("conn %u: the same upstream was tried twice", conn->index);
  if (count > most || (tried && !conn->listed))
    sim_fail("conn %u: %zu upstreams were tried", conn->index, count);
  bool failed = reason == GG_CLOSE_CONNECT_REFUSED || reason == GG_CLOSE_CONNECT_TIMEOUT;
  if (conn->listed && !conn->diverted && failed && count < most && sim.drained == 0 && sim.faults_made == 0)
    sim_fail("conn %u: %s after %zu of %zu upstreams", conn->index, conn->close, count, most);
}

static void check_end(struct sim_conn *conn, enum gg_close reason)
{
  sim.closes[reason]++;
  if (reason == GG_CLOSE_CLIENT_FIN || reason == GG_CLOSE_SERVER_FIN)
    check_orderly(conn);
  if (conn->polite && !excused(conn, reason))
    sim_fail("conn %u: both peers were polite, but it ended by %s", conn->index, conn->close);
  if (reason == GG_CLOSE_INTERNAL)
    sim_fail("conn %u: ended by %s", conn->index, conn->close);
  conn->over = true;
  conn->session = NULL;
}

/* A session that is not recorded ends without a trace: its own counts are compared, and that nothing was told. */
static void check_off_record(struct sim_conn *conn)
{
  const struct gg_session *session = conn->session;
  bool greeting = session->listener->options->upstream_count == 0;
  snprintf(conn->close, sizeof conn->close, "%s", close_texts[session->close]);
  sim_trace("%u closed, not recorded: %s", conn->index, conn->close);
  for (unsigned direction = 0; direction < 2; direction++) {
    const struct sim_way *way = &conn->way[direction];
    const struct gg_end *from = &session->end[direction];
    if (conn->opened || way->told > 0 || way->fin_told)
      sim_fail("conn %u.%u: it was not to be recorded", conn->index, direction);
    bool partly = greeting && direction == GG_FROM_SERVER &&
                  (from->received == 0 || (session->live && from->received < way->received));
    if (from->received != way->received && !partly && conn->replied != (int)direction)
      sim_fail("conn %u.%u: counts %llu received, it was %llu", conn->index, direction,
               (unsigned long long)from->received, (unsigned long long)way->received);
    if (from->forwarded != way->taken)
      sim_fail("conn %u.%u: counts %llu forwarded, it was %llu", conn->index, direction,
               (unsigned long long)from->forwarded, (unsigned long long)way->taken);
  }
  sim.off_record++;
  check_end(conn, (enum gg_close)session->close);
}

/* The last that is done for a session, whatever became of it. */
void __real_gg__upstream_let_go(struct gg_session *session);
void __wrap_gg__upstream_let_go(struct gg_session *session);
void __wrap_gg__upstream_let_go(struct gg_session *session)
{
  for (unsigned i = 0; i < sim.spawned && !session->recorded; i++)
    if (sim.conns[i].session == session)
      check_off_record(&sim.conns[i]);
  __real_gg__upstream_let_go(session);
}

void sim_check_closed(struct sim_conn *conn, const char *comment, size_t bytes)
{
  json_error_t error;
  json_t *facts = json_loadb(comment, bytes, 0, &error);
  if (!facts)
    sim_fail("conn %u: a closing comment that is no JSON", conn->index);
  const char *close = json_string_value(json_object_get(facts, "close"));
  if (!close || !json_object_get(facts, "id"))
    sim_fail("conn %u: a closing comment without close or id", conn->index);
  snprintf(conn->close, sizeof conn->close, "%s", close);
  sim_trace("%u closed: %.*s", conn->index, (int)bytes, comment);
  check_numbers(conn, facts, GG_FROM_CLIENT);
  check_numbers(conn, facts, GG_FROM_SERVER);
  unsigned reason = 0;
  while (strcmp(close_texts[reason], close) != 0)
    if (++reason == sizeof close_texts / sizeof close_texts[0])
      sim_fail("conn %u: closed by \"%s\"", conn->index, close);
  check_tried(conn, facts, (enum gg_close)reason);
  check_end(conn, (enum gg_close)reason);
  json_decref(facts);
}

/* ── The end of the world ────────────────────────────────────────────────────────────────────────────────────────── */

void sim_check_end(void)
{
  uint64_t unrecorded = 0, unmade = 0;
  for (unsigned i = 0; i < sim.spawned; i++) {
    const struct sim_conn *conn = &sim.conns[i];
    if (conn->accepted && !conn->socket[GG_FROM_CLIENT].closed)
      sim_fail("conn %u: the client's socket was left open", i);
    if (conn->socket[GG_FROM_SERVER].used && !conn->socket[GG_FROM_SERVER].closed &&
        conn->socket[GG_FROM_SERVER].fd >= SIM_FD_BASE)
      sim_fail("conn %u: the server's socket was left open", i);
    if (conn->accepted && !conn->over)
      ++*(conn->session ? &unrecorded : &unmade);
    unrecorded += conn->sent_begun && !conn->sent_over;
    if (conn->over && conn->sent_begun && !conn->sent_over)
      sim_fail("conn %u: it has ended, but not as sent", i);
  }
  if (unrecorded != sim.lost_sessions)
    sim_fail("%llu sessions have no last packet, %llu were counted as lost", (unsigned long long)unrecorded,
             (unsigned long long)sim.lost_sessions);
  /* Of those refused who had a header there is a session. A gateway that could not be made counts nothing. */
  struct gg_reading sessions = {0}, rate = {0};
  if (sim.spawned > 0 && (!metric_named(sim.config.options.metrics, "refused_source_sessions", &sessions) ||
                          !metric_named(sim.config.options.metrics, "refused_source_rate", &rate)))
    sim_fail("nobody counts who is refused");
  if (unmade > sim.faults_made + sessions.value + rate.value + sim_gates_refused())
    sim_fail("%llu connections were accepted and never became sessions", (unsigned long long)unmade);
  struct gg_reading left_out = {0};
  if (sim.spawned > 0)
    metric_named(sim.config.options.metrics, "left_out_bytes", &left_out);
  sim.gaps_counted += left_out.value;
  if (sim.lost_sessions == 0 && sim.gaps_counted != sim.gaps_told)
    sim_fail("%llu bytes counted as missing, %llu told by the closing comments", (unsigned long long)sim.gaps_counted,
             (unsigned long long)sim.gaps_told);
  if (sim_fds_open() > 0)
    sim_fail("%u descriptors were left open", sim_fds_open());
}
