/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/worker.h"

struct fixture {
  struct gg_metrics *metrics;
  struct gg_plane *plane;
  struct gg_shard *shard;
  struct gg_worker worker;
  struct gg_listener listener;
};

static void make(struct fixture *f)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  memset(f, 0, sizeof *f);
  f->plane = calloc(1, sizeof *f->plane);
  assert_non_null(f->plane);
  assert_int_equal(gg_metrics_create(&f->metrics), 0);
  assert_int_equal(gg__routes_create(&f->plane->routes, f->metrics, &failure), 0);
  assert_int_equal(gg_metrics_shard(f->metrics, &f->shard), 0);
  f->worker.shard = f->shard;
  f->listener.worker = &f->worker;
}

static void unmake(struct fixture *f)
{
  gg__routes_destroy(f->plane->routes);
  gg_metrics_destroy(f->metrics);
  free(f->plane);
}

static const struct gg_route *get(struct fixture *f, const char *listener, const char *upstream, bool connects)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg_route *route = gg__route_get(f->plane, listener, upstream, connects, &failure);
  if (!route)
    fail_msg("%s", failure.message);
  return route;
}

static bool text_has(struct fixture *f, const char *series)
{
  size_t length;
  char *text = gg_metrics_text(f->metrics, &length);
  assert_non_null(text);
  bool found = strstr(text, series) != NULL;
  free(text);
  return found;
}

static void the_same_names_are_the_same_route(void **state)
{
  (void)state;
  struct fixture f;
  make(&f);
  const struct gg_route *unchosen = get(&f, "web", "", false), *a = get(&f, "web", "a", true);
  const struct gg_route *none = get(&f, "pot", "none", false), *other = get(&f, "mail", "a", true);
  assert_ptr_equal(get(&f, "web", "a", true), a);
  assert_ptr_equal(get(&f, "web", "", false), unchosen);
  assert_ptr_not_equal(a, other);
  assert_true(a->flow != other->flow && a->connect != other->connect && a->flow != unchosen->flow);
  assert_true(unchosen->connect == GG_ROUTE_NO_CONNECTS && none->connect == GG_ROUTE_NO_CONNECTS);
  assert_true(a->connect != GG_ROUTE_NO_CONNECTS);
  /* An upstream that somebody called "none". */
  assert_ptr_equal(get(&f, "pot", "none", true), none);
  assert_true(none->connect != GG_ROUTE_NO_CONNECTS);
  unmake(&f);
}

static void a_session_is_counted_on_one_route(void **state)
{
  (void)state;
  struct fixture f;
  make(&f);
  f.listener.routes.unchosen = get(&f, "web", "", false);
  const struct gg_route *a = get(&f, "web", "a", true);
  struct gg_session session = {.worker = &f.worker, .listener = &f.listener};
  gg__route_begin(&session);
  assert_true(text_has(&f, "gogetway_route_sessions_open{listener=\"web\",upstream=\"\"} 1\n"));
  gg__route_choose(&session, a);
  assert_true(text_has(&f, "gogetway_route_sessions_open{listener=\"web\",upstream=\"\"} 0\n"));
  assert_true(text_has(&f, "gogetway_route_sessions_open{listener=\"web\",upstream=\"a\"} 1\n"));
  gg__route_choose(&session, a);
  gg__route_end(&session);
  assert_true(text_has(&f, "gogetway_route_sessions_open{listener=\"web\",upstream=\"a\"} 0\n"));
  assert_true(text_has(&f, "gogetway_route_sessions_closed_total{listener=\"web\",upstream=\"a\"} 1\n"));
  unmake(&f);
}

/* Names that change with every reload: as many are kept as was said, the counts of what is in use stay, and nothing
 * that a session is on is given away. */
