/* SPDX-License-Identifier: Apache-2.0 */
/* live.c - commands of the control socket that do something to the running gateway. */
#include "engine/engine.h"

int gg__command_rotate(void *context, const struct gg_control_request *request, struct gg_json *reply,
                       struct gg_failure *failure)
{
  struct gg_engine *engine = context;
  gg_recorder_rotate(engine->recorder);
  return gg__command_rotated(context, request, reply, failure);
}

int gg__command_rotated(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure)
{
  const struct gg_engine *engine = context;
  (void)request;
  (void)failure;
  gg_json_field_bool(reply, "rotated", gg_recorder_rotated(engine->recorder));
  return 0;
}
