/* SPDX-License-Identifier: Apache-2.0 */
#include "store/held.h"

#include "store/segment_name.h"

#include <stdlib.h>
#include <string.h>

struct gg__held_session {
  char id[25];
  bool held;
};

struct gg__held_log {
  char log[GG__SEGMENT_LOG_MAX];
  char last[GG__KEEP_NAME_MAX]; /* segment in which one of them ended */
};

void gg__held_fini(struct gg__held *held)
{
  free(held->sessions);
  free(held->logs);
  *held = (struct gg__held){0};
}

/* Where it is, or would have to be. */
static size_t find(const struct gg__held *held, const char *id, bool *found)
{
  size_t from = 0, to = held->count;
  *found = false;
  while (from < to && !*found) {
    size_t middle = from + (to - from) / 2;
    int order = strcmp(held->sessions[middle].id, id);
    *found = order == 0;
    if (*found)
      return middle;
    if (order < 0)
      from = middle + 1;
    else
      to = middle;
  }
  return from;
}

static bool note_log(struct gg__held *held, const char log[GG__SEGMENT_LOG_MAX], const char *segment)
{
  for (size_t i = 0; i < held->log_count; i++)
    if (strcmp(held->logs[i].log, log) == 0) {
      if (gg__segment_order(held->logs[i].last, segment) < 0)
        memcpy(held->logs[i].last, segment, strlen(segment) + 1);
      return true;
    }
  if (held->log_count == held->log_room) {
    size_t room = held->log_room ? held->log_room * 2 : 16;
    struct gg__held_log *larger = realloc(held->logs, room * sizeof *larger);
    if (!larger)
      return false;
    held->logs = larger;
    held->log_room = room;
  }
  struct gg__held_log *fresh = &held->logs[held->log_count++];
  *fresh = (struct gg__held_log){0};
  memcpy(fresh->log, log, sizeof fresh->log);
  memcpy(fresh->last, segment, strlen(segment) + 1);
  return true;
}

static void note_session(struct gg__held *held, const char *id)
{
  bool found;
  size_t at = find(held, id, &found);
  if (found)
    return;
  if (held->count == held->room) {
    size_t room = held->room ? held->room * 2 : 64;
    struct gg__held_session *larger = realloc(held->sessions, room * sizeof *larger);
    if (!larger)
      return;
    held->sessions = larger;
    held->room = room;
  }
  memmove(held->sessions + at + 1, held->sessions + at, (held->count - at) * sizeof *held->sessions);
  held->sessions[at] = (struct gg__held_session){.held = true};
  memcpy(held->sessions[at].id, id, sizeof held->sessions[at].id);
  held->count++;
  held->held++;
}

/* What rewriters made of a session is a session of its own, that ends when it likes: neither counts as ended. */
static bool any_rewritten(const struct gg__kept *kept)
{
  for (size_t i = 0; i < kept->count; i++)
    if (kept->sessions[i].rewritten)
      return true;
  return false;
}

void gg__held_learn(struct gg__held *held, const char *segment, const struct gg__kept *kept)
{
  char log[GG__SEGMENT_LOG_MAX];
  if (!gg__segment_log(segment, log) || strlen(segment) >= GG__KEEP_NAME_MAX || any_rewritten(kept))
    return;
  for (size_t i = 0; i < kept->count; i++)
    if (kept->sessions[i].closed && note_log(held, log, segment))
      note_session(held, kept->sessions[i].id);
}

void gg__held_mark(struct gg__held *held, const struct gg__mark *mark)
{
  bool found;
  size_t at = find(held, mark->id, &found);
  if (!found || held->sessions[at].held == mark->held)
    return;
  held->sessions[at].held = mark->held;
  if (mark->held)
    held->held++;
  else
    held->held--;
}

bool gg__held_may_be_in(const struct gg__held *held, size_t count, const char *segment)
{
  char log[GG__SEGMENT_LOG_MAX];
  if (count != held->held)
    return count > 0;
  if (count == 0)
    return false;
  if (!gg__segment_log(segment, log))
    return true;
  for (size_t i = 0; i < held->log_count; i++)
    if (strcmp(held->logs[i].log, log) == 0)
      return gg__segment_order(segment, held->logs[i].last) <= 0 || gg__segment_same_base(segment, held->logs[i].last);
  return false;
}
