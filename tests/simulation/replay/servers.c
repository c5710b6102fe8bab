/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server goes through the acts of the recorded one. An act's bytes are put behind its stream at once, and written in
 * pieces with pauses; then comes the next act, when what triggered it in the recording has come here too.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

enum { FLOOD_WINDOW = 256 << 10, FLOOD_BYTES_MAX = 4 << 20 };

static void append(struct gg_line *line, const void *data, size_t size)
{
  if (size == 0)
    return;
  if (line->stream_bytes + size > line->stream_room) {
    line->stream_room = 2 * (line->stream_bytes + size);
    line->stream = realloc(line->stream, line->stream_room);
    if (!line->stream)
      abort();
  }
  if (data)
    memcpy(line->stream + line->stream_bytes, data, size);
  else
    for (size_t i = 0; i < size; i++)
      line->stream[line->stream_bytes + i] = (uint8_t)sim_random();
  line->stream_bytes += size;
}

static void deliver_end(void *argument, uint64_t reset)
{
  struct gg_line *line = argument;
  if (line->closed)
    return;
  if (reset)
    line->reset_delivered = true;
  else
    line->fin_delivered = true;
  sim_line_wake(line, GG_WIRE_READABLE | (reset ? GG_WIRE_WRITABLE : 0));
}

static void end(struct gg_line *line, bool reset)
{
  sim_trace("%u: the server %s after %llu bytes", line->number, reset ? "resets" : "ends",
            (unsigned long long)line->written);
  uint64_t at_ns = sim.now_ns + line->latency_ns;
  line->last_delivery_ns = at_ns > line->last_delivery_ns ? at_ns : line->last_delivery_ns;
  sim_at(line->last_delivery_ns, deliver_end, line, reset);
  line->done = line->done || reset;
}

/* ── Saying it otherwise ─────────────────────────────────────────────────────────────────────────────────────────── */

/* The whole reply at once, half as long to half as long again, and its terminator. Returns how many acts that was. */
static size_t say_varied(struct gg_line *line)
{
  const struct sim_session *session = line->session;
  const struct sim_act *acts = &session->acts[line->act];
  size_t count = 1;
  uint64_t size = acts[0].length;
  for (; line->act + count < session->act_count && acts[count].kind == SIM_ACT_BYTES && !acts[count].begins_reply;
       count++)
    size += acts[count].length;
  const uint8_t *reply_end = acts[count - 1].data + acts[count - 1].length;
  uint64_t terminator = reply_end[-1] == '\n' ? 2 : 3; /* "\r\n", "\n> " */
  uint64_t body = size > terminator ? size - terminator : 0;
  body = body / 2 + sim_below(body + 1);
  for (uint64_t i = 0; i < body; i++)
    append(line, sim_chance(2) ? "x" : "y", 1);
  append(line, reply_end - terminator, terminator);
  return count;
}

static void say(struct gg_line *line, const struct sim_act *act)
{
  size_t size = act->length;
  bool odd = line->act == line->act_odd;
  if (odd && line->conduct == SIM_SHORT)
    size /= 2;
  append(line, act->gap ? NULL : act->data, size);
  if (odd && line->conduct == SIM_FLIPPED && size > 0 && !act->gap)
    line->stream[line->stream_bytes - 1 - sim_below(size)] ^= (uint8_t)(1 + sim_below(255));
  if (odd && line->conduct == SIM_LONG)
    append(line, NULL, 1 + (size_t)sim_size(3000));
}

/* What it does instead of the act; false: the act. */
static bool misbehave(struct gg_line *line)
{
  if (line->act != line->act_odd)
    return false;
  switch (line->conduct) {
  case SIM_CLOSES:
    line->refuses = line->done = true;
    end(line, false);
    return true;
  case SIM_RESETS:
    end(line, true);
    return true;
  case SIM_HALF:
    line->done = true;
    end(line, false);
    return true;
  case SIM_DEAF:
    line->deaf = line->done = true;
    return true;
  case SIM_MUTE:
    line->done = true;
    return true;
  case SIM_FLOODS:
    line->done = line->floods = true;
    sim_server_look(line);
    return true;
  default:
    return false;
  }
}

/* ── One act after the other ─────────────────────────────────────────────────────────────────────────────────────── */

static void flood(struct gg_line *line)
{
  if (line->written >= line->read + FLOOD_WINDOW || line->written >= FLOOD_BYTES_MAX)
    return;
  line->written += 1 + sim_below(FLOOD_WINDOW);
  sim_line_deliver(line);
}

