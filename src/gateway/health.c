/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/health.h"

#include "base/logger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Making and ending ───────────────────────────────────────────────────────────────────────────────────────────── */

int gg__health_desk_init(struct gg_health_desk *desk, struct gg_metrics *metrics, struct gg_logger *logger)
{
  int error = gg_metrics_shard(metrics, &desk->shard);
  if (error)
    return error;
  desk->logger = logger;
  pthread_mutex_init(&desk->lock, NULL);
  return GG_OK;
}

void gg__health_desk_fini(struct gg_health_desk *desk)
{
  if (!desk->shard)
    return;
  pthread_mutex_destroy(&desk->lock);
  desk->shard = NULL;
}

struct gg_health *gg__health_create(struct gg_health_desk *desk, const struct gg_route *route, const char *listener,
                                    const char *name)
{
  struct gg_health *health = calloc(1, sizeof *health);
  if (!health)
    return NULL;
  atomic_store(&health->refs, 1);
  health->desk = desk;
  health->route = route;
  gg__route_hold(route);
  health->listener = strdup(listener);
  health->name = strdup(name);
  if (health->listener && health->name)
    return health;
  gg__health_unref(health);
  return NULL;
}

void gg__health_inherit(struct gg_health *health, const struct gg_health *from)
{
  pthread_mutex_lock(&health->desk->lock);
  assert(health->listings == 0);
  atomic_store(&health->failures, atomic_load(&from->failures));
  atomic_store(&health->out_until_ns, atomic_load(&from->out_until_ns));
  atomic_store(&health->back_ns, atomic_load(&from->back_ns));
  atomic_store(&health->drained, atomic_load(&from->drained));
  health->outs = from->outs;
  pthread_mutex_unlock(&health->desk->lock);
}

void gg__health_ref(struct gg_health *health)
{
  atomic_fetch_add_explicit(&health->refs, 1, memory_order_relaxed);
}

void gg__health_unref(struct gg_health *health)
{
  if (atomic_fetch_sub_explicit(&health->refs, 1, memory_order_acq_rel) != 1)
    return;
  assert(health->listings == 0);
  gg__route_release(health->route);
  free(health->listener);
  free(health->name);
  free(health);
}

/* ── What is told of its state ───────────────────────────────────────────────────────────────────────────────────── */

struct state {
  bool up;
  bool out;
  bool drained;
};

static struct state state_of(const struct gg_health *health)
{
  bool out = atomic_load(&health->out_until_ns) != 0, drained = atomic_load(&health->drained);
  bool listed = health->listings > 0;
  return (struct state){listed && !out && !drained, listed && out, listed && drained};
}

/* Under the lock: what has changed since `before`. */
static void tell_gauges(const struct gg_health *health, struct state before, struct gg_shard *shard)
{
  struct state now = state_of(health);
  size_t first = health->route->connect;
  gg_shard_add(shard, first + GG_CONNECT_UP, (uint64_t)now.up - before.up);
  gg_shard_add(shard, first + GG_CONNECT_OUT, (uint64_t)now.out - before.out);
  gg_shard_add(shard, first + GG_CONNECT_DRAINED, (uint64_t)now.drained - before.drained);
  if (!now.up)
    gg_shard_set(health->desk->shard, first + GG_CONNECT_WEIGHT_PART, 0);
  if (health->listings == 0)
    gg_shard_set(health->desk->shard, first + GG_CONNECT_WEIGHT, 0);
}

void gg__health_tell_weight(struct gg_health *health, unsigned weight, unsigned weight_ppm)
{
  pthread_mutex_lock(&health->desk->lock);
  size_t first = health->route->connect;
  if (health->listings > 0) {
    gg_shard_set(health->desk->shard, first + GG_CONNECT_WEIGHT, weight);
    gg_shard_set(health->desk->shard, first + GG_CONNECT_WEIGHT_PART, state_of(health).up ? weight_ppm : 0);
  }
  pthread_mutex_unlock(&health->desk->lock);
}

void gg__health_list(struct gg_health *health)
{
  pthread_mutex_lock(&health->desk->lock);
  struct state before = state_of(health);
  health->listings++;
  tell_gauges(health, before, health->desk->shard);
  pthread_mutex_unlock(&health->desk->lock);
}

void gg__health_unlist(struct gg_health *health)
{
  pthread_mutex_lock(&health->desk->lock);
  struct state before = state_of(health);
  assert(health->listings > 0);
  health->listings--;
  tell_gauges(health, before, health->desk->shard);
  pthread_mutex_unlock(&health->desk->lock);
}

/* ── Out and back ────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t out_time(const struct gg_health_options *options, unsigned outs)
{
  uint64_t time_ns = options->out_min_ns;
  for (unsigned i = 0; i < outs && time_ns < options->out_max_ns; i++)
    time_ns = time_ns > UINT64_MAX / 2 ? UINT64_MAX : 2 * time_ns;
  if (time_ns > options->out_max_ns)
    time_ns = options->out_max_ns;
  return time_ns > 0 ? time_ns : 1; /* 0 would mean that it is not out */
}

