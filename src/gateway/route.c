/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/route.h"

#include "gateway/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS = 2 };
static const char *const labels[LABELS] = {"listener", "upstream"};

static_assert((int)GG_FLOW_RECEIVED_SERVER == (int)GG_FLOW_RECEIVED_CLIENT + (int)GG_FROM_SERVER &&
                (int)GG_FLOW_FORWARDED_SERVER == (int)GG_FLOW_FORWARDED_CLIENT + (int)GG_FROM_SERVER,
              "a direction is an offset");
static_assert((int)GG_ROUTES_MAX <= (int)GG_FAMILY_MEMBERS_MAX, "every route is a member");

/* A route, and who it is for. */
struct entry {
  struct gg_route route;    /* first: what is handed out */
  _Atomic unsigned holders; /* plans and healths */
  char *listener;
  char *upstream;
  bool current;  /* the gateway as it is has it */
  bool wanted;   /* the gateway as it will be has it */
  uint64_t made; /* counts up: who came later */
};

/* One family: where its slots are, and how many members it has. */
struct family {
  size_t first;
  size_t stride;
};

struct gg_routes {
  struct gg_metrics *metrics;
  struct family flows;
  struct family connects;
  size_t count;
  uint64_t made;
  struct entry entries[GG_ROUTES_MAX];
};

static int family_register(struct gg_metrics *metrics, const struct gg_metric_def *table, size_t count,
                           struct family *out)
{
  const struct gg_metric_family family = {table, count, labels, LABELS, NULL, 0, GG_ROUTES_MAX};
  return gg_metrics_register_family(metrics, &family, &out->first, &out->stride);
}

int gg__routes_create(struct gg_routes **out, struct gg_metrics *metrics, struct gg_failure *failure)
{
  *out = calloc(1, sizeof **out); /* the pages of unused entries are never touched */
  if (!*out)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the routes");
  (*out)->metrics = metrics;
  int error = family_register(metrics, gg__flow_counters, GG_FLOW_COUNTERS, &(*out)->flows);
  if (!error)
    error = family_register(metrics, gg__connect_counters, GG_CONNECT_COUNTERS, &(*out)->connects);
  return error ? gg_fail(failure, error, "cannot register the routes' metrics: %s", gg_error_text(error)) : GG_OK;
}

void gg__routes_destroy(struct gg_routes *routes)
{
  for (size_t i = 0; routes && i < routes->count; i++) {
    free(routes->entries[i].listener);
    free(routes->entries[i].upstream);
  }
  free(routes);
}

static struct entry *find(struct gg_routes *routes, const char *listener, const char *upstream)
{
  for (size_t i = 0; i < routes->count; i++) {
    struct entry *entry = &routes->entries[i];
    if (strcmp(entry->listener, listener) == 0 && strcmp(entry->upstream, upstream) == 0)
      return entry;
  }
  return NULL;
}

/* The route is the first of its entry; what is const for those who count by it is written here only. */
static struct entry *entry_of(const struct gg_route *route)
{
  return (struct entry *)(uintptr_t)route;
}

void gg__route_hold(const struct gg_route *route)
{
  atomic_fetch_add_explicit(&entry_of(route)->holders, 1, memory_order_relaxed);
}

void gg__route_release(const struct gg_route *route)
{
  unsigned before = atomic_fetch_sub_explicit(&entry_of(route)->holders, 1, memory_order_release);
  assert(before > 0);
  (void)before;
}

/* Nobody may count by it any more: neither a session on it, of each of which the worker has seen the last, nor one by
 * the same plan, which holds it, nor a health that still tells its state. */
static bool is_retired(const struct gg_routes *routes, const struct entry *entry)
{
  return !entry->current && !entry->wanted && atomic_load_explicit(&entry->holders, memory_order_acquire) == 0 &&
         gg_metrics_is_zero(routes->metrics, entry->route.flow + GG_FLOW_OPEN);
}

/* The place that the next route of this kind may have: the oldest of those that are nobody's any more, if they are more
 * than are kept or there is no other. */
static struct entry *find_retired(struct gg_routes *routes, bool connects)
{
  struct entry *oldest = NULL;
  size_t retired = 0;
  for (size_t i = 0; i < routes->count; i++) {
    struct entry *entry = &routes->entries[i];
    if ((entry->route.connect != GG_ROUTE_NO_CONNECTS) != connects || !is_retired(routes, entry))
      continue;
    retired++;
    if (!oldest || entry->made < oldest->made)
      oldest = entry;
  }
  return retired >= GG_ROUTES_RETIRED_MAX || routes->count == GG_ROUTES_MAX ? oldest : NULL;
}

static int replace(struct gg_routes *routes, const struct entry *entry, const char *const *values)
{
  size_t flow = (entry->route.flow - routes->flows.first) / routes->flows.stride;
  int error = gg_metrics_member_replace(routes->metrics, routes->flows.first, flow, values);
  if (error || entry->route.connect == GG_ROUTE_NO_CONNECTS)
    return error;
  size_t connect = (entry->route.connect - routes->connects.first) / routes->connects.stride;
  return gg_metrics_member_replace(routes->metrics, routes->connects.first, connect, values);
}

