/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two plug-ins that look at everything and decide as chance says: they pass, keep back, hold and resume later,
 * throttle, give their gates back and want them again, close, reset, leave hanging, reply; they refuse at accept, wait
 * for the first bytes and leave out of the recording; and they rewrite (rewrites.c). What must hold: each sees every
 * byte once and in order, the second only what the first has passed, and nothing goes on that one of them has not
 * passed.
 */
#include "sim.h"

#include "gateway/live.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  PLUGINS = 2,
  KEEP_MAX = 1500, /* both together less than relay.pending_max: or a direction is held for good */
};
#define LATE_NS UINT64_C(20000000) /* how long a turn may take at the most, in which the world moves on inside calls */

static const char reply_text[] = "HTTP/1.1 403 Forbidden\r\n\r\n";

/* What a plug-in knows of a direction. */
struct seen {
  enum gg_mode mode;
  uint64_t seen;
  uint64_t passed;
  uint64_t due_ns; /* it wants to be called then; 0: it did not say */
  bool holds;
  bool ended;
};

struct known {
  struct gg_session_key key;
  bool open;
  struct seen way[2];
  bool stopped[2];        /* its last word was that nothing goes on ... */
  uint64_t stopped_at[2]; /* ... but what it had passed before */
};

static struct gg_hook_desk desk;
static struct gg_hook *hooks[PLUGINS + 1]; /* the last one is masks.c's */
static struct gg_hook_chain *chain;
static struct known *known[PLUGINS];
static const struct gg_host *hosts[PLUGINS];
static uint64_t refused;

static struct sim_conn *conn_of(const struct gg_live *live)
{
  for (unsigned i = 0; i < sim.spawned; i++)
    if (sim.conns[i].session == live->session)
      return &sim.conns[i];
  sim_fail("a plug-in is called for a session that is no connection's");
}

static unsigned index_of(const void *self)
{
  return self != hosts[0];
}

static struct known *known_of(const void *self, const struct gg_live *live)
{
  return &known[index_of(self)][conn_of(live)->index];
}

/* ── What a close leaves ─────────────────────────────────────────────────────────────────────────────────────────── */

/* A gate parts the two: what all have passed until now, and was received, is owed to the other side. */
static void parts(struct sim_conn *conn, const struct gg_session *session)
{
  for (unsigned direction = 0; direction < 2; direction++) {
    uint64_t owed = gg__live_position(session, (enum gg_direction)direction);
    for (unsigned i = 0; i < PLUGINS; i++) {
      const struct seen *seen = &known[i][conn->index].way[direction];
      if (seen->mode == GG_MODE_GATE && seen->passed < owed)
        owed = seen->passed;
      if (known[i][conn->index].stopped[direction] && known[i][conn->index].stopped_at[direction] < owed)
        owed = known[i][conn->index].stopped_at[direction];
    }
    bool to_nobody = session->end[!direction].source.fd < 0;
    conn->owed[direction] = to_nobody ? 0 : owed;
  }
}

/* PASS or HOLD. */
static void go_by(struct seen *seen, const struct gg_verdict *verdict, uint64_t keep)
{
  seen->holds = verdict->kind == GG_VERDICT_HOLD;
  seen->passed = seen->seen - (seen->ended && !seen->holds && verdict->after_ns == 0 ? 0 : keep);
  bool waits = verdict->after_ns > 0 && (seen->holds || seen->passed < seen->seen);
  seen->due_ns = waits ? sim.now_ns + verdict->after_ns : 0;
}

/* ── Orders of another thread ────────────────────────────────────────────────────────────────────────────────────── */

static void resume_event(void *argument, unsigned packed)
{
  struct known *one = argument;
  unsigned plugin = packed & 1, direction = packed >> 1;
  struct seen *seen = &one->way[direction];
  if (!sim.plane || !one->open || !seen->holds)
    return;
  struct gg_verdict verdict = {.kind = GG_VERDICT_PASS};
  if (sim_chance(6))
    verdict.kind = sim_chance(2) ? GG_VERDICT_RESET : GG_VERDICT_CLOSE;
  else
    verdict.keep = sim_chance(4) ? (size_t)sim_size(KEEP_MAX) : 0;
  if (sim_chance(4))
    verdict.after_ns = 1 + sim_size(100000000);
  int error = hosts[plugin]->resume(hosts[plugin], &one->key, (enum gg_side)direction, &verdict);
  if (error && error != GG_ERR_NOT_FOUND && error != GG_ERR_NOMEM)
    sim_fail("resume: %s", gg_error_text(error));
  if (error == GG_ERR_NOMEM) {
    sim_at(sim.now_ns + 1000000, resume_event, argument, packed);
    return;
  }
}

