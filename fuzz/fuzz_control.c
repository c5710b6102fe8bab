/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the control socket: any line is either a command's name or an error with words. And what a process that
 * takes over is replied: either sensible within its bounds, or an error with words. */
#include "admin/control.h"
#include "engine/takeover.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void parse_reply(const char *text, size_t length)
{
  static struct gg_takeover_reply reply;
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t sockets = 0;
  int error = gg__takeover_reply_parse(&reply, text, length, &failure);
  if (error && (failure.code != error || failure.message[0] == '\0' || reply.listener_count > 0))
    abort();
  for (size_t i = 0; i < reply.listener_count; i++) {
    if (!reply.listeners[i].known.name)
      abort();
    sockets += reply.listeners[i].sockets;
  }
  if (sockets != reply.sockets || 1 + reply.sibling_count + sockets > GG_CONTROL_FDS_MAX)
    abort();
  gg__takeover_reply_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
  parse_reply((const char *)data, length);
  struct gg_control_request request;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = gg_control_request_parse(&request, (const char *)data, length, &failure);
  size_t name = strnlen(request.command, sizeof request.command);
  if (name == sizeof request.command || (error == 0) != (name > 0))
    abort();
  for (unsigned i = 0; i < request.argument_count; i++)
    if (!gg_control_argument(&request, request.arguments[i].name))
      abort();
  if (error && (failure.code != error || failure.message[0] == '\0'))
    abort();
  return 0;
}
