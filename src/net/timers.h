/* SPDX-License-Identifier: Apache-2.0 */
/**
 * timers.h - many timers of few durations.
 *
 * All timers of one list have the same duration, so the list is in order of expiry if each is put at its end when it
 * starts: starting, stopping and expiring are O(1), and a session carries two pointers and a time. A timer that is
 * restarted often (idle: at every read) is not moved; its owner notes the time of its last activity, and when the
 * timer expires, `expired` says until when it should go on (lazily, once a duration).
 *
 * Thread: the loop's.
 */
#ifndef GG_NET_TIMERS_H
#define GG_NET_TIMERS_H

#include "base/list.h"

#include <stdint.h>

struct gg_timer {
  struct gg_list node;
  uint64_t started_ns;
};

/* Returns the time at which the timer is to be taken as started anew (later than it was), or 0: it has expired, and
 * whatever `expired` did with its owner is done. */
typedef uint64_t (*gg_timer_fn)(struct gg_timer *timer, uint64_t now_ns);

struct gg_timer_list {
  struct gg_list head;
  uint64_t duration_ns; /* 0: these timers never expire; may be changed at any time, for all that run */
  gg_timer_fn expired;
};

static inline void gg_timer_list_init(struct gg_timer_list *list, uint64_t duration_ns, gg_timer_fn expired)
{
  gg_list_init(&list->head);
  list->duration_ns = duration_ns;
  list->expired = expired;
}

static inline void gg_timer_init(struct gg_timer *timer)
{
  gg_list_init(&timer->node);
  timer->started_ns = 0;
}

static inline void gg_timer_stop(struct gg_timer *timer)
{
  gg_list_remove(&timer->node);
}

/* How far a lazily restarted timer is moved up from the end of its list to its place in the order; one that should go
 * further expires late, by less than the list's duration. */
enum { GG_TIMER_WALK_MAX = 256 };

/* (Re)starts it in a list, as of `started_ns`. */
static inline void gg_timer_start(struct gg_timer *timer, struct gg_timer_list *list, uint64_t started_ns)
{
  gg_list_remove(&timer->node);
  timer->started_ns = started_ns;
  struct gg_list *after = list->head.previous;
  for (unsigned walk = 0; walk < GG_TIMER_WALK_MAX && after != &list->head; walk++, after = after->previous)
    if (GG_CONTAINER(after, struct gg_timer, node)->started_ns <= started_ns)
      break;
  gg_list_append(after->next, &timer->node); /* before the next one */
}

/* Expires what is due. Returns when the next one is, UINT64_MAX if none. */
static inline uint64_t gg_timer_list_run(struct gg_timer_list *list, uint64_t now_ns)
{
  while (list->duration_ns && !gg_list_empty(&list->head)) {
    struct gg_timer *timer = GG_CONTAINER(list->head.next, struct gg_timer, node);
    if (timer->started_ns + list->duration_ns > now_ns)
      return timer->started_ns + list->duration_ns;
    uint64_t started_ns = timer->started_ns;
    gg_timer_stop(timer);
    uint64_t again_ns = list->expired(timer, now_ns);
    if (again_ns > started_ns)
      gg_timer_start(timer, list, again_ns > now_ns ? now_ns : again_ns);
  }
  return UINT64_MAX;
}

#endif
