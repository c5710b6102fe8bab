/* SPDX-License-Identifier: Apache-2.0 */
/**
 * observe.h - plug-ins that read what was recorded, behind the data path.
 *
 *   worker ──► feed: where in the log    reader ──► queue of each hook: a copy,     hook's thread ──► observe
 *   (each)     something was recorded    (one a     GG_OBSERVE_QUEUE_BYTES at the   (one a hook)
 *              (no bytes)                 desk)      most, oldest dropped
 *
 * A worker does no more than to say which bytes of the log belong to whom: an entry in a ring that only it fills and
 * only the reader empties. If there is no room in it, nothing is said. The reader takes the bytes out of the log before
 * the log's producer comes round again (record/log_copy.c), or finds that it is too late. The hook's thread calls the
 * plug-in, which may sleep as long as it likes: what then finds no room in its queue takes the place of what is oldest.
 *
 * Bytes may so get lost in three places, and be left out of the recording in the first place, and nowhere is that
 * counted: every piece has its place in the stream, so the hook's thread sees what is missing in front of it. How far
 * the stream went in all comes with its end, for which there is always room: it is linked, not copied. That is how
 * `missed` is exact, whatever happened.
 *
 *     struct gg_hook_watch     one direction of one session, for one hook
 *       worker: begin ... chunk ... end ──► reader: into the hook's queue ──► hook's thread: told, freed
 *
 * The reader looks every GG_OBSERVE_POLL_NS while something comes, and sleeps when nothing has come for a while; then
 * the next chunk wakes it. With no plug-in that observes there is no thread; with no session observed, none runs.
 *
 * Rejected: to call the plug-in from the reader. A plug-in that sleeps would then cost the others what they wanted to
 * see.
 */
#ifndef GG_HOOK_OBSERVE_H
#define GG_HOOK_OBSERVE_H

#include "hook/hook.h"

struct gg_log;

enum {
  GG_OBSERVE_QUEUE_BYTES = 8 << 20, /* that wait for one plug-in, with what each piece costs beside its bytes */
  GG_OBSERVE_CHUNKS_MAX = 8192,     /* that a worker has told of and the reader has not taken; a power of two */
  GG_OBSERVE_NICE = 10,             /* of the threads below, which so give way to workers on the same core */
  GG_OBSERVE_IDLE_POLLS = 32,       /* that brought nothing, and the reader sleeps until it is woken */
};
#define GG_OBSERVE_POLL_NS (UINT64_C(2) * 1000 * 1000)
#define GG_OBSERVE_END_NS (UINT64_C(2) * 1000 * 1000 * 1000)   /* at the gateway's end, for what is not told yet */
#define GG_OBSERVE_LEAVE_NS (UINT64_C(3) * 1000 * 1000 * 1000) /* and for the call that is under way then */

struct gg_hook_watch;
struct gg_hook_feed;

/* ── On a worker's thread ────────────────────────────────────────────────────────────────────────────────────────── */

/* The worker's, made when it first needs one; the desk's to free. NULL without memory, or where nobody observes. */
struct gg_hook_feed *gg_hook_feed_create(struct gg_hook_desk *desk);
/* The direction is observed from `offset` of its stream on. GG_ERR_LIMIT: GG_OBSERVED_MAX are, of this plug-in's.
 * GG_ERR_UNSUPPORTED: it cannot. */
int gg_hook_watch_begin(struct gg_hook_watch **out, struct gg_hook *hook, struct gg_shard *shard,
                        const struct gg_session_key *key, enum gg_side from, uint64_t offset);
/* `bytes` of the stream from `offset` on are recorded, at `position` of the log, in one piece. */
void gg_hook_watch_chunk(struct gg_hook_feed *feed, struct gg_hook_watch *watch, struct gg_log *log, uint64_t position,
                         uint64_t offset, size_t bytes, uint64_t real_ns);
/* Nothing follows: the stream, or what is wanted of it, ends at `offset`. The watch is not the worker's any more. */
void gg_hook_watch_end(struct gg_hook_feed *feed, struct gg_hook_watch *watch, struct gg_shard *shard, uint64_t offset);

/* ── For this room's own files ───────────────────────────────────────────────────────────────────────────────────── */

/* A piece of a stream that waits for its plug-in. */
struct gg__piece {
  struct gg__piece *next;
  struct gg_hook_watch *watch;
  uint64_t turn;
  uint64_t offset;
  uint64_t real_ns;
  size_t length;
  uint8_t bytes[];
};

struct gg_hook_watch {
  struct gg_hook *hook; /* held */
  struct gg_session_key key;
  enum gg_side from;
  uint64_t next; /* the hook's thread: what is to come next of the stream */
  /* Once it has ended: */
  struct gg_hook_watch *next_ended; /* of the feed, then of the queue */
  uint64_t after;                   /* so many chunks had its worker told of then */
  uint64_t turn;
  uint64_t offset;
  uint64_t real_ns;
};

/* observer.c: a hook's queue, and the thread that calls its plug-in. */
struct gg_hook_observer;
/* Takes both; on any thread. */
void gg__observer_put(struct gg_hook_observer *observer, struct gg__piece *piece);
void gg__observer_put_end(struct gg_hook_observer *observer, struct gg_hook_watch *watch);
/* For a hook with `observe`: main thread, as the next three. */
int gg__observer_start(struct gg_hook *hook, struct gg_failure *failure);
/* Tells it to end when nothing waits any more, or at `until_ns`. False: it has not yet. */
bool gg__observer_ending(struct gg_hook *hook, uint64_t until_ns);
/* Waits for it; where it was given a time, not much longer than that: one that does not return then stays for good. */
void gg__observer_stop(struct gg_hook *hook);

/* For a thread that is behind the data path: it does not preempt, and has a tenth of a worker's weight. Where the
 * system refuses that, it goes on as it is. */
void gg__observe_step_back(void);

/* observe.c: the reader. */
int gg__observe_start(struct gg_hook_desk *desk, struct gg_failure *failure);
/* The last that was recorded is read, and the reader ends; main thread. */
void gg__observe_stop(struct gg_hook_desk *desk);
void gg__observe_free(struct gg_hook_desk *desk);

#endif
