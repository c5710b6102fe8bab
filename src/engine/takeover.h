/* SPDX-License-Identifier: Apache-2.0 */
/**
 * takeover.h - hot restart: a new process takes over the store and the listening sockets of one that runs.
 *
 *     the new process                                        the one that runs
 *     ───────────────                                        ─────────────────
 *     connects to DIR/control
 *     {"command":"takeover","protocol":"1"} ──────────────►  marks the connection as the taker's: no reload meanwhile
 *                                           ◄──────────────  listeners and, by SCM_RIGHTS: the store's lock, the
 *     opens the store with that lock, binds                  processes that it waits for itself, its sockets, and
 *     only what is new, starts                               a parent's that it keeps
 *     {"command":"handed-over","taken":"110"} ────────────►  its socket is control.PID from now on as well
 *     accepts, puts its own in the place    ◄──────────────  ok
 *     of control; waits for the old one's                    lets the sockets go, drains, ends
 *     end by its pidfd
 *
 * The descriptors are duplicates: until "handed-over" nothing has changed for the one that runs, and if the new one
 * fails or dies before, its connection closes and that is all: it has accepted nobody, and a socket that it added for a
 * worker more does not listen yet, so no client can have come to it alone. From then on the new one serves; if the old
 * one dies while it drains, the new one writes what was left in its rings. Each writes its own segments all the time.
 *
 * If the one that runs does not answer to "handed-over" (it may be stopped), the new one serves and waits: both accept
 * from the same sockets, and whether the other read it already cannot be known. One that is told to drain while it is
 * taken over waits until that is settled, since sockets that leave are of no use to the other; told to stop, it lets
 * all of them go as they are.
 *
 * If the new one ends while the old one still drains, the store is the old one's alone, which serves nobody. The next
 * that takes over finds it as control.PID, gets the lock and no sockets, and serves beside it.
 *
 * Thread: begin, sockets, finish, end, serve, sibling functions: the engine's. The commands and gone: the admin thread.
 */
#ifndef GG_ENGINE_TAKEOVER_H
#define GG_ENGINE_TAKEOVER_H

#include "admin/control.h"
#include "engine/config.h"
#include "engine/listen_fds.h"
#include "gateway/plane.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gg_gateway;
struct gg_takeover;

enum { GG_SIBLINGS_MAX = 64 };
#define GG_SIBLING_RETRY_NS UINT64_C(5000000000) /* what a killed one left could not be written */

/* Processes from which this one took over, or that were still ending then: each records into the same store. One that
 * has ended stays here until what it left is written. */
struct gg_siblings {
  size_t count;
  struct gg_sibling {
    long pid;
    int pidfd;
    uint64_t retry_ns; /* it has ended, and the disk refused what it left: looked at again then; 0: not so */
  } items[GG_SIBLINGS_MAX];
};

/* In the process that is taken over from. Under the engine's lock. */
struct gg_handing {
  uint64_t client; /* the taker's connection; 0: nobody takes over */
  long pid;
  bool handed;      /* it serves now */
  bool done;        /* ... and the gateway was told */
  bool drains_next; /* it was told to drain, and waits for the taker */
  size_t offered;   /* listeners that it was told of */
  bool taken[GG_LISTENERS_MAX];
  int *fds; /* for the reply that is being made */
  size_t fd_count;
};

/* What the process that runs replies to "takeover". */
struct gg_takeover_reply {
  size_t sibling_count;
  long siblings[GG_SIBLINGS_MAX];
  size_t listener_count;
  struct {
    struct gg_config_listener known; /* its name and listen_endpoint only */
    size_t sockets;
    size_t foreign; /* so many of the first are the service manager's, and stay so */
  } listeners[GG_LISTENERS_MAX];
  size_t sockets; /* of all of them */
  size_t kept_count;
  struct gg_takeover_kept {
    char name[GG_LISTEN_FDS_NAME_MAX];
    struct gg_endpoint asked;
  } * kept; /* a parent's sockets, whether or not they are a listener's now */
  size_t drained_count;
  struct gg_takeover_drained {
    char listener[GG_UPSTREAM_NAME_MAX], upstream[GG_UPSTREAM_NAME_MAX];
  } * drained; /* by an operator */
};
/* Pure. GG_ERR_BUSY: it says why not; GG_ERR_UNSUPPORTED: it does not know the command; GG_ERR_FORMAT. On an error
 * there is nothing to free. */