void gg__health_failed(struct gg_health *health, const struct gg_health_options *options, bool trial,
                       const char *reason, uint64_t now_ns, struct gg_shard *shard)
{
  uint64_t failures = atomic_fetch_add(&health->failures, 1) + 1;
  if (options->failures == 0)
    return;
  /* It is out already: a connect that was begun before that, or for want of a better one. */
  if (!trial && (failures < options->failures || atomic_load(&health->out_until_ns) != 0))
    return;
  pthread_mutex_lock(&health->desk->lock);
  bool out = atomic_load(&health->out_until_ns) != 0;
  bool goes = !health->never_out && (out ? trial : atomic_load(&health->failures) >= options->failures);
  uint64_t time_ns = goes ? out_time(options, health->outs) : 0;
  if (goes) {
    struct state before = state_of(health);
    atomic_store(&health->out_until_ns, now_ns + time_ns);
    health->outs++;
    tell_gauges(health, before, shard);
    if (health->listings > 0)
      gg_shard_add(shard, health->route->connect + GG_CONNECT_OUTS, 1);
  }
  pthread_mutex_unlock(&health->desk->lock);
  if (goes)
    gg_warn(health->desk->logger, "upstream is out", GG_S("upstream", health->name), GG_S("listener", health->listener),
            GG_S("reason", reason), GG_U("failures", failures), GG_D("seconds", (double)time_ns / 1e9));
}

/* Under the lock. False: it was not out. */
static bool bring_back(struct gg_health *health, uint64_t now_ns, struct gg_shard *shard)
{
  bool was_out = atomic_load(&health->out_until_ns) != 0;
  struct state before = state_of(health);
  if (was_out)
    atomic_store(&health->back_ns, now_ns);
  atomic_store(&health->out_until_ns, 0);
  health->outs = 0;
  tell_gauges(health, before, shard);
  return was_out;
}

static void tell_back(const struct gg_health *health, const char *reason, uint64_t slow_start_ns)
{
  gg_info(health->desk->logger, "upstream is back", GG_S("upstream", health->name), GG_S("listener", health->listener),
          GG_S("reason", reason), GG_D("slow_start_seconds", (double)slow_start_ns / 1e9));
}

void gg__health_govern(struct gg_health *health, const struct gg_health_options *options, uint64_t now_ns)
{
  pthread_mutex_lock(&health->desk->lock);
  health->never_out = options->failures == 0;
  health->slow_start_ns = options->slow_start_ns;
  bool back = health->never_out && bring_back(health, now_ns, health->desk->shard);
  pthread_mutex_unlock(&health->desk->lock);
  if (back)
    tell_back(health, "health_failures is 0 now", options->slow_start_ns);
}

void gg__health_succeeded(struct gg_health *health, uint64_t now_ns, struct gg_shard *shard)
{
  if (atomic_load_explicit(&health->failures, memory_order_relaxed) != 0)
    atomic_store(&health->failures, 0);
  if (atomic_load_explicit(&health->out_until_ns, memory_order_relaxed) == 0)
    return;
  pthread_mutex_lock(&health->desk->lock);
  bool back = bring_back(health, now_ns, shard);
  uint64_t slow_start_ns = health->slow_start_ns;
  pthread_mutex_unlock(&health->desk->lock);
  if (back)
    tell_back(health, "a connect succeeded", slow_start_ns);
}

bool gg__health_claim(struct gg_health *health, const struct gg_health_options *options, uint64_t now_ns)
{
  pthread_mutex_lock(&health->desk->lock);
  uint64_t until_ns = atomic_load(&health->out_until_ns);
  bool claimed = until_ns != 0 && until_ns <= now_ns;
  if (claimed)
    atomic_store(&health->out_until_ns, now_ns + out_time(options, health->outs > 0 ? health->outs - 1 : 0));
  pthread_mutex_unlock(&health->desk->lock);
  return claimed;
}

void gg__health_disclaim(struct gg_health *health, uint64_t now_ns)
{
  pthread_mutex_lock(&health->desk->lock);
  if (atomic_load(&health->out_until_ns) > now_ns)
    atomic_store(&health->out_until_ns, now_ns);
  pthread_mutex_unlock(&health->desk->lock);
}

void gg__health_drain(struct gg_health *health, bool drained, uint64_t now_ns)
{
  pthread_mutex_lock(&health->desk->lock);
  struct state before = state_of(health);
  bool changes = atomic_load(&health->drained) != drained;
  if (changes && !drained)
    atomic_store(&health->back_ns, now_ns);
  atomic_store(&health->drained, drained);
  tell_gauges(health, before, health->desk->shard);
  pthread_mutex_unlock(&health->desk->lock);
  if (changes)
    gg_info(health->desk->logger, drained ? "upstream is drained" : "upstream is not drained any more",
            GG_S("upstream", health->name), GG_S("listener", health->listener));
}
