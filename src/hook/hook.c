/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook.c - the desk, the life of a hook, and chains.
 *
 *     create (main) ──► refs = 1, the configuration's ──► chains, commands: ref ... unref, on any thread
 *                                                               │ refs = 0
 *     reap (main)   ──► ticks end ──► destroy ──► owned_free ◄──┘
 *
 * Whoever lets go last does nothing but count down. The main thread looks, now and then, for hooks whose count is 0:
 * nobody can take one of those again, since only who has one can give one. (Rejected: a list of the dead, which the
 * last one puts the hook on. A worker would take a lock for it at the end of a session.)
 *
 * Metrics. A plug-in's place is found by its name, so that a reload that changes a plug-in leaves its counts as they
 * are, and the instance that goes and the one that comes count in one place. It becomes another's when no hook counts
 * there and there is no other place left.
 */
#include "hook/hook.h"

#include "base/clock.h"
#include "hook/observe.h"
#include "hook/sink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { STATE_DIR_MODE = 0700 };

static const char *const point_texts[] = {
#define TEXT(NAME, label) label,
  GG_HOOK_LIST(TEXT)
#undef TEXT
};

const char *gg_hook_point_text(enum gg_hook_point point)
{
  return point_texts[point];
}

static const char *const mode_texts[GG_HOOK_MODES] = {
  [GG_MODE_NONE] = "none", [GG_MODE_COUNT] = "count",     [GG_MODE_OBSERVE] = "observe",
  [GG_MODE_GATE] = "gate", [GG_MODE_REWRITE] = "rewrite", [GG_MODE_MASK] = "mask",
};

const char *gg_hook_mode_text(enum gg_mode mode)
{
  return mode_texts[mode];
}

/* ── The desk ────────────────────────────────────────────────────────────────────────────────────────────────────── */

#define CALLS(NAME, text) {"plugin_calls", GG_METRIC_COUNTER, "Calls of a plug-in's operation", "hook", text},
#define TIME(NAME, text) {"plugin_call_ns", GG_METRIC_COUNTER, "Time spent in a plug-in's operation", "hook", text},
#define SLOW(text)                                                                                                     \
  {                                                                                                                    \
    "plugin_slow_calls", GG_METRIC_COUNTER, "Calls by which a worker was held up for more than 10 ms", "hook", text    \
  }

#define MODE(text)                                                                                                     \
  {                                                                                                                    \
    "plugin_directions", GG_METRIC_GAUGE, "Directions of open sessions that are in this mode for a plug-in", "mode",   \
      text                                                                                                             \
  }

static const struct gg_metric_def definitions[] = {
  GG_HOOK_LIST(CALLS) GG_HOOK_LIST(TIME) SLOW("accept"),
  SLOW("open"),
  SLOW("first"),
  SLOW("connect"),
  SLOW("connected"),
  SLOW("failed"),
  SLOW("count"),
  SLOW("gate"),
  SLOW("message"),
  SLOW("rewrite"),
  SLOW("mask"),
  SLOW("close"),
  {"plugin_missed_bytes", GG_METRIC_COUNTER, "Bytes that a plug-in which observes was too late for", NULL, NULL},
  {"plugin_observed", GG_METRIC_GAUGE, "Directions of open sessions that a plug-in observes", NULL, NULL},
  {"plugin_sink_lost_bytes", GG_METRIC_COUNTER, "Bytes of the recording that a best-effort sink did not get.", NULL,
   NULL},
  {"plugin_sink_errors", GG_METRIC_COUNTER, "Blocks of the recording that a sink refused; required: each try.", NULL,
   NULL},
  MODE("none"),
  MODE("count"),
  MODE("observe"),
  MODE("gate"),
  MODE("rewrite"),
  MODE("mask"),
};
static_assert(sizeof definitions / sizeof definitions[0] == GG__HOOK_SLOTS, "a definition for each slot");
static const char *const labels[] = {"plugin"};

