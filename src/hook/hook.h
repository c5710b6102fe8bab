/* SPDX-License-Identifier: Apache-2.0 */
/**
 * hook.h - instances of plug-ins, the chains that they stand in, and how they are called.
 *
 *     library (library.h) ──► table ──► hook, one an entry of the configuration ──┐
 *     gg_gateway_plugin_add ──► table ──► hook ───────────────────────────────────┤
 *                                                                                 ▼
 *     desk: metrics, messages, who serves sessions                   chain, one a listener: the hooks that see its
 *                                                                    sessions, in the order of the configuration
 *
 * A chain is made with a listener's plan and lives as long; a hook lives as long as a chain has it, or the
 * configuration. So an unloaded plug-in is destroyed when the last session that it has seen has ended, and a session
 * has the same plug-ins all its life.
 *
 * This room calls plug-ins and measures it. What a session is, only the data plane knows: what a plug-in asks about
 * sessions goes to it through struct gg_hook_sessions.
 *
 * Thread: each function says.
 */
#ifndef GG_HOOK_HOOK_H
#define GG_HOOK_HOOK_H

#include "base/logger.h"
#include "base/metrics.h"
#include <gogetway/plugin.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
  GG_HOOKS_MAX = 16,          /* plug-ins of a configuration */
  GG_HOOK_INSTANCES_MAX = 64, /* with those that only sessions of an earlier configuration have; places for metrics */
  GG_OBSERVED_MAX = 131072,   /* directions that a plug-in observes, and has not been told the end of */
  GG_HOOK_REPLY_MAX = 512 * 1024, /* bytes of a command's reply, with the NUL; the rest is cut off, and that is said */
};
#define GG_HOOK_SLOW_NS (UINT64_C(10) * 1000 * 1000)             /* a call on a worker that takes longer is slow ... */
#define GG_HOOK_SLOW_TELL_NS (UINT64_C(10) * 1000 * 1000 * 1000) /* ... and told this often at the most, a hook */

/* X(NAME, label): the operations that are counted and timed; a worker's first. */
#define GG_HOOK_LIST(X)                                                                                                \
  X(ACCEPT, "accept")                                                                                                  \
  X(OPEN, "open")                                                                                                      \
  X(FIRST, "first")                                                                                                    \
  X(CONNECT, "connect")                                                                                                \
  X(CONNECTED, "connected")                                                                                            \
  X(FAILED, "failed")                                                                                                  \
  X(COUNT, "count")                                                                                                    \
  X(GATE, "gate")                                                                                                      \
  X(MESSAGE, "message")                                                                                                \
  X(REWRITE, "rewrite")                                                                                                \
  X(MASK, "mask")                                                                                                      \
  X(CLOSE, "close")                                                                                                    \
  X(TICK, "tick")                                                                                                      \
  X(COMMAND, "command")                                                                                                \
  X(OBSERVE, "observe")                                                                                                \
  X(SINK, "sink")                                                                                                      \
  X(SEALED, "sealed")                                                                                                  \
  X(REPLAY_SEND, "replay_send")

enum gg_hook_point {
#define GG_HOOK_ENUM(NAME, label) GG_HOOK_##NAME,
  GG_HOOK_LIST(GG_HOOK_ENUM)
#undef GG_HOOK_ENUM
    GG_HOOK_POINTS
};
/* "accept"; static. */
const char *gg_hook_point_text(enum gg_hook_point point);

/* What the data plane does for plug-ins: the members of struct gg_host of the same names. */
struct gg_hook_sessions {
  void (*key)(const struct gg_host *host, const struct gg_live *session, struct gg_session_key *out);
  void (*info)(const struct gg_host *host, const struct gg_live *session, struct gg_session_info *out);
  void (*state_set)(const struct gg_host *host, struct gg_live *session, void *state);
  void *(*state)(const struct gg_host *host, const struct gg_live *session);
  int (*want)(const struct gg_host *host, struct gg_live *session, enum gg_side from, enum gg_mode mode);
  int (*find)(const struct gg_host *host, const struct gg_session_key *key, struct gg_session_info *out);
  void (*list)(const struct gg_host *host, bool (*each)(void *context, const struct gg_session_info *info),
               void *context);
  int (*tag)(const struct gg_host *host, const struct gg_session_key *key, const char *tag, bool on);
  int (*throttle)(const struct gg_host *host, const struct gg_session_key *key, enum gg_side from,
                  uint64_t bytes_per_second);
  int (*cut)(const struct gg_host *host, const struct gg_session_key *key, const struct gg_verdict *verdict);
  int (*resume)(const struct gg_host *host, const struct gg_session_key *key, enum gg_side from,
                const struct gg_verdict *verdict);
};