static void act_done(struct gg_line *line, size_t acts)
{
  const struct sim_act *last = &line->session->acts[line->act + acts - 1];
  if (last->kind == SIM_ACT_BYTES && last->ends_reply)
    line->reply_end[last->reply] = line->stream_bytes;
  line->act += acts;
}

static void write_pieces(void *argument, uint64_t pause_max_ns)
{
  struct gg_line *line = argument;
  if (line->written < line->stream_bytes) {
    uint64_t left = line->stream_bytes - line->written;
    line->written += sim_chance(3) ? 1 + sim_below(left) : left;
    sim_line_deliver(line);
  }
  if (line->written < line->stream_bytes) {
    sim_at(sim.now_ns + sim_size(pause_max_ns), write_pieces, line, pause_max_ns);
    return;
  }
  line->act_waits = false;
  sim_server_look(line);
}

static void act_run(void *argument, uint64_t unused)
{
  (void)unused;
  struct gg_line *line = argument;
  const struct sim_act *act = &line->session->acts[line->act];
  line->act_waits = false;
  if (line->done || misbehave(line))
    return;
  if (act->kind != SIM_ACT_BYTES) {
    act_done(line, 1);
    end(line, act->kind == SIM_ACT_RESET);
    sim_server_look(line);
    return;
  }
  line->act_waits = true;
  if (line->conduct == SIM_VARIED && act->begins_reply)
    act_done(line, say_varied(line));
  else {
    say(line, act);
    act_done(line, 1);
  }
  write_pieces(line, sim.config.slow ? 0 : act->pause_max_ns);
}

void sim_server_look(struct gg_line *line)
{
  if (line->floods) {
    flood(line);
    return;
  }
  if (line->done || line->act_waits)
    return;
  if (line->act == line->session->act_count) {
    misbehave(line);
    line->done = true;
    return;
  }
  const struct sim_act *act = &line->session->acts[line->act];
  /* One that has said all may close without having heard all. */
  bool hasty = line->conduct == SIM_CLOSES && line->act == line->act_odd && act->kind == SIM_ACT_FIN;
  if (!hasty && (line->arrived < act->trigger || (act->trigger_fin && !line->fin_arrived)))
    return;
  line->act_waits = true;
  bool free = act->begins_reply || act->kind != SIM_ACT_BYTES;
  uint64_t delay_ns = free || act->delay_ns < act->pause_max_ns ? act->delay_ns : act->pause_max_ns;
  if (!sim.config.slow)
    delay_ns = sim_size(free ? sim.config.delay_ns : act->pause_max_ns);
  sim_at(sim.now_ns + delay_ns, act_run, line, 0);
}

void sim_server_farewell(struct gg_line *line)
{
  bool all_said = line->act == line->session->act_count && line->written == line->stream_bytes;
  if (line->conduct != SIM_AS_RECORDED || !line->session->open_end || !all_said || line->closed)
    return;
  if (sim_chance(2)) {
    append(line, NULL, 1 + (size_t)sim_size(100));
    line->written = line->stream_bytes;
    sim_line_deliver(line);
  }
  if (sim_chance(2))
    end(line, sim_chance(2));
}

static enum sim_conduct conduct_choose(const struct sim_session *session)
{
  if (sim.config.peaceful || sim_chance(4))
    return SIM_AS_RECORDED;
  if (session->lines && session->facts.gaps == 0 && sim_chance(2))
    return SIM_VARIED;
  enum sim_conduct conduct = (enum sim_conduct)sim_below(SIM_CONDUCTS);
  return conduct == SIM_VARIED ? SIM_MUTE : conduct;
}

void sim_server_begin(struct gg_line *line)
{
  uint64_t replies = line->session->replies;
  line->conduct = conduct_choose(line->session);
  line->act_odd = (size_t)sim_below(line->session->act_count + 1);
  line->reply_end = malloc((replies + 1) * sizeof *line->reply_end);
  line->reply_ns = malloc((replies + 1) * sizeof *line->reply_ns);
  if (!line->reply_end || !line->reply_ns)
    abort();
  memset(line->reply_end, 0xff, (replies + 1) * sizeof *line->reply_end);
  memset(line->reply_ns, 0xff, (replies + 1) * sizeof *line->reply_ns);
  sim_trace("%u: connected, the server's conduct is %d from act %zu of %zu on", line->number, (int)line->conduct,
            line->act_odd, line->session->act_count);
  if (line->conduct == SIM_SPEAKS) {
    append(line, "what?", 5);
    line->written = 5;
    sim_line_deliver(line);
  }
  sim_server_look(line);
}

void sim_server_free(struct gg_line *line)
{
  free(line->stream);
  free(line->reply_end);
  free(line->reply_ns);
}
