/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/service.h"

#include "engine/notify.h"
#include "engine/privileges.h"
#include "engine/sandbox.h"

#include <stdio.h>
#include <unistd.h>

int gg__service_begin(struct gg_gateway *engine, struct gg_failure *failure)
{
  const struct gg_config *config = &engine->now->config;
  struct gg_failure told = GG_FAILURE_INIT;
  if (!engine->own_process)
    return config->user ? gg_fail(failure, GG_ERR_INVALID, "user: only a process of the gateway's own changes it") : 0;
  /* A manager that cannot be spoken to is no reason not to relay. */
  if (gg__notify_open(&engine->notify, engine->logger, &told) != 0)
    gg_warn(engine->logger, "the service manager cannot be told", GG_S("error", told.message));
  if (config->user)
    return gg__privileges_give_up(config->user, config->group, config->dir, &engine->gave_up, failure);
  if (geteuid() == 0)
    gg_warn(engine->logger, "runs as root",
            GG_S("effect", "whatever goes wrong goes wrong with all rights; 'user' names who to become"));
  return 0;
}

int gg__service_confine(struct gg_gateway *engine, struct gg_failure *failure)
{
  if (!engine->own_process)
    return 0;
  int error = engine->gave_up ? gg__privileges_seal(failure) : 0;
  if (!error && engine->now->config.sandbox == GG_CONFIG_ON)
    error = gg__sandbox_enter(&engine->now->config, engine->now->plugins.count > 0, engine->recorder, engine->logger,
                              &engine->confined, failure);
  return error;
}

static bool workers_alive(void *context, uint64_t now_mono_ns, uint64_t grace_ns)
{
  return gg_plane_alive(context, now_mono_ns, grace_ns);
}

static void tell_ready(const struct gg_gateway *engine)
{
  char status[128];
  size_t count = engine->now->config.listener_count;
  snprintf(status, sizeof status, "relaying and recording, %zu listener%s", count, count == 1 ? "" : "s");
  gg__notify_ready(engine->notify, status);
}

void gg__service_ready(struct gg_gateway *engine)
{
  struct gg_failure told = GG_FAILURE_INIT;
  if (gg__notify_watch(engine->notify, workers_alive, engine->plane, &told) != 0)
    gg_error_log(engine->logger, "no watchdog", GG_S("error", told.message),
                 GG_S("effect", "the service manager hears nothing, and will end this process"));
  tell_ready(engine);
}

void gg__service_explain(const struct gg_gateway *engine, struct gg_failure *failure)
{
  char cause[sizeof failure->message];
  if (failure->code != GG_ERR_DENIED || (!engine->gave_up && !engine->confined))
    return;
  snprintf(cause, sizeof cause, "%s", failure->message);
  failure->code = 0;
  gg_fail(failure, GG_ERR_DENIED, "%.250s; since its start this process %s%s%s: a restart may help", cause,
          engine->gave_up ? "has no rights of root's" : "", engine->gave_up && engine->confined ? " and " : "",
          engine->confined ? "reaches only directories that the configuration named then" : "");
}

void gg__service_reloading(struct gg_gateway *engine)
{
  gg__notify_reloading(engine->notify);
}

void gg__service_reloaded(struct gg_gateway *engine)
{
  tell_ready(engine);
}

void gg__service_stopping(struct gg_gateway *engine)
{
  gg__notify_stopping(engine->notify, "draining: open sessions go on, no new ones are accepted");
}

void gg__service_end(struct gg_gateway *engine)
{
  gg__notify_close(engine->notify);
  engine->notify = NULL;
}
