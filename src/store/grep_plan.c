/* SPDX-License-Identifier: Apache-2.0 */
#include "store/grep_plan.h"

#include "store/pass.h"
#include "store/segment_name.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

enum { LOGS_MAX = 64, OVERLAP_SHARE = 4, TIME_BYTES = 16 };

/* A batch that is being made. */
struct open_batch {
  char log[GG__SEGMENT_LOG_MAX];
  uint32_t number;
  size_t sessions; /* 0: none is */
  uint64_t start_ns, reach_ns;
  uint64_t bytes, memory;
};

struct planning {
  const struct gg_session_list *list;
  const struct gg__windowing *how;
  const bool *skip;
  uint64_t share; /* of bytes: a batch that has so many is full */
  struct open_batch logs[LOGS_MAX];
  size_t log_count;
};

static uint64_t payload_of(const struct gg_session *session)
{
  return session->bytes[0] + session->bytes[1];
}

/* What its windows will usually take. */
static uint64_t memory_of(const struct planning *planning, const struct gg_session *session)
{
  const struct gg__windowing *how = planning->how;
  uint64_t most = gg__pattern_behind(how->pattern) + how->before + 2 * how->step + how->after,
           sum = sizeof(struct gg__item);
  for (int side = 0; side < 2; side++) {
    if (planning->skip[side])
      continue;
    uint64_t bytes = session->bytes[side] < most ? session->bytes[side] : most;
    sum += bytes + TIME_BYTES * (session->packets[side] < bytes ? session->packets[side] : bytes);
  }
  return sum;
}

/* Captures of others, and logs beyond the last that there is room for, are one log. */
static struct open_batch *batch_of_log(struct planning *planning, const struct gg_session *session)
{
  char log[GG__SEGMENT_LOG_MAX];
  const struct gg__part *part = gg__record_of(session)->parts;
  if (!part || !gg__segment_log(part->capture->name, log))
    log[0] = '\0';
  for (size_t i = 0; i < planning->log_count; i++)
    if (strcmp(planning->logs[i].log, log) == 0)
      return &planning->logs[i];
  if (planning->log_count == LOGS_MAX)
    return &planning->logs[LOGS_MAX - 1];
  struct open_batch *batch = &planning->logs[planning->log_count++];
  *batch = (struct open_batch){0};
  memcpy(batch->log, log, strlen(log) + 1);
  return batch;
}

static bool is_full(const struct planning *planning, const struct open_batch *batch, const struct gg_session *next)
{
  if (batch->sessions == GG_GREP_BATCH_SESSIONS_MAX || batch->bytes >= planning->share ||
      batch->memory + memory_of(planning, next) > GG_GREP_BATCH_MEMORY_BYTES)
    return true;
  uint64_t length_ns = next->start_ns - batch->start_ns;
  uint64_t overlap_ns = batch->reach_ns > next->start_ns ? batch->reach_ns - next->start_ns : 0;
  return batch->bytes >= GG_GREP_BATCH_BYTES && overlap_ns <= length_ns / OVERLAP_SHARE;
}

/* Gives each session its batch; returns how many there are. */
static uint32_t assign(struct planning *planning, uint64_t share, uint32_t *batch_of)
{
  uint32_t count = 0;
  planning->share = share;
  planning->log_count = 0;
  for (size_t i = 0; i < planning->list->count; i++) {
    const struct gg_session *session = planning->list->sessions[i];
    struct open_batch *batch = batch_of_log(planning, session);
    if (batch->sessions > 0 && is_full(planning, batch, session))
      batch->sessions = 0;
    if (batch->sessions == 0) {
      batch->number = count++;
      batch->start_ns = batch->reach_ns = session->start_ns;
      batch->bytes = batch->memory = 0;
    }
    batch->sessions++;
    batch->bytes += payload_of(session);
    batch->memory += memory_of(planning, session);
    batch->reach_ns = session->end_ns > batch->reach_ns ? session->end_ns : batch->reach_ns;
    batch_of[i] = batch->number;
  }
  return count;
}

/* From each session's batch to each batch's sessions. */
static void fill_members(struct gg__plan *plan, size_t count)
{
  for (size_t i = 0; i < count; i++)
    plan->begins[plan->batch_of[i] + 1]++;
  for (size_t i = 0; i < plan->batch_count; i++)
    plan->begins[i + 1] += plan->begins[i];
  for (size_t i = count; i-- > 0;) /* from behind: `begins` are ends, and become beginnings */
    plan->members[--plan->begins[plan->batch_of[i] + 1]] = i;
  memmove(plan->begins, plan->begins + 1, plan->batch_count * sizeof *plan->begins);
  plan->begins[plan->batch_count] = count;
}

int gg__plan_make(struct gg__plan *out, const struct gg_session_list *list, const struct gg__windowing *how,
                  const bool skip[2], unsigned threads)
{
  struct planning *planning = calloc(1, sizeof *planning);
  *out = (struct gg__plan){0};
  out->batch_of = calloc(list->count + 1, sizeof *out->batch_of);
  out->members = calloc(list->count + 1, sizeof *out->members);
  if (planning && out->batch_of && out->members) {
    planning->list = list;
    planning->how = how;
    planning->skip = skip;
    for (size_t i = 0; i < list->count; i++)
      out->bytes += payload_of(list->sessions[i]);
    out->batch_count = assign(planning, UINT64_MAX, out->batch_of);
    if (out->batch_count < threads && out->bytes / threads >= GG_GREP_BATCH_BYTES)
      out->batch_count = assign(planning, out->bytes / threads, out->batch_of);
    out->begins = calloc(out->batch_count + 2, sizeof *out->begins);
  }
  free(planning);
  if (!out->begins) {
    gg__plan_fini(out);
    return GG_ERR_NOMEM;
  }
  fill_members(out, list->count);
  return 0;
}

void gg__plan_fini(struct gg__plan *plan)
{
  free(plan->batch_of);
  free(plan->begins);
  free(plan->members);
  *plan = (struct gg__plan){0};
}
