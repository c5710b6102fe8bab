/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/retaining.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "record/log.h"
#include "store/retention.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <time.h>

static const uint64_t never_ns = UINT64_C(315360000) * GG_NS_PER_S; /* ten years */
static const double average_seconds = 30; /* over which the rate is taken that tells when the disk is full */
static const double hasty_seconds = 10;   /* a rate of less time than that warns of the next minute only */

enum {
  SHARE_MAX = 2, /* at most so much of a limit is kept free ahead: half */
  SEALED_MAX = 64,
  SEALED_NAME_BYTES = 128,
};

enum metric { STORE_BYTES, STORE_FREE, STORE_FULL, REMOVED, REMOVED_BYTES, KEPT, PASSED, FAILURES, METRICS };
static const struct gg_metric_def definitions[METRICS] = {
  [STORE_BYTES] = {"store_bytes", GG_METRIC_GAUGE, "Bytes of the store's segments, as they were last looked at."},
  [STORE_FREE] = {"store_free_bytes", GG_METRIC_GAUGE, "Room on the store's file system."},
  [STORE_FULL] = {"store_full_ns", GG_METRIC_GAUGE,
                  "Time until the store's file system is full at the rate of the last half minute; ten years: it does "
                  "not get fuller."},
  [REMOVED] = {"retention_segments", GG_METRIC_COUNTER, "Segments that retention has removed."},
  [REMOVED_BYTES] = {"retention_removed_bytes", GG_METRIC_COUNTER, "Bytes that it has freed."},
  [KEPT] = {"retention_sessions_kept", GG_METRIC_COUNTER, "Held sessions that were copied out of such segments."},
  [PASSED] = {"retention_passed", GG_METRIC_GAUGE,
              "Segments that have to go and cannot: everything in them is held, or they are read."},
  [FAILURES] = {"retention_failures", GG_METRIC_COUNTER, "Times that retention could not do its work."},
};

struct gg_retaining {
  struct gg_metrics *metrics;
  struct gg_logger *logger;
  struct gg_recorder *recorder;
  bool rests; /* another process removes what is too much */
  struct gg_shard *shard;
  size_t first;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t bell;
  bool started;

  /* Under the lock. */
  struct gg__retention_limits *next; /* that are to be gone by; NULL: no others */
  bool ending;
  uint64_t wanted_bytes;                      /* the writer wants room; 0: it does not */
  uint64_t wanted_since_ns;                   /* monotonic */
  char sealed[SEALED_MAX][SEALED_NAME_BYTES]; /* since the last turn; further ones are found out later */
  size_t sealed_count;
  bool willing;  /* there are limits by which room is made for it */
  bool hopeless; /* the last time that it was wanted there was none to be made */
  bool ended;

  /* The thread's. */
  struct gg__retention *retention;
  struct gg__retention_limits limits;
  uint64_t looked_ns; /* monotonic; 0: never */
  uint64_t bytes, free_bytes;
  double grows, fills; /* bytes a second: of segments, lately; of the file system, on average */
  double watched;      /* seconds since the first look */
  uint64_t sealed_ns;  /* when it last asked for that */
  unsigned warned;     /* how urgently */
  int failing;
  bool told_passed;
  struct gg_prune_result removed; /* and not told */
  uint64_t told_ns;
  char last[SEALED_NAME_BYTES];
  enum gg_prune_why why;
};

/* ── The writer's side ───────────────────────────────────────────────────────────────────────────────────────────── */

int gg__retaining_make_room(struct gg_retaining *retaining, uint64_t bytes)
{
  uint64_t now_ns = gg_clock_mono_ns();
  pthread_mutex_lock(&retaining->lock);
  bool able = retaining->willing && retaining->started && !retaining->ended;
  if (able && retaining->wanted_bytes == 0)
    retaining->wanted_since_ns = now_ns;
  if (able && retaining->wanted_bytes < bytes)
    retaining->wanted_bytes = bytes;
  bool late = able && now_ns - retaining->wanted_since_ns > GG_RETAINING_ROOM_NS;
  int error = !able || retaining->hopeless || late ? GG_ERR_NO_SPACE : 0;
  if (able)
    pthread_cond_signal(&retaining->bell);
  pthread_mutex_unlock(&retaining->lock);
  return error;
}

