/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both plug-ins may rewrite: they drop, change, add and keep back as chance says. What becomes of a stream is known by
 * its edits, one list for each of the two, and not by its bytes:
 *
 *     received ──► edits of the first ──► edits of the second ──► goes on
 *
 * An edit says what a stretch of what was put out is: the bytes of a stretch of what came, the same changed, or made
 * up. Behind the last one both streams go on side by side: nobody rewrites, or has not seen it yet. So the byte at an
 * offset of what goes on is a function of the offset, as it is for what was received, and whether it was rewritten is
 * known too: then it has to be in the recording as sent, otherwise as received.
 */
#include "sim.h"

#include "gateway/rewrite.h"

#include <stdlib.h>
#include <string.h>

enum { KEEP_MAX = 900, INSERT_MAX = 300, PIECE = 1024 };

enum kind { COPIED, CHANGED, MADE };

struct edit {
  uint64_t at;   /* in what was put out */
  uint64_t from; /* in what came; MADE: not used */
  uint64_t bytes;
  uint8_t kind;
  bool touched; /* it went through the rewriter */
};

/* What one plug-in has made of one direction. */
struct layer {
  struct edit *edits;
  size_t count, room;
  uint64_t came, out; /* where both streams are behind the last edit */
  uint64_t shown;     /* the plug-in has seen so much of what came */
  bool active, fresh, ended;
};

static struct layer (*layers)[SIM_REWRITERS][2]; /* by connection, plug-in and direction */
static unsigned layer_conns;

static struct layer *layer_of(const struct sim_conn *conn, unsigned plugin, unsigned direction)
{
  return &layers[conn->index][plugin][direction];
}

