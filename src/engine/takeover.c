/* SPDX-License-Identifier: Apache-2.0 */
/* takeover.c - the new process, which takes over: takeover.h has the conversation. */
#include "engine/takeover.h"

#include "base/clock.h"
#include "base/json_doc.h"
#include "engine/config_diff.h"
#include "engine/engine.h"
#include "record/sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GONE_BOUND_MS = 5000 };

static const uint64_t ask_bound_ns = 5 * GG_NS_PER_S;
static const uint64_t hear_bound_ns = 200 * GG_NS_PER_MS; /* how soon a request to end is seen */

struct gg_takeover {
  struct gg_control_peer *peer;
  long pid;
  int lock_fd; /* -1: given away */
  struct gg_takeover_reply reply;
  int fds[GG_CONTROL_FDS_MAX]; /* the sockets of the other's listeners, in its order, and those that it keeps */
  size_t fd_count;
  char taken[GG_LISTENERS_MAX + 1]; /* '1': one of ours has that listener's sockets */
};

static void close_fds(const int *fds, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (fds[i] >= 0)
      close(fds[i]);
}

void gg__takeover_end(struct gg_takeover *takeover)
{
  if (!takeover)
    return;
  gg_control_disconnect(takeover->peer);
  close_fds(&takeover->lock_fd, 1);
  close_fds(takeover->fds, takeover->fd_count);
  gg__takeover_reply_fini(&takeover->reply);
  free(takeover);
}

/* ── What the other one says ─────────────────────────────────────────────────────────────────────────────────────── */

static int nonsense(struct gg_failure *failure)
{
  return gg_fail(failure, GG_ERR_FORMAT, "it gave no sensible reply");
}

static int read_listener(struct gg_takeover_reply *out, const struct gg_json_value *from, struct gg_failure *failure)
{
  const char *name = gg_json_value_text(gg_json_value_get(from, "name"));
  const char *listen = gg_json_value_text(gg_json_value_get(from, "listen"));
  const struct gg_json_value *sockets = gg_json_value_get(from, "sockets");
  struct gg_config_listener *listener = &out->listeners[out->listener_count].known;
  if (out->listener_count == GG_LISTENERS_MAX || !name || !listen || !gg_json_value_is(sockets, GG_JSON_WHOLE) ||
      gg_json_value_whole(sockets) < 0 || gg_json_value_whole(sockets) > GG_WORKERS_MAX ||
      gg_endpoint_parse(&listener->listen_endpoint, listen, true, NULL) != 0)
    return nonsense(failure);
  listener->name = strdup(name);
  if (!listener->name)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for its listeners");
  out->listeners[out->listener_count].sockets = (size_t)gg_json_value_whole(sockets);
  int64_t foreign = gg_json_value_whole(gg_json_value_get(from, "foreign")); /* 0 if it is not there */
  if (foreign < 0 || foreign > gg_json_value_whole(sockets)) {
    free(listener->name);
    return nonsense(failure);
  }
  out->listeners[out->listener_count].foreign = (size_t)foreign;
  out->sockets += out->listeners[out->listener_count].sockets;
  out->listener_count++;
  return 0;
}

static int read_siblings(struct gg_takeover_reply *out, const struct gg_json_value *from, struct gg_failure *failure)
{
  /* One place is for the process itself. */
  if (!gg_json_value_is(from, GG_JSON_ARRAY) || gg_json_value_count(from) >= GG_SIBLINGS_MAX)
    return nonsense(failure);
  for (const struct gg_json_value *pid = gg_json_value_first(from); pid; pid = gg_json_value_next(pid)) {
    if (!gg_json_value_is(pid, GG_JSON_WHOLE) || gg_json_value_whole(pid) <= 0 || gg_json_value_whole(pid) > INT32_MAX)
      return nonsense(failure);
    out->siblings[out->sibling_count++] = (long)gg_json_value_whole(pid);
  }
  return 0;
}

static int read_drained(struct gg_takeover_reply *out, const struct gg_json_value *from, struct gg_failure *failure)
{
  size_t count = gg_json_value_count(from);
  if (count > GG_LISTENERS_MAX * GG_UPSTREAMS_MAX)
    return nonsense(failure);
  out->drained = count > 0 ? calloc(count, sizeof *out->drained) : NULL;
  if (count > 0 && !out->drained)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for its drained upstreams");
  for (const struct gg_json_value *one = gg_json_value_first(from); one; one = gg_json_value_next(one)) {
    const char *listener = gg_json_value_text(gg_json_value_get(one, "listener"));
    const char *upstream = gg_json_value_text(gg_json_value_get(one, "upstream"));
    if (!listener || !upstream || strlen(listener) >= GG_UPSTREAM_NAME_MAX || strlen(upstream) >= GG_UPSTREAM_NAME_MAX)
      return nonsense(failure);
    struct gg_takeover_drained *drained = &out->drained[out->drained_count++];
    snprintf(drained->listener, sizeof drained->listener, "%s", listener);
    snprintf(drained->upstream, sizeof drained->upstream, "%s", upstream);
  }
  return 0;
}

