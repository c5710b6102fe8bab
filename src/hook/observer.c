/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observer.c - the queue of a plug-in that observes, and the thread that calls it.
 *
 * Two lists: pieces, of which the oldest go when there are too many bytes, and ends, which all stay. Each has its turn,
 * counted up by who puts it there, and the thread takes the one whose turn is earlier. So an end comes behind the
 * pieces of its stream, and what is to be dropped is found at once, however many ends wait.
 */
#include "base/clock.h"
#include "hook/observe.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREAD_NAME_MAX = 16 /* the kernel's */ };

struct gg_hook_observer {
  struct gg_hook *hook;
  pthread_t thread;
  _Atomic unsigned watches; /* that are not told the end of */
  _Atomic bool over;
  pthread_mutex_t lock; /* of the rest */
  pthread_cond_t some;
  pthread_cond_t ended; /* on CLOCK_MONOTONIC: it is over */
  bool ending;
  uint64_t until_ns; /* ending: whatever waits; 0: no such time */
  uint64_t turns;
  size_t bytes; /* of the pieces, and what they cost */
  struct gg__piece *pieces, **last_piece;
  struct gg_hook_watch *ends, **last_end;
  bool left; /* main thread: a call did not return in time */
};

/* ── Begin and end of what is observed ───────────────────────────────────────────────────────────────────────────── */

int gg_hook_watch_begin(struct gg_hook_watch **out, struct gg_hook *hook, struct gg_shard *shard,
                        const struct gg_session_key *key, enum gg_side from, uint64_t offset)
{
  struct gg_hook_observer *observer = hook->observer;
  if (!observer)
    return GG_ERR_UNSUPPORTED;
  if (atomic_fetch_add_explicit(&observer->watches, 1, memory_order_relaxed) >= GG_OBSERVED_MAX) {
    atomic_fetch_sub_explicit(&observer->watches, 1, memory_order_relaxed);
    return GG_ERR_LIMIT;
  }
  struct gg_hook_watch *watch = malloc(sizeof *watch);
  if (!watch) {
    atomic_fetch_sub_explicit(&observer->watches, 1, memory_order_relaxed);
    return GG_ERR_NOMEM;
  }
  *watch = (struct gg_hook_watch){.hook = gg_hook_ref(hook), .key = *key, .from = from, .next = offset};
  gg_shard_add(shard, hook->slot + GG__HOOK_OBSERVED_AT, 1);
  *out = watch;
  return GG_OK;
}

static void watch_free(struct gg_hook_observer *observer, struct gg_hook_watch *watch)
{
  atomic_fetch_sub_explicit(&observer->watches, 1, memory_order_relaxed);
  gg_hook_unref(watch->hook); /* which the main thread then may destroy, but not before this thread is over */
  free(watch);
}

