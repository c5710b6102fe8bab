/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sessions.h - the open sessions of a gateway, for who knows one by its key: plug-ins, and the embedding program.
 *
 * What changes a session is an order to its worker (orders.h); what is looked at is looked at under the lock by which
 * the worker opens and closes sessions (known.h).
 *
 * Thread: any. A plane of NULL has no sessions.
 */
#ifndef GG_GATEWAY_SESSIONS_H
#define GG_GATEWAY_SESSIONS_H

#include <gogetway/plugin.h>

struct gg_hook;
struct gg_plane;

/* These and what they return are as the members of struct gg_host; `by` is whose order it is, NULL: the program's. */
int gg_plane_session_find(struct gg_plane *plane, const struct gg_session_key *key, struct gg_session_info *out);
void gg_plane_sessions(struct gg_plane *plane, bool (*each)(void *context, const struct gg_session_info *info),
                       void *context);
int gg_plane_session_tag(struct gg_plane *plane, const struct gg_session_key *key, const char *tag, bool on);
int gg_plane_session_throttle(struct gg_plane *plane, const struct gg_session_key *key, enum gg_side from,
                              uint64_t bytes_per_second, struct gg_hook *by);
int gg_plane_session_cut(struct gg_plane *plane, const struct gg_session_key *key, const struct gg_verdict *verdict,
                         struct gg_hook *by);
/* Of a hold of `by`, which is never NULL. */
int gg_plane_session_resume(struct gg_plane *plane, const struct gg_session_key *key, enum gg_side from,
                            const struct gg_verdict *verdict, struct gg_hook *by);

#endif
