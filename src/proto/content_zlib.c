/* SPDX-License-Identifier: Apache-2.0 */
/* gzip (RFC 1952), of several members perhaps, with zeros behind them as tapes and some programs have; and deflate,
 * which is zlib's frame (RFC 1950), though some servers send the bare stream (RFC 1951). Which one is told by the first
 * two bytes: a bare stream would have to begin with a stored block whose padding is not zero to look like the other. */
#include "proto/coding.h"

#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_BITS = 15, GZIP = 16 };

enum phase { FIRST, SECOND, WITHIN, ENDED, ZEROS };

struct state {
  z_stream zlib;
  enum phase phase;
  bool begun;    /* inflateInit has been called */
  uint8_t first; /* of a deflate */
};

static enum gg__coding_result damaged(struct gg__coding_step *step, const char *why)
{
  step->why = why;
  return GG__CODING_DAMAGED;
}

static void *open_state(void)
{
  return calloc(1, sizeof(struct state));
}

static void close_state(void *self)
{
  struct state *state = self;
  if (state->begun)
    inflateEnd(&state->zlib);
  free(state);
}

static bool is_whole(const void *self)
{
  const struct state *state = self;
  return state->phase == ENDED || state->phase == ZEROS;
}

static enum gg__coding_result begin(struct state *state, int window_bits)
{
  if (inflateInit2(&state->zlib, window_bits) != Z_OK)
    return GG__CODING_NOMEM;
  state->begun = true;
  state->phase = WITHIN;
  return GG__CODING_ON;
}

/* zlib takes `length` bytes, if it will. */
static enum gg__coding_result give(struct state *state, struct gg__coding_step *step, const uint8_t *data,
                                   size_t *length)
{
  z_stream *zlib = &state->zlib;
  size_t room = step->room - step->made, most = *length < UINT32_MAX ? *length : UINT32_MAX;
  zlib->next_in = (z_const Bytef *)(uintptr_t)data;
  zlib->avail_in = (uInt)most;
  zlib->next_out = step->out + step->made;
  zlib->avail_out = (uInt)room;
  int result = inflate(zlib, Z_NO_FLUSH);
  step->made += room - zlib->avail_out;
  *length = most - zlib->avail_in;
  if (result == Z_STREAM_END)
    state->phase = ENDED;
  if (result == Z_MEM_ERROR)
    return GG__CODING_NOMEM;
  if (result == Z_NEED_DICT)
    return damaged(step, "it needs a dictionary");
  if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
    return damaged(step, zlib->msg ? zlib->msg : "damaged");
  return GG__CODING_ON;
}

static enum gg__coding_result inflate_more(struct state *state, struct gg__coding_step *step)
{
  size_t length = step->in_length;
  enum gg__coding_result result = give(state, step, step->in, &length);
  step->in += length;
  step->in_length -= length;
  return result;
}

/* ── gzip ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Behind a member: another one, or zeros. */
static enum gg__coding_result behind_member(struct state *state, struct gg__coding_step *step)
{
  if (state->phase == ENDED && *step->in == 0x1f) {
    inflateReset(&state->zlib);
    state->phase = WITHIN;
    return GG__CODING_ON;
  }
  state->phase = ZEROS;
  while (step->in_length && *step->in == 0) {
    step->in++;
    step->in_length--;
  }
  return step->in_length ? damaged(step, "there is more behind its end") : GG__CODING_ON;
}

static enum gg__coding_result run_gzip(void *self, struct gg__coding_step *step)
{
  struct state *state = self;
  enum gg__coding_result result = state->begun ? GG__CODING_ON : begin(state, WINDOW_BITS + GZIP);
  while (result == GG__CODING_ON) {
    if (state->phase == WITHIN)
      result = inflate_more(state, step);
    else if (step->in_length)
      result = behind_member(state, step);
    if (step->in_length == 0 || step->made == step->room)
      break;
  }
  return result;
}

/* ── deflate ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What it is, by its second byte; the first one is given to zlib behind that. */
static enum gg__coding_result begin_deflate(struct state *state, struct gg__coding_step *step)
{
  unsigned header = (unsigned)state->first << 8 | *step->in;
  bool framed = (state->first & 0x0f) == Z_DEFLATED && state->first >> 4 <= 7 && header % 31 == 0;
  enum gg__coding_result result = begin(state, framed ? WINDOW_BITS : -WINDOW_BITS);
  size_t one = 1;
  if (result == GG__CODING_ON)
    result = give(state, step, &state->first, &one);
  return result;
}

static enum gg__coding_result run_deflate(void *self, struct gg__coding_step *step)
{
  struct state *state = self;
  enum gg__coding_result result = GG__CODING_ON;
  while (result == GG__CODING_ON) {
    if (state->phase == FIRST && step->in_length) {
      state->first = *step->in++;
      step->in_length--;
      state->phase = SECOND;
    } else if (state->phase == SECOND && step->in_length) {
      result = begin_deflate(state, step);
    } else if (state->phase == WITHIN) {
      result = inflate_more(state, step);
    } else if (state->phase == ENDED && step->in_length) {
      result = damaged(step, "there is more behind its end");
    }
    if (step->in_length == 0 || step->made == step->room)
      break;
  }
  return result;
}

const struct gg__coding gg__coding_gzip = {
  .name = "gzip", .open = open_state, .run = run_gzip, .is_whole = is_whole, .close = close_state};
const struct gg__coding gg__coding_deflate = {
  .name = "deflate", .open = open_state, .run = run_deflate, .is_whole = is_whole, .close = close_state};
