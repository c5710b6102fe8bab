/* SPDX-License-Identifier: Apache-2.0 */
/**
 * indexing.h - the gateway's catalogue thread: what is recorded is in the catalogue of sessions a moment later.
 *
 *   worker ──► ring ──► writer ──► segment           nobody waits for this one, or knows of it but for the bell
 *                          │          │
 *                          │          └──► indexer (store/indexer.h) ──► catalogue.db
 *                          └─ headers ──────► (store/feed.h)
 *
 * It takes what the writer hands on in memory, and reads the rest from the disk, so one that is slow or was away has
 * only more to read. It gives way to workers on the same core. Where the catalogue cannot be opened or written that is
 * one line among the messages, and recording goes on without; it is tried again when that can help:
 *
 *     another process writes it          every GG_INDEXING_BUSY_NS (it is made anew, or a gateway is handing over)
 *     damaged, of a later version        when it is another file
 *     anything else                      every GG_INDEXING_RETRY_NS
 *
 * Thread: start, leave and stop on the engine's; rung by any.
 */
#ifndef GG_ENGINE_INDEXING_H
#define GG_ENGINE_INDEXING_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg_gateway;
struct gg_indexing;
struct gg__tag_rules;
struct gg_hook;

enum {
  GG_INDEXING_STEP_BYTES = 16 << 20,      /* that are read before what was found is committed ... */
  GG_INDEXING_STEP_BYTES_MAX = 256 << 20, /* ... or half of what there is to read, if that is more, up to this */
  GG_INDEXING_REST = 20, /* a step is followed by a pause this many times as long as it used a processor ... */
  GG_INDEXING_NICE = 10,
};
#define GG_INDEXING_PAUSE_NS (UINT64_C(200) * 1000 * 1000)      /* ... but at least this ... */
#define GG_INDEXING_PAUSE_MAX_NS (UINT64_C(1000) * 1000 * 1000) /* ... and at most this, and by none if it lags */
#define GG_INDEXING_OPEN_NS (UINT64_C(300) * 1000 * 1000)       /* while sessions are open: without a bell */
#define GG_INDEXING_IDLE_NS (UINT64_C(1000) * 1000 * 1000)      /* else: another process may have written */
#define GG_INDEXING_BUSY_NS (UINT64_C(200) * 1000 * 1000)
#define GG_INDEXING_BUSY_TELL_NS (UINT64_C(10) * 1000 * 1000 * 1000)
#define GG_INDEXING_RETRY_NS (UINT64_C(10) * 1000 * 1000 * 1000)
#define GG_INDEXING_END_NS (UINT64_C(5) * 1000 * 1000 * 1000)   /* at the gateway's end, for what is not read yet */
#define GG_INDEXING_LEAVE_NS (UINT64_C(3) * 1000 * 1000 * 1000) /* and for the disk that is waited for then */

#ifdef GG_HAVE_CATALOGUE
/* Registers the metrics: before the first part that counts. */
int gg__indexing_create(struct gg_indexing **out, struct gg_gateway *engine, struct gg_failure *failure);
/* Runs the thread: the store is ours to write. */
int gg__indexing_start(struct gg_indexing *indexing, struct gg_failure *failure);
/* The rules by which sessions that close are tagged from now on; NULL: none. It keeps a reference. NULL is fine. */
void gg__indexing_rules(struct gg_indexing *indexing, struct gg__tag_rules *rules);
/* The plug-ins whose decoders are asked from now on, as gg__understander_plugins. NULL is fine. */
void gg__indexing_plugins(struct gg_indexing *indexing, struct gg_hook *const *hooks, size_t count);
/* Blocks were written to a segment. The writer's thread; returns soon. NULL is fine. */
void gg__indexing_written(struct gg_indexing *indexing, const char *segment, uint64_t offset, const uint8_t *bytes,
                          size_t length);
/* Another process indexes from now on: the thread ends with its step, and is not waited for. NULL is fine. */
void gg__indexing_leave(struct gg_indexing *indexing);
/* All that was recorded is in the segments: the thread reads what is left of it, for GG_INDEXING_END_NS, and ends.
 * NULL, and one that was never started, are fine. */
void gg__indexing_stop(struct gg_indexing *indexing);
/* False: the thread hangs in the disk, and what it uses has to stay. */
bool gg__indexing_destroy(struct gg_indexing *indexing);

#else /* without SQLite there is no catalogue: nobody makes one of these */

static inline void gg__indexing_written(struct gg_indexing *indexing, const char *segment, uint64_t offset,
                                        const uint8_t *bytes, size_t length)
{
  (void)indexing;
  (void)segment;
  (void)offset;
  (void)bytes;
  (void)length;
}
static inline void gg__indexing_plugins(struct gg_indexing *indexing, struct gg_hook *const *hooks, size_t count)
{
  (void)indexing;
  (void)hooks;
  (void)count;
}
static inline void gg__indexing_rules(struct gg_indexing *indexing, struct gg__tag_rules *rules)
{
  (void)indexing;
  (void)rules;
}
static inline void gg__indexing_leave(struct gg_indexing *indexing)
{
  (void)indexing;
}
static inline void gg__indexing_stop(struct gg_indexing *indexing)
{
  (void)indexing;
}
static inline bool gg__indexing_destroy(struct gg_indexing *indexing)
{
  (void)indexing;
  return true;
}
static inline int gg__indexing_create(struct gg_indexing **out, struct gg_gateway *engine, struct gg_failure *failure)
{
  (void)engine;
  (void)failure;
  *out = NULL;
  return 0;
}
static inline int gg__indexing_start(struct gg_indexing *indexing, struct gg_failure *failure)
{
  (void)indexing;
  (void)failure;
  return 0;
}
#endif

#endif
