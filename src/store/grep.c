/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search of many sessions: threads take batches of them (grep_plan.h), and the caller's thread tells what was found,
 * session by session in the order of the list.
 *
 *   batches:   NEW ──► TAKEN, by a thread ──► DONE, its hits wait ──► told session by session, freed
 *                └─────────► by the caller's thread, when the next session to be told is in it
 *
 * The caller's thread never waits for a batch that nobody has begun: it does it itself, and if that is a single
 * session, it tells what is found at once. So threads may be kept from running far ahead (BATCHES_AHEAD), and nothing
 * can wait for ever. While it waits for a batch that is TAKEN, it searches another. A batch whose hits were too many
 * comes with a `limit`: behind it, sessions are searched again when it is their turn, together if they fit then, or
 * alone and telling at once.
 *
 * Who owns what: a batch that is NEW belongs to the lock, one that is TAKEN to its thread, one that is DONE to the
 * caller's. All else is the caller's, or does not change.
 */
#include "base/clock.h"
#include "base/sized.h"
#include "store/grep_plan.h"
#include "store/pass.h"
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, BATCHES_AHEAD = 2 /* for each thread */ };
#define TICK_NS UINT64_C(100000000)

enum batch_state { BATCH_NEW, BATCH_TAKEN, BATCH_DONE };

struct batch {
  enum batch_state state;
  int error;
  size_t next;            /* member whose turn it is to be told */
  size_t first, limit;    /* members that were searched: from and before */
  struct gg__item *items; /* of those from `first` on */
  struct gg__pass pass;
};

struct grep {
  struct gg__search search;
  struct gg_grep_options options;
  const struct gg_session_list *list;
  struct gg__plan plan;
  struct batch *batches;
  struct gg__finder *finder; /* the caller's thread's */
  struct gg_grep_result *result;
  struct gg_failure *failure;
  uint64_t told[2]; /* matches of the session that is being told */
  uint64_t ticked_ns;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  size_t next_new, ahead; /* under the lock: no batch before is NEW; so many are TAKEN or DONE */
  unsigned threads;
  bool ending;
};

/* ── Progress ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t now_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * GG_NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool tick(void *context)
{
  struct grep *grep = context;
  uint64_t now = now_ns(), done = atomic_load(&grep->search.bytes), total = grep->plan.bytes;
  if (!grep->options.progress || now - grep->ticked_ns < TICK_NS)
    return true;
  grep->ticked_ns = now;
  if (grep->options.progress(grep->options.context, done < total ? done : total, total))
    return true;
  atomic_store(&grep->search.stopped, true);
  return false;
}

/* ── Searching a batch ───────────────────────────────────────────────────────────────────────────────────────────── */

static void free_items(struct grep *grep, struct batch *batch)
{
  size_t number = (size_t)(batch - grep->batches), count = grep->plan.begins[number + 1] - grep->plan.begins[number];
  for (size_t i = 0; batch->items && i < count - batch->first; i++)
    gg__item_fini(&batch->items[i]);
  free(batch->items);
  batch->items = NULL;
}

/* Its sessions from `first` on, none of them searched yet. */
static int prepare(struct grep *grep, struct batch *batch, size_t first)
{
  size_t number = (size_t)(batch - grep->batches), begin = grep->plan.begins[number];
  size_t count = grep->plan.begins[number + 1] - begin;
  free_items(grep, batch);
  batch->first = batch->limit = first;
  batch->items = calloc(count - first, sizeof *batch->items);
  if (!batch->items)
    return GG_ERR_NOMEM;
  for (size_t i = first; i < count; i++)
    batch->items[i - first].session = grep->list->sessions[grep->plan.members[begin + i]];
  batch->pass = (struct gg__pass){.search = &grep->search, .items = batch->items, .count = count - first};
  return 0;
}

static void search_batch(struct grep *grep, struct batch *batch, size_t first, struct gg__finder *finder, bool ticks)
{
  batch->error = prepare(grep, batch, first);
  if (batch->error)
    return;
  batch->pass.limit = batch->pass.count;
  batch->pass.finder = finder;
  batch->pass.tick = ticks ? tick : NULL;
  batch->pass.context = grep;
  batch->error = gg__pass_run(&batch->pass, NULL);
  batch->limit = first + batch->pass.limit;
}

/* Under the lock: the next batch that nobody has begun is the caller's, TAKEN. NULL: there is none, or those that were
 * begun and not told are as many as may be. */
static struct batch *take_new(struct grep *grep)
{
  while (grep->next_new < grep->plan.batch_count && grep->batches[grep->next_new].state != BATCH_NEW)
    grep->next_new++;
  if (grep->next_new == grep->plan.batch_count || grep->ahead >= (size_t)grep->threads * BATCHES_AHEAD)
    return NULL;
  struct batch *batch = &grep->batches[grep->next_new++];
  batch->state = BATCH_TAKEN;
  grep->ahead++;
  return batch;
}

