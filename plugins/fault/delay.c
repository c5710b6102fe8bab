/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delay.c - when bytes may go on.
 *
 * The bytes themselves stay with the gateway, which keeps them back; here is only up to where in the stream they came
 * when, as pieces with the time when each is due:
 *
 *     passed ──────► ripe ──────────► seen
 *      │  rate: so    │  piece │ piece │   in order: with jitter none overtakes the one before
 *      │  much each   │  due   │  due  │
 *      │  20 ms       ▼        ▼       ▼
 *
 * So what waits is bounded twice: the bytes by the gateway's relay.pending_max, beyond which the direction is not read,
 * and the pieces by PIECES_MAX. A piece that finds no room is added to the last one, and makes it late as itself: no
 * byte is ever early.
 */
#include "fault.h"

#include <stdlib.h>

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

void delay_fini(struct delay *delay)
{
  free(delay->pieces);
}

static uint64_t set_or(uint64_t value, uint64_t other)
{
  return value == OFF ? other : value;
}

/* When what comes now is due: behind all that came before. */
static uint64_t due(struct delay *delay, const struct settings *settings, enum gg_side from, uint64_t now_ns)
{
  uint64_t jitter_ns = set_or(setting(settings, from, JITTER), 0);
  uint64_t late_ns = set_or(setting(settings, from, LATENCY), 0);
  if (jitter_ns > 0)
    late_ns += random_next(&delay->random) % (jitter_ns + 1);
  if (now_ns + late_ns > delay->last_ns)
    delay->last_ns = now_ns + late_ns;
  return delay->last_ns;
}

void delay_put(struct delay *delay, const struct settings *settings, enum gg_side from, uint64_t seen, uint64_t now_ns)
{
  uint64_t due_ns = due(delay, settings, from, now_ns);
  if (due_ns <= now_ns && delay->count == 0) {
    delay->ripe = seen;
    return;
  }
  if (!delay->pieces && !(delay->pieces = malloc(PIECES_MAX * sizeof *delay->pieces))) {
    delay->ripe = seen; /* without memory nothing is late */
    return;
  }
  if (delay->count < PIECES_MAX)
    delay->count++;
  delay->pieces[(delay->first + delay->count - 1) % PIECES_MAX] = (struct piece){seen, due_ns};
}

void delay_end(struct delay *delay, const struct settings *settings, enum gg_side from, uint64_t now_ns)
{
  if (delay->end_ns == 0)
    delay->end_ns = due(delay, settings, from, now_ns) + set_or(setting(settings, from, SLOW_CLOSE), 0);
}

static void ripen(struct delay *delay, uint64_t now_ns)
{
  for (; delay->count > 0 && delay->pieces[delay->first].due_ns <= now_ns; delay->count--) {
    delay->ripe = delay->pieces[delay->first].end;
    delay->first = (delay->first + 1) % PIECES_MAX;
  }
}

/* So many of `ripe` bytes the rate lets go. One that was not used for a while gives no more for that than a slice. */
static uint64_t spend(struct delay *delay, uint64_t rate, uint64_t ripe, uint64_t now_ns)
{
  if (now_ns < delay->free_ns)
    return 0;
  uint64_t slice = rate * (SLICE_NS / 1000000) / 1000;
  slice = slice > 0 ? slice : 1;
  uint64_t bytes = ripe < slice ? ripe : slice;
  if (delay->free_ns + SLICE_NS < now_ns)
    delay->free_ns = now_ns - SLICE_NS;
  delay->free_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
  return bytes;
}

uint64_t delay_go(struct delay *delay, const struct settings *settings, enum gg_side from, uint64_t passed,
                  uint64_t seen, uint64_t now_ns, uint64_t *next_ns)
{
  ripen(delay, now_ns);
  uint64_t rate = setting(settings, from, RATE), go = delay->ripe;
  go = go < passed ? passed : go > seen ? seen : go;
  if (rate != OFF && go > passed)
    go = passed + spend(delay, rate, go - passed, now_ns);
  bool by_rate = rate != OFF && delay->ripe > go;
  *next_ns = by_rate ? delay->free_ns : delay->count > 0 ? delay->pieces[delay->first].due_ns : now_ns;
  return go;
}
