/* SPDX-License-Identifier: Apache-2.0 */
#include "session_script.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const order_names[] = {"both", "client_first", "server_first", "client_closes", "server_closes"};
static_assert(sizeof order_names / sizeof order_names[0] == ORDER_COUNT, "a name for each order");
static const char *const ending_names[] = {"orderly", "reset", "early_close"};
static_assert(sizeof ending_names / sizeof ending_names[0] == ENDING_COUNT, "a name for each ending");
static const char *const zero_names[] = {"no", "close", "half_close", "reset"};
static_assert(sizeof zero_names / sizeof zero_names[0] == ZERO_COUNT, "a name for each kind of empty session");

static uint64_t mix(uint64_t value)
{
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

uint64_t session_random(uint64_t *state)
{
  *state += 0x9E3779B97F4A7C15u;
  return mix(*state);
}

static uint64_t below(uint64_t *random, uint64_t bound)
{
  return bound == 0 ? 0 : session_random(random) % bound;
}

static bool chance(uint64_t *random, unsigned percent)
{
  return below(random, 100) < percent;
}

/* Every magnitude equally likely: 0 to max. */
static uint64_t log_uniform(uint64_t *random, uint64_t max)
{
  double unit = (double)(session_random(random) >> 11) / (double)(UINT64_C(1) << 53);
  uint64_t value = (uint64_t)(exp(unit * log((double)max + 1.0)) - 1.0 + 0.5);
  return value > max ? max : value;
}

/*
 * Most bodies are small and some are big, or a run of thousands would take all day: one in ten
 * reaches for bytes_max. The sizes at which buffers end are tried on purpose.
 */
static uint64_t body_bytes(uint64_t *random, uint64_t max)
{
  static const uint64_t edges[] = {0, 1, 4095, 4096, 4097, 16384, 32767, 32768, 32769, 65535, 65536, 65537, 131072};
  uint64_t small_max = max < 65536 ? max : 65536;
  uint64_t kind = below(random, 100);
  if (kind < 4) {
    uint64_t edge = edges[below(random, sizeof edges / sizeof edges[0])];
    return edge > max ? max : edge;
  }
  if (kind < 14)
    return log_uniform(random, max);
  return log_uniform(random, small_max);
}

static void make_urgent(struct side_script *side, uint64_t *random, uint64_t from)
{
  if (side->stream_bytes <= from)
    return;
  side->urgent_count = (unsigned)(1 + below(random, URGENT_MAX));
  for (unsigned i = 0; i < side->urgent_count; i++)
    side->urgent_at[i] = from + below(random, side->stream_bytes - from);
  for (unsigned i = 1; i < side->urgent_count; i++) {
    for (unsigned j = i; j > 0 && side->urgent_at[j] < side->urgent_at[j - 1]; j--) {
      uint64_t swap = side->urgent_at[j];
      side->urgent_at[j] = side->urgent_at[j - 1];
      side->urgent_at[j - 1] = swap;
    }
  }
}

static void make_side(const struct script_options *options, struct side_script *side, uint64_t *random, bool slow)
{
  uint64_t body = body_bytes(random, options->bytes_max);
  side->stream_bytes += body;
  do {
    side->writes = (enum writes)below(random, WRITES_COUNT);
  } while (side->writes == WRITES_BYTE && body > 4096);
  side->nodelay = side->writes == WRITES_BYTE || chance(random, 50);
  side->read_bytes_max = chance(random, 20) ? (uint32_t)(1 + below(random, 4096)) : WRITE_BYTES_MAX;
  if (chance(random, 5))
    side->receive_buffer_bytes = 4096;
  if (body > (1u << 20)) {
    /* A long stream read a few bytes at a time, or through a tiny window, tests patience only. */
    side->writes = side->writes == WRITES_SMALL ? WRITES_ANY : side->writes;
  }
  if (!slow)
    return;
  side->write_pause_us = chance(random, 50) ? (uint32_t)below(random, 2000) : 0;
  side->read_pause_us = chance(random, 50) ? (uint32_t)below(random, 2000) : 0;
  side->read_delay_us = chance(random, 50) ? (uint32_t)below(random, 200000) : 0;
}

/* A pause after every read or write of a long stream would take minutes: only short ones are slow throughout. */
static void bound_patience(struct session_script *script)
{
  for (int i = 0; i < 2; i++) {
    struct side_script *side = &script->side[i];
    const struct side_script *peer = &script->side[1 - i];
    if (side->stream_bytes > 65536 || side->writes == WRITES_BYTE)
      side->write_pause_us = 0;
    if (peer->stream_bytes > 65536) {
      side->read_pause_us = 0;
      side->read_bytes_max = side->read_bytes_max < 1024 ? 1024 : side->read_bytes_max;
    } else if (side->read_pause_us > 0) {
      side->read_bytes_max = side->read_bytes_max < 1024 ? 1024 : side->read_bytes_max;
    }
    if (peer->stream_bytes > 65536)
      side->receive_buffer_bytes = 0;
  }
}

static void make_fixed(const struct script_options *options, struct session_script *script)
{
  for (int i = 0; i < 2; i++) {
    script->side[i].stream_bytes += options->fixed_bytes[i];
    script->side[i].writes = WRITES_FULL;
    script->side[i].read_bytes_max = WRITE_BYTES_MAX;
  }
}

void session_script_make(const struct script_options *options, uint32_t index, struct session_script *script)
{
  uint64_t random = mix(options->seed ^ mix((uint64_t)index + 1));
  memset(script, 0, sizeof *script);
  script->index = index;
  script->side[SIDE_CLIENT].stream_bytes = HEADER_BYTES;
  if (options->fixed) {
    make_fixed(options, script);
    return;
  }
  if (chance(&random, options->zero_percent)) {
    bool resets = options->reset_percent > 0;
    script->zero = (enum zero)(ZERO_CLOSE + below(&random, resets ? ZERO_COUNT - 1 : ZERO_COUNT - 2));
    script->side[SIDE_CLIENT].stream_bytes = 0;
    script->side[SIDE_CLIENT].read_bytes_max = WRITE_BYTES_MAX;
    return;
  }
  bool slow = chance(&random, options->slow_percent);
  make_side(options, &script->side[SIDE_CLIENT], &random, slow);
  make_side(options, &script->side[SIDE_SERVER], &random, slow);
  bound_patience(script);
  script->order = (enum order)below(&random, ORDER_COUNT);
  if (chance(&random, options->urgent_percent)) {
    uint64_t who = below(&random, 3);
    /* In one of them the very first byte is urgent, before the receiver had time to prepare. */
    if (who != 1)
      make_urgent(&script->side[SIDE_CLIENT], &random, 0);
    if (who != 0)
      make_urgent(&script->side[SIDE_SERVER], &random, 0);
  }
  if (chance(&random, options->reset_percent)) {
    script->ending = chance(&random, 70) ? ENDING_RESET : ENDING_EARLY_CLOSE;
    script->ending_side = chance(&random, 50) ? SIDE_CLIENT : SIDE_SERVER;
    script->ending_sent = below(&random, script->side[script->ending_side].stream_bytes + 1);
  }
}

static void put_be(uint8_t *out, uint64_t value, unsigned bytes)
{
  for (unsigned i = 0; i < bytes; i++)
    out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void header_make(uint64_t seed, uint32_t index, uint8_t header[HEADER_BYTES])
{
  memcpy(header, "ggEP", 4);
  put_be(header + 4, index, 4);
  put_be(header + 8, seed, 8);
}

bool session_header_parse(uint64_t seed, const uint8_t header[HEADER_BYTES], uint32_t *index)
{
  uint8_t expected[HEADER_BYTES];
  uint32_t claimed = 0;
  for (unsigned i = 4; i < 8; i++)
    claimed = claimed << 8 | header[i];
  header_make(seed, claimed, expected);
  if (memcmp(expected, header, HEADER_BYTES) != 0)
    return false;
  *index = claimed;
  return true;
}

void session_stream_bytes(uint64_t seed, uint32_t index, enum side side, uint64_t offset, uint8_t *out, size_t size)
{
  uint64_t key = mix(seed + 0x51ED270B) ^ mix(((uint64_t)index << 1) + (side == SIDE_SERVER) + 0x9E3779B9u);
  if (side == SIDE_CLIENT && offset < HEADER_BYTES && size > 0) {
    uint8_t header[HEADER_BYTES];
    header_make(seed, index, header);
    size_t take = HEADER_BYTES - (size_t)offset;
    take = take < size ? take : size;
    memcpy(out, header + offset, take);
    offset += take;
    out += take;
    size -= take;
  }
  while (size > 0) {
    uint64_t block = mix(key + (offset >> 3) * 0x9E3779B97F4A7C15u);
    size_t skip = (size_t)(offset & 7);
    size_t take = 8 - skip < size ? 8 - skip : size;
    memcpy(out, (const uint8_t *)&block + skip, take);
    offset += take;
    out += take;
    size -= take;
  }
}

size_t session_write_size(const struct side_script *side, uint64_t sent, uint64_t *random)
{
  uint64_t size = WRITE_BYTES_MAX;
  switch (side->writes) {
  case WRITES_BYTE:
    size = 1;
    break;
  case WRITES_SMALL:
    size = 1 + below(random, 1500);
    break;
  case WRITES_ANY:
    size = 1 + log_uniform(random, WRITE_BYTES_MAX - 1);
    break;
  case WRITES_MIXED:
    if ((sent >> 17) % 2 == 0)
      size = 1 + below(random, 3000);
    break;
  case WRITES_FULL:
  case WRITES_COUNT:
    break;
  }
  return (size_t)size;
}

const char *session_order_name(enum order order)
{
  return order_names[order];
}

const char *session_ending_name(enum ending ending)
{
  return ending_names[ending];
}

const char *session_zero_name(enum zero zero)
{
  return zero_names[zero];
}
