/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edge-triggered, as wire.h promises: a READABLE comes for every delivery, and again when a receive was told less than
 * there was; a WRITABLE comes after a send that was not taken whole.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 64 << 10, IDLE_WAITS_MAX = 20000, SPURIOUS_MAX = 50000 };

void sim_line_wake(struct gg_line *line, unsigned events)
{
  if (!line->closed)
    line->pending |= events;
}

static void wake_later(void *argument, uint64_t events)
{
  sim_line_wake(argument, (unsigned)events);
}

static void wake_soon(struct gg_line *line, unsigned events)
{
  sim_at(sim.now_ns + 1 + sim_below(200000), wake_later, line, events);
}

/* ── Connecting ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void connected(void *argument, uint64_t unused)
{
  (void)unused;
  struct gg_line *line = argument;
  if (line->closed)
    return;
  if (line->connect != SIM_CONNECTS) {
    line->failed = true;
    sim_line_wake(line, GG_WIRE_FAILED);
    return;
  }
  line->open = true;
  sim_line_wake(line, GG_WIRE_CONNECTED | (sim_chance(2) ? GG_WIRE_WRITABLE : 0));
  sim_server_begin(line);
}

static enum sim_connect connect_choose(const struct sim_session *session)
{
  if (session->facts.refused && !sim_chance(sim.config.peaceful ? 0 : 8))
    return SIM_REFUSES;
  if (!sim.config.odd_connects || !sim_chance(4))
    return SIM_CONNECTS;
  return (enum sim_connect)(1 + sim_below(4));
}

static struct gg_line *line_make(struct gg_player *player, gg_wire_fn event, void *sink)
{
  struct gg_line *line = calloc(1, sizeof *line);
  if (sim.line_count == sim.line_room) {
    sim.line_room = sim.line_room ? 2 * sim.line_room : 64;
    sim.lines = realloc(sim.lines, sim.line_room * sizeof(struct gg_line *));
  }
  if (!line || !sim.lines)
    abort();
  line->number = (unsigned)sim.line_count;
  sim.lines[sim.line_count++] = line;
  line->player = player;
  line->session = &sim.script.sessions[player->session];
  line->event = event;
  line->sink = sink;
  line->connect = connect_choose(line->session);
  line->latency_ns = sim_size(sim.config.latency_ns);
  line->room = ROOM;
  line->began_ns = sim.now_ns;
  line->copy = player->copy;
  line->loop = player->loop;
  return line;
}

static int op_connect(struct gg_wire *wire, gg_wire_fn event, void *sink, struct gg_line **out,
                      struct gg_failure *failure)
{
  (void)wire;
  struct gg_player *player = sink;
  int error = 0;
  if ((sim.config.limit_open && sim.open >= sim.config.limit_open) || sim_chance(sim.config.limit))
    error = GG_ERR_LIMIT;
  else if (sim.config.odd_connects && sim_chance(40))
    error = sim_chance(2) ? GG_ERR_IO : GG_ERR_REFUSED;
  sim_check_connect(player, error);
  if (error)
    return gg_fail(failure, error, "no connection");
  struct gg_line *line = line_make(player, event, sink);
  if (++sim.open > sim.peak)
    sim.peak = sim.open;
  uint64_t takes_ns = 2 * line->latency_ns;
  if (sim.config.odd_connects && sim_chance(6))
    takes_ns += sim_size(8 * GG_NS_PER_S);
  sim_trace("%u: session %zu copy %llu loop %llu connects (%d)", line->number, player->session,
            (unsigned long long)player->copy, (unsigned long long)player->loop, (int)line->connect);
  if (line->connect != SIM_NEVER)
    sim_at(sim.now_ns + 1 + takes_ns, connected, line, 0);
  *out = line;
  return 0;
}

static void op_ends(struct gg_line *line, struct gg_addr *local, struct gg_addr *remote)
{
  if (!line->told_connected)
    sim_fail("%u: the ends of what is not connected", line->number);
  *local = (struct gg_addr){.ip = {127, 0, 0, 1}, .port = (uint16_t)(10000 + line->number % 50000), .family = 1};
  *remote = (struct gg_addr){.ip = {127, 0, 0, 2}, .port = 80, .family = 1};
}

static int op_error(struct gg_line *line)
{
  if (!line->failed)
    sim_fail("%u: the error of what has not failed", line->number);
  return line->connect == SIM_REFUSES ? GG_ERR_REFUSED : line->connect == SIM_LIMIT ? GG_ERR_LIMIT : GG_ERR_IO;
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void arrive(void *argument, uint64_t bytes)
{
  struct gg_line *line = argument;
  if (line->reset_sent || (line->closed && line->refuses))
    return;
  line->arrived += bytes;
  if (line->refuses) {
    line->reset_delivered = true;
    sim_line_wake(line, GG_WIRE_READABLE | GG_WIRE_WRITABLE);
    return;
  }
  if (line->deaf)
    return;
  line->room += bytes;
  if (line->wants_room) {
    line->wants_room = false;
    wake_soon(line, GG_WIRE_WRITABLE);
  }
  sim_server_look(line);
}

static void arrive_fin(void *argument, uint64_t unused)
{
  (void)unused;
  struct gg_line *line = argument;
  line->fin_arrived = true;
  sim_server_look(line);
  sim_server_farewell(line);
}

static void usable(const struct gg_line *line, const char *what)
{
  if (line->closed)
    sim_fail("%u: %s after close", line->number, what);
  if (!line->told_connected)
    sim_fail("%u: %s without a connection", line->number, what);
}

static ssize_t op_send(struct gg_line *line, const uint8_t *data, size_t size, bool more)
{
  (void)more;
  usable(line, "send");
  if (size == 0)
    sim_fail("%u: a send of nothing", line->number);
  if (line->fin_sent)
    sim_fail("%u: bytes behind the end", line->number);
  if (line->reset_delivered)
    return GG_ERR_CLOSED;
  if (line->room == 0) {
    line->blocked = line->wants_room = true;
    return GG_ERR_AGAIN;
  }
  if (sim_chance(sim.config.again)) {
    wake_soon(line, GG_WIRE_WRITABLE);
    return GG_ERR_AGAIN;
  }
  size_t taken = size < line->room ? size : (size_t)line->room;
  if (sim_chance(sim.config.short_io)) {
    taken = 1 + (size_t)sim_below(taken);
    if (taken < size)
      wake_soon(line, GG_WIRE_WRITABLE);
  } else if (taken < size)
    line->blocked = line->wants_room = true;
  sim_check_send(line, data, taken);
  line->sent += taken;
  line->room -= taken;
  sim.bytes_sent += taken;
  sim_at(sim.now_ns + line->latency_ns, arrive, line, taken);
  return (ssize_t)taken;
}

static ssize_t receive_end(struct gg_line *line)
{
  if (line->reset_delivered)
    return GG_ERR_CLOSED;
  if (!line->fin_delivered)
    return GG_ERR_AGAIN;
  if (!line->fin_told)
    line->sent_before_fin = line->sent;
  line->fin_told = true;
  return 0;
}

static ssize_t op_receive(struct gg_line *line, uint8_t *data, size_t size)
{
  usable(line, "receive");
  if (size == 0)
    sim_fail("%u: a receive of nothing", line->number);
  uint64_t there = line->delivered - line->read;
  /* Where this process may be stopped for long, what has come is here: else it would have to wait twice to be sure. */
  if (there == 0 || (!sim.config.pause && sim_chance(sim.config.again))) {
    if (there)
      wake_soon(line, GG_WIRE_READABLE);
    return there ? GG_ERR_AGAIN : receive_end(line);
  }
  size_t taken = size < there ? size : (size_t)there;
  if (sim_chance(sim.config.short_io))
    taken = 1 + (size_t)sim_below(taken);
  for (size_t i = 0; i < taken; i++) {
    uint64_t at = line->read + i;
    data[i] = at < line->stream_bytes ? line->stream[at] : 'F';
  }
  line->read += taken;
  sim.bytes_received += taken;
  if (taken < size && (line->read < line->delivered || line->fin_delivered || line->reset_delivered))
    wake_soon(line, GG_WIRE_READABLE);
  if (line->floods)
    sim_server_look(line);
  return (ssize_t)taken;
}