static int read_kept(struct gg_takeover_reply *out, const struct gg_json_value *from, struct gg_failure *failure)
{
  size_t count = gg_json_value_count(from);
  if (count > GG_LISTEN_FDS_MAX)
    return nonsense(failure);
  out->kept = count > 0 ? calloc(count, sizeof *out->kept) : NULL;
  if (count > 0 && !out->kept)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for its parent's sockets");
  for (const struct gg_json_value *one = gg_json_value_first(from); one; one = gg_json_value_next(one)) {
    const char *name = gg_json_value_text(gg_json_value_get(one, "name"));
    const char *asked = gg_json_value_text(gg_json_value_get(one, "asked"));
    struct gg_takeover_kept *kept = &out->kept[out->kept_count++];
    if (!name || !asked || strlen(name) >= sizeof kept->name || gg_endpoint_parse(&kept->asked, asked, true, NULL) != 0)
      return nonsense(failure);
    memcpy(kept->name, name, strlen(name) + 1);
  }
  return 0;
}

static int read_reply(struct gg_takeover_reply *out, const struct gg_json_value *reply, struct gg_failure *failure)
{
  const char *why = gg_json_value_text(gg_json_value_get(reply, "error"));
  const struct gg_json_value *listeners = gg_json_value_get(reply, "listeners");
  if (why && strncmp(why, "unknown command", 15) == 0)
    return gg_fail(failure, GG_ERR_UNSUPPORTED,
                   "it is of a version that cannot; stop it, and start this one without takeover");
  if (why)
    return gg_fail(failure, GG_ERR_BUSY, "%.300s", why[0] ? why : "it does not say why");
  if (!gg_json_value_is_true(gg_json_value_get(reply, "ok")))
    return nonsense(failure);
  int error = read_siblings(out, gg_json_value_get(reply, "siblings"), failure);
  if (!error)
    error = read_drained(out, gg_json_value_get(reply, "drained"), failure);
  if (!error)
    error = read_kept(out, gg_json_value_get(reply, "kept"), failure);
  if (!error && !gg_json_value_is(listeners, GG_JSON_ARRAY))
    error = nonsense(failure);
  for (const struct gg_json_value *one = gg_json_value_first(listeners); one && !error; one = gg_json_value_next(one))
    error = read_listener(out, one, failure);
  return error;
}

void gg__takeover_reply_fini(struct gg_takeover_reply *reply)
{
  for (size_t i = 0; i < reply->listener_count; i++)
    free(reply->listeners[i].known.name);
  free(reply->drained);
  free(reply->kept);
  *reply = (struct gg_takeover_reply){0};
}

int gg__takeover_reply_parse(struct gg_takeover_reply *out, const char *text, size_t length, struct gg_failure *failure)
{
  *out = (struct gg_takeover_reply){0};
  struct gg_json_doc doc;
  int error = gg_json_doc_parse(&doc, text, length, NULL);
  if (error == GG_ERR_NOMEM)
    error = gg_fail(failure, error, "out of memory for its reply");
  else
    error = error ? nonsense(failure) : read_reply(out, doc.root, failure);
  gg_json_doc_fini(&doc);
  if (error)
    gg__takeover_reply_fini(out);
  return error;
}

static void add_sibling(struct gg_gateway *engine, long pid, int pidfd)
{
  assert(engine->siblings.count < GG_SIBLINGS_MAX);
  engine->siblings.items[engine->siblings.count++] = (struct gg_sibling){.pid = pid, .pidfd = pidfd};
}

/* Sorts out what came: the lock, the processes that the other one waits for, the sockets. */
static int keep_fds(struct gg_takeover *takeover, struct gg_gateway *engine, const int *fds, size_t count,
                    struct gg_failure *failure)
{
  const struct gg_takeover_reply *reply = &takeover->reply;
  if (count != 1 + reply->sibling_count + reply->sockets + reply->kept_count) {
    close_fds(fds, count);
    return nonsense(failure);
  }
  takeover->lock_fd = fds[0];
  for (size_t i = 0; i < reply->sibling_count; i++)
    add_sibling(engine, reply->siblings[i], fds[1 + i]);
  takeover->fd_count = reply->sockets + reply->kept_count;
  memcpy(takeover->fds, fds + 1 + reply->sibling_count, takeover->fd_count * sizeof *fds);
  memset(takeover->taken, '0', reply->listener_count);
  return 0;
}

