/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <gogetway/gogetway.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 1024 };

enum option { OPTION_JSON };
const struct gg_cli_option gg_cli_json_options[1] = {
  [OPTION_JSON] = {"json", 'j', NULL, "the gateway's reply, one object"},
};

int gg_cli_take_json(int argc, char **argv, bool *json)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, gg_cli_json_options);
  *json = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == GG_CLI_WORD)
      return gg_cli_wrong("%s: unexpected word '%s'", argv[0], args.value);
    if (what != OPTION_JSON)
      return GG_EXIT_USAGE;
    *json = true;
  }
  return GG_EXIT_DONE;
}

/* ── Replies of our own ──────────────────────────────────────────────────────────────────────────────────────────── */

/* In UTF-8 without control characters: a path or a name may be any bytes, and JSON takes no others. */
static char *copy_safe(const char *text)
{
  char *copy = NULL;
  size_t length;
  FILE *out = open_memstream(&copy, &length);
  if (!out)
    return NULL;
  gg_cli_put_safe(out, text, strlen(text));
  if (fclose(out) != 0) {
    free(copy);
    return NULL;
  }
  return copy;
}

void gg_cli_reply_refuse(struct gg_cli_reply *reply, const char *format, ...)
{
  char message[MESSAGE_MAX];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  gg_cli_reply_free(reply);
  char *safe = copy_safe(message);
  reply->object = safe ? json_pack("{s:b, s:s}", "ok", 0, "error", safe) : NULL;
  reply->text = reply->object ? json_dumps(reply->object, JSON_COMPACT) : NULL;
  free(safe);
}

/* The gateway was not reached. Who was looked for in the wrong place hears which option says the right one. */
static void refuse_asking(const struct gg_cli *cli, const struct gg_failure *failure, struct gg_cli_reply *out)
{
  const char *hint = "";
  if (failure->code == GG_ERR_NOT_FOUND)
    hint = cli->dir_given   ? " (--dir names the directory that the gateway records into)"
           : cli->dir_named ? " (from $GOGETWAY_DIR; --dir DIR says where the gateway records)"
                            : " (the default; --dir DIR says where the gateway records)";
  gg_cli_reply_refuse(out, "%s%s", failure->message, hint);
  out->unreached = true;
}

/* ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Reads out->text. */
static void read_reply(const struct gg_cli *cli, struct gg_cli_reply *out)
{
  out->object = out->text ? json_loads(out->text, JSON_REJECT_DUPLICATES, NULL) : NULL;
  if (json_is_object(out->object))
    out->ok = json_is_true(json_object_get(out->object, "ok"));
  else
    gg_cli_reply_refuse(out, "the gateway on %s gave no sensible reply", cli->dir);
}

void gg_cli_ask(const struct gg_cli *cli, long pid, const char *request, struct gg_cli_reply *out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  *out = (struct gg_cli_reply){0};
  int error = pid > 0 ? gg_control_call_pid(cli->dir, pid, request, &out->text, &failure)
                      : gg_control_call(cli->dir, request, &out->text, &failure);
  if (error)
    refuse_asking(cli, &failure, out);
  else
    read_reply(cli, out);
}

/* Member by member: clang 14's analyzer loses sight of who owns what in a copy of the whole. */
static void swap(struct gg_cli_reply *a, struct gg_cli_reply *b)
{
  char *text = a->text;
  json_t *object = a->object;
  bool ok = a->ok;
  a->text = b->text;
  a->object = b->object;
  a->ok = b->ok;
  b->text = text;
  b->object = object;
  b->ok = ok;
}

/* Whether `reply` says more of what is not done than `other`. */
static bool is_worse(const struct gg_cli_reply *reply, const struct gg_cli_reply *other, const char *key)
{
  if (!other->object)
    return true;
  if (!other->ok || !reply->ok)
    return other->ok;
  return json_is_true(json_object_get(other->object, key)) && !json_is_true(json_object_get(reply->object, key));
}

void gg_cli_ask_all(const struct gg_cli *cli, const char *request, const char *key, struct gg_cli_reply *out)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  char *replies = NULL, *rest = NULL;
  *out = (struct gg_cli_reply){0};
  if (gg_control_call_all(cli->dir, request, &replies, &failure) != 0) {
    refuse_asking(cli, &failure, out);
    return;
  }
  for (char *line = strtok_r(replies, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    struct gg_cli_reply reply = {.text = strdup(line)};
    read_reply(cli, &reply);
    if (is_worse(&reply, out, key))
      swap(&reply, out);
    gg_cli_reply_free(&reply);
  }
  free(replies);
}

void gg_cli_reply_free(struct gg_cli_reply *reply)
{
  json_decref(reply->object);
  free(reply->text);
  *reply = (struct gg_cli_reply){0};
}

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg_cli_reply_put(const struct gg_cli_reply *reply)
{
  puts(reply->text ? reply->text : "{\"ok\":false,\"error\":\"out of memory\"}");
  return reply->ok ? GG_EXIT_DONE : GG_EXIT_FAILED;
}

int gg_cli_reply_fail(const struct gg_cli_reply *reply)
{
  const char *error = json_string_value(json_object_get(reply->object, "error"));
  if (!reply->object)
    error = "out of memory";
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
