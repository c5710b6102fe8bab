/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/timing.h"

#include "base/clock.h"

/* No due time is later, so that one can be added to another, or to a clock, without overflow. */
#define LATEST_NS (UINT64_MAX / 2)

typedef unsigned __int128 wide;

static uint64_t narrow(wide value)
{
  return value < LATEST_NS ? (uint64_t)value : LATEST_NS;
}

/* The largest integer whose square is at most `value`. */
static uint64_t square_root(wide value)
{
  uint64_t root = 0;
  for (uint64_t bit = UINT64_C(1) << 63; bit > 0; bit >>= 1) {
    wide with = root | bit;
    if (with * with <= value)
      root |= bit;
  }
  return root;
}

/* When that is due which with full speed or rate from the beginning would be due at `position`. */
static uint64_t bend(const struct gg_timing *timing, wide position)
{
  wide ramp = timing->ramp_ns;
  if (position * 2 > ramp)
    return narrow(position + ramp / 2);
  return narrow(square_root(position * 2 * ramp));
}

static wide at_speed(const struct gg_timing *timing, wide recorded_ns)
{
  return timing->speed_percent ? recorded_ns * 100 / timing->speed_percent : 0;
}

/* Due time of whatever stands behind `sessions` and `recorded_ns` from the beginning. */
static uint64_t due(const struct gg_timing *timing, wide sessions, wide recorded_ns)
{
  if (timing->rate)
    return bend(timing, sessions * GG_NS_PER_S / timing->rate);
  if (timing->speed_percent)
    return bend(timing, at_speed(timing, recorded_ns));
  return 0;
}

uint64_t gg__timing_start(const struct gg_timing *timing, uint64_t loop, uint64_t number, uint64_t start_ns)
{
  uint64_t recorded_ns = start_ns > timing->first_ns ? start_ns - timing->first_ns : 0;
  return due(timing, (wide)loop * timing->sessions + number, (wide)loop * timing->span_ns + recorded_ns);
}

uint64_t gg__timing_span(const struct gg_timing *timing, uint64_t recorded_ns)
{
  return narrow(at_speed(timing, recorded_ns));
}

uint64_t gg__timing_total(const struct gg_timing *timing, uint64_t loops)
{
  return due(timing, (wide)loops * timing->sessions, (wide)loops * timing->span_ns);
}

uint32_t gg__timing_connections(const struct gg_timing *timing, uint64_t elapsed_ns, uint32_t most)
{
  if (timing->speed_percent || timing->rate || elapsed_ns >= timing->ramp_ns)
    return most;
  return (uint32_t)(1 + (wide)(most - 1) * elapsed_ns / timing->ramp_ns);
}

uint64_t gg__timing_connections_at(const struct gg_timing *timing, uint32_t connections, uint32_t most)
{
  if (timing->speed_percent || timing->rate || connections <= 1 || most <= 1)
    return 0;
  wide share = (wide)(connections - 1) * timing->ramp_ns;
  return narrow((share + most - 2) / (most - 1));
}
