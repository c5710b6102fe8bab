/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/indexing.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/understander.h"
#include "store/feed.h"
#include "store/indexer.h"
#include "store/tag_rules.h"
#include "store/understanding.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum metric { SESSIONS, BATCHES, READ_BYTES, ERRORS, LAG, OPEN, METRICS };

static const struct gg_metric_def definitions[METRICS] = {
  [SESSIONS] = {"catalogue_sessions_put", GG_METRIC_COUNTER,
                "Sessions written to the catalogue, one that changed once more", NULL, NULL},
  [BATCHES] = {"catalogue_batches", GG_METRIC_COUNTER, "Transactions of the catalogue", NULL, NULL},
  [READ_BYTES] = {"catalogue_scanned_bytes", GG_METRIC_COUNTER,
                  "Bytes of segments that were indexed; payload of long packets is passed over", NULL, NULL},
  [ERRORS] = {"catalogue_errors", GG_METRIC_COUNTER, "Times that the catalogue could not be opened or written", NULL,
              NULL},
  [LAG] = {"catalogue_lag_bytes", GG_METRIC_GAUGE, "Bytes of segments that are not in the catalogue yet", NULL, NULL},
  [OPEN] = {"catalogue_open_sessions", GG_METRIC_GAUGE, "Sessions whose end the catalogue has not seen", NULL, NULL},
};

struct gg_indexing {
  struct gg_gateway *engine;
  size_t first; /* slot of its metrics */
  pthread_t thread;
  bool started;
  pthread_mutex_t lock; /* of the rest, but for `rung` */
  pthread_cond_t wake;  /* on CLOCK_MONOTONIC, as `ended` */
  pthread_cond_t ended;
  bool leaving;      /* ends with its step */
  uint64_t until_ns; /* ends when nothing is left, then at the latest; 0: goes on */
  bool over;
  struct gg__tag_rules *rules; /* of the configuration in force */
  _Atomic bool rung;
  _Atomic bool feeding; /* what is written is wanted */
  struct gg__feed *feed;
  struct gg_understander *understander; /* NULL: sessions are not decoded */
  _Atomic bool understood;              /* it has a batch to be put */

  /* The thread's own. */
  struct gg_shard *shard;
  char *store; /* its own: the configuration in force is another after a reload */
  char *path;
  struct gg__catalogue *catalogue;
  struct gg__indexer *indexer;
  struct gg__indexer_stats told; /* what the metrics have of this indexer's */
  bool caught_up;                /* has told so, or had nothing to tell */
  bool told_full;                /* that rules' tags are not set */
  bool failing;
  int last_error;
  uint64_t busy_since_ns; /* another process has the catalogue, as one that drains does for a moment; 0: none */
  struct stat opened;     /* the file that is open ... */
  struct stat refused;    /* ... or that is damaged, or of a later version */
  uint64_t began_ns;
};

/* The decoding thread has something: no pause is longer than that is worth. */
static void ring_for_batch(void *context)
{
  struct gg_indexing *indexing = context;
  atomic_store(&indexing->understood, true);
  pthread_mutex_lock(&indexing->lock);
  pthread_cond_signal(&indexing->wake);
  pthread_mutex_unlock(&indexing->lock);
}

int gg__indexing_create(struct gg_indexing **out, struct gg_gateway *engine, struct gg_failure *failure)
{
  struct gg_indexing *indexing = calloc(1, sizeof *indexing);
  *out = indexing;
  if (indexing) {
    indexing->store = strdup(engine->now->config.dir);
    (void)gg__feed_create(&indexing->feed);
  }
  if (!indexing || !indexing->store || !indexing->feed ||
      asprintf(&indexing->path, "%s/catalogue.db", indexing->store) < 0) {
    if (indexing) {
      gg__feed_destroy(indexing->feed);
      free(indexing->store);
    }
    free(indexing);
    *out = NULL;
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the catalogue's thread");
  }
  indexing->engine = engine;
  gg__catalogue_prepare();
  pthread_mutex_init(&indexing->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&indexing->wake, &attributes);
  pthread_cond_init(&indexing->ended, &attributes);
  pthread_condattr_destroy(&attributes);
  int error = gg_metrics_register(engine->metrics, definitions, METRICS, &indexing->first);
  if (error)
    return gg_fail(failure, error, "cannot register the catalogue's metrics: %s", gg_error_text(error));
  if (engine->now->config.decode == GG_CONFIG_OFF)
    return 0;
  return gg__understander_create(&indexing->understander, engine, indexing->store, ring_for_batch, indexing, failure);
}

/* ── Waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The bell takes the lock once for each time that the thread sleeps. */
void gg__indexing_written(struct gg_indexing *indexing, const char *segment, uint64_t offset, const uint8_t *bytes,
                          size_t length)
{
  if (!indexing || !atomic_load(&indexing->feeding))
    return;
  gg__feed_put(indexing->feed, segment, offset, bytes, length);
  if (atomic_exchange(&indexing->rung, true))
    return;
  pthread_mutex_lock(&indexing->lock);
  pthread_cond_signal(&indexing->wake);
  pthread_mutex_unlock(&indexing->lock);
}

/* Until something was written (if `bell`), the time has come, or it is to end. False: it is. */
static bool wait_until(struct gg_indexing *indexing, uint64_t until_ns, bool bell)
{
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&indexing->lock);
  while (!indexing->leaving && indexing->until_ns == 0 && waited == 0 && !(bell && atomic_load(&indexing->rung)) &&
         !(indexing->indexer && atomic_load(&indexing->understood)))
    waited = pthread_cond_timedwait(&indexing->wake, &indexing->lock, &until);
  bool goes_on = !indexing->leaving && indexing->until_ns == 0;
  pthread_mutex_unlock(&indexing->lock);
  return goes_on;
}

/* Whether the thread has no more time; `*ending`: it ends when all is read. */
static bool time_is_over(struct gg_indexing *indexing, bool *ending)
{
  pthread_mutex_lock(&indexing->lock);
  *ending = indexing->until_ns > 0;
  bool over = indexing->leaving || (*ending && gg_clock_mono_ns() >= indexing->until_ns);
  pthread_mutex_unlock(&indexing->lock);
  return over;
}

/* ── The catalogue ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void count(struct gg_indexing *indexing, enum metric metric, uint64_t n)
{
  if (indexing->shard)
    gg_shard_add(indexing->shard, indexing->first + metric, n);
}

static void count_step(struct gg_indexing *indexing)
{
  struct gg__indexer_stats now;
  gg__indexer_stats(indexing->indexer, &now);
  count(indexing, SESSIONS, now.sessions - indexing->told.sessions);
  count(indexing, BATCHES, now.batches - indexing->told.batches);
  count(indexing, READ_BYTES, now.bytes - indexing->told.bytes);
  if (indexing->shard) {
    gg_shard_set(indexing->shard, indexing->first + LAG, now.lag_bytes);
    gg_shard_set(indexing->shard, indexing->first + OPEN, now.open);
  }
  indexing->told = now;
}

static void let_go(struct gg_indexing *indexing)
{
  atomic_store(&indexing->feeding, false);
  gg__feed_clear(indexing->feed);
  gg__indexer_destroy(indexing->indexer);
  gg__catalogue_close(indexing->catalogue);
  indexing->indexer = NULL;
  indexing->catalogue = NULL;
}

/* Whether another process has only begun to be in the way: at a hot restart it goes in a moment. */
static bool is_patient(struct gg_indexing *indexing, int error)
{
  if (error != GG_ERR_BUSY) {
    indexing->busy_since_ns = 0;
    return false;
  }
  uint64_t now_ns = gg_clock_mono_ns();
  if (indexing->busy_since_ns == 0)
    indexing->busy_since_ns = now_ns;
  return now_ns - indexing->busy_since_ns < GG_INDEXING_BUSY_TELL_NS;
}

