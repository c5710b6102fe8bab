/* SPDX-License-Identifier: Apache-2.0 */
/**
 * orders.h - what other threads want of a worker's sessions: a queue, and a turn's phase that empties it.
 *
 * Whoever gives an order does not wait for it. One for a session that has ended meanwhile comes to nothing.
 *
 * Thread: give: any; carry_out: the worker.
 */
#ifndef GG_GATEWAY_ORDERS_H
#define GG_GATEWAY_ORDERS_H

#include "gateway/session.h"
#include "hook/hook.h"
#include <pthread.h>

enum { GG_ORDERS_MAX = 65536 }; /* of a worker that are not carried out yet */

enum gg_order_kind { GG_ORDER_THROTTLE, GG_ORDER_CUT, GG_ORDER_RESUME };

struct gg_order {
  struct gg_order *next;
  enum gg_order_kind kind;
  struct gg_session_id id;
  enum gg_direction direction;
  uint64_t bytes_per_second;
  struct gg_hook *hook;      /* whose order it is; held; NULL: the embedding program's */
  struct gg_verdict verdict; /* its texts stand behind the order */
};

struct gg_orders {
  pthread_mutex_t lock;
  struct gg_order *first, **last;
  unsigned count;
  _Atomic bool some;
};

void gg__orders_init(struct gg_orders *orders);
void gg__orders_fini(struct gg_orders *orders); /* those that are left come to nothing */
/* Copies it, texts too. GG_ERR_NOMEM; GG_ERR_AGAIN: GG_ORDERS_MAX of them wait. */
int gg__orders_give(struct gg_worker *worker, const struct gg_order *order);
/* Phase 2. */
void gg__orders_carry_out(struct gg_worker *worker);

#endif
