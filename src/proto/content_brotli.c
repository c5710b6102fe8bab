/* SPDX-License-Identifier: Apache-2.0 */
/* Brotli (RFC 7932). The library keeps what it has made until its ring is full or it wants more: so it is given little
 * at a time, and of a damaged stream most of what came before the damage is told. */
#include "proto/coding.h"

#include <brotli/decode.h>

enum { SLICE = 256 };

static void *open_state(void)
{
  return BrotliDecoderCreateInstance(NULL, NULL, NULL);
}

static void close_state(void *state)
{
  BrotliDecoderDestroyInstance(state);
}

static bool is_whole(const void *state)
{
  return BrotliDecoderIsFinished(state);
}

static enum gg__coding_result fail(BrotliDecoderState *state, struct gg__coding_step *step)
{
  BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(state);
  step->why = BrotliDecoderErrorString(code);
  return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES && code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
           ? GG__CODING_NOMEM
           : GG__CODING_DAMAGED;
}

static enum gg__coding_result run(void *state, struct gg__coding_step *step)
{
  while (step->in_length || step->made == 0) {
    size_t given = step->in_length < SLICE ? step->in_length : SLICE, left = given, room = step->room - step->made;
    uint8_t *out = step->out + step->made;
    if (given && BrotliDecoderIsFinished(state)) {
      step->why = "there is more behind its end";
      return GG__CODING_DAMAGED;
    }
    BrotliDecoderResult result = BrotliDecoderDecompressStream(state, &left, &step->in, &room, &out, NULL);
    step->in_length -= given - left;
    step->made = step->room - room;
    if (result == BROTLI_DECODER_RESULT_ERROR)
      return fail(state, step);
    if (room == 0 || step->in_length == 0)
      break;
  }
  return GG__CODING_ON;
}

const struct gg__coding gg__coding_brotli = {
  .name = "br", .open = open_state, .run = run, .is_whole = is_whole, .close = close_state};