/* Under the lock, which it leaves meanwhile. */
static void search_taken(struct grep *grep, struct batch *batch, struct gg__finder *finder, bool ticks)
{
  pthread_mutex_unlock(&grep->lock);
  search_batch(grep, batch, 0, finder, ticks);
  pthread_mutex_lock(&grep->lock);
  batch->state = BATCH_DONE;
  pthread_cond_broadcast(&grep->changed);
}

static void *search_main(void *argument)
{
  struct grep *grep = argument;
  struct gg__finder *finder = NULL;
  bool able = gg__finder_create(&finder, grep->search.pattern, NULL) == 0; /* else the others do it */
  pthread_mutex_lock(&grep->lock);
  while (able && !grep->ending) {
    struct batch *batch = take_new(grep);
    if (batch)
      search_taken(grep, batch, finder, false);
    else if (grep->next_new == grep->plan.batch_count)
      break;
    else
      pthread_cond_wait(&grep->changed, &grep->lock);
  }
  pthread_mutex_unlock(&grep->lock);
  gg__finder_destroy(finder);
  return NULL;
}

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* All matches of which it is known that they are next. False: no more of the search is wanted. */
static bool tell_matches(struct grep *grep, struct gg__pass *pass, struct gg__item *item)
{
  uint64_t most = grep->options.matches_max;
  struct gg_grep_match match;
  while (!atomic_load(&grep->search.stopped) && !(most && grep->told[0] + grep->told[1] >= most) &&
         gg__item_next(pass, item, &match)) {
    grep->told[match.side == GG_SIDE_CLIENT ? 0 : 1]++;
    if (!grep->options.match(grep->options.context, &match)) {
      atomic_store(&grep->search.stopped, true);
      return false;
    }
  }
  return !atomic_load(&grep->search.stopped);
}

struct telling {
  struct grep *grep;
  struct gg__pass *pass;
};

static bool tell_at_once(void *context, struct gg__item *item)
{
  struct telling *telling = context;
  return tell_matches(telling->grep, telling->pass, item);
}

static bool tick_telling(void *context)
{
  struct telling *telling = context;
  return tick(telling->grep);
}

/* Without anybody to be told of matches, there are only counts. */
static void count_matches(struct grep *grep, const struct gg__item *item)
{
  uint64_t most = grep->options.matches_max ? grep->options.matches_max : UINT64_MAX;
  for (int side = 0; side < 2; side++) {
    grep->told[side] = item->matches[side] < most ? item->matches[side] : most;
    most -= grep->told[side];
  }
}

/* The session is over. */
static int tell_session(struct grep *grep, struct gg__item *item)
{
  struct gg_grep_result *result = grep->result;
  uint64_t matches = grep->told[0] + grep->told[1];
  struct gg_grep_session told = {
    .session = item->session, .matches = {grep->told[0], grep->told[1]}, .problem = item->problem};
  result->sessions++;
  result->sessions_found += matches > 0;
  result->matches += matches;
  result->bytes += item->bytes;
  result->failed += item->problem != NULL;
  for (int side = 0; side < 2; side++) {
    result->gave_up += item->window[side].gave_up;
    result->cut += item->window[side].cut;
    grep->told[side] = 0;
  }
  bool more = !grep->options.session || grep->options.session(grep->options.context, &told);
  gg__item_fini(item);
  return more && tick(grep) ? 0 : GG_ERR_CLOSED;
}

/* Searches the batch's session `member` by itself, and tells its matches meanwhile. */
static int tell_alone(struct grep *grep, struct batch *batch, size_t member)
{
  struct telling telling = {grep, &batch->pass};
  int error = prepare(grep, batch, member);
  if (error)
    return error;
  batch->pass.count = batch->pass.limit = 1;
  batch->pass.finder = grep->finder;
  batch->pass.tick = tick_telling;
  batch->pass.tell = grep->options.match ? tell_at_once : NULL;
  batch->pass.context = &telling;
  error = gg__pass_run(&batch->pass, NULL);
  batch->limit = member + 1;
  return error;
}

/* ── In order ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void wait_for_change(struct grep *grep)
{
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  uint64_t ns = (uint64_t)until.tv_nsec + TICK_NS;
  until.tv_sec += (time_t)(ns / GG_NS_PER_S);
  until.tv_nsec = (long)(ns % GG_NS_PER_S);
  pthread_cond_timedwait(&grep->changed, &grep->lock, &until);
  pthread_mutex_unlock(&grep->lock);
  tick(grep);
  pthread_mutex_lock(&grep->lock);
}

/* The batch is the caller's when this returns: somebody has searched it, or nobody has begun. While a thread is at it,
 * another one is searched here. */
static void claim(struct grep *grep, struct batch *batch)
{
  pthread_mutex_lock(&grep->lock);
  while (batch->state == BATCH_TAKEN) {
    struct batch *other = atomic_load(&grep->search.stopped) ? NULL : take_new(grep);
    if (other)
      search_taken(grep, other, grep->finder, true);
    else
      wait_for_change(grep);
  }
  if (batch->state == BATCH_NEW) {
    batch->state = BATCH_DONE;
    grep->ahead++;
  }
  pthread_mutex_unlock(&grep->lock);
}

