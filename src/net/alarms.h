/* SPDX-License-Identifier: Apache-2.0 */
/**
 * alarms.h - timers that each have a time of their own, where those of timers.h have a duration in common.
 *
 * A pairing heap whose nodes are the alarms themselves: to set one for the first time is O(1), what takes one out is
 * O(log n) on the average, and nothing is ever allocated. One that is set and not due costs nothing.
 *
 * Thread: the loop's.
 */
#ifndef GG_NET_ALARMS_H
#define GG_NET_ALARMS_H

#include <stdbool.h>
#include <stdint.h>

struct gg_alarm {
  struct gg_alarm *child;    /* the first of those that are due later */
  struct gg_alarm *next;     /* in the same list of children */
  struct gg_alarm *previous; /* in it; of the first: whose children they are */
  uint64_t at_ns;            /* 0: not set */
};

/* The alarm is not set any more; it may be set again, for later than `now_ns`. */
typedef void (*gg_alarm_fn)(struct gg_alarm *alarm, uint64_t now_ns);

struct gg_alarms {
  struct gg_alarm *first; /* the one that is due first */
  gg_alarm_fn expired;
};

static inline bool gg_alarm_is_set(const struct gg_alarm *alarm)
{
  return alarm->at_ns != 0;
}

/* Sets it, for another time if it was set before. A struct gg_alarm of zeros is one that is not set. */
void gg_alarm_set(struct gg_alarms *alarms, struct gg_alarm *alarm, uint64_t at_ns);
void gg_alarm_stop(struct gg_alarms *alarms, struct gg_alarm *alarm);

/* Calls `expired` for those that are due. Returns when the next one is, UINT64_MAX if none. */
uint64_t gg_alarms_run(struct gg_alarms *alarms, uint64_t now_ns);

#endif