static void op_finish(struct gg_line *line)
{
  usable(line, "finish");
  sim_check_finish(line);
  sim_trace("%u: finish after %llu bytes", line->number, (unsigned long long)line->sent);
  line->fin_sent = true;
  sim_at(sim.now_ns + line->latency_ns, arrive_fin, line, 0);
}

static void op_close(struct gg_line *line, bool reset)
{
  if (line->closed)
    sim_fail("%u: closed twice", line->number);
  sim_trace("%u: close%s after %llu bytes sent, %llu received", line->number, reset ? " by reset" : "",
            (unsigned long long)line->sent, (unsigned long long)line->read);
  line->closed = true;
  line->reset_sent = reset;
  line->pending = 0;
  line->player = NULL; /* used again by another connection */
  if (sim.open-- == sim.config.connections_max)
    sim.full_until_ns = sim.now_ns;
}

static void deliver(void *argument, uint64_t until)
{
  struct gg_line *line = argument;
  if (line->closed || line->reset_delivered)
    return;
  line->delivered = until;
  for (uint64_t i = 0; i < line->session->replies; i++)
    if (line->reply_end[i] <= until && line->reply_ns[i] == UINT64_MAX)
      line->reply_ns[i] = sim.now_ns;
  sim_line_wake(line, GG_WIRE_READABLE);
}

