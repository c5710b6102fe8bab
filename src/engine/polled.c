/* SPDX-License-Identifier: Apache-2.0 */
/**
 * polled.c - what the engine's and the worker's threads do, in turns on the caller's.
 *
 *     the caller's loop                       the gateway's descriptor, an epoll set:
 *     ─────────────────                         worker's base set   sockets, logs with room, orders of other threads
 *     waits for the descriptor  ◄───────────    wake_fd             requests: drain, stop, reload, the disk is done
 *            │ readable                         timer_fd            the worker's next time-out, or look_ns
 *            ▼
 *     gg_gateway_poll ──► a turn of the worker ──► requests ──► sets the timer ──► GG_GATEWAY_GOES_ON
 *                              │ the last one
 *                              ▼
 *     sessions are closed, plug-ins destroyed ──► a thread ends the recorder ──► wake_fd ──► 0, or the error
 *
 * Time-outs are a timerfd in the set, and not a number that the caller has to wait no longer than: one descriptor is
 * all that any event loop can be told, and none can forget the other half. A timer costs a system call when it is set,
 * so it is set only for an earlier time than it has; one that fires too early costs a turn. A worker with more to do at
 * once sets it to a time that has passed.
 *
 * Nothing here waits for the worker: it cannot run meanwhile. What waits for workers elsewhere (a reload, the join)
 * finds that this one has no thread, and does its part itself.
 *
 * A disk that is slow may take seconds to take the last bytes, for which a loop must not stand still. So that is waited
 * for on a thread of its own, which lives no longer.
 */
#include "engine/polled.h"

#include "base/clock.h"
#include "engine/engine.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SET_MEMBERS = 3 };
static const uint64_t look_interval_ns = GG_NS_PER_S; /* at processes that ended, and plug-ins that nobody has */

/* ── Create and destroy ──────────────────────────────────────────────────────────────────────────────────────────── */

static int add(struct gg_polled *polled, int fd, struct gg_failure *failure)
{
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  return epoll_ctl(polled->set, EPOLL_CTL_ADD, fd, &event) == 0
           ? 0
           : gg_fail_errno(failure, errno, "cannot wait for the gateway's events");
}

int gg__polled_create(struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_polled *polled = calloc(1, sizeof *polled);
  if (!polled)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the gateway's events");
  polled->timer_ns = UINT64_MAX;
  polled->set = epoll_create1(EPOLL_CLOEXEC);
  polled->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  int error = polled->set < 0 || polled->timer_fd < 0 ? gg_fail_errno(failure, errno, "cannot make an epoll set") : 0;
  if (!error)
    error = add(polled, engine->wake_fd, failure);
  if (!error)
    error = add(polled, polled->timer_fd, failure);
  if (error)
    gg__polled_destroy(polled);
  else
    engine->polled = polled;
  return error;
}

void gg__polled_destroy(struct gg_polled *polled)
{
  if (!polled)
    return;
  assert(!polled->busy && !polled->ender_runs);
  if (polled->timer_fd >= 0)
    close(polled->timer_fd);
  if (polled->set >= 0)
    close(polled->set);
  free(polled);
}

void gg__polled_workers(const struct gg_gateway *engine, struct gg_configured *configured)
{
  if (engine->polled && configured->config.workers == 0)
    configured->config.workers = 1;
}

bool gg__polled_here(const struct gg_gateway *engine)
{
  return engine->polled && atomic_load(&engine->polled->thread) == gettid();
}

/* ── The timer ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void set_timer(struct gg_polled *polled, uint64_t at_ns)
{
  uint64_t ns = at_ns > 0 ? at_ns : 1; /* 0 would stop it */
  const struct itimerspec due = {.it_value = {(time_t)(ns / GG_NS_PER_S), (long)(ns % GG_NS_PER_S)}};
  if (at_ns >= polled->timer_ns)
    return;
  int failed = timerfd_settime(polled->timer_fd, TFD_TIMER_ABSTIME, &due, NULL);
  assert(!failed);
  (void)failed;
  polled->timer_ns = at_ns;
}