/* Something can go that could not before, and another segment grows: a burst is not to go on for a second unseen. */
void gg__retaining_sealed(struct gg_retaining *retaining, const char *name)
{
  pthread_mutex_lock(&retaining->lock);
  if (retaining->sealed_count < SEALED_MAX)
    snprintf(retaining->sealed[retaining->sealed_count++], SEALED_NAME_BYTES, "%s", name);
  if (retaining->willing)
    pthread_cond_signal(&retaining->bell);
  pthread_mutex_unlock(&retaining->lock);
}

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void add(struct gg_retaining *retaining, enum metric metric, uint64_t n)
{
  gg_shard_add(retaining->shard, retaining->first + (size_t)metric, n);
}

static void set(struct gg_retaining *retaining, enum metric metric, uint64_t n)
{
  gg_shard_set(retaining->shard, retaining->first + (size_t)metric, n);
}

/* Hundreds may go in a second: they are told together. */
static void tell_segment(void *context, const struct gg_pruned *pruned)
{
  struct gg_retaining *retaining = context;
  bool gone = pruned->fate == GG_PRUNE_GONE || pruned->fate == GG_PRUNE_KEPT;
  if (gone) {
    gg_debug(retaining->logger, "segment removed", GG_S("segment", pruned->segment),
             GG_S("why", gg_prune_why_text(pruned->why)), GG_U("bytes", pruned->bytes),
             GG_U("kept_sessions", pruned->kept_sessions));
    snprintf(retaining->last, sizeof retaining->last, "%s", pruned->segment);
    retaining->why = pruned->why;
  } else if (pruned->fate != GG_PRUNE_HELD && !retaining->told_passed) {
    gg_warn(retaining->logger, "segment not removed", GG_S("segment", pruned->segment),
            GG_S("why", gg_prune_why_text(pruned->why)), GG_S("reason", pruned->text),
            GG_S("effect", "it is passed over, and tried again"));
  }
}

static void tell_removed(struct gg_retaining *retaining)
{
  uint64_t now_ns = gg_clock_mono_ns();
  if (retaining->removed.segments == 0 || now_ns - retaining->told_ns < GG_NS_PER_S)
    return;
  gg_info(retaining->logger, "segments removed", GG_U("segments", retaining->removed.segments),
          GG_U("bytes", retaining->removed.bytes), GG_S("up_to", retaining->last),
          GG_S("why", gg_prune_why_text(retaining->why)), GG_U("kept_sessions", retaining->removed.kept_sessions),
          GG_U("bytes_left", retaining->bytes), GG_U("free_bytes", retaining->free_bytes));
  retaining->removed = (struct gg_prune_result){0};
  retaining->told_ns = now_ns;
}

static bool may_go_on(void *context, uint64_t done, uint64_t total)
{
  struct gg_retaining *retaining = context;
  (void)done;
  (void)total;
  pthread_mutex_lock(&retaining->lock);
  bool ending = retaining->ending;
  pthread_mutex_unlock(&retaining->lock);
  return !ending;
}

/* By what has come since the look, at the rate of late. */
static bool is_beyond(const struct gg_retaining *retaining)
{
  const struct gg__retention_limits *limits = &retaining->limits;
  double seconds = (double)(gg_clock_mono_ns() - retaining->looked_ns) / 1e9, grown = retaining->grows * seconds;
  return (limits->max_bytes > 0 && (double)retaining->bytes + grown > (double)limits->max_bytes) ||
         (limits->min_free > 0 && (double)retaining->free_bytes < (double)limits->min_free + grown);
}

/* To read a large segment takes seconds: neither a writer on a full disk waits for what rules would like to know, nor
 * do the store's own limits. */
static bool is_idle(void *context)
{
  struct gg_retaining *retaining = context;
  if (is_beyond(retaining))
    return false;
  pthread_mutex_lock(&retaining->lock);
  bool idle = !retaining->ending && retaining->wanted_bytes == 0;
  pthread_mutex_unlock(&retaining->lock);
  return idle;
}

