/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plugins.h - the plug-ins of a configuration: opened and judged when it is read, made into hooks before it comes into
 * force, and let go of with it.
 *
 *   gg__plugins_open ──► gg__plugins_create ──► gg__plugins_chain ──► gg__plugins_start ──► (gg_plane_...) ──► tell
 *     files, tables,       instances; state        which listener       ticks
 *     options: all that    directories             has which
 *     is wrong at once
 *
 * Up to the last of these, what was made is undone by gg__plugins_release and gg_hook_reap, and nothing has changed.
 *
 * An entry goes on as it is, with the instance that it has, if a plug-in of its name was there before from the same
 * file, unchanged, with the same options, and does not say that it is stale. Which listeners it is on, and its place in
 * the order, may differ.
 *
 * Thread: the engine's, but for gg__command_*.
 */
#ifndef GG_ENGINE_PLUGINS_H
#define GG_ENGINE_PLUGINS_H

#include "engine/config.h"
#include "hook/hook.h"

struct gg_configured;
struct gg_control_request;
struct gg_json;
struct gg_hook_values;
struct gg_indexing;
struct gg_library;
struct gg_plugin_add_options;
struct gg_recorder;
struct gg_report;

/* What a hook is made of. An entry's, until there is a hook: then the hook's. */
struct gg_loaded {
  struct gg_library *library; /* NULL: the program's own table */
  struct gg_plugin table;
  struct gg_hook_values *values;
  char *path;                  /* as the configuration has it; NULL: none */
  char *options;               /* what the user gave, as text */
  struct gg_strings listeners; /* of one that the program has added */
  bool best_effort;            /* as a sink */
};
void gg__loaded_free(void *loaded); /* NULL is fine */

struct gg_plugin_entry {
  const struct gg_config_plugin *config; /* of the same configuration; NULL: the embedding program has added it */
  struct gg_loaded *loaded;
  struct gg_hook *hook; /* held; NULL: there is none yet */
};

/* In the order in which they see a session: the configuration's, then the program's. */
struct gg_plugins {
  size_t count;
  struct gg_plugin_entry entries[GG_HOOKS_MAX];
};

/* Opens all that the configuration names. `before`, the one in force, and its desk are NULL at first. Everything that
 * is wrong goes to `errors`, with its place; the error is that of the first. */
int gg__plugins_open(struct gg_configured *configured, const struct gg_configured *before,
                     const struct gg_hook_desk *desk, struct gg_config_errors *errors);
/* plugins_add.c: adds one of the embedding program's, as gg_gateway_plugin_add. */
int gg__plugins_add(struct gg_configured *configured, const struct gg_plugin *table,
                    const struct gg_plugin_add_options *options, struct gg_failure *failure);
int gg__plugins_create(struct gg_configured *configured, struct gg_hook_desk *desk, struct gg_failure *failure);
/* Of a configuration that was filled. */
int gg__plugins_chain(struct gg_configured *configured, struct gg_hook_desk *desk, struct gg_failure *failure);
/* Behind whatever threads inherit. */
int gg__plugins_start(const struct gg_configured *configured, struct gg_failure *failure);
/* Those that get the recording, or are told of its files, are what the recorder has from now on. Cannot fail. */
void gg__plugins_sinks(const struct gg_configured *configured, struct gg_recorder *recorder);
/* Those that have decoders are asked by them from now on. Cannot fail. */
void gg__plugins_decoders(const struct gg_configured *configured, struct gg_indexing *indexing);
/* What is new, and what is gone: to the logger, and if there is one to the report. */
void gg__plugins_tell(const struct gg_configured *now, const struct gg_configured *before, struct gg_logger *logger,
                      struct gg_report *report);
void gg__plugins_release(struct gg_configured *configured);

/* NULL: there is none of that name. */
const struct gg_plugin_entry *gg__plugins_find(const struct gg_plugins *plugins, const char *name);
/* Of a hook that was made here: its file as the configuration names it; NULL: it has none. */
const char *gg__plugins_path(const struct gg_hook *hook);
/* Whether an entry sees the sessions of a listener. */
bool gg__plugins_sees(const struct gg_plugin_entry *entry, const struct gg_config_listener *listener);

/* plugins_command.c: commands of the control socket. */
int gg__command_plugins(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure);
int gg__command_plugin(void *context, const struct gg_control_request *request, struct gg_json *reply,
                       struct gg_failure *failure);

#endif