static int cannot(const struct gg_takeover *takeover, const struct gg_gateway *engine, int error,
                  const struct gg_failure *why, struct gg_failure *failure)
{
  return gg_fail(failure, error, "process %ld, the gateway on %s, does not hand over: %.300s", takeover->pid,
                 engine->now->config.dir, why->message);
}

static int ask(struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure)
{
  int *fds = calloc(GG_CONTROL_FDS_MAX, sizeof *fds);
  struct gg_failure why = GG_FAILURE_INIT;
  size_t count = 0;
  char *text = NULL;
  if (!fds)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the descriptors of process %ld", takeover->pid);
  int error = gg_control_ask(takeover->peer, "{\"command\":\"takeover\",\"protocol\":\"1\"}", ask_bound_ns, &text, fds,
                             GG_CONTROL_FDS_MAX, &count, &why);
  if (!error) {
    error = gg__takeover_reply_parse(&takeover->reply, text, strlen(text), &why);
    if (error)
      close_fds(fds, count);
    else
      error = keep_fds(takeover, engine, fds, count, &why);
  }
  free(text);
  free(fds);
  return error ? cannot(takeover, engine, error, &why, failure) : 0;
}

/* The connection is there: whether that process hands over. */
static int begin(struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure)
{
  takeover->pid = gg_control_peer_pid(takeover->peer);
  /* Opened while the connection is there: its number is nobody else's yet. */
  int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)takeover->pid, 0);
  if (pidfd < 0)
    return gg_fail_errno(failure, errno, "cannot watch process %ld", takeover->pid);
  add_sibling(engine, takeover->pid, pidfd);
  int error = ask(takeover, engine, failure);
  if (error)
    gg__siblings_close(engine);
  return error;
}

/* Nobody serves. But one that was taken over may drain, and have the store, after the one that took over has died. */
static int begin_with_who_drains(struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure)
{
  pid_t asked[GG_SIBLINGS_MAX];
  struct gg_failure refusal = GG_FAILURE_INIT; /* the first */
  for (size_t count = 0; count < GG_SIBLINGS_MAX; count++) {
    struct gg_failure why = GG_FAILURE_INIT;
    if (gg_control_connect_aside(&takeover->peer, engine->now->config.dir, asked, count, &why) != 0)
      break;
    int error = begin(takeover, engine, &why);
    if (error != GG_ERR_BUSY && error != GG_ERR_CLOSED)
      return error ? gg_fail(failure, error, "%s", why.message) : 0;
    if (error == GG_ERR_BUSY) /* one that has ended meanwhile refuses nothing */
      gg_fail(&refusal, error, "%s", why.message);
    asked[count] = (pid_t)takeover->pid;
    gg_control_disconnect(takeover->peer);
    takeover->peer = NULL;
  }
  return refusal.code ? gg_fail(failure, refusal.code, "%s", refusal.message) : GG_ERR_NOT_FOUND;
}

/* A start like any other: whoever always says --takeover is right to do so. But where no gateway ever was, the
 * directory may be the wrong one, and the gateway that was meant goes on elsewhere. */
static void tell_nobody(const struct gg_gateway *engine)
{
  const char *dir = engine->now->config.dir;
  int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  bool store = dir_fd >= 0 && faccessat(dir_fd, "store", F_OK, 0) == 0;
  if (dir_fd >= 0)
    close(dir_fd);
  if (store)
    gg_info(engine->logger, "nothing to take over, starting afresh", GG_S("dir", dir),
            GG_S("reason", "no gateway runs there"));
  else
    gg_warn(engine->logger, "nothing to take over, starting afresh", GG_S("dir", dir),
            GG_S("reason", "no gateway has recorded there yet"),
            GG_S("effect", "a gateway that runs on another directory goes on, and keeps its listeners"));
}

int gg__takeover_begin(struct gg_takeover **out, struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  struct gg_takeover *takeover = calloc(1, sizeof *takeover);
  *out = NULL;
  if (!takeover)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for taking over");
  takeover->lock_fd = -1;
  int error = gg_control_connect(&takeover->peer, engine->now->config.dir, &why);
  if (!error) {
    error = begin(takeover, engine, failure);
  } else if (error == GG_ERR_NOT_FOUND) {
    error = begin_with_who_drains(takeover, engine, failure);
    if (error == GG_ERR_NOT_FOUND) {
      tell_nobody(engine);
      gg__takeover_end(takeover);
      return 0;
    }
  } else {
    gg_fail(failure, error, "%s", why.message);
  }
  if (error) {
    gg__takeover_end(takeover);
    return error;
  }
  gg_info(engine->logger, "taking over", GG_I("from_pid", takeover->pid), GG_U("sockets", takeover->fd_count));
  *out = takeover;
  return 0;
}