static void tell_result(struct gg_retaining *retaining, const struct gg_prune_result *result)
{
  add(retaining, REMOVED, result->segments);
  add(retaining, REMOVED_BYTES, result->bytes);
  add(retaining, KEPT, result->kept_sessions);
  set(retaining, PASSED, result->passed);
  if (result->mended)
    gg_info(retaining->logger, "finished what an interrupted retention had left", GG_U("files", result->mended));
  retaining->removed.segments += result->segments;
  retaining->removed.bytes += result->bytes;
  retaining->removed.kept_sessions += result->kept_sessions;
  bool beyond = (retaining->limits.max_bytes && result->bytes_left > retaining->limits.max_bytes) ||
                result->free_bytes < retaining->limits.min_free;
  if (beyond && result->passed && !retaining->told_passed)
    gg_warn(retaining->logger, "the store is beyond its limits", GG_U("bytes", result->bytes_left),
            GG_U("free_bytes", result->free_bytes), GG_U("segments", result->passed),
            GG_S("effect", "what is held or read stays; release holds (gogetway hold --release), or raise the limits"));
  retaining->told_passed = beyond && result->passed;
}

/* How urgent a full disk is. */
static unsigned urgency(uint64_t full_ns)
{
  const uint64_t minute_ns = 60 * GG_NS_PER_S;
  return full_ns < minute_ns ? 3 : full_ns < 10 * minute_ns ? 2 : full_ns < 60 * minute_ns ? 1 : 0;
}

static void tell_full(struct gg_retaining *retaining)
{
  double seconds = retaining->fills >= 1 ? (double)retaining->free_bytes / retaining->fills : 1e9;
  uint64_t full_ns = seconds < 3e8 ? (uint64_t)(seconds * 1e9) : never_ns;
  set(retaining, STORE_BYTES, retaining->bytes);
  set(retaining, STORE_FREE, retaining->free_bytes);
  set(retaining, STORE_FULL, full_ns);
  unsigned urgent = urgency(full_ns);
  if (retaining->watched < hasty_seconds && urgent < 3)
    urgent = 0;
  bool worked = retaining->limits.min_free > 0 && retaining->free_bytes > retaining->limits.min_free;
  if (urgent > retaining->warned && !worked)
    gg_warn(retaining->logger, "the disk will be full", GG_D("seconds", seconds),
            GG_U("free_bytes", retaining->free_bytes), GG_D("bytes_per_second", retaining->fills),
            GG_S("effect", retaining->limits.min_free ? "retention removes what it may"
                                                      : "then on_full decides; retention.min_free would make room"));
  if (urgent > retaining->warned || full_ns > 2 * 3600 * GG_NS_PER_S)
    retaining->warned = urgent;
}

static void tell_failure(struct gg_retaining *retaining, int error, const struct gg_failure *failure)
{
  bool stopped = error == GG_ERR_CLOSED || error == GG_ERR_BUSY;
  if (error && !stopped) {
    add(retaining, FAILURES, 1);
    if (retaining->failing != error)
      gg_error_log(retaining->logger, "retention failed", GG_S("error", failure->message),
                   GG_S("effect", "it is tried again"));
  } else if (!error && retaining->failing) {
    gg_info(retaining->logger, "retention works again");
  }
  if (!stopped)
    retaining->failing = error;
}

