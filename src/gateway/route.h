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
 * The label is the upstream's name. A session that a plug-in sends to an address that is in no list is on the one whose
 * label is "(elsewhere)". A listener that records only has one whose upstream is "none"; it connects to
 * nothing, and has no connect counters.
 *
 * Counting is an add to the worker's own shard, at a slot that the route knows. (Rejected: counters in the listener and
 * the upstream themselves, which all workers share: an atomic for each chunk, or a second registry of per-worker
 * copies.)
 *
 * A reload brings routes, and leaves others without a listener or upstream. Those stay where they are, since sessions
 * may be on them, and what they counted stays to be read; of routes that nobody asked for in the last reload, nobody
 * holds and no session is on, the GG_ROUTES_RETIRED_MAX that were made last are kept, and the others' places are taken
 * by new ones. A plan holds its routes and a health its own: a session on one upstream keeps the plan, and with it the
 * gauges of all the others.
 *
 * Thread: made on the engine's thread; read by all workers. A route is written again only when it is nobody's.
 */
#ifndef GG_GATEWAY_ROUTE_H
#define GG_GATEWAY_ROUTE_H

#include "gateway/counters.h"
#include "gateway/plane.h"
#include <gogetway/error.h>
#include <stdbool.h>

struct gg_session;

enum {
  GG_ROUTES_RETIRED_MAX = 256,
  /* What is and what is to be, while a reload changes the one for the other. */
  GG_ROUTES_MAX = 2 * GG_LISTENERS_MAX * (GG_UPSTREAMS_MAX + 1) + 2 * GG_ROUTES_RETIRED_MAX,
};

struct gg_route {
  size_t flow;    /* first slot of the route's sessions and bytes (enum gg_flow_counter) */
  size_t connect; /* ... of its connects (enum gg_connect_counter); GG_ROUTE_NO_CONNECTS: nothing is connected to */
};
#define GG_ROUTE_NO_CONNECTS SIZE_MAX

/* The routes of one listener: without an upstream, and then with one (or "none"). */
struct gg_listener_routes {
  const struct gg_route *unchosen;
  const struct gg_route *upstream;
  const struct gg_route *elsewhere; /* to an address that a plug-in has chosen; NULL: it has no plug-ins */
};

struct gg_routes;

/* Registers what is counted, with places for GG_ROUTES_MAX routes; before the first worker, whose shard must have the
 * slots. */
int gg__routes_create(struct gg_routes **out, struct gg_metrics *metrics, struct gg_failure *failure);
void gg__routes_destroy(struct gg_routes *routes);

/* Finds a route, or makes it. `upstream` is the upstream's name, "" for none chosen yet, "none" where there are none.
 * The name of a listener that comes and goes finds its old counts again. */
const struct gg_route *gg__route_get(struct gg_plane *plane, const char *listener, const char *upstream, bool connects,
                                     struct gg_failure *failure); /* NULL: GG_ERR_LIMIT, NOMEM */

/* Any thread: who may count by the route later holds it for as long, and it does not become another's. */
void gg__route_hold(const struct gg_route *route);
void gg__route_release(const struct gg_route *route);

/* All that a listener needs but those of the members of its group; held, unless it fails. */
int gg__listener_routes(struct gg_plane *plane, const struct gg_listener_options *listener,
                        struct gg_listener_routes *out, struct gg_failure *failure);
void gg__listener_routes_release(const struct gg_listener_routes *routes); /* fine on zeroed ones */

/* Between these two, what is asked for is what the next state of the gateway needs; what the present one needs stays
 * as well. With `done` the next one is the present one: what was not asked for is nobody's but its sessions'. */
void gg__routes_begin(struct gg_routes *routes);
void gg__routes_end(struct gg_routes *routes, bool done);

/* The session was accepted: it is on its listener's route without an upstream. */
void gg__route_begin(struct gg_session *session);
/* It goes on with that upstream. */
void gg__route_choose(struct gg_session *session, const struct gg_route *route);
/* It has ended. */
void gg__route_end(struct gg_session *session);

#endif
