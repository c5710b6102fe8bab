/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/understander.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "hook/hook.h"
#include "store/understanding.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum metric { SESSIONS, BYTES, FAILED, BACKLOG, METRICS };

static const struct gg_metric_def definitions[METRICS] = {
  [SESSIONS] = {"decode_sessions", GG_METRIC_COUNTER,
                "Sessions that were decoded for the catalogue, one that was open "
                "once more for each look at it",
                NULL, NULL},
  [BYTES] = {"decode_bytes", GG_METRIC_COUNTER, "Bytes of sessions that were decoded", NULL, NULL},
  [FAILED] = {"decode_failed", GG_METRIC_COUNTER, "Sessions of which not all could be read to be decoded", NULL, NULL},
  [BACKLOG] = {"decode_backlog_sessions", GG_METRIC_GAUGE, "Sessions that have ended and are not decoded yet", NULL,
               NULL},
};

/* Plug-ins that have decoders, held. */
struct plugins {
  size_t count;
  struct gg_hook *hooks[GG_HOOKS_MAX];
};
static_assert((int)GG_HOOKS_MAX * (int)GG_PLUGIN_DECODERS_MAX <= (int)GG_UNDERSTANDING_DECODERS_MAX,
              "those of all plug-ins have room");

struct gg_understander {
  struct gg_gateway *engine;
  size_t first; /* slot of its metrics */
  char *store;
  void (*ring)(void *context);
  void *context;
  pthread_t thread;
  bool started;
  pthread_mutex_t lock;   /* of the rest */
  pthread_cond_t changed; /* on CLOCK_MONOTONIC */
  bool leaving, over;
  struct gg__understood *batch; /* to be put; NULL: none */
  bool taken, put, done;
  bool other;          /* than those that the thread has: */
  struct plugins next; /* empty, but with `other` */

  /* The thread's own. */
  struct gg_shard *shard;
  struct gg__understanding_stats told;
  bool failing;
  struct plugins plugins;
};

static void let_go(struct plugins *plugins)
{
  while (plugins->count > 0)
    gg_hook_unref(plugins->hooks[--plugins->count]);
}

