/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings: what was said, when, and how it ended; and the same seen from the server, as acts and their triggers. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grow(void *array, size_t count, size_t each)
{
  if (count & (count - 1))
    return array;
  void *larger = realloc(array, (count ? 2 * count : 1) * each);
  if (!larger)
    abort();
  return larger;
}

/* ── One session, step by step ───────────────────────────────────────────────────────────────────────────────────── */

void sim_session_begin(struct sim_session *session, size_t index, uint64_t start_ns, uint32_t service)
{
  *session = (struct sim_session){.facts = {.start_ns = start_ns, .service = service}};
  snprintf(session->facts.id, sizeof session->facts.id, "%024zx", index);
}

static uint64_t next_offset(const struct sim_session *session, bool server)
{
  for (size_t i = session->step_count; i-- > 0;) {
    const struct gg_step *step = &session->steps[i];
    bool of_server = step->kind == GG_STEP_EXPECT || step->kind == GG_STEP_EXPECT_GAP;
    bool of_client = step->kind == GG_STEP_SEND || step->kind == GG_STEP_SEND_GAP;
    if (server ? of_server : of_client)
      return step->offset + step->length + step->gap;
  }
  return 0;
}

void sim_session_step(struct sim_session *session, enum gg_step_kind kind, uint64_t time_ns, const void *data,
                      uint32_t length, bool begins_chunk)
{
  bool server = kind == GG_STEP_EXPECT || kind == GG_STEP_EXPECT_GAP;
  bool bytes = kind == GG_STEP_SEND || kind == GG_STEP_EXPECT;
  bool gap = kind == GG_STEP_SEND_GAP || kind == GG_STEP_EXPECT_GAP;
  struct gg_step step = {.time_ns = time_ns,
                         .offset = bytes || gap ? next_offset(session, server) : 0,
                         .place = session->byte_count[server],
                         .gap = gap ? length : 0,
                         .length = bytes ? length : 0,
                         .kind = (uint8_t)kind,
                         .begins_chunk = begins_chunk};
  if (bytes) {
    if (session->byte_count[server] + length > session->byte_room[server]) {
      session->byte_room[server] = 2 * (session->byte_count[server] + length);
      session->bytes[server] = realloc(session->bytes[server], session->byte_room[server]);
      if (!session->bytes[server])
        abort();
    }
    memcpy(session->bytes[server] + session->byte_count[server], data, length);
    session->byte_count[server] += length;
    session->facts.bytes[server] += length;
  }
  session->facts.gaps += step.gap;
  session->steps = grow(session->steps, session->step_count, sizeof *session->steps);
  session->steps[session->step_count++] = step;
}

/* ── The same from the server's place ────────────────────────────────────────────────────────────────────────────── */

/* What lies behind us while the steps are walked. */
struct walk {
  uint64_t client, server, server_ns, replies;
  bool client_fin, server_end, in_reply;
  size_t reply_from; /* its first act */
  uint64_t reply_at; /* its first byte */
  uint64_t pause_ns;
};

static void end_reply(struct sim_session *session, struct walk *walk)
{
  if (!walk->in_reply)
    return;
  walk->in_reply = false;
  uint64_t pause_ns = walk->pause_ns < GG_NS_PER_S ? walk->pause_ns : GG_NS_PER_S;
  pause_ns = pause_ns * 9 / 10 > 14 * SIM_MS ? pause_ns * 9 / 10 : 14 * SIM_MS;
  struct sim_act *last = NULL;
  for (size_t i = walk->reply_from; i < session->act_count; i++) {
    session->acts[i].pause_max_ns = pause_ns;
    if (session->acts[i].kind == SIM_ACT_BYTES)
      last = &session->acts[i];
  }
  if (last)
    last->ends_reply = true;
  walk->replies++;
}

