/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matcher.c - runs the automaton over a stream that comes in pieces.
 *
 * All matches that have begun are followed at the same time, each with where it began; two that are in the same state
 * have the same future, so only the one that began earlier is kept. So no byte is looked at twice, whatever the stream
 * and however it is cut into pieces, and the work for a byte is bounded by the number of states. What began earliest
 * and has not ended says exactly how much has to be kept back.
 *
 * The automaton has no loops, so nothing can be followed for longer than LONGEST bytes.
 */
#include "redact.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Where in a list a state stands: place[state] is below its count, and the entry there has the state. */
struct list {
  struct beginning *entries;
  size_t count;
};

void matcher_fini(struct matcher *matcher)
{
  free(matcher->begun);
  *matcher = (struct matcher){0};
}

static bool enters(const struct automaton *automaton, uint32_t state, uint8_t byte)
{
  return automaton->state[state].class[byte / 32] & (1U << byte % 32);
}

static void put(struct list *list, uint16_t *place, uint16_t state, uint16_t bytes)
{
  size_t at = place[state];
  if (at < list->count && list->entries[at].state == state) {
    if (list->entries[at].bytes < bytes)
      list->entries[at].bytes = bytes;
    return;
  }
  place[state] = (uint16_t)list->count;
  list->entries[list->count++] = (struct beginning){state, bytes};
}

/* One byte: from what had begun before it to what has with it. */
static void step(const struct automaton *automaton, const struct list *before, struct list *after, uint16_t *place,
                 uint8_t byte)
{
  after->count = 0;
  for (size_t i = 0; i < before->count; i++) {
    uint16_t state = before->entries[i].state, bytes = (uint16_t)(before->entries[i].bytes + 1);
    for (uint32_t at = automaton->follow_at[state]; at < automaton->follow_at[state + 1]; at++)
      if (enters(automaton, automaton->follow[at], byte))
        put(after, place, automaton->follow[at], bytes);
  }
  for (uint32_t at = automaton->begin_at[byte]; at < automaton->begin_at[byte + 1]; at++)
    put(after, place, automaton->begin[at], 1);
}

/* The longest match that ends here; and from the list go those that cannot go on. */
static size_t harvest(const struct automaton *automaton, struct list *list)
{
  size_t longest = 0, kept = 0;
  for (size_t i = 0; i < list->count; i++) {
    struct beginning one = list->entries[i];
    if (automaton->state[one.state].accepts && one.bytes > longest)
      longest = one.bytes;
    if (automaton->follow_at[one.state] < automaton->follow_at[one.state + 1])
      list->entries[kept++] = one;
  }
  list->count = kept;
  return longest;
}

/* Returns how many were changed. */
static size_t cover(uint8_t *bytes, size_t length, uint8_t fill)
{
  size_t changed = 0;
  for (size_t i = 0; i < length; i++)
    changed += bytes[i] != fill;
  if (length > 0)
    memset(bytes, fill, length);
  return changed;
}

/* The last bytes that were covered without a gap. */
struct covered {
  size_t begin, end;
};

/* The same from `begin` to `end`, which only grows: not again what is covered. */
static size_t cover_match(struct covered *covered, uint8_t *bytes, size_t begin, size_t end, uint8_t fill)
{
  size_t from = begin;
  if (begin > covered->end || begin < covered->begin)
    covered->begin = begin;
  else
    from = covered->end;
  covered->end = end;
  return cover(bytes + from, end - from, fill);
}

/* What has begun is there in the next call. */
static bool keep(struct matcher *matcher, const struct list *list)
{
  if (list->count > matcher->size) {
    struct beginning *made = realloc(matcher->begun, list->count * sizeof *made);
    if (!made)
      return false;
    matcher->begun = made;
    matcher->size = list->count;
  }
  if (list->count > 0)
    memcpy(matcher->begun, list->entries, list->count * sizeof *list->entries);
  matcher->count = list->count;
  return true;
}

size_t matcher_run(struct matcher *matcher, const struct automaton *automaton, uint8_t *bytes, size_t length,
                   size_t seen, uint8_t fill, size_t *masked)
{
  struct beginning entries[2][STATES_MAX];
  uint16_t place[STATES_MAX];
  struct covered covered = {0};
  struct list lists[2] = {{entries[0], matcher->count}, {entries[1], 0}};
  struct list *now = &lists[0], *next = &lists[1];
  size_t back = 0;
  *masked = 0;
  memset(place, 0, automaton->state_count * sizeof place[0]);
  if (matcher->blind) {
    *masked = cover(bytes, length, fill);
    return 0;
  }
  if (matcher->count > 0)
    memcpy(entries[0], matcher->begun, matcher->count * sizeof entries[0][0]);
  for (size_t at = seen; at < length; at++) {
    uint8_t byte = bytes[at];
    if (now->count == 0 && automaton->begin_at[byte] == automaton->begin_at[byte + 1])
      continue;
    step(automaton, now, next, place, byte);
    size_t match = harvest(automaton, next);
    assert(match <= at + 1);
    if (match > 0)
      *masked += cover_match(&covered, bytes, at + 1 - match, at + 1, fill);
    struct list *swap = now;
    now = next;
    next = swap;
  }
  for (size_t i = 0; i < now->count; i++)
    back = now->entries[i].bytes > back ? now->entries[i].bytes : back;
  if (keep(matcher, now))
    return back;
  matcher->blind = true;
  *masked += cover(bytes + length - back, back, fill);
  return 0;
}
