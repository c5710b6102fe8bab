/* SPDX-License-Identifier: Apache-2.0 */
/**
 * listen_fds.h - sockets that a parent has opened for us, by the protocol of sd_listen_fds(3): descriptors from 3 on,
 * $LISTEN_FDS of them, named by $LISTEN_FDNAMES, for the process $LISTEN_PID.
 *
 * Each must be a listener's: by the address that it is bound to, or else by its name. One that is nobody's is an error,
 * for clients would connect to it and never be accepted.
 *
 * With --takeover a listener may have come from the process before already. That is what happens when both are started
 * with the same sockets (a parent that keeps them open); then they are one, and stay the parent's. Two different
 * sockets at one place are an error: only one of them would be served after the takeover. Listeners that the process
 * before does not have get theirs from the parent as always.
 *
 * The engine keeps them for as long as it serves. A parent goes on to listen whatever becomes of a listener here, so
 * one that a reload removes does not free its address; the listener that a later one brings there has the same socket
 * again. Meanwhile clients who come to it are refused: refusing.c. A process that takes over gets all of them.
 *
 * Thread: the engine's; take before it has others: the environment is changed.
 */
#ifndef GG_ENGINE_LISTEN_FDS_H
#define GG_ENGINE_LISTEN_FDS_H

#include "engine/configured.h"

enum { GG_LISTEN_FDS_FIRST = 3, GG_LISTEN_FDS_MAX = 256, GG_LISTEN_FDS_NAME_MAX = 256 };

struct gg_listen_fds {
  size_t count;
  struct gg_listen_fd {
    int fd;
    bool ours; /* from a parent, at this start; else the process before kept it */
    char name[GG_LISTEN_FDS_NAME_MAX];
    struct gg_endpoint endpoint; /* where it is */
    struct gg_endpoint asked;    /* the `listen` of the listener that had it first; else the same */
    uint64_t refuse_after_ns;    /* refusing.c: it could not be accepted from, and is not looked at before */
  } items[GG_LISTEN_FDS_MAX];
  int sorted[GG_LISTEN_FDS_MAX]; /* the same descriptors, each listener's beside each other */
};

/* Takes them out of the environment, which is cleared of them whether they are ours or not; none is fine. They are
 * close-on-exec and non-blocking from then on. GG_ERR_INVALID: the variables, or a descriptor, are not what they should
 * be; none is taken then. */
int gg__listen_fds_take(struct gg_listen_fds *out, struct gg_failure *failure);
/* One more, that the process before has kept: a duplicate, unless a parent gave us the same. */
int gg__listen_fds_add(struct gg_listen_fds *fds, int fd, const char *name, const struct gg_endpoint *asked,
                       struct gg_failure *failure);
/* At start: gives the listeners theirs (struct gg_listener_options.inherited). One that has some already, from the
 * process that is taken over, must have the same. GG_ERR_NOT_FOUND: one is nobody's; GG_ERR_INVALID: one is another;
 * the failure names it. Of those that the process before kept nobody needs to be the owner. */
int gg__listen_fds_match(struct gg_listen_fds *fds, struct gg_configured *configured, struct gg_failure *failure);
/* For a reload: the same, and nothing is wrong. A listener that is there already has its sockets, and needs none. */
void gg__listen_fds_lend(struct gg_listen_fds *fds, struct gg_configured *configured);
/* The gateway has duplicated them: no listener refers to a descriptor any more. */
void gg__listen_fds_given(struct gg_configured *configured);
/* Whether a listener of the configuration is to have it. */
bool gg__listen_fd_is_owned(const struct gg_listen_fd *item, const struct gg_config *config);
/* Closes all. NULL is fine. */
void gg__listen_fds_close(struct gg_listen_fds *fds);

#endif