static void walk_client(struct sim_session *session, struct walk *walk, const struct gg_step *step)
{
  bool replied = walk->in_reply;
  end_reply(session, walk);
  walk->client_fin = walk->client_fin || step->kind == GG_STEP_SEND_END;
  if (step->kind != GG_STEP_SEND)
    return;
  session->sends = grow(session->sends, session->send_count, sizeof *session->sends);
  session->sends[session->send_count++] = (struct sim_send){
    .from = walk->client,
    .length = step->length,
    .time_ns = step->time_ns,
    .begins_chunk = step->begins_chunk,
    .replied = replied,
    .ends = walk->server_end,
    .server_at = walk->server,
    .server_ns = walk->server_ns,
    .any_reply = walk->replies > 0,
    .reply = walk->replies - 1,
    .reply_from = walk->reply_at,
  };
  walk->client += step->length;
  session->facts.chunks += step->begins_chunk;
  session->facts.dependent += step->begins_chunk && replied;
}

static void walk_server(struct sim_session *session, struct walk *walk, const struct gg_step *step, uint64_t delay_ns)
{
  bool bytes = step->kind == GG_STEP_EXPECT || step->kind == GG_STEP_EXPECT_GAP;
  session->acts = grow(session->acts, session->act_count, sizeof *session->acts);
  struct sim_act *act = &session->acts[session->act_count++];
  *act = (struct sim_act){.kind = bytes                              ? SIM_ACT_BYTES
                                  : step->kind == GG_STEP_EXPECT_END ? SIM_ACT_FIN
                                                                     : SIM_ACT_RESET,
                          .trigger = walk->client,
                          .trigger_fin = walk->client_fin,
                          .begins_reply = !walk->in_reply,
                          .pause_max_ns = 14 * SIM_MS,
                          .delay_ns = delay_ns,
                          .reply = walk->replies,
                          .gap = step->kind == GG_STEP_EXPECT_GAP,
                          .data = session->bytes[1] ? session->bytes[1] + step->place : NULL,
                          .length = step->kind == GG_STEP_EXPECT_GAP ? (uint32_t)step->gap : step->length};
  if (!bytes) {
    walk->server_end = true;
    return;
  }
  if (!walk->in_reply) {
    walk->in_reply = true;
    walk->reply_from = session->act_count - 1;
    walk->reply_at = walk->server;
    walk->pause_ns = 0;
  } else if (step->time_ns - walk->server_ns > walk->pause_ns)
    walk->pause_ns = step->time_ns - walk->server_ns;
  walk->server += act->length;
  walk->server_ns = step->time_ns;
}

void sim_session_end(struct sim_session *session, uint64_t time_ns)
{
  struct walk walk = {0};
  sim_session_step(session, GG_STEP_OVER, time_ns, NULL, 0, false);
  session->facts.end_ns = time_ns;
  session->recorded_ns = time_ns - session->facts.start_ns;
  for (size_t i = 0; i < session->step_count; i++) {
    const struct gg_step *step = &session->steps[i];
    uint64_t delay_ns = step->time_ns - (i > 0 ? step[-1].time_ns : session->facts.start_ns);
    switch ((enum gg_step_kind)step->kind) {
    case GG_STEP_SEND:
    case GG_STEP_SEND_GAP:
    case GG_STEP_SEND_END:
    case GG_STEP_SEND_RESET:
      walk_client(session, &walk, step);
      break;
    case GG_STEP_EXPECT:
    case GG_STEP_EXPECT_GAP:
    case GG_STEP_EXPECT_END:
    case GG_STEP_EXPECT_RESET:
      walk_server(session, &walk, step, delay_ns);
      break;
    case GG_STEP_OVER:
      break;
    }
  }
  session->replies = walk.replies + walk.in_reply;
  session->open_end = !walk.client_fin && !walk.server_end;
}

/* ── Random dialogs ──────────────────────────────────────────────────────────────────────────────────────────────── */

enum style { LINES, PROMPTS, FIXED, FREE, STYLES };

struct service {
  enum style style;
  bool greets;
  uint32_t fixed;
  uint32_t size_max;
};