/* ── Content ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint8_t made(const struct sim_conn *conn, unsigned plugin, unsigned direction, uint64_t at)
{
  return (uint8_t)((at * 0x9E3779B97F4A7C15u >> 40) + conn->index * 2 + plugin * 77 + direction);
}

/* The edit that has the byte; NULL: it is behind the last. */
static const struct edit *edit_at(const struct layer *layer, uint64_t at)
{
  size_t low = 0, high = layer->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (layer->edits[middle].at + layer->edits[middle].bytes <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low < layer->count ? &layer->edits[low] : NULL;
}

/* The bytes that come out behind the first so many plug-ins. */
static void fill(const struct sim_conn *conn, unsigned plugins, unsigned direction, uint64_t at, uint8_t *to,
                 size_t bytes)
{
  if (plugins == 0) {
    sim_fill(conn, direction, at, to, bytes);
    return;
  }
  const struct layer *layer = layer_of(conn, plugins - 1, direction);
  while (bytes > 0) {
    const struct edit *edit = edit_at(layer, at);
    if (!edit) {
      fill(conn, plugins - 1, direction, layer->came + (at - layer->out), to, bytes);
      return;
    }
    uint64_t left = edit->at + edit->bytes - at;
    size_t part = left < bytes ? (size_t)left : bytes;
    if (edit->kind != MADE)
      fill(conn, plugins - 1, direction, edit->from + (at - edit->at), to, part);
    for (size_t i = 0; i < part; i++)
      to[i] = edit->kind == MADE      ? made(conn, plugins - 1, direction, at + i)
              : edit->kind == CHANGED ? (uint8_t)~to[i]
                                      : to[i];
    to += part;
    at += part;
    bytes -= part;
  }
}

static bool same(const struct sim_conn *conn, unsigned plugins, unsigned direction, uint64_t at, const uint8_t *data,
                 size_t bytes)
{
  uint8_t want[4096];
  while (bytes > 0) {
    size_t part = bytes < sizeof want ? bytes : sizeof want;
    fill(conn, plugins, direction, at, want, part);
    if (memcmp(want, data, part) != 0)
      return false;
    data += part;
    at += part;
    bytes -= part;
  }
  return true;
}

bool sim_same_sent(const struct sim_conn *conn, unsigned direction, uint64_t at, const void *data, size_t bytes)
{
  const uint8_t *from = data;
  if (sim_is_replied(conn, direction) && at + bytes > conn->replied_sent) {
    uint64_t before = at < conn->replied_sent ? conn->replied_sent - at : 0;
    uint64_t behind = at + before - conn->replied_sent;
    return same(conn, SIM_REWRITERS, direction, at, from, (size_t)before) &&
           sim_same(conn, direction, conn->replied_at + behind, from + before, bytes - (size_t)before);
  }
  return same(conn, SIM_REWRITERS, direction, at, from, bytes);
}

uint64_t sim_sent_length(const struct sim_conn *conn, unsigned direction)
{
  uint64_t length = conn->way[direction].received;
  for (unsigned i = 0; i < SIM_REWRITERS; i++) {
    const struct layer *layer = layer_of(conn, i, direction);
    length = layer->out + (length - layer->came);
  }
  return length;
}

uint64_t sim_untouched(const struct sim_conn *conn, unsigned direction, uint64_t at, uint64_t *received)
{
  uint64_t bytes = UINT64_MAX;
  if (sim_is_replied(conn, direction) && at >= conn->replied_sent) {
    *received = conn->replied_at + (at - conn->replied_sent);
    return bytes;
  }
  if (sim_is_replied(conn, direction))
    bytes = conn->replied_sent - at;
  for (unsigned i = SIM_REWRITERS; i-- > 0;) {
    const struct layer *layer = layer_of(conn, i, direction);
    const struct edit *edit = edit_at(layer, at);
    uint64_t left = edit ? edit->at + edit->bytes - at : UINT64_MAX;
    bytes = left < bytes ? left : bytes;
    if (edit && edit->touched) {
      *received = UINT64_MAX;
      return bytes;
    }
    at = edit ? edit->from + (at - edit->at) : layer->came + (at - layer->out);
  }
  *received = at;
  return bytes;
}

/* ── The plug-ins' part ──────────────────────────────────────────────────────────────────────────────────────────── */

static void add(struct layer *layer, enum kind kind, uint64_t bytes, bool touched)
{
  struct edit *last = layer->count > 0 ? &layer->edits[layer->count - 1] : NULL;
  if (bytes == 0)
    return;
  if (last && kind == COPIED && last->kind == COPIED && last->touched == touched &&
      last->from + last->bytes == layer->came) {
    last->bytes += bytes;
  } else {
    if (layer->count == layer->room) {
      bool in_gateway = sim.in_gateway;
      sim.in_gateway = false;
      layer->room = layer->room ? 2 * layer->room : 16;
      layer->edits = realloc(layer->edits, layer->room * sizeof layer->edits[0]);
      if (!layer->edits)
        abort();
      sim.in_gateway = in_gateway;
    }
    layer->edits[layer->count++] = (struct edit){layer->out, layer->came, bytes, (uint8_t)kind, touched};
  }
  layer->out += bytes;
  layer->came += kind == MADE ? 0 : bytes;
}

void sim_rewriter_wants(const struct sim_conn *conn, unsigned plugin, unsigned direction, bool on)
{
  struct layer *layer = layer_of(conn, plugin, direction);
  layer->fresh = on && !layer->active;
  layer->active = on;
  layer->ended = false;
}

/* One edit's bytes, by host->emit in pieces. False: they were refused. */
static bool emit(const struct sim_conn *conn, unsigned plugin, unsigned direction, const struct gg_host *host,
                 struct gg_output *output, enum kind kind, uint64_t bytes)
{
  struct layer *layer = layer_of(conn, plugin, direction);
  uint8_t data[PIECE];
  for (uint64_t done = 0, part; done < bytes; done += part) {
    part = bytes - done < sizeof data ? bytes - done : sizeof data;
    if (kind != MADE)
      fill(conn, plugin, direction, layer->came, data, (size_t)part);
    for (size_t i = 0; i < part; i++)
      data[i] = kind == MADE      ? made(conn, plugin, direction, layer->out + i)
                : kind == CHANGED ? (uint8_t)~data[i]
                                  : data[i];
    int error = host->emit(host, output, data, (size_t)part);
    if (error) {
      if (error != GG_ERR_NOMEM && error != GG_ERR_LIMIT)
        sim_fail("emit: %s", gg_error_text(error));
      return false;
    }
    add(layer, kind, part, true);
  }
  return true;
}

static bool rewrite(const struct sim_conn *conn, unsigned plugin, unsigned direction, const struct gg_host *host,
                    struct gg_output *output, size_t budget, bool all)
{
  struct layer *layer = layer_of(conn, plugin, direction);
  while (layer->came < layer->shown) {
    uint64_t left = layer->shown - layer->came, span = 1 + sim_size(left - 1);
    if (!all && left <= KEEP_MAX && sim_chance(4))
      return true;
    if (left > budget || sim_chance(8)) { /* dropped */
      layer->came += left > budget ? left - budget : span;
      continue;
    }
    enum kind kind = sim_chance(8) ? MADE : sim_chance(6) ? CHANGED : COPIED;
    if (kind == MADE) {
      uint64_t more = sim_size(INSERT_MAX);
      if (left + more > budget)
        continue;
      span = more;
    }
    if (!emit(conn, plugin, direction, host, output, kind, span))
      return false;
    budget -= (size_t)span;
  }
  return true;
}

static void check_data(struct layer *layer, const struct sim_conn *conn, unsigned plugin, const struct gg_data *data)
{
  unsigned direction = data->from;
  if (!layer->active || layer->ended)
    sim_fail("conn %u.%u: a rewriter is shown bytes that does not want them now", conn->index, direction);
  if (data->kept != 0 || (data->length == 0) != data->ended || data->due)
    sim_fail("conn %u.%u: a rewriter is shown nothing", conn->index, direction);
  if (layer->fresh) { /* what came since it last rewrote went on as it was */
    if (data->offset < layer->came)
      sim_fail("conn %u.%u: a rewriter is shown bytes twice", conn->index, direction);
    layer->shown = data->offset;
    add(layer, COPIED, layer->shown - layer->came, false);
    layer->fresh = false;
  }
  if (data->offset != layer->shown)
    sim_fail("conn %u.%u: a rewriter that has seen %llu is shown %llu", conn->index, direction,
             (unsigned long long)layer->shown, (unsigned long long)data->offset);
  if (!same(conn, plugin, direction, data->offset, data->bytes, data->length))
    sim_fail("conn %u.%u: a rewriter is shown other bytes at %llu", conn->index, direction,
             (unsigned long long)data->offset);
  layer->shown += data->length;
  layer->ended = data->ended;
}

bool sim_rewrite(struct sim_conn *conn, unsigned plugin, const struct gg_host *host, const struct gg_data *data,
                 struct gg_output *output, bool last)
{
  unsigned direction = data->from;
  struct layer *layer = layer_of(conn, plugin, direction);
  size_t most = conn->session->worker->options->pending_max;
  check_data(layer, conn, plugin, data);
  sim.rewritten += data->length;
  if (sim_chance(2000)) {
    static const uint8_t much[65536 + 1];
    if (host->emit(host, output, much, most + 1) != GG_ERR_LIMIT)
      sim_fail("conn %u.%u: more could be put out than may be", conn->index, direction);
    return false;
  }
  return rewrite(conn, plugin, direction, host, output, most, last || data->ended);
}

void sim_rewrites_begin(void)
{
  layer_conns = sim.config.conns;
  layers = calloc(layer_conns, sizeof *layers);
  if (!layers)
    abort();
}

void sim_rewrites_end(void)
{
  for (unsigned i = 0; i < layer_conns; i++)
    for (unsigned plugin = 0; plugin < SIM_REWRITERS; plugin++) {
      free(layers[i][plugin][0].edits);
      free(layers[i][plugin][1].edits);
    }
  free(layers);
  layers = NULL;
  layer_conns = 0;
}
