/* SPDX-License-Identifier: Apache-2.0 */
/* upstreams.c - the control socket's commands about upstreams: their states, and to drain one. */
#include "base/clock.h"
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
  [GG_UPSTREAM_UP] = "up",
  [GG_UPSTREAM_SLOW_START] = "slow_start",
  [GG_UPSTREAM_OUT] = "out",
  [GG_UPSTREAM_DRAINED] = "drained",
};

/* Into the open object. */
static void write_upstream(const struct gg_upstream_status *status, uint64_t now_ns, struct gg_json *json)
{
  gg_json_field_string(json, "listener", status->listener);
  gg_json_field_string(json, "name", status->name);
  gg_json_field_string(json, "address", status->address);
  gg_json_field_string(json, "state", state_names[status->state]);
  gg_json_field_bool(json, "backup", status->backup);
  gg_json_field_unsigned(json, "weight", status->weight);
  gg_json_key(json, "weight_ratio");
  gg_json_double(json, status->weight_ppm / 1e6);
  gg_json_field_unsigned(json, "sessions", status->sessions);
  gg_json_field_unsigned(json, "failures", status->failures);
  if (status->state == GG_UPSTREAM_OUT)
    gg_json_field_unsigned(json, "back_in_ns", status->back_mono_ns > now_ns ? status->back_mono_ns - now_ns : 0);
}

int gg__command_upstreams(void *context, const struct gg_control_request *request, struct gg_json *reply,
                          struct gg_failure *failure)
{
  const struct gg_gateway *engine = context;
  struct gg_upstream_status status;
  uint64_t now_ns = gg_clock_mono_ns();
  (void)request;
  (void)failure;
  gg_json_key(reply, "upstreams");
  gg_json_array_begin(reply);
  gg__engine_lock(engine); /* no reload in between: the names are the configuration's */
  for (size_t i = 0; gg_plane_upstream(engine->plane, i, &status) == 0; i++) {
    gg_json_object_begin(reply);
    write_upstream(&status, now_ns, reply);
    gg_json_object_end(reply);
  }
  gg__engine_unlock(engine);
  gg_json_array_end(reply);
  return 0;
}

/* ── Draining one ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What is to be drained or resumed. Under the engine's lock, and on the one thread that drains: the upstreams are the
 * same, in the same order, from the first look to the last. */
struct target {
  struct gg_plane *plane;
  const char *listener; /* NULL: of every one */
  const char *name;
  bool drained;
  bool was[GG_LISTENERS_MAX * GG_UPSTREAMS_MAX]; /* drained before */
};

static bool is_meant(const struct target *target, const struct gg_upstream_status *status)
{
  return strcmp(status->name, target->name) == 0 &&
         (!target->listener || strcmp(status->listener, target->listener) == 0);
}

static void look_before(struct target *target)
{
  struct gg_upstream_status status;
  for (size_t i = 0; gg_plane_upstream(target->plane, i, &status) == 0; i++)
    target->was[i] = status.state == GG_UPSTREAM_DRAINED;
}

static void write_drained(const struct target *target, struct gg_json *reply)
{
  struct gg_upstream_status status;
  uint64_t now_ns = gg_clock_mono_ns();
  gg_json_key(reply, "upstreams");
  gg_json_array_begin(reply);
  for (size_t i = 0; gg_plane_upstream(target->plane, i, &status) == 0; i++) {
    if (!is_meant(target, &status))
      continue;
    gg_json_object_begin(reply);
    write_upstream(&status, now_ns, reply);
    gg_json_field_bool(reply, "changed", target->was[i] != target->drained);
    gg_json_object_end(reply);
  }
  gg_json_array_end(reply);
}

/* A listener that was meant, and what it has left for new clients. */
struct rest {
  char listener[GG_UPSTREAM_NAME_MAX];
  unsigned there; /* not drained */
  unsigned out;   /* of those: tried only for want of others */
};

/* The next of them, from *index on, which is moved behind it. A listener's upstreams follow each other. */
static bool next_rest(const struct target *target, size_t *index, struct rest *rest)
{
  struct gg_upstream_status status;
  bool meant = false;
  *rest = (struct rest){0};
  for (; gg_plane_upstream(target->plane, *index, &status) == 0; ++*index) {
    if (strcmp(status.listener, rest->listener) != 0) {
      if (meant)
        return true;
      *rest = (struct rest){0};
      memcpy(rest->listener, status.listener, sizeof rest->listener);
    }
    meant |= is_meant(target, &status);
    rest->there += status.state != GG_UPSTREAM_DRAINED;
    rest->out += status.state == GG_UPSTREAM_OUT;
  }
  return meant;
}

/* Whom nobody serves any more, for programs and for people. */
static void write_rest(const struct target *target, struct gg_json *reply)
{
  struct rest rest;
  char text[GG_UPSTREAM_NAME_MAX + 128];
  gg_json_key(reply, "no_upstream");
  gg_json_array_begin(reply);
  for (size_t i = 0; next_rest(target, &i, &rest);)
    if (rest.there == 0)
      gg_json_string(reply, rest.listener);
  gg_json_array_end(reply);
  gg_json_key(reply, "warnings");
  gg_json_array_begin(reply);
  for (size_t i = 0; next_rest(target, &i, &rest);) {
    if (rest.there == 0)
      snprintf(text, sizeof text, "listener %s has no upstream left: new clients are turned away until one is resumed",
               rest.listener);
    else if (target->drained && rest.there == rest.out)
      snprintf(text, sizeof text, "listener %s has only upstreams left that are out: new clients are tried on those",
               rest.listener);
    else
      continue;
    gg_json_string(reply, text);
  }
  gg_json_array_end(reply);
}

int gg__command_upstream_drain(void *context, const struct gg_control_request *request, struct gg_json *reply,
                               struct gg_failure *failure)
{
  const struct gg_gateway *engine = context;
  const char *drained = gg_control_argument(request, "drained");
  struct target target = {.plane = engine->plane,
                          .listener = gg_control_argument(request, "listener"),
                          .name = gg_control_argument(request, "upstream"),
                          .drained = !drained || strcmp(drained, "true") == 0};
  if (!target.name)
    return gg_fail(failure, GG_ERR_INVALID, "upstream-drain needs \"upstream\", the name of one");
  if (!target.drained && strcmp(drained, "false") != 0)
    return gg_fail(failure, GG_ERR_INVALID, "\"drained\" is true or false");
  gg__engine_lock(engine);
  int error = 0;
  if (engine->handing.client != 0) /* it was told what is drained */
    error = gg_fail(failure, GG_ERR_BUSY, "process %ld is taking over; ask again when it serves", engine->handing.pid);
  look_before(&target);
  if (!error)
    error = gg_plane_upstream_drain(engine->plane, target.listener, target.name, target.drained, failure);
  if (!error) {
    write_drained(&target, reply);
    write_rest(&target, reply);
  }
  gg__engine_unlock(engine);
  return error;
}