/* A plug-in's place among the metrics, by its name: a new instance goes on where the one before it counts. */
struct gg_hook_member {
  char name[GG_PLUGIN_NAME_MAX];
  unsigned users; /* hooks that count there */
  uint64_t left;  /* when it had none any more: counts up */
};

/* Where there are no sessions: they say so. */
extern const struct gg_hook_sessions gg_hook_no_sessions;

/* What all hooks of a gateway share. */
struct gg_hook_desk {
  struct gg_logger *logger;
  struct gg_metrics *metrics;
  const struct gg_hook_sessions *sessions;
  /* The data plane, for `sessions`: gg_hook_desk_serve. While it is NULL, the members of `sessions` are called all the
   * same, and find nothing. Who uses it holds the lock for reading: a plug-in's own thread may ask at any time. */
  pthread_rwlock_t plane_lock;
  void *plane;
  char *store_dir;        /* a copy; state directories are made below it; NULL: there are none, nor a recording */
  pthread_mutex_t lock;   /* of the next three */
  struct gg_hook *hooks;  /* all there are; changed on the main thread only */
  struct gg_shard *shard; /* of what no worker calls: ticks and commands; NULL: none was called yet */
  bool no_shard;          /* there was none to be had: they are not counted */
  /* Main thread: */
  struct gg_hook_member members[GG_HOOK_INSTANCES_MAX];
  size_t member_count;
  uint64_t members_left;
  size_t metrics_first, metrics_stride; /* of the family */
  struct gg_hook_observe *observe;      /* observe.h; NULL: nobody has observed yet */
};
/* Registers the metrics: before any shard is made. Main thread, as the next two. */
int gg_hook_desk_init(struct gg_hook_desk *desk, struct gg_metrics *metrics, struct gg_logger *logger,
                      const struct gg_hook_sessions *sessions, const char *store_dir, struct gg_failure *failure);
/* Tells all ticks and observers to end, and waits for none. What was recorded by now is still observed, as far as that
 * takes no longer than GG_OBSERVE_END_NS. Main thread. */
void gg_hook_desk_ending(struct gg_hook_desk *desk);
/* The same, and waits until they have, so that nothing of a plug-in's is called any more but `command` and `destroy`.
 * For an observer not longer than GG_OBSERVE_LEAVE_NS behind that time: one that does not return is told of, stays, and
 * gg_hook_reap leaves it alone. No other call of the desk is under way. */
void gg_hook_desk_stop(struct gg_hook_desk *desk);
/* Who serves sessions from here on; NULL: nobody, and whoever asked has been answered. Before the first session, and
 * after the last. */
void gg_hook_desk_serve(struct gg_hook_desk *desk, void *plane);
/* After the last hook was reaped. */
void gg_hook_desk_fini(struct gg_hook_desk *desk);

struct gg_hook_sink;
struct gg_hook_thread;
struct gg_hook_observer;
struct gg_hook {
  _Atomic unsigned refs;
  struct gg_hook_desk *desk;
  struct gg_hook *next; /* of the desk's */
  /* The plug-in's table, filled up: what it does not have is NULL or 0. */
  struct gg_plugin plugin;
  void *self;
  struct gg_host host; /* what the plug-in is given; from it back by gg_hook_of */
  char name[GG_PLUGIN_NAME_MAX];
  char *state_dir;
  size_t slot;   /* its metrics': calls of each point, then their nanoseconds, then slow calls of a worker's points */
  size_t member; /* of the desk's */
  _Atomic uint64_t told_ns;          /* when it was last told that it is slow; 0: never */
  struct gg_log_site log_site;       /* what it says itself is limited like any other message */
  bool best_effort;                  /* as a sink; set before it is started */
  struct gg_hook_thread *ticks;      /* NULL: it has no tick, or was not started */
  struct gg_hook_observer *observer; /* NULL: it does not observe, or was not started */
  struct gg_hook_sink *sink;         /* sink.h; NULL: it has neither sink nor sealed, or was not started */
  void *owned;                       /* what is freed behind it (a library, its options' values) ... */
  void (*owned_free)(void *owned);   /* ... and how */
};
static inline struct gg_hook *gg_hook_of(const struct gg_host *host)
{
  return (struct gg_hook *)(uintptr_t)((const char *)host - offsetof(struct gg_hook, host));
}