int gg__understander_create(struct gg_understander **out, struct gg_gateway *engine, const char *store,
                            void (*ring)(void *context), void *context, struct gg_failure *failure)
{
  struct gg_understander *understander = calloc(1, sizeof *understander);
  *out = understander;
  if (understander)
    understander->store = strdup(store);
  if (!understander || !understander->store) {
    free(understander);
    *out = NULL;
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the decoding thread");
  }
  understander->engine = engine;
  understander->ring = ring;
  understander->context = context;
  pthread_mutex_init(&understander->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&understander->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  int error = gg_metrics_register(engine->metrics, definitions, METRICS, &understander->first);
  return error ? gg_fail(failure, error, "cannot register the metrics of decoding: %s", gg_error_text(error)) : 0;
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool goes_on(void *context)
{
  struct gg_understander *understander = context;
  pthread_mutex_lock(&understander->lock);
  bool leaving = understander->leaving;
  pthread_mutex_unlock(&understander->lock);
  return !leaving;
}

/* False: it is to end. */
static bool pause_for(struct gg_understander *understander, uint64_t pause_ns)
{
  uint64_t until_ns = gg_clock_mono_ns() + pause_ns;
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&understander->lock);
  while (!understander->leaving && !understander->other && waited == 0)
    waited = pthread_cond_timedwait(&understander->changed, &understander->lock, &until);
  bool leaving = understander->leaving;
  pthread_mutex_unlock(&understander->lock);
  return !leaving;
}

/* Waits until the batch is put; whether it was. */
static bool hand_over(struct gg_understander *understander, struct gg__understood *batch)
{
  if (gg__understood_is_empty(batch)) {
    gg__understood_destroy(batch);
    return true;
  }
  pthread_mutex_lock(&understander->lock);
  understander->batch = batch;
  understander->taken = understander->put = understander->done = false;
  pthread_mutex_unlock(&understander->lock);
  understander->ring(understander->context);
  pthread_mutex_lock(&understander->lock);
  while (!understander->put && (understander->taken || !understander->leaving))
    pthread_cond_wait(&understander->changed, &understander->lock);
  understander->batch = NULL;
  bool done = understander->done;
  pthread_mutex_unlock(&understander->lock);
  gg__understood_destroy(batch);
  return done;
}

static void count(struct gg_understander *understander, const struct gg__understanding *understanding)
{
  struct gg__understanding_stats now;
  gg__understanding_stats(understanding, &now);
  const struct gg__understanding_stats *told = &understander->told;
  if (understander->shard) {
    gg_shard_add(understander->shard, understander->first + SESSIONS, now.sessions - told->sessions);
    gg_shard_add(understander->shard, understander->first + BYTES, now.bytes - told->bytes);
    gg_shard_add(understander->shard, understander->first + FAILED, now.failed - told->failed);
    gg_shard_set(understander->shard, understander->first + BACKLOG, now.behind);
  }
  understander->told = now;
}

/* One line when it begins to fail. That there is no catalogue yet is none, and that it is damaged its thread tells. */
static void tell_failure(struct gg_understander *understander, const struct gg_failure *failure)
{
  bool expected = failure->code == GG_ERR_NOT_FOUND || failure->code == GG_ERR_CLOSED ||
                  failure->code == GG_ERR_CORRUPT || failure->code == GG_ERR_UNSUPPORTED ||
                  failure->code == GG_ERR_BUSY;
  if (!understander->failing && !expected)
    gg_warn(understander->engine->logger, "sessions are not decoded", GG_S("error", failure->message),
            GG_S("effect", "recording and the catalogue go on; it is tried again"));
  understander->failing = !expected;
}

/* How long to wait then; 0: not at all. */
static uint64_t step(struct gg_understander *understander, struct gg__understanding *understanding)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__understood *batch;
  bool more;
  int error = gg__understanding_step(understanding, gg_clock_mono_ns(), &batch, &more, &failure);
  count(understander, understanding);
  if (error) {
    tell_failure(understander, &failure);
    gg__understanding_again(understanding);
    return error == GG_ERR_NOT_FOUND ? GG_UNDERSTANDER_PAUSE_NS : GG_UNDERSTANDER_RETRY_NS;
  }
  understander->failing = false;
  if (hand_over(understander, batch))
    return more ? 0 : GG_UNDERSTANDER_PAUSE_NS;
  gg__understanding_again(understanding);
  return GG_UNDERSTANDER_RETRY_NS;
}

/* Those that the engine has named since. No batch is under way, and nothing that the ones before have made is left. */
static void take_plugins(struct gg_understander *understander, struct gg__understanding *understanding)
{
  const struct gg_decoder *more[GG_UNDERSTANDING_DECODERS_MAX];
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t count = 0;
  pthread_mutex_lock(&understander->lock);
  bool other = understander->other;
  struct plugins next = understander->next;
  understander->other = false;
  understander->next.count = 0;
  pthread_mutex_unlock(&understander->lock);
  if (!other)
    return;
  for (size_t i = 0; i < next.count; i++)
    for (size_t j = 0; j < next.hooks[i]->plugin.decoder_count; j++)
      more[count++] = next.hooks[i]->plugin.decoders[j];
  if (gg__understanding_decoders(understanding, more, count, &failure) != 0)
    tell_failure(understander, &failure);
  let_go(&understander->plugins);
  understander->plugins = next;
}

