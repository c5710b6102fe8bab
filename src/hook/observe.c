/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c - what workers tell of, and the thread that takes it out of the log. */
#include "hook/observe.h"

#include "base/clock.h"
#include "record/log.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static_assert((GG_OBSERVE_CHUNKS_MAX & (GG_OBSERVE_CHUNKS_MAX - 1)) == 0, "a power of two");

/* Something that was recorded. */
struct chunk {
  struct gg_hook_watch *watch;
  struct gg_log *log;
  uint64_t position;
  uint64_t offset;
  uint64_t real_ns;
  size_t bytes;
};

/* One worker's: it counts `head` up, the reader `tail`. */
struct gg_hook_feed {
  struct gg_hook_observe *observe;
  struct gg_hook_feed *next;
  uint64_t tail_seen; /* the worker's copy */
  _Alignas(64) _Atomic uint64_t head;
  struct gg_hook_watch *_Atomic ended; /* the last first */
  _Alignas(64) _Atomic uint64_t tail;
  struct gg_hook_watch *ending; /* the reader's: ended, and not told of yet; the first first */
  struct chunk chunks[GG_OBSERVE_CHUNKS_MAX];
};

struct gg_hook_observe {
  struct gg_hook_feed *_Atomic feeds;
  _Atomic bool sleeps; /* the reader does, or is about to: whoever takes that back wakes it */
  _Atomic bool stopping;
  sem_t wake;
  pthread_t thread;
  bool runs; /* main thread */
};

static void wake(struct gg_hook_observe *observe)
{
  if (atomic_load(&observe->sleeps) && atomic_exchange(&observe->sleeps, false))
    sem_post(&observe->wake);
}

/* ── On a worker ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_hook_feed *gg_hook_feed_create(struct gg_hook_desk *desk)
{
  struct gg_hook_feed *feed = NULL;
  if (!desk->observe || posix_memalign((void **)&feed, _Alignof(struct gg_hook_feed), sizeof *feed) != 0)
    return NULL;
  feed->observe = desk->observe;
  feed->tail_seen = 0;
  feed->ending = NULL;
  atomic_init(&feed->head, 0);
  atomic_init(&feed->tail, 0);
  atomic_init(&feed->ended, NULL);
  feed->next = atomic_load(&desk->observe->feeds);
  while (!atomic_compare_exchange_weak(&desk->observe->feeds, &feed->next, feed))
    continue;
  return feed;
}

void gg_hook_watch_chunk(struct gg_hook_feed *feed, struct gg_hook_watch *watch, struct gg_log *log, uint64_t position,
                         uint64_t offset, size_t bytes, uint64_t real_ns)
{
  uint64_t head = atomic_load_explicit(&feed->head, memory_order_relaxed);
  if (head - feed->tail_seen == GG_OBSERVE_CHUNKS_MAX) {
    feed->tail_seen = atomic_load_explicit(&feed->tail, memory_order_acquire);
    if (head - feed->tail_seen == GG_OBSERVE_CHUNKS_MAX)
      return; /* a hole in the stream, which will be seen */
  }
  feed->chunks[head % GG_OBSERVE_CHUNKS_MAX] = (struct chunk){watch, log, position, offset, real_ns, bytes};
  atomic_store(&feed->head, head + 1); /* in front of the look at who sleeps, who looks again when he says so */
  wake(feed->observe);
}

void gg_hook_watch_end(struct gg_hook_feed *feed, struct gg_hook_watch *watch, struct gg_shard *shard, uint64_t offset)
{
  watch->offset = offset;
  watch->real_ns = gg_clock_real_ns();
  watch->after = atomic_load_explicit(&feed->head, memory_order_relaxed);
  gg_shard_sub(shard, watch->hook->slot + GG__HOOK_OBSERVED_AT, 1);
  watch->next_ended = atomic_load_explicit(&feed->ended, memory_order_relaxed);
  while (!atomic_compare_exchange_weak(&feed->ended, &watch->next_ended, watch))
    continue;
  wake(feed->observe);
}

void gg__observe_step_back(void)
{
  const struct sched_param none = {0};
  (void)sched_setscheduler(0, SCHED_BATCH, &none); /* 0: this thread */
  (void)setpriority(PRIO_PROCESS, (id_t)gettid(), GG_OBSERVE_NICE);
}

/* ── The reader ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void take(const struct chunk *chunk)
{
  struct gg__piece *piece = malloc(sizeof *piece + chunk->bytes);
  if (!piece)
    return;
  *piece = (struct gg__piece){
    .watch = chunk->watch, .offset = chunk->offset, .real_ns = chunk->real_ns, .length = chunk->bytes};
  if (gg_log_copy(chunk->log, chunk->position, piece->bytes, chunk->bytes))
    gg__observer_put(chunk->watch->hook->observer, piece);
  else
    free(piece); /* it came too late */
}

