/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sums are simple. The peak is a sweep: sessions begin in order of their due times, and a heap has the ends of
 * those that are open. It stops where the peak reaches what may be open. Up to there nothing is held back, so the sweep
 * need not know how the scheduler holds sessions: the peak is the smaller of the two.
 *
 * Without a rate loops do not overlap, and behind the ramp one is like the other; with a rate they may, but the longest
 * session bounds for how many sessions that matters. Both are met well within GG_PREVIEW_BEGINS_MAX.
 */
#include "replay/preview.h"

#include "replay/scheduler.h"

#include <stdlib.h>

struct ends {
  uint64_t *at; /* a binary heap, the earliest on top */
  size_t count, room;
};

static bool ends_push(struct ends *ends, uint64_t end_ns)
{
  if (ends->count == ends->room) {
    size_t room = ends->room ? 2 * ends->room : 1024;
    uint64_t *at = realloc(ends->at, room * sizeof *at);
    if (!at)
      return false;
    ends->at = at;
    ends->room = room;
  }
  size_t index = ends->count++;
  for (; index > 0 && end_ns < ends->at[(index - 1) / 2]; index = (index - 1) / 2)
    ends->at[index] = ends->at[(index - 1) / 2];
  ends->at[index] = end_ns;
  return true;
}

static void ends_pop(struct ends *ends)
{
  uint64_t last = ends->at[--ends->count];
  size_t index = 0;
  for (size_t child = 1; child < ends->count; child = 2 * index + 1) {
    if (child + 1 < ends->count && ends->at[child + 1] < ends->at[child])
      child++;
    if (ends->at[child] >= last)
      break;
    ends->at[index] = ends->at[child];
    index = child;
  }
  ends->at[index] = last;
}

/* A session of the script that is played; false: it is not. */
static bool played(const struct gg_script *script, const struct gg_replay_options *options, size_t index,
                   struct gg_script_session *out)
{
  script->ops->session(script, index, out);
  return !*gg__session_skipped(out, options);
}

static uint64_t length_of(const struct gg_timing *timing, const struct gg_script_session *session)
{
  return session->end_ns > session->start_ns ? gg__timing_span(timing, session->end_ns - session->start_ns) : 0;
}

/* The most sessions that are open at once, looked for until it is `enough`. */
static int peak_of(const struct gg_script *script, const struct gg_replay_options *options,
                   const struct gg_timing *timing, uint64_t enough, uint64_t *out, struct gg_failure *failure)
{
  struct ends ends = {0};
  size_t count = script->ops->count(script);
  uint64_t begins = 0;
  *out = 0;
  for (uint64_t loop = 0; loop < options->loops && (loop == 0 || begins < GG_PREVIEW_BEGINS_MAX); loop++) {
    uint64_t number = 0;
    for (size_t i = 0; i < count && *out < enough; i++) {
      struct gg_script_session session;
      if (!played(script, options, i, &session))
        continue;
      uint64_t due_ns = gg__timing_start(timing, loop, number++, session.start_ns);
      while (ends.count && ends.at[0] <= due_ns)
        ends_pop(&ends);
      if (!ends_push(&ends, due_ns + length_of(timing, &session))) {
        free(ends.at);
        return gg_fail(failure, GG_ERR_NOMEM, "no memory to count %zu connections", ends.count);
      }
      if (ends.count > *out)
        *out = ends.count;
    }
    begins += number;
    if (number == 0 || *out >= enough)
      break;
  }
  free(ends.at);
  return 0;
}

/* Sums that are larger than their type say its most: whoever asks for a million copies in a million loops is told of as
 * many bytes as there can be, not of a few. */
static void add(uint64_t *sum, uint64_t value)
{
  if (__builtin_add_overflow(*sum, value, sum))
    *sum = UINT64_MAX;
}

static uint64_t times(uint64_t value, uint64_t factor)
{
  uint64_t product;
  return __builtin_mul_overflow(value, factor, &product) ? UINT64_MAX : product;
}

static void sum(const struct gg_script *script, const struct gg_replay_options *options, const struct gg_timing *timing,
                struct gg_replay_plan *out)
{
  uint64_t each = (uint64_t)options->copies * options->loops;
  size_t count = script->ops->count(script);
  for (size_t i = 0; i < count; i++) {
    struct gg_script_session session;
    bool plays = played(script, options, i, &session);
    out->sessions++;
    out->opaque += session.opaque != NULL;
    out->partial += !session.opaque && (session.gaps > 0 || session.beginning_missing);
    if (!plays)
      continue;
    uint64_t end_ns =
      gg__timing_start(timing, options->loops - 1, out->played, session.start_ns) + length_of(timing, &session);
    if (end_ns > out->duration_ns)
      out->duration_ns = end_ns;
    out->played++;
    add(&out->chunks, session.chunks);
    add(&out->chunks_dependent, session.dependent);
    add(&out->bytes, session.bytes[GG_SIDE_CLIENT]);
    add(&out->bytes_expected, session.bytes[GG_SIDE_SERVER]);
  }
  out->connections = times(out->played, each);
  out->chunks = times(out->chunks, each);
  out->chunks_dependent = times(out->chunks_dependent, each);
  out->bytes = times(out->bytes, each);
  out->bytes_expected = times(out->bytes_expected, each);
}

int gg__preview(const struct gg_script *script, const struct gg_replay_options *options, const struct gg_timing *timing,
                uint32_t connections_max, struct gg_replay_plan *out, struct gg_failure *failure)
{
  *out = (struct gg_replay_plan){0};
  sum(script, options, timing, out);
  uint64_t most = out->connections < connections_max ? out->connections : connections_max;
  if (timing->speed_percent == 0 && timing->rate == 0) { /* all at once */
    out->connections_peak = most;
    return 0;
  }
  uint64_t peak = 0;
  int error = peak_of(script, options, timing, (most + options->copies - 1) / options->copies, &peak, failure);
  if (error)
    return error;
  peak *= options->copies;
  out->connections_peak = peak < most ? peak : most;
  return 0;
}
