/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/tarpit.h"

#include "gateway/worker.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct hanging {
  struct gg_source source;
  struct gg_timer timer;
  struct gg_worker *worker;
  struct gg_list over; /* freed at the end of the turn: an event of it may be fetched already */
};

static void reset(int fd)
{
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  close(fd);
}

static void let_go(struct hanging *hanging)
{
  struct gg_worker *worker = hanging->worker;
  gg_source_forget(&hanging->source);
  gg_loop_ignore(&worker->loop, &hanging->source);
  reset(hanging->source.fd);
  gg_timer_stop(&hanging->timer);
  worker->tarpit.count--;
  gg__count(worker, GG_COUNT_TARPITTED, (uint64_t)-1);
  atomic_fetch_sub_explicit(&worker->plane->sessions, 1, memory_order_relaxed);
  gg_list_append(&worker->tarpit.over, &hanging->over);
}

static void left(struct gg_source *source, uint32_t events)
{
  (void)events;
  let_go(GG_CONTAINER(source, struct hanging, source));
}

static uint64_t expired(struct gg_timer *timer, uint64_t now_ns)
{
  (void)now_ns;
  let_go(GG_CONTAINER(timer, struct hanging, timer));
  return 0;
}

void gg__tarpit_init(struct gg_tarpit *tarpit)
{
  gg_timer_list_init(&tarpit->timers, 0, expired);
  gg_list_init(&tarpit->over);
}

void gg__tarpit_take(struct gg_worker *worker, int fd)
{
  struct gg_tarpit *tarpit = &worker->tarpit;
  struct hanging *hanging = NULL;
  uint64_t all = atomic_fetch_add_explicit(&worker->plane->sessions, 1, memory_order_relaxed);
  if (worker->listening && all <= worker->snapshot->sessions_max) /* it has a place still, which it gives back */
    hanging = malloc(sizeof *hanging);
  if (!hanging)
    goto refused;
  *hanging = (struct hanging){.source = {left, fd}, .worker = worker};
  gg_timer_init(&hanging->timer);
  gg_list_init(&hanging->over);
  /* Only that it leaves is of interest: what it sends fills its socket's buffer, and then its own. */
  if (gg_loop_watch(&worker->loop, &hanging->source, EPOLLRDHUP | EPOLLET) != GG_OK)
    goto refused;
  gg_timer_start(&hanging->timer, &tarpit->timers, worker->loop.now_ns);
  tarpit->count++;
  gg__count(worker, GG_COUNT_TARPITTED, 1);
  return;

refused:
  free(hanging);
  atomic_fetch_sub_explicit(&worker->plane->sessions, 1, memory_order_relaxed);
  reset(fd);
}

void gg__tarpit_empty(struct gg_worker *worker)
{
  struct gg_list *timers = &worker->tarpit.timers.head;
  while (!gg_list_empty(timers))
    let_go(GG_CONTAINER(timers->next, struct hanging, timer.node));
}

void gg__tarpit_free(struct gg_worker *worker)
{
  struct gg_list *over = &worker->tarpit.over;
  while (!gg_list_empty(over)) {
    struct hanging *hanging = GG_CONTAINER(over->next, struct hanging, over);
    gg_list_remove(&hanging->over);
    free(hanging);
  }
}