static struct service services[SIM_SERVICES];
static uint8_t scratch[GG_STEP_BYTES_MAX * 4];

/* Bytes with no terminator in them. */
static void fill(uint8_t *data, size_t size, enum style style)
{
  static const char lines[] = "abcdefgh \r", prompts[] = "abcdefgh \n";
  for (size_t i = 0; i < size; i++)
    data[i] = style == LINES     ? (uint8_t)lines[sim_below(sizeof lines - 1)]
              : style == PROMPTS ? (uint8_t)prompts[sim_below(sizeof prompts - 1)]
                                 : (uint8_t)sim_random();
}

static uint32_t reply_make(const struct service *service)
{
  uint32_t size = 1 + (uint32_t)sim_size(service->size_max);
  switch (service->style) {
  case LINES:
    fill(scratch, size, LINES);
    memcpy(scratch + size, "\r\n", 2);
    return size + 2;
  case PROMPTS:
    fill(scratch, size, PROMPTS);
    memcpy(scratch + size, "\n> ", 3);
    return size + 3;
  case FIXED:
    size = sim_chance(12) ? size : service->fixed;
    break;
  case FREE:
  case STYLES:
    break;
  }
  fill(scratch, size, FREE);
  return size;
}

/* Bytes in chunks, and chunks in pieces. */
static void say(struct sim_session *session, enum gg_step_kind kind, uint64_t *time_ns, uint32_t size, uint64_t gap_ns)
{
  uint32_t at = 0;
  while (at < size) {
    uint32_t chunk = sim_chance(3) ? 1 + (uint32_t)sim_below(size - at) : size - at, piece = 0;
    for (uint32_t in_chunk = 0; in_chunk < chunk; in_chunk += piece) {
      piece = chunk - in_chunk;
      if (piece > GG_STEP_BYTES_MAX || sim_chance(4))
        piece = 1 + (uint32_t)sim_below(piece < GG_STEP_BYTES_MAX ? piece : GG_STEP_BYTES_MAX);
      sim_session_step(session, kind, *time_ns, scratch + at + in_chunk, piece, in_chunk == 0);
    }
    at += chunk;
    if (at < size)
      *time_ns += sim_size(gap_ns);
  }
}

static void maybe_gap(struct sim_session *session, enum gg_step_kind kind, uint64_t time_ns)
{
  if (sim.config.gaps && sim_chance(12))
    sim_session_step(session, kind, time_ns, NULL, 1 + (uint32_t)sim_size(3000), false);
}

/* For up to half a minute, and never silent for as long as a second. */
static void stream(struct sim_session *session, const struct service *service, uint64_t *time_ns)
{
  session->lines = false;
  for (uint64_t pieces = 10 + sim_below(30); pieces > 0; pieces--) {
    say(session, GG_STEP_EXPECT, time_ns, reply_make(service), 1);
    *time_ns += sim_below(900 * SIM_MS);
  }
}

static void dialog(struct sim_session *session, const struct service *service, uint64_t *time_ns)
{
  uint64_t gap_ns = sim.config.span_ns / 4 + 1, reply_gap_ns = 900 * SIM_MS;
  if (service->greets) {
    *time_ns += sim_size(gap_ns);
    say(session, GG_STEP_EXPECT, time_ns, reply_make(service), sim_chance(3) ? reply_gap_ns : 5 * SIM_MS);
  }
  uint64_t rounds = sim_size(12);
  for (uint64_t round = 0; round < rounds; round++) {
    do {
      *time_ns += sim_size(gap_ns);
      maybe_gap(session, GG_STEP_SEND_GAP, *time_ns);
      uint32_t size = 1 + (uint32_t)sim_size(sim_chance(10) ? 100000 : 300);
      fill(scratch, size, FREE);
      say(session, GG_STEP_SEND, time_ns, size, gap_ns);
    } while (sim_chance(3));
    if (sim_chance(8))
      continue; /* nobody answers */
    *time_ns += sim_size(sim.config.slow ? 60 * GG_NS_PER_S : 300 * SIM_MS);
    maybe_gap(session, GG_STEP_EXPECT_GAP, *time_ns);
    say(session, GG_STEP_EXPECT, time_ns, reply_make(service), sim_chance(3) ? reply_gap_ns : 5 * SIM_MS);
    if (sim.config.slow && sim_chance(6))
      stream(session, service, time_ns);
    if (sim_chance(10)) { /* and once more, unasked */
      *time_ns += sim_size(reply_gap_ns);
      session->lines = false;
      say(session, GG_STEP_EXPECT, time_ns, reply_make(service), 5 * SIM_MS);
    }
  }
}