static int append(struct gg_routes *routes, struct entry *entry, const char *const *values)
{
  size_t member;
  int error = gg_metrics_member_add(routes->metrics, routes->flows.first, values, &member);
  if (!error)
    entry->route = (struct gg_route){routes->flows.first + member * routes->flows.stride, GG_ROUTE_NO_CONNECTS};
  return error;
}

static int make(struct gg_routes *routes, const char *const *values, bool connects, struct entry **out)
{
  struct entry *entry = find_retired(routes, connects);
  bool is_new = !entry;
  if (is_new && routes->count == GG_ROUTES_MAX)
    return GG_ERR_LIMIT;
  if (is_new)
    entry = &routes->entries[routes->count];
  char *listener = strdup(values[0]), *upstream = strdup(values[1]);
  int error = !listener || !upstream ? GG_ERR_NOMEM
              : is_new               ? append(routes, entry, values)
                                     : replace(routes, entry, values);
  if (error) {
    free(listener);
    free(upstream);
    return error;
  }
  free(entry->listener);
  free(entry->upstream);
  entry->listener = listener;
  entry->upstream = upstream;
  entry->made = routes->made++;
  routes->count += is_new;
  *out = entry;
  return GG_OK;
}

static int add_connects(struct gg_routes *routes, struct entry *entry, const char *const *values)
{
  size_t member;
  int error = gg_metrics_member_add(routes->metrics, routes->connects.first, values, &member);
  if (!error)
    entry->route.connect = routes->connects.first + member * routes->connects.stride;
  return error;
}

const struct gg_route *gg__route_get(struct gg_plane *plane, const char *listener, const char *upstream, bool connects,
                                     struct gg_failure *failure)
{
  struct gg_routes *routes = plane->routes;
  const char *const values[LABELS] = {listener, upstream};
  struct entry *entry = find(routes, listener, upstream);
  int error = entry ? GG_OK : make(routes, values, connects, &entry);
  if (!error && connects && entry->route.connect == GG_ROUTE_NO_CONNECTS)
    error = add_connects(routes, entry, values);
  if (error) {
    gg_fail(failure, error, "cannot count for listener %s and upstream %s: %s", listener, upstream,
            gg_error_text(error));
    return NULL;
  }
  entry->wanted = true;
  return &entry->route;
}

int gg__listener_routes(struct gg_plane *plane, const struct gg_listener_options *listener,
                        struct gg_listener_routes *out, struct gg_failure *failure)
{
  bool connects = listener->upstream_count > 0;
  const char *upstream = connects ? listener->upstreams[0].name : "none";
  out->unchosen = gg__route_get(plane, listener->name, "", false, failure);
  out->upstream = out->unchosen ? gg__route_get(plane, listener->name, upstream, connects, failure) : NULL;
  out->elsewhere = NULL;
  if (out->upstream && listener->hooks && connects) {
    out->elsewhere = gg__route_get(plane, listener->name, "(elsewhere)", true, failure);
    out->upstream = out->elsewhere ? out->upstream : NULL;
  }
  if (!out->upstream) {
    out->unchosen = NULL;
    return GG_ERR_LIMIT;
  }
  gg__route_hold(out->unchosen);
  gg__route_hold(out->upstream);
  if (out->elsewhere)
    gg__route_hold(out->elsewhere);
  return GG_OK;
}

void gg__listener_routes_release(const struct gg_listener_routes *routes)
{
  if (!routes->upstream)
    return;
  gg__route_release(routes->unchosen);
  gg__route_release(routes->upstream);
  if (routes->elsewhere)
    gg__route_release(routes->elsewhere);
}

void gg__routes_begin(struct gg_routes *routes)
{
  for (size_t i = 0; i < routes->count; i++)
    routes->entries[i].wanted = false;
}

void gg__routes_end(struct gg_routes *routes, bool done)
{
  for (size_t i = 0; i < routes->count; i++) {
    if (done)
      routes->entries[i].current = routes->entries[i].wanted;
    routes->entries[i].wanted = false;
  }
}

void gg__route_begin(struct gg_session *session)
{
  session->route = session->listener->routes.unchosen;
  gg_shard_add(session->worker->shard, session->route->flow + GG_FLOW_OPEN, 1);
}

void gg__route_choose(struct gg_session *session, const struct gg_route *route)
{
  struct gg_shard *shard = session->worker->shard;
  gg_shard_add(shard, route->flow + GG_FLOW_OPEN, 1);
  gg_shard_leave(shard, session->route->flow + GG_FLOW_OPEN, 1);
  session->route = route;
}

/* The last thing that is counted for the session: without it the route may become another's. */
void gg__route_end(struct gg_session *session)
{
  struct gg_shard *shard = session->worker->shard;
  gg_shard_add(shard, session->route->flow + GG_FLOW_CLOSED, 1);
  gg_shard_leave(shard, session->route->flow + GG_FLOW_OPEN, 1);
}
