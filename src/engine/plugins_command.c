/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins_command.c - the control socket's commands about plug-ins: what is loaded and what it costs, and the plug-ins'
 * own commands.
 *
 * A hook that is listed is kept by the desk's lock, without which the engine's thread takes none from the list; one
 * whose command runs is held.
 */
#include "engine/config_plugin.h"
#include "engine/engine.h"
#include "engine/plugins.h"

#include <string.h>

/* ── What is loaded ──────────────────────────────────────────────────────────────────────────────────────────────── */

static void write_reading(struct gg_json *json, const struct gg_hook_reading *reading)
{
  gg_json_field_unsigned(json, "calls", reading->calls);
  gg_json_field_unsigned(json, "ns", reading->ns);
  gg_json_field_unsigned(json, "mean_ns", reading->calls > 0 ? reading->ns / reading->calls : 0);
  gg_json_field_unsigned(json, "slow_calls", reading->slow);
}

/* Those that it has, and then all of them together. */
static void write_points(const struct gg_hook *hook, struct gg_json *json)
{
  struct gg_hook_reading all = {0};
  gg_json_key(json, "hooks");
  gg_json_array_begin(json);
  for (unsigned point = 0; point < GG_HOOK_POINTS; point++) {
    struct gg_hook_reading reading;
    if (!gg_hook_has(hook, point))
      continue;
    gg_hook_read(hook, point, &reading);
    all.calls += reading.calls;
    all.ns += reading.ns;
    all.slow += reading.slow;
    gg_json_object_begin(json);
    gg_json_field_string(json, "hook", gg_hook_point_text(point));
    write_reading(json, &reading);
    gg_json_object_end(json);
  }
  gg_json_array_end(json);
  write_reading(json, &all);
}

/* How many directions of open sessions are in each mode now. */
static void write_modes(const struct gg_hook *hook, struct gg_json *json)
{
  gg_json_key(json, "directions");
  gg_json_object_begin(json);
  for (unsigned mode = 0; mode < GG_HOOK_MODES; mode++)
    gg_json_field_unsigned(json, gg_hook_mode_text(mode), gg_hook_mode_read(hook, mode));
  gg_json_object_end(json);
}

static void write_commands(const struct gg_hook *hook, struct gg_json *json)
{
  gg_json_key(json, "commands");
  gg_json_array_begin(json);
  for (size_t i = 0; i < hook->plugin.command_count; i++) {
    const struct gg_plugin_command *command = &hook->plugin.commands[i];
    gg_json_object_begin(json);
    gg_json_field_string(json, "verb", command->verb);
    gg_json_field_string(json, "words", command->words);
    gg_json_field_string(json, "help", command->help);
    gg_json_object_end(json);
  }
  gg_json_array_end(json);
}

/* `entry` NULL: only sessions have it any more. */
static void write_hook(const struct gg_hook *hook, const struct gg_plugin_entry *entry, const struct gg_config *config,
                       struct gg_json *json)
{
  gg_json_object_begin(json);
  gg_json_field_string(json, "name", hook->name);
  gg_json_field_string(json, "version", hook->plugin.version);
  gg_json_field_string(json, "summary", hook->plugin.summary);
  gg_json_field_string(json, "state", entry ? "loaded" : "leaving");
  gg_json_field_string(json, "path", gg__plugins_path(hook));
  gg_json_field_string(json, "state_dir", hook->state_dir);
  gg_json_key(json, "listeners");
  gg_json_array_begin(json);
  for (size_t i = 0; entry && i < config->listener_count; i++)
    if (gg__plugins_sees(entry, &config->listeners[i]))
      gg_json_string(json, config->listeners[i].name);
  gg_json_array_end(json);
  write_modes(hook, json);
  write_points(hook, json);
  if (gg_hook_has(hook, GG_HOOK_OBSERVE))
    gg_json_field_unsigned(json, "missed_bytes", gg_hook_missed(hook));
  if (gg_hook_has(hook, GG_HOOK_SINK)) {
    gg_json_field_string(json, "sink", hook->best_effort ? GG__SINK_BEST_EFFORT : GG__SINK_REQUIRED);
    gg_json_field_unsigned(json, "sink_lost_bytes", gg_hook_sink_lost(hook));
    gg_json_field_unsigned(json, "sink_errors", gg_hook_sink_errors(hook));
  }
  write_commands(hook, json);
  gg_json_object_end(json);
}

static const struct gg_plugin_entry *entry_of(const struct gg_plugins *plugins, const struct gg_hook *hook)
{
  for (size_t i = 0; i < plugins->count; i++)
    if (plugins->entries[i].hook == hook)
      return &plugins->entries[i];
  return NULL;
}

