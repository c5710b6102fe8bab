/* SPDX-License-Identifier: Apache-2.0 */
/* handing.c - the process that runs, and hands over: takeover.h has the conversation. */
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/takeover.h"
#include <gogetway/gogetway.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char protocol[] = "1";

static void drop_fds(struct gg_handing *handing)
{
  for (size_t i = 0; i < handing->fd_count; i++)
    close(handing->fds[i]);
  free(handing->fds);
  handing->fds = NULL;
  handing->fd_count = 0;
}

/* A duplicate, so that nobody closes it before it is sent. */
static int add_fd(struct gg_handing *handing, int fd, struct gg_failure *failure)
{
  int duplicate = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (duplicate < 0)
    return gg_fail_errno(failure, fd >= 0 ? errno : EBADF, "cannot duplicate a descriptor to hand over");
  handing->fds[handing->fd_count++] = duplicate;
  return 0;
}

static int add_siblings(struct gg_gateway *engine, struct gg_json *reply, struct gg_failure *failure)
{
  int error = 0;
  gg_json_key(reply, "siblings");
  gg_json_array_begin(reply);
  for (size_t i = 0; i < engine->siblings.count && !error; i++) {
    gg_json_signed(reply, engine->siblings.items[i].pid);
    error = add_fd(&engine->handing, engine->siblings.items[i].pidfd, failure);
  }
  gg_json_array_end(reply);
  return error;
}

static int add_listener(struct gg_gateway *engine, size_t index, struct gg_json *reply, struct gg_failure *failure)
{
  const struct gg_config_listener *listener = &engine->now->config.listeners[index];
  int fds[GG_WORKERS_MAX], error = 0;
  size_t count = gg_plane_listener_fds(engine->plane, index, fds, GG_WORKERS_MAX);
  gg_json_object_begin(reply);
  gg_json_field_string(reply, "name", listener->name);
  gg_json_field_string(reply, "listen", listener->listen);
  gg_json_field_unsigned(reply, "sockets", count);
  gg_json_field_unsigned(reply, "foreign", gg_plane_listener_foreign(engine->plane, index));
  gg_json_object_end(reply);
  for (size_t i = 0; i < count && !error; i++)
    error = add_fd(&engine->handing, fds[i], failure);
  return error;
}

/* A parent's: what no listener has today one may have after a later reload. */
static int add_kept(struct gg_gateway *engine, struct gg_json *reply, struct gg_failure *failure)
{
  char asked[512];
  int error = 0;
  gg_json_key(reply, "kept");
  gg_json_array_begin(reply);
  for (size_t i = 0; i < engine->parents->count && !error; i++) {
    const struct gg_listen_fd *kept = &engine->parents->items[i];
    gg_endpoint_format(&kept->asked, asked, sizeof asked);
    gg_json_object_begin(reply);
    gg_json_field_string(reply, "name", kept->name);
    gg_json_field_string(reply, "asked", asked);
    gg_json_object_end(reply);
    error = add_fd(&engine->handing, kept->fd, failure);
  }
  gg_json_array_end(reply);
  return error;
}

/* What an operator has drained stays drained. */
static void add_drained(const struct gg_gateway *engine, struct gg_json *reply)
{
  struct gg_upstream_status status;
  gg_json_key(reply, "drained");
  gg_json_array_begin(reply);
  for (size_t i = 0; gg_plane_upstream(engine->plane, i, &status) == 0; i++) {
    if (status.state != GG_UPSTREAM_DRAINED)
      continue;
    gg_json_object_begin(reply);
    gg_json_field_string(reply, "listener", status.listener);
    gg_json_field_string(reply, "upstream", status.name);
    gg_json_object_end(reply);
  }
  gg_json_array_end(reply);
}

/* What is in the reply, and in handing.fds in the same order. */
static int gather(struct gg_gateway *engine, struct gg_json *reply, struct gg_failure *failure)
{
  struct gg_handing *handing = &engine->handing;
  handing->fds = calloc(GG_CONTROL_FDS_MAX, sizeof *handing->fds);
  if (!handing->fds)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the descriptors to hand over");
  gg_json_field_string(reply, "protocol", protocol);
  gg_json_field_string(reply, "version", gg_version());
  gg_json_field_signed(reply, "pid", getpid());
  int error = add_fd(handing, gg_recorder_lock_fd(engine->recorder), failure);
  if (!error)
    error = add_siblings(engine, reply, failure);
  handing->offered = handing->done ? 0 : engine->now->config.listener_count;
  if (!handing->done)
    add_drained(engine, reply);
  gg_json_key(reply, "listeners");
  gg_json_array_begin(reply);
  for (size_t i = 0; i < handing->offered && !error; i++)
    error = add_listener(engine, i, reply, failure);
  gg_json_array_end(reply);
  return error || handing->done ? error : add_kept(engine, reply, failure);
}

/* Whether this process was taken over, and who did is gone: it drains, and has nothing left but the store. */
static bool is_orphan(const struct gg_gateway *engine)
{
  struct gg_control_peer *peer;
  struct gg_failure ignored = GG_FAILURE_INIT;
  if (!engine->handing.done || (engine->handing.client != 0 && !engine->handing.handed))
    return false;
  int error = gg_control_connect(&peer, engine->now->config.dir, &ignored);
  if (!error)
    gg_control_disconnect(peer);
  return error == GG_ERR_NOT_FOUND;
}

