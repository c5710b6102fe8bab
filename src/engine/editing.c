/* SPDX-License-Identifier: Apache-2.0 */
/*
 * editing.c - the embedding program adds and removes listeners and upstreams: an edit more (edits.h), and a reload that
 * tries it (reload.h). If that is refused, the edits are those of before, also when nobody waits for it any more.
 *
 * One edit at a time is under way. Who comes next waits until it was decided about the one before, and is judged by
 * what came of that.
 */
#include "base/clock.h"
#include "engine/config_upstream.h"
#include "engine/edits.h"
#include "engine/engine.h"
#include "engine/polled.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t edit_bound_ns = 30 * GG_NS_PER_S;

/* Whether the gateway has it now. `upstream` NULL: the listener. */
static bool has(const struct gg_gateway *engine, const char *listener, const char *upstream)
{
  bool found = false;
  gg__engine_lock(engine);
  const struct gg_config *config = &engine->now->config;
  for (size_t i = 0; i < config->listener_count && !found; i++) {
    const struct gg_config_listener *one = &config->listeners[i];
    if (strcmp(one->name, listener) != 0)
      continue;
    found = !upstream;
    for (size_t j = 0; j < one->upstream_count && !found; j++)
      found = strcmp(one->upstreams[j].name, upstream) == 0;
    break;
  }
  gg__engine_unlock(engine);
  return found;
}

static int judge(const struct gg_gateway *engine, const struct gg_edit *edit, struct gg_failure *failure)
{
  bool add = edit->kind == GG_EDIT_LISTENER_ADD || edit->kind == GG_EDIT_UPSTREAM_ADD;
  if (edit->upstream && !has(engine, edit->listener, NULL))
    return gg_fail(failure, GG_ERR_NOT_FOUND, "there is no listener '%.80s'", edit->listener);
  bool there = has(engine, edit->listener, edit->upstream);
  const char *what = edit->upstream ? "upstream" : "listener", *name = edit->upstream ? edit->upstream : edit->listener;
  if (add && there)
    return gg_fail(failure, GG_ERR_EXISTS, "there is a %s '%.80s' already", what, name);
  if (!add && !there)
    return gg_fail(failure, GG_ERR_NOT_FOUND, "there is no %s '%.80s'", what, name);
  return 0;
}

static int carry_out(struct gg_gateway *engine, const struct gg_edit *edit, struct gg_failure *failure)
{
  struct gg_edits *after = NULL;
  int error = gg__edits_with(&after, engine->edits, edit);
  if (error)
    return gg_fail(failure, error, "cannot change the gateway: %s", gg_error_text(error));
  return gg__reload_try(engine, after, edit_bound_ns, failure);
}

static int change(struct gg_gateway *engine, const struct gg_edit *edit, struct gg_failure *failure)
{
  int state = atomic_load(&engine->state);
  if (gg__polled_here(engine) && engine->polled->busy)
    return gg_fail(failure, GG_ERR_INVALID, "a callback cannot change the gateway: it is in a poll");
  if (state == GG_ENGINE_CREATED || state == GG_ENGINE_ENDED)
    return gg_fail(failure, GG_ERR_INVALID, "this gateway does not run");
  pthread_mutex_lock(&engine->edit_lock);
  int error = gg__reload_settled(engine, edit_bound_ns, failure);
  if (!error)
    error = judge(engine, edit, failure);
  if (!error)
    error = carry_out(engine, edit, failure);
  pthread_mutex_unlock(&engine->edit_lock);
  return error;
}

int gg_gateway_listener_add(struct gg_gateway *engine, const char *yaml, struct gg_failure *failure)
{
  struct gg_edit edit = {.kind = GG_EDIT_LISTENER_ADD, .text = (char *)(uintptr_t)yaml};
  int error = gg__edits_listener_name(&edit.listener, yaml, failure);
  if (!error)
    error = change(engine, &edit, failure);
  free(edit.listener);
  return error;
}

int gg_gateway_listener_remove(struct gg_gateway *engine, const char *name, struct gg_failure *failure)
{
  const struct gg_edit edit = {.kind = GG_EDIT_LISTENER_REMOVE, .listener = (char *)(uintptr_t)name};
  return change(engine, &edit, failure);
}

int gg_gateway_upstream_add(struct gg_gateway *engine, const char *listener, const char *upstream,
                            struct gg_failure *failure)
{
  struct gg__upstream_words words;
  struct gg_edit edit = {
    .kind = GG_EDIT_UPSTREAM_ADD, .listener = (char *)(uintptr_t)listener, .text = (char *)(uintptr_t)upstream};
  int error = gg__config_upstream_parse(&words, upstream, failure);
  edit.upstream = words.name[0] ? words.name : words.address;
  return error ? error : change(engine, &edit, failure);
}

int gg_gateway_upstream_remove(struct gg_gateway *engine, const char *listener, const char *name,
                               struct gg_failure *failure)
{
  const struct gg_edit edit = {
    .kind = GG_EDIT_UPSTREAM_REMOVE, .listener = (char *)(uintptr_t)listener, .upstream = (char *)(uintptr_t)name};
  return change(engine, &edit, failure);
}
