/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/route.h"

#include "gateway/worker.h"

#include <assert.h>
#include <stdlib.h>

enum { UPSTREAM_TEXT_MAX = 400, LABELS = 2 };
static const char *const labels[LABELS] = {"listener", "upstream"};

static_assert((int)GG_FLOW_RECEIVED_SERVER == (int)GG_FLOW_RECEIVED_CLIENT + (int)GG_FROM_SERVER &&
                (int)GG_FLOW_FORWARDED_SERVER == (int)GG_FLOW_FORWARDED_CLIENT + (int)GG_FROM_SERVER,
              "a direction is an offset");
static_assert(2 * (int)GG_LISTENERS_MAX <= (int)GG_FAMILY_MEMBERS_MAX, "every route is a member");

/* The members of the two families while they are gathered: pairs of a listener's name and an upstream's text. */
struct gathered {
  char (*texts)[UPSTREAM_TEXT_MAX]; /* of the upstreams, by listener */
  const char **flows;
  size_t flow_count;
  const char **connects;
  size_t connect_count;
};

static void add(const char **values, size_t *count, const char *listener, const char *upstream)
{
  values[*count * LABELS] = listener;
  values[*count * LABELS + 1] = upstream;
  ++*count;
}

/* Leaves in each route which member it is; where that begins in a shard is known when all are registered. */
static void gather(struct gg_gateway *gateway, struct gathered *all)
{
  for (size_t i = 0; i < gateway->options.listener_count; i++) {
    const struct gg_listener_options *listener = &gateway->options.listeners[i];
    struct gg_listener_routes *routes = &gateway->routes[i];
    const char *upstream = "none";
    if (listener->upstream_count > 0) {
      gg_endpoint_format(&listener->upstreams[0].endpoint, all->texts[i], UPSTREAM_TEXT_MAX);
      upstream = all->texts[i];
    }
    routes->unchosen = (struct gg_route){all->flow_count, GG_ROUTE_NO_CONNECTS};
    add(all->flows, &all->flow_count, listener->name, "");
    routes->upstream = (struct gg_route){all->flow_count, GG_ROUTE_NO_CONNECTS};
    add(all->flows, &all->flow_count, listener->name, upstream);
    if (listener->upstream_count == 0)
      continue;
    routes->upstream.connect = all->connect_count;
    add(all->connects, &all->connect_count, listener->name, upstream);
  }
}

static void place(struct gg_route *route, size_t flow, size_t flow_stride, size_t connect, size_t connect_stride)
{
  route->flow = flow + route->flow * flow_stride;
  if (route->connect != GG_ROUTE_NO_CONNECTS)
    route->connect = connect + route->connect * connect_stride;
}

static int register_all(struct gg_gateway *gateway, const struct gathered *all)
{
  struct gg_metrics *metrics = gateway->options.metrics;
  const struct gg_metric_family flows = {gg__flow_counters, GG_FLOW_COUNTERS, labels, LABELS,
                                         all->flows,        all->flow_count};
  const struct gg_metric_family connects = {gg__connect_counters, GG_CONNECT_COUNTERS, labels, LABELS,
                                            all->connects,        all->connect_count};
  size_t flow, flow_stride, connect, connect_stride;
  int error = gg_metrics_register_family(metrics, &flows, &flow, &flow_stride);
  if (!error)
    error = gg_metrics_register_family(metrics, &connects, &connect, &connect_stride);
  for (size_t i = 0; !error && i < gateway->options.listener_count; i++) {
    place(&gateway->routes[i].unchosen, flow, flow_stride, connect, connect_stride);
    place(&gateway->routes[i].upstream, flow, flow_stride, connect, connect_stride);
  }
  return error;
}

int gg__routes_create(struct gg_gateway *gateway, struct gg_failure *failure)
{
  size_t count = gateway->options.listener_count;
  struct gathered all = {
    .texts = calloc(count, sizeof *all.texts),
    .flows = calloc(count * 2 * LABELS, sizeof *all.flows),
    .connects = calloc(count * LABELS, sizeof *all.connects),
  };
  int error = GG_ERR_NOMEM;
  if (all.texts && all.flows && all.connects) {
    gather(gateway, &all);
    error = register_all(gateway, &all);
  }
  free(all.texts);
  free(all.flows);
  free(all.connects);
  return error ? gg_fail(failure, error, "cannot register the routes' metrics: %s", gg_error_text(error)) : GG_OK;
}

void gg__route_begin(struct gg_session *session)
{
  session->route = &session->listener->routes->unchosen;
  gg_shard_add(session->worker->shard, session->route->flow + GG_FLOW_OPEN, 1);
}

void gg__route_choose(struct gg_session *session, const struct gg_route *route)
{
  struct gg_shard *shard = session->worker->shard;
  gg_shard_sub(shard, session->route->flow + GG_FLOW_OPEN, 1);
  session->route = route;
  gg_shard_add(shard, route->flow + GG_FLOW_OPEN, 1);
}

void gg__route_end(struct gg_session *session)
{
  struct gg_shard *shard = session->worker->shard;
  gg_shard_sub(shard, session->route->flow + GG_FLOW_OPEN, 1);
  gg_shard_add(shard, session->route->flow + GG_FLOW_CLOSED, 1);
}