int gg_hook_desk_init(struct gg_hook_desk *desk, struct gg_metrics *metrics, struct gg_logger *logger,
                      const struct gg_hook_sessions *sessions, const char *store_dir, struct gg_failure *failure)
{
  const struct gg_metric_family family = {definitions, GG__HOOK_SLOTS, labels, 1, NULL, 0, GG_HOOK_INSTANCES_MAX};
  *desk = (struct gg_hook_desk){.logger = logger, .metrics = metrics, .sessions = sessions};
  int error = gg_metrics_register_family(metrics, &family, &desk->metrics_first, &desk->metrics_stride);
  if (error)
    return gg_fail(failure, error, "cannot register the plug-ins' metrics: %s", gg_error_text(error));
  desk->store_dir = store_dir ? strdup(store_dir) : NULL;
  if (store_dir && !desk->store_dir)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the plug-ins");
  pthread_mutex_init(&desk->lock, NULL);
  pthread_rwlock_init(&desk->plane_lock, NULL);
  return 0;
}

void gg_hook_desk_serve(struct gg_hook_desk *desk, void *plane)
{
  pthread_rwlock_wrlock(&desk->plane_lock);
  desk->plane = plane;
  pthread_rwlock_unlock(&desk->plane_lock);
}

void gg_hook_desk_ending(struct gg_hook_desk *desk)
{
  gg__observe_stop(desk);
  uint64_t until_ns = gg_clock_mono_ns() + GG_OBSERVE_END_NS;
  for (struct gg_hook *hook = desk->hooks; hook; hook = hook->next) {
    gg__observer_ending(hook, until_ns);
    gg__ticks_ending(hook);
  }
}

void gg_hook_desk_stop(struct gg_hook_desk *desk)
{
  gg_hook_desk_ending(desk);
  for (struct gg_hook *hook = desk->hooks; hook; hook = hook->next)
    gg__hook_stop(hook);
}

void gg_hook_desk_fini(struct gg_hook_desk *desk)
{
  assert(!desk->hooks);
  gg__observe_free(desk);
  pthread_rwlock_destroy(&desk->plane_lock);
  pthread_mutex_destroy(&desk->lock);
  free(desk->store_dir);
}

/* Under the lock. NULL: there is none to be had. */
static struct gg_shard *shard_of(struct gg_hook_desk *desk)
{
  if (!desk->shard && !desk->no_shard)
    desk->no_shard = gg_metrics_shard(desk->metrics, &desk->shard) != 0;
  return desk->shard;
}

void gg__hook_count_other(struct gg_hook *hook, enum gg_hook_point point, uint64_t took_ns)
{
  struct gg_hook_desk *desk = hook->desk;
  pthread_mutex_lock(&desk->lock);
  struct gg_shard *shard = shard_of(desk);
  if (shard) {
    gg_shard_add(shard, hook->slot + GG__HOOK_CALLS_AT + point, 1);
    gg_shard_add(shard, hook->slot + GG__HOOK_TIMES_AT + point, took_ns);
  }
  pthread_mutex_unlock(&desk->lock);
}

void gg__hook_count_missed(struct gg_hook *hook, uint64_t bytes)
{
  gg__hook_count_extra(hook, GG__HOOK_MISSED_AT, bytes);
}

void gg__hook_count_extra(struct gg_hook *hook, unsigned slot, uint64_t n)
{
  struct gg_hook_desk *desk = hook->desk;
  pthread_mutex_lock(&desk->lock);
  struct gg_shard *shard = shard_of(desk);
  if (shard)
    gg_shard_add(shard, hook->slot + slot, n);
  pthread_mutex_unlock(&desk->lock);
}