/* It is carried out. */
void __real_gg__gate_resume(struct gg_session *session, enum gg_direction direction, const struct gg_hook *hook,
                            const struct gg_verdict *verdict);
void __wrap_gg__gate_resume(struct gg_session *session, enum gg_direction direction, const struct gg_hook *hook,
                            const struct gg_verdict *verdict);
void __wrap_gg__gate_resume(struct gg_session *session, enum gg_direction direction, const struct gg_hook *hook,
                            const struct gg_verdict *verdict)
{
  struct sim_conn *conn = conn_of(session->live);
  struct seen *seen = &known[hook != hooks[0]][conn->index].way[direction];
  uint64_t back = seen->seen - seen->passed, keep = verdict->keep < back ? verdict->keep : back;
  bool heard = !session->live->ended && seen->mode == GG_MODE_GATE && (seen->holds || back > 0);
  if (heard && verdict->kind == GG_VERDICT_PASS)
    go_by(seen, verdict, keep);
  else if (heard)
    parts(conn, session);
  __real_gg__gate_resume(session, direction, hook, verdict);
}

static void cut_event(void *argument, unsigned plugin)
{
  struct known *one = argument;
  static const enum gg_verdict_kind kinds[] = {GG_VERDICT_CLOSE, GG_VERDICT_RESET, GG_VERDICT_TARPIT};
  const struct gg_verdict verdict = {.kind = kinds[sim_below(3)], .reason = "by order"};
  if (sim.plane && one->open)
    hosts[plugin]->cut(hosts[plugin], &one->key, &verdict);
}

static void throttle_event(void *argument, unsigned plugin)
{
  struct known *one = argument;
  if (!sim.plane || !one->open)
    return;
  hosts[plugin]->throttle(hosts[plugin], &one->key, (enum gg_side)sim_below(2),
                          sim_chance(2) ? 0 : 50000 + sim_size(100000000));
  hosts[plugin]->tag(hosts[plugin], &one->key, "slow", sim_chance(2));
  struct gg_session_info info = GG_SESSION_INFO_INIT;
  if (hosts[plugin]->find(hosts[plugin], &one->key, &info) == 0 && strcmp(info.key.text, one->key.text) != 0)
    sim_fail("another session was found than the one asked for");
  if (sim_chance(2))
    sim_at(sim.now_ns + sim_size(200000000), throttle_event, argument, plugin);
}

/* ── Callbacks ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg_verdict_kind on_accept(void *self, const struct gg_arrival *arrival)
{
  (void)self;
  (void)arrival;
  if (!sim_chance(40))
    return GG_VERDICT_PASS;
  refused++;
  return sim_chance(3) ? GG_VERDICT_TARPIT : sim_chance(2) ? GG_VERDICT_RESET : GG_VERDICT_CLOSE;
}

static void want(const struct gg_host *host, struct gg_live *live, unsigned direction, enum gg_mode mode)
{
  struct seen *seen = &known_of(host, live)->way[direction];
  const struct gg_end *from = &live->session->end[direction];
  int error = host->want(host, live, (enum gg_side)direction, mode);
  if (error == GG_ERR_NOMEM && mode == GG_MODE_REWRITE)
    return;
  if (error)
    sim_fail("what a plug-in may want was refused");
  if (mode == seen->mode)
    return;
  sim_rewriter_wants(conn_of(live), index_of(host), direction, mode == GG_MODE_REWRITE);
  *seen = (struct seen){.mode = mode};
  seen->seen = seen->passed =
    gg__live_position(live->session, (enum gg_direction)direction) + (from->pipe ? from->pipe->raw : 0);
}

static enum gg_mode some_mode(const struct gg_live *live, unsigned direction)
{
  bool own = direction == GG_FROM_SERVER && !live->session->listener->group; /* a greeting is not rewritten */
  return sim_chance(3)           ? GG_MODE_NONE
         : sim_chance(3)         ? GG_MODE_COUNT
         : sim_chance(2) && !own ? GG_MODE_REWRITE
                                 : GG_MODE_GATE;
}

