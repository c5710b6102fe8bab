/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/live.h"

#include "base/clock.h"
#include "base/logger.h"
#include "gateway/observe.h"
#include "gateway/relay.h"
#include "gateway/rewrite.h"
#include "gateway/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void copy_text(char *to, size_t size, const char *text)
{
  size_t length = text ? strnlen(text, size - 1) : 0;
  memcpy(to, text ? text : "", length);
  to[length] = '\0';
}

/* ── Making and ending ───────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_live *gg__live_get(struct gg_session *session)
{
  if (session->live)
    return session->live;
  const struct gg_hook_chain *chain = session->listener->options->hooks;
  unsigned count = chain ? chain->count : 0;
  struct gg_live *live = calloc(1, sizeof *live + count * sizeof live->hooks[0]);
  if (!live)
    return NULL;
  live->session = session;
  live->chain = chain;
  live->way[GG_FROM_CLIENT].record_most = live->way[GG_FROM_SERVER].record_most = UINT64_MAX;
  session->live = live;
  session->end[GG_FROM_CLIENT].engaged = session->end[GG_FROM_SERVER].engaged = true; /* until it is judged */
  return live;
}

void gg__live_destroy(struct gg_live *live)
{
  if (!live)
    return;
  gg__observe_end_all(live);
  gg_alarm_stop(&live->session->worker->live_alarms, &live->alarm);
  gg__rewrite_fini(live);
  gg__messages_fini(live);
  gg__mask_forget(&live->way[GG_FROM_CLIENT]);
  gg__mask_forget(&live->way[GG_FROM_SERVER]);
  free(live->upstream);
  free(live->reply);
  free(live);
}

void gg__live_wake_at(struct gg_live *live, uint64_t at_ns)
{
  if (!gg_alarm_is_set(&live->alarm) || at_ns < live->alarm.at_ns)
    gg_alarm_set(&live->session->worker->live_alarms, &live->alarm, at_ns);
}

/* ── Accept ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void refuse(struct gg_worker *worker, int fd, enum gg_verdict_kind kind)
{
  gg__count(worker, GG_COUNT_HOOK_REFUSED, 1);
  if (kind == GG_VERDICT_TARPIT) {
    gg__tarpit_take(worker, fd);
    return;
  }
  if (kind != GG_VERDICT_CLOSE) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  } else { /* what it has said by now must not reset it; nobody waits for more */
    shutdown(fd, SHUT_WR);
    while (recv(fd, worker->scratch, GG_READ_BULK_BYTES, MSG_DONTWAIT) < 0 && errno == EINTR)
      continue;
  }
  close(fd);
}

bool gg__live_accept(struct gg_listener *listener, int fd, const struct gg_addr *peer)
{
  const struct gg_hook_chain *chain = listener->options->hooks;
  if (!gg_hook_chain_has(chain, GG_HOOK_ACCEPT))
    return true;
  char text[GG_ADDR_TEXT_MAX] = "unix";
  struct gg_arrival arrival = {.size = sizeof arrival, .listener = listener->options->name, .peer = text};
  if (peer->family != GG_FAMILY_UNIX) {
    gg_addr_format(peer, text, sizeof text);
    arrival.family = peer->family == GG_FAMILY_IPV4 ? 4 : 6;
    arrival.port = peer->port;
    memcpy(arrival.ip, peer->ip, sizeof arrival.ip);
  }
  const struct gg_hook *by = NULL;
  enum gg_verdict_kind kind = gg_hook_accept(chain, listener->worker->shard, &arrival, &by);
  if (kind == GG_VERDICT_PASS)
    return true;
  refuse(listener->worker, fd, kind);
  return false;
}

/* ── Verdicts ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A reason may come from what was sent; in the recording and in messages it is plain text. */
static void copy_reason(char to[GG_REASON_MAX], const char *reason)
{
  copy_text(to, GG_REASON_MAX, reason);
  for (; *to; to++)
    if (*to < ' ' || *to > '~')
      *to = '?';
}

void gg__live_mode_set(struct gg_live *live, unsigned index, enum gg_direction direction, enum gg_mode mode)
{
  const struct gg_hook *hook = live->chain->hooks[index];
  struct gg_shard *shard = live->session->worker->shard;
  gg_hook_mode_count(hook, shard, (enum gg_mode)live->hooks[index].mode[direction], false);
  gg_hook_mode_count(hook, shard, mode, true);
  live->hooks[index].mode[direction] = (uint8_t)mode;
}

