/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/orders.h"

#include "gateway/live.h"
#include "gateway/relay.h"
#include "gateway/worker.h"

#include <stdlib.h>
#include <string.h>

void gg__orders_init(struct gg_orders *orders)
{
  pthread_mutex_init(&orders->lock, NULL);
  orders->first = NULL;
  orders->last = &orders->first;
}

static void order_free(struct gg_order *order)
{
  gg_hook_unref(order->hook);
  free(order);
}

void gg__orders_fini(struct gg_orders *orders)
{
  while (orders->first) {
    struct gg_order *order = orders->first;
    orders->first = order->next;
    order_free(order);
  }
  pthread_mutex_destroy(&orders->lock);
}

static size_t text_bytes(const char *text)
{
  return text ? strlen(text) + 1 : 0;
}

static const void *put(uint8_t **to, const void *from, size_t bytes)
{
  if (bytes == 0)
    return NULL;
  memcpy(*to, from, bytes);
  *to += bytes;
  return *to - bytes;
}

static struct gg_order *order_copy(const struct gg_order *from)
{
  const struct gg_verdict *verdict = &from->verdict;
  size_t upstream_bytes = text_bytes(verdict->upstream), reason_bytes = text_bytes(verdict->reason);
  size_t reply_bytes = verdict->reply ? verdict->reply_length : 0;
  struct gg_order *order = malloc(sizeof *order + upstream_bytes + reason_bytes + reply_bytes);
  if (!order)
    return NULL;
  *order = *from;
  uint8_t *to = (uint8_t *)(order + 1);
  order->verdict.upstream = put(&to, verdict->upstream, upstream_bytes);
  order->verdict.reason = put(&to, verdict->reason, reason_bytes);
  order->verdict.reply = put(&to, verdict->reply, reply_bytes);
  order->verdict.reply_length = reply_bytes;
  order->next = NULL;
  if (order->hook)
    gg_hook_ref(order->hook);
  return order;
}

int gg__orders_give(struct gg_worker *worker, const struct gg_order *order)
{
  struct gg_orders *orders = &worker->orders;
  struct gg_order *copy = order_copy(order);
  if (!copy)
    return GG_ERR_NOMEM;
  pthread_mutex_lock(&orders->lock);
  bool full = orders->count >= GG_ORDERS_MAX, first = orders->count == 0;
  if (!full) {
    *orders->last = copy;
    orders->last = &copy->next;
    orders->count++;
    atomic_store_explicit(&orders->some, true, memory_order_release);
  }
  pthread_mutex_unlock(&orders->lock);
  if (full) {
    order_free(copy);
    return GG_ERR_AGAIN;
  }
  if (first)
    gg_wake_signal(&worker->wake);
  return GG_OK;
}

static void carry_out(struct gg_session *session, const struct gg_order *order)
{
  switch (order->kind) {
  case GG_ORDER_THROTTLE:
    gg__live_throttle(session, order->direction, order->bytes_per_second);
    break;
  case GG_ORDER_CUT:
    gg__live_end(session, GG_FROM_CLIENT, order->hook ? order->hook->name : "", &order->verdict, UINT64_MAX);
    break;
  case GG_ORDER_RESUME:
    gg__gate_resume(session, order->direction, order->hook, &order->verdict);
    break;
  }
}

void gg__orders_carry_out(struct gg_worker *worker)
{
  struct gg_orders *orders = &worker->orders;
  if (!atomic_load_explicit(&orders->some, memory_order_acquire))
    return;
  pthread_mutex_lock(&orders->lock);
  struct gg_order *order = orders->first;
  orders->first = NULL;
  orders->last = &orders->first;
  orders->count = 0;
  atomic_store_explicit(&orders->some, false, memory_order_relaxed);
  pthread_mutex_unlock(&orders->lock);
  while (order) {
    struct gg_order *next = order->next;
    struct gg_session *session = gg__known_find(&worker->known, &order->id);
    if (session && !gg__session_over(session))
      carry_out(session, order);
    order_free(order);
    order = next;
  }
}
