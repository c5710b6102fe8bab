/* SPDX-License-Identifier: Apache-2.0 */
/**
 * route.h - what is counted for each listener and upstream.
 *
 * A route is a listener and one of its upstreams. A session is on one route at a time: at first on the listener's
 * route without an upstream, whose label is empty, and from when its upstream is chosen on that one's:
 *
 *     accept ──► {listener="web",upstream=""} ──chosen──► {listener="web",upstream="127.0.0.1:80"} ──► closed
 *                       │ a bad PROXY header, a client that leaves: closed here
 *
 * A listener that records only has one whose upstream is "none"; it connects to nothing, and has no connect counters.
 *
 * All routes, their slots and their labels are made with the gateway, before the workers: counting is an add to the
 * worker's own shard, at a slot that the route knows. (Rejected: counters in the listener and the upstream themselves,
 * which all workers share: an atomic for each chunk, or a second registry of per-worker copies.)
 *
 * Thread: made on the engine's thread; read by all workers, never written again.
 */
#ifndef GG_GATEWAY_ROUTE_H
#define GG_GATEWAY_ROUTE_H

#include "gateway/counters.h"
#include <gogetway/error.h>

struct gg_gateway;
struct gg_session;

struct gg_route {
  size_t flow;    /* first slot of the route's sessions and bytes (enum gg_flow_counter) */
  size_t connect; /* ... of its connects (enum gg_connect_counter); GG_ROUTE_NO_CONNECTS: nothing is connected to */
};
#define GG_ROUTE_NO_CONNECTS SIZE_MAX

/* The routes of one listener: without an upstream, and then one for each of its upstreams. */
struct gg_listener_routes {
  struct gg_route unchosen;
  struct gg_route upstream;
};

/* Registers what is counted, and fills gateway->routes; before the first worker, whose shard must have the slots. */
int gg__routes_create(struct gg_gateway *gateway, struct gg_failure *failure);

/* The session was accepted: it is on its listener's route without an upstream. */
void gg__route_begin(struct gg_session *session);
/* It goes on with that upstream. */
void gg__route_choose(struct gg_session *session, const struct gg_route *route);
/* It has ended. */
void gg__route_end(struct gg_session *session);

#endif