/* One line when it begins to fail, and when it fails otherwise. */
static void tell_failure(struct gg_indexing *indexing, const struct gg_failure *failure)
{
  if (is_patient(indexing, failure->code)) {
    indexing->last_error = GG_ERR_BUSY;
    return;
  }
  count(indexing, ERRORS, 1);
  if (!indexing->failing || indexing->last_error != failure->code)
    gg_warn(indexing->engine->logger, "sessions are not in the catalogue", GG_S("error", failure->message),
            GG_S("effect", "recording goes on; what is missing is added when this is mended, and commands read the "
                           "segments until then"));
  indexing->failing = true;
  indexing->last_error = failure->code;
  if (stat(indexing->path, &indexing->refused) != 0)
    memset(&indexing->refused, 0, sizeof indexing->refused);
}

static void warn_of_segment(void *context, const char *text)
{
  struct gg_indexing *indexing = context;
  gg_warn(indexing->engine->logger, "a segment is not whole", GG_S("reason", text),
          GG_S("effect", "what can be read of it is in the catalogue"));
}

static void warn_full(void *context, const char *text)
{
  struct gg_indexing *indexing = context;
  if (!indexing->told_full)
    gg_warn(indexing->engine->logger, "sessions are not tagged", GG_S("error", text),
            GG_S("effect", "recording and the catalogue go on; rules set no tags until there is room"));
  indexing->told_full = true;
}

static int open_catalogue(struct gg_indexing *indexing, struct gg_failure *failure)
{
  const struct gg__indexer_options options = {.store = indexing->store,
                                              .feed = indexing->feed,
                                              .warning = warn_of_segment,
                                              .context = indexing,
                                              .forgets = true,
                                              .full = warn_full};
  indexing->told = (struct gg__indexer_stats){0};
  indexing->caught_up = false;
  indexing->began_ns = gg_clock_mono_ns();
  int error = gg__catalogue_open(&indexing->catalogue, indexing->path, GG__CATALOGUE_WRITE, failure);
  if (!error)
    error = gg__indexer_create(&indexing->indexer, indexing->catalogue, &options, failure);
  if (!error && stat(indexing->path, &indexing->opened) != 0)
    error = gg_fail_errno(failure, errno, "cannot look at %s", indexing->path);
  if (error)
    let_go(indexing);
  else
    atomic_store(&indexing->feeding, true);
  return error;
}

/* When what was in the segments before is in the catalogue: what that took. */
static void tell_caught_up(struct gg_indexing *indexing)
{
  const struct gg__indexer_stats *stats = &indexing->told;
  bool was_failing = indexing->failing;
  indexing->failing = false;
  indexing->busy_since_ns = 0;
  if (indexing->caught_up)
    return;
  indexing->caught_up = true;
  if (stats->behind + stats->anew + stats->gone == 0 && !was_failing)
    return;
  gg_info(indexing->engine->logger, "catalogue brought up to date", GG_U("bytes", stats->behind),
          GG_U("sessions", stats->sessions), GG_U("segments_anew", stats->anew), GG_U("segments_gone", stats->gone),
          GG_D("seconds", (double)(gg_clock_mono_ns() - indexing->began_ns) / 1e9));
}