/* ── Rates ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What has come since the last look, before anything is removed. */
static void take_rates(struct gg_retaining *retaining, uint64_t bytes, uint64_t free_bytes)
{
  uint64_t now_ns = gg_clock_mono_ns();
  double seconds = retaining->looked_ns ? (double)(now_ns - retaining->looked_ns) / 1e9 : 0;
  if (seconds > 0) {
    double grown = bytes > retaining->bytes ? (double)(bytes - retaining->bytes) / seconds : 0;
    /* At once up, slowly down: what comes in a second is kept free. */
    retaining->grows = grown > retaining->grows ? grown : retaining->grows + (grown - retaining->grows) / 8;
    double filled = ((double)retaining->free_bytes - (double)free_bytes) / seconds;
    retaining->watched += seconds;
    double over = retaining->watched < average_seconds ? retaining->watched : average_seconds;
    retaining->fills += (filled - retaining->fills) * (seconds < over ? seconds / over : 1);
  }
  retaining->looked_ns = now_ns;
  retaining->bytes = bytes;
  retaining->free_bytes = free_bytes;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* The limits that are gone by: so far ahead as the present rate goes in a second. */
static struct gg__retention_limits ahead(const struct gg_retaining *retaining, uint64_t wanted_bytes)
{
  struct gg__retention_limits limits = retaining->limits;
  uint64_t second = retaining->grows < 1e18 ? (uint64_t)retaining->grows : 0;
  if (limits.max_bytes)
    limits.max_bytes -= least_of(second, limits.max_bytes / SHARE_MAX);
  if (limits.min_free)
    limits.min_free += least_of(second, limits.min_free) + 2 * wanted_bytes;
  return limits;
}

/* When the next turn is due: at a fourth of the way to the nearest limit. */
static uint64_t turn_ns(const struct gg_retaining *retaining)
{
  const struct gg__retention_limits limits = ahead(retaining, 0);
  double way = 1e18;
  if (!limits.max_bytes && !limits.min_free)
    return GG_RETAINING_TURN_MAX_NS;
  if (limits.max_bytes)
    way = limits.max_bytes > retaining->bytes ? (double)(limits.max_bytes - retaining->bytes) : 0;
  if (limits.min_free) {
    double room = retaining->free_bytes > limits.min_free ? (double)(retaining->free_bytes - limits.min_free) : 0;
    way = room < way ? room : way;
  }
  double ns = retaining->grows >= 1 ? way / retaining->grows / 4 * 1e9 : 1e18;
  if (ns >= (double)GG_RETAINING_TURN_MAX_NS)
    return GG_RETAINING_TURN_MAX_NS;
  return ns <= (double)GG_RETAINING_TURN_MIN_NS ? GG_RETAINING_TURN_MIN_NS : (uint64_t)ns;
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Nothing that is sealed is left: what is open will be. */
static void seal_if_needed(struct gg_retaining *retaining, const struct gg_prune_result *result)
{
  uint64_t now_ns = gg_clock_mono_ns();
  if (result->met || result->passed || result->segments || !result->open || result->open < result->segments_left ||
      now_ns - retaining->sealed_ns < GG_RETAINING_SEAL_NS)
    return;
  retaining->sealed_ns = now_ns;
  gg_recorder_rotate(retaining->recorder);
}

static bool has_limits(const struct gg__retention_limits *limits)
{
  return limits->max_bytes || limits->max_age_ns || limits->min_free || limits->rule_count;
}

static int prune(struct gg_retaining *retaining, uint64_t wanted_bytes, struct gg_failure *failure)
{
  struct gg_prune_result result = {0};
  const struct gg__retention_limits limits = ahead(retaining, wanted_bytes);
  int error = gg__retention_step(retaining->retention, &limits, false, &result, failure);
  if (error == GG_ERR_BUSY)
    return error;
  tell_result(retaining, &result);
  if (!error) {
    retaining->bytes = result.bytes_left;
    retaining->free_bytes = result.free_bytes;
    seal_if_needed(retaining, &result);
  }
  pthread_mutex_lock(&retaining->lock);
  if (wanted_bytes)
    retaining->hopeless = error || (result.segments == 0 && result.free_bytes < wanted_bytes);
  else if (result.segments)
    retaining->hopeless = false;
  pthread_mutex_unlock(&retaining->lock);
  return error;
}

/* In the middle of a look: they are in the table, and not judged yet. */
static void take_sealed(struct gg_retaining *retaining)
{
  char names[SEALED_MAX][SEALED_NAME_BYTES];
  pthread_mutex_lock(&retaining->lock);
  size_t count = retaining->sealed_count;
  memcpy(names, retaining->sealed, count * sizeof names[0]);
  retaining->sealed_count = 0;
  pthread_mutex_unlock(&retaining->lock);
  for (size_t i = 0; i < count; i++)
    gg__retention_sealed(retaining->retention, names[i]);
}

static void turn(struct gg_retaining *retaining, uint64_t wanted_bytes)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  uint64_t bytes, open, free_bytes;
  int error = gg__retention_look(retaining->retention, &bytes, &open, &free_bytes, &failure);
  if (!error) {
    take_sealed(retaining);
    take_rates(retaining, bytes, free_bytes);
  }
  if (!error && has_limits(&retaining->limits))
    error = prune(retaining, wanted_bytes, &failure);
  tell_failure(retaining, error, &failure);
  tell_removed(retaining);
  tell_full(retaining);
}

static void take_limits(struct gg_retaining *retaining, struct gg__retention_limits *next)
{
  gg__retention_rules_free(&retaining->limits);
  retaining->limits = *next;
  free(next);
  gg__retention_renewed(retaining->retention);
}

/* Waits until that time of the monotonic clock, or until somebody rings. False: it is time to end. */
static bool wait_until(struct gg_retaining *retaining, uint64_t until_ns, uint64_t *wanted_bytes)
{
  uint64_t soon_ns = least_of(until_ns, retaining->looked_ns + GG_RETAINING_TURN_MIN_NS);
  pthread_mutex_lock(&retaining->lock);
  while (!retaining->ending && !retaining->next && !retaining->wanted_bytes) {
    uint64_t due_ns = retaining->sealed_count > 0 && retaining->willing ? soon_ns : until_ns;
    const struct timespec due = {.tv_sec = (time_t)(due_ns / GG_NS_PER_S), .tv_nsec = (long)(due_ns % GG_NS_PER_S)};
    if (gg_clock_mono_ns() >= due_ns)
      break;
    pthread_cond_timedwait(&retaining->bell, &retaining->lock, &due);
  }
  struct gg__retention_limits *next = retaining->next;
  retaining->next = NULL;
  *wanted_bytes = retaining->wanted_bytes;
  retaining->wanted_bytes = 0;
  bool ending = retaining->ending;
  pthread_mutex_unlock(&retaining->lock);
  if (next)
    take_limits(retaining, next);
  return !ending;
}

static void *retain_always(void *context)
{
  struct gg_retaining *retaining = context;
  uint64_t wanted_bytes = 0, due_ns;
  prctl(PR_SET_NAME, "gg-retention");
  do {
    turn(retaining, wanted_bytes);
    due_ns = gg_clock_mono_ns() + turn_ns(retaining);
  } while (wait_until(retaining, due_ns, &wanted_bytes));
  pthread_mutex_lock(&retaining->lock);
  retaining->ended = true;
  pthread_mutex_unlock(&retaining->lock);
  return NULL;
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__retaining_create(struct gg_retaining **out, struct gg_metrics *metrics, struct gg_logger *logger,
                         struct gg_failure *failure)
{
  struct gg_retaining *retaining = calloc(1, sizeof *retaining);
  *out = retaining;
  if (!retaining)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for retention");
  retaining->metrics = metrics;
  retaining->logger = logger;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&retaining->bell, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&retaining->lock, NULL);
  int error = gg_metrics_register(metrics, definitions, METRICS, &retaining->first);
  return error ? gg_fail(failure, error, "cannot register the metrics of retention: %s", gg_error_text(error)) : 0;
}

static int make_limits(struct gg__retention_limits **out, const struct gg_config *config, struct gg_failure *failure)
{
  struct gg__retention_limits *limits = calloc(1, sizeof *limits);
  *out = limits;
  if (!limits)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for retention");
  limits->max_bytes = config->retention.max_bytes;
  limits->max_age_ns = config->retention.max_age_ns;
  limits->min_free = config->retention.min_free;
  int error = gg__retention_rules_parse(limits, (const char *const *)config->retention.rules.items,
                                        config->retention.rules.count, 0, failure);
  if (error) {
    free(limits);
    *out = NULL;
  }
  return error;
}

static void hand_limits(struct gg_retaining *retaining, struct gg__retention_limits *limits)
{
  pthread_mutex_lock(&retaining->lock);
  struct gg__retention_limits *unread = retaining->next;
  retaining->next = limits;
  retaining->willing = limits->min_free > 0 || limits->max_bytes > 0;
  pthread_cond_signal(&retaining->bell);
  pthread_mutex_unlock(&retaining->lock);
  if (unread)
    gg__retention_rules_free(unread);
  free(unread);
}

/* Limits that can be kept, and will not do what was meant. */
static void warn_of_limits(const struct gg_retaining *retaining, const struct gg_config *config)
{
  const uint64_t most = config->retention.max_bytes, wanted = config->retention.min_free;
  struct statvfs status;
  uint64_t room = statvfs(config->dir, &status) == 0 ? (uint64_t)status.f_blocks * status.f_frsize : UINT64_MAX;
  if (wanted >= room)
    gg_warn(retaining->logger, "retention.min_free is more than the file system has", GG_U("bytes", room),
            GG_S("effect", "every segment is removed as soon as it is sealed"));
  if (most >= room && wanted == 0)
    gg_warn(retaining->logger, "retention.max_bytes is more than the file system has", GG_U("bytes", room),
            GG_S("effect", "the disk is full before, and then on_full decides; retention.min_free makes room"));
  if (most > 0 && most < 2 * config->segment.max_bytes)
    gg_warn(retaining->logger, "retention.max_bytes is less than two segments of segment.max_bytes",
            GG_S("effect", "segments are ended before they are full, and little is left when one goes"));
}

int gg__retaining_start(struct gg_retaining *retaining, const struct gg_config *config, struct gg_recorder *recorder,
                        struct gg_failure *failure)
{
  const struct gg__retention_ops ops = {.segment = tell_segment,
                                        .progress = may_go_on,
                                        .idle = is_idle,
                                        .read_ns = GG_RETAINING_READ_NS,
                                        .context = retaining};
  int error = gg__retention_open(&retaining->retention, config->dir, &ops, failure);
  if (!error && gg_metrics_shard(retaining->metrics, &retaining->shard) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "out of memory for the metrics of retention");
  if (!error)
    error = gg__retaining_follow(retaining, config, failure);
  if (error)
    return error;
  warn_of_limits(retaining, config);
  retaining->recorder = recorder;
  take_limits(retaining, retaining->next);
  retaining->next = NULL;
  int created = pthread_create(&retaining->thread, NULL, retain_always, retaining);
  if (created)
    return gg_fail_errno(failure, created, "cannot start the thread of retention");
  pthread_mutex_lock(&retaining->lock);
  retaining->started = true;
  pthread_mutex_unlock(&retaining->lock);
  return 0;
}

int gg__retaining_follow(struct gg_retaining *retaining, const struct gg_config *config, struct gg_failure *failure)
{
  struct gg__retention_limits *limits;
  if (retaining->rests)
    return 0;
  int error = make_limits(&limits, config, failure);
  if (!error)
    hand_limits(retaining, limits);
  return error;
}

void gg__retaining_rest(struct gg_retaining *retaining)
{
  struct gg__retention_limits *none = calloc(1, sizeof *none);
  retaining->rests = true;
  if (none)
    hand_limits(retaining, none);
}

bool gg__retaining_stop(struct gg_retaining *retaining)
{
  if (!retaining || !retaining->started)
    return true;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  pthread_mutex_lock(&retaining->lock);
  if (!retaining->ending) /* who has had that time already hangs */
    until.tv_sec += (time_t)(GG_RETAINING_STOP_NS / GG_NS_PER_S);
  retaining->ending = true;
  pthread_cond_signal(&retaining->bell);
  pthread_mutex_unlock(&retaining->lock);
  if (pthread_timedjoin_np(retaining->thread, NULL, &until) != 0)
    return false;
  pthread_mutex_lock(&retaining->lock);
  retaining->started = false;
  pthread_mutex_unlock(&retaining->lock);
  return true;
}

void gg__retaining_destroy(struct gg_retaining *retaining)
{
  if (!retaining)
    return;
  assert(!retaining->started);
  gg__retention_close(retaining->retention);
  gg__retention_rules_free(&retaining->limits);
  if (retaining->next)
    gg__retention_rules_free(retaining->next);
  free(retaining->next);
  pthread_cond_destroy(&retaining->bell);
  pthread_mutex_destroy(&retaining->lock);
  free(retaining);
}
