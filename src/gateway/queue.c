/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/queue.h"

#include "gateway/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct place {
  char *listener;
  bool current; /* the gateway as it is has it */
  bool wanted;  /* the gateway as it will be has it */
};

struct gg_queues {
  struct gg_metrics *metrics;
  size_t first, stride;
  size_t count;
  struct place places[GG_QUEUES_MAX];
};

int gg__queues_create(struct gg_queues **out, struct gg_metrics *metrics, struct gg_failure *failure)
{
  static const char *const labels[] = {"listener"};
  const struct gg_metric_family family = {gg__queue_counters, GG_QUEUE_COUNTERS, labels, 1, NULL, 0, GG_QUEUES_MAX};
  *out = calloc(1, sizeof **out);
  if (!*out)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the listeners' queues");
  (*out)->metrics = metrics;
  int error = gg_metrics_register_family(metrics, &family, &(*out)->first, &(*out)->stride);
  return error ? gg_fail(failure, error, "cannot register the queues' metrics: %s", gg_error_text(error)) : GG_OK;
}

void gg__queues_destroy(struct gg_queues *queues)
{
  for (size_t i = 0; queues && i < queues->count; i++)
    free(queues->places[i].listener);
  free(queues);
}

/* The listener's own place, else one that nobody has. */
static size_t find(const struct gg_queues *queues, const char *listener)
{
  size_t unused = queues->count;
  for (size_t i = 0; i < queues->count; i++) {
    const struct place *place = &queues->places[i];
    if (strcmp(place->listener, listener) == 0)
      return i;
    if (!place->current && !place->wanted)
      unused = i;
  }
  return unused;
}

int gg__queue_get(struct gg_queues *queues, const char *listener, size_t *out, struct gg_failure *failure)
{
  size_t at = find(queues, listener);
  assert(at < GG_QUEUES_MAX); /* no snapshot has more than half of them */
  struct place *place = &queues->places[at];
  if (at == queues->count || strcmp(place->listener, listener) != 0) {
    size_t member = at;
    char *name = strdup(listener);
    int error = !name                 ? GG_ERR_NOMEM
                : at == queues->count ? gg_metrics_member_add(queues->metrics, queues->first, &listener, &member)
                                      : gg_metrics_member_replace(queues->metrics, queues->first, at, &listener);
    if (error) {
      free(name);
      return gg_fail(failure, error, "cannot count who waits at listener %s: %s", listener, gg_error_text(error));
    }
    assert(member == at);
    queues->count += at == queues->count;
    free(place->listener);
    place->listener = name;
  }
  place->wanted = true;
  *out = at;
  return GG_OK;
}

void gg__queues_begin(struct gg_queues *queues)
{
  for (size_t i = 0; i < queues->count; i++)
    queues->places[i].wanted = false;
}

void gg__queues_end(struct gg_queues *queues, bool done)
{
  for (size_t i = 0; i < queues->count; i++) {
    if (done)
      queues->places[i].current = queues->places[i].wanted;
    queues->places[i].wanted = false;
  }
}

void gg__queues_collect(struct gg_plane *plane, struct gg_shard *shard)
{
  const struct gg_queues *queues = plane->queues;
  struct gg_accept_queue found[GG_QUEUES_MAX] = {{0}};
  pthread_mutex_lock(&plane->lock); /* the snapshot stays, and with it its listeners' sockets are not filled again */
  for (size_t i = 0; plane->snapshot && i < plane->snapshot->plan_count; i++) {
    const struct gg_plan *plan = plane->snapshot->plans[i];
    if (plan->queue != GG_QUEUE_NONE)
      gg__binding_queue(plan->binding, &found[plan->queue]);
  }
  pthread_mutex_unlock(&plane->lock);
  for (size_t i = 0; i < GG_QUEUES_MAX; i++) {
    size_t slot = queues->first + i * queues->stride;
    gg_shard_set(shard, slot + GG_QUEUE_WAITING, found[i].waiting);
    gg_shard_set(shard, slot + GG_QUEUE_LONGEST, found[i].longest);
    gg_shard_set(shard, slot + GG_QUEUE_LIMIT, found[i].limit);
  }
}
