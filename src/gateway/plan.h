/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plan.h - what the gateway does from one reload to the next.
 *
 *     snapshot ──► plan, one a listener ──► binding (bind.h)      engine's thread makes a snapshot, whole or not at all
 *                    ▲            └───────► group (group.h)
 *                    │
 *                  listener, one a worker and socket (worker.h) ◄── session
 *
 * A snapshot is what all workers go by now; when every worker goes by the next one it is freed. A plan is what is done
 * with a listener's clients: its options, copied, and what was made for them. It is never written after it was made,
 * and lives for as long as a worker has a listener of it, which is until the last session that came by it has ended.
 * So a session sees one and the same options all its life; only time-outs and limits, which are the snapshot's, change
 * under it. (Rejected: to change the options of a listener under its sessions. One may be in the middle of a greeting,
 * or of a PROXY header, which would then be another one.)
 *
 * Thread: made and published on the engine's; a plan is freed by whoever lets go of it last.
 */
#ifndef GG_GATEWAY_PLAN_H
#define GG_GATEWAY_PLAN_H

#include "base/list.h"
#include "gateway/bind.h"
#include "gateway/plane.h"
#include "gateway/queue.h"
#include "gateway/route.h"

struct gg_group;
struct gg_listener;

struct gg_plan {
  _Atomic unsigned refs;
  struct gg_binding *binding;       /* held */
  struct gg_group *group;           /* held; NULL: there are no upstreams */
  struct gg_listener_routes routes; /* held */
  size_t queue;                     /* its place in queue.h; GG_QUEUE_NONE: a unix socket */
  unsigned log;                     /* which of a worker's logs */
  /* What these point at is the plan's own, and stands behind it. No sockets, and of upstreams no names to be resolved:
   * those are the group's. */
  struct gg_listener_options options;
};

struct gg_snapshot {
  struct gg_plane_options options; /* without listeners */
  uint64_t sessions_max;           /* by configuration and by descriptors */
  unsigned log_count;              /* of each worker */
  size_t plan_count;
  struct gg_plan *plans[GG_LISTENERS_MAX];
  struct gg_list fresh[GG_WORKERS_MAX]; /* listeners, which each worker takes when it goes over to this */
};

/* Makes the next snapshot: binds, adds logs, prepares each worker's listeners. An error changes nothing. */
int gg__snapshot_create(struct gg_snapshot **out, struct gg_plane *plane, const struct gg_plane_options *options,
                        struct gg_failure *failure);
/* Nobody goes by it any more (or ever did: then it takes back what create began). NULL is fine. */
void gg__snapshot_destroy(struct gg_snapshot *snapshot, struct gg_plane *plane);

void gg__plan_unref(struct gg_plan *plan);

/* reload.c: all workers go by it from here on; frees the one before, of which nothing is borrowed any more. */
void gg__plane_go_over(struct gg_plane *plane, struct gg_snapshot *snapshot);

#endif