static void plain(struct sim_session *session, enum gg_step_kind kind, uint64_t *time_ns)
{
  bool server = kind == GG_STEP_EXPECT_END || kind == GG_STEP_EXPECT_RESET;
  *time_ns += sim_size(server && sim.config.slow ? 90 * GG_NS_PER_S : sim.config.span_ns / 4 + 1);
  sim_session_step(session, kind, *time_ns, NULL, 0, false);
}

static void end_somehow(struct sim_session *session, const struct service *service, uint64_t *time_ns)
{
  switch (sim_below(8)) {
  case 0: /* the client's wish */
  case 1:
    plain(session, GG_STEP_SEND_END, time_ns);
    plain(session, GG_STEP_EXPECT_END, time_ns);
    break;
  case 2: /* the server's */
    plain(session, GG_STEP_EXPECT_END, time_ns);
    plain(session, GG_STEP_SEND_END, time_ns);
    break;
  case 3: /* half-closed, and the server has more to say */
    plain(session, GG_STEP_SEND_END, time_ns);
    say(session, GG_STEP_EXPECT, time_ns, reply_make(service), 5 * SIM_MS);
    plain(session, GG_STEP_EXPECT_END, time_ns);
    break;
  case 4: /* ... and the client has */
    plain(session, GG_STEP_EXPECT_END, time_ns);
    fill(scratch, 10, FREE);
    *time_ns += sim_size(sim.config.span_ns);
    say(session, GG_STEP_SEND, time_ns, 10, 1);
    plain(session, GG_STEP_SEND_END, time_ns);
    break;
  case 5:
    plain(session, GG_STEP_SEND_RESET, time_ns);
    break;
  case 6:
    plain(session, GG_STEP_EXPECT_RESET, time_ns);
    break;
  default: /* the recording ends */
    break;
  }
}

static void session_make(struct sim_session *session, size_t index, uint64_t start_ns)
{
  uint32_t number = (uint32_t)sim_below(SIM_SERVICES);
  const struct service *service = &services[number];
  uint64_t time_ns = start_ns;
  sim_session_begin(session, index, start_ns, number);
  session->lines = service->style == LINES || service->style == PROMPTS;
  if (sim_chance(20)) {
    session->facts.opaque = sim_chance(2) ? "TLS" : "SSH";
  } else if (sim_chance(20)) {
    session->facts.refused = true;
    if (sim_chance(2)) {
      fill(scratch, 20, FREE);
      say(session, GG_STEP_SEND, &time_ns, 20, 1);
    }
    plain(session, GG_STEP_EXPECT_RESET, &time_ns);
  } else {
    dialog(session, service, &time_ns);
    end_somehow(session, service, &time_ns);
  }
  session->facts.beginning_missing = sim.config.gaps && sim_chance(20);
  sim_session_end(session, time_ns + sim_size(sim.config.span_ns / 4 + 1));
}

