/* SPDX-License-Identifier: Apache-2.0 */
/* Zstandard (RFC 8878), of several frames perhaps. A window of more than 8 MiB is refused, as RFC 9659 has it. */
#include "proto/coding.h"

#include <stdlib.h>
#include <zstd.h>

enum { WINDOW_LOG_MAX = 23 };

struct state {
  ZSTD_DStream *stream;
  bool whole; /* behind a frame */
};

static void close_state(void *self)
{
  struct state *state = self;
  ZSTD_freeDStream(state->stream);
  free(state);
}

static void *open_state(void)
{
  struct state *state = calloc(1, sizeof *state);
  if (!state)
    return NULL;
  state->stream = ZSTD_createDStream();
  if (state->stream && !ZSTD_isError(ZSTD_DCtx_setParameter(state->stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
    return state;
  close_state(state);
  return NULL;
}

static bool is_whole(const void *state)
{
  return ((const struct state *)state)->whole;
}

static enum gg__coding_result run(void *self, struct gg__coding_step *step)
{
  struct state *state = self;
  ZSTD_inBuffer in = {.src = step->in, .size = step->in_length};
  ZSTD_outBuffer out = {.dst = step->out, .size = step->room};
  if (state->whole && step->in_length == 0)
    return GG__CODING_ON;
  do {
    size_t result = ZSTD_decompressStream(state->stream, &out, &in);
    state->whole = result == 0;
    if (ZSTD_isError(result)) {
      step->why = ZSTD_getErrorName(result);
      step->made = out.pos;
      return GG__CODING_DAMAGED;
    }
  } while (in.pos < in.size && out.pos < out.size);
  step->in += in.pos;
  step->in_length -= in.pos;
  step->made = out.pos;
  return GG__CODING_ON;
}

const struct gg__coding gg__coding_zstd = {
  .name = "zstd", .open = open_state, .run = run, .is_whole = is_whole, .close = close_state};