static void release(struct grep *grep, struct batch *batch)
{
  free_items(grep, batch);
  pthread_mutex_lock(&grep->lock);
  grep->ahead--;
  pthread_cond_broadcast(&grep->changed);
  pthread_mutex_unlock(&grep->lock);
}

/* The next session of the batch: it is searched, unless it was, and told. */
static int tell_next(struct grep *grep, struct batch *batch, size_t count)
{
  size_t member = batch->next;
  if (member == 0)
    claim(grep, batch);
  int error = batch->error;
  bool alone = member >= batch->limit && count == 1;
  if (!error && member >= batch->limit && !alone) {
    search_batch(grep, batch, member, grep->finder, true);
    error = batch->error;
    alone = member >= batch->limit;
  }
  if (!error && alone)
    error = tell_alone(grep, batch, member);
  if (error)
    return error;
  struct gg__item *item = &batch->items[member - batch->first];
  if (!grep->options.match)
    count_matches(grep, item);
  else if (!tell_matches(grep, &batch->pass, item))
    return GG_ERR_CLOSED;
  error = tell_session(grep, item);
  batch->next++;
  if (batch->next == count)
    release(grep, batch);
  return error;
}

static int tell_all(struct grep *grep)
{
  const struct gg__plan *plan = &grep->plan;
  int error = 0;
  for (size_t i = 0; i < grep->list->count && !error; i++) {
    uint32_t number = plan->batch_of[i];
    error = tell_next(grep, &grep->batches[number], plan->begins[number + 1] - plan->begins[number]);
  }
  if (!error && grep->options.progress && !grep->options.progress(grep->options.context, plan->bytes, plan->bytes))
    error = GG_ERR_CLOSED;
  return error;
}

/* ── The search ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static int run(struct grep *grep)
{
  pthread_t threads[THREADS_MAX];
  pthread_condattr_t attributes;
  size_t started = 0;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&grep->changed, &attributes);
  pthread_mutex_init(&grep->lock, NULL);
  /* The caller's thread works as well, and alone where no other can be had. */
  while (started + 1 < grep->threads && started + 1 < grep->plan.batch_count &&
         pthread_create(&threads[started], NULL, search_main, grep) == 0)
    started++;
  int error = tell_all(grep);
  if (error)
    atomic_store(&grep->search.stopped, true);
  pthread_mutex_lock(&grep->lock);
  grep->ending = true;
  pthread_cond_broadcast(&grep->changed);
  pthread_mutex_unlock(&grep->lock);
  for (size_t i = 0; i < started; i++)
    pthread_join(threads[i], NULL);
  for (size_t i = 0; i < grep->plan.batch_count; i++)
    free_items(grep, &grep->batches[i]);
  pthread_mutex_destroy(&grep->lock);
  pthread_cond_destroy(&grep->changed);
  pthread_condattr_destroy(&attributes);
  return error;
}

static int check(const struct gg_grep_options *options, struct gg_failure *failure)
{
  if (options->before > GG_GREP_CONTEXT_MAX || options->after > GG_GREP_CONTEXT_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "context is at most %d bytes on each side", GG_GREP_CONTEXT_MAX);
  if (options->skip[0] && options->skip[1])
    return gg_fail(failure, GG_ERR_INVALID, "nothing is left to search if both sides are skipped");
  return 0;
}

static unsigned threads_of(const struct gg_grep_options *options)
{
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  unsigned threads = options->threads ? options->threads : cores > 0 ? (unsigned)cores : 1;
  return threads < THREADS_MAX ? threads : THREADS_MAX;
}

int gg_store_grep(struct gg_store *store, const struct gg_session_list *list, const struct gg_pattern *pattern,
                  const struct gg_grep_options *given, struct gg_grep_result *result, struct gg_failure *failure)
{
  struct gg_grep_result ignored;
  struct grep grep = {.options = GG_GREP_OPTIONS_INIT, .list = list, .result = result ? result : &ignored};
  *grep.result = (struct gg_grep_result){0};
  int error = gg_sized_take(&grep.options, sizeof grep.options, GG_SIZED_END(struct gg_grep_options, context), given,
                            "gg_grep_options", failure);
  if (!error)
    error = check(&grep.options, failure);
  if (!error)
    error = gg__finder_create(&grep.finder, pattern, failure);
  if (error)
    return error;
  grep.search.store = store;
  grep.search.pattern = pattern;
  grep.search.options = &grep.options;
  grep.search.how =
    (struct gg__windowing){pattern, GG_GREP_STEP, GG_GREP_MATCH_MAX, grep.options.before, grep.options.after};
  grep.threads = threads_of(&grep.options);
  error = gg__plan_make(&grep.plan, list, &grep.search.how, grep.options.skip, grep.threads);
  if (!error) {
    grep.batches = calloc(grep.plan.batch_count + 1, sizeof *grep.batches);
    error = grep.batches ? run(&grep) : GG_ERR_NOMEM;
  }
  free(grep.batches);
  gg__plan_fini(&grep.plan);
  gg__finder_destroy(grep.finder);
  if (error == GG_ERR_CLOSED)
    return gg_fail(failure, error, "the search was stopped");
  return error ? gg_fail(failure, error, "no memory for a search") : 0;
}
