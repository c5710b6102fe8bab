/* SPDX-License-Identifier: Apache-2.0 */
#include "store/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 512, TIMES_FIRST = 8 };

struct gg__mark_time {
  uint64_t offset, time_ns;
};

/* ── Times ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int note_time(struct gg__window *window, uint64_t offset, uint64_t time_ns)
{
  if (window->time_count > 0 && window->times[window->time_count - 1].time_ns == time_ns)
    return 0;
  if (window->time_count == window->time_room) {
    size_t room = window->time_room ? window->time_room * 2 : TIMES_FIRST;
    struct gg__mark_time *larger = realloc(window->times, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    window->times = larger;
    window->time_room = room;
  }
  window->times[window->time_count++] = (struct gg__mark_time){offset, time_ns};
  return 0;
}

/* The last time that was noted at `offset` or in front of it. */
static size_t find_time(const struct gg__window *window, uint64_t offset)
{
  size_t low = 0, high = window->time_count;
  assert(high > 0);
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (window->times[middle].offset <= offset)
      low = middle;
    else
      high = middle;
  }
  return low;
}

static void drop_times(struct gg__window *window)
{
  if (window->time_count == 0)
    return;
  size_t first = find_time(window, window->offset + window->scan);
  window->time_count -= first;
  memmove(window->times, window->times + first, window->time_count * sizeof *window->times);
}

uint64_t gg__window_open_ns(const struct gg__window *window)
{
  if (window->stopped || window->scan >= window->length)
    return UINT64_MAX;
  return window->times[find_time(window, window->offset + window->scan)].time_ns;
}

/* ── Searching ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct searching {
  struct gg__window *window;
  const struct gg__windowing *how;
  struct gg__finder *finder;
  gg__hit_fn hit;
  void *context;
  bool ends; /* the text does, with what is there */
};

static void tell(const struct searching *searching, const struct gg__span *span)
{
  struct gg__window *window = searching->window;
  size_t before = searching->how->before, after = searching->how->after, behind = window->length - span->end;
  struct gg__hit hit = {.offset = window->offset + span->begin,
                        .data = window->bytes + span->begin,
                        .length = span->end - span->begin,
                        .before = before < span->begin ? before : span->begin,
                        .after = after < behind ? after : behind};
  hit.time_ns = window->times[find_time(window, hit.offset)].time_ns;
  window->scan = span->end;
  window->enlarged = false;
  if (searching->hit(searching->context, &hit))
    window->stopped = true;
}

static void give_up(struct gg__window *window, size_t end)
{
  window->gave_up += end - window->scan;
  window->scan = end;
  window->enlarged = false;
}

/* Whether so many attempts close together have come to nothing that the others there are not made. */
static bool enough_cuts(struct gg__window *window, const struct gg__windowing *how)
{
  uint64_t at = window->offset + window->scan;
  if (at >= window->cuts_end) {
    window->cuts_end = at + how->longest;
    window->cuts = 0;
  }
  return ++window->cuts >= GG_WINDOW_CUTS_MAX;
}

/* An attempt at `scan` is open, and has seen all that it may. */
static void cut(const struct searching *searching, size_t end)
{
  struct gg__window *window = searching->window;
  struct gg__span span;
  window->cut++;
  enum gg__found found = gg__finder_find(searching->finder, window->bytes, end, window->scan, GG__STRETCH_CUT, &span);
  if (found == GG__FOUND_MATCH)
    tell(searching, &span);
  else if (found == GG__FOUND_GAVE_UP || enough_cuts(window, searching->how))
    give_up(window, end);
  else
    window->scan = gg__pattern_anchored(searching->how->pattern) ? end : window->scan + 1;
}