/* All directions, as they are now: when the session opens, and when it has ended. */
static void count_modes(const struct gg_live *live, bool more)
{
  for (unsigned i = 0; i < live->chain->count; i++)
    for (unsigned direction = 0; direction < 2; direction++)
      gg_hook_mode_count(live->chain->hooks[i], live->session->worker->shard,
                         (enum gg_mode)live->hooks[i].mode[direction], more);
}

/* No plug-in is asked any more, but for masks: what the client still says may be a secret too. */
static void note(struct gg_live *live, const char *by, const struct gg_verdict *verdict)
{
  live->ended = true;
  live->session->end[GG_FROM_CLIENT].engaged = live->session->end[GG_FROM_SERVER].engaged = true;
  live->kind = (uint8_t)verdict->kind;
  copy_text(live->by, sizeof live->by, by);
  copy_reason(live->reason, verdict->reason);
  for (unsigned i = 0; i < 2; i++) {
    gg__rewrite_drop(live, (enum gg_direction)i);
    live->way[i].counts = live->way[i].gates = live->way[i].rewrites = 0;
    live->way[i].rate = 0;
  }
  gg__messages_fini(live);
  for (unsigned i = 0; live->chain && i < live->chain->count; i++)
    for (unsigned direction = 0; direction < 2; direction++)
      if (live->hooks[i].mode[direction] != GG_MODE_NONE)
        gg__live_mode_set(live, i, (enum gg_direction)direction, GG_MODE_NONE);
}

void gg__live_hang(struct gg_session *session)
{
  struct gg_end *client = &session->end[GG_FROM_CLIENT];
  struct gg_worker *worker = session->worker;
  if (client->source.fd < 0)
    return;
  gg__end_leave(session, client);
  gg_source_forget(&client->source);
  gg__tarpit_take(worker, client->source.fd);
  client->source.fd = -1;
}

void gg__live_end(struct gg_session *session, enum gg_direction from, const char *by, const struct gg_verdict *verdict,
                  uint64_t stands)
{
  struct gg_live *live = gg__live_get(session);
  bool orderly = verdict->kind == GG_VERDICT_CLOSE || verdict->kind == GG_VERDICT_REPLY;
  if (!live) {
    gg__session_close(session, GG_CLOSE_LIMIT);
    return;
  }
  if (orderly && gg__lingers(session)) /* it ends that way already */
    return;
  if (orderly) {
    gg__gate_drop(session, from, stands);
    uint32_t waiting = session->end[from].pending_left;
    gg__gate_drop(session, !from, UINT64_MAX);
    live->withheld = 0;
    if (verdict->kind == GG_VERDICT_REPLY)
      live->withheld = waiting - session->end[from].pending_left + (uint32_t)gg__rewrite_drop(live, !from);
  }
  note(live, by, verdict);
  gg__count(session->worker, GG_COUNT_HOOK_ENDED, 1);
  if (orderly)
    gg__linger_begin(session, from, verdict);
  else
    gg__session_close(session, GG_CLOSE_VERDICT);
}

/* ── Open, and the first bytes ───────────────────────────────────────────────────────────────────────────────────── */

/* Takes over what `open` or `first` have said. False: the session is over. */
static bool apply(struct gg_session *session, const struct gg_hook *by)
{
  struct gg_live *live = session->live;
  struct gg_open *open = &live->open;
  if (open->recording == GG_RECORDING_OFF)
    session->recorded = false;
  uint64_t most = open->recording == GG_RECORDING_METADATA ? 0
                  : open->recording == GG_RECORDING_FIRST  ? open->record_first
                                                           : UINT64_MAX;
  live->way[GG_FROM_CLIENT].record_most = live->way[GG_FROM_SERVER].record_most = most;
  if (open->verdict.kind != GG_VERDICT_PASS) {
    gg__live_end(session, GG_FROM_CLIENT, by ? by->name : "", &open->verdict, UINT64_MAX);
    return false;
  }
  char *upstream = open->upstream ? strdup(open->upstream) : NULL;
  if (open->upstream && !upstream) {
    gg__session_close(session, GG_CLOSE_LIMIT);
    return false;
  }
  free(live->upstream);
  live->upstream = upstream;
  open->upstream = upstream; /* what the plug-in gave is its own again */
  open->verdict = (struct gg_verdict){.kind = GG_VERDICT_PASS};
  return true;
}

