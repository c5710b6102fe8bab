/* SPDX-License-Identifier: Apache-2.0 */
/**
 * wire.h - connections and time, behind a small table of operations: the kernel's (sockets.h), or a simulated one.
 *
 * A wire is a loop: `wait` calls the sink of each connection that something has happened to. Edge-triggered: after
 * READABLE the owner receives until it is told GG_ERR_AGAIN (or got less than it asked for: an end behind those bytes
 * has a READABLE of its own), after WRITABLE it may send until GG_ERR_AGAIN. CONNECTED comes once, or FAILED once;
 * nothing comes after `close`.
 *
 * Thread: one; but gg_wire_ops.interrupt from any thread and from signal handlers.
 */
#ifndef GG_REPLAY_WIRE_H
#define GG_REPLAY_WIRE_H

#include "net/addr.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gg_wire;
struct gg_line; /* a connection; the wire's */

enum gg_wire_event {
  GG_WIRE_CONNECTED = 1,
  GG_WIRE_FAILED = 2, /* no connection; gg_wire_ops.error says why */
  GG_WIRE_READABLE = 4,
  GG_WIRE_WRITABLE = 8,
};

typedef void (*gg_wire_fn)(void *sink, unsigned events);

struct gg_wire_ops {
  uint64_t (*now)(struct gg_wire *wire); /* monotonic, nanoseconds; the same as CLOCK_MONOTONIC for sockets */
  /* Begins to connect. 0: *out is set, and an event will come (never during the call). GG_ERR_LIMIT: no descriptor, no
   * port, no memory at the moment: worth trying again later. Other errors: not worth it. */
  int (*connect)(struct gg_wire *wire, gg_wire_fn event, void *sink, struct gg_line **out, struct gg_failure *failure);
  /* What is at hand of both ends' addresses, once connected. */
  void (*ends)(struct gg_line *line, struct gg_addr *local, struct gg_addr *remote);
  int (*error)(struct gg_line *line); /* after FAILED: GG_ERR_REFUSED, GG_ERR_TIMEOUT, GG_ERR_LIMIT or GG_ERR_IO */
  /* Bytes taken, or GG_ERR_AGAIN, or GG_ERR_CLOSED: the peer takes no more. `more`: further bytes follow at once. */
  ssize_t (*send)(struct gg_line *line, const uint8_t *data, size_t size, bool more);
  /* Bytes; 0: the peer's orderly end; GG_ERR_AGAIN; GG_ERR_CLOSED: reset. A reset may still follow an orderly end. */
  ssize_t (*receive)(struct gg_line *line, uint8_t *data, size_t size);
  void (*finish)(struct gg_line *line);            /* half-close: FIN behind what was sent */
  void (*close)(struct gg_line *line, bool reset); /* `reset`: RST; frees the line (now, or after the present `wait`) */
  /* Delivers events until `deadline_ns` (UINT64_MAX: none), until some were delivered, or until it is interrupted. */
  void (*wait)(struct gg_wire *wire, uint64_t deadline_ns);
  void (*interrupt)(struct gg_wire *wire);
};

struct gg_wire {
  const struct gg_wire_ops *ops;
};

#endif
