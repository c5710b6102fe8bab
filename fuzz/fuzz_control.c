/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the control socket: any line is either a command's name or an error with words. */
#include "admin/control.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
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
