/* SPDX-License-Identifier: Apache-2.0 */
/**
 * worker.h - a thread with everything that its sessions need: loop, timers, logs, memory, counters. Nothing in it is
 * shared but what the gateway says (struct gg_plane's atomics), so the data path takes no lock.
 *
 * The phases of an iteration, in the order in which they run (worker.c):
 *   1. poll       wait for events and call the sources: accept, receive, record, send
 *   2. run        directions that had more to do than one turn allows; what other threads have ordered
 *   3. adopt      goes over to what a reload has published: listeners, limits, time-outs, logs
 *   4. retry      closing records that wait for room, paused accepts, unix connects that met a full backlog
 *   5. timers     PROXY header, connect, relaying (behind 3 and 4, which may start some)
 *   6. logs       group commit (sync: always), watermark, timed flush, rotation
 *   7. part       listeners that leave, when nobody waits there; a drain begins, or ends with its deadline
 *   8. free       sessions and listeners that ended in this iteration
 */
#ifndef GG_GATEWAY_WORKER_H
#define GG_GATEWAY_WORKER_H

#include "base/clock.h"
#include "base/list.h"
#include "base/metrics.h"
#include "gateway/counters.h"
#include "gateway/group.h"
#include "gateway/known.h"
#include "gateway/orders.h"
#include "gateway/pending.h"
#include "gateway/plan.h"
#include "gateway/plane.h"
#include "gateway/relay.h"
#include "gateway/route.h"
#include "gateway/session.h"
#include "gateway/splice.h"
#include "gateway/tarpit.h"
#include "hook/output.h"
#include "net/alarms.h"
#include "record/pairs.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

struct gg_checker;

enum {
  GG_POLICY_PAIRS = 10,                    /* on_stall times on_full; and not to record */
  GG_RETRY_INTERVAL_NS = 20 * 1000 * 1000, /* paused accepts, full unix backlogs */
  GG_CLOSING_MAX = 1024,                   /* sessions of a log that does not block whose last packet waits */
  GG_ACCEPT_BATCH = 32,                    /* accepts in one turn of a listener */
  GG_LOCAL_ADDRESSES_MAX = 64,             /* of this host, for splice: auto */
};

/* How long handshakes that have begun are waited for when a listener leaves: elsewhere a round trip, on this host as
 * long as the kernel's thread may wait for its turn; and if more clients were waiting than the queue takes, the kernel
 * asks them again after one second and three. */
#define GG_LEAVE_GRACE_LOCAL_NS (100 * GG_NS_PER_MS)
#define GG_LEAVE_GRACE_NS (500 * GG_NS_PER_MS)
#define GG_LEAVE_GRACE_FULL_NS (3500 * GG_NS_PER_MS)
/* And no longer than this after it began to leave: without memory for the filter, clients go on to come. */
#define GG_LEAVE_MAX_NS (10 * GG_NS_PER_S)
#define GG_CLOSING_GRACE_NS (2 * GG_NS_PER_S) /* after the drain's end, for last packets without room */

static_assert((int)GG_POLICY_PAIRS <= (int)GG_READ_SETS_MAX, "a read set for each pair of policies");

/* A ring of this worker, and the sessions that record into it. Its index is also its read set's. One has no ring: its
 * sessions are not recorded (record: off), so it is never blocked, and nothing ever waits in it. */
struct gg_worker_log {
  struct gg_log *log; /* NULL: that one */
  struct gg_worker *worker;
  enum gg_policy on_stall;
  enum gg_policy on_full;
  unsigned set;
  uint64_t unblocked_ns;  /* when it last was enabled again */
  bool blocked;           /* its read set is disabled until there is room */
  uint64_t gap_bytes;     /* that passed unrecorded since there was last room (gap) */
  struct gg_list waiting; /* ends that could not reserve (block) */
  struct gg_list closing; /* sessions whose last packet waits for room */
  unsigned closing_count;
  struct gg_list undurable; /* sync: always: ends with bytes that are not on stable storage yet */
  bool want_commit;         /* sync: always: something was committed that no group has taken yet */
  uint64_t durable_asked;   /* ... the position up to which the last group goes */
};

/* A listener as one worker sees it, from one reload to the next: a socket, and what is done with who comes there
 * (listener.c has its states). */
