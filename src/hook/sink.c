/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - the recorder's blocks and sealed files to a plug-in: on the writer's thread, or by a queue.
 *
 * `lost` is exact: of each log it is known up to where the file in hand has come to the plug-in (`have`), which begins
 * with the first block that the sink was offered at all, whether or not that found room. What is between there and a
 * block is lost. So nothing has to be noted when a block is dropped or refused, but that it did not move `have` on.
 */
#include "hook/sink.h"

#include "base/clock.h"
#include "record/section.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAME_MAX_BYTES = 96, THREAD_NAME_MAX = 16 /* the kernel's */ };

struct item {
  struct item *next;
  bool is_sealed;
  /* A block: */
  unsigned log;
  uint64_t number, offset;
  bool last;
  /* A sealed file: */
  bool recovered;
  uint64_t file_bytes;
  char name[NAME_MAX_BYTES];
  size_t length;
  uint8_t bytes[];
};

struct gg_hook_sink {
  struct gg_recorder_sink base;
  struct gg_hook *hook;
  char *segments_dir;
  bool queued; /* blocks, too: best-effort */
  bool threaded;
  pthread_t thread;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  struct item *first, **end;
  size_t bytes; /* of blocks that are in the queue or at the plug-in */
  size_t small; /* and items without any */
  uint64_t lost_bytes, lost_items, told_ns;
  bool ending;   /* when the queue is empty */
  bool dropping; /* it is over: what is in the queue is lost */
  _Atomic bool over;
  struct {
    bool met;
    uint64_t number; /* of the file in hand */
    uint64_t have;   /* of it, up to here */
  } logs[GG_LOGS_MAX];
};

static struct gg_hook_sink *sink_of(const struct gg_recorder_sink *base)
{
  return (struct gg_hook_sink *)(uintptr_t)base; /* its first member */
}

/* ── Calling the plug-in ─────────────────────────────────────────────────────────────────────────────────────────── */

static int call_sink(struct gg_hook *hook, const struct gg_sink_block *block, struct gg_failure *failure)
{
  uint64_t began_ns = gg_clock_mono_ns();
  int error = hook->plugin.sink(hook->self, block, failure);
  gg__hook_count_other(hook, GG_HOOK_SINK, gg_clock_mono_ns() - began_ns);
  if (error)
    gg__hook_count_extra(hook, GG__HOOK_SINK_ERRORS_AT, 1);
  failure->message[sizeof failure->message - 1] = '\0';
  return error;
}

static void call_sealed(struct gg_hook_sink *sink, const struct item *item)
{
  struct gg_hook *hook = sink->hook;
  char *path = NULL;
  if (asprintf(&path, "%s/%s", sink->segments_dir, item->name) < 0)
    return;
  const struct gg_sealed sealed = {
    .size = sizeof sealed,
    .name = item->name,
    .path = path,
    .bytes = item->file_bytes,
    .recovered = item->recovered,
  };
  uint64_t began_ns = gg_clock_mono_ns();
  hook->plugin.sealed(hook->self, &sealed);
  gg__hook_count_other(hook, GG_HOOK_SEALED, gg_clock_mono_ns() - began_ns);
  free(path);
}

/* ── The queue ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Under the lock, which is given up for the message: its sink may be the program's. */
static void tell_losses(struct gg_hook_sink *sink, const char *reason)
{
  uint64_t now_ns = gg_clock_mono_ns(), bytes = sink->lost_bytes, items = sink->lost_items;
  if ((bytes == 0 && items == 0) || (sink->told_ns != 0 && now_ns - sink->told_ns < GG_HOOK_SINK_TELL_NS))
    return;
  sink->told_ns = now_ns;
  sink->lost_bytes = sink->lost_items = 0;
  pthread_mutex_unlock(&sink->lock);
  const struct gg_log_field fields[] = {GG_S("plugin", sink->hook->name), GG_S("reason", reason), GG_U("bytes", bytes),
                                        GG_U("ends_of_files", items),
                                        GG_S("effect", "the recording has them; the plug-in does not")};
  gg_logger_emit(sink->hook->desk->logger, NULL, GG_LEVEL_WARNING, "a sink misses blocks", fields,
                 sizeof fields / sizeof fields[0]);
  pthread_mutex_lock(&sink->lock);
}

