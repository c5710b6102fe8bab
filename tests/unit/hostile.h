/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that are cut off at each byte, and such with bits turned: nothing may come of it but what is told. */
#ifndef GG_TEST_HOSTILE_H
#define GG_TEST_HOSTILE_H

#include "transcript.h"

enum { HOSTILE_PIECES_MAX = 64 };

static inline void hostile_cut_off(const struct gg_decoding_options *options, const struct piece *pieces, size_t count)
{
  struct piece cut[HOSTILE_PIECES_MAX];
  assert(count <= HOSTILE_PIECES_MAX);
  for (size_t i = 0; i < count; i++) {
    memcpy(cut, pieces, (i + 1) * sizeof *cut);
    for (size_t length = 0; length < pieces[i].length && pieces[i].data; length++) {
      cut[i].length = length;
      free(transcript_of(options, cut, i + 1, CUT_NOT, 0));
    }
  }
}

/* `rounds` times, up to four bits; cut at random, and whole: both tell the same. */
static inline void hostile_flip(const struct gg_decoding_options *options, const struct piece *pieces, size_t count,
                                unsigned rounds, unsigned seed)
{
  assert(count <= HOSTILE_PIECES_MAX);
  for (unsigned round = 0; round < rounds; round++) {
    unsigned random = seed + round;
    struct piece flipped[HOSTILE_PIECES_MAX];
    for (size_t i = 0; i < count; i++) {
      flipped[i] = pieces[i];
      if (!pieces[i].data)
        continue;
      char *copy = malloc(pieces[i].length + 1);
      assert(copy);
      memcpy(copy, pieces[i].data, pieces[i].length);
      flipped[i].data = copy;
    }
    for (unsigned bits = 1 + (unsigned)rand_r(&random) % 4; bits; bits--) {
      struct piece *piece = &flipped[(size_t)rand_r(&random) % count];
      if (piece->data && piece->length)
        ((char *)(uintptr_t)piece->data)[(size_t)rand_r(&random) % piece->length] ^= (char)(1 << rand_r(&random) % 8);
    }
    char *whole = transcript_of(options, flipped, count, CUT_NOT, 0);
    char *cut = transcript_of(options, flipped, count, CUT_RANDOMLY, round);
    if (strcmp(whole, cut) != 0) {
      fprintf(stderr, "seed %u, round %u; whole:\n%s\ncut:\n%s\n", seed, round, whole, cut);
      abort();
    }
    free(whole);
    free(cut);
    for (size_t i = 0; i < count; i++)
      free((char *)(uintptr_t)(flipped[i].data ? flipped[i].data : NULL));
  }
}

#endif
