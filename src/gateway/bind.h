/* SPDX-License-Identifier: Apache-2.0 */
/**
 * bind.h - where a listener listens: its sockets, and who uses them.
 *
 * Every worker has a socket of its own for every TCP listener (SO_REUSEPORT: the kernel spreads the connections), or
 * several, if more came from another process. A unix listener, and a TCP one that came without SO_REUSEPORT, has one
 * socket, which all workers watch.
 *
 * A socket's life, and who moves it on:
 *
 *      bound ──listen──► OPEN ──removed, drained──► LEAVING ──nobody waits there──► PARTING ──► CLOSED
 *       (engine)           ▲        (worker)         │   ▲         (worker)               (worker)
 *                          │                         ▼   │ the reload failed
 *      BOUND ──taken over──┴──reload is done──── WANTED (engine: the listener is to be had again)
 *
 * BOUND is for a process that takes over and has more workers than the one before. The sockets that it adds would get
 * their share of the clients as soon as they listen, and reset them if the process ended before it has taken over. So
 * they are bound at once, where that can still be refused, and listen when the other one has let go. (No worker watches
 * one until then: epoll tells of a hang-up on a socket that does not listen, without end.) And nobody accepts from the
 * others' either, so long as `waits`: who takes over and fails has had no client.
 *
 * The engine and a worker may both want a leaving socket; whoever exchanges its state has it. One that parts is the
 * worker's until it is closed: its place is not filled before that.
 *
 * Thread: the engine's, but for what workers do with the atomics and what is said to be theirs below.
 */
#ifndef GG_GATEWAY_BIND_H
#define GG_GATEWAY_BIND_H

#include "base/list.h"
#include "gateway/plane.h"

#include <stdatomic.h>

enum {
  GG_BACKLOG = 4096,
  GG_SOCKETS_MAX = GG_WORKERS_MAX, /* of one listener */
};

/* Clients who wait to be accepted. */
struct gg_accept_queue {
  uint64_t waiting; /* at all sockets */
  uint64_t longest; /* at one of them */
  uint64_t limit;   /* how many may wait at one of them */
};

enum gg_socket_state {
  GG_SOCKET_BOUND,
  GG_SOCKET_OPEN,
  GG_SOCKET_LEAVING,
  GG_SOCKET_WANTED,
  GG_SOCKET_PARTING,
  GG_SOCKET_CLOSED
};

struct gg_socket {
  int fd;
  _Atomic int state;      /* enum gg_socket_state */
  _Atomic unsigned users; /* workers' listeners: who is the last closes it */
  _Atomic bool left;      /* it has left once, and may have been had again: who was accepted may have inherited that */
  bool fresh;             /* made for the reload that is going on, and does not listen yet */
};

struct gg_binding {
  struct gg_list node;       /* the gateway's */
  struct gg_endpoint listen; /* as it was asked for */
  char *name;                /* who asked; where port 0 was asked for it is needed to know it again */
  struct gg_endpoint bound;  /* where it is */
  struct gg_addr address;    /* the same, as it is recorded; of a unix listener an address that stands for it */
  bool wildcard;             /* the address is known only of a connection */
  bool shared;               /* one socket for all workers */
  unsigned unix_mode;        /* 0: as it came */
  unsigned mode_before;      /* during a reload: what it goes back to; 0: it has not changed */
  bool chosen;               /* by the reload that is going on */
  _Atomic bool elsewhere;    /* another process listens there: it was handed over to, or has not handed over yet */
  _Atomic bool waits;        /* lent: the process before serves, and nobody here does yet */
  _Atomic bool dropped;      /* a hand-over did not take it: it leaves as by a reload, though the gateway drains */
  _Atomic bool parted;       /* a unix listener: its path is gone */
  _Atomic unsigned refs;     /* the gateway, and plans */
  _Atomic uint64_t sessions; /* open ones, over all workers */
  unsigned foreign_count;    /* so many of the first sockets somebody else holds too, and goes on to listen there */
  unsigned socket_count;
  struct gg_socket sockets[GG_SOCKETS_MAX];
};

/* Finds the binding that the listener has already, or had: then with what is left of its sockets, and others for those
 * that are closed. NULL: it has none. What is found is `chosen`. */
int gg__binding_find(struct gg_binding **out, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_failure *failure);
/* Binds a listener's sockets, or duplicates what it inherits; after all have been found that can be. Nothing listens
 * yet that did not before. `chosen`, too. */
int gg__binding_make(struct gg_binding **out, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_failure *failure);
/* The last step of all that can fail: new sockets listen, a unix path has its mode. */
int gg__binding_listen(struct gg_binding *binding, const struct gg_listener_options *options,
                       struct gg_failure *failure);
/* The reload is over: chosen bindings stay (`done`), or are as they were before. */
void gg__bindings_settle(struct gg_plane *plane, bool done);
/* Frees the bindings that nobody uses any more; all of them when the gateway ends. */
void gg__bindings_sweep(struct gg_plane *plane, bool all);

/* The process before has let go, or (`beside`) does not answer and may not accept: what it lent is served from here on.
 * Unless `beside` its sockets are ours alone, and those that wait BOUND listen; a negative gg_error: some cannot yet,
 * and gg__binding_serves tries again. */
int gg__binding_serve(struct gg_binding *binding, bool beside, struct gg_failure *failure);

void gg__binding_unref(struct gg_binding *binding); /* any thread: the gateway's own reference is the last */

/* Any thread. One that is foreign is only let go of: neither its path nor who may connect to it is changed. */
bool gg__binding_is_foreign(const struct gg_binding *binding, unsigned slot);
/* Engine: whether some worker accepts from a foreign socket of it at that place. */
bool gg__binding_accepts_at(const struct gg_binding *binding, const struct gg_endpoint *place);

/* Worker: whether the socket is to be watched. */
bool gg__binding_serves(struct gg_binding *binding, unsigned slot);
/* Worker: it leaves. No new client comes to the socket from here on, but those who are on their way still arrive. (At a
 * foreign one that is not ours to decide.) */
void gg__binding_leave(struct gg_binding *binding, unsigned slot);
/* Worker: an accepted socket gets rid of what it may have inherited from a listening one that leaves, or had left when
 * its handshake ended. */
void gg__binding_accepted(const struct gg_binding *binding, unsigned slot, int fd);
/* Worker: how many wait there to be accepted. Of a unix socket that is not known: as many as may. */
uint32_t gg__binding_waiting(const struct gg_binding *binding, unsigned slot);
/* Worker: whether those who are waiting have begun to be lost, so many they are. */
bool gg__binding_overflows(const struct gg_binding *binding, unsigned slot);
/* Any thread, while the binding is not made anew: adds what a TCP listener's sockets say to *out. */
void gg__binding_queue(const struct gg_binding *binding, struct gg_accept_queue *out);
/* Worker: nobody waits at the leaving socket, which may be dropped now. False: the engine wants it; ask again. */
bool gg__binding_may_part(struct gg_binding *binding, unsigned slot);
/* Worker: it has no use for the socket any more, and has taken it out of its sets. The last one closes it. */
void gg__binding_drop(struct gg_binding *binding, unsigned slot);

#endif
