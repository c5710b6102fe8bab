/* SPDX-License-Identifier: Apache-2.0 */
/**
 * window.h - the search of one direction of one session: bytes are pushed as they come, matches come out.
 *
 *   pushed:   ......[ behind, before )[ step: what the pattern sees        )[ after )............
 *                                     ^ scan: the next match begins here or later
 *
 * The pattern is asked only when a whole step of bytes and the context behind it are there, or the text has ended. So
 * which stretches it is asked about follows from the text alone, and it makes no difference in which pieces the bytes
 * were pushed. What it says of a stretch moves `scan`:
 *
 *   a match              behind its end; it is told
 *   none                 behind the stretch
 *   open at a place      there; and if that is where the stretch begins, the step is enlarged to `longest`, once
 *   open at `scan`,      what is there is all that this attempt gets to see: it matches so, and is told, or does not,
 *   for `longest` bytes  and then the next one is made a byte further. Counted in `cut`.
 *   the same, for the    behind the stretch: such a pattern would look at all of it from each place.
 *   GG_WINDOW_CUTS_MAXth Counted in `gave_up`.
 *   time in `longest`
 *   it gave up           behind the stretch. Counted in `gave_up`.
 *
 * A gap ends the text, and another one begins behind it.
 *
 * Rejected: searching each packet as it comes, and what is left open of it together with the next. That saves a copy,
 * and makes results depend on how well an engine resumes; and a call for each small packet costs more than the copy.
 *
 * Private to src/store. Thread: the finder's. Memory: behind + before + longest + after + step, and times of packets.
 */
#ifndef GG_STORE_WINDOW_H
#define GG_STORE_WINDOW_H

#include "store/pattern.h"

enum { GG_GREP_STEP = 1 << 14 };

/* A match as it is found. The bytes are borrowed for the call. */
struct gg__hit {
  uint64_t offset, time_ns;
  const uint8_t *data;
  size_t length, before, after;
};

/* What is equal for all windows of a search. */
struct gg__windowing {
  const struct gg_pattern *pattern;
  size_t step, longest; /* GG_GREP_STEP, GG_GREP_MATCH_MAX */
  size_t before, after;
};

struct gg__window {
  uint8_t *bytes;
  size_t room;
  size_t length;               /* that are there */
  size_t scan;                 /* among them */
  uint64_t offset;             /* of the first, in the stream */
  bool enlarged;               /* the step at `scan` is `longest` */
  bool stopped;                /* nothing more is wanted */
  struct gg__mark_time *times; /* from which offset on which time holds */
  size_t time_count, time_room;
  uint64_t cut, gave_up;
  uint64_t cuts_end; /* offset up to which `cuts` counts those that matched nothing */
  unsigned cuts;
};

/* Non-zero: no more of this window is wanted. */
typedef bool (*gg__hit_fn)(void *context, const struct gg__hit *hit);

/* Bytes at `offset`: where those pushed before end, or the window is empty. Times never go back. GG_ERR_NOMEM. */
int gg__window_push(struct gg__window *window, const struct gg__windowing *how, struct gg__finder *finder,
                    const uint8_t *data, size_t length, uint64_t offset, uint64_t time_ns, gg__hit_fn hit,
                    void *context);
/* The text ends here; the window is empty then, and takes another. */
void gg__window_end(struct gg__window *window, const struct gg__windowing *how, struct gg__finder *finder,
                    gg__hit_fn hit, void *context);
/* No match that is still to come begins before this time; UINT64_MAX: nothing waits to be searched. */
uint64_t gg__window_open_ns(const struct gg__window *window);
void gg__window_fini(struct gg__window *window); /* zeros again, but for the counts */

#endif