/* ── Places of metrics ───────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_hook_member *member_named(struct gg_hook_desk *desk, const char *name)
{
  for (size_t i = 0; i < desk->member_count; i++)
    if (strcmp(desk->members[i].name, name) == 0)
      return &desk->members[i];
  return NULL;
}

/* The one that nobody has counted in for the longest time; NULL: all are in use. */
static struct gg_hook_member *member_unused(struct gg_hook_desk *desk)
{
  struct gg_hook_member *oldest = NULL;
  for (size_t i = 0; i < desk->member_count; i++)
    if (desk->members[i].users == 0 && (!oldest || desk->members[i].left < oldest->left))
      oldest = &desk->members[i];
  return oldest;
}

static int member_make(struct gg_hook_desk *desk, const char *name, struct gg_hook_member **out)
{
  size_t index;
  int error;
  if (desk->member_count < GG_HOOK_INSTANCES_MAX) {
    error = gg_metrics_member_add(desk->metrics, desk->metrics_first, &name, &index);
    if (!error) {
      assert(index == desk->member_count);
      *out = &desk->members[desk->member_count++];
    }
  } else {
    *out = member_unused(desk);
    index = *out ? (size_t)(*out - desk->members) : 0;
    error = *out ? gg_metrics_member_replace(desk->metrics, desk->metrics_first, index, &name) : GG_ERR_LIMIT;
  }
  if (!error)
    memcpy((*out)->name, name, strlen(name) + 1);
  return error;
}

static int member_take(struct gg_hook *hook, struct gg_failure *failure)
{
  struct gg_hook_desk *desk = hook->desk;
  struct gg_hook_member *member = member_named(desk, hook->name);
  int error = member ? 0 : member_make(desk, hook->name, &member);
  if (error)
    return gg_fail(failure, error, "cannot count for plug-in %s: %s", hook->name, gg_error_text(error));
  member->users++;
  hook->member = (size_t)(member - desk->members);
  hook->slot = desk->metrics_first + hook->member * desk->metrics_stride;
  return 0;
}

static void member_leave(const struct gg_hook *hook)
{
  struct gg_hook_member *member = &hook->desk->members[hook->member];
  assert(member->users > 0);
  if (--member->users == 0)
    member->left = ++hook->desk->members_left;
}

static size_t family_index(const struct gg_hook_desk *desk)
{
  const struct gg_metric_family *family;
  for (size_t i = 0; (family = gg_metrics_family(desk->metrics, i)); i++)
    if (family->table == definitions)
      return i;
  assert(false); /* the desk has registered it */
  return 0;
}

static uint64_t read_slot(const struct gg_hook *hook, size_t slot)
{
  struct gg_reading reading;
  int error = gg_metrics_read_member(hook->desk->metrics, family_index(hook->desk), hook->member, slot, &reading);
  return error ? 0 : reading.value;
}

void gg_hook_read(const struct gg_hook *hook, enum gg_hook_point point, struct gg_hook_reading *out)
{
  *out = (struct gg_hook_reading){
    .calls = read_slot(hook, GG__HOOK_CALLS_AT + point),
    .ns = read_slot(hook, GG__HOOK_TIMES_AT + point),
    .slow = (int)point < GG__HOOK_WORKER_POINTS ? read_slot(hook, GG__HOOK_SLOW_AT + point) : 0,
  };
}

uint64_t gg_hook_missed(const struct gg_hook *hook)
{
  return read_slot(hook, GG__HOOK_MISSED_AT);
}

uint64_t gg_hook_sink_lost(const struct gg_hook *hook)
{
  return read_slot(hook, GG__HOOK_SINK_LOST_AT);
}

uint64_t gg_hook_sink_errors(const struct gg_hook *hook)
{
  return read_slot(hook, GG__HOOK_SINK_ERRORS_AT);
}

void gg_hook_mode_count(const struct gg_hook *hook, struct gg_shard *shard, enum gg_mode mode, bool more)
{
  size_t slot = hook->slot + GG__HOOK_MODES_AT + mode;
  if (more)
    gg_shard_add(shard, slot, 1);
  else
    gg_shard_sub(shard, slot, 1);
}

uint64_t gg_hook_mode_read(const struct gg_hook *hook, enum gg_mode mode)
{
  return read_slot(hook, GG__HOOK_MODES_AT + mode);
}