bool gg__live_open(struct gg_session *session)
{
  const struct gg_hook_chain *chain = session->listener->options->hooks;
  struct gg_worker *worker = session->worker;
  if (!chain || chain->count == 0)
    return true;
  struct gg_live *live = gg__live_get(session);
  if (!live) {
    gg__session_close(session, GG_CLOSE_LIMIT);
    return false;
  }
  const struct gg_hook *by = NULL;
  live->open = (struct gg_open){.size = sizeof live->open};
  live->asking = true;
  count_modes(live, true);
  gg_hook_open(chain, worker->shard, live, &live->open, &by);
  live->asking = false;
  live->opened = true;
  if (!apply(session, by))
    return false;
  if (live->open.hold_first_bytes == 0 || live->open.hold_first_ns == 0 || !session->listener->group)
    return true;
  if (live->open.hold_first_bytes > GG_FIRST_MAX)
    live->open.hold_first_bytes = GG_FIRST_MAX;
  live->waits_first = true;
  live->first_until_ns = worker->loop.now_ns + live->open.hold_first_ns;
  session->state = GG_STATE_SNIFFING;
  gg__live_wake_at(live, live->first_until_ns);
  gg__live_first(session); /* they may be there already, and no event would tell of them again */
  return false;
}

void gg__live_first(struct gg_session *session)
{
  struct gg_live *live = session->live;
  struct gg_worker *worker = session->worker;
  struct gg_end *client = &session->end[GG_FROM_CLIENT];
  size_t wanted = live->open.hold_first_bytes;
  ssize_t got;
  do
    got = recv(client->source.fd, worker->scratch, wanted, MSG_PEEK | MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno != EAGAIN) {
    gg__session_close(session, GG_CLOSE_CLIENT_RESET);
    return;
  }
  bool ended = got == 0 || client->hung_up;
  size_t length = got > 0 ? (size_t)got : 0;
  if (length < wanted && !ended && worker->loop.now_ns < live->first_until_ns)
    return;
  live->waits_first = false;
  const struct gg_hook *by = NULL;
  live->asking = true;
  gg_hook_first(live->chain, worker->shard, live, worker->scratch, length, &live->open, &by);
  live->open.hold_first_bytes = 0; /* it was asked */
  live->asking = false;
  if (apply(session, by))
    gg__session_go_on(session);
}

/* ── Close ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__live_close(struct gg_session *session)
{
  struct gg_live *live = session->live;
  if (!live)
    return;
  gg_alarm_stop(&session->worker->live_alarms, &live->alarm);
  if (!live->opened)
    return;
  struct gg_session_summary summary = {
    .size = sizeof summary,
    .close = gg__close_text(session->close),
    .reason = live->reason,
    .plugin = live->by,
    .duration_ns = gg_clock_mono_ns() - session->opened_ns,
  };
  for (unsigned i = 0; i < 2; i++) {
    summary.received[i] = session->end[i].received;
    summary.forwarded[i] = session->end[i].forwarded;
  }
  gg_hook_close(live->chain, session->worker->shard, live, &summary);
  count_modes(live, false);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__live_received(struct gg_session *session, enum gg_direction direction, size_t bytes)
{
  struct gg_live *live = session->live;
  struct gg_way *way = &live->way[direction];
  if (way->rewrites > 0 && !session->end[direction].pipe) { /* what is in a pipe goes on as it is */
    way->shift -= bytes;
    way->entering = bytes;
  }
  if (way->rate > 0) {
    uint64_t now_ns = session->worker->loop.now_ns;
    uint64_t from_ns = way->ready_ns > now_ns ? way->ready_ns : now_ns;
    way->ready_ns = from_ns + (uint64_t)((double)bytes * 1e9 / (double)way->rate);
  }
  for (unsigned i = 0; way->counts > 0 && i < live->chain->count; i++)
    if (live->hooks[i].mode[direction] == GG_MODE_COUNT)
      gg_hook_count(live->chain->hooks[i], session->worker->shard, live, (enum gg_side)direction, bytes);
}

bool gg__live_may_read(struct gg_session *session, enum gg_direction direction)
{
  struct gg_live *live = session->live;
  const struct gg_way *way = &live->way[direction];
  if (gg__gate_holds(session, direction) || gg__live_read_size(session, direction, 1) == 0)
    return false;
  if (way->rate == 0 || way->ready_ns <= session->worker->loop.now_ns)
    return true;
  gg__live_wake_at(live, way->ready_ns);
  return false;
}

