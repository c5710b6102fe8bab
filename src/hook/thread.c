/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.c - a plug-in's ticks, on a thread of the hook's own.
 *
 * Ticks are due at fixed times from the start on; one that is late is followed by the next one a whole interval later,
 * so that a tick that takes long is never called twice in a row to make up for it. A plug-in that is unloaded while it
 * ticks goes when the tick has returned: what it uses is freed behind it. Nobody waits for that but the gateway's end.
 */
#include "base/clock.h"
#include "hook/observe.h"
#include "hook/sink.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREAD_NAME_MAX = 16 /* the kernel's */ };

struct gg_hook_thread {
  struct gg_hook *hook;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t ended; /* on CLOCK_MONOTONIC */
  bool ending;
  _Atomic bool over; /* the last tick has returned */
};

/* False: it was told to end before. */
static bool wait_until(struct gg_hook_thread *ticks, uint64_t due_ns)
{
  const struct timespec due = {.tv_sec = (time_t)(due_ns / GG_NS_PER_S), .tv_nsec = (long)(due_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&ticks->lock);
  while (!ticks->ending && waited == 0)
    waited = pthread_cond_timedwait(&ticks->ended, &ticks->lock, &due);
  bool ending = ticks->ending;
  pthread_mutex_unlock(&ticks->lock);
  return !ending;
}

static void *run(void *context)
{
  struct gg_hook_thread *ticks = context;
  struct gg_hook *hook = ticks->hook;
  uint64_t interval_ns = hook->plugin.tick_interval_ns, due_ns = gg_clock_mono_ns() + interval_ns;
  while (wait_until(ticks, due_ns)) {
    uint64_t began_ns = gg_clock_mono_ns();
    hook->plugin.tick(hook->self);
    uint64_t now_ns = gg_clock_mono_ns();
    gg__hook_count_other(hook, GG_HOOK_TICK, now_ns - began_ns);
    due_ns += interval_ns;
    if (due_ns <= now_ns)
      due_ns = now_ns + interval_ns;
  }
  atomic_store_explicit(&ticks->over, true, memory_order_release);
  return NULL;
}

/* Signals are the program's: none comes here. */
static int begin(struct gg_hook_thread *ticks)
{
  char name[THREAD_NAME_MAX];
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&ticks->thread, NULL, run, ticks);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return error;
  snprintf(name, sizeof name, "gg-%.12s", ticks->hook->name);
  pthread_setname_np(ticks->thread, name);
  return 0;
}

static void thread_free(struct gg_hook_thread *ticks)
{
  pthread_cond_destroy(&ticks->ended);
  pthread_mutex_destroy(&ticks->lock);
  free(ticks);
}

static int start_ticks(struct gg_hook *hook, struct gg_failure *failure)
{
  pthread_condattr_t attributes;
  if (!hook->plugin.tick || hook->ticks)
    return 0;
  struct gg_hook_thread *ticks = calloc(1, sizeof *ticks);
  if (!ticks)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for plug-in %s", hook->name);
  ticks->hook = hook;
  pthread_mutex_init(&ticks->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&ticks->ended, &attributes);
  pthread_condattr_destroy(&attributes);
  int error = begin(ticks);
  if (error) {
    thread_free(ticks);
    return gg_fail_errno(failure, error, "cannot begin the ticks of plug-in %s", hook->name);
  }
  hook->ticks = ticks;
  return 0;
}

int gg_hook_start(struct gg_hook *hook, struct gg_failure *failure)
{
  int error = start_ticks(hook, failure);
  if (!error)
    error = gg__observer_start(hook, failure);
  return error ? error : gg__hook_sink_start(hook, failure);
}

bool gg__ticks_ending(struct gg_hook *hook)
{
  struct gg_hook_thread *ticks = hook->ticks;
  if (!ticks)
    return true;
  pthread_mutex_lock(&ticks->lock);
  ticks->ending = true;
  pthread_cond_signal(&ticks->ended);
  pthread_mutex_unlock(&ticks->lock);
  return atomic_load_explicit(&ticks->over, memory_order_acquire);
}

bool gg__hook_ending(struct gg_hook *hook)
{
  bool ticks_over = gg__ticks_ending(hook), observer_over = gg__observer_ending(hook, 0);
  return ticks_over && observer_over;
}

void gg__hook_stop(struct gg_hook *hook)
{
  struct gg_hook_thread *ticks = hook->ticks;
  gg__hook_ending(hook);
  gg__observer_stop(hook);
  if (!ticks)
    return;
  pthread_join(ticks->thread, NULL);
  thread_free(ticks);
  hook->ticks = NULL;
}
