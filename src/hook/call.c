/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - calling the plug-ins of a chain on a worker's thread, and measuring each.
 *
 * The clock is read once between two calls, and once in front of the first. A call that held the worker up for long is
 * counted, and now and then told: who runs the gateway should hear the plug-in's name, not guess it from latencies.
 */
#include "base/clock.h"
#include "hook/hook.h"
#include "hook/output.h"

#include <limits.h>
#include <stdatomic.h>

static void tell_slow(struct gg_hook *hook, enum gg_hook_point point, uint64_t now_ns, uint64_t took_ns)
{
  uint64_t told_ns = atomic_load_explicit(&hook->told_ns, memory_order_relaxed);
  if (told_ns != 0 && now_ns - told_ns < GG_HOOK_SLOW_TELL_NS)
    return;
  /* Of several workers that see this at once, one tells. */
  if (!atomic_compare_exchange_strong_explicit(&hook->told_ns, &told_ns, now_ns, memory_order_relaxed,
                                               memory_order_relaxed))
    return;
  const struct gg_log_field fields[] = {GG_S("plugin", hook->name), GG_S("hook", gg_hook_point_text(point)),
                                        GG_D("milliseconds", (double)took_ns / 1e6),
                                        GG_S("effect", "all sessions of a worker waited meanwhile")};
  gg_logger_emit(hook->desk->logger, NULL, GG_LEVEL_WARNING, "plug-in is slow", fields,
                 sizeof fields / sizeof fields[0]);
}

/* What was called at `began_ns` has returned: counts it. The time now, at which the next one begins. */
static uint64_t measure(struct gg_hook *hook, struct gg_shard *shard, enum gg_hook_point point, uint64_t began_ns)
{
  uint64_t now_ns = gg_clock_mono_ns(), took_ns = now_ns - began_ns;
  gg_shard_add(shard, hook->slot + GG__HOOK_CALLS_AT + point, 1);
  gg_shard_add(shard, hook->slot + GG__HOOK_TIMES_AT + point, took_ns);
  if (took_ns > GG_HOOK_SLOW_NS) {
    gg_shard_add(shard, hook->slot + GG__HOOK_SLOW_AT + point, 1);
    tell_slow(hook, point, now_ns, took_ns);
  }
  return now_ns;
}

#define BIT(kind) (1u << (kind))
enum {
  OF_ACCEPT = BIT(GG_VERDICT_PASS) | BIT(GG_VERDICT_CLOSE) | BIT(GG_VERDICT_RESET) | BIT(GG_VERDICT_TARPIT),
  OF_OPEN = OF_ACCEPT | BIT(GG_VERDICT_REPLY),
  OF_MESSAGE = OF_OPEN | BIT(GG_VERDICT_DIVERT),
  OF_CONNECT = BIT(GG_VERDICT_PASS) | BIT(GG_VERDICT_CLOSE),
  OF_REPLAY = BIT(GG_VERDICT_PASS) | BIT(GG_VERDICT_CLOSE) | BIT(GG_VERDICT_RESET),
};

/* A verdict that cannot be there lets nothing pass. */
static enum gg_verdict_kind judged(const struct gg_hook *hook, enum gg_hook_point point, enum gg_verdict_kind kind,
                                   unsigned permitted)
{
  if ((unsigned)kind <= GG_VERDICT_DIVERT && (permitted & BIT(kind)))
    return kind;
  gg_warn(hook->desk->logger, "plug-in gives a verdict that cannot be there", GG_S("plugin", hook->name),
          GG_S("hook", gg_hook_point_text(point)), GG_U("verdict", (unsigned)kind),
          GG_S("effect", "it is taken for CLOSE"));
  return GG_VERDICT_CLOSE;
}

enum gg_verdict_kind gg_hook_accept(const struct gg_hook_chain *chain, struct gg_shard *shard,
                                    const struct gg_arrival *arrival, const struct gg_hook **by)
{
  uint64_t at_ns = gg_clock_mono_ns();
  *by = NULL;
  for (unsigned i = 0; i < chain->count; i++) {
    struct gg_hook *hook = chain->hooks[i];
    if (!hook->plugin.accept)
      continue;
    enum gg_verdict_kind kind = hook->plugin.accept(hook->self, arrival);
    at_ns = measure(hook, shard, GG_HOOK_ACCEPT, at_ns);
    kind = judged(hook, GG_HOOK_ACCEPT, kind, OF_ACCEPT);
    if (kind == GG_VERDICT_PASS)
      continue;
    *by = hook;
    return kind;
  }
  return GG_VERDICT_PASS;
}

/* What `hook` has said counts, unless somebody before it has ended the session. */
static void heed(const struct gg_hook *hook, enum gg_hook_point point, const struct gg_open *said, struct gg_open *open,
                 const struct gg_hook **by)
{
  if (*by)
    return;
  *open = *said;
  open->verdict.kind = judged(hook, point, open->verdict.kind, OF_OPEN);
  if (open->verdict.kind != GG_VERDICT_PASS)
    *by = hook;
}

void gg_hook_open(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live, struct gg_open *open,
                  const struct gg_hook **by)
{
  uint64_t at_ns = gg_clock_mono_ns();
  *by = NULL;
  for (unsigned i = 0; i < chain->count; i++) {
    struct gg_hook *hook = chain->hooks[i];
    if (!hook->plugin.open)
      continue;
    struct gg_open said = *open;
    hook->plugin.open(hook->self, live, &said);
    at_ns = measure(hook, shard, GG_HOOK_OPEN, at_ns);
    heed(hook, GG_HOOK_OPEN, &said, open, by);
  }
}