int gg__polled_begin(struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_polled *polled = engine->polled;
  if (!polled)
    return 0;
  atomic_store(&polled->thread, gettid());
  set_timer(polled, 0);
  return add(polled, gg_plane_fd(engine->plane), failure);
}

/* ── Poll ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* True: somebody has asked for something. */
static bool await(struct gg_gateway *engine, int timeout_ms)
{
  struct gg_polled *polled = engine->polled;
  struct epoll_event events[SET_MEMBERS];
  int count = epoll_wait(polled->set, events, SET_MEMBERS, timeout_ms);
  bool asked = false;
  for (int i = 0; i < count; i++) {
    uint64_t times;
    if (events[i].data.fd == polled->timer_fd && read(polled->timer_fd, &times, sizeof times) == sizeof times)
      polled->timer_ns = UINT64_MAX;
    if (events[i].data.fd == engine->wake_fd)
      asked = eventfd_read(engine->wake_fd, &times) == 0;
  }
  return asked;
}

static void *end_recorder(void *context)
{
  struct gg_gateway *engine = context;
  struct gg_polled *polled = engine->polled;
  polled->ender_error = gg__engine_end_recorder(engine, &polled->ender_failure);
  atomic_store(&polled->ender_done, true);
  eventfd_write(engine->wake_fd, 1);
  return NULL;
}

/* Without a thread, the caller waits for the disk: the recording comes first. */
static void begin_end(struct gg_gateway *engine)
{
  struct gg_polled *polled = engine->polled;
  sigset_t all, before;
  polled->ending = true;
  epoll_ctl(polled->set, EPOLL_CTL_DEL, gg_plane_fd(engine->plane), NULL); /* nobody takes its events any more */
  gg__engine_end_sessions(engine);
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  polled->ender_runs = pthread_create(&polled->ender, NULL, end_recorder, engine) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!polled->ender_runs)
    end_recorder(engine);
}

static int poll_end(struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_polled *polled = engine->polled;
  if (!atomic_load(&polled->ender_done))
    return GG_GATEWAY_GOES_ON;
  if (polled->ender_runs)
    pthread_join(polled->ender, NULL);
  polled->ender_runs = false;
  return gg__engine_ended(engine, polled->ender_error, &polled->ender_failure, failure);
}

static int poll_running(struct gg_gateway *engine, bool asked, struct gg_failure *failure)
{
  struct gg_polled *polled = engine->polled;
  uint64_t next_ns, now_ns;
  bool more = gg_plane_turn(engine->plane, &next_ns);
  now_ns = gg_clock_mono_ns();
  if (asked || now_ns >= polled->look_ns) {
    gg__engine_serve(engine);
    polled->look_ns = gg_clock_mono_ns() + look_interval_ns;
  }
  if (more) {
    set_timer(polled, next_ns < polled->look_ns ? next_ns : polled->look_ns);
    return GG_GATEWAY_GOES_ON;
  }
  begin_end(engine);
  return poll_end(engine, failure);
}

int gg_gateway_poll(struct gg_gateway *engine, int timeout_ms, struct gg_failure *failure)
{
  struct gg_polled *polled = engine->polled;
  int state = atomic_load(&engine->state);
  if (!polled || polled->busy || state == GG_ENGINE_CREATED || state == GG_ENGINE_ENDED)
    return gg_fail(failure, GG_ERR_INVALID, "this gateway %s",
                   !polled        ? "has threads of its own: it is not polled, but waited for"
                   : polled->busy ? "is in a poll already: its callbacks cannot poll it"
                                  : "does not run");
  atomic_store(&polled->thread, gettid());
  polled->busy = true;
  bool asked = await(engine, timeout_ms < 0 ? -1 : timeout_ms);
  int result = polled->ending ? poll_end(engine, failure) : poll_running(engine, asked, failure);
  polled->busy = false;
  return result;
}

int gg_gateway_fd(const struct gg_gateway *engine)
{
  return engine->polled ? engine->polled->set : -1;
}
