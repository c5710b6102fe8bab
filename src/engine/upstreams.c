/* SPDX-License-Identifier: Apache-2.0 */
/* upstreams.c - the control socket's commands about upstreams: their states, and to drain one. */
#include "base/clock.h"
#include "engine/engine.h"

#include <string.h>

static const char *const state_names[] = {
  [GG_UPSTREAM_UP] = "up",
  [GG_UPSTREAM_SLOW_START] = "slow_start",
  [GG_UPSTREAM_OUT] = "out",
  [GG_UPSTREAM_DRAINED] = "drained",
};

static void write_upstream(const struct gg_upstream_status *status, uint64_t now_ns, struct gg_json *json)
{
  gg_json_object_begin(json);
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
  gg_json_object_end(json);
}

int gg__command_upstreams(void *context, const struct gg_control_request *request, struct gg_json *reply,
                          struct gg_failure *failure)
{
  const struct gg_engine *engine = context;
  struct gg_upstream_status status;
  uint64_t now_ns = gg_clock_mono_ns();
  (void)request;
  (void)failure;
  gg_json_key(reply, "upstreams");
  gg_json_array_begin(reply);
  gg__engine_lock(engine); /* no reload in between: the names are the configuration's */
  for (size_t i = 0; gg_gateway_upstream(engine->gateway, i, &status) == 0; i++)
    write_upstream(&status, now_ns, reply);
  gg__engine_unlock(engine);
  gg_json_array_end(reply);
  return 0;
}

int gg__command_upstream_drain(void *context, const struct gg_control_request *request, struct gg_json *reply,
                               struct gg_failure *failure)
{
  const struct gg_engine *engine = context;
  const char *name = gg_control_argument(request, "upstream"), *drained = gg_control_argument(request, "drained");
  (void)reply;
  if (!name)
    return gg_fail(failure, GG_ERR_INVALID, "upstream-drain needs \"upstream\", the name of one");
  bool resumes = drained && strcmp(drained, "false") == 0;
  if (drained && !resumes && strcmp(drained, "true") != 0)
    return gg_fail(failure, GG_ERR_INVALID, "\"drained\" is true or false");
  gg__engine_lock(engine);
  int error = 0;
  if (engine->handing.client != 0) /* it was told what is drained */
    error = gg_fail(failure, GG_ERR_BUSY, "process %ld is taking over; ask again when it serves", engine->handing.pid);
  if (!error)
    error =
      gg_gateway_upstream_drain(engine->gateway, gg_control_argument(request, "listener"), name, !resumes, failure);
  gg__engine_unlock(engine);
  return error;
}