/* Under the lock. */
static void lose(struct gg_hook_sink *sink, size_t length, const char *reason)
{
  if (length > 0)
    gg__hook_count_extra(sink->hook, GG__HOOK_SINK_LOST_AT, length);
  sink->lost_bytes += length;
  sink->lost_items += length == 0;
  tell_losses(sink, reason);
}

/* Under the lock: the item is the queue's. */
static void append(struct gg_hook_sink *sink, struct item *item)
{
  *sink->end = item;
  sink->end = &item->next;
  sink->bytes += item->length;
  sink->small += item->length == 0;
  pthread_cond_signal(&sink->changed);
}

static struct item *item_make(const char *name, size_t length)
{
  struct item *item = malloc(sizeof *item + length);
  if (!item)
    return NULL;
  *item = (struct item){.length = length};
  size_t name_length = strnlen(name, sizeof item->name - 1);
  memcpy(item->name, name, name_length);
  return item;
}

/* Under the lock. */
static bool has_room(const struct gg_hook_sink *sink, size_t length)
{
  return !sink->ending && !sink->dropping &&
         (length > 0 ? sink->bytes + length <= GG_HOOK_SINK_BYTES_MAX : sink->small < GG_HOOK_SEALED_MAX);
}

static void queue_block(struct gg_hook_sink *sink, const struct gg_recorder_block *block)
{
  pthread_mutex_lock(&sink->lock);
  if (!sink->logs[block->log].met) {
    sink->logs[block->log].met = true;
    sink->logs[block->log].number = block->number;
    sink->logs[block->log].have = block->offset;
  }
  bool room = has_room(sink, block->length);
  pthread_mutex_unlock(&sink->lock);
  struct item *item = room ? item_make(block->segment, block->length) : NULL; /* the copy needs no lock */
  if (item) {
    item->log = block->log;
    item->number = block->number;
    item->offset = block->offset;
    item->last = block->last;
    if (block->length > 0)
      memcpy(item->bytes, block->bytes, block->length);
  }
  pthread_mutex_lock(&sink->lock);
  if (item)
    append(sink, item); /* nobody else adds bytes */
  else
    lose(sink, block->length, "it is slower than the recording");
  pthread_mutex_unlock(&sink->lock);
}

/* How many of the bytes are whole pcapng blocks of GG_HOOK_SINK_PIECE_MAX together; all, if one is larger. */
static size_t piece_length(const uint8_t *bytes, size_t length)
{
  size_t whole = 0, next;
  if (length <= GG_HOOK_SINK_PIECE_MAX)
    return length;
  while ((next = gg_block_whole(bytes + whole, length - whole)) > 0 && whole + next <= GG_HOOK_SINK_PIECE_MAX)
    whole += next;
  return whole > 0 ? whole : length;
}

