/* SPDX-License-Identifier: Apache-2.0 */
/**
 * privileges.h - a process that was started as root becomes an ordinary user, in two steps.
 *
 *     root ── gg__privileges_give_up ──► the user, with CAP_NET_BIND_SERVICE ── gg__privileges_seal ──► the user
 *                                         opens the store, binds the ports
 *
 * So nothing that others can write to (the store, what a killed process left in it) is ever looked at as root, every
 * file is the user's from the first moment, and ports below 1024 can be had all the same. (Rejected: to open all as
 * root and change owners afterwards. Each chown by root is a race with whoever may write to that directory.)
 *
 * Thread: the main thread, before there is another one: capabilities are a thread's own.
 */
#ifndef GG_ENGINE_PRIVILEGES_H
#define GG_ENGINE_PRIVILEGES_H

#include <gogetway/error.h>
#include <stdbool.h>

/* Makes the store's directory if it is missing, as the user's, and becomes that user: identities, groups, capabilities,
 * and no way back by executing anything. `user` and `group` are names or numbers; group NULL: the user's own. Who is
 * that user already keeps what it has (*given_up is false, and there is nothing to seal). GG_ERR_NOT_FOUND: there is no
 * such user or group; GG_ERR_DENIED. */
int gg__privileges_give_up(const char *user, const char *group, const char *store_dir, bool *given_up,
                           struct gg_failure *failure);

/* Gives up the last capability, and makes sure that nothing comes back. */
int gg__privileges_seal(struct gg_failure *failure);

#endif
