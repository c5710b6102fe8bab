/* SPDX-License-Identifier: Apache-2.0 */
/**
 * health.h - what is known of an upstream's health, shared by all workers and kept over reloads.
 *
 *                    `failures` connects in a row failed
 *        ┌──────── [UP] ◄──────────────────────────────────────────┐
 *        │          ▲                                               │ a connect succeeded: its weight grows to the
 *        ▼          │ a check, or any other connect, succeeded      │ full one over slow_start
 *      [OUT] ───────┘                                               │
 *        │ its time is over, and somebody would choose it           │
 *        ▼                                                          │
 *    on trial: one session tries it, and for as long as it was out the others do as if it still were
 *        │
 *        ├─ failed: [OUT] for twice as long, but never longer than out_max
 *        └─ not tried after all, as when a plug-in refuses it: the next session may try it at once
 *
 * Drained is independent of all this: somebody wants it to get no new sessions.
 *
 * It is judged by the list that is in force: when a reload says that nobody is taken out any more, who is out comes
 * back with it, and sessions that came by the list before do not take it out again.
 *
 * Failures in a row, the time until which it is out, and whether it is drained are atomics that a choice reads. They
 * change their meaning (out, back, drained) under the one lock of the gateway's health, which is taken only then: a
 * few times for each upstream that breaks. (Rejected: to do that with atomics alone. Gauges and log lines would then
 * tell states in another order than they happened.)
 *
 * What is counted goes to the shard of the thread that found out; a state's gauge is 1 in the sum of the shards.
 *
 * Thread: any, with its own shard.
 */
#ifndef GG_GATEWAY_HEALTH_H
#define GG_GATEWAY_HEALTH_H

#include "base/metrics.h"
#include "gateway/plane.h"
#include "gateway/route.h"

#include <pthread.h>
#include <stdatomic.h>

/* What all healths of a gateway share. */
struct gg_health_desk {
  pthread_mutex_t lock;
  struct gg_shard *shard; /* of threads without one of their own: under the lock */
  struct gg_logger *logger;
};

struct gg_health {
  _Atomic unsigned refs;
  struct gg_health_desk *desk;
  const struct gg_route *route; /* held */
  char *listener;
  char *name;
  _Atomic uint64_t failures;     /* connects in a row */
  _Atomic uint64_t out_until_ns; /* CLOCK_MONOTONIC; 0: it is not out */
  _Atomic uint64_t back_ns;      /* when it came back; 0: it was never away */
  _Atomic bool drained;
  /* Under the lock: */
  unsigned outs;          /* times that it was taken out in a row */
  bool never_out;         /* the list in force has failures = 0 */
  uint64_t slow_start_ns; /* the list's; for the log */
  unsigned listings;      /* groups that have it: while there is one its gauges are told */
};

int gg__health_desk_init(struct gg_health_desk *desk, struct gg_metrics *metrics, struct gg_logger *logger);
void gg__health_desk_fini(struct gg_health_desk *desk); /* fine on a zeroed one */

/* With one reference. NULL without memory. */
struct gg_health *gg__health_create(struct gg_health_desk *desk, const struct gg_route *route, const char *listener,
                                    const char *name);
/* What is known of the same upstream under another name of its listener. Before it is listed. */
void gg__health_inherit(struct gg_health *health, const struct gg_health *from);
void gg__health_ref(struct gg_health *health);
void gg__health_unref(struct gg_health *health);

/* A group has it; has it no more. */
void gg__health_list(struct gg_health *health);
void gg__health_unlist(struct gg_health *health);

/* It is judged by these from now on: the options of the list that is in force. */
void gg__health_govern(struct gg_health *health, const struct gg_health_options *options, uint64_t now_ns);

/* A connect came to nothing, through no fault of ours. `trial`: it was one by gg__health_claim. */
void gg__health_failed(struct gg_health *health, const struct gg_health_options *options, bool trial,
                       const char *reason, uint64_t now_ns, struct gg_shard *shard);
void gg__health_succeeded(struct gg_health *health, uint64_t now_ns, struct gg_shard *shard);

/* Its time is over: true for the one who is to try it. */
bool gg__health_claim(struct gg_health *health, const struct gg_health_options *options, uint64_t now_ns);
/* Who claimed it has not tried it, through no fault of the upstream's: the next one may, at once. */
void gg__health_disclaim(struct gg_health *health, uint64_t now_ns);

void gg__health_drain(struct gg_health *health, bool drained, uint64_t now_ns);

/* Sets the gauges of its weight: what is configured, and which part of that it has now, in millionths. One that is out
 * or drained has none, whatever is said. */
void gg__health_tell_weight(struct gg_health *health, unsigned weight, unsigned weight_ppm);

#endif