static void places_are_bounded(void **state)
{
  (void)state;
  enum { RELOADS = 2 * GG_ROUTES_RETIRED_MAX };
  struct fixture f;
  make(&f);
  const struct gg_route *stays = get(&f, "web", "stays", true);
  const struct gg_route *held = get(&f, "web", "held", true);
  gg_shard_add(f.shard, stays->flow + GG_FLOW_CLOSED, 5);
  gg_shard_add(f.shard, held->flow + GG_FLOW_OPEN, 1);
  gg__routes_end(f.plane->routes, true);
  size_t highest = 0;
  for (unsigned i = 0; i < RELOADS; i++) {
    char name[16];
    snprintf(name, sizeof name, "u%u", i);
    gg__routes_begin(f.plane->routes);
    get(&f, "web", "stays", true);
    const struct gg_route *route = get(&f, "web", name, true);
    gg_shard_add(f.shard, route->flow + GG_FLOW_CLOSED, 1);
    gg_shard_observe(f.shard, route->connect + GG_CONNECT_SLOT_LATENCY, 1);
    highest = route->flow > highest ? route->flow : highest;
    gg__routes_end(f.plane->routes, i % 4 != 3); /* some reloads fail */
  }
  assert_true(highest / GG_FLOW_COUNTERS <= GG_ROUTES_RETIRED_MAX + 4);
  assert_true(text_has(&f, "gogetway_route_sessions_closed_total{listener=\"web\",upstream=\"stays\"} 5\n"));
  assert_true(text_has(&f, "gogetway_route_sessions_open{listener=\"web\",upstream=\"held\"} 1\n"));
  assert_true(text_has(&f, "gogetway_route_sessions_closed_total{listener=\"web\",upstream=\"u511\"} 1\n"));
  assert_true(text_has(&f, "gogetway_route_connect_seconds_count{listener=\"web\",upstream=\"u511\"} 1\n"));
  assert_true(text_has(&f, "gogetway_route_sessions_closed_total{listener=\"web\",upstream=\"u300\"} 1\n"));
  assert_false(text_has(&f, "upstream=\"u0\""));
  assert_int_equal(RELOADS, 512);
  unmake(&f);
}

/* A plan's routes, and an upstream whose health is still listed, though no session is on it: a session on another
 * upstream of the same plan keeps them. Their names change with every reload meanwhile. */
static void what_is_held_is_not_given_away(void **state)
{
  (void)state;
  enum { RELOADS = 2 * GG_ROUTES_RETIRED_MAX };
  static const char up[] = "gogetway_route_upstream_up{listener=\"web\",upstream=\"old\"} ";
  struct fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_listener_options options = {.name = "pot"};
  struct gg_listener_routes routes;
  char series[128], name[16];
  make(&f);
  assert_int_equal(gg__health_desk_init(&f.plane->health, f.metrics, NULL), 0);
  const struct gg_route *old = get(&f, "web", "old", true);
  struct gg_health *health = gg__health_create(&f.plane->health, old, "web", "old");
  assert_non_null(health);
  gg__health_list(health);
  assert_int_equal(gg__listener_routes(f.plane, &options, &routes, &failure), 0);
  gg__routes_end(f.plane->routes, true);
  for (unsigned held = 0; held < 2; held++) {
    for (unsigned i = 0; i < RELOADS; i++) {
      snprintf(name, sizeof name, "u%u.%u", held, i);
      gg__routes_begin(f.plane->routes);
      get(&f, "web", name, true);
      get(&f, "pot", name, false);
      gg__routes_end(f.plane->routes, true);
    }
    snprintf(series, sizeof series, "%s%d\n", up, 1);
    assert_int_equal(text_has(&f, series), held == 0);
    assert_int_equal(text_has(&f, "{listener=\"pot\",upstream=\"\"}"), held == 0);
    assert_int_equal(text_has(&f, "{listener=\"pot\",upstream=\"none\"}"), held == 0);
    if (held == 1)
      break;
    gg__health_unlist(health);
    gg__health_unref(health);
    gg__listener_routes_release(&routes);
    snprintf(series, sizeof series, "%s%d\n", up, 0);
    assert_true(text_has(&f, series));
  }
  assert_false(text_has(&f, up));
  assert_false(text_has(&f, "} -1\n"));
  gg__health_desk_fini(&f.plane->health);
  unmake(&f);
}

static void what_is_in_use_has_all_places(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_failure failure = GG_FAILURE_INIT;
  make(&f);
  char name[16];
  for (unsigned i = 0; i < GG_ROUTES_MAX; i++) {
    snprintf(name, sizeof name, "u%u", i);
    get(&f, "web", name, true);
  }
  gg__routes_end(f.plane->routes, true);
  gg__routes_begin(f.plane->routes);
  assert_null(gg__route_get(f.plane, "web", "more", true, &failure));
  assert_non_null(strstr(failure.message, "more"));
  gg__routes_end(f.plane->routes, true);
  get(&f, "web", "more", true);
  unmake(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_same_names_are_the_same_route),
    cmocka_unit_test(a_session_is_counted_on_one_route),
    cmocka_unit_test(places_are_bounded),
    cmocka_unit_test(what_is_held_is_not_given_away),
    cmocka_unit_test(what_is_in_use_has_all_places),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
