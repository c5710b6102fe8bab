/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reloads at random moments: listeners go and come back, policies, limits and time-outs change. What must hold is what
 * must hold anyway: a session that was accepted is served as before, and nobody who was let in is lost by his
 * listener's going (sockets.c fails if one is closed while somebody waits there).
 */
#include "sim.h"

#include <gogetway/error.h>
#include <string.h>

/* Handshakes that had begun when the listener left end within this time: less than the gateway waits. */
static const uint64_t HANDSHAKE_NS = 400000000;

static void note_timeout(uint64_t *ever_ns, uint64_t timeout_ns)
{
  if (timeout_ns > 0 && (*ever_ns == 0 || timeout_ns < *ever_ns))
    *ever_ns = timeout_ns;
}

/* For checks.c: a session's last packet may be recorded long after it was closed, under other options. */
static void note(const struct gg_plane_options *options)
{
  struct gg_plane_options *ever = &sim.ever;
  note_timeout(&ever->idle_timeout_ns, options->idle_timeout_ns);
  note_timeout(&ever->first_byte_timeout_ns, options->first_byte_timeout_ns);
  note_timeout(&ever->session_timeout_ns, options->session_timeout_ns);
  note_timeout(&ever->stall_timeout_ns, options->stall_timeout_ns);
  note_timeout(&ever->source_sessions_max, options->source_sessions_max);
  note_timeout(&ever->source_rate_max, options->source_rate_max);
}

static void change_options(struct gg_plane_options *options)
{
  static const uint64_t second = 1000000000;
  options->sessions_max = sim_chance(3) ? 1 + sim_below(20) : 0;
  options->splice = (enum gg_splice_mode)sim_below(3);
  options->pending_max = (size_t)4096 << sim_below(5);
  options->connect_timeout_ns = second + sim_below(5 * second);
  options->idle_timeout_ns = sim_chance(2) ? second + sim_below(60 * second) : 0;
  options->session_timeout_ns = sim_chance(4) ? second + sim_below(60 * second) : 0;
  options->first_byte_timeout_ns = sim_chance(4) ? second / 10 + sim_below(10 * second) : 0;
  options->stall_timeout_ns = sim_chance(4) ? second / 10 + sim_below(10 * second) : 0;
}

static void change_listener(struct gg_listener_options *options)
{
  options->record = sim_chance(5) ? GG_RECORD_OFF : GG_RECORD_FULL;
  options->on_stall = (enum gg_policy)sim_below(3);
  options->on_full = (enum gg_policy)sim_below(3);
  options->on_connect_failure = (enum gg_refusal)sim_below(2);
  options->sessions_max = sim_chance(4) ? 1 + sim_below(8) : 0;
}

static void reload_event(void *argument, unsigned number)
{
  (void)argument;
  if (!sim.plane || sim.draining)
    return;
  sim.reload_due = true; /* a worker is between two turns then, as it is in the phase in which it goes over */
  gg_wake_signal(&sim.plane->workers[0]->wake);
  sim_at(sim.now_ns + sim_size(300000000), reload_event, NULL, number);
}

void sim_reloads_begin(void)
{
  note(&sim.config.options);
  if (sim_chance(2))
    sim_at(sim.now_ns + sim_size(100000000), reload_event, NULL, 0);
}

void sim_reload(void)
{
  if (!sim.reload_due || sim.draining)
    return;
  sim.reload_due = false;
  struct gg_plane_options options = sim.config.options;
  struct gg_listener_options all[SIM_LISTENERS], present[SIM_LISTENERS];
  bool gone[SIM_LISTENERS];
  size_t count = 0;
  change_options(&options);
  for (size_t i = 0; i < sim.config.listeners; i++) {
    all[i] = sim.config.listener[i];
    if (sim_chance(2))
      change_listener(&all[i]);
    gone[i] = sim_chance(3) && count + sim.config.listeners - i > 1;
    if (!gone[i])
      present[count++] = all[i];
  }
  options.listeners = present;
  options.listener_count = count;
  uint64_t faults = sim.faults_made;
  struct gg_failure failure = GG_FAILURE_INIT;
  sim.in_gateway = true;
  int error = gg_plane_reload(sim.plane, &options, &failure);
  sim.in_gateway = false;
  sim_trace("reload: %s", error ? failure.message : "done");
  if (error && sim.faults_made == faults)
    sim_fail("gg_plane_reload: %s", failure.message);
  if (error)
    return;
  sim.reloads++;
  options.listeners = sim.config.listener;
  options.listener_count = sim.config.listeners;
  sim.config.options = options;
  note(&options);
  for (size_t i = 0; i < sim.config.listeners; i++) {
    sim.config.listener[i] = all[i];
    if (gone[i] && !sim.gone[i])
      sim.gone_ns[i] = sim.now_ns;
    sim.gone[i] = gone[i];
  }
}

/* Where a client that comes now is let in; -1: nobody listens there, or no more. */
int sim_listener_fd(const struct sim_conn *conn)
{
  const struct gg_endpoint *to = &sim.config.listener[conn->listener].listen;
  for (const struct gg_list *node = sim.plane->bindings.next; node != &sim.plane->bindings; node = node->next) {
    const struct gg_binding *binding = GG_CONTAINER(node, struct gg_binding, node);
    const struct gg_socket *socket = &binding->sockets[0];
    if (binding->listen.port != to->port || strcmp(binding->listen.path, to->path) != 0)
      continue;
    if (socket->state == GG_SOCKET_OPEN)
      return socket->fd;
    /* It had sent its SYN before. */
    if (socket->state == GG_SOCKET_LEAVING && to->family != GG_FAMILY_UNIX && sim.gone[conn->listener] &&
        sim.now_ns < sim.gone_ns[conn->listener] + HANDSHAKE_NS && !sim.draining && sim_chance(2))
      return socket->fd;
  }
  return -1;
}