static void queue_pieces(struct gg_hook_sink *sink, const struct gg_recorder_block *block)
{
  struct gg_recorder_block piece = *block;
  do {
    size_t left = block->length - (size_t)(piece.offset - block->offset);
    piece.length = piece_length(piece.bytes, left);
    queue_block(sink, &piece);
    piece.offset += piece.length;
    piece.bytes += piece.length;
  } while (piece.offset < block->offset + block->length);
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Under the lock: of the file, what is between what the plug-in has and this block. */
static uint64_t lost_before(struct gg_hook_sink *sink, const struct item *item)
{
  if (sink->logs[item->log].number != item->number) {
    sink->logs[item->log].number = item->number;
    sink->logs[item->log].have = 0;
  }
  return item->offset - sink->logs[item->log].have;
}

static void deliver_block(struct gg_hook_sink *sink, const struct item *item)
{
  struct gg_failure why = GG_FAILURE_INIT;
  pthread_mutex_lock(&sink->lock);
  uint64_t lost = lost_before(sink, item);
  pthread_mutex_unlock(&sink->lock);
  const struct gg_sink_block block = {
    .size = sizeof block,
    .segment = item->name,
    .offset = item->offset,
    .bytes = item->bytes,
    .length = item->length,
    .lost = lost,
    .last = item->last,
  };
  int error = call_sink(sink->hook, &block, &why);
  pthread_mutex_lock(&sink->lock);
  if (error)
    lose(sink, item->length, why.message[0] ? why.message : gg_error_text(error < 0 ? error : GG_ERR_INVALID));
  else
    sink->logs[item->log].have = item->offset + item->length;
  pthread_mutex_unlock(&sink->lock);
}

/* Waits for the next one; NULL: there will be none. */
static struct item *take_first(struct gg_hook_sink *sink)
{
  pthread_mutex_lock(&sink->lock);
  while (!sink->first && !sink->ending)
    pthread_cond_wait(&sink->changed, &sink->lock);
  struct item *item = sink->first;
  if (item) {
    sink->first = item->next;
    sink->end = sink->first ? sink->end : &sink->first;
  }
  pthread_mutex_unlock(&sink->lock);
  return item;
}

static void give_back(struct gg_hook_sink *sink, struct item *item)
{
  pthread_mutex_lock(&sink->lock);
  sink->bytes -= item->length;
  sink->small -= item->length == 0;
  pthread_mutex_unlock(&sink->lock);
  free(item);
}

static void *run(void *context)
{
  struct gg_hook_sink *sink = context;
  for (struct item *item; (item = take_first(sink)); give_back(sink, item)) {
    pthread_mutex_lock(&sink->lock);
    bool dropping = sink->dropping;
    if (dropping)
      lose(sink, item->length, "the gateway ends");
    pthread_mutex_unlock(&sink->lock);
    if (!dropping && item->is_sealed)
      call_sealed(sink, item);
    else if (!dropping)
      deliver_block(sink, item);
  }
  pthread_mutex_lock(&sink->lock);
  sink->told_ns = 0;
  tell_losses(sink, "those that were not told before");
  atomic_store_explicit(&sink->over, true, memory_order_release);
  pthread_cond_broadcast(&sink->changed);
  pthread_mutex_unlock(&sink->lock);
  return NULL;
}

/* ── What the recorder sees ──────────────────────────────────────────────────────────────────────────────────────── */

static const char *sink_name(const struct gg_recorder_sink *base)
{
  return sink_of(base)->hook->name;
}

static int sink_take(struct gg_recorder_sink *base, const struct gg_recorder_block *block, struct gg_failure *failure)
{
  struct gg_hook_sink *sink = sink_of(base);
  if (sink->queued) {
    queue_pieces(sink, block);
    return 0;
  }
  const struct gg_sink_block given = {
    .size = sizeof given,
    .segment = block->segment,
    .offset = block->offset,
    .bytes = block->bytes,
    .length = block->length,
    .last = block->last,
  };
  int error = call_sink(sink->hook, &given, failure);
  return error > 0 ? GG_ERR_INVALID : error;
}

static void sink_sealed(struct gg_recorder_sink *base, const struct gg_recorder_sealed *sealed)
{
  struct gg_hook_sink *sink = sink_of(base);
  struct item *item = item_make(sealed->name, 0);
  pthread_mutex_lock(&sink->lock);
  if (item && has_room(sink, 0)) {
    item->is_sealed = true;
    item->file_bytes = sealed->bytes;
    item->recovered = sealed->recovered;
    append(sink, item);
    item = NULL;
  } else {
    lose(sink, 0, "it does not keep up with the files that are sealed");
  }
  pthread_mutex_unlock(&sink->lock);
  free(item);
}

static void sink_hold(struct gg_recorder_sink *base)
{
  gg_hook_ref(sink_of(base)->hook);
}

static void sink_release(struct gg_recorder_sink *base)
{
  gg_hook_unref(sink_of(base)->hook);
}

static const struct gg_recorder_sink_ops ops_of_both = {sink_name, sink_take, sink_sealed, sink_hold, sink_release};
static const struct gg_recorder_sink_ops ops_of_sink = {sink_name, sink_take, NULL, sink_hold, sink_release};
static const struct gg_recorder_sink_ops ops_of_sealed = {sink_name, NULL, sink_sealed, sink_hold, sink_release};

struct gg_recorder_sink *gg_hook_sink(const struct gg_hook *hook)
{
  return hook->sink ? &hook->sink->base : NULL;
}

/* ── Its life ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void sink_free(struct gg_hook_sink *sink)
{
  assert(!sink->first);
  pthread_cond_destroy(&sink->changed);
  pthread_mutex_destroy(&sink->lock);
  free(sink->segments_dir);
  free(sink);
}

static int begin(struct gg_hook_sink *sink)
{
  char name[THREAD_NAME_MAX];
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&sink->thread, NULL, run, sink);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return error;
  sink->threaded = true;
  snprintf(name, sizeof name, "gg-%.12s", sink->hook->name);
  pthread_setname_np(sink->thread, name);
  return 0;
}

int gg__hook_sink_start(struct gg_hook *hook, struct gg_failure *failure)
{
  const struct gg_plugin *plugin = &hook->plugin;
  pthread_condattr_t attributes;
  if ((!plugin->sink && !plugin->sealed) || hook->sink || !hook->desk->store_dir)
    return 0;
  struct gg_hook_sink *sink = calloc(1, sizeof *sink);
  if (!sink || asprintf(&sink->segments_dir, "%s/segments", hook->desk->store_dir) < 0) {
    free(sink);
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for plug-in %s", hook->name);
  }
  sink->base.ops = !plugin->sealed ? &ops_of_sink : !plugin->sink ? &ops_of_sealed : &ops_of_both;
  sink->hook = hook;
  sink->queued = hook->best_effort;
  sink->end = &sink->first;
  pthread_mutex_init(&sink->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&sink->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  int error = sink->queued || plugin->sealed ? begin(sink) : 0;
  if (error) {
    sink_free(sink);
    return gg_fail_errno(failure, error, "cannot begin the thread of plug-in %s", hook->name);
  }
  hook->sink = sink;
  return 0;
}

bool gg__hook_sink_ending(struct gg_hook *hook)
{
  struct gg_hook_sink *sink = hook->sink;
  if (!sink || !sink->threaded)
    return true;
  pthread_mutex_lock(&sink->lock);
  sink->ending = true;
  pthread_cond_broadcast(&sink->changed);
  pthread_mutex_unlock(&sink->lock);
  return atomic_load_explicit(&sink->over, memory_order_acquire);
}

void gg__hook_sink_stop(struct gg_hook *hook)
{
  struct gg_hook_sink *sink = hook->sink;
  gg__hook_sink_ending(hook);
  if (!sink)
    return;
  if (sink->threaded)
    pthread_join(sink->thread, NULL);
  sink_free(sink);
  hook->sink = NULL;
}

/* Until its thread is over, or that time has come. */
static bool wait_over(struct gg_hook_sink *sink, uint64_t until_ns)
{
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&sink->lock);
  while (!atomic_load(&sink->over) && waited == 0)
    waited = pthread_cond_timedwait(&sink->changed, &sink->lock, &until);
  bool over = atomic_load(&sink->over);
  sink->dropping = !over;
  pthread_mutex_unlock(&sink->lock);
  return over;
}

static void finish(struct gg_hook *hook, uint64_t deadline_ns)
{
  struct gg_hook_sink *sink = hook->sink;
  /* Else it stays for good: its code is being run, and gg_hook_reap leaves it alone. */
  if (!sink || gg__hook_sink_ending(hook) || sink->dropping || wait_over(sink, deadline_ns) ||
      wait_over(sink, gg_clock_mono_ns() + GG_HOOK_SINK_LEAVE_NS))
    return;
  gg_error_log(hook->desk->logger, "a plug-in's sink does not return", GG_S("plugin", hook->name),
               GG_S("effect", "the gateway ends without it"));
}

void gg_hook_sinks_finish(struct gg_hook_desk *desk, uint64_t deadline_ns)
{
  for (struct gg_hook *hook = desk->hooks; hook; hook = hook->next)
    (void)gg__hook_sink_ending(hook);
  for (struct gg_hook *hook = desk->hooks; hook; hook = hook->next)
    finish(hook, deadline_ns);
}
