/* SPDX-License-Identifier: Apache-2.0 */
/**
 * configured.h - one configuration, and everything that the gateway borrows from it.
 *
 * The engine has one; a reload makes another beside it, hands that over, and destroys the old one when the gateway has
 * let go of it. Nothing in it changes once it is filled.
 *
 * Thread: the engine's. What is in engine->now may be read by others under the engine's lock.
 */
#ifndef GG_ENGINE_CONFIGURED_H
#define GG_ENGINE_CONFIGURED_H

#include "engine/config.h"
#include "engine/plugins.h"
#include "gateway/plane.h"
#include "net/resolve.h"

struct gg__tag_rules;

struct gg_configured {
  struct gg_config config;
  struct gg_listener_options *listeners; /* config.listener_count of them */
  struct gg_upstream_options *upstreams; /* of all listeners, one behind the other */
  struct gg_plane_options options;       /* borrows the above; recorder, logger and metrics are the engine's to set */

  struct gg_resolver *resolver; /* whose names these are */
  struct gg_name **names;       /* one for each gg_resolver_add */
  size_t name_count;

  struct gg_plugins plugins;
  struct gg__tag_rules *tag_rules; /* who uses them on another thread has a reference; NULL: there are none */
};

/* The words of the command line, kept for every later reading. */
struct gg_arguments {
  char **items;
  size_t count;
};
int gg__arguments_copy(struct gg_arguments *out, const char *const *items, size_t count);
void gg__arguments_free(struct gg_arguments *arguments);

/* Reads the configuration only; `silence_ms` and `errors` as gg_config_load. The failure has the first of them. */
int gg__configured_load(struct gg_configured **out, const struct gg_arguments *arguments, int silence_ms,
                        struct gg_config_errors *errors, struct gg_failure *failure);
/* Opens the plug-ins that it names, if it is to run or to be checked: gg__plugins_open. The failure has the first
 * error, as above. */
int gg__configured_plugins(struct gg_configured *configured, const struct gg_configured *before,
                           const struct gg_hook_desk *desk, struct gg_config_errors *errors,
                           struct gg_failure *failure);
/* Makes the gateway's options from it; names go to the resolver. */
int gg__configured_fill(struct gg_configured *configured, struct gg_resolver *resolver, struct gg_failure *failure);
/* Undoes the filling: gives the names back, and lets go of the plug-ins. NULL, and one that was never filled, are fine,
 * here and below. */
void gg__configured_release(struct gg_configured *configured);
void gg__configured_destroy(struct gg_configured *configured);

#endif
