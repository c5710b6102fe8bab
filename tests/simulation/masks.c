/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in that changes some bytes of what is recorded, keeps back as many as chance says, and gives itself back now
 * and then. What must hold: it is shown every byte once as new, in order, with what it kept back in front as it left
 * it; the recording has what it made of the stream up to where it was given back, and nothing that it kept back; and
 * each direction that it sees to the end ends with a last call.
 *
 * It changes the bytes at some offsets by one bit, so the recording's checks can take that back.
 */
#include "sim.h"

#include "gateway/live.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 900, EVERY = 5, BIT = 0x20 };

struct masked {
  bool on;
  bool given_back; /* and not called for the last time yet */
  bool ended;
  uint64_t shown;
  uint64_t let_go;
  uint64_t until; /* bytes from there on are recorded as they came */
};

static const struct gg_host *host;
static struct masked (*masked)[2]; /* by connection */

static unsigned index_of(const struct gg_live *live)
{
  for (unsigned i = 0; i < sim.spawned; i++)
    if (sim.conns[i].session == live->session)
      return i;
  sim_fail("a mask is called for a session that is no connection's");
}

/* Masks, or takes it back. */
static void change(uint8_t *bytes, size_t length, uint64_t offset, uint64_t until)
{
  for (size_t i = 0; i < length && offset + i < until; i++)
    if ((offset + i) % EVERY == 0)
      bytes[i] ^= BIT;
}

bool sim_masked_same(const struct sim_conn *conn, unsigned direction, uint64_t offset, const void *data, size_t bytes)
{
  const struct masked *way = &masked[conn->index][direction];
  uint8_t copy[4096];
  if (!way->on)
    return sim_same(conn, direction, offset, data, bytes);
  for (const uint8_t *at = data; bytes > 0;) {
    size_t part = bytes < sizeof copy ? bytes : sizeof copy;
    memcpy(copy, at, part);
    change(copy, part, offset, way->until);
    if (!sim_same(conn, direction, offset, copy, part))
      return false;
    at += part;
    offset += part;
    bytes -= part;
  }
  return true;
}

uint64_t sim_masked_back(const struct sim_conn *conn, unsigned direction)
{
  const struct masked *way = &masked[conn->index][direction];
  const struct gg_session *session = conn->session;
  if (!way->on || !session->live)
    return 0;
  uint64_t tail = session->live->way[direction].tail_length;
  if (way->until == UINT64_MAX && !way->ended && tail != way->shown - way->let_go)
    sim_fail("conn %u.%u: %llu bytes are not recorded, the mask keeps %llu back", conn->index, direction,
             (unsigned long long)tail, (unsigned long long)(way->shown - way->let_go));
  return tail;
}

static void on_open(void *self, struct gg_live *live, struct gg_open *open)
{
  (void)self;
  (void)open;
  unsigned index = index_of(live);
  for (unsigned i = 0; i < 2; i++) {
    struct masked *way = &masked[index][i];
    *way = (struct masked){.until = UINT64_MAX};
    if (sim_chance(3))
      continue;
    bool can = sim.config.options.sync_mode != GG_SYNC_ALWAYS;
    if (host->want(host, live, (enum gg_side)i, GG_MODE_MASK) != (can ? GG_OK : GG_ERR_UNSUPPORTED))
      sim_fail("a mask can be had with sync: always, or without cannot");
    way->on = can;
  }
}

/* What it is shown is what it has not let go. */
static void check(const struct sim_conn *conn, const struct masked *way, const struct gg_mask *piece)
{
  uint8_t kept[LONGEST];
  size_t fresh = piece->length - piece->seen;
  if (!way->on || way->ended || piece->offset != way->let_go || piece->seen != way->shown - way->let_go ||
      piece->seen > piece->length || (piece->length == piece->seen && !piece->ended))
    sim_fail("conn %u.%u: a mask that has seen %llu is shown %llu", conn->index, piece->from,
             (unsigned long long)way->shown, (unsigned long long)piece->offset);
  if (way->given_back && fresh > 0)
    sim_fail("conn %u.%u: a mask that was given back is shown more", conn->index, piece->from);
  if (way->given_back && !piece->ended)
    sim_fail("conn %u.%u: a mask that was given back is not told that it was", conn->index, piece->from);
  memcpy(kept, piece->bytes, piece->seen);
  change(kept, piece->seen, piece->offset, UINT64_MAX);
  if (!sim_same(conn, piece->from, piece->offset, kept, piece->seen) ||
      !sim_same(conn, piece->from, way->shown, piece->bytes + piece->seen, fresh))
    sim_fail("conn %u.%u: a mask is shown other bytes at %llu", conn->index, piece->from,
             (unsigned long long)piece->offset);
}

static size_t on_mask(void *self, struct gg_live *live, struct gg_mask *piece)
{
  (void)self;
  struct sim_conn *conn = &sim.conns[index_of(live)];
  struct masked *way = &masked[conn->index][piece->from];
  if (conn->replied == (int)piece->from) /* it had said its end, and is lent words once more */
    way->ended = false;
  check(conn, way, piece);
  change(piece->bytes + piece->seen, piece->length - piece->seen, way->shown, UINT64_MAX);
  piece->masked = (piece->length - piece->seen) / EVERY;
  way->shown = piece->offset + piece->length;
  way->ended = piece->ended;
  size_t most = piece->length < LONGEST - 1 ? piece->length : LONGEST - 1;
  size_t keep = piece->ended ? 0 : sim_chance(2) ? sim_below((unsigned)most + 1) : 0;
  way->let_go = way->shown - keep;
  if (!piece->ended && sim_chance(30) && !live->ended) {
    host->want(host, live, piece->from, GG_MODE_NONE);
    way->given_back = true;
    way->until = way->shown;
  }
  return keep;
}

static void on_close(void *self, struct gg_live *live, const struct gg_session_summary *summary)
{
  (void)self;
  unsigned index = index_of(live);
  for (unsigned i = 0; i < 2; i++) {
    const struct masked *way = &masked[index][i];
    if (way->on && live->session->recorded && !way->ended)
      sim_fail("conn %u.%u: a mask was not told of the end", index, i);
    if (way->on && live->session->recorded && way->until == UINT64_MAX && way->shown != summary->received[i])
      sim_fail("conn %u.%u: a mask was shown %llu of %llu bytes", index, i, (unsigned long long)way->shown,
               (unsigned long long)summary->received[i]);
  }
}

static int on_create(void **self, const struct gg_host *made, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  (void)self;
  (void)config;
  (void)failure;
  host = made;
  return 0;
}

const struct gg_plugin *sim_masks_begin(void)
{
  static const struct gg_plugin plugin = {
    GG_PLUGIN_HEAD,  .name = "mask",    .create = on_create,     .open = on_open,
    .mask = on_mask, .close = on_close, .mask_longest = LONGEST,
  };
  masked = calloc(sim.config.conns, sizeof *masked);
  if (!masked)
    abort();
  return &plugin;
}

void sim_masks_end(void)
{
  free(masked);
}
