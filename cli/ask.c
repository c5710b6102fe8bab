/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <gogetway/gogetway.h>
#include <stdlib.h>
#include <string.h>

/* Reads out->text. */
static int read_reply(const struct gg_cli *cli, struct gg_cli_reply *out)
{
  out->object = out->text ? json_loads(out->text, JSON_REJECT_DUPLICATES, NULL) : NULL;
  if (!json_is_object(out->object)) {
    gg_cli_reply_free(out);
    return gg_cli_fail("the gateway on %s gave no sensible reply", cli->dir);
  }
  out->ok = json_is_true(json_object_get(out->object, "ok"));
  return GG_EXIT_DONE;
}

int gg_cli_ask(const struct gg_cli *cli, const char *request, struct gg_cli_reply *out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  *out = (struct gg_cli_reply){0};
  if (gg_control_call(cli->dir, request, &out->text, &failure) != 0)
    return gg_cli_fail("%s", failure.message);
  return read_reply(cli, out);
}

int gg_cli_ask_all(const struct gg_cli *cli, const char *request, const char *key, struct gg_cli_reply *out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  char *replies = NULL, *rest = NULL;
  int status = GG_EXIT_DONE;
  *out = (struct gg_cli_reply){0};
  if (gg_control_call_all(cli->dir, request, &replies, &failure) != 0)
    return gg_cli_fail("%s", failure.message);
  for (char *line = strtok_r(replies, "\n", &rest); line && status == GG_EXIT_DONE;
       line = strtok_r(NULL, "\n", &rest)) {
    struct gg_cli_reply reply = {.text = strdup(line)};
    status = read_reply(cli, &reply);
    bool worse =
      !out->object || (out->ok && !reply.ok) ||
      (out->ok && json_is_true(json_object_get(out->object, key)) && !json_is_true(json_object_get(reply.object, key)));
    struct gg_cli_reply other = worse ? *out : reply;
    if (worse)
      *out = reply;
    gg_cli_reply_free(&other);
  }
  free(replies);
  if (status != GG_EXIT_DONE)
    gg_cli_reply_free(out);
  return status;
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