/* ── The queue ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t cost(const struct gg__piece *piece)
{
  return sizeof *piece + piece->length;
}

static struct gg__piece *take_piece(struct gg_hook_observer *observer)
{
  struct gg__piece *piece = observer->pieces;
  observer->pieces = piece->next;
  if (!piece->next)
    observer->last_piece = &observer->pieces;
  observer->bytes -= cost(piece);
  return piece;
}

static struct gg_hook_watch *take_end(struct gg_hook_observer *observer)
{
  struct gg_hook_watch *watch = observer->ends;
  observer->ends = watch->next_ended;
  if (!watch->next_ended)
    observer->last_end = &observer->ends;
  return watch;
}

void gg__observer_put(struct gg_hook_observer *observer, struct gg__piece *piece)
{
  pthread_mutex_lock(&observer->lock);
  while (observer->pieces && observer->bytes + cost(piece) > GG_OBSERVE_QUEUE_BYTES)
    free(take_piece(observer));
  piece->turn = ++observer->turns;
  piece->next = NULL;
  *observer->last_piece = piece;
  observer->last_piece = &piece->next;
  observer->bytes += cost(piece);
  pthread_cond_signal(&observer->some);
  pthread_mutex_unlock(&observer->lock);
}

void gg__observer_put_end(struct gg_hook_observer *observer, struct gg_hook_watch *watch)
{
  pthread_mutex_lock(&observer->lock);
  watch->turn = ++observer->turns;
  watch->next_ended = NULL;
  *observer->last_end = watch;
  observer->last_end = &watch->next_ended;
  pthread_cond_signal(&observer->some);
  pthread_mutex_unlock(&observer->lock);
}

/* Waits for what is next: one of the two. False: nothing will come, or the time is over. */
static bool next(struct gg_hook_observer *observer, struct gg__piece **piece, struct gg_hook_watch **ended)
{
  *piece = NULL;
  *ended = NULL;
  pthread_mutex_lock(&observer->lock);
  while (!observer->pieces && !observer->ends && !observer->ending)
    pthread_cond_wait(&observer->some, &observer->lock);
  bool late = observer->ending && observer->until_ns > 0 && gg_clock_mono_ns() >= observer->until_ns;
  bool piece_first = observer->pieces && (!observer->ends || observer->pieces->turn < observer->ends->turn);
  if (!late && piece_first)
    *piece = take_piece(observer);
  else if (!late && observer->ends)
    *ended = take_end(observer);
  pthread_mutex_unlock(&observer->lock);
  return *piece || *ended;
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void call(struct gg_hook_observer *observer, struct gg_hook_watch *watch, struct gg_observed *observed)
{
  struct gg_hook *hook = observer->hook;
  observed->size = sizeof *observed;
  observed->key = watch->key;
  observed->from = watch->from;
  observed->missed = observed->offset - watch->next;
  watch->next = observed->offset + observed->length;
  if (observed->missed > 0)
    gg__hook_count_missed(hook, observed->missed);
  uint64_t began_ns = gg_clock_mono_ns();
  hook->plugin.observe(hook->self, observed);
  gg__hook_count_other(hook, GG_HOOK_OBSERVE, gg_clock_mono_ns() - began_ns);
}

static void *run(void *context)
{
  struct gg_hook_observer *observer = context;
  struct gg__piece *piece;
  struct gg_hook_watch *ended;
  gg__observe_step_back();
  while (next(observer, &piece, &ended)) {
    struct gg_observed observed = {.bytes = (const uint8_t *)""};
    if (piece) {
      observed.bytes = piece->bytes;
      observed.length = piece->length;
      observed.offset = piece->offset;
      observed.real_ns = piece->real_ns;
      call(observer, piece->watch, &observed);
      free(piece);
    } else {
      observed.offset = ended->offset;
      observed.real_ns = ended->real_ns;
      observed.ended = true;
      call(observer, ended, &observed);
      watch_free(observer, ended);
    }
  }
  pthread_mutex_lock(&observer->lock);
  atomic_store_explicit(&observer->over, true, memory_order_release);
  pthread_cond_signal(&observer->ended);
  pthread_mutex_unlock(&observer->lock);
  return NULL;
}

/* What is not told at the gateway's end, nobody hears of any more: but it is counted. */
static void drop_rest(struct gg_hook_observer *observer)
{
  uint64_t missed = 0;
  unsigned ends = 0;
  while (observer->pieces)
    free(take_piece(observer));
  for (; observer->ends; ends++) {
    struct gg_hook_watch *watch = take_end(observer);
    missed += watch->offset - watch->next;
    watch_free(observer, watch);
  }
  if (ends == 0)
    return;
  gg__hook_count_missed(observer->hook, missed);
  gg_warn(observer->hook->desk->logger, "plug-in has not observed all", GG_S("plugin", observer->hook->name),
          GG_U("missed_bytes", missed), GG_U("directions", ends),
          GG_S("effect", "the gateway ends, and does not wait longer"));
}

static void observer_free(struct gg_hook_observer *observer)
{
  drop_rest(observer);
  pthread_cond_destroy(&observer->ended);
  pthread_cond_destroy(&observer->some);
  pthread_mutex_destroy(&observer->lock);
  free(observer);
}

/* Signals are the program's: none comes here. */
static int begin(struct gg_hook_observer *observer)
{
  char name[THREAD_NAME_MAX];
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&observer->thread, NULL, run, observer);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return error;
  snprintf(name, sizeof name, "gg-%.12s", observer->hook->name);
  pthread_setname_np(observer->thread, name);
  return 0;
}

int gg__observer_start(struct gg_hook *hook, struct gg_failure *failure)
{
  if (!hook->plugin.observe || hook->observer)
    return 0;
  int error = gg__observe_start(hook->desk, failure);
  if (error)
    return error;
  struct gg_hook_observer *observer = calloc(1, sizeof *observer);
  if (!observer)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for plug-in %s", hook->name);
  observer->hook = hook;
  observer->last_piece = &observer->pieces;
  observer->last_end = &observer->ends;
  pthread_mutex_init(&observer->lock, NULL);
  pthread_cond_init(&observer->some, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&observer->ended, &attributes);
  pthread_condattr_destroy(&attributes);
  error = begin(observer);
  if (error) {
    observer_free(observer);
    return gg_fail_errno(failure, error, "cannot begin the thread of plug-in %s that observes", hook->name);
  }
  hook->observer = observer;
  return 0;
}

bool gg__observer_ending(struct gg_hook *hook, uint64_t until_ns)
{
  struct gg_hook_observer *observer = hook->observer;
  if (!observer)
    return true;
  pthread_mutex_lock(&observer->lock);
  observer->ending = true;
  if (until_ns > 0 && observer->until_ns == 0)
    observer->until_ns = until_ns;
  pthread_cond_signal(&observer->some);
  pthread_mutex_unlock(&observer->lock);
  return atomic_load_explicit(&observer->over, memory_order_acquire);
}

/* False: its time is over, and a call has not returned. */
static bool join(struct gg_hook_observer *observer)
{
  uint64_t until_ns = observer->until_ns + GG_OBSERVE_LEAVE_NS;
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&observer->lock);
  while (!atomic_load(&observer->over) && waited == 0)
    waited = observer->until_ns > 0 ? pthread_cond_timedwait(&observer->ended, &observer->lock, &until)
                                    : pthread_cond_wait(&observer->ended, &observer->lock);
  bool over = atomic_load(&observer->over);
  pthread_mutex_unlock(&observer->lock);
  return over && pthread_join(observer->thread, NULL) == 0;
}

void gg__observer_stop(struct gg_hook *hook)
{
  struct gg_hook_observer *observer = hook->observer;
  if (!observer || (observer->left && !atomic_load_explicit(&observer->over, memory_order_acquire)))
    return;
  gg__observer_ending(hook, 0);
  if (join(observer)) {
    observer_free(observer);
    hook->observer = NULL;
    return;
  }
  observer->left = true;
  gg_error_log(hook->desk->logger, "a plug-in's observe does not return", GG_S("plugin", hook->name),
               GG_S("effect", "the gateway ends without it"));
}