static int may_begin(const struct gg_gateway *engine, const struct gg_control_request *request,
                     struct gg_failure *failure)
{
  const char *spoken = gg_control_argument(request, "protocol");
  if (!spoken || strcmp(spoken, protocol) != 0)
    return gg_fail(failure, GG_ERR_UNSUPPORTED, "gogetway %s hands over by protocol %s, and was asked for %s",
                   gg_version(), protocol, spoken ? spoken : "none");
  if (is_orphan(engine))
    return 0;
  if (engine->handing.client != 0)
    return gg_fail(failure, GG_ERR_BUSY, "process %ld %s", engine->handing.pid,
                   engine->handing.handed ? "has taken over" : "is taking over already");
  if (atomic_load(&engine->state) != GG_ENGINE_RUNNING)
    return gg_fail(failure, GG_ERR_BUSY, "it is starting or ending, and has nothing to hand over");
  if (engine->siblings.count == GG_SIBLINGS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "%d processes are still ending from which it took over", GG_SIBLINGS_MAX);
  return 0;
}

int gg__command_takeover(void *context, const struct gg_control_request *request, struct gg_json *reply,
                         struct gg_failure *failure)
{
  struct gg_gateway *engine = context;
  gg__engine_lock(engine);
  int error = may_begin(engine, request, failure);
  if (!error) {
    error = gather(engine, reply, failure);
    if (error)
      drop_fds(&engine->handing);
  }
  if (!error) {
    engine->handing.client = request->client;
    engine->handing.pid = request->pid;
    engine->handing.handed = false;
  }
  gg__engine_unlock(engine);
  if (!error)
    gg_info(engine->logger, "being taken over", GG_I("by_pid", request->pid));
  return error;
}

size_t gg__takeover_descriptors(void *context, int **fds)
{
  struct gg_gateway *engine = context;
  gg__engine_lock(engine);
  size_t count = engine->handing.fd_count;
  *fds = engine->handing.fds;
  engine->handing.fds = NULL;
  engine->handing.fd_count = 0;
  gg__engine_unlock(engine);
  return count;
}

int gg__command_handed_over(void *context, const struct gg_control_request *request, struct gg_json *reply,
                            struct gg_failure *failure)
{
  struct gg_gateway *engine = context;
  const char *taken = gg_control_argument(request, "taken");
  int error = 0;
  (void)reply;
  gg__engine_lock(engine);
  struct gg_handing *handing = &engine->handing;
  if (handing->client != request->client || handing->handed)
    error = gg_fail(failure, GG_ERR_INVALID, "this connection does not take over");
  else if (!taken || strlen(taken) != handing->offered || taken[strspn(taken, "01")] != '\0')
    error = gg_fail(failure, GG_ERR_FORMAT, "\"taken\" has a 0 or a 1 for each listener");
  if (!error)
    error = gg_control_step_aside(engine->control, failure);
  for (size_t i = 0; !error && taken[i]; i++)
    handing->taken[i] = taken[i] == '1';
  handing->handed = handing->handed || !error;
  gg__engine_unlock(engine);
  if (!error)
    eventfd_write(engine->wake_fd, 1);
  return error;
}

bool gg__takeover_under_way(void *context, uint64_t client)
{
  struct gg_gateway *engine = context;
  gg__engine_lock(engine);
  bool under_way = engine->handing.client == client && !engine->handing.handed;
  gg__engine_unlock(engine);
  return under_way;
}

void gg__takeover_gone(void *context, uint64_t client)
{
  struct gg_gateway *engine = context;
  gg__engine_lock(engine);
  bool lost = engine->handing.client == client && !engine->handing.handed;
  /* If this one is ending, the other may go on without it. */
  bool failed = lost && !engine->handing.done && atomic_load(&engine->state) == GG_ENGINE_RUNNING;
  long pid = engine->handing.pid;
  if (lost)
    engine->handing.client = 0;
  gg__engine_unlock(engine);
  if (!lost)
    return;
  if (failed)
    gg_control_forget(engine->control, pid); /* it may have been killed */
  gg_warn(engine->logger, "not taken over", GG_I("by_pid", pid),
          GG_S("effect", "it went before it served; this gateway goes on"));
  eventfd_write(engine->wake_fd, 1); /* it may have been told to drain meanwhile */
}

bool gg__takeover_may_drain(struct gg_gateway *engine)
{
  struct gg_handing *handing = &engine->handing;
  gg__engine_lock(engine);
  bool may = handing->client == 0 || handing->done;
  if (may)
    atomic_store(&engine->state, GG_ENGINE_DRAINING); /* nobody begins to take over from here on */
  bool tell = !may && !handing->drains_next;
  handing->drains_next = !may;
  gg__engine_unlock(engine);
  if (tell)
    gg_info(engine->logger, "to drain when it is taken over", GG_I("by_pid", handing->pid));
  return may;
}

void gg__takeover_release(struct gg_gateway *engine)
{
  bool all[GG_LISTENERS_MAX];
  memset(all, true, sizeof all);
  gg_plane_hand_over(engine->plane, all, 1);
}

void gg__takeover_let_go(struct gg_gateway *engine)
{
  struct gg_handing *handing = &engine->handing;
  gg__engine_lock(engine);
  bool now = handing->client != 0 && !handing->done;
  handing->done = handing->done || now;
  if (now)
    gg__takeover_release(engine);
  gg__engine_unlock(engine);
}

bool gg__takeover_serve(struct gg_gateway *engine, uint64_t deadline_mono_ns)
{
  struct gg_handing *handing = &engine->handing;
  gg__engine_lock(engine);
  bool now = handing->handed && !handing->done;
  handing->done = handing->done || handing->handed;
  if (now && atomic_load(&engine->state) == GG_ENGINE_RUNNING)
    gg_plane_hand_over(engine->plane, handing->taken, deadline_mono_ns);
  gg__engine_unlock(engine);
  return now;
}