/* Those that have ended, the first first. */
static struct gg_hook_watch *take_ended(struct gg_hook_feed *feed)
{
  struct gg_hook_watch *last = atomic_exchange(&feed->ended, NULL), *first = NULL;
  while (last) {
    struct gg_hook_watch *before = last->next_ended;
    last->next_ended = first;
    first = last;
    last = before;
  }
  return first;
}

/* Behind those that wait already. */
static void collect_ended(struct gg_hook_feed *feed)
{
  struct gg_hook_watch **last = &feed->ending;
  while (*last)
    last = &(*last)->next_ended;
  *last = take_ended(feed);
}

/* An end goes behind what was recorded before it, and before what was recorded behind it: the same direction may be
 * wanted anew. So what is read is settled first: whoever has something behind an end in it has ended before. An end
 * that comes meanwhile may be behind more than that, and waits. False: there was nothing. */
static bool read_feed(struct gg_hook_feed *feed)
{
  uint64_t tail = atomic_load_explicit(&feed->tail, memory_order_relaxed), head = atomic_load(&feed->head);
  collect_ended(feed);
  bool some = feed->ending || tail < head;
  for (;;) {
    while (feed->ending && feed->ending->after <= tail) {
      struct gg_hook_watch *watch = feed->ending;
      feed->ending = watch->next_ended;
      gg__observer_put_end(watch->hook->observer, watch);
    }
    if (tail == head)
      break;
    take(&feed->chunks[tail % GG_OBSERVE_CHUNKS_MAX]);
    atomic_store_explicit(&feed->tail, ++tail, memory_order_release);
  }
  return some;
}

static bool read_feeds(struct gg_hook_observe *observe)
{
  bool some = false;
  for (struct gg_hook_feed *feed = atomic_load(&observe->feeds); feed; feed = feed->next)
    some |= read_feed(feed);
  return some;
}

static bool is_there_more(struct gg_hook_observe *observe)
{
  for (struct gg_hook_feed *feed = atomic_load(&observe->feeds); feed; feed = feed->next)
    if (atomic_load(&feed->head) != atomic_load_explicit(&feed->tail, memory_order_relaxed) ||
        atomic_load(&feed->ended))
      return true;
  return atomic_load(&observe->stopping);
}

static void sleep_until_woken(struct gg_hook_observe *observe)
{
  atomic_store(&observe->sleeps, true);
  if (is_there_more(observe) && atomic_exchange(&observe->sleeps, false))
    return;
  while (sem_wait(&observe->wake) != 0 && errno == EINTR)
    continue;
}

static void *reader_main(void *context)
{
  struct gg_hook_observe *observe = context;
  gg__observe_step_back();
  const struct timespec nap = {.tv_nsec = (long)GG_OBSERVE_POLL_NS};
  unsigned idle = 0;
  for (;;) {
    bool stopping = atomic_load(&observe->stopping); /* before the last look */
    idle = read_feeds(observe) ? 0 : idle + 1;
    if (stopping)
      return NULL;
    if (idle < GG_OBSERVE_IDLE_POLLS)
      nanosleep(&nap, NULL);
    else
      sleep_until_woken(observe);
  }
}

/* Signals are the program's: none comes here. */
static int begin(struct gg_hook_observe *observe)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&observe->thread, NULL, reader_main, observe);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!error)
    pthread_setname_np(observe->thread, "gg-observe");
  return error;
}

int gg__observe_start(struct gg_hook_desk *desk, struct gg_failure *failure)
{
  if (desk->observe)
    return 0;
  struct gg_hook_observe *observe = calloc(1, sizeof *observe);
  if (!observe)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the plug-ins that observe");
  sem_init(&observe->wake, 0, 0);
  int error = begin(observe);
  if (error) {
    sem_destroy(&observe->wake);
    free(observe);
    return gg_fail_errno(failure, error, "cannot begin the thread that reads for the plug-ins that observe");
  }
  observe->runs = true;
  desk->observe = observe;
  return 0;
}

void gg__observe_stop(struct gg_hook_desk *desk)
{
  struct gg_hook_observe *observe = desk->observe;
  if (!observe || !observe->runs)
    return;
  atomic_store(&observe->stopping, true);
  wake(observe);
  pthread_join(observe->thread, NULL);
  observe->runs = false;
}

void gg__observe_free(struct gg_hook_desk *desk)
{
  struct gg_hook_observe *observe = desk->observe;
  if (!observe)
    return;
  assert(!observe->runs);
  for (struct gg_hook_feed *feed = atomic_load(&observe->feeds), *next; feed; feed = next) {
    next = feed->next;
    free(feed);
  }
  sem_destroy(&observe->wake);
  free(observe);
  desk->observe = NULL;
}