static void show(const struct sim_session *session)
{
  static const char *const kinds[] = {"send",       "expect",     "send gap",     "expect gap", "send end",
                                      "expect end", "send reset", "expect reset", "over"};
  for (size_t i = 0; i < session->step_count; i++) {
    const struct gg_step *step = &session->steps[i];
    sim_trace("session %s +%.9f %s%s %u", session->facts.id + 21,
              (double)(step->time_ns - session->facts.start_ns) / 1e9, step->begins_chunk ? "chunk: " : "",
              kinds[step->kind], step->length + (uint32_t)step->gap);
  }
}

void sim_script_make(struct sim_script *script)
{
  for (size_t i = 0; i < SIM_SERVICES; i++)
    services[i] = (struct service){.style = (enum style)sim_below(STYLES),
                                   .greets = sim_chance(3),
                                   .fixed = 1 + (uint32_t)sim_size(500),
                                   .size_max = sim_chance(6) ? 150000 : 400};
  *script = (struct sim_script){.script = {&sim_script_ops}, .count = sim.config.sessions};
  script->sessions = calloc(script->count + 1, sizeof *script->sessions);
  if (!script->sessions)
    abort();
  uint64_t start_ns = UINT64_C(1700000000000000000) + sim_below(GG_NS_PER_S);
  for (size_t i = 0; i < script->count; i++) {
    session_make(&script->sessions[i], i, start_ns);
    if (sim.trace)
      show(&script->sessions[i]);
    start_ns += sim_chance(5) ? 0 : sim_size(sim.config.span_ns);
  }
}

void sim_script_free(struct sim_script *script)
{
  for (size_t i = 0; i < script->count; i++) {
    struct sim_session *session = &script->sessions[i];
    free(session->steps);
    free(session->sends);
    free(session->acts);
    free(session->bytes[0]);
    free(session->bytes[1]);
  }
  free(script->sessions);
  *script = (struct sim_script){0};
}

/* ── As a script ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct sim_script *of(const struct gg_script *script)
{
  return (const struct sim_script *)(const void *)script;
}

static size_t op_count(const struct gg_script *script)
{
  return of(script)->count;
}

static void op_session(const struct gg_script *script, size_t index, struct gg_script_session *out)
{
  if (index >= of(script)->count)
    sim_fail("session %zu of %zu was asked for", index, of(script)->count);
  *out = of(script)->sessions[index].facts;
}

static struct gg_cursor op_steps(const struct gg_script *script, size_t index)
{
  (void)script;
  return (struct gg_cursor){.block = index};
}

static bool reading_fails(struct gg_script *script)
{
  struct sim_script *own = (struct sim_script *)(void *)script;
  if (!sim.running || own->fail_in == 0 || --own->fail_in > 0)
    return false;
  sim.script_failed = true;
  own->fail_in = 1; /* and does not recover */
  return true;
}

static int op_next(struct gg_script *script, struct gg_cursor *cursor, struct gg_step *out, struct gg_failure *failure)
{
  const struct sim_session *session = &of(script)->sessions[cursor->block];
  if (reading_fails(script))
    return gg_fail(failure, GG_ERR_CORRUPT, "the recording is damaged");
  if (cursor->index >= session->step_count)
    return 0;
  *out = session->steps[cursor->index++];
  out->file = (uint32_t)cursor->block;
  return 1;
}

static int op_bytes(struct gg_script *script, const struct gg_step *step, uint32_t skip, uint8_t *out, uint32_t size,
                    struct gg_failure *failure)
{
  const struct sim_session *session = &of(script)->sessions[step->file];
  bool server = step->kind == GG_STEP_EXPECT;
  if ((!server && step->kind != GG_STEP_SEND) || (uint64_t)skip + size > step->length)
    sim_fail("%u bytes from %u on of a step of %u were asked for", size, skip, step->length);
  if (reading_fails(script))
    return gg_fail(failure, GG_ERR_CORRUPT, "the recording is damaged");
  memcpy(out, session->bytes[server] + step->place + skip, size);
  return 0;
}

const struct gg_script_ops sim_script_ops = {
  .count = op_count, .session = op_session, .steps = op_steps, .next = op_next, .bytes = op_bytes};