void gg_hook_first(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                   const uint8_t *bytes, size_t length, struct gg_open *open, const struct gg_hook **by)
{
  uint64_t at_ns = gg_clock_mono_ns();
  *by = NULL;
  for (unsigned i = 0; i < chain->count; i++) {
    struct gg_hook *hook = chain->hooks[i];
    if (!hook->plugin.first)
      continue;
    struct gg_open said = *open;
    hook->plugin.first(hook->self, live, bytes, length, &said);
    at_ns = measure(hook, shard, GG_HOOK_FIRST, at_ns);
    heed(hook, GG_HOOK_FIRST, &said, open, by);
  }
}

enum gg_verdict_kind gg_hook_connect(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                                     const char *name, const char *address)
{
  uint64_t at_ns = gg_clock_mono_ns();
  for (unsigned i = 0; i < chain->count; i++) {
    struct gg_hook *hook = chain->hooks[i];
    if (!hook->plugin.connect)
      continue;
    enum gg_verdict_kind kind = hook->plugin.connect(hook->self, live, name, address);
    at_ns = measure(hook, shard, GG_HOOK_CONNECT, at_ns);
    if (judged(hook, GG_HOOK_CONNECT, kind, OF_CONNECT) != GG_VERDICT_PASS)
      return GG_VERDICT_CLOSE;
  }
  return GG_VERDICT_PASS;
}

void gg_hook_connected(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                       const char *name)
{
  uint64_t at_ns = gg_clock_mono_ns();
  for (unsigned i = 0; i < chain->count; i++) {
    struct gg_hook *hook = chain->hooks[i];
    if (!hook->plugin.connected)
      continue;
    hook->plugin.connected(hook->self, live, name);
    at_ns = measure(hook, shard, GG_HOOK_CONNECTED, at_ns);
  }
}

void gg_hook_failed(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live, const char *name,
                    const char *reason)
{
  uint64_t at_ns = gg_clock_mono_ns();
  for (unsigned i = 0; i < chain->count; i++) {
    struct gg_hook *hook = chain->hooks[i];
    if (!hook->plugin.failed)
      continue;
    hook->plugin.failed(hook->self, live, name, reason);
    at_ns = measure(hook, shard, GG_HOOK_FAILED, at_ns);
  }
}

void gg_hook_close(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                   const struct gg_session_summary *summary)
{
  uint64_t at_ns = gg_clock_mono_ns();
  for (unsigned i = 0; i < chain->count; i++) {
    struct gg_hook *hook = chain->hooks[i];
    if (!hook->plugin.close)
      continue;
    hook->plugin.close(hook->self, live, summary);
    at_ns = measure(hook, shard, GG_HOOK_CLOSE, at_ns);
  }
}

void gg_hook_count(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, enum gg_side from, size_t bytes)
{
  uint64_t at_ns = gg_clock_mono_ns();
  hook->plugin.count(hook->self, live, from, bytes);
  measure(hook, shard, GG_HOOK_COUNT, at_ns);
}

size_t gg_hook_mask(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, struct gg_mask *piece)
{
  uint64_t at_ns = gg_clock_mono_ns();
  size_t keep = hook->plugin.mask(hook->self, live, piece);
  measure(hook, shard, GG_HOOK_MASK, at_ns);
  if (keep < hook->plugin.mask_longest)
    return keep;
  gg_warn(hook->desk->logger, "plug-in keeps more out of the recording than it may", GG_S("plugin", hook->name),
          GG_U("bytes", keep), GG_U("mask_longest", hook->plugin.mask_longest),
          GG_S("effect", "what is beyond is recorded"));
  return hook->plugin.mask_longest - 1;
}

void gg_hook_gate(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, const struct gg_data *data,
                  struct gg_verdict *verdict)
{
  uint64_t at_ns = gg_clock_mono_ns();
  hook->plugin.gate(hook->self, live, data, verdict);
  measure(hook, shard, GG_HOOK_GATE, at_ns);
  verdict->kind = judged(hook, GG_HOOK_GATE, verdict->kind, UINT_MAX);
}

void gg_hook_message(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, const struct gg_spoken *spoken,
                     struct gg_verdict *verdict)
{
  uint64_t at_ns = gg_clock_mono_ns();
  hook->plugin.message(hook->self, live, spoken, verdict);
  measure(hook, shard, GG_HOOK_MESSAGE, at_ns);
  verdict->kind = judged(hook, GG_HOOK_MESSAGE, verdict->kind, OF_MESSAGE);
}

void gg_hook_rewrite(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, const struct gg_data *data,
                     struct gg_output *output)
{
  uint64_t at_ns = gg_clock_mono_ns();
  hook->plugin.rewrite(hook->self, live, data, output);
  measure(hook, shard, GG_HOOK_REWRITE, at_ns);
}

enum gg_verdict_kind gg_hook_replay_send(struct gg_hook *hook, const struct gg_replay_piece *piece,
                                         struct gg_output *output)
{
  uint64_t at_ns = gg_clock_mono_ns();
  enum gg_verdict_kind kind = hook->plugin.replay_send(hook->self, piece, output);
  gg__hook_count_other(hook, GG_HOOK_REPLAY_SEND, gg_clock_mono_ns() - at_ns);
  return output->error ? GG_VERDICT_RESET : judged(hook, GG_HOOK_REPLAY_SEND, kind, OF_REPLAY);
}
