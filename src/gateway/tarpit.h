/* SPDX-License-Identifier: Apache-2.0 */
/**
 * tarpit.h - clients that are left hanging: connected, and never answered or read from again.
 *
 * One costs a descriptor, its place among the gateway's sessions and no session. It is let go, by a RST, when it leaves
 * itself, when timeouts.tarpit has passed, or when the gateway drains.
 *
 * Thread: the worker's.
 */
#ifndef GG_GATEWAY_TARPIT_H
#define GG_GATEWAY_TARPIT_H

#include "net/timers.h"

struct gg_worker;

struct gg_tarpit {
  struct gg_timer_list timers; /* all that hang */
  struct gg_list over;         /* that hang no more, to be freed */
  uint64_t count;
};

void gg__tarpit_init(struct gg_tarpit *tarpit);
/* The client's socket is the tarpit's from here on. It is in no set of the loop. Without room it is reset at once. */
void gg__tarpit_take(struct gg_worker *worker, int fd);
/* Lets all of them go. */
void gg__tarpit_empty(struct gg_worker *worker);
/* Phase 8. */
void gg__tarpit_free(struct gg_worker *worker);

#endif
