/* SPDX-License-Identifier: Apache-2.0 */
/**
 * splice.h - the path of bulk flows: the kernel moves the pages, tee duplicates the references, and one read of the
 * duplicate fills the log.
 *
 *     from.fd ──splice──► pipe ──splice──► to.fd
 *                          │tee
 *                          ▼
 *                         tap ──readv──► the log's reservation
 *
 * What is not recorded (record: off) goes through the pipe alone.
 *
 * Pipes come from a pool of the worker, bounded, and are held only while they hold bytes. A pipe that the kernel made
 * too small (an ordinary user's budget of pipe pages is soon used up) is not used: the direction stays in place.
 *
 * Thread: its worker's.
 */
#ifndef GG_GATEWAY_SPLICE_H
#define GG_GATEWAY_SPLICE_H

#include "record/conversation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg_session;
struct gg_worker;

enum {
  GG_PIPE_BYTES = 1 << 20,          /* asked for */
  GG_PIPE_BYTES_MIN = 64 << 10,     /* less is not worth it */
  GG_PIPES_MAX = 32,                /* of one worker, besides the tap */
  GG_SPLICE_BYTES = 1 << 20,        /* one splice at the most; bounded also by what the log can reserve */
  GG_SPLICE_BYTES_WORTH = 16 << 10, /* less, several times in a row, and the direction goes back in place */
};

#define GG_PIPE_RETRY_NS UINT64_C(1000000000) /* after the kernel refused one */

struct gg_pipe {
  struct gg_pipe *next; /* in the pool */
  int read_fd;
  int write_fd;
  size_t capacity;
  size_t recorded; /* bytes in it that are in the log, or need not be: these may go on */
  size_t raw;      /* bytes behind them that are not yet */
};

struct gg_pipe_pool {
  struct gg_pipe *idle;
  struct gg_pipe *tap;
  unsigned count; /* made and not destroyed, without the tap */
  bool refused;   /* the last one was too small or refused: not tried again before `retry_ns` */
  uint64_t retry_ns;
};

void gg_pipe_pool_init(struct gg_pipe_pool *pool);
void gg_pipe_pool_fini(struct gg_pipe_pool *pool);

/* A pipe for a direction, or NULL. */
struct gg_pipe *gg__pipe_acquire(struct gg_worker *worker);
/* Gives it back; one that still holds bytes is closed instead. */
void gg__pipe_release(struct gg_worker *worker, struct gg_pipe *pipe);

#endif