static void on_open(void *self, struct gg_live *live, struct gg_open *open)
{
  const struct gg_host *host = self;
  struct sim_conn *conn = conn_of(live);
  struct known *one = &known[index_of(self)][conn->index];
  *one = (struct known){.open = true};
  host->key(host, live, &one->key);
  want(host, live, GG_FROM_CLIENT, some_mode(live, GG_FROM_CLIENT));
  want(host, live, GG_FROM_SERVER, some_mode(live, GG_FROM_SERVER));
  if (sim_chance(12))
    open->recording =
      (enum gg_recording)sim_below(GG_RECORDING_OFF); /* the checks know it from the beginning, or not */
  open->record_first = sim_size(100000);
  if (sim_chance(6)) {
    open->hold_first_bytes = (size_t)sim_size(GG_FIRST_MAX);
    open->hold_first_ns = sim_size(500000000);
  }
  if (sim_chance(20))
    sim_at(sim.now_ns + sim_size(300000000), cut_event, one, index_of(self));
  if (sim_chance(4))
    sim_at(sim.now_ns + sim_size(100000000), throttle_event, one, index_of(self));
}

/* In the name of `side`: what gates keep back of what it said goes nowhere. */
static void replies(struct sim_conn *conn, const struct gg_live *live, unsigned side)
{
  const struct gg_session *session = live->session;
  uint64_t waiting = session->end[!side].pending_left;
  uint64_t kept = waiting > 0 ? waiting - gg__gate_free(session, (enum gg_direction)side) : 0;
  const struct gg_pipe *pipe = session->end[side].pipe;
  uint64_t raw = pipe ? pipe->raw : 0;
  sim_replied(conn, side, session->end[side].received + raw, gg__live_position(session, (enum gg_direction)side) + raw,
              kept);
}

static void on_first(void *self, struct gg_live *live, const uint8_t *bytes, size_t length, struct gg_open *open)
{
  (void)self;
  struct sim_conn *conn = conn_of(live);
  if (!sim_same(conn, GG_FROM_CLIENT, 0, bytes, length))
    sim_fail("conn %u: the first bytes are others", conn->index);
  if (!sim_chance(10))
    return;
  open->verdict.kind = GG_VERDICT_REPLY;
  open->verdict.reply = reply_text;
  open->verdict.reply_length = sizeof reply_text - 1;
  replies(conn, live, GG_FROM_SERVER);
}

static void on_count(void *self, struct gg_live *live, enum gg_side from, size_t bytes)
{
  if (known_of(self, live)->way[from].mode != GG_MODE_COUNT || bytes == 0)
    sim_fail("counted without being asked");
  if (sim_chance(30))
    want(self, live, from, some_mode(live, from));
}

static void check_data(const struct seen *seen, const struct sim_conn *conn, unsigned direction,
                       const struct gg_data *data)
{
  if (seen->mode != GG_MODE_GATE || (!data->due && (seen->holds || seen->ended)))
    sim_fail("conn %u.%u: a gate is shown bytes that does not want them now", conn->index, direction);
  if (data->due && (seen->due_ns == 0 || sim.now_ns < seen->due_ns || sim.now_ns > seen->due_ns + LATE_NS))
    sim_fail("conn %u.%u: a gate is called at %llu, and wanted to be at %llu", conn->index, direction,
             (unsigned long long)sim.now_ns, (unsigned long long)seen->due_ns);
  if (data->offset != seen->seen || data->kept != seen->seen - seen->passed)
    sim_fail("conn %u.%u: a gate that has seen %llu is shown %llu", conn->index, direction,
             (unsigned long long)seen->seen, (unsigned long long)data->offset);
  if (!sim_same_sent(conn, direction, data->offset, data->bytes, data->length))
    sim_fail("conn %u.%u: a gate is shown other bytes at %llu", conn->index, direction,
             (unsigned long long)data->offset);
  if ((data->length == 0) != (data->ended || data->due) || (seen->ended && !data->ended))
    sim_fail("conn %u.%u: a gate is shown nothing", conn->index, direction);
}

