/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - handing blocks to sinks on the writer thread, and telling them of files.
 *
 * The list is changed under a lock that is never held while a sink is called: who calls takes a copy of the list, and
 * holds what is in it. (Rejected: the list as one object with a count of its own, as a chain of hooks is. It would have
 * to be allocated by a reload that can be refused no more.)
 */
#include "record/sink.h"

#include "record/log_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct held {
  unsigned count;
  struct gg_recorder_sink *items[GG_RECORDER_SINKS_MAX];
};

static void hold(struct gg_recorder *recorder, struct held *held)
{
  held->count = 0;
  if (atomic_load_explicit(&recorder->sink_count, memory_order_relaxed) == 0)
    return;
  pthread_mutex_lock(&recorder->sinks_lock);
  held->count = atomic_load_explicit(&recorder->sink_count, memory_order_relaxed);
  for (unsigned i = 0; i < held->count; i++) {
    held->items[i] = recorder->sinks[i];
    held->items[i]->ops->hold(held->items[i]);
  }
  pthread_mutex_unlock(&recorder->sinks_lock);
}

static void release(const struct held *held)
{
  for (unsigned i = 0; i < held->count; i++)
    held->items[i]->ops->release(held->items[i]);
}

void gg_recorder_sinks(struct gg_recorder *recorder, struct gg_recorder_sink *const *sinks, size_t count)
{
  struct held before = {0};
  assert(count <= GG_RECORDER_SINKS_MAX);
  for (size_t i = 0; i < count; i++)
    sinks[i]->ops->hold(sinks[i]);
  pthread_mutex_lock(&recorder->sinks_lock);
  before.count = atomic_load_explicit(&recorder->sink_count, memory_order_relaxed);
  memcpy(before.items, recorder->sinks, before.count * sizeof before.items[0]);
  if (count > 0)
    memcpy(recorder->sinks, sinks, count * sizeof sinks[0]);
  atomic_store_explicit(&recorder->sink_count, (unsigned)count, memory_order_relaxed);
  pthread_mutex_unlock(&recorder->sinks_lock);
  release(&before);
}

/* ── The writer ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_refusal(struct gg_log *log, const struct gg_recorder_sink *sink, int error,
                         const struct gg_failure *why)
{
  if (log->refusals > 0 && log->sink_refuses)
    return;
  gg_error_log(log->recorder->logger, "a sink does not take the recording, trying again",
               GG_S("sink", sink->ops->name(sink)), GG_S("log", log->name),
               GG_S("reason", why->message[0] ? why->message : gg_error_text(error)));
}

static bool give(struct gg_log *log, struct gg_recorder_sink *sink, const struct gg_recorder_block *block)
{
  struct gg_failure why = GG_FAILURE_INIT;
  int error = sink->ops->take(sink, block, &why);
  why.message[sizeof why.message - 1] = '\0';
  if (error)
    tell_refusal(log, sink, error, &why);
  return error == 0;
}

static bool give_bytes(struct gg_log *log, struct gg_recorder_sink *sink, const struct gg__segment *segment,
                       uint64_t from, uint64_t to)
{
  uint64_t taken = sink->logs[log->index].taken;
  from = taken > from ? taken : from;
  if (!sink->ops->take || from >= to)
    return true;
  const struct gg_recorder_block block = {
    .segment = segment->name,
    .log = log->index,
    .number = segment->number,
    .offset = from - segment->start,
    .bytes = log->oldest->data + (from & (log->oldest->bytes - 1)),
    .length = (size_t)(to - from),
  };
  bool given = give(log, sink, &block);
  if (given)
    sink->logs[log->index].taken = to;
  return given;
}

static bool give_end(struct gg_log *log, struct gg_recorder_sink *sink, const struct gg__segment *segment, uint64_t end)
{
  if (!sink->ops->take || sink->logs[log->index].ended == segment->number)
    return true;
  const struct gg_recorder_block block = {
    .segment = segment->name,
    .log = log->index,
    .number = segment->number,
    .offset = end - segment->start,
    .last = true,
  };
  bool given = give(log, sink, &block);
  if (given)
    sink->logs[log->index].ended = segment->number;
  return given;
}

bool gg__sinks_take(struct gg_log *log, const struct gg__segment *segment, uint64_t from, uint64_t to)
{
  struct held held;
  bool all = true;
  hold(log->recorder, &held);
  for (unsigned i = 0; i < held.count; i++)
    all &= give_bytes(log, held.items[i], segment, from, to);
  release(&held);
  return all;
}

bool gg__sinks_end(struct gg_log *log, const struct gg__segment *segment, uint64_t end)
{
  struct held held;
  bool all = true;
  hold(log->recorder, &held);
  for (unsigned i = 0; i < held.count; i++)
    all &= give_end(log, held.items[i], segment, end);
  release(&held);
  return all;
}

/* ── Complete files ──────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__sinks_sealed(struct gg_recorder *recorder, const struct gg_recorder_sealed *sealed)
{
  struct held held;
  hold(recorder, &held);
  for (unsigned i = 0; i < held.count; i++)
    if (held.items[i]->ops->sealed)
      held.items[i]->ops->sealed(held.items[i], sealed);
  release(&held);
}

void gg__recovered_add(struct gg_recorder *recorder, const char *name, uint64_t bytes)
{
  size_t at = 0;
  while (at < recorder->recovered_count && strcmp(recorder->recovered[at].name, name) != 0)
    at++;
  if (at == recorder->recovered_count) {
    struct gg__recovered *more =
      reallocarray(recorder->recovered, recorder->recovered_count + 1, sizeof *recorder->recovered);
    if (!more) {
      gg_warn(recorder->logger, "no memory to tell plug-ins of a recovered segment", GG_S("segment", name));
      return;
    }
    recorder->recovered = more;
    recorder->recovered_count++;
    snprintf(more[at].name, sizeof more[at].name, "%s", name);
  }
  recorder->recovered[at].bytes = bytes;
}

void gg_recorder_tell_recovered(struct gg_recorder *recorder)
{
  for (size_t i = 0; i < recorder->recovered_count; i++) {
    const struct gg_recorder_sealed sealed = {
      .name = recorder->recovered[i].name, .bytes = recorder->recovered[i].bytes, .recovered = true};
    gg__sinks_sealed(recorder, &sealed);
  }
  free(recorder->recovered);
  recorder->recovered = NULL;
  recorder->recovered_count = 0;
}
