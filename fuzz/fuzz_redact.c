/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns and a stream in pieces, against a search that has the whole of it: both must mask the same bytes, and what
 * is kept back must be the beginning of a match.
 *
 * Input: patterns, one a line, the first letter says what it is (l, i, b, r); an empty line; then the stream, in which
 * each byte of 0xf0 and above ends a piece.
 */
#include "../plugins/redact/redact.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_MAX = 512, STATES_NAIVE_MAX = 256, LINE_BYTES = 128, PIECE_END = 0xf0 };

static int add(struct automaton *automaton, const char *line)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = line[0] == 'l'   ? automaton_add_literal(automaton, line + 1, false, &failure)
              : line[0] == 'i' ? automaton_add_regex(automaton, line + 1, true, &failure)
              : line[0] == 'b' ? automaton_add_bytes(automaton, line + 1, &failure)
                               : automaton_add_regex(automaton, line + 1, false, &failure);
  assert(!error || failure.message[0]);
  return error;
}

/* All that can begin at `at`: each byte of each match is marked. Returns whether one still goes on at the end. */
static bool mark(const struct automaton *automaton, const uint8_t *bytes, size_t length, size_t at, bool *marked)
{
  bool now[STATES_NAIVE_MAX], next[STATES_NAIVE_MAX], any = false;
  for (size_t i = at; i < length; i++) {
    memset(next, 0, sizeof next);
    for (uint32_t s = 0; s < automaton->state_count; s++)
      next[s] = i == at && automaton->begins[s];
    for (uint32_t e = 0; i > at && e < automaton->edge_count; e++)
      if (now[automaton->edge[e].from])
        next[automaton->edge[e].to] = true;
    any = false;
    for (uint32_t s = 0; s < automaton->state_count; s++) {
      now[s] = next[s] && (automaton->state[s].class[bytes[i] / 32] >> bytes[i] % 32 & 1);
      if (now[s] && automaton->state[s].accepts)
        memset(marked + at, true, i + 1 - at);
      any = any || (now[s] && automaton->follow_at[s] < automaton->follow_at[s + 1]);
    }
  }
  return any;
}

static void check(const struct automaton *automaton, const uint8_t *stream, size_t length, const bool *ends)
{
  uint8_t pieces[STREAM_MAX];
  bool marked[STREAM_MAX] = {false};
  struct matcher matcher = {0};
  size_t let_go = 0, shown = 0, masked = 0, total = 0, changed = 0;
  memcpy(pieces, stream, length);
  for (size_t end = 1; end <= length; end++) {
    if (!ends[end - 1] && end < length)
      continue;
    size_t keep = matcher_run(&matcher, automaton, pieces + let_go, end - let_go, shown - let_go, 0xff, &masked);
    assert(keep <= end - let_go && keep < LONGEST);
    size_t first = 0;
    bool none[STREAM_MAX];
    while (first < end && !mark(automaton, stream, end, first, none))
      first++;
    assert(keep == end - first);
    total += masked;
    shown = end;
    let_go = end - keep;
  }
  for (size_t at = 0; at < length; at++)
    mark(automaton, stream, length, at, marked);
  for (size_t at = 0; at < length; at++) {
    assert(pieces[at] == (marked[at] ? 0xff : stream[at]));
    changed += pieces[at] != stream[at];
  }
  assert(total == changed);
  matcher_fini(&matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct automaton *automaton = calloc(1, sizeof *automaton);
  struct gg_failure failure = GG_FAILURE_INIT;
  uint8_t stream[STREAM_MAX];
  bool ends[STREAM_MAX] = {false};
  size_t at = 0, length = 0;
  bool good = automaton != NULL, any = false;
  while (good && at < size && data[at] != '\n') {
    char line[LINE_BYTES] = "";
    size_t used = 0;
    for (; at < size && data[at] != '\n'; at++)
      if (used + 1 < sizeof line && data[at])
        line[used++] = (char)data[at];
    at++;
    good = used > 0 && add(automaton, line) == 0;
    any = true;
  }
  for (at++; at < size && length < STREAM_MAX; at++)
    if (data[at] < PIECE_END)
      stream[length++] = data[at];
    else if (length > 0)
      ends[length - 1] = true;
  if (good && any && automaton->state_count <= STATES_NAIVE_MAX && automaton_finish(automaton, &failure) == 0)
    check(automaton, stream, length, ends);
  if (automaton)
    automaton_fini(automaton);
  free(automaton);
  return 0;
}
