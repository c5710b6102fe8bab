/* SPDX-License-Identifier: Apache-2.0 */
/* live.c - commands of the control socket that do something to the running gateway. */
#include "base/clock.h"
#include "engine/engine.h"

#include <stdlib.h>

int gg__command_reload(void *context, const struct gg_control_request *request, struct gg_json *reply,
                       struct gg_failure *failure)
{
  struct gg_report *report = calloc(1, sizeof *report);
  (void)request;
  if (!report)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for a report");
  int error = gg__reload_ask(context, GG_RELOAD_ANSWER_NS, report, failure);
  if (!error) {
    gg__report_write(report, GG_REPORT_CHANGED, "changed", reply);
    gg__report_write(report, GG_REPORT_RESTART, "restart", reply);
    gg__report_write(report, GG_REPORT_WARNING, "warnings", reply);
  } else if (report->count > 0) {
    gg_control_refuse(reply, failure);
    gg__report_write(report, GG_REPORT_ERROR, "errors", reply);
    error = 0;
  }
  if (report->left_out > 0)
    gg_json_field_unsigned(reply, "left_out", report->left_out);
  free(report);
  return error;
}

int gg__command_rotate(void *context, const struct gg_control_request *request, struct gg_json *reply,
                       struct gg_failure *failure)
{
  struct gg_gateway *engine = context;
  gg_recorder_rotate(engine->recorder);
  return gg__command_rotated(context, request, reply, failure);
}

int gg__command_rotated(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure)
{
  const struct gg_gateway *engine = context;
  (void)request;
  (void)failure;
  gg_json_field_bool(reply, "rotated", gg_recorder_rotated(engine->recorder));
  return 0;
}
