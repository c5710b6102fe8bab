/* SPDX-License-Identifier: Apache-2.0 */
/**
 * polled.h - a gateway that the embedding program's own event loop drives (gg_gateway_options.polled).
 *
 * Thread: the one that starts and polls it, but for gg__polled_here.
 */
#ifndef GG_ENGINE_POLLED_H
#define GG_ENGINE_POLLED_H

#include <gogetway/gateway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct gg_configured;

struct gg_polled {
  int set;           /* epoll: the worker's base set, the engine's requests, the timer */
  int timer_fd;      /* CLOCK_MONOTONIC */
  uint64_t timer_ns; /* for which it is set; UINT64_MAX: it is not */
  uint64_t look_ns;  /* when requests are looked at without having been told of */
  bool busy;         /* inside gg_gateway_poll */
  bool ending;       /* the worker has ended; the rest is written to the disk, by: */
  bool ender_runs;   /* a thread */
  pthread_t ender;
  _Atomic bool ender_done;
  int ender_error;
  struct gg_failure ender_failure;
  _Atomic pid_t thread; /* that polls */
};

/* Of a gateway that is being created, behind its wake_fd. */
int gg__polled_create(struct gg_gateway *engine, struct gg_failure *failure);
void gg__polled_destroy(struct gg_polled *polled); /* NULL is fine */
/* The number of workers of one that is polled, if the configuration leaves it open, is 1; else nothing happens. */
void gg__polled_workers(const struct gg_gateway *engine, struct gg_configured *configured);
/* The plane is there: its events are waited for, and the first turn is due. */
int gg__polled_begin(struct gg_gateway *engine, struct gg_failure *failure);
/* Whether this thread is the one that polls: it carries out itself what it asks for. Any thread. */
bool gg__polled_here(const struct gg_gateway *engine);

#endif