struct gg_listener {
  struct gg_source source; /* fd -1: it has left */
  struct gg_list node;     /* the worker's: listeners, retired or over */
  struct gg_worker *worker;
  struct gg_worker_log *log;
  struct gg_plan *plan; /* held */
  /* Of the plan: */
  const struct gg_listener_options *options;
  _Atomic uint64_t *sessions; /* of the listener, over all workers */
  struct gg_listener_routes routes;
  struct gg_group *group; /* its upstreams; NULL: there are none */
  struct gg_balance_turns turns;
  struct gg_addr address; /* where it listens; recorded as the server unless it is a wildcard */
  bool wildcard;
  bool paused;
  bool held; /* paused, and never watched yet: the process before still serves, or its socket does not listen */
  bool leaving;
  bool retired;
  unsigned slot;          /* which of the binding's sockets */
  uint64_t session_count; /* that came by it and have not ended */
  uint64_t leaving_since_ns;
  uint64_t leave_ns;   /* leaving: not closed before */
  uint32_t leave_left; /* of a foreign socket's clients so many waited when it began to leave, and still do */
};

/* A pair of policies, for which every worker has a log; or all that is not recorded, whatever the policies. */
struct gg_policy_pair {
  bool recorded;
  enum gg_policy on_stall;
  enum gg_policy on_full;
};

struct gg_worker {
  struct gg_loop loop;
  struct gg_wake wake;
  struct gg_plane *plane;
  unsigned index;
  pthread_t thread;
  bool thread_runs;

  struct gg_worker_log logs[GG_POLICY_PAIRS];
  unsigned log_count;
  const struct gg_snapshot *snapshot;     /* what it goes by */
  const struct gg_plane_options *options; /* the snapshot's */
  struct gg_list listeners;               /* with a socket */
  struct gg_list listeners_next;          /* while it goes over to another snapshot: those of that */
  struct gg_list retired;                 /* listeners without a socket, with sessions */
  struct gg_list listeners_over;          /* ... without either: to be freed at the end of the iteration */
  unsigned leaving_count;                 /* of listeners */

  struct gg_timer_list header_timers;
  struct gg_timer_list connect_timers;
  struct gg_timer_list relay_timers; /* idle, session, first byte and stall: deadlines.c */
  struct gg_alarms live_alarms;      /* first bytes, throttles, gates, lingering: live.c */

  struct gg_list run;       /* ends with more to do */
  struct gg_list unwatched; /* ends whose receiver's socket is full and could not be watched: tried from phase 4 */
  struct gg_list sessions;  /* all that have sockets */
  struct gg_list stalled;   /* sessions with pending bytes, longest first */
  struct gg_list reconnect; /* sessions whose unix upstream's backlog was full (their timer.node stays) */
  struct gg_list over;      /* CLOSED: to be freed at the end of the iteration */
  unsigned passed;          /* the generation that it has seen; under the gateway's lock, as the next */
  bool ended;               /* its thread makes no turn any more */
  uint64_t session_count;   /* all that are not CLOSED */
  _Atomic uint64_t due_ns;  /* its next turn begins by then, or it hangs; for gg_plane_alive */
  uint64_t next_ns;         /* when the next iteration is due without an event */
  uint64_t retry_ns;        /* next time for phase 4; UINT64_MAX: nothing to retry */
  bool listening;
  bool paused; /* some listener is: the end of a session may let it go on */

  struct gg_known known;
  struct gg_pairs pairs; /* of what it records and has not ended, whatever log it is in */
  struct gg_orders orders;
  struct gg_tarpit tarpit;
  struct gg_list spare; /* freed sessions, for the next accept */
  unsigned spare_count;
  struct gg_pending_slab pending;
  struct gg_pipe_pool pipes;
  struct gg_batch batch;
  struct gg_output rewritten[2]; /* what rewriters put out, by turns */
  uint8_t *scratch; /* receives what is not recorded: record: off, or the gap policy; and what is masked first */
  uint8_t *private; /* of mask.c; NULL: nothing was masked yet */
  size_t private_size;
  struct gg_hook_feed *feed; /* hook/observe.h; NULL: none of its sessions was observed yet */
  struct gg_session_id_source ids;
  uint64_t random_state;
  uint32_t synthetic_port; /* counter for unix peers */

  struct gg_shard *shard;
  size_t counters; /* first slot */
};