/* Makes an instance of `table`, which has been checked, and calls its create. `config` and `owned` are the hook's from
 * here on, on success only. Main thread. */
int gg_hook_create(struct gg_hook **out, struct gg_hook_desk *desk, const struct gg_plugin *table,
                   const struct gg_plugin_config *config, void *owned, void (*owned_free)(void *),
                   struct gg_failure *failure);
/* Begins its ticks and its observer, each on a thread of its own, and makes what the recorder needs for its sink: so
 * behind whatever threads inherit, as the sandbox. What was done is not done again. Main thread. */
int gg_hook_start(struct gg_hook *hook, struct gg_failure *failure);
struct gg_hook *gg_hook_ref(struct gg_hook *hook); /* any thread, here and below */
/* Who lets go of it last leaves it to gg_hook_reap, since a plug-in is destroyed on the main thread. NULL is fine. */
void gg_hook_unref(struct gg_hook *hook);
/* Destroys the hooks that nobody has any more, but for those whose tick has not returned yet: it does not wait, and is
 * called again. Main thread. */
void gg_hook_reap(struct gg_hook_desk *desk);

/* Whether its plug-in has the operation. */
bool gg_hook_has(const struct gg_hook *hook, enum gg_hook_point point);

/* What was counted at a point, of this instance and of those of its name before it. Any thread. */
struct gg_hook_reading {
  uint64_t calls;
  uint64_t ns;
  uint64_t slow;
};
void gg_hook_read(const struct gg_hook *hook, enum gg_hook_point point, struct gg_hook_reading *out);

enum { GG_HOOK_MODES = GG_MODE_MASK + 1 };
/* "gate"; static. */
const char *gg_hook_mode_text(enum gg_mode mode);
/* A direction of an open session is in this mode for the hook, or is not any more. A worker's thread. */
void gg_hook_mode_count(const struct gg_hook *hook, struct gg_shard *shard, enum gg_mode mode, bool more);
/* How many are. Any thread. */
uint64_t gg_hook_mode_read(const struct gg_hook *hook, enum gg_mode mode);
/* Bytes that its observer has missed. */
uint64_t gg_hook_missed(const struct gg_hook *hook);
/* Bytes of the recording that it did not get, as a best-effort sink; and how often its `sink` refused. */
uint64_t gg_hook_sink_lost(const struct gg_hook *hook);
uint64_t gg_hook_sink_errors(const struct gg_hook *hook);

struct gg_hook_chain {
  _Atomic unsigned refs;
  unsigned count;
  struct gg_hook *hooks[GG_HOOKS_MAX]; /* held */
  bool has[GG_HOOK_POINTS];            /* some hook has the operation */
};
/* Of `count` hooks, of which it takes references. NULL without memory. */
struct gg_hook_chain *gg_hook_chain_create(struct gg_hook *const *hooks, size_t count);
struct gg_hook_chain *gg_hook_chain_ref(struct gg_hook_chain *chain); /* NULL is fine, here and below */
void gg_hook_chain_unref(struct gg_hook_chain *chain);
static inline bool gg_hook_chain_has(const struct gg_hook_chain *chain, enum gg_hook_point point)
{
  return chain && chain->has[point];
}

/* ── Calls, on a worker's thread; counted and timed in its shard ─────────────────────────────────────────────────── */

/* Each hook is asked until one says otherwise than PASS; *by is who did, else NULL. A verdict that has no meaning there
 * is taken for CLOSE, and told; so below. */
