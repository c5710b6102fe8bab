/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - what the engine tells of itself: over the control socket, and in a file when it ends. */
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/file.h"
#include <gogetway/gogetway.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[] = {"created", "running", "draining", "stopping", "ended"};
static const char *const pressure_names[] = {"flowing", "stalled", "disk_full"};

static void write_listeners(const struct gg_gateway *engine, struct gg_json *json)
{
  const struct gg_config *config = &engine->now->config;
  char text[512];
  gg_json_key(json, "listeners");
  gg_json_array_begin(json);
  for (size_t i = 0; i < config->listener_count; i++) {
    gg_json_object_begin(json);
    gg_json_field_string(json, "name", config->listeners[i].name);
    gg_json_field_string(json, "listen", gg__engine_listener(engine, i, text, sizeof text) ? text : NULL);
    gg_json_field_string(json, "upstream", config->listeners[i].upstream_text);
    gg_json_field_string(json, "record", config->listeners[i].record == GG_CONFIG_RECORD_OFF ? "off" : "full");
    gg_json_object_end(json);
  }
  gg_json_array_end(json);
}

int gg__engine_stats(const struct gg_gateway *engine, struct gg_json *json)
{
  char time[GG_CLOCK_TEXT_MAX];
  char *metrics = gg_metrics_json(engine->metrics);
  if (!metrics)
    return GG_ERR_NOMEM;
  gg_clock_format(engine->started_real_ns, 3, time, sizeof time);
  gg_json_field_string(json, "version", gg_version());
  gg_json_field_unsigned(json, "pid", (uint64_t)getpid());
  gg_json_field_string(json, "state", state_names[atomic_load(&engine->state)]);
  gg_json_field_string(json, "started", time);
  gg_json_field_unsigned(json, "uptime_ns", gg_clock_mono_ns() - engine->started_mono_ns);
  gg__engine_lock(engine);
  gg_json_field_string(json, "dir", engine->now->config.dir);
  gg_json_field_string(json, "store", gg_recorder_uuid(engine->recorder));
  gg_json_field_unsigned(json, "workers", engine->now->options.workers);
  write_listeners(engine, json);
  gg__engine_unlock(engine);
  gg_json_key(json, "metrics");
  gg_json_raw(json, metrics, strlen(metrics));
  free(metrics);
  return 0;
}

/* As one object with room for one byte more; malloc'ed. */
static int stats_text(const struct gg_gateway *engine, char **text, size_t *length)
{
  struct gg_json json;
  *text = malloc(GG_CONTROL_REPLY_MAX);
  if (!*text)
    return GG_ERR_NOMEM;
  gg_json_init(&json, *text, GG_CONTROL_REPLY_MAX - 1);
  gg_json_object_begin(&json);
  int error = gg__engine_stats(engine, &json);
  gg_json_object_end(&json);
  *length = gg_json_finish(&json);
  if (!error && *length > 0)
    return 0;
  free(*text);
  *text = NULL;
  return error ? error : GG_ERR_LIMIT;
}

int gg__engine_stats_file(const struct gg_gateway *engine, const char *path, struct gg_failure *failure)
{
  char *text;
  size_t length;
  int error = stats_text(engine, &text, &length);
  if (error)
    return gg_fail(failure, error, "cannot write %s: %s", path, gg_error_text(error));
  text[length] = '\n';
  error = gg__file_replace(path, text, length + 1, 0600, failure);
  free(text);
  return error;
}

int gg_gateway_stats(const struct gg_gateway *engine, char **out, struct gg_failure *failure)
{
  size_t length;
  *out = NULL;
  if (!engine->recorder)
    return gg_fail(failure, GG_ERR_INVALID, "this gateway was not started");
  int error = stats_text(engine, out, &length);
  if (error)
    return gg_fail(failure, error, "cannot tell the gateway's state: %s", gg_error_text(error));
  (*out)[length] = '\0';
  char *fitting = realloc(*out, length + 1);
  if (fitting)
    *out = fitting;
  return 0;
}

