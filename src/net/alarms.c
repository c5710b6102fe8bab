/* SPDX-License-Identifier: Apache-2.0 */
#include "net/alarms.h"

#include <assert.h>
#include <stddef.h>

/* Of two heaps makes one: the later becomes the first child of the earlier. */
static struct gg_alarm *meld(struct gg_alarm *a, struct gg_alarm *b)
{
  if (!a || !b)
    return a ? a : b;
  if (b->at_ns < a->at_ns) {
    struct gg_alarm *other = a;
    a = b;
    b = other;
  }
  b->previous = a;
  b->next = a->child;
  if (b->next)
    b->next->previous = b;
  a->child = b;
  a->next = a->previous = NULL;
  return a;
}

/* Of a list of heaps makes one: melds them by pairs from the left, and the pairs from the right. */
static struct gg_alarm *meld_list(struct gg_alarm *list)
{
  struct gg_alarm *pairs = NULL; /* by `next`, the rightmost first */
  while (list) {
    struct gg_alarm *a = list, *b = a->next;
    list = b ? b->next : NULL;
    a->next = a->previous = NULL;
    if (b)
      b->next = b->previous = NULL;
    a = meld(a, b);
    a->next = pairs;
    pairs = a;
  }
  struct gg_alarm *whole = NULL;
  while (pairs) {
    struct gg_alarm *rest = pairs->next;
    pairs->next = NULL;
    whole = meld(whole, pairs);
    pairs = rest;
  }
  return whole;
}

void gg_alarm_stop(struct gg_alarms *alarms, struct gg_alarm *alarm)
{
  if (!gg_alarm_is_set(alarm))
    return;
  struct gg_alarm *later = meld_list(alarm->child);
  if (alarms->first == alarm) {
    alarms->first = later;
  } else {
    assert(alarm->previous);
    if (alarm->previous->child == alarm)
      alarm->previous->child = alarm->next;
    else
      alarm->previous->next = alarm->next;
    if (alarm->next)
      alarm->next->previous = alarm->previous;
    alarms->first = meld(alarms->first, later);
  }
  *alarm = (struct gg_alarm){0};
}

void gg_alarm_set(struct gg_alarms *alarms, struct gg_alarm *alarm, uint64_t at_ns)
{
  gg_alarm_stop(alarms, alarm);
  alarm->at_ns = at_ns > 0 ? at_ns : 1;
  alarms->first = meld(alarms->first, alarm);
}

uint64_t gg_alarms_run(struct gg_alarms *alarms, uint64_t now_ns)
{
  while (alarms->first && alarms->first->at_ns <= now_ns) {
    struct gg_alarm *due = alarms->first;
    gg_alarm_stop(alarms, due);
    alarms->expired(due, now_ns);
    assert(alarms->first != due || due->at_ns > now_ns);
  }
  return alarms->first ? alarms->first->at_ns : UINT64_MAX;
}