/* What ends it. False: it goes on. */
static bool end_it(struct sim_conn *conn, struct gg_live *live, unsigned direction, struct gg_verdict *verdict)
{
  if (!sim_chance(60))
    return false;
  static const enum gg_verdict_kind kinds[] = {GG_VERDICT_CLOSE, GG_VERDICT_RESET, GG_VERDICT_TARPIT, GG_VERDICT_REPLY,
                                               GG_VERDICT_DIVERT};
  verdict->kind = kinds[sim_below(sizeof kinds / sizeof kinds[0])];
  verdict->reason = "by chance";
  if (verdict->kind == GG_VERDICT_DIVERT) /* without an upstream: it cannot be done */
    return true;
  verdict->reply = reply_text;
  verdict->reply_length = sizeof reply_text - 1;
  if (verdict->kind == GG_VERDICT_REPLY)
    replies(conn, live, !direction);
  if (verdict->kind == GG_VERDICT_REPLY || verdict->kind == GG_VERDICT_CLOSE)
    parts(conn, live->session);
  return true;
}

/* To any upstream of the list, also the one that it goes to. */
static bool diverts(struct sim_conn *conn, const struct gg_live *live, unsigned direction, struct gg_verdict *verdict)
{
  const struct gg_listener_options *options = &sim.config.listener[conn->listener];
  const struct gg_session *session = live->session;
  if (!sim_chance(10) || direction != GG_FROM_CLIENT || options->upstream_count == 0 ||
      session->end[GG_FROM_CLIENT].forwarded > 0 || session->end[GG_FROM_SERVER].received > 0 ||
      session->end[GG_FROM_SERVER].ended || session->end[GG_FROM_CLIENT].put_off)
    return false;
  verdict->kind = GG_VERDICT_DIVERT;
  verdict->upstream = options->upstreams[sim_below(options->upstream_count)].name;
  conn->diverted = true;
  if (!conn->listed && sim_chance(2))
    conn->backlog_full = 2;
  return true;
}

static void on_gate(void *self, struct gg_live *live, const struct gg_data *data, struct gg_verdict *verdict)
{
  unsigned plugin = index_of(self), direction = data->from;
  struct sim_conn *conn = conn_of(live);
  struct known *one = &known[plugin][conn->index];
  struct seen *seen = &one->way[direction];
  check_data(seen, conn, direction, data);
  seen->seen += data->length;
  seen->ended = data->ended;
  seen->holds = false;
  seen->due_ns = 0;
  if (plugin > 0 && known[0][conn->index].way[direction].mode == GG_MODE_GATE &&
      known[0][conn->index].way[direction].passed < seen->seen && !data->ended)
    sim_fail("conn %u.%u: a gate is shown what the one before has not passed", conn->index, direction);
  if (sim_chance(100)) { /* it gives itself back, and has its last word all the same */
    one->stopped_at[direction] = seen->passed;
    want(self, live, direction, GG_MODE_NONE);
    verdict->kind = sim_chance(2) ? GG_VERDICT_RESET : GG_VERDICT_CLOSE;
    one->stopped[direction] = true;
    parts(conn, live->session);
    return;
  }
  if (diverts(conn, live, direction, verdict)) {
    seen->passed = seen->seen;
    return;
  }
  if (sim_chance(40)) {
    want(self, live, direction, some_mode(live, direction));
    if (seen->mode != GG_MODE_GATE || seen->seen != data->offset + data->length)
      return;
  }
  if (end_it(conn, live, direction, verdict))
    return;
  uint64_t back = seen->seen - seen->passed;
  if (sim_chance(5))
    verdict->keep = (size_t)sim_size(KEEP_MAX);
  if (sim_chance(12)) {
    verdict->kind = GG_VERDICT_HOLD;
    sim_at(sim.now_ns + sim_size(400000000), resume_event, one, plugin | direction << 1);
  }
  if (sim_chance(3))
    verdict->after_ns = 1 + sim_size(200000000);
  go_by(seen, verdict, verdict->keep < back ? verdict->keep : back);
}

static void on_rewrite(void *self, struct gg_live *live, const struct gg_data *data, struct gg_output *output)
{
  unsigned plugin = index_of(self), direction = data->from;
  struct sim_conn *conn = conn_of(live);
  bool last = sim_chance(60);
  if (!sim_rewrite(conn, plugin, hosts[plugin], data, output, last)) {
    known[plugin][conn->index].stopped[direction] = true;
    return;
  }
  if (last)
    want(self, live, direction, GG_MODE_NONE);
  if (last && sim_chance(2))
    want(self, live, direction, some_mode(live, direction));
}

