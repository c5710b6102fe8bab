/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <gogetway/gogetway.h>
#include <stdlib.h>
#include <string.h>

int gg_cli_ask(const struct gg_cli *cli, const char *request, struct gg_cli_reply *out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  *out = (struct gg_cli_reply){0};
  if (gg_control_call(cli->dir, request, &out->text, &failure) != 0)
    return gg_cli_fail("%s", failure.message);
  out->object = json_loads(out->text, JSON_REJECT_DUPLICATES, NULL);
  if (!json_is_object(out->object)) {
    gg_cli_reply_free(out);
    return gg_cli_fail("the gateway on %s gave no sensible reply", cli->dir);
  }
  out->ok = json_is_true(json_object_get(out->object, "ok"));
  return GG_EXIT_DONE;
}

void gg_cli_reply_free(struct gg_cli_reply *reply)
{
  json_decref(reply->object);
  free(reply->text);
  *reply = (struct gg_cli_reply){0};
}

int gg_cli_reply_fail(const struct gg_cli_reply *reply)
{
  const char *error = json_string_value(json_object_get(reply->object, "error"));
  return gg_cli_fail("%s", error ? error : "the gateway refused, and did not say why");
}

size_t gg_cli_reply_lines(const struct gg_cli_reply *reply, const char *key, const char *head, FILE *out)
{
  size_t index;
  json_t *line;
  json_t *lines = json_object_get(reply->object, key);
  json_array_foreach(lines, index, line)
  {
    fputs(head, out);
    gg_cli_put_safe(out, json_string_value(line) ? json_string_value(line) : "", json_string_length(line));
    fputc('\n', out);
  }
  return json_array_size(lines);
}