/* ── Commands of the control socket ──────────────────────────────────────────────────────────────────────────────── */

static int command_stats(void *context, const struct gg_control_request *request, struct gg_json *reply,
                         struct gg_failure *failure)
{
  (void)request;
  int error = gg__engine_stats(context, reply);
  return error ? gg_fail(failure, error, "%s", gg_error_text(error)) : 0;
}

static int command_logs(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure)
{
  (void)request;
  const struct gg_gateway *engine = context;
  struct gg_log_status status;
  (void)failure;
  gg_json_key(reply, "logs");
  gg_json_array_begin(reply);
  for (unsigned i = 0; i < gg_recorder_logs(engine->recorder); i++) {
    if (gg_recorder_log_status(engine->recorder, i, &status) != 0 || status.untouched)
      continue;
    gg_json_object_begin(reply);
    gg_json_field_string(reply, "name", status.name);
    gg_json_field_string(reply, "segment", status.segment);
    gg_json_field_unsigned(reply, "segment_bytes", status.segment_bytes);
    gg_json_field_unsigned(reply, "watermark_ns", status.watermark_ns);
    gg_json_field_unsigned(reply, "ring_bytes", status.ring_bytes);
    gg_json_field_unsigned(reply, "fill_bytes", status.fill_bytes);
    gg_json_field_string(reply, "pressure", pressure_names[status.pressure]);
    gg_json_object_end(reply);
  }
  gg_json_array_end(reply);
  return 0;
}

static int command_metrics(void *context, const struct gg_control_request *request, struct gg_json *reply,
                           struct gg_failure *failure)
{
  (void)request;
  const struct gg_gateway *engine = context;
  size_t length;
  char *text = gg_metrics_text(engine->metrics, &length);
  if (!text)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the metrics");
  gg_json_field_string(reply, "content_type", GG_METRICS_TEXT_TYPE);
  gg_json_key(reply, "text");
  gg_json_string_n(reply, text, length);
  free(text);
  return 0;
}

/* What a reload left as it was, and what it changed: files may say something else by now. */
static int command_config(void *context, const struct gg_control_request *request, struct gg_json *reply,
                          struct gg_failure *failure)
{
  (void)request;
  const struct gg_gateway *engine = context;
  gg__engine_lock(engine);
  char *text = gg_config_print(&engine->now->config);
  gg__engine_unlock(engine);
  if (!text)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the configuration");
  gg_json_field_string(reply, "text", text);
  free(text);
  return 0;
}

static int command_stop(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure)
{
  (void)request;
  (void)reply;
  (void)failure;
  gg_gateway_drain(context);
  return 0;
}

const struct gg_control_command gg__engine_commands[] = {
  {"stats", "version, process, listeners and all metrics", command_stats},
  {"metrics", "all metrics, for each listener and upstream too, as Prometheus' text", command_metrics},
  {"config", "the configuration that is in force, as YAML", command_config},
  {"logs", "each log: its open segment, how far it is written, and its fill", command_logs},
  {"takeover", "hand the store and the listening sockets over to the process that asks", gg__command_takeover,
   gg__takeover_descriptors},
  {"handed-over", "after takeover: the process that asks serves now", gg__command_handed_over},
  {"reload", "read the configuration again; says what changed, or every error", gg__command_reload},
  {"rotate", "end every segment now", gg__command_rotate},
  {"rotated", "whether all segments are sealed that rotate ended", gg__command_rotated},
  {"plugins", "each plug-in: its listeners, commands, and what its operations were called and took",
   gg__command_plugins},
  {"plugin", "what \"plugin\" does on its \"verb\", with \"words\"", gg__command_plugin},
  {"upstreams", "each listener's upstreams: state, weight, open sessions, failures", gg__command_upstreams},
  {"upstream-drain", "no new session for \"upstream\" (of \"listener\"); with \"drained\":false again",
   gg__command_upstream_drain},
  {"stop", "drain and end, as by SIGTERM", command_stop},
};
const size_t gg__engine_command_count = sizeof gg__engine_commands / sizeof gg__engine_commands[0];