static void on_close(void *self, struct gg_live *live, const struct gg_session_summary *summary)
{
  struct known *one = known_of(self, live);
  if (!one->open || summary->received[0] != live->session->end[0].received)
    sim_fail("closed twice, or with other counts");
  one->open = false;
}

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  (void)config;
  (void)failure;
  hosts[hosts[0] != NULL] = host;
  *self = (void *)(uintptr_t)host;
  return 0;
}

/* ── The rest of the simulation ──────────────────────────────────────────────────────────────────────────────────── */

/* Where the plug-ins could keep something. */
static char store[] = "/tmp/gogetway-simulation-XXXXXX";

static void remove_store(void)
{
  static const char *const folders[] = {"/plugins/first", "/plugins/second", "/plugins/mask", "/plugins", ""};
  char path[sizeof store + 32];
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
    snprintf(path, sizeof path, "%s%s", store, folders[i]);
    rmdir(path);
  }
}

static void make_store(void)
{
  static bool made;
  if (made)
    return;
  if (!mkdtemp(store))
    abort();
  made = true;
  atexit(remove_store);
}

void sim_gates_begin(struct gg_metrics *metrics)
{
  static const char *const names[PLUGINS] = {"first", "second"};
  struct gg_failure failure = GG_FAILURE_INIT;
  hosts[0] = hosts[1] = NULL;
  refused = 0;
  make_store();
  if (gg_hook_desk_init(&desk, metrics, NULL, &gg_plane_hook_sessions, store, &failure) != 0)
    sim_fail("%s", failure.message);
  for (unsigned i = 0; i < PLUGINS; i++) {
    const struct gg_plugin plugin = {
      GG_PLUGIN_HEAD,        .name = names[i],  .create = on_create, .accept = i == 0 ? on_accept : NULL,
      .open = on_open,       .first = on_first, .count = on_count,   .gate = on_gate,
      .rewrite = on_rewrite, .close = on_close};
    known[i] = calloc(sim.config.conns, sizeof *known[i]);
    if (!known[i] || gg_hook_create(&hooks[i], &desk, &plugin, NULL, NULL, NULL, &failure) != 0)
      sim_fail("%s", failure.message);
  }
  if (gg_hook_create(&hooks[PLUGINS], &desk, sim_masks_begin(), NULL, NULL, NULL, &failure) != 0)
    sim_fail("%s", failure.message);
  chain = gg_hook_chain_create(hooks, PLUGINS + 1);
  if (!chain)
    abort();
  sim.config.options.hooks = &desk;
  for (size_t i = 0; i < sim.config.listeners; i++)
    sim.config.listener[i].hooks = sim_chance(2) ? chain : NULL;
}

void sim_gates_set(struct gg_plane *plane)
{
  gg_hook_desk_serve(&desk, plane);
}

void sim_gates_end(void)
{
  gg_hook_chain_unref(chain);
  for (unsigned i = 0; i < PLUGINS + 1; i++)
    gg_hook_unref(hooks[i]);
  gg_hook_desk_stop(&desk);
  gg_hook_reap(&desk);
  gg_hook_desk_fini(&desk);
  for (unsigned i = 0; i < PLUGINS; i++)
    free(known[i]);
  sim_masks_end();
}

uint64_t sim_gates_refused(void)
{
  return refused;
}

bool sim_gates_let(const struct sim_conn *conn, unsigned direction, uint64_t end)
{
  const struct gg_live *live = conn->session ? conn->session->live : NULL;
  if (!live || !live->opened)
    return true;
  if (sim_is_replied(conn, direction) && sim_next_to_go(conn, direction) >= conn->replied_sent)
    return true; /* the reply itself */
  if (sim_is_replied(conn, direction) && end > conn->replied_sent - conn->withheld)
    end = conn->replied_sent - conn->withheld;
  for (unsigned i = 0; i < PLUGINS; i++)
    if (known[i][conn->index].stopped[direction] && end > known[i][conn->index].stopped_at[direction])
      return false;
  for (unsigned i = 0; i < PLUGINS; i++) {
    const struct seen *seen = &known[i][conn->index].way[direction];
    if (seen->mode == GG_MODE_GATE && end > seen->passed)
      return false;
  }
  return true;
}