struct gg_plane {
  struct gg_plane_options options; /* what no reload changes: workers, pending_total, sync_mode, recorder, logger,
                                        metrics; all else is the worker's to know */
  struct gg_worker *workers[GG_WORKERS_MAX];
  unsigned worker_count;
  struct gg_list bindings; /* where it listens, and where it did */
  unsigned bindings_made;
  struct gg_policy_pair pairs[GG_POLICY_PAIRS]; /* as the workers' logs */
  unsigned pair_count;
  bool pair_begun;               /* there is one more, for which not all workers have a log */
  pthread_mutex_t lock;          /* of this group: */
  pthread_cond_t passed;         /* a worker has gone through its loop, or ended */
  struct gg_snapshot *snapshot;  /* what the gateway is; changed by reload */
  struct gg_snapshot *published; /* what the workers go over to; before `generation` */
  _Atomic unsigned generation;   /* grows when the workers are to pass: see gg__worker_pass */
  _Atomic uint64_t sessions;
  _Atomic uint64_t drain_deadline_ns; /* 0: not draining */
  _Atomic unsigned workers_running;
  size_t counters;
  struct gg_queues *queues;
  struct gg_routes *routes;
  struct gg_source_table *sources;
  struct gg_health_desk health;
  pthread_mutex_t groups_lock;               /* this and the next two: changed by reload, read by whoever asks */
  struct gg_group *groups[GG_LISTENERS_MAX]; /* of each listener, held; NULL: it has no upstreams */
  size_t group_count;
  struct gg_checker *checker; /* NULL: nobody has asked for it yet */
  bool groups_started;
  struct gg_addr local[GG_LOCAL_ADDRESSES_MAX]; /* this host's addresses, for splice: auto */
  unsigned local_count;
};

int gg__worker_create(struct gg_worker **out, struct gg_plane *plane, unsigned index, struct gg_failure *failure);
void gg__worker_destroy(struct gg_worker *worker);
void *gg__worker_main(void *worker);
bool gg__worker_turn(struct gg_worker *worker); /* one iteration; false when there is nothing left to do */
/* The same without waiting: *next_ns is when the next one is due without an event. */
bool gg__worker_turn_now(struct gg_worker *worker, uint64_t *next_ns);
void gg__worker_end(struct gg_worker *worker); /* after the last one, on the worker's thread */

struct gg_session *gg__worker_session_alloc(struct gg_worker *worker);
void gg__worker_retry_soon(struct gg_worker *worker); /* phase 4 within GG_RETRY_INTERVAL_NS */
uint64_t gg__worker_random(struct gg_worker *worker);
/* Closes the session that has been waiting longest for its receiver, but not `spared`. False: there is none. */
bool gg__worker_close_longest_stalled(struct gg_worker *worker, const struct gg_session *spared);

/* deadlines.c: the shortest of the time-outs of relaying, 0: none; it is the duration of relay_timers. */
uint64_t gg__relay_timer_ns(const struct gg_plane_options *options);
/* The options are others: the timers of all sessions go by them. */
void gg__relay_timers_adopt(struct gg_worker *worker);

/* upstreams.c: begins to check those that ask for it. */
int gg__groups_start(struct gg_plane *plane, struct gg_failure *failure);
/* The gateway's groups are these from now on; it takes a reference of each. Nobody checks those before any more; who
 * lets their options end retires them as well. The engine's thread. */
void gg__groups_publish(struct gg_plane *plane, struct gg_group *const *groups, size_t count);
/* Sets the gauges of what changes with time alone: the weights of upstreams. */
void gg__groups_collect(struct gg_plane *plane);

/* Phase 3: goes over to what the engine has published. On the engine's thread for a worker that has none (yet, or any
 * more). */
void gg__worker_pass(struct gg_worker *worker);

/* listener.c: on the engine's thread; takes a reference of the plan. NULL without memory. */
struct gg_listener *gg__listener_create(struct gg_worker *worker, struct gg_plan *plan, unsigned slot);
void gg__listener_destroy(struct gg_listener *listener); /* any thread */
/* Frees all of the list. */
void gg__listeners_free(struct gg_list *listeners);
/* A session that has its place ended, or came to nothing. */
void gg__listener_place_give(const struct gg_listener *listener);
/* The last session may have ended for which a listener had to stay; it stays until the iteration ends. */
void gg__listener_session_ended(struct gg_listener *listener);
/* The listeners are those of the snapshot; others leave. */
void gg__listeners_adopt(struct gg_worker *worker, struct gg_snapshot *snapshot);
void gg__listeners_resume(struct gg_worker *worker);
/* No new clients; those who wait are served. */
void gg__listeners_leave(struct gg_worker *worker);
/* Phase 7: closes those that leave when nobody waits there any more. Returns when it wants to be called again. */
uint64_t gg__listeners_part(struct gg_worker *worker);
/* Closes them all, whoever waits there. */
void gg__listeners_close(struct gg_worker *worker);

static inline void gg__count(struct gg_worker *worker, enum gg_counter counter, uint64_t n)
{
  gg_shard_add(worker->shard, worker->counters + counter, n);
}

#endif
