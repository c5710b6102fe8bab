/* SPDX-License-Identifier: Apache-2.0 */
/**
 * known.h - the sessions of a worker by their keys, and the tags on them, for any thread.
 *
 * A worker puts a session in when its ends are known, and takes it out when it ends; it is the only one who does. Under
 * the lock another thread may read what does not change meanwhile: the session's ends, its listener, its tags, and the
 * upstream, which is changed under the lock; byte counts are read as they are.
 *
 * Thread: add, remove: the worker. find_locked: under the lock; the worker itself needs none to look.
 */
#ifndef GG_GATEWAY_KNOWN_H
#define GG_GATEWAY_KNOWN_H

#include "gateway/session.h"
#include <gogetway/plugin.h>
#include <pthread.h>

enum { GG_KNOWN_BUCKETS = 4096 };

struct gg_tags {
  unsigned count;
  char text[GG_TAGS_MAX][GG_TAG_MAX];
};

struct gg_known {
  pthread_mutex_t lock;
  struct gg_session *buckets[GG_KNOWN_BUCKETS];
};

void gg__known_init(struct gg_known *known);
void gg__known_fini(struct gg_known *known);
void gg__known_add(struct gg_worker *worker, struct gg_session *session);
/* Fine for one that is not there. Its tags stay with it. */
void gg__known_remove(struct gg_worker *worker, struct gg_session *session);
/* NULL: it is not there. */
struct gg_session *gg__known_find(const struct gg_known *known, const struct gg_session_id *id);

/* All of it, whatever size `out` says. Under the lock, or on the session's worker. */
void gg__known_info(const struct gg_session *session, struct gg_session_info *out);
/* GG_ERR_FORMAT: these are not 24 hexadecimal digits. */
int gg__known_id(struct gg_session_id *out, const struct gg_session_key *key);
/* Under the lock. */
int gg__known_tag(struct gg_session *session, const char *tag, bool on);

#endif
