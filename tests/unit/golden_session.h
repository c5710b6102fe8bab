/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded sessions of real peers: tests/golden/NAME.session, of lines "client HEX", "server HEX" and "client end". */
#ifndef GG_TEST_GOLDEN_SESSION_H
#define GG_TEST_GOLDEN_SESSION_H

#include "transcript.h"

enum { GOLDEN_PIECES = 256 };

struct golden {
  struct piece pieces[GOLDEN_PIECES];
  char *bytes[GOLDEN_PIECES];
  size_t count;
};

static inline struct golden *golden_read(const char *name)
{
  char path[512], *line = NULL;
  size_t room = 0;
  snprintf(path, sizeof path, GG_SOURCE_ROOT "/tests/golden/%s.session", name);
  FILE *file = fopen(path, "r");
  struct golden *golden = calloc(1, sizeof *golden);
  assert(file && golden);
  while (getline(&line, &room, file) > 0) {
    if (line[0] == '#')
      continue;
    assert(golden->count < GOLDEN_PIECES && strlen(line) > 7);
    struct piece *piece = &golden->pieces[golden->count];
    const char *hex = line + 7;
    size_t length = strcspn(hex, "\n") / 2;
    char *bytes = malloc(length + 1);
    assert(bytes);
    *piece = (struct piece){.side = line[0] == 'c' ? GG_SIDE_CLIENT : GG_SIDE_SERVER, .data = bytes, .length = length};
    piece->end = strcmp(hex, "end\n") == 0;
    if (piece->end)
      piece->length = 0;
    for (size_t i = 0; i < piece->length; i++) {
      char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
      bytes[i] = (char)strtoul(digits, NULL, 16);
    }
    golden->bytes[golden->count++] = bytes;
  }
  free(line);
  fclose(file);
  return golden;
}

static inline void golden_free(struct golden *golden)
{
  for (size_t i = 0; i < golden->count; i++)
    free(golden->bytes[i]);
  free(golden);
}

/* Ends after any number of its bytes (each `step`th), and bits that are not what they were, `rounds` times: nothing for
 * a sanitizer, and the same for bytes that come one by one. The seed is printed if that fails. */
static inline void golden_damage(const struct golden *golden, size_t step, unsigned rounds)
{
  size_t total = 0, shown;
  for (size_t i = 0; i < golden->count; i++)
    total += golden->pieces[i].length;
  for (size_t end = 0; end < total; end += step) {
    struct piece pieces[GOLDEN_PIECES];
    size_t count = 0;
    for (shown = 0; count < golden->count && shown < end; count++) {
      pieces[count] = golden->pieces[count];
      if (pieces[count].length > end - shown)
        pieces[count].length = end - shown;
      shown += pieces[count].length;
    }
    free(transcript_checked(NULL, pieces, count));
  }
  for (unsigned round = 0; round < rounds; round++) {
    unsigned seed = 20261123 + round;
    struct piece pieces[GOLDEN_PIECES];
    char *copies[GOLDEN_PIECES];
    for (size_t i = 0; i < golden->count; i++) {
      pieces[i] = golden->pieces[i];
      copies[i] = malloc(pieces[i].length + 1);
      assert(copies[i]);
      memcpy(copies[i], pieces[i].data, pieces[i].length);
      pieces[i].data = copies[i];
    }
    for (int flips = 1 + rand_r(&seed) % 8; flips > 0; flips--) {
      size_t which = (size_t)rand_r(&seed) % golden->count;
      if (pieces[which].length)
        copies[which][(size_t)rand_r(&seed) % pieces[which].length] ^= (char)(1 << rand_r(&seed) % 8);
    }
    char *whole = transcript_of(NULL, pieces, golden->count, CUT_NOT, 0);
    char *cut = transcript_of(NULL, pieces, golden->count, round % 8 ? CUT_RANDOMLY : CUT_BYTES, seed);
    if (strcmp(whole, cut) != 0) {
      fprintf(stderr, "round %u; whole:\n%s\ncut:\n%s\n", round, whole, cut);
      abort();
    }
    free(whole);
    free(cut);
    for (size_t i = 0; i < golden->count; i++)
      free(copies[i]);
  }
}

#endif