/* ── A hook's life ───────────────────────────────────────────────────────────────────────────────────────────────── */

static int make_directory(const char *path, struct gg_failure *failure)
{
  struct stat status;
  if (mkdir(path, STATE_DIR_MODE) == 0)
    return 0;
  int error = errno;
  if (error == EEXIST)
    error = stat(path, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
  return error ? gg_fail_errno(failure, error, "cannot make the directory %s", path) : 0;
}

/* "a/b"; malloc'ed. */
static char *join(const char *a, const char *b)
{
  size_t size = strlen(a) + 1 + strlen(b) + 1;
  char *path = malloc(size);
  if (path)
    snprintf(path, size, "%s/%s", a, b);
  return path;
}

static int make_state_dir(struct gg_hook *hook, struct gg_failure *failure)
{
  char *all = join(hook->desk->store_dir, "plugins");
  int error = all ? make_directory(all, failure) : GG_ERR_NOMEM;
  if (!error) {
    hook->state_dir = join(all, hook->name);
    error = hook->state_dir ? make_directory(hook->state_dir, failure) : GG_ERR_NOMEM;
  }
  free(all);
  return error == GG_ERR_NOMEM ? gg_fail(failure, error, "out of memory for plug-in %s", hook->name) : error;
}

static int call_create(struct gg_hook *hook, const struct gg_plugin_config *config, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  hook->self = &hook->host;
  if (!hook->plugin.create)
    return 0;
  int error = hook->plugin.create(&hook->self, &hook->host, config, &why);
  if (!error)
    return 0;
  why.message[sizeof why.message - 1] = '\0';
  error = error < 0 ? error : GG_ERR_INVALID;
  return gg_fail(failure, error, "plug-in %s: %s", hook->name, why.message[0] ? why.message : gg_error_text(error));
}

static void list_add(struct gg_hook *hook)
{
  struct gg_hook_desk *desk = hook->desk;
  struct gg_hook **end = &desk->hooks;
  pthread_mutex_lock(&desk->lock);
  while (*end)
    end = &(*end)->next;
  *end = hook;
  pthread_mutex_unlock(&desk->lock);
}

static void list_take(struct gg_hook *hook)
{
  struct gg_hook_desk *desk = hook->desk;
  struct gg_hook **at = &desk->hooks;
  pthread_mutex_lock(&desk->lock);
  while (*at != hook)
    at = &(*at)->next;
  *at = hook->next;
  pthread_mutex_unlock(&desk->lock);
}

int gg_hook_create(struct gg_hook **out, struct gg_hook_desk *desk, const struct gg_plugin *table,
                   const struct gg_plugin_config *config, void *owned, void (*owned_free)(void *),
                   struct gg_failure *failure)
{
  struct gg_hook *hook = calloc(1, sizeof *hook);
  *out = NULL;
  if (!hook)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for plug-in %s", table->name);
  assert(strlen(table->name) < sizeof hook->name);
  memcpy(hook->name, table->name, strlen(table->name) + 1);
  hook->desk = desk;
  hook->plugin = *table;
  atomic_init(&hook->refs, 1);
  int error = member_take(hook, failure);
  if (error) {
    free(hook);
    return error;
  }
  error = desk->store_dir ? make_state_dir(hook, failure) : 0;
  if (!error) {
    gg__host_fill(hook);
    error = call_create(hook, config, failure);
  }
  if (error) {
    member_leave(hook);
    free(hook->state_dir);
    free(hook);
    return error;
  }
  hook->owned = owned;
  hook->owned_free = owned_free;
  list_add(hook);
  *out = hook;
  return 0;
}

static void destroy(struct gg_hook *hook)
{
  gg__hook_stop(hook);
  gg__hook_sink_stop(hook);
  if (hook->plugin.destroy)
    hook->plugin.destroy(hook->self);
  member_leave(hook);
  gg_info(hook->desk->logger, "plug-in unloaded", GG_S("plugin", hook->name));
  if (hook->owned_free)
    hook->owned_free(hook->owned);
  free(hook->state_dir);
  free(hook);
}

struct gg_hook *gg_hook_ref(struct gg_hook *hook)
{
  unsigned before = atomic_fetch_add_explicit(&hook->refs, 1, memory_order_relaxed);
  assert(before > 0);
  (void)before;
  return hook;
}

void gg_hook_unref(struct gg_hook *hook)
{
  if (!hook)
    return;
  unsigned before = atomic_fetch_sub_explicit(&hook->refs, 1, memory_order_release);
  assert(before > 0); /* and from here on the hook may be gone */
  (void)before;
}

void gg_hook_reap(struct gg_hook_desk *desk)
{
  for (struct gg_hook *hook = desk->hooks, *next; hook; hook = next) {
    next = hook->next;
    if (atomic_load_explicit(&hook->refs, memory_order_acquire) != 0)
      continue;
    bool over = gg__hook_ending(hook);
    if (!gg__hook_sink_ending(hook) || !over)
      continue;
    list_take(hook);
    destroy(hook);
  }
}

bool gg_hook_has(const struct gg_hook *hook, enum gg_hook_point point)
{
  const struct gg_plugin *plugin = &hook->plugin;
  switch (point) {
  case GG_HOOK_ACCEPT:
    return plugin->accept;
  case GG_HOOK_OPEN:
    return plugin->open;
  case GG_HOOK_FIRST:
    return plugin->first;
  case GG_HOOK_CONNECT:
    return plugin->connect;
  case GG_HOOK_CONNECTED:
    return plugin->connected;
  case GG_HOOK_FAILED:
    return plugin->failed;
  case GG_HOOK_COUNT:
    return plugin->count;
  case GG_HOOK_GATE:
    return plugin->gate;
  case GG_HOOK_MESSAGE:
    return plugin->message;
  case GG_HOOK_REWRITE:
    return plugin->rewrite;
  case GG_HOOK_MASK:
    return plugin->mask;
  case GG_HOOK_CLOSE:
    return plugin->close;
  case GG_HOOK_TICK:
    return plugin->tick;
  case GG_HOOK_COMMAND:
    return plugin->command;
  case GG_HOOK_OBSERVE:
    return plugin->observe;
  case GG_HOOK_SINK:
    return plugin->sink;
  case GG_HOOK_SEALED:
    return plugin->sealed;
  case GG_HOOK_REPLAY_SEND:
    return plugin->replay_send;
  case GG_HOOK_POINTS:
    break;
  }
  return false;
}

/* ── Chains ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void chain_add(struct gg_hook_chain *chain, struct gg_hook *hook)
{
  for (unsigned i = 0; i < GG_HOOK_POINTS; i++)
    chain->has[i] |= gg_hook_has(hook, i);
  chain->hooks[chain->count++] = gg_hook_ref(hook);
}

struct gg_hook_chain *gg_hook_chain_create(struct gg_hook *const *hooks, size_t count)
{
  struct gg_hook_chain *chain = calloc(1, sizeof *chain);
  assert(count <= GG_HOOKS_MAX);
  if (!chain)
    return NULL;
  atomic_init(&chain->refs, 1);
  for (size_t i = 0; i < count; i++)
    chain_add(chain, hooks[i]);
  return chain;
}

struct gg_hook_chain *gg_hook_chain_ref(struct gg_hook_chain *chain)
{
  if (chain)
    atomic_fetch_add_explicit(&chain->refs, 1, memory_order_relaxed);
  return chain;
}

void gg_hook_chain_unref(struct gg_hook_chain *chain)
{
  if (!chain || atomic_fetch_sub_explicit(&chain->refs, 1, memory_order_acq_rel) != 1)
    return;
  for (unsigned i = 0; i < chain->count; i++)
    gg_hook_unref(chain->hooks[i]);
  free(chain);
}