void sim_line_deliver(struct gg_line *line)
{
  uint64_t at_ns = sim.now_ns + line->latency_ns;
  line->last_delivery_ns = at_ns > line->last_delivery_ns ? at_ns : line->last_delivery_ns;
  sim_at(line->last_delivery_ns, deliver, line, line->written);
}

/* ── Waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t op_now(struct gg_wire *wire)
{
  (void)wire;
  sim.now_ns += sim_below(sim.config.cost_ns);
  return sim.now_ns;
}

static bool tell(void)
{
  bool any = false;
  while (sim.lines_closed < sim.line_count && sim.lines[sim.lines_closed]->closed)
    sim.lines_closed++;
  size_t count = sim.line_count - sim.lines_closed, first = (size_t)sim_below(count);
  for (size_t i = 0; i < count; i++) {
    struct gg_line *line = sim.lines[sim.lines_closed + (first + i) % count];
    if (line->told_connected && !line->closed && sim.spurious < SPURIOUS_MAX && sim_chance(sim.config.spurious) &&
        ++sim.spurious)
      line->pending |= sim_chance(2) ? GG_WIRE_READABLE : GG_WIRE_WRITABLE;
    unsigned events = line->pending;
    if (!events || line->closed)
      continue;
    line->pending = 0;
    any = true;
    if (events & GG_WIRE_CONNECTED) {
      line->told_connected = true;
      line->told_ns = sim.now_ns;
      sim.told_made++;
    }
    line->event(line->sink, events);
  }
  return any;
}

static void oversleep(void)
{
  uint64_t until_ns = sim.now_ns + sim_below(sim.config.oversleep_ns);
  if (sim_chance(sim.config.pause)) {
    until_ns += sim_size(2 * GG_NS_PER_S);
    sim.paused = true;
    sim_trace("the process is stopped for %.6f s", (double)(until_ns - sim.now_ns) / 1e9);
  }
  while (sim_next_event(until_ns))
    ;
  sim.now_ns = until_ns > sim.now_ns ? until_ns : sim.now_ns;
}

static void op_wait(struct gg_wire *wire, uint64_t deadline_ns)
{
  (void)wire;
  uint64_t before_ns = sim.now_ns;
  sim.waits++;
  if (sim.config.spurious) /* else nothing else would ever happen where every wait is told something */
    sim.now_ns += 1 + sim_below(1000);
  bool told = tell();
  while (!told && !sim.interrupted && sim_next_event(deadline_ns))
    told = tell();
  if (!told && !sim.interrupted) {
    if (deadline_ns == UINT64_MAX)
      sim_fail("the replay sleeps for ever");
    if (deadline_ns > sim.now_ns)
      sim.now_ns = deadline_ns;
  }
  sim.interrupted = false;
  if (sim.now_ns > before_ns)
    oversleep();
  sim.idle_waits = sim.now_ns > before_ns ? 0 : sim.idle_waits + 1;
  if (sim.idle_waits > IDLE_WAITS_MAX)
    sim_fail("the replay spins: the time has not changed for %d waits", IDLE_WAITS_MAX);
}

static void op_interrupt(struct gg_wire *wire)
{
  (void)wire;
  sim.interrupted = true;
}

static const struct gg_wire_ops wire_ops = {
  .now = op_now,
  .connect = op_connect,
  .ends = op_ends,
  .error = op_error,
  .send = op_send,
  .receive = op_receive,
  .finish = op_finish,
  .close = op_close,
  .wait = op_wait,
  .interrupt = op_interrupt,
};

void sim_wire_begin(void)
{
  sim.wire.ops = &wire_ops;
}

void sim_wire_end(void)
{
  for (size_t i = 0; i < sim.line_count; i++) {
    sim_server_free(sim.lines[i]);
    free(sim.lines[i]);
  }
  free(sim.lines);
  sim.lines = NULL;
  sim.line_count = sim.line_room = 0;
}