/* Whether trying again can help now. */
static bool is_worth_trying(const struct gg_indexing *indexing)
{
  struct stat now = {0};
  const struct stat *before = &indexing->refused;
  if (indexing->last_error != GG_ERR_CORRUPT && indexing->last_error != GG_ERR_UNSUPPORTED)
    return true;
  if (stat(indexing->path, &now) != 0)
    return true;
  return now.st_ino != before->st_ino || now.st_dev != before->st_dev || now.st_size != before->st_size ||
         now.st_mtim.tv_sec != before->st_mtim.tv_sec || now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Somebody deleted it, or put another in its place: what goes into the one that is open is lost. */
static bool is_replaced(const struct gg_indexing *indexing)
{
  struct stat now;
  return stat(indexing->path, &now) != 0 || now.st_ino != indexing->opened.st_ino ||
         now.st_dev != indexing->opened.st_dev;
}

/* Each batch tells of every open session that has changed: who is far behind makes longer ones. */
static uint64_t step_bytes(const struct gg_indexing *indexing)
{
  uint64_t half = indexing->told.lag_bytes / 2;
  half = half > GG_INDEXING_STEP_BYTES_MAX ? GG_INDEXING_STEP_BYTES_MAX : half;
  return half > GG_INDEXING_STEP_BYTES ? half : GG_INDEXING_STEP_BYTES;
}

static void take_rules(struct gg_indexing *indexing)
{
  pthread_mutex_lock(&indexing->lock);
  struct gg__tag_rules *rules = gg__tag_rules_ref(indexing->rules);
  pthread_mutex_unlock(&indexing->lock);
  gg__indexer_rules(indexing->indexer, rules);
  gg__tag_rules_unref(rules);
}

/* What the decoding thread has found, if it has. */
static int put_understood(struct gg_indexing *indexing, struct gg_failure *failure)
{
  if (!atomic_exchange(&indexing->understood, false))
    return 0;
  const struct gg__understood *batch = gg__understander_take(indexing->understander);
  if (!batch)
    return 0;
  int error = gg__understood_put(batch, indexing->catalogue, failure);
  gg__understander_put(indexing->understander, error == 0);
  return error;
}

/* One step. `*more`: there is something to read at once. */
static int step(struct gg_indexing *indexing, bool *more)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  *more = false;
  if (indexing->indexer && is_replaced(indexing)) {
    gg_warn(indexing->engine->logger, "the catalogue was taken away", GG_S("file", indexing->path),
            GG_S("effect", "another is made from the segments"));
    let_go(indexing);
  }
  int error = indexing->indexer ? 0 : open_catalogue(indexing, &failure);
  if (!error)
    take_rules(indexing);
  if (!error)
    error = gg__indexer_step(indexing->indexer, step_bytes(indexing), more, &failure);
  if (!error && !*more) /* who is behind has something better to do */
    error = put_understood(indexing, &failure);
  if (indexing->indexer)
    count_step(indexing);
  if (error) {
    tell_failure(indexing, &failure);
    let_go(indexing);
  } else if (!*more) {
    tell_caught_up(indexing);
  }
  return error;
}

/* Until the next try. False: it is to end. */
static bool wait_for_better(struct gg_indexing *indexing)
{
  uint64_t pause_ns = indexing->last_error == GG_ERR_BUSY ? GG_INDEXING_BUSY_NS : GG_INDEXING_RETRY_NS;
  bool goes_on = true;
  do
    goes_on = wait_until(indexing, gg_clock_mono_ns() + pause_ns, false);
  while (goes_on && !is_worth_trying(indexing));
  return goes_on;
}

static uint64_t cpu_ns(void)
{
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return (uint64_t)used.tv_sec * GG_NS_PER_S + (uint64_t)used.tv_nsec;
}

/* `used_ns`: processor time of the last step. */
static bool wait_for_more(struct gg_indexing *indexing, uint64_t used_ns)
{
  uint64_t now_ns = gg_clock_mono_ns(), pause_ns = used_ns * GG_INDEXING_REST;
  pause_ns = pause_ns > GG_INDEXING_PAUSE_MAX_NS ? GG_INDEXING_PAUSE_MAX_NS : pause_ns;
  pause_ns = pause_ns < GG_INDEXING_PAUSE_NS ? GG_INDEXING_PAUSE_NS : pause_ns;
  if (!wait_until(indexing, now_ns + pause_ns, false))
    return false;
  bool goes_on = wait_until(indexing, now_ns + (indexing->told.open ? GG_INDEXING_OPEN_NS : GG_INDEXING_IDLE_NS), true);
  atomic_store(&indexing->rung, false); /* before the step looks: what is written from here on rings again */
  return goes_on;
}

/* The gateway ends: all that is there, or until the time is over. */
static void finish(struct gg_indexing *indexing)
{
  bool more = true, ending;
  while (more && !time_is_over(indexing, &ending) && ending) {
    if (indexing->indexer)
      gg__indexer_ended(indexing->indexer);
    bool fresh = !indexing->indexer;
    if (step(indexing, &more) != 0)
      return;
    more |= fresh;
  }
  if (more && ending)
    gg_warn(indexing->engine->logger, "the catalogue is behind", GG_U("bytes", indexing->told.lag_bytes),
            GG_S("effect", "the gateway ends and does not wait longer; its next start goes on"));
}