int gg__takeover_reply_parse(struct gg_takeover_reply *out, const char *text, size_t length,
                             struct gg_failure *failure);
void gg__takeover_reply_fini(struct gg_takeover_reply *reply);

/* ── The new process ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Asks the process that runs on the store. *out is NULL, and there is nothing to do, if none runs. GG_ERR_BUSY: another
 * takes over just now; GG_ERR_UNSUPPORTED: it cannot hand over, or not to this version. */
int gg__takeover_begin(struct gg_takeover **out, struct gg_gateway *engine, struct gg_failure *failure);
int gg__takeover_lock(struct gg_takeover *takeover); /* the store's lock; to be given away once; -1 for NULL */
/* Gives the engine's listeners the sockets that they had. They are closed by gg__takeover_bound, after create. The
 * sockets of a parent's go to the engine's. */
int gg__takeover_sockets(struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure);
void gg__takeover_bound(struct gg_takeover *takeover, struct gg_gateway *engine);
/* Drains what was drained there; after create, so that no session goes to one of them. */
void gg__takeover_drain(const struct gg_takeover *takeover, struct gg_gateway *engine);
/* We can serve: the other one lets go, and we do. */
int gg__takeover_finish(struct gg_takeover *takeover, struct gg_gateway *engine, struct gg_failure *failure);
void gg__takeover_end(struct gg_takeover *takeover); /* at any time; NULL is fine */

struct pollfd;
/* What tells that there is something to look at: GG_SIBLINGS_MAX places at the most; returns how many. A descriptor is
 * -1 while its process waits for another try: it would be readable all the time. */
size_t gg__siblings_polled(const struct gg_gateway *engine, struct pollfd *out);
/* Looks whether siblings have ended, and lets the recorder see to what they left; again after a while if the disk
 * refuses it. */
void gg__siblings_look(struct gg_gateway *engine);
void gg__siblings_close(struct gg_gateway *engine);

/* ── The process that runs ───────────────────────────────────────────────────────────────────────────────────────── */

int gg__command_takeover(void *context, const struct gg_control_request *request, struct gg_json *reply,
                         struct gg_failure *failure);
size_t gg__takeover_descriptors(void *context, int **fds);
int gg__command_handed_over(void *context, const struct gg_control_request *request, struct gg_json *reply,
                            struct gg_failure *failure);
void gg__takeover_gone(void *context, uint64_t client);
/* The taker's connection is never idle before it has said that it serves: what it has to do first (the rings of others
 * that were killed, a slow disk) may take long, and this process may have been stopped for as long. A taker that dies
 * closes it; one that hangs is named to whoever wants to reload or take over, and is for the operator to end. */
bool gg__takeover_under_way(void *context, uint64_t client);
/* Stops, and lets all sockets go as they are: the other process of a hand-over that came to nothing listens on them. */
void gg__takeover_release(struct gg_gateway *engine);
/* Told to drain: false while somebody takes over; true: nobody does, nor will from now on. */
bool gg__takeover_may_drain(struct gg_gateway *engine);
/* Told to stop: whoever takes over just now has sockets that work. */
void gg__takeover_let_go(struct gg_gateway *engine);
/* Lets go what was handed over. True, once: it was just now, and the engine drains. */
bool gg__takeover_serve(struct gg_gateway *engine, uint64_t deadline_mono_ns);

#endif