int gg__takeover_lock(struct gg_takeover *takeover)
{
  int fd = takeover ? takeover->lock_fd : -1;
  if (takeover)
    takeover->lock_fd = -1;
  return fd;
}

/* ── The sockets ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The first of ours that is the other's listener gets its sockets. */
static void give_sockets(struct gg_takeover *takeover, struct gg_configured *now, size_t index, const int *fds)
{
  const struct gg_config_listener *known = &takeover->reply.listeners[index].known;
  for (size_t i = 0; i < now->config.listener_count; i++) {
    struct gg_listener_options *ours = &now->listeners[i];
    if (ours->inherited_count > 0 || !gg__config_same_listener(&now->config.listeners[i], known))
      continue;
    ours->inherited = fds;
    ours->inherited_count = takeover->reply.listeners[index].sockets;
    ours->inherited_lent = true;
    ours->inherited_foreign = takeover->reply.listeners[index].foreign;
    takeover->taken[index] = '1';
    return;
  }
}

/* Which of them are whose is found out again when they are matched with the listeners. */
static int give_kept(const struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure)
{
  int error = 0;
  for (size_t i = 0; i < takeover->reply.kept_count && !error; i++) {
    const struct gg_takeover_kept *kept = &takeover->reply.kept[i];
    error = gg__listen_fds_add(engine->parents, takeover->fds[takeover->reply.sockets + i], kept->name, &kept->asked,
                               failure);
  }
  return error;
}

int gg__takeover_sockets(struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure)
{
  const int *fds = takeover ? takeover->fds : NULL;
  for (size_t i = 0; takeover && i < takeover->reply.listener_count; i++) {
    if (takeover->reply.listeners[i].sockets > 0)
      give_sockets(takeover, engine->now, i, fds);
    fds += takeover->reply.listeners[i].sockets;
  }
  return takeover ? give_kept(takeover, engine, failure) : 0;
}

void gg__takeover_bound(struct gg_takeover *takeover, struct gg_gateway *engine)
{
  if (!takeover)
    return;
  gg__listen_fds_given(engine->now);
  close_fds(takeover->fds, takeover->fd_count);
  takeover->fd_count = 0;
}

void gg__takeover_drain(const struct gg_takeover *takeover, struct gg_gateway *engine)
{
  for (size_t i = 0; takeover && i < takeover->reply.drained_count; i++) {
    const struct gg_takeover_drained *drained = &takeover->reply.drained[i];
    if (gg_plane_upstream_drain(engine->plane, drained->listener, drained->upstream, true, NULL) != 0)
      gg_info(engine->logger, "an upstream that was drained is not there any more", GG_S("upstream", drained->upstream),
              GG_S("listener", drained->listener));
  }
}

/* Whether the other process died, and did not only close the connection. */
static bool is_gone(const struct gg_takeover *takeover, const struct gg_gateway *engine)
{
  for (size_t i = 0; i < engine->siblings.count; i++) {
    struct pollfd polled = {.fd = engine->siblings.items[i].pidfd, .events = POLLIN};
    if (engine->siblings.items[i].pid == takeover->pid)
      return poll(&polled, 1, GONE_BOUND_MS) > 0;
  }
  return false;
}

/* Says that we can serve, and waits for the reply as long as the other one lives and nobody wants us to end: if we gave
 * up, the other might still read what we said. One that does not answer soon may not accept either, so we do, from the
 * same sockets: no client is lost. */
static int tell(struct gg_takeover *takeover, struct gg_gateway *engine, char **reply, struct gg_failure *why)
{
  char request[GG_LISTENERS_MAX + 64];
  snprintf(request, sizeof request, "{\"command\":\"handed-over\",\"taken\":\"%s\"}", takeover->taken);
  int error = gg_control_ask(takeover->peer, request, ask_bound_ns, reply, NULL, 0, NULL, why);
  if (error == GG_ERR_TIMEOUT) {
    gg_plane_serve_beside(engine->plane);
    gg_warn(engine->logger, "the process before does not let go yet", GG_I("pid", takeover->pid),
            GG_S("effect", "both serve, until it answers"));
  }
  while (error == GG_ERR_TIMEOUT && atomic_load(&engine->drains) == 0 && atomic_load(&engine->stops) == 0) {
    *why = (struct gg_failure)GG_FAILURE_INIT;
    error = gg_control_hear(takeover->peer, hear_bound_ns, reply, why);
  }
  return error;
}