int gg__command_plugins(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure)
{
  const struct gg_gateway *engine = context;
  (void)request;
  (void)failure;
  gg_json_key(reply, "plugins");
  gg_json_array_begin(reply);
  gg__engine_lock(engine);
  const struct gg_plugins *plugins = &engine->now->plugins;
  for (size_t i = 0; i < plugins->count; i++)
    write_hook(plugins->entries[i].hook, &plugins->entries[i], &engine->now->config, reply);
  pthread_mutex_lock(&engine->desk->lock);
  for (const struct gg_hook *hook = engine->desk->hooks; hook; hook = hook->next)
    if (!entry_of(plugins, hook))
      write_hook(hook, NULL, &engine->now->config, reply);
  pthread_mutex_unlock(&engine->desk->lock);
  gg__engine_unlock(engine);
  gg_json_array_end(reply);
  return 0;
}

/* ── A plug-in's own command ─────────────────────────────────────────────────────────────────────────────────────── */

/* What the request asks for; the hook is held. NULL: there is no such plug-in. */
static struct gg_hook *take_hook(const struct gg_gateway *engine, const char *name)
{
  gg__engine_lock(engine);
  const struct gg_plugin_entry *entry = gg__plugins_find(&engine->now->plugins, name);
  struct gg_hook *hook = entry ? gg_hook_ref(entry->hook) : NULL;
  gg__engine_unlock(engine);
  return hook;
}

/* A refusal that says more than why, for whoever made a program's exit status of it. */
static int refuse(struct gg_json *reply, const struct gg_failure *failure, const char *mark)
{
  gg_control_refuse(reply, failure);
  gg_json_field_bool(reply, mark, true);
  return 0;
}

static int refuse_unknown(const struct gg_gateway *engine, const char *name, struct gg_json *reply)
{
  struct gg_failure why = GG_FAILURE_INIT;
  gg_fail(&why, GG_ERR_NOT_FOUND, "there is no plug-in '%.80s'", name);
  refuse(reply, &why, "unknown");
  gg_json_key(reply, "plugins");
  gg_json_array_begin(reply);
  gg__engine_lock(engine);
  for (size_t i = 0; i < engine->now->plugins.count; i++)
    gg_json_string(reply, engine->now->plugins.entries[i].hook->name);
  gg__engine_unlock(engine);
  gg_json_array_end(reply);
  return 0;
}

/* Wrong words, with the commands that there are. */
static int refuse_words(const struct gg_hook *hook, struct gg_json *reply, const struct gg_failure *why)
{
  refuse(reply, why, "wrong");
  write_commands(hook, reply);
  return 0;
}

static int run_command(struct gg_hook *hook, unsigned command, const struct gg_control_request *request,
                       struct gg_json *reply, struct gg_failure *why)
{
  const char *words[GG_CONTROL_WORDS_MAX];
  struct gg_hook_reply said = {0};
  for (size_t i = 0; i < request->word_count; i++)
    words[i] = request->words[i];
  int error = gg_hook_command(hook, command, request->word_count, words, &said, why);
  if (!error) {
    gg_json_field_string(reply, "text", said.text ? said.text : "");
    gg_json_field_bool(reply, "cut", said.cut);
  }
  gg_hook_reply_fini(&said);
  return error;
}

static int serve(struct gg_hook *hook, const char *verb, const struct gg_control_request *request,
                 struct gg_json *reply, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  int command = verb ? gg_hook_verb(hook, verb) : -1;
  if (command < 0) {
    gg_fail(&why, GG_ERR_INVALID, verb ? "%s has no command '%.80s'" : "%s: which command?%s", hook->name,
            verb ? verb : "");
    return refuse_words(hook, reply, &why);
  }
  if (!hook->plugin.commands[command].words && request->word_count > 0) {
    gg_fail(&why, GG_ERR_INVALID, "%s %s takes no words, and was given '%.80s'", hook->name, verb, request->words[0]);
    return refuse_words(hook, reply, &why);
  }
  int error = run_command(hook, (unsigned)command, request, reply, &why);
  if (error == GG_ERR_INVALID) {
    struct gg_failure told = GG_FAILURE_INIT;
    gg_fail(&told, error, "%s %s: %.400s", hook->name, verb, why.message);
    return refuse_words(hook, reply, &told);
  }
  return error ? gg_fail(failure, error, "%s %s: %.400s", hook->name, verb, why.message) : 0;
}

int gg__command_plugin(void *context, const struct gg_control_request *request, struct gg_json *reply,
                       struct gg_failure *failure)
{
  const struct gg_gateway *engine = context;
  const char *name = gg_control_argument(request, "plugin");
  if (!name)
    return gg_fail(failure, GG_ERR_INVALID, "plugin needs \"plugin\", the name of one");
  struct gg_hook *hook = take_hook(engine, name);
  if (!hook)
    return refuse_unknown(engine, name, reply);
  int error = serve(hook, gg_control_argument(request, "verb"), request, reply, failure);
  gg_hook_unref(hook);
  return error;
}