size_t gg__live_room(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_end *to = &session->end[!direction];
  size_t kept_most = session->worker->options->pending_max;
  kept_most = kept_most < GG_READ_BULK_BYTES ? kept_most : GG_READ_BULK_BYTES; /* the largest buffer there is */
  return kept_most > to->pending_left ? kept_most - to->pending_left : 0;
}

size_t gg__live_read_size(const struct gg_session *session, enum gg_direction direction, size_t bytes)
{
  const struct gg_live *live = session->live;
  const struct gg_way *way = &live->way[direction];
  size_t room = live->ended ? bytes : gg__live_room(session, direction);
  bytes = bytes < room ? bytes : room;
  if (way->rate > 0) {
    uint64_t share = way->rate / GG_THROTTLE_READS_A_SECOND;
    bytes = share >= bytes ? bytes : share > 0 ? (size_t)share : bytes > 0;
  }
  uint64_t received = session->end[direction].received;
  uint64_t recordable = way->record_most > received ? way->record_most - received : 0;
  return recordable > 0 && recordable < bytes ? (size_t)recordable : bytes;
}

bool gg__live_may_splice(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_live *live = session->live;
  if (!live)
    return true;
  const struct gg_way *way = &live->way[direction];
  return !live->ended && !gg__mask_on(session, direction) && !live->messages && way->gates == 0 && way->rewrites == 0 &&
         way->rate == 0 && way->record_most == UINT64_MAX;
}

bool gg__live_engaged(const struct gg_session *session, enum gg_direction direction)
{
  if (!session->live)
    return false;
  const struct gg_way *way = &session->live->way[direction];
  return !gg__live_may_splice(session, direction) || way->counts > 0 || way->observers > 0 || way->again ||
         way->entering > 0 || way->stage.length > 0;
}

bool gg__live_records(const struct gg_session *session, enum gg_direction direction)
{
  return session->end[direction].received < session->live->way[direction].record_most;
}

void gg__live_throttle(struct gg_session *session, enum gg_direction direction, uint64_t bytes_per_second)
{
  struct gg_live *live = gg__live_get(session);
  if (!live || live->ended)
    return;
  struct gg_way *way = &live->way[direction];
  way->rate = bytes_per_second;
  way->ready_ns = 0;
  gg__session_judge(session, direction);
  if (gg_list_empty(&session->end[direction].run))
    gg_list_append(&session->worker->run, &session->end[direction].run);
}

void gg__live_adopt(struct gg_worker *worker)
{
  for (struct gg_list *node = worker->sessions.next; node != &worker->sessions; node = node->next) {
    struct gg_session *session = GG_CONTAINER(node, struct gg_session, node);
    for (unsigned i = 0; session->live && i < 2; i++)
      if (session->end[!i].pending && gg_list_empty(&session->end[i].run))
        gg_list_append(&worker->run, &session->end[i].run);
  }
}

/* A direction whose throttle lets it read again has its turn. */
static void run_throttled(struct gg_live *live, uint64_t now_ns)
{
  struct gg_session *session = live->session;
  for (unsigned i = 0; i < 2; i++) {
    const struct gg_way *way = &live->way[i];
    if (way->rate == 0 || !session->end[i].readable)
      continue;
    if (way->ready_ns > now_ns)
      gg__live_wake_at(live, way->ready_ns);
    else if (gg_list_empty(&session->end[i].run))
      gg_list_append(&session->worker->run, &session->end[i].run);
  }
}

void gg__live_expired(struct gg_alarm *alarm, uint64_t now_ns)
{
  struct gg_live *live = GG_CONTAINER(alarm, struct gg_live, alarm);
  struct gg_session *session = live->session;
  uint64_t until_ns = live->waits_first ? live->first_until_ns : live->linger_until_ns;
  if (until_ns > now_ns)
    gg__live_wake_at(live, until_ns);
  else if (live->waits_first) /* what comes meanwhile is an event */
    gg__live_first(session);
  else if (until_ns > 0)
    gg__session_close(session, GG_CLOSE_VERDICT);
  if (until_ns > 0)
    return;
  run_throttled(live, now_ns);
  gg__gate_due(session, now_ns);
}