int gg__takeover_finish(struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure)
{
  char *text = NULL;
  struct gg_failure why = GG_FAILURE_INIT;
  int error = tell(takeover, engine, &text, &why);
  struct gg_json_doc reply = {0};
  if (!error) /* what is no JSON does not say that it is well */
    (void)gg_json_doc_parse(&reply, text, strlen(text), NULL);
  if (error && error != GG_ERR_TIMEOUT && is_gone(takeover, engine)) {
    /* There is nothing to let go any more; what it left is seen to as soon as we run. */
    gg_warn(engine->logger, "taken over from a process that is gone", GG_I("pid", takeover->pid));
    error = 0;
  } else if (!error && !gg_json_value_is_true(gg_json_value_get(reply.root, "ok"))) {
    const char *said = gg_json_value_text(gg_json_value_get(reply.root, "error"));
    error = gg_fail(&why, GG_ERR_BUSY, "%.300s", said ? said : "it does not say why");
  }
  gg_json_doc_fini(&reply);
  free(text);
  if (error)
    return cannot(takeover, engine, error, &why, failure);
  gg_plane_taken_over(engine->plane);
  gg_recorder_taken_over(engine->recorder);
  return 0;
}

/* ── Processes that end ──────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_ended(const struct gg_gateway *engine, const struct gg_sibling *sibling, int error,
                       const struct gg_recovery *recovery, const struct gg_failure *failure)
{
  if (!error)
    gg_info(engine->logger, "earlier process ended", GG_I("pid", sibling->pid), GG_U("rings", recovery->rings),
            GG_U("bytes", recovery->bytes));
  else if (sibling->retry_ns == 0)
    gg_error_log(engine->logger, "what an earlier process left is not written", GG_I("pid", sibling->pid),
                 GG_S("error", failure->message[0] ? failure->message : gg_error_text(error)),
                 GG_S("effect", "it stays in the rings; it is tried again, at the latest by the next start"));
}

/* False: it has to be tried again. */
static bool sibling_ended(struct gg_gateway *engine, struct gg_sibling *sibling)
{
  struct gg_recovery recovery = {0};
  struct gg_failure failure = GG_FAILURE_INIT;
  if (sibling->retry_ns == 0)
    gg_control_forget(engine->control, sibling->pid);
  int error = gg_recorder_sibling_ended(engine->recorder, sibling->pid, &recovery, &failure);
  tell_ended(engine, sibling, error, &recovery, &failure);
  gg_recorder_tell_recovered(engine->recorder);
  if (error) {
    sibling->retry_ns = gg_clock_mono_ns() + GG_SIBLING_RETRY_NS;
    return false;
  }
  return true;
}

size_t gg__siblings_polled(const struct gg_gateway *engine, struct pollfd *out)
{
  uint64_t now_ns = gg_clock_mono_ns();
  for (size_t i = 0; i < engine->siblings.count; i++) {
    const struct gg_sibling *sibling = &engine->siblings.items[i];
    out[i] = (struct pollfd){.fd = sibling->retry_ns > now_ns ? -1 : sibling->pidfd, .events = POLLIN};
  }
  return engine->siblings.count;
}

/* They are listed, and their descriptors open, while the recorder is at work: the list may be handed over meanwhile. */
void gg__siblings_look(struct gg_gateway *engine)
{
  struct pollfd polled[GG_SIBLINGS_MAX];
  struct gg_siblings *siblings = &engine->siblings;
  struct gg_sibling items[GG_SIBLINGS_MAX];
  int over[GG_SIBLINGS_MAX];
  size_t count = gg__siblings_polled(engine, polled), kept = 0, over_count = 0;
  if (count == 0 || poll(polled, (nfds_t)count, 0) <= 0)
    return;
  for (size_t i = 0; i < count; i++) {
    struct gg_sibling sibling = siblings->items[i];
    if (polled[i].revents && sibling_ended(engine, &sibling))
      over[over_count++] = sibling.pidfd;
    else
      items[kept++] = sibling;
  }
  gg__engine_lock(engine);
  memcpy(siblings->items, items, kept * sizeof *items);
  siblings->count = kept;
  gg__engine_unlock(engine);
  close_fds(over, over_count);
}

void gg__siblings_close(struct gg_gateway *engine)
{
  for (size_t i = 0; i < engine->siblings.count; i++)
    close(engine->siblings.items[i].pidfd);
  engine->siblings.count = 0;
}