/* Asks about the next stretch, if it is all there. False: it is not, or nothing is left. */
static bool search_step(const struct searching *searching)
{
  struct gg__window *window = searching->window;
  const struct gg__windowing *how = searching->how;
  struct gg__span span;
  size_t left = window->length - window->scan, step = window->enlarged ? how->longest : how->step;
  if (window->stopped || left == 0 || (!searching->ends && left < step + how->after))
    return false;
  bool last = searching->ends && left <= step;
  size_t end = last ? window->length : window->scan + step;
  switch (gg__finder_find(searching->finder, window->bytes, end, window->scan,
                          last ? GG__STRETCH_ENDS : GG__STRETCH_GOES_ON, &span)) {
  case GG__FOUND_MATCH:
    tell(searching, &span);
    return true;
  case GG__FOUND_GAVE_UP:
    give_up(window, end);
    return true;
  case GG__FOUND_PARTIAL:
    if (!last && span.begin == window->scan && window->enlarged) {
      cut(searching, end);
    } else {
      window->enlarged = span.begin == window->scan;
      window->scan = span.begin;
    }
    return true;
  case GG__FOUND_NONE:
    break;
  }
  window->scan = end;
  window->enlarged = false;
  return true;
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What is in front of `scan` and may still be looked at. */
static size_t kept_behind(const struct gg__windowing *how)
{
  size_t behind = gg__pattern_behind(how->pattern);
  return (behind > how->before ? behind : how->before) + 1;
}

static void drop_seen(struct gg__window *window, const struct gg__windowing *how)
{
  size_t keep = kept_behind(how);
  if (window->scan <= keep)
    return;
  size_t drop = window->scan - keep;
  drop_times(window);
  memmove(window->bytes, window->bytes + drop, window->length - drop);
  window->length -= drop;
  window->scan -= drop;
  window->offset += drop;
}

/* Room for some more bytes, at most `wanted`; 0: there is no memory. */
static size_t make_room(struct gg__window *window, const struct gg__windowing *how, size_t wanted)
{
  if (window->length + wanted <= window->room)
    return wanted;
  drop_seen(window, how);
  size_t step = window->enlarged ? how->longest : how->step;
  size_t most = kept_behind(how) + step + how->after + how->step;
  assert(window->length < most); /* else a step was there, and would have been searched */
  size_t needed = window->length + wanted < most ? window->length + wanted : most;
  if (needed > window->room) {
    size_t room = window->room ? window->room : ROOM_FIRST;
    while (room < needed)
      room *= 2;
    room = room < most ? room : most;
    uint8_t *larger = realloc(window->bytes, room);
    if (!larger)
      return 0;
    window->bytes = larger;
    window->room = room;
  }
  size_t left = window->room - window->length;
  return wanted < left ? wanted : left;
}

int gg__window_push(struct gg__window *window, const struct gg__windowing *how, struct gg__finder *finder,
                    const uint8_t *data, size_t length, uint64_t offset, uint64_t time_ns, gg__hit_fn hit,
                    void *context)
{
  const struct searching searching = {window, how, finder, hit, context, false};
  if (window->stopped || length == 0)
    return 0;
  if (window->length == 0)
    window->offset = offset;
  assert(window->offset + window->length == offset);
  if (note_time(window, offset, time_ns) != 0)
    return GG_ERR_NOMEM;
  for (size_t done = 0, bytes; done < length && !window->stopped; done += bytes) {
    bytes = make_room(window, how, length - done);
    if (bytes == 0)
      return GG_ERR_NOMEM;
    memcpy(window->bytes + window->length, data + done, bytes);
    window->length += bytes;
    while (search_step(&searching)) { /* bounded: each turn moves `scan`, or enlarges the step there */
    }
  }
  return 0;
}

void gg__window_end(struct gg__window *window, const struct gg__windowing *how, struct gg__finder *finder,
                    gg__hit_fn hit, void *context)
{
  const struct searching searching = {window, how, finder, hit, context, true};
  while (search_step(&searching)) { /* likewise */
  }
  window->length = window->scan = window->time_count = 0;
  window->cuts_end = 0;
  window->enlarged = false;
}

void gg__window_fini(struct gg__window *window)
{
  free(window->bytes);
  free(window->times);
  *window = (struct gg__window){.stopped = window->stopped, .cut = window->cut, .gave_up = window->gave_up};
}