static void *index_always(void *context)
{
  struct gg_indexing *indexing = context;
  const struct sched_param none = {0};
  bool more, goes_on = true;
  prctl(PR_SET_NAME, "gg-catalogue");
  (void)sched_setscheduler(0, SCHED_BATCH, &none); /* 0: this thread; where it is refused it goes on as it is */
  (void)setpriority(PRIO_PROCESS, (id_t)gettid(), GG_INDEXING_NICE);
  (void)gg_metrics_shard(indexing->engine->metrics, &indexing->shard); /* without one it counts nothing */
  while (goes_on) {
    uint64_t before_ns = cpu_ns();
    if (step(indexing, &more) != 0)
      goes_on = wait_for_better(indexing);
    else if (more)
      goes_on = wait_until(indexing, 0, false); /* no pause */
    else
      goes_on = wait_for_more(indexing, cpu_ns() - before_ns);
  }
  finish(indexing);
  let_go(indexing);
  pthread_mutex_lock(&indexing->lock);
  indexing->over = true;
  pthread_cond_signal(&indexing->ended);
  pthread_mutex_unlock(&indexing->lock);
  return NULL;
}

/* ── The engine's thread ─────────────────────────────────────────────────────────────────────────────────────────── */

int gg__indexing_start(struct gg_indexing *indexing, struct gg_failure *failure)
{
  sigset_t all, before; /* signals are the program's: none comes here */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&indexing->thread, NULL, index_always, indexing);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  indexing->started = error == 0;
  if (error)
    return gg_fail_errno(failure, error, "cannot start the thread of the catalogue");
  return indexing->understander ? gg__understander_start(indexing->understander, failure) : 0;
}

void gg__indexing_rules(struct gg_indexing *indexing, struct gg__tag_rules *rules)
{
  if (!indexing)
    return;
  pthread_mutex_lock(&indexing->lock);
  struct gg__tag_rules *before = indexing->rules;
  indexing->rules = gg__tag_rules_ref(rules);
  pthread_mutex_unlock(&indexing->lock);
  gg__tag_rules_unref(before);
}

void gg__indexing_plugins(struct gg_indexing *indexing, struct gg_hook *const *hooks, size_t count)
{
  if (indexing)
    gg__understander_plugins(indexing->understander, hooks, count);
}

void gg__indexing_leave(struct gg_indexing *indexing)
{
  if (!indexing)
    return;
  gg__understander_leave(indexing->understander);
  pthread_mutex_lock(&indexing->lock);
  indexing->leaving = true;
  pthread_cond_signal(&indexing->wake);
  pthread_mutex_unlock(&indexing->lock);
}

void gg__indexing_stop(struct gg_indexing *indexing)
{
  if (!indexing || !indexing->started)
    return;
  gg__understander_stop(indexing->understander);
  int waited = 0;
  pthread_mutex_lock(&indexing->lock);
  indexing->until_ns = gg_clock_mono_ns() + GG_INDEXING_END_NS;
  uint64_t until_ns = indexing->until_ns + GG_INDEXING_LEAVE_NS;
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  pthread_cond_signal(&indexing->wake);
  while (!indexing->over && waited == 0)
    waited = pthread_cond_timedwait(&indexing->ended, &indexing->lock, &until);
  bool over = indexing->over;
  pthread_mutex_unlock(&indexing->lock);
  if (over) {
    pthread_join(indexing->thread, NULL);
    indexing->started = false;
    return;
  }
  gg_error_log(indexing->engine->logger, "the catalogue's disk does not answer",
               GG_S("effect", "the gateway ends without it; its next start repairs it"));
}

bool gg__indexing_destroy(struct gg_indexing *indexing)
{
  if (!indexing)
    return true;
  if (indexing->started || !gg__understander_destroy(indexing->understander))
    return false;
  pthread_cond_destroy(&indexing->wake);
  pthread_cond_destroy(&indexing->ended);
  pthread_mutex_destroy(&indexing->lock);
  gg__tag_rules_unref(indexing->rules);
  free(indexing->store);
  gg__feed_destroy(indexing->feed);
  free(indexing->path);
  free(indexing);
  return true;
}