static void *understand(void *context)
{
  struct gg_understander *understander = context;
  const struct sched_param none = {0};
  const struct gg__understanding_options options = {
    .store = understander->store, .goes_on = goes_on, .context = understander};
  struct gg__understanding *understanding = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  prctl(PR_SET_NAME, "gg-decode");
  (void)sched_setscheduler(0, SCHED_BATCH, &none); /* 0: this thread; where it is refused it goes on as it is */
  (void)setpriority(PRIO_PROCESS, (id_t)gettid(), GG_UNDERSTANDER_NICE);
  (void)gg_metrics_shard(understander->engine->metrics, &understander->shard); /* without one it counts nothing */
  if (gg__understanding_create(&understanding, &options, &failure) != 0) {
    tell_failure(understander, &failure);
  } else {
    while (goes_on(understander)) {
      take_plugins(understander, understanding);
      uint64_t pause_ns = step(understander, understanding);
      if (pause_ns && !pause_for(understander, pause_ns))
        break;
    }
    gg__understanding_destroy(understanding);
  }
  let_go(&understander->plugins);
  pthread_mutex_lock(&understander->lock);
  let_go(&understander->next);
  understander->over = true;
  pthread_cond_broadcast(&understander->changed);
  pthread_mutex_unlock(&understander->lock);
  return NULL;
}

/* ── The other threads ───────────────────────────────────────────────────────────────────────────────────────────── */

void gg__understander_plugins(struct gg_understander *understander, struct gg_hook *const *hooks, size_t count)
{
  if (!understander)
    return;
  assert(count <= GG_HOOKS_MAX);
  struct plugins next = {.count = count};
  for (size_t i = 0; i < count; i++)
    next.hooks[i] = gg_hook_ref(hooks[i]);
  pthread_mutex_lock(&understander->lock);
  struct plugins before = understander->over ? next : understander->next;
  if (!understander->over) {
    understander->next = next;
    understander->other = true;
  }
  pthread_cond_broadcast(&understander->changed); /* else a plug-in that has gone stays for the rest of a pause */
  pthread_mutex_unlock(&understander->lock);
  let_go(&before);
}

int gg__understander_start(struct gg_understander *understander, struct gg_failure *failure)
{
  sigset_t all, before; /* signals are the program's: none comes here */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&understander->thread, NULL, understand, understander);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  understander->started = error == 0;
  return error ? gg_fail_errno(failure, error, "cannot start the decoding thread") : 0;
}

const struct gg__understood *gg__understander_take(struct gg_understander *understander)
{
  if (!understander)
    return NULL;
  pthread_mutex_lock(&understander->lock);
  const struct gg__understood *batch = understander->put || understander->leaving ? NULL : understander->batch;
  understander->taken = batch != NULL;
  pthread_mutex_unlock(&understander->lock);
  return batch;
}

void gg__understander_put(struct gg_understander *understander, bool done)
{
  pthread_mutex_lock(&understander->lock);
  understander->taken = false;
  understander->put = true;
  understander->done = done;
  pthread_cond_broadcast(&understander->changed);
  pthread_mutex_unlock(&understander->lock);
}

void gg__understander_leave(struct gg_understander *understander)
{
  if (!understander)
    return;
  pthread_mutex_lock(&understander->lock);
  understander->leaving = true;
  pthread_cond_broadcast(&understander->changed);
  pthread_mutex_unlock(&understander->lock);
}

void gg__understander_stop(struct gg_understander *understander)
{
  if (!understander || !understander->started)
    return;
  gg__understander_leave(understander);
  uint64_t until_ns = gg_clock_mono_ns() + GG_UNDERSTANDER_END_NS;
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&understander->lock);
  while (!understander->over && waited == 0)
    waited = pthread_cond_timedwait(&understander->changed, &understander->lock, &until);
  bool over = understander->over;
  pthread_mutex_unlock(&understander->lock);
  if (!over)
    return;
  pthread_join(understander->thread, NULL);
  understander->started = false;
}

bool gg__understander_destroy(struct gg_understander *understander)
{
  if (!understander)
    return true;
  if (understander->started)
    return false;
  let_go(&understander->next); /* of one that was never started */
  pthread_cond_destroy(&understander->changed);
  pthread_mutex_destroy(&understander->lock);
  free(understander->store);
  free(understander);
  return true;
}