enum gg_verdict_kind gg_hook_accept(const struct gg_hook_chain *chain, struct gg_shard *shard,
                                    const struct gg_arrival *arrival, const struct gg_hook **by);
/* All are called, so that each sees every session. The first whose verdict is not PASS has ended it: *by is who it was,
 * and what those behind it say does not count. */
void gg_hook_open(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live, struct gg_open *open,
                  const struct gg_hook **by);
void gg_hook_first(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                   const uint8_t *bytes, size_t length, struct gg_open *open, const struct gg_hook **by);
enum gg_verdict_kind gg_hook_connect(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                                     const char *name, const char *address);
void gg_hook_connected(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                       const char *name);
void gg_hook_failed(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live, const char *name,
                    const char *reason);
void gg_hook_close(const struct gg_hook_chain *chain, struct gg_shard *shard, struct gg_live *live,
                   const struct gg_session_summary *summary);
/* One hook's. */
void gg_hook_count(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, enum gg_side from, size_t bytes);
void gg_hook_gate(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, const struct gg_data *data,
                  struct gg_verdict *verdict);
void gg_hook_message(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, const struct gg_spoken *spoken,
                     struct gg_verdict *verdict);
void gg_hook_rewrite(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, const struct gg_data *data,
                     struct gg_output *output);
/* How many of the last bytes it keeps back: less than its mask_longest. */
size_t gg_hook_mask(struct gg_hook *hook, struct gg_shard *shard, struct gg_live *live, struct gg_mask *piece);

/* PASS, CLOSE or RESET; the latter also where what it put out was too much. On a replay's thread. */
enum gg_verdict_kind gg_hook_replay_send(struct gg_hook *hook, const struct gg_replay_piece *piece,
                                         struct gg_output *output);

/* ── Commands, on the control socket's thread ────────────────────────────────────────────────────────────────────── */

struct gg_hook_reply {
  char *text; /* ends in NUL; NULL: nothing was said */
  size_t length;
  size_t size;
  bool cut; /* something found no room, or no memory */
};
void gg_hook_reply_fini(struct gg_hook_reply *reply);
/* The number of a plug-in's command; -1: it has none of that verb. */
int gg_hook_verb(const struct gg_hook *hook, const char *verb);
int gg_hook_command(struct gg_hook *hook, unsigned command, size_t word_count, const char *const *words,
                    struct gg_hook_reply *reply, struct gg_failure *failure);

/* ── For this room's own files ───────────────────────────────────────────────────────────────────────────────────── */

enum {
  GG__HOOK_WORKER_POINTS = GG_HOOK_TICK, /* those before it */
  GG__HOOK_CALLS_AT = 0,
  GG__HOOK_TIMES_AT = GG_HOOK_POINTS,
  GG__HOOK_SLOW_AT = 2 * GG_HOOK_POINTS,
  GG__HOOK_MISSED_AT = GG__HOOK_SLOW_AT + GG__HOOK_WORKER_POINTS,
  GG__HOOK_OBSERVED_AT,
  GG__HOOK_SINK_LOST_AT,
  GG__HOOK_SINK_ERRORS_AT,
  GG__HOOK_MODES_AT,
  GG__HOOK_SLOTS = GG__HOOK_MODES_AT + GG_HOOK_MODES,
};
/* Counts a call of no worker's, and what an observer has missed. Any thread. */
void gg__hook_count_other(struct gg_hook *hook, enum gg_hook_point point, uint64_t took_ns);
void gg__hook_count_missed(struct gg_hook *hook, uint64_t bytes);
/* Adds to one of its slots. Any thread but a worker. */
void gg__hook_count_extra(struct gg_hook *hook, unsigned slot, uint64_t n);
/* thread.c: tells the ticks and the observer to end. False: something is still being carried out. */
bool gg__hook_ending(struct gg_hook *hook);
bool gg__ticks_ending(struct gg_hook *hook); /* the ticks alone */
/* Ends them, and waits until the last call has returned. */
void gg__hook_stop(struct gg_hook *hook);
/* host.c: fills what the plug-in is given. */
void gg__host_fill(struct gg_hook *hook);

#endif
